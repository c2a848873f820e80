import { expect, test } from "bun:test";
import fc from "fast-check";
import { errorMessage } from "../lib/mod.ts";
import { mediaType } from "./media-type.ts";

function said(header: string): string {
  try {
    return mediaType(header);
  } catch (error) {
    return errorMessage(error).slice(`malformed Content-Type header (${header}): mime: `.length);
  }
}

// each right side was printed by Go's mime.ParseMediaType
const headers: readonly (readonly [string, string])[] = [
  ["application/json", "application/json"],
  ["Application/JSON ; charset=UTF-8", "application/json"],
  ["application/json;", "application/json"],
  ['application/json; a="b;\\"c"', "application/json"],
  ["application", "application"],
  ["application/json; a=b; a=b", "application/json"],
  ["", "no media type"],
  ["/json", "no media type"],
  ["application json", "expected slash after first token"],
  ["application/", "expected token after slash"],
  ["application/json, text/plain", "unexpected content after media subtype"],
  ["application/json;;", "invalid media parameter"],
  ["application/json; x", "invalid media parameter"],
  ["application/json; a=", "invalid media parameter"],
  ["application/json; a=b; a=c", "duplicate parameter name"],
];
for (const [header, expected] of headers) {
  test(`mediaType() of ${JSON.stringify(header)}`, () => expect(said(header)).toBe(expected));
}

test("mediaType() takes any text, and its own answers", () => {
  fc.assert(
    fc.property(
      fc.oneof(
        fc.string(),
        fc.array(fc.constantFrom("a", "/", ";", "=", '"', "\\", " ", ","), { maxLength: 30 }).map((all) => all.join("")),
      ),
      (header) => {
        let type: string;
        try {
          type = mediaType(header);
        } catch (error) {
          expect(errorMessage(error)).toStartWith("malformed Content-Type header (");
          return;
        }
        expect(mediaType(type)).toBe(type);
      },
    ),
    { interruptAfterTimeLimit: 1_000, numRuns: 1_000 },
  );
});
