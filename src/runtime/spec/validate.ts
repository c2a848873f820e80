import { DhowError } from "../../lib/mod.ts";
import { type HostConfig, ULIMIT_NAMES } from "../../spec/engine/mod.ts";
import { type HostFacts, parseUintList } from "../host.ts";
import { isAutoUserns, parseAutoUserns } from "../userns/mod.ts";
import { CAPABILITY_NAMES, capabilityNames, normalizeCapabilities } from "./capabilities.ts";
import { parseDeviceRule } from "./devices.ts";
import type { Ulimit } from "./limits.ts";
import { isHostMode, isValidIpcMode, isValidPidMode, joinedContainer } from "./modes.ts";
import { SECCOMP_ANNOTATION } from "./seccomp-cache.ts";
import { parseSecurityOptions } from "./security-options.ts";
import { validateSysctls } from "./sysctls.ts";

const MIN_MEMORY = 6 * 1024 * 1024;
const MAX_CPUS = 8192;

/** A host configuration that docker would take, with what the kernel can't do left out, and a sentence for each of those. */
export interface ValidatedHostConfig {
  readonly hostConfig: HostConfig;
  readonly warnings: readonly string[];
}

type Mutable = { -readonly [K in keyof HostConfig]: HostConfig[K] };

function refuse(message: string): never {
  throw new DhowError("invalid", message);
}

/** Collects warnings while it drops fields from a copy. */
class Draft {
  readonly config: Mutable;
  readonly warnings: string[] = [];
  readonly facts: HostFacts;
  readonly isUpdate: boolean;

  constructor(config: HostConfig, facts: HostFacts, isUpdate: boolean) {
    this.config = { ...config };
    this.facts = facts;
    this.isUpdate = isUpdate;
  }

  /** Drops `keys` with `warning` when `used` but not `supported`. */
  discard(used: boolean, supported: boolean, keys: readonly (keyof HostConfig)[], warning: string): void {
    if (!used || supported) return;
    this.warnings.push(warning);
    for (const key of keys) delete this.config[key];
  }
}

const more = (value: number | null | undefined): value is number => typeof value === "number" && value > 0;

function memory(draft: Draft): void {
  const { config, facts } = draft;
  // Old clients send -1 for "not set".
  if (config.MemorySwappiness === -1) delete config.MemorySwappiness;
  if (config.Memory && config.Memory < MIN_MEMORY) refuse("Minimum memory limit allowed is 6MB");
  if (more(config.Memory) && !facts.limits.memory) {
    draft.warnings.push("Your kernel does not support memory limit capabilities or the cgroup is not mounted. Limitation discarded.");
    config.Memory = 0;
    config.MemorySwap = -1;
  }
  if (more(config.Memory) && config.MemorySwap !== -1 && !facts.limits.swap) {
    draft.warnings.push("Your kernel does not support swap limit capabilities or the cgroup is not mounted. Memory limited without swap.");
    config.MemorySwap = -1;
  }
  if (more(config.Memory) && more(config.MemorySwap) && config.MemorySwap < config.Memory) {
    refuse("Minimum memoryswap limit should be larger than memory limit, see usage");
  }
  if (!config.Memory && more(config.MemorySwap) && !draft.isUpdate) {
    refuse("You should always set the Memory limit when using Memoryswap limit, see usage");
  }
  draft.discard(
    typeof config.MemorySwappiness === "number",
    facts.limits.memorySwappiness,
    ["MemorySwappiness"],
    "Your kernel does not support memory swappiness capabilities or the cgroup is not mounted. Memory swappiness discarded.",
  );
  const swappiness = config.MemorySwappiness;
  if (typeof swappiness === "number" && (swappiness < 0 || swappiness > 100)) {
    refuse(`Invalid value: ${swappiness}, valid memory swappiness range is 0-100`);
  }
  draft.discard(
    more(config.MemoryReservation),
    facts.limits.memoryReservation,
    ["MemoryReservation"],
    "Your kernel does not support memory soft limit capabilities or the cgroup is not mounted. Limitation discarded.",
  );
  if (more(config.MemoryReservation) && config.MemoryReservation < MIN_MEMORY) refuse("Minimum memory reservation allowed is 6MB");
  if (more(config.Memory) && more(config.MemoryReservation) && config.Memory < config.MemoryReservation) {
    refuse("Minimum memory limit can not be less than memory reservation limit, see usage");
  }
  oomKill(draft);
}

function oomKill(draft: Draft): void {
  const { config, facts } = draft;
  if (!facts.limits.oomKillDisable) {
    if (config.OomKillDisable) draft.warnings.push("Your kernel does not support OomKillDisable. OomKillDisable discarded.");
    delete config.OomKillDisable;
  }
  if (config.OomKillDisable && !config.Memory) {
    draft.warnings.push(
      "OOM killer is disabled for the container, but no memory limit is set, this can result in the system running out of resources.",
    );
  }
  if (typeof config.PidsLimit === "number" && !facts.limits.pids) {
    if (config.PidsLimit > 0) {
      draft.warnings.push("Your kernel does not support PIDs limit capabilities or the cgroup is not mounted. PIDs limit discarded.");
    }
    delete config.PidsLimit;
  }
}

function cpu(draft: Draft): void {
  const { config, facts } = draft;
  const nano = config.NanoCpus ?? 0;
  if (nano > 0 && more(config.CpuPeriod)) refuse("Conflicting options: Nano CPUs and CPU Period cannot both be set");
  if (nano > 0 && more(config.CpuQuota)) refuse("Conflicting options: Nano CPUs and CPU Quota cannot both be set");
  if (nano > 0 && !facts.limits.cpuCfs) {
    refuse("NanoCPUs can not be set, as your kernel does not support CPU CFS scheduler or the cgroup is not mounted");
  }
  if (nano !== 0 && (nano < 0 || nano > facts.cpuCount * 1e9)) {
    refuse(`range of CPUs is from 0.01 to ${facts.cpuCount}.00, as there are only ${facts.cpuCount} CPUs available`);
  }
  draft.discard(
    more(config.CpuShares),
    facts.limits.cpuShares,
    ["CpuShares"],
    "Your kernel does not support CPU shares or the cgroup is not mounted. Shares discarded.",
  );
  draft.discard(
    Boolean(config.CpuPeriod) || Boolean(config.CpuQuota),
    facts.limits.cpuCfs,
    ["CpuPeriod", "CpuQuota"],
    "Your kernel does not support CPU CFS scheduler. CPU period/quota discarded.",
  );
  if (config.CpuPeriod && (config.CpuPeriod < 1000 || config.CpuPeriod > 1_000_000)) {
    refuse("CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)");
  }
  if (more(config.CpuQuota) && config.CpuQuota < 1000) refuse("CPU cfs quota can not be less than 1ms (i.e. 1000)");
  draft.discard(more(config.CpuPercent), false, ["CpuPercent"], "linux does not support CPU percent. Percent discarded.");
  const period = config.CpuRealtimePeriod;
  const runtime = config.CpuRealtimeRuntime;
  if ((period || runtime) && !facts.limits.cpuRealtime) refuse("kernel does not support CPU real-time scheduler");
  if (period && runtime && runtime > period) refuse("cpu real-time runtime cannot be higher than cpu real-time period");
  if (config.CpuShares && config.CpuShares < 0) {
    refuse(`invalid CPU shares (${config.CpuShares}): value must be a positive integer`);
  }
}

function available(requested: string, present: string, field: "cpus" | "mems"): boolean {
  const has = parseUintList(present);
  const set: ReadonlySet<number> = has === undefined || has === "range" ? new Set() : has;
  const maximum = Math.max(MAX_CPUS, ...set);
  const wanted = parseUintList(requested, maximum);
  if (wanted === undefined) refuse(`Invalid value ${requested} for cpuset ${field}: invalid format: ${requested}`);
  if (wanted === "range") refuse(`Invalid value ${requested} for cpuset ${field}: value of out range, maximum is ${maximum}`);
  return [...wanted].every((n) => set.has(n));
}

function cpuset(draft: Draft): void {
  const { config, facts } = draft;
  draft.discard(
    Boolean(config.CpusetCpus) || Boolean(config.CpusetMems),
    facts.limits.cpuset,
    ["CpusetCpus", "CpusetMems"],
    "Your kernel does not support cpuset or the cgroup is not mounted. Cpuset discarded.",
  );
  const cpus = config.CpusetCpus ?? "";
  if (cpus !== "" && !available(cpus, facts.cpusAvailable, "cpus")) {
    refuse(`Requested CPUs are not available - requested ${cpus}, available: ${facts.cpusAvailable}`);
  }
  const mems = config.CpusetMems ?? "";
  if (mems !== "" && !available(mems, facts.memsAvailable, "mems")) {
    refuse(`Requested memory nodes are not available - requested ${mems}, available: ${facts.memsAvailable}`);
  }
}

function blkio(draft: Draft): void {
  const { config, facts } = draft;
  const { limits } = facts;
  draft.discard(
    more(config.BlkioWeight),
    limits.blkioWeight,
    ["BlkioWeight"],
    "Your kernel does not support Block I/O weight or the cgroup is not mounted. Weight discarded.",
  );
  if (more(config.BlkioWeight) && (config.BlkioWeight < 10 || config.BlkioWeight > 1000))
    refuse("Range of blkio weight is from 10 to 1000");
  if (config.IOMaximumBandwidth || config.IOMaximumIOps) {
    refuse("Invalid QoS settings: linux does not support Maximum IO Bandwidth or Maximum IO IOps");
  }
  const lists = [
    ["BlkioWeightDevice", limits.blkioWeightDevice, "weight_device", "Weight-device discarded."],
    ["BlkioDeviceReadBps", limits.blkioReadBps, "BPS Block I/O read limit", "Block I/O BPS read limit discarded."],
    ["BlkioDeviceWriteBps", limits.blkioWriteBps, "BPS Block I/O write limit", "Block I/O BPS write limit discarded."],
    ["BlkioDeviceReadIOps", limits.blkioReadIops, "IOPS Block read limit", "Block I/O IOPS read limit discarded."],
    ["BlkioDeviceWriteIOps", limits.blkioWriteIops, "IOPS Block write limit", "Block I/O IOPS write limit discarded."],
  ] as const;
  for (const [key, supported, what, lost] of lists) {
    const feature = key === "BlkioWeightDevice" ? `Block I/O ${what}` : what;
    draft.discard(
      (config[key]?.length ?? 0) > 0,
      supported,
      [key],
      `Your kernel does not support ${feature} or the cgroup is not mounted. ${lost}`,
    );
  }
}

function ulimit(limit: Ulimit): void {
  const name = limit.Name ?? "";
  if (!ULIMIT_NAMES.has(name.toLowerCase())) refuse(`invalid ulimit type: ${name}`);
  const soft = limit.Soft ?? 0;
  const hard = limit.Hard ?? soft;
  if (hard === -1) return;
  if (soft === -1) refuse(`ulimit soft limit must be less than or equal to hard limit: soft: -1 (unlimited), hard: ${hard}`);
  if (soft > hard) refuse(`ulimit soft limit must be less than or equal to hard limit: ${soft} > ${hard}`);
}

const ISOLATIONS = ["", "default"];

function restartPolicy(config: HostConfig): void {
  const { Name: name = "", MaximumRetryCount: count = 0 } = config.RestartPolicy ?? {};
  if (config.AutoRemove && name !== "" && name !== "no") refuse("can't create 'AutoRemove' container with restart policy");
  if (["always", "unless-stopped", "no"].includes(name)) {
    if (count === 0) return;
    refuse(`invalid restart policy: maximum retry count can only be used with 'on-failure'${count < 0 ? " and cannot be negative" : ""}`);
  }
  if (name === "on-failure") {
    if (count < 0) refuse("invalid restart policy: maximum retry count cannot be negative");
  } else if (name !== "") {
    refuse(`invalid restart policy: unknown policy '${name}'; use one of 'no', 'always', 'on-failure', or 'unless-stopped'`);
  }
}

function inContext(prefix: string, work: () => unknown): void {
  try {
    work();
  } catch (error) {
    if (error instanceof DhowError) throw new DhowError(error.kind, `${prefix}: ${error.message}`, { cause: error });
    throw error;
  }
}

function modes(draft: Draft): void {
  const { config, facts } = draft;
  if (!isValidIpcMode(config.IpcMode ?? "")) refuse(`invalid IPC mode: ${config.IpcMode}`);
  if (!isValidPidMode(config.PidMode ?? "")) refuse(`invalid PID mode: ${config.PidMode}`);
  if ((config.ShmSize ?? 0) < 0) refuse("SHM size can not be less than 0");
  if (!["", "host"].includes(config.UTSMode ?? "")) refuse(`invalid UTS mode: ${config.UTSMode}`);
  const userns = config.UsernsMode ?? "";
  if (isAutoUserns(userns)) parseAutoUserns(userns);
  else if (!["", "host"].includes(userns)) refuse(`invalid USER mode: ${userns}`);
  const adjust = config.OomScoreAdj ?? 0;
  if (adjust < -1000 || adjust > 1000) refuse(`Invalid value ${adjust}, range for oom score adj is [-1000, 1000]`);
  const network = config.NetworkMode ?? "";
  if (!draft.isUpdate && !facts.ipv4Forwarding && !isHostMode(network) && network !== "none") {
    draft.warnings.push("IPv4 forwarding is disabled. Networking will not work.");
  }
  if (isHostMode(network) && Object.keys(config.PortBindings ?? {}).length > 0) {
    draft.warnings.push("Published ports are discarded when using host network mode");
  }
  if (!["", "private", "host"].includes(config.CgroupnsMode ?? "")) refuse(`invalid cgroup namespace mode: ${config.CgroupnsMode}`);
  if (config.CgroupnsMode === "private" && !facts.cgroupNamespaces) {
    draft.warnings.push("Your kernel does not support cgroup namespaces.  Cgroup namespace setting discarded.");
  }
}

/** What of a container's configuration conflicts with its host configuration. */
export interface ConflictInput {
  readonly hostname?: string | undefined;
  readonly exposedPorts?: Readonly<Record<string, unknown>> | null | undefined;
  readonly macAddress?: string | undefined;
}

/** Refuses options that exclude each other. @throws invalid "conflicting options: …" */
export function validateConflicts(config: HostConfig, container: ConflictInput): void {
  const network = config.NetworkMode ?? "";
  const hasHostname = Boolean(container.hostname);
  const joined = network === "container" ? "" : joinedContainer(network);
  if (joined !== undefined) {
    if (joined === "") refuse("invalid network mode: invalid container format container:<name|id>");
    if (hasHostname) refuse("conflicting options: hostname and the network mode");
    if (config.Links?.length) {
      refuse("conflicting options: container type network can't be used with links. This would result in undefined behavior");
    }
    if (config.Dns?.length) refuse("conflicting options: dns and the network mode");
    if (config.ExtraHosts?.length) refuse("conflicting options: custom host-to-IP mapping and the network mode");
    if (container.macAddress) refuse("conflicting options: mac-address and the network mode");
    if (Object.keys(config.PortBindings ?? {}).length > 0 || config.PublishAllPorts) {
      refuse("conflicting options: port publishing and the container type network mode");
    }
    if (Object.keys(container.exposedPorts ?? {}).length > 0) {
      refuse("conflicting options: port exposing and the container type network mode");
    }
  }
  if (isHostMode(config.UTSMode) && hasHostname) refuse("conflicting options: hostname and the UTS mode");
  if (isHostMode(network) && config.Links?.length) {
    refuse("conflicting options: host type networking can't be used with links. This would result in undefined behavior");
  }
}

/**
 * Checks everything of a host configuration but its mounts (`volumes`) and ports and extra hosts (`network`), in docker's words.
 * `isUpdate` is for `docker update`, where a limit may come without the one it depends on.
 * @throws invalid
 */
export function validateHostConfig(
  config: HostConfig,
  facts: HostFacts,
  options: { readonly isUpdate?: boolean } = {},
): ValidatedHostConfig {
  const draft = new Draft(config, facts, options.isUpdate ?? false);
  restartPolicy(config);
  const held = new Set(capabilityNames(facts.boundingCapabilities));
  inContext("invalid CapAdd", () => normalizeCapabilities(config.CapAdd, held));
  inContext("invalid CapDrop", () => normalizeCapabilities(config.CapDrop, new Set(CAPABILITY_NAMES)));
  const isolation = config.Isolation ?? "";
  if (!ISOLATIONS.includes(isolation.toLowerCase())) refuse(`invalid isolation '${isolation}' on linux`);
  if (Object.hasOwn(config.Annotations ?? {}, "")) {
    refuse("invalid Annotations: the empty string is not permitted as an annotation key");
  }
  if (Object.hasOwn(config.Annotations ?? {}, SECCOMP_ANNOTATION)) {
    // it would take the place of the profile that inspect shows, see docs/decisions/0007
    refuse(`invalid Annotations: ${SECCOMP_ANNOTATION} is the engine's own; use --security-opt seccomp=<profile>`);
  }
  memory(draft);
  cpu(draft);
  cpuset(draft);
  blkio(draft);
  modes(draft);
  for (const limit of config.Ulimits ?? []) ulimit(limit);
  for (const rule of config.DeviceCgroupRules ?? []) parseDeviceRule(rule);
  parseSecurityOptions(config.SecurityOpt);
  validateSysctls(config);
  return { hostConfig: draft.config, warnings: draft.warnings };
}

/** What the daemon fills in when a request leaves it open. */
export interface HostConfigDefaults {
  readonly shmSizeBytes?: number;
  /** `private` or `shareable`. */
  readonly ipcMode?: string;
  /** `private` or `host`; undefined = docker's choice by cgroup version. */
  readonly cgroupnsMode?: string;
}

/** The configuration as inspect shows it after creation: swap from memory, /dev/shm's size, namespace modes, masked paths filled in. */
export function withHostConfigDefaults(config: HostConfig, facts: HostFacts, defaults: HostConfigDefaults = {}): HostConfig {
  const privileged = config.Privileged === true;
  const byVersion = facts.cgroup.version === 2 ? "private" : "host";
  const cgroupns = privileged && facts.cgroup.version === 1 ? "host" : (defaults.cgroupnsMode ?? byVersion);
  const memoryBytes = config.Memory ?? 0;
  return {
    ...config,
    MemorySwap: memoryBytes > 0 && !config.MemorySwap ? memoryBytes * 2 : (config.MemorySwap ?? 0),
    ShmSize: config.ShmSize || (defaults.shmSizeBytes ?? 64 * 1024 * 1024),
    IpcMode: config.IpcMode || (defaults.ipcMode ?? "private"),
    CgroupnsMode: config.CgroupnsMode || cgroupns,
    MaskedPaths: config.MaskedPaths ?? (privileged ? null : facts.maskedPaths),
    ReadonlyPaths: config.ReadonlyPaths ?? (privileged ? null : facts.readonlyPaths),
    // Docker shows false on v1 and, since v2 has no such switch, nothing there.
    ...(facts.limits.oomKillDisable ? { OomKillDisable: config.OomKillDisable ?? false } : {}),
  };
}
