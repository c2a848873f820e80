import { describe, expect, test } from "bun:test";
import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { shortId } from "../../lib/mod.ts";
import type { Filters } from "../../spec/engine/mod.ts";
import { parseReference } from "../../spec/reference.ts";
import { Testbed, tarOf } from "./testbed.ts";

const LIST = { all: false, digests: false, sharedSize: false, manifests: false, filters: {} as Filters };
const FORCE = { force: true, noPrune: false };
const PLAIN = { force: false, noPrune: false };

describe("resolve()", () => {
  test("finds names, digests and ids as docker does", async () => {
    await using bed = new Testbed();
    const image = await bed.add({ name: "busybox" });
    const { store } = bed.deps;
    const hex = image.id.slice(7);
    store.tag(parseReference(`busybox@${"sha256:"}${"b".repeat(64)}`), image.id);
    for (const ref of [
      "busybox",
      "busybox:latest",
      "docker.io/library/busybox",
      image.id,
      hex,
      hex.slice(0, 12),
      `sha256:${hex.slice(0, 7)}`,
      `busybox:other@sha256:${"b".repeat(64)}`,
    ]) {
      expect(store.resolve(ref).id).toBe(image.id);
    }
    expect(() => store.resolve("nope")).toThrow(new Error("No such image: nope:latest"));
    expect(() => store.resolve("a.b/nope:1")).toThrow(new Error("No such image: a.b/nope:1"));
    expect(() => store.resolve("f".repeat(64))).toThrow(new Error(`No such image: sha256:${"f".repeat(64)}`));
    expect(() => store.resolve("Nope")).toThrow(new Error("invalid reference format: repository name (library/Nope) must be lowercase"));
  });

  test("takes a name before the prefix of an id, and no ambiguous prefix", async () => {
    await using bed = new Testbed();
    const images = [];
    // Seventeen ids: two of them start with the same digit.
    for (let second = 0; second < 17; second++) images.push(await bed.add({ second }));
    const digits = images.map((image) => image.id.charAt(7));
    const twice = digits.find((digit, i) => digits.indexOf(digit) !== i) ?? "";
    expect(() => bed.deps.store.resolve(twice)).toThrow(new Error(`No such image: ${twice}:latest`));
    const [a, b] = images;
    if (!a || !b) throw new Error("no images");
    const prefix = shortId(b.id);
    await bed.images.tag(a.id, { repo: prefix, tag: "" });
    expect(bed.deps.store.resolve(prefix).id).toBe(a.id);
  });
});

describe("tag()", () => {
  test("moves a name and leaves the old image dangling", async () => {
    await using bed = new Testbed();
    const old = await bed.add({ name: "x", second: 1 });
    const young = await bed.add({ name: "x", second: 2 });
    expect(bed.deps.store.get(old.id).names).toEqual([]);
    expect(bed.deps.store.get(young.id).names).toEqual(["x:latest"]);
    await bed.images.tag("x", { repo: "localhost:5000/y", tag: "2" });
    expect(bed.emitted).toEqual(["tag localhost:5000/y:2"]);
    expect(bed.deps.store.get(young.id).lastTaggedAt).toMatch(/^\d{4}-/);
  });

  test("refuses what docker refuses", async () => {
    await using bed = new Testbed();
    await bed.add({ name: "x" });
    const tag = (repo: string, tagName: string): Promise<void> => bed.images.tag("x", { repo, tag: tagName });
    await expect(tag(`y@sha256:${"a".repeat(64)}`, "")).rejects.toThrow("refusing to create a tag with a digest reference");
    await expect(tag("sha256", "abc")).rejects.toThrow("refusing to create an ambiguous tag using digest algorithm as name");
    await expect(tag("Y", "")).rejects.toThrow("invalid reference format: repository name (library/Y) must be lowercase");
    await expect(tag("y", "a b")).rejects.toThrow("invalid tag format");
    await expect(bed.images.tag("nope", { repo: "y", tag: "" })).rejects.toThrow("No such image: nope:latest");
  });
});

describe("list()", () => {
  test("shows names newest first and filters", async () => {
    await using bed = new Testbed();
    const base = await bed.add({ name: "base", second: 1, config: { Labels: { a: "1" } } });
    const middle = await bed.add({ second: 2, parent: base, layers: [{ "etc/x": "x" }, { b: "b" }] });
    const top = await bed.add({ name: "me/top:1", second: 3, parent: middle, layers: [{ "etc/x": "x" }, { b: "b" }, { c: "c" }] });
    const loose = await bed.add({ second: 4, layers: [{ d: "d" }] });
    bed.users.set(base.id, [{ id: "c".repeat(64), name: "n", running: false }]);
    const ids = async (filters: Filters, all = false): Promise<(string | undefined)[]> =>
      (await bed.images.list({ ...LIST, all, filters })).map((row) => row.Id);
    expect(await ids({})).toEqual([loose.id, top.id, base.id]);
    expect(await ids({}, true)).toEqual([loose.id, top.id, middle.id, base.id]);
    expect(await ids({ dangling: ["true"] })).toEqual([loose.id]);
    expect(await ids({ dangling: ["false"] })).toEqual([top.id, base.id]);
    expect(await ids({ before: ["me/top:1"] })).toEqual([base.id]);
    expect(await ids({ since: ["base"] })).toEqual([loose.id, top.id]);
    expect(await ids({ until: ["2020-01-01T00:00:03Z"] })).toEqual([base.id]);
    expect(await ids({ until: ["2020-01-01T00:00:09Z", "2020-01-01T00:00:03Z"] })).toEqual([base.id]);
    expect(await ids({ label: ["a=1"] })).toEqual([base.id]);
    expect(await ids({ "label!": ["a"] })).toEqual([loose.id, top.id]);
    expect(await ids({ reference: ["me/*"] })).toEqual([top.id]);
    expect(await ids({ reference: ["base:lat*", "nope"] })).toEqual([base.id]);
    const rows = await bed.images.list({ ...LIST, sharedSize: true });
    expect(rows.map((row) => [row.RepoTags, row.Containers, row.SharedSize, row.Size, row.ParentId])).toEqual([
      [[], 0, 0, 1, ""],
      [["me/top:1"], 0, 2, 3, middle.id],
      [["base:latest"], 1, 1, 1, ""],
    ]);
    await expect(ids({ nope: ["1"] })).rejects.toThrow("invalid filter 'nope'");
    await expect(ids({ dangling: ["maybe"] })).rejects.toThrow("invalid filter 'dangling=[maybe]'");
    await expect(ids({ before: ["nope"] })).rejects.toThrow("No such image: nope:latest");
  });
});

describe("inspect() and history()", () => {
  test("show docker's fields", async () => {
    await using bed = new Testbed();
    const base = await bed.add({ name: "base", second: 1 });
    const image = await bed.add({
      name: "x",
      second: 2,
      parent: base,
      layers: [{ "etc/x": "x" }, { b: "bb" }],
      config: { Cmd: ["sh"], Env: ["A=1"] },
    });
    const shown = await bed.images.inspect("x", {});
    expect(shown).toMatchObject({
      Id: image.id,
      RepoTags: ["x:latest"],
      RepoDigests: [],
      Parent: base.id,
      Comment: "",
      Created: "2020-01-01T00:00:02.000Z",
      Config: { Cmd: ["sh"], Env: ["A=1"], Entrypoint: null, Labels: null, Volumes: null, WorkingDir: "" },
      Architecture: "amd64",
      Os: "linux",
      Size: 3,
      RootFS: { Type: "layers", Layers: [...image.config.rootfs.diff_ids] },
    });
    expect(await bed.images.history("x", {})).toMatchObject([
      { Id: image.id, CreatedBy: "step 1", Size: 2, Tags: ["x:latest"], Comment: "", Created: 1577836802 },
      { Id: base.id, CreatedBy: "step 0", Size: 1, Tags: ["base:latest"] },
    ]);
    await expect(bed.images.inspect("x", { platform: "linux/arm64" })).rejects.toThrow(
      "image with reference x was found but its platform (linux/amd64) does not match the specified platform (linux/arm64)",
    );
  });
});

describe("remove()", () => {
  test("untags, deletes the image, its layers from the top and its parents", async () => {
    await using bed = new Testbed();
    const base = await bed.add({ second: 1 });
    const image = await bed.add({ name: "x", second: 2, parent: base, layers: [{ "etc/x": "x" }, { b: "b" }] });
    expect(await bed.images.remove("x", PLAIN)).toEqual([
      { Untagged: "x:latest" },
      { Deleted: image.id },
      { Deleted: image.layers[1] ?? "" },
      { Deleted: base.id },
      { Deleted: image.layers[0] ?? "" },
    ]);
    expect(bed.emitted).toEqual([`untag ${image.id}`, `delete ${image.id}`, `delete ${base.id}`]);
    expect(bed.layerCount).toBe(0);
  });

  test("keeps parents with noPrune, and layers that others use", async () => {
    await using bed = new Testbed();
    const base = await bed.add({ second: 1 });
    const image = await bed.add({ name: "x", second: 2, parent: base, layers: [{ "etc/x": "x" }, { b: "b" }] });
    expect(await bed.images.remove("x", { force: false, noPrune: true })).toEqual([
      { Untagged: "x:latest" },
      { Deleted: image.id },
      { Deleted: image.layers[1] ?? "" },
    ]);
    expect(bed.layerCount).toBe(1);
  });

  test("only untags while other names are left", async () => {
    await using bed = new Testbed();
    const image = await bed.add({ name: "x" });
    await bed.images.tag("x", { repo: "y", tag: "1" });
    await expect(bed.images.remove(shortId(image.id), PLAIN)).rejects.toThrow(
      `conflict: unable to delete ${shortId(image.id)} (must be forced) - image is referenced in multiple repositories`,
    );
    expect(await bed.images.remove("x", PLAIN)).toEqual([{ Untagged: "x:latest" }]);
    expect(await bed.images.remove(shortId(image.id), PLAIN)).toEqual([
      { Untagged: "y:1" },
      { Deleted: image.id },
      { Deleted: image.layers[0] ?? "" },
    ]);
  });

  test("by id with force takes every name", async () => {
    await using bed = new Testbed();
    const image = await bed.add({ name: "x" });
    await bed.images.tag("x", { repo: "y", tag: "1" });
    expect((await bed.images.remove(image.id, FORCE)).slice(0, 3)).toEqual([
      { Untagged: "x:latest" },
      { Untagged: "y:1" },
      { Deleted: image.id },
    ]);
  });

  test("refuses an image that a container uses, in docker's words", async () => {
    await using bed = new Testbed();
    const image = await bed.add({ name: "x" });
    const id = shortId(image.id);
    const user = { id: "c".repeat(64), name: "n", running: false };
    bed.users.set(image.id, [user]);
    await expect(bed.images.remove("x", PLAIN)).rejects.toThrow(
      `conflict: unable to remove repository reference "x" (must force) - container cccccccccccc is using its referenced image ${id}`,
    );
    await expect(bed.images.remove(id, PLAIN)).rejects.toThrow(
      `conflict: unable to delete ${id} (must be forced) - image is being used by stopped container cccccccccccc`,
    );
    bed.users.set(image.id, [{ ...user, running: true }]);
    await expect(bed.images.remove(id, FORCE)).rejects.toThrow(
      `conflict: unable to delete ${id} (cannot be forced) - image is being used by running container cccccccccccc`,
    );
    // By name the tag goes, the image stays.
    expect(await bed.images.remove("x", FORCE)).toEqual([{ Untagged: "x:latest" }]);
    bed.users.set(image.id, [user]);
    await bed.snapshotter.prepare("container", image.topLayer);
    // The container outlives its image: the layers stay until it goes.
    expect(await bed.images.remove(id, FORCE)).toEqual([{ Deleted: image.id }]);
    expect(bed.layerCount).toBe(1);
    expect(await bed.deps.store.collectLayers()).toEqual([]);
    bed.snapshotter.remove("container");
    if (image.topLayer !== null) bed.layersInUse.add(image.topLayer);
    expect(await bed.deps.store.collectLayers()).toEqual([]);
    bed.layersInUse.clear();
    expect(await bed.deps.store.collectLayers()).toEqual([...image.layers]);
  });

  test("refuses an image with children", async () => {
    await using bed = new Testbed();
    const base = await bed.add({ second: 1 });
    await bed.add({ name: "x", second: 2, parent: base, layers: [{ "etc/x": "x" }, { b: "b" }] });
    await expect(bed.images.remove(base.id, FORCE)).rejects.toThrow(
      `conflict: unable to delete ${shortId(base.id)} (cannot be forced) - image has dependent child images`,
    );
  });

  test("takes the digests of a repository with its last tag", async () => {
    await using bed = new Testbed();
    const image = await bed.add({ name: "x" });
    const digest = `sha256:${"d".repeat(64)}`;
    bed.deps.store.tag(parseReference(`x@${digest}`), image.id);
    expect((await bed.images.remove("x", PLAIN)).slice(0, 3)).toEqual([
      { Untagged: "x:latest" },
      { Untagged: `x@${digest}` },
      { Deleted: image.id },
    ]);
  });
});

describe("prune()", () => {
  test("removes dangling images, or all that are unused", async () => {
    await using bed = new Testbed();
    await bed.add({ name: "x", second: 1, layers: [{ a: "aaaa" }] });
    const used = await bed.add({ second: 2, layers: [{ b: "b" }] });
    const loose = await bed.add({ second: 3, layers: [{ c: "ccc" }], config: { Labels: { k: "v" } } });
    bed.users.set(used.id, [{ id: "c".repeat(64), name: "n", running: false }]);
    expect(await bed.images.prune({ "label!": ["k"] })).toEqual({ ImagesDeleted: null, SpaceReclaimed: 0 });
    expect(await bed.images.prune({ until: ["2020-01-01T00:00:02Z"] })).toEqual({ ImagesDeleted: null, SpaceReclaimed: 0 });
    expect(await bed.images.prune({})).toEqual({
      ImagesDeleted: [{ Deleted: loose.id }, { Deleted: loose.layers[0] ?? "" }],
      SpaceReclaimed: 3,
    });
    expect((await bed.images.prune({ dangling: ["false"] })).SpaceReclaimed).toBe(4);
    expect(bed.events.at(-1)).toMatchObject({ type: "image", action: "prune", attributes: { reclaimed: "4" } });
    await expect(bed.images.prune({ reference: ["x"] })).rejects.toThrow("invalid filter 'reference'");
    await expect(bed.images.prune({ until: ["1h", "2h"] })).rejects.toThrow("more than one until filter specified");
  });
});

test("a list goes on without an image whose config is gone", async () => {
  await using bed = new Testbed();
  const whole = await bed.add({ name: "whole" });
  const damaged = await bed.add({ name: "damaged", second: 1 });
  bed.blobs.remove(damaged.id);
  expect(
    bed
      .reopen()
      .list()
      .map(({ id }) => id),
  ).toEqual([whole.id]);
  expect(
    bed
      .reopen()
      .damaged()
      .map(({ id }) => id),
  ).toEqual([damaged.id]);
});

test("an image whose config is gone, or damaged, is whole again when it is added anew", async () => {
  await using bed = new Testbed();
  const image = await bed.add({ name: "damaged" });
  const config = bed.deps.store.configBytes(image.id);
  const file = join(bed.root, "content", "blobs", image.id.replace(":", "/"));
  for (const damage of [() => rmSync(file), () => writeFileSync(file, "{}")]) {
    damage();
    const store = bed.reopen();
    expect(store.damaged().map(({ id }) => id)).toEqual([image.id]);
    expect(store.create(config).names).toEqual(["damaged:latest"]);
    expect(store.damaged()).toEqual([]);
  }
});

test("recover() drops damaged images and what nobody uses", async () => {
  await using bed = new Testbed();
  const whole = await bed.add({ name: "whole", layers: [{ a: "a" }] });
  const broken = await bed.add({ name: "broken", layers: [{ b: "b" }] });
  const { blobs } = bed;
  const { store } = bed.deps;
  await bed.deps.layers.apply(tarOf({ loose: "x" }), { parent: whole.topLayer, signal: new AbortController().signal, name: "loose" });
  blobs.remove(broken.id);
  const restarted = bed.reopen();
  await restarted.recover();
  expect(restarted.list().map((image) => image.names)).toEqual([["whole:latest"]]);
  expect(bed.layerCount).toBe(1);
  expect(blobs.list().map((blob) => blob.digest)).toEqual([whole.id]);
  expect(store.get(whole.id).layers).toEqual(whole.layers);
});
