import { decodeAttributes, type MessageWriter, NLM_F } from "./message.ts";
import { NetlinkError, type NetlinkSocket } from "./socket.ts";

const CT_GET = (1 << 8) | 1;
const CT_DELETE = (1 << 8) | 2;
const AF_INET = 2;
const AF_INET6 = 10;
const CTA = { TUPLE_ORIG: 1, TUPLE_REPLY: 2, ID: 12, ZONE: 18, FILTER: 25 } as const;
const CTA_TUPLE_IP = 1;
const CTA_TUPLE_PROTO = 2;
const CTA_IP_V4_SRC = 1;
const CTA_IP_V6_SRC = 3;
const CTA_PROTO_NUM = 1;
const CTA_PROTO_SRC_PORT = 2;
const CTA_PROTO_DST_PORT = 3;
const CTA_FILTER_ORIG_FLAGS = 1;
const CTA_FILTER_REPLY_FLAGS = 2;
const FILTER = { IP_SRC: 1 << 0, PROTO_NUM: 1 << 3, PROTO_SRC_PORT: 1 << 4, PROTO_DST_PORT: 1 << 5 } as const;
const EINVAL = 22;
const ENOENT = 2;
const NFGEN_LENGTH = 4;
const IPV6_BYTES = 16;

/** Where flows went: a port by an IP protocol, and who answers there (four or sixteen bytes in network order), if that matters. */
export interface FlowDestination {
  readonly family: 4 | 6;
  readonly protocol: number;
  readonly destinationPort: number;
  readonly answeredBy?: Uint8Array | undefined;
}

/** Where flows came from: who began them (four or sixteen bytes in network order), by which port of an IP protocol. */
export interface FlowSource {
  readonly protocol: number;
  readonly sourcePort: number;
  readonly begunBy: Uint8Array;
}

/** Which flows: what one side of them has as its sender (four or sixteen bytes in network order), where they went, or came from. */
export type FlowMatch = { readonly side: "origin" | "reply" | "either"; readonly address: Uint8Array } | FlowDestination | FlowSource;

/** Forgets tracked flows that `address` answers, those that it has begun ("origin"), or both. @throws {NetlinkError} */
export function flushFlowsOf(socket: NetlinkSocket, address: Uint8Array, side: "origin" | "reply" | "either"): void {
  const isOneByOne = address.length === IPV6_BYTES;
  const sides = side === "either" && !isOneByOne ? (["reply", "origin"] as const) : [side];
  for (const each of sides) flush(socket, { side: each, address });
}

/** Forgets tracked flows to a destination. @throws {NetlinkError} */
export function flushFlowsTo(socket: NetlinkSocket, destination: FlowDestination): void {
  flush(socket, destination);
}

/** Forgets tracked flows that somebody has begun by a port. @throws {NetlinkError} */
export function flushFlowsFrom(socket: NetlinkSocket, source: FlowSource): void {
  flush(socket, source);
}

function familyOf(match: FlowMatch): number {
  if ("family" in match) return match.family === 6 ? AF_INET6 : AF_INET;
  return addressOf(match)?.length === IPV6_BYTES ? AF_INET6 : AF_INET;
}

/** In one message where the kernel can do that (Linux 6.8), else flow by flow. */
function flush(socket: NetlinkSocket, match: FlowMatch): void {
  if (addressOf(match)?.length === IPV6_BYTES) {
    deleteListedFlows(socket, match);
    return;
  }
  try {
    socket.request({ type: CT_DELETE, call: "flush conntrack", body: (w) => writeMatch(w, match) });
  } catch (error) {
    if (!(error instanceof NetlinkError) || error.errno !== EINVAL) throw error;
    deleteListedFlows(socket, match);
  }
}

function addressOf(match: FlowMatch): Uint8Array | undefined {
  if ("address" in match) return match.address;
  return "begunBy" in match ? match.begunBy : match.answeredBy;
}

/**
 * Without addresses of IPv6: kernels take those for any but them.
 * @see ctnetlink_filter_match_tuple() of Linux 5.8 to 6.18, net/netfilter/nf_conntrack_netlink.c
 */
function writeMatch(w: MessageWriter, match: FlowMatch): void {
  w.u8(familyOf(match)).u8(1).u16be(0);
  const isV6 = addressOf(match)?.length === IPV6_BYTES;
  if (isV6 && !("family" in match)) return;
  if ("address" in match) {
    const isOrigin = match.side === "origin";
    writeSender(w, isOrigin ? CTA.TUPLE_ORIG : CTA.TUPLE_REPLY, match.address);
    writeFilter(w, isOrigin ? FILTER.IP_SRC : 0, isOrigin ? 0 : FILTER.IP_SRC);
    return;
  }
  if ("begunBy" in match) {
    w.nest(CTA.TUPLE_ORIG, () => {
      writeIp(w, match.begunBy);
      w.nest(CTA_TUPLE_PROTO, () => w.attrU8(CTA_PROTO_NUM, match.protocol).attrU16be(CTA_PROTO_SRC_PORT, match.sourcePort));
    });
    writeFilter(w, FILTER.IP_SRC | FILTER.PROTO_NUM | FILTER.PROTO_SRC_PORT, 0);
    return;
  }
  const answeredBy = isV6 ? undefined : match.answeredBy;
  w.nest(CTA.TUPLE_ORIG, () => {
    w.nest(CTA_TUPLE_PROTO, () => w.attrU8(CTA_PROTO_NUM, match.protocol).attrU16be(CTA_PROTO_DST_PORT, match.destinationPort));
  });
  if (answeredBy !== undefined) writeSender(w, CTA.TUPLE_REPLY, answeredBy);
  writeFilter(w, FILTER.PROTO_NUM | FILTER.PROTO_DST_PORT, answeredBy === undefined ? 0 : FILTER.IP_SRC);
}

function writeSender(w: MessageWriter, tuple: number, address: Uint8Array): void {
  w.nest(tuple, () => writeIp(w, address));
}

function writeIp(w: MessageWriter, source: Uint8Array): void {
  w.nest(CTA_TUPLE_IP, () => w.attr(source.length === 4 ? CTA_IP_V4_SRC : CTA_IP_V6_SRC, source));
}

function writeFilter(w: MessageWriter, orig: number, reply: number): void {
  w.nest(CTA.FILTER, () => w.attrU32(CTA_FILTER_ORIG_FLAGS, orig).attrU32(CTA_FILTER_REPLY_FLAGS, reply));
}

/**
 * Asks for the flows that match, and forgets each. Kernels before 5.8 answer with all flows, so every one is looked at here, too. A
 * kernel that can't be asked about flows at all is left alone.
 * @throws {NetlinkError}
 */
export function deleteListedFlows(socket: NetlinkSocket, match: FlowMatch): void {
  const flows: ReadonlyMap<number, Uint8Array>[] = [];
  try {
    socket.query({ type: CT_GET, flags: NLM_F.DUMP, call: "list conntrack", body: (w) => writeMatch(w, match) }, (message) => {
      // the next datagram overwrites this one
      const flow = decodeAttributes(message.body.slice(), NFGEN_LENGTH);
      if (isMatch(flow, match)) flows.push(flow);
    });
  } catch (error) {
    if (error instanceof NetlinkError && error.errno === EINVAL) return;
    throw error;
  }
  for (const flow of flows) deleteFlow(socket, familyOf(match), flow);
}

function deleteFlow(socket: NetlinkSocket, family: number, flow: ReadonlyMap<number, Uint8Array>): void {
  const body = (w: MessageWriter): void => {
    w.u8(family).u8(0).u16be(0);
    w.nest(CTA.TUPLE_ORIG, () => w.raw(flow.get(CTA.TUPLE_ORIG) ?? new Uint8Array()));
    for (const type of [CTA.ID, CTA.ZONE]) {
      const value = flow.get(type);
      if (value !== undefined) w.attr(type, value);
    }
  };
  try {
    socket.request({ type: CT_DELETE, call: "delete conntrack", body });
  } catch (error) {
    // it has come to its end by itself
    if (!(error instanceof NetlinkError) || error.errno !== ENOENT) throw error;
  }
}

function isMatch(flow: ReadonlyMap<number, Uint8Array>, match: FlowMatch): boolean {
  const part = (tuple: number, type: number): ReadonlyMap<number, Uint8Array> => {
    const nested = decodeAttributes(flow.get(tuple) ?? new Uint8Array()).get(type);
    return decodeAttributes(nested ?? new Uint8Array());
  };
  const hasSender = (tuple: number, address: Uint8Array): boolean => {
    const source = part(tuple, CTA_TUPLE_IP).get(address.length === 4 ? CTA_IP_V4_SRC : CTA_IP_V6_SRC);
    return source?.length === address.length && address.every((byte, at) => source[at] === byte);
  };
  if ("address" in match) {
    const { side, address } = match;
    return (side !== "reply" && hasSender(CTA.TUPLE_ORIG, address)) || (side !== "origin" && hasSender(CTA.TUPLE_REPLY, address));
  }
  const proto = part(CTA.TUPLE_ORIG, CTA_TUPLE_PROTO);
  if (readBigEndian(proto.get(CTA_PROTO_NUM)) !== match.protocol) return false;
  if ("begunBy" in match) {
    return readBigEndian(proto.get(CTA_PROTO_SRC_PORT)) === match.sourcePort && hasSender(CTA.TUPLE_ORIG, match.begunBy);
  }
  const { destinationPort, answeredBy } = match;
  if (readBigEndian(proto.get(CTA_PROTO_DST_PORT)) !== destinationPort) return false;
  return answeredBy === undefined || hasSender(CTA.TUPLE_REPLY, answeredBy);
}

function readBigEndian(value: Uint8Array | undefined): number | undefined {
  return value?.reduce((sum, byte) => sum * 256 + byte, 0);
}
