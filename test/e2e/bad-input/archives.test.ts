/** Archives that are wrong, or mean ill: refused with the layer's name, or contained in their layer; nothing is left of them. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { existsSync, lstatSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { digestOf } from "../../../src/lib/mod.ts";
import { type Entry, imageArchive, tar } from "../archive.ts";
import { Daemon, until } from "../daemon.ts";

let daemon: Daemon;

beforeAll(async () => {
  daemon = await Daemon.start();
}, 120_000);

afterAll(() => daemon?.[Symbol.asyncDispose]());

/** Loads an archive; what the last line says when it failed. */
async function load(archive: Uint8Array<ArrayBuffer>): Promise<string> {
  const { status, text } = await daemon.api("POST", "/images/load?quiet=1", archive, { "Content-Type": "application/x-tar" });
  const lines = text.trim().split("\n");
  const last = JSON.parse(lines.at(-1) ?? "{}") as { readonly error?: string; readonly message?: string };
  return status === 200 ? (last.error ?? "") : `${status} ${last.message}`;
}

async function nothingIsLeft(): Promise<void> {
  expect(await daemon.ok("images", "-aq")).not.toContain("\n");
  for (const name of ["snapshots/drafts", "snapshots/trash", "content/ingest", "tmp"]) {
    await until(`${name} is empty`, () => readdirSync(join(daemon.dataRoot, name)).length === 0);
  }
  await until("its layers are gone", () => readdirSync(join(daemon.dataRoot, "snapshots/layers")).length === 1);
  expect(readdirSync(join(daemon.dataRoot, "content/blobs/sha256"))).toHaveLength(1);
}

const link = (name: string, linkName: string): Entry => ({ type: "symlink", name, linkName });
const hard = (name: string, linkName: string): Entry => ({ type: "link", name, linkName });

const refusedLayers: Readonly<Record<string, readonly Entry[]>> = {
  "a name that leads up": [{ name: "../../../../tmp/dhow-evil", data: "evil" }],
  "a name that leads up in the middle": [{ name: "a/../../../dhow-evil", data: "evil" }],
  "a hard link to outside": [hard("passwd", "../../../../../etc/passwd")],
  "a hard link to nothing": [hard("x", "missing")],
  "a file as directory": [
    { name: "file", data: "" },
    { name: "file/below", data: "" },
  ],
};

for (const [what, entries] of Object.entries(refusedLayers)) {
  test(`a layer with ${what} is refused by its name`, async () => {
    const layer = tar(entries);
    const error = await load(imageArchive({ name: "evil", layers: [layer] }));
    expect(error).toContain(digestOf(layer));
    expect(existsSync("/tmp/dhow-evil")).toBe(false);
    await nothingIsLeft();
  });
}

test("links lead nowhere but inside of the container", async () => {
  const victim = join(daemon.dir, "victim");
  writeFileSync(victim, "as it was");
  const layers = [
    tar([link("out", daemon.dir), link("up", "../../../../../../../../../.."), link("loop", "loop"), link("a", "b"), link("b", "a")]),
    tar([
      { name: `up${victim}`, data: "evil" },
      { name: "up/marker", data: "inside" },
      { type: "directory", name: "bin", mode: 0o755 },
    ]),
  ];
  const error = await load(imageArchive({ name: "links", layers }));
  expect(readFileSync(victim, "utf8")).toBe("as it was");
  expect(existsSync("/marker")).toBe(false);
  // refused or contained: both are fine
  if (error === "") await daemon.ok("rmi", "links");
  const through = await load(imageArchive({ name: "loop", layers: [tar([link("loop", "loop"), { name: "loop/file", data: "x" }])] }));
  if (through === "") await daemon.ok("rmi", "loop");
  await nothingIsLeft();
});

test("absolute names and links stay inside", async () => {
  const entries: Entry[] = [{ name: "/dhow-absolute", data: "inside" }, link("link", "/etc/hostname"), hard("again", "/dhow-absolute")];
  expect(await load(imageArchive({ name: "absolute", layers: [tar(entries)] }))).toBe("");
  expect(existsSync("/dhow-absolute")).toBe(false);
  const id = await daemon.ok("create", "absolute", "x");
  await daemon.ok("rm", id);
  await daemon.ok("rmi", "absolute");
  await nothingIsLeft();
});

test("wrong digests, cut off and garbled archives are refused", async () => {
  const layer = tar([{ name: "file", data: "content ".repeat(50_000) }]);
  const wrong = `sha256:${"0".repeat(64)}`;
  expect(await load(imageArchive({ name: "wrong", layers: [layer], diffIds: [wrong] }))).toContain(wrong);
  const packed = new Uint8Array(Bun.gzipSync(layer));
  const cut = imageArchive({ name: "cut", layers: [packed.subarray(0, packed.length / 2)], diffIds: [digestOf(layer)] });
  expect(await load(cut)).toContain(digestOf(layer));
  const garbled = packed.slice();
  garbled.fill(0xa5, 100, 200);
  expect(await load(imageArchive({ name: "garbled", layers: [garbled], diffIds: [digestOf(layer)] }))).toContain(digestOf(layer));
  const whole = imageArchive({ name: "whole", layers: [layer] });
  for (const length of [100, 700, 3000, whole.length / 2]) expect(await load(whole.slice(0, length))).not.toBe("");
  expect(await load(new Uint8Array(Bun.gzipSync(whole)).slice(0, 400))).not.toBe("");
  expect(await load(new Uint8Array(0))).not.toBe("");
  expect(await load(new Uint8Array(Buffer.from("no archive at all")))).not.toBe("");
  await nothingIsLeft();
});

test("manifests that contradict themselves are refused", async () => {
  const config = JSON.stringify({ architecture: "amd64", os: "linux", rootfs: { type: "layers", diff_ids: [] } });
  const cases: readonly (readonly [Entry[], string])[] = [
    [[{ name: "manifest.json", data: "{" }], "manifest.json is not JSON"],
    [[{ name: "manifest.json", data: "null" }], "manifest cannot be null"],
    [[{ name: "manifest.json", data: '[{"Config":5}]' }], "wrong form"],
    [[{ name: "manifest.json", data: '[{"Config":"missing.json"}]' }], '"missing.json"'],
    [
      [
        { name: "manifest.json", data: '[{"Config":"../../../../../../etc/passwd"}]' },
        { name: "c", data: "" },
      ],
      '"etc/passwd"',
    ],
    [
      [
        { name: "manifest.json", data: '[{"Config":"c","Layers":["l"]}]' },
        { name: "c", data: config },
      ],
      "layers length mismatch: expected 1, got 0",
    ],
    [
      [
        { name: "manifest.json", data: '[{"Config":"c","RepoTags":["BAD:name"]}]' },
        { name: "c", data: config },
      ],
      "invalid reference format",
    ],
    [
      [
        { name: "manifest.json", data: '[{"Config":"c"}]' },
        { name: "c", data: "[]" },
      ],
      "",
    ],
    [[link("manifest.json", "/etc/passwd")], ""],
    [[link("manifest.json", "manifest.json")], ""],
  ];
  for (const [entries, text] of cases) {
    const error = await load(tar(entries));
    expect(error).not.toBe("");
    expect(error).toContain(text);
  }
  await nothingIsLeft();
});

test("a sparse file of 10 GB takes no room", async () => {
  const dir = join(daemon.dir, "sparse");
  const made = Bun.spawnSync([
    "sh",
    "-c",
    `mkdir ${dir} && cd ${dir} && truncate -s 10G huge && tar --sparse -cf ../sparse.tar huge && rm huge && stat -c %s ../sparse.tar`,
  ]);
  expect(Number(made.stdout.toString())).toBeLessThan(100_000);
  const layer = new Uint8Array(readFileSync(`${dir}.tar`));
  const free = Bun.spawnSync(["stat", "-f", "-c", "%a %S", daemon.dataRoot]).stdout.toString().split(" ").map(Number);
  expect(await load(imageArchive({ name: "sparse", layers: [layer] }))).toBe("");
  const [hex = ""] = readdirSync(join(daemon.dataRoot, "snapshots/layers")).filter((name) =>
    existsSync(join(daemon.dataRoot, "snapshots/layers", name, "diff/huge")),
  );
  const file = statSync(join(daemon.dataRoot, "snapshots/layers", hex, "diff/huge"));
  expect(file.size).toBe(10 * 1024 ** 3);
  expect(file.blocks * 512).toBeLessThan(1_000_000);
  expect(free).toHaveLength(2);
  const saved = join(daemon.dir, "saved.tar");
  await daemon.ok("save", "-o", saved, "sparse");
  expect(lstatSync(saved).size).toBeLessThan(1_000_000);
  rmSync(saved);
  await daemon.ok("rmi", "sparse");
  await nothingIsLeft();
});

test("an import that breaks off leaves nothing", async () => {
  const layer = tar([{ name: "file", data: "x".repeat(100_000) }], { withEnd: false });
  for (const body of [layer.slice(0, 50_000), new Uint8Array(Bun.gzipSync(layer)).slice(0, 100), tar([{ name: "../x", data: "" }])]) {
    const { text } = await daemon.api("POST", "/images/create?fromSrc=-&repo=broken", body, { "Content-Type": "application/x-tar" });
    expect(text).toMatch(/^{"(message|errorDetail)":/m);
  }
  await nothingIsLeft();
});
