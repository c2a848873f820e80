import { readFileSync } from "node:fs";
import { DhowError, errnoCode } from "../../lib/mod.ts";
import type { OciIdMapping } from "../../spec/oci-runtime/mod.ts";

/** Ids of the host that somebody may use for user namespaces: `size` of them from `start` on. */
export interface IdRange {
  readonly start: number;
  readonly size: number;
}

/** A line of /etc/subuid or /etc/subgid. */
export interface SubordinateIds extends IdRange {
  /** A user's name, or the text of its uid. */
  readonly owner: string;
}

const MAX_ID = 4294967295;

/**
 * Reads the text of a file like /etc/subuid, as dockerd does: lines of `name:start:count`, empty lines and comments left out.
 * @throws invalid for another line
 * @see subuid(5)
 */
export function parseSubordinateIds(text: string, path: string): SubordinateIds[] {
  const ranges: SubordinateIds[] = [];
  for (const line of text.split("\n")) {
    const trimmed = line.trim();
    if (trimmed === "" || trimmed.startsWith("#")) continue;
    const [owner = "", start = "", size = "", ...more] = trimmed.split(":");
    if (size === "" || more.length > 0) {
      throw new DhowError("invalid", `cannot parse subuid/gid information: Format not correct for ${path} file`);
    }
    ranges.push({ owner, start: idOf(start, path), size: idOf(size, path) });
  }
  return ranges;
}

function idOf(text: string, path: string): number {
  const id = Number(text);
  if (/^\d+$/.test(text) && id <= MAX_ID) return id;
  throw new DhowError("invalid", `String to int conversion failed during subuid/gid parsing of ${path}: ${JSON.stringify(text)}`);
}

/** The ranges in the file at `path`; none when it is missing. @throws invalid */
export function readSubordinateIds(path: string): SubordinateIds[] {
  try {
    return parseSubordinateIds(readFileSync(path, "utf8"), path);
  } catch (error) {
    if (errnoCode(error) === "ENOENT") return [];
    throw error;
  }
}

/** Maps ids from 0 on to ranges, one after the other. */
export function mapInOrder(ranges: readonly IdRange[]): OciIdMapping[] {
  let containerID = 0;
  return ranges.map(({ start, size }) => {
    const mapping = { containerID, hostID: start, size };
    containerID += size;
    return mapping;
  });
}

/** The first id from `start` on where `size` ids lie in none of `taken`. */
export function firstFreeId(taken: readonly IdRange[], size: number, start: number): number {
  let id = start;
  for (const range of [...taken].sort((a, b) => a.start - b.start)) {
    if (id < range.start + range.size && range.start < id + size) id = range.start + range.size;
  }
  return id;
}

/** The lowest id where `size` ids lie in one range of `pool` and in none of `taken`; undefined when there is no such place. */
export function findFreeIds(pool: readonly IdRange[], taken: readonly IdRange[], size: number): number | undefined {
  for (const range of [...pool].sort((a, b) => a.start - b.start)) {
    const id = firstFreeId(taken, size, range.start);
    if (id + size <= range.start + range.size) return id;
  }
  return undefined;
}
