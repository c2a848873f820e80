/** Archives that nobody should make: refused, or kept inside. */
import { describe, expect, test } from "bun:test";
import { lstatSync, mkdirSync, readdirSync, readFileSync, readlinkSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync, zstdCompressSync } from "node:zlib";
import fc from "fast-check";
import { type DiffId, digestOf, encodeTarHeader, errorKind } from "../../src/lib/mod.ts";
import { collect, oddEntry } from "../../src/lib/tar/test-support.ts";
import { lgetxattr, mount } from "../../src/linux/mod.ts";
import type { ApplyOptions } from "../../src/snapshots/mod.ts";
import { isRoot, temporaryDirectory } from "../../src/snapshots/test-support.ts";
import { archive, bed, DRIVERS, type Entry, failureOf, sh } from "./bed.ts";

for (const driver of DRIVERS) {
  describe.skipIf(!isRoot)(`hostile archives on ${driver} (skipped: needs root)`, () => {
    const link = (name: string, linkName: string): Entry => ({ name, type: "symlink", linkName, mode: 0o777 });
    const hard = (name: string, linkName: string): Entry => ({ name, type: "link", linkName, mode: 0o644 });
    const refused: [string, Entry[], string | RegExp][] = [
      ["a name that leads up", [{ name: "../evil", text: "x" }], '"../evil": "../evil" is outside of the layer\'s root'],
      ["a name that leads up in the middle", [{ name: "a/../../evil", text: "x" }], "outside of the layer's root"],
      ["a hard link to above", [hard("h", "../../../../etc/hostname")], "outside of the layer's root"],
      ["a hard link to an absolute path", [hard("h", "/etc/passwd")], /"h": .*no such file/],
      ["a hard link through a link out", [link("l", "/etc"), hard("h", "l/passwd")], /"h": .*no such file/],
      ["a hard link to itself", [{ name: "h", text: "x" }, hard("h", "h")], "a hard link to itself"],
      ["a loop of links", [link("a", "b"), link("b", "a"), { name: "a/x", text: "x" }], /"a\/x": .*too many levels of symbolic links/],
      [
        "a file as a directory",
        [
          { name: "f", text: "x" },
          { name: "f/x", text: "x" },
        ],
        /"f\/x": .*not a directory/,
      ],
      ["a whiteout of the parent", [{ name: "d/.wh..." }], "a whiteout of no file"],
      ["a whiteout of its directory", [{ name: "d/.wh.." }], "a whiteout of no file"],
      ["a whiteout of nothing", [{ name: "d/.wh." }], "a whiteout of no file"],
      ["a file at the root", [{ name: "./", type: "file", text: "x" }], /not a directory/],
    ];
    for (const [what, entries, message] of refused) {
      test(what, async () => {
        using at = bed(driver);
        const failure = await failureOf(at.apply(await archive(...entries)));
        expect(failure.message).toMatch(message);
        expect(failure.message).toStartWith('apply layer "test-layer": ');
        expect(at.layers.list()).toEqual([]);
        await at.snapshotter.drain();
        expect(sh(`cd ${at.path}; find . -type f`)).toBe("");
      });
    }

    test("absolute names and links that lead out: they stay inside", async () => {
      using at = bed(driver);
      const outside = join(at.path, "outside");
      mkdirSync(outside);
      writeFileSync(join(outside, "victim"), "untouched");
      const layer = await at.apply(
        await archive(
          { name: `${outside}/absolute`, text: "x" },
          link("out", outside),
          { name: "out/inside", text: "x" },
          link("up", "../../../../../../../.."),
          { name: `up${outside}/victim`, text: "overwritten" },
          link("victim", `${outside}/victim`),
          { name: "victim", text: "replaced, not followed" },
          link("dir", outside),
          { name: "dir/" },
          { name: "out/.wh.victim" },
          { name: "out/.wh..wh..opq" },
        ),
      );
      expect(readdirSync(outside)).toEqual(["victim"]);
      expect(readFileSync(join(outside, "victim"), "utf8")).toBe("untouched");
      expect(readdirSync(at.path).sort()).toEqual(["outside", "state"]);
      const root = at.layers.rootfsPath(layer.chainId);
      expect(readFileSync(join(root, outside, "absolute"), "utf8")).toBe("x");
      expect(readlinkSync(join(root, "out"))).toBe(outside);
      expect(lstatSync(join(root, "victim")).isFile()).toBe(true);
      expect(lstatSync(join(root, "dir")).isDirectory()).toBe(true);
    });

    test("xattrs that steer overlayfs: left out", async () => {
      using at = bed(driver);
      const xattrs = new Map([
        ["trusted.overlay.redirect", Buffer.from("/etc")],
        ["trusted.overlay.opaque", Buffer.from("y")],
        ["user.fine", Buffer.from("1")],
      ]);
      const layer = await at.apply(await archive({ name: "d/", xattrs }, { name: "f", xattrs }));
      for (const name of ["d", "f"]) {
        const path = join(at.layers.rootfsPath(layer.chainId), name);
        expect(lgetxattr(path, "trusted.overlay.redirect")).toBeUndefined();
        expect(lgetxattr(path, "trusted.overlay.opaque")).toBeUndefined();
        expect(lgetxattr(path, "user.fine")?.toString()).toBe("1");
      }
    });

    test("a wrong digest, a cut gzip, a cut tar, a bad header", async () => {
      using at = bed(driver);
      const tar = await archive({ name: "a", text: "a".repeat(100_000) }, { name: "b", text: "b" });
      const wrong = digestOf("something else") as DiffId;
      const negative = Buffer.from(tar);
      negative.fill(0xff, 124, 136);
      const broken: [Uint8Array, Partial<ApplyOptions>, string | RegExp][] = [
        [tar, { diffId: wrong }, `apply layer "test-layer": filesystem layer verification failed for digest ${wrong}`],
        [gzipSync(tar).subarray(0, -20), {}, 'apply layer "test-layer": unexpected EOF'],
        [zstdCompressSync(tar).subarray(0, -3), {}, 'apply layer "test-layer": unexpected EOF'],
        [tar.subarray(0, 50_000), {}, /apply layer "test-layer": "a": unexpected EOF/],
        [negative, {}, /invalid tar header/],
        [Buffer.from("this is no tar at all".repeat(100)), {}, /invalid tar header/],
      ];
      for (const [bytes, options, message] of broken) {
        const failure = await failureOf(at.apply(bytes, options));
        expect(failure.message).toMatch(message);
        expect(failure.kind).toBe("invalid");
      }
      expect(at.layers.list()).toEqual([]);
      expect(at.snapshotter.layers()).toEqual([]);
      await at.snapshotter.drain();
      expect(sh(`cd ${at.path}; find . -type f`)).toBe("");
    });

    test("a 10 GB sparse file takes no room, and gigabytes of zeros don't either", async () => {
      using at = bed(driver);
      sh(`cd ${at.path}; truncate -s 10G huge; tar -S -cf huge.tar huge; rm huge`);
      const sparse = await at.apply(readFileSync(join(at.path, "huge.tar")));
      const huge = statSync(join(at.layers.rootfsPath(sparse.chainId), "huge"));
      expect([huge.size, huge.blocks < 100]).toEqual([10 * 2 ** 30, true]);
      expect((await collect(at.layers.tar(sparse.chainId))).length).toBe(sparse.tarSizeBytes);
      const linked = await at.apply(await archive({ name: "link", type: "link", linkName: "huge" }), { parent: sparse.chainId });
      const link = statSync(join(at.layers.rootfsPath(linked.chainId), "link"));
      expect([link.size, link.blocks < 100]).toEqual([10 * 2 ** 30, true]);
      const size = 300 << 20;
      const zeros = async function* (): AsyncGenerator<Uint8Array> {
        yield encodeTarHeader({ type: "file", name: "zeros", mode: 0o644, size });
        const piece = Buffer.alloc(1 << 20);
        for (let i = 0; i < 300; i++) yield piece;
        yield Buffer.alloc(1024);
      };
      const plain = await at.apply(zeros());
      expect(statSync(join(at.layers.rootfsPath(plain.chainId), "zeros")).size).toBe(size);
      expect(statSync(join(at.layers.rootfsPath(plain.chainId), "zeros")).blocks).toBeLessThan(100);
    });

    test("any sequence of entries: nothing outside changes, and what is accepted comes back byte for byte", async () => {
      using at = bed(driver);
      const outside = join(at.path, "outside");
      mkdirSync(outside);
      writeFileSync(join(outside, "a"), "untouched");
      const stateOf = (): string => sh(`cd ${at.path}; find outside -printf '%p %y %s %T@ %m\\n'; ls`);
      const before = stateOf();
      const part = fc.constantFrom("a", "b", "c", "..", ".wh.a", ".wh..wh..opq");
      const path = fc.array(part, { minLength: 1, maxLength: 4 }).map((parts) => parts.join("/"));
      const target = fc.oneof(
        path,
        path.map((p) => `/${p}`),
        fc.constant(outside),
        fc.constant("../../../../../.."),
      );
      const entry = fc.oneof(
        { weight: 4, arbitrary: fc.record({ name: path, text: fc.string({ minLength: 1, maxLength: 20, unit: "binary-ascii" }) }) },
        { weight: 3, arbitrary: path.map((name) => ({ name: `${name}/` })) },
        { weight: 3, arbitrary: fc.record({ name: path, type: fc.constant("symlink" as const), linkName: target }) },
        { weight: 2, arbitrary: fc.record({ name: path, type: fc.constant("link" as const), linkName: path }) },
        { weight: 1, arbitrary: fc.record({ name: path, type: fc.constant("fifo" as const) }) },
      );
      const base = await at.apply(
        await archive(
          { name: "a/" },
          { name: "a/b/" },
          { name: "a/b/c", text: "c" },
          { name: "b", type: "symlink", linkName: "/a", mode: 0o777 },
          { name: "c", text: "c" },
        ),
      );
      let accepted = 0;
      await fc.assert(
        fc.asyncProperty(fc.array(entry, { minLength: 1, maxLength: 12 }), async (entries) => {
          const bytes = await archive(...entries);
          const layer = await at.apply(bytes, { parent: base.chainId }).catch((error: unknown) => {
            expect(errorKind(error)).toBe("invalid");
            return undefined;
          });
          if (layer === undefined) return;
          accepted++;
          expect((await collect(at.layers.tar(layer.chainId))).equals(bytes)).toBe(true);
          await at.layers.remove(layer.chainId);
        }),
        { numRuns: driver === "native" ? 60 : 250 },
      );
      expect(accepted).toBeGreaterThan(0);
      expect(stateOf()).toBe(before);
    }, 60_000);

    test("any blocks that are accepted come back byte for byte, with what follows them", async () => {
      using at = bed(driver);
      const names = fc
        .array(fc.constantFrom("a", "b", "c", ".wh.a", ".", ""), { minLength: 1, maxLength: 3 })
        .map((parts) => parts.join("/"));
      const garbage = fc.oneof(fc.constant(new Uint8Array(0)), fc.uint8Array({ maxLength: 700 }), fc.constant(new Uint8Array(20_480)));
      let accepted = 0;
      const attempt = async (bytes: Buffer): Promise<void> => {
        const layer = await at.apply(bytes).catch((error: unknown) => {
          if (errorKind(error) !== "invalid") throw error;
          return undefined;
        });
        if (layer === undefined) return;
        accepted++;
        expect((await collect(at.layers.tar(layer.chainId))).equals(bytes)).toBe(true);
        await at.layers.remove(layer.chainId);
      };
      let last = Promise.resolve();
      await fc.assert(
        fc.asyncProperty(fc.array(oddEntry(names), { maxLength: 4 }), fc.boolean(), garbage, (entries, hasEnd, rest) => {
          last = attempt(Buffer.concat([...entries, ...(hasEnd ? [Buffer.alloc(1024), rest] : [])]));
          return last;
        }),
        { interruptAfterTimeLimit: Number(process.env["DHOW_FUZZ_MS"] ?? 1_500), numRuns: 5_000 },
      );
      // when its time is over, the run that is under way goes on
      await last;
      expect(accepted).toBeGreaterThan(0);
    }, 60_000);

    test("a full disk: a clear error, nothing left, and deleting still works", async () => {
      using tmp = temporaryDirectory();
      mount("tmpfs", tmp.path, "tmpfs", 0, "size=4m");
      using at = bed(driver, tmp.path);
      const small = await at.apply(await archive({ name: "a", text: "x".repeat(400_000) }));
      const failure = await failureOf(
        at.apply(await archive({ name: "some/big", text: "x".repeat(5_000_000) }), { parent: small.chainId }),
      );
      expect(failure.message).toMatch(/^apply layer "test-layer": "some\/big": .*no space left on device$/);
      expect(failure.kind).toBe("unavailable");
      expect(at.layers.list()).toEqual([small]);
      await at.snapshotter.drain();
      writeFileSync(join(tmp.path, "filler"), "");
      sh(`dd if=/dev/zero of=${tmp.path}/filler bs=4k 2>/dev/null || true`);
      await at.layers.remove(small.chainId);
      await at.snapshotter.drain();
      expect(sh(`cd ${at.path}; find . -type f`)).toBe("");
    });
  });
}
