/** Scoped sockets as objects: their files, containers that have them mounted, quotas that hold, and what the daemon's death leaves. */
import { afterAll, afterEach, beforeAll, expect, test } from "bun:test";
import { existsSync, lstatSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Daemon, until } from "../daemon.ts";
import { Scoped } from "./scoped.ts";

const MAIN = join(import.meta.dir, "../../../src/main.ts");
const OURS = [process.execPath, "--no-env-file", "--config=/dev/null", "--no-install", MAIN];
const CI = ["containers:* label=ci", "images:read"];

let daemon: Daemon;

beforeAll(async () => {
  daemon = await Daemon.start();
}, 120_000);

afterEach(async () => {
  await daemon.removeContainers();
  for (const { Name } of (await daemon.api<readonly { readonly Name: string }[]>("GET", "/sockets")).json)
    await daemon.api("DELETE", `/sockets/${Name}`);
  expect(await daemon.residue()).toEqual([]);
});

afterAll(() => daemon?.[Symbol.asyncDispose]());

async function dhow(...args: readonly string[]): Promise<{ readonly stdout: string; readonly stderr: string; readonly exitCode: number }> {
  const child = Bun.spawn([...OURS, "-H", daemon.host, ...args], { stdin: "ignore", stdout: "pipe", stderr: "pipe", cwd: daemon.dir });
  const [stdout, stderr, exitCode] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  return { stdout, stderr, exitCode };
}

test("the command line makes, shows and removes them", async () => {
  const made = await dhow(
    "socket",
    "create",
    "--allow",
    "containers:read,create label=ci",
    "--quota",
    "containers=20,memory=64m",
    "--audit",
    "ci.sock",
  );
  const path = join(daemon.execRoot, "sockets/ci.sock");
  expect(made).toEqual({ stdout: `${path}\n`, stderr: "", exitCode: 0 });
  expect(lstatSync(path).isSocket()).toBe(true);
  expect(lstatSync(path).mode & 0o777).toBe(0o660);
  expect((await dhow("socket", "ls", "--format", "{{.Name}} {{.Quota}} {{.Allow}}")).stdout).toBe(
    "ci.sock containers=20,memory=64MiB containers:read,create label=ci\n",
  );
  const [shown] = JSON.parse((await dhow("socket", "inspect", "ci.sock")).stdout) as object[];
  expect(shown).toMatchObject({ Name: "ci.sock", Path: path, Quota: { Containers: 20, Memory: 64 << 20 }, Audit: true, Unconfined: false });
  expect((await dhow("socket", "audit", "ci.sock")).stdout).toBe("");
  expect((await dhow("socket", "rm", "ci.sock")).stdout).toBe("ci.sock\n");
  expect(existsSync(path)).toBe(false);
  expect((await dhow("socket", "inspect", "ci.sock")).stderr).toContain("No such socket: ci.sock");
});

test("a daemon that stops leaves nothing of them", async () => {
  await Scoped.create(daemon, { Name: "ci.sock", Allow: CI, Quota: { Memory: 64 << 20 } });
  await daemon.stop();
  expect(await daemon.leftovers()).toEqual([]);
  expect(existsSync(join(daemon.execRoot, "sockets/ci.sock"))).toBe(false);
  for (const controller of ["memory", "pids", "cpu"])
    expect(existsSync(`/sys/fs/cgroup/${controller}/dhow/${daemon.daemonId}-sockets`)).toBe(false);
  await daemon.launch();
  expect(existsSync(join(daemon.execRoot, "sockets/ci.sock"))).toBe(true);
});

test("a path is where it says, with a group; files that are there stay", async () => {
  mkdirSync(join(daemon.dir, "elsewhere"), { recursive: true });
  const made = await dhow("socket", "create", "--allow", "*:read", "--group", "12345", "./elsewhere/own.sock");
  expect(made.stderr).toBe("");
  expect(lstatSync(join(daemon.dir, "elsewhere/own.sock")).gid).toBe(12345);
  writeFileSync(join(daemon.dir, "elsewhere/file"), "data");
  const refused: readonly (readonly [readonly string[], string])[] = [
    [["--allow", "*:read", "./elsewhere/file"], "it exists and is not a socket"],
    [["--allow", "*:read", "./elsewhere/own.sock"], 'The socket name "own.sock" is already in use'],
    [["--allow", "*:read", "./nowhere/x.sock"], "there is no directory"],
    [["--allow", "*:read", "--group", "nobody-of-this-name", "x"], "group nobody-of-this-name not found"],
    [["--allow", "*:read", `${daemon.socket}`], "somebody listens there already"],
    [["x"], "a scoped socket needs a rule"],
    [["--allow", "pods:read", "x"], "no such noun: pods"],
    [["--allow", "*:read", "a..b"], "Invalid socket name (a..b)"],
    [["--allow", "*:read", "--quota", "memory=1m", "x"], "Minimum memory limit allowed is 6MB"],
    [["--allow", "*:read", "--quota", "apples=1", "x"], "no such quota: apples"],
  ];
  for (const [args, why] of refused) {
    const { stderr, exitCode } = await dhow("socket", "create", ...args);
    expect(stderr).toContain(why);
    expect(exitCode).not.toBe(0);
  }
  expect(readFileSync(join(daemon.dir, "elsewhere/file"), "utf8")).toBe("data");
});

/** What a container sees that has the socket mounted: its own file, whatever has become of the one on the host. */
async function inside(container: string): Promise<string> {
  const { State } = await daemon.inspect<{ readonly State: { readonly Pid: number } }>(container);
  return `/proc/${State.Pid}/root/var/run/docker.sock`;
}

test("kill -9: the socket in a container goes on, and who connects meanwhile waits", async () => {
  const scoped = await Scoped.create(daemon, { Name: "ci.sock", Allow: CI, Audit: true });
  await scoped.ok("run", "-d", "--name", "own", "busybox", "sleep", "1000");
  expect(await dhow("run", "-d", "--name", "agent", "--socket", "ci.sock", "busybox", "sleep", "1000")).toMatchObject({ exitCode: 0 });
  const mounted = await inside("agent");
  const list = async (): Promise<unknown> => (await scoped.api("GET", "/containers/json", undefined, mounted)).json;
  expect(await list()).toMatchObject([{ Names: ["/own"] }]);
  const { ino } = lstatSync(scoped.path);
  await daemon.kill9();
  const waiting = list();
  await daemon.launch();
  expect(await waiting).toMatchObject([{ Names: ["/own"] }]);
  expect(lstatSync(scoped.path).ino).toBe(ino);
  expect(await scoped.api("GET", "/containers/agent/json", undefined, mounted)).toMatchObject({ status: 404 });
  await daemon.restart();
  expect(await list()).toMatchObject([{ Names: ["/own"] }]);
  expect((await daemon.api("GET", "/sockets/ci.sock/audit")).text.trim().split("\n").length).toBeGreaterThan(3);
  // one whose keeper is gone, too
  await daemon.kill9();
  process.kill(Number(readFileSync(join(daemon.execRoot, "keepers/ci.sock/pid"), "utf8")), "SIGKILL");
  await daemon.launch();
  expect((await scoped.api("GET", "/containers/json")).json).toMatchObject([{ Names: ["/own"] }]);
});

test("a container that the daemon starts again finds its socket, as after a restart of the machine", async () => {
  await Scoped.create(daemon, { Name: "ci.sock", Allow: CI });
  await dhow("run", "-d", "--name", "agent", "--restart", "always", "--socket", "ci.sock", "busybox", "sleep", "1000");
  const { State } = await daemon.inspect<{ readonly State: { readonly Pid: number } }>("agent");
  await daemon.kill9();
  const [bundle = ""] = readdirSync(join(daemon.execRoot, "bundles"));
  const pidIn = (file: string): number => Number(readFileSync(join(daemon.execRoot, file), "utf8"));
  for (const pid of [State.Pid, pidIn(`bundles/${bundle}/holder`), pidIn("keepers/ci.sock/pid")]) process.kill(pid, "SIGKILL");
  await until("the container has ended", () => !existsSync(`/proc/${State.Pid}`));
  writeFileSync(join(daemon.execRoot, "boot-id"), "another");
  await daemon.launch();
  await until("the container runs again", async () => (await daemon.ok("inspect", "-f", "{{.State.Running}}", "agent")) === "true");
  const answer = await fetch("http://localhost/_ping", { unix: await inside("agent") });
  expect(await answer.text()).toBe("OK");
});

test("quotas count what is made through the socket, also by many at once", async () => {
  const scoped = await Scoped.create(daemon, {
    Name: "ci.sock",
    Allow: [...CI, "volumes:* label=ci"],
    Quota: { Containers: 2, Volumes: 2 },
  });
  await daemon.ok("create", "--label", "ci=1", "busybox");
  const made = await Promise.all(Array.from({ length: 5 }, () => scoped.create({})));
  expect(made.filter(({ status }) => status === 201)).toHaveLength(2);
  expect(new Set(made.filter(({ status }) => status === 403).map(({ message }) => message))).toEqual(
    new Set(["quota of socket ci.sock exceeded: containers 2 of 2"]),
  );
  for (const { Id } of made.flatMap(({ json, status }) => (status === 201 ? [json as { Id: string }] : []))) await scoped.ok("rm", Id);
  await scoped.ok("volume", "create", "one");
  expect(await scoped.create({ Volumes: { "/x": {}, "/y": {} } })).toMatchObject({
    status: 403,
    message: "quota of socket ci.sock exceeded: volumes 1 of 2",
  });
  expect(await scoped.create({ Volumes: { "/x": {} } })).toMatchObject({ status: 201 });
  expect(await scoped.create({}, { Binds: ["two:/x"] })).toMatchObject({ status: 403 });
  expect(await daemon.ok("volume", "ls", "-q")).not.toContain("two");
  // one that is there is no further one
  expect(await scoped.ok("volume", "create", "one")).toBe("one");
  await scoped.ok("container", "prune", "-f");
  await scoped.ok("volume", "rm", "one");
  expect(await daemon.ok("volume", "ls", "-q")).toBe("");
});

test("memory and processes are limited in sum, also after the daemon's death", async () => {
  const scoped = await Scoped.create(daemon, { Name: "ci.sock", Allow: CI, Quota: { Memory: 48 << 20, Pids: 20 } });
  const hold = (mb: number): string => `dd if=/dev/zero of=/dev/shm/x bs=1M count=${mb} 2>/dev/null; echo wrote; sleep 1000`;
  await scoped.ok("run", "-d", "--name", "first", "busybox", "sh", "-c", hold(30));
  await until("the first has its memory", async () => (await scoped.ok("logs", "first")).includes("wrote"));
  await daemon.kill9();
  await daemon.launch();
  // either alone would fit
  await scoped.docker("run", "--name", "second", "busybox", "sh", "-c", "dd if=/dev/zero of=/dev/shm/x bs=1M count=30; exit $?");
  const killed = await Promise.all(
    ["first", "second"].map((name) => scoped.ok("inspect", "-f", "{{.State.OOMKilled}} {{.State.ExitCode}}", name)),
  );
  expect(killed.some((text) => text.startsWith("true") || text.endsWith(" 137"))).toBe(true);
  const many = await scoped.docker("run", "--rm", "busybox", "sh", "-c", "for i in $(seq 40); do sleep 1000 & done; echo all");
  expect(many.stdout).not.toContain("all");
  expect(many.stderr).toMatch(/can't fork|Resource temporarily unavailable|pids|fork/i);
});

test("removing a socket leaves what was made through it", async () => {
  const scoped = await Scoped.create(daemon, { Name: "ci.sock", Allow: CI, Quota: { Memory: 64 << 20 } });
  await scoped.ok("run", "-d", "--name", "own", "busybox", "sleep", "1000");
  await daemon.api("DELETE", "/sockets/ci.sock");
  expect(await daemon.ok("inspect", "-f", "{{.State.Running}}", "own")).toBe("true");
  expect(existsSync(scoped.path)).toBe(false);
  await daemon.ok("restart", "-t", "0", "own");
  const again = await Scoped.create(daemon, { Name: "ci.sock", Allow: CI, Quota: { Containers: 1 } });
  expect(await again.create({})).toMatchObject({ status: 403, message: "quota of socket ci.sock exceeded: containers 1 of 1" });
});

test("one that can't be listened at again is shown, and can be removed", async () => {
  mkdirSync(join(daemon.dir, "gone"));
  await Scoped.create(daemon, { Name: "x.sock", Path: join(daemon.dir, "gone/x.sock"), Allow: CI });
  await daemon.stop();
  rmSync(join(daemon.dir, "gone"), { recursive: true });
  await daemon.launch();
  expect((await dhow("socket", "ls", "-q")).stdout).toBe("x.sock\n");
  expect((await dhow("socket", "rm", "x.sock")).stdout).toBe("x.sock\n");
  expect((await dhow("socket", "ls", "-q")).stdout).toBe("");
});
