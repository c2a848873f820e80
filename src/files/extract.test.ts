import { expect, test } from "bun:test";
import { lstatSync, mkdirSync, readdirSync, readFileSync, readlinkSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { lgetxattr, O_DIRECTORY, O_PATH, open } from "../linux/mod.ts";
import { isRoot, put, temporaryDirectory, viewOf } from "./test-support.ts";

interface Tree extends Disposable {
  /** The root of the view. */
  readonly path: string;
  readonly outside: string;
}

/** A root directory `root` in a directory with more in it. */
function tree(): Tree {
  const outside = temporaryDirectory();
  const path = join(outside.path, "root");
  mkdirSync(join(path, "d"), { recursive: true });
  writeFileSync(join(outside.path, "secret"), "secret");
  return { path, outside: outside.path, [Symbol.dispose]: () => outside[Symbol.dispose]() };
}

test("extract() makes files, directories, links and special files with their attributes", async () => {
  using root = tree();
  using view = viewOf(root.path);
  const mtimeNs = 1_000_000_000_000_000_000n;
  await put(view, "/d", [
    { name: "a/", type: "directory", mode: 0o1750, mtimeNs },
    { name: "a/file", data: "content", mode: 0o4711, mtimeNs, ...(isRoot ? { uid: 5, gid: 6 } : {}) },
    { name: "a/hard", type: "link", linkName: "a/file" },
    { name: "a/soft", type: "symlink", linkName: "file", mode: 0o777, mtimeNs },
    { name: "a/fifo", type: "fifo", mode: 0o640 },
    { name: "implied/x", data: "x", xattrs: new Map([["user.k", Buffer.from("v")]]) },
  ]);
  const file = statSync(join(root.path, "d/a/file"));
  expect([file.mode & 0o7777, file.nlink, file.mtimeMs]).toEqual([0o4711, 2, 1e12]);
  if (isRoot) expect([file.uid, file.gid]).toEqual([5, 6]);
  expect(statSync(join(root.path, "d/a")).mode & 0o7777).toBe(0o1750);
  expect(statSync(join(root.path, "d/a")).mtimeMs).toBe(1e12);
  expect(readlinkSync(join(root.path, "d/a/soft"))).toBe("file");
  expect(lstatSync(join(root.path, "d/a/soft")).mtimeMs).toBe(1e12);
  expect(statSync(join(root.path, "d/a/fifo")).isFIFO()).toBe(true);
  expect(statSync(join(root.path, "d/implied")).mode & 0o7777).toBe(0o755);
  expect(lgetxattr(join(root.path, "d/implied/x"), "user.k")?.toString()).toBe("v");
});

test("extract() refuses names and hard links that lead out of the destination", async () => {
  using root = tree();
  using view = viewOf(root.path);
  const refused = (entry: Parameters<typeof put>[2][number]) => expect(put(view, "/d", [entry])).rejects;
  await refused({ name: "../x", data: "x" }).toThrow('"../x" is outside of "/d"');
  await refused({ name: "a/../../x", data: "x" }).toThrow('"../x" is outside of "/d"');
  await refused({ name: "..", type: "directory" }).toThrow('".." is outside of "/d"');
  await refused({ name: "x", type: "link", linkName: "../../secret" }).toThrow('invalid hardlink "/secret" -> "../../secret"');
  await refused({ name: "x", type: "symlink", linkName: "../../secret" }).toThrow('invalid symlink "/d/x" -> "../../secret"');
  expect(readdirSync(root.path)).toEqual(["d"]);
  expect(readdirSync(join(root.path, "d"))).toEqual([]);
  await put(view, "/d", [{ name: "/absolute", data: "x" }]);
  expect(readdirSync(join(root.path, "d"))).toEqual(["absolute"]);
});

test("extract() through links of the archive and of the tree stays in the root", async () => {
  using root = tree();
  symlinkSync(root.outside, join(root.path, "escape"));
  symlinkSync("../..", join(root.path, "d/up"));
  using view = viewOf(root.path);
  await expect(put(view, "/", [{ name: "escape/written", data: "x" }])).rejects.toThrow("no such file or directory");
  // the same path exists in the root
  mkdirSync(join(root.path, root.outside), { recursive: true });
  await put(view, "/", [
    { name: "link", type: "symlink", linkName: root.outside },
    { name: "link/written", data: "1" },
    { name: "escape/written", data: "2" },
    { name: "d/up/made/written", data: "3" },
  ]);
  expect(readdirSync(root.outside).sort()).toEqual(["root", "secret"]);
  expect(readFileSync(join(root.path, root.outside, "written"), "utf8")).toBe("2");
  expect(readFileSync(join(root.path, "made/written"), "utf8")).toBe("3");
  await expect(put(view, "/", [{ name: "hard", type: "link", linkName: "escape/secret" }])).rejects.toThrow("no such file or directory");
});

test("extract() replaces what is there and never writes through it", async () => {
  using root = tree();
  symlinkSync(join(root.outside, "secret"), join(root.path, "d/f"));
  mkdirSync(join(root.path, "d/full/deep"), { recursive: true });
  writeFileSync(join(root.path, "d/full/deep/x"), "");
  using view = viewOf(root.path);
  await put(view, "/d", [
    { name: "f", data: "new" },
    { name: "full", data: "a file now" },
  ]);
  expect(lstatSync(join(root.path, "d/f")).isFile()).toBe(true);
  expect(readFileSync(join(root.outside, "secret"), "utf8")).toBe("secret");
  expect(readFileSync(join(root.path, "d/full"), "utf8")).toBe("a file now");
});

test("extract() keeps directories and other files apart when asked to", async () => {
  using root = tree();
  writeFileSync(join(root.path, "f"), "");
  using view = viewOf(root.path);
  const careful = { noOverwriteDirNonDir: true };
  await expect(put(view, "/", [{ name: "d", data: "x" }], careful)).rejects.toThrow(
    'cannot overwrite directory "/d" with non-directory "/"',
  );
  await expect(put(view, "/", [{ name: "f", type: "directory" }], careful)).rejects.toThrow(
    'cannot overwrite non-directory "/f" with directory "/"',
  );
  await put(view, "/", [{ name: "d", type: "directory", mode: 0o700 }], careful);
  expect(statSync(join(root.path, "d")).mode & 0o777).toBe(0o700);
});

test("extract() leaves mount points in place and what is read-only alone", async () => {
  using root = tree();
  using volume = temporaryDirectory();
  mkdirSync(join(root.path, "ro"));
  const mount = (destination: string, isReadOnly: boolean) => ({
    destination,
    source: open(volume.path, O_PATH | O_DIRECTORY),
    isReadOnly,
    isRecursive: false,
  });
  using view = viewOf(root.path, { mounts: [mount("/d", false), mount("/ro", true)] });
  await expect(put(view, "/", [{ name: "d", data: "x" }])).rejects.toThrow("unlinkat /d: device or resource busy");
  await expect(put(view, "/", [{ name: "ro/x", data: "x" }])).rejects.toThrow("open /ro/x: read-only file system");
  await expect(put(view, "/", [{ name: "ro/n/x", data: "x" }])).rejects.toThrow("read-only file system");
  await expect(
    put(view, "/d", [
      { name: "l", type: "symlink", linkName: "/ro" },
      { name: "l/x", data: "x" },
    ]),
  ).rejects.toThrow("read-only file system");
  await put(view, "/d", [{ name: "x", data: "x" }]);
  expect(readdirSync(volume.path).sort()).toEqual(["l", "x"]);
});

test("what was written before a failure stays", async () => {
  using root = tree();
  using view = viewOf(root.path);
  await expect(
    put(view, "/d", [
      { name: "first", data: "1" },
      { name: "../bad", data: "2" },
    ]),
  ).rejects.toThrow("outside");
  expect(readdirSync(join(root.path, "d"))).toEqual(["first"]);
});

test("long runs of zeros become holes", async () => {
  using root = tree();
  using view = viewOf(root.path);
  await put(view, "/d", [{ name: "sparse", data: Buffer.alloc(8 << 20) }]);
  const { size, blocks } = statSync(join(root.path, "d/sparse"));
  expect(size).toBe(8 << 20);
  expect(blocks).toBeLessThan(1024);
});
