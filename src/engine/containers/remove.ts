import { rmSync } from "node:fs";
import { join } from "node:path";
import { DhowError, isDigest } from "../../lib/mod.ts";
import { cgroupOf, destroyCgroup } from "../../runtime/mod.ts";
import { cgroupPath } from "./cgroup-path.ts";
import { isRunning, isUp } from "./container.ts";
import type { ContainerDeps } from "./deps.ts";
import { emitContainer } from "./emit.ts";
import { releaseRun } from "./exit.ts";
import type { Live } from "./live.ts";
import type { Container } from "./store.ts";

const SIGKILL = 9;
/** How long the last messages of a log may take to their receiver: as long as docker waits. */
const SEND_MS = 10_000;

export interface RemoveOptions {
  readonly force: boolean;
  readonly volumes: boolean;
}

/** DELETE /containers/{id}, under the container's lock. @throws conflict when it runs and `force` is not given */
export async function removeContainer(deps: ContainerDeps, container: Container, options: RemoveOptions): Promise<void> {
  const { id, name, state } = container;
  if (deps.store.get(id) !== container) throw new DhowError("notFound", `No such container: ${id}`);
  if (state.status === "removing") throw new DhowError("conflict", `removal of container ${id} is already in progress`);
  if (!options.force && state.status === "paused") {
    throw new DhowError(
      "conflict",
      `cannot remove container ${JSON.stringify(`/${name}`)}: container is paused and must be unpaused first`,
    );
  }
  if (!options.force && isUp(state)) {
    throw new DhowError(
      "conflict",
      `cannot remove container ${JSON.stringify(`/${name}`)}: container is ${state.status}: stop the container before removing or force remove`,
    );
  }
  const live = deps.live.of(container);
  clearTimeout(live.restartTimer);
  const task = isRunning(state) ? live.task : undefined;
  if (state.status === "paused") cgroupOf(cgroupPath(deps, container), deps.facts).setFrozen(false);
  // noted before anything is taken away: the next daemon finishes what this one has begun
  deps.store.update(container, { status: "removing", isRemovingVolumes: options.volumes, hasBeenManuallyStopped: true });
  if (task) {
    emitContainer(deps.emit, "kill", container, { signal: String(SIGKILL) });
    task.signal(SIGKILL);
    await task.exited;
  }
  if (deps.store.get(id) === container) finishRemoval(deps, container);
}

/**
 * Takes everything away that belongs to a container whose process has ended. What the container held is given back after those who wait
 * have been answered, and before another request is looked at; a daemon that dies in between finds it at its start, known to nobody.
 */
export function finishRemoval(deps: ContainerDeps, container: Container): void {
  const { id, spec, state } = container;
  const live = deps.live.peek(id);
  if (state.isRemovingVolumes) removeAnonymousVolumes(deps, container);
  deps.store.delete(container);
  emitContainer(deps.emit, "destroy", container);
  deps.waiters.removed(id, state.exitCode);
  deps.live.forget(id);
  deps.background.later(
    async () => {
      releaseRun(deps, container, live);
      deps.snapshots.remove(id);
      for (const { image } of spec.mounts) if (image !== undefined) deps.snapshots.remove(image.key);
      await removeFiles(deps, container, live);
    },
    (error) => deps.log.warn("files of a removed container stay until the next start", { container: id, error }),
  );
  const hasImages = spec.mounts.some(({ image }) => image !== undefined);
  if (!hasImages && (spec.topLayer === null || (isDigest(spec.imageId) && deps.images.tryGet(spec.imageId)))) return;
  deps.background.later(
    async () => void (await deps.images.collectLayers()),
    (error) => deps.log.warn("layers could not be collected", { error }),
  );
}

function removeAnonymousVolumes(deps: ContainerDeps, { id, spec }: Container): void {
  for (const mount of spec.mounts) {
    if (mount.kind !== "volume" || !mount.isAnonymous || deps.volumes.references(mount.volume).some((user) => user !== id)) continue;
    const onRemoved = (): void => deps.emit({ type: "volume", action: "destroy", id: mount.volume, attributes: { driver: mount.driver } });
    deps.volumes.remove(mount.volume, { force: true, onRemoved }).catch((error: unknown) => {
      deps.log.warn("anonymous volume could not be removed", { volume: mount.volume, error });
    });
  }
}

/** After the runtime has gone: bundle, cgroup and the container's own directory. */
async function removeFiles(deps: ContainerDeps, container: Container, live: Live | undefined): Promise<void> {
  if (live?.task) await live.task.gone;
  await live?.io.drained;
  await live?.io.options.driver.remote?.finish(SEND_MS);
  // clients that attached to what never ran, or no longer did
  live?.io.abort();
  deps.tasks.cleanup(container.id);
  const cgroup = cgroupOf(cgroupPath(deps, container), deps.facts);
  if (!cgroup.tryRemove()) await destroyCgroup(cgroup);
  rmSync(join(deps.settings.dataRoot, "containers", container.id), { recursive: true, force: true });
  rmSync(join(deps.settings.execRoot, "logs", container.id), { recursive: true, force: true });
}
