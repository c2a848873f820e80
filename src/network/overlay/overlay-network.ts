import { randomBytes } from "node:crypto";
import { DhowError, type Logger } from "../../lib/mod.ts";
import {
  addBridge,
  addIpAddress,
  addIpNeighbour,
  addVeth,
  addVxlan,
  deleteForwarding,
  deleteIpNeighbour,
  deleteLink,
  type Fd,
  findLink,
  formatMac,
  insideNetns,
  isErrno,
  listForwarding,
  listNeighbours,
  NETLINK,
  NetlinkSocket,
  replaceForwarding,
  setLink,
  vxlanSource,
} from "../../linux/mod.ts";
import type { EndpointsTable } from "../../metadata/mod.ts";
import { setIpv6 } from "../drivers/bridge-link.ts";
import type { DriverNetwork, NamedEndpoint, Plugged, PluggedEndpoint, PlugRequest, RemoteEndpoint, Removal } from "../drivers/driver.ts";
import { type Family, formatIp, ipBytes, ipOfBytes, parseIp } from "../ip.ts";
import { isIpamPlugin } from "../ipam-network.ts";
import { parseMac } from "../mac.ts";
import type { NetworkConfig } from "../network-config.ts";
import { ClusterAddresses } from "./addresses.ts";
import { freeNetwork, vniOf } from "./allocation.ts";
import type { Cluster } from "./cluster.ts";
import type { Encryption } from "./encryption.ts";
import { VXLAN_PORT } from "./esp.ts";

const DEFAULT_HOST_MTU = 1500;
/** The headers of Ethernet, VXLAN, UDP and IPv4, or IPv6. */
const VXLAN_OVERHEAD = { 4: 50, 6: 70 } as const;
/** SPI, sequence number, initialization vector, length of the padding, next header and ICV of ESP with AES-GCM (RFC 4106). */
const ESP_OVERHEAD = 4 + 4 + 8 + 1 + 1 + 16;

export interface OverlayDeps {
  readonly home: Fd;
  readonly route: NetlinkSocket;
  readonly log: Logger;
  readonly cluster: Cluster;
  readonly table: EndpointsTable;
  readonly reclaim: () => boolean;
  readonly encryption: Encryption;
}

/** Docker's option: its being there is what counts. */
export function isEncrypted({ options }: Pick<NetworkConfig, "options">): boolean {
  return Object.hasOwn(options, "encrypted");
}

/** What containers may send at once: what the hosts may, by the option, less what is put around it. */
export function overlayMtu(config: Pick<NetworkConfig, "options">, family: Family): number {
  const mtu = Number(config.options["com.docker.network.driver.mtu"] || DEFAULT_HOST_MTU) - VXLAN_OVERHEAD[family];
  // ESP fills up to a multiple of four bytes
  return isEncrypted(config) ? (mtu - ESP_OVERHEAD) & ~3 : mtu;
}

/** An endpoint as its host tells the others. */
interface Entry {
  readonly host: string;
  readonly vtep: string;
  readonly mac: string;
  readonly addresses: readonly string[];
  readonly names: readonly string[];
}

/** Names of what a network has on each host. */
export function linkNames(id: string): { readonly bridge: string; readonly vxlan: string } {
  return { bridge: `ov-${id.slice(0, 12)}`, vxlan: `vx-${id.slice(0, 12)}` };
}

/**
 * A network of several hosts, on this one: a bridge without an address, the veth pairs of this host's containers in it, and a VXLAN that
 * knows where the others are. It learns and floods nothing: each endpoint of another host is a forwarding entry and a neighbour, out of
 * which the VXLAN answers for it.
 */
export class OverlayNetwork implements DriverNetwork {
  readonly publishesPorts = false;
  readonly needsOutside: boolean;
  /** Undefined where an IPAM plug-in gives them. */
  readonly addresses: ClusterAddresses | undefined;
  readonly bridge: string;
  readonly links: readonly string[];
  readonly #config: NetworkConfig;
  readonly #deps: OverlayDeps;
  readonly #prefix: string;
  readonly #mtu: number;
  readonly #listening: Disposable;
  readonly #vxlan: number;
  /** Endpoints of other hosts, by key, as they were programmed. */
  readonly #remote = new Map<string, Entry>();

  /** @throws {NetlinkError} */
  constructor(config: NetworkConfig, deps: OverlayDeps) {
    this.#config = config;
    this.#deps = deps;
    this.#prefix = `endpoints/${config.id}/`;
    this.needsOutside = !config.isInternal;
    this.#mtu = overlayMtu(config, parseIp(deps.cluster.vtep).family);
    this.bridge = linkNames(config.id).bridge;
    this.links = [linkNames(config.id).vxlan];
    this.#vxlan = isEncrypted(config) ? this.#makeEncrypted() : this.#makeLinks();
    this.addresses = isIpamPlugin(config.ipamDriver) ? undefined : new ClusterAddresses(deps.cluster, config, deps.reclaim);
    for (const [key, value] of deps.cluster.entries(this.#prefix)) this.#follow(key, value);
    this.#listening = deps.cluster.listen((key, value) => {
      if (key.startsWith(this.#prefix)) this.#follow(key, value);
    });
    if (deps.cluster.isReached) this.sweep();
  }

  /** The guards come first, so that nothing ever passes in the clear. */
  #makeEncrypted(): number {
    const { encryption, route } = this.#deps;
    const { id } = this.#config;
    try {
      return this.#makeLinks(encryption.add(id, vniOf(this.#config) ?? 0));
    } catch (error) {
      // the identifier may be somebody else's here
      if (findLink(route, linkNames(id).vxlan) === undefined) encryption.remove(id);
      throw error;
    }
  }

  /** The bridge and the VXLAN in it, new or as the last daemon left them; the VXLAN's index. Without `sourcePorts` it sends from any. */
  #makeLinks(sourcePorts?: { readonly first: number; readonly end: number }): number {
    const { route, cluster } = this.#deps;
    const names = linkNames(this.#config.id);
    const vni = vniOf(this.#config);
    if (vni === undefined) throw new DhowError("internal", `open overlay network ${this.#config.name}: it has no VXLAN id`);
    if (findLink(route, names.bridge) === undefined) {
      route.request(addBridge({ name: names.bridge, mac: this.#marked(names.bridge), mtu: this.#mtu }));
      // it only carries: no address of the host's is on it
      setIpv6(names.bridge, false);
    }
    const master = this.#indexOf(names.bridge);
    const local = ipBytes(parseIp(cluster.vtep));
    if (findLink(route, names.vxlan) !== undefined) {
      const former = vxlanSource(route, names.vxlan);
      // the host has another address than in the last daemon's life
      if (!isSame(former.local, local) || former.firstPort !== (sourcePorts?.first ?? 0)) route.request(deleteLink(names.vxlan));
    }
    if (findLink(route, names.vxlan) === undefined) {
      const [failed] = route.requestAll([
        addVxlan(
          { name: names.vxlan, mac: this.#marked(names.vxlan), mtu: this.#mtu },
          { vni, local, port: VXLAN_PORT, sourcePorts, isProxy: true },
        ),
      ]);
      if (failed !== undefined) throw isErrno(failed, "EEXIST") ? taken(vni, failed) : failed;
      // where it has no IPv6, it has no IPv6 neighbours to answer for either
      setIpv6(names.vxlan, this.#config.hasIpv6 ? "no address" : false);
    }
    const index = this.#indexOf(names.vxlan);
    route.request(setLink(index, { master, up: true }), setLink(master, { up: true }));
    return index;
  }

  /** A MAC address for a link that is written down before it is made: so that the next daemon knows it for its own. */
  #marked(name: string): Uint8Array {
    const mac = Uint8Array.from([2, 0x42, ...randomBytes(4)]);
    this.#deps.table.putBridge(name, formatMac(mac));
    return mac;
  }

  #indexOf(name: string): number {
    const link = findLink(this.#deps.route, name);
    if (link === undefined) throw new DhowError("internal", `find interface ${name}: it is gone`);
    return link.index;
  }

  /** Another host's endpoint came, changed or went. */
  #follow(key: string, value: string | undefined): void {
    const former = this.#remote.get(key);
    const entry = value === undefined ? undefined : (JSON.parse(value) as Entry);
    if (former !== undefined) {
      this.#remote.delete(key);
      if (entry?.mac !== former.mac || entry.vtep !== former.vtep) this.#withdraw(former);
    }
    if (entry === undefined || entry.host === this.#deps.cluster.hostId) return;
    this.#remote.set(key, entry);
    const mac = parseMac(entry.mac);
    this.#deps.route.request(
      replaceForwarding(this.#vxlan, { mac, vtep: ipBytes(parseIp(entry.vtep)) }),
      ...entry.addresses.map((address) => addIpNeighbour(this.#vxlan, ipBytes(parseIp(address)), mac)),
    );
  }

  #withdraw({ mac, vtep, addresses }: Entry): void {
    const { route } = this.#deps;
    const requests = [
      deleteForwarding(this.#vxlan, { mac: parseMac(mac), vtep: ipBytes(parseIp(vtep)) }),
      ...addresses.map((address) => deleteIpNeighbour(this.#vxlan, ipBytes(parseIp(address)))),
    ];
    for (const failed of route.requestAll(requests)) if (failed !== undefined && !isErrno(failed, "ENOENT", "ENODEV")) throw failed;
  }

  /** Takes away what the last daemon programmed of endpoints that are gone; only once etcd has said which are there. */
  sweep(): void {
    const { route } = this.#deps;
    const entries = [...this.#remote.values()];
    const macs = new Set(entries.map(({ mac }) => mac));
    const ips = new Set(entries.flatMap(({ addresses }) => addresses));
    const stale = [
      ...listForwarding(route, this.#vxlan)
        .filter(({ mac, vtep }) => vtep !== undefined && !macs.has(formatMac(mac)))
        .map((entry) => deleteForwarding(this.#vxlan, entry)),
      ...listNeighbours(route, this.#vxlan)
        .filter(({ address }) => !ips.has(formatIp(ipOfBytes(address))))
        .map(({ address }) => deleteIpNeighbour(this.#vxlan, address)),
    ];
    if (stale.length > 0) route.requestAll(stale);
  }

  gateway(): undefined {}

  async plug(request: PlugRequest): Promise<Plugged> {
    const { cluster, home, encryption } = this.#deps;
    if (isEncrypted(this.#config)) await encryption.ready();
    const plugged = insideNetns(home, request.netns.fd, () => this.#plugHere(request));
    const addresses = [request.addresses[4], request.addresses[6]].flatMap((a) => a?.address ?? []);
    const entry: Entry = { host: cluster.hostId, vtep: cluster.vtep, mac: plugged.mac, addresses, names: request.names };
    try {
      if (await cluster.claim(this.#prefix + request.endpointId, JSON.stringify(entry), this.#config.id)) return plugged;
      throw new DhowError("notFound", `network ${this.#config.name} not found: another host removed it`);
    } catch (error) {
      this.#deps.route.requestAll([deleteLink(plugged.hostInterface)]);
      if (!(error instanceof DhowError) || error.kind !== "unavailable") throw error;
      throw new DhowError("unavailable", `connect to overlay network ${this.#config.name}: ${error.message}`, { cause: error });
    }
  }

  #plugHere({ netns, interfaceName, index, addresses, mac }: PlugRequest): { readonly mac: string; readonly hostInterface: string } {
    const { route } = this.#deps;
    const hostInterface = `veth${randomBytes(4).toString("hex").slice(0, 7)}`;
    const own = [addresses[4], addresses[6]].flatMap((a) =>
      a === undefined ? [] : { ip: ipBytes(parseIp(a.address)), length: a.prefixLength },
    );
    const [first] = own;
    const address = mac ?? Uint8Array.from([2, 0x42, ...(first?.ip.length === 4 ? first.ip : randomBytes(4))]);
    const mtu = this.#mtu;
    setIpv6("default", false);
    try {
      // on the bridge from the beginning: there the next daemon finds it
      const near = { name: hostInterface, mtu, master: this.#indexOf(this.bridge) };
      route.request(addVeth(near, { name: interfaceName, index, netnsFd: netns.fd, mtu, mac: address }));
    } finally {
      setIpv6("default", true);
    }
    try {
      route.request(setLink(0, { name: hostInterface, up: true }));
      if (addresses[6] !== undefined) setIpv6(interfaceName, true);
      using inside = new NetlinkSocket(NETLINK.ROUTE, { receiveBytes: 8192 });
      const link = index || (findLink(inside, interfaceName)?.index ?? 0);
      inside.request(...own.map(({ ip, length }) => addIpAddress(link, ip, length)), setLink(link, { up: true }));
    } catch (error) {
      route.requestAll([deleteLink(hostInterface)]);
      throw error;
    }
    return { mac: formatMac(address), hostInterface };
  }

  async unplug(endpoint: PluggedEndpoint, { isSandboxGone }: { readonly isSandboxGone: boolean }): Promise<void> {
    const { route, cluster } = this.#deps;
    if (!isSandboxGone && endpoint.hostInterface !== undefined) {
      const [failed] = route.requestAll([deleteLink(endpoint.hostInterface)]);
      if (failed !== undefined && !isErrno(failed, "ENODEV")) throw failed;
    }
    await cluster.release(this.#prefix + endpoint.endpointId);
    for (const a of [endpoint.addresses[4], endpoint.addresses[6]]) if (a !== undefined) await this.addresses?.free(parseIp(a.address));
  }

  adopt(endpoint: NamedEndpoint): void {
    for (const a of [endpoint.addresses[4], endpoint.addresses[6]]) if (a !== undefined) this.addresses?.mark(parseIp(a.address));
    this.rename(endpoint);
  }

  rename({ endpointId, mac, addresses, names }: NamedEndpoint): void {
    const { cluster } = this.#deps;
    const own = [addresses[4], addresses[6]].flatMap((a) => a?.address ?? []);
    const entry: Entry = { host: cluster.hostId, vtep: cluster.vtep, mac, addresses: own, names };
    cluster.hold(this.#prefix + endpointId, JSON.stringify(entry));
  }

  remoteEndpoints(): readonly RemoteEndpoint[] {
    return [...this.#remote.values()];
  }

  close(): void {
    this.#listening[Symbol.dispose]();
    this.addresses?.[Symbol.dispose]();
  }

  /** For all hosts. @throws forbidden while a container of any host is on it; unavailable */
  async remove(): Promise<Removal> {
    const removal = await freeNetwork(this.#deps.cluster, this.#config);
    this.forget();
    return removal;
  }

  /** On this host alone: another one removed it. */
  forget(): void {
    this.close();
    const { bridge, vxlan } = linkNames(this.#config.id);
    for (const failed of this.#deps.route.requestAll([deleteLink(vxlan), deleteLink(bridge)])) {
      if (failed !== undefined && !isErrno(failed, "ENODEV")) throw failed;
    }
    for (const name of [vxlan, bridge]) this.#deps.table.removeBridge(name);
    this.#deps.encryption.remove(this.#config.id);
  }
}

function isSame(one: Uint8Array | undefined, other: Uint8Array): boolean {
  return one !== undefined && Buffer.compare(one, other) === 0;
}

function taken(vni: number, cause: unknown): DhowError {
  return new DhowError("conflict", `make the VXLAN ${vni}: another one of this host has that id and port ${VXLAN_PORT}`, { cause });
}
