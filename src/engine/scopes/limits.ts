import { cgroupOf, groupsIn, type HostFacts, makeParent, removeEmptyParent } from "../../runtime/mod.ts";
import type { SocketQuota } from "../../spec/engine/mod.ts";

const CPU_PERIOD_US = 100_000;

/** The cgroups of scoped sockets, `<parent>/<name>`: the limits of one hold for all containers made through it together. */
export class SocketLimits {
  readonly #parent: string;
  readonly #facts: HostFacts;

  constructor(parent: string, facts: HostFacts) {
    this.#parent = parent;
    this.#facts = facts;
  }

  /** The cgroup for a socket's containers; undefined where the kernel has no limit to hold. */
  pathFor(name: string, { Memory, NanoCpus, Pids }: SocketQuota): string | undefined {
    return Memory > 0 || NanoCpus > 0 || Pids > 0 ? `${this.#parent}/${name}` : undefined;
  }

  /** Makes a socket's cgroup, and sets its limits again. @throws internal when the kernel refuses one */
  async prepare(name: string, quota: SocketQuota): Promise<void> {
    const path = this.pathFor(name, quota);
    if (path === undefined) return;
    const { Memory, NanoCpus, Pids } = quota;
    makeParent(path, this.#facts);
    await cgroupOf(path, this.#facts).update({
      ...(Memory > 0 ? { memory: { limit: Memory, swap: Memory } } : {}),
      ...(NanoCpus > 0 ? { cpu: { period: CPU_PERIOD_US, quota: Math.round((NanoCpus * CPU_PERIOD_US) / 1e9) } } : {}),
      ...(Pids > 0 ? { pids: { limit: Pids } } : {}),
    });
  }

  /** Containers that still run keep it, and with it the limits. */
  remove(name: string): void {
    cgroupOf(`${this.#parent}/${name}`, this.#facts).tryRemove();
    removeEmptyParent(this.#parent, this.#facts);
  }

  /** Removes the cgroups of sockets that are no more, once nothing runs in them. */
  sweep(known: ReadonlySet<string>): void {
    for (const name of groupsIn(this.#parent, this.#facts)) if (!known.has(name)) this.remove(name);
  }
}
