/** The composition root: the one place that constructs everything; start, drain, stop. */
import { mkdirSync, readdirSync, readFileSync, readlinkSync, rmSync, unlinkSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { BlobStore } from "./content/mod.ts";
import { type DaemonCommand, type DaemonConfig, parseDaemonCommand } from "./daemon-config.ts";
import { enterNamespace, isInNamespace, prepareNamespace, readOnlyCopy } from "./daemon-namespace.ts";
import {
  type ContainerDeps,
  ContainerLifecycle,
  ContainerStore,
  ContainerStreams,
  Containers,
  EventHub,
  Execs,
  engineId,
  Images,
  ImageTransfer,
  isRunning,
  LiveContainers,
  markBytes,
  NetworksService,
  networkMode,
  recoverContainers,
  System,
  VolumesService,
  Waiters,
} from "./engine/mod.ts";
import { ImageStore } from "./images/mod.ts";
import {
  createLogger,
  DhowError,
  type Digest,
  DOCKER_VERSION,
  digestHex,
  digestOf,
  errnoCode,
  errorMessage,
  KeyedMutex,
  type Logger,
  randomId,
  VERSION,
} from "./lib/mod.ts";
import {
  type Fd,
  flock,
  fsTypeName,
  isAlive,
  LOCK_EX,
  MNT_DETACH,
  madviseTrim,
  O_CLOEXEC,
  O_CREAT,
  O_RDWR,
  OrphanReaper,
  open,
  Reactor,
  readMountInfo,
  statfs,
  umount,
} from "./linux/mod.ts";
import { ContainersTable, Database, LayersTable, MIGRATIONS, VolumesTable } from "./metadata/mod.ts";
import { Networking } from "./network/mod.ts";
import {
  BufferPool,
  createClockNs,
  type HostFacts,
  hostFacts,
  MigrationWarmer,
  type OciRuntime,
  removeEmptyParent,
  SeccompCache,
  Tasks,
} from "./runtime/mod.ts";
import { type ApiServer, createServer, type ListenAddress } from "./server/mod.ts";
import { isOverlaySupported, LayerStore, Native, Overlay2, type Snapshotter } from "./snapshots/mod.ts";
import type { EngineApi } from "./spec/engine/mod.ts";
import { Volumes } from "./volumes/mod.ts";

const SYSTEMD_FIRST_FD = 3;
const TRIM_EVERY_MS = 1000;
/** For those whose end nothing waits for. */
const ORPHANS_EVERY_MS = 5000;
/** Below it the daemon did nothing in a second but look at the clock. */
const TRIM_BUSY_US = 3000;
const DRAIN_MS = 2000;
const LOCK_FILE = "lock";
const INIT_PATHS = ["/usr/bin/tini-static", "/usr/bin/docker-init", "/usr/libexec/docker/docker-init", "/usr/bin/tini"];

/** Runs the daemon until it is told to stop. Returns the exit code. */
export async function runDaemon(argv: readonly string[]): Promise<number> {
  let command: DaemonCommand;
  try {
    command = parseDaemonCommand(argv, process.env);
  } catch (error) {
    process.stderr.write(`${errorMessage(error)}\n`);
    return 1;
  }
  switch (command.kind) {
    case "help":
      process.stdout.write(command.text);
      return 0;
    case "version":
      process.stdout.write(`dhow version ${VERSION}, Docker API as of ${DOCKER_VERSION}\n`);
      return 0;
    case "validate":
      process.stdout.write("configuration OK\n");
      return 0;
    case "run":
      return serve(command.config, argv);
    default: {
      const never: never = command;
      return never;
    }
  }
}

async function serve(config: DaemonConfig, argv: readonly string[]): Promise<number> {
  if (process.getuid?.() !== 0) {
    process.stderr.write("dhow daemon: it needs to be started with root privileges; use sudo\n");
    return 1;
  }
  const write = (line: string): void => void process.stderr.write(line);
  const log = createLogger({ level: config.logLevel, format: config.logFormat, write });
  try {
    if (!isInNamespace()) enterNamespace(findHolder(config.execRoot), ["daemon", ...argv]);
    await using daemon = await Daemon.start(config, log);
    await daemon.stopped;
    return 0;
  } catch (error) {
    process.stderr.write(`failed to start daemon: ${errorMessage(error)}\n`);
    log.debug("start failed", { stack: error instanceof Error ? error.stack : undefined });
    return 1;
  }
}

/** A process that an earlier daemon left for a running container: it is in that daemon's mount namespace. */
function findHolder(execRoot: string): number | undefined {
  const bundles = join(execRoot, "bundles");
  let names: string[] = [];
  try {
    names = readdirSync(bundles);
  } catch (error) {
    if (errnoCode(error) !== "ENOENT") throw error;
  }
  for (const name of names) {
    try {
      const pid = Number(readFileSync(join(bundles, name, "holder"), "utf8"));
      if (readFileSync(`/proc/${pid}/cmdline`, "utf8").includes("dhow-holder")) return pid;
    } catch {
      // its container has ended
    }
  }
  return undefined;
}

/** What all of the engine is made of, for the time between start and stop. */
class Daemon implements AsyncDisposable {
  readonly stopped: Promise<void>;
  readonly #stack: AsyncDisposableStack;

  private constructor(stack: AsyncDisposableStack, stopped: Promise<void>) {
    this.#stack = stack;
    this.stopped = stopped;
  }

  static async start(config: DaemonConfig, log: Logger): Promise<Daemon> {
    await using stack = new AsyncDisposableStack();
    for (const dir of [config.dataRoot, config.execRoot, dirname(config.pidfile)]) mkdirSync(dir, { recursive: true, mode: 0o711 });
    stack.use(lockRoot(config.dataRoot, "--data-root"));
    stack.use(lockRoot(config.execRoot, "--exec-root"));
    prepareNamespace(config.dataRoot, config.execRoot);
    writePidfile(config.pidfile);
    stack.defer(() => removeQuietly(config.pidfile));
    const facts = hostFacts();
    const warmer = stack.use(new MigrationWarmer(facts));
    const engine = await startEngine(config, { facts, warmer, log, stack });
    const onRequest = (): void => warmer.touch();
    const server = createServer({ api: engine, log: log.child({ room: "server" }), serverVersion: DOCKER_VERSION, onRequest });
    stack.defer(() => server.close({ drainMs: DRAIN_MS }));
    await listenAll(server, config, log);
    const stop = Promise.withResolvers<void>();
    for (const signal of ["SIGTERM", "SIGINT"] as const) process.once(signal, () => stop.resolve());
    stack.defer(trimWhenIdle());
    log.info("daemon has completed initialization", { version: VERSION });
    return new Daemon(stack.move(), stop.promise);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stack[Symbol.asyncDispose]();
  }
}

function removeQuietly(path: string): void {
  try {
    unlinkSync(path);
  } catch (error) {
    if (errnoCode(error) !== "ENOENT") throw error;
  }
}

/** Two daemons on one root would destroy each other's work. @throws conflict */
function lockRoot(root: string, flag: string): Fd {
  const fd = open(join(root, LOCK_FILE), O_RDWR | O_CREAT | O_CLOEXEC, 0o600);
  if (flock(fd.fd, LOCK_EX)) return fd;
  fd.close();
  throw new DhowError("conflict", `lock ${root}: another daemon uses it; give this one a ${flag} of its own`);
}

/** Whether a process is a daemon: after a kill another program may have got the number. */
function isDaemon(pid: number): boolean {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8")
      .split("\0")
      .some((word) => word === "daemon" || word.endsWith("dockerd"));
  } catch {
    return false;
  }
}

/** Empties the directory of temporary files, after ending the tools that a killed daemon left working there. */
function clearTemporary(dir: string): void {
  const names = readdirSync(dir);
  if (names.length === 0) return;
  for (const pid of readdirSync("/proc").map(Number)) {
    if (!(pid > 1) || pid === process.pid) continue;
    try {
      const places = ["cwd", "root"].map((link) => readlinkSync(`/proc/${pid}/${link}`));
      const texts = [readFileSync(`/proc/${pid}/cmdline`, "utf8"), ...places];
      if (names.some((name) => texts.some((text) => text.includes(join(dir, name))))) process.kill(pid, "SIGKILL");
    } catch {
      // it has ended
    }
  }
  for (const { mountPoint } of readMountInfo().reverse()) if (mountPoint.startsWith(`${dir}/`)) umount(mountPoint, MNT_DETACH);
  for (const name of names) rmSync(join(dir, name), { recursive: true, force: true });
}

/** @throws conflict in dockerd's words when the process of the file is alive */
function writePidfile(path: string): void {
  let pid = 0;
  try {
    pid = Number(readFileSync(path, "utf8"));
  } catch (error) {
    if (errnoCode(error) !== "ENOENT") throw error;
  }
  if (pid > 0 && pid !== process.pid && isAlive(pid) && isDaemon(pid)) {
    throw new DhowError("conflict", `ensure dhow is not running or delete ${path}: process with PID ${pid} is still running`);
  }
  writeFileSync(path, String(process.pid));
}

function openSnapshotter(config: DaemonConfig, root: string, log: Logger): Snapshotter {
  switch (config.storageDriver) {
    case "overlay2":
    case "overlayfs":
      return new Overlay2(root, log);
    case "native":
    case "vfs":
      return new Native(root, log);
    case "":
      if (isOverlaySupported(root)) return new Overlay2(root, log);
      log.warn("the file system of the data root takes no overlays: every container gets a copy of its image", { root });
      return new Native(root, log);
    default:
      throw new DhowError("invalid", `error initializing graphdriver: driver not supported: ${config.storageDriver}`);
  }
}

function firstExisting(paths: readonly string[]): string | undefined {
  return paths.find((path) => Bun.file(path).size > 0);
}

/** The runtimes by name; crun runs from a read-only mount, which spares it the copy of itself that it makes at every start otherwise. */
function openRuntimes(config: DaemonConfig, log: Logger): Record<string, OciRuntime> {
  const runtimes: Record<string, OciRuntime> = {};
  for (const name of ["crun", "runc", "youki", "runsc"]) {
    const path = Bun.which(name);
    if (path !== null) runtimes[name] = { path };
  }
  for (const [name, { path, runtimeArgs }] of Object.entries(config.runtimes)) runtimes[name] = { path, args: runtimeArgs };
  const crun = runtimes["crun"];
  if (crun) {
    try {
      runtimes["crun"] = { ...crun, path: readOnlyCopy(crun.path, join(config.execRoot, "bin", "crun")) };
    } catch (error) {
      log.warn("crun can't be mounted read-only; it starts more slowly", { error });
    }
  }
  if (!runtimes[config.defaultRuntime]) {
    throw new DhowError(
      "invalid",
      `the default runtime ${JSON.stringify(config.defaultRuntime)} is not there: install it, or name another by --default-runtime`,
    );
  }
  return runtimes;
}

/** Where a kernel restart leaves an exec root on a disk, its content is worthless: pids and mounts in it are of the last boot. */
function forgetLastBoot(execRoot: string): void {
  const file = join(execRoot, "boot-id");
  const boot = readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
  let last = boot;
  try {
    last = readFileSync(file, "utf8").trim();
  } catch (error) {
    if (errnoCode(error) !== "ENOENT") throw error;
  }
  if (last !== boot)
    for (const name of readdirSync(execRoot)) if (name !== LOCK_FILE) rmSync(join(execRoot, name), { recursive: true, force: true });
  writeFileSync(file, boot);
}

interface Base {
  readonly facts: HostFacts;
  readonly warmer: MigrationWarmer;
  readonly log: Logger;
  readonly stack: AsyncDisposableStack;
}

async function startEngine(config: DaemonConfig, { facts, warmer, log, stack }: Base): Promise<EngineApi> {
  const { dataRoot, execRoot } = config;
  forgetLastBoot(execRoot);
  for (const dir of ["content", "snapshots", "containers", "volumes", "tmp"])
    mkdirSync(join(dataRoot, dir), { recursive: true, mode: 0o710 });
  clearTemporary(join(dataRoot, "tmp"));
  const daemonId = digestHex(digestOf(execRoot)).slice(0, 8);
  const db = stack.use(Database.open(join(dataRoot, "db.sqlite"), MIGRATIONS));
  const reactor = stack.use(new Reactor(log));
  const events = new EventHub();
  const { emit } = events;

  const blobs = new BlobStore(join(dataRoot, "content"));
  blobs.sweep();
  const snapshots = openSnapshotter(config, join(dataRoot, "snapshots"), log);
  const layers = new LayerStore({ table: new LayersTable(db), snapshotter: snapshots, log });
  await layers.recover();
  const store = new ContainerStore(new ContainersTable(db));
  const images = new ImageStore({ db, blobs, layers, layersInUse: () => store.list().flatMap((c) => c.spec.topLayer ?? []), log });
  const volumeUsers = (name: string): string[] =>
    store
      .list()
      .filter((c) => c.state.status !== "removing" && c.spec.mounts.some((m) => m.volume === name))
      .map((c) => c.id);
  const volumes = new Volumes({ table: new VolumesTable(db), root: join(dataRoot, "volumes"), log, references: volumeUsers });
  volumes.recover();
  const tableName = config.bridge === "none" ? `dhow-${daemonId}` : config.bridge;
  const network = new Networking({
    db,
    log,
    bridgeName: config.bridge,
    tableName,
    bip: config.bip,
    fixedCidr: config.fixedCidr,
    mtu: config.mtu,
    ipForward: config.isIpForward,
    icc: config.areContainersConnected,
    defaultAddressPools: config.defaultAddressPools.length > 0 ? config.defaultAddressPools : undefined,
    poolSize: config.sandboxPool,
  });
  network.start();
  stack.defer(() => network.stop({ removeAll: true }));
  const runtimes = openRuntimes(config, log);
  const orphans = stack.use(new OrphanReaper(ORPHANS_EVERY_MS));
  const tasks = new Tasks({ runtimes, execRoot, reactor, log, onOrphan: () => orphans.look() });
  const buffers = new BufferPool();
  const clock = createClockNs();
  const initPath = config.initPath || firstExisting(INIT_PATHS);
  const deps: ContainerDeps = {
    store,
    live: new LiveContainers({ dataRoot, reactor, buffers, clock, log }),
    locks: new KeyedMutex(),
    waiters: new Waiters(),
    images,
    snapshots,
    volumes,
    network,
    tasks,
    seccomp: new SeccompCache({ directory: join(dataRoot, "seccomp"), log }),
    warmer,
    reactor,
    buffers,
    clock,
    facts,
    settings: {
      dataRoot,
      execRoot,
      daemonId,
      cgroupParent: config.cgroupParent,
      host: {
        logDriver: config.logDriver,
        logOpts: config.logOpts,
        runtime: config.defaultRuntime,
        shmSizeBytes: config.defaultShmSizeBytes,
        cgroupnsMode:
          config.defaultCgroupnsMode === "host" || config.defaultCgroupnsMode === "private"
            ? config.defaultCgroupnsMode
            : facts.cgroup.version === 2
              ? "private"
              : "host",
        maskedPaths: facts.maskedPaths,
        readonlyPaths: facts.readonlyPaths,
      },
      spec: { ulimits: config.defaultUlimits, init: config.isInitDefault, ...(initPath === undefined ? {} : { initPath }) },
      dns: config.dns,
      dnsSearch: config.dnsSearch,
      dnsOptions: config.dnsOptions,
      defaultHostIp: config.defaultHostIp,
      runtimes: Object.keys(runtimes),
    },
    emit,
    log,
  };
  await images.recover();
  await recoverContainers(deps);
  stack.defer(() => removeEmptyParent(`${config.cgroupParent || "/dhow"}/${daemonId}`, facts));

  const imageDeps = {
    store: images,
    layers,
    driver: snapshots.driver,
    temporary: join(dataRoot, "tmp"),
    imageUsers: (id: string) => store.usersOf(id),
    emit,
    log,
  };
  const imageApi = new Images(imageDeps);
  const sizes = async (container: {
    readonly id: string;
    readonly spec: { readonly imageId: string };
  }): Promise<{ rw: number; rootFs: number }> => {
    const usage = await snapshots.usage(container.id);
    const { upper } = snapshots.paths(container.id);
    const sizeBytes = usage.sizeBytes - (upper ? markBytes(upper) : 0);
    return { rw: sizeBytes, rootFs: sizeBytes + (images.tryGet(container.spec.imageId as never)?.sizeBytes ?? 0) };
  };
  const descendants = (ref: string): ReadonlySet<string> => {
    const id = imageIdOf(ref);
    const image = id === undefined ? undefined : images.tryGet(id);
    if (!image) return new Set();
    const found = images.list().filter((other) => image.layers.every((layer, index) => other.layers[index] === layer));
    return new Set([image.id, ...(image.layers.length > 0 ? found.map((other) => other.id) : [])]);
  };
  const imageIdOf = (ref: string): Digest | undefined => {
    try {
      return images.resolveId(ref);
    } catch {
      return undefined;
    }
  };
  const healthOf = (container: { readonly id: string }): string => deps.live.peek(container.id)?.health?.health?.Status ?? "";
  const containers = new Containers(
    deps,
    { store, descendants, imageIdOf, sizes, healthOf },
    {
      containerDir: (id) => join(dataRoot, "containers", id),
      logPath: (container) => deps.live.of(container).io.options.driver.path,
      execIds: (id) => {
        const ids = deps.live.peek(id)?.execIds;
        return ids && ids.size > 0 ? [...ids] : null;
      },
      graphDriver: (container) => graphDriver(snapshots, container.id),
      health: (container) => deps.live.peek(container.id)?.health?.health,
      appArmorProfile: () => "",
    },
  );
  const volumesApi = new VolumesService({ volumes, emit });
  const networks = new NetworksService({
    networking: network,
    containerName: (id) => store.get(id)?.name,
    containersOn: (name) =>
      store
        .list()
        .filter((c) => isRunning(c.state) && networkMode(c.spec.hostConfig) === name)
        .map((c) => c.id),
    emit,
  });
  let runtimeVersion = "";
  void versionOf(runtimes[config.defaultRuntime]?.path ?? "").then((version) => {
    runtimeVersion = version;
  });
  const id = engineId(join(dataRoot, "engine-id"), () => {
    const made = randomId().slice(0, 36);
    writeFileSync(join(dataRoot, "engine-id"), made);
    return made;
  });
  const system = new System({
    facts,
    events,
    images: imageApi,
    containers,
    volumes: volumesApi,
    volumeUsers: (name) => volumeUsers(name).length,
    layersSizeBytes: () => layers.list().reduce((sum, layer) => sum + layer.sizeBytes, 0),
    settings: () => ({
      id,
      dataRoot,
      storageDriver: snapshots.driver,
      backingFilesystem: fsTypeName(statfs(dataRoot).type) ?? "unknown",
      logDriver: config.logDriver,
      defaultRuntime: config.defaultRuntime,
      runtimes: Object.fromEntries(Object.entries(runtimes).map(([name, runtime]) => [name, runtime.path])),
      labels: config.labels,
      isDebug: config.isDebug,
      initPath: initPath ?? "",
      runtimeVersion,
      warnings: network.warnings,
    }),
    counts: () => {
      const all = store.list();
      const running = all.filter((c) => c.state.status === "running").length;
      const paused = all.filter((c) => c.state.status === "paused").length;
      return { running, paused, stopped: all.length - running - paused, images: images.list().length, listeners: events.listeners };
    },
  });
  return {
    containers,
    lifecycle: new ContainerLifecycle(deps),
    streams: new ContainerStreams(deps),
    exec: new Execs(deps),
    images: imageApi,
    transfer: new ImageTransfer(imageDeps),
    volumes: volumesApi,
    networks,
    system,
  };
}

function graphDriver(snapshots: Snapshotter, id: string): { Name: string; Data: Record<string, string> | null } {
  if (snapshots.driver !== "overlay2") return { Name: snapshots.driver, Data: null };
  const { rootfs, upper, work, lowers } = snapshots.paths(id);
  return { Name: snapshots.driver, Data: { LowerDir: lowers.join(":"), MergedDir: rootfs, UpperDir: upper, WorkDir: work ?? "" } };
}

async function versionOf(path: string): Promise<string> {
  if (path === "") return "";
  const child = Bun.spawn([path, "--version"], { stdin: "ignore", stdout: "pipe", stderr: "ignore" });
  const text = await new Response(child.stdout).text();
  return /version (\S+)/.exec(text)?.[1] ?? "";
}

async function listenAll(server: ApiServer, config: DaemonConfig, log: Logger): Promise<void> {
  for (const host of config.hosts) {
    for (const address of addressesOf(host, config)) {
      const listener = await server.listen(address);
      log.info("API listen on", { address: listener.address });
    }
  }
}

/** @throws invalid */
function addressesOf(host: string, config: DaemonConfig): ListenAddress[] {
  if (host.startsWith("unix://")) {
    const path = host.slice("unix://".length);
    mkdirSync(dirname(path), { recursive: true });
    return [{ kind: "unix", path, group: config.group, mode: 0o660 }];
  }
  if (host.startsWith("tcp://")) {
    const at = host.lastIndexOf(":");
    return [{ kind: "tcp", host: host.slice("tcp://".length, at) || "127.0.0.1", port: Number(host.slice(at + 1)) }];
  }
  const count = process.env["LISTEN_PID"] === String(process.pid) ? Number(process.env["LISTEN_FDS"] ?? 0) : 0;
  if (count === 0) throw new DhowError("invalid", `${host}: no sockets were handed over: the daemon was not started by a socket unit`);
  return Array.from({ length: count }, (_, index) => ({ kind: "fd", fd: SYSTEMD_FIRST_FD + index }));
}

/**
 * Gives memory back: every second in which the daemon worked, the pages of code that it used once (what is needed again comes from the
 * page cache, in a millisecond altogether); in the first quiet second also garbage. Then nothing more. Returns what ends it.
 */
function trimWhenIdle(): () => void {
  let last = process.cpuUsage();
  let hasWorked = true;
  const timer = setInterval(() => {
    const used = process.cpuUsage(last);
    const isBusy = used.user + used.system > TRIM_BUSY_US;
    if (isBusy || hasWorked) {
      if (!isBusy) Bun.gc(true);
      madviseTrim();
    }
    hasWorked = isBusy;
    last = process.cpuUsage();
  }, TRIM_EVERY_MS);
  timer.unref();
  return () => clearInterval(timer);
}
