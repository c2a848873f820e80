import { DhowError, formatTime, nowNs } from "../../lib/mod.ts";
import { isValidSignal, parseSignal } from "../../linux/mod.ts";
import { cgroupOf, freeze, isGroupGone, type Task, thaw } from "../../runtime/mod.ts";
import { cgroupPath } from "./cgroup-path.ts";
import { isRunning, isUp, type SentSignal } from "./container.ts";
import type { ContainerDeps } from "./deps.ts";
import { emitContainer } from "./emit.ts";
import { unwatchHealth, watchHealth } from "./health-probe.ts";
import { startContainer } from "./start.ts";
import type { Container } from "./store.ts";

const SIGKILL = 9;
const SIGTERM = 15;
const DEFAULT_TIMEOUT_S = 10;
/** How long a process may take to end after SIGKILL, before the caller is told. */
const KILL_PATIENCE_MS = 10_000;

export interface StopOptions {
  readonly timeoutS?: number | undefined;
  readonly signal?: string | undefined;
}

function stopSignal({ spec }: Container): number {
  const { StopSignal } = spec.config;
  return StopSignal ? parseSignal(StopSignal) : SIGTERM;
}

function taskOf(deps: ContainerDeps, container: Container): Task {
  const task = deps.live.of(container).task;
  if (!task) throw new DhowError("conflict", `container ${container.id} is not running`);
  return task;
}

async function endsWithin(task: Task, ms: number): Promise<boolean> {
  if (ms < 0) {
    await task.exited;
    return true;
  }
  let timer: ReturnType<typeof setTimeout> | undefined;
  const timeout = new Promise<false>((resolve) => {
    timer = setTimeout(() => resolve(false), ms);
  });
  try {
    return await Promise.race([task.exited.then(() => true), timeout]);
  } finally {
    clearTimeout(timer);
  }
}

function cancelRestart(deps: ContainerDeps, container: Container): void {
  const live = deps.live.of(container);
  clearTimeout(live.restartTimer);
  live.restartTimer = undefined;
  deps.store.update(container, { status: "exited", hasBeenManuallyStopped: true });
  deps.waiters.exited(container.id, container.state.exitCode);
}

/** POST /containers/{id}/stop: the stop signal, and SIGKILL when that is not enough. @throws notModified when it doesn't run */
export async function stopContainer(deps: ContainerDeps, container: Container, options: StopOptions): Promise<void> {
  const { state, spec } = container;
  const signal = options.signal ? parseSignal(options.signal) : stopSignal(container);
  if (state.status === "restarting") {
    cancelRestart(deps, container);
    return;
  }
  if (!isRunning(state)) throw new DhowError("notModified", `container ${container.id} is not running`);
  const task = taskOf(deps, container);
  deps.store.update(container, { hasBeenManuallyStopped: true });
  const by = deps.live.of(container).isRestarting ? "restart" : "stop";
  await end(deps, container, task, { signal, by, timeoutS: options.timeoutS ?? spec.config.StopTimeout ?? DEFAULT_TIMEOUT_S });
  emitContainer(deps.emit, "stop", container);
}

/** Ends a process by `signal`, and by SIGKILL after `timeoutS` (less than 0 = never). @throws internal when that didn't help either */
async function end(
  deps: ContainerDeps,
  container: Container,
  task: Task,
  { signal, by, timeoutS }: { readonly signal: number; readonly by: SentSignal["by"]; readonly timeoutS: number },
): Promise<void> {
  send(deps, container, task, { signal, by });
  if (timeoutS !== 0) await endsWithin(task, timeoutS < 0 ? -1 : timeoutS * 1000);
  if (task.isRunning) {
    send(deps, container, task, { signal: SIGKILL, by });
    if (!(await endsWithin(task, KILL_PATIENCE_MS))) {
      throw new DhowError("internal", `cannot stop container: ${container.id}: tried to kill container, but did not receive an exit event`);
    }
  }
}

function send(deps: ContainerDeps, container: Container, task: Task, { signal, by }: Pick<SentSignal, "signal" | "by">): void {
  // a frozen process takes no signal before it is let go
  const live = deps.live.of(container);
  if (container.state.status === "paused" || live.isPausing) {
    live.isPausing = false;
    thaw(cgroupOf(cgroupPath(deps, container), deps.facts));
    if (container.state.status === "paused") deps.store.update(container, { status: "running" });
  }
  live.lastSignal = { signal, by, at: formatTime(nowNs()) };
  emitContainer(deps.emit, "kill", container, { signal: String(signal) });
  task.signal(signal);
}

/** POST /containers/{id}/kill. @throws notFound, conflict when it doesn't run, invalid for a signal that is none: with the name as it was given */
export async function killContainer(deps: ContainerDeps, ref: string, signalText: string): Promise<void> {
  try {
    const signal = signalText === "" ? SIGKILL : parseSignal(signalText);
    if (!isValidSignal(signal)) throw new DhowError("invalid", `the linux daemon does not support signal ${signal}`);
    await kill(deps, deps.store.find(ref), signal);
  } catch (cause) {
    if (!(cause instanceof DhowError)) throw cause;
    throw new DhowError(cause.kind, `cannot kill container: ${ref}: ${cause.message}`, { cause });
  }
}

async function kill(deps: ContainerDeps, container: Container, signal: number): Promise<void> {
  if (container.state.status === "restarting" && (await deps.locks.run(container.id, () => staysEnded(deps, container)))) return;
  if (!isRunning(container.state)) throw new DhowError("conflict", `container ${container.id} is not running`);
  const task = taskOf(deps, container);
  const isEnd = signal === SIGKILL || signal === stopSignal(container);
  if (isEnd) deps.store.update(container, { hasBeenManuallyStopped: true });
  if (signal === SIGKILL) {
    send(deps, container, task, { signal, by: "kill" });
    await endsWithin(task, KILL_PATIENCE_MS);
    return;
  }
  deps.live.of(container).lastSignal = { signal, by: "kill", at: formatTime(nowNs()) };
  emitContainer(deps.emit, "kill", container, { signal: String(signal) });
  task.signal(signal);
}

/** There is no process for a signal: whichever it is, docker takes it for the wish that there be none. */
function staysEnded(deps: ContainerDeps, container: Container): boolean {
  if (container.state.status !== "restarting") return false;
  cancelRestart(deps, container);
  return true;
}

/** POST /containers/{id}/restart: also starts what doesn't run. */
export async function restartContainer(deps: ContainerDeps, container: Container, options: StopOptions): Promise<void> {
  if (isUp(container.state)) {
    const live = deps.live.of(container);
    live.isRestarting = true;
    try {
      await stopContainer(deps, container, options);
    } finally {
      live.isRestarting = false;
    }
  }
  await startContainer(deps, container);
  emitContainer(deps.emit, "restart", container);
}

/** The label by which a container asks to be restarted when it becomes unhealthy. */
const RESTART_LABEL = "dhow.restart-on-unhealthy";

/**
 * Ends a container that has become unhealthy and asks for it by its label, as a stop does, and leaves the start to the restart policy's
 * pauses. One with `--rm` is left alone, as restart policies leave it.
 */
export async function restartUnhealthy(deps: ContainerDeps, container: Container): Promise<void> {
  const { config, hostConfig } = container.spec;
  if (config.Labels?.[RESTART_LABEL] !== "true" || hostConfig.AutoRemove) return;
  const { task } = deps.live.of(container);
  await deps.locks.run(container.id, async () => {
    const { state } = container;
    if (!task || deps.live.of(container).task !== task || state.status !== "running" || state.health?.status !== "unhealthy") return;
    deps.store.update(container, { isUnhealthyRestart: true });
    await end(deps, container, task, { signal: stopSignal(container), by: "unhealthy", timeoutS: config.StopTimeout ?? DEFAULT_TIMEOUT_S });
  });
}

/** POST /containers/{id}/pause. @throws conflict in docker's words */
export async function pauseContainer(deps: ContainerDeps, container: Container): Promise<void> {
  const { id, state } = container;
  if (state.status === "paused") throw new DhowError("conflict", `container ${id} is already paused`);
  if (state.status === "restarting") {
    throw new DhowError("conflict", `container ${id} is restarting, wait until the container is running`);
  }
  if (!isRunning(state)) throw new DhowError("conflict", `container ${id} is not running`);
  const cgroup = cgroupOf(cgroupPath(deps, container), deps.facts);
  const live = deps.live.of(container);
  live.isPausing = true;
  try {
    await freeze(cgroup);
  } catch (error) {
    live.isPausing = false;
    // without a group it has ended, though the word of it may still be on its way
    if (isRunning(container.state) && !(error instanceof Error && isGroupGone(error.cause))) throw error;
    throw new DhowError("conflict", `container ${id} is not running`, { cause: error });
  }
  const isWanted = live.isPausing;
  live.isPausing = false;
  if (!isWanted || container.state.status !== "running") {
    // It ended meanwhile, or was killed or removed: what is killed while it freezes dies only when it is let go.
    thaw(cgroup);
    throw new DhowError("conflict", `container ${id} is not running`);
  }
  deps.store.update(container, { status: "paused" });
  unwatchHealth(deps, container, live);
  emitContainer(deps.emit, "pause", container);
}

/** POST /containers/{id}/unpause. @throws conflict in docker's words */
export async function unpauseContainer(deps: ContainerDeps, container: Container): Promise<void> {
  if (container.state.status !== "paused") throw new DhowError("conflict", `Container ${container.id} is not paused`);
  const cgroup = cgroupOf(cgroupPath(deps, container), deps.facts);
  if (!cgroup.exists()) throw new DhowError("conflict", `container ${container.id} is not running`);
  thaw(cgroup);
  deps.store.update(container, { status: "running", isPausedForCommit: false });
  watchHealth(deps, container, deps.live.of(container));
  emitContainer(deps.emit, "unpause", container);
}
