import { closeSync } from "node:fs";
import { errnoCode, type Logger } from "../../lib/mod.ts";
import { dup, EPOLLET, EPOLLIN, isErrno, type Reactor, read, SPLICE_F_NONBLOCK, setWinsize, splice, type Watch } from "../../linux/mod.ts";
import type { AttachSession, LogSession, OutputChunk, StdStream } from "../../spec/engine/mod.ts";
import type { LogDriver, LogReadOptions, LogWriter } from "../logs/driver.ts";
import { BUFFER_BYTES, type BufferPool } from "./buffers.ts";
import { type IoAttachOptions, IoSession } from "./session.ts";
import { StdinPipe } from "./stdin-pipe.ts";

const TURN_BYTES = 1024 * 1024;
// Many small writes: after this many in quick succession the pipe is left alone for a moment, so that the next turn takes more.
const QUICK_TURNS = 8;
const QUICK_MS = 0.5;
const SMALL_BYTES = 16 * 1024;
const REST_MS = 1;
const MAX_TIMER_MS = 2 ** 31 - 1;
const WATCHED = (EPOLLIN | EPOLLET) >>> 0;

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

interface Source {
  readonly fd: number;
  /** -1 = none. */
  transit: number;
  readonly stream: StdStream;
  watch: Watch | undefined;
  isDone: boolean;
  lastTurnMs: number;
  quickTurns: number;
  /** Events come once per change: what is left needs a new one. */
  needsEvent: boolean;
}

function closeSource({ fd, transit }: Source): void {
  closeSync(fd);
  if (transit >= 0) closeSync(transit);
}

/**
 * Everything that goes in and out of one container's (or exec's) process: the log, and any number of attached clients.
 * It exists from the container's creation on, so that clients can attach before the start; each run plugs its pipes in with `begin`.
 */
export class ContainerIo {
  readonly options: ContainerIoOptions;
  readonly #sessions = new Set<IoSession>();
  #stdin: StdinPipe;
  #writer: LogWriter | undefined;
  #sources: Source[] = [];
  #ttyOut = -1;
  #ttyIn = -1;
  #isBlocked = false;
  #isDraining = false;
  #drained: { readonly promise: Promise<void>; readonly resolve: () => void } | undefined;

  constructor(options: ContainerIoOptions) {
    this.options = options;
    this.#stdin = new StdinPipe(options.reactor);
  }

  /** Whether a process's output is being taken. */
  get isLive(): boolean {
    return this.#writer !== undefined;
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
    this.#writer = this.options.driver.open(() => this.roomAgain());
    this.#isDraining = false;
    this.#isBlocked = false;
    this.#drained = Promise.withResolvers<void>();
    if (ends.kind === "tty") {
      this.#ttyOut = ends.master;
      this.#ttyIn = dup(ends.master).release();
      this.#stdin.connect(this.#ttyIn, () => {});
      this.#addSource(ends.master, "stdout", ends.transit);
      // what another engine left on the way; the terminal itself may be silent
      for (const source of this.#sources) this.#pump(source);
      return;
    }
    if (ends.stdin !== undefined) {
      const { stdin, closeStdin } = ends;
      this.#ttyIn = stdin;
      this.#stdin.connect(stdin, () => {
        this.#closeStdinEnd();
        closeStdin();
      });
    } else this.#stdin.disconnect();
    this.#addSource(ends.stdout, "stdout");
    this.#addSource(ends.stderr, "stderr");
  }

  /** The process never ran: clients' sessions end. */
  abort(error?: unknown): void {
    this.options.driver.remote?.release();
    this.#endSessions(error);
    this.#resetStdin();
  }

  /** The process has ended: takes what its pipes still hold, then ends the log and the clients' sessions. */
  drain(): Promise<void> {
    if (this.#writer !== undefined && !this.#isDraining) {
      this.#isDraining = true;
      this.#isBlocked = this.#isAnyFull();
      this.#stdin.disconnect();
      for (const source of this.#sources) this.#pump(source);
      this.#finishWhenDone();
    }
    return this.drained;
  }

  /** Lets go of a process that runs on: its pipes keep what it writes for the next engine. */
  leave(): void {
    for (const source of this.#sources) {
      source.isDone = true;
      source.watch?.[Symbol.dispose]();
      closeSource(source);
    }
    this.#sources = [];
    this.#endSessions();
    this.#resetStdin();
    this.#closeStdinEnd();
    this.#writer?.close();
    this.#writer = undefined;
  }

  /** Adds output that the process itself could not write. */
  inject(stream: StdStream, text: string): void {
    const data = Buffer.from(text);
    this.#writer?.append(this.options.tty ? "stdout" : stream, data);
    const shared = { data, retain: () => {}, release: () => {} };
    for (const session of this.#sessions) session.deliver(this.options.tty ? "stdout" : stream, shared);
  }

  /** @throws {SysError} */
  resize(rows: number, cols: number): void {
    if (this.#ttyOut >= 0) setWinsize(this.#ttyOut, rows, cols);
  }

  /** For sessions: bytes for the process. */
  writeStdin(data: Uint8Array): Promise<void> {
    return this.options.openStdin ? this.#stdin.write(data) : Promise.resolve();
  }

  /** For sessions: a client's stdin ended. */
  endStdin(session: IoSession): void {
    if (!this.options.openStdin) return;
    // with a terminal there is no half-close: docker ends the session
    if (this.options.stdinOnce && !this.options.tty) this.#stdin.end();
    else session.detach();
  }

  /** For sessions: it takes no more output. */
  forget(session: IoSession): void {
    this.#sessions.delete(session);
    this.roomAgain();
  }

  /** For sessions: a full queue has room again. */
  roomAgain(): void {
    if (!this.#isBlocked || this.#isAnyFull()) return;
    this.#isBlocked = false;
    for (const source of this.#sources) {
      this.#pump(source);
      this.#askAgain(source);
    }
    if (this.#isDraining) this.#finishWhenDone();
  }

  /** For sessions that replay the log: what is in it now. */
  logMark(): ReturnType<LogDriver["mark"]> {
    return this.options.driver.mark();
  }

  #addSource(fd: number, stream: StdStream, transit = -1): void {
    const source: Source = { fd, transit, stream, watch: undefined, isDone: false, lastTurnMs: 0, quickTurns: 0, needsEvent: false };
    this.#sources.push(source);
    source.watch = this.options.reactor.watch(fd, WATCHED, () => this.#onReadable(source));
  }

  #onReadable(source: Source): void {
    const now = performance.now();
    source.quickTurns = now - source.lastTurnMs < QUICK_MS ? source.quickTurns + 1 : 0;
    source.lastTurnMs = now;
    const taken = this.#pump(source);
    if (!source.needsEvent || source.quickTurns < QUICK_TURNS || taken > SMALL_BYTES) {
      this.#askAgain(source);
      return;
    }
    source.needsEvent = false;
    source.watch?.modify(0);
    setTimeout(() => {
      // one more quick turn and it rests again
      source.quickTurns = QUICK_TURNS - 1;
      source.lastTurnMs = performance.now();
      // the pipe holds what came meanwhile; asking for events again tells of it
      source.watch?.modify(WATCHED);
    }, REST_MS);
  }

  #askAgain(source: Source): void {
    if (!source.needsEvent) return;
    source.needsEvent = false;
    source.watch?.modify(WATCHED);
  }

  /** Returns how many bytes it took. */
  #pump(source: Source): number {
    if (source.isDone || this.#isBlocked) return 0;
    // while draining there is no one to add more, and no turn to give up
    const limit = this.#isDraining ? Number.POSITIVE_INFINITY : TURN_BYTES;
    let taken = 0;
    while (taken < limit) {
      const count = this.options.tty ? this.#takeTty(source) : this.#takePipe(source, source.fd);
      if (count === 0 || (count < 0 && this.#isDraining)) this.#endSource(source);
      if (count <= 0) return taken;
      taken += count;
      if (this.#isAnyFull()) {
        this.#isBlocked = true;
        return taken;
      }
      // racing with a writer of small pieces would make every piece a turn
      if (count < SMALL_BYTES && !this.#isDraining) break;
    }
    source.needsEvent = true;
    return taken;
  }

  #takePipe({ stream }: Source, fd: number): number {
    const writer = this.#writer;
    if (writer === undefined) return 0;
    if (!this.#isWanted(stream)) return writer.pump(fd, stream, TURN_BYTES, null);
    const buffer = this.options.buffers.take();
    const count = writer.pump(fd, stream, BUFFER_BYTES, buffer);
    if (count > 0) this.#deliver(stream, buffer, count);
    else this.options.buffers.give(buffer);
    return count;
  }

  #takeTty(source: Source): number {
    return source.transit < 0 ? this.#readTty(source) : this.#takeTransit(source);
  }

  /** From the terminal into the pipe, within the kernel, and from there into the log: a process that is killed leaves all of it in one of them. */
  #takeTransit(source: Source): number {
    const kept = this.#takePipe(source, source.transit);
    if (kept > 0) return kept;
    try {
      const moved = splice(source.fd, source.transit, null, BUFFER_BYTES, SPLICE_F_NONBLOCK);
      return moved > 0 ? this.#takePipe(source, source.transit) : moved;
    } catch (error) {
      // see #readTty
      if (isErrno(error, "EIO")) return -1;
      // a kernel that can't splice terminals
      if (!isErrno(error, "EINVAL")) throw error;
      closeSync(source.transit);
      source.transit = -1;
      return this.#readTty(source);
    }
  }

  #readTty(source: Source): number {
    const buffer = this.options.buffers.take();
    let length = 0;
    let count = 0;
    try {
      // a terminal gives at most 4 KiB at a time
      while (length + 4096 <= buffer.length) {
        count = read(source.fd, buffer.subarray(length));
        if (count <= 0) break;
        length += count;
      }
    } catch (error) {
      // nobody has the terminal open at the moment; another process may open it again until the container has ended
      if (!isErrno(error, "EIO")) throw error;
      count = -1;
    }
    if (length === 0) {
      this.options.buffers.give(buffer);
      return count;
    }
    this.#writer?.append("stdout", buffer.subarray(0, length));
    if (this.#isWanted("stdout")) this.#deliver("stdout", buffer, length);
    else this.options.buffers.give(buffer);
    return length;
  }

  #deliver(stream: StdStream, buffer: Buffer, length: number): void {
    const shared = this.options.buffers.share(buffer, length);
    for (const session of this.#sessions) session.deliver(stream, shared);
    shared.release();
  }

  #isWanted(stream: StdStream): boolean {
    for (const session of this.#sessions) if (session.wants(stream)) return true;
    return false;
  }

  /** Whether a client's queue is full, or the log while the process could still wait for it. */
  #isAnyFull(): boolean {
    if (!this.#isDraining && this.#writer?.isFull) return true;
    for (const session of this.#sessions) if (session.isFull) return true;
    return false;
  }

  #endSource(source: Source): void {
    if (source.isDone) return;
    source.isDone = true;
    source.watch?.[Symbol.dispose]();
    source.watch = undefined;
    if (this.#isDraining) this.#finishWhenDone();
  }

  #finishWhenDone(): void {
    const writer = this.#writer;
    if (writer === undefined || this.#sources.some((source) => !source.isDone)) return;
    this.#writer = undefined;
    for (const source of this.#sources) {
      try {
        const pipe = this.options.tty ? source.transit : source.fd;
        if (pipe >= 0) writer.finish(pipe, source.stream);
      } catch (error) {
        this.options.log.warn("the end of a log could not be taken", { error });
      }
      closeSource(source);
    }
    this.#sources = [];
    this.#ttyOut = -1;
    this.#closeStdinEnd();
    writer.close();
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
    const fd = this.#ttyIn;
    this.#ttyIn = -1;
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
