/** The HTTP layer under requests that nobody should send: it answers with HTTP or closes, and goes on. Seeds are printed on failure. */
import { expect, test } from "bun:test";
import { readdirSync } from "node:fs";
import fc from "fast-check";
import { DhowError } from "../../src/lib/mod.ts";
import { echoSession, fakeEngine } from "./fake-engine.ts";
import { RawConnection, serve } from "./serve.ts";

/** Texts of JavaScript's own errors, which are no answer to anybody. */
const JAVASCRIPT = /undefined|Cannot read|is not a function|is not an object|evaluating|\[object|NaN|ERR_|must be of type/;

/** An engine that knows nobody but takes every call. */
function engine() {
  const notFound = async (): Promise<never> => {
    throw new DhowError("notFound", "No such container: it");
  };
  return fakeEngine({
    "containers.list": async () => [],
    "containers.inspect": notFound,
    "containers.create": async () => ({ Id: "i", Warnings: [] }),
    "containers.rename": notFound,
    "containers.update": notFound,
    "ports.change": notFound,
    "egress.inspect": notFound,
    "egress.change": notFound,
    "containers.remove": async () => {},
    "containers.prune": async () => ({ ContainersDeleted: null, SpaceReclaimed: 0 }),
    "containers.explain": notFound,
    "lifecycle.start": async () => {},
    "lifecycle.stop": async () => {},
    "lifecycle.restart": notFound,
    "lifecycle.kill": notFound,
    "lifecycle.pause": notFound,
    "lifecycle.unpause": notFound,
    "lifecycle.wait": async () => ({ exit: Promise.resolve({ StatusCode: 0 }) }),
    "streams.attach": async () => echoSession(),
    "streams.logs": notFound,
    "streams.resize": async () => {},
    "streams.top": notFound,
    "streams.stats": notFound,
    "streams.clearLogs": notFound,
    "files.stat": notFound,
    "files.getArchive": notFound,
    "files.putArchive": async (_: string, __: string, body: AsyncIterable<Uint8Array>) => {
      let bytes = 0;
      for await (const chunk of body) bytes += chunk.length;
      return bytes;
    },
    "contents.changes": notFound,
    "contents.export": notFound,
    "contents.commit": notFound,
    "exec.create": async () => ({ Id: "e" }),
    "exec.start": async () => echoSession(),
    "exec.resize": notFound,
    "exec.inspect": notFound,
    "images.list": async () => [],
    "images.inspect": notFound,
    "images.history": notFound,
    "images.tag": async () => {},
    "images.remove": notFound,
    "images.prune": async () => ({ ImagesDeleted: null, SpaceReclaimed: 0 }),
    "transfer.save": notFound,
    "transfer.load": notFound,
    "transfer.pull": notFound,
    "transfer.import": notFound,
    "transfer.bootstrap": notFound,
    "volumes.list": async () => ({ Volumes: [], Warnings: null }),
    "volumes.create": notFound,
    "volumes.inspect": notFound,
    "volumes.remove": notFound,
    "volumes.prune": async () => ({ VolumesDeleted: null, SpaceReclaimed: 0 }),
    "networks.list": async () => [],
    "networks.inspect": notFound,
    "networks.prune": async () => ({ NetworksDeleted: null }),
    "system.version": async () => ({ Version: "1" }),
    "system.info": notFound,
    "system.events": async function* () {},
    "system.diskUsage": notFound,
    "system.authenticate": notFound,
    "leases.list": async () => [],
    "leases.create": notFound,
    "leases.inspect": notFound,
    "leases.renew": notFound,
    "leases.addImage": notFound,
    "leases.hold": notFound,
    "leases.remove": notFound,
    "sockets.list": async () => [],
    "sockets.create": notFound,
    "sockets.inspect": notFound,
    "sockets.remove": notFound,
    "sockets.audit": async function* () {},
  });
}

const pick = <T>(...values: readonly T[]): fc.Arbitrary<T> => fc.constantFrom(...values);
const joined = (part: fc.Arbitrary<string>, maxLength: number): fc.Arbitrary<string> =>
  fc.array(part, { maxLength }).map((parts) => parts.join(""));

const METHODS = ["GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH", "TRACE", "CONNECT", "get", "BREW", "G T", ""];
const NOUNS = [
  "containers",
  "images",
  "volumes",
  "networks",
  "exec",
  "leases",
  "sockets",
  "events",
  "auth",
  "commit",
  "info",
  "version",
  "_ping",
  "system",
];
const VERBS = [
  "json",
  "create",
  "start",
  "stop",
  "attach",
  "attach/ws",
  "logs",
  "archive",
  "exec",
  "wait",
  "kill",
  "update",
  "prune",
  "tag",
  "get",
  "df",
];
const segment = fc.oneof(
  pick(...NOUNS, ...VERBS, "x", "", "..", "."),
  joined(pick("%", "%2", "%zz", "%00", "%ff", "%2f", "%0a", "%C3%A9", "a", ":", "~"), 4),
);
const path = fc
  .tuple(pick("", "/v1.45", "/v1.24", "/v9.9", "/v", "/v1.1.1", "//"), fc.array(segment, { maxLength: 4 }))
  .map(([version, parts]) => `${version}/${parts.join("/")}`);
const query = joined(
  pick(
    "&",
    "=",
    "%",
    "%zz",
    "filters",
    "filters={",
    "since=1",
    "stdout=1",
    "stream=1",
    "stdin=1",
    "t=x",
    "limit=5",
    "h=1",
    "w=",
    "[]",
    '{"a":',
    "path=/",
    "type=container",
  ),
  6,
);
const header = fc.oneof(
  pick(
    "Host: docker",
    "Host:",
    "Connection: close",
    "Connection: keep-alive",
    "Connection: Upgrade",
    "Upgrade: tcp",
    "Upgrade: websocket",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
    "Content-Type: application/json",
    "Content-Type: application/json; charset",
    "Content-Type: text/plain",
    "Content-Type:",
    "Expect: 100-continue",
    "Expect: nothing",
    "Accept: application/json-seq;q=x, */*",
    "Accept-Encoding: gzip",
    "X-Registry-Auth: !",
    "X-Registry-Config: e30",
    "X-Dhow-Lease: x",
    "Transfer-Encoding: identity",
    "Content-Length: -1",
    "Content-Length: 99999999999999999999",
    "Range: bytes=0-1",
    " folded",
    "NoColon",
    ": empty",
  ),
  fc.tuple(pick("X", "x-y", "Cookie"), fc.string({ maxLength: 20 })).map(([name, value]) => `${name}: ${value.replace(/[\r\n]/g, "")}`),
);
const goodHeader = pick(
  "Connection: Upgrade",
  "Upgrade: tcp",
  "Content-Type: application/json",
  "Content-Type: application/json; charset=utf-8",
  "Expect: 100-continue",
  "Accept-Encoding: gzip",
  "X-Registry-Auth: !",
  "X-Dhow-Lease: x",
  "X-Other: \xe9\xff",
);
const body = fc.oneof(
  pick("", "{}", "{", "null", "[]", '{"Image":"x"}', '{"Cmd":["x"]}', '{"Tty":5}', '{"HostConfig":{"Ulimits":[null]}}', "\0", "\xff\xfe"),
  fc.string({ maxLength: 50 }),
);

/** Routes that there are, so that some requests come through to their handlers. */
const ROUTES = [
  "GET /containers/json",
  "POST /containers/create",
  "GET /containers/x/json",
  "POST /containers/x/start",
  "POST /containers/x/stop",
  "POST /containers/x/wait",
  "POST /containers/x/update",
  "POST /containers/x/ports",
  "POST /containers/x/conditions",
  "GET /containers/x/egress",
  "POST /containers/x/egress",
  "POST /containers/x/attach",
  "GET /containers/x/attach/ws",
  "GET /containers/x/logs",
  "PUT /containers/x/archive",
  "POST /containers/x/exec",
  "POST /containers/x/resize",
  "POST /exec/x/start",
  "GET /images/json",
  "POST /images/create",
  "POST /images/load",
  "POST /images/a/b:c/tag",
  "GET /volumes",
  "POST /volumes/create",
  "GET /networks/x",
  "GET /events",
  "GET /system/df",
  "POST /auth",
  "POST /commit",
  "POST /leases",
  "POST /sockets",
  "HEAD /_ping",
];

interface Request {
  readonly method: string;
  readonly bytes: string;
}

function chunks(text: string, size: number, trailer: string, isBroken: boolean): string {
  const parts: string[] = [];
  for (let at = 0; at < text.length; at += size) {
    const piece = text.slice(at, at + size);
    parts.push(`${(isBroken ? piece.length + 3 : piece.length).toString(16)}${at === 0 ? ";ext=1" : ""}\r\n${piece}\r\n`);
  }
  return `${parts.join("")}0\r\n${trailer}\r\n`;
}

const request: fc.Arbitrary<Request> = fc
  .record({
    target: fc.oneof(
      { weight: 4, arbitrary: fc.tuple(pick("", "/v1.41", "/v1.24"), pick(...ROUTES)).map(([v, route]) => route.replace(" ", ` ${v}`)) },
      fc.tuple(pick(...METHODS), path).map(([method, where]) => `${method} ${where}`),
      fc.tuple(pick("GET", "POST"), pick("*", "http://x/_ping", "/_ping", "x:80")).map(([method, where]) => `${method} ${where}`),
    ),
    query,
    version: fc.oneof({ weight: 40, arbitrary: fc.constant("HTTP/1.1") }, pick("HTTP/1.0", "HTTP/2.0", "HTTP/9", "", "ICY")),
    headers: fc.oneof({ weight: 2, arbitrary: fc.array(goodHeader, { maxLength: 5 }) }, fc.array(header, { maxLength: 3 })),
    hasHost: fc.integer({ min: 0, max: 9 }).map((n) => n > 0),
    body,
    form: pick("none", "length", "short", "chunked", "trailers", "broken chunks", "both"),
    chunkSize: fc.integer({ min: 1, max: 9 }),
  })
  .map((r) => {
    const lines = [...(r.hasHost ? ["Host: docker"] : []), ...r.headers];
    let text = r.body;
    if (r.form === "length") lines.push(`Content-Length: ${Buffer.byteLength(text, "latin1")}`);
    if (r.form === "short") lines.push(`Content-Length: ${Buffer.byteLength(text, "latin1") + 5}`);
    if (r.form === "both") lines.push("Content-Length: 3");
    if (!["none", "length", "short"].includes(r.form)) {
      lines.push("Transfer-Encoding: chunked");
      text = chunks(text, r.chunkSize, r.form === "trailers" ? "X-Trailer: 1\r\nContent-Length: 7\r\n" : "", r.form === "broken chunks");
    } else if (r.form === "none") text = "";
    const start = `${r.target}${r.query === "" ? "" : `?${r.query}`} ${r.version}`;
    return { method: r.target.split(" ", 1)[0] ?? "", bytes: `${start}\r\n${lines.map((line) => `${line}\r\n`).join("")}\r\n${text}` };
  });

/** The end of a chunked body that begins at `at`; the end of the text when it is cut off. */
function chunkedEnd(text: string, at: number): number {
  for (;;) {
    const line = /^([0-9a-f]+)\r\n/i.exec(text.slice(at, at + 20));
    if (line === null) {
      expect(text.length - at).toBeLessThan(20);
      return text.length;
    }
    const size = Number.parseInt(line[1] ?? "", 16);
    at += line[0].length + size + 2;
    if (size === 0 || at >= text.length) return Math.min(at, text.length);
  }
}

/** Takes the answers of one connection apart. */
function checkAnswers(text: string, methods: readonly string[]): void {
  for (let at = 0, n = 0; at < text.length; n++) {
    const head = /^HTTP\/1\.1 ([1-5]\d\d)[^\r\n]*\r\n((?:[^\r\n:]+:[^\r\n]*\r\n)*)\r\n/.exec(text.slice(at));
    if (head === null) throw new Error(`no HTTP at ${at}: ${JSON.stringify(text.slice(at, at + 300))}`);
    const [all, status = "", lines = ""] = head;
    at += all.length;
    if (status === "100") {
      n--;
      continue;
    }
    if (status === "101") return;
    const length = /^content-length: (\d+)/im.exec(lines)?.[1];
    const start = at;
    // what the parser refuses is answered without looking at the method
    const isRefused = /^connection: close/im.test(lines) && length === undefined;
    if ((methods[n] === "HEAD" && !isRefused) || status === "204" || status === "304") continue;
    if (/^transfer-encoding: chunked/im.test(lines)) at = chunkedEnd(text, at);
    else at = length === undefined ? text.length : at + Number(length);
    expect(text.slice(start, at).replace(/"message":"(No such|invalid|unsupported|malformed)[^\n]*/, "")).not.toMatch(JAVASCRIPT);
  }
}

const openFiles = (): number => readdirSync("/proc/self/fd").length;

/** Sends `pieces`, then the end or not, and gives what came back when the server has nothing more to say. */
async function exchange(path: string, pieces: readonly string[], isHalfClosed: boolean): Promise<string> {
  const connection = await RawConnection.open(path);
  for (const piece of pieces) {
    connection.socket.write(piece, "latin1");
    if (pieces.length > 1) await new Promise((resolve) => setImmediate(resolve));
  }
  if (isHalfClosed) connection.socket.end();
  let seen = -1;
  while (!connection.ended && seen !== connection.received.length) {
    seen = connection.received.length;
    await Bun.sleep(3);
  }
  connection.socket.destroy();
  return connection.received.toString("latin1");
}

for (const isHandedOver of [false, true]) {
  test(`any requests on a connection get HTTP, or its end${isHandedOver ? ", also where the socket was handed over" : ""}`, async () => {
    const fake = engine();
    await using server = await serve(fake.api, { isHandedOver });
    const rejections: unknown[] = [];
    const note = (error: unknown): void => void rejections.push(error);
    process.on("unhandledRejection", note);
    process.on("uncaughtException", note);
    await server.fetch("GET", "/_ping");
    const before = openFiles();
    try {
      await fc.assert(
        fc.asyncProperty(
          fc.array(request, { minLength: 1, maxLength: 3 }),
          fc.nat(400),
          fc.boolean(),
          async (requests, cut, isHalfClosed) => {
            const text = requests.map(({ bytes }) => bytes).join("");
            const pieces = cut < text.length ? [text.slice(0, cut), text.slice(cut)] : [text];
            const answer = await exchange(server.path, pieces, isHalfClosed);
            checkAnswers(
              answer,
              requests.map(({ method }) => method),
            );
            expect(rejections).toEqual([]);
            // whoever says internal says why, in our words
            for (const line of server.logged.splice(0)) if (line.includes("level=error")) expect(line).not.toMatch(JAVASCRIPT);
          },
        ),
        {
          interruptAfterTimeLimit: Number(process.env["DHOW_FUZZ_MS"] ?? 1_500),
          numRuns: Number(process.env["DHOW_FUZZ_RUNS"] ?? 200),
          endOnFailure: false,
        },
      );
      expect(await (await server.fetch("GET", "/_ping")).text()).toBe("OK");
      for (let i = 0; i < 200 && openFiles() > before + 2; i++) await Bun.sleep(10);
      expect(openFiles()).toBeLessThanOrEqual(before + 2);
    } finally {
      process.off("unhandledRejection", note);
      process.off("uncaughtException", note);
    }
  }, 60_000);
}
