/**
 * What dhow does for the network of a container beyond docker: a slower network, a list of what the container may reach, and lists of who
 * may reach its published ports. It is asked for by labels, the one thing that every client of the Engine API can set.
 *
 *     dhow.net.rate=10mbit  dhow.net.delay=80ms  dhow.net.jitter=10ms  dhow.net.loss=0.5%
 *     dhow.egress=enforce|learn  dhow.egress.allow=example.org,*.example.net,10.0.0.0/8
 *     dhow.port.5432/tcp.allow=10.0.0.0/8,fd00::/8
 *
 * Only labels of the request count; an image's are no requests. See docs/decisions/0018.
 */
import { isIP } from "node:net";
import { domainToASCII } from "node:url";
import { DhowError, parseDuration } from "../../lib/mod.ts";
import type { ConditionsText } from "./conditions.ts";

export const NET_RATE_LABEL = "dhow.net.rate";
export const NET_DELAY_LABEL = "dhow.net.delay";
export const NET_JITTER_LABEL = "dhow.net.jitter";
export const NET_LOSS_LABEL = "dhow.net.loss";
export const EGRESS_LABEL = "dhow.egress";
export const EGRESS_ALLOW_LABEL = "dhow.egress.allow";

/** The label with the sources that may reach a published port: `5432/tcp`, `8000-8003/udp`. */
export function portAllowLabel(port: string): string {
  return `${PORT_PREFIX}${port}${ALLOW_SUFFIX}`;
}

/** How slow and lossy a container's network is made. */
export interface NetConditions {
  readonly rateBitsPerSecond?: number;
  readonly delayMs?: number;
  /** How far the delay varies around `delayMs`, which is there, too. */
  readonly jitterMs?: number;
  /** 0 to 100 */
  readonly lossPercent?: number;
}

/** What a container may reach. */
export interface EgressPolicy {
  /** `learn` lets everything pass and records what `enforce` would have dropped. */
  readonly mode: "enforce" | "learn";
  /** Lower case, in ASCII, without a dot at the end; `*.example.org` stands for every name below `example.org` and not for itself. */
  readonly domains: readonly string[];
  /** `10.0.0.0/8`, `fd00::/8`: as they were written, host bits included; always with a prefix length. */
  readonly networks: readonly string[];
}

/** Who may reach a published port. */
export interface PortAllow {
  /** The container's port and its protocol: `5432/tcp`. */
  readonly port: string;
  /** As `EgressPolicy.networks`; never empty. */
  readonly sources: readonly string[];
}

/** All that a container's labels ask for. */
export interface NetworkExtensions {
  readonly conditions?: NetConditions;
  readonly egress?: EgressPolicy;
  /** One for each port. */
  readonly portAllows: readonly PortAllow[];
}

const NET_PREFIX = "dhow.net.";
const PORT_PREFIX = "dhow.port.";
const ALLOW_SUFFIX = ".allow";
const NET_LABELS: ReadonlySet<string> = new Set([NET_RATE_LABEL, NET_DELAY_LABEL, NET_JITTER_LABEL, NET_LOSS_LABEL]);
const EGRESS_LABELS: ReadonlySet<string> = new Set([EGRESS_LABEL, EGRESS_ALLOW_LABEL]);

type Labels = Readonly<Record<string, string>>;

/** Whether a label is one of those that this module reads, or looks like one and is not. */
export function isNetworkExtension(label: string): boolean {
  return label.startsWith(NET_PREFIX) || label.startsWith(PORT_PREFIX) || label === EGRESS_LABEL || label.startsWith(`${EGRESS_LABEL}.`);
}

/**
 * What the labels of a request ask for. A label with one of the prefixes that is none of those above is refused: who misspells a
 * restriction has to hear of it.
 * @throws invalid
 */
export function parseNetworkExtensions(labels: Labels | null | undefined): NetworkExtensions {
  const own = Object.entries(labels ?? {}).filter(([key]) => isNetworkExtension(key));
  if (own.length === 0) return { portAllows: [] };
  for (const [key] of own) {
    if (!NET_LABELS.has(key) && !EGRESS_LABELS.has(key) && !isPortLabel(key)) throw invalid(`unknown label ${key}`);
  }
  const conditions = conditionsOf(labels ?? {});
  const egress = egressOf(labels ?? {});
  return {
    ...(conditions && { conditions }),
    ...(egress && { egress }),
    portAllows: portAllowsOf(own.filter(([key]) => isPortLabel(key))),
  };
}

/** Labels that ask for these lists, and for what else the given ones do. */
export function withPortAllows(labels: Labels | null | undefined, portAllows: readonly PortAllow[]): Record<string, string> {
  const others = Object.entries(labels ?? {}).filter(([key]) => !isPortLabel(key));
  return Object.fromEntries([...others, ...portAllows.map(({ port, sources }) => [portAllowLabel(port), sources.join(",")])]);
}

const CONDITION_LABELS: Readonly<Record<keyof ConditionsText, string>> = {
  Rate: NET_RATE_LABEL,
  Delay: NET_DELAY_LABEL,
  Jitter: NET_JITTER_LABEL,
  Loss: NET_LOSS_LABEL,
};

/** Labels that ask for these conditions, and for what else the given ones do; see `ConditionsApi.change` for what is left out or empty. */
export function withConditions(labels: Labels | null | undefined, change: ConditionsText): Record<string, string> {
  const changed: Record<string, string> = { ...labels };
  for (const [key, label] of Object.entries(CONDITION_LABELS) as [keyof ConditionsText, string][]) {
    const text = change[key];
    if (text === "") delete changed[label];
    else if (text !== undefined) changed[label] = text;
  }
  return changed;
}

/** The conditions that labels ask for, as they were written. */
export function conditionsText(labels: Labels | null | undefined): ConditionsText {
  const asked = Object.entries(CONDITION_LABELS).flatMap(([key, label]) => (labels?.[label] === undefined ? [] : [[key, labels[label]]]));
  return Object.fromEntries(asked);
}

/** Labels that ask for this policy, and for what else the given ones do. */
export function withEgress(labels: Labels | null | undefined, { mode, domains, networks }: EgressPolicy): Record<string, string> {
  return { ...labels, [EGRESS_LABEL]: mode, [EGRESS_ALLOW_LABEL]: [...domains, ...networks].join(",") };
}

function isPortLabel(key: string): boolean {
  return key.startsWith(PORT_PREFIX) && key.endsWith(ALLOW_SUFFIX);
}

function conditionsOf(labels: Labels): NetConditions | undefined {
  const value = <T>(key: string, parse: (text: string) => T): T | undefined => {
    const text = labels[key];
    return text === undefined ? undefined : ofLabel(key, () => parse(text));
  };
  const rateBitsPerSecond = value(NET_RATE_LABEL, parseRate);
  const delayMs = value(NET_DELAY_LABEL, parseDelay);
  const jitterMs = value(NET_JITTER_LABEL, parseDelay);
  const lossPercent = value(NET_LOSS_LABEL, parseLoss);
  if (jitterMs !== undefined && delayMs === undefined) throw invalid(`label ${NET_JITTER_LABEL} needs ${NET_DELAY_LABEL}`);
  const conditions: NetConditions = {
    ...(rateBitsPerSecond !== undefined && { rateBitsPerSecond }),
    ...(delayMs !== undefined && { delayMs }),
    ...(jitterMs !== undefined && { jitterMs }),
    ...(lossPercent !== undefined && { lossPercent }),
  };
  return Object.keys(conditions).length > 0 ? conditions : undefined;
}

function egressOf(labels: Labels): EgressPolicy | undefined {
  const mode = labels[EGRESS_LABEL];
  const allow = labels[EGRESS_ALLOW_LABEL];
  if (mode === undefined && allow === undefined) return undefined;
  return {
    mode: mode === undefined ? "enforce" : ofLabel(EGRESS_LABEL, () => parseEgressMode(mode)),
    ...(allow === undefined ? { domains: [], networks: [] } : ofLabel(EGRESS_ALLOW_LABEL, () => parseEgressAllow(allow))),
  };
}

function portAllowsOf(labels: readonly (readonly [string, string])[]): PortAllow[] {
  const found = new Map<string, readonly string[]>();
  for (const [key, value] of labels) {
    const ports = ofLabel(key, () => parsePortRange(key.slice(PORT_PREFIX.length, -ALLOW_SUFFIX.length)));
    const sources = ofLabel(key, () => parseSources(value));
    for (const port of ports) {
      if (found.has(port)) throw invalid(`label ${key}: the port ${port} has another such label`);
      found.set(port, sources);
    }
  }
  return [...found].map(([port, sources]) => ({ port, sources }));
}

function ofLabel<T>(key: string, parse: () => T): T {
  try {
    return parse();
  } catch (cause) {
    throw invalid(`invalid label ${key}: ${(cause as Error).message}`, cause);
  }
}

function invalid(message: string, cause?: unknown): DhowError {
  return new DhowError("invalid", message, cause === undefined ? {} : { cause });
}

const RATE_PREFIXES = ["", "k", "m", "g", "t"];
/** What a 64-bit number of bytes per second holds is more; a JavaScript number counts exactly up to here. */
const MAX_RATE = Number.MAX_SAFE_INTEGER;

/** Bits per second: `10mbit`, `1.5gbit`, `512kibit`, `9600bit`. @throws invalid @see tc(8), PARAMETERS: RATES */
export function parseRate(text: string): number {
  const match = /^(\d+(?:\.\d+)?)([kmgt]?)(i?)bit$/i.exec(text);
  const [, number = "", prefix = "", binary = ""] = match ?? [];
  const rate = Math.round(Number(number) * (binary === "" ? 1000 : 1024) ** RATE_PREFIXES.indexOf(prefix.toLowerCase()));
  if (!match || (prefix === "" && binary !== "") || rate < 1 || rate > MAX_RATE) {
    throw invalid(`invalid rate ${JSON.stringify(text)}: must be bits per second above zero, such as 10mbit`);
  }
  return rate;
}

/** No packet is kept longer. */
const MAX_DELAY_MS = 60_000;

/** Milliseconds: `80ms`, `1.5s`. @throws invalid */
export function parseDelay(text: string): number {
  const ns = parseDuration(text);
  const ms = Number(ns) / 1e6;
  if (ns === undefined || ms < 0 || ms > MAX_DELAY_MS) {
    throw invalid(`invalid delay ${JSON.stringify(text)}: must be a duration of at most 1m, such as 80ms`);
  }
  return ms;
}

/** Percent: `1%`, `0.05%`. @throws invalid */
export function parseLoss(text: string): number {
  const match = /^(\d+(?:\.\d+)?)%$/.exec(text);
  const percent = Number(match?.[1]);
  if (!match || percent > 100) throw invalid(`invalid loss ${JSON.stringify(text)}: must be a percentage, such as 1%`);
  return percent;
}

/** @throws invalid */
export function parseEgressMode(text: string): EgressPolicy["mode"] {
  if (text !== "enforce" && text !== "learn") throw invalid(`invalid mode ${JSON.stringify(text)}: must be enforce or learn`);
  return text;
}

/** The items of a list at commas; spaces around them don't count. @throws invalid for an item without text */
function items(text: string): string[] {
  if (text.trim() === "") return [];
  const list = text.split(",").map((item) => item.trim());
  if (list.includes("")) throw invalid(`empty item in ${JSON.stringify(text)}`);
  return list;
}

/** `example.org,*.example.net,10.0.0.0/8,192.0.2.1`; nothing allows nothing. @throws invalid */
export function parseEgressAllow(text: string): Pick<EgressPolicy, "domains" | "networks"> {
  const domains = new Set<string>();
  const networks = new Set<string>();
  for (const item of items(text)) {
    if (looksLikeAddress(item)) networks.add(parseSource(item));
    else domains.add(parseDomain(item));
  }
  return { domains: [...domains], networks: [...networks] };
}

/** Digits and dots alone, or what only an address has: nobody means a domain by a mistyped address. */
function looksLikeAddress(item: string): boolean {
  return /[:/]/.test(item) || /^[\d.]+$/.test(item);
}

const LABEL = /^[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?$/;
const MAX_DOMAIN_LENGTH = 253;

/** A host name, or `*.` and one. */
function parseDomain(text: string): string {
  const isWild = text.startsWith("*.");
  const written = text.slice(isWild ? 2 : 0).replace(/\.$/, "");
  const name = /^[\x21-\x7e]*$/.test(written) ? written.toLowerCase() : domainToASCII(written);
  if (name === "" || name.length > MAX_DOMAIN_LENGTH || !name.split(".").every((label) => LABEL.test(label))) {
    throw invalid(`invalid destination ${JSON.stringify(text)}: must be a domain, *.domain, an address or a network in CIDR form`);
  }
  return isWild ? `*.${name}` : name;
}

/** `10.0.0.0/8,192.0.2.1`: who may come in. @throws invalid */
export function parseSources(text: string): string[] {
  const sources = new Set(items(text).map(parseSource));
  if (sources.size === 0) throw invalid("no address or network is given");
  return [...sources];
}

/** An address or a network; an address gets its full prefix length. */
function parseSource(text: string): string {
  const [address = "", length, ...more] = text.split("/");
  const bits = { 0: 0, 4: 32, 6: 128 }[isIP(address)] ?? 0;
  const isLength = length === undefined || (/^(0|[1-9]\d*)$/.test(length) && Number(length) <= bits);
  if (bits === 0 || address.includes("%") || !isLength || more.length > 0) {
    throw invalid(`invalid address ${JSON.stringify(text)}: must be an address or a network in CIDR form`);
  }
  return `${address.toLowerCase()}/${length ?? bits}`;
}

const MAX_PORT = 65535;

/** The ports of `5432`, `5432/tcp`, `8000-8003/udp`. */
function parsePortRange(text: string): string[] {
  const match = /^(\d+)(?:-(\d+))?(?:\/(tcp|udp|sctp))?$/.exec(text);
  const first = Number(match?.[1]);
  const last = Number(match?.[2] ?? match?.[1]);
  if (!match || first < 1 || last > MAX_PORT || last < first) {
    throw invalid(`invalid port ${JSON.stringify(text)}: must be PORT[-PORT][/PROTOCOL], such as 5432/tcp`);
  }
  return Array.from({ length: last - first + 1 }, (_, i) => `${first + i}/${match[3] ?? "tcp"}`);
}
