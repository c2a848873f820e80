import { errorMessage } from "../../lib/mod.ts";
import { acceptInet, copySocketAddress, EPOLLIN, type Fd, receiveFrom, type SocketAddress, sendTo, type Watch } from "../../linux/mod.ts";
import type { DnsContext } from "./context.ts";
import { Forwarder } from "./forwarder.ts";
import { FramedSocket } from "./framed-socket.ts";
import { type AnswerOptions, type Query, RCODE, readQuery, udpLimitOf, writeAnswer } from "./message.ts";
import { ownRecords } from "./own-names.ts";
import type { SandboxDns, SandboxDnsOptions } from "./types.ts";

/** Datagrams answered before other sandboxes have their turn. */
const BATCH = 32;
const MAX_CONNECTIONS = 32;
const MAX_CONNECTION_QUERIES = 64;
const IDLE_MS = 10_000;
const RETRY_MS = 200;
const MAX_TCP_BYTES = 0xffff;
/** A sandbox that asks more often than this has to wait: its queries pile up in its own socket's buffer, and no other's suffer. */
const WINDOW_MS = 50;
const MAX_PER_WINDOW = 1000;
/** What a query handed on, or a connection, counts as: they cost so much more. */
const DEAR = 3;

export interface SandboxSockets {
  readonly udp: Fd;
  readonly tcp: Fd;
}

/** Answers the queries that come in by a sandbox's two sockets. */
export class SandboxServer implements SandboxDns {
  readonly #context: DnsContext;
  readonly #o: SandboxDnsOptions;
  readonly #sockets: SandboxSockets;
  #forwarder: Forwarder | undefined;
  readonly #watches: readonly Watch[];
  readonly #connections = new Set<FramedSocket>();
  readonly #onClose: () => void;
  readonly #sent: AnswerOptions["into"];
  #isClosed = false;
  #windowStart = 0;
  #served = 0;
  #pause: ReturnType<typeof setTimeout> | undefined;

  /** Begins to serve. @throws {SysError} and leaves the sockets open */
  constructor(context: DnsContext, options: SandboxDnsOptions, sockets: SandboxSockets, onClose: () => void) {
    this.#context = context;
    this.#o = options;
    this.#sockets = sockets;
    this.#onClose = onClose;
    this.#sent = (length) => context.sent.first(length);
    using stack = new DisposableStack();
    const { reactor } = context;
    const udp = stack.use(reactor.watch(sockets.udp.fd, EPOLLIN, () => this.#receive()));
    const tcp = stack.use(reactor.watch(sockets.tcp.fd, EPOLLIN, () => this.#accept()));
    this.#watches = [udp, tcp];
    stack.move();
  }

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    clearTimeout(this.#pause);
    for (const watch of this.#watches) watch[Symbol.dispose]();
    for (const connection of this.#connections) connection.close();
    this.#forwarder?.[Symbol.dispose]();
    this.#sockets.udp.close();
    this.#sockets.tcp.close();
    this.#onClose();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #receive(): void {
    const { received, sender } = this.#context;
    for (let i = 0; i < BATCH && this.#pause === undefined; i++) {
      const length = receiveFrom(this.#sockets.udp.fd, received.bytes, sender);
      if (length < 0) break;
      this.#serveUdp(received.first(length), sender);
      if (this.#isClosed) return;
      this.#count();
    }
  }

  #serveUdp(message: Buffer, sender: SocketAddress): void {
    const received = readQuery(message);
    if (received === undefined) return;
    if ("refusal" in received) {
      this.#send(received.refusal, sender);
      return;
    }
    const { query } = received;
    const own = this.#ownAnswer(message, query, udpLimitOf(query), this.#sent);
    if (own !== undefined) {
      this.#send(own, sender);
      return;
    }
    const client = copySocketAddress(sender);
    this.#forward(message, query, false, (answer) => this.#send(answer, client));
  }

  #send(answer: Uint8Array, receiver: SocketAddress): void {
    if (this.#isClosed) return;
    try {
      sendTo(this.#sockets.udp.fd, answer, receiver);
    } catch (error) {
      // the container's own packet filter, mostly; the client asks again or gives up
      this.#context.log.debug("dns answer wasn't sent", { error: errorMessage(error) });
    }
  }

  /** The answer to a query for a name of ours; undefined: it is none. */
  #ownAnswer(message: Buffer, query: Query, limitBytes: number, into: AnswerOptions["into"]): Buffer | undefined {
    try {
      const records = ownRecords(query, this.#o.names);
      return records && writeAnswer(message, query, { records, limitBytes, into });
    } catch (error) {
      this.#context.log.error("dns name can't be looked up", { name: query.name, error });
      return writeAnswer(message, query, { rcode: RCODE.SERVFAIL, limitBytes, into });
    }
  }

  #forward(message: Buffer, query: Query, isTcp: boolean, reply: (answer: Uint8Array) => void): void {
    this.#count(DEAR);
    try {
      // most sandboxes never ask for a name of others
      this.#forwarder ??= new Forwarder(this.#context, this.#o);
      this.#forwarder.forward(message, query, isTcp, reply);
    } catch (error) {
      this.#context.log.error("dns query can't be handed on", { name: query.name, error });
      reply(writeAnswer(message, query, { rcode: RCODE.SERVFAIL, limitBytes: 0 }));
    }
  }

  #accept(): void {
    try {
      for (let i = 0; i < BATCH && !this.#isClosed; i++) {
        const socket = acceptInet(this.#sockets.tcp.fd);
        if (socket === undefined) return;
        this.#count(DEAR);
        if (this.#connections.size < MAX_CONNECTIONS && this.#context.sockets.take()) this.#connect(socket);
        else socket.close();
      }
    } catch (error) {
      // EMFILE and its like: to be asked again and again, as the reactor does, helps nobody
      this.#context.log.warn("dns connection can't be accepted", { error });
      this.#rest(RETRY_MS);
    }
  }

  #connect(socket: Fd): void {
    let asked = 0;
    let hasEnded = false;
    const idle = setTimeout(() => connection?.close(), IDLE_MS);
    const reply = (answer: Uint8Array): void => {
      asked--;
      connection?.send(answer);
      connection?.pause(asked >= MAX_CONNECTION_QUERIES || this.#pause !== undefined);
      if (hasEnded && asked === 0) connection?.close();
    };
    let connection: FramedSocket | undefined;
    try {
      connection = new FramedSocket({
        context: this.#context,
        socket,
        isConnecting: false,
        onMessage: (message) => {
          idle.refresh();
          asked++;
          if (!this.#serveTcp(message, reply)) connection?.close();
          else if (asked >= MAX_CONNECTION_QUERIES) connection?.pause(true);
          this.#count();
        },
        onEnd: () => {
          hasEnded = true;
          if (asked === 0) connection?.close();
        },
        onClose: () => {
          clearTimeout(idle);
          this.#context.sockets.give();
          if (connection !== undefined) this.#connections.delete(connection);
        },
      });
      this.#connections.add(connection);
    } catch (error) {
      clearTimeout(idle);
      this.#context.sockets.give();
      throw error;
    }
  }

  /** False: what came is no query. */
  #serveTcp(message: Buffer, reply: (answer: Uint8Array) => void): boolean {
    const received = readQuery(message);
    if (received === undefined) return false;
    if ("refusal" in received) {
      reply(received.refusal);
      return true;
    }
    const own = this.#ownAnswer(message, received.query, MAX_TCP_BYTES, undefined);
    if (own !== undefined) reply(own);
    else this.#forward(message, received.query, true, reply);
    return true;
  }

  #count(weight = 1): void {
    this.#served += weight;
    if (this.#served < MAX_PER_WINDOW) return;
    const now = performance.now();
    const waitMs = this.#windowStart + WINDOW_MS - now;
    this.#served = 0;
    this.#windowStart = Math.max(now, this.#windowStart + WINDOW_MS);
    if (waitMs > 0) this.#rest(waitMs);
  }

  /** Reads nothing for a while. */
  #rest(ms: number): void {
    if (this.#pause !== undefined) return;
    this.#setReading(false);
    this.#pause = setTimeout(() => {
      this.#pause = undefined;
      this.#setReading(true);
    }, ms);
  }

  #setReading(isReading: boolean): void {
    for (const watch of this.#watches) watch.modify(isReading ? EPOLLIN : 0);
    for (const connection of this.#connections) connection.pause(!isReading);
  }
}
