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

/** The keys of memory.stat that docker shows. */
const MEMORY_KEYS = ["anon", "file", "kernel_stack", "slab", "sock", "shmem", "file_mapped", "file_dirty", "file_writeback", "anon_thp"]
  .concat(["inactive_anon", "active_anon", "inactive_file", "active_file", "unevictable", "slab_reclaimable", "slab_unreclaimable"])
  .concat(["pgfault", "pgmajfault", "workingset_refault", "workingset_activate", "workingset_nodereclaim", "pgrefill", "pgscan", "pgsteal"])
  .concat(["pgactivate", "pgdeactivate", "pglazyfree", "pglazyfreed", "thp_fault_alloc", "thp_collapse_alloc"]);

/** `8:0 rbytes=1 wbytes=2 rios=… …` lines as docker's read and write entries. */
export function parseIoStat(text: string | undefined): ContainerBlkioStatEntry[] {
  const entries: ContainerBlkioStatEntry[] = [];
  for (const line of (text ?? "").split("\n")) {
    const match = /^(\d+):(\d+) (.*)$/.exec(line);
    if (!match) continue;
    const device = { major: Number(match[1]), minor: Number(match[2]) };
    const values = new Map((match[3] ?? "").split(" ").map((pair) => [pair.split("=")[0] ?? "", Number(pair.split("=")[1])]));
    entries.push({ ...device, op: "read", value: values.get("rbytes") ?? 0 }, { ...device, op: "write", value: values.get("wbytes") ?? 0 });
  }
  return entries;
}

/** v1's cpu.shares (2 to 262144) on v2's scale (1 to 10000). @see crun(1), cgroup v2 conversion */
export function sharesToWeight(shares: number): number {
  if (shares <= 2) return 1;
  if (shares >= 262_144) return 10_000;
  return 1 + Math.trunc(((shares - 2) * 9999) / 262_142);
}

/** v1's blkio.weight (10 to 1000) on the scale of io.weight (1 to 10000). */
function ioWeight(weight: number): number {
  return 1 + Math.trunc(((weight - 10) * 9999) / 990);
}

/** A cgroup on a host with the unified hierarchy. */
export class CgroupV2 implements Cgroup {
  readonly path: string;
  readonly #facts: HostFacts;
  readonly #root: string;

  constructor(path: string, facts: HostFacts) {
    this.path = path;
    this.#facts = facts;
    this.#root = `${facts.cgroup.unified ?? "/sys/fs/cgroup"}${path}`;
  }

  #read(file: string): string | undefined {
    return readCgroupFile(`${this.#root}/${file}`);
  }

  exists(): boolean {
    return this.#read("cgroup.procs") !== undefined;
  }

  stats(): CgroupStats {
    return {
      cpu_stats: this.#cpu(),
      memory_stats: this.#memory(),
      blkio_stats: this.#blkio(),
      pids_stats: this.#pidStats(),
    };
  }

  #cpu(): CgroupStats["cpu_stats"] {
    const stat = parseFlat(this.#read("cpu.stat"));
    const ns = (key: string): number => (stat.get(key) ?? 0) * 1000;
    return {
      cpu_usage: { total_usage: ns("usage_usec"), usage_in_kernelmode: ns("system_usec"), usage_in_usermode: ns("user_usec") },
      throttling_data: {
        periods: stat.get("nr_periods") ?? 0,
        throttled_periods: stat.get("nr_throttled") ?? 0,
        throttled_time: ns("throttled_usec"),
      },
    };
  }

  #memory(): CgroupStats["memory_stats"] {
    const usage = this.#read("memory.current");
    if (usage === undefined) return {};
    const all = parseFlat(this.#read("memory.stat"));
    const failcnt = parseFlat(this.#read("memory.events")).get("oom") ?? 0;
    return {
      usage: toNumber(usage),
      stats: Object.fromEntries(MEMORY_KEYS.map((key) => [key, all.get(key) ?? 0])),
      ...(failcnt > 0 ? { failcnt } : {}),
      limit: Math.min(toNumber(this.#read("memory.max")), this.#facts.memoryBytes),
    };
  }

  #blkio(): CgroupStats["blkio_stats"] {
    const entries = parseIoStat(this.#read("io.stat"));
    return {
      io_service_bytes_recursive: entries.length > 0 ? entries : null,
      io_serviced_recursive: null,
      io_queue_recursive: null,
      io_service_time_recursive: null,
      io_wait_time_recursive: null,
      io_merged_recursive: null,
      io_time_recursive: null,
      sectors_recursive: null,
    };
  }

  #pidStats(): CgroupStats["pids_stats"] {
    const current = this.#read("pids.current");
    if (current === undefined) return {};
    const limit = readNumber(`${this.#root}/pids.max`);
    return { current: toNumber(current), ...(Number.isFinite(limit) ? { limit } : {}) };
  }

  pids(): number[] {
    return processesBelow(this.#root);
  }

  oomKills(): number | undefined {
    const text = this.#read("memory.events");
    return text === undefined ? undefined : (parseFlat(text).get("oom_kill") ?? 0);
  }

  setFrozen(frozen: boolean): void {
    try {
      writeCgroupFile(`${this.#root}/cgroup.freeze`, frozen ? 1 : 0);
    } catch (error) {
      if (!frozen && isGroupGone(error)) return;
      throw new DhowError("internal", `${frozen ? "freeze" : "thaw"} ${this.path}: ${errorMessage(error)}`, { cause: error });
    }
  }

  freezeState(): "thawed" | "freezing" | "frozen" {
    if (parseFlat(this.#read("cgroup.events")).get("frozen") === 1) return "frozen";
    return this.#read("cgroup.freeze") === "1" ? "freezing" : "thawed";
  }

  async update({ memory, cpu, pids, blockIO }: OciResources): Promise<void> {
    const write = (file: string, value: string | number | undefined): LimitWrite => ({ file: `${this.#root}/${file}`, value });
    const orMax = (value: number | undefined): number | "max" | undefined => (value !== undefined && value < 0 ? "max" : value);
    const weight = blockIO?.weight;
    if (memory?.limit !== undefined) await this.#makeRoom(memory.limit);
    await writeLimits([
      write("memory.swap.max", this.#swap(memory)),
      write("memory.max", orMax(memory?.limit)),
      write("memory.low", orMax(memory?.reservation)),
      write("cpu.weight", cpu?.shares === undefined ? undefined : sharesToWeight(cpu.shares)),
      write("cpu.max", this.#quota(cpu)),
      write("cpuset.cpus", cpu?.cpus),
      write("cpuset.mems", cpu?.mems),
      write("pids.max", orMax(pids?.limit)),
      write("io.weight", weight === undefined ? undefined : `default ${ioWeight(weight)}`),
      ...this.#deviceWrites(blockIO),
    ]);
  }

  /** @see Documentation/admin-guide/cgroup-v2.rst, io.max */
  #deviceWrites(blockIO: OciResources["blockIO"]): LimitWrite[] {
    const rates = (key: string, devices: readonly OciThrottleDevice[] | undefined): LimitWrite[] =>
      deviceWrites(
        `${this.#root}/io.max`,
        devices?.map((d) => ({ ...d, text: `${key}=${d.rate > 0 ? d.rate : "max"}` })),
        `${key}=max`,
      );
    const weights = blockIO?.weightDevice?.map((d) => ({ ...d, text: d.weight ? String(ioWeight(d.weight)) : "default" }));
    return [
      ...deviceWrites(`${this.#root}/io.weight`, weights, "default"),
      ...rates("rbps", blockIO?.throttleReadBpsDevice),
      ...rates("wbps", blockIO?.throttleWriteBpsDevice),
      ...rates("riops", blockIO?.throttleReadIOPSDevice),
      ...rates("wiops", blockIO?.throttleWriteIOPSDevice),
    ];
  }

  /** Below its use, `memory.max` ends processes of the group; v1 refuses such a limit, and so do we. @throws internal */
  async #makeRoom(limitBytes: number): Promise<void> {
    if (toNumber(this.#read("memory.current")) <= limitBytes) return;
    const high = this.#read("memory.high") ?? "max";
    // the kernel reclaims what it can before this write returns
    await writeLimits([{ file: `${this.#root}/memory.high`, value: limitBytes }]);
    const isOver = toNumber(this.#read("memory.current")) > limitBytes;
    await writeLimits([{ file: `${this.#root}/memory.high`, value: high }]);
    if (isOver) {
      throw new DhowError("internal", `failed to write "${limitBytes}": write ${this.#root}/memory.max: device or resource busy`);
    }
  }

  /** Swap counts alone here, with memory in what docker is asked for. */
  #swap(memory: OciResources["memory"]): number | "max" | undefined {
    if (memory?.swap === undefined || !this.#facts.limits.swap) return undefined;
    const limit = memory.limit ?? toNumber(this.#read("memory.max"));
    return memory.swap < 0 ? "max" : Math.max(0, memory.swap - limit);
  }

  #quota(cpu: OciResources["cpu"]): string | undefined {
    if (cpu?.quota === undefined && cpu?.period === undefined) return undefined;
    const [presentQuota = "max", presentPeriod = "100000"] = (this.#read("cpu.max") ?? "").split(" ");
    const quota = cpu.quota === undefined ? presentQuota : cpu.quota <= 0 ? "max" : cpu.quota;
    return `${quota} ${cpu.period ?? presentPeriod}`;
  }

  tryRemove(): boolean {
    return removeGroups(this.#root);
  }
}
