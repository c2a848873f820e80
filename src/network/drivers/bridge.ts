import { randomBytes } from "node:crypto";
import { DhowError } from "../../lib/mod.ts";
import {
  addIpAddress,
  addVeth,
  deleteIpAddress,
  deleteIpNeighbour,
  deleteLink,
  type Fd,
  findLink,
  flushFlowsOf,
  formatMac,
  insideNetns,
  isErrno,
  listIpAddresses,
  NETLINK,
  NetlinkSocket,
  setBridgePort,
  setLink,
} from "../../linux/mod.ts";
import type { EndpointsTable } from "../../metadata/mod.ts";
import { LocalAddresses } from "../addresses.ts";
import type { Egress } from "../egress/egress.ts";
import type { Firewall } from "../firewall.ts";
import type { BridgeRules, FamilyRules } from "../firewall-elements.ts";
import { type Family, ipBytes, ipOfBytes, type Prefix, parseIp, parsePrefix, prefixOf, tryIpBytes } from "../ip.ts";
import { BRIDGE_DRIVER, DEFAULT_GATEWAY, familiesOf, type IpamPool, type NetworkConfig, type NetworkRequest } from "../network-config.ts";
import { type BridgeLink, ensureBridge, filterBridgedIpv6, setIpv6 } from "./bridge-link.ts";
import { type BridgeSettings, bridgeSettings, checkIpv6Subnet, checkValues } from "./bridge-options.ts";
import type { DriverNetwork, InterfaceAddress, NetworkDriver, Plugged, PluggedEndpoint, PlugRequest, Removal } from "./driver.ts";

/** What is usual for BIG TCP: as much as fits into one buffer with room for headers. */
const BIG_TCP_BYTES = 192 * 1024;

/** What bridges share. */
export interface BridgeDeps {
  /** The daemon's own namespace. */
  readonly home: Fd;
  readonly route: NetlinkSocket;
  readonly netfilter: NetlinkSocket;
  readonly firewall: Firewall;
  readonly egress: Pick<Egress, "remove">;
  readonly table: EndpointsTable;
  /** Frees addresses that only wait for their interface to go; whether it did. */
  readonly reclaim: () => boolean;
  readonly defaultMtu: number;
  /** Published ports of every bridge answer on the containers' addresses, too. */
  readonly allowsDirectRouting: boolean;
  /** Makes the host forward packets of a family. */
  readonly enableForwarding: (family: Family) => void;
  /** Takes a link of ours out of use, and deletes it a moment later. */
  readonly bury: (name: string) => void;
  /** Deletes the interfaces of an endpoint a moment later. */
  readonly retire: (endpoint: PluggedEndpoint) => void;
  /** Told when a network is removed. */
  readonly onRemove?: () => void;
}

/** A bridge on the host, with a veth pair to each container. */
export class BridgeNetwork implements DriverNetwork {
  readonly publishesPorts: boolean;
  readonly isPoliced: boolean;
  readonly hasReachablePorts: boolean;
  readonly addresses: LocalAddresses;
  readonly link: BridgeLink;
  readonly #config: NetworkConfig;
  readonly #settings: BridgeSettings;
  readonly #deps: BridgeDeps;

  /** @throws {NetlinkError} */
  constructor(config: NetworkConfig, settings: BridgeSettings, deps: BridgeDeps, addresses?: LocalAddresses) {
    this.#config = config;
    this.#settings = settings;
    this.#deps = deps;
    this.publishesPorts = !config.isInternal;
    this.isPoliced = !settings.hasBigTcp;
    this.hasReachablePorts = !config.isInternal && (deps.allowsDirectRouting || settings.trusted.length > 0);
    this.addresses = addresses ?? new LocalAddresses(config.pools, { reclaim: deps.reclaim, network: config });
    const name = settings.name ?? `br-${config.id.slice(0, 12)}`;
    for (const family of familiesOf(config)) deps.enableForwarding(family);
    this.link = ensureBridge(deps.route, {
      name,
      mtu: settings.mtu,
      addresses: config.pools.flatMap((pool) => this.#ownAddress(pool)),
      ownMac: deps.table.bridgeMac(name),
      onMake: (mac) => deps.table.putBridge(name, mac),
    });
    if (settings.hasBigTcp) enlarge(deps.route, this.link.index);
    if (!settings.icc && this.link.isFiltered && config.hasIpv6) filterBridgedIpv6();
    deps.firewall.addBridge(this.#rules(name));
  }

  get bridge(): string {
    return this.link.name;
  }

  /** The families that its containers have addresses of. */
  get families(): readonly Family[] {
    return familiesOf(this.#config);
  }

  get settings(): BridgeSettings {
    return this.#settings;
  }

  /** What the bridge itself is called in a subnet: the gateway, unless somebody else is that. */
  #ownAddress({ subnet, gateway }: IpamPool): Prefix[] {
    if (!gateway) return [];
    const { family, length } = parsePrefix(subnet);
    const isOther = this.#settings.modes[family] === "isolated" || (family === 4 && this.#settings.inhibitsIpv4);
    return isOther ? [] : [prefixOf(parseIp(gateway), length)];
  }

  #rules(name: string): BridgeRules {
    const { icc, masquerade, modes, hostIps, trusted } = this.#settings;
    const families = familiesOf(this.#config);
    const of = (family: Family): FamilyRules | undefined =>
      families.includes(family) ? { mode: modes[family], masquerade, hostIp: hostIps[family] } : undefined;
    const subnets = this.#config.pools.map(({ subnet }) => subnet);
    const isReachable = this.#deps.allowsDirectRouting;
    return { name, icc, isInternal: this.#config.isInternal, subnets, isReachable, trusted, families: { 4: of(4), 6: of(6) } };
  }

  gateway(family: Family): string | undefined {
    if (this.#config.isInternal) return undefined;
    return this.#pool(family)?.auxAddresses?.[DEFAULT_GATEWAY[family]] ?? this.hostAddress(family);
  }

  hostAddress(family: Family): string | undefined {
    return this.#config.isInternal ? undefined : this.#pool(family)?.gateway || undefined;
  }

  #pool(family: Family): IpamPool | undefined {
    return this.#config.pools.find(({ subnet }) => subnet.includes(":") === (family === 6));
  }

  plug(request: PlugRequest): Plugged {
    return insideNetns(this.#deps.home, request.netns.fd, () => this.plugHere(request));
  }

  /** The same for a thread that is in the sandbox's namespace; the daemon's sockets still belong to the host's. */
  plugHere({
    netns,
    interfaceName,
    index,
    addresses,
    mac = macFor(addresses),
    beforeUp,
  }: Omit<PlugRequest, "containerId" | "endpointId" | "names" | "options">): Plugged {
    const { route } = this.#deps;
    const { mtu, icc, hasBigTcp } = this.#settings;
    const hostInterface = `veth${randomBytes(4).toString("hex").slice(0, 7)}`;
    setIpv6("default", false);
    try {
      // on the bridge from the beginning: there the next daemon finds it
      const near = { name: hostInterface, mtu, master: this.link.index };
      route.request(addVeth(near, { name: interfaceName, index, netnsFd: netns.fd, mtu, mac }));
    } finally {
      setIpv6("default", true);
    }
    try {
      beforeUp?.({ hostInterface, mac: formatMac(mac) });
      route.request(setLink(0, { name: hostInterface, up: true }));
      // br_netfilter carries what it readdresses within the bridge: back out of the same port, when a container asks for itself,
      // and its packets pass the forward chain, which tells published ports from others; without it the bridge must keep ports apart
      if (this.link.isFiltered) route.request(setBridgePort(this.#indexOf(hostInterface), { isHairpin: true }));
      else if (!icc) route.request(setBridgePort(this.#indexOf(hostInterface), { isIsolated: true }));
      if (addresses[6] !== undefined) setIpv6(interfaceName, true);
      if (hasBigTcp) enlarge(route, this.#indexOf(hostInterface));
      bringUp(interfaceName, index, { addresses, hasBigTcp });
    } catch (error) {
      route.requestAll([deleteLink(hostInterface)]);
      this.#deps.egress.remove(hostInterface);
      throw error;
    }
    return { mac: formatMac(mac), hostInterface };
  }

  #indexOf(name: string): number {
    const link = findLink(this.#deps.route, name);
    if (link === undefined) throw new DhowError("internal", `find interface ${name}: it is gone`);
    return link.index;
  }

  unplug(endpoint: PluggedEndpoint, { isSandboxGone, netns }: { readonly isSandboxGone: boolean; readonly netns: Fd | undefined }): void {
    const { hostInterface, interfaceName, addresses } = endpoint;
    if (!isSandboxGone && hostInterface !== undefined) {
      if (netns !== undefined && shutDown(this.#deps.home, netns, interfaceName)) this.#deps.retire(endpoint);
      else {
        const [failed] = this.#deps.route.requestAll([deleteLink(hostInterface)]);
        if (failed !== undefined && !isErrno(failed, "ENODEV")) throw failed;
      }
    }
    if (hostInterface !== undefined) this.#deps.egress.remove(hostInterface);
    for (const address of [addresses[4], addresses[6]]) if (address !== undefined) this.forget(address.address);
  }

  /** Nothing of an address's former life is to reach its next holder: tracked flows, neighbour entries. The address is free afterwards. */
  forget(address: string): void {
    const { netfilter, route } = this.#deps;
    const bytes = tryIpBytes(address);
    if (bytes === undefined) return;
    flushFlowsOf(netfilter, bytes, "either");
    const [failed] = route.requestAll([deleteIpNeighbour(this.link.index, bytes)]);
    if (failed !== undefined && !isErrno(failed, "ENOENT", "ENODEV")) throw failed;
    this.addresses.free(ipOfBytes(bytes));
  }

  adopt({ addresses }: PluggedEndpoint): void {
    for (const address of [addresses[4], addresses[6]]) if (address !== undefined) this.addresses.mark(parseIp(address.address));
  }

  close(): void {}

  remove(): Removal {
    const { firewall, bury, onRemove } = this.#deps;
    onRemove?.();
    firewall.removeBridge(this.link.name);
    if (this.link.isOwn) bury(this.link.name);
    return "removed";
  }
}

/**
 * Puts an interface out of use in a sandbox: down, without an address, its name free for another. To take it away takes the kernel a grace
 * period, tens of milliseconds on a busy machine, and would hold this thread up. False: it is not there.
 */
function shutDown(home: Fd, netns: Fd, name: string): boolean {
  return insideNetns(home, netns.fd, () => {
    using inside = new NetlinkSocket(NETLINK.ROUTE, { receiveBytes: 8192 });
    const link = findLink(inside, name);
    if (link?.kind !== "veth") return false;
    const own = listIpAddresses(inside).filter(({ index }) => index === link.index);
    inside.requestAll(own.map(({ index, address, prefixLength }) => deleteIpAddress(index, address, prefixLength)));
    inside.request(setLink(link.index, { up: false }), setLink(link.index, { name: `gone${randomBytes(5).toString("hex")}` }));
    return true;
  });
}

/** Lets a link carry larger packets than the usual 64 KiB, where the kernel can. */
function enlarge(socket: NetlinkSocket, index: number): void {
  const [failed] = socket.requestAll([setLink(index, { segmentation: BIG_TCP_BYTES })]);
  if (failed !== undefined && !isErrno(failed, "EINVAL", "ERANGE")) throw failed;
}

interface Inside {
  readonly addresses: Readonly<Record<Family, InterfaceAddress | undefined>>;
  readonly hasBigTcp: boolean;
}

function bringUp(name: string, wantedIndex: number, { addresses, hasBigTcp }: Inside): void {
  using inside = new NetlinkSocket(NETLINK.ROUTE, { receiveBytes: 8192 });
  const index = wantedIndex || (findLink(inside, name)?.index ?? 0);
  if (hasBigTcp) enlarge(inside, index);
  const own = [addresses[4], addresses[6]].flatMap((a) => (a === undefined ? [] : addIpAddress(index, bytesOf(a.address), a.prefixLength)));
  inside.request(...own, setLink(index, { up: true }));
}

function bytesOf(address: string): Uint8Array {
  return ipBytes(parseIp(address));
}

/** Docker's choice: 02:42 and the bytes of the IPv4 address; random without one. */
function macFor(addresses: Readonly<Record<Family, InterfaceAddress | undefined>>): Uint8Array {
  const tail = addresses[4] === undefined ? randomBytes(4) : bytesOf(addresses[4].address);
  return Uint8Array.from([2, 0x42, ...tail]);
}

/** The driver of bridges that users create. */
export class BridgeDriver implements NetworkDriver {
  readonly name = BRIDGE_DRIVER;
  readonly scope = "local";
  readonly #deps: BridgeDeps;
  /** Names of the bridges that networks have, by network id. */
  readonly #names = new Map<string, { readonly network: string; readonly bridge: string }>();

  constructor(deps: BridgeDeps) {
    this.#deps = deps;
  }

  /** Where the bridge has no address and no container sends to what is elsewhere. */
  needsNoGateway(request: NetworkRequest, family: Family): boolean {
    const { modes, inhibitsIpv4 } = bridgeSettings(request);
    return modes[family] === "isolated" || (family === 4 && inhibitsIpv4 && request.isInternal);
  }

  check(request: NetworkRequest): void {
    const { name } = bridgeSettings(request);
    checkValues(request.options);
    for (const pool of request.pools) if (request.hasIpv6) checkIpv6Subnet(pool);
    for (const [id, taken] of this.#names) {
      if (taken.bridge !== name) continue;
      throw new DhowError(
        "forbidden",
        `cannot create network ${request.name} (${name}): conflicts with network ${id} (${taken.bridge}): networks have same bridge name`,
      );
    }
    for (const family of [4, 6] as const) {
      const count = request.pools.filter(({ subnet = "" }) => subnet !== "" && subnet.includes(":") === (family === 6)).length;
      if (count > 1) throw new DhowError("invalid", `bridge driver doesn't support multiple subnets`);
    }
  }

  /** The default bridge's name is taken, too. */
  reserve(networkId: string, network: string, bridge: string): void {
    this.#names.set(networkId, { network, bridge });
  }

  open(config: NetworkConfig): DriverNetwork {
    const deps = { ...this.#deps, onRemove: () => void this.#names.delete(config.id) };
    const network = new BridgeNetwork(config, bridgeSettings(config, this.#deps.defaultMtu), deps);
    this.reserve(config.id, config.name, network.bridge);
    return network;
  }
}
