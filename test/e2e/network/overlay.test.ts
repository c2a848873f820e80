import { afterAll, afterEach, beforeAll, expect, test } from "bun:test";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Etcd } from "../../../src/network/overlay/etcd.ts";
import { EtcdServer } from "../../../src/network/overlay/test-etcd.ts";
import { Daemon, until } from "../daemon.ts";

/**
 * Two hosts and a third one with the etcd, each a network namespace:
 *
 *     a 192.0.2.1 ──┐
 *     b 192.0.2.2 ──┴── br0 192.0.2.10, etcd
 */
const ETCD = "192.0.2.10";
const TTL_S = 3;

const plugins = mkdtempSync(join(tmpdir(), "dhow-overlay-"));
const holders: Bun.Subprocess[] = [];
const daemons: Daemon[] = [];
let etcdHost: string;
let server: EtcdServer;
let a: Daemon;
let b: Daemon;

function sh(netns: string, command: string): string {
  const { stdout, stderr, exitCode } = Bun.spawnSync(["nsenter", `--net=${netns}`, "sh", "-c", command]);
  if (exitCode !== 0) throw new Error(`${command}: ${stderr}`);
  return stdout.toString().trim();
}

/** A network namespace that lives as long as this test; its path. */
async function makeHost(): Promise<string> {
  const holder = Bun.spawn(["unshare", "--net", "sh", "-c", "echo; exec sleep 1000"], { stdout: "pipe" });
  holders.push(holder);
  await holder.stdout.getReader().read();
  sh(`/proc/${holder.pid}/ns/net`, "ip link set lo up");
  return `/proc/${holder.pid}/ns/net`;
}

function plugIn(netns: string, name: string, address: string): void {
  sh(etcdHost, `ip link add ${name} type veth peer name eth0 netns ${netns.split("/")[2]} && ip link set ${name} master br0 up`);
  sh(netns, `ip address add ${address}/24 dev eth0 && ip link set eth0 up`);
}

async function engine(netns: string): Promise<Daemon> {
  const store = ["--cluster-store", `etcd://${ETCD}:2379`, "--cluster-advertise", "eth0"];
  const options = ["discovery.heartbeat=1", `discovery.ttl=${TTL_S}`].flatMap((text) => ["--cluster-store-opt", text]);
  const daemon = await Daemon.start({ under: ["nsenter", `--net=${netns}`], args: [...store, ...options, "--plugin-socket-dir", plugins] });
  daemons.push(daemon);
  return daemon;
}

const hosts = new Map<Daemon, string>();

beforeAll(async () => {
  etcdHost = await makeHost();
  sh(etcdHost, `ip link add br0 type bridge && ip link set br0 up && ip address add ${ETCD}/24 dev br0`);
  const [first, second] = [await makeHost(), await makeHost()];
  plugIn(first, "a0", "192.0.2.1");
  plugIn(second, "b0", "192.0.2.2");
  server = new EtcdServer({ address: ETCD, port: 2379, under: ["nsenter", `--net=${etcdHost}`] });
  server.start();
  [a, b] = await Promise.all([engine(first), engine(second)]);
  hosts.set(a, first).set(b, second);
  await until("etcd", () => a.log.includes("etcd is there") && b.log.includes("etcd is there"));
}, 60_000);
afterEach(async () => {
  for (const daemon of daemons) await daemon.removeContainers();
  await until("the networks are gone", async () => {
    const names = (await a.ok("network", "ls", "-q", "--filter", "driver=overlay")).split("\n").filter(Boolean);
    // an address is free once its interface is gone, which the other host may have seen a moment ago
    return names.length === 0 || (await a.docker("network", "rm", ...names)).exitCode === 0;
  });
});
afterAll(async () => {
  await Promise.all(daemons.map((daemon) => daemon[Symbol.asyncDispose]()));
  await server[Symbol.asyncDispose]();
  for (const holder of holders) holder.kill(9);
  rmSync(plugins, { recursive: true, force: true });
});

const create = (daemon: Daemon, name: string, ...options: readonly string[]): Promise<string> =>
  daemon.ok("network", "create", "-d", "overlay", ...options, name);
const known = (daemon: Daemon, name: string): Promise<unknown> =>
  until(`network ${name}`, async () => (await daemon.docker("network", "inspect", name)).exitCode === 0);
const sleeper = (daemon: Daemon, name: string, ...options: readonly string[]): Promise<string> =>
  daemon.ok("run", "-d", "--name", name, ...options, "busybox", "sleep", "1000");
const addressOf = (daemon: Daemon, name: string, network: string): Promise<string> =>
  daemon.ok("inspect", "-f", `{{(index .NetworkSettings.Networks "${network}").IPAddress}}`, name);
const pings = async (daemon: Daemon, from: string, to: string): Promise<boolean> =>
  (await daemon.docker("exec", from, "ping", "-c", "1", "-W", "1", to)).exitCode === 0;

test("a network that one host makes is on the other, and containers reach each other by name", async () => {
  const id = await create(a, "far", "--label", "x=y");
  await known(b, "far");
  expect(await b.ok("network", "inspect", "-f", "{{.Id}} {{.Driver}} {{.Scope}} {{.Labels.x}}", "far")).toBe(`${id} overlay global y`);
  await sleeper(a, "one", "--network", "far");
  await sleeper(b, "two", "--network", "far", "--network-alias", "second");
  expect(await addressOf(a, "one", "far")).not.toBe(await addressOf(b, "two", "far"));
  await until("a way", () => pings(a, "one", "two"));
  expect(await pings(b, "two", "one")).toBe(true);
  expect(await pings(a, "one", "second")).toBe(true);
  expect(await pings(a, "one", "two.far")).toBe(true);
  expect(await a.ok("exec", "one", "cat", "/sys/class/net/eth0/mtu")).toBe("1450");
  // as large as it gets without being cut up: 28 bytes are headers
  expect(await a.ok("exec", "one", "ping", "-c", "1", "-W", "5", "-s", "1422", "two")).toContain("1 packets received");

  await b.ok("rename", "two", "second-name");
  await until("its other name", () => pings(a, "one", "second-name"));
  expect((await a.api("GET", "/system/check")).json).toMatchObject({ Found: 0 });
  await b.ok("rm", "-f", "second-name");
  await until("the entry goes", async () => !sh(hosts.get(a) ?? "", "bridge fdb show").includes("dst 192.0.2.2"));
  expect((await a.docker("exec", "one", "nslookup", "two")).stdout).not.toContain(`10.`);
  expect((await b.docker("network", "rm", "far")).stderr).toContain("has active endpoints");
});

test("IPv6, which the VXLAN answers for, too", async () => {
  await create(a, "six", "--ipv6", "--subnet", "10.78.0.0/24", "--subnet", "fd00:78::/64");
  await known(b, "six");
  await sleeper(a, "one", "--network", "six");
  await sleeper(b, "two", "--network", "six");
  const address = await b.ok("inspect", "-f", '{{(index .NetworkSettings.Networks "six").GlobalIPv6Address}}', "two");
  expect(address).toStartWith("fd00:78::");
  await until("a way", async () => (await a.docker("exec", "one", "ping", "-6", "-c", "1", "-W", "1", address)).exitCode === 0);
});

test("two hosts never take the same: names, subnets, addresses", async () => {
  const both = await Promise.all([
    a.docker("network", "create", "-d", "overlay", "same"),
    b.docker("network", "create", "-d", "overlay", "same"),
  ]);
  expect(both.map(({ exitCode }) => exitCode).sort()).toEqual([0, 1]);
  expect(both.map(({ stderr }) => stderr).join("")).toContain("network with name same already exists");
  // the one that was refused has the other's
  await Promise.all([known(a, "same"), known(b, "same")]);
  await Promise.all([create(a, "n1"), create(b, "n2"), create(a, "n3"), create(b, "n4")]);
  const subnets = await until("all of them", async () => {
    const found = await a.docker("network", "inspect", "-f", "{{range .IPAM.Config}}{{.Subnet}}{{end}}", "n1", "n2", "n3", "n4");
    return found.exitCode === 0 ? found.stdout.trim().split("\n") : undefined;
  });
  expect(new Set(subnets).size).toBe(4);
  const overlap = await b.docker("network", "create", "-d", "overlay", "--subnet", String(subnets[0]), "n5");
  expect(overlap.stderr).toContain("Pool overlaps with other one on this address space");

  await create(a, "small", "--subnet", "10.77.0.0/29");
  await known(b, "small");
  const names = ["c1", "c2", "c3", "c4"];
  await Promise.all(names.map((name, at) => sleeper(at % 2 === 0 ? a : b, name, "--network", "small")));
  const addresses = await Promise.all(names.map((name, at) => addressOf(at % 2 === 0 ? a : b, name, "small")));
  expect(addresses.sort()).toEqual(["10.77.0.2", "10.77.0.3", "10.77.0.4", "10.77.0.5"]);
  const taken = await b.docker("run", "--rm", "--network", "small", "--ip", "10.77.0.2", "busybox", "true");
  expect(taken.stderr).toContain("Address already in use");
});

test("the way out is a second interface on the default bridge, with published ports; not of an internal network", async () => {
  await create(a, "out");
  await a.ok("run", "-d", "--name", "web", "--network", "out", "-p", "8080:80", "busybox", "nc", "-ll", "-p", "80", "-e", "echo", "pong");
  expect(await a.ok("exec", "web", "ip", "route")).toContain(`default via ${a.gateway} dev eth1`);
  await until("an answer", async () => sh(etcdHost, "timeout 2 bash -c 'cat </dev/tcp/192.0.2.1/8080' || true").includes("pong"));
  expect(Object.keys(JSON.parse(await a.ok("inspect", "-f", "{{json .NetworkSettings.Networks}}", "web")))).toEqual(["out"]);
  await create(a, "in", "--internal");
  expect(await a.ok("run", "--rm", "--network", "in", "busybox", "ip", "route")).not.toContain("default");
  // one that leads out takes its place
  await a.ok("network", "create", "local");
  await a.ok("network", "connect", "local", "web");
  expect(await a.ok("exec", "web", "ip", "route")).not.toContain(a.gateway);
  await a.ok("network", "disconnect", "local", "web");
  expect(await a.ok("exec", "web", "ip", "route")).toContain(`default via ${a.gateway}`);
  await a.ok("rm", "-f", "web");
  await a.ok("network", "rm", "local");
});

test("the daemon is killed and comes back: entries are taken up, nothing is doubled", async () => {
  await create(a, "far");
  await known(b, "far");
  await sleeper(a, "one", "--network", "far");
  await sleeper(b, "two", "--network", "far");
  await until("a way", () => pings(a, "one", "two"));
  const before = sh(hosts.get(a) ?? "", "bridge fdb show | grep dst; ip neigh show nud permanent");
  await a.kill9();
  await a.launch();
  await until("etcd", () => a.log.split("etcd is there").length === 3);
  expect(await pings(a, "one", "two")).toBe(true);
  expect(await pings(b, "two", "one")).toBe(true);
  expect(sh(hosts.get(a) ?? "", "bridge fdb show | grep dst; ip neigh show nud permanent")).toBe(before);
  // its entries are under the new daemon's lease: they outlive the old one's
  await Bun.sleep((TTL_S + 1) * 1000);
  expect(await pings(b, "two", "one")).toBe(true);
  expect(await b.ok("exec", "two", "nslookup", "one")).toContain(await addressOf(a, "one", "far"));
}, 60_000);

test("a container that died with its daemon is started with the next one, and is found", async () => {
  await create(a, "far");
  await known(b, "far");
  await sleeper(a, "one", "--network", "far", "--restart", "always");
  await sleeper(b, "two", "--network", "far");
  const { State } = await a.inspect<{ readonly State: { readonly Pid: number } }>("one");
  await a.kill9();
  process.kill(State.Pid, "SIGKILL");
  await a.launch();
  await until("a way", () => pings(b, "two", "one"));
}, 30_000);

test("a network goes as soon as its last container was removed", async () => {
  await create(a, "brief");
  await sleeper(a, "one", "--network", "brief");
  await a.ok("rm", "-f", "one");
  expect(await a.ok("network", "rm", "brief")).toBe("brief");
});

test("a network that is removed while a host is cut off stays there until its containers go, and what it stood in the way of works", async () => {
  const netns = hosts.get(a) ?? "";
  await create(b, "far", "-o", "com.docker.network.driver.overlay.vxlanid_list=5000");
  await known(a, "far");
  await sleeper(a, "one", "--network", "far");
  sh(netns, "ip link set eth0 down");
  await until("the host is gone", async () => (await b.docker("network", "rm", "far")).exitCode === 0);
  sh(netns, "ip link set eth0 up");
  await create(b, "next", "-o", "com.docker.network.driver.overlay.vxlanid_list=5000");
  await known(a, "next");
  expect(await a.ok("exec", "one", "cat", "/sys/class/net/eth0/operstate")).toBe("up");
  await a.ok("rm", "-f", "one");
  await a.ok("network", "rm", "far");
  expect(await a.ok("run", "--rm", "--network", "next", "busybox", "echo", "in")).toBe("in");
}, 30_000);

test("etcd is away: traffic goes on, what needs it is refused by name; when it is back, what is gone goes", async () => {
  await create(a, "far");
  await known(b, "far");
  await sleeper(a, "one", "--network", "far");
  await sleeper(b, "two", "--network", "far");
  await until("a way", () => pings(a, "one", "two"));
  await server.kill();
  const refused = await a.docker("run", "--rm", "--network", "far", "busybox", "true");
  expect(refused.stderr).toContain("overlay network far: etcd can't be reached");
  expect(refused.stderr).toContain("http://192.0.2.10:2379");
  expect((await a.docker("network", "create", "-d", "overlay", "more")).stderr).toContain("etcd can't be reached");
  expect(await pings(a, "one", "two")).toBe(true);
  await b.ok("rm", "-f", "two");
  server.start();
  await until("the entry goes", async () => !sh(hosts.get(a) ?? "", "bridge fdb show").includes("dst 192.0.2.2"));
  await until("room for a new one", async () => (await b.docker("run", "--rm", "--network", "far", "busybox", "true")).exitCode === 0);
}, 60_000);

test("a host dies: its entries go with its lease", async () => {
  await create(a, "far");
  await known(b, "far");
  await sleeper(a, "one", "--network", "far");
  await sleeper(b, "two", "--network", "far");
  await until("a way", () => pings(a, "one", "two"));
  const netns = hosts.get(b) ?? "";
  await b.kill9();
  sh(netns, "ip link set eth0 down");
  await until("the entry goes", () => !sh(hosts.get(a) ?? "", "bridge fdb show").includes("dst 192.0.2.2"));
  sh(netns, "ip link set eth0 up");
  await b.launch();
  // its container never ended
  await until("a way again", () => pings(a, "one", "two"));
}, 60_000);

test("an IPAM plug-in that all hosts have gives out the addresses; whoever removes the network gives them back, once", async () => {
  const ipam = Bun.spawn([process.execPath, join(import.meta.dir, "testdata/ipam.ts"), join(plugins, "ipam.sock"), plugins], {
    stdout: "pipe",
    stderr: "inherit",
  });
  holders.push(ipam);
  await ipam.stdout.getReader().read();
  const read = (file: string): string[] =>
    existsSync(join(plugins, file)) ? readFileSync(join(plugins, file), "utf8").split("\n").filter(Boolean) : [];
  const calls = (): string[] => read("calls").filter((line) => /^(Request|Release)/.test(line));
  // another network may have the same one
  await create(a, "own", "--subnet", "10.76.0.0/24");
  await create(a, "given", "--ipam-driver", "ipam", "--subnet", "10.76.0.0/24", "--aux-address", "printer=10.76.0.9");
  await known(b, "given");
  await sleeper(a, "one", "--network", "given");
  await sleeper(b, "two", "--network", "given");
  expect([await addressOf(a, "one", "given"), await addressOf(b, "two", "given")]).toEqual(["10.76.0.2", "10.76.0.3"]);
  await until("a way", () => pings(b, "two", "one"));
  const asked = calls();
  expect(asked).toEqual(
    [
      "RequestPool there 10.76.0.0/24",
      'RequestAddress 10.76.0.0/24 10.76.0.1 {"RequestAddressType":"com.docker.network.gateway"}',
      "RequestAddress 10.76.0.0/24 10.76.0.9",
      "RequestAddress 10.76.0.0/24",
      "RequestAddress 10.76.0.0/24",
    ].map((line) => line.replace(" 10.76.0.1 {", " {")),
  );
  // both know after a kill what is in use
  await Promise.all([a.kill9(), b.kill9()]);
  await Promise.all([a.launch(), b.launch()]);
  await until("a way again", () => pings(b, "two", "one"));
  await until("etcd", async () => (await b.docker("run", "--rm", "--network", "given", "busybox", "true")).exitCode === 0);
  await until("that address goes back", () => calls().length === asked.length + 2);
  await a.ok("rm", "-f", "one");
  await b.ok("rm", "-f", "two");
  await until("its last container is gone", async () => (await b.docker("network", "rm", "given")).exitCode === 0);
  await until("it is gone on the other", async () => (await a.docker("network", "inspect", "given")).exitCode !== 0);
  expect(read("given")).toEqual([]);
  expect(calls().filter((line) => line.startsWith("ReleasePool"))).toEqual(["ReleasePool 10.76.0.0/24"]);
  // both at once: one of them gives the pool back, and both have done what they were asked to, or find it done
  for (let round = 0; round < 4; round++) {
    const before = calls().length;
    await create(a, "both", "--ipam-driver", "ipam");
    await known(b, "both");
    const removals = await Promise.all([a, b].map((host) => host.docker("network", "rm", "both")));
    expect(removals.some(({ exitCode }) => exitCode === 0)).toBe(true);
    for (const { exitCode, stderr } of removals) if (exitCode !== 0) expect(stderr).toMatch(/network both not found|No such network: both/);
    for (const host of [a, b]) await until("it is gone", async () => (await host.docker("network", "inspect", "both")).exitCode !== 0);
    expect(
      calls()
        .slice(before)
        .filter((line) => line.startsWith("ReleasePool")),
    ).toHaveLength(1);
  }
  expect(read("given")).toEqual([]);
  const after = calls();
  await a.kill9();
  await a.launch();
  await until("etcd", () => a.log.includes("etcd is there"));
  await create(a, "again", "--ipam-driver", "ipam");
  expect(
    calls()
      .slice(after.length)
      .filter((line) => line.startsWith("Release")),
  ).toEqual([]);
  ipam.kill();
  await ipam.exited;
  expect((await b.docker("run", "--rm", "--network", "again", "busybox", "true")).stderr).toContain("ipam");
}, 60_000);

test("encryption: a kernel without IPsec refuses it, and nothing is left", async () => {
  const esp = `ip xfrm state add src ::1 dst ::1 proto esp spi 0x100 mode transport aead 'rfc4106(gcm(aes))' 0x${"00".repeat(20)} 128`;
  // where the kernel has it, test/vm/overlay.sh has the rest
  if (Bun.spawnSync(["unshare", "--net", "sh", "-c", esp]).exitCode === 0) return;
  const netns = hosts.get(a) ?? "";
  const refusal = "cannot join secure network: required modules to install IPSEC rules are missing on host: ";
  const { exitCode, stderr } = await a.docker("network", "create", "-d", "overlay", "--opt", "encrypted", "sealed");
  expect([exitCode, stderr]).toEqual([1, expect.stringContaining(refusal)]);
  expect(stderr).toContain("nothing is sent unencrypted");
  expect(sh(netns, "nft list tables | grep overlay || true; ip xfrm policy; ip xfrm state; ip -br link show type vxlan")).toBe("");
  expect((await a.docker("network", "inspect", "sealed")).exitCode).toBe(1);
});

test("an etcd of nobody's: the daemon starts all the same", async () => {
  const etcd = new Etcd({ endpoints: ["http://127.0.0.1:1"], timeoutMs: 200 });
  await expect(etcd.get("x")).rejects.toMatchObject({ kind: "unavailable" });
  const store = ["--cluster-store", "etcd://127.0.0.1:1", "--cluster-advertise", "127.0.0.1"];
  await using lonely = await Daemon.start({ args: store, withImage: false });
  expect((await lonely.docker("network", "create", "-d", "overlay", "x")).stderr).toContain("etcd can't be reached (http://127.0.0.1:1: ");
});

test("a daemon that shares no etcd says what to set", async () => {
  await using alone = await Daemon.start({ withImage: false });
  const { exitCode, stderr } = await alone.docker("network", "create", "-d", "overlay", "x");
  expect(exitCode).toBe(1);
  expect(stderr).toContain('datastore for scope "global" is not initialized');
  expect(stderr).toContain("--cluster-store etcd://host:port");
});
