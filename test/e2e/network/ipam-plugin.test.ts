import { afterAll, afterEach, expect, test } from "bun:test";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Daemon, until } from "../daemon.ts";

const root = mkdtempSync(join(tmpdir(), "dhow-ipam-"));
for (const dir of ["run", "etc"]) mkdirSync(join(root, dir));
let plugin = await startPlugin();
const daemon = await Daemon.start({
  args: ["--plugin-socket-dir", join(root, "run"), "--plugin-dir", join(root, "etc"), "--plugin-timeout", "1500ms"],
});

async function startPlugin(): Promise<Bun.Subprocess> {
  rmSync(join(root, "run/ipam.sock"), { force: true });
  const started = Bun.spawn([process.execPath, join(import.meta.dir, "testdata/ipam.ts"), join(root, "run/ipam.sock"), root], {
    stdout: "pipe",
    stderr: "inherit",
  });
  await started.stdout.getReader().read();
  return started;
}

/** Makes the plug-in forget everything. */
async function restartPlugin(): Promise<void> {
  plugin.kill(9);
  await plugin.exited;
  plugin = await startPlugin();
}

afterAll(async () => {
  await daemon[Symbol.asyncDispose]();
  plugin.kill();
  rmSync(root, { recursive: true, force: true });
});
afterEach(async () => {
  for (const name of ["RequestPool", "RequestAddress", "ReleaseAddress"]) allow(name);
  for (const name of ["mac", "replay"]) rmSync(join(root, name), { force: true });
  await daemon.removeContainers();
  await daemon.ok("network", "prune", "-f");
});

const read = (name: string): string => (existsSync(join(root, name)) ? readFileSync(join(root, name), "utf8") : "");
/** What the plug-in was asked since the last look. */
function calls(): string[] {
  const text = read("calls");
  writeFileSync(join(root, "calls"), "");
  const boring = new Set(["", "Plugin.Activate", "GetCapabilities", "GetDefaultAddressSpaces"]);
  return text.split("\n").filter((line) => !boring.has(line));
}
/** What the plug-in has given and not got back. */
const given = (): string[] => read("given").split("\n").filter(Boolean);
const hang = (method: string): void => writeFileSync(join(root, `hang-${method}`), "");
const fail = (method: string, text: string): void => writeFileSync(join(root, `fail-${method}`), text);
function allow(method: string): void {
  for (const what of ["hang", "fail"]) rmSync(join(root, `${what}-${method}`), { force: true });
}
const create = (name: string, ...args: string[]): Promise<string> => daemon.ok("network", "create", "--ipam-driver", "ipam", ...args, name);
const addressOf = (name: string, network: string): Promise<string> =>
  daemon.ok("inspect", "-f", `{{(index .NetworkSettings.Networks "${network}").IPAddress}}`, name);
const GATEWAY = '{"RequestAddressType":"com.docker.network.gateway"}';

test("subnet, gateway and addresses are the plugin's, and go back to it", async () => {
  await create("auto", "--ipam-opt", "zone=a");
  const [ipam] = JSON.parse(await daemon.ok("network", "inspect", "-f", "[{{json .IPAM}}]", "auto"));
  const { Subnet, Gateway } = ipam.Config[0];
  const base = Subnet.replace(/\.0\/24$/, "");
  expect(ipam).toMatchObject({ Driver: "ipam", Options: { zone: "a" } });
  expect(Gateway).toBe(`${base}.1`);
  expect(calls()).toEqual(['RequestPool here {"zone":"a"}', `RequestAddress ${Subnet} ${GATEWAY}`]);
  await daemon.ok("run", "-d", "--name", "one", "--network", "auto", "busybox", "sleep", "1000");
  await daemon.ok("run", "-d", "--name", "two", "busybox", "sleep", "1000");
  await daemon.ok("network", "connect", "auto", "two");
  expect([await addressOf("one", "auto"), await addressOf("two", "auto")]).toEqual([`${base}.2`, `${base}.3`]);
  expect(await daemon.ok("exec", "one", "ip", "route")).toContain(`default via ${base}.1 dev eth0`);
  await daemon.ok("exec", "two", "ping", "-c", "1", "-W", "2", "one");
  await daemon.ok("network", "disconnect", "auto", "two");
  await daemon.ok("rm", "-f", "one", "two");
  await daemon.ok("network", "rm", "auto");
  expect(calls().slice(2)).toEqual([
    `ReleaseAddress ${Subnet} ${base}.3`,
    `ReleaseAddress ${Subnet} ${base}.2`,
    `ReleaseAddress ${Subnet} ${base}.1`,
    `ReleasePool ${Subnet}`,
  ]);
  expect(given()).toEqual([]);
});

test("what a user asks for is asked of the plugin", async () => {
  await create(
    "own",
    "--subnet",
    "10.88.0.0/24",
    "--ip-range",
    "10.88.0.128/25",
    "--gateway",
    "10.88.0.9",
    "--aux-address",
    "printer=10.88.0.7",
  );
  expect(calls()).toEqual([
    "RequestPool here 10.88.0.0/24 10.88.0.128/25",
    `RequestAddress 10.88.0.0/24 10.88.0.9 ${GATEWAY}`,
    "RequestAddress 10.88.0.0/24 10.88.0.7",
  ]);
  await daemon.ok("run", "-d", "--name", "one", "--network", "own", "--ip", "10.88.0.55", "busybox", "sleep", "1000");
  expect(await addressOf("one", "own")).toBe("10.88.0.55");
  const taken = await daemon.docker("run", "--rm", "--network", "own", "--ip", "10.88.0.55", "busybox", "true");
  expect(taken.stderr).toContain("remote: 10.88.0.55 is taken");
  await create("six", "--ipv6");
  await daemon.ok("run", "--rm", "--network", "six", "busybox", "true");
  expect(calls().filter((line) => line.startsWith("RequestPool"))).toEqual(["RequestPool here", "RequestPool here"]);
  const overlap = await daemon.docker("network", "create", "--ipam-driver", "ipam", "--subnet", "10.88.0.0/25", "again");
  expect(overlap.stderr).toMatch(
    /cannot create network \S+ \(br-\w+\): conflicts with network \S+ \(br-\w+\): networks have overlapping IPv4/,
  );
  await daemon.ok("rm", "-f", "one");
  await daemon.ok("network", "rm", "own", "six");
  expect(given()).toEqual([]);
});

test("a plugin that wants MAC addresses is told them", async () => {
  writeFileSync(join(root, "mac"), "");
  await restartPlugin();
  await daemon.kill9();
  await daemon.launch();
  await create("macs");
  calls();
  await daemon.ok("run", "-d", "--name", "one", "--network", "macs", "--mac-address", "02:42:00:00:00:77", "busybox", "sleep", "1000");
  await daemon.ok("run", "-d", "--name", "two", "--network", "macs", "busybox", "sleep", "1000");
  const macOf = (name: string) => daemon.ok("exec", name, "cat", "/sys/class/net/eth0/address");
  const asked = calls().map((line) => line.match(/endpoint\.macaddress":"([^"]+)"/)?.[1]);
  expect(asked).toEqual(["02:42:00:00:00:77", (await macOf("two")).trim()]);
});

test("what a plugin refuses, or never answers, leaves nothing; others are served meanwhile", async () => {
  const missing = await daemon.docker("network", "create", "--ipam-driver", "nosuch", "x");
  expect(missing.stderr).toContain('plugin "nosuch" not found');
  const bad = await daemon.docker("network", "create", "--ipam-driver", "ipam", "--ipam-opt", "bad=1", "x");
  expect(bad.stderr).toContain("remote: unknown option bad");
  fail("RequestAddress", "none left");
  const noGateway = await daemon.docker("network", "create", "--ipam-driver", "ipam", "x");
  expect(noGateway.stderr).toContain("failed to allocate gateway (): remote: none left");
  allow("RequestAddress");
  const foreign = await daemon.docker(
    "network",
    "create",
    "--ipam-driver",
    "ipam",
    "--subnet",
    "10.88.0.0/24",
    "-d",
    "macvlan",
    "-o",
    "parent=lo",
    "x",
  );
  expect(foreign.exitCode).not.toBe(0);
  expect(given()).toEqual([]);
  await create("stuck");
  hang("RequestAddress");
  calls();
  const run = daemon.docker("run", "--name", "one", "--network", "stuck", "busybox", "true");
  await until("the plugin is asked", () => read("calls").includes("RequestAddress"));
  expect(await daemon.ok("ps", "-aq")).not.toBe("");
  expect(await daemon.ok("network", "ls")).toContain("stuck");
  const { stderr, exitCode } = await run;
  expect(exitCode).not.toBe(0);
  expect(stderr).toContain('IpamDriver.RequestAddress: plugin "ipam" did not answer within 1.5 s');
  allow("RequestAddress");
  await daemon.ok("start", "-a", "one");
});

test("what was given to a daemon that is killed is given back by the next one", async () => {
  await create("kept");
  await daemon.ok("run", "-d", "--name", "one", "--network", "kept", "busybox", "sleep", "1000");
  const before = given();
  hang("ReleaseAddress");
  await daemon.ok("run", "--rm", "--network", "kept", "busybox", "true");
  await until("an address goes back", () => read("calls").includes("ReleaseAddress"));
  hang("RequestAddress");
  calls();
  const half = daemon.docker("network", "create", "--ipam-driver", "ipam", "half");
  await until("the gateway is asked for", () => read("calls").includes("RequestAddress"));
  expect(given().length).toBe(before.length + 2);
  await daemon.kill9();
  await half;
  for (const method of ["RequestAddress", "ReleaseAddress"]) allow(method);
  await daemon.launch();
  await until("it is given back", () => given().length === before.length);
  expect(given()).toEqual(before);
  await daemon.ok("exec", "one", "ping", "-c", "1", "-W", "2", before[1] ?? "");
  await daemon.ok("rm", "-f", "one");
  await daemon.ok("network", "rm", "kept");
  expect(given()).toEqual([]);
});

test("a plugin that is away gets everything back once it is there", async () => {
  await create("away");
  await daemon.ok("run", "-d", "--name", "one", "--network", "away", "busybox", "sleep", "1000");
  hang("ReleaseAddress");
  calls();
  await daemon.ok("rm", "-f", "one");
  await until("an address goes back", () => read("calls").includes("ReleaseAddress"));
  await daemon.ok("network", "rm", "away");
  expect(given().length).toBe(3);
  allow("ReleaseAddress");
  await create("next");
  await daemon.ok("network", "rm", "next");
  expect(given()).toEqual([]);
});

test("a plugin that wants it is told at the start what is in use", async () => {
  writeFileSync(join(root, "replay"), "");
  await create("told", "--subnet", "10.88.0.0/24");
  await daemon.ok("run", "-d", "--name", "one", "--network", "told", "busybox", "sleep", "1000");
  const before = given();
  await daemon.kill9();
  await restartPlugin();
  calls();
  await daemon.launch();
  await daemon.ok("run", "-d", "--name", "two", "--network", "told", "busybox", "sleep", "1000");
  expect(calls()).toEqual([
    "RequestPool here 10.88.0.0/24",
    `RequestAddress 10.88.0.0/24 10.88.0.1 ${GATEWAY}`,
    "RequestAddress 10.88.0.0/24 10.88.0.2",
    "RequestAddress 10.88.0.0/24",
  ]);
  expect(given()).toEqual([...before, "10.88.0.3"]);
  await daemon.ok("rm", "-f", "one", "two");
  await daemon.ok("network", "rm", "told");
  expect(given()).toEqual([]);
});
