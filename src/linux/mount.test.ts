import { describe, expect, test } from "bun:test";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { isKind } from "../lib/mod.ts";
import { isMountPoint, MS_BIND, MS_NOSUID, MS_RDONLY, MS_REMOUNT, mount, parseMountInfo, readMountInfo, umount } from "./mount.ts";
import { isRoot, temporaryDirectory, thrown, thrownCode } from "./test-support.ts";

describe.skipIf(!isRoot)("mount() (needs root)", () => {
  test("mounts a tmpfs with options, which mountinfo shows", () => {
    using dir = temporaryDirectory();
    mount("dhow-test", dir.path, "tmpfs", MS_NOSUID, "size=1m,mode=700");
    const found = readMountInfo().find((m) => m.mountPoint === dir.path);
    expect(found?.fsType).toBe("tmpfs");
    expect(found?.source).toBe("dhow-test");
    expect(found?.options).toContain("nosuid");
    expect(found?.superOptions).toContain("size=1024k");
    umount(dir.path);
    expect(readMountInfo().some((m) => m.mountPoint === dir.path)).toBe(false);
  });

  test("stacks an overlay and removes it", () => {
    using dir = temporaryDirectory();
    const at = (name: string): string => `${dir.path}/${name}`;
    mount("tmpfs", dir.path, "tmpfs");
    for (const name of ["lower", "upper", "work", "merged"]) mkdirSync(at(name));
    writeFileSync(at("lower/a"), "below");
    mount("overlay", at("merged"), "overlay", 0, `lowerdir=${at("lower")},upperdir=${at("upper")},workdir=${at("work")}`);
    writeFileSync(at("merged/b"), "above");
    expect(readFileSync(at("merged/a"), "utf8")).toBe("below");
    expect(readFileSync(at("upper/b"), "utf8")).toBe("above");
    umount(at("merged"));
    expect(isMountPoint(at("merged"))).toBe(false);
  });

  test("isMountPoint() sees bind mounts of directories and files", () => {
    using dir = temporaryDirectory();
    mkdirSync(`${dir.path}/a`);
    writeFileSync(`${dir.path}/f`, "");
    expect(isMountPoint(`${dir.path}/a`)).toBe(false);
    mount(`${dir.path}/a`, `${dir.path}/a`, null, MS_BIND);
    mount("/dev/null", `${dir.path}/f`, null, MS_BIND);
    expect(isMountPoint(`${dir.path}/a`)).toBe(true);
    expect(isMountPoint(`${dir.path}/f`)).toBe(true);
    expect(isMountPoint(`${dir.path}/none`)).toBe(false);
    expect(isMountPoint(`${dir.path}/f/none`)).toBe(false);
  });

  test("a read-only bind mount refuses writes", () => {
    using dir = temporaryDirectory();
    mount(dir.path, dir.path, null, MS_BIND);
    mount(null, dir.path, null, MS_BIND | MS_REMOUNT | MS_RDONLY);
    expect(thrownCode(() => writeFileSync(`${dir.path}/x`, ""))).toBe("EROFS");
  });

  test("says what failed where", () => {
    using dir = temporaryDirectory();
    expect(String(thrown(() => mount("x", `${dir.path}/none`, "tmpfs")))).toBe(
      `SysError: mount x ${dir.path}/none: no such file or directory`,
    );
    expect(thrownCode(() => mount("x", dir.path, "nosuchfs"))).toBe("ENODEV");
    expect(thrownCode(() => umount(dir.path))).toBe("EINVAL");
  });

  test("refuses options that the kernel would cut off", () => {
    expect(
      isKind(
        thrown(() => mount("overlay", "/nowhere", "overlay", 0, `lowerdir=${"a".repeat(4100)}`)),
        "invalid",
      ),
    ).toBe(true);
  });

  test("names with spaces and backslashes come back from mountinfo", () => {
    using dir = temporaryDirectory();
    const path = `${dir.path}/a b\\c\té`;
    mkdirSync(path);
    mount("tmpfs", path, "tmpfs");
    expect(readMountInfo().at(-1)?.mountPoint).toBe(path);
    expect(isMountPoint(path)).toBe(true);
  });
});

test("parseMountInfo() reads every field", () => {
  const text =
    "36 35 98:0 /mnt1 /mnt\\0402 rw,noatime shared:1 master:2 - ext3 /dev/root rw,errors=continue\n" +
    "25 1 0:23 / /proc rw - proc proc rw\nbroken line\n\n";
  expect(parseMountInfo(text)).toEqual([
    {
      mountId: 36,
      parentId: 35,
      device: "98:0",
      root: "/mnt1",
      mountPoint: "/mnt 2",
      options: ["rw", "noatime"],
      propagation: ["shared:1", "master:2"],
      fsType: "ext3",
      source: "/dev/root",
      superOptions: ["rw", "errors=continue"],
    },
    {
      mountId: 25,
      parentId: 1,
      device: "0:23",
      root: "/",
      mountPoint: "/proc",
      options: ["rw"],
      propagation: [],
      fsType: "proc",
      source: "proc",
      superOptions: ["rw"],
    },
  ]);
});
