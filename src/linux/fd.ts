import { check, errno, SysError } from "./errno.ts";
import { libc } from "./libc.ts";

const EINTR = 4;
const EAGAIN = 11;
const F_DUPFD_CLOEXEC = 1030;
const F_GETFL = 3;
const F_SETFL = 4;
const F_SETFD = 2;
const O_NONBLOCK = 0o4000;

/** An open file descriptor that closes itself at the end of its `using` scope. */
export class Fd implements Disposable {
  #fd: number;

  constructor(fd: number) {
    this.#fd = fd;
  }

  /** The descriptor's number; -1 once closed or released. */
  get fd(): number {
    return this.#fd;
  }

  /** Gives the number away: the caller closes it, this object no more. */
  release(): number {
    const fd = this.#fd;
    this.#fd = -1;
    return fd;
  }

  /** Closes the descriptor; again: nothing. An error of close(2) says nothing useful and is dropped: the descriptor is gone either way. */
  close(): void {
    const fd = this.release();
    if (fd >= 0) libc.symbols.close(fd);
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

/** Closes a bare descriptor. @throws {SysError} EBADF */
export function close(fd: number): void {
  check(libc.symbols.close(fd), "close", fd);
}

/** A close-on-exec copy of `fd`, see F_DUPFD_CLOEXEC in fcntl(2). @throws {SysError} */
export function dup(fd: number): Fd {
  return new Fd(check(libc.symbols.fcntl(fd, F_DUPFD_CLOEXEC, 3), "fcntl", fd));
}

/** Makes reads and writes of the open file description behind `fd` return -1 instead of waiting. @throws {SysError} */
export function setNonblocking(fd: number, on = true): void {
  const flags = check(libc.symbols.fcntl(fd, F_GETFL, 0), "fcntl", fd);
  check(libc.symbols.fcntl(fd, F_SETFL, on ? flags | O_NONBLOCK : flags & ~O_NONBLOCK), "fcntl", fd);
}

/** Sets or clears close-on-exec. @throws {SysError} */
export function setCloexec(fd: number, on = true): void {
  check(libc.symbols.fcntl(fd, F_SETFD, on ? 1 : 0), "fcntl", fd);
}

/**
 * Runs a call that may be interrupted or may have to wait: repeats it on EINTR, returns -1 on EAGAIN.
 * @throws {SysError} every other errno
 */
export function transfer(call: () => number | bigint, name: string, fd: number): number {
  for (;;) {
    const result = call();
    if (result >= 0) return Number(result);
    if (!wasInterrupted(name, fd)) return -1;
  }
}

/** What a call failed with: true for EINTR, false for EAGAIN. @throws {SysError} every other errno */
export function wasInterrupted(name: string, fd: number): boolean {
  const code = errno();
  if (code !== EAGAIN && code !== EINTR) throw new SysError(name, code, fd);
  return code === EINTR;
}

/** Reads into `buffer`: the number of bytes, 0 at the end, -1 when a non-blocking descriptor has nothing (EAGAIN). @throws {SysError} */
export function read(fd: number, buffer: Uint8Array, length = buffer.byteLength): number {
  return transfer(() => libc.symbols.read(fd, buffer, Math.min(length, buffer.byteLength)), "read", fd);
}

/** Writes from `buffer`: the number of bytes taken, -1 when a non-blocking descriptor takes none (EAGAIN). @throws {SysError} EPIPE */
export function write(fd: number, buffer: Uint8Array): number {
  return transfer(() => libc.symbols.write(fd, buffer, buffer.byteLength), "write", fd);
}

/** Reads at `offset`: the number of bytes, 0 at the end. @throws {SysError} */
export function pread(fd: number, buffer: Uint8Array, offset: number): number {
  return transfer(() => libc.symbols.pread64(fd, buffer, buffer.byteLength, offset), "pread", fd);
}

/** Writes at `offset`: the number of bytes taken. @throws {SysError} ENOSPC */
export function pwrite(fd: number, buffer: Uint8Array, offset: number): number {
  return transfer(() => libc.symbols.pwrite64(fd, buffer, buffer.byteLength, offset), "pwrite", fd);
}
