import { expect, test } from "bun:test";
import { ChunkedBody } from "./chunked-body.ts";

const SENT = '4\r\n{"a"\r\n3;x=y\r\n:1}\r\n0\r\nTrailer: x\r\n\r\nrest';

function feed(text: string, step: number): { readonly body: string; readonly rest: string | undefined } {
  const body = new ChunkedBody(100);
  const bytes = Buffer.from(text);
  for (let at = 0; at < bytes.length; at += step) {
    const rest = body.push(bytes.subarray(at, at + step));
    if (rest !== undefined)
      return { body: body.bytes().toString(), rest: Buffer.from(rest).toString() + bytes.toString("utf8", at + step) };
  }
  return { body: "", rest: undefined };
}

test.each([1, 2, 3, 7, 1000])("a body in chunks that arrives %d bytes at a time", (step) => {
  expect(feed(SENT, step)).toEqual({ body: '{"a":1}', rest: "rest" });
});

test("an empty body, and one that has not ended", () => {
  expect(feed("0\r\n\r\n", 10)).toEqual({ body: "", rest: "" });
  expect(feed("4\r\n{", 10).rest).toBeUndefined();
});

test.each([
  ["x\r\n", "invalid byte in chunk length"],
  ["\r\n", "invalid byte in chunk length"],
  ["1\r\naa\r\n", "malformed chunked encoding"],
  ["ff\r\n", "request body too large: limit is 100 bytes"],
  [`1;${"x".repeat(5000)}`, "header line too long"],
])("%p is refused", (text, message) => {
  expect(() => feed(text, 10_000)).toThrow(`invalid JSON: ${message}`);
});
