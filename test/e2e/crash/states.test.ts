/** What a daemon finds that was killed in a certain situation. */
import { afterAll, afterEach, beforeAll, expect, test } from "bun:test";
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Daemon, until } from "../daemon.ts";

interface State {
  readonly State: { readonly Status: string; readonly Pid: number; readonly ExitCode: number; readonly FinishedAt: string };
  readonly RestartCount: number;
}

let daemon: Daemon;

beforeAll(async () => {
  daemon = await Daemon.start();
}, 120_000);

afterAll(() => daemon?.[Symbol.asyncDispose]());

afterEach(async () => {
  await daemon.removeContainers();
  expect(await daemon.residue()).toEqual([]);
});

const inspect = (name: string): Promise<State> => daemon.inspect<State>(name);

async function revive(): Promise<void> {
  await daemon.kill9();
  await daemon.launch();
}

function isAlive(pid: number): boolean {
  return existsSync(`/proc/${pid}`);
}

test("a container ends while no daemon is there: its code, its time and all of its output are right", async () => {
  const script = "i=0; while [ $i -lt 5000 ]; do echo $i; i=$((i+1)); done; read line; echo last $line; exit 7";
  await daemon.ok("create", "-i", "--name", "ends", "busybox", "sh", "-c", script);
  const client = daemon.spawn({}, "start", "-ai", "ends");
  await until("it has counted", async () => (await daemon.ok("logs", "--tail", "1", "ends")) === "4999");
  const { Pid } = (await inspect("ends")).State;
  await daemon.kill9();
  client.kill("SIGKILL");
  const stdin = join(daemon.execRoot, "bundles");
  const [id = ""] = spawnSync("ls", [stdin]).stdout.toString().trim().split("\n");
  writeFileSync(`/proc/${Pid}/fd/0`, "words\n");
  await until("its process ends", () => !isAlive(Pid));
  await until("its exit is written", () => existsSync(join(stdin, id, "exit")));
  const endedAt = Date.now();
  await Bun.sleep(50);
  await daemon.launch();
  const { State } = await inspect("ends");
  expect({ status: State.Status, code: State.ExitCode }).toEqual({ status: "exited", code: 7 });
  expect(Date.parse(State.FinishedAt)).toBeLessThanOrEqual(endedAt);
  const lines = (await daemon.ok("logs", "ends")).split("\n");
  expect(lines).toEqual([...Array.from({ length: 5000 }, (_, i) => `${i}`), "last words"]);
});

test("--rm containers that ended meanwhile are gone with their anonymous volumes, named ones stay", async () => {
  await daemon.ok("run", "-d", "--rm", "--name", "goes", "-v", "/anonymous", "-v", "stays:/named", "busybox", "sleep", "1000");
  const { Pid } = (await inspect("goes")).State;
  expect((await daemon.ok("volume", "ls", "-q")).split("\n")).toHaveLength(2);
  await daemon.kill9();
  process.kill(Pid, "SIGKILL");
  await until("its process ends", () => !isAlive(Pid));
  await daemon.launch();
  expect(await daemon.ok("ps", "-aq")).toBe("");
  expect(await daemon.ok("volume", "ls", "-q")).toBe("stays");
  await daemon.ok("volume", "rm", "stays");
});

test("paused containers stay paused, and go on when they are told to", async () => {
  await daemon.ok("run", "-d", "--name", "paused", "busybox", "sh", "-c", "while :; do echo tick; sleep 0.05; done");
  await daemon.ok("pause", "paused");
  await revive();
  expect((await inspect("paused")).State.Status).toBe("paused");
  const before = (await daemon.ok("logs", "paused")).length;
  await daemon.ok("unpause", "paused");
  await until("it goes on", async () => (await daemon.ok("logs", "paused")).length > before);
  await daemon.ok("pause", "paused");
  await revive();
  await daemon.ok("rm", "-f", "paused");
});

test("a terminal works again: output, input and size", async () => {
  await daemon.ok("run", "-dit", "--name", "tty", "busybox", "sh");
  await revive();
  using terminal = daemon.terminal({}, "attach", "tty");
  terminal.resize(97, 31);
  await until("the size is there", async () => {
    terminal.write("stty size\n");
    await Bun.sleep(100);
    return terminal.output().includes("31 97");
  });
  await revive();
  using again = daemon.terminal({}, "attach", "tty");
  await Bun.sleep(100);
  again.write("echo a$((1+1))b; exit 3\n");
  await again.sees("a2b");
  await again.exited;
  await until("it ends", async () => (await inspect("tty")).State.Status === "exited");
  expect((await inspect("tty")).State.ExitCode).toBe(3);
});

test("an exec outlives the daemon in its container, and ends with it", async () => {
  await daemon.ok("run", "-d", "--name", "works", "busybox", "sleep", "1000");
  await daemon.ok("exec", "-d", "works", "sh", "-c", "sleep 0.5; echo done >/file; sleep 1000");
  const client = daemon.spawn({}, "exec", "works", "sleep", "1000");
  await until("both run", async () => (await daemon.ok("top", "works")).split("\n").length >= 4);
  await revive();
  await client.exited;
  await until("the exec goes on", async () => (await daemon.docker("exec", "works", "cat", "/file")).stdout === "done\n");
  expect(await daemon.ok("exec", "works", "echo", "new")).toBe("new");
});

test("restart policies: always and failed ones are started again, stopped and ended ones are not", async () => {
  await daemon.ok("run", "-d", "--name", "always", "--restart", "always", "busybox", "sleep", "1000");
  await daemon.ok("run", "-d", "--name", "unless", "--restart", "unless-stopped", "busybox", "sleep", "1000");
  await daemon.ok("run", "-d", "--name", "failing", "--restart", "on-failure", "busybox", "sleep", "1000");
  await daemon.ok("run", "-d", "--name", "never", "busybox", "sleep", "1000");
  await daemon.ok("create", "--name", "created", "--restart", "always", "busybox", "sleep", "1000");
  await daemon.ok("stop", "-t", "0", "unless");
  const pids = await Promise.all(["always", "failing", "never"].map(async (name) => (await inspect(name)).State.Pid));
  await daemon.kill9();
  for (const pid of pids) process.kill(pid, "SIGKILL");
  await until("all have ended", () => !pids.some(isAlive));
  await daemon.launch();
  for (const name of ["always", "failing"]) {
    await until(`${name} runs again`, async () => (await inspect(name)).State.Status === "running");
  }
  expect((await inspect("unless")).State.Status).toBe("exited");
  expect((await inspect("created")).State.Status).toBe("created");
  const { State } = await inspect("never");
  expect({ status: State.Status, code: State.ExitCode }).toEqual({ status: "exited", code: 137 });
});

test("a container that fails all the time is restarted once more each time, not twice", async () => {
  await daemon.ok("run", "-d", "--name", "loops", "--restart", "always", "busybox", "sh", "-c", "echo start; sleep 0.05; echo end");
  for (let kill = 0; kill < 5; kill++) {
    await until("it was restarted", async () => (await inspect("loops")).RestartCount > 0);
    await revive();
  }
  await daemon.ok("update", "--restart", "no", "loops").catch(() => undefined);
  await daemon.ok("stop", "-t", "0", "loops");
  const lines = (await daemon.ok("logs", "loops")).split("\n");
  // each run whole, but for those that the policy's end or a stop cut off
  expect(lines.filter((line) => line === "end").length).toBeGreaterThanOrEqual(5);
  for (const [index, line] of lines.entries()) if (line === "end") expect(lines[index - 1]).toBe("start");
});

test("published ports and networks go on, and are given back", async () => {
  const serve = "while :; do echo -e 'HTTP/1.0 200 OK\\r\\n\\r\\nhello' | nc -l -p 80 >/dev/null; done";
  await daemon.ok("run", "-d", "--name", "web", "-p", "127.0.0.1::80", "busybox", "sh", "-c", serve);
  const port = (await daemon.ok("port", "web", "80/tcp")).split(":")[1];
  const get = async (): Promise<string> => {
    try {
      return await (await fetch(`http://127.0.0.1:${port}/`, { keepalive: false, signal: AbortSignal.timeout(2000) })).text();
    } catch {
      return "";
    }
  };
  await until("it answers", async () => (await get()) === "hello\n");
  await daemon.kill9();
  await until("it answers without a daemon", async () => (await get()) === "hello\n");
  await daemon.launch();
  await until("it answers again", async () => (await get()) === "hello\n");
  expect((await daemon.ok("port", "web", "80/tcp")).split(":")[1]).toBe(port);
  const taken = await daemon.docker("run", "--rm", "-p", `127.0.0.1:${port}:80`, "busybox", "true");
  expect({ code: taken.exitCode, said: taken.stderr }).toEqual({ code: 125, said: expect.stringContaining("port is already allocated") });
  await daemon.ok("rm", "-f", "web");
  await daemon.ok("run", "--rm", "-p", `127.0.0.1:${port}:80`, "busybox", "true");
});

test("the last container ends while no daemon is there, and its mounts with it", async () => {
  await daemon.ok("run", "-d", "--name", "last", "busybox", "sh", "-c", "echo data >/file; sleep 1000");
  const { Pid } = (await inspect("last")).State;
  await daemon.kill9();
  for (const pid of spawnSync("pgrep", ["-f", `dhow-holder.*${daemon.execRoot}`])
    .stdout.toString()
    .trim()
    .split("\n")
    .map(Number)) {
    process.kill(pid, "SIGKILL");
  }
  process.kill(Pid, "SIGKILL");
  await until("it ends", () => !isAlive(Pid));
  await daemon.launch();
  expect((await inspect("last")).State.Status).toBe("exited");
  await daemon.ok("start", "last");
  expect(await daemon.ok("exec", "last", "cat", "/file")).toBe("data");
});

test("a second daemon on the same roots is refused, the first one goes on", async () => {
  const config = (name: string, args: readonly string[]): string => {
    const own = ["-H", `unix://${daemon.dir}/${name}.sock`, "-p", join(daemon.dir, `${name}.pid`), "--bridge", "none"];
    const script = join(import.meta.dir, "../../../src/main.ts");
    const done = spawnSync(process.execPath, ["--no-env-file", "--config=/dev/null", "--no-install", script, "daemon", ...own, ...args], {
      timeout: 20_000,
    });
    expect(done.status).toBe(1);
    return done.stderr.toString();
  };
  expect(config("second", ["--data-root", daemon.dataRoot, "--exec-root", join(daemon.dir, "exec2")])).toContain(
    `failed to start daemon: lock ${daemon.dataRoot}: another daemon uses it`,
  );
  const pidfile = ["-p", join(daemon.dir, "pid"), "--data-root", join(daemon.dir, "root3"), "--exec-root", join(daemon.dir, "exec3")];
  expect(config("third", pidfile)).toContain(`process with PID ${daemon.pid} is still running`);
  expect(config("fourth", ["--data-root", join(daemon.dir, "root4"), "--exec-root", daemon.execRoot])).toContain("another daemon uses it");
  expect(await daemon.ok("run", "--rm", "busybox", "echo", "hello")).toBe("hello");
});

test("a pid file whose number another program has by now is no obstacle", async () => {
  await daemon.kill9();
  writeFileSync(join(daemon.dir, "pid"), String(process.ppid));
  await daemon.launch();
  expect(Number(readFileSync(join(daemon.dir, "pid"), "utf8"))).toBe(daemon.pid);
});

test("volumes made for a container that never came to be are taken away", async () => {
  await daemon.kill9();
  const dir = join(daemon.dataRoot, "containers", "0".repeat(64));
  mkdirSync(dir);
  writeFileSync(join(dir, "new-volumes"), "half-made\n");
  mkdirSync(join(daemon.dataRoot, "volumes", "half-made", "_data"), { recursive: true });
  await daemon.launch();
  expect(await daemon.ok("volume", "ls", "-q")).toBe("");
  expect(existsSync(dir)).toBe(false);
});

test("a container is restarted at once after its end", async () => {
  await daemon.ok("run", "-d", "--name", "again", "busybox", "sh", "-c", "trap exit TERM; while :; do sleep 0.01; done");
  for (let round = 0; round < 20; round++) {
    await daemon.ok("restart", "-t", "1", "again");
    expect(await daemon.ok("exec", "again", "hostname", "-i")).not.toBe("");
  }
});
