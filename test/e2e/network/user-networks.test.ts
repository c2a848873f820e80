import { afterAll, afterEach, describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { Daemon, until } from "../daemon.ts";

const daemon = await Daemon.start();
afterAll(() => daemon[Symbol.asyncDispose]());
afterEach(async () => {
  await daemon.removeContainers();
  await daemon.ok("network", "prune", "-f");
});

interface Endpoint {
  readonly IPAddress: string;
  readonly IPPrefixLen: number;
  readonly Gateway: string;
  readonly GlobalIPv6Address: string;
  readonly IPv6Gateway: string;
  readonly MacAddress: string;
  readonly Aliases: readonly string[] | null;
  readonly DNSNames: readonly string[] | null;
}
interface Inspected {
  readonly NetworkSettings: { readonly Networks: Readonly<Record<string, Endpoint>>; readonly Ports: Readonly<Record<string, unknown>> };
}

const idle = (name: string, ...options: readonly string[]): Promise<string> =>
  daemon.ok("run", "-d", "--name", name, ...options, "busybox", "sleep", "1000");
const endpoints = async (name: string): Promise<Readonly<Record<string, Endpoint>>> =>
  (await daemon.inspect<Inspected>(name)).NetworkSettings.Networks;
const endpoint = async (name: string, network: string): Promise<Endpoint> => {
  const found = (await endpoints(name))[network];
  if (found === undefined) throw new Error(`${name} is not on ${network}`);
  return found;
};
const pings = async (from: string, to: string): Promise<boolean> =>
  (await daemon.docker("exec", from, "ping", "-c", "1", "-W", "1", to)).exitCode === 0;
const refused = async (...command: readonly string[]): Promise<string> => {
  const { exitCode, stderr } = await daemon.docker(...command);
  expect(exitCode).not.toBe(0);
  return stderr
    .replace(/^(docker: )?Error response from daemon: /, "")
    .replace(/\n+(Run|See) 'docker [\s\S]*/, "")
    .replace(/\nexit status 1$/m, "")
    .replace(/[\s.]+$/, "");
};

describe("network create", () => {
  test("a network with everything shows it, and goes again", async () => {
    await daemon.ok(
      ...["network", "create", "--subnet", "10.88.0.0/16", "--ip-range", "10.88.5.0/24", "--gateway", "10.88.5.254", "--internal"],
      ...["--aux-address", "router=10.88.5.1", "--attachable", "--label", "a=b", "-o", "com.docker.network.driver.mtu=1400", "full"],
    );
    const [full] = JSON.parse(await daemon.ok("network", "inspect", "full")) as [Record<string, unknown>];
    expect(full).toMatchObject({
      Name: "full",
      Scope: "local",
      Driver: "bridge",
      EnableIPv6: false,
      IPAM: {
        Driver: "default",
        Options: {},
        Config: [{ Subnet: "10.88.0.0/16", IPRange: "10.88.5.0/24", Gateway: "10.88.5.254", AuxiliaryAddresses: { router: "10.88.5.1" } }],
      },
      Internal: true,
      Attachable: true,
      Labels: { a: "b" },
      Options: { "com.docker.network.driver.mtu": "1400" },
    });
    await idle("one", "--network", "full");
    expect((await endpoint("one", "full")).IPAddress).toBe("10.88.5.0");
    await idle("two", "--network", "full");
    expect((await endpoint("two", "full")).IPAddress).toBe("10.88.5.2");
    expect(await daemon.ok("exec", "one", "cat", "/sys/class/net/eth0/mtu")).toBe("1400");
    expect(await refused("network", "rm", "full")).toMatch(
      /^error while removing network: network full has active endpoints \(name:"one" id:"\w{12}", name:"two" id:"\w{12}"\)$/,
    );
    await daemon.ok("rm", "-f", "one", "two");
    expect(await daemon.ok("network", "rm", "full")).toBe("full");
    expect(await daemon.ok("network", "ls", "-q", "--filter", "name=full")).toBe("");
  });

  test("what can't be is refused in docker's words", async () => {
    await daemon.ok("network", "create", "--subnet", "10.88.0.0/16", "taken");
    expect(await refused("network", "create", "taken")).toBe("network with name taken already exists");
    expect(await refused("network", "create", "--subnet", "10.88.7.0/24", "x")).toBe(
      "invalid pool request: Pool overlaps with other one on this address space",
    );
    expect(await refused("network", "create", "host")).toBe("operation is not permitted on predefined host network");
    expect(await refused("network", "create", "-d", "nosuch", "x")).toBe('plugin "nosuch" not found');
    expect(await refused("network", "rm", "bridge")).toBe("bridge is a pre-defined network and cannot be removed");
    expect((await daemon.api("DELETE", "/networks/nosuch")).json).toEqual({ message: "network nosuch not found" });
    const { status, text } = await daemon.api("POST", "/networks/create", {
      Name: "x",
      IPAM: { Config: [{ Subnet: "10.89.0.1/16", Gateway: "10.90.0.1" }] },
    });
    expect([status, text]).toEqual([
      400,
      expect.stringContaining(
        "invalid network config:\\n* invalid subnet 10.89.0.1/16: it should be 10.89.0.0/16\\n* invalid gateway 10.90.0.1: parent subnet 10.89.0.0/16 doesn't contain this address",
      ),
    ]);
    expect(await daemon.ok("network", "ls", "-q", "--filter", "name=^x$")).toBe("");
  });

  test("the daemon's pool is kept to, and says so when it is used up", async () => {
    const made: string[] = [];
    for (let i = 0; i < 16; i++) made.push(await daemon.ok("network", "create", `n${i}`));
    expect(await refused("network", "create", "n16")).toMatch(
      /^all predefined address pools have been fully subnetted: .*--default-address-pool/,
    );
    await daemon.ok("network", "rm", "n7");
    await daemon.ok("network", "create", "n16");
    expect(new Set(made).size).toBe(16);
  });

  test("IPv6, with and without IPv4", async () => {
    await daemon.ok("network", "create", "--ipv6", "--subnet", "10.88.0.0/24", "--subnet", "fd88::/64", "both");
    await idle("a", "--network", "both", "--ip6", "fd88::99").catch(() => undefined);
    await idle("a1", "--network", "both", "--ip6", "fd88::99");
    await idle("b1", "--network", "both");
    expect(await endpoint("a1", "both")).toMatchObject({ IPAddress: "10.88.0.2", GlobalIPv6Address: "fd88::99", IPv6Gateway: "fd88::1" });
    expect(await pings("b1", "fd88::99")).toBe(true);
    await idle("none6", "--network", "both", "--sysctl", "net.ipv6.conf.all.disable_ipv6=1", "--add-host", "six:fd88::7");
    expect(await endpoint("none6", "both")).toMatchObject({ GlobalIPv6Address: "", IPv6Gateway: "" });
    expect(await daemon.ok("exec", "none6", "cat", "/etc/hosts")).toMatch(/^127\.0\.0\.1\tlocalhost\n10\.88\.0\.\d+\t\w+$/);
    expect(await daemon.docker("exec", "b1", "ping", "-6", "-c", "1", "none6").then(({ stderr }) => stderr)).toContain("bad address");
    const { status } = await daemon.api("POST", "/networks/create", {
      Name: "six",
      EnableIPv4: false,
      EnableIPv6: true,
      IPAM: { Config: [{ Subnet: "fd89::/64" }] },
    });
    expect(status).toBe(201);
    await idle("c1", "--network", "six");
    await idle("d1", "--network", "six");
    expect(await endpoint("c1", "six")).toMatchObject({ IPAddress: "", Gateway: "", GlobalIPv6Address: "fd89::2" });
    expect(await pings("d1", "c1")).toBe(true);
    expect(await daemon.ok("exec", "d1", "ip", "-4", "-o", "addr")).not.toContain("eth0");
  });
});

describe("containers on networks", () => {
  test("names, aliases and short ids lead to each other, at once after connect and no longer after disconnect", async () => {
    await daemon.ok("network", "create", "n1");
    await daemon.ok("network", "create", "n2");
    const id = await idle("web", "--network", "n1", "--network-alias", "www");
    await idle("client", "--network", "n1");
    await idle("other", "--network", "n2");
    for (const name of ["web", "www", id.slice(0, 12), "web.n1", "host.docker.internal"]) expect(await pings("client", name)).toBe(true);
    expect(await pings("other", "web")).toBe(false);
    expect(await pings("other", (await endpoint("web", "n1")).IPAddress)).toBe(false);
    await daemon.ok("network", "connect", "--alias", "second", "n2", "web");
    expect(await pings("other", "second")).toBe(true);
    expect(await daemon.ok("exec", "web", "ls", "/sys/class/net")).toContain("eth1");
    expect(await daemon.ok("exec", "web", "cat", "/etc/hosts")).toContain((await endpoint("web", "n2")).IPAddress);
    expect((await endpoint("web", "n2")).DNSNames).toEqual(["web", "second", id.slice(0, 12)]);
    await daemon.ok("network", "disconnect", "n2", "web");
    expect(await pings("other", "second")).toBe(false);
    expect(await daemon.ok("exec", "web", "ls", "/sys/class/net")).not.toContain("eth1");
    expect(Object.keys(await endpoints("web"))).toEqual(["n1"]);
    await daemon.ok("rename", "web", "renamed");
    expect(await pings("client", "renamed")).toBe(true);
    expect(await pings("client", "web")).toBe(false);
  });

  test("a stopped container is connected at its next start; networks of the create request, too", async () => {
    await daemon.ok("network", "create", "--subnet", "10.88.0.0/24", "n1");
    await daemon.ok("network", "create", "n2");
    await daemon.ok("create", "--name", "late", "--network", "n1", "busybox", "sleep", "1000");
    await daemon.ok("network", "connect", "--ip", "10.88.0.9", "n1", "late").catch(() => undefined);
    await daemon.ok("network", "connect", "n2", "late");
    await daemon.ok("start", "late");
    expect(Object.keys(await endpoints("late")).sort()).toEqual(["n1", "n2"]);
    await daemon.ok("restart", "-t", "0", "late");
    expect(await daemon.ok("exec", "late", "ls", "/sys/class/net")).toMatch(/eth0\neth1/);
    await daemon.ok("stop", "-t", "0", "late");
    expect(Object.keys(await endpoints("late")).sort()).toEqual(["n1", "n2"]);
    await daemon.ok("network", "disconnect", "n1", "late");
    await daemon.ok("start", "late");
    expect(Object.keys(await endpoints("late"))).toEqual(["n2"]);
  });

  test("a create request's networks are all that there are, whatever its network mode", async () => {
    await daemon.ok("network", "create", "n1");
    const create = (body: object) => daemon.api<{ message?: string }>("POST", "/containers/create?name=own", { Image: "busybox", ...body });
    for (const HostConfig of [{}, { NetworkMode: "bridge" }, { NetworkMode: "other" }]) {
      await create({ Cmd: ["sleep", "1000"], HostConfig, NetworkingConfig: { EndpointsConfig: { n1: {} } } });
      await daemon.ok("start", "own");
      expect(Object.keys(await endpoints("own"))).toEqual(["n1"]);
      await daemon.ok("rm", "-f", "own");
    }
    const EndpointsConfig = { n1: { IPAMConfig: { IPv4Address: "192.0.2.1", IPv6Address: "x" } }, bridge: { Aliases: ["a"] } };
    expect((await create({ NetworkingConfig: { EndpointsConfig } })).json.message).toBe(
      "* invalid config for network bridge: invalid endpoint settings:\n\tnetwork-scoped aliases are only supported for user-defined networks\n* invalid config for network n1: invalid endpoint settings:\n\t* invalid IPv6 address: x\n\t* no configured subnet contains IP address 192.0.2.1",
    );
  });

  test("static addresses: kept over restarts, refused when taken or outside", async () => {
    await daemon.ok("network", "create", "--subnet", "10.88.0.0/24", "own");
    await daemon.ok("network", "create", "pooled");
    await idle("fixed", "--network", "own", "--ip", "10.88.0.77", "--mac-address", "02:42:00:00:00:77");
    expect(await endpoint("fixed", "own")).toMatchObject({ IPAddress: "10.88.0.77", MacAddress: "02:42:00:00:00:77" });
    await daemon.ok("restart", "-t", "0", "fixed");
    expect((await endpoint("fixed", "own")).IPAddress).toBe("10.88.0.77");
    const run = (...options: readonly string[]): Promise<string> => refused("run", "--rm", ...options, "busybox", "true");
    expect(await run("--network", "own", "--ip", "10.88.0.77")).toContain("Address already in use");
    expect(await run("--network", "own", "--ip", "10.99.0.1")).toContain(
      "invalid config for network own: invalid endpoint settings:\nno configured subnet contains IP address 10.99.0.1",
    );
    expect(await run("--network", "pooled", "--ip", "192.0.2.9")).toContain("no configured subnet contains IP address 192.0.2.9");
    expect(await run("--network", "bridge", "--ip", "10.88.0.9")).toContain(
      "user-specified IP address is supported on user-defined networks only",
    );
    expect(await run("--network", "nosuch")).toContain("network nosuch not found");
    expect(await daemon.ok("ps", "-aq", "--filter", "status=created")).toBe("");
  });

  test("the default route follows the priority, and ports follow the route", async () => {
    await daemon.ok("network", "create", "--subnet", "10.88.1.0/24", "n1");
    await daemon.ok("network", "create", "--subnet", "10.88.2.0/24", "n2");
    await daemon.ok(
      "run",
      "-d",
      "--name",
      "web",
      "--network",
      "n2",
      "-p",
      "127.0.0.1::80",
      "busybox",
      "nc",
      "-ll",
      "-p",
      "80",
      "-e",
      "echo",
      "pong",
    );
    const answer = async (): Promise<string> => {
      const port = (await daemon.ok("port", "web", "80")).split(":").at(-1) ?? "";
      return Bun.spawnSync(["bash", "-c", `exec 3<>/dev/tcp/127.0.0.1/${port}; cat <&3`]).stdout.toString();
    };
    const route = async (): Promise<string> =>
      (await daemon.ok("exec", "web", "ip", "route")).split("\n").find((line) => line.startsWith("default")) ?? "";
    await until("an answer", async () => (await answer()) === "pong\n");
    expect(await route()).toContain("via 10.88.2.1");
    await daemon.ok("network", "connect", "n1", "web");
    expect(await route()).toContain("via 10.88.1.1");
    expect(await answer()).toBe("pong\n");
    await daemon.ok("network", "disconnect", "n2", "web");
    expect(await answer()).toBe("pong\n");
    await daemon.ok("network", "disconnect", "n1", "web");
    expect(await route()).toBe("");
    expect(await daemon.ok("port", "web")).toBe("");
    await daemon.ok("network", "connect", "n2", "web");
    expect(await answer()).toBe("pong\n");
  });

  test("after disconnect a container can't use the interface, and doesn't have it a moment later, whoever was killed", async () => {
    await daemon.ok("network", "create", "--subnet", "10.88.2.0/24", "n2");
    await idle("web");
    const pid = await daemon.ok("inspect", "-f", "{{.State.Pid}}", "web");
    const inside = (...command: readonly string[]): string => Bun.spawnSync(["nsenter", "-t", pid, "-n", ...command]).stdout.toString();
    const links = (): readonly string[] => [...inside("ip", "-o", "link").matchAll(/^\d+: ([^:@]+)/gm)].map(([, name = ""]) => name);
    for (let round = 0; round < 3; round++) {
      await daemon.ok("network", "connect", "n2", "web");
      expect(links()).toContain("eth1");
      await daemon.ok("network", "disconnect", "n2", "web");
      expect(links()).not.toContain("eth1");
      expect(inside("ip", "-o", "addr")).not.toMatch(/ 10\.88\.2\.\d\//);
      // a container with CAP_NET_ADMIN can't have it back
      for (const name of links().filter((link) => link.startsWith("gone"))) {
        inside("ip", "link", "set", name, "up");
        inside("ip", "addr", "add", "10.88.2.99/24", "dev", name);
      }
      expect(inside("ping", "-c", "1", "-W", "1", "10.88.2.1")).not.toContain(" 0% packet loss");
    }
    await daemon.ok("network", "connect", "n2", "web");
    await daemon.ok("network", "disconnect", "n2", "web");
    expect(await daemon.ok("exec", "web", "ls", "/sys/class/net")).toBe("eth0\nlo");
    await daemon.ok("network", "connect", "n2", "web");
    await daemon.ok("network", "disconnect", "n2", "web");
    expect(await daemon.ok("run", "--rm", "--network", "container:web", "busybox", "ls", "/sys/class/net")).toBe("eth0\nlo");
    await daemon.ok("network", "connect", "n2", "web");
    await daemon.ok("network", "disconnect", "n2", "web");
    await daemon.kill9();
    await daemon.launch();
    await until("the interface to be gone", () => links().length === 2);
    expect(links()).toEqual(["lo", "eth0"]);
  });

  test("--internal leads nowhere, and knows its own names", async () => {
    await daemon.ok("network", "create", "--internal", "inside");
    await idle("a1", "--network", "inside", "-p", "127.0.0.1::80");
    await idle("b1", "--network", "inside");
    expect(await daemon.ok("exec", "a1", "ip", "route")).not.toContain("default");
    expect(await daemon.ok("port", "a1")).toBe("");
    expect(await pings("b1", "a1")).toBe(true);
    await idle("c1");
    expect(await pings("c1", (await endpoint("a1", "inside")).IPAddress)).toBe(false);
  });

  test("links on a user-defined network are names that only this container has", async () => {
    await daemon.ok("network", "create", "n1");
    await idle("db1", "--network", "n1");
    await idle("app", "--network", "n1", "--link", "db1:db");
    await idle("third", "--network", "n1");
    expect(await pings("app", "db")).toBe(true);
    expect(await pings("third", "db")).toBe(false);
    await idle("early", "--network", "n1", "--link", "late:l");
    expect(await pings("early", "l")).toBe(false);
    await idle("late", "--network", "n1");
    expect(await pings("early", "l")).toBe(true);
    expect(await daemon.ok("ps", "--format", "{{.Names}}", "--filter", "name=db1")).toBe("db1");
  });

  test("a container leaves a network that is gone", async () => {
    await daemon.ok("network", "create", "n1");
    await daemon.ok("create", "--name", "still", "--network", "n1", "busybox", "true");
    await daemon.ok("network", "rm", "n1");
    await daemon.ok("network", "disconnect", "n1", "still");
    expect(await endpoints("still")).toEqual({});
    expect(await refused("network", "disconnect", "-f", "n1", "still")).toMatch(/^container \w{64} is not connected to the network n1$/);
    await idle("web");
    expect(await refused("network", "disconnect", "n1", "web")).toBe("network n1 not found");
  });

  test("a link-local address has to be one", async () => {
    await daemon.ok("network", "create", "n1");
    expect(await refused("run", "--network", "n1", "--link-local-ip", "169.253.5.5", "busybox", "true")).toContain(
      "invalid link local IP address: 169.253.5.5",
    );
    await idle("a1", "--network", "n1", "--link-local-ip", "169.254.8.8");
    await idle("b1", "--network", "n1", "--link-local-ip", "169.254.9.9");
    expect(await pings("a1", "169.254.9.9")).toBe(true);
  });
});

test("what connect and disconnect refuse", async () => {
  await daemon.ok("network", "create", "n1");
  await idle("one", "--network", "n1");
  await idle("hosted", "--network", "host");
  await idle("alone", "--network", "none");
  expect(await refused("network", "connect", "n1", "one")).toBe("endpoint with name one already exists in network n1");
  expect(await refused("network", "connect", "n1", "hosted")).toBe(
    "container sharing network namespace with another container or host cannot be connected to any other network",
  );
  expect(await refused("network", "connect", "host", "one")).toBe(
    "cannot connect container to host network - container must be created in host network mode",
  );
  expect(await refused("network", "disconnect", "host", "hosted")).toBe(
    "cannot disconnect container from host network - container was created in host network mode",
  );
  expect(await refused("network", "disconnect", "host", "one")).toMatch(/^container \w{64} is not connected to network host$/);
  expect(await refused("network", "connect", "--alias", "a", "bridge", "alone")).toContain("network-scoped aliases are only supported");
  expect(await refused("network", "connect", "n1", "alone")).toBe(
    "container cannot be connected to multiple networks with one of the networks in private (none) mode",
  );
  expect(await refused("network", "connect", "n1", "nosuch")).toBe("No such container: nosuch");
  expect(await refused("network", "connect", "nosuch", "one")).toBe("network nosuch not found");
  expect(await refused("network", "disconnect", "bridge", "one")).toMatch(/^container \w{64} is not connected to (the )?network bridge$/);
  await daemon.ok("network", "disconnect", "none", "alone");
  await daemon.ok("network", "connect", "n1", "alone");
  expect(await pings("alone", "one")).toBe(true);
});

test("prune, list filters and events", async () => {
  const since = String(Math.floor(Date.now() / 1000) - 1);
  await daemon.ok("network", "create", "--label", "keep=yes", "kept");
  await daemon.ok("network", "create", "used");
  await daemon.ok("network", "create", "gone");
  await idle("one", "--network", "used");
  const names = (...filters: readonly string[]): Promise<string> =>
    daemon.ok("network", "ls", "--format", "{{.Name}}", ...filters.flatMap((filter) => ["--filter", filter]));
  expect(await names("type=custom")).toBe("gone\nkept\nused");
  expect(await names("dangling=true")).toBe("gone\nkept");
  expect(await names("dangling=false")).toBe("used");
  expect(await names("label=keep")).toBe("kept");
  expect(await names("driver=bridge", "type=builtin")).toBe("bridge");
  expect(await daemon.ok("network", "prune", "-f", "--filter", "label!=keep")).toBe("Deleted Networks:\ngone");
  await daemon.ok("rm", "-f", "one");
  await daemon.ok("network", "rm", "used");
  const events = await daemon.ok(
    ...["events", "--since", since, "--until", String(Math.floor(Date.now() / 1000) + 1), "--filter", "type=network"],
    ...["--format", "{{.Action}} {{.Actor.Attributes.name}} {{.Actor.Attributes.type}}"],
  );
  expect(events.split("\n").filter((line) => /used|gone/.test(line))).toEqual([
    "create used bridge",
    "create gone bridge",
    "connect used bridge",
    "destroy gone bridge",
    "disconnect used bridge",
    "destroy used bridge",
  ]);
});

test("kill -9: names, addresses, ports and connections are as before; what was half done is not there", async () => {
  await daemon.ok("network", "create", "--ipv6", "--subnet", "10.88.0.0/24", "--subnet", "fd88::/64", "n1");
  await daemon.ok("network", "create", "n2");
  await idle("web", "--network", "n1", "-p", "127.0.0.1::80");
  await idle("client", "--network", "n1");
  await daemon.ok("network", "connect", "n2", "web");
  const before = await endpoints("web");
  const ports = await daemon.ok("port", "web");
  await daemon.kill9();
  const [pid = ""] = readFileSync(`${daemon.execRoot}/../pid`, "utf8").split("\n");
  expect(Number(pid)).toBeGreaterThan(0);
  await daemon.launch();
  expect(await endpoints("web")).toEqual(before);
  expect(await daemon.ok("port", "web")).toBe(ports);
  expect(await pings("client", "web")).toBe(true);
  expect(await daemon.ok("network", "inspect", "-f", "{{len .Containers}}", "n1")).toBe("2");
  await daemon.ok("network", "disconnect", "n2", "web");
  await idle("third", "--network", "n1");
  expect(Object.values(await endpoints("third"))[0]?.IPAddress).toBe("10.88.0.4");
  expect(await daemon.ok("stop", "-t", "0", "web", "client", "third")).toBe("web\nclient\nthird");
});

test("a container's endpoints count at its start, whatever became of the network that it was created on", async () => {
  await daemon.ok("network", "create", "first");
  await daemon.ok("network", "create", "second");
  await idle("mover", "--network", "first");
  await daemon.ok("network", "connect", "second", "mover");
  await daemon.ok("network", "disconnect", "first", "mover");
  await daemon.ok("network", "rm", "first");
  await daemon.ok("restart", "-t", "0", "mover");
  expect(Object.keys(await endpoints("mover"))).toEqual(["second"]);
  const id = await daemon.ok("network", "inspect", "-f", "{{.Id}}", "second");
  await idle("short", "--network", id.slice(0, 12));
  expect(Object.keys(await endpoints("short"))).toEqual(["second"]);
  await daemon.ok("restart", "-t", "0", "short");
  expect(await pings("short", "mover")).toBe(true);
  // who shares its namespaces goes by its id
  await idle("beside", "--network", "container:mover", "--pid", "container:mover");
  await daemon.ok("rename", "mover", "moved");
  await daemon.ok("restart", "-t", "0", "beside");
  expect(await daemon.ok("inspect", "-f", "{{.HostConfig.NetworkMode}}", "beside")).toMatch(/^container:[0-9a-f]{64}$/);
  await daemon.ok("network", "disconnect", "second", "moved");
  await daemon.ok("restart", "-t", "0", "moved");
  await daemon.kill9();
  await daemon.launch();
  expect(await endpoints("moved")).toEqual({});
  expect(await daemon.ok("exec", "moved", "ls", "/sys/class/net")).toBe("lo");
  await daemon.ok("network", "connect", "second", "moved");
  expect(Object.keys(await endpoints("moved"))).toEqual(["second"]);
});
