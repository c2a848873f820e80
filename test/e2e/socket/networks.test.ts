/** Networks through a scoped socket: which are there, who gets on them, and what is told of who else is. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { Daemon, dockerCliMajor } from "../daemon.ts";
import { Scoped } from "./scoped.ts";

let daemon: Daemon;
let scoped: Scoped;

beforeAll(async () => {
  daemon = await Daemon.start();
  await daemon.ok("network", "create", "secret-net");
  await daemon.ok("network", "create", "--label", "ci=1", "shared");
  await daemon.ok("run", "-d", "--name", "secret", "--network", "secret-net", "busybox", "sleep", "1000");
  await daemon.ok("network", "connect", "shared", "secret");
  const rules = ["containers:* label=ci", "images:read", "networks:* label=ci"];
  scoped = await Scoped.create(daemon, { Name: "ci.sock", Allow: rules });
}, 120_000);

afterAll(() => daemon?.[Symbol.asyncDispose]());

async function refusal(...args: readonly string[]): Promise<string> {
  const { stderr, exitCode } = await scoped.docker(...args);
  expect(exitCode).not.toBe(0);
  return stderr;
}

test("what is made is the socket's own, and works as with any engine", async () => {
  await scoped.ok("network", "create", "own");
  expect(await daemon.ok("network", "inspect", "-f", '{{index .Labels "dhow.socket"}}{{index .Labels "ci"}}', "own")).toBe("ci.sock");
  expect(await scoped.ok("network", "ls", "--format", "{{.Name}}")).toBe("bridge\nnone\nown\nshared");
  await scoped.ok("run", "-d", "--name", "db", "--network", "own", "--network-alias", "store", "busybox", "sleep", "1000");
  expect(await scoped.ok("run", "--rm", "--network", "own", "busybox", "ping", "-c", "1", "store")).toContain("PING store");
  expect(await scoped.ok("run", "--rm", "--network", "own", "--link", "db:d", "busybox", "ping", "-c", "1", "d")).toContain("PING d");
  await scoped.ok("network", "connect", "--alias", "x", "shared", "db");
  expect(await scoped.ok("network", "inspect", "-f", "{{range .Containers}}{{.Name}} {{end}}", "shared")).toBe("db");
  await scoped.ok("network", "disconnect", "shared", "db");
  await scoped.ok("rm", "-f", "db");
  await scoped.ok("network", "rm", "own");
});

test("others' networks are not there", async () => {
  const id = (await daemon.ok("network", "inspect", "-f", "{{.Id}}", "secret-net")).slice(0, 12);
  await scoped.ok("create", "--name", "mine", "busybox", "true");
  for (const name of ["secret-net", id]) {
    // docker's older command line says it in its own words
    const missing = new RegExp(`network ${name} not found|No such network: ${name}`);
    expect(await refusal("network", "inspect", name)).toMatch(missing);
    expect(await refusal("network", "rm", name)).toMatch(missing);
    expect(await refusal("network", "connect", name, "mine")).toContain(`network ${name} not found`);
    expect(await refusal("create", "--network", name, "busybox")).toContain(`network ${name} not found`);
    if (dockerCliMajor >= 25) {
      expect(await refusal("create", "--network", "shared", "--network", name, "busybox")).toContain(`network ${name} not found`);
    }
  }
  expect(await refusal("network", "create", "--config-from", "secret-net", "copy")).toContain("network secret-net not found");
  await scoped.ok("rm", "mine");
});

test("the host's network is refused by its id, too, and whoever is on it is not got into", async () => {
  const id = await daemon.ok("network", "inspect", "-f", "{{.Id}}", "host");
  await daemon.ok("run", "-d", "--name", "hosted", "--label", "ci=1", "--network", id, "busybox", "sleep", "1000");
  for (const ref of ["host", id, id.slice(0, 12)]) {
    expect(await refusal("create", "--network", ref, "busybox")).toMatch(ref === "host" ? "does not allow" : `network ${ref} not found`);
  }
  expect(await refusal("exec", "hosted", "true")).toContain("does not allow access to container");
  expect(await refusal("create", "--network", "container:hosted", "busybox")).toContain("does not allow access to container");
  // a network of one's own that is called as the host's id begins, and is gone by the start
  const name = id.slice(0, 8);
  await scoped.ok("network", "create", name);
  await scoped.ok("create", "--name", "late", "--network", name, "busybox", "readlink", "/proc/self/ns/net");
  await scoped.ok("network", "rm", name);
  expect(await refusal("start", "late")).toMatch(/network [0-9a-f]+ not found/);
  await daemon.ok("rm", "-f", "hosted", "late");
});

test("others' containers are not told of", async () => {
  expect(await refusal("network", "rm", "shared")).toContain("error while removing network: network shared has active endpoints\n");
  expect(await refusal("network", "disconnect", "shared", "secret")).toContain("No such container: secret");
  expect(await refusal("network", "connect", "shared", "secret")).toContain("No such container: secret");
  expect(await refusal("create", "--network", "shared", "--link", "secret:s", "busybox")).toContain("No such container: secret");
  await scoped.ok("create", "--name", "mine", "busybox", "true");
  expect(await refusal("network", "connect", "--link", "secret:s", "shared", "mine")).toContain("No such container: secret");
  await scoped.ok("rm", "mine");
});

test("a quota of networks holds, also by many at once, and what is gone counts no more", async () => {
  const few = await Scoped.create(daemon, { Name: "few.sock", Allow: ["networks:* label=few"], Quota: { Networks: 2 } });
  await daemon.ok("network", "create", "others");
  const made = await Promise.all(["a", "b", "c", "d"].map((name) => few.docker("network", "create", name)));
  expect(made.filter(({ exitCode }) => exitCode === 0)).toHaveLength(2);
  for (const { stderr, exitCode } of made) {
    if (exitCode !== 0) expect(stderr).toContain("quota of socket few.sock exceeded: networks 2 of 2");
  }
  await few.ok("network", "prune", "-f");
  await few.ok("network", "create", "again");
  await few.ok("network", "rm", "again");
});

test.each([
  ["network create --subnet 10.9.0.0/16 n", "Network.IPAM Config"],
  ["network create -d macvlan n", 'Network.Driver "macvlan"'],
  ["network create -o com.docker.network.bridge.name=eth9 n", "Network.Options com.docker.network.bridge.name"],
  ["network create --label ci=1 --label dhow.serves=reaper n", "the label dhow.serves"],
  ["network connect --driver-opt com.docker.network.endpoint.sysctls=net.ipv4.conf.IFNAME.forwarding=1 shared me", "DriverOpts"],
])("docker %s is refused", async (line, what) => {
  if (line.includes(" me")) await scoped.ok("create", "--name", "me", "busybox", "true");
  expect(await refusal(...line.split(" "))).toMatch(new RegExp(`socket ci.sock does not allow .*${what.replaceAll(".", "\\.")}`));
  if (line.includes(" me")) await scoped.ok("rm", "me");
});
