import { expect, test } from "bun:test";
import { ImageStore } from "../../../images/mod.ts";
import { silentLogger } from "../../../lib/mod.ts";
import { Database, MIGRATIONS } from "../../../metadata/mod.ts";
import { Testbed } from "../testbed.ts";

/** Files of different sizes, so that no two images share a layer. */
const layers = (size: number) => [{ data: "x".repeat(size) }];

test("collect() removes the oldest until there is enough, with docker's events", async () => {
  await using bed = new Testbed();
  for (const [index, name] of ["a", "b", "c"].entries()) await bed.add({ name, layers: layers(100 + index), second: index });
  bed.disk = { capacityBytes: 1000, availableBytes: 0 };
  const dry = await bed.gc.collect({ dryRun: true, untilFreeBytes: 150 });
  expect(dry).toMatchObject({ SpaceReclaimed: 201, Needed: 150, Capacity: 1000, Available: 0 });
  expect(bed.deps.store.list()).toHaveLength(3);
  // the file system gives nothing back here: everything goes
  const report = await bed.gc.collect({ dryRun: false, untilFreeBytes: 150 });
  expect(report.Images.map(({ Names, Size }) => [Names[0], Size])).toEqual([
    ["a:latest", 100],
    ["b:latest", 101],
    ["c:latest", 102],
  ]);
  expect(bed.events.map(({ action }) => action)).toEqual(["untag", "delete", "untag", "delete", "untag", "delete"]);
  expect(bed.layerCount).toBe(0);
});

test("collect() without room to make does nothing, and leaves a container's, a pinned and a held image", async () => {
  await using bed = new Testbed();
  const [used, pinned, held] = [
    await bed.add({ name: "used", layers: layers(10) }),
    await bed.add({ name: "pinned", layers: layers(11), second: 1 }),
    await bed.add({ name: "held", layers: layers(12), second: 2 }),
  ];
  expect((await bed.gc.collect({ dryRun: false })).Images).toEqual([]);
  bed.users.set(used.id, [{ id: "1".repeat(64), name: "web", running: true }]);
  await bed.images.pin("pinned", true);
  const lease = bed.deps.store.hold(held);
  bed.disk = { capacityBytes: 1000, availableBytes: 0 };
  expect(await bed.gc.collect({ dryRun: false })).toMatchObject({ Images: [], Needed: 200 });
  const texts = async (ref: string) => (await bed.images.whyKept(ref)).Keepers.map(({ Text }) => Text);
  expect(await texts("used")).toEqual(["the running container web was made from it"]);
  expect(await texts(pinned.id)).toEqual(["it is pinned"]);
  expect(await texts("held")).toEqual(["work in flight needs its layers: a create, save, load or commit"]);
  lease[Symbol.dispose]();
  expect((await bed.gc.collect({ dryRun: false })).Images.map(({ Names }) => Names[0])).toEqual(["held:latest"]);
});

test("a use is noted once an hour, and by the next store, too", async () => {
  await using bed = new Testbed();
  const image = await bed.add({ name: "a" });
  const start = bed.deps.store.uses.of(image.id).usedMs;
  let nowMs = start + 3_599_000;
  using db = Database.open(":memory:", MIGRATIONS);
  const options = { db, blobs: bed.blobs, layers: bed.deps.layers, layersInUse: () => [], log: silentLogger, now: () => nowMs };
  const store = new ImageStore(options);
  const config = bed.deps.store.configBytes(image.id);
  nowMs = start;
  store.create(config);
  const writes = (): number => db.sqlite.query<{ n: number }, []>("SELECT total_changes() AS n").get()?.n ?? 0;
  const before = writes();
  nowMs = start + 3_599_000;
  store.uses.note(image.id);
  expect([store.uses.of(image.id).usedMs, writes()]).toEqual([start, before]);
  nowMs = start + 3_600_000;
  store.uses.note(image.id);
  store.uses.note(image.id);
  expect([store.uses.of(image.id).usedMs, writes()]).toEqual([nowMs, before + 1]);
  const next = new ImageStore({ ...options, now: () => nowMs + 1000 });
  next.uses.note(image.id);
  expect(next.uses.of(image.id).usedMs).toBe(nowMs);
});
