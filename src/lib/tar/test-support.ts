import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { type TarEntryInit, type TarInput, tarPadding, writeTar } from "./writer.ts";

const BLOCK = 512;

/** Bytes as a stream, cut into pieces. */
export async function* chunked(bytes: Uint8Array, size = 4000): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

/** All bytes of a stream. */
export async function collect(source: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  for await (const part of source) parts.push(part);
  return Buffer.concat(parts);
}

/** A tar of these entries. */
export function archive(...inputs: TarInput[]): Promise<Buffer> {
  return collect(writeTar(inputs));
}

/** A regular file as an entry. */
export const file = (name: string, text: string, more: Partial<TarEntryInit> = {}): TarInput => ({
  entry: { type: "file", name, mode: 0o644, size: Buffer.byteLength(text), ...more },
  payload: Buffer.from(text),
});

/** Runs `work` with a new directory, which goes when that has ended. */
export function inTemp<T>(work: (dir: string) => T): T {
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

/** What a Python script prints. */
export const python = (script: string, ...args: string[]): string => execFileSync("python3", ["-c", script, ...args], { encoding: "utf8" });

/** A header block with fields that may be anything and a checksum that is right. */
export function block(fields: readonly (readonly [number, Uint8Array])[]): Buffer {
  const bytes = Buffer.alloc(BLOCK);
  for (const [at, value] of fields) bytes.set(value.subarray(0, BLOCK - at), at);
  return withChecksum(bytes);
}

/** Gives an archive's first header the checksum that it should have. */
export function withChecksum(bytes: Buffer): Buffer {
  bytes.fill(0x20, 148, 156);
  const sum = bytes.subarray(0, BLOCK).reduce((total, byte) => total + byte, 0);
  bytes.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148, "latin1");
  return bytes;
}

export const latin1 = (text: string): Buffer => Buffer.from(text, "latin1");
const numeric = (digits: number): fc.Arbitrary<Buffer> =>
  fc.oneof(
    fc.nat(2000).map((n) => latin1(`${n.toString(8).padStart(digits, "0")}\0`)),
    fc.constantFrom("", " ", "77777777777", "9", "-1", " 7 x", "\0\0").map(latin1),
    fc.bigInt({ min: -(2n ** 62n), max: 2n ** 62n }).map((n) => {
      const bytes = Buffer.alloc(digits + 1, n < 0n ? 0xff : 0);
      bytes.writeBigInt64BE(n, digits - 7);
      bytes[0] = (bytes[0] ?? 0) | 0x80;
      return bytes;
    }),
  );

const paxKey = fc.constantFrom(
  ...["path", "linkpath", "size", "uid", "gid", "mtime", "atime", "uname", "SCHILY.xattr.user.a", "SCHILY.xattr.", "x"],
  ...["GNU.sparse.major", "GNU.sparse.minor", "GNU.sparse.name", "GNU.sparse.realsize", "GNU.sparse.size", "GNU.sparse.map"],
  ...["GNU.sparse.offset", "GNU.sparse.numbytes", "GNU.sparse.numblocks"],
);
const paxValue = fc.oneof(
  fc.constantFrom("", "0", "1", "-1", "5", "512", "1.5", "-0.5", "99999999999999999999", "1,2", "0,1,2", ",", "a/b", "\xff", "1e3", "0x5"),
  fc.string({ maxLength: 8 }),
);
const paxData = fc.array(fc.tuple(paxKey, paxValue, fc.integer({ min: -1, max: 12 })), { maxLength: 6 }).map((records) =>
  Buffer.concat(
    records.map(([key, value, wrong]) => {
      const body = ` ${key}=${value}\n`;
      let length = body.length + 1;
      while (String(length).length + body.length !== length) length = String(length).length + body.length;
      return latin1(`${wrong === 0 ? length + 1 : length}${body}`);
    }),
  ),
);

const mapText = fc.array(fc.constantFrom("0", "1", "2", "512", "x", "-1", ""), { maxLength: 6 }).map((lines) => `${lines.join("\n")}\n`);
const payload = fc.oneof(
  paxData,
  mapText.map((text) => Buffer.concat([latin1(text), Buffer.alloc(BLOCK)])),
  fc.uint8Array({ maxLength: 700 }),
  fc.constant(Buffer.alloc(BLOCK, "long/name")),
);

/** Names of bytes that may be anything. */
const anyNames = fc.oneof(
  fc.constantFrom("a", "a/", "../a", "/a", ""),
  fc.uint8Array({ maxLength: 100 }).map((bytes) => Buffer.from(bytes).toString("latin1")),
);

/** An entry as no tool writes it: its header, whose checksum is right, and what may be its payload. */
export function oddEntry(names: fc.Arbitrary<string> = anyNames, links: fc.Arbitrary<string> = names): fc.Arbitrary<Buffer> {
  return fc
    .record({
      flag: fc.oneof(
        { weight: 3, arbitrary: fc.constantFrom("0", "x", "S", "L", "K") },
        fc.constantFrom("\0", "1", "2", "3", "4", "5", "6", "7", "g", "V", "Z"),
      ),
      magic: fc.constantFrom("ustar\x0000", "ustar  \0", "", "ustar"),
      name: names,
      link: links,
      numbers: fc.array(fc.tuple(fc.constantFrom(100, 108, 116, 136, 329, 337, 386, 398, 410, 483), numeric(11)), { maxLength: 3 }),
      isExtended: fc.boolean(),
      payload,
      size: fc.oneof({ weight: 5, arbitrary: fc.constant(undefined) }, numeric(11)),
    })
    .map(({ flag, magic, name, link, numbers, isExtended, payload: data, size }) => {
      const fields: [number, Uint8Array][] = [
        [0, latin1(name)],
        [157, latin1(link.slice(0, 100))],
        ...numbers.map(([at, value]): [number, Uint8Array] => [at, value]),
      ];
      if (isExtended && flag === "S") fields.push([482, Uint8Array.of(1)]);
      const length = size ?? latin1(data.length.toString(8).padStart(11, "0"));
      fields.push([124, length], [156, latin1(flag)], [257, latin1(magic)]);
      return Buffer.concat([block(fields), data, tarPadding(data.length)]);
    });
}
