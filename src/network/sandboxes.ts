import { DhowError, type Logger, randomId } from "../lib/mod.ts";
import { type Fd, type NetlinkSocket, O_RDONLY, open } from "../linux/mod.ts";
import type { EndpointsTable } from "../metadata/mod.ts";
import type { EgressPolicy, NetConditions } from "../spec/engine/mod.ts";
import { routeByGateways } from "./default-routes.ts";
import type { BridgeNetwork } from "./drivers/bridge.ts";
import type { Egress, RestoredPolicy } from "./egress/egress.ts";
import { placeOf, portTarget, shownEndpoint } from "./endpoint-forms.ts";
import { removeHalfPlugged } from "./half-plugged.ts";
import { type Held, NO_DNS, shownSandbox } from "./held.ts";
import { isJoined, NO_JOINERS, openJoined } from "./joined.ts";
import { describeDevices, lendDevices, type NetDevice, takeBackDevices } from "./lent-devices.ts";
import { NamedSandboxes, type NamedSandboxesDeps } from "./named-sandboxes.ts";
import type { OpenNetwork } from "./networks.ts";
import { Plugger } from "./plugger.ts";
import { publishPorts } from "./publish-ports.ts";
import type { PortChange, Publisher } from "./publisher.ts";
import type { Reaper } from "./reaper.ts";
import {
  type AcquireRequest,
  type EndpointWish,
  gatewayEndpoint,
  type HeldEndpoint,
  type Sandbox,
  type SandboxEndpoint,
} from "./sandbox.ts";
import { ETH0_INDEX, type PooledSandbox, type SandboxPool } from "./sandbox-pool.ts";
import { recordSandbox, restoredSandboxes } from "./sandbox-rows.ts";

export interface SandboxesDeps extends NamedSandboxesDeps {
  readonly home: Fd;
  readonly route: NetlinkSocket;
  readonly log: Logger;
  readonly table: EndpointsTable;
  readonly pool: SandboxPool;
  readonly publisher: Publisher;
  readonly reaper: Reaper;
  readonly egress: Egress;
  /** The network of an id. @throws notFound */
  readonly network: (id: string) => OpenNetwork;
  /** The default bridge, which has sandboxes ready. */
  readonly defaultBridge: () => { readonly id: string; readonly on: BridgeNetwork } | undefined;
}

/** The sandboxes of running containers and their endpoints. */
export class Sandboxes {
  readonly #deps: SandboxesDeps;
  readonly #held = new Map<string, Held>();
  readonly #named: NamedSandboxes;
  readonly #plugger: Plugger;

  constructor(deps: SandboxesDeps) {
    this.#deps = deps;
    this.#named = new NamedSandboxes(deps);
    this.#plugger = new Plugger(deps);
  }

  /**
   * Gives a container its sandbox with all its endpoints, and publishes its ports. On the default bridge it comes from the pool: well
   * under 1 ms. Nothing is left when it fails.
   * @throws internal for taken ports and conflict for used-up addresses, in docker's words; invalid, notFound
   */
  async acquire(containerId: string, request: AcquireRequest): Promise<Sandbox> {
    const { pool, reaper, publisher } = this.#deps;
    this.release(containerId);
    const isPooled = this.#isPooled(request);
    const pooled =
      request.netns === undefined ? pool.take(isPooled ? "bridge" : "none") : pool.furnish(isPooled ? "bridge" : "none", request.netns);
    const held: Held = {
      containerId,
      sandboxId: randomId(),
      containerName: request.containerName,
      netns: pooled.netns,
      endpoints: [],
      dnsWish: request.dns ?? NO_DNS,
      conditions: request.conditions,
      dns: undefined,
      egress: request.egress,
      lent: [],
    };
    try {
      if (isPooled) {
        const endpoint = this.#pooledEndpoint(containerId, request.endpoints, pooled);
        held.endpoints = [endpoint];
        if (held.egress !== undefined) this.#deps.egress.prepare();
        this.#plugger.police(held, endpoint.network, endpoint.plugged);
        this.#plugger.condition(held, endpoint);
      }
      for (const wish of request.endpoints.slice(isPooled ? 1 : 0)) {
        const { length } = held.endpoints;
        const endpoint = await this.#plugger.plug(held, wish, { index: ETH0_INDEX + length });
        held.endpoints = [...held.endpoints, endpoint];
      }
      await this.#plugger.settleOutside(held);
      if (!isPooled || held.endpoints.length > 1) routeByGateways(this.#deps.home, held, isPooled ? held.endpoints.slice(0, 1) : []);
      publishPorts(this.#deps.publisher, held, request);
      recordSandbox(this.#deps, held);
      this.#named.add(held);
      this.#named.serve(held);
      this.#held.set(containerId, held);
      return shownSandbox(held, this.#deps.publisher);
    } catch (error) {
      held.dns?.close();
      this.#deps.egress.release(containerId);
      publisher.release(containerId);
      this.#named.remove(held);
      this.#deps.table.remove(containerId);
      reaper.discard(
        held.netns,
        held.endpoints.map(({ network, plugged }) => ({ network: network.on, endpoint: plugged })),
      );
      throw error;
    }
  }

  /** Whether the first endpoint is one of those made ahead. */
  #isPooled({ endpoints: [first] }: AcquireRequest): boolean {
    const bridge = this.#deps.defaultBridge();
    if (first === undefined || first.networkId !== bridge?.id) return false;
    if (first.isWithoutIpv6 && bridge.on.families.includes(6)) return false;
    return !first.ipv4 && !first.ipv6 && !first.mac && !first.linkLocalIps?.length && Object.keys(first.options ?? {}).length === 0;
  }

  #pooledEndpoint(containerId: string, [wish]: readonly EndpointWish[], { endpoint }: PooledSandbox): HeldEndpoint {
    if (wish === undefined || endpoint === undefined) throw new DhowError("internal", "take a sandbox from the pool: it has no endpoint");
    const plugged = { ...endpoint, containerId, endpointId: randomId(), interfaceName: "eth0" };
    return { network: this.#deps.network(wish.networkId), wish, interfaceName: "eth0", plugged };
  }

  /**
   * Changes how slow and lossy a running container's network is. `also` writes what else is to change in the transaction that writes it
   * down.
   * @throws conflict; unsupported, and then the former conditions are in force
   */
  setConditions(containerId: string, conditions: NetConditions, also: () => void): void {
    const held = this.#of(containerId);
    const former = held.conditions;
    const apply = (wanted: NetConditions): void => {
      held.conditions = wanted;
      for (const endpoint of held.endpoints) this.#plugger.condition(held, endpoint);
    };
    try {
      apply(conditions);
      recordSandbox(this.#deps, held, also);
    } catch (error) {
      apply(former ?? {});
      held.conditions = former;
      throw error;
    }
  }

  /** Writes a container's rows again. */
  recordAgain(containerId: string): void {
    const held = this.#held.get(containerId);
    if (held !== undefined) recordSandbox(this.#deps, held);
  }

  /** Plugs a running container into one more network. @throws conflict, invalid, notFound in docker's words */
  async connect(containerId: string, wish: EndpointWish): Promise<Sandbox> {
    const held = this.#of(containerId);
    const former = held.endpoints;
    const outside = held.endpoints.find((e) => e.wish.isOutside && e.wish.networkId === wish.networkId);
    if (outside !== undefined) await this.#plugger.unplugOutside(held, outside);
    let endpoint: HeldEndpoint;
    try {
      endpoint = await this.#plugger.plug(held, wish, { index: 0 });
    } catch (error) {
      if (outside !== undefined) await this.#plugger.settleOutside(held).finally(() => this.#reroute(held, former));
      throw error;
    }
    if (this.#held.get(containerId) !== held) {
      await endpoint.network.on.unplug(endpoint.plugged, { isSandboxGone: false, netns: held.netns });
      throw new DhowError("conflict", `container ${containerId} is not running`);
    }
    const asked = held.endpoints;
    held.endpoints = [...asked, endpoint];
    try {
      await this.#plugger.settleOutside(held);
      this.#reroute(held, former);
      recordSandbox(this.#deps, held);
      this.#named.add(held);
      this.#named.serve(held);
      return shownSandbox(held, this.#deps.publisher);
    } catch (error) {
      held.endpoints = asked;
      this.#named.leave(wish.networkId, containerId);
      await endpoint.network.on.unplug(endpoint.plugged, { isSandboxGone: false, netns: held.netns });
      await this.#plugger.settleOutside(held);
      this.#reroute(held, [...asked, endpoint]);
      recordSandbox(this.#deps, held);
      throw error;
    }
  }

  /** Routes and published ports follow the endpoint that leads out. */
  #reroute(held: Held, before: readonly HeldEndpoint[]): void {
    routeByGateways(this.#deps.home, held, before);
    this.#republish(held, before);
  }

  #republish(held: Held, before: readonly HeldEndpoint[]): void {
    const [was, is] = [portTarget(before), portTarget(held.endpoints)];
    if (!Bun.deepEquals(was, is)) this.#deps.publisher.retarget(held.containerId, is);
  }

  /** Unplugs a running container from a network. @throws notFound when it is not on it */
  async disconnect(containerId: string, networkId: string): Promise<Sandbox> {
    const held = this.#of(containerId);
    const endpoint = held.endpoints.find(({ network }) => network.config.id === networkId);
    if (endpoint === undefined) throw new DhowError("notFound", `container ${containerId} is not connected to network ${networkId}`);
    const before = held.endpoints;
    held.endpoints = held.endpoints.filter((e) => e !== endpoint);
    this.#named.leave(networkId, containerId);
    await this.#plugger.settleOutside(held);
    try {
      routeByGateways(this.#deps.home, held, before);
    } catch (error) {
      // the next network may be of no use; that keeps nobody on this one
      this.#deps.log.warn("a container has no default route", { container: containerId, error });
    }
    this.#republish(held, before);
    await this.#plugger.unplug(held, endpoint);
    if (gatewayEndpoint(before) === endpoint) recordSandbox(this.#deps, held);
    if (!this.#named.asks(held)) {
      held.dns?.close();
      held.dns = undefined;
    }
    return shownSandbox(held, this.#deps.publisher);
  }

  /**
   * Publishes ports of a running container and takes others back, all or nothing. `also` writes what else is to change in the transaction
   * that writes them down.
   * @throws internal in docker's words, conflict
   */
  changePorts(containerId: string, change: PortChange, also: () => void): Sandbox {
    const held = this.#of(containerId);
    this.#deps.publisher.change(containerId, change, () => recordSandbox(this.#deps, held, also));
    return shownSandbox(held, this.#deps.publisher);
  }

  /** Another egress policy for a running container, that has one. The kernel first; what `also` writes goes with its row. @throws conflict */
  changeEgress(containerId: string, policy: EgressPolicy, also: () => void): void {
    const held = this.#of(containerId);
    const before = held.egress;
    if (before === undefined)
      throw new DhowError("conflict", `container ${containerId} runs without an egress policy: start it again with one`);
    this.#deps.egress.change(containerId, policy);
    held.egress = policy;
    try {
      recordSandbox(this.#deps, held, also);
    } catch (error) {
      held.egress = before;
      this.#deps.egress.change(containerId, before);
      throw error;
    }
  }

  /**
   * Moves interfaces of the host into a container's sandbox, until it is released. The row goes first: what a kill leaves elsewhere goes
   * home at the next start.
   * @throws internal when one can't be moved; then none is
   */
  lend(containerId: string, devices: readonly NetDevice[]): void {
    const held = this.#of(containerId);
    if (held.netns === undefined) throw new DhowError("internal", `lend network devices: the sandbox of ${containerId} is not open`);
    held.lent = describeDevices(this.#deps, held.netns, devices);
    recordSandbox(this.#deps, held);
    lendDevices(this.#deps, held.netns, held.lent, this.#deps.log);
  }

  #of(containerId: string): Held {
    const held = this.#held.get(containerId);
    if (held === undefined) throw new DhowError("conflict", `container ${containerId} is not running`);
    return held;
  }

  /** Other names for a running container, after it was renamed. */
  rename(containerId: string, namesOf: (networkId: string) => readonly string[]): void {
    const held = this.#held.get(containerId);
    if (held === undefined) return;
    held.endpoints = held.endpoints.map((e) => ({ ...e, wish: { ...e.wish, names: namesOf(e.network.config.id) } }));
    this.#named.add(held);
    recordSandbox(this.#deps, held);
    for (const { network, plugged, wish } of held.endpoints) network.on.rename?.({ ...plugged, names: wish.names });
  }

  /**
   * Takes a container's ports and sandbox back; none: nothing. The sandbox itself is torn down in the background, never used again; one that
   * other containers have joined stays theirs, without its interfaces.
   */
  release(containerId: string, joiners = NO_JOINERS): void {
    const { publisher, table, reaper, pool, egress } = this.#deps;
    const held = this.#held.get(containerId);
    if (held === undefined) return;
    this.#held.delete(containerId);
    held.dns?.close();
    takeBackDevices(this.#deps, held.netns, held.lent, this.#deps.log);
    const leaving = held.endpoints.map(({ network, plugged }) => ({ network: network.on, endpoint: plugged }));
    // the policy and the row go after what they are for: others may send by it, and a kill in between must leave it known
    const joined = held.netns !== undefined && isJoined(held.netns, joiners) ? held.netns : undefined;
    if (joined !== undefined) reaper.takeOut(joined, leaving);
    egress.release(containerId);
    publisher.release(containerId);
    this.#named.remove(held);
    table.remove(containerId);
    if (joined === undefined) reaper.discard(held.netns, leaving);
    pool.ended();
  }

  /**
   * Takes up what the last daemon left, before the firewall is made anew: an endpoint whose interface is gone went with its container.
   * `present` are the interfaces of the host.
   */
  restore(present: ReadonlySet<string>): void {
    const { publisher } = this.#deps;
    for (const { held, ports } of restoredSandboxes(this.#deps, present)) {
      this.#held.set(held.containerId, held);
      publisher.restore(held.containerId, ports, portTarget(held.endpoints));
      this.#named.add(held);
    }
  }

  /** The policies of what was restored. */
  policies(): RestoredPolicy[] {
    return [...this.#held.values()].flatMap(({ containerId, egress: policy, endpoints, refused = [] }) =>
      policy === undefined
        ? []
        : { containerId, policy, places: endpoints.map(({ network, plugged }) => placeOf(network, plugged)), refused },
    );
  }

  /**
   * After a restart: keeps the sandboxes of `alive` (container id → pid of a process in it) and releases all others. The namespace is
   * opened again, so that others can join it and names are served in it.
   */
  adopt(alive: ReadonlyMap<string, number>, joiners = NO_JOINERS): void {
    for (const [containerId, held] of [...this.#held]) {
      const pid = alive.get(containerId);
      if (pid === undefined) {
        held.netns = openJoined(this.#deps, held, joiners);
        this.release(containerId, joiners);
        continue;
      }
      if (held.netns !== undefined) continue;
      try {
        held.netns = open(`/proc/${pid}/ns/net`, O_RDONLY);
        this.#removeHalfPlugged(held, held.netns);
        this.#named.serve(held);
      } catch (error) {
        this.#deps.log.warn("can't open a running container's network namespace", { container: containerId, pid, error });
      }
    }
  }

  #removeHalfPlugged({ containerId, endpoints }: Held, netns: Fd): void {
    const { home, log, table } = this.#deps;
    const kept = new Set(endpoints.map(({ interfaceName }) => interfaceName));
    removeHalfPlugged({ home, netns, noted: table.plugging(containerId), kept, log });
    table.forgetPlugging(containerId);
  }

  /** What a container holds; undefined when it holds nothing. */
  sandbox(containerId: string): Sandbox | undefined {
    const held = this.#held.get(containerId);
    return held && shownSandbox(held, this.#deps.publisher);
  }

  /** The sandbox's namespace, for as long as it is held. */
  netns(containerId: string): Fd | undefined {
    return this.#held.get(containerId)?.netns;
  }

  /** All held sandboxes. */
  sandboxes(): Sandbox[] {
    return [...this.#held.values()].map((held) => shownSandbox(held, this.#deps.publisher));
  }

  /** The endpoints on a network. */
  endpointsOn(networkId: string): { readonly containerId: string; readonly containerName: string; readonly endpoint: SandboxEndpoint }[] {
    return [...this.#held.values()].flatMap(({ containerId, containerName, endpoints }) =>
      endpoints
        .filter(({ network, wish }) => network.config.id === networkId && !wish.isOutside)
        .map((endpoint) => ({ containerId, containerName, endpoint: shownEndpoint(endpoint) })),
    );
  }

  /** What is held, by container. */
  held(): readonly { readonly containerId: string; readonly endpoints: readonly HeldEndpoint[] }[] {
    return [...this.#held.values()];
  }

  /** Ends this daemon's part; containers keep their network. */
  close(): void {
    for (const { dns, netns } of this.#held.values()) {
      dns?.close();
      netns?.close();
    }
  }
}
