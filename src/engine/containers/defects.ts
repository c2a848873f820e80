import { mkdirSync, readdirSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { type Defect, errnoCode, parseTime } from "../../lib/mod.ts";
import { MNT_DETACH, readMountInfo, umount } from "../../linux/mod.ts";
import { cgroupOf, cgroupsPathFor, destroyCgroup, groupsIn } from "../../runtime/mod.ts";
import { isRunning } from "./container.ts";
import type { ContainerDeps } from "./deps.ts";
import { forgetNoted, removeNoted } from "./new-volumes.ts";

/*
 * What is left of containers that are gone, or of runs that are over. The daemon's start mends all of it, when nothing else is at work;
 * `system check` finds it on a daemon at work, and holds the owner's lock while it looks and mends.
 */

/** The names in a directory; none when it isn't there. */
export function entries(dir: string): string[] {
  try {
    return readdirSync(dir);
  } catch (error) {
    if (errnoCode(error) === "ENOENT") return [];
    throw error;
  }
}

/** Whether there is, or is about to be, a container with this id. */
function isKnown(deps: ContainerDeps, id: string): boolean {
  return deps.store.get(id) !== undefined || deps.store.isBeingMade(id);
}

/** Whether a container runs, is about to, or has yet to give back what its last run held. */
export function hasRun(deps: ContainerDeps, id: string): boolean {
  const container = deps.store.get(id);
  if (container === undefined) return false;
  const live = deps.live.peek(id);
  return isRunning(container.state) || live?.task !== undefined || live?.starting !== undefined || live?.release !== undefined;
}

/** Snapshots of no container, and what the storage driver has of nobody. */
export function snapshotDefects(deps: ContainerDeps): Defect[] {
  // those of mounted images are named `<container>.image<n>`
  return deps.snapshots.defects((key) => isKnown(deps, key.split(".")[0] ?? key));
}

/** Directories of no container, with the volumes that were made for one whose creation never ended. */
export function directoryDefects(deps: ContainerDeps): Defect[] {
  const root = join(deps.settings.dataRoot, "containers");
  const stray = entries(root).filter((id) => !isKnown(deps, id));
  const lost = deps.store.list().filter(({ id, state }) => state.status !== "removing" && !isThere(join(root, id)));
  return [
    ...stray.map((id) => ({
      what: `directory ${join(root, id)} is of no container`,
      owner: id,
      mend: async () => {
        await removeNoted(join(root, id), deps.volumes);
        forgetNoted(join(root, id));
        rmSync(join(root, id), { recursive: true, force: true });
      },
    })),
    ...lost.map(({ id }) => ({
      what: `directory ${join(root, id)} of a container is gone, with its log`,
      owner: id,
      mend: () => void mkdirSync(join(root, id), { recursive: true, mode: 0o710 }),
    })),
  ];
}

function isThere(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false }) !== undefined;
}

/** Bundles, runtimes' states and execs of nobody, and what runs that are over have left in the exec root. */
export function runDefects(deps: ContainerDeps): Defect[] {
  const { execRoot } = deps.settings;
  // what a start pins is of no use once the runtime has started
  const names = ["scratch", "shm"].flatMap((name) => entries(join(execRoot, name)).map((id) => ({ name, id })));
  const over = names.filter(({ id }) => !hasRun(deps, id));
  const logs = entries(join(execRoot, "logs")).filter((id) => !isKnown(deps, id));
  return [
    ...deps.tasks.defects((id) => isKnown(deps, id)),
    ...over.map(({ name, id }) => ({
      what: `${join(execRoot, name, id)} is of no run`,
      owner: id,
      mend: () => removeTree(join(execRoot, name, id)),
    })),
    ...logs.map((id) => ({
      what: `${join(execRoot, "logs", id)} is of no container`,
      owner: id,
      mend: () => rmSync(join(execRoot, "logs", id), { recursive: true, force: true }),
    })),
  ];
}

/** Holders and keepers of no run. */
export function processDefects(deps: ContainerDeps): Defect[] {
  return deps.tasks.strayProcesses((id) => hasRun(deps, id));
}

/** Groups right below this daemon's of no run. */
export function cgroupDefects(deps: ContainerDeps): Defect[] {
  const { daemonId, cgroupParent } = deps.settings;
  const parent = cgroupsPathFor("", { daemonId, daemonParent: cgroupParent }).replace(/\/$/, "");
  const stray = groupsIn(parent, deps.facts).filter((id) => !hasRun(deps, id));
  return stray.map((id) => ({
    what: `cgroup ${parent}/${id} is of no running container`,
    owner: id,
    mend: () => destroyCgroup(cgroupOf(`${parent}/${id}`, deps.facts)),
  }));
}

/** Root file systems that are mounted for nobody. What is mounted elsewhere in the roots is found with the directory that it is in. */
export function mountDefects(deps: ContainerDeps): Defect[] {
  const { dataRoot, execRoot } = deps.settings;
  const active = join(dataRoot, "snapshots", "active");
  const mapped = join(execRoot, "rootfs");
  const stray = readMountInfo().flatMap(({ mountPoint }) => {
    const inActive = within(active, mountPoint);
    const inMapped = within(mapped, mountPoint);
    const id = inMapped ?? inActive;
    if (id === undefined || id.startsWith(".") || deps.roots.isUsed(id) || deps.store.isBeingMade(id) || hasRun(deps, id)) return [];
    return { id, mountPoint };
  });
  return stray.map(({ id, mountPoint }) => ({
    what: `${mountPoint} is mounted for nobody`,
    owner: id,
    mend: () => {
      if (!deps.roots.isUsed(id)) umount(mountPoint, MNT_DETACH);
    },
  }));
}

function within(dir: string, path: string): string | undefined {
  return path.startsWith(`${dir}/`) ? path.slice(dir.length + 1).split("/")[0] : undefined;
}

/** Damaged layers in the quarantine that no run has begun on before they came there. */
export function quarantineDefects(deps: ContainerDeps): Defect[] {
  const starts = deps.store
    .list()
    .flatMap(({ state }) => (isRunning(state) ? Number((parseTime(state.startedAt) ?? 0n) / 1_000_000n) : []));
  const isNeeded = (sinceMs: number): boolean => starts.some((startedMs) => startedMs <= sinceMs);
  return deps.snapshots
    .quarantined()
    .filter(({ sinceMs }) => !isNeeded(sinceMs))
    .map(({ path, discard }) => ({ what: `${path} is a damaged layer that nothing needs any more`, mend: discard }));
}

/** Deletes a directory after unmounting what is mounted in it. */
function removeTree(dir: string): void {
  for (const { mountPoint } of readMountInfo().reverse()) {
    if (mountPoint === dir || mountPoint.startsWith(`${dir}/`)) umount(mountPoint, MNT_DETACH);
  }
  rmSync(dir, { recursive: true, force: true });
}
