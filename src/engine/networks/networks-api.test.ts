import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { silentLogger } from "../../lib/mod.ts";
import { CLONE_NEWNET, createNetnsFd, currentNetns, type Fd, setns } from "../../linux/mod.ts";
import { Database, MIGRATIONS } from "../../metadata/mod.ts";
import { Networking, parsePortSpecs } from "../../network/mod.ts";
import type { EngineEvent } from "../events.ts";
import { NetworksService } from "./networks-api.ts";

const isRoot = process.getuid?.() === 0;
const events: EngineEvent[] = [];
let origin: Fd;
let networking: Networking;
let api: NetworksService;

beforeAll(async () => {
  if (!isRoot) return;
  origin = currentNetns();
  using host = createNetnsFd(origin, () => {});
  setns(host.fd, CLONE_NEWNET);
  networking = new Networking({
    db: Database.open(":memory:", MIGRATIONS),
    log: silentLogger,
    bridgeName: "dhowapi0",
    tableName: "dhowapi0",
    bip: "10.97.0.1/16",
    poolSize: 0,
  });
  await networking.start();
  api = new NetworksService({
    networking,
    containerName: (id) => `name-${id}`,
    containersOn: (network) => (network === "host" ? ["h1"] : []),
    connect: async () => {},
    disconnect: async () => {},
    disconnectFromGone: async () => {},
    checkLabels: () => {},
    emit: (event) => events.push(event),
  });
});

afterAll(() => {
  if (!isRoot) return;
  networking.release("c1");
  networking.stop({ removeAll: true });
  setns(origin.fd, CLONE_NEWNET);
  origin.close();
});

describe.skipIf(!isRoot)("NetworksService (needs root)", () => {
  test("list() shows docker's three networks and filters them", async () => {
    const names = async (filters: Record<string, string[]>): Promise<(string | undefined)[]> =>
      (await api.list(filters)).map((n) => n.Name);
    expect(await names({})).toEqual(["bridge", "host", "none"]);
    expect(await names({ driver: ["null"] })).toEqual(["none"]);
    expect(await names({ name: ["o"] })).toEqual(["host", "none"]);
    expect(await names({ type: ["custom"] })).toEqual([]);
    expect(await names({ dangling: ["true"] })).toEqual([]);
    expect(api.list({ color: ["red"] })).rejects.toThrow("invalid filter 'color'");
    expect(api.list({ type: ["x"] })).rejects.toThrow("invalid filter: 'type'='x'");
  });

  test("inspect() of the bridge has docker's fields and its containers", async () => {
    const ports = parsePortSpecs({ exposedPorts: {}, portBindings: {}, publishAll: false });
    const networkId = networking.network("bridge")?.id ?? "";
    const sandbox = await networking.acquire("c1", { containerName: "c1", ports, endpoints: [{ networkId, names: [] }] });
    const bridge = await api.inspect("bridge", { verbose: false });
    expect(bridge).toMatchObject({
      Name: "bridge",
      Driver: "bridge",
      IPAM: { Driver: "default", Options: null, Config: [{ Subnet: "10.97.0.0/16", Gateway: "10.97.0.1" }] },
      Options: { "com.docker.network.bridge.name": "dhowapi0", "com.docker.network.driver.mtu": "1500" },
      Status: { IPAM: { Subnets: { "10.97.0.0/16": { IPsInUse: 4, DynamicIPsAvailable: 65532 } } } },
    });
    expect(bridge.Containers).toEqual({
      c1: {
        Name: "name-c1",
        EndpointID: sandbox.endpoints[0]?.endpointId,
        MacAddress: "02:42:0a:61:00:02",
        IPv4Address: "10.97.0.2/16",
        IPv6Address: "",
      },
    });
    expect((await api.inspect(bridge.Id?.slice(0, 12) ?? "", { verbose: false })).Name).toBe("bridge");
    expect(Object.keys((await api.inspect("host", { verbose: false })).Containers)).toEqual(["h1"]);
    expect(api.inspect("nope", { verbose: false })).rejects.toThrow("network nope not found");
  });

  test("create() takes families from options, the request's own word first", async () => {
    const families = async (request: object) => {
      const { Id = "" } = await api.create({ Name: "some", ...request });
      const { EnableIPv4, EnableIPv6, Options } = await api.inspect(Id, { verbose: false });
      await api.remove(Id);
      return [EnableIPv4, EnableIPv6, Options];
    };
    const Options = { "com.docker.network.enable_ipv6": "1" };
    expect(await families({ Options })).toEqual([true, true, Options]);
    expect(await families({ Options, EnableIPv6: false })).toEqual([true, false, {}]);
    expect(await families({ Options: { ...Options, "com.docker.network.enable_ipv4": "false" } })).toMatchObject([false, true, {}]);
    expect(families({ Options: { "com.docker.network.enable_ipv4": "no" } })).rejects.toThrow(
      'driver-opt "com.docker.network.enable_ipv4" is not a valid bool',
    );
  });

  test("a network goes by its id before another one's name", async () => {
    const { Id = "" } = await api.create({ Name: "first" });
    const named = await api.create({ Name: Id });
    expect((await api.inspect(Id, { verbose: false })).Name).toBe("first");
    await api.remove(Id);
    expect((await api.inspect(Id, { verbose: false })).Id).toBe(named.Id ?? "");
    await api.remove(named.Id ?? "");
  });

  test("the counts of IPv6 subnets are whole, 2^64 - 1 at most", async () => {
    const { Id = "" } = await api.create({ Name: "six", EnableIPv4: false, EnableIPv6: true });
    const { Status } = await api.inspect(Id, { verbose: false });
    expect(JSON.stringify(Status)).toContain('{"IPsInUse":2,"DynamicIPsAvailable":18446744073709551614}');
    await api.remove(Id);
    const wide = await api.create({ Name: "wide", EnableIPv4: false, EnableIPv6: true, IPAM: { Config: [{ Subnet: "2001:db8::/56" }] } });
    expect(JSON.stringify((await api.inspect("wide", { verbose: false })).Status)).toContain('"DynamicIPsAvailable":18446744073709551615}');
    await api.remove(wide.Id ?? "");
  });

  test("the addresses of containers that have just gone count as free", async () => {
    const Config = [{ Subnet: "192.168.98.0/24", IPRange: "192.168.98.64/30" }];
    const { Id = "" } = await api.create({ Name: "brief", IPAM: { Config } });
    expect((await api.inspect(Id, { verbose: false })).IPAM?.Options).toBeNull();
    const counts = async () => (await api.inspect(Id, { verbose: false })).Status?.IPAM.Subnets["192.168.98.0/24"];
    const none = parsePortSpecs({ exposedPorts: {}, portBindings: {}, publishAll: false });
    const endpoints = [{ networkId: Id, names: [], ipv4: "192.168.98.200" }];
    await networking.acquire("inside", { containerName: "x", ports: none, endpoints: [{ networkId: Id, names: [] }] });
    await networking.acquire("outside", { containerName: "y", ports: none, endpoints });
    expect(await counts()).toEqual({ IPsInUse: 5, DynamicIPsAvailable: 2 });
    for (const id of ["inside", "outside"]) networking.release(id);
    expect(await counts()).toEqual({ IPsInUse: 3, DynamicIPsAvailable: 3 });
    await api.remove(Id);
  });

  test("create() refuses options and subnets of a bridge in docker's words", async () => {
    const option = (key: string, value: string) => api.create({ Name: "some", Options: { [`com.docker.network.${key}`]: value } });
    const failed = (key: string, value: string, why: string) =>
      expect(option(key, value)).rejects.toThrow(`failed to parse com.docker.network.${key} value: ${value} (${why})`);
    await failed("bridge.gateway_mode_ipv4", "x", "unknown gateway mode x");
    await failed("bridge.gateway_mode_ipv6", "", "unknown gateway mode ");
    await failed("driver.mtu", "", 'strconv.Atoi: parsing "": invalid syntax');
    await failed("host_ipv4", "", "nil ip");
    await failed("bridge.host_binding_ipv4", "a", "nil ip");
    await failed("bridge.enable_icc", "a", 'strconv.ParseBool: parsing "a": invalid syntax');
    const six = (Subnet: string) => api.create({ Name: "some", EnableIPv6: true, IPAM: { Config: [{ Subnet }] } });
    await expect(six("ff02::/64")).rejects.toThrow("multicast subnet 'ff02::1/64' is not allowed");
    await expect(six("fe80::/80")).rejects.toThrow("'fe80::1/80' clashes with the Link-Local prefix 'fe80::/64'");
  });

  test("create() takes the size of a subnet alone, and no gateway where one is of no use", async () => {
    const config = async (request: object) => {
      const { Id = "" } = await api.create({ Name: "some", ...request });
      const { IPAM } = await api.inspect(Id, { verbose: false });
      await api.remove(Id);
      return IPAM?.Config;
    };
    const of = (...subnets: string[]) => ({ IPAM: { Config: subnets.map((Subnet) => ({ Subnet })) } });
    expect(await config({ EnableIPv6: true, ...of("0.0.0.0/28", "::/120") })).toEqual([
      { Subnet: "172.18.0.0/28", Gateway: "172.18.0.1" },
      { Subnet: expect.stringMatching(/^fd.*::\/120$/), Gateway: expect.stringMatching(/^fd.*::1$/) },
    ]);
    expect(config(of("0.0.0.0/8"))).rejects.toThrow("invalid address pool");
    const Options = { "com.docker.network.bridge.gateway_mode_ipv4": "isolated" };
    const pair = of("192.168.99.0/31");
    expect(await config({ Internal: true, Options, ...pair })).toEqual([{ Subnet: "192.168.99.0/31" }]);
    const inhibited = { "com.docker.network.bridge.inhibit_ipv4": "true" };
    expect(await config({ Internal: true, Options: inhibited, ...pair })).toEqual([{ Subnet: "192.168.99.0/31" }]);
    expect(await config({ Options: inhibited, ...pair })).toEqual([{ Subnet: "192.168.99.0/31", Gateway: "192.168.99.0" }]);
    expect(await config({ Driver: "macvlan", ...of("192.168.99.0/24") })).toEqual([{ Subnet: "192.168.99.0/24" }]);
  });

  test("the end of a configuration is no event", async () => {
    const { Id = "" } = await api.create({ Name: "settings", ConfigOnly: true });
    await api.remove(Id);
    expect(events.at(-1)).toMatchObject({ action: "create", id: Id });
  });

  test("prune() removes nothing and says so", async () => {
    expect(await api.prune({})).toEqual({ NetworksDeleted: null });
    expect(events.at(-1)).toMatchObject({ type: "network", action: "prune" });
  });
});
