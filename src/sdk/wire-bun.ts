import type { Socket, SocketHandler } from "bun";
import type { Address, SshAddress } from "./address.ts";
import type { Wire, WireEvents } from "./wire.ts";

/** A socket of Bun's; what the kernel didn't take yet waits here, in order. */
class BunWire implements Wire {
  readonly #events: WireEvents;
  #socket: Socket<unknown> | undefined;
  #pending: Uint8Array[] = [];
  #isClosed = false;
  #isEnding = false;
  #waiters: (() => void)[] = [];

  constructor(events: WireEvents) {
    this.#events = events;
  }

  get isOpen(): boolean {
    return !this.#isClosed;
  }

  opened(socket: Socket<unknown>): void {
    this.#socket = socket;
  }

  received(chunk: Uint8Array): void {
    this.#events.data(chunk);
  }

  /** The other side's half-close. */
  ended(): void {
    this.#events.end();
  }

  closed(error?: Error): void {
    this.#isClosed = true;
    this.#pending = [];
    this.#wake();
    this.#events.end(error);
  }

  drained(): void {
    while (this.#pending.length > 0) {
      const [first] = this.#pending;
      if (first === undefined || this.#socket === undefined) return;
      const written = this.#socket.write(first);
      if (written < first.length) {
        this.#pending[0] = first.subarray(Math.max(0, written));
        return;
      }
      this.#pending.shift();
    }
    if (this.#isEnding) this.#socket?.shutdown();
    this.#wake();
  }

  #wake(): void {
    const waiters = this.#waiters;
    this.#waiters = [];
    for (const wake of waiters) wake();
  }

  async write(data: Uint8Array | string): Promise<void> {
    if (this.#isClosed || this.#isEnding || this.#socket === undefined || data.length === 0) return;
    const bytes = typeof data === "string" ? Buffer.from(data) : data;
    if (this.#pending.length > 0) this.#pending.push(bytes);
    else {
      const written = Math.max(0, this.#socket.write(bytes));
      if (written >= bytes.length) return;
      this.#pending.push(bytes.subarray(written));
    }
    await new Promise<void>((resolve) => {
      this.#waiters.push(resolve);
    });
  }

  end(): void {
    if (this.#isEnding || this.#isClosed) return;
    this.#isEnding = true;
    if (this.#pending.length === 0) this.#socket?.shutdown();
  }

  destroy(): void {
    if (this.#isClosed) return;
    this.#socket?.terminate();
    this.closed();
  }

  pause(): void {
    this.#socket?.pause();
  }

  resume(): void {
    this.#socket?.resume();
  }

  ref(): void {
    this.#socket?.ref();
  }

  unref(): void {
    this.#socket?.unref();
  }
}

/** Connects with Bun's own sockets. */
export async function connectBun(address: Exclude<Address, SshAddress>, events: WireEvents): Promise<Wire> {
  const wire = new BunWire(events);
  const socket: SocketHandler<unknown> = {
    open: (opened) => wire.opened(opened),
    data: (_, chunk) => wire.received(chunk),
    drain: () => wire.drained(),
    end: () => wire.ended(),
    close: (_, error) => wire.closed(error),
    error: (_, error) => wire.closed(error),
  };
  if (address.kind === "unix") await Bun.connect<unknown>({ unix: address.path, allowHalfOpen: true, socket });
  else await Bun.connect<unknown>({ hostname: address.host, port: address.port, allowHalfOpen: true, socket });
  return wire;
}
