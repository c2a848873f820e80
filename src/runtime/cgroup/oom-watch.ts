import { closeSync, mkdirSync, openSync } from "node:fs";
import { dirname } from "node:path";
import {
  drainInotify,
  EPOLLIN,
  eventfd,
  type Fd,
  IN_MODIFY,
  inotify,
  inotifyAddWatch,
  type Reactor,
  readEventfd,
  type Watch,
} from "../../linux/mod.ts";
import type { HostFacts } from "../host.ts";
import { type Cgroup, cgroupOf } from "./cgroup.ts";
import { isGroupGone, writeCgroupFile } from "./cgroup-files.ts";

const KILLED_EXIT_CODE = 137;
/** How long the kernel may take to tell that a group is gone, on a machine that is very busy. */
const GOING_MS = 200;
const LOOK_EVERY_MS = 5;

/**
 * Per daemon, by parent group: how many of the kills that the parent counts have been noticed. A parent counts for all groups below it
 * and outlives them.
 */
const noticedKills = new WeakMap<HostFacts, Map<string, number>>();

/**
 * Notices that a container ran out of memory, in time: the runtime removes the group, and the kernel's count with it, as soon as the
 * first process is gone.
 *
 * v1: an eventfd on memory.oom_control is signalled before the kernel kills, and once more when the group goes away. A signal while the
 * group is there is out-of-memory for sure; one that is seen only afterwards counts when the second comes on top of it.
 * v2: memory.events is watched, and looked at once more when the exit is noticed. Kernels before 6.15 tell of the exit only after the
 * runtime has cleaned up, and events that follow each other within 10 ms are held back, so that of the kill may never come: then a
 * process that was killed (SIGKILL) was out of memory when the parent counts more kills than were noticed.
 */
export class OomWatch implements Disposable {
  readonly #facts: HostFacts;
  readonly #cgroup: Cgroup;
  readonly #reactor: Reactor;
  #fd: Fd | undefined;
  #watch: Watch | undefined;
  readonly #isV1: boolean;
  readonly #onOom: () => void;
  readonly #ledger: Map<string, number>;
  readonly #parent: string;
  #kills = 0;
  #hasOom = false;
  #signalsAfterwards = 0;
  #isClosed = false;

  private constructor(
    facts: HostFacts,
    path: string,
    fd: Fd | undefined,
    options: { readonly reactor: Reactor; readonly onOom: () => void },
  ) {
    this.#facts = facts;
    this.#cgroup = cgroupOf(path, facts);
    this.#parent = dirname(path);
    this.#reactor = options.reactor;
    this.#isV1 = facts.cgroup.version === 1;
    this.#onOom = options.onOom;
    this.#ledger = noticedKills.get(facts) ?? new Map<string, number>();
    noticedKills.set(facts, this.#ledger);
    if (!this.#ledger.has(this.#parent)) this.#ledger.set(this.#parent, this.#countParentKills());
    if (fd) this.#listen(fd);
  }

  #listen(fd: Fd): void {
    this.#fd = fd;
    this.#watch = this.#reactor.watch(fd.fd, EPOLLIN, () => this.#look());
  }

  /** v2: listens from here on to a group that was not there when the watch was started; one that is gone already is fine. @throws {SysError} */
  follow(): void {
    if (this.#isV1 || this.#fd || this.#isClosed) return;
    const fd = inotify();
    try {
      inotifyAddWatch(fd.fd, `${this.#facts.cgroup.unified}${this.#cgroup.path}/memory.events`, IN_MODIFY);
      this.#listen(fd);
    } catch (error) {
      fd.close();
      if (!isGroupGone(error)) throw error;
      return;
    }
    // what happened before goes unheard
    this.#look();
  }

  /**
   * Watches the group at `path`; `onOom` is called once, at the first time. Undefined when there is no
   * memory controller, and on v1 when there is no such group (any more). With `isAhead` the group is made there: a process
   * that runs out of memory at once would be gone before anybody watched. On v2 the parent's count tells of that; see `follow`.
   */
  static start(
    path: string,
    facts: HostFacts,
    reactor: Reactor,
    options: { readonly onOom: () => void; readonly isAhead?: boolean },
  ): OomWatch | undefined {
    const { onOom } = options;
    const isV1 = facts.cgroup.version === 1;
    const root = isV1 ? facts.cgroup.v1["memory"] : (facts.cgroup.unified ?? undefined);
    if (root === undefined || !facts.limits.memory) return undefined;
    const fd = isV1 ? eventfd() : inotify();
    try {
      if (isV1 && options.isAhead) mkdirSync(`${root}${path}`, { recursive: true });
      if (isV1) registerV1(`${root}${path}`, fd.fd);
      else inotifyAddWatch(fd.fd, `${root}${path}/memory.events`, IN_MODIFY);
      return new OomWatch(facts, path, fd, { reactor, onOom });
    } catch (error) {
      fd.close();
      if (!isGroupGone(error)) throw error;
      return isV1 ? undefined : new OomWatch(facts, path, undefined, { reactor, onOom });
    }
  }

  /** Whether the container ran out of memory until now. Exact while the group exists. */
  get hasOom(): boolean {
    if (!this.#isClosed) this.#look();
    return this.#hasOom;
  }

  /** Whether the container ran out of memory, now that it has ended with `exitCode`. Call it when the exit is noticed. */
  endedByOom(exitCode: number): boolean {
    const hasOom = this.hasOom;
    if (this.#isV1 || this.#cgroup.oomKills() !== undefined) return hasOom;
    const kills = this.#countParentKills();
    if (!hasOom && exitCode === KILLED_EXIT_CODE && kills > this.#noticed) this.#found();
    // what was killed in it after the last look belongs to it, too
    if (this.#hasOom) this.#ledger.set(this.#parent, kills);
    return this.#hasOom;
  }

  /**
   * What to wait for until `endedByOom` can be sure; nothing when it is. v1: one signal of a group that is gone was out-of-memory, or is
   * the end of the group, of which the kernel tells a moment later. With `isOurs` it was the daemon that killed the process.
   */
  settling(exitCode: number, isOurs: boolean): Promise<void> | undefined {
    return this.#isV1 && !isOurs && exitCode === KILLED_EXIT_CODE && this.#isUnsure() ? this.#settle() : undefined;
  }

  async #settle(): Promise<void> {
    for (let waitedMs = 0; waitedMs < GOING_MS && this.#isUnsure(); waitedMs += LOOK_EVERY_MS) await Bun.sleep(LOOK_EVERY_MS);
  }

  #isUnsure(): boolean {
    return !this.hasOom && this.#signalsAfterwards === 1 && !this.#isClosed;
  }

  #look(): void {
    if (this.#isV1) this.#lookV1();
    else this.#lookV2();
  }

  #lookV1(): void {
    const signals = this.#fd ? readEventfd(this.#fd.fd) : 0;
    if (this.#hasOom) return;
    const kills = this.#cgroup.oomKills();
    if (kills !== undefined) {
      if (kills > 0 || signals > 0) this.#found();
      return;
    }
    this.#signalsAfterwards += signals;
    if (this.#signalsAfterwards > 1) this.#found();
  }

  #lookV2(): void {
    if (this.#fd) drainInotify(this.#fd.fd);
    const kills = this.#cgroup.oomKills();
    if (kills === undefined || kills === this.#kills) return;
    // those before this daemon are in the count that it began with
    this.#ledger.set(this.#parent, Math.min(this.#noticed + kills - this.#kills, this.#countParentKills()));
    this.#kills = kills;
    if (!this.#hasOom) this.#found();
  }

  get #noticed(): number {
    return this.#ledger.get(this.#parent) ?? 0;
  }

  /** 0 for the root, which doesn't count. */
  #countParentKills(): number {
    return this.#isV1 ? 0 : (cgroupOf(this.#parent, this.#facts).oomKills() ?? 0);
  }

  #found(): void {
    this.#hasOom = true;
    this.#onOom();
  }

  [Symbol.dispose](): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#watch?.[Symbol.dispose]();
    this.#fd?.close();
  }
}

function registerV1(directory: string, fd: number): void {
  const control = openSync(`${directory}/memory.oom_control`, "r");
  try {
    writeCgroupFile(`${directory}/cgroup.event_control`, `${fd} ${control}`);
  } finally {
    closeSync(control);
  }
}
