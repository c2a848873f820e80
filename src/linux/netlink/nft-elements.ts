import { decodeAttributes, type MessageWriter, NLM_F } from "./message.ts";
import { NFNL_SUBSYS_NFTABLES, type NftTable, nfgen } from "./nftables.ts";
import type { NetlinkSocket } from "./socket.ts";

// linux/netfilter/nf_tables.h
const GETSETELEM = 13;
const LIST = { TABLE: 1, SET: 2, ELEMENTS: 3 } as const;
const ELEM = { KEY: 1, EXPIRATION: 5, USERDATA: 6, EXPR: 7, KEY_END: 10 } as const;
const EXPR_DATA = 2;
const COUNTER_PACKETS = 2;
const DATA_VALUE = 1;
const NFGEN_LENGTH = 4;
const ATTRIBUTE_HEADER = 4;
const UDATA_HEADER = 2;

/** An element of a set as it is in the kernel. */
export interface ListedElement {
  readonly key: Uint8Array;
  /** Last key of an interval. */
  readonly keyEnd: Uint8Array | undefined;
  /** How long the kernel still keeps it; undefined: for good. */
  readonly expiresMs: number | undefined;
  readonly comment: string | undefined;
  /** Of its counter; 0 without one. */
  readonly packets: number;
}

/** The values of a list of attributes that all have the same type. */
function* entries(bytes: Uint8Array): Generator<Uint8Array> {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let at = 0; at + ATTRIBUTE_HEADER <= bytes.length; ) {
    const length = view.getUint16(at, true);
    if (length < ATTRIBUTE_HEADER || at + length > bytes.length) return;
    yield bytes.subarray(at + ATTRIBUTE_HEADER, at + length);
    at += (length + 3) & ~3;
  }
}

function readValue(data: Uint8Array | undefined): Uint8Array | undefined {
  return data && decodeAttributes(data).get(DATA_VALUE)?.slice();
}

function readU64be(bytes: Uint8Array | undefined): number | undefined {
  if (bytes === undefined || bytes.length < 8) return undefined;
  return Number(new DataView(bytes.buffer, bytes.byteOffset, 8).getBigUint64(0));
}

function readComment(userData: Uint8Array | undefined): string | undefined {
  if (userData === undefined || userData[0] !== 0) return undefined;
  const text = userData.subarray(UDATA_HEADER, UDATA_HEADER + (userData[1] ?? 0));
  return new TextDecoder().decode(text).replace(/\0.*$/s, "");
}

function decodeElement(bytes: Uint8Array): ListedElement | undefined {
  const attributes = decodeAttributes(bytes);
  const key = readValue(attributes.get(ELEM.KEY));
  if (key === undefined) return undefined;
  const counter = decodeAttributes(attributes.get(ELEM.EXPR) ?? new Uint8Array()).get(EXPR_DATA);
  return {
    key,
    keyEnd: readValue(attributes.get(ELEM.KEY_END)),
    expiresMs: readU64be(attributes.get(ELEM.EXPIRATION)),
    comment: readComment(attributes.get(ELEM.USERDATA)),
    packets: readU64be(counter && decodeAttributes(counter).get(COUNTER_PACKETS)) ?? 0,
  };
}

/** All elements of a set. @throws {NetlinkError} ENOENT */
export function listElements(socket: NetlinkSocket, table: NftTable, set: string): ListedElement[] {
  const found: ListedElement[] = [];
  const body = (w: MessageWriter): void => {
    nfgen(w, table.family, 0);
    w.attrText(LIST.TABLE, table.name).attrText(LIST.SET, set);
  };
  const type = (NFNL_SUBSYS_NFTABLES << 8) | GETSETELEM;
  socket.query({ type, flags: NLM_F.DUMP, call: "nft list elements", arg: set, body }, (message) => {
    const list = decodeAttributes(message.body, NFGEN_LENGTH).get(LIST.ELEMENTS);
    for (const entry of entries(list ?? new Uint8Array())) {
      const element = decodeElement(entry);
      if (element !== undefined) found.push(element);
    }
  });
  return found;
}
