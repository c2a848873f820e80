import { addLink, IFF_UP, IFLA, IFLA_INFO, ifinfo, type LinkSettings, linkAttributes, RTM } from "./link-message.ts";
import { type Attributes, decodeAttributes, type Message, type MessageWriter, NLM_F, readText, readU32, readU64 } from "./message.ts";
import type { NetlinkSocket, Request } from "./socket.ts";

const VETH_INFO_PEER = 1;
const IFLA_BRPORT_MODE = 4;
const IFLA_BRPORT_ISOLATED = 33;
const AF_BRIDGE = 7;

/** Makes a bridge. EEXIST when the name is taken. */
export function addBridge(settings: LinkSettings & { readonly name: string }): Request {
  return addLink({ kind: "bridge", settings });
}

/** Makes a pair of linked interfaces; each end in the namespace of its `netnsFd`, without one in the socket's. */
export function addVeth(near: LinkSettings & { readonly name: string }, peer: LinkSettings & { readonly name: string }): Request {
  return addLink({
    kind: "veth",
    settings: near,
    data: (w) => {
      w.nest(VETH_INFO_PEER, () => {
        ifinfo(w, peer.index ?? 0, peer.up);
        linkAttributes(w, peer);
      });
    },
  });
}

/** Changes a link, named by its index or, with `index` 0, by `settings.name`. */
export function setLink(index: number, settings: LinkSettings): Request {
  return {
    type: RTM.NEWLINK,
    call: "set link",
    arg: settings.name ?? String(index),
    body: (w) => {
      ifinfo(w, index, settings.up);
      linkAttributes(w, settings);
    },
  };
}

const IFLA_NEW_IFINDEX = 49;

export interface LinkMove {
  readonly netnsFd: number;
  readonly name: string;
  /** The index that it is to have there; 0: its own, or the kernel's choice. Linux 5.12 and later, ignored before. */
  readonly index?: number | undefined;
}

/** Moves a link into another namespace, where it has another name; it is down there. EEXIST when the name is taken. */
export function moveLink(index: number, { netnsFd, name, index: wanted = 0 }: LinkMove): Request {
  return {
    type: RTM.SETLINK,
    call: "move link",
    arg: name,
    body: (w) => {
      ifinfo(w, index, undefined);
      linkAttributes(w, { name, netnsFd });
      if (wanted !== 0) w.attrU32(IFLA_NEW_IFINDEX, wanted);
    },
  };
}

/** How a bridge treats one of its ports. */
export interface BridgePortSettings {
  /** It may not talk to other isolated ports of the same bridge. */
  readonly isIsolated?: boolean | undefined;
  /** Frames may go back out of the port by which they came. */
  readonly isHairpin?: boolean | undefined;
}

/** Changes a bridge port. */
export function setBridgePort(index: number, settings: BridgePortSettings): Request {
  const { isIsolated, isHairpin } = settings;
  return {
    type: RTM.SETLINK,
    call: "set bridge port",
    arg: String(index),
    body: (w) => {
      ifinfo(w, index, undefined, AF_BRIDGE);
      w.nest(IFLA.PROTINFO, () => {
        if (isIsolated !== undefined) w.attrU8(IFLA_BRPORT_ISOLATED, isIsolated ? 1 : 0);
        if (isHairpin !== undefined) w.attrU8(IFLA_BRPORT_MODE, isHairpin ? 1 : 0);
      });
    },
  };
}

/** Removes a link (of a pair: both ends). The kernel waits for a grace period meanwhile: milliseconds. ENODEV when it is gone. */
export function deleteLink(link: number | string): Request {
  return {
    type: RTM.DELLINK,
    call: "delete link",
    arg: String(link),
    body: (w) => {
      ifinfo(w, typeof link === "number" ? link : 0, undefined);
      if (typeof link === "string") w.attrText(IFLA.IFNAME, link);
    },
  };
}

/** Counters of a link, as the link itself sees them. */
export interface LinkStats {
  readonly rxPackets: number;
  readonly txPackets: number;
  readonly rxBytes: number;
  readonly txBytes: number;
  readonly rxErrors: number;
  readonly txErrors: number;
  readonly rxDropped: number;
  readonly txDropped: number;
}

export interface Link {
  readonly index: number;
  readonly name: string;
  readonly isUp: boolean;
  readonly mtu: number;
  /** `02:42:…`; empty for a link without one. */
  readonly mac: string;
  /** Index of the bridge that it is plugged in; 0 = none. */
  readonly master: number;
  /** `bridge`, `veth`, …; empty for physical ones. */
  readonly kind: string;
  readonly stats: LinkStats | undefined;
}

function decodeStats(value: Uint8Array | undefined): LinkStats | undefined {
  if (value === undefined || value.length < 64) return undefined;
  const at = (n: number): number => readU64(value, n * 8);
  return {
    rxPackets: at(0),
    txPackets: at(1),
    rxBytes: at(2),
    txBytes: at(3),
    rxErrors: at(4),
    txErrors: at(5),
    rxDropped: at(6),
    txDropped: at(7),
  };
}

/** The text form of six bytes. */
export function formatMac(bytes: Uint8Array): string {
  return Array.from(bytes, (b) => b.toString(16).padStart(2, "0")).join(":");
}

/** Reads one RTM_NEWLINK message. @throws internal */
export function decodeLink(message: Message): Link {
  const head = new DataView(message.body.buffer, message.body.byteOffset, 16);
  const attributes: Attributes = decodeAttributes(message.body, 16);
  const info = attributes.get(IFLA.LINKINFO);
  return {
    index: head.getInt32(4, true),
    name: readText(attributes.get(IFLA.IFNAME)) ?? "",
    isUp: (head.getUint32(8, true) & IFF_UP) !== 0,
    mtu: readU32(attributes.get(IFLA.MTU)) ?? 0,
    mac: formatMac(attributes.get(IFLA.ADDRESS) ?? new Uint8Array()),
    master: readU32(attributes.get(IFLA.MASTER)) ?? 0,
    kind: info === undefined ? "" : (readText(decodeAttributes(info).get(IFLA_INFO.KIND)) ?? ""),
    stats: decodeStats(attributes.get(IFLA.STATS64)),
  };
}

/** All links of the socket's namespace. @throws {NetlinkError} */
export function listLinks(socket: NetlinkSocket): Link[] {
  const links: Link[] = [];
  const request: Request = { type: RTM.GETLINK, flags: NLM_F.DUMP, call: "list links", body: (w) => ifinfo(w, 0, undefined) };
  socket.query(request, (message) => links.push(decodeLink(message)));
  return links;
}

/** One link by name; undefined when there is none. @throws {NetlinkError} */
export function findLink(socket: NetlinkSocket, name: string): Link | undefined {
  let link: Link | undefined;
  const body = (w: MessageWriter): void => {
    ifinfo(w, 0, undefined);
    w.attrText(IFLA.IFNAME, name);
  };
  try {
    socket.query({ type: RTM.GETLINK, call: "get link", arg: name, body }, (message) => {
      link = decodeLink(message);
    });
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENODEV") return undefined;
    throw error;
  }
  return link;
}

/** Removes all links of a group in one go: one grace period for all of them. ENODEV when there is none. */
export function deleteLinkGroup(group: number): Request {
  return {
    type: RTM.DELLINK,
    call: "delete link group",
    arg: String(group),
    body: (w) => {
      ifinfo(w, 0, undefined);
      w.attrU32(IFLA.GROUP, group);
    },
  };
}
