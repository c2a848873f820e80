import { expect, test } from "bun:test";
import { demultiplex } from "./frames.ts";

function frame(stream: number, text: string): Buffer {
  const header = Buffer.alloc(8);
  header[0] = stream;
  header.writeUInt32BE(Buffer.byteLength(text), 4);
  return Buffer.concat([header, Buffer.from(text)]);
}

async function collect(chunks: readonly Uint8Array[]): Promise<readonly string[]> {
  const result: string[] = [];
  const source = (async function* () {
    yield* chunks;
  })();
  for await (const { stream, data } of demultiplex(source)) result.push(`${stream}:${Buffer.from(data).toString()}`);
  return result;
}

test("demultiplex() joins neighbouring frames of a stream", async () => {
  expect(await collect([Buffer.concat([frame(1, "a"), frame(1, "b"), frame(2, "c"), frame(1, "d")])])).toEqual([
    "stdout:ab",
    "stderr:c",
    "stdout:d",
  ]);
});

test("demultiplex() reads frames cut at any byte", async () => {
  const whole = Buffer.concat([frame(1, "hello"), frame(2, "world")]);
  const chunks = Array.from(whole, (byte) => Uint8Array.of(byte));
  expect((await collect(chunks)).join("").replaceAll(/std(out|err):/g, "")).toBe("helloworld");
});

test("demultiplex() throws what the server reports", async () => {
  expect(collect([frame(3, "disk on fire")])).rejects.toThrow("error from daemon in stream: disk on fire");
});
