import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { arch, availableParallelism, cpus, release } from "node:os";
import { type MountInfo, readMountInfo } from "../linux/mod.ts";

/** Where the cgroup hierarchies are mounted, as this process sees them. */
export interface CgroupLayout {
  /** 2 when /sys/fs/cgroup is the unified hierarchy, else 1; hybrid counts as 1, as crun and docker have it. */
  readonly version: 1 | 2;
  /** v1 with a unified hierarchy beside it. */
  readonly hybrid: boolean;
  /** Mount point of each v1 controller (`memory`, `cpu`, …; `systemd` for name=systemd). Empty on v2. */
  readonly v1: Readonly<Record<string, string>>;
  /** Mount point of the unified hierarchy; null when there is none. */
  readonly unified: string | null;
  /**
   * Where crun 1.8 makes plain directories because a unified hierarchy was unmounted from there (the way to run it on a hybrid host);
   * nobody else removes them. Null when there is no such place.
   */
  readonly unmountedUnified: string | null;
  /** Controllers that limits can use: v1's mounted ones, or the root's cgroup.controllers. */
  readonly controllers: ReadonlySet<string>;
}

/** A soft and a hard limit; Infinity = unlimited. */
export interface RlimitPair {
  readonly soft: number;
  readonly hard: number;
}

/** Which limits the kernel can set: docker's /info fields, and what validation discards. */
export interface LimitSupport {
  readonly memory: boolean;
  readonly swap: boolean;
  readonly memoryReservation: boolean;
  readonly oomKillDisable: boolean;
  readonly memorySwappiness: boolean;
  readonly cpuShares: boolean;
  readonly cpuCfs: boolean;
  readonly cpuRealtime: boolean;
  readonly cpuset: boolean;
  readonly pids: boolean;
  readonly blkioWeight: boolean;
  readonly blkioWeightDevice: boolean;
  readonly blkioReadBps: boolean;
  readonly blkioWriteBps: boolean;
  readonly blkioReadIops: boolean;
  readonly blkioWriteIops: boolean;
}

/** What this machine and this process can do; it doesn't change while the daemon runs, but for what the forwarding of packets decides. */
export interface HostFacts {
  readonly cgroup: CgroupLayout;
  readonly limits: LimitSupport;
  /** CPUs and memory nodes that a container may be bound to, `0-3,7`. */
  readonly cpusAvailable: string;
  readonly memsAvailable: string;
  readonly cgroupNamespaces: boolean;
  /** The capabilities that the daemon can hand on, as a mask. */
  readonly boundingCapabilities: bigint;
  readonly effectiveCapabilities: bigint;
  readonly seccomp: boolean;
  readonly apparmor: boolean;
  readonly selinux: boolean;
  /** Go's name: `amd64`, `arm64`. */
  readonly arch: string;
  /** The kernel's own name of the machine: `x86_64`. */
  readonly machine: string;
  readonly kernel: string;
  readonly operatingSystem: string;
  readonly osVersion: string;
  readonly cpuCount: number;
  readonly memoryBytes: number;
  readonly swapBytes: number;
  /** The daemon's own limits by their name in `--ulimit`, `nofile`; they bound a container's when CAP_SYS_RESOURCE is missing. */
  readonly rlimits: Readonly<Record<string, RlimitPair>>;
  /** What even a privileged process can't raise nofile above. */
  readonly nrOpen: number;
  /** The daemon's own; without CAP_SYS_RESOURCE nothing goes below it. */
  readonly oomScoreAdj: number;
  readonly ipv4Forwarding: boolean;
  /** Network sysctls that the default configuration sets and this kernel has. */
  readonly pingGroupRange: boolean;
  readonly unprivilegedPortStart: boolean;
  /** Whether the kernel can make a whole mount tree read-only (mount_setattr, 5.12). */
  readonly recursiveReadOnly: boolean;
  /** Docker's own default paths for this machine, thermal_throttle of each CPU included. */
  readonly maskedPaths: readonly string[];
  readonly readonlyPaths: readonly string[];
  /** Sentences for /info's Warnings. */
  readonly warnings: readonly string[];
}

function read(path: string): string {
  try {
    return readFileSync(path, "utf8").trim();
  } catch {
    return "";
  }
}

const UNIFIED = "/sys/fs/cgroup/unified";

/** Reads the cgroup layout from a list of mounts. */
export function cgroupLayout(mounts: readonly MountInfo[]): CgroupLayout {
  const unified = mounts.findLast((m) => m.fsType === "cgroup2" && m.mountPoint.startsWith("/sys/fs/cgroup"))?.mountPoint ?? null;
  if (unified === "/sys/fs/cgroup") {
    const controllers = new Set(read(`${unified}/cgroup.controllers`).split(" ").filter(Boolean));
    return { version: 2, hybrid: false, v1: {}, unified, unmountedUnified: null, controllers };
  }
  const v1: Record<string, string> = {};
  for (const mount of mounts) {
    if (mount.fsType !== "cgroup") continue;
    for (const option of mount.superOptions) {
      if (["rw", "ro", "none", "xattr", "clone_children", "noprefix", "nsdelegate"].includes(option) || option.startsWith("release_agent="))
        continue;
      v1[option.replace(/^name=/, "")] ??= mount.mountPoint;
    }
  }
  const unmountedUnified = unified === null && existsSync(UNIFIED) ? UNIFIED : null;
  return { version: 1, hybrid: unified !== null, v1, unified, unmountedUnified, controllers: new Set(Object.keys(v1)) };
}

function limitsV1(v1: Readonly<Record<string, string>>): LimitSupport {
  const has = (controller: string, file: string): boolean => v1[controller] !== undefined && existsSync(`${v1[controller]}/${file}`);
  return {
    memory: v1["memory"] !== undefined,
    swap: has("memory", "memory.memsw.limit_in_bytes"),
    memoryReservation: has("memory", "memory.soft_limit_in_bytes"),
    oomKillDisable: has("memory", "memory.oom_control"),
    memorySwappiness: has("memory", "memory.swappiness"),
    cpuShares: has("cpu", "cpu.shares"),
    cpuCfs: has("cpu", "cpu.cfs_quota_us"),
    cpuRealtime: has("cpu", "cpu.rt_period_us"),
    cpuset: v1["cpuset"] !== undefined,
    pids: v1["pids"] !== undefined,
    blkioWeight: has("blkio", "blkio.weight") || has("blkio", "blkio.bfq.weight"),
    blkioWeightDevice: has("blkio", "blkio.weight_device") || has("blkio", "blkio.bfq.weight_device"),
    blkioReadBps: has("blkio", "blkio.throttle.read_bps_device"),
    blkioWriteBps: has("blkio", "blkio.throttle.write_bps_device"),
    blkioReadIops: has("blkio", "blkio.throttle.read_iops_device"),
    blkioWriteIops: has("blkio", "blkio.throttle.write_iops_device"),
  };
}

// The root has no limit files of its own: the daemon's own group shows whether swap is accounted; a daemon in the root counts as yes.
function swapV2(unified: string): boolean {
  const own = /^0::(.*)$/m.exec(read("/proc/self/cgroup"))?.[1] ?? "/";
  return own === "/" || existsSync(`${unified}${own}/memory.swap.max`);
}

function limitsV2(layout: CgroupLayout): LimitSupport {
  const memory = layout.controllers.has("memory");
  const cpu = layout.controllers.has("cpu");
  const io = layout.controllers.has("io");
  return {
    memory,
    swap: memory && swapV2(layout.unified ?? "/sys/fs/cgroup"),
    memoryReservation: memory,
    oomKillDisable: false,
    memorySwappiness: false,
    cpuShares: cpu,
    cpuCfs: cpu,
    cpuRealtime: false,
    cpuset: layout.controllers.has("cpuset"),
    pids: layout.controllers.has("pids"),
    blkioWeight: io,
    blkioWeightDevice: io,
    blkioReadBps: io,
    blkioWriteBps: io,
    blkioReadIops: io,
    blkioWriteIops: io,
  };
}

const RLIMIT_LINES: Readonly<Record<string, string>> = {
  "Max cpu time": "cpu",
  "Max file size": "fsize",
  "Max data size": "data",
  "Max stack size": "stack",
  "Max core file size": "core",
  "Max resident set": "rss",
  "Max processes": "nproc",
  "Max open files": "nofile",
  "Max locked memory": "memlock",
  "Max address space": "as",
  "Max file locks": "locks",
  "Max pending signals": "sigpending",
  "Max msgqueue size": "msgqueue",
  "Max nice priority": "nice",
  "Max realtime priority": "rtprio",
  "Max realtime timeout": "rttime",
};

function rlimits(): Record<string, RlimitPair> {
  const all: Record<string, RlimitPair> = {};
  const value = (text: string | undefined): number =>
    text === "unlimited" || text === undefined ? Number.POSITIVE_INFINITY : Number(text);
  for (const line of read("/proc/self/limits").split("\n")) {
    const match = /^(.+?)\s{2,}(\S+)\s+(\S+)/.exec(line);
    const name = match?.[1] === undefined ? undefined : RLIMIT_LINES[match[1]];
    if (name) all[name] = { soft: value(match?.[2]), hard: value(match?.[3]) };
  }
  return all;
}

function osRelease(): { readonly name: string; readonly version: string } {
  const text = read("/etc/os-release") || read("/usr/lib/os-release");
  const field = (key: string): string => new RegExp(`^${key}=["']?(.*?)["']?$`, "m").exec(text)?.[1] ?? "";
  return { name: field("PRETTY_NAME") || field("NAME") || "Linux", version: field("VERSION_ID") };
}

/** Paths that a container must not read. @see Docker Engine 28, oci/defaults.go */
const MASKED_PATHS: readonly string[] = [
  "/proc/acpi",
  "/proc/asound",
  "/proc/interrupts",
  "/proc/kcore",
  "/proc/keys",
  "/proc/latency_stats",
  "/proc/sched_debug",
  "/proc/scsi",
  "/proc/timer_list",
  "/proc/timer_stats",
  "/sys/devices/virtual/powercap",
  "/sys/firmware",
];

/** Paths that a container must not write. */
const READONLY_PATHS: readonly string[] = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

/** Whether the first process, as seen from here, is in a control group: then that is a container's. @see moby pkg/parsers/operatingsystem */
function isContainerized(): boolean {
  return read("/proc/1/cgroup")
    .split("\n")
    .some((line) => line !== "" && !line.endsWith(":/") && !line.endsWith(":/init.scope"));
}

/** The numbers in a kernel list such as `0-2,7`. Undefined when it isn't one; a range's end above `maximum` gives "range". */
export function parseUintList(text: string, maximum = 0): ReadonlySet<number> | "range" | undefined {
  const numbers = new Set<number>();
  if (text === "") return numbers;
  for (const part of text.split(",")) {
    const match = /^([+-]?\d+)(?:-(\d+))?$/.exec(part);
    if (!match) return undefined;
    const low = Number(match[1]);
    const high = match[2] === undefined ? low : Number(match[2]);
    if (high < low) return undefined;
    if (maximum !== 0 && high > maximum) return "range";
    for (let n = low; n <= high; n++) numbers.add(n);
  }
  return numbers;
}

function thermalPaths(): string[] {
  const possible = parseUintList(read("/sys/devices/system/cpu/possible"), 8192);
  if (possible === undefined || possible === "range") return [];
  return [...possible].map((n) => `/sys/devices/system/cpu/cpu${n}/thermal_throttle`).filter((path) => existsSync(path));
}

function statusMask(status: string, field: string): bigint {
  const hex = new RegExp(`^${field}:\\s*([0-9a-f]+)$`, "m").exec(status)?.[1];
  return hex === undefined ? 0n : BigInt(`0x${hex}`);
}

function limitWarnings(layout: CgroupLayout, limits: LimitSupport): string[] {
  const warn = (ok: boolean, text: string): string[] => (ok ? [] : [`WARNING: ${text}`]);
  if (layout.version === 2) return [...warn(limits.memory, "No memory limit support"), ...warn(limits.cpuCfs, "No cpu cfs quota support")];
  return [
    ...warn(limits.memory, "No memory limit support"),
    ...warn(limits.swap, "No swap limit support"),
    ...warn(limits.oomKillDisable, "No oom kill disable support"),
    ...warn(limits.cpuCfs, "No cpu cfs quota support"),
    ...warn(limits.cpuCfs, "No cpu cfs period support"),
    ...warn(limits.cpuShares, "No cpu shares support"),
    ...warn(limits.cpuset, "No cpuset support"),
  ];
}

const GO_ARCH: Readonly<Record<string, string>> = {
  x64: "amd64",
  arm64: "arm64",
  arm: "arm",
  ia32: "386",
  riscv64: "riscv64",
  s390x: "s390x",
  ppc64: "ppc64le",
};
const MACHINE: Readonly<Record<string, string>> = { x64: "x86_64", arm64: "aarch64" };

function cpuLists(layout: CgroupLayout): { readonly cpus: string; readonly mems: string } {
  if (layout.version === 2) {
    const root = layout.unified ?? "/sys/fs/cgroup";
    return {
      cpus: read(`${root}/cpuset.cpus.effective`) || read("/sys/devices/system/cpu/online"),
      mems: read(`${root}/cpuset.mems.effective`) || read("/sys/devices/system/node/online") || "0",
    };
  }
  const root = layout.v1["cpuset"];
  return { cpus: root === undefined ? "" : read(`${root}/cpuset.cpus`), mems: root === undefined ? "" : read(`${root}/cpuset.mems`) };
}

/**
 * Gives this process the oom_score_adj 0, where that is allowed. Containers get it from here: to crun, 0 is the same as nothing, and what
 * a service manager gave to protect the daemon would protect every container, too, against the rest of the machine.
 */
export function resetOomScoreAdj(): void {
  if (Number(read("/proc/self/oom_score_adj")) === 0) return;
  try {
    writeFileSync("/proc/self/oom_score_adj", "0");
  } catch {
    // a positive one can't be lowered without CAP_SYS_RESOURCE
  }
}

/** Looks at this machine and this process once; some hundred microseconds. Call it in the mount namespace that the daemon works in. */
export function hostFacts(): HostFacts {
  const layout = cgroupLayout(readMountInfo());
  const limits = layout.version === 2 ? limitsV2(layout) : limitsV1(layout.v1);
  const status = read("/proc/self/status");
  const meminfo = read("/proc/meminfo");
  const kilobytes = (key: string): number => Number(new RegExp(`^${key}:\\s+(\\d+)`, "m").exec(meminfo)?.[1] ?? 0) * 1024;
  const kernel = release();
  const [major = 0, minorVersion = 0] = kernel.split(".").map((part) => Number.parseInt(part, 10));
  const os = osRelease();
  const isForwarding = (): boolean => read("/proc/sys/net/ipv4/ip_forward") === "1";
  const lists = cpuLists(layout);
  return {
    cgroup: layout,
    limits,
    cpusAvailable: lists.cpus,
    memsAvailable: lists.mems,
    cgroupNamespaces: existsSync("/proc/self/ns/cgroup"),
    boundingCapabilities: statusMask(status, "CapBnd"),
    effectiveCapabilities: statusMask(status, "CapEff"),
    seccomp: /^Seccomp:/m.test(status) && existsSync("/proc/sys/kernel/seccomp/actions_avail"),
    apparmor: existsSync("/sys/kernel/security/apparmor") && read("/sys/module/apparmor/parameters/enabled").startsWith("Y"),
    selinux: existsSync("/sys/fs/selinux/enforce"),
    arch: GO_ARCH[arch()] ?? arch(),
    machine: MACHINE[arch()] ?? arch(),
    kernel,
    operatingSystem: isContainerized() ? `${os.name} (containerized)` : os.name,
    osVersion: os.version,
    cpuCount: availableParallelism() || cpus().length,
    memoryBytes: kilobytes("MemTotal"),
    swapBytes: kilobytes("SwapTotal"),
    rlimits: rlimits(),
    nrOpen: Number(read("/proc/sys/fs/nr_open")) || 1048576,
    oomScoreAdj: Number(read("/proc/self/oom_score_adj")) || 0,
    // the daemon's own network switches it on, later
    get ipv4Forwarding() {
      return isForwarding();
    },
    pingGroupRange: existsSync("/proc/sys/net/ipv4/ping_group_range"),
    unprivilegedPortStart: existsSync("/proc/sys/net/ipv4/ip_unprivileged_port_start"),
    recursiveReadOnly: major > 5 || (major === 5 && minorVersion >= 12),
    maskedPaths: [...MASKED_PATHS, ...thermalPaths()],
    readonlyPaths: READONLY_PATHS,
    get warnings() {
      return [...limitWarnings(layout, limits), ...(isForwarding() ? [] : ["WARNING: IPv4 forwarding is disabled"])];
    },
  };
}
