/** Archives in, trees on disk, the same archives out; on both snapshotters and the real kernel. */
import { describe, expect, test } from "bun:test";
import { lstatSync, readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { gzipSync, zstdCompressSync } from "node:zlib";
import { chainId, type DiffId, digestOf, encodeTarHeader, errorKind } from "../../src/lib/mod.ts";
import { collect } from "../../src/lib/tar/test-support.ts";
import { isRoot } from "../../src/snapshots/test-support.ts";
import { archive, bed, DRIVERS, describeTree, sh } from "./bed.ts";

for (const driver of DRIVERS) {
  describe.skipIf(!isRoot)(`archives on ${driver} (skipped: needs root)`, () => {
    const cases: [string, string][] = [
      ["GNU", "--format=gnu"],
      ["PAX", "--format=posix --xattrs --xattrs-include='*'"],
    ];
    for (const [name, flags] of cases) {
      test(`apply() unpacks a ${name} archive as GNU tar packed it, tar() gives the same bytes`, async () => {
        using at = bed(driver);
        const tree = join(at.path, "tree");
        sh(`mkdir -p ${tree}/dir/sub ${tree}/sticky; cd ${tree}; L=$(printf 'l%.0s' $(seq 120))
          mkdir -p $L/$L; echo long > $L/$L/$L; echo data > dir/file; ln dir/file dir/hard; ln -s ../nowhere dir/link; ln -s $L$L longlink
          ln dir/link dir/hardlink-of-link; mkfifo -m 622 fifo; mknod -m 660 null c 1 3; mknod disk b 259 300
          echo setuid > suid; chown 1000:1001 suid; chmod 6755 suid; chown 7:8 dir/sub; chmod 2770 dir/sub; chmod 1777 sticky
          chown -h 12:13 longlink; chown 4000000:4000001 dir/file; : > empty; chmod 0 empty
          printf 'bytes' > "$(printf 'n\\377\\376me')"
          truncate -s 30M holes; printf middle | dd of=holes bs=1 seek=10000000 conv=notrunc status=none; truncate -s 5M only-hole`);
        if (name === "PAX")
          sh(`cd ${tree}; python3 -c "import os
os.setxattr('dir/file', 'user.note', b'a\\nb=c'); os.setxattr('dir', 'user.dir', b'd')
os.setxattr('suid', 'security.capability', bytes.fromhex('0100000200040000000000000000000000000000'))
os.setxattr('fifo', 'trusted.own', b'f'); os.setxattr('longlink', 'trusted.own', b'l', follow_symlinks=False)"`);
        sh(`cd ${tree}; find . -type f -exec touch -d '2001-02-03 04:05:06.${name === "PAX" ? "123456789" : "0"}' {} +; touch -h -d @-5 dir/link; find . -depth -type d -exec touch -d '1999-01-01' {} +; find . -printf '%p' >/dev/null
          touch -h -d @1000000000 longlink fifo null disk`);
        sh(`tar -C ${tree} -S ${flags} --sort=name -cf ${at.path}/a.tar .`);
        const bytes = readFileSync(join(at.path, "a.tar"));
        const diffId = digestOf(bytes) as DiffId;
        const layer = await at.apply(bytes, { diffId });
        expect(layer).toMatchObject({ diffId, chainId: chainId(null, diffId), parent: null, tarSizeBytes: bytes.length });
        expect(describeTree(at.layers.rootfsPath(layer.chainId))).toBe(describeTree(tree));
        // holes are kept
        expect(statSync(join(at.layers.rootfsPath(layer.chainId), "holes")).blocks).toBeLessThan(1000);
        const again = await collect(at.layers.tar(layer.chainId));
        expect(again.equals(bytes)).toBe(true);
        const view = await at.view(layer.chainId);
        expect(readFileSync(join(view, "dir/hard"), "utf8")).toBe("data\n");
      });
    }

    test("apply() unpacks gzip and zstd; the result is the same layer, unpacked once", async () => {
      using at = bed(driver);
      const tar = await archive({ name: "a", text: "a".repeat(10_000) });
      const plain = await at.apply(tar);
      const before = statSync(at.layers.rootfsPath(plain.chainId)).ino;
      for (const packed of [gzipSync(tar), zstdCompressSync(tar)]) expect(await at.apply(packed)).toEqual(plain);
      expect(statSync(at.layers.rootfsPath(plain.chainId)).ino).toBe(before);
      expect(at.layers.list()).toEqual([plain]);
      expect(at.layers.get(plain.chainId)).toEqual(plain);
    });

    test("tar() gives back padding, garbage after the end mark, global headers and skipped payloads", async () => {
      using at = bed(driver);
      const meta = encodeTarHeader({ type: "file", name: ".wh..wh.aufs", mode: 0o600, size: 3 });
      const bytes = Buffer.concat([
        meta,
        Buffer.from("abc"),
        Buffer.alloc(509, 1),
        await archive({ name: "f", text: "x" }),
        Buffer.alloc(9000, 7),
      ]);
      const layer = await at.apply(bytes);
      expect((await collect(at.layers.tar(layer.chainId))).equals(bytes)).toBe(true);
      expect(readdirSync(at.layers.rootfsPath(layer.chainId))).toEqual(["f"]);
      const empty = await at.apply(Buffer.alloc(1024));
      expect((await collect(at.layers.tar(empty.chainId))).equals(Buffer.alloc(1024))).toBe(true);
    });

    test("whiteouts and opaque directories hide what is below, and only that", async () => {
      using at = bed(driver);
      const base = await at.apply(
        await archive(
          { name: "a", text: "a" },
          { name: "dir/" },
          { name: "dir/x", text: "x" },
          { name: "dir/y", text: "y" },
          { name: "opq/" },
          { name: "opq/old", text: "o" },
          { name: "gone/" },
          { name: "gone/deep/" },
          { name: "gone/deep/f", text: "f" },
          { name: "back/" },
          { name: "back/old", text: "o" },
          { name: "again/" },
          { name: "again/old", text: "o" },
        ),
      );
      const top = await at.apply(
        await archive(
          { name: ".wh.a" },
          { name: "dir/.wh.x" },
          // the mark may come before or after what the layer itself has
          { name: "opq/new", text: "n" },
          { name: "opq/.wh..wh..opq" },
          { name: ".wh.gone" },
          { name: ".wh.back" },
          { name: "back/" },
          { name: "back/new", text: "n" },
          { name: "again/new", text: "n" },
          { name: ".wh.again" },
          { name: ".wh.never-was" },
        ),
        { parent: base.chainId },
      );
      const view = await at.view(top.chainId);
      expect(sh(`cd ${view}; find . -mindepth 1 | sort`).trim().split("\n")).toEqual([
        "./again",
        "./again/new",
        "./back",
        "./back/new",
        "./dir",
        "./dir/y",
        "./opq",
        "./opq/new",
      ]);
      expect(sh(`cd ${await at.view(base.chainId)}; find . -type f | wc -l`).trim()).toBe("7");
    });

    test("an opaque root hides everything below", async () => {
      using at = bed(driver);
      const base = await at.apply(await archive({ name: "a", text: "a" }, { name: "dir/" }, { name: "dir/x", text: "x" }));
      const top = await at.apply(await archive({ name: ".wh..wh..opq" }, { name: "dir/" }, { name: "dir/y", text: "y" }), {
        parent: base.chainId,
      });
      expect(
        sh(`cd ${await at.view(top.chainId)}; find . -mindepth 1 | sort`)
          .trim()
          .split("\n"),
      ).toEqual(["./dir", "./dir/y"]);
    });

    test("directories that an archive takes for granted look like the parent's, also behind its links", async () => {
      using at = bed(driver);
      const below = await at.apply(
        await archive(
          { name: "usr/", mode: 0o750, uid: 5, gid: 6, mtimeNs: 10n ** 18n },
          { name: "usr/bin/", mode: 0o711 },
          { name: "usr/bin/old", text: "o" },
        ),
      );
      const base = await at.apply(
        await archive(
          { name: "bin", type: "symlink", linkName: "usr/bin", mode: 0o777 },
          { name: "abs", type: "symlink", linkName: "/usr", mode: 0o777 },
        ),
        { parent: below.chainId },
      );
      const top = await at.apply(
        await archive({ name: "bin/new", text: "n" }, { name: "abs/file", text: "f" }, { name: "fresh/made/x", text: "x" }),
        { parent: base.chainId },
      );
      const view = await at.view(top.chainId);
      expect(lstatSync(join(view, "bin")).isSymbolicLink()).toBe(true);
      expect(sh(`cd ${view}; find usr fresh | sort`).trim().split("\n")).toEqual([
        "fresh",
        "fresh/made",
        "fresh/made/x",
        "usr",
        "usr/bin",
        "usr/bin/new",
        "usr/bin/old",
        "usr/file",
      ]);
      const usr = statSync(join(view, "usr"));
      expect([usr.mode & 0o7777, usr.uid, usr.gid]).toEqual([0o750, 5, 6]);
      expect(statSync(join(view, "usr/bin")).mode & 0o7777).toBe(0o711);
      expect(statSync(join(view, "fresh/made")).mode & 0o7777).toBe(0o755);
    });

    test("a hard link may name a file that only the parent has", async () => {
      using at = bed(driver);
      const base = await at.apply(await archive({ name: "d/" }, { name: "d/file", text: "content", mode: 0o4711, uid: 3, gid: 4 }));
      const top = await at.apply(await archive({ name: "link", type: "link", linkName: "d/file", mode: 0o644 }), { parent: base.chainId });
      const view = await at.view(top.chainId);
      expect(readFileSync(join(view, "link"), "utf8")).toBe("content");
      const link = statSync(join(view, "link"));
      expect([link.mode & 0o7777, link.uid, link.gid, link.ino === statSync(join(view, "d/file")).ino]).toEqual([0o4711, 3, 4, true]);
    });

    test("a hard link to a FIFO that only the parent has is refused, nobody waits for its writer", async () => {
      using at = bed(driver);
      const base = await at.apply(await archive({ name: "pipe", type: "fifo" }));
      const top = at.apply(await archive({ name: "link", type: "link", linkName: "pipe" }), { parent: base.chainId });
      if (driver === "native") await top;
      else expect(await top.catch(errorKind)).toBe("invalid");
    });

    test("a later entry replaces an earlier one of any type, and tar() still gives the bytes of both", async () => {
      using at = bed(driver);
      const base = await at.apply(await archive({ name: "p", text: "parent's" }, { name: "pd/" }, { name: "pd/x", text: "parent's" }));
      const bytes = await archive(
        { name: "twice", text: "first" },
        { name: "twice", text: "second" },
        { name: "file-dir", text: "was a file" },
        { name: "file-dir/" },
        { name: "file-dir/inner", text: "inner" },
        { name: "dir-file/" },
        { name: "dir-file/lost", text: "lost" },
        { name: "dir-file/lost", text: "lost twice" },
        { name: "dir-file", text: "now a file" },
        { name: "dir-file", text: "thrice" },
        { name: "link", type: "symlink", linkName: "file-dir", mode: 0o777 },
        { name: "link/through", text: "through" },
        { name: "link/" },
        { name: "link/own", text: "own" },
        { name: "hard", type: "link", linkName: "twice", mode: 0o644 },
        { name: "twice", text: "third" },
        { name: "pd", text: "file over the parent's directory" },
        { name: "p/" },
        { name: "p/x", text: "x" },
      );
      const layer = await at.apply(bytes, { parent: base.chainId });
      expect((await collect(at.layers.tar(layer.chainId))).equals(bytes)).toBe(true);
      const view = await at.view(layer.chainId);
      const read = (name: string): string => readFileSync(join(view, name), "utf8");
      expect(["twice", "hard", "file-dir/inner", "file-dir/through", "dir-file", "link/own", "pd", "p/x"].map(read)).toEqual([
        "third",
        "second",
        "inner",
        "through",
        "thrice",
        "own",
        "file over the parent's directory",
        "x",
      ]);
      expect(readdirSync(join(view, "link"))).toEqual(["own"]);
    });

    test("sizeBytes counts as docker does", async () => {
      using at = bed(driver);
      const layer = await at.apply(
        await archive(
          { name: "d/" },
          { name: "f", text: "12345" },
          { name: "l", type: "symlink", linkName: "123", mode: 0o777 },
          { name: "h", type: "link", linkName: "f", mode: 0o644 },
        ),
      );
      expect(layer.sizeBytes).toBe(8);
    });
  });
}
