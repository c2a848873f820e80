import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import type { AuditedPort, PortReach } from "./port-audit.ts";
import { rangeOf } from "./ruleset-match.ts";
import { bridge, HOST, HOST6, Lab, OTHER, OTHER6, OUTSIDE, OUTSIDE6, ports, type Question, take } from "./test-lab.ts";

const isRoot = process.getuid?.() === 0;
let lab: Lab;
beforeAll(() => {
  if (isRoot) lab = new Lab();
});
afterEach(() => lab?.reset());
afterAll(() => lab?.close());

const table = (family = "ip"): string => Bun.spawnSync(["nft", "list", "table", family, "dhowtest0"]).stdout.toString();

describe.skipIf(!isRoot)("published ports with sources (needs root)", () => {
  test("who is in the list comes in, others hear nothing, the host itself always does", async () => {
    const n = await lab.networking();
    const allow = { "80/tcp": [`${OUTSIDE}/32`, "10.93.0.0/16", "10.93.0.3/32"], "80/udp": [`${OTHER}/32`] };
    const a = await take(n, "a", ports({ "80/tcp": ["8080", "8081"], "80/udp": "8080", "81/tcp": "8082" }, allow));
    const b = await take(n, "b");
    await lab.serve(a.netnsPath, "a", 80);
    const { outside: netns } = lab;
    const at = (more: object) => lab.ask({ netns, host: HOST, port: 8080, ...more });
    expect(await at({})).toBe(`a ${OUTSIDE}`);
    expect(await at({ port: 8081 })).toBe(`a ${OUTSIDE}`);
    expect(await at({ from: OTHER })).toBe("timeout");
    expect(await at({ from: OTHER, port: 8081 })).toBe("timeout");
    expect(await at({ protocol: "udp" })).toBe("timeout");
    expect(await at({ protocol: "udp", from: OTHER })).toBe(`a ${OTHER}`);
    expect(await at({ netns: b.netnsPath })).toStartWith("a ");
    expect(await at({ netns: undefined, host: "127.0.0.1" })).toStartWith("a ");
    expect(await at({ netns: undefined })).toBe(`a ${HOST}`);
    // another list of the same network leaves its containers out
    n.release("a");
    const c = await take(n, "c", ports({ "80/tcp": "8080" }, { "80/tcp": [`${OUTSIDE}/32`] }));
    await lab.serve(c.netnsPath, "c", 80);
    expect(await at({ netns: b.netnsPath })).toBe("timeout");
    expect(await at({})).toBe(`c ${OUTSIDE}`);
    n.release("c");
    expect(table()).not.toContain("8080");
    expect(table()).not.toContain("10.93.0.2 . tcp");
  });

  test("IPv6 clients of a container without IPv6 are held to the list by the daemon", async () => {
    const n = await lab.networking();
    const allow = { "80/tcp": [`${OUTSIDE6}/128`], "80/udp": [`${OUTSIDE6}/128`] };
    const a = await take(n, "a", ports({ "80/tcp": "8080", "80/udp": "8080" }, allow));
    await lab.serve(a.netnsPath, "a", 80);
    for (const protocol of ["tcp", "udp"] as const) {
      const at = (more: object) => lab.ask({ netns: lab.outside, host: HOST6, port: 8080, protocol, ...more });
      expect(await at({ from: OUTSIDE6 })).toBe("a 10.93.0.1");
      expect(await at({ from: OTHER6 })).toBe(protocol === "tcp" ? "ECONNRESET" : "timeout");
      expect(await at({ netns: undefined, host: "::1" })).toBe("a 10.93.0.1");
      expect(await at({ netns: undefined })).toBe("a 10.93.0.1");
    }
    expect(await lab.ask({ netns: lab.outside, host: HOST, port: 8080 })).toBe("timeout");
  });

  test("IPv6 clients of a container with IPv6 keep their address and are held to the list by the kernel", async () => {
    const n = await lab.networking();
    const id = await bridge(n, "six", { subnets: ["10.94.0.0/24", "fd94::/64"] });
    const allow = { "81/tcp": [`${OUTSIDE6}/128`, "fd94::/64"] };
    const a = await take(n, "a", ports({ "80/tcp": "8080", "80/udp": "8080", "81/tcp": "8081" }, allow), [id]);
    await lab.serve(a.netnsPath, "a", 80);
    await lab.serve(a.netnsPath, "b", 81);
    const at = (more: object) => lab.ask({ netns: lab.outside, from: OUTSIDE6, host: HOST6, port: 8080, ...more });
    expect(await at({})).toBe(`a ${OUTSIDE6}`);
    expect(await at({ protocol: "udp" })).toBe(`a ${OUTSIDE6}`);
    expect(await at({ from: OTHER6 })).toBe(`a ${OTHER6}`);
    expect(await at({ port: 8081 })).toBe(`b ${OUTSIDE6}`);
    expect(await at({ port: 8081, from: OTHER6 })).toBe("timeout");
    expect(await at({ netns: undefined, from: undefined })).toStartWith("a ");
    expect(await at({ netns: undefined, from: undefined, host: "::1" })).toBe("a fd94::1");
    expect(await at({ netns: undefined, from: undefined, host: "::1", port: 8081 })).toBe("b fd94::1");
    expect(await at({ netns: a.netnsPath, from: undefined })).toStartWith("a ");
    const linkLocal = /inet6 (fe80::[0-9a-f:]+)/.exec(lab.sh(undefined, "ip -6 -o addr show dev wan0 scope link"))?.[1];
    const near = { netns: undefined, from: undefined, host: `${linkLocal}%wan0` };
    expect(await at(near)).toBe("a fd94::1");
    expect(await at({ ...near, protocol: "udp" })).toBe("a fd94::1");
    expect(await at({ ...near, port: 8081 })).toBe("b fd94::1");
    const far = { netns: lab.outside, from: undefined, host: `${linkLocal}%eth0` };
    expect(await at(far)).toBe("a fd94::1");
    expect(await at({ ...far, port: 8081 })).toBe("ECONNRESET");
  });
});

describe.skipIf(!isRoot)("changing published ports of a running container (needs root)", () => {
  const at = (port: number, more: object = {}) => lab.ask({ netns: lab.outside, host: HOST, port, ...more });
  const change = (
    n: Awaited<ReturnType<Lab["networking"]>>,
    id: string,
    {
      remove = [],
      add = {},
      allow = {},
    }: { remove?: readonly number[]; add?: Record<string, string | string[]>; allow?: Record<string, string[]> },
    also: () => void = () => {},
  ) => {
    const gone = (n.publishedPorts(id) ?? []).filter(({ leases }) => leases.some(({ hostPort }) => remove.includes(hostPort)));
    return n.changePorts(id, { remove: gone, add: ports(add, allow).requests, exposed: [] }, also);
  };

  test("ports come and go while others carry on; connections of a port that goes are cut, in both families", async () => {
    const n = await lab.networking();
    const a = await take(n, "a", ports(Object.fromEntries([8000, 8001, 8002, 8003].map((p) => [`${p}/tcp`, `${p}`]))));
    for (const port of [8001, 8002, 80]) await lab.serve(a.netnsPath, `s${port}`, port);
    const stays = await lab.stream({ netns: lab.outside, host: HOST, port: 8001 });
    const staysSix = await lab.stream({ netns: lab.outside, host: HOST6, port: 8001 });
    const goes = await lab.stream({ netns: lab.outside, host: HOST, port: 8002 });
    const goesSix = await lab.stream({ netns: lab.outside, host: HOST6, port: 8002 });
    const resent = (): number[] => [lab.outside, a.netnsPath].map((netns) => lab.resent(netns));
    const before = resent();
    for (let round = 0; round < 20; round++) {
      change(n, "a", { add: { "80/tcp": "9000", "80/udp": "9000" } });
      await Bun.sleep(3);
      change(n, "a", { remove: [9000] });
    }
    // no packet was lost meanwhile
    expect(resent()).toEqual(before);
    const { ports: shown } = change(n, "a", { remove: [8002, 8000], add: { "80/tcp": "9001" } });
    expect(Object.keys(shown)).toEqual(["8001/tcp", "8003/tcp", "80/tcp"]);
    expect((await goes.ended()).how).not.toBe("asked");
    expect((await goesSix.ended()).how).not.toBe("asked");
    expect(await at(8002)).toBe("ECONNREFUSED");
    expect(await at(9000)).toBe("ECONNREFUSED");
    expect(await at(9001)).toBe(`s80 ${OUTSIDE}`);
    expect(await at(9001, { host: HOST6 })).toBe("s80 10.93.0.1");
    for (const stream of [stays, staysSix]) {
      const { how, got } = await stream.end();
      expect(how).toBe("asked");
      expect(got).toBeGreaterThan(10);
    }
  });

  /** From outside in both families, from the host, from a container of the same network and of another. */
  const everywhere = async (n: Awaited<ReturnType<Lab["networking"]>>) => {
    const six = await bridge(n, "six", { subnets: ["10.94.0.0/24", "fd94::/64"] });
    const a = await take(n, "a", ports({ "80/tcp": ["8080", "8081"] }), [six]);
    const near = await take(n, "near", ports({}), [six]);
    const far = await take(n, "far");
    const places = [
      { netns: lab.outside, host: HOST },
      { netns: lab.outside, host: HOST6 },
      { netns: undefined, host: HOST },
      { netns: undefined, host: "127.0.0.1" },
      { netns: near.netnsPath, host: HOST },
      { netns: near.netnsPath, host: "fd94::1" },
      { netns: far.netnsPath, host: HOST },
    ];
    return { a, places };
  };

  test("what is cut stays cut, whoever of the two speaks next, and speaks alone", async () => {
    const db = lab.database();
    const n = await lab.networking({ db });
    const { a, places } = await everywhere(n);
    const next = await lab.watch(a.netnsPath, 80, true);
    for (const place of places) await lab.hold({ ...place, port: 8080 }, false);
    const other = await lab.hold({ netns: lab.outside, host: HOST, port: 8081 }, false);
    change(n, "a", { remove: [8080] });
    for (const _ of places) expect(await next()).toBe("ECONNRESET");
    // by another port of the same: it goes on
    change(n, "a", { remove: [8081] });
    expect(await next()).toBe("ECONNRESET");
    void other;
    // the next daemon knows it, too
    const pid = lab.keep(a.netnsPath);
    await Bun.sleep(20);
    lab.abandon(n);
    const later = await lab.networking({ db });
    later.adopt(new Map([["a", pid]]));
    expect(table()).toMatch(/set cut \{[^}]*elements = \{ 10\.94\.0\.\d+ \. tcp \. 80 \}/s);
    later.release("a");
    expect(table()).not.toMatch(/set cut \{[^}]*elements/s);
  });

  test("connections don't go on by a port that is added again in the same call", async () => {
    const n = await lab.networking();
    const { a, places } = await everywhere(n);
    await lab.watch(a.netnsPath, 80, false);
    const clients = [];
    for (const place of places) clients.push({ ...place, ended: await lab.hold({ ...place, port: 8080 }, true) });
    change(n, "a", { remove: [8080], add: { "80/tcp": "8080" } });
    const acked = (netns: string | undefined): string[] => lab.sh(netns, "ss -tniH state established").match(/bytes_acked:\d+/g) ?? [];
    for (const { netns, ended } of clients) {
      if (netns === undefined || netns === lab.outside) {
        expect(await ended()).toBe("ECONNRESET");
        continue;
      }
      // where the host has br_netfilter, the kernel tells containers by an address that they don't know
      const before = acked(netns);
      expect(before).not.toEqual([]);
      await Bun.sleep(30);
      expect(acked(netns)).toEqual(before);
    }
    const speaking = await lab.hold({ netns: lab.outside, host: HOST, port: 8080 }, true);
    expect(await Promise.race([speaking(), Bun.sleep(100).then(() => "goes on")])).toBe("goes on");
  });

  test("a UDP server that goes on speaking doesn't let clients in again that were cut, also by the number that its port had", async () => {
    const n = await lab.networking();
    const six = await bridge(n, "six", { subnets: ["10.94.0.0/24", "fd94::/64"] });
    const a = await take(n, "a", ports({ "5000/udp": "5000" }), [six]);
    await lab.push(a.netnsPath, 5000);
    const [one, other, sixth] = await Promise.all([
      lab.chat({ netns: lab.outside, host: HOST, port: 5000, from: OUTSIDE }),
      lab.chat({ netns: lab.outside, host: HOST, port: 5000, from: OTHER }),
      lab.chat({ netns: lab.outside, host: HOST6, port: 5000, from: OUTSIDE6 }),
    ]);
    const heard = () => Promise.all([one(), other(), sixth()]);
    /** Who is heard after a while, and then goes on to be. */
    const settles = async (wanted: readonly boolean[]): Promise<void> => {
      const isAsWanted = async (): Promise<boolean> => `${await heard()}` === `${wanted}`;
      for (let tries = 0; tries < 50; tries++) if ((await isAsWanted()) && (await isAsWanted())) return;
      expect([...(await heard())]).toEqual([...wanted]);
    };
    await settles([true, true, true]);
    change(n, "a", { remove: [5000] });
    await settles([false, false, false]);
    expect(table()).toMatch(/set cut \{[^}]*elements = \{ 10\.94\.0\.\d+ \. udp \. 5000 \}/s);
    change(n, "a", { add: { "5000/udp": "5000" }, allow: { "5000/udp": [`${OTHER}/32`] } });
    await settles([false, true, false]);
    change(n, "a", { remove: [5000], add: { "5000/udp": "5000" }, allow: { "5000/udp": [`${OUTSIDE}/32`, `${OUTSIDE6}/128`] } });
    await settles([true, false, true]);
    change(n, "a", { remove: [5000], add: { "5000/udp": "5000" } });
    await settles([true, true, true]);
    expect(table()).not.toMatch(/set cut \{[^}]*elements/s);
  });

  test("SCTP is led by the kernel alone: to a container without IPv6 no IPv6 is, and nothing says so", async () => {
    const n = await lab.networking();
    const six = await bridge(n, "six", { subnets: ["10.94.0.0/24", "fd94::/64"] });
    const a = await take(n, "a", ports({ "7000/sctp": "2905" }));
    expect(a.ports).toEqual({ "7000/sctp": [{ HostIp: "0.0.0.0", HostPort: "2905" }] });
    const b = await take(n, "b", ports({ "7000/sctp": "2906", "7000/tcp": "2906" }), [six]);
    expect(b.ports["7000/sctp"]).toHaveLength(2);
    expect(table()).toContain("sctp . 2905 : 10.93.0.2 . 7000");
    expect(table("ip6")).toContain("sctp . 2906 : fd94::2 . 7000");
    await expect(take(n, "c", ports({ "80/sctp": "2905" }))).rejects.toThrow("Bind for 0.0.0.0:2905 failed: port is already allocated");
    change(n, "a", { remove: [2905] });
    expect(table()).not.toContain("sctp . 2905");
  });

  test("a port that was asked for is not given to a request for any", async () => {
    const n = await lab.networking();
    const [first] = (await take(n, "a", ports({ "80/tcp": "" }))).ports["80/tcp"] ?? [];
    const next = String(Number(first?.HostPort) + 1);
    const b = await take(n, "b", ports({ "80/tcp": "", "8080/tcp": next }));
    expect(b.ports["8080/tcp"]?.[0]?.HostPort).toBe(next);
    expect(b.ports["80/tcp"]?.[0]?.HostPort).not.toBe(next);
  });

  test("a change that fails leaves all as it was: a taken port, a record that can't be written", async () => {
    const n = await lab.networking();
    await take(n, "b", ports({ "80/tcp": "8090" }));
    const a = await take(n, "a", ports({ "80/tcp": "8080", "81/tcp": "8081" }));
    await lab.serve(a.netnsPath, "a", 80);
    const before = table();
    const stream = await lab.stream({ netns: lab.outside, host: HOST6, port: 8080 });
    expect(() => change(n, "a", { remove: [8080], add: { "82/tcp": "8082", "80/tcp": "8090" } })).toThrow(
      "Bind for 0.0.0.0:8090 failed: port is already allocated",
    );
    expect(() =>
      change(n, "a", { remove: [8080], add: { "82/tcp": ["8080", "8082"] } }, () => {
        throw new Error("disk full");
      }),
    ).toThrow("disk full");
    expect(table()).toBe(before);
    expect(n.sandbox("a")?.ports).toEqual(a.ports);
    expect(await at(8080)).toBe(`a ${OUTSIDE}`);
    expect(await at(8080, { host: HOST6 })).toBe("a 10.93.0.1");
    expect(await at(8082)).toBe("ECONNREFUSED");
    const db = await take(n, "c", ports({ "80/tcp": "8082" }));
    expect(db.ports["80/tcp"]?.[0]?.HostPort).toBe("8082");
    await stream.end().catch(() => {});
  });

  test("a port is led elsewhere, or gets a list, in one change; the next daemon has it so", async () => {
    const db = lab.database();
    const n = await lab.networking({ db });
    const a = await take(n, "a", ports({ "80/tcp": "8080" }));
    await lab.serve(a.netnsPath, "a", 80);
    await lab.serve(a.netnsPath, "b", 81);
    const pid = lab.keep(a.netnsPath);
    await Bun.sleep(20);
    change(n, "a", { remove: [8080], add: { "81/tcp": ["8080", "8081"] }, allow: { "81/tcp": [`${OTHER}/32`, `${OTHER6}/128`] } });
    const isAsWanted = async (): Promise<void> => {
      expect(await at(8080)).toBe("timeout");
      expect(await at(8080, { from: OTHER })).toBe(`b ${OTHER}`);
      expect(await at(8081, { from: OTHER })).toBe(`b ${OTHER}`);
      expect(await at(8080, { host: HOST6, from: OTHER6 })).toBe("b 10.93.0.1");
      expect(await at(8080, { host: HOST6, from: OUTSIDE6 })).toBe("ECONNRESET");
    };
    await isAsWanted();
    lab.abandon(n);
    const next = await lab.networking({ db });
    next.adopt(new Map([["a", pid]]));
    await isAsWanted();
    expect(next.publishedPorts("a")?.map(({ request }) => request.allow)).toEqual([
      [`${OTHER}/32`, `${OTHER6}/128`],
      [`${OTHER}/32`, `${OTHER6}/128`],
    ]);
    change(next, "a", { remove: [8080, 8081] });
    expect(await at(8080, { from: OTHER })).toBe("ECONNREFUSED");
    expect(table()).not.toContain(OTHER);
  });

  test("ports follow the default route to another network, wait where there is none, and conflicts refuse the connection", async () => {
    const n = await lab.networking();
    const closed = await bridge(n, "closed", { subnets: ["10.95.0.0/24"], isInternal: true });
    const open = await bridge(n, "open", { subnets: ["10.96.0.0/24", "fd96::/64"] });
    const a = await take(n, "a", ports({ "80/tcp": "8080" }), [closed]);
    await lab.serve(a.netnsPath, "a", 80);
    expect(a.ports).toEqual({ "80/tcp": null });
    expect(await at(8080)).toBe("ECONNREFUSED");
    const b = await take(n, "b", ports({ "80/tcp": "8080" }));
    await expect(n.connect("a", { networkId: open, names: [] })).rejects.toThrow("Bind for 0.0.0.0:8080 failed: port is already allocated");
    expect(n.sandbox("a")?.endpoints).toHaveLength(1);
    n.release(b.containerId);
    expect((await n.connect("a", { networkId: open, names: [] })).ports["80/tcp"]).toHaveLength(2);
    expect(await at(8080)).toBe(`a ${OUTSIDE}`);
    expect(await at(8080, { host: HOST6, from: OUTSIDE6 })).toBe(`a ${OUTSIDE6}`);
    await n.connect("a", { networkId: n.network("bridge")?.id ?? "", names: [], gwPriority: 1 });
    expect(await at(8080)).toBe(`a ${OUTSIDE}`);
    expect(await at(8080, { host: HOST6, from: OUTSIDE6 })).toBe("a 10.93.0.1");
    expect(table("ip6")).not.toContain("8080");
    await n.disconnect("a", open);
    expect(await at(8080)).toBe(`a ${OUTSIDE}`);
    expect((await n.disconnect("a", n.network("bridge")?.id ?? "")).ports).toEqual({ "80/tcp": null });
    expect(await at(8080)).toBe("ECONNREFUSED");
    expect((await n.connect("a", { networkId: open, names: [] })).ports["80/tcp"]).toHaveLength(2);
    expect(await at(8080)).toBe(`a ${OUTSIDE}`);
  });
});

describe.skipIf(!isRoot)("port audit (needs root)", () => {
  test("says of outside hosts, containers and the host what packets then do, whatever firewall the host has", async () => {
    const n = await lab.networking();
    const six = await bridge(n, "six", { subnets: ["10.94.0.0/24", "fd94::/64"] });
    const a = await take(
      n,
      "a",
      ports({ "80/tcp": "8080", "81/tcp": ["8081", "127.0.0.1:8082"] }, { "80/tcp": [`${OUTSIDE}/32`, `${OUTSIDE6}/128`] }),
    );
    const b = await take(n, "b", ports({ "80/tcp": "9080" }), [six]);
    for (const port of [80, 81]) await lab.serve(a.netnsPath, `a${port}`, port);
    await lab.serve(b.netnsPath, "b", 80);
    const firewalls = [
      "",
      "table inet fw { chain f { type filter hook forward priority 0; policy drop; ct state established,related accept; ip saddr 198.51.100.2 tcp dport 80 accept; ip6 saddr 2001:db8:51::3 accept; iifname br-* accept; }; }",
      "table inet fw { chain i { type filter hook input priority 0; policy accept; ip6 saddr 2001:db8:51::3 tcp dport 8081 drop; }; chain p { type filter hook prerouting priority -300; policy accept; ip saddr 198.51.100.3 tcp dport 9080 drop; }; chain o { type filter hook output priority 0; policy accept; oifname dhowtest0 tcp dport 81 drop; }; }",
    ];
    for (const firewall of firewalls) {
      Bun.spawnSync(["nft", "-f", "-"], { stdin: Buffer.from(`${firewall}\n`) });
      try {
        const { ports: audited } = await n.auditPorts();
        const questions = audited.flatMap((port) =>
          port.reach.flatMap((reach) => questionsOf(port, reach, { six: b.netnsPath, bridge: a.netnsPath })),
        );
        const places = new Set(questions.map(({ netns }) => netns));
        for (const netns of places) {
          const asked = questions.filter((question) => question.netns === netns);
          const answers = await lab.askAll(asked, netns);
          const seen = asked.map((question, index) => ({ ...question, isThrough: /^[ab]/.test(answers[index] ?? "") }));
          expect(seen).toEqual(asked.map(({ isThrough, ...question }) => ({ ...question, isThrough })));
        }
        expect(questions.length).toBeGreaterThan(15);
      } finally {
        if (firewall !== "") Bun.spawnSync(["nft", "delete", "table", "inet", "fw"]);
      }
    }
  });
});

/** What a reach says, as connections to be tried. */
function questionsOf(
  port: AuditedPort,
  { from, by, sources, verdict }: PortReach,
  netns: Readonly<Record<string, string>>,
): (Question & { readonly isThrough: boolean })[] {
  const isV6 = port.hostIp.includes(":");
  const question = {
    host: from === "host" && port.hostIp.startsWith("127.") ? port.hostIp : isV6 ? HOST6 : HOST,
    port: port.hostPort,
    isThrough: verdict === "accept",
  };
  if (from === "host") return [{ ...question, netns: undefined, from: undefined }];
  if (from === "containers") return by.map((name) => ({ ...question, netns: netns[name], from: undefined }));
  const others = port.reach.filter((r) => r.from === from && r.sources !== sources).flatMap((r) => r.sources);
  return (isV6 ? [OUTSIDE6, OTHER6] : [OUTSIDE, OTHER])
    .filter((ip) => (sources[0]?.startsWith("any") ? !isAmong(others, ip) : isAmong(sources, ip)))
    .map((ip) => ({ ...question, netns: lab.outside, from: ip }));
}

function isAmong(sources: readonly string[], ip: string): boolean {
  const at = rangeOf(ip);
  return sources.some((text) => {
    const [first, last = first] = text.split("-").map((part) => rangeOf(part));
    return at !== undefined && first !== undefined && last !== undefined && first.first <= at.first && at.last <= last.last;
  });
}
