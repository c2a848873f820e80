/** Containers with a file system of the host that does not answer, and others beside them. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Daemon, until } from "../daemon.ts";

const TAR = { "Content-Type": "application/x-tar" };
const CAN_HANG = existsSync("/dev/fuse");
const daemon = await Daemon.start({ args: ["--userns-pool", "3000000000:65536"] });
const local = join(daemon.dir, "local");
const bound = join(daemon.dir, "bound");
const hanging = join(daemon.dir, "hanging");
let server: Bun.Subprocess<"ignore", "pipe", "inherit"> | undefined;

/** Also one that its new parent has not reaped yet: where the first process is none that does, never. */
function hasEnded(pid: string): boolean {
  try {
    return /^State:\tZ/m.test(readFileSync(`/proc/${pid}/status`, "utf8"));
  } catch {
    return true;
  }
}

const helpers = (): string[] => daemon.children("internal-files");
/** Waits until a child of the daemon waits for the file system. */
async function untilStuck(word: string): Promise<void> {
  const [pid = ""] = await until("a child of the daemon", () => (daemon.children(word).length > 0 ? daemon.children(word) : undefined));
  await until("it waits", () => readFileSync(`/proc/${pid}/wchan`, "utf8").includes("fuse"));
}

beforeAll(async () => {
  for (const dir of [local, bound, hanging]) mkdirSync(dir);
  if (!CAN_HANG) return;
  // in the daemon's mount namespace only: nobody else is to meet it
  const command = ["nsenter", "-t", String(daemon.pid), "-m", process.execPath, join(import.meta.dir, "hanging-fuse.ts"), hanging];
  server = Bun.spawn(command, { stdin: "ignore", stdout: "pipe", stderr: "inherit" });
  expect(new TextDecoder().decode((await server.stdout.getReader().read()).value)).toBe("mounted\n");
});

afterAll(async () => {
  server?.kill("SIGKILL");
  await server?.exited;
  await daemon[Symbol.asyncDispose]();
});

describe.skipIf(!CAN_HANG)("beside a file system that hangs", () => {
  test("files go in and out of binds and of everything else", async () => {
    const content = new Uint8Array(3_000_000).map((_, i) => (i * i) % 251);
    writeFileSync(join(local, "big"), content);
    writeFileSync(join(local, "file"), "here\n");
    await daemon.ok("create", "--name", "near", "-u", "33:34", "-v", `${bound}:/bound`, "-v", "named:/named", "busybox", "true");
    await daemon.ok("cp", join(local, "big"), "near:/bound/big");
    await daemon.ok("cp", join(local, "file"), "near:/named/file");
    await daemon.ok("cp", "-a", join(local, "file"), "near:/own");
    expect(readFileSync(join(bound, "big")).equals(content)).toBe(true);
    for (const path of ["bound/big", "named/file", "own"]) await daemon.ok("cp", `near:/${path}`, join(local, "back"));
    expect(readFileSync(join(local, "back"), "utf8")).toBe("here\n");
    await daemon.ok("cp", "near:/bound", local);
    expect(readFileSync(join(local, "bound/big")).equals(content)).toBe(true);
    expect(helpers()).toEqual([]);
  });

  test("what goes wrong is told in docker's words", async () => {
    const fault = async (...args: readonly string[]): Promise<string> => (await daemon.docker("cp", ...args)).stderr;
    // docker's older command line has words of its own
    expect(await fault("near:/bound/none", local)).toMatch(
      /Could not find the file \/bound\/none in container near|No such container:path: near:\/bound\/none/,
    );
    const { status, text } = await daemon.api("PUT", "/containers/near/archive?path=/bound/big", new Uint8Array(1024), TAR);
    expect([status, text]).toEqual([400, '{"message":"extraction point is not a directory"}\n']);
    const broken = await daemon.api("PUT", "/containers/near/archive?path=/bound", new Uint8Array(100).fill(7), TAR);
    expect([broken.status, broken.text]).toEqual([500, '{"message":"unexpected EOF"}\n']);
    expect(helpers()).toEqual([]);
  });

  test("files are told and taken in the ids of a user namespace", async () => {
    await daemon.ok(
      "run",
      "-d",
      "--name",
      "mapped",
      "--label",
      "dhow.userns=auto",
      "-v",
      "mapped:/vol",
      "-v",
      `${bound}:/bound`,
      "busybox",
      "sleep",
      "1000",
    );
    await daemon.ok("cp", join(local, "file"), "mapped:/vol/file");
    expect(await daemon.ok("exec", "mapped", "stat", "-c", "%u:%g", "/vol/file")).toBe("0:0");
    await daemon.ok("rm", "-f", "mapped");
  });

  test.each([
    ["looks", ["cp", "stuck:/hanging/x", local]],
    ["goes in", ["cp", join(local, "file"), "stuck:/hanging/x"]],
    ["asks for something else", ["cp", "stuck:/etc/passwd", local]],
  ])("who %s waits, and nobody else does; who goes away leaves nothing", async (_, args) => {
    if ((await daemon.ok("ps", "-aq", "--filter", "name=stuck")) === "") {
      await daemon.ok("create", "--name", "stuck", "-v", `${hanging}:/hanging`, "busybox", "true");
    }
    const waiting = daemon.spawn({}, ...args);
    await untilStuck("internal-files");
    expect(await daemon.ok("run", "--rm", "busybox", "echo", "goes on")).toBe("goes on");
    expect(await daemon.ok("inspect", "-f", "{{.State.Status}}", "stuck")).toBe("created");
    expect(waiting.exitCode).toBeNull();
    waiting.kill("SIGKILL");
    await until("the helper is gone", () => helpers().length === 0);
    expect(daemon.log).not.toContain("aborted");
  });

  test("a start waits until it is given up", async () => {
    await daemon.ok("create", "--name", "never", "-v", `${hanging}:/hanging`, "busybox", "true");
    const waiting = daemon.spawn({}, "start", "never");
    await untilStuck(hanging);
    expect(await daemon.ok("run", "--rm", "busybox", "echo", "goes on")).toBe("goes on");
    expect(waiting.exitCode).toBeNull();
    await daemon.ok("rm", "-f", "never");
    expect(await waiting.exited).toBe(1);
    expect(await new Response(waiting.stderr).text()).toContain("was removed while it started");
    await until("nobody looks any more", () => daemon.children(hanging).length === 0);
  });

  test("a create that has to look waits, and nobody else does", async () => {
    const waiting = daemon.spawn({}, "create", "--name", "looked", "--mount", `type=bind,src=${hanging},dst=/hanging`, "busybox", "true");
    await untilStuck(hanging);
    expect(await daemon.ok("ps", "-aq", "--filter", "name=looked")).toBe("");
    waiting.kill("SIGKILL");
  });

  test("a daemon that is killed takes its helper along", async () => {
    const waiting = daemon.spawn({}, "cp", "stuck:/hanging/x", local);
    const [pid = ""] = await until("the helper", () => (helpers().length > 0 ? helpers() : undefined));
    await daemon.kill9();
    await waiting.exited;
    await until("the helper is gone", () => hasEnded(pid));
    server?.kill("SIGKILL");
    await server?.exited;
    await daemon.launch();
    await daemon.ok("rm", "stuck", "near");
  });
});
