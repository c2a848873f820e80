import { afterEach, describe, expect, test } from "bun:test";
import { createSocket } from "node:dgram";
import { connect, createServer } from "node:net";
import { silentLogger } from "../lib/mod.ts";
import { DnsForwarder } from "./dns-forwarder.ts";

const closers: (() => void)[] = [];
afterEach(() => {
  for (const close of closers.splice(0)) close();
});

describe("DnsForwarder", () => {
  test("hands queries on and answers back, over UDP and TCP, and ignores answers to other questions", async () => {
    const upstream = createSocket("udp4");
    upstream.on("message", (query, from) => {
      upstream.send(Buffer.concat([Buffer.from([9, 9]), query.subarray(2)]), from.port, from.address);
      upstream.send(Buffer.concat([query, Buffer.from("!")]), from.port, from.address);
    });
    await new Promise<void>((resolve) => upstream.bind(0, "127.0.0.1", () => resolve()));
    const upstreamPort = upstream.address().port;
    const tcp = createServer((s) => s.on("data", (d) => s.end(`tcp ${d}`)));
    await new Promise<void>((resolve) => tcp.listen(upstreamPort, "127.0.0.1", resolve));
    const port = 20000 + (process.pid % 20000);
    const forwarder = new DnsForwarder({ address: "127.0.0.2", upstreams: ["127.0.0.1"], log: silentLogger, upstreamPort, port });
    closers.push(
      () => forwarder.close(),
      () => upstream.close(),
      () => void tcp.close(),
    );
    expect(await forwarder.start()).toBe(true);
    const client = createSocket("udp4");
    closers.push(() => client.close());
    const answer = new Promise<Buffer>((resolve) => client.on("message", resolve));
    client.send(Buffer.from("id:query-bytes"), port, "127.0.0.2");
    expect((await answer).toString()).toBe("id:query-bytes!");
    const text = await new Promise<string>((resolve) => {
      const socket = connect({ host: "127.0.0.2", port }, () => socket.write("question"));
      socket.on("data", (d) => resolve(d.toString()));
    });
    expect(text).toBe("tcp question");
  });
});
