import { DhowError } from "../lib/mod.ts";
import {
  AT_REMOVEDIR,
  type FileStat,
  fgetxattr,
  flistxattr,
  isErrno,
  O_DIRECTORY,
  O_NOFOLLOW,
  O_RDONLY,
  openat,
  readDirents,
  S_IFDIR,
  unlinkat,
  write,
} from "../linux/mod.ts";

/** What overlayfs keeps about its own files; never taken from an archive nor copied: it could redirect a directory. */
const OVERLAY_XATTRS = /^(trusted|user)\.overlay\./;

/** Whether an xattr is one of overlayfs' own. */
export function isOverlayXattr(name: string): boolean {
  return OVERLAY_XATTRS.test(name);
}

/** Owner, permissions, times and xattrs of a file. */
export interface Attributes {
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly atimeNs: bigint;
  readonly mtimeNs: bigint;
  readonly xattrs?: ReadonlyMap<string, Uint8Array>;
}

/** The attributes of an existing file. */
export function attributesOf(stat: FileStat, fd: number): Attributes {
  const xattrs = new Map<string, Uint8Array>();
  for (const name of flistxattr(fd)) {
    const value = isOverlayXattr(name) ? undefined : fgetxattr(fd, name);
    if (value !== undefined) xattrs.set(name, value);
  }
  return { mode: stat.mode & 0o7777, uid: stat.uid, gid: stat.gid, atimeNs: stat.atimeNs, mtimeNs: stat.mtimeNs, xattrs };
}

/** Sets xattrs by `set`; what the file system or the file's type can't hold is left out, as docker does. */
export function setXattrs(xattrs: ReadonlyMap<string, Uint8Array>, set: (name: string, value: Uint8Array) => void): void {
  for (const [name, value] of xattrs) {
    if (isOverlayXattr(name)) continue;
    try {
      set(name, value);
    } catch (error) {
      // EPERM: user.* exists on regular files and directories only
      if (isErrno(error, "EOPNOTSUPP") || (isErrno(error, "EPERM") && name.startsWith("user."))) continue;
      if (!isErrno(error, "ERANGE", "E2BIG")) throw error;
      throw new DhowError("invalid", `xattr "${name.slice(0, 64)}" of ${value.length} bytes: name or value is too long`, { cause: error });
    }
  }
}

/** Writes all of `bytes`. @throws {SysError} ENOSPC */
export function writeAll(fd: number, bytes: Uint8Array): void {
  for (let at = write(fd, bytes); at < bytes.length; at += write(fd, bytes.subarray(at)));
}

/** Removes a directory with all that is in it, no link followed. */
export function removeTree(dirfd: number, name: string | Uint8Array): void {
  {
    using inner = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
    for (const { raw, type } of readDirents(inner.fd)) {
      if (type << 12 === S_IFDIR) removeTree(inner.fd, raw);
      else unlinkat(inner.fd, raw);
    }
  }
  unlinkat(dirfd, name, AT_REMOVEDIR);
}
