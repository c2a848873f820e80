import { DhowError, type Logger } from "../lib/mod.ts";
import { addRoute, createNetnsFd, type Fd, insideNetns, isErrno, NETLINK, NetlinkSocket, setLink } from "../linux/mod.ts";
import type { BridgeNetwork } from "./drivers/bridge.ts";
import type { InterfaceAddress, Plugged } from "./drivers/driver.ts";
import { type Family, formatIp, ipBytes, parseIp } from "./ip.ts";

/** Index of `eth0` in every sandbox; 1 is the loopback. */
export const ETH0_INDEX = 2;

/** An endpoint on the default bridge. */
export interface PooledEndpoint extends Plugged {
  readonly hostInterface: string;
  readonly addresses: Readonly<Record<Family, InterfaceAddress | undefined>>;
}

/** A network namespace that is ready: loopback up and, with an endpoint, eth0 plugged, addressed and routed. */
export interface PooledSandbox {
  readonly netns: Fd;
  readonly endpoint: PooledEndpoint | undefined;
}

export type SandboxKind = "bridge" | "none";

export interface SandboxPoolOptions {
  readonly home: Fd;
  readonly log: Logger;
  /** Undefined: there is no default bridge, only sandboxes without one. */
  readonly bridge: BridgeNetwork | undefined;
  /** How many of each kind are kept ready. */
  readonly size: Readonly<Record<SandboxKind, number>>;
}

/** No refill for so long after a sandbox was taken: its container starts. Less after one was given back: the client has yet to ask again. */
const START_MS = 60;
const END_MS = 6;
/** Pause between two makings: each blocks this thread for 1 to 3 ms. */
const PACE_MS = 4;
const RETRY_MS = 5000;

/** Sandboxes made ahead, each used once. A sandbox lives by its descriptor: those of a killed daemon are gone with it. */
export class SandboxPool {
  readonly #o: SandboxPoolOptions;
  readonly #ready: Record<SandboxKind, PooledSandbox[]> = { bridge: [], none: [] };
  #timer: ReturnType<typeof setTimeout> | undefined;
  #quietUntil = 0;
  #isClosed = false;

  constructor(options: SandboxPoolOptions) {
    this.#o = options;
  }

  /** Number of sandboxes that are ready. */
  get readyCount(): number {
    return this.#ready.bridge.length + this.#ready.none.length;
  }

  /** The endpoints of those that are ready. */
  endpoints(): PooledEndpoint[] {
    return this.#ready.bridge.flatMap(({ endpoint }) => endpoint ?? []);
  }

  /** Gives up a ready sandbox whose interface somebody took away. */
  drop(hostInterface: string): void {
    const at = this.#ready.bridge.findIndex(({ endpoint }) => endpoint?.hostInterface === hostInterface);
    const [dropped] = at < 0 ? [] : this.#ready.bridge.splice(at, 1);
    if (dropped?.endpoint === undefined) return;
    dropped.netns.close();
    free(this.#o.bridge, dropped.endpoint.addresses);
    this.fill();
  }

  /** A ready sandbox; made now when none is (2 ms). @throws {NetlinkError} conflict when the addresses are used up */
  take(kind: SandboxKind): PooledSandbox {
    this.#putOff(START_MS);
    return this.#ready[kind].shift() ?? this.make(kind);
  }

  /** A container has ended: a good moment for the refill follows. */
  ended(): void {
    this.#putOff(END_MS);
  }

  #putOff(ms: number): void {
    this.#quietUntil = performance.now() + ms;
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.fill(this.#ready.bridge.length + this.#ready.none.length === 0 ? PACE_MS : ms);
  }

  /** Begins to fill the pool in the background. */
  fill(afterMs = PACE_MS): void {
    if (this.#isClosed || this.#timer !== undefined || this.#missing() === undefined) return;
    this.#timer = setTimeout(() => this.#refill(), afterMs);
    this.#timer.unref();
  }

  #isEmpty(kind: SandboxKind): boolean {
    return this.#ready[kind].length === 0;
  }

  #wanted(kind: SandboxKind): number {
    return kind === "bridge" && this.#o.bridge === undefined ? 0 : this.#o.size[kind];
  }

  #missing(): SandboxKind | undefined {
    if (this.#ready.bridge.length < this.#wanted("bridge")) return "bridge";
    return this.#ready.none.length < this.#wanted("none") ? "none" : undefined;
  }

  #refill(): void {
    this.#timer = undefined;
    const kind = this.#missing();
    if (this.#isClosed || kind === undefined) return;
    const waitMs = this.#quietUntil - performance.now();
    if (waitMs > 0 && !this.#isEmpty(kind)) {
      this.fill(waitMs);
      return;
    }
    try {
      this.#ready[kind].push(this.make(kind));
      this.fill();
    } catch (error) {
      // the next start says so to whoever wants a sandbox
      this.#o.log.debug("can't make a sandbox ahead", { kind, error });
      this.fill(RETRY_MS);
    }
  }

  /** Makes a sandbox of a network namespace that is there, and owns it from now on. @throws {NetlinkError} conflict */
  furnish(kind: SandboxKind, netns: Fd): PooledSandbox {
    const enter = (inside: (netns: Fd) => void): Fd => {
      insideNetns(this.#o.home, netns.fd, () => inside(netns));
      return netns;
    };
    try {
      return this.#makeIn(kind, enter);
    } catch (error) {
      netns.close();
      throw error;
    }
  }

  /** Makes a sandbox. @throws {NetlinkError} conflict */
  make(kind: SandboxKind): PooledSandbox {
    return this.#makeIn(kind, (inside) => createNetnsFd(this.#o.home, inside));
  }

  #makeIn(kind: SandboxKind, enter: (inside: (netns: Fd) => void) => Fd): PooledSandbox {
    if (kind === "none") return { netns: enter(() => loopbackUp()), endpoint: undefined };
    const { bridge } = this.#o;
    if (bridge === undefined) throw new DhowError("invalid", 'network "bridge" is not there: the daemon runs with --bridge=none');
    const addresses = takeAddresses(bridge);
    try {
      let plugged: Plugged | undefined;
      const netns = enter((inside) => {
        loopbackUp();
        plugged = bridge.plugHere({ netns: inside, interfaceName: "eth0", index: ETH0_INDEX, addresses, mac: undefined });
        setDefaultRoutes(ETH0_INDEX, { 4: bridge.gateway(4), 6: bridge.gateway(6) });
      });
      return { netns, endpoint: { mac: "", ...plugged, hostInterface: plugged?.hostInterface ?? "", addresses } };
    } catch (error) {
      free(bridge, addresses);
      throw error;
    }
  }

  /** Gives up what is ready. */
  close(): void {
    this.#isClosed = true;
    clearTimeout(this.#timer);
    for (const sandbox of [...this.#ready.bridge, ...this.#ready.none]) sandbox.netns.close();
    this.#ready.bridge.length = 0;
    this.#ready.none.length = 0;
  }
}

function takeAddresses({ addresses, families }: BridgeNetwork): Readonly<Record<Family, InterfaceAddress | undefined>> {
  const take = (family: Family): InterfaceAddress | undefined => {
    if (!families.includes(family)) return undefined;
    const { ip, prefixLength } = addresses.take(family);
    return { address: formatIp(ip), prefixLength };
  };
  const v4 = take(4);
  try {
    return { 4: v4, 6: take(6) };
  } catch (error) {
    if (v4 !== undefined) addresses.free(parseIp(v4.address));
    throw error;
  }
}

function free(bridge: BridgeNetwork | undefined, addresses: Readonly<Record<Family, InterfaceAddress | undefined>>): void {
  for (const a of [addresses[4], addresses[6]]) if (a !== undefined) bridge?.addresses.free(parseIp(a.address));
}

function loopbackUp(): void {
  using inside = new NetlinkSocket(NETLINK.ROUTE, { receiveBytes: 8192 });
  inside.request(setLink(1, { up: true }));
}

/** Adds the default routes over an interface, in the namespace that this thread is in. @throws {NetlinkError} */
export function setDefaultRoutes(index: number, gateways: Readonly<Record<Family, string | undefined>>): void {
  using inside = new NetlinkSocket(NETLINK.ROUTE, { receiveBytes: 8192 });
  for (const family of [4, 6] as const) {
    const gateway = gateways[family];
    if (gateway === undefined) continue;
    const [failed] = inside.requestAll([addRoute({ family, gateway: ipBytes(parseIp(gateway)), index })]);
    if (failed !== undefined && !isErrno(failed, "EEXIST")) throw failed;
  }
}
