import { readFileSync } from "node:fs";
import { cstr, type PathArg } from "./cstr.ts";
import { check, invalid } from "./errno.ts";
import { libc } from "./libc.ts";
import { AT_FDCWD, AT_NO_AUTOMOUNT, AT_STATX_DONT_SYNC, AT_SYMLINK_NOFOLLOW, STATX_ATTR_MOUNT_ROOT, statxAttributes } from "./stat.ts";

/** @see mount(2), linux/mount.h */
export const MS_RDONLY = 1;
export const MS_NOSUID = 2;
export const MS_NODEV = 4;
export const MS_NOEXEC = 8;
export const MS_SYNCHRONOUS = 16;
export const MS_REMOUNT = 32;
export const MS_MANDLOCK = 64;
export const MS_DIRSYNC = 128;
export const MS_NOSYMFOLLOW = 256;
export const MS_NOATIME = 1024;
export const MS_NODIRATIME = 2048;
export const MS_BIND = 4096;
export const MS_MOVE = 8192;
export const MS_REC = 16384;
export const MS_SILENT = 32768;
export const MS_UNBINDABLE = 1 << 17;
export const MS_PRIVATE = 1 << 18;
export const MS_SLAVE = 1 << 19;
export const MS_SHARED = 1 << 20;
export const MS_RELATIME = 1 << 21;
export const MS_STRICTATIME = 1 << 24;
export const MS_LAZYTIME = 1 << 25;
/** @see umount2(2) */
export const MNT_FORCE = 1;
export const MNT_DETACH = 2;
export const MNT_EXPIRE = 4;
export const UMOUNT_NOFOLLOW = 8;

const DATA_MAX = 4095;

/**
 * Mounts `source` at `target`, see mount(2); null for what a flag makes meaningless.
 * @throws {SysError} as mount(2) says
 * @throws invalid when `data` is longer than the page the kernel would silently cut it to
 */
export function mount(source: PathArg | null, target: PathArg, fstype: string | null, flags = 0, data?: string | null): void {
  const options = data ? cstr(data) : null;
  if (options !== null && options.length > DATA_MAX + 1)
    invalid(`mount ${String(target)}: options are ${options.length - 1} bytes, the kernel takes ${DATA_MAX}`);
  const from = source === null ? null : cstr(source);
  const to = cstr(target);
  const type = fstype === null ? null : cstr(fstype);
  check(libc.symbols.mount(from, to, type, flags, options), "mount", source, target);
}

/** Unmounts `target`, see umount2(2). @throws {SysError} EINVAL when nothing is mounted there, EBUSY when it is in use */
export function umount(target: PathArg, flags = 0): void {
  check(libc.symbols.umount2(cstr(target), flags), "umount", target);
}

/** One line of /proc/<pid>/mountinfo. @see proc_pid_mountinfo(5) */
export interface MountInfo {
  readonly mountId: number;
  readonly parentId: number;
  /** `major:minor` of the file system. */
  readonly device: string;
  /** The directory of the file system that is the root of this mount. */
  readonly root: string;
  readonly mountPoint: string;
  /** Per-mount options: `rw`, `nosuid`, … */
  readonly options: readonly string[];
  /** `shared:N`, `master:N`, `propagate_from:N`, `unbindable`; empty for a private mount. */
  readonly propagation: readonly string[];
  readonly fsType: string;
  readonly source: string;
  readonly superOptions: readonly string[];
}

function decodeOctal(field: string): string {
  if (!field.includes("\\")) return field;
  return field.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));
}

/** Parses the text of a mountinfo file; lines that are no mountinfo are left out. */
export function parseMountInfo(text: string): MountInfo[] {
  const mounts: MountInfo[] = [];
  for (const line of text.split("\n")) {
    const [before, after] = line.split(" - ", 2);
    const [id, parent, device, root, point, options, ...propagation] = (before ?? "").split(" ");
    const [fsType, source, superOptions] = (after ?? "").split(" ");
    if (
      id === undefined ||
      parent === undefined ||
      device === undefined ||
      root === undefined ||
      point === undefined ||
      fsType === undefined ||
      fsType === ""
    )
      continue;
    mounts.push({
      mountId: Number(id),
      parentId: Number(parent),
      device,
      root: decodeOctal(root),
      mountPoint: decodeOctal(point),
      options: (options ?? "").split(","),
      propagation,
      fsType: decodeOctal(fsType),
      source: decodeOctal(source ?? ""),
      superOptions: decodeOctal(superOptions ?? "").split(","),
    });
  }
  return mounts;
}

/** The mounts that process `pid` sees, in mount order. @throws a `node:fs` error ENOENT when there is no such process */
export function readMountInfo(pid: number | "self" = "self"): MountInfo[] {
  return parseMountInfo(readFileSync(`/proc/${pid}/mountinfo`, "utf8"));
}

/**
 * Whether something is mounted exactly at `path` (bind mounts included); a last symbolic link is not followed.
 * False when there is no such file. @throws {SysError} every other failure of statx(2)
 */
export function isMountPoint(path: string): boolean {
  const attributes = statxAttributes(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_STATX_DONT_SYNC);
  if (attributes === undefined) return false;
  if (attributes.known & STATX_ATTR_MOUNT_ROOT) return (attributes.set & STATX_ATTR_MOUNT_ROOT) !== 0;
  const clean = path.length > 1 ? path.replace(/\/+$/, "") : path;
  return readMountInfo().some((m) => m.mountPoint === clean);
}
