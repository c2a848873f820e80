import { readFileSync } from "node:fs";
import { isIPv4 } from "node:net";
import { DhowError, errnoCode } from "../lib/mod.ts";
import { bindInet, type Fd } from "../linux/mod.ts";
import { ipBytes, parseIp } from "./ip.ts";
import type { PortProtocol, PortRequest } from "./port-specs.ts";

/** A taken port of the host, with the socket that keeps it from others. */
export interface PortLease {
  readonly protocol: PortProtocol;
  readonly containerPort: number;
  /** 0: none of the host, the container's own address takes connections (gateway mode "routed"). */
  readonly hostPort: number;
  /** `0.0.0.0`, `::`, or one address. */
  readonly hostIp: string;
  readonly isV6: boolean;
  /** Networks that alone may use it; undefined: everybody. */
  readonly allow?: readonly string[] | undefined;
  /** Undefined when the socket could not be had again after a restart of the daemon: traffic passes all the same. */
  readonly socket: Fd | undefined;
}

/** What is published, and where: the ports of the host that were taken for a request. */
export interface PublishedPort {
  readonly request: PortRequest;
  /** None while the container has no network that it could be published by. */
  readonly leases: readonly PortLease[];
}

/** Where a container's published ports lead: the addresses of its endpoint that has the default route. */
export interface PortTarget {
  readonly ipv4: string | undefined;
  readonly ipv6: string | undefined;
  /** The container's address takes connections itself (gateway mode "routed"), by family. */
  readonly isDirect: { readonly 4: boolean; readonly 6: boolean };
  /** The container's address takes connections as well as the host's do. */
  readonly isReachable: boolean;
  /** Where ports are published that name no address; empty: everywhere. */
  readonly hostBinding: string;
  /** The container's addresses on other networks that take connections themselves. */
  readonly others: readonly string[];
}

const ANY4 = "0.0.0.0";
const ANY6 = "::";

/** The range that random ports come from: the kernel's own for outgoing connections. */
export function ephemeralRange(): { readonly first: number; readonly last: number } {
  try {
    const [first, last] = readFileSync("/proc/sys/net/ipv4/ip_local_port_range", "utf8").trim().split(/\s+/).map(Number);
    if (first && last && first <= last) return { first, last };
  } catch {
    // docker's own range serves where the file can't be read
  }
  return { first: 49153, last: 65535 };
}

/** How many ports would do. */
function freedom({ hostPort, hostPortEnd }: PortRequest): number {
  return hostPort === 0 ? Number.POSITIVE_INFINITY : hostPortEnd - hostPort;
}

/**
 * The published ports of this host: finds conflicts before anything starts, and holds a socket per port,
 * so that no process of the host takes it meanwhile.
 */
export class PortAllocator {
  /** protocol → port → addresses that are taken. */
  readonly #taken: Record<PortProtocol, Map<number, string[]>> = { tcp: new Map(), udp: new Map(), sctp: new Map() };
  #nextRandom = 0;
  readonly #range: { readonly first: number; readonly last: number };
  #hasIpv6 = true;

  constructor(range = ephemeralRange()) {
    this.#range = range;
  }

  /** Takes all ports of `requests` or none. @throws internal in docker's words */
  allocate(requests: readonly PortRequest[], target: PortTarget): PublishedPort[] {
    const leasesOf = new Map<PortRequest, PortLease[]>();
    try {
      // first those that can have one port only, which a random choice must not take from them
      for (const request of [...requests].sort((a, b) => freedom(a) - freedom(b)))
        leasesOf.set(request, this.#allocateOne(request, target));
      return requests.map((request) => ({ request, leases: leasesOf.get(request) ?? [] }));
    } catch (error) {
      for (const leases of leasesOf.values()) this.release(leases);
      throw error;
    }
  }

  /** Takes a port again that a container still has from a former life of the daemon; the socket only if it can be had. */
  restore(lease: Omit<PortLease, "socket">): PortLease {
    if (lease.hostPort === 0) return { ...lease, socket: undefined };
    this.#mark(lease.protocol, lease.hostPort, lease.hostIp);
    try {
      return { ...lease, socket: this.#bind(lease.protocol, lease.hostIp, lease.hostPort) };
    } catch {
      return { ...lease, socket: undefined };
    }
  }

  /** Gives ports back. */
  release(leases: readonly PortLease[]): void {
    for (const { protocol, hostPort, hostIp, socket } of leases) {
      socket?.close();
      const ips = this.#taken[protocol].get(hostPort)?.filter((ip) => ip !== hostIp) ?? [];
      if (ips.length === 0) this.#taken[protocol].delete(hostPort);
      else this.#taken[protocol].set(hostPort, ips);
    }
  }

  /** The ports that are taken. */
  taken(): { readonly protocol: PortProtocol; readonly hostPort: number; readonly hostIp: string }[] {
    return (Object.entries(this.#taken) as [PortProtocol, Map<number, string[]>][]).flatMap(([protocol, ports]) =>
      [...ports].flatMap(([hostPort, ips]) => ips.map((hostIp) => ({ protocol, hostPort, hostIp }))),
    );
  }

  #allocateOne(request: PortRequest, target: PortTarget): PortLease[] {
    const { hostPort, hostPortEnd } = request;
    if (hostPort !== 0 && hostPort === hostPortEnd) return this.#take(request, hostPort, target);
    const { first, last } = hostPort === 0 ? this.#range : { first: hostPort, last: hostPortEnd };
    const start = hostPort === 0 && this.#nextRandom > first ? this.#nextRandom : first;
    const size = last - first + 1;
    for (let i = 0; i < size; i++) {
      const port = first + ((start - first + i) % size);
      try {
        const leases = this.#take(request, port, target);
        if (hostPort === 0) this.#nextRandom = port >= last ? first : port + 1;
        return leases;
      } catch (error) {
        if (!(error instanceof DhowError) || error.details["isPortTaken"] !== true) throw error;
      }
    }
    throw new DhowError("internal", `Bind for ${request.hostIp || ANY4}:${first}-${last} failed: all ports are allocated`);
  }

  #take(request: PortRequest, port: number, target: PortTarget): PortLease[] {
    const leases: PortLease[] = [];
    const hostIps = request.hostIp || target.hostBinding;
    try {
      for (const hostIp of hostIps === "" ? [ANY4, ANY6] : [hostIps]) {
        const lease = this.#takeAddress(request, port, hostIp, target);
        if (lease !== undefined) leases.push(lease);
      }
      return leases;
    } catch (error) {
      this.release(leases);
      throw error;
    }
  }

  /** Undefined where the container can't be reached by that family, or the host has none of it. */
  #takeAddress(request: PortRequest, port: number, hostIp: string, target: PortTarget): PortLease | undefined {
    const isV6 = !isIPv4(hostIp);
    const isAny = request.hostIp === "" && target.hostBinding === "";
    const { protocol, containerPort, allow } = request;
    const lease = { protocol, containerPort, hostPort: port, hostIp, isV6, ...(allow && { allow }) };
    const containerIp = (isV6 ? target.ipv6 : undefined) ?? target.ipv4;
    // the daemon passes IPv6 on to IPv4, but no SCTP, and nothing the other way round
    if (containerIp === undefined || (isV6 && isAny && !this.#hasIpv6)) return undefined;
    if (isAny && isV6 && protocol === "sctp" && target.ipv6 === undefined) return undefined;
    if (target.isDirect[containerIp.includes(":") ? 6 : 4]) {
      return isV6 === containerIp.includes(":") ? { ...lease, hostPort: 0, socket: undefined } : undefined;
    }
    const shown = isV6 ? `[${hostIp}]` : hostIp;
    const taken = this.#taken[protocol].get(port);
    const any = isV6 ? ANY6 : ANY4;
    if (taken?.some((ip) => ip === hostIp || (isIPv4(ip) !== isV6 && (ip === any || hostIp === any)))) {
      throw new DhowError("internal", `Bind for ${shown}:${port} failed: port is already allocated`, { details: { isPortTaken: true } });
    }
    try {
      const socket = this.#bind(protocol, hostIp, port);
      this.#mark(protocol, port, hostIp);
      return { ...lease, socket };
    } catch (cause) {
      const code = errnoCode(cause);
      const isMissing = code === "EAFNOSUPPORT" || (code === "EADDRNOTAVAIL" && hostIp === ANY6);
      if (isMissing && isAny) {
        this.#hasIpv6 = false;
        return undefined;
      }
      if (code === "EPROTONOSUPPORT" && protocol === "sctp") {
        this.#mark(protocol, port, hostIp);
        return { ...lease, socket: undefined };
      }
      const why = cause instanceof Error ? cause.message.replace(/^.*?: /, "") : String(cause);
      const what = `${shown}:${port}:${containerIp}:${containerPort}/${protocol}`;
      throw new DhowError("internal", `failed to bind host port for ${what}: ${why}`, {
        cause,
        details: { isPortTaken: code === "EADDRINUSE" },
      });
    }
  }

  #bind(protocol: PortProtocol, hostIp: string, port: number): Fd {
    return bindInet({ protocol, address: ipBytes(parseIp(hostIp)), port });
  }

  #mark(protocol: PortProtocol, port: number, hostIp: string): void {
    const ips = this.#taken[protocol].get(port);
    if (ips === undefined) this.#taken[protocol].set(port, [hostIp]);
    else ips.push(hostIp);
  }
}
