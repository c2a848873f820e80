import { DhowError, decodeName, encodeTarHeader, TAR_END, type TarEntryInit, tarPadding } from "../lib/mod.ts";
import {
  AT_FDCWD,
  type Fd,
  type FileStat,
  fgetxattr,
  flistxattr,
  fstat,
  isErrno,
  major,
  minor,
  O_NOCTTY,
  O_NONBLOCK,
  O_RDONLY,
  openat,
  procFdPath,
  read,
  readlinkat,
  S_IFBLK,
  S_IFCHR,
  S_IFDIR,
  S_IFIFO,
  S_IFLNK,
  S_IFMT,
  S_IFREG,
  S_IFSOCK,
} from "../linux/mod.ts";
import type { PayloadOptions } from "./payload.ts";
import type { Directory, FileView, Place } from "./view.ts";

const CHUNK_BYTES = 256 * 1024;
const SECOND = 1_000_000_000n;
/** What docker takes along, and what belongs to the user; the rest is the host's own. */
const KEPT_XATTRS = /^(security\.capability$|user\.(?!overlay\.))/;

export interface PackOptions extends PayloadOptions {
  /** Told about a file that could not be read, which is then missing in the archive, or got shorter while it was, which then ends in zeros. */
  readonly onFault: (path: string, error: unknown) => void;
}

interface Frame {
  readonly dir: Directory;
  readonly owned: Fd;
  readonly names: readonly string[];
  /** What the directory is called in the archive, with its slash. */
  readonly prefix: string;
  next: number;
}

/** Collects pieces of an archive to chunks. */
class Chunks {
  readonly full: Uint8Array[] = [];
  #chunk: Buffer = Buffer.allocUnsafeSlow(CHUNK_BYTES);
  #used = 0;

  add(bytes: Uint8Array): void {
    for (let at = 0; at < bytes.length; ) {
      const room = this.room;
      const count = Math.min(room.length, bytes.length - at);
      room.set(bytes.subarray(at, at + count));
      this.fill(count);
      at += count;
    }
  }

  /** Where the next bytes go; never empty. */
  get room(): Buffer {
    return this.#chunk.subarray(this.#used);
  }

  /** The first `count` bytes of the room have been written. */
  fill(count: number): void {
    this.#used += count;
    if (this.#used < this.#chunk.length) return;
    this.full.push(this.#chunk);
    this.#chunk = Buffer.allocUnsafeSlow(CHUNK_BYTES);
    this.#used = 0;
  }

  get rest(): Uint8Array {
    return this.#chunk.subarray(0, this.#used);
  }
}

/**
 * The tar archive of what is at a place, under `name` in the archive: directories with all that is in them, sorted; times to the second,
 * further hard links as links, sockets left out, as docker makes it. A file that vanishes meanwhile is left out. What a name stands for is
 * opened once and looked at through that descriptor: nobody can put a device or a link in its place.
 * @throws {SysError} when the place itself can't be read
 */
export async function* pack(view: FileView, at: Place, name: string, options: PackOptions): AsyncGenerator<Uint8Array, void, void> {
  const chunks = new Chunks();
  const packer = new Packer(view, chunks, options);
  try {
    let pending = packer.add(at, name, true);
    for (;;) {
      if (pending !== undefined) {
        for (;;) {
          const isDone = pending();
          while (chunks.full.length > 0) yield chunks.full.shift() ?? TAR_END;
          options.signal.throwIfAborted();
          await options.breathe();
          if (isDone) break;
        }
      }
      while (chunks.full.length > 0) yield chunks.full.shift() ?? TAR_END;
      options.signal.throwIfAborted();
      await options.breathe();
      const next = packer.next();
      if (next === undefined) break;
      pending = packer.add(next.place, next.name, false);
    }
    chunks.add(TAR_END);
    while (chunks.full.length > 0) yield chunks.full.shift() ?? TAR_END;
    if (chunks.rest.length > 0) yield chunks.rest;
  } finally {
    packer.close();
  }
}

/** Reads more of a file; whether that was the last. */
type Reading = () => boolean;

class Packer {
  readonly #view: FileView;
  readonly #chunks: Chunks;
  readonly #options: PackOptions;
  readonly #frames: Frame[] = [];
  /** Names in the archive of files with more than one, by device and inode. */
  readonly #links = new Map<string, string>();
  #file: Fd | undefined;

  constructor(view: FileView, chunks: Chunks, options: PackOptions) {
    this.#view = view;
    this.#chunks = chunks;
    this.#options = options;
  }

  close(): void {
    this.#file?.close();
    for (const { owned } of this.#frames.splice(0)) owned.close();
  }

  /** The next entry, depth first. */
  next(): { readonly place: Place; readonly name: string } | undefined {
    for (;;) {
      const frame = this.#frames.at(-1);
      if (frame === undefined) return undefined;
      const name = frame.names[frame.next++];
      if (name !== undefined) return { place: this.#view.child(frame.dir, name), name: frame.prefix + name };
      this.#frames.pop()?.owned.close();
    }
  }

  /** Adds an entry; returns how to read on when it is a file with more content than fits. */
  add(place: Place, name: string, isFirst: boolean): Reading | undefined {
    try {
      using file = this.#view.open(place);
      return this.#add(file, place, name);
    } catch (error) {
      if (isFirst) throw error;
      if (!isErrno(error, "ENOENT")) this.#options.onFault(place.path, error);
      return undefined;
    }
  }

  #add(file: Fd, place: Place, name: string): Reading | undefined {
    const stat = fstat(file.fd);
    const type = stat.mode & S_IFMT;
    if (type === S_IFSOCK) return undefined;
    const key = stat.nlink > 1 && type !== S_IFDIR ? `${stat.dev}:${stat.ino}` : undefined;
    const first = key === undefined ? undefined : this.#links.get(key);
    if (first !== undefined) {
      this.#chunks.add(encodeTarHeader({ ...common(stat, name), type: "link", linkName: first }));
      return undefined;
    }
    // opened before its header goes out: what can't be read is left out as a whole
    const content = type === S_IFREG && stat.size > 0 ? reopen(file) : undefined;
    try {
      const frame = type === S_IFDIR ? this.#frame(file, place, name) : undefined;
      this.#chunks.add(encodeTarHeader(entryOf(file, stat, name)));
      if (frame) this.#frames.push(frame);
      if (key !== undefined) this.#links.set(key, name);
    } catch (error) {
      content?.close();
      throw error;
    }
    if (content === undefined) return undefined;
    this.#file = content;
    const reading = this.#reading(content, stat.size, place.path);
    // most files are read at once
    return reading() ? undefined : reading;
  }

  #frame(file: Fd, place: Place, name: string): Frame {
    // a directory of its own: the view may close what it has open
    const isReadOnly = place.dir.isReadOnly;
    const owned = openat(file.fd, ".", O_RDONLY);
    const dir = { fd: owned.fd, path: place.path, isReadOnly };
    try {
      return { dir, owned, names: this.#view.list(dir), prefix: name.endsWith("/") ? name : `${name}/`, next: 0 };
    } catch (error) {
      owned.close();
      throw error;
    }
  }

  #reading(file: Fd, size: number, path: string): Reading {
    let left = size;
    return () => {
      while (left > 0 && this.#chunks.full.length === 0) {
        const count = this.#read(file, left, path);
        this.#chunks.fill(count);
        left -= count;
      }
      if (left > 0) return false;
      file.close();
      this.#file = undefined;
      this.#chunks.add(tarPadding(size));
      return true;
    };
  }

  #read(file: Fd, left: number, path: string): number {
    const room = this.#chunks.room;
    const into = left < room.length ? room.subarray(0, left) : room;
    try {
      const count = read(file.fd, into);
      if (count > 0) return count;
      this.#options.onFault(path, new DhowError("conflict", "the file became shorter while it was read"));
    } catch (error) {
      this.#options.onFault(path, error);
    }
    into.fill(0);
    return into.length;
  }
}

/** Opens for reading what an O_PATH descriptor stands for; a regular file, so nothing happens by it. */
function reopen(file: Fd): Fd {
  return openat(AT_FDCWD, procFdPath(file.fd), O_RDONLY | O_NONBLOCK | O_NOCTTY);
}

function common(stat: FileStat, name: string): Pick<TarEntryInit, "name" | "mode" | "uid" | "gid" | "mtimeNs"> {
  return { name, mode: stat.mode & 0o7777, uid: stat.uid, gid: stat.gid, mtimeNs: (stat.mtimeNs / SECOND) * SECOND };
}

function entryOf(file: Fd, stat: FileStat, name: string): TarEntryInit {
  const base = common(stat, name);
  switch (stat.mode & S_IFMT) {
    case S_IFDIR:
      return { ...base, type: "directory", ...xattrsOf(file) };
    case S_IFLNK:
      return { ...base, type: "symlink", mode: 0o777, linkName: decodeName(readlinkat(file.fd, "")) };
    case S_IFCHR:
      return { ...base, type: "char", devMajor: major(stat.rdev), devMinor: minor(stat.rdev) };
    case S_IFBLK:
      return { ...base, type: "block", devMajor: major(stat.rdev), devMinor: minor(stat.rdev) };
    case S_IFIFO:
      return { ...base, type: "fifo" };
    default:
      return { ...base, type: "file", size: stat.size, ...xattrsOf(file) };
  }
}

function xattrsOf(file: Fd): { readonly xattrs?: ReadonlyMap<string, Uint8Array> } {
  const names = listXattrs(file).filter((name) => KEPT_XATTRS.test(name));
  if (names.length === 0) return {};
  const xattrs = new Map<string, Uint8Array>();
  for (const name of names) {
    const value = fgetxattr(file.fd, name);
    if (value) xattrs.set(name, value);
  }
  return { xattrs };
}

function listXattrs(file: Fd): string[] {
  try {
    return flistxattr(file.fd);
  } catch (error) {
    if (isErrno(error, "EOPNOTSUPP")) return [];
    throw error;
  }
}
