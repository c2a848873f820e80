import { randomBytes } from "node:crypto";
import type { Logger } from "../lib/mod.ts";
import {
  deleteIpAddress,
  deleteLink,
  deleteLinkGroup,
  type Fd,
  findLink,
  isErrno,
  listIpAddresses,
  listLinks,
  type NetlinkSocket,
  setLink,
} from "../linux/mod.ts";
import type { EndpointsTable } from "../metadata/mod.ts";
import type { DriverNetwork, PluggedEndpoint } from "./drivers/driver.ts";

/** Sandboxes are torn down in batches, so long after the first of a batch was given back. */
const TEARDOWN_DELAY_MS = 80;
const REAP_EVERY_MS = 1000;
/** How long the kernel may take over a dead sandbox before its interface is unplugged by force. */
const REAP_AFTER_MS = 5000;

/** Bridges of removed networks, and interfaces that left a container, are deleted together, so long after the first of them. */
const BURY_DELAY_MS = 250;
/** Groups of links from here on are daemons', by their process id. */
const FIRST_GROUP = 0x40000000;

/** An endpoint whose sandbox is given up. */
export interface LeavingEndpoint {
  readonly network: DriverNetwork;
  readonly endpoint: PluggedEndpoint;
}

interface Dying extends LeavingEndpoint {
  /** On the monotonic clock, in ms. */
  readonly since: number;
}

export interface ReaperDeps {
  readonly route: NetlinkSocket;
  readonly table: EndpointsTable;
  readonly log: Logger;
}

/**
 * Tears sandboxes down in the background: the descriptors are closed in batches, the kernel dismantles the namespaces on a thread of its
 * own, and an endpoint's addresses are free when its interface is gone.
 */
export class Reaper {
  readonly #deps: ReaperDeps;
  readonly #waste: { readonly netns: Fd | undefined; readonly endpoints: readonly LeavingEndpoint[] }[] = [];
  #dying: Dying[] = [];
  /** Endpoints that their drivers are giving back. */
  readonly #leaving = new Set<{ readonly network: DriverNetwork; readonly done: Promise<void> }>();
  #sweep: ReturnType<typeof setTimeout> | undefined;
  /** Names of links that wait to be deleted. */
  readonly #buried: string[] = [];
  /** Endpoints whose interfaces wait to be deleted. */
  #retired: PluggedEndpoint[] = [];
  #burial: ReturnType<typeof setTimeout> | undefined;

  constructor(deps: ReaperDeps) {
    this.#deps = deps;
  }

  /** Takes a sandbox over. */
  discard(netns: Fd | undefined, endpoints: readonly LeavingEndpoint[]): void {
    this.#waste.push({ netns, endpoints });
    if (this.#sweep !== undefined) return;
    this.#sweep = setTimeout(() => this.#sweepWaste(), TEARDOWN_DELAY_MS);
    this.#sweep.unref();
  }

  /**
   * Takes interfaces out of a namespace that others than their container are in: at once, for they may hold those to nothing that the
   * container was held to. The namespace stays with the others.
   */
  takeOut(netns: Fd, endpoints: readonly LeavingEndpoint[]): void {
    const pending = endpoints.map((leaving) => {
      try {
        return this.#free(leaving, { isSandboxGone: false, netns });
      } catch (error) {
        this.#deps.log.warn("can't take an interface out of a namespace", { interface: leaving.endpoint.interfaceName, error });
        return this.discard(undefined, [leaving]);
      }
    });
    void Promise.all(pending).then(() => netns.close());
  }

  #sweepWaste(): void {
    this.#sweep = undefined;
    this.#giveUp();
    this.#reap(REAP_AFTER_MS);
    if (this.#dying.length === 0 || this.#sweep !== undefined) return;
    this.#sweep = setTimeout(() => this.#sweepWaste(), REAP_EVERY_MS);
    this.#sweep.unref();
  }

  #giveUp(): void {
    for (const { netns, endpoints } of this.#waste.splice(0)) {
      netns?.close();
      for (const leaving of endpoints) this.#dying.push({ ...leaving, since: performance.now() });
    }
  }

  /** For exhausted addresses: doesn't wait any longer for what is being torn down. Whether anything became free. */
  reclaim(): boolean {
    const before = this.#dying.length + this.#waste.length;
    this.#giveUp();
    this.#reap(0);
    return before > 0 && this.#dying.length < before;
  }

  /**
   * Frees what is gone. An interface that is still there after `patienceMs` is kept by a process that outlived its container, or by a
   * slow kernel: it is unplugged by force.
   */
  #reap(patienceMs: number): void {
    if (this.#dying.length === 0) return;
    const present = new Set(listLinks(this.#deps.route).map(({ name }) => name));
    const rest: Dying[] = [];
    for (const dying of this.#dying.splice(0)) {
      const { hostInterface } = dying.endpoint;
      const isPresent = hostInterface !== undefined && present.has(hostInterface);
      if (isPresent && performance.now() - dying.since < patienceMs) {
        rest.push(dying);
        continue;
      }
      try {
        if (isPresent) this.#unplug(hostInterface);
        void this.#free(dying);
      } catch (error) {
        this.#deps.log.warn("can't clean up after a sandbox", { interface: hostInterface, error });
        rest.push(dying);
      }
    }
    this.#dying.push(...rest);
  }

  #free(
    { network, endpoint }: LeavingEndpoint,
    how: Parameters<DriverNetwork["unplug"]>[1] = { isSandboxGone: true, netns: undefined },
  ): Promise<void> | undefined {
    const pending = network.unplug(endpoint, how);
    if (!(pending instanceof Promise)) return undefined;
    const done = pending
      .catch((error: unknown) => this.#deps.log.warn("can't clean up after an endpoint", { endpoint: endpoint.endpointId, error }))
      .finally(() => this.#leaving.delete(leaving));
    const leaving = { network, done };
    this.#leaving.add(leaving);
    return done;
  }

  #unplug(hostInterface: string): void {
    const [failed] = this.#deps.route.requestAll([deleteLink(hostInterface)]);
    if (failed !== undefined && !isErrno(failed, "ENODEV")) throw failed;
  }

  /** Waits until nothing of a network is left to be torn down, by force where that takes. */
  async finish(network: DriverNetwork): Promise<void> {
    this.#giveUp();
    const own = this.#dying.filter((dying) => dying.network === network);
    const others = this.#dying.filter((dying) => dying.network !== network);
    this.#dying = own;
    this.#reap(0);
    this.#dying.push(...others);
    await Promise.all([...this.#leaving].map((leaving) => (leaving.network === network ? leaving.done : undefined)));
  }

  /**
   * Takes a link of ours out of use at once, its name free for another, and deletes it a moment later with others: that holds this thread up for
   * a grace period, tens of milliseconds on a busy machine. One that is gone: nothing. @throws {NetlinkError}
   */
  bury(name: string): void {
    const { route, table } = this.#deps;
    const link = findLink(route, name);
    if (link !== undefined) {
      const grave = `gone${randomBytes(5).toString("hex")}`;
      // by this row, the next daemon finds it
      table.putBridge(grave, link.mac);
      const own = listIpAddresses(route).filter(({ index }) => index === link.index);
      route.requestAll(own.map(({ index, address, prefixLength }) => deleteIpAddress(index, address, prefixLength)));
      route.request(setLink(link.index, { up: false }), setLink(link.index, { name: grave, group: FIRST_GROUP + process.pid }));
      this.#buried.push(grave);
      this.#planBurial();
    }
    table.removeBridge(name);
  }

  /**
   * Deletes the interfaces of an endpoint, which its container can't use any more, a moment later with others. After a kill the next daemon finds
   * them on their bridge, and nobody's. @throws {NetlinkError}
   */
  retire(endpoint: PluggedEndpoint): void {
    const { hostInterface } = endpoint;
    if (hostInterface === undefined) return;
    // down, so that a container with CAP_NET_ADMIN can't bring its end up again
    this.#deps.route.request(setLink(0, { name: hostInterface, up: false, group: FIRST_GROUP + process.pid }));
    this.#retired.push(endpoint);
    this.#planBurial();
  }

  /** Deletes retired interfaces now: somebody is about to look. */
  deleteRetired(): void {
    if (this.#retired.length > 0) this.#deleteBuried();
  }

  #planBurial(): void {
    this.#burial ??= setTimeout(() => this.#deleteBuried(), BURY_DELAY_MS);
    this.#burial.unref();
  }

  #deleteBuried(): void {
    clearTimeout(this.#burial);
    this.#burial = undefined;
    if (this.#buried.length === 0 && this.#retired.length === 0) return;
    const { route, table, log } = this.#deps;
    const [failed] = route.requestAll([deleteLinkGroup(FIRST_GROUP + process.pid)]);
    if (failed !== undefined && !isErrno(failed, "ENODEV")) {
      log.warn("links that are not used any more could not be deleted", { error: failed });
      return;
    }
    for (const name of this.#buried.splice(0)) table.removeBridge(name);
    this.#retired = [];
  }

  /** What is being torn down. */
  leaving(): Pick<PluggedEndpoint, "hostInterface" | "addresses">[] {
    const held = [...this.#waste.flatMap(({ endpoints }) => endpoints), ...this.#dying].map(({ endpoint }) => endpoint);
    return [...held, ...this.#retired.map(({ hostInterface }) => ({ hostInterface, addresses: { 4: undefined, 6: undefined } }))];
  }

  /** Nobody is there to wait for what is being torn down: its interfaces are deleted with the rest. */
  close(): void {
    clearTimeout(this.#sweep);
    this.#giveUp();
    const group = FIRST_GROUP + process.pid;
    const names = this.#dying.splice(0).flatMap(({ endpoint }) => endpoint.hostInterface ?? []);
    this.#deps.route.requestAll(names.map((name) => setLink(0, { name, group })));
    this.#buried.push(...names);
    this.#deleteBuried();
  }
}
