/** Opens what lives in the data root, and takes up what the last daemon left there. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { BlobStore } from "../content/mod.ts";
import { type Container, ContainerStore, engineId, UsernsMappings, type UsernsSettings } from "../engine/mod.ts";
import { ImageStore } from "../images/mod.ts";
import { type ChainId, DhowError, digestHex, digestOf, type Logger, randomId } from "../lib/mod.ts";
import { ContainersTable, Database, LayersTable, MIGRATIONS, VolumesTable } from "../metadata/mod.ts";
import { Plugins } from "../plugins/mod.ts";
import { readIdPool, remappedRoot } from "../runtime/mod.ts";
import { isOverlaySupported, LayerStore, Native, Overlay2, type Snapshotter } from "../snapshots/mod.ts";
import { Volumes } from "../volumes/mod.ts";
import type { DaemonConfig } from "./config.ts";
import type { EngineBase, Stores } from "./parts.ts";

/** Everything that lives in the data root. */
export async function openStores(config: DaemonConfig, { log, stack }: EngineBase): Promise<Stores> {
  const { dataRoot, execRoot, storageDriver } = config;
  const db = stack.use(Database.open(join(dataRoot, "db.sqlite"), MIGRATIONS));
  const blobs = new BlobStore(join(dataRoot, "content"));
  blobs.sweep();
  const snapshots = openSnapshotter(storageDriver, join(dataRoot, "snapshots"), join(execRoot, "rootfs"), log);
  const layers = new LayerStore({ table: new LayersTable(db), snapshotter: snapshots, log });
  await layers.recover();
  const store = new ContainerStore(new ContainersTable(db), log);
  const images = new ImageStore({ db, blobs, layers, layersInUse: () => store.list().flatMap(layersOf), log });
  const { pluginDirs: specDirs, pluginSocketDir: socketDir, pluginTimeoutMs: timeoutMs } = config;
  const plugins = new Plugins({ socketDir, specDirs, timeoutMs, log });
  const volumes = new Volumes({
    table: new VolumesTable(db),
    root: join(dataRoot, "volumes"),
    log,
    references: (name) => store.usersOfVolume(name),
    plugins,
    pluginTimeoutMs: timeoutMs,
  });
  volumes.recover();
  const userns = new UsernsMappings(store, usernsSettings(config, log));
  return {
    id: idOf(dataRoot),
    daemonId: digestHex(digestOf(execRoot)).slice(0, 8),
    db,
    blobs,
    snapshots,
    layers,
    store,
    images,
    plugins,
    volumes,
    userns,
  };
}

/** The layers that a container stands on and that are mounted in it. */
function layersOf({ spec }: Container): ChainId[] {
  return [spec.topLayer, ...spec.mounts.map((m) => m.image?.topLayer)].filter((layer) => layer !== null && layer !== undefined);
}

/** @throws invalid in dockerd's words */
function usernsSettings({ usernsRemap, usernsPool }: DaemonConfig, log: Logger): UsernsSettings {
  // a name may get its ids later, a range is right or wrong
  if (usernsRemap === "auto" || /^\d*:/.test(usernsPool)) readIdPool(usernsPool);
  if (usernsRemap === "") return { remap: undefined, pool: usernsPool };
  return { remap: usernsRemap === "auto" ? "auto" : remappedRoot(usernsRemap, log), pool: usernsPool };
}

function openSnapshotter(driver: string, root: string, mapped: string, log: Logger): Snapshotter {
  switch (driver) {
    case "overlay2":
    case "overlayfs":
      return new Overlay2(root, log, mapped);
    case "native":
    case "vfs":
      return new Native(root, log, mapped);
    case "":
      if (isOverlaySupported(root)) return new Overlay2(root, log, mapped);
      log.warn("the file system of the data root takes no overlays: every container gets a copy of its image", { root });
      return new Native(root, log, mapped);
    default:
      throw new DhowError("invalid", `error initializing graphdriver: driver not supported: ${driver}`);
  }
}
function idOf(dataRoot: string): string {
  const path = join(dataRoot, "engine-id");
  return engineId(path, () => {
    const made = randomId().slice(0, 36);
    writeFileSync(path, made);
    return made;
  });
}
