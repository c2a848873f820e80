/** What a reader needs of its connection: to hold the sender back. */
export interface Pausable {
  pause(): void;
  resume(): void;
}

/** Above this many unread bytes the sender is held back. */
const HIGH_WATER_BYTES = 1 << 20;

/** What a connection receives, read when the reader wants it. */
export class ByteReader {
  #source: Pausable | undefined;
  #queue: Uint8Array[] = [];
  #queuedBytes = 0;
  #isPaused = false;
  #hasEnded = false;
  #error: Error | undefined;
  #wake: (() => void) | undefined;

  /** The connection, once there is one. */
  attach(source: Pausable): void {
    this.#source = source;
  }

  /** Takes bytes from the connection. */
  push(chunk: Uint8Array): void {
    this.#queue.push(chunk);
    this.#queuedBytes += chunk.length;
    if (this.#queuedBytes > HIGH_WATER_BYTES && !this.#isPaused && this.#source !== undefined) {
      this.#isPaused = true;
      this.#source.pause();
    }
    this.#notify();
  }

  /** No more comes. */
  end(error?: Error): void {
    this.#error ??= error;
    this.#hasEnded = true;
    this.#notify();
  }

  #notify(): void {
    const wake = this.#wake;
    this.#wake = undefined;
    wake?.();
  }

  /** The next bytes; null at the end. @throws what the connection failed with */
  async read(): Promise<Uint8Array | null> {
    for (;;) {
      const chunk = this.#queue.shift();
      if (chunk !== undefined) {
        this.#queuedBytes -= chunk.length;
        if (this.#isPaused && this.#queuedBytes < HIGH_WATER_BYTES / 2) {
          this.#isPaused = false;
          this.#source?.resume();
        }
        return chunk;
      }
      if (this.#error !== undefined) throw this.#error;
      if (this.#hasEnded) return null;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  /** Gives back bytes that were read too far. */
  unread(chunk: Uint8Array): void {
    if (chunk.length === 0) return;
    this.#queue.unshift(chunk);
    this.#queuedBytes += chunk.length;
  }

  /** Whether the connection can't be used for another request. */
  get isDone(): boolean {
    return this.#hasEnded || this.#error !== undefined || this.#queue.length > 0;
  }
}
