import { cstr, type PathArg } from "./cstr.ts";
import { check } from "./errno.ts";
import { transfer } from "./fd.ts";
import { libc } from "./libc.ts";

/** @see splice(2) */
export const SPLICE_F_MOVE = 1;
export const SPLICE_F_NONBLOCK = 2;
export const SPLICE_F_MORE = 4;

const F_SETPIPE_SZ = 1031;
const F_GETPIPE_SZ = 1032;
const FIONREAD = 0x541b;

/** Makes a FIFO; `mode` passes the umask. @throws {SysError} EEXIST */
export function mkfifo(path: PathArg, mode = 0o600): void {
  check(libc.symbols.mkfifo(cstr(path), mode), "mkfifo", path);
}

/** Sets how many bytes a pipe holds and returns what the kernel made of it (a power of two of pages). @throws {SysError} EPERM over /proc/sys/fs/pipe-max-size, EBUSY when it holds more */
export function setPipeSize(fd: number, bytes: number): number {
  return check(libc.symbols.fcntl(fd, F_SETPIPE_SZ, bytes), "fcntl", fd);
}

/** How many bytes a pipe can hold. @throws {SysError} EBADF when it is no pipe */
export function getPipeSize(fd: number): number {
  return check(libc.symbols.fcntl(fd, F_GETPIPE_SZ, 0), "fcntl", fd);
}

/**
 * Moves up to `length` bytes inside the kernel; one end is a pipe. `offOut` is the place in a file to write to, null to use its own offset.
 * Returns the bytes moved, 0 at the end of input, -1 when it would have to wait (EAGAIN).
 * @throws {SysError} EINVAL when the output is open for appending
 */
export function splice(fdIn: number, fdOut: number, offOut: number | null, length: number, flags = 0): number {
  const offset = offOut === null ? null : new BigInt64Array([BigInt(offOut)]);
  return transfer(() => libc.symbols.splice(fdIn, null, fdOut, offset, length, flags), "splice", fdOut);
}

/** Copies up to `length` bytes from pipe to pipe and leaves them in the first; returns as `splice` does. @throws {SysError} */
export function tee(fdIn: number, fdOut: number, length: number, flags = 0): number {
  return transfer(() => libc.symbols.tee(fdIn, fdOut, length, flags), "tee", fdIn);
}

/** How many bytes wait to be read from a pipe, terminal or socket. @throws {SysError} */
export function fionread(fd: number): number {
  const count = new Int32Array(1);
  check(libc.symbols.ioctl(fd, FIONREAD, count), "ioctl FIONREAD", fd);
  return count[0] ?? 0;
}
