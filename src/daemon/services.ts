import { join } from "node:path";
import {
  Checkpoints,
  type Container,
  ContainerContents,
  type ContainerDeps,
  ContainerFiles,
  ContainerLifecycle,
  type ContainerStore,
  ContainerStreams,
  Containers,
  conditionsApi,
  connectContainer,
  disconnectContainer,
  disconnectFromGone,
  Execs,
  egressApi,
  type ImageDeps,
  ImageGc,
  Images,
  ImageTransfer,
  isRunning,
  markBytes,
  NetworksService,
  networkMode,
  networkOwner,
  portsApi,
  System,
  tagImage,
  VolumeContents,
  VolumesService,
  whileWritersPaused,
} from "../engine/mod.ts";
import { type Digest, errnoCode, isDigest, isKind, ZERO_TIME } from "../lib/mod.ts";
import { statfs } from "../linux/mod.ts";
import { appArmorProfileOf } from "../runtime/mod.ts";
import type { Snapshotter } from "../snapshots/mod.ts";
import type { EngineApi } from "../spec/engine/mod.ts";
import { VOLUME_DRIVER } from "../volumes/mod.ts";
import type { DaemonConfig } from "./config.ts";
import type { Parts } from "./parts.ts";
import { systemSettings } from "./system-settings.ts";

/** Who asks for the engine's facts doesn't wait for a plug-in that hangs. */
const INFO_PLUGIN_MS = 1000;

/** What removes images when the disk gets full. */
function imageGc(config: DaemonConfig, parts: Parts, images: Omit<ImageDeps, "written">): ImageGc {
  const { store, snapshots, book } = parts;
  return new ImageGc({
    ...images,
    written: () => undefined,
    // these may change by a reload
    get settings() {
      return config.imageGc;
    },
    diskUse: () => {
      const { bsize, blocks, bfree, bavail } = statfs(config.dataRoot);
      // what is kept for root is not room that anybody misses
      return { capacityBytes: (blocks - bfree + bavail) * bsize, availableBytes: bavail * bsize };
    },
    layersInUse: () => store.list().flatMap(({ spec }) => spec.topLayer ?? []),
    leaseOf: ({ names, config: { config: run } }) => book.leaseOfImage(names, run?.Labels),
    drained: () => snapshots.drain(),
  });
}

/** The interfaces that the front doors know. */
export function engineApi(
  config: DaemonConfig,
  deps: ContainerDeps,
  parts: Parts,
  stack: AsyncDisposableStack,
): Omit<EngineApi, "leases" | "sockets"> {
  const { store, images: imageStore, layers, snapshots, volumes, events } = parts;
  const { emit, log } = deps;
  const common = {
    store: imageStore,
    layers,
    driver: snapshots.driver,
    temporary: join(config.dataRoot, "tmp"),
    imageUsers: (id: string) => store.usersOf(id),
    emit,
    log,
  };
  const gc = stack.use(imageGc(config, parts, common));
  gc.start();
  const imageDeps = { ...common, written: (error?: unknown) => gc.written(error) };
  const images = new Images(imageDeps, gc);
  const containers = containersApi(config, deps, parts);
  const volumesApi = new VolumesService({ volumes, files: deps.volumeFiles, emit, checkLabels: deps.checkLabels });
  const transfer = new ImageTransfer(imageDeps);
  const system = new System({
    facts: deps.facts,
    events,
    images,
    containers,
    volumePlugins: async () => (await parts.plugins.all(VOLUME_DRIVER, { timeoutMs: INFO_PLUGIN_MS })).map(({ name }) => name),
    cdi: parts.cdi,
    volumeUsage: (signal) => volumesApi.usage(signal),
    layersSizeBytes: () => layers.list().reduce((sum, layer) => sum + layer.sizeBytes, 0),
    logUsage: () =>
      store.list().flatMap((container) => {
        const { driver } = deps.live.of(container).io.options;
        const Size = driver.sizeBytes();
        return Size === 0 ? [] : { ContainerID: container.id, Driver: driver.name, Size };
      }),
    check: { ...parts, containers: deps, images: imageStore, temporaryDefects: () => transfer.temporaryDefects() },
    settings: systemSettings(config, parts),
    counts: () => ({ ...containerCounts(store), images: imageStore.list().length, listeners: events.listeners }),
  });
  return {
    containers,
    lifecycle: new ContainerLifecycle(deps),
    checkpoints: new Checkpoints(deps),
    streams: new ContainerStreams(deps),
    files: new ContainerFiles(deps),
    contents: new ContainerContents({
      ...deps,
      images: imageStore,
      layers,
      tag: (name, id) => tagImage(imageDeps, name, id),
      written: imageDeps.written,
    }),
    exec: new Execs(deps),
    images,
    transfer,
    volumes: volumesApi,
    volumeContents: new VolumeContents({
      volumes,
      files: deps.volumeFiles,
      emit,
      log: deps.log,
      whilePaused: (volume, work) => whileWritersPaused(deps, volume, work),
      checkLabels: deps.checkLabels,
    }),
    networks: networksApi(deps),
    ports: portsApi(deps),
    conditions: conditionsApi(deps),
    egress: egressApi(deps),
    system,
  };
}

/** The size of a container's own files; of one that is removed meanwhile nothing. */
async function writtenBytes(snapshots: Snapshotter, id: string): Promise<number> {
  try {
    const { upper } = snapshots.paths(id);
    const { sizeBytes } = await snapshots.usage(id);
    return sizeBytes - (upper ? markBytes(upper) : 0);
  } catch (error) {
    if (isKind(error, "notFound") || errnoCode(error) === "ENOENT") return 0;
    throw error;
  }
}

type Sizes = ConstructorParameters<typeof Containers>[1]["sizes"];

function containersApi({ dataRoot }: DaemonConfig, deps: ContainerDeps, parts: Parts): Containers {
  const { store, images, snapshots } = parts;
  const sizes: Sizes = async ({ id, spec }) => {
    const rw = await writtenBytes(snapshots, id);
    const image = isDigest(spec.imageId) ? images.tryGet(spec.imageId) : undefined;
    return { rw, rootFs: rw + (image?.sizeBytes ?? 0) };
  };
  const imageIdOf = (ref: string): Digest | undefined => {
    try {
      return images.resolveId(ref);
    } catch {
      // it is no reference at all
      return undefined;
    }
  };
  const descendants = (ref: string): ReadonlySet<string> => {
    const id = imageIdOf(ref);
    const image = id === undefined ? undefined : images.tryGet(id);
    if (!image) return new Set();
    const found = images.list().filter((other) => image.layers.every((layer, index) => other.layers[index] === layer));
    return new Set([image.id, ...(image.layers.length > 0 ? found.map((other) => other.id) : [])]);
  };
  return new Containers(
    deps,
    { store, descendants, imageIdOf, sizes, healthOf: ({ state }) => state.health?.status ?? "" },
    {
      etcDir: (container) => join(dataRoot, "containers", networkOwner(deps, container)),
      logPath: (container) => deps.live.of(container).io.options.driver.path,
      execIds: (id) => {
        const ids = deps.live.peek(id)?.execIds;
        return ids && ids.size > 0 ? [...ids] : null;
      },
      graphDriver: ({ id }) => graphDriver(snapshots, id),
      defaultUlimits: deps.settings.spec.ulimits ?? [],
      // docker chooses the default at the first start
      appArmorProfile: ({ spec, state }) =>
        appArmorProfileOf(spec.hostConfig, deps.facts, state.startedAt === ZERO_TIME ? "" : parts.appArmorProfile) ?? "",
    },
  );
}

function networksApi(deps: ContainerDeps): NetworksService {
  const { network, store, emit, checkLabels } = deps;
  const locked = (ref: string, work: (container: Container) => Promise<void>): Promise<void> => {
    const container = store.find(ref);
    return deps.locks.run(container.id, () => work(container));
  };
  return new NetworksService({
    networking: network,
    containerName: (id) => store.get(id)?.name,
    containersOn: (name) =>
      store
        .list()
        .filter((c) => isRunning(c.state) && networkMode(c.spec.hostConfig) === name)
        .map((c) => c.id),
    connect: (ref, to, settings) => locked(ref, (container) => connectContainer(deps, container, to, settings)),
    disconnect: (ref, from) => locked(ref, (container) => disconnectContainer(deps, container, from)),
    disconnectFromGone: (ref, name, how) => locked(ref, async (container) => disconnectFromGone(deps, container, name, how)),
    checkLabels,
    emit,
  });
}

/** By state, for /info and the metrics. */
export function containerCounts(store: ContainerStore): { running: number; paused: number; stopped: number } {
  const all = store.list();
  const running = all.filter((c) => c.state.status === "running").length;
  const paused = all.filter((c) => c.state.status === "paused").length;
  return { running, paused, stopped: all.length - running - paused };
}

function graphDriver(snapshots: Snapshotter, id: string): { Name: string; Data: Record<string, string> | null } {
  if (snapshots.driver !== "overlay2") return { Name: snapshots.driver, Data: null };
  const { rootfs, upper, work, lowers } = snapshots.paths(id);
  return { Name: snapshots.driver, Data: { LowerDir: lowers.join(":"), MergedDir: rootfs, UpperDir: upper, WorkDir: work ?? "" } };
}
