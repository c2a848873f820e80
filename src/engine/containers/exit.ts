import { formatTime, parseTime } from "../../lib/mod.ts";
import type { Task, TaskExit } from "../../runtime/mod.ts";
import { releaseMounts } from "../../volumes/mod.ts";
import type { NetworkState } from "./container.ts";
import type { ContainerDeps } from "./deps.ts";
import { egressRecord } from "./egress.ts";
import { emitContainer, emitNetworks, emitVolumes } from "./emit.ts";
import { emptyEndpoint } from "./endpoints.ts";
import { unwatchHealth } from "./health-probe.ts";
import { networkJoiners } from "./joiners.ts";
import { finishRemoval } from "./remove.ts";
import { restartDelay } from "./restart.ts";
import { releaseShm } from "./shared-namespaces.ts";
import { launch } from "./start.ts";
import type { Container } from "./store.ts";

/** A container's process ended: notes how, gives back what it held, and does what its policies ask for. */
export function onExit(deps: ContainerDeps, container: Container, task: Task, exit: TaskExit): void {
  const live = deps.live.of(container);
  if (live.task !== task) return;
  const { state, spec } = container;
  const oomKilled = live.oom?.endedByOom(exit.exitCode) ?? false;
  const delayMs = restartDelay({
    policy: spec.hostConfig.RestartPolicy ?? {},
    exitCode: exit.exitCode,
    hasBeenManuallyStopped: state.hasBeenManuallyStopped,
    restartCount: state.restartCount,
    ranMs: exit.exitedAt.getTime() - Number((parseTime(state.startedAt) ?? 0n) / 1_000_000n),
    lastDelayMs: live.lastDelayMs,
    isUnhealthyRestart: state.isUnhealthyRestart,
  });
  const isAutomatic = (spec.hostConfig.AutoRemove ?? false) && !live.isRestarting;
  const isRemoved = isAutomatic || state.status === "removing";
  deps.store.update(container, {
    status: isRemoved ? "removing" : delayMs === undefined ? "exited" : "restarting",
    isRemovingVolumes: state.isRemovingVolumes || isAutomatic,
    pid: 0,
    exitCode: exit.exitCode,
    error: exit.error ?? "",
    oomKilled,
    finishedAt: formatTime(BigInt(exit.exitedAt.getTime()) * 1_000_000n),
    network: unplugged(container, state.network),
    lastSignal: live.lastSignal,
    memoryAtOom: live.memoryAtOom,
  });
  unwatchHealth(deps, container, live);
  live.execIds.clear();
  const seconds = Math.max(0, Math.floor((exit.exitedAt.getTime() - task.startedAt.getTime()) / 1000));
  emitContainer(deps.emit, "die", container, { exitCode: String(exit.exitCode), execDuration: String(seconds) });
  emitNetworks(deps, "disconnect", container, state.network);
  emitVolumes(deps.emit, "unmount", container);
  deps.waiters.exited(container.id, exit.exitCode);
  if (isRemoved) {
    // a removal that is under way goes on by itself
    if (isAutomatic) finishRemoval(deps, container);
    return;
  }
  // whoever waits gets the answer first; a start that comes before this does it itself
  live.release = () => {
    live.release = undefined;
    releaseRun(deps, container);
  };
  deps.background.later(
    () => live.release?.(),
    (error) => deps.log.error("what a container held could not be given back", { container: container.id, error }),
  );
  void task.gone.then(() => live.io.drained).then(() => forgetRun(deps, container, task));
  if (delayMs !== undefined) scheduleRestart(deps, container, delayMs);
}

/** What stays of a network once its container has left it: inspect goes on naming it. */
function unplugged({ spec }: Container, network: NetworkState | null): NetworkState | null {
  if (!network) return null;
  const networks = Object.entries(network.networks).map(([name, { NetworkID = "", DNSNames = null }]) => [
    name,
    { ...emptyEndpoint(), ...spec.endpoints[name], NetworkID, DNSNames },
  ]);
  return { sandboxId: "", sandboxKey: "", ports: {}, networks: Object.fromEntries(networks) };
}

function forgetRun(deps: ContainerDeps, container: Container, task: Task): void {
  const live = deps.live.peek(container.id);
  if (live?.task !== task) return;
  live.task = undefined;
  deps.tasks.cleanup(container.id);
}

/** Gives back what a run held: watches, network, volumes, the mounted root file system. */
export function releaseRun(deps: ContainerDeps, container: Container, live = deps.live.peek(container.id)): void {
  const { id, spec } = container;
  live?.oom?.[Symbol.dispose]();
  if (live) {
    live.oom = undefined;
    unwatchHealth(deps, container, live);
  }
  const egress = container.state.status === "removing" ? undefined : egressRecord(deps, id);
  if (egress !== undefined) deps.store.update(container, { egress });
  deps.network.release(id, networkJoiners(deps));
  // what goes wrong is logged there
  void releaseMounts(spec.mounts, id, deps.volumes);
  if (spec.hostConfig.IpcMode === "shareable") releaseShm(deps, id);
  for (const { image } of spec.mounts) if (image !== undefined) deps.roots.release(image.key);
  deps.roots.release(id);
}

/** Starts the container again after `delayMs`, by its policy. */
export function scheduleRestart(deps: ContainerDeps, container: Container, delayMs: number): void {
  const live = deps.live.of(container);
  live.lastDelayMs = delayMs;
  live.restartTimer = setTimeout(() => {
    live.restartTimer = undefined;
    void deps.locks
      .run(container.id, async () => {
        if (container.state.status !== "restarting") return;
        deps.store.update(container, { restartCount: container.state.restartCount + 1 });
        await launch(deps, container);
      })
      .catch((error: unknown) => deps.log.error("container could not be restarted", { container: container.id, error }));
  }, delayMs);
}
