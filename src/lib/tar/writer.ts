import { DhowError } from "../errdefs.ts";
import { BLOCK, type TarType } from "./header.ts";
import { nameBytes } from "./name.ts";
import { padding } from "./reader.ts";

/** What `encodeTarHeader` needs of an entry; the rest of a `TarHeader` is optional or follows from it. */
export interface TarEntryInit {
  readonly type: Exclude<TarType, "global" | "other">;
  /** A directory's gets a trailing slash if it has none. */
  readonly name: string;
  readonly linkName?: string;
  readonly mode: number;
  readonly uid?: number;
  readonly gid?: number;
  /** Bytes of payload; only for files. */
  readonly size?: number;
  readonly mtimeNs?: bigint;
  readonly atimeNs?: bigint;
  readonly uname?: string;
  readonly gname?: string;
  readonly devMajor?: number;
  readonly devMinor?: number;
  readonly xattrs?: ReadonlyMap<string, Uint8Array>;
}

const FLAGS: Readonly<Record<TarEntryInit["type"], string>> = {
  file: "0",
  link: "1",
  symlink: "2",
  char: "3",
  block: "4",
  directory: "5",
  fifo: "6",
};

const NS = 1_000_000_000n;
const SIZE_MAX = 0o77777777777;
const ID_MAX = 0o7777777;

/** The end mark of an archive: exactly two zero blocks, no padding after them (padding changes the digest others compute). */
export const TAR_END: Uint8Array = new Uint8Array(2 * BLOCK);

/**
 * The header of one entry, 512 bytes of USTAR; with a PAX header in front when USTAR cannot say it (long or non-ASCII names,
 * big numbers, fractions of seconds, xattrs).
 * @throws invalid for a value no format can hold
 */
export function encodeTarHeader(entry: TarEntryInit): Buffer {
  const size = entry.type === "file" ? (entry.size ?? 0) : 0;
  if (!Number.isSafeInteger(size) || size < 0)
    throw new DhowError("invalid", `write tar entry ${JSON.stringify(entry.name)}: size is ${size}`);
  const isSlashMissing = entry.type === "directory" && !entry.name.endsWith("/");
  const name = nameBytes(isSlashMissing ? `${entry.name}/` : entry.name);
  const link = bytesOf(entry.linkName);
  const mtimeNs = entry.mtimeNs ?? 0n;
  const seconds = floorSeconds(mtimeNs);
  const pax = new Map<string, Uint8Array>();
  const text = (key: string, value: string): void => void pax.set(key, Buffer.from(value));
  const split = splitName(name);
  if (split === undefined) pax.set("path", name);
  if (link.length > 100 || !isAscii(link)) pax.set("linkpath", link);
  if (size > SIZE_MAX) text("size", String(size));
  const [uid, gid] = [entry.uid ?? 0, entry.gid ?? 0];
  if (uid > ID_MAX) text("uid", String(uid));
  if (gid > ID_MAX) text("gid", String(gid));
  if (mtimeNs % NS !== 0n || seconds < 0n || seconds > BigInt(SIZE_MAX)) text("mtime", formatTime(mtimeNs));
  if (entry.atimeNs !== undefined) text("atime", formatTime(entry.atimeNs));
  const [uname, gname] = [bytesOf(entry.uname), bytesOf(entry.gname)];
  if (uname.length > 31 || !isAscii(uname)) pax.set("uname", uname);
  if (gname.length > 31 || !isAscii(gname)) pax.set("gname", gname);
  for (const [key, value] of entry.xattrs ?? []) pax.set(`SCHILY.xattr.${key}`, value);
  const block = encodeBlock({
    name: split?.name ?? ascii(name).subarray(0, 100),
    prefix: split?.prefix ?? EMPTY,
    link: link.length === 0 ? link : ascii(link).subarray(0, 100),
    flag: FLAGS[entry.type],
    mode: entry.mode & 0o7777,
    uid: uid > ID_MAX ? 0 : uid,
    gid: gid > ID_MAX ? 0 : gid,
    size: size > SIZE_MAX ? 0 : size,
    seconds: seconds < 0n || seconds > BigInt(SIZE_MAX) ? 0 : Number(seconds),
    uname: pax.has("uname") ? new Uint8Array(0) : uname,
    gname: pax.has("gname") ? new Uint8Array(0) : gname,
    device: entry.type === "char" || entry.type === "block" ? [entry.devMajor ?? 0, entry.devMinor ?? 0] : undefined,
  });
  return pax.size === 0 ? block : Buffer.concat([encodePax(pax, name), block]);
}

const EMPTY = new Uint8Array(0);

function bytesOf(text: string | undefined): Uint8Array {
  return text === undefined || text === "" ? EMPTY : nameBytes(text);
}

/** The zero bytes that follow a payload of `size` bytes. */
export function tarPadding(size: number): Uint8Array {
  return TAR_END.subarray(0, padding(size));
}

/** One entry for `writeTar`: a file's payload must have exactly `size` bytes. */
export interface TarInput {
  readonly entry: TarEntryInit;
  readonly payload?: Uint8Array | AsyncIterable<Uint8Array>;
}

/** The bytes of an archive with `inputs` in order, end mark included. @throws invalid when a payload's length is not the size of its entry */
export async function* writeTar(inputs: AsyncIterable<TarInput> | Iterable<TarInput>): AsyncGenerator<Uint8Array, void, void> {
  for await (const { entry, payload } of inputs) {
    yield encodeTarHeader(entry);
    const size = entry.type === "file" ? (entry.size ?? 0) : 0;
    let written = 0;
    for await (const chunk of payload instanceof Uint8Array ? [payload] : (payload ?? [])) {
      written += chunk.length;
      if (written > size) break;
      yield chunk;
    }
    if (written !== size)
      throw new DhowError(
        "invalid",
        `write tar entry ${JSON.stringify(entry.name)}: payload has ${written > size ? "more than its" : `${written} of its`} ${size} bytes`,
      );
    if (padding(size) > 0) yield tarPadding(size);
  }
  yield TAR_END;
}

interface Block {
  readonly name: Uint8Array;
  readonly prefix: Uint8Array;
  readonly link: Uint8Array;
  readonly flag: string;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly size: number;
  readonly seconds: number;
  readonly uname: Uint8Array;
  readonly gname: Uint8Array;
  readonly device: readonly [number, number] | undefined;
}

function encodeBlock(fields: Block): Buffer {
  const block = Buffer.alloc(BLOCK);
  block.set(fields.name, 0);
  writeOctal(block, fields.mode, 100, 7);
  writeOctal(block, fields.uid, 108, 7);
  writeOctal(block, fields.gid, 116, 7);
  writeOctal(block, fields.size, 124, 11);
  writeOctal(block, fields.seconds, 136, 11);
  block.fill(0x20, 148, 156);
  block.write(fields.flag, 156, "latin1");
  block.set(fields.link, 157);
  block.write("ustar\x0000", 257, "latin1");
  block.set(fields.uname, 265);
  block.set(fields.gname, 297);
  writeOctal(block, fields.device?.[0] ?? 0, 329, 7);
  writeOctal(block, fields.device?.[1] ?? 0, 337, 7);
  block.set(fields.prefix, 345);
  let sum = 0;
  for (let at = 0; at < BLOCK; at++) sum += block[at] ?? 0;
  writeOctal(block, sum, 148, 6);
  block[154] = 0;
  return block;
}

/** Writes digits from the last one to the first: a header has eight numbers, and strings of them cost more than all else in it. */
function writeOctal(block: Buffer, value: number, at: number, digits: number): void {
  let rest = value;
  for (let place = at + digits - 1; place >= at; place--) {
    block[place] = 0x30 + (rest % 8);
    rest = Math.floor(rest / 8);
  }
}

function encodePax(records: ReadonlyMap<string, Uint8Array>, name: Uint8Array): Buffer {
  const parts: Uint8Array[] = [];
  for (const key of [...records.keys()].sort()) {
    const value = records.get(key) ?? new Uint8Array(0);
    const body = Buffer.concat([Buffer.from(` ${key}=`), value, Buffer.from("\n")]);
    let length = body.length + 1;
    while (String(length).length + body.length !== length) length = String(length).length + body.length;
    parts.push(Buffer.from(String(length)), body);
  }
  const data = Buffer.concat(parts);
  const base = ascii(name.at(-1) === 0x2f ? name.subarray(0, -1) : name).toString("latin1");
  const header = encodeBlock({
    name: Buffer.from(`PaxHeaders.0/${base.slice(base.lastIndexOf("/") + 1)}`.slice(0, 100), "latin1"),
    prefix: new Uint8Array(0),
    link: new Uint8Array(0),
    flag: "x",
    mode: 0o644,
    uid: 0,
    gid: 0,
    size: data.length,
    seconds: 0,
    uname: new Uint8Array(0),
    gname: new Uint8Array(0),
    device: undefined,
  });
  return Buffer.concat([header, data, tarPadding(data.length)]);
}

/** Name and prefix that USTAR can hold; undefined when it can't. */
function splitName(name: Uint8Array): { name: Uint8Array; prefix: Uint8Array } | undefined {
  if (!isAscii(name) || name.length === 0) return undefined;
  if (name.length <= 100) return { name, prefix: EMPTY };
  if (name.length > 256) return undefined;
  // the rightmost slash that leaves a prefix of 155 bytes at most and a name that is not empty
  const slash = name.subarray(0, Math.min(156, name.length - 1)).lastIndexOf(0x2f);
  if (slash <= 0 || name.length - slash - 1 > 100) return undefined;
  return { prefix: name.subarray(0, slash), name: name.subarray(slash + 1) };
}

function isAscii(bytes: Uint8Array): boolean {
  for (let at = 0; at < bytes.length; at++) if (bytes[at] === 0 || (bytes[at] ?? 0) >= 0x80) return false;
  return true;
}

/** The name as far as an old reader can show it. */
function ascii(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.map((byte) => (byte < 0x80 ? byte : 0x5f)));
}

function floorSeconds(ns: bigint): bigint {
  const seconds = ns / NS;
  return ns % NS < 0n ? seconds - 1n : seconds;
}

function formatTime(ns: bigint): string {
  const magnitude = ns < 0n ? -ns : ns;
  const fraction = String(magnitude % NS)
    .padStart(9, "0")
    .replace(/0+$/, "");
  return `${ns < 0n ? "-" : ""}${magnitude / NS}${fraction === "" ? "" : `.${fraction}`}`;
}
