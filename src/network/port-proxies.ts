import { networkInterfaces } from "node:os";
import type { Logger } from "../lib/mod.ts";
import { isLoopback } from "./container-files.ts";
import { hasIp, parsePrefix, tryParseIp } from "./ip.ts";
import type { PortLease } from "./port-allocator.ts";
import { type PortProxy, proxyTcp, proxyUdp } from "./port-proxy.ts";

/** Where a port's clients are led, and which of them. */
export interface ProxyTarget {
  readonly address: string;
  readonly port: number;
  /** Networks that alone may use it, beside the host itself; undefined: everybody. */
  readonly allow: readonly string[] | undefined;
}

type Place = Pick<PortLease, "protocol" | "hostIp" | "hostPort">;

const keyOf = ({ protocol, hostIp, hostPort }: Place): string => `${protocol} ${hostIp} ${hostPort}`;

/** What the kernel does not lead to containers: IPv6 clients of containers without IPv6, the host's own ones by `::1`, and those by link-local addresses. */
export class PortProxies {
  readonly #log: Logger;
  readonly #proxies = new Map<string, PortProxy>();

  constructor(log: Logger) {
    this.#log = log;
  }

  /**
   * Serves those of `leases` that need it and are not served yet; their sockets are taken over. `target` is asked for every client;
   * undefined: it is sent away.
   */
  serve(leases: readonly PortLease[], target: (lease: PortLease) => ProxyTarget | undefined): void {
    for (const lease of leases) {
      const { isV6, socket, protocol, containerPort: port } = lease;
      const key = keyOf(lease);
      if (!isV6 || socket === undefined || socket.fd < 0 || protocol === "sctp" || this.#proxies.has(key)) continue;
      const open = protocol === "tcp" ? proxyTcp : proxyUdp;
      this.#proxies.set(
        key,
        open(socket, {
          target: () => target(lease),
          isAdmitted: (client) => isAdmitted(target(lease), client),
          onError: (error) => this.#log.warn("port proxy failed", { port, error }),
        }),
      );
    }
  }

  /** Ends the service of ports, and their connections. */
  end(leases: readonly Place[]): void {
    for (const lease of leases) {
      const key = keyOf(lease);
      this.#proxies.get(key)?.close();
      this.#proxies.delete(key);
    }
  }

  close(): void {
    for (const proxy of this.#proxies.values()) proxy.close();
    this.#proxies.clear();
  }
}

/** The host's own clients are let in whatever the list says: those that the kernel leads to a container pass no chain that has it. */
function isAdmitted(target: ProxyTarget | undefined, client: string): boolean {
  if (target?.allow === undefined) return target !== undefined;
  const address = client.replace(/%.*$/, "");
  const ip = tryParseIp(address);
  if (ip === undefined) return false;
  return isLoopback(address) || target.allow.some((network) => hasIp(parsePrefix(network), ip)) || isOwnAddress(address);
}

function isOwnAddress(address: string): boolean {
  return Object.values(networkInterfaces()).some((list) => list?.some((own) => own.address === address));
}
