import type { ContainerDeps } from "./deps.ts";

/** How long the end of the engine waits for what goes on in the background. */
const IDLE_WITHIN_MS = 3000;

/**
 * Leaves the containers to the next engine: finishes what was begun behind an answer, then lets go of timers and streams, for a process
 * that goes on without its engine. Containers run on; the next engine finds everything as after a kill.
 */
export async function leaveContainers(deps: ContainerDeps): Promise<void> {
  const late = Promise.withResolvers<void>();
  const timer = setTimeout(late.resolve, IDLE_WITHIN_MS);
  await Promise.race([deps.background.idle(), late.promise]);
  clearTimeout(timer);
  for (const live of deps.live.all()) {
    clearTimeout(live.restartTimer);
    live.starting?.abort();
    live.health?.[Symbol.dispose]();
    live.oom?.[Symbol.dispose]();
    for (const io of [live.io, ...live.execIos]) io.leave();
  }
}
