import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { type Defect, errorMessage, formatTime, parseTime } from "../../lib/mod.ts";
import type { Sandbox } from "../../network/mod.ts";
import { cgroupOf, isRemoteLogDriver, type Task, type TaskExit } from "../../runtime/mod.ts";
import { adoptMounts } from "../../volumes/mod.ts";
import { cgroupPath } from "./cgroup-path.ts";
import { sweepCheckpoints } from "./checkpoint.ts";
import { isRunning } from "./container.ts";
import { cgroupDefects, directoryDefects, entries, quarantineDefects, runDefects, snapshotDefects } from "./defects.ts";
import type { ContainerDeps } from "./deps.ts";
import { emitContainer } from "./emit.ts";
import { releaseRun } from "./exit.ts";
import { hasFailed } from "./health.ts";
import { networkJoiners } from "./joiners.ts";
import { sandboxState } from "./networking.ts";
import { forgetNoted } from "./new-volumes.ts";
import { finishRemoval } from "./remove.ts";
import { isStartedWithDaemon, restartDelay } from "./restart.ts";
import { launch, startExitCode, watchTask } from "./start.ts";
import { restartUnhealthy } from "./stop.ts";
import type { Container } from "./store.ts";
import { finishUpdate } from "./update.ts";

const SIGKILL = 9;
const MILLISECOND_NS = 1_000_000n;
/** How long a runtime takes at most to clean up after a process that has ended. */
const ENDS_SOON_MS = 2000;

/** What a daemon without a record of its exit says of a container that is gone: the host was restarted. */
const LOST: TaskExit = { exitCode: 255, exitedAt: new Date(0) };

/**
 * Takes up what the last daemon left: running containers go on under this one, ended ones get their exit code, begun removals and
 * automatic ones are finished, and whatever no container knows is deleted. Then restart policies have their say.
 * What goes wrong with one container is logged and leaves the others alone.
 */
export async function recoverContainers(deps: ContainerDeps): Promise<void> {
  const ended = await adoptAll(deps);
  const running = deps.store.list().filter(({ state }) => isRunning(state));
  const alive = new Map(running.map(({ id, state }) => [id, state.pid]));
  for (const container of deps.store.list()) {
    if (container.spec.update) await attempt(deps, "finish an update", () => finishUpdate(deps, container));
  }
  deps.network.adopt(alive, networkJoiners(deps));
  for (const container of ended) await attempt(deps, "end a container's last run", () => tidy(deps, container));
  await sweep(deps);
  for (const container of deps.store.list()) sendLeftOvers(deps, container);
  const started = new Map<string, Promise<void>>();
  for (const container of deps.store.list()) resume(deps, container, started);
}

/**
 * Takes up what runs; returns those whose last run has ended. All at once: what has to be waited for (a runtime that is about to end, a
 * start that may still succeed) takes as long for many as for one.
 */
async function adoptAll(deps: ContainerDeps): Promise<readonly Container[]> {
  const outcomes = await Promise.all(
    deps.store.list().map(async (container) => {
      try {
        return (await adopt(deps, container)) === "ended" ? [container] : [];
      } catch (error) {
        deps.log.error("container could not be taken up", { container: container.id, error });
        return [];
      }
    }),
  );
  return outcomes.flat();
}

/**
 * Finds out what became of a container's last run. The record may be behind: the last daemon died between the start or the end of the
 * process and its note of it, or before all output was in the log.
 */
async function adopt(deps: ContainerDeps, container: Container): Promise<"running" | "ended"> {
  const { id, spec, state } = container;
  const preparedAt = deps.tasks.preparedAt(id);
  if (preparedAt === undefined) {
    if (isRunning(state)) markExited(deps, container, { ...LOST, exitedAt: new Date() });
    return "ended";
  }
  const live = deps.live.of(container);
  const found = await deps.tasks.adopt({ id, io: live.io, runtime: spec.hostConfig.Runtime ?? "crun", hasRun: isRunning(state) });
  const isRecorded = !isRunning(state) && preparedAt.getTime() <= Number((parseTime(state.finishedAt) ?? 0n) / MILLISECOND_NS);
  const startedAt = isRunning(state) ? state.startedAt : formatTime(BigInt(preparedAt.getTime()) * MILLISECOND_NS);
  if (found?.kind === "failed") {
    noteFailure(deps, container, found.error);
    return "ended";
  }
  if (found?.kind !== "running") {
    const exit = found?.exit ?? (isRunning(state) ? { ...LOST, exitedAt: new Date() } : undefined);
    if (exit && !isRecorded && state.status !== "removing") markExited(deps, container, exit, startedAt);
    return "ended";
  }
  const { task } = found;
  live.task = task;
  const cgroup = cgroupOf(cgroupPath(deps, container), deps.facts);
  if (state.status === "removing") {
    cgroup.setFrozen(false);
    task.signal(SIGKILL);
    await task.gone;
    return "ended";
  }
  // its process has ended and the runtime is about to
  if (isRecorded && (await endsSoon(task))) return "ended";
  if (state.isPausedForCommit) cgroup.setFrozen(false);
  const sandbox = deps.network.sandbox(id);
  if (sandbox !== undefined) settleEndpoints(deps, container, sandbox);
  deps.store.update(container, {
    isPausedForCommit: false,
    status: cgroup.freezeState() === "thawed" ? "running" : "paused",
    pid: task.pid,
    startedAt,
    network: sandbox ? sandboxState(deps, container, sandbox, task.pid) : state.network,
  });
  adoptMounts(spec.mounts, id, deps.volumes);
  deps.roots.adopt(id, spec.userns !== undefined);
  for (const { image } of spec.mounts) if (image !== undefined) deps.roots.adopt(image.key, spec.userns !== undefined);
  watchTask(deps, container, live, task);
  // what the last daemon began, or was about to
  const { health } = container.state;
  if (health?.status === "unhealthy" && hasFailed(health, spec.config.Healthcheck ?? {})) {
    void attempt(deps, "restart an unhealthy container", () => restartUnhealthy(deps, container));
  }
  return "running";
}

/** A connect that the last daemon had not come to the end of never was; a disconnect that it had begun is done. */
function settleEndpoints(deps: ContainerDeps, container: Container, sandbox: Sandbox): void {
  const { endpoints } = container.spec;
  const held = new Set(sandbox.endpoints.map(({ networkName }) => networkName));
  // nobody knows what became of an endpoint on a network that could not be opened
  const isKept = (name: string): boolean => name === "none" || held.has(name) || !deps.network.isOpen(name);
  const settled = Object.fromEntries(Object.entries(endpoints).filter(([name]) => isKept(name)));
  if (Object.keys(settled).length < Object.keys(endpoints).length) deps.store.updateSpec(container, { endpoints: settled });
}

async function endsSoon(task: Task): Promise<boolean> {
  const timeout = new AbortController();
  const late = sleep(ENDS_SOON_MS, false, { signal: timeout.signal }).catch(() => false);
  const isEnded = await Promise.race([task.gone.then(() => true), late]);
  timeout.abort();
  return isEnded;
}

/**
 * The start that was under way went wrong, often because its daemon died. Nobody was told anything: what the record says stays,
 * and a container that is removed at its end, whose client is gone, goes.
 */
function noteFailure(deps: ContainerDeps, container: Container, error: unknown): void {
  deps.log.warn("the start that the last daemon was about failed", { container: container.id, error });
  if (isRunning(container.state)) {
    markExited(deps, container, { exitCode: startExitCode(error), exitedAt: new Date(), error: errorMessage(error) });
  } else if (container.spec.hostConfig.AutoRemove) {
    deps.store.update(container, { status: "removing", isRemovingVolumes: true });
  }
}

function markExited(deps: ContainerDeps, container: Container, exit: TaskExit, startedAt = container.state.startedAt): void {
  const { health } = container.state;
  deps.store.update(container, {
    status: "exited",
    pid: 0,
    exitCode: exit.exitCode,
    error: exit.error ?? "",
    startedAt,
    finishedAt: formatTime(BigInt(exit.exitedAt.getTime()) * MILLISECOND_NS),
    network: null,
    ...(health && { health: { ...health, status: "unhealthy" } }),
  });
  const ranNs = (parseTime(container.state.finishedAt) ?? 0n) - (parseTime(startedAt) ?? 0n);
  const execDuration = String(ranNs > 0n ? ranNs / 1_000_000_000n : 0n);
  emitContainer(deps.emit, "die", container, { exitCode: String(exit.exitCode), execDuration });
}

/** Goes on sending the log of an ended container to its receiver. */
function sendLeftOvers(deps: ContainerDeps, container: Container): void {
  if (!isRemoteLogDriver(container.spec.hostConfig.LogConfig?.Type ?? "") || isRunning(container.state)) return;
  try {
    deps.live.of(container).io.options.driver.remote?.resume();
  } catch (error) {
    deps.log.error("a container's log can't be sent", { container: container.id, error });
  }
}

/** Ends what an ended container still holds; finishes its removal when that had begun or `--rm` asks for it. */
function tidy(deps: ContainerDeps, container: Container): void {
  const { state, spec } = container;
  releaseRun(deps, container);
  deps.tasks.cleanup(container.id);
  const live = deps.live.peek(container.id);
  if (live && !live.task?.isRunning) live.task = undefined;
  if (state.status === "removing") finishRemoval(deps, container);
  else if (spec.hostConfig.AutoRemove && state.status !== "created") {
    deps.store.update(container, { status: "removing", isRemovingVolumes: true });
    finishRemoval(deps, container);
  }
}

/** Does one step of the cleaning; what stays behind for now must not keep the daemon from starting. */
async function attempt(deps: ContainerDeps, what: string, work: () => unknown): Promise<void> {
  try {
    await work();
  } catch (error) {
    deps.log.error("cleaning up after the last daemon failed", { step: what, error });
  }
}

/** Deletes what no container knows: snapshots, directories, volumes of unfinished creations, bundles, cgroups, layers. */
async function sweep(deps: ContainerDeps): Promise<void> {
  const mendAll = async (step: string, find: (deps: ContainerDeps) => Defect[]): Promise<void> => {
    await attempt(deps, step, async () => {
      for (const { mend } of find(deps)) await attempt(deps, step, mend);
    });
  };
  await mendAll("delete snapshots", snapshotDefects);
  await mendAll("delete what unfinished creations left", directoryDefects);
  const containers = join(deps.settings.dataRoot, "containers");
  for (const id of entries(containers)) forgetNoted(join(containers, id));
  for (const container of deps.store.list()) await attempt(deps, "delete unfinished checkpoints", () => sweepCheckpoints(deps, container));
  await attempt(deps, "unmount volumes", () => deps.volumes.unmountUnused());
  await mendAll("end runs of unknown containers", runDefects);
  await mendAll("remove cgroups", cgroupDefects);
  await mendAll("delete damaged layers", quarantineDefects);
  await attempt(deps, "collect layers", () => deps.images.collectLayers());
}

/** `started` are the starts under way: a container comes after those it links to, which are older than it. */
function resume(deps: ContainerDeps, container: Container, started: Map<string, Promise<void>>): void {
  const { state, spec, id } = container;
  if (isRunning(state) || state.status === "created" || state.status === "removing") return;
  const policy = spec.hostConfig.RestartPolicy ?? {};
  const wasRestarting = state.status === "restarting";
  const delay = restartDelay({ ...state, policy, ranMs: 0, lastDelayMs: 0 });
  const isWanted = isStartedWithDaemon(policy, state.hasBeenManuallyStopped) || (delay !== undefined && !state.hasBeenManuallyStopped);
  if (!isWanted) {
    if (wasRestarting) deps.store.update(container, { status: "exited" });
    return;
  }
  const links = (spec.links ?? []).flatMap((link) => started.get(link.id) ?? []);
  const start = deps.locks
    .run(id, async () => {
      if (links.length > 0) await Promise.all(links);
      if (!isRunning(container.state)) await launch(deps, container);
    })
    .catch((error: unknown) => deps.log.error("container could not be started with the daemon", { container: id, error }));
  started.set(id, start);
}
