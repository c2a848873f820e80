import { describe, expect, test } from "bun:test";
import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Digest, digestHex, digestOf, errorKind } from "../lib/mod.ts";
import { BlobStore } from "./mod.ts";

function storeIn(): Disposable & { readonly store: BlobStore; readonly root: string } {
  const root = mkdtempSync(join(tmpdir(), "dhow-content-"));
  return { root, store: new BlobStore(root), [Symbol.dispose]: () => rmSync(root, { recursive: true, force: true }) };
}

async function* stream(...parts: string[]): AsyncGenerator<Uint8Array> {
  for (const part of parts) yield Buffer.from(part);
}

async function textOf(source: AsyncIterable<Uint8Array>): Promise<string> {
  const parts: Uint8Array[] = [];
  for await (const part of source) parts.push(part);
  return Buffer.concat(parts).toString();
}

const missing = digestOf("nothing has this content");

describe("BlobStore", () => {
  test("ingest() stores a stream under its digest, once", async () => {
    using at = storeIn();
    const expected = digestOf("hello world");
    for (let i = 0; i < 2; i++)
      expect(await at.store.ingest(stream("hello ", "world"), { expected, sizeBytes: 11 })).toEqual({ digest: expected, sizeBytes: 11 });
    expect(Buffer.from(at.store.read(expected)).toString()).toBe("hello world");
    expect(await textOf(at.store.open(expected))).toBe("hello world");
    expect(at.store.list()).toEqual([{ digest: expected, sizeBytes: 11 }]);
    expect(readdirSync(join(at.root, "ingest"))).toEqual([]);
  });

  test("ingest() refuses what was not expected, passes on the stream's error, and leaves nothing", async () => {
    using at = storeIn();
    const failing = async function* () {
      yield Buffer.from("half");
      throw new Error("connection lost");
    };
    const abort = new AbortController();
    abort.abort(new Error("stopped"));
    await expect(at.store.ingest(stream("x"), { expected: missing })).rejects.toThrow(`expected ${missing}`);
    await expect(at.store.ingest(stream("xyz"), { sizeBytes: 2 })).rejects.toThrow("more than 2 bytes");
    await expect(at.store.ingest(stream("x"), { sizeBytes: 2 })).rejects.toThrow("1 of 2 bytes");
    await expect(at.store.ingest(failing())).rejects.toThrow("connection lost");
    await expect(at.store.ingest(stream("x"), { signal: abort.signal })).rejects.toThrow("stopped");
    expect(readdirSync(join(at.root, "ingest"))).toEqual([]);
    expect(at.store.list()).toEqual([]);
  });

  test("put(), has(), stat() and remove()", () => {
    using at = storeIn();
    const digest = at.store.put("config");
    expect(at.store.put(Buffer.from("config"))).toBe(digest);
    expect(at.store.has(digest)).toBe(true);
    expect(at.store.stat(digest)?.sizeBytes).toBe(6);
    at.store.remove(digest);
    at.store.remove(digest);
    expect(at.store.has(digest)).toBe(false);
  });

  test("read() and open() say when a blob is missing, read() when it is damaged", async () => {
    using at = storeIn();
    const kindOf = (work: () => unknown): string => {
      try {
        work();
        return "none";
      } catch (error) {
        return errorKind(error);
      }
    };
    expect(kindOf(() => at.store.read(missing))).toBe("notFound");
    expect(await textOf(at.store.open(missing)).catch(errorKind)).toBe("notFound");
    const digest: Digest = at.store.put("config");
    writeFileSync(join(at.root, "blobs", "sha256", digestHex(digest)), "confix");
    expect(kindOf(() => at.store.read(digest))).toBe("internal");
  });

  test("open() goes on when the blob is removed meanwhile", async () => {
    using at = storeIn();
    const big = "x".repeat(3_000_000);
    const digest = at.store.put(big);
    let length = 0;
    for await (const part of at.store.open(digest)) {
      length += part.length;
      at.store.remove(digest);
    }
    expect(length).toBe(big.length);
  });

  test("sweep() deletes what a crash left and nothing else", () => {
    using at = storeIn();
    const digest = at.store.put("kept");
    const leftovers = [join(at.root, "ingest", "abc"), join(at.root, "blobs", "sha256", `${digestHex(digest)}.1234.tmp`)];
    for (const path of leftovers) writeFileSync(path, "half");
    at.store.sweep();
    expect(leftovers.map((path) => existsSync(path))).toEqual([false, false]);
    expect(at.store.has(digest)).toBe(true);
  });
});
