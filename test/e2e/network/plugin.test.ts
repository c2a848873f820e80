import { afterAll, afterEach, expect, test } from "bun:test";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Daemon, until } from "../daemon.ts";

const root = mkdtempSync(join(tmpdir(), "dhow-plugin-"));
const bridge = `rb${process.pid.toString(36)}`;
for (const dir of ["run", "etc"]) mkdirSync(join(root, dir));
const driver = Bun.spawn([process.execPath, join(import.meta.dir, "testdata/driver.ts"), join(root, "run/remote.sock"), root, bridge], {
  stdout: "pipe",
  stderr: "inherit",
});
await driver.stdout.getReader().read();
const daemon = await Daemon.start({
  args: ["--plugin-socket-dir", join(root, "run"), "--plugin-dir", join(root, "etc"), "--plugin-timeout", "1500ms"],
});

afterAll(async () => {
  await daemon[Symbol.asyncDispose]();
  driver.kill();
  Bun.spawnSync(["ip", "link", "delete", bridge], { stderr: "ignore" });
  rmSync(root, { recursive: true, force: true });
});
afterEach(async () => {
  rmSync(join(root, "hang-Join"), { force: true });
  await daemon.removeContainers();
  await daemon.ok("network", "prune", "-f");
});

/** What the driver was asked since the last look. */
function calls(): string[] {
  const file = join(root, "calls");
  const text = existsSync(file) ? readFileSync(file, "utf8") : "";
  writeFileSync(file, "");
  return text.split("\n").filter((line) => line !== "" && line !== "Plugin.Activate" && line !== "GetCapabilities");
}
const pings = async (from: string, to: string): Promise<boolean> =>
  (await daemon.docker("exec", from, "ping", "-c", "1", "-W", "2", to)).exitCode === 0;

test("a plugin's network: its interface is moved into the container, addressed, named, and comes back", async () => {
  await daemon.ok("network", "create", "-d", "remote", "--subnet", "10.86.0.0/24", "far");
  await daemon.ok("run", "-d", "--name", "one", "--network", "far", "busybox", "sleep", "1000");
  await daemon.ok("run", "-d", "--name", "two", "busybox", "sleep", "1000");
  await daemon.ok("network", "connect", "far", "two");
  expect(calls()).toEqual(["CreateNetwork", "CreateEndpoint 10.86.0.2/24", "Join", "CreateEndpoint 10.86.0.3/24", "Join"]);
  expect(await pings("two", "one")).toBe(true);
  expect(await pings("one", "10.86.0.1")).toBe(true);
  const routes = await daemon.ok("exec", "one", "ip", "route");
  expect(routes).toContain("default via 10.86.0.1 dev eth0");
  expect(routes).toContain("192.0.2.0/24 dev eth0");
  expect(await daemon.ok("exec", "two", "ls", "/sys/class/net")).toContain("eth1");
  await daemon.kill9();
  await daemon.launch();
  expect(await pings("two", "one")).toBe(true);
  calls();
  await daemon.ok("network", "disconnect", "far", "two");
  expect(calls()).toEqual(["Leave", "DeleteEndpoint"]);
  expect(await daemon.ok("exec", "two", "ls", "/sys/class/net")).not.toContain("eth1");
  await daemon.ok("rm", "-f", "one");
  await until("the plugin is told", () => readFileSync(join(root, "calls"), "utf8").includes("DeleteEndpoint"));
  await daemon.ok("network", "rm", "far");
  expect(existsSync(`/sys/class/net/${bridge}`)).toBe(false);
});

test("a plugin's network without IPAM has all addresses, and gives none out", async () => {
  await daemon.ok("network", "create", "-d", "remote", "--ipam-driver", "null", "free");
  expect(await daemon.ok("network", "inspect", "-f", "{{json .IPAM}}", "free")).toBe(
    '{"Driver":"null","Options":{},"Config":[{"Subnet":"0.0.0.0/0"}]}',
  );
  await daemon.ok("run", "-d", "--name", "bare", "--network", "free", "busybox", "sleep", "1000");
  expect(await daemon.ok("exec", "bare", "ip", "-4", "-o", "addr", "show", "eth0")).toBe("");
  await daemon.ok("rm", "-f", "bare");
  await daemon.ok("network", "rm", "free");
});

test("what a plugin refuses, or never answers, leaves nothing", async () => {
  const bad = await daemon.docker("network", "create", "-d", "remote", "-o", "bad=1", "x");
  expect(bad.stderr).toContain("unknown option bad");
  expect((await daemon.docker("network", "create", "-d", "nosuch", "x")).stderr).toContain('plugin "nosuch" not found');
  expect(await daemon.ok("network", "ls", "-q", "--filter", "type=custom")).toBe("");
  await daemon.ok("network", "create", "-d", "remote", "--subnet", "10.86.0.0/24", "far");
  calls();
  writeFileSync(join(root, "hang-Join"), "");
  const run = daemon.docker("run", "--name", "stuck", "--network", "far", "busybox", "true");
  await until("the plugin is asked", () => existsSync(join(root, "calls")) && readFileSync(join(root, "calls"), "utf8").includes("Join"));
  // everybody else is served meanwhile
  expect(await daemon.ok("ps", "-aq")).not.toBe("");
  const { stderr, exitCode } = await run;
  expect(exitCode).not.toBe(0);
  expect(stderr).toContain('NetworkDriver.Join: plugin "remote" did not answer within 1.5 s');
  expect(calls()).toEqual(["CreateEndpoint 10.86.0.2/24", "Join", "DeleteEndpoint"]);
  await daemon.ok("rm", "stuck");
  await daemon.ok("network", "rm", "far");
});
