import { expect, test } from "bun:test";
import { readFileSync, statfsSync, writeFileSync } from "node:fs";
import { O_CREAT, O_RDONLY, O_RDWR, open } from "./at.ts";
import { isErrno } from "./errno.ts";
import { copyFileRange, ficlone, flock, fsTypeName, LOCK_EX, LOCK_SH, LOCK_UN, statfs, syncfs } from "./fs-info.ts";
import { temporaryDirectory, thrownCode } from "./test-support.ts";

test("statfs() agrees with node's", () => {
  const [mine, theirs] = [statfs("/"), statfsSync("/")];
  expect([mine.type, mine.bsize, mine.blocks, mine.files]).toEqual([theirs.type, theirs.bsize, theirs.blocks, theirs.files]);
  expect(mine.bavail).toBeLessThanOrEqual(mine.bfree);
  expect(mine.nameMax).toBe(255);
  expect(fsTypeName(statfs("/proc").type)).toBe("proc");
  expect(fsTypeName(1)).toBe("<unknown>");
  expect(thrownCode(() => statfs("/none"))).toBe("ENOENT");
});

test("copyFileRange() copies to the end, then says 0", () => {
  using dir = temporaryDirectory();
  writeFileSync(`${dir.path}/a`, "content");
  using from = open(`${dir.path}/a`, O_RDONLY);
  using to = open(`${dir.path}/b`, O_CREAT | O_RDWR);
  expect(copyFileRange(from.fd, to.fd, 100)).toBe(7);
  expect(copyFileRange(from.fd, to.fd, 100)).toBe(0);
  expect(readFileSync(`${dir.path}/b`, "utf8")).toBe("content");
});

test("ficlone() shares the content or says that it can't", () => {
  using dir = temporaryDirectory();
  writeFileSync(`${dir.path}/a`, "content");
  using from = open(`${dir.path}/a`, O_RDONLY);
  using to = open(`${dir.path}/b`, O_CREAT | O_RDWR);
  expect(readFileSync(`${dir.path}/b`, "utf8")).toBe(ficlone(to.fd, from.fd) ? "content" : "");
  expect(isErrno(new Error("x"), "EIO")).toBe(false);
  expect(thrownCode(() => ficlone(-1, from.fd))).toBe("EBADF");
});

test("flock() never waits", () => {
  using dir = temporaryDirectory();
  using a = open(`${dir.path}/lock`, O_CREAT | O_RDWR);
  using b = open(`${dir.path}/lock`, O_RDWR);
  expect(flock(a.fd, LOCK_EX)).toBe(true);
  expect(flock(b.fd, LOCK_SH)).toBe(false);
  expect(flock(a.fd, LOCK_UN)).toBe(true);
  expect(flock(b.fd, LOCK_SH)).toBe(true);
  expect(flock(a.fd, LOCK_SH)).toBe(true);
});

test("syncfs() takes a descriptor of the file system", () => {
  expect(thrownCode(() => syncfs(-1))).toBe("EBADF");
  using proc = open("/proc", O_RDONLY);
  syncfs(proc.fd);
});
