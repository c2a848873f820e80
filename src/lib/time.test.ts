import { expect, setSystemTime, test } from "bun:test";
import { nowNs } from "./time.ts";

test("nowNs() is the system's time, also once that is set", () => {
  const before = BigInt(Date.now()) * 1_000_000n;
  const now = nowNs();
  expect(now).toBeGreaterThanOrEqual(before);
  expect(now).toBeLessThan(BigInt(Date.now() + 1) * 1_000_000n);
  try {
    setSystemTime(new Date("2040-01-01T00:00:00Z"));
    expect(nowNs()).toBe(BigInt(Date.now()) * 1_000_000n);
  } finally {
    setSystemTime();
  }
});
