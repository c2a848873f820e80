import { DhowError, randomId } from "../../lib/mod.ts";
import { ContainerIo, type ExecTask, execProcess, NoLog, parseDetachKeys, resolveUser } from "../../runtime/mod.ts";
import type {
  AttachSession,
  ExecApi,
  ExecCreateRequest,
  ExecInspectResponse,
  ExecStartOptions,
  ExecStartRequest,
} from "../../spec/engine/mod.ts";
import { isRunning } from "../containers/container.ts";
import type { ContainerDeps } from "../containers/deps.ts";
import { commandText, emitContainer } from "../containers/emit.ts";
import { environment } from "../containers/environment.ts";
import { currentLinkEnvironment } from "../containers/links.ts";
import { bundleProcess } from "../containers/process.ts";
import type { Container } from "../containers/store.ts";
import { processScope } from "../containers/userns.ts";

/** How long an ended exec can still be asked for its exit code. */
const KEPT_MS = 5 * 60_000;
const KEPT_MOST = 256;

interface Exec {
  readonly id: string;
  readonly container: Container;
  readonly request: ExecCreateRequest;
  readonly io: ContainerIo;
  /** When the container started that it was made in: one that hasn't run ends with that run. */
  readonly runStartedAt: string;
  task: ExecTask | undefined;
  isStarted: boolean;
  /** Settles when the process runs, or could not be started. */
  starting: Promise<void> | undefined;
  isRunning: boolean;
  exitCode: number | null;
  endedAtMs: number | undefined;
}

/** Processes started in running containers. They live in memory only: a daemon that comes back doesn't know them any more. */
export class Execs implements ExecApi {
  readonly #deps: ContainerDeps;
  readonly #byId = new Map<string, Exec>();
  /** One for all: a timer for each would keep what it is for, however many there are. */
  #sweep: ReturnType<typeof setTimeout> | undefined;

  constructor(deps: ContainerDeps) {
    this.#deps = deps;
  }

  async create(containerRef: string, request: ExecCreateRequest): Promise<{ readonly Id: string }> {
    this.#deps.warmer.touch();
    const container = this.#runningContainer(containerRef);
    if (!request.Cmd?.length) throw new DhowError("invalid", "no exec command specified");
    parseDetachKeys(request.DetachKeys ?? "", "escape");
    const id = randomId();
    const { reactor, buffers, log } = this.#deps;
    const io = new ContainerIo({
      tty: request.Tty ?? false,
      openStdin: request.AttachStdin ?? false,
      stdinOnce: true,
      driver: new NoLog(),
      reactor,
      buffers,
      log,
    });
    this.#byId.set(id, {
      id,
      container,
      request,
      io,
      runStartedAt: container.state.startedAt,
      task: undefined,
      starting: undefined,
      isStarted: false,
      isRunning: false,
      exitCode: null,
      endedAtMs: undefined,
    });
    const live = this.#deps.live.of(container);
    live.execIds.add(id);
    live.execIos.add(io);
    emitContainer(this.#deps.emit, `exec_create: ${commandText(request.Cmd)}`, container, { execID: id });
    this.#forgetOld();
    return { Id: id };
  }

  #runningContainer(ref: string): Container {
    const container = this.#deps.store.find(ref);
    const { status } = container.state;
    if (status === "paused") throw new DhowError("conflict", `Container ${ref} is paused, unpause the container before exec`);
    if (status === "restarting") {
      throw new DhowError("conflict", `Container ${container.id} is restarting, wait until the container is running`);
    }
    if (!isRunning(container.state)) throw new DhowError("conflict", `container ${container.id} is not running`);
    return container;
  }

  #find(id: string): Exec {
    const exec = this.#byId.get(id);
    // what was made in a container that has been removed went with it
    const isThere = exec !== undefined && !isOver(exec) && this.#deps.store.get(exec.container.id) === exec.container;
    if (isThere) return exec;
    this.#byId.delete(id);
    throw new DhowError("notFound", `No such exec instance: ${id}`);
  }

  async start(id: string, request: ExecStartRequest, options: ExecStartOptions): Promise<AttachSession | null> {
    const exec = this.#find(id);
    if (exec.isStarted) throw new DhowError("conflict", `Error: Exec command ${id} is already running`);
    const container = this.#runningContainer(exec.container.id);
    exec.isStarted = true;
    const { AttachStdin = false, AttachStdout = false, AttachStderr = false, DetachKeys } = exec.request;
    const session = request.Detach
      ? null
      : exec.io.attach({
          logs: false,
          stream: true,
          stdin: AttachStdin,
          stdout: AttachStdout,
          stderr: AttachStderr,
          detachKeys: DetachKeys || undefined,
          signal: options.signal,
        });
    emitContainer(this.#deps.emit, `exec_start: ${commandText(exec.request.Cmd ?? [])}`, container, { execID: id });
    options.onAccepted?.();
    try {
      exec.starting = this.#run(exec, container, request);
      await exec.starting;
    } catch (error) {
      session?.close();
      exec.exitCode = error instanceof DhowError && typeof error.details["exitCode"] === "number" ? error.details["exitCode"] : 126;
      this.#ended(exec);
      throw error;
    }
    return session;
  }

  async #run(exec: Exec, container: Container, request: ExecStartRequest): Promise<void> {
    const { tasks, snapshots, facts, network } = this.#deps;
    network.settle();
    const { config, hostConfig } = container.spec;
    const asked = exec.request;
    const user = resolveUser(snapshots.mount(container.id), asked.User || config.User || "", hostConfig.GroupAdd ?? []);
    const [rows = 0, columns = 0] = request.ConsoleSize ?? asked.ConsoleSize ?? [];
    const tty = asked.Tty ?? false;
    const linked = currentLinkEnvironment(this.#deps, container);
    const env = environment(container, { home: user.home, linked, hasTerminal: tty, own: asked.Env ?? null });
    const process = execProcess(
      bundleProcess(tasks.bundleDir(container.id)),
      {
        args: asked.Cmd ?? [],
        env,
        cwd: asked.WorkingDir || config.WorkingDir || "/",
        user: asked.User ? user : undefined,
        terminal: tty,
        consoleSize: rows > 0 && columns > 0 ? { height: rows, width: columns } : undefined,
        privileged: asked.Privileged ?? false,
      },
      facts,
    );
    const task = await tasks.exec({
      containerId: container.id,
      execId: exec.id,
      process,
      io: exec.io,
      runtime: hostConfig.Runtime ?? "crun",
      ...processScope(container, user),
    });
    exec.task = task;
    exec.isRunning = true;
    void task.exited.then((exitCode) => {
      exec.exitCode = exitCode;
      this.#ended(exec);
      emitContainer(this.#deps.emit, "exec_die", container, { execID: exec.id, exitCode: String(exitCode) });
    });
  }

  #ended(exec: Exec): void {
    exec.isRunning = false;
    const live = this.#deps.live.peek(exec.container.id);
    live?.execIds.delete(exec.id);
    live?.execIos.delete(exec.io);
    exec.endedAtMs = performance.now();
    this.#sweepIn(KEPT_MS);
  }

  #sweepIn(ms: number): void {
    this.#sweep ??= setTimeout(() => this.#forgetEnded(), ms).unref();
  }

  #forgetEnded(): void {
    this.#sweep = undefined;
    let nextMs = Number.POSITIVE_INFINITY;
    for (const { id, endedAtMs } of this.#byId.values()) {
      if (endedAtMs === undefined) continue;
      const leftMs = endedAtMs + KEPT_MS - performance.now();
      if (leftMs <= 0) this.#byId.delete(id);
      else nextMs = Math.min(nextMs, leftMs);
    }
    if (nextMs < Number.POSITIVE_INFINITY) this.#sweepIn(nextMs);
  }

  #forgetOld(): void {
    if (this.#byId.size <= KEPT_MOST) return;
    for (const [id, exec] of this.#byId) {
      if (this.#byId.size <= KEPT_MOST) return;
      const isGone = this.#deps.store.get(exec.container.id) !== exec.container;
      if (exec.exitCode !== null || isGone) this.#byId.delete(id);
    }
  }

  async inspect(id: string): Promise<ExecInspectResponse> {
    const { request, task, container, isRunning: running, exitCode } = this.#find(id);
    const [entrypoint = "", ...args] = request.Cmd ?? [];
    return {
      ID: id,
      Running: running,
      ExitCode: exitCode,
      ProcessConfig: {
        tty: request.Tty ?? false,
        entrypoint,
        arguments: args,
        privileged: request.Privileged ?? false,
        ...(request.User ? { user: request.User } : {}),
      },
      OpenStdin: request.AttachStdin ?? false,
      OpenStderr: request.AttachStderr ?? false,
      OpenStdout: request.AttachStdout ?? false,
      CanRemove: false,
      ContainerID: container.id,
      // bytes, as Go writes them
      DetachKeys: Buffer.from(parseDetachKeys(request.DetachKeys ?? "", "escape")).toString("base64"),
      Pid: task?.pid ?? 0,
    };
  }

  async resize(id: string, size: { readonly rows: number; readonly columns: number }): Promise<void> {
    const exec = this.#find(id);
    // a client that knows of the connection already may be early
    await exec.starting?.catch(() => {});
    if (!isRunning(exec.container.state)) throw new DhowError("conflict", `container ${exec.container.id} is not running`);
    if (!exec.isRunning) throw new DhowError("invalid", "exec process is not started");
    exec.io.resize(size.rows, size.columns);
  }
}

/** It was never started, and what it was made for has ended. */
function isOver({ isStarted, container: { state }, runStartedAt }: Exec): boolean {
  return !isStarted && (!isRunning(state) || state.startedAt !== runStartedAt);
}
