import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { createSocket } from "node:dgram";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { silentLogger } from "../../lib/mod.ts";
import { bindInet, type Fd, O_RDONLY, open } from "../../linux/mod.ts";
import { DnsServer } from "./dns-server.ts";
import { query, TestClient, TestNetns } from "./test-support.ts";
import type { NameSource, SandboxDns } from "./types.ts";

const V6 = Uint8Array.of(0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7);
const table: Record<string, readonly Uint8Array[]> = {
  web: [Uint8Array.of(10, 9, 0, 2), V6],
  "web.mynet": [Uint8Array.of(10, 9, 0, 2), V6],
  shared: [2, 3, 4].map((host) => Uint8Array.of(10, 9, 0, host)),
  many: Array.from({ length: 100 }, (_, host) => Uint8Array.of(10, 9, 1, host)),
};
const names: NameSource = {
  lookup: (name, family) => table[name]?.filter(({ length }) => length === (family === 4 ? 4 : 16)),
  reverse: (address) => (Buffer.compare(address, V6) === 0 || address.join(".") === "10.9.0.2" ? "web.mynet" : undefined),
};

let sandbox: TestNetns;
let server: DnsServer;
let dns: SandboxDns;
const dir = mkdtempSync("/tmp/dhow-dns-");
const options = (netns: Fd) => ({ netns, names, upstreams: () => [] });

beforeAll(() => {
  sandbox = new TestNetns();
  server = new DnsServer({ home: sandbox.home, log: silentLogger });
  dns = server.open(options(sandbox.netns));
  writeFileSync(join(dir, "resolv.conf"), "nameserver 127.0.0.11\noptions ndots:0 timeout:2 attempts:1\n");
});
afterAll(() => {
  server.close();
  sandbox[Symbol.dispose]();
  rmSync(dir, { recursive: true });
});

const dig = (...args: readonly string[]): Promise<string> => sandbox.run("dig", "@127.0.0.11", "+tries=1", "+timeout=4", ...args);
/** The answer's records, without the spaces that dig aligns them with. */
const digRecords = async (...args: readonly string[]): Promise<string[]> =>
  (await dig("+noall", "+answer", ...args)).split("\n").map((line) => line.replaceAll(/\s+/g, " "));
/** The status and flags of an answer. */
const digHead = async (...args: readonly string[]): Promise<string> => {
  const text = await dig(...args);
  return `${/status: (\w+)/.exec(text)?.[1]} ${/flags: ([\w ]+)/.exec(text)?.[1]}`;
};

/** Runs a program with the container's resolv.conf. */
const withResolvConf = (...command: readonly string[]): Promise<string> =>
  sandbox.run("unshare", "-m", "sh", "-c", 'mount --bind "$0" /etc/resolv.conf && exec "$@"', join(dir, "resolv.conf"), ...command);

describe("names of ours", () => {
  test("A, AAAA and PTR, with docker's time to live, as the question was written", async () => {
    expect(await digRecords("wEb.MyNet", "A")).toEqual(["wEb.MyNet. 600 IN A 10.9.0.2"]);
    expect(await digRecords("web", "AAAA")).toEqual(["web. 600 IN AAAA fd00::7"]);
    expect(await digRecords("-x", "10.9.0.2")).toEqual(["2.0.9.10.in-addr.arpa. 600 IN PTR web.mynet."]);
    expect(await digRecords("-x", "fd00::7")).toEqual([expect.stringContaining("ip6.arpa. 600 IN PTR web.mynet.")]);
    expect(await digRecords("+tcp", "web", "A")).toEqual(["web. 600 IN A 10.9.0.2"]);
    expect(await digHead("web", "A")).toBe("NOERROR qr rd ra");
  });

  test("a type that a name doesn't have is no error, a name that nobody knows is one", async () => {
    for (const type of ["TXT", "MX", "ANY", "HTTPS"]) expect([type, await digHead("web", type)]).toEqual([type, "NOERROR qr rd ra"]);
    expect(await digHead("shared", "AAAA")).toBe("NOERROR qr rd ra");
    expect(await digRecords("shared", "AAAA")).toEqual([""]);
    expect(await digHead("nobody", "A")).toBe("SERVFAIL qr rd ra");
    expect(await digHead("-x", "10.9.0.99")).toBe("SERVFAIL qr rd ra");
  });

  test("several addresses come in changing order", async () => {
    using client = new TestClient(sandbox);
    const firsts = new Set<number | undefined>();
    for (let i = 0; i < 60; i++) firsts.add((await client.ask(query("shared"))).at(-1));
    expect([...firsts].sort()).toEqual([2, 3, 4]);
  });

  test("what a client takes over UDP it gets whole, else a part and the rest over TCP", async () => {
    using client = new TestClient(sandbox);
    const cut = await client.ask(query("many"));
    expect(cut.length).toBeLessThanOrEqual(512);
    expect(cut.readUInt16BE(2) & 0x0200).toBe(0x0200);
    expect(cut.readUInt16BE(6)).toBeGreaterThan(20);
    expect((await client.ask(query("many", { udpBytes: 4096 }))).readUInt16BE(6)).toBe(100);
    expect((await digRecords("+noedns", "many", "A")).filter((line) => line.startsWith("many.")).length).toBe(100);
  });

  test("glibc and busybox find them", async () => {
    expect(await withResolvConf("getent", "ahosts", "web")).toContain("10.9.0.2");
    expect(await withResolvConf("getent", "ahosts", "web")).toContain("fd00::7");
    expect(await withResolvConf("getent", "hosts", "10.9.0.2")).toContain("web.mynet");
    const shown = await withResolvConf("busybox", "nslookup", "web.mynet");
    expect(shown).toContain("10.9.0.2");
    expect(shown).toContain("127.0.0.11");
  });

  test("an answer is of the moment", async () => {
    using client = new TestClient(sandbox);
    table["later"] = [Uint8Array.of(10, 9, 0, 9)];
    expect((await client.ask(query("later"))).at(-1)).toBe(9);
    delete table["later"];
    expect((await client.ask(query("later"))).readUInt16BE(2) & 15).toBe(2);
  });
});

describe("port 53 of the sandbox", () => {
  test("is the container's own", async () => {
    const udp = createSocket("udp4");
    const tcp = createServer((socket) => socket.end("own"));
    sandbox.inside(() => {
      udp.bind({ fd: bindInet({ protocol: "udp", address: new Uint8Array(4), port: 53 }).release() });
      tcp.listen(53, "0.0.0.0");
    });
    try {
      udp.on("message", (message, from) =>
        udp.send(Buffer.concat([message.subarray(0, 2), Uint8Array.of(0x81, 0x85), message.subarray(4)]), from.port, from.address),
      );
      expect(await sandbox.run("dig", "@127.0.0.1", "+tries=1", "+timeout=4", "web", "A")).toContain("status: REFUSED");
      expect(await digRecords("web", "A")).toEqual(["web. 600 IN A 10.9.0.2"]);
      expect(await digRecords("+tcp", "web", "A")).toEqual(["web. 600 IN A 10.9.0.2"]);
    } finally {
      udp.close();
      tcp.close();
    }
  });

  test("is all that a packet filter in the container sees", async () => {
    const rules = `table inet own {
      chain out { type filter hook output priority filter; policy drop;
        ct state established accept
        ip daddr 127.0.0.11 meta l4proto { tcp, udp } th dport 53 accept
      }
    }`;
    writeFileSync(join(dir, "own.nft"), rules);
    await sandbox.run("nft", "-f", join(dir, "own.nft"));
    try {
      expect(await digRecords("web", "A")).toEqual(["web. 600 IN A 10.9.0.2"]);
      expect(await digRecords("+tcp", "web", "A")).toEqual(["web. 600 IN A 10.9.0.2"]);
    } finally {
      await sandbox.run("nft", "delete", "table", "inet", "own");
    }
  });
});

describe("DnsServer.open()", () => {
  test("goes on where an earlier server has ended, and moves when its port is taken", async () => {
    const listPorts = async (): Promise<string[]> => (await sandbox.run("nft", "list", "ruleset")).match(/chain \S+/g) ?? [];
    dns.close();
    expect((await sandbox.spawn("dig", "@127.0.0.11", "+tries=1", "+timeout=1", "web")).exitCode).not.toBe(0);
    dns = server.open(options(sandbox.netns));
    expect(await digRecords("web", "A")).toEqual(["web. 600 IN A 10.9.0.2"]);
    expect(await listPorts()).toEqual(["chain question-61053", "chain answer-61053"]);
    dns.close();
    {
      using _taken = sandbox.inside(() => bindInet({ protocol: "tcp", address: new Uint8Array(4), port: 61053 }));
      dns = server.open(options(sandbox.netns));
      expect(await digRecords("web", "A")).toEqual(["web. 600 IN A 10.9.0.2"]);
      expect(await digRecords("+tcp", "web", "A")).toEqual(["web. 600 IN A 10.9.0.2"]);
      expect(await listPorts()).toEqual(["chain question-61153", "chain answer-61153"]);
    }
    dns.close();
    dns = server.open(options(sandbox.netns));
    expect(await digRecords("web", "A")).toEqual(["web. 600 IN A 10.9.0.2"]);
    expect(await listPorts()).toEqual(["chain question-61053", "chain answer-61053"]);
    expect(server.size).toBe(1);
  });

  test("serves a namespace that belongs to another user namespace", async () => {
    const child = Bun.spawn(["unshare", "--user", "--map-root-user", "--net", "sh", "-c", "ip link set lo up; echo up; exec sleep 60"], {
      stdio: ["ignore", "pipe", "ignore"],
    });
    try {
      await child.stdout.getReader().read();
      const path = `/proc/${child.pid}/ns/net`;
      using netns = open(path, O_RDONLY);
      using _dns = server.open(options(netns));
      const digging = Bun.spawn(["nsenter", `--net=${path}`, "dig", "@127.0.0.11", "+short", "+tries=1", "+timeout=4", "web"]);
      const text = await new Response(digging.stdout).text();
      expect(text).toBe("10.9.0.2\n");
    } finally {
      child.kill("SIGKILL");
      await child.exited;
    }
  });

  test("leaves nothing open when the sandbox can't be served", () => {
    using other = new TestNetns();
    const taken = [61053, 61153, 61253, 62053, 63053, 64053].map((port) =>
      other.inside(() => bindInet({ protocol: "tcp", address: new Uint8Array(4), port })),
    );
    expect(() => server.open(options(other.netns))).toThrow(
      "serve names at 127.0.0.11: ports 61053, 61153, 61253, 62053, 63053, 64053 are taken",
    );
    for (const fd of taken) fd.close();
    server.open(options(other.netns)).close();
    expect(server.size).toBe(1);
  });
});
