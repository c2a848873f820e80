import { afterAll, afterEach, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Daemon, until } from "../daemon.ts";

const root = mkdtempSync(join(tmpdir(), "dhow-plugin-"));
const drivers: { kill: () => void }[] = [];
for (const dir of ["run", "etc"]) mkdirSync(join(root, dir));

async function startDriver(name: string): Promise<void> {
  const command = [process.execPath, join(import.meta.dir, "testdata/driver.ts"), join(root, "run", `${name}.sock`), join(root, name)];
  mkdirSync(join(root, name), { recursive: true });
  const child = Bun.spawn(command, { stdout: "pipe", stderr: "inherit" });
  drivers.push(child);
  await child.stdout.getReader().read();
}
await Promise.all([startDriver("blue"), startDriver("slow")]);

const daemon = await Daemon.start({
  args: ["--plugin-socket-dir", join(root, "run"), "--plugin-dir", join(root, "etc"), "--plugin-timeout", "1500ms"],
});
afterAll(async () => {
  await daemon[Symbol.asyncDispose]();
  for (const driver of drivers) driver.kill();
  rmSync(root, { recursive: true, force: true });
});
afterEach(async () => {
  for (const kind of ["hang", "fail"])
    for (const method of ["Mount", "Get", "List", "Remove"]) rmSync(join(root, "slow", `${kind}-${method}`), { force: true });
  await daemon.removeContainers();
});

/** What a driver was asked since the last look. */
function calls(name: string): string[] {
  const file = join(root, name, "calls");
  const text = readFileSync(file, "utf8");
  writeFileSync(file, "");
  return text.split("\n").filter((line) => line !== "" && line !== "Plugin.Activate");
}
const failing = (method: string, how: "hang" | "fail" = "hang"): void => writeFileSync(join(root, "slow", `${how}-${method}`), "");

test("a plugin's volume is created, listed, inspected, used and removed", async () => {
  expect(await daemon.ok("volume", "create", "-d", "blue", "--label", "a=b", "-o", "x=y", "sea")).toBe("sea");
  expect(await daemon.ok("volume", "create", "-d", "blue", "sea")).toBe("sea");
  expect(await daemon.ok("volume", "ls", "--format", "{{.Driver}} {{.Name}}", "--filter", "driver=blue")).toBe("blue sea");
  const [shown] = JSON.parse(await daemon.ok("volume", "inspect", "sea")) as readonly object[];
  expect(shown).toEqual({
    CreatedAt: "2026-01-02T03:04:05Z",
    Driver: "blue",
    Labels: { a: "b" },
    Mountpoint: join(root, "blue/volumes/sea"),
    Name: "sea",
    Options: { x: "y" },
    Scope: "global",
    Status: { color: "blue" },
  });
  calls("blue");
  await daemon.ok("run", "--name", "one", "-v", "sea:/d", "-v", "sea:/e:ro", "busybox", "sh", "-c", "echo hi > /d/f; cat /e/f");
  const id = await daemon.ok("inspect", "-f", "{{.Id}}", "one");
  expect(readFileSync(join(root, "blue/volumes/sea/f"), "utf8")).toBe("hi\n");
  await until("it is unmounted", () => readFileSync(join(root, "blue/calls"), "utf8").includes(`Unmount sea ${id}`));
  // and not for its first content, as the image has no /d
  const asked = calls("blue").filter((line) => line.includes("ount "));
  expect(asked).toEqual([`Mount sea ${id}`, `Unmount sea ${id}`]);
  expect((await daemon.docker("volume", "rm", "sea")).stderr).toContain(`remove sea: volume is in use - [${id}]`);
  await daemon.ok("rm", "one");
  await daemon.ok("volume", "rm", "sea");
  expect(calls("blue").at(-1)).toBe("Remove sea");
  expect(await daemon.ok("info", "-f", "{{.Plugins.Volume}}")).toBe("[local blue slow]");
});

test("--volume-driver, --mount and an image's anonymous volume; what is removed with --rm", async () => {
  await daemon.ok("run", "--rm", "--volume-driver", "blue", "-v", "/anon", "-v", "kept:/k", "busybox", "sh", "-c", "touch /anon/f /k/f");
  await daemon.ok("run", "--rm", "--mount", "type=volume,src=kept,dst=/k,volume-driver=blue", "busybox", "test", "-f", "/k/f");
  expect(await daemon.ok("volume", "ls", "-q")).toBe("kept");
  await daemon.ok("volume", "rm", "kept");
});

test("a volume that is asked for twice at once is made once", async () => {
  calls("blue");
  const answers = await Promise.all([1, 2].map(() => daemon.api("POST", "/volumes/create", { Name: "reef", Driver: "blue" })));
  expect(answers.map(({ status }) => status)).toEqual([201, 201]);
  expect(calls("blue").filter((call) => call.startsWith("Create"))).toEqual(["Create reef"]);
  await daemon.ok("volume", "rm", "reef");
});

test("what a plugin refuses is said in its words", async () => {
  expect((await daemon.docker("volume", "create", "-d", "blue", "-o", "bad=1", "no")).stderr).toContain("create no: unknown option bad=1");
  await daemon.ok("volume", "create", "-d", "blue", "mine");
  expect((await daemon.docker("volume", "create", "-d", "local", "mine")).stderr).toContain("volume name must be unique");
  expect((await daemon.docker("volume", "create", "-d", "slow", "mine")).stderr).toContain("driver 'blue' already has volume 'mine'");
  await daemon.ok("volume", "rm", "mine");
});

test("a plugin that hangs fails with its deadline, and nothing else waits", async () => {
  await daemon.ok("volume", "create", "-d", "slow", "tide");
  failing("Mount");
  const started = daemon.docker("run", "--rm", "-v", "tide:/d", "busybox", "true");
  await until("it is asked to mount", () => readFileSync(join(root, "slow/calls"), "utf8").includes("Mount tide"));
  expect((await daemon.api("GET", "/containers/json?all=1")).status).toBe(200);
  expect(await daemon.ok("run", "--rm", "-v", "other:/d", "busybox", "echo", "meanwhile")).toBe("meanwhile");
  const { stderr, exitCode } = await started;
  expect(exitCode).toBe(125);
  expect(stderr).toContain('VolumeDriver.Mount: plugin "slow" did not answer within 3 s (--plugin-timeout)');
  failing("List");
  const { json } = await daemon.api<{ Volumes: { Name: string }[]; Warnings: string[] }>("GET", "/volumes");
  expect(json.Warnings).toEqual(['list slow: VolumeDriver.List: plugin "slow" did not answer within 1.5 s (--plugin-timeout)']);
  expect(json.Volumes.map(({ Name }) => Name)).toEqual(["other", "tide"]);
  rmSync(join(root, "slow/hang-Mount"));
  failing("Remove", "fail");
  expect((await daemon.docker("volume", "rm", "tide")).stderr).toContain("remove tide: VolumeDriver.Remove: Remove is out of order");
  await daemon.ok("volume", "rm", "-f", "tide");
});

test("mounts are counted over a daemon that is killed: who runs keeps its own, who is gone gives its back", async () => {
  await daemon.ok("volume", "create", "-d", "blue", "bay");
  await daemon.ok("volume", "create", "-d", "slow", "cove");
  const stays = await daemon.ok("run", "-d", "-v", "bay:/d", "busybox", "sleep", "1000");
  failing("Mount");
  calls("slow");
  const lost = daemon.docker("run", "--rm", "-v", "cove:/d", "busybox", "true");
  await until("it is asked to mount", () => readFileSync(join(root, "slow/calls"), "utf8").includes("Mount cove"));
  calls("blue");
  await daemon.kill9();
  await lost;
  rmSync(join(root, "slow/hang-Mount"));
  await daemon.restart();
  await until("the lost mount is given back", () => readFileSync(join(root, "slow/calls"), "utf8").includes("Unmount cove"));
  expect(calls("blue").filter((line) => line.includes("ount "))).toEqual([]);
  await daemon.ok("rm", "-f", stays);
  await until("it is unmounted", () => readFileSync(join(root, "blue/calls"), "utf8").includes(`Unmount bay ${stays}`));
  await daemon.ok("volume", "rm", "bay");
  await daemon.docker("rm", "-f", ...(await daemon.ok("ps", "-aq")).split("\n").filter(Boolean));
  await daemon.ok("volume", "rm", "cove");
});
