/** What keeps web pages away from a TCP listener. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { connect } from "node:net";
import { hostname } from "node:os";
import { silentLogger } from "../../src/lib/mod.ts";
import { type ApiServer, createServer } from "../../src/server/mod.ts";
import { fakeEngine } from "./fake-engine.ts";
import { serve, upgrade } from "./serve.ts";

const engine = fakeEngine({ "containers.list": async () => [] });
let server: ApiServer;
let port: number;

beforeAll(async () => {
  server = createServer({ api: engine.api, log: silentLogger, serverVersion: "1.2.3" });
  const listener = await server.listen({ kind: "tcp", host: "127.0.0.1", port: 0, names: ["builder.example"] });
  port = Number(listener.address.split(":").at(-1));
});
afterAll(() => server.close());

/** The first line of the answer, and what it says. */
function send(text: string): Promise<string> {
  return new Promise((resolve, reject) => {
    let answer = "";
    const socket = connect({ host: "127.0.0.1", port });
    socket.on("data", (data: Buffer) => {
      answer += data.toString();
    });
    socket.on("error", reject);
    socket.on("close", () => resolve(answer));
    socket.write(text);
  });
}

async function status(...headers: readonly string[]): Promise<number> {
  const answer = await send(`${["GET /containers/json HTTP/1.1", ...headers, "Connection: close", "", ""].join("\r\n")}`);
  return Number(answer.split(" ")[1]);
}

test("clients may call it by an address, by localhost, by its own and by configured names", async () => {
  for (const host of [
    `127.0.0.1:${port}`,
    "192.0.2.7",
    "[::1]:2375",
    "localhost",
    "LOCALHOST:1",
    "api.moby.localhost",
    "Builder.example:9",
    hostname(),
  ]) {
    expect([host, await status(`Host: ${host}`)]).toEqual([host, 200]);
  }
});

test("a name that was made to stand for this machine is refused", async () => {
  for (const host of [
    "evil.example",
    "localhost.evil.example",
    "127.0.0.1.evil.example:2375",
    "docker",
    "[evil]",
    "evil.example:2375@localhost",
  ]) {
    expect([host, await status(`Host: ${host}`)]).toEqual([host, 403]);
  }
});

test("pages of other sites are refused by what their browser says of them", async () => {
  const host = `Host: 127.0.0.1:${port}`;
  expect(await status(host, `Origin: http://127.0.0.1:${port}`)).toBe(200);
  expect(await status(host, "Sec-Fetch-Site: none")).toBe(200);
  expect(await status(host, "Sec-Fetch-Site: same-origin")).toBe(200);
  for (const header of [
    "Origin: https://evil.example",
    "Origin: null",
    "Origin: http://127.0.0.1:1",
    "Sec-Fetch-Site: cross-site",
    "Sec-Fetch-Site: same-site",
  ])
    expect([header, await status(host, header)]).toEqual([header, 403]);
});

test("what would change something, a preflight and an upgrade are refused before they are looked at", async () => {
  const calls = engine.calls.length;
  const evil = [`Host: 127.0.0.1:${port}`, "Origin: https://evil.example", "Connection: close"];
  expect(await send(["POST /containers/create HTTP/1.1", ...evil, "Content-Length: 2", "", "{}"].join("\r\n"))).toStartWith(
    "HTTP/1.1 403 ",
  );
  expect(await send(["OPTIONS /containers/create HTTP/1.1", ...evil, "", ""].join("\r\n"))).toStartWith("HTTP/1.1 403 ");
  const attach = upgrade("/containers/c/attach?stdin=1&stream=1", ["Origin: https://evil.example"]).replace(
    "Host: docker",
    "Host: localhost",
  );
  expect(await send(attach)).toStartWith("HTTP/1.1 403 ");
  expect(await send(upgrade("/exec/e/start"))).toStartWith("HTTP/1.1 403 ");
  const socket = ["Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="];
  const page = [
    "GET /containers/c/attach/ws?stdin=1&stream=1 HTTP/1.1",
    "Host: localhost",
    "Origin: https://evil.example",
    ...socket,
    "",
    "",
  ];
  expect(await send(page.join("\r\n"))).toMatch(/^HTTP\/1.1 403 /);
  expect(engine.calls.length).toBe(calls);
});

test("a unix socket takes any Host and Origin", async () => {
  await using unix = await serve(engine.api);
  for (const host of ["docker", "evil.example", "%2Frun%2Fdocker.sock"]) {
    const client = await unix.connect(`GET /_ping HTTP/1.1\r\nHost: ${host}\r\nOrigin: null\r\nConnection: close\r\n\r\n`);
    expect(await client.end()).toStartWith("HTTP/1.1 200 OK");
  }
});
