import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { bytesSize, humanSize, parseBytes, parseDuration } from "./units.ts";

describe("parseDuration()", () => {
  const cases: readonly (readonly [string, bigint | undefined])[] = [
    ["1.5s", 1_500_000_000n],
    ["-2ms3us4ns", -2_003_004n],
    ["+1h", 3_600_000_000_000n],
    ["-0", 0n],
    [".5s", 500_000_000n],
    ["1.s", 1_000_000_000n],
    ["0.3333333333333333333h", 1_199_999_999_999n],
    ["2562047h47m16.854775807s", 2n ** 63n - 1n],
    ["2562047h47m16.854775808s", undefined],
    ["9223372036854775808ns", undefined],
    ["10", undefined],
    ["1d", undefined],
    ["", undefined],
    [".s", undefined],
    ["1..5s", undefined],
    ["1h-1m", undefined],
  ];
  for (const [text, expected] of cases) test(`of ${JSON.stringify(text)}`, () => expect(parseDuration(text)).toBe(expected));

  test("reads what is printed, in any cut", () => {
    const part = fc.tuple(fc.nat(2 ** 31), fc.constantFrom("h", "m", "s", "ms", "us", "ns"));
    const units: Readonly<Record<string, bigint>> = {
      h: 3600n * 10n ** 9n,
      m: 60n * 10n ** 9n,
      s: 10n ** 9n,
      ms: 10n ** 6n,
      us: 1000n,
      ns: 1n,
    };
    fc.assert(
      fc.property(fc.array(part, { minLength: 1, maxLength: 5 }), fc.boolean(), (parts, isNegative) => {
        const sum = parts.reduce((total, [amount, unit]) => total + BigInt(amount) * (units[unit] ?? 0n), 0n);
        const text = `${isNegative ? "-" : ""}${parts.map((pair) => pair.join("")).join("")}`;
        expect(parseDuration(text)).toBe(sum >= 2n ** 63n ? undefined : isNegative ? -sum : sum);
      }),
    );
  });

  test("takes no time for long texts", () => {
    expect(parseDuration(`${"1".repeat(200_000)}x`)).toBeUndefined();
    expect(parseDuration(`${"1".repeat(200_000)}h`)).toBeUndefined();
    expect(parseDuration(`0.${"1".repeat(200_000)}s`)).toBe(111_111_111n);
  });
});

test("parseBytes() reads what humanSize() and bytesSize() print, as near as they print it", () => {
  fc.assert(
    fc.property(fc.nat(Number.MAX_SAFE_INTEGER), (bytes) => {
      expect(Math.abs((parseBytes(bytesSize(bytes)) ?? -1) - bytes)).toBeLessThanOrEqual(bytes / 1000 + 1);
      expect(humanSize(bytes)).toMatch(/^\d+(\.\d+)?(B|kB|MB|GB|TB|PB)$/);
    }),
  );
});

test("parseBytes() takes any text", () => {
  fc.assert(fc.property(fc.string(), (text) => expect(["number", "undefined"]).toContain(typeof parseBytes(text))));
});
