import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { makeCertificates } from "../../../test/certificates.ts";
import { CompactedError, Etcd, type WatchBatch } from "./etcd.ts";
import { EtcdServer } from "./test-etcd.ts";

const port = 20000 + (process.pid % 20000);
const server = new EtcdServer({ port });
const NOBODY = "http://127.0.0.1:1";
let etcd: Etcd;

beforeAll(async () => {
  server.start();
  etcd = await server.ready();
});
afterAll(() => server[Symbol.asyncDispose]());

test("put(), get(), list() and delete(), with keys of any text", async () => {
  await etcd.put("/a/ä", "eins\0zwei");
  await etcd.put("/a/b", "");
  await etcd.put("/b", "no");
  expect(await etcd.get("/a/ä")).toMatchObject({ key: "/a/ä", value: "eins\0zwei" });
  expect(await etcd.get("/none")).toBeUndefined();
  expect((await etcd.list("/a/")).entries.map(({ key, value }) => [key, value])).toEqual([
    ["/a/b", ""],
    ["/a/ä", "eins\0zwei"],
  ]);
  await etcd.delete("/a/b");
  expect(await etcd.get("/a/b")).toBeUndefined();
});

test("transact(): of two that want a key one gets it; values and revisions are compared", async () => {
  const take = (who: string) => etcd.transact([{ key: "/lock", isAbsent: true }], [{ put: "/lock", value: who }]);
  const won = await Promise.all([take("one"), take("two"), take("three")]);
  expect(won.filter(Boolean)).toHaveLength(1);
  const { value = "", modRevision = 0 } = (await etcd.get("/lock")) ?? {};
  expect(await etcd.transact([{ key: "/lock", value: "nobody" }], [{ delete: "/lock" }])).toBe(false);
  expect(await etcd.transact([{ key: "/lock", modRevision: modRevision - 1 }], [{ delete: "/lock" }])).toBe(false);
  expect(
    await etcd.transact(
      [
        { key: "/lock", value },
        { key: "/lock", modRevision },
      ],
      [{ delete: "/lock" }],
    ),
  ).toBe(true);
  await etcd.put("/many/1", "x");
  await etcd.put("/many/2", "x");
  await etcd.transact([], [{ delete: "/many/", isPrefix: true }]);
  expect((await etcd.list("/many/")).entries).toEqual([]);
});

test("a lease takes its keys along", async () => {
  const lease = await etcd.grantLease(60);
  await etcd.put("/leased", "x", lease);
  await etcd.transact([], [{ put: "/leased too", value: "x", lease }]);
  expect(await etcd.keepLease(lease)).toBe(true);
  await etcd.revokeLease(lease);
  expect((await etcd.list("/leased")).entries).toEqual([]);
  expect(await etcd.keepLease(lease)).toBe(false);
});

test("watch() tells what was and what comes, in order", async () => {
  const { revision } = await etcd.list("/w/");
  await etcd.put("/w/1", "one");
  await etcd.put("/other", "x");
  const ended = new AbortController();
  const seen: WatchBatch["events"][number][] = [];
  for await (const { events } of etcd.watch("/w/", revision + 1, ended.signal)) {
    seen.push(...events);
    if (seen.length === 1) void etcd.transact([], [{ put: "/w/2", value: "two" }, { delete: "/w/1" }]);
    if (seen.length >= 3) ended.abort();
  }
  expect(seen).toEqual([
    { key: "/w/1", value: "one" },
    { key: "/w/2", value: "two" },
    { key: "/w/1", value: undefined },
  ]);
});

test("watch() says that what it should tell is gone", async () => {
  const { revision } = await etcd.list("/w/");
  for (let n = 0; n < 3; n++) await etcd.put("/w/n", String(n));
  const now = (await etcd.list("/w/")).revision;
  await fetch(`${server.endpoint}/v3/kv/compaction`, { method: "POST", body: JSON.stringify({ revision: String(now), physical: true }) });
  const read = async (): Promise<void> => {
    for await (const _ of etcd.watch("/w/", revision, new AbortController().signal)) return;
  };
  await expect(read()).rejects.toBeInstanceOf(CompactedError);
});

test("the next member is asked when one is away; when all are, each is named", async () => {
  const some = new Etcd({ endpoints: [NOBODY, server.endpoint] });
  await some.put("/over", "there");
  expect((await some.get("/over"))?.value).toBe("there");
  const none = new Etcd({ endpoints: [NOBODY, "http://127.0.0.1:2"], timeoutMs: 500 });
  await expect(none.get("/x")).rejects.toMatchObject({ kind: "unavailable", message: expect.stringContaining("http://127.0.0.1:2: ") });
});

test("one that never answers is given up", async () => {
  using silent = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } });
  const stuck = new Etcd({ endpoints: [`http://127.0.0.1:${silent.port}`], timeoutMs: 200 });
  await expect(stuck.get("/x")).rejects.toMatchObject({ kind: "unavailable" });
});

test("watch() goes on with what it missed when the member comes back", async () => {
  const { revision } = await etcd.list("/w/");
  const ended = new AbortController();
  const seen: string[] = [];
  const watching = (async () => {
    for (let from = revision + 1; !ended.signal.aborted; ) {
      try {
        for await (const batch of etcd.watch("/w/", from, ended.signal)) {
          from = batch.revision + 1;
          seen.push(...batch.events.map(({ value }) => value ?? ""));
          if (seen.includes("after")) ended.abort();
        }
      } catch {
        await Bun.sleep(50);
      }
    }
  })();
  await etcd.put("/w/r", "before");
  await server.kill();
  server.start();
  await server.ready();
  await etcd.put("/w/r", "after");
  await watching;
  expect(seen).toEqual(["before", "after"]);
}, 20_000);

test("members with certificates are believed by who has their authority's", async () => {
  const dir = mkdtempSync(`${tmpdir()}/dhow-etcd-tls-`);
  try {
    const { ca, server: pair } = makeCertificates(dir);
    const args = ["--cert-file", pair.cert, "--key-file", pair.key];
    await using secure = new EtcdServer({ port: port + 2, isTls: true, args });
    secure.start();
    const trusting = new Etcd({ endpoints: [secure.endpoint], tls: { ca: readFileSync(ca, "utf8") } });
    await secure.ready(trusting);
    await trusting.put("/x", "y");
    expect((await trusting.get("/x"))?.value).toBe("y");
    const doubting = new Etcd({ endpoints: [secure.endpoint] });
    await expect(doubting.get("/x")).rejects.toMatchObject({ kind: "unavailable", message: expect.stringMatching(/certificate/i) });
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}, 20_000);
