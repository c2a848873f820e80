import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { createSocket } from "node:dgram";
import { createServer, type Server, type Socket } from "node:net";
import { bindInet, insideNetns, O_RDONLY, open, sendTo, socketAddress } from "../../../src/linux/mod.ts";
import { answer, TestNetns, TestUpstream } from "../../../src/network/dns/test-support.ts";
import { Daemon, until } from "../daemon.ts";

// outside eth0 203.0.113.2 (allowed), .3 (of example.org), .4 (forbidden), .53 (name server) and a cloud's metadata  ──  wan0 203.0.113.1 host
const host = new TestNetns();
const outside = new TestNetns();
const ALLOWED = "203.0.113.2";
const NAMED = "203.0.113.3";
const FORBIDDEN = "203.0.113.4";
const SERVER = "203.0.113.53";
const HOST = "203.0.113.1";
const METADATA = "169.254.169.254";
const ALLOWED6 = "2001:db8:71::2";
const FORBIDDEN6 = "2001:db8:71::4";

const servers: Server[] = [];
const sockets = new Set<Socket>();
/** Destinations that datagrams came to outside, with their sender. */
const datagrams: { readonly text: string; readonly from: string }[] = [];
let upstream: TestUpstream;
let daemon: Daemon;

function listen(netns: TestNetns, port: number, greeting: (socket: Socket) => string): void {
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on("error", () => socket.destroy());
    socket.write(greeting(socket));
    socket.on("data", (data) => {
      socket.write(data);
    });
  });
  netns.inside(() => server.listen(port, "::"));
  servers.push(server);
}

/** Records of the names that there are outside: 203.0.113.x; `evil.example.net` is the metadata's address. */
function zone(asked: Buffer): Buffer {
  const name = asked.toString("latin1", 13).split("\0")[0] ?? "";
  const isAddress = asked.readUInt16BE(asked.indexOf(0, 12) + 1) === 1;
  const reply = answer(asked, { hosts: isAddress ? [3] : [] });
  const at = reply.length - 4;
  if (!isAddress) return reply;
  reply.set(name.includes("evil") ? [169, 254, 169, 254] : [203, 0, 113, 3], at);
  // a time to live of one second
  reply.writeUInt32BE(1, at - 6);
  return reply;
}

beforeAll(async () => {
  const link = ["link", "add", "wan0", "type", "veth", "peer", "name", "eth0", "netns", `/proc/${process.pid}/fd/${outside.netns.fd}`];
  await host.run("ip", ...link);
  await host.run("ip", "addr", "add", `${HOST}/24`, "dev", "wan0");
  await host.run("ip", "addr", "add", "2001:db8:71::1/64", "dev", "wan0", "nodad");
  await host.run("ip", "link", "set", "wan0", "up");
  for (const address of [ALLOWED, NAMED, FORBIDDEN, SERVER]) await outside.run("ip", "addr", "add", `${address}/24`, "dev", "eth0");
  for (const address of [ALLOWED6, FORBIDDEN6]) await outside.run("ip", "addr", "add", `${address}/64`, "dev", "eth0", "nodad");
  await outside.run("ip", "addr", "add", `${METADATA}/32`, "dev", "eth0");
  await outside.run("ip", "link", "set", "eth0", "up");
  await outside.run("ip", "route", "add", "default", "via", HOST);
  await outside.run("ip", "route", "add", "default", "via", "2001:db8:71::1");
  await host.run("ip", "route", "add", METADATA, "dev", "wan0");
  await host.run("ip", "route", "add", "default", "via", ALLOWED);
  listen(outside, 80, (socket) => `outside ${socket.localAddress?.replace("::ffff:", "")}\n`);
  listen(host, 8000, () => "host\n");
  const udp = createSocket("udp4");
  udp.on("message", (text, { address }) => void datagrams.push({ text: text.toString().trim(), from: address }));
  udp.bind({ fd: outside.inside(() => bindInet({ protocol: "udp", address: new Uint8Array(4), port: 90 })).release() });
  udp.unref();
  await until("addresses are nobody else's", async () => (await isReady(host)) && (await isReady(outside)));
  upstream = await TestUpstream.start(outside, SERVER, zone);
  daemon = await Daemon.start({
    under: ["nsenter", `--net=${host.path}`],
    args: ["--dns", SERVER, "--ipv6", "--fixed-cidr-v6", "fd00:91::/64"],
  });
});

/** A link whose own address the kernel still looks for elsewhere asks for no neighbours: what is forwarded over it is lost. */
const isReady = async (lab: typeof host): Promise<boolean> => (await lab.run("ip", "-6", "addr", "show", "tentative")).trim() === "";

afterAll(async () => {
  await daemon[Symbol.asyncDispose]();
  upstream[Symbol.dispose]();
  for (const socket of sockets) socket.destroy();
  for (const server of servers) server.close();
  host[Symbol.dispose]();
  outside[Symbol.dispose]();
});

afterEach(async () => {
  await daemon.removeContainers();
  await daemon.ok("network", "prune", "-f");
});

const run = (name: string, allow: string | undefined, ...options: readonly string[]): Promise<string> =>
  daemon.ok(
    ...["run", "-d", "--name", name, ...(allow === undefined ? [] : ["--label", `dhow.egress.allow=${allow}`]), ...options],
    ...["busybox", "sleep", "1000"],
  );
const inside = async (name: string, command: string): Promise<string> =>
  (await daemon.docker("exec", name, "sh", "-c", command)).stdout.trim();
/** What TCP servers say to a container, each `address` or `address port`; empty for those that it can't reach. */
async function reach(name: string, ...targets: readonly string[]): Promise<string[]> {
  const one = targets.map((target) => {
    const [address, port = "80"] = target.split(" ");
    return `echo "$(timeout 2 nc -w 1 ${address} ${port} </dev/null 2>/dev/null | head -n 1)"`;
  });
  const { stdout } = await daemon.docker("exec", name, "sh", "-c", one.join("; "));
  return stdout.split("\n").slice(0, targets.length);
}
const ask = async (name: string, target: string): Promise<string> => (await reach(name, target))[0] ?? "";
/** Sends a datagram to port 90 from a container's namespace, from any of its addresses. */
async function send(name: string, to: string, from = "0.0.0.0"): Promise<void> {
  const pid = await daemon.ok("inspect", "-f", "{{.State.Pid}}", name);
  using netns = open(`/proc/${pid}/ns/net`, O_RDONLY);
  const bytes = (ip: string): Uint8Array => Uint8Array.from(ip.split("."), Number);
  insideNetns(host.home, netns.fd, () => {
    using socket = bindInet({ protocol: "udp", address: bytes(from), port: 0 });
    const receiver = socketAddress(bytes(to), 90);
    sendTo(socket.fd, Buffer.from(name), { bytes: receiver, length: Uint32Array.of(receiver.length) });
  });
}
interface Report {
  readonly Id: string;
  readonly Mode: string;
  readonly Packets: number;
  readonly DeniedPackets: number;
  readonly Open: readonly { readonly Names: readonly string[]; readonly Address: string }[];
  readonly Denied: readonly {
    readonly Address: string;
    readonly Protocol: string;
    readonly Port: number;
    readonly Names: readonly string[];
  }[];
  readonly DeniedNames: readonly { readonly Name: string }[];
  readonly Suggested: readonly string[];
  readonly message?: string;
}
const report = async (name: string): Promise<Report> => (await daemon.api<Report>("GET", `/containers/${name}/egress`)).json;
const names = (): readonly string[] =>
  upstream.asked.map((asked) => (asked.toString("latin1", 13).split("\0")[0] ?? "").replace(/[\x01-\x20]/g, "."));
const address = (name: string, network = "bridge"): Promise<string> =>
  daemon.ok("inspect", "-f", `{{(index .NetworkSettings.Networks "${network}").IPAddress}}`, name);

describe("a container under a policy", () => {
  test("reaches what is allowed, and nothing else", async () => {
    await run("app", `${ALLOWED},${ALLOWED6}`);
    expect(await reach("app", ALLOWED, ALLOWED6)).toEqual([`outside ${ALLOWED}`, `outside ${ALLOWED6}`]);
    expect(await reach("app", FORBIDDEN, FORBIDDEN6, METADATA)).toEqual(["", "", ""]);
    // the host's services, by whichever address
    expect(await reach("app", `${HOST} 8000`, `${daemon.gateway} 8000`, "2001:db8:71::1 8000")).toEqual(["", "", ""]);
    // other protocols
    await send("app", FORBIDDEN);
    const pings = `ping -c 1 -W 1 ${FORBIDDEN} >/dev/null && echo no; ping -c 1 -W 1 ${ALLOWED} >/dev/null && echo answered`;
    expect(await inside("app", pings)).toBe("answered");
    expect(datagrams).toEqual([]);
    const { Mode, Denied, DeniedPackets, Packets } = await report("app");
    expect(Mode).toBe("enforce");
    const denied = Denied.map(({ Address, Protocol, Port }) => `${Address} ${Protocol} ${Port}`);
    expect(denied).toContain(`${FORBIDDEN} tcp 80`);
    expect(denied).toContain(`${FORBIDDEN6} tcp 80`);
    expect(denied).toContain(`${FORBIDDEN} icmp 0`);
    expect(denied).toContain(`${FORBIDDEN} udp 90`);
    expect(denied).toContain(`${METADATA} tcp 80`);
    expect(denied).toContain(`${HOST} tcp 8000`);
    expect(DeniedPackets).toBeGreaterThanOrEqual(Denied.length);
    expect(Packets).toBeGreaterThan(DeniedPackets);
  });

  test("has what it may not reach logged and told as events, each destination once in a while", async () => {
    await run("app", `${ALLOWED},*.example.net`);
    const id = await daemon.ok("inspect", "-f", "{{.Id}}", "app");
    const logged = (): string[] =>
      daemon.log.split("\n").filter((line) => line.includes("denied by the egress policy") && line.includes(id));
    const lines = (...fields: readonly string[]): string[] =>
      logged().filter((line) => fields.every((field) => line.includes(` ${field}`)));
    await reach("app", FORBIDDEN, FORBIDDEN, FORBIDDEN, FORBIDDEN6, `${HOST} 8000`, "other.org");
    await inside("app", `ping -c 2 -i 0.2 -W 1 ${FORBIDDEN}`);
    await until("the last packet is logged", () => lines("protocol=icmp", `address=${FORBIDDEN}`).length > 0);
    expect(lines("protocol=tcp", `address=${FORBIDDEN}`, "port=80")).toHaveLength(1);
    expect(lines("protocol=tcp", `address=${FORBIDDEN6}`, "port=80")).toHaveLength(1);
    expect(lines("protocol=tcp", `address=${HOST}`, "port=8000")).toHaveLength(1);
    expect(lines("protocol=icmp")).toHaveLength(1);
    expect(lines("name=other.org")).toHaveLength(1);
    expect(logged()).toHaveLength(5);
    const format = '{{index .Actor.Attributes "egress.protocol"}} {{index .Actor.Attributes "egress.address"}}';
    const events = await daemon.ok("events", ...["--since", "1m", "--until", "0s", "--filter", "event=egress-denied", "--format", format]);
    expect(events.split("\n")).toContain(`icmp ${FORBIDDEN}`);
    // a flood is a bounded number of lines, and others are heard all the same
    await run("flood", ALLOWED);
    const flood = await daemon.ok("inspect", "-f", "{{.Id}}", "flood");
    await inside("flood", "for last in $(seq 100 219); do nc -w 1 203.0.113.$last 80 </dev/null 2>/dev/null; done");
    await reach("app", "203.0.113.9");
    await until("the other's packet is logged", () => lines("address=203.0.113.9").length > 0);
    const count = daemon.log.split("\n").filter((line) => line.includes("denied by") && line.includes(flood)).length;
    expect(count).toBeGreaterThanOrEqual(20);
    expect(count).toBeLessThan(60);
    expect((await report("flood")).Denied).toHaveLength(120);
  });

  test("has the names that it was refused kept, whatever becomes of the daemon", async () => {
    await run("app", "example.org");
    await inside("app", "nslookup one.test; nslookup two.test");
    await daemon.kill9();
    await daemon.launch();
    const refused = async (): Promise<string[]> => (await report("app")).DeniedNames.map(({ Name }) => Name);
    expect(await refused()).toEqual(["two.test", "one.test"]);
    await inside("app", "nslookup one.test");
    await daemon.restart();
    expect(await refused()).toEqual(["one.test", "two.test"]);
    await daemon.ok("kill", "app");
    await daemon.ok("wait", "app");
    await until("the report is written", async () => (await refused()).length > 0);
  });

  test("is told it at once", async () => {
    await run("app", ALLOWED);
    const { stderr } = await daemon.docker("exec", "app", "nc", FORBIDDEN, "80");
    expect(stderr).toContain("Connection refused");
  });

  test("reaches a service of the host whose address is allowed, and no metadata when everything is", async () => {
    await run("app", HOST);
    expect(await ask("app", `${HOST} 8000`)).toBe("host");
    expect(await ask("app", `${daemon.gateway} 8000`)).toBe("");
    await run("all", "0.0.0.0/0,::/0");
    expect(await reach("all", FORBIDDEN, FORBIDDEN6, METADATA, "evil.example.org")).toEqual([
      `outside ${FORBIDDEN}`,
      `outside ${FORBIDDEN6}`,
      "",
      "",
    ]);
    // without a policy
    await run("free", undefined);
    expect(await ask("free", METADATA)).toBe(`outside ${METADATA}`);
  });

  test("comes to the addresses of allowed names once it has looked them up, and no other name is asked for", async () => {
    await run("app", "example.org,*.example.net");
    expect(await ask("app", NAMED)).toBe("");
    upstream.asked.length = 0;
    expect(await ask("app", "example.org")).toBe(`outside ${NAMED}`);
    expect(await reach("app", NAMED, FORBIDDEN)).toEqual([`outside ${NAMED}`, ""]);
    expect(await ask("app", "a.b.example.net")).toBe(`outside ${NAMED}`);
    expect(await ask("app", "evil.example.net")).toBe("");
    const refused = ["other.org", "example.net", "secret.www.example.org", "notexample.org"];
    const lookups = refused.map((name) => `nslookup ${name} 2>&1 | grep -q NXDOMAIN && echo none`);
    expect(await inside("app", lookups.join("; "))).toBe(refused.map(() => "none").join("\n"));
    expect([...new Set(names())].sort()).toEqual(["a.b.example.net", "evil.example.net", "example.org"]);
    // no server but the daemon's own answers
    expect(await inside("app", `timeout 3 nslookup example.org ${SERVER} >/dev/null 2>&1 && echo answered`)).toBe("");
    const { Open, DeniedNames } = await report("app");
    expect(Open).toEqual([{ Names: ["example.org", "a.b.example.net"], Address: NAMED, ExpiresInSeconds: expect.any(Number) } as never]);
    expect(DeniedNames.map(({ Name }) => Name)).toContain("secret.www.example.org");
    const denied = async (): Promise<string> => {
      const filter = ["--since", "1m", "--until", "0s", "--filter", "event=egress-denied"];
      return daemon.ok("events", ...filter, "--format", '{{index .Actor.Attributes "egress.name"}}');
    };
    await until("an event", async () => (await denied()).split("\n").includes("other.org"));
  });

  test("answers whoever comes in by its published ports", async () => {
    await daemon.ok(
      ...["run", "-d", "--name", "web", "-p", "18080:80", "--label", "dhow.egress=enforce"],
      ...["busybox", "sh", "-c", "nc -ll -p 80 -e echo web"],
    );
    await until(
      "an answer",
      async () => (await outside.spawn("timeout", "2", "bash", "-c", `exec 3<>/dev/tcp/${HOST}/18080`)).exitCode === 0,
    );
    const client = Bun.spawn(["nsenter", `--net=${outside.path}`, "bash", "-c", `cat < /dev/tcp/${HOST}/18080`], { stdout: "pipe" });
    expect((await new Response(client.stdout).text()).trim()).toBe("web");
    expect(await ask("web", FORBIDDEN)).toBe("");
  });

  test("keeps its policy and its names without a daemon, and the next one takes them up", async () => {
    await run("app", "example.org");
    expect(await ask("app", "example.org")).toBe(`outside ${NAMED}`);
    const pid = await daemon.ok("inspect", "-f", "{{.State.Pid}}", "app");
    const connect = async (to: string): Promise<boolean> =>
      Bun.spawnSync(["nsenter", "-t", pid, "-n", "timeout", "2", "bash", "-c", `exec 3<>/dev/tcp/${to}/80`]).exitCode === 0;
    await daemon.kill9();
    expect(await connect(NAMED)).toBe(true);
    expect(await connect(FORBIDDEN)).toBe(false);
    await daemon.launch();
    expect(await connect(NAMED)).toBe(true);
    expect(await ask("app", "example.org")).toBe(`outside ${NAMED}`);
    expect(await ask("app", FORBIDDEN)).toBe("");
    expect((await report("app")).Open.map(({ Names }) => Names)).toEqual([["example.org"]]);
    const before = await address("app");
    await daemon.ok("restart", "-t", "0", "app");
    expect(await address("app")).not.toBe(before);
    expect(await ask("app", NAMED)).toBe("");
    expect(await ask("app", "example.org")).toBe(`outside ${NAMED}`);
    await daemon.ok("rm", "-f", "app");
    await until("nothing is left", async () => !(await host.run("nft", "list", "ruleset")).includes(`${before} .`));
  });

  test("is held to it again after somebody took all tables away", async () => {
    await run("app", ALLOWED);
    await host.run("nft", "flush", "ruleset");
    await until("the policy holds", async () => (await host.run("nft", "list", "ruleset")).includes("@policed4"));
    expect(await reach("app", FORBIDDEN6, METADATA)).toEqual(["", ""]);
    expect(daemon.log).toMatch(/somebody took nft tables away.*egress policies/);
    await daemon.restart();
    expect(await reach("app", ALLOWED, FORBIDDEN)).toEqual([`outside ${ALLOWED}`, ""]);
  });

  test("is held to it on every network that it is connected to", async () => {
    await daemon.ok("network", "create", "one");
    await daemon.ok("network", "create", "two");
    await run("app", ALLOWED, "--network", "one");
    await daemon.ok("run", "-d", "--name", "friend", "--network", "one", "busybox", "sh", "-c", "nc -ll -p 80 -e echo friend");
    await daemon.ok("run", "-d", "--name", "stranger", "busybox", "sh", "-c", "nc -ll -p 80 -e echo stranger");
    await until("an answer", async () => (await ask("app", "friend")) === "friend");
    expect(await ask("app", await address("stranger"))).toBe("");
    await daemon.ok("network", "connect", "two", "app");
    await daemon.ok("network", "disconnect", "one", "app");
    expect(await reach("app", ALLOWED, FORBIDDEN)).toEqual([`outside ${ALLOWED}`, ""]);
    // who shares its network shares its policy
    await run("guest", undefined, "--network", "container:app");
    expect(await reach("guest", FORBIDDEN, ALLOWED)).toEqual(["", `outside ${ALLOWED}`]);
  });

  test("is not made where nothing could hold it", async () => {
    await run("app", undefined);
    for (const [network, text] of [
      ["host", "conflicting options: egress policy and the host network mode"],
      ["container:app", "conflicting options: egress policy and the container type network mode"],
    ] as const) {
      const { exitCode, stderr } = await daemon.docker("run", "--network", network, "--label", "dhow.egress=enforce", "busybox", "true");
      expect([exitCode, stderr]).toEqual([125, expect.stringContaining(text)]);
    }
  });
});

describe("a container that wants out", () => {
  test("has no other address and no other MAC", async () => {
    await run("app", ALLOWED, "--cap-add", "NET_ADMIN");
    await run("free", undefined);
    const free = await address("free");
    const own = await address("app");
    const spare = own.replace(/\d+$/, "77");
    await daemon.ok("rm", "-f", "free");
    await inside("app", `ip addr add ${free}/24 dev eth0; ip addr add ${spare}/24 dev eth0; ip addr add fd00:91::77/64 dev eth0 nodad`);
    for (const from of [free, spare]) {
      await send("app", ALLOWED, from);
      await send("app", FORBIDDEN, from);
    }
    expect(await inside("app", `timeout 1 nc -w 1 -s fd00:91::77 ${ALLOWED6} 80 </dev/null`)).toBe("");
    expect(datagrams).toEqual([]);
    await send("app", ALLOWED, own);
    await until("a datagram", () => datagrams.length > 0);
    expect(datagrams.splice(0)).toEqual([{ text: "app", from: HOST }]);
    await until("a frame is logged", () => daemon.log.includes(`reason="not its own address"`));
    await inside("app", "ip link set eth0 address 02:42:00:00:00:99");
    expect(await ask("app", ALLOWED)).toBe("");
  });

  test("finds none by way of a neighbour that routes", async () => {
    await daemon.ok("network", "create", "near");
    await daemon.ok("network", "create", "far");
    await run("app", ALLOWED, "--network", "near", "--cap-add", "NET_ADMIN");
    const router = ["run", "-d", "--name", "router", "--network", "near", "--sysctl", "net.ipv4.ip_forward=1", "--cap-add", "NET_ADMIN"];
    await daemon.ok(...router, "busybox", "sleep", "1000");
    await daemon.ok("network", "connect", "far", "router");
    const gateway = await daemon.ok("inspect", "-f", '{{(index .NetworkSettings.Networks "far").Gateway}}', "router");
    await inside("router", `ip route replace default via ${gateway}`);
    await inside("app", `ip route replace default via ${await address("router", "near")}`);
    await send("app", FORBIDDEN);
    expect(await ask("app", FORBIDDEN)).toBe("");
    expect(datagrams).toEqual([]);
    await until("a frame is logged", () => daemon.log.includes(`reason="by a neighbour that routes"`));
    // without the policy it is one
    await daemon.ok("run", "-d", "--name", "free", "--network", "near", "--cap-add", "NET_ADMIN", "busybox", "sleep", "1000");
    await inside("free", `ip route replace default via ${await address("router", "near")}`);
    await send("free", FORBIDDEN);
    await until("a datagram", () => datagrams.length > 0);
    expect(datagrams.splice(0).map(({ text }) => text)).toEqual(["free"]);
  });

  test("finds none by the host's link-local address or its published ports", async () => {
    await daemon.ok("network", "create", "web");
    await daemon.ok(
      ...["run", "-d", "--name", "proxy", "--network", "web", "-p", "18090:80"],
      ...["busybox", "sh", "-c", "nc -ll -p 80 -e echo proxy"],
    );
    await run("free", undefined);
    await until("an answer", async () => (await ask("free", `${HOST} 18090`)) === "proxy");
    await run("app", ALLOWED);
    expect(await ask("app", `${HOST} 18090`)).toBe("");
    const bridge = await host.run("ip", "-6", "-o", "addr", "show", "dev", daemon.bridge, "scope", "link");
    const linkLocal = /inet6 (fe80\S+)\//.exec(bridge)?.[1] ?? "";
    expect(linkLocal).toStartWith("fe80:");
    expect(await ask("free", `${linkLocal}%eth0 8000`)).toBe("host");
    expect(await ask("app", `${linkLocal}%eth0 8000`)).toBe("");
    // an answer of the host's to somebody else: allowed is what was asked, not where it leads
    await run("picky", HOST);
    expect(await ask("picky", `${HOST} 18090`)).toBe("proxy");
    expect(await ask("picky", await address("proxy", "web"))).toBe("");
  });
});

describe("a policy that learns", () => {
  test("lets pass, records what it would deny, and tells the list that would not", async () => {
    await run("app", ALLOWED, "--label", "dhow.egress=learn");
    expect(await reach("app", ALLOWED, FORBIDDEN)).toEqual([`outside ${ALLOWED}`, `outside ${FORBIDDEN}`]);
    expect(await ask("app", "www.example.org")).toBe(`outside ${NAMED}`);
    expect(await ask("app", METADATA)).toBe("");
    const learnt = await report("app");
    const logged = (): string[] => daemon.log.split("\n").filter((line) => line.includes(learnt.Id));
    await until("all is logged", () => logged().some((line) => line.includes(`address=${METADATA}`)));
    const saying = (text: string): string =>
      logged()
        .filter((line) => line.includes(text))
        .join("\n");
    expect(saying("denied by the egress policy")).toContain(METADATA);
    expect(saying("not in the egress policy")).toContain(`address=${FORBIDDEN}`);
    expect(saying("not in the egress policy")).toMatch(/address=203\.0\.113\.3 port=80 names=www\.example\.org/);
    expect(learnt.Denied.find(({ Address }) => Address === NAMED)?.Names).toEqual(["www.example.org"]);
    expect(learnt.DeniedNames.map(({ Name }) => Name)).toEqual(["www.example.org"]);
    expect([...learnt.Suggested].sort()).toEqual([`${ALLOWED}/32`, `${FORBIDDEN}/32`, "www.example.org"]);
    // it stays when the container has ended
    await daemon.ok("kill", "app");
    await daemon.ok("wait", "app");
    await until("the report is written", async () => (await report("app")).Denied.length > 0);
    expect([...(await report("app")).Suggested].sort()).toEqual([`${ALLOWED}/32`, `${FORBIDDEN}/32`, "www.example.org"]);
  });

  test("becomes one that holds while the container runs, and ends what it does not allow", async () => {
    await run("app", ALLOWED, "--label", "dhow.egress=learn");
    const pipe = "mkfifo /in; (sleep 1000 > /in & nc $0 80 < /in > /out) & sleep 0.3; cat /out";
    expect(await inside("app", pipe.replace("$0", FORBIDDEN))).toBe(`outside ${FORBIDDEN}`);
    const change = (body: object) => daemon.api<Report>("POST", "/containers/app/egress", body);
    expect((await change({ Mode: "enforce" })).json.Mode).toBe("enforce");
    await inside("app", "echo again > /in; sleep 0.3");
    expect(await inside("app", "cat /out")).toBe(`outside ${FORBIDDEN}`);
    expect(await ask("app", FORBIDDEN)).toBe("");
    expect((await change({ Allow: [FORBIDDEN] })).status).toBe(200);
    expect(await reach("app", FORBIDDEN, ALLOWED)).toEqual([`outside ${FORBIDDEN}`, ""]);
    expect(await daemon.ok("inspect", "-f", '{{index .Config.Labels "dhow.egress.allow"}}', "app")).toBe(`${FORBIDDEN}/32`);
    await daemon.ok("restart", "-t", "0", "app");
    expect(await reach("app", FORBIDDEN, ALLOWED)).toEqual([`outside ${FORBIDDEN}`, ""]);
    expect((await change({ Mode: "off" })).json.message).toMatch(/^Cannot update container [0-9a-f]{64}: invalid mode "off"/);
    await run("free", undefined);
    expect((await daemon.api<Report>("POST", "/containers/free/egress", { Mode: "enforce" })).json.message).toContain(
      "runs without an egress policy: start it again with one",
    );
  });
});
