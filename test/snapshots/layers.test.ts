/** LayerStore over the real database: what it promises of its layers, whatever happens meanwhile. */
import { describe, expect, test } from "bun:test";
import { truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type ChainId, type DiffId, digestOf, encodeTarHeader } from "../../src/lib/mod.ts";
import { collect } from "../../src/lib/tar/test-support.ts";
import { isRoot } from "../../src/snapshots/test-support.ts";
import { archive, bed, DRIVERS, failureOf, sh } from "./bed.ts";

for (const driver of DRIVERS) {
  describe.skipIf(!isRoot)(`layers on ${driver} (skipped: needs root)`, () => {
    test("apply() stops when it is told to and leaves nothing", async () => {
      using at = bed(driver);
      const abort = new AbortController();
      const endless = async function* (): AsyncGenerator<Uint8Array> {
        yield encodeTarHeader({ type: "file", name: "endless", mode: 0o644, size: 2 ** 40 });
        for (let i = 0; ; i++) {
          if (i === 5) abort.abort(new Error("client went away"));
          yield Buffer.alloc(1000, 1);
        }
      };
      expect((await failureOf(at.apply(endless(), { signal: abort.signal }))).message).toBe("client went away");
      const broken = async function* (): AsyncGenerator<Uint8Array> {
        yield encodeTarHeader({ type: "file", name: "f", mode: 0o644, size: 1000 });
        throw new Error("connection lost");
      };
      expect((await failureOf(at.apply(broken()))).message).toContain("connection lost");
      await at.snapshotter.drain();
      expect(sh(`cd ${at.path}; find . -type f`)).toBe("");
    });

    test("the same layer twice at once is unpacked once; a missing parent is refused", async () => {
      using at = bed(driver);
      const tar = await archive({ name: "a", text: "a" });
      const diffId = digestOf(tar) as DiffId;
      let reads = 0;
      const counted = async function* (): AsyncGenerator<Uint8Array> {
        reads++;
        await Bun.sleep(5);
        yield tar;
      };
      const [one, two] = await Promise.all([at.apply(counted(), { diffId }), at.apply(counted(), { diffId })]);
      expect(one).toEqual(two);
      expect(reads).toBe(1);
      const other = await archive({ name: "b", text: "b" });
      const [three, four] = await Promise.all([at.apply(other), at.apply(other)]);
      expect(three).toEqual(four);
      expect(at.layers.list().length).toBe(2);
      expect((await failureOf(at.apply(tar, { parent: digestOf("x") as unknown as ChainId }))).kind).toBe("notFound");
    });

    test("remove() refuses while a layer or snapshot is on top, then deletes; unknown layers are fine", async () => {
      using at = bed(driver);
      const base = await at.apply(await archive({ name: "a", text: "a" }));
      const top = await at.apply(await archive({ name: "b", text: "b" }), { parent: base.chainId });
      await at.snapshotter.prepare("c", top.chainId);
      expect((await failureOf(at.layers.remove(base.chainId))).kind).toBe("conflict");
      expect((await failureOf(at.layers.remove(top.chainId))).kind).toBe("conflict");
      at.snapshotter.remove("c");
      await at.layers.remove(top.chainId);
      await at.layers.remove(base.chainId);
      await at.layers.remove(base.chainId);
      await at.snapshotter.drain();
      expect(at.layers.list()).toEqual([]);
      expect(sh(`cd ${at.path}; find . -type f`)).toBe("");
      expect((await failureOf(collect(at.layers.tar(base.chainId)))).kind).toBe("notFound");
    });

    test("recover() deletes directories without a row and forgets rows without a directory", async () => {
      using at = bed(driver);
      const base = await at.apply(await archive({ name: "a", text: "a" }));
      const top = await at.apply(await archive({ name: "b", text: "b" }), { parent: base.chainId });
      const lost = await at.apply(await archive({ name: "c", text: "c" }));
      at.table.delete(lost.chainId);
      await at.restart().recover();
      expect(at.snapshotter.layers().sort()).toEqual([base.chainId, top.chainId].sort());
      at.snapshotter.removeLayer(base.chainId);
      await at.restart().recover();
      // a layer is nothing without the one below it
      expect(at.layers.list()).toEqual([]);
    });

    test("recover() checks layers that were not yet on the disk when the machine went down", async () => {
      using at = bed(driver);
      const good = await at.apply(await archive({ name: "a", text: "good" }));
      const cut = await at.apply(await archive({ name: "b", text: "lost in the power cut" }));
      truncateSync(join(at.layers.rootfsPath(cut.chainId), "b"), 0);
      await at.restart("boot-1").recover();
      expect(at.layers.list().length).toBe(2);
      await at.restart("boot-2").recover();
      expect(at.layers.list()).toEqual([good]);
      expect(at.table.unsynced()).toEqual([]);
      await at.restart("boot-3").recover();
      expect(at.layers.list()).toEqual([good]);
    });

    test("layers are marked as synced in the background", async () => {
      using at = bed(driver);
      const layer = await at.apply(await archive({ name: "a", text: "a" }));
      expect(at.table.unsynced().map((row) => row.chainId)).toEqual([layer.chainId]);
      await at.layers.drain();
      expect(at.table.unsynced()).toEqual([]);
    });

    test("tar() fails when a file was changed on disk, before it gave all", async () => {
      using at = bed(driver);
      const bytes = await archive({ name: "a", text: "a".repeat(3_000_000) });
      const layer = await at.apply(bytes);
      writeFileSync(join(at.layers.rootfsPath(layer.chainId), "a"), "b".repeat(3_000_000));
      let given = 0;
      const read = async (): Promise<void> => {
        for await (const chunk of at.layers.tar(layer.chainId)) given += chunk.length;
      };
      expect((await failureOf(read())).kind).toBe("internal");
      expect(given).toBeLessThan(bytes.length);
      truncateSync(join(at.layers.rootfsPath(layer.chainId), "a"), 5);
      expect((await failureOf(read())).message).toContain("shorter");
    });
  });
}
