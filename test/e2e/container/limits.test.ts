import { afterAll, expect, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { Daemon, until } from "../daemon.ts";

const daemon = await Daemon.start({ args: ["--default-ulimit", "msgqueue=100000:200000"] });
afterAll(() => daemon[Symbol.asyncDispose]());

const isV2 = existsSync("/sys/fs/cgroup/cgroup.controllers");
const refused = async (...options: readonly string[]): Promise<string> => {
  const { stderr, exitCode } = await daemon.docker("run", "--rm", ...options, "busybox", "true");
  expect(exitCode).toBe(125);
  return stderr;
};
/** What the container itself sees in a file of its cgroup: [v2, v1]. */
const seen = async (files: readonly [string, string], ...options: readonly string[]): Promise<string> =>
  daemon.ok("run", "--rm", "--cgroupns", "private", ...options, "busybox", "cat", `/sys/fs/cgroup/${files[isV2 ? 0 : 1]}`);

test("limits are visible inside", async () => {
  expect(await seen(["memory.max", "memory/memory.limit_in_bytes"], "-m", "64m")).toBe(String(64 << 20));
  expect(await seen(["cpu.max", "cpu/cpu.cfs_quota_us"], "--cpus", "0.5")).toStartWith("50000");
  expect(await seen(["cpu.max", "cpu/cpu.cfs_quota_us"], "--cpu-quota", "20000", "--cpu-period", "50000")).toStartWith("20000");
  expect(await seen(["cpuset.cpus", "cpuset/cpuset.cpus"], "--cpuset-cpus", "0")).toBe("0");
  expect(await seen(["pids.max", "pids/pids.max"], "--pids-limit", "10")).toBe("10");
  if (!isV2) expect(await seen(["cpu.weight", "cpu/cpu.shares"], "--cpu-shares", "100")).toBe("100");
});

test("out of memory: killed, noticed, told", async () => {
  const events = daemon.spawn({}, "events", "--filter", "event=oom", "--format", "{{.Actor.Attributes.name}}");
  // a line every now and then, so that the answer's head is there before the event
  await until("the listener", async () => (await daemon.api<{ NEventsListener: number }>("GET", "/info")).json.NEventsListener > 0);
  const { exitCode } = await daemon.docker("run", "--name", "hungry", "-m", "16m", "busybox", "tail", "/dev/zero");
  expect(exitCode).toBe(137);
  const { State } = await daemon.inspect<{ State: { OOMKilled: boolean; ExitCode: number } }>("hungry");
  expect(State).toMatchObject({ OOMKilled: true, ExitCode: 137 });
  expect(Buffer.from((await events.stdout.getReader().read()).value ?? []).toString()).toBe("hungry\n");
  events.kill("SIGKILL");
  await daemon.ok("rm", "hungry");
});

test("a kill is no out-of-memory", async () => {
  await daemon.ok("run", "-d", "--name", "shot", "-m", "16m", "busybox", "sleep", "1000");
  await daemon.ok("kill", "shot");
  expect((await daemon.inspect<{ State: { OOMKilled: boolean } }>("shot")).State.OOMKilled as boolean).toBe(false);
  await daemon.ok("rm", "shot");
});

test("no more processes than --pids-limit", async () => {
  const { stderr } = await daemon.docker(
    "run",
    "--rm",
    "--pids-limit",
    "4",
    "busybox",
    "sh",
    "-c",
    "for i in 1 2 3 4 5 6; do sleep 1 & done; wait",
  );
  expect(stderr).toContain("can't fork");
});

test("--cpuset-cpus holds", async () => {
  expect(await daemon.ok("run", "--rm", "--cpuset-cpus", "0", "busybox", "grep", "Cpus_allowed_list", "/proc/self/status")).toMatch(/\t0$/);
});

test("the daemon's ulimits are shown with the container's", async () => {
  const shown = async (...options: readonly string[]): Promise<string> => {
    const id = await daemon.ok("create", ...options, "busybox");
    const limits = await daemon.ok("inspect", "-f", "{{range .HostConfig.Ulimits}}{{.Name}} {{.Soft}} {{.Hard}};{{end}}", id);
    await daemon.ok("rm", id);
    return limits;
  };
  expect(await shown()).toBe("msgqueue 100000 200000;");
  expect(await shown("--ulimit", "core=1:2")).toBe("core 1 2;msgqueue 100000 200000;");
  expect(await shown("--ulimit", "msgqueue=5:6")).toBe("msgqueue 5 6;");
});

test("docker's words for what can't be", async () => {
  const count = availableParallelism();
  expect(await refused("-m", "4m")).toContain("Minimum memory limit allowed is 6MB");
  expect(await refused("-m", "64m", "--memory-swap", "32m")).toContain(
    "Minimum memoryswap limit should be larger than memory limit, see usage",
  );
  expect(await refused("--memory-swap", "64m")).toContain("You should always set the Memory limit when using Memoryswap limit, see usage");
  expect(await refused("-m", "64m", "--memory-reservation", "128m")).toContain(
    "Minimum memory limit can not be less than memory reservation limit, see usage",
  );
  expect(await refused("--cpus", String(count + 1))).toMatch(
    /[Rr]ange of CPUs is from 0\.01 to \d+\.00, as there are only \d+ CPUs available/,
  );
  expect(await refused("--cpus", "1", "--cpu-quota", "1000")).toContain("Conflicting options: Nano CPUs and CPU Quota cannot both be set");
  expect(await refused("--cpuset-cpus", "4096")).toMatch(/Requested CPUs are not available - requested 4096, available: /);
  expect(await refused("--cpuset-cpus", "foo")).toContain("Invalid value foo for cpuset cpus");
});

test("device throttles", async () => {
  const root = /^(\S+) \/ /m.exec(readFileSync("/proc/mounts", "utf8"))?.[1] ?? "";
  if (!existsSync("/dev/vda") || root === "overlay") return;
  expect(await seen(["io.max", "blkio/blkio.throttle.read_bps_device"], "--device-read-bps", "/dev/vda:1mb")).toMatch(/1048576/);
  expect((await daemon.docker("run", "--rm", "--device-read-bps", "/dev/nosuch:1mb", "busybox")).stderr).toContain("/dev/nosuch");
});

test("the group goes with the container", async () => {
  expect(await daemon.residue()).toEqual([]);
});
