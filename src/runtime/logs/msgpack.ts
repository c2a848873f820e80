/** A time as fluentd's EventTime: seconds and nanoseconds in an extension of type 0. */
export class EventTime {
  readonly seconds: number;
  readonly nanoseconds: number;

  constructor(ns: bigint) {
    this.seconds = Number(ns / 1_000_000_000n);
    this.nanoseconds = Number(ns % 1_000_000_000n);
  }
}

/** What is encoded here: bytes become a string, because a line is text that need not be UTF-8. */
export type Encodable = string | Uint8Array | number | EventTime | readonly Encodable[] | { readonly [key: string]: Encodable };

/** Encodes in MessagePack what the forward protocol needs of it. @see https://github.com/msgpack/msgpack/blob/master/spec.md */
export function encodeMsgpack(value: Encodable): Buffer {
  const parts: Uint8Array[] = [];
  encode(value, parts);
  return Buffer.concat(parts);
}

function encode(value: Encodable, parts: Uint8Array[]): void {
  if (typeof value === "string") encodeText(Buffer.from(value), parts);
  else if (value instanceof Uint8Array) encodeText(value, parts);
  else if (typeof value === "number") parts.push(encodeUint(value));
  else if (value instanceof EventTime) parts.push(encodeTime(value));
  else if (isList(value)) {
    parts.push(listHeader(value.length));
    for (const item of value) encode(item, parts);
  } else {
    const entries = Object.entries(value);
    parts.push(mapHeader(entries.length));
    for (const [key, item] of entries) {
      encodeText(Buffer.from(key), parts);
      encode(item, parts);
    }
  }
}

function isList(value: Encodable): value is readonly Encodable[] {
  return Array.isArray(value);
}

function encodeText(bytes: Uint8Array, parts: Uint8Array[]): void {
  parts.push(textHeader(bytes.length), bytes);
}

/** What precedes the bytes of a string. */
export function textHeader(length: number): Buffer {
  return header(length, { fix: 0xa0, fixMax: 31, wide: [0xd9, 0xda, 0xdb] });
}

/** What precedes the keys and values of a map. */
export function mapHeader(entries: number): Buffer {
  return header(entries, { fix: 0x80, fixMax: 15, wide: [undefined, 0xde, 0xdf] });
}

/** What precedes the items of a list. */
export function listHeader(items: number): Buffer {
  return header(items, { fix: 0x90, fixMax: 15, wide: [undefined, 0xdc, 0xdd] });
}

interface HeaderKind {
  readonly fix: number;
  readonly fixMax: number;
  /** The first bytes for lengths of 8, 16 and 32 bits. */
  readonly wide: readonly [number | undefined, number, number];
}

function header(length: number, { fix, fixMax, wide }: HeaderKind): Buffer {
  if (length <= fixMax) return Buffer.of(fix | length);
  if (wide[0] !== undefined && length < 0x100) return Buffer.of(wide[0], length);
  if (length < 0x10000) return Buffer.of(wide[1], length >> 8, length & 0xff);
  const bytes = Buffer.of(wide[2], 0, 0, 0, 0);
  bytes.writeUInt32BE(length, 1);
  return bytes;
}

function encodeUint(value: number): Buffer {
  if (value < 0x80) return Buffer.of(value);
  const bytes = Buffer.alloc(value < 2 ** 32 ? 5 : 9);
  if (value < 2 ** 32) {
    bytes[0] = 0xce;
    bytes.writeUInt32BE(value, 1);
  } else {
    bytes[0] = 0xcf;
    bytes.writeBigUInt64BE(BigInt(value), 1);
  }
  return bytes;
}

function encodeTime({ seconds, nanoseconds }: EventTime): Buffer {
  const bytes = Buffer.of(0xd7, 0x00, 0, 0, 0, 0, 0, 0, 0, 0);
  bytes.writeUInt32BE(seconds % 2 ** 32, 2);
  bytes.writeUInt32BE(nanoseconds, 6);
  return bytes;
}

/**
 * Reads an acknowledgement, `{"ack": "<chunk>"}`: a map of strings. Undefined while bytes are missing.
 * @throws for anything else
 */
export function decodeAck(bytes: Buffer): string | undefined {
  const count = (bytes[0] ?? 0x80) & 0x0f;
  if (bytes.length > 0 && ((bytes[0] ?? 0) & 0xf0) !== 0x80)
    throw new Error("the receiver answered with something that is no acknowledgement");
  if (bytes.length === 0) return undefined;
  let at = 1;
  let ack: string | undefined;
  for (let i = 0; i < count; i++) {
    const key = decodeText(bytes, at);
    if (key === undefined) return undefined;
    const value = decodeText(bytes, key.end);
    if (value === undefined) return undefined;
    if (key.text === "ack") ack = value.text;
    at = value.end;
  }
  return ack ?? "";
}

function decodeText(bytes: Buffer, at: number): { readonly text: string; readonly end: number } | undefined {
  const first = bytes[at];
  if (first === undefined) return undefined;
  let start = at + 1;
  let length: number;
  if ((first & 0xe0) === 0xa0) length = first & 0x1f;
  else if (first === 0xd9 || first === 0xc4) length = bytes[start++] ?? Number.NaN;
  else if (first === 0xda || first === 0xc5) {
    if (bytes.length < start + 2) return undefined;
    length = bytes.readUInt16BE(start);
    start += 2;
  } else throw new Error("the receiver answered with something that is no acknowledgement");
  const end = start + length;
  return bytes.length >= end ? { text: bytes.toString("utf8", start, end), end } : undefined;
}
