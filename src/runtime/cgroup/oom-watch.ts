import { closeSync, openSync } from "node:fs";
import { dirname } from "node:path";
import { errnoCode } from "../../lib/mod.ts";
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
import { writeCgroupFile } from "./cgroup-files.ts";

/**
 * The kernel tells of an event at the limit at once, and holds back for 10 ms those that follow: that of the kill may never come, when the
 * group is gone by then. Long enough for a busy machine and a slow runtime.
 */
const EVENT_BEFORE_KILL_MS = 5000;

/**
 * Notices that a container ran out of memory, in time: the runtime removes the group, and the kernel's count with it, as soon as the
 * first process is gone.
 *
 * v1: an eventfd on memory.oom_control is signalled before the kernel kills, and once more when the group goes away. A signal while the
 * group is there is out-of-memory for sure; one that is seen only afterwards counts when the second comes on top of it.
 * v2: memory.events is watched, and looked at once more when the exit is noticed. Kernels before 6.15 tell of the exit only after the
 * runtime has cleaned up: then it was out-of-memory when the group has just come to its limit, and the parent, which counts for all
 * groups below it and stays, counts a kill more than when this group was last looked at.
 */
export class OomWatch implements Disposable {
  readonly #facts: HostFacts;
  readonly #cgroup: Cgroup;
  readonly #fd: Fd;
  readonly #watch: Watch;
  readonly #isV1: boolean;
  readonly #onOom: () => void;
  #parentKills: number | undefined;
  #lastEventMs = Number.NEGATIVE_INFINITY;
  #hasOom = false;
  #signalsAfterwards = 0;
  #isClosed = false;

  private constructor(facts: HostFacts, path: string, fd: Fd, options: { readonly reactor: Reactor; readonly onOom: () => void }) {
    this.#facts = facts;
    this.#cgroup = cgroupOf(path, facts);
    this.#fd = fd;
    this.#isV1 = facts.cgroup.version === 1;
    this.#onOom = options.onOom;
    this.#parentKills = this.#countParentKills();
    this.#watch = options.reactor.watch(fd.fd, EPOLLIN, () => {
      this.#look();
    });
  }

  /**
   * Watches the group at `path`; `onOom` is called once, at the first time. Undefined when there is no such group (any more) or no
   * memory controller.
   */
  static start(path: string, facts: HostFacts, reactor: Reactor, onOom: () => void): OomWatch | undefined {
    const isV1 = facts.cgroup.version === 1;
    const root = isV1 ? facts.cgroup.v1["memory"] : (facts.cgroup.unified ?? undefined);
    if (root === undefined || !facts.limits.memory) return undefined;
    const fd = isV1 ? eventfd() : inotify();
    try {
      if (isV1) registerV1(`${root}${path}`, fd.fd);
      else inotifyAddWatch(fd.fd, `${root}${path}/memory.events`, IN_MODIFY);
      return new OomWatch(facts, path, fd, { reactor, onOom });
    } catch (error) {
      fd.close();
      if (["ENOENT", "ENODEV"].includes(errnoCode(error) ?? "")) return undefined;
      throw error;
    }
  }

  /** Whether the container ran out of memory until now. Exact while the group exists; call it when the exit is noticed. */
  get hasOom(): boolean {
    if (!this.#isClosed) this.#look();
    return this.#hasOom;
  }

  #look(): void {
    if (this.#isV1) this.#lookV1();
    else this.#lookV2();
  }

  #lookV1(): void {
    const signals = readEventfd(this.#fd.fd);
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
    if ((drainInotify(this.#fd.fd) & IN_MODIFY) !== 0) this.#lastEventMs = performance.now();
    if (this.#hasOom) return;
    const kills = this.#cgroup.oomKills();
    const parentKills = this.#countParentKills();
    if (kills !== undefined) this.#parentKills = parentKills;
    const isRecent = performance.now() - this.#lastEventMs < EVENT_BEFORE_KILL_MS;
    if (kills === undefined ? isRecent && (parentKills ?? 0) > (this.#parentKills ?? 0) : kills > 0) this.#found();
  }

  /** Of all groups below the parent, those that are gone included; undefined on v1, and for the root, which doesn't count. */
  #countParentKills(): number | undefined {
    return this.#isV1 ? undefined : cgroupOf(dirname(this.#cgroup.path), this.#facts).oomKills();
  }

  #found(): void {
    this.#hasOom = true;
    this.#onOom();
  }

  [Symbol.dispose](): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#watch[Symbol.dispose]();
    this.#fd.close();
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
