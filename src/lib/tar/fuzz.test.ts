/** The reader under archives that nobody should make: the same answer however they are cut, an error of ours or none, at once. */
import { expect, test } from "bun:test";
import fc from "fast-check";
import { DhowError } from "../errdefs.ts";
import {
  decodeName,
  encodeTarHeader,
  nameBytes,
  readTar,
  type TarEntryInit,
  type TarHeader,
  TarReader,
  tarPadding,
  writeTar,
} from "./mod.ts";

import { block, latin1, oddEntry } from "./test-support.ts";

const BLOCK = 512;
const RUNS = {
  interruptAfterTimeLimit: Number(process.env["DHOW_FUZZ_MS"] ?? 1_000),
  numRuns: Number(process.env["DHOW_FUZZ_RUNS"] ?? 1_000),
};

async function* cut(bytes: Uint8Array, sizes: readonly number[]): AsyncGenerator<Uint8Array> {
  for (let at = 0, n = 0; at < bytes.length; n++) {
    const size = sizes.length === 0 ? bytes.length : (sizes[n % sizes.length] ?? 1);
    yield bytes.slice(at, at + size);
    at += size;
  }
}

/** Everything that a reader says of an archive, as text; and that it gives every byte once. */
async function read(bytes: Uint8Array, sizes: readonly number[]): Promise<string> {
  const said: string[] = [];
  const all: Uint8Array[] = [];
  const reader = new TarReader(cut(bytes, sizes), { onRaw: (raw) => void all.push(Uint8Array.from(raw)) });
  try {
    for (let header = await reader.next(); header !== null; header = await reader.next()) {
      let payload = 0;
      for (let chunk = await reader.readChunk(); chunk !== null; chunk = await reader.readChunk()) {
        all.push(Uint8Array.from(chunk));
        payload += chunk.length;
      }
      expect(header.size).toBeGreaterThanOrEqual(0);
      expect(payload).toBe(header.payloadBytes);
      said.push(show(header));
    }
    await reader.finish();
    expect(Buffer.concat(all).equals(bytes)).toBe(true);
  } catch (error) {
    if (!(error instanceof DhowError)) throw error;
    said.push(error.message);
  } finally {
    await reader.close();
  }
  return said.join("\n");
}

function show(header: TarHeader): string {
  return JSON.stringify(header, (_, value: unknown) => {
    if (typeof value === "bigint") return String(value);
    return value instanceof Map ? [...value].map(([key, bytes]) => [key, [...(bytes as Uint8Array)]]) : value;
  });
}

test("any blocks are read alike in any pieces, or refused", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(oddEntry(), { maxLength: 5 }),
      fc.boolean(),
      fc.array(fc.integer({ min: 1, max: 1500 }), { minLength: 1, maxLength: 4 }),
      async (entries, hasEnd, sizes) => {
        const bytes = Buffer.concat([...entries, Buffer.alloc(hasEnd ? 2 * BLOCK : 0)]);
        expect(await read(bytes, sizes)).toBe(await read(bytes, []));
      },
    ),
    RUNS,
  );
}, 60_000);

test("any bytes are read alike in any pieces, or refused", async () => {
  const good = Buffer.concat(
    await Array.fromAsync(writeTar([{ entry: { type: "file", name: "é/x", mode: 0o644, size: 700 }, payload: new Uint8Array(700) }])),
  );
  const change = fc.tuple(fc.nat(good.length - 1), fc.nat(255));
  await fc.assert(
    fc.asyncProperty(
      fc.array(change, { maxLength: 4 }),
      fc.nat(good.length),
      fc.integer({ min: 1, max: 600 }),
      async (changes, length, size) => {
        const bytes = Buffer.from(good.subarray(0, length));
        for (const [at, value] of changes) bytes[at % Math.max(1, length)] = value;
        expect(await read(bytes, [size])).toBe(await read(bytes, []));
      },
    ),
    RUNS,
  );
}, 60_000);

const anyName = fc
  .uint8Array({ minLength: 1, maxLength: 400 })
  .filter((bytes) => !bytes.includes(0))
  .map((bytes) => decodeName(bytes));
const anyEntry: fc.Arbitrary<TarEntryInit> = fc
  .record({
    type: fc.constantFrom("file", "directory", "symlink", "link", "char", "block", "fifo"),
    name: anyName,
    linkName: anyName,
    mode: fc.integer({ min: 0, max: 0o7777 }),
    uid: fc.nat(2 ** 32 - 1),
    gid: fc.nat(2 ** 32 - 1),
    size: fc.oneof(fc.nat(2 ** 31), fc.nat(Number.MAX_SAFE_INTEGER)),
    mtimeNs: fc.bigInt({ min: -(10n ** 26n), max: 10n ** 26n }),
    atimeNs: fc.bigInt({ min: -(2n ** 62n), max: 2n ** 62n }),
    uname: anyName,
    gname: anyName,
    devMajor: fc.nat(0xfff),
    devMinor: fc.nat(0xfffff),
    xattrs: fc
      .dictionary(fc.stringMatching(/^user\.[^=\0]{1,30}$/), fc.uint8Array({ maxLength: 40 }), { maxKeys: 3 })
      .map((all) => new Map(Object.entries(all))),
  })
  .map((all) => ({ ...all, type: all.type as TarEntryInit["type"] }));

test("any header comes back as it was written, of files larger than the disk too", async () => {
  await fc.assert(
    fc.asyncProperty(anyEntry, fc.integer({ min: 1, max: 2000 }), async (given, size) => {
      const reader = new TarReader(cut(encodeTarHeader(given), [size]));
      const header = await reader.next();
      const isDevice = given.type === "char" || given.type === "block";
      const slash = given.type === "directory" && nameBytes(given.name).at(-1) !== 0x2f ? "/" : "";
      expect(header).toMatchObject({
        type: given.type,
        name: given.name + slash,
        linkName: given.linkName ?? "",
        mode: given.mode,
        uid: given.uid ?? 0,
        gid: given.gid ?? 0,
        mtimeNs: given.mtimeNs ?? 0n,
        atimeNs: given.atimeNs ?? 0n,
        uname: given.uname ?? "",
        gname: given.gname ?? "",
        size: given.type === "file" ? (given.size ?? 0) : 0,
        devMajor: isDevice ? (given.devMajor ?? 0) : 0,
        devMinor: isDevice ? (given.devMinor ?? 0) : 0,
      });
      expect([...(header?.xattrs ?? [])].map(([key, value]) => [key, [...value]]).sort()).toEqual(
        [...(given.xattrs ?? [])].map(([key, value]) => [key, [...value]]).sort(),
      );
    }),
    RUNS,
  );
}, 60_000);

test("maps and records as large as they may be are read at once", async () => {
  const sparse = (records: string, data: string): Buffer => {
    const length = (body: string): string => {
      let n = body.length + 2;
      while (String(n).length + body.length + 1 !== n) n = String(n).length + body.length + 1;
      return `${n} ${body}`;
    };
    const pax = latin1(
      records
        .split("|")
        .map((record) => length(`${record}\n`))
        .join(""),
    );
    const head = (flag: string, size: number): Buffer =>
      block([
        [0, latin1("a")],
        [124, latin1(size.toString(8).padStart(11, "0"))],
        [156, latin1(flag)],
        [257, latin1("ustar\x0000")],
      ]);
    return Buffer.concat([
      head("x", pax.length),
      pax,
      tarPadding(pax.length),
      head("0", data.length),
      latin1(data),
      tarPadding(data.length),
    ]);
  };
  const many = 150_000;
  const lines = Array.from({ length: many }, (_, i) => `${i}\n0\n`).join("");
  const map = `${many}\n${lines}`.slice(0, 1_000_000);
  const archives = [
    sparse(`GNU.sparse.map=${"0,".repeat(500_000)}0`, ""),
    sparse("GNU.sparse.major=1|GNU.sparse.realsize=5", map + "0".repeat(512 - (map.length % 512))),
    sparse(Array.from({ length: 20_000 }, (_, i) => `SCHILY.xattr.user.${i}=x`).join("|"), ""),
    sparse(`mtime=${"1".repeat(900_000)}`, ""),
  ];
  for (const archive of archives) await read(archive, [4096]);
  await expect(Array.fromAsync(readTar(cut(archives[0] ?? new Uint8Array(), [])))).rejects.toThrow(DhowError);
});

test("a sparse file has no negative size", async () => {
  const size = Buffer.alloc(12, 0xff);
  const archive = block([
    [0, latin1("a")],
    [156, latin1("S")],
    [257, latin1("ustar  \0")],
    [483, size],
  ]);
  await expect(Array.fromAsync(readTar(cut(archive, [])))).rejects.toThrow("negative size");
});
