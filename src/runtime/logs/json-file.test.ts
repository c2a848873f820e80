import { afterEach, beforeEach, expect, test } from "bun:test";
import {
  appendFileSync,
  closeSync,
  existsSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { silentLogger } from "../../lib/mod.ts";
import { fionread, mkfifo, mount, O_NONBLOCK, O_RDWR, setPipeSize, umount } from "../../linux/mod.ts";
import type { OutputChunk } from "../../spec/engine/mod.ts";
import { type LogReadOptions, WHOLE_LOG } from "./driver.ts";
import { JsonFileLog } from "./json-file.ts";

let directory: string;
let nowNs: bigint;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "dhow-json-"));
  nowNs = 1_700_000_000_000_000_000n;
});
afterEach(() => {
  rmSync(directory, { recursive: true, force: true });
});

function makeLog(limits: { maxSizeBytes?: number; maxFiles?: number; compress?: boolean } = {}): JsonFileLog {
  const clock = (): bigint => {
    nowNs += 1_500_000_000n;
    return nowNs;
  };
  return new JsonFileLog({
    path: join(directory, "x-json.log"),
    maxSizeBytes: limits.maxSizeBytes ?? -1,
    maxFiles: limits.maxFiles ?? 1,
    compress: limits.compress ?? false,
    attributes: () => ({}),
    clock,
    log: silentLogger,
  });
}

async function read(log: JsonFileLog, options: Partial<LogReadOptions> = {}): Promise<string> {
  let all = "";
  for await (const chunk of log.read({ ...WHOLE_LOG, ...options }) as AsyncIterable<OutputChunk>) all += Buffer.from(chunk.data).toString();
  return all;
}

test("entries have docker's exact form", async () => {
  const log = makeLog();
  const writer = log.open();
  writer.append("stdout", Buffer.from('a "q" \\ \t\n'));
  writer.append("stderr", Buffer.from("\x1b[1mä\r\n"));
  writer.close();
  expect(readFileSync(log.path, "utf8")).toBe(
    '{"log":"a \\"q\\" \\\\ \\u0009\\n","stream":"stdout","time":"2023-11-14T22:13:21.5Z"}\n' +
      '{"log":"\\u001b[1mä\\r\\n","stream":"stderr","time":"2023-11-14T22:13:23Z"}\n',
  );
  expect(await read(log)).toBe('a "q" \\ \t\n\x1b[1mä\r\n');
  expect(await read(log, { timestamps: true, stdout: false })).toBe("2023-11-14T22:13:23.000000000Z \x1b[1mä\r\n");
});

test("an unfinished line stays in the pipe, is handed out once, and is finished later", async () => {
  const path = join(directory, "fifo");
  mkfifo(path);
  const pipe = openSync(path, O_RDWR | O_NONBLOCK);
  const log = makeLog();
  const writer = log.open();
  const into = Buffer.alloc(1000);
  writeSync(pipe, "one\ntw");
  expect(writer.pump(pipe, "stdout", 1000, into)).toBe(6);
  expect(fionread(pipe)).toBe(2);
  expect(writer.pump(pipe, "stdout", 1000, into)).toBe(-1);
  writeSync(pipe, "o\nend");
  expect(writer.pump(pipe, "stdout", 1000, into)).toBe(5);
  expect(into.toString("latin1", 0, 5)).toBe("o\nend");
  expect(await read(log)).toBe("one\ntwo\n");
  writer.finish(pipe, "stdout");
  expect(fionread(pipe)).toBe(0);
  writer.close();
  closeSync(pipe);
  expect(await read(log)).toBe("one\ntwo\nend");
});

test("long lines become entries of 16 KiB", async () => {
  const log = makeLog();
  const writer = log.open();
  writer.append("stdout", Buffer.from(`${"x".repeat(40_000)}\n`));
  writer.close();
  const lengths = readFileSync(log.path, "utf8")
    .trimEnd()
    .split("\n")
    .map((line) => (JSON.parse(line) as { log: string }).log.length);
  expect(lengths).toEqual([16384, 16384, 7233]);
  expect(await read(log)).toBe(`${"x".repeat(40_000)}\n`);
});

test("files rotate, are compressed, and read in order; tail reaches back", async () => {
  const log = makeLog({ maxSizeBytes: 1000, maxFiles: 4, compress: true });
  const writer = log.open();
  const followed = read(log, { follow: true, tail: 0 });
  await Bun.sleep(5);
  for (let i = 0; i < 60; i++) {
    writer.append("stdout", Buffer.from(`line ${i}\n`));
    await Bun.sleep(1);
  }
  writer.close();
  await Bun.sleep(20);
  expect(readdirSync(directory).sort()).toEqual(["x-json.log", "x-json.log.1.gz", "x-json.log.2.gz", "x-json.log.3.gz"]);
  expect(await followed).toBe(Array.from({ length: 60 }, (_, i) => `line ${i}\n`).join(""));
  const lines = (await read(log)).trimEnd().split("\n");
  expect(lines.at(-1)).toBe("line 59");
  for (const tail of [0, 1, 20, lines.length, 1000])
    expect(await read(log, { tail })).toBe(tail === 0 ? "" : `${lines.slice(-tail).join("\n")}\n`);
});

test("since and until choose entries by their time", async () => {
  const log = makeLog();
  const writer = log.open();
  for (let i = 0; i < 4; i++) writer.append("stdout", Buffer.from(`line ${i}\n`));
  writer.close();
  const start = 1_700_000_000_000_000_000n;
  expect(await read(log, { sinceNs: start + 3_000_000_000n, untilNs: start + 4_500_000_000n })).toBe("line 1\nline 2\n");
});

test("what docker escapes is escaped, and each byte that is no UTF-8 becomes U+FFFD", () => {
  const log = makeLog();
  const writer = log.open();
  const bad = Buffer.from("a\xff\xc0\x80\xed\xa0\x80\xe2\x82|\xf0\x9f\x98\x80\xf4\x90\x80\x80\xc3\n", "latin1");
  writer.append("stdout", Buffer.from("<&>\u2028\u2029\u2027\u00e9\u20ac\x00\x7f\b\f\n"));
  writer.append("stdout", bad);
  writer.close();
  const [first, second] = readFileSync(log.path, "utf8").split("\n");
  expect(first).toStartWith('{"log":"\\u003c\\u0026\\u003e\\u2028\\u2029\u2027\u00e9\u20ac\\u0000\x7f\\u0008\\u000c\\n","stream"');
  expect(second).toStartWith(`{"log":"a${"\\ufffd".repeat(8)}|\u{1f600}${"\\ufffd".repeat(5)}\\n","stream"`);
});

for (const [compress, maxSizeBytes] of [
  [false, 10_000],
  [true, 10_000],
  [false, 1],
] as const) {
  test(`a burst exceeds max-size ${maxSizeBytes} by less than one entry${compress ? ", compressed" : ""}`, async () => {
    const path = join(directory, "fifo");
    mkfifo(path);
    const pipe = openSync(path, O_RDWR | O_NONBLOCK);
    setPipeSize(pipe, 1 << 20);
    const log = makeLog({ maxSizeBytes, maxFiles: 3, compress });
    const writer = log.open();
    const lines = Array.from({ length: maxSizeBytes === 1 ? 500 : 5000 }, (_, i) => `${i}\n`);
    writeSync(pipe, lines.join(""));
    while (writer.pump(pipe, "stdout", 1 << 20, null) > 0);
    writer.close();
    closeSync(pipe);
    rmSync(path);
    while (compress && readdirSync(directory).some((name) => /\.\d$|\.tmp$/.test(name))) await Bun.sleep(5);
    const suffix = compress ? ".gz" : "";
    expect(readdirSync(directory).sort()).toEqual(["x-json.log", `x-json.log.1${suffix}`, `x-json.log.2${suffix}`]);
    for (const number of compress ? [] : [1, 2]) {
      const text = readFileSync(`${log.path}.${number}`, "utf8");
      expect(text.length).toBeGreaterThanOrEqual(maxSizeBytes);
      expect(text.trimEnd().lastIndexOf("\n") + 1).toBeLessThan(maxSizeBytes);
    }
    const kept = await read(log);
    expect(kept.length).toBeGreaterThan(5);
    expect(lines.join("")).toEndWith(kept);
    expect(statSync(log.path).size).toBeLessThan(maxSizeBytes + 100);
  });
}

test("the half entry of a killed writer is cut off", async () => {
  const log = makeLog();
  const before = log.open();
  before.append("stdout", Buffer.from("one\n"));
  before.close();
  appendFileSync(log.path, '{"log":"tw');
  const after = log.open();
  after.append("stdout", Buffer.from("two\n"));
  after.close();
  expect(await read(log)).toBe("one\ntwo\n");
});

test.skipIf(process.getuid?.() !== 0)("a full disk leaves whole entries", async () => {
  mount("tmpfs", directory, "tmpfs", 0, "size=64k");
  try {
    const log = makeLog();
    const writer = log.open();
    writer.append("stdout", Buffer.from("some line\n".repeat(5000)));
    writer.close();
    const text = readFileSync(log.path, "utf8");
    expect(text.length).toBeGreaterThan(10_000);
    expect(text).toEndWith('Z"}\n');
    const lines = await read(log);
    expect("some line\n".repeat(5000)).toStartWith(lines);
    expect(lines.split("\n").length).toBe(text.split("\n").length);
  } finally {
    umount(directory);
  }
});

test("a turn that a kill cut short is written once", async () => {
  const pipe = join(directory, "pipe");
  mkfifo(pipe);
  const fd = openSync(pipe, O_RDWR | O_NONBLOCK);
  const log = makeLog();
  const first = log.open();
  writeSync(fd, "one\n");
  first.pump(fd, "stdout", 1000, null);
  const start = statSync(log.path).size;
  expect(fionread(fd)).toBe(0);
  // what a writer leaves that dies before it takes the bytes out of the pipe: entries, the last of them torn, and the mark of its turn
  writeSync(fd, "two\nthree\nfour\n");
  const entry = (text: string): string => `{"log":"${text}\\n","stream":"stdout","time":"2023-11-14T22:13:20Z"}\n`;
  appendFileSync(log.path, `${entry("two")}${entry("three")}{"log":"fo`);
  const mark = Buffer.alloc(16);
  mark.writeBigUInt64LE(BigInt(start), 0);
  writeFileSync(`${log.path}.turn`, mark);
  const second = makeLog().open();
  writeSync(fd, "five\n");
  while (second.pump(fd, "stdout", 1000, null) > 0);
  second.finish(fd, "stdout");
  second.close();
  expect(await read(makeLog())).toBe("one\ntwo\nthree\nfour\nfive\n");
  expect(existsSync(`${log.path}.turn`)).toBe(false);
  closeSync(fd);
});

test("a turn that had left the pipe, and lines that only look the same, stay", async () => {
  const pipe = join(directory, "pipe");
  mkfifo(pipe);
  const fd = openSync(pipe, O_RDWR | O_NONBLOCK);
  const first = makeLog().open();
  writeSync(fd, "tick\n");
  first.pump(fd, "stdout", 1000, null);
  // killed here: no turn is under way
  writeSync(fd, "tick\n");
  const second = makeLog().open();
  second.pump(fd, "stdout", 1000, null);
  second.finish(fd, "stdout");
  second.close();
  expect(await read(makeLog())).toBe("tick\ntick\n");
  closeSync(fd);
});
