import { expect, test } from "bun:test";
import { linkSync, mkdirSync, readdirSync, renameSync, rmSync, symlinkSync, truncateSync, utimesSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { TarPacker } from "../files/mod.ts";
import { readTar, type TarHeader } from "../lib/mod.ts";
import { lsetxattr, makedev, mknodat, O_DIRECTORY, O_RDONLY, O_WRONLY, open, pwrite, S_IFBLK, S_IFIFO } from "../linux/mod.ts";
import { isRoot, temporaryDirectory } from "./test-support.ts";
import { walk } from "./walk.ts";

interface Packed {
  readonly header: TarHeader;
  readonly content: Buffer;
}

/** Packs all of a tree, calls `meanwhile` after each file was met and before it is packed, and reads the tar. */
async function pack(root: string, meanwhile: (path: string) => void = () => {}): Promise<Map<string, Packed>> {
  const chunks: Uint8Array[] = [];
  {
    using dir = open(root, O_RDONLY | O_DIRECTORY);
    const packer = new TarPacker();
    for (const found of walk(dir.fd)) {
      meanwhile(found.path);
      chunks.push(...packer.add(found, found.path));
    }
    chunks.push(...packer.finish());
  }
  const entries = new Map<string, Packed>();
  for await (const { header, payload } of readTar(once(Buffer.concat(chunks)))) {
    const parts: Uint8Array[] = [];
    for await (const part of payload) parts.push(Buffer.from(part));
    entries.set(header.name, { header, content: Buffer.concat(parts) });
  }
  return entries;
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}

test("packs files with owner, permissions, time to the second, and content", async () => {
  using tmp = temporaryDirectory();
  mkdirSync(join(tmp.path, "d"));
  const big = Buffer.alloc(700_000, "content ");
  writeFileSync(join(tmp.path, "d/big"), big, { mode: 0o640 });
  writeFileSync(join(tmp.path, "empty"), "");
  utimesSync(join(tmp.path, "d/big"), 5.5, 1_700_000_000.75);
  symlinkSync("d/big", join(tmp.path, "link"));
  const entries = await pack(tmp.path);
  expect([...entries.keys()]).toEqual(["d/", "d/big", "empty", "link"]);
  const file = entries.get("d/big");
  expect(file?.header).toMatchObject({ mode: 0o640, uid: process.getuid?.(), mtimeNs: 1_700_000_000_000_000_000n, type: "file" });
  expect(file?.content.equals(big)).toBe(true);
  expect(entries.get("link")?.header).toMatchObject({ type: "symlink", linkName: "d/big" });
});

test("packs a second name of a file as a hard link", async () => {
  using tmp = temporaryDirectory();
  writeFileSync(join(tmp.path, "a"), "x");
  linkSync(join(tmp.path, "a"), join(tmp.path, "b"));
  const entries = await pack(tmp.path);
  expect(entries.get("a")?.header.type).toBe("file");
  expect(entries.get("b")?.header).toMatchObject({ type: "link", linkName: "a", size: 0 });
});

test("packs holes as zeros, also at the start and the end", async () => {
  using tmp = temporaryDirectory();
  const path = join(tmp.path, "sparse");
  writeFileSync(path, "");
  {
    using file = open(path, O_WRONLY);
    pwrite(file.fd, Buffer.from("middle"), 1_500_000);
  }
  truncateSync(path, 3_000_000);
  const content = (await pack(tmp.path)).get("sparse")?.content ?? Buffer.alloc(0);
  expect(content.length).toBe(3_000_000);
  expect(content.toString("latin1", 1_500_000, 1_500_006)).toBe("middle");
  expect(content.every((byte, at) => byte === 0 || (at >= 1_500_000 && at < 1_500_006))).toBe(true);
});

test("leaves sockets out", async () => {
  using tmp = temporaryDirectory();
  const server = createServer().listen(join(tmp.path, "s"));
  await new Promise<void>((resolve) => void server.once("listening", resolve));
  expect([...(await pack(tmp.path)).keys()]).toEqual([]);
  server.close();
});

test("keeps the length that it announced when a file shrinks or grows", async () => {
  using tmp = temporaryDirectory();
  for (const name of ["grows", "shrinks"]) writeFileSync(join(tmp.path, name), Buffer.alloc(600_000, 1));
  const chunks: Uint8Array[] = [];
  {
    using dir = open(tmp.path, O_RDONLY | O_DIRECTORY);
    const packer = new TarPacker();
    for (const found of walk(dir.fd)) {
      for (const chunk of packer.add(found, found.path)) {
        chunks.push(chunk);
        truncateSync(join(tmp.path, found.path), found.path === "grows" ? 900_000 : 10);
      }
    }
    chunks.push(...packer.finish());
  }
  const sizes: [string, number][] = [];
  for await (const { header, payload } of readTar(once(Buffer.concat(chunks)))) {
    let length = 0;
    for await (const part of payload) length += part.length;
    sizes.push([header.name, length]);
  }
  expect(sizes).toEqual([
    ["grows", 600_000],
    ["shrinks", 600_000],
  ]);
});

test("leaves out what vanishes or becomes something else before it is packed", async () => {
  using tmp = temporaryDirectory();
  using outside = temporaryDirectory();
  writeFileSync(join(outside.path, "secret"), "secret");
  for (const name of ["gone", "linked", "replaced", "stays"]) writeFileSync(join(tmp.path, name), name);
  const entries = await pack(tmp.path, (path) => {
    if (path === "stays") return;
    rmSync(join(tmp.path, path));
    if (path === "linked") symlinkSync(join(outside.path, "secret"), join(tmp.path, path));
    if (path === "replaced") mkdirSync(join(tmp.path, path));
  });
  expect([...entries.keys()]).toEqual(["stays"]);
});

test("does not follow a link that takes the place of a directory on the way", async () => {
  using tmp = temporaryDirectory();
  using outside = temporaryDirectory();
  writeFileSync(join(outside.path, "secret"), "secret");
  mkdirSync(join(tmp.path, "d"));
  writeFileSync(join(tmp.path, "d/f"), "");
  const entries = await pack(tmp.path, (path) => {
    if (path !== "d") return;
    renameSync(join(tmp.path, "d"), join(outside.path, "d"));
    symlinkSync(outside.path, join(tmp.path, "d"));
  });
  expect([...entries.values()].some(({ content }) => content.includes("secret"))).toBe(false);
  expect(readdirSync(outside.path).sort()).toEqual(["d", "secret"]);
});

test.skipIf(!isRoot)("packs devices, pipes and xattrs, overlayfs' own left out (skipped: needs root)", async () => {
  using tmp = temporaryDirectory();
  {
    using dir = open(tmp.path, O_RDONLY | O_DIRECTORY);
    mknodat(dir.fd, "disk", S_IFBLK | 0o660, makedev(8, 300));
    mknodat(dir.fd, "pipe", S_IFIFO | 0o600);
  }
  writeFileSync(join(tmp.path, "file"), "x");
  mkdirSync(join(tmp.path, "dir"));
  for (const name of ["file", "dir"]) {
    lsetxattr(join(tmp.path, name), "user.note", Buffer.from(name));
    lsetxattr(join(tmp.path, name), "trusted.overlay.origin", Buffer.from("x"));
  }
  const entries = await pack(tmp.path);
  expect(entries.get("disk")?.header).toMatchObject({ type: "block", devMajor: 8, devMinor: 300 });
  expect(entries.get("pipe")?.header.type).toBe("fifo");
  for (const name of ["file", "dir/"]) {
    const xattrs = entries.get(name)?.header.xattrs;
    expect([...(xattrs?.keys() ?? [])]).toEqual(["user.note"]);
  }
});
