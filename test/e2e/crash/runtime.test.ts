/**
 * A slow, a stuck and a failing runtime: the daemon goes on answering, what hangs can be got rid of, and nothing is left over.
 *
 * The runtime is crun behind a script that looks into a file for what to do first: `<command> sleep N`, `<command> hang`, `<command> fail`.
 */
import { afterAll, afterEach, beforeAll, expect, test } from "bun:test";
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Daemon, until } from "../daemon.ts";

const TIMEOUT_S = 3;

let daemon: Daemon;
let scratch: string;

/** What the runtime does from now on; one line for each command. */
function orders(...lines: readonly string[]): void {
  writeFileSync(join(scratch, "orders"), lines.map((line) => `${line}\n`).join(""));
}

const SCRIPT = `#!/bin/sh
for word; do case "$word" in run|exec|delete) command=$word; break;; esac; done
while read -r for what seconds; do
  [ "$for" = "$command" ] || continue
  case "$what" in
    sleep) sleep "$seconds";;
    hang) while :; do sleep 1000; done;;
    fail) exit 7;;
    killed) kill -KILL $$;;
    late) (sleep 0.2; kill -STOP $$) & ;;
  esac
done <"$(dirname "$0")/orders"
exec crun "$@"
`;

beforeAll(async () => {
  scratch = mkdtempSync(join(tmpdir(), "dhow-runtime-"));
  const path = join(scratch, "odd-crun");
  writeFileSync(path, SCRIPT);
  chmodSync(path, 0o755);
  orders();
  const gone = join(scratch, "vm-manager");
  daemon = await Daemon.start({
    args: ["--add-runtime", `odd=${path}`, "--add-runtime", `gone=${gone}`, "--runtime-timeout", `${TIMEOUT_S}s`],
  });
}, 120_000);

afterEach(async () => {
  orders();
  await daemon.removeContainers();
  expect(await daemon.residue()).toEqual([]);
});

afterAll(async () => {
  orders();
  await daemon?.[Symbol.asyncDispose]();
  rmSync(scratch, { recursive: true, force: true });
});

const status = (name: string): Promise<string> => daemon.ok("inspect", "-f", "{{.State.Status}} {{.State.ExitCode}}", name);

test("a slow runtime holds up its own container and nobody else", async () => {
  orders("run sleep 1", "exec sleep 1", "delete sleep 1");
  const slow = daemon.docker("run", "-d", "--name", "slow", "--runtime", "odd", "busybox", "sleep", "1000");
  expect(await daemon.ok("run", "--rm", "busybox", "echo", "quick")).toBe("quick");
  expect((await slow).exitCode).toBe(0);
  const exec = daemon.docker("exec", "slow", "echo", "inside");
  expect(await daemon.ok("ps", "-q")).not.toBe("");
  expect((await exec).stdout).toBe("inside\n");
});

test("a runtime that isn't there is named", async () => {
  const { exitCode, stderr } = await daemon.docker("run", "--runtime", "gone", "busybox", "true");
  expect(stderr).toContain(`vm-manager create failed: fork/exec ${scratch}/vm-manager: no such file or directory: unknown`);
  expect(exitCode).toBe(127);
});

test("a runtime that fails says so; the container stays created and starts later", async () => {
  orders("run fail");
  const failed = await daemon.docker("run", "--name", "fails", "--runtime", "odd", "busybox", "true");
  expect(failed.exitCode).toBe(125);
  expect(failed.stderr).toContain("OCI runtime create failed");
  expect(await status("fails")).toStartWith("created");
  orders();
  await daemon.ok("start", "-a", "fails");
  orders("exec fail");
  await daemon.ok("run", "-d", "--name", "runs", "--runtime", "odd", "busybox", "sleep", "1000");
  const exec = await daemon.docker("exec", "runs", "true");
  expect(exec.exitCode).not.toBe(0);
  expect(exec.stdout + exec.stderr).toContain("OCI runtime exec failed");
});

test("a runtime that is killed while it starts a container", async () => {
  orders("run killed");
  expect((await daemon.docker("run", "--name", "shot", "--runtime", "odd", "busybox", "true")).exitCode).toBe(125);
  expect(await status("shot")).toStartWith("created");
});

test("a start that hangs is given up after --runtime-timeout, in words", async () => {
  orders("run hang", "delete hang");
  const hanging = daemon.docker("run", "--name", "hangs", "--runtime", "odd", "busybox", "true");
  expect(await daemon.ok("run", "--rm", "busybox", "echo", "quick")).toBe("quick");
  const { exitCode, stderr } = await hanging;
  expect(exitCode).toBe(125);
  expect(stderr).toContain(`did not start the container within ${TIMEOUT_S} s`);
  expect(await status("hangs")).toStartWith("created");
  orders();
  await daemon.ok("start", "-a", "hangs");
});

test("a forced removal ends a start that hangs", async () => {
  orders("run hang");
  const hanging = daemon.docker("run", "--name", "hangs", "--runtime", "odd", "busybox", "true");
  await until("it is there", async () => (await daemon.docker("inspect", "hangs")).exitCode === 0);
  await daemon.ok("rm", "-f", "hangs");
  expect((await hanging).exitCode).toBe(125);
  expect(await daemon.ok("ps", "-aq")).toBe("");
});

test("a daemon that dies during a start that hangs: the next one starts, and ends it", async () => {
  orders("run hang", "delete hang");
  await daemon.ok("run", "-d", "--name", "runs", "busybox", "sleep", "1000");
  await daemon.ok("create", "--name", "hangs", "--runtime", "odd", "busybox", "true");
  const hanging = daemon.docker("start", "hangs");
  await until("the runtime hangs", () => Bun.spawnSync(["pgrep", "-f", `${scratch}/odd-crun.* run `]).exitCode === 0);
  await daemon.kill9();
  await hanging;
  await daemon.launch();
  expect(await status("runs")).toBe("running 0");
  expect(await status("hangs")).toStartWith("created");
  await until("the runtime is gone", () => Bun.spawnSync(["pgrep", "-f", `${scratch}/odd-crun.* run `]).exitCode !== 0);
});

test("an exec that hangs is given up, and does not keep the container from ending", async () => {
  await daemon.ok("run", "-d", "--name", "runs", "--runtime", "odd", "busybox", "sleep", "1000");
  orders("exec hang");
  const exec = await daemon.docker("exec", "runs", "true");
  expect(exec.exitCode).not.toBe(0);
  expect(exec.stdout + exec.stderr).toContain(`did not start the process within ${TIMEOUT_S} s`);
  const another = daemon.docker("exec", "runs", "true");
  await daemon.ok("stop", "-t", "0", "runs");
  expect(await status("runs")).toBe("exited 137");
  expect((await another).exitCode).not.toBe(0);
});

test("a daemon that dies during an exec: the runtime does not wait for it, and the container can end", async () => {
  await daemon.ok("run", "-d", "--name", "left", "--runtime", "odd", "busybox", "sleep", "1000");
  orders("exec sleep 1");
  const exec = daemon.docker("exec", "left", "touch", "/done");
  await Bun.sleep(500);
  await daemon.kill9();
  expect((await exec).exitCode).not.toBe(0);
  await Bun.sleep(1000);
  await daemon.launch();
  await daemon.ok("kill", "left");
  expect(await status("left")).toBe("exited 137");
  expect(await daemon.ok("diff", "left")).toContain("A /done");
});

test("the exit code is known though the runtime stands still, and the container can be removed", async () => {
  await daemon.ok(
    "run",
    "-d",
    "--name",
    "ends",
    "--runtime",
    "odd",
    "busybox",
    "sh",
    "-c",
    "trap 'exit 5' TERM; echo ready; while :; do sleep 0.1; done",
  );
  await until("it hears signals", async () => (await daemon.ok("logs", "ends")) === "ready");
  const [pid = 0] = Bun.spawnSync(["pgrep", "-f", `^crun .*--root ${daemon.execRoot}.* run `])
    .stdout.toString()
    .trim()
    .split("\n")
    .map(Number);
  expect(pid).toBeGreaterThan(1);
  process.kill(pid, "SIGSTOP");
  await daemon.ok("stop", "-t", "5", "ends");
  expect(await status("ends")).toBe("exited 5");
  await daemon.ok("start", "ends");
  expect(await status("ends")).toBe("running 0");
});

test("a runtime that is killed takes its container along", async () => {
  await daemon.ok("run", "-d", "--name", "bereft", "--runtime", "odd", "busybox", "sleep", "1000");
  const { State } = await daemon.inspect<{ State: { Pid: number } }>("bereft");
  const [pid = 0] = Bun.spawnSync(["pgrep", "-f", `^crun .*--root ${daemon.execRoot}.* run `])
    .stdout.toString()
    .trim()
    .split("\n")
    .map(Number);
  process.kill(pid, "SIGKILL");
  await until("it has ended", async () => (await status("bereft")) === "exited 137");
  await until("its process, too", () => Bun.spawnSync(["kill", "-0", String(State.Pid)]).exitCode !== 0);
  await daemon.ok("start", "bereft");
  expect(await status("bereft")).toBe("running 0");
});

test("a runtime that passes output on is waited for", async () => {
  for (let round = 0; round < 25; round++) {
    expect(await daemon.ok("run", "--rm", "--runtime", "runc", "busybox", "echo", `${round}`)).toBe(`${round}`);
  }
});

test("a runtime that can't delete what a killed one left", async () => {
  await daemon.ok("run", "-d", "--name", "lost", "--runtime", "odd", "busybox", "sleep", "1000");
  orders("delete hang");
  for (const pid of Bun.spawnSync(["pgrep", "-f", `dhow-holder.*${daemon.execRoot}`])
    .stdout.toString()
    .trim()
    .split("\n")) {
    process.kill(Number(pid), "SIGKILL");
  }
  await until("it has ended", async () => (await status("lost")).startsWith("exited 137"));
  await daemon.ok("rm", "lost");
});
