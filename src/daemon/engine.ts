/** Constructs the engine: every store, the network, the runtimes, and the front of interfaces over them. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { BlobStore } from "../content/mod.ts";
import {
  Background,
  Checkpoints,
  type Container,
  ContainerContents,
  type ContainerDeps,
  ContainerFiles,
  ContainerLifecycle,
  ContainerStore,
  ContainerStreams,
  Containers,
  conditionsApi,
  connectContainer,
  disconnectContainer,
  type Emit,
  EventHub,
  EventLog,
  Execs,
  egressApi,
  emitDenials,
  engineId,
  type HealthCounts,
  type ImageDeps,
  ImageGc,
  Images,
  ImageTransfer,
  isRunning,
  LeaseBook,
  LiveContainers,
  leaveContainers,
  markBytes,
  NetworksService,
  networkMode,
  portsApi,
  RootMounts,
  recoverContainers,
  System,
  tagImage,
  UsernsMappings,
  type UsernsSettings,
  VolumeContents,
  VolumeFiles,
  VolumesService,
  Waiters,
  whileWritersPaused,
} from "../engine/mod.ts";
import { ImageStore } from "../images/mod.ts";
import {
  type ChainId,
  DhowError,
  type Digest,
  digestHex,
  digestOf,
  errnoCode,
  isDigest,
  isKind,
  KeyedMutex,
  type Logger,
  randomId,
  ZERO_TIME,
} from "../lib/mod.ts";
import { fsTypeName, OrphanReaper, Reactor, statfs, UserNamespacePool } from "../linux/mod.ts";
import { ContainersTable, Database, LayersTable, LeasesTable, MIGRATIONS, SocketsTable, VolumesTable } from "../metadata/mod.ts";
import { type ClusterSettings, Networking } from "../network/mod.ts";
import { Plugins } from "../plugins/mod.ts";
import {
  appArmorProfileOf,
  BufferPool,
  createClockNs,
  type HostFacts,
  LOG_DRIVERS,
  loadDefaultAppArmorProfile,
  type MigrationWarmer,
  readIdPool,
  remappedRoot,
  removeEmptyParent,
  SeccompCache,
  Tasks,
  validateDefaultLogOptions,
} from "../runtime/mod.ts";
import { isOverlaySupported, LayerStore, Native, Overlay2, type Snapshotter } from "../snapshots/mod.ts";
import type { EngineApi } from "../spec/engine/mod.ts";
import { VOLUME_DRIVER, Volumes } from "../volumes/mod.ts";
import { advertisedAddress, type ClusterConfig } from "./cluster.ts";
import { clusterAccess } from "./cluster-access.ts";
import type { DaemonConfig } from "./config.ts";
import { startLeases } from "./leases.ts";
import { prepareRoots } from "./roots.ts";
import { Runtimes } from "./runtimes.ts";
import type { SocketStore } from "./sockets.ts";
import { openSocketWarnings } from "./tls.ts";

/** For those whose end nothing waits for. */
const ORPHANS_EVERY_MS = 5000;
/** Who asks for the engine's facts doesn't wait for a plug-in that hangs. */
const INFO_PLUGIN_MS = 1000;
const INIT_PATHS = ["/usr/bin/tini-static", "/usr/bin/docker-init", "/usr/libexec/docker/docker-init", "/usr/bin/tini"];

/** What the engine stands on that is there before it. */
export interface EngineBase {
  readonly facts: HostFacts;
  readonly warmer: MigrationWarmer;
  readonly log: Logger;
  /** Takes what has to be closed at the daemon's end. */
  readonly stack: AsyncDisposableStack;
  /** Starts a process that works on files which may keep who asks for them waiting; without it all is done in this one. */
  readonly fileHelper?: readonly string[] | undefined;
  /** The same for the files of volumes. */
  readonly volumeHelper?: readonly string[] | undefined;
  /** Called before any container is started. */
  readonly beforeContainers?: ((store: SocketStore) => Promise<void>) | undefined;
}

/** The engine, and what of it the daemon itself needs. */
export interface Engine {
  readonly api: Omit<EngineApi, "sockets">;
  /** Of scoped sockets. */
  readonly sockets: SocketsTable;
  /** Tells this daemon's cgroups and tables from another's. */
  readonly daemonId: string;
  readonly id: string;
  readonly emit: Emit;
  readonly facts: HostFacts;
  readonly storageDriver: string;
  /** For metrics. */
  readonly counts: EngineCounts;
  readonly runtimes: Runtimes;
  /** The cgroup namespace of containers that name none. */
  readonly cgroupnsMode: "private" | "host";
}

export interface EngineCounts {
  containers(): { readonly running: number; readonly paused: number; readonly stopped: number };
  events(): number;
  listeners(): number;
  sandboxesReady(): number;
  readonly health: HealthCounts;
}

/** Makes the engine and takes up what the last daemon left. @throws what keeps the daemon from starting */
export async function startEngine(config: DaemonConfig, base: EngineBase): Promise<Engine> {
  validateDefaultLogOptions(config.logDriver, config.logOpts);
  prepareRoots(config.dataRoot, config.execRoot);
  const appArmorProfile = loadDefaultAppArmorProfile({ facts: base.facts, execRoot: config.execRoot, log: base.log });
  const stores = await openStores(config, base);
  const network = await startNetwork(config, stores, base);
  const history = base.stack.use(new EventLog(join(config.dataRoot, "events"), { log: base.log }));
  const events = new EventHub(history);
  const runtimes = new Runtimes(config, base.log);
  const book = new LeaseBook(new LeasesTable(stores.db));
  const id = idOf(config.dataRoot);
  const parts: Parts = { ...stores, id, network, events, history, book, runtimes, appArmorProfile: await appArmorProfile };
  const deps = containerDeps(config, base, parts);
  await stores.images.recover();
  const sockets = new SocketsTable(stores.db);
  await base.beforeContainers?.({ sockets, daemonId: stores.daemonId, facts: base.facts });
  emitDenials(deps);
  await recoverContainers(deps);
  base.stack.defer(() => leaveContainers(deps));
  base.stack.defer(() => removeEmptyParent(`${config.cgroupParent || "/dhow"}/${stores.daemonId}`, base.facts));
  const api = engineApi(config, deps, parts, base.stack);
  const leases = await startLeases({ ...parts, api, deps, reaperAddress: config.reaperAddress, stack: base.stack });
  return {
    api: { ...api, leases },
    sockets,
    daemonId: stores.daemonId,
    id: parts.id,
    emit: events.emit,
    facts: base.facts,
    storageDriver: stores.snapshots.driver,
    counts: {
      containers: () => containerCounts(stores.store),
      events: () => events.published,
      listeners: () => events.listeners,
      sandboxesReady: () => network.readyCount,
      health: deps.healthCounts,
    },
    runtimes,
    cgroupnsMode: deps.settings.host.cgroupnsMode,
  };
}

interface Stores {
  /** Tells this daemon's cgroups and tables from another's. */
  readonly daemonId: string;
  readonly db: Database;
  readonly blobs: BlobStore;
  readonly snapshots: Snapshotter;
  readonly layers: LayerStore;
  readonly store: ContainerStore;
  readonly images: ImageStore;
  readonly plugins: Plugins;
  readonly volumes: Volumes;
  readonly userns: UsernsMappings;
}

interface Parts extends Stores {
  /** The engine's, in /info and events. */
  readonly id: string;
  readonly network: Networking;
  readonly events: EventHub;
  readonly history: EventLog;
  readonly book: LeaseBook;
  readonly runtimes: Runtimes;
  /** That of containers which name none; undefined where there is none. */
  readonly appArmorProfile: string | undefined;
}

/** Everything that lives in the data root. */
async function openStores(config: DaemonConfig, { log, stack }: EngineBase): Promise<Stores> {
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
  return { daemonId: digestHex(digestOf(execRoot)).slice(0, 8), db, blobs, snapshots, layers, store, images, plugins, volumes, userns };
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

/** @throws invalid */
async function clusterSettings(config: ClusterConfig, dataRoot: string): Promise<ClusterSettings> {
  const { endpoints, heartbeatSeconds, ttlSeconds, path: root } = config;
  const vtep = await advertisedAddress(config);
  return { endpoints, ...(await clusterAccess(config)), vtep, hostId: idOf(dataRoot), heartbeatSeconds, ttlSeconds, root };
}

async function startNetwork(config: DaemonConfig, { db, daemonId, plugins }: Stores, { log, stack }: EngineBase): Promise<Networking> {
  const network = new Networking({
    db,
    log,
    bridgeName: config.bridge,
    tableName: config.bridge === "none" ? `dhow-${daemonId}` : config.bridge,
    bip: config.bip,
    fixedCidr: config.fixedCidr,
    fixedCidrV6: config.fixedCidrV6,
    hasIpv6: config.hasIpv6,
    ipMasq: config.isMasquerading,
    hostGatewayIps: config.hostGatewayIps,
    ulaSeed: daemonId,
    defaultNetworkOptions: config.defaultNetworkOptions,
    plugin: (name, kind) => plugins.get(name, kind),
    cluster: config.cluster && (await clusterSettings(config.cluster, config.dataRoot)),
    mtu: config.mtu,
    ipForward: config.isIpForward,
    icc: config.areContainersConnected,
    defaultAddressPools: config.defaultAddressPools.length > 0 ? config.defaultAddressPools : undefined,
    poolSize: config.sandboxPool,
  });
  await network.start();
  stack.defer(() => network.stop({ removeAll: true }));
  return network;
}

/** What the verbs of containers stand on. */
function containerDeps(
  config: DaemonConfig,
  { facts, warmer, log, stack, fileHelper, volumeHelper }: EngineBase,
  parts: Parts,
): ContainerDeps {
  const { dataRoot, execRoot } = config;
  const { store, images, snapshots, volumes, network, events, runtimes } = parts;
  const reactor = stack.use(new Reactor(log));
  const orphans = stack.use(new OrphanReaper(ORPHANS_EVERY_MS));
  const buffers = new BufferPool();
  const clock = createClockNs();
  return {
    store,
    live: new LiveContainers({ dataRoot, execRoot: config.execRoot, reactor, buffers, clock, log }),
    locks: new KeyedMutex(),
    waiters: new Waiters(),
    background: new Background(),
    images,
    snapshots,
    roots: new RootMounts(snapshots),
    volumes,
    network,
    userns: parts.userns,
    usernsPool: stack.use(new UserNamespacePool()),
    tasks: new Tasks({
      runtimes: runtimes.all,
      execRoot,
      reactor,
      log,
      timeoutMs: config.runtimeTimeoutMs,
      onOrphan: () => orphans.look(),
    }),
    seccomp: new SeccompCache({ directory: join(dataRoot, "seccomp"), log }),
    warmer,
    reactor,
    buffers,
    clock,
    facts,
    settings: containerSettings(config, facts, parts),
    emit: events.emit,
    fileHelper,
    volumeFiles: new VolumeFiles(volumeHelper),
    healthCounts: { checks: 0, failed: 0 },
    checkLabels: (labels) => parts.book.check(labels),
    log,
  };
}

function containerSettings(config: DaemonConfig, facts: HostFacts, parts: Parts): ContainerDeps["settings"] {
  const { daemonId, runtimes, appArmorProfile } = parts;
  const cgroupnsMode = config.defaultCgroupnsMode || (facts.cgroup.version === 2 ? "private" : "host");
  const initPath = initProgram(config);
  return {
    dataRoot: config.dataRoot,
    execRoot: config.execRoot,
    daemonId,
    cgroupParent: config.cgroupParent,
    // these may change by a reload
    get host() {
      return {
        logDriver: config.logDriver,
        logOpts: config.logOpts,
        runtime: config.defaultRuntime,
        shmSizeBytes: config.defaultShmSizeBytes,
        ipcMode: config.defaultIpcMode,
        cgroupnsMode,
      };
    },
    spec: {
      ulimits: config.defaultUlimits,
      init: config.isInitDefault,
      noNewPrivileges: config.isNoNewPrivileges,
      ...(initPath === undefined ? {} : { initPath }),
      ...(appArmorProfile === undefined ? {} : { apparmorProfile: appArmorProfile }),
    },
    dns: config.dns,
    dnsSearch: config.dnsSearch,
    dnsOptions: config.dnsOptions,
    defaultHostIp: config.defaultHostIp,
    runtimeTimeoutMs: config.runtimeTimeoutMs,
    get runtimes() {
      return Object.keys(runtimes.offered);
    },
  };
}

/** The program that `--init` puts in front of a container's own. */
function initProgram(config: DaemonConfig): string | undefined {
  return config.initPath || INIT_PATHS.find((path) => Bun.file(path).size > 0);
}

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
function engineApi(
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
      containerDir: (id) => join(dataRoot, "containers", id),
      logPath: (container) => deps.live.of(container).io.options.driver.path,
      execIds: (id) => {
        const ids = deps.live.peek(id)?.execIds;
        return ids && ids.size > 0 ? [...ids] : null;
      },
      graphDriver: ({ id }) => graphDriver(snapshots, id),
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
    checkLabels,
    emit,
  });
}

type SystemSettings = ConstructorParameters<typeof System>[0]["settings"];

/** What /info and /version say of the daemon's settings; the runtime is asked for its version once, in the background. */
function systemSettings(config: DaemonConfig, { id, snapshots, runtimes, network, userns }: Parts): SystemSettings {
  const { dataRoot } = config;
  let runtimeVersion = "";
  void versionOf(runtimes.all[config.defaultRuntime]?.path ?? "").then((version) => {
    runtimeVersion = version;
  });
  const initPath = initProgram(config) ?? "";
  return () => ({
    id,
    dataRoot,
    storageDriver: snapshots.driver,
    backingFilesystem: fsTypeName(statfs(dataRoot).type) ?? "unknown",
    logDriver: config.logDriver,
    logDrivers: LOG_DRIVERS,
    defaultRuntime: config.defaultRuntime,
    runtimes: Object.fromEntries(Object.entries(runtimes.offered).map(([name, runtime]) => [name, runtime.path])),
    labels: config.labels,
    isDebug: config.isDebug,
    isExperimental: config.isExperimental,
    insecureRegistries: config.insecureRegistries,
    registryMirrors: config.registryMirrors,
    initPath,
    runtimeVersion,
    warnings: [...openSocketWarnings(config.hosts, config.tls), ...network.warnings],
    isUsernsDefault: userns.isDefault,
  });
}

function containerCounts(store: ContainerStore): { running: number; paused: number; stopped: number } {
  const all = store.list();
  const running = all.filter((c) => c.state.status === "running").length;
  const paused = all.filter((c) => c.state.status === "paused").length;
  return { running, paused, stopped: all.length - running - paused };
}

function idOf(dataRoot: string): string {
  const path = join(dataRoot, "engine-id");
  return engineId(path, () => {
    const made = randomId().slice(0, 36);
    writeFileSync(path, made);
    return made;
  });
}

function graphDriver(snapshots: Snapshotter, id: string): { Name: string; Data: Record<string, string> | null } {
  if (snapshots.driver !== "overlay2") return { Name: snapshots.driver, Data: null };
  const { rootfs, upper, work, lowers } = snapshots.paths(id);
  return { Name: snapshots.driver, Data: { LowerDir: lowers.join(":"), MergedDir: rootfs, UpperDir: upper, WorkDir: work ?? "" } };
}

/** Empty when the program can't be asked. */
async function versionOf(path: string): Promise<string> {
  try {
    const child = Bun.spawn([path, "--version"], { stdin: "ignore", stdout: "pipe", stderr: "ignore" });
    return /version (\S+)/.exec(await child.stdout.text())?.[1] ?? "";
  } catch {
    return "";
  }
}
