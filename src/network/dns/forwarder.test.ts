import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { readdirSync } from "node:fs";
import type { Socket } from "node:net";
import { silentLogger } from "../../lib/mod.ts";
import { dup, type Fd, getrlimit, prlimit } from "../../linux/mod.ts";
import { DnsServer } from "./dns-server.ts";
import { type Answerer, answer, connectFrom, framed, query, TestClient, TestNetns, TestUpstream } from "./test-support.ts";
import type { ForwardedAnswer, SandboxDnsOptions, Upstream } from "./types.ts";

const OWN = Uint8Array.of(10, 9, 0, 2);
const FIRST: Upstream = { address: "127.0.0.53", isFromHost: false };
const SECOND: Upstream = { address: "127.0.0.54", isFromHost: false };

let sandbox: TestNetns;
let server: DnsServer;
let client: TestClient;
let stack: DisposableStack;
let upstreams: readonly Upstream[];
let extra: Partial<SandboxDnsOptions>;

beforeEach(() => {
  stack = new DisposableStack();
  sandbox = stack.use(new TestNetns());
  server = stack.use(new DnsServer({ home: sandbox.home, log: silentLogger }));
  client = stack.use(new TestClient(sandbox));
  upstreams = [FIRST, SECOND];
  extra = {};
  server.open({
    netns: sandbox.netns,
    names: { lookup: (name) => (name === "web" ? [OWN] : undefined), reverse: () => undefined },
    upstreams: () => upstreams,
    keepsSingleLabels: () => extra.keepsSingleLabels?.() ?? false,
    mayForward: (name) => extra.mayForward?.(name) ?? true,
    onAnswer: (told) => extra.onAnswer?.(told),
  });
});
afterEach(() => stack.dispose());

const listen = async (upstream: Upstream, answerer: Answerer): Promise<TestUpstream> =>
  stack.use(await TestUpstream.start(upstream.isFromHost ? undefined : sandbox, upstream.address, answerer, upstream.port));
const codeOf = (message: Buffer): number => message.readUInt16BE(2) & 15;
const hostsOf = (message: Buffer): number | undefined => (message.readUInt16BE(6) === 0 ? undefined : message.at(-1));
const REFUSED = 5;
const SERVFAIL = 2;
const NXDOMAIN = 3;

describe("one server", () => {
  test("gets the query and the client its answer, byte for byte but for the id", async () => {
    const first = await listen(FIRST, (asked) => answer(asked, { tail: Buffer.from("whatever follows") }));
    const asked = Buffer.concat([query("ExAmple.org", { id: 7, udpBytes: 4096 }), Buffer.from("and more")]);
    const got = await client.ask(asked);
    expect(first.asked[0]?.subarray(2)).toEqual(asked.subarray(2));
    expect(got).toEqual(answer(asked, { tail: Buffer.from("whatever follows") }));
  });

  test("is asked from ports and with ids that nobody can guess", async () => {
    const first = await listen(FIRST, (asked) => answer(asked));
    for (let i = 0; i < 20; i++) await client.ask(query("example.org", { id: 9 }));
    expect(new Set(first.asked.map((asked) => asked.readUInt16BE(0))).size).toBeGreaterThan(15);
    expect(first.ports.size).toBeGreaterThan(15);
  });

  test("is not believed what it wasn't asked", async () => {
    const other = (asked: Buffer): Buffer => answer(query("other.org", { id: asked.readUInt16BE(0) }), { hosts: [66] });
    await listen(FIRST, (asked) => [
      answer(Buffer.concat([Uint8Array.of(asked[0] ?? 0, (asked[1] ?? 0) ^ 1), asked.subarray(2)]), { hosts: [66] }),
      other(asked),
      asked,
      asked.subarray(0, 5),
      answer(asked, { hosts: [1] }),
    ]);
    expect(hostsOf(await client.ask(query("example.org")))).toBe(1);
  });

  test("is given up when it floods", async () => {
    await listen(FIRST, (asked) => Array.from({ length: 80 }, () => answer(query("other.org", { id: asked.readUInt16BE(0) }))));
    upstreams = [FIRST];
    expect(codeOf(await client.ask(query("example.org")))).toBe(SERVFAIL);
  });

  test("may be the host's own", async () => {
    const port = 20_000 + (process.pid % 10_000);
    const onHost: Upstream = { address: "127.0.0.1", isFromHost: true, port };
    await listen(onHost, (asked) => answer(asked, { hosts: [5] }));
    upstreams = [onHost];
    expect(hostsOf(await client.ask(query("example.org")))).toBe(5);
    expect(await sandbox.run("dig", "@127.0.0.11", "+short", "+noedns", "+tcp", "example.org")).toBe("192.0.2.5");
  });

  test("may be reached over IPv6, also at an address that only its interface makes whole", async () => {
    upstreams = [{ address: "::1", isFromHost: false }];
    await listen({ address: "::1", isFromHost: false }, (asked) => answer(asked, { hosts: [6] }));
    expect(hostsOf(await client.ask(query("example.org")))).toBe(6);
    await sandbox.run("ip", "link", "add", "d0", "type", "veth", "peer", "name", "d1");
    // with an address of its own choice it might answer from that one
    await sandbox.run("ip", "link", "set", "d0", "addrgenmode", "none", "up");
    await sandbox.run("ip", "address", "add", "fe80::53/64", "dev", "d0", "nodad");
    await listen({ address: "::", isFromHost: false, port: 5353 }, (asked) => answer(asked, { hosts: [7] }));
    const index = (await sandbox.run("ip", "-o", "link", "show", "d0")).split(":")[0];
    for (const zone of ["d0", index]) {
      upstreams = [{ address: `fe80::53%${zone}`, isFromHost: false, port: 5353 }];
      expect(hostsOf(await client.ask(query("example.org")))).toBe(7);
      expect(await sandbox.run("dig", "@127.0.0.11", "+short", "+noedns", "+tcp", "example.org")).toBe("192.0.2.7");
    }
    upstreams = [{ address: "fe80::53%nothing", isFromHost: false, port: 5353 }];
    expect(codeOf(await client.ask(query("example.org")))).toBe(SERVFAIL);
  });

  test("what doesn't fit comes over TCP", async () => {
    await listen(FIRST, (asked, transport) => {
      if (transport === "tcp") return answer(asked, { hosts: Array.from({ length: 90 }, (_, i) => i) });
      const cut = answer(asked);
      cut[2] = 0x83;
      return cut;
    });
    const lines = (await sandbox.run("dig", "@127.0.0.11", "+short", "+noedns", "example.org")).split("\n");
    expect(lines.length).toBe(90);
  });

  test("what it sends beyond the client's size is cut to a hint", async () => {
    await listen(FIRST, (asked) => answer(asked, { hosts: Array.from({ length: 90 }, (_, i) => i) }));
    const got = await client.ask(query("example.org"));
    expect([got.length, got.readUInt16BE(2)]).toEqual([query("example.org").length, 0x8380]);
  });
});

describe("several servers", () => {
  test("one that never answers delays nothing but the first queries, and is tried again in time", async () => {
    const first = await listen(FIRST, () => undefined);
    await listen(SECOND, (asked) => answer(asked, { hosts: [2] }));
    const begin = performance.now();
    expect(hostsOf(await client.ask(query("example.org")))).toBe(2);
    expect(performance.now() - begin).toBeGreaterThan(90);
    // the probe that finds out
    await Bun.sleep(1300);
    const tookMs: number[] = [];
    for (let i = 0; i < 10; i++) {
      const from = performance.now();
      expect(hostsOf(await client.ask(query("example.org")))).toBe(2);
      tookMs.push(performance.now() - from);
    }
    // none of them would be quick if the first were waited for
    expect(Math.min(...tookMs)).toBeLessThan(90);
    // asked all the same
    expect(first.asked.length).toBeGreaterThan(8);
  });

  test("one that refuses or can't be reached is passed over at once", async () => {
    await listen(SECOND, (asked) => answer(asked, { hosts: [2] }));
    // nobody listens at the first
    expect(hostsOf(await client.ask(query("example.org")))).toBe(2);
    let code = SERVFAIL;
    await listen(FIRST, (asked) => answer(asked, { rcode: code }));
    expect(hostsOf(await client.ask(query("example.org")))).toBe(2);
    code = REFUSED;
    expect(hostsOf(await client.ask(query("example.org")))).toBe(2);
    upstreams = [{ address: "fe80::1", isFromHost: false }, { address: "no address", isFromHost: true }, SECOND];
    expect(hostsOf(await client.ask(query("example.org")))).toBe(2);
    upstreams = [FIRST, { address: "127.0.0.55", isFromHost: false }];
    expect(codeOf(await client.ask(query("example.org")))).toBe(REFUSED);
  });

  test("'no such name' from a later one waits for the first", async () => {
    let delayMs = 50;
    const first = stack.use(await TestUpstream.start(sandbox, FIRST.address, (asked) => void late.push(asked)));
    const late: Buffer[] = [];
    await listen(SECOND, (asked) => {
      // the first answers after the second
      setTimeout(() => first.push(answer(late.pop() ?? asked, { hosts: [1] })), delayMs);
      return answer(asked, { rcode: NXDOMAIN });
    });
    expect(hostsOf(await client.ask(query("intern.example")))).toBe(1);
    delayMs = 10_000;
    expect(codeOf(await client.ask(query("intern.example")))).toBe(NXDOMAIN);
  });

  test("when none answers the client is told, and other names don't wait", async () => {
    await listen(FIRST, () => undefined);
    await listen(SECOND, () => undefined);
    client.send(query("example.org", { id: 1 }));
    expect(hostsOf(await client.ask(query("web")))).toBe(2);
    const [, last] = await client.until(2);
    expect([last?.readUInt16BE(0), codeOf(last ?? Buffer.alloc(4))]).toEqual([1, SERVFAIL]);
  });
});

/** Resolves when the other side has closed. */
function untilEnd(socket: Socket): Promise<void> {
  socket.resume();
  socket.on("error", () => {});
  return new Promise((resolve) => {
    for (const event of ["end", "close"]) socket.once(event, () => resolve());
  });
}

test("at an address of the host, only what others know is answered", async () => {
  const port = 30_000 + (process.pid % 2000);
  const onHost: Upstream = { address: "127.0.0.1", isFromHost: true, port };
  await listen(onHost, (asked) => answer(asked, { hosts: [5] }));
  // the sandbox plays the host
  const open = () => sandbox.inside(() => server.openOnHost(Uint8Array.of(127, 0, 0, 2), () => [onHost]));
  using _dns = open();
  for (const transport of ["+notcp", "+tcp"]) {
    expect(await sandbox.run("dig", "@127.0.0.2", transport, "+short", "+noedns", "web")).toBe("192.0.2.5");
  }
  expect(open).toThrow("bind 53: address already in use");
});

describe("TCP", () => {
  test("many queries on one connection, in pieces, are all answered", async () => {
    await listen(FIRST, (asked) => answer(asked, { hosts: [1] }));
    const asked = Array.from({ length: 30 }, (_, id) => framed(query(id % 2 === 0 ? "web" : "example.org", { id })));
    const all = Buffer.concat(asked);
    const socket = connectFrom(sandbox);
    const chunks: Buffer[] = [];
    socket.on("data", (chunk: Buffer) => chunks.push(chunk));
    for (let at = 0; at < all.length; at += 100) {
      socket.write(all.subarray(at, at + 100));
      await Bun.sleep(1);
    }
    // the client's half is closed, what it asked for comes all the same
    socket.end();
    await new Promise((resolve) => socket.once("close", resolve));
    const ids: number[] = [];
    for (let rest = Buffer.concat(chunks); rest.length > 2; rest = rest.subarray(2 + rest.readUInt16BE(0))) {
      const message = rest.subarray(2, 2 + rest.readUInt16BE(0));
      ids.push(message.readUInt16BE(0));
      expect(hostsOf(message)).toBe(message.readUInt16BE(0) % 2 === 0 ? 2 : 1);
    }
    expect(ids.sort((a, b) => a - b)).toEqual(asked.map((_, id) => id));
  });

  test("a connection that sends no query is closed; more than 32 are not held", async () => {
    const nonsense = connectFrom(sandbox);
    nonsense.write(Buffer.from([0, 3, 1, 2, 3]));
    await untilEnd(nonsense);
    const sockets = Array.from({ length: 40 }, () => connectFrom(sandbox));
    let closed = 0;
    for (const socket of sockets) void untilEnd(socket).then(() => closed++);
    while (closed < 8) await Bun.sleep(10);
    expect(await client.ask(query("web"))).toBeDefined();
    expect(closed).toBe(8);
    for (const socket of sockets) socket.destroy();
  });
});

describe("rules", () => {
  test("nothing is handed on without a server, nor to itself", async () => {
    upstreams = [];
    expect(codeOf(await client.ask(query("example.org")))).toBe(SERVFAIL);
    upstreams = [{ address: "127.0.0.11", isFromHost: false }];
    expect(codeOf(await client.ask(query("example.org")))).toBe(SERVFAIL);
  });

  test("single labels may have to stay, names may be refused", async () => {
    const first = await listen(FIRST, (asked) => answer(asked, { hosts: [1] }));
    extra = { keepsSingleLabels: () => true, mayForward: (name) => name !== "secret.example.org" };
    const kept = await client.ask(query("db"));
    expect([codeOf(kept), hostsOf(kept)]).toEqual([0, undefined]);
    expect(hostsOf(await client.ask(query("db", { type: 15 })))).toBe(1);
    expect(codeOf(await client.ask(query("SECRET.example.org")))).toBe(NXDOMAIN);
    expect(hostsOf(await client.ask(query("example.org")))).toBe(1);
    expect(first.asked.length).toBe(2);
  });

  test("answers are told before the client has them, and may be held back", async () => {
    await listen(FIRST, (asked) => answer(asked, { hosts: [1, 2], rcode: asked.includes("gone") ? NXDOMAIN : 0 }));
    const told: ForwardedAnswer[] = [];
    extra = {
      onAnswer: (seen) => {
        told.push(seen);
        if (seen.name === "bad.org") return false;
        if (seen.name === "slow.org") return Bun.sleep(20).then(() => true);
        if (seen.name === "failing.org") return Promise.reject(new Error("no set"));
        return undefined;
      },
    };
    expect(hostsOf(await client.ask(query("Good.org")))).toBe(2);
    expect(told).toEqual([{ name: "good.org", addresses: [1, 2].map((host) => Uint8Array.of(192, 0, 2, host)), ttlSeconds: 30 }]);
    expect(codeOf(await client.ask(query("bad.org")))).toBe(REFUSED);
    expect(hostsOf(await client.ask(query("slow.org")))).toBe(2);
    expect(codeOf(await client.ask(query("failing.org")))).toBe(REFUSED);
    expect(codeOf(await client.ask(query("gone.org")))).toBe(NXDOMAIN);
    expect(told.length).toBe(4);
    expect(hostsOf(await client.ask(query("web")))).toBe(2);
  });
});

describe("hostile clients", () => {
  const openFds = (): number => readdirSync("/proc/self/fd").length;

  test("what a flood of queries to a dead server holds is bounded, and given back", async () => {
    await listen(FIRST, () => undefined);
    upstreams = [FIRST];
    await client.ask(query("web"));
    const before = openFds();
    for (let id = 0; id < 1500; id++) {
      client.send(query("example.org", { id }));
      // small steps: the kernel's buffer holds only some hundred
      if (id % 50 === 49) await client.ask(query("web", { id: 60_000 + id }));
    }
    const codes = client.received.map(codeOf);
    expect(codes.filter((code) => code === REFUSED).length).toBeGreaterThanOrEqual(1500 - 1024 - 50);
    expect(openFds() - before).toBeLessThanOrEqual(16);
    // more answers come at once than the client's own socket holds: they are not counted
    while (openFds() !== before) await Bun.sleep(50);
    expect(hostsOf(await client.ask(query("web")))).toBe(2);
  });

  test("without a descriptor to spare, own names are answered, and the rest again later", async () => {
    await listen(FIRST, (asked) => answer(asked, { hosts: [1] }));
    upstreams = [FIRST];
    const asking = Bun.spawn(["nsenter", `--net=${sandbox.path}`, "sh", "-c", "read go; exec dig @127.0.0.11 +tcp +short +noedns web"], {
      stdio: ["pipe", "pipe", "ignore"],
    });
    const limit = getrlimit("nofile");
    const highest = Math.max(...readdirSync("/proc/self/fd").map(Number));
    const spare: Fd[] = [];
    try {
      prlimit(0, "nofile", { soft: BigInt(highest + 1), hard: limit.hard });
      for (;;) spare.push(dup(0));
    } catch {
      asking.stdin.write("go\n");
      await asking.stdin.flush();
      expect(codeOf(await client.ask(query("example.org")))).toBe(SERVFAIL);
      await Bun.sleep(100);
      expect(hostsOf(await client.ask(query("web")))).toBe(2);
    } finally {
      prlimit(0, "nofile", limit);
      for (const fd of spare) fd.close();
    }
    expect(await new Response(asking.stdout).text()).toBe("10.9.0.2\n");
    expect(hostsOf(await client.ask(query("example.org")))).toBe(1);
  });

  test("noise over UDP and TCP stops nothing", async () => {
    await listen(FIRST, (asked) => answer(asked, { hosts: [1] }));
    for (let round = 0; round < 40; round++) {
      const noise = crypto.getRandomValues(new Uint8Array(round * 13));
      if (round % 2 === 0) noise.set([0, round, 1, 0, 0, 1, 0, 0, 0, 0, 255, 255].slice(0, noise.length));
      client.send(noise);
      const socket = connectFrom(sandbox);
      socket.on("error", () => {});
      socket.end(noise);
    }
    const [got] = [await client.ask(query("web", { id: 0x7777 }))];
    expect(got.length).toBeGreaterThan(11);
    const big = Buffer.concat([query("example.org", { id: 0x7778 }), Buffer.alloc(6000)]);
    expect(codeOf(await client.ask(big))).toBe(1);
  });

  test("what is under way when the sandbox goes is forgotten", async () => {
    await listen(FIRST, () => undefined);
    const other = stack.use(new TestNetns());
    const before = openFds();
    const dns = server.open({
      netns: other.netns,
      names: { lookup: () => undefined, reverse: () => undefined },
      upstreams: () => [FIRST, SECOND],
    });
    {
      using asking = new TestClient(other);
      for (let id = 0; id < 20; id++) asking.send(query("example.org", { id }));
      await Bun.sleep(50);
      dns.close();
      dns.close();
    }
    await Bun.sleep(10);
    expect(openFds()).toBe(before);
  });
});
