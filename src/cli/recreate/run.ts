import { formatDuration } from "../../lib/mod.ts";
import type { DeviceRequest, EndpointSettings, HealthConfig, HostConfig, Mount, ThrottleDevice } from "../../spec/engine/mod.ts";
import type { Own } from "./own.ts";

const SAFE = /^[\w@%+=:,./-]+$/;

/** A word as a POSIX shell reads it. */
export function quote(word: string): string {
  return SAFE.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}

type Flags = readonly string[];
type Printer<K extends keyof HostConfig> = (value: NonNullable<HostConfig[K]>, host: HostConfig) => Flags;
type Printers = { readonly [K in keyof HostConfig]?: Printer<K> };

const each = (flag: string) => (values: readonly (string | null)[]) => values.flatMap((value) => [flag, value ?? ""]);
const text = (flag: string) => (value: string | number) => [flag, String(value)];
const on = (flag: string) => () => [flag];
const pairs = (flag: string) => (map: Readonly<Record<string, string>>) =>
  Object.entries(map).flatMap(([key, value]) => [flag, `${key}=${value}`]);
const rates = (flag: string) => (list: readonly (ThrottleDevice | null)[]) => list.flatMap((item) => [flag, `${item?.Path}:${item?.Rate}`]);

/** Published ports as `-p` takes them: `127.0.0.1:8080:80`, `80`, `53/udp`. */
export function publishTexts(bindings: NonNullable<HostConfig["PortBindings"]>): string[] {
  return Object.entries(bindings).flatMap(([port, rows]) =>
    (rows ?? []).map(({ HostIp = "", HostPort = "" }) => {
      const address = HostIp === "" ? "" : `${HostIp.includes(":") ? `[${HostIp}]` : HostIp}:`;
      const hostPart = address === "" && HostPort === "" ? "" : `${address}${HostPort}:`;
      return `${hostPart}${port.replace(/\/tcp$/, "")}`;
    }),
  );
}

/** A value of a comma-separated list of fields. */
function field(key: string, value: string): string {
  const whole = `${key}=${value}`;
  return /[",\n]/.test(whole) ? `"${whole.replaceAll('"', '""')}"` : whole;
}

/** The value of --mount. */
export function mountText(mount: Mount): string {
  const { Type = "", Source, Target = "", ReadOnly, BindOptions, VolumeOptions, TmpfsOptions, ImageOptions } = mount;
  const parts: (string | undefined)[] = [
    field("type", Type),
    Source ? field("source", Source) : undefined,
    field("target", Target),
    ReadOnly ? "readonly" : undefined,
    BindOptions?.Propagation ? field("bind-propagation", BindOptions.Propagation) : undefined,
    BindOptions?.NonRecursive ? "bind-recursive=disabled" : undefined,
    BindOptions?.ReadOnlyNonRecursive ? "bind-recursive=writable" : undefined,
    BindOptions?.ReadOnlyForceRecursive ? "bind-recursive=readonly" : undefined,
    BindOptions?.CreateMountpoint ? "bind-create-src=true" : undefined,
    VolumeOptions?.NoCopy ? "volume-nocopy=true" : undefined,
    VolumeOptions?.Subpath ? field("volume-subpath", VolumeOptions.Subpath) : undefined,
    VolumeOptions?.DriverConfig?.Name ? field("volume-driver", VolumeOptions.DriverConfig.Name) : undefined,
    ...Object.entries(VolumeOptions?.DriverConfig?.Options ?? {}).map(([key, value]) => field("volume-opt", `${key}=${value}`)),
    ...Object.entries(VolumeOptions?.Labels ?? {}).map(([key, value]) => field("volume-label", `${key}=${value}`)),
    TmpfsOptions?.SizeBytes ? field("tmpfs-size", String(TmpfsOptions.SizeBytes)) : undefined,
    TmpfsOptions?.Mode ? field("tmpfs-mode", TmpfsOptions.Mode.toString(8)) : undefined,
    ImageOptions?.Subpath ? field("image-subpath", ImageOptions.Subpath) : undefined,
  ];
  return parts.filter((part) => part !== undefined).join(",");
}

/** Devices by name, or the value of --gpus, which takes one list of capabilities. */
function deviceRequest({ Driver, Count = 0, DeviceIDs, Capabilities, Options }: DeviceRequest): Flags {
  if (Driver === "cdi") return (DeviceIDs ?? []).flatMap((id) => ["--device", id]);
  const wanted = (Capabilities?.[0] ?? []).filter((capability) => capability !== "gpu");
  const options = Object.entries(Options ?? {}).map(([key, value]) => field(key, value));
  const parts = [
    Driver ? field("driver", Driver) : undefined,
    Count === 0 && DeviceIDs ? undefined : `count=${Count < 0 ? "all" : Count}`,
    DeviceIDs ? field("device", DeviceIDs.join(",")) : undefined,
    wanted.length > 0 ? field("capabilities", wanted.join(",")) : undefined,
    options.length > 0 ? field("options", options.join(",")) : undefined,
  ];
  return ["--gpus", parts.filter((part) => part !== undefined).join(",")];
}

/** `/db:/web/alias`, as inspect shows links, or `db:alias`. */
function link(shown: string | null): Flags {
  const [target = "", alias = ""] = (shown ?? "").split(":");
  return ["--link", `${target.replace(/^\//, "")}:${alias.slice(alias.lastIndexOf("/") + 1)}`];
}

/** In the order in which they are printed. */
const HOST: Printers = {
  AutoRemove: on("--rm"),
  RestartPolicy: ({ Name = "", MaximumRetryCount = 0 }) => ["--restart", MaximumRetryCount > 0 ? `${Name}:${MaximumRetryCount}` : Name],
  Init: on("--init"),
  PortBindings: (bindings) => publishTexts(bindings).flatMap((published) => ["-p", published]),
  PublishAllPorts: on("-P"),
  Binds: each("-v"),
  Mounts: (mounts) => mounts.flatMap((mount) => ["--mount", mountText(mount)]),
  Tmpfs: (map) => Object.entries(map).flatMap(([path, options]) => ["--tmpfs", options === "" ? path : `${path}:${options}`]),
  VolumesFrom: each("--volumes-from"),
  VolumeDriver: text("--volume-driver"),
  Links: (links) => links.flatMap(link),
  ExtraHosts: each("--add-host"),
  Dns: each("--dns"),
  DnsSearch: each("--dns-search"),
  DnsOptions: each("--dns-option"),
  Memory: text("--memory"),
  MemorySwap: text("--memory-swap"),
  MemoryReservation: text("--memory-reservation"),
  MemorySwappiness: text("--memory-swappiness"),
  NanoCpus: (value) => ["--cpus", String(value / 1e9)],
  CpuShares: text("--cpu-shares"),
  CpuPeriod: text("--cpu-period"),
  CpuQuota: text("--cpu-quota"),
  CpuRealtimePeriod: text("--cpu-rt-period"),
  CpuRealtimeRuntime: text("--cpu-rt-runtime"),
  CpusetCpus: text("--cpuset-cpus"),
  CpusetMems: text("--cpuset-mems"),
  PidsLimit: text("--pids-limit"),
  BlkioWeight: text("--blkio-weight"),
  BlkioWeightDevice: (list) => list.flatMap((item) => ["--blkio-weight-device", `${item?.Path}:${item?.Weight}`]),
  BlkioDeviceReadBps: rates("--device-read-bps"),
  BlkioDeviceWriteBps: rates("--device-write-bps"),
  BlkioDeviceReadIOps: rates("--device-read-iops"),
  BlkioDeviceWriteIOps: rates("--device-write-iops"),
  Ulimits: (list) => list.flatMap((limit) => ["--ulimit", `${limit?.Name}=${limit?.Soft}:${limit?.Hard}`]),
  OomKillDisable: on("--oom-kill-disable"),
  OomScoreAdj: text("--oom-score-adj"),
  ShmSize: text("--shm-size"),
  ReadonlyRootfs: on("--read-only"),
  Privileged: on("--privileged"),
  CapAdd: each("--cap-add"),
  CapDrop: each("--cap-drop"),
  SecurityOpt: each("--security-opt"),
  MaskedPaths: () => ["--security-opt", "systempaths=unconfined"],
  Devices: (list) =>
    list.flatMap(({ PathOnHost = "", PathInContainer = "", CgroupPermissions = "" }) => {
      const permissions = CgroupPermissions === "rwm" || CgroupPermissions === "" ? "" : `:${CgroupPermissions}`;
      return [
        "--device",
        PathOnHost === PathInContainer && permissions === "" ? PathOnHost : `${PathOnHost}:${PathInContainer}${permissions}`,
      ];
    }),
  DeviceRequests: (list) => list.flatMap(deviceRequest),
  DeviceCgroupRules: each("--device-cgroup-rule"),
  GroupAdd: each("--group-add"),
  Sysctls: pairs("--sysctl"),
  Annotations: pairs("--annotation"),
  StorageOpt: pairs("--storage-opt"),
  PidMode: text("--pid"),
  IpcMode: text("--ipc"),
  UTSMode: text("--uts"),
  UsernsMode: text("--userns"),
  CgroupnsMode: text("--cgroupns"),
  CgroupParent: text("--cgroup-parent"),
  Runtime: text("--runtime"),
  LogConfig: ({ Type = "", Config }) => ["--log-driver", Type, ...pairs("--log-opt")(Config ?? {})],
};

function health(check: HealthConfig | undefined): Flags {
  if (check === undefined) return [];
  const [kind = "", ...words] = check.Test ?? [];
  if (kind === "NONE") return ["--no-healthcheck"];
  const duration = (flag: string, ns: number | undefined): Flags => (ns ? [flag, formatDuration(ns)] : []);
  return [
    ...(kind === "" ? [] : ["--health-cmd", kind === "CMD" ? words.map(quote).join(" ") : words.join(" ")]),
    ...duration("--health-interval", check.Interval),
    ...duration("--health-timeout", check.Timeout),
    ...duration("--health-start-period", check.StartPeriod),
    ...duration("--health-start-interval", check.StartInterval),
    ...(check.Retries ? ["--health-retries", String(check.Retries)] : []),
  ];
}

/** What flags of their own say of the first network, in every version of docker's command line. */
function firstNetwork({ IPAMConfig, Aliases }: EndpointSettings): Flags {
  return [
    ...(IPAMConfig?.IPv4Address ? ["--ip", IPAMConfig.IPv4Address] : []),
    ...(IPAMConfig?.IPv6Address ? ["--ip6", IPAMConfig.IPv6Address] : []),
    ...(IPAMConfig?.LinkLocalIPs ?? []).flatMap((address) => ["--link-local-ip", address]),
    ...(Aliases ?? []).flatMap((alias) => ["--network-alias", alias]),
  ];
}

/** `name`, or `name=…,ip=…` */
function networkFlag(name: string, fields: readonly string[]): Flags {
  const quoted = fields.map((field) => (/[,"]/.test(field) ? `"${field.replaceAll('"', '""')}"` : field));
  return ["--network", fields.length === 0 ? name : [`name=${name}`, ...quoted].join(",")];
}

function driverFields({ DriverOpts, GwPriority }: EndpointSettings): string[] {
  const options = Object.entries(DriverOpts ?? {}).map(([key, value]) => `driver-opt=${key}=${value}`);
  return [...options, ...(GwPriority ? [`gw-priority=${GwPriority}`] : [])];
}

function addressFields({ IPAMConfig, Aliases }: EndpointSettings): string[] {
  return [
    ...(IPAMConfig?.IPv4Address ? [`ip=${IPAMConfig.IPv4Address}`] : []),
    ...(IPAMConfig?.IPv6Address ? [`ip6=${IPAMConfig.IPv6Address}`] : []),
    ...(IPAMConfig?.LinkLocalIPs ?? []).map((address) => `link-local-ip=${address}`),
    ...(Aliases ?? []).map((alias) => `alias=${alias}`),
  ];
}

function networkFlags({ host, networks }: Own): Flags {
  const mode = host.NetworkMode ?? "";
  const { [mode]: first = {}, ...others } = networks;
  return [
    ...(mode === "" ? [] : networkFlag(mode, driverFields(first))),
    ...firstNetwork(first),
    ...Object.entries(others).flatMap(([name, settings]) => networkFlag(name, [...addressFields(settings), ...driverFields(settings)])),
  ];
}

function attachFlags({ isDetached, isInteractive, isTty }: Own): Flags {
  const letters = `${isDetached ? "d" : ""}${isInteractive ? "i" : ""}${isTty ? "t" : ""}`;
  return letters === "" ? [] : [`-${letters}`];
}

function hostFlags(host: HostConfig): Flags {
  return (Object.keys(HOST) as (keyof HostConfig)[]).flatMap((key) => {
    const value = host[key];
    const print = HOST[key] as Printer<typeof key> | undefined;
    return value === undefined || value === null || print === undefined ? [] : print(value as never, host);
  });
}

/** The words of `docker run` that make the container again. */
export function runWords(own: Own): readonly string[] {
  const [first, ...rest] = own.entrypoint ?? [];
  const optional = (flag: string, value: string): Flags => (value === "" ? [] : [flag, value]);
  return [
    ...attachFlags(own),
    ...optional("--name", own.name),
    ...optional("--hostname", own.hostname),
    ...optional("--domainname", own.domainname),
    ...optional("--user", own.user),
    ...optional("--workdir", own.workingDir),
    ...own.env.flatMap((entry) => ["-e", entry]),
    ...Object.entries(own.labels).flatMap(([key, value]) => ["--label", value === "" ? key : `${key}=${value}`]),
    ...own.exposed.flatMap((port) => ["--expose", port.replace(/\/tcp$/, "")]),
    ...own.anonymousVolumes.flatMap((path) => ["-v", path]),
    ...networkFlags(own),
    ...hostFlags(own.host),
    ...health(own.health),
    ...optional("--stop-signal", own.stopSignal),
    ...(own.stopTimeout === undefined ? [] : ["--stop-timeout", String(own.stopTimeout)]),
    ...(own.entrypoint === undefined ? [] : ["--entrypoint", first ?? ""]),
    own.image,
    ...rest,
    ...(own.command ?? []),
  ];
}

const COLUMNS = 100;

/** The command for a terminal: broken after words, so that it can be read and pasted. */
export function runText(own: Own, program: string): string {
  const words = [program, "run", ...runWords(own).map(quote)];
  const lines: string[] = [];
  let line = "";
  for (const [index, word] of words.entries()) {
    const isValue = index > 0 && (words[index - 1] ?? "").startsWith("-") && !word.startsWith("-");
    if (line !== "" && !isValue && line.length + word.length > COLUMNS) {
      lines.push(`${line} \\`);
      line = `  ${word}`;
    } else line = line === "" ? word : `${line} ${word}`;
  }
  return [...lines, line].join("\n");
}
