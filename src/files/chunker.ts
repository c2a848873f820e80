import { DhowError } from "../lib/mod.ts";

/** Small enough to stay in the processor's cache from the read through the hash to the socket, which takes about as much at once. */
const CHUNK_BYTES = 256 * 1024;

/**
 * Collects the bytes of a stream into chunks of one size; each is handed on when it is full. Chunks are the receiver's to keep, or
 * `lent`: good until the one after the next is asked for, which spares the kernel the zeroing of memory.
 */
export class Chunker {
  readonly #next: () => Buffer;
  #chunk: Buffer;
  #used = 0;

  constructor(lent: boolean) {
    this.#next = chunkSource(lent);
    this.#chunk = this.#next();
  }

  /** Copies bytes in. */
  *add(bytes: Uint8Array): Generator<Uint8Array, void, void> {
    for (let done = 0; done < bytes.length; ) {
      const count = Math.min(bytes.length - done, this.#chunk.length - this.#used);
      this.#chunk.set(count === bytes.length ? bytes : bytes.subarray(done, done + count), this.#used);
      done += count;
      if (this.#take(count)) yield this.#full();
    }
  }

  /**
   * Takes `length` bytes from `read`: it is given room and how many bytes came before, and says how many it has put there.
   * @throws internal when it has none
   */
  *fill(length: number, read: (into: Buffer, done: number) => number): Generator<Uint8Array, void, void> {
    for (let done = 0; done < length; ) {
      const count = read(this.#chunk.subarray(this.#used, this.#used + length - done), done);
      if (count <= 0) throw new DhowError("internal", "a file is shorter than it was");
      done += count;
      if (this.#take(count)) yield this.#full();
    }
  }

  /** What has been collected since the last full chunk. */
  *flush(): Generator<Uint8Array, void, void> {
    if (this.#used === 0) return;
    const rest = this.#chunk.subarray(0, this.#used);
    this.#chunk = this.#next();
    this.#used = 0;
    yield rest;
  }

  #take(count: number): boolean {
    this.#used += count;
    return this.#used === this.#chunk.length;
  }

  #full(): Uint8Array {
    const full = this.#chunk;
    this.#chunk = this.#next();
    this.#used = 0;
    return full;
  }
}

/** Gives empty chunks: new ones, or two in turn. */
function chunkSource(lent: boolean): () => Buffer {
  const create = (): Buffer => Buffer.allocUnsafeSlow(CHUNK_BYTES);
  if (!lent) return create;
  const chunks = [create(), create()];
  let turn = 0;
  return () => chunks[turn++ % 2] ?? create();
}
