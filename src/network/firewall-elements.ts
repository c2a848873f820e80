import type { SetElement } from "../linux/mod.ts";
import {
  type Family,
  formatIp,
  formatPrefix,
  hasIp,
  ipBytes,
  ipOfBytes,
  lastOf,
  type Prefix,
  parseIp,
  parsePrefix,
  tryIpBytes,
} from "./ip.ts";
import type { PortProtocol } from "./port-specs.ts";

/** A published port: what arrives at `hostIp`:`hostPort` goes to `containerIp`:`containerPort`; both addresses of one family. */
export interface PortForward {
  readonly protocol: PortProtocol;
  /** `0.0.0.0` or `::` = every address of the host. */
  readonly hostIp: string;
  readonly hostPort: number;
  readonly containerIp: string;
  readonly containerPort: number;
  /** Networks that alone may use it; undefined: everybody. */
  readonly allow?: readonly string[] | undefined;
  /** The container's own address takes connections to the port, and none of the host's does (gateway mode "routed"). */
  readonly isDirect?: boolean | undefined;
  /** The container's own address takes connections to the port as well, from where its bridge lets them in. */
  readonly isReachable?: boolean | undefined;
  /** Nothing is published: connections to the port that have been forgotten don't go on in the middle. */
  readonly isCut?: boolean | undefined;
}

/** What a network's packets get on their way out and in, by `com.docker.network.bridge.gateway_mode_ipv4` and `_ipv6`. */
export type GatewayMode = "nat" | "nat-unprotected" | "routed" | "isolated";

/** One bridge as the firewall sees it. */
export interface BridgeRules {
  /** Of the interface. */
  readonly name: string;
  /** Whether its containers reach each other. */
  readonly icc: boolean;
  /** Nothing gets out of it or in. */
  readonly isInternal: boolean;
  readonly subnets: readonly string[];
  /** Published ports answer on the containers' addresses, too, in the mode "nat": to everybody outside, or to who comes by these interfaces. */
  readonly isReachable?: boolean;
  readonly trusted?: readonly string[];
  readonly families: Readonly<Record<Family, FamilyRules | undefined>>;
}

export interface FamilyRules {
  readonly mode: GatewayMode;
  /** Whether containers go out with an address of the host. */
  readonly masquerade: boolean;
  /** That address, when it is not to be the outgoing interface's. */
  readonly hostIp?: string | undefined;
}

const PROTOCOL = { tcp: 6, udp: 17, sctp: 132 } as const;
const PROTOCOL_NAME = { 6: "tcp", 17: "udp", 132: "sctp" } as const;
/** From so many consecutive ports on, that keep their number, one interval takes the place of single elements. */
const RANGE_MIN = 3;
const IFNAMSIZ = 16;

const FORWARD_SETS = ["ports", "host_ports", "port_ranges", "guarded", "allowed", "direct", "cut"] as const;
const BRIDGE_SETS = [
  ...(["bridges", "own", "talking", "closed", "unprotected", "routed"] as const),
  ...(["reachable", "trusted", "masqueraded", "translated"] as const),
] as const;
type ForwardSet = (typeof FORWARD_SETS)[number];
type BridgeSet = (typeof BRIDGE_SETS)[number];
export type SetName = ForwardSet | BridgeSet;
export type Elements = Partial<Record<SetName, SetElement[]>>;

const pad = (value: number, bytes: number): number[] => (bytes === 1 ? [value, 0, 0, 0] : [value >> 8, value & 255, 0, 0]);

function bytesOf(ip: string): Uint8Array {
  return tryIpBytes(ip) ?? ipBytes(parseIp(ip));
}

/** protocol . port */
function portKey(protocol: PortProtocol, port: number): number[] {
  return [...pad(PROTOCOL[protocol], 1), ...pad(port, 2)];
}

/** address . protocol . port */
function addressKey(address: Uint8Array, protocol: PortProtocol, port: number): Uint8Array {
  return Uint8Array.from([...address, ...portKey(protocol, port)]);
}

const isAny = (ip: string): boolean => ip === "0.0.0.0" || ip === "::";
const familyOf = (ip: string): Family => (ip.includes(":") ? 6 : 4);

/** Which elements of which sets publish those of `forwards` that are of one family. Runs of ports that keep their number become one interval. */
export function forwardElements(forwards: readonly PortForward[], family: Family): Elements {
  const out: Record<ForwardSet, SetElement[]> = {
    ports: [],
    host_ports: [],
    port_ranges: [],
    guarded: [],
    allowed: [],
    direct: [],
    cut: [],
  };
  const all = forwards.filter((f) => familyOf(f.containerIp) === family);
  const own = all.filter((f) => !f.isCut);
  const sorted = own
    .filter((f) => !f.isDirect)
    .sort((a, b) => a.protocol.localeCompare(b.protocol) || a.hostIp.localeCompare(b.hostIp) || a.hostPort - b.hostPort);
  for (let i = 0; i < sorted.length; ) {
    const run = runAt(sorted, i);
    const first = sorted[i];
    if (first === undefined) break;
    if (run >= RANGE_MIN) out.port_ranges.push(rangeElement(first, run));
    else for (const f of sorted.slice(i, i + run)) pushSingle(out, f);
    i += run;
  }
  pushGuards(out, own);
  for (const { protocol, containerIp, containerPort, isCut } of all) {
    if (isCut) out.cut.push({ key: addressKey(bytesOf(containerIp), protocol, containerPort) });
  }
  return out;
}

function runAt(sorted: readonly PortForward[], at: number): number {
  const first = sorted[at];
  if (first === undefined || first.hostPort !== first.containerPort) return 1;
  let n = 1;
  for (let next = sorted[at + n]; next !== undefined; next = sorted[at + n]) {
    const isSame = next.protocol === first.protocol && next.hostIp === first.hostIp && next.containerIp === first.containerIp;
    if (!isSame || next.hostPort !== first.hostPort + n || next.containerPort !== next.hostPort) break;
    n++;
  }
  return n;
}

function rangeElement(first: PortForward, count: number): SetElement {
  const last = first.hostPort + count - 1;
  const from = bytesOf(first.hostIp);
  const to = isAny(first.hostIp) ? from.map(() => 255) : from;
  return {
    key: addressKey(from, first.protocol, first.hostPort),
    keyEnd: addressKey(to, first.protocol, last),
    data: bytesOf(first.containerIp),
  };
}

function pushSingle(out: Record<ForwardSet, SetElement[]>, f: PortForward): void {
  const data = Uint8Array.from([...bytesOf(f.containerIp), ...pad(f.containerPort, 2)]);
  if (isAny(f.hostIp)) out.ports.push({ key: Uint8Array.from(portKey(f.protocol, f.hostPort)), data });
  else out.host_ports.push({ key: addressKey(bytesOf(f.hostIp), f.protocol, f.hostPort), data });
}

/** A container's port that several host ports lead to has one element: its first one's. All of them have the same list. */
function pushGuards(out: Record<ForwardSet, SetElement[]>, forwards: readonly PortForward[]): void {
  const seen = new Set<string>();
  for (const { protocol, containerIp, containerPort, allow, isDirect, isReachable } of forwards) {
    const id = `${containerIp} ${protocol} ${containerPort}`;
    if (seen.has(id)) continue;
    seen.add(id);
    const key = addressKey(bytesOf(containerIp), protocol, containerPort);
    if (isDirect || isReachable) out.direct.push({ key });
    if (allow === undefined) continue;
    out.guarded.push({ key });
    for (const prefix of disjoint(allow.map(parsePrefix))) {
      if (prefix.family !== familyOf(containerIp)) continue;
      const from = ipBytes({ family: prefix.family, value: prefix.network });
      const to = ipBytes({ family: prefix.family, value: lastOf(prefix) });
      out.allowed.push({ key: Uint8Array.from([...from, ...key]), keyEnd: Uint8Array.from([...to, ...key]) });
    }
  }
}

/** The same addresses without networks that are in others: intervals of a set must not overlap. */
export function disjoint(prefixes: readonly Prefix[]): Prefix[] {
  const kept: Prefix[] = [];
  for (const prefix of prefixes.toSorted((a, b) => a.length - b.length)) {
    if (!kept.some((wider) => hasIp(wider, { family: prefix.family, value: prefix.network }))) kept.push(prefix);
  }
  return kept;
}

/** Names of interfaces as the key of a set has them. */
export function nameKey(...names: readonly string[]): Uint8Array {
  const bytes = new Uint8Array(IFNAMSIZ * names.length);
  for (const [index, name] of names.entries()) bytes.set(new TextEncoder().encode(name), index * IFNAMSIZ);
  return bytes;
}

/** Which elements of which sets a bridge has in the table of one family. */
export function bridgeElements(rules: BridgeRules, family: Family): Elements {
  const { name, icc, isInternal, isReachable, trusted = [] } = rules;
  const own = rules.families[family];
  const one = [{ key: nameKey(name) }];
  const pair = [{ key: nameKey(name, name) }];
  const isTranslated = own?.masquerade && !isInternal && (own.mode === "nat" || own.mode === "nat-unprotected");
  return {
    bridges: one,
    own: rules.subnets.map(parsePrefix).flatMap((subnet) => {
      if (subnet.family !== family) return [];
      const edge = (value: bigint): Uint8Array => Uint8Array.from([...nameKey(name), ...ipBytes({ family, value })]);
      return { key: edge(subnet.network), keyEnd: edge(lastOf(subnet)) };
    }),
    ...(icc && { talking: pair }),
    ...(isInternal && { closed: one }),
    ...(own?.mode === "nat-unprotected" && { unprotected: one }),
    ...(own?.mode === "routed" && { routed: one }),
    ...(own?.mode === "nat" && !isInternal && isReachable && { reachable: one }),
    ...(own?.mode === "nat" && !isInternal && { trusted: trusted.map((entrance) => ({ key: nameKey(entrance, name) })) }),
    ...(isTranslated && own.hostIp === undefined && { masqueraded: one }),
    ...(isTranslated && own.hostIp !== undefined && { translated: [{ key: nameKey(name), data: bytesOf(own.hostIp) }] }),
  };
}

const port = (bytes: Uint8Array, at: number): number => ((bytes[at] ?? 0) << 8) | (bytes[at + 1] ?? 0);
export const protocolNumber = (protocol: PortProtocol): number => PROTOCOL[protocol];
/** A protocol's name by its number. */
export const protocolText = (value: number | undefined): string => (value === 17 || value === 132 ? PROTOCOL_NAME[value] : "tcp");

function nameText(key: Uint8Array, at: number): string {
  return JSON.stringify(new TextDecoder().decode(key.subarray(at, at + IFNAMSIZ)).replace(/\0.*$/, ""));
}

/** An element as nft(8) writes it. */
export function elementText(set: SetName, { key, keyEnd, data = new Uint8Array(20) }: SetElement, family: Family): string {
  const size = family === 4 ? 4 : 16;
  const ip = (bytes: Uint8Array, at = 0): string => formatIp(ipOfBytes(bytes.subarray(at, at + size)));
  const place = (at: number): string => `${ip(key, at)} . ${protocolText(key[at + size])} . ${port(key, at + size + 4)}`;
  switch (set) {
    case "ports":
      return `${protocolText(key[0])} . ${port(key, 4)} : ${ip(data)} . ${port(data, size)}`;
    case "host_ports":
      return `${place(0)} : ${ip(data)} . ${port(data, size)}`;
    case "port_ranges": {
      const end = keyEnd ?? key;
      const range = ip(key) === ip(end) ? ip(key) : family === 4 ? "0.0.0.0/0" : "::/0";
      return `${range} . ${protocolText(key[size])} . ${port(key, size + 4)}-${port(end, size + 4)} : ${ip(data)}`;
    }
    case "guarded":
    case "direct":
    case "cut":
      return place(0);
    case "allowed":
      return `${rangeText(key.subarray(0, size), (keyEnd ?? key).subarray(0, size))} . ${place(size)}`;
    case "own": {
      const end = keyEnd ?? key;
      return `${nameText(key, 0)} . ${rangeText(key.subarray(IFNAMSIZ), end.subarray(IFNAMSIZ))}`;
    }
    case "talking":
    case "trusted":
      return `${nameText(key, 0)} . ${nameText(key, IFNAMSIZ)}`;
    case "translated":
      return `${nameText(key, 0)} : ${ip(data)}`;
    default:
      return nameText(key, 0);
  }
}

/** A network from its first and last address, as nft prints it. */
function rangeText(first: Uint8Array, last: Uint8Array): string {
  const from = ipOfBytes(first);
  const count = ipOfBytes(last).value - from.value + 1n;
  const length = first.length * 8 - (count.toString(2).length - 1);
  return count === 1n ? formatIp(from) : formatPrefix({ family: from.family, address: from.value, network: from.value, length });
}
