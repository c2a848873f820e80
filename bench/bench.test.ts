import { expect, test } from "bun:test";
import { rows } from "./rows/mod.ts";
import { isReached, median, quantile, type Result, ratioOf, renderTable } from "./statistics.ts";

const row: Result = {
  title: "a",
  unit: "ms",
  target: { kind: "ratio", max: 0.15 },
  dhow: [50, 40, 900],
  dockerd: [400, 300, 500],
};

test("median() is the middle sample, or the mean of the middle two", () => {
  expect(median([3, 1, 100])).toBe(3);
  expect(median([4, 1, 2, 3])).toBe(2.5);
  expect(median([])).toBeUndefined();
});

test("quantile() is the sample below which that share lies", () => {
  const samples = Array.from({ length: 100 }, (_, i) => 100 - i);
  expect([quantile(samples, 0.5), quantile(samples, 0.99), quantile(samples, 1), quantile([7], 0.99), quantile([], 0.5)]).toEqual([
    50, 99, 100, 7, 0,
  ]);
});

test("isReached() compares the medians with the target, as precisely as the table prints them", () => {
  expect(ratioOf(row)).toBe(0.125);
  expect(isReached(row)).toBe(true);
  expect(isReached({ ...row, dhow: [61.9] })).toBe(true);
  expect(isReached({ ...row, dhow: [62.1] })).toBe(false);
  expect(isReached({ ...row, target: { kind: "value", max: 49 } })).toBe(false);
  expect(isReached({ ...row, dockerd: [] })).toBeUndefined();
  const { target: _, ...open } = row;
  expect(isReached(open)).toBeUndefined();
});

test("renderTable() prints one line per result, a failed side too", () => {
  const memory: Result = { title: "b", unit: "MiB", target: { kind: "value", max: 1 }, dhow: [1.2], dockerd: [6] };
  expect(renderTable([row, memory, { title: "c", unit: "s", dhow: [0.5], dockerd: [] }])).toBe(
    [
      "| row | dhow | dockerd | ratio | target | reached? |",
      "| --- | --: | --: | --: | --: | --- |",
      "| a | 50.0 ms | 400 ms | 0.13 | ≤ 0.15 | yes |",
      "| b | 1.20 MiB | 6.00 MiB | 0.20 | ≤ 1 MiB | **no** |",
      "| c | 0.500 s | failed |  |  |  |",
    ].join("\n"),
  );
});

test("every row has a key of its own, and every target is there", () => {
  expect(new Set(rows.map((entry) => entry.key)).size).toBe(rows.length);
  expect(rows.flatMap((entry) => Object.values(entry.figures)).filter((figure) => figure.target).length).toBe(38);
});
