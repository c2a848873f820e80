import { DhowError } from "../lib/mod.ts";
import { doOverlap, type Family, formatPrefix, hasIp, type Prefix, parsePrefix, tryParseIp } from "./ip.ts";

/** Names of auxiliary addresses that a bridge takes for the gateway, while its own address stays what `gateway` says. As in docker. */
export const DEFAULT_GATEWAY = { 4: "DefaultGatewayIPv4", 6: "DefaultGatewayIPv6" } as const;

/** A subnet of a network as it was asked for, or as it is. */
export interface IpamPool {
  readonly subnet: string;
  /** What containers get addresses of without asking for one; a part of the subnet. */
  readonly ipRange?: string | undefined;
  readonly gateway?: string | undefined;
  /** Addresses that others have, by name. */
  readonly auxAddresses?: Readonly<Record<string, string>> | undefined;
  /** What an IPAM plug-in calls the space that the subnet is of. */
  readonly addressSpace?: string | undefined;
  /** What it calls the subnet, for the other hosts of the network. */
  readonly poolId?: string | undefined;
}

/** A pool that is asked for; without a subnet the IPAM driver chooses one. */
export type PoolRequest = Partial<IpamPool>;

/** What a network is asked to be. */
export interface NetworkRequest {
  readonly name: string;
  readonly driver: string;
  readonly isInternal: boolean;
  readonly isAttachable: boolean;
  readonly isConfigOnly: boolean;
  /** Name of the config-only network that its configuration comes from; empty: none. */
  readonly configFrom: string;
  readonly hasIpv4: boolean;
  readonly hasIpv6: boolean;
  readonly ipamDriver: string;
  /** Null where nobody said any. */
  readonly ipamOptions: Readonly<Record<string, string>> | null;
  readonly pools: readonly PoolRequest[];
  readonly options: Readonly<Record<string, string>>;
  readonly labels: Readonly<Record<string, string>>;
}

/** A request as it comes: families that it says nothing of are as its options, or the daemon's, have them. */
export type NetworkWish = Omit<NetworkRequest, "hasIpv4" | "hasIpv6"> & {
  readonly [family in "hasIpv4" | "hasIpv6"]?: boolean | undefined;
};

/** A network as it is kept, from its creation to its removal. */
export interface NetworkConfig extends NetworkRequest {
  readonly id: string;
  /** RFC3339Nano. */
  readonly createdAt: string;
  readonly scope: "local" | "global";
  readonly pools: readonly IpamPool[];
}

/** Name of the driver of a bridge. */
export const BRIDGE_DRIVER = "bridge";

/** The families that a network has addresses of. */
export function familiesOf({ hasIpv4, hasIpv6 }: Pick<NetworkRequest, "hasIpv4" | "hasIpv6">): readonly Family[] {
  return [...(hasIpv4 ? ([4] as const) : []), ...(hasIpv6 ? ([6] as const) : [])];
}

/**
 * Checks the subnets of a request in docker's words, all faults at once.
 * @throws invalid
 * @see api/types/network/ipam.go of moby v28
 */
export function checkPools(pools: readonly PoolRequest[], hasIpv6: boolean): void {
  const faults = pools.flatMap((pool) => poolFaults(pool, hasIpv6));
  const text = faults.length === 1 ? faults[0] : faults.map((fault) => `* ${fault}`).join("\n");
  if (faults.length > 0) throw new DhowError("invalid", `invalid network config:\n${text}`);
}

function tryPrefix(text: string): Prefix | undefined {
  try {
    return parsePrefix(text);
  } catch {
    return undefined;
  }
}

function poolFaults(pool: PoolRequest, hasIpv6: boolean): string[] {
  const { subnet: text = "", ipRange = "", gateway = "", auxAddresses = {} } = pool;
  if (text === "") return ipRange === "" && gateway === "" ? [] : ["invalid subnet : invalid CIDR block notation"];
  const subnet = tryPrefix(text);
  if (subnet === undefined) return [`invalid subnet ${text}: invalid CIDR block notation`];
  if (subnet.family === 6 && !hasIpv6) return [];
  const faults: string[] = [];
  if (subnet.address !== subnet.network) faults.push(`invalid subnet ${text}: it should be ${formatPrefix(subnet)}`);
  if (ipRange !== "") faults.push(...rangeFaults(ipRange, subnet));
  if (gateway !== "") faults.push(...addressFaults(gateway, subnet).map((why) => `invalid gateway ${gateway}: ${why}`));
  for (const [name, address] of Object.entries(auxAddresses)) {
    faults.push(...addressFaults(address, subnet).map((why) => `invalid auxiliary address ${name}: ${why}`));
  }
  return faults;
}

function rangeFaults(text: string, subnet: Prefix): string[] {
  const range = tryPrefix(text);
  if (range === undefined) return [`invalid ip-range ${text}: invalid CIDR block notation`];
  if (range.family !== subnet.family) return [`invalid ip-range ${text}: parent subnet is an IPv${subnet.family} block`];
  const faults: string[] = [];
  if (range.length < subnet.length) {
    faults.push(`invalid ip-range ${text}: CIDR block is bigger than its parent subnet ${formatPrefix(subnet)}`);
  }
  if (range.address !== range.network) faults.push(`invalid ip-range ${text}: it should be ${formatPrefix(range)}`);
  if (!doOverlap(range, subnet)) faults.push(`invalid ip-range ${text}: parent subnet ${formatPrefix(subnet)} doesn't contain ip-range`);
  return faults;
}

function addressFaults(text: string, subnet: Prefix): string[] {
  const ip = tryParseIp(text);
  if (ip === undefined) return ["invalid address"];
  if (ip.family !== subnet.family) return [`parent subnet is an IPv${subnet.family} block`];
  return hasIp(subnet, ip) ? [] : [`parent subnet ${formatPrefix(subnet)} doesn't contain this address`];
}
