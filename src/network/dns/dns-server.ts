import type { Logger } from "../../lib/mod.ts";
import { DhowError } from "../../lib/mod.ts";
import { bindInet, emptySocketAddress, type Fd, insideNetns, isErrno, NETLINK, NetlinkSocket, Reactor } from "../../linux/mod.ts";
import { type DnsContext, Quota, randomIds, Scratch } from "./context.ts";
import { type Redirect, redirect, redirectTo, SERVER_ADDRESS } from "./redirect.ts";
import { SandboxServer, type SandboxSockets } from "./sandbox-server.ts";
import type { NameSource, SandboxDns, SandboxDnsOptions, Upstream } from "./types.ts";

/** Above the ports that the kernel gives out, and nobody's; the others are for containers that have taken the first. */
const PORTS = [61_053, 61_153, 61_253, 62_053, 63_053, 64_053] as const;
const DNS_PORT = 53;
const NO_NAMES: NameSource = { lookup: () => undefined, reverse: () => undefined };
const MAX_MESSAGE_BYTES = 0x10000;
/** What all sandboxes together may have open beyond their servers' own sockets, and have asked for. */
const MAX_SOCKETS = 2048;
const MAX_FORWARDS = 8192;

export interface DnsServerOptions {
  /** The daemon's own network namespace. */
  readonly home: Fd;
  readonly log: Logger;
}

/**
 * The name servers at 127.0.0.11, one in each sandbox, all served from this thread's event loop: two sockets each, made inside the namespace,
 * and an nft table there that leads port 53 to them.
 */
export class DnsServer implements Disposable {
  readonly #context: DnsContext;
  readonly #servers = new Set<SandboxServer>();
  readonly #redirects = new Map<number, Redirect>();

  /** @throws {SysError} EMFILE */
  constructor({ home, log }: DnsServerOptions) {
    this.#context = {
      home,
      reactor: new Reactor(log),
      received: new Scratch(MAX_MESSAGE_BYTES),
      sent: new Scratch(MAX_MESSAGE_BYTES),
      sender: emptySocketAddress(),
      sockets: new Quota(MAX_SOCKETS),
      forwards: new Quota(MAX_FORWARDS),
      randomId: randomIds(),
      log,
    };
  }

  /** How many sandboxes are served. */
  get size(): number {
    return this.#servers.size;
  }

  /**
   * Begins to serve a sandbox, also one that an earlier daemon has served. Its loopback is up. 0.3 ms.
   * @throws {SysError} @throws {NetlinkError} @throws unavailable when the container has taken every port that this server would
   */
  open(options: SandboxDnsOptions): SandboxDns {
    using stack = new DisposableStack();
    const sockets = insideNetns(this.#context.home, options.netns.fd, () => {
      const { port, ...bound } = bindFirst(PORTS);
      stack.use(bound.udp);
      stack.use(bound.tcp);
      using netlink = new NetlinkSocket(NETLINK.NETFILTER, { receiveBytes: 1024 });
      redirect(netlink, this.#redirectTo(port));
      return bound;
    });
    const server = this.#serve(options, sockets);
    stack.move();
    return server;
  }

  /**
   * Begins to hand on what is asked at port 53 of an address of the daemon's own namespace: what only the host reaches, for containers without
   * a server of their own. @throws {SysError} EADDRINUSE when somebody else serves there, EADDRNOTAVAIL
   */
  openOnHost(address: Uint8Array, upstreams: () => readonly Upstream[]): SandboxDns {
    using stack = new DisposableStack();
    const sockets = bind(address, DNS_PORT, stack);
    const server = this.#serve({ netns: this.#context.home, names: NO_NAMES, upstreams }, sockets);
    stack.move();
    return server;
  }

  #serve(options: SandboxDnsOptions, sockets: SandboxSockets): SandboxDns {
    const server: SandboxServer = new SandboxServer(this.#context, options, sockets, () => this.#servers.delete(server));
    this.#servers.add(server);
    return server;
  }

  #redirectTo(port: number): Redirect {
    const known = this.#redirects.get(port) ?? redirectTo(port);
    this.#redirects.set(port, known);
    return known;
  }

  /** Ends all servers. What leads port 53 to them stays in the sandboxes, for the next daemon. */
  close(): void {
    for (const server of this.#servers) server.close();
    this.#context.reactor.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

/** Binds both sockets to the first of these ports that is free for both. */
function bindFirst(ports: readonly number[]): SandboxSockets & { readonly port: number } {
  for (const port of ports) {
    const sockets = tryBind(port);
    if (sockets !== undefined) return { ...sockets, port };
  }
  throw new DhowError("unavailable", `serve names at 127.0.0.11: ports ${ports.join(", ")} are taken`);
}

function tryBind(port: number): SandboxSockets | undefined {
  using stack = new DisposableStack();
  try {
    const sockets = bind(SERVER_ADDRESS, port, stack);
    stack.move();
    return sockets;
  } catch (error) {
    if (isErrno(error, "EADDRINUSE")) return undefined;
    throw error;
  }
}

function bind(address: Uint8Array, port: number, stack: DisposableStack): SandboxSockets {
  const udp = stack.use(bindInet({ protocol: "udp", address, port }));
  const tcp = stack.use(bindInet({ protocol: "tcp", address, port }));
  return { udp, tcp };
}
