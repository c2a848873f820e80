import {
  type ContainerCreateRequest,
  EGRESS_ALLOW_LABEL,
  EGRESS_LABEL,
  type HostConfig,
  NET_DELAY_LABEL,
  NET_JITTER_LABEL,
  NET_LOSS_LABEL,
  NET_RATE_LABEL,
  type PortBinding,
  parseSources,
  portAllowLabel,
  type RestartPolicy,
  TTL_LABEL,
} from "../../spec/engine/mod.ts";
import { readEnvFile, readLabelFile } from "../env-file.ts";
import { pairs } from "../flag-kinds.ts";
import type { FlagValues } from "../flags.ts";
import { effectiveCapabilities } from "./capabilities.ts";
import type { CONTAINER_FLAGS } from "./container-flags.ts";
import { isCdiDevice, parseDevice, throttleDevice, weightDevice } from "./devices.ts";
import { parseHealth } from "./health.ts";
import { idmapLabels } from "./mounts.ts";
import { checkMac } from "./names.ts";
import { endpointsOf } from "./networks.ts";
import { parseExpose, parsePublish, shortPublish, splitAllow } from "./ports.ts";
import { parseSecurityOptions } from "./security.ts";
import { parseVolumes } from "./volumes.ts";

export type ContainerFlags = FlagValues<typeof CONTAINER_FLAGS>;

/** What the command line says beside its flags. */
export interface RequestInput {
  readonly flags: ContainerFlags;
  readonly changed: ReadonlySet<string>;
  readonly image: string;
  readonly args: readonly string[];
  /** `run -d`: nothing is attached by default. */
  readonly isDetached: boolean;
  /** Variables of the user's own proxies. */
  readonly proxies?: readonly string[] | undefined;
}

type Labels = Readonly<Record<string, string>>;

function attachOf({ flags, isDetached }: RequestInput): { readonly stdin: boolean; readonly stdout: boolean; readonly stderr: boolean } {
  const given = flags.attach;
  if (given.length > 0) return { stdin: given.includes("stdin"), stdout: given.includes("stdout"), stderr: given.includes("stderr") };
  return { stdin: !isDetached && flags.interactive, stdout: !isDetached, stderr: !isDetached };
}

/** `--restart`'s value. @throws Error in docker's words */
export function parseRestartPolicy(text: string): RestartPolicy {
  if (text === "") return { Name: "", MaximumRetryCount: 0 };
  const [name = "", count, ...rest] = text.split(":");
  if (count !== undefined && name === "") throw new Error("invalid restart policy format: no policy provided before colon");
  if (rest.length > 0) throw new Error("invalid restart policy format: maximum retry count must be an integer");
  if (count !== undefined && !/^[+-]?\d+$/.test(count)) {
    throw new Error("invalid restart policy format: maximum retry count must be an integer");
  }
  return { Name: name as RestartPolicy["Name"], MaximumRetryCount: count === undefined ? 0 : Number(count) };
}

interface Ports {
  readonly exposed: Readonly<Record<string, object>>;
  readonly bindings: Readonly<Record<string, PortBinding[]>>;
  /** Labels with who alone may use a port. */
  readonly labels: Labels;
}

function portsOf(flags: ContainerFlags): Ports {
  const exposed: Record<string, object> = {};
  const bindings: Record<string, PortBinding[]> = {};
  const labels: Record<string, string> = {};
  for (const text of flags.publish) {
    const { mapping, sources } = splitAllow(text);
    for (const { port, hostIp, hostPort } of parsePublish(shortPublish(mapping))) {
      exposed[port] = {};
      bindings[port] = [...(bindings[port] ?? []), { HostIp: hostIp, HostPort: hostPort }];
      if (sources.length === 0) continue;
      const label = portAllowLabel(port);
      const list = parseSources(sources.join(",")).join(",");
      if ((labels[label] ?? list) !== list) throw new Error(`conflicting options: two lists of sources for port ${port}`);
      labels[label] = list;
    }
  }
  for (const port of flags.expose.flatMap(parseExpose)) exposed[port] ??= {};
  return { exposed, bindings, labels };
}

function loggingOptions(driver: string, given: readonly string[]): Labels {
  if (driver === "none" && given.length > 0) throw new Error(`invalid logging opts for driver ${driver}`);
  return pairs(given);
}

function storageOptions(given: readonly string[]): Labels | undefined {
  for (const text of given) if (!text.includes("=")) throw new Error("invalid storage option");
  return given.length === 0 ? undefined : pairs(given);
}

/** Labels that say what docker's API has no fields for. */
function ownLabels(flags: ContainerFlags): Labels {
  const given: Readonly<Record<string, string>> = {
    "dhow.time-offset": flags["time-offset"],
    [TTL_LABEL]: flags.ttl,
    [NET_RATE_LABEL]: flags["net-rate"],
    [NET_DELAY_LABEL]: flags["net-delay"],
    [NET_JITTER_LABEL]: flags["net-jitter"],
    [NET_LOSS_LABEL]: flags["net-loss"],
    [EGRESS_LABEL]: flags.egress,
  };
  return {
    ...Object.fromEntries(Object.entries(given).filter(([, value]) => value !== "")),
    // also an empty list is one: it allows nothing
    ...(flags["egress-allow"].length > 0 && { [EGRESS_ALLOW_LABEL]: flags["egress-allow"].filter((text) => text !== "").join(",") }),
  };
}

/** Docker's checks of modes that name another container, in its order. */
function checkModes(flags: ContainerFlags): void {
  const isContainerMode = (text: string) => /^container:.+/.test(text);
  if (!["", "host"].includes(flags.pid) && !isContainerMode(flags.pid)) throw new Error("--pid: invalid PID mode");
  if (!["", "host"].includes(flags.uts)) throw new Error("--uts: invalid UTS mode");
  if (!["", "host"].includes(flags.userns) && !/^auto(:|$)/.test(flags.userns)) throw new Error("--userns: invalid USER mode");
  if (!["", "host", "private"].includes(flags.cgroupns)) throw new Error("--cgroupns: invalid CGROUP mode");
}

/** The image's command is replaced by what follows the image; `--entrypoint ""` takes the image's away. */
function entrypointOf({ flags, changed }: RequestInput): readonly string[] | null {
  if (flags.entrypoint !== "") return [flags.entrypoint];
  return changed.has("entrypoint") ? [""] : null;
}

function hostConfig({ flags, changed }: RequestInput, ports: Ports): HostConfig {
  const security = parseSecurityOptions(flags["security-opt"]);
  const volumes = parseVolumes(flags.volume, flags.tmpfs);
  const capabilities = effectiveCapabilities(flags["cap-add"], flags["cap-drop"]);
  const devices = flags.device.filter((text) => !isCdiDevice(text)).map(parseDevice);
  const cdi = flags.device.filter(isCdiDevice);
  const requests = [
    ...flags.gpus,
    ...(cdi.length > 0 ? [{ Driver: "cdi", Count: 0, DeviceIDs: cdi, Capabilities: null, Options: null }] : []),
  ];
  const swappiness = flags["memory-swappiness"];
  if (swappiness !== -1 && (swappiness < 0 || swappiness > 100)) {
    throw new Error(`invalid value: ${swappiness}. Valid memory swappiness range is 0-100`);
  }
  const orNull = <T>(list: readonly T[]): readonly T[] | null => (list.length > 0 ? list : null);
  const storage = storageOptions(flags["storage-opt"]);
  return {
    Binds: orNull(volumes.binds),
    ContainerIDFile: flags.cidfile,
    LogConfig: { Type: flags["log-driver"], Config: loggingOptions(flags["log-driver"], flags["log-opt"]) },
    NetworkMode: flags.network[0]?.target ?? "default",
    PortBindings: ports.bindings,
    RestartPolicy: parseRestartPolicy(flags.restart),
    AutoRemove: flags.rm,
    VolumeDriver: flags["volume-driver"],
    VolumesFrom: orNull(flags["volumes-from"]),
    ...(Object.keys(flags.annotation).length > 0 && { Annotations: flags.annotation }),
    ConsoleSize: [0, 0],
    CapAdd: orNull(capabilities.add),
    CapDrop: orNull(capabilities.drop),
    CgroupnsMode: flags.cgroupns as HostConfig["CgroupnsMode"],
    Dns: flags.dns,
    DnsOptions: flags["dns-option"],
    DnsSearch: flags["dns-search"],
    ExtraHosts: orNull(flags["add-host"]),
    GroupAdd: orNull(flags["group-add"]),
    IpcMode: flags.ipc,
    Cgroup: "",
    Links: orNull(flags.link),
    OomScoreAdj: flags["oom-score-adj"],
    PidMode: flags.pid,
    Privileged: flags.privileged,
    PublishAllPorts: flags["publish-all"],
    ReadonlyRootfs: flags["read-only"],
    SecurityOpt: flags["security-opt"].length > 0 ? security.options : null,
    ...(storage && { StorageOpt: storage }),
    ...(Object.keys(volumes.tmpfs).length > 0 && { Tmpfs: volumes.tmpfs }),
    UTSMode: flags.uts,
    UsernsMode: flags.userns,
    ShmSize: flags["shm-size"],
    ...(Object.keys(flags.sysctl).length > 0 && { Sysctls: flags.sysctl }),
    ...(flags.runtime !== "" && { Runtime: flags.runtime }),
    Isolation: flags.isolation as HostConfig["Isolation"],
    CpuShares: flags["cpu-shares"],
    Memory: flags.memory,
    NanoCpus: flags.cpus,
    CgroupParent: flags["cgroup-parent"],
    BlkioWeight: flags["blkio-weight"],
    BlkioWeightDevice: flags["blkio-weight-device"].map(weightDevice),
    BlkioDeviceReadBps: flags["device-read-bps"].map(throttleDevice),
    BlkioDeviceWriteBps: flags["device-write-bps"].map(throttleDevice),
    BlkioDeviceReadIOps: flags["device-read-iops"].map(throttleDevice),
    BlkioDeviceWriteIOps: flags["device-write-iops"].map(throttleDevice),
    CpuPeriod: flags["cpu-period"],
    CpuQuota: flags["cpu-quota"],
    CpuRealtimePeriod: flags["cpu-rt-period"],
    CpuRealtimeRuntime: flags["cpu-rt-runtime"],
    CpusetCpus: flags["cpuset-cpus"],
    CpusetMems: flags["cpuset-mems"],
    Devices: devices,
    DeviceCgroupRules: orNull(flags["device-cgroup-rule"]),
    DeviceRequests: orNull(requests),
    MemoryReservation: flags["memory-reservation"],
    MemorySwap: flags["memory-swap"],
    MemorySwappiness: swappiness,
    OomKillDisable: flags["oom-kill-disable"],
    PidsLimit: flags["pids-limit"],
    Ulimits: flags.ulimit,
    CpuCount: flags["cpu-count"],
    CpuPercent: flags["cpu-percent"],
    IOMaximumIOps: flags["io-maxiops"],
    IOMaximumBandwidth: flags["io-maxbandwidth"],
    ...(flags.mount.length > 0 && { Mounts: flags.mount.map(({ idmap: _, ...mount }) => mount) }),
    ...(security.maskedPaths !== undefined ? { MaskedPaths: security.maskedPaths } : { MaskedPaths: null }),
    ...(security.readonlyPaths !== undefined ? { ReadonlyPaths: security.readonlyPaths } : { ReadonlyPaths: null }),
    ...(changed.has("init") && { Init: flags.init }),
  } as HostConfig;
}

/** The body of POST /containers/create for a command line, as docker's own client makes it. @throws Error in docker's words */
export function containerRequest(input: RequestInput): ContainerCreateRequest {
  const { flags, changed, image, args } = input;
  if (flags.rm && flags.restart !== "" && flags.restart !== "no") {
    throw new Error("conflicting options: cannot specify both --restart and --rm");
  }
  if (flags["mac-address"] !== "") checkMac(flags["mac-address"]);
  const attach = attachOf(input);
  const ports = portsOf(flags);
  checkModes(flags);
  const env = [...flags["env-file"].flatMap(readEnvFile), ...flags.env, ...(input.proxies ?? [])];
  const labels = pairs([...flags["label-file"].flatMap(readLabelFile), ...flags.label]);
  const health = parseHealth(flags);
  const endpoints = endpointsOf(flags.network, flags);
  const host = hostConfig(input, ports);
  const { anonymous } = parseVolumes(flags.volume, flags.tmpfs);
  return {
    Hostname: flags.hostname,
    Domainname: flags.domainname,
    User: flags.user,
    AttachStdin: attach.stdin,
    AttachStdout: attach.stdout,
    AttachStderr: attach.stderr,
    ...(Object.keys(ports.exposed).length > 0 && { ExposedPorts: ports.exposed }),
    Tty: flags.tty,
    OpenStdin: flags.interactive,
    StdinOnce: flags.interactive && attach.stdin,
    Env: env.length > 0 ? env : null,
    Cmd: args.length > 0 ? args : null,
    ...(health && { Healthcheck: health }),
    Image: image,
    Volumes: anonymous,
    WorkingDir: flags.workdir,
    Entrypoint: entrypointOf(input),
    OnBuild: null,
    Labels: { ...idmapLabels(flags.mount), ...labels, ...ownLabels(flags), ...ports.labels },
    ...(flags["stop-signal"] !== "" && { StopSignal: flags["stop-signal"] }),
    ...(changed.has("stop-timeout") && { StopTimeout: flags["stop-timeout"] }),
    HostConfig: host,
    NetworkingConfig: { EndpointsConfig: endpoints },
  } as ContainerCreateRequest;
}
