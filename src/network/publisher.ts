import { DhowError, type Logger } from "../lib/mod.ts";
import { flushFlowsTo, type NetlinkSocket } from "../linux/mod.ts";
import type { Firewall } from "./firewall.ts";
import type { PortForward } from "./firewall-table.ts";
import { PortAllocator, type PortLease } from "./port-allocator.ts";
import { type PortProxy, proxyTcp, proxyUdp } from "./port-proxy.ts";
import type { PortRequest, PortSpecs } from "./port-specs.ts";

const UDP = 17;

export interface HostPort {
  readonly HostIp: string;
  readonly HostPort: string;
}

/** Docker's port map: null for a port that is exposed and not published. */
export type BoundPorts = Readonly<Record<string, readonly HostPort[] | null>>;

/** Where a container's published ports lead: the addresses of its endpoint that has the default route. */
export interface PortTarget {
  readonly ipv4: string | undefined;
  readonly ipv6: string | undefined;
  /** The container's address takes connections itself (gateway mode "routed"), by family. */
  readonly isDirect: { readonly 4: boolean; readonly 6: boolean };
  /** Where ports are published that name no address; empty: everywhere. */
  readonly hostBinding: string;
}

/** A container's ports in the form of its row. */
export interface StoredPorts {
  readonly leases: readonly Omit<PortLease, "socket">[];
  readonly exposed: readonly string[];
}

interface Published {
  leases: readonly PortLease[];
  exposed: readonly string[];
  target: PortTarget | undefined;
  proxies: PortProxy[];
}

export interface PublisherDeps {
  readonly firewall: () => Firewall | undefined;
  readonly netfilter: NetlinkSocket;
  readonly log: Logger;
}

/** The published ports of all containers: reserved on the host, led to the containers, taken back. */
export class Publisher {
  readonly #deps: PublisherDeps;
  readonly #allocator = new PortAllocator();
  readonly #held = new Map<string, Published>();

  constructor(deps: PublisherDeps) {
    this.#deps = deps;
  }

  /** Publishes a container's ports, all or none; what it had is taken back. @throws internal in docker's words */
  publish(containerId: string, { requests, exposed }: PortSpecs, target: PortTarget): void {
    this.release(containerId);
    const leases = this.#allocate(requests, target);
    const published: Published = { leases, exposed, target, proxies: [] };
    this.#begin(containerId, published);
  }

  /** Notes what a container without a place for its ports exposes. */
  note(containerId: string, { exposed }: PortSpecs): void {
    this.release(containerId);
    this.#held.set(containerId, { leases: [], exposed, target: undefined, proxies: [] });
  }

  /** Publishes more of a running container's ports, all or none. @throws internal in docker's words */
  add(containerId: string, requests: readonly PortRequest[]): void {
    const published = this.#held.get(containerId);
    if (published?.target === undefined)
      throw new DhowError("conflict", `publish ports of container ${containerId}: it has no network with ports`);
    const added = this.#allocate(requests, published.target);
    this.#swap(containerId, published, [...published.leases, ...added], added);
  }

  /** Takes published ports of a running container back; those that `isGone` tells. */
  remove(containerId: string, isGone: (lease: PortLease) => boolean): readonly PortLease[] {
    const published = this.#held.get(containerId);
    if (published === undefined) return [];
    const gone = published.leases.filter(isGone);
    this.#swap(
      containerId,
      published,
      published.leases.filter((lease) => !gone.includes(lease)),
      gone,
    );
    return gone;
  }

  /** Changes the leases of a container; `changed`, which come or go, are given back when the kernel refuses. */
  #swap(containerId: string, published: Published, leases: readonly PortLease[], changed: readonly PortLease[]): void {
    const firewall = this.#deps.firewall();
    const { target } = published;
    const isAddition = leases.length > published.leases.length;
    const before = forwardsOf(published.leases, target);
    const after = forwardsOf(leases, target);
    // a run of ports is one element: it is taken back as it was put in
    firewall?.unpublish(before);
    this.#held.set(containerId, { ...published, leases: [] });
    try {
      firewall?.publish(after);
    } catch (error) {
      firewall?.publish(before);
      this.#held.set(containerId, published);
      if (isAddition) this.#allocator.release(changed);
      throw error;
    }
    for (const proxy of published.proxies) proxy.close();
    if (!isAddition) this.#allocator.release(changed);
    const next: Published = { ...published, leases: leases.map((lease) => this.#allocator.again(lease)), proxies: [] };
    this.#held.set(containerId, next);
    this.#flush(after);
    this.#startProxies(next);
  }

  /** Leads a container's ports elsewhere, after its default route has changed; undefined: nowhere for now. */
  retarget(containerId: string, target: PortTarget | undefined): void {
    const published = this.#held.get(containerId);
    if (published === undefined) return;
    const firewall = this.#deps.firewall();
    firewall?.unpublish(forwardsOf(published.leases, published.target));
    for (const proxy of published.proxies) proxy.close();
    // a proxy that ended took its socket with it
    const leases = published.leases.map((lease) => this.#allocator.again(lease));
    this.#held.delete(containerId);
    this.#begin(containerId, { ...published, leases, target, proxies: [] });
  }

  #allocate(requests: readonly PortRequest[], target: PortTarget): PortLease[] {
    const { hostBinding, ipv4, ipv6 } = target;
    const placed = hostBinding === "" ? requests : requests.map((r) => (r.hostIp === "" ? { ...r, hostIp: hostBinding } : r));
    return this.#allocator.allocate(placed, { containerIp: ipv4 ?? ipv6 ?? "" });
  }

  #begin(containerId: string, published: Published): void {
    const forwards = forwardsOf(published.leases, published.target);
    try {
      if (forwards.length > 0) this.#deps.firewall()?.publish(forwards);
    } catch (error) {
      this.#allocator.release(published.leases);
      throw error;
    }
    this.#held.set(containerId, published);
    this.#flush(forwards);
    // IPv6 clients can wait until the container is started
    if (published.leases.some((l) => l.isV6)) setImmediate(() => this.#startProxies(published));
  }

  /** A flow that began before the port was published would go on without it. */
  #flush(forwards: readonly PortForward[]): void {
    for (const { protocol, containerIp, hostPort } of forwards) {
      if (protocol === "udp") flushFlowsTo(this.#deps.netfilter, containerIp.includes(":") ? 6 : 4, UDP, hostPort);
    }
  }

  #startProxies(published: Published): void {
    const address = published.target?.ipv4 ?? published.target?.ipv6;
    if (address === undefined || ![...this.#held.values()].includes(published)) return;
    for (const lease of published.leases) {
      if (!lease.isV6 || lease.socket === undefined || lease.socket.fd < 0 || lease.protocol === "sctp") continue;
      const target = { address, port: lease.containerPort, allow: lease.allow };
      published.proxies.push((lease.protocol === "tcp" ? proxyTcp : proxyUdp)(lease.socket, target, this.#deps.log));
    }
  }

  /** Takes up what a container has published under the last daemon; the table is to be made anew after that. */
  restore(containerId: string, { leases, exposed }: StoredPorts, target: PortTarget | undefined): void {
    const restored = leases.map((lease) => this.#allocator.restore(lease));
    this.#held.set(containerId, { leases: restored, exposed, target, proxies: [] });
  }

  /** Serves IPv6 clients of what was taken up. */
  resume(): void {
    for (const published of this.#held.values()) this.#startProxies(published);
  }

  /** Takes a container's ports back; none: nothing. */
  release(containerId: string): void {
    const published = this.#held.get(containerId);
    if (published === undefined) return;
    this.#held.delete(containerId);
    try {
      const forwards = forwardsOf(published.leases, published.target);
      if (forwards.length > 0) this.#deps.firewall()?.unpublish(forwards);
    } catch (error) {
      this.#deps.log.error("can't take published ports back", { container: containerId, error });
    }
    for (const proxy of published.proxies) proxy.close();
    this.#allocator.release(published.leases);
  }

  /** What a container publishes, in docker's form. */
  ports(containerId: string): BoundPorts {
    const published = this.#held.get(containerId);
    return published === undefined ? {} : portMap(published.exposed, published.target === undefined ? [] : published.leases);
  }

  leases(containerId: string): readonly PortLease[] {
    return this.#held.get(containerId)?.leases ?? [];
  }

  stored(containerId: string): StoredPorts {
    const { leases = [], exposed = [] } = this.#held.get(containerId) ?? {};
    return { leases: leases.map(({ socket: _, ...rest }) => rest), exposed };
  }

  /** What leads to one container. */
  forwards(containerId: string): PortForward[] {
    const published = this.#held.get(containerId);
    return published === undefined ? [] : forwardsOf(published.leases, published.target);
  }

  /** Everything that is published. */
  all(): PortForward[] {
    return [...this.#held.values()].flatMap(({ leases, target }) => forwardsOf(leases, target));
  }

  /** The ports of the host that are taken. */
  taken(): ReturnType<PortAllocator["taken"]> {
    return this.#allocator.taken();
  }

  /** Frees a port that is taken for nobody. */
  free(port: Pick<PortLease, "protocol" | "hostIp" | "hostPort">): void {
    this.#allocator.release([{ ...port, containerPort: 0, isV6: false, socket: undefined }]);
  }

  /** Ends this daemon's part; what is published stays. */
  close(): void {
    for (const { proxies, leases } of this.#held.values()) {
      for (const proxy of proxies) proxy.close();
      for (const lease of leases) lease.socket?.close();
    }
  }
}

function forwardsOf(leases: readonly PortLease[], target: PortTarget | undefined): PortForward[] {
  if (target === undefined) return [];
  return leases.flatMap(({ protocol, hostIp, hostPort, containerPort, isV6, allow }) => {
    const containerIp = isV6 ? target.ipv6 : target.ipv4;
    if (containerIp === undefined) return [];
    return { protocol, hostIp, hostPort, containerIp, containerPort, allow, ...(target.isDirect[isV6 ? 6 : 4] && { isDirect: true }) };
  });
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
