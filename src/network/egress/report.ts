import type { ListedElement } from "../../linux/mod.ts";
import type { EgressPolicy } from "../../spec/engine/mod.ts";
import { type Family, formatIp, ipOfBytes } from "../ip.ts";
import { RECORD_MS } from "./egress-table.ts";
import type { RefusedName } from "./refused.ts";

/** A destination that a policy denied, or would have. */
export interface DeniedDestination {
  readonly address: string;
  /** An IP protocol's number. */
  readonly protocol: number;
  /** 0 for protocols without ports. */
  readonly port: number;
  /** By which the container had the address looked up. */
  readonly names: readonly string[];
  readonly packets: number;
  /** In ms since 1970. */
  readonly lastAt: number;
}

/** An address that is open because of a name. */
export interface OpenName {
  readonly names: readonly string[];
  readonly address: string;
  readonly expiresMs: number;
}

/** What a container did under its policy. */
export interface EgressReport {
  readonly policy: EgressPolicy;
  /** Packets that it sent beyond its own networks' bridges, and those of them that were denied. */
  readonly packets: number;
  readonly deniedPackets: number;
  readonly open: readonly OpenName[];
  /** The last one first. */
  readonly denied: readonly DeniedDestination[];
  readonly refused: readonly RefusedName[];
}

export interface ReportInput {
  readonly policy: EgressPolicy;
  readonly addresses: readonly string[];
  readonly refused: readonly RefusedName[];
  readonly list: (set: string) => readonly ListedElement[];
}

interface Row {
  readonly source: string;
  /** What follows the source. */
  readonly rest: Uint8Array;
  readonly element: ListedElement;
}

/** Reads what the kernel has counted of a container. */
export function readReport({ policy, addresses, refused, list }: ReportInput): EgressReport {
  const rows = (set: string, family: Family): Row[] => {
    const size = family === 4 ? 4 : 16;
    return list(`${set}${family}`)
      .map((element) => ({ source: addressAt(element.key, 0, size), rest: element.key.subarray(size), element }))
      .filter(({ source }) => addresses.includes(source));
  };
  const both = <T>(read: (family: Family) => readonly T[]): T[] => [...read(4), ...read(6)];
  const count = (set: string): number => both((family) => rows(set, family)).reduce((sum, { element }) => sum + element.packets, 0);
  const named = (set: string): OpenName[] =>
    both((family) => rows(set, family)).map(({ rest, element }) => ({
      names: element.comment?.split(" ") ?? [],
      address: addressAt(rest, 0, rest.length),
      expiresMs: element.expiresMs ?? 0,
    }));
  const open = named("names");
  const namesOf = namesByAddress([...open, ...named("seen")]);
  const denied = both((family) => [...rows("denied", family), ...rows("denied_other", family)]).map(({ source, rest, element }) =>
    destination(source.includes(":") ? 16 : 4, rest, { element, namesOf }),
  );
  return {
    policy,
    packets: count("policed"),
    deniedPackets: count("denials"),
    open: distinct(open),
    denied: merged(denied).sort((a, b) => b.lastAt - a.lastAt),
    refused: refused.toReversed(),
  };
}

function addressAt(bytes: Uint8Array, at: number, size: number): string {
  return formatIp(ipOfBytes(bytes.subarray(at, at + size)));
}

function namesByAddress(open: readonly OpenName[]): (address: string) => readonly string[] {
  const found = new Map<string, Set<string>>();
  for (const { address, names } of open) found.set(address, new Set([...(found.get(address) ?? []), ...names]));
  return (address) => [...(found.get(address) ?? [])];
}

function destination(
  size: number,
  rest: Uint8Array,
  { element, namesOf }: { readonly element: ListedElement; readonly namesOf: (address: string) => readonly string[] },
): DeniedDestination {
  const address = addressAt(rest, 0, size);
  const [high = 0, low = 0] = rest.subarray(size + 4);
  return {
    address,
    protocol: rest[size] ?? 0,
    port: (high << 8) | low,
    names: namesOf(address),
    packets: element.packets,
    lastAt: Date.now() - (RECORD_MS - (element.expiresMs ?? 0)),
  };
}

/** A container with several addresses may have tried one destination from more of them than one. */
function merged(all: readonly DeniedDestination[]): DeniedDestination[] {
  const found = new Map<string, DeniedDestination>();
  for (const one of all) {
    const key = `${one.address} ${one.protocol} ${one.port}`;
    const known = found.get(key);
    found.set(key, known ? { ...one, packets: known.packets + one.packets, lastAt: Math.max(known.lastAt, one.lastAt) } : one);
  }
  return [...found.values()];
}

function distinct(open: readonly OpenName[]): OpenName[] {
  return [...new Map(open.map((one) => [one.address, one])).values()];
}
