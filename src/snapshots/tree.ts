import { mkdirSync } from "node:fs";
import { type Attributes, attributesOf, copyRest, removeTree, setXattrs } from "../files/mod.ts";
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
  fstat,
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
  openat2,
  procFdPath,
  RESOLVE_BENEATH,
  RESOLVE_NO_MAGICLINKS,
  RESOLVE_NO_SYMLINKS,
  readDirents,
  readlinkat,
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

const STRICT = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS;
const LINKS_MAX = 40;
const OPEN_DIRECTORIES_MAX = 128;
const OPAQUE = "trusted.overlay.opaque";
const ELOOP = 40;
const ENOTDIR = 20;

/** A directory inside the tree, open. Its path has no links in it. */
interface Directory {
  readonly fd: number;
  readonly path: string;
}

/** A place in the tree: a name in an open directory. Valid until the next `locate`. */
export interface Place {
  readonly dir: Directory;
  readonly name: string;
  /** The place's path below the root, without links. */
  readonly path: string;
}

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
 * The writing side of a layer's tree. Every path is resolved by descending from the root with open directories, links inside
 * the tree are followed as if the root were `/`, and nothing that already exists is ever written to: whatever an archive
 * says, nothing outside of the root is reached. Directories that an archive takes for granted are made like the parent
 * layer's.
 */
export class Tree implements Disposable {
  readonly #options: TreeOptions;
  readonly #root: Directory;
  readonly #open = new Map<string, { readonly fd: Fd; readonly directory: Directory }>();
  readonly #attributes = new Map<string, Attributes>();
  readonly #opaque = new Set<string>();
  /** Only where the tree starts as a copy of the parent's: what this layer itself has put there. */
  readonly #own: Set<string> | undefined;
  readonly #umask = process.umask();
  readonly #rootFd: Fd;
  readonly #retired: Fd[] = [];
  #lower: Fd | null | undefined;
  #stash: Fd | undefined;
  #stashed = 0;

  constructor(options: TreeOptions) {
    this.#options = options;
    this.#rootFd = open(options.root, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
    this.#root = { fd: this.#rootFd.fd, path: "" };
    this.#own = options.whiteouts === "remove" ? new Set() : undefined;
  }

  [Symbol.dispose](): void {
    for (const fd of this.#retired) fd.close();
    this.#closeDirectories();
    this.#stash?.close();
    this.#lower?.close();
    this.#rootFd.close();
  }

  /**
   * Finds the place for an archive's `path` (cleaned: relative, no `.` or `..`); directories on the way are made.
   * @throws {SysError} ELOOP for a loop of links, ENOTDIR for a file on the way
   */
  locate(path: string): Place {
    for (const fd of this.#retired.splice(0)) fd.close();
    if (this.#open.size > OPEN_DIRECTORIES_MAX) this.#closeDirectories();
    const slash = path.lastIndexOf("/");
    const dir = slash < 0 ? this.#root : this.#directory(path.slice(0, slash));
    const name = path.slice(slash + 1);
    return { dir, name, path: dir.path === "" ? name : `${dir.path}/${name}` };
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
  makeHardLink(at: Place, target: string): void {
    const from = this.#linkTarget(target);
    if (from.path === at.path) throw new DhowError("invalid", "a hard link to itself");
    this.#replacing(at, () => linkat({ dirfd: from.dir.fd, path: encodeName(from.name) }, { dirfd: at.dir.fd, path: encodeName(at.name) }));
    this.#own?.add(at.path);
  }

  /** Hides what the layers below have at a place; what this layer itself has put there stays. */
  whiteout(at: Place): void {
    if (this.#own) {
      this.#removeForeign(at.dir.fd, at.name, at.path);
      return;
    }
    const name = encodeName(at.name);
    const found = tryStatx(at.dir.fd, name, AT_SYMLINK_NOFOLLOW);
    if (found === undefined) mknodat(at.dir.fd, name, S_IFCHR, 0);
    else if ((found.mode & S_IFMT) === S_IFDIR) this.#opaque.add(at.path);
  }

  /** Hides what the layers below have in the directory at `path` ("" is the root). */
  makeOpaque(path: string): void {
    const dir = path === "" ? this.#root : this.#directory(path);
    if (!this.#own) {
      this.#opaque.add(dir.path);
      return;
    }
    using list = openat(dir.fd, ".", O_RDONLY | O_DIRECTORY);
    for (const { raw } of readDirents(list.fd)) {
      const name = decodeName(raw);
      this.#removeForeign(dir.fd, name, dir.path === "" ? name : `${dir.path}/${name}`);
    }
  }

  /** Gives the directories their attributes: writing into them would have changed their times. `breathe` is awaited now and then. */
  async finish(breathe: () => Promise<void> | undefined): Promise<void> {
    if (this.#opaque.delete("")) this.#hideAll();
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

  /** Overlayfs does not look for the opaque mark at the root: each of the parent's names there is hidden by itself. */
  #hideAll(): void {
    const lower = this.#lowerRoot();
    if (lower === null) return;
    using list = openat(lower.fd, ".", O_RDONLY | O_DIRECTORY);
    for (const { raw } of readDirents(list.fd)) this.whiteout({ dir: this.#root, name: decodeName(raw), path: decodeName(raw) });
  }

  /** Runs `work` on a directory that was made here, unless something else has taken its place since. */
  #withDirectory(path: string, work: (fd: number) => void): void {
    let found: Fd;
    try {
      found = openat2(this.#root.fd, encodeName(path === "" ? "." : path), { flags: O_RDONLY | O_DIRECTORY | O_NOFOLLOW, resolve: STRICT });
    } catch (error) {
      if (isErrno(error, "ENOENT", "ENOTDIR", "ELOOP")) return;
      throw error;
    }
    using directory = found;
    work(directory.fd);
  }

  #closeDirectories(): void {
    for (const { fd } of this.#open.values()) fd.close();
    this.#open.clear();
  }

  /** The directory at an archive's path. */
  #directory(path: string): Directory {
    const known = this.#open.get(path);
    if (known) return known.directory;
    try {
      return this.#remember(path, path, openat2(this.#root.fd, encodeName(path), { flags: O_RDONLY | O_DIRECTORY, resolve: STRICT }));
    } catch (error) {
      if (!isErrno(error, "ENOENT", "ENOTDIR", "ELOOP")) throw error;
    }
    const walked = this.#walk(path);
    // several archive paths may lead to one directory
    if (walked.path === path || walked.path === "") return walked;
    return this.#remember(path, walked.path, openat(walked.fd, ".", O_RDONLY | O_DIRECTORY));
  }

  #remember(key: string, path: string, fd: Fd): Directory {
    const directory = { fd: fd.fd, path };
    const old = this.#open.get(key);
    if (old) this.#retired.push(old.fd);
    this.#open.set(key, { fd, directory });
    return directory;
  }

  /** Descends one name at a time, follows links inside the tree, makes what is missing. */
  #walk(path: string): Directory {
    const todo = path.split("/").reverse();
    let here = this.#root;
    let links = 0;
    for (let name = todo.pop(); name !== undefined; name = todo.pop()) {
      if (name === "" || name === ".") continue;
      if (name === "..") {
        const slash = here.path.lastIndexOf("/");
        here = slash < 0 ? this.#root : this.#directory(here.path.slice(0, slash));
        continue;
      }
      const at: Place = { dir: here, name, path: here.path === "" ? name : `${here.path}/${name}` };
      const step = this.#step(at);
      if (typeof step !== "string") {
        here = step;
        continue;
      }
      if (++links > LINKS_MAX) throw new SysError("open", ELOOP, path);
      if (step.startsWith("/")) here = this.#root;
      todo.push(...step.split("/").reverse());
    }
    return here;
  }

  /** The directory at a place, made when there is none, or the target of the link that is there. */
  #step(at: Place): Directory | string {
    const name = encodeName(at.name);
    const found = tryStatx(at.dir.fd, name, AT_SYMLINK_NOFOLLOW);
    const type = found === undefined ? undefined : found.mode & S_IFMT;
    if (type === S_IFLNK) return decodeName(readlinkat(at.dir.fd, name));
    if (found !== undefined && type !== S_IFDIR && !isWhiteout(found)) throw new SysError("open", ENOTDIR, at.path);
    if (type === undefined) {
      const below = this.#look(at.path);
      if (typeof below === "string") return below;
      this.#mkdir(at);
      this.#attributes.set(at.path, below ?? impliedAttributes());
    } else if (type !== S_IFDIR) {
      this.#mkdir(at);
      this.#attributes.set(at.path, impliedAttributes());
    }
    const known = this.#open.get(at.path);
    if (known) return known.directory;
    return this.#remember(at.path, at.path, openat(at.dir.fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
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

  /** What the parent's tree has at a real path: a directory's attributes, a link's target, or nothing. */
  #look(path: string): Attributes | string | undefined {
    const lower = this.#lowerRoot();
    if (lower === null || this.#isHidden(path)) return undefined;
    let found: Fd;
    try {
      found = openat2(lower.fd, encodeName(path), { flags: O_PATH | O_NOFOLLOW, resolve: STRICT });
    } catch (error) {
      if (isErrno(error, "ENOENT", "ENOTDIR", "ELOOP")) return undefined;
      throw error;
    }
    using file = found;
    const stat = fstat(file.fd);
    const type = stat.mode & S_IFMT;
    if (type === S_IFLNK) return decodeName(readlinkat(file.fd, ""));
    if (type === S_IFDIR) return attributesOf(stat, file.fd);
    if (isWhiteout(stat)) return undefined;
    throw new SysError("open", ENOTDIR, path);
  }

  #lowerRoot(): Fd | null {
    if (this.#lower === undefined) {
      const path = this.#options.lower();
      this.#lower = path === null ? null : open(path, O_PATH | O_DIRECTORY);
    }
    return this.#lower;
  }

  /** Whether this layer hides what the layers below have at `path`. */
  #isHidden(path: string): boolean {
    if (this.#opaque.size === 0) return false;
    if (this.#opaque.has("")) return true;
    for (let end = path.length; end > 0; end = path.lastIndexOf("/", end - 1)) if (this.#opaque.has(path.slice(0, end))) return true;
    return false;
  }

  /** Where a hard link's target is; a file that only the parent has is copied up first, as writing to it would do. */
  #linkTarget(target: string): Place {
    const slash = target.lastIndexOf("/");
    const dir = slash < 0 ? this.#root : this.#directory(target.slice(0, slash));
    const name = target.slice(slash + 1);
    const at: Place = { dir, name, path: dir.path === "" ? name : `${dir.path}/${name}` };
    if (this.#own === undefined && tryStatx(dir.fd, encodeName(name), AT_SYMLINK_NOFOLLOW) === undefined) this.#copyUp(at);
    return at;
  }

  #copyUp(at: Place): void {
    const lower = this.#lowerRoot();
    if (lower === null || this.#isHidden(at.path)) return;
    let found: Fd;
    try {
      found = openat2(lower.fd, encodeName(at.path), { flags: O_RDONLY | O_NOFOLLOW, resolve: STRICT });
    } catch {
      // linkat says what is wrong with the target
      return;
    }
    using from = found;
    const stat = fstat(from.fd);
    if ((stat.mode & S_IFMT) !== S_IFREG) return;
    using to = openat(at.dir.fd, encodeName(at.name), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, stat.mode & 0o777);
    copyRest(from.fd, to.fd);
    this.finishFile(to.fd, attributesOf(stat, from.fd));
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
    this.#forget(at.path, type === S_IFLNK);
    if (type === S_IFDIR) {
      if (this.#own && !this.#hasOwnBelow(at.path)) removeTree(at.dir.fd, name);
      else this.#stow(at);
      return;
    }
    const hasContent = type === S_IFREG && found.size > 0 && (this.#own === undefined || this.#own.has(at.path));
    if (hasContent) this.#stow(at);
    else unlinkat(at.dir.fd, name);
    this.#own?.delete(at.path);
  }

  /** Drops open directories at or below `path`; of a link also those that may have been reached through it. */
  #forget(path: string, isLink: boolean): void {
    const isInside = (other: string): boolean => other === path || other.startsWith(`${path}/`);
    for (const [key, { fd, directory }] of this.#open) {
      if (!isInside(key) && !isInside(directory.path) && !(isLink && key !== directory.path)) continue;
      this.#open.delete(key);
      // a place in use may hold it until the next `locate`
      this.#retired.push(fd);
    }
  }

  #stow(at: Place): void {
    if (this.#stash === undefined) {
      mkdirSync(this.#options.stash, { mode: 0o700 });
      this.#stash = open(this.#options.stash, O_RDONLY | O_DIRECTORY);
    }
    const number = this.#stashed++;
    renameat({ dirfd: at.dir.fd, path: encodeName(at.name) }, { dirfd: this.#stash.fd, path: String(number) });
    if (this.#own) for (const path of this.#own) if (path === at.path || path.startsWith(`${at.path}/`)) this.#own.delete(path);
    this.#options.onMoved(at.path, number);
  }

  #hasOwnBelow(path: string): boolean {
    const prefix = `${path}/`;
    for (const own of this.#own ?? []) if (own === path || own.startsWith(prefix)) return true;
    return false;
  }

  /** Removes what the parent's copy has at a place, and keeps what this layer has put there. */
  #removeForeign(dirfd: number, name: string, path: string): void {
    const found = tryStatx(dirfd, encodeName(name), AT_SYMLINK_NOFOLLOW);
    if (found === undefined) return;
    if ((found.mode & S_IFMT) !== S_IFDIR) {
      if (this.#own?.has(path)) return;
      this.#forget(path, (found.mode & S_IFMT) === S_IFLNK);
      unlinkat(dirfd, encodeName(name));
      return;
    }
    if (!this.#hasOwnBelow(path)) {
      this.#forget(path, false);
      removeTree(dirfd, encodeName(name));
      return;
    }
    using inner = openat(dirfd, encodeName(name), O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
    for (const { raw } of readDirents(inner.fd)) this.#removeForeign(inner.fd, decodeName(raw), `${path}/${decodeName(raw)}`);
  }
}
