import { describe, expect, test } from "bun:test";
import { existsSync, readFileSync, readlinkSync, writeFileSync } from "node:fs";
import { O_RDONLY, open } from "./at.ts";
import { isMountPoint } from "./mount.ts";
import { createNetns, removeNetns, withNetns } from "./namespaces.ts";
import { isRoot, temporaryDirectory, thrown, thrownCode } from "./test-support.ts";

const here = (): string => readlinkSync("/proc/thread-self/ns/net");
const interfaces = (): string[] => [...readFileSync("/proc/thread-self/net/dev", "utf8").matchAll(/^ *([^ :]+):/gm)].map((m) => m[1] ?? "");

describe.skipIf(!isRoot)("network namespaces (need root)", () => {
  test("createNetns() makes one that stays, this thread goes home", () => {
    using dir = temporaryDirectory();
    const path = `${dir.path}/ns`;
    const home = here();
    createNetns(path);
    expect(here()).toBe(home);
    expect(isMountPoint(path)).toBe(true);
    expect(withNetns(path, interfaces)).toContain("lo");
    expect(withNetns(path, here)).not.toBe(home);
    removeNetns(path);
    expect(existsSync(path)).toBe(false);
    removeNetns(path);
  });

  test("createNetns() runs work inside at once", () => {
    using dir = temporaryDirectory();
    const inside = createNetns(`${dir.path}/ns`, here);
    expect(inside).toBe(withNetns(`${dir.path}/ns`, here));
  });

  test("createNetns() leaves nothing behind when it fails", () => {
    using dir = temporaryDirectory();
    const path = `${dir.path}/ns`;
    const home = here();
    const failing = (): never => {
      throw new RangeError("work failed");
    };
    expect(thrown(() => createNetns(path, failing))).toBeInstanceOf(RangeError);
    expect(existsSync(path)).toBe(false);
    expect(here()).toBe(home);
    writeFileSync(path, "taken");
    expect(thrownCode(() => createNetns(path))).toBe("EEXIST");
    expect(readFileSync(path, "utf8")).toBe("taken");
  });

  test("withNetns() comes home when the work throws, and from within another", () => {
    using dir = temporaryDirectory();
    const home = here();
    createNetns(`${dir.path}/a`);
    createNetns(`${dir.path}/b`);
    using b = open(`${dir.path}/b`, O_RDONLY);
    const ids = withNetns(`${dir.path}/a`, () => [here(), withNetns(b, here), withNetns(b.fd, here), here()]);
    expect(ids[0]).toBe(ids[3] as string);
    expect(ids[1]).toBe(ids[2] as string);
    expect(ids[0]).not.toBe(ids[1] as string);
    const failing = (): never => {
      throw new RangeError("work failed");
    };
    expect(thrown(() => withNetns(`${dir.path}/a`, failing))).toBeInstanceOf(RangeError);
    expect(here()).toBe(home);
  });

  test("withNetns() refuses asynchronous work and what is no namespace", () => {
    using dir = temporaryDirectory();
    const home = here();
    createNetns(`${dir.path}/a`);
    expect(String(thrown(() => withNetns(`${dir.path}/a`, async () => {})))).toContain("must not be asynchronous");
    writeFileSync(`${dir.path}/file`, "");
    expect(thrownCode(() => withNetns(`${dir.path}/file`, here))).toBe("EINVAL");
    expect(thrownCode(() => withNetns(`${dir.path}/none`, here))).toBe("ENOENT");
    expect(here()).toBe(home);
  });
});
