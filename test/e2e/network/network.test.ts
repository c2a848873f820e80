import { afterAll, afterEach, expect, test } from "bun:test";
import { createSocket } from "node:dgram";
import { readFileSync, readlinkSync } from "node:fs";
import { connect, createServer } from "node:net";
import { hostname, networkInterfaces } from "node:os";
import { Daemon, dockerCliMajor, until } from "../daemon.ts";

const daemon = await Daemon.start();
afterAll(() => daemon[Symbol.asyncDispose]());
afterEach(() => daemon.removeContainers());

/** A container that answers "pong" on a TCP port. */
const server = (name: string, ...options: readonly string[]): Promise<string> =>
  daemon.ok("run", "-d", "--name", name, ...options, "busybox", "nc", "-ll", "-p", "80", "-e", "echo", "pong");
const portOf = async (name: string, port: string): Promise<number> =>
  Number((await daemon.ok("port", name, port)).split("\n")[0]?.split(":").at(-1));

/** What a TCP server says; empty when it says nothing. */
function ask(host: string, port: number): Promise<string> {
  return new Promise((resolve) => {
    let text = "";
    const socket = connect({ host, port });
    socket.on("data", (data) => {
      text += data.toString();
    });
    socket.on("error", () => resolve(text));
    socket.on("close", () => resolve(text));
  });
}
const ownAddress = (): string | undefined =>
  Object.entries(networkInterfaces())
    .filter(([name]) => /^(eth|en)/.test(name))
    .flatMap(([, addresses]) => addresses ?? [])
    .find((address) => address.family === "IPv4" && !address.internal)?.address;

test("the default bridge: address, gateway, files, other containers", async () => {
  await server("peer");
  const { NetworkSettings } = await daemon.inspect<{
    NetworkSettings: { Networks: Record<string, { IPAddress: string; Gateway: string; MacAddress: string }> };
  }>("peer");
  const endpoint = NetworkSettings.Networks["bridge"];
  expect(endpoint?.Gateway).toBe(daemon.gateway);
  expect(await daemon.ok("exec", "peer", "hostname", "-i")).toBe(endpoint?.IPAddress ?? "");
  expect(await daemon.ok("exec", "peer", "cat", "/sys/class/net/eth0/address")).toBe(endpoint?.MacAddress ?? "");
  expect(await daemon.ok("exec", "peer", "ip", "route")).toContain(`default via ${daemon.gateway}`);
  await until(
    "an answer",
    async () => (await daemon.docker("run", "--rm", "busybox", "nc", endpoint?.IPAddress ?? "", "80")).stdout === "pong\n",
  );
  expect(await daemon.ok("network", "inspect", "bridge", "-f", "{{range .Containers}}{{.Name}}{{end}}")).toBe("peer");
});

test("a network that every engine has, by its id, is the same as by its name", async () => {
  const idOf = (name: string): Promise<string> => daemon.ok("network", "inspect", "-f", "{{.Id}}", name);
  const namespace = readlinkSync("/proc/self/ns/net");
  const shown = "{{.HostConfig.NetworkMode}} {{range $name, $_ := .NetworkSettings.Networks}}{{$name}}{{end}}";
  for (const ref of [await idOf("host"), (await idOf("host")).slice(0, 12)]) {
    expect(await daemon.ok("run", "--name", "hosted", "--network", ref, "busybox", "readlink", "/proc/self/ns/net")).toBe(namespace);
    expect(await daemon.ok("inspect", "-f", shown, "hosted")).toBe(`${ref} host`);
    expect(await daemon.ok("ps", "-a", "--filter", "network=host", "--format", "{{.Names}}")).toBe("hosted");
    expect(await daemon.ok("run", "--rm", "--network", ref, "busybox", "hostname")).toBe(hostname());
    expect((await daemon.docker("network", "connect", "bridge", "hosted")).stderr).toContain("cannot be connected to any other network");
    await daemon.ok("rm", "hosted");
  }
  const none = await idOf("none");
  expect(await daemon.ok("run", "--name", "alone", "--network", none, "busybox", "ls", "/sys/class/net")).toBe("lo");
  expect(await daemon.ok("inspect", "-f", shown, "alone")).toBe(`${none} none`);
  const bridge = await idOf("bridge");
  await daemon.ok("run", "-d", "--name", "peer", "busybox", "sleep", "1000");
  // links are the default bridge's
  expect(await daemon.ok("run", "--name", "linked", "--network", bridge, "--link", "peer:p", "busybox", "cat", "/etc/hosts")).toContain(
    "\tp ",
  );
  expect(await daemon.ok("inspect", "-f", shown, "linked")).toBe(`${bridge} bridge`);
});

test("a network's name is not taken for a part of another's id", async () => {
  const other = (await daemon.ok("network", "create", "other")).slice(0, 6);
  try {
    await daemon.ok("network", "create", other);
    await daemon.ok("create", "--name", "one", "--network", other, "busybox", "true");
    await daemon.ok("network", "rm", other);
    expect((await daemon.docker("start", "one")).stderr).toMatch(/network [0-9a-f]+ not found/);
  } finally {
    await daemon.ok("network", "rm", "other");
  }
});

test("-p: a port of the loopback, of every address, of another container's view", async () => {
  await server("web", "-p", "80");
  const port = await portOf("web", "80");
  await until("an answer", async () => (await ask("127.0.0.1", port)) === "pong\n");
  const own = ownAddress();
  if (own) expect(await ask(own, port)).toBe("pong\n");
  // hairpin: by way of the host, from another container and from itself
  expect((await daemon.docker("run", "--rm", "busybox", "nc", daemon.gateway, String(port))).stdout).toBe("pong\n");
  expect(await daemon.ok("exec", "web", "nc", daemon.gateway, String(port))).toBe("pong");
  await daemon.ok("stop", "-t", "0", "web");
  expect(await ask("127.0.0.1", port)).toBe("");
  expect(await daemon.ok("ps", "-a", "--format", "{{.Ports}}")).toBe("");
});

test("-p with an address is there and nowhere else", async () => {
  await server("web", "-p", "127.0.0.1::80");
  const port = await portOf("web", "80");
  await until("an answer", async () => (await ask("127.0.0.1", port)) === "pong\n");
  const own = ownAddress();
  if (own) expect(await ask(own, port)).toBe("");
});

test("-p udp", async () => {
  await daemon.ok("run", "-d", "--name", "listener", "-p", "127.0.0.1::5353/udp", "busybox", "sleep", "1000");
  const port = await portOf("listener", "5353/udp");
  // no program of busybox answers UDP: the packets that arrive for a port on which nobody listens are counted
  const arrived = async (): Promise<number> => {
    const [titles = "", values = ""] = (await daemon.ok("exec", "listener", "grep", "^Udp:", "/proc/net/snmp")).split("\n");
    return Number(values.split(" ")[titles.split(" ").indexOf("NoPorts")]);
  };
  const socket = createSocket("udp4");
  const timer = setInterval(() => socket.send("ping", port, "127.0.0.1"), 50);
  await until("a packet inside", async () => (await arrived()) > 0);
  clearInterval(timer);
  socket.close();
});

test("-P, ranges, and exposed ports without a binding", async () => {
  await server("web", "-P", "--expose", "80", "--expose", "90-91");
  const { NetworkSettings } = await daemon.inspect<{ NetworkSettings: { Ports: Record<string, unknown> } }>("web");
  expect(Object.keys(NetworkSettings.Ports).sort()).toEqual(["80/tcp", "90/tcp", "91/tcp"]);
  await daemon.ok("run", "-d", "--name", "shown", "--expose", "99", "busybox", "sleep", "1000");
  expect((await daemon.inspect<{ NetworkSettings: { Ports: unknown } }>("shown")).NetworkSettings.Ports).toEqual({ "99/tcp": null });
});

test("a taken port: docker's words, and no leak", async () => {
  const taken = createServer();
  await new Promise<void>((resolve) => taken.listen(0, "127.0.0.1", resolve));
  const { port } = taken.address() as { port: number };
  const { stderr, exitCode } = await daemon.docker("run", "--name", "late", "-p", `127.0.0.1:${port}:80`, "busybox", "true");
  expect(exitCode).toBe(125);
  expect(stderr).toMatch(/failed to bind host port|address already in use|port is already allocated/);
  taken.close();
  await daemon.ok("start", "-a", "late");
  await server("one", "-p", "127.0.0.1::80");
  const used = await portOf("one", "80");
  expect((await daemon.docker("run", "--rm", "-p", `127.0.0.1:${used}:80`, "busybox", "true")).stderr).toContain(
    "port is already allocated",
  );
  expect((await daemon.docker("create", "-p", "99999:80", "busybox")).exitCode).not.toBe(0);
});

test("a port stays free for the next once its container has gone", async () => {
  await server("one", "-p", "127.0.0.1::80");
  const port = await portOf("one", "80");
  await daemon.ok("rm", "-f", "one");
  for (let i = 0; i < 3; i++) {
    await server("again", "-p", `127.0.0.1:${port}:80`);
    await until("an answer", async () => (await ask("127.0.0.1", port)) === "pong\n");
    await daemon.ok("rm", "-f", "again");
  }
});

test("--net none and host", async () => {
  expect(await daemon.ok("run", "--rm", "--net", "none", "busybox", "ls", "/sys/class/net")).toBe("lo");
  expect(await daemon.ok("run", "--rm", "--net", "host", "busybox", "ls", "/sys/class/net")).toContain(daemon.bridge);
  expect(await daemon.ok("run", "--rm", "--net", "host", "busybox", "hostname")).toBe(hostname());
  expect(await daemon.ok("run", "--rm", "--net", "none", "busybox", "cat", "/etc/hosts")).toContain("127.0.0.1\tlocalhost");
});

test("--mac-address, and what the default bridge refuses", async () => {
  expect(await daemon.ok("run", "--rm", "--mac-address", "02:42:00:00:00:99", "busybox", "cat", "/sys/class/net/eth0/address")).toBe(
    "02:42:00:00:00:99",
  );
  // an older command line doesn't send it
  if (dockerCliMajor < 23) return;
  expect((await daemon.docker("run", "--rm", "--ip", "192.0.2.9", "busybox", "true")).stderr).toContain(
    "user-specified IP address is supported on user-defined networks only",
  );
});

test("what the user mounts over /etc files wins; what the container writes there stays across a restart of it", async () => {
  expect(await daemon.ok("run", "--rm", "-v", "/etc/hostname:/etc/hosts:ro", "busybox", "cat", "/etc/hosts")).toBe(
    readFileSync("/etc/hostname", "utf8").trim(),
  );
  expect(await daemon.ok("run", "--rm", "busybox", "sh", "-c", "echo 192.0.2.7 own >> /etc/hosts && tail -n1 /etc/hosts")).toBe(
    "192.0.2.7 own",
  );
});

test("network ls and inspect", async () => {
  expect((await daemon.ok("network", "ls", "--format", "{{.Name}} {{.Driver}} {{.Scope}}")).split("\n")).toEqual([
    "bridge bridge local",
    "host host local",
    "none null local",
  ]);
  expect(await daemon.ok("network", "inspect", "bridge", "-f", "{{(index .IPAM.Config 0).Gateway}}")).toBe(daemon.gateway);
  expect((await daemon.docker("network", "inspect", "nosuch")).stderr).toMatch(/network nosuch not found|No such network: nosuch/);
});

test("what the daemon's flags say of networks holds: of the default bridge, and of those of users", async () => {
  await using flagged = await Daemon.start({
    args: ["--ip", "127.0.0.1", "--mtu", "1400", "--icc=false", "--default-network-opt", "bridge=com.docker.network.enable_ipv6=true"],
  });
  const option = (name: string) => flagged.ok("network", "inspect", "-f", `{{index .Options "com.docker.network.${name}"}}`, "bridge");
  expect(await option("bridge.host_binding_ipv4")).toBe("127.0.0.1");
  expect(await option("bridge.enable_icc")).toBe("false");
  await flagged.ok("run", "-d", "--name", "web", "-p", "80", "busybox", "sleep", "1000");
  expect(await flagged.ok("port", "web")).toMatch(/^80\/tcp -> 127\.0\.0\.1:\d+$/);
  expect(await flagged.ok("exec", "web", "cat", "/sys/class/net/eth0/mtu")).toBe("1400");
  await flagged.ok("network", "create", "own");
  // an older command line says that it wants none
  expect(await flagged.ok("network", "inspect", "-f", "{{.EnableIPv6}}", "own")).toBe(String(dockerCliMajor >= 28));
  await flagged.ok("run", "-d", "--name", "other", "--network", "own", "-p", "80", "busybox", "sleep", "1000");
  expect(await flagged.ok("port", "other")).toContain("0.0.0.0:");
});

test("the gateway may be another host of the subnet", async () => {
  const six = ["--ipv6", "--fixed-cidr-v6", "fd77::/64", "--default-gateway-v6", "fd77::9"];
  await using flagged = await Daemon.start({ args: six });
  const routes = "ip route; ip -6 route";
  const both = await flagged.ok("run", "--rm", "busybox", "sh", "-c", routes);
  expect(both).toContain(`default via ${flagged.gateway} `);
  expect(both).toContain("default via fd77::9 ");
  expect(await flagged.ok("network", "inspect", "-f", "{{(index .IPAM.Config 1).Gateway}}", "bridge")).toBe("fd77::1");
  await flagged.ok("network", "create", "--subnet", "10.203.77.0/24", "--aux-address", "DefaultGatewayIPv4=10.203.77.7", "own");
  await flagged.ok("run", "-d", "--name", "box", "--network", "own", "--add-host", "up:host-gateway", "busybox", "sleep", "1000");
  expect(await flagged.ok("exec", "box", "sh", "-c", routes)).toContain("default via 10.203.77.7 ");
  expect(await flagged.ok("inspect", "-f", "{{.NetworkSettings.Networks.own.Gateway}}", "box")).toBe("10.203.77.7");
  expect(await flagged.ok("exec", "box", "grep", "up", "/etc/hosts")).toContain(flagged.gateway);
});

test("--bip6 is the bridge's address; --fixed-cidr-v6 is where containers get theirs", async () => {
  const fixed = ["--ipv6", "--bip6", "fd78::a:1/64", "--fixed-cidr-v6", "fd78::b:0/112"];
  await using flagged = await Daemon.start({ args: fixed });
  expect(await flagged.ok("network", "inspect", "-f", "{{json (index .IPAM.Config 1)}}", "bridge")).toBe(
    JSON.stringify({ Subnet: "fd78::/64", IPRange: "fd78::b:0/112", Gateway: "fd78::a:1" }),
  );
  const shown = await flagged.ok(
    "run",
    "--rm",
    "busybox",
    "sh",
    "-c",
    "ip -6 route; ip -o -6 addr show eth0 scope global; ping6 -c1 fd78::a:1",
  );
  expect(shown).toContain("default via fd78::a:1 ");
  expect(shown).toMatch(/inet6 fd78::b:[0-9a-f]+\/64 /);
  expect(shown).toContain(" 0% packet loss");
  await using alone = await Daemon.start({ args: ["--ipv6", "--bip6", "fd79::5/64"], withImage: false });
  expect(await alone.ok("network", "inspect", "-f", "{{json (index .IPAM.Config 1)}}", "bridge")).toBe(
    JSON.stringify({ Subnet: "fd79::/64", Gateway: "fd79::5" }),
  );
  const refused = async (...args: readonly string[]): Promise<string> => {
    try {
      await using _ = await Daemon.start({ args: ["--ipv6", ...args], withImage: false });
      return "";
    } catch (error) {
      return String(error);
    }
  };
  expect(await refused("--bip6", "fd7a::1/64", "--fixed-cidr-v6", "fd7b::/80")).toContain(
    "invalid address subpool: --fixed-cidr-v6 is not a part of fd7a::/64",
  );
  expect(await refused("--bip6", "fd79::9/64")).toContain("--bip6 fd79::9/64 overlaps fd79::/64 of interface");
  expect(await refused("--bip6", "10.1.2.3/24")).toContain("--bip6 10.1.2.3/24 is no IPv6 address with its network");
});

test("without a default bridge a container has no network, unless it asks for one", async () => {
  await using bare = await Daemon.start({ args: ["--bridge", "none"] });
  expect(await bare.ok("run", "--rm", "busybox", "ls", "/sys/class/net")).toBe("lo");
  await bare.ok("network", "create", "own");
  expect(await bare.ok("run", "--rm", "--network", "own", "busybox", "ls", "/sys/class/net")).toBe("eth0\nlo");
});
