import { describe, expect, test } from "bun:test";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { SysError } from "./errno.ts";
import { MOUNT_ATTR_NOSUID, type MountOption, mountWith } from "./fs-context.ts";
import { readMountInfo } from "./mount.ts";
import { unameInfo } from "./process.ts";
import { isRoot, temporaryDirectory, thrown, thrownCode } from "./test-support.ts";

const [major = 0, minor = 0] = unameInfo().release.split(".").map(Number);
const takesLayersOneByOne = major > 6 || (major === 6 && minor >= 5);

describe.skipIf(!isRoot)("mountWith() (needs root)", () => {
  test("mounts with options and attributes", () => {
    using dir = temporaryDirectory();
    mountWith(
      "tmpfs",
      [
        ["size", "1m"],
        ["source", "dhow-test"],
      ],
      dir.path,
      MOUNT_ATTR_NOSUID,
    );
    const found = readMountInfo().find((m) => m.mountPoint === dir.path);
    expect([found?.fsType, found?.source]).toEqual(["tmpfs", "dhow-test"]);
    expect(found?.superOptions).toContain("size=1024k");
    expect(found?.options).toContain("nosuid");
  });

  test.skipIf(!takesLayersOneByOne)("stacks more layers than mount(2) has room for (needs Linux 6.5)", () => {
    using dir = temporaryDirectory();
    mountWith("tmpfs", [], dir.path);
    const layers = Array.from({ length: 120 }, (_, i) => `${dir.path}/${"long-name-".repeat(5)}${i}`);
    for (const [i, layer] of layers.entries()) {
      mkdirSync(layer);
      writeFileSync(`${layer}/file-${i}`, "");
      writeFileSync(`${layer}/same`, `${i}`);
    }
    for (const name of ["upper", "work", "merged"]) mkdirSync(`${dir.path}/${name}`);
    const lower = layers.map((layer): MountOption => ["lowerdir+", layer]);
    mountWith("overlay", [...lower, ["upperdir", `${dir.path}/upper`], ["workdir", `${dir.path}/work`]], `${dir.path}/merged`);
    expect(readFileSync(`${dir.path}/merged/same`, "utf8")).toBe("0");
    expect(readFileSync(`${dir.path}/merged/file-119`, "utf8")).toBe("");
  });

  test("names the option that is wrong, with the kernel's words", () => {
    using dir = temporaryDirectory();
    const error = thrown(() => mountWith("tmpfs", [["nosuch", "1"]], dir.path));
    if (!(error instanceof SysError)) throw error;
    expect(error.message).toBe("fsconfig nosuch 1: invalid argument");
    expect(String(error.cause)).toContain("nosuch");
    expect(thrownCode(() => mountWith("nosuchfs", [], dir.path))).toBe("ENODEV");
  });
});
