import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import {
  EPOLLIN,
  type Fd,
  isErrno,
  mkfifo,
  O_NONBLOCK,
  O_RDONLY,
  O_RDWR,
  O_WRONLY,
  type Owner,
  open,
  pidfdOpen,
  pidfdSendSignal,
  type Reactor,
  read,
  type Watch,
} from "../../linux/mod.ts";
import { openTerminal, setFirstSize } from "./console.ts";
import { BUNDLE, endGroup, makeEmptyDir, makeFifos, pollPid, readPidFile } from "./holder.ts";
import type { ContainerIo } from "./io.ts";
import { execFailure, readRuntimeErrors } from "./oci-error.ts";
import type { RuntimeCommand } from "./runtimes.ts";
import { inTimeNamespaceOf } from "./time-namespace.ts";

/** The `process` object of the OCI configuration. */
export interface ExecProcessSpec {
  readonly args?: readonly string[] | undefined;
  readonly terminal?: boolean | undefined;
  readonly consoleSize?: { readonly height: number; readonly width: number } | undefined;
}

export interface ExecOptions {
  readonly containerId: string;
  readonly execId: string;
  /** Written for the runtime as it is; `terminal` must be what `io.options.tty` is. */
  readonly process: ExecProcessSpec;
  /** Has the `none` log driver; sessions attach to it before. */
  readonly io: ContainerIo;
  /** The container's runtime. */
  readonly runtime: string;
  /** Who the process is on the host, when it is in a user namespace. */
  readonly owner?: Owner | undefined;
  /** The container's init, when it has a time namespace, which runtimes don't enter by themselves. */
  readonly timeNamespaceOf?: number | undefined;
}

/** A further process in a running container. */
export interface ExecTask {
  /** On the host. */
  readonly pid: number;
  /** Resolves with the exit code (0 to 255, 128 + signal) once the process has ended and its output was taken from the pipes. */
  readonly exited: Promise<number>;
  /** False when it has ended. @throws {SysError} */
  signal(signo: number): boolean;
}

export interface ExecDeps {
  /** Takes the place of the host's /dev/null as the runtime's standard streams. */
  readonly nothing?: Fd | undefined;
  readonly dir: string;
  readonly command: RuntimeCommand;
  readonly reactor: Reactor;
  /** How long the runtime may take until the process runs. */
  readonly timeoutMs: number;
  /** Called when the runtime may have left a dead process in the container, which holds up the container's end. */
  readonly onOrphan: () => void;
}

interface Child {
  readonly pid: number;
  readonly exited: Promise<number>;
}

/**
 * Starts a process in a running container through the runtime's `exec`; resolves once it runs.
 * @throws invalid in docker's words; `details.exitCode` is 126 or 127
 */
export async function startExec(options: ExecOptions, deps: ExecDeps): Promise<ExecTask> {
  const { io } = options;
  const { dir, command } = deps;
  using cleanup = new DisposableStack();
  cleanup.defer(() => rmSync(dir, { recursive: true, force: true }));
  makeExecDir(dir, options);
  const control = cleanup.use(open(join(dir, BUNDLE.control), O_RDWR | O_NONBLOCK));
  const terminal = io.options.tty
    ? cleanup.use(openTerminal(deps.reactor, dir, command, (master) => setFirstSize(master, options.process)))
    : undefined;
  const pidFile = join(dir, command.isCrun ? BUNDLE.control : BUNDLE.pid);
  const exec = command.exec(options.containerId, {
    process: join(dir, "process.json"),
    pidFile,
    log: join(dir, BUNDLE.log),
    console: command.isCrun && io.options.tty ? BUNDLE.console : undefined,
  });
  const line = options.timeNamespaceOf === undefined ? exec : inTimeNamespaceOf(options.timeNamespaceOf, exec);
  const ends = cleanup.use(openPipes(dir, io, { owner: options.owner, nothing: deps.nothing?.fd ?? "ignore" }));
  // it keeps the FIFO open to itself: with nobody there it would wait for a reader, even after this process has died, and hold up the container's end
  const child = spawnRuntime(line, { dir, stdio: [...ends.stdio, control.fd], terminal: terminal?.slavePath });
  ends.closeChildEnds();
  const limit = endAfter(child, deps.timeoutMs);
  const pid = await firstOf(child, { control: control.fd, pidFile, isPolled: !command.isCrun }, deps.reactor);
  limit[Symbol.dispose]();
  if (pid === undefined) {
    const exitCode = await child.exited;
    const late = `${command.label} did not start the process within ${Math.round(deps.timeoutMs / 1000)} s (--runtime-timeout)`;
    const message = limit.isOver ? late : (readRuntimeErrors(join(dir, BUNDLE.log)).at(-1) ?? `exit status ${exitCode}`);
    deps.onOrphan();
    // the runtime may have handed the terminal over before it failed
    void terminal?.master.then((master) => master.close());
    io.abort();
    throw execFailure(message, options.process.args ?? []);
  }
  if (terminal !== undefined) {
    io.begin({ kind: "tty", master: (await terminal.master).release(), transit: undefined });
  } else io.begin({ kind: "pipes", ...ends.release(), closeStdin: () => {} });
  const exited = child.exited.then(async (code) => {
    // children that keep the pipe open do not hold this up
    void io.drain();
    return code;
  });
  return { pid, exited, signal: signaller(pid, exited) };
}

/** Ends a runtime, with what it started, that takes longer than `ms`. */
function endAfter(child: Child, ms: number): Disposable & { readonly isOver: boolean } {
  const pidfd = pidfdOpen(child.pid);
  let isOver = false;
  const timer = setTimeout(() => {
    isOver = true;
    endGroup({ pid: child.pid, pidfd: pidfd.fd });
  }, ms);
  return {
    get isOver() {
      return isOver;
    },
    [Symbol.dispose]: () => {
      clearTimeout(timer);
      pidfd.close();
    },
  };
}

function makeExecDir(dir: string, options: ExecOptions): void {
  makeEmptyDir(dir);
  writeFileSync(join(dir, "process.json"), JSON.stringify(options.process), { mode: 0o600 });
  mkfifo(join(dir, BUNDLE.control));
}

type StdioEntry = "ignore" | number;

interface Pipes extends Disposable {
  readonly stdio: [StdioEntry, StdioEntry, StdioEntry];
  closeChildEnds(): void;
  /** Gives the daemon's ends away. */
  release(): { readonly stdin: number | undefined; readonly stdout: number; readonly stderr: number };
}

interface PipesInput {
  readonly owner: Owner | undefined;
  readonly nothing: StdioEntry;
}

function openPipes(dir: string, io: ContainerIo, { owner, nothing }: PipesInput): Pipes {
  if (io.options.tty)
    return {
      stdio: [nothing, nothing, nothing],
      closeChildEnds: () => {},
      release: () => ({ stdin: undefined, stdout: -1, stderr: -1 }),
      [Symbol.dispose]: () => {},
    };
  using opened = new DisposableStack();
  const openFifo = (name: string, flags: number): Fd => opened.use(open(join(dir, name), flags));
  makeFifos(dir, { tty: false, openStdin: io.options.openStdin, owner });
  const stdout = openFifo(BUNDLE.stdout, O_RDONLY | O_NONBLOCK);
  const stderr = openFifo(BUNDLE.stderr, O_RDONLY | O_NONBLOCK);
  const outEnd = openFifo(BUNDLE.stdout, O_WRONLY);
  const errEnd = openFifo(BUNDLE.stderr, O_WRONLY);
  let stdin: Fd | undefined;
  let inEnd: Fd | undefined;
  if (io.options.openStdin) {
    inEnd = openFifo(BUNDLE.stdin, O_RDONLY | O_NONBLOCK);
    stdin = openFifo(BUNDLE.stdin, O_WRONLY | O_NONBLOCK);
    // opened without waiting, but the process wants to wait
    inEnd.close();
    inEnd = openFifo(BUNDLE.stdin, O_RDONLY);
  }
  const kept = opened.move();
  return {
    stdio: [inEnd?.fd ?? nothing, outEnd.fd, errEnd.fd],
    closeChildEnds: () => {
      for (const fd of [outEnd, errEnd, inEnd]) fd?.close();
    },
    release: () => ({ stdin: stdin?.release(), stdout: stdout.release(), stderr: stderr.release() }),
    [Symbol.dispose]: () => kept.dispose(),
  };
}

const WITH_TTY = 'exec <$DHOW_TTY >$DHOW_TTY 2>&1; unset DHOW_TTY; exec "$@"';

function spawnRuntime(
  line: string[],
  options: { readonly dir: string; readonly stdio: readonly [...Pipes["stdio"], number]; readonly terminal: string | undefined },
): Child {
  const { dir, terminal } = options;
  const stdio: [StdioEntry, StdioEntry, StdioEntry, number] = [...options.stdio];
  if (terminal === undefined) return Bun.spawn(line, { cwd: dir, env: {}, detached: true, stdio });
  return Bun.spawn(["/bin/sh", "-c", WITH_TTY, "dhow-exec", ...line], { cwd: dir, env: { DHOW_TTY: terminal }, detached: true, stdio });
}

interface PidSource {
  readonly control: number;
  readonly pidFile: string;
  /** The runtime replaces the file in place of writing to it. */
  readonly isPolled: boolean;
}

/** The pid once the process runs; undefined when the runtime ended without. */
function firstOf(child: Child, source: PidSource, reactor: Reactor): Promise<number | undefined> {
  return new Promise((resolve) => {
    const buffer = Buffer.alloc(32);
    const pidNow = (): number | undefined => {
      // a short process may have ended before its pid was asked for
      if (source.isPolled) return readPidFile(source.pidFile);
      const count = read(source.control, buffer);
      return count > 0 ? Number(buffer.toString("latin1", 0, count)) : undefined;
    };
    const ended = Promise.withResolvers<void>();
    let watch: Watch | undefined;
    const done = (pid: number | undefined): void => {
      watch?.[Symbol.dispose]();
      watch = undefined;
      ended.resolve();
      resolve(pid);
    };
    if (source.isPolled) pollPid(source.pidFile, ended.promise, done);
    watch = reactor.watch(source.control, EPOLLIN, () => done(pidNow()));
    void child.exited.then(() => {
      if (watch !== undefined) done(pidNow());
    });
  });
}

function signaller(pid: number, exited: Promise<number>): (signo: number) => boolean {
  let pidfd: Fd | undefined;
  try {
    pidfd = pidfdOpen(pid);
  } catch {
    return () => false;
  }
  void exited.then(() => pidfd.close());
  return (signo) => {
    if (pidfd.fd < 0) return false;
    try {
      pidfdSendSignal(pidfd.fd, signo);
      return true;
    } catch (error) {
      if (isErrno(error, "ESRCH")) return false;
      throw error;
    }
  };
}
