/** macvlan and ipvlan: the parent is a link of this host that leads to a host outside, in a network namespace of its own. */
import { afterAll, afterEach, beforeAll, expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { Daemon } from "../daemon.ts";

// nothing here is on the default bridge
const daemon = await Daemon.start({ args: ["--sandbox-pool", "0"] });
const tag = process.pid.toString(36);
const [wire, far, outside] = [`dl${tag}a`, `dl${tag}b`, `dhow-lan-${tag}`];

function ip(...args: readonly string[]): void {
  const { exitCode, stderr } = Bun.spawnSync(["ip", ...args]);
  if (exitCode !== 0) throw new Error(`ip ${args.join(" ")}: ${stderr}`);
}

/** Whether this kernel has links of a kind. */
function hasKind(kind: string, ...options: readonly string[]): boolean {
  const script = `ip link add p0 type veth peer name p1 && ip link add link p0 name x type ${[kind, ...options].join(" ")}`;
  return Bun.spawnSync(["unshare", "-n", "sh", "-c", script], { stderr: "ignore" }).exitCode === 0;
}
const hasVlan = hasKind("vlan", "id", "10");
const hasIpvlan = hasKind("ipvlan");

beforeAll(() => {
  ip("netns", "add", outside);
  ip("link", "add", wire, "type", "veth", "peer", "name", far);
  ip("link", "set", far, "netns", outside);
  ip("link", "set", wire, "up");
  ip("-n", outside, "link", "set", far, "up");
  ip("-n", outside, "addr", "add", "10.77.0.9/24", "dev", far);
  ip("-n", outside, "-6", "addr", "add", "fd77::9/64", "dev", far, "nodad");
  if (hasVlan) {
    ip("-n", outside, "link", "add", "link", far, "name", "tagged", "type", "vlan", "id", "10");
    ip("-n", outside, "link", "set", "tagged", "up");
    ip("-n", outside, "addr", "add", "10.78.0.9/24", "dev", "tagged");
  }
  ip("-n", outside, "route", "add", "10.79.0.0/24", "dev", far);
});

afterEach(async () => {
  await daemon.removeContainers();
  await daemon.ok("network", "prune", "-f");
});

afterAll(async () => {
  await daemon[Symbol.asyncDispose]();
  Bun.spawnSync(["ip", "link", "delete", wire]);
  Bun.spawnSync(["ip", "netns", "delete", outside]);
});

const idle = (name: string, network: string, ...options: readonly string[]): Promise<string> =>
  daemon.ok("run", "-d", "--name", name, "--network", network, ...options, "busybox", "sleep", "1000");
const pings = async (from: string, to: string): Promise<boolean> =>
  (await daemon.docker("exec", from, "ping", "-c", "1", "-W", "2", to)).exitCode === 0;

test("macvlan: containers are hosts of the parent's network, with names among themselves", async () => {
  await daemon.ok(
    ...["network", "create", "-d", "macvlan", "--ipv6", "--subnet", "10.77.0.0/24", "--gateway", "10.77.0.9"],
    ...["--subnet", "fd77::/64", "--gateway", "fd77::9", "-o", `parent=${wire}`, "lan"],
  );
  await idle("one", "lan", "--ip", "10.77.0.50", "-p", "80");
  await idle("two", "lan");
  expect(await pings("one", "10.77.0.9")).toBe(true);
  expect(await pings("one", "fd77::9")).toBe(true);
  expect(await pings("two", "one")).toBe(true);
  expect(await daemon.ok("exec", "one", "ip", "route")).toContain("default via 10.77.0.9");
  expect(await daemon.ok("exec", "one", "cat", "/sys/class/net/eth0/address")).toBe("02:42:0a:4d:00:32");
  expect(await daemon.ok("port", "one")).toBe("");
  await daemon.kill9();
  await daemon.launch();
  expect(await pings("two", "one")).toBe(true);
  await idle("three", "lan");
  expect(await pings("three", "one")).toBe(true);
  await daemon.ok("network", "disconnect", "lan", "three");
  expect(await daemon.ok("exec", "three", "ls", "/sys/class/net")).toBe("lo");
  await daemon.ok("network", "connect", "lan", "three");
  expect(await pings("three", "10.77.0.9")).toBe(true);
});

test.skipIf(!hasIpvlan)("ipvlan l2 shares the parent's MAC address; l3 routes (skipped where the kernel has no ipvlan)", async () => {
  await daemon.ok("network", "create", "-d", "ipvlan", "--subnet", "10.77.0.0/24", "-o", `parent=${wire}`, "lan");
  await idle("one", "lan");
  await idle("two", "lan");
  expect(await pings("one", "10.77.0.9")).toBe(true);
  expect(await pings("two", "one")).toBe(true);
  const mac = (name: string): Promise<string> => daemon.ok("exec", name, "cat", "/sys/class/net/eth0/address");
  expect(await mac("one")).toBe(await mac("two"));
  await daemon.removeContainers();
  await daemon.ok("network", "rm", "lan");
  await daemon.ok(
    "network",
    "create",
    "-d",
    "ipvlan",
    "--subnet",
    "10.79.0.0/24",
    "-o",
    `parent=${wire}`,
    "-o",
    "ipvlan_mode=l3",
    "routed",
  );
  await idle("three", "routed");
  expect(await daemon.ok("exec", "three", "ip", "route")).toContain("default dev eth0");
});

test.skipIf(!hasVlan)("a VLAN's link is made for its network and goes with it (skipped where the kernel has no VLANs)", async () => {
  const vlan = `${wire}.10`;
  await daemon.ok("network", "create", "-d", "macvlan", "--subnet", "10.78.0.0/24", "-o", `parent=${vlan}`, "tagged");
  expect(existsSync(`/sys/class/net/${vlan}`)).toBe(true);
  await idle("one", "tagged");
  expect(await pings("one", "10.78.0.9")).toBe(true);
  await daemon.ok("rm", "-f", "one");
  await daemon.ok("network", "rm", "tagged");
  expect(existsSync(`/sys/class/net/${vlan}`)).toBe(false);
});

test("without a parent, and --internal, it leads nowhere else", async () => {
  const id = await daemon.ok(
    "network",
    "create",
    "-d",
    "macvlan",
    "--internal",
    "--subnet",
    "10.77.0.0/24",
    "-o",
    `parent=${wire}`,
    "closed",
  );
  await idle("one", "closed");
  await idle("two", "closed");
  expect(await pings("two", "one")).toBe(true);
  expect(await pings("two", "10.77.0.9")).toBe(false);
  await daemon.ok("rm", "-f", "one", "two");
  await daemon.ok("network", "rm", "closed");
  expect(existsSync(`/sys/class/net/dm-${id.slice(0, 12)}`)).toBe(false);
});

test("what can't be is refused in docker's words", async () => {
  const refused = async (driver: string, ...options: readonly string[]): Promise<string> => {
    const { stderr, exitCode } = await daemon.docker(
      "network",
      "create",
      "-d",
      driver,
      ...options.flatMap((option) => ["-o", option]),
      "x",
    );
    expect(exitCode).toBe(1);
    return stderr.trim().replace("Error response from daemon: ", "");
  };
  expect(await refused("macvlan", "macvlan_mode=x")).toBe(
    "requested macvlan mode 'x' is not valid, 'bridge' mode is the macvlan driver default",
  );
  expect(await refused("ipvlan", "ipvlan_mode=x")).toBe("requested ipvlan mode 'x' is not valid, 'l2' mode is the ipvlan driver default");
  expect(await refused("macvlan", "parent=lo")).toBe("loopback interface is not a valid macvlan parent link");
  expect(await refused("macvlan", "parent=nosuch")).toBe("invalid subinterface vlan name nosuch, example formatting is eth0.10");
  await daemon.ok("network", "create", "-d", "macvlan", "-o", `parent=${wire}`, "first");
  expect(await refused("macvlan", `parent=${wire}`)).toBe(`network first is already using parent interface ${wire}`);
  await daemon.ok("network", "create", "-d", "ipvlan", "plain");
  const { stderr } = await daemon.docker("run", "--rm", "--network", "plain", "--mac-address", "02:42:00:00:00:01", "busybox", "true");
  // said before the kernel is asked, whether it has ipvlan or not
  expect(stderr).toContain("ipvlan interfaces do not support custom mac address assignment");
});
