import { constants } from "node:fs";
import { cstr, type PathArg } from "./cstr.ts";
import { check, errno, SysError } from "./errno.ts";
import { Fd } from "./fd.ts";
import { libc, SYS } from "./libc.ts";
import { AT_EMPTY_PATH, AT_FDCWD, fstat, S_IFLNK, S_IFMT } from "./stat.ts";

/** Flags of open(2), with this architecture's values. */
export const O_RDONLY = 0;
export const O_WRONLY = 1;
export const O_RDWR = 2;
export const O_CREAT = constants.O_CREAT;
export const O_EXCL = constants.O_EXCL;
export const O_NOCTTY = constants.O_NOCTTY;
export const O_TRUNC = constants.O_TRUNC;
export const O_APPEND = constants.O_APPEND;
export const O_NONBLOCK = constants.O_NONBLOCK;
export const O_DIRECTORY = constants.O_DIRECTORY;
export const O_NOFOLLOW = constants.O_NOFOLLOW;
export const O_CLOEXEC = 0o2000000;
export const O_PATH = 0o10000000;
export const O_TMPFILE = 0o20000000 | O_DIRECTORY;

/** @see openat2(2) */
export const RESOLVE_NO_XDEV = 0x01;
export const RESOLVE_NO_MAGICLINKS = 0x02;
export const RESOLVE_NO_SYMLINKS = 0x04;
export const RESOLVE_BENEATH = 0x08;
export const RESOLVE_IN_ROOT = 0x10;
export const RESOLVE_CACHED = 0x20;

/** utimensat(2)'s "now" and "leave as it is", in the place of nanoseconds since the epoch. */
export const UTIME_NOW = "now";
export const UTIME_OMIT = "omit";
export const RENAME_NOREPLACE = 1;
export const RENAME_EXCHANGE = 2;
export const RENAME_WHITEOUT = 4;

const ENOENT = 2;
const EAGAIN = 11;
const EINVAL = 22;
const EINTR = 4;
const EXDEV = 18;
const ENOSYS = 38;
const ELOOP = 40;
const LINKS_MAX = 40;
const RACE_RETRIES = 64;
const READLINK_MAX = 4096;

export interface OpenHow {
  /** O_* of open(2); O_CLOEXEC is always added. */
  readonly flags: number;
  /** Permission bits of a file that O_CREAT makes. */
  readonly mode?: number;
  /** RESOLVE_* */
  readonly resolve?: number;
}

const howBytes = new Uint8Array(new ArrayBuffer(24));
const howView = new DataView(howBytes.buffer);

function isCreating(flags: number): boolean {
  return (flags & O_CREAT) !== 0 || (flags & O_TMPFILE) === O_TMPFILE;
}

/**
 * Opens `path` below `dirfd` under openat2(2)'s resolution rules; on kernels before 5.6 a walk from component to component keeps the same rules.
 * @throws {SysError} as openat2(2) says: EXDEV when RESOLVE_BENEATH is left, ELOOP for a refused link
 */
export function openat2(dirfd: number, path: PathArg, how: OpenHow): Fd {
  const name = cstr(path);
  for (let tries = 0; ; tries++) {
    howView.setBigUint64(0, BigInt(how.flags | O_CLOEXEC), true);
    howView.setBigUint64(8, BigInt(isCreating(how.flags) ? (how.mode ?? 0o666) & 0o7777 : 0), true);
    howView.setBigUint64(16, BigInt(how.resolve ?? 0), true);
    const fd = Number(libc.syscall.ippi(SYS.openat2, dirfd, name, howBytes, howBytes.byteLength));
    if (fd >= 0) return new Fd(fd);
    const code = errno();
    if (code === ENOSYS) return openByWalk(dirfd, path, how);
    // EAGAIN: a rename or mount elsewhere raced with a ".." of this walk, see openat2(2)
    if (code !== EINTR && !(code === EAGAIN && tries < RACE_RETRIES)) throw new SysError("openat2", code, path);
  }
}

/** Opens `path` below `dirfd` with open(2)'s rules. O_CLOEXEC is always added. @throws {SysError} */
export function openat(dirfd: number, path: PathArg, flags: number, mode = 0o666): Fd {
  const name = cstr(path);
  for (;;) {
    const fd = libc.symbols.openat64(dirfd, name, flags | O_CLOEXEC, mode);
    if (fd >= 0) return new Fd(fd);
    const code = errno();
    if (code !== EINTR) throw new SysError("open", code, path);
  }
}

/** Opens `path` with open(2)'s rules. O_CLOEXEC is always added. @throws {SysError} */
export function open(path: PathArg, flags: number, mode = 0o666): Fd {
  return openat(AT_FDCWD, path, flags, mode);
}

/** The components of `path`, outermost first; a trailing slash becomes a last ".". */
function components(path: string): string[] {
  const parts = path.split("/").filter((part) => part !== "");
  if (path.endsWith("/") && parts.length > 0) parts.push(".");
  return parts;
}

/** The same as `openat2` without the system call; RESOLVE_NO_XDEV and RESOLVE_CACHED are refused. Exported for its test. */
export function openByWalk(dirfd: number, path: PathArg, how: OpenHow): Fd {
  const resolve = how.resolve ?? 0;
  const text = typeof path === "string" ? path : Buffer.from(path).toString("latin1");
  if (text === "") throw new SysError("openat2", ENOENT, path);
  const isScoped = (resolve & (RESOLVE_IN_ROOT | RESOLVE_BENEATH)) !== 0;
  if ((resolve & (RESOLVE_NO_XDEV | RESOLVE_CACHED)) !== 0) throw new SysError("openat2", ENOSYS, path);
  if (text.startsWith("/") && (resolve & RESOLVE_BENEATH) !== 0) throw new SysError("openat2", EXDEV, path);
  using start = !text.startsWith("/") || isScoped ? openat(dirfd, ".", O_PATH | O_DIRECTORY) : open("/", O_PATH | O_DIRECTORY);
  const encode = typeof path === "string" ? (s: string) => Buffer.from(s) : (s: string) => Buffer.from(s, "latin1");
  const walk = new Walk(start, path, how, isScoped);
  try {
    return walk.run(components(text), encode);
  } finally {
    walk.close();
  }
}

class Walk {
  readonly #stack: Fd[] = [];
  #links = 0;

  readonly root: Fd;
  readonly path: PathArg;
  readonly how: OpenHow;
  readonly isScoped: boolean;

  constructor(root: Fd, path: PathArg, how: OpenHow, isScoped: boolean) {
    this.root = root;
    this.path = path;
    this.how = how;
    this.isScoped = isScoped;
  }

  get #here(): number {
    return (this.#stack.at(-1) ?? this.root).fd;
  }

  close(): void {
    for (const fd of this.#stack.splice(0)) fd.close();
  }

  run(todo: string[], encode: (s: string) => Uint8Array): Fd {
    const { flags, mode } = this.how;
    for (;;) {
      const name = todo.shift();
      if (name === undefined) return openat(this.#here, ".", flags & ~(O_CREAT | O_EXCL), mode);
      if (name === ".") continue;
      if (name === "..") {
        this.#up();
        continue;
      }
      const isLast = todo.length === 0;
      const link = this.#linkAt(encode(name), isLast);
      if (link !== undefined) {
        todo = [...components(link), ...todo];
        if (link.startsWith("/")) this.#toRoot();
        continue;
      }
      if (isLast) return openat(this.#here, encode(name), flags | O_NOFOLLOW, mode);
      this.#stack.push(openat(this.#here, encode(name), O_PATH | O_NOFOLLOW | O_DIRECTORY));
    }
  }

  #up(): void {
    const top = this.#stack.pop();
    if (top !== undefined) {
      top.close();
      return;
    }
    if (((this.how.resolve ?? 0) & RESOLVE_BENEATH) !== 0) throw new SysError("openat2", EXDEV, this.path);
    if (!this.isScoped) this.#stack.push(openat(this.#here, "..", O_PATH | O_DIRECTORY));
  }

  #toRoot(): void {
    if (((this.how.resolve ?? 0) & RESOLVE_BENEATH) !== 0) throw new SysError("openat2", EXDEV, this.path);
    this.close();
    if (!this.isScoped) this.#stack.push(open("/", O_PATH | O_DIRECTORY));
  }

  /** Where the symbolic link `name` points to; undefined when it is none or is not to be followed. */
  #linkAt(name: Uint8Array, isLast: boolean): string | undefined {
    const { flags, resolve } = this.how;
    if (isLast && ((flags & O_NOFOLLOW) !== 0 || ((flags & O_CREAT) !== 0 && (flags & O_EXCL) !== 0))) return undefined;
    let found: Fd;
    try {
      found = openat(this.#here, name, O_PATH | O_NOFOLLOW);
    } catch (error) {
      if (isLast && error instanceof SysError && error.errno === ENOENT) return undefined;
      throw error;
    }
    using file = found;
    if ((fstat(file.fd).mode & S_IFMT) !== S_IFLNK) return undefined;
    if (((resolve ?? 0) & RESOLVE_NO_SYMLINKS) !== 0 || ++this.#links > LINKS_MAX) throw new SysError("openat2", ELOOP, this.path);
    const target = readlinkat(file.fd, "");
    return typeof this.path === "string" ? target.toString() : target.toString("latin1");
  }
}

/** Makes a directory; `mode` passes the umask. @throws {SysError} EEXIST */
export function mkdirat(dirfd: number, path: PathArg, mode = 0o777): void {
  check(libc.symbols.mkdirat(dirfd, cstr(path), mode), "mkdir", path);
}

/** Makes a device, FIFO, socket or file node: `mode` holds the S_IF* type, `dev` comes from `makedev`. @throws {SysError} */
export function mknodat(dirfd: number, path: PathArg, mode: number, dev = 0): void {
  // the kernel's device numbers have 32 bits; the C library refuses others, and a number beyond 2^53 doesn't get to it
  if (dev > 0xffff_ffff) throw new SysError("mknod", EINVAL, path);
  check(libc.symbols.mknodat(dirfd, cstr(path), mode, dev), "mknod", path);
}

/** Makes the symbolic link `path` that holds `target`. @throws {SysError} EEXIST */
export function symlinkat(target: PathArg, dirfd: number, path: PathArg): void {
  const to = cstr(target);
  check(libc.symbols.symlinkat(to, dirfd, cstr(path)), "symlink", target, path);
}

/** One end of a rename or hard link. */
export interface At {
  readonly dirfd: number;
  readonly path: PathArg;
}

/**
 * Makes the hard link `to` of `from`; flags AT_EMPTY_PATH links `from.dirfd` itself, AT_SYMLINK_FOLLOW follows a last link.
 * @throws {SysError} EEXIST, EXDEV
 */
export function linkat(from: At, to: At, flags = 0): void {
  const source = cstr(from.path);
  check(libc.symbols.linkat(from.dirfd, source, to.dirfd, cstr(to.path), flags), "link", from.path, to.path);
}

/** Removes a name; with AT_REMOVEDIR an empty directory. @throws {SysError} ENOENT, EISDIR, ENOTEMPTY */
export function unlinkat(dirfd: number, path: PathArg, flags = 0): void {
  check(libc.symbols.unlinkat(dirfd, cstr(path), flags), "unlink", path);
}

/** Renames, by default over what is there; flags RENAME_NOREPLACE, RENAME_EXCHANGE, RENAME_WHITEOUT. @throws {SysError} */
export function renameat(from: At, to: At, flags = 0): void {
  const source = cstr(from.path);
  check(libc.symbols.renameat2(from.dirfd, source, to.dirfd, cstr(to.path), flags), "rename", from.path, to.path);
}

/** Changes owner and group (−1 keeps one); AT_SYMLINK_NOFOLLOW for the link itself, AT_EMPTY_PATH for `dirfd`. @throws {SysError} */
export function fchownat(dirfd: number, path: PathArg, owner: { readonly uid: number; readonly gid: number }, flags = 0): void {
  check(libc.symbols.fchownat(dirfd, cstr(path), owner.uid >>> 0, owner.gid >>> 0, flags), "chown", path);
}

/** Changes permission bits; a last symbolic link is followed (Linux links have no mode of their own). @throws {SysError} */
export function fchmodat(dirfd: number, path: PathArg, mode: number): void {
  check(libc.symbols.fchmodat(dirfd, cstr(path), mode & 0o7777, 0), "chmod", path);
}

/** A point in time in nanoseconds since the epoch, or what utimensat(2) takes instead. */
export type TimeArg = bigint | typeof UTIME_NOW | typeof UTIME_OMIT;

const timesBytes = new Uint8Array(new ArrayBuffer(32));
const timesView = new DataView(timesBytes.buffer);
const NS = 1_000_000_000n;

function setTime(offset: number, time: TimeArg): void {
  if (typeof time === "string") {
    timesView.setBigInt64(offset, 0n, true);
    timesView.setBigInt64(offset + 8, time === UTIME_NOW ? 0x3fffffffn : 0x3ffffffen, true);
    return;
  }
  const ns = ((time % NS) + NS) % NS;
  timesView.setBigInt64(offset, (time - ns) / NS, true);
  timesView.setBigInt64(offset + 8, ns, true);
}

/** Sets access and modification time; flags AT_SYMLINK_NOFOLLOW, AT_EMPTY_PATH. @throws {SysError} */
export function utimensat(dirfd: number, path: PathArg, times: { readonly atimeNs: TimeArg; readonly mtimeNs: TimeArg }, flags = 0): void {
  setTime(0, times.atimeNs);
  setTime(16, times.mtimeNs);
  // the C library refuses AT_EMPTY_PATH with "", a null path means dirfd itself
  const name = path.length === 0 && (flags & AT_EMPTY_PATH) !== 0 ? null : cstr(path);
  check(
    name === null ? libc.symbols.futimens(dirfd, timesBytes) : libc.symbols.utimensat(dirfd, name, timesBytes, flags),
    "utimensat",
    path,
  );
}

/** What the symbolic link `path` holds; an empty path reads the link that `dirfd` (O_PATH | O_NOFOLLOW) is. @throws {SysError} EINVAL when it is no link */
export function readlinkat(dirfd: number, path: PathArg): Buffer {
  const buffer = Buffer.allocUnsafe(READLINK_MAX);
  const length = check(libc.symbols.readlinkat(dirfd, cstr(path), buffer, buffer.length), "readlink", path);
  return buffer.subarray(0, length);
}

/** Changes permission bits of an open file. @throws {SysError} EBADF for an O_PATH descriptor */
export function fchmod(fd: number, mode: number): void {
  check(libc.symbols.fchmod(fd, mode & 0o7777), "fchmod", fd);
}

/** Changes the owner of an open file (−1 keeps one). @throws {SysError} */
export function fchown(fd: number, uid: number, gid: number): void {
  check(libc.symbols.fchown(fd, uid >>> 0, gid >>> 0), "fchown", fd);
}

/** Sets a file's size in bytes. @throws {SysError} */
export function ftruncate(fd: number, sizeBytes: number): void {
  check(libc.symbols.ftruncate64(fd, sizeBytes), "ftruncate", fd);
}

export const FALLOC_FL_KEEP_SIZE = 1;
export const FALLOC_FL_PUNCH_HOLE = 2;

/** Allocates, or with a FALLOC_FL_* mode frees, a range of a file. @throws {SysError} EOPNOTSUPP, ENOSPC */
export function fallocate(fd: number, mode: number, offset: number, length: number): void {
  check(libc.symbols.fallocate64(fd, mode, offset, length), "fallocate", fd);
}

export const SEEK_SET = 0;
export const SEEK_CUR = 1;
export const SEEK_END = 2;
export const SEEK_DATA = 3;
export const SEEK_HOLE = 4;

const ENXIO = 6;

/** Moves the file offset and returns it; -1 when SEEK_DATA finds no more data. @throws {SysError} */
export function lseek(fd: number, offset: number, whence: number): number {
  const position = Number(libc.symbols.lseek64(fd, offset, whence));
  if (position >= 0) return position;
  const code = errno();
  if (code === ENXIO && whence === SEEK_DATA) return -1;
  throw new SysError("lseek", code, fd);
}

/** An entry of a directory. */
export interface Dirent {
  /** The name as text; U+FFFD stands for bytes that are no UTF-8: use `raw` to reach the file. */
  readonly name: string;
  readonly raw: Uint8Array;
  /** DT_*: the file type's S_IF* bits shifted right by 12; 0 where the file system does not say. */
  readonly type: number;
  readonly ino: bigint;
}

const dirents = Buffer.allocUnsafeSlow(32768);

/** All entries of the directory `fd` from its offset on, without "." and "..", in the file system's order. @throws {SysError} ENOTDIR */
export function readDirents(fd: number): Dirent[] {
  const entries: Dirent[] = [];
  for (;;) {
    const length = check(libc.symbols.getdents64(fd, dirents, dirents.length), "getdents64", fd);
    if (length === 0) return entries;
    const buffer = Buffer.from(dirents.subarray(0, length));
    // struct linux_dirent64: ino u64, off u64, reclen u16, type u8, name
    for (let at = 0; at < length; at += buffer.readUInt16LE(at + 16)) {
      const raw = buffer.subarray(at + 19, buffer.indexOf(0, at + 19));
      const name = raw.toString();
      if (name === "." || name === "..") continue;
      entries.push({ name, raw, type: buffer.readUInt8(at + 18), ino: buffer.readBigUInt64LE(at) });
    }
  }
}
