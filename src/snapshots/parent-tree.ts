import { type Attributes, attributesOf } from "../files/mod.ts";
import { decodeName, encodeName } from "../lib/mod.ts";
import {
  type Fd,
  type FileStat,
  fstat,
  isErrno,
  O_DIRECTORY,
  O_NOFOLLOW,
  O_PATH,
  O_RDONLY,
  open,
  openat,
  openat2,
  procFdPath,
  RESOLVE_BENEATH,
  RESOLVE_NO_MAGICLINKS,
  RESOLVE_NO_SYMLINKS,
  readDirents,
  readlinkat,
  S_IFDIR,
  S_IFLNK,
  S_IFMT,
  S_IFREG,
  SysError,
} from "../linux/mod.ts";
import { isWhiteout } from "./attributes.ts";

const ENOTDIR = 20;

/** The merged tree of a layer's parent, where a layer finds what its archive takes for granted. Opened at the first question. */
export class ParentTree implements Disposable {
  readonly #path: () => string | null;
  #root: Fd | null | undefined;

  /** @param path the tree's root, null when the layer has no parent; called once */
  constructor(path: () => string | null) {
    this.#path = path;
  }

  [Symbol.dispose](): void {
    this.#root?.close();
  }

  /** What is at a path without links: a directory's attributes, a link's target, or nothing. @throws {SysError} ENOTDIR for something else */
  look(path: string): Attributes | string | undefined {
    using file = this.#find(path);
    if (file === undefined) return undefined;
    const stat = fstat(file.fd);
    const type = stat.mode & S_IFMT;
    if (type === S_IFLNK) return decodeName(readlinkat(file.fd, ""));
    if (type === S_IFDIR) return attributesOf(stat, file.fd);
    if (isWhiteout(stat)) return undefined;
    throw new SysError("open", ENOTDIR, path);
  }

  /** Opens the regular file at a path without links, to be read; undefined when there is none. */
  openFile(path: string): { readonly file: Fd; readonly stat: FileStat } | undefined {
    using found = this.#find(path);
    if (found === undefined) return undefined;
    const stat = fstat(found.fd);
    // opening a FIFO waits for its writer, opening a device may set it going
    return (stat.mode & S_IFMT) === S_IFREG ? { file: open(procFdPath(found.fd), O_RDONLY), stat } : undefined;
  }

  /** The names in the tree's root. */
  names(): string[] {
    const root = this.#openRoot();
    if (root === null) return [];
    using list = openat(root.fd, ".", O_RDONLY | O_DIRECTORY);
    return readDirents(list.fd).map(({ raw }) => decodeName(raw));
  }

  /** An O_PATH descriptor of what is at a path. */
  #find(path: string): Fd | undefined {
    const root = this.#openRoot();
    if (root === null) return undefined;
    try {
      const resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS;
      return openat2(root.fd, encodeName(path), { flags: O_PATH | O_NOFOLLOW, resolve });
    } catch (error) {
      if (isErrno(error, "ENOENT", "ENOTDIR", "ELOOP")) return undefined;
      throw error;
    }
  }

  #openRoot(): Fd | null {
    if (this.#root === undefined) {
      const path = this.#path();
      this.#root = path === null ? null : open(path, O_PATH | O_DIRECTORY);
    }
    return this.#root;
  }
}
