import { isKind } from "../../lib/mod.ts";
import { isRunning } from "./container.ts";
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

/** The same for every running container that can write to a volume; a commit of one of them comes before or after. */
export function whileWritersPaused<T>(deps: ContainerDeps, volume: string, work: () => Promise<T>): Promise<T> {
  const writes = ({ spec }: Container): boolean => spec.mounts.some((m) => m.volume === volume && !m.isReadOnly);
  const writers = deps.store
    .list()
    .filter((container) => isRunning(container.state) && writes(container))
    .sort((a, b) => (a.id < b.id ? -1 : 1));
  const from = (at: number): Promise<T> => {
    const container = writers[at];
    if (container === undefined) return work();
    return deps.locks.run(`commit ${container.id}`, () => whilePaused(deps, container, () => from(at + 1)));
  };
  return from(0);
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
  try {
    // the row says why it is paused until it is not: a daemon that dies in between leaves that to the next
    if (container.state.status === "paused") await unpauseContainer(deps, container);
  } finally {
    if (container.state.isPausedForCommit) deps.store.update(container, { isPausedForCommit: false });
  }
}
