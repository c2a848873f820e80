import { BlockList, isIP } from "node:net";
import type { IPAM, IPAMConfig } from "../../spec/engine/mod.ts";

/** What `network create` is told of a network's addresses. */
export interface IpamOptions {
  readonly driver: string;
  readonly options: Readonly<Record<string, string>>;
  readonly subnets: readonly string[];
  readonly ranges: readonly string[];
  readonly gateways: readonly string[];
  readonly auxAddresses: Readonly<Record<string, string>>;
}

type Pool = { -readonly [K in keyof IPAMConfig]: IPAMConfig[K] } & { readonly Subnet: string; AuxiliaryAddresses: Record<string, string> };

interface Prefix {
  readonly address: string;
  readonly family: "ipv4" | "ipv6";
  readonly length: number;
}

/** @throws Error in the words of Go's net.ParseCIDR */
function parsePrefix(text: string): Prefix {
  const [address = "", length = "", ...rest] = text.split("/");
  const version = isIP(address);
  if (version === 0 || rest.length > 0 || !/^\d{1,3}$/.test(length) || Number(length) > (version === 4 ? 32 : 128)) {
    throw new Error(`invalid CIDR address: ${text}`);
  }
  return { address, family: version === 4 ? "ipv4" : "ipv6", length: Number(length) };
}

function subnetOf(text: string): BlockList {
  try {
    const { address, family, length } = parsePrefix(text);
    const subnet = new BlockList();
    subnet.addSubnet(address, length, family);
    return subnet;
  } catch (cause) {
    throw new Error(`invalid subnet: ${(cause as Error).message}`, { cause });
  }
}

/** Whether an address, or the one that a prefix begins with, is in a subnet. @throws Error when the subnet or the prefix is none */
function matches(subnet: string, data: string): boolean {
  const block = subnetOf(subnet);
  const address = data.includes("/") ? parsePrefix(data).address : data;
  const version = isIP(address);
  return version !== 0 && block.check(address, version === 4 ? "ipv4" : "ipv6");
}

/** Puts what was said of ranges, gateways and other addresses to the subnets that they are in. @throws Error in docker's words */
export function ipamOf({ driver, options, subnets, ranges, gateways, auxAddresses }: IpamOptions): IPAM {
  if (subnets.length < ranges.length || subnets.length < gateways.length) {
    throw new Error("every ip-range or gateway must have a corresponding subnet");
  }
  const pools: Pool[] = [];
  for (const subnet of subnets) {
    if (pools.some(({ Subnet }) => matches(subnet, Subnet) || matches(Subnet, subnet))) {
      throw new Error("multiple overlapping subnet configuration is not supported");
    }
    pools.push({ Subnet: subnet, AuxiliaryAddresses: {} });
  }
  const place = (what: string, text: string, put: (pool: Pool) => void): void => {
    const found = pools.filter(({ Subnet }) => matches(Subnet, text));
    if (found.length === 0) throw new Error(`no matching subnet for ${what} ${text}`);
    for (const pool of found) put(pool);
  };
  for (const range of ranges) {
    place("range", range, (pool) => {
      if (pool.IPRange) throw new Error(`cannot configure multiple ranges (${range}, ${pool.IPRange}) on the same subnet (${pool.Subnet})`);
      pool.IPRange = range;
    });
  }
  for (const gateway of gateways) {
    place("gateway", gateway, (pool) => {
      if (pool.Gateway)
        throw new Error(`cannot configure multiple gateways (${gateway}, ${pool.Gateway}) for the same subnet (${pool.Subnet})`);
      pool.Gateway = gateway;
    });
  }
  for (const [name, address] of Object.entries(auxAddresses)) {
    place("aux-address", address, (pool) => {
      pool.AuxiliaryAddresses[name] = address;
    });
  }
  return { Driver: driver, Config: pools, Options: options };
}
