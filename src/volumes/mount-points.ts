import { statSync } from "node:fs";
import { DhowError, errnoCode } from "../lib/mod.ts";
import {
  AT_SYMLINK_NOFOLLOW,
  mkdirat,
  O_CREAT,
  O_DIRECTORY,
  O_EXCL,
  O_NOFOLLOW,
  O_PATH,
  O_WRONLY,
  open,
  openat,
  openat2,
  RESOLVE_IN_ROOT,
  RESOLVE_NO_MAGICLINKS,
  RESOLVE_NO_SYMLINKS,
  readlinkat,
  S_IFLNK,
  S_IFMT,
  tryStatx,
} from "../linux/mod.ts";
import type { OciMount } from "../spec/oci-runtime/mod.ts";

const MAX_LINKS = 255;
/** File systems that the runtime mounts first: what lies in them is made in them. */
const RUNTIME_TREES = ["/dev", "/proc", "/sys"];

const isBelow = (path: string, tree: string): boolean => path === tree || path.startsWith(`${tree}/`);

function exists(root: number, path: string): boolean {
  try {
    using _found = openat2(root, path, { flags: O_PATH, resolve: RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS });
    return true;
  } catch (error) {
    if (errnoCode(error) === "ENOENT") return false;
    throw error;
  }
}

const openDirectory = (root: number, parts: readonly string[]) =>
  openat2(root, parts.join("/") || ".", { flags: O_PATH | O_DIRECTORY, resolve: RESOLVE_IN_ROOT | RESOLVE_NO_SYMLINKS });

/** Follows `path` one name at a time, links and `..` within the root, and makes what is missing: directories, and `asFile` at the end. */
function make(root: number, path: string, asFile: boolean): void {
  const rest = path.split("/").filter(Boolean);
  const done: string[] = [];
  let links = 0;
  for (let name = rest.shift(); name !== undefined; name = rest.shift()) {
    if (name === "." || name === "..") {
      if (name === "..") done.pop();
      continue;
    }
    using parent = openDirectory(root, done);
    const stat = tryStatx(parent.fd, name, AT_SYMLINK_NOFOLLOW);
    if (stat !== undefined && (stat.mode & S_IFMT) === S_IFLNK) {
      links += 1;
      if (links > MAX_LINKS) throw new DhowError("invalid", `make mount point ${path}: too many levels of symbolic links`);
      const target = readlinkat(parent.fd, name).toString();
      if (target.startsWith("/")) done.length = 0;
      rest.unshift(...target.split("/").filter(Boolean));
      continue;
    }
    if (stat === undefined) {
      if (asFile && rest.length === 0) openat(parent.fd, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0o644).close();
      else mkdirat(parent.fd, name, 0o755);
    }
    done.push(name);
  }
}

/**
 * Makes the directory `path` of a root file system, with its parents, where it is missing. Links are followed inside the root, also those
 * that lead to nothing yet. @throws a `SysError` when a file is in the way, invalid when links go in circles
 */
export function makeDirectory(rootfs: string, path: string): void {
  using root = open(rootfs, O_PATH | O_DIRECTORY);
  make(root.fd, path, false);
  openat2(root.fd, path, { flags: O_PATH | O_DIRECTORY, resolve: RESOLVE_IN_ROOT }).close();
}

/**
 * Makes the places that mounts need in a root file system, as runc does and crun 1.8 doesn't where a link of the image points to
 * nothing (`/etc/resolv.conf` often does): the link's target is made, inside the root. For a mount that lies in another one nothing
 * is made. Costs microseconds for a place that is there; call it with the root mounted and no process in it.
 * @throws invalid when links go in circles, a `SysError` when a file is in the way
 */
export function prepareMountPoints(rootfs: string, mounts: readonly OciMount[]): void {
  using root = open(rootfs, O_PATH | O_DIRECTORY);
  const covered: string[] = [...RUNTIME_TREES];
  for (const { destination, source, type } of mounts) {
    const isCovered = covered.some((tree) => isBelow(destination, tree));
    covered.push(destination);
    if (isCovered || exists(root.fd, destination)) continue;
    const stat = type === "bind" && source !== undefined ? statSync(source, { throwIfNoEntry: false }) : null;
    // what has no source the runtime refuses
    if (stat !== undefined) make(root.fd, destination, stat?.isDirectory() === false);
  }
}
