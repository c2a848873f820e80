import type { MessageWriter } from "./message.ts";
import type { NetlinkSocket } from "./socket.ts";

const CT_DELETE = (1 << 8) | 2;
const AF_INET = 2;
const CTA = { TUPLE_ORIG: 1, TUPLE_REPLY: 2, FILTER: 25 } as const;
const CTA_TUPLE_IP = 1;
const CTA_TUPLE_PROTO = 2;
const CTA_IP_V4_SRC = 1;
const CTA_PROTO_NUM = 1;
const CTA_PROTO_DST_PORT = 3;
const CTA_FILTER_ORIG_FLAGS = 1;
const CTA_FILTER_REPLY_FLAGS = 2;
const FILTER = { IP_SRC: 1 << 0, PROTO_NUM: 1 << 3, PROTO_DST_PORT: 1 << 5 } as const;

function flush(socket: NetlinkSocket, body: (w: MessageWriter) => void): void {
  socket.request({
    type: CT_DELETE,
    call: "flush conntrack",
    body: (w) => {
      w.u8(AF_INET).u8(1).u16be(0);
      body(w);
    },
  });
}

function filterFlags(w: MessageWriter, orig: number, reply: number): void {
  w.nest(CTA.FILTER, () => w.attrU32(CTA_FILTER_ORIG_FLAGS, orig).attrU32(CTA_FILTER_REPLY_FLAGS, reply));
}

/** Forgets tracked IPv4 flows that `address` (host order) answers or, with "origin", has begun. Kernel 5.8 or later. @throws {NetlinkError} */
export function flushFlowsOf(socket: NetlinkSocket, address: number, side: "origin" | "reply"): void {
  flush(socket, (w) => {
    w.nest(side === "origin" ? CTA.TUPLE_ORIG : CTA.TUPLE_REPLY, () => {
      w.nest(CTA_TUPLE_IP, () => w.attrU32be(CTA_IP_V4_SRC, address));
    });
    filterFlags(w, side === "origin" ? FILTER.IP_SRC : 0, side === "reply" ? FILTER.IP_SRC : 0);
  });
}

/** Forgets tracked IPv4 flows of an IP protocol to a destination port. @throws {NetlinkError} */
export function flushFlowsTo(socket: NetlinkSocket, protocol: number, port: number): void {
  flush(socket, (w) => {
    w.nest(CTA.TUPLE_ORIG, () => {
      w.nest(CTA_TUPLE_PROTO, () => w.attrU8(CTA_PROTO_NUM, protocol).attrU16be(CTA_PROTO_DST_PORT, port));
    });
    filterFlags(w, FILTER.PROTO_NUM | FILTER.PROTO_DST_PORT, 0);
  });
}
