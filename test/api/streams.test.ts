import { describe, expect, test } from "bun:test";
import { DhowError } from "../../src/lib/mod.ts";
import type { AttachSession, EventMessage, ExecStartOptions, OutputChunk } from "../../src/spec/engine/mod.ts";
import { echoSession, fakeEngine, openStream, START_EVENT } from "./fake-engine.ts";
import { frame, serve, upgrade } from "./serve.ts";

const JSON_BODY = (body: string): readonly string[] => ["Content-Type: application/json", `Content-Length: ${body.length}`];

describe("attach", () => {
  test("takes the connection over, keeps early stdin, passes both half-closes", async () => {
    const engine = fakeEngine({ "streams.attach": async () => echoSession() });
    await using server = await serve(engine.api);
    const client = await server.connect(`${upgrade("/containers/c/attach?stream=1&stdin=1&stdout=1&logs=0&detachKeys=ctrl-a")}early`);
    const head = await client.until("echo:early");
    expect(head).toStartWith(
      "HTTP/1.1 101 UPGRADED\r\nContent-Type: application/vnd.docker.multiplexed-stream\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n",
    );
    client.socket.write("more");
    await client.until("echo:more");
    client.socket.end();
    expect((await client.end()).split("\r\n\r\n")[1]).toBe(frame(1, "echo:early") + frame(1, "echo:more") + frame(2, "eof"));
    expect(engine.calls[0]?.args[0]).toBe("c");
    expect(engine.calls[0]?.args[1]).toMatchObject({
      logs: false,
      stream: true,
      stdin: true,
      stdout: true,
      stderr: false,
      detachKeys: "ctrl-a",
    });
  });

  test("is raw with a terminal, and before 1.42 has one content type", async () => {
    await using server = await serve(fakeEngine({ "streams.attach": async (ref: string) => echoSession({ tty: ref === "tty" }) }).api);
    const terminal = await server.connect(`${upgrade("/containers/tty/attach?stream=1&stdin=1&stdout=1")}x`);
    expect(await terminal.until("echo:x")).toMatch(/raw-stream\r\n[\s\S]*\r\n\r\necho:x$/);
    const old = await server.connect(`${upgrade("/v1.41/containers/c/attach?stream=1&stdin=1&stdout=1")}x`);
    expect(await old.until(frame(1, "echo:x"))).toContain("Content-Type: application/vnd.docker.raw-stream\r\n");
  });

  test("closes the session of a client that goes away", async () => {
    const closed = Promise.withResolvers<void>();
    await using server = await serve(fakeEngine({ "streams.attach": async () => echoSession({ onClose: closed.resolve }) }).api);
    const client = await server.connect(`${upgrade("/containers/c/attach?stream=1&stdin=1&stdout=1")}x`);
    await client.until("echo:x");
    client.socket.destroy();
    await closed.promise;
  });

  test("answers a failure as plain text, as dockerd does", async () => {
    const engine = fakeEngine({
      "streams.attach": async () => {
        throw new DhowError("notFound", "No such container: c");
      },
    });
    await using server = await serve(engine.api);
    const client = await server.connect(upgrade("/containers/c/attach?stream=1&stdout=1"));
    expect(await client.end()).toBe(
      "HTTP/1.1 404 Not Found\r\nContent-Type: application/vnd.docker.raw-stream\r\n\r\nNo such container: c\r\n",
    );
  });

  test("refuses in text without an upgrade too", async () => {
    const attach = (): never => {
      throw new DhowError("notFound", "No such container: c");
    };
    await using server = await serve(fakeEngine({ "streams.attach": async () => attach() }).api);
    const client = await server.connect(
      "POST /containers/c/attach?stream=1&stdout=1 HTTP/1.1\r\nHost: docker\r\nContent-Length: 0\r\n\r\n",
    );
    const [head = "", body = ""] = (await client.end()).split("\r\n\r\n");
    expect(head).toStartWith("HTTP/1.1 404 Not Found\r\n");
    expect(head).toContain("\r\nContent-Type: application/vnd.docker.raw-stream");
    expect(body).toContain("No such container: c\r\n");
    const webSocket = await server.fetch("GET", "/containers/c/attach/ws");
    expect([webSocket.status, await webSocket.json()]).toEqual([404, { message: "No such container: c" }]);
  });

  test("gives output without an upgrade too", async () => {
    const session: AttachSession = {
      ...echoSession(),
      output: (async function* () {
        yield { stream: "stderr" as const, data: Buffer.from("out") };
      })(),
    };
    await using server = await serve(fakeEngine({ "streams.attach": async () => session }).api);
    const client = await server.connect(
      "POST /containers/c/attach?stream=1&stdout=1 HTTP/1.1\r\nHost: docker\r\nContent-Length: 0\r\n\r\n",
    );
    const answer = await client.end();
    expect(answer).toStartWith("HTTP/1.1 200 OK\r\n");
    expect(answer.split("\r\n\r\n")[1]).toBe(frame(2, "out"));
  });

  test("passes large output whole and holds little of it for a client that doesn't read", async () => {
    const chunk = new Uint8Array(64 * 1024).fill(97);
    const count = 1024;
    let made = 0;
    const session: AttachSession = {
      ...echoSession(),
      output: (async function* (): AsyncIterable<OutputChunk> {
        for (; made < count; made++) yield { stream: "stdout", data: chunk };
      })(),
    };
    await using server = await serve(fakeEngine({ "streams.attach": async () => session }).api);
    const client = await server.connect(upgrade("/containers/c/attach?stream=1&stdout=1"));
    let sizeBytes = 0;
    client.socket.removeAllListeners("data");
    client.socket.pause();
    await Bun.sleep(100);
    expect(made).toBeLessThan(count / 4);
    client.socket.on("data", (data: Buffer) => {
      sizeBytes += data.length;
    });
    client.socket.resume();
    await client.end();
    expect(sizeBytes % (chunk.length + 8)).toBeGreaterThan(0);
    expect(Math.floor(sizeBytes / (chunk.length + 8))).toBe(count);
  });

  test("gives stdin back-pressure: one write at a time", async () => {
    let running = 0;
    let most = 0;
    let sizeBytes = 0;
    const done = Promise.withResolvers<void>();
    const session: AttachSession = {
      ...echoSession(),
      write: async (data) => {
        most = Math.max(most, ++running);
        await Bun.sleep(1);
        sizeBytes += data.length;
        running--;
      },
      closeStdin: () => done.resolve(),
    };
    await using server = await serve(fakeEngine({ "streams.attach": async () => session }).api);
    const client = await server.connect(upgrade("/containers/c/attach?stream=1&stdin=1"));
    client.socket.end(Buffer.alloc(3_000_000));
    await done.promise;
    expect({ most, sizeBytes }).toEqual({ most: 1, sizeBytes: 3_000_000 });
  });
});

describe("exec start", () => {
  test("reads its body and the stdin behind it", async () => {
    const engine = fakeEngine({ "exec.start": async () => echoSession() });
    await using server = await serve(engine.api);
    const body = '{"Tty":false}';
    const client = await server.connect(`${upgrade("/exec/e/start", JSON_BODY(body))}${body}stdin`);
    client.socket.end();
    expect((await client.end()).split("\r\n\r\n")[1]).toBe(frame(1, "echo:stdin") + frame(2, "eof"));
    expect(engine.calls[0]?.args.slice(0, 2)).toEqual(["e", { Tty: false }]);
  });

  test("waits for a body that comes late", async () => {
    await using server = await serve(fakeEngine({ "exec.start": async () => echoSession() }).api);
    const body = '{"Tty":true}';
    const client = await server.connect(upgrade("/exec/e/start", JSON_BODY(body)));
    await Bun.sleep(20);
    client.socket.write(body.slice(0, 5));
    await Bun.sleep(20);
    client.socket.write(`${body.slice(5)}in`);
    await client.until("101 UPGRADED");
  });

  test("tells what fails after the take-over as output, and what fails before as an error", async () => {
    const engine = fakeEngine({
      "exec.start": async (id: string, _: unknown, { onAccepted }: ExecStartOptions) => {
        if (id === "gone") throw new DhowError("notFound", "No such exec instance: gone");
        onAccepted?.();
        throw new DhowError("invalid", "exec failed: nope");
      },
    });
    await using server = await serve(engine.api);
    const failed = await server.connect(`${upgrade("/exec/e/start", JSON_BODY("{}"))}{}`);
    expect((await failed.end()).split("\r\n\r\n")[1]).toBe(frame(1, "exec failed: nope\r\n"));
    const gone = await server.connect(`${upgrade("/exec/gone/start", JSON_BODY("{}"))}{}`);
    const answer = await gone.end();
    expect(answer).toStartWith("HTTP/1.1 404 Not Found\r\nContent-Type: application/json\r\n");
    expect(answer).toEndWith('{"message":"No such exec instance: gone"}\n');
    const bad = await server.connect(`${upgrade("/exec/e/start", JSON_BODY("{x"))}{x`);
    expect(await bad.end()).toContain("invalid character 'x' looking for beginning of object key string");
  });
});

describe("streams", () => {
  test("wait sends its headers before the exit", async () => {
    const exit = Promise.withResolvers<{ StatusCode: number }>();
    const engine = fakeEngine({ "lifecycle.wait": async () => ({ exit: exit.promise }) });
    await using server = await serve(engine.api);
    const response = await server.fetch("POST", "/containers/c/wait?condition=next-exit");
    expect(response.status).toBe(200);
    exit.resolve({ StatusCode: 7 });
    expect(await response.json()).toEqual({ StatusCode: 7 });
    expect(engine.calls[0]?.args[1]).toBe("next-exit");
  });

  test("a client that goes away aborts the signal", async () => {
    const aborted = Promise.withResolvers<void>();
    const engine = fakeEngine({
      "lifecycle.wait": async (_ref: string, _condition: string, { signal }: { signal: AbortSignal }) => {
        signal.addEventListener("abort", () => aborted.resolve());
        return { exit: new Promise(() => {}) };
      },
    });
    await using server = await serve(engine.api);
    const client = await server.connect("POST /containers/c/wait HTTP/1.1\r\nHost: docker\r\n\r\n");
    await client.until("200 OK");
    client.socket.destroy();
    await aborted.promise;
  });

  test("a client that stays doesn't", async () => {
    let signal: AbortSignal | undefined;
    const engine = fakeEngine({
      "containers.list": async (options: { signal: AbortSignal }) => {
        signal = options.signal;
        await Bun.sleep(20);
        expect(signal.aborted).toBe(false);
        return [];
      },
    });
    await using server = await serve(engine.api);
    expect(await (await server.fetch("GET", "/containers/json")).json()).toEqual([]);
    expect(signal?.aborted).toBe(false);
  });

  test("events come one by one, in the form of the version", async () => {
    const engine = fakeEngine({
      "system.events": ({ signal }: { signal: AbortSignal }) => openStream<EventMessage>([START_EVENT, START_EVENT], signal),
    });
    await using server = await serve(engine.api);
    const read = async (path: string, accept: string): Promise<readonly [string | null, string]> => {
      const abort = new AbortController();
      const response = await server.fetch("GET", path, { headers: { Accept: accept }, signal: abort.signal });
      const reader = response.body?.getReader();
      let text = "";
      while (text.split("\n").length < 3) text += new TextDecoder().decode((await reader?.read())?.value);
      abort.abort();
      return [response.headers.get("content-type"), text];
    };
    const plain = `${JSON.stringify(START_EVENT)}\n`;
    const legacy = `${JSON.stringify({ status: "start", id: "c1", from: "busybox", ...START_EVENT })}\n`;
    expect(await read("/v1.51/events", "*/*")).toEqual(["application/json", legacy + legacy]);
    expect(await read("/v1.52/events", "*/*")).toEqual(["application/jsonl", plain + plain]);
    expect(await read("/v1.52/events", "application/json-seq, application/x-ndjson;q=0.5")).toEqual([
      "application/json-seq",
      `\x1e${plain}\x1e${plain}`,
    ]);
    expect(await read("/events", "application/jsonl")).toEqual(["application/jsonl", plain + plain]);
  });

  test("logs are framed, one frame per entry, or raw", async () => {
    const output = async function* (): AsyncIterable<OutputChunk> {
      yield { stream: "stdout", data: Buffer.from("one\n") };
      yield { stream: "stderr", data: Buffer.from("two\n") };
      yield { stream: "stdout", data: Buffer.alloc(20_000, 97) };
    };
    const engine = fakeEngine({ "streams.logs": async (ref: string) => ({ tty: ref === "tty", output: output() }) });
    await using server = await serve(engine.api, { now: () => 1_000_000 });
    const framed = await server.fetch("GET", "/v1.42/containers/c/logs?stdout=1&stderr=1&tail=all&since=1.5&until=10s&timestamps=1");
    expect(framed.headers.get("content-type")).toBe("application/vnd.docker.multiplexed-stream");
    expect(Buffer.from(await framed.arrayBuffer()).toString("latin1")).toBe(
      frame(1, "one\n") + frame(2, "two\n") + frame(1, "a".repeat(20_000)),
    );
    expect(engine.calls[0]?.args[1]).toMatchObject({
      follow: false,
      stdout: true,
      stderr: true,
      timestamps: true,
      details: false,
      sinceNs: 1_500_000_000n,
      untilNs: 990_000_000_000n,
      tail: -1,
    });
    const raw = await server.fetch("GET", "/containers/tty/logs?stdout=1");
    expect(raw.headers.get("content-type")).toBe("application/vnd.docker.raw-stream");
    expect(await raw.text()).toBe(`one\ntwo\n${"a".repeat(20_000)}`);
  });

  test("logs that fail say so in the stream", async () => {
    const output = async function* (): AsyncIterable<OutputChunk> {
      yield { stream: "stdout", data: Buffer.from("one\n") };
      throw new Error("disk gone");
    };
    await using server = await serve(fakeEngine({ "streams.logs": async () => ({ tty: false, output: output() }) }).api);
    const response = await server.fetch("GET", "/containers/c/logs?stdout=1");
    expect(Buffer.from(await response.arrayBuffer()).toString("latin1")).toBe(
      frame(1, "one\n") + frame(2, "Error grabbing logs: disk gone\n"),
    );
  });

  test("stats are lines, without os_type before 1.52", async () => {
    const samples = async function* () {
      yield { id: "c", os_type: "linux" };
    };
    await using server = await serve(fakeEngine({ "streams.stats": async () => samples() }).api);
    expect(await (await server.fetch("GET", "/containers/c/stats?stream=0")).text()).toBe('{"id":"c","os_type":"linux"}\n');
    expect(await (await server.fetch("GET", "/v1.51/containers/c/stats?stream=0&one-shot=1")).text()).toBe('{"id":"c"}\n');
  });
});

describe("images on the move", () => {
  test("load streams its archive and its progress", async () => {
    const engine = fakeEngine({
      "transfer.load": async (archive: AsyncIterable<Uint8Array>) =>
        (async function* () {
          let sizeBytes = 0;
          for await (const chunk of archive) sizeBytes += chunk.length;
          yield { stream: `${sizeBytes}` };
        })(),
    });
    await using server = await serve(engine.api);
    const body = new ReadableStream({
      start: (controller) => {
        for (let i = 0; i < 100; i++) controller.enqueue(new Uint8Array(50_000));
        controller.close();
      },
    });
    const response = await server.fetch("POST", "/images/load?quiet=0", { body, headers: { "Content-Type": "application/x-tar" } });
    expect(response.headers.get("content-type")).toBe("application/json");
    expect(await response.text()).toBe('{"stream":"5000000"}\r\n');
    expect(engine.calls[0]?.args[1]).toMatchObject({ quiet: false });
  });

  test("a failing load and a failing pull end their stream with the error", async () => {
    const engine = fakeEngine({
      "transfer.load": async () => {
        throw new DhowError("invalid", "archive/tar: invalid tar header");
      },
      "transfer.pull": async () =>
        (async function* () {
          yield { status: "Pulling", id: "x" };
          throw new DhowError("internal", "connection lost");
        })(),
    });
    await using server = await serve(engine.api);
    const load = await server.fetch("POST", "/images/load", { body: "x" });
    expect(await load.text()).toBe(
      '{"errorDetail":{"message":"archive/tar: invalid tar header"},"error":"archive/tar: invalid tar header"}\r\n',
    );
    const pull = await server.fetch("POST", "/images/create?fromImage=a/b&tag=c", { headers: { "X-Registry-Auth": "e30=" } });
    expect(await pull.text()).toBe(
      '{"status":"Pulling","id":"x"}\r\n{"errorDetail":{"message":"connection lost"},"error":"connection lost"}\r\n',
    );
    expect(engine.calls[1]?.args[0]).toBe("a/b:c");
    expect(engine.calls[1]?.args[1]).toMatchObject({ authHeader: "e30=" });
  });

  test("a pull that can't begin is an ordinary error", async () => {
    const engine = fakeEngine({
      "transfer.pull": async () => {
        throw new DhowError("notFound", "pull access denied");
      },
    });
    await using server = await serve(engine.api);
    const response = await server.fetch("POST", `/images/create?fromImage=a&tag=sha256:${"0".repeat(64)}`);
    expect({ status: response.status, body: await response.json() }).toEqual({ status: 404, body: { message: "pull access denied" } });
    expect(engine.calls[0]?.args[0]).toBe(`a@sha256:${"0".repeat(64)}`);
  });

  test("a client that goes away in the middle of a load ends the archive with a failure", async () => {
    const failed = Promise.withResolvers<unknown>();
    const engine = fakeEngine({
      "transfer.load": async (archive: AsyncIterable<Uint8Array>) => {
        try {
          for await (const _ of archive);
          failed.resolve("the archive ended");
        } catch (error) {
          failed.resolve(error);
        }
        return openStream([], AbortSignal.abort());
      },
    });
    await using server = await serve(engine.api);
    const client = await server.connect("POST /images/load HTTP/1.1\r\nHost: docker\r\nContent-Length: 1000000\r\n\r\nhalf");
    await Bun.sleep(20);
    client.socket.destroy();
    expect(await failed.promise).toBeInstanceOf(Error);
  });

  test("save is a tar, of several names or of one", async () => {
    const chunks = async function* () {
      yield Buffer.from("tar");
      yield Buffer.from("ball");
    };
    const engine = fakeEngine({ "transfer.save": async () => chunks() });
    await using server = await serve(engine.api);
    const response = await server.fetch("GET", "/images/get?names=a&names=b%2Fc");
    expect(response.headers.get("content-type")).toBe("application/x-tar");
    expect(await response.text()).toBe("tarball");
    expect(engine.calls[0]?.args[0]).toEqual(["a", "b/c"]);
    await (await server.fetch("GET", "/images/b/c:d/get")).text();
    expect(engine.calls[1]?.args[0]).toEqual(["b/c:d"]);
  });

  test("save that breaks off is no whole answer", async () => {
    const chunks = async function* () {
      yield Buffer.from("tar");
      throw new Error("gone");
    };
    await using server = await serve(fakeEngine({ "transfer.save": async () => chunks() }).api);
    const client = await server.connect("GET /images/a/get HTTP/1.1\r\nHost: docker\r\n\r\n");
    const answer = await client.end();
    expect(answer).toContain('"error":"gone"');
    expect(answer).not.toEndWith("0\r\n\r\n");
  });

  test("save holds little for a client that doesn't read", async () => {
    let made = 0;
    const chunks = async function* () {
      for (; made < 1000; made++) yield Buffer.alloc(64 * 1024);
    };
    await using server = await serve(fakeEngine({ "transfer.save": async () => chunks() }).api);
    const client = await server.connect("GET /images/a/get HTTP/1.1\r\nHost: docker\r\n\r\n");
    client.socket.pause();
    await Bun.sleep(100);
    expect(made).toBeLessThan(250);
  });

  test("import takes the body", async () => {
    const engine = fakeEngine({
      "transfer.import": async (rootfs: AsyncIterable<Uint8Array>) => {
        let text = "";
        for await (const chunk of rootfs) text += Buffer.from(chunk).toString();
        return openStream([{ status: text }], AbortSignal.abort());
      },
    });
    await using server = await serve(engine.api);
    const response = await server.fetch("POST", "/images/create?fromSrc=-&repo=r&tag=t&message=m&changes=CMD%20a&changes=ENV%20b%3Dc", {
      body: "rootfs",
    });
    expect(await response.text()).toBe('{"status":"rootfs"}\r\n');
    expect(engine.calls[0]?.args[1]).toMatchObject({ repo: "r", tag: "t", message: "m", changes: ["CMD a", "ENV b=c"], platform: "" });
  });
});
