import { DhowError, decodeName } from "../lib/mod.ts";
import {
  AT_SYMLINK_NOFOLLOW,
  type Dirent,
  type Fd,
  type FileStat,
  isErrno,
  O_DIRECTORY,
  O_NOFOLLOW,
  O_RDONLY,
  openat,
  readDirents,
  S_IFDIR,
  S_IFMT,
  tryStatx,
} from "../linux/mod.ts";

/** As far down as a path can be named; each level costs an open directory. */
const PATH_MAX = 4096;

/** A file that was met on a walk. It may change or vanish at any time: what opens it must not follow links and must look again. */
export interface Found {
  /** Its path below the root, without a leading slash. */
  readonly path: string;
  /** The directory that holds it, open until the next file is asked for. */
  readonly dirfd: number;
  /** Its name in there, as the file system has it. */
  readonly raw: Uint8Array;
  readonly stat: FileStat;
}

/** Whether a stat is that of a directory. */
export function isDirectory(stat: FileStat): boolean {
  return (stat.mode & S_IFMT) === S_IFDIR;
}

/** The path of a name in the directory at `prefix` ("" is the root). @throws invalid when it is longer than paths can be */
export function joinPath(prefix: string, name: string): string {
  const path = prefix === "" ? name : `${prefix}/${name}`;
  if (path.length > PATH_MAX) throw new DhowError("invalid", `walk ${path.slice(0, 64)}…: file name too long`);
  return path;
}

/** A directory's entries, ordered by the bytes of their names; none when it has been removed meanwhile. */
export function sortedDirents(fd: number): Dirent[] {
  try {
    return readDirents(fd).sort((a, b) => Buffer.compare(a.raw, b.raw));
  } catch (error) {
    if (isErrno(error, "ENOENT")) return [];
    throw error;
  }
}

/** Opens the directory `raw` in `dirfd`; undefined when it is gone or something else by now. @throws {SysError} */
export function tryOpenDirectory(dirfd: number, raw: string | Uint8Array): Fd | undefined {
  try {
    return openat(dirfd, raw, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  } catch (error) {
    if (isErrno(error, "ENOENT", "ENOTDIR", "ELOOP")) return undefined;
    throw error;
  }
}

/**
 * Every file below the open directory `root`: directories before what is in them, names in the order of their bytes. It descends by
 * descriptors and follows no link, so it stays in the tree whatever others do to it meanwhile; what vanishes is left out.
 * @throws invalid for a tree that is too deep
 */
export function* walk(root: number, prefix = ""): Generator<Found, void, void> {
  for (const { raw } of sortedDirents(root)) {
    const stat = tryStatx(root, raw, AT_SYMLINK_NOFOLLOW);
    if (stat === undefined) continue;
    const path = joinPath(prefix, decodeName(raw));
    yield { path, dirfd: root, raw, stat };
    if (!isDirectory(stat)) continue;
    using inner = tryOpenDirectory(root, raw);
    if (inner !== undefined) yield* walk(inner.fd, path);
  }
}
