import { randomBytes } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { DhowError } from "../lib/mod.ts";
import { addAddress, addBridge, findLink, isErrno, listAddresses, listRoutes, type NetlinkSocket, setLink } from "../linux/mod.ts";
import { chooseSubnet, type PoolSpec } from "./ipam.ts";
import { type Cidr, cidr, formatIpv4, parseCidr } from "./ipv4.ts";

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
}

export interface Bridge {
  readonly name: string;
  readonly index: number;
  /** A number in host order: the containers' gateway. */
  readonly gateway: number;
  readonly subnet: Cidr;
  /** Whether br_netfilter passes bridged packets through the IPv4 chains. */
  readonly isFiltered: boolean;
}

/** Addresses are `gateway`, in the network. */
function subnetWithGateway(net: Cidr): Cidr {
  return net.address === net.network ? { ...net, address: net.network + 1 } : net;
}

function wantedSubnet(socket: NetlinkSocket, options: BridgeOptions, index: number): Cidr {
  const own = listAddresses(socket).filter((a) => a.index === index);
  const present = own.map((a) => cidr(a.address, a.prefixLength));
  if (options.bip !== undefined) return parseCidr(options.bip);
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

function isFree(candidate: Cidr, taken: readonly Cidr[]): boolean {
  try {
    chooseSubnet([{ base: `${formatIpv4(candidate.network)}/${candidate.prefixLength}`, size: candidate.prefixLength }], taken);
    return true;
  } catch {
    return false;
  }
}

/** Makes the bridge, or takes over the one that is there with its address; it is up and has an address afterwards. @throws {NetlinkError} conflict */
export function ensureBridge(socket: NetlinkSocket, options: BridgeOptions): Bridge {
  let link = findLink(socket, options.name);
  if (link === undefined) {
    // a fixed address: a bridge without one changes it with its ports, and the containers' neighbour tables go stale
    socket.request(addBridge({ name: options.name, mac: Uint8Array.from([2, 0x42, ...randomBytes(4)]) }));
    link = findLink(socket, options.name);
  }
  if (link === undefined || link.kind !== "bridge") {
    throw new DhowError(
      "conflict",
      `use ${JSON.stringify(options.name)} as the bridge: it is an interface of another kind (${link?.kind || "physical"})`,
    );
  }
  const subnet = wantedSubnet(socket, options, link.index);
  const [failed] = socket.requestAll([addAddress(link.index, subnet.address, subnet.prefixLength)]);
  if (failed !== undefined && !isErrno(failed, "EEXIST")) throw failed;
  socket.request(setLink(link.index, { up: true, ...(link.mtu === options.mtu ? {} : { mtu: options.mtu }) }));
  // the host's own 127.0.0.1 is to reach published ports; the table's guard chain closes what this opens
  writeFileSync(`/proc/sys/net/ipv4/conf/${options.name}/route_localnet`, "1");
  return { name: options.name, index: link.index, gateway: subnet.address, subnet, isFiltered: isBridgeFiltered() };
}

function isBridgeFiltered(): boolean {
  try {
    return readFileSync("/proc/sys/net/bridge/bridge-nf-call-iptables", "utf8").trim() === "1";
  } catch {
    return false;
  }
}
