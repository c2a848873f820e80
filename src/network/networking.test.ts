import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DhowError, silentLogger } from "../lib/mod.ts";
import {
  addBridge,
  addIpAddress,
  addRoute,
  addVeth,
  CLONE_NEWNET,
  createNetnsFd,
  currentNetns,
  deleteLink,
  type Fd,
  findLink,
  insideNetns,
  listLinks,
  NETLINK,
  NetlinkSocket,
  O_RDONLY,
  open,
  type Request,
  setLink,
  setns,
} from "../linux/mod.ts";
import { Database, EndpointsTable, MIGRATIONS } from "../metadata/mod.ts";
import { ipBytes, parseIp } from "./ip.ts";
import { Networking } from "./networking.ts";
import type { NetworkingOptions } from "./networking-options.ts";
import { type PortSpecs, parsePortSpecs } from "./port-specs.ts";

// This process's main thread moves into a network namespace of its own, which plays the host; another one plays a host outside.
const isRoot = process.getuid?.() === 0;
const OUTSIDE = "198.51.100.2";
const HOST = "198.51.100.1";

let origin: Fd;
let host: Fd;
let outside: Fd;
let dir: string;
const children: { kill(): void; readonly exited: Promise<number> }[] = [];
const opened: Networking[] = [];
const databases: Database[] = [];

function up(...requests: Request[]): void {
  using socket = new NetlinkSocket(NETLINK.ROUTE);
  socket.request(...requests);
}

beforeAll(() => {
  if (!isRoot) return;
  dir = mkdtempSync(join(tmpdir(), "dhow-net-"));
  origin = currentNetns();
  host = createNetnsFd(origin, () => {});
  insideNetns(origin, host.fd, () => {
    outside = createNetnsFd(host, () => {});
    up(setLink(1, { up: true }), addVeth({ name: "wan0" }, { name: "eth0", index: 2, netnsFd: outside.fd }));
    using socket = new NetlinkSocket(NETLINK.ROUTE);
    const wan = findLink(socket, "wan0")?.index ?? 0;
    up(setLink(wan, { up: true }), addIpAddress(wan, ip(HOST), 24));
  });
  insideNetns(origin, outside.fd, () => {
    up(setLink(1, { up: true }), setLink(2, { up: true }), addIpAddress(2, ip(OUTSIDE), 24));
    up(addRoute({ family: 4, gateway: ip(HOST), index: 2 }));
  });
  // from here on, until afterAll, this thread is on the test's host
  enter(host);
});

function enter(netns: Fd): void {
  setns(netns.fd, CLONE_NEWNET);
}

afterEach(async () => {
  for (const child of children.splice(0)) {
    child.kill();
    await child.exited;
  }
  for (const n of opened.splice(0)) {
    for (const s of n.sandboxes()) n.release(s.containerId);
    n.stop({ removeAll: true });
  }
  for (const db of databases.splice(0)) db[Symbol.dispose]();
});

afterAll(() => {
  if (!isRoot) return;
  enter(origin);
  for (const fd of [host, outside, origin]) fd.close();
  rmSync(dir, { recursive: true, force: true });
});

function database(path = ":memory:"): Database {
  const db = Database.open(path, MIGRATIONS);
  databases.push(db);
  return db;
}

const ip = (text: string): Uint8Array => ipBytes(parseIp(text));

async function networking(options: Partial<NetworkingOptions> = {}): Promise<Networking> {
  const n = new Networking({
    db: options.db ?? database(),
    log: silentLogger,
    bridgeName: "dhowtest0",
    tableName: "dhowtest0",
    bip: "10.93.0.1/24",
    poolSize: 2,
    ...options,
  });
  opened.push(n);
  await n.start();
  return n;
}

interface Wish {
  readonly ports?: PortSpecs;
  readonly mac?: string;
}

/** A container's place on the default bridge. */
async function take(n: Networking, id: string, wish: Wish = {}) {
  const networkId = n.network("bridge")?.id ?? "";
  const s = await n.acquire(id, {
    containerName: "web",
    ports: wish.ports ?? bindings({}),
    endpoints: [{ networkId, names: [], mac: wish.mac }],
  });
  return { ...s, ipAddress: s.endpoints[0]?.ipv4?.address ?? "", endpointId: s.endpoints[0]?.endpointId ?? "" };
}

/** Starts a server in a sandbox that answers with its name and the client's address, TCP and UDP on the same port. */
async function serve(netnsPath: string, name: string, port: number, hostname = "0.0.0.0"): Promise<void> {
  const code = `
    const dgram = require("node:dgram");
    const plain = (address) => address.replace("::ffff:", "");
    Bun.listen({ hostname: "${hostname}", port: ${port}, socket: { open(s) { s.end("${name} " + plain(s.remoteAddress)); }, data() {} } });
    const u = dgram.createSocket("udp4");
    u.on("message", (m, from) => u.send("${name} " + from.address, from.port, from.address));
    u.bind(${port}, "0.0.0.0", () => console.log("ready"));`;
  const child = Bun.spawn(["nsenter", `--net=${netnsPath}`, process.execPath, "-e", code], { stdout: "pipe", stderr: "inherit" });
  children.push(child);
  const reader = child.stdout.getReader();
  await reader.read();
  reader.releaseLock();
}

/** Gives an interface of a namespace an IPv6 address. */
function up6(netns: Fd, name: string, address: string): void {
  insideNetns(host, netns.fd, () => {
    writeFileSync(`/proc/sys/net/ipv6/conf/${name}/disable_ipv6`, "0");
    using socket = new NetlinkSocket(NETLINK.ROUTE);
    const [failed] = socket.requestAll([addIpAddress(findLink(socket, name)?.index ?? 0, ip(address), 64)]);
    if (failed !== undefined && failed.code !== "EEXIST") throw failed;
  });
}

/** What a TCP client reads that runs in `netns` (undefined: on the host). */
async function ask(netns: string | undefined, address: string, port: number): Promise<string> {
  const code = `
    const s = require("node:net").connect({ host: "${address}", port: ${port} });
    let text = "";
    s.setTimeout(700, () => { console.log("timeout"); process.exit(0); });
    s.on("data", (d) => { text += d; }); s.on("error", (e) => { console.log(e.code); process.exit(0); });
    s.on("end", () => { console.log(text); process.exit(0); });`;
  return run(netns, code);
}

async function askUdp(netns: string | undefined, address: string, port: number): Promise<string> {
  const code = `
    const u = require("node:dgram").createSocket("${address.includes(":") ? "udp6" : "udp4"}");
    u.on("message", (m) => { console.log(m.toString()); process.exit(0); });
    u.send("hi", ${port}, "${address}"); setTimeout(() => { console.log("timeout"); process.exit(0); }, 700);`;
  return run(netns, code);
}

async function run(netns: string | undefined, code: string): Promise<string> {
  const prefix = netns === undefined ? [] : ["nsenter", `--net=${netns}`];
  const child = Bun.spawn([...prefix, process.execPath, "-e", code], { stdout: "pipe", stderr: "inherit" });
  return (await child.stdout.text()).trim();
}

const outsidePath = (): string => `/proc/${process.pid}/fd/${outside.fd}`;

function bindings(ports: Readonly<Record<string, string>>) {
  const portBindings = Object.fromEntries(
    Object.entries(ports).map(([key, value]) => {
      const at = value.lastIndexOf(":");
      return [key, [{ HostIp: at < 0 ? "" : value.slice(0, at), HostPort: value.slice(at + 1) }]];
    }),
  );
  return parsePortSpecs({ exposedPorts: {}, portBindings, publishAll: false });
}

const request = (ports: Readonly<Record<string, string>> = {}): Wish => ({ ports: bindings(ports) });

describe.skipIf(!isRoot)("Networking (needs root)", () => {
  test("acquire() gives an addressed, routed sandbox that reaches hosts outside as the host", async () => {
    const n = await networking();
    const s = await take(n, "a", request());
    expect(s).toMatchObject({
      endpoints: [{ ipv4: { address: "10.93.0.2", prefixLength: 24 }, gateway: "10.93.0.1", macAddress: "02:42:0a:5d:00:02" }],
      ports: {},
    });
    await serve(outsidePath(), "outside", 7000);
    expect(await ask(s.netnsPath, OUTSIDE, 7000)).toBe(`outside ${HOST}`);
  });

  test("a published port answers from outside with the client's address kept, from the host's loopback, and by hairpin", async () => {
    const n = await networking();
    const a = await take(n, "a", request({ "80/tcp": "8080", "80/udp": "8080" }));
    const b = await take(n, "b", request());
    expect(a.ports["80/tcp"]).toEqual([
      { HostIp: "0.0.0.0", HostPort: "8080" },
      { HostIp: "::", HostPort: "8080" },
    ]);
    await serve(a.netnsPath, "a", 80);
    expect(await ask(outsidePath(), HOST, 8080)).toBe(`a ${OUTSIDE}`);
    expect(await ask(undefined, "127.0.0.1", 8080)).toBe("a 10.93.0.1");
    expect(await ask(undefined, HOST, 8080)).toBe(`a ${HOST}`);
    expect(await ask(b.netnsPath, HOST, 8080)).toBe("a 10.93.0.1");
    expect(await ask(a.netnsPath, HOST, 8080)).toBe("a 10.93.0.1");
    expect(await ask(b.netnsPath, "10.93.0.2", 80)).toBe("a 10.93.0.3");
    expect(await askUdp(outsidePath(), HOST, 8080)).toBe(`a ${OUTSIDE}`);
    expect(await askUdp(undefined, "127.0.0.1", 8080)).toBe("a 10.93.0.1");
    expect(await ask(undefined, "::1", 8080)).toBe("a 10.93.0.1");
    expect(await askUdp(undefined, "::1", 8080)).toBe("a 10.93.0.1");
  });

  test("what is not published is not reached from outside, and the host's loopback not from a container", async () => {
    const n = await networking();
    const a = await take(n, "a", request({ "80/tcp": "127.0.0.1:8081" }));
    await serve(a.netnsPath, "a", 80);
    expect(await ask(outsidePath(), "10.93.0.2", 80)).toBe("timeout");
    expect(await ask(outsidePath(), HOST, 8081)).toBe("ECONNREFUSED");
    expect(await ask(undefined, "127.0.0.1", 8081)).toBe("a 10.93.0.1");
    await serve("/proc/self/ns/net", "host", 7001);
    expect(await ask(undefined, "127.0.0.1", 7001)).toBe("host 127.0.0.1");
    Bun.spawnSync(["nsenter", `--net=${a.netnsPath}`, "ip", "route", "add", "127.0.0.9/32", "via", "10.93.0.1"]);
    Bun.spawnSync(["nsenter", `--net=${a.netnsPath}`, "ip", "addr", "del", "127.0.0.1/8", "dev", "lo"]);
    Bun.spawnSync(["nsenter", `--net=${a.netnsPath}`, "sh", "-c", "echo 1 > /proc/sys/net/ipv4/conf/all/route_localnet"]);
    expect(await ask(a.netnsPath, "127.0.0.9", 7001)).not.toContain("host");
  });

  test("ranges that keep their number become one element and answer", async () => {
    const n = await networking();
    const specs = parsePortSpecs({
      exposedPorts: {},
      portBindings: Object.fromEntries([8000, 8001, 8002, 8003].map((p) => [`${p}/tcp`, [{ HostPort: `${p}` }]])),
      publishAll: false,
    });
    const a = await take(n, "a", { ports: specs });
    await serve(a.netnsPath, "a", 8002);
    expect(await ask(outsidePath(), HOST, 8002)).toBe(`a ${OUTSIDE}`);
    const table = Bun.spawnSync(["nft", "list", "table", "ip", "dhowtest0"]).stdout.toString();
    expect(table).toContain("tcp . 8000-8003 : 10.93.0.2");
    n.release("a");
    expect(Bun.spawnSync(["nft", "list", "table", "ip", "dhowtest0"]).stdout.toString()).not.toContain("8000-8003");
  });

  test("conflicts are found before anything starts, in docker's words, and leave nothing behind", async () => {
    const n = await networking();
    await take(n, "a", request({ "80/tcp": "8080" }));
    await expect(take(n, "b", request({ "81/tcp": "8082", "80/tcp": "8080" }))).rejects.toThrow(
      /^driver failed programming external connectivity on endpoint web \([0-9a-f]{64}\): Bind for 0\.0\.0\.0:8080 failed: port is already allocated$/,
    );
    await take(n, "c", request({ "81/tcp": "8082" }));
    await expect(take(n, "d", request({ "80/tcp": "127.0.0.1:8080" }))).rejects.toThrow(
      /Bind for 127\.0\.0\.1:8080 failed: port is already allocated/,
    );
    n.release("a");
    expect((await take(n, "b", request({ "80/tcp": "8080" }))).ports["80/tcp"]?.[0]?.HostPort).toBe("8080");
  });

  test("a port that a process of the host listens on is refused", async () => {
    const n = await networking();
    const server: Server = createServer();
    await new Promise<void>((resolve) => server.listen(8090, "0.0.0.0", resolve));
    try {
      await expect(take(n, "a", request({ "80/tcp": "8090" }))).rejects.toThrow(
        /failed to bind host port for 0\.0\.0\.0:8090:10\.93\.0\.\d:80\/tcp: address already in use$/,
      );
    } finally {
      server.close();
    }
  });

  test("a random port comes from the ephemeral range and is held against processes of the host", async () => {
    const n = await networking();
    const s = await take(n, "a", request({ "80/tcp": "" }));
    const port = Number(s.ports["80/tcp"]?.[0]?.HostPort);
    expect(port).toBeGreaterThanOrEqual(32768);
    expect(port).toBeLessThanOrEqual(60999);
    const server = createServer();
    const code = await new Promise((resolve) => {
      server.on("error", (e) => resolve("code" in e ? e.code : e));
      server.listen(port, "0.0.0.0", () => resolve("listening"));
    });
    server.close();
    expect(code).toBe("EADDRINUSE");
  });

  test("the next daemon keeps endpoints of living containers, and their traffic, and drops the others", async () => {
    const db = database(join(dir, "restart.sqlite"));
    const first = await networking({ db });
    const a = await take(first, "a", request({ "80/tcp": "8080" }));
    const b = await take(first, "b", request({ "80/tcp": "8083" }));
    await serve(a.netnsPath, "a", 80);
    const keeper = Bun.spawn(["nsenter", `--net=${a.netnsPath}`, "sleep", "60"]);
    const other = Bun.spawn(["nsenter", `--net=${b.netnsPath}`, "sleep", "60"]);
    children.push(keeper, other);
    await Bun.sleep(20);
    opened.splice(opened.indexOf(first), 1);
    first.stop();
    expect(await ask(outsidePath(), HOST, 8080)).toBe(`a ${OUTSIDE}`);
    const second = await networking({ db });
    expect(await ask(outsidePath(), HOST, 8080)).toBe(`a ${OUTSIDE}`);
    expect(await ask(undefined, "::1", 8080)).toBe("a 10.93.0.1");
    second.adopt(new Map([["a", keeper.pid]]));
    expect(second.sandbox("a")).toMatchObject({ endpoints: a.endpoints, ports: a.ports });
    expect(second.sandbox("b")).toBeUndefined();
    expect(await ask(outsidePath(), HOST, 8083)).toBe("ECONNREFUSED");
    const c = await take(second, "c", request({ "80/tcp": "8083" }));
    expect([a.ipAddress, b.ipAddress]).not.toContain(c.ipAddress);
    await expect(take(second, "d", request({ "80/tcp": "8080" }))).rejects.toThrow(/port is already allocated/);
  });

  test("two daemons work side by side and their containers reach each other over published ports only", async () => {
    const one = await networking();
    const two = await networking({ bridgeName: "dhowtest1", tableName: "dhowtest1", bip: "10.94.0.1/24" });
    const a = await take(one, "a", request({ "80/tcp": "8080" }));
    const b = await take(two, "b", request({ "80/tcp": "8084" }));
    await serve(a.netnsPath, "a", 80);
    await serve(b.netnsPath, "b", 80);
    expect(await ask(outsidePath(), HOST, 8080)).toBe(`a ${OUTSIDE}`);
    expect(await ask(outsidePath(), HOST, 8084)).toBe(`b ${OUTSIDE}`);
    expect(await ask(b.netnsPath, HOST, 8080)).toStartWith("a ");
    expect(await ask(b.netnsPath, a.ipAddress, 80)).toBe("timeout");
    await expect(take(two, "c", request({ "80/tcp": "8080" }))).rejects.toThrow(/address already in use/);
  });

  test("a bridge that somebody else made is used and stays, with its MTU", async () => {
    const bridge = "dhowtest4";
    up(addBridge({ name: bridge }));
    using socket = new NetlinkSocket(NETLINK.ROUTE);
    try {
      const index = findLink(socket, bridge)?.index ?? 0;
      up(setLink(index, { up: true, mtu: 1400 }), addIpAddress(index, ip("10.96.0.1"), 24));
      const db = database();
      for (let life = 0; life < 2; life++) {
        const n = await networking({ db, bridgeName: bridge, tableName: bridge, bip: undefined });
        expect((await take(n, "a", request())).endpoints[0]?.gateway).toBe("10.96.0.1");
        n.release("a");
        opened.splice(opened.indexOf(n), 1);
        n.stop({ removeAll: true });
        expect(findLink(socket, bridge)?.mtu).toBe(1400);
        expect(Bun.spawnSync(["nft", "list", "table", "ip", bridge], { stderr: "ignore" }).exitCode).not.toBe(0);
      }
    } finally {
      up(deleteLink(bridge));
    }
  });

  test("a bridge goes with the daemon that made it, in whichever life, and not when somebody made it anew", async () => {
    using socket = new NetlinkSocket(NETLINK.ROUTE);
    const db = database();
    const stopped = async (removeAll: boolean): Promise<void> => {
      const n = await networking({ db });
      opened.splice(opened.indexOf(n), 1);
      n.stop({ removeAll });
    };
    await stopped(false);
    expect(findLink(socket, "dhowtest0")).toBeDefined();
    await stopped(true);
    expect(findLink(socket, "dhowtest0")).toBeUndefined();
    await stopped(false);
    up(deleteLink("dhowtest0"), addBridge({ name: "dhowtest0" }));
    try {
      await stopped(true);
      expect(findLink(socket, "dhowtest0")).toBeDefined();
    } finally {
      up(deleteLink("dhowtest0"));
    }
  });

  test("a second daemon with the same bridge, or with a network of another bridge, is refused and leaves nothing", async () => {
    await networking();
    await expect(networking()).rejects.toThrow('bridge "dhowtest0" is in use by another daemon; choose another --bridge');
    for (const bip of ["10.93.0.1/24", "10.93.0.129/25", "10.93.1.1/16"]) {
      await expect(networking({ bridgeName: "dhowtest1", tableName: "dhowtest1", bip })).rejects.toThrow(
        `requested network overlaps with existing network: --bip ${bip} overlaps 10.93.0.0/24 of interface dhowtest0; choose another --bip`,
      );
    }
    // the network of an interface that is no bridge may be divided, not taken
    await expect(networking({ bridgeName: "dhowtest2", tableName: "dhowtest2", bip: "198.51.100.9/24" })).rejects.toThrow(
      "of interface wan0",
    );
    using socket = new NetlinkSocket(NETLINK.ROUTE);
    expect(findLink(socket, "dhowtest1")).toBeUndefined();
    expect(findLink(socket, "dhowtest2")).toBeUndefined();
  });

  test("after release() nothing is left: interfaces, ports, rows; the address rests", async () => {
    const db = database();
    const n = await networking({ db, poolSize: 0 });
    const s = await take(n, "a", request({ "80/tcp": "8080" }));
    n.release("a");
    const t = await take(n, "b", request({ "80/tcp": "8080" }));
    expect(t.ipAddress).not.toBe(s.ipAddress);
    n.release("b");
    using socket = new NetlinkSocket(NETLINK.ROUTE);
    // the kernel takes namespaces down one after the other, those of the whole machine
    for (let i = 0; i < 1000 && listLinks(socket).some((l) => l.name.startsWith("veth")); i++) await Bun.sleep(50);
    expect(listLinks(socket).filter((l) => l.name.startsWith("veth"))).toEqual([]);
    expect(db.sqlite.query("SELECT container_id FROM sandboxes UNION SELECT container_id FROM plugs").all()).toEqual([]);
  }, 60_000);

  test("what the last daemon was plugging into a container, or out of it, goes; what the container made itself stays", async () => {
    const path = join(dir, "half-plugged.sqlite");
    const db = database(path);
    const n = await networking({ db });
    const s = await take(n, "a");
    await serve(s.netnsPath, "a", 80);
    const inside = (command: string): string => {
      const { stdout, stderr, exitCode } = Bun.spawnSync(["nsenter", `--net=${s.netnsPath}`, "sh", "-c", command]);
      if (exitCode !== 0) throw new Error(`${command}: ${stderr}`);
      return stdout.toString();
    };
    for (const name of ["eth1", "lan0123456789", "eth7"]) inside(`ip link add ${name} type veth peer name p${name.slice(-1)}`);
    const table = new EndpointsTable(db);
    for (const name of ["eth0", "eth1"]) table.notePlugging("a", name);
    n.stop();
    opened.splice(opened.indexOf(n), 1);
    const next = await networking({ db: database(path) });
    const keeper = children[0] as unknown as { readonly pid: number };
    next.adopt(new Map([["a", keeper.pid]]));
    const names = Bun.spawnSync(["nsenter", `--net=/proc/${keeper.pid}/ns/net`, "ip", "-br", "link"]).stdout.toString();
    expect(names.match(/^[^ @]+/gm)?.toSorted()).toEqual(["eth0", "eth7", "lo", "p7"]);
    expect(table.plugging("a")).toEqual([]);
  });

  test("an endpoint of a LAN leaves no note, made or refused", async () => {
    const db = database();
    const n = await networking({ db });
    await take(n, "a");
    const lan = await n.createNetwork({
      ...{ name: "lan", driver: "macvlan", isInternal: false, isAttachable: false, isConfigOnly: false, configFrom: "" },
      ...{ hasIpv4: true, hasIpv6: false, ipamDriver: "default", ipamOptions: {}, pools: [{ subnet: "10.97.0.0/24" }] },
      ...{ options: { parent: "wan0" }, labels: {} },
    });
    const wish = { networkId: lan.id, names: [] };
    const table = new EndpointsTable(db);
    await n.connect("a", wish);
    expect(table.plugging("a")).toEqual([]);
    await n.disconnect("a", lan.id);
    expect(table.plugging("a")).toEqual([]);
    // a name that the kernel refuses
    await expect(n.connect("a", { ...wish, options: { "com.docker.network.endpoint.ifname": "all" } })).rejects.toThrow();
    for (const [name, refusal] of [
      ["lo", 'interface name "lo" is in use in this container'],
      [".", 'invalid interface name "."'],
      ["a/b", 'invalid interface name "a/b"'],
    ] as const) {
      await expect(n.connect("a", { ...wish, options: { "com.docker.network.endpoint.ifname": name } })).rejects.toThrow(refusal);
    }
    expect(table.plugging("a")).toEqual([]);
    await n.removeNetwork(lan.id);
  });

  test("an interface whose namespace somebody still holds goes with the daemon", async () => {
    const n = await networking({ poolSize: 0 });
    const s = await take(n, "a");
    using _held = open(s.netnsPath, O_RDONLY);
    n.release("a");
    n.stop({ removeAll: true });
    opened.splice(opened.indexOf(n), 1);
    using socket = new NetlinkSocket(NETLINK.ROUTE);
    expect(listLinks(socket).map(({ name }) => name)).toEqual(["lo", "wan0"]);
  });

  test("--fixed-cidr is a part of the bridge's network, or all of it; the bridge's address is a host's", async () => {
    for (const [options, refusal] of [
      [{ bip: "10.95.0.0/24" }, 'error creating default "bridge" network: failed to allocate gateway (10.95.0.0): Address already in use'],
      [{ bip: "10.95.0.1/24", fixedCidr: "10.96.0.0/25" }, "invalid address subpool: --fixed-cidr is not a part of 10.95.0.0/24"],
      [{ bip: "10.95.0.1/24", fixedCidr: "10.95.0.0/23" }, "invalid address subpool: --fixed-cidr is not a part of 10.95.0.0/24"],
      [{ bip: undefined, fixedCidr: "198.51.100.0/24" }, "--fixed-cidr 198.51.100.0/24 overlaps 198.51.100.0/24 of interface wan0"],
    ] as const) {
      await expect(networking({ poolSize: 0, ...options })).rejects.toThrow(refusal);
    }
    const n = await networking({ bip: undefined, fixedCidr: "10.96.0.0/25", poolSize: 0 });
    const [endpoint] = (await take(n, "a")).endpoints;
    expect([endpoint?.ipv4, endpoint?.gateway]).toEqual([{ address: "10.96.0.2", prefixLength: 25 }, "10.96.0.1"]);
  });

  test("a small network is used to its last address, then says which setting to change; released ones come back", async () => {
    const n = await networking({ bip: "10.95.0.1/29", poolSize: 0 });
    const got: string[] = [];
    for (const id of ["a", "b", "c", "d", "e"]) got.push((await take(n, id)).ipAddress);
    expect(got).toEqual(["10.95.0.2", "10.95.0.3", "10.95.0.4", "10.95.0.5", "10.95.0.6"]);
    await expect(take(n, "f", request())).rejects.toThrow(/no available IPv4 addresses .* set a larger "bip" or "fixed-cidr"/);
    n.release("c");
    expect((await take(n, "f", request())).ipAddress).toBe("10.95.0.4");
  });

  test("mode none has a loopback and nothing else; a wanted MAC address is set; counters count", async () => {
    const n = await networking();
    const none = await n.acquire("n", { containerName: "n", ports: bindings({}), endpoints: [] });
    const links = Bun.spawnSync(["nsenter", `--net=${none.netnsPath}`, "ip", "-br", "link"])
      .stdout.toString()
      .trim();
    expect(links).toMatch(/^lo +UNKNOWN.*$/);
    const s = await take(n, "m", { mac: "02:42:00:00:00:99" });
    expect(s.endpoints[0]?.macAddress).toBe("02:42:00:00:00:99");
    const text = Bun.spawnSync(["nsenter", `--net=${s.netnsPath}`, "ip", "addr"]).stdout.toString();
    expect(text).toContain("02:42:00:00:00:99");
    expect(text).not.toContain("inet6 fe80");
    await serve(outsidePath(), "outside", 7002);
    expect(await ask(s.netnsPath, OUTSIDE, 7002)).toBe(`outside ${HOST}`);
    const stats = n.stats("m");
    expect(stats["eth0"]?.rx_bytes).toBeGreaterThan(0);
    expect(stats["eth0"]?.tx_packets).toBeGreaterThan(2);
    expect(n.stats("n")).toEqual({});
  });

  test("the default bridge can have IPv6: published ports keep the client's address in both families", async () => {
    const n = await networking({ hasIpv6: true, ulaSeed: "one" });
    const a = await take(n, "a", request({ "80/tcp": "8080" }));
    expect(n.network("bridge")?.pools[1]?.subnet).toMatch(/^fd[0-9a-f]{2}:[0-9a-f]+:[0-9a-f]+::\/64$/);
    expect(a.endpoints[0]?.ipv6?.address).toEndWith("::2");
    await serve(a.netnsPath, "a", 80, "::");
    up6(host, "wan0", "2001:db8::1");
    up6(outside, "eth0", "2001:db8::2");
    // the wire is new: the kernel looks for duplicates of its own addresses first
    for (let i = 0; i < 20 && (await ask(outsidePath(), "2001:db8::1", 8080)) === "timeout"; i++);
    expect(await ask(outsidePath(), "2001:db8::1", 8080)).toBe("a 2001:db8::2");
    expect(await ask(outsidePath(), HOST, 8080)).toBe(`a ${OUTSIDE}`);
    expect(await ask(undefined, "::1", 8080)).toStartWith("a ");
    const b = await take(n, "b");
    expect(await ask(b.netnsPath, a.endpoints[0]?.ipv6?.address ?? "", 80)).toBe(`a ${b.endpoints[0]?.ipv6?.address}`);
    const other = await networking({ bridgeName: "dhowtest1", tableName: "dhowtest1", bip: "10.94.0.1/24", hasIpv6: true, ulaSeed: "two" });
    const c = await take(other, "c");
    expect(await ask(c.netnsPath, a.endpoints[0]?.ipv6?.address ?? "", 80)).toBe("timeout");
  });

  test("icc=false keeps containers of the bridge apart", async () => {
    const n = await networking({ icc: false });
    const a = await take(n, "a", request({ "80/tcp": "8080" }));
    const b = await take(n, "b", request());
    await serve(a.netnsPath, "a", 80);
    expect(await ask(b.netnsPath, a.ipAddress, 80)).not.toContain("a ");
    expect(await ask(b.netnsPath, HOST, 8080)).toStartWith("a ");
  });

  test("the default network keeps away from the host's routes; a table that somebody deleted comes back", async () => {
    const n = new Networking({
      db: database(),
      log: silentLogger,
      bridgeName: "dhowtest2",
      tableName: "dhowtest2",
      poolSize: 0,
      defaultAddressPools: [{ base: "198.51.100.0/23", size: 24 }],
    });
    opened.push(n);
    await n.start();
    expect(n.network("bridge")?.pools).toEqual([{ subnet: "198.51.101.0/24", gateway: "198.51.101.1" }]);
    Bun.spawnSync(["nft", "delete", "table", "ip", "dhowtest2"]);
    const a = await take(n, "a", request({ "80/tcp": "8085" }));
    await serve(a.netnsPath, "a", 80);
    expect(await ask(outsidePath(), HOST, 8085)).toBe(`a ${OUTSIDE}`);
    const full = networking({
      bip: undefined,
      bridgeName: "dhowtest3",
      tableName: "dhowtest3",
      defaultAddressPools: [{ base: "198.51.100.0/24", size: 24 }],
    });
    await expect(full).rejects.toThrow(DhowError);
    expect(readFileSync("/proc/sys/net/ipv4/ip_forward", "utf8").trim()).toBe("1");
  });

  test("kill -9 leaves published ports working and nothing of the sandboxes that were made ahead", async () => {
    const path = join(dir, "killed.sqlite");
    const rooms = new URL("..", import.meta.url).pathname;
    const code = `
      const { Networking, parsePortSpecs } = await import("${rooms}network/mod.ts");
      const { Database, MIGRATIONS } = await import("${rooms}metadata/mod.ts");
      const { silentLogger } = await import("${rooms}lib/mod.ts");
      const db = Database.open(${JSON.stringify(path)}, MIGRATIONS);
      const n = new Networking({ db, log: silentLogger, bridgeName: "dhowtest0", tableName: "dhowtest0", bip: "10.93.0.1/24", poolSize: 3 });
      await n.start();
      while (n.readyCount < 4) await Bun.sleep(5);
      const ports = parsePortSpecs({ exposedPorts: {}, portBindings: { "80/tcp": [{ HostPort: "8080" }] }, publishAll: false });
      for (const id of ["a", "b"]) console.log((await n.acquire(id, { endpoints: [{ networkId: n.network("bridge").id, names: [] }], containerName: id, ports: id === "a" ? ports : { requests: [], exposed: [] } })).netnsPath);
      setInterval(() => {}, 1000);`;
    const daemon = Bun.spawn([process.execPath, "-e", code], { stdout: "pipe", stderr: "inherit" });
    const reader = daemon.stdout.getReader();
    let text = "";
    while (text.split("\n").length < 3) text += Buffer.from((await reader.read()).value ?? []).toString();
    await serve(text.split("\n")[0] ?? "", "a", 80);
    const keeper = children[0] as unknown as { readonly pid: number };
    daemon.kill(9);
    await daemon.exited;
    expect(await ask(outsidePath(), HOST, 8080)).toBe(`a ${OUTSIDE}`);
    const n = await networking({ db: database(path), poolSize: 0 });
    n.adopt(new Map([["a", keeper.pid]]));
    expect(n.sandboxes().map((x) => x.containerId)).toEqual(["a"]);
    expect(await ask(outsidePath(), HOST, 8080)).toBe(`a ${OUTSIDE}`);
    using socket = new NetlinkSocket(NETLINK.ROUTE);
    const plugged = (): number => listLinks(socket).filter((l) => l.name.startsWith("veth")).length;
    for (let i = 0; i < 250 && plugged() > 1; i++) await Bun.sleep(50);
    expect(plugged()).toBe(1);
  }, 20_000);

  test("other people's tables stay as they are, and a chain that drops forwarded packets is named", async () => {
    const foreign = "table ip theirs {\n\tchain FORWARD {\n\t\ttype filter hook forward priority filter; policy drop;\n\t}\n}\n";
    Bun.spawnSync(["nft", "-f", "-"], { stdin: Buffer.from(foreign) });
    try {
      const n = await networking();
      await take(n, "a", request({ "80/tcp": "8080" }));
      for (let i = 0; i < 100 && n.warnings.length === 0; i++) await Bun.sleep(20);
      expect(n.warnings.join()).toContain("chain FORWARD of table ip theirs drops forwarded packets");
      n.release("a");
      opened.splice(opened.indexOf(n), 1);
      n.stop({ removeAll: true });
      expect(Bun.spawnSync(["nft", "list", "ruleset"]).stdout.toString()).toBe(foreign);
      using socket = new NetlinkSocket(NETLINK.ROUTE);
      expect(findLink(socket, "dhowtest0")).toBeUndefined();
    } finally {
      Bun.spawnSync(["nft", "delete", "table", "ip", "theirs"]);
    }
  });
});
