import { afterAll, beforeAll, expect, test } from "bun:test";
import { copyFileSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type KeyPair, makeCertificates } from "../../../test/certificates.ts";
import { CompactedError, Etcd, type EtcdOptions, type WatchBatch } from "./etcd.ts";
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

test("members that want certificates: who has them, who hasn't, and when they are renewed", async () => {
  const dir = mkdtempSync(`${tmpdir()}/dhow-etcd-tls-`);
  try {
    const { ca, member, client, expired, foreign } = makeCertificates(dir);
    const args = ["--cert-file", member.cert, "--key-file", member.key, "--trusted-ca-file", ca, "--client-cert-auth"];
    await using secure = new EtcdServer({ port: port + 2, isTls: true, args });
    secure.start();
    const own = { cert: join(dir, "own.pem"), key: join(dir, "own-key.pem") };
    const use = (pair: KeyPair): void => {
      copyFileSync(pair.cert, own.cert);
      copyFileSync(pair.key, own.key);
    };
    const of = (tls: EtcdOptions["tls"]): Etcd => new Etcd({ endpoints: [secure.endpoint], tls });
    use(client);
    const trusting = of({ ca, ...own });
    await secure.ready(trusting);
    await trusting.put("/x", "y");
    expect((await trusting.get("/x"))?.value).toBe("y");
    expect((await of({ ca, ...own, serverName: "localhost" }).get("/x"))?.value).toBe("y");
    const faults: readonly [Etcd, string][] = [
      [of({ ...own }), "the server's certificate is of no authority that this host trusts (set kv.cacertfile)"],
      [of({ ...own, ca: foreign.cert }), `the server's certificate is of no authority in kv.cacertfile "${foreign.cert}"`],
      [of({ ca, ...own, serverName: "etcd.example" }), "the server's certificate is for another name (set kv.servername)"],
      [of({ ca }), "it may want a certificate (set kv.certfile and kv.keyfile)"],
      [of({ ca, ...foreign }), `it may refuse kv.certfile "${foreign.cert}"`],
      [of({ ca: join(dir, "none") }), `read kv.cacertfile "${join(dir, "none")}": ENOENT`],
    ];
    for (const [etcd, message] of faults) {
      await expect(etcd.get("/x")).rejects.toMatchObject({ kind: "unavailable", message: expect.stringContaining(message) });
    }
    use(expired);
    await expect(trusting.get("/x")).rejects.toThrow(`kv.certfile "${own.cert}" has expired`);
    use(client);
    expect((await trusting.get("/x"))?.value).toBe("y");
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}, 20_000);

test("an etcd with users: who has the password, also when the token has had its time or the password is another", async () => {
  // a second, and simple tokens are looked for every second
  await using guarded = new EtcdServer({ port: port + 4, args: ["--auth-token-ttl", "1"] });
  guarded.start();
  await guarded.ready();
  const post = async (path: string, body: object, token = ""): Promise<unknown> => {
    const headers = token === "" ? {} : { Authorization: token };
    const response = await fetch(`${guarded.endpoint}/v3/auth/${path}`, { method: "POST", body: JSON.stringify(body), headers });
    return response.json();
  };
  let password = "secret";
  const user = (name: string, own?: string) =>
    new Etcd({ endpoints: [guarded.endpoint], user: { name, password: () => Promise.resolve(own ?? password) } });
  const dhow = user("dhow");
  // as long as there is no authentication
  await dhow.put("/mine/a", "1");
  const permission = { permType: "READWRITE", key: btoa("/mine/"), range_end: btoa("/mine0") };
  for (const name of ["root", "dhow"]) {
    await post("role/add", { name });
    await post("user/add", { name, password: "secret" });
    await post("user/grant", { user: name, role: name });
  }
  await post("role/grant", { name: "dhow", perm: permission });
  await post("enable", {});
  expect((await dhow.get("/mine/a"))?.value).toBe("1");
  await expect(dhow.get("/other")).rejects.toMatchObject({ kind: "forbidden", message: "etcd kv/range: etcdserver: permission denied" });
  await expect(new Etcd({ endpoints: [guarded.endpoint] }).get("/mine/a")).rejects.toMatchObject({ kind: "unauthenticated" });
  await expect(user("dhow", "wrong").get("/mine/a")).rejects.toMatchObject({
    kind: "unauthenticated",
    message: `etcd doesn't take kv.username "dhow": etcdserver: authentication failed, invalid user ID or password`,
  });

  const ended = new AbortController();
  const seen: string[] = [];
  const { revision } = await dhow.list("/mine/");
  const watching = (async () => {
    for await (const { events } of dhow.watch("/mine/", revision + 1, ended.signal)) {
      seen.push(...events.map(({ value }) => value ?? ""));
      if (seen.includes("last")) ended.abort();
    }
  })();
  await Bun.sleep(2500);
  await dhow.put("/mine/a", "2");
  const { token } = (await post("authenticate", { name: "root", password })) as { readonly token: string };
  await post("user/changepw", { name: "dhow", password: "other" }, token);
  password = "other";
  await dhow.put("/mine/a", "last");
  await watching;
  expect(seen).toEqual(["2", "last"]);
}, 20_000);
