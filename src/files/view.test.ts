import { expect, test } from "bun:test";
import { mkdirSync, readlinkSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { O_DIRECTORY, O_PATH, open } from "../linux/mod.ts";
import { temporaryDirectory, viewOf } from "./test-support.ts";
import type { FileView } from "./view.ts";

function where(view: FileView, path: string): string {
  return view.locate(path, { followLast: true }).path;
}

test("locate() follows links as if the view's root were /", () => {
  using outside = temporaryDirectory();
  const root = join(outside.path, "root");
  mkdirSync(join(root, "a/b"), { recursive: true });
  mkdirSync(join(root, "etc"));
  writeFileSync(join(outside.path, "secret"), "x");
  symlinkSync("/etc", join(root, "absolute"));
  symlinkSync("../../../../etc", join(root, "a/b/up"));
  symlinkSync(join(outside.path, "secret"), join(root, "secret"));
  symlinkSync("b", join(root, "a/c"));
  using view = viewOf(root);
  expect(where(view, "/absolute")).toBe("/etc");
  expect(where(view, "/a/b/up/.")).toBe("/etc");
  expect(where(view, "a/c/..")).toBe("/a");
  expect(where(view, "/../../../..")).toBe("/");
  expect(view.locate("/a/c/new", { followLast: false }).path).toBe("/a/b/new");
  expect(() => where(view, "/secret")).toThrow("no such file or directory");
  expect(view.locate("/a/c", { followLast: false }).path).toBe("/a/c");
});

test("locate() says what is in the way", () => {
  using root = temporaryDirectory();
  writeFileSync(join(root.path, "file"), "");
  symlinkSync("loop", join(root.path, "loop"));
  using view = viewOf(root.path);
  expect(() => where(view, "/file/x")).toThrow("not a directory");
  expect(() => where(view, "/none/x")).toThrow("no such file or directory");
  expect(() => where(view, "/loop")).toThrow("too many levels of symbolic links");
});

test("mounts cover what is below them, are found through links, and are left by ..", () => {
  using root = temporaryDirectory();
  using volume = temporaryDirectory();
  mkdirSync(join(root.path, "run/data"), { recursive: true });
  mkdirSync(join(root.path, "run/other"));
  symlinkSync("run", join(root.path, "var"));
  writeFileSync(join(root.path, "run/data/hidden"), "");
  mkdirSync(join(volume.path, "inner"));
  symlinkSync("../other", join(volume.path, "out"));
  writeFileSync(join(volume.path, "file"), "");
  const source = open(volume.path, O_PATH | O_DIRECTORY);
  using view = viewOf(root.path, { mounts: [{ destination: "/var/data", source, isReadOnly: true, isRecursive: true }] });
  expect(view.list(view.enter(view.locate("/run/data", { followLast: true })))).toEqual(["file", "inner", "out"]);
  expect(where(view, "/var/data/inner/..")).toBe("/run/data");
  expect(where(view, "/var/data/out")).toBe("/run/other");
  expect(where(view, "/run/data/..")).toBe("/run");
  expect(view.locate("/run/data/x", { followLast: false }).dir.isReadOnly).toBe(true);
  expect(view.locate("/run/x", { followLast: false }).dir.isReadOnly).toBe(false);
  expect([view.hasMounts("/run"), view.hasMounts("/run/data"), view.hasMounts("/run/other")]).toEqual([true, true, false]);
});

test("a file can be mounted, also inside of another mount", () => {
  using root = temporaryDirectory();
  using volume = temporaryDirectory();
  mkdirSync(join(root.path, "etc"));
  writeFileSync(join(volume.path, "hosts"), "");
  writeFileSync(join(root.path, "own"), "content");
  const mounts = [
    { destination: "/etc", source: open(volume.path, O_PATH | O_DIRECTORY), isReadOnly: false, isRecursive: false },
    { destination: "/etc/hosts", source: open(join(root.path, "own"), O_PATH), isReadOnly: false, isRecursive: false },
  ];
  using view = viewOf(root.path, { mounts });
  expect(view.stat(view.locate("/etc/hosts", { followLast: false })).size).toBe(7);
  expect(() => where(view, "/etc/hosts/x")).toThrow("not a directory");
});

test("a view closes what it has opened", () => {
  using root = temporaryDirectory();
  mkdirSync(join(root.path, "a/b/c"), { recursive: true });
  const before = open("/", O_PATH);
  const free = before.fd;
  before.close();
  {
    using view = viewOf(root.path);
    where(view, "/a/b/c");
    expect(readlinkSync(`/proc/self/fd/${free}`)).toBe(root.path);
  }
  using after = open("/", O_PATH);
  expect(after.fd).toBe(free);
});
