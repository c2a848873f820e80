import { isKind } from "../../lib/mod.ts";
import type { ContainerDeps } from "./deps.ts";
import { pauseContainer, unpauseContainer } from "./stop.ts";
import type { Container } from "./store.ts";

/**
 * Runs `work` while the container's processes stand still, if it has any that run. They go on afterwards, whatever happens: the state says
 * why it is paused, for the next daemon when this one dies.
 */
export async function whilePaused<T>(deps: ContainerDeps, container: Container, work: () => Promise<T>): Promise<T> {
  await deps.locks.run(container.id, () => pause(deps, container));
  try {
    return await work();
  } finally {
    await deps.locks.run(container.id, () => resume(deps, container));
  }
}

async function pause(deps: ContainerDeps, container: Container): Promise<void> {
  if (container.state.status !== "running") return;
  deps.store.update(container, { isPausedForCommit: true });
  try {
    await pauseContainer(deps, container);
  } catch (error) {
    deps.store.update(container, { isPausedForCommit: false });
    // it ended meanwhile
    if (!isKind(error, "conflict")) throw error;
  }
}

async function resume(deps: ContainerDeps, container: Container): Promise<void> {
  if (!container.state.isPausedForCommit || deps.store.get(container.id) !== container) return;
  deps.store.update(container, { isPausedForCommit: false });
  if (container.state.status === "paused") await unpauseContainer(deps, container);
}
