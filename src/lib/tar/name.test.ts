import { expect, test } from "bun:test";
import fc from "fast-check";
import { decodeName, encodeName, nameBytes } from "./name.ts";

test("decodeName() and encodeName() keep any bytes", () => {
  fc.assert(fc.property(fc.uint8Array({ maxLength: 40 }), (bytes) => expect([...nameBytes(decodeName(bytes))]).toEqual([...bytes])));
});

test("encodeName() gives plain text as it is and bytes for what is no UTF-8", () => {
  expect(encodeName("grüße")).toBe("grüße");
  expect(encodeName(decodeName(Uint8Array.of(0x61, 0xff)))).toEqual(Buffer.from([0x61, 0xff]));
});
