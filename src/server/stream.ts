import type { Writable } from "node:stream";
import type { OutputChunk } from "../spec/engine/mod.ts";

const HEADER_BYTES = 8;
/** Frames smaller than this are copied together; larger ones go out as they are. */
const COPY_BELOW_BYTES = 8 * 1024;
const BATCH_BYTES = 64 * 1024;

/** Resolves when `sink` has given everything away, or is closed. */
export function drained(sink: Writable): Promise<void> {
  if (sink.writableLength === 0 || sink.destroyed) return Promise.resolve();
  return new Promise((resolve) => {
    const done = (): void => {
      sink.off("drain", check);
      sink.off("close", done);
      sink.off("error", done);
      resolve();
    };
    const check = (): void => {
      if (sink.writableLength === 0) done();
    };
    sink.on("drain", check);
    sink.on("close", done);
    sink.on("error", done);
    // "drain" is only for those who were told to wait; an empty write comes through behind all others
    sink.write("", () => done());
  });
}

/** The header of a frame: stream, three zeros, length (big endian). @see docker-engine-api-1.56.yaml ContainerAttach */
export function frameHeader(stream: OutputChunk["stream"], sizeBytes: number): Buffer {
  const header = Buffer.alloc(HEADER_BYTES);
  header[0] = stream === "stderr" ? 2 : 1;
  header.writeUInt32BE(sizeBytes, 4);
  return header;
}

/**
 * Writes output to a connection. The first chunk of a turn of the event loop goes out at once, small ones that follow in
 * the same turn go out together, large ones are never copied. Memory is bounded by one batch and one chunk.
 */
export class OutputWriter {
  readonly #sink: Writable;
  readonly #multiplexed: boolean;
  #batch: Buffer | undefined;
  #used = 0;
  #busyTurn = false;

  constructor(sink: Writable, multiplexed: boolean) {
    this.#sink = sink;
    this.#multiplexed = multiplexed;
  }

  /** When this returns undefined or resolves, `chunk.data` is the caller's again. */
  write(chunk: OutputChunk): Promise<void> | undefined {
    const { data } = chunk;
    if (data.length === 0 || this.#sink.destroyed) return undefined;
    if (data.length >= COPY_BELOW_BYTES) {
      this.#send();
      if (this.#multiplexed) this.#sink.write(frameHeader(chunk.stream, data.length));
      this.#sink.write(data);
      return this.#settle();
    }
    const needed = data.length + (this.#multiplexed ? HEADER_BYTES : 0);
    if (!this.#busyTurn) {
      this.#busyTurn = true;
      setImmediate(() => this.#endTurn());
      this.#batch = Buffer.allocUnsafe(needed);
      this.#append(chunk);
      this.#send();
      this.#batch = undefined;
      return this.#settle();
    }
    if (this.#used + needed > BATCH_BYTES) this.#send();
    this.#append(chunk);
    return this.#settle();
  }

  /** Sends what is held back and waits until the connection took it. */
  async flush(): Promise<void> {
    this.#send();
    await drained(this.#sink);
  }

  #endTurn(): void {
    this.#busyTurn = false;
    this.#send();
    // an idle connection holds no buffer
    this.#batch = undefined;
  }

  #append({ stream, data }: OutputChunk): void {
    this.#batch ??= Buffer.allocUnsafe(BATCH_BYTES);
    if (this.#multiplexed) {
      this.#batch.writeUInt32BE(stream === "stderr" ? 0x02000000 : 0x01000000, this.#used);
      this.#batch.writeUInt32BE(data.length, this.#used + 4);
      this.#used += HEADER_BYTES;
    }
    this.#batch.set(data, this.#used);
    this.#used += data.length;
  }

  #send(): void {
    if (this.#used === 0 || this.#batch === undefined) return;
    const piece = this.#batch.subarray(0, this.#used);
    this.#used = 0;
    if (this.#sink.destroyed) return;
    this.#sink.write(piece);
    // a sink that still holds the batch keeps it
    if (this.#sink.writableLength > 0) this.#batch = undefined;
  }

  #settle(): Promise<void> | undefined {
    return this.#sink.writableLength > 0 ? drained(this.#sink) : undefined;
  }
}

/** Writes all of `output`, gives up when the connection closes. @throws what the source throws */
export async function pumpOutput(output: AsyncIterable<OutputChunk>, sink: Writable, multiplexed: boolean): Promise<void> {
  const writer = new OutputWriter(sink, multiplexed);
  try {
    for await (const chunk of output) {
      if (sink.destroyed) return;
      const wait = writer.write(chunk);
      if (wait !== undefined) await wait;
    }
  } finally {
    await writer.flush();
  }
}
