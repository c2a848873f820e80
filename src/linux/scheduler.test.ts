import { expect, test } from "bun:test";
import { getPriority, setPriority } from "node:os";
import { unameInfo } from "./process.ts";
import { setTimeSlice, timeSlice } from "./scheduler.ts";
import { thrownCode } from "./test-support.ts";

const [major = 0, minor = 0] = unameInfo().release.split(".").map(Number);
const isOfOneLength = major < 6 || (major === 6 && minor < 12);

// Linux 6.12 was the first with turns of a thread's own
test.skipIf(isOfOneLength)("setTimeSlice() is for this thread alone, and leaves its nice value", async () => {
  const usual = timeSlice();
  try {
    setPriority(3);
    setTimeSlice(200_000);
    expect(timeSlice()).toBe(200_000);
    expect(getPriority()).toBe(3);
    const child = Bun.spawn(["sleep", "60"]);
    try {
      expect(timeSlice(child.pid)).toBe(usual);
      expect(getPriority(child.pid)).toBe(3);
    } finally {
      child.kill("SIGKILL");
      await child.exited;
    }
  } finally {
    setTimeSlice(usual);
  }
  expect(thrownCode(() => timeSlice(2 ** 22 + 1))).toBe("ESRCH");
});
