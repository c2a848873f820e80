import { expect, test } from "bun:test";
import { type RestartInput, restartDelay } from "./restart.ts";

const base: RestartInput = {
  policy: { Name: "on-failure", MaximumRetryCount: 2 },
  exitCode: 1,
  hasBeenManuallyStopped: false,
  restartCount: 0,
  ranMs: 5,
  lastDelayMs: 0,
};

test("restartDelay() doubles up to a minute and begins anew after a good run", () => {
  const always = { ...base, policy: { Name: "always" } };
  expect(restartDelay(always)).toBe(100);
  expect(restartDelay({ ...always, lastDelayMs: 100 })).toBe(200);
  expect(restartDelay({ ...always, lastDelayMs: 51_200 })).toBe(60_000);
  expect(restartDelay({ ...always, lastDelayMs: 60_000, ranMs: 10_000 })).toBe(100);
});

test("restartDelay() follows the policy", () => {
  expect(restartDelay(base)).toBe(100);
  expect(restartDelay({ ...base, exitCode: 0 })).toBeUndefined();
  expect(restartDelay({ ...base, restartCount: 2 })).toBeUndefined();
  expect(restartDelay({ ...base, hasBeenManuallyStopped: true })).toBeUndefined();
  expect(restartDelay({ ...base, policy: { Name: "no" } })).toBeUndefined();
});
