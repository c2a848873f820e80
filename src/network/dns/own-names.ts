import { type AnswerRecord, encodeName, type Query, TYPE } from "./message.ts";
import type { NameSource } from "./types.ts";

/** Seconds that an answer may be kept: docker's. Few clients keep any, and those ask again when a connection fails. */
const TTL_SECONDS = 600;
const V4_SUFFIX = ".in-addr.arpa";
const V6_SUFFIX = ".ip6.arpa";
const V4_LABELS = 4;
const V6_LABELS = 32;

/** The records that answer a query for a name or an address of ours, none for other types than there are; undefined: not ours. */
export function ownRecords(query: Query, names: NameSource): readonly AnswerRecord[] | undefined {
  if (!query.isInternet || query.name === "") return undefined;
  const { name, type } = query;
  if (name.endsWith(".arpa")) return reverseRecords(name, type, names);
  if (type === TYPE.A || type === TYPE.AAAA) {
    const addresses = names.lookup(name, type === TYPE.A ? 4 : 6);
    return addresses && shuffled(addresses).map((data) => ({ type, ttl: TTL_SECONDS, data }));
  }
  // a name of ours has no other records; who asks elsewhere would be told that there is no such name
  return names.lookup(name, 4) === undefined && names.lookup(name, 6) === undefined ? undefined : [];
}

function reverseRecords(name: string, type: number, names: NameSource): readonly AnswerRecord[] | undefined {
  const address = reverseAddress(name);
  const host = address && names.reverse(address);
  if (host === undefined) return undefined;
  const data = encodeName(host);
  return type === TYPE.PTR && data !== undefined ? [{ type, ttl: TTL_SECONDS, data }] : [];
}

/** The address that `4.3.2.1.in-addr.arpa`, or its like of 32 hex digits below `ip6.arpa`, stands for. */
export function reverseAddress(name: string): Uint8Array | undefined {
  if (name.endsWith(V4_SUFFIX)) {
    const labels = name.slice(0, -V4_SUFFIX.length).split(".");
    if (labels.length !== V4_LABELS || !labels.every((label) => /^\d{1,3}$/.test(label) && Number(label) < 256)) return undefined;
    return Uint8Array.from(labels.reverse(), Number);
  }
  if (!name.endsWith(V6_SUFFIX)) return undefined;
  const digits = name.slice(0, -V6_SUFFIX.length).split(".");
  if (digits.length !== V6_LABELS || !digits.every((digit) => /^[\da-f]$/.test(digit))) return undefined;
  return Uint8Array.from(Buffer.from(digits.reverse().join(""), "hex"));
}

/** The same in random order, so that clients, which take the first, spread. */
function shuffled<T>(list: readonly T[]): readonly T[] {
  if (list.length < 2) return list;
  const ranked = list.map((item) => ({ item, rank: Math.random() }));
  return ranked.sort((a, b) => a.rank - b.rank).map(({ item }) => item);
}
