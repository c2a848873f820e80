import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { DhowError } from "../lib/mod.ts";
import { parseFilters, parsePlatform, parseTimestamp, Query } from "./decode.ts";

describe("Query", () => {
  test("reads docker's booleans", () => {
    const query = new Query("a=1&b=0&c=false&d=No&e=none&f=&g=True&h=whatever&i=%20FALSE%20");
    expect([..."abcdefghij"].map((key) => query.flag(key))).toEqual([true, false, false, false, false, false, true, true, false, false]);
    expect(query.flag("j", true)).toBe(true);
    expect(query.flag("b", true)).toBe(false);
  });

  test("reads numbers and refuses others with Go's words", () => {
    const query = new Query("a=-1&b=x&c=99999999999999999999&h=24&w=abc");
    expect(query.integer("a")).toBe(-1);
    expect(query.integer("none")).toBeUndefined();
    expect(() => query.integer("b")).toThrow('strconv.Atoi: parsing "x": invalid syntax');
    expect(() => query.integer("c")).toThrow('strconv.Atoi: parsing "99999999999999999999": value out of range');
    expect(query.dimension("h", "height")).toBe(24);
    expect(() => query.dimension("w", "width")).toThrow('invalid resize width "abc": invalid syntax');
    expect(() => query.dimension("a", "width")).toThrow('invalid resize width "-1": value out of range');
    expect(() => query.dimension("none", "height")).toThrow('invalid resize height "": invalid syntax');
  });
});

describe("parseFilters()", () => {
  test("takes both forms", () => {
    expect(parseFilters('{"label":{"a":true,"b=c":false},"label!":["d"]}')).toEqual({ label: ["a", "b=c"], "label!": ["d"] });
    expect(parseFilters("")).toEqual({});
  });

  test("refuses what is neither", () => {
    for (const text of ["x", "[]", '"a"', '{"a":1}', '{"a":{"b":1}}', '{"a":[1]}'])
      expect(() => parseFilters(text)).toThrow(/^invalid filter$/);
  });

  test("refuses a key that is not accepted", () => {
    expect(() => parseFilters('{"bogus":["x"]}', new Set(["label"]))).toThrow("invalid filter 'bogus'");
  });
});

describe("times", () => {
  const now = Date.parse("2026-01-02T03:04:05Z");

  test("parseTimestamp() takes seconds with a fraction, dates and durations", () => {
    expect(parseTimestamp("1136073600", now)).toBe(1_136_073_600_000_000_000n);
    expect(parseTimestamp("1136073600.000000001", now)).toBe(1_136_073_600_000_000_001n);
    expect(parseTimestamp("1.5", now)).toBe(1_500_000_000n);
    expect(parseTimestamp("2006-01-02T15:04:05.123456789Z", now)).toBe(1_136_214_245_123_456_789n);
    expect(parseTimestamp("2006-01-02T15:04:05+01:00", now)).toBe(1_136_210_645_000_000_000n);
    expect(parseTimestamp("2006-01-02", now)).toBe(1_136_160_000_000_000_000n);
    expect(parseTimestamp("1h30m", now)).toBe(BigInt(now) * 1_000_000n - 5_400_000_000_000n);
    expect(() => parseTimestamp("yesterday", now)).toThrow('invalid timestamp "yesterday": invalid seconds "yesterday": invalid syntax');
  });

  test("parseTimestamp() refuses what Go's 64 bits don't hold, and does so at once", () => {
    for (const text of ["9223372036854775808", "9".repeat(100_000)]) {
      expect(() => parseTimestamp(text, now)).toThrow("value out of range");
    }
    for (const text of ["1.", ".5", `${"9".repeat(400)}h`, `${"1".repeat(100_000)}x`, "2020-13-45"]) {
      expect(() => parseTimestamp(text, now)).toThrow("invalid syntax");
    }
  });

  test("parseTimestamp() gives a time or says that there is none, whatever the text", () => {
    const pieces = fc.array(fc.constantFrom("1", "99", ".", "-", "+", ":", "T", "Z", "h", "ms", "2006-01-02", "15:04", " "), {
      maxLength: 8,
    });
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string(),
          pieces.map((all) => all.join("")),
        ),
        (text) => {
          try {
            expect(typeof parseTimestamp(text, now)).toBe("bigint");
          } catch (error) {
            expect(error).toBeInstanceOf(DhowError);
          }
        },
      ),
      { interruptAfterTimeLimit: 1_000, numRuns: 2_000 },
    );
  });
});

test("parsePlatform() reads an OCI platform", () => {
  expect(parsePlatform('{"os":"linux","architecture":"arm64","variant":"v8"}')).toBe("linux/arm64/v8");
  expect(() => parsePlatform("linux/amd64")).toThrow("failed to parse platform");
  expect(() => parsePlatform('{"os":"linux"}')).toThrow("both OS and Architecture must be provided");
});
