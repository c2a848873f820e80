import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { closeSync, existsSync, mkdtempSync, openSync, readFileSync, rmdirSync, writeSync } from "node:fs";
import { silentLogger } from "../../lib/mod.ts";
import { Reactor } from "../../linux/mod.ts";
import { cannotRun, Sandbox } from "../spec/test-support.ts";
import { cgroupOf, destroy, freeze, thaw } from "./cgroup.ts";
import { isGroupGone, writeCgroupFile } from "./cgroup-files.ts";
import { MigrationWarmer } from "./migration-warmer.ts";
import { OomWatch } from "./oom-watch.ts";
import { cgroupsPathFor, groupsIn } from "./parent.ts";
import { parseSystemCpu, systemCpu } from "./system-cpu.ts";
import { parseBlkio } from "./v1.ts";
import { parseIoStat, sharesToWeight } from "./v2.ts";

let box: Sandbox;
let reactor: Reactor;
if (cannotRun === undefined) {
  beforeAll(() => {
    box = new Sandbox();
    reactor = new Reactor(silentLogger);
  });
  afterAll(async () => {
    await box[Symbol.asyncDispose]();
    reactor.close();
  });
}

const state = (pid: number): string => /^State:\t(\S)/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1] ?? "";

describe.skipIf(cannotRun !== undefined)(
  `cgroups of running containers${cannotRun === undefined ? "" : ` (skipped: ${cannotRun})`}`,
  () => {
    test("stats() counts memory, processor time and processes", () => {
      const { cgroupPath, pid } = box.start("i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done; sleep 1000", {
        Memory: 64 << 20,
        PidsLimit: 50,
      });
      const cgroup = cgroupOf(cgroupPath, box.facts);
      const stats = cgroup.stats();
      expect(cgroup.exists()).toBe(true);
      expect(cgroup.pids()).toContain(pid);
      expect(stats.memory_stats.limit).toBe(64 << 20);
      expect(stats.memory_stats.usage).toBeGreaterThan(0);
      expect(stats.memory_stats.stats).toHaveProperty("inactive_file");
      expect(stats.cpu_stats?.cpu_usage?.total_usage).toBeGreaterThan(0);
      expect(stats.pids_stats?.limit).toBe(50);
      expect(stats.pids_stats?.current).toBeGreaterThan(0);
      expect(cgroup.oomKills()).toBe(0);
    });

    test("freeze() stops every process, thaw() lets them go on", async () => {
      const { cgroupPath, pid } = box.start("while true; do sleep 0.01; done");
      const cgroup = cgroupOf(cgroupPath, box.facts);
      await freeze(cgroup);
      expect(cgroup.freezeState()).toBe("frozen");
      expect(state(pid)).toBe("D");
      thaw(cgroup);
      expect(cgroup.freezeState()).toBe("thawed");
    });

    test("a group that goes while its file is open is known to be gone", () => {
      const parent = existsSync("/sys/fs/cgroup/freezer") ? "/sys/fs/cgroup/freezer" : "/sys/fs/cgroup";
      const group = mkdtempSync(`${parent}/dhow-test-`);
      const file = openSync(`${group}/cgroup.procs`, "w");
      rmdirSync(group);
      const attempt = (work: () => void): unknown => {
        try {
          work();
        } catch (error) {
          return error;
        }
        return undefined;
      };
      expect(isGroupGone(attempt(() => writeSync(file, "0")))).toBe(true);
      expect(isGroupGone(attempt(() => writeCgroupFile(`${group}/cgroup.procs`, 0)))).toBe(true);
      closeSync(file);
    });

    test("update() changes limits up and down", async () => {
      const { cgroupPath } = box.start("sleep 1000", { Memory: 64 << 20, MemorySwap: 64 << 20 });
      const cgroup = cgroupOf(cgroupPath, box.facts);
      await cgroup.update({
        memory: { limit: 128 << 20, swap: 256 << 20 },
        cpu: { shares: 2048, quota: 20000, period: 50000 },
        pids: { limit: 9 },
      });
      expect(cgroup.stats().memory_stats.limit).toBe(128 << 20);
      expect(cgroup.stats().pids_stats?.limit).toBe(9);
      await cgroup.update({ memory: { limit: 32 << 20, swap: 32 << 20 }, pids: { limit: -1 } });
      expect(cgroup.stats().memory_stats.limit).toBe(32 << 20);
      expect(cgroup.stats().pids_stats?.limit).toBeUndefined();
      await cgroup.update({ memory: { limit: 40 << 20, swap: -1 } });
      expect(cgroup.stats().memory_stats.limit).toBe(40 << 20);
    });

    test("update() that the kernel refuses leaves the limits as they were", async () => {
      const { cgroupPath } = box.start("sleep 1000", { Memory: 64 << 20, MemorySwap: 64 << 20, PidsLimit: 50 });
      const cgroup = cgroupOf(cgroupPath, box.facts);
      const change = { memory: { limit: 128 << 20, swap: 256 << 20 }, cpu: { shares: 2048, cpus: "4096" }, pids: { limit: 9 } };
      await expect(cgroup.update(change)).rejects.toThrow(/^failed to write "4096": write \/\S+\/cpuset\.cpus: (invalid|numerical|result)/);
      await cgroup.update(change).catch(() => undefined);
      expect(cgroup.stats().memory_stats.limit).toBe(64 << 20);
      expect(cgroup.stats().pids_stats?.limit).toBe(50);
    });

    test("update() refuses less memory than is in use", async () => {
      const { cgroupPath } = box.start("head -c 40m /dev/zero | { sleep 1; tail -c 40m; } | sleep 1000", {
        Memory: 128 << 20,
        MemorySwap: 128 << 20,
      });
      const cgroup = cgroupOf(cgroupPath, box.facts);
      const giveUpAt = Date.now() + 10_000;
      while ((cgroup.stats().memory_stats.usage ?? 0) < 30 << 20 && Date.now() < giveUpAt) await Bun.sleep(10);
      await expect(cgroup.update({ memory: { limit: 8 << 20, swap: 8 << 20 } })).rejects.toThrow(
        /: (device or resource busy|invalid argument)$/,
      );
      await cgroup.update({ memory: { limit: 8 << 20, swap: 8 << 20 } }).catch(() => undefined);
      expect(cgroup.stats().memory_stats.limit).toBe(128 << 20);
      expect(cgroup.oomKills()).toBe(0);
    });

    test("OomWatch notices a container that runs out of memory, and no other", async () => {
      const calm = box.start("sleep 1000", { Memory: 16 << 20 });
      using calmWatch = OomWatch.start(calm.cgroupPath, box.facts, reactor, { onOom: () => {} });
      const { cgroupPath } = box.start("sleep 0.3; tail /dev/zero; sleep 1000", { Memory: 16 << 20, MemorySwap: 16 << 20 });
      const seen = Promise.withResolvers<void>();
      using watch = OomWatch.start(cgroupPath, box.facts, reactor, { onOom: () => seen.resolve() });
      await seen.promise;
      expect(watch?.hasOom).toBe(true);
      await destroy(cgroupOf(calm.cgroupPath, box.facts));
      expect(calmWatch?.hasOom).toBe(false);
    });

    test("OomWatch is sure of a container whose end is seen only when its group is gone", async () => {
      const { cgroupPath } = box.start("sleep 0.3; exec tail /dev/zero", { Memory: 16 << 20, MemorySwap: 16 << 20 });
      const cgroup = cgroupOf(cgroupPath, box.facts);
      using watch = OomWatch.start(cgroupPath, box.facts, reactor, { onOom: () => {} });
      // no look at it before the group is gone: the loop of events does not turn
      const deadline = Date.now() + 20_000;
      while (cgroup.pids().length > 0 && Date.now() < deadline) Bun.sleepSync(5);
      cgroup.tryRemove();
      await watch?.settling(137, false);
      expect(watch?.endedByOom(137)).toBe(true);
    });

    test("destroy() kills what is left and removes the groups, twice without complaint", async () => {
      const { cgroupPath, pid } = box.start("sleep 1000 & sleep 1000");
      const cgroup = cgroupOf(cgroupPath, box.facts);
      await freeze(cgroup);
      await destroy(cgroup);
      expect(cgroup.exists()).toBe(false);
      expect(existsSync(`/proc/${pid}/ns/pid`) && state(pid) !== "Z").toBe(false);
      expect(groupsIn(box.parent, box.facts)).not.toContain(cgroupPath.split("/").at(-1));
      await destroy(cgroup);
      expect(cgroup.stats().memory_stats).toEqual({});
      expect(cgroup.oomKills()).toBeUndefined();
    });

    test("MigrationWarmer beats for a while and rests again", async () => {
      using warmer = new MigrationWarmer(box.facts, { keepMs: 20 });
      expect(warmer.isUseful).toBe(box.facts.cgroup.version === 1);
      warmer.touch();
      warmer.touch();
      await Bun.sleep(60);
      warmer.touch();
    });
  },
);

test("cgroupsPathFor() keeps daemons apart and can't climb out", () => {
  expect(cgroupsPathFor("c1", { daemonId: "d1" })).toBe("/dhow/d1/c1");
  expect(cgroupsPathFor("c1", { daemonId: "d1", daemonParent: "/ci/" })).toBe("/ci/d1/c1");
  expect(cgroupsPathFor("c1", { daemonId: "d1", parent: "mine" })).toBe("/mine/c1");
  expect(cgroupsPathFor("c1", { daemonId: "d1", parent: "../../../etc" })).toBe("/etc/c1");
});

test("the text of /proc/stat, io.stat and blkio files is read as docker reads it", () => {
  expect(parseSystemCpu("cpu  1 2 3 4 5 6 7 8 9 10\ncpu0 1 2 3\ncpu1 1 2 3\nintr 1\n")).toEqual({ usageNs: 280_000_000, onlineCpus: 2 });
  expect(systemCpu().onlineCpus).toBeGreaterThan(0);
  expect(parseIoStat("8:0 rbytes=90 wbytes=12 rios=1 wios=2 dbytes=0 dios=0\n")).toEqual([
    { major: 8, minor: 0, op: "read", value: 90 },
    { major: 8, minor: 0, op: "write", value: 12 },
  ]);
  expect(parseBlkio("8:0 Read 5\n8:0 Write 6\nTotal 11\n")).toEqual([
    { major: 8, minor: 0, op: "Read", value: 5 },
    { major: 8, minor: 0, op: "Write", value: 6 },
  ]);
  expect([sharesToWeight(2), sharesToWeight(1024), sharesToWeight(262_144)]).toEqual([1, 39, 10_000]);
});
