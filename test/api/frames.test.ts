/** The server's multiplexed streams and the client's reader of them. */
import { expect, test } from "bun:test";
import { Readable, Writable } from "node:stream";
import fc from "fast-check";
import { demultiplex } from "../../src/sdk/frames.ts";
import { pumpOutput } from "../../src/server/stream.ts";
import type { OutputChunk } from "../../src/spec/engine/mod.ts";

test("demultiplex() takes apart what OutputWriter puts together, in any cut", async () => {
  const chunk = fc.record({
    stream: fc.constantFrom("stdout" as const, "stderr" as const),
    data: fc.oneof(
      fc.uint8Array({ maxLength: 20 }),
      fc.nat(20_000).map((size) => Buffer.alloc(size, size)),
    ),
  });
  const runs = (all: readonly OutputChunk[]): readonly string[] => {
    const joined: string[] = [];
    let last: string | undefined;
    for (const { stream, data } of all) {
      if (data.length === 0) continue;
      const text = Buffer.from(data).toString("latin1");
      if (stream === last) joined[joined.length - 1] += text;
      else joined.push(text);
      last = stream;
    }
    return joined;
  };
  await fc.assert(
    fc.asyncProperty(
      fc.array(chunk, { maxLength: 12 }),
      fc.array(fc.integer({ min: 1, max: 9000 }), { minLength: 1, maxLength: 4 }),
      async (chunks, cuts) => {
        const parts: Buffer[] = [];
        const sink = new Writable({
          write: (part: Buffer, _, done) => {
            parts.push(Buffer.from(part));
            setImmediate(done);
          },
          highWaterMark: 1000,
        });
        await pumpOutput(Readable.from(chunks), sink, true);
        const bytes = Buffer.concat(parts);
        const pieces: Buffer[] = [];
        for (let at = 0, n = 0; at < bytes.length; n++) {
          const size = cuts[n % cuts.length] ?? 1;
          pieces.push(bytes.subarray(at, at + size));
          at += size;
        }
        expect(runs(await Array.fromAsync(demultiplex(Readable.from(pieces))))).toEqual(runs(chunks));
      },
    ),
    { interruptAfterTimeLimit: 1_500, numRuns: 300 },
  );
});
