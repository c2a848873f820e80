import { expect, test } from "bun:test";
import { mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { silentLogger } from "../../src/lib/mod.ts";
import { createServer } from "../../src/server/mod.ts";
import { fakeEngine } from "./fake-engine.ts";
import { serve, upgrade } from "./serve.ts";

const PING = "GET /_ping HTTP/1.1\r\nHost: docker\r\n\r\n";

test("requests on one connection are answered in turn, also after a refused body", async () => {
  await using server = await serve(fakeEngine().api);
  const bad = "POST /containers/create HTTP/1.1\r\nHost: docker\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello";
  const client = await server.connect(PING + bad + PING);
  const answer = await client.until("unsupported Content-Type");
  expect(answer.match(/HTTP\/1\.1 \d+/g)?.slice(0, 2)).toEqual(["HTTP/1.1 200", "HTTP/1.1 400"]);
  await client.until("OKHTTP/1.1 400");
  while (client.received.toString().split("\r\n\r\nOK").length < 3) await Bun.sleep(1);
});

test("a header that is too large and what is no HTTP are refused", async () => {
  await using server = await serve(fakeEngine().api);
  const large = await server.connect(`GET /_ping HTTP/1.1\r\nHost: docker\r\nX: ${"a".repeat(2_000_000)}\r\n\r\n`);
  expect(await large.end()).toStartWith("HTTP/1.1 431 Request Header Fields Too Large\r\n");
  const garbage = await server.connect("no http\r\n\r\n");
  expect(await garbage.end()).toStartWith("HTTP/1.1 400 Bad Request\r\n");
  expect((await server.fetch("GET", "/_ping")).status).toBe(200);
});

test("an upgrade to something else is an ordinary request", async () => {
  await using server = await serve(fakeEngine().api);
  const client = await server.connect(
    "GET /_ping HTTP/1.1\r\nHost: docker\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: x\r\n\r\n",
  );
  expect(await client.until("\r\n\r\nOK")).toStartWith("HTTP/1.1 200 OK\r\n");
});

test("a JSON body without end is refused", async () => {
  await using server = await serve(fakeEngine().api);
  const response = await server.fetch("POST", "/volumes/create", {
    body: `{"Name":"${"a".repeat(17 * 1024 * 1024)}"}`,
    headers: { "Content-Type": "application/json" },
  });
  expect({ status: response.status, body: await response.json() }).toEqual({
    status: 400,
    body: { message: "invalid JSON: request body too large: limit is 16777216 bytes" },
  });
});

test("the socket has its mode, replaces a dead one, and never another file", async () => {
  await using serving = await serve(fakeEngine().api);
  expect(statSync(serving.path).mode & 0o777).toBe(0o660);
  const again = createServer({ api: fakeEngine().api, log: silentLogger, serverVersion: "1" });
  const path = join(serving.path, "..", "second.sock");
  writeFileSync(path, "data");
  expect(again.listen({ kind: "unix", path })).rejects.toThrow("exists and is not a socket");
  const first = await again.listen({ kind: "unix", path: `${path}2`, mode: 0o600, group: process.getgid?.() ?? 0 });
  expect(first.address).toBe(`unix://${path}2`);
  expect(statSync(`${path}2`).mode & 0o777).toBe(0o600);
  await again.close();
});

test("one server listens at several addresses", async () => {
  const server = createServer({ api: fakeEngine().api, log: silentLogger, serverVersion: "1" });
  const tcp = await server.listen({ kind: "tcp", host: "127.0.0.1", port: 0 });
  const more = await server.listen({ kind: "tcp", host: "127.0.0.1", port: 0 });
  for (const listener of [tcp, more]) {
    expect(await (await fetch(`${listener.address.replace("tcp:", "http:")}/_ping`)).text()).toBe("OK");
  }
  await server.close();
  expect(fetch(`${tcp.address.replace("tcp:", "http:")}/_ping`)).rejects.toThrow();
});

test("close() lets running requests end and then cuts", async () => {
  const exit = Promise.withResolvers<{ StatusCode: number }>();
  const engine = fakeEngine({
    "lifecycle.wait": async (ref: string) => ({ exit: ref === "short" ? exit.promise : new Promise(() => {}) }),
  });
  const server = createServer({ api: engine.api, log: silentLogger, serverVersion: "1" });
  const { address } = await server.listen({ kind: "tcp", host: "127.0.0.1", port: 0 });
  const url = address.replace("tcp:", "http:");
  const short = await fetch(`${url}/containers/short/wait`, { method: "POST" });
  const long = await fetch(`${url}/containers/long/wait`, { method: "POST" });
  const closed = server.close({ drainMs: 200 });
  exit.resolve({ StatusCode: 0 });
  expect(await short.json()).toEqual({ StatusCode: 0 });
  await closed;
  expect(long.text()).rejects.toThrow();
});

const python = Bun.which("python3");

test.skipIf(python === null)("a listening socket that was handed over is served (skipped without python3 to make one)", async () => {
  const dir = mkdtempSync(join(tmpdir(), "dhow-fd-"));
  try {
    const path = join(dir, "s");
    const server = `
      import { createServer } from ${JSON.stringify(new URL("../../src/server/mod.ts", import.meta.url).pathname)};
      import { silentLogger } from ${JSON.stringify(new URL("../../src/lib/mod.ts", import.meta.url).pathname)};
      const server = createServer({ api: {}, log: silentLogger, serverVersion: "1" });
      await server.listen({ kind: "fd", fd: 3 });
      process.stdout.write("ready");
      process.stdin.on("data", async () => { await server.close(); process.exit(0); });`;
    const hand = `
import os, socket, sys
s = socket.socket(socket.AF_UNIX)
s.bind(sys.argv[1])
s.listen()
os.dup2(s.fileno(), 3)
os.set_inheritable(3, True)
os.execv(sys.argv[2], [sys.argv[2], "-e", sys.argv[3]])`;
    const child = Bun.spawn([python ?? "", "-c", hand, path, process.execPath, server], { stdin: "pipe", stdout: "pipe" });
    await child.stdout.getReader().read();
    expect(await (await fetch("http://docker/_ping", { unix: path } as RequestInit)).text()).toBe("OK");
    child.stdin.write("x");
    child.stdin.flush();
    expect(await child.exited).toBe(0);
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
});

test("a path that can't be read is refused, also when the connection was to be taken over", async () => {
  await using server = await serve(fakeEngine().api);
  const client = await server.connect(upgrade("/containers/%zz/attach"));
  expect(await client.until("invalid URL escape")).toStartWith("HTTP/1.1 400 Bad Request\r\n");
});

test("many clients that go away leave nothing behind", async () => {
  let open = 0;
  const engine = fakeEngine({
    "system.events": async function* ({ signal }: { signal: AbortSignal }) {
      open++;
      await new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
      open--;
      yield* [];
    },
  });
  await using server = await serve(engine.api);
  const clients = await Promise.all(Array.from({ length: 50 }, () => server.connect("GET /events HTTP/1.1\r\nHost: docker\r\n\r\n")));
  await Promise.all(clients.map((client) => client.until("200 OK")));
  expect(open).toBe(50);
  for (const client of clients) client.socket.destroy();
  while (open > 0) await Bun.sleep(1);
});
