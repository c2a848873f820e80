import { asStruct, Nil, withHidden } from "../../lib/mod.ts";

/** Fields that are maps in Docker's own types. */
const MAPS = new Set([
  "Annotations",
  "Config",
  "Containers",
  "Data",
  "DriverOpts",
  "ExposedPorts",
  "Labels",
  "Networks",
  "Options",
  "PortBindings",
  "Ports",
  "Status",
  "StorageOpt",
  "Sysctls",
  "Tmpfs",
  "Volumes",
]);

/** Fields that are pointers there. */
const POINTERS = new Set([
  "ClusterVolume",
  "Descriptor",
  "Health",
  "Healthcheck",
  "IPAMConfig",
  "ImageManifestDescriptor",
  "Init",
  "MemorySwappiness",
  "OomKillDisable",
  "PidsLimit",
  "SizeRootFs",
  "SizeRw",
  "StopTimeout",
  "UsageData",
]);

/** What Docker leaves out of a container's JSON when it is empty, and templates may still ask for. */
const OMITTED: Readonly<Record<string, Readonly<Record<string, unknown>>>> = {
  State: { Health: null },
  Config: {
    ExposedPorts: null,
    Healthcheck: null,
    ArgsEscaped: false,
    NetworkDisabled: false,
    MacAddress: "",
    StopSignal: "",
    StopTimeout: null,
    Shell: null,
  },
  HostConfig: { Annotations: null, StorageOpt: null, Tmpfs: null, Sysctls: null, Runtime: "", Mounts: null, Init: null },
};

/** Fields whose name in Docker's own types is another than in JSON. */
const NAMES: Readonly<Record<string, string>> = {
  Id: "ID",
  HostIp: "HostIP",
  NanoCpus: "NanoCPUs",
  CpuShares: "CPUShares",
  CpuPeriod: "CPUPeriod",
  CpuQuota: "CPUQuota",
  Dns: "DNS",
  DnsOptions: "DNSOptions",
  DnsSearch: "DNSSearch",
};

/** Objects that templates print as a whole, and the order of their fields; `Ports.*` is what the map Ports holds. */
const STRUCTS: Readonly<Record<string, readonly string[]>> = {
  "Ports.*": ["HostIp", "HostPort"],
  "PortBindings.*": ["HostIp", "HostPort"],
  RestartPolicy: ["Name", "MaximumRetryCount"],
  LogConfig: ["Type", "Config"],
  Mounts: ["Type", "Name", "Source", "Destination", "Driver", "Mode", "RW", "Propagation"],
  RootFS: ["Type", "Layers"],
};

const SIZES = { SizeRw: null, SizeRootFs: null };

/** Maps whose values are empty structs. */
const SETS = new Set(["ExposedPorts", "Volumes"]);

function set(value: unknown): unknown {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return value;
  const isEmpty = (member: unknown) => typeof member === "object" && member !== null && Object.keys(member).length === 0;
  return Object.fromEntries(Object.entries(value).map(([name, member]) => [name, isEmpty(member) ? new Nil("{}", "{}") : member]));
}

function nilFor(key: string): Nil {
  return new Nil(MAPS.has(key) ? "map[]" : POINTERS.has(key) ? "<nil>" : "[]");
}

/** JSON of the API with Docker's types in place of null, so that templates print `[]`, `map[]` or `<nil>`. */
export function withTypedNulls(value: unknown, key = ""): unknown {
  if (value === null) return nilFor(key);
  if (SETS.has(key)) return set(value);
  if (Array.isArray(value)) return value.map((item) => withTypedNulls(item, key));
  if (typeof value !== "object") return value;
  const isOfPorts = Object.hasOwn(STRUCTS, `${key}.*`);
  const members = Object.entries(value).map(([name, member]) => [name, withTypedNulls(member, isOfPorts ? `${key}.*` : name)] as const);
  const result: Record<string, unknown> = Object.fromEntries(members);
  const omitted = Object.entries(missing(value as Record<string, unknown>, key)).map(([name, member]) => [
    name,
    withTypedNulls(member, name),
  ]);
  withHidden(result, Object.fromEntries(omitted));
  withHidden(result, aliases(result));
  const fields = STRUCTS[key];
  // the mounts of a request are of another type
  return fields === undefined || (key === "Mounts" && !Object.hasOwn(value, "Destination")) ? result : asStruct(result, fields);
}

function aliases(value: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(value).flatMap(([name, member]) => (NAMES[name] === undefined ? [] : [[NAMES[name], member] as const])),
  );
}

function missing(value: Readonly<Record<string, unknown>>, key: string): Record<string, unknown> {
  const isContainer = key === "" && Object.hasOwn(value, "State");
  const fields = isContainer ? SIZES : OMITTED[key];
  if (fields === undefined || (key === "Config" && !Object.hasOwn(value, "Cmd"))) return {};
  return Object.fromEntries(Object.entries(fields).filter(([name]) => !Object.hasOwn(value, name)));
}
