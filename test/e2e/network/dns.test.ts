import { afterAll, afterEach, beforeEach, describe, expect, test } from "bun:test";
import { createSocket, type Socket } from "node:dgram";
import { Daemon, dockerCliMajor } from "../daemon.ts";

const daemon = await Daemon.start();
afterAll(() => daemon[Symbol.asyncDispose]());
const closers: (() => void)[] = [];
beforeEach(() => daemon.ok("network", "create", "n1"));
afterEach(async () => {
  for (const close of closers.splice(0)) close();
  await daemon.removeContainers();
  await daemon.ok("network", "prune", "-f");
});

const idle = (name: string, ...options: readonly string[]): Promise<string> =>
  daemon.ok("run", "-d", "--name", name, ...options, "busybox", "sleep", "1000");
const addressOf = (name: string, network: string): Promise<string> =>
  daemon.ok("inspect", "-f", `{{(index .NetworkSettings.Networks "${network}").IPAddress}}`, name);
const address6Of = (name: string, network: string): Promise<string> =>
  daemon.ok("inspect", "-f", `{{(index .NetworkSettings.Networks "${network}").GlobalIPv6Address}}`, name);
const resolvConf = (name: string): Promise<string> => daemon.ok("exec", name, "cat", "/etc/resolv.conf");

/** What dig, in a container's network, is answered: the code and the data of the records. */
async function dig(container: string, ...question: readonly string[]): Promise<readonly string[]> {
  const pid = await daemon.ok("inspect", "-f", "{{.State.Pid}}", container);
  const child = Bun.spawn([
    "nsenter",
    "-t",
    pid,
    "-n",
    "dig",
    "@127.0.0.11",
    "+tries=6",
    "+timeout=2",
    "+noall",
    "+comments",
    "+answer",
    ...question,
  ]);
  const text = await new Response(child.stdout).text();
  const data = text.split("\n").filter((line) => line !== "" && !line.startsWith(";"));
  return [/status: (\w+)/.exec(text)?.[1] ?? text, ...data.map((line) => line.split(/\s+/).slice(4).join(" "))];
}

/** A name server on a network's gateway that knows `names`, each with one address; the rest it denies. Returns its address. */
async function upstream(
  network: string,
  names: Readonly<Record<string, string>>,
): Promise<{ readonly address: string; readonly asked: string[] }> {
  const address = await daemon.ok("network", "inspect", "-f", "{{(index .IPAM.Config 0).Gateway}}", network);
  const asked: string[] = [];
  const socket: Socket = createSocket("udp4");
  socket.on("message", (query, from) => {
    let name = "";
    let at = 12;
    for (let length = query[at] ?? 0; length > 0; length = query[at] ?? 0) {
      name += `${query.toString("latin1", at + 1, at + 1 + length)}.`;
      at += length + 1;
    }
    asked.push(name);
    const found = query.readUInt16BE(at + 1) === 1 ? names[name] : undefined;
    const answer = Buffer.from(query.subarray(0, at + 5));
    answer.writeUInt16BE(name in names ? 0x8180 : 0x8183, 2);
    for (const [field, count] of [
      [6, found === undefined ? 0 : 1],
      [8, 0],
      [10, 0],
    ] as const)
      answer.writeUInt16BE(count, field);
    const record = found === undefined ? [] : [0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 9, 0, 4, ...found.split(".").map(Number)];
    socket.send(Buffer.concat([answer, Uint8Array.from(record)]), from.port, from.address);
  });
  await new Promise<void>((resolve) => socket.bind(53, address, resolve));
  closers.push(() => socket.close());
  return { address, asked };
}

describe("names", () => {
  test("name, aliases, short id, host name, and the same with the network's name; the reverse", async () => {
    const id = await idle("web", "--network", "n1", "--network-alias", "www", "--hostname", "webhost");
    await idle("client", "--network", "n1");
    const address = await addressOf("web", "n1");
    for (const name of ["web", "WWW", id.slice(0, 12), "webhost", "web.n1", "www.n1"]) {
      expect([name, ...(await dig("client", name))]).toEqual([name, "NOERROR", address]);
    }
    expect(await dig("client", "-x", address)).toEqual(["NOERROR", "web.n1."]);
    expect(await dig("client", "client")).toEqual(["NOERROR", await addressOf("client", "n1")]);
    expect(await dig("client", "+tcp", "web")).toEqual(["NOERROR", address]);
    expect(await dig("client", "web", "AAAA")).toEqual(["NOERROR"]);
    expect(await dig("client", "web", "TXT")).toEqual(["NOERROR"]);
    expect(await daemon.ok("exec", "client", "nslookup", "web")).toContain(address);
  });

  test("IPv6", async () => {
    await daemon.ok("network", "create", "--ipv6", "--subnet", "fd53::/64", "six");
    await idle("web", "--network", "six");
    const address = await address6Of("web", "six");
    expect(await dig("web", "web", "AAAA")).toEqual(["NOERROR", address]);
    expect(await dig("web", "-x", address)).toEqual(["NOERROR", "web.six."]);
  });

  test.skipIf(dockerCliMajor < 28)("IPv6 alone: the server is an IPv4 address all the same (docker 28 has --ipv4)", async () => {
    await daemon.ok("network", "create", "--ipv6", "--ipv4=false", "--subnet", "fd54::/64", "only");
    await idle("alone", "--network", "only");
    expect(await dig("alone", "alone", "AAAA")).toEqual(["NOERROR", await address6Of("alone", "only")]);
    expect(await dig("alone", "alone")).toEqual(["NOERROR"]);
    expect(await daemon.ok("exec", "alone", "ping", "-6", "-c", "1", "alone")).toContain("1 packets received");
  });

  test("a shared alias leads to all who have it, in changing order", async () => {
    const all: string[] = [];
    for (const name of ["a1", "a2", "a3"]) {
      await idle(name, "--network", "n1", "--network-alias", "app");
      all.push(await addressOf(name, "n1"));
    }
    const orders = new Set<string>();
    for (let i = 0; i < 12; i++) {
      const [status, ...found] = await dig("a1", "app");
      expect([status, ...found.toSorted()]).toEqual(["NOERROR", ...all]);
      orders.add(found.join());
    }
    expect(orders.size).toBeGreaterThan(1);
    await daemon.ok("stop", "-t", "0", "a2");
    expect((await dig("a1", "app")).toSorted()).toEqual([all[0] ?? "", all[2] ?? "", "NOERROR"].toSorted());
  });

  test("connect and disconnect show at once, on each network its own", async () => {
    await daemon.ok("network", "create", "n2");
    await idle("web", "--network", "n1");
    const { address } = await upstream("n2", {});
    await idle("client", "--network", "n2", "--dns", address);
    expect(await dig("client", "web.n2")).toEqual(["NXDOMAIN"]);
    await daemon.ok("network", "connect", "--alias", "second", "n2", "web");
    const second = await addressOf("web", "n2");
    expect(await dig("client", "second")).toEqual(["NOERROR", second]);
    expect(await dig("client", "web.n1")).toEqual(["NXDOMAIN"]);
    await daemon.ok("network", "connect", "n1", "client");
    expect(await dig("client", "web.n1")).toEqual(["NOERROR", await addressOf("web", "n1")]);
    expect(await dig("client", "-x", await addressOf("web", "n1"))).toEqual(["NOERROR", "web.n1."]);
    await daemon.ok("network", "disconnect", "n2", "web");
    expect(await dig("client", "second")).toEqual(["NXDOMAIN"]);
    await daemon.ok("rename", "web", "renamed");
    expect(await dig("client", "renamed")).toEqual(["NOERROR", await addressOf("renamed", "n1")]);
    expect(await dig("client", "web.n1")).toEqual(["NXDOMAIN"]);
  });

  test("links are names for one container alone", async () => {
    const { address } = await upstream("n1", {});
    await idle("db1", "--network", "n1", "--dns", address);
    await idle("app", "--network", "n1", "--link", "db1:db");
    expect(await dig("app", "db")).toEqual(["NOERROR", await addressOf("db1", "n1")]);
    expect(await dig("db1", "db")).toEqual(["NXDOMAIN"]);
  });

  test("the default network has none, unless another is joined", async () => {
    await idle("plain");
    expect(await resolvConf("plain")).not.toContain("127.0.0.11");
    await idle("web", "--network", "n1");
    await daemon.ok("network", "connect", "n1", "plain");
    expect(await dig("plain", "web")).toEqual(["NOERROR", await addressOf("web", "n1")]);
  });

  test("the host, by docker's name for it", async () => {
    await idle("client", "--network", "n1", "--add-host", "host.docker.internal:host-gateway");
    expect(await daemon.ok("exec", "client", "ping", "-c", "1", "-W", "2", "host.docker.internal")).toContain("1 packets received");
  });
});

describe("other names", () => {
  test("--dns servers are asked from the container; what they deny doesn't exist", async () => {
    const { address, asked } = await upstream("n1", { "example.test.": "192.0.2.7" });
    await idle("client", "--network", "n1", "--dns", address);
    expect(await resolvConf("client")).toContain("nameserver 127.0.0.11\n");
    expect(await dig("client", "example.test")).toEqual(["NOERROR", "192.0.2.7"]);
    expect(await dig("client", "example.test", "AAAA")).toEqual(["NOERROR"]);
    expect(await dig("client", "other.test")).toEqual(["NXDOMAIN"]);
    expect(await dig("client", "client", "MX")).toEqual(["NOERROR"]);
    expect(asked.some((name) => name.startsWith("client"))).toBe(false);
  });

  test("one of two that never answers costs a moment", async () => {
    const { address } = await upstream("n1", { "example.test.": "192.0.2.7" });
    // nobody has this address, so nothing answers
    await idle("client", "--network", "n1", "--dns", "192.0.2.99", "--dns", address);
    expect(await dig("client", "+tries=1", "example.test")).toEqual(["NOERROR", "192.0.2.7"]);
    expect(await dig("client", "+tries=1", "other.test")).toEqual(["NXDOMAIN"]);
  });

  test("--dns-search and --dns-option", async () => {
    const { address, asked } = await upstream("n1", { "api.corp.test.": "192.0.2.8" });
    await idle("client", "--network", "n1", "--dns", address, "--dns-search", "corp.test");
    expect(await resolvConf("client")).toContain("search corp.test\noptions ndots:0\n");
    expect((await daemon.docker("exec", "client", "ping", "-c", "1", "-W", "1", "api")).stdout).toContain("PING api (192.0.2.8)");
    expect(asked).toContain("api.");
    await idle("dotted", "--network", "n1", "--dns", address, "--dns-option", "ndots:2", "--dns-option", "timeout:1");
    expect(await resolvConf("dotted")).toContain("options ndots:2 timeout:1\n");
    const before = asked.length;
    // docker's rule: with ndots set, names without a dot are not for others
    expect(await dig("dotted", "api")).toEqual(["NOERROR"]);
    expect(asked.length).toBe(before);
    expect(await dig("dotted", "api.corp.test")).toEqual(["NOERROR", "192.0.2.8"]);
  });

  test("an internal network knows its own and asks nobody", async () => {
    await daemon.ok("network", "create", "--internal", "inside");
    const { address, asked } = await upstream("inside", { "example.test.": "192.0.2.7" });
    await idle("web", "--network", "inside", "--dns", address);
    expect(await dig("web", "web")).toEqual(["NOERROR", await addressOf("web", "inside")]);
    expect(await dig("web", "example.test")).toEqual(["SERVFAIL"]);
    expect(asked).toEqual([]);
  });
});

test("port 53 is the container's own", async () => {
  await daemon.ok("run", "-d", "--name", "own", "--network", "n1", "busybox", "nc", "-ll", "-p", "53", "-e", "echo", "own");
  await idle("client", "--network", "n1");
  expect(await dig("own", "+tcp", "client")).toEqual(["NOERROR", await addressOf("client", "n1")]);
  expect(await daemon.ok("exec", "client", "nc", "own", "53")).toBe("own");
});

test("a container with its own nameserver may be run on top: it asks docker's in turn", async () => {
  await idle("web", "--network", "n1");
  await idle("client", "--network", "n1", "--dns", "127.0.0.11");
  expect(await dig("client", "web")).toEqual(["NOERROR", await addressOf("web", "n1")]);
  expect(await dig("client", "example.test")).toEqual(["SERVFAIL"]);
});

test("kill -9: who asks meanwhile is answered by the next daemon", async () => {
  await idle("web", "--network", "n1", "--network-alias", "www");
  const { address: server } = await upstream("n1", {});
  await idle("client", "--network", "n1", "--dns", server);
  const address = await addressOf("web", "n1");
  const pid = await daemon.ok("inspect", "-f", "{{.State.Pid}}", "client");
  await daemon.kill9();
  const asking = Bun.spawn(["nsenter", "-t", pid, "-n", "dig", "@127.0.0.11", "+tries=20", "+timeout=1", "+short", "www"]);
  await Bun.sleep(50);
  await daemon.launch();
  expect(await new Response(asking.stdout).text()).toEndWith(`${address}\n`);
  expect(await dig("client", "+tcp", "web.n1")).toEqual(["NOERROR", address]);
  await daemon.restart();
  expect(await dig("client", "web")).toEqual(["NOERROR", address]);
  expect(await dig("client", "-x", address)).toEqual(["NOERROR", "web.n1."]);
  await daemon.ok("rm", "-f", "web");
  expect(await dig("client", "web.n1")).toEqual(["NXDOMAIN"]);
});
