import { afterAll, afterEach, expect, test } from "bun:test";
import { Daemon, dockerCliMajor, until } from "../daemon.ts";

const daemon = await Daemon.start();
afterAll(() => daemon[Symbol.asyncDispose]());
afterEach(() => daemon.removeContainers());

interface State {
  readonly Status: string;
  readonly Running: boolean;
  readonly Paused: boolean;
  readonly ExitCode: number;
  readonly Pid: number;
  readonly StartedAt: string;
  readonly FinishedAt: string;
}
const state = async (name: string): Promise<State> => (await daemon.inspect<{ State: State }>(name)).State;
const sleeper = (name: string, ...options: readonly string[]): Promise<string> =>
  daemon.ok("run", "-d", "--name", name, ...options, "busybox", "sleep", "1000");
/** A container that answers a signal with an exit code, once it says "ready". */
async function trapper(name: string, signal: string, exitCode: number, ...options: readonly string[]): Promise<void> {
  await daemon.ok(
    "run",
    "-d",
    "--name",
    name,
    ...options,
    "busybox",
    "sh",
    "-c",
    `trap "exit ${exitCode}" ${signal}; echo ready; while :; do sleep 0.05; done`,
  );
  await until("ready", async () => (await daemon.ok("logs", name)) === "ready");
}
const post = (path: string, body?: unknown) => daemon.api("POST", path, body);

test("start, stop, start again", async () => {
  await daemon.ok("create", "--name", "it", "busybox", "sleep", "1000");
  expect(await state("it")).toMatchObject({ Status: "created", Running: false, Pid: 0, StartedAt: "0001-01-01T00:00:00Z" });
  expect(await daemon.ok("start", "it")).toBe("it");
  expect((await state("it")).Pid).toBeGreaterThan(0);
  expect((await post("/containers/it/start")).status).toBe(304);
  await daemon.ok("kill", "it");
  expect(await state("it")).toMatchObject({ Status: "exited", ExitCode: 137, Pid: 0 });
  expect((await post("/containers/it/stop")).status).toBe(304);
  await daemon.ok("start", "it");
  expect(await state("it")).toMatchObject({ Running: true, ExitCode: 0 });
});

test("stop sends the stop signal, then SIGKILL", async () => {
  await trapper("polite", "TERM", 7);
  await daemon.ok("stop", "polite");
  expect((await state("polite")).ExitCode).toBe(7);
  await trapper("special", "USR1", 8, "--stop-signal", "SIGUSR1");
  await daemon.ok("stop", "special");
  expect((await state("special")).ExitCode).toBe(8);
  await trapper("asked", "USR2", 9);
  if (dockerCliMajor < 23) await daemon.api("POST", "/containers/asked/stop?signal=USR2");
  else await daemon.ok("stop", "-s", "USR2", "asked");
  expect((await state("asked")).ExitCode).toBe(9);
  await sleeper("deaf");
  await daemon.ok("stop", "-t", "0", "deaf");
  expect((await state("deaf")).ExitCode).toBe(137);
  const kills = ["events", "--since", "1m", "--until", `${Date.now() / 1000}`, "-f", "container=deaf", "-f", "event=kill"];
  expect(await daemon.ok(...kills, "--format", "{{.Actor.Attributes.signal}}")).toBe("15\n9");
  await sleeper("patient", "--stop-timeout", "0");
  await daemon.ok("stop", "patient");
  expect((await state("patient")).ExitCode).toBe(137);
});

test("kill: signals by name and number, and what is no signal", async () => {
  await trapper("named", "USR1", 5);
  await daemon.ok("kill", "-s", "usr1", "named");
  expect(await daemon.ok("wait", "named")).toBe("5");
  await trapper("numbered", "USR1", 6);
  await daemon.ok("kill", "-s", "10", "numbered");
  expect(await daemon.ok("wait", "numbered")).toBe("6");
  await sleeper("other");
  expect((await daemon.docker("kill", "-s", "FOO", "other")).stderr).toContain("cannot kill container: other: invalid signal: FOO");
  await daemon.ok("kill", "other");
  const again = await daemon.docker("kill", "other");
  expect(again.stderr).toMatch(/cannot kill container: other: container [0-9a-f]{64} is not running/);
  expect((await post("/containers/other/kill")).status).toBe(409);
  expect((await daemon.docker("kill", "nosuch")).stderr).toContain("cannot kill container: nosuch: No such container: nosuch");
});

test("restart: a running one, a stopped one, again and again", async () => {
  await sleeper("it");
  const pids = new Set([(await state("it")).Pid]);
  for (let i = 0; i < 5; i++) {
    await daemon.ok("restart", "-t", "0", "it");
    pids.add((await state("it")).Pid);
  }
  expect(pids.size).toBe(6);
  await daemon.ok("kill", "it");
  await daemon.ok("restart", "it");
  expect((await state("it")).Running).toBe(true);
  expect((await daemon.inspect<{ RestartCount: number }>("it")).RestartCount as number).toBe(0);
});

test("restart keeps what was written, a terminal, and --rm", async () => {
  await daemon.ok("run", "-dit", "--rm", "--name", "it", "busybox", "sh");
  await daemon.ok("exec", "it", "sh", "-c", "echo kept > /kept");
  await daemon.ok("restart", "-t", "0", "it");
  expect(await daemon.ok("exec", "it", "cat", "/kept")).toBe("kept");
});

test("pause and unpause", async () => {
  await daemon.ok("run", "-d", "--name", "it", "busybox", "sh", "-c", "while :; do date +%s%N >> /ticks; sleep 0.01; done");
  await daemon.ok("pause", "it");
  expect(await state("it")).toMatchObject({ Status: "paused", Paused: true, Running: true });
  expect((await daemon.docker("pause", "it")).stderr).toContain("is already paused");
  expect((await daemon.docker("rm", "it")).stderr).toContain("container is paused and must be unpaused first");
  expect((await post("/containers/it/start")).status).toBe(409);
  const cpu = async (): Promise<unknown> =>
    (await daemon.api<{ cpu_stats: { cpu_usage: { total_usage: number } } }>("GET", "/containers/it/stats?stream=0&one-shot=1")).json
      .cpu_stats.cpu_usage.total_usage;
  const before = await cpu();
  await Bun.sleep(100);
  expect(await cpu()).toBe(before);
  await daemon.ok("unpause", "it");
  expect(await state("it")).toMatchObject({ Status: "running", Paused: false });
  expect((await daemon.docker("unpause", "it")).stderr).toContain("is not paused");
  await daemon.ok("pause", "it");
  await daemon.ok("stop", "-t", "1", "it");
  expect((await state("it")).Status).toBe("exited");
  expect((await daemon.docker("pause", "it")).stderr).toContain("is not running");
});

test("rename", async () => {
  const id = await daemon.ok("create", "--name", "old", "busybox");
  await daemon.ok("create", "--name", "taken", "busybox");
  await daemon.ok("rename", "old", "new");
  expect(await daemon.ok("ps", "-a", "--no-trunc", "--filter", "name=^new$", "--format", "{{.ID}}")).toBe(id);
  for (const [name, text] of [
    ["new", "Renaming a container with the same name as its current name"],
    ["taken", 'Error when allocating new name: Conflict. The container name "/taken" is already in use by container'],
    ["a b", "Error when allocating new name: Invalid container name (/a b)"],
  ]) {
    expect((await daemon.docker("rename", "new", name ?? "")).stderr).toContain(text ?? "");
  }
  expect((await daemon.docker("inspect", "old")).exitCode).toBe(1);
});

test("rm: running, forced, unknown, several", async () => {
  await sleeper("one");
  await daemon.ok("create", "--name", "two", "busybox");
  expect((await daemon.docker("rm", "one")).stderr).toContain(
    'cannot remove container "/one": container is running: stop the container before removing or force remove',
  );
  const { stdout, stderr, exitCode } = await daemon.docker("rm", "-f", "one", "nosuch", "two");
  expect({ stdout, exitCode }).toEqual({ stdout: "one\ntwo\n", exitCode: 0 });
  // since 29 a forced removal says nothing of what isn't there
  expect(stderr).toMatch(dockerCliMajor < 29 ? /No such container: nosuch/ : /^$/);
  expect((await daemon.docker("rm", "nosuch")).exitCode).toBe(1);
  expect(await daemon.residue()).toEqual([]);
});

test("rm -v takes anonymous volumes along, named ones stay", async () => {
  await daemon.ok("create", "--name", "it", "-v", "/anonymous", "-v", "named:/named", "busybox");
  await daemon.ok("rm", "-v", "it");
  expect(await daemon.ok("volume", "ls", "-q")).toBe("named");
  await daemon.ok("volume", "rm", "named");
});

test("container prune", async () => {
  await sleeper("on");
  await daemon.ok("create", "--name", "off", "-l", "keep=1", "busybox");
  const gone = await daemon.ok("create", "--name", "gone", "busybox");
  expect(await daemon.ok("container", "prune", "-f", "--filter", "label!=keep")).toContain(gone);
  expect((await daemon.ok("ps", "-a", "--format", "{{.Names}}")).split("\n").sort()).toEqual(["off", "on"]);
});

test("wait: conditions and the code that survives --rm", async () => {
  await daemon.ok("create", "--rm", "--name", "it", "-i", "busybox", "sh", "-c", "read x; exit 33");
  const next = post("/containers/it/wait?condition=next-exit");
  const removed = post("/containers/it/wait?condition=removed");
  expect((await post("/containers/it/wait")).json).toMatchObject({ StatusCode: 0 });
  await daemon.ok("start", "it");
  const running = post("/containers/it/wait");
  await daemon.dockerWith({ stdin: "\n" }, "attach", "it");
  for (const answer of await Promise.all([next, removed, running])) {
    expect(answer.status).toBe(200);
    expect(answer.json).toMatchObject({ StatusCode: 33 });
  }
  expect((await post("/containers/it/wait")).status).toBe(404);
  expect((await post("/containers/it/wait?condition=nosuch")).status).toBe(400);
});

test("wait sends its headers before the exit", async () => {
  await sleeper("it");
  const abort = new AbortController();
  const response = await fetch("http://localhost/containers/it/wait", { method: "POST", unix: daemon.socket, signal: abort.signal });
  expect(response.status).toBe(200);
  abort.abort();
});

test("restart policies: on-failure counts, always goes on until it is stopped", async () => {
  await daemon.ok("run", "-d", "--name", "thrice", "--restart", "on-failure:2", "busybox", "sh", "-c", "exit 3");
  await until("the end", async () => {
    const { RestartCount, State } = await daemon.inspect<{ RestartCount: number; State: State }>("thrice");
    return RestartCount === 2 && State.Status === "exited";
  });
  await daemon.ok("run", "-d", "--name", "fine", "--restart", "on-failure", "busybox", "true");
  expect(await daemon.ok("wait", "fine")).toBe("0");
  expect((await daemon.inspect<{ RestartCount: number }>("fine")).RestartCount as number).toBe(0);
  await daemon.ok("run", "-d", "--name", "phoenix", "--restart", "always", "busybox", "sh", "-c", "sleep 0.1");
  await until("restarts", async () => (await daemon.inspect<{ RestartCount: number }>("phoenix")).RestartCount > 1);
  await daemon.ok("stop", "phoenix");
  const { RestartCount } = await daemon.inspect<{ RestartCount: number }>("phoenix");
  await Bun.sleep(500);
  expect((await daemon.inspect<{ RestartCount: number }>("phoenix")).RestartCount as number).toBe(RestartCount);
  expect((await state("phoenix")).Status).toBe("exited");
});

test("who waits or is attached hears of the exit, also when the container is started again", async () => {
  const script = "trap 'echo said; exit 3' HUP; while :; do sleep 0.1; done";
  await daemon.ok("run", "-d", "--name", "phoenix", "--restart", "always", "busybox", "sh", "-c", script);
  const waiting = daemon.docker("wait", "phoenix");
  const attached = daemon.docker("attach", "--no-stdin", "phoenix");
  await Bun.sleep(500);
  await daemon.ok("kill", "-s", "HUP", "phoenix");
  expect(await attached).toMatchObject({ stdout: "said\n", exitCode: 3 });
  expect(await waiting).toMatchObject({ stdout: "3\n", exitCode: 0 });
  await until("it runs again", async () => (await state("phoenix")).Status === "running");
});

test("a container that is about to restart counts as running, until a kill makes it stay ended", async () => {
  await daemon.ok("run", "-d", "--name", "phoenix", "--restart", "always", "busybox", "false");
  await until("it waits", async () => (await daemon.inspect<{ RestartCount: number }>("phoenix")).RestartCount > 4);
  // it goes on being called so while it is started: the wait of seconds has to have begun just now
  await until("it waits", async () => {
    const { State } = await daemon.inspect<{ State: { Status: string; FinishedAt: string } }>("phoenix");
    return State.Status === "restarting" && Date.now() - Date.parse(State.FinishedAt) < 1000;
  });
  expect(await daemon.ok("inspect", "-f", "{{.State.Running}} {{.State.Restarting}} {{.State.Pid}}", "phoenix")).toBe("true true 0");
  expect(await daemon.ok("ps", "--format", "{{.Names}} {{.Status}}")).toStartWith("phoenix Restarting (1) ");
  expect((await daemon.docker("attach", "phoenix")).stderr).toMatch(/cannot attach to a restarting container/);
  await daemon.ok("kill", "-s", "HUP", "phoenix");
  expect(await daemon.ok("inspect", "-f", "{{.State.Status}} {{.State.Running}} {{.State.ExitCode}}", "phoenix")).toBe("exited false 1");
  expect((await daemon.docker("kill", "phoenix")).stderr).toContain("is not running");
});

test("kill with another signal than the stop signal lets restart=always go on", async () => {
  await trapper("it", "USR1", 1, "--restart", "always");
  await daemon.ok("kill", "-s", "USR1", "it");
  await until("the restart", async () => (await daemon.inspect<{ RestartCount: number }>("it")).RestartCount === 1);
});

test("health checks", async () => {
  const health = async (name: string) =>
    (
      await daemon.inspect<{
        State: { Health: { Status: string; FailingStreak: number; Log: readonly { ExitCode: number; Output: string }[] } };
      }>(name)
    ).State.Health;
  await sleeper("sick", "--health-cmd", "echo ouch; exit 1", "--health-interval", "50ms", "--health-retries", "2");
  await until("unhealthy", async () => (await health("sick")).Status === "unhealthy");
  expect((await health("sick")).Log[0]).toMatchObject({ ExitCode: 1, Output: "ouch\n" });
  await until("five entries", async () => (await health("sick")).FailingStreak > 6);
  expect((await health("sick")).Log.length).toBe(5);
  expect(await daemon.ok("ps", "--filter", "health=unhealthy", "--format", "{{.Names}} {{.Status}}")).toMatch(/^sick Up .* \(unhealthy\)$/);
  await sleeper("well", "--health-cmd", "true", "--health-interval", "50ms");
  await until("healthy", async () => (await health("well")).Status === "healthy");
  await sleeper("slow", "--health-cmd", "sleep 10", "--health-interval", "50ms", "--health-timeout", "100ms", "--health-retries", "1");
  await until("unhealthy", async () => (await health("slow")).Status === "unhealthy");
  expect((await health("slow")).Log[0]).toMatchObject({ ExitCode: -1 });
  expect((await daemon.docker("create", "--health-cmd", "true", "--health-interval", "1us", "busybox")).stderr).toContain(
    "cannot be less than 1ms",
  );
});

test("top", async () => {
  await sleeper("it");
  const [titles = "", ...rows] = (await daemon.ok("top", "it")).split("\n");
  expect(titles.split(/\s+/)).toEqual(["UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD"]);
  expect(rows).toHaveLength(1);
  expect(rows[0]).toContain(String((await state("it")).Pid));
  expect(await daemon.ok("top", "it", "-o", "pid,comm")).toMatch(/^PID\s+COMMAND\n\d+\s+sleep$/);
  await daemon.ok("kill", "it");
  expect((await daemon.docker("top", "it")).stderr).toContain("is not running");
});

test("stats: one shot, stream, stopped", async () => {
  await sleeper("it", "--memory", "64m");
  const line = await daemon.ok("stats", "--no-stream", "--format", "{{.Name}} {{.MemUsage}} {{.PIDs}}", "it");
  expect(line).toMatch(/^it [\d.]+[KM]iB \/ 64MiB 1$/);
  const { json } = await daemon.api<{ precpu_stats: { system_cpu_usage: number }; networks: object; name: string }>(
    "GET",
    "/containers/it/stats?stream=0",
  );
  expect(json.precpu_stats.system_cpu_usage).toBeGreaterThan(0);
  expect(Object.keys(json.networks)).toEqual(["eth0"]);
  expect(json.name).toBe("/it");
  const child = daemon.spawn({}, "stats", "--format", "{{.Name}}", "it");
  await child.stdout.getReader().read();
  await daemon.ok("rm", "-f", "it");
  child.kill("SIGKILL");
  await child.exited;
  await daemon.ok("create", "--name", "off", "busybox");
  expect((await daemon.api("GET", "/containers/off/stats?stream=0")).json).toMatchObject({ pids_stats: {}, memory_stats: {} });
});

test("two clients at once: start, rm -f, names", async () => {
  await daemon.ok("create", "--name", "it", "busybox", "sleep", "1000");
  const starts = await Promise.all(Array.from({ length: 5 }, () => post("/containers/it/start")));
  expect(starts.map((a) => a.status).sort()).toEqual([204, 304, 304, 304, 304]);
  const removals = await Promise.all(Array.from({ length: 5 }, () => daemon.api("DELETE", "/containers/it?force=1")));
  expect(removals.filter((a) => a.status === 204)).toHaveLength(1);
  const named = await Promise.all(Array.from({ length: 5 }, () => post("/containers/create?name=same", { Image: "busybox" })));
  expect(named.map((a) => a.status).sort()).toEqual([201, 409, 409, 409, 409]);
});
