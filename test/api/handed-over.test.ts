import { expect, test } from "bun:test";
import { echoSession, fakeEngine } from "./fake-engine.ts";
import { frame, serve, upgrade } from "./serve.ts";

// Bun's HTTP server accepts from no descriptor: such connections go through another parser.
const BODY = '{"Tty":false}';
const START = upgrade("/exec/e/start", ["Content-Type: application/json", `Content-Length: ${BODY.length}`]);

test("a socket that was handed over takes requests", async () => {
  await using server = await serve(fakeEngine({}).api, { isHandedOver: true });
  expect(await (await server.fetch("GET", "/_ping")).text()).toBe("OK");
});

test("exec on it reads its body and the stdin behind it", async () => {
  const engine = fakeEngine({ "exec.start": async () => echoSession() });
  await using server = await serve(engine.api, { isHandedOver: true });
  const client = await server.connect(`${START}${BODY}stdin`);
  client.socket.end();
  expect((await client.end()).split("\r\n\r\n")[1]).toBe(frame(1, "echo:stdin") + frame(2, "eof"));
  expect(engine.calls[0]?.args.slice(0, 2)).toEqual(["e", { Tty: false }]);
});

test("exec on it waits for a body that comes late, and refuses one that never does", async () => {
  await using server = await serve(fakeEngine({ "exec.start": async () => echoSession() }).api, { isHandedOver: true });
  const client = await server.connect(START);
  await Bun.sleep(20);
  client.socket.write(BODY.slice(0, 5));
  await Bun.sleep(20);
  client.socket.write(`${BODY.slice(5)}in`);
  await client.until("echo:in");
  const cut = await server.connect(`${START}${BODY.slice(0, 5)}`);
  cut.socket.end();
  expect(await cut.end()).toStartWith("HTTP/1.1 400 ");
});

test("exec on it reads a body that is sent in chunks", async () => {
  const engine = fakeEngine({ "exec.start": async () => echoSession() });
  await using server = await serve(engine.api, { isHandedOver: true });
  const start = upgrade("/exec/e/start", ["Content-Type: application/json", "Transfer-Encoding: chunked"]);
  const client = await server.connect(`${start}5\r\n${BODY.slice(0, 5)}\r\n`);
  await Bun.sleep(20);
  client.socket.write(`8\r\n${BODY.slice(5)}\r\n0\r\n\r\nstdin`);
  client.socket.end();
  expect((await client.end()).split("\r\n\r\n")[1]).toBe(frame(1, "echo:stdin") + frame(2, "eof"));
  expect(engine.calls[0]?.args.slice(0, 2)).toEqual(["e", { Tty: false }]);
  const broken = await server.connect(`${start}nonsense\r\n`);
  expect(await broken.end()).toStartWith("HTTP/1.1 400 ");
});

test("attach behind another request waits for the end of that one's answer, and isn't looked at when the client goes away", async () => {
  let [end, begun] = [Promise.withResolvers<void>(), 0];
  const engine = fakeEngine({
    "system.events": async function* () {
      begun++;
      yield { Type: "container", Action: "create" };
      await end.promise;
    },
    "streams.attach": async () => echoSession(),
  });
  await using server = await serve(engine.api, { isHandedOver: true });
  const requests = `GET /events HTTP/1.1\r\nHost: docker\r\n\r\n${upgrade("/containers/x/attach?stream=1&stdin=1")}`;
  const attaches = (): number => engine.calls.filter(({ method }) => method === "streams.attach").length;
  const client = await server.connect(requests);
  await client.until("200 OK");
  await Bun.sleep(20);
  expect(attaches()).toBe(0);
  end.resolve();
  const [first = "", second = ""] = (await client.until("101 UPGRADED")).split("HTTP/1.1 101");
  expect(first).toEndWith("}\n\r\n0\r\n\r\n");
  expect(second).toContain("Upgrade: tcp");
  client.socket.write("in");
  await client.until("echo:in");
  end = Promise.withResolvers<void>();
  const gone = await server.connect(requests);
  await gone.until("200 OK");
  gone.socket.destroy();
  for (let i = 0; i < 50 && begun < 2; i++) await Bun.sleep(5);
  await Bun.sleep(20);
  end.resolve();
  await Bun.sleep(20);
  expect([begun, attaches()]).toEqual([2, 1]);
});

for (const isHandedOver of [false, true]) {
  test(`attach on a connection that has been used comes at once${isHandedOver ? ", also on such a socket" : ""}`, async () => {
    const engine = fakeEngine({ "lifecycle.start": async () => {}, "streams.attach": async () => echoSession() });
    await using server = await serve(engine.api, { isHandedOver });
    for (const used of ["HEAD /_ping", "GET /_ping", "POST /containers/x/start", "GET /nothing"]) {
      const client = await server.connect(`${used} HTTP/1.1\r\nHost: docker\r\n\r\n`);
      await client.until("\r\n\r\n");
      await Bun.sleep(10);
      client.socket.write(upgrade("/containers/x/attach?stream=1&stdin=1"));
      await client.until("101 UPGRADED");
      client.socket.destroy();
    }
  });
}
