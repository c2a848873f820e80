/** The daemon's settings: dockerd's flags and the keys of its daemon.json, told apart and checked as dockerd does. */
import type { ImageGcSettings } from "../engine/mod.ts";
import { type LogLevel, parseBytes, parseDuration } from "../lib/mod.ts";
import { cdiSpecDirs } from "./cdi.ts";
import { type ClusterConfig, clusterConfig } from "./cluster.ts";
import { readConfigFile } from "./file.ts";
import { daemonUsage, invalid, readFlags, SETTINGS } from "./flags.ts";
import { imageGcSettings } from "./image-gc.ts";
import { metricsListenAddress } from "./listen.ts";
import { firewallMark, gateways, hostGatewayIps, hostIp, networkOptions } from "./network-settings.ts";
import { type Proxies, proxies } from "./proxies.ts";
import { readTls, type TlsConfig, tlsConfig, UNAUTHENTICATED } from "./tls.ts";

export interface RuntimeConfig {
  readonly path: string;
  readonly runtimeArgs: readonly string[];
}

/** Everything that the daemon can be told. */
export interface DaemonConfig {
  readonly hosts: readonly string[];
  readonly dataRoot: string;
  readonly execRoot: string;
  readonly pidfile: string;
  readonly configFile: string;
  readonly group: string;
  readonly bridge: string;
  readonly bip: string;
  readonly bip6: string;
  /** Of the default bridge, where it is not the bridge itself. */
  readonly defaultGateways: readonly string[];
  /** A path, `unconfined` or `builtin`. */
  readonly seccompProfile: string;
  readonly fixedCidr: string;
  readonly fixedCidrV6: string;
  readonly hasIpv6: boolean;
  readonly isMasquerading: boolean;
  /** Published ports answer on containers' own addresses, too. */
  readonly allowsDirectRouting: boolean;
  readonly acceptMark: { readonly mark: number; readonly mask: number } | undefined;
  /** What `host-gateway` stands for; empty: the default bridge's addresses. */
  readonly hostGatewayIps: readonly string[];
  /** Options that new networks have unless they say otherwise, by driver. */
  readonly defaultNetworkOptions: Readonly<Record<string, Readonly<Record<string, string>>>>;
  readonly mtu: number;
  readonly dns: readonly string[];
  readonly dnsSearch: readonly string[];
  readonly dnsOptions: readonly string[];
  readonly areContainersConnected: boolean;
  readonly isIpForward: boolean;
  readonly defaultAddressPools: readonly { readonly base: string; readonly size: number }[];
  readonly sandboxPool: number;
  /** The etcd of overlay networks; undefined: there are none. */
  readonly cluster: ClusterConfig | undefined;
  /** How long a runtime may take for one command. */
  readonly runtimeTimeoutMs: number;
  /** Where plug-ins are described, and where they listen. */
  readonly pluginDirs: readonly string[];
  readonly pluginSocketDir: string;
  /** How long a plug-in may take to answer. */
  readonly pluginTimeoutMs: number;
  /** `address:port`, empty = nowhere. */
  readonly reaperAddress: string;
  readonly defaultRuntime: string;
  readonly runtimes: Readonly<Record<string, RuntimeConfig>>;
  readonly storageDriver: string;
  readonly cgroupParent: string;
  /** Empty: docker's choice by the host's cgroup version. */
  readonly defaultCgroupnsMode: "" | "host" | "private";
  readonly defaultShmSizeBytes: number;
  readonly defaultUlimits: readonly { readonly Name: string; readonly Soft: number; readonly Hard: number }[];
  readonly initPath: string;
  /** Empty: containers are in the host's user namespace. */
  readonly usernsRemap: string;
  readonly usernsPool: string;
  readonly isInitDefault: boolean;
  readonly logDriver: string;
  readonly logOpts: Readonly<Record<string, string>>;
  readonly logLevel: LogLevel;
  readonly logFormat: "text" | "json";
  readonly isDebug: boolean;
  readonly isExperimental: boolean;
  readonly labels: readonly string[];
  readonly shutdownTimeoutS: number;
  /** How TCP sockets are served; undefined when nothing was said, and there may be none. */
  readonly tls: TlsConfig | undefined;
  /** Host names, besides those in `hosts`, that clients may call a TCP socket by. */
  readonly apiHostNames: readonly string[];
  readonly defaultHostIp: string;
  readonly isNoNewPrivileges: boolean;
  readonly defaultIpcMode: "private" | "shareable";
  readonly insecureRegistries: readonly string[];
  readonly proxies: Proxies;
  readonly registryMirrors: readonly string[];
  readonly maxConcurrentDownloads: number;
  readonly maxConcurrentUploads: number;
  readonly maxDownloadAttempts: number;
  readonly features: Readonly<Record<string, string>>;
  /** Where devices are described; undefined: nowhere, the interface is switched off. */
  readonly cdiSpecDirs: readonly string[] | undefined;
  /** Where metrics are served, `host:port` or `unix:///path`; empty: nowhere. */
  readonly metricsAddress: string;
  readonly imageGc: ImageGcSettings;
  /** dockerd's settings that were given and have no effect here. */
  readonly ignored: readonly string[];
  /** What stands in daemon.json, by the flags' names. */
  readonly inFile: ReadonlyMap<string, readonly string[]>;
}

/** What the command line asked for besides a configuration. */
export type DaemonCommand =
  | { readonly kind: "run"; readonly config: DaemonConfig }
  | { readonly kind: "validate"; readonly config: DaemonConfig }
  | { readonly kind: "help"; readonly text: string }
  | { readonly kind: "version" };

function bool(text: string, name: string): boolean {
  if (["true", "1", "t", "T", "TRUE", "True"].includes(text)) return true;
  if (["false", "0", "f", "F", "FALSE", "False"].includes(text)) return false;
  throw invalid(
    `invalid argument ${JSON.stringify(text)} for "--${name}" flag: strconv.ParseBool: parsing ${JSON.stringify(text)}: invalid syntax`,
  );
}

function int(text: string, name: string): number {
  if (!/^-?\d+$/.test(text))
    throw invalid(
      `invalid argument ${JSON.stringify(text)} for "--${name}" flag: strconv.ParseInt: parsing ${JSON.stringify(text)}: invalid syntax`,
    );
  return Number(text);
}

/** A length of time above zero, in milliseconds. */
function duration(text: string, name: string): number {
  const ns = parseDuration(text);
  if (ns === undefined || ns <= 0n)
    throw invalid(`invalid argument ${JSON.stringify(text)} for "--${name}" flag: must be a duration such as 30s`);
  return Number(ns / 1_000_000n);
}

function keyValues(list: readonly string[], name: string): Record<string, string> {
  return Object.fromEntries(
    list.map((entry) => {
      const at = entry.indexOf("=");
      if (at < 1) throw invalid(`invalid argument ${JSON.stringify(entry)} for "--${name}" flag: must be key=value`);
      return [entry.slice(0, at), entry.slice(at + 1)];
    }),
  );
}

function parsePool(text: string): { base: string; size: number } {
  const { base, size } = keyValues(text.split(","), "default-address-pool");
  if (!base || !size) throw invalid(`invalid argument ${JSON.stringify(text)} for "--default-address-pool" flag: must be base=CIDR,size=N`);
  return { base, size: int(size, "default-address-pool") };
}

function parseUlimit(text: string): { Name: string; Soft: number; Hard: number } {
  const match = /^([a-z]+)=(-?\d+)(?::(-?\d+))?$/.exec(text);
  if (!match) throw invalid(`invalid ulimit argument: ${text}`);
  return { Name: match[1] ?? "", Soft: Number(match[2]), Hard: Number(match[3] ?? match[2]) };
}

function parseRuntime(text: string): [string, RuntimeConfig] {
  const [pair = "", ...runtimeArgs] = text.split("\0");
  const at = pair.indexOf("=");
  if (at < 1) throw invalid(`invalid runtime specified ${JSON.stringify(text)}: must be name=path`);
  return [pair.slice(0, at), { path: pair.slice(at + 1), runtimeArgs }];
}

/** dockerd has more levels than there are here. */
const LEVELS: Readonly<Record<string, LogLevel>> = {
  trace: "debug",
  debug: "debug",
  info: "info",
  warn: "warn",
  error: "error",
  fatal: "fatal",
  panic: "fatal",
};

function logLevel(text: string): LogLevel {
  const level = LEVELS[text.toLowerCase()];
  if (!level) throw invalid(`invalid logging level: ${text}`);
  return level;
}

function ipcMode(text: string): "private" | "shareable" {
  if (text === "private" || text === "shareable") return text;
  throw invalid(`IPC mode is not supported: ${text}`);
}

/** Labels with a value; the same twice is once. @throws invalid */
function labels(given: readonly string[]): readonly string[] {
  const found = new Map<string, string>();
  for (const label of given) {
    const at = label.indexOf("=");
    if (at < 1) throw invalid(`bad attribute format: ${label}`);
    const [key, value] = [label.slice(0, at), label.slice(at + 1)];
    const other = found.get(key);
    if (other !== undefined && other !== value) throw invalid(`conflict labels for ${key}=${value} and ${key}=${other}`);
    found.set(key, value);
  }
  return [...found].map(([key, value]) => `${key}=${value}`);
}

/** @throws invalid */
function mirror(text: string): string {
  const quoted = JSON.stringify(text);
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined) throw invalid(`invalid mirror: ${quoted} is not a valid URI`);
  if (url.protocol !== "http:" && url.protocol !== "https:")
    throw invalid(`invalid mirror: unsupported scheme ${JSON.stringify(url.protocol.slice(0, -1))} in ${quoted}`);
  if (url.search !== "" || url.hash !== "") throw invalid(`invalid mirror: query or fragment at end of the URI ${quoted}`);
  if (url.username !== "" || url.password !== "") throw invalid(`invalid mirror: username/password not allowed in URI ${quoted}`);
  return `${text.replace(/\/$/, "")}/`;
}

/** What can't be left out silently: without them the engine would let in, or do, more than it was told. */
function checkForeign(all: (name: string) => readonly string[], isOn: (name: string, fallback: boolean) => boolean): void {
  if (all("authorization-plugin").length > 0)
    throw invalid("authorization-plugins: there are none in dhow, every request would be let through");
  if (isOn("rootless", false)) throw invalid("rootless: dhow runs as root");
  if ((all("api-cors-header").at(-1) ?? "") !== "")
    throw invalid(
      'DEPRECATED: The "api-cors-header" config parameter and the dockerd "--api-cors-header" option have been removed; use a reverse proxy if you need CORS headers',
    );
}

/** The only one that there is here: without systemd's, groups are made by writing to the cgroup file system. */
const CGROUP_DRIVER = "cgroupfs";

/** Returns those that have no effect. @throws invalid for a driver of cgroups that is not in use, in docker's words where it has any */
function checkExecOptions(options: readonly string[]): readonly string[] {
  const others: string[] = [];
  for (const option of options) {
    const [key = "", value] = option.split(/=(.*)/s).map((part) => part.trim());
    if (value === undefined) throw invalid(`unable to parse key/value option: ${option}`);
    if (key.toLowerCase() !== "native.cgroupdriver") others.push(key);
    else if (value === "systemd")
      throw invalid(
        `native.cgroupdriver option systemd not supported: dhow makes cgroups itself; leave it out, or set native.cgroupdriver=${CGROUP_DRIVER}`,
      );
    else if (value === "none") throw invalid("native.cgroupdriver option none is internally used and cannot be specified manually");
    else if (value !== CGROUP_DRIVER) throw invalid(`native.cgroupdriver option ${value} not supported`);
  }
  return others;
}

/** `name` or `name=true`. @throws invalid in docker's words */
function featureSet(given: readonly string[]): Record<string, string> {
  return Object.fromEntries(
    given.map((text) => {
      const at = text.indexOf("=");
      const [name, value] = at < 0 ? [text, "true"] : [text.slice(0, at), text.slice(at + 1)];
      if (name === "") throw invalid(`invalid argument ${JSON.stringify(text)} for "--feature" flag: invalid option name: ${text}`);
      return [name, String(bool(value, "feature"))];
    }),
  );
}

const DEFAULT_HOST = "unix:///run/dhow.sock";

/** A place to listen at in its full form: dockerd takes shorter ones. @throws invalid */
function parseHost(host: string, isTls: boolean): string {
  const at = host.indexOf("://");
  if (host === "") return DEFAULT_HOST;
  const [proto, address] = at < 0 ? [host.startsWith("/") ? "unix" : "tcp", host] : [host.slice(0, at), host.slice(at + 3)];
  switch (proto) {
    case "unix":
      return address === "" ? DEFAULT_HOST : `unix://${address}`;
    case "fd":
      return host;
    case "tcp": {
      const match = /^(\[[0-9a-fA-F:.]+\]|[^:/\s[\]]*)(?::(\d{1,5}))?$/.exec(address);
      const port = Number(match?.[2] ?? (isTls ? 2376 : 2375));
      if (match === null || port > 65535)
        throw invalid(`invalid bind address (${host}): should not contain a path element, nor more than host:port`);
      return `tcp://${match[1] || "127.0.0.1"}:${port}`;
    }
    default:
      throw invalid(`invalid bind address (${host}): unsupported proto '${proto}'`);
  }
}

/** Reads the command line of the daemon and the file it names. @throws invalid in dockerd's words */
export function parseDaemonCommand(argv: readonly string[], env: Readonly<Record<string, string | undefined>>): DaemonCommand {
  const flags = readFlags(argv);
  if (flags.has("help")) return { kind: "help", text: daemonUsage() };
  if (flags.has("version")) return { kind: "version" };
  const configFile = flags.get("config-file")?.at(-1) ?? "/etc/dhow/daemon.json";
  const file = readConfigFile(configFile, flags.has("config-file"), flags);
  const all = (name: string): readonly string[] => [...(file.get(name) ?? []), ...(flags.get(name) ?? [])];
  const last = (name: string, fallback: string): string => all(name).at(-1) ?? fallback;
  const isOn = (name: string, fallback: boolean): boolean => bool(last(name, String(fallback)), name);
  const atLeastZero = (name: string, what: string): number => {
    const value = int(last(name, "0"), name);
    if (value < 0) throw invalid(`invalid ${what}: ${value}`);
    return value;
  };
  checkForeign(all, isOn);
  const isDebug = isOn("debug", false);
  const shm = parseBytes(last("default-shm-size", "64m"));
  if (shm === undefined) throw invalid(`invalid argument for "--default-shm-size" flag: invalid size: '${last("default-shm-size", "")}'`);
  const execRoot = last("exec-root", "/run/dhow").replace(/\/+$/, "");
  const format = last("log-format", "text");
  if (format !== "text" && format !== "json") throw invalid(`invalid log format: ${format}`);
  const cgroupns = last("default-cgroupns-mode", "");
  if (cgroupns !== "" && cgroupns !== "host" && cgroupns !== "private")
    throw invalid(`invalid default cgroup namespace (${cgroupns}), use "host" or "private"`);
  const features = featureSet(all("feature"));
  const tls = tlsConfig(all, (name) => (all(name).length > 0 ? isOn(name, false) : undefined), env);
  const hosts = [...new Set(all("host").map((host) => parseHost(host, tls?.isOn ?? false)))];
  const config: DaemonConfig = {
    hosts: hosts.length > 0 ? hosts : [parseHost(env["DHOW_HOST"] ?? "", tls?.isOn ?? false)],
    dataRoot: last("data-root", "/var/lib/dhow").replace(/\/+$/, ""),
    execRoot,
    pidfile: last("pidfile", `${execRoot}.pid`),
    configFile,
    group: last("group", "docker"),
    bridge: last("bridge", "dhow0"),
    bip: last("bip", ""),
    bip6: last("bip6", ""),
    defaultGateways: ["default-gateway", "default-gateway-v6"].flatMap((name) => gateways(name, last(name, ""))),
    seccompProfile: last("seccomp-profile", "builtin") || "builtin",
    fixedCidr: last("fixed-cidr", ""),
    fixedCidrV6: last("fixed-cidr-v6", ""),
    hasIpv6: isOn("ipv6", false),
    isMasquerading: isOn("ip-masq", true),
    allowsDirectRouting: isOn("allow-direct-routing", false),
    acceptMark: firewallMark(last("bridge-accept-fwmark", "")),
    hostGatewayIps: hostGatewayIps(all("host-gateway-ip")),
    defaultNetworkOptions: networkOptions(all("default-network-opt")),
    mtu: atLeastZero("mtu", "default MTU") || 1500,
    dns: all("dns"),
    dnsSearch: all("dns-search"),
    dnsOptions: all("dns-opt"),
    areContainersConnected: isOn("icc", true),
    isIpForward: isOn("ip-forward", true),
    defaultAddressPools: all("default-address-pool").map(parsePool),
    cluster: clusterConfig(
      last("cluster-store", ""),
      last("cluster-advertise", ""),
      keyValues(all("cluster-store-opt"), "cluster-store-opt"),
    ),
    sandboxPool: int(last("sandbox-pool", "16"), "sandbox-pool"),
    pluginDirs: all("plugin-dir").length > 0 ? all("plugin-dir") : ["/etc/docker/plugins", "/usr/lib/docker/plugins"],
    pluginSocketDir: last("plugin-socket-dir", "/run/docker/plugins"),
    pluginTimeoutMs: duration(last("plugin-timeout", "1m"), "plugin-timeout"),
    reaperAddress: last("reaper-addr", ""),
    runtimeTimeoutMs: duration(last("runtime-timeout", "2m"), "runtime-timeout"),
    defaultRuntime: last("default-runtime", "crun"),
    runtimes: Object.fromEntries(all("add-runtime").map(parseRuntime)),
    storageDriver: last("storage-driver", ""),
    cgroupParent: last("cgroup-parent", ""),
    defaultCgroupnsMode: cgroupns,
    defaultShmSizeBytes: shm,
    defaultUlimits: all("default-ulimit").map(parseUlimit),
    initPath: last("init-path", ""),
    usernsRemap: last("userns-remap", ""),
    usernsPool: last("userns-pool", "containers"),
    isInitDefault: isOn("init", false),
    logDriver: last("log-driver", "json-file"),
    logOpts: keyValues(all("log-opt"), "log-opt"),
    logLevel: isDebug ? "debug" : logLevel(last("log-level", "info")),
    logFormat: format,
    isDebug,
    isExperimental: isOn("experimental", false),
    labels: labels(all("label")),
    shutdownTimeoutS: int(last("shutdown-timeout", "15"), "shutdown-timeout"),
    tls,
    apiHostNames: all("api-host-allow"),
    defaultHostIp: hostIp(last("ip", "0.0.0.0")),
    isNoNewPrivileges: isOn("no-new-privileges", false),
    defaultIpcMode: ipcMode(last("default-ipc-mode", "private")),
    insecureRegistries: all("insecure-registry"),
    proxies: proxies((name) => last(name, ""), env),
    registryMirrors: all("registry-mirror").map(mirror),
    maxConcurrentDownloads: atLeastZero("max-concurrent-downloads", "max concurrent downloads") || 3,
    maxConcurrentUploads: atLeastZero("max-concurrent-uploads", "max concurrent uploads") || 5,
    maxDownloadAttempts: atLeastZero("max-download-attempts", "max download attempts") || 5,
    features,
    cdiSpecDirs: cdiSpecDirs(file.get("cdi-spec-dir") ?? flags.get("cdi-spec-dir"), features),
    metricsAddress: last("metrics-addr", ""),
    imageGc: imageGcSettings(keyValues(all("image-gc"), "image-gc"), (name) => all(name).at(-1)),
    ignored: [
      ...SETTINGS.filter(({ name, isForeign, inEffect }) => isForeign && (all(name).at(-1) ?? inEffect) !== inEffect).map(
        ({ name }) => name,
      ),
      ...checkExecOptions(all("exec-opt")).map((key) => `exec-opt ${key}`),
    ],
    inFile: file,
  };
  if (config.tls === undefined && config.hosts.some((host) => host.startsWith("tcp://"))) throw invalid(UNAUTHENTICATED);
  if (config.metricsAddress !== "") metricsListenAddress(config);
  // as dockerd, also to validate
  if (config.tls?.isOn) readTls(config.tls);
  return { kind: isOn("validate", false) ? "validate" : "run", config };
}
