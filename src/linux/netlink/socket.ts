import { check, errno, SysError, sysError } from "../errno.ts";
import { libc } from "../libc.ts";
import { decodeError, decodeMessages, type Message, MessageWriter, NLM_F, NLMSG } from "./message.ts";

const AF_NETLINK = 16;
const SOCK_RAW = 3;
const SOCK_CLOEXEC = 0o2000000;
const SOL_NETLINK = 270;
const NETLINK_CAP_ACK = 10;
const NETLINK_EXT_ACK = 11;
const MSG_DONTWAIT = 0x40;
const EAGAIN = 11;
const EINTR = 4;

/** Netlink protocols. @see linux/netlink.h */
export const NETLINK = { ROUTE: 0, XFRM: 6, NETFILTER: 12 } as const;

/** A request: its type, its flags beyond REQUEST, and what follows the header. `arg` names its object in errors. */
export interface Request {
  readonly type: number;
  readonly flags?: number;
  readonly body: (w: MessageWriter) => void;
  readonly call: string;
  readonly arg?: string | undefined;
}

/** A refused request: the errno and, in `detail`, what the kernel said beyond it. */
export class NetlinkError extends SysError {
  readonly detail: string | undefined;

  constructor(call: string, code: number, arg: string | undefined, detail: string | undefined) {
    super(call, code, arg);
    this.detail = detail;
    if (detail !== undefined) this.message = `${this.message} (${detail})`;
  }
}

/**
 * A netlink socket of the network namespace in which it was made, used from this thread only.
 * The kernel works a request off within send(2), so its answers are there when send returns: nothing here waits.
 */
export class NetlinkSocket implements Disposable {
  #fd: number;
  #sequence = 1;
  readonly #buffer: Uint8Array;

  /** @throws {SysError} */
  constructor(protocol: number, options: { readonly receiveBytes?: number } = {}) {
    this.#fd = check(libc.symbols.socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol), "socket", "netlink");
    this.#buffer = new Uint8Array(options.receiveBytes ?? 32768);
    const one = new Int32Array([1]);
    libc.symbols.setsockopt(this.#fd, SOL_NETLINK, NETLINK_EXT_ACK, one, 4);
    libc.symbols.setsockopt(this.#fd, SOL_NETLINK, NETLINK_CAP_ACK, one, 4);
  }

  /** To be watched, where the kernel sends of itself. */
  get fd(): number {
    return this.#fd;
  }

  /** The next free sequence number. */
  sequence(): number {
    this.#sequence = (this.#sequence + 1) >>> 0;
    return this.#sequence;
  }

  /** Sends finished messages as one datagram. @throws {SysError} */
  send(bytes: Uint8Array): void {
    for (;;) {
      const sent = libc.symbols.send(this.#fd, bytes, bytes.length, 0);
      if (sent >= 0) return;
      const code = errno();
      if (code !== EINTR) throw sysError("send", code, "netlink");
    }
  }

  /** The messages of the next waiting datagram, undefined when none waits; valid until the next call. @throws {SysError} */
  receive(): Message[] | undefined {
    for (;;) {
      const length = Number(libc.symbols.recv(this.#fd, this.#buffer, this.#buffer.length, MSG_DONTWAIT));
      if (length >= 0) return decodeMessages(this.#buffer.subarray(0, length));
      const code = errno();
      if (code === EAGAIN) return undefined;
      if (code !== EINTR) throw sysError("recv", code, "netlink");
    }
  }

  /**
   * Sends several requests in one datagram; the kernel works off all of them in turn, also after one failed. None: nothing is sent.
   * @returns one error or undefined per request
   */
  requestAll(requests: readonly Request[]): (NetlinkError | undefined)[] {
    if (requests.length === 0) return [];
    const writer = new MessageWriter(256 * requests.length);
    const first = this.#sequence + 1;
    for (const r of requests) writer.message(r.type, (r.flags ?? 0) | NLM_F.REQUEST | NLM_F.ACK, this.sequence(), r.body);
    this.send(writer.bytes);
    const results = new Array<NetlinkError | undefined>(requests.length).fill(undefined);
    for (let answered = 0; answered < requests.length; ) {
      const messages = this.receive();
      if (messages === undefined) throw sysError("recv", EAGAIN, `netlink: ${answered} of ${requests.length} answers`);
      for (const message of messages) {
        const request = requests[message.sequence - first];
        if (message.type !== NLMSG.ERROR || request === undefined) continue;
        answered++;
        const { errno: code, text } = decodeError(message);
        if (code !== 0) results[message.sequence - first] = new NetlinkError(request.call, code, request.arg, text);
      }
    }
    return results;
  }

  /** Sends requests in one datagram. @throws {NetlinkError} the first failure; the requests after it were worked off all the same */
  request(...requests: readonly Request[]): void {
    for (const error of this.requestAll(requests)) if (error !== undefined) throw error;
  }

  /** Sends a request that answers with objects (a dump, or one object) and hands each to `each`. @throws {NetlinkError} */
  query(request: Request, each: (message: Message) => void): void {
    const dump = ((request.flags ?? 0) & NLM_F.DUMP) === NLM_F.DUMP;
    const sequence = this.sequence();
    const flags = (request.flags ?? 0) | NLM_F.REQUEST | (dump ? 0 : NLM_F.ACK);
    this.send(new MessageWriter(256).message(request.type, flags, sequence, request.body).bytes);
    for (;;) {
      const messages = this.receive();
      if (messages === undefined) throw sysError("recv", EAGAIN, `netlink: no end of ${request.call}`);
      for (const message of messages) {
        if (message.sequence !== sequence) continue;
        if (message.type === NLMSG.DONE) return;
        if (message.type !== NLMSG.ERROR) {
          each(message);
          continue;
        }
        const { errno: code, text } = decodeError(message);
        if (code === 0) return;
        throw new NetlinkError(request.call, code, request.arg, text);
      }
    }
  }

  [Symbol.dispose](): void {
    if (this.#fd >= 0) libc.symbols.close(this.#fd);
    this.#fd = -1;
  }
}
