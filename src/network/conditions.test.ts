import { afterAll, afterEach, beforeAll, expect, test } from "bun:test";
import { readlinkSync } from "node:fs";
import { currentNetns, type Fd, O_RDONLY, open } from "../linux/mod.ts";
import type { NetConditions } from "../spec/engine/mod.ts";
import { applyConditions } from "./conditions.ts";
import type { Networking } from "./networking.ts";
import type { Sandbox } from "./sandbox.ts";
import { bridge, Lab, ports, take } from "./test-lab.ts";

const isRoot = process.getuid?.() === 0;
let lab: Lab;

beforeAll(() => {
  if (isRoot) lab = new Lab();
});
afterEach(() => lab?.reset());
afterAll(() => lab?.close());

function acquire(n: Networking, id: string, conditions?: NetConditions): Promise<Sandbox> {
  const networkId = n.network("bridge")?.id ?? "";
  return n.acquire(id, { containerName: id, ports: ports({}), endpoints: [{ networkId, names: [] }], conditions });
}

const inner = (sandbox: Sandbox): string => lab.sh(sandbox.netnsPath, "tc qdisc show dev eth0");
const outer = (): string => lab.sh(undefined, "tc qdisc show");

/** Milliseconds that `bytes` take from one sandbox to a program in another. */
async function transfer(from: Sandbox, to: Sandbox, bytes: number): Promise<number> {
  const address = to.endpoints[0]?.ipv4?.address;
  const receive = `
    let got = 0, first;
    Bun.listen({ hostname: "0.0.0.0", port: 9000, socket: { data(s, d) {
      first ??= performance.now(); got += d.length;
      if (got >= ${bytes}) { console.log(performance.now() - first); process.exit(0); }
    } } });
    console.log("ready");`;
  const receiver = Bun.spawn(["nsenter", `--net=${to.netnsPath}`, process.execPath, "-e", receive], { stdout: "pipe" });
  const reader = receiver.stdout.getReader();
  await reader.read();
  const send = `require("node:net").connect({ host: "${address}", port: 9000 }).end(Buffer.alloc(${bytes}))`;
  const sender = Bun.spawn(["nsenter", `--net=${from.netnsPath}`, process.execPath, "-e", send]);
  const { value } = await reader.read();
  await Promise.all([sender.exited, receiver.exited]);
  return Number(Buffer.from(value ?? new Uint8Array()).toString());
}

test.skipIf(!isRoot)("a rate holds both ways (skipped without root)", async () => {
  const n = await lab.networking();
  const slow = await acquire(n, "slow", { rateBitsPerSecond: 8_000_000 });
  const peer = await take(n, "peer");
  expect(inner(slow)).toMatch(/^qdisc tbf 2: root .*rate 8Mbit/);
  expect(inner(peer)).not.toContain("tbf");
  expect(outer().match(/tbf 2: dev \w+ root/g)).toHaveLength(1);
  // 200 kB at 1 MB/s, without the first 16 KiB that may go at once: 183 ms; sent in no time where nothing holds it back
  expect(await transfer(slow, peer, 200_000)).toBeGreaterThan(150);
  expect(await transfer(peer, slow, 200_000)).toBeGreaterThan(150);
});

test.skipIf(!isRoot)("a running container's rate is changed in place, and taken away (skipped without root)", async () => {
  const n = await lab.networking();
  const sandbox = await take(n, "c1");
  n.setConditions("c1", { rateBitsPerSecond: 5_000_000 }, () => {});
  const dropped = (): string => inner(sandbox).split("\n")[0] ?? "";
  expect(dropped()).toContain("rate 5Mbit");
  let isWritten = false;
  n.setConditions("c1", { rateBitsPerSecond: 7_000_000 }, () => {
    isWritten = true;
  });
  expect(isWritten).toBe(true);
  expect(dropped()).toContain("rate 7Mbit");
  // one more network of it is as slow
  const id = await bridge(n, "second");
  await n.connect("c1", { networkId: id, names: [] });
  expect(lab.sh(sandbox.netnsPath, "tc qdisc show dev eth1")).toContain("rate 7Mbit");
  n.setConditions("c1", {}, () => {});
  expect(inner(sandbox) + outer() + lab.sh(sandbox.netnsPath, "tc qdisc show dev eth1")).not.toContain("tbf");
  const fail = (): never => {
    throw new Error("no row");
  };
  expect(() => n.setConditions("c1", { rateBitsPerSecond: 1_000_000 }, fail)).toThrow("no row");
  expect(inner(sandbox)).not.toContain("tbf");
});

test.skipIf(!isRoot)("conditions outlive the daemon, and hold for networks that come after it (skipped without root)", async () => {
  const db = lab.database();
  const n = await lab.networking({ db });
  const sandbox = await acquire(n, "c1", { rateBitsPerSecond: 3_000_000 });
  const pid = lab.keep(sandbox.netnsPath);
  const id = await bridge(n, "second");
  const netns = readlinkSync(sandbox.netnsPath);
  while (readlinkSync(`/proc/${pid}/ns/net`) !== netns) await Bun.sleep(5);
  lab.abandon(n);
  const next = await lab.networking({ db });
  next.adopt(new Map([["c1", pid]]));
  await next.connect("c1", { networkId: id, names: [] });
  for (const name of ["eth0", "eth1"]) expect(lab.sh(`/proc/${pid}/ns/net`, `tc qdisc show dev ${name}`)).toContain("rate 3Mbit");
});

test.skipIf(!isRoot)("delay, jitter and loss: set, or refused with the kernel's lack named (skipped without root)", async () => {
  const n = await lab.networking();
  const sandbox = await take(n, "c1");
  using home: Fd = currentNetns();
  using netns = open(sandbox.netnsPath, O_RDONLY);
  const peer = / eth0@if(\d+)/.exec(lab.sh(sandbox.netnsPath, "ip -o link show eth0"))?.[1];
  const own = new RegExp(`^${peer}: (\\w+)@`, "m").exec(lab.sh(undefined, "ip -o link show master dhowtest0"))?.[1];
  const link = { home, netns, interfaceName: "eth0", hostInterface: own };
  const conditions = { delayMs: 60, jitterMs: 1, lossPercent: 0.5, rateBitsPerSecond: 10_000_000 };
  try {
    applyConditions(link, conditions);
  } catch (error) {
    expect(error).toMatchObject({ kind: "unsupported" });
    expect(String(error)).toContain("this host's kernel has no sch_netem (CONFIG_NET_SCH_NETEM)");
    expect(inner(sandbox) + outer()).not.toMatch(/netem|tbf/);
    return;
  }
  expect(inner(sandbox)).toMatch(/netem 1: root .*delay 60ms\s+1ms loss 0.5%/);
  expect(inner(sandbox)).toMatch(/tbf 2: parent 1:1 .*rate 10Mbit/);
  expect(outer()).not.toContain("netem");
  applyConditions(link, { delayMs: 60 });
  expect(inner(sandbox)).not.toContain("tbf");
  // nobody listens there: the answer is a reset, which comes after what was asked was late
  const knock = `const since = performance.now(); require("node:net").connect({ host: "10.93.0.1", port: 9 })
    .on("error", (e) => { if (e.code === "ECONNREFUSED") console.log(performance.now() - since); process.exit(); });`;
  const { stdout } = Bun.spawnSync(["nsenter", `--net=${sandbox.netnsPath}`, process.execPath, "-e", knock]);
  expect(Number(stdout.toString())).toBeGreaterThan(55);
  applyConditions(link, {});
  expect(inner(sandbox)).not.toContain("netem");
});
