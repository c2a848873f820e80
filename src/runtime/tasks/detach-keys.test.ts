import { expect, test } from "bun:test";
import { DetachFilter, parseDetachKeys } from "./detach-keys.ts";

const feed = (filter: DetachFilter, text: string) => {
  const { forward, detach } = filter.feed(Buffer.from(text, "latin1"));
  return [Buffer.from(forward).toString("latin1"), detach] as const;
};

test("parseDetachKeys() reads letters and ctrl keys", () => {
  expect([...parseDetachKeys("ctrl-p,ctrl-q")]).toEqual([16, 17]);
  expect([...parseDetachKeys("a,ctrl-@,ctrl-[,ctrl-\\,ctrl-],ctrl-^,ctrl-_")]).toEqual([97, 0, 27, 28, 29, 30, 31]);
  expect([...parseDetachKeys("")]).toEqual([]);
});

test("parseDetachKeys() rejects what is no key", () => {
  expect(() => parseDetachKeys("ctrl-A")).toThrow("Invalid detach keys (ctrl-A) provided");
  expect(() => parseDetachKeys("abc")).toThrow("Invalid detach keys (abc) provided");
});

test("a sequence detaches, also across chunks, and is not forwarded", () => {
  const keys = parseDetachKeys("ctrl-p,ctrl-q");
  expect(feed(new DetachFilter(keys), "ab\x10\x11cd")).toEqual(["ab", true]);
  const split = new DetachFilter(keys);
  expect(feed(split, "ab\x10")).toEqual(["ab", false]);
  expect(feed(split, "\x11")).toEqual(["", true]);
});

test("what only begins like the sequence is forwarded later, in order", () => {
  const filter = new DetachFilter(parseDetachKeys("ctrl-p,ctrl-q"));
  expect(feed(filter, "\x10")).toEqual(["", false]);
  expect(feed(filter, "x")).toEqual(["\x10x", false]);
  expect(feed(filter, "\x10\x10")).toEqual(["\x10", false]);
  expect(feed(filter, "\x11")).toEqual(["", true]);
  const repeated = new DetachFilter(parseDetachKeys("a,a,b"));
  expect(feed(repeated, "aaab")).toEqual(["a", true]);
});

test("no keys forward everything", () => {
  expect(feed(new DetachFilter(new Uint8Array(0)), "\x10\x11")).toEqual(["\x10\x11", false]);
});
