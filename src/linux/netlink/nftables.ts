import { decodeError, MessageWriter, NLM_F, NLMSG } from "./message.ts";
import { NetlinkError, type NetlinkSocket } from "./socket.ts";

/** Number of the nftables part of nfnetlink: the upper byte of its message types. @see linux/netfilter/nfnetlink.h */
export const NFNL_SUBSYS_NFTABLES = 10;
const BATCH_BEGIN = 0x10;
const BATCH_END = 0x11;
const NEWSETELEM = 12;
const DELSETELEM = 14;
const DELTABLE = 2;
const LIST_TABLE = 1;
const LIST_SET = 2;
const LIST_ELEMENTS = 3;
const ELEM_KEY = 1;
const ELEM_DATA = 2;
const ELEM_TIMEOUT = 4;
const ELEM_USERDATA = 6;
const ELEM_KEY_END = 10;
/** libnftnl's type of a comment in an element's user data. */
const UDATA_COMMENT = 0;
const DATA_VALUE = 1;

/** Table families. */
export const NFPROTO = { INET: 1, IPV4: 2, BRIDGE: 7, IPV6: 10 } as const;

/** An element of a set or map. A concatenation's parts are padded to 4 bytes each; integers in network order. */
export interface SetElement {
  readonly key: Uint8Array;
  /** Last key of an interval, in the same form. */
  readonly keyEnd?: Uint8Array | undefined;
  /** What a map maps to. */
  readonly data?: Uint8Array | undefined;
  /** How long the kernel keeps it, in sets that let elements go. */
  readonly timeoutMs?: number | undefined;
  /** Up to 250 bytes, shown by nft(8). */
  readonly comment?: string | undefined;
}

/** A change to one set of one table. "put" adds what is not there, and leaves what is as it is. */
export interface SetChange {
  readonly verb: "add" | "put" | "delete";
  readonly set: string;
  readonly elements: readonly SetElement[];
}

export interface NftTable {
  readonly family: number;
  readonly name: string;
}

/** Elements per message: an attribute holds at most 64 KiB. */
const ELEMENTS_PER_MESSAGE = 400;

/** struct nfgenmsg, which follows the header of every message. @see linux/netfilter/nfnetlink.h */
export function nfgen(w: MessageWriter, family: number, resource: number): void {
  w.u8(family).u8(0).u16be(resource);
}

function writeElement(w: MessageWriter, element: SetElement): void {
  w.nest(1, () => {
    w.nest(ELEM_KEY, () => w.attr(DATA_VALUE, element.key));
    const { keyEnd, data, timeoutMs, comment } = element;
    if (keyEnd !== undefined) w.nest(ELEM_KEY_END, () => w.attr(DATA_VALUE, keyEnd));
    if (data !== undefined) w.nest(ELEM_DATA, () => w.attr(DATA_VALUE, data));
    if (timeoutMs !== undefined) w.attr(ELEM_TIMEOUT, u64be(timeoutMs));
    if (comment !== undefined) w.attr(ELEM_USERDATA, commentBytes(comment));
  });
}

function u64be(value: number): Uint8Array {
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(Math.round(value)));
  return bytes;
}

/** type, length, text and its NUL: as nft(8) writes and shows it. */
function commentBytes(text: string): Uint8Array {
  const bytes = Buffer.from(`${text}\0`);
  return Uint8Array.of(UDATA_COMMENT, bytes.length, ...bytes);
}

function* messagesOf(changes: readonly SetChange[]): Generator<SetChange> {
  for (const change of changes) {
    for (let at = 0; at < change.elements.length; at += ELEMENTS_PER_MESSAGE) {
      yield { ...change, elements: change.elements.slice(at, at + ELEMENTS_PER_MESSAGE) };
    }
  }
}

/** Changes to the sets of one table. */
export interface TableChange {
  readonly table: NftTable;
  readonly changes: readonly SetChange[];
}

/** The transaction that makes these changes, in their order. */
export function encodeBatch(tables: readonly TableChange[], next: () => number): NftBatch {
  return encodeTransaction(next, (w, calls) => {
    for (const { table, changes } of tables) {
      for (const change of messagesOf(changes)) {
        const sequence = next();
        calls.set(sequence, `${change.verb} element ${change.set}`);
        writeChange(w, table, change, sequence);
      }
    }
  });
}

function writeChange(w: MessageWriter, table: NftTable, { verb, set, elements }: SetChange, sequence: number): void {
  const isAdd = verb !== "delete";
  const flags = NLM_F.REQUEST | NLM_F.ACK | (isAdd ? NLM_F.CREATE : 0) | (verb === "add" ? NLM_F.EXCL : 0);
  w.message((NFNL_SUBSYS_NFTABLES << 8) | (isAdd ? NEWSETELEM : DELSETELEM), flags, sequence, () => {
    nfgen(w, table.family, 0);
    w.attrText(LIST_TABLE, table.name).attrText(LIST_SET, set);
    w.nest(LIST_ELEMENTS, () => {
      for (const element of elements) writeElement(w, isAdd ? element : { key: element.key, keyEnd: element.keyEnd });
    });
  });
}

/** The bytes of a transaction and, by sequence number, what each of its messages does. */
export interface NftBatch {
  readonly bytes: Uint8Array;
  readonly calls: ReadonlyMap<number, string>;
}

/** Frames messages as one transaction. */
export function encodeTransaction(next: () => number, body: (w: MessageWriter, calls: Map<number, string>) => void): NftBatch {
  const w = new MessageWriter(1024);
  const calls = new Map<number, string>();
  const begin = next();
  calls.set(begin, "begin transaction");
  w.message(BATCH_BEGIN, NLM_F.REQUEST, begin, () => nfgen(w, 0, NFNL_SUBSYS_NFTABLES));
  body(w, calls);
  const end = next();
  calls.set(end, "commit");
  w.message(BATCH_END, NLM_F.REQUEST, end, () => nfgen(w, 0, NFNL_SUBSYS_NFTABLES));
  return { bytes: w.bytes, calls };
}

/** Sends a transaction, of which a message asks for an acknowledgement: all of it is done, or nothing. @throws {NetlinkError} */
export function commit(socket: NetlinkSocket, table: NftTable, batch: NftBatch): void {
  while (socket.receive() !== undefined);
  socket.send(batch.bytes);
  let failure: NetlinkError | undefined;
  let isAnswered = false;
  for (let messages = socket.receive(); messages !== undefined; messages = socket.receive()) {
    for (const message of messages) {
      const call = batch.calls.get(message.sequence);
      if (message.type !== NLMSG.ERROR || call === undefined) continue;
      isAnswered = true;
      const { errno, text } = decodeError(message);
      if (errno !== 0) failure ??= new NetlinkError(`nft ${call}`, errno, table.name, text);
    }
  }
  if (failure !== undefined) throw failure;
  if (!isAnswered) throw new NetlinkError("nft commit", 11, table.name, "no answer");
}

/**
 * Adds and deletes elements in one transaction: all of it or nothing.
 * @throws {NetlinkError} EEXIST an element to add is there; ENOENT table, set or an element to delete is not
 */
export function changeSets(socket: NetlinkSocket, table: NftTable, changes: readonly SetChange[]): void {
  changeTables(socket, [{ table, changes }]);
}

/** The same for the sets of several tables. @throws {NetlinkError} as `changeSets` */
export function changeTables(socket: NetlinkSocket, tables: readonly TableChange[]): void {
  const [first] = tables;
  if (first === undefined || tables.every(({ changes }) => changes.every((c) => c.elements.length === 0))) return;
  commit(
    socket,
    first.table,
    encodeBatch(tables, () => socket.sequence()),
  );
}

/** Deletes a table with all that is in it. @throws {NetlinkError} ENOENT */
export function deleteTable(socket: NetlinkSocket, table: NftTable): void {
  commit(
    socket,
    table,
    encodeTransaction(
      () => socket.sequence(),
      (w, calls) => {
        const sequence = socket.sequence();
        calls.set(sequence, "delete table");
        writeDeleteTable(w, table, sequence, NLM_F.ACK);
      },
    ),
  );
}

/** The message that deletes a table. */
export function writeDeleteTable(w: MessageWriter, table: NftTable, sequence: number, flags: number): void {
  const NFTA_TABLE_NAME = 1;
  w.message((NFNL_SUBSYS_NFTABLES << 8) | DELTABLE, NLM_F.REQUEST | flags, sequence, () => {
    nfgen(w, table.family, 0);
    w.attrText(NFTA_TABLE_NAME, table.name);
  });
}
