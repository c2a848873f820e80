import { type MessageWriter, NLM_F } from "./message.ts";
import type { Request } from "./socket.ts";

const RTM_NEWLINK = 16;
const IFLA = { ADDRESS: 1, IFNAME: 3, MTU: 4, LINK: 5, LINKINFO: 18, NET_NS_FD: 28 } as const;
const IFLA_INFO_KIND = 1;
const IFLA_INFO_DATA = 2;

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

function addKind(kind: string, link: Omit<UpperLink, "parent"> & { readonly parent?: number }, data: (w: MessageWriter) => void): Request {
  return {
    type: RTM_NEWLINK,
    flags: NLM_F.CREATE | NLM_F.EXCL,
    call: `add ${kind}`,
    arg: link.name,
    body: (w) => {
      w.u8(0)
        .u8(0)
        .u16(0)
        .u32(link.index ?? 0)
        .u32(0)
        .u32(0);
      w.attrText(IFLA.IFNAME, link.name);
      if (link.parent !== undefined) w.attrU32(IFLA.LINK, link.parent);
      if (link.mac !== undefined) w.attr(IFLA.ADDRESS, link.mac);
      if (link.mtu !== undefined) w.attrU32(IFLA.MTU, link.mtu);
      if (link.netnsFd !== undefined) w.attrU32(IFLA.NET_NS_FD, link.netnsFd);
      w.nest(IFLA.LINKINFO, () => {
        w.attrText(IFLA_INFO_KIND, kind);
        w.nest(IFLA_INFO_DATA, () => data(w));
      });
    },
  };
}

const u16 = (value: number): Uint8Array => Uint8Array.of(value & 255, value >> 8);

/** Makes a link with a MAC address of its own on another link. EOPNOTSUPP when the kernel has no macvlan. */
export function addMacvlan(link: UpperLink & { readonly mode: number }): Request {
  const IFLA_MACVLAN_MODE = 1;
  return addKind("macvlan", link, (w) => w.attrU32(IFLA_MACVLAN_MODE, link.mode));
}

/** Makes a link with addresses of its own, and the MAC address of the link below. EOPNOTSUPP when the kernel has no ipvlan. */
export function addIpvlan(link: UpperLink & { readonly mode: number; readonly flag: number }): Request {
  const IFLA_IPVLAN_MODE = 1;
  const IFLA_IPVLAN_FLAGS = 2;
  return addKind("ipvlan", link, (w) => w.attr(IFLA_IPVLAN_MODE, u16(link.mode)).attr(IFLA_IPVLAN_FLAGS, u16(link.flag)));
}

/** Makes the link of a VLAN (IEEE 802.1Q, 1 to 4094). EOPNOTSUPP when the kernel has no such links. */
export function addVlan(link: UpperLink & { readonly id: number }): Request {
  const IFLA_VLAN_ID = 1;
  return addKind("vlan", link, (w) => w.attr(IFLA_VLAN_ID, u16(link.id)));
}

/** Makes a link that leads nowhere. EOPNOTSUPP when the kernel has none. */
export function addDummy(link: Omit<UpperLink, "parent">): Request {
  return addKind("dummy", link, () => {});
}
