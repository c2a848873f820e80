import { DhowError } from "../errdefs.ts";

/** Bytes per tar record; every header and every payload is padded to it. */
export const BLOCK = 512;

/** What an entry is. `global` is a PAX global header; `other` a type flag that has no meaning here (GNU volume names, …). */
export type TarType = "file" | "link" | "symlink" | "char" | "block" | "directory" | "fifo" | "global" | "other";

/** A stretch of a sparse file that has data. */
export interface SparseExtent {
  readonly offset: number;
  readonly length: number;
}

/** One entry's metadata, whatever format it was written in. */
export interface TarHeader {
  readonly type: TarType;
  /** The type flag as it was written, one latin1 character. */
  readonly typeflag: string;
  /** The path as it was written, decoded by `decodeName`; not cleaned, may be absolute or hold `..`. */
  readonly name: string;
  /** The target of a hard link (a path in the archive) or a symbolic link. */
  readonly linkName: string;
  /** Permission bits with setuid, setgid and sticky. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** The file's size, bytes; of a sparse file with its holes. */
  readonly size: number;
  /** Nanoseconds since the epoch. */
  readonly mtimeNs: bigint;
  readonly atimeNs?: bigint;
  readonly uname: string;
  readonly gname: string;
  readonly devMajor: number;
  readonly devMinor: number;
  readonly xattrs?: ReadonlyMap<string, Uint8Array>;
  /** The data stretches of a sparse file; the payload is their bytes, one after another. */
  readonly sparse?: readonly SparseExtent[];
  /** How many payload bytes follow in the archive. */
  readonly payloadBytes: number;
}

/** The fields of a 512-byte header block, before PAX and GNU extensions are laid over them. */
export interface RawHeader {
  typeflag: string;
  name: Uint8Array;
  linkName: Uint8Array;
  mode: number;
  uid: number;
  gid: number;
  size: number;
  mtimeSeconds: number;
  uname: Uint8Array;
  gname: Uint8Array;
  devMajor: number;
  devMinor: number;
  isGnu: boolean;
}

/** A malformed archive, in the words of Go's archive/tar, which docker's messages end with. */
export function invalidHeader(detail: string): DhowError {
  return new DhowError("invalid", `archive/tar: invalid tar header: ${detail}`);
}

const MAGIC_AT = 257;

/** Whether a block is all zero: half of the archive's end mark. */
export function isZeroBlock(block: Buffer): boolean {
  if (block[0] !== 0 || block[124] !== 0) return false;
  for (let i = 0; i < BLOCK; i++) if (block[i] !== 0) return false;
  return true;
}

/** Reads a header block. @throws invalid for a wrong checksum or field */
export function parseHeader(block: Buffer): RawHeader {
  verifyChecksum(block);
  const typeflag = String.fromCharCode(block[156] ?? 0);
  const magic = block.toString("latin1", MAGIC_AT, MAGIC_AT + 8);
  const isUstar = magic.startsWith("ustar\0");
  const isGnu = magic === "ustar  \0";
  const isStar = isUstar && block.toString("latin1", 508, 512) === "tar\0";
  const isDevice = typeflag === "3" || typeflag === "4";
  const size = parseNumber(block, 124, 12, "size");
  if (size < 0) throw invalidHeader("negative size");
  return {
    typeflag,
    name: isUstar ? prefixed(field(block, 345, isStar ? 131 : 155), field(block, 0, 100)) : field(block, 0, 100),
    linkName: field(block, 157, 100),
    mode: parseNumber(block, 100, 8, "mode"),
    uid: parseNumber(block, 108, 8, "uid"),
    gid: parseNumber(block, 116, 8, "gid"),
    size,
    mtimeSeconds: parseNumber(block, 136, 12, "mtime"),
    uname: isUstar || isGnu ? field(block, 265, 32) : EMPTY,
    gname: isUstar || isGnu ? field(block, 297, 32) : EMPTY,
    devMajor: isDevice ? parseNumber(block, 329, 8, "devmajor") : 0,
    devMinor: isDevice ? parseNumber(block, 337, 8, "devminor") : 0,
    isGnu,
  };
}

const EMPTY = new Uint8Array(0);

/** The bytes of a NUL-terminated field. */
function field(block: Buffer, start: number, length: number): Uint8Array {
  let end = start;
  while (end < start + length && block[end] !== 0) end++;
  return end === start ? EMPTY : block.subarray(start, end);
}

function prefixed(prefix: Uint8Array, name: Uint8Array): Uint8Array {
  return prefix.length === 0 ? name : Buffer.concat([prefix, Buffer.from("/"), name]);
}

function verifyChecksum(block: Buffer): void {
  let unsigned = 0;
  let high = 0;
  for (let i = 0; i < BLOCK; i++) {
    const byte = block[i] ?? 0;
    unsigned += byte;
    if (byte > 127) high++;
  }
  for (let i = 148; i < 156; i++) {
    const byte = block[i] ?? 0;
    unsigned += 32 - byte;
    if (byte > 127) high--;
  }
  const written = parseNumber(block, 148, 8, "checksum");
  // some old writers summed signed characters
  if (written !== unsigned && written !== unsigned - 256 * high) throw invalidHeader("wrong checksum");
}

/** Reads a numeric field: octal text, or base 256 when the top bit of its first byte is set. @throws invalid */
export function parseNumber(block: Buffer, start: number, length: number, what: string): number {
  const first = block[start] ?? 0;
  if (first & 0x80) return parseBinary(block, start, length, what);
  let at = start;
  const end = start + length;
  while (at < end && (block[at] === 0x20 || block[at] === 0)) at++;
  let value = 0;
  for (; at < end; at++) {
    const digit = (block[at] ?? 0) - 0x30;
    if (digit < 0 || digit > 7) break;
    value = value * 8 + digit;
  }
  for (; at < end; at++) {
    if (block[at] === 0) break;
    if (block[at] !== 0x20) throw invalidHeader(`${what} is no octal number`);
  }
  return value;
}

function parseBinary(block: Buffer, start: number, length: number, what: string): number {
  const isNegative = ((block[start] ?? 0) & 0x40) !== 0;
  let value = isNegative ? -1n : 0n;
  for (let i = 0; i < length; i++) {
    let byte = block[start + i] ?? 0;
    if (i === 0) byte = isNegative ? byte | 0x80 : byte & 0x7f;
    value = (value << 8n) | BigInt(byte);
  }
  const number = Number(value);
  if (!Number.isSafeInteger(number)) throw invalidHeader(`${what} is out of range`);
  return number;
}
