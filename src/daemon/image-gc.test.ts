import { expect, test } from "bun:test";
import { imageGcSettings } from "./image-gc.ts";

const flags =
  (given: Readonly<Record<string, string>> = {}) =>
  (name: string) =>
    given[name];

test("without settings nothing is collected by itself", () => {
  expect(imageGcSettings({}, flags())).toEqual({ highPercent: undefined, lowPercent: 80, minAgeMs: 3_600_000 });
});

test("the low watermark follows the high one", () => {
  expect(imageGcSettings({ high: "90%" }, flags())).toMatchObject({ highPercent: 90, lowPercent: 85 });
  expect(imageGcSettings({ high: "3" }, flags())).toMatchObject({ highPercent: 3, lowPercent: 1 });
});

test("file and flags go together", () => {
  const settings = imageGcSettings({ low: "50%", "min-age": "0s" }, flags({ "image-gc-high": "60%" }));
  expect(settings).toEqual({ highPercent: 60, lowPercent: 50, minAgeMs: 0 });
});

for (const [inFile, given, message] of [
  [{ high: "80%" }, { "image-gc-high": "90%" }, "specified both as a flag and in the configuration file"],
  [{ high: "80%", low: "80%" }, {}, "low (80%) must be below high (80%)"],
  [{ high: "1%" }, {}, "low (1%) must be below high (1%)"],
  [{ high: "0.85" }, {}, 'invalid high "0.85": must be a percentage'],
  [{ low: "101%" }, {}, 'invalid low "101%"'],
  [{ "min-age": "1 day" }, {}, 'invalid min-age "1 day": must be a duration'],
  [{ higher: "1" }, {}, 'there is no "higher"'],
] as const) {
  test(`${JSON.stringify({ ...inFile, ...given })} is refused`, () => {
    expect(() => imageGcSettings(inFile as Readonly<Record<string, string>>, flags(given))).toThrow(message);
  });
}
