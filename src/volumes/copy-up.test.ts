import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import {
  chmodSync,
  chownSync,
  linkSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { lgetxattr, lsetxattr, mknodat, S_IFCHR, S_IFIFO } from "../linux/mod.ts";
import { copyUp } from "./copy-up.ts";

let root: string;
let rootfs: string;
let volume: string;

beforeEach(() => {
  root = mkdtempSync(`${tmpdir()}/dhow-copy-`);
  rootfs = `${root}/rootfs`;
  volume = `${root}/volume`;
  mkdirSync(`${rootfs}/image/dir`, { recursive: true });
  mkdirSync(volume);
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

describe.skipIf(process.getuid?.() !== 0)("copyUp() (root only)", () => {
  test("copies content with owners, modes, attributes, times, links and special files", async () => {
    const image = `${rootfs}/image`;
    writeFileSync(`${image}/file`, "hello");
    chownSync(`${image}/file`, 12, 34);
    chmodSync(`${image}/file`, 0o4751);
    lsetxattr(`${image}/file`, "user.color", Buffer.from("red"));
    utimesSync(`${image}/file`, 1000, 2000);
    linkSync(`${image}/file`, `${image}/dir/again`);
    symlinkSync("../nowhere", `${image}/dir/link`);
    mknodat(-100, `${image}/null`, S_IFCHR | 0o666, 0x103);
    mknodat(-100, `${image}/pipe`, S_IFIFO | 0o622);
    chmodSync(`${image}/null`, 0o666);
    chmodSync(`${image}/pipe`, 0o622);
    writeFileSync(`${image}/sparse`, "");
    truncateSync(`${image}/sparse`, 64 << 20);
    chownSync(image, 55, 66);
    chmodSync(image, 0o2750);
    utimesSync(image, 3000, 4000);
    await copyUp({ rootfs, destination: "/image", to: volume, subpath: "" });

    expect(readdirSync(volume).sort()).toEqual(["dir", "file", "null", "pipe", "sparse"]);
    const file = statSync(`${volume}/file`);
    expect([file.uid, file.gid, file.mode & 0o7777, file.mtimeMs, file.nlink]).toEqual([12, 34, 0o4751, 2_000_000, 2]);
    expect(statSync(`${volume}/dir/again`).ino).toBe(file.ino);
    expect(readFileSync(`${volume}/file`, "utf8")).toBe("hello");
    expect(lgetxattr(`${volume}/file`, "user.color")?.toString()).toBe("red");
    expect(readlinkSync(`${volume}/dir/link`)).toBe("../nowhere");
    expect([lstatSync(`${volume}/null`).rdev, lstatSync(`${volume}/null`).mode & 0o777]).toEqual([0x103, 0o666]);
    expect([lstatSync(`${volume}/pipe`).isFIFO(), lstatSync(`${volume}/pipe`).mode & 0o777]).toEqual([true, 0o622]);
    expect([statSync(`${volume}/sparse`).size, statSync(`${volume}/sparse`).blocks]).toEqual([64 << 20, 0]);
    const top = statSync(volume);
    expect([top.uid, top.gid, top.mode & 0o7777, top.mtimeMs]).toEqual([55, 66, 0o2750, 4_000_000]);
  });

  test("follows the image's links inside the image only", async () => {
    writeFileSync(`${rootfs}/image/here`, "");
    symlinkSync("/image", `${rootfs}/absolute`);
    symlinkSync("../../../../../image", `${rootfs}/climbing`);
    symlinkSync(`${root}/secret`, `${rootfs}/outside`);
    mkdirSync(`${root}/secret`);
    writeFileSync(`${root}/secret/key`, "");
    await copyUp({ rootfs, destination: "/outside", to: volume, subpath: "" });
    expect(readdirSync(volume)).toEqual([]);
    await copyUp({ rootfs, destination: "/absolute", to: volume, subpath: "" });
    expect(readdirSync(volume).sort()).toEqual(["dir", "here"]);
    const second = `${root}/second`;
    mkdirSync(second);
    await copyUp({ rootfs, destination: "/climbing", to: second, subpath: "" });
    expect(readdirSync(second).sort()).toEqual(["dir", "here"]);
  });

  test("leaves a volume with content, and one without a directory in the image, as they are", async () => {
    writeFileSync(`${rootfs}/image/new`, "");
    await copyUp({ rootfs, destination: "/missing", to: volume, subpath: "" });
    expect(readdirSync(volume)).toEqual([]);
    writeFileSync(`${volume}/own`, "");
    await copyUp({ rootfs, destination: "/image", to: volume, subpath: "" });
    expect(readdirSync(volume)).toEqual(["own"]);
  });

  test("leaves a volume as it is when the image has a file there", async () => {
    writeFileSync(`${rootfs}/file`, "");
    await copyUp({ rootfs, destination: "/file", to: volume, subpath: "" });
    expect(readdirSync(volume)).toEqual([]);
  });

  test("fills the part of a volume that is mounted, inside the volume only", async () => {
    writeFileSync(`${rootfs}/image/new`, "");
    mkdirSync(`${root}/secret`);
    mkdirSync(`${volume}/part/of`, { recursive: true });
    writeFileSync(`${volume}/file`, "");
    symlinkSync(`${root}/secret`, `${volume}/outside`);
    symlinkSync("../../secret", `${volume}/part/climbing`);
    for (const subpath of ["outside", "part/climbing", "missing", "file", "part/of"])
      await copyUp({ rootfs, destination: "/image", to: volume, subpath });
    expect(readdirSync(`${root}/secret`)).toEqual([]);
    expect(readdirSync(volume).sort()).toEqual(["file", "outside", "part"]);
    expect(readdirSync(`${volume}/part/of`).sort()).toEqual(["dir", "new"]);
  });
});
