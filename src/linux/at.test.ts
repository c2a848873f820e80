import { describe, expect, test } from "bun:test";
import { fstatSync, lstatSync, mkdirSync, readdirSync, readFileSync, readlinkSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import * as at from "./at.ts";
import { Fd, pread, pwrite, read, write } from "./fd.ts";
import {
  AT_EMPTY_PATH,
  AT_FDCWD,
  AT_REMOVEDIR,
  AT_SYMLINK_NOFOLLOW,
  fstat,
  major,
  makedev,
  minor,
  S_IFCHR,
  S_IFDIR,
  S_IFIFO,
  S_IFLNK,
  S_IFMT,
  statx,
  tryStatx,
} from "./stat.ts";
import { isRoot, temporaryDirectory, thrown, thrownCode } from "./test-support.ts";

const { O_CREAT, O_DIRECTORY, O_EXCL, O_NOFOLLOW, O_PATH, O_RDONLY, O_RDWR, O_WRONLY, RESOLVE_BENEATH, RESOLVE_IN_ROOT } = at;

function openRoot(path: string): Fd {
  return at.open(path, O_PATH | O_DIRECTORY);
}

function contentOf(file: Fd): string {
  using held = file;
  const buffer = Buffer.alloc(100);
  return buffer.toString("utf8", 0, read(held.fd, buffer));
}

// One suite for the system call and for the walk that stands in for it on older kernels.
for (const [name, open] of Object.entries({ openat2: at.openat2, openByWalk: at.openByWalk })) {
  describe(`${name}()`, () => {
    function tree(path: string): void {
      mkdirSync(`${path}/outside`);
      writeFileSync(`${path}/outside/secret`, "outside");
      mkdirSync(`${path}/root/dir/deep`, { recursive: true });
      writeFileSync(`${path}/root/secret`, "inside");
      writeFileSync(`${path}/root/dir/file`, "file");
      symlinkSync("/secret", `${path}/root/absolute`);
      symlinkSync("../../../../../secret", `${path}/root/dir/up`);
      symlinkSync("dir/deep/../file", `${path}/root/relative`);
      symlinkSync(`${path}/outside`, `${path}/root/escape`);
      symlinkSync("loop", `${path}/root/loop`);
      symlinkSync("dir/", `${path}/root/slashed`);
      symlinkSync("new", `${path}/root/dangling`);
    }

    test("RESOLVE_IN_ROOT keeps links, '..' and absolute names inside", () => {
      using dir = temporaryDirectory();
      tree(dir.path);
      using root = openRoot(`${dir.path}/root`);
      const how = { flags: O_RDONLY, resolve: RESOLVE_IN_ROOT };
      for (const path of ["absolute", "dir/up", "/secret", "../../secret", "dir/../../secret", "/absolute"]) {
        expect(contentOf(open(root.fd, path, how))).toBe("inside");
      }
      expect(contentOf(open(root.fd, "relative", how))).toBe("file");
      expect(contentOf(open(root.fd, "slashed/file", how))).toBe("file");
      expect(thrownCode(() => open(root.fd, "escape/secret", how))).toBe("ENOENT");
      expect(thrownCode(() => open(root.fd, "loop", how))).toBe("ELOOP");
      expect(thrownCode(() => open(root.fd, "secret/x", how))).toBe("ENOTDIR");
      expect(thrownCode(() => open(root.fd, "secret/", how))).toBe("ENOTDIR");
      expect(thrownCode(() => open(root.fd, "", how))).toBe("ENOENT");
    });

    test("RESOLVE_IN_ROOT creates through links inside only", () => {
      using dir = temporaryDirectory();
      tree(dir.path);
      using root = openRoot(`${dir.path}/root`);
      const how = { flags: O_CREAT | O_WRONLY, mode: 0o640, resolve: RESOLVE_IN_ROOT };
      {
        using made = open(root.fd, "../../dir/made", how);
        write(made.fd, Buffer.from("x"));
      }
      expect(statSync(`${dir.path}/root/dir/made`).mode & 0o777).toBe(0o640);
      open(root.fd, "dangling", how).close();
      expect(readdirSync(`${dir.path}/root`)).toContain("new");
      expect(thrownCode(() => open(root.fd, "escape/made", how))).toBe("ENOENT");
      expect(thrownCode(() => open(root.fd, "absolute", { ...how, flags: O_CREAT | O_EXCL | O_WRONLY }))).toBe("EEXIST");
      expect(readdirSync(`${dir.path}/outside`)).toEqual(["secret"]);
    });

    test("RESOLVE_BENEATH refuses to leave", () => {
      using dir = temporaryDirectory();
      tree(dir.path);
      using root = openRoot(`${dir.path}/root`);
      const how = { flags: O_RDONLY, resolve: RESOLVE_BENEATH };
      for (const path of ["..", "/secret", "absolute", "dir/up", "dir/../../root/secret", "escape/secret"]) {
        expect(thrownCode(() => open(root.fd, path, how))).toBe("EXDEV");
      }
      expect(contentOf(open(root.fd, "dir/../secret", how))).toBe("inside");
    });

    test("RESOLVE_NO_SYMLINKS and O_NOFOLLOW refuse links", () => {
      using dir = temporaryDirectory();
      tree(dir.path);
      using root = openRoot(`${dir.path}/root`);
      expect(thrownCode(() => open(root.fd, "slashed/file", { flags: O_RDONLY, resolve: RESOLVE_IN_ROOT | at.RESOLVE_NO_SYMLINKS }))).toBe(
        "ELOOP",
      );
      expect(thrownCode(() => open(root.fd, "relative", { flags: O_RDONLY, resolve: RESOLVE_IN_ROOT | at.RESOLVE_NO_SYMLINKS }))).toBe(
        "ELOOP",
      );
      expect(thrownCode(() => open(root.fd, "relative", { flags: O_RDONLY | O_NOFOLLOW, resolve: RESOLVE_IN_ROOT }))).toBe("ELOOP");
      using link = open(root.fd, "relative", { flags: O_PATH | O_NOFOLLOW, resolve: RESOLVE_IN_ROOT });
      expect(fstat(link.fd).mode & S_IFMT).toBe(S_IFLNK);
      expect(at.readlinkat(link.fd, "").toString()).toBe("dir/deep/../file");
    });

    test("opens directories: the root, one with a trailing slash, one with a name that is no UTF-8", () => {
      using dir = temporaryDirectory();
      tree(dir.path);
      using root = openRoot(`${dir.path}/root`);
      const how = { flags: O_RDONLY | O_DIRECTORY, resolve: RESOLVE_IN_ROOT };
      for (const path of ["/", ".", "dir/", "slashed", "dir/."]) open(root.fd, path, how).close();
      const odd = Buffer.from([0x64, 0xff, 0x64]);
      at.mkdirat(root.fd, odd);
      open(root.fd, Buffer.concat([odd, Buffer.from("/..")]), how).close();
      open(root.fd, odd, how).close();
    });

    test("every descriptor is closed on exec, and none leaks", () => {
      using dir = temporaryDirectory();
      tree(dir.path);
      using root = openRoot(`${dir.path}/root`);
      const before = readdirSync("/proc/self/fd").length;
      {
        using file = open(root.fd, "relative", { flags: O_RDONLY, resolve: RESOLVE_IN_ROOT });
        expect(readFileSync(`/proc/self/fdinfo/${file.fd}`, "utf8")).toMatch(/flags:\s+0?2\d{6}/);
      }
      thrown(() => open(root.fd, "dir/deep/none/x", { flags: O_RDONLY, resolve: RESOLVE_IN_ROOT }));
      expect(readdirSync("/proc/self/fd").length).toBe(before);
    });
  });
}

describe("names below a directory", () => {
  test("mkdirat, symlinkat, linkat, renameat, readlinkat, unlinkat", () => {
    using dir = temporaryDirectory();
    using root = openRoot(dir.path);
    at.mkdirat(root.fd, "d", 0o750);
    expect(statx(root.fd, "d").mode).toBe(S_IFDIR | 0o750);
    expect(thrownCode(() => at.mkdirat(root.fd, "d"))).toBe("EEXIST");
    at.symlinkat("d/f", root.fd, "l");
    expect(at.readlinkat(root.fd, "l").toString()).toBe("d/f");
    at.openat(root.fd, "l", O_CREAT | O_WRONLY, 0o600).close();
    at.linkat({ dirfd: root.fd, path: "d/f" }, { dirfd: root.fd, path: "hard" });
    expect(statx(root.fd, "hard").nlink).toBe(2);
    expect(statx(root.fd, "hard").ino).toBe(statx(root.fd, "d/f").ino);
    at.renameat({ dirfd: root.fd, path: "hard" }, { dirfd: root.fd, path: "d/g" });
    expect(thrownCode(() => at.renameat({ dirfd: root.fd, path: "d/g" }, { dirfd: root.fd, path: "l" }, at.RENAME_NOREPLACE))).toBe(
      "EEXIST",
    );
    expect(thrownCode(() => at.unlinkat(root.fd, "d", AT_REMOVEDIR))).toBe("ENOTEMPTY");
    for (const name of ["d/f", "d/g", "l"]) at.unlinkat(root.fd, name);
    at.unlinkat(root.fd, "d", AT_REMOVEDIR);
    expect(readdirSync(dir.path)).toEqual([]);
    expect(thrownCode(() => at.unlinkat(root.fd, "d"))).toBe("ENOENT");
    expect(tryStatx(root.fd, "d/x")).toBeUndefined();
  });

  test("linkat() gives an O_TMPFILE file its name", () => {
    using dir = temporaryDirectory();
    using root = at.open(dir.path, O_RDONLY | O_DIRECTORY);
    using file = at.openat(root.fd, ".", at.O_TMPFILE | O_RDWR, 0o600);
    write(file.fd, Buffer.from("late"));
    at.linkat({ dirfd: AT_FDCWD, path: `/proc/self/fd/${file.fd}` }, { dirfd: root.fd, path: "named" }, 0x400);
    expect(readFileSync(`${dir.path}/named`, "utf8")).toBe("late");
  });

  test.skipIf(!isRoot)("mknodat() makes devices and FIFOs (needs root)", () => {
    using dir = temporaryDirectory();
    using root = openRoot(dir.path);
    at.mknodat(root.fd, "null", S_IFCHR | 0o600, makedev(1, 3));
    at.mknodat(root.fd, "fifo", S_IFIFO | 0o600);
    const device = statx(root.fd, "null");
    expect([device.mode & S_IFMT, major(device.rdev), minor(device.rdev)]).toEqual([S_IFCHR, 1, 3]);
    expect(device.rdev).toBe(lstatSync(`${dir.path}/null`).rdev);
    expect(statx(root.fd, "fifo").mode).toBe(S_IFIFO | 0o600);
    for (const [ma, mi] of [
      [2 ** 31, 0],
      [-1, 0],
      [0, -1],
    ] as const) {
      expect(thrownCode(() => at.mknodat(root.fd, "huge", S_IFCHR | 0o600, makedev(ma, mi)))).toBe("EINVAL");
    }
  });

  test.skipIf(!isRoot)("fchownat, fchown, fchmodat, fchmod (needs root)", () => {
    using dir = temporaryDirectory();
    using root = openRoot(dir.path);
    using file = at.openat(root.fd, "f", O_CREAT | O_RDWR);
    at.symlinkat("f", root.fd, "l");
    at.fchownat(root.fd, "l", { uid: 7, gid: 8 }, AT_SYMLINK_NOFOLLOW);
    at.fchownat(root.fd, "l", { uid: 4_000_000_000, gid: -1 });
    const link = statx(root.fd, "l", AT_SYMLINK_NOFOLLOW);
    expect([link.uid, link.gid, fstat(file.fd).uid, fstat(file.fd).gid]).toEqual([7, 8, 4_000_000_000, process.getgid?.() ?? -1]);
    at.fchown(file.fd, 5, 6);
    at.fchownat(file.fd, "", { uid: -1, gid: 9 }, AT_EMPTY_PATH);
    expect([fstat(file.fd).uid, fstat(file.fd).gid]).toEqual([5, 9]);
    at.fchmod(file.fd, 0o4711);
    expect(fstat(file.fd).mode & 0o7777).toBe(0o4711);
    at.fchmodat(root.fd, "l", 0o100644);
    expect(fstat(file.fd).mode & 0o7777).toBe(0o644);
  });

  test("utimensat() sets nanoseconds, before the epoch too, of files, links and descriptors", () => {
    using dir = temporaryDirectory();
    using root = openRoot(dir.path);
    using file = at.openat(root.fd, "f", O_CREAT | O_RDWR);
    at.symlinkat("f", root.fd, "l");
    at.utimensat(root.fd, "f", { atimeNs: 1_700_000_000_123_456_789n, mtimeNs: -1n });
    expect([fstat(file.fd).atimeNs, fstat(file.fd).mtimeNs]).toEqual([1_700_000_000_123_456_789n, -1n]);
    at.utimensat(root.fd, "l", { atimeNs: 1n, mtimeNs: 2n }, AT_SYMLINK_NOFOLLOW);
    expect(statx(root.fd, "l", AT_SYMLINK_NOFOLLOW).mtimeNs).toBe(2n);
    at.utimensat(file.fd, "", { atimeNs: at.UTIME_OMIT, mtimeNs: 42n }, AT_EMPTY_PATH);
    expect([fstat(file.fd).atimeNs, fstat(file.fd).mtimeNs]).toEqual([1_700_000_000_123_456_789n, 42n]);
    at.utimensat(file.fd, "", { atimeNs: at.UTIME_NOW, mtimeNs: at.UTIME_OMIT }, AT_EMPTY_PATH);
    expect(fstat(file.fd).atimeNs).toBeGreaterThan(1_700_000_000_123_456_789n);
  });

  test("readDirents() lists raw names and types, many of them", () => {
    using dir = temporaryDirectory();
    using root = at.open(dir.path, O_RDONLY | O_DIRECTORY);
    const odd = Buffer.from([0xfe, 0x61]);
    at.mkdirat(root.fd, odd);
    at.symlinkat("x", root.fd, "é");
    for (let i = 0; i < 600; i++) at.openat(root.fd, `file-with-a-long-name-${i}`, O_CREAT | O_WRONLY).close();
    const found = at.readDirents(root.fd);
    expect(found.length).toBe(602);
    expect(found.find((e) => Buffer.compare(e.raw, odd) === 0)?.type).toBe(S_IFDIR >> 12);
    expect(found.find((e) => e.name === "é")?.type).toBe(S_IFLNK >> 12);
    expect(readlinkSync(`${dir.path}/é`)).toBe("x");
    expect(new Set(found.map((e) => e.ino)).size).toBe(602);
  });
});

describe("bytes of an open file", () => {
  test("read, write, pread, pwrite, ftruncate past 4 GiB", () => {
    using dir = temporaryDirectory();
    using file = at.open(`${dir.path}/f`, O_CREAT | O_RDWR);
    const far = 5 * 2 ** 30;
    expect(write(file.fd, Buffer.from("head"))).toBe(4);
    expect(pwrite(file.fd, Buffer.from("tail"), far)).toBe(4);
    expect(fstat(file.fd).size).toBe(far + 4);
    const buffer = Buffer.alloc(8);
    expect(pread(file.fd, buffer, far)).toBe(4);
    expect(buffer.toString("utf8", 0, 4)).toBe("tail");
    expect(read(file.fd, buffer, 0)).toBe(0);
    at.ftruncate(file.fd, 2);
    expect(pread(file.fd, buffer, 0)).toBe(2);
    expect(pread(file.fd, buffer, 100)).toBe(0);
    expect(thrownCode(() => at.ftruncate(file.fd, -1))).toBe("EINVAL");
  });

  test("lseek() finds data and holes; fallocate() punches them", () => {
    using dir = temporaryDirectory();
    using file = at.open(`${dir.path}/f`, O_CREAT | O_RDWR);
    const block = 1 << 20;
    at.ftruncate(file.fd, 4 * block);
    expect(at.lseek(file.fd, 0, at.SEEK_DATA)).toBe(-1);
    pwrite(file.fd, Buffer.alloc(block, 1), 2 * block);
    expect(at.lseek(file.fd, 0, at.SEEK_DATA)).toBe(2 * block);
    expect(at.lseek(file.fd, 2 * block, at.SEEK_HOLE)).toBe(3 * block);
    at.fallocate(file.fd, at.FALLOC_FL_PUNCH_HOLE | at.FALLOC_FL_KEEP_SIZE, 2 * block, block);
    expect(at.lseek(file.fd, 0, at.SEEK_DATA)).toBe(-1);
    expect(at.lseek(file.fd, 0, at.SEEK_END)).toBe(4 * block);
  });

  test("Fd closes once and can be given away", () => {
    const file = at.open("/dev/null", O_RDONLY);
    const number = file.fd;
    file.close();
    file.close();
    expect(file.fd).toBe(-1);
    expect(thrownCode(() => fstat(number))).toBe("EBADF");
    const other = at.open("/dev/null", O_RDONLY);
    const given = other.release();
    other.close();
    using again = new Fd(given);
    expect(fstat(again.fd).mode & S_IFMT).toBe(S_IFCHR);
  });
});

test("makedev, major and minor agree with the C library's packing", () => {
  expect(makedev(8, 1)).toBe(0x801);
  for (const [ma, mi] of [
    [1, 3],
    [259, 300_000],
    [4095, 1_048_575],
    [0, 65_536],
  ] as const) {
    expect([major(makedev(ma, mi)), minor(makedev(ma, mi))]).toEqual([ma, mi]);
  }
  expect(fstat(0).dev).toBe(fstatSync(0).dev);
});
