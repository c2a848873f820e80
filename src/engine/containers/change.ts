import { DhowError } from "../../lib/mod.ts";
import type { ContainerDeps } from "./deps.ts";
import { emitContainer } from "./emit.ts";
import type { Container } from "./store.ts";

/**
 * Changes what a container was created as, under its lock, and tells of it; `answer` is made of it then.
 * @throws notFound, conflict; what `change` throws, as docker says it of an update
 */
export async function changeContainer<T>(
  deps: ContainerDeps,
  ref: string,
  change: (container: Container) => void | Promise<void>,
  answer: (container: Container) => T,
): Promise<T> {
  const container = deps.store.find(ref);
  return deps.locks.run(container.id, async () => {
    if (deps.store.get(container.id) !== container) throw new DhowError("notFound", `No such container: ${ref}`);
    try {
      const { status } = container.state;
      if (status === "removing" || status === "dead") {
        throw new DhowError("conflict", 'container is marked for removal and cannot be "update"');
      }
      await change(container);
    } catch (error) {
      if (!(error instanceof DhowError)) throw error;
      throw new DhowError(error.kind, `Cannot update container ${container.id}: ${error.message}`, { cause: error });
    }
    emitContainer(deps.emit, "update", container);
    return answer(container);
  });
}

/** Does a change that writes the container's record within; when it fails, the record that is in memory is as it was, too. */
export function withSpecKept(container: Container, work: () => void): void {
  const { spec } = container;
  try {
    work();
  } catch (error) {
    container.spec = spec;
    throw error;
  }
}
