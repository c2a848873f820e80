import { closeSync, existsSync, openSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { type Defect, DhowError } from "../../lib/mod.ts";
import { Fd, O_NONBLOCK, O_RDWR, type Owner, open, pidfdOpen } from "../../linux/mod.ts";
import { type CheckpointOptions, linkNetns, prepareRestore, restoreFailure, writeCheckpoint } from "./checkpoint.ts";
import { openTerminal, openTransit, setFirstSize, type Terminal, takeFromHolder, takeFromKeeper } from "./console.ts";
import { type ExecOptions, type ExecTask, startExec } from "./exec.ts";
import { openFixedNull } from "./fixed-null.ts";
import {
  BUNDLE,
  endGroup,
  endProcess,
  type HolderEnds,
  makeBundle,
  openRecorded,
  pollPid,
  readExit,
  readPidFile,
  releaseStdin,
  reopenPipes,
  startHolder,
} from "./holder.ts";
import type { ContainerIo } from "./io.ts";
import { Keepers } from "./keepers.ts";
import { exitSoon, findHolder, hasPid, pidFromState, removeLeftOver, strayBundles, strayExecs, strayStates } from "./left-over.ts";
import { createFailure, readRuntimeErrors, silentFailure } from "./oci-error.ts";
import type { Adopted, AdoptOptions, RunOptions, TasksOptions } from "./options.ts";
import { type OciRuntime, type RuntimeCommand, runtimeCommand } from "./runtimes.ts";
import { strayProcesses } from "./stray-processes.ts";
import { KILLED_EXIT_CODE, Task } from "./task.ts";

const SIGKILL = 9;
/** What all starts together that the last daemon was about get to come to their end: nobody waits for them any more. */
const UNFINISHED_STARTS_MS = 5000;

/**
 * Runs containers' processes by an OCI runtime, so that they outlive the daemon.
 *
 * ```
 * <execRoot>/
 * ├─ crun/                     the runtime's own state (--root)
 * └─ bundles/<id>/
 *    ├─ config.json            what to run
 *    ├─ control                FIFO: the pid of the container's init, then the exit code
 *    ├─ stdin stdout stderr    FIFOs (no terminal)
 *    ├─ transit                FIFO between a terminal and its log
 *    ├─ console                socket on which the runtime hands over the terminal, while it starts
 *    ├─ netns                  link to the network namespace, while it has one of the engine's
 *    ├─ criu.conf              what CRIU is told besides, at a checkpoint and a restore
 *    ├─ holder                 pid of the shell that runs the runtime and keeps the FIFOs open
 *    ├─ keeper                 pid of the process that keeps the terminal open
 *    ├─ exit                   exit code, written by the holder
 *    ├─ failed                 the start has failed: that code is none of the container's process
 *    └─ runtime.log            errors of the runtime, JSON lines
 * ```
 */
export class Tasks {
  readonly #options: TasksOptions;
  readonly #keepers = new Keepers();
  #null: Fd | undefined;
  /** The last run of each bundle directory. */
  readonly #current = new Map<string, Task>();
  readonly #commands = new Map<string, RuntimeCommand>();
  /** Execs that are being started: what their directories are for. */
  readonly #execs = new Set<string>();
  #adoptionEndsAt: number | undefined;

  constructor(options: TasksOptions) {
    this.#options = options;
  }

  /** The bundle directory of a container. */
  bundleDir(id: string): string {
    return join(this.#options.execRoot, "bundles", id);
  }

  /** A path for the network namespace of a container that stays good while it runs. */
  netnsPath(id: string): string {
    return join(this.bundleDir(id), BUNDLE.netns);
  }

  /** The command lines of a configured runtime. @throws invalid */
  command(name: string): RuntimeCommand {
    const known = this.#commands.get(name);
    if (known !== undefined) return known;
    const runtime = this.#options.runtimes[name];
    if (runtime === undefined) throw new DhowError("invalid", `unknown or invalid runtime name: ${name}`);
    const command = runtimeCommand(runtime, join(this.#options.execRoot, runtimeRoot(runtime)));
    this.#commands.set(name, command);
    return command;
  }

  /**
   * Starts a container's process; resolves once its init runs.
   * @throws invalid in docker's words when the runtime refuses; `details.exitCode` is what `docker run` exits with
   */
  async run(options: RunOptions): Promise<Task> {
    const { id, spec, io } = options;
    const command = this.command(options.runtime);
    const dir = this.bundleDir(id);
    const { tty, openStdin } = io.options;
    const args = spec.process?.args ?? [];
    let task: Task | undefined;
    let terminal: Terminal | undefined;
    let pipes: HolderEnds["pipes"];
    try {
      // its pid is in the bundle that is about to be emptied
      if (tty) this.#keepers.end(dir);
      makeBundle(dir, JSON.stringify(spec), { tty, openStdin, owner: options.owner, hookReader: options.hookReader });
      if (options.netns !== undefined) linkNetns(dir, options.netns);
      const pidFile = join(dir, command.isCrun ? BUNDLE.control : BUNDLE.pid);
      const restoring =
        options.checkpoint === undefined ? undefined : await prepareRestore(options.checkpoint, id, { dir, command, pidFile });
      if (tty)
        terminal = openTerminal(this.#options.reactor, dir, command, (master) => {
          this.#keepers.start(dir, master);
          setFirstSize(master, spec.process);
        });
      const consolePath = command.isCrun && tty ? BUNDLE.console : undefined;
      const line = restoring?.line ?? command.run(dir, id, { pidFile, log: join(dir, BUNDLE.log), console: consolePath });
      const ends = startHolder({
        dir,
        command: line,
        tty,
        openStdin,
        terminal: terminal?.slavePath,
        listener: terminal?.listener,
        nothing: this.#nothing(options.owner)?.fd,
        timeOffsets: options.timeOffsets,
        env: restoring?.env,
      });
      pipes = ends.pipes;
      task = this.#task({ id, dir, io, command, pid: ends.pid, control: ends.control });
      if (!command.isCrun) pollPid(pidFile, task.started, (pid) => task?.assumePid(pid));
      await this.#begun(task, command, options.signal);
      if (terminal !== undefined)
        io.begin({ kind: "tty", master: (await terminal.master).release(), transit: openTransit(dir)?.release() });
      else if (ends.pipes !== undefined) {
        io.begin({ kind: "pipes", ...ends.pipes, closeStdin: () => releaseHolderStdin(dir) });
        pipes = undefined;
      }
      drainAtEnd(task, io, command);
      return task;
    } catch (error) {
      void terminal?.master.then((master) => master.close());
      if (pipes !== undefined) for (const fd of [pipes.stdin, pipes.stdout, pipes.stderr]) if (fd !== undefined) new Fd(fd).close();
      task?.abandon();
      const isRestore = options.checkpoint !== undefined && typeof error === "number";
      const failure = isRestore ? restoreFailure(dir, command.label) : this.#describe(error, dir, command, args);
      // what a killed runtime left is in the way of the next start
      await task?.gone;
      io.abort();
      this.cleanup(id);
      throw failure;
    } finally {
      terminal?.[Symbol.dispose]();
    }
  }

  /** What a runtime gets as empty standard streams when it is going to give them away; undefined: the host's /dev/null. */
  #nothing(owner: Owner | undefined): Fd | undefined {
    if (owner !== undefined) this.#null ??= openFixedNull(this.#options.execRoot);
    return owner === undefined ? undefined : this.#null;
  }

  /** Takes a container over that a former daemon started; undefined when nothing of it is left (a reboot). */
  async adopt(options: AdoptOptions): Promise<Adopted | undefined> {
    const { id, io } = options;
    const dir = this.bundleDir(id);
    if (!existsSync(dir)) return undefined;
    const command = this.command(options.runtime);
    const holder = await findHolder(dir);
    if (existsSync(join(dir, BUNDLE.failed))) {
      using left = holder?.pidfd;
      if (holder !== undefined && left !== undefined) endGroup({ pid: holder.pid, pidfd: left.fd });
      await removeLeftOver(command, id, this.#options.timeoutMs);
      this.#keepers.end(dir);
      return { kind: "failed", error: this.#describe(readExit(dir)?.exitCode ?? KILLED_EXIT_CODE, dir, command, []) };
    }
    const known = pidFromState(command, id);
    // a runtime that has removed its state is about to end
    const isEnding = holder !== undefined && known === undefined && options.hasRun === true;
    const exit = isEnding ? await exitSoon(dir) : readExit(dir);
    if (holder === undefined) {
      if (exit === undefined) await removeLeftOver(command, id, this.#options.timeoutMs);
      this.#keepers.end(dir);
      return exit === undefined ? undefined : { kind: "exited", exit };
    }
    using pidfd = holder.pidfd;
    if (exit !== undefined && options.hasRun === false && !hasPid(dir) && readRuntimeErrors(join(dir, BUNDLE.log)).length > 0) {
      // what the runtime said is in its pipes, too, and no concern of the container's log
      noteFailedStart(dir);
      endProcess(pidfd.fd);
      this.#keepers.end(dir);
      return { kind: "failed", error: this.#describe(exit.exitCode, dir, command, []) };
    }
    if (exit !== undefined) {
      this.#resumeIo(dir, io, pidfd.fd);
      await io.drain();
      endProcess(pidfd.fd);
      this.#keepers.end(dir);
      return { kind: "exited", exit };
    }
    const control = open(join(dir, BUNDLE.control), O_RDWR | O_NONBLOCK).release();
    const task = this.#task({ id, dir, io, command, pid: holder.pid, control });
    if (known !== undefined) task.assumePid(known);
    this.#adoptionEndsAt ??= Date.now() + UNFINISHED_STARTS_MS;
    try {
      await this.#begun(task, command, undefined, Math.max(0, this.#adoptionEndsAt - Date.now()));
    } catch (error) {
      const failure = this.#describe(error, dir, command, []);
      await task.gone;
      return { kind: "failed", error: failure };
    }
    if (!this.#resumeIo(dir, io, pidfd.fd)) {
      task.signal(SIGKILL);
      const lost = await task.exited;
      await task.gone;
      return { kind: "exited", exit: { ...lost, error: "the terminal was lost with the daemon that started the container" } };
    }
    drainAtEnd(task, io, command);
    return { kind: "running", task };
  }

  /** Waits until the process runs; a runtime that takes too long, and one that nobody waits for any more, is ended. */
  async #begun(task: Task, command: RuntimeCommand, signal?: AbortSignal, timeoutMs = this.#options.timeoutMs): Promise<void> {
    const late = `${command.label} did not start the container within ${Math.round(timeoutMs / 1000)} s (--runtime-timeout)`;
    const timer = setTimeout(() => task.abandon(createFailure(command.label, late, [])), timeoutMs);
    const give = (): void => task.abandon(signal?.reason);
    if (signal?.aborted) give();
    else signal?.addEventListener("abort", give, { once: true });
    try {
      await task.started;
    } finally {
      clearTimeout(timer);
      signal?.removeEventListener("abort", give);
    }
  }

  /**
   * Starts a further process in a running container; resolves once it runs. It ends with the container, and loses its clients with the daemon.
   * @throws invalid in docker's words; `details.exitCode` is 126 or 127
   */
  async exec(options: ExecOptions): Promise<ExecTask> {
    const { reactor, execRoot, timeoutMs, onOrphan = () => {} } = this.#options;
    const dir = join(execRoot, "execs", options.execId);
    this.#execs.add(options.execId);
    try {
      return await startExec(options, {
        dir,
        command: this.command(options.runtime),
        reactor,
        timeoutMs,
        onOrphan,
        nothing: this.#nothing(options.owner),
      });
    } finally {
      this.#execs.delete(options.execId);
    }
  }

  /** Writes a container's processes to files. @throws unsupported for what is missing here, internal in the runtime's and CRIU's words */
  checkpoint(options: CheckpointOptions): Promise<void> {
    return writeCheckpoint(options, { dir: this.bundleDir(options.id), command: this.command(options.runtime) });
  }

  /** Forgets a container's last run: its bundle directory. Its exit must be recorded elsewhere by now. */
  cleanup(id: string): void {
    const dir = this.bundleDir(id);
    this.#keepers.end(dir);
    rmSync(dir, { recursive: true, force: true });
  }

  /** When the run whose bundle is on disk was prepared; undefined when there is none. */
  preparedAt(id: string): Date | undefined {
    return statSync(join(this.bundleDir(id), BUNDLE.config), { throwIfNoEntry: false })?.mtime;
  }

  /** The runs, and the runtimes' states, of containers that nobody knows, and what is left of execs: their ends. After every `adopt`. */
  defects(isKnown: (id: string) => boolean): Defect[] {
    const { execRoot, runtimes } = this.#options;
    const commands = new Map(Object.keys(runtimes).map((name) => [this.command(name).root, this.command(name)]));
    return [
      ...strayStates([...commands.values()], (id) => isKnown(id) && existsSync(this.bundleDir(id)), this.#options.timeoutMs),
      ...strayBundles(join(execRoot, "bundles"), isKnown, (id) => this.cleanup(id)),
      ...strayExecs(join(execRoot, "execs"), (id) => this.#execs.has(id)),
    ];
  }

  /** Processes that this program starts for runs, of containers for which `isRun` is false: none of them runs. */
  strayProcesses(isRun: (id: string) => boolean): Defect[] {
    return strayProcesses(join(this.#options.execRoot, "bundles"), isRun);
  }

  #task(start: {
    readonly id: string;
    readonly dir: string;
    readonly io: ContainerIo;
    readonly command: RuntimeCommand;
    readonly pid: number;
    readonly control: number;
  }): Task {
    const { reactor, log, timeoutMs } = this.#options;
    const { id, dir, io, control } = start;
    // a runtime that passes a terminal's output on waits for whoever reads it
    const patienceMs = start.command.isCrun || !io.options.tty ? timeoutMs : undefined;
    const pidNow = start.command.isCrun ? undefined : (): number | undefined => readPidFile(join(dir, BUNDLE.pid));
    const onFailed = (): void => noteFailedStart(dir);
    const onLeftOver = (): Promise<void> => removeLeftOver(start.command, id, timeoutMs);
    const task = new Task({
      id,
      io,
      reactor,
      log,
      holder: pidfdOpen(start.pid),
      holderPid: start.pid,
      control,
      pidNow,
      patienceMs,
      onFailed,
      onLeftOver,
    });
    this.#current.set(dir, task);
    void task.gone
      .then(() => io.drained)
      .then(() => {
        // the next run may have begun: then it has ended this one's keeper, and has one of its own
        if (this.#current.get(dir) !== task) return;
        this.#current.delete(dir);
        this.#keepers.end(dir);
      });
    return task;
  }

  /** Takes a living holder's streams; false when it had a terminal that is lost. */
  #resumeIo(dir: string, io: ContainerIo, holder: number): boolean {
    if (!io.options.tty) {
      io.begin({ kind: "pipes", ...reopenPipes(dir, io.options.openStdin), closeStdin: () => releaseHolderStdin(dir) });
      return true;
    }
    let master = takeFromKeeper(dir);
    if (master === undefined) {
      master = takeFromHolder(holder);
      if (master === undefined) return false;
      this.#keepers.start(dir, master);
    }
    io.begin({ kind: "tty", master: master.release(), transit: openTransit(dir)?.release() });
    return true;
  }

  #describe(error: unknown, dir: string, command: RuntimeCommand, args: readonly string[]): unknown {
    if (typeof error !== "number") return error;
    const message = readRuntimeErrors(join(dir, BUNDLE.log)).at(-1) ?? silentFailure(command.program, error);
    return createFailure(command.label, message, args);
  }
}

/** The output ends with the process; a runtime that passes it on between two terminals has to end first, and then the task drains. */
function drainAtEnd(task: Task, io: ContainerIo, command: RuntimeCommand): void {
  if (command.isCrun || !io.options.tty) void task.exited.then(() => io.drain());
}

/** A daemon may die between the end of the holder and its record of the failure: the next one must not take the exit code for the process's. */
function noteFailedStart(dir: string): void {
  try {
    closeSync(openSync(join(dir, BUNDLE.failed), "w", 0o600));
  } catch {
    // there is no bundle any more, or no room
  }
}

function runtimeRoot(runtime: OciRuntime): string {
  return runtime.path.slice(runtime.path.lastIndexOf("/") + 1) || "runtime";
}

function releaseHolderStdin(dir: string): void {
  const holder = openRecorded(dir, BUNDLE.holder);
  if (holder === undefined) return;
  try {
    releaseStdin(holder.pidfd.fd);
  } finally {
    holder.pidfd.close();
  }
}
