/** A network namespace that a container has joined, when the one that it is of ends. */
import { afterAll, afterEach, beforeAll, expect, test } from "bun:test";
import { Daemon, until } from "../daemon.ts";

const daemon = await Daemon.start();
const tag = process.pid.toString(36);
const [wire, far] = [`dj${tag}a`, `dj${tag}b`];

beforeAll(() => {
  const { exitCode } = Bun.spawnSync(["ip", "link", "add", wire, "type", "veth", "peer", "name", far]);
  expect(exitCode).toBe(0);
});

afterEach(async () => {
  await daemon.removeContainers();
  await daemon.ok("network", "prune", "-f");
});

afterAll(async () => {
  await daemon[Symbol.asyncDispose]();
  Bun.spawnSync(["ip", "link", "delete", wire]);
});

const idle = (name: string, ...options: readonly string[]): Promise<string> =>
  daemon.ok("run", "-d", "--name", name, ...options, "busybox", "sleep", "1000");
const interfaces = async (name: string): Promise<string> => (await daemon.ok("exec", name, "ls", "/sys/class/net")).replaceAll("\n", " ");
const networkOf = (name: string): Promise<string> => daemon.ok("exec", name, "readlink", "/proc/self/ns/net");

/** `owner` on a bridge and on a macvlan network, `joiner` with it, `second` with that one. */
async function startAll(): Promise<void> {
  await daemon.ok("network", "create", "-d", "macvlan", "--subnet", "10.76.0.0/24", "-o", `parent=${wire}`, "lan");
  await daemon.ok("network", "create", "near");
  await idle("owner", "--network", "near");
  await daemon.ok("network", "connect", "lan", "owner");
  await idle("joiner", "--network", "container:owner");
  await idle("second", "--network", "container:joiner");
}

test("the interfaces go with the run that they were of, the loopback stays", async () => {
  await startAll();
  expect(await interfaces("second")).toBe("eth0 eth1 lo");
  const files = "{{.HostsPath}} {{.HostnamePath}} {{.ResolvConfPath}}";
  expect(await daemon.ok("inspect", "-f", files, "second")).toBe(await daemon.ok("inspect", "-f", files, "owner"));
  expect(await daemon.ok("exec", "second", "cat", "/etc/hosts")).toBe(await daemon.ok("exec", "owner", "cat", "/etc/hosts"));
  await daemon.ok("restart", "-t", "0", "owner");
  for (const name of ["joiner", "second"]) await until("the interfaces to go", async () => (await interfaces(name)) === "lo");
  expect(await interfaces("owner")).toBe("eth0 eth1 lo");
  expect(await networkOf("joiner")).not.toBe(await networkOf("owner"));
  // the addresses are whole again: nobody else has them
  expect(await daemon.ok("run", "--rm", "--network", "lan", "busybox", "ip", "-o", "-4", "addr", "show", "eth0")).toContain("10.76.0.");
  await daemon.ok("restart", "-t", "0", "joiner", "second");
  expect(await networkOf("second")).toBe(await networkOf("owner"));
  expect(await interfaces("second")).toBe("eth0 eth1 lo");
  // the one that they joined is gone, and so is one in between
  await daemon.ok("rm", "-f", "joiner");
  await daemon.ok("rm", "-f", "owner");
  await until("the interfaces to go", async () => (await interfaces("second")) === "lo");
});

test("what ended while there was no daemon is taken out by the next one", async () => {
  await startAll();
  const pid = await daemon.ok("inspect", "-f", "{{.State.Pid}}", "owner");
  const joiner = await daemon.ok("inspect", "-f", "{{.State.Pid}}", "joiner");
  await daemon.kill9();
  process.kill(Number(pid), "SIGKILL");
  const links = (): string => Bun.spawnSync(["nsenter", `--net=/proc/${joiner}/ns/net`, "ip", "-br", "link"]).stdout.toString();
  expect(links()).toContain("eth1");
  await daemon.restart();
  await until("the interfaces to go", async () => (await interfaces("second")) === "lo");
  expect(links()).not.toContain("eth");
});
