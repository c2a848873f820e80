import { DhowError } from "../lib/mod.ts";
import type { NetlinkSocket } from "../linux/mod.ts";
import { askedSubnet, defaultIpv6Subnet, defaultSubnet } from "./drivers/bridge-link.ts";
import { formatIp, formatPrefix, hasIp, type Prefix, parseIp, parsePrefix } from "./ip.ts";
import { DEFAULT_BRIDGE_POOLS, type PoolSpec, uniqueLocalPool } from "./ipam.ts";
import { DEFAULT_GATEWAY, type IpamPool, type NetworkConfig } from "./network-config.ts";
import type { NetworkingOptions } from "./networking-options.ts";

const ANY_ADDRESS = "0.0.0.0";
const DEFAULT_MTU = 1500;

/** What networks have that say nothing else. */
export function mtuOf({ mtu = DEFAULT_MTU }: Pick<NetworkingOptions, "mtu">): number {
  return mtu;
}

/** The daemon's own IPv6 networks. */
export function ownIpv6({ ulaSeed, tableName }: Pick<NetworkingOptions, "ulaSeed" | "tableName">): PoolSpec {
  return uniqueLocalPool(ulaSeed ?? tableName);
}

export interface BridgeSurroundings {
  readonly route: NetlinkSocket;
  /** The subnet that it had in a former life of the daemon. */
  readonly formerSubnet: string | undefined;
  /** Networks that it must not overlap, besides those of the host's routes. */
  readonly avoid: readonly Prefix[];
}

/** The default bridge as the daemon's options want it. @throws invalid, conflict */
export function defaultBridgeConfig(
  predefined: NetworkConfig,
  options: NetworkingOptions,
  { route, formerSubnet, avoid }: BridgeSurroundings,
): NetworkConfig {
  const { bridgeName, bip, fixedCidr, hasIpv6, defaultAddressPools } = options;
  const pools = defaultAddressPools?.filter(({ base }) => !base.includes(":"));
  const subnet = defaultSubnet(route, {
    name: bridgeName,
    bip: bip || undefined,
    range: fixedCidr ? parsePrefix(fixedCidr) : undefined,
    formerSubnet,
    pools: pools?.length ? pools : DEFAULT_BRIDGE_POOLS,
    avoid,
  });
  const v4: IpamPool = {
    subnet: formatPrefix(subnet),
    ...auxiliary(subnet, options),
    ...(fixedCidr && { ipRange: fixedCidr }),
    gateway: formatIp({ family: 4, value: subnet.address }),
  };
  const v6 = hasIpv6 ? [ipv6Pool(route, options, avoid)] : [];
  return { ...predefined, hasIpv6: v6.length > 0, pools: [v4, ...v6], options: bridgeOptions(options) };
}

/**
 * `--fixed-cidr-v6` is a part of the network of `--bip6`, or of one that the bridge has, else all of it. Without any of these the network is of
 * the pools, or of the daemon's own. @throws invalid, conflict
 */
function ipv6Pool(route: NetlinkSocket, options: NetworkingOptions, avoid: readonly Prefix[]): IpamPool {
  const { bridgeName: name, bip6, fixedCidrV6, defaultAddressPools = [] } = options;
  const range = fixedCidrV6 ? parsePrefix(fixedCidrV6) : undefined;
  const given = defaultAddressPools.filter(({ base }) => base.includes(":"));
  const pools = given.length > 0 ? given : [ownIpv6(options)];
  const subnet = bip6
    ? askedSubnet(route, { name, setting: "--bip6", address: bip6, range })
    : defaultIpv6Subnet(route, { name, range, pools, avoid });
  return {
    subnet: formatPrefix(subnet),
    ...auxiliary(subnet, options),
    ...(range !== undefined && { ipRange: formatPrefix(range) }),
    gateway: formatIp({ family: 6, value: subnet.address }),
  };
}

/** The gateway that is another host of the subnet. @throws invalid in docker's words */
function auxiliary(subnet: Prefix, { defaultGateways = [] }: NetworkingOptions): Pick<IpamPool, "auxAddresses"> {
  const gateway = defaultGateways.map(parseIp).find(({ family }) => family === subnet.family);
  if (gateway === undefined) return {};
  if (!hasIp(subnet, gateway)) throw new DhowError("invalid", "default gateway ip must be part of the network");
  return { auxAddresses: { [DEFAULT_GATEWAY[subnet.family]]: formatIp(gateway) } };
}

function bridgeOptions(options: NetworkingOptions): Record<string, string> {
  const { bridgeName, icc = true, ipMasq = true, defaultHostIp } = options;
  return {
    "com.docker.network.bridge.default_bridge": "true",
    "com.docker.network.bridge.enable_icc": String(icc),
    "com.docker.network.bridge.enable_ip_masquerade": String(ipMasq),
    "com.docker.network.bridge.host_binding_ipv4": defaultHostIp || ANY_ADDRESS,
    "com.docker.network.bridge.name": bridgeName,
    "com.docker.network.driver.mtu": String(mtuOf(options)),
  };
}
