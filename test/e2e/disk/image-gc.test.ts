/** A disk that gets full: the images that were used least recently go by themselves, others stay. */
import { afterAll, beforeAll, beforeEach, expect, test } from "bun:test";
import { mkdirSync, rmSync, statfsSync } from "node:fs";
import { join } from "node:path";
import type { ImageGcReport, KeptImage } from "../../../src/spec/engine/mod.ts";
import { imageArchive, tar } from "../archive.ts";
import { busyboxArchive, Daemon, until } from "../daemon.ts";

const SIZE_MIB = 64;
const MIB = 1 << 20;
const ARGS = ["--image-gc-high", "60%", "--image-gc-low", "40%", "--image-gc-min-age", "0s"];

let daemon: Daemon;
let disk: string;

beforeAll(async () => {
  daemon = await Daemon.start({ args: ARGS });
  await daemon.stop();
  disk = daemon.dataRoot;
  rmSync(disk, { recursive: true, force: true });
  mkdirSync(disk);
  const made = Bun.spawnSync(["mount", "-t", "tmpfs", "-o", `size=${SIZE_MIB}m`, "dhow-e2e", disk]);
  if (made.exitCode !== 0) throw new Error(made.stderr.toString());
  await daemon.launch();
}, 120_000);

beforeEach(async () => {
  await daemon.removeContainers();
  for (const id of (await daemon.ok("images", "-aq")).split("\n").filter(Boolean)) await daemon.docker("rmi", "-f", id);
  await until("the room is free again", () => usedPercent() < 20);
});

afterAll(async () => {
  await daemon?.removeContainers().catch(() => undefined);
  await daemon?.stop();
  if (disk) Bun.spawnSync(["umount", "-l", disk]);
  await daemon?.[Symbol.asyncDispose]();
});

function usedPercent(): number {
  const { blocks, bavail } = statfsSync(disk);
  return 100 - (bavail * 100) / blocks;
}

/** Loads an image with one file of so many MiB. Returns what the stream says last. */
async function load(name: string, mib: number): Promise<string> {
  const data = new Uint8Array(mib * MIB).fill(name.charCodeAt(0));
  const archive = imageArchive({ name, layers: [tar([{ name, data }])] });
  const { text } = await daemon.api("POST", "/images/load?quiet=1", archive, { "Content-Type": "application/x-tar" });
  return text;
}

const names = async (): Promise<string[]> => (await daemon.ok("images", "--format", "{{.Repository}}")).split("\n").filter(Boolean).sort();

function dhow(...args: string[]): string {
  const { stdout, stderr, exitCode } = Bun.spawnSync([
    process.execPath,
    join(import.meta.dir, "../../../src/main.ts"),
    "-H",
    daemon.host,
    ...args,
  ]);
  if (exitCode !== 0) throw new Error(stderr.toString());
  return stdout.toString();
}

test("above the high watermark the least recently used images go, until below the low one", async () => {
  await daemon.ok("load", "-q", "-i", await busyboxArchive());
  await daemon.ok("run", "-d", "--name", "runs", "busybox", "sleep", "1000");
  await load("pinned", 4);
  dhow("image", "pin", "pinned");
  for (const name of ["a", "b", "c", "d"]) await load(name, 6);
  expect(usedPercent()).toBeLessThan(60);
  expect(await names()).toEqual(["a", "b", "busybox", "c", "d", "pinned"]);
  await load("e", 6);
  await until("images were collected", () => daemon.log.includes("removed images to free the disk"));
  await until("it is below the low watermark", () => usedPercent() < 40);
  const left = await names();
  expect(left).toContain("busybox");
  expect(left).toContain("pinned");
  // the oldest have gone, and not more than needed
  expect(left).not.toContain("a");
  expect(left).toContain("e");
  const sizes = left.filter((name) => name.length === 1).length;
  expect(usedPercent() + (6 * 100) / SIZE_MIB).toBeGreaterThanOrEqual(40);
  expect(sizes).toBeGreaterThan(0);
  const events = await daemon.ok(
    "events",
    "--since",
    "1",
    "--until",
    String(Math.ceil(Date.now() / 1000) + 1),
    "--filter",
    "type=image",
    "--filter",
    "event=delete",
  );
  expect(events).toContain("image delete sha256:");
  expect(await daemon.ok("exec", "runs", "echo", "fine")).toBe("fine");
});

test("what keeps an image is said, and pins and uses survive a kill", async () => {
  await daemon.ok("load", "-q", "-i", await busyboxArchive());
  await load("pinned", 1);
  await daemon.ok("create", "--name", "waits", "busybox");
  dhow("image", "pin", "pinned");
  await daemon.kill9();
  await daemon.launch();
  const { json } = await daemon.api<KeptImage>("GET", "/images/pinned/why-kept");
  expect(json).toMatchObject({ Names: ["pinned:latest"], Pinned: true, Keepers: [{ Kind: "pin", Text: "it is pinned" }] });
  expect(Date.parse(json.LastUsed)).toBeGreaterThan(Date.now() - 600_000);
  expect(dhow("image", "why-kept", "busybox")).toContain("\n  the stopped container waits was made from it\n");
  dhow("image", "unpin", "pinned");
  expect(dhow("image", "why-kept", "pinned")).toContain("\n  nothing keeps it\n");
  dhow("image", "pin", "pinned");
  await daemon.ok("image", "prune", "-af");
  expect(await names()).toEqual(["busybox", "pinned"]);
  await daemon.ok("rmi", "pinned");
});

test("by hand: a dry run removes nothing, --until-free as much as asked for", async () => {
  for (const name of ["a", "b", "c"]) await load(name, 4);
  const { bavail, bsize } = statfsSync(disk);
  const wanted = bavail * bsize + 5 * MIB;
  const dry = JSON.parse(dhow("image", "gc", "--dry-run", "--until-free", String(wanted), "--format", "json")) as ImageGcReport;
  expect(dry.Images.map(({ Names }) => Names[0])).toEqual(["a:latest", "b:latest"]);
  expect(dry.SpaceReclaimed).toBe(8 * MIB);
  expect(await names()).toEqual(["a", "b", "c"]);
  const text = dhow("image", "gc", "--until-free", String(wanted));
  expect(text).toMatch(/^IMAGE +IMAGE ID +LAST USED +FREED\na:latest .*4\.194MB\nb:latest .*4\.194MB\n\nFreed 8\.389MB of /);
  expect(statfsSync(disk).bavail * bsize).toBeGreaterThanOrEqual(wanted);
  expect(await names()).toEqual(["c"]);
  expect(dhow("image", "gc")).toStartWith("There is enough room");
});

test("a load for which there was no room makes room for the next one", async () => {
  for (const name of ["a", "b", "c"]) await load(name, 9);
  expect(await load("f", 40)).toMatch(/no space left on device/i);
  await until("it is below the low watermark", () => usedPercent() < 40);
  expect(await load("f", 32)).not.toMatch(/error/);
});

test("a daemon that is killed while it collects leaves nothing half removed", async () => {
  for (let i = 0; i < 12; i++) await load(`i${i}`, 1);
  const { bavail, bsize } = statfsSync(disk);
  const collecting = daemon.api("POST", `/images/gc?until-free=${bavail * bsize + 10 * MIB}`).catch(() => undefined);
  await until("it has begun", async () => (await names()).length < 12);
  await daemon.kill9();
  await collecting;
  await daemon.launch();
  const { json } = await daemon.api<{ Found: number }>("GET", "/system/check?deep=1");
  expect(json).toMatchObject({ Found: 0 });
});
