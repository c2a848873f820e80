import { expect, test } from "bun:test";
import { createSocket } from "node:dgram";
import { readFileSync } from "node:fs";
import { connectUdp, connectUnixDatagram, sealedMemoryFile, sendDatagram } from "./datagram.ts";

test("sendDatagram() sends to a connected UDP socket", async () => {
  const receiver = createSocket("udp4");
  try {
    await new Promise<void>((resolve) => receiver.bind(0, "127.0.0.1", resolve));
    const got = new Promise<Buffer>((resolve) => receiver.once("message", resolve));
    using socket = connectUdp(Uint8Array.of(127, 0, 0, 1), receiver.address().port);
    expect(sendDatagram(socket.fd, Buffer.from("hello"))).toBe(true);
    expect(String(await got)).toBe("hello");
  } finally {
    receiver.close();
  }
});

test("connectUnixDatagram() says what is not there", () => {
  expect(() => connectUnixDatagram("/nowhere/at/all")).toThrow("no such file or directory");
  expect(() => connectUnixDatagram("/".repeat(200))).toThrow("at most 107 bytes");
});

test("sealedMemoryFile() holds bytes that nobody changes", () => {
  using file = sealedMemoryFile("entry", Buffer.from("MESSAGE=x\n"));
  expect(readFileSync(`/proc/self/fd/${file.fd}`, "utf8")).toBe("MESSAGE=x\n");
});
