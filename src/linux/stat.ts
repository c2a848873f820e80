import { cstr, type PathArg } from "./cstr.ts";
import { check, errno, SysError } from "./errno.ts";
import { libc } from "./libc.ts";

/** @see fcntl.h, linux/fcntl.h */
export const AT_FDCWD = -100;
export const AT_SYMLINK_NOFOLLOW = 0x100;
export const AT_REMOVEDIR = 0x200;
export const AT_SYMLINK_FOLLOW = 0x400;
export const AT_NO_AUTOMOUNT = 0x800;
export const AT_STATX_DONT_SYNC = 0x4000;
export const AT_EMPTY_PATH = 0x1000;
export const AT_RECURSIVE = 0x8000;

/** The file type bits of a mode, see inode(7). */
export const S_IFMT = 0o170000;
export const S_IFSOCK = 0o140000;
export const S_IFLNK = 0o120000;
export const S_IFREG = 0o100000;
export const S_IFBLK = 0o060000;
export const S_IFDIR = 0o040000;
export const S_IFCHR = 0o020000;
export const S_IFIFO = 0o010000;
export const S_ISUID = 0o4000;
export const S_ISGID = 0o2000;
export const S_ISVTX = 0o1000;

export const STATX_ATTR_MOUNT_ROOT = 0x2000;
const STATX_BASIC_STATS = 0x7ff;
const ENOENT = 2;
const ENOTDIR = 20;

/** What statx(2) says of a file. */
export interface FileStat {
  /** Type and permission bits. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly size: number;
  /** 512-byte blocks that are allocated. */
  readonly blocks: number;
  readonly nlink: number;
  readonly ino: bigint;
  /** The device the file lies on, as `makedev` packs it. */
  readonly dev: number;
  /** The device a device file stands for, as `makedev` packs it; 0 for others. */
  readonly rdev: number;
  readonly atimeNs: bigint;
  readonly mtimeNs: bigint;
  readonly ctimeNs: bigint;
}

/** Packs a device number as the C library does, see makedev(3). */
export function makedev(major: number, minor: number): number {
  return ((minor & 0xff) | ((major & 0xfff) << 8)) + (minor >>> 8) * 0x100000 + (major >>> 12) * 0x100000000000;
}

/** The major number of a packed device number. */
export function major(dev: number): number {
  return ((dev >>> 8) & 0xfff) + Math.floor(dev / 0x100000000000) * 0x1000;
}

/** The minor number of a packed device number. */
export function minor(dev: number): number {
  return (dev & 0xff) + (Math.floor(dev / 0x100000) % 0x1000000) * 0x100;
}

// One scratch struct: it is filled and read without an await in between.
const scratch = new Uint8Array(new ArrayBuffer(256));
const view = new DataView(scratch.buffer);

function timeNs(offset: number): bigint {
  return view.getBigInt64(offset, true) * 1_000_000_000n + BigInt(view.getUint32(offset + 8, true));
}

function u64(offset: number): number {
  return view.getUint32(offset, true) + view.getUint32(offset + 4, true) * 0x100000000;
}

/**
 * Stats `path` below `dirfd`; an empty path with AT_EMPTY_PATH stats `dirfd` itself. A last symbolic link is followed without AT_SYMLINK_NOFOLLOW.
 * @throws {SysError} as statx(2) says
 */
export function statx(dirfd: number, path: PathArg, flags = 0): FileStat {
  check(libc.symbols.statx(dirfd, cstr(path), flags, STATX_BASIC_STATS, scratch), "statx", path);
  return decodeStatx();
}

/** The same as `statx`, but undefined when there is no such file. @throws {SysError} every other failure */
export function tryStatx(dirfd: number, path: PathArg, flags = 0): FileStat | undefined {
  return present(dirfd, path, flags) ? decodeStatx() : undefined;
}

/** Stats an open file. @throws {SysError} */
export function fstat(fd: number): FileStat {
  return statx(fd, "", AT_EMPTY_PATH);
}

// Offsets of struct statx, linux/stat.h.
function decodeStatx(): FileStat {
  return {
    nlink: view.getUint32(16, true),
    uid: view.getUint32(20, true),
    gid: view.getUint32(24, true),
    mode: view.getUint16(28, true),
    ino: view.getBigUint64(32, true),
    size: u64(40),
    blocks: u64(48),
    atimeNs: timeNs(64),
    ctimeNs: timeNs(96),
    mtimeNs: timeNs(112),
    rdev: makedev(view.getUint32(128, true), view.getUint32(132, true)),
    dev: makedev(view.getUint32(136, true), view.getUint32(140, true)),
  };
}

function present(dirfd: number, path: PathArg, flags: number): boolean {
  if (libc.symbols.statx(dirfd, cstr(path), flags, STATX_BASIC_STATS, scratch) === 0) return true;
  const code = errno();
  if (code === ENOENT || code === ENOTDIR) return false;
  throw new SysError("statx", code, path);
}

/** The low 32 attribute bits of a file and which of them the kernel knows; undefined when there is no such file. @throws {SysError} */
export function statxAttributes(dirfd: number, path: PathArg, flags: number): { readonly set: number; readonly known: number } | undefined {
  if (!present(dirfd, path, flags)) return undefined;
  return { set: view.getUint32(8, true), known: view.getUint32(56, true) };
}
