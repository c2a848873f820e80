import { expect, test } from "bun:test";
import { formatTime } from "../../lib/mod.ts";
import { type HealthState, healthCommand, initialHealth, nextHealth } from "./health.ts";

const SECOND = 1_000_000_000;
const at = (seconds: number): string => formatTime(BigInt(1_700_000_000 + seconds) * 1_000_000_000n);
const result = (ExitCode: number, seconds = 0) => ({ Start: at(seconds), End: at(seconds), ExitCode, Output: `${seconds}` });
const after = (config: object, ...results: readonly ReturnType<typeof result>[]): HealthState =>
  results.reduce((health, next) => nextHealth(health, next, config, at(0)), initialHealth(undefined));

test("nextHealth() counts failures up to the retries, and begins anew at a success", () => {
  expect(after({}, result(1), result(2))).toMatchObject({ status: "starting", failingStreak: 2 });
  expect(after({}, result(1), result(2), result(1))).toMatchObject({ status: "unhealthy", failingStreak: 3 });
  expect(after({ Retries: 1 }, result(0), result(1))).toMatchObject({ status: "unhealthy", failingStreak: 1 });
  expect(after({ Retries: 1 }, result(1), result(0))).toMatchObject({ status: "healthy", failingStreak: 0 });
});

test("nextHealth() forgives in the start period, until the first success", () => {
  const config = { Retries: 2, StartPeriod: 10 * SECOND };
  expect(after(config, result(1, 1), result(1, 9))).toMatchObject({ status: "starting", failingStreak: 0 });
  expect(after(config, result(1, 9), result(1, 10))).toMatchObject({ status: "starting", failingStreak: 1 });
  expect(after(config, result(0, 1), result(1, 2), result(1, 3))).toMatchObject({ status: "unhealthy", failingStreak: 2 });
});

test("nextHealth() keeps five results; a new start keeps them, too", () => {
  const health = after({}, ...[1, 2, 3, 4, 5, 6, 7].map((seconds) => result(1, seconds)));
  expect(health.log.map((entry) => entry?.Output)).toEqual(["3", "4", "5", "6", "7"]);
  expect(initialHealth(health)).toEqual({ status: "starting", failingStreak: 0, log: health.log });
});

test("healthCommand() takes docker's forms", () => {
  expect(healthCommand({ Test: ["CMD", "a", "b"] }, null)).toEqual(["a", "b"]);
  expect(healthCommand({ Test: ["CMD-SHELL", "a b"] }, null)).toEqual(["/bin/sh", "-c", "a b"]);
  expect(healthCommand({ Test: ["CMD-SHELL", "a b"] }, ["/bin/bash", "-ec"])).toEqual(["/bin/bash", "-ec", "a b"]);
  expect(healthCommand({ Test: ["NONE"] }, null)).toBeUndefined();
  expect(healthCommand({ Test: [] }, null)).toBeUndefined();
});
