import type { OutputChunk, StdStream } from "../../spec/engine/mod.ts";
import { formatNs, type LogReadOptions } from "./driver.ts";

const NEWLINE = 10;
const FLUSH_BYTES = 256 * 1024;

/**
 * Cuts chunks into lines and puts time and attributes before each; a line counts with the time of the chunk that ends it.
 * A line that was not finished by a newline is given out by `finish`.
 */
export class LineFormatter {
  readonly #options: LogReadOptions;
  readonly #attributes: string;
  readonly #partial: Record<StdStream, Uint8Array[]> = { stdout: [], stderr: [] };
  readonly #partialNs: Record<StdStream, bigint> = { stdout: 0n, stderr: 0n };
  #buffer = Buffer.allocUnsafe(64 * 1024);
  #length = 0;
  #stream: StdStream = "stdout";
  #prefixNs = -1n;
  #prefix = Buffer.alloc(0);

  constructor(options: LogReadOptions, attributes: string) {
    this.#options = options;
    this.#attributes = attributes;
  }

  /** Takes a chunk; yields what is finished once there is much of it. */
  *feed(stream: StdStream, data: Uint8Array, timeNs: bigint): Generator<OutputChunk> {
    if (stream !== this.#stream) {
      yield* this.flush();
      this.#stream = stream;
    }
    let at = 0;
    const prefix = this.#prefixOf(timeNs);
    for (;;) {
      const newline = data.indexOf(NEWLINE, at);
      if (newline < 0) break;
      this.#put(prefix);
      const partial = this.#partial[stream];
      if (partial.length > 0) {
        for (const piece of partial) this.#put(piece);
        this.#partial[stream] = [];
      }
      this.#put(data.subarray(at, newline + 1));
      at = newline + 1;
      if (this.#length >= FLUSH_BYTES) yield* this.flush();
    }
    if (at < data.length) {
      // a copy: the chunk's buffer is used again
      this.#partial[stream].push(new Uint8Array(data.subarray(at)));
      this.#partialNs[stream] = timeNs;
    }
  }

  /** Gives out the finished lines that are held back. */
  *flush(): Generator<OutputChunk> {
    if (this.#length === 0) return;
    const data = this.#buffer.subarray(0, this.#length);
    this.#length = 0;
    yield { stream: this.#stream, data };
  }

  /** Gives out everything, the unfinished lines too. */
  *finish(): Generator<OutputChunk> {
    yield* this.flush();
    for (const stream of ["stdout", "stderr"] as const) {
      const partial = this.#partial[stream];
      if (partial.length === 0) continue;
      this.#partial[stream] = [];
      this.#stream = stream;
      this.#put(this.#prefixOf(this.#partialNs[stream]));
      for (const piece of partial) this.#put(piece);
      yield* this.flush();
    }
  }

  #prefixOf(timeNs: bigint): Uint8Array {
    if (timeNs === this.#prefixNs) return this.#prefix;
    const time = this.#options.timestamps ? `${formatNs(timeNs)} ` : "";
    this.#prefix = Buffer.from(this.#options.details ? `${time}${this.#attributes} ` : time);
    this.#prefixNs = timeNs;
    return this.#prefix;
  }

  #put(data: Uint8Array): void {
    const end = this.#length + data.length;
    if (end > this.#buffer.length) {
      const grown = Buffer.allocUnsafe(Math.max(end, this.#buffer.length * 2));
      this.#buffer.copy(grown, 0, 0, this.#length);
      this.#buffer = grown;
    }
    this.#buffer.set(data, this.#length);
    this.#length = end;
  }
}
