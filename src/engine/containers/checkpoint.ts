/**
 * Checkpoints: what a container's processes are, written to files, from where they can go on later.
 *
 * ```
 * <data-root>/containers/<id>/checkpoints/
 * ├─ <name>/          config.json and CRIU's images; whole, for it got its name at the end
 * └─ .<name>.part/    one in the making; whoever makes it has a lock on the directory
 * ```
 */
import { existsSync, mkdirSync, readdirSync, rmdirSync, rmSync, statSync } from "node:fs";
import { isAbsolute, join } from "node:path";
import { DhowError, errnoCode, errorKind, errorMessage } from "../../lib/mod.ts";
import { flock, LOCK_EX, O_DIRECTORY, O_RDONLY, open } from "../../linux/mod.ts";
import { joinedContainer } from "../../runtime/mod.ts";
import type { CheckpointRequest, CheckpointSummary } from "../../spec/engine/mod.ts";
import { isRunning } from "./container.ts";
import type { ContainerDeps } from "./deps.ts";
import { emitContainer } from "./emit.ts";
import type { Container } from "./store.ts";

const NAME = /^[a-zA-Z0-9][a-zA-Z0-9_.-]+$/;
const UNFINISHED = /^\..*\.part$/;

/** Where a container has its checkpoints, unless a client says where. */
function checkpointsDir(deps: ContainerDeps, { id }: Container, dir = ""): string {
  if (dir !== "" && !isAbsolute(dir))
    throw new DhowError("invalid", `checkpoint directory ${JSON.stringify(dir)} must be an absolute path`);
  return dir || join(deps.settings.dataRoot, "containers", id, "checkpoints");
}

const LONGEST_ID = 200;

/** @throws invalid in docker's words, internal for a name too long for the file system */
export function checkCheckpointId(id: string): void {
  // it is a directory's name, with an ending while it is being written
  if (id.length > LONGEST_ID) throw new DhowError("internal", `mkdir ${id}: file name too long`);
  if (NAME.test(id) && !id.endsWith(".")) return;
  throw new DhowError("invalid", `invalid checkpoint ID ${JSON.stringify(id)}, only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed`);
}

function isDirectory(path: string): boolean | undefined {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory();
}

/** The directory of a checkpoint that is there. @throws internal in docker's words */
export function checkpointDir(
  deps: ContainerDeps,
  container: Container,
  ref: string,
  at: { readonly id: string; readonly dir?: string | undefined },
): string {
  checkCheckpointId(at.id);
  const path = join(checkpointsDir(deps, container, at.dir), at.id);
  const found = isDirectory(path);
  if (found === undefined) throw new DhowError("internal", `checkpoint ${at.id} does not exist for container ${ref}`);
  if (!found) throw new DhowError("internal", `${path} exists and is not a directory`);
  return path;
}

/** POST /containers/{id}/checkpoints, under the container's lock. @throws conflict, unsupported, internal in docker's words */
export async function createCheckpoint(deps: ContainerDeps, container: Container, ref: string, request: CheckpointRequest): Promise<void> {
  const { CheckpointID: id = "", CheckpointDir, Exit = false } = request;
  const { state } = container;
  if (!isRunning(state)) throw new DhowError("conflict", `container ${container.id} is not running`);
  const root = checkpointsDir(deps, container, CheckpointDir);
  const dir = join(root, id);
  const found = isDirectory(dir);
  if (found === true) {
    throw new DhowError("internal", `cannot checkpoint container ${ref}: checkpoint with name ${id} already exists for container ${ref}`);
  }
  if (found === false) throw new DhowError("internal", `cannot checkpoint container ${ref}: ${dir} exists and is not a directory`);
  try {
    if (Exit && !CheckpointDir && container.spec.hostConfig.AutoRemove) {
      throw new DhowError("conflict", "it is removed when it ends, and its checkpoints with it: name another directory for them");
    }
    checkNamespaces(container);
    await write(deps, container, { root, dir, id, leaveRunning: !Exit });
  } catch (error) {
    throw new DhowError(errorKind(error), `Cannot checkpoint container ${ref}: ${errorMessage(error)}`, { cause: error });
  }
  emitContainer(deps.emit, "checkpoint", container);
}

/** What CRIU would have to know of other processes' namespaces. @throws unsupported */
function checkNamespaces({ spec }: Container): void {
  const { hostConfig, config } = spec;
  const because = (reason: string): DhowError => new DhowError("unsupported", reason);
  // docker's words
  if (config.Tty) throw because("checkpoint not support on containers with tty");
  if (spec.userns !== undefined) throw because("checkpoints of containers in a user namespace are not supported");
  if (spec.timeOffsets !== undefined) throw because("checkpoints of containers with a clock of their own are not supported");
  for (const [mode, what] of [
    [hostConfig.IpcMode, "IPC"],
    [hostConfig.PidMode, "PID"],
  ] as const) {
    if (joinedContainer(mode ?? "") !== undefined) throw because(`it is in the ${what} namespace of another container`);
  }
}

async function write(
  deps: ContainerDeps,
  container: Container,
  at: { readonly root: string; readonly dir: string; readonly id: string; readonly leaveRunning: boolean },
): Promise<void> {
  const { state, spec } = container;
  const { leaveRunning } = at;
  const task = deps.live.of(container).task;
  if (!task?.isRunning) throw new DhowError("conflict", `container ${container.id} is not running`);
  const unfinished = join(at.root, `.${at.id}.part`);
  const isFirst = mkdirSync(at.root, { recursive: true, mode: 0o700 }) !== undefined;
  discardUnfinished(unfinished);
  mkdirSync(unfinished, { mode: 0o700 });
  const { hasBeenManuallyStopped } = state;
  // its end is no reason to start it again
  if (!leaveRunning) deps.store.update(container, { hasBeenManuallyStopped: true });
  try {
    deps.network.settle();
    await deps.tasks.checkpoint({
      id: container.id,
      pid: task.pid,
      runtime: spec.hostConfig.Runtime ?? "crun",
      dir: at.dir,
      unfinished,
      leaveRunning,
      about: { name: at.id, containerID: container.id, created: new Date().toISOString(), image: spec.imageId },
    });
  } catch (error) {
    if (task.isRunning) deps.store.update(container, { hasBeenManuallyStopped });
    rmSync(unfinished, { recursive: true, force: true });
    // a container that was removed meanwhile has taken it along
    if (isFirst && existsSync(at.root)) rmdirSync(at.root);
    throw error;
  }
  if (!leaveRunning) await task.exited;
}

/** GET /containers/{id}/checkpoints. @throws notFound, invalid for a directory that is none */
export function listCheckpoints(deps: ContainerDeps, container: Container, ref: string, dir: string | undefined): CheckpointSummary[] {
  const root = checkpointsDir(deps, container, dir);
  try {
    const entries = readdirSync(root, { withFileTypes: true });
    const names = entries.filter((entry) => entry.isDirectory() && !UNFINISHED.test(entry.name)).map(({ name }) => name);
    return names.sort().map((Name) => ({ Name }));
  } catch (error) {
    if (errnoCode(error) === "ENOTDIR")
      throw new DhowError("invalid", `checkpoint directory ${JSON.stringify(root)} exists but is not a directory`);
    if (errnoCode(error) !== "ENOENT") throw error;
    if (!dir) return [];
    const text = `checkpoint directory ${JSON.stringify(root)} does not exist for container ${ref}: stat ${root}: no such file or directory`;
    throw new DhowError("notFound", text, { cause: error });
  }
}

/** DELETE /containers/{id}/checkpoints/{checkpoint}, under the container's lock. @throws internal in docker's words */
export function removeCheckpoint(
  deps: ContainerDeps,
  container: Container,
  ref: string,
  at: { readonly id: string; readonly dir?: string | undefined },
): void {
  rmSync(checkpointDir(deps, container, ref, at), { recursive: true, force: true });
}

/** At the daemon's start: deletes what the last one had begun and nobody goes on with. */
export function sweepCheckpoints(deps: ContainerDeps, container: Container): void {
  const root = checkpointsDir(deps, container);
  if (!existsSync(root)) return;
  for (const name of readdirSync(root)) if (UNFINISHED.test(name)) discardUnfinished(join(root, name), () => {});
}

/** Deletes a directory in which nobody is at work; `onBusy` otherwise. @throws conflict unless `onBusy` does not */
function discardUnfinished(
  path: string,
  onBusy = (): void => {
    throw new DhowError("conflict", "a checkpoint of this name is in the making");
  },
): void {
  if (!existsSync(path)) return;
  using directory = open(path, O_RDONLY | O_DIRECTORY);
  if (flock(directory.fd, LOCK_EX)) rmSync(path, { recursive: true, force: true });
  else onBusy();
}
