import { DhowError } from "../../lib/mod.ts";
import { cacheDefaults, type HostFacts, withHostConfigDefaults } from "../../runtime/mod.ts";
import {
  type ContainerConfig,
  type ContainerCreateRequest,
  type HealthConfig,
  type HostConfig,
  type ImageConfig,
  SOCKET_LABEL,
} from "../../spec/engine/mod.ts";
import { cleanPath } from "../../volumes/mod.ts";

/** What the daemon puts where a request is silent. */
export interface HostDefaults {
  readonly logDriver: string;
  readonly logOpts: Readonly<Record<string, string>>;
  readonly runtime: string;
  readonly shmSizeBytes: number;
  readonly ipcMode: "private" | "shareable";
  readonly cgroupnsMode: "private" | "host";
}

function envKey(entry: string): string {
  const at = entry.indexOf("=");
  return at < 0 ? entry : entry.slice(0, at);
}

/** The variables of `own`, and those of `image` that it doesn't set. */
export function mergeEnv(own: readonly string[] | null | undefined, image: readonly string[] | null | undefined): readonly string[] {
  const mine = own ?? [];
  const keys = new Set(mine.map(envKey));
  return [...mine, ...(image ?? []).filter((entry) => !keys.has(envKey(entry)))];
}

/** A health check that takes from the image's what it leaves open. */
export function mergeHealth(own: HealthConfig | null | undefined, image: HealthConfig | undefined): HealthConfig | undefined {
  if (!own) return image;
  if (!image) return own;
  return {
    Test: own.Test?.length ? own.Test : image.Test,
    Interval: own.Interval || image.Interval,
    Timeout: own.Timeout || image.Timeout,
    StartPeriod: own.StartPeriod || image.StartPeriod,
    StartInterval: own.StartInterval || image.StartInterval,
    Retries: own.Retries || image.Retries,
  };
}

/** The second map over the first, by key as Go prints maps. */
function merged<V>(under: Readonly<Record<string, V>> | null | undefined, over: typeof under): Record<string, V> {
  return Object.fromEntries(Object.entries({ ...under, ...over }).sort(([a], [b]) => (a < b ? -1 : 1)));
}

/** The labels of an image that may have been committed from a container made through a scoped socket: what is made from it is not. */
function withoutSocket(labels: ImageConfig["Labels"]): ImageConfig["Labels"] {
  if (labels?.[SOCKET_LABEL] === undefined) return labels;
  const { [SOCKET_LABEL]: _, ...rest } = labels;
  return rest;
}

function optional<K extends string, V>(key: K, value: V | undefined | null): Partial<Record<K, V>> {
  return value === undefined || value === null ? {} : ({ [key]: value } as Partial<Record<K, V>>);
}

/**
 * The container's config: the request over the image's config, as dockerd merges them.
 * @throws invalid "no command specified"
 */
export function mergeConfig(request: ContainerCreateRequest, image: ImageConfig): ContainerConfig {
  let entrypoint = request.Entrypoint ?? null;
  let cmd = request.Cmd ?? null;
  if (!entrypoint?.length) {
    if (!cmd?.length) cmd = image.Cmd ?? null;
    if (entrypoint === null) entrypoint = image.Entrypoint ?? null;
  }
  if (entrypoint?.length === 1 && entrypoint[0] === "") entrypoint = null;
  if (!entrypoint?.length && !cmd?.length) throw new DhowError("invalid", "no command specified");
  const exposed = merged(image.ExposedPorts, request.ExposedPorts);
  const volumes = merged(image.Volumes, request.Volumes);
  return {
    Hostname: request.Hostname ?? "",
    Domainname: request.Domainname ?? "",
    User: request.User || image.User || "",
    AttachStdin: request.AttachStdin ?? false,
    AttachStdout: request.AttachStdout ?? false,
    AttachStderr: request.AttachStderr ?? false,
    ...(Object.keys(exposed).length > 0 ? { ExposedPorts: exposed } : {}),
    Tty: request.Tty ?? false,
    OpenStdin: request.OpenStdin ?? false,
    StdinOnce: request.StdinOnce ?? false,
    Env: mergeEnv(request.Env, image.Env),
    Cmd: cmd,
    ...optional("Healthcheck", withoutZeros(mergeHealth(request.Healthcheck, image.Healthcheck))),
    Image: request.Image ?? "",
    Volumes: Object.keys(volumes).length > 0 ? volumes : null,
    WorkingDir: request.WorkingDir ? cleanPath(request.WorkingDir) : (image.WorkingDir ?? ""),
    Entrypoint: entrypoint?.length ? entrypoint : null,
    ...(request.NetworkDisabled ? { NetworkDisabled: true } : {}),
    OnBuild: null,
    Labels: merged(withoutSocket(image.Labels), request.Labels),
    ...optional("StopSignal", request.StopSignal || image.StopSignal || undefined),
    ...optional("StopTimeout", request.StopTimeout),
    ...optional("Shell", request.Shell?.length ? request.Shell : image.Shell),
  };
}

/** A container that shares the host's processes or IPC, or may do all, has no label of SELinux, also where there is no SELinux. */
function securityOptions({ SecurityOpt, Privileged, PidMode, IpcMode }: HostConfig): readonly string[] | null {
  const own = SecurityOpt ?? null;
  const isLabelled = own?.some((option) => option.split(/[=:]/)[0] === "label") ?? false;
  const isUnconfined = Privileged || PidMode === "host" || IpcMode === "host";
  return isUnconfined && !isLabelled ? [...(own ?? []), "label=disable"] : own;
}

function isZero(value: unknown): boolean {
  return !value || (Array.isArray(value) && value.length === 0);
}

/** Without what Go leaves out of its JSON by `omitempty`. */
function withoutZeros<T>(value: T): T {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return value;
  const members = Object.entries(value).filter(([, member]) => !isZero(member));
  return Object.fromEntries(members.map(([name, member]) => [name, withoutZeros(member)])) as T;
}

/** null is how docker says that it leaves this to the kernel; the specification knows numbers only. */
function swappiness({ MemorySwappiness = -1 }: HostConfig): number | undefined {
  return MemorySwappiness === -1 ? (null as unknown as undefined) : MemorySwappiness;
}

/** What Go's structs hold of fields that nobody set. */
const ZERO = {
  binding: { HostIp: "", HostPort: "" },
  device: { PathOnHost: "", PathInContainer: "", CgroupPermissions: "" },
  deviceRequest: { Driver: "", Count: 0, DeviceIDs: null, Capabilities: null, Options: null },
  rate: { Path: "", Rate: 0 },
  ulimit: { Name: "", Hard: 0, Soft: 0 },
  weight: { Path: "", Weight: 0 },
} as const;

/** A list whose items have all of their fields. */
function whole<T extends object>(items: readonly T[] | null | undefined, zero: T): readonly T[] | null {
  return items?.map((item) => ({ ...zero, ...item })) ?? null;
}

function wholeBindings(bindings: HostConfig["PortBindings"]): NonNullable<HostConfig["PortBindings"]> | null {
  if (!bindings) return null;
  return Object.fromEntries(Object.entries(bindings).map(([port, list]) => [port, whole(list, ZERO.binding)]));
}

/** A map that is left out when nothing is in it. */
function unlessEmpty<K extends string, V extends object>(name: K, value: V | null | undefined): { readonly [_ in K]?: V } {
  return Object.keys(value ?? {}).length > 0 ? ({ [name]: value } as { readonly [_ in K]?: V }) : {};
}

/** The request's HostConfig in the full form that inspect shows. */
export function fillHostConfig(request: HostConfig, defaults: HostDefaults, facts: HostFacts): HostConfig {
  const privileged = request.Privileged ?? false;
  const logType = request.LogConfig?.Type || defaults.logDriver;
  const isDefaultDriver = logType === defaults.logDriver;
  const mode = request.NetworkMode ?? "";
  const { MemorySwap, ShmSize, IpcMode, CgroupnsMode, MaskedPaths, ReadonlyPaths, OomKillDisable } = withHostConfigDefaults(
    request,
    facts,
    defaults,
  );
  return {
    Binds: request.Binds ?? null,
    ContainerIDFile: request.ContainerIDFile ?? "",
    LogConfig: {
      Type: logType,
      Config: { ...(isDefaultDriver ? defaults.logOpts : cacheDefaults(defaults.logOpts)), ...request.LogConfig?.Config },
    },
    NetworkMode: mode === "" || mode === "default" ? "bridge" : mode,
    PortBindings: wholeBindings(request.PortBindings),
    RestartPolicy: { Name: request.RestartPolicy?.Name || "no", MaximumRetryCount: request.RestartPolicy?.MaximumRetryCount ?? 0 },
    AutoRemove: request.AutoRemove ?? false,
    VolumeDriver: request.VolumeDriver ?? "",
    VolumesFrom: request.VolumesFrom ?? null,
    ConsoleSize: request.ConsoleSize ?? [0, 0],
    ...unlessEmpty("Annotations", request.Annotations),
    ...(request.Mounts?.length ? { Mounts: request.Mounts.map(withoutZeros) } : {}),
    CapAdd: request.CapAdd ?? null,
    CapDrop: request.CapDrop ?? null,
    ...optional("CgroupnsMode", CgroupnsMode),
    Dns: request.Dns ?? null,
    DnsOptions: request.DnsOptions ?? null,
    DnsSearch: request.DnsSearch ?? null,
    ExtraHosts: request.ExtraHosts ?? null,
    GroupAdd: request.GroupAdd ?? null,
    ...optional("IpcMode", IpcMode),
    Cgroup: request.Cgroup ?? "",
    Links: request.Links ?? null,
    OomScoreAdj: request.OomScoreAdj ?? 0,
    PidMode: request.PidMode ?? "",
    Privileged: privileged,
    PublishAllPorts: request.PublishAllPorts ?? false,
    ReadonlyRootfs: request.ReadonlyRootfs ?? false,
    SecurityOpt: securityOptions(request),
    ...unlessEmpty("StorageOpt", request.StorageOpt),
    ...unlessEmpty("Tmpfs", request.Tmpfs),
    UTSMode: request.UTSMode ?? "",
    UsernsMode: request.UsernsMode ?? "",
    ...optional("ShmSize", ShmSize),
    ...unlessEmpty("Sysctls", request.Sysctls),
    Runtime: request.Runtime || defaults.runtime,
    Isolation: request.Isolation ?? "",
    CpuShares: request.CpuShares ?? 0,
    Memory: request.Memory ?? 0,
    NanoCpus: request.NanoCpus ?? 0,
    CgroupParent: request.CgroupParent ?? "",
    BlkioWeight: request.BlkioWeight ?? 0,
    BlkioWeightDevice: whole(request.BlkioWeightDevice, ZERO.weight),
    BlkioDeviceReadBps: whole(request.BlkioDeviceReadBps, ZERO.rate),
    BlkioDeviceWriteBps: whole(request.BlkioDeviceWriteBps, ZERO.rate),
    BlkioDeviceReadIOps: whole(request.BlkioDeviceReadIOps, ZERO.rate),
    BlkioDeviceWriteIOps: whole(request.BlkioDeviceWriteIOps, ZERO.rate),
    CpuPeriod: request.CpuPeriod ?? 0,
    CpuQuota: request.CpuQuota ?? 0,
    CpuRealtimePeriod: request.CpuRealtimePeriod ?? 0,
    CpuRealtimeRuntime: request.CpuRealtimeRuntime ?? 0,
    CpusetCpus: request.CpusetCpus ?? "",
    CpusetMems: request.CpusetMems ?? "",
    Devices: whole(request.Devices, ZERO.device),
    DeviceCgroupRules: request.DeviceCgroupRules ?? null,
    DeviceRequests: whole(request.DeviceRequests, ZERO.deviceRequest),
    MemoryReservation: request.MemoryReservation ?? 0,
    ...optional("MemorySwap", MemorySwap),
    MemorySwappiness: swappiness(request),
    ...optional("OomKillDisable", OomKillDisable),
    PidsLimit: request.PidsLimit && request.PidsLimit > 0 ? request.PidsLimit : null,
    Ulimits: whole(request.Ulimits, ZERO.ulimit),
    CpuCount: request.CpuCount ?? 0,
    CpuPercent: request.CpuPercent ?? 0,
    IOMaximumIOps: request.IOMaximumIOps ?? 0,
    IOMaximumBandwidth: request.IOMaximumBandwidth ?? 0,
    ...optional("Init", request.Init),
    MaskedPaths: MaskedPaths ?? null,
    ReadonlyPaths: ReadonlyPaths ?? null,
  };
}
