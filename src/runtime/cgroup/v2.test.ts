/** What is written where, on plain files: a kernel with cgroup v2 is tried in `test/vm`. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { HostFacts } from "../host.ts";
import { CgroupV2 } from "./v2.ts";

let root: string;
let group: CgroupV2;

const FILES: Readonly<Record<string, string>> = {
  ...{ "memory.max": "max", "memory.swap.max": "max", "memory.low": "0", "memory.high": "max", "memory.current": "1000000" },
  ...{ "cpu.max": "max 100000", "cpu.weight": "100", "cpuset.cpus": "", "cpuset.mems": "", "pids.max": "max", "io.weight": "default 100" },
};
const value = (file: string): string => readFileSync(join(root, "c", file), "utf8").trimEnd();
/** The files that are not as they were. */
const changed = (): Record<string, string> =>
  Object.fromEntries(
    Object.keys(FILES)
      .map((file): [string, string] => [file, value(file)])
      .filter(([file, text]) => text !== FILES[file]),
  );

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "dhow-cgroup-"));
  mkdirSync(join(root, "c"));
  for (const [file, text] of Object.entries(FILES)) writeFileSync(join(root, "c", file), `${text}\n`);
  group = new CgroupV2("/c", { cgroup: { version: 2, unified: root }, limits: { swap: true } } as unknown as HostFacts);
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

/** A plain file keeps the rest of what was longer; the kernel does not. */
const begins = (file: string, text: string): void => expect(value(file)).toStartWith(text);

test("update() writes what is asked for, converted, and nothing else", async () => {
  await group.update({ memory: { limit: 64 << 20, swap: 96 << 20 }, cpu: { quota: 50_000, shares: 512 }, pids: { limit: 100 } });
  begins("memory.max", String(64 << 20));
  begins("memory.swap.max", String(32 << 20));
  begins("cpu.max", "50000 100000");
  begins("cpu.weight", "20");
  begins("pids.max", "100");
  expect(Object.keys(changed()).sort()).toEqual(["cpu.max", "cpu.weight", "memory.max", "memory.swap.max", "pids.max"]);
});

test("update() knows unlimited", async () => {
  writeFileSync(join(root, "c/pids.max"), "7\n");
  await group.update({ memory: { limit: 64 << 20, swap: -1 }, pids: { limit: -1 }, cpu: { quota: -1 } });
  begins("pids.max", "max");
  begins("memory.swap.max", "max");
  begins("cpu.max", "max 100000");
});

test("update() that fails gives the former values back, the last first", async () => {
  rmSync(join(root, "c/pids.max"));
  const change = { memory: { limit: 64 << 20 }, cpu: { cpus: "0" }, pids: { limit: 5 } };
  await expect(group.update(change)).rejects.toThrow(`failed to write "5": write ${root}/c/pids.max: no such file or directory`);
  begins("memory.max", "max");
  expect(value("cpuset.cpus")).toBe("");
});

test("update() refuses less memory than is in use, which the kernel would get by ending processes", async () => {
  await expect(group.update({ memory: { limit: 999_999 } })).rejects.toThrow(/memory\.max: device or resource busy$/);
  expect(changed()["memory.max"]).toBeUndefined();
  begins("memory.high", "max");
});
