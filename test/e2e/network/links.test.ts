import { afterAll, afterEach, expect, test } from "bun:test";
import { Daemon, until } from "../daemon.ts";

const daemon = await Daemon.start();
afterAll(() => daemon[Symbol.asyncDispose]());
afterEach(() => daemon.removeContainers());

const sleeper = (name: string, ...options: readonly string[]): Promise<string> =>
  daemon.ok("run", "-d", "--name", name, ...options, "busybox", "sleep", "600");
const addressOf = (name: string): Promise<string> =>
  daemon.ok("inspect", "-f", '{{(index .NetworkSettings.Networks "bridge").IPAddress}}', name);
const hostOf = async (name: string): Promise<string> => (await daemon.ok("exec", "me", "grep", name, "/etc/hosts")).replace("\t", " ");

test("--link gives hosts, variables and a second name, and follows the container to its next address", async () => {
  const id = await sleeper("web", "--expose", "80", "-e", "A=b");
  const first = await addressOf("web");
  await sleeper("me", "--link", "web:w");
  expect(await hostOf("web")).toBe(`${first} w ${id.slice(0, 12)} web`);
  const env = (await daemon.ok("exec", "me", "env")).split("\n");
  expect(env).toContain("W_NAME=/me/w");
  expect(env).toContain(`W_PORT=tcp://${first}:80`);
  expect(env).toContain(`W_PORT_80_TCP_ADDR=${first}`);
  expect(env).toContain("W_ENV_A=b");
  expect(await daemon.ok("exec", "me", "sh", "-c", "tr '\\0' '\\n' < /proc/1/environ | grep ^W_PORT=")).toBe(`W_PORT=tcp://${first}:80`);
  expect(await daemon.ok("exec", "me", "ping", "-c", "1", "-W", "5", "w")).toContain("1 packets received");
  expect(await daemon.ok("inspect", "-f", "{{.HostConfig.Links}}", "me")).toBe("[/web:/me/w]");
  expect((await daemon.ok("ps", "--no-trunc", "--filter", `id=${id}`, "--format", "{{.Names}}")).split(",").sort()).toEqual([
    "me/w",
    "web",
  ]);

  await daemon.ok("restart", "-t", "0", "web");
  const second = await addressOf("web");
  expect(second).not.toBe(first);
  await until("the next address", async () => (await hostOf("web")) === `${second} w ${id.slice(0, 12)} web`);

  expect(await daemon.ok("inspect", "-f", "{{.Id}}", "me/w")).toBe(id);
  await daemon.ok("rm", "--link", "me/w");
  expect(await daemon.ok("inspect", "-f", "{{.HostConfig.Links}}", "me")).toBe("[]");
  expect(await daemon.ok("exec", "me", "cat", "/etc/hosts")).not.toContain("web");
});

test("an alias with a slash in front is the same alias, also after a rename", async () => {
  await sleeper("web");
  const id = await daemon.ok("inspect", "-f", "{{.Id}}", "web");
  await sleeper("me", "--link", "web:/w");
  await daemon.ok("rename", "me", "you");
  expect(await daemon.ok("inspect", "-f", "{{.Id}}", "you/w")).toBe(id);
  expect(await daemon.ok("exec", "you", "ping", "-c", "1", "-W", "5", "w")).toContain("1 packets received");
});

test("on a user's network a link is a name for whoever comes by the name it gives", async () => {
  await daemon.ok("network", "create", "later");
  await sleeper("me", "--network", "later", "--link", "third:bar");
  expect((await daemon.docker("exec", "me", "nslookup", "bar")).exitCode).not.toBe(0);
  await sleeper("third", "--network", "later");
  expect(await daemon.ok("exec", "me", "ping", "-c", "1", "-W", "5", "bar")).toContain("1 packets received");
  await daemon.ok("rm", "-f", "me", "third");
  await daemon.ok("network", "rm", "later");
});

test("a link needs a container that is there, runs and is on the bridge", async () => {
  const unknown = await daemon.docker("create", "--link", "web", "busybox");
  expect(unknown.stderr).toContain("could not get container for web: No such container: web");
  await daemon.ok("create", "--name", "web", "busybox", "true");
  const stopped = await daemon.docker("run", "--name", "me", "--link", "web:w", "busybox", "true");
  expect(stopped.stderr).toContain("Cannot link to a non running container: /web AS /me/w");
  await sleeper("alone", "--network", "none");
  const apart = await daemon.docker("run", "--link", "alone", "busybox", "true");
  expect(apart.stderr).toContain("not attached to default bridge network");
  await sleeper("open", "--network", "host");
  for (const options of [
    ["--link", "open"],
    ["--network", "host", "--link", "alone"],
  ]) {
    const refused = await daemon.docker("create", ...options, "busybox");
    expect(refused.stderr).toContain("links");
  }
  // what it was linked to is gone: there is no link any more
  await daemon.ok("rm", "web");
  await daemon.ok("start", "-a", "me");
});

test("after a restart of the daemon linked containers start in their order", async () => {
  await sleeper("web", "--restart", "always");
  await sleeper("me", "--restart", "always", "--link", "web:w");
  const pids = await Promise.all(["web", "me"].map((name) => daemon.ok("inspect", "-f", "{{.State.Pid}}", name)));
  await daemon.kill9();
  for (const pid of pids) process.kill(Number(pid), "SIGKILL");
  await daemon.launch();
  await until("both run", async () => (await daemon.ok("ps", "-q")).split("\n").length === 2);
  expect(await hostOf("web")).toStartWith(`${await addressOf("web")} w `);
});
