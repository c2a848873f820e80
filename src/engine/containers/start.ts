import { join } from "node:path";
import { DhowError, errorMessage, formatTime, isDigest, nowNs } from "../../lib/mod.ts";
import { cgroupOf, checkTimeOffsets, destroyCgroup, type Task, withLastingHooks } from "../../runtime/mod.ts";
import { isElsewhere, releaseMounts, useVolumes } from "../../volumes/mod.ts";
import { cgroupPath } from "./cgroup-path.ts";
import { isRunning } from "./container.ts";
import type { ContainerDeps } from "./deps.ts";
import { emitContainer, emitNetworks, emitVolumes } from "./emit.ts";
import { onExit } from "./exit.ts";
import { untilAnswering } from "./hanging.ts";
import { resetHealth, watchHealth } from "./health-probe.ts";
import { updateLinkedHosts } from "./links.ts";
import type { Live } from "./live.ts";
import { watchAhead, watchMemory } from "./memory-watch.ts";
import type { Plugged } from "./networking.ts";
import { prepare } from "./prepare.ts";
import { removeContainer } from "./remove.ts";
import type { Container } from "./store.ts";
import { openUserns, processScope } from "./userns.ts";

/** Docker's exit code of a container that could not be started. */
const START_FAILED = 128;

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
    const used = useVolumes(container.spec.mounts, container.id, deps.volumes, waiting);
    const paths = used instanceof Promise ? await used : used;
    undo.defer(() => releaseMounts(container.spec.mounts, container.id, deps.volumes));
    const volumesAnswer = foreignVolumesAnswer(deps, paths, waiting);
    if (volumesAnswer !== undefined) await volumesAnswer;
    const { plugged, built, user, netns, releasePins } = await prepare(deps, container, { undo, held, userns, paths });
    for (const warning of built.warnings) deps.log.warn(warning, { container: container.id });
    const runtime = container.spec.hostConfig.Runtime ?? "crun";
    // crun alone takes a compiled filter; compiling it takes longer than all else at a start
    const spec = deps.tasks.command(runtime).isCrun ? withLastingHooks(deps.seccomp.apply(built.spec)) : built.spec;
    live.memoryAtOom = undefined;
    if (container.spec.hostConfig.Memory) watchAhead(deps, container, live, undo);
    const { timeOffsets } = container.spec;
    if (timeOffsets !== undefined) checkTimeOffsets(timeOffsets);
    const { owner } = processScope(container, user);
    const hookReader = spec.hooks === undefined ? undefined : userns?.view.root;
    const run = { id: container.id, spec, io: live.io, runtime, signal, owner, timeOffsets, netns, checkpoint: how.checkpoint };
    const task = await deps.tasks.run({ ...run, hookReader });
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
  deps.waiters.exited(container.id, exitCode);
  // a runtime that was ended in the middle leaves it
  const cgroup = cgroupOf(cgroupPath(deps, container), deps.facts);
  if (!cgroup.tryRemove()) void destroyCgroup(cgroup);
  if (!container.spec.hostConfig.AutoRemove) return;
  void deps.locks
    .run(container.id, () => removeContainer(deps, container, { force: true, volumes: true }))
    .catch((cause: unknown) => deps.log.error("container could not be removed", { container: container.id, error: cause }));
}
