import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import {
  closeSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { silentLogger } from "../../lib/mod.ts";
import { mkfifo, mount, O_NONBLOCK, O_RDWR, setPipeSize, umount } from "../../linux/mod.ts";
import type { OutputChunk, StdStream } from "../../spec/engine/mod.ts";
import { SegmentCompressor } from "./compress.ts";
import { type LogReadOptions, WHOLE_LOG } from "./driver.ts";
import { LocalLog } from "./local.ts";

let directory: string;
let nowNs: bigint;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "dhow-logs-"));
  nowNs = 1_700_000_000_000_000_000n;
});
afterEach(() => {
  rmSync(directory, { recursive: true, force: true });
});

const SECOND = 1_000_000_000n;

function makeLog(limits: { maxSizeBytes?: number; maxFiles?: number; dir?: string } = {}): LocalLog {
  const clock = (): bigint => {
    nowNs += SECOND;
    return nowNs;
  };
  const dir = limits.dir ?? join(directory, "log");
  return new LocalLog({
    dir,
    maxSizeBytes: limits.maxSizeBytes ?? 1e6,
    maxFiles: limits.maxFiles ?? 3,
    compress: true,
    attributes: () => ({ k: "v w" }),
    clock,
    log: silentLogger,
  });
}

async function text(output: AsyncIterable<OutputChunk>): Promise<string> {
  let all = "";
  for await (const chunk of output) all += Buffer.from(chunk.data).toString();
  return all;
}

const read = (log: LocalLog, options: Partial<LogReadOptions> = {}): Promise<string> => text(log.read({ ...WHOLE_LOG, ...options }));

function fill(log: LocalLog, pieces: readonly (readonly [StdStream, string])[]): void {
  const writer = log.open();
  for (const [stream, piece] of pieces) writer.append(stream, Buffer.from(piece));
  writer.close();
}

const MIXED = [
  ["stdout", "one\ntw"],
  ["stderr", "ERR1\n"],
  ["stdout", "o\nthree\n"],
  ["stderr", "ER"],
  ["stderr", "R2\nERR3\n"],
  ["stdout", "last"],
] as const;

describe("LocalLog", () => {
  test("read() gives what was written, in order, and each stream alone", async () => {
    const log = makeLog();
    fill(log, MIXED);
    expect(await read(log)).toBe("one\ntwERR1\no\nthree\nERR2\nERR3\nlast");
    expect(await read(log, { stderr: false })).toBe("one\ntwo\nthree\nlast");
    expect(await read(log, { stdout: false })).toBe("ERR1\nERR2\nERR3\n");
  });

  test("read() of a log that was never written is empty", async () => {
    expect(await read(makeLog())).toBe("");
    expect(await read(makeLog(), { tail: 3, follow: true, timestamps: true })).toBe("");
  });

  test("timestamps and details go before each whole line", async () => {
    const log = makeLog();
    fill(log, MIXED);
    const lines = (await read(log, { timestamps: true })).split("\n");
    expect(lines).toEqual([
      "2023-11-14T22:13:21.000000000Z one",
      "2023-11-14T22:13:22.000000000Z ERR1",
      "2023-11-14T22:13:23.000000000Z two",
      "2023-11-14T22:13:23.000000000Z three",
      "2023-11-14T22:13:25.000000000Z ERR2",
      "2023-11-14T22:13:25.000000000Z ERR3",
      "2023-11-14T22:13:26.000000000Z last",
    ]);
    expect(await read(log, { details: true, stdout: false })).toBe("k=v+w ERR1\nk=v+w ERR2\nk=v+w ERR3\n");
  });

  test.each([
    [0, "", ""],
    [1, "last", "ERR3\n"],
    [2, "ERR3\nlast", "ERR2\nERR3\n"],
    [3, "ERR2\nERR3\nlast", "ERR1\nERR2\nERR3\n"],
    [4, "three\nERR2\nERR3\nlast", "ERR1\nERR2\nERR3\n"],
    [5, "two\nthree\nERR2\nERR3\nlast", "ERR1\nERR2\nERR3\n"],
    [100, "one\ntwERR1\no\nthree\nERR2\nERR3\nlast", "ERR1\nERR2\nERR3\n"],
  ])("tail %d counts lines by their ends", async (tail, both, stderr) => {
    const log = makeLog();
    fill(log, MIXED);
    expect(await read(log, { tail })).toBe(both);
    expect(await read(log, { tail, stdout: false })).toBe(stderr);
  });

  test("since and until choose lines by their time", async () => {
    const log = makeLog();
    fill(log, MIXED);
    const start = 1_700_000_000n * SECOND;
    expect(await read(log, { sinceNs: start + 3n * SECOND })).toBe("two\nthree\nERR2\nERR3\nlast");
    expect(await read(log, { untilNs: start + 2n * SECOND })).toBe("one\ntwERR1\n");
    expect(await read(log, { sinceNs: start + 100n * SECOND })).toBe("");
    expect(await read(log, { sinceNs: start + 3n * SECOND, tail: 2 })).toBe("ERR3\nlast");
  });

  test("segments rotate, the oldest goes, and tail reaches over segments", async () => {
    const log = makeLog({ maxSizeBytes: 1000, maxFiles: 3 });
    const writer = log.open();
    for (let i = 0; i < 100; i++) writer.append("stdout", Buffer.from(`line ${String(i).padStart(30, "0")}\n`));
    writer.close();
    const indexes = readdirSync(join(directory, "log")).filter((name) => name.endsWith(".idx"));
    expect(indexes.length).toBe(3);
    const all = await read(log);
    expect(all).toEndWith(`line ${"99".padStart(30, "0")}\n`);
    const lines = all.trimEnd().split("\n");
    expect(lines.length).toBeLessThan(100);
    // segments end in the middle of a line: of one whose beginning is deleted, nothing is shown
    for (const line of lines) expect(line).toMatch(/^line \d{30}$/);
    for (const tail of [1, 15, 25, lines.length]) expect(await read(log, { tail })).toBe(`${lines.slice(-tail).join("\n")}\n`);
  });

  test("a follower sees everything over rotations, lines of many chunks too, and ends with the writer", async () => {
    const log = makeLog({ maxSizeBytes: 2000, maxFiles: 1000 });
    const writer = log.open();
    writer.append("stdout", Buffer.from("before\n"));
    const followed = read(log, { follow: true });
    const stamped = read(log, { follow: true, timestamps: true, stderr: false });
    const fromEnd = read(log, { follow: true, tail: 0 });
    await Bun.sleep(1);
    let expected = "";
    let stdout = "";
    for (let i = 0; i < 500; i++) {
      const piece = i % 7 === 3 ? `${"x".repeat(300)}` : `line ${i}\n`;
      expected += piece;
      if (i % 5 !== 0) stdout += piece;
      writer.append(i % 5 === 0 ? "stderr" : "stdout", Buffer.from(piece));
      if (i % 50 === 0) await Bun.sleep(1);
    }
    writer.close();
    expect(await followed).toBe(`before\n${expected}`);
    expect(await fromEnd).toBe(expected);
    expect((await stamped).replace(/^\S{30} /gm, "")).toBe(`before\n${stdout}`);
  });

  test("a follower ends when its client goes away", async () => {
    const log = makeLog();
    const writer = log.open();
    const abort = new AbortController();
    const followed = read(log, { follow: true, signal: abort.signal });
    await Bun.sleep(1);
    abort.abort();
    expect(await followed).toBe("");
    writer.close();
  });

  test("open() gives bytes of a killed writer a record, and cuts records without bytes", async () => {
    const log = makeLog();
    fill(log, [["stdout", "one\n"]]);
    writeFileSync(join(directory, "log/000001.out"), "one\ntwo\n");
    writeFileSync(join(directory, "log/000001.err"), "err\n");
    expect(await read(log)).toBe("one\n");
    fill(log, [["stdout", "three\n"]]);
    expect(await read(log)).toBe("one\ntwo\nerr\nthree\n");
    truncateSync(join(directory, "log/000001.out"), 4);
    fill(log, [["stdout", "four\n"]]);
    expect(await read(log, { stderr: false })).toBe("one\nfour\n");
  });

  test("compressed segments read the same", async () => {
    const log = makeLog({ maxSizeBytes: 1000, maxFiles: 10 });
    const pieces = Array.from({ length: 100 }, (_, i) => [i % 3 ? "stdout" : "stderr", `line ${i} ${"y".repeat(20)}\n`] as const);
    fill(log, pieces);
    const before = await read(log, { timestamps: true });
    const dir = join(directory, "log");
    await new SegmentCompressor(dir, silentLogger).compress(1);
    await new SegmentCompressor(dir, silentLogger).compress(2);
    expect(readdirSync(dir)).toContain("000001.idx.zst");
    expect(readdirSync(dir)).not.toContain("000001.out");
    expect(await read(log, { timestamps: true })).toBe(before);
    expect(await read(log, { tail: 95, timestamps: true })).toBe(before.split("\n").slice(5).join("\n"));
    expect(readdirSync(dir).filter((name) => name.endsWith(".tmp"))).toEqual([]);
  });

  test("closed segments are compressed after the delay, those of a later burst, too", async () => {
    const log = makeLog({ maxSizeBytes: 100, maxFiles: 9 });
    const writer = log.open();
    writer.append("stdout", Buffer.from("line\n".repeat(100)));
    writer.close();
    const dir = join(directory, "log");
    const compressor = new SegmentCompressor(dir, silentLogger, { delayMs: 1 });
    compressor.add(1);
    compressor.add(2);
    const isCompressed = (name: string): boolean => readdirSync(dir).includes(`${name}.idx.zst`);
    while (!isCompressed("000002")) await Bun.sleep(5);
    compressor.add(3);
    while (!isCompressed("000003")) await Bun.sleep(5);
    expect(isCompressed("000001")).toBe(true);
    expect(isCompressed("000004")).toBe(false);
    expect(await read(log)).toBe("line\n".repeat(100));
  });

  test("pump() moves a pipe's bytes and copies them on request", async () => {
    const pipe = openPipe();
    const log = makeLog();
    const writer = log.open();
    writeSync(pipe, "hello\n");
    const into = new Uint8Array(100);
    expect(writer.pump(pipe, "stdout", 100, into)).toBe(6);
    expect(Buffer.from(into.subarray(0, 6)).toString()).toBe("hello\n");
    expect(writer.pump(pipe, "stdout", 100, into)).toBe(-1);
    writeSync(pipe, "world\n");
    expect(writer.pump(pipe, "stderr", 3, null)).toBe(3);
    expect(writer.pump(pipe, "stderr", 100, null)).toBe(3);
    writer.close();
    closeSync(pipe);
    expect(await read(log)).toBe("hello\nworld\n");
  });

  test("no segment exceeds max-size, whatever the pipe holds", async () => {
    const pipe = openPipe();
    const log = makeLog({ maxSizeBytes: 10_000, maxFiles: 3 });
    const writer = log.open();
    const text = Array.from({ length: 20_000 }, (_, i) => `${i}\n`).join("");
    writeSync(pipe, text);
    while (writer.pump(pipe, "stdout", 1 << 20, null) > 0);
    writer.append("stderr", Buffer.from(text));
    writer.close();
    closeSync(pipe);
    const dir = join(directory, "log");
    const sizes = new Map<string, number>();
    for (const name of readdirSync(dir)) sizes.set(name.slice(0, 6), (sizes.get(name.slice(0, 6)) ?? 0) + statSync(join(dir, name)).size);
    expect(sizes.size).toBe(3);
    expect(Math.max(...sizes.values())).toBe(10_000);
    const kept = await read(log);
    expect(kept.length).toBeGreaterThan(19_000);
    expect(text).toEndWith(kept);
  });

  test.skipIf(process.getuid?.() !== 0)("a full disk drops output from the log and not from the clients", async () => {
    const dir = join(directory, "small");
    mkdirSync(dir);
    mount("tmpfs", dir, "tmpfs", 0, "size=64k");
    try {
      const pipe = openPipe();
      const log = makeLog({ dir: join(dir, "log") });
      const writer = log.open();
      const into = new Uint8Array(1 << 20);
      let delivered = 0;
      for (let i = 0; i < 20; i++) {
        writeSync(pipe, Buffer.alloc(16384, `${i}\n`));
        for (let count = 1; count > 0; delivered += Math.max(0, count)) count = writer.pump(pipe, "stdout", 1 << 20, into);
      }
      expect(delivered).toBe(20 * 16384);
      writer.close();
      closeSync(pipe);
      expect(await read(log)).toStartWith("0\n0\n");
    } finally {
      umount(dir);
    }
  });
});

function openPipe(): number {
  const path = join(directory, "fifo");
  mkfifo(path);
  const fd = openSync(path, O_RDWR | O_NONBLOCK);
  setPipeSize(fd, 1 << 20);
  return fd;
}

test("segments keep the layout that their comment draws", () => {
  const log = makeLog();
  fill(log, [
    ["stdout", "ab"],
    ["stderr", "c"],
  ]);
  const index = readFileSync(join(directory, "log/000001.idx"));
  expect(index.length).toBe(32);
  expect(index.readBigInt64LE(0)).toBe(1_700_000_001n * SECOND);
  expect([index.readUInt32LE(8), index.readUInt32LE(12), index.readUInt32LE(24), index.readUInt32LE(28)]).toEqual([2, 0, 2, 1]);
});
