import { expect, test } from "bun:test";
import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { archive, file, inTemp, python } from "./test-support.ts";
import { encodeTarHeader } from "./writer.ts";

test("ends in exactly 1,024 zero bytes", async () => {
  expect((await archive()).equals(Buffer.alloc(1024))).toBe(true);
  const one = await archive(file("a", "x"));
  expect(one.length).toBe(512 + 512 + 1024);
});

test("uses plain USTAR when it fits and PAX when it does not", () => {
  expect(encodeTarHeader({ type: "file", name: `${"d".repeat(150)}/${"f".repeat(100)}`, mode: 0o644 }).length).toBe(512);
  expect(encodeTarHeader({ type: "file", name: "f".repeat(101), mode: 0o644 }).length).toBe(1536);
  expect(encodeTarHeader({ type: "file", name: "ü", mode: 0o644 }).length).toBe(1536);
  expect(encodeTarHeader({ type: "file", name: "big", mode: 0o644, size: 8 * 2 ** 30 }).length).toBe(1536);
  expect(encodeTarHeader({ type: "file", name: "time", mode: 0o644, mtimeNs: 1n }).length).toBe(1536);
});

test("rejects a payload that is not as long as its entry says", async () => {
  const wrong = { entry: { type: "file", name: "a", mode: 0o644, size: 3 }, payload: Buffer.from("ab") } as const;
  await expect(archive(wrong)).rejects.toThrow("payload has 2 of its 3 bytes");
  await expect(archive({ ...wrong, payload: Buffer.from("abcd") })).rejects.toThrow("more than its 3 bytes");
});

test("GNU tar and Python read what it writes", async () => {
  const long = `${"directory-".repeat(20)}/${"file".repeat(40)}`;
  const bytes = await archive(
    { entry: { type: "directory", name: "dir", mode: 0o1777, uid: 5, gid: 3_000_000 } },
    file("dir/grüße", "hello", { mtimeNs: 1_350_244_992_023_960_108n, xattrs: new Map([["user.a", Buffer.from("b\nc=")]]) }),
    file(long, "long"),
    { entry: { type: "symlink", name: "link", linkName: "x".repeat(150), mode: 0o777 } },
    { entry: { type: "link", name: "hard", linkName: "dir/grüße", mode: 0o644 } },
    { entry: { type: "char", name: "null", mode: 0o666, devMajor: 1, devMinor: 3 } },
  );
  inTemp((dir) => {
    const path = join(dir, "a.tar");
    writeFileSync(path, bytes);
    const listed = execFileSync("tar", ["-tf", path], { encoding: "utf8", env: { ...process.env, LC_ALL: "C.UTF-8" } });
    expect(listed.trim().split("\n").length).toBe(6);
    const seen = python(
      "import tarfile,sys,json\nprint(json.dumps([[m.name,m.linkname,m.mode,m.gid,m.size,m.mtime,m.type.decode(),m.pax_headers.get('SCHILY.xattr.user.a')] for m in tarfile.open(sys.argv[1])]))",
      path,
    );
    const rows = JSON.parse(seen) as unknown[][];
    expect(rows[0]).toEqual(["dir", "", 0o1777, 3_000_000, 0, 0, "5", null]);
    expect(rows[1]?.slice(0, 5)).toEqual(["dir/grüße", "", 0o644, 0, 5]);
    expect(rows[1]?.[7]).toBe("b\nc=");
    expect(rows[2]?.[0]).toBe(long);
    expect(rows[3]?.[1]).toBe("x".repeat(150));
  });
});
