import { randomBytes } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { DhowError } from "../lib/mod.ts";
import {
  addAddress,
  addBridge,
  findLink,
  formatMac,
  isErrno,
  type Link,
  listAddresses,
  listLinks,
  listRoutes,
  type NetlinkSocket,
  setLink,
} from "../linux/mod.ts";
import { chooseSubnet, type PoolSpec } from "./ipam.ts";
import { type Cidr, cidr, formatCidr, formatIpv4, overlaps, parseCidr } from "./ipv4.ts";

export interface BridgeOptions {
  readonly name: string;
  /** The bridge's own address and network, `10.1.0.1/24`. */
  readonly bip: string | undefined;
  /** The network it had before. */
  readonly formerSubnet: string | undefined;
  readonly mtu: number;
  readonly pools: readonly PoolSpec[];
  /** Networks to keep away from beside the routes: those of the name servers. */
  readonly avoid: readonly Cidr[];
  /** MAC address of the bridge of this name that this daemon made, now or in an earlier life; undefined when it made none. */
  readonly ownMac: string | undefined;
  /** Told before a bridge is made. */
  readonly onMake: (mac: string) => void;
}

const NO_INDEX = -1;

export interface Bridge {
  readonly name: string;
  readonly index: number;
  /** A number in host order: the containers' gateway. */
  readonly gateway: number;
  readonly subnet: Cidr;
  /** Whether br_netfilter passes bridged packets through the IPv4 chains. */
  readonly isFiltered: boolean;
  /** Whether this daemon made it, and so may delete it. */
  readonly isOwn: boolean;
}

/** Addresses are `gateway`, in the network. */
function subnetWithGateway(net: Cidr): Cidr {
  return net.address === net.network ? { ...net, address: net.network + 1 } : net;
}

function wantedSubnet(socket: NetlinkSocket, options: BridgeOptions, index: number): Cidr {
  const present = listAddresses(socket)
    .filter((a) => a.index === index)
    .map((a) => cidr(a.address, a.prefixLength));
  if (options.bip !== undefined) {
    const wanted = parseCidr(options.bip);
    if (!present.some((p) => p.address === wanted.address)) refuseOverlap(socket, wanted, index);
    return wanted;
  }
  const first = present[0];
  if (first !== undefined) return first;
  const routes = listRoutes(socket)
    .filter((r) => r.prefixLength > 0 && r.index !== index)
    .map((r) => cidr(r.destination, r.prefixLength));
  const taken = [...routes, ...options.avoid];
  if (options.formerSubnet !== undefined) {
    const former = parseCidr(options.formerSubnet);
    if (isFree(former, taken)) return subnetWithGateway(former);
  }
  return subnetWithGateway(chooseSubnet(options.pools, taken));
}

/**
 * A network has one bridge: packets to its addresses go one way only. A part of a larger network that is no bridge's is fine, the host
 * takes the narrower route.
 */
function refuseOverlap(socket: NetlinkSocket, wanted: Cidr, index: number): void {
  const links = new Map(listLinks(socket).map((link) => [link.index, link]));
  for (const other of listAddresses(socket)) {
    if (other.index === index) continue;
    const net = cidr(other.address, other.prefixLength);
    const link = links.get(other.index);
    const isSame = net.network === wanted.network && net.prefixLength === wanted.prefixLength;
    if (!isSame && !(link?.kind === "bridge" && overlaps(net, wanted))) continue;
    throw new DhowError(
      "conflict",
      `requested network overlaps with existing network: --bip ${formatIpv4(wanted.address)}/${wanted.prefixLength} overlaps ${formatCidr(net)} of interface ${link?.name ?? other.index}; choose another --bip`,
    );
  }
}

function isFree(candidate: Cidr, taken: readonly Cidr[]): boolean {
  try {
    chooseSubnet([{ base: `${formatIpv4(candidate.network)}/${candidate.prefixLength}`, size: candidate.prefixLength }], taken);
    return true;
  } catch {
    return false;
  }
}

/**
 * Makes the bridge, or takes over the one that is there with its address; it is up and has an address afterwards. Nothing is made when its
 * network is not to be had.
 * @throws {NetlinkError} conflict
 */
export function ensureBridge(socket: NetlinkSocket, options: BridgeOptions): Bridge {
  const found = findLink(socket, options.name);
  if (found !== undefined && found.kind !== "bridge") {
    throw new DhowError(
      "conflict",
      `use ${JSON.stringify(options.name)} as the bridge: it is an interface of another kind (${found.kind || "physical"})`,
    );
  }
  const subnet = wantedSubnet(socket, options, found?.index ?? NO_INDEX);
  const link = found ?? makeBridge(socket, options);
  const isOwn = found === undefined || found.mac === options.ownMac;
  const [failed] = socket.requestAll([addAddress(link.index, subnet.address, subnet.prefixLength)]);
  if (failed !== undefined && !isErrno(failed, "EEXIST")) throw failed;
  socket.request(setLink(link.index, { up: true, ...(link.mtu === options.mtu || !isOwn ? {} : { mtu: options.mtu }) }));
  // the host's own 127.0.0.1 is to reach published ports; the table's guard chain closes what this opens
  writeFileSync(`/proc/sys/net/ipv4/conf/${options.name}/route_localnet`, "1");
  return { name: options.name, index: link.index, gateway: subnet.address, subnet, isFiltered: isBridgeFiltered(), isOwn };
}

function makeBridge(socket: NetlinkSocket, { name, onMake }: BridgeOptions): Link {
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
