import { expect, test } from "bun:test";
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { errorKind } from "../errdefs.ts";
import type { TarHeader } from "./header.ts";
import { nameBytes } from "./name.ts";
import { readTar, TarReader } from "./reader.ts";
import { archive, chunked, collect, file, inTemp, python, withChecksum } from "./test-support.ts";

async function entries(bytes: Uint8Array, size = 1000): Promise<{ header: TarHeader; data: string }[]> {
  const all: { header: TarHeader; data: string }[] = [];
  for await (const { header, payload } of readTar(chunked(bytes, size)))
    all.push({ header, data: (await collect(payload)).toString("latin1") });
  return all;
}

function patched(bytes: Buffer, at: number, value: string | Uint8Array): Buffer {
  const copy = Buffer.from(bytes);
  copy.set(typeof value === "string" ? Buffer.from(value, "latin1") : value, at);
  return withChecksum(copy);
}

test("gives back what the writer wrote, for any entry and any chunking", async () => {
  const name = fc
    .string({ unit: "grapheme", minLength: 1, maxLength: 200 })
    .filter((s) => !s.includes("\0") && !s.endsWith("/") && s.isWellFormed());
  const entry = fc.record({
    name,
    mode: fc.integer({ min: 0, max: 0o7777 }),
    uid: fc.nat(2 ** 32 - 1),
    gid: fc.nat(2 ** 32 - 1),
    mtimeNs: fc.bigInt({ min: -(2n ** 60n), max: 2n ** 62n }),
    uname: fc.string({ maxLength: 40 }).filter((s) => !s.includes("\0")),
    data: fc.uint8Array({ maxLength: 1500 }),
    xattr: fc.uint8Array({ maxLength: 30 }),
  });
  await fc.assert(
    fc.asyncProperty(fc.array(entry, { maxLength: 4 }), fc.integer({ min: 1, max: 3000 }), async (rows, size) => {
      const bytes = await archive(
        ...rows.map(({ data, xattr, ...rest }) => ({
          entry: { ...rest, type: "file", size: data.length, xattrs: new Map([["user.x", xattr]]) } as const,
          payload: data,
        })),
      );
      const seen = await entries(bytes, size);
      expect(seen.length).toBe(rows.length);
      rows.forEach((row, i) => {
        const { header, data } = seen[i] ?? { header: undefined, data: "" };
        expect({ ...header, xattrs: undefined }).toMatchObject({
          name: row.name,
          mode: row.mode,
          uid: row.uid,
          gid: row.gid,
          mtimeNs: row.mtimeNs,
          uname: row.uname,
        });
        expect(data).toBe(Buffer.from(row.data).toString("latin1"));
        expect([...(header?.xattrs?.get("user.x") ?? [])]).toEqual([...row.xattr]);
      });
    }),
    { numRuns: 60 },
  );
});

test("onRaw and readChunk together give every byte once, in order", async () => {
  const bytes = Buffer.concat([await archive(file("a", "x".repeat(700)), file("b", ""), file("c", "skipped")), Buffer.alloc(3000, 7)]);
  const parts: Buffer[] = [];
  const reader = new TarReader(chunked(bytes, 333), { onRaw: (raw) => parts.push(Buffer.from(raw)) });
  for (let header = await reader.next(); header !== null; header = await reader.next()) {
    if (header.name === "c") continue;
    for (let chunk = await reader.readChunk(); chunk !== null; chunk = await reader.readChunk()) parts.push(Buffer.from(chunk));
  }
  await reader.finish();
  expect(Buffer.concat(parts).equals(bytes)).toBe(true);
});

for (const format of ["v7", "ustar", "oldgnu", "gnu", "posix"]) {
  test(`reads GNU tar's format ${format}`, async () => {
    await inTemp(async (dir) => {
      const isShort = format === "v7" || format === "ustar";
      const long = isShort ? "short" : `${"d".repeat(90)}/${"e".repeat(60)}`;
      execFileSync("sh", [
        "-ec",
        `cd ${dir}; mkdir -p s/$(dirname ${long}); echo hello > s/${long}; ln s/${long} s/hard; ln -s target s/link; ${format === "v7" ? "" : "mkfifo s/fifo"}`,
      ]);
      execFileSync("tar", [
        "-C",
        join(dir, "s"),
        `--format=${format}`,
        "--owner=u:1234",
        "--group=g:77",
        "--sort=name",
        "--mtime=@1700000000",
        "-cf",
        join(dir, "a.tar"),
        ".",
      ]);
      const seen = await entries(readFileSync(join(dir, "a.tar")));
      const byType = (type: string) => seen.find((e) => e.header.type === type);
      expect(byType("directory")?.header.name).toBe("./");
      expect(byType("file")?.data).toBe("hello\n");
      expect(byType("file")?.header).toMatchObject({ uid: 1234, gid: 77, mtimeNs: 1_700_000_000n * 1_000_000_000n });
      expect(byType("symlink")?.header.linkName).toBe("target");
      expect(byType("link")?.header.linkName).toBe(byType("file")?.header.name ?? "");
      if (format !== "v7") expect(seen.some((e) => e.header.name === `./${long}`)).toBe(true);
    });
  });
}

for (const version of ["oldgnu", "0.0", "0.1", "1.0"]) {
  test(`reads GNU tar's sparse files, ${version}`, async () => {
    await inTemp(async (dir) => {
      // more than 4 + 21 extents, so that the old form needs two extension blocks
      python(
        "import sys\nf=open(sys.argv[1]+'/holes','wb')\nfor i in range(40): f.seek(i*65536); f.write(b'%04d'%i)\nf.truncate(10<<30)",
        dir,
      );
      const format = version === "oldgnu" ? ["--format=oldgnu"] : ["--format=posix", `--sparse-version=${version}`];
      execFileSync("tar", ["-C", dir, "-S", ...format, "-cf", join(dir, "a.tar"), "holes"]);
      const [only] = await entries(readFileSync(join(dir, "a.tar")));
      expect(only?.header).toMatchObject({ type: "file", name: "holes", size: 10 * 2 ** 30 });
      const extents = only?.header.sparse ?? [];
      expect(extents.length).toBe(40);
      expect(extents[7]?.offset).toBe(7 * 65536);
      let at = 0;
      extents.forEach((extent, i) => {
        expect(only?.data.slice(at, at + 4)).toBe(String(i).padStart(4, "0"));
        at += extent.length;
      });
      expect(at).toBe(only?.data.length ?? 0);
    });
  });
}

test("reads Python's PAX and GNU archives with names that are no UTF-8", async () => {
  await inTemp(async (dir) => {
    for (const format of ["PAX_FORMAT", "GNU_FORMAT"]) {
      python(
        `import tarfile,sys,io\nt=tarfile.open(sys.argv[1]+'/a.tar','w',format=tarfile.${format})\ni=tarfile.TarInfo('x'*120+'\\udcff'); i.size=3; i.mtime=5; t.addfile(i,io.BytesIO(b'abc')); i=tarfile.TarInfo('b'); i.uid=2**31; t.addfile(i); t.close()`,
        dir,
      );
      const seen = await entries(readFileSync(join(dir, "a.tar")));
      expect(nameBytes(seen[0]?.header.name ?? "").at(-1)).toBe(0xff);
      expect(seen[0]?.data).toBe("abc");
      expect(seen[1]?.header.uid).toBe(2 ** 31);
    }
  });
});

test("reads base-256 numbers, negative times, a signed checksum and a missing end mark", async () => {
  const plain = (await archive(file("a", ""))).subarray(0, 512);
  const negative = patched(plain, 136, Uint8Array.of(0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xfe));
  expect((await entries(negative))[0]?.header.mtimeNs).toBe(-2_000_000_000n);
  const directory = patched(patched(plain, 0, "old/"), 156, "\0");
  expect((await entries(directory))[0]?.header.type).toBe("directory");
  const high = patched(plain, 0, Uint8Array.of(0xe9));
  const sum = Number.parseInt(high.toString("latin1", 148, 154), 8) - 256;
  high.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148, "latin1");
  expect((await entries(high)).length).toBe(1);
});

test("takes no payload after a header-only type and none of a global header's records", async () => {
  const link = patched(
    (await archive({ entry: { type: "symlink", name: "l", linkName: "t", mode: 0o777 } })).subarray(0, 512),
    124,
    "00000001000",
  );
  expect((await entries(Buffer.concat([link, await archive(file("after", "x"))]))).map((e) => e.header.name)).toEqual(["l", "after"]);
  const global = patched((await archive(file("g", "18 comment=thing1\n"))).subarray(0, 1024), 156, "g");
  const seen = await entries(Buffer.concat([global, await archive(file("after", "x"))]));
  expect(seen.map((e) => e.header.type)).toEqual(["global", "file"]);
});

test("refuses malformed archives", async () => {
  const good = await archive(file("a", "x".repeat(600)));
  const cases: [string, Buffer, string | RegExp][] = [
    ["wrong checksum", Buffer.concat([patched(good, 0, "b").fill(0x63, 1, 2), good]), /wrong checksum/],
    [
      "negative size",
      patched(good, 124, Uint8Array.of(0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff)),
      /negative size/,
    ],
    [
      "huge size",
      patched(good, 124, Uint8Array.of(0x80, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff)),
      /out of range/,
    ],
    ["cut in a header", good.subarray(0, 300), "unexpected EOF"],
    ["cut in a payload", good.subarray(0, 900), "unexpected EOF"],
    ["data after one zero block", Buffer.concat([Buffer.alloc(512), good]), /one zero block/],
    ["huge PAX header", patched(patched(good, 156, "x"), 124, "00010000000"), /extended header/],
    [
      "PAX header without an entry",
      Buffer.concat([patched((await archive(file("p", "12 path=abc\n"))).subarray(0, 1024), 156, "x"), Buffer.alloc(1024)]),
      "unexpected EOF",
    ],
    [
      "malformed PAX record",
      Buffer.concat([patched((await archive(file("p", "99 path=abc\n"))).subarray(0, 1024), 156, "x"), good]),
      /malformed PAX/,
    ],
    ["negative PAX size", Buffer.concat([patched((await archive(file("p", "10 size=-1\n"))).subarray(0, 1024), 156, "x"), good]), /PAX/],
    [
      "sparse map out of order",
      Buffer.concat([
        patched(
          (await archive(file("p", "27 GNU.sparse.map=9,1,0,599\n25 GNU.sparse.size=99999\n".replace("27", "28")))).subarray(0, 1024),
          156,
          "x",
        ),
        good,
      ]),
      /sparse map/,
    ],
  ];
  for (const [what, bytes, message] of cases) {
    const error = await entries(bytes).then(
      () => undefined,
      (e: unknown) => e as Error,
    );
    expect(error?.message ?? `${what}: accepted`).toMatch(message);
    expect(errorKind(error)).toBe("invalid");
  }
});

test("never throws anything but DhowError on garbage", async () => {
  const good = await archive(file("a", "x".repeat(600), { mtimeNs: 1n }), { entry: { type: "directory", name: "d", mode: 0o755 } });
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.tuple(fc.nat(good.length - 1), fc.nat(255)), { minLength: 1, maxLength: 6 }),
      fc.nat(good.length),
      async (edits, cut) => {
        const bytes = Buffer.from(good.subarray(0, cut));
        for (const [at, value] of edits) if (at < bytes.length) bytes[at] = value;
        await entries(bytes).catch((error: unknown) => expect(errorKind(error)).toBe("invalid"));
      },
    ),
    { numRuns: 150 },
  );
});
