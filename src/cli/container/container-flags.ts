import { IPC_SYSCTLS, parseDelay, parseEgressAllow, parseEgressMode, parseLoss, parseRate } from "../../spec/engine/mod.ts";
import { checkEnv } from "../env-file.ts";
import {
  BOOLEAN,
  BYTES,
  CPUS,
  DURATION,
  DURATION_TEXT,
  INT,
  type Kind,
  LIST,
  listOf,
  MAP,
  STRING,
  SWAP_BYTES,
  UINT,
  UINT16,
} from "../flag-kinds.ts";
import { HelpRequest } from "../flags.ts";
import { checkBpsDevice, checkDeviceRule, checkIopsDevice, checkWeightDevice } from "./devices.ts";
import { GPUS } from "./gpus.ts";
import { MOUNTS } from "./mounts.ts";
import { checkDnsSearch, checkHost, checkIp, checkLabel, checkLink } from "./names.ts";
import { NETWORKS } from "./networks.ts";
import { ULIMITS } from "./ulimits.ts";

function checkStream(text: string): string {
  const stream = text.toLowerCase();
  if (!["stdin", "stdout", "stderr"].includes(stream)) throw new Error("valid streams are STDIN, STDOUT and STDERR");
  return stream;
}

/** Text that is passed on as it is, once it parses. */
function checked(parse: (text: string) => unknown): Kind<string> {
  return {
    ...STRING,
    parse: (text) => {
      parse(text);
      return text;
    },
  };
}

function checkEgress(text: string): string {
  parseEgressAllow(text);
  return text;
}

const SYSCTLS: typeof MAP = {
  ...MAP,
  parse: (text, previous) => {
    const at = text.indexOf("=");
    const key = text.slice(0, Math.max(at, 0));
    if (at < 0 || !(IPC_SYSCTLS.has(key) || key.startsWith("net.") || key.startsWith("fs.mqueue."))) {
      throw new Error(`sysctl '${text}' is not allowed`);
    }
    return MAP.parse(text, previous);
  },
};

const ANNOTATIONS: typeof MAP = {
  ...MAP,
  parse: (text, previous) => {
    if (text === "" || text.startsWith("=")) throw new Error(`invalid annotation '${text}': empty name`);
    return MAP.parse(text, previous);
  },
};

/** Shown in the help, where `-h` is the host name. */
const HELP: Kind<boolean> = {
  ...BOOLEAN,
  parse: (text) => {
    if (BOOLEAN.parse(text, false)) throw new HelpRequest(false);
    return false;
  },
};

const CGROUPNS_HELP = `Cgroup namespace to use (host|private)
'host':    Run the container in the Docker host's cgroup namespace
'private': Run the container in its own private cgroup namespace
'':        Use the cgroup namespace as configured by the
           default-cgroupns-mode option on the daemon (default)`;

/** What `create` and `run` have in common. */
export const CONTAINER_FLAGS = {
  "add-host": { kind: listOf(checkHost), help: "Add a custom host-to-IP mapping (host:ip)" },
  annotation: { kind: ANNOTATIONS, help: "Add an annotation to the container (passed through to the OCI runtime) (default map[])" },
  attach: { kind: listOf(checkStream), short: "a", help: "Attach to STDIN, STDOUT or STDERR" },
  "blkio-weight": { kind: UINT16, help: "Block IO (relative weight), between 10 and 1000, or 0 to disable (default 0)" },
  "blkio-weight-device": { kind: listOf(checkWeightDevice), help: "Block IO weight (relative device weight) (default [])" },
  "cap-add": { kind: LIST, help: "Add Linux capabilities" },
  "cap-drop": { kind: LIST, help: "Drop Linux capabilities" },
  "cgroup-parent": { kind: STRING, help: "Optional parent cgroup for the container" },
  cgroupns: { kind: STRING, help: CGROUPNS_HELP },
  cidfile: { kind: STRING, help: "Write the container ID to the file" },
  "cpu-count": { kind: INT, help: "CPU count (Windows only)" },
  "cpu-percent": { kind: INT, help: "CPU percent (Windows only)" },
  "cpu-period": { kind: INT, help: "Limit CPU CFS (Completely Fair Scheduler) period" },
  "cpu-quota": { kind: INT, help: "Limit CPU CFS (Completely Fair Scheduler) quota" },
  "cpu-rt-period": { kind: INT, help: "Limit CPU real-time period in microseconds" },
  "cpu-rt-runtime": { kind: INT, help: "Limit CPU real-time runtime in microseconds" },
  "cpu-shares": { kind: INT, short: "c", help: "CPU shares (relative weight)" },
  cpus: { kind: CPUS, help: "Number of CPUs" },
  "cpuset-cpus": { kind: STRING, help: "CPUs in which to allow execution (0-3, 0,1)" },
  "cpuset-mems": { kind: STRING, help: "MEMs in which to allow execution (0-3, 0,1)" },
  device: { kind: LIST, help: "Add a host device to the container" },
  "device-cgroup-rule": { kind: listOf(checkDeviceRule), help: "Add a rule to the cgroup allowed devices list" },
  "device-read-bps": { kind: listOf(checkBpsDevice), help: "Limit read rate (bytes per second) from a device (default [])" },
  "device-read-iops": { kind: listOf(checkIopsDevice), help: "Limit read rate (IO per second) from a device (default [])" },
  "device-write-bps": { kind: listOf(checkBpsDevice), help: "Limit write rate (bytes per second) to a device (default [])" },
  "device-write-iops": { kind: listOf(checkIopsDevice), help: "Limit write rate (IO per second) to a device (default [])" },
  "disable-content-trust": { kind: BOOLEAN, initial: true, help: "Skip image verification (default true)" },
  dns: { kind: listOf(checkIp), help: "Set custom DNS servers" },
  "dns-option": { kind: LIST, help: "Set DNS options" },
  "dns-search": { kind: listOf(checkDnsSearch), help: "Set custom DNS search domains" },
  domainname: { kind: STRING, help: "Container NIS domain name" },
  egress: { kind: checked(parseEgressMode), isOwn: true, help: "Drop or only record what the container may not reach (enforce|learn)" },
  "egress-allow": {
    kind: listOf(checkEgress),
    isOwn: true,
    help: "Let the container reach only these (domains, *.domains, addresses, networks in CIDR form)",
  },
  entrypoint: { kind: STRING, help: "Overwrite the default ENTRYPOINT of the image" },
  env: { kind: listOf(checkEnv), short: "e", help: "Set environment variables" },
  "env-file": { kind: LIST, help: "Read in a file of environment variables" },
  expose: { kind: LIST, help: "Expose a port or a range of ports" },
  gpus: { kind: GPUS, help: "GPU devices to add to the container ('all' to pass all GPUs)" },
  "group-add": { kind: LIST, help: "Add additional groups to join" },
  "health-cmd": { kind: STRING, help: "Command to run to check health" },
  "health-interval": { kind: DURATION, help: "Time between running the check (ms|s|m|h) (default 0s)" },
  "health-retries": { kind: INT, help: "Consecutive failures needed to report unhealthy" },
  "health-start-interval": { kind: DURATION, help: "Time between running the check during the start period (ms|s|m|h) (default 0s)" },
  "health-start-period": {
    kind: DURATION,
    help: "Start period for the container to initialize before starting health-retries countdown (ms|s|m|h) (default 0s)",
  },
  "health-timeout": { kind: DURATION, help: "Maximum time to allow one check to run (ms|s|m|h) (default 0s)" },
  help: { kind: HELP, help: "Print usage" },
  hostname: { kind: STRING, short: "h", help: "Container host name" },
  init: { kind: BOOLEAN, help: "Run an init inside the container that forwards signals and reaps processes" },
  interactive: { kind: BOOLEAN, short: "i", help: "Keep STDIN open even if not attached" },
  "io-maxbandwidth": { kind: BYTES, help: "Maximum IO bandwidth limit for the system drive (Windows only)" },
  "io-maxiops": { kind: UINT, help: "Maximum IOps limit for the system drive (Windows only)" },
  ip: { kind: STRING, help: "IPv4 address (e.g., 172.30.100.104)" },
  ip6: { kind: STRING, help: "IPv6 address (e.g., 2001:db8::33)" },
  ipc: { kind: STRING, help: "IPC mode to use" },
  isolation: { kind: STRING, help: "Container isolation technology" },
  "kernel-memory": { kind: BYTES, help: "Kernel memory limit" },
  label: { kind: listOf(checkLabel), short: "l", help: "Set meta data on a container" },
  "label-file": { kind: LIST, help: "Read in a line delimited file of labels" },
  ttl: { kind: DURATION_TEXT, isOwn: true, help: "Remove the container when this time is over (e.g. 10m)" },
  link: { kind: listOf(checkLink), help: "Add link to another container" },
  "link-local-ip": { kind: LIST, help: "Container IPv4/IPv6 link-local addresses" },
  "log-driver": { kind: STRING, help: "Logging driver for the container" },
  "log-opt": { kind: LIST, help: "Log driver options" },
  "mac-address": { kind: STRING, help: "Container MAC address (e.g., 92:d0:c6:0a:29:33)" },
  memory: { kind: BYTES, short: "m", help: "Memory limit" },
  "memory-reservation": { kind: BYTES, help: "Memory soft limit" },
  "memory-swap": { kind: SWAP_BYTES, help: "Swap limit equal to memory plus swap: '-1' to enable unlimited swap" },
  "memory-swappiness": { kind: INT, initial: -1, help: "Tune container memory swappiness (0 to 100) (default -1)" },
  mount: { kind: MOUNTS, help: "Attach a filesystem mount to the container" },
  name: { kind: STRING, help: "Assign a name to the container" },
  "net-delay": { kind: checked(parseDelay), isOwn: true, help: "Delay the container's packets (e.g. 80ms)" },
  "net-jitter": { kind: checked(parseDelay), isOwn: true, help: "Vary that delay by as much (e.g. 10ms)" },
  "net-loss": { kind: checked(parseLoss), isOwn: true, help: "Lose some of the container's packets (e.g. 1%)" },
  "net-rate": { kind: checked(parseRate), isOwn: true, help: "Limit the rate of the container's network (e.g. 10mbit)" },
  network: { kind: NETWORKS, help: "Connect a container to a network" },
  "network-alias": { kind: LIST, help: "Add network-scoped alias for the container" },
  "no-healthcheck": { kind: BOOLEAN, help: "Disable any container-specified HEALTHCHECK" },
  "oom-kill-disable": { kind: BOOLEAN, help: "Disable OOM Killer" },
  "oom-score-adj": { kind: INT, help: "Tune host's OOM preferences (-1000 to 1000)" },
  pid: { kind: STRING, help: "PID namespace to use" },
  "pids-limit": { kind: INT, help: "Tune container pids limit (set -1 for unlimited)" },
  platform: { kind: STRING, help: "Set platform if server is multi-platform capable" },
  privileged: { kind: BOOLEAN, help: "Give extended privileges to this container" },
  publish: { kind: LIST, short: "p", help: "Publish a container's port(s) to the host" },
  "publish-all": { kind: BOOLEAN, short: "P", help: "Publish all exposed ports to random ports" },
  pull: { kind: STRING, initial: "missing", help: 'Pull image before creating ("always", "|missing", "never") (default "missing")' },
  quiet: { kind: BOOLEAN, short: "q", help: "Suppress the pull output" },
  "read-only": { kind: BOOLEAN, help: "Mount the container's root filesystem as read only" },
  restart: { kind: STRING, initial: "no", help: 'Restart policy to apply when a container exits (default "no")' },
  rm: { kind: BOOLEAN, help: "Automatically remove the container and its associated anonymous volumes when it exits" },
  runtime: { kind: STRING, help: "Runtime to use for this container" },
  "security-opt": { kind: LIST, help: "Security Options" },
  "shm-size": { kind: BYTES, help: "Size of /dev/shm" },
  socket: { kind: STRING, isOwn: true, help: "Mount a scoped socket at /var/run/docker.sock" },
  "stop-signal": { kind: STRING, help: "Signal to stop the container" },
  "stop-timeout": { kind: INT, help: "Timeout (in seconds) to stop a container" },
  "storage-opt": { kind: LIST, help: "Storage driver options for the container" },
  sysctl: { kind: SYSCTLS, help: "Sysctl options (default map[])" },
  // not docker's, whose words the help is
  "time-offset": { kind: STRING, isHidden: true, help: "Offsets of the container's clocks (format: monotonic=SECONDS,boottime=SECONDS)" },
  tmpfs: { kind: LIST, help: "Mount a tmpfs directory" },
  tty: { kind: BOOLEAN, short: "t", help: "Allocate a pseudo-TTY" },
  ulimit: { kind: ULIMITS, help: "Ulimit options (default [])" },
  "use-api-socket": { kind: BOOLEAN, help: "Bind mount Docker API socket and required auth" },
  user: { kind: STRING, short: "u", help: "Username or UID (format: <name|uid>[:<group|gid>])" },
  userns: { kind: STRING, help: "User namespace to use" },
  uts: { kind: STRING, help: "UTS namespace to use" },
  volume: { kind: LIST, short: "v", help: "Bind mount a volume" },
  "volume-driver": { kind: STRING, help: "Optional volume driver for the container" },
  "volumes-from": { kind: LIST, help: "Mount volumes from the specified container(s)" },
  workdir: { kind: STRING, short: "w", help: "Working directory inside the container" },
  net: { kind: NETWORKS, alias: "network", help: "" },
  "net-alias": { kind: LIST, alias: "network-alias", help: "" },
  "dns-opt": { kind: LIST, alias: "dns-option", help: "" },
} as const;
