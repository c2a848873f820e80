import { EPOLLERR, EPOLLHUP, EPOLLIN, EPOLLOUT, type Fd, read, sendStream, takeSocketError, type Watch } from "../../linux/mod.ts";
import type { DnsContext } from "./context.ts";

const LENGTH_BYTES = 2;
/** Read at once: some 200 queries at most, so that no client holds up the others. */
const READ_BYTES = 4096;
/** Who has so much yet to take is not read from. */
const MAX_UNSENT_BYTES = 64 * 1024;

export interface FramedSocketOptions {
  readonly context: DnsContext;
  /** Non-blocking; this closes it. */
  readonly socket: Fd;
  /** Its connection is not made yet. */
  readonly isConnecting: boolean;
  /** Given each message; its bytes are good until this returns. */
  readonly onMessage: (message: Buffer) => void;
  /** The other side sends no more: what was asked can still be answered. */
  readonly onEnd: () => void;
  /** The connection is gone, by an error or by `close`; told once. */
  readonly onClose: () => void;
}

/** DNS messages over TCP, each after its length in two bytes. @see RFC 7766 */
export class FramedSocket implements Disposable {
  readonly #o: FramedSocketOptions;
  readonly #watch: Watch;
  #received: Buffer | undefined;
  #unsent: Buffer | undefined;
  #isConnecting: boolean;
  #isPaused = false;
  #hasEnded = false;
  #isClosed = false;
  #interest: number;

  /** @throws {SysError} and closes the socket */
  constructor(options: FramedSocketOptions) {
    this.#o = options;
    this.#isConnecting = options.isConnecting;
    this.#interest = this.#wanted();
    try {
      this.#watch = options.context.reactor.watch(options.socket.fd, this.#interest, (events) => this.#guarded(() => this.#ready(events)));
    } catch (error) {
      options.socket.close();
      throw error;
    }
  }

  /** Sends a message; what the connection doesn't take yet is kept. */
  send(message: Uint8Array): void {
    if (this.#isClosed) return;
    const frame = Buffer.allocUnsafe(LENGTH_BYTES + message.length);
    frame.writeUInt16BE(message.length, 0);
    frame.set(message, LENGTH_BYTES);
    this.#unsent = this.#unsent === undefined ? frame : Buffer.concat([this.#unsent, frame]);
    if (!this.#isConnecting) this.#guarded(() => this.#flush());
  }

  /** Stops or goes on reading. */
  pause(isPaused: boolean): void {
    this.#isPaused = isPaused;
    if (!this.#isClosed) this.#update();
  }

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#watch[Symbol.dispose]();
    this.#o.socket.close();
    this.#received = undefined;
    this.#unsent = undefined;
    this.#o.onClose();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  /** A connection that fails is a connection that ends. */
  #guarded(work: () => void): void {
    try {
      work();
    } catch (error) {
      this.#o.context.log.debug("dns connection failed", { error });
      this.close();
    }
  }

  #ready(events: number): void {
    if (this.#isConnecting && events & (EPOLLOUT | EPOLLERR | EPOLLHUP)) {
      if (takeSocketError(this.#o.socket.fd) !== 0) {
        this.close();
        return;
      }
      this.#isConnecting = false;
    }
    if (events & EPOLLOUT) this.#flush();
    if (events & EPOLLIN && !this.#isClosed) this.#read();
    // both sides have ended: nobody is there to be answered
    if (events & (EPOLLERR | EPOLLHUP) && (events & EPOLLIN) === 0) this.close();
  }

  #read(): void {
    const { context, socket } = this.#o;
    const length = read(socket.fd, context.received.bytes, READ_BYTES);
    if (length < 0) return;
    if (length === 0) {
      this.#hasEnded = true;
      this.#update();
      this.#o.onEnd();
      return;
    }
    const fresh = context.received.first(length);
    // a copy where the rest of a message comes, since the buffer is everybody's
    this.#take(this.#received === undefined ? fresh : Buffer.concat([this.#received, fresh]));
  }

  #take(bytes: Buffer): void {
    let at = 0;
    while (at + LENGTH_BYTES <= bytes.length && !this.#isClosed) {
      const end = at + LENGTH_BYTES + bytes.readUInt16BE(at);
      if (end > bytes.length) break;
      this.#o.onMessage(bytes.subarray(at + LENGTH_BYTES, end));
      at = end;
    }
    if (!this.#isClosed) this.#received = at === bytes.length ? undefined : Buffer.from(bytes.subarray(at));
  }

  #flush(): void {
    while (this.#unsent !== undefined) {
      const sent = sendStream(this.#o.socket.fd, this.#unsent);
      if (sent < 0) break;
      this.#unsent = sent === this.#unsent.length ? undefined : this.#unsent.subarray(sent);
    }
    this.#update();
  }

  #wanted(): number {
    const unsent = this.#unsent?.length ?? 0;
    const mayRead = !this.#isConnecting && !this.#isPaused && !this.#hasEnded && unsent < MAX_UNSENT_BYTES;
    return (mayRead ? EPOLLIN : 0) | (this.#isConnecting || unsent > 0 ? EPOLLOUT : 0);
  }

  #update(): void {
    const wanted = this.#wanted();
    if (wanted === this.#interest) return;
    this.#interest = wanted;
    this.#watch.modify(wanted);
  }
}
