import { describe, expect, test } from "bun:test";
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { type ChainId, digestOf, errorKind, type Logger, silentLogger } from "../lib/mod.ts";
import { isMountPoint, makeUserNamespaces, readMountInfo, withFsIds } from "../linux/mod.ts";
import { diffSuite } from "./diff-suite.ts";
import type { Snapshotter } from "./mod.ts";
import { files, isRoot, makeLayer, mendAll, temporaryDirectory } from "./test-support.ts";

async function kindOf(work: () => unknown): Promise<string> {
  try {
    await work();
    return "nothing thrown";
  } catch (error) {
    return errorKind(error);
  }
}

/** What every snapshotter promises. */
export function snapshotterSuite(make: (root: string, log: Logger) => Snapshotter): void {
  const start = (path: string): Snapshotter => make(join(path, "s"), silentLogger);
  const unknown = digestOf("no such layer") as unknown as ChainId;

  describe.skipIf(!isRoot)("snapshotter (skipped: needs root)", () => {
    diffSuite((root) => make(root, silentLogger));

    test("prepare() and mount() give a writable tree that has the parent's files", async () => {
      using tmp = temporaryDirectory();
      const s = start(tmp.path);
      const base = await makeLayer(s, null, "base", files({ "etc/a": "old", "etc/b": "b" }));
      const top = await makeLayer(s, base, "top", files({ "etc/a": "new" }));
      await s.prepare("c1", top);
      const rootfs = s.mount("c1");
      expect(s.mount("c1")).toBe(rootfs);
      expect(s.paths("c1").rootfs).toBe(rootfs);
      expect(readFileSync(join(rootfs, "etc/a"), "utf8")).toBe("new");
      expect(readFileSync(join(rootfs, "etc/b"), "utf8")).toBe("b");
      writeFileSync(join(rootfs, "etc/b"), "changed");
      await s.prepare("c2", top);
      expect(readFileSync(join(s.mount("c2"), "etc/b"), "utf8")).toBe("b");
      expect(readFileSync(join(s.layerPaths(base).root, "etc/b"), "utf8")).toBe("b");
      expect(s.keys().sort()).toEqual(["c1", "c2"]);
      expect(s.usersOf(top).sort()).toEqual(["c1", "c2"]);
      expect(s.usersOf(base)).toEqual([]);
    });

    test("what was written is there after unmount() and mount(), also for another process' snapshotter", async () => {
      using tmp = temporaryDirectory();
      const s = start(tmp.path);
      const base = await makeLayer(s, null, "base", files({ a: "a" }));
      for (const isEphemeral of [false, true]) {
        const key = `c-${isEphemeral}`;
        await s.prepare(key, base, { isEphemeral });
        writeFileSync(join(s.mount(key), "b"), "written");
        s.unmount(key);
        s.unmount(key);
        expect(readFileSync(join(start(tmp.path).mount(key), "b"), "utf8")).toBe("written");
      }
    });

    test("prepare() without a parent gives an empty tree", async () => {
      using tmp = temporaryDirectory();
      const s = start(tmp.path);
      await s.prepare("empty", null);
      const rootfs = s.mount("empty");
      expect(readdirSync(rootfs)).toEqual([]);
      writeFileSync(join(rootfs, "f"), "x");
      expect(await s.usage("empty")).toMatchObject({ sizeBytes: 1 });
    });

    test("the root directory has the parent's owner and permissions", async () => {
      using tmp = temporaryDirectory();
      const s = start(tmp.path);
      const base = await makeLayer(s, null, "base", (root) => chmodSync(root, 0o1777));
      const top = await makeLayer(s, base, "top", files({ a: "a" }));
      await s.prepare("c", top);
      expect(statSync(s.mount("c")).mode & 0o7777).toBe(0o1777);
    });

    test("rejects a taken key, a missing parent, a missing key and a key that is no plain name", async () => {
      using tmp = temporaryDirectory();
      const s = start(tmp.path);
      await s.prepare("c", null);
      expect(await kindOf(() => s.prepare("c", null))).toBe("conflict");
      expect(await kindOf(() => s.prepare("d", unknown))).toBe("notFound");
      expect(await kindOf(() => s.draft(unknown))).toBe("notFound");
      for (const work of [() => s.mount("x"), () => s.paths("x"), () => s.usage("x")]) expect(await kindOf(work)).toBe("notFound");
      for (const key of ["", "..", "a/b", ".hidden", "a\0"]) expect(await kindOf(() => s.prepare(key, null))).toBe("invalid");
      expect(await kindOf(() => s.remove("../c"))).toBe("invalid");
      expect(s.keys()).toEqual(["c"]);
    });

    test("remove() takes a snapshot away at once, mounted and in use or not, follows no link, and knows no missing key", async () => {
      using tmp = temporaryDirectory();
      const s = start(tmp.path);
      const outside = join(tmp.path, "outside");
      files({ precious: "x" })(outside);
      const base = await makeLayer(s, null, "base", files({ a: "a" }));
      await s.prepare("c", base);
      const rootfs = s.mount("c");
      symlinkSync(outside, join(rootfs, "link"));
      const busy = Bun.spawn(["sleep", "60"], { cwd: rootfs });
      try {
        s.remove("c");
        expect(s.keys()).toEqual([]);
        expect(existsSync(rootfs)).toBe(false);
        expect(isMountPoint(rootfs)).toBe(false);
        await s.prepare("c", base);
        s.remove("c");
        s.remove("c");
      } finally {
        busy.kill();
        await busy.exited;
      }
      await s.drain();
      expect(readdirSync(join(tmp.path, "s", "trash"))).toEqual([]);
      expect(existsSync(join(outside, "precious"))).toBe(true);
    });

    test("usage() counts what the snapshot adds, hard links once", async () => {
      using tmp = temporaryDirectory();
      const s = start(tmp.path);
      const base = await makeLayer(s, null, "base", files({ big: "x".repeat(10_000), small: "s" }));
      await s.prepare("c", base);
      const rootfs = s.mount("c");
      expect((await s.usage("c")).sizeBytes).toBe(0);
      writeFileSync(join(rootfs, "one"), "x".repeat(1000));
      Bun.spawnSync(["ln", join(rootfs, "one"), join(rootfs, "two")]);
      mkdirSync(join(rootfs, "dir"));
      symlinkSync("12345", join(rootfs, "dir", "link"));
      expect((await s.usage("c")).sizeBytes).toBe(1005);
    });

    test("a draft is invisible until commit() and gone after discard()", async () => {
      using tmp = temporaryDirectory();
      const s = start(tmp.path);
      const draft = await s.draft(null);
      files({ a: "a" })(draft.root);
      expect(s.layers()).toEqual([]);
      draft.discard();
      draft.commit(unknown);
      expect(s.layers()).toEqual([]);
      expect(existsSync(draft.dir)).toBe(false);
      const base = await makeLayer(s, null, "base", files({ a: "a" }));
      const again = await s.draft(null);
      files({ a: "second" })(again.root);
      again.commit(base);
      again.discard();
      expect(s.layers()).toEqual([base]);
      expect(readFileSync(join(s.layerPaths(base).root, "a"), "utf8")).toBe("second");
    });

    test("removeLayer() takes a layer away", async () => {
      using tmp = temporaryDirectory();
      const s = start(tmp.path);
      const base = await makeLayer(s, null, "base", files({ a: "a" }));
      s.removeLayer(base);
      s.removeLayer(base);
      expect(s.layers()).toEqual([]);
      expect(await kindOf(() => s.prepare("c", base))).toBe("notFound");
    });

    test("sweep() removes what a crash left and keeps what is known", async () => {
      using tmp = temporaryDirectory();
      const s = start(tmp.path);
      const base = await makeLayer(s, null, "base", files({ a: "a" }));
      for (const key of ["known", "lost"]) {
        await s.prepare(key, base);
        s.mount(key);
      }
      const draft = await s.draft(base);
      draft.lower();
      const root = join(tmp.path, "s");
      mkdirSync(join(root, "active", "half-made"));
      mkdirSync(join(root, "trash", "half-deleted", "deep"), { recursive: true });
      const next = start(tmp.path);
      mendAll(next.defects((key) => key === "known"));
      await next.drain();
      expect(next.keys()).toEqual(["known"]);
      expect(next.layers()).toEqual([base]);
      expect(readFileSync(join(next.mount("known"), "a"), "utf8")).toBe("a");
      for (const dir of ["drafts", "trash"]) expect(readdirSync(join(root, dir))).toEqual([]);
      const mounts = readMountInfo().filter((m) => m.mountPoint.startsWith(`${root}/`) && !m.mountPoint.includes("known"));
      expect(mounts).toEqual([]);
    });

    test("mount() with a view shows and takes a user namespace's ids, with the image's on the disk", async () => {
      using tmp = temporaryDirectory();
      const s = start(tmp.path);
      using namespaces = await makeUserNamespaces({ uidMap: "0 100000 65536\n", gidMap: "0 200000 65536\n" });
      const view = { userns: namespaces.userns, root: { uid: 100000, gid: 200000 } };
      const layer = (root: string): void => {
        files({ "etc/a": "a", "etc/b": "b" })(root);
        chownSync(join(root, "etc/a"), 33, 34);
      };
      const base = await makeLayer(s, null, "base", layer);
      for (const parent of [base, null]) {
        const key = `c-${parent === null}`;
        await s.prepare(key, parent, { isEphemeral: true });
        s.mount(key);
        const rootfs = s.mount(key, view);
        expect([s.mount(key), s.paths(key).rootfs]).toEqual([rootfs, rootfs]);
        expect(statSync(rootfs)).toMatchObject({ uid: 100000, gid: 200000 });
        withFsIds(view.root, () => mkdirSync(join(rootfs, "made")));
        if (parent !== null) {
          expect(statSync(join(rootfs, "etc/a"))).toMatchObject({ uid: 100033, gid: 200034 });
          chownSync(join(rootfs, "etc/b"), 100001, 200001);
          rmSync(join(rootfs, "etc/a"));
          expect(statSync(join(s.layerPaths(base).root, "etc/b"))).toMatchObject({ uid: 0, gid: 0 });
        }
        expect(statSync(join(s.paths(key).upper, "made"))).toMatchObject({ uid: 0, gid: 0 });
        s.unmount(key);
        expect(isMountPoint(rootfs)).toBe(false);
        const plain = s.mount(key);
        expect(plain).not.toBe(rootfs);
        if (parent !== null) expect(statSync(join(plain, "etc/b"))).toMatchObject({ uid: 1, gid: 1 });
        expect(existsSync(join(plain, "etc/a"))).toBe(false);
        s.unmount(key);
      }
      for (const key of ["c-true", "c-false"]) s.mount(key, view);
      mendAll(start(tmp.path).defects((key) => key === "c-true"));
      const mounts = readMountInfo().filter((m) => m.mountPoint.startsWith(`${tmp.path}/`));
      expect(mounts.map((m) => m.mountPoint)).toEqual([s.paths("c-true").rootfs]);
      s.remove("c-true");
      expect(readMountInfo().some((m) => m.mountPoint.startsWith(`${tmp.path}/`))).toBe(false);
    });

    test("a stack of 130 layers works", async () => {
      using tmp = temporaryDirectory();
      const s = start(tmp.path);
      let top: ChainId | null = null;
      for (let i = 0; i < 130; i++) top = await makeLayer(s, top, `layer ${i}`, files({ [`f${i}`]: String(i), last: String(i) }));
      await s.prepare("c", top);
      const rootfs = s.mount("c");
      expect(readFileSync(join(rootfs, "last"), "utf8")).toBe("129");
      expect(readdirSync(rootfs).length).toBe(131);
      rmSync(join(rootfs, "f0"));
      expect(existsSync(join(rootfs, "f0"))).toBe(false);
      s.unmount("c");
      using namespaces = await makeUserNamespaces({ uidMap: "0 100000 65536\n", gidMap: "0 100000 65536\n" });
      const mapped = s.mount("c", { userns: namespaces.userns, root: { uid: 100000, gid: 100000 } });
      expect(statSync(join(mapped, "f129")).uid).toBe(100000);
      expect(readdirSync(mapped).length).toBe(130);
      s.remove("c");
    }, 60_000);
  });
}
