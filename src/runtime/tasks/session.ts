import type { AttachOptions, AttachSession, OutputChunk, StdStream } from "../../spec/engine/mod.ts";
import { type LogDriver, WHOLE_LOG } from "../logs/driver.ts";
import type { SharedBytes } from "./buffers.ts";
import { DEFAULT_DETACH_KEYS, DetachFilter, parseDetachKeys } from "./detach-keys.ts";
import { OutputQueue } from "./output-queue.ts";

export type IoAttachOptions = AttachOptions;

/** What a client is attached to. */
export interface SessionTarget {
  readonly options: { readonly tty: boolean; readonly driver: LogDriver };
  /** Whether a process's output is being taken. */
  readonly isLive: boolean;
  /** Bytes for the process. */
  writeStdin(data: Uint8Array): Promise<void>;
  /** The client's stdin ended. */
  endStdin(session: IoSession): void;
  /** The session takes no more output. */
  forget(session: IoSession): void;
  /** A full queue has room again. */
  roomAgain(): void;
  /** What is in the log now. */
  logMark(): ReturnType<LogDriver["mark"]>;
}

/** One attached client. */
export class IoSession implements AttachSession {
  readonly tty: boolean;
  readonly output: AsyncIterable<OutputChunk>;
  readonly #io: SessionTarget;
  readonly #options: IoAttachOptions;
  readonly #queue: OutputQueue;
  readonly #filter: DetachFilter | undefined;
  #isClosed = false;
  /** The process that it was attached to has ended: stdin is the next one's. */
  #isOver = false;

  /** @throws invalid for detach keys that are none */
  constructor(io: SessionTarget, options: IoAttachOptions) {
    this.#io = io;
    this.#options = options;
    this.tty = io.options.tty;
    const keys = parseDetachKeys(options.detachKeys ?? DEFAULT_DETACH_KEYS);
    // docker looks for the keys only where a terminal is
    if (this.tty && options.stdin) this.#filter = new DetachFilter(keys);
    this.#queue = new OutputQueue(
      () => io.roomAgain(),
      () => this.#gone(),
    );
    if (!options.stream) this.#queue.end();
    this.output = options.logs ? this.#replay() : this.#queue;
  }

  get isFull(): boolean {
    return this.#queue.isFull;
  }

  wants(stream: StdStream): boolean {
    return this.#options[stream] && !this.#queue.isEnded;
  }

  deliver(stream: StdStream, bytes: SharedBytes): void {
    if (this.wants(stream)) this.#queue.push(stream, bytes);
  }

  end(error?: unknown): void {
    this.#isOver = true;
    this.#queue.end(error);
  }

  async write(data: Uint8Array): Promise<void> {
    if (!this.#options.stdin || this.#isClosed || this.#queue.isEnded) return;
    if (this.#filter === undefined) return this.#io.writeStdin(data);
    const { forward, detach } = this.#filter.feed(data);
    await this.#io.writeStdin(forward);
    if (detach) this.detach();
  }

  closeStdin(): void {
    if (this.#options.stdin && !this.#isClosed && !this.#isOver) this.#io.endStdin(this);
  }

  /** The client gets what is queued, then the end; the process goes on. */
  detach(): void {
    this.#isClosed = true;
    this.#queue.end();
    this.#io.forget(this);
  }

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#queue.drop();
    this.#io.forget(this);
    // a client that goes away takes its stdin along
    if (this.#options.stdin && this.#options.stream && !this.#isOver) this.#io.endStdin(this);
  }

  #gone(): void {
    this.#io.forget(this);
  }

  #replay(): AsyncIterable<OutputChunk> {
    const { stdout, stderr, stream, signal } = this.#options;
    // taken now: what comes later is in the queue
    const mark = this.#io.isLive ? this.#io.logMark() : undefined;
    const log = this.#io.options.driver.read({ ...WHOLE_LOG, stdout, stderr, signal }, mark);
    const queue = this.#queue;
    return (async function* () {
      yield* log;
      if (stream) yield* queue;
    })();
  }
}
