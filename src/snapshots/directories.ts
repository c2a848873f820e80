import { decodeName, encodeName } from "../lib/mod.ts";
import {
  AT_SYMLINK_NOFOLLOW,
  type Fd,
  isErrno,
  O_DIRECTORY,
  O_NOFOLLOW,
  O_RDONLY,
  open,
  openat,
  openat2,
  RESOLVE_BENEATH,
  RESOLVE_NO_MAGICLINKS,
  RESOLVE_NO_SYMLINKS,
  readlinkat,
  S_IFDIR,
  S_IFLNK,
  S_IFMT,
  SysError,
  tryStatx,
} from "../linux/mod.ts";
import { isWhiteout } from "./attributes.ts";

const STRICT = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS;
const LINKS_MAX = 40;
const OPEN_MAX = 128;
const ELOOP = 40;
const ENOTDIR = 20;

/** A directory inside the tree, open. Its path has no links in it. */
export interface Directory {
  readonly fd: number;
  readonly path: string;
}

/** A place in the tree: a name in an open directory. Valid until the next `settle`. */
export interface Place {
  readonly dir: Directory;
  readonly name: string;
  /** The place's path below the root, without links. */
  readonly path: string;
}

/** The place of a name in a directory. */
export function placeIn(dir: Directory, name: string): Place {
  return { dir, name, path: dir.path === "" ? name : `${dir.path}/${name}` };
}

/**
 * The directories of a tree that is being written, found by an archive's paths (cleaned: relative, no `.` or `..`) and kept open.
 * A path is resolved by descending from the root, and links inside the tree are followed as if the root were `/`: whatever an
 * archive says, nothing outside of the root is reached.
 */
export class Directories implements Disposable {
  readonly root: Directory;
  readonly #rootFd: Fd;
  readonly #missing: (at: Place, isHidden: boolean) => string | undefined;
  readonly #open = new Map<string, { readonly fd: Fd; readonly directory: Directory }>();
  /** No longer found, but a place may have them until the next `settle`. */
  readonly #retired: Fd[] = [];

  /**
   * @param missing makes the directory that a path needs at a place where there is nothing, or a whiteout (`isHidden`); or says what
   * link is to be followed there
   */
  constructor(root: string, missing: (at: Place, isHidden: boolean) => string | undefined) {
    this.#rootFd = open(root, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
    this.root = { fd: this.#rootFd.fd, path: "" };
    this.#missing = missing;
  }

  [Symbol.dispose](): void {
    this.#closeRetired();
    this.#closeOpen();
    this.#rootFd.close();
  }

  /** Closes what is no longer needed: places found before are no longer valid. */
  settle(): void {
    this.#closeRetired();
    if (this.#open.size > OPEN_MAX) this.#closeOpen();
  }

  /**
   * Finds the place for an archive's path; directories on the way are made.
   * @throws {SysError} ELOOP for a loop of links, ENOTDIR for a file on the way
   */
  locate(path: string): Place {
    const slash = path.lastIndexOf("/");
    return placeIn(slash < 0 ? this.root : this.find(path.slice(0, slash)), path.slice(slash + 1));
  }

  /** The directory at an archive's path; it and those on the way are made. @throws {SysError} as `locate` */
  find(path: string): Directory {
    const known = this.#open.get(path);
    if (known) return known.directory;
    const found = this.tryOpen(path);
    if (found !== undefined) return this.#remember(path, path, found);
    const walked = this.#walk(path);
    // several archive paths may lead to one directory
    if (walked.path === path || walked.path === "") return walked;
    return this.#remember(path, walked.path, openat(walked.fd, ".", O_RDONLY | O_DIRECTORY));
  }

  /** Opens the directory at a path without links; undefined when something else is there, or nothing. */
  tryOpen(path: string): Fd | undefined {
    try {
      return openat2(this.root.fd, encodeName(path === "" ? "." : path), { flags: O_RDONLY | O_DIRECTORY, resolve: STRICT });
    } catch (error) {
      if (isErrno(error, "ENOENT", "ENOTDIR", "ELOOP")) return undefined;
      throw error;
    }
  }

  /** Looks anew for what is at or below `path`, which is about to change; after a link also for what was reached through one. */
  forget(path: string, isLink: boolean): void {
    const isInside = (other: string): boolean => other === path || other.startsWith(`${path}/`);
    for (const [key, { fd, directory }] of this.#open) {
      if (!isInside(key) && !isInside(directory.path) && !(isLink && key !== directory.path)) continue;
      this.#open.delete(key);
      this.#retired.push(fd);
    }
  }

  /** Descends one name at a time, follows links inside the tree, has made what is missing. */
  #walk(path: string): Directory {
    const todo = path.split("/").reverse();
    let here = this.root;
    let links = 0;
    for (let name = todo.pop(); name !== undefined; name = todo.pop()) {
      if (name === "" || name === ".") continue;
      if (name === "..") {
        const slash = here.path.lastIndexOf("/");
        here = slash < 0 ? this.root : this.find(here.path.slice(0, slash));
        continue;
      }
      const step = this.#step(placeIn(here, name));
      if (typeof step !== "string") {
        here = step;
        continue;
      }
      if (++links > LINKS_MAX) throw new SysError("open", ELOOP, path);
      if (step.startsWith("/")) here = this.root;
      todo.push(...step.split("/").reverse());
    }
    return here;
  }

  /** The directory at a place, or the target of the link that is there. */
  #step(at: Place): Directory | string {
    const name = encodeName(at.name);
    const found = tryStatx(at.dir.fd, name, AT_SYMLINK_NOFOLLOW);
    const type = found === undefined ? undefined : found.mode & S_IFMT;
    if (type === S_IFLNK) return decodeName(readlinkat(at.dir.fd, name));
    if (type !== S_IFDIR) {
      if (found !== undefined && !isWhiteout(found)) throw new SysError("open", ENOTDIR, at.path);
      const target = this.#missing(at, found !== undefined);
      if (target !== undefined) return target;
    }
    const known = this.#open.get(at.path);
    if (known) return known.directory;
    return this.#remember(at.path, at.path, openat(at.dir.fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
  }

  #remember(key: string, path: string, fd: Fd): Directory {
    const directory = { fd: fd.fd, path };
    const old = this.#open.get(key);
    if (old) this.#retired.push(old.fd);
    this.#open.set(key, { fd, directory });
    return directory;
  }

  #closeRetired(): void {
    for (const fd of this.#retired.splice(0)) fd.close();
  }

  #closeOpen(): void {
    for (const { fd } of this.#open.values()) fd.close();
    this.#open.clear();
  }
}
