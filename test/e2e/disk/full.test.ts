/** A full disk: a clear error, no damage, and deleting still works. */
import { Database } from "bun:sqlite";
import { afterAll, beforeAll, expect, test } from "bun:test";
import { closeSync, mkdirSync, openSync, readdirSync, rmSync, statfsSync, writeSync } from "node:fs";
import { join } from "node:path";
import { imageArchive, tar } from "../archive.ts";
import { Daemon, until } from "../daemon.ts";

const SIZE_MIB = 48;
const NO_SPACE = /no space left on device/i;

let daemon: Daemon;
let disk: string;

beforeAll(async () => {
  daemon = await Daemon.start();
  await daemon.stop();
  // the data root of the next one, on a small file system of its own
  disk = daemon.dataRoot;
  rmSync(disk, { recursive: true, force: true });
  mkdirSync(disk);
  const made = Bun.spawnSync(["mount", "-t", "tmpfs", "-o", `size=${SIZE_MIB}m`, "dhow-e2e", disk]);
  if (made.exitCode !== 0) throw new Error(made.stderr.toString());
  await daemon.launch();
  const layer = tar([{ name: "data", data: "small" }]);
  expect((await load("small", layer)).error).toBe("");
  const busybox = join(import.meta.dir, "../../../.dhow/test-images/busybox.tar");
  await daemon.ok("load", "-q", "-i", busybox);
}, 120_000);

afterAll(async () => {
  await daemon?.removeContainers().catch(() => undefined);
  await daemon?.stop();
  if (disk) Bun.spawnSync(["umount", "-l", disk]);
  await daemon?.[Symbol.asyncDispose]();
});

async function load(name: string, layer: Uint8Array): Promise<{ readonly error: string }> {
  const { text } = await daemon.api("POST", "/images/load?quiet=1", imageArchive({ name, layers: [layer] }), {
    "Content-Type": "application/x-tar",
  });
  const last = JSON.parse(text.trim().split("\n").at(-1) ?? "{}") as { readonly error?: string; readonly message?: string };
  return { error: last.error ?? last.message ?? "" };
}

const ballast = (): string => join(disk, "ballast");

/** Fills the disk but for `spare` bytes. */
function fill(spare = 0): void {
  const file = openSync(ballast(), "a");
  try {
    const block = new Uint8Array(4096);
    for (;;) {
      const { bavail, bsize } = statfsSync(disk);
      if (bavail * bsize <= spare) return;
      writeSync(file, block);
    }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOSPC") throw error;
  } finally {
    closeSync(file);
  }
}

function empty(): void {
  rmSync(ballast(), { force: true });
}

/** Other daemons of this machine see the disk, too: their mount namespaces are copies of the one it is in. */
async function residue(): Promise<readonly string[]> {
  return (await daemon.residue()).filter((line) => line.includes(`${daemon.dir}/`));
}

async function isSound(): Promise<void> {
  using db = new Database(join(disk, "db.sqlite"), { readonly: true });
  expect(db.query<{ integrity_check: string }, []>("PRAGMA integrity_check").all()).toEqual([{ integrity_check: "ok" }]);
  for (const name of ["snapshots/drafts", "snapshots/trash", "content/ingest", "tmp"]) {
    await until(`${name} is empty`, () => readdirSync(join(disk, name)).length === 0);
  }
  expect(await daemon.ok("run", "--rm", "busybox", "echo", "hello")).toBe("hello");
}

test("an image that does not fit is refused, and what was unpacked of it is gone", async () => {
  const { bavail, bsize } = statfsSync(disk);
  const { error } = await load("large", tar([{ name: "large", data: new Uint8Array(bavail * bsize).fill(1) }]));
  expect(error).toMatch(NO_SPACE);
  expect(error).toContain('"large"');
  expect(await daemon.ok("images", "-q", "large")).toBe("");
  await until("the room is free again", () => statfsSync(disk).bavail * 1.05 > bavail);
  await isSound();
});

test("import, create, start, tag and volumes fail with a clear error; deleting works; afterwards all is right", async () => {
  await daemon.ok("create", "--name", "before", "busybox", "echo", "before");
  await daemon.ok("run", "-d", "--name", "runs", "busybox", "sleep", "1000");
  await daemon.ok("volume", "create", "volume");
  fill();
  const failures: string[] = [];
  const attempts: readonly (readonly string[])[] = [
    ["create", "--name", "during", "-l", `filler=${"x".repeat(100_000)}`, "busybox", "true"],
    ["run", "--rm", "-v", "/anonymous", "-e", `FILLER=${"x".repeat(100_000)}`, "busybox", "true"],
    ["volume", "create", "--label", `filler=${"x".repeat(100_000)}`, "another"],
  ];
  for (const attempt of attempts) {
    const { exitCode, stderr } = await daemon.docker(...attempt);
    if (exitCode !== 0) failures.push(stderr);
  }
  for (const failure of failures) expect(failure).toMatch(/no space left on device|database or disk is full/i);
  expect(failures.length).toBeGreaterThan(0);
  expect((await load("large", tar([{ name: "large", data: new Uint8Array(1_000_000).fill(1) }]))).error).toMatch(
    /no space left on device|database or disk is full/i,
  );
  // what runs goes on and is seen
  expect(await daemon.ok("ps", "--format", "{{.Names}}")).toBe("runs");
  expect((await daemon.docker("inspect", "before")).exitCode).toBe(0);
  await daemon.ok("rm", "-f", "runs");
  await daemon.ok("rm", "before");
  await daemon.ok("volume", "rm", "volume");
  await daemon.ok("rmi", "small");
  // room is kept for the metadata, and what needs no more may succeed
  await daemon.docker("rm", "-f", "during");
  expect(await daemon.ok("ps", "-aq")).toBe("");
  empty();
  await daemon.docker("volume", "prune", "-af");
  expect(await residue()).toEqual([]);
  await isSound();
});

test("a container that fills the disk is told so and ends as usual; its log breaks off at most", async () => {
  const script =
    "dd if=/dev/zero of=/big bs=64k 2>/dev/null; echo full $?; i=0; while [ $i -lt 20000 ]; do echo line $i; i=$((i+1)); done; exit 3";
  await daemon.ok("run", "-d", "--name", "fills", "busybox", "sh", "-c", script);
  expect(await daemon.ok("wait", "fills")).toBe("3");
  const lines = (await daemon.ok("logs", "fills")).split("\n");
  expect(lines.length).toBeLessThanOrEqual(20_001);
  await daemon.ok("rm", "fills");
  await isSound();
});

test("a log that finds no room loses lines, and goes on when there is room again", async () => {
  const script = "i=0; while :; do echo $i; i=$((i+1)); [ $((i % 100)) = 0 ] && sleep 0.02; done";
  await daemon.ok("run", "-d", "--name", "writes", "busybox", "sh", "-c", script);
  fill();
  await Bun.sleep(1500);
  expect((await daemon.docker("ps")).exitCode).toBe(0);
  empty();
  const last = async (): Promise<number> => Number(await daemon.ok("logs", "--tail", "1", "writes"));
  const before = await last();
  await until("the log goes on", async () => (await last()) > before);
  await daemon.ok("rm", "-f", "writes");
  await isSound();
});

test("a daemon starts on a full disk, and deletes", async () => {
  await daemon.ok("run", "-d", "--name", "stays", "busybox", "sleep", "1000");
  await daemon.ok("create", "--name", "waits", "busybox", "true");
  fill();
  await daemon.kill9();
  await daemon.launch();
  expect(await daemon.ok("ps", "-q")).not.toBe("");
  await daemon.ok("rm", "-f", "stays", "waits");
  empty();
  expect(await residue()).toEqual([]);
  await isSound();
});
