import { type Family, lastOf, parsePrefix, tryParseIp } from "./ip.ts";
import type { PortProtocol } from "./port-specs.ts";
import { isObject, type NftObject, type NftValue, type Ruleset } from "./ruleset.ts";

/** What is known of whether something holds: `source` says that it depends on who sends the packet, in a way that was not told apart. */
export type Truth = "yes" | "no" | "maybe";

/** Addresses from the first to the last. */
export interface AddressRange {
  readonly family: Family;
  readonly first: bigint;
  readonly last: bigint;
}

/** The first packet of a connection, as far as it is known; undefined: not known. */
export interface ProbePacket {
  readonly family: Family;
  readonly protocol: PortProtocol;
  readonly inInterface: string | undefined;
  readonly outInterface: string | undefined;
  /** All of its senders are here; a rule that tells some of them from others can't be told. */
  readonly source: AddressRange | undefined;
  readonly destination: bigint | undefined;
  readonly destinationPort: number;
  /** Its destination is an address of this host. */
  readonly isLocal: boolean;
  /** Its destination has been translated. */
  readonly isTranslated: boolean;
}

/** Where a rule is: what names of sets mean there. */
export interface MatchPlace {
  readonly ruleset: Ruleset;
  /** `family table` */
  readonly table: string;
  /** The rule as it is printed, for what iptables-nft put into it. */
  readonly text: string;
}

const not = (truth: Truth): Truth => (truth === "yes" ? "no" : truth === "no" ? "yes" : "maybe");

export function any(truths: Iterable<Truth>): Truth {
  let result: Truth = "no";
  for (const truth of truths) {
    if (truth === "yes") return "yes";
    if (truth === "maybe") result = "maybe";
  }
  return result;
}

export function all(truths: Iterable<Truth>): Truth {
  let result: Truth = "yes";
  for (const truth of truths) {
    if (truth === "no") return "no";
    if (truth === "maybe") result = "maybe";
  }
  return result;
}

const is = (holds: boolean): Truth => (holds ? "yes" : "no");

/** Whether a `match` of a rule holds for a packet. */
export function matches({ op, left, right }: NftObject, packet: ProbePacket, place: MatchPlace): Truth {
  const mask = flagMask(left ?? null);
  if (mask !== undefined) return flagsMatch({ mask, op: op ?? null, wanted: flagNames(right ?? null) }, packet);
  const holds = compare(left ?? null, right ?? null, packet, place);
  if (op === "==" || op === "in") return holds;
  if (op === "!=") {
    // of a packet of another kind nothing is said at all
    return isOfKind(left ?? null, packet) ? not(holds) : "no";
  }
  return isOfKind(left ?? null, packet) ? "maybe" : "no";
}

/** What is looked at of a TCP header's flags; undefined: it is about something else. */
function flagMask(left: NftValue): readonly string[] | undefined {
  if (!isObject(left) || !Array.isArray(left["&"])) return undefined;
  const [of, mask] = left["&"];
  if (of === undefined || !isObject(of) || !isObject(of["payload"])) return undefined;
  const { protocol, field } = of["payload"];
  return protocol === "tcp" && field === "flags" ? flagNames(mask ?? null) : undefined;
}

/** `"syn"`, `["syn", "ack"]` or `{"|": ["syn", "ack"]}`, by nft's version. */
function flagNames(value: NftValue): readonly string[] {
  if (isObject(value)) return Array.isArray(value["|"]) ? value["|"].flatMap(flagNames) : [];
  return (Array.isArray(value) ? value : [value]).map(String);
}

/** The first packet of a connection has SYN, and none of the others but those of ECN, which it may have. */
function flagsMatch(
  { mask, op, wanted }: { readonly mask: readonly string[]; readonly op: NftValue; readonly wanted: readonly string[] },
  { protocol }: ProbePacket,
): Truth {
  if (protocol !== "tcp") return "no";
  if (mask.some((flag) => flag === "ecn" || flag === "cwr") || (op !== "==" && op !== "!=")) return "maybe";
  const isSame = mask.every((flag) => (flag === "syn") === wanted.includes(flag)) && wanted.every((flag) => mask.includes(flag));
  return is(op === "==" ? isSame : !isSame);
}

/** Elements of what the right side of a comparison, or a set of it, stands for. */
export function elementsOf(right: NftValue, { ruleset, table }: MatchPlace): readonly NftValue[] | undefined {
  if (typeof right === "string" && right.startsWith("@")) return ruleset.sets.get(`${table} ${right.slice(1)}`);
  if (isObject(right) && Array.isArray(right["set"])) return right["set"];
  return Array.isArray(right) ? right : [right];
}

function compare(left: NftValue, right: NftValue, packet: ProbePacket, place: MatchPlace): Truth {
  const elements = elementsOf(right, place);
  if (elements === undefined) return "maybe";
  return any(elements.map((element) => equals(left, element, packet)));
}

/** Whether what a packet has at `left` is an element. */
export function equals(left: NftValue, element: NftValue, packet: ProbePacket): Truth {
  if (!isObject(left)) return "maybe";
  const { concat } = left;
  if (Array.isArray(concat)) {
    const parts = isObject(element) && Array.isArray(element["concat"]) ? element["concat"] : undefined;
    return parts === undefined ? "maybe" : all(concat.map((part, index) => equals(part, parts[index] ?? null, packet)));
  }
  const { meta, payload, ct, fib } = left;
  if (isObject(meta)) return metaIs(String(meta["key"]), element, packet);
  if (isObject(payload)) return payloadIs(payload, element, packet);
  if (isObject(ct)) return trackIs(String(ct["key"]), element, packet);
  if (isObject(fib)) return routeIs(fib, element, packet);
  return "maybe";
}

const PROTOCOLS: Readonly<Record<string, string>> = { "6": "tcp", "17": "udp", "132": "sctp" };

function protocolIs(element: NftValue, { protocol }: ProbePacket): Truth {
  const wanted = String(element);
  return is((PROTOCOLS[wanted] ?? wanted) === protocol);
}

function nameIs(name: string | undefined, element: NftValue): Truth {
  if (name === undefined || typeof element !== "string") return "maybe";
  return is(element.endsWith("*") ? name.startsWith(element.slice(0, -1)) : name === element);
}

function metaIs(key: string, element: NftValue, packet: ProbePacket): Truth {
  const isV4 = packet.family === 4;
  switch (key) {
    case "iifname":
    case "iif":
      return nameIs(packet.inInterface, element);
    case "oifname":
    case "oif":
      return nameIs(packet.outInterface, element);
    case "l4proto":
      return protocolIs(element, packet);
    case "nfproto":
      return is(element === (isV4 ? "ipv4" : "ipv6"));
    case "protocol":
      return is(element === (isV4 ? "ip" : "ip6"));
    default:
      return "maybe";
  }
}

function payloadIs({ protocol, field }: NftObject, element: NftValue, packet: ProbePacket): Truth {
  if (!isOfProtocol(String(protocol), packet)) return "no";
  const { source, destination, destinationPort } = packet;
  switch (field) {
    case "saddr":
      return source === undefined ? "maybe" : inRange(source, element);
    case "daddr":
      if (destination !== undefined) return inRange({ family: packet.family, first: destination, last: destination }, element);
      return packet.isLocal && isOfLoopback(element) ? "no" : "maybe";
    case "protocol":
    case "nexthdr":
      return protocolIs(element, packet);
    case "dport":
      return portIs(destinationPort, element);
    default:
      return "maybe";
  }
}

/** No packet from elsewhere goes to the loopback, and one whose destination isn't known is one from elsewhere. */
function isOfLoopback(element: NftValue): boolean {
  const range = rangeOf(element);
  if (range === undefined) return false;
  return range.family === 4 ? range.first >> 24n === 127n && range.last >> 24n === 127n : range.first === 1n && range.last === 1n;
}

function isOfProtocol(name: string, { family, protocol }: ProbePacket): boolean {
  if (name === "ip") return family === 4;
  if (name === "ip6") return family === 6;
  return name === "th" || name === protocol;
}

/** Whether the packet has what is compared at all. */
function isOfKind(left: NftValue, packet: ProbePacket): boolean {
  if (!isObject(left)) return true;
  if (Array.isArray(left["concat"])) return left["concat"].every((part) => isOfKind(part, packet));
  return !isObject(left["payload"]) || isOfProtocol(String(left["payload"]["protocol"]), packet);
}

function portIs(port: number, element: NftValue): Truth {
  if (typeof element === "number") return is(element === port);
  if (isObject(element) && Array.isArray(element["range"])) {
    const [first, last] = element["range"].map(Number);
    return is(first !== undefined && last !== undefined && first <= port && port <= last);
  }
  return "maybe";
}

/** An address, network or range of an element. */
export function rangeOf(element: NftValue): AddressRange | undefined {
  if (typeof element === "string") {
    if (element.includes("/")) return prefixRange(element);
    const ip = tryParseIp(element);
    return ip && { family: ip.family, first: ip.value, last: ip.value };
  }
  if (!isObject(element)) return undefined;
  const { prefix, range } = element;
  if (isObject(prefix)) return prefixRange(`${prefix["addr"]}/${prefix["len"]}`);
  if (!Array.isArray(range)) return undefined;
  const [first, last] = range.map((text) => tryParseIp(String(text)));
  return first && last && { family: first.family, first: first.value, last: last.value };
}

function prefixRange(text: string): AddressRange | undefined {
  try {
    const prefix = parsePrefix(text);
    return { family: prefix.family, first: prefix.network, last: lastOf(prefix) };
  } catch {
    return undefined;
  }
}

function inRange(addresses: AddressRange, element: NftValue): Truth {
  const range = rangeOf(element);
  if (range === undefined) return "maybe";
  if (range.family !== addresses.family || range.last < addresses.first || addresses.last < range.first) return "no";
  return range.first <= addresses.first && addresses.last <= range.last ? "yes" : "maybe";
}

/** The first packet of a connection is new, whatever else it is. */
function trackIs(key: string, element: NftValue, { isTranslated }: ProbePacket): Truth {
  if (key === "state") return is(element === "new");
  if (key === "direction") return is(element === "original" || element === 0);
  if (key === "status") return element === "dnat" ? is(isTranslated) : element === "snat" || element === "seen-reply" ? "no" : "maybe";
  return "maybe";
}

function routeIs({ result, flags }: NftObject, element: NftValue, { isLocal }: ProbePacket): Truth {
  const of = Array.isArray(flags) ? flags : [flags ?? null];
  if (result === "type" && of.includes("daddr")) return element === "local" ? is(isLocal) : "maybe";
  // where answers would go another way: those senders are none that a port is published for
  if (result === "oif" && of.includes("saddr")) return element === false ? "no" : "maybe";
  return "maybe";
}

/** Whether an extension of iptables holds that iptables-nft left in a rule; nft prints those that it knows in its own words. */
export function extensionMatches(name: string, packet: ProbePacket, { text }: MatchPlace): Truth {
  if (name === "comment") return "yes";
  if (name === "conntrack" || name === "state") {
    const state = /\bct state (!= )?([a-z,]+)/.exec(text);
    if (!state) return "maybe";
    const isNew = is((state[2] ?? "").split(",").includes("new"));
    return state[1] === undefined ? isNew : not(isNew);
  }
  if (name === "multiport") {
    const found = /\b(?:tcp|udp|sctp|th) dport (!= )?(?:\{ ([^}]*) \}|(\S+))/.exec(text);
    if (!found) return "maybe";
    const elements = (found[2] ?? found[3] ?? "").split(",").map((part) => part.trim().split("-").map(Number));
    const holds = is(elements.some(([first = 0, last = first]) => first <= packet.destinationPort && packet.destinationPort <= last));
    return found[1] === undefined ? holds : not(holds);
  }
  if (name === "addrtype") {
    const found = /\bfib daddr type (!= )?local\b/.exec(text);
    if (!found) return "maybe";
    return found[1] === undefined ? is(packet.isLocal) : is(!packet.isLocal);
  }
  return "maybe";
}

/** The last address of a family. */
export const LAST: Readonly<Record<Family, bigint>> = { 4: (1n << 32n) - 1n, 6: (1n << 128n) - 1n };
