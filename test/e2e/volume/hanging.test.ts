/** Volumes with a file system in them that does not answer: who asks for their files waits, and nobody else does. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, mkdirSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { Daemon, dockerCliMajor, until } from "../daemon.ts";
import { LAUNCHER, volumeCommands } from "./commands.ts";

const CAN_HANG = existsSync("/dev/fuse");
const daemon = await Daemon.start();
const { dhow, ok, sh } = volumeCommands(daemon);
const hanging = join(daemon.dir, "hanging");
const inVolume = join(daemon.dataRoot, "volumes/mixed/_data/hanging");
const servers: Bun.Subprocess<"ignore", "pipe", "inherit">[] = [];

async function untilStuck(word: string): Promise<void> {
  await until("a child of the daemon waits", () =>
    daemon.children(word).some((pid) => {
      try {
        return readFileSync(`/proc/${pid}/wchan`, "utf8").includes("fuse");
      } catch {
        return false;
      }
    }),
  );
}

/** Mounts a file system that never answers, in the daemon's mount namespace only: nobody else is to meet it. */
async function mountHanging(path: string): Promise<void> {
  const fuse = join(import.meta.dir, "../container/hanging-fuse.ts");
  const command = ["nsenter", "-t", String(daemon.pid), "-m", process.execPath, fuse, path];
  const server = Bun.spawn(command, { stdin: "ignore", stdout: "pipe", stderr: "inherit" });
  servers.push(server);
  expect(new TextDecoder().decode((await server.stdout.getReader().read()).value)).toBe("mounted\n");
}

beforeAll(async () => {
  if (!CAN_HANG) return;
  await sh("mixed", "echo hi > /v/f; mkdir /v/hanging");
  await sh("near", "echo near > /v/f");
  mkdirSync(hanging);
  await mountHanging(hanging);
  await mountHanging(inVolume);
  await daemon.ok("volume", "create", "-o", "type=none", "-o", "o=bind", "-o", `device=${hanging}/x`, "far");
});

afterAll(async () => {
  for (const server of servers) server.kill("SIGKILL");
  for (const server of servers) await server.exited;
  await daemon[Symbol.asyncDispose]();
});

describe.skipIf(!CAN_HANG)("beside a file system that hangs", () => {
  const all = dockerCliMajor < 23 ? [] : ["-a"];

  test.each([
    ["clone", "internal-volume-files", () => daemon.spawn({ cli: LAUNCHER }, "volume", "clone", "mixed", "copy")],
    ["snapshot", "internal-volume-files", () => daemon.spawn({ cli: LAUNCHER }, "volume", "snapshot", "mixed", "kept")],
    ["export", "internal-volume-files", () => daemon.spawn({ cli: LAUNCHER }, "volume", "export", "-o", `${daemon.dir}/tar`, "mixed")],
    ["df", "internal-volume-files", () => daemon.spawn({}, "system", "df", "-v")],
    ["prune", "internal-volume-files", () => daemon.spawn({}, "volume", "prune", "-f", ...all)],
    ["create", "mount-helper", () => daemon.spawn({}, "create", "--name", "far", "-v", "far:/etc", "busybox", "true")],
    ["run --rm", "mount-helper", () => daemon.spawn({}, "run", "--rm", "-v", "far:/v:nocopy", "busybox", "true")],
  ])("%s waits, and nobody else does; who goes away leaves nothing", async (_, helper, begin) => {
    const waiting = begin();
    await untilStuck(helper);
    expect(await daemon.ok("ps", "-q")).toBe("");
    expect(await sh("near", "cat /v/f")).toBe("near");
    expect(waiting.exitCode).toBeNull();
    waiting.kill("SIGKILL");
    await waiting.exited;
    await until("the helper is gone", () => daemon.children(helper).length === 0);
    expect(
      readdirSync(join(daemon.dataRoot, "volumes"))
        .filter((name) => !name.startsWith("."))
        .sort(),
    ).toEqual(["far", "mixed", "near"]);
    await until("no container is left", async () => (await daemon.ok("ps", "-aq")) === "");
    await until("the draft is gone", () => readdirSync(join(daemon.dataRoot, "volumes/.making")).length === 0);
  });

  test("df answers all the same: nobody knows that volume's size", async () => {
    const rows = (await daemon.ok("system", "df", "-v", "--format", "{{range .Volumes}}{{.Name}} {{.Size}} {{.Links}}\n{{end}}")).trim();
    expect(rows.split("\n").sort()).toEqual(["mixed -1B 0", "near 5B 0"]);
  });

  test("a container whose volume is still being mounted can be removed", async () => {
    const another = join(daemon.dir, "another");
    mkdirSync(another);
    await mountHanging(another);
    await daemon.ok("volume", "create", "-o", "type=none", "-o", "o=bind", "-o", `device=${another}/x`, "away");
    const others = daemon.children("mount-helper").length;
    const starting = daemon.spawn({}, "run", "-d", "--name", "waits", "-v", "away:/v:nocopy", "busybox", "true");
    await until("its volume is being mounted", () => daemon.children("mount-helper").length > others);
    const second = daemon.spawn({}, "run", "-d", "--name", "queues", "-v", "away:/v:nocopy", "busybox", "true");
    await until("both are there", async () => (await daemon.ok("ps", "-aq")).split("\n").length === 2);
    await daemon.ok("rm", "-f", "queues", "waits");
    await Promise.all([starting.exited, second.exited]);
    expect([starting.exitCode, second.exitCode]).not.toContain(0);
    await until("the helper is gone", () => daemon.children("mount-helper").length === others);
    await daemon.ok("volume", "rm", "away");
  });

  test("who goes away while a start waits leaves a container that can be started again; others wait on", async () => {
    const name = join(daemon.dir, "third");
    mkdirSync(name);
    await mountHanging(name);
    await daemon.ok("volume", "create", "-o", "type=none", "-o", "o=bind", "-o", `device=${name}/x`, "third");
    await daemon.ok("create", "--name", "kept", "-v", "third:/v:nocopy", "busybox", "true");
    const others = daemon.children("mount-helper").length;
    const first = daemon.spawn({}, "start", "kept");
    await until("its volume is being mounted", () => daemon.children("mount-helper").length > others);
    const second = daemon.spawn({}, "run", "-d", "--name", "second", "-v", "third:/v:nocopy", "busybox", "true");
    await until("the second one waits", async () => (await daemon.ok("ps", "-aq")).split("\n").length === 2);
    first.kill("SIGKILL");
    const state = async () => daemon.ok("inspect", "-f", "{{.State.Status}} {{.State.ExitCode}} {{.State.Error}}", "kept");
    const left = "created 128 who asked for the start went away while a mount was waited for";
    await until("the start has ended", async () => (await state()) === left);
    expect(second.exitCode).toBeNull();
    await until("the second one's turn", () => daemon.children("mount-helper").length > others);
    await daemon.ok("rm", "-f", "kept", "second");
    await second.exited;
    await until("the helper is gone", () => daemon.children("mount-helper").length === others);
    await daemon.ok("volume", "rm", "third");
  });

  test("what doesn't hang is done as elsewhere", async () => {
    await ok("export", "-o", join(daemon.dir, "near.tar"), "near");
    await ok("import", "again", join(daemon.dir, "near.tar"));
    await ok("clone", "near", "twin");
    expect(await sh("again", "cat /v/f")).toBe("near");
    expect(await sh("twin", "cat /v/f")).toBe("near");
    expect((await dhow("export", "nosuch")).stderr).toContain("get nosuch: no such volume");
    await daemon.ok("volume", "rm", "again", "twin");
  });

  test("a removal does not wait, and takes nothing of what is mounted in the volume", async () => {
    await daemon.ok("volume", "rm", "mixed");
    await until("its content is gone", () => readdirSync(join(daemon.dataRoot, "volumes/.removing")).length === 0);
    expect(await sh("near", "cat /v/f")).toBe("near");
  });
});
