import { invalidHeader, type SparseExtent } from "./header.ts";
import { decodeName } from "./name.ts";

const XATTR = "SCHILY.xattr.";

/** The records of a PAX header that mean something here; undefined: not given, or given empty, which deletes. */
export interface PaxRecords {
  path?: Uint8Array;
  linkpath?: Uint8Array;
  size?: number;
  uid?: number;
  gid?: number;
  mtimeNs?: bigint;
  atimeNs?: bigint;
  uname?: Uint8Array;
  gname?: Uint8Array;
  xattrs?: Map<string, Uint8Array>;
  /** GNU.sparse.name */
  sparseName?: Uint8Array;
  /** GNU.sparse.realsize or GNU.sparse.size */
  sparseSize?: number;
  /** Version 0.0 or 0.1: the map itself. */
  sparseMap?: SparseExtent[];
  /** Version 1.0: the map stands in front of the payload. */
  isSparseMapInPayload?: boolean;
}

/** Reads the records `<length> <key>=<value>\n` of a PAX extended header. @throws invalid */
export function parsePax(data: Buffer): PaxRecords {
  const records: PaxRecords = {};
  const numbers: number[] = [];
  let major = "";
  for (let at = 0; at < data.length; ) {
    const space = data.indexOf(0x20, at);
    const length = space < 0 || space - at > 20 ? Number.NaN : decimal(data.toString("latin1", at, space));
    const end = at + length;
    const equals = data.indexOf(0x3d, space);
    if (!(end <= data.length) || end <= space || data[end - 1] !== 0x0a || equals < 0 || equals >= end)
      throw invalidHeader("malformed PAX record");
    const key = data.toString("utf8", space + 1, equals);
    const value = data.subarray(equals + 1, end - 1);
    if (key === "GNU.sparse.offset" || key === "GNU.sparse.numbytes") numbers.push(size(key, value));
    else if (key === "GNU.sparse.map") numbers.push(...splitNumbers(value));
    else if (key === "GNU.sparse.major") major = value.toString("latin1");
    else assign(records, key, value);
    at = end;
  }
  if (numbers.length > 0) records.sparseMap = pairs(numbers);
  if (major === "1") records.isSparseMapInPayload = true;
  return records;
}

function assign(records: PaxRecords, key: string, value: Buffer): void {
  switch (key) {
    case "path":
    case "linkpath":
    case "uname":
    case "gname":
      if (value.includes(0)) throw invalidHeader(`PAX ${key} holds a NUL byte`);
      if (value.length > 0) records[key] = value;
      else delete records[key];
      return;
    case "size":
    case "uid":
    case "gid":
      if (value.length > 0) records[key] = size(key, value);
      else delete records[key];
      return;
    case "mtime":
      if (value.length > 0) records.mtimeNs = parseTime(value.toString("latin1"));
      return;
    case "atime":
      if (value.length > 0) records.atimeNs = parseTime(value.toString("latin1"));
      return;
    case "GNU.sparse.name":
      records.sparseName = value;
      return;
    case "GNU.sparse.size":
    case "GNU.sparse.realsize":
      records.sparseSize = size(key, value);
      return;
    default:
      if (key.startsWith(XATTR)) {
        records.xattrs ??= new Map();
        records.xattrs.set(key.slice(XATTR.length), Buffer.from(value));
      }
  }
}

function decimal(text: string): number {
  return /^\d{1,16}$/.test(text) ? Number(text) : Number.NaN;
}

function size(key: string, value: Buffer): number {
  const number = decimal(value.toString("latin1"));
  if (!Number.isSafeInteger(number)) throw invalidHeader(`PAX ${key} is no number: ${JSON.stringify(decodeName(value))}`);
  return number;
}

function splitNumbers(value: Buffer): number[] {
  if (value.length === 0) return [];
  return value
    .toString("latin1")
    .split(",")
    .map((text) => size("GNU.sparse.map", Buffer.from(text)));
}

/** Makes extents of offset, length, offset, length, … @throws invalid for an odd count */
export function pairs(numbers: readonly number[]): SparseExtent[] {
  if (numbers.length % 2 !== 0) throw invalidHeader("sparse map has an odd number of values");
  const extents: SparseExtent[] = [];
  for (let i = 0; i < numbers.length; i += 2) extents.push({ offset: numbers[i] ?? 0, length: numbers[i + 1] ?? 0 });
  return extents;
}

/** Reads seconds with an optional fraction; digits below a nanosecond are cut. @throws invalid */
export function parseTime(text: string): bigint {
  const parts = /^(-?)(\d{1,18})(?:\.(\d*))?$/.exec(text);
  if (!parts) throw invalidHeader(`PAX time ${JSON.stringify(text)}`);
  const [, sign, seconds = "0", fraction = ""] = parts;
  const ns = BigInt(seconds) * 1_000_000_000n + BigInt(fraction.slice(0, 9).padEnd(9, "0"));
  return sign === "-" ? -ns : ns;
}
