import { addLink, IFLA, IFLA_INFO, ifinfo, type LinkSettings, RTM } from "./link-message.ts";
import { decodeAttributes, type MessageWriter } from "./message.ts";
import type { NetlinkSocket, Request } from "./socket.ts";

/** Modes of a macvlan link. @see linux/if_link.h */
export const MACVLAN_MODE = { private: 1, vepa: 2, bridge: 4, passthru: 8 } as const;
/** Modes of an ipvlan link. */
export const IPVLAN_MODE = { l2: 0, l3: 1, l3s: 2 } as const;
/** Flags of an ipvlan link. */
export const IPVLAN_FLAG = { bridge: 0, private: 1, vepa: 2 } as const;

/** A link that stands on another one. */
export interface UpperLink {
  readonly name: string;
  /** Index of the link below, in the socket's namespace. */
  readonly parent: number;
  /** Index wanted; 0: the kernel's choice. */
  readonly index?: number | undefined;
  /** Descriptor of the network namespace that it is made in. */
  readonly netnsFd?: number | undefined;
  readonly mtu?: number | undefined;
  /** Six bytes. */
  readonly mac?: Uint8Array | undefined;
}

/** Makes a link with a MAC address of its own on another link. EOPNOTSUPP when the kernel has no macvlan. */
export function addMacvlan(link: UpperLink & { readonly mode: number }): Request {
  const IFLA_MACVLAN_MODE = 1;
  const data = (w: MessageWriter): void => void w.attrU32(IFLA_MACVLAN_MODE, link.mode);
  return addLink({ kind: "macvlan", settings: link, parent: link.parent, data });
}

/** Makes a link with addresses of its own, and the MAC address of the link below. EOPNOTSUPP when the kernel has no ipvlan. */
export function addIpvlan(link: UpperLink & { readonly mode: number; readonly flag: number }): Request {
  const IFLA_IPVLAN_MODE = 1;
  const IFLA_IPVLAN_FLAGS = 2;
  const data = (w: MessageWriter): void => void w.attrU16(IFLA_IPVLAN_MODE, link.mode).attrU16(IFLA_IPVLAN_FLAGS, link.flag);
  return addLink({ kind: "ipvlan", settings: link, parent: link.parent, data });
}

/** Makes the link of a VLAN (IEEE 802.1Q, 1 to 4094). EOPNOTSUPP when the kernel has no such links. */
export function addVlan(link: UpperLink & { readonly id: number }): Request {
  const IFLA_VLAN_ID = 1;
  return addLink({ kind: "vlan", settings: link, parent: link.parent, data: (w) => void w.attrU16(IFLA_VLAN_ID, link.id) });
}

/** Makes a link that leads nowhere. EOPNOTSUPP when the kernel has none. */
export function addDummy(link: Omit<UpperLink, "parent">): Request {
  return addLink({ kind: "dummy", settings: link });
}

/** Attributes of a VXLAN. @see linux/if_link.h */
const IFLA_VXLAN = { ID: 1, LOCAL: 4, LEARNING: 7, PORT_RANGE: 10, PROXY: 11, L2MISS: 13, L3MISS: 14, PORT: 15, LOCAL6: 17 } as const;

/** A VXLAN (RFC 7348) that knows only what it is told: it learns no address, floods nothing, and asks nobody. */
export interface VxlanSettings {
  /** 24 bits: the VXLAN network identifier. */
  readonly vni: number;
  /** The address that it sends from, four or sixteen bytes. */
  readonly local?: Uint8Array | undefined;
  /** UDP port; IANA's is 4789. */
  readonly port: number;
  /** The UDP ports that it sends from, `end` not among them; undefined: the host's ephemeral ones. */
  readonly sourcePorts?: { readonly first: number; readonly end: number } | undefined;
  /** Answer ARP requests and neighbour solicitations out of the neighbour table. */
  readonly isProxy?: boolean | undefined;
}

/** Makes a VXLAN; its packets leave by the namespace that it is made in, also after it moved. EEXIST when VNI and port are taken. */
export function addVxlan(
  settings: LinkSettings & { readonly name: string },
  { vni, local, port, sourcePorts, isProxy = false }: VxlanSettings,
): Request {
  return addLink({
    kind: "vxlan",
    settings,
    data: (w) => {
      w.attrU32(IFLA_VXLAN.ID, vni);
      if (local !== undefined) w.attr(local.length === 4 ? IFLA_VXLAN.LOCAL : IFLA_VXLAN.LOCAL6, local);
      w.attrU8(IFLA_VXLAN.LEARNING, 0).attrU8(IFLA_VXLAN.PROXY, isProxy ? 1 : 0);
      w.attrU8(IFLA_VXLAN.L2MISS, 0).attrU8(IFLA_VXLAN.L3MISS, 0);
      w.attrU16be(IFLA_VXLAN.PORT, port);
      if (sourcePorts === undefined) return;
      const { first, end } = sourcePorts;
      w.attr(IFLA_VXLAN.PORT_RANGE, Uint8Array.of(first >> 8, first & 255, end >> 8, end & 255));
    },
  });
}

/** What a VXLAN sends from. */
export interface VxlanSource {
  /** Undefined: it was given none. */
  readonly local: Uint8Array | undefined;
  /** The lowest of its UDP ports; 0: the host's ephemeral ones. */
  readonly firstPort: number;
}

/** What a VXLAN sends from. ENODEV when there is no such link. @throws {NetlinkError} */
export function vxlanSource(socket: NetlinkSocket, name: string): VxlanSource {
  let source: VxlanSource = { local: undefined, firstPort: 0 };
  const body = (w: MessageWriter): void => {
    ifinfo(w, 0, undefined);
    w.attrText(IFLA.IFNAME, name);
  };
  socket.query({ type: RTM.GETLINK, call: "get link", arg: name, body }, (message) => {
    const info = decodeAttributes(decodeAttributes(message.body, 16).get(IFLA.LINKINFO) ?? new Uint8Array());
    const data = decodeAttributes(info.get(IFLA_INFO.DATA) ?? new Uint8Array());
    // the next datagram overwrites this one
    const local = (data.get(IFLA_VXLAN.LOCAL) ?? data.get(IFLA_VXLAN.LOCAL6))?.slice();
    const [high = 0, low = 0] = data.get(IFLA_VXLAN.PORT_RANGE) ?? [];
    source = { local, firstPort: (high << 8) | low };
  });
  return source;
}
