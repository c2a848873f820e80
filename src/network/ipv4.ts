import { DhowError } from "../lib/mod.ts";

/** An IPv4 network; addresses are numbers in host order. */
export interface Cidr {
  /** The address as it was written, host bits included. */
  readonly address: number;
  readonly network: number;
  readonly prefixLength: number;
}

const OCTET = /^(0|[1-9]\d{0,2})$/;

/** The number of `a.b.c.d`; undefined when it is none. */
export function tryParseIpv4(text: string): number | undefined {
  const parts = text.split(".");
  if (parts.length !== 4) return undefined;
  let address = 0;
  for (const part of parts) {
    const octet = Number(part);
    if (!OCTET.test(part) || octet > 255) return undefined;
    address = address * 256 + octet;
  }
  return address;
}

/** The number of `a.b.c.d`. @throws invalid */
export function parseIpv4(text: string): number {
  const address = tryParseIpv4(text);
  if (address === undefined) throw new DhowError("invalid", `invalid IP address: ${text}`);
  return address;
}

/** `a.b.c.d` of a number. */
export function formatIpv4(address: number): string {
  return `${address >>> 24}.${(address >>> 16) & 255}.${(address >>> 8) & 255}.${address & 255}`;
}

/** The four bytes in network order. */
export function ipv4Bytes(address: number): Uint8Array {
  return new Uint8Array([address >>> 24, (address >>> 16) & 255, (address >>> 8) & 255, address & 255]);
}

/** The netmask of a prefix length. */
export function netmask(prefixLength: number): number {
  return prefixLength === 0 ? 0 : (0xffffffff << (32 - prefixLength)) >>> 0;
}

/** A network from a number of it and its prefix length. */
export function cidr(address: number, prefixLength: number): Cidr {
  return { address, network: (address & netmask(prefixLength)) >>> 0, prefixLength };
}

/** Parses `a.b.c.d/n`. @throws invalid "invalid CIDR address: x", as Go says it */
export function parseCidr(text: string): Cidr {
  const [ip = "", length = "", rest] = text.split("/");
  const address = tryParseIpv4(ip);
  if (address === undefined || rest !== undefined || !/^\d{1,2}$/.test(length) || Number(length) > 32) {
    throw new DhowError("invalid", `invalid CIDR address: ${text}`);
  }
  return cidr(address, Number(length));
}

/** `network/n`. */
export function formatCidr(c: Cidr): string {
  return `${formatIpv4(c.network)}/${c.prefixLength}`;
}

/** The network's last address: its broadcast address. */
export function lastAddress(c: Cidr): number {
  return (c.network | ~netmask(c.prefixLength)) >>> 0;
}

/** Whether `address` is in the network. */
export function contains(c: Cidr, address: number): boolean {
  return (address & netmask(c.prefixLength)) >>> 0 === c.network;
}

/** Whether two networks share an address. */
export function overlaps(a: Cidr, b: Cidr): boolean {
  return a.prefixLength < b.prefixLength ? contains(a, b.network) : contains(b, a.network);
}

/** The MAC address that docker derives from an IPv4 address: 02:42 and its four bytes. */
export function macOf(address: number): Uint8Array {
  return new Uint8Array([2, 0x42, ...ipv4Bytes(address)]);
}

/** Parses `02:42:ac:11:00:02`, also with dashes. @throws invalid docker's words */
export function parseMac(text: string): Uint8Array {
  if (!/^([0-9a-f]{2}[:-]){5}[0-9a-f]{2}$/i.test(text))
    throw new DhowError("invalid", `invalid MAC address: address ${text}: invalid MAC address`);
  return Uint8Array.from(text.split(/[:-]/), (part) => Number.parseInt(part, 16));
}
