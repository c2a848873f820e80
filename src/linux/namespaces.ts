import { closeSync, openSync, unlinkSync } from "node:fs";
import { DhowError } from "../lib/mod.ts";
import { O_RDONLY, open } from "./at.ts";
import { check, isErrno } from "./errno.ts";
import type { Fd } from "./fd.ts";
import { libc } from "./libc.ts";
import { MNT_DETACH, MS_BIND, mount, umount } from "./mount.ts";

/** Namespace types of setns(2) and unshare(2). @see linux/sched.h */
export const CLONE_FS = 0x200;
export const CLONE_NEWTIME = 0x80;
export const CLONE_NEWNS = 0x20000;
export const CLONE_NEWCGROUP = 0x2000000;
export const CLONE_NEWUTS = 0x4000000;
export const CLONE_NEWIPC = 0x8000000;
export const CLONE_NEWUSER = 0x10000000;
export const CLONE_NEWPID = 0x20000000;
export const CLONE_NEWNET = 0x40000000;

const THREAD_NETNS = "/proc/thread-self/ns/net";

/** Moves this thread into the namespace behind `fd`; see setns(2) for what a process with threads may do. @throws {SysError} */
export function setns(fd: number, type: number): void {
  check(libc.symbols.setns(fd, type), "setns", fd);
}

/** Moves this thread into new namespaces; CLONE_NEWUSER is refused to a process with threads. @throws {SysError} */
export function unshare(flags: number): void {
  check(libc.symbols.unshare(flags), "unshare");
}

/** Runs `work` and moves this thread back into its network namespace, whatever happens. */
function returning<T>(work: () => T): T {
  using home = open(THREAD_NETNS, O_RDONLY);
  let result: T;
  try {
    result = work();
  } finally {
    setns(home.fd, CLONE_NEWNET);
  }
  // the rest of an async function would run at home, with nobody noticing
  if (result instanceof Promise) throw new DhowError("internal", "enter a network namespace: the work must not be asynchronous");
  return result;
}

/**
 * Runs `work` with this thread in the network namespace at `netns` (a path or an open descriptor) and comes back, also when it throws.
 * Sockets opened by `work` stay in that namespace. `work` must not await.
 * @throws {SysError} ENOENT, EINVAL when `netns` is no network namespace
 */
export function withNetns<T>(netns: string | number | Fd, work: () => T): T {
  if (typeof netns === "string") {
    using target = open(netns, O_RDONLY);
    return withNetns(target.fd, work);
  }
  const fd = typeof netns === "number" ? netns : netns.fd;
  return returning(() => {
    setns(fd, CLONE_NEWNET);
    return work();
  });
}

/**
 * Runs `work` with this thread in the mount namespace behind `target` and moves it to the one behind `home`, whatever happens. Its root and
 * its working directory are its own from then on, and the namespace's root. `work` must not await.
 * @throws {SysError}
 */
export function withMountNamespace<T>(target: Fd, home: Fd, work: () => T): T {
  // threads that were made since the last time share them with this one
  unshare(CLONE_FS);
  setns(target.fd, CLONE_NEWNS);
  try {
    return work();
  } finally {
    setns(home.fd, CLONE_NEWNS);
  }
}

/**
 * Makes a network namespace that lives at the new file `path` until `removeNetns`; its loopback is down.
 * `inside` runs in it at once, which spares entering it again; what it returns is returned.
 * @throws {SysError} and leaves nothing behind; a `node:fs` error EEXIST when `path` is taken
 */
export function createNetns(path: string): void;
export function createNetns<T>(path: string, inside: () => T): T;
export function createNetns<T>(path: string, inside?: () => T): T | undefined {
  closeSync(openSync(path, "wx", 0o444));
  try {
    return returning(() => {
      unshare(CLONE_NEWNET);
      mount(THREAD_NETNS, path, null, MS_BIND);
      return inside?.();
    });
  } catch (error) {
    removeNetns(path);
    throw error;
  }
}

/** Takes the namespace file at `path` away; the namespace ends with its last process and socket. Missing: nothing to do. @throws {SysError} */
export function removeNetns(path: string): void {
  try {
    umount(path, MNT_DETACH);
  } catch (error) {
    if (!isErrno(error, "EINVAL", "ENOENT")) throw error;
  }
  try {
    unlinkSync(path);
  } catch (error) {
    if (!isErrno(error, "ENOENT")) throw error;
  }
}
