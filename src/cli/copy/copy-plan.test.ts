import { expect, test } from "bun:test";
import { type CopyInfo, planCopy, rebaseName, renamer, splitArgument } from "./copy-plan.ts";

const file = (path: string, more: Partial<CopyInfo> = {}): CopyInfo => ({ path, exists: true, isDir: false, rebaseName: "", ...more });
const dir = (path: string, more: Partial<CopyInfo> = {}): CopyInfo => file(path, { isDir: true, ...more });
const missing = (path: string): CopyInfo => file(path, { exists: false });

test("planCopy() copies into directories, over files, and to new names", () => {
  expect(planCopy(file("/s/a"), dir("/d"))).toEqual({ dir: "/d", rename: undefined });
  expect(planCopy(dir("/s/a"), dir("/d/"))).toEqual({ dir: "/d/", rename: undefined });
  expect(planCopy(file("/s/a"), file("/d/b"))).toEqual({ dir: "/d", rename: { from: "a", to: "b" } });
  expect(planCopy(dir("/s/a"), missing("/d/b/"))).toEqual({ dir: "/d", rename: { from: "a", to: "b" } });
  expect(planCopy(dir("/s/a/."), missing("/d/b"))).toEqual({ dir: "/d", rename: { from: ".", to: "b" } });
  expect(planCopy(file("/s/a", { rebaseName: "link" }), missing("/b"))).toEqual({ dir: "/", rename: { from: "link", to: "b" } });
});

test("planCopy() refuses in docker's words", () => {
  expect(() => planCopy(dir("/s"), file("/d"))).toThrow("cannot copy directory");
  expect(() => planCopy(file("/s"), missing("/d/"))).toThrow("no such directory");
});

test("renamer() renames the first part", () => {
  expect(renamer({ from: "a", to: "b" })("a/a")).toBe("b/a");
  expect(renamer({ from: ".", to: "b" })("./x.y")).toBe("b/x.y");
  expect(renamer({ from: "/", to: "b" })("/x")).toBe("b/x");
});

test("rebaseName() keeps what a path had at its end", () => {
  expect(rebaseName("/l", "/d")).toEqual({ path: "/d", rebaseName: "l" });
  expect(rebaseName("/l/", "/d")).toEqual({ path: "/d/", rebaseName: "l" });
  expect(rebaseName("/l/.", "/d")).toEqual({ path: "/d/.", rebaseName: "" });
});

test("splitArgument() takes what begins with / or . for a local path", () => {
  expect(splitArgument("c:/x:y")).toEqual({ container: "c", path: "/x:y" });
  expect(splitArgument("./c:x")).toEqual({ container: "", path: "./c:x" });
  expect(splitArgument("/c:x")).toEqual({ container: "", path: "/c:x" });
  expect(splitArgument(":x")).toEqual({ container: "", path: "x" });
  expect(splitArgument("file")).toEqual({ container: "", path: "file" });
});
