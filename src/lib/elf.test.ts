import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import fc from "fast-check";
import { readElf } from "./elf.ts";

const reading = (bytes: Uint8Array) => (offset: number, length: number) => bytes.subarray(offset, offset + length);

test("readElf() knows this very program", () => {
  const own = process.arch === "arm64" ? "arm64" : "amd64";
  const found = readElf(reading(readFileSync(process.execPath)));
  expect(found?.architecture).toBe(own);
  expect(found?.interpreter).toMatch(/^\/lib.*ld-/);
});

test("readElf() finds no loader in a static program, and nothing in what is none", () => {
  const bytes = new Uint8Array(64);
  bytes.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]);
  new DataView(bytes.buffer).setUint16(18, 183, true);
  expect(readElf(reading(bytes))).toEqual({ architecture: "arm64", interpreter: undefined });
  expect(readElf(reading(Buffer.from("#!/bin/sh\n".padEnd(100))))).toBeUndefined();
  expect(readElf(reading(new Uint8Array(10)))).toBeUndefined();
});

test("readElf() trusts no offset", () => {
  const magic = [0x7f, 0x45, 0x4c, 0x46];
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 60, maxLength: 400 }), (rest) => {
      readElf(reading(Uint8Array.from([...magic, ...rest])));
    }),
  );
});
