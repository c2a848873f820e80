import { afterEach, beforeEach, expect, test } from "bun:test";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { silentLogger } from "../lib/mod.ts";
import { isMountPoint } from "../linux/mod.ts";
import { Database, VolumesTable, volumeMigrations } from "../metadata/mod.ts";
import { noPlugins } from "./test-support.ts";
import { ANONYMOUS_LABEL } from "./volume.ts";
import { Volumes } from "./volumes.ts";

let root: string;
let db: Database;
let used: Record<string, string[]>;
const open = (): Volumes =>
  new Volumes({
    table: new VolumesTable(db),
    root: `${root}/volumes`,
    log: silentLogger,
    references: (name) => used[name] ?? [],
    plugins: noPlugins,
    pluginTimeoutMs: 1000,
  });
const isRoot = process.getuid?.() === 0;

beforeEach(() => {
  root = mkdtempSync(`${tmpdir()}/dhow-volumes-`);
  db = Database.open(":memory:", volumeMigrations);
  used = {};
});
afterEach(async () => {
  db[Symbol.dispose]();
  // what was removed is being deleted meanwhile
  for (; existsSync(root); await Bun.sleep(5)) rmSync(root, { recursive: true, force: true });
});

test("create() makes a directory of its own and returns the same volume the next time", async () => {
  const volumes = open();
  const { volume, created } = await volumes.create({ name: "data", labels: { a: "b" } });
  expect(created).toBe(true);
  expect(volume).toMatchObject({ name: "data", driver: "local", labels: { a: "b" }, options: null, path: `${root}/volumes/data/_data` });
  expect(statSync(volume.path).mode & 0o777).toBe(0o755);
  expect(statSync(`${root}/volumes/data`).mode & 0o777).toBe(0o701);
  expect(await volumes.create({ name: "data", labels: { c: "d" } })).toEqual({ volume, created: false });
});

test("create() without a name makes an anonymous volume", async () => {
  const { volume } = await open().create({});
  expect(volume.name).toMatch(/^[0-9a-f]{64}$/);
  expect(volume.labels).toEqual({ [ANONYMOUS_LABEL]: "" });
});

test("create() refuses names, options and drivers in docker's words", async () => {
  const volumes = open();
  expect(volumes.create({ name: "a" })).rejects.toThrow(
    "create a: volume name is too short, names should be at least two alphanumeric characters",
  );
  expect(volumes.create({ name: "a/b" })).rejects.toThrow(
    'create a/b: "a/b" includes invalid characters for a local volume name, only "[a-zA-Z0-9][a-zA-Z0-9_.-]" are allowed. If you intended to pass a host directory, use absolute path',
  );
  expect(volumes.create({ name: "..", driver: "local" })).rejects.toThrow("includes invalid characters");
  expect(volumes.create({ name: "vv", options: { nope: "1" } })).rejects.toThrow('create vv: invalid option: "nope"');
  expect(volumes.create({ name: "vv", options: { type: "tmpfs" } })).rejects.toThrow('create vv: missing required option: "device"');
  expect(volumes.create({ name: "vv", driver: "x" })).rejects.toThrow('create vv: error looking up volume plugin x: plugin "x" not found');
  expect(volumes.known()).toEqual([]);
});

test("remove() takes an unused volume away, and says who uses another", async () => {
  const volumes = open();
  const { volume } = await volumes.create({ name: "data" });
  writeFileSync(`${volume.path}/f`, "x");
  used["data"] = ["c1", "c2"];
  expect(volumes.remove("data")).rejects.toThrow("remove data: volume is in use - [c1, c2]");
  used = {};
  await volumes.remove("data");
  expect(volumes.tryGet("data")).toBeUndefined();
  expect(existsSync(`${root}/volumes/data`)).toBe(false);
  expect(volumes.remove("data")).rejects.toThrow("get data: no such volume");
  await volumes.remove("data", { force: true });
  for (let i = 0; i < 100 && readdirSync(`${root}/volumes/.removing`).length > 0; i++) await Bun.sleep(5);
  expect(readdirSync(`${root}/volumes/.removing`)).toEqual([]);
});

test("recover() finishes a removal and takes in a directory that no row knows", async () => {
  const volumes = open();
  await volumes.create({ name: "gone" });
  mkdirSync(`${root}/volumes/.removing/gone.00112233/_data`, { recursive: true });
  rmSync(`${root}/volumes/gone`, { recursive: true });
  mkdirSync(`${root}/volumes/found/_data`, { recursive: true });
  const next = open();
  next.recover();
  expect(next.known().map((v) => v.name)).toEqual(["found"]);
  for (let i = 0; i < 100 && readdirSync(`${root}/volumes/.removing`).length > 0; i++) await Bun.sleep(5);
  expect(readdirSync(`${root}/volumes/.removing`)).toEqual([]);
});

test.skipIf(!isRoot)("use() mounts what the options name at the first use, release() unmounts after the last (root only)", async () => {
  const volumes = open();
  const options = { type: "tmpfs", device: "tmpfs", o: "size=1m,nosuid" };
  const { volume } = await volumes.create({ name: "mem", options });
  expect(isMountPoint(volume.path)).toBe(false);
  await volumes.use("mem", "c1");
  await volumes.use("mem", "c2");
  expect(isMountPoint(volume.path)).toBe(true);
  await volumes.release("mem", "c1");
  const next = open();
  next.adopt("mem", "c2");
  expect(isMountPoint(volume.path)).toBe(true);
  await next.release("mem", "c2");
  expect(isMountPoint(volume.path)).toBe(false);
  await volumes.create({ name: "broken", options: { type: "none", device: `${root}/missing`, o: "bind" } });
  expect(() => volumes.use("broken", "c1")).toThrow(
    `error while mounting volume '${root}/volumes/broken/_data': failed to mount local volume: mount ${root}/missing:${root}/volumes/broken/_data, flags: 0x1000: no such file or directory`,
  );
});

test.skipIf(!isRoot)("use() has no password in its errors, also one with commas (root only)", async () => {
  const volumes = open();
  const o = "username=me,password=a,,b,pass=c,vers=3.0";
  await volumes.create({ name: "secret", options: { type: "nosuchfs", device: "//192.0.2.1/share", o } });
  await expect((async () => volumes.use("secret", "c1"))()).rejects.toThrow(
    "data: username=me,password=********,pass=********,vers=3.0: no such device",
  );
});

test("recover() finishes a rename that a crash cut short, and forgets one that had not begun", async () => {
  const volumes = open();
  await volumes.create({ name: "old", labels: { a: "b" } });
  await volumes.create({ name: "still" });
  mkdirSync(`${root}/volumes/.renaming`);
  for (const [from, to] of [
    ["old", "new"],
    ["still", "other"],
  ] as const)
    symlinkSync(to, `${root}/volumes/.renaming/${from}`);
  renameSync(`${root}/volumes/old`, `${root}/volumes/new`);
  const next = open();
  next.recover();
  expect(next.known().map(({ name, labels }) => [name, labels])).toEqual([
    ["new", { a: "b" }],
    ["still", null],
  ]);
  expect(readdirSync(`${root}/volumes/.renaming`)).toEqual([]);
});

test("make() fills a volume before anybody knows it, and leaves nothing when that fails", async () => {
  const volumes = open();
  const filled = volumes.make({ name: "filled" }, async (path) => {
    expect(volumes.tryGet("filled")).toBeUndefined();
    writeFileSync(`${path}/f`, "x");
  });
  expect(existsSync(`${(await filled).path}/f`)).toBe(true);
  await expect(volumes.make({ name: "filled" }, async () => {})).rejects.toThrow('volume "filled" already exists');
  await expect(volumes.make({ name: "none" }, () => Promise.reject(new Error("no")))).rejects.toThrow("no");
  expect(volumes.known().map(({ name }) => name)).toEqual(["filled"]);
  expect(readdirSync(`${root}/volumes/.making`)).toEqual([]);
});

test("rename() refuses names that are taken, volumes in use and what is no name", async () => {
  const volumes = open();
  for (const name of ["one", "two"]) await volumes.create({ name });
  await expect(volumes.rename("one", "two")).rejects.toThrow('rename one: volume "two" already exists');
  await expect(volumes.rename("one", "../x")).rejects.toThrow("includes invalid characters");
  await expect(volumes.rename("none", "three")).rejects.toThrow("get none: no such volume");
  used["one"] = ["c1"];
  await expect(volumes.rename("one", "three")).rejects.toThrow("rename one: volume is in use - [c1]");
});

test("make() and rename() leave the disk as it was when the database can't note them", async () => {
  const volumes = open();
  const { path } = (await volumes.create({ name: "one" })).volume;
  writeFileSync(`${path}/content`, "kept");
  const pages = Object.values(db.sqlite.query("PRAGMA page_count").get() as object)[0];
  db.sqlite.run(`PRAGMA max_page_count = ${pages}`);
  const labels = { large: "x".repeat(1 << 16) };
  await expect(volumes.make({ name: "two", labels }, async () => {})).rejects.toThrow("database or disk is full");
  db.sqlite.run("CREATE TEMP TRIGGER no BEFORE UPDATE ON main.volumes BEGIN SELECT RAISE(FAIL, 'not now'); END");
  await expect(volumes.rename("one", "two")).rejects.toThrow("rename volume one: not now");
  expect(readdirSync(`${root}/volumes`).filter((name) => !name.startsWith("."))).toEqual(["one"]);
  expect(readFileSync(`${path}/content`, "utf8")).toBe("kept");
  expect(volumes.defects()).toEqual([]);
});

test.skipIf(!isRoot)("create() of a volume with a size twice at once makes one (root only)", async () => {
  const volumes = open();
  const ask = { name: "sized", options: { size: "8m" } };
  const told: string[] = [];
  const both = await Promise.all([1, 2].map(() => volumes.create(ask, (name) => told.push(name))));
  expect(both.map(({ created }) => created).sort()).toEqual([false, true]);
  expect(told).toEqual(["sized"]);
  await volumes.remove("sized");
});
