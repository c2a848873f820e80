import { setTimeout as sleep } from "node:timers/promises";
import { DhowError } from "../../lib/mod.ts";
import { kill } from "../../linux/mod.ts";
import type { ContainerBlkioStats, ContainerCPUStats, ContainerMemoryStats, ContainerPidsStats } from "../../spec/engine/mod.ts";
import type { OciResources } from "../../spec/oci-runtime/mod.ts";
import type { HostFacts } from "../host.ts";
import { CgroupV1 } from "./v1.ts";
import { CgroupV2 } from "./v2.ts";

/** One look at a container's counters, in the form of `docker stats`. */
export interface CgroupStats {
  /** Without the system's own use, see `systemCpu`. */
  readonly cpu_stats: ContainerCPUStats;
  readonly memory_stats: ContainerMemoryStats;
  readonly blkio_stats: ContainerBlkioStats;
  readonly pids_stats: ContainerPidsStats;
}

/** A container's cgroup, in every hierarchy that has one. Nothing is kept open: a group that is gone reads as zeros. */
export interface Cgroup {
  /** Below the hierarchies' roots: `/dhow/<daemon>/<id>`. */
  readonly path: string;
  exists(): boolean;
  stats(): CgroupStats;
  /** Processes of the container, in all groups below this one. */
  pids(): number[];
  /** How many processes the kernel killed for want of memory; undefined when the group is gone. */
  oomKills(): number | undefined;
  /** Asks the kernel to stop (or let go on) every process. @throws internal */
  setFrozen(frozen: boolean): void;
  /** `thawed`, `frozen`, or `freezing` on the way there. */
  freezeState(): "thawed" | "freezing" | "frozen";
  /** Changes limits, all or none; what isn't set stays. Limits per device are left out. @throws internal when the kernel refuses a value */
  update(resources: OciResources): Promise<void>;
  /** Removes the groups; false while a process is left in them. A group that is gone is fine. */
  tryRemove(): boolean;
}

/** The cgroup at `path` on this host. Nothing is made or opened. */
export function cgroupOf(path: string, facts: HostFacts): Cgroup {
  return facts.cgroup.version === 2 ? new CgroupV2(path, facts) : new CgroupV1(path, facts);
}

const FREEZE_LIMIT_MS = 10_000;

/** Stops every process of a container; resolves when all of them stand still. Undone when that takes too long. @throws internal */
export async function freeze(cgroup: Cgroup): Promise<void> {
  const giveUpAt = performance.now() + FREEZE_LIMIT_MS;
  for (let waitMs = 1; ; waitMs = Math.min(waitMs * 2, 50)) {
    // v1 may stay in FREEZING when a process forks at the wrong moment; asking again helps.
    cgroup.setFrozen(true);
    if (cgroup.freezeState() === "frozen") return;
    if (performance.now() > giveUpAt) break;
    await sleep(waitMs);
  }
  cgroup.setFrozen(false);
  throw new DhowError("internal", `freeze ${cgroup.path}: its processes did not stop within ${FREEZE_LIMIT_MS / 1000} s`);
}

/** Lets a frozen container go on. @throws internal */
export function thaw(cgroup: Cgroup): void {
  cgroup.setFrozen(false);
}

/**
 * Kills what is left in a container's groups and removes them: after a runtime that did not, or for what a crash left behind.
 * @throws internal when processes can't be got rid of within two seconds
 */
export async function destroy(cgroup: Cgroup): Promise<void> {
  for (let waitMs = 1; ; waitMs *= 2) {
    if (!cgroup.exists() || cgroup.tryRemove()) return;
    cgroup.setFrozen(false);
    for (const pid of cgroup.pids()) {
      try {
        kill(pid, 9);
      } catch {
        // it ended meanwhile
      }
    }
    if (waitMs > 1000) throw new DhowError("internal", `remove cgroup ${cgroup.path}: processes ${cgroup.pids().join(", ")} do not end`);
    await sleep(waitMs);
  }
}
