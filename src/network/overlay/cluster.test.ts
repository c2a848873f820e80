import { afterAll, afterEach, beforeAll, expect, test } from "bun:test";
import { silentLogger } from "../../lib/mod.ts";
import { parseIp } from "../ip.ts";
import type { NetworkConfig } from "../network-config.ts";
import { ClusterAddresses } from "./addresses.ts";
import { allocateNetwork, freeNetwork, vniOf } from "./allocation.ts";
import { Cluster } from "./cluster.ts";
import { Etcd } from "./etcd.ts";
import { EtcdServer } from "./test-etcd.ts";

const server = new EtcdServer({ port: 40000 + (process.pid % 20000) });
const clusters: Cluster[] = [];
let etcd: Etcd;
let root = 0;

beforeAll(async () => {
  server.start();
  etcd = await server.ready();
});
afterEach(async () => {
  for (const cluster of clusters.splice(0)) await cluster.stop();
  root++;
});
afterAll(() => server[Symbol.asyncDispose]());

async function until(holds: () => boolean | Promise<boolean>): Promise<void> {
  for (let tries = 0; !(await holds()); tries++) {
    if (tries > 500) throw new Error("waited in vain");
    await Bun.sleep(10);
  }
}

async function host(hostId: string): Promise<Cluster> {
  const cluster = new Cluster({
    etcd: new Etcd({ endpoints: [server.endpoint] }),
    hostId,
    vtep: "192.0.2.1",
    log: silentLogger,
    ttlSeconds: 60,
    heartbeatSeconds: 20,
    root: `test${root}`,
  });
  clusters.push(cluster);
  cluster.start();
  await until(() => cluster.isReached);
  return cluster;
}

const draft = (name: string, subnet?: string): NetworkConfig => ({
  id: `id-${name}`,
  name,
  createdAt: "",
  scope: "global",
  driver: "overlay",
  isInternal: false,
  isAttachable: false,
  isConfigOnly: false,
  configFrom: "",
  hasIpv4: true,
  hasIpv6: false,
  ipamDriver: "default",
  ipamOptions: {},
  pools: subnet === undefined ? [] : [{ subnet }],
  hasOwnSubnets: subnet !== undefined,
  options: {},
  labels: {},
});
const stored = async (key: string): Promise<string | undefined> => (await etcd.get(`test${root}/${key}`))?.value;

test("networks of all hosts have names, subnets and VXLAN ids of their own", async () => {
  const [a, b] = [await host("a"), await host("b")];
  const made = await Promise.all([a, b, a, b].map((cluster, at) => allocateNetwork(cluster, draft(`n${at}`), [])));
  expect(new Set(made.map(({ pools }) => pools[0]?.subnet)).size).toBe(4);
  expect(made.map(vniOf).sort()).toEqual([4096, 4097, 4098, 4099]);
  await expect(allocateNetwork(b, draft("n0"), [])).rejects.toMatchObject({ kind: "conflict" });
  await expect(allocateNetwork(b, draft("n9", made[0]?.pools[0]?.subnet), [])).rejects.toMatchObject({ kind: "forbidden" });
  await freeNetwork(a, draft("n0"));
  expect(vniOf(await allocateNetwork(b, draft("n0"), []))).toBe(made.map(vniOf)[0]);
});

test("an address is one host's; a network with one can't be removed", async () => {
  const [a, b] = [await host("a"), await host("b")];
  const config = await allocateNetwork(a, draft("net", "10.1.0.0/29"), []);
  const [left, right] = [new ClusterAddresses(a, config, () => false), new ClusterAddresses(b, config, () => false)];
  const taken = await Promise.all([left.take(4), right.take(4), left.take(4), right.take(4), left.take(4)]);
  expect(new Set(taken.map(({ ip }) => ip.value)).size).toBe(5);
  await expect(right.take(4)).rejects.toMatchObject({ kind: "conflict" });
  await expect(freeNetwork(b, config)).rejects.toMatchObject({ kind: "forbidden" });
  for (const [at, { ip }] of taken.entries()) await (at % 2 === 0 ? left : right).free(ip);
  await expect(right.take(4, "10.1.0.3")).resolves.toMatchObject({ prefixLength: 29 });
  await right.free(parseIp("10.1.0.3"));
  await freeNetwork(b, config);
  await expect(left.take(4)).rejects.toMatchObject({ kind: "notFound" });
});

test("an address that is given back and taken again at once stays taken", async () => {
  const a = await host("a");
  const config = await allocateNetwork(a, draft("net", "10.1.0.0/29"), []);
  const addresses = new ClusterAddresses(a, config, () => false);
  const { ip } = await addresses.take(4, "10.1.0.4");
  const freed = addresses.free(ip);
  const again = await addresses.take(4, "10.1.0.4").catch(() => undefined);
  await freed;
  expect((await stored("addresses/id-net/10.1.0.4")) !== undefined).toBe(again !== undefined);
});

test("what a host holds is put again when somebody takes it away, and what it doesn't hold goes", async () => {
  const a = await host("a");
  const config = await allocateNetwork(a, draft("net"), []);
  expect(await a.claim("endpoints/id-net/1", '{"host":"a"}', config.id)).toBe(true);
  expect(await (await host("b")).claim("endpoints/id-net/1", '{"host":"b"}', config.id)).toBe(false);
  await etcd.delete(`test${root}/endpoints/id-net/1`);
  await until(async () => (await stored("endpoints/id-net/1")) === '{"host":"a"}');
  await etcd.put(`test${root}/endpoints/id-net/2`, '{"host":"a"}');
  // a next daemon of the same host, which knows of the first one alone
  const next = await host("a");
  expect(await stored("endpoints/id-net/2")).toBeUndefined();
  expect(
    next
      .entries("hosts/")
      .map(([key]) => key)
      .sort(),
  ).toEqual(["hosts/a", "hosts/b"]);
});
