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
    using file = this.#open(path, O_PATH);
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
    const file = this.#open(path, O_RDONLY);
    if (file === undefined) return undefined;
    const stat = fstat(file.fd);
    if ((stat.mode & S_IFMT) === S_IFREG) return { file, stat };
    file.close();
    return undefined;
  }

  /** The names in the tree's root. */
  names(): string[] {
    const root = this.#openRoot();
    if (root === null) return [];
    using list = openat(root.fd, ".", O_RDONLY | O_DIRECTORY);
    return readDirents(list.fd).map(({ raw }) => decodeName(raw));
  }

  #open(path: string, flags: number): Fd | undefined {
    const root = this.#openRoot();
    if (root === null) return undefined;
    try {
      const resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS;
      return openat2(root.fd, encodeName(path), { flags: flags | O_NOFOLLOW, resolve });
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
