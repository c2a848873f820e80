import { Database } from "bun:sqlite";
import { afterAll, expect, test } from "bun:test";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { Daemon, until } from "../daemon.ts";

const daemon = await Daemon.start();
afterAll(() => daemon[Symbol.asyncDispose]());

const isV2 = existsSync("/sys/fs/cgroup/cgroup.controllers");
/** What the container itself sees in files of its cgroup. */
const seen = async (container: string, ...files: readonly (readonly [v2: string, v1: string])[]): Promise<string> =>
  daemon.ok("exec", container, "cat", ...files.map((pair) => `/sys/fs/cgroup/${pair[isV2 ? 0 : 1]}`));
const MEMORY = ["memory.max", "memory/memory.limit_in_bytes"] as const;
const PIDS = ["pids.max", "pids/pids.max"] as const;
const CPUS = ["cpuset.cpus", "cpuset/cpuset.cpus"] as const;
const sleeper = (name: string, ...options: readonly string[]): Promise<string> =>
  daemon.ok("run", "-d", "--name", name, "--cgroupns", "private", ...options, "busybox", "sleep", "1000");
const refused = async (...args: readonly string[]): Promise<string> => {
  const { stderr, exitCode } = await daemon.docker("update", ...args);
  expect(exitCode).toBe(1);
  return stderr.trim();
};
const host = async (name: string): Promise<Readonly<Record<string, unknown>>> =>
  (await daemon.inspect<{ HostConfig: Record<string, unknown> }>(name)).HostConfig;

test("a running container gets the limits at once, and what isn't named stays", async () => {
  await sleeper("live", "-m", "64m", "--pids-limit", "50", "--cpu-shares", "512");
  expect(await daemon.ok("update", "-m", "96m", "--memory-swap", "-1", "--cpuset-cpus", "0", "--memory-reservation", "32m", "live")).toBe(
    "live",
  );
  expect(await seen("live", MEMORY, PIDS, CPUS)).toBe(`${96 << 20}\n50\n0`);
  expect(await daemon.ok("update", "--pids-limit", "-1", "--cpus", "0.5", "live")).toBe("live");
  expect(await seen("live", PIDS, ["cpu.max", "cpu/cpu.cfs_quota_us"])).toStartWith("max\n50000");
  expect(await host("live")).toMatchObject({
    ...{ Memory: 96 << 20, MemorySwap: -1, MemoryReservation: 32 << 20, PidsLimit: 0, CpuShares: 512, NanoCpus: 5e8, CpusetCpus: "0" },
    RestartPolicy: { Name: "no", MaximumRetryCount: 0 },
  });
  await daemon.ok("restart", "-t", "0", "live");
  expect(await seen("live", MEMORY, PIDS, CPUS)).toBe(`${96 << 20}\nmax\n0`);
});

/** A disk of this host, and its number. */
const disk = readdirSync("/sys/block").find((name) => existsSync(`/dev/${name}`)) ?? "";

test.skipIf(disk === "")("rates of devices: a list takes the place of the former one, from API 1.55 on", async () => {
  const path = `/dev/${disk}`;
  const number = readFileSync(`/sys/block/${disk}/dev`, "utf8").trim();
  await sleeper("rates", "--device-read-bps", `${path}:1mb`, "--device-write-iops", `${path}:100`);
  const limits = () =>
    seen("rates", ["io.max", "blkio/blkio.throttle.read_bps_device"], ["io.weight", "blkio/blkio.throttle.write_bps_device"]);
  const update = (body: object, version = "v1.55") => daemon.api("POST", `/${version}/containers/rates/update`, body);
  await update({ BlkioDeviceReadBps: [{ Path: path, Rate: 2 << 20 }], BlkioDeviceWriteBps: [{ Path: path, Rate: 3 << 20 }] });
  const both = await limits();
  expect(both).toContain(
    isV2 ? `${number} rbps=${2 << 20} wbps=${3 << 20} riops=max wiops=100` : `${number} ${2 << 20}\n${number} ${3 << 20}`,
  );
  await update({ BlkioDeviceReadBps: [] });
  expect(await limits()).toContain(isV2 ? `${number} rbps=max wbps=${3 << 20} riops=max wiops=100` : `${number} ${3 << 20}`);
  expect(await limits()).not.toContain(String(2 << 20));
  await update({ BlkioDeviceWriteBps: [] }, "v1.54");
  expect(await host("rates")).toMatchObject({ BlkioDeviceReadBps: [], BlkioDeviceWriteBps: [{ Path: path, Rate: 3 << 20 }] });
  const missing = await update({ BlkioDeviceReadBps: [{ Path: "/dev/missing", Rate: 1 }] });
  expect(missing).toMatchObject({
    status: 400,
    json: { message: expect.stringContaining("stat /dev/missing: no such file or directory") },
  });
  expect(await host("rates")).toMatchObject({ BlkioDeviceReadBps: [] });
});

test("a paused container, too", async () => {
  await daemon.ok("pause", "live");
  await daemon.ok("update", "--pids-limit", "20", "live");
  await daemon.ok("unpause", "live");
  expect(await seen("live", PIDS)).toBe("20");
});

test("a stopped container has them from its next start on", async () => {
  await daemon.ok("create", "--name", "later", "--cgroupns", "private", "busybox", "sleep", "1000");
  await daemon.ok("update", "-m", "32m", "--memory-swap", "64m", "--restart", "on-failure:3", "later");
  expect(await host("later")).toMatchObject({ Memory: 32 << 20, RestartPolicy: { Name: "on-failure", MaximumRetryCount: 3 } });
  await daemon.ok("start", "later");
  expect(await seen("later", MEMORY)).toBe(String(32 << 20));
});

test("docker's words for what can't be", async () => {
  await sleeper("small", "-m", "32m");
  await sleeper("gone", "--rm");
  const id = (await daemon.inspect<{ Id: string }>("small")).Id;
  const cannot = `Error response from daemon: Cannot update container ${id}: `;
  expect(await refused("-m", "1g", "small")).toBe(
    `${cannot}Memory limit should be smaller than already set memoryswap limit, update the memoryswap at the same time`,
  );
  expect(await refused("-m", "1m", "small")).toBe("Error response from daemon: Minimum memory limit allowed is 6MB");
  expect(await refused("--restart", "always", "gone")).toEndWith(
    "Restart policy cannot be updated because AutoRemove is enabled for the container",
  );
  expect(await daemon.ok("update", "--restart", "no", "gone")).toBe("gone");
  await daemon.ok("update", "--cpus", "1", "small");
  expect(await refused("--cpu-quota", "20000", "small")).toBe(
    `${cannot}Conflicting options: CPU Quota cannot be updated as NanoCPUs has already been set`,
  );
  expect(await refused("--cpuset-cpus", "4096", "small")).toContain("Requested CPUs are not available - requested 4096, available: ");
  expect(await refused("--pids-limit", "9", "nobody")).toBe("Error response from daemon: No such container: nobody");
  expect((await daemon.api("POST", "/containers/small/update", { Memory: 1 << 30 })).status).toBe(409);
  expect((await daemon.api("POST", "/containers/small/update", { OomKillDisable: true })).json).toHaveProperty("Warnings");
});

test("less memory than is in use is refused, and nothing changed", async () => {
  const fill = "head -c 40m /dev/zero >/dev/shm/x; echo full; sleep 1000";
  await daemon.ok("run", "-d", "--name", "full", "--cgroupns", "private", "-m", "200m", "busybox", "sh", "-c", fill);
  await until("it is full", async () => (await daemon.ok("logs", "full")) === "full");
  expect(await refused("-m", "8m", "--memory-swap", "8m", "--pids-limit", "9", "full")).toMatch(
    /: failed to write "8388608": write .*: device or resource busy$/,
  );
  expect(await host("full")).toMatchObject({ Memory: 200 << 20, PidsLimit: null });
  expect(await seen("full", MEMORY, PIDS)).toBe(`${200 << 20}\nmax`);
});

test("the restart policy counts from now on", async () => {
  await daemon.ok("run", "-d", "--name", "again", "busybox", "sh", "-c", "read x; exit 1");
  await until("it has ended", async () => (await daemon.inspect<{ State: { Running: boolean } }>("again")).State.Running === false);
  await daemon.ok("update", "--restart", "on-failure:2", "again");
  await daemon.ok("start", "again");
  await until("it was restarted", async () => (await daemon.inspect<{ RestartCount: number }>("again")).RestartCount === 2);
  const filters = encodeURIComponent('{"event":["update"],"container":["again"]}');
  expect((await daemon.api("GET", `/events?since=0&until=${Date.now() / 1000}&filters=${filters}`)).json).toMatchObject({
    Action: "update",
  });
});

test("a daemon that dies in an update: the next one finishes it", async () => {
  await sleeper("half");
  await daemon.kill9();
  using db = new Database(join(daemon.dataRoot, "db.sqlite"));
  const { id, spec } = db.query<{ id: string; spec: string }, []>("SELECT id, spec FROM containers WHERE name = 'half'").get() ?? {
    id: "",
    spec: "{}",
  };
  db.query("UPDATE containers SET spec = ? WHERE id = ?").run(JSON.stringify({ ...JSON.parse(spec), update: { PidsLimit: 17 } }), id);
  db.close();
  await daemon.launch();
  expect(await host("half")).toMatchObject({ PidsLimit: 17 });
  expect(await seen("half", PIDS)).toBe("17");
});
