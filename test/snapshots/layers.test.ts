/** LayerStore over the real database, both snapshotters and the real kernel: archives in, trees on disk, the same archives out. */
import { describe, expect, test } from "bun:test";
import { lstatSync, mkdirSync, readdirSync, readFileSync, readlinkSync, statSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync, zstdCompressSync } from "node:zlib";
import fc from "fast-check";
import {
  type ChainId,
  chainId,
  type DiffId,
  digestOf,
  encodeTarHeader,
  errorKind,
  silentLogger,
  type TarEntryInit,
  type TarInput,
  writeTar,
} from "../../src/lib/mod.ts";
import { chunked, collect, oddEntry } from "../../src/lib/tar/test-support.ts";
import { lgetxattr, mount, readMountInfo } from "../../src/linux/mod.ts";
import { Database, LayersTable, MIGRATIONS } from "../../src/metadata/mod.ts";
import { type ApplyOptions, type Layer, LayerStore, Native, Overlay2, type Snapshotter } from "../../src/snapshots/mod.ts";
import { isRoot, temporaryDirectory } from "../../src/snapshots/test-support.ts";

interface Bed extends Disposable {
  /** Nothing may ever appear or change in it but below `state`. */
  readonly path: string;
  readonly snapshotter: Snapshotter;
  readonly layers: LayerStore;
  readonly table: LayersTable;
  apply(tar: Uint8Array | AsyncIterable<Uint8Array>, options?: Partial<ApplyOptions>): Promise<Layer>;
  /** The merged tree of a new snapshot on top of a layer. */
  view(chain: ChainId): Promise<string>;
  /** The same state with a new store, as after a restart. */
  restart(bootId?: string): LayerStore;
}

type Driver = "overlay2" | "native";

function bed(driver: Driver, root?: string): Bed {
  const tmp = temporaryDirectory(root);
  const state = join(tmp.path, "state");
  const snapshotter = driver === "overlay2" ? new Overlay2(state, silentLogger) : new Native(state, silentLogger);
  const db = Database.open(":memory:", MIGRATIONS);
  const table = new LayersTable(db);
  const open = (bootId = "boot-1"): LayerStore => new LayerStore({ table, snapshotter, log: silentLogger, bootId });
  const layers = open();
  let views = 0;
  return {
    path: tmp.path,
    snapshotter,
    layers,
    table,
    apply: (tar, options = {}) =>
      layers.apply(tar instanceof Uint8Array ? chunked(tar) : tar, {
        parent: null,
        signal: new AbortController().signal,
        name: "test-layer",
        ...options,
      }),
    async view(chain) {
      const key = `view-${views++}`;
      await snapshotter.prepare(key, chain);
      return snapshotter.mount(key);
    },
    restart: open,
    [Symbol.dispose]() {
      tmp[Symbol.dispose]();
      db[Symbol.dispose]();
    },
  };
}

type Entry = Partial<TarEntryInit> & { readonly name: string; readonly text?: string };

/** An archive; an entry without a type is a file with `text`, or a directory when its name ends in a slash. */
function archive(...entries: Entry[]): Promise<Buffer> {
  const inputs = entries.map(({ text, ...rest }): TarInput => {
    const type = rest.type ?? (rest.name.endsWith("/") ? "directory" : "file");
    const payload = Buffer.from(text ?? "");
    return { entry: { mode: type === "directory" ? 0o755 : 0o644, ...rest, type, size: payload.length }, payload };
  });
  return collect(writeTar(inputs));
}

async function failureOf(work: Promise<unknown>): Promise<{ readonly kind: string; readonly message: string }> {
  try {
    await work;
  } catch (error) {
    return { kind: errorKind(error), message: (error as Error).message };
  }
  return { kind: "none", message: "nothing was thrown" };
}

const sh = (script: string): string => {
  const { stdout, stderr, exitCode } = Bun.spawnSync(["sh", "-ec", script], { env: { ...process.env, LC_ALL: "C" } });
  if (exitCode !== 0) throw new Error(stderr.toString());
  return stdout.toString();
};

/** Everything about a tree: types, modes, owners, times, sizes, links, xattrs and contents. */
function describeTree(root: string): string {
  return sh(`cd '${root}'
    find . -mindepth 1 ! -type d -printf '%p %y %m %U:%G %T@ %s %n %l\\n' | sort
    find . -mindepth 1 -type d -printf '%p %y %m %U:%G %T@\\n' | sort
    find . -type f -exec sha256sum {} + | sort
    find . \\( -type b -o -type c \\) -exec stat -c '%n %t:%T' {} + | sort
    getfattr -R -h -d -m '^(user|security|trusted\\.own)' . 2>/dev/null || true`);
}

for (const driver of ["overlay2", "native"] as const) {
  describe.skipIf(!isRoot)(`layers on ${driver} (skipped: needs root)`, () => {
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

    describe("refuses or contains", () => {
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
        await fc.assert(
          fc.asyncProperty(fc.array(oddEntry(names), { maxLength: 4 }), fc.boolean(), garbage, async (entries, hasEnd, rest) => {
            const bytes = Buffer.concat([...entries, ...(hasEnd ? [Buffer.alloc(1024), rest] : [])]);
            const layer = await at.apply(bytes).catch((error: unknown) => {
              if (errorKind(error) !== "invalid") throw error;
              return undefined;
            });
            if (layer === undefined) return;
            accepted++;
            expect((await collect(at.layers.tar(layer.chainId))).equals(bytes)).toBe(true);
            await at.layers.remove(layer.chainId);
          }),
          { interruptAfterTimeLimit: Number(process.env["DHOW_FUZZ_MS"] ?? 1_500), numRuns: 5_000 },
        );
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

    test("no mount is left behind", () => {
      expect(readMountInfo().filter((m) => m.mountPoint.includes("dhow-snapshots-") && m.mountPoint.includes("/drafts/"))).toEqual([]);
    });
  });
}
