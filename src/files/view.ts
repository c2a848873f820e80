import { posix } from "node:path";
import { decodeName, encodeName } from "../lib/mod.ts";
import {
  AT_SYMLINK_NOFOLLOW,
  dup,
  errnoNumber,
  type Fd,
  type FileStat,
  fstat,
  isErrno,
  mkdirat,
  O_DIRECTORY,
  O_NOFOLLOW,
  O_PATH,
  O_RDONLY,
  type Owner,
  openat,
  openat2,
  RESOLVE_BENEATH,
  RESOLVE_NO_MAGICLINKS,
  RESOLVE_NO_SYMLINKS,
  RESOLVE_NO_XDEV,
  readDirents,
  readlinkat,
  S_IFDIR,
  S_IFLNK,
  S_IFMT,
  SysError,
  statx,
  tryStatx,
  withFsIds,
} from "../linux/mod.ts";

const STRICT = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS;
const LINKS_MAX = 40;
const OPEN_DIRECTORIES_MAX = 128;

/** Something that is mounted in a tree. */
export interface ViewMount {
  /** Absolute; its links are followed in the tree. */
  readonly destination: string;
  /** What is there, O_PATH; the view closes it. */
  readonly source: Fd;
  readonly isReadOnly: boolean;
  /** Whether mounts of the host below the source are part of it. */
  readonly isRecursive: boolean;
}

/** The ids of a view whose files are a user namespace's: they are told and taken as the namespace calls them. */
export interface ViewIds {
  /** Who makes files, on the host. */
  readonly root: Owner;
  readonly fromHost: (owner: Owner) => Owner;
  readonly toHost: (owner: Owner) => Owner;
}

export interface ViewOptions {
  readonly ids?: ViewIds | undefined;
  /** The root directory, O_PATH; the view closes it. */
  readonly root: Fd;
  readonly isReadOnly?: boolean;
  /** Outer ones first. */
  readonly mounts?: readonly ViewMount[];
}

interface Mounted {
  readonly path: string;
  readonly fd: Fd;
  readonly isDirectory: boolean;
  readonly isReadOnly: boolean;
  readonly isRecursive: boolean;
}

/** A directory of a view, open (O_PATH). */
export interface Directory {
  readonly fd: number;
  /** Absolute in the view, without links. */
  readonly path: string;
  readonly isReadOnly: boolean;
}

/** A name in an open directory; `.` is the directory itself. Valid until `trim` or `forget`. */
export interface Place {
  readonly dir: Directory;
  readonly name: string;
  readonly path: string;
}

const join = (directory: string, name: string): string => (directory === "/" ? `/${name}` : `${directory}/${name}`);

/**
 * A file tree with what is mounted in it, without a mount: the mounts are descriptors, and the view crosses from one to the other. Every
 * path is resolved as if the tree's root were `/`, by descending from one open directory to the next: links are read, not followed by
 * the kernel, and `..` goes to the directory that the path so far names. So a process that swaps directories and links in the tree
 * meanwhile can only lead to another place of the tree.
 */
export class FileView implements Disposable {
  readonly #root: Mounted;
  readonly #mounts = new Map<string, Mounted>();
  readonly #ids: ViewIds | undefined;
  readonly #open = new Map<string, { readonly fd: Fd; readonly directory: Directory }>();

  constructor({ root, isReadOnly = false, mounts = [], ids }: ViewOptions) {
    this.#ids = ids;
    this.#root = { path: "/", fd: root, isDirectory: true, isReadOnly, isRecursive: true };
    for (const mount of mounts) this.#mount(mount);
    this.forget();
  }

  [Symbol.dispose](): void {
    this.forget();
    for (const { fd } of this.#mounts.values()) fd.close();
    this.#root.fd.close();
  }

  get root(): Place {
    return { dir: this.#directory("/"), name: ".", path: "/" };
  }

  /**
   * Finds the place of `path`. Links on the way are followed; a last one with `followLast`, else the last name need not exist. With
   * `make`, directories that are missing on the way are made.
   * @throws {SysError} ENOENT, ENOTDIR, ELOOP
   */
  locate(path: string, { followLast, make = false }: { readonly followLast: boolean; readonly make?: boolean }): Place {
    const clean = posix.normalize(`/${path}`).replace(/(.)\/$/, "$1");
    const isPlain = !/(^|\/)\.\.?(\/|$)/.test(path);
    if (isPlain && !followLast && clean !== "/") {
      const parent = this.#known(posix.dirname(clean));
      if (parent) return this.child(parent, posix.basename(clean));
    }
    return this.#walk(path, followLast, make);
  }

  /** The place of a name in a directory. */
  child(dir: Directory, name: string): Place {
    return { dir, name, path: join(dir.path, name) };
  }

  /** Opens what is at a place, O_PATH, no link followed. @throws {SysError} ENOENT */
  open(place: Place): Fd {
    const mounted = this.#mountAt(place);
    return mounted ? dup(mounted.fd.fd) : this.#openIn(place.dir, place.name);
  }

  /** What is at a place itself. @throws {SysError} ENOENT */
  stat(place: Place): FileStat {
    const mounted = this.#mountAt(place);
    return mounted ? fstat(mounted.fd.fd) : statx(place.dir.fd, encodeName(place.name), AT_SYMLINK_NOFOLLOW);
  }

  /** What is at a place itself; undefined when nothing is. A place that is new to an archive is the rule: an error would cost more than the call. */
  tryStat(place: Place): FileStat | undefined {
    return this.#mountAt(place) ? this.stat(place) : tryStatx(place.dir.fd, encodeName(place.name), AT_SYMLINK_NOFOLLOW);
  }

  /** A file's owner, or what holds it besides other facts, with the ids that the view tells. */
  told<T extends Owner>(owner: T): T {
    return this.#ids ? { ...owner, ...this.#ids.fromHost(owner) } : owner;
  }

  /** What the kernel calls an owner that the view was told. */
  taken(owner: Owner): Owner {
    return this.#ids ? this.#ids.toHost(owner) : owner;
  }

  /** Does what makes a file. `work` must not await. */
  making<T>(work: () => T): T {
    return this.#ids ? withFsIds(this.#ids.root, work) : work();
  }

  /** The directory at a place. @throws {SysError} ENOENT, ENOTDIR, ELOOP for a link */
  enter(place: Place): Directory {
    if (place.name === ".") return place.dir;
    const known = this.#open.get(place.path);
    if (known) return known.directory;
    const mounted = this.#mountAt(place);
    if (mounted) return this.#directory(place.path);
    return this.#remember(place.path, this.#openIn(place.dir, place.name, O_DIRECTORY), place.dir.isReadOnly);
  }

  /** The names in a directory, sorted. */
  list(dir: Directory): string[] {
    using readable = openat(dir.fd, ".", O_RDONLY | O_DIRECTORY);
    return readDirents(readable.fd)
      .map(({ raw }) => decodeName(raw))
      .sort();
  }

  /** Whether something is mounted at `path` or below it. */
  hasMounts(path: string): boolean {
    for (const other of this.#mounts.keys()) if (other === path || other.startsWith(`${path}/`)) return true;
    return false;
  }

  /** Closes directories that piled up. No place or directory may be in use. */
  trim(): void {
    if (this.#open.size > OPEN_DIRECTORIES_MAX) this.forget();
  }

  /** Forgets the open directories, for paths may lead elsewhere now. No place or directory may be in use. */
  forget(): void {
    for (const { fd } of this.#open.values()) fd.close();
    this.#open.clear();
  }

  #mount({ destination, source, isReadOnly, isRecursive }: ViewMount): void {
    const path = this.#resolveMissing(destination);
    this.#mounts.get(path)?.fd.close();
    const isDirectory = (fstat(source.fd).mode & S_IFMT) === S_IFDIR;
    this.#mounts.set(path, { path, fd: source, isDirectory, isReadOnly, isRecursive });
    this.#open.get(path)?.fd.close();
    this.#open.delete(path);
  }

  /** The path without links, as far as there is something; the rest as it is. */
  #resolveMissing(path: string): string {
    const parts = posix.normalize(`/${path}`).split("/").filter(Boolean);
    for (let count = parts.length; count > 0; count--) {
      try {
        const place = this.#walk(`/${parts.slice(0, count).join("/")}`, true, false);
        return [place.path === "/" ? "" : place.path, ...parts.slice(count)].join("/");
      } catch (error) {
        if (!isErrno(error, "ENOENT", "ENOTDIR", "ELOOP")) throw error;
      }
    }
    return `/${parts.join("/")}`;
  }

  /** A last `.` is what it stands for; nothing is mounted over it that the directory isn't. */
  #mountAt({ name, path }: Place): Mounted | undefined {
    return name === "." ? undefined : this.#mounts.get(path);
  }

  /** The mount that the canonical `path` lies in. */
  #mountOf(path: string): Mounted {
    if (this.#mounts.size === 0) return this.#root;
    for (let end = path.length; end > 0; end = path.lastIndexOf("/", end - 1)) {
      const found = this.#mounts.get(path.slice(0, end));
      if (found) return found;
    }
    return this.#root;
  }

  #openIn(dir: Directory, name: string, flags = 0): Fd {
    const path = encodeName(name);
    if (this.#mountOf(dir.path).isRecursive) return openat(dir.fd, path, O_PATH | O_NOFOLLOW | flags);
    return openat2(dir.fd, path, { flags: O_PATH | O_NOFOLLOW | flags, resolve: RESOLVE_NO_XDEV });
  }

  /** A directory by its canonical path. @throws {SysError} ENOENT, ENOTDIR, ELOOP when it is no directory, or one of its parents isn't */
  #directory(path: string): Directory {
    const known = this.#open.get(path);
    if (known) return known.directory;
    const mount = this.#mountOf(path);
    if (!mount.isDirectory) throw new SysError("open", errnoNumber("ENOTDIR"), path);
    const rest = path.slice(mount.path.length).replace(/^\//, "");
    const resolve = mount.isRecursive ? STRICT : STRICT | RESOLVE_NO_XDEV;
    const fd = openat2(mount.fd.fd, encodeName(rest === "" ? "." : rest), { flags: O_PATH | O_DIRECTORY, resolve });
    return this.#remember(path, fd, mount.isReadOnly);
  }

  /** The directory at a path that has no links; undefined when there is none. */
  #known(path: string): Directory | undefined {
    try {
      return this.#directory(path);
    } catch (error) {
      if (isErrno(error, "ENOENT", "ENOTDIR", "ELOOP")) return undefined;
      throw error;
    }
  }

  #remember(path: string, fd: Fd, isReadOnly: boolean): Directory {
    const directory = { fd: fd.fd, path, isReadOnly };
    this.#open.get(path)?.fd.close();
    this.#open.set(path, { fd, directory });
    return directory;
  }

  #walk(path: string, followLast: boolean, make: boolean): Place {
    const split = (text: string): string[] =>
      text
        .split("/")
        .filter((part) => part !== "" && part !== ".")
        .reverse();
    const todo = split(path);
    let here = this.#directory("/");
    let links = 0;
    let own = todo.length;
    for (let name = todo.pop(); name !== undefined; name = todo.pop()) {
      // where a link leads to nothing, nothing is made
      const isOwn = todo.length < own;
      own = Math.min(own, todo.length);
      if (name === "..") {
        here = this.#directory(posix.dirname(here.path));
        continue;
      }
      const place = this.child(here, name);
      const isLast = todo.length === 0;
      if (isLast && !followLast) return place;
      const step = this.#step(place, make && isOwn && !isLast, path);
      if (typeof step === "string") {
        if (++links > LINKS_MAX) throw new SysError("lstat", errnoNumber("ELOOP"), path);
        if (step.startsWith("/")) here = this.#directory("/");
        todo.push(...split(step));
      } else if (step !== undefined) here = step;
      else if (isLast) return place;
      else throw new SysError("lstat", errnoNumber("ENOTDIR"), path);
    }
    return { dir: here, name: ".", path: here.path };
  }

  /** The directory at a place, the target of the link that is there, or undefined for anything else. */
  #step(place: Place, make: boolean, whole: string): Directory | string | undefined {
    const known = this.#open.get(place.path);
    if (known) return known.directory;
    let found: Fd;
    try {
      found = this.open(place);
    } catch (error) {
      if (!isErrno(error, "ENOENT")) throw error;
      if (!make) throw new SysError("lstat", errnoNumber("ENOENT"), whole);
      found = this.#make(place);
    }
    using file = found;
    const type = fstat(file.fd).mode & S_IFMT;
    if (type === S_IFLNK) return decodeName(readlinkat(file.fd, ""));
    if (type !== S_IFDIR) return undefined;
    const isReadOnly = this.#mountAt(place)?.isReadOnly ?? place.dir.isReadOnly;
    return this.#remember(place.path, dup(file.fd), isReadOnly);
  }

  /** Makes a directory that nobody described. Who puts a link there in this moment has it followed inside the tree. */
  #make(place: Place): Fd {
    checkWritable(place, "mkdir");
    try {
      this.making(() => mkdirat(place.dir.fd, encodeName(place.name), 0o755));
    } catch (error) {
      if (!isErrno(error, "EEXIST")) throw error;
    }
    return this.open(place);
  }
}

/** Refuses to change something in a directory that is mounted read-only. @throws {SysError} EROFS */
export function checkWritable({ dir, path }: Place, call: string): void {
  if (dir.isReadOnly) throw new SysError(call, errnoNumber("EROFS"), path);
}
