/** Listening sockets that outlive the daemon. */
import { lchownSync, lstatSync, mkdirSync, readdirSync, readFileSync, rmSync, unlinkSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import type { SocketAddress } from "../engine/mod.ts";
import { DhowError, errnoCode, errorMessage, type Logger, writeFileAtomic } from "../lib/mod.ts";
import { Fd, isErrno, listenUnix, pidfdGetFd, pidfdOpen, pidfdSendSignal, setNonblocking } from "../linux/mod.ts";

const BACKLOG = 128;
const KEPT_FD = 3;
const SIGKILL = 9;

/** The listening sockets of one exec root. */
export class KeptSockets {
  /** Where sockets are that name no path. */
  readonly directory: string;
  readonly #keepers: string;
  readonly #open = new Map<string, KeptSocket>();

  constructor(execRoot: string) {
    this.directory = join(execRoot, "sockets");
    this.#keepers = join(execRoot, "keepers");
  }

  /**
   * At the daemon's start: ends what a daemon left that was killed while it made or removed a socket, and opens those that there are, since
   * containers that are started have their files mounted. Who connects waits until the socket is served.
   */
  prepare(addresses: readonly SocketAddress[], log: Logger): void {
    // who may connect is said by each socket's own mode
    mkdirSync(this.directory, { recursive: true, mode: 0o711 });
    mkdirSync(this.#keepers, { recursive: true, mode: 0o700 });
    const known = new Set(addresses.map(({ name }) => name));
    for (const name of readdirSync(this.#keepers)) if (!known.has(name)) endKeeper(join(this.#keepers, name));
    for (const address of addresses) {
      try {
        this.open(address);
      } catch (error) {
        log.debug("scoped socket can't be opened yet", { socket: address.name, error: errorMessage(error) });
      }
    }
  }

  /** @throws conflict when somebody listens there, invalid */
  open(address: SocketAddress): KeptSocket {
    const present = this.#open.get(address.name);
    if (present !== undefined) return present;
    const socket = new KeptSocket(this.#keepers, address, () => this.#open.delete(address.name));
    this.#open.set(address.name, socket);
    return socket;
  }
}

/**
 * A listening socket that outlives the daemon: a stopped process, the keeper, has it too. So the file stays the one that is mounted in
 * containers, and who connects while no daemon runs waits for the next one.
 *
 * ```
 * <exec-root>/keepers/<name>/  pid of the keeper    path of the socket
 * ```
 */
export class KeptSocket {
  readonly #dir: string;
  readonly #socket: Fd;
  readonly #keeper: Fd;
  readonly #onClose: () => void;

  /** @throws conflict when somebody listens there, invalid */
  constructor(keepers: string, { name, path, group }: SocketAddress, onClose: () => void) {
    this.#onClose = onClose;
    this.#dir = join(keepers, name);
    const kept = takeKept(this.#dir, path);
    if (kept !== undefined) {
      ({ socket: this.#socket, keeper: this.#keeper } = kept);
      return;
    }
    endKeeper(this.#dir);
    mkdirSync(this.#dir, { recursive: true, mode: 0o700 });
    this.#socket = bindSocket(path, group);
    this.#keeper = startKeeper(this.#dir, path, this.#socket.fd);
  }

  get fd(): number {
    return this.#socket.fd;
  }

  /** For the next daemon. */
  leave(): void {
    this.#onClose();
    this.#socket.close();
    this.#keeper.close();
  }

  /** For nobody. */
  forget(): void {
    killKeeper(this.#keeper);
    this.leave();
    endKeeper(this.#dir);
  }
}

/** The group's number. @throws invalid */
function groupNumber(group: string): number {
  if (group === "") return 0;
  if (/^\d+$/.test(group)) return Number(group);
  for (const line of readFileSync("/etc/group", "utf8").split("\n")) {
    const [name, , gid] = line.split(":");
    if (name === group && gid !== undefined) return Number(gid);
  }
  throw new DhowError("invalid", `group ${group} not found`);
}

function bindSocket(path: string, group: string): Fd {
  const gid = groupNumber(group);
  removeStale(path);
  // nobody but root may connect before the group is right; a link that somebody puts in its place is not followed
  const before = process.umask(0o117);
  try {
    using socket = listenUnix(path, BACKLOG);
    lchownSync(path, 0, gid);
    return new Fd(socket.release());
  } catch (error) {
    if (isErrno(error, "EADDRINUSE")) throw new DhowError("conflict", `listen at ${path}: it is there already`, { cause: error });
    if (isErrno(error, "ENOENT", "ENOTDIR"))
      throw new DhowError("invalid", `listen at ${path}: there is no directory ${dirname(path)}`, { cause: error });
    throw error;
  } finally {
    process.umask(before);
  }
}

/** A socket file that nobody listens at is in the way; any other file is somebody's. @throws conflict, invalid */
function removeStale(path: string): void {
  const found = lstatSync(path, { throwIfNoEntry: false });
  if (found === undefined) return;
  if (!found.isSocket()) throw new DhowError("invalid", `listen at ${path}: it exists and is not a socket`);
  // see proc_net(5): the path is what a line ends with
  const isTaken = readFileSync("/proc/net/unix", "utf8")
    .split("\n")
    .some((line) => line.endsWith(` ${path}`));
  if (isTaken) throw new DhowError("conflict", `listen at ${path}: somebody listens there already`);
  unlinkSync(path);
}

/** The file at `path` as itself, whatever it is called: another socket may have been put in its place. */
function identity(path: string): string {
  const found = lstatSync(path, { throwIfNoEntry: false });
  return found?.isSocket() ? `${found.dev}:${found.ino} ${path}` : "";
}

/** Starts a process that does nothing but hold the socket as descriptor 3. It stops itself at once and waits to be killed. */
function startKeeper(dir: string, path: string, socket: number): Fd {
  writeFileSync(join(dir, "socket"), identity(path));
  const child = Bun.spawn(["/bin/sh", "-c", "set -C; echo $$ >$1/pid; kill -STOP $$", "dhow-keeper", dir], {
    cwd: "/",
    env: {},
    detached: true,
    stdio: ["ignore", "ignore", "ignore", socket],
  });
  child.unref();
  // both write it: it must be there even if this process dies now, and at once if it doesn't; neither empties what the other wrote
  writeFileAtomic(join(dir, "pid"), String(child.pid));
  return pidfdOpen(child.pid);
}

/** The keeper of `dir`, if it is still the process that was started there. */
function openKeeper(dir: string): Fd | undefined {
  try {
    const pid = Number(readFileSync(join(dir, "pid"), "utf8"));
    if (!Number.isInteger(pid) || pid <= 1) return undefined;
    using pidfd = pidfdOpen(pid);
    // a reused pid has another command line; asked after the process was pinned
    if (!readFileSync(`/proc/${pid}/cmdline`, "utf8").includes(`${dir}\0`)) return undefined;
    return new Fd(pidfd.release());
  } catch (error) {
    if (errnoCode(error) === "ENOENT" || isErrno(error, "ESRCH")) return undefined;
    throw error;
  }
}

/** The socket that a former daemon left at `path`; undefined when there is none, or its file was taken away. */
function takeKept(dir: string, path: string): { readonly socket: Fd; readonly keeper: Fd } | undefined {
  using keeper = openKeeper(dir);
  if (keeper === undefined || readFileSync(join(dir, "socket"), "utf8") !== identity(path)) return undefined;
  const socket = pidfdGetFd(keeper.fd, KEPT_FD);
  setNonblocking(socket.fd);
  return { socket, keeper: new Fd(keeper.release()) };
}

function killKeeper(keeper: Fd): void {
  try {
    pidfdSendSignal(keeper.fd, SIGKILL);
  } catch (error) {
    // somebody else ended it
    if (!isErrno(error, "ESRCH")) throw error;
  }
}

/** Ends the keeper of `dir` and takes the socket's file away. */
function endKeeper(dir: string): void {
  using keeper = openKeeper(dir);
  if (keeper !== undefined) killKeeper(keeper);
  try {
    const kept = readFileSync(join(dir, "socket"), "utf8");
    const path = kept.slice(kept.indexOf(" ") + 1);
    if (kept !== "" && identity(path) === kept) unlinkSync(path);
  } catch (error) {
    if (errnoCode(error) !== "ENOENT") throw error;
  }
  rmSync(dir, { recursive: true, force: true });
}
