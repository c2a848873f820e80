import { DhowError } from "../lib/mod.ts";
import type {
  ContainerInspectResponse,
  ContainerSummary,
  DiskUsage,
  EndpointSettings,
  EventMessage,
  ImageInspect,
  ImageSummary,
  NetworkInspect,
  NetworkSummary,
  SystemInfo,
} from "../spec/engine/mod.ts";

/**
 * What each version of the API shows. The engine answers in the newest form; an older client gets what its version had.
 * @see https://docs.docker.com/reference/api/engine/version-history/
 */
export type ApiVersion = readonly [major: number, minor: number];

export const API_VERSION = "1.56";
export const MIN_API_VERSION = "1.24";
const MAX_MINOR = 56;
const MIN_MINOR = 24;
const NEWEST: ApiVersion = [1, MAX_MINOR];

/** Cuts `/v1.41` off a path; `version` is "" when there is none. */
export function splitVersion(path: string): { readonly version: string; readonly path: string } {
  if (path.charCodeAt(1) !== 0x76) return { version: "", path };
  const end = path.indexOf("/", 1);
  if (end < 0) return { version: "", path };
  const version = path.slice(2, end);
  return /^[0-9.]+$/.test(version) ? { version, path: path.slice(end) } : { version: "", path };
}

/** Parses a path's version. @throws invalid when it is too old or too new */
export function checkVersion(version: string): ApiVersion {
  if (version === "") return NEWEST;
  const [major = 0, minor = 0] = version.split(".").map(Number);
  if (major < 1 || (major === 1 && minor < MIN_MINOR)) {
    throw new DhowError(
      "invalid",
      `client version ${version} is too old. Minimum supported API version is ${MIN_API_VERSION}, please upgrade your client to a newer version`,
    );
  }
  if (major > 1 || minor > MAX_MINOR) {
    throw new DhowError("invalid", `client version ${version} is too new. Maximum supported API version is ${API_VERSION}`);
  }
  return [major, minor];
}

/** Whether `version` is older than 1.`minor`. */
export function olderThan(version: ApiVersion, minor: number): boolean {
  return version[0] === 1 && version[1] < minor;
}

type Loose = Record<string, unknown>;

function without(object: object, ...keys: readonly string[]): Loose {
  const copy: Loose = { ...object };
  for (const key of keys) delete copy[key];
  return copy;
}

function endpoints(networks: Readonly<Record<string, EndpointSettings>> | null | undefined, version: ApiVersion): unknown {
  if (networks === null || networks === undefined || !olderThan(version, 48)) return networks;
  const hidden = olderThan(version, 44) ? ["GwPriority", "DNSNames"] : ["GwPriority"];
  return Object.fromEntries(Object.entries(networks).map(([name, endpoint]) => [name, without(endpoint, ...hidden)]));
}

/** GET /containers/json */
export function containerSummary(summary: ContainerSummary, version: ApiVersion): object {
  if (!olderThan(version, 52)) return summary;
  const result = without(summary, "Health");
  if (!olderThan(version, 48)) return result;
  delete result["ImageManifestDescriptor"];
  if (summary.NetworkSettings)
    result["NetworkSettings"] = { ...summary.NetworkSettings, Networks: endpoints(summary.NetworkSettings.Networks, version) };
  if (olderThan(version, 46) && summary.HostConfig) result["HostConfig"] = without(summary.HostConfig, "Annotations");
  return result;
}

/** The network whose values stood at the top of NetworkSettings before 1.52. */
const DEFAULT_NETWORK = "bridge";

function legacyNetworkSettings(inspect: ContainerInspectResponse, version: ApiVersion): object {
  const settings = inspect.NetworkSettings ?? {};
  const main = settings.Networks?.[DEFAULT_NETWORK];
  const running = inspect.State?.Running === true;
  let networks = settings.Networks ?? {};
  if (olderThan(version, 45)) networks = withShortIdAlias(inspect, networks);
  return {
    Bridge: "",
    SandboxID: settings.SandboxID ?? "",
    SandboxKey: settings.SandboxKey ?? "",
    Ports: settings.Ports ?? {},
    HairpinMode: false,
    LinkLocalIPv6Address: "",
    LinkLocalIPv6PrefixLen: 0,
    SecondaryIPAddresses: null,
    SecondaryIPv6Addresses: null,
    EndpointID: main?.EndpointID ?? "",
    Gateway: main?.Gateway ?? "",
    GlobalIPv6Address: main?.GlobalIPv6Address ?? "",
    GlobalIPv6PrefixLen: main?.GlobalIPv6PrefixLen ?? 0,
    IPAddress: main?.IPAddress ?? "",
    IPPrefixLen: main?.IPPrefixLen ?? 0,
    IPv6Gateway: main?.IPv6Gateway ?? "",
    MacAddress: running ? (main?.MacAddress ?? "") : "",
    Networks: endpoints(networks, version),
  };
}

function withShortIdAlias(
  inspect: ContainerInspectResponse,
  networks: Readonly<Record<string, EndpointSettings>>,
): Readonly<Record<string, EndpointSettings>> {
  const own = [(inspect.Id ?? "").slice(0, 12), inspect.Config?.Hostname ?? ""].filter((name) => name !== "");
  return Object.fromEntries(
    Object.entries(networks).map(([name, endpoint]) => {
      if (["bridge", "host", "none", "default"].includes(name) || name.startsWith("container:")) return [name, endpoint];
      return [name, { ...endpoint, Aliases: [...new Set([...(endpoint.Aliases ?? []), ...own])] }];
    }),
  );
}

/** GET /containers/{id}/json */
export function containerInspect(inspect: ContainerInspectResponse, version: ApiVersion): object {
  if (!olderThan(version, 52)) {
    const hasMac = inspect.Config !== undefined && "MacAddress" in inspect.Config;
    return hasMac ? { ...inspect, Config: without(inspect.Config ?? {}, "MacAddress") } : inspect;
  }
  const result = olderThan(version, 48) ? without(inspect, "ImageManifestDescriptor") : { ...inspect };
  result["NetworkSettings"] = legacyNetworkSettings(inspect, version);
  if (inspect.Config) result["Config"] = { ...inspect.Config, OnBuild: inspect.Config.OnBuild ?? null };
  const snapshotter = inspect.Storage?.RootFS?.Snapshot?.Name;
  if (!inspect.GraphDriver && snapshotter !== undefined) {
    result["GraphDriver"] = { Name: snapshotter, Data: null };
    delete result["Storage"];
  }
  return result;
}

/** GET /images/json */
export function imageSummary(summary: ImageSummary, version: ApiVersion): object {
  const result: Loose = { ...summary, RepoTags: summary.RepoTags ?? [], RepoDigests: summary.RepoDigests ?? [] };
  if (olderThan(version, 51)) result["Containers"] = -1;
  if (olderThan(version, 48)) delete result["Descriptor"];
  if (olderThan(version, 47)) delete result["Manifests"];
  if (olderThan(version, 44)) result["VirtualSize"] = summary.Size;
  const isNameless = (summary.RepoTags ?? []).length === 0 && (summary.RepoDigests ?? []).length === 0;
  if (olderThan(version, 43) && isNameless) {
    result["RepoTags"] = ["<none>:<none>"];
    result["RepoDigests"] = ["<none>@<none>"];
  }
  return result;
}

/** Fields of a container's configuration that an image's showed, always empty, before 1.50. */
const CONTAINER_ONLY = {
  Hostname: "",
  Domainname: "",
  AttachStdin: false,
  AttachStdout: false,
  AttachStderr: false,
  Tty: false,
  OpenStdin: false,
  StdinOnce: false,
  Image: "",
};

/** What an image's configuration showed before 1.52 also when it was not set. */
const IMAGE_CONFIG = { User: "", Env: null, Cmd: null, Volumes: null, WorkingDir: "", Entrypoint: null, OnBuild: null, Labels: null };

/** GET /images/{name}/json */
export function imageInspect(inspect: ImageInspect, version: ApiVersion): object {
  const result: Loose = { ...inspect, RepoTags: inspect.RepoTags ?? [], RepoDigests: inspect.RepoDigests ?? [] };
  if (olderThan(version, 53)) delete result["Identity"];
  if (!olderThan(version, 52)) return result;
  for (const key of ["Parent", "Comment", "DockerVersion", "Author"]) result[key] ??= "";
  result["Config"] = { ...(olderThan(version, 50) ? CONTAINER_ONLY : {}), ...IMAGE_CONFIG, ...inspect.Config };
  if (olderThan(version, 48)) delete result["Descriptor"];
  if (olderThan(version, 48)) delete result["Manifests"];
  if (olderThan(version, 45)) {
    result["Container"] = "";
    result["ContainerConfig"] = { ...CONTAINER_ONLY, ...IMAGE_CONFIG };
  }
  if (olderThan(version, 44)) {
    result["VirtualSize"] = inspect.Size;
    result["Created"] ??= "0001-01-01T00:00:00Z";
  }
  return result;
}

/** GET /info */
export function systemInfo(info: SystemInfo, version: ApiVersion): object {
  const result: Loose = { ...info };
  if (olderThan(version, 53)) delete result["NRI"];
  if (olderThan(version, 50)) {
    delete result["DiscoveredDevices"];
    result["BridgeNfIptables"] = false;
    result["BridgeNfIp6tables"] = false;
  }
  if (olderThan(version, 49)) {
    delete result["FirewallBackend"];
    for (const key of ["ContainerdCommit", "RuncCommit", "InitCommit"] as const)
      result[key] = { ...info[key], Expected: info[key]?.ID ?? "" };
    if (info.RegistryConfig) {
      result["RegistryConfig"] = {
        AllowNondistributableArtifactsCIDRs: null,
        AllowNondistributableArtifactsHostnames: null,
        ...info.RegistryConfig,
      };
    }
  }
  if (olderThan(version, 46)) delete result["Containerd"];
  if (olderThan(version, 44)) {
    delete result["CDISpecDirs"];
    result["Runtimes"] = Object.fromEntries(
      Object.entries(info.Runtimes ?? {}).map(([name, runtime]) => [name, without(runtime, "status")]),
    );
  }
  if (olderThan(version, 39)) {
    result["KernelVersion"] ||= "<unknown>";
    result["OperatingSystem"] ||= "<unknown>";
  }
  return result;
}

/** GET /events: whether the version has such events; images are created since 1.46. */
export function hasEvent({ Type, Action }: EventMessage, version: ApiVersion): boolean {
  return !(olderThan(version, 46) && Type === "image" && Action === "create");
}

/** GET /events: before 1.52 with the fields of the first days. */
export function eventMessage(event: EventMessage, version: ApiVersion): object {
  if (!olderThan(version, 52)) return event;
  if (event.Type !== "container" && event.Type !== "image") return event;
  const id = event.Actor?.ID;
  const from = event.Type === "container" ? event.Actor?.Attributes?.["image"] : undefined;
  return { status: event.Action, ...(id && { id }), ...(from && { from }), ...event };
}

/** GET /networks/{id} */
export function network(inspect: NetworkInspect, version: ApiVersion): object {
  if (!olderThan(version, 52)) return inspect;
  return olderThan(version, 48) ? without(inspect, "Status", "EnableIPv4") : without(inspect, "Status");
}

/** GET /networks: before 1.52 with the containers of an inspect, which were always left out. */
export function networkSummary(summary: NetworkSummary, version: ApiVersion): object {
  return olderThan(version, 52) ? { ...network(summary, version), Containers: {} } : summary;
}

interface Usage {
  readonly ActiveCount: number;
  readonly TotalCount: number;
  readonly Reclaimable: number;
  readonly TotalSize: number;
  readonly Items?: readonly unknown[];
}

function usage<T>(
  items: readonly T[],
  verbose: boolean,
  options: { readonly size: (item: T) => number; readonly isActive: (item: T) => boolean; readonly totalSize?: number },
): Usage {
  const sum = (list: readonly T[]): number => list.reduce((total, item) => total + Math.max(0, options.size(item)), 0);
  const idle = items.filter((item) => !options.isActive(item));
  return {
    ActiveCount: items.length - idle.length,
    TotalCount: items.length,
    Reclaimable: sum(idle),
    TotalSize: options.totalSize ?? sum(items),
    ...(verbose && items.length > 0 ? { Items: items } : {}),
  };
}

/** The object types of GET /system/df. */
export const DISK_USAGE_TYPES = ["container", "image", "volume", "build-cache"] as const;

/** GET /system/df: lists before 1.52, sums since then; without `verbose` dockerd still gives both. */
export function diskUsage(
  df: DiskUsage,
  version: ApiVersion,
  options: { readonly types: readonly string[]; readonly verbose: boolean },
): object {
  const wants = (type: (typeof DISK_USAGE_TYPES)[number]): boolean => options.types.includes(type);
  const legacy = {
    LayersSize: df.LayersSize,
    Images: wants("image") ? df.Images.map((image) => (olderThan(version, 44) ? { ...image, VirtualSize: image.Size } : image)) : null,
    Containers: wants("container") ? df.Containers.map((container) => containerSummary(container, version)) : null,
    Volumes: wants("volume") ? df.Volumes : null,
    BuildCache: wants("build-cache") ? df.BuildCache : null,
    ...(wants("container") && df.Logs !== undefined && { Logs: df.Logs }),
    ...(olderThan(version, 42) ? { BuilderSize: 0 } : {}),
  };
  if (olderThan(version, 52)) return legacy;
  const sums = {
    ...(wants("image") && {
      ImageUsage: usage(df.Images, options.verbose, {
        size: (image) => (image.Size ?? 0) - Math.max(0, image.SharedSize ?? 0),
        isActive: (image) => (image.Containers ?? 0) > 0,
        totalSize: df.LayersSize,
      }),
    }),
    ...(wants("container") && {
      ContainerUsage: usage(df.Containers, options.verbose, {
        size: (container) => container.SizeRw ?? 0,
        isActive: (container) => ["running", "paused", "restarting"].includes(container.State ?? ""),
      }),
    }),
    ...(wants("volume") && {
      VolumeUsage: usage(df.Volumes, options.verbose, {
        size: (volume) => Math.max(0, volume.UsageData?.Size ?? 0),
        isActive: (volume) => (volume.UsageData?.RefCount ?? 0) > 0,
      }),
    }),
    ...(wants("build-cache") && { BuildCacheUsage: usage(df.BuildCache, options.verbose, { size: () => 0, isActive: () => false }) }),
  };
  return options.verbose ? { ...sums, ...(legacy.Logs !== undefined && { Logs: legacy.Logs }) } : { ...legacy, ...sums };
}
