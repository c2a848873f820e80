import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import {
  acceptUnix,
  EPOLLIN,
  type Fd,
  isErrno,
  listenUnix,
  makeRaw,
  O_DIRECTORY,
  O_NONBLOCK,
  O_RDONLY,
  O_RDWR,
  open,
  openPty,
  pidfdGetFd,
  pidfdOpen,
  type Reactor,
  receiveFd,
  setNonblocking,
  setWinsize,
  type Watch,
} from "../../linux/mod.ts";
import { BUNDLE, openRecorded } from "./holder.ts";

const KEPT_FD = 3;
/** The pipe that output passes through on its way from the terminal to the log. */
const TRANSIT_FD = 4;
/** Descriptor of the console socket in a holder. */
const LISTENER_FD = 4;

/**
 * Receives the master end of a container's terminal from the runtime, which connects to `<dir>/console` and sends it.
 * Listens from construction on.
 */
export class ConsoleSocket implements Disposable {
  readonly #dir: string;
  readonly #reactor: Reactor;
  readonly #onMaster: (master: Fd) => void;
  readonly #listener: Fd;
  readonly #watch: Watch;
  #connection: { readonly fd: Fd; readonly watch: Watch } | undefined;

  constructor(reactor: Reactor, dir: string, onMaster: (master: Fd) => void) {
    this.#dir = dir;
    this.#reactor = reactor;
    this.#onMaster = onMaster;
    // a socket's path is short; a bundle's may be long
    using directory = open(dir, O_RDONLY | O_DIRECTORY);
    this.#listener = listenUnix(`/proc/self/fd/${directory.fd}/${BUNDLE.console}`);
    this.#watch = reactor.watch(this.#listener.fd, EPOLLIN, () => this.#accept());
  }

  /** The listening socket; whoever holds it keeps what was sent and not yet received. */
  get fd(): number {
    return this.#listener.fd;
  }

  [Symbol.dispose](): void {
    this.#watch[Symbol.dispose]();
    this.#listener.close();
    this.#connection?.watch[Symbol.dispose]();
    this.#connection?.fd.close();
    rmSync(join(this.#dir, BUNDLE.console), { force: true });
  }

  #accept(): void {
    const fd = acceptUnix(this.#listener.fd);
    if (fd === undefined) return;
    if (this.#connection !== undefined) {
      fd.close();
      return;
    }
    this.#connection = { fd, watch: this.#reactor.watch(fd.fd, EPOLLIN, () => this.#receive(fd)) };
    this.#receive(fd);
  }

  #receive(connection: Fd): void {
    const master = receiveFd(connection.fd);
    if (master === undefined) return;
    this[Symbol.dispose]();
    if (master === null) return;
    setNonblocking(master.fd);
    this.#onMaster(master);
  }
}

/** Opens the pipe that a terminal's output passes through; undefined in the bundle of an engine that had none. */
export function openTransit(dir: string): Fd | undefined {
  try {
    return open(join(dir, BUNDLE.transit), O_RDWR | O_NONBLOCK);
  } catch (error) {
    if (isErrno(error, "ENOENT")) return undefined;
    throw error;
  }
}

/**
 * Starts a process that does nothing but hold `master` (as descriptor 3) and the pipe behind it (4), so that the terminal, and what has
 * left it and is not in the log yet, outlive this process. Its pid goes to `<dir>/keeper`. It stops itself at once and waits to be
 * killed. Returns its pidfd.
 */
export function startKeeper(dir: string, master: number): Fd {
  using transit = openTransit(dir);
  const kept: ("ignore" | number)[] = ["ignore", "ignore", "ignore", master];
  if (transit !== undefined) kept[TRANSIT_FD] = transit.fd;
  const child = Bun.spawn(["/bin/sh", "-c", "echo $$ >$1/keeper; kill -STOP $$", "dhow-keeper", dir], {
    cwd: "/",
    env: {},
    detached: true,
    stdio: kept as ["ignore", "ignore", "ignore", number],
  });
  child.unref();
  // both write it: it must be there even if this process dies now, and at once if it doesn't
  writeFileSync(join(dir, BUNDLE.keeper), String(child.pid));
  return pidfdOpen(child.pid);
}

/** Receives the terminal's master end that a former daemon had no time to; undefined when it never came, or was lost with that daemon. */
export function takeFromHolder(holder: number): Fd | undefined {
  try {
    using listener = pidfdGetFd(holder, LISTENER_FD);
    using connection = acceptUnix(listener.fd);
    const master = connection === undefined ? undefined : receiveFd(connection.fd);
    if (master === undefined || master === null) return undefined;
    setNonblocking(master.fd);
    return master;
  } catch (error) {
    // the holder has no such descriptor, or is ending
    if (isErrno(error, "EBADF", "ESRCH", "EINVAL", "ENOTSOCK")) return undefined;
    throw error;
  }
}

/** Takes the terminal's master end back from the keeper of `dir`; undefined when there is none. */
export function takeFromKeeper(dir: string): Fd | undefined {
  const keeper = openRecorded(dir, "keeper");
  if (keeper === undefined) return undefined;
  using pidfd = keeper.pidfd;
  const master = pidfdGetFd(pidfd.fd, KEPT_FD);
  setNonblocking(master.fd);
  return master;
}

/** A terminal on its way to the daemon. */
export interface Terminal extends Disposable {
  readonly master: Promise<Fd>;
  /** For a runtime that passes on between its own terminal and the container's. */
  readonly slavePath: string | undefined;
  /** The socket on which it will come, otherwise. */
  readonly listener: number | undefined;
}

/** crun hands the container's terminal over; others want one of their own in the foreground. `onMaster` is called at once when it is there. */
export function openTerminal(
  reactor: Reactor,
  dir: string,
  runtime: { readonly isCrun: boolean },
  onMaster: (master: Fd) => void = () => {},
): Terminal {
  if (!runtime.isCrun) {
    const { master, slave, slavePath } = openPty();
    setNonblocking(master.fd);
    makeRaw(slave.fd);
    onMaster(master);
    return { master: Promise.resolve(master), slavePath, listener: undefined, [Symbol.dispose]: () => slave.close() };
  }
  const received = Promise.withResolvers<Fd>();
  const socket = new ConsoleSocket(reactor, dir, (master) => {
    onMaster(master);
    received.resolve(master);
  });
  return { master: received.promise, slavePath: undefined, listener: socket.fd, [Symbol.dispose]: () => socket[Symbol.dispose]() };
}

/** Gives a terminal the size that the OCI process asks for; not every runtime does. */
export function setFirstSize(
  master: Fd,
  process: { readonly consoleSize?: { readonly height: number; readonly width: number } | undefined } | undefined,
): void {
  const size = process?.consoleSize;
  if (size !== undefined && size.height > 0 && size.width > 0) setWinsize(master.fd, size.height, size.width);
}
