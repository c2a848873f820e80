/**
 * What is mounted on the host while the daemon runs. Its namespace is a copy of the host's, and the kernel tells a copy only of what happens
 * below shared mounts. Where `/` is private, as without systemd and inside of containers, the daemon takes over the rest itself: else a bind
 * of a disk that was mounted later would show the empty directory below it, and a disk that the host unmounts would stay in use.
 */
import { readFileSync, readSync } from "node:fs";
import type { Logger } from "../lib/mod.ts";
import {
  attachMount,
  cloneMount,
  EPOLLPRI,
  type Fd,
  MNT_DETACH,
  type MountInfo,
  MS_PRIVATE,
  MS_REC,
  mount,
  O_CLOEXEC,
  O_PATH,
  O_RDONLY,
  open,
  parseMountInfo,
  type Reactor,
  UMOUNT_NOFOLLOW,
  umount,
  type Watch,
  withMountNamespace,
} from "../linux/mod.ts";
import { type MountChanges, mountChanges } from "./mount-changes.ts";

const OWN_MOUNTS = "/proc/thread-self/mountinfo";
/** A host that mounts many things in a row is followed once. */
const QUIET_MS = 500;
/** Readings of both tables until the host's stays the same meanwhile. */
const READINGS = 5;

/** How the daemon's namespace follows the host's. */
export interface HostMountsOptions {
  /** The host's mount namespace. */
  readonly host: Fd;
  /** The places where the daemon's namespace is not the host's: nothing at, above and below them is touched. */
  readonly own: readonly string[];
  readonly log: Logger;
}

export class HostMounts implements Disposable {
  readonly #o: HostMountsOptions;
  readonly #home: Fd;
  readonly #table: Fd;
  /** The host's table when it was followed last. */
  #seen = "";
  readonly #failed = new Set<string>();
  #watch: Watch | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;

  /** @throws {SysError} */
  constructor(options: HostMountsOptions) {
    this.#o = options;
    this.#home = open("/proc/thread-self/ns/mnt", O_RDONLY | O_CLOEXEC);
    // the table of a namespace can be read from everywhere once it is open
    this.#table = this.#onHost(() => open(OWN_MOUNTS, O_RDONLY | O_CLOEXEC));
  }

  /** Follows the host a moment after each change of its mounts, until it is disposed of. @throws {SysError} */
  watch(reactor: Reactor): void {
    this.#watch = reactor.watch(this.#table.fd, EPOLLPRI, () => {
      this.#timer ??= setTimeout(() => {
        this.#timer = undefined;
        this.follow();
      }, QUIET_MS);
      this.#timer.unref();
    });
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
    this.#watch?.[Symbol.dispose]();
    this.#table.close();
    this.#home.close();
  }

  /** Makes the daemon's namespace what the host's is now; at once when nothing has changed there. What can't be taken over is in the log. */
  follow(): void {
    if (readAll(this.#table) === this.#seen) return;
    const { text, changes } = this.#compare();
    for (const { mountPoint } of changes.gone) this.#try("unmount", mountPoint, () => unmountAlone(mountPoint));
    for (const found of changes.missing) this.#try("mount", found.mountPoint, () => this.#take(found));
    this.#seen = text;
  }

  /** Both tables, as they were at one time: what comes by propagation comes to both at once. */
  #compare(): { readonly text: string; readonly changes: MountChanges } {
    let text = readAll(this.#table);
    for (let left = READINGS; ; left--) {
      const own = readFileSync(OWN_MOUNTS, "utf8");
      const again = readAll(this.#table);
      if (again === text || left === 0) return { text, changes: mountChanges(parseMountInfo(text), parseMountInfo(own), this.#o.own) };
      text = again;
    }
  }

  #take({ mountPoint, mountId }: MountInfo): void {
    const tree = this.#onHost(() => {
      using place = open(mountPoint, O_PATH | O_CLOEXEC);
      // it may have been taken away or covered since
      return mountIdOf(place) === mountId ? cloneMount(place, true) : undefined;
    });
    if (tree === undefined) return;
    using taken = tree;
    attachMount(taken, mountPoint);
  }

  #try(verb: string, path: string, work: () => void): void {
    try {
      work();
      this.#o.log.debug(`followed the host: ${verb}`, { path });
    } catch (error) {
      // once: it is tried again whenever something else changes
      this.#o.log[this.#failed.has(path) ? "debug" : "warn"](`can't follow the host: ${verb}`, { path, error });
      this.#failed.add(path);
    }
  }

  #onHost<T>(work: () => T): T {
    const directory = process.cwd();
    try {
      return withMountNamespace(this.#o.host, this.#home, work);
    } finally {
      process.chdir(directory);
    }
  }
}

function readAll(file: Fd): string {
  const chunks: Buffer[] = [];
  for (let at = 0; ; ) {
    const chunk = Buffer.alloc(0x10000);
    const length = readSync(file.fd, chunk, 0, chunk.length, at);
    if (length === 0) return Buffer.concat(chunks).toString();
    chunks.push(chunk.subarray(0, length));
    at += length;
  }
}

/** Which mount a descriptor is in. @see proc_pid_fdinfo(5) */
function mountIdOf({ fd }: Fd): number {
  return Number(/^mnt_id:\s*(\d+)/m.exec(readFileSync(`/proc/thread-self/fdinfo/${fd}`, "utf8"))?.[1]);
}

/** Takes a mount away here and nowhere else: what is mounted below a shared one would go at its peers, too. @throws {SysError} */
function unmountAlone(path: string): void {
  mount(null, path, null, MS_PRIVATE | MS_REC);
  umount(path, MNT_DETACH | UMOUNT_NOFOLLOW);
}
