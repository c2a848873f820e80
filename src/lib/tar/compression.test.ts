import { expect, test } from "bun:test";
import { gzipSync, zstdCompressSync } from "node:zlib";
import { errorKind } from "../errdefs.ts";
import { decompress } from "./compression.ts";
import { chunked, collect } from "./test-support.ts";

const text = Buffer.from("some text ".repeat(50_000));

test("passes plain bytes and unpacks gzip, several members too, and zstd", async () => {
  expect((await collect(decompress(chunked(text)))).equals(text)).toBe(true);
  expect((await collect(decompress(chunked(gzipSync(text))))).equals(text)).toBe(true);
  expect((await collect(decompress(chunked(Buffer.concat([gzipSync(text), gzipSync(text)]))))).length).toBe(2 * text.length);
  expect((await collect(decompress(chunked(zstdCompressSync(text))))).equals(text)).toBe(true);
  expect((await collect(decompress(chunked(Buffer.concat([zstdCompressSync(text), zstdCompressSync(text)]))))).length).toBe(
    2 * text.length,
  );
  expect((await collect(decompress(chunked(Buffer.alloc(0))))).length).toBe(0);
});

test("says unexpected EOF for a stream that is cut off", async () => {
  for (const packed of [gzipSync(text), zstdCompressSync(text)]) {
    await expect(collect(decompress(chunked(packed.subarray(0, packed.length - 9))))).rejects.toThrow("unexpected EOF");
    await expect(collect(decompress(chunked(packed.subarray(0, packed.length >> 1))))).rejects.toThrow("unexpected EOF");
  }
});

test("refuses corrupt data and passes on the source's own error", async () => {
  const packed = gzipSync(text);
  packed.fill(0xff, 20, 60);
  await expect(collect(decompress(chunked(packed))).catch(errorKind)).resolves.toBe("invalid");
  const failing = async function* () {
    yield gzipSync(text).subarray(0, 100);
    throw new Error("socket closed");
  };
  await expect(collect(decompress(failing()))).rejects.toThrow("socket closed");
});

test("ends its source when the reader leaves early", async () => {
  for (const packed of [gzipSync(Buffer.alloc(5_000_000, 1)), text]) {
    let isClosed = false;
    const source = async function* () {
      try {
        for await (const chunk of chunked(packed, 512)) yield chunk;
      } finally {
        isClosed = true;
      }
    };
    for await (const _ of decompress(source())) break;
    await new Promise((resolve) => setTimeout(resolve, 5));
    expect(isClosed).toBe(true);
  }
});
