import { describe, expect, test } from "bun:test";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync, zstdCompressSync } from "node:zlib";
import fc from "fast-check";
import { errorKind } from "../errdefs.ts";
import {
  decodeName,
  decompress,
  encodeName,
  encodeTarHeader,
  nameBytes,
  readTar,
  type TarEntryInit,
  type TarHeader,
  type TarInput,
  TarReader,
  writeTar,
} from "./mod.ts";

async function* chunked(bytes: Uint8Array, size = 1000): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

async function collect(source: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  for await (const part of source) parts.push(part);
  return Buffer.concat(parts);
}

async function entries(bytes: Uint8Array, size?: number): Promise<{ header: TarHeader; data: string }[]> {
  const all: { header: TarHeader; data: string }[] = [];
  for await (const { header, payload } of readTar(chunked(bytes, size)))
    all.push({ header, data: (await collect(payload)).toString("latin1") });
  return all;
}

function archive(...inputs: TarInput[]): Promise<Buffer> {
  return collect(writeTar(inputs));
}

const file = (name: string, text: string, more: Partial<TarEntryInit> = {}): TarInput => ({
  entry: { type: "file", name, mode: 0o644, size: Buffer.byteLength(text), ...more },
  payload: Buffer.from(text),
});

function patched(bytes: Buffer, at: number, value: string | Uint8Array): Buffer {
  const copy = Buffer.from(bytes);
  copy.set(typeof value === "string" ? Buffer.from(value, "latin1") : value, at);
  copy.fill(0x20, 148, 156);
  let sum = 0;
  for (const byte of copy.subarray(0, 512)) sum += byte;
  copy.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148, "latin1");
  return copy;
}

function inTemp<T>(work: (dir: string) => T): T {
  const dir = mkdtempSync(join(tmpdir(), "dhow-tar-"));
  const clean = (): void => rmSync(dir, { recursive: true, force: true });
  try {
    const result = work(dir);
    if (result instanceof Promise) return result.finally(clean) as T;
    clean();
    return result;
  } catch (error) {
    clean();
    throw error;
  }
}

const python = (script: string, ...args: string[]): string => execFileSync("python3", ["-c", script, ...args], { encoding: "utf8" });

describe("names", () => {
  test("decodeName() and encodeName() keep any bytes", () => {
    fc.assert(fc.property(fc.uint8Array({ maxLength: 40 }), (bytes) => expect([...nameBytes(decodeName(bytes))]).toEqual([...bytes])));
  });

  test("encodeName() gives plain text as it is and bytes for what is no UTF-8", () => {
    expect(encodeName("grüße")).toBe("grüße");
    expect(encodeName(decodeName(Uint8Array.of(0x61, 0xff)))).toEqual(Buffer.from([0x61, 0xff]));
  });
});

describe("writer", () => {
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
});

describe("reader", () => {
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
});

describe("decompress", () => {
  const text = Buffer.from("some text ".repeat(50_000));

  test("passes plain bytes and unpacks gzip, several members too, and zstd", async () => {
    expect((await collect(decompress(chunked(text)))).equals(text)).toBe(true);
    expect((await collect(decompress(chunked(gzipSync(text))))).equals(text)).toBe(true);
    expect((await collect(decompress(chunked(Buffer.concat([gzipSync(text), gzipSync(text)]))))).length).toBe(2 * text.length);
    expect((await collect(decompress(chunked(zstdCompressSync(text))))).equals(text)).toBe(true);
    expect((await collect(decompress(chunked(Buffer.concat([zstdCompressSync(text), zstdCompressSync(text)]))))).length).toBe(
      2 * text.length,
    );
    expect((await collect(decompress(chunked(Buffer.alloc(0))))).length).toBe(0);
  });

  test("says unexpected EOF for a stream that is cut off", async () => {
    for (const packed of [gzipSync(text), zstdCompressSync(text)]) {
      await expect(collect(decompress(chunked(packed.subarray(0, packed.length - 9))))).rejects.toThrow("unexpected EOF");
      await expect(collect(decompress(chunked(packed.subarray(0, packed.length >> 1))))).rejects.toThrow("unexpected EOF");
    }
  });

  test("refuses corrupt data and passes on the source's own error", async () => {
    const packed = gzipSync(text);
    packed.fill(0xff, 20, 60);
    await expect(collect(decompress(chunked(packed))).catch(errorKind)).resolves.toBe("invalid");
    const failing = async function* () {
      yield gzipSync(text).subarray(0, 100);
      throw new Error("socket closed");
    };
    await expect(collect(decompress(failing()))).rejects.toThrow("socket closed");
  });

  test("ends its source when the reader leaves early", async () => {
    for (const packed of [gzipSync(Buffer.alloc(5_000_000, 1)), text]) {
      let isClosed = false;
      const source = async function* () {
        try {
          for await (const chunk of chunked(packed, 512)) yield chunk;
        } finally {
          isClosed = true;
        }
      };
      for await (const _ of decompress(source())) break;
      await new Promise((resolve) => setTimeout(resolve, 5));
      expect(isClosed).toBe(true);
    }
  });
});
