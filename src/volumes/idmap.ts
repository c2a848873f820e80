import { DhowError } from "../lib/mod.ts";
import type { IdMaps, Owner } from "../linux/mod.ts";

/**
 * Which owners a bind mount shows, so that files of one user on the host's disk are another's in the container:
 *
 *     match-user                              who owns the source is the container's user there, and the other way round
 *     uids=DISK-SHOWN-COUNT[#…][#gids=…]      ids from DISK on are shown as ids from SHOWN on, as podman and crun write it
 *
 * Ids that an explicit mapping doesn't name are nobody's; without `gids=` groups stay as they are.
 */
export type IdMapping =
  | { readonly kind: "match-user" }
  | { readonly kind: "ranges"; readonly uids: readonly Range[]; readonly gids: readonly Range[] };

/** `count` ids from `disk` on are shown as those from `shown` on. */
export interface Range {
  readonly disk: number;
  readonly shown: number;
  readonly count: number;
}

/** The label that says it where a client has no other way: `/data=match-user /src=uids=0-1000-1`. */
export const IDMAP_LABEL = "dhow.mount.idmap";
/** What an id can be: the last one is (uid_t)-1. */
const ID_COUNT = 0xffffffff;
const MAX_RANGES = 340;

function refuse(text: string, reason: string): never {
  throw new DhowError("invalid", `invalid idmap ${JSON.stringify(text)}: ${reason}`);
}

function parseRange(part: string, text: string): Range {
  const match = /^(\d+)-(\d+)-(\d+)$/.exec(part);
  if (!match) refuse(text, `${JSON.stringify(part)} is not DISK-SHOWN-COUNT`);
  const [disk = 0, shown = 0, count = 0] = match.slice(1).map(Number);
  if (count === 0 || disk + count > ID_COUNT || shown + count > ID_COUNT) refuse(text, `${JSON.stringify(part)} is out of range`);
  return { disk, shown, count };
}

function checkOverlaps(ranges: readonly Range[], text: string): void {
  if (ranges.length > MAX_RANGES) refuse(text, `more than ${MAX_RANGES} ranges`);
  for (const key of ["disk", "shown"] as const) {
    const sorted = ranges.toSorted((a, b) => a[key] - b[key]);
    sorted.forEach((range, i) => {
      const next = sorted[i + 1];
      if (next && range[key] + range.count > next[key]) refuse(text, "ranges overlap");
    });
  }
}

/** Reads the value of an `idmap` option. @throws invalid */
export function parseIdMapping(text: string): IdMapping {
  if (text === "" || text === "match-user") return { kind: "match-user" };
  const found: Record<"uids" | "gids", Range[]> = { uids: [], gids: [] };
  let key: "uids" | "gids" | undefined;
  for (const part of text.split(/[#;]/)) {
    const named = /^(uids|gids)=(.*)$/.exec(part);
    if (named) key = named[1] === "uids" ? "uids" : "gids";
    if (key === undefined) refuse(text, 'want match-user, or "uids=" and "gids=" with DISK-SHOWN-COUNT');
    found[key].push(parseRange(named?.[2] ?? part, text));
  }
  for (const ranges of [found.uids, found.gids]) checkOverlaps(ranges, text);
  return { kind: "ranges", ...found };
}

/** Reads the label's mappings by destination. @throws invalid */
export function parseIdmapLabel(text: string): ReadonlyMap<string, string> {
  const found = new Map<string, string>();
  for (const entry of text.split(/\s+/).filter(Boolean)) {
    const at = entry.indexOf("=");
    const destination = at < 0 ? entry : entry.slice(0, at);
    if (!destination.startsWith("/"))
      throw new DhowError("invalid", `invalid label ${IDMAP_LABEL}: ${JSON.stringify(entry)} is not /destination=idmap`);
    const mapping = at < 0 ? "match-user" : entry.slice(at + 1);
    parseIdMapping(mapping);
    found.set(destination, mapping);
  }
  return found;
}

const EVERYBODY: Range = { disk: 0, shown: 0, count: ID_COUNT };

/** Everybody is who he is, but for these two, who are each other. */
function swapped(a: number, b: number): Range[] {
  if (a === b) return [EVERYBODY];
  const [low, high] = a < b ? [a, b] : [b, a];
  const same = (from: number, to: number): Range[] => (to > from ? [{ disk: from, shown: from, count: to - from }] : []);
  return [
    ...same(0, low),
    { disk: low, shown: high, count: 1 },
    ...same(low + 1, high),
    { disk: high, shown: low, count: 1 },
    ...same(high + 1, ID_COUNT),
  ];
}

/**
 * The maps of a user namespace that shows a mount so. `source` owns the mounted directory, `user` is the container's user. @see mount_setattr(2) "ID-mapped mounts": an id on the disk is one inside that namespace
 */
export function idMapsOf(mapping: IdMapping, source: Owner, user: Owner): IdMaps {
  const ranges =
    mapping.kind === "match-user"
      ? { uids: swapped(source.uid, user.uid), gids: swapped(source.gid, user.gid) }
      : { uids: mapping.uids.length > 0 ? mapping.uids : [EVERYBODY], gids: mapping.gids.length > 0 ? mapping.gids : [EVERYBODY] };
  const lines = (list: readonly Range[]): string => list.map(({ disk, shown, count }) => `${disk} ${shown} ${count}\n`).join("");
  return { uidMap: lines(ranges.uids), gidMap: lines(ranges.gids) };
}
