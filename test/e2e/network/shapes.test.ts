import { afterAll, beforeAll, expect, test } from "bun:test";
import { Daemon, dockerCliMajor } from "../daemon.ts";

type Kind = "string" | "number" | "boolean" | "object" | "array" | "null";
/** Fields with what they may be; `?`: may be left out. */
type Shape = Readonly<Record<string, readonly (Kind | "?")[]>>;

/** @see the schemas of the same names in Docker's API 1.56 */
const NETWORK: Shape = {
  Name: ["string"],
  Id: ["string"],
  Created: ["string"],
  Scope: ["string"],
  Driver: ["string"],
  EnableIPv4: ["boolean"],
  EnableIPv6: ["boolean"],
  IPAM: ["object"],
  Internal: ["boolean"],
  Attachable: ["boolean"],
  Ingress: ["boolean"],
  ConfigFrom: ["object"],
  ConfigOnly: ["boolean"],
  Options: ["object", "null"],
  Labels: ["object", "null"],
  Peers: ["array", "?"],
};
const NETWORK_INSPECT: Shape = { ...NETWORK, Containers: ["object"], Services: ["object", "?"], Status: ["object", "?"] };
const IPAM: Shape = { Driver: ["string"], Config: ["array", "null"], Options: ["object", "null"] };
const IPAM_CONFIG: Shape = { Subnet: ["string"], IPRange: ["string", "?"], Gateway: ["string", "?"], AuxiliaryAddresses: ["object", "?"] };
const ENDPOINT_RESOURCE: Shape = {
  Name: ["string"],
  EndpointID: ["string"],
  MacAddress: ["string"],
  IPv4Address: ["string"],
  IPv6Address: ["string"],
};
const SUBNET_STATUS: Shape = { IPsInUse: ["number"], DynamicIPsAvailable: ["number"] };
const SETTINGS: Shape = { SandboxID: ["string"], SandboxKey: ["string"], Ports: ["object"], Networks: ["object"] };
const ENDPOINT: Shape = {
  IPAMConfig: ["object", "null"],
  Links: ["array", "null"],
  MacAddress: ["string"],
  Aliases: ["array", "null"],
  DriverOpts: ["object", "null"],
  GwPriority: ["number"],
  NetworkID: ["string"],
  EndpointID: ["string"],
  Gateway: ["string"],
  IPAddress: ["string"],
  IPPrefixLen: ["number"],
  IPv6Gateway: ["string"],
  GlobalIPv6Address: ["string"],
  GlobalIPv6PrefixLen: ["number"],
  DNSNames: ["array", "null"],
};
const ENDPOINT_IPAM: Shape = { IPv4Address: ["string", "?"], IPv6Address: ["string", "?"], LinkLocalIPs: ["array", "?"] };
/** What stood at the top before 1.52. */
const LEGACY_SETTINGS: Shape = {
  ...SETTINGS,
  Bridge: ["string"],
  HairpinMode: ["boolean"],
  LinkLocalIPv6Address: ["string"],
  LinkLocalIPv6PrefixLen: ["number"],
  SecondaryIPAddresses: ["null"],
  SecondaryIPv6Addresses: ["null"],
  EndpointID: ["string"],
  Gateway: ["string"],
  GlobalIPv6Address: ["string"],
  GlobalIPv6PrefixLen: ["number"],
  IPAddress: ["string"],
  IPPrefixLen: ["number"],
  IPv6Gateway: ["string"],
  MacAddress: ["string"],
};

const kindOf = (value: unknown): Kind => (value === null ? "null" : Array.isArray(value) ? "array" : (typeof value as Kind));

/** What an object has otherwise than its shape says. */
function faults(value: object, shape: Shape, what: string): string[] {
  const own = new Map(Object.entries(value));
  const strange = [...own.keys()].filter((key) => shape[key] === undefined).map((key) => `${what}.${key} is no field`);
  const wrong = Object.entries(shape).flatMap(([key, kinds]) => {
    if (!own.has(key)) return kinds.includes("?") ? [] : [`${what}.${key} is missing`];
    const kind = kindOf(own.get(key));
    return kinds.includes(kind) ? [] : [`${what}.${key} is ${kind}`];
  });
  return [...strange, ...wrong];
}

function without(shape: Shape, ...keys: string[]): Shape {
  return Object.fromEntries(Object.entries(shape).filter(([key]) => !keys.includes(key)));
}

let daemon: Daemon;
beforeAll(async () => {
  daemon = await Daemon.start();
  await daemon.ok(
    ...["network", "create", "--ipv6", "--subnet", "10.86.0.0/24", "--ip-range", "10.86.0.128/25", "--gateway", "10.86.0.1"],
    ...["--aux-address", "printer=10.86.0.9", "--label", "a=b", "-o", "com.docker.network.driver.mtu=1400", "full"],
  );
  await daemon.ok("network", "create", "--internal", "plain");
  await daemon.ok("network", "create", "--config-only", "--subnet", "10.85.0.0/24", "draft");
  await daemon.ok(
    "run",
    "-d",
    "--name",
    "one",
    "-p",
    "80",
    "--network",
    "full",
    "--ip",
    "10.86.0.200",
    "--network-alias",
    "x",
    "busybox",
    "sleep",
    "1000",
  );
  await daemon.ok("network", "connect", "plain", "one");
  await daemon.ok("run", "-d", "--name", "two", "--network", "host", "busybox", "sleep", "1000");
  await daemon.ok("run", "-d", "--name", "three", "busybox", "sleep", "1000");
  await daemon.ok("create", "--name", "four", "--network", "plain", "busybox");
});
afterAll(async () => {
  await daemon[Symbol.asyncDispose]();
});

interface Network extends Readonly<Record<string, unknown>> {
  readonly Name: string;
  readonly IPAM: { readonly Config: readonly object[] | null };
  readonly ConfigFrom: object;
  readonly Containers?: Readonly<Record<string, object>>;
  readonly Status?: { readonly IPAM: { readonly Subnets: Readonly<Record<string, object>> } };
}
interface Settings {
  readonly Networks: Readonly<Record<string, { readonly IPAMConfig: object | null }>>;
}
interface Container {
  readonly Id: string;
  readonly NetworkSettings: Settings;
}

async function get<T>(path: string): Promise<T> {
  const { status, json } = await daemon.api<T>("GET", path);
  expect(status).toBe(200);
  return json;
}

function networkFaults(network: Network, shape: Shape): string[] {
  const { Name, IPAM: ipam, ConfigFrom, Containers = {}, Status } = network;
  return [
    ...faults(network, shape, Name),
    ...faults(ipam, IPAM, `${Name}.IPAM`),
    ...(ipam.Config ?? []).flatMap((pool) => faults(pool, IPAM_CONFIG, `${Name}.IPAM.Config`)),
    ...faults(ConfigFrom, { Network: ["string"] }, `${Name}.ConfigFrom`),
    ...Object.values(Containers).flatMap((endpoint) => faults(endpoint, ENDPOINT_RESOURCE, `${Name}.Containers`)),
    ...Object.values(Status?.IPAM.Subnets ?? {}).flatMap((use) => faults(use, SUBNET_STATUS, `${Name}.Status`)),
  ];
}

function settingsFaults({ Networks }: Settings, shape: Shape): string[] {
  return Object.entries(Networks).flatMap(([name, endpoint]) => [
    ...faults(endpoint, shape, name),
    ...(endpoint.IPAMConfig === null ? [] : faults(endpoint.IPAMConfig, ENDPOINT_IPAM, `${name}.IPAMConfig`)),
  ]);
}

const VERSIONS = [
  { version: "1.56", summary: NETWORK, inspect: NETWORK_INSPECT, settings: SETTINGS, endpoint: ENDPOINT },
  {
    version: "1.51",
    summary: { ...NETWORK, Containers: ["object"] } as Shape,
    inspect: without(NETWORK_INSPECT, "Status"),
    settings: LEGACY_SETTINGS,
    endpoint: ENDPOINT,
  },
  {
    version: "1.47",
    summary: { ...without(NETWORK, "EnableIPv4"), Containers: ["object"] } as Shape,
    inspect: without(NETWORK_INSPECT, "Status", "EnableIPv4"),
    settings: LEGACY_SETTINGS,
    endpoint: without(ENDPOINT, "GwPriority"),
  },
  {
    version: "1.43",
    summary: { ...without(NETWORK, "EnableIPv4"), Containers: ["object"] } as Shape,
    inspect: without(NETWORK_INSPECT, "Status", "EnableIPv4"),
    settings: LEGACY_SETTINGS,
    endpoint: without(ENDPOINT, "GwPriority", "DNSNames"),
  },
] as const;

test.each(VERSIONS)("answers of API $version have the fields of their schemas, and no others", async (v) => {
  const base = `/v${v.version}`;
  const networks = await get<Network[]>(`${base}/networks`);
  expect(networks.map(({ Name }) => Name).sort()).toEqual(["bridge", "draft", "full", "host", "none", "plain"]);
  expect(networks.flatMap((network) => networkFaults(network, v.summary))).toEqual([]);
  for (const { Name } of networks) {
    expect(networkFaults(await get<Network>(`${base}/networks/${Name}`), v.inspect)).toEqual([]);
  }
  for (const name of ["one", "two", "three", "four"]) {
    const { NetworkSettings } = await get<Container>(`${base}/containers/${name}/json`);
    expect(faults(NetworkSettings, v.settings, name)).toEqual([]);
    expect(settingsFaults(NetworkSettings, v.endpoint)).toEqual([]);
  }
  const listed = await get<Container[]>(`${base}/containers/json?all=1`);
  expect(listed).toHaveLength(4);
  for (const { NetworkSettings } of listed) {
    expect(faults(NetworkSettings, { Networks: ["object"] }, "listed")).toEqual([]);
    expect(settingsFaults(NetworkSettings, v.endpoint)).toEqual([]);
  }
});

test("the addresses at the top of older versions are those of the default bridge", async () => {
  const three = await get<{ NetworkSettings: Record<string, unknown> & Settings }>("/v1.51/containers/three/json");
  expect(three.NetworkSettings["IPAddress"]).toBe((three.NetworkSettings.Networks["bridge"] as unknown as { IPAddress: string }).IPAddress);
  expect(three.NetworkSettings["MacAddress"]).not.toBe("");
  const one = await get<{ NetworkSettings: Record<string, unknown> }>("/v1.51/containers/one/json");
  expect(one.NetworkSettings["IPAddress"]).toBe("");
});

test("sysctls of eth0 become the endpoint's before 1.48, and are refused since", async () => {
  const body = {
    Image: "busybox",
    Cmd: ["cat", "/proc/sys/net/ipv4/conf/eth0/log_martians"],
    HostConfig: { Sysctls: { "net.ipv4.conf.eth0.log_martians": "1" } },
  };
  const refused = await daemon.api<{ message: string }>("POST", "/v1.48/containers/create", body);
  expect(refused.json.message).toBe(
    "interface specific sysctl setting \"net.ipv4.conf.eth0.log_martians\" must be supplied using driver option 'com.docker.network.endpoint.sysctls'",
  );
  const made = await daemon.api<{ Id: string; Warnings: string[] }>("POST", "/v1.47/containers/create?name=sys", body);
  expect(made.json.Warnings).toEqual([
    'Migrated sysctl "net.ipv4.conf.eth0.log_martians" to DriverOpts{"com.docker.network.endpoint.sysctls":"net.ipv4.conf.IFNAME.log_martians=1"}.',
  ]);
  expect(await daemon.ok("start", "-a", "sys")).toBe("1");
  await daemon.ok("rm", "sys");
});

test("settings of an endpoint's interface are checked at once, and may be in the small letters that the command line makes", async () => {
  const option = (value: string): string => `name=plain,driver-opt=com.docker.network.endpoint.sysctls=${value}`;
  const log = ["busybox", "cat", "/proc/sys/net/ipv4/conf/eth0/log_martians"];
  if (dockerCliMajor >= 28) {
    expect(await daemon.ok("run", "--rm", "--network", option("net.ipv4.conf.IFNAME.log_martians=1"), ...log)).toBe("1");
    const { stderr } = await daemon.docker("create", "--network", option("net.ipv4.conf.eth0.log_martians=1"), "busybox");
    expect(stderr).toContain(
      "invalid endpoint settings:\nunrecognised network interface sysctl 'net.ipv4.conf.eth0.log_martians=1'; represent",
    );
  }
  await daemon.ok("run", "-d", "--name", "later", "busybox", "sleep", "1000");
  const settings = "com.docker.network.endpoint.sysctls=net.ipv4.conf.IFNAME.log_martians=1";
  await daemon.ok("network", "connect", "--driver-opt", settings, "plain", "later");
  expect(await daemon.ok("exec", "later", "cat", "/proc/sys/net/ipv4/conf/eth1/log_martians")).toBe("1");
});
