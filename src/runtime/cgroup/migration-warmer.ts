import { closeSync, openSync, readFileSync, write } from "node:fs";
import type { HostFacts } from "../host.ts";

/** A migration within 12 ms of the one before was measured to be free; half of that leaves room for a late timer. */
const BEAT_MS = 5;
const DEFAULT_KEEP_MS = 100;

/**
 * Takes the wait out of moving a container's first process into its cgroup.
 *
 * On v1 a runtime writes the process to cgroup.procs. The kernel takes a lock for that whose first use after a quiet moment waits for an
 * RCU grace period, 6 to 15 ms; uses that follow each other closely don't wait. `touch()` is called when a start is to be expected (a
 * request to create a container, an exec): the daemon then writes its own id to the group it is in already, which changes nothing but
 * takes the same lock, off the main thread, and again every few milliseconds for a short while. On v2 crun clones the process into its
 * group, so nothing is to be done there.
 * @see kernel/cgroup/cgroup.c, cgroup_attach_lock; Documentation/RCU
 */
export class MigrationWarmer implements Disposable {
  readonly #keepMs: number;
  #fd: number;
  #until = 0;
  #isBeating = false;
  #isClosed = false;

  constructor(facts: HostFacts, options: { readonly keepMs?: number } = {}) {
    this.#keepMs = options.keepMs ?? DEFAULT_KEEP_MS;
    this.#fd = facts.cgroup.version === 1 ? openOwnGroup(facts) : -1;
  }

  /** Whether this host needs it and lets it be done. */
  get isUseful(): boolean {
    return this.#fd >= 0;
  }

  /** A start may come soon. Costs microseconds. */
  touch(): void {
    if (this.#fd < 0 || this.#isClosed) return;
    this.#until = performance.now() + this.#keepMs;
    if (!this.#isBeating) this.#beat();
  }

  #beat(): void {
    this.#isBeating = true;
    write(this.#fd, String(process.pid), (error) => {
      if (this.#isClosed || error !== null || performance.now() > this.#until) this.#rest(error !== null);
      else setTimeout(() => (this.#isClosed ? this.#rest(false) : this.#beat()), BEAT_MS).unref();
    });
  }

  #rest(failed: boolean): void {
    this.#isBeating = false;
    if (this.#isClosed || failed) this.#close();
  }

  #close(): void {
    if (this.#fd >= 0) closeSync(this.#fd);
    this.#fd = -1;
  }

  [Symbol.dispose](): void {
    this.#isClosed = true;
    // A write under way has the number still: it closes when it comes back.
    if (!this.#isBeating) this.#close();
  }
}

function openOwnGroup(facts: HostFacts): number {
  for (const line of readFileSync("/proc/self/cgroup", "utf8").split("\n")) {
    const [, controllers = "", path = ""] = /^\d+:([^:]*):(.*)$/.exec(line) ?? [];
    const root = facts.cgroup.v1[controllers.split(",")[0]?.replace(/^name=/, "") ?? ""];
    if (root === undefined) continue;
    try {
      return openSync(`${root}${path}/cgroup.procs`, "r+");
    } catch {
      // not ours to write, or out of sight in a container; the next hierarchy may do
    }
  }
  return -1;
}
