/** The daemon's flags, as data: dockerd's names and forms, and their keys in daemon.json. */
import { DhowError } from "../lib/mod.ts";

/** The form of a setting's value. */
export type FlagType = "string" | "bool" | "int" | "list" | "map" | "bytes" | "ulimits" | "pools" | "runtimes" | "any";

/** A setting of the daemon. */
export interface Flag {
  readonly name: string;
  readonly short?: string;
  readonly type: FlagType;
  readonly help: string;
  /** The key in daemon.json where it differs from the flag's name. */
  readonly key?: string;
  /** A setting of dockerd's that has nothing to act on here: taken, with a warning, so that a daemon.json written for dockerd starts dhow. */
  readonly isForeign?: true;
  /** The value by which dhow does as it is told: not worth a warning. */
  readonly inEffect?: string;
  /** In no help. */
  readonly isHidden?: true;
}

const FLAGS: readonly Flag[] = [
  { name: "add-runtime", type: "runtimes", help: "Register an additional OCI compatible runtime (name=path)", key: "runtimes" },
  { name: "allow-direct-routing", type: "bool", help: "Allow remote access to published ports on container IP addresses" },
  { name: "api-host-allow", type: "list", help: "Host names that clients may call a TCP socket by" },
  { name: "bip", type: "string", help: "IPv4 address for the default bridge" },
  { name: "bip6", type: "string", help: "IPv6 address for the default bridge" },
  { name: "bridge", short: "b", type: "string", help: "Attach containers to a network bridge" },
  { name: "bridge-accept-fwmark", type: "string", help: "In bridge networks, accept packets with this firewall mark/mask" },
  { name: "cdi-spec-dir", type: "list", help: "CDI specification directories to use", key: "cdi-spec-dirs" },
  { name: "cgroup-parent", type: "string", help: "Set parent cgroup for all containers" },
  {
    name: "cluster-advertise",
    type: "string",
    help: "Address or interface that other hosts of the cluster reach this one at",
  },
  { name: "cluster-store", type: "string", help: "etcd of the hosts that share overlay networks (etcd://host:port[,host:port…])" },
  { name: "cluster-store-opt", type: "map", help: "Set cluster store options", key: "cluster-store-opts" },
  { name: "config-file", type: "string", help: "Daemon configuration file" },
  { name: "data-root", type: "string", help: "Root directory of persistent state" },
  { name: "debug", short: "D", type: "bool", help: "Enable debug mode" },
  {
    name: "default-address-pool",
    type: "pools",
    help: "Default address pools for networks (base=CIDR,size=N)",
    key: "default-address-pools",
  },
  {
    name: "default-network-opt",
    type: "any",
    help: "Default network options (driver=option=value)",
    key: "default-network-opts",
  },
  { name: "default-ipc-mode", type: "string", help: 'Default mode for containers ipc ("shareable" | "private")' },
  { name: "default-cgroupns-mode", type: "string", help: 'Default mode for containers cgroup namespace ("host" | "private")' },
  { name: "default-runtime", type: "string", help: "Default OCI runtime for containers" },
  { name: "default-shm-size", type: "bytes", help: "Default shm size for containers" },
  { name: "default-ulimit", type: "ulimits", help: "Default ulimits for containers", key: "default-ulimits" },
  { name: "dns", type: "list", help: "DNS server to use" },
  { name: "dns-opt", type: "list", help: "DNS options to use", key: "dns-opts" },
  { name: "dns-search", type: "list", help: "DNS search domains to use" },
  { name: "default-gateway", type: "string", help: "Default gateway IPv4 address for the default bridge network" },
  { name: "default-gateway-v6", type: "string", help: "Default gateway IPv6 address for the default bridge network" },
  {
    name: "seccomp-profile",
    type: "string",
    help: 'Path to seccomp profile. Set to "unconfined" to disable the default seccomp profile (default "builtin")',
  },
  { name: "exec-opt", type: "list", help: "Runtime execution options: native.cgroupdriver=cgroupfs", key: "exec-opts" },
  { name: "exec-root", type: "string", help: "Root directory for execution state files" },
  { name: "experimental", type: "bool", help: "Enable experimental features: the docker command line then offers checkpoints" },
  { name: "fixed-cidr", type: "string", help: "IPv4 subnet for the default bridge network" },
  { name: "fixed-cidr-v6", type: "string", help: "IPv6 subnet for the default bridge network" },
  { name: "group", short: "G", type: "string", help: "Group for the unix socket" },
  { name: "host", short: "H", type: "list", help: "Daemon socket(s) to connect to", key: "hosts" },
  {
    name: "host-gateway-ip",
    type: "list",
    help: "IP addresses that 'host-gateway' in --add-host stands for; default the default bridge's",
    key: "host-gateway-ips",
  },
  { name: "http-proxy", type: "string", help: "HTTP proxy URL to use for outgoing traffic" },
  { name: "https-proxy", type: "string", help: "HTTPS proxy URL to use for outgoing traffic" },
  { name: "icc", type: "bool", help: "Enable inter-container communication for the default bridge network" },
  { name: "feature", type: "map", help: "Enable feature in the daemon", key: "features" },
  { name: "image-gc", type: "map", help: "", isHidden: true },
  { name: "image-gc-high", type: "string", help: "Remove unused images when the disk of the data root is so full (85%); off unless given" },
  { name: "image-gc-low", type: "string", help: "Until it is less full than that (5% below --image-gc-high)" },
  { name: "image-gc-min-age", type: "string", help: 'Keep images that came since then ("1h")' },
  { name: "init", type: "bool", help: "Run an init in the container to forward signals and reap processes" },
  { name: "init-path", type: "string", help: "Path to the docker-init binary" },
  { name: "insecure-registry", type: "list", help: "Enable insecure registry communication", key: "insecure-registries" },
  { name: "ip", type: "string", help: "Host IP for port publishing from the default bridge network" },
  { name: "ip-forward", type: "bool", help: "Enable IP forwarding in system configuration" },
  { name: "ip-masq", type: "bool", help: "Let containers of the default bridge go out with the host's address" },
  { name: "ipv6", type: "bool", help: "Enable IPv6 networking for the default bridge network" },
  { name: "label", type: "list", help: "Set key=value labels to the daemon", key: "labels" },
  { name: "live-restore", type: "bool", help: "Has no effect: containers always outlive the daemon" },
  { name: "log-driver", type: "string", help: "Default driver for container logs" },
  { name: "log-format", type: "string", help: 'Set the logging format ("text"|"json")' },
  { name: "log-level", short: "l", type: "string", help: 'Set the logging level ("debug"|"info"|"warn"|"error"|"fatal")' },
  { name: "log-opt", type: "map", help: "Default log driver options for containers", key: "log-opts" },
  { name: "max-concurrent-downloads", type: "int", help: "Set the max concurrent downloads" },
  { name: "max-concurrent-uploads", type: "int", help: "Set the max concurrent uploads" },
  { name: "max-download-attempts", type: "int", help: "Set the max download attempts for each pull" },
  { name: "metrics-addr", type: "string", help: "Set address to serve metrics on: host:port or unix:///path" },
  { name: "mtu", type: "int", help: "Set the MTU of the default bridge network" },
  { name: "no-new-privileges", type: "bool", help: "Set no-new-privileges by default for new containers" },
  { name: "no-proxy", type: "string", help: "Comma-separated list of hosts or IP addresses for which the proxy is skipped" },
  { name: "pidfile", short: "p", type: "string", help: "Path to use for daemon PID file" },
  {
    name: "plugin-dir",
    type: "list",
    help: "Where plug-ins are described (/etc/docker/plugins, /usr/lib/docker/plugins)",
    key: "plugin-dirs",
  },
  { name: "plugin-socket-dir", type: "string", help: "Where plug-ins listen (/run/docker/plugins)" },
  { name: "plugin-timeout", type: "string", help: "How long a plug-in may take to answer (1m); twice that to create and to mount" },
  { name: "reaper-addr", type: "string", help: "Serve the protocol of Testcontainers' reaper at this address:port" },
  { name: "runtime-timeout", type: "string", help: "How long an OCI runtime may take to start a process before it is ended" },
  { name: "registry-mirror", type: "list", help: "Preferred registry mirror", key: "registry-mirrors" },
  { name: "sandbox-pool", type: "int", help: "Network sandboxes kept ready for containers to come" },
  { name: "shutdown-timeout", type: "int", help: "Seconds that running requests get at the end (2 at most); containers are not stopped" },
  { name: "storage-driver", short: "s", type: "string", help: 'Storage driver to use ("overlay2"|"native")' },
  { name: "tls", type: "bool", help: "Use TLS; implied by --tlsverify. false allows a TCP socket without" },
  { name: "tlscacert", type: "string", help: 'Trust certs signed only by this CA (default "~/.docker/ca.pem")' },
  { name: "tlscert", type: "string", help: 'Path to TLS certificate file (default "~/.docker/cert.pem")' },
  { name: "tlskey", type: "string", help: 'Path to TLS key file (default "~/.docker/key.pem")' },
  { name: "tlsverify", type: "bool", help: "Use TLS and verify the remote. false lets anybody in" },
  {
    name: "userns-pool",
    type: "string",
    help: 'Ids for user namespaces of containers\' own: a name in /etc/subuid, or START:SIZE ("containers")',
  },
  { name: "userns-remap", type: "string", help: 'User/Group setting for user namespaces ("default" | "auto" | user[:group])' },
];

function foreign(type: FlagType, ...names: readonly string[]): Flag[] {
  return names.map((text) => {
    const [, name = "", key, inEffect] = /^([^ =]+)(?: ([^=]+))?(?:=(.+))?$/.exec(text) ?? [];
    const hidden = { name, type, help: "", isForeign: true, isHidden: true } as const;
    return { ...hidden, ...(key !== undefined && { key }), ...(inEffect !== undefined && { inEffect }) };
  });
}

/**
 * dockerd's other settings, as of Docker 29, in the form `flag key=value`: the key where the two differ, and the value that is as if it had an
 * effect here. docs/daemon.md says why they have none.
 * @see https://docs.docker.com/reference/cli/dockerd/
 */
const FOREIGN: readonly Flag[] = [
  ...foreign("bool", "cri-containerd=false", "ip-forward-no-drop=true", "ip6tables=true", "iptables=true"),
  ...foreign("bool", "raw-logs=true", "rootless", "selinux-enabled=false", "userland-proxy=false"),
  ...foreign("int", "cpu-rt-period=0", "cpu-rt-runtime=0", "network-control-plane-mtu", "network-diagnostic-port=0", "oom-score-adjust=0"),
  ...foreign("int", "swarm-raft-election-tick", "swarm-raft-heartbeat-tick"),
  ...foreign("list", "allow-nondistributable-artifacts", "authorization-plugin authorization-plugins"),
  ...foreign("list", "node-generic-resource node-generic-resources", "storage-opt storage-opts"),
  ...foreign("any", "builder"),
  ...foreign("string", "api-cors-header", "containerd", "containerd-namespace"),
  ...foreign("string", "containerd-plugins-namespace", "deprecated-key-path", "firewall-backend=nftables"),
  ...foreign("string", "swarm-default-advertise-addr", "userland-proxy-path"),
];

const EXTRA_FLAGS: readonly Flag[] = [
  { name: "validate", type: "bool", help: "Validate daemon configuration and exit" },
  { name: "version", short: "v", type: "bool", help: "Print version information and quit" },
  { name: "help", short: "h", type: "bool", help: "Print usage" },
];

/** What daemon.json may hold. */
export const SETTINGS: readonly Flag[] = [...FLAGS, ...FOREIGN.filter(({ name }) => FLAGS.every((flag) => flag.name !== name))];

const ALL_FLAGS = [...SETTINGS, ...EXTRA_FLAGS].sort((a, b) => a.name.localeCompare(b.name));

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
  any: "map",
};

/** The text of `dhow daemon --help`. */
export function daemonUsage(): string {
  const rows = ALL_FLAGS.filter(({ isHidden }) => !isHidden).map((flag) => {
    const left = `  ${flag.short ? `-${flag.short}, ` : "    "}--${flag.name} ${TYPE_WORD[flag.type]}`;
    return `${left.padEnd(40)} ${flag.help}`;
  });
  return `Usage:  dhow daemon [OPTIONS]\n\nThe container engine: serves Docker's API on a socket\n\nOptions:\n${rows.join("\n")}\n`;
}

/** What was given for each setting, as the flag spells it. */
export type Values = Map<string, string[]>;

/** A setting that can't be. */
export function invalid(message: string): DhowError {
  return new DhowError("invalid", message);
}

/** Reads the command line. @throws invalid in pflag's words */
export function readFlags(argv: readonly string[]): Values {
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
