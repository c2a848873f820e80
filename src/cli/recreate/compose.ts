import { formatDuration } from "../../lib/mod.ts";
import type { DeviceRequest, EndpointSettings, HealthConfig, HostConfig } from "../../spec/engine/mod.ts";
import type { Own } from "./own.ts";
import { publishTexts } from "./run.ts";

/** What a compose file is made of here: YAML's block style, with scalars as JSON writes them, which YAML reads. */
type Node = string | number | boolean | readonly Node[] | { readonly [key: string]: Node };

const PLAIN_KEY = /^[A-Za-z_][\w.-]*$/;

/** Compose puts variables in place of `$NAME` in values, not in keys. */
function scalar(value: string | number | boolean): string {
  return JSON.stringify(typeof value === "string" ? value.replaceAll("$", "$$$$") : value);
}

function yaml(node: Node, indent: string): string {
  if (typeof node !== "object") return ` ${scalar(node)}\n`;
  if (Array.isArray(node)) {
    if (node.length === 0) return " []\n";
    return `\n${node.map((item: Node) => `${indent}-${typeof item === "object" ? yaml(item, `${indent}  `).replace(/^\n\s*/, " ") : yaml(item, "")}`).join("")}`;
  }
  const entries = Object.entries(node);
  if (entries.length === 0) return " {}\n";
  return `\n${entries.map(([key, value]) => `${indent}${PLAIN_KEY.test(key) ? key : JSON.stringify(key)}:${yaml(value, `${indent}  `)}`).join("")}`;
}

type Service = Record<string, Node>;

/** The fields that compose has under another name, and the value as it is. */
const SAME: Readonly<Partial<Record<keyof HostConfig, string>>> = {
  Memory: "mem_limit",
  MemorySwap: "memswap_limit",
  MemoryReservation: "mem_reservation",
  MemorySwappiness: "mem_swappiness",
  CpuShares: "cpu_shares",
  CpuPeriod: "cpu_period",
  CpuQuota: "cpu_quota",
  CpuRealtimePeriod: "cpu_rt_period",
  CpuRealtimeRuntime: "cpu_rt_runtime",
  CpusetCpus: "cpuset",
  PidsLimit: "pids_limit",
  OomKillDisable: "oom_kill_disable",
  OomScoreAdj: "oom_score_adj",
  ShmSize: "shm_size",
  ReadonlyRootfs: "read_only",
  Privileged: "privileged",
  CapAdd: "cap_add",
  CapDrop: "cap_drop",
  DeviceCgroupRules: "device_cgroup_rules",
  GroupAdd: "group_add",
  Sysctls: "sysctls",
  Annotations: "annotations",
  StorageOpt: "storage_opt",
  PidMode: "pid",
  IpcMode: "ipc",
  UTSMode: "uts",
  UsernsMode: "userns_mode",
  CgroupnsMode: "cgroup",
  CgroupParent: "cgroup_parent",
  Runtime: "runtime",
  ExtraHosts: "extra_hosts",
  Dns: "dns",
  DnsSearch: "dns_search",
  DnsOptions: "dns_opt",
  Init: "init",
};

/** @see compose-spec.json, devices */
function reservation({ Driver, Count = 0, DeviceIDs, Capabilities, Options }: DeviceRequest): Node {
  return {
    ...(Driver ? { driver: Driver } : {}),
    ...(Count === 0 ? {} : { count: Count < 0 ? "all" : Count }),
    ...(DeviceIDs ? { device_ids: DeviceIDs } : {}),
    capabilities: Capabilities?.[0] ?? [],
    ...(Options && Object.keys(Options).length > 0 ? { options: Options } : {}),
  };
}

function hostFields(host: HostConfig): Service {
  const service: Service = {};
  for (const [key, name] of Object.entries(SAME)) {
    const value = host[key as keyof HostConfig];
    if (value !== undefined && value !== null) service[name] = value as Node;
  }
  if (host.NanoCpus) service["cpus"] = host.NanoCpus / 1e9;
  if (host.RestartPolicy?.Name) {
    const { Name, MaximumRetryCount = 0 } = host.RestartPolicy;
    service["restart"] = MaximumRetryCount > 0 ? `${Name}:${MaximumRetryCount}` : Name;
  }
  if (host.PortBindings) service["ports"] = publishTexts(host.PortBindings);
  const security = [...(host.SecurityOpt ?? []), ...(host.MaskedPaths ? ["systempaths=unconfined"] : [])];
  if (security.length > 0) service["security_opt"] = security;
  if (host.Tmpfs) service["tmpfs"] = Object.entries(host.Tmpfs).map(([path, options]) => (options === "" ? path : `${path}:${options}`));
  if (host.Ulimits) {
    service["ulimits"] = Object.fromEntries(
      host.Ulimits.map((limit) => [limit?.Name ?? "", { soft: limit?.Soft ?? 0, hard: limit?.Hard ?? 0 }]),
    );
  }
  const mapped = (host.Devices ?? []).map(
    (device) => `${device.PathOnHost}:${device.PathInContainer}:${device.CgroupPermissions || "rwm"}`,
  );
  const requests = host.DeviceRequests ?? [];
  const named = requests.flatMap(({ Driver, DeviceIDs }) => (Driver === "cdi" ? (DeviceIDs ?? []) : []));
  if (mapped.length + named.length > 0) service["devices"] = [...mapped, ...named];
  const reserved = requests.filter(({ Driver }) => Driver !== "cdi").map(reservation);
  if (reserved.length > 0) service["deploy"] = { resources: { reservations: { devices: reserved } } };
  if (host.VolumesFrom) service["volumes_from"] = host.VolumesFrom.map((from) => `container:${from}`);
  if (host.LogConfig) service["logging"] = { driver: host.LogConfig.Type ?? "", options: host.LogConfig.Config ?? {} };
  if (host.Links) {
    service["external_links"] = host.Links.map((link) => {
      const [target = "", alias = ""] = (link ?? "").split(":");
      return `${target.replace(/^\//, "")}:${alias.slice(alias.lastIndexOf("/") + 1)}`;
    });
  }
  return service;
}

/** @see compose-spec.json, service_volume */
function mounts({ host, anonymousVolumes }: Own): Node[] {
  const long = (host.Mounts ?? []).map((mount): Node => {
    const { Type = "", Source, Target = "", ReadOnly, BindOptions, VolumeOptions, TmpfsOptions } = mount;
    const bind = {
      ...(BindOptions?.Propagation && { propagation: BindOptions.Propagation }),
      ...(BindOptions?.CreateMountpoint && { create_host_path: true }),
    };
    const volume = { ...(VolumeOptions?.NoCopy && { nocopy: true }), ...(VolumeOptions?.Subpath && { subpath: VolumeOptions.Subpath }) };
    const tmpfs = {
      ...(TmpfsOptions?.SizeBytes && { size: TmpfsOptions.SizeBytes }),
      ...(TmpfsOptions?.Mode && { mode: TmpfsOptions.Mode }),
    };
    return {
      type: Type,
      ...(Source ? { source: Source } : {}),
      target: Target,
      ...(ReadOnly ? { read_only: true } : {}),
      ...(Object.keys(bind).length > 0 ? { bind } : {}),
      ...(Object.keys(volume).length > 0 ? { volume } : {}),
      ...(Object.keys(tmpfs).length > 0 ? { tmpfs } : {}),
    };
  });
  return [...(host.Binds ?? []), ...anonymousVolumes, ...long];
}

function health(check: HealthConfig): Node {
  if (check.Test?.[0] === "NONE") return { disable: true };
  const durations = {
    interval: check.Interval,
    timeout: check.Timeout,
    start_period: check.StartPeriod,
    start_interval: check.StartInterval,
  };
  return {
    ...(check.Test?.length ? { test: check.Test } : {}),
    ...Object.fromEntries(Object.entries(durations).flatMap(([key, ns]) => (ns ? [[key, formatDuration(ns)]] : []))),
    ...(check.Retries ? { retries: check.Retries } : {}),
  };
}

function network({ IPAMConfig, Aliases, DriverOpts, GwPriority }: EndpointSettings): Node {
  return {
    ...(Aliases?.length ? { aliases: Aliases } : {}),
    ...(IPAMConfig?.IPv4Address ? { ipv4_address: IPAMConfig.IPv4Address } : {}),
    ...(IPAMConfig?.IPv6Address ? { ipv6_address: IPAMConfig.IPv6Address } : {}),
    ...(IPAMConfig?.LinkLocalIPs?.length ? { link_local_ips: IPAMConfig.LinkLocalIPs } : {}),
    ...(Object.keys(DriverOpts ?? {}).length > 0 ? { driver_opts: DriverOpts ?? {} } : {}),
    ...(GwPriority ? { gw_priority: GwPriority } : {}),
  };
}

/** Names alone where nothing else is said. */
function networkList(networks: Own["networks"]): Node {
  const all = Object.entries(networks).map(([name, settings]) => [name, network(settings)] as const);
  const isPlain = all.every(([, settings]) => Object.keys(settings as object).length === 0);
  return isPlain ? all.map(([name]) => name) : Object.fromEntries(all);
}

function service(own: Own): Service {
  const { host, networks } = own;
  const volumes = mounts(own);
  const names = Object.keys(networks);
  return {
    image: own.image,
    container_name: own.name,
    ...(own.entrypoint === undefined ? {} : { entrypoint: own.entrypoint }),
    ...(own.command === undefined ? {} : { command: own.command }),
    ...(own.env.length > 0 ? { environment: own.env } : {}),
    ...(Object.keys(own.labels).length > 0 ? { labels: own.labels } : {}),
    ...Object.fromEntries(
      Object.entries({
        hostname: own.hostname,
        domainname: own.domainname,
        user: own.user,
        working_dir: own.workingDir,
        stop_signal: own.stopSignal,
      }).filter(([, value]) => value !== ""),
    ),
    ...(own.exposed.length > 0 ? { expose: own.exposed } : {}),
    ...(volumes.length > 0 ? { volumes } : {}),
    ...(names.length > 0 ? { networks: networkList(networks) } : host.NetworkMode ? { network_mode: host.NetworkMode } : {}),
    ...hostFields(host),
    ...(own.health === undefined ? {} : { healthcheck: health(own.health) }),
    ...(own.stopTimeout === undefined ? {} : { stop_grace_period: `${own.stopTimeout}s` }),
    ...(own.isInteractive ? { stdin_open: true } : {}),
    ...(own.isTty ? { tty: true } : {}),
  };
}

/** Names of the volumes that services use. */
function volumeNames({ host }: Own): string[] {
  const bound = (host.Binds ?? [])
    .map((bind) => (bind ?? "").split(":")[0] ?? "")
    .filter((source) => source !== "" && !source.startsWith("/"));
  const mounted = (host.Mounts ?? []).flatMap(({ Type, Source }) => (Type === "volume" && Source ? [Source] : []));
  return [...bound, ...mounted];
}

/** A compose file with one service for each container. Volumes and networks are those that there are. */
export function composeText(all: readonly Own[]): string {
  const external = (names: readonly string[]): Node => Object.fromEntries([...new Set(names)].map((name) => [name, { external: true }]));
  const volumes = all.flatMap(volumeNames);
  const networks = all.flatMap(({ networks: own }) => Object.keys(own));
  return yaml(
    {
      services: Object.fromEntries(all.map((own) => [own.name, service(own)])),
      ...(volumes.length > 0 ? { volumes: external(volumes) } : {}),
      ...(networks.length > 0 ? { networks: external(networks) } : {}),
    },
    "",
  ).slice(1);
}
