import type { ListedElement, SetChange } from "../../linux/mod.ts";
import { type Family, formatIp, hasIp, type Ip, ipBytes, ipOfBytes, parseIp, parsePrefix } from "../ip.ts";
import { isMetadata } from "./egress-table.ts";

const MAX_COMMENT_BYTES = 250;
const MAX_COMMENT_NAMES = 8;

/** What a name never stands for, whoever says so: the daemon's host and its neighbours on the wire. */
const NEVER_NAMED = ["0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/3", "::/127", "fe80::/10", "ff00::/8", "::ffff:0:0/96"].map(
  parsePrefix,
);

/** An address that a container came to know by names. */
export interface Opened {
  /** `names`: by those of its list, which is why it may reach it; `seen`: by others, so that a report can tell them. */
  readonly set: "names" | "seen";
  readonly address: string;
  readonly names: ReadonlySet<string>;
  /** In ms since 1970. */
  readonly until: number;
}

const familyOf = (ip: string): Family => (ip.includes(":") ? 6 : 4);

/** Whether a name may stand for an address. */
export function canBeNamed(ip: Ip): boolean {
  return !NEVER_NAMED.some((prefix) => hasIp(prefix, ip)) && !isMetadata(formatIp(ip));
}

/** Tells one of a container from its others. */
export function openedKey({ set, address }: Pick<Opened, "set" | "address">): string {
  return `${set} ${address}`;
}

/** What keeps addresses open for a container with the addresses `sources`, or no longer. */
export function openedChanges(opened: Iterable<Opened>, sources: readonly string[], isOpen: boolean): SetChange[] {
  return [...opened].flatMap(({ set, address, names, until }): SetChange[] => {
    const family = familyOf(address);
    const from = sources.filter((source) => familyOf(source) === family);
    if (from.length === 0) return [];
    const timeoutMs = Math.max(until - Date.now(), 1000);
    const destination = ipBytes(parseIp(address));
    const key = (source: string): Uint8Array => Uint8Array.from([...ipBytes(parseIp(source)), ...destination]);
    const elements = from.map((source) => ({ key: key(source), timeoutMs, comment: commentOf(names) }));
    // before Linux 6.12 the time of an element that is there can't be changed; what is put first can be deleted, there or not
    const verbs = isOpen ? (["put", "delete", "put"] as const) : (["put", "delete"] as const);
    return verbs.map((verb) => ({ verb, set: `${set}${family}`, elements }));
  });
}

/** Reads an element of one of the sets; undefined: it is of none of `sources`. */
export function readOpened(
  set: Opened["set"],
  { key, expiresMs, comment }: ListedElement,
  sources: ReadonlySet<string>,
): Opened | undefined {
  const half = key.length / 2;
  const text = (bytes: Uint8Array): string => formatIp(ipOfBytes(bytes));
  if (!sources.has(text(key.subarray(0, half)))) return undefined;
  return { set, address: text(key.subarray(half)), names: new Set(comment?.split(" ")), until: Date.now() + (expiresMs ?? 0) };
}

/** The last names, as many as fit. */
function commentOf(names: ReadonlySet<string>): string {
  let text = "";
  for (const name of [...names].slice(-MAX_COMMENT_NAMES)) {
    const longer = text === "" ? name : `${text} ${name}`;
    if (Buffer.byteLength(longer) <= MAX_COMMENT_BYTES) text = longer;
  }
  return text;
}

/** Whether anything was. */
export function forgetExpired(opened: Map<string, Opened>): boolean {
  const before = opened.size;
  for (const [key, { until }] of opened) if (until < Date.now()) opened.delete(key);
  return opened.size < before;
}
