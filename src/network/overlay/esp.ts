import { createHash, hkdfSync, randomBytes } from "node:crypto";
import type { EspPolicy, EspState } from "../../linux/mod.ts";
import { ipBytes, parseIp } from "../ip.ts";

/** IANA's port of VXLAN (RFC 7348). */
export const VXLAN_PORT = 4789;

/** A secret that all hosts have. */
export interface EspKey {
  readonly id: string;
  /** 32 bytes in base64. */
  readonly secret: string;
}

/** The keys in force: each is to be used, is used, and was used for the time between two rotations. */
export interface KeyRing {
  readonly previous: EspKey;
  readonly current: EspKey;
  readonly next: EspKey;
}

/** A host that takes part, for as long as its kernel keeps the states. */
export interface EspSession {
  readonly host: string;
  readonly vtep: string;
  /** Another one each time: no two states ever have the same key. */
  readonly nonce: string;
}

/** How one daemon tells its packets, states and policies from others'. */
export interface EspMarks {
  readonly reqid: number;
  /** UDP ports that only its encrypted networks send from: `count` of them, a power of two. */
  readonly firstPort: number;
  readonly count: number;
}

/** Above the ephemeral ports of Linux: nothing sends from there that was not told to. */
const FIRST_SOURCE_PORT = 0xf000;
export const PORTS_PER_DAEMON = 64;
const DAEMONS = (0x10000 - FIRST_SOURCE_PORT) / PORTS_PER_DAEMON - 1;
/** How far packets may overtake each other: receive queues of several processors do. */
const REPLAY_WINDOW = 1024;
/** SPIs below are reserved (RFC 4303, 2.1). */
const FIRST_SPI = 256;
const TRANSFORM_PRIORITY = 0;

const digestOf = (hostId: string): Buffer => createHash("sha256").update(`dhow overlay ${hostId}`).digest();

/** What marks the states and policies of the daemon of this host, the same in each of its lives. */
export function espReqid(hostId: string): number {
  return (digestOf(hostId).readUInt32LE(0) | 1) >>> 0;
}

/** The first ports of all blocks, in the order in which the daemon of this host wants them. */
export function portBlocks(hostId: string): number[] {
  const wanted = digestOf(hostId).readUInt16LE(4);
  return Array.from({ length: DAEMONS }, (_, n) => FIRST_SOURCE_PORT + ((wanted + n) % DAEMONS) * PORTS_PER_DAEMON);
}

/** A key of nobody's. */
export function newKey(): EspKey {
  return { id: randomBytes(8).toString("hex"), secret: randomBytes(32).toString("base64") };
}

/** The ring after `ring`; undefined: the first one. */
export function nextRing(ring: KeyRing | undefined): KeyRing {
  if (ring === undefined) return { previous: newKey(), current: newKey(), next: newKey() };
  return { previous: ring.current, current: ring.next, next: newKey() };
}

/** What two hosts come to by themselves: the state of packets from one to the other under a key. */
export function espState({ id, secret }: EspKey, from: EspSession, to: EspSession, reqid: number): EspState {
  const info = JSON.stringify(["dhow overlay esp", id, from.vtep, from.nonce, to.vtep, to.nonce]);
  const bytes = Buffer.from(hkdfSync("sha256", Buffer.from(secret, "base64"), new Uint8Array(), info, 24));
  const spi = Math.max(bytes.readUInt32BE(20), FIRST_SPI);
  const [source, destination] = [ipBytes(parseIp(from.vtep)), ipBytes(parseIp(to.vtep))];
  return { source, destination, spi, key: bytes.subarray(0, 20), reqid, replayWindow: REPLAY_WINDOW };
}

/** What the kernel has to have. */
export interface EspPlan {
  readonly inbound: readonly EspState[];
  readonly outbound: readonly EspState[];
  readonly policies: readonly EspPolicy[];
}

/** It counts after every policy with a state, and says whose it is: a policy without a state has no reqid. */
const blockPriority = (reqid: number): number => (0x8000_0000 | reqid) >>> 0;

/** What leaves by the encrypted networks' ports, and for whom there is nothing else: dropped. */
export function blockPolicy(vtep: string, { reqid, firstPort, count }: EspMarks): EspPolicy {
  const flow = { sourcePort: firstPort, sourcePortMask: 0x10000 - count, destinationPort: VXLAN_PORT };
  return { flow: { family: parseIp(vtep).family, ...flow }, priority: blockPriority(reqid) };
}

/** Whether a policy is the one that drops, of the daemon with this reqid. */
export function isBlockOf({ flow, priority, transform }: EspPolicy, reqid: number): boolean {
  return transform === undefined && flow.destinationPort === VXLAN_PORT && priority === blockPriority(reqid);
}

/** What `own` needs to talk to `peers`: it receives under each key, and sends under the current one. */
export function espPlan(ring: KeyRing, own: EspSession, peers: readonly EspSession[], marks: EspMarks): EspPlan {
  const block = blockPolicy(own.vtep, marks);
  const outbound = peers.map((peer) => espState(ring.current, own, peer, marks.reqid));
  return {
    inbound: peers.flatMap((peer) => [ring.previous, ring.current, ring.next].map((key) => espState(key, peer, own, marks.reqid))),
    outbound,
    policies: [
      block,
      ...outbound.map(({ source, destination, spi, reqid }) => ({
        flow: { ...block.flow, source, destination },
        priority: TRANSFORM_PRIORITY,
        transform: { spi, reqid },
      })),
    ],
  };
}
