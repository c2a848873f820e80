/** Size of the buffers that output is read into. */
export const BUFFER_BYTES = 256 * 1024;
const KEPT = 4;
// what is small is copied out, so that a short line does not hold a large buffer
const COPY_BELOW = 32 * 1024;

/** Bytes that several readers share; the last `release` gives the buffer back. */
export interface SharedBytes {
  readonly data: Uint8Array;
  retain(): void;
  release(): void;
}

/** A few large buffers for output on its way to clients, used again and again. */
export class BufferPool {
  readonly #free: Buffer[] = [];

  /** An empty buffer of BUFFER_BYTES. */
  take(): Buffer {
    return this.#free.pop() ?? Buffer.allocUnsafeSlow(BUFFER_BYTES);
  }

  /** Puts a buffer back that nobody uses any more. */
  give(buffer: Buffer): void {
    if (this.#free.length < KEPT) this.#free.push(buffer);
  }

  /** Drops what is not in use. */
  trim(): void {
    this.#free.length = 0;
  }

  /** Makes the first `length` bytes of a buffer that was taken shareable, with one reference. */
  share(buffer: Buffer, length: number): SharedBytes {
    if (length < COPY_BELOW) {
      const data = new Uint8Array(buffer.subarray(0, length));
      this.give(buffer);
      return { data, retain: () => {}, release: () => {} };
    }
    let references = 1;
    return {
      data: buffer.subarray(0, length),
      retain: () => {
        references++;
      },
      release: () => {
        references--;
        if (references === 0) this.give(buffer);
      },
    };
  }
}
