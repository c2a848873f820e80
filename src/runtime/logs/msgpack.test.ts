import { expect, test } from "bun:test";
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
