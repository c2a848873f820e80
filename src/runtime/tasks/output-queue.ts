import type { OutputChunk, StdStream } from "../../spec/engine/mod.ts";
import type { SharedBytes } from "./buffers.ts";

/** A queue is full at this many bytes: then its source waits. */
export const QUEUE_BYTES = 1024 * 1024;

interface Item {
  readonly stream: StdStream;
  readonly bytes: SharedBytes;
}

/** What waits to be sent to one client. A chunk's bytes stay good until the next one is asked for. */
export class OutputQueue implements AsyncIterableIterator<OutputChunk> {
  readonly #onRoom: () => void;
  readonly #onClose: () => void;
  #items: Item[] = [];
  #current: Item | undefined;
  #sizeBytes = 0;
  #wasFull = false;
  #isEnded = false;
  #error: unknown;
  #waiting: { resolve: (result: IteratorResult<OutputChunk>) => void; reject: (error: unknown) => void } | undefined;

  /** `onRoom`: it was full and is no more; `onClose`: the reader gave up or has everything. */
  constructor(onRoom: () => void, onClose: () => void) {
    this.#onRoom = onRoom;
    this.#onClose = onClose;
  }

  get isFull(): boolean {
    return this.#sizeBytes >= QUEUE_BYTES;
  }

  get isEnded(): boolean {
    return this.#isEnded;
  }

  push(stream: StdStream, bytes: SharedBytes): void {
    if (this.#isEnded) return;
    bytes.retain();
    const item = { stream, bytes };
    const waiting = this.#waiting;
    if (waiting !== undefined) {
      this.#waiting = undefined;
      this.#current = item;
      waiting.resolve({ done: false, value: { stream, data: bytes.data } });
      return;
    }
    this.#items.push(item);
    this.#sizeBytes += bytes.data.length;
    if (this.isFull) this.#wasFull = true;
  }

  /** No more will come; what waits is still given out. */
  end(error?: unknown): void {
    if (this.#isEnded) return;
    this.#isEnded = true;
    this.#error = error;
    const waiting = this.#waiting;
    this.#waiting = undefined;
    if (waiting === undefined) return;
    this.#onClose();
    if (error === undefined) waiting.resolve({ done: true, value: undefined });
    else waiting.reject(error);
  }

  /** Ends at once: what waits is dropped. */
  drop(): void {
    for (const item of this.#items) item.bytes.release();
    this.#items = [];
    this.#sizeBytes = 0;
    this.end();
    if (this.#wasFull) this.#roomAgain();
    this.#onClose();
  }

  next(): Promise<IteratorResult<OutputChunk>> {
    this.#current?.bytes.release();
    this.#current = undefined;
    const item = this.#items.shift();
    if (item !== undefined) {
      this.#sizeBytes -= item.bytes.data.length;
      this.#current = item;
      if (this.#wasFull && this.#sizeBytes <= QUEUE_BYTES / 2) this.#roomAgain();
      return Promise.resolve({ done: false, value: { stream: item.stream, data: item.bytes.data } });
    }
    if (this.#isEnded) {
      this.#onClose();
      const error = this.#error;
      this.#error = undefined;
      return error === undefined ? Promise.resolve({ done: true, value: undefined }) : Promise.reject(error);
    }
    return new Promise((resolve, reject) => {
      this.#waiting = { resolve, reject };
    });
  }

  return(): Promise<IteratorResult<OutputChunk>> {
    this.#current?.bytes.release();
    this.#current = undefined;
    this.drop();
    return Promise.resolve({ done: true, value: undefined });
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  #roomAgain(): void {
    this.#wasFull = false;
    this.#onRoom();
  }
}
