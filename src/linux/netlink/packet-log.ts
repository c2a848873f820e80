import { isErrno } from "../errno.ts";
import { type Attributes, decodeAttributes, type MessageWriter, readText } from "./message.ts";
import { NETLINK, NetlinkSocket, type Request } from "./socket.ts";

// linux/netfilter/nfnetlink_log.h
const NFNL_SUBSYS_ULOG = 4;
const PACKET = 0;
const CONFIG = 1;
const CFG = { CMD: 1, MODE: 2, TIMEOUT: 4, QTHRESH: 5, FLAGS: 6 } as const;
const CMD_BIND = 1;
const COPY_PACKET = 2;
const FLAG_CONNTRACK = 4;
const ATTR = { IFINDEX_IN: 4, IFINDEX_PHYSIN: 6, PAYLOAD: 9, PREFIX: 10, CT: 18 } as const;
// linux/netfilter/nfnetlink_conntrack.h
const CTA_TUPLE_ORIG = 1;
const TUPLE = { IP: 1, PROTO: 2 } as const;
const TUPLE_IP = { V4_DST: 2, V6_DST: 4 } as const;
const TUPLE_PROTO = { NUM: 1, DST_PORT: 3 } as const;
const NFGEN_LENGTH = 4;
/** TCP, UDP, DCCP, SCTP. */
const WITH_PORTS: ReadonlySet<number> = new Set([6, 17, 33, 132]);

/** So much of a packet is copied: its headers. */
const COPY_BYTES = 128;
/** The kernel hands over what it has when there are so many, or after so long. */
const BATCH_PACKETS = 32;
const BATCH_CENTISECONDS = 10;
/** More than the kernel puts into one datagram. */
const RECEIVE_BYTES = 128 * 1024;
/** At one reading. */
const MAX_DATAGRAMS = 16;

/** Where a packet is sent. */
export interface PacketDestination {
  /** Four or sixteen bytes. */
  readonly address: Uint8Array;
  /** An IP protocol's number. */
  readonly protocol: number;
  /** 0 for protocols without ports. */
  readonly port: number;
}

/** A packet that a rule of nft logged. */
export interface LoggedPacket {
  /** The prefix that the rule gives. */
  readonly prefix: string;
  /** Index of the interface that it came in by; of a bridge's packet, by which port. */
  readonly inInterface: number | undefined;
  /** The sender's address, four or sixteen bytes; undefined: it is no IP packet. */
  readonly source: Uint8Array | undefined;
  /** Before anything was translated, where the kernel tells (CONFIG_NETFILTER_NETLINK_GLUE_CT), else after that. */
  readonly destination: PacketDestination | undefined;
}

/** A group of nfnetlink_log(`log group N` of nft) as a socket of the namespace it was made in. Nothing here waits. */
export class PacketLog implements Disposable {
  readonly #socket: NetlinkSocket;

  /** @throws {NetlinkError} EPERM: somebody else reads the group; EOPNOTSUPP and others: the kernel has no nfnetlink_log */
  constructor(group: number) {
    this.#socket = new NetlinkSocket(NETLINK.NETFILTER, { receiveBytes: RECEIVE_BYTES });
    try {
      this.#socket.request(configure(group, (w) => w.attr(CFG.CMD, Uint8Array.of(CMD_BIND))));
      this.#socket.request(
        configure(group, (w) => {
          w.attr(CFG.MODE, Uint8Array.of(0, 0, COPY_BYTES >> 8, COPY_BYTES & 255, COPY_PACKET, 0));
          w.attrU32be(CFG.TIMEOUT, BATCH_CENTISECONDS).attrU32be(CFG.QTHRESH, BATCH_PACKETS);
        }),
      );
      this.#askForFlows(group);
    } catch (error) {
      this.#socket[Symbol.dispose]();
      throw error;
    }
  }

  /** Not all kernels can tell of a packet's flow. */
  #askForFlows(group: number): void {
    try {
      this.#socket.request(configure(group, (w) => w.attrU16be(CFG.FLAGS, FLAG_CONNTRACK)));
    } catch (error) {
      if (!isErrno(error, "EOPNOTSUPP")) throw error;
    }
  }

  /** To be watched for EPOLLIN. */
  get fd(): number {
    return this.#socket.fd;
  }

  /** The next packets, none when there are none; the rest of many comes with the next call. @throws {SysError} */
  read(): LoggedPacket[] {
    const found: LoggedPacket[] = [];
    for (let datagrams = 0; datagrams < MAX_DATAGRAMS; datagrams++) {
      const messages = this.#receive();
      if (messages === undefined) break;
      for (const { type, body } of messages) {
        if (type === ((NFNL_SUBSYS_ULOG << 8) | PACKET)) found.push(decodeLoggedPacket(body));
      }
    }
    return found;
  }

  #receive(): ReturnType<NetlinkSocket["receive"]> {
    try {
      return this.#socket.receive();
    } catch (error) {
      // packets were lost, and more may wait
      if (isErrno(error, "ENOBUFS")) return [];
      throw error;
    }
  }

  [Symbol.dispose](): void {
    this.#socket[Symbol.dispose]();
  }
}

function configure(group: number, attributes: (w: MessageWriter) => void): Request {
  const body = (w: MessageWriter): void => {
    w.u8(0).u8(0).u16be(group);
    attributes(w);
  };
  return { type: (NFNL_SUBSYS_ULOG << 8) | CONFIG, call: "bind packet log", arg: `group ${group}`, body };
}

/** Reads the body of an NFULNL_MSG_PACKET; what it returns are its own bytes. @throws internal */
export function decodeLoggedPacket(body: Uint8Array): LoggedPacket {
  const attributes = decodeAttributes(body, NFGEN_LENGTH);
  const header = readIpHeader(attributes.get(ATTR.PAYLOAD)?.slice() ?? new Uint8Array());
  return {
    prefix: readText(attributes.get(ATTR.PREFIX)) ?? "",
    inInterface: readBigEndian(attributes.get(ATTR.IFINDEX_PHYSIN) ?? attributes.get(ATTR.IFINDEX_IN)),
    source: header?.source,
    destination: readFlow(attributes.get(ATTR.CT)) ?? header,
  };
}

function readFlow(flow: Uint8Array | undefined): PacketDestination | undefined {
  const nested = (attributes: Attributes | undefined, type: number): Attributes | undefined => {
    const value = attributes?.get(type);
    return value && decodeAttributes(value);
  };
  const tuple = nested(flow && decodeAttributes(flow), CTA_TUPLE_ORIG);
  const ip = nested(tuple, TUPLE.IP);
  const proto = nested(tuple, TUPLE.PROTO);
  const address = ip?.get(TUPLE_IP.V4_DST) ?? ip?.get(TUPLE_IP.V6_DST);
  const protocol = readBigEndian(proto?.get(TUPLE_PROTO.NUM));
  if (address === undefined || protocol === undefined) return undefined;
  return { address: address.slice(), protocol, port: readBigEndian(proto?.get(TUPLE_PROTO.DST_PORT)) ?? 0 };
}

/** RFC 791 section 3.1 and RFC 8200 section 3; behind extension headers no port is looked for. */
function readIpHeader(packet: Uint8Array): (PacketDestination & { readonly source: Uint8Array }) | undefined {
  const [first = 0] = packet;
  const isV6 = first >> 4 === 6;
  if ((!isV6 && first >> 4 !== 4) || packet.length < (isV6 ? 40 : 20)) return undefined;
  const [from, to, end] = isV6 ? [8, 24, 40] : [12, 16, 20];
  const protocol = packet[isV6 ? 6 : 9] ?? 0;
  const transport = isV6 ? end : (first & 15) * 4;
  const isFirstFragment = isV6 || (((packet[6] ?? 0) & 0x1f) | (packet[7] ?? 0)) === 0;
  const port = WITH_PORTS.has(protocol) && isFirstFragment ? (readBigEndian(packet.subarray(transport + 2, transport + 4)) ?? 0) : 0;
  return { source: packet.subarray(from, to), address: packet.subarray(to, end), protocol, port };
}

function readBigEndian(value: Uint8Array | undefined): number | undefined {
  return value?.reduce((sum, byte) => sum * 256 + byte, 0);
}
