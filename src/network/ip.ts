import { isIPv4, isIPv6 } from "node:net";
import { DhowError } from "../lib/mod.ts";

export type Family = 4 | 6;

/** An address of either family; its value is a number, so that networks can be counted through. */
export interface Ip {
  readonly family: Family;
  readonly value: bigint;
}

/** A network: an address of it, and how many leading bits make it. */
export interface Prefix {
  readonly family: Family;
  /** As it was written, host bits included. */
  readonly address: bigint;
  /** The network's first address. */
  readonly network: bigint;
  readonly length: number;
}

/** Bits of an address. */
export function bitsOf(family: Family): number {
  return family === 4 ? 32 : 128;
}

/** The bytes of `a.b.c.d`, or the sixteen of an IPv6 address; a zone is dropped. Undefined when it is neither. */
export function tryIpBytes(text: string): Uint8Array | undefined {
  if (isIPv4(text)) return Uint8Array.from(text.split("."), Number);
  const [plain = ""] = text.split("%");
  return isIPv6(plain) ? ipv6Bytes(plain) : undefined;
}

function ipv6Bytes(plain: string): Uint8Array {
  const dotted = /^(.*:)(\d+)\.(\d+)\.(\d+)\.(\d+)$/.exec(plain);
  const [, lead = "", a = 0, b = 0, c = 0, d = 0] = dotted ?? [];
  const word = (high: unknown, low: unknown): string => ((Number(high) << 8) | Number(low)).toString(16);
  const words = dotted ? `${lead}${word(a, b)}:${word(c, d)}` : plain;
  const [head = "", tail] = words.split("::");
  const parse = (s: string): number[] => (s === "" ? [] : s.split(":").map((w) => Number.parseInt(w, 16)));
  const front = parse(head);
  const back = tail === undefined ? [] : parse(tail);
  const gap = new Array<number>(Math.max(0, 8 - front.length - back.length)).fill(0);
  return Uint8Array.from([...front, ...gap, ...back].flatMap((w) => [w >> 8, w & 255]));
}

/** An address from its four or sixteen bytes in network order. */
export function ipOfBytes(bytes: Uint8Array): Ip {
  return { family: bytes.length === 4 ? 4 : 6, value: bytes.reduce((sum, byte) => (sum << 8n) | BigInt(byte), 0n) };
}

/** An address from its text; undefined when it is none. */
export function tryParseIp(text: string): Ip | undefined {
  const bytes = tryIpBytes(text);
  return bytes && ipOfBytes(bytes);
}

/** An address from its text. @throws invalid */
export function parseIp(text: string): Ip {
  const ip = tryParseIp(text);
  if (ip === undefined) throw new DhowError("invalid", `invalid IP address: ${text}`);
  return ip;
}

/** The four or sixteen bytes of an address in network order. */
export function ipBytes({ family, value }: Ip): Uint8Array {
  const bytes = new Uint8Array(bitsOf(family) / 8);
  for (let at = bytes.length - 1, rest = value; at >= 0; at--, rest >>= 8n) bytes[at] = Number(rest & 255n);
  return bytes;
}

/** `a.b.c.d`, or IPv6 in the form of RFC 5952. */
export function formatIp(ip: Ip): string {
  const bytes = ipBytes(ip);
  if (ip.family === 4) return bytes.join(".");
  const words = Array.from({ length: 8 }, (_, i) => ((bytes[i * 2] ?? 0) << 8) | (bytes[i * 2 + 1] ?? 0));
  const { at, length } = longestZeros(words);
  const hex = (part: readonly number[]): string => part.map((w) => w.toString(16)).join(":");
  return length < 2 ? hex(words) : `${hex(words.slice(0, at))}::${hex(words.slice(at + length))}`;
}

function longestZeros(words: readonly number[]): { readonly at: number; readonly length: number } {
  let best = { at: 0, length: 0 };
  for (let at = 0; at < words.length; at++) {
    let end = at;
    while (words[end] === 0) end++;
    if (end - at > best.length) best = { at, length: end - at };
  }
  return best;
}

/** A network from an address of it. */
export function prefixOf(ip: Ip, length: number): Prefix {
  const shift = BigInt(bitsOf(ip.family) - length);
  return { family: ip.family, address: ip.value, network: (ip.value >> shift) << shift, length };
}

/** Parses `address/length`. @throws invalid "invalid CIDR address: x", as Go says it */
export function parsePrefix(text: string): Prefix {
  const [address = "", length = "", rest] = text.split("/");
  const ip = address.includes("%") ? undefined : tryParseIp(address);
  if (ip === undefined || rest !== undefined || !/^\d{1,3}$/.test(length) || Number(length) > bitsOf(ip.family)) {
    throw new DhowError("invalid", `invalid CIDR address: ${text}`);
  }
  return prefixOf(ip, Number(length));
}

/** `network/length`. */
export function formatPrefix({ family, network, length }: Prefix): string {
  return `${formatIp({ family, value: network })}/${length}`;
}

/** The network's last address. */
export function lastOf({ family, network, length }: Prefix): bigint {
  return network + (1n << BigInt(bitsOf(family) - length)) - 1n;
}

/** Whether an address is in the network. */
export function hasIp(prefix: Prefix, ip: Ip): boolean {
  return ip.family === prefix.family && ip.value >= prefix.network && ip.value <= lastOf(prefix);
}

/** Whether two networks share an address. */
export function doOverlap(a: Prefix, b: Prefix): boolean {
  return a.family === b.family && a.network <= lastOf(b) && b.network <= lastOf(a);
}

/** Whether a network, as text, has an address, as text. */
export function isInSubnet(subnet: string, address: string): boolean {
  const ip = tryParseIp(address);
  return ip !== undefined && hasIp(parsePrefix(subnet), ip);
}

/** Whether two texts are the same address, however they are written. */
export function isSameIp(a: string, b: string): boolean {
  const [one, other] = [tryParseIp(a), tryParseIp(b)];
  return a === b || (one !== undefined && one.family === other?.family && one.value === other.value);
}
