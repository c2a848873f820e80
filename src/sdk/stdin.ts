import type { AttachSession } from "../spec/engine/mod.ts";
import { type ByteSource, bytesOf } from "./bytes.ts";

/** What a process reads. Connects at the first use; what is written after the process's end is dropped. */
export class Stdin {
  readonly #open: () => Promise<AttachSession>;
  #session: Promise<AttachSession> | undefined;

  constructor(open: () => Promise<AttachSession>) {
    this.#open = open;
  }

  #opened(): Promise<AttachSession> {
    this.#session ??= this.#open();
    return this.#session;
  }

  /** Connects now. */
  async open(): Promise<void> {
    await this.#opened();
  }

  /** Resolves when more may be written. */
  async write(source: ByteSource): Promise<void> {
    const session = await this.#opened();
    for await (const bytes of bytesOf(source)) await session.write(bytes);
  }

  /** The process sees the end of its input. */
  async end(): Promise<void> {
    (await this.#opened()).closeStdin();
  }

  /** Gives the connection up, if there is one: an engine may keep it after the process's end. */
  async close(): Promise<void> {
    const session = this.#session;
    this.#session = undefined;
    (await session?.catch(() => undefined))?.close();
  }

  /** As a web stream; closing it is `end`. */
  writable(): WritableStream<Uint8Array> {
    return new WritableStream<Uint8Array>({ write: (bytes) => this.write(bytes), close: () => this.end() });
  }
}
