/** Clients that mean ill: many that say nothing, some that read slowly, bodies and headers without end. Memory stays, others are served. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { Daemon, until } from "../daemon.ts";

/** What garbage collection may take its time with; what is sent or read here is many times as much. */
const SPARE_MIB = 100;

let daemon: Daemon;

beforeAll(async () => {
  daemon = await Daemon.start();
  await daemon.ok("run", "-d", "--name", "flood", "busybox", "sh", "-c", "while :; do head -c 60000 /dev/zero | tr '\\0' x; echo; done");
  await daemon.ok("run", "-d", "--name", "big", "busybox", "sh", "-c", "head -c 60000000 /dev/urandom >/big; sleep 1000");
}, 120_000);

afterAll(() => daemon?.[Symbol.asyncDispose]());

function residentMib(): number {
  return Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${daemon.pid}/status`, "utf8"))?.[1]) / 1024;
}

/** A connection with a request sent; what comes back waits in the kernel. */
async function open(request: string): Promise<Socket> {
  const socket = connect(daemon.socket);
  socket.on("error", () => {});
  socket.pause();
  await new Promise((resolve, reject) => socket.once("connect", resolve).once("error", reject));
  if (request !== "") socket.write(request);
  return socket;
}

/** Holds `count` such connections while others are served. */
async function hold(count: number, request: string): Promise<void> {
  const before = residentMib();
  const sockets: Socket[] = [];
  try {
    for (let i = 0; i < count; i++) sockets.push(await open(request));
    for (let i = 0; i < 5; i++) {
      await Bun.sleep(100);
      expect((await daemon.api("GET", "/_ping", undefined, { Connection: "close" })).status).toBe(200);
    }
    await until("memory stays", () => residentMib() - before < SPARE_MIB);
  } finally {
    for (const socket of sockets) socket.destroy();
  }
}

const get = (path: string): string => `GET ${path} HTTP/1.1\r\nHost: docker\r\n\r\n`;

test("1,000 connections that say nothing", () => hold(1000, ""), 30_000);
test("500 headers that never end", () => hold(500, "GET /_ping HTTP/1.1\r\nHost: docker\r\nX: "), 30_000);
test("20 readers of an export that don't read", () => hold(20, get("/containers/big/export")), 30_000);
test("20 readers of an archive that don't read", () => hold(20, get("/containers/big/archive?path=/big")), 30_000);
test("20 readers of a log that don't read", () => hold(20, get("/containers/flood/logs?stdout=1&follow=1")), 30_000);
test("20 readers of events that don't read", () => hold(20, get("/events?since=0")), 30_000);
test("20 readers of stats that don't read", () => hold(20, get("/containers/flood/stats")), 30_000);

/** Sends `head`, then `piece` again and again, and gives what came back. */
async function flood(head: string, piece: string, times: number): Promise<string> {
  const socket = connect(daemon.socket);
  let received = "";
  let isOver = false;
  socket.on("data", (data) => {
    received += data.toString("latin1");
  });
  const over = (): void => {
    isOver = true;
  };
  socket.on("error", over).on("close", over);
  socket.write(head);
  for (let i = 0; i < times && !isOver; i++) {
    if (!socket.write(piece)) await new Promise((resolve) => socket.once("drain", resolve).once("close", resolve));
  }
  await until("there is an answer", () => received !== "" || isOver);
  socket.destroy();
  return received;
}

const MIB = 1024 * 1024;

test("a body of JSON without end is refused, and held nowhere", async () => {
  const before = residentMib();
  const head = "POST /auth HTTP/1.1\r\nHost: docker\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n";
  const answer = await flood(head, `${MIB.toString(16)}\r\n${" ".repeat(MIB)}\r\n`, 150);
  expect(answer).toStartWith("HTTP/1.1 400 Bad Request\r\n");
  expect(answer).toContain("request body too large");
  await until("memory stays", () => residentMib() - before < SPARE_MIB);
}, 30_000);

test("headers without end are refused", async () => {
  const before = residentMib();
  for (const piece of ["a: b\r\n".repeat(20_000), "a".repeat(100_000)]) {
    expect(await flood("GET /_ping HTTP/1.1\r\nHost: docker\r\nX: ", piece, 200)).toMatch(/^(HTTP\/1\.1 431 |$)/);
  }
  await until("memory stays", () => residentMib() - before < SPARE_MIB);
}, 30_000);

test("a client that waits to be told to go on is told so", async () => {
  const head =
    "POST /volumes/create HTTP/1.1\r\nHost: docker\r\nExpect: 100-continue\r\nContent-Type: application/json\r\nContent-Length: 17\r\n\r\n";
  const socket = await open(head);
  const answer = Promise.withResolvers<string>();
  let received = "";
  socket.on("data", (data) => {
    received += data.toString();
    if (received === "HTTP/1.1 100 Continue\r\n\r\n") socket.write('{"Name":"waited"}');
    if (received.includes("\r\n\r\n", 30)) answer.resolve(received);
  });
  socket.resume();
  expect(await answer.promise).toContain("HTTP/1.1 201 Created");
  socket.destroy();
  await daemon.ok("volume", "rm", "waited");
});

test("the daemon works as before", async () => {
  expect(await daemon.ok("run", "--rm", "busybox", "echo", "hello")).toBe("hello");
  await daemon.removeContainers();
  expect(await daemon.residue()).toEqual([]);
}, 30_000);
