/** Clients that go away in the middle of something leave nothing behind in the daemon. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { imageArchive, tar } from "../archive.ts";
import { Daemon, until } from "../daemon.ts";

const ROUNDS = 100;
/** What garbage collection and caches may keep; a leak of one buffer per round is far more. */
const SPARE_MIB = 60;

let daemon: Daemon;

beforeAll(async () => {
  daemon = await Daemon.start();
  await daemon.ok("run", "-dit", "--name", "tty", "busybox", "sh", "-c", "while :; do echo tick; sleep 0.01; done");
  await daemon.ok("run", "-di", "--name", "plain", "busybox", "sh", "-c", "while :; do echo tick; echo tock >&2; sleep 0.01; done");
}, 120_000);

afterAll(() => daemon?.[Symbol.asyncDispose]());

/** The descriptors that the daemon has open, apart from the network namespaces that it makes ahead when it has time. */
function descriptors(): string[] {
  return readdirSync(`/proc/${daemon.pid}/fd`).flatMap((fd) => {
    try {
      const target = readlinkSync(`/proc/${daemon.pid}/fd/${fd}`);
      return target.startsWith("net:") ? [] : [`${fd} ${target}`];
    } catch {
      return [];
    }
  });
}

function residentMib(): number {
  return Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${daemon.pid}/status`, "utf8"))?.[1]) / 1024;
}

/** Sends `request`, waits for the begin of an answer when `answers`, and is gone. */
async function leave(request: string | Uint8Array, answers: boolean): Promise<void> {
  const socket: Socket = connect(daemon.socket);
  const done = Promise.withResolvers<void>();
  socket.on("error", () => done.resolve());
  socket.on("connect", () => {
    socket.write(request, () => {
      if (!answers) socket.destroy();
    });
  });
  if (answers) socket.once("data", () => socket.destroy());
  socket.on("close", () => done.resolve());
  await done.promise;
}

function head(method: string, path: string, lines: readonly string[] = []): string {
  return [`${method} /v1.45${path} HTTP/1.1`, "Host: docker", ...lines, "", ""].join("\r\n");
}

const UPGRADE = ["Connection: Upgrade", "Upgrade: tcp", "Content-Type: application/json", "Content-Length: 2"];
const big = imageArchive({ name: "big", layers: [tar([{ name: "big", data: new Uint8Array(3_000_000) }])] });

async function execId(): Promise<string> {
  const request = { Cmd: ["cat"], AttachStdin: true, AttachStdout: true };
  // a connection that is kept would count as one that the daemon keeps
  const close = { Connection: "close" };
  const { json } = await daemon.api<{ readonly Id: string }>("POST", "/containers/plain/exec", request, close);
  return json.Id;
}

const cases: Readonly<Record<string, () => Promise<void>>> = {
  "logs -f": () => leave(head("GET", "/containers/plain/logs?stdout=1&stderr=1&follow=1"), true),
  "logs -f with nothing to say": () => leave(head("GET", "/containers/plain/logs?stdout=1&follow=1&since=4000000000"), false),
  attach: () => leave(`${head("POST", "/containers/plain/attach?stream=1&stdin=1&stdout=1&stderr=1", UPGRADE)}{}`, true),
  "attach to a terminal": () => leave(`${head("POST", "/containers/tty/attach?stream=1&stdin=1&stdout=1", UPGRADE)}{}`, true),
  "attach with the log": () => leave(`${head("POST", "/containers/plain/attach?stream=1&stdout=1&logs=1", UPGRADE)}{}`, true),
  events: () => leave(head("GET", "/events"), true),
  "events that are over": () => leave(head("GET", "/events?since=0"), true),
  stats: () => leave(head("GET", "/containers/plain/stats"), true),
  wait: () => leave(head("POST", "/containers/plain/wait?condition=next-exit", ["Content-Length: 0"]), true),
  "wait for a removal": () => leave(head("POST", "/containers/plain/wait?condition=removed", ["Content-Length: 0"]), true),
  exec: async () => leave(`${head("POST", `/exec/${await execId()}/start`, UPGRADE)}{}`, true),
  load: async () => {
    const request = head("POST", "/images/load", ["Content-Type: application/x-tar", `Content-Length: ${big.length}`]);
    await leave(Buffer.concat([Buffer.from(request), big.subarray(0, 2_000_000)]), false);
  },
  "load in chunks": async () => {
    const request = head("POST", "/images/load", ["Content-Type: application/x-tar", "Transfer-Encoding: chunked"]);
    const chunk = big.subarray(0, 1_000_000);
    await leave(Buffer.concat([Buffer.from(`${request}${chunk.length.toString(16)}\r\n`), chunk]), false);
  },
  save: () => leave(head("GET", "/images/busybox/get"), true),
  "a body that never comes": () =>
    leave(head("POST", "/containers/create", ["Content-Type: application/json", "Content-Length: 1000"]), false),
  "half of a request": () => leave("POST /containers/cre", false),
  nothing: () => leave("", false),
};

for (const [what, once] of Object.entries(cases)) {
  test(`${ROUNDS} clients that go away during: ${what}`, async () => {
    for (let round = 0; round < 10; round++) await once();
    await Bun.sleep(100);
    const before = { descriptors: descriptors(), mib: residentMib() };
    for (let round = 0; round < ROUNDS / 10; round++) await Promise.all(Array.from({ length: 10 }, once));
    const most = before.descriptors.length + 3;
    let after: string[] = [];
    await until("descriptors are closed", () => {
      after = descriptors();
      return after.length <= most;
    }).catch(() => undefined);
    if (after.length > most) expect(after).toEqual(before.descriptors);
    // garbage is collected in the first quiet second
    await until("memory is given back", () => residentMib() - before.mib < SPARE_MIB).catch(() => undefined);
    expect(residentMib() - before.mib).toBeLessThan(SPARE_MIB);
  });
}

test("the daemon works as before, and nothing is left of what was cut off", async () => {
  expect(await daemon.ok("run", "--rm", "busybox", "echo", "hello")).toBe("hello");
  for (const name of ["plain", "tty"]) {
    const { length } = await daemon.ok("logs", name);
    await until(`${name} goes on printing`, async () => (await daemon.ok("logs", name)).length > length);
  }
  const info = await daemon.api<{ readonly NEventsListener: number; readonly Images: number }>("GET", "/info");
  expect(info.json.NEventsListener).toBe(0);
  expect(info.json.Images).toBe(1);
  // a client that is gone ends the input of its exec, and so the exec
  const counted = async (): Promise<number> =>
    (await daemon.ok("top", "plain", "-o", "pid,args")).split("\n").filter((line) => line.endsWith(" cat")).length;
  await until("execs have ended", async () => (await counted()) === 0);
  for (const name of ["snapshots/drafts", "snapshots/trash", "content/ingest", "tmp"]) {
    await until(`${name} is empty`, () => readdirSync(`${daemon.dataRoot}/${name}`).length === 0);
  }
  await daemon.removeContainers();
  expect(await daemon.residue()).toEqual([]);
});
