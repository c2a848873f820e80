import { afterAll, beforeAll, expect, test } from "bun:test";
import { silentLogger } from "../../lib/mod.ts";
import { Cluster } from "./cluster.ts";
import type { KeyRing } from "./esp.ts";
import { Etcd } from "./etcd.ts";
import { KeyRotation } from "./key-rotation.ts";
import { EtcdServer } from "./test-etcd.ts";

const TTL_S = 3;
const ROTATION_S = 1;
const PORT = 40000 + ((process.pid * 6) % 20000);
const peers = [0, 1, 2].map((n) => `m${n}=http://127.0.0.1:${PORT + 2 * n + 1}`).join(",");
const servers = [0, 1, 2].map(
  (n) =>
    new EtcdServer({
      port: PORT + 2 * n,
      args: ["--name", `m${n}`, "--initial-cluster", peers, "--heartbeat-interval", "50", "--election-timeout", "500"],
    }),
);
const endpoints: string[] = [];
const clusters: Cluster[] = [];

async function isLeader({ endpoint }: EtcdServer): Promise<boolean> {
  const response = await fetch(`${endpoint}/v3/maintenance/status`, { method: "POST", body: "{}" });
  const { header, leader } = (await response.json()) as { header: { member_id: string }; leader: string };
  return header.member_id === leader;
}

beforeAll(async () => {
  for (const server of servers) server.start();
  for (const server of servers) await server.ready();
  // the leader first: it is the one that both hosts ask, and the first to go
  const leads = await Promise.all(servers.map(isLeader));
  servers.unshift(...servers.splice(leads.indexOf(true), 1));
  endpoints.push(...servers.map(({ endpoint }) => endpoint));
});
afterAll(async () => {
  for (const cluster of clusters) await cluster.stop();
  for (const server of servers) await server[Symbol.asyncDispose]();
});

async function until(holds: () => boolean | Promise<boolean>): Promise<void> {
  for (let tries = 0; !(await holds()); tries++) {
    if (tries > 1000) throw new Error("waited in vain");
    await Bun.sleep(20);
  }
}

async function host(hostId: string, vtep: string): Promise<Cluster> {
  const options = { hostId, vtep, log: silentLogger, ttlSeconds: TTL_S, heartbeatSeconds: 1, root: "test" };
  const cluster = new Cluster({ ...options, etcd: new Etcd({ endpoints }) });
  clusters.push(cluster);
  cluster.start();
  await until(() => cluster.isReached);
  return cluster;
}

/** The rings that a host comes to see, one after the other. */
function rotating(cluster: Cluster): { readonly keys: KeyRotation; readonly rings: KeyRing[] } {
  const rings: KeyRing[] = [];
  const options = { rotationSeconds: ROTATION_S, isWanted: () => true };
  const keys = new KeyRotation(cluster, silentLogger, { ...options, onChange: () => keys.ring !== undefined && rings.push(keys.ring) });
  return { keys, rings };
}

test("an etcd of three members loses one, then its quorum for longer than leases and keys last, and gets it back", async () => {
  const [first, second, third] = servers as [EtcdServer, EtcdServer, EtcdServer];
  const [a, b] = [await host("a", "192.0.2.1"), await host("b", "192.0.2.2")];
  const gone: string[] = [];
  b.listen((key, value) => value === undefined && gone.push(key));
  await a.transact([], [{ put: "networks/n", value: "{}" }]);
  const claim = (n: number): Promise<boolean> => a.claim(`endpoints/n/${n}`, '{"host":"a"}', "n");
  const isSeen = (n: number): boolean => b.entries(`endpoints/n/${n}`).length === 1;
  expect(await claim(1)).toBe(true);
  const [ofA, ofB] = [rotating(a), rotating(b)];
  for (const { keys } of [ofA, ofB]) keys.turnWhenDue();
  await until(() => ofA.rings.length >= 2);

  // the members that are left elect a leader meanwhile
  await first.kill();
  expect(await claim(2)).toBe(true);
  await until(() => isSeen(1) && isSeen(2));
  const before = ofB.rings.length;
  await until(() => ofB.rings.length > before);

  await second.kill();
  await until(() => !a.isReached && !b.isReached);
  await expect(claim(3)).rejects.toMatchObject({ kind: "unavailable" });
  // one of them may have heard of a last rotation that the other one's member had no time to tell of
  const without = [ofA.keys.ring, ofB.keys.ring];
  await Bun.sleep(1000 * TTL_S + 500);
  // nobody turns the keys, and nobody is taken for gone
  expect([ofA.keys.ring, ofB.keys.ring]).toEqual(without);
  expect(isSeen(1) && isSeen(2)).toBe(true);

  first.start();
  await until(() => a.isReached && b.isReached);
  expect(await claim(3)).toBe(true);
  await until(() => isSeen(3));
  second.start();
  for (const { keys } of [ofA, ofB]) keys.turnWhenDue();
  const [seenA, seenB] = [ofA.rings.length, ofB.rings.length];
  await until(() => ofA.rings.length > seenA + 1 && ofB.rings.length > seenB + 1);
  // the leases were kept through it; what is gone is what each rotation takes away
  expect(gone.filter((key) => key !== "rotation" && !key.startsWith("marks/"))).toEqual([]);
  // neither of them missed a rotation: what is sent under was received under before
  for (const { rings } of [ofA, ofB]) {
    for (const [at, ring] of rings.entries()) if (at > 0) expect(ring.current.id).toBe(rings[at - 1]?.next.id ?? "");
  }
  for (const { keys } of [ofA, ofB]) keys[Symbol.dispose]();
  await third.kill();
}, 60_000);
