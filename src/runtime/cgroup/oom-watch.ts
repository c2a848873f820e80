import { closeSync, openSync } from "node:fs";
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
 * Notices that a container ran out of memory, in time: the runtime removes the group, and the kernel's count with it, as soon as the
 * first process is gone.
 *
 * v1: an eventfd on memory.oom_control is signalled before the kernel kills, and once more when the group goes away. A signal while the
 * group is there is out-of-memory for sure; one that is seen only afterwards counts when the second comes on top of it.
 * v2: memory.events is watched, and looked at once more when the exit is noticed, which is before the runtime has cleaned up.
 */
export class OomWatch implements Disposable {
  readonly #cgroup: Cgroup;
  readonly #fd: Fd;
  readonly #watch: Watch;
  readonly #isV1: boolean;
  readonly #onOom: () => void;
  #hasOom = false;
  #signalsAfterwards = 0;
  #isClosed = false;

  private constructor(cgroup: Cgroup, fd: Fd, reactor: Reactor, options: { readonly isV1: boolean; readonly onOom: () => void }) {
    this.#cgroup = cgroup;
    this.#fd = fd;
    this.#isV1 = options.isV1;
    this.#onOom = options.onOom;
    this.#watch = reactor.watch(fd.fd, EPOLLIN, () => {
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
      return new OomWatch(cgroupOf(path, facts), fd, reactor, { isV1, onOom });
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
    const signals = this.#isV1 ? readEventfd(this.#fd.fd) : drainInotify(this.#fd.fd);
    if (this.#hasOom) return;
    const kills = this.#cgroup.oomKills();
    if (kills !== undefined) {
      if (kills > 0 || (this.#isV1 && signals > 0)) this.#found();
      return;
    }
    if (!this.#isV1) return;
    this.#signalsAfterwards += signals;
    if (this.#signalsAfterwards > 1) this.#found();
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
