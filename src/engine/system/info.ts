import { readdirSync, readFileSync } from "node:fs";
import { arch, hostname } from "node:os";
import { API_VERSION, DOCKER_VERSION, formatTime, MIN_API_VERSION, nowNs, VERSION } from "../../lib/mod.ts";
import type { HostFacts } from "../../runtime/mod.ts";
import type { SystemInfo, SystemVersion } from "../../spec/engine/mod.ts";

/** The parts of /info that the engine's settings decide. */
export interface InfoSettings {
  readonly id: string;
  readonly dataRoot: string;
  readonly storageDriver: string;
  readonly backingFilesystem: string;
  readonly logDriver: string;
  readonly logDrivers: readonly string[];
  readonly defaultRuntime: string;
  readonly runtimes: Readonly<Record<string, string>>;
  readonly labels: readonly string[];
  readonly isDebug: boolean;
  readonly isExperimental: boolean;
  readonly insecureRegistries: readonly string[];
  readonly registryMirrors: readonly string[];
  /** As they may be shown; empty: none. */
  readonly proxies: { readonly http: string; readonly https: string; readonly none: string };
  readonly initPath: string;
  readonly runtimeVersion: string;
  readonly warnings: readonly string[];
  /** Containers have user namespaces unless they say otherwise. */
  readonly isUsernsDefault: boolean;
  /** Of containers that name none: `builtin`, `unconfined` or a path. */
  readonly seccompProfile: string;
}

/** The parts of /info that have to be asked for. */
export interface Discovered {
  readonly volumePlugins: readonly string[];
  /** Where devices of the Container Device Interface are described. */
  readonly cdiSpecDirs: readonly string[];
  /** `vendor.com/class=name` */
  readonly cdiDevices: readonly string[];
  readonly cdiWarnings: readonly string[];
}

export interface Counts {
  readonly running: number;
  readonly paused: number;
  readonly stopped: number;
  readonly images: number;
  readonly listeners: number;
}

function goArch(): string {
  return arch() === "x64" ? "amd64" : arch();
}

/** The parts of /version that the engine's settings decide. */
export interface VersionSettings {
  readonly runtimeVersion: string;
  readonly isExperimental: boolean;
}

/** GET /version. */
export function systemVersion(facts: HostFacts, settings: VersionSettings): SystemVersion {
  return {
    Platform: { Name: `dhow ${VERSION}` },
    Components: [
      {
        Name: "Engine",
        Version: DOCKER_VERSION,
        Details: {
          ApiVersion: API_VERSION,
          Arch: goArch(),
          BuildTime: "",
          Experimental: String(settings.isExperimental),
          GitCommit: VERSION,
          GoVersion: `bun${Bun.version}`,
          KernelVersion: facts.kernel,
          MinAPIVersion: MIN_API_VERSION,
          Os: "linux",
        },
      },
      { Name: "crun", Version: settings.runtimeVersion, Details: { GitCommit: "" } },
    ],
    Version: DOCKER_VERSION,
    ApiVersion: API_VERSION,
    MinAPIVersion: MIN_API_VERSION,
    GitCommit: VERSION,
    GoVersion: `bun${Bun.version}`,
    Os: "linux",
    Arch: goArch(),
    KernelVersion: facts.kernel,
    BuildTime: "",
    ...(settings.isExperimental && { Experimental: true }),
  };
}

function securityOptions(facts: HostFacts, { isUsernsDefault, seccompProfile }: InfoSettings): string[] {
  const options: string[] = [];
  if (facts.apparmor) options.push("name=apparmor");
  if (facts.seccomp) options.push(`name=seccomp,profile=${seccompProfile}`);
  if (facts.selinux) options.push("name=selinux");
  if (isUsernsDefault) options.push("name=userns");
  if (facts.cgroupNamespaces && facts.cgroup.version === 2) options.push("name=cgroupns");
  return options;
}

/** GET /info. */
export function systemInfo(facts: HostFacts, settings: InfoSettings & Discovered, counts: Counts): SystemInfo {
  const { limits } = facts;
  return {
    ID: settings.id,
    Containers: counts.running + counts.paused + counts.stopped,
    ContainersRunning: counts.running,
    ContainersPaused: counts.paused,
    ContainersStopped: counts.stopped,
    Images: counts.images,
    Driver: settings.storageDriver,
    DriverStatus: [
      ["Backing Filesystem", settings.backingFilesystem],
      ["Supports d_type", "true"],
      ["Native Overlay Diff", "true"],
    ],
    DockerRootDir: settings.dataRoot,
    Plugins: {
      Volume: ["local", ...settings.volumePlugins],
      Network: ["bridge", "host", "ipvlan", "macvlan", "null", "overlay"],
      Authorization: null,
      Log: settings.logDrivers,
    },
    MemoryLimit: limits.memory,
    SwapLimit: limits.swap,
    CpuCfsPeriod: limits.cpuCfs,
    CpuCfsQuota: limits.cpuCfs,
    CPUShares: limits.cpuShares,
    CPUSet: limits.cpuset,
    PidsLimit: limits.pids,
    OomKillDisable: limits.oomKillDisable,
    IPv4Forwarding: facts.ipv4Forwarding,
    Debug: settings.isDebug,
    NFd: entriesOf("/proc/self/fd"),
    // what runs side by side here
    NGoroutines: entriesOf("/proc/self/task"),
    SystemTime: formatTime(nowNs()),
    LoggingDriver: settings.logDriver,
    CgroupDriver: "cgroupfs",
    CgroupVersion: String(facts.cgroup.version),
    NEventsListener: counts.listeners,
    KernelVersion: facts.kernel,
    OperatingSystem: facts.operatingSystem,
    OSVersion: facts.osVersion,
    OSType: "linux",
    Architecture: facts.machine,
    NCPU: facts.cpuCount,
    MemTotal: facts.memoryBytes,
    IndexServerAddress: "https://index.docker.io/v1/",
    RegistryConfig: registryConfig(settings),
    GenericResources: null,
    HttpProxy: settings.proxies.http,
    HttpsProxy: settings.proxies.https,
    NoProxy: settings.proxies.none,
    Name: hostname(),
    Labels: settings.labels,
    ExperimentalBuild: settings.isExperimental,
    ServerVersion: DOCKER_VERSION,
    Runtimes: Object.fromEntries(Object.entries(settings.runtimes).map(([name, path]) => [name, { path }])),
    DefaultRuntime: settings.defaultRuntime,
    Swarm: { NodeID: "", NodeAddr: "", LocalNodeState: "inactive", ControlAvailable: false, Error: "", RemoteManagers: null },
    LiveRestoreEnabled: true,
    Isolation: "",
    InitBinary: settings.initPath,
    ContainerdCommit: { ID: "" },
    RuncCommit: { ID: settings.runtimeVersion },
    InitCommit: { ID: "" },
    SecurityOptions: securityOptions(facts, settings),
    FirewallBackend: { Driver: "nftables" },
    CDISpecDirs: settings.cdiSpecDirs,
    DiscoveredDevices: settings.cdiDevices.map((name) => ({ Source: "cdi", ID: name })),
    Warnings: [...settings.warnings, ...facts.warnings, ...settings.cdiWarnings],
  };
}

/** Loopback is always insecure; a registry is given by its network or by its name. */
function registryConfig({ insecureRegistries, registryMirrors }: InfoSettings): SystemInfo["RegistryConfig"] {
  const isCidr = (text: string): boolean => /^[0-9a-fA-F.:]+\/\d+$/.test(text);
  const indexes = insecureRegistries
    .filter((text) => !isCidr(text))
    .map((name) => [name, { Name: name, Mirrors: [], Secure: false, Official: false }] as const);
  const official = { Name: "docker.io", Mirrors: registryMirrors, Secure: true, Official: true };
  return {
    InsecureRegistryCIDRs: ["::1/128", ...insecureRegistries.filter(isCidr), "127.0.0.0/8"],
    IndexConfigs: { "docker.io": official, ...Object.fromEntries(indexes) },
    Mirrors: registryMirrors.length > 0 ? registryMirrors : null,
  };
}

function entriesOf(directory: string): number {
  return readdirSync(directory).length;
}

/** A stable id of this engine, kept in `path`. */
export function engineId(path: string, make: () => string): string {
  try {
    const id = readFileSync(path, "utf8").trim();
    if (id !== "") return id;
  } catch {
    // the first start
  }
  return make();
}
