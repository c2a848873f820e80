import { chownSync, existsSync, mkdirSync, realpathSync, rmdirSync, statSync, unlinkSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { DhowError, errnoCode, errorMessage } from "../lib/mod.ts";
import {
  type Fd,
  fsTypeName,
  fstat,
  type IdView,
  isErrno,
  isMountPoint,
  MNT_DETACH,
  type MountInfo,
  MS_BIND,
  MS_REC,
  mount,
  mountIdmapped,
  O_DIRECTORY,
  O_PATH,
  open,
  openat2,
  procFdPath,
  RESOLVE_BENEATH,
  RESOLVE_NO_MAGICLINKS,
  readMountInfo,
  S_IFDIR,
  S_IFMT,
  ST_NODEV,
  ST_NOEXEC,
  ST_NOSUID,
  ST_RDONLY,
  statfs,
  umount,
} from "../linux/mod.ts";
import type { OciMount } from "../spec/oci-runtime/mod.ts";
import { cleanPath } from "./mount-spec.ts";
import type { ContainerMount } from "./plan.ts";
import { tmpfsOptions } from "./tmpfs-options.ts";
import type { Volumes } from "./volumes.ts";

export interface ResolveInput {
  readonly containerId: string;
  readonly mounts: readonly ContainerMount[];
  /** HostConfig.Tmpfs; it wins over a mount at the same place. */
  readonly tmpfs: Readonly<Record<string, string>> | null | undefined;
  /** Where the volumes are, by name: `useVolumes` has made them ready. */
  readonly paths: ReadonlyMap<string, string>;
  /** Mounts the snapshot of an image and says where. */
  readonly mountImage: (key: string) => string;
  /** The user namespaces in whose ids binds with an `idmap` are shown, by destination. */
  readonly idmaps?: ReadonlyMap<string, Fd> | undefined;
  /** Whether the kernel makes whole trees read-only. */
  readonly recursiveReadOnly: boolean;
  /** A directory of this container's on the exec root, for mounts that are needed until it runs. It may be missing. */
  readonly scratch: string;
  /** Of a container in a user namespace: volumes are shown in its ids, and new bind sources belong to its root. */
  readonly view?: IdView | undefined;
}

export interface ResolvedMounts {
  /** In the order in which they must be mounted: by depth. */
  readonly mounts: readonly OciMount[];
  /** Gives up what was needed until the container runs. Call it once the runtime has started or failed to. */
  readonly dispose: () => void;
}

function sourceMount(path: string, table: readonly MountInfo[]): MountInfo | undefined {
  const real = realpathSync(path);
  const contains = (point: string): boolean => point === "/" || real === point || real.startsWith(`${point}/`);
  let best: MountInfo | undefined;
  for (const m of table) if (contains(m.mountPoint) && m.mountPoint.length >= (best?.mountPoint.length ?? 0)) best = m;
  return best;
}

/** A shared or slave bind makes sense only when its source lies on such a mount. @throws invalid in docker's words */
function checkPropagation(source: string, propagation: string): void {
  const wantsShared = propagation === "shared" || propagation === "rshared";
  const wantsSlave = propagation === "slave" || propagation === "rslave";
  if (!wantsShared && !wantsSlave) return;
  const found = sourceMount(source, readMountInfo());
  const is = (prefix: string): boolean => found?.propagation.some((p) => p.startsWith(prefix)) ?? false;
  if (is("shared:") || (wantsSlave && is("master:"))) return;
  const kind = wantsShared ? "a shared" : "a shared or slave";
  throw new DhowError("invalid", `path ${source} is mounted on ${found?.mountPoint ?? "/"} but it is not ${kind} mount`);
}

/**
 * Makes a bind's missing source where docker makes it; of a container in a user namespace it is the namespace's root's, as with dockerd.
 * @throws invalid, internal in docker's words
 */
export function ensureSource(m: ContainerMount, view?: Pick<IdView, "root">): void {
  if (existsSync(m.source)) return;
  if (!m.createSource) throw new DhowError("invalid", `invalid mount config for type "bind": bind source path does not exist: ${m.source}`);
  try {
    const first = mkdirSync(m.source, { recursive: true, mode: 0o755 });
    if (first === undefined || view === undefined) return;
    for (let path = m.source; path.length >= first.length; path = dirname(path)) chownSync(path, view.root.uid, view.root.gid);
  } catch (error) {
    if (errnoCode(error) === "ENOTDIR") return;
    throw new DhowError("internal", `error while creating mount source path '${m.source}': ${errorMessage(error)}`, { cause: error });
  }
}

const KEPT = [
  [ST_RDONLY, "ro"],
  [ST_NOSUID, "nosuid"],
  [ST_NODEV, "nodev"],
  [ST_NOEXEC, "noexec"],
] as const;

/** What the host allows nobody at the source it allows no container: crun (1.8) takes away each of these that it isn't told. */
function keptOptions(from: string, isReadOnly: boolean): string[] {
  const { flags } = statfs(from);
  return KEPT.filter(([flag, name]) => (flags & flag) !== 0 && !(isReadOnly && name === "ro")).map(([, name]) => name);
}

function bindOptions(m: ContainerMount, from: string, recursiveReadOnly: boolean): string[] {
  const options = [m.isNonRecursive ? "bind" : "rbind", ...keptOptions(from, m.isReadOnly)];
  if (m.isReadOnly) {
    const recursive = recursiveReadOnly && !m.isReadOnlyNonRecursive && m.kind === "bind";
    if (m.isReadOnlyForceRecursive && !recursiveReadOnly) {
      throw new DhowError("invalid", "failed to setup recursive read-only mount: the kernel does not support it");
    }
    // crun 1.8 takes "rro" for directories only; nothing is mounted in a file anyway
    options.push(recursive && statSync(from).isDirectory() ? "rro" : "ro");
  }
  options.push(m.propagation === "" ? "rprivate" : m.propagation);
  return options;
}

/**
 * Binds what a volume's subpath is now to a place that no container can reach, so that nobody swaps a directory for a link
 * between this look and the runtime's mount.
 */
function pinSubpath(root: string, m: ContainerMount, place: string): true {
  try {
    using base = open(root, O_PATH | O_DIRECTORY);
    using found = openat2(base.fd, m.subpath, { flags: O_PATH, resolve: RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS });
    bindTo(place, found, MS_BIND | MS_REC);
    return true;
  } catch (cause) {
    if (isErrno(cause, "EXDEV")) {
      const words = `path concatenation escapes the base directory, base: ${root}, subpath: ${m.subpath}`;
      throw new DhowError("invalid", words, { cause });
    }
    const isMissing = isErrno(cause, "ENOENT");
    const reason = isMissing ? "no such file or directory" : errorMessage(cause);
    throw new DhowError(isMissing ? "notFound" : "invalid", `cannot access path ${root}/${m.subpath}: ${reason}`, { cause });
  }
}

/** Without what is mounted below it: crun (1.8) takes that along whatever it is told. @throws a `node:fs` error, {SysError} */
function pinAlone(source: string, place: string): true {
  using found = open(source, O_PATH);
  bindTo(place, found, MS_BIND);
  return true;
}

function bindTo(place: string, { fd }: Fd, flags: number): void {
  mkdirSync(place.slice(0, place.lastIndexOf("/")), { recursive: true, mode: 0o700 });
  // left by a daemon that was killed in the middle of a start
  if (existsSync(place)) unpin(place);
  if ((fstat(fd).mode & S_IFMT) === S_IFDIR) mkdirSync(place);
  else writeFileSync(place, "", { flag: "wx" });
  mount(procFdPath(fd), place, null, flags);
}

/** @throws unsupported where the kernel or the file system can't show other ids */
function pinIdmapped(m: ContainerMount, place: string, userns: Fd): true {
  if (pinInView(m.source, place, { userns }, !m.isNonRecursive)) return true;
  const fsType = sourceMount(m.source, readMountInfo())?.fsType ?? "unknown";
  throw new DhowError(
    "unsupported",
    `idmap of ${m.source}: its file system (${fsType}), or one that is mounted below it, can't show other ids, or the kernel is older than Linux 5.12`,
  );
}

/** A place where what is at `from` has the view's ids. False where the file system can't show others, a network's mostly. */
function pinInView(from: string, place: string, view: Pick<IdView, "userns">, isRecursive = true): boolean {
  mkdirSync(dirname(place), { recursive: true, mode: 0o700 });
  // left by a daemon that was killed in the middle of a start
  if (existsSync(place)) unpin(place);
  if (statSync(from).isDirectory()) mkdirSync(place);
  else writeFileSync(place, "", { flag: "wx" });
  try {
    mountIdmapped(from, place, view.userns, isRecursive);
    return true;
  } catch (error) {
    unpin(place);
    if (isErrno(error, "EINVAL", "ENOSYS", "EOPNOTSUPP")) return false;
    throw error;
  }
}

function unpin(place: string): void {
  if (isMountPoint(place)) umount(place, MNT_DETACH);
  if (statSync(place).isDirectory()) rmdirSync(place);
  else unlinkSync(place);
}

/** What may be mounted inside /proc: files that tell of the machine, as lxcfs makes them. @see checkProcMount of runc's libcontainer */
const PROC_FILES: ReadonlySet<string> = new Set(
  [
    ...["cpuinfo", "diskstats", "meminfo", "stat", "swaps", "uptime", "loadavg", "slabinfo", "net/dev"],
    ...["sys/kernel/ns_last_pid", "sys/crypto/fips_enabled"],
  ].map((name) => `/proc/${name}`),
);

/** A container is not given a false /proc: what is written there decides on its confinement. @throws internal in the words of docker's runtime */
function checkInsideProc(destination: string, source: string): void {
  const isWhole = destination === "/proc";
  if (!destination.startsWith("/proc/") && !isWhole) return;
  if (PROC_FILES.has(destination) || (isWhole && isProcfs(source))) return;
  const why = isWhole ? "it is not of type proc" : "it is inside /proc";
  throw new DhowError(
    "internal",
    `failed to create task for container: error mounting "${source}" to rootfs at "${destination}": "${destination}" cannot be mounted because ${why}`,
  );
}

function isProcfs(source: string): boolean {
  return source.startsWith("/") && fsTypeName(statfs(source).type) === "proc";
}

const depth = (m: OciMount): number => m.destination.split("/").length;

/**
 * Says a container's mounts in OCI terms, its volumes being in use: missing bind sources are made where docker makes them, `/a` comes before `/a/b`.
 * @throws invalid, notFound, internal in docker's words
 */
export function resolveMounts(input: ResolveInput): ResolvedMounts {
  const pins: string[] = [];
  const dispose = (): void => {
    for (const place of pins.splice(0).reverse()) unpin(place);
    if (existsSync(input.scratch)) rmdirSync(input.scratch);
  };
  const tmpfs = Object.entries(input.tmpfs ?? {}).map(([path, data]) => ({ destination: cleanPath(path), data }));
  const covered = new Set(tmpfs.map((t) => t.destination));
  for (const { destination } of tmpfs) checkInsideProc(destination, "tmpfs");

  /** Empty when nothing was pinned. */
  const pinned = (pin: (place: string) => boolean): string => {
    const place = `${input.scratch}/${pins.length}`;
    if (!pin(place)) return "";
    pins.push(place);
    return place;
  };
  const source = (m: ContainerMount): string => {
    if (m.kind === "bind") {
      ensureSource(m, input.view);
      const userns = input.idmaps?.get(m.destination);
      if (userns !== undefined) return pinned((place) => pinIdmapped(m, place, userns));
      return m.isNonRecursive ? pinned((place) => pinAlone(m.source, place)) : m.source;
    }
    if (m.image !== undefined) {
      const tree = input.mountImage(m.image.key);
      return m.subpath === "" ? tree : pinned((place) => pinSubpath(tree, m, place));
    }
    const root = input.paths.get(m.volume) ?? m.source;
    const from = m.subpath === "" ? root : pinned((place) => pinSubpath(root, m, place));
    const { view } = input;
    return view === undefined ? from : pinned((place) => pinInView(from, place, view)) || from;
  };
  const toOci = (m: ContainerMount): OciMount => {
    checkInsideProc(m.destination, m.source);
    if (m.kind === "tmpfs") return { destination: m.destination, type: "tmpfs", source: "tmpfs", options: tmpfsOptions(m.tmpfs) };
    const from = source(m);
    checkPropagation(m.idmap === undefined ? from : m.source, m.propagation);
    return { destination: m.destination, type: "bind", source: from, options: bindOptions(m, from, input.recursiveReadOnly) };
  };
  try {
    const mounts: OciMount[] = input.mounts.filter((m) => !covered.has(m.destination)).map(toOci);
    for (const t of tmpfs) mounts.push({ destination: t.destination, type: "tmpfs", source: "tmpfs", options: tmpfsOptions(t.data) });
    return { mounts: mounts.sort((a, b) => depth(a) - depth(b)), dispose };
  } catch (error) {
    dispose();
    throw error;
  }
}

/**
 * Takes a container's volumes into use: mounts them where their options ask for it, or their plug-ins do. Where each is, by name; a promise
 * where that has to be waited for, until `signal` is aborted. @throws internal in docker's words, and the signal's reason; none is in use then
 */
export function useVolumes(
  mounts: readonly ContainerMount[],
  user: string,
  volumes: Volumes,
  signal?: AbortSignal,
): ReadonlyMap<string, string> | Promise<ReadonlyMap<string, string>> {
  const paths = new Map<string, string>();
  const pending: Promise<unknown>[] = [];
  const giveBack = async (): Promise<void> => {
    await Promise.allSettled(pending);
    await releaseMounts(mounts, user, volumes);
  };
  const failed = async (error: unknown): Promise<never> => {
    const done = giveBack();
    // what is still being mounted is given back when it comes to an end
    if (!signal?.aborted) await done;
    throw error;
  };
  try {
    for (const m of mounts) {
      if (m.kind !== "volume" || paths.has(m.volume)) continue;
      const path = volumes.use(m.volume, user, signal);
      if (typeof path === "string") paths.set(m.volume, path);
      else pending.push(path.then((at) => paths.set(m.volume, at)));
    }
  } catch (error) {
    return failed(error);
  }
  return pending.length === 0 ? paths : unlessAborted(Promise.all(pending), signal).then(() => paths, failed);
}

/** What comes of `work`, or the signal's reason when that is aborted before. */
function unlessAborted<T>(work: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return work;
  const { promise, resolve, reject } = Promise.withResolvers<T>();
  const give = (): void => reject(signal.reason);
  if (signal.aborted) give();
  else signal.addEventListener("abort", give, { once: true });
  work.then(resolve, reject).finally(() => signal.removeEventListener("abort", give));
  return promise;
}

/** Ends a stopped container's use of its volumes. A promise where that has to be waited for. */
export function releaseMounts(mounts: readonly ContainerMount[], user: string, volumes: Volumes): void | Promise<void> {
  const pending = mounts.flatMap((m) => (m.kind === "volume" ? (volumes.release(m.volume, user) ?? []) : []));
  if (pending.length > 0) return Promise.all(pending).then(() => {});
}

/** Notes the volumes of a container that was found running when the daemon started. */
export function adoptMounts(mounts: readonly ContainerMount[], user: string, volumes: Volumes): void {
  for (const m of mounts) if (m.kind === "volume") volumes.adopt(m.volume, user);
}
