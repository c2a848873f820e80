import type { MountInfo } from "../linux/mod.ts";

/** What makes one table of mounts the other. */
export interface MountChanges {
  /** The roots of what is to be taken away, with all that is below. */
  readonly gone: readonly MountInfo[];
  /** The roots of what is to be mounted after that, with all that is below. */
  readonly missing: readonly MountInfo[];
}

/** How the kernel writes a mount point that was removed since. */
const REMOVED = "//deleted";

const isWithin = (path: string, directory: string): boolean => path === directory || directory === "/" || path.startsWith(`${directory}/`);

function* above(path: string): Generator<string, void, void> {
  for (let at = path; at !== "/"; ) {
    at = at.slice(0, at.lastIndexOf("/")) || "/";
    yield at;
  }
}

/** The mounts that a path leads to, by that path: not those that another one has covered since. */
function reachable(table: readonly MountInfo[]): Map<string, MountInfo> {
  const byId = new Map(table.map((m) => [m.mountId, m]));
  const places = new Map<number, Set<string>>();
  for (const m of table) {
    const siblings = places.get(m.parentId) ?? new Set();
    places.set(m.parentId, siblings.add(m.mountPoint));
  }
  const known = new Map<MountInfo, boolean>();
  const isReached = (m: MountInfo): boolean => {
    const before = known.get(m);
    if (before !== undefined) return before;
    const parent = byId.get(m.parentId);
    const siblings = places.get(m.parentId);
    let is = !places.get(m.mountId)?.has(m.mountPoint);
    if (parent !== undefined && parent !== m) {
      // where a path leaves the parent for another mount first, it doesn't come here
      for (const path of above(m.mountPoint)) if (siblings?.has(path) && path !== parent.mountPoint) is = false;
      is = is && (isReached(parent) || parent.mountPoint === m.mountPoint);
    }
    known.set(m, is);
    return is;
  };
  return new Map(table.filter(isReached).map((m) => [m.mountPoint, m]));
}

const peers = ({ propagation }: MountInfo): string => propagation.find((p) => p.startsWith("shared:")) ?? "";
const identity = (m: MountInfo): string => [m.device, m.root, peers(m), ...m.options].join(" ");
const isSame = (a: MountInfo, b: MountInfo): boolean => identity(a) === identity(b);

/**
 * How a copy of the host's mounts becomes what the host has now, apart from the places `own`, what is above and what is below them. Nothing
 * is changed directly below a shared mount: that would change the host, and the kernel has done it already.
 */
export function mountChanges(host: readonly MountInfo[], copy: readonly MountInfo[], own: readonly string[]): MountChanges {
  const [there, here] = [reachable(host), reachable(copy)];
  const isOwn = (path: string): boolean => own.some((place) => isWithin(path, place) || isWithin(place, path));
  const parentOf = (path: string): MountInfo | undefined => {
    for (const directory of above(path)) {
      const found = here.get(directory);
      if (found !== undefined) return found;
    }
    return undefined;
  };
  const canChange = (path: string): boolean => {
    const parent = parentOf(path);
    return !isOwn(path) && !path.endsWith(REMOVED) && parent !== undefined && peers(parent) === "";
  };
  const gone: MountInfo[] = [];
  const missing: MountInfo[] = [];
  const roots = (list: readonly MountInfo[], path: string): boolean => list.some(({ mountPoint }) => isWithin(path, mountPoint));
  const byDepth = (mounts: ReadonlyMap<string, MountInfo>): MountInfo[] =>
    [...mounts.values()].sort((a, b) => a.mountPoint.length - b.mountPoint.length);
  for (const m of byDepth(here)) {
    const now = there.get(m.mountPoint);
    if ((now === undefined || !isSame(m, now)) && canChange(m.mountPoint) && !roots(gone, m.mountPoint)) gone.push(m);
  }
  for (const m of byDepth(there)) {
    const now = roots(gone, m.mountPoint) ? undefined : here.get(m.mountPoint);
    if ((now === undefined || !isSame(m, now)) && !roots(missing, m.mountPoint) && (roots(gone, m.mountPoint) || canChange(m.mountPoint)))
      missing.push(m);
  }
  return { gone, missing };
}
