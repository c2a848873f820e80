import { afterAll, expect, test } from "bun:test";
import { type AddressInfo, connect, createServer } from "node:net";
import { Daemon, until } from "../daemon.ts";

const daemon = await Daemon.start();
/** Clients of the browser's kind know no unix sockets. */
const bridge = createServer((client) => {
  const engine = connect(daemon.socket);
  client.pipe(engine).pipe(client);
  for (const [one, other] of [
    [client, engine],
    [engine, client],
  ] as const)
    one.on("error", () => other.destroy());
});
await new Promise<void>((resolve) => bridge.listen(0, "127.0.0.1", resolve));
afterAll(async () => {
  bridge.close();
  await daemon[Symbol.asyncDispose]();
});

interface Client extends Disposable {
  readonly socket: WebSocket;
  text(): string;
  /** Whether each message was text. */
  readonly kinds: Set<string>;
  readonly closed: Promise<number>;
  sees(text: string): Promise<unknown>;
}

async function attach(path: string): Promise<Client> {
  const socket = new WebSocket(`ws://127.0.0.1:${(bridge.address() as AddressInfo).port}${path}`);
  socket.binaryType = "arraybuffer";
  let text = "";
  const kinds = new Set<string>();
  socket.onmessage = ({ data }: MessageEvent<string | ArrayBuffer>) => {
    kinds.add(typeof data === "string" ? "text" : "binary");
    text += typeof data === "string" ? data : Buffer.from(data).toString();
  };
  const closed = new Promise<number>((resolve) => {
    socket.onclose = ({ code }) => resolve(code);
  });
  await new Promise<void>((resolve, reject) => {
    socket.onopen = () => resolve();
    socket.onerror = () => reject(new Error(`${path}: no connection`));
  });
  return {
    socket,
    text: () => text,
    kinds,
    closed,
    sees: (wanted) => until(`${JSON.stringify(wanted)} in ${JSON.stringify(text.slice(0, 200))}`, () => text.includes(wanted)),
    [Symbol.dispose]: () => socket.close(),
  };
}

test("stdin, stdout, and the end of the process", async () => {
  await daemon.ok("create", "-i", "--name", "talk", "busybox", "sh", "-c", "read a; echo got $a; read a; echo got $a; exit 3");
  using client = await attach("/v1.47/containers/talk/attach/ws?stream=1&stdin=1&stdout=1");
  await daemon.ok("start", "talk");
  client.socket.send("text\n");
  await client.sees("got text\n");
  client.socket.send(new TextEncoder().encode("binary\n"));
  expect(await client.closed).toBe(1000);
  expect(client.text()).toBe("got text\ngot binary\n");
  expect([...client.kinds]).toEqual(["binary"]);
  expect(await daemon.ok("wait", "talk")).toBe("3");
});

test("much data both ways", async () => {
  await daemon.ok("run", "-d", "-i", "--name", "cat", "busybox", "cat");
  using client = await attach("/v1.47/containers/cat/attach/ws?stream=1&stdin=1&stdout=1");
  for (let i = 0; i < 50; i++) client.socket.send("x".repeat(100_000));
  client.socket.send("end\n");
  await client.sees("end\n");
  expect(client.text().length).toBe(5_000_004);
});

test("a client that leaves ends nothing", async () => {
  {
    using client = await attach("/containers/cat/attach/ws?stream=1&stdin=1&stdout=1");
    client.socket.close();
    expect(await client.closed).toBe(1000);
  }
  using again = await attach("/containers/cat/attach/ws?stream=1&stdin=1&stdout=1");
  again.socket.send("still here\n");
  await again.sees("still here\n");
});

test("the streams asked for, of the past, too; all of them and as text for old clients", async () => {
  await daemon.ok("run", "--name", "both", "busybox", "sh", "-c", "echo out; echo err >&2");
  using stdout = await attach("/v1.42/containers/both/attach/ws?logs=1&stdout=1");
  await stdout.closed;
  expect(stdout.text()).toBe("out\n");
  using stderr = await attach("/containers/both/attach/ws?logs=1&stderr=1");
  await stderr.closed;
  expect(stderr.text()).toBe("err\n");
  using old = await attach("/v1.27/containers/both/attach/ws?logs=1");
  await old.closed;
  expect(old.text().split("\n").sort()).toEqual(["", "err", "out"]);
  expect([...old.kinds]).toEqual(["text"]);
});

test("detach keys", async () => {
  await daemon.ok("run", "-dit", "--name", "terminal", "busybox", "sh");
  using client = await attach("/containers/terminal/attach/ws?stream=1&stdin=1&stdout=1&detachKeys=ctrl-a");
  client.socket.send("echo $((40+2))\n");
  await client.sees("42");
  client.socket.send("\x01");
  expect(await client.closed).toBe(1000);
  expect(await daemon.ok("inspect", "-f", "{{.State.Status}}", "terminal")).toBe("running");
});

test("what can't be attached to is refused before the handshake", async () => {
  const upgrade = { Connection: "Upgrade", Upgrade: "websocket", "Sec-WebSocket-Version": "13" };
  const key = { "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==" };
  const ask = (name: string, headers: Record<string, string>) => daemon.api("GET", `/containers/${name}/attach/ws`, undefined, headers);
  expect(await ask("nobody", { ...upgrade, ...key })).toMatchObject({ status: 404, json: { message: "No such container: nobody" } });
  expect(await ask("cat", {})).toMatchObject({ status: 400, json: { message: "not websocket protocol" } });
  expect(await ask("cat", upgrade)).toMatchObject({ status: 400, json: { message: "mismatch challenge/response" } });
  expect(await ask("cat", { ...upgrade, ...key, "Sec-WebSocket-Version": "8" })).toMatchObject({ status: 400 });
});
