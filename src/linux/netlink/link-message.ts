import { type MessageWriter, NLM_F } from "./message.ts";
import type { Request } from "./socket.ts";

/** Messages of rtnetlink(7) about links. */
export const RTM = {
  NEWLINK: 16,
  DELLINK: 17,
  GETLINK: 18,
  SETLINK: 19,
} as const;
/** Attributes of a link. @see linux/if_link.h */
export const IFLA = {
  ADDRESS: 1,
  IFNAME: 3,
  MTU: 4,
  LINK: 5,
  MASTER: 10,
  PROTINFO: 12,
  LINKINFO: 18,
  STATS64: 23,
  GROUP: 27,
  NET_NS_FD: 28,
  GSO_MAX_SIZE: 41,
  GRO_MAX_SIZE: 58,
  GSO_IPV4_MAX_SIZE: 63,
  GRO_IPV4_MAX_SIZE: 64,
} as const;
const SEGMENTATION = [IFLA.GSO_MAX_SIZE, IFLA.GRO_MAX_SIZE, IFLA.GSO_IPV4_MAX_SIZE, IFLA.GRO_IPV4_MAX_SIZE];
/** Attributes below IFLA_LINKINFO. */
export const IFLA_INFO = { KIND: 1, DATA: 2 } as const;
/** Interface flag: administratively up. */
export const IFF_UP = 1;
/** Interface flag: a carrier is there. */
export const IFF_LOWER_UP = 0x10000;

/** What a link is made with or set to; what is absent stays as it is. */
export interface LinkSettings {
  readonly name?: string | undefined;
  /** Six bytes. */
  readonly mac?: Uint8Array | undefined;
  readonly mtu?: number | undefined;
  /** Index of the bridge; 0 takes the link out of it. */
  readonly master?: number | undefined;
  readonly up?: boolean | undefined;
  /** Number of a group of links that are treated together; 0 = the usual one. */
  readonly group?: number | undefined;
  /** Index wanted for a new link. */
  readonly index?: number | undefined;
  /** Descriptor of the network namespace that the link is moved to, or made in. */
  readonly netnsFd?: number | undefined;
  /**
   * Bytes that the kernel's largest packets have, which are cut up where they leave it, sent and received (BIG TCP). Over 65536: IPv6 since Linux
   * 5.19, EINVAL before; IPv4 since 6.3, not heard before.
   */
  readonly segmentation?: number | undefined;
}

/** struct ifinfomsg. */
export function ifinfo(w: MessageWriter, index: number, up: boolean | undefined, family = 0): void {
  w.u8(family).u8(0).u16(0).u32(index);
  w.u32(up ? IFF_UP : 0).u32(up === undefined ? 0 : IFF_UP);
}

/** The attributes that links of every kind have. */
export function linkAttributes(w: MessageWriter, s: LinkSettings): void {
  if (s.name !== undefined) w.attrText(IFLA.IFNAME, s.name);
  if (s.mac !== undefined) w.attr(IFLA.ADDRESS, s.mac);
  if (s.mtu !== undefined) w.attrU32(IFLA.MTU, s.mtu);
  if (s.master !== undefined) w.attrU32(IFLA.MASTER, s.master);
  if (s.group !== undefined) w.attrU32(IFLA.GROUP, s.group);
  if (s.netnsFd !== undefined) w.attrU32(IFLA.NET_NS_FD, s.netnsFd);
  if (s.segmentation !== undefined) for (const attribute of SEGMENTATION) w.attrU32(attribute, s.segmentation);
}

/** What a new link is. */
export interface NewLink {
  readonly kind: string;
  readonly settings: LinkSettings & { readonly name: string };
  /** Index of the link that it is on. */
  readonly parent?: number | undefined;
  /** Writes the attributes of its kind. */
  readonly data?: ((w: MessageWriter) => void) | undefined;
}

/** Makes a link of any kind. EEXIST when the name is taken, EOPNOTSUPP when the kernel lacks the kind. */
export function addLink({ kind, settings, parent, data }: NewLink): Request {
  return {
    type: RTM.NEWLINK,
    flags: NLM_F.CREATE | NLM_F.EXCL,
    call: `add ${kind}`,
    arg: settings.name,
    body: (w) => {
      ifinfo(w, settings.index ?? 0, settings.up);
      linkAttributes(w, settings);
      if (parent !== undefined) w.attrU32(IFLA.LINK, parent);
      w.nest(IFLA.LINKINFO, () => {
        w.attrText(IFLA_INFO.KIND, kind);
        if (data !== undefined) w.nest(IFLA_INFO.DATA, data);
      });
    },
  };
}
