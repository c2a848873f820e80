import { randomBytes } from "node:crypto";
import { writeFileSync } from "node:fs";
import { DhowError, type Logger } from "../lib/mod.ts";
import {
  addAddress,
  addDefaultRoute,
  addVeth,
  createNetnsFd,
  type Fd,
  findLink,
  insideNetns,
  NETLINK,
  NetlinkSocket,
  setBridgePort,
  setLink,
} from "../linux/mod.ts";
import type { Bridge } from "./bridge.ts";
import type { AddressPool } from "./ipam.ts";
import { macOf } from "./ipv4.ts";

/** Index of `eth0` in every sandbox; 1 is the loopback. */
const ETH0_INDEX = 2;

/** A network namespace that is ready: loopback up and, with an endpoint, eth0 plugged, addressed and routed. */
export interface PooledSandbox {
  readonly netns: Fd;
  readonly endpoint: { readonly hostInterface: string; readonly address: number; readonly mac: Uint8Array } | undefined;
}

export type SandboxKind = "bridge" | "none";

export interface SandboxPoolOptions {
  readonly home: Fd;
  readonly route: NetlinkSocket;
  readonly log: Logger;
  /** Undefined: there is no bridge, only sandboxes without one. */
  readonly bridge: Bridge | undefined;
  readonly addresses: AddressPool | undefined;
  readonly mtu: number;
  readonly icc: boolean;
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
  endpoints(): NonNullable<PooledSandbox["endpoint"]>[] {
    return this.#ready.bridge.flatMap(({ endpoint }) => endpoint ?? []);
  }

  /** Gives up a ready sandbox whose interface somebody took away. */
  drop(hostInterface: string): void {
    const at = this.#ready.bridge.findIndex(({ endpoint }) => endpoint?.hostInterface === hostInterface);
    const [dropped] = at < 0 ? [] : this.#ready.bridge.splice(at, 1);
    if (dropped?.endpoint === undefined) return;
    dropped.netns.close();
    this.#o.addresses?.free(dropped.endpoint.address);
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
    const { bridge, addresses } = this.#o;
    if (bridge === undefined || addresses === undefined)
      throw new DhowError("invalid", 'network "bridge" is not there: the daemon runs with --bridge=none');
    const address = addresses.take();
    const endpoint = { hostInterface: `veth${randomBytes(4).toString("hex").slice(0, 7)}`, address, mac: macOf(address) };
    try {
      return { netns: enter((netns) => this.#plug(netns, bridge, endpoint)), endpoint };
    } catch (error) {
      addresses.free(address);
      throw error;
    }
  }

  /** Runs inside the new namespace; the sockets of `route` still belong to the host's. */
  #plug(netns: Fd, bridge: Bridge, endpoint: NonNullable<PooledSandbox["endpoint"]>): void {
    const { route, mtu, icc } = this.#o;
    const { hostInterface } = endpoint;
    setIpv6("default", false);
    route.request(addVeth({ name: hostInterface, mtu }, { name: "eth0", index: ETH0_INDEX, netnsFd: netns.fd, mtu, mac: endpoint.mac }));
    route.request(setLink(0, { name: hostInterface, master: bridge.index, up: true }));
    // br_netfilter carries what it readdresses within the bridge: back out of the same port, when a container asks for itself,
    // and its packets pass the forward chain, which tells published ports from others; without it the bridge must keep ports apart
    if (bridge.isFiltered) route.request(setBridgePort(this.#indexOf(hostInterface), { isHairpin: true }));
    else if (!icc) route.request(setBridgePort(this.#indexOf(hostInterface), { isIsolated: true }));
    using inside = new NetlinkSocket(NETLINK.ROUTE, { receiveBytes: 8192 });
    inside.request(setLink(1, { up: true }), ...eth0Requests(endpoint.address, bridge));
    setIpv6("default", true);
  }

  #indexOf(name: string): number {
    const link = findLink(this.#o.route, name);
    if (link === undefined) throw new DhowError("internal", `find interface ${name}: it is gone`);
    return link.index;
  }

  /** Gives a sandbox's eth0 another MAC address (1 ms). @throws {NetlinkError} */
  setMac(sandbox: PooledSandbox, mac: Uint8Array): PooledSandbox {
    const { bridge, home } = this.#o;
    const { endpoint } = sandbox;
    if (endpoint === undefined || bridge === undefined) return sandbox;
    insideNetns(home, sandbox.netns.fd, () => {
      using inside = new NetlinkSocket(NETLINK.ROUTE, { receiveBytes: 8192 });
      inside.request(setLink(ETH0_INDEX, { up: false }), setLink(ETH0_INDEX, { mac }), setLink(ETH0_INDEX, { up: true }));
      inside.request(addDefaultRoute(bridge.gateway, ETH0_INDEX));
    });
    return { ...sandbox, endpoint: { ...endpoint, mac } };
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

function eth0Requests(address: number, bridge: Bridge) {
  return [
    addAddress(ETH0_INDEX, address, bridge.subnet.prefixLength),
    setLink(ETH0_INDEX, { up: true }),
    addDefaultRoute(bridge.gateway, ETH0_INDEX),
  ];
}

function loopbackUp(): void {
  using inside = new NetlinkSocket(NETLINK.ROUTE, { receiveBytes: 8192 });
  inside.request(setLink(1, { up: true }));
}

/** Interfaces made from now on in this thread's namespace have IPv6, or not; without IPv6 in the kernel: nothing. */
function setIpv6(which: string, isOn: boolean): void {
  try {
    writeFileSync(`/proc/sys/net/ipv6/conf/${which}/disable_ipv6`, isOn ? "0" : "1");
  } catch {
    // no such file: the kernel has no IPv6
  }
}
