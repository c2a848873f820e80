import { expect, test } from "bun:test";
import { symlinkSync, writeFileSync } from "node:fs";
import { O_NOFOLLOW, O_PATH, O_RDONLY, open } from "./at.ts";
import { isRoot, temporaryDirectory, thrownCode } from "./test-support.ts";
import {
  fgetxattr,
  flistxattr,
  fremovexattr,
  fsetxattr,
  lgetxattr,
  llistxattr,
  lremovexattr,
  lsetxattr,
  XATTR_CREATE,
  XATTR_REPLACE,
} from "./xattr.ts";

test.skipIf(!isRoot)("l*xattr() work on the link itself (needs root)", () => {
  using dir = temporaryDirectory();
  const [file, link] = [`${dir.path}/f`, `${dir.path}/l`];
  writeFileSync(file, "");
  symlinkSync("f", link);
  lsetxattr(link, "trusted.dhow", Buffer.from("link"));
  expect(lgetxattr(file, "trusted.dhow")).toBeUndefined();
  expect(lgetxattr(link, "trusted.dhow")?.toString()).toBe("link");
  expect(llistxattr(link)).toEqual(["trusted.dhow"]);
  lremovexattr(link, "trusted.dhow");
  expect(llistxattr(link)).toEqual([]);
  expect(thrownCode(() => lremovexattr(link, "trusted.dhow"))).toBe("ENODATA");
  expect(thrownCode(() => lgetxattr(`${dir.path}/none`, "trusted.dhow"))).toBe("ENOENT");
});

test.skipIf(!isRoot)("f*xattr() work on open files, O_PATH ones too (needs root)", () => {
  using dir = temporaryDirectory();
  writeFileSync(`${dir.path}/f`, "");
  for (const flags of [O_RDONLY, O_PATH | O_NOFOLLOW]) {
    using file = open(`${dir.path}/f`, flags);
    fsetxattr(file.fd, "trusted.a", Buffer.from([0, 1, 255]), XATTR_CREATE);
    expect(thrownCode(() => fsetxattr(file.fd, "trusted.a", Buffer.alloc(1), XATTR_CREATE))).toBe("EEXIST");
    expect(thrownCode(() => fsetxattr(file.fd, "trusted.b", Buffer.alloc(1), XATTR_REPLACE))).toBe("ENODATA");
    fsetxattr(file.fd, "trusted.empty", new Uint8Array(0));
    expect(flistxattr(file.fd).sort()).toEqual(["trusted.a", "trusted.empty"]);
    expect([...(fgetxattr(file.fd, "trusted.a") ?? [])]).toEqual([0, 1, 255]);
    expect(fgetxattr(file.fd, "trusted.empty")?.length).toBe(0);
    expect(fgetxattr(file.fd, "trusted.none")).toBeUndefined();
    fremovexattr(file.fd, "trusted.a");
    fremovexattr(file.fd, "trusted.empty");
  }
});

test.skipIf(!isRoot)("values over the first buffer come whole, file capabilities as they are (needs root)", () => {
  using dir = temporaryDirectory();
  const path = `${dir.path}/f`;
  writeFileSync(path, "");
  const value = Buffer.alloc(3000, "x");
  lsetxattr(path, "trusted.long", value);
  expect(lgetxattr(path, "trusted.long")?.equals(value)).toBe(true);
  // vfs_cap_data version 2: cap_net_raw, permitted and effective
  const capability = Buffer.from("0100000200200000000000000000000000000000", "hex");
  lsetxattr(path, "security.capability", capability);
  expect(lgetxattr(path, "security.capability")?.equals(capability)).toBe(true);
});
