import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { silentLogger } from "../../lib/mod.ts";
import { type LogWriter, WHOLE_LOG } from "./driver.ts";
import { LocalLog } from "./local.ts";
import type { LogMessage } from "./message.ts";
import type { LogReceiver } from "./receiver.ts";
import { type Overflow, RemoteLog } from "./remote.ts";

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "remote-log-"));
});
afterEach(() => rmSync(dir, { recursive: true }));

/** A receiver in memory: takes messages, is slow, or is not there. */
class Memory implements LogReceiver {
  readonly got: LogMessage[] = [];
  readonly isRequired = false;
  readonly isCheckedAtStart = true;
  state: "here" | "hangs" | "gone" = "here";

  async connect(): Promise<void> {
    if (this.state === "gone") throw new Error("nobody there");
  }

  async send(messages: readonly LogMessage[], signal: AbortSignal): Promise<void> {
    await this.connect();
    while (this.state === "hangs" && !signal.aborted) await Bun.sleep(2);
    if (signal.aborted) throw new Error("stopped");
    this.got.push(...messages);
  }

  close(): void {
    // there is no connection
  }

  retryDelayMs(): number {
    return 2;
  }

  get lines(): string[] {
    return this.got.map(({ line }) => line.toString());
  }
}

interface Options {
  readonly overflow?: Overflow;
  readonly maxSizeBytes?: number;
}

function makeLog(receiver: Memory, { overflow = { kind: "wait" }, maxSizeBytes = 1_000_000 }: Options = {}): RemoteLog {
  let now = 0n;
  const clock = (): bigint => ++now;
  const attributes = (): Record<string, string> => ({});
  const store = new LocalLog({ dir, maxSizeBytes, maxFiles: 2, compress: false, attributes, clock, log: silentLogger });
  return new RemoteLog({ name: "memory", store, dir, canRead: true, createReceiver: () => receiver, overflow, log: silentLogger });
}

async function until(what: string, isSo: () => boolean): Promise<void> {
  for (let i = 0; i < 5000; i++) {
    if (isSo()) return;
    await Bun.sleep(1);
  }
  throw new Error(`waited in vain: ${what}`);
}

function write(writer: LogWriter, from: number, to: number): void {
  for (let i = from; i < to; i += 100) {
    writer.append("stdout", Buffer.from(`${lines(i, Math.min(i + 100, to)).join("\n")}\n`));
  }
}

function lines(from: number, to: number): string[] {
  return Array.from({ length: to - from }, (_, i) => `line ${from + i}`);
}

describe("a remote log", () => {
  test("sends what is written, in parts of runs that end", async () => {
    const receiver = new Memory();
    const log = makeLog(receiver);
    await log.prepare();
    const first = log.open(() => {});
    first.append("stdout", Buffer.from("one\nunfinished"));
    first.append("stderr", Buffer.from("err\n"));
    first.close();
    const second = log.open(() => {});
    second.append("stdout", Buffer.from("two\n"));
    second.close();
    await log.remote.finish(5000);
    expect(receiver.lines.sort()).toEqual(["err", "one", "two", "unfinished"]);
    expect(receiver.got.find(({ line }) => line.toString() === "unfinished")?.partial?.isLast).toBe(false);
  });

  test("prepare() fails when the receiver is not there", async () => {
    const receiver = new Memory();
    receiver.state = "gone";
    await expect(makeLog(receiver).prepare()).rejects.toThrow("nobody there");
  });

  test("is full while the receiver hangs, tells when there is room, and keeps what was not sent", async () => {
    const receiver = new Memory();
    receiver.state = "hangs";
    const log = makeLog(receiver, { maxSizeBytes: 20_000 });
    let rooms = 0;
    const writer = log.open(() => rooms++);
    let count = 0;
    for (; !writer.isFull; count += 1000) {
      write(writer, count, count + 1000);
      // the reader fills its queue
      await Bun.sleep(1);
    }
    expect(rooms).toBe(0);
    receiver.state = "here";
    await until("there is room", () => rooms > 0 && !writer.isFull);
    writer.close();
    await log.remote.finish(5000);
    expect(receiver.lines).toEqual(lines(0, count));
  });

  test("is never full for a receiver that has gone; what the limits delete meanwhile is lost, in whole lines", async () => {
    const receiver = new Memory();
    receiver.state = "gone";
    const log = makeLog(receiver, { maxSizeBytes: 1_000_000 });
    const writer = log.open(() => {});
    write(writer, 0, 1);
    await Bun.sleep(20);
    for (let i = 1; i < 200_000; i += 20_000) {
      writer.append("stdout", Buffer.from(`${lines(i, i + 20_000).join(` ${"x".repeat(100)}\n`)}\n`));
      expect(writer.isFull).toBe(false);
      await Bun.sleep(0);
    }
    receiver.state = "here";
    write(writer, 500_000, 500_001);
    await until("the last line", () => receiver.lines.at(-1) === "line 500000");
    expect(writer.isFull).toBe(false);
    writer.close();
    await log.remote.finish(10_000);
    const numbers = receiver.lines.map((line) => Number(/^line (\d+)( x+)?$/.exec(line)?.[1] ?? Number.NaN));
    expect(numbers.at(-1)).toBe(500_000);
    expect(numbers.length).toBeLessThan(200_000);
    expect(numbers.every((number, i) => i === 0 || number > (numbers[i - 1] ?? 0))).toBe(true);
  });

  test("drops the newest messages in non-blocking mode", async () => {
    const receiver = new Memory();
    receiver.state = "hangs";
    const log = makeLog(receiver, { overflow: { kind: "drop", above: { bytes: 100, count: 1000 } } });
    const writer = log.open(() => {});
    for (let i = 0; i < 100; i++) {
      write(writer, i * 10, i * 10 + 10);
      await Bun.sleep(0);
    }
    expect(writer.isFull).toBe(false);
    receiver.state = "here";
    writer.close();
    await log.remote.finish(5000);
    expect(receiver.lines.length).toBeLessThan(1000);
    expect(receiver.lines).toEqual(lines(0, 1000).filter((line) => receiver.lines.includes(line)));
    expect(receiver.lines.slice(0, 10)).toEqual(lines(0, 10));
  });

  test("goes on in another process behind what was sent", async () => {
    const receiver = new Memory();
    const log = makeLog(receiver);
    const writer = log.open(() => {});
    write(writer, 0, 100);
    await until("all are sent", () => receiver.got.length === 100);
    receiver.state = "gone";
    write(writer, 100, 200);
    // nothing is closed: the process was killed
    const next = new Memory();
    const again = makeLog(next);
    again.remote.resume();
    await again.remote.finish(5000);
    expect(next.lines).toEqual(lines(100, 200));
    const last = new Memory();
    const third = makeLog(last);
    third.open(() => {}).close();
    const run = third.open(() => {});
    write(run, 200, 201);
    run.close();
    await third.remote.finish(5000);
    expect(last.lines).toEqual(lines(200, 201));
    await log.remote.finish(0);
  });

  test("clearing hides the past from readers, and sends it all the same", async () => {
    const receiver = new Memory();
    receiver.state = "hangs";
    const log = makeLog(receiver);
    const writer = log.open(() => {});
    write(writer, 0, 3);
    log.clear();
    write(writer, 3, 5);
    let text = "";
    for await (const { data } of log.read(WHOLE_LOG)) text += Buffer.from(data).toString();
    expect(text).toBe("line 3\nline 4\n");
    receiver.state = "here";
    writer.close();
    await log.remote.finish(5000);
    expect(receiver.lines).toEqual(lines(0, 5));
    expect(readdirSync(dir)).toContain("cleared");
  });
});
