import { afterAll, expect, test } from "bun:test";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Daemon, dockerCliMajor, until } from "../daemon.ts";

const daemon = await Daemon.start();
afterAll(() => daemon[Symbol.asyncDispose]());

const CTRL_P = "\x10";
const CTRL_Q = "\x11";

const isRunning = async (name: string): Promise<boolean> => (await daemon.inspect<{ State: { Running: boolean } }>(name)).State.Running;

test("stdin's end reaches the process, its output goes on", async () => {
  const child = daemon.spawn({}, "run", "--rm", "-i", "busybox", "sh", "-c", "cat; echo after the end");
  child.stdin.write("before\n");
  await child.stdin.end();
  expect(await new Response(child.stdout).text()).toBe("before\nafter the end\n");
  expect(await child.exited).toBe(0);
});

test("the end of one client's stdin ends the container's with StdinOnce only", async () => {
  // created detached: stdin stays open when a client leaves
  await daemon.ok("run", "-d", "-i", "--name", "stays", "busybox", "cat");
  const first = daemon.spawn({}, "attach", "stays");
  first.stdin.write("one\n");
  const reader = first.stdout.getReader();
  expect(Buffer.from((await reader.read()).value ?? []).toString()).toBe("one\n");
  await first.stdin.end();
  first.kill("SIGKILL");
  await first.exited;
  expect(await isRunning("stays")).toBe(true);
  await daemon.ok("rm", "-f", "stays");
});

test("a 10 MB stream through cat comes back whole", async () => {
  const blob = new Uint8Array(10 << 20).map((_, index) => (index * 31) & 0xff);
  const child = daemon.spawn({}, "run", "--rm", "-i", "busybox", "cat");
  const back = new Response(child.stdout).arrayBuffer();
  child.stdin.write(blob);
  await child.stdin.end();
  expect(Bun.hash(await back)).toBe(Bun.hash(blob));
});

test("attach shows what comes from now on and ends with the container's exit code", async () => {
  await daemon.ok("run", "-d", "-i", "--name", "later", "busybox", "sh", "-c", "echo early; read word; echo got $word; exit 7");
  await until("the first line", async () => (await daemon.ok("logs", "later")) === "early");
  const child = daemon.spawn({}, "attach", "later");
  child.stdin.write("it\n");
  expect(await new Response(child.stdout).text()).toBe("got it\n");
  expect(await child.exited).toBe(7);
  await daemon.ok("rm", "later");
});

test("attach refuses stopped and paused containers", async () => {
  await daemon.ok("create", "--name", "asleep", "busybox");
  expect((await daemon.docker("attach", "asleep")).stderr).toContain("cannot attach to a stopped container, start it first");
  await daemon.ok("rm", "asleep");
  await daemon.ok("run", "-d", "--name", "frozen", "busybox", "sleep", "1000");
  await daemon.ok("pause", "frozen");
  expect((await daemon.docker("attach", "frozen")).stderr).toContain("cannot attach to a paused container, unpause it first");
  await daemon.ok("rm", "-f", "frozen");
});

test("start -ai gives input and the exit code", async () => {
  await daemon.ok("create", "-i", "--name", "asked", "busybox", "sh", "-c", "read a; echo $a; exit 3");
  const { stdout, exitCode } = await daemon.dockerWith({ stdin: "answer\n" }, "start", "-ai", "asked");
  expect({ stdout, exitCode }).toEqual({ stdout: "answer\n", exitCode: 3 });
  const again = await daemon.dockerWith({ stdin: "another\n" }, "start", "-ai", "asked");
  expect({ stdout: again.stdout, exitCode: again.exitCode }).toEqual({ stdout: "another\n", exitCode: 3 });
  await daemon.ok("rm", "asked");
});

test("signals pass through to the process", async () => {
  const script = 'trap "echo caught; exit 9" TERM; echo ready; while :; do sleep 0.05; done';
  const child = daemon.spawn({}, "run", "--rm", "--name", "proxied", "busybox", "sh", "-c", script);
  const reader = child.stdout.getReader();
  expect(Buffer.from((await reader.read()).value ?? []).toString()).toBe("ready\n");
  child.kill("SIGTERM");
  expect(Buffer.from((await reader.read()).value ?? []).toString()).toBe("caught\n");
  expect(await child.exited).toBe(9);
});

test("--sig-proxy=false keeps signals from the process", async () => {
  await daemon.ok("run", "-d", "--name", "shielded", "busybox", "sleep", "1000");
  const child = daemon.spawn({}, "attach", "--sig-proxy=false", "shielded");
  await Bun.sleep(300);
  child.kill("SIGINT");
  await Bun.sleep(100);
  child.kill("SIGKILL");
  await child.exited;
  expect(await isRunning("shielded")).toBe(true);
  await daemon.ok("rm", "-f", "shielded");
});

test.skipIf(dockerCliMajor < 28)(
  "-it: a terminal with its size, echo, and resize (needs docker 28: 20.10 tells the size late)",
  async () => {
    using terminal = daemon.terminal({}, "run", "-it", "--rm", "--name", "tty", "busybox", "sh");
    terminal.write("tty; stty size; echo TERM=$TERM\n");
    await terminal.sees("/dev/pts/0\r\n24 80\r\nTERM=xterm\r\n");
    terminal.resize(100, 40);
    process.kill(terminal.pid, "SIGWINCH");
    await until(
      "the new size",
      async () => (await daemon.docker("exec", "tty", "sh", "-c", "stty size < /dev/console")).stdout === "40 100\n",
    );
    terminal.write("exit 6\n");
    expect(await terminal.exited).toBe(6);
  },
);

test("ctrl-c ends a program on a terminal", async () => {
  using terminal = daemon.terminal(
    {},
    "run",
    "-it",
    "--rm",
    "busybox",
    "sh",
    "-c",
    "trap 'exit 130' INT; echo go; while :; do sleep 0.05; done",
  );
  await terminal.sees("go\r\n");
  terminal.write("\x03");
  expect(await terminal.exited).toBe(130);
});

test("ctrl-p ctrl-q leaves the container running; attach comes back", async () => {
  const terminal = daemon.terminal({}, "run", "-it", "--name", "left", "busybox", "sh");
  terminal.write("echo one$((1))\n");
  await terminal.sees("one1\r\n");
  terminal.write(CTRL_P);
  terminal.write(CTRL_Q);
  await terminal.exited;
  terminal[Symbol.dispose]();
  expect(await isRunning("left")).toBe(true);
  using again = daemon.terminal({}, "attach", "left");
  again.write("echo two$((2))\n");
  await again.sees("two2\r\n");
  again.write("exit\n");
  expect(await again.exited).toBe(0);
  await daemon.ok("rm", "left");
});

test("--detach-keys, and what only looks like them", async () => {
  await daemon.ok("run", "-dit", "--name", "keys", "busybox", "sh", "-c", "stty raw -echo; cat -v");
  const terminal = daemon.terminal({}, "attach", "--detach-keys", "ctrl-a,x", "keys");
  await Bun.sleep(300);
  // cat prints whole lines
  terminal.write("\x01y\n");
  await terminal.sees("^Ay");
  terminal.write(`${CTRL_P}z\n`);
  await terminal.sees("^Pz");
  terminal.write("\x01x");
  await terminal.exited;
  terminal[Symbol.dispose]();
  expect(await isRunning("keys")).toBe(true);
  const bad = await daemon.docker("attach", "--detach-keys", "nosuch", "keys");
  expect(bad.exitCode).not.toBe(0);
  await daemon.ok("rm", "-f", "keys");
});

test("detach keys of the client's configuration", async () => {
  const config = join(daemon.dir, "keys-config");
  mkdirSync(config);
  writeFileSync(join(config, "config.json"), JSON.stringify({ detachKeys: "ctrl-x" }));
  const terminal = daemon.terminal({ env: { DOCKER_CONFIG: config } }, "run", "-it", "--name", "configured", "busybox", "sh");
  terminal.write("echo in$((1))\n");
  await terminal.sees("in1\r\n");
  terminal.write("\x18");
  await terminal.exited;
  terminal[Symbol.dispose]();
  expect(await isRunning("configured")).toBe(true);
  await daemon.ok("rm", "-f", "configured");
});

test("two clients see the same output", async () => {
  await daemon.ok("run", "-d", "-i", "--name", "shared", "busybox", "cat");
  const [one, two] = [daemon.spawn({}, "attach", "shared"), daemon.spawn({}, "attach", "shared")];
  await Bun.sleep(300);
  one.stdin.write("to both\n");
  for (const child of [one, two]) {
    expect(Buffer.from((await child.stdout.getReader().read()).value ?? []).toString()).toBe("to both\n");
  }
  await daemon.ok("rm", "-f", "shared");
  await Promise.all([one.exited, two.exited]);
});

test("a client that goes away harms nobody", async () => {
  await daemon.ok("run", "-d", "--name", "chatty", "busybox", "sh", "-c", "while :; do echo line; done");
  for (let i = 0; i < 3; i++) {
    const child = daemon.spawn({}, "attach", "--no-stdin", "chatty");
    await child.stdout.getReader().read();
    child.kill("SIGKILL");
    await child.exited;
  }
  expect(await isRunning("chatty")).toBe(true);
  await daemon.ok("rm", "-f", "chatty");
  expect(await daemon.residue()).toEqual([]);
});
