import { afterAll, beforeAll, expect, test } from "bun:test";
import { Daemon, until } from "../daemon.ts";

const daemon = await Daemon.start();
afterAll(() => daemon[Symbol.asyncDispose]());
beforeAll(async () => {
  await daemon.ok("run", "-d", "--name", "box", "-e", "OWN=1", "-w", "/tmp", "-u", "0", "busybox", "sleep", "1000");
});

const exec = (...args: readonly string[]) => daemon.docker("exec", ...args);

test("output, error output, exit code", async () => {
  expect(await exec("box", "sh", "-c", "echo out; echo err >&2; exit 9")).toEqual({ stdout: "out\n", stderr: "err\n", exitCode: 9 });
  expect((await exec("box", "sh", "-c", "kill -9 $$")).exitCode).toBe(137);
});

test("stdin and its end", async () => {
  const { stdout } = await daemon.dockerWith({ stdin: "a".repeat(1_000_000) }, "exec", "-i", "box", "wc", "-c");
  expect(stdout.trim()).toBe("1000000");
  expect((await daemon.dockerWith({ stdin: "x" }, "exec", "box", "cat")).stdout).toBe("");
});

test("environment, user, directory", async () => {
  const env = (await exec("-e", "MORE=2", "box", "env")).stdout;
  expect(env).toContain("OWN=1\n");
  expect(env).toContain("MORE=2\n");
  expect(env).not.toContain("TERM=");
  expect((await exec("-t", "box", "env")).stdout).toContain("TERM=xterm");
  expect((await exec("-u", "5:6", "box", "id")).stdout).toStartWith("uid=5 gid=6");
  expect((await exec("box", "pwd")).stdout).toBe("/tmp\n");
  expect((await exec("-w", "/etc", "box", "pwd")).stdout).toBe("/etc\n");
  expect((await exec("-u", "nosuch", "box", "id")).stdout).toContain("unable to find user nosuch: no matching entries in passwd file");
});

test("126 and 127", async () => {
  const missing = await exec("box", "nosuch");
  expect(missing.exitCode).toBe(127);
  expect(missing.stdout + missing.stderr).toContain(
    'OCI runtime exec failed: exec failed: unable to start container process: exec: "nosuch": executable file not found in $PATH: unknown',
  );
  expect((await exec("box", "/etc")).exitCode).toBe(126);
  expect((await exec("box", "/etc/passwd")).exitCode).toBe(126);
  expect((await exec("-w", "/nosuch", "box", "pwd")).exitCode).not.toBe(0);
});

test("the exit code of a failed start stays to be asked for", async () => {
  const { json } = await daemon.api<{ Id: string }>("POST", "/containers/box/exec", { Cmd: ["nosuch"], AttachStdout: true });
  const start = await daemon.api("POST", `/exec/${json.Id}/start`, { Detach: true });
  expect(start.status).toBe(400);
  expect((await daemon.api("GET", `/exec/${json.Id}/json`)).json).toMatchObject({ ExitCode: 127, Running: false });
});

test("-d runs in the background", async () => {
  expect(await exec("-d", "box", "touch", "/tmp/made")).toEqual({ stdout: "", stderr: "", exitCode: 0 });
  await until("the file", async () => (await exec("box", "ls", "/tmp/made")).exitCode === 0);
});

test("-t: a terminal with a size", async () => {
  using terminal = daemon.terminal({}, "exec", "-it", "box", "sh");
  terminal.write("stty size; tty\n");
  await terminal.sees("24 80\r\n/dev/pts/");
  terminal.resize(120, 50);
  process.kill(terminal.pid, "SIGWINCH");
  await until("the new size", () => {
    terminal.write("stty size\n");
    return terminal.output().includes("50 120\r\n");
  });
  terminal.write("exit 4\n");
  expect(await terminal.exited).toBe(4);
});

test("detach keys leave the process running", async () => {
  const terminal = daemon.terminal({}, "exec", "-it", "box", "sh", "-c", "echo go; exec sleep 777");
  await terminal.sees("go\r\n");
  terminal.write("\x10");
  terminal.write("\x11");
  await terminal.exited;
  terminal[Symbol.dispose]();
  expect(await daemon.ok("top", "box")).toContain("sleep 777");
});

test("--privileged has every capability that the daemon may hand on", async () => {
  const effective = async (...options: readonly string[]): Promise<bigint> =>
    BigInt(`0x${/CapEff:\s*(\w+)/.exec((await exec(...options, "box", "cat", "/proc/self/status")).stdout)?.[1]}`);
  const [plain, privileged] = [await effective(), await effective("--privileged")];
  expect(privileged > plain).toBe(true);
  expect(privileged & plain).toBe(plain);
});

test("start twice, resize, inspect", async () => {
  const { json } = await daemon.api<{ Id: string }>("POST", "/containers/box/exec", {
    Cmd: ["sleep", "500"],
    Tty: true,
    DetachKeys: "ctrl-p,ctrl-q",
  });
  const info = async () => (await daemon.api(`GET`, `/exec/${json.Id}/json`)).json;
  expect(await info()).toMatchObject({
    Running: false,
    ExitCode: null,
    ProcessConfig: { entrypoint: "sleep", arguments: ["500"], tty: true },
    DetachKeys: "EBE=",
  });
  expect((await daemon.api("POST", `/exec/${json.Id}/start`, { Detach: true })).status).toBe(200);
  expect((await daemon.api("POST", `/exec/${json.Id}/start`, { Detach: true })).status).toBe(409);
  expect(await info()).toMatchObject({ Running: true });
  expect((await daemon.api("POST", `/exec/${json.Id}/resize?h=10&w=20`)).status).toBe(200);
  expect((await daemon.inspect<{ ExecIDs: readonly string[] }>("box")).ExecIDs).toContain(json.Id);
});

test("refused: unknown, stopped, paused", async () => {
  expect((await exec("nosuch", "true")).stderr).toContain("No such container: nosuch");
  await daemon.ok("run", "-d", "--name", "other", "busybox", "sleep", "1000");
  await daemon.ok("pause", "other");
  expect((await exec("other", "true")).stderr).toContain("is paused, unpause the container before exec");
  await daemon.ok("unpause", "other");
  const { json } = await daemon.api<{ Id: string }>("POST", "/containers/other/exec", { Cmd: ["true"], Tty: true });
  const resized = () => daemon.api("POST", `/exec/${json.Id}/resize?h=10&w=20`);
  expect(await resized()).toMatchObject({ status: 400, json: { message: "exec process is not started" } });
  await daemon.ok("kill", "other");
  await daemon.ok("wait", "other");
  // what was not started is gone with what it was made for
  const gone = { status: 404, json: { message: `No such exec instance: ${json.Id}` } };
  expect(await resized()).toMatchObject(gone);
  expect((await daemon.inspect<{ ExecIDs: unknown }>("other")).ExecIDs).toBeNull();
  await daemon.ok("start", "other");
  expect(await daemon.api("POST", `/exec/${json.Id}/start`, { Detach: true })).toMatchObject(gone);
  await daemon.ok("kill", "other");
  await daemon.ok("wait", "other");
  const stopped = await exec("other", "true");
  expect(stopped.exitCode).toBe(1);
  expect(stopped.stderr).toMatch(/is not running|No such container/);
  await daemon.docker("rm", "-f", "other");
});

test("an exec is known until its container is removed", async () => {
  await daemon.ok("run", "-d", "--name", "short", "busybox", "sleep", "1000");
  const { json } = await daemon.api<{ Id: string }>("POST", "/containers/short/exec", { Cmd: ["true"], AttachStdout: true });
  await daemon.api("POST", `/exec/${json.Id}/start`, {});
  expect(await daemon.api("GET", `/exec/${json.Id}/json`)).toMatchObject({ status: 200, json: { Running: false, ExitCode: 0 } });
  await daemon.ok("rm", "-f", "short");
  expect(await daemon.api("GET", `/exec/${json.Id}/json`)).toMatchObject({
    status: 404,
    json: { message: `No such exec instance: ${json.Id}` },
  });
});

test("execs end with their container", async () => {
  await daemon.ok("run", "-d", "--name", "short", "busybox", "sleep", "1000");
  const child = daemon.spawn({}, "exec", "short", "sh", "-c", "echo on; sleep 1000");
  await child.stdout.getReader().read();
  await daemon.ok("kill", "short");
  expect(await child.exited).toBe(137);
  await daemon.ok("rm", "short");
});

test("many at once", async () => {
  const results = await Promise.all(Array.from({ length: 12 }, (_, index) => exec("box", "echo", String(index))));
  expect(results.map((r) => r.stdout)).toEqual(Array.from({ length: 12 }, (_, index) => `${index}\n`));
});
