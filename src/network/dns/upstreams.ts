import { DhowError } from "../../lib/mod.ts";
import {
  connectTcp,
  connectUdp,
  EPOLLIN,
  type Fd,
  findLink,
  insideNetns,
  NETLINK,
  NetlinkSocket,
  read,
  sendDatagram,
  type Watch,
} from "../../linux/mod.ts";
import { tryIpBytes } from "../ip.ts";
import type { DnsContext } from "./context.ts";
import { FramedSocket } from "./framed-socket.ts";
import { idOf, isAnswerTo, type Query, setId } from "./message.ts";
import type { Upstream } from "./types.ts";

const DNS_PORT = 53;
/** UDP sockets per upstream: up to so many queries have one of their own, more of them share. */
const MAX_SOCKETS = 16;
/** Datagrams taken from one socket before others have their turn. */
const BATCH = 16;

/** Who sends so much that answers nothing is guessing ids, or worse. */
const MAX_STRAY = 64;

/** A query to be handed on. Its message's id is not kept: `query` has the client's. */
export interface Asking {
  readonly message: Buffer;
  readonly query: Query;
}

/** Told the answer, with the client's id and good until this returns; undefined: there will be none. Never called before `ask` returns. */
export type OnAnswer = (answer: Buffer | undefined) => void;

type Connect = (address: Uint8Array, port: number, scope: number) => Fd;

/** Asks name servers from a sandbox's network namespace, or from the daemon's. */
export class Upstreams implements Disposable {
  readonly #context: DnsContext;
  readonly #netns: Fd;
  readonly #sockets = new Map<string, UdpSocket[]>();
  readonly #connections = new Set<FramedSocket>();

  constructor(context: DnsContext, netns: Fd) {
    this.#context = context;
    this.#netns = netns;
  }

  /**
   * Asks over UDP, from a random port and with a random id; who is disposed of is told nothing.
   * @throws {SysError} ENETUNREACH, EMFILE, … @throws unavailable when too many sockets are open
   */
  ask(upstream: Upstream, asking: Asking, onAnswer: OnAnswer): Disposable {
    return this.#socketTo(upstream).ask(asking, onAnswer);
  }

  /** Asks over TCP, with a connection for this query alone. @throws as `ask` does */
  askOverTcp(upstream: Upstream, asking: Asking, onAnswer: OnAnswer): Disposable {
    const { message, query } = asking;
    let tell: OnAnswer | undefined = onAnswer;
    const end = (answer: Buffer | undefined): void => {
      const told = tell;
      tell = undefined;
      told?.(answer);
    };
    const connection: FramedSocket = this.#opened(
      upstream,
      connectTcp,
      (socket) =>
        new FramedSocket({
          context: this.#context,
          socket,
          isConnecting: true,
          onMessage: (answer) => {
            if (!isAnswerTo(answer, message, query) || idOf(answer) !== query.id) return;
            end(answer);
            connection.close();
          },
          onEnd: () => connection.close(),
          onClose: () => {
            this.#context.sockets.give();
            this.#connections.delete(connection);
            end(undefined);
          },
        }),
    );
    this.#connections.add(connection);
    connection.send(message);
    const dispose = (): void => {
      tell = undefined;
      connection.close();
    };
    return { [Symbol.dispose]: dispose };
  }

  /** Ends everything under way; nobody is told. */
  [Symbol.dispose](): void {
    for (const sockets of this.#sockets.values()) for (const socket of [...sockets]) socket.close();
    for (const connection of this.#connections) connection.close();
  }

  /** What `use` makes of a socket to an upstream; it gives the socket back to the quota once it has closed it. */
  #opened<T>(upstream: Upstream, connect: Connect, use: (socket: Fd) => T): T {
    const address = tryIpBytes(upstream.address);
    if (address === undefined) throw new DhowError("invalid", `ask name server "${upstream.address}": it is no IP address`);
    const { sockets, home } = this.#context;
    if (!sockets.take()) throw new DhowError("unavailable", "ask a name server: too many queries are under way");
    try {
      const open = (): Fd => connect(address, upstream.port ?? DNS_PORT, zoneIndex(upstream.address));
      return use(upstream.isFromHost ? open() : insideNetns(home, this.#netns.fd, open));
    } catch (error) {
      sockets.give();
      throw error;
    }
  }

  #socketTo(upstream: Upstream): UdpSocket {
    const key = keyOf(upstream);
    const open = this.#sockets.get(key) ?? [];
    const isShared = open.length > 0 && (open.length >= MAX_SOCKETS || this.#context.sockets.isExhausted);
    const shared = isShared ? open[this.#context.randomId() % open.length] : undefined;
    if (shared !== undefined) return shared;
    const onClose = (): void => {
      open.splice(open.indexOf(socket), 1);
      if (open.length === 0) this.#sockets.delete(key);
      this.#context.sockets.give();
    };
    const socket: UdpSocket = this.#opened(upstream, connectUdp, (fd) => new UdpSocket(this.#context, fd, onClose));
    open.push(socket);
    this.#sockets.set(key, open);
    return socket;
  }
}

/** The number behind `%` in a link-local address, which may be an interface's name in this thread's namespace; 0: none, or no such interface. */
function zoneIndex(address: string): number {
  const zone = address.split("%")[1];
  if (zone === undefined) return 0;
  if (/^\d+$/.test(zone)) return Number(zone);
  using route = new NetlinkSocket(NETLINK.ROUTE);
  return findLink(route, zone)?.index ?? 0;
}

/** Text that two upstreams share only if they are the same. */
export function keyOf({ address, isFromHost, port }: Upstream): string {
  return `${isFromHost ? "host" : "sandbox"} ${address} ${port ?? DNS_PORT}`;
}

interface Waiting extends Asking {
  readonly onAnswer: OnAnswer;
}

/** A socket connected to one server, so that the kernel drops what others send; closed with the last query. */
class UdpSocket {
  readonly #context: DnsContext;
  readonly #fd: Fd;
  readonly #watch: Watch;
  readonly #waiting = new Map<number, Waiting>();
  readonly #onClose: () => void;
  #isClosed = false;
  #stray = 0;

  constructor(context: DnsContext, fd: Fd, onClose: () => void) {
    this.#context = context;
    this.#fd = fd;
    this.#onClose = onClose;
    try {
      this.#watch = context.reactor.watch(fd.fd, EPOLLIN, () => this.#receive());
    } catch (error) {
      fd.close();
      throw error;
    }
  }

  /** @throws {SysError} what the last answer, or sending, met with @throws unavailable when the socket's buffer is full */
  ask(asking: Asking, onAnswer: OnAnswer): Disposable {
    let id = this.#context.randomId();
    while (this.#waiting.has(id)) id = this.#context.randomId();
    const waiting: Waiting = { ...asking, onAnswer };
    this.#waiting.set(id, waiting);
    try {
      setId(asking.message, id);
      if (!sendDatagram(this.#fd.fd, asking.message)) throw new DhowError("unavailable", "ask a name server: the socket's buffer is full");
    } catch (error) {
      this.#drop(id, waiting);
      throw error;
    }
    return { [Symbol.dispose]: () => this.#drop(id, waiting) };
  }

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#waiting.clear();
    this.#watch[Symbol.dispose]();
    this.#fd.close();
    this.#onClose();
  }

  #drop(id: number, waiting: Waiting): void {
    if (this.#waiting.get(id) !== waiting) return;
    this.#waiting.delete(id);
    if (this.#waiting.size === 0) this.close();
  }

  #receive(): void {
    const { bytes: buffer } = this.#context.received;
    for (let i = 0; i < BATCH && !this.#isClosed; i++) {
      let length: number;
      try {
        length = read(this.#fd.fd, buffer);
      } catch {
        // ECONNREFUSED and its like: nobody of those who wait here gets an answer
        this.#fail();
        return;
      }
      if (length < 0) return;
      this.#take(buffer.subarray(0, length));
    }
  }

  #take(answer: Buffer): void {
    const id = idOf(answer);
    const waiting = this.#waiting.get(id);
    if (waiting === undefined || !isAnswerTo(answer, waiting.message, waiting.query)) {
      if (++this.#stray > MAX_STRAY) this.#fail();
      return;
    }
    this.#drop(id, waiting);
    setId(answer, waiting.query.id);
    waiting.onAnswer(answer);
  }

  #fail(): void {
    const all = [...this.#waiting.values()];
    this.close();
    for (const { onAnswer } of all) onAnswer(undefined);
  }
}
