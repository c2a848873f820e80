import { dirname } from "node:path";
import { cgroupOf, OomWatch } from "../../runtime/mod.ts";
import { cgroupPath } from "./cgroup-path.ts";
import type { ContainerDeps } from "./deps.ts";
import { emitContainer } from "./emit.ts";
import type { Live } from "./live.ts";
import type { Container } from "./store.ts";

/**
 * Watches whether a container runs out of memory; when it does, that is told once. With `isAhead` its cgroup is made first.
 * Undefined where the kernel can't tell.
 */
export function watchMemory(deps: ContainerDeps, container: Container, isAhead: boolean): OomWatch | undefined {
  const onOom = (): void => {
    noteMemory(deps, container);
    emitContainer(deps.emit, "oom", container);
  };
  return OomWatch.start(cgroupPath(deps, container), deps.facts, deps.reactor, { onOom, isAhead });
}

/** The numbers go with the group, a moment later. Those that are gone are known all the same: its limit is what it had come to. */
function noteMemory(deps: ContainerDeps, container: Container): void {
  const live = deps.live.peek(container.id);
  if (live === undefined) return;
  const path = cgroupPath(deps, container);
  const { usage, limit, max_usage: peak } = cgroupOf(path, deps.facts).stats().memory_stats;
  if (usage && limit) live.memoryAtOom = { usageBytes: usage, limitBytes: limit, peakBytes: Math.max(peak ?? 0, usage) };
  if (live.memoryAtOom !== undefined) return;
  const own = container.spec.hostConfig.Memory ?? 0;
  // else it may have been that of the group above
  const above = cgroupOf(dirname(path), deps.facts).stats().memory_stats.limit || Number.POSITIVE_INFINITY;
  if (own > 0 && own <= above) live.memoryAtOom = { usageBytes: own, limitBytes: own, peakBytes: own };
}

/** A container with a limit may run out of memory in its first milliseconds: the watch is there before. */
export function watchAhead(deps: ContainerDeps, container: Container, live: Live, undo: AsyncDisposableStack): void {
  live.oom = watchMemory(deps, container, true);
  undo.defer(() => {
    live.oom?.[Symbol.dispose]();
    live.oom = undefined;
    cgroupOf(cgroupPath(deps, container), deps.facts).tryRemove();
  });
}
