import { posix } from "node:path";
import { assertsDirectory, baseName, type FileView, type Place } from "../../../files/mod.ts";
import { DhowError, decodeName, formatTime } from "../../../lib/mod.ts";
import { isErrno, readlinkat, S_IFBLK, S_IFCHR, S_IFDIR, S_IFIFO, S_IFLNK, S_IFMT, S_IFSOCK, SysError } from "../../../linux/mod.ts";
import type { PathStat } from "../../../spec/engine/mod.ts";

/** As many links as docker's evaluation follows. */
const LINKS_MAX = 255;

/** Bits of Go's os.FileMode. @see https://pkg.go.dev/io/fs#FileMode */
const GO_DIR = 2 ** 31;
const GO_SYMLINK = 2 ** 27;
const GO_DEVICE = 2 ** 26;
const GO_NAMED_PIPE = 2 ** 25;
const GO_SOCKET = 2 ** 24;
const GO_SETUID = 2 ** 23;
const GO_SETGID = 2 ** 22;
const GO_CHAR_DEVICE = 2 ** 21;
const GO_STICKY = 2 ** 20;

const GO_TYPES: Readonly<Record<number, number>> = {
  [S_IFDIR]: GO_DIR,
  [S_IFLNK]: GO_SYMLINK,
  [S_IFBLK]: GO_DEVICE,
  [S_IFCHR]: GO_DEVICE + GO_CHAR_DEVICE,
  [S_IFIFO]: GO_NAMED_PIPE,
  [S_IFSOCK]: GO_SOCKET,
};

/** A mode of stat(2) as Go's os.FileMode. */
export function goFileMode(mode: number): number {
  const special = (mode & 0o4000 ? GO_SETUID : 0) + (mode & 0o2000 ? GO_SETGID : 0) + (mode & 0o1000 ? GO_STICKY : 0);
  return (GO_TYPES[mode & S_IFMT] ?? 0) + special + (mode & 0o777);
}

/** The place that `path` stands for: a last link itself, unless the path asks for a directory. @throws {SysError} ENOENT, ENOTDIR, ELOOP */
export function placeOf(view: FileView, path: string): Place {
  const mustBeDirectory = assertsDirectory(path);
  const place = view.locate(path, { followLast: mustBeDirectory });
  if (mustBeDirectory && (view.stat(place).mode & S_IFMT) !== S_IFDIR) throw new DhowError("internal", `lstat ${path}: not a directory`);
  return place;
}

/** @throws {SysError} ENOENT; internal in docker's words for a file where a directory is meant, and for links that go in circles */
export function statPath(view: FileView, path: string): PathStat {
  let place: Place;
  try {
    place = placeOf(view, path);
  } catch (error) {
    if (error instanceof SysError && !isErrno(error, "ENOENT")) throw new SysError("lstat", error.errno, path);
    throw error;
  }
  const stat = view.stat(place);
  return {
    name: baseName(path),
    size: stat.size,
    mode: goFileMode(stat.mode),
    mtime: formatTime(stat.mtimeNs),
    linkTarget: (stat.mode & S_IFMT) === S_IFLNK ? linkTarget(view, place, path) : "",
  };
}

/** Where a link leads to in the end, as far as there is something; the rest as the links say. @throws internal in docker's words for a loop */
function linkTarget(view: FileView, link: Place, path: string): string {
  const todo = [...parts(link.path)].reverse();
  let done = "/";
  let links = 0;
  for (let name = todo.pop(); name !== undefined; name = todo.pop()) {
    if (name === "..") {
      done = posix.dirname(done);
      continue;
    }
    const next = posix.join(done, name);
    const target = readLink(view, next);
    if (target === undefined) {
      done = next;
      continue;
    }
    if (++links > LINKS_MAX) throw new DhowError("internal", `evalSymlinksInScope: too many links in ${path}`);
    if (target.startsWith("/")) done = "/";
    todo.push(...[...parts(target)].reverse());
  }
  return done;
}

function parts(path: string): string[] {
  return path.split("/").filter((part) => part !== "" && part !== ".");
}

function readLink(view: FileView, path: string): string | undefined {
  try {
    view.trim();
    using file = view.open(view.locate(path, { followLast: false }));
    return decodeName(readlinkat(file.fd, ""));
  } catch (error) {
    if (isErrno(error, "ENOENT", "ENOTDIR", "EINVAL", "ELOOP")) return undefined;
    throw error;
  }
}
