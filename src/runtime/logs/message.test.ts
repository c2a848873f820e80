import { expect, test } from "bun:test";
import { type LogMessage, MESSAGE_BYTES, MessageCutter } from "./message.ts";

function feed(cutter: MessageCutter, text: string, end: number, segment = 1): LogMessage[] {
  return [...cutter.feed("stdout", Buffer.from(text), { timeNs: BigInt(end), segment, end })];
}

test("feed() gives whole lines with the place behind them", () => {
  const cutter = new MessageCutter();
  const messages = [...feed(cutter, "one\ntw", 6), ...feed(cutter, "o\n\nrest", 13)];
  expect(messages.map(({ line, end, partial }) => [line.toString(), end, partial])).toEqual([
    ["one", 4, undefined],
    ["two", 8, undefined],
    ["", 9, undefined],
  ]);
  expect([...cutter.flush("stdout")].map(({ line, end, partial }) => [line.toString(), end, partial?.isLast])).toEqual([
    ["rest", 13, false],
  ]);
  expect([...cutter.flush("stdout")]).toEqual([]);
});

test("a long line becomes parts of 16 KiB with one id and the time of the first", () => {
  const cutter = new MessageCutter();
  const text = `${"x".repeat(2 * MESSAGE_BYTES)}y\nnext\n`;
  const messages = [...feed(cutter, text.slice(0, 20_000), 20_000), ...feed(cutter, text.slice(20_000), text.length)];
  expect(messages.map(({ line, partial }) => [line.length, partial?.ordinal, partial?.isLast])).toEqual([
    [MESSAGE_BYTES, 1, false],
    [MESSAGE_BYTES, 2, false],
    [1, 3, true],
    [4, undefined, undefined],
  ]);
  expect(new Set(messages.slice(0, 3).map(({ partial }) => partial?.id)).size).toBe(1);
  expect(messages.map(({ timeNs }) => timeNs)).toEqual([20_000n, 20_000n, 20_000n, BigInt(text.length)]);
  expect(messages.map(({ end }) => end)).toEqual([MESSAGE_BYTES, 2 * MESSAGE_BYTES, text.length - 5, text.length]);
});

test("a line of exactly 16 KiB ends with an empty part, as docker's does", () => {
  const messages = feed(new MessageCutter(), `${"x".repeat(MESSAGE_BYTES)}\n`, MESSAGE_BYTES + 1);
  expect(messages.map(({ line, partial }) => [line.length, partial?.isLast])).toEqual([
    [MESSAGE_BYTES, false],
    [0, true],
  ]);
});

test("skip() leaves out what is left of a line whose beginning is missing", () => {
  const cutter = new MessageCutter();
  feed(cutter, "begun", 5);
  cutter.skip();
  expect(feed(cutter, "of another\nwhole\n", 17, 4).map(({ line }) => line.toString())).toEqual(["whole"]);
});

test("bytes that are no text stay as they are", () => {
  const bytes = Buffer.of(0xff, 0, 0xfe, 10);
  const [message] = new MessageCutter().feed("stderr", bytes, { timeNs: 0n, segment: 1, end: 4 });
  expect(message?.line).toEqual(Buffer.of(0xff, 0, 0xfe));
});
