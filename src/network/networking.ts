import { type Defect, DhowError } from "../lib/mod.ts";
import { type Fd, findLink, listLinks } from "../linux/mod.ts";
import type { IpamGrantRow } from "../metadata/mod.ts";
import type { EgressPolicy, NetConditions } from "../spec/engine/mod.ts";
import { LocalAddresses, type SubnetUse } from "./addresses.ts";
import { claimBridge } from "./bridge-claim.ts";
import { defaultBridgeConfig } from "./default-bridge.ts";
import { BridgeNetwork } from "./drivers/bridge.ts";
import { bridgeSettings } from "./drivers/bridge-options.ts";
import type { EgressDenied } from "./egress/egress.ts";
import type { EgressReport } from "./egress/report.ts";
import { publishedPlaces } from "./endpoint-forms.ts";
import { endpointStats, type InterfaceStats } from "./interface-stats.ts";
import type { Family } from "./ip.ts";
import type { Joiners } from "./joined.ts";
import type { NetDevice } from "./lent-devices.ts";
import { Names } from "./names.ts";
import type { NetworkConfig, NetworkWish } from "./network-config.ts";
import { type DefaultBridge, type NetworkFacts, NetworkList } from "./network-list.ts";
import type { NetworkingOptions } from "./networking-options.ts";
import { makeParts, type NetworkingParts } from "./networking-parts.ts";
import { OVERLAY_DRIVER } from "./overlay/mod.ts";
import type { PublishedPort } from "./port-allocator.ts";
import { type AuditedPort, auditPorts, cutOffs } from "./port-audit.ts";
import type { PortChange } from "./publisher.ts";
import type { AcquireRequest, EndpointWish, Sandbox, SandboxEndpoint } from "./sandbox.ts";
import { SandboxPool } from "./sandbox-pool.ts";
import { Sandboxes } from "./sandboxes.ts";
import { SelfCheck } from "./self-check.ts";
import { CutOffWatch, lookAround, type Surroundings } from "./surroundings.ts";
import { isGrantUsed, sweepBridges, unplug, unplugStray, userSubnets } from "./taking-over.ts";

function started<T>(part: T | undefined): T {
  if (part === undefined) throw new DhowError("unavailable", "use the network: it is not started");
  return part;
}

/** The networks of this daemon, the sandboxes that containers have on them, and their published ports: in this process, over netlink. */
export class Networking {
  readonly #o: NetworkingOptions;
  readonly #parts: NetworkingParts;
  readonly #list: NetworkList;
  #onDenied: ((containerId: string, denial: EgressDenied) => void) | undefined;
  /** Kept while this daemon lives: no other one uses its bridge. */
  #claim: Fd | undefined;
  #default: DefaultBridge | undefined;
  #pool: SandboxPool | undefined;
  #sandboxes: Sandboxes | undefined;
  #selfCheck: SelfCheck | undefined;
  readonly #watch: CutOffWatch;

  constructor(options: NetworkingOptions) {
    this.#o = options;
    this.#parts = makeParts(options, {
      sandboxes: () => this.#sandboxes,
      onDenied: (containerId, denial) => this.#onDenied?.(containerId, denial),
    });
    this.#watch = new CutOffWatch(() => this.#lookAround(), this.#parts.log);
    const { predefined, networks, reaper } = this.#parts;
    this.#list = new NetworkList({
      predefined,
      networks,
      defaultBridge: () => this.#default,
      resting: () => [...(this.#pool?.endpoints() ?? []), ...reaper.leaving()],
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
    const { predefined, drivers, networks, grants, tables, egress, firewall, publisher, hostServers } = this.#parts;
    predefined.start({ hasBridge: bridgeName !== "none" });
    if (bridgeName !== "none") this.#claim = await claimBridge(bridgeName);
    const isUsed = (grant: IpamGrantRow): boolean => isGrantUsed(networks, this.#held, grant);
    try {
      if (bridgeName !== "none") this.#startBridge();
      this.#pool = this.#makePool();
      this.#sandboxes = this.#makeSandboxes(this.#pool);
      this.#selfCheck = this.#makeSelfCheck(this.#pool, this.#sandboxes);
      drivers.openOverlay();
      await networks.start();
      sweepBridges(this.#parts, bridgeName);
      this.#restore();
      grants.resume(isUsed, (networkId) => networks.config(networkId) !== undefined);
      tables.start();
      egress.restore(this.#held.policies());
      firewall.install();
      publisher.resume();
      drivers.overlay?.start({
        learn: (config) => networks.learn(config),
        forget: (id, takeAway) => networks.forget(id, takeAway),
        caughtUp: (isRemovedElsewhere) => grants.caughtUp(isUsed, isRemovedElsewhere),
        known: () => networks.list().flatMap(({ id, driver }) => (driver === OVERLAY_DRIVER ? [id] : [])),
      });
    } catch (error) {
      tables.close();
      this.#claim?.close();
      throw error;
    }
    if (this.#default !== undefined) hostServers.serveAt(this.#default.on.hostAddress(4) ?? "");
    this.#watch.check();
    this.#pool.fill();
  }

  #makePool(): SandboxPool {
    const size = this.#o.poolSize ?? 12;
    return new SandboxPool({
      home: this.#parts.home,
      log: this.#parts.log,
      bridge: this.#default?.on,
      size: { bridge: size, none: Math.ceil(size / 3) },
    });
  }

  #makeSandboxes(pool: SandboxPool): Sandboxes {
    const parts = this.#parts;
    return new Sandboxes({
      ...parts,
      pool,
      names: new Names(),
      network: (id) => this.#list.open(id),
      defaultBridge: () => this.#default,
      hostGatewayIps: this.#o.hostGatewayIps ?? [],
      hostServers: () => parts.hostServers.list(),
      serveNames: (options) => parts.dnsServer.open(options),
    });
  }

  #makeSelfCheck(pool: SandboxPool, sandboxes: Sandboxes): SelfCheck {
    return new SelfCheck({
      ...this.#parts,
      pool,
      sandboxes,
      configs: () => this.#list.configs(),
      opened: () => this.#list.opened(),
      unplug: (name) => unplug(this.#parts.route, name),
    });
  }

  #startBridge(): void {
    const predefined = this.#parts.predefined.bridge();
    const config = defaultBridgeConfig(predefined.config, this.#o, {
      route: this.#parts.route,
      formerSubnet: predefined.formerSubnet,
      avoid: [...this.#parts.hostServers.networks(), ...userSubnets(this.#parts.table)],
    });
    const deps = this.#parts.drivers.bridgeDeps;
    const addresses = new LocalAddresses(config.pools, {
      reclaim: deps.reclaim,
      network: config,
      remedy: 'set a larger "bip" or "fixed-cidr"',
    });
    const on = new BridgeNetwork(config, bridgeSettings(config, deps.defaultMtu), deps, addresses);
    this.#default = { id: config.id, on, network: { config, on, busy: 0 } };
    this.#parts.drivers.bridge.reserve(config.id, "bridge", this.#o.bridgeName);
    this.#parts.predefined.setBridge(config, predefined.formerSubnet);
  }

  /** Takes up what the last daemon left, and unplugs what is of no endpoint. */
  #restore(): void {
    const links = listLinks(this.#parts.route);
    this.#held.restore(new Set(links.map(({ name }) => name)));
    unplugStray(this.#parts.route, { links, opened: this.#list.opened(), held: this.#held.held() });
  }

  /** Creates a network. @throws invalid, conflict, forbidden, notFound in docker's words */
  async createNetwork(request: NetworkWish): Promise<NetworkConfig> {
    const created = await this.#parts.networks.create(request);
    this.#watch.check();
    return created;
  }

  /** Removes a network. @throws forbidden in docker's words when it is used, or is one that every daemon has */
  async removeNetwork(id: string): Promise<void> {
    for (const config of this.#parts.predefined.list()) {
      if (config.id === id) throw new DhowError("forbidden", `${config.name} is a pre-defined network and cannot be removed`);
    }
    const network = this.#parts.networks.opened().find(({ config }) => config.id === id);
    if (network !== undefined && this.#held.endpointsOn(id).length === 0) await this.#parts.reaper.finish(network.on);
    await this.#parts.networks.remove(id);
  }

  /** All networks: bridge (unless there is none), host, none, and those of users. */
  networks(): NetworkFacts[] {
    return this.#list.all();
  }

  /** A network by its id, its name, or a beginning of its id that no other has; undefined when there is none. */
  network(ref: string): NetworkFacts | undefined {
    return this.#list.find(ref);
  }

  /** A network by its name alone: that of one that is gone may be how another's id begins. */
  networkCalled(name: string): NetworkFacts | undefined {
    return this.#list.called(name);
  }

  /** Whether containers can be plugged into a network: it is there, and its driver could open it. */
  isOpen(name: string): boolean {
    return this.#list.isOpen(name);
  }

  /** Name of a network's bridge on this host; undefined for networks without one. */
  bridgeOf(id: string): string | undefined {
    return this.#list.bridgeOf(id);
  }

  /** How the subnets of a network are used. */
  subnetUses(id: string): readonly SubnetUse[] {
    return this.#list.subnetUses(id);
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
    return this.#parts.publisher.published(containerId);
  }

  #lookAround(): Promise<Surroundings> {
    return lookAround(this.#parts.route, { tableName: this.#o.tableName, bridges: this.#list.bridgePlaces() });
  }

  /** Who can reach each published port, as far as the rules of the host tell. @throws unavailable */
  async auditPorts(): Promise<{ readonly ports: readonly AuditedPort[]; readonly notes: readonly string[] }> {
    const { host, notes } = await this.#lookAround();
    return {
      ports: await auditPorts(publishedPlaces(this.#held.held(), this.#parts.publisher), host),
      notes: [...cutOffs(host), ...notes],
    };
  }

  changePorts(containerId: string, change: PortChange, also: () => void): Sandbox {
    return this.#held.changePorts(containerId, change, also);
  }

  setConditions(containerId: string, conditions: NetConditions, also: () => void): void {
    this.#held.setConditions(containerId, conditions, also);
  }

  /** What a running container did under its egress policy; undefined: it is under none. @throws {NetlinkError} */
  egressReport(containerId: string): EgressReport | undefined {
    return this.#parts.egress.report(containerId);
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
    this.#parts.reaper.deleteRetired();
  }

  /** Counters by the container's interface name; empty without a network of its own. */
  stats(containerId: string): Readonly<Record<string, InterfaceStats>> {
    const held = this.#held.held().find((h) => h.containerId === containerId);
    return endpointStats(held?.endpoints ?? [], { home: this.#parts.home, route: this.#parts.route, netns: this.#held.netns(containerId) });
  }

  /** What containers' resolv.conf names when the host has only name servers of its own loopback. */
  get dnsForwarder(): string | undefined {
    return this.#parts.hostServers.servedAt;
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
    const { drivers, reaper, tables, egress, publisher, networks, dnsServer, firewall, guard, table, route, netfilter, home } = this.#parts;
    const isUnused = this.#sandboxes?.held().length === 0;
    void drivers.overlay?.stop({ isUnused: isUnused && options.removeAll === true });
    reaper.close();
    this.#pool?.close();
    tables.close();
    egress.close();
    this.#sandboxes?.close();
    publisher.close();
    networks.close();
    dnsServer[Symbol.dispose]();
    if (options.removeAll && isUnused) {
      firewall.uninstall();
      egress.uninstall();
      for (const { name, mac } of table.bridges()) {
        if (findLink(route, name)?.mac !== mac) continue;
        unplug(route, name);
        table.removeBridge(name);
      }
      guard.uninstall();
    }
    this.#claim?.close();
    route[Symbol.dispose]();
    netfilter[Symbol.dispose]();
    home.close();
  }
}
