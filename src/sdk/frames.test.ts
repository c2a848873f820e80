import { expect, test } from "bun:test";
import { Readable } from "node:stream";
import fc from "fast-check";
import { errorMessage } from "../lib/mod.ts";
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

test("demultiplex() gives what came before an error, and shows only so much of it", async () => {
  const chunks: string[] = [];
  const read = async (bytes: Uint8Array): Promise<void> => {
    const source = (async function* () {
      yield bytes;
    })();
    for await (const { data } of demultiplex(source)) chunks.push(Buffer.from(data).toString());
  };
  await expect(read(Buffer.concat([frame(1, "before"), frame(3, "")]))).rejects.toThrow("error from daemon in stream: ");
  await expect(read(Buffer.concat([frame(2, "too"), frame(4, "x")]))).rejects.toThrow("unrecognized stream: 4");
  expect(chunks).toEqual(["before", "too"]);
  const endless = Buffer.concat([Buffer.from([3, 0, 0, 0, 0xff, 0xff, 0xff, 0xff]), Buffer.alloc(100_000, "e")]);
  await expect(read(endless)).rejects.toThrow(/^error from daemon in stream: e{65536}$/);
});

test("demultiplex() ends or says why, whatever it reads", async () => {
  const header = fc.tuple(fc.nat(4), fc.nat(40)).map(([stream, length]) => Buffer.from([stream, 0, 0, 0, 0, 0, 0, length]));
  const bytes = fc.array(fc.oneof(header, fc.uint8Array({ maxLength: 50 })), { maxLength: 8 }).map((parts) => Buffer.concat(parts));
  await fc.assert(
    fc.asyncProperty(bytes, fc.integer({ min: 1, max: 60 }), async (all, size) => {
      const read = async (step: number): Promise<string> => {
        const said: string[] = [];
        const pieces = Array.from({ length: Math.ceil(all.length / step) }, (_, i) => all.subarray(i * step, (i + 1) * step));
        try {
          for await (const { data } of demultiplex(Readable.from(pieces))) said.push(Buffer.from(data).toString("latin1"));
        } catch (error) {
          expect(errorMessage(error)).toMatch(/^(error from daemon in stream: |unrecognized stream: \d)/);
          said.push(errorMessage(error));
        }
        return said.join("");
      };
      expect(await read(size)).toBe(await read(all.length + 1));
    }),
    { interruptAfterTimeLimit: 1_000, numRuns: 1_000 },
  );
});
