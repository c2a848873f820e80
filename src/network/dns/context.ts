import type { Logger } from "../../lib/mod.ts";
import type { Fd, Reactor, SocketAddress } from "../../linux/mod.ts";

/** Most messages are no longer. */
const MAX_COMMON_LENGTH = 512;

/** How many of something there may be at once. */
export class Quota {
  readonly #limit: number;
  #used = 0;

  constructor(limit: number) {
    this.#limit = limit;
  }

  /** How many are taken. */
  get used(): number {
    return this.#used;
  }

  get isExhausted(): boolean {
    return this.#used >= this.#limit;
  }

  /** Takes one; false when all are taken. */
  take(): boolean {
    if (this.isExhausted) return false;
    this.#used++;
    return true;
  }

  /** Gives one back. */
  give(): void {
    this.#used--;
  }
}

/** A buffer that is used again for every message, and its beginnings: made once each, as thousands a second would be a load for the garbage collector. */
export class Scratch {
  readonly bytes: Buffer;
  readonly #beginnings = new Map<number, Buffer>();

  constructor(length: number) {
    this.bytes = Buffer.alloc(length);
  }

  /** The first `length` bytes. */
  first(length: number): Buffer {
    const known = this.#beginnings.get(length);
    if (known !== undefined) return known;
    const beginning = this.bytes.subarray(0, length);
    if (length <= MAX_COMMON_LENGTH) this.#beginnings.set(length, beginning);
    return beginning;
  }
}

/** What the servers of all sandboxes share. */
export interface DnsContext {
  /** The daemon's own network namespace. */
  readonly home: Fd;
  readonly reactor: Reactor;
  /** What is received is received into this, and worked off before anything else is: nothing may keep a view of it. */
  readonly received: Scratch;
  /** What is sent at once is written into this. */
  readonly sent: Scratch;
  readonly sender: SocketAddress;
  /** Sockets beside the two of each server: to other servers, and of clients over TCP. */
  readonly sockets: Quota;
  /** Queries handed on and not answered yet. */
  readonly forwards: Quota;
  /** A number below 65,536 that nobody can guess. */
  readonly randomId: () => number;
  readonly log: Logger;
}

/** A source of unguessable 16-bit numbers, drawn many at a time: each draw is a system call. */
export function randomIds(): () => number {
  const numbers = new Uint16Array(512);
  let next = numbers.length;
  return () => {
    if (next === numbers.length) {
      crypto.getRandomValues(numbers);
      next = 0;
    }
    return numbers[next++] ?? 0;
  };
}
