import type { Socket } from "node:net";

/** Above this many unread bytes the socket is paused. */
const HIGH_WATER_BYTES = 1 << 20;

/** What a socket receives, read when the reader wants it; the sender is held back when nobody reads. */
export class ByteReader {
  readonly #socket: Socket;
  #queue: Uint8Array[] = [];
  #queuedBytes = 0;
  #isPaused = false;
  #hasEnded = false;
  #error: Error | undefined;
  #wake: (() => void) | undefined;

  constructor(socket: Socket) {
    this.#socket = socket;
    socket.on("data", (chunk: Uint8Array) => {
      this.#queue.push(chunk);
      this.#queuedBytes += chunk.length;
      if (this.#queuedBytes > HIGH_WATER_BYTES && !this.#isPaused) {
        this.#isPaused = true;
        socket.pause();
      }
      this.#notify();
    });
    const end = () => {
      this.#hasEnded = true;
      this.#notify();
    };
    socket.on("end", end);
    socket.on("close", end);
    socket.on("error", (error) => {
      this.#error = error;
      end();
    });
  }

  #notify(): void {
    const wake = this.#wake;
    this.#wake = undefined;
    wake?.();
  }

  /** The next bytes; null at the end. @throws what the socket failed with */
  async read(): Promise<Uint8Array | null> {
    for (;;) {
      const chunk = this.#queue.shift();
      if (chunk !== undefined) {
        this.#queuedBytes -= chunk.length;
        if (this.#isPaused && this.#queuedBytes < HIGH_WATER_BYTES / 2) {
          this.#isPaused = false;
          this.#socket.resume();
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

  /** Whether the other side is gone: the connection can't be used again. */
  get isDone(): boolean {
    return this.#hasEnded || this.#error !== undefined || this.#queue.length > 0;
  }
}
