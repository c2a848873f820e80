import { createSocket, type Socket as UdpSocket } from "node:dgram";
import { connect, createServer, type Server } from "node:net";
import type { Logger } from "../lib/mod.ts";

/** A query that nobody answered is forgotten after this. */
const TIMEOUT_MS = 6000;
/** Queries in flight; more are dropped, as a busy server does. */
const MAX_PENDING = 1024;
const DNS_PORT = 53;

export interface DnsForwarderOptions {
  /** Where containers ask: the bridge's gateway address. */
  readonly address: string;
  /** Servers on the host's loopback. */
  readonly upstreams: readonly string[];
  readonly log: Logger;
  readonly upstreamPort?: number | undefined;
  readonly port?: number | undefined;
}

/**
 * Hands DNS queries of containers on to name servers that only the host reaches, over UDP and TCP, byte for byte:
 * a UDP query goes to every upstream at once, the first answer wins.
 */
export class DnsForwarder {
  readonly #o: DnsForwarderOptions;
  readonly #udp: UdpSocket;
  readonly #tcp: Server;
  readonly #pending = new Set<UdpSocket>();
  readonly #connections = new Set<{ destroy(): void }>();

  constructor(options: DnsForwarderOptions) {
    this.#o = options;
    this.#udp = createSocket("udp4");
    this.#udp.on("message", (query, from) => this.#forward(query, from.port, from.address));
    this.#tcp = createServer({ allowHalfOpen: true });
    this.#tcp.on("connection", (client) => {
      const server = connect({ host: this.#o.upstreams[0] ?? "127.0.0.1", port: this.#upstreamPort, allowHalfOpen: true });
      for (const end of [client, server]) {
        this.#connections.add(end);
        end.setTimeout(TIMEOUT_MS * 5, () => end.destroy());
        end.on("error", () => {
          client.destroy();
          server.destroy();
        });
        end.on("close", () => this.#connections.delete(end));
      }
      client.pipe(server);
      server.pipe(client);
    });
    for (const end of [this.#udp, this.#tcp])
      end.on("error", (error) => options.log.warn("dns forwarder can't serve", { address: options.address, error }));
  }

  get #upstreamPort(): number {
    return this.#o.upstreamPort ?? DNS_PORT;
  }

  /** Resolves when it serves, also when the address is served by somebody else (then with false). */
  start(): Promise<boolean> {
    const port = this.#o.port ?? DNS_PORT;
    return new Promise((resolve) => {
      this.#udp.once("error", () => resolve(false));
      this.#udp.bind(port, this.#o.address, () => {
        this.#udp.unref();
        this.#tcp.listen(port, this.#o.address, () => resolve(true));
        this.#tcp.once("error", () => resolve(false));
        this.#tcp.unref();
      });
    });
  }

  #forward(query: Uint8Array, port: number, address: string): void {
    if (query.length < 12 || this.#pending.size >= MAX_PENDING) return;
    // a socket per query: its port is the kernel's choice, which is what protects against forged answers
    const socket = createSocket("udp4");
    this.#pending.add(socket);
    const end = (): void => {
      if (!this.#pending.delete(socket)) return;
      clearTimeout(timer);
      socket.close();
    };
    const timer = setTimeout(end, TIMEOUT_MS);
    timer.unref();
    socket.on("error", end);
    socket.on("message", (answer, from) => {
      if (!this.#o.upstreams.includes(from.address) || answer[0] !== query[0] || answer[1] !== query[1]) return;
      if (this.#pending.has(socket)) this.#udp.send(answer, port, address);
      end();
    });
    for (const upstream of this.#o.upstreams) socket.send(query, this.#upstreamPort, upstream, () => {});
  }

  close(): void {
    for (const end of [() => this.#udp.close(), () => void this.#tcp.close()]) {
      try {
        end();
      } catch {
        // it never came to serve
      }
    }
    for (const socket of this.#pending) socket.close();
    this.#pending.clear();
    for (const connection of this.#connections) connection.destroy();
  }
}
