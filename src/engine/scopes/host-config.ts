import { DEFAULT_CAPABILITIES } from "../../runtime/mod.ts";
import {
  type ContainerConfig,
  type EndpointSettings,
  type HostConfig,
  isNetworkExtension,
  type Mount,
  type NetworkCreateRequest,
  type VolumeCreateRequest,
} from "../../spec/engine/mod.ts";
import { parseBind } from "../../volumes/mod.ts";

/**
 * What a container may be that is made through a scoped socket: nothing that leads to the host. Tables of what is allowed, so that a
 * field that is new is refused until somebody has thought about it. Each check returns what is wrong, for the words "does not allow …".
 */
type Check<T> = (value: T) => string | undefined;
type Checks<T> = { readonly [K in keyof T]?: Check<NonNullable<T[K]>> };

const anything: Check<unknown> = () => undefined;
const oneOf =
  (...allowed: readonly string[]): Check<string> =>
  (value) =>
    allowed.includes(value) ? undefined : JSON.stringify(value);
const each =
  <T>(check: Check<T>): Check<readonly T[]> =>
  (values) =>
    first(values.map((value) => check(value)));

function first(problems: readonly (string | undefined)[]): string | undefined {
  return problems.find((problem) => problem !== undefined);
}

const CAPABILITIES: ReadonlySet<string> = new Set(DEFAULT_CAPABILITIES);

function capability(name: string): string | undefined {
  const full = `CAP_${name.toUpperCase().replace(/^CAP_/, "")}`;
  return CAPABILITIES.has(full) ? undefined : name;
}

const SECURITY_OPTIONS: ReadonlySet<string> = new Set([
  "no-new-privileges",
  "no-new-privileges:true",
  "no-new-privileges=true",
  "seccomp=builtin",
]);

/** Of a network or inter-process namespace of the container's own, and without reach beyond it. */
const SYSCTLS: ReadonlySet<string> = new Set([
  "kernel.shm_rmid_forced",
  ...["ip_local_port_range", "ip_local_reserved_ports", "ip_unprivileged_port_start", "ping_group_range"].map((name) => `net.ipv4.${name}`),
  ...["syncookies", "keepalive_time", "keepalive_intvl", "keepalive_probes", "fin_timeout", "rmem", "wmem"].map(
    (name) => `net.ipv4.tcp_${name}`,
  ),
  "net.core.somaxconn",
]);

/** Limits that a process may have without harm to others. */
const ULIMITS: ReadonlySet<string> = new Set(["as", "core", "cpu", "data", "fsize", "locks", "nofile", "nproc", "rss", "stack"]);
const LOG_OPTIONS: ReadonlySet<string> = new Set(["compress", "env", "env-regex", "labels", "labels-regex"]).union(
  new Set(["max-file", "max-size", "mode", "tag"]),
);
/** Below it ports are for the host's own services. */
const FIRST_PORT = 1024;

function bind(text: string): string | undefined {
  const { kind, source } = parseBind(text);
  return kind === "volume" ? undefined : source;
}

function mount(value: Mount): string | undefined {
  if (value.Type !== "volume" && value.Type !== "tmpfs") return `type ${value.Type ?? ""}`;
  const { Target: _, Source: __, Type: ___, ReadOnly: ____, Consistency: _____, VolumeOptions, TmpfsOptions: ______, ...rest } = value;
  const { NoCopy: _a, Labels, DriverConfig, Subpath: _b, ...others } = VolumeOptions ?? {};
  return first([
    unknownField(rest),
    unknownField(others),
    labelProblem(Labels),
    DriverConfig?.Name && DriverConfig.Name !== "local" ? `the driver ${DriverConfig.Name}` : undefined,
    isZero(DriverConfig?.Options) ? undefined : "driver options",
  ]);
}

function unknownField(rest: object): string | undefined {
  return Object.entries(rest).find(([, value]) => !isZero(value))?.[0];
}

function ports(bindings: NonNullable<HostConfig["PortBindings"]>): string | undefined {
  const wanted = Object.values(bindings).flatMap((list) => list ?? []);
  const low = wanted.find(
    ({ HostPort = "" }) => HostPort !== "" && Number(HostPort.split("-")[0]) > 0 && Number(HostPort.split("-")[0]) < FIRST_PORT,
  );
  return low && `the host's port ${low.HostPort}`;
}

function logging({ Type = "", Config }: NonNullable<HostConfig["LogConfig"]>): string | undefined {
  const option = Object.keys(Config ?? {}).find((key) => !LOG_OPTIONS.has(key));
  return first([oneOf("", "json-file", "local", "none")(Type), option]);
}

/** Another container's: who that is, is looked at where it is looked up. */
function orContainer(...modes: readonly string[]): Check<string> {
  return (mode) => (mode.startsWith("container:") ? undefined : oneOf(...modes)(mode));
}

const HOST_CONFIG: Checks<HostConfig> = {
  AutoRemove: anything,
  Binds: each(bind),
  BlkioWeight: anything,
  CapAdd: each(capability),
  CapDrop: anything,
  CgroupnsMode: oneOf("private"),
  ConsoleSize: anything,
  ContainerIDFile: anything,
  CpuPeriod: anything,
  CpuQuota: anything,
  CpuShares: anything,
  CpusetCpus: anything,
  CpusetMems: anything,
  Dns: anything,
  DnsOptions: anything,
  DnsSearch: anything,
  ExtraHosts: anything,
  GroupAdd: anything,
  Init: anything,
  IpcMode: orContainer("none", "private", "shareable"),
  Isolation: oneOf("default"),
  Links: anything,
  LogConfig: logging,
  Memory: anything,
  MemoryReservation: anything,
  MemorySwap: anything,
  MemorySwappiness: anything,
  Mounts: each(mount),
  NanoCpus: anything,
  // the names of networks are looked up
  NetworkMode: (mode) => (mode === "host" ? JSON.stringify(mode) : undefined),
  OomScoreAdj: (score) => (score > 0 ? undefined : String(score)),
  PidMode: orContainer("private"),
  PidsLimit: anything,
  PortBindings: ports,
  PublishAllPorts: anything,
  ReadonlyRootfs: anything,
  RestartPolicy: anything,
  SecurityOpt: each((option: string) => (SECURITY_OPTIONS.has(option) ? undefined : option)),
  ShmSize: anything,
  Sysctls: (given) => Object.keys(given).find((name) => !SYSCTLS.has(name)),
  Tmpfs: anything,
  Ulimits: each(({ Name = "" }: { readonly Name?: string | undefined }) => (ULIMITS.has(Name) ? undefined : Name)),
  UsernsMode: oneOf("auto"),
  VolumeDriver: oneOf("local"),
  VolumesFrom: anything,
};

const CONFIG: Checks<ContainerConfig> = {
  ArgsEscaped: anything,
  AttachStderr: anything,
  AttachStdin: anything,
  AttachStdout: anything,
  Cmd: anything,
  Domainname: anything,
  Entrypoint: anything,
  Env: anything,
  ExposedPorts: anything,
  Healthcheck: anything,
  Hostname: anything,
  Image: anything,
  Labels: (labels) => labelProblem(labels),
  NetworkDisabled: anything,
  OnBuild: anything,
  OpenStdin: anything,
  Shell: anything,
  StdinOnce: anything,
  StopSignal: anything,
  StopTimeout: anything,
  Tty: anything,
  User: anything,
  Volumes: anything,
  WorkingDir: anything,
};

const ENDPOINT: Checks<EndpointSettings> = {
  Aliases: anything,
  DriverOpts: (options) => Object.keys(options).find((key) => key !== "com.docker.network.endpoint.ifname"),
  GwPriority: anything,
  IPAMConfig: anything,
  // who that is, is looked at where it is looked up
  Links: anything,
  MacAddress: anything,
  NetworkID: anything,
};

/** Labels of the engine's own that a client may set: they take the object itself away, and nothing else. Those of its network narrow it. */
const LABELS: ReadonlySet<string> = new Set(["dhow.lease", "dhow.ttl"]);

/** The label that gives power, if there is one. */
export function labelProblem(labels: Readonly<Record<string, string>> | null | undefined): string | undefined {
  const found = Object.keys(labels ?? {}).find((key) => key.startsWith("dhow.") && !LABELS.has(key) && !isNetworkExtension(key));
  return found && `the label ${found}`;
}

/** Nothing was asked for. An empty list is something where the default is not empty, see `EMPTY_IS_ASKED`. */
function isZero(value: unknown): boolean {
  if (value === undefined || value === null || value === false || value === 0 || value === "") return true;
  return typeof value === "object" && Object.values(value).every(isZero);
}

/** Lists that weaken a container by being empty. */
const EMPTY_IS_ASKED: ReadonlySet<string> = new Set(["MaskedPaths", "ReadonlyPaths"]);
/** Numbers that ask for nothing. */
const UNSET: Readonly<Record<string, number>> = { MemorySwappiness: -1 };

/** What of `value` is not in the table, or not as it has it, as `<name>.<field> <what>`. */
function problem<T extends object>(name: string, value: T, checks: Checks<T>): string | undefined {
  for (const [key, field] of Object.entries(value)) {
    if (isZero(field) && !(EMPTY_IS_ASKED.has(key) && Array.isArray(field))) continue;
    if (UNSET[key] === field) continue;
    const check = Object.hasOwn(checks, key) ? (checks[key as keyof T] as Check<unknown> | undefined) : undefined;
    if (check === undefined) return `${name}.${key}`;
    const found = check(field);
    if (found !== undefined) return `${name}.${key} ${found}`;
  }
  return undefined;
}

/** What of a container's host configuration, or of an update of it, is not allowed. */
export function hostConfigProblem(config: HostConfig): string | undefined {
  return problem("HostConfig", config, HOST_CONFIG);
}

export function configProblem(config: ContainerConfig): string | undefined {
  return problem("Config", config, CONFIG);
}

export function endpointProblem(network: string, endpoint: EndpointSettings): string | undefined {
  return problem(`EndpointsConfig.${network}`, endpoint, ENDPOINT);
}

/** What of a volume to be is not allowed: mounting anything but a tmpfs of its own. */
export function volumeProblem({ Driver = "", DriverOpts, ClusterVolumeSpec, Labels }: VolumeCreateRequest): string | undefined {
  if (Driver !== "" && Driver !== "local") return `Driver ${Driver}`;
  if (!isZero(ClusterVolumeSpec)) return "ClusterVolumeSpec";
  return driverOptionsProblem(DriverOpts) ?? labelProblem(Labels);
}

/** Of a bridge: what changes nothing outside of it. */
const NETWORK_OPTIONS: ReadonlySet<string> = new Set(["com.docker.network.driver.mtu", "com.docker.network.bridge.enable_icc"]);

const NETWORK: Checks<NetworkCreateRequest> = {
  Attachable: anything,
  CheckDuplicate: anything,
  // the network that it names is looked up
  ConfigFrom: anything,
  Driver: oneOf("bridge", "default"),
  EnableIPv4: anything,
  EnableIPv6: anything,
  Internal: anything,
  // a subnet of the client's choice could take the place of a route of the host's
  IPAM: ({ Driver = "", Config, Options }) =>
    first([oneOf("", "default")(Driver), isZero(Config) ? undefined : "Config", isZero(Options) ? undefined : "Options"]),
  Labels: (labels) => labelProblem(labels),
  Name: anything,
  Options: (options) => Object.keys(options).find((key) => !NETWORK_OPTIONS.has(key)),
  Scope: oneOf("local"),
};

/** What of a network to be is not allowed: being anything but a bridge that the engine chooses the addresses of. */
export function networkProblem(request: NetworkCreateRequest): string | undefined {
  return problem("Network", request, NETWORK);
}

const TMPFS_OPTION = /^(?:(?:size|mode|uid|gid|nr_inodes)=[0-9a-zA-Z%]*|nosuid|nodev|noexec|ro|rw)$/;

/** Options of a volume that mount something from outside. */
export function driverOptionsProblem(options: Readonly<Record<string, string>> | null | undefined): string | undefined {
  if (isZero(options)) return undefined;
  const { type = "", device = "", o = "", ...rest } = options ?? {};
  const isTmpfs =
    type === "tmpfs" && device === "tmpfs" && isZero(rest) && o.split(",").every((option) => option === "" || TMPFS_OPTION.test(option));
  return isTmpfs ? undefined : `DriverOpts ${Object.keys(options ?? {}).join(", ")}`;
}

/** Fields by which a container that is there may reach the host; what the engine fills in by itself is not among them. */
const ESCAPES = [
  ...(["Privileged", "Devices", "DeviceRequests", "DeviceCgroupRules", "CapAdd", "SecurityOpt"] as const),
  ...(["NetworkMode", "PidMode", "IpcMode", "Sysctls", "Annotations"] as const),
];

/** Why a container that others may have made leads to the host; undefined when it does not. `container:` modes are the caller's to follow. */
export function escapeOf(config: HostConfig): string | undefined {
  const given = Object.fromEntries(ESCAPES.map((key) => [key, config[key]]));
  const host = ([config.UTSMode, config.UsernsMode] as const).includes("host") ? "a namespace of the host" : undefined;
  return hostConfigProblem(given) ?? host;
}
