/** The daemon's settings: dockerd's flags and the keys of its daemon.json, told apart and checked as dockerd does. */
import { readFileSync } from "node:fs";
import { DhowError, errnoCode, errorMessage, type LogLevel, parseBytes, parseDuration } from "./lib/mod.ts";

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
  readonly fixedCidr: string;
  readonly mtu: number;
  readonly dns: readonly string[];
  readonly dnsSearch: readonly string[];
  readonly dnsOptions: readonly string[];
  readonly areContainersConnected: boolean;
  readonly isIpForward: boolean;
  readonly defaultAddressPools: readonly { readonly base: string; readonly size: number }[];
  readonly sandboxPool: number;
  /** How long a runtime may take for one command. */
  readonly runtimeTimeoutMs: number;
  readonly defaultRuntime: string;
  readonly runtimes: Readonly<Record<string, RuntimeConfig>>;
  readonly storageDriver: string;
  readonly cgroupParent: string;
  /** Empty: docker's choice by the host's cgroup version. */
  readonly defaultCgroupnsMode: "" | "host" | "private";
  readonly defaultShmSizeBytes: number;
  readonly defaultUlimits: readonly { readonly Name: string; readonly Soft: number; readonly Hard: number }[];
  readonly initPath: string;
  readonly isInitDefault: boolean;
  readonly logDriver: string;
  readonly logOpts: Readonly<Record<string, string>>;
  readonly logLevel: LogLevel;
  readonly logFormat: "text" | "json";
  readonly isDebug: boolean;
  readonly labels: readonly string[];
  readonly shutdownTimeoutS: number;
  readonly isTls: boolean | undefined;
  readonly defaultHostIp: string;
}

/** What the command line asked for besides a configuration. */
export type DaemonCommand =
  | { readonly kind: "run"; readonly config: DaemonConfig }
  | { readonly kind: "validate"; readonly config: DaemonConfig }
  | { readonly kind: "help"; readonly text: string }
  | { readonly kind: "version" };

type FlagType = "string" | "bool" | "int" | "list" | "map" | "bytes" | "ulimits" | "pools" | "runtimes";

interface Flag {
  readonly name: string;
  readonly short?: string;
  readonly type: FlagType;
  readonly help: string;
  /** The key in daemon.json where it differs from the flag's name. */
  readonly key?: string;
}

const FLAGS: readonly Flag[] = [
  { name: "add-runtime", type: "runtimes", help: "Register an additional OCI compatible runtime (name=path)", key: "runtimes" },
  { name: "bip", type: "string", help: "IPv4 address for the default bridge" },
  { name: "bridge", short: "b", type: "string", help: "Attach containers to a network bridge" },
  { name: "cgroup-parent", type: "string", help: "Set parent cgroup for all containers" },
  { name: "config-file", type: "string", help: "Daemon configuration file" },
  { name: "data-root", type: "string", help: "Root directory of persistent state" },
  { name: "debug", short: "D", type: "bool", help: "Enable debug mode" },
  {
    name: "default-address-pool",
    type: "pools",
    help: "Default address pools for networks (base=CIDR,size=N)",
    key: "default-address-pools",
  },
  { name: "default-cgroupns-mode", type: "string", help: 'Default mode for containers cgroup namespace ("host" | "private")' },
  { name: "default-runtime", type: "string", help: "Default OCI runtime for containers" },
  { name: "default-shm-size", type: "bytes", help: "Default shm size for containers" },
  { name: "default-ulimit", type: "ulimits", help: "Default ulimits for containers", key: "default-ulimits" },
  { name: "dns", type: "list", help: "DNS server to use" },
  { name: "dns-opt", type: "list", help: "DNS options to use", key: "dns-opts" },
  { name: "dns-search", type: "list", help: "DNS search domains to use" },
  { name: "exec-root", type: "string", help: "Root directory for execution state files" },
  { name: "fixed-cidr", type: "string", help: "IPv4 subnet for the default bridge network" },
  { name: "group", short: "G", type: "string", help: "Group for the unix socket" },
  { name: "host", short: "H", type: "list", help: "Daemon socket(s) to connect to", key: "hosts" },
  { name: "icc", type: "bool", help: "Enable inter-container communication for the default bridge network" },
  { name: "init", type: "bool", help: "Run an init in the container to forward signals and reap processes" },
  { name: "init-path", type: "string", help: "Path to the docker-init binary" },
  { name: "ip", type: "string", help: "Host IP for port publishing from the default bridge network" },
  { name: "ip-forward", type: "bool", help: "Enable IP forwarding in system configuration" },
  { name: "label", type: "list", help: "Set key=value labels to the daemon", key: "labels" },
  { name: "log-driver", type: "string", help: "Default driver for container logs" },
  { name: "log-format", type: "string", help: 'Set the logging format ("text"|"json")' },
  { name: "log-level", short: "l", type: "string", help: 'Set the logging level ("debug"|"info"|"warn"|"error"|"fatal")' },
  { name: "log-opt", type: "map", help: "Default log driver options for containers", key: "log-opts" },
  { name: "mtu", type: "int", help: "Set the MTU of the default bridge network" },
  { name: "pidfile", short: "p", type: "string", help: "Path to use for daemon PID file" },
  { name: "runtime-timeout", type: "string", help: "How long an OCI runtime may take to start a process before it is ended" },
  { name: "sandbox-pool", type: "int", help: "Network sandboxes kept ready for containers to come" },
  { name: "shutdown-timeout", type: "int", help: "Seconds that running requests get at the end (2 at most); containers are not stopped" },
  { name: "storage-driver", short: "s", type: "string", help: 'Storage driver to use ("overlay2"|"native")' },
  { name: "tls", type: "bool", help: "false allows a TCP socket without TLS" },
];

const EXTRA_FLAGS: readonly Flag[] = [
  { name: "validate", type: "bool", help: "Validate daemon configuration and exit" },
  { name: "version", short: "v", type: "bool", help: "Print version information and quit" },
  { name: "help", short: "h", type: "bool", help: "Print usage" },
];

const ALL_FLAGS = [...FLAGS, ...EXTRA_FLAGS].sort((a, b) => a.name.localeCompare(b.name));

const TYPE_WORD: Record<FlagType, string> = {
  string: "string",
  bool: "",
  int: "int",
  list: "list",
  map: "map",
  bytes: "bytes",
  ulimits: "ulimit",
  pools: "pool-options",
  runtimes: "runtime",
};

/** The text of `dhow daemon --help`. */
export function daemonUsage(): string {
  const rows = ALL_FLAGS.map((flag) => {
    const left = `  ${flag.short ? `-${flag.short}, ` : "    "}--${flag.name} ${TYPE_WORD[flag.type]}`;
    return `${left.padEnd(40)} ${flag.help}`;
  });
  return `Usage:  dhow daemon [OPTIONS]\n\nThe container engine: serves Docker's API on a socket\n\nOptions:\n${rows.join("\n")}\n`;
}

type Values = Map<string, string[]>;

function invalid(message: string): DhowError {
  return new DhowError("invalid", message);
}

function readFlags(argv: readonly string[]): Values {
  const values: Values = new Map();
  const byName = new Map<string, Flag>(
    ALL_FLAGS.flatMap((f): [string, Flag][] => [[`--${f.name}`, f], ...(f.short ? [[`-${f.short}`, f] satisfies [string, Flag]] : [])]),
  );
  for (let i = 0; i < argv.length; i++) {
    const word = argv[i] ?? "";
    if (!word.startsWith("-") || word === "-")
      throw invalid(`"dhow daemon" accepts no arguments, got ${JSON.stringify(word)}\nSee 'dhow daemon --help'`);
    let name = word;
    let value: string | undefined;
    const equals = word.indexOf("=");
    if (equals > 0) {
      name = word.slice(0, equals);
      value = word.slice(equals + 1);
    } else if (!word.startsWith("--") && word.length > 2) {
      name = word.slice(0, 2);
      value = word.slice(2);
    }
    const flag = byName.get(name);
    if (!flag) throw invalid(`unknown flag: ${name}\nSee 'dhow daemon --help'`);
    if (value === undefined) {
      if (flag.type === "bool") value = "true";
      else {
        value = argv[++i];
        if (value === undefined) throw invalid(`flag needs an argument: ${name}\nSee 'dhow daemon --help'`);
      }
    }
    values.set(flag.name, [...(values.get(flag.name) ?? []), value]);
  }
  return values;
}

function listOf(value: unknown, key: string): unknown[] {
  if (Array.isArray(value)) return value;
  throw invalid(`${JSON.stringify(key)} must be a list`);
}

/** One value of daemon.json as the flag would spell it. */
function fromFile(flag: Flag, value: unknown, key: string): string[] {
  const object = (v: unknown): [string, unknown][] => {
    if (typeof v !== "object" || v === null || Array.isArray(v)) throw invalid(`${JSON.stringify(key)} must be an object`);
    return Object.entries(v);
  };
  switch (flag.type) {
    case "list":
      return listOf(value, key).map(String);
    case "map":
      return object(value).map(([k, v]) => `${k}=${String(v)}`);
    case "ulimits":
      return object(value).map(([k, v]) => {
        const limit = v as { Name?: string; Soft?: number; Hard?: number };
        return `${limit.Name ?? k}=${limit.Soft}:${limit.Hard}`;
      });
    case "pools":
      return listOf(value, key).map((v) => `base=${(v as { base: string }).base},size=${(v as { size: number }).size}`);
    case "runtimes":
      return object(value).map(([k, v]) =>
        [`${k}=${(v as { path: string }).path}`, ...((v as { runtimeArgs?: string[] }).runtimeArgs ?? [])].join("\0"),
      );
    case "bool":
      if (typeof value !== "boolean") throw invalid(`${JSON.stringify(key)} must be true or false`);
      return [String(value)];
    default:
      if (typeof value !== "string" && typeof value !== "number") throw invalid(`${JSON.stringify(key)} must be a string or a number`);
      return [String(value)];
  }
}

function readFile(path: string, isExplicit: boolean, flags: Values): Values {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (cause) {
    if (errnoCode(cause) === "ENOENT" && !isExplicit) return new Map();
    throw new DhowError(
      "invalid",
      `unable to configure the daemon with file ${path}: open ${path}: ${errnoCode(cause) === "ENOENT" ? "no such file or directory" : errorMessage(cause)}`,
      { cause },
    );
  }
  const fail = (what: string): DhowError => invalid(`unable to configure the daemon with file ${path}: ${what}`);
  let json: unknown;
  try {
    json = text.trim() === "" ? {} : JSON.parse(text);
  } catch (cause) {
    throw new DhowError("invalid", `unable to configure the daemon with file ${path}: ${errorMessage(cause)}`, { cause });
  }
  if (typeof json !== "object" || json === null || Array.isArray(json)) throw fail("it must hold a JSON object");
  const byKey = new Map(FLAGS.map((f) => [f.key ?? f.name, f]));
  const unknown = Object.keys(json).filter((key) => !byKey.has(key) && key !== "features" && key !== "live-restore");
  if (unknown.length > 0) throw fail(`the following directives don't match any configuration option: ${unknown.join(", ")}`);
  const values: Values = new Map();
  const clashes: string[] = [];
  for (const [key, value] of Object.entries(json)) {
    const flag = byKey.get(key);
    if (!flag) continue;
    try {
      values.set(flag.name, fromFile(flag, value, key));
    } catch (error) {
      throw fail(errorMessage(error));
    }
    if (flags.has(flag.name) && flag.type !== "map" && flag.type !== "runtimes") {
      clashes.push(`${key}: (from flag: ${flags.get(flag.name)?.join(" ")}, from file: ${JSON.stringify(value).replaceAll('"', "")})`);
    }
  }
  if (clashes.length > 0)
    throw fail(`the following directives are specified both as a flag and in the configuration file: ${clashes.join(", ")}`);
  return values;
}

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

const LEVELS: readonly LogLevel[] = ["debug", "info", "warn", "error", "fatal"];

function logLevel(text: string): LogLevel {
  const level = LEVELS.find((l) => l === text);
  if (!level) throw invalid(`invalid logging level: ${text}`);
  return level;
}

function checkHost(host: string): string {
  if (/^(unix:\/\/\/|fd:\/\/)/.test(host) || /^tcp:\/\/[^/]*:\d+$/.test(host)) return host;
  if (host.startsWith("/")) return `unix://${host}`;
  throw invalid(`invalid bind address (${host}): use unix:///path, tcp://address:port or fd://`);
}

/** Reads the command line of the daemon and the file it names. @throws invalid in dockerd's words */
export function parseDaemonCommand(argv: readonly string[], env: Readonly<Record<string, string | undefined>>): DaemonCommand {
  const flags = readFlags(argv);
  if (flags.has("help")) return { kind: "help", text: daemonUsage() };
  if (flags.has("version")) return { kind: "version" };
  const configFile = flags.get("config-file")?.at(-1) ?? "/etc/dhow/daemon.json";
  const file = readFile(configFile, flags.has("config-file"), flags);
  const all = (name: string): readonly string[] => [...(file.get(name) ?? []), ...(flags.get(name) ?? [])];
  const last = (name: string, fallback: string): string => all(name).at(-1) ?? fallback;
  const isOn = (name: string, fallback: boolean): boolean => bool(last(name, String(fallback)), name);
  const isDebug = isOn("debug", false);
  const shm = parseBytes(last("default-shm-size", "64m"));
  if (shm === undefined) throw invalid(`invalid argument for "--default-shm-size" flag: invalid size: '${last("default-shm-size", "")}'`);
  const execRoot = last("exec-root", "/run/dhow").replace(/\/+$/, "");
  const format = last("log-format", "text");
  if (format !== "text" && format !== "json") throw invalid(`invalid log format: ${format}`);
  const cgroupns = last("default-cgroupns-mode", "");
  if (cgroupns !== "" && cgroupns !== "host" && cgroupns !== "private")
    throw invalid(`invalid default cgroup namespace (${cgroupns}), use "host" or "private"`);
  const hosts = all("host").map(checkHost);
  const config: DaemonConfig = {
    hosts: hosts.length > 0 ? hosts : [env["DHOW_HOST"] ?? "unix:///run/dhow.sock"],
    dataRoot: last("data-root", "/var/lib/dhow").replace(/\/+$/, ""),
    execRoot,
    pidfile: last("pidfile", `${execRoot}.pid`),
    configFile,
    group: last("group", "docker"),
    bridge: last("bridge", "dhow0"),
    bip: last("bip", ""),
    fixedCidr: last("fixed-cidr", ""),
    mtu: int(last("mtu", "1500"), "mtu"),
    dns: all("dns"),
    dnsSearch: all("dns-search"),
    dnsOptions: all("dns-opt"),
    areContainersConnected: isOn("icc", true),
    isIpForward: isOn("ip-forward", true),
    defaultAddressPools: all("default-address-pool").map(parsePool),
    sandboxPool: int(last("sandbox-pool", "16"), "sandbox-pool"),
    runtimeTimeoutMs: duration(last("runtime-timeout", "2m"), "runtime-timeout"),
    defaultRuntime: last("default-runtime", "crun"),
    runtimes: Object.fromEntries(all("add-runtime").map(parseRuntime)),
    storageDriver: last("storage-driver", ""),
    cgroupParent: last("cgroup-parent", ""),
    defaultCgroupnsMode: cgroupns,
    defaultShmSizeBytes: shm,
    defaultUlimits: all("default-ulimit").map(parseUlimit),
    initPath: last("init-path", ""),
    isInitDefault: isOn("init", false),
    logDriver: last("log-driver", "local"),
    logOpts: keyValues(all("log-opt"), "log-opt"),
    logLevel: isDebug ? "debug" : logLevel(last("log-level", "info")),
    logFormat: format,
    isDebug,
    labels: all("label"),
    shutdownTimeoutS: int(last("shutdown-timeout", "15"), "shutdown-timeout"),
    isTls: all("tls").length > 0 ? isOn("tls", false) : undefined,
    defaultHostIp: last("ip", "0.0.0.0"),
  };
  if (config.isTls) throw invalid("--tls: TLS is not served yet; use a unix socket, or a TCP socket on loopback with --tls=false");
  if (config.hosts.some((host) => host.startsWith("tcp://")) && config.isTls !== false) {
    throw invalid("TCP sockets need TLS, or --tls=false said explicitly: whoever reaches the socket is root on this host");
  }
  return { kind: isOn("validate", false) ? "validate" : "run", config };
}
