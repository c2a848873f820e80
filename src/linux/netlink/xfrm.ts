/**
 * IPsec as the kernel has it: policies say which packets have to be transformed, states how. Transport mode of ESP (RFC 4303) alone.
 * @see linux/xfrm.h, ip-xfrm(8)
 */
import { type Attributes, decodeAttributes, MessageWriter, NLM_F } from "./message.ts";
import type { NetlinkSocket, Request } from "./socket.ts";

const XFRM_MSG = { NEWSA: 0x10, DELSA: 0x11, GETSA: 0x12, NEWPOLICY: 0x13, DELPOLICY: 0x14, GETPOLICY: 0x15, UPDPOLICY: 0x19 } as const;
const XFRMA = { TMPL: 5, ALG_AEAD: 18, REPLAY_ESN_VAL: 23 } as const;
const AF_INET = 2;
const AF_INET6 = 10;
const IPPROTO_UDP = 17;
const IPPROTO_ESP = 50;
const MODE_TRANSPORT = 0;
const POLICY_OUT = 1;
const ACTION = { transform: 0, block: 1 } as const;
const STATE_ESN = 128;
const ALGORITHM_NAME_LENGTH = 64;

/** Bytes of the structures, padding included. */
const SIZE = { selector: 56, id: 24, lifetimes: 96, stats: 12, policy: 168, state: 224, template: 64 } as const;
/** Where in `struct xfrm_usersa_info` they are. */
const STATE = { DADDR: 56, SPI: 72, PROTO: 76, SADDR: 80, REQID: 208, FAMILY: 212 } as const;
/** Where in `struct xfrm_userpolicy_info`. */
const POLICY = { PRIORITY: 152, INDEX: 156, DIR: 160, ACTION: 161 } as const;
/** Where in `struct xfrm_selector`, with which a policy begins. */
const SELECTOR = { DADDR: 0, SADDR: 16, DPORT: 32, SPORT: 36, SPORT_MASK: 38, FAMILY: 40, PREFIX_D: 42, PROTO: 44 } as const;
/** Where in `struct xfrm_user_tmpl`. */
const TEMPLATE = { SPI: 16, REQID: 44 } as const;

/** What identifies a state: who sends to whom under which security parameters index. */
export interface EspId {
  /** Four or sixteen bytes, as all addresses here. */
  readonly source: Uint8Array;
  readonly destination: Uint8Array;
  readonly spi: number;
}

/** A state: AES-GCM (RFC 4106) with an ICV of 16 bytes, sequence numbers of 64 bits, in transport mode. */
export interface EspState extends EspId {
  /** The key of 16, 24 or 32 bytes and the salt of four. */
  readonly key: Uint8Array;
  /** Whoever made it marks it as his. */
  readonly reqid: number;
  /** How far behind the last one a packet may be. */
  readonly replayWindow: number;
}

/** Packets of UDP that leave this host by some ports for one. */
export interface UdpFlow {
  readonly family: 4 | 6;
  /** Undefined: any. */
  readonly source?: Uint8Array | undefined;
  readonly destination?: Uint8Array | undefined;
  /** The source port's bits under `sourcePortMask`. */
  readonly sourcePort: number;
  readonly sourcePortMask: number;
  readonly destinationPort: number;
}

/** What happens to a flow: it leaves under a state, or not at all. */
export interface EspPolicy {
  readonly flow: UdpFlow;
  /** The least one that fits a packet counts. */
  readonly priority: number;
  /** Undefined: the packets are dropped. */
  readonly transform?: { readonly spi: number; readonly reqid: number } | undefined;
}

/** A policy that the kernel has. */
export interface ListedPolicy extends EspPolicy {
  /** The kernel's number of it. */
  readonly index: number;
}

/** A state that the kernel has; its key is not shown. */
export type ListedState = EspId & { readonly reqid: number };

const hex = (spi: number): string => `0x${spi.toString(16)}`;
const familyOf = (address: Uint8Array): number => (address.length === 4 ? AF_INET : AF_INET6);

function zeros(w: MessageWriter, count: number): MessageWriter {
  return w.raw(new Uint8Array(count));
}

/** xfrm_address_t: IPv4 in the first four of sixteen bytes. */
function address(w: MessageWriter, bytes: Uint8Array | undefined): MessageWriter {
  return zeros(w.raw(bytes ?? new Uint8Array()), 16 - (bytes?.length ?? 0));
}

/** struct xfrm_lifetime_cfg without limits, and struct xfrm_lifetime_cur. */
function lifetimes(w: MessageWriter): void {
  const unlimited = new Uint8Array(32).fill(0xff);
  zeros(w.raw(unlimited), SIZE.lifetimes - unlimited.length);
}

function selector(w: MessageWriter, flow: UdpFlow): void {
  const { source, destination } = flow;
  address(address(w, destination), source);
  w.u16be(flow.destinationPort).u16be(0xffff).u16be(flow.sourcePort).u16be(flow.sourcePortMask);
  w.u16(flow.family === 4 ? AF_INET : AF_INET6);
  w.u8((destination?.length ?? 0) * 8).u8((source?.length ?? 0) * 8);
  // any interface, any user
  zeros(w.u8(IPPROTO_UDP), 11);
}

/** struct xfrm_id */
function espId(w: MessageWriter, destination: Uint8Array | undefined, spi: number): MessageWriter {
  return zeros(address(w, destination).u32be(spi).u8(IPPROTO_ESP), 3);
}

/** The attribute that has the algorithm; struct xfrm_algo_aead. */
function aead(w: MessageWriter, key: Uint8Array): void {
  const name = Buffer.alloc(ALGORITHM_NAME_LENGTH);
  name.write("rfc4106(gcm(aes))");
  const lengths = new Uint32Array([key.length * 8, 128]);
  w.attr(XFRMA.ALG_AEAD, Buffer.concat([name, new Uint8Array(lengths.buffer), key]));
}

/** The attribute that has sequence numbers of 64 bits; struct xfrm_replay_state_esn with its bitmap. */
function extendedNumbers(w: MessageWriter, replayWindow: number): void {
  const words = Math.ceil(replayWindow / 32);
  const state = new Uint32Array(6 + words);
  state.set([words, 0, 0, 0, 0, replayWindow]);
  w.attr(XFRMA.REPLAY_ESN_VAL, new Uint8Array(state.buffer));
}

/** Adds a state. EEXIST when there is one of that destination and SPI; ENOSYS, EPROTONOSUPPORT or EINVAL where the kernel has no ESP or AES-GCM. */
export function addEspState(state: EspState): Request {
  const { source, destination, spi, reqid } = state;
  return {
    type: XFRM_MSG.NEWSA,
    flags: NLM_F.CREATE | NLM_F.EXCL,
    call: "add xfrm state",
    arg: hex(spi),
    body: (w) => {
      // any packet that a policy sends here
      zeros(w, SIZE.selector);
      address(espId(w, destination, spi), source);
      lifetimes(w);
      zeros(w, SIZE.stats).u32(0).u32(reqid).u16(familyOf(destination));
      zeros(w.u8(MODE_TRANSPORT).u8(0).u8(STATE_ESN), 7);
      aead(w, state.key);
      extendedNumbers(w, state.replayWindow);
    },
  };
}

/** Removes a state. ESRCH when there is none. */
export function deleteEspState({ destination, spi }: Omit<EspId, "source">): Request {
  const body = (w: MessageWriter): void => {
    address(w, destination).u32be(spi).u16(familyOf(destination)).u8(IPPROTO_ESP).u8(0);
  };
  return { type: XFRM_MSG.DELSA, call: "delete xfrm state", arg: hex(spi), body };
}

function writePolicy(w: MessageWriter, { flow, priority, transform }: EspPolicy): void {
  selector(w, flow);
  lifetimes(w);
  w.u32(priority).u32(0).u8(POLICY_OUT);
  zeros(w.u8(transform === undefined ? ACTION.block : ACTION.transform), 6);
  if (transform === undefined) return;
  w.attr(XFRMA.TMPL, templateOf(flow, transform));
}

/** struct xfrm_user_tmpl */
function templateOf({ family, source, destination }: UdpFlow, { spi, reqid }: NonNullable<EspPolicy["transform"]>): Uint8Array {
  const w = new MessageWriter(SIZE.template);
  address(
    espId(w, destination, spi)
      .u16(family === 4 ? AF_INET : AF_INET6)
      .u16(0),
    source,
  );
  zeros(w.u32(reqid).u8(MODE_TRANSPORT), 3);
  // any algorithm: the state says which
  return w.u32(0xffffffff).u32(0xffffffff).u32(0xffffffff).bytes;
}

/** Adds a policy. EEXIST when there is one of the same flow, somebody else's maybe. */
export function addEspPolicy(policy: EspPolicy): Request {
  const arg = hex(policy.transform?.spi ?? 0);
  const flags = NLM_F.CREATE | NLM_F.EXCL;
  return { type: XFRM_MSG.NEWPOLICY, flags, call: "add xfrm policy", arg, body: (w) => writePolicy(w, policy) };
}

/** Puts a policy in the place of that of the same flow, with no packet in between that meets neither. */
export function replaceEspPolicy(policy: EspPolicy): Request {
  const arg = hex(policy.transform?.spi ?? 0);
  return { type: XFRM_MSG.UPDPOLICY, flags: NLM_F.REPLACE, call: "replace xfrm policy", arg, body: (w) => writePolicy(w, policy) };
}

/** Removes a policy by its number. ENOENT when there is none. */
export function deleteEspPolicy(index: number): Request {
  // struct xfrm_userpolicy_id
  const body = (w: MessageWriter): void => void zeros(zeros(w, SIZE.selector).u32(index).u8(POLICY_OUT), 3);
  return { type: XFRM_MSG.DELPOLICY, call: "delete xfrm policy", arg: String(index), body };
}

interface Listed {
  readonly bytes: Uint8Array;
  readonly view: DataView;
  /** What follows a structure of so many bytes. */
  readonly attributes: (size: number) => Attributes;
}

function dump(socket: NetlinkSocket, type: number, call: string, each: (listed: Listed) => void): void {
  socket.query({ type, flags: NLM_F.DUMP, call, body: () => {} }, ({ body: bytes }) => {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    each({ bytes, view, attributes: (size) => decodeAttributes(bytes, size) });
  });
}

/** All states of ESP. @throws {NetlinkError} */
export function listEspStates(socket: NetlinkSocket): ListedState[] {
  const states: ListedState[] = [];
  dump(socket, XFRM_MSG.GETSA, "list xfrm states", ({ bytes, view }) => {
    if (bytes.length < SIZE.state || bytes[STATE.PROTO] !== IPPROTO_ESP) return;
    const size = view.getUint16(STATE.FAMILY, true) === AF_INET6 ? 16 : 4;
    states.push({
      source: bytes.slice(STATE.SADDR, STATE.SADDR + size),
      destination: bytes.slice(STATE.DADDR, STATE.DADDR + size),
      spi: view.getUint32(STATE.SPI),
      reqid: view.getUint32(STATE.REQID, true),
    });
  });
  return states;
}

/** The policies for UDP packets that leave by some ports for one. @throws {NetlinkError} */
export function listEspPolicies(socket: NetlinkSocket): ListedPolicy[] {
  const policies: ListedPolicy[] = [];
  dump(socket, XFRM_MSG.GETPOLICY, "list xfrm policies", ({ bytes, view, attributes }) => {
    if (bytes.length < SIZE.policy || bytes[POLICY.DIR] !== POLICY_OUT || bytes[SELECTOR.PROTO] !== IPPROTO_UDP) return;
    policies.push({
      flow: readSelector(bytes, view),
      priority: view.getUint32(POLICY.PRIORITY, true),
      index: view.getUint32(POLICY.INDEX, true),
      transform: bytes[POLICY.ACTION] === ACTION.block ? undefined : readTemplate(attributes(SIZE.policy).get(XFRMA.TMPL)),
    });
  });
  return policies;
}

function readSelector(bytes: Uint8Array, view: DataView): UdpFlow {
  const family = view.getUint16(SELECTOR.FAMILY, true) === AF_INET6 ? 6 : 4;
  const size = family === 4 ? 4 : 16;
  const at = (offset: number, prefix: number): Uint8Array | undefined =>
    bytes[prefix] === 0 ? undefined : bytes.slice(offset, offset + size);
  return {
    family,
    source: at(SELECTOR.SADDR, SELECTOR.PREFIX_D + 1),
    destination: at(SELECTOR.DADDR, SELECTOR.PREFIX_D),
    sourcePort: view.getUint16(SELECTOR.SPORT),
    sourcePortMask: view.getUint16(SELECTOR.SPORT_MASK),
    destinationPort: view.getUint16(SELECTOR.DPORT),
  };
}

function readTemplate(bytes: Uint8Array | undefined): EspPolicy["transform"] {
  if (bytes === undefined || bytes.length < SIZE.template) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  return { spi: view.getUint32(TEMPLATE.SPI), reqid: view.getUint32(TEMPLATE.REQID, true) };
}
