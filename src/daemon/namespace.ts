/**
 * The daemon's mount namespace: a copy of the host's in which dataRoot and execRoot are private mounts, so that the mounts of containers
 * show up nowhere else, and from which the cgroup2 hierarchy of a hybrid host is taken away when it has controllers (crun refuses it).
 * Other mounts keep their propagation: what a container mounts in an rshared bind reaches the host.
 *
 * Containers keep the namespace alive when the daemon dies; the next daemon finds it through any of their holders. Without a container
 * it ends with the daemon, and everything mounted in it is gone with it.
 */
import { closeSync, mkdirSync, openSync, readlinkSync } from "node:fs";
import { dirname } from "node:path";
import {
  CLONE_FS,
  CLONE_NEWNS,
  execve,
  isMountPoint,
  MNT_DETACH,
  type MountInfo,
  MS_BIND,
  MS_PRIVATE,
  MS_RDONLY,
  MS_REC,
  MS_REMOUNT,
  mount,
  readMountInfo,
  setCloexec,
  setns,
  umount,
  unshare,
} from "../linux/mod.ts";
import { handedOverSockets } from "./activation.ts";

const MARK = "DHOW_MOUNT_NAMESPACE";
/** Names the descriptor of the namespace that the daemon was started in. */
const HOST_NAMESPACE = "DHOW_HOST_NAMESPACE";
/** Bun reads it at its start: no collection of garbage each second, 20 ms and more in which nothing else is done. See `MemoryKeeper`. */
const NO_COLLECTION_TIMER = "BUN_GC_TIMER_DISABLE";

/** What to start again, with which arguments; a compiled binary is its own script. */
export function selfCommand(): readonly string[] {
  const script = process.argv[1] ?? "";
  return script.startsWith("/$bunfs/") || script === "" ? [process.execPath] : [process.execPath, script];
}

/** The namespace that the daemon was started in, as a descriptor that children don't get; undefined when it was started in its own. */
export function takeHostNamespace(): number | undefined {
  const text = process.env[HOST_NAMESPACE];
  delete process.env[HOST_NAMESPACE];
  if (text === undefined) return undefined;
  setCloexec(Number(text));
  return Number(text);
}

/** Whether this process is in the daemon's namespace already; forgets the mark, so that children don't take it over. */
export function isInNamespace(): boolean {
  const isInside = process.env[MARK] === readlinkSync("/proc/self/ns/mnt");
  delete process.env[MARK];
  if (isInside) delete process.env[NO_COLLECTION_TIMER];
  return isInside;
}

/**
 * Starts this program again, with the same pid, in the daemon's namespace: that of the container whose holder is `holderPid`, else a new one.
 * Only this thread can move there, and the start of a new program leaves just this thread.
 */
export function enterNamespace(holderPid: number | undefined, argv: readonly string[]): never {
  const host = openSync("/proc/self/ns/mnt", "r");
  if (holderPid === undefined) {
    unshare(CLONE_NEWNS);
  } else {
    const fd = openSync(`/proc/${holderPid}/ns/mnt`, "r");
    unshare(CLONE_FS);
    setns(fd, CLONE_NEWNS);
  }
  setCloexec(host, false);
  // Bun marks every descriptor that it finds at its start
  for (const fd of handedOverSockets()) setCloexec(fd, false);
  const command = [...selfCommand(), ...argv];
  const env = {
    ...process.env,
    [MARK]: readlinkSync("/proc/thread-self/ns/mnt"),
    [HOST_NAMESPACE]: String(host),
    [NO_COLLECTION_TIMER]: "1",
  };
  execve(process.execPath, command, env);
}

/**
 * Where `/` is shared, as with systemd, the mounts that make the roots private appear on the host, too (and nothing that is mounted in
 * them). Takes those away from the host. The last act of a daemon that leaves no container: this thread stays in the host's namespace.
 */
export function leaveHostClean(host: number, roots: readonly string[]): void {
  unshare(CLONE_FS);
  setns(host, CLONE_NEWNS);
  releaseRoots(roots);
}

/** Takes the mounts away that make the roots private, with all that is mounted in them. @throws {SysError} */
export function releaseRoots(roots: readonly string[]): void {
  for (const root of roots) {
    const mounts = readMountInfo();
    const own = mounts.findLast((m) => m.mountPoint === root);
    const parent = mounts.find((m) => m.mountId === own?.parentId);
    if (!own || !parent || !isBoundToItself(own, parent)) continue;
    umount(root, MNT_DETACH);
  }
}

function isBoundToItself(own: MountInfo, parent: MountInfo): boolean {
  const below = own.mountPoint.slice(parent.mountPoint === "/" ? 0 : parent.mountPoint.length);
  return own.source === parent.source && own.root === `${parent.root === "/" ? "" : parent.root}${below}`;
}

/** Makes `path` a mount of its own that shares nothing with other namespaces. */
function makePrivate(path: string): void {
  const existing = readMountInfo().find((m) => m.mountPoint === path);
  if (!existing) mount(path, path, null, MS_BIND | MS_REC);
  mount(null, path, null, MS_PRIVATE | MS_REC);
}

/** Prepares the namespace; finds done what an earlier daemon did. @throws {SysError} */
export function prepareNamespace(dataRoot: string, execRoot: string): void {
  makeRootsPrivate([dataRoot, execRoot]);
  hideHybridCgroup();
}

/** Makes the roots mounts of their own. @throws {SysError} */
export function makeRootsPrivate(roots: readonly string[]): void {
  for (const path of roots) {
    mkdirSync(path, { recursive: true, mode: 0o711 });
    makePrivate(path);
  }
}

/** Where a hybrid host has the cgroup2 hierarchy that crun must not see; undefined elsewhere. */
export function hybridCgroup(): MountInfo | undefined {
  const mounts = readMountInfo();
  const isV1 = mounts.some((m) => m.fsType === "cgroup");
  return isV1 ? mounts.find((m) => m.fsType === "cgroup2" && m.mountPoint !== "/sys/fs/cgroup") : undefined;
}

function hideHybridCgroup(): void {
  const unified = hybridCgroup();
  if (!unified) return;
  const parent = readMountInfo().find((m) => m.mountId === unified.parentId);
  if (parent) mount(null, parent.mountPoint, null, MS_PRIVATE | MS_REC);
  umount(unified.mountPoint, MNT_DETACH);
  // crun makes its directories there all the same, in what the host would see of the mount below
  mount("none", unified.mountPoint, "tmpfs", 0, "mode=755,size=1m");
}

/**
 * Makes `program` appear read-only at `place` and returns `place`. A runtime that sees itself on a read-only mount knows that no container
 * can change it, and runs as it is.
 * @throws {SysError}
 */
export function readOnlyCopy(program: string, place: string): string {
  mkdirSync(dirname(place), { recursive: true, mode: 0o711 });
  // an update of the program puts a new file in its place
  if (isMountPoint(place)) umount(place, MNT_DETACH);
  closeSync(openSync(place, "a"));
  mount(program, place, null, MS_BIND);
  mount(null, place, null, MS_BIND | MS_REMOUNT | MS_RDONLY);
  return place;
}
