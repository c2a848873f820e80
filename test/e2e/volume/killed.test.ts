/** Daemons that are killed in the middle of work on volumes: what the next one finds is whole, or not there. */
import { afterAll, afterEach, beforeAll, expect, test } from "bun:test";
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { connect } from "../../../src/index.ts";
import { Daemon, until } from "../daemon.ts";
import { LAUNCHER, volumeCommands } from "./commands.ts";

const daemon = await Daemon.start();
const { sh, removeAll } = volumeCommands(daemon);
const volumes = join(daemon.dataRoot, "volumes");
const making = join(volumes, ".making");
const FILES = 300;
const LOOK = "cd /v && ls | wc -l && cat * | md5sum";
let whole = "";
let archive: Uint8Array = new Uint8Array();

beforeAll(async () => {
  const fill = `mkdir /many; i=0; while [ $i -lt ${FILES} ]; do echo $i > /many/$i; i=$((i+1)); done`;
  const maker = await daemon.ok("run", "-d", "busybox", "sh", "-c", fill);
  await daemon.ok("wait", maker);
  await daemon.ok("commit", maker, "many");
  await daemon.ok("rm", maker);
  await makeData();
  whole = await sh("data", LOOK);
  expect(whole).toStartWith(`${FILES}\n`);
  await removeAll();
});

afterEach(async () => {
  await removeAll();
  expect(await daemon.residue()).toEqual([]);
});

afterAll(() => daemon[Symbol.asyncDispose]());

const names = async (): Promise<string[]> => (await daemon.ok("volume", "ls", "-q")).split("\n").filter(Boolean);
const left = (name: string): readonly string[] => (existsSync(join(volumes, name)) ? readdirSync(join(volumes, name)) : []);
const cli = (...args: readonly string[]) => daemon.spawn({ cli: LAUNCHER }, "volume", ...args);

async function makeData(size?: string): Promise<void> {
  if (size !== undefined) await daemon.ok("volume", "create", "-o", `size=${size}`, "data");
  await daemon.ok("create", "--name", "filler", "-v", "data:/many", "many", "true");
  await daemon.ok("rm", "filler");
}

/** Kills the daemon once `isUnderWay`; the next one has put everything in order when it is done. */
async function killAt(what: string, isUnderWay: () => boolean): Promise<void> {
  await until(what, isUnderWay);
  await daemon.kill9();
  await daemon.restart();
  await until("nothing is left over", () => left(".making").length + left(".renaming").length + left(".removing").length === 0);
  expect((await daemon.dockerWith({ cli: LAUNCHER }, "-H", daemon.host, "system", "check")).stdout).toContain("all is well");
}

test.each([
  ["clone", undefined, () => cli("clone", "data", "made")],
  ["clone of one with a size", "16m", () => cli("clone", "data", "made")],
  ["snapshot", undefined, () => cli("snapshot", "data", "made")],
])("%s: there is a whole copy, or none", async (_, size, begin) => {
  await makeData(size);
  const lost = begin();
  await killAt("it is under way", () => existsSync(join(making, "made/_data")) || existsSync(join(volumes, "made")));
  lost.kill("SIGKILL");
  if ((await names()).includes("made")) expect(await sh("made", LOOK)).toBe(whole);
  expect(await sh("data", LOOK)).toBe(whole);
});

test("import, before the archive's end: none", async () => {
  await makeData();
  const client = connect({ host: daemon.host });
  archive = Buffer.concat(await Array.fromAsync(await (await client.volumes.get("data")).export()));
  const stuck = Promise.withResolvers<void>();
  const lost = client.volumes.import("made", firstOf(archive, stuck.promise)).catch(() => {});
  await killAt("something is there", () => left(".making/made/_data").length > 0);
  stuck.resolve();
  await lost;
  expect(await names()).toEqual(["data"]);
});

test("export: the volume is not in use any more", async () => {
  await makeData("16m");
  const client = connect({ host: daemon.host });
  const lost = (await (await client.volumes.get("data")).export())[Symbol.asyncIterator]();
  expect((await lost.next()).done).toBe(false);
  await killAt("it has begun", () => true);
  await lost.return?.().catch(() => {});
  expect(await sh("data", LOOK)).toBe(whole);
});

test("create with a size: one that can be used, or none", async () => {
  const lost = daemon.spawn({}, "volume", "create", "-o", "size=512m", "made");
  await killAt("it is under way", () => existsSync(join(making, "made")) || existsSync(join(volumes, "made")));
  lost.kill("SIGKILL");
  if ((await names()).includes("made")) expect(await sh("made", "ls -A /v")).toBe("");
});

test.each([
  ["larger", "16m", "64m"],
  ["smaller", "64m", "16m"],
])("resize: one that was to become %s has the size, and its content", async (_, from, to) => {
  await makeData(from);
  await until("it is unmounted", () => left("data/_data").length === 0);
  const lost = cli("resize", "data", to);
  // it may be over between two looks
  await until("it is under way", () => existsSync(join(volumes, "data/resizing")) || lost.exitCode !== null);
  await daemon.kill9();
  lost.kill("SIGKILL");
  await daemon.restart();
  await until("it is finished", () => !existsSync(join(volumes, "data/resizing")));
  expect(await daemon.ok("volume", "inspect", "-f", "{{.Options.size}}", "data")).toBe(to);
  expect(await sh("data", LOOK)).toBe(whole);
});

test.each([
  ["before the directory has its new name", "data", () => {}],
  ["after it", "other", () => renameSync(join(volumes, "data"), join(volumes, "other"))],
])("rename, %s: it is called %s", async (_, name, step) => {
  await makeData();
  await daemon.kill9();
  // as `rename` does it, up to there
  mkdirSync(join(volumes, ".renaming"), { recursive: true });
  symlinkSync("other", join(volumes, ".renaming/data"));
  step();
  await daemon.restart();
  expect(await names()).toEqual([name]);
  expect(await sh(name, LOOK)).toBe(whole);
  expect(left(".renaming")).toEqual([]);
});

test.each([
  ["a new volume", []],
  ["an empty one that was there", ["made"]],
])("copy from an image to %s: all of it, or nothing", async (_, before) => {
  for (const name of before) await daemon.ok("volume", "create", name);
  const lost = daemon.spawn({}, "create", "-v", "made:/many", "many", "true");
  await killAt("it is under way", () => left("made/_data").length > 0);
  lost.kill("SIGKILL");
  if (before.length > 0) expect(await names()).toContain("made");
  if (!(await names()).includes("made")) return;
  expect(left("made/_data").filter((name) => name.startsWith("."))).toEqual([]);
  if (left("made/_data").length > 0) expect(await sh("made", LOOK)).toBe(whole);
});

test.each([
  ["is taken back when it is not whole", ".dhow-filling", []],
  ["is finished when it is", ".dhow-filled", ["a", "b"]],
])("a copy from an image that was cut short %s", async (_, gathered, expected) => {
  await daemon.ok("volume", "create", "made");
  const id = "f".repeat(64);
  await daemon.kill9();
  mkdirSync(join(volumes, "made/_data", gathered));
  for (const name of ["a", "b"]) writeFileSync(join(volumes, "made/_data", gathered, name), name);
  mkdirSync(join(daemon.dataRoot, "containers", id));
  writeFileSync(join(daemon.dataRoot, "containers", id, "filled-volumes"), '["made",""]\n["ma');
  await daemon.restart();
  await until("it is in order", () => !existsSync(join(daemon.dataRoot, "containers", id)));
  expect(left("made/_data").toSorted()).toEqual(expected);
  rmSync(join(daemon.dir, "lost.tar"), { force: true });
});

/** All but the end of an archive, which never comes. */
async function* firstOf(tar: Uint8Array, stuck: Promise<void>): AsyncGenerator<Uint8Array> {
  yield tar.subarray(0, tar.length - 2048);
  await stuck;
}
