import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { DhowError, errorMessage, formatTime, isDigest, nowNs } from "../../lib/mod.ts";
import { isErrno, mkdirat, O_DIRECTORY, O_PATH, open, openat2, RESOLVE_IN_ROOT } from "../../linux/mod.ts";
import {
  type BuiltSpec,
  buildSpec,
  cgroupOf,
  cgroupsPathFor,
  checkTimeOffsets,
  destroyCgroup,
  joinedContainer,
  mountShm,
  OomWatch,
  type ResolvedUser,
  resolveUser,
  type Task,
  unmountShm,
} from "../../runtime/mod.ts";
import { isElsewhere, prepareMountPoints, releaseMounts, resolveMounts, useVolumes } from "../../volumes/mod.ts";
import { isRunning } from "./container.ts";
import type { ContainerDeps } from "./deps.ts";
import { emitContainer, emitNetworks, emitVolumes } from "./emit.ts";
import { environment } from "./environment.ts";
import { onExit } from "./exit.ts";
import { untilAnswering } from "./hanging.ts";
import { resetHealth, watchHealth } from "./health-probe.ts";
import { openIdmaps } from "./idmaps.ts";
import { linkEnvironment, linkedContainers, updateLinkedHosts } from "./links.ts";
import type { Live } from "./live.ts";
import { etcFiles, inheritHostname, namespacePath, type Plugged, plugIn, runningDonor } from "./networking.ts";
import { removeContainer } from "./remove.ts";
import { isUnmarked, markRoot } from "./root-marks.ts";
import type { Container } from "./store.ts";
import { asContainerRoot, mountRootfs, openUserns, processScope, type StartingUserns, takeNetns } from "./userns.ts";

/** Docker's exit code of a container that could not be started. */
const START_FAILED = 128;

/** The cgroup of a container. */
export function cgroupPath(deps: ContainerDeps, container: Container): string {
  const { daemonId, cgroupParent } = deps.settings;
  return cgroupsPathFor(container.id, { daemonId, parent: container.spec.hostConfig.CgroupParent, daemonParent: cgroupParent });
}

/** How a container is started. */
export interface Launch {
  /** The directory of a checkpoint to go on from. */
  readonly checkpoint?: string | undefined;
  /** Who asked for it went away: nothing is waited for any longer. What is under way by then goes on. */
  readonly signal?: AbortSignal | undefined;
}

/**
 * POST /containers/{id}/start, under the container's lock.
 * @throws notModified, conflict, invalid in docker's words
 */
export async function startContainer(deps: ContainerDeps, container: Container, how: Launch = {}): Promise<void> {
  const { state } = container;
  if (state.status === "paused") throw new DhowError("conflict", "cannot start a paused container, try unpause instead");
  if (isRunning(state)) throw new DhowError("notModified", `container ${container.id} is already running`);
  if (state.status === "removing" || state.status === "dead") {
    throw new DhowError("conflict", "container is marked for removal and cannot be started");
  }
  const live = deps.live.of(container);
  clearTimeout(live.restartTimer);
  live.restartTimer = undefined;
  deps.store.update(container, { hasBeenManuallyStopped: false, restartCount: 0 });
  await launch(deps, container, how);
}

/** Starts the container's process; what fails is rolled back and noted in its state. */
export async function launch(deps: ContainerDeps, container: Container, how: Launch = {}): Promise<void> {
  deps.warmer.touch();
  if (isDigest(container.spec.imageId)) deps.images.uses.note(container.spec.imageId);
  const live = deps.live.of(container);
  // the same id can't run twice: crun must have forgotten the last run
  if (live.task) await live.task.gone;
  await live.io.drained;
  live.release?.();
  // from here on the bundle is the next run's: the end of the last one must not take it away
  live.task = undefined;
  live.starting = new AbortController();
  const { signal } = live.starting;
  const waiting = how.signal === undefined ? signal : AbortSignal.any([signal, leaving(how.signal)]);
  try {
    const ready = prepareLog(live);
    if (ready !== undefined) await ready;
    if (container.spec.mounts.length > 0) deps.followHost();
    const answer = sourcesAnswer(deps, container, waiting);
    if (answer !== undefined) await answer;
    await using undo = new AsyncDisposableStack();
    using held = new DisposableStack();
    const userns = await openUserns(deps, container, held);
    const using = useVolumes(container.spec.mounts, container.id, deps.volumes, waiting);
    const paths = using instanceof Promise ? await using : using;
    undo.defer(() => releaseMounts(container.spec.mounts, container.id, deps.volumes));
    const volumesAnswer = foreignVolumesAnswer(deps, paths, waiting);
    if (volumesAnswer !== undefined) await volumesAnswer;
    const { plugged, built, user, netns, releasePins } = await prepare(deps, container, { undo, held, userns, paths });
    for (const warning of built.warnings) deps.log.warn(warning, { container: container.id });
    const runtime = container.spec.hostConfig.Runtime ?? "crun";
    // crun alone takes a compiled filter; compiling it takes longer than all else at a start
    const spec = deps.tasks.command(runtime).isCrun ? deps.seccomp.apply(built.spec) : built.spec;
    live.memoryAtOom = undefined;
    if (container.spec.hostConfig.Memory) watchAhead(deps, container, live, undo);
    const { timeOffsets } = container.spec;
    if (timeOffsets !== undefined) checkTimeOffsets(timeOffsets);
    const { owner } = processScope(container, user);
    const run = { id: container.id, spec, io: live.io, runtime, signal, owner, timeOffsets, netns, checkpoint: how.checkpoint };
    const task = await deps.tasks.run(run);
    undo.defer(() => task.abandon());
    releasePins();
    begin(deps, container, { live, task, plugged });
    undo.move();
  } catch (error) {
    fail(deps, container, error);
    throw error;
  } finally {
    live.starting = undefined;
  }
}

/** The same signal with a reason that can be told to others: it is what the container's state says then. */
function leaving(signal: AbortSignal): AbortSignal {
  const told = new AbortController();
  const gone = (): void => told.abort(new DhowError("unavailable", "who asked for the start went away while a mount was waited for"));
  if (signal.aborted) gone();
  else signal.addEventListener("abort", gone, { once: true });
  return told.signal;
}

/** Undefined in most cases, for there is no bind. */
function sourcesAnswer(deps: ContainerDeps, { spec }: Container, signal: AbortSignal): Promise<void> | undefined {
  const sources = spec.mounts.filter(({ kind }) => kind === "bind").map(({ source }) => source);
  return pathsAnswer(deps, sources, signal);
}

/** The same of volumes whose files are not in the data root. */
function foreignVolumesAnswer(deps: ContainerDeps, paths: ReadonlyMap<string, string>, signal: AbortSignal): Promise<void> | undefined {
  const foreign = [...paths].filter(([name]) => isElsewhere(deps.volumes.tryGet(name))).map(([, path]) => path);
  // a plug-in has mounted it on the host just now
  if (foreign.length > 0) deps.followHost();
  return pathsAnswer(deps, foreign, signal);
}

/** Who removes the container meanwhile ends the waiting. */
function pathsAnswer({ settings }: ContainerDeps, sources: readonly string[], signal: AbortSignal): Promise<void> | undefined {
  if (sources.length === 0) return undefined;
  return untilAnswering(sources, { timeoutMs: settings.runtimeTimeoutMs, signal });
}

/** Undefined when there is nothing to wait for: most starts go on at once. */
function prepareLog(live: Live): Promise<void> | undefined {
  const failed = (cause: unknown): never => {
    const reason = errorMessage(cause);
    throw new DhowError("internal", `failed to create task for container: failed to initialize logging driver: ${reason}`, { cause });
  };
  try {
    return live.io.options.driver.prepare()?.catch(failed);
  } catch (cause) {
    return failed(cause);
  }
}

function begin(
  deps: ContainerDeps,
  container: Container,
  run: { readonly live: Live; readonly task: Task; readonly plugged: Plugged },
): void {
  const { live, task, plugged } = run;
  live.task = task;
  live.lastSignal = undefined;
  deps.store.update(container, {
    status: "running",
    pid: task.pid,
    exitCode: 0,
    error: "",
    oomKilled: false,
    startedAt: formatTime(nowNs()),
    isUnhealthyRestart: undefined,
    lastSignal: undefined,
    memoryAtOom: undefined,
    network: plugged.state(task.pid),
  });
  resetHealth(deps, container);
  watchTask(deps, container, live, task);
  emitNetworks(deps, "connect", container, container.state.network);
  emitVolumes(deps.emit, "mount", container);
  updateLinkedHosts(deps, container, (id) => join(deps.settings.dataRoot, "containers", id, "hosts"));
  emitContainer(deps.emit, "start", container);
}

function watchMemory(deps: ContainerDeps, container: Container, isAhead: boolean): OomWatch | undefined {
  const onOom = (): void => {
    noteMemory(deps, container);
    emitContainer(deps.emit, "oom", container);
  };
  return OomWatch.start(cgroupPath(deps, container), deps.facts, deps.reactor, { onOom, isAhead });
}

/** The numbers go with the group, a moment later. Those that are gone are known all the same: its limit is what it had come to. */
function noteMemory(deps: ContainerDeps, container: Container): void {
  const live = deps.live.peek(container.id);
  const path = cgroupPath(deps, container);
  const { usage, limit, max_usage: peak } = cgroupOf(path, deps.facts).stats().memory_stats;
  if (live && usage && limit) live.memoryAtOom = { usageBytes: usage, limitBytes: limit, peakBytes: Math.max(peak ?? 0, usage) };
  if (live === undefined || live.memoryAtOom !== undefined) return;
  const own = container.spec.hostConfig.Memory ?? 0;
  // else it may have been that of the group above
  const above = cgroupOf(dirname(path), deps.facts).stats().memory_stats.limit || Number.POSITIVE_INFINITY;
  if (own > 0 && own <= above) live.memoryAtOom = { usageBytes: own, limitBytes: own, peakBytes: own };
}

/** A container with a limit may run out of memory in its first milliseconds: the watch is there before. */
function watchAhead(deps: ContainerDeps, container: Container, live: Live, undo: AsyncDisposableStack): void {
  live.oom = watchMemory(deps, container, true);
  undo.defer(() => {
    live.oom?.[Symbol.dispose]();
    live.oom = undefined;
    cgroupOf(cgroupPath(deps, container), deps.facts).tryRemove();
  });
}

/** Follows a running process: out-of-memory, health, exit. */
export function watchTask(deps: ContainerDeps, container: Container, live: Live, task: Task): void {
  try {
    live.oom ??= watchMemory(deps, container, false);
    live.oom?.follow();
  } catch (error) {
    deps.log.warn("out-of-memory can't be watched", { container: container.id, error });
  }
  if (container.state.status !== "paused") watchHealth(deps, container, live);
  // at once where nothing has to be waited for: who stops it goes on right afterwards
  void task.exited.then((exit) => {
    const end = (): void => onExit(deps, container, task, exit);
    const settling = live.oom?.settling(exit.exitCode, container.state.hasBeenManuallyStopped);
    return settling === undefined ? end() : settling.then(end);
  });
}

/** The exit code that a container has whose start failed. */
export function startExitCode(error: unknown): number {
  return error instanceof DhowError && typeof error.details["exitCode"] === "number" ? error.details["exitCode"] : START_FAILED;
}

function fail(deps: ContainerDeps, container: Container, error: unknown): void {
  const exitCode = startExitCode(error);
  const { io } = deps.live.of(container);
  if (!io.isLive) io.abort();
  deps.store.update(container, {
    status: container.state.status === "restarting" ? "exited" : container.state.status,
    exitCode,
    error: errorMessage(error),
    pid: 0,
    network: null,
  });
  deps.waiters.exited(container.id, exitCode, false);
  // a runtime that was ended in the middle leaves it
  const cgroup = cgroupOf(cgroupPath(deps, container), deps.facts);
  if (!cgroup.tryRemove()) void destroyCgroup(cgroup);
  if (!container.spec.hostConfig.AutoRemove) return;
  void deps.locks
    .run(container.id, () => removeContainer(deps, container, { force: true, volumes: true }))
    .catch((cause: unknown) => deps.log.error("container could not be removed", { container: container.id, error: cause }));
}

interface Prepared {
  readonly plugged: Plugged;
  readonly built: BuiltSpec;
  readonly user: ResolvedUser;
  /** Where the network namespace is that the configuration names by its link in the bundle. */
  readonly netns: string | undefined;
  /** Gives up what only the runtime's start needs. */
  readonly releasePins: () => void;
}

interface Scope {
  /** What to do when the start fails. */
  readonly undo: AsyncDisposableStack;
  /** What is needed until the process runs. */
  readonly held: DisposableStack;
  readonly userns: StartingUserns | undefined;
  /** Where the volumes are. */
  readonly paths: ReadonlyMap<string, string>;
}

/** Everything that a start needs: root file system, network, files, mounts, and the runtime's configuration. */
async function prepare(deps: ContainerDeps, container: Container, scope: Scope): Promise<Prepared> {
  const { undo, held, userns } = scope;
  inheritHostname(deps, container);
  const { id, spec } = container;
  const { config, hostConfig } = spec;
  const rootfs = mountRootfs(deps, id, userns);
  undo.defer(() => deps.roots.release(id));
  if (isUnmarked(container)) asContainerRoot(userns, () => markRoot(rootfs));
  const dir = join(deps.settings.dataRoot, "containers", id);
  const user = resolveUser(rootfs, config.User ?? "", hostConfig.GroupAdd ?? []);
  const cwd = config.WorkingDir || "/";
  if (cwd !== "/") asContainerRoot(userns, () => ensureDirectory(rootfs, cwd));
  const links = linkedContainers(deps, container);
  const plugged = await plugIn(deps, container, held, () => takeNetns(userns));
  undo.defer(() => deps.network.release(id));
  const resolved = resolveMounts({
    containerId: id,
    mounts: spec.mounts,
    tmpfs: hostConfig.Tmpfs,
    paths: scope.paths,
    idmaps: await openIdmaps(deps, container, user, held),
    mountImage: (key) => {
      undo.defer(() => deps.roots.release(key));
      return deps.roots.use(key, userns?.view);
    },
    recursiveReadOnly: deps.facts.recursiveReadOnly,
    scratch: join(deps.settings.execRoot, "scratch", id),
    view: userns?.view,
  });
  undo.defer(resolved.dispose);
  const [rows = 0, columns = 0] = hostConfig.ConsoleSize ?? [];
  const mounts = [...resolved.mounts, ...etcFiles(deps, container, plugged, { dir, links, owner: userns?.view.root })];
  asContainerRoot(userns, () => prepareMountPoints(rootfs, mounts));
  // the runtime remembers the path for as long as the container runs: longer than this process may
  const netns = plugged.network.kind === "join" && userns === undefined ? plugged.network.path : undefined;
  const built = buildSpec({
    id,
    rootfs,
    hostname: config.Hostname ?? "",
    domainname: config.Domainname ?? "",
    args: [spec.path, ...spec.args],
    env: environment(container, {
      home: user.home,
      linked: links.flatMap((link) => linkEnvironment(container.name, link)),
      hasTerminal: config.Tty ?? false,
    }),
    cwd,
    user,
    terminal: config.Tty ?? false,
    consoleSize: rows > 0 && columns > 0 ? { height: rows, width: columns } : undefined,
    hostConfig,
    mounts,
    network: netns === undefined ? plugged.network : { kind: "join", path: deps.tasks.netnsPath(id) },
    userns,
    ...sharedNamespaces(deps, container, scope),
    cgroupsPath: cgroupPath(deps, container),
    facts: deps.facts,
    defaults: deps.settings.spec,
  });
  return { plugged, built, user, netns, releasePins: resolved.dispose };
}

interface SharedNamespaces {
  readonly ipcPath?: string;
  readonly pidPath?: string;
  readonly shmPath?: string;
  readonly mqueuePath?: string | null;
}

/** The host's message queues, if it has mounted them: a user namespace may not mount those of a namespace that isn't its own. */
function hostQueues(): string | null {
  return existsSync("/dev/mqueue") ? "/dev/mqueue" : null;
}

function shmDir(deps: ContainerDeps, id: string): string {
  return join(deps.settings.execRoot, "shm", id);
}

function sharedNamespaces(deps: ContainerDeps, { id, spec }: Container, { undo, held, userns }: Scope): SharedNamespaces {
  const { IpcMode = "", PidMode = "", ShmSize = 0 } = spec.hostConfig;
  const pidDonor = joinedContainer(PidMode);
  const pid = pidDonor === undefined ? {} : { pidPath: namespacePath(deps, runningDonor(deps, pidDonor, "PID"), "pid", held) };
  const ipcDonor = joinedContainer(IpcMode);
  if (ipcDonor !== undefined) {
    const donor = runningDonor(deps, ipcDonor, "IPC");
    if (donor.spec.hostConfig.IpcMode !== "shareable") {
      throw new DhowError(
        "invalid",
        `can't join IPC of container ${donor.id}: non-shareable IPC (hint: use IpcMode:shareable for the donor container)`,
      );
    }
    return { ...pid, ipcPath: namespacePath(deps, donor, "ipc", held), shmPath: shmDir(deps, donor.id) };
  }
  if (IpcMode === "host" && spec.userns !== undefined) return { ...pid, mqueuePath: hostQueues() };
  if (IpcMode !== "shareable") return pid;
  const shmPath = shmDir(deps, id);
  undo.defer(() => releaseShm(deps, id));
  mountShm(shmPath, ShmSize, userns?.view.root);
  return { ...pid, shmPath };
}

/** Takes away what a shareable container's /dev/shm was on the host. */
export function releaseShm(deps: ContainerDeps, id: string): void {
  try {
    unmountShm(shmDir(deps, id));
  } catch (error) {
    deps.log.warn("/dev/shm could not be unmounted", { container: id, error });
  }
}

/** Makes a directory and its parents inside `rootfs`, where they are missing; links resolve inside. @throws invalid when a file is in the way */
export function ensureDirectory(rootfs: string, path: string): void {
  using root = open(rootfs, O_PATH | O_DIRECTORY);
  const parts = path.split("/").filter((part) => part !== "" && part !== ".");
  const flags = { flags: O_PATH | O_DIRECTORY, resolve: RESOLVE_IN_ROOT };
  for (let depth = 1; depth <= parts.length; depth++) {
    const prefix = parts.slice(0, depth).join("/");
    try {
      openat2(root.fd, prefix, flags)[Symbol.dispose]();
    } catch (error) {
      if (isErrno(error, "ENOTDIR")) throw new DhowError("invalid", `Cannot mkdir: ${path} is not a directory`, { cause: error });
      if (!isErrno(error, "ENOENT")) throw error;
      using parent = openat2(root.fd, depth === 1 ? "." : parts.slice(0, depth - 1).join("/"), flags);
      mkdirat(parent.fd, parts[depth - 1] ?? "", 0o755);
    }
  }
}
