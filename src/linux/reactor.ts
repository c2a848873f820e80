import { type Pointer, ptr } from "bun:ffi";
import type { Logger } from "../lib/mod.ts";
import { check, errno, isErrno, SysError } from "./errno.ts";
import { Fd } from "./fd.ts";
import { libc, SYS } from "./libc.ts";

/** @see epoll_ctl(2) */
export const EPOLLIN = 0x001;
export const EPOLLPRI = 0x002;
export const EPOLLOUT = 0x004;
export const EPOLLERR = 0x008;
export const EPOLLHUP = 0x010;
export const EPOLLRDHUP = 0x2000;
export const EPOLLONESHOT = 0x40000000;
export const EPOLLET = 0x80000000;

const EPOLL_CLOEXEC = 0o2000000;
const EPOLL_CTL_ADD = 1;
const EPOLL_CTL_DEL = 2;
const EPOLL_CTL_MOD = 3;
// struct epoll_event is packed on x86-64 only
const EVENT_SIZE = process.arch === "x64" ? 12 : 16;
const DATA_AT = EVENT_SIZE - 8;
const BATCH = 64;
const ROUNDS = 4;
const EFD_FLAGS = 0o2000000 | 0o4000;
const IOCB_SIZE = 64;
const IOCB_CMD_POLL = 5;
const IOCB_FLAG_RESFD = 1;
const IO_EVENT_SIZE = 32;
const FALLBACK_MS = 10;
const EINTR = 4;

/** A watched descriptor. Dispose it before its descriptor is closed. */
export interface Watch extends Disposable {
  /** Replaces the events of interest; 0 leaves only EPOLLERR and EPOLLHUP, which always count. @throws {SysError} */
  modify(events: number): void;
}

interface Entry {
  readonly fd: number;
  readonly callback: (events: number) => void;
  isActive: boolean;
}

/**
 * Tells when descriptors become readable or writable, from the event loop of this thread and without a helper thread.
 *
 * All descriptors sit in one epoll set. One AIO poll request on that set reports to an eventfd, which Bun's event loop reads; each
 * wake-up takes a bounded batch of events and asks again, so that what is left comes after the other work of the loop.
 * Level-triggered: a callback is called again until it has taken what there is. The process stays alive while something is watched.
 * Where the kernel has no AIO the set is asked every 10 ms instead.
 */
export class Reactor implements Disposable {
  readonly #log: Logger;
  readonly #epoll: Fd;
  readonly #entries = new Map<number, Entry>();
  readonly #event = new DataView(new ArrayBuffer(16));
  readonly #eventBytes = new Uint8Array(this.#event.buffer);
  readonly #ready = new DataView(new ArrayBuffer(EVENT_SIZE * BATCH));
  readonly #readyBytes = new Uint8Array(this.#ready.buffer);
  #waker: Waker | undefined;
  #nextId = 1;

  /** @throws {SysError} EMFILE */
  constructor(log: Logger) {
    this.#log = log;
    this.#epoll = new Fd(check(libc.symbols.epoll_create1(EPOLL_CLOEXEC), "epoll_create1"));
  }

  /** How many descriptors are watched. */
  get size(): number {
    return this.#entries.size;
  }

  /**
   * Calls `callback` with the EPOLL* bits that are set whenever `events` (or an error or hang-up) are there.
   * Errors of the callback are logged. @throws {SysError} EPERM for a regular file, EEXIST when `fd` is watched already
   */
  watch(fd: number, events: number, callback: (events: number) => void): Watch {
    const id = this.#nextId++;
    const entry: Entry = { fd, callback, isActive: true };
    this.#control(EPOLL_CTL_ADD, id, fd, events);
    this.#entries.set(id, entry);
    try {
      this.#wake();
    } catch (error) {
      this.#drop(id, entry);
      throw error;
    }
    return {
      modify: (next) => {
        if (entry.isActive) this.#control(EPOLL_CTL_MOD, id, fd, next);
      },
      [Symbol.dispose]: () => this.#drop(id, entry),
    };
  }

  /** Ends all watches and frees everything; what was watched stays open. */
  close(): void {
    for (const [id, entry] of this.#entries) this.#drop(id, entry);
    this.#waker?.close();
    this.#waker = undefined;
    this.#epoll.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #control(operation: number, id: number, fd: number, events: number): void {
    this.#event.setUint32(0, events >>> 0, true);
    // in two halves: a BigInt would be one more object at each event
    this.#event.setUint32(DATA_AT, id >>> 0, true);
    this.#event.setUint32(DATA_AT + 4, Math.floor(id / 2 ** 32), true);
    check(libc.symbols.epoll_ctl(this.#epoll.fd, operation, fd, this.#eventBytes), "epoll_ctl", fd);
  }

  #drop(id: number, entry: Entry): void {
    if (!entry.isActive) return;
    entry.isActive = false;
    this.#entries.delete(id);
    try {
      this.#control(EPOLL_CTL_DEL, id, entry.fd, 0);
    } catch (error) {
      // the descriptor was closed first, which takes it out of the set too
      if (!isErrno(error, "EBADF", "ENOENT")) throw error;
    }
    if (this.#entries.size === 0) this.#waker?.pause();
  }

  #wake(): void {
    if (this.#waker === undefined) this.#waker = openWaker(this.#epoll.fd, () => this.#dispatch(), this.#log);
    this.#waker.resume();
  }

  #dispatch(): void {
    for (let round = 0; round < ROUNDS; round++) {
      const count = libc.symbols.epoll_wait(this.#epoll.fd, this.#readyBytes, BATCH, 0);
      if (count < 0 && errno() !== EINTR) this.#log.error("epoll_wait failed", { errno: errno() });
      // a callback may dispose others of this batch: each is looked up when its turn comes; ids are never used again
      for (let i = 0; i < count; i++) this.#call(this.#ready.getUint32(i * EVENT_SIZE, true), i);
      if (count < BATCH) return;
    }
  }

  #call(events: number, index: number): void {
    const at = index * EVENT_SIZE + DATA_AT;
    const entry = this.#entries.get(this.#ready.getUint32(at, true) + this.#ready.getUint32(at + 4, true) * 2 ** 32);
    if (entry === undefined) return;
    try {
      entry.callback(events);
    } catch (error) {
      this.#log.error("watch callback failed", { fd: entry.fd, error });
    }
  }
}

interface Reader {
  read(): Promise<{ readonly done: boolean }>;
  cancel(): Promise<void>;
}

/** Calls back on the event loop when an epoll set has events. */
interface Waker {
  resume(): void;
  pause(): void;
  close(): void;
}

function openWaker(epoll: number, onReady: () => void, log: Logger): Waker {
  try {
    return new AioWaker(epoll, onReady, log);
  } catch (error) {
    if (!isErrno(error, "ENOSYS", "EPERM", "EAGAIN", "EINVAL")) throw error;
    log.warn("no asynchronous poll on this kernel, asking every 10 ms", { error });
    return new TimerWaker(onReady);
  }
}

class TimerWaker implements Waker {
  readonly #onReady: () => void;
  #timer: ReturnType<typeof setInterval> | undefined;

  constructor(onReady: () => void) {
    this.#onReady = onReady;
  }

  resume(): void {
    this.#timer ??= setInterval(this.#onReady, FALLBACK_MS);
  }

  pause(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  close(): void {
    this.pause();
  }
}

class AioWaker implements Waker {
  readonly #onReady: () => void;
  readonly #log: Logger;
  readonly #eventfd: Fd;
  readonly #context: bigint;
  // The kernel reads these two at io_submit only; they live as long as this object, so their addresses stay good.
  readonly #iocb = new ArrayBuffer(IOCB_SIZE);
  readonly #iocbs = new BigUint64Array(1);
  readonly #done = new Uint8Array(new ArrayBuffer(IO_EVENT_SIZE));
  readonly #noTime = new Uint8Array(new ArrayBuffer(16));
  #isArmed = false;
  #reader: Reader | undefined;

  constructor(epoll: number, onReady: () => void, log: Logger) {
    this.#onReady = onReady;
    this.#log = log;
    using cleanup = new DisposableStack();
    this.#eventfd = cleanup.use(new Fd(check(libc.symbols.eventfd(0, EFD_FLAGS), "eventfd")));
    const context = new BigUint64Array(1);
    check(libc.syscall.ip(SYS.io_setup, 1, context), "io_setup");
    this.#context = context[0] ?? 0n;
    cleanup.defer(() => libc.syscall.ints(SYS.io_destroy, this.#context, 0, 0, 0, 0));
    // struct iocb, linux/aio_abi.h (little endian)
    const iocb = new DataView(this.#iocb);
    iocb.setUint16(16, IOCB_CMD_POLL, true);
    iocb.setUint32(20, epoll, true);
    iocb.setBigUint64(24, BigInt(EPOLLIN), true);
    iocb.setUint32(56, IOCB_FLAG_RESFD, true);
    iocb.setUint32(60, this.#eventfd.fd, true);
    this.#iocbs[0] = BigInt(ptr(this.#iocb) as Pointer);
    // asked once here, so that a kernel without poll requests shows at construction
    this.#arm();
    cleanup.move();
  }

  resume(): void {
    if (this.#reader !== undefined) return;
    // a reader that was cancelled may have taken the report of a finished request with it
    this.#reap();
    this.#arm();
    const reader: Reader = Bun.file(this.#eventfd.fd).stream().getReader();
    this.#reader = reader;
    this.#read(reader).catch((error: unknown) => this.#log.error("reactor stopped", { error }));
  }

  pause(): void {
    const reader = this.#reader;
    this.#reader = undefined;
    // a pending read would keep the process alive
    reader?.cancel().catch((error: unknown) => this.#log.warn("reactor could not pause", { error }));
  }

  close(): void {
    this.pause();
    libc.syscall.ints(SYS.io_destroy, this.#context, 0, 0, 0, 0);
    this.#eventfd.close();
  }

  async #read(reader: Reader): Promise<void> {
    for (;;) {
      const { done } = await reader.read();
      if (done || this.#reader !== reader) return;
      this.#reap();
      this.#onReady();
      while (this.#reader === reader && !this.#tryArm()) await Bun.sleep(FALLBACK_MS);
    }
  }

  /** Whether the next request is under way; a kernel short of memory refuses one now and then. */
  #tryArm(): boolean {
    try {
      this.#arm();
    } catch (error) {
      this.#log.error("poll request failed, trying again", { error });
      return false;
    }
    return true;
  }

  #reap(): void {
    if (!this.#isArmed) return;
    const count = libc.syscall.iiipp(SYS.io_getevents, this.#context, 0, 1, this.#done, this.#noTime);
    if (count > 0) this.#isArmed = false;
  }

  #arm(): void {
    if (this.#isArmed) return;
    for (;;) {
      const result = libc.syscall.iip(SYS.io_submit, this.#context, 1, this.#iocbs);
      if (result > 0) break;
      const code = errno();
      if (code !== EINTR) throw new SysError("io_submit", code);
    }
    this.#isArmed = true;
  }
}
