import { DhowError } from "../../lib/mod.ts";

/** Flags of a netlink request. @see linux/netlink.h */
export const NLM_F = {
  REQUEST: 0x1,
  ACK: 0x4,
  ECHO: 0x8,
  DUMP: 0x300,
  REPLACE: 0x100,
  EXCL: 0x200,
  CREATE: 0x400,
  APPEND: 0x800,
} as const;

/** Types of control messages. @see linux/netlink.h */
export const NLMSG = { NOOP: 1, ERROR: 2, DONE: 3 } as const;

const HEADER_LENGTH = 16;
const NLA_F_NESTED = 0x8000;
const NLA_TYPE_MASK = 0x3fff;

const align4 = (n: number): number => (n + 3) & ~3;

/**
 * Writes netlink messages into one buffer that grows. Integers are little-endian, as on every CPU that dhow runs on;
 * the `be` forms are for fields in network order.
 *
 * ```
 * message   = u32 length, u16 type, u16 flags, u32 sequence, u32 port, family header, attributes
 * attribute = u16 length (without padding), u16 type, value, padding to 4 bytes
 * ```
 */
export class MessageWriter {
  #bytes: Uint8Array;
  #view: DataView;
  #length = 0;

  constructor(sizeBytes = 512) {
    this.#bytes = new Uint8Array(sizeBytes);
    this.#view = new DataView(this.#bytes.buffer);
  }

  /** What has been written so far; a view that the next write may invalidate. */
  get bytes(): Uint8Array {
    return this.#bytes.subarray(0, this.#length);
  }

  #grow(more: number): number {
    const at = this.#length;
    const wanted = at + more;
    if (wanted > this.#bytes.length) {
      const bigger = new Uint8Array(Math.max(wanted, this.#bytes.length * 2));
      bigger.set(this.#bytes);
      this.#bytes = bigger;
      this.#view = new DataView(bigger.buffer);
    }
    this.#length = wanted;
    return at;
  }

  /** Writes one whole message; `body` adds family header and attributes. */
  message(type: number, flags: number, sequence: number, body: (w: this) => void): this {
    const at = this.#grow(HEADER_LENGTH);
    this.#view.setUint16(at + 4, type, true);
    this.#view.setUint16(at + 6, flags, true);
    this.#view.setUint32(at + 8, sequence, true);
    body(this);
    this.#view.setUint32(at, this.#length - at, true);
    this.#grow(align4(this.#length) - this.#length);
    return this;
  }

  u8(value: number): this {
    const at = this.#grow(1);
    this.#view.setUint8(at, value);
    return this;
  }

  u16(value: number): this {
    const at = this.#grow(2);
    this.#view.setUint16(at, value, true);
    return this;
  }

  u16be(value: number): this {
    const at = this.#grow(2);
    this.#view.setUint16(at, value, false);
    return this;
  }

  u32(value: number): this {
    const at = this.#grow(4);
    this.#view.setUint32(at, value, true);
    return this;
  }

  u32be(value: number): this {
    const at = this.#grow(4);
    this.#view.setUint32(at, value, false);
    return this;
  }

  raw(bytes: Uint8Array): this {
    const at = this.#grow(bytes.length);
    this.#bytes.set(bytes, at);
    return this;
  }

  #attribute(type: number, body: () => void): this {
    const at = this.#grow(4);
    this.#view.setUint16(at + 2, type, true);
    body();
    const length = this.#length - at;
    if (length > 0xffff)
      throw new DhowError("internal", `encode netlink attribute ${type & NLA_TYPE_MASK}: ${length} bytes are more than 65535`);
    this.#view.setUint16(at, length, true);
    this.#grow(align4(length) - length);
    return this;
  }

  /** An attribute of bytes. */
  attr(type: number, value: Uint8Array): this {
    return this.#attribute(type, () => this.raw(value));
  }

  attrU8(type: number, value: number): this {
    return this.#attribute(type, () => this.u8(value));
  }

  attrU16(type: number, value: number): this {
    return this.#attribute(type, () => this.u16(value));
  }

  attrU32(type: number, value: number): this {
    return this.#attribute(type, () => this.u32(value));
  }

  attrU32be(type: number, value: number): this {
    return this.#attribute(type, () => this.u32be(value));
  }

  attrU16be(type: number, value: number): this {
    return this.#attribute(type, () => this.u16be(value));
  }

  /** An attribute of NUL-terminated text. */
  attrText(type: number, value: string): this {
    return this.#attribute(type, () => this.raw(Buffer.from(`${value}\0`)));
  }

  /** An attribute that holds attributes (marked NLA_F_NESTED), or whatever `body` writes. */
  nest(type: number, body: (w: this) => void): this {
    return this.#attribute(type | NLA_F_NESTED, () => body(this));
  }
}

/** A message as it was received; `body` starts at the family header. */
export interface Message {
  readonly type: number;
  readonly flags: number;
  readonly sequence: number;
  readonly body: Uint8Array;
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** Splits one received datagram into its messages; they are views of `bytes`. @throws internal when it is cut short */
export function decodeMessages(bytes: Uint8Array): Message[] {
  const view = viewOf(bytes);
  const messages: Message[] = [];
  for (let at = 0; at + HEADER_LENGTH <= bytes.length; ) {
    const length = view.getUint32(at, true);
    if (length < HEADER_LENGTH || at + length > bytes.length) {
      throw new DhowError("internal", `decode netlink message: length ${length} with ${bytes.length - at} bytes left`);
    }
    messages.push({
      type: view.getUint16(at + 4, true),
      flags: view.getUint16(at + 6, true),
      sequence: view.getUint32(at + 8, true),
      body: bytes.subarray(at + HEADER_LENGTH, at + length),
    });
    at += align4(length);
  }
  return messages;
}

/** Attributes by type; of a type that occurs twice the last one. Values are views. */
export type Attributes = ReadonlyMap<number, Uint8Array>;

/** Reads the attributes of `bytes` from `offset` on. Nested values can be read with the same function. @throws internal */
export function decodeAttributes(bytes: Uint8Array, offset = 0): Attributes {
  const view = viewOf(bytes);
  const attributes = new Map<number, Uint8Array>();
  for (let at = offset; at + 4 <= bytes.length; ) {
    const length = view.getUint16(at, true);
    if (length < 4 || at + length > bytes.length) {
      throw new DhowError("internal", `decode netlink attribute: length ${length} with ${bytes.length - at} bytes left`);
    }
    attributes.set(view.getUint16(at + 2, true) & NLA_TYPE_MASK, bytes.subarray(at + 4, at + length));
    at += align4(length);
  }
  return attributes;
}

/** A u32 in host order; undefined when the attribute is missing or short. */
export function readU32(value: Uint8Array | undefined): number | undefined {
  return value === undefined || value.length < 4 ? undefined : viewOf(value).getUint32(0, true);
}

/** A u64 in host order at byte `offset`, as a number: exact up to 2^53. */
export function readU64(value: Uint8Array, offset: number): number {
  return Number(viewOf(value).getBigUint64(offset, true));
}

/** Text up to its NUL; undefined when the attribute is missing. */
export function readText(value: Uint8Array | undefined): string | undefined {
  if (value === undefined) return undefined;
  const end = value.indexOf(0);
  return Buffer.from(end < 0 ? value : value.subarray(0, end)).toString();
}

/** The errno of an NLMSG_ERROR body (0 = acknowledgement) and the kernel's own words, when it gave any. */
export function decodeError(message: Message): { readonly errno: number; readonly text: string | undefined } {
  const view = viewOf(message.body);
  const errno = -view.getInt32(0, true);
  const NLM_F_CAPPED = 0x100;
  const NLM_F_ACK_TLVS = 0x200;
  if ((message.flags & NLM_F_ACK_TLVS) === 0) return { errno, text: undefined };
  const echoed = message.flags & NLM_F_CAPPED ? HEADER_LENGTH : view.getUint32(4, true);
  const NLMSGERR_ATTR_MSG = 1;
  return { errno, text: readText(decodeAttributes(message.body, 4 + align4(echoed)).get(NLMSGERR_ATTR_MSG)) };
}
