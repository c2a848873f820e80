import { randomBytes } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { DhowError } from "../../lib/mod.ts";
import {
  addBridge,
  addIpAddress,
  findLink,
  formatMac,
  isErrno,
  type Link,
  listIpAddresses,
  listIpRoutes,
  listLinks,
  type NetlinkSocket,
  setLink,
} from "../../linux/mod.ts";
import { edgesOf } from "../address-pool.ts";
import { doOverlap, type Family, formatIp, formatPrefix, type Ip, ipBytes, ipOfBytes, type Prefix, parsePrefix, prefixOf } from "../ip.ts";
import { chooseSubnet, type PoolSpec } from "../ipam.ts";

export interface BridgeLinkOptions {
  readonly name: string;
  readonly mtu: number;
  /** Its own addresses, with their networks: the containers' gateways. */
  readonly addresses: readonly Prefix[];
  /** MAC address of the bridge of this name that this daemon made, now or in an earlier life; undefined when it made none. */
  readonly ownMac: string | undefined;
  /** Told before a bridge is made. */
  readonly onMake: (mac: string) => void;
}

/** A bridge interface. */
export interface BridgeLink {
  readonly name: string;
  readonly index: number;
  /** Whether br_netfilter passes bridged packets through the chains of the firewall. */
  readonly isFiltered: boolean;
  /** Whether this daemon made it, and so may delete it. */
  readonly isOwn: boolean;
}

const NO_INDEX = -1;

/** The networks that the host has a route to, other than by the link of `exceptIndex`. */
export function hostNetworks(socket: NetlinkSocket, exceptIndex = NO_INDEX): Prefix[] {
  return listIpRoutes(socket)
    .filter((route) => route.prefixLength > 0 && route.index !== exceptIndex)
    .map((route) => prefixOf(ipOfBytes(route.destination), route.prefixLength))
    .filter(({ family, network }) => family === 4 || !isLocalIpv6(network));
}

/** fe80::/10 and ff00::/8, which every link has. */
function isLocalIpv6(network: bigint): boolean {
  return network >> 118n === 0xfe80n >> 6n || network >> 120n === 0xffn;
}

export interface DefaultSubnetOptions {
  readonly name: string;
  /** The bridge's own address and network, `10.1.0.1/24`. */
  readonly bip: string | undefined;
  /** What containers get addresses of (docker's `--fixed-cidr`). */
  readonly range: Prefix | undefined;
  /** The network it had before. */
  readonly formerSubnet: string | undefined;
  readonly pools: readonly PoolSpec[];
  /** Networks to keep away from beside the routes. */
  readonly avoid: readonly Prefix[];
}

function refused(why: string): DhowError {
  return new DhowError("invalid", `error creating default "bridge" network: ${why}`);
}

const isWithin = (part: Prefix, whole: Prefix): boolean => part.length >= whole.length && doOverlap(part, whole);

/** Addresses are the gateway's, in the network. */
function withGateway(net: Prefix): Prefix {
  return net.address === net.network ? { ...net, address: net.network + 1n } : net;
}

export interface AskedSubnet {
  /** Of the bridge. */
  readonly name: string;
  readonly setting: "--bip" | "--bip6";
  /** With its network: `10.1.0.1/24`, `fd00:1::1/64`. */
  readonly address: string;
  /** What containers get addresses of (docker's `--fixed-cidr`, `--fixed-cidr-v6`). */
  readonly range: Prefix | undefined;
}

/** The address of the default bridge that is asked for, in its network. @throws conflict, invalid */
export function askedSubnet(socket: NetlinkSocket, { name, setting, address, range }: AskedSubnet): Prefix {
  const family = setting === "--bip" ? 4 : 6;
  const wanted = parsePrefix(address);
  if (wanted.family !== family) throw refused(`${setting} ${address} is no IPv${family} address with its network`);
  if (family === 6 && isLocalIpv6(wanted.network))
    throw refused(`${setting} ${address} is of every link; containers need a network of their own`);
  if (edgesOf(wanted).includes(wanted.address)) {
    throw refused(`failed to allocate gateway (${formatIp({ family, value: wanted.address })}): Address already in use`);
  }
  if (range !== undefined && !isWithin(range, wanted)) {
    throw refused(`invalid address subpool: --fixed-cidr${family === 6 ? "-v6" : ""} is not a part of ${formatPrefix(wanted)}`);
  }
  const index = findLink(socket, name)?.index ?? NO_INDEX;
  const hasIt = listIpAddresses(socket).some((a) => a.index === index && isSameIp(ipOfBytes(a.address), wanted));
  if (!hasIt) refuseOverlap(socket, wanted, { index, setting });
  return wanted;
}

const isSameIp = (ip: Ip, { family, address }: Prefix): boolean => ip.family === family && ip.value === address;

/** The addresses that an interface has, but for those of every link, in their networks. */
function presentSubnets(socket: NetlinkSocket, index: number, family: Family): Prefix[] {
  return listIpAddresses(socket)
    .filter((a) => a.index === index)
    .map((a) => prefixOf(ipOfBytes(a.address), a.prefixLength))
    .filter((net) => net.family === family && (family === 4 || !isLocalIpv6(net.network)));
}

export type DefaultIpv6SubnetOptions = Pick<DefaultSubnetOptions, "name" | "range" | "pools" | "avoid">;

/** The default bridge's own IPv6 address in its network: as it is, else that of `--fixed-cidr-v6`, else chosen. @throws conflict */
export function defaultIpv6Subnet(socket: NetlinkSocket, { name, range, pools, avoid }: DefaultIpv6SubnetOptions): Prefix {
  const index = findLink(socket, name)?.index ?? NO_INDEX;
  const fitting = presentSubnets(socket, index, 6).find((net) => range === undefined || isWithin(range, net));
  if (fitting !== undefined) return fitting;
  if (range !== undefined) return withGateway({ ...range, address: range.network });
  return withGateway(chooseSubnet(pools, [...hostNetworks(socket, index), ...avoid], 6));
}

/**
 * The default bridge's own IPv4 address in its network: as told, as it is, as it was, or chosen. `--fixed-cidr` is a part of the network, or,
 * where nothing else says what that is, all of it.
 * @throws conflict, invalid
 */
export function defaultSubnet(socket: NetlinkSocket, options: DefaultSubnetOptions): Prefix {
  const index = findLink(socket, options.name)?.index ?? NO_INDEX;
  const present = presentSubnets(socket, index, 4);
  const { range } = options;
  const hasRange = (net: Prefix): boolean => range === undefined || isWithin(range, net);
  if (options.bip !== undefined) return askedSubnet(socket, { name: options.name, setting: "--bip", address: options.bip, range });
  const [first] = present;
  const fitting = present.find(hasRange);
  if (fitting !== undefined) return fitting;
  if (first !== undefined) throw refused(`--fixed-cidr is not a part of ${formatPrefix(first)}, which ${options.name} has`);
  const taken = [...hostNetworks(socket, index), ...options.avoid];
  if (options.formerSubnet !== undefined) {
    const former = parsePrefix(options.formerSubnet);
    if (hasRange(former) && !taken.some((t) => doOverlap(t, former))) return withGateway(former);
  }
  if (range !== undefined) {
    refuseOverlap(socket, range, { index, setting: "--fixed-cidr" });
    return withGateway({ ...range, address: range.network });
  }
  return withGateway(chooseSubnet(options.pools, taken));
}

/**
 * A network has one bridge: packets to its addresses go one way only. A part of a larger network that is no bridge's is fine, the host
 * takes the narrower route.
 */
function refuseOverlap(
  socket: NetlinkSocket,
  wanted: Prefix,
  { index, setting }: { readonly index: number; readonly setting: AskedSubnet["setting"] | "--fixed-cidr" },
): void {
  const links = new Map(listLinks(socket).map((link) => [link.index, link]));
  for (const other of listIpAddresses(socket)) {
    if (other.index === index || ipOfBytes(other.address).family !== wanted.family) continue;
    const net = prefixOf(ipOfBytes(other.address), other.prefixLength);
    const link = links.get(other.index);
    const isSame = net.network === wanted.network && net.length === wanted.length;
    if (!isSame && !(link?.kind === "bridge" && doOverlap(net, wanted))) continue;
    throw new DhowError(
      "conflict",
      `requested network overlaps with existing network: ${setting} ${formatIp({ family: wanted.family, value: wanted.address })}/${wanted.length} overlaps ${formatPrefix(net)} of interface ${link?.name ?? other.index}; choose another ${setting}`,
    );
  }
}

/**
 * Makes the bridge, or takes over the one that is there; it is up and has its addresses afterwards.
 * @throws {NetlinkError} conflict
 */
export function ensureBridge(socket: NetlinkSocket, options: BridgeLinkOptions): BridgeLink {
  const { name, addresses, mtu } = options;
  const found = findLink(socket, name);
  if (found !== undefined && found.kind !== "bridge") {
    throw new DhowError(
      "conflict",
      `use ${JSON.stringify(name)} as the bridge: it is an interface of another kind (${found.kind || "physical"})`,
    );
  }
  const hasIpv6 = addresses.some(({ family }) => family === 6);
  const link = found ?? makeBridge(socket, options);
  const isOwn = found === undefined || found.mac === options.ownMac;
  if (isOwn || hasIpv6) setIpv6(name, hasIpv6);
  for (const failed of socket.requestAll(
    addresses.map(({ family, address, length }) => addIpAddress(link.index, ipBytes({ family, value: address }), length)),
  )) {
    if (failed !== undefined && !isErrno(failed, "EEXIST")) throw failed;
  }
  socket.request(setLink(link.index, { up: true, ...(link.mtu === mtu || !isOwn ? {} : { mtu }) }));
  // the host's own 127.0.0.1 is to reach published ports; the table's guard chain closes what this opens
  writeFileSync(`/proc/sys/net/ipv4/conf/${name}/route_localnet`, "1");
  return { name, index: link.index, isFiltered: isBridgeFiltered(), isOwn };
}

function makeBridge(socket: NetlinkSocket, { name, onMake }: BridgeLinkOptions): Link {
  // a fixed address: a bridge without one changes it with its ports, and the containers' neighbour tables go stale
  const mac = Uint8Array.from([2, 0x42, ...randomBytes(4)]);
  onMake(formatMac(mac));
  socket.request(addBridge({ name, mac }));
  const link = findLink(socket, name);
  if (link === undefined) throw new DhowError("conflict", `use ${JSON.stringify(name)} as the bridge: somebody else deleted it`);
  return link;
}

function isBridgeFiltered(): boolean {
  try {
    return readFileSync("/proc/sys/net/bridge/bridge-nf-call-iptables", "utf8").trim() === "1";
  } catch {
    return false;
  }
}

/** Bridged IPv6 packets pass the chains of the firewall, too, as those of IPv4 do: else nothing would keep containers apart by it. */
export function filterBridgedIpv6(): void {
  writeFileSync("/proc/sys/net/bridge/bridge-nf-call-ip6tables", "1");
}

/**
 * An interface of this thread's namespace has IPv6, or not, and takes no address from a router; "default": those made from now on.
 * "no address": not even one of its own on the link.
 */
export function setIpv6(name: string, isOn: boolean | "no address"): void {
  const settings: readonly (readonly [string, string])[] =
    isOn && name !== "default"
      ? [
          ...(isOn === "no address" ? ([["addr_gen_mode", "1"]] as const) : []),
          ["disable_ipv6", "0"],
          ["accept_ra", "0"],
          // while its link-local address is being proven unique, a bridge can't ask for whom it forwards to
          ["accept_dad", "0"],
        ]
      : [["disable_ipv6", isOn ? "0" : "1"]];
  for (const [key, value] of settings) {
    try {
      writeFileSync(`/proc/sys/net/ipv6/conf/${name}/${key}`, value);
    } catch {
      // no such file: the kernel has no IPv6
    }
  }
}
