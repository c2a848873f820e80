import { ContentCopier, removeTree } from "../files/mod.ts";
import { breather, DhowError, errnoCode, randomId } from "../lib/mod.ts";
import {
  AT_EMPTY_PATH,
  AT_FDCWD,
  AT_REMOVEDIR,
  AT_SYMLINK_NOFOLLOW,
  type Fd,
  type FileStat,
  fchmod,
  fchmodat,
  fchown,
  fchownat,
  fgetxattr,
  flistxattr,
  fsetxattr,
  fstat,
  isErrno,
  linkat,
  mkdirat,
  mknodat,
  O_CREAT,
  O_DIRECTORY,
  O_EXCL,
  O_NOFOLLOW,
  O_NONBLOCK,
  O_PATH,
  O_RDONLY,
  O_WRONLY,
  open,
  openat,
  openat2,
  type PathArg,
  procFdPath,
  RESOLVE_BENEATH,
  RESOLVE_IN_ROOT,
  RESOLVE_NO_MAGICLINKS,
  RESOLVE_NO_SYMLINKS,
  readDirents,
  readlinkat,
  renameat,
  S_IFBLK,
  S_IFCHR,
  S_IFDIR,
  S_IFIFO,
  S_IFLNK,
  S_IFMT,
  S_IFREG,
  statx,
  symlinkat,
  tryStatx,
  unlinkat,
  utimensat,
} from "../linux/mod.ts";
import type { ContainerMount } from "./plan.ts";
import { useVolumes } from "./resolve.ts";
import type { Volumes } from "./volumes.ts";

/** The state of one copy. */
interface Copy {
  /** Where the first of several names of a file went: its directory's descriptor would close, so the path from the volume's root. */
  readonly links: Map<string, string>;
  readonly volumeFd: number;
  readonly content: ContentCopier;
  /** Gives the event loop its turn. @throws the reason of whoever no longer waits for the copy */
  readonly breathe: () => Promise<void> | undefined;
}

/** Who asked for a copy. */
interface CopyOptions {
  /** Told how many bytes of content, holes left out, are there already. */
  readonly onBytes?: ((bytes: number) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

const isKept = (name: string): boolean => !name.startsWith("trusted.overlay.") && name !== "security.selinux";

function copyXattrs(from: number, to: number): void {
  try {
    for (const name of flistxattr(from).filter(isKept)) {
      const value = fgetxattr(from, name);
      if (value) fsetxattr(to, name, value);
    }
  } catch (error) {
    if (!["ENOTSUP", "EOPNOTSUPP", "EPERM"].includes(errnoCode(error) ?? "")) throw error;
  }
}

// Owner before mode (chown drops set-user-id bits) and before attributes (it drops file capabilities); times last.
function copyMeta(from: number, to: number, stat: FileStat): void {
  fchown(to, stat.uid, stat.gid);
  fchmod(to, stat.mode & 0o7777);
  copyXattrs(from, to);
  utimensat(to, "", { atimeNs: stat.atimeNs, mtimeNs: stat.mtimeNs }, AT_EMPTY_PATH);
}

async function copyFile(copy: Copy, from: number, to: number, name: PathArg): Promise<void> {
  using source = openat(from, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
  using target = openat(to, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600);
  const stat = fstat(source.fd);
  await copy.content.copy(source.fd, target.fd, stat);
  copyMeta(source.fd, target.fd, stat);
}

function linkKnown(copy: Copy, to: number, name: PathArg, stat: FileStat, path: string): boolean {
  if (stat.nlink < 2 || (stat.mode & S_IFMT) === S_IFDIR) return false;
  const key = `${stat.dev}:${stat.ino}`;
  const first = copy.links.get(key);
  if (first === undefined) {
    copy.links.set(key, path);
    return false;
  }
  // Another container may have the volume already and put a link in the way.
  const how = { flags: O_PATH | O_NOFOLLOW, resolve: RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS };
  using made = openat2(copy.volumeFd, Buffer.from(first, "latin1"), how);
  linkat({ dirfd: made.fd, path: "" }, { dirfd: to, path: name }, AT_EMPTY_PATH);
  return true;
}

async function copyEntry(copy: Copy, from: number, to: number, name: Uint8Array, path: string): Promise<void> {
  const stat = statx(from, name, AT_SYMLINK_NOFOLLOW);
  if (linkKnown(copy, to, name, stat, path)) return;
  const type = stat.mode & S_IFMT;
  if (type === S_IFDIR) {
    using source = openat(from, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
    mkdirat(to, name, 0o700);
    using target = openat(to, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
    await copyTree(copy, source, target, `${path}/`);
  } else if (type === S_IFREG) {
    await copyFile(copy, from, to, name);
  } else if (type === S_IFLNK) {
    symlinkat(readlinkat(from, name), to, name);
    fchownat(to, name, { uid: stat.uid, gid: stat.gid }, AT_SYMLINK_NOFOLLOW);
    utimensat(to, name, { atimeNs: stat.atimeNs, mtimeNs: stat.mtimeNs }, AT_SYMLINK_NOFOLLOW);
  } else if (type === S_IFCHR || type === S_IFBLK || type === S_IFIFO) {
    mknodat(to, name, type, stat.rdev);
    using made = openat(to, name, O_PATH | O_NOFOLLOW);
    fchownat(made.fd, "", { uid: stat.uid, gid: stat.gid }, AT_EMPTY_PATH);
    fchmodat(AT_FDCWD, procFdPath(made.fd), stat.mode & 0o7777);
    utimensat(to, name, { atimeNs: stat.atimeNs, mtimeNs: stat.mtimeNs }, AT_SYMLINK_NOFOLLOW);
  }
}

async function copyTree(copy: Copy, from: Fd, to: Fd, prefix: string): Promise<void> {
  for (const { raw } of readDirents(from.fd)) {
    const name = Uint8Array.from(raw);
    await copyEntry(copy, from.fd, to.fd, name, prefix + Buffer.from(name).toString("latin1"));
    await copy.breathe();
  }
  copyMeta(from.fd, to.fd, fstat(from.fd));
}

/** What the image has at `destination`, its links resolved inside `rootfs`: a directory, a file, or nothing. */
function imageDirectory(rootfs: string, destination: string): Fd | "file" | undefined {
  using root = open(rootfs, O_PATH | O_DIRECTORY);
  const resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS;
  try {
    return openat2(root.fd, destination, { flags: O_RDONLY | O_DIRECTORY, resolve });
  } catch (error) {
    const code = errnoCode(error);
    if (code === "ENOENT") return undefined;
    if (code === "ENOTDIR") return "file";
    throw error;
  }
}

/** Whether the image has a directory at a mount's destination. @throws invalid for a file where the volume has been made for the place */
function hasContent(rootfs: string, { destination, isAnonymous }: ContainerMount): boolean {
  const found = imageDirectory(rootfs, destination);
  if (found === undefined) return false;
  if (found === "file") {
    if (!isAnonymous) return false;
    throw new DhowError("invalid", `cannot mount volume over existing file, file exists ${rootfs}${destination}`);
  }
  found[Symbol.dispose]();
  return true;
}

/** The directory of a volume that is filled: `subpath` leads to it, and no link out of the volume does; undefined when there is none. */
function volumeDirectory(volumePath: string, subpath: string): Fd | undefined {
  const flags = O_RDONLY | O_DIRECTORY;
  if (subpath === "") return open(volumePath, flags);
  using volume = open(volumePath, O_PATH | O_DIRECTORY);
  try {
    return openat2(volume.fd, subpath, { flags, resolve: RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS });
  } catch (error) {
    if (isErrno(error, "ENOENT", "ENOTDIR", "EXDEV", "ELOOP")) return undefined;
    throw error;
  }
}

/** Where a volume's new content is gathered: in the volume itself, so that it is of the same file system. */
const FILLING = ".dhow-filling";
/** Its name from when it is whole. */
const FILLED = ".dhow-filled";

function newCopy(volumeFd: number, { onBytes, signal }: CopyOptions): Copy {
  const pause = breather();
  const breathe = (): Promise<void> | undefined => {
    signal?.throwIfAborted();
    return pause();
  };
  return { links: new Map(), volumeFd, content: new ContentCopier({ breathe, onBytes }), breathe };
}

/** A volume, or a part of it, and what may be its first content. */
export interface CopyUp {
  readonly rootfs: string;
  readonly destination: string;
  /** Where the volume is. */
  readonly to: string;
  /** The directory in the volume that is mounted; empty for all of it. */
  readonly subpath: string;
}

/**
 * Fills an empty volume with what the image has at `destination`: content, owners, modes, attributes, times, hard links. Nothing outside
 * `rootfs` is read, nothing outside the volume written. A missing directory on either side, or a volume with content: nothing happens.
 * What fails leaves the volume empty; what a crash leaves, `finishCopyUp` puts in order.
 */
export async function copyUp(asked: CopyUp, options: CopyOptions = {}): Promise<void> {
  const found = imageDirectory(asked.rootfs, asked.destination);
  if (found === undefined || found === "file") return;
  using from = found;
  using to = volumeDirectory(asked.to, asked.subpath);
  if (to === undefined) return;
  if (readDirents(to.fd).length > 0) return;
  mkdirat(to.fd, FILLING, 0o700);
  try {
    using draft = openat(to.fd, FILLING, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
    await copyTree(newCopy(draft.fd, options), from, draft, "");
    renameat({ dirfd: to.fd, path: FILLING }, { dirfd: to.fd, path: FILLED });
  } catch (error) {
    removeTree(to.fd, FILLING);
    throw error;
  }
  settle(to);
}

/** Moves what was gathered to where it belongs. */
function settle(volume: Fd): void {
  using filled = openat(volume.fd, FILLED, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  const stat = fstat(filled.fd);
  for (const { raw } of readDirents(filled.fd)) {
    const name = Uint8Array.from(raw);
    renameat({ dirfd: filled.fd, path: name }, { dirfd: volume.fd, path: name });
  }
  // NFS knows nothing of a directory that is removed
  copyMeta(filled.fd, volume.fd, stat);
  unlinkat(volume.fd, FILLED, AT_REMOVEDIR);
  utimensat(volume.fd, "", { atimeNs: stat.atimeNs, mtimeNs: stat.mtimeNs }, AT_EMPTY_PATH);
}

/** Finishes a copy that was cut short when it was whole, and takes it back when it was not. */
export function finishCopyUp(volumePath: string, subpath: string): void {
  using volume = volumeDirectory(volumePath, subpath);
  if (volume === undefined) return;
  const has = (name: string): boolean => tryStatx(volume.fd, name, AT_SYMLINK_NOFOLLOW) !== undefined;
  if (has(FILLED)) settle(volume);
  else if (has(FILLING)) removeTree(volume.fd, FILLING);
}

/**
 * Copies everything that is in the directory `from` to the empty directory `to`: content (shared with the original where the file system can),
 * owners, modes, attributes, times, hard links, holes. Sockets are left out. @throws {SysError}; an abort ends it in the middle
 */
export async function copyDirectory(from: string, to: string, options: CopyOptions = {}): Promise<void> {
  using source = open(from, O_RDONLY | O_DIRECTORY);
  using target = open(to, O_RDONLY | O_DIRECTORY);
  await copyTree(newCopy(target.fd, options), source, target, "");
}

/** Fills the named volume. */
export type FillVolume = (asked: CopyUp, volume: string) => Promise<void>;

/**
 * Fills the container's new volumes from its root file system; once, before its first start. Volumes are waited for until `signal` is
 * aborted, those for which the image has nothing are left alone; a copy that has begun is finished. @throws invalid, the signal's reason
 */
export async function populateVolumes(
  rootfs: string,
  mounts: readonly ContainerMount[],
  { volumes, fill, signal }: { readonly volumes: Volumes; readonly fill: FillVolume; readonly signal?: AbortSignal | undefined },
): Promise<void> {
  for (const m of mounts) {
    if (m.kind !== "volume" || !m.copiesUp || !hasContent(rootfs, m)) continue;
    const user = `copy-up-${randomId()}`;
    const paths = await useVolumes([m], user, volumes, signal);
    try {
      const { destination, subpath } = m;
      await fill({ rootfs, destination, to: paths.get(m.volume) ?? "", subpath }, m.volume);
    } finally {
      await volumes.release(m.volume, user);
    }
  }
}
