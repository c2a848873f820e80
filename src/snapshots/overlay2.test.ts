import { describe, expect, test } from "bun:test";
import { existsSync, mkdirSync, readdirSync, readFileSync, readlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { silentLogger } from "../lib/mod.ts";
import { MNT_DETACH, mount, readMountInfo, umount } from "../linux/mod.ts";
import { isOverlaySupported, mountOverlay, mountRelative } from "./overlay-mount.ts";
import { Overlay2 } from "./overlay2.ts";
import { snapshotterSuite } from "./suite.ts";
import { files, isRoot, makeLayer, mendAll, temporaryDirectory } from "./test-support.ts";

/** Where a descriptor of this process leads; empty when it is closed already. */
function linkOf(fd: string): string {
  try {
    return readlinkSync(`/proc/self/fd/${fd}`);
  } catch {
    return "";
  }
}

snapshotterSuite((root, log) => new Overlay2(root, log));

describe.skipIf(!isRoot)("overlay2 (skipped: needs root)", () => {
  test("unmount() of what is not mounted keeps no descriptor", async () => {
    using tmp = temporaryDirectory();
    const s = new Overlay2(join(tmp.path, "s"), silentLogger);
    s.prepare("c", await makeLayer(s, null, "base", files({ f: "f" })));
    const kept = (): number => readdirSync("/proc/self/fd").filter((fd) => linkOf(fd).startsWith(tmp.path)).length;
    for (let round = 0; round < 3; round++) s.unmount("c");
    expect(kept()).toBe(0);
  });

  test("only an ephemeral snapshot is mounted volatile, and layers stay self-contained", async () => {
    using tmp = temporaryDirectory();
    const s = new Overlay2(join(tmp.path, "s"), silentLogger);
    const base = await makeLayer(s, null, "base", files({ "d/f": "f" }));
    for (const isEphemeral of [false, true]) {
      s.prepare(`c-${isEphemeral}`, base, { isEphemeral });
      const target = s.mount(`c-${isEphemeral}`);
      const info = readMountInfo().find((m) => m.mountPoint === target);
      expect(info?.superOptions.some((option) => option === "volatile" || option === "fsync=volatile")).toBe(isEphemeral);
      expect(info?.superOptions).not.toContain("redirect_dir=on");
      expect(info?.superOptions).not.toContain("metacopy=on");
    }
  });

  test("paths() names the real directories of all layers, top first", async () => {
    using tmp = temporaryDirectory();
    const s = new Overlay2(join(tmp.path, "s"), silentLogger);
    const base = await makeLayer(s, null, "base", files({ a: "a" }));
    const top = await makeLayer(s, base, "top", files({ b: "b" }));
    s.prepare("c", top);
    const { lowers, upper, work, rootfs } = s.paths("c");
    expect(lowers.map((path) => join(path))).toEqual([s.layerPaths(top).root, s.layerPaths(base).root]);
    expect(existsSync(upper) && existsSync(work ?? "") && existsSync(rootfs)).toBe(true);
  });

  test("defects() finds short names that lead nowhere", async () => {
    using tmp = temporaryDirectory();
    const s = new Overlay2(join(tmp.path, "s"), silentLogger);
    const base = await makeLayer(s, null, "base", files({ a: "a" }));
    const { symlinkSync } = await import("node:fs");
    symlinkSync("../layers/nothing/diff", join(tmp.path, "s", "l", "dangling"));
    mendAll(s.defects(() => true));
    expect(() => readlinkSync(join(tmp.path, "s", "l", "dangling"))).toThrow();
    s.prepare("c", base);
    expect(readFileSync(join(s.mount("c"), "a"), "utf8")).toBe("a");
  });

  test("works in a directory whose name has a comma, colon and backslash", async () => {
    using tmp = temporaryDirectory();
    const s = new Overlay2(join(tmp.path, "a,b:c\\d"), silentLogger);
    const base = await makeLayer(s, null, "base", files({ a: "a" }));
    const top = await makeLayer(s, base, "top", files({ b: "b" }));
    s.prepare("c", top);
    expect(readFileSync(join(s.mount("c"), "a"), "utf8")).toBe("a");
    expect((await s.draft(top)).lower()).not.toBeNull();
  });

  test("mountRelative() mounts 130 layers and leaves the working directory as it was", () => {
    using tmp = temporaryDirectory();
    const lowers = Array.from({ length: 130 }, (_, i) => `l${i}`);
    for (const [i, name] of lowers.entries()) files({ [`f${i}`]: "" })(join(tmp.path, name));
    for (const name of ["merged", "upper", "work"]) mkdirSync(join(tmp.path, name));
    const before = process.cwd();
    const how = { target: join(tmp.path, "merged"), root: tmp.path, lowers, upper: { upper: "upper", work: "work" } };
    mountRelative(how, 0);
    expect(process.cwd()).toBe(before);
    writeFileSync(join(tmp.path, "merged", "new"), "x");
    expect(existsSync(join(tmp.path, "upper", "new")) && existsSync(join(tmp.path, "merged", "f129"))).toBe(true);
    umount(join(tmp.path, "merged"), MNT_DETACH);
    expect(() => mountRelative({ ...how, lowers: ["missing"] }, 0)).toThrow("no such file");
    expect(process.cwd()).toBe(before);
    mountOverlay(how);
    expect(existsSync(join(tmp.path, "merged", "f129"))).toBe(true);
  });

  test("isOverlaySupported() tells a file system that can from one that can't, and leaves nothing", () => {
    using tmp = temporaryDirectory();
    // what a killed one left
    const left = join(tmp.path, "overlay-check-killed");
    for (const name of ["lower", "upper", "work", "merged"]) mkdirSync(join(left, name), { recursive: true });
    mountOverlay({ target: join(left, "merged"), root: left, lowers: ["lower"], upper: { upper: "upper", work: "work" } });
    expect(isOverlaySupported(tmp.path)).toBe(true);
    for (const name of ["lower", "upper", "work", "merged"]) mkdirSync(join(tmp.path, name));
    mountOverlay({ target: join(tmp.path, "merged"), root: tmp.path, lowers: ["lower"], upper: { upper: "upper", work: "work" } });
    expect(isOverlaySupported(join(tmp.path, "merged"))).toBe(false);
    mkdirSync(join(tmp.path, "memory"));
    mount("tmpfs", join(tmp.path, "memory"), "tmpfs");
    expect(isOverlaySupported(join(tmp.path, "memory"))).toBe(true);
    expect(readMountInfo().filter((m) => m.mountPoint.includes("overlay-check")).length).toBe(0);
  });
});
