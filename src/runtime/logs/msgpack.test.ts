import { expect, test } from "bun:test";
import fc from "fast-check";
import { decodeAck, EventTime, encodeMsgpack } from "./msgpack.ts";

test("encodeMsgpack() writes the shortest headers", () => {
  expect(encodeMsgpack(["a", 5, { k: "v" }]).toString("hex")).toBe("93a16105" + "81a16ba176");
  expect(encodeMsgpack("x".repeat(32)).subarray(0, 2).toString("hex")).toBe("d920");
  expect(encodeMsgpack("x".repeat(300)).subarray(0, 3).toString("hex")).toBe("da012c");
  expect(encodeMsgpack("x".repeat(70_000)).subarray(0, 5).toString("hex")).toBe("db00011170");
  expect(encodeMsgpack(new Array(20).fill(1)).subarray(0, 3).toString("hex")).toBe("dc0014");
  expect(encodeMsgpack(1_700_000_000).toString("hex")).toBe("ce6553f100");
  expect(encodeMsgpack(Buffer.of(0xff)).toString("hex")).toBe("a1ff");
  expect(encodeMsgpack(new EventTime(1_700_000_000_000_000_001n)).toString("hex")).toBe("d7006553f10000000001");
});

test("decodeAck() waits for all bytes", () => {
  const bytes = encodeMsgpack({ ack: "c2hvcnQ=" });
  for (let length = 0; length < bytes.length; length++) expect(decodeAck(bytes.subarray(0, length))).toBeUndefined();
  expect(decodeAck(bytes)).toBe("c2hvcnQ=");
  expect(() => decodeAck(Buffer.from("HTTP/1.1"))).toThrow("no acknowledgement");
});

test("decodeAck() takes any bytes, in any cut", () => {
  fc.assert(
    fc.property(
      fc.oneof(fc.uint8Array({ maxLength: 40 }), fc.dictionary(fc.string(), fc.string(), { maxKeys: 3 }).map(encodeMsgpack)),
      fc.nat(40),
      (bytes, length) => {
        const read = (all: Buffer): string | undefined => {
          try {
            return decodeAck(all);
          } catch (error) {
            expect((error as Error).message).toContain("no acknowledgement");
            return "refused";
          }
        };
        const whole = read(Buffer.from(bytes));
        const part = read(Buffer.from(bytes).subarray(0, length));
        if (part !== undefined && length > 0) expect(part).toBe(whole ?? part);
      },
    ),
    { interruptAfterTimeLimit: 1_000, numRuns: 5_000 },
  );
});
