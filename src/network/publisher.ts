import { DhowError, type Logger } from "../lib/mod.ts";
import { flushFlowsFrom, flushFlowsTo, type NetlinkSocket } from "../linux/mod.ts";
import type { Firewall } from "./firewall.ts";
import { type PortForward, protocolNumber } from "./firewall-elements.ts";
import { ipBytes, parseIp } from "./ip.ts";
import { PortAllocator, type PortLease, type PortTarget, type PublishedPort } from "./port-allocator.ts";
import { PortProxies, type ProxyTarget } from "./port-proxies.ts";
import type { PortRequest, PortSpecs } from "./port-specs.ts";

export interface HostPort {
  readonly HostIp: string;
  readonly HostPort: string;
}

/** Docker's port map: null for a port that is exposed and not published. */
export type BoundPorts = Readonly<Record<string, readonly HostPort[] | null>>;

type StoredLease = Omit<PortLease, "socket">;

/** A container's ports in the form of its row. */
export interface StoredPorts {
  readonly published: readonly { readonly request: PortRequest; readonly leases: readonly StoredLease[] }[];
  readonly exposed: readonly string[];
  readonly cut?: readonly CutPort[] | undefined;
}

/** A port of the container that connections were cut from: none of them goes on, whatever is sent. */
export interface CutPort {
  readonly protocol: "tcp" | "udp";
  readonly containerPort: number;
}

interface Held {
  readonly published: readonly PublishedPort[];
  readonly exposed: readonly string[];
  readonly cut: readonly CutPort[];
  readonly target: PortTarget | undefined;
}

/** What is to become of a container's published ports. */
export interface PortChange {
  /** Of those that `Publisher.published` tells. */
  readonly remove: readonly PublishedPort[];
  readonly add: readonly PortRequest[];
  /** `80/tcp`: all that are bound or exposed then. */
  readonly exposed: readonly string[];
}

export interface PublisherDeps {
  readonly firewall: Firewall;
  readonly netfilter: NetlinkSocket;
  readonly log: Logger;
}

/** The published ports of all containers: reserved on the host, led to the containers, taken back. */
export class Publisher {
  readonly #deps: PublisherDeps;
  readonly #allocator = new PortAllocator();
  readonly #proxies: PortProxies;
  readonly #held = new Map<string, Held>();

  constructor(deps: PublisherDeps) {
    this.#deps = deps;
    this.#proxies = new PortProxies(deps.log);
  }

  /** Publishes a container's ports, all or none; what it had is taken back. @throws internal in docker's words */
  publish(containerId: string, { requests, exposed }: PortSpecs, target: PortTarget): void {
    this.release(containerId);
    this.#swap(containerId, undefined, { published: this.#allocator.allocate(requests, target), exposed, cut: [], target });
  }

  /** Notes what a container without a place for its ports is to publish, once it has one. */
  note(containerId: string, { requests, exposed }: PortSpecs): void {
    this.release(containerId);
    this.#held.set(containerId, { published: waiting(requests), exposed, cut: [], target: undefined });
  }

  /**
   * Publishes more of a running container's ports and takes others back, all or nothing; `commit` writes that down. Packets of ports that
   * stay don't notice. Connections by ports that are taken back are cut.
   * @throws internal in docker's words, conflict; what `commit` throws
   */
  change(containerId: string, { remove, add, exposed }: PortChange, commit: () => void): void {
    const before = this.#held.get(containerId);
    if (before === undefined) throw new DhowError("conflict", `container ${containerId} has no network of its own`);
    const { target } = before;
    const gone = leasesOf(before.published.filter((port) => remove.includes(port)));
    const kept = before.published.filter((port) => !remove.includes(port));
    if (target === undefined) {
      this.#hold(containerId, before, { ...before, exposed, published: [...kept, ...waiting(add)] }, commit);
      return;
    }
    // a port that another of this change gives up can't be had before that; all else is settled first
    const [later, sooner] = partition(add, (request) => gone.some((lease) => isContested(lease, request)));
    const first = this.#allocator.allocate(sooner, target);
    const undo = [() => this.#free(leasesOf(first))];
    let added = first;
    try {
      if (later.length > 0) {
        this.#free(gone);
        undo.push(() => this.#retake(containerId, before, gone));
        const more = this.#allocator.allocate(later, target);
        undo.push(() => this.#free(leasesOf(more)));
        added = [...first, ...more];
      }
      const published = [...kept, ...added];
      this.#hold(containerId, before, { ...before, exposed, published, cut: cutPorts(before, gone, published) }, commit);
    } catch (error) {
      for (const step of undo.toReversed()) step();
      throw error;
    }
    if (later.length === 0) this.#free(gone);
    this.#cut(forwardsOf({ leases: gone, target }));
  }

  /** Leads a container's ports elsewhere, after its default route has changed; undefined: nowhere for now. @throws internal */
  retarget(containerId: string, target: PortTarget | undefined): void {
    const before = this.#held.get(containerId);
    if (before === undefined) return;
    const gone = leasesOf(before.published);
    const cut = cutPorts(before, gone, before.published);
    if (target !== undefined && before.target !== undefined && isAlike(target, before.target)) {
      this.#swap(containerId, before, { ...before, cut, target });
      return;
    }
    const requests = before.published.map(({ request }) => request);
    this.#free(gone);
    try {
      const published = target === undefined ? waiting(requests) : this.#allocator.allocate(requests, target);
      this.#swap(containerId, before, { ...before, published, cut, target });
    } catch (error) {
      this.#retake(containerId, before, gone);
      throw error;
    }
  }

  /** Puts `after` in the place of `before` in the kernel; what was taken for it is given back when that refuses. @throws {NetlinkError} */
  #swap(containerId: string, before: Held | undefined, after: Held): void {
    try {
      this.#hold(containerId, before, after, () => {});
    } catch (error) {
      const kept = new Set(leasesOf(before?.published ?? []));
      this.#free(leasesOf(after.published).filter((lease) => !kept.has(lease)));
      throw error;
    }
  }

  /** The kernel first, then what `commit` writes: a daemon that dies in between leaves the next one what was before. */
  #hold(containerId: string, before: Held | undefined, after: Held, commit: () => void): void {
    const { firewall } = this.#deps;
    const [was, is] = [before, after].map((held) => (held === undefined ? [] : forwardsOfAll(held)));
    const put = (held: Held | undefined): void => {
      if (held === undefined) this.#held.delete(containerId);
      else this.#held.set(containerId, held);
    };
    put(after);
    try {
      firewall.replace(was ?? [], is ?? []);
      try {
        commit();
      } catch (error) {
        put(before);
        firewall.replace(is ?? [], was ?? []);
        throw error;
      }
    } catch (error) {
      put(before);
      throw error;
    }
    this.#flush((is ?? []).filter((forward) => !was?.some((other) => isSame(forward, other))));
    // IPv6 clients can wait until the container is started
    if (leasesOf(after.published).some((l) => l.isV6)) setImmediate(() => this.#serve(containerId));
  }

  /** Gives ports back; what is proxied ends. */
  #free(leases: readonly PortLease[]): void {
    this.#proxies.end(leases);
    this.#allocator.release(leases);
  }

  /** Takes ports again that were given back for a change that failed. */
  #retake(containerId: string, before: Held, leases: readonly PortLease[]): void {
    const again = new Map(leases.map((lease) => [lease, this.#allocator.restore(lease)]));
    const published = before.published.map((port) => ({ ...port, leases: port.leases.map((lease) => again.get(lease) ?? lease) }));
    this.#held.set(containerId, { ...before, published });
    this.#serve(containerId);
  }

  /** A flow that began before the port was published would go on without it. */
  #flush(forwards: readonly PortForward[]): void {
    for (const { protocol, containerIp, hostPort, isDirect, isCut } of forwards) {
      if (protocol !== "udp" || isDirect || isCut) continue;
      flushFlowsTo(this.#deps.netfilter, { family: familyOf(containerIp), protocol: protocolNumber(protocol), destinationPort: hostPort });
    }
  }

  /** Ends the connections that came by ports which are no longer published. */
  #cut(forwards: readonly PortForward[]): void {
    for (const { protocol, containerIp, containerPort, hostPort, isDirect, isReachable } of forwards) {
      const cut = (destinationPort: number): void =>
        flushFlowsTo(this.#deps.netfilter, {
          family: familyOf(containerIp),
          protocol: protocolNumber(protocol),
          destinationPort,
          answeredBy: ipBytes(parseIp(containerIp)),
        });
      if (!isDirect) cut(hostPort);
      if (isDirect || isReachable) cut(containerPort);
      if (protocol !== "udp") continue;
      // those that the server itself began, after the clients' own had been forgotten
      const address = ipBytes(parseIp(containerIp));
      flushFlowsFrom(this.#deps.netfilter, { protocol: protocolNumber(protocol), sourcePort: containerPort, begunBy: address });
    }
  }

  #serve(containerId: string): void {
    this.#proxies.serve(leasesOf(this.#held.get(containerId)?.published ?? []), (lease) => this.#proxyTarget(containerId, lease));
  }

  /** As it is when a client comes: a port may be led elsewhere by then. */
  #proxyTarget(containerId: string, { protocol, hostIp, hostPort }: PortLease): ProxyTarget | undefined {
    const held = this.#held.get(containerId);
    const lease = leasesOf(held?.published ?? []).find((l) => l.hostPort === hostPort && l.protocol === protocol && l.hostIp === hostIp);
    const address = held?.target?.ipv6 ?? held?.target?.ipv4;
    return lease === undefined || address === undefined ? undefined : { address, port: lease.containerPort, allow: lease.allow };
  }

  /** Takes up what a container has published under the last daemon; the table is to be made anew after that. */
  restore(containerId: string, { published, exposed, cut = [] }: StoredPorts, target: PortTarget | undefined): void {
    const restored = published.map(({ request, leases }) => ({ request, leases: leases.map((lease) => this.#allocator.restore(lease)) }));
    this.#held.set(containerId, { published: restored, exposed, cut, target });
  }

  /** Serves IPv6 clients of what was taken up. */
  resume(): void {
    for (const containerId of this.#held.keys()) this.#serve(containerId);
  }

  /** Takes a container's ports back; none: nothing. */
  release(containerId: string): void {
    const held = this.#held.get(containerId);
    if (held === undefined) return;
    this.#held.delete(containerId);
    try {
      this.#deps.firewall.replace(forwardsOfAll(held), []);
    } catch (error) {
      this.#deps.log.error("can't take published ports back", { container: containerId, error });
    }
    this.#free(leasesOf(held.published));
  }

  /** What a container publishes, in docker's form. */
  ports(containerId: string): BoundPorts {
    const held = this.#held.get(containerId);
    return held === undefined ? {} : portMap(held.exposed, held.published);
  }

  /** What a container publishes, in the order of its requests; undefined: it has no network of its own. */
  published(containerId: string): readonly PublishedPort[] | undefined {
    return this.#held.get(containerId)?.published;
  }

  leases(containerId: string): readonly PortLease[] {
    return leasesOf(this.#held.get(containerId)?.published ?? []);
  }

  stored(containerId: string): StoredPorts {
    const { published = [], exposed = [], cut = [] } = this.#held.get(containerId) ?? {};
    return {
      published: published.map(({ request, leases }) => ({ request, leases: leases.map(({ socket: _, ...rest }) => rest) })),
      exposed,
      cut,
    };
  }

  /** What leads to one container. */
  forwards(containerId: string): PortForward[] {
    const held = this.#held.get(containerId);
    return held === undefined ? [] : forwardsOfAll(held);
  }

  /** Everything that is published. */
  all(): PortForward[] {
    return [...this.#held.values()].flatMap(forwardsOfAll);
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
    this.#proxies.close();
    for (const { published } of this.#held.values()) for (const lease of leasesOf(published)) lease.socket?.close();
  }
}

const familyOf = (ip: string): 4 | 6 => (ip.includes(":") ? 6 : 4);

function waiting(requests: readonly PortRequest[]): PublishedPort[] {
  return requests.map((request) => ({ request, leases: [] }));
}

function leasesOf(published: readonly PublishedPort[]): PortLease[] {
  return published.flatMap(({ leases }) => leases);
}

/**
 * What was cut, with what is now. A UDP port that everybody may use has nobody to be kept away: who was cut begins anew by what he sends next.
 */
function cutPorts({ cut }: Held, gone: readonly PortLease[], published: readonly PublishedPort[]): CutPort[] {
  const all = [...cut, ...gone].flatMap(({ protocol, containerPort }) => (protocol === "sctp" ? [] : { protocol, containerPort }));
  const isOpen = ({ protocol, containerPort }: CutPort): boolean =>
    protocol === "udp" &&
    published.some(({ request }) => request.protocol === "udp" && request.containerPort === containerPort && request.allow === undefined);
  const cutNow = all.filter((port) => !isOpen(port));
  return [...new Map(cutNow.map((port) => [`${port.containerPort}/${port.protocol}`, port])).values()];
}

function forwardsOfAll({ published, cut, target }: Held): PortForward[] {
  const addresses = [target?.ipv4, target?.ipv6, ...(target?.others ?? [])].flatMap((address) => address ?? []);
  const ended = addresses.flatMap((containerIp) =>
    cut.map((port) => ({ ...port, hostIp: "", hostPort: 0, containerIp, isCut: true }) as const),
  );
  return [...forwardsOf({ leases: leasesOf(published), target }), ...ended];
}

/** What leads to a container's addresses on routed networks that are not its way out. */
function otherForwards(leases: readonly PortLease[], others: readonly string[]): PortForward[] {
  const ports = new Map(leases.map((lease) => [`${lease.containerPort}/${lease.protocol}`, lease]));
  return others.flatMap((containerIp) =>
    [...ports.values()].map(({ protocol, containerPort, allow }) => {
      return { protocol, hostIp: "", hostPort: 0, containerIp, containerPort, allow, isDirect: true };
    }),
  );
}

function forwardsOf({ leases, target }: { readonly leases: readonly PortLease[]; readonly target: PortTarget | undefined }): PortForward[] {
  if (target === undefined) return [];
  const forwards = leases.flatMap(({ protocol, hostIp, hostPort, containerPort, isV6, allow }) => {
    const containerIp = isV6 ? target.ipv6 : target.ipv4;
    if (containerIp === undefined) return [];
    const how = hostPort === 0 ? { isDirect: true } : target.isReachable ? { isReachable: true } : {};
    return { protocol, hostIp, hostPort, containerIp, containerPort, allow, ...how };
  });
  return [...forwards, ...otherForwards(leases, target.others)];
}

function isSame(a: PortForward, b: PortForward): boolean {
  const keys = ["protocol", "hostIp", "hostPort", "containerIp", "containerPort"] as const;
  return keys.every((key) => a[key] === b[key]);
}

/** Whether the same leases serve both. */
function isAlike(a: PortTarget, b: PortTarget): boolean {
  const has = ({ ipv4, ipv6, isDirect, hostBinding }: PortTarget): string =>
    JSON.stringify([ipv4 !== undefined, ipv6 !== undefined, isDirect, hostBinding]);
  return has(a) === has(b);
}

/** Whether a request may want the port that a lease has. */
function isContested({ protocol, hostPort }: PortLease, request: PortRequest): boolean {
  return protocol === request.protocol && request.hostPort <= hostPort && hostPort <= request.hostPortEnd;
}

function partition<T>(list: readonly T[], isFirst: (item: T) => boolean): [T[], T[]] {
  return [list.filter(isFirst), list.filter((item) => !isFirst(item))];
}

function portMap(exposed: readonly string[], published: readonly PublishedPort[]): BoundPorts {
  const map: Record<string, HostPort[] | null> = {};
  for (const key of exposed) map[key] = null;
  // ports of the host before those of the container itself
  const leases = leasesOf(published).sort((a, b) => Number(a.hostPort === 0) - Number(b.hostPort === 0));
  for (const { containerPort, protocol, hostIp, hostPort } of leases) {
    const key = `${containerPort}/${protocol}`;
    const rows = map[key] ?? [];
    rows.push({ HostIp: hostIp, HostPort: hostPort === 0 ? "" : String(hostPort) });
    map[key] = rows;
  }
  return map;
}
