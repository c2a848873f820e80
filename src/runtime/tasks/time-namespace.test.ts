import { expect, test } from "bun:test";
import { uptime } from "node:os";
import { errorKind } from "../../lib/mod.ts";
import { checkTimeOffsets, inNewTimeNamespace, inTimeNamespaceOf, parseTimeOffsets } from "./time-namespace.ts";

function kindOf(work: () => unknown): string {
  try {
    work();
    return "nothing thrown";
  } catch (error) {
    return errorKind(error);
  }
}

test("parseTimeOffsets() takes one clock or both, in seconds", () => {
  expect(parseTimeOffsets("monotonic=5")).toEqual({ monotonic: 5, boottime: 0 });
  expect(parseTimeOffsets("boottime=-3, monotonic=+7")).toEqual({ monotonic: 7, boottime: -3 });
  for (const text of ["", "5", "realtime=5", "boottime=1.5", "boottime=5m", "boottime=1,boottime=2", "boottime=99999999999"])
    expect(kindOf(() => parseTimeOffsets(text))).toBe("invalid");
});

test("checkTimeOffsets() refuses a clock before its zero", () => {
  expect(kindOf(() => checkTimeOffsets({ monotonic: 0, boottime: -1 }))).toBe("nothing thrown");
  expect(kindOf(() => checkTimeOffsets({ monotonic: 0, boottime: -Math.ceil(uptime()) - 10 }))).toBe("invalid");
});

test.skipIf(process.getuid?.() !== 0)("the command lines make and enter a time namespace (skipped: needs root)", async () => {
  const line = inNewTimeNamespace({ monotonic: 100, boottime: 200 }, ["sh", "-c", "echo; read _"]);
  const child = Bun.spawn(line, { stdin: "pipe", stdout: "pipe" });
  await child.stdout.getReader().read();
  const inside = Bun.spawnSync(inTimeNamespaceOf(child.pid, ["cat", "/proc/self/timens_offsets"]));
  child.kill();
  expect(inside.stdout.toString()).toMatch(/^monotonic\s+100\s+0\nboottime\s+200\s+0\n$/);
});
