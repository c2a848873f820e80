import type { LogMessage } from "./message.ts";

/** What waits at most: bytes of lines, and messages. */
export interface QueueLimit {
  readonly bytes: number;
  readonly count: number;
}

/** Messages between the reader of a log and its sender. */
export class MessageQueue {
  readonly #max: QueueLimit;
  #messages: LogMessage[] = [];
  #bytes = 0;
  #wakeReader: (() => void) | undefined;
  #wakeSender: (() => void) | undefined;

  constructor(max: QueueLimit) {
    this.#max = max;
  }

  get isEmpty(): boolean {
    return this.#messages.length === 0;
  }

  /** Adds a message if there is room. A queue with nothing in it takes any, as docker's does. */
  offer(message: LogMessage): boolean {
    const { bytes, count } = this.#max;
    const isFull = this.#bytes + message.line.length > bytes || this.#messages.length >= count;
    if (isFull && this.#messages.length > 0) return false;
    this.#messages.push(message);
    this.#bytes += message.line.length;
    this.#wakeSender?.();
    return true;
  }

  /** Resolves when something was taken out, or `signal` aborted. */
  room(signal: AbortSignal): Promise<void> {
    return waitFor(signal, (wake) => {
      this.#wakeReader = wake;
    });
  }

  /** Takes the oldest messages: so many at most, or so many bytes. Waits for one; none when `signal` aborted. */
  async take(limit: { readonly count: number; readonly bytes: number }, signal: AbortSignal): Promise<LogMessage[]> {
    while (this.#messages.length === 0) {
      if (signal.aborted) return [];
      await waitFor(signal, (wake) => {
        this.#wakeSender = wake;
      });
    }
    let bytes = 0;
    let count = 0;
    while (count < limit.count && count < this.#messages.length && bytes < limit.bytes) bytes += this.#messages[count++]?.line.length ?? 0;
    const taken = this.#messages.splice(0, count);
    this.#bytes -= bytes;
    this.#wakeReader?.();
    return taken;
  }
}

function waitFor(signal: AbortSignal, register: (wake: (() => void) | undefined) => void): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => {
    const wake = (): void => {
      register(undefined);
      signal.removeEventListener("abort", wake);
      resolve();
    };
    register(wake);
    signal.addEventListener("abort", wake, { once: true });
  });
}
