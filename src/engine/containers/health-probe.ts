import { DhowError, randomId } from "../../lib/mod.ts";
import { ContainerIo, execProcess, NoLog, resolveUser } from "../../runtime/mod.ts";
import type { ContainerDeps } from "./deps.ts";
import { commandText, emitContainer } from "./emit.ts";
import { HealthMonitor, healthCommand, type ProbeResult } from "./health.ts";
import { currentLinkEnvironment } from "./links.ts";
import type { Live } from "./live.ts";
import { bundleProcess } from "./process.ts";
import { environment } from "./start.ts";
import type { Container } from "./store.ts";

const SIGKILL = 9;

/** Starts watching the health of a running container, if it has a check. */
export function startHealth(deps: ContainerDeps, container: Container, live: Live): void {
  const { Healthcheck, Shell } = container.spec.config;
  const command = healthCommand(Healthcheck, Shell);
  if (!Healthcheck || !command) return;
  live.health = new HealthMonitor(Healthcheck, command, {
    probe: (args, signal) => probe(deps, container, args, signal),
    changed: (status) => emitContainer(deps.emit, `health_status: ${status}`, container),
  });
}

async function probe(deps: ContainerDeps, container: Container, args: readonly string[], signal: AbortSignal): Promise<ProbeResult> {
  const execId = randomId();
  const { config, hostConfig } = container.spec;
  const user = resolveUser(deps.snapshots.mount(container.id), config.User ?? "", hostConfig.GroupAdd ?? []);
  const process = execProcess(
    bundleProcess(deps.tasks.bundleDir(container.id)),
    {
      args,
      env: environment(container, user.home, currentLinkEnvironment(deps, container)),
      cwd: config.WorkingDir || "/",
      user,
      terminal: false,
      privileged: false,
    },
    deps.facts,
  );
  const { reactor, buffers, log, emit } = deps;
  emitContainer(emit, `exec_create: ${commandText(args)}`, container, { execID: execId });
  emitContainer(emit, `exec_start: ${commandText(args)}`, container, { execID: execId });
  const io = new ContainerIo({ tty: false, openStdin: false, stdinOnce: false, driver: new NoLog(), reactor, buffers, log });
  const session = io.attach({ logs: false, stream: true, stdin: false, stdout: true, stderr: true });
  const output = collect(session.output);
  const task = await deps.tasks.exec({ containerId: container.id, execId, process, io, runtime: hostConfig.Runtime ?? "crun" });
  const kill = (): void => void task.signal(SIGKILL);
  if (signal.aborted) kill();
  else signal.addEventListener("abort", kill, { once: true });
  const exitCode = await task.exited;
  emitContainer(emit, "exec_die", container, { execID: execId, exitCode: String(exitCode) });
  signal.removeEventListener("abort", kill);
  if (signal.aborted) throw new DhowError("unavailable", "health check was stopped");
  return { exitCode, output: await output };
}

async function collect(output: AsyncIterable<{ readonly data: Uint8Array }>): Promise<string> {
  const parts: Buffer[] = [];
  let length = 0;
  for await (const { data } of output) {
    if (length < 8192) parts.push(Buffer.from(data));
    length += data.length;
  }
  return Buffer.concat(parts).toString();
}
