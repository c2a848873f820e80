import { rmSync } from "node:fs";
import { DhowError, errorMessage } from "../../lib/mod.ts";
import type { ContainerBlkioStatEntry } from "../../spec/engine/mod.ts";
import type { OciResources, OciThrottleDevice } from "../../spec/oci-runtime/mod.ts";
import type { HostFacts } from "../host.ts";
import type { Cgroup, CgroupStats } from "./cgroup.ts";
import {
  isGroupGone,
  parseFlat,
  processesBelow,
  readCgroupFile,
  readNumber,
  removeGroups,
  toNumber,
  writeCgroupFile,
} from "./cgroup-files.ts";
import { deviceWrites, type LimitWrite, writeLimits } from "./limit-writes.ts";

const NS_PER_TICK = 10_000_000;

/** The keys of memory.stat that docker shows. */
const MEMORY_KEYS = ["cache", "rss", "rss_huge", "mapped_file", "dirty", "writeback", "pgpgin", "pgpgout", "pgfault", "pgmajfault"]
  .concat(["inactive_anon", "active_anon", "inactive_file", "active_file", "unevictable"])
  .flatMap((key) => [key, `total_${key}`])
  .concat(["hierarchical_memory_limit", "hierarchical_memsw_limit"]);

/** `8:0 Read 4096` lines; the line with the sum is left out. */
export function parseBlkio(text: string | undefined): ContainerBlkioStatEntry[] {
  const entries: ContainerBlkioStatEntry[] = [];
  for (const line of (text ?? "").split("\n")) {
    const match = /^(\d+):(\d+) (?:([A-Za-z]+) )?(\d+)$/.exec(line);
    if (match) entries.push({ major: Number(match[1]), minor: Number(match[2]), op: match[3] ?? "", value: Number(match[4]) });
  }
  return entries;
}

/** A cgroup on a host with one hierarchy per controller; hybrid hosts too. */
export class CgroupV1 implements Cgroup {
  readonly path: string;
  readonly #facts: HostFacts;

  constructor(path: string, facts: HostFacts) {
    this.path = path;
    this.#facts = facts;
  }

  #at(controller: string, file = ""): string {
    const root = this.#facts.cgroup.v1[controller] ?? `/sys/fs/cgroup/${controller}`;
    return file === "" ? `${root}${this.path}` : `${root}${this.path}/${file}`;
  }

  /** Every hierarchy, each mount point once. */
  #groups(): string[] {
    const { v1, unified } = this.#facts.cgroup;
    const roots = new Set([...Object.values(v1), ...(unified === null ? [] : [unified])]);
    return [...roots].map((root) => `${root}${this.path}`);
  }

  exists(): boolean {
    return this.#groups().some((group) => readCgroupFile(`${group}/cgroup.procs`) !== undefined);
  }

  stats(): CgroupStats {
    return { cpu_stats: this.#cpu(), memory_stats: this.#memory(), blkio_stats: this.#blkio(), pids_stats: this.#pidStats() };
  }

  #cpu(): CgroupStats["cpu_stats"] {
    const ticks = parseFlat(readCgroupFile(this.#at("cpuacct", "cpuacct.stat")));
    const throttling = parseFlat(readCgroupFile(this.#at("cpu", "cpu.stat")));
    const perCpu = (readCgroupFile(this.#at("cpuacct", "cpuacct.usage_percpu")) ?? "").split(" ").filter(Boolean).map(Number);
    return {
      cpu_usage: {
        total_usage: readNumber(this.#at("cpuacct", "cpuacct.usage")),
        ...(perCpu.length > 0 ? { percpu_usage: perCpu } : {}),
        usage_in_kernelmode: (ticks.get("system") ?? 0) * NS_PER_TICK,
        usage_in_usermode: (ticks.get("user") ?? 0) * NS_PER_TICK,
      },
      throttling_data: {
        periods: throttling.get("nr_periods") ?? 0,
        throttled_periods: throttling.get("nr_throttled") ?? 0,
        throttled_time: throttling.get("throttled_time") ?? 0,
      },
    };
  }

  #memory(): CgroupStats["memory_stats"] {
    const usage = readCgroupFile(this.#at("memory", "memory.usage_in_bytes"));
    if (usage === undefined) return {};
    const all = parseFlat(readCgroupFile(this.#at("memory", "memory.stat")));
    const failcnt = readNumber(this.#at("memory", "memory.failcnt"));
    return {
      usage: toNumber(usage),
      max_usage: readNumber(this.#at("memory", "memory.max_usage_in_bytes")),
      stats: Object.fromEntries(MEMORY_KEYS.map((key) => [key, all.get(key) ?? 0])),
      ...(failcnt > 0 ? { failcnt } : {}),
      limit: Math.min(readNumber(this.#at("memory", "memory.limit_in_bytes")), this.#facts.memoryBytes),
    };
  }

  #blkio(): CgroupStats["blkio_stats"] {
    const read = (name: string): ContainerBlkioStatEntry[] => {
      const bfq = parseBlkio(readCgroupFile(this.#at("blkio", `blkio.bfq.${name}_recursive`)));
      return bfq.length > 0 ? bfq : parseBlkio(readCgroupFile(this.#at("blkio", `blkio.throttle.${name}_recursive`)));
    };
    return {
      io_service_bytes_recursive: read("io_service_bytes"),
      io_serviced_recursive: read("io_serviced"),
      io_queue_recursive: [],
      io_service_time_recursive: [],
      io_wait_time_recursive: [],
      io_merged_recursive: [],
      io_time_recursive: [],
      sectors_recursive: [],
    };
  }

  #pidStats(): CgroupStats["pids_stats"] {
    const current = readCgroupFile(this.#at("pids", "pids.current"));
    if (current === undefined) return {};
    const limit = readNumber(this.#at("pids", "pids.max"));
    return { current: toNumber(current), ...(Number.isFinite(limit) ? { limit } : {}) };
  }

  pids(): number[] {
    const found = processesBelow(this.#at(this.#facts.cgroup.v1["pids"] ? "pids" : "freezer"));
    return found.length > 0 ? found : [...new Set(this.#groups().flatMap(processesBelow))];
  }

  oomKills(): number | undefined {
    const text = readCgroupFile(this.#at("memory", "memory.oom_control"));
    return text === undefined ? undefined : (parseFlat(text).get("oom_kill") ?? 0);
  }

  setFrozen(frozen: boolean): void {
    try {
      writeCgroupFile(this.#at("freezer", "freezer.state"), frozen ? "FROZEN" : "THAWED");
    } catch (error) {
      if (!frozen && isGroupGone(error)) return;
      throw new DhowError("internal", `${frozen ? "freeze" : "thaw"} ${this.path}: ${errorMessage(error)}`, { cause: error });
    }
  }

  freezeState(): "thawed" | "freezing" | "frozen" {
    const state = readCgroupFile(this.#at("freezer", "freezer.state"));
    return state === "FROZEN" ? "frozen" : state === "FREEZING" ? "freezing" : "thawed";
  }

  async update({ memory, cpu, pids, blockIO }: OciResources): Promise<void> {
    const write = (controller: string, file: string, value: string | number | undefined): LimitWrite => {
      return { file: this.#at(controller, file), value };
    };
    await writeLimits([
      ...this.#memoryWrites(memory, write),
      write("cpu", "cpu.shares", cpu?.shares),
      write("cpu", "cpu.cfs_period_us", cpu?.period),
      write("cpu", "cpu.cfs_quota_us", cpu?.quota),
      write("cpu", "cpu.rt_period_us", cpu?.realtimePeriod),
      write("cpu", "cpu.rt_runtime_us", cpu?.realtimeRuntime),
      write("cpuset", "cpuset.cpus", cpu?.cpus),
      write("cpuset", "cpuset.mems", cpu?.mems),
      write("pids", "pids.max", pids && pids.limit < 0 ? "max" : pids?.limit),
      write("blkio", "blkio.weight", blockIO?.weight),
      ...this.#deviceWrites(blockIO),
    ]);
  }

  #deviceWrites(blockIO: OciResources["blockIO"]): LimitWrite[] {
    const rates = (file: string, devices: readonly OciThrottleDevice[] | undefined): LimitWrite[] =>
      deviceWrites(
        this.#at("blkio", `blkio.throttle.${file}_device`),
        devices?.map((d) => ({ ...d, text: String(d.rate) })),
        "0",
      );
    const weights = blockIO?.weightDevice?.map((d) => ({ ...d, text: String(d.weight ?? 0) }));
    return [
      ...deviceWrites(this.#at("blkio", "blkio.weight_device"), weights, "0"),
      ...rates("read_bps", blockIO?.throttleReadBpsDevice),
      ...rates("write_bps", blockIO?.throttleWriteBpsDevice),
      ...rates("read_iops", blockIO?.throttleReadIOPSDevice),
      ...rates("write_iops", blockIO?.throttleWriteIOPSDevice),
    ];
  }

  #memoryWrites(
    memory: OciResources["memory"],
    write: (controller: string, file: string, value: string | number | undefined) => LimitWrite,
  ): LimitWrite[] {
    if (!memory) return [];
    const limit = write("memory", "memory.limit_in_bytes", memory.limit);
    const swap = write("memory", "memory.memsw.limit_in_bytes", this.#facts.limits.swap ? memory.swap : undefined);
    // The limit must never be above memory plus swap, not even between the two writes.
    const grows = memory.swap === -1 || (memory.swap ?? 0) > readNumber(swap.file);
    return [...(grows ? [swap, limit] : [limit, swap]), write("memory", "memory.soft_limit_in_bytes", memory.reservation)];
  }

  tryRemove(): boolean {
    const { unmountedUnified } = this.#facts.cgroup;
    if (unmountedUnified !== null) rmSync(`${unmountedUnified}${this.path}`, { recursive: true, force: true });
    return this.#groups().map(removeGroups).every(Boolean);
  }
}
