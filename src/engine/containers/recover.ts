import { mkdirSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { errnoCode, formatTime, nowNs } from "../../lib/mod.ts";
import { cgroupOf, cgroupsPathFor, destroyCgroup, groupsIn, type TaskExit } from "../../runtime/mod.ts";
import { adoptMounts } from "../../volumes/mod.ts";
import { isRunning } from "./container.ts";
import type { ContainerDeps } from "./deps.ts";
import { releaseRun } from "./exit.ts";
import { sandboxState } from "./networking.ts";
import { finishRemoval } from "./remove.ts";
import { isStartedWithDaemon, restartDelay } from "./restart.ts";
import { launch, watchTask } from "./start.ts";
import type { Container } from "./store.ts";

/** What a daemon without a record of its exit says of a container that is gone: the host was restarted. */
const LOST: TaskExit = { exitCode: 255, exitedAt: new Date(0) };

function entries(dir: string): string[] {
  try {
    return readdirSync(dir);
  } catch (error) {
    if (errnoCode(error) === "ENOENT") return [];
    throw error;
  }
}

/**
 * Takes up what the last daemon left: running containers go on under this one, ended ones get their exit code, begun removals and
 * automatic ones are finished, and whatever no container knows is deleted. Then restart policies have their say.
 */
export async function recoverContainers(deps: ContainerDeps): Promise<void> {
  const alive = new Map<string, number>();
  const ended: Container[] = [];
  for (const container of deps.store.list()) {
    const { status } = container.state;
    const adopted = isRunning(container.state) || status === "removing" || status === "created" ? await adopt(deps, container) : undefined;
    if (adopted === "running") alive.set(container.id, container.state.pid);
    else ended.push(container);
  }
  deps.network.adopt(alive);
  for (const container of ended) tidy(deps, container);
  await sweep(deps);
  for (const container of deps.store.list()) resume(deps, container);
}

/** Finds out what became of a container that was running. */
async function adopt(deps: ContainerDeps, container: Container): Promise<"running" | "ended"> {
  const { id, spec, state } = container;
  const live = deps.live.of(container);
  const found = await deps.tasks.adopt({ id, io: live.io, runtime: spec.hostConfig.Runtime ?? "crun" });
  if (found?.kind !== "running") {
    if (isRunning(state)) markExited(deps, container, found?.exit ?? { ...LOST, exitedAt: new Date() });
    return "ended";
  }
  const { task } = found;
  live.task = task;
  if (state.status === "removing") {
    task.signal(9);
    await task.exited;
    return "ended";
  }
  const sandbox = deps.network.sandbox(id);
  deps.store.update(container, {
    status: state.status === "paused" ? "paused" : "running",
    pid: task.pid,
    // a daemon that died between the start and its record of it
    ...(state.status === "created" ? { startedAt: formatTime(nowNs()) } : {}),
    network: sandbox ? sandboxState(sandbox, task.pid) : state.network,
  });
  adoptMounts(spec.mounts, id, deps.volumes);
  watchTask(deps, container, live, task);
  return "running";
}

function markExited(deps: ContainerDeps, container: Container, exit: TaskExit): void {
  deps.store.update(container, {
    status: "exited",
    pid: 0,
    exitCode: exit.exitCode,
    error: exit.error ?? "",
    finishedAt: formatTime(BigInt(exit.exitedAt.getTime()) * 1_000_000n),
    network: null,
  });
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

/** Deletes what no container knows: snapshots, directories, bundles, cgroups. */
async function sweep(deps: ContainerDeps): Promise<void> {
  const { store, settings, facts } = deps;
  const isKnown = (id: string): boolean => store.get(id) !== undefined;
  deps.snapshots.sweep(isKnown);
  for (const id of entries(join(settings.dataRoot, "containers"))) {
    if (!isKnown(id)) rmSync(join(settings.dataRoot, "containers", id), { recursive: true, force: true });
  }
  mkdirSync(join(settings.dataRoot, "containers"), { recursive: true, mode: 0o710 });
  for (const id of entries(join(settings.execRoot, "bundles"))) if (!isKnown(id)) await sweepBundle(deps, id);
  rmSync(join(settings.execRoot, "execs"), { recursive: true, force: true });
  const parent = cgroupsPathFor("", { daemonId: settings.daemonId, daemonParent: settings.cgroupParent }).replace(/\/$/, "");
  const running = new Set(
    store
      .list()
      .filter((c) => isRunning(c.state))
      .map((c) => c.id),
  );
  for (const id of groupsIn(parent, facts)) {
    if (!running.has(id)) await destroyCgroup(cgroupOf(`${parent}/${id}`, facts));
  }
}

/** A bundle without a container: the daemon died between the removal of one and the end of its runtime. */
async function sweepBundle(deps: ContainerDeps, id: string): Promise<void> {
  const path = cgroupsPathFor(id, { daemonId: deps.settings.daemonId, daemonParent: deps.settings.cgroupParent });
  await destroyCgroup(cgroupOf(path, deps.facts));
  deps.tasks.cleanup(id);
}

function resume(deps: ContainerDeps, container: Container): void {
  const { state, spec, id } = container;
  if (isRunning(state) || state.status === "created") return;
  const policy = spec.hostConfig.RestartPolicy ?? {};
  const wasRestarting = state.status === "restarting";
  const delay = restartDelay({ ...state, policy, ranMs: 0, lastDelayMs: 0 });
  const isWanted = isStartedWithDaemon(policy, state.hasBeenManuallyStopped) || (delay !== undefined && !state.hasBeenManuallyStopped);
  if (!isWanted) {
    if (wasRestarting) deps.store.update(container, { status: "exited" });
    return;
  }
  void deps.locks
    .run(id, () => (isRunning(container.state) ? undefined : launch(deps, container)))
    .catch((error: unknown) => deps.log.error("container could not be started with the daemon", { container: id, error }));
}
