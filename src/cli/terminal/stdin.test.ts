import { expect, test } from "bun:test";
import { DetachFilter, parseDetachKeys } from "./stdin.ts";

const text = (bytes: Uint8Array) => Buffer.from(bytes).toString("latin1");
const bytes = (input: string) => Buffer.from(input, "latin1");

test("DetachFilter finds the keys across chunks", () => {
  const filter = new DetachFilter(Uint8Array.of(16, 17));
  expect(filter.push(bytes("ab\x10"))).toMatchObject({ isDetached: false });
  expect(filter.push(bytes("\x11")).isDetached).toBe(true);
});

test("DetachFilter passes on keys that didn't become the sequence", () => {
  const filter = new DetachFilter(Uint8Array.of(16, 17));
  expect(text(filter.push(bytes("a\x10b\x10\x10")).output)).toBe("a\x10b\x10");
  expect(text(filter.push(bytes("c")).output)).toBe("\x10c");
});

test("parseDetachKeys() reads docker's form", () => {
  expect(parseDetachKeys("ctrl-p,ctrl-q")).toEqual(Uint8Array.of(16, 17));
  expect(parseDetachKeys("a,ctrl-@,ctrl-_")).toEqual(Uint8Array.of(97, 0, 31));
  expect(parseDetachKeys("ctrl-1")).toBeUndefined();
});
