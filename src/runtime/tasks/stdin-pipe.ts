import { EPOLLOUT, isErrno, type Reactor, type Watch, write } from "../../linux/mod.ts";

interface Pending {
  data: Uint8Array;
  readonly resolve: () => void;
}

/**
 * The way into a process's stdin. Bytes may be given before the process runs; each `write` resolves once the pipe has taken its bytes.
 * After the process has ended, or stdin was closed, bytes are dropped.
 */
export class StdinPipe {
  readonly #reactor: Reactor;
  readonly #pending: Pending[] = [];
  #fd = -1;
  #watch: Watch | undefined;
  #isClosing = false;
  #isClosed = false;
  #closePipe: (() => void) | undefined;

  constructor(reactor: Reactor) {
    this.#reactor = reactor;
  }

  /** The process runs: `fd` is non-blocking, `closePipe` is called once when no more bytes will come. */
  connect(fd: number, closePipe: () => void): void {
    this.#fd = fd;
    this.#closePipe = closePipe;
    this.#flush();
  }

  write(data: Uint8Array): Promise<void> {
    if (this.#isClosed || this.#isClosing || data.length === 0) return Promise.resolve();
    if (this.#fd >= 0 && this.#pending.length === 0) {
      const taken = this.#tryWrite(data);
      if (taken < 0 || taken === data.length) return Promise.resolve();
      return this.#queue(data.subarray(taken));
    }
    return this.#queue(data);
  }

  /** Closes the pipe when everything given before has been written. */
  end(): void {
    if (this.#isClosed || this.#isClosing) return;
    this.#isClosing = true;
    if (this.#fd >= 0) this.#flush();
  }

  /** The process has ended, or never ran: drops what waits. The descriptor is the caller's. */
  disconnect(): void {
    this.#isClosed = true;
    this.#watch?.[Symbol.dispose]();
    this.#watch = undefined;
    this.#fd = -1;
    for (const item of this.#pending.splice(0)) item.resolve();
  }

  #queue(data: Uint8Array): Promise<void> {
    return new Promise((resolve) => {
      this.#pending.push({ data, resolve });
      this.#watchOut();
    });
  }

  #flush(): void {
    for (;;) {
      const item = this.#pending[0];
      if (item === undefined) break;
      const taken = this.#tryWrite(item.data);
      if (taken < 0) return;
      if (taken < item.data.length) {
        item.data = item.data.subarray(taken);
        this.#watchOut();
        return;
      }
      this.#pending.shift();
      item.resolve();
    }
    this.#watch?.[Symbol.dispose]();
    this.#watch = undefined;
    if (!this.#isClosing || this.#isClosed) return;
    const closePipe = this.#closePipe;
    this.disconnect();
    closePipe?.();
  }

  /** Bytes taken; -1 when nobody will read any more. */
  #tryWrite(data: Uint8Array): number {
    let done = 0;
    try {
      while (done < data.length) {
        const count = write(this.#fd, data.subarray(done));
        if (count < 0) break;
        done += count;
      }
      return done;
    } catch (error) {
      if (!isErrno(error, "EPIPE", "EIO", "EBADF")) throw error;
      this.disconnect();
      return -1;
    }
  }

  #watchOut(): void {
    if (this.#fd < 0) return;
    this.#watch ??= this.#reactor.watch(this.#fd, EPOLLOUT, () => this.#flush());
  }
}
