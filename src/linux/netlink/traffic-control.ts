/** Queueing disciplines of links: how fast, how late and how surely packets leave. @see tc(8), tc-netem(8), tc-tbf(8), tc-htb(8) */
import { decodeAttributes, type MessageWriter, NLM_F, readText } from "./message.ts";
import type { NetlinkSocket, Request } from "./socket.ts";

const RTM = { NEWQDISC: 36, DELQDISC: 37, GETQDISC: 38, NEWTCLASS: 40 } as const;
const TCA = { KIND: 1, OPTIONS: 2 } as const;
/** Handle of what hangs on the link itself. */
export const TC_ROOT = 0xffffffff;
const TCMSG_LENGTH = 20;

/** A handle or a class, `1:0` as `tcHandle(1)`. */
export function tcHandle(major: number, minor = 0): number {
  return ((major << 16) | minor) >>> 0;
}

/** Where a queueing discipline is. */
export interface QdiscPlace {
  /** Index of the link. */
  readonly link: number;
  /** `TC_ROOT` or a class. */
  readonly parent: number;
  readonly handle: number;
}

/** What netem does to packets. */
export interface NetemSettings {
  readonly delayNs: bigint;
  readonly jitterNs: bigint;
  /** 0 to 1. */
  readonly loss: number;
  /** Packets that it holds at most. */
  readonly limit: number;
  /** Bits per second; absent: as fast as it gets them. */
  readonly rateBitsPerSecond?: number | undefined;
}

/** A token bucket: a rate, and what may go at once. */
export interface TbfSettings {
  readonly rateBitsPerSecond: number;
  readonly burstBytes: number;
  /** Bytes that wait at most; more is dropped. */
  readonly limitBytes: number;
}

/** One class of a hierarchical token bucket. */
export interface HtbClassSettings {
  readonly rateBitsPerSecond: number;
  readonly burstBytes: number;
}

const U32_MAX = 0xffffffff;
/** Of the clock that the kernel counts bursts by: 64 ns. @see PSCHED_SHIFT */
const NS_PER_TICK = 64;
const NS_PER_SECOND = 1e9;
const BITS_PER_BYTE = 8;

function tcmsg(w: MessageWriter, { link, parent, handle }: QdiscPlace): void {
  w.u8(0).u8(0).u16(0).u32(link).u32(handle).u32(parent).u32(0);
}

function qdisc(place: QdiscPlace, kind: string, options: (w: MessageWriter) => void): Request {
  return {
    type: RTM.NEWQDISC,
    // makes it, or changes the one of the same kind and handle that is there, with what waits in it
    flags: NLM_F.CREATE | NLM_F.REPLACE,
    call: `set qdisc ${kind}`,
    arg: String(place.link),
    body: (w) => {
      tcmsg(w, place);
      w.attrText(TCA.KIND, kind);
      options(w);
    },
  };
}

/** How long `bytes` take at a rate, in ticks. */
function ticks(bytes: number, bytesPerSecond: number): number {
  return Math.min(U32_MAX, Math.ceil((bytes * NS_PER_SECOND) / bytesPerSecond / NS_PER_TICK));
}

/** struct tc_ratespec; what is above its 32 bits is told by an attribute of 64. */
function ratespec(w: MessageWriter, bytesPerSecond: number): void {
  const TC_LINKLAYER_ETHERNET = 1;
  w.u8(0).u8(TC_LINKLAYER_ETHERNET).u16(0).u16(0).u16(0).u32(Math.min(U32_MAX, bytesPerSecond));
}

function attrU64(w: MessageWriter, type: number, value: bigint): void {
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setBigUint64(0, BigInt.asUintN(64, value), true);
  w.attr(type, bytes);
}

const bytesPerSecond = (bits: number): number => Math.max(1, Math.round(bits / BITS_PER_BYTE));

/** Attributes of netem. @see linux/pkt_sched.h */
const TCA_NETEM = { RATE: 6, RATE64: 8, LATENCY64: 10, JITTER64: 11 } as const;

/** Delays, loses and slows packets. ENOENT when the kernel has no netem. */
export function setNetem(place: QdiscPlace, s: NetemSettings): Request {
  return qdisc(place, "netem", (w) => {
    w.nest(TCA.OPTIONS, () => {
      // struct tc_netem_qopt: latency and jitter in ticks, which the 64-bit attributes overrule
      const inTicks = (ns: bigint): number => Math.min(U32_MAX, Number(ns / BigInt(NS_PER_TICK)));
      w.u32(inTicks(s.delayNs))
        .u32(s.limit)
        .u32(Math.round(s.loss * U32_MAX))
        .u32(0)
        .u32(0)
        .u32(inTicks(s.jitterNs));
      attrU64(w, TCA_NETEM.LATENCY64, s.delayNs);
      attrU64(w, TCA_NETEM.JITTER64, s.jitterNs);
      if (s.rateBitsPerSecond === undefined) return;
      const rate = bytesPerSecond(s.rateBitsPerSecond);
      if (rate > U32_MAX) attrU64(w, TCA_NETEM.RATE64, BigInt(rate));
      w.nest(TCA_NETEM.RATE, () => void w.u32(Math.min(U32_MAX, rate)).u32(0).u32(0).u32(0));
    });
  });
}

/** Attributes of tbf. @see linux/pkt_sched.h */
const TCA_TBF = { PARMS: 1, RATE64: 4, BURST: 6 } as const;

/** Lets packets go at a rate. ENOENT when the kernel has no tbf. */
export function setTbf(place: QdiscPlace, s: TbfSettings): Request {
  return qdisc(place, "tbf", (w) => {
    const rate = bytesPerSecond(s.rateBitsPerSecond);
    w.nest(TCA.OPTIONS, () => {
      w.attrU32(TCA_TBF.BURST, s.burstBytes);
      if (rate > U32_MAX) attrU64(w, TCA_TBF.RATE64, BigInt(rate));
      w.nest(TCA_TBF.PARMS, () => {
        ratespec(w, rate);
        ratespec(w, 0);
        w.u32(s.limitBytes).u32(ticks(s.burstBytes, rate)).u32(0);
      });
    });
  });
}

/** Attributes of htb. @see linux/pkt_sched.h */
const TCA_HTB = { PARMS: 1, INIT: 2, RATE64: 6, CEIL64: 7 } as const;
const HTB_VERSION = 3;
const HTB_RATE_TO_QUANTUM = 10;

/** A tree of token buckets; packets that no filter sends elsewhere go to the class `defaultMinor`. */
export function setHtb(place: QdiscPlace, defaultMinor: number): Request {
  return qdisc(place, "htb", (w) => {
    w.nest(TCA.OPTIONS, () => {
      w.nest(TCA_HTB.INIT, () => void w.u32(HTB_VERSION).u32(HTB_RATE_TO_QUANTUM).u32(defaultMinor).u32(0).u32(0));
    });
  });
}

/** Makes or changes a class of such a tree; `place.handle` is the class, `place.parent` the tree. */
export function setHtbClass(place: QdiscPlace, s: HtbClassSettings): Request {
  const rate = bytesPerSecond(s.rateBitsPerSecond);
  return {
    type: RTM.NEWTCLASS,
    flags: NLM_F.CREATE,
    call: "set class htb",
    arg: String(place.link),
    body: (w) => {
      tcmsg(w, place);
      w.attrText(TCA.KIND, "htb");
      w.nest(TCA.OPTIONS, () => {
        if (rate > U32_MAX) {
          attrU64(w, TCA_HTB.RATE64, BigInt(rate));
          attrU64(w, TCA_HTB.CEIL64, BigInt(rate));
        }
        w.nest(TCA_HTB.PARMS, () => {
          ratespec(w, rate);
          ratespec(w, rate);
          const buffer = ticks(s.burstBytes, rate);
          w.u32(buffer).u32(buffer).u32(0).u32(0).u32(0);
        });
      });
    },
  };
}

/** Takes a queueing discipline away, with all below it and all packets in it. ENOENT, EINVAL when there is none. */
export function deleteQdisc(place: QdiscPlace): Request {
  return { type: RTM.DELQDISC, call: "delete qdisc", arg: String(place.link), body: (w) => tcmsg(w, place) };
}

/** A queueing discipline that is there. */
export interface Qdisc extends QdiscPlace {
  readonly kind: string;
}

/** The queueing disciplines of a link; the kernel's own has the handle 0. @throws {NetlinkError} */
export function listQdiscs(socket: NetlinkSocket, link: number): Qdisc[] {
  const qdiscs: Qdisc[] = [];
  const body: Request["body"] = (w) => tcmsg(w, { link, parent: 0, handle: 0 });
  socket.query({ type: RTM.GETQDISC, flags: NLM_F.DUMP, call: "list qdiscs", arg: String(link), body }, (message) => {
    const head = new DataView(message.body.buffer, message.body.byteOffset, TCMSG_LENGTH);
    const kind = readText(decodeAttributes(message.body, TCMSG_LENGTH).get(TCA.KIND)) ?? "";
    if (head.getUint32(4, true) !== link) return;
    qdiscs.push({ link, handle: head.getUint32(8, true), parent: head.getUint32(12, true), kind });
  });
  return qdiscs;
}
