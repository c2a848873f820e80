import { setTimeout as sleep } from "node:timers/promises";
import { DhowError, randomId } from "../../lib/mod.ts";
import { ContainerIo, execProcess, NoLog, resolveUser } from "../../runtime/mod.ts";
import type { ContainerDeps } from "./deps.ts";
import { commandText, emitContainer } from "./emit.ts";
import { environment } from "./environment.ts";
import { HealthMonitor, type HealthState, healthCommand, initialHealth } from "./health.ts";
import { currentLinkEnvironment } from "./links.ts";
import type { Live } from "./live.ts";
import { bundleProcess } from "./process.ts";
import { restartUnhealthy } from "./stop.ts";
import type { Container } from "./store.ts";
import { processScope } from "./userns.ts";

const SIGKILL = 9;
/** How long a check that was killed may take to end; what it has started may hold its output open for longer. */
const ENDS_WITHIN_MS = 1000;

/** Makes a container that has a health check `starting`, at its start. */
export function resetHealth(deps: ContainerDeps, container: Container): void {
  const { config } = container.spec;
  if (healthCommand(config.Healthcheck, config.Shell)) deps.store.update(container, { health: initialHealth(container.state.health) });
}

/** Starts watching the health of a running container, if it has a check; what is known of it stays. */
export function watchHealth(deps: ContainerDeps, container: Container, live: Live): void {
  const { Healthcheck: config, Shell } = container.spec.config;
  const command = healthCommand(config, Shell);
  if (!config || !command || live.health) return;
  live.health = new HealthMonitor(
    { config, command, startedAt: container.state.startedAt },
    {
      probe: (args, signal, output) => probe(deps, container, { args, signal, output }),
      health: () => container.state.health ?? initialHealth(undefined),
      record: (health) => record(deps, container, health),
    },
  );
}

/**
 * Ends the watch. Docker calls a container unhealthy whose health nobody looks after: one that is paused or has ended. One that stands still
 * for a commit stays what it was, other than docker's: who waits for it to be healthy would be told that it failed.
 */
export function unwatchHealth(deps: ContainerDeps, container: Container, live: Live): void {
  const { health, status, isPausedForCommit } = container.state;
  if (!live.health && !isPausedForCommit) return;
  live.health?.[Symbol.dispose]();
  live.health = undefined;
  if (isPausedForCommit && status === "paused") return;
  if (health) deps.store.update(container, { health: { ...health, status: "unhealthy" } });
}

function record(deps: ContainerDeps, container: Container, health: HealthState): void {
  const before = container.state.health?.status;
  deps.healthCounts.checks++;
  if (health.log.at(-1)?.ExitCode !== 0) deps.healthCounts.failed++;
  deps.store.update(container, { health });
  if (health.status === before) return;
  emitContainer(deps.emit, `health_status: ${health.status}`, container);
  if (health.status !== "unhealthy") return;
  void restartUnhealthy(deps, container).catch((error: unknown) =>
    deps.log.error("unhealthy container could not be restarted", { container: container.id, error }),
  );
}

interface Check {
  readonly args: readonly string[];
  readonly signal: AbortSignal;
  readonly output: (data: Uint8Array) => void;
}

async function probe(deps: ContainerDeps, container: Container, { args, signal, output }: Check): Promise<number> {
  const execId = randomId();
  const { config, hostConfig } = container.spec;
  const user = resolveUser(deps.snapshots.mount(container.id), config.User ?? "", hostConfig.GroupAdd ?? []);
  const process = execProcess(
    bundleProcess(deps.tasks.bundleDir(container.id)),
    {
      args,
      env: environment(container, { home: user.home, linked: currentLinkEnvironment(deps, container), hasTerminal: false }),
      cwd: config.WorkingDir || "/",
      terminal: false,
      privileged: false,
    },
    deps.facts,
  );
  const { reactor, buffers, log, emit } = deps;
  const command = commandText(args);
  emitContainer(emit, `exec_create: ${command}`, container, { execID: execId });
  emitContainer(emit, `exec_start: ${command}`, container, { execID: execId });
  const io = new ContainerIo({ tty: false, openStdin: false, stdinOnce: false, driver: new NoLog(), reactor, buffers, log });
  const session = io.attach({ logs: false, stream: true, stdin: false, stdout: true, stderr: true });
  const collected = collect(session.output, output);
  const task = await deps.tasks.exec({
    containerId: container.id,
    execId,
    process,
    io,
    runtime: hostConfig.Runtime ?? "crun",
    ...processScope(container, user),
  });
  const exited = task.exited.then((exitCode) => {
    emitContainer(emit, "exec_die", container, { execID: execId, exitCode: String(exitCode) });
    return exitCode;
  });
  const stopped = Promise.withResolvers<void>();
  const kill = (): void => {
    task.signal(SIGKILL);
    stopped.resolve();
  };
  if (signal.aborted) kill();
  else signal.addEventListener("abort", kill, { once: true });
  await Promise.race([exited, stopped.promise]);
  signal.removeEventListener("abort", kill);
  if (!signal.aborted) {
    await collected;
    return exited;
  }
  // checks that are killed must not pile up
  await Promise.race([exited, sleep(ENDS_WITHIN_MS)]);
  session.close();
  throw new DhowError("unavailable", "health check was stopped");
}

async function collect(chunks: AsyncIterable<{ readonly data: Uint8Array }>, output: (data: Uint8Array) => void): Promise<void> {
  for await (const { data } of chunks) output(data);
}
