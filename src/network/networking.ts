import { type Defect, DhowError, errorMessage, type Logger, randomId } from "../lib/mod.ts";
import {
  claimName,
  currentNetns,
  deleteLink,
  deleteNeighbour,
  type Fd,
  findLink,
  flushFlowsOf,
  flushFlowsTo,
  formatMac,
  isErrno,
  listLinks,
  NETLINK,
  NetlinkSocket,
  O_RDONLY,
  open,
} from "../linux/mod.ts";
import { type Database, type EndpointRow, EndpointsTable } from "../metadata/mod.ts";
import { type Bridge, ensureBridge } from "./bridge.ts";
import { isLoopback, readHostResolvConf } from "./container-files.ts";
import { cutOffContainers, firewallDefects, type NetworkRepairs, type NetworkView, networkDefects } from "./defects.ts";
import { DnsForwarder } from "./dns-forwarder.ts";
import { Firewall, foreignDrops, type PortForward } from "./firewall.ts";
import { enableForwarding } from "./ip-forward.ts";
import { AddressPool, DEFAULT_POOLS, type PoolSpec } from "./ipam.ts";
import { type Cidr, cidr, formatCidr, formatIpv4, parseCidr, parseIpv4, parseMac, tryParseIpv4 } from "./ipv4.ts";
import { PortAllocator, type PortLease } from "./port-allocator.ts";
import { type PortProxy, proxyTcp, proxyUdp } from "./port-proxy.ts";
import type { PortRequest, PortSpecs } from "./port-specs.ts";
import { type PooledSandbox, SandboxPool } from "./sandbox-pool.ts";

const UDP = 17;
const ANY_ADDRESS = "0.0.0.0";
/** Sandboxes are torn down in batches, so long after the first of a batch was given back. */
const TEARDOWN_DELAY_MS = 80;
const REAP_EVERY_MS = 1000;
/** How long the kernel may take over a dead sandbox before its interface is unplugged by force. */
const REAP_AFTER_MS = 5000;

export interface NetworkingOptions {
  readonly db: Database;
  readonly log: Logger;
  /** Name of the bridge; "none" = no bridge at all. */
  readonly bridgeName: string;
  /** The nft table of this daemon; two daemons of one host need two names. */
  readonly tableName: string;
  /** Address and network of the bridge, `10.1.0.1/24`. Empty texts and lists count as not given, here and below. */
  readonly bip?: string | undefined;
  /** The part of the bridge's network that containers get addresses of. */
  readonly fixedCidr?: string | undefined;
  /** Default 1500. */
  readonly mtu?: number | undefined;
  /** Switch the host's forwarding on; default true. */
  readonly ipForward?: boolean | undefined;
  /** Containers of the bridge reach each other; default true. */
  readonly icc?: boolean | undefined;
  /** Containers go out with the host's address; default true. */
  readonly ipMasq?: boolean | undefined;
  readonly defaultAddressPools?: readonly PoolSpec[] | undefined;
  /** Where ports are published that name no address (docker's `--ip`); default, as 0.0.0.0, every address, IPv6 too. */
  readonly defaultHostIp?: string | undefined;
  /** Sandboxes kept ready on the bridge; default 12 (and a third of it without network). */
  readonly poolSize?: number | undefined;
  /** Default /etc/resolv.conf. */
  readonly hostResolvConf?: string | undefined;
}

export type SandboxMode = "bridge" | "none";

export interface AcquireRequest {
  readonly mode: SandboxMode;
  /** For error texts. */
  readonly containerName: string;
  readonly ports: PortSpecs;
  /** `02:42:…`; default from the address. */
  readonly macAddress?: string | undefined;
  /** A network namespace that is to be the sandbox's, one of another user namespace; owned from now on. */
  readonly netns?: Fd | undefined;
}

export interface HostPort {
  readonly HostIp: string;
  readonly HostPort: string;
}

/** Docker's port map: null for a port that is exposed and not published. */
export type BoundPorts = Readonly<Record<string, readonly HostPort[] | null>>;

/** What a running container has of the network. */
export interface Sandbox {
  readonly containerId: string;
  readonly mode: SandboxMode;
  readonly sandboxId: string;
  readonly endpointId: string;
  readonly networkId: string;
  /** For the runtime's config; valid until `release`, in this life of the daemon. */
  readonly netnsPath: string;
  /** Empty in mode "none", as the following ones. */
  readonly ipAddress: string;
  readonly prefixLength: number;
  readonly gateway: string;
  readonly macAddress: string;
  readonly ports: BoundPorts;
}

/** Docker's counters of one interface, as the container sees it. */
export interface InterfaceStats {
  readonly rx_bytes: number;
  readonly rx_packets: number;
  readonly rx_errors: number;
  readonly rx_dropped: number;
  readonly tx_bytes: number;
  readonly tx_packets: number;
  readonly tx_errors: number;
  readonly tx_dropped: number;
}

/** A network as `docker network inspect` needs it. */
export interface NetworkFacts {
  readonly name: "bridge" | "host" | "none";
  readonly id: string;
  readonly createdAt: string;
  readonly driver: "bridge" | "host" | "null";
  readonly subnet: string | undefined;
  readonly gateway: string | undefined;
  readonly ipRange: string | undefined;
}

interface Held {
  readonly sandbox: Sandbox;
  /** Undefined after a restart of the daemon, until `adopt` opened it. */
  netns: Fd | undefined;
  readonly address: number | undefined;
  readonly hostInterface: string | undefined;
  readonly leases: readonly PortLease[];
  readonly proxies: PortProxy[];
  isReleased: boolean;
}

interface Waste {
  readonly netns: Fd | undefined;
  readonly address: number | undefined;
  readonly hostInterface: string | undefined;
}

interface Dying {
  readonly address: number | undefined;
  readonly hostInterface: string | undefined;
  /** On the monotonic clock, in ms. */
  readonly since: number;
}

/** The default bridge, its addresses, published ports and sandboxes: everything synchronous, in this process, over netlink. */
export class Networking {
  readonly #o: NetworkingOptions;
  readonly #log: Logger;
  readonly #table: EndpointsTable;
  readonly #home: Fd;
  readonly #route: NetlinkSocket;
  readonly #netfilter: NetlinkSocket;
  readonly #ports = new PortAllocator();
  readonly #held = new Map<string, Held>();
  readonly #waste: Waste[] = [];
  #dying: Dying[] = [];
  readonly #networks = new Map<string, NetworkFacts>();
  /** Kept while this daemon lives: no other one uses its bridge. */
  #claim: Fd | undefined;
  #bridge: Bridge | undefined;
  #addresses: AddressPool | undefined;
  #firewall: Firewall | undefined;
  #pool: SandboxPool | undefined;
  #dns: DnsForwarder | undefined;
  #sweep: ReturnType<typeof setTimeout> | undefined;
  #warnings: readonly string[] = [];

  constructor(options: NetworkingOptions) {
    this.#o = options;
    this.#log = options.log.child({ room: "network" });
    this.#table = new EndpointsTable(options.db);
    this.#home = currentNetns();
    this.#route = new NetlinkSocket(NETLINK.ROUTE);
    this.#netfilter = new NetlinkSocket(NETLINK.NETFILTER);
  }

  /**
   * Makes or adopts bridge and table and begins to fill the pool. Endpoints that the last daemon left keep address, ports and
   * connections until `adopt` says which of them are still alive.
   * @throws {NetlinkError} invalid, conflict, unavailable
   */
  start(): void {
    const { bridgeName } = this.#o;
    if (bridgeName === "none") this.#restore(undefined);
    else {
      this.#claim = claimBridge(bridgeName);
      try {
        this.#startBridge();
      } catch (error) {
        this.#claim.close();
        throw error;
      }
    }
    this.#recordNetworks();
    const size = this.#o.poolSize ?? 12;
    this.#pool = new SandboxPool({
      home: this.#home,
      route: this.#route,
      log: this.#log,
      bridge: this.#bridge,
      addresses: this.#addresses,
      mtu: this.#mtu,
      icc: this.#o.icc ?? true,
      size: { bridge: size, none: Math.ceil(size / 3) },
    });
    this.#pool.fill();
  }

  get #mtu(): number {
    return this.#o.mtu ?? 1500;
  }

  #startBridge(): void {
    const { bridgeName, tableName, bip, fixedCidr, defaultAddressPools: pools } = this.#o;
    const avoid: Cidr[] = [];
    for (const server of this.#hostServers()) {
      const address = tryParseIpv4(server);
      if (address !== undefined && !isLoopback(server)) avoid.push(cidr(address, 32));
    }
    const bridge = ensureBridge(this.#route, {
      name: bridgeName,
      bip: bip || undefined,
      formerSubnet: this.#table.networks().find((n) => n.name === "bridge")?.subnet ?? undefined,
      mtu: this.#mtu,
      pools: pools?.length ? pools : DEFAULT_POOLS,
      avoid,
      ownMac: this.#table.bridgeMac(bridgeName),
      onMake: (mac) => this.#table.putBridge(bridgeName, mac),
    });
    this.#bridge = bridge;
    this.#addresses = new AddressPool(bridge.subnet, fixedCidr ? parseCidr(fixedCidr) : bridge.subnet, [bridge.gateway], () =>
      this.#reclaim(),
    );
    if (this.#o.ipForward ?? true) enableForwarding(this.#log);
    this.#restore(bridge);
    this.#firewall = new Firewall(
      { tableName, bridgeName, subnet: bridge.subnet, icc: this.#o.icc ?? true, masquerade: this.#o.ipMasq ?? true },
      this.#netfilter,
    );
    this.#firewall.install(this.#allForwards());
    for (const held of this.#held.values()) this.#startProxies(held);
    this.#startDns(bridge);
    void foreignDrops(tableName, bridgeName).then((warnings) => {
      this.#warnings = warnings;
      for (const warning of warnings) this.#log.warn(warning);
    });
  }

  #hostServers(): readonly string[] {
    return readHostResolvConf(this.#o.hostResolvConf).nameservers;
  }

  #startDns(bridge: Bridge): void {
    const servers = this.#hostServers();
    if (servers.some((s) => !isLoopback(s) && tryParseIpv4(s) !== undefined)) return;
    const upstreams = servers.filter((s) => s.startsWith("127."));
    const address = formatIpv4(bridge.gateway);
    this.#dns = new DnsForwarder({ address, upstreams: upstreams.length > 0 ? upstreams : ["127.0.0.1"], log: this.#log });
    void this.#dns.start();
  }

  #recordNetworks(): void {
    const known = new Map(this.#table.networks().map((row) => [row.name, row]));
    const subnet = this.#bridge === undefined ? null : formatCidr(this.#bridge.subnet);
    for (const [name, driver] of [
      ["bridge", "bridge"],
      ["host", "host"],
      ["none", "null"],
    ] as const) {
      if (name === "bridge" && subnet === null) continue;
      const former = known.get(name);
      const wanted = name === "bridge" ? subnet : null;
      const row = former ?? { name, id: randomId(), driver, created_at: new Date().toISOString().replace("Z", "000000Z"), subnet: wanted };
      if (former === undefined || former.subnet !== wanted) this.#table.putNetwork({ ...row, subnet: wanted });
      this.#networks.set(name, {
        name,
        id: row.id,
        createdAt: row.created_at,
        driver,
        subnet: wanted ?? undefined,
        gateway: name === "bridge" && this.#bridge !== undefined ? formatIpv4(this.#bridge.gateway) : undefined,
        ipRange: name === "bridge" ? this.#o.fixedCidr || undefined : undefined,
      });
    }
  }

  /** Takes up what the last daemon left: an endpoint whose interface is gone went with its container. */
  #restore(bridge: Bridge | undefined): void {
    const present = new Set(bridge === undefined ? [] : this.#pluggedIn(bridge));
    for (const row of this.#table.list()) {
      if (row.network === "bridge" && (row.host_interface === null || !present.has(row.host_interface))) {
        this.#table.remove(row.container_id);
        continue;
      }
      this.#held.set(row.container_id, this.#heldOf(row, bridge));
    }
  }

  #pluggedIn(bridge: Bridge): string[] {
    return listLinks(this.#route)
      .filter((l) => l.master === bridge.index)
      .map((l) => l.name);
  }

  #heldOf(row: EndpointRow, bridge: Bridge | undefined): Held {
    const stored = JSON.parse(row.ports) as { readonly shown: BoundPorts; readonly leases: Omit<PortLease, "socket">[] };
    const address = row.ip_address === null ? undefined : parseIpv4(row.ip_address);
    if (address !== undefined) this.#addresses?.mark(address);
    const isBridge = row.network === "bridge" && bridge !== undefined;
    return {
      sandbox: {
        containerId: row.container_id,
        mode: row.network === "bridge" ? "bridge" : "none",
        sandboxId: row.sandbox_id,
        endpointId: row.endpoint_id,
        networkId: this.#table.networks().find((n) => n.name === row.network)?.id ?? "",
        netnsPath: "",
        ipAddress: row.ip_address ?? "",
        prefixLength: isBridge ? bridge.subnet.prefixLength : 0,
        gateway: isBridge ? formatIpv4(bridge.gateway) : "",
        macAddress: row.mac_address ?? "",
        ports: stored.shown,
      },
      netns: undefined,
      address,
      hostInterface: row.host_interface ?? undefined,
      leases: stored.leases.map((lease) => this.#ports.restore(lease)),
      proxies: [],
      isReleased: false,
    };
  }

  /**
   * Gives a container its sandbox, taken from the pool, and publishes its ports. Costs well under 1 ms, spawns nothing.
   * @throws internal for taken ports and conflict for used-up addresses, in docker's words; invalid MAC address
   */
  acquire(containerId: string, request: AcquireRequest): Sandbox {
    this.release(containerId);
    const pool = this.#pool;
    if (pool === undefined) throw new DhowError("unavailable", "acquire a sandbox: the network is not started");
    const mac = request.macAddress ? parseMac(request.macAddress) : undefined;
    const endpointId = randomId();
    let pooled = request.netns === undefined ? pool.take(request.mode) : pool.furnish(request.mode, request.netns);
    let leases: PortLease[] = [];
    try {
      if (mac !== undefined) pooled = pool.setMac(pooled, mac);
      const { endpoint } = pooled;
      if (endpoint !== undefined) leases = this.#ports.allocate(this.#placed(request.ports), { containerIp: formatIpv4(endpoint.address) });
      const sandbox = this.#sandboxOf(containerId, request, { endpointId, pooled, leases });
      this.#record(sandbox, pooled, leases);
      const held: Held = {
        sandbox,
        netns: pooled.netns,
        address: endpoint?.address,
        hostInterface: endpoint?.hostInterface,
        leases,
        proxies: [],
        isReleased: false,
      };
      this.#publish(held);
      this.#held.set(containerId, held);
      return sandbox;
    } catch (error) {
      this.#table.remove(containerId);
      this.#ports.release(leases);
      this.#discard({ netns: pooled.netns, address: pooled.endpoint?.address, hostInterface: pooled.endpoint?.hostInterface });
      throw this.#portError(error, request.containerName, endpointId);
    }
  }

  #placed({ requests }: PortSpecs): readonly PortRequest[] {
    const hostIp = this.#o.defaultHostIp ?? "";
    if (hostIp === "" || hostIp === ANY_ADDRESS) return requests;
    return requests.map((request) => (request.hostIp === "" ? { ...request, hostIp } : request));
  }

  #portError(error: unknown, name: string, endpointId: string): unknown {
    if (!(error instanceof DhowError) || error.kind !== "internal") return error;
    const text = `driver failed programming external connectivity on endpoint ${name} (${endpointId}): ${errorMessage(error)}`;
    return new DhowError("internal", text, { cause: error, details: error.details });
  }

  #sandboxOf(
    containerId: string,
    request: AcquireRequest,
    made: { readonly endpointId: string; readonly pooled: PooledSandbox; readonly leases: readonly PortLease[] },
  ): Sandbox {
    const { endpointId, pooled } = made;
    const { endpoint, netns } = pooled;
    const bridge = this.#bridge;
    return {
      containerId,
      mode: request.mode,
      sandboxId: randomId(),
      endpointId,
      networkId: this.#networks.get(request.mode)?.id ?? "",
      netnsPath: `/proc/${process.pid}/fd/${netns.fd}`,
      ipAddress: endpoint === undefined ? "" : formatIpv4(endpoint.address),
      prefixLength: endpoint === undefined ? 0 : (bridge?.subnet.prefixLength ?? 0),
      gateway: endpoint === undefined || bridge === undefined ? "" : formatIpv4(bridge.gateway),
      macAddress: endpoint === undefined ? "" : formatMac(endpoint.mac),
      ports: endpoint === undefined ? {} : portMap(request.ports.exposed, made.leases),
    };
  }

  #record(sandbox: Sandbox, pooled: PooledSandbox, leases: readonly PortLease[]): void {
    const { endpoint } = pooled;
    this.#table.put({
      container_id: sandbox.containerId,
      endpoint_id: sandbox.endpointId,
      sandbox_id: sandbox.sandboxId,
      network: sandbox.mode,
      ip_address: endpoint === undefined ? null : sandbox.ipAddress,
      mac_address: endpoint === undefined ? null : sandbox.macAddress,
      host_interface: endpoint?.hostInterface ?? null,
      ports: portsText(sandbox, leases),
    });
  }

  #publish(held: Held): void {
    const forwards = forwardsOf(held);
    if (forwards.length > 0) this.#firewall?.publish(forwards, () => this.#allForwards());
    // a flow that began before the port was published would go on without it
    for (const f of forwards) if (f.protocol === "udp") flushFlowsTo(this.#netfilter, UDP, f.hostPort);
    // IPv6 clients can wait until the container is started
    if (held.leases.some((l) => l.isV6)) setImmediate(() => this.#startProxies(held));
  }

  #startProxies(held: Held): void {
    if (held.isReleased) return;
    for (const lease of held.leases) {
      if (!lease.isV6 || lease.socket === undefined || lease.socket.fd < 0 || lease.protocol === "sctp") continue;
      const target = { address: held.sandbox.ipAddress, port: lease.containerPort };
      held.proxies.push((lease.protocol === "tcp" ? proxyTcp : proxyUdp)(lease.socket, target, this.#log));
    }
  }

  #allForwards(): PortForward[] {
    return [...this.#held.values()].flatMap(forwardsOf);
  }

  /** Takes a container's ports and sandbox back; none: nothing. The sandbox itself is torn down in the background, never used again. */
  release(containerId: string): void {
    const held = this.#held.get(containerId);
    if (held === undefined) return;
    held.isReleased = true;
    this.#held.delete(containerId);
    try {
      const forwards = forwardsOf(held);
      if (forwards.length > 0) this.#firewall?.unpublish(forwards);
    } catch (error) {
      this.#log.error("can't take published ports back", { container: containerId, error });
    }
    for (const proxy of held.proxies) proxy.close();
    this.#ports.release(held.leases);
    this.#table.remove(containerId);
    this.#discard({ netns: held.netns, address: held.address, hostInterface: held.hostInterface });
  }

  #discard(waste: Waste): void {
    this.#waste.push(waste);
    this.#pool?.ended();
    if (this.#sweep !== undefined) return;
    this.#sweep = setTimeout(() => this.#sweepWaste(), TEARDOWN_DELAY_MS);
    this.#sweep.unref();
  }

  /** The kernel dismantles namespaces of one batch together, on a thread of its own, once their last descriptor is closed. */
  #sweepWaste(): void {
    this.#sweep = undefined;
    for (const waste of this.#waste.splice(0)) {
      waste.netns?.close();
      if (waste.address !== undefined) this.#dying.push({ ...waste, since: performance.now() });
    }
    this.#reap(REAP_AFTER_MS);
    if (this.#dying.length === 0) return;
    this.#sweep = setTimeout(() => this.#sweepWaste(), REAP_EVERY_MS);
    this.#sweep.unref();
  }

  /** For an exhausted address pool: doesn't wait any longer for what is being torn down. */
  #reclaim(): boolean {
    const before = this.#addresses?.usedCount;
    clearTimeout(this.#sweep);
    this.#sweepWaste();
    this.#reap(0);
    return this.#addresses?.usedCount !== before;
  }

  /**
   * Frees the addresses of interfaces that are gone. What is still there after `patienceMs` is kept by a process that outlived
   * its container, or by a slow kernel: it is unplugged by force.
   */
  #reap(patienceMs: number): void {
    if (this.#dying.length === 0 || this.#bridge === undefined) return;
    const present = new Set(this.#pluggedIn(this.#bridge));
    const rest: Dying[] = [];
    for (const dying of this.#dying) {
      const { hostInterface = "", address, since } = dying;
      const isPresent = present.has(hostInterface);
      if (isPresent && performance.now() - since < patienceMs) {
        rest.push(dying);
        continue;
      }
      try {
        if (isPresent) this.#unplug(hostInterface);
        this.#forget(address);
      } catch (error) {
        this.#log.warn("can't clean up after a sandbox", { interface: hostInterface, error });
        rest.push(dying);
      }
    }
    this.#dying = rest;
  }

  /** Nothing of an address's former life is to reach its next holder: tracked flows, neighbour entries. */
  #forget(address: number | undefined): void {
    if (address === undefined) return;
    for (const side of ["reply", "origin"] as const) flushFlowsOf(this.#netfilter, address, side);
    if (this.#bridge !== undefined) {
      const [failed] = this.#route.requestAll([deleteNeighbour(this.#bridge.index, address)]);
      if (failed !== undefined && !isErrno(failed, "ENOENT")) throw failed;
    }
    this.#addresses?.free(address);
  }

  #unplug(hostInterface: string): void {
    try {
      this.#route.request(deleteLink(hostInterface));
    } catch (error) {
      if (!isErrno(error, "ENODEV")) throw error;
    }
  }

  /**
   * After a restart: keeps the endpoints of `alive` (container id → pid of a process in its sandbox) and releases all others.
   * The sandbox's namespace is opened again, so that others can join it.
   */
  adopt(alive: ReadonlyMap<string, number>): void {
    for (const [containerId, held] of [...this.#held]) {
      const pid = alive.get(containerId);
      if (pid === undefined) {
        this.release(containerId);
        continue;
      }
      if (held.netns !== undefined) continue;
      try {
        held.netns = open(`/proc/${pid}/ns/net`, O_RDONLY);
        this.#held.set(containerId, { ...held, sandbox: { ...held.sandbox, netnsPath: `/proc/${process.pid}/fd/${held.netns.fd}` } });
      } catch (error) {
        this.#log.warn("can't open a running container's network namespace", { container: containerId, pid, error });
      }
    }
  }

  /** What is not as it must be; what is being torn down is none of it. `isRun`: whether a container runs, or is about to. */
  async defects(isRun: (containerId: string) => boolean): Promise<Defect[]> {
    const look = (): NetworkView => this.#view();
    const firewall = this.#firewall;
    const rules =
      firewall &&
      (await firewallDefects(
        look,
        () => firewall.read(),
        () => firewall.install(this.#allForwards()),
      ));
    return [...networkDefects(look, this.#repairs(), isRun), ...(rules ?? [])];
  }

  /** The running containers whose interface somebody took away: they are cut off until they are started again. */
  cutOff(): string[] {
    return cutOffContainers(this.#view());
  }

  #view(): NetworkView {
    const bridge = this.#bridge;
    const links = listLinks(this.#route);
    return {
      held: [...this.#held.values()].map((held) => ({
        containerId: held.sandbox.containerId,
        hostInterface: held.hostInterface,
        address: held.address,
        ports: held.leases,
        forwards: forwardsOf(held),
      })),
      ready: this.#pool?.endpoints() ?? [],
      leaving: [...this.#waste, ...this.#dying],
      rows: this.#table.list().map((row) => row.container_id),
      interfaces: new Set(links.map(({ name }) => name)),
      plugged: bridge === undefined ? [] : links.filter(({ master }) => master === bridge.index).map(({ name }) => name),
      addresses: this.#addresses?.used() ?? [],
      reserved: bridge === undefined ? [] : [bridge.gateway],
      ports: this.#ports.taken(),
    };
  }

  #repairs(): NetworkRepairs {
    return {
      release: (id) => this.release(id),
      deleteRow: (id) => this.#table.remove(id),
      writeRow: (id) => this.#recordAgain(id),
      dropReady: (name) => this.#pool?.drop(name),
      unplug: (name) => this.#unplug(name),
      freeAddress: (address) => this.#forget(address),
      freePort: (port) => this.#ports.release([{ ...port, containerPort: 0, isV6: false, socket: undefined }]),
    };
  }

  #recordAgain(containerId: string): void {
    const held = this.#held.get(containerId);
    if (held === undefined) return;
    const { sandbox, address, hostInterface, leases } = held;
    const isBridge = address !== undefined;
    this.#table.put({
      container_id: sandbox.containerId,
      endpoint_id: sandbox.endpointId,
      sandbox_id: sandbox.sandboxId,
      network: sandbox.mode,
      ip_address: isBridge ? sandbox.ipAddress : null,
      mac_address: isBridge ? sandbox.macAddress : null,
      host_interface: hostInterface ?? null,
      ports: portsText(sandbox, leases),
    });
  }

  /** What a container holds; undefined when it holds nothing. */
  sandbox(containerId: string): Sandbox | undefined {
    return this.#held.get(containerId)?.sandbox;
  }

  /** All held sandboxes. */
  sandboxes(): Sandbox[] {
    return [...this.#held.values()].map((h) => h.sandbox);
  }

  /** Counters by the container's interface name; empty without a network of its own. */
  stats(containerId: string): Readonly<Record<string, InterfaceStats>> {
    const name = this.#held.get(containerId)?.hostInterface;
    const s = name === undefined ? undefined : findLink(this.#route, name)?.stats;
    if (s === undefined) return {};
    // what the host's end received, the container sent
    return {
      eth0: {
        rx_bytes: s.txBytes,
        rx_packets: s.txPackets,
        rx_errors: s.txErrors,
        rx_dropped: s.txDropped,
        tx_bytes: s.rxBytes,
        tx_packets: s.rxPackets,
        tx_errors: s.rxErrors,
        tx_dropped: s.rxDropped,
      },
    };
  }

  /** The networks of this daemon: bridge (unless there is none), host, none. */
  networks(): NetworkFacts[] {
    return [...this.#networks.values()];
  }

  /** Number of addresses of the bridge in use and still free, those of sandboxes made ahead counted as free. */
  addressUse(): { readonly used: number; readonly free: number } {
    const used = [...this.#held.values()].filter((h) => h.address !== undefined).length + 1;
    return { used, free: Math.max(0, (this.#addresses?.capacity ?? 0) - used) };
  }

  /** What containers' resolv.conf names when the host has only name servers of its own loopback. */
  get dnsForwarder(): string | undefined {
    return this.#dns === undefined || this.#bridge === undefined ? undefined : formatIpv4(this.#bridge.gateway);
  }

  /** What `host-gateway` stands for: the bridge's address. */
  get hostGateway(): string | undefined {
    return this.#bridge === undefined ? undefined : formatIpv4(this.#bridge.gateway);
  }

  /** The settings that `docker network inspect bridge` shows as options. */
  get bridge(): {
    readonly name: string;
    readonly mtu: number;
    readonly icc: boolean;
    readonly masquerade: boolean;
    readonly hostIp: string;
  } {
    const { bridgeName: name, icc = true, ipMasq: masquerade = true, defaultHostIp } = this.#o;
    return { name, mtu: this.#mtu, icc, masquerade, hostIp: defaultHostIp || ANY_ADDRESS };
  }

  /** Sandboxes that are ready. */
  get readyCount(): number {
    return this.#pool?.readyCount ?? 0;
  }

  /** What stands in the way of traffic and is not ours to change, for `docker info`. */
  get warnings(): readonly string[] {
    return this.#warnings;
  }

  /**
   * Ends this daemon's part. Containers keep their network; with `removeAll` the table goes when no container uses it, and the bridge,
   * too, if this daemon made it.
   */
  stop(options: { readonly removeAll?: boolean } = {}): void {
    for (const waste of this.#waste.splice(0)) waste.netns?.close();
    clearTimeout(this.#sweep);
    this.#pool?.close();
    this.#dns?.close();
    const isUnused = this.#held.size === 0;
    for (const held of this.#held.values()) {
      for (const proxy of held.proxies) proxy.close();
      for (const lease of held.leases) lease.socket?.close();
      held.netns?.close();
    }
    if (options.removeAll && isUnused && this.#bridge !== undefined) {
      this.#firewall?.uninstall();
      if (this.#bridge.isOwn) {
        this.#unplug(this.#bridge.name);
        this.#table.removeBridge(this.#bridge.name);
      }
    }
    this.#claim?.close();
    this.#route[Symbol.dispose]();
    this.#netfilter[Symbol.dispose]();
    this.#home.close();
  }
}

function portsText({ ports }: Sandbox, leases: readonly PortLease[]): string {
  return JSON.stringify({ shown: ports, leases: leases.map(({ socket: _, ...rest }) => rest) });
}

function claimBridge(name: string): Fd {
  try {
    return claimName(`dhow/bridge/${name}`);
  } catch (cause) {
    if (!isErrno(cause, "EADDRINUSE")) throw cause;
    throw new DhowError("conflict", `bridge ${JSON.stringify(name)} is in use by another daemon; choose another --bridge`, { cause });
  }
}

function forwardsOf(held: Held): PortForward[] {
  const { address } = held;
  if (address === undefined) return [];
  return held.leases
    .filter((lease) => !lease.isV6)
    .map(({ protocol, hostIp, hostPort, containerPort }) => ({ protocol, hostIp, hostPort, containerIp: address, containerPort }));
}

function portMap(exposed: readonly string[], leases: readonly PortLease[]): BoundPorts {
  const map: Record<string, HostPort[] | null> = {};
  for (const key of exposed) map[key] = null;
  for (const { containerPort, protocol, hostIp, hostPort } of leases) {
    const key = `${containerPort}/${protocol}`;
    const rows = map[key] ?? [];
    rows.push({ HostIp: hostIp, HostPort: String(hostPort) });
    map[key] = rows;
  }
  return map;
}
