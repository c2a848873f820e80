import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, writeFileSync } from "node:fs";
import type { Networking } from "./networking.ts";
import { addressOf, bridge, HOST, HOST6, Lab, OTHER, OUTSIDE, OUTSIDE6, ports, type Question, take } from "./test-lab.ts";

const isRoot = process.getuid?.() === 0;
const FILTER = "/proc/sys/net/bridge/bridge-nf-call-iptables";
let lab: Lab;
beforeAll(() => {
  if (isRoot) lab = new Lab();
});
afterEach(() => lab?.reset());
afterAll(() => lab?.close());

/** What is answered, by what was asked: `a 10.1.2.3`, or `timeout` and errnos. */
async function seen(netns: string | undefined, questions: Readonly<Record<string, Question>>): Promise<Record<string, string>> {
  const names = Object.keys(questions);
  const answers = await lab.askAll(Object.values(questions), netns);
  return Object.fromEntries(names.map((name, index) => [name, answers[index] ?? ""]));
}

const REFUSED = expect.stringMatching(/^(timeout|E[A-Z]+)$/);

/** Networks a and b, an internal one, and one whose containers don't talk; each with two containers that serve port 80. */
async function village(n: Networking) {
  const nets = {
    a: await bridge(n, "a", { subnets: ["10.101.0.0/24", "fd01::/64"] }),
    b: await bridge(n, "b", { subnets: ["10.102.0.0/24", "fd02::/64"] }),
    closed: await bridge(n, "closed", { subnets: ["10.103.0.0/24", "fd03::/64"], isInternal: true }),
    mute: await bridge(n, "mute", {
      subnets: ["10.104.0.0/24", "fd04::/64"],
      options: { "com.docker.network.bridge.enable_icc": "false" },
    }),
  };
  const hostPorts = { a: "8101", b: "8102", mute: "8104" } as const;
  const found: Record<string, Awaited<ReturnType<typeof take>>> = {};
  for (const [name, id] of Object.entries(nets)) {
    const published = name in hostPorts ? ports({ "80/tcp": hostPorts[name as keyof typeof hostPorts] }) : ports({});
    found[`${name}1`] = await take(n, `${name}1`, published, [id]);
    found[`${name}2`] = await take(n, `${name}2`, ports({}), [id]);
  }
  await Promise.all(Object.entries(found).map(([name, { netnsPath }]) => lab.serve(netnsPath, name, 80)));
  const of = (name: string): Awaited<ReturnType<typeof take>> => {
    const sandbox = found[name];
    if (sandbox === undefined) throw new Error(`no ${name}`);
    return sandbox;
  };
  return of;
}

const filters = isRoot && existsSync(FILTER) ? ["0", "1"] : ["as it is"];

describe.skipIf(!isRoot).each(filters)("isolation with br_netfilter %s (needs root)", (filter) => {
  beforeAll(() => {
    if (filter === "as it is") return;
    writeFileSync(FILTER, filter);
    // what a network that keeps its containers apart needs, it sees to itself
    writeFileSync(FILTER.replace("iptables", "ip6tables"), "0");
  });

  test("containers reach those of their own network, the outside, and published ports; nobody else", async () => {
    const n = await lab.networking();
    const of = await village(n);
    await lab.serve(lab.outside, "outside", 7000);
    // a container that may change its routes knows ways to everywhere
    for (const name of ["a1", "closed1", "mute1"]) {
      const [gateway, gateway6] = [addressOf(of(name)).replace(/\d+$/, "1"), addressOf(of(name), 6).replace(/::.*$/, "::1")];
      lab.sh(of(name).netnsPath, `ip route replace default via ${gateway}; ip -6 route replace default via ${gateway6}`);
    }
    const questions = (own: string, peer: string): Record<string, Question> => ({
      peer: { host: addressOf(of(peer)), port: 80 },
      peer6: { host: addressOf(of(peer), 6), port: 80 },
      other: { host: addressOf(of("b2")), port: 80 },
      other6: { host: addressOf(of("b2"), 6), port: 80 },
      closed: { host: addressOf(of(own === "closed1" ? "a1" : "closed2")), port: 80 },
      closed6: { host: addressOf(of(own === "closed1" ? "a1" : "closed2"), 6), port: 80 },
      outside: { host: OUTSIDE, port: 7000 },
      outside6: { host: OUTSIDE6, port: 7000 },
      published: { host: HOST, port: 8102 },
      published6: { host: HOST6, port: 8102 },
    });
    const a = addressOf(of("a1"));
    const a6 = addressOf(of("a1"), 6);
    expect(await seen(of("a1").netnsPath, questions("a1", "a2"))).toEqual({
      peer: `a2 ${a}`,
      peer6: `a2 ${a6}`,
      other: REFUSED,
      other6: REFUSED,
      closed: REFUSED,
      closed6: REFUSED,
      outside: `outside ${HOST}`,
      outside6: `outside ${HOST6}`,
      published: `b1 ${a}`,
      published6: `b1 ${a6}`,
    });
    const closed = await seen(of("closed1").netnsPath, questions("closed1", "closed2"));
    const { peer, peer6, ...rest } = closed;
    expect([peer, peer6]).toEqual([`closed2 ${addressOf(of("closed1"))}`, `closed2 ${addressOf(of("closed1"), 6)}`]);
    expect(rest).toEqual(Object.fromEntries(Object.keys(rest).map((key) => [key, REFUSED])));
    expect(await seen(of("mute1").netnsPath, questions("mute1", "mute2"))).toMatchObject({
      peer: REFUSED,
      peer6: REFUSED,
      other: REFUSED,
      outside: `outside ${HOST}`,
      published: expect.stringMatching(/^b1 /),
    });
    // by the host's address, one that doesn't talk to its neighbours gets to what they publish
    expect(await seen(of("mute2").netnsPath, { own: { host: HOST, port: 8104 } })).toEqual({ own: expect.stringMatching(/^mute1 /) });
  });

  test("nobody gets in from outside but by published ports, and no address is believed that is somebody else's", async () => {
    const n = await lab.networking();
    const of = await village(n);
    const direct = (name: string): Record<string, Question> => ({
      port: { host: addressOf(of(name)), port: 80 },
      port6: { host: addressOf(of(name), 6), port: 80 },
    });
    for (const name of ["a1", "a2", "closed1", "mute1"]) {
      expect(await seen(lab.outside, direct(name))).toEqual({ port: REFUSED, port6: REFUSED });
    }
    expect(await seen(lab.outside, { by4: { host: HOST, port: 8101 }, by6: { host: HOST6, port: 8101 } })).toEqual({
      by4: `a1 ${OUTSIDE}`,
      by6: expect.stringMatching(/^a1 2001:db8:51::/),
    });
    // the host itself gets to its containers, as with docker
    expect(await seen(undefined, direct("closed1"))).toEqual({ port: "closed1 10.103.0.1", port6: "closed1 fd03::1" });
    // as one of b, from a: nothing of it may arrive
    const before = lab.sh(of("b2").netnsPath, "grep ^Udp: /proc/net/snmp");
    lab.sh(of("a2").netnsPath, "ip addr add 10.102.0.77/32 dev lo; ip addr add 192.0.2.9/32 dev lo; ip link set lo up");
    for (const from of ["10.102.0.77", "192.0.2.9"]) {
      expect(await lab.ask({ netns: of("a2").netnsPath, host: addressOf(of("b2")), port: 80, protocol: "udp", from })).toBe("timeout");
    }
    expect(lab.sh(of("b2").netnsPath, "grep ^Udp: /proc/net/snmp")).toBe(before);
  });

  test("an internal network reaches its gateway and no other address of the host", async () => {
    const n = await lab.networking();
    const of = await village(n);
    await lab.serve("/proc/self/ns/net", "host", 7001);
    const { netnsPath } = of("closed1");
    lab.sh(netnsPath, "ip route add default via 10.103.0.1; ip -6 route add default via fd03::1");
    expect(
      await seen(netnsPath, {
        gateway: { host: "10.103.0.1", port: 7001 },
        gateway6: { host: "fd03::1", port: 7001 },
        host: { host: HOST, port: 7001 },
        host6: { host: HOST6, port: 7001 },
        other: { host: "10.101.0.1", port: 7001 },
        other6: { host: "fd01::1", port: 7001 },
      }),
    ).toEqual({
      gateway: `host ${addressOf(of("closed1"))}`,
      gateway6: `host ${addressOf(of("closed1"), 6)}`,
      host: REFUSED,
      host6: REFUSED,
      other: REFUSED,
      other6: REFUSED,
    });
  });

  test("published ports answer on the container's addresses of routed networks, though another network is its way out", async () => {
    const n = await lab.networking();
    const mode = { "com.docker.network.bridge.gateway_mode_ipv4": "routed", "com.docker.network.bridge.gateway_mode_ipv6": "routed" };
    const way = await bridge(n, "way", { subnets: ["10.105.0.0/24", "fd05::/64"] });
    const routed = await bridge(n, "routed", { subnets: ["10.106.0.0/24", "fd06::/64"], options: mode });
    const on = (networkId: string, gwPriority = 0) => ({ networkId, names: [], gwPriority });
    const web = await take(n, "web", ports({ "80/tcp": "8105" }), [on(way, 1), on(routed)]);
    await lab.serve(web.netnsPath, "web", 80);
    await lab.serve(web.netnsPath, "web", 81);
    const answers = (address: string, port: number) => lab.askAll([{ host: address, port }], lab.outside).then(([text]) => text);
    expect(await answers(HOST, 8105)).toStartWith("web ");
    expect(await answers("10.106.0.2", 80)).toStartWith("web ");
    expect(await answers("fd06::2", 80)).toStartWith("web ");
    expect(await answers("10.106.0.2", 81)).toEqual(REFUSED);
    expect(await answers("10.105.0.2", 80)).toEqual(REFUSED);
    await n.disconnect("web", routed);
    await n.connect("web", on(routed));
    const address = n.endpointsOn(routed)[0]?.endpoint.ipv4?.address ?? "";
    expect(await answers(address, 80)).toStartWith("web ");
    await n.disconnect("web", way);
    expect(await answers(address, 80)).toStartWith("web ");
    expect(await answers(HOST, 8105)).toEqual(REFUSED);
  });

  test("gateway modes: routed ports are the container's own, unprotected ones all are, lists hold for both", async () => {
    const n = await lab.networking();
    const mode = (four: string, six = four): Record<string, string> => ({
      "com.docker.network.bridge.gateway_mode_ipv4": four,
      "com.docker.network.bridge.gateway_mode_ipv6": six,
    });
    const routed = await bridge(n, "routed", { subnets: ["10.105.0.0/24", "fd05::/64"], options: mode("nat", "routed") });
    const both = await bridge(n, "both", { subnets: ["10.106.0.0/24"], options: mode("routed") });
    const open = await bridge(n, "open", { subnets: ["10.107.0.0/24"], options: mode("nat-unprotected") });
    const bound = await bridge(n, "bound", {
      subnets: ["10.108.0.0/24"],
      options: { "com.docker.network.bridge.host_binding_ipv4": "127.0.0.1" },
    });
    const r = await take(n, "r", ports({ "80/tcp": "8105" }), [routed]);
    const q = await take(n, "q", ports({ "80/tcp": "8106" }, { "80/tcp": [`${OTHER}/32`] }), [both]);
    const o = await take(n, "o", ports({ "80/tcp": "8107" }, { "80/tcp": [`${OTHER}/32`] }), [open]);
    const l = await take(n, "l", ports({ "80/tcp": "8108" }), [bound]);
    expect([r.ports, q.ports, o.ports, l.ports]).toEqual([
      {
        "80/tcp": [
          { HostIp: "0.0.0.0", HostPort: "8105" },
          { HostIp: "::", HostPort: "" },
        ],
      },
      { "80/tcp": [{ HostIp: "0.0.0.0", HostPort: "" }] },
      {
        "80/tcp": [
          { HostIp: "0.0.0.0", HostPort: "8107" },
          { HostIp: "::", HostPort: "8107" },
        ],
      },
      { "80/tcp": [{ HostIp: "127.0.0.1", HostPort: "8108" }] },
    ]);
    const swapped = await bridge(n, "swapped", { subnets: ["10.109.0.0/24", "fd09::/64"], options: mode("routed", "nat") });
    expect((await take(n, "s", ports({ "80/tcp": "8109" }), [swapped])).ports["80/tcp"]).toEqual([
      { HostIp: "::", HostPort: "8109" },
      { HostIp: "0.0.0.0", HostPort: "" },
    ]);
    const all = Object.entries({ r, q, o, l });
    await Promise.all(all.flatMap(([name, s]) => [lab.serve(s.netnsPath, name, 80), lab.serve(s.netnsPath, `${name}x`, 81)]));
    expect(
      await seen(lab.outside, {
        r: { host: HOST, port: 8105 },
        rDirect: { host: addressOf(r), port: 80 },
        r6: { host: HOST6, port: 8105 },
        r6Direct: { host: addressOf(r, 6), port: 80, from: OUTSIDE6 },
        r6Other: { host: addressOf(r, 6), port: 81, from: OUTSIDE6 },
        q: { host: HOST, port: 8106 },
        qListed: { host: addressOf(q), port: 80, from: OTHER },
        qUnlisted: { host: addressOf(q), port: 80 },
        qOther: { host: addressOf(q), port: 81, from: OTHER },
        oListed: { host: HOST, port: 8107, from: OTHER },
        oUnlisted: { host: HOST, port: 8107 },
        oDirectListed: { host: addressOf(o), port: 80, from: OTHER },
        oDirectUnlisted: { host: addressOf(o), port: 80 },
        oOther: { host: addressOf(o), port: 81 },
        l: { host: HOST, port: 8108 },
      }),
    ).toEqual({
      r: `r ${OUTSIDE}`,
      rDirect: REFUSED,
      r6: "ECONNREFUSED",
      r6Direct: `r ${OUTSIDE6}`,
      r6Other: REFUSED,
      q: "ECONNREFUSED",
      qListed: `q ${OTHER}`,
      qUnlisted: REFUSED,
      qOther: REFUSED,
      oListed: `o ${OTHER}`,
      oUnlisted: REFUSED,
      oDirectListed: `o ${OTHER}`,
      oDirectUnlisted: REFUSED,
      oOther: `ox ${OUTSIDE}`,
      l: "ECONNREFUSED",
    });
    expect(await lab.ask({ host: "127.0.0.1", port: 8108 })).toStartWith("l ");
  });
});
