/** `dhow why`, on containers that ended in the ways that it explains. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { join } from "node:path";
import type { Explanation } from "../../../src/spec/engine/mod.ts";
import { imageArchive, tar } from "../archive.ts";
import { Daemon, until } from "../daemon.ts";

const MAIN = join(import.meta.dir, "../../../src/main.ts");

let daemon: Daemon;

/** An ELF header of a program for another processor. */
function foreignProgram(): Uint8Array {
  const bytes = new Uint8Array(128);
  bytes.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]);
  const view = new DataView(bytes.buffer);
  view.setUint16(16, 2, true);
  view.setUint16(18, process.arch === "arm64" ? 62 : 183, true);
  view.setUint32(20, 1, true);
  return bytes;
}

beforeAll(async () => {
  daemon = await Daemon.start();
  const layer = tar([
    { name: "script", mode: 0o755, data: "#!/no/such/interpreter\n" },
    { name: "windows", mode: 0o755, data: "#!/bin/sh\r\necho hello\r\n" },
    { name: "plain", mode: 0o644, data: "#!/bin/sh\n" },
    { name: "foreign", mode: 0o755, data: foreignProgram() },
    { name: "directory", type: "directory", mode: 0o755 },
    { name: "outside", type: "symlink", linkName: "../../../../../../../../etc/passwd", mode: 0o777 },
  ]);
  await daemon.api("POST", "/images/load?quiet=1", imageArchive({ name: "programs", layers: [layer] }), {
    "Content-Type": "application/x-tar",
  });
}, 120_000);

afterAll(() => daemon?.[Symbol.asyncDispose]());

async function why(name: string): Promise<Explanation> {
  const { status, json } = await daemon.api<Explanation>("GET", `/containers/${name}/why`);
  expect(status).toBe(200);
  return json;
}

const cause = async (name: string): Promise<string | undefined> => (await why(name)).Findings[0]?.Cause;

test("programs that can't be started", async () => {
  const cases = [
    ["missing", "busybox", ["nothing-such"], "not-found", "no program"],
    ["interpreter", "programs", ["/script"], "interpreter", "/no/such/interpreter"],
    ["windows", "programs", ["/windows"], "interpreter", "carriage return"],
    ["denied", "programs", ["/plain"], "not-executable", "not executable"],
    ["directory", "programs", ["/directory"], "not-executable", "is a directory"],
    ["foreign", "programs", ["/foreign"], "architecture", "this machine is"],
    ["outside", "programs", ["/outside"], "not-found", "no program"],
  ] as const;
  for (const [name, image, command, expected, text] of cases) {
    await daemon.docker("run", "--name", name, image, ...command);
    const found = (await why(name)).Findings[0];
    expect({ name, cause: found?.Cause, text: found?.Text }).toEqual({ name, cause: expected, text: expect.stringContaining(text) });
  }
});

test("out of memory, with the cgroup's numbers", async () => {
  const hungry = "x=aaaaaaaaaaaaaaaa; while :; do x=$x$x; done";
  await daemon.docker("run", "--name", "hungry", "-m", "16m", "--memory-swap", "16m", "busybox", "sh", "-c", hungry);
  const { Findings, ExitCode } = await why("hungry");
  expect({ ExitCode, cause: Findings[0]?.Cause }).toEqual({ ExitCode: 137, cause: "out-of-memory" });
  expect(Findings[0]?.Evidence).toContain("limit: 16MiB");
  expect(Findings[0]?.Evidence[0]).toMatch(/^in use when the kernel killed: \d.*MiB/);
});

test("signals: asked for, and from elsewhere; also by the next daemon", async () => {
  for (const name of ["stopped", "killed", "shot"]) await daemon.ok("run", "-d", "--name", name, "busybox", "sleep", "1000");
  await daemon.ok("stop", "-t", "0", "stopped");
  await daemon.ok("kill", "killed");
  process.kill((await daemon.inspect<{ State: { Pid: number } }>("shot")).State.Pid, "SIGKILL");
  await until("it has ended", async () => (await daemon.ok("inspect", "-f", "{{.State.Status}}", "shot")) === "exited");
  await daemon.restart();
  const text = async (name: string): Promise<string | undefined> => (await why(name)).Findings[0]?.Text;
  expect(await text("stopped")).toBe("It ended by SIGKILL, which came from a request to stop it (docker stop).");
  expect(await text("killed")).toBe("It ended by SIGKILL, which came from a request to kill it (docker kill).");
  expect(await text("shot")).toContain("no client of this engine sent it");
});

test("ports, logs, health, and nothing special", async () => {
  await daemon.ok("run", "-d", "--name", "first", "-p", "127.0.0.1:0:80", "busybox", "sleep", "1000");
  const port = (await daemon.ok("port", "first", "80/tcp")).split(":")[1];
  await daemon.docker("run", "-d", "--name", "second", "-p", `127.0.0.1:${port}:80`, "busybox", "true");
  expect((await why("second")).Findings[0]).toMatchObject({ Cause: "port", Text: expect.stringContaining("The container first has it") });
  const server = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } });
  await daemon.docker("run", "-d", "--name", "third", "-p", `127.0.0.1:${server.port}:80`, "busybox", "true");
  expect((await why("third")).Findings[0]?.Text).toContain(`Process ${process.pid} (`);
  server.stop();
  await daemon.docker("run", "--name", "files", "busybox", "sh", "-c", "echo 'accept: Too many open files' >&2; exit 1");
  expect(await cause("files")).toBe("descriptors");
  await daemon.docker("run", "--name", "shell", "busybox", "sh", "-c", "no-such-command");
  expect(await cause("shell")).toBe("not-found");
  await daemon.ok("run", "--name", "fine", "busybox", "true");
  expect(await cause("fine")).toBe("ended");
  const check = ["--health-cmd", "echo refused; false", "--health-interval", "50ms", "--health-retries", "1"];
  await daemon.ok("run", "-d", "--name", "ill", ...check, "busybox", "sleep", "1000");
  await until("it is ill", async () => (await cause("ill")) === "health");
});

test("dhow why prints it for people, and as JSON", async () => {
  const dhow = (...args: readonly string[]) =>
    Bun.spawnSync([process.execPath, "--no-env-file", "--config=/dev/null", MAIN, "-H", daemon.host, ...args]);
  await daemon.docker("run", "--name", "printed", "busybox", "sh", "-c", "echo no luck; exit 3");
  const { stdout } = dhow("why", "printed");
  expect(stdout.toString()).toMatch(
    /^printed: exited \(exit code 3\)\n {2}Its program ended by itself with exit code 3, after [^\n]*\n {4}\| no luck\n$/,
  );
  expect(dhow("why", "-f", "{{.ExitCode}}", "printed").stdout.toString()).toBe("3\n");
  const missing = dhow("why", "nobody");
  expect({ code: missing.exitCode, said: missing.stderr.toString() }).toEqual({
    code: 1,
    said: "Error response from daemon: No such container: nobody\n",
  });
});
