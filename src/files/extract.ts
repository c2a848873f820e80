import { posix } from "node:path";
import { DhowError, encodeName, type TarHeader, TarReader } from "../lib/mod.ts";
import {
  AT_EMPTY_PATH,
  AT_FDCWD,
  AT_REMOVEDIR,
  errnoNumber,
  type Fd,
  type FileStat,
  fchmod,
  fchmodat,
  fchown,
  fchownat,
  fsetxattr,
  fstat,
  isErrno,
  linkat,
  makedev,
  mkdirat,
  mknodat,
  O_CREAT,
  O_DIRECTORY,
  O_EXCL,
  O_NOFOLLOW,
  O_RDONLY,
  O_WRONLY,
  type Owner,
  openat,
  procFdPath,
  readDirents,
  S_IFBLK,
  S_IFCHR,
  S_IFDIR,
  S_IFIFO,
  S_IFLNK,
  S_IFMT,
  SysError,
  symlinkat,
  unlinkat,
  utimensat,
} from "../linux/mod.ts";
import { type Attributes, setXattrs } from "./attributes.ts";
import { cleanPath } from "./paths.ts";
import { headerAttributes, type PayloadOptions, writePayload } from "./payload.ts";
import { checkWritable, type FileView, type Place } from "./view.ts";

export interface ExtractOptions extends PayloadOptions {
  /** Refuse to put a directory in the place of something else, and the other way round. */
  readonly noOverwriteDirNonDir: boolean;
  /** Whose the files become: as the archive says, one owner's, or those of whoever calls. */
  readonly owner: "archive" | "caller" | { readonly uid: number; readonly gid: number };
  /** Gives an entry, or what a hard link points to, another name. */
  readonly rename?: (name: string) => string;
  /** What the view's root is called in messages; links of the archive may not point out of the destination as it is called with it. */
  readonly shownRoot?: string;
}

interface Extraction extends ExtractOptions {
  readonly view: FileView;
  /** The directory, without links. */
  readonly destination: string;
  readonly reader: TarReader;
  readonly umask: number;
  /** Whether a new file is root's without more ado. */
  readonly isRoot: boolean;
}

/**
 * Unpacks `tar` into the view's directory `destination` (a path without links) as docker does: what is there is replaced, directories are
 * merged, and what was written before a failure stays. Paths of the archive are resolved in the view, so nothing outside of it is
 * reached; nothing that exists is opened for writing.
 * @throws {SysError} in the view's own paths; invalid for a malformed archive; internal for an entry that leads out of `destination`
 */
export async function extract(tar: AsyncIterable<Uint8Array>, view: FileView, destination: string, options: ExtractOptions): Promise<void> {
  const reader = new TarReader(tar);
  const extraction: Extraction = { ...options, view, destination, reader, umask: process.umask(), isRoot: process.geteuid?.() === 0 };
  const directories: { readonly path: string; readonly attributes: Attributes }[] = [];
  try {
    for (let header = await reader.next(); header !== null; header = await reader.next()) {
      options.signal.throwIfAborted();
      view.trim();
      const made = await putNamed(extraction, header);
      if (made !== undefined) directories.push({ path: made, attributes: headerAttributes(header) });
      await options.breathe();
    }
    await reader.finish();
    for (const { path, attributes } of directories) {
      setDirectoryTimes(view, path, attributes);
      await options.breathe();
    }
  } finally {
    await reader.close();
  }
}

/** Puts one entry in its place; what the file system refuses is told with the entry's path. */
async function putNamed(extraction: Extraction, header: TarHeader): Promise<string | undefined> {
  try {
    return await put(extraction, header);
  } catch (error) {
    if (!(error instanceof SysError)) throw error;
    const { shownRoot = "/", destination, rename } = extraction;
    const path = cleanPath(`${shownRoot}/${destination}/${rename?.(header.name) ?? header.name}`);
    throw new SysError(error.call, error.errno, error.arg.startsWith("/") && error.call === "unlinkat" ? error.arg : path);
  }
}

/** Puts one entry in its place; returns the path of a directory. */
async function put(extraction: Extraction, header: TarHeader): Promise<string | undefined> {
  if (header.type === "global") return undefined;
  const { view, destination } = extraction;
  const name = cleanPath(extraction.rename?.(header.name) ?? header.name);
  if (name === ".." || name.startsWith("../")) {
    throw new DhowError("internal", `${JSON.stringify(name)} is outside of ${shown(extraction, destination)}`);
  }
  const path = cleanPath(`${destination}/${name}`);
  const at = view.locate(path, { followLast: false, make: true });
  const existing = view.tryStat(at);
  const isDirectory = existing !== undefined && (existing.mode & S_IFMT) === S_IFDIR;
  if (existing && isDirectory !== (header.type === "directory") && extraction.noOverwriteDirNonDir) {
    const [old, fresh] = isDirectory ? ["directory", "non-directory"] : ["non-directory", "directory"];
    const [what, where] = [shown(extraction, path), shown(extraction, destination)];
    throw new DhowError("internal", `cannot overwrite ${old} ${what} with ${fresh} ${where}`);
  }
  if (isDirectory && name === ".") return undefined;
  checkWritable(at, "open");
  if (existing && !(isDirectory && header.type === "directory")) {
    if (view.hasMounts(at.path)) throw new SysError("unlinkat", errnoNumber("EBUSY"), at.path);
    await removeAll(at.dir.fd, encodeName(at.name), existing, extraction);
    if ((existing.mode & S_IFMT) === S_IFDIR || (existing.mode & S_IFMT) === S_IFLNK) {
      // paths that led through it may lead elsewhere now
      view.forget();
      return make(extraction, header, view.locate(path, { followLast: false, make: true }), path);
    }
  }
  return make(extraction, header, at, path);
}

/** A path of the view as messages call it, in quotes. */
function shown({ shownRoot = "/" }: Extraction, path: string): string {
  return JSON.stringify(cleanPath(`${shownRoot}/${path}`));
}

async function make(extraction: Extraction, header: TarHeader, at: Place, path: string): Promise<string | undefined> {
  const name = encodeName(at.name);
  switch (header.type) {
    case "directory":
      makeDirectory(extraction, header, at);
      return at.path;
    case "file":
      await makeFile(extraction, header, at);
      return undefined;
    case "symlink":
      checkSymlink(extraction, header, path);
      extraction.view.making(() => symlinkat(encodeName(header.linkName), at.dir.fd, name));
      finishNode(extraction, header, at, S_IFLNK);
      return undefined;
    case "link":
      makeHardLink(extraction, header, at);
      return undefined;
    case "char":
    case "block":
    case "fifo": {
      const type = header.type === "char" ? S_IFCHR : header.type === "block" ? S_IFBLK : S_IFIFO;
      const device = type === S_IFIFO ? 0 : makedev(header.devMajor, header.devMinor);
      extraction.view.making(() => mknodat(at.dir.fd, name, type | (header.mode & 0o777), device));
      finishNode(extraction, header, at, type);
      return undefined;
    }
    case "other":
      throw new DhowError("internal", `unhandled tar header type ${header.typeflag.charCodeAt(0)}`);
    case "global":
      return undefined;
    default: {
      const _: never = header.type;
      return _;
    }
  }
}

function makeDirectory(extraction: Extraction, header: TarHeader, at: Place): void {
  try {
    if (at.name !== ".") extraction.view.making(() => mkdirat(at.dir.fd, encodeName(at.name), header.mode & 0o777));
  } catch (error) {
    if (!isErrno(error, "EEXIST")) throw error;
  }
  using made = extraction.view.open(at);
  // who swapped it for a link or a file meanwhile keeps that as it is
  if ((fstat(made.fd).mode & S_IFMT) !== S_IFDIR) throw new SysError("mkdir", errnoNumber("ENOTDIR"), at.path);
  setAttributes(extraction, made, header, true);
  utimensat(AT_FDCWD, procFdPath(made.fd), timesOf(headerAttributes(header)));
}

async function makeFile(extraction: Extraction, header: TarHeader, at: Place): Promise<void> {
  const flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW;
  using file = extraction.view.making(() => openat(at.dir.fd, encodeName(at.name), flags, header.mode & 0o777));
  const pending = writePayload(file.fd, header, extraction.reader, extraction);
  if (pending !== undefined) await pending;
  const owner = ownerOf(extraction, header);
  if (owner && (owner.uid !== 0 || owner.gid !== 0 || !extraction.isRoot)) chownFile(extraction, file, owner);
  // chown clears setuid and setgid, the umask has cleared bits at creation
  if ((header.mode & 0o7000) !== 0 || (header.mode & extraction.umask) !== 0) fchmod(file.fd, header.mode);
  if (header.xattrs) setXattrs(header.xattrs, (key, value) => trySetXattr(file.fd, key, value));
  utimensat(file.fd, "", timesOf(headerAttributes(header)), AT_EMPTY_PATH);
}

function chownFile({ view }: Extraction, file: Fd, owner: Owner): void {
  const { uid, gid } = view.taken(owner);
  fchown(file.fd, uid, gid);
}

function makeHardLink(extraction: Extraction, header: TarHeader, at: Place): void {
  const { view, destination, rename } = extraction;
  const linkName = rename?.(header.linkName) ?? header.linkName;
  const target = cleanPath(`${destination}/${linkName}`);
  if (!target.startsWith(destination)) {
    throw new DhowError("internal", `invalid hardlink ${shown(extraction, target)} -> ${JSON.stringify(linkName)}`);
  }
  const from = view.locate(target, { followLast: false });
  if (view.hasMounts(from.path)) throw new SysError("link", errnoNumber("EXDEV"), from.path, at.path);
  linkat({ dirfd: from.dir.fd, path: encodeName(from.name) }, { dirfd: at.dir.fd, path: encodeName(at.name) });
}

/** Docker lets no relative link point out of the directory that it unpacks to. */
function checkSymlink(extraction: Extraction, { linkName }: TarHeader, path: string): void {
  const { shownRoot = "/", destination } = extraction;
  const target = cleanPath(`${shownRoot}/${posix.dirname(path)}/${linkName}`);
  if (target.startsWith(cleanPath(`${shownRoot}/${destination}`))) return;
  throw new DhowError("internal", `invalid symlink ${shown(extraction, path)} -> ${JSON.stringify(linkName)}`);
}

/** Gives a new link or special file its attributes, unless somebody has put something else in its place. */
function finishNode(extraction: Extraction, header: TarHeader, at: Place, type: number): void {
  using node = extraction.view.open(at);
  if ((fstat(node.fd).mode & S_IFMT) !== type) return;
  setAttributes(extraction, node, header, type !== S_IFLNK);
  utimensat(AT_FDCWD, procFdPath(node.fd), timesOf(headerAttributes(header)));
}

/** Owner, mode and xattrs of an O_PATH descriptor; chown comes first for it clears set-user-id bits and capabilities. */
function setAttributes(extraction: Extraction, file: Fd, header: TarHeader, hasMode: boolean): void {
  const owner = ownerOf(extraction, header);
  if (owner) fchownat(file.fd, "", extraction.view.taken(owner), AT_EMPTY_PATH);
  if (!hasMode) return;
  fchmodat(AT_FDCWD, procFdPath(file.fd), header.mode);
  if (header.xattrs) setXattrs(header.xattrs, (key, value) => trySetXattr(file.fd, key, value));
}

function ownerOf({ owner }: Extraction, header: TarHeader): { readonly uid: number; readonly gid: number } | undefined {
  if (owner === "caller") return undefined;
  return owner === "archive" ? header : owner;
}

/** Attributes that the caller may not set are left out. */
function trySetXattr(fd: number, key: string, value: Uint8Array): void {
  try {
    fsetxattr(fd, key, value);
  } catch (error) {
    if (!isErrno(error, "EPERM")) throw error;
  }
}

function timesOf({ atimeNs, mtimeNs }: Attributes): { readonly atimeNs: bigint; readonly mtimeNs: bigint } {
  return { atimeNs: atimeNs < mtimeNs ? mtimeNs : atimeNs, mtimeNs };
}

/** Directories get their times last: making files in them changes those. */
function setDirectoryTimes(view: FileView, path: string, attributes: Attributes): void {
  view.trim();
  try {
    using directory = view.open(view.locate(path, { followLast: false }));
    if ((fstat(directory.fd).mode & S_IFMT) === S_IFDIR) utimensat(AT_FDCWD, procFdPath(directory.fd), timesOf(attributes));
  } catch (error) {
    // it is gone already
    if (!isErrno(error, "ENOENT", "ENOTDIR", "ELOOP")) throw error;
  }
}

/** Removes what is at a name with all that is in it, no link followed; what is gone meanwhile is fine. */
async function removeAll(dirfd: number, name: string | Uint8Array, stat: FileStat, options: PayloadOptions): Promise<void> {
  if ((stat.mode & S_IFMT) === S_IFDIR) await empty(dirfd, name, options);
  tryUnlink(dirfd, name, (stat.mode & S_IFMT) === S_IFDIR ? AT_REMOVEDIR : 0);
}

async function empty(dirfd: number, name: string | Uint8Array, options: PayloadOptions): Promise<void> {
  options.signal.throwIfAborted();
  using inner = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  for (const { raw, type } of readDirents(inner.fd)) {
    const isDirectory = type << 12 === S_IFDIR;
    if (isDirectory) await empty(inner.fd, raw, options);
    tryUnlink(inner.fd, raw, isDirectory ? AT_REMOVEDIR : 0);
    await options.breathe();
  }
}

function tryUnlink(dirfd: number, name: string | Uint8Array, flags: number): void {
  try {
    unlinkat(dirfd, name, flags);
  } catch (error) {
    if (!isErrno(error, "ENOENT")) throw error;
  }
}
