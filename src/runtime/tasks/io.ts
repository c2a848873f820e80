import { closeSync } from "node:fs";
import { errnoCode, type Logger } from "../../lib/mod.ts";
import { dup, type Reactor, setWinsize } from "../../linux/mod.ts";
import type { AttachSession, LogSession, OutputChunk, StdStream } from "../../spec/engine/mod.ts";
import type { LogDriver, LogReadOptions } from "../logs/driver.ts";
import type { BufferPool } from "./buffers.ts";
import { RunOutput } from "./run-output.ts";
import { type IoAttachOptions, IoSession, type SessionTarget } from "./session.ts";
import { StdinPipe } from "./stdin-pipe.ts";

const MAX_TIMER_MS = 2 ** 31 - 1;
/** The daemon's ends of a process's streams; they are owned by the ContainerIo from `begin` on. */
export type IoEnds =
  | {
      readonly kind: "pipes";
      readonly stdin: number | undefined;
      readonly stdout: number;
      readonly stderr: number;
      readonly closeStdin: () => void;
    }
  /** `transit`: a pipe that outlives this process, for output on its way from the terminal to the log. */
  | { readonly kind: "tty"; readonly master: number; readonly transit: number | undefined };

export interface ContainerIoOptions {
  readonly tty: boolean;
  readonly openStdin: boolean;
  /** Stdin ends for good with the first attached client's stdin. */
  readonly stdinOnce: boolean;
  readonly driver: LogDriver;
  readonly reactor: Reactor;
  readonly buffers: BufferPool;
  readonly log: Logger;
}

/**
 * Everything that goes in and out of one container's (or exec's) process: the log, and any number of attached clients.
 * It exists from the container's creation on, so that clients can attach before the start; each run plugs its pipes in with `begin`.
 */
export class ContainerIo implements SessionTarget {
  readonly options: ContainerIoOptions;
  readonly #sessions = new Set<IoSession>();
  #stdin: StdinPipe;
  /** That of the process that runs, or has ended and left something in its pipes. */
  #output: RunOutput | undefined;
  #ttyOut = -1;
  #stdinEnd = -1;
  #drained: { readonly promise: Promise<void>; readonly resolve: () => void } | undefined;

  constructor(options: ContainerIoOptions) {
    this.options = options;
    this.#stdin = new StdinPipe(options.reactor);
  }

  /** Whether a process's output is being taken. */
  get isLive(): boolean {
    return this.#output !== undefined;
  }

  /** Resolves when the last run's output is all in the log and handed to the clients. */
  get drained(): Promise<void> {
    return this.#drained?.promise ?? Promise.resolve();
  }

  /** Connects a client, before or while the process runs; it gets what comes from now on (and the log first, when asked). */
  attach(options: IoAttachOptions): AttachSession {
    const session = new IoSession(this, options);
    if (options.stream) {
      this.#sessions.add(session);
      options.signal?.addEventListener("abort", () => session.close(), { once: true });
      if (options.signal?.aborted) session.close();
    }
    return session;
  }

  /** Reads the log. @throws unsupported when the driver keeps none */
  logs(options: LogReadOptions): LogSession {
    const { driver, tty } = this.options;
    if (!options.follow || !this.isLive) return { tty, output: driver.read({ ...options, follow: false }) };
    return { tty, output: options.untilNs > 0n ? readUntil(driver, options) : driver.read(options) };
  }

  /** Takes the streams of a process that runs. */
  begin(ends: IoEnds): void {
    const output = new RunOutput({ ...this.options, clients: this.#sessions, onEnd: () => this.#end() });
    this.#output = output;
    this.#drained = Promise.withResolvers<void>();
    if (ends.kind === "tty") {
      this.#ttyOut = ends.master;
      this.#stdinEnd = dup(ends.master).release();
      this.#stdin.connect(this.#stdinEnd, () => {});
      output.take(ends.master, "stdout", ends.transit);
      // what another engine left on the way; the terminal itself may be silent
      output.pump();
      return;
    }
    if (ends.stdin !== undefined) {
      const { stdin, closeStdin } = ends;
      this.#stdinEnd = stdin;
      this.#stdin.connect(stdin, () => {
        this.#closeStdinEnd();
        closeStdin();
      });
    } else this.#stdin.disconnect();
    output.take(ends.stdout, "stdout");
    output.take(ends.stderr, "stderr");
  }

  /** The process never ran: clients' sessions end. */
  abort(error?: unknown): void {
    this.options.driver.remote?.release();
    this.#endSessions(error);
    this.#resetStdin();
  }

  /** The process has ended: takes what its pipes still hold, then ends the log and the clients' sessions. */
  drain(): Promise<void> {
    if (this.#output !== undefined) {
      this.#stdin.disconnect();
      this.#output.drain();
    }
    return this.drained;
  }

  /** Lets go of a process that runs on: its pipes keep what it writes for the next engine. */
  leave(): void {
    this.#output?.leave();
    this.#output = undefined;
    this.#ttyOut = -1;
    this.#endSessions();
    this.#resetStdin();
    this.#closeStdinEnd();
  }

  /** Adds output that the process itself could not write. */
  inject(stream: StdStream, text: string): void {
    const data = Buffer.from(text);
    const shown = this.options.tty ? "stdout" : stream;
    this.#output?.append(shown, data);
    const shared = { data, retain: () => {}, release: () => {} };
    for (const session of this.#sessions) session.deliver(shown, shared);
  }

  /** @throws {SysError} */
  resize(rows: number, cols: number): void {
    if (this.#ttyOut >= 0) setWinsize(this.#ttyOut, rows, cols);
  }

  writeStdin(data: Uint8Array): Promise<void> {
    return this.options.openStdin ? this.#stdin.write(data) : Promise.resolve();
  }

  endStdin(session: IoSession): void {
    if (!this.options.openStdin) return;
    // with a terminal there is no half-close: docker ends the session
    if (this.options.stdinOnce && !this.options.tty) this.#stdin.end();
    else session.detach();
  }

  forget(session: IoSession): void {
    this.#sessions.delete(session);
    this.roomAgain();
  }

  roomAgain(): void {
    this.#output?.roomAgain();
  }

  logMark(): ReturnType<LogDriver["mark"]> {
    return this.options.driver.mark();
  }

  /** All output of a process that has ended is taken. */
  #end(): void {
    this.#output = undefined;
    this.#ttyOut = -1;
    this.#closeStdinEnd();
    this.#endSessions();
    this.#resetStdin();
    this.#drained?.resolve();
  }

  #endSessions(error?: unknown): void {
    for (const session of [...this.#sessions]) session.end(error);
    this.#sessions.clear();
  }

  #resetStdin(): void {
    this.#stdin.disconnect();
    this.#stdin = new StdinPipe(this.options.reactor);
  }

  #closeStdinEnd(): void {
    const fd = this.#stdinEnd;
    this.#stdinEnd = -1;
    if (fd < 0) return;
    try {
      closeSync(fd);
    } catch (error) {
      this.options.log.warn("stdin could not be closed", { code: errnoCode(error) });
    }
  }
}

/** Follows a log until a time that may come without any output. */
async function* readUntil(driver: LogDriver, options: LogReadOptions): AsyncGenerator<OutputChunk> {
  const abort = new AbortController();
  const leftMs = Number(options.untilNs / 1_000_000n) - Date.now();
  const timer = setTimeout(() => abort.abort(), Math.min(Math.max(leftMs, 0), MAX_TIMER_MS));
  const signal = options.signal === undefined ? abort.signal : AbortSignal.any([options.signal, abort.signal]);
  try {
    yield* driver.read({ ...options, signal });
  } finally {
    clearTimeout(timer);
  }
}
