import { expect, test } from "bun:test";
import { parseMountInfo } from "../linux/mod.ts";
import { mountChanges } from "./mount-changes.ts";

/** A table of `id parent device mount-point [shared:N]`. */
const table = (...lines: readonly string[]) =>
  parseMountInfo(
    lines
      .map((line) => {
        const [id, parent, device, path, ...peers] = line.split(" ");
        return [id, parent, `0:${device}`, "/", path, "rw", ...peers, "-", "tmpfs", "none", "rw"].join(" ");
      })
      .join("\n"),
  );

const ROOT = "1 0 1 /";
const paths = (host: ReturnType<typeof table>, copy: ReturnType<typeof table>, own: readonly string[] = []) => {
  const { gone, missing } = mountChanges(host, copy, own);
  return { gone: gone.map((m) => m.mountPoint), missing: missing.map((m) => m.mountPoint) };
};

test("tables that say the same", () => {
  const copy = table(ROOT, "2 1 2 /a", "3 2 3 /a/b");
  expect(paths(table("11 10 1 /", "12 11 2 /a", "13 12 3 /a/b"), copy)).toEqual({ gone: [], missing: [] });
});

test("a mount comes and goes with what is below it", () => {
  const [bare, full] = [table(ROOT), table(ROOT, "2 1 2 /a", "3 2 3 /a/b", "4 1 4 /ab")];
  expect(paths(full, bare)).toEqual({ gone: [], missing: ["/a", "/ab"] });
  expect(paths(bare, full)).toEqual({ gone: ["/a", "/ab"], missing: [] });
});

test("another file system at a place, and another group of peers", () => {
  const copy = table(ROOT, "2 1 2 /a", "3 2 3 /a/b");
  expect(paths(table(ROOT, "2 1 9 /a", "3 2 3 /a/b"), copy)).toEqual({ gone: ["/a"], missing: ["/a"] });
  expect(paths(table(ROOT, "2 1 2 /a shared:7", "3 2 3 /a/b"), copy)).toEqual({ gone: ["/a"], missing: ["/a"] });
});

test("other flags of the mount", () => {
  const [before, after] = [table(ROOT, "2 1 2 /a"), table(ROOT, "2 1 2 /a").map((m) => ({ ...m, options: ["ro"] }))];
  // the root itself can't be changed from here
  expect(paths(after, before)).toEqual({ gone: ["/a"], missing: ["/a"] });
});

test("what is covered doesn't count", () => {
  const copy = table(ROOT, "2 1 2 /a/b");
  // a second one at the same place; one above it
  expect(paths(table(ROOT, "2 1 2 /a/b", "3 2 3 /a/b"), copy)).toEqual({ gone: ["/a/b"], missing: ["/a/b"] });
  expect(paths(table(ROOT, "2 1 2 /a/b", "3 1 3 /a"), copy)).toEqual({ gone: ["/a/b"], missing: ["/a"] });
  expect(paths(copy, table(ROOT, "2 1 2 /a/b", "3 1 3 /a"))).toEqual({ gone: ["/a"], missing: ["/a/b"] });
});

test("nothing changes directly below a shared mount", () => {
  const root = "1 0 1 / shared:1";
  expect(paths(table(root, "2 1 2 /a"), table(root))).toEqual({ gone: [], missing: [] });
  expect(paths(table(root), table(root, "2 1 2 /a"))).toEqual({ gone: [], missing: [] });
  expect(paths(table(root, "2 1 2 /a", "3 2 3 /a/b"), table(root, "2 1 2 /a"))).toEqual({ gone: [], missing: ["/a/b"] });
});

test("the daemon's own places, what is above them, and mount points that were removed are left alone", () => {
  const copy = table(ROOT, "2 1 2 /var/lib/dhow", "3 2 3 /var/lib/dhow/x", "5 1 5 /gone//deleted");
  expect(paths(table(ROOT, "4 1 4 /var", "6 1 6 /new//deleted"), copy, ["/var/lib/dhow"])).toEqual({ gone: [], missing: [] });
});
