import { mkdirSync } from "node:fs";
import { type Attributes, attributesOf, ContentCopier, type PayloadOptions, removeTree, setXattrs } from "../files/mod.ts";
import { DhowError, decodeName, encodeName } from "../lib/mod.ts";
import {
  AT_EMPTY_PATH,
  AT_FDCWD,
  AT_SYMLINK_NOFOLLOW,
  type Fd,
  fchmod,
  fchmodat,
  fchown,
  fchownat,
  fsetxattr,
  isErrno,
  linkat,
  lsetxattr,
  mkdirat,
  mknodat,
  O_CREAT,
  O_DIRECTORY,
  O_EXCL,
  O_NOFOLLOW,
  O_PATH,
  O_RDONLY,
  O_WRONLY,
  open,
  openat,
  procFdPath,
  readDirents,
  renameat,
  S_IFCHR,
  S_IFDIR,
  S_IFLNK,
  S_IFMT,
  S_IFREG,
  SysError,
  statx,
  symlinkat,
  tryStatx,
  unlinkat,
  utimensat,
} from "../linux/mod.ts";
import { impliedAttributes, isWhiteout } from "./attributes.ts";
import { Directories, type Place, placeIn } from "./directories.ts";
import { ParentTree } from "./parent-tree.ts";
import { PathSet } from "./path-set.ts";

const OPAQUE = "trusted.overlay.opaque";
const ENOTDIR = 20;

export interface TreeOptions {
  readonly root: string;
  /** See `LayerDraft.whiteouts`. */
  readonly whiteouts: "overlay" | "remove";
  /** Where displaced files with content go; made when needed. */
  readonly stash: string;
  /** The parent's merged tree, null when there is none. */
  readonly lower: () => string | null;
  /** Told when what was at `path` has gone to stash/`number`. */
  readonly onMoved: (path: string, number: number) => void;
}

/**
 * The writing side of a layer's tree. Nothing that already exists is ever written to, and every path is resolved inside of the root
 * (`Directories`). Directories that an archive takes for granted are made like the parent layer's.
 */
export class Tree implements Disposable {
  readonly #options: TreeOptions;
  readonly #directories: Directories;
  readonly #parent: ParentTree;
  readonly #attributes = new Map<string, Attributes>();
  readonly #opaque = new Set<string>();
  /** Only where the tree starts as a copy of the parent's: what this layer itself has put there. */
  readonly #own: PathSet | undefined;
  readonly #umask = process.umask();
  #stash: Fd | undefined;
  #stashed = 0;

  constructor(options: TreeOptions) {
    this.#options = options;
    this.#directories = new Directories(options.root, (at, isHidden) => this.#makeImplied(at, isHidden));
    this.#parent = new ParentTree(options.lower);
    this.#own = options.whiteouts === "remove" ? new PathSet() : undefined;
  }

  [Symbol.dispose](): void {
    this.#directories[Symbol.dispose]();
    this.#stash?.close();
    this.#parent[Symbol.dispose]();
  }

  /**
   * Finds the place for an archive's `path` (cleaned: relative, no `.` or `..`); directories on the way are made.
   * @throws {SysError} ELOOP for a loop of links, ENOTDIR for a file on the way
   */
  locate(path: string): Place {
    this.#directories.settle();
    return this.#directories.locate(path);
  }

  /** Makes a regular file in the place of whatever was there and opens it for writing. */
  createFile(at: Place, mode: number): Fd {
    const bits = mode & 0o777;
    const fd = this.#replacing(at, () => openat(at.dir.fd, encodeName(at.name), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, bits));
    this.#own?.add(at.path);
    return fd;
  }

  /** Gives an open new file its attributes; the last thing done to it. */
  finishFile(fd: number, attributes: Attributes): void {
    const { uid, gid, mode } = attributes;
    const isOwned = uid !== 0 || gid !== 0;
    if (isOwned) fchown(fd, uid, gid);
    // chown clears setuid and setgid, the umask has cleared bits at creation
    if ((mode & 0o7000) !== 0 || (mode & this.#umask) !== 0) fchmod(fd, mode);
    if (attributes.xattrs) setXattrs(attributes.xattrs, (name, value) => fsetxattr(fd, name, value));
    utimensat(fd, "", attributes, AT_EMPTY_PATH);
  }

  /** Makes a directory, or gives the one that is there other attributes; the root's place is "". */
  makeDirectory(at: Place, attributes: Attributes): void {
    if (at.path !== "") this.#mkdir(at);
    this.#attributes.set(at.path, attributes);
  }

  /** Makes a symbolic link in the place of whatever was there. */
  makeSymlink(at: Place, target: string, attributes: Attributes): void {
    const [to, name] = [encodeName(target), encodeName(at.name)];
    this.#replacing(at, () => symlinkat(to, at.dir.fd, name));
    this.#own?.add(at.path);
    this.#finishNode(at, attributes, false);
  }

  /** Makes a device or FIFO in the place of whatever was there; `type` is one of S_IF*. */
  makeNode(at: Place, type: number, device: number, attributes: Attributes): void {
    this.#replacing(at, () => mknodat(at.dir.fd, encodeName(at.name), type | (attributes.mode & 0o777), device));
    this.#own?.add(at.path);
    this.#finishNode(at, attributes, true);
  }

  /** Makes a hard link to the file at the archive's path `target`. @throws {SysError} ENOENT @throws invalid when it names itself */
  async makeHardLink(at: Place, target: string, options: PayloadOptions): Promise<void> {
    const from = await this.#linkTarget(target, options);
    if (from.path === at.path) throw new DhowError("invalid", "a hard link to itself");
    this.#replacing(at, () => linkat({ dirfd: from.dir.fd, path: encodeName(from.name) }, { dirfd: at.dir.fd, path: encodeName(at.name) }));
    this.#own?.add(at.path);
  }

  /** Hides what the layers below have at a place; what this layer itself has put there stays. */
  whiteout(at: Place): void {
    if (this.#own) {
      this.#removeForeign(at);
      return;
    }
    const name = encodeName(at.name);
    const found = tryStatx(at.dir.fd, name, AT_SYMLINK_NOFOLLOW);
    if (found === undefined) mknodat(at.dir.fd, name, S_IFCHR, 0);
    else if ((found.mode & S_IFMT) === S_IFDIR) this.#opaque.add(at.path);
  }

  /** Hides what the layers below have in the directory at `path` ("" is the root). */
  makeOpaque(path: string): void {
    const dir = path === "" ? this.#directories.root : this.#directories.find(path);
    if (!this.#own) {
      this.#opaque.add(dir.path);
      return;
    }
    using list = openat(dir.fd, ".", O_RDONLY | O_DIRECTORY);
    for (const { raw } of readDirents(list.fd)) this.#removeForeign(placeIn(dir, decodeName(raw)));
  }

  /** Gives the directories their attributes: writing into them would have changed their times. `breathe` is awaited now and then. */
  async finish(breathe: () => Promise<void> | undefined): Promise<void> {
    // overlayfs does not look for the opaque mark at the root: each of the parent's names there is hidden by itself
    if (this.#opaque.delete("")) for (const name of this.#parent.names()) this.whiteout(placeIn(this.#directories.root, name));
    for (const path of this.#opaque)
      if (!this.#attributes.has(path)) this.#withDirectory(path, (fd) => fsetxattr(fd, OPAQUE, Buffer.from("y")));
    for (const [path, attributes] of this.#attributes) {
      this.#withDirectory(path, (fd) => {
        fchown(fd, attributes.uid, attributes.gid);
        fchmod(fd, attributes.mode);
        if (this.#opaque.has(path)) fsetxattr(fd, OPAQUE, Buffer.from("y"));
        if (attributes.xattrs) setXattrs(attributes.xattrs, (name, value) => fsetxattr(fd, name, value));
        utimensat(fd, "", attributes, AT_EMPTY_PATH);
      });
      await breathe();
    }
  }

  /** Runs `work` on a directory that was made here, unless something else has taken its place since. */
  #withDirectory(path: string, work: (fd: number) => void): void {
    using directory = this.#directories.tryOpen(path);
    if (directory !== undefined) work(directory.fd);
  }

  /** Makes a directory that the archive takes for granted; returns the target of the link that the parent has there. */
  #makeImplied(at: Place, isHidden: boolean): string | undefined {
    const below = isHidden || this.#isHidden(at.path) ? undefined : this.#parent.look(at.path);
    if (typeof below === "string") return below;
    this.#mkdir(at);
    this.#attributes.set(at.path, below ?? impliedAttributes());
    return undefined;
  }

  #mkdir(at: Place): void {
    const name = encodeName(at.name);
    try {
      mkdirat(at.dir.fd, name, 0o700);
    } catch (error) {
      if (!isErrno(error, "EEXIST")) throw error;
      const found = statx(at.dir.fd, name, AT_SYMLINK_NOFOLLOW);
      if ((found.mode & S_IFMT) === S_IFDIR) {
        this.#own?.add(at.path);
        return;
      }
      // a directory after a whiteout of the same name: the layers below must not show through
      const isHiding = this.#own === undefined && isWhiteout(found);
      this.#displace(at);
      mkdirat(at.dir.fd, name, 0o700);
      if (isHiding) this.#opaque.add(at.path);
    }
    this.#own?.add(at.path);
  }

  /** Whether this layer hides what the layers below have at `path`. */
  #isHidden(path: string): boolean {
    if (this.#opaque.size === 0) return false;
    if (this.#opaque.has("")) return true;
    for (let end = path.length; end > 0; end = path.lastIndexOf("/", end - 1)) if (this.#opaque.has(path.slice(0, end))) return true;
    return false;
  }

  /** Where a hard link's target is; a file that only the parent has is copied up first, as writing to it would do. */
  async #linkTarget(target: string, options: PayloadOptions): Promise<Place> {
    const at = this.#directories.locate(target);
    if (this.#own || tryStatx(at.dir.fd, encodeName(at.name), AT_SYMLINK_NOFOLLOW) || this.#isHidden(at.path)) return at;
    const found = this.#parent.openFile(at.path);
    // linkat says what is wrong with the target
    if (found === undefined) return at;
    using from = found.file;
    using to = openat(at.dir.fd, encodeName(at.name), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, found.stat.mode & 0o777);
    const breathe = (): Promise<void> | undefined => {
      options.signal.throwIfAborted();
      return options.breathe();
    };
    await new ContentCopier({ breathe }).copy(from.fd, to.fd, found.stat);
    this.finishFile(to.fd, attributesOf(found.stat, from.fd));
    return at;
  }

  #finishNode(at: Place, attributes: Attributes, hasMode: boolean): void {
    const { uid, gid, mode } = attributes;
    const name = encodeName(at.name);
    if (uid !== 0 || gid !== 0) fchownat(at.dir.fd, name, { uid, gid }, AT_SYMLINK_NOFOLLOW);
    if (hasMode && ((mode & 0o7000) !== 0 || (mode & this.#umask) !== 0)) {
      using node = openat(at.dir.fd, name, O_PATH | O_NOFOLLOW);
      fchmodat(AT_FDCWD, procFdPath(node.fd), mode);
    }
    if (attributes.xattrs) {
      const path = encodeName(`${procFdPath(at.dir.fd)}/${at.name}`);
      setXattrs(attributes.xattrs, (key, value) => lsetxattr(path, key, value));
    }
    utimensat(at.dir.fd, name, attributes, AT_SYMLINK_NOFOLLOW);
  }

  /** Runs `make`; when something is in its place, takes that away and runs it again. */
  #replacing<T>(at: Place, make: () => T): T {
    if (at.name === "") throw new SysError("open", ENOTDIR, "/");
    try {
      return make();
    } catch (error) {
      if (!isErrno(error, "EEXIST")) throw error;
    }
    this.#displace(at);
    return make();
  }

  /** Takes away what is at a place. Content that the recipe refers to goes to the stash. */
  #displace(at: Place): void {
    const name = encodeName(at.name);
    const found = statx(at.dir.fd, name, AT_SYMLINK_NOFOLLOW);
    const type = found.mode & S_IFMT;
    this.#attributes.delete(at.path);
    this.#opaque.delete(at.path);
    this.#directories.forget(at.path, type === S_IFLNK);
    if (type === S_IFDIR) {
      if (this.#own && !this.#own.hasWithin(at.path)) removeTree(at.dir.fd, name);
      else this.#stow(at);
      return;
    }
    const hasContent = type === S_IFREG && found.size > 0 && (this.#own === undefined || this.#own.has(at.path));
    if (hasContent) this.#stow(at);
    else unlinkat(at.dir.fd, name);
    this.#own?.deleteWithin(at.path);
  }

  #stow(at: Place): void {
    if (this.#stash === undefined) {
      mkdirSync(this.#options.stash, { mode: 0o700 });
      this.#stash = open(this.#options.stash, O_RDONLY | O_DIRECTORY);
    }
    const number = this.#stashed++;
    renameat({ dirfd: at.dir.fd, path: encodeName(at.name) }, { dirfd: this.#stash.fd, path: String(number) });
    this.#own?.deleteWithin(at.path);
    this.#options.onMoved(at.path, number);
  }

  /** Removes what the parent's copy has at a place, and keeps what this layer has put there. */
  #removeForeign(at: Place): void {
    const name = encodeName(at.name);
    const found = tryStatx(at.dir.fd, name, AT_SYMLINK_NOFOLLOW);
    if (found === undefined) return;
    const type = found.mode & S_IFMT;
    if (type !== S_IFDIR && this.#own?.has(at.path)) return;
    if (type === S_IFDIR && this.#own?.hasWithin(at.path)) {
      using inner = openat(at.dir.fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
      const dir = { fd: inner.fd, path: at.path };
      for (const { raw } of readDirents(inner.fd)) this.#removeForeign(placeIn(dir, decodeName(raw)));
      return;
    }
    this.#directories.forget(at.path, type === S_IFLNK);
    if (type === S_IFDIR) removeTree(at.dir.fd, name);
    else unlinkat(at.dir.fd, name);
  }
}
