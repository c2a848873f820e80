import { closeSync } from "node:fs";
import type { Logger } from "../../lib/mod.ts";
import { EPOLLET, EPOLLIN, isErrno, type Reactor, read, SPLICE_F_NONBLOCK, splice, type Watch } from "../../linux/mod.ts";
import type { StdStream } from "../../spec/engine/mod.ts";
import type { LogDriver, LogWriter } from "../logs/driver.ts";
import { BUFFER_BYTES, type BufferPool, type SharedBytes } from "./buffers.ts";

const TURN_BYTES = 1024 * 1024;
// Many small writes: after this many in quick succession the pipe is left alone for a moment, so that the next turn takes more.
const QUICK_TURNS = 8;
const QUICK_MS = 0.5;
const SMALL_BYTES = 16 * 1024;
const REST_MS = 1;
const WATCHED = (EPOLLIN | EPOLLET) >>> 0;

/** Who gets a copy of the output. */
export interface OutputClient {
  /** It takes no more at the moment; `RunOutput.roomAgain` is called once it does. */
  readonly isFull: boolean;
  wants(stream: StdStream): boolean;
  deliver(stream: StdStream, bytes: SharedBytes): void;
}

export interface RunOutputOptions {
  readonly tty: boolean;
  readonly driver: LogDriver;
  readonly reactor: Reactor;
  readonly buffers: BufferPool;
  readonly log: Logger;
  /** They may come and go while the process runs. */
  readonly clients: Iterable<OutputClient>;
  /** Called once, when all that the process has left is taken and its log is closed. */
  readonly onEnd: () => void;
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
 * The output of one run of a process: out of its pipes, or its terminal, into the log, and to the clients that want it. When one of them
 * takes no more, nothing is taken, and the process waits.
 */
export class RunOutput {
  readonly #options: RunOutputOptions;
  readonly #writer: LogWriter;
  #sources: Source[] = [];
  #isBlocked = false;
  #isDraining = false;
  #isOver = false;

  /** Opens the log. @throws {SysError} */
  constructor(options: RunOutputOptions) {
    this.#options = options;
    this.#writer = options.driver.open(() => this.roomAgain());
  }

  /** Takes what comes out of `fd` from now on, and owns it. `transit`: a pipe that a terminal's output passes through on its way to the log. */
  take(fd: number, stream: StdStream, transit = -1): void {
    const source: Source = { fd, transit, stream, watch: undefined, isDone: false, lastTurnMs: 0, quickTurns: 0, needsEvent: false };
    this.#sources.push(source);
    source.watch = this.#options.reactor.watch(fd, WATCHED, () => this.#onReadable(source));
  }

  /** Takes what is there, without an event that tells of it. */
  pump(): void {
    for (const source of this.#sources) this.#pump(source);
  }

  /** Adds output that the process itself could not write to its log. */
  append(stream: StdStream, data: Uint8Array): void {
    this.#writer.append(stream, data);
  }

  /** A client that was full, or the log, takes bytes again; or it is gone. */
  roomAgain(): void {
    if (!this.#isBlocked || this.#isAnyFull()) return;
    this.#isBlocked = false;
    for (const source of this.#sources) {
      this.#pump(source);
      this.#askAgain(source);
    }
    if (this.#isDraining) this.#finishWhenDone();
  }

  /** The process has ended: takes what its pipes still hold, to the end. */
  drain(): void {
    if (this.#isDraining) return;
    this.#isDraining = true;
    this.#isBlocked = this.#isAnyFull();
    this.pump();
    this.#finishWhenDone();
  }

  /** Lets go of a process that runs on: its pipes keep what it writes. */
  leave(): void {
    this.#isOver = true;
    for (const source of this.#sources) {
      this.#endSource(source);
      closeSource(source);
    }
    this.#sources = [];
    this.#writer.close();
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
      const count = this.#options.tty ? this.#takeTty(source) : this.#takePipe(source, source.fd);
      if (count === 0 || (count < 0 && this.#isDraining)) {
        this.#endSource(source);
        if (this.#isDraining) this.#finishWhenDone();
      }
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
    if (!this.#isWanted(stream)) return this.#writer.pump(fd, stream, TURN_BYTES, null);
    const buffer = this.#options.buffers.take();
    const count = this.#writer.pump(fd, stream, BUFFER_BYTES, buffer);
    if (count > 0) this.#deliver(stream, buffer, count);
    else this.#options.buffers.give(buffer);
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
    const buffer = this.#options.buffers.take();
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
      this.#options.buffers.give(buffer);
      return count;
    }
    this.#writer.append("stdout", buffer.subarray(0, length));
    if (this.#isWanted("stdout")) this.#deliver("stdout", buffer, length);
    else this.#options.buffers.give(buffer);
    return length;
  }

  #deliver(stream: StdStream, buffer: Buffer, length: number): void {
    const shared = this.#options.buffers.share(buffer, length);
    for (const client of this.#options.clients) client.deliver(stream, shared);
    shared.release();
  }

  #isWanted(stream: StdStream): boolean {
    for (const client of this.#options.clients) if (client.wants(stream)) return true;
    return false;
  }

  /** Whether a client's queue is full, or the log while the process could still wait for it. */
  #isAnyFull(): boolean {
    if (!this.#isDraining && this.#writer.isFull) return true;
    for (const client of this.#options.clients) if (client.isFull) return true;
    return false;
  }

  #endSource(source: Source): void {
    source.isDone = true;
    source.watch?.[Symbol.dispose]();
    source.watch = undefined;
  }

  #finishWhenDone(): void {
    if (this.#isOver || this.#sources.some((source) => !source.isDone)) return;
    this.#isOver = true;
    for (const source of this.#sources) {
      try {
        const pipe = this.#options.tty ? source.transit : source.fd;
        if (pipe >= 0) this.#writer.finish(pipe, source.stream);
      } catch (error) {
        this.#options.log.warn("the end of a log could not be taken", { error });
      }
      closeSource(source);
    }
    this.#sources = [];
    this.#writer.close();
    this.#options.onEnd();
  }
}
