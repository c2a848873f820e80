import { DhowError, decodeName, encodeTarHeader, TAR_END, type TarEntryInit, tarPadding } from "../lib/mod.ts";
import {
  type Fd,
  type FileStat,
  fgetxattr,
  flistxattr,
  fstat,
  isErrno,
  lseek,
  major,
  minor,
  O_NOFOLLOW,
  O_PATH,
  O_RDONLY,
  open,
  openat,
  pread,
  procFdPath,
  readlinkat,
  S_IFBLK,
  S_IFCHR,
  S_IFDIR,
  S_IFIFO,
  S_IFLNK,
  S_IFMT,
  S_IFREG,
  S_IFSOCK,
  SEEK_DATA,
  SEEK_HOLE,
} from "../linux/mod.ts";
import { isOverlayXattr } from "./attributes.ts";
import { Chunker } from "./chunker.ts";

const SECOND_NS = 1_000_000_000n;
const BLOCK_BYTES = 512;
/** The label that the host's policy puts on files; it means nothing elsewhere. */
const SELINUX = "security.selinux";

/** A file that was met on a walk: a name in an open directory, and what was there. */
interface Found {
  readonly dirfd: number;
  readonly raw: Uint8Array;
  readonly stat: FileStat;
}

/** Makes a tar of files that are met on a walk: whatever becomes of them meanwhile, the tar is well-formed. */
export class TarPacker {
  readonly #chunks: Chunker;
  /** Where files with several names were packed first, by device and inode. */
  readonly #linked = new Map<string, string>();

  /** @param options.lent see `Chunker` */
  constructor({ lent = false }: { readonly lent?: boolean } = {}) {
    this.#chunks = new Chunker(lent);
  }

  /**
   * Packs one file under `name`: owner, permissions, time to the second, xattrs, and a second name of the same file as a hard link. A file
   * that has vanished or became another kind, and a socket, which tar knows nothing of, are left out.
   */
  *add({ dirfd, raw, stat }: Found, name: string): Generator<Uint8Array, void, void> {
    const type = stat.mode & S_IFMT;
    if (type === S_IFSOCK) return;
    if (type === S_IFLNK) {
      const target = tryReadlink(dirfd, raw);
      if (target !== undefined) yield* this.entry({ ...common(stat, name), type: "symlink", linkName: target });
      return;
    }
    // O_PATH: to open a device or a FIFO may do something
    using file = tryOpen(dirfd, raw);
    if (file === undefined) return;
    const found = fstat(file.fd);
    if ((found.mode & S_IFMT) === type) yield* this.#open(file, found, name);
  }

  /** The same for what an O_PATH descriptor stands for, a link itself. */
  *addOpen(file: Fd, stat: FileStat, name: string): Generator<Uint8Array, void, void> {
    const type = stat.mode & S_IFMT;
    if (type === S_IFSOCK) return;
    if (type === S_IFLNK) {
      const linkName = decodeName(readlinkat(file.fd, ""));
      yield* this.entry({ ...common(stat, name), mode: 0o777, type: "symlink", linkName });
    } else yield* this.#open(file, stat, name);
  }

  *#open(file: Fd, found: FileStat, name: string): Generator<Uint8Array, void, void> {
    const first = this.#firstName(found, name);
    if (first !== undefined) yield* this.entry({ ...common(found, name), type: "link", linkName: first });
    else if ((found.mode & S_IFMT) === S_IFREG) yield* this.#file(file, found, name);
    else yield* this.entry({ ...common(found, name), ...special(found), xattrs: xattrsOf(file.fd) });
  }

  /** Packs an entry without content. */
  entry(entry: TarEntryInit): Generator<Uint8Array, void, void> {
    return this.#chunks.add(encodeTarHeader(entry));
  }

  /** The archive's end. */
  *finish(): Generator<Uint8Array, void, void> {
    yield* this.#chunks.add(TAR_END);
    yield* this.#chunks.flush();
  }

  /** The name under which the same file was packed before. */
  #firstName(stat: FileStat, name: string): string | undefined {
    if (stat.nlink < 2 || (stat.mode & S_IFMT) === S_IFDIR) return undefined;
    const key = `${stat.dev}:${stat.ino}`;
    const first = this.#linked.get(key);
    if (first === undefined) this.#linked.set(key, name);
    return first;
  }

  *#file(handle: Fd, stat: FileStat, name: string): Generator<Uint8Array, void, void> {
    const { size, blocks } = stat;
    using file = open(procFdPath(handle.fd), O_RDONLY);
    yield* this.entry({ ...common(stat, name), type: "file", size, xattrs: xattrsOf(file.fd) });
    if (size === 0) return;
    const source = blocks * BLOCK_BYTES < size ? sparseReader(file.fd, size) : reader(file.fd);
    yield* this.#chunks.fill(size, source);
    yield* this.#chunks.add(tarPadding(size));
  }
}

function common({ mode, uid, gid, mtimeNs }: FileStat, name: string): Omit<TarEntryInit, "type"> {
  const fraction = ((mtimeNs % SECOND_NS) + SECOND_NS) % SECOND_NS;
  return { name, mode: mode & 0o7777, uid, gid, mtimeNs: mtimeNs - fraction };
}

function special({ mode, rdev }: FileStat): Pick<TarEntryInit, "type" | "devMajor" | "devMinor"> {
  switch (mode & S_IFMT) {
    case S_IFDIR:
      return { type: "directory" };
    case S_IFIFO:
      return { type: "fifo" };
    case S_IFCHR:
    case S_IFBLK:
      return { type: (mode & S_IFMT) === S_IFCHR ? "char" : "block", devMajor: major(rdev), devMinor: minor(rdev) };
    default:
      throw new DhowError("internal", `pack a file of type ${(mode & S_IFMT).toString(8)}`);
  }
}

/** Reads a file; where it has become shorter than it was, zeros. */
function reader(fd: number): (into: Buffer, done: number) => number {
  return (into, done) => {
    const count = pread(fd, into, done);
    if (count > 0) return count;
    into.fill(0);
    return into.length;
  };
}

/** The same without reading the holes. */
function sparseReader(fd: number, size: number): (into: Buffer, done: number) => number {
  const read = reader(fd);
  let [start, end] = [0, 0];
  return (into, done) => {
    if (done >= end) {
      const data = seek(fd, done, SEEK_DATA);
      start = data < 0 ? size : data;
      end = data < 0 ? size : Math.max(seek(fd, start, SEEK_HOLE), start + 1);
    }
    if (done >= start) return read(into.subarray(0, end - done), done);
    const hole = into.subarray(0, start - done);
    hole.fill(0);
    return hole.length;
  };
}

/** -1 at the end of the file, also when that has come nearer. */
function seek(fd: number, offset: number, whence: number): number {
  try {
    return lseek(fd, offset, whence);
  } catch (error) {
    if (isErrno(error, "ENXIO")) return -1;
    throw error;
  }
}

function xattrsOf(fd: number): ReadonlyMap<string, Uint8Array> {
  const xattrs = new Map<string, Uint8Array>();
  for (const name of tryListXattrs(fd)) {
    if (isOverlayXattr(name) || name === SELINUX) continue;
    const value = fgetxattr(fd, name);
    if (value !== undefined) xattrs.set(name, value);
  }
  return xattrs;
}

function tryListXattrs(fd: number): string[] {
  try {
    return flistxattr(fd);
  } catch (error) {
    if (isErrno(error, "EOPNOTSUPP")) return [];
    throw error;
  }
}

function tryReadlink(dirfd: number, raw: Uint8Array): string | undefined {
  try {
    return decodeName(readlinkat(dirfd, raw));
  } catch (error) {
    if (isErrno(error, "ENOENT", "EINVAL", "ENOTDIR")) return undefined;
    throw error;
  }
}

function tryOpen(dirfd: number, raw: Uint8Array): Fd | undefined {
  try {
    return openat(dirfd, raw, O_PATH | O_NOFOLLOW);
  } catch (error) {
    if (isErrno(error, "ENOENT", "ENOTDIR")) return undefined;
    throw error;
  }
}
