/**
 * What is left out when the output of two engines is compared: values that are another each time, and what docker itself changed
 * between 20.10, the reference, and the release whose words are dhow's. Everything else has to be equal.
 */
import type { Outcome } from "./engines.ts";

/** Values that are another each time. */
function masked(text: string, dir: string): string {
  return text
    .replaceAll(dir, "<dir>")
    .replaceAll(/\b[0-9a-f]{64}\b/g, "<id>")
    .replaceAll(/\b[0-9a-f]{12}\b/g, "<short-id>")
    .replaceAll(/\b[0-9a-f]{14}…/g, "<short-id>…")
    .replaceAll(/\b(\d+|About an?|Less than a) (seconds?|minutes?)\b/g, "<time>")
    .replaceAll(/\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?(Z| [+-]\d{4} UTC)?/g, (time) => (time.startsWith("0001") ? time : "<date>"))
    .replaceAll(/\b1[78]\d{8}(\d{9}|\.\d+)?\b/g, "1700000000")
    .replaceAll(/10\.231\.7\.(?!1\b)\d+/g, "<address>")
    .replaceAll(/02:42:0a:e7:07:[0-9a-f]{2}/g, "<mac>")
    .replaceAll(/(->|:)(3[2-9]|[4-6]\d)\d{3}\b/g, "$1<port>")
    .replaceAll(/"HostPort": ?"(3[2-9]|[4-6]\d)\d{3}"/g, '"HostPort":"<port>"')
    .replaceAll(/"Pid": ?[1-9]\d*/g, '"Pid":"<pid>"')
    .replaceAll(/^time="<date>" level=error msg="(error waiting for container|Can't (add file|close tar)).*"\n/gm, "") // of the command line, now and then
    .replaceAll(/ {2,}/g, "  "); // columns are as wide as what is in them
}

/** What 20.10 prints, and what stands in its place since then: in dhow, too. */
const REWORDED: readonly (readonly [before: RegExp, since: string])[] = [
  // errors begin in lower case, also those within
  [/(?<=Error response from daemon: )Invalid (?=filter|signal)/g, "invalid "],
  [/(?<=Error response from daemon: )Range of CPUs/g, "range of CPUs"],
  [/(?<=Error response from daemon: )Cannot kill/g, "cannot kill"],
  [/\bContainer <id> is (?=not running|already paused)/g, "container <id> is "],
  [
    /You cannot remove a running container <id>\. .*/g,
    'cannot remove container "<name>": container is running: stop the container before removing or force remove',
  ],
  [/(?<=invalid restart policy)( '\w+')/g, ": unknown policy$1; use one of 'no', 'always', 'on-failure', or 'unless-stopped'"],
  [/no such container nothing/g, "No such container: nothing"],
  [/no such image: (\S+): (?=No such image)/g, ""],
  // what is wrong with a network's or an endpoint's settings is listed
  [/\bPool overlaps with other one/g, "invalid pool request: Pool overlaps with other one"],
  [/Invalid subnet (\S+) : invalid CIDR address: \S+/g, "invalid network config:\ninvalid subnet $1: invalid CIDR block notation"],
  [
    /user specified IP address is supported on user defined networks only/g,
    "invalid endpoint settings:\nuser-specified IP address is supported on user-defined networks only",
  ],
  [
    /user specified IP address is supported only when connecting to networks with user configured subnets/g,
    "invalid endpoint settings:\nno configured subnet contains IP address <address>",
  ],
  [/(?<=Error response from daemon: )[iI]nvalid IPv4 address: ([^\s)]+)\)?/g, "invalid endpoint settings:\ninvalid IPv4 address: $1"],
  [
    /Invalid address (\S+): It does not belong to any of this network's subnets/g,
    "invalid endpoint settings:\nno configured subnet contains IP address $1",
  ],
  [
    /network-scoped alias is supported only for containers in user defined networks/g,
    "invalid endpoint settings:\nnetwork-scoped aliases are only supported for user-defined networks",
  ],
  [/(?<=error while removing network: network \S+) id <id>/g, ""],
  // the step at which a start failed, the runtime, and what it says of a directory
  [/(?=failed to create shim task: OCI runtime create failed)/g, "failed to create task for container: "],
  [/(?<=OCI runtime create failed: )runc(?= create failed)/g, "crun"],
  [/exec: "\/etc": permission denied/g, 'exec: "/etc": is a directory'],
  [/Unknown runtime specified (\w+)/g, "unknown or invalid runtime name: $1"],
  [/(?<="message":")(EOF|unexpected EOF|json: )/g, "invalid JSON: $1"],
  [/Go struct field ContainerConfigWrapper\./g, "Go struct field CreateRequest.Config."],
  [/(?<="message":")Config cannot be empty/g, "config cannot be empty"],
  [/"RepoDigests":null/g, '"RepoDigests":[]'],
  // addresses as Go's netip writes them
  [/^(fe|ff)00::0\t/gm, "$100::\t"],
  [/"DockerVersion": ?"20[^"]*"/g, '"DockerVersion":""'],
  [/"Config": ?\[\](?=,\s*"Driver"|\s*})/g, '"Config":null'],
  [/can't join IPC of (?=container <id>: non-shareable)/g, "failed to join IPC namespace: "],
  // a container's settings
  [/("\/proc\/asound")(,\s*)("\/proc\/acpi")/g, "$3$2$1"],
  [/("\/proc\/timer_list")(,\s*)("\/proc\/timer_stats")(,\s*)("\/proc\/sched_debug")(,\s*)("\/proc\/scsi")/g, "$5$2$7$4$1$6$3"],
  [/(?<="RestartPolicy": ?\{\s*"Name": ?)""/g, '"no"'],
  [/"NetworkMode": ?"default"/g, '"NetworkMode":"bridge"'],
  [/"Runtime": ?"runc"/g, '"Runtime":"crun"'],
  [/name=seccomp,profile=default/g, "name=seccomp,profile=builtin"],
];

/** What dhow prints as docker 28 does, and 20.10 doesn't. */
const NEW: readonly RegExp[] = [
  /failed to set up container networking: /g,
  /invalid config for network \S+: (?=invalid endpoint settings)/g,
  /(?<=has active endpoints) \(name:[^)]*\)/g,
  /cannot kill container: \w+: (?=invalid signal)/g,
  /(?<=is a directory: unknown): permission denied/g,
  // it is create that refuses such an address, not start: docker 20.10's command line says where help is then
  /(?<=no configured subnet contains IP address \S+\n)See 'docker run --help'\.\n/g,
  /"\/proc\/interrupts",?\s*/g,
  /,\s*"\/sys\/devices\/virtual\/powercap"/g,
  /,\s*"\/sys\/devices\/system\/cpu\/cpu\d+\/thermal_throttle"/g,
];

function reworded(text: string, engine: string): string {
  const own =
    engine === "dockerd"
      ? REWORDED.reduce((result, [before, since]) => result.replaceAll(before, since), text)
      : NEW.reduce((result, added) => result.replaceAll(added, ""), text);
  return own
    .replaceAll(/(?<=no configured subnet contains IP address )\S+/g, "<address>")
    .replaceAll(/cannot remove container "[^"]+": container is/g, 'cannot remove container "<name>": container is')
    .replaceAll(/"SandboxKey": ?"[^"]+"/g, '"SandboxKey":"<path>"');
}

/** Fields of 20.10 that are gone since, all of them without a meaning. */
const GONE: ReadonlySet<string> = new Set(["KernelMemory", "KernelMemoryTCP"]);

/** 20.10 goes on to name the sandbox of a container that has ended. */
function withoutSandbox(container: object): object {
  const { State, NetworkSettings } = container as Readonly<Record<string, Readonly<Record<string, unknown>> | undefined>>;
  if (State?.["Running"] !== false || NetworkSettings === undefined) return container;
  return { ...container, NetworkSettings: { ...NetworkSettings, SandboxID: "", SandboxKey: "" } };
}

/** What docker keeps in a map, mounts and ports, comes by chance in one order or another. */
function keyOf(item: unknown): string | undefined {
  if (typeof item !== "object" || item === null) return undefined;
  const { Destination, PrivatePort, Type, IP } = item as Readonly<Record<string, unknown>>;
  if (Destination !== undefined) return String(Destination);
  return PrivatePort === undefined ? undefined : `${PrivatePort}/${Type} ${IP}`;
}

function list(items: readonly unknown[]): unknown[] {
  const keyed = items.map((item) => ({ key: keyOf(item), item: ordered(item) }));
  return (keyed.some(({ key }) => key === undefined) ? keyed : keyed.sort((a, b) => ((a.key ?? "") < (b.key ?? "") ? -1 : 1))).map(
    ({ item }) => item,
  );
}

/** A document with its keys in order, which is another in each program, and without the directories of the storage driver. */
function ordered(value: unknown): unknown {
  if (Array.isArray(value)) return list(value);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(withoutSandbox(value))
      .filter(([key]) => !GONE.has(key))
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([key, inner]) => [key, key === "GraphDriver" ? { Name: inner.Name, Data: "<directories>" } : ordered(inner)]),
  );
}

/** A document that is printed as a whole is compared by what it says. */
function document(text: string): string {
  if (!/^[[{]/.test(text)) return text;
  try {
    return JSON.stringify(ordered(JSON.parse(text)), null, 2);
  } catch {
    return text;
  }
}

/** Where an outcome comes from. */
export interface Origin {
  readonly name: string;
  readonly dir: string;
  readonly isUnordered: boolean;
}

/** What remains to be compared of an outcome. */
export function normalised({ exitCode, stdout, stderr }: Outcome, { name, dir, isUnordered }: Origin): Outcome {
  const text = (output: string): string => reworded(masked(output, dir), name);
  const order = (output: string): string => (isUnordered ? output.split("\n").sort().join("\n") : output);
  return { exitCode, stdout: order(document(text(stdout))), stderr: order(text(stderr)) };
}
