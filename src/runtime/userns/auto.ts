import { DhowError } from "../../lib/mod.ts";
import type { OciIdMapping } from "../../spec/oci-runtime/mod.ts";
import { type AccountFiles, HOST_ACCOUNTS } from "./accounts.ts";
import type { IdMappings } from "./id-mapping.ts";
import { findFreeIds, type IdRange, readSubordinateIds } from "./subordinate-ids.ts";

/** What `auto:…` asks of a mapping that is a container's own. */
export interface AutoUserns {
  /** How many ids it has, from 0 on. */
  readonly size: number;
  /** Ids that are to be certain ids of the host. */
  readonly uids: readonly OciIdMapping[];
  readonly gids: readonly OciIdMapping[];
}

const DEFAULT_SIZE = 65_536;
const MAX_ID = 4294967295;
/** The kernel takes so many lines in a mapping. @see user_namespaces(7) */
const MAX_RANGES = 340;
const MODE = /^auto(?::(.*))?$/s;

/** Whether `mode` asks for a mapping of the container's own. */
export const isAutoUserns = (mode: string): boolean => MODE.test(mode);

/**
 * Reads podman's `auto[:size=N,uidmapping=CONTAINER:HOST:SIZE,gidmapping=…]`.
 * @throws invalid
 * @see podman-run(1) --userns
 */
export function parseAutoUserns(mode: string): AutoUserns {
  const refuse = (why: string): never => {
    throw new DhowError("invalid", `invalid USER mode: ${mode}: ${why}`);
  };
  const match = MODE.exec(mode);
  let size = DEFAULT_SIZE;
  const uids: OciIdMapping[] = [];
  const gids: OciIdMapping[] = [];
  for (const option of match?.[1]?.split(",") ?? []) {
    const at = option.indexOf("=");
    const [key, value] = [option.slice(0, Math.max(at, 0)), option.slice(at + 1)];
    if (key === "size") {
      size = Number(value);
      if (!/^\d+$/.test(value) || size < 1 || size > MAX_ID) refuse(`size ${JSON.stringify(value)} is no number of ids`);
    } else if (key === "uidmapping" || key === "gidmapping") {
      const mapping = parseMapping(value) ?? refuse(`${key} ${JSON.stringify(value)} is not CONTAINER:HOST:SIZE`);
      const list = key === "uidmapping" ? uids : gids;
      if (list.some((other) => overlap(inside(other), inside(mapping)) || overlap(outside(other), outside(mapping))))
        refuse(`${key} ${JSON.stringify(value)} overlaps with another one`);
      list.push(mapping);
    } else refuse(`unknown option ${JSON.stringify(option)}; there are size, uidmapping and gidmapping`);
  }
  if (Math.max(uids.length, gids.length) > MAX_RANGES / 2 - 1) refuse("too many mappings");
  return { size, uids, gids };
}

function parseMapping(text: string): OciIdMapping | undefined {
  const match = /^(\d+):(\d+):(\d+)$/.exec(text);
  if (match === null) return undefined;
  const [containerID, hostID, size] = [Number(match[1]), Number(match[2]), Number(match[3])];
  return size > 0 && containerID + size <= MAX_ID && hostID + size <= MAX_ID ? { containerID, hostID, size } : undefined;
}

const inside = (m: OciIdMapping): IdRange => ({ start: m.containerID, size: m.size });
const outside = (m: OciIdMapping): IdRange => ({ start: m.hostID, size: m.size });
const overlap = (a: IdRange, b: IdRange): boolean => a.start < b.start + b.size && b.start < a.start + a.size;

/** Ids of the host for containers with a mapping of their own. */
export interface IdPool {
  /** As the daemon's setting names it. */
  readonly name: string;
  readonly uids: readonly IdRange[];
  readonly gids: readonly IdRange[];
}

/** The pool that `--userns-pool` names: a name in /etc/subuid and /etc/subgid, or START:SIZE. @throws invalid, unavailable */
export function readIdPool(setting: string, files: AccountFiles = HOST_ACCOUNTS): IdPool {
  const direct = /^(\d+):(\d+)$/.exec(setting);
  if (direct !== null) {
    const range = { start: Number(direct[1]), size: Number(direct[2]) };
    if (range.start < 1 || range.size < 1 || range.start + range.size > MAX_ID)
      throw new DhowError("invalid", `invalid --userns-pool ${JSON.stringify(setting)}: ids go from 1 to ${MAX_ID - 1}`);
    return { name: setting, uids: [range], gids: [range] };
  }
  const own = (path: string): IdRange[] => readSubordinateIds(path).filter((range) => range.owner === setting);
  const [uids, gids] = [own(files.subuid), own(files.subgid)];
  if (uids.length > 0 && gids.length > 0) return { name: setting, uids, gids };
  const missing = uids.length === 0 ? files.subuid : files.subgid;
  throw new DhowError(
    "unavailable",
    `no ids for a user namespace of its own: ${missing} has none for ${JSON.stringify(setting)}: add a line such as ${setting}:2147483648:1073741824 to /etc/subuid and /etc/subgid, or start the daemon with --userns-pool=START:SIZE`,
  );
}

/**
 * A mapping out of `pool` that has no id of the host in common with any of `taken`.
 * @throws unavailable when the pool is used up; invalid for a fixed mapping to an id that is the pool's or a container's
 */
export function allocateMappings(asked: AutoUserns, pool: IdPool, taken: readonly IdMappings[]): IdMappings {
  const place = (fixed: readonly OciIdMapping[], ranges: readonly IdRange[], used: readonly IdRange[]): OciIdMapping[] => {
    for (const mapping of fixed) {
      if ([...ranges, ...used].some((range) => overlap(range, outside(mapping))))
        throw new DhowError(
          "invalid",
          `invalid USER mode: host ids ${mapping.hostID} to ${mapping.hostID + mapping.size - 1} belong to other containers`,
        );
    }
    const gaps = gapsOf(fixed, asked.size);
    const total = gaps.reduce((sum, gap) => sum + gap.size, 0);
    if (total === 0) return [...fixed];
    let next = findFreeIds(ranges, used, total);
    if (next === undefined) throw exhausted(pool, total, ranges, used);
    const filled = gaps.map(({ start, size }) => {
      const mapping = { containerID: start, hostID: next ?? 0, size };
      next = mapping.hostID + size;
      return mapping;
    });
    return [...fixed, ...filled].sort((a, b) => a.containerID - b.containerID);
  };
  return {
    uids: place(asked.uids, pool.uids, taken.flatMap((m) => m.uids).map(outside)),
    gids: place(asked.gids, pool.gids, taken.flatMap((m) => m.gids).map(outside)),
  };
}

/** What of the ids from 0 to `size` no mapping has. */
function gapsOf(fixed: readonly OciIdMapping[], size: number): IdRange[] {
  const gaps: IdRange[] = [];
  let start = 0;
  for (const m of [...fixed].sort((a, b) => a.containerID - b.containerID)) {
    const end = Math.min(m.containerID, size);
    if (end > start) gaps.push({ start, size: end - start });
    start = Math.max(start, m.containerID + m.size);
  }
  if (size > start) gaps.push({ start, size: size - start });
  return gaps;
}

function exhausted(pool: IdPool, wanted: number, ranges: readonly IdRange[], used: readonly IdRange[]): DhowError {
  const all = ranges.reduce((sum, range) => sum + range.size, 0);
  const taken = used.filter((u) => ranges.some((range) => overlap(range, u))).reduce((sum, u) => sum + u.size, 0);
  return new DhowError(
    "unavailable",
    `no ${wanted} ids in a row are left for a user namespace: of the ${all} ids of --userns-pool=${pool.name} containers have ${taken}: remove containers, ask for fewer ids (auto:size=N), or make the pool larger`,
  );
}
