import { DhowError } from "../../lib/mod.ts";
import { isErrno } from "../../linux/mod.ts";
import { makeDirectory } from "../../volumes/mod.ts";
import type { ContainerDeps } from "./deps.ts";
import { isUnmarked, markRoot } from "./root-marks.ts";
import type { Container } from "./store.ts";

/** @throws invalid in docker's words when a file is in its way */
export function makeWorkingDirectory(rootfs: string, { WorkingDir = "/" }: Container["spec"]["config"]): void {
  if (WorkingDir === "/" || WorkingDir === "") return;
  try {
    makeDirectory(rootfs, WorkingDir);
  } catch (cause) {
    if (!isErrno(cause, "ENOTDIR")) throw cause;
    throw new DhowError("invalid", `Cannot mkdir: ${WorkingDir} is not a directory`, { cause });
  }
}

/**
 * Puts into the root file system of a container that never ran what its first start would put there: docker does that when it makes the
 * container, so that files can be copied into its working directory. The container's lock must be held.
 */
export function fillUnstarted({ roots }: Pick<ContainerDeps, "roots">, container: Container): void {
  if (!isUnmarked(container)) return;
  using held = roots.hold(container.id);
  // one in the container's own ids is a start's, which fills it
  if (held.isMapped) return;
  markRoot(held.rootfs);
  makeWorkingDirectory(held.rootfs, container.spec.config);
}

/** The same for who doesn't hold the lock. */
export async function filledUnstarted(deps: ContainerDeps, container: Container): Promise<void> {
  if (isUnmarked(container)) await deps.locks.run(container.id, () => fillUnstarted(deps, container));
}
