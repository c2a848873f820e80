import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { createLogger, silentLogger } from "../../lib/mod.ts";
import { mkfifo } from "../../linux/mod.ts";
import { CdiRegistry } from "./registry.ts";

let root: string;
let registry: CdiRegistry;
beforeEach(() => {
  root = mkdtempSync(`${tmpdir()}/dhow-cdi-`);
  mkdirSync(`${root}/etc`);
  registry = new CdiRegistry([`${root}/etc`, `${root}/run`], { log: silentLogger });
});
afterEach(() => rmSync(root, { recursive: true }));

function spec(env: string, ...names: readonly string[]): string {
  const devices = names.map((name) => ({ name, containerEdits: { env: [env] } }));
  return JSON.stringify({ cdiVersion: "0.5.0", kind: "vendor.com/device", devices });
}
const write = (path: string, text: string): void => writeFileSync(`${root}/${path}`, text);
const envOf = async (...names: readonly string[]): Promise<readonly string[]> => (await registry.devices()).edits(names).env;

test("CdiRegistry finds the devices of files in its directories", async () => {
  write("etc/one.json", spec("A=1", "a"));
  write("etc/two.yaml", "cdiVersion: 0.5.0\nkind: other.com/x\ndevices: [{name: b, containerEdits: {env: [B=2]}}]\n");
  write("etc/other.txt", "this is none");
  mkdirSync(`${root}/etc/below.json`);
  write("etc/below.json/three.json", spec("C=3", "c"));
  symlinkSync("one.json", `${root}/etc/link.txt`);
  const devices = await registry.devices();
  expect(devices.names).toEqual(["other.com/x=b", "vendor.com/device=a"]);
  expect(devices.errors).toEqual(new Map());
  expect([devices.hasVendor("other.com"), devices.hasVendor("nvidia.com")]).toEqual([true, false]);
});

test("what stands in a later directory counts; twice in one is none", async () => {
  write("etc/a.json", spec("FROM=etc", "one", "two"));
  mkdirSync(`${root}/run`);
  write("run/a.json", spec("FROM=run", "one"));
  expect(await envOf("vendor.com/device=one", "vendor.com/device=two")).toEqual(["FROM=run", "FROM=etc"]);
  write("etc/b.json", spec("FROM=b", "one", "two"));
  const devices = await registry.devices();
  // the two of the first directory don't matter for the one that has a third in the second
  expect(devices.names).toEqual(["vendor.com/device=one"]);
  const conflict = `conflicting device "vendor.com/device=two" (specs "${root}/etc/a.json", "${root}/etc/b.json")`;
  expect(devices.errors).toEqual(
    new Map([
      [`${root}/etc/a.json`, [conflict]],
      [`${root}/etc/b.json`, [conflict]],
    ]),
  );
});

test("a file that is changed, comes or goes is seen by the next look", async () => {
  expect((await registry.devices()).names).toEqual([]);
  write("etc/a.json", spec("N=1", "one"));
  expect(await envOf("vendor.com/device=one")).toEqual(["N=1"]);
  // within the same moment, and of the same length
  write("etc/a.json", spec("N=2", "one"));
  expect(await envOf("vendor.com/device=one")).toEqual(["N=2"]);
  utimesSync(`${root}/etc/a.json`, 1, 1);
  expect(await envOf("vendor.com/device=one")).toEqual(["N=2"]);
  rmSync(`${root}/etc/a.json`);
  expect((await registry.devices()).names).toEqual([]);
});

test("a file that has been the same for a while is not read again", async () => {
  const later = new CdiRegistry([`${root}/etc`], { log: silentLogger, now: () => Date.now() + 60_000 });
  const nodes = { deviceNodes: [{ path: "/dev/null" }] };
  const text = JSON.stringify({ cdiVersion: "0.5.0", kind: "vendor.com/device", devices: [{ name: "one", containerEdits: nodes }] });
  write("etc/a.json", text);
  const node = async (): Promise<unknown> => (await later.devices()).edits(["vendor.com/device=one"]).deviceNodes[0];
  const first = await node();
  expect(await node()).toBe(first);
  write("etc/a.json", text);
  const second = await node();
  expect(second).toEqual(first);
  expect(second).not.toBe(first);
});

test("the edits of a file come once, before those of its first device", async () => {
  const own = (name: string): object => ({ name, containerEdits: { env: [`OWN=${name}`] } });
  const document = { cdiVersion: "0.5.0", kind: "a.com/b", containerEdits: { env: ["ALL=1"] }, devices: [own("x"), own("y")] };
  write("etc/a.json", JSON.stringify(document));
  write("etc/b.json", spec("C=3", "c"));
  expect(await envOf("vendor.com/device=c", "a.com/b=y", "a.com/b=x")).toEqual(["C=3", "ALL=1", "OWN=y", "OWN=x"]);
});

test("devices that aren't there are named", async () => {
  write("etc/a.json", spec("A=1", "one"));
  const devices = await registry.devices();
  expect(() => devices.edits(["x/y=z", "vendor.com/device=one", "b"])).toThrow("unresolvable CDI devices x/y=z, b");
  const none = await new CdiRegistry([], { log: silentLogger }).devices();
  expect(() => none.edits(["x/y=z"])).toThrow("no CDI specification directories specified");
});

test("what can't be read is said, and the rest is there", async () => {
  write("etc/ok.json", spec("A=1", "one"));
  write("etc/a.yaml", "cdiVersion: 9\nkind: a/b\n");
  write("etc/b.yaml", "what: is this");
  write("etc/c.yaml", "");
  mkfifo(`${root}/etc/fifo.json`, 0o600);
  symlinkSync("nowhere", `${root}/etc/gone.json`);
  write("run", "no directory");
  expect(await registry.discovered()).toEqual({
    names: ["vendor.com/device=one"],
    warnings: [
      ["etc/a.yaml", 'failed to load CDI Spec invalid CDI Spec: invalid version "9"'],
      [
        "etc/b.yaml",
        `failed to load CDI Spec failed to parse CDI Spec "${root}/etc/b.yaml": failed to unmarshal CDI Spec: error unmarshaling JSON: while decoding JSON: json: unknown field "what"`,
      ],
      ["etc/c.yaml", `failed to load CDI Spec failed to parse CDI Spec "${root}/etc/c.yaml", no Spec data`],
      ["etc/fifo.json", `failed to load CDI Spec failed to read CDI Spec "${root}/etc/fifo.json": not a regular file`],
      ["run", "failed to read directory: not a directory"],
    ].map(([path, error]) => `CDI: Error associated with spec file ${root}/${path}: ${error}`),
  });
  const lines: string[] = [];
  const log = createLogger({ level: "info", format: "json", write: (line) => void lines.push(line) });
  await new CdiRegistry([`${root}/etc`], { log }).report();
  expect(lines.length).toBe(4);
  expect(JSON.parse(lines[0] ?? "")).toMatchObject({ level: "warn", msg: "CDI setup error", dir: `${root}/etc/a.yaml` });
});
