import { decodeAttributes, NLM_F, readU32 } from "./message.ts";
import type { NetlinkSocket, Request } from "./socket.ts";

const RTM = { NEWADDR: 20, DELADDR: 21, GETADDR: 22, NEWROUTE: 24, DELROUTE: 25, GETROUTE: 26, NEWNEIGH: 28, DELNEIGH: 29 } as const;
const IFA = { ADDRESS: 1, LOCAL: 2, BROADCAST: 4, FLAGS: 8 } as const;
const RTA = { DST: 1, OIF: 4, GATEWAY: 5, PRIORITY: 6, TABLE: 15 } as const;
const NDA = { DST: 1, LLADDR: 2 } as const;
const AF_INET = 2;
const AF_INET6 = 10;
const IFA_F_NODAD = 2;
const NUD_PERMANENT = 0x80;
const RT_TABLE_MAIN = 254;
const RTPROT_BOOT = 3;
const RTN_UNICAST = 1;
const RT_SCOPE_UNIVERSE = 0;
const RT_SCOPE_LINK = 253;

// addresses are four or sixteen bytes in network order

const familyOf = (bytes: Uint8Array): number => (bytes.length === 4 ? AF_INET : AF_INET6);

function broadcastOf(address: Uint8Array, prefixLength: number): Uint8Array {
  return address.map((byte, at) => byte | (0xff >> Math.min(8, Math.max(0, prefixLength - at * 8))));
}

/** Adds an address; an IPv6 one is in use at once, without a search for duplicates. EEXIST when the link has it. */
export function addIpAddress(index: number, address: Uint8Array, prefixLength: number): Request {
  return {
    type: RTM.NEWADDR,
    flags: NLM_F.CREATE | NLM_F.EXCL,
    call: "add address",
    arg: String(index),
    body: (w) => {
      w.u8(familyOf(address)).u8(prefixLength).u8(0).u8(0).u32(index);
      w.attr(IFA.LOCAL, address).attr(IFA.ADDRESS, address);
      if (address.length === 16) w.attrU32(IFA.FLAGS, IFA_F_NODAD);
      else if (prefixLength < 31) w.attr(IFA.BROADCAST, broadcastOf(address, prefixLength));
    },
  };
}

/** Removes an address. EADDRNOTAVAIL when the link does not have it. */
export function deleteIpAddress(index: number, address: Uint8Array, prefixLength: number): Request {
  return {
    type: RTM.DELADDR,
    call: "delete address",
    arg: String(index),
    body: (w) => {
      w.u8(familyOf(address)).u8(prefixLength).u8(0).u8(0).u32(index);
      w.attr(IFA.LOCAL, address).attr(IFA.ADDRESS, address);
    },
  };
}

/** A route of the main table. */
export interface RouteSettings {
  readonly family: 4 | 6;
  /** Undefined: the default route. */
  readonly destination?: { readonly address: Uint8Array; readonly prefixLength: number } | undefined;
  /** Undefined: the destination is on the link itself. */
  readonly gateway?: Uint8Array | undefined;
  /** Of the link. */
  readonly index: number;
  readonly metric?: number | undefined;
}

function routeRequest(type: number, flags: number, call: string, route: RouteSettings): Request {
  const { family, destination, gateway, index, metric } = route;
  return {
    type,
    flags,
    call,
    arg: String(index),
    body: (w) => {
      const scope = gateway === undefined && family === 4 ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE;
      w.u8(family === 4 ? AF_INET : AF_INET6)
        .u8(destination?.prefixLength ?? 0)
        .u8(0)
        .u8(0);
      w.u8(RT_TABLE_MAIN).u8(RTPROT_BOOT).u8(scope).u8(RTN_UNICAST).u32(0);
      if (destination !== undefined) w.attr(RTA.DST, destination.address);
      if (gateway !== undefined) w.attr(RTA.GATEWAY, gateway);
      if (metric !== undefined) w.attrU32(RTA.PRIORITY, metric);
      w.attrU32(RTA.OIF, index);
    },
  };
}

/** Adds a route. EEXIST when it is there, ENETUNREACH when no link leads to the gateway. */
export function addRoute(route: RouteSettings): Request {
  return routeRequest(RTM.NEWROUTE, NLM_F.CREATE | NLM_F.EXCL, "add route", route);
}

/** Removes a route. ESRCH when it is not there. */
export function deleteRoute(route: RouteSettings): Request {
  return routeRequest(RTM.DELROUTE, 0, "delete route", route);
}

/** Adds a permanent neighbour entry, address → MAC, or replaces one. */
export function addIpNeighbour(index: number, address: Uint8Array, mac: Uint8Array): Request {
  return {
    type: RTM.NEWNEIGH,
    flags: NLM_F.CREATE | NLM_F.REPLACE,
    call: "add neighbour",
    arg: String(index),
    body: (w) => {
      w.u8(familyOf(address)).u8(0).u16(0).u32(index).u16(NUD_PERMANENT).u8(0).u8(0);
      w.attr(NDA.DST, address).attr(NDA.LLADDR, mac);
    },
  };
}

/** Removes a neighbour entry. ENOENT when there is none. */
export function deleteIpNeighbour(index: number, address: Uint8Array): Request {
  return {
    type: RTM.DELNEIGH,
    call: "delete neighbour",
    arg: String(index),
    body: (w) => void w.u8(familyOf(address)).u8(0).u16(0).u32(index).u16(0).u8(0).u8(0).attr(NDA.DST, address),
  };
}

export interface LinkAddress {
  /** Of the link. */
  readonly index: number;
  readonly address: Uint8Array;
  readonly prefixLength: number;
  /** It is valid beyond the link. */
  readonly isGlobal: boolean;
}

/** All addresses of the socket's namespace, of both families. @throws {NetlinkError} */
export function listIpAddresses(socket: NetlinkSocket): LinkAddress[] {
  const found: LinkAddress[] = [];
  socket.query(
    { type: RTM.GETADDR, flags: NLM_F.DUMP, call: "list addresses", body: (w) => void w.u8(0).u8(0).u8(0).u8(0).u32(0) },
    ({ body }) => {
      const attributes = decodeAttributes(body, 8);
      const address = attributes.get(IFA.LOCAL) ?? attributes.get(IFA.ADDRESS);
      const index = new DataView(body.buffer, body.byteOffset, 8).getUint32(4, true);
      if (address !== undefined)
        found.push({ index, address: address.slice(), prefixLength: body[1] ?? 0, isGlobal: body[3] === RT_SCOPE_UNIVERSE });
    },
  );
  return found;
}

export interface Route {
  /** The destination's address, all zeros for the default route. */
  readonly destination: Uint8Array;
  readonly prefixLength: number;
  readonly gateway: Uint8Array | undefined;
  /** Index of the link it leaves by; 0 = none. */
  readonly index: number;
  /** 254 = main, 255 = local. */
  readonly table: number;
}

/** All unicast routes of the socket's namespace, of both families and all tables. @throws {NetlinkError} */
export function listIpRoutes(socket: NetlinkSocket): Route[] {
  const found: Route[] = [];
  const body = (w: Parameters<Request["body"]>[0]): void => void w.u8(0).u8(0).u8(0).u8(0).u8(0).u8(0).u8(0).u8(0).u32(0);
  socket.query({ type: RTM.GETROUTE, flags: NLM_F.DUMP, call: "list routes", body }, (message) => {
    const [family, prefixLength = 0] = message.body;
    if (family !== AF_INET && family !== AF_INET6) return;
    const attributes = decodeAttributes(message.body, 12);
    found.push({
      destination: attributes.get(RTA.DST)?.slice() ?? new Uint8Array(family === AF_INET ? 4 : 16),
      prefixLength,
      gateway: attributes.get(RTA.GATEWAY)?.slice(),
      index: readU32(attributes.get(RTA.OIF)) ?? 0,
      table: readU32(attributes.get(RTA.TABLE)) ?? message.body[4] ?? 0,
    });
  });
  return found;
}
