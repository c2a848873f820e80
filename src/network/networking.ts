import { type Defect, DhowError, type Logger } from "../lib/mod.ts";
import { currentNetns, deleteLink, type Fd, findLink, isErrno, listLinks, NETLINK, NetlinkSocket } from "../linux/mod.ts";
import { EndpointsTable, type IpamGrantRow, IpamGrantsTable } from "../metadata/mod.ts";
import type { EgressPolicy, NetConditions } from "../spec/engine/mod.ts";
import { LocalAddresses, type SubnetUse } from "./addresses.ts";
import { claimBridge } from "./bridge-claim.ts";
import { defaultBridgeConfig, ownIpv6 } from "./default-bridge.ts";
import { DnsServer } from "./dns/dns-server.ts";
import { BridgeNetwork } from "./drivers/bridge.ts";
import { hostNetworks } from "./drivers/bridge-link.ts";
import { bridgeSettings } from "./drivers/bridge-options.ts";
import { Egress, type EgressDenied } from "./egress/egress.ts";
import type { EgressReport } from "./egress/report.ts";
import { publishedPlaces } from "./endpoint-forms.ts";
import { Firewall } from "./firewall.ts";
import { HostServers } from "./host-servers.ts";
import { endpointStats, type InterfaceStats } from "./interface-stats.ts";
import { type Family, formatIp, type Prefix, parseIp, parsePrefix } from "./ip.ts";
import { DEFAULT_POOLS } from "./ipam.ts";
import { IpamGrants } from "./ipam-grants.ts";
import { IPAM_DRIVER } from "./ipam-plugin.ts";
import type { Joiners } from "./joined.ts";
import type { NetDevice } from "./lent-devices.ts";
import { Names } from "./names.ts";
import type { NetworkConfig, NetworkWish } from "./network-config.ts";
import { NetworkDrivers } from "./network-drivers.ts";
import type { NetworkingOptions } from "./networking-options.ts";
import { Networks, type OpenNetwork } from "./networks.ts";
import { OVERLAY_DRIVER, OverlayGuard } from "./overlay/mod.ts";
import type { PublishedPort } from "./port-allocator.ts";
import { type AuditedPort, auditPorts, type BridgePlace, cutOffs } from "./port-audit.ts";
import { PREDEFINED, Predefined } from "./predefined.ts";
import { type PortChange, Publisher } from "./publisher.ts";
import { Reaper } from "./reaper.ts";
import { type AcquireRequest, addressesOf, type EndpointWish, type Sandbox, type SandboxEndpoint } from "./sandbox.ts";
import { SandboxPool } from "./sandbox-pool.ts";
import { Sandboxes } from "./sandboxes.ts";
import { pluggedInto, SelfCheck } from "./self-check.ts";
import { CutOffWatch, lookAround, type Surroundings } from "./surroundings.ts";
import { TableWatch } from "./table-watch.ts";

/** A network as `docker network inspect` needs it. */
export interface NetworkFacts extends NetworkConfig {
  /** One that every daemon has. */
  readonly isPredefined: boolean;
}

interface DefaultBridge {
  readonly id: string;
  readonly on: BridgeNetwork;
  readonly network: OpenNetwork;
}

function started<T>(part: T | undefined): T {
  if (part === undefined) throw new DhowError("unavailable", "use the network: it is not started");
  return part;
}

/** The networks of this daemon, the sandboxes that containers have on them, and their published ports: in this process, over netlink. */
export class Networking {
  readonly #o: NetworkingOptions;
  readonly #log: Logger;
  readonly #table: EndpointsTable;
  readonly #home: Fd;
  readonly #route: NetlinkSocket;
  readonly #netfilter: NetlinkSocket;
  readonly #firewall: Firewall;
  readonly #publisher: Publisher;
  readonly #egress: Egress;
  readonly #guard: OverlayGuard;
  #onDenied: ((containerId: string, denial: EgressDenied) => void) | undefined;
  readonly #reaper: Reaper;
  readonly #names = new Names();
  readonly #dnsServer: DnsServer;
  readonly #hostServers: HostServers;
  readonly #networks: Networks;
  readonly #grants: IpamGrants;
  readonly #drivers: NetworkDrivers;
  readonly #predefined: Predefined;
  /** Kept while this daemon lives: no other one uses its bridge. */
  #claim: Fd | undefined;
  #default: DefaultBridge | undefined;
  #pool: SandboxPool | undefined;
  #sandboxes: Sandboxes | undefined;
  #selfCheck: SelfCheck | undefined;
  readonly #watch: CutOffWatch;
  readonly #tables: TableWatch;

  constructor(options: NetworkingOptions) {
    this.#o = options;
    this.#log = options.log.child({ room: "network" });
    this.#table = new EndpointsTable(options.db);
    this.#predefined = new Predefined(this.#table);
    this.#home = currentNetns();
    this.#route = new NetlinkSocket(NETLINK.ROUTE);
    this.#netfilter = new NetlinkSocket(NETLINK.NETFILTER);
    this.#firewall = new Firewall(options.tableName, this.#netfilter, () => this.#publisher.all(), options.acceptMark);
    this.#publisher = new Publisher({ firewall: this.#firewall, netfilter: this.#netfilter, log: this.#log });
    this.#watch = new CutOffWatch(() => this.#lookAround(), this.#log);
    this.#egress = new Egress({
      tableName: `${options.tableName}-egress`,
      netfilter: this.#netfilter,
      log: this.#log,
      interfaceName: (index) => listLinks(this.#route).find((link) => link.index === index)?.name,
      onDenied: (containerId, denial) => this.#onDenied?.(containerId, denial),
      record: (containerId) => this.#sandboxes?.recordAgain(containerId),
    });
    this.#guard = new OverlayGuard(`${options.tableName}-overlay`, this.#netfilter);
    this.#tables = new TableWatch([this.#guard, this.#egress, this.#firewall], this.#log);
    this.#reaper = new Reaper({ route: this.#route, table: this.#table, log: this.#log });
    this.#dnsServer = new DnsServer({ home: this.#home, log: this.#log });
    this.#hostServers = new HostServers({ resolvConf: options.hostResolvConf, dns: this.#dnsServer, log: this.#log });
    this.#drivers = new NetworkDrivers({
      options,
      home: this.#home,
      route: this.#route,
      netfilter: this.#netfilter,
      firewall: this.#firewall,
      egress: this.#egress,
      guard: this.#guard,
      reaper: this.#reaper,
      table: this.#table,
      log: this.#log,
    });
    const given = options.defaultAddressPools ?? [];
    const pools = [...(given.some(({ base }) => !base.includes(":")) ? [] : DEFAULT_POOLS), ...given, ownIpv6(options)];
    this.#grants = new IpamGrants({
      table: new IpamGrantsTable(options.db),
      log: this.#log.child({ part: "ipam" }),
      plugin: async (name) => {
        if (options.plugin === undefined) throw new DhowError("notFound", `plugin ${JSON.stringify(name)} not found`);
        return options.plugin(name, IPAM_DRIVER);
      },
    });
    this.#networks = new Networks({
      grants: this.#grants,
      table: this.#table,
      log: this.#log,
      driver: (name) => this.#drivers.get(name),
      predefined: PREDEFINED.map(([name]) => name),
      taken: () => [...hostNetworks(this.#route), ...this.#hostServers.networks()],
      pools,
      defaultOptions: options.defaultNetworkOptions ?? {},
      endpoints: (id) =>
        this.#held.endpointsOn(id).map(({ containerName, endpoint }) => ({ name: containerName, endpointId: endpoint.endpointId })),
    });
  }

  get #held(): Sandboxes {
    return started(this.#sandboxes);
  }

  /**
   * Makes or adopts bridges and tables and begins to fill the pool. Endpoints that the last daemon left keep address, ports and
   * connections until `adopt` says which of them are still alive.
   * @throws {NetlinkError} invalid, conflict, unavailable
   */
  async start(): Promise<void> {
    const { bridgeName } = this.#o;
    this.#predefined.start({ hasBridge: bridgeName !== "none" });
    if (bridgeName !== "none") this.#claim = await claimBridge(bridgeName);
    try {
      if (bridgeName !== "none") this.#startBridge();
      this.#pool = this.#makePool();
      this.#sandboxes = this.#makeSandboxes(this.#pool);
      this.#selfCheck = this.#makeSelfCheck(this.#pool, this.#sandboxes);
      this.#drivers.openOverlay();
      await this.#networks.start();
      this.#sweepBridges();
      this.#restore();
      this.#grants.resume(
        (grant) => this.#isUsed(grant),
        (networkId) => this.#networks.config(networkId) !== undefined,
      );
      this.#tables.start();
      this.#egress.restore(this.#held.policies());
      this.#firewall.install();
      this.#publisher.resume();
      this.#drivers.overlay?.start({
        learn: (config) => this.#networks.learn(config),
        forget: (id, takeAway) => this.#networks.forget(id, takeAway),
        caughtUp: (isRemovedElsewhere) => this.#grants.caughtUp((grant) => this.#isUsed(grant), isRemovedElsewhere),
        known: () => this.#networks.list().flatMap(({ id, driver }) => (driver === OVERLAY_DRIVER ? [id] : [])),
      });
    } catch (error) {
      this.#tables.close();
      this.#claim?.close();
      throw error;
    }
    if (this.#default !== undefined) this.#hostServers.serveAt(this.#default.on.hostAddress(4) ?? "");
    this.#watch.check();
    this.#pool.fill();
  }

  #makePool(): SandboxPool {
    const size = this.#o.poolSize ?? 12;
    return new SandboxPool({
      home: this.#home,
      log: this.#log,
      bridge: this.#default?.on,
      size: { bridge: size, none: Math.ceil(size / 3) },
    });
  }

  #makeSandboxes(pool: SandboxPool): Sandboxes {
    return new Sandboxes({
      home: this.#home,
      route: this.#route,
      log: this.#log,
      table: this.#table,
      pool,
      publisher: this.#publisher,
      reaper: this.#reaper,
      names: this.#names,
      egress: this.#egress,
      network: (id) => (id === this.#default?.id ? this.#default.network : this.#networks.open(id)),
      defaultBridge: () => this.#default,
      hostGatewayIps: this.#o.hostGatewayIps ?? [],
      hostServers: () => this.#hostServers.list(),
      serveNames: (options) => this.#dnsServer.open(options),
    });
  }

  #makeSelfCheck(pool: SandboxPool, sandboxes: Sandboxes): SelfCheck {
    return new SelfCheck({
      route: this.#route,
      table: this.#table,
      firewall: this.#firewall,
      egress: this.#egress,
      publisher: this.#publisher,
      reaper: this.#reaper,
      pool,
      sandboxes,
      configs: () => [...this.#predefined.list(), ...this.#networks.list()],
      opened: () => this.#opened(),
      unplug: (name) => this.#unplug(name),
    });
  }

  #startBridge(): void {
    const predefined = this.#predefined.bridge();
    const config = defaultBridgeConfig(predefined.config, this.#o, {
      route: this.#route,
      formerSubnet: predefined.formerSubnet,
      avoid: [...this.#hostServers.networks(), ...this.#userSubnets()],
    });
    const deps = this.#drivers.bridgeDeps;
    const addresses = new LocalAddresses(config.pools, {
      reclaim: deps.reclaim,
      network: config,
      remedy: 'set a larger "bip" or "fixed-cidr"',
    });
    const on = new BridgeNetwork(config, bridgeSettings(config, deps.defaultMtu), deps, addresses);
    this.#default = { id: config.id, on, network: { config, on, busy: 0 } };
    this.#drivers.bridge.reserve(config.id, "bridge", this.#o.bridgeName);
    this.#predefined.setBridge(config, predefined.formerSubnet);
  }

  /** Those of networks that are not open yet: after a restart of the host, no route shows them. */
  #userSubnets(): Prefix[] {
    const configs = this.#table.userNetworks().map((row) => JSON.parse(row.config) as NetworkConfig);
    return configs.flatMap(({ isConfigOnly, pools }) => (isConfigOnly ? [] : pools.map(({ subnet }) => parsePrefix(subnet))));
  }

  /** Bridges that the last daemon made for networks that never came to be, or was about to remove. */
  #sweepBridges(): void {
    const used = new Set([this.#o.bridgeName, ...this.#networks.opened().flatMap(({ on }) => [on.bridge ?? "", ...(on.links ?? [])])]);
    // a network that can't be opened now may be there again at the next start
    for (const { id, options } of this.#networks.list()) {
      for (const prefix of ["br", "dm", "ov", "vx"]) used.add(`${prefix}-${id.slice(0, 12)}`);
      used.add(options["com.docker.network.bridge.name"] ?? "").add(options["parent"] ?? "");
    }
    for (const { name, mac } of this.#table.bridges()) {
      if (used.has(name)) continue;
      if (findLink(this.#route, name)?.mac === mac) this.#unplug(name);
      this.#table.removeBridge(name);
    }
  }

  /** Takes up what the last daemon left, and unplugs what is of no endpoint. */
  #restore(): void {
    const links = listLinks(this.#route);
    this.#held.restore(new Set(links.map(({ name }) => name)));
    const owned = new Set(this.#held.held().flatMap(({ endpoints }) => endpoints.flatMap(({ plugged }) => plugged.hostInterface ?? [])));
    for (const name of pluggedInto(this.#opened(), links)) {
      if (!owned.has(name) && /^veth[0-9a-f]{7}$/.test(name)) this.#unplug(name);
    }
  }

  /** Whether what an IPAM plug-in gave is a network's, or of an endpoint that was taken up. */
  #isUsed({ networkId, address }: IpamGrantRow): boolean {
    const config = this.#networks.config(networkId);
    if (config === undefined) return false;
    const reserved = config.pools.flatMap(({ gateway, auxAddresses = {} }) => [gateway, ...Object.values(auxAddresses)]);
    const isOpen = this.#networks.opened().some((network) => network.config.id === networkId);
    // those of a network that can't be opened now are not known
    if (address === "" || !isOpen || reserved.some((text) => text && formatIp(parseIp(text)) === address)) return true;
    return this.#held
      .held()
      .some(({ endpoints }) => endpoints.some((e) => e.network.config.id === networkId && addressesOf(e).includes(address)));
  }

  /** The networks that are open, the default bridge first. */
  #opened(): readonly OpenNetwork[] {
    return [...(this.#default ? [this.#default.network] : []), ...this.#networks.opened()];
  }

  #unplug(name: string): void {
    const [failed] = this.#route.requestAll([deleteLink(name)]);
    if (failed !== undefined && !isErrno(failed, "ENODEV")) throw failed;
  }

  /** Creates a network. @throws invalid, conflict, forbidden, notFound in docker's words */
  async createNetwork(request: NetworkWish): Promise<NetworkConfig> {
    const created = await this.#networks.create(request);
    this.#watch.check();
    return created;
  }

  /** Removes a network. @throws forbidden in docker's words when it is used, or is one that every daemon has */
  async removeNetwork(id: string): Promise<void> {
    for (const config of this.#predefined.list()) {
      if (config.id === id) throw new DhowError("forbidden", `${config.name} is a pre-defined network and cannot be removed`);
    }
    const network = this.#networks.opened().find(({ config }) => config.id === id);
    if (network !== undefined && this.#held.endpointsOn(id).length === 0) await this.#reaper.finish(network.on);
    await this.#networks.remove(id);
  }

  /** All networks: bridge (unless there is none), host, none, and those of users. */
  networks(): NetworkFacts[] {
    const predefined = this.#predefined.list().map((config) => ({ ...config, isPredefined: true }));
    return [...predefined, ...this.#networks.list().map((config) => ({ ...config, isPredefined: false }))];
  }

  /** A network by its id, its name, or a beginning of that which no other has; undefined when there is none. */
  network(ref: string): NetworkFacts | undefined {
    const all = this.networks();
    const exact = all.find(({ id }) => id === ref) ?? all.find(({ name }) => name === ref);
    if (exact !== undefined || ref === "") return exact;
    const [found, ...others] = all.filter(({ id }) => id.startsWith(ref));
    return others.length === 0 ? found : undefined;
  }

  /** A network by its name alone: that of one that is gone may be how another's id begins. */
  networkCalled(name: string): NetworkFacts | undefined {
    return this.networks().find((network) => network.name === name);
  }

  /** Whether containers can be plugged into a network: it is there, and its driver could open it. */
  isOpen(name: string): boolean {
    return this.#predefined.get(name) !== undefined || this.#networks.opened().some(({ config }) => config.name === name);
  }

  /** Name of a network's bridge on this host; undefined for networks without one. */
  bridgeOf(id: string): string | undefined {
    return id === this.#default?.id ? this.#default.on.bridge : this.#networks.opened().find(({ config }) => config.id === id)?.on.bridge;
  }

  /** How the subnets of a network are used. */
  subnetUses(id: string): readonly SubnetUse[] {
    if (id !== this.#default?.id)
      return (
        this.#networks
          .opened()
          .find(({ config }) => config.id === id)
          ?.on.addresses?.uses() ?? []
      );
    // those of sandboxes made ahead count as free
    const ready = this.#pool?.endpoints().length ?? 0;
    return this.#default.on.addresses.uses().map((use) => ({ ...use, used: use.used - ready, free: use.free + BigInt(ready) }));
  }

  acquire(containerId: string, request: AcquireRequest): Promise<Sandbox> {
    return this.#held.acquire(containerId, request);
  }

  connect(containerId: string, wish: EndpointWish): Promise<Sandbox> {
    return this.#held.connect(containerId, wish);
  }

  disconnect(containerId: string, networkId: string): Promise<Sandbox> {
    return this.#held.disconnect(containerId, networkId);
  }

  /** What a running container publishes; undefined: it has no network of its own. */
  publishedPorts(containerId: string): readonly PublishedPort[] | undefined {
    return this.#publisher.published(containerId);
  }

  #lookAround(): Promise<Surroundings> {
    return lookAround(this.#route, { tableName: this.#o.tableName, bridges: this.#bridgePlaces() });
  }

  /** The bridges whose containers get out. */
  #bridgePlaces(): BridgePlace[] {
    return this.#opened().flatMap(({ config, on }) =>
      on.bridge === undefined || config.isInternal
        ? []
        : { network: config.name, bridge: on.bridge, subnets: config.pools.map(({ subnet }) => subnet) },
    );
  }

  /** Who can reach each published port, as far as the rules of the host tell. @throws unavailable */
  async auditPorts(): Promise<{ readonly ports: readonly AuditedPort[]; readonly notes: readonly string[] }> {
    const { host, notes } = await this.#lookAround();
    return { ports: await auditPorts(publishedPlaces(this.#held.held(), this.#publisher), host), notes: [...cutOffs(host), ...notes] };
  }

  changePorts(containerId: string, change: PortChange, also: () => void): Sandbox {
    return this.#held.changePorts(containerId, change, also);
  }

  setConditions(containerId: string, conditions: NetConditions, also: () => void): void {
    this.#held.setConditions(containerId, conditions, also);
  }

  /** What a running container did under its egress policy; undefined: it is under none. @throws {NetlinkError} */
  egressReport(containerId: string): EgressReport | undefined {
    return this.#egress.report(containerId);
  }

  /**
   * Another egress policy for a running container; `also` writes what else is to change in the transaction that writes it down. What it
   * has open is judged anew.
   * @throws conflict when it was started without one
   */
  changeEgress(containerId: string, policy: EgressPolicy, also: () => void): void {
    this.#held.changeEgress(containerId, policy, also);
  }

  /** `listener` is told what containers under an egress policy try and may not reach: each name once, destinations at a limited rate. */
  watchDenials(listener: (containerId: string, denial: EgressDenied) => void): void {
    this.#onDenied = listener;
  }

  /** Moves interfaces of the host into a container's sandbox, until it is released. @throws internal when one can't be moved; then none is */
  lend(containerId: string, devices: readonly NetDevice[]): void {
    this.#held.lend(containerId, devices);
  }

  release(containerId: string, joiners?: Joiners): void {
    this.#sandboxes?.release(containerId, joiners);
  }

  adopt(alive: ReadonlyMap<string, number>, joiners?: Joiners): void {
    this.#held.adopt(alive, joiners);
  }

  /** What a container holds; undefined when it holds nothing. */
  sandbox(containerId: string): Sandbox | undefined {
    return this.#held.sandbox(containerId);
  }

  sandboxes(): Sandbox[] {
    return this.#sandboxes?.sandboxes() ?? [];
  }

  endpointsOn(networkId: string): { readonly containerId: string; readonly endpoint: SandboxEndpoint }[] {
    return this.#held.endpointsOn(networkId);
  }

  /** Other names for a running container. */
  rename(containerId: string, namesOf: (networkId: string) => readonly string[]): void {
    this.#held.rename(containerId, namesOf);
  }

  /** What is not as it must be; what is being torn down is none of it. `isRun`: whether a container runs, or is about to. */
  defects(isRun: (containerId: string) => boolean): Promise<Defect[]> {
    return started(this.#selfCheck).defects(isRun);
  }

  /** The running containers whose interface somebody took away: they are cut off until they are started again. */
  cutOff(): string[] {
    return started(this.#selfCheck).cutOff();
  }

  /** Waits for what containers were disconnected from to be gone from them, before somebody looks inside. Nearly always there is nothing. */
  settle(): void {
    this.#reaper.deleteRetired();
  }

  /** Counters by the container's interface name; empty without a network of its own. */
  stats(containerId: string): Readonly<Record<string, InterfaceStats>> {
    const held = this.#held.held().find((h) => h.containerId === containerId);
    return endpointStats(held?.endpoints ?? [], { home: this.#home, route: this.#route, netns: this.#held.netns(containerId) });
  }

  /** What containers' resolv.conf names when the host has only name servers of its own loopback. */
  get dnsForwarder(): string | undefined {
    return this.#hostServers.servedAt;
  }

  /** What `host-gateway` stands for: the default bridge's addresses, unless the daemon was told otherwise. */
  get hostGateways(): readonly string[] {
    const { hostGatewayIps: given = [] } = this.#o;
    return given.length > 0 ? given : ([4, 6] satisfies Family[]).flatMap((family) => this.#default?.on.hostAddress(family) ?? []);
  }

  /** Sandboxes that are ready. */
  get readyCount(): number {
    return this.#pool?.readyCount ?? 0;
  }

  /** What stands in the way of traffic and is not ours to change, for `docker info`. */
  get warnings(): readonly string[] {
    return this.#watch.warnings;
  }

  /**
   * Ends this daemon's part. Containers keep their network; with `removeAll` the tables go when no container uses them, and the bridges,
   * too, that this daemon made; user networks have theirs again at the next start.
   */
  stop(options: { readonly removeAll?: boolean } = {}): void {
    const isUnused = this.#sandboxes?.held().length === 0;
    void this.#drivers.overlay?.stop({ isUnused: isUnused && options.removeAll === true });
    this.#reaper.close();
    this.#pool?.close();
    this.#tables.close();
    this.#egress.close();
    this.#sandboxes?.close();
    this.#publisher.close();
    this.#networks.close();
    this.#dnsServer[Symbol.dispose]();
    if (options.removeAll && isUnused) {
      this.#firewall.uninstall();
      this.#egress.uninstall();
      for (const { name, mac } of this.#table.bridges()) {
        if (findLink(this.#route, name)?.mac !== mac) continue;
        this.#unplug(name);
        this.#table.removeBridge(name);
      }
      this.#guard.uninstall();
    }
    this.#claim?.close();
    this.#route[Symbol.dispose]();
    this.#netfilter[Symbol.dispose]();
    this.#home.close();
  }
}
