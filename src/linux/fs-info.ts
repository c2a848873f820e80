import { cstr, type PathArg } from "./cstr.ts";
import { check, errno, SysError } from "./errno.ts";
import { transfer } from "./fd.ts";
import { libc, SYS } from "./libc.ts";

/** Names of file systems by statfs(2)'s type, as docker's info prints them. @see linux/magic.h */
const MAGIC: Readonly<Record<number, string>> = {
  1635083891: "aufs",
  2435016766: "btrfs",
  4283649346: "cifs",
  3861: "ecryptfs",
  61267: "extfs",
  4076150800: "f2fs",
  1702057286: "fuse",
  16914839: "9p",
  1382369651: "reiserfs",
  2035054128: "overlayfs",
  26985: "nfs",
  2240043254: "ramfs",
  1936814952: "squashfs",
  16914836: "tmpfs",
  1481003842: "xfs",
  801189825: "zfs",
  1667723888: "cgroup2",
  2613483: "cgroup",
  40864: "proc",
  1650812274: "sysfs",
  1853056627: "nsfs",
  3393526350: "bcachefs",
  3774210530: "erofs",
};

export const CGROUP2_SUPER_MAGIC = 0x63677270;
export const TMPFS_MAGIC = 0x01021994;
export const OVERLAYFS_SUPER_MAGIC = 0x794c7630;
export const NSFS_MAGIC = 0x6e736673;

export interface FileSystemInfo {
  /** Magic number of the file system's type; `fsTypeName` names it. */
  readonly type: number;
  /** Bytes per block, the unit of the next three. */
  readonly bsize: number;
  readonly blocks: number;
  readonly bfree: number;
  /** Free blocks that an unprivileged user may take. */
  readonly bavail: number;
  readonly files: number;
  readonly ffree: number;
  /** The longest file name, bytes. */
  readonly nameMax: number;
  /** ST_RDONLY and its likes, of the mount and of the file system. */
  readonly flags: number;
}

/** In `FileSystemInfo.flags`. @see statfs(2) */
export const ST_RDONLY = 1;
export const ST_NOSUID = 2;
export const ST_NODEV = 4;
export const ST_NOEXEC = 8;

/** What file system `path` lies on, and how full it is. @throws {SysError} ENOENT */
export function statfs(path: PathArg): FileSystemInfo {
  // struct statfs on 64-bit Linux: nine 8-byte words (f_fsid is one of them), f_namelen the ninth
  const info = new DataView(new ArrayBuffer(120));
  check(libc.symbols.statfs64(cstr(path), new Uint8Array(info.buffer)), "statfs", path);
  const word = (index: number): number => Number(info.getBigUint64(index * 8, true));
  return {
    type: word(0) % 0x100000000,
    bsize: word(1),
    blocks: word(2),
    bfree: word(3),
    bavail: word(4),
    files: word(5),
    ffree: word(6),
    nameMax: word(8),
    flags: word(10),
  };
}

/** The name of a file system type, `overlayfs`; `<unknown>` as docker prints it otherwise. */
export function fsTypeName(type: number): string {
  return MAGIC[type] ?? "<unknown>";
}

/**
 * Copies up to `length` bytes inside the kernel, sharing blocks where the file system can; both descriptors' offsets move on.
 * Returns the bytes copied, 0 at the end. @throws {SysError} EXDEV, EINVAL, EOPNOTSUPP where plain reads and writes must do
 */
export function copyFileRange(fdIn: number, fdOut: number, length: number): number {
  return transfer(() => libc.symbols.copy_file_range(fdIn, null, fdOut, null, length, 0), "copy_file_range", fdOut);
}

const FICLONE = 0x40049409;
const CLONE_REFUSALS: ReadonlySet<number> = new Set([95, 18, 22, 25, 38]);

/** Makes `dst` share all of `src`'s blocks (reflink); false where the file system can't. @throws {SysError} ENOSPC, EPERM */
export function ficlone(dst: number, src: number): boolean {
  if (libc.syscall.ints(SYS.ioctl, dst, FICLONE, src, 0, 0) === 0) return true;
  const code = errno();
  if (CLONE_REFUSALS.has(code)) return false;
  throw new SysError("ioctl FICLONE", code, dst);
}

/** Writes out everything of the file system that `fd` lies on; waits for the disk. @throws {SysError} EIO, ENOSPC */
export function syncfs(fd: number): void {
  check(libc.symbols.syncfs(fd), "syncfs", fd);
}

export const LOCK_SH = 1;
export const LOCK_EX = 2;
export const LOCK_UN = 8;
const LOCK_NB = 4;

/** Takes (LOCK_SH, LOCK_EX) or frees (LOCK_UN) the lock of an open file without waiting: false when another has it. @throws {SysError} */
export function flock(fd: number, operation: number): boolean {
  return transfer(() => libc.symbols.flock(fd, operation | LOCK_NB), "flock", fd) === 0;
}
