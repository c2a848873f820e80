import { afterAll, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { resolveUser } from "./user.ts";

const root = mkdtempSync(`${tmpdir()}/dhow-user-`);
afterAll(() => rmSync(root, { recursive: true }));
mkdirSync(`${root}/etc`);
writeFileSync(`${root}/etc/passwd`, "root:x:0:0:root:/root:/bin/sh\nweb:x:33:34:Web:/var/www:/bin/sh\n\nodd:x:abc\n");
writeFileSync(`${root}/etc/group`, "root:x:0:\nweb:x:34:\naudio:x:29:web,root\nvideo:x:44:other,web\n");

test("resolveUser() finds users, groups and their supplementary groups", () => {
  expect(resolveUser(root, "")).toEqual({ uid: 0, gid: 0, additionalGids: [0, 29], home: "/root" });
  expect(resolveUser(root, "web")).toEqual({ uid: 33, gid: 34, additionalGids: [34, 29, 44], home: "/var/www" });
  expect(resolveUser(root, "33")).toEqual({ uid: 33, gid: 34, additionalGids: [34, 29, 44], home: "/var/www" });
  expect(resolveUser(root, "web:audio")).toMatchObject({ gid: 29, additionalGids: [29] });
  expect(resolveUser(root, "1234:5678")).toEqual({ uid: 1234, gid: 5678, additionalGids: [5678], home: "/" });
  expect(resolveUser(root, "1234")).toMatchObject({ uid: 1234, gid: 0 });
  expect(resolveUser(root, ":audio")).toMatchObject({ uid: 0, gid: 29 });
  expect(resolveUser(root, "web", ["audio", "video", "777"])).toMatchObject({ additionalGids: [34, 29, 44, 777] });
});

test("resolveUser() refuses unknown names and numbers out of range in docker's words", () => {
  expect(() => resolveUser(root, "nobody")).toThrow("unable to find user nobody: no matching entries in passwd file");
  expect(() => resolveUser(root, "web:nogroup")).toThrow("unable to find group nogroup: no matching entries in group file");
  expect(() => resolveUser(root, "2147483648")).toThrow("uids and gids must be in range 0-2147483647");
  expect(() => resolveUser(root, "-1")).toThrow("uids and gids must be in range 0-2147483647");
  expect(() => resolveUser(root, "0", ["nope"])).toThrow("Unable to find group nope: no matching entries in group file");
});

test("resolveUser() does without files, and never reads one outside of the root", () => {
  const bare = mkdtempSync(`${tmpdir()}/dhow-user-`);
  try {
    expect(resolveUser(bare, "5:6")).toEqual({ uid: 5, gid: 6, additionalGids: [6], home: "/" });
    mkdirSync(`${bare}/etc`);
    symlinkSync(`${root}/etc/passwd`, `${bare}/etc/passwd`);
    expect(() => resolveUser(bare, "web")).toThrow("unable to find user web");
    symlinkSync("../../../../../../etc/group", `${bare}/etc/group`);
    expect(() => resolveUser(bare, "0:root")).toThrow("unable to find group root");
  } finally {
    rmSync(bare, { recursive: true });
  }
});
