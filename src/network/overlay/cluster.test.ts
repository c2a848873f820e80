import { afterAll, afterEach, beforeAll, expect, test } from "bun:test";
import net from "node:net";
import { createLogger, type Logger, silentLogger } from "../../lib/mod.ts";
import { parseIp } from "../ip.ts";
import type { NetworkConfig } from "../network-config.ts";
import { ClusterAddresses } from "./addresses.ts";
import { allocateNetwork, freeNetwork, isRemovedElsewhere, vniOf } from "./allocation.ts";
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

interface HostOptions {
  readonly vtep?: string;
  readonly endpoint?: string;
  readonly log?: Logger;
}

function begin(hostId: string, { vtep = "192.0.2.1", endpoint = server.endpoint, log = silentLogger }: HostOptions = {}): Cluster {
  const cluster = new Cluster({
    etcd: new Etcd({ endpoints: [endpoint] }),
    hostId,
    vtep,
    log,
    ttlSeconds: 60,
    heartbeatSeconds: 20,
    root: `test${root}`,
  });
  clusters.push(cluster);
  cluster.start();
  return cluster;
}

async function host(hostId: string, options: HostOptions = {}): Promise<Cluster> {
  const cluster = begin(hostId, options);
  await until(() => cluster.isReached);
  return cluster;
}

/** Lines of a log, and what writes them. */
function collecting(): { readonly log: Logger; readonly lines: string[] } {
  const lines: string[] = [];
  return { lines, log: createLogger({ level: "warn", format: "json", write: (line) => lines.push(line) }) };
}

/** A way to etcd that can be cut. */
class Link implements Disposable {
  readonly #sockets = new Set<net.Socket>();
  readonly #server = net.createServer((near) => {
    if (this.isCut) {
      near.destroy();
      return;
    }
    const far = net.connect(Number(new URL(server.endpoint).port), "127.0.0.1");
    for (const [one, other] of [
      [near, far],
      [far, near],
    ] as const) {
      this.#sockets.add(one);
      one.on("error", () => other.destroy()).on("close", () => other.destroy());
      one.pipe(other);
    }
  });
  isCut = false;

  async endpoint(): Promise<string> {
    await new Promise<void>((resolve) => this.#server.listen(0, "127.0.0.1", resolve));
    const address = this.#server.address();
    return `http://127.0.0.1:${typeof address === "object" ? address?.port : 0}`;
  }

  cut(): void {
    this.isCut = true;
    for (const socket of this.#sockets) socket.destroy();
  }

  [Symbol.dispose](): void {
    this.cut();
    this.#server.close();
  }
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

test("of hosts that remove a network at once, one does; it knows that also when the answer got lost", async () => {
  const [a, b] = [await host("a"), await host("b")];
  for (let round = 0; round < 10; round++) {
    const config = await allocateNetwork(a, draft(`r${round}`), []);
    const removals = await Promise.all([freeNetwork(a, config), freeNetwork(b, config)]);
    expect(removals.toSorted()).toEqual(["gone", "removed"]);
    expect(await Promise.all([freeNetwork(a, config), freeNetwork(b, config)])).toEqual(removals);
    const [first, second] = removals[0] === "removed" ? [a, b] : [b, a];
    await until(() => second.entries("removals/").some(([key]) => key === `removals/${config.id}`));
    expect([isRemovedElsewhere(first, config.id), isRemovedElsewhere(second, config.id)]).toEqual([false, true]);
  }
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

test("cut off for long: its lease has ended, what it missed is compacted, an address is another's; all of it is put right", async () => {
  using link = new Link();
  const { log, lines } = collecting();
  const a = await host("a", { endpoint: await link.endpoint(), log });
  const b = await host("b", { vtep: "192.0.2.2" });
  const [kept, gone] = [await allocateNetwork(a, draft("kept", "10.1.0.0/29"), []), await allocateNetwork(a, draft("gone"), [])];
  const claim = (cluster: Cluster, key: string): Promise<boolean> => cluster.claim(key, JSON.stringify({ host: cluster.hostId }), kept.id);
  for (const last of [2, 3]) expect(await claim(a, `addresses/id-kept/10.1.0.${last}`)).toBe(true);
  await until(() => a.entries("networks/").length === 2);
  const seen: string[] = [];
  a.listen((key, value) => seen.push(`${value === undefined ? "-" : "+"}${key}`));
  link.cut();
  await until(() => !a.isReached);
  await expect(claim(a, "addresses/id-kept/10.1.0.4")).rejects.toMatchObject({ kind: "unavailable" });

  // as when the lease ends
  for (const key of ["hosts/a", "addresses/id-kept/10.1.0.2", "addresses/id-kept/10.1.0.3"]) await etcd.delete(`test${root}/${key}`);
  expect(await claim(b, "addresses/id-kept/10.1.0.3")).toBe(true);
  await freeNetwork(b, gone);
  const { revision } = await etcd.list(`test${root}/`);
  await fetch(`${server.endpoint}/v3/kv/compaction`, {
    method: "POST",
    body: JSON.stringify({ revision: String(revision), physical: true }),
  });
  link.isCut = false;
  await until(async () => a.isReached && (await stored("hosts/a")) !== undefined);
  expect(await stored("addresses/id-kept/10.1.0.2")).toBe('{"host":"a"}');
  expect(await stored("addresses/id-kept/10.1.0.3")).toBe('{"host":"b"}');
  expect(seen).toContain("-networks/id-gone");
  expect(lines.join()).toContain("another host took what was this one's while etcd was away");
});

test("a watch that is broken after a compaction reads everything anew", async () => {
  using link = new Link();
  const a = await host("a", { endpoint: await link.endpoint() });
  for (let n = 0; n < 3; n++) await etcd.put(`test${root}/networks/x`, String(n));
  await until(() => a.entries("networks/x")[0]?.[1] === "2");
  link.cut();
  // before it knows: what it asks for next isn't there any more
  for (let n = 3; n < 6; n++) await etcd.put(`test${root}/networks/x`, String(n));
  const { revision } = await etcd.list("/");
  await fetch(`${server.endpoint}/v3/kv/compaction`, { method: "POST", body: JSON.stringify({ revision: String(revision) }) });
  link.isCut = false;
  await until(() => a.entries("networks/x")[0]?.[1] === "5");
  await until(() => a.isReached);
});

test("of two daemons with one id the first one stays, and what it holds; the other one says why it can't do anything", async () => {
  const [first, second] = [collecting(), collecting()];
  const a = await host("a", { log: first.log });
  const config = await allocateNetwork(a, draft("net"), []);
  expect(await a.claim("endpoints/id-net/1", '{"host":"a"}', config.id)).toBe(true);
  const copy = begin("a", { vtep: "192.0.2.9", log: second.log });
  await until(() => second.lines.length > 0);
  expect(second.lines.join()).toContain("another daemon, at 192.0.2.1, has the id a of this host; was its data root copied?");
  expect(first.lines.join()).toContain("another daemon wants to have the id of this host");
  await expect(copy.claim("endpoints/id-net/2", '{"host":"a"}', config.id)).rejects.toMatchObject({
    kind: "unavailable",
    message: expect.stringContaining("another daemon, at 192.0.2.1, has the id a of this host"),
  });
  expect(await stored("endpoints/id-net/1")).toBe('{"host":"a"}');
  await until(async () => JSON.parse((await stored("hosts/a")) ?? "{}").vtep === "192.0.2.1");
  // the first one is gone for good
  await a.stop();
  await etcd.delete(`test${root}/hosts/a`);
  await until(() => copy.isReached);
}, 20_000);

test("a host that changed its address is there after a moment; two hosts with one address are told", async () => {
  await (await host("a")).stop();
  const moved = await host("a", { vtep: "192.0.2.7" });
  await until(() => moved.entries("hosts/")[0]?.[1].includes('"vtep":"192.0.2.7"') === true);
  const { log, lines } = collecting();
  await host("b", { vtep: "192.0.2.7", log });
  expect(lines.join()).toContain("another host has the address of this one");
}, 20_000);
