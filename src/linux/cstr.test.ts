import { expect, test } from "bun:test";
import { isKind } from "../lib/mod.ts";
import { cstr, fromCstr } from "./cstr.ts";

test("cstr() ends text and bytes with a NUL", () => {
  expect([...cstr("aé")]).toEqual([0x61, 0xc3, 0xa9, 0]);
  expect([...cstr(new Uint8Array([0xff, 0x61]))]).toEqual([0xff, 0x61, 0]);
  expect([...cstr("")]).toEqual([0]);
});

test("cstr() refuses a NUL inside", () => {
  for (const bad of ["a\0b", new Uint8Array([1, 0])]) {
    let error: unknown;
    try {
      cstr(bad);
    } catch (caught) {
      error = caught;
    }
    expect(isKind(error, "invalid")).toBe(true);
  }
});

test("fromCstr() stops at the NUL or at the field's end", () => {
  const bytes = Buffer.from("ab\0cdef");
  expect(fromCstr(bytes)).toBe("ab");
  expect(fromCstr(bytes, 3, 2)).toBe("cd");
  expect(fromCstr(bytes.subarray(3), 1)).toBe("def");
});
