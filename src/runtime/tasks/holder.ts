import { chmodSync, chownSync, closeSync, existsSync, mkdirSync, openSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import {
  EPOLLIN,
  Fd,
  kill,
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
  setPipeSize,
  type Watch,
} from "../../linux/mod.ts";
import { inNewTimeNamespace, type TimeOffsets } from "./time-namespace.ts";

const PIPE_BYTES = 1024 * 1024;
const SIGUSR1 = 10;
const SIGKILL = 9;

/** Files of a bundle directory. */
export const BUNDLE = {
  config: "config.json",
  control: "control",
  pid: "pid",
  stdin: "stdin",
  stdout: "stdout",
  stderr: "stderr",
  console: "console",
  transit: "transit",
  holder: "holder",
  keeper: "keeper",
  exit: "exit",
  failed: "failed",
  log: "runtime.log",
  netns: "netns",
  criu: "criu.conf",
} as const;

// "$@" is the runtime's command line. The pid comes from the runtime by its --pid-file, which is the control FIFO (descriptor 3),
// the exit code from here. The shell then stops and waits to be killed: it keeps the pipes open until the daemon has read them.
const TAIL = 'echo $c >exit; echo " $c" >&3; kill -STOP $$';
const PLAIN = `echo $$ >holder; (exec "$@" 3>&- 4>&-); c=$?; ${TAIL}`;
// A shell gives /dev/null as stdin to what it starts in the background, hence descriptor 5.
// In the subshell the descriptors can be closed without the shell moving its own out of the way.
// With stdin the shell also holds a write end (descriptor 4), so that a daemon that dies is no end of input; USR1 lets go of it.
const WITH_STDIN = `trap 'exec 4>&-' USR1; echo $$ >holder; "$@" <&5 5<&- 3>&- 4>&- & exec 5<&-; p=$!; while :; do wait $p; c=$?; kill -0 $p 2>/dev/null || break; done; ${TAIL}`;

// Opened by a session leader, the terminal becomes the controlling one: runc looks for it at /dev/tty, and learns of new sizes by it.
const WITH_TTY = `exec <$DHOW_TTY >$DHOW_TTY 2>&1; unset DHOW_TTY; ${PLAIN}`;

function scriptFor(options: HolderOptions): string {
  if (options.terminal !== undefined) return WITH_TTY;
  return options.openStdin && !options.tty ? WITH_STDIN : PLAIN;
}

export interface HolderOptions {
  readonly dir: string;
  readonly command: readonly string[];
  readonly tty: boolean;
  readonly openStdin: boolean;
  /** Path of a terminal for the runtime itself, when it does not hand over the container's. */
  readonly terminal?: string | undefined;
  /** The console socket: the holder keeps it (descriptor 4), so that a terminal on its way is not lost with this process. */
  readonly listener?: number | undefined;
  /** Takes the place of the host's /dev/null as the runtime's standard streams. */
  readonly nothing?: number | undefined;
  /** For a time namespace of its own. */
  readonly timeOffsets?: TimeOffsets | undefined;
  /** Of the runtime; nothing unless given. */
  readonly env?: Readonly<Record<string, string>> | undefined;
}

/** What `startHolder` gives: the daemon's ends. */
export interface HolderEnds {
  readonly pid: number;
  readonly control: number;
  /** Not for a terminal. */
  readonly pipes: { readonly stdin: number | undefined; readonly stdout: number; readonly stderr: number } | undefined;
}

/** The FIFOs of a process: what it has, and who may open them again through /dev/stdout. */
export interface FifoOptions {
  readonly tty: boolean;
  readonly openStdin: boolean;
  /** Whom they belong to on the host, where the runtime can't tell: in a user namespace. */
  readonly owner?: Owner | undefined;
}

export interface BundleOptions extends FifoOptions {
  /** Who hooks are in the container's user namespace, on the host. */
  readonly hookReader?: Owner | undefined;
}

/** Makes an empty bundle directory with the configuration and the FIFOs. */
export function makeBundle(dir: string, config: string, options: BundleOptions): void {
  makeEmptyDir(dir);
  writeFileSync(join(dir, BUNDLE.config), config, { mode: 0o600 });
  if (options.hookReader !== undefined) {
    const { gid } = options.hookReader;
    for (const [path, mode] of [[dir, 0o710] as const, [join(dir, BUNDLE.config), 0o640] as const]) {
      chownSync(path, 0, gid);
      chmodSync(path, mode);
    }
  }
  mkfifo(join(dir, BUNDLE.control));
  if (options.tty) mkfifo(join(dir, BUNDLE.transit));
  makeFifos(dir, options);
}

/** Makes the FIFOs for a process' standard streams; none for a terminal. */
export function makeFifos(dir: string, { tty, openStdin, owner }: FifoOptions): void {
  if (tty) return;
  for (const name of [BUNDLE.stdout, BUNDLE.stderr, ...(openStdin ? [BUNDLE.stdin] : [])]) {
    mkfifo(join(dir, name));
    if (owner !== undefined) chownSync(join(dir, name), owner.uid, owner.gid);
  }
}

/** Makes `dir`, without what a former run left there. */
export function makeEmptyDir(dir: string): void {
  try {
    mkdirSync(dir, { mode: 0o700 });
  } catch {
    // it is there, or its parents are not
    rmSync(dir, { recursive: true, force: true });
    mkdirSync(dir, { recursive: true, mode: 0o700 });
  }
}

/** Starts the shell that runs the runtime in the foreground, in a session of its own, so that it outlives this process. */
export function startHolder(options: HolderOptions): HolderEnds {
  using cleanup = new DisposableStack();
  const path = (name: string): string => join(options.dir, name);
  const take = (name: string, flags: number): Fd => cleanup.use(open(path(name), flags));
  const control = take(BUNDLE.control, O_RDWR | O_NONBLOCK);
  const nothing = options.nothing ?? "ignore";
  const shell = ["/bin/sh", "-c", scriptFor(options), "dhow-holder", ...options.command];
  const { env = {} } = options;
  const argv = options.timeOffsets === undefined ? shell : inNewTimeNamespace(options.timeOffsets, shell);
  if (options.tty) {
    const child = Bun.spawn(argv, {
      cwd: options.dir,
      env: options.terminal === undefined ? env : { ...env, DHOW_TTY: options.terminal },
      detached: true,
      stdio: [nothing, nothing, nothing, control.fd, options.listener ?? "ignore"],
    });
    child.unref();
    const ends = { pid: child.pid, control: control.fd, pipes: undefined };
    control.release();
    return ends;
  }
  // The container's ends are open for reading too: without a daemon there is still a reader, and a full pipe makes the container wait.
  using stdoutEnd = open(path(BUNDLE.stdout), O_RDWR);
  using stderrEnd = open(path(BUNDLE.stderr), O_RDWR);
  growPipe(stdoutEnd.fd);
  const stdout = take(BUNDLE.stdout, O_RDONLY | O_NONBLOCK);
  const stderr = take(BUNDLE.stderr, O_RDONLY | O_NONBLOCK);
  let stdin: Fd | undefined;
  let child: { readonly pid: number; unref(): void };
  if (options.openStdin) {
    using both = open(path(BUNDLE.stdin), O_RDWR | O_NONBLOCK);
    using readEnd = open(path(BUNDLE.stdin), O_RDONLY);
    using kept = open(path(BUNDLE.stdin), O_WRONLY);
    stdin = take(BUNDLE.stdin, O_WRONLY | O_NONBLOCK);
    both.close();
    child = Bun.spawn(argv, {
      cwd: options.dir,
      env,
      detached: true,
      stdio: [nothing, stdoutEnd.fd, stderrEnd.fd, control.fd, kept.fd, readEnd.fd],
    });
  } else {
    child = Bun.spawn(argv, { cwd: options.dir, env, detached: true, stdio: [nothing, stdoutEnd.fd, stderrEnd.fd, control.fd] });
  }
  child.unref();
  const ends = { pid: child.pid, control: control.fd, pipes: { stdin: stdin?.fd, stdout: stdout.fd, stderr: stderr.fd } };
  for (const fd of [control, stdout, stderr, stdin]) fd?.release();
  return ends;
}

function growPipe(fd: number): void {
  try {
    setPipeSize(fd, PIPE_BYTES);
  } catch {
    // a host may allow less: the default works, a little slower
  }
}

/** Opens a living holder's FIFOs again. */
export function reopenPipes(dir: string, withStdin: boolean): NonNullable<HolderEnds["pipes"]> {
  using cleanup = new DisposableStack();
  const stdout = cleanup.use(open(join(dir, BUNDLE.stdout), O_RDONLY | O_NONBLOCK));
  const stderr = cleanup.use(open(join(dir, BUNDLE.stderr), O_RDONLY | O_NONBLOCK));
  let stdin: number | undefined;
  if (withStdin) {
    try {
      stdin = openSync(join(dir, BUNDLE.stdin), O_WRONLY | O_NONBLOCK);
    } catch {
      // nobody reads it any more
    }
  }
  return { stdin, stdout: stdout.release(), stderr: stderr.release() };
}

/** What came over the control FIFO so far. */
export interface ControlEvents {
  /** The container's init runs. */
  readonly onPid: (pid: number) => void;
  /** The runtime has ended, with what it did for cleaning up. */
  readonly onExit: (exitCode: number) => void;
}

/** Reads a holder's control FIFO: the pid, without a newline, then a space, the exit code and a newline. Owns the descriptor. */
export class ControlChannel implements Disposable {
  readonly #fd: number;
  readonly #watch: Watch;
  readonly #events: ControlEvents;
  #text = "";
  #hasPid = false;

  constructor(reactor: Reactor, fd: number, events: ControlEvents) {
    this.#fd = fd;
    this.#events = events;
    this.#watch = reactor.watch(fd, EPOLLIN, () => this.#read());
  }

  [Symbol.dispose](): void {
    this.#watch[Symbol.dispose]();
    closeSync(this.#fd);
  }

  #read(): void {
    const buffer = Buffer.alloc(128);
    const count = read(this.#fd, buffer);
    if (count <= 0) return;
    this.#text += buffer.toString("latin1", 0, count);
    const [pid = "", exit] = this.#text.split(" ");
    if (!this.#hasPid && pid !== "") {
      this.#hasPid = true;
      this.#events.onPid(Number(pid));
    }
    if (exit?.endsWith("\n")) this.#events.onExit(Number(exit));
  }
}

/** Ends a holder's hold on stdin. */
export function releaseStdin(holder: number): void {
  pidfdSendSignal(holder, SIGUSR1);
}

/** Ends a holder that has nothing more to do. */
export function endProcess(pidfd: number): void {
  try {
    pidfdSendSignal(pidfd, SIGKILL);
  } catch {
    // it has ended by itself
  }
}

/** Ends a process that leads a group, and everything in its group. */
export function endGroup(leader: { readonly pid: number; readonly pidfd: number }): void {
  try {
    // while the leader is there its number is no other group's
    pidfdSendSignal(leader.pidfd, 0);
    kill(-leader.pid, SIGKILL);
  } catch {
    // it has ended by itself
  }
}

/** Opens the process whose pid is in `dir`/`file`, if it is still the one that was started for this bundle. */
export function openRecorded(dir: string, file: "holder" | "keeper"): { readonly pid: number; readonly pidfd: Fd } | undefined {
  let pid: number;
  try {
    pid = Number(readFileSync(join(dir, file), "utf8"));
  } catch {
    return undefined;
  }
  if (!Number.isInteger(pid) || pid <= 1) return undefined;
  try {
    using pidfd = pidfdOpen(pid);
    // a reused pid has another command line; asked after the process was pinned
    if (!readFileSync(`/proc/${pid}/cmdline`, "utf8").includes(dir)) return undefined;
    return { pid, pidfd: new Fd(pidfd.release()) };
  } catch {
    return undefined;
  }
}

/** The exit code that a holder left, and when; undefined while there is none. */
export function readExit(dir: string): { readonly exitCode: number; readonly exitedAt: Date } | undefined {
  try {
    const path = join(dir, BUNDLE.exit);
    const text = readFileSync(path, "utf8").trim();
    if (text === "") return undefined;
    return { exitCode: Number(text), exitedAt: statSync(path).mtime };
  } catch {
    return undefined;
  }
}

const PID_POLL_MS = 2;

/** The pid in a pid file; undefined while there is none. */
export function readPidFile(path: string): number | undefined {
  const pid = Number(existsSync(path) ? readFileSync(path, "utf8") : 0);
  return pid > 0 ? pid : undefined;
}

/** Waits for a pid file that the runtime puts in place by renaming, which a FIFO can't tell of; until `end` settles. */
export function pollPid(path: string, end: Promise<unknown>, onPid: (pid: number) => void): void {
  const timer = setInterval(() => {
    const pid = readPidFile(path);
    if (pid !== undefined) onPid(pid);
  }, PID_POLL_MS);
  const stop = (): void => clearInterval(timer);
  end.then(stop, stop);
}

/** Whether a holder has the control FIFO of `dir` open: also one that is so young that it has not written its pid yet. */
export function isHeld(dir: string): boolean {
  try {
    open(join(dir, BUNDLE.control), O_WRONLY | O_NONBLOCK).close();
    return true;
  } catch {
    return false;
  }
}
