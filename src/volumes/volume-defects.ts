import type { Defect, KeyedMutex, Logger } from "../lib/mod.ts";
import type { VolumesTable } from "../metadata/mod.ts";
import { LOCAL_DRIVER } from "./local-driver.ts";
import type { LocalVolumes } from "./local-volumes.ts";
import type { LocalVolume } from "./volume.ts";
import type { VolumePlugins } from "./volume-plugin.ts";
import type { VolumeUsers } from "./volume-users.ts";

/** What volumes are put in order with. */
export interface DefectsDeps {
  readonly table: VolumesTable;
  readonly local: LocalVolumes;
  readonly users: VolumeUsers;
  readonly plugins: VolumePlugins;
  readonly locks: KeyedMutex;
  readonly log: Logger;
  readonly now: () => Date;
  readonly known: () => readonly LocalVolume[];
  readonly resize: (name: string, size: string) => Promise<unknown>;
}

/** Volumes that were being given another size. */
export function unfinishedResizes(deps: DefectsDeps): Defect[] {
  const left = deps
    .known()
    .filter(({ name, driver }) => driver === LOCAL_DRIVER && deps.local.notedResize(name) && !deps.locks.isBusy(name));
  return left.map(({ name }) => ({
    what: `volume ${name} was begun to be resized`,
    mend: async () => {
      const size = deps.local.notedResize(name);
      if (size === undefined) return;
      await deps.resize(name, size).catch((error: unknown) => {
        deps.local.forgetResize(name);
        throw error;
      });
    },
  }));
}

/** Directories without a row: they become volumes. */
export function unknownDirectories(deps: DefectsDeps): Defect[] {
  const { table, log } = deps;
  return deps.local
    .names()
    .filter((name) => !table.get(name))
    .map((name) => ({
      what: `volume ${name} is not in the database`,
      mend: () => {
        if (table.get(name) || !deps.local.hasDirectory(name)) return;
        const found = deps.local.optionsOf(name);
        const options = found && JSON.stringify(found);
        log.warn("take in a volume that the database does not know", { volume: name });
        table.insert({ name, driver: LOCAL_DRIVER, createdAt: deps.now().toISOString(), labels: null, options });
      },
    }));
}

/** Rows without a directory. */
export function lostDirectories(deps: DefectsDeps): Defect[] {
  const lost = deps.known().filter(({ name, driver }) => driver === LOCAL_DRIVER && !deps.local.hasDirectory(name));
  return lost.map(({ name }) => ({
    what: `volume ${name} has lost its directory, with its content`,
    mend: () => deps.local.makeDirectory(name),
  }));
}

/** Mounts for nobody. */
export function unusedMounts(deps: DefectsDeps): Defect[] {
  const isUnused = (name: string, user?: string): boolean => !deps.users.isUsed(name, user);
  const unused = deps.known().filter((v) => v.driver === LOCAL_DRIVER && isUnused(v.name) && deps.local.isMounted(v));
  const asked = deps.table.listMounts().filter(({ volume, user }) => isUnused(volume, user) && !deps.locks.isBusy(volume));
  return [
    ...unused.map((volume) => ({
      what: `volume ${volume.name} is mounted for no container`,
      mend: () => (isUnused(volume.name) ? (deps.local.unmount(volume) ?? undefined) : undefined),
    })),
    ...asked.map(({ volume, driver, user }) => ({
      what: `volume ${volume} of plugin ${driver} is mounted for ${user}, which doesn't use it`,
      mend: () =>
        deps.locks.run(volume, async () => {
          if (isUnused(volume, user)) await deps.users.unmountByPlugin(await deps.plugins.get(driver), volume, user);
        }),
    })),
  ];
}
