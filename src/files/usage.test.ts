import { afterEach, beforeEach, expect, test } from "bun:test";
import { chmodSync, linkSync, mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { mkdirat, O_CREAT, O_DIRECTORY, O_WRONLY, open, openat, unlinkat, write } from "../linux/mod.ts";
import { treeUsage } from "./usage.ts";

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "dhow-usage-"));
});
afterEach(() => {
  Bun.spawnSync(["rm", "-rf", dir]);
});

const file = (path: string, sizeBytes: number): void => writeFileSync(join(dir, path), "x".repeat(sizeBytes));

test("treeUsage() adds up files, each inode once, and no directories", async () => {
  mkdirSync(join(dir, "a/b"), { recursive: true });
  file("a/one", 10);
  file("a/b/two", 200);
  linkSync(join(dir, "a/one"), join(dir, "a/b/again"));
  symlinkSync("12345", join(dir, "link"));
  expect(await treeUsage(dir)).toEqual({ sizeBytes: 215, inodes: 6 });
});

test("treeUsage() follows no link out of the tree, also when a directory becomes one on the way", async () => {
  mkdirSync(join(dir, "tree/real"), { recursive: true });
  mkdirSync(join(dir, "outside"));
  file("outside/secret", 5000);
  file("tree/real/own", 3);
  symlinkSync("../outside", join(dir, "tree/out"));
  for (let i = 0; i < 200; i++) mkdirSync(join(dir, `tree/d${i}`));
  const counted = treeUsage(join(dir, "tree"));
  for (let i = 0; i < 200; i++) {
    rmSync(join(dir, `tree/d${i}`), { recursive: true });
    symlinkSync("../outside", join(dir, `tree/d${i}`));
  }
  renameSync(join(dir, "tree/real"), join(dir, "tree/other"));
  expect((await counted).sizeBytes).toBeLessThan(5000);
});

test("treeUsage() goes deeper than a path can be", async () => {
  const name = "n".repeat(200);
  let at = open(dir, O_DIRECTORY);
  for (let depth = 0; depth < 60; depth++) {
    mkdirat(at.fd, name);
    const next = openat(at.fd, name, O_DIRECTORY);
    at.close();
    at = next;
  }
  using leaf = openat(at.fd, "leaf", O_CREAT | O_WRONLY);
  write(leaf.fd, Buffer.from("deep"));
  expect(await treeUsage(dir)).toEqual({ sizeBytes: 4, inodes: 62 });
  unlinkat(at.fd, "leaf");
  at.close();
});

test("treeUsage() reaches names that are no text", async () => {
  using at = open(dir, O_DIRECTORY);
  const name = Uint8Array.from([0xff, 0xfe, 0x41]);
  mkdirat(at.fd, name);
  using inner = openat(at.fd, name, O_DIRECTORY);
  using odd = openat(inner.fd, Uint8Array.from([0x80]), O_CREAT | O_WRONLY);
  write(odd.fd, Buffer.from("1234567"));
  expect((await treeUsage(dir)).sizeBytes).toBe(7);
});

test("treeUsage() leaves out what is the same in the base", async () => {
  const time = new Date(1_700_000_000_000);
  for (const tree of ["base", "copy"]) {
    mkdirSync(join(dir, tree, "d"), { recursive: true });
    for (const [name, size] of [
      ["same", 10],
      ["mode", 20],
      ["longer", 30],
    ] as const) {
      file(`${tree}/d/${name}`, size);
      utimesSync(join(dir, tree, "d", name), time, time);
    }
  }
  chmodSync(join(dir, "copy/d/mode"), 0o600);
  file("copy/d/longer", 31);
  file("copy/new", 400);
  expect((await treeUsage(join(dir, "copy"), join(dir, "base"))).sizeBytes).toBe(451);
});
