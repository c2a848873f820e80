import { afterEach, beforeEach, expect, test } from "bun:test";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { silentLogger } from "../../lib/mod.ts";
import { Database, VolumesTable, volumeMigrations } from "../../metadata/mod.ts";
import { Volumes } from "../../volumes/mod.ts";
import { noPlugins } from "../../volumes/test-support.ts";
import type { EngineEvent } from "../events.ts";
import { VolumeFiles } from "./volume-files.ts";
import { VolumesService } from "./volumes-api.ts";

let root: string;
let db: Database;
let used: Record<string, string[]>;
let events: EngineEvent[];
let api: VolumesService;

beforeEach(() => {
  root = mkdtempSync(`${tmpdir()}/dhow-volumes-api-`);
  db = Database.open(":memory:", volumeMigrations);
  used = {};
  events = [];
  const volumes = new Volumes({
    table: new VolumesTable(db),
    root,
    log: silentLogger,
    references: (name) => used[name] ?? [],
    plugins: noPlugins,
    pluginTimeoutMs: 1000,
  });
  api = new VolumesService({ volumes, files: new VolumeFiles(undefined), emit: (event) => events.push(event) });
});
afterEach(async () => {
  db[Symbol.dispose]();
  // what was removed is being deleted meanwhile
  for (; existsSync(root); await Bun.sleep(5)) rmSync(root, { recursive: true, force: true });
});

const names = async (filters: Record<string, string[]>): Promise<(string | undefined)[]> =>
  ((await api.list(filters)).Volumes ?? []).map((v) => v.Name);

test("list() filters by name, label, driver and dangling", async () => {
  await api.create({ Name: "alpha", Labels: { tier: "db" } });
  await api.create({ Name: "beta" });
  used["beta"] = ["c1"];
  expect(await names({})).toEqual(["alpha", "beta"]);
  expect(await names({ name: ["lph"] })).toEqual(["alpha"]);
  expect(await names({ label: ["tier=db"] })).toEqual(["alpha"]);
  expect(await names({ label: ["tier=x"] })).toEqual([]);
  expect(await names({ dangling: ["true"] })).toEqual(["alpha"]);
  expect(await names({ dangling: ["0"] })).toEqual(["beta"]);
  expect(await names({ driver: ["nfs"] })).toEqual([]);
  expect(api.list({ nope: ["x"] })).rejects.toThrow("invalid filter 'nope'");
  expect(api.list({ dangling: ["x"] })).rejects.toThrow("invalid filter 'dangling=[x]'");
});

test("create(), inspect() and remove() show docker's fields and tell it to the events", async () => {
  const made = await api.create({ Name: "data" });
  expect(made).toMatchObject({
    Name: "data",
    Driver: "local",
    Mountpoint: `${root}/data/_data`,
    Labels: null,
    Options: null,
    Scope: "local",
  });
  expect(await api.inspect("data")).toEqual(made);
  await api.create({ Name: "data" });
  await api.remove("data", { force: false });
  expect(api.inspect("data")).rejects.toThrow("get data: no such volume");
  expect(events.map((e) => [e.action, e.id, e.attributes])).toEqual([
    ["create", "data", { driver: "local" }],
    ["destroy", "data", { driver: "local" }],
  ]);
});

test("prune() takes unused anonymous volumes, with all=true named ones too", async () => {
  expect((await api.create({ Name: "named", DriverOpts: {} })).Options).toEqual({});
  const anonymous = await api.create({});
  const busy = await api.create({});
  used[busy.Name ?? ""] = ["c1"];
  writeFileSync(`${anonymous.Mountpoint}/f`, "12345");
  expect(await api.prune({})).toEqual({ VolumesDeleted: [anonymous.Name ?? ""], SpaceReclaimed: 5 });
  expect((await api.prune({ all: ["true"], "label!": ["keep"] })).VolumesDeleted).toEqual(["named"]);
  expect(events.at(-1)).toMatchObject({ action: "prune", attributes: { reclaimed: "0" } });
  expect(api.prune({ until: ["1h"] })).rejects.toThrow("invalid filter 'until'");
});
