import { afterAll, expect, test } from "bun:test";
import { Daemon, until } from "../daemon.ts";

const daemon = await Daemon.start();
afterAll(() => daemon[Symbol.asyncDispose]());

interface Inspected {
  readonly RestartCount: number;
  readonly State: {
    readonly Status: string;
    readonly Pid: number;
    readonly Health: {
      readonly Status: string;
      readonly FailingStreak: number;
      readonly Log: readonly { readonly Start: string; readonly ExitCode: number; readonly Output: string }[];
    };
  };
}
const inspect = (name: string): Promise<Inspected> => daemon.inspect<Inspected>(name);
const health = async (name: string): Promise<Inspected["State"]["Health"]> => (await inspect(name)).State.Health;
const isIn = (name: string, status: string): Promise<unknown> =>
  until(`${name} is ${status}`, async () => (await health(name)).Status === status);
const run = (name: string, check: string, ...options: readonly string[]): Promise<string> =>
  daemon.ok("run", "-d", "--name", name, "--health-cmd", check, "--health-interval", "50ms", ...options, "busybox", "sleep", "1000");

test("a paused or ended container is unhealthy, a started one starting; the log stays", async () => {
  await run("it", "true");
  await isIn("it", "healthy");
  await daemon.ok("pause", "it");
  const paused = await health("it");
  expect(paused.Status).toBe("unhealthy");
  await daemon.ok("unpause", "it");
  await isIn("it", "healthy");
  await daemon.ok("stop", "-t", "0", "it");
  const stopped = await health("it");
  expect(stopped.Status).toBe("unhealthy");
  await daemon.ok("start", "it");
  expect((await health("it")).Log[0]?.Start ?? "").not.toBe("");
  await isIn("it", "healthy");
});

test("a commit pauses a container, and leaves it as healthy as it was", async () => {
  await daemon.ok("run", "-d", "--name", "snapped", "--health-cmd", "true", "--health-interval", "2s", "busybox", "sleep", "1000");
  await isIn("snapped", "healthy");
  await daemon.ok("commit", "snapped", "snap:1");
  expect((await health("snapped")).Status).toBe("healthy");
  await daemon.ok("kill", "snapped");
  expect((await health("snapped")).Status).toBe("unhealthy");
  await daemon.ok("rmi", "snap:1");
});

test("health survives the daemon: status, streak, log; a paused one stays unwatched", async () => {
  await run("kept", "echo no; exit 3", "--health-retries", "2");
  await isIn("kept", "unhealthy");
  await run("resting", "true");
  await isIn("resting", "healthy");
  await daemon.ok("pause", "resting");
  const resting = await health("resting");
  await daemon.ok("update", "-c", "512", "kept");
  await daemon.kill9();
  await daemon.launch();
  const after = await health("kept");
  expect(after.Status).toBe("unhealthy");
  expect(after.FailingStreak).toBeGreaterThanOrEqual(2);
  expect(after.Log[0]).toMatchObject({ ExitCode: 3, Output: "no\n" });
  await until("it is checked again", async () => (await health("kept")).FailingStreak > after.FailingStreak);
  expect(await health("resting")).toEqual(resting);
  await daemon.ok("unpause", "resting");
  await isIn("resting", "healthy");
});

test("4 KiB of output; a check that takes too long, and what it leaves running", async () => {
  await run("loud", "yes | head -c 9000; exit 1");
  await until("a result", async () => (await health("loud")).Log.length > 0);
  const output = (await health("loud")).Log[0]?.Output ?? "";
  expect(output).toBe(`${"y\n".repeat(2048)}...`);
  await run("slow", "echo begun; sleep 1000; true", "--health-timeout", "200ms", "--health-retries", "1");
  await isIn("slow", "unhealthy");
  expect((await health("slow")).Log[0]).toMatchObject({ ExitCode: -1, Output: "Health check exceeded timeout (200ms): begun\n" });
  await until("another one", async () => (await health("slow")).Log.length > 1);
});

test("dhow.restart-on-unhealthy: an unhealthy container is ended and started again, with pauses", async () => {
  const label = ["--label", "dhow.restart-on-unhealthy=true", "--stop-signal", "KILL", "--health-retries", "1"];
  await run("sick", "exit 1", ...label);
  await until("the second restart", async () => (await inspect("sick")).RestartCount >= 2);
  await daemon.ok("stop", "sick");
  const { RestartCount } = await inspect("sick");
  await run("calm", "exit 1", "--health-retries", "1");
  await run("brief", "exit 1", "--rm", ...label);
  await isIn("calm", "unhealthy");
  await isIn("brief", "unhealthy");
  expect(await inspect("sick")).toMatchObject({ RestartCount, State: { Status: "exited" } });
  expect(await inspect("calm")).toMatchObject({ RestartCount: 0, State: { Status: "running" } });
  expect(await inspect("brief")).toMatchObject({ RestartCount: 0, State: { Status: "running" } });
});

test("dhow.restart-on-unhealthy: one that is called unhealthy because it was paused goes on under the next daemon", async () => {
  const label = ["--label", "dhow.restart-on-unhealthy=true", "--stop-signal", "KILL"];
  await daemon.ok("run", "-d", "--name", "rested", "--health-cmd", "true", "--health-interval", "2s", ...label, "busybox", "sleep", "1000");
  await isIn("rested", "healthy");
  await daemon.ok("pause", "rested");
  await daemon.ok("unpause", "rested");
  const { Pid } = (await inspect("rested")).State;
  await daemon.kill9();
  await daemon.launch();
  await isIn("rested", "healthy");
  expect(await inspect("rested")).toMatchObject({ RestartCount: 0, State: { Pid } });
});

test("dhow.restart-on-unhealthy: what the daemon has ended before it died, the next one starts", async () => {
  await daemon.removeContainers();
  await run("half", "test ! -e /sick", "--label", "dhow.restart-on-unhealthy=true", "--health-retries", "1", "--stop-timeout", "1000");
  await isIn("half", "healthy");
  const { Pid } = (await inspect("half")).State;
  await daemon.ok("exec", "half", "touch", "/sick");
  // sleep as the first process of its container takes no SIGTERM: the daemon waits
  await isIn("half", "unhealthy");
  await daemon.kill9();
  process.kill(Pid, "SIGKILL");
  await daemon.launch();
  await until("it runs again", async () => (await inspect("half")).State.Status === "running");
  expect((await inspect("half")).State.Pid).not.toBe(Pid);
});

test("dhow.restart-on-unhealthy: a daemon that dies while it waits: the next one goes on", async () => {
  await daemon.removeContainers();
  const stubborn = ["--label", "dhow.restart-on-unhealthy=true", "--health-retries", "1", "--stop-timeout", "1"];
  await run("stubborn", "test ! -e /sick", ...stubborn);
  await isIn("stubborn", "healthy");
  const { Pid } = (await inspect("stubborn")).State;
  await daemon.ok("exec", "stubborn", "touch", "/sick");
  await isIn("stubborn", "unhealthy");
  await daemon.kill9();
  expect(process.kill(Pid, 0)).toBe(true);
  await daemon.launch();
  await until("it was restarted", async () => (await inspect("stubborn")).RestartCount === 1);
});
