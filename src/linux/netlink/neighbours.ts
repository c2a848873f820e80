/** Forwarding databases of bridges and VXLANs, and neighbours that a link answers for. */
import { decodeAttributes, type MessageWriter, NLM_F, readU32 } from "./message.ts";
import type { NetlinkSocket, Request } from "./socket.ts";

const RTM = { NEWNEIGH: 28, DELNEIGH: 29, GETNEIGH: 30 } as const;
const NDA = { DST: 1, LLADDR: 2 } as const;
const AF_BRIDGE = 7;
const AF_INET = 2;
const AF_INET6 = 10;
const NUD_NOARP = 0x40;
const NUD_PERMANENT = 0x80;
const NTF_SELF = 0x02;
const NTF_PROXY = 0x08;
const NDMSG_LENGTH = 12;

/** Where frames to a MAC address go. */
export interface ForwardingEntry {
  /** Six bytes; all zero: what has no entry of its own. */
  readonly mac: Uint8Array;
  /** The host that they are sent to, four or sixteen bytes; undefined: an entry of a bridge. */
  readonly vtep?: Uint8Array | undefined;
}

interface Ndmsg {
  readonly family: number;
  readonly index: number;
  readonly state: number;
  readonly flags: number;
}

function ndmsg(w: MessageWriter, m: Ndmsg): void {
  w.u8(m.family).u8(0).u16(0).u32(m.index).u16(m.state).u8(m.flags).u8(0);
}

function fdb(
  type: number,
  index: number,
  { mac, vtep }: ForwardingEntry,
  options: { readonly flags: number; readonly call: string },
): Request {
  return {
    type,
    flags: options.flags,
    call: options.call,
    arg: String(index),
    body: (w) => {
      ndmsg(w, { family: AF_BRIDGE, index, state: NUD_NOARP | NUD_PERMANENT, flags: NTF_SELF });
      w.attr(NDA.LLADDR, mac);
      if (vtep !== undefined) w.attr(NDA.DST, vtep);
    },
  };
}

/** Adds a forwarding entry to a VXLAN, or to a bridge. EEXIST when the MAC address has one. */
export function addForwarding(index: number, entry: ForwardingEntry): Request {
  return fdb(RTM.NEWNEIGH, index, entry, { flags: NLM_F.CREATE | NLM_F.EXCL, call: "add forwarding entry" });
}

/** Adds one, or changes where it leads. */
export function replaceForwarding(index: number, entry: ForwardingEntry): Request {
  return fdb(RTM.NEWNEIGH, index, entry, { flags: NLM_F.CREATE | NLM_F.REPLACE, call: "replace forwarding entry" });
}

/** Adds one more place that frames to a MAC address go to; of use for the address that is all zero. */
export function appendForwarding(index: number, entry: ForwardingEntry): Request {
  return fdb(RTM.NEWNEIGH, index, entry, { flags: NLM_F.CREATE | NLM_F.APPEND, call: "append forwarding entry" });
}

/** Removes a forwarding entry. ENOENT when there is none. */
export function deleteForwarding(index: number, entry: ForwardingEntry): Request {
  return fdb(RTM.DELNEIGH, index, entry, { flags: 0, call: "delete forwarding entry" });
}

/** All forwarding entries of a VXLAN or a bridge, those of its ports left out. @throws {NetlinkError} */
export function listForwarding(socket: NetlinkSocket, index: number): ForwardingEntry[] {
  const entries: ForwardingEntry[] = [];
  const request: Request = {
    type: RTM.GETNEIGH,
    flags: NLM_F.DUMP,
    call: "list forwarding entries",
    arg: String(index),
    body: (w) => ndmsg(w, { family: AF_BRIDGE, index: 0, state: 0, flags: 0 }),
  };
  socket.query(request, ({ body }) => {
    const attributes = decodeAttributes(body, NDMSG_LENGTH);
    const mac = attributes.get(NDA.LLADDR);
    if (mac === undefined || readU32(body.subarray(4)) !== index) return;
    // the next datagram overwrites this one
    entries.push({ mac: mac.slice(), vtep: attributes.get(NDA.DST)?.slice() });
  });
  return entries;
}

function proxy(type: number, index: number, address: Uint8Array, call: string): Request {
  return {
    type,
    flags: type === RTM.NEWNEIGH ? NLM_F.CREATE | NLM_F.REPLACE : 0,
    call,
    arg: String(index),
    body: (w) => {
      ndmsg(w, { family: address.length === 4 ? AF_INET : AF_INET6, index, state: NUD_PERMANENT, flags: NTF_PROXY });
      w.attr(NDA.DST, address);
    },
  };
}

/** A link answers for an address that is not its own. */
export function addProxyNeighbour(index: number, address: Uint8Array): Request {
  return proxy(RTM.NEWNEIGH, index, address, "add proxy neighbour");
}

/** It no longer does. ENOENT when it didn't. */
export function deleteProxyNeighbour(index: number, address: Uint8Array): Request {
  return proxy(RTM.DELNEIGH, index, address, "delete proxy neighbour");
}

/** An entry of a link's neighbour table that somebody has set. */
export interface NeighbourEntry {
  readonly address: Uint8Array;
  readonly mac: Uint8Array;
}

/** The permanent neighbours of a link, both families. @throws {NetlinkError} */
export function listNeighbours(socket: NetlinkSocket, index: number): NeighbourEntry[] {
  const entries: NeighbourEntry[] = [];
  const body: Request["body"] = (w) => ndmsg(w, { family: 0, index: 0, state: 0, flags: 0 });
  socket.query({ type: RTM.GETNEIGH, flags: NLM_F.DUMP, call: "list neighbours", arg: String(index), body }, (message) => {
    const view = new DataView(message.body.buffer, message.body.byteOffset, NDMSG_LENGTH);
    const attributes = decodeAttributes(message.body, NDMSG_LENGTH);
    const [address, mac] = [attributes.get(NDA.DST), attributes.get(NDA.LLADDR)];
    if (view.getUint32(4, true) !== index || (view.getUint16(8, true) & NUD_PERMANENT) === 0) return;
    if (address !== undefined && mac !== undefined) entries.push({ address: address.slice(), mac: mac.slice() });
  });
  return entries;
}
