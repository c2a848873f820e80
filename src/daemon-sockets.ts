/** Puts scoped sockets together: what they let through is engine/scopes', how they are listened at is here. */
import { lchownSync, lstatSync, mkdirSync, readdirSync, readFileSync, rmSync, unlinkSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import type { DaemonConfig } from "./daemon-config.ts";
import type { Engine } from "./daemon-engine.ts";
import { findHolder } from "./daemon-roots.ts";
import { type ServedSocket, type SocketAddress, Sockets } from "./engine/mod.ts";
import { DhowError, DOCKER_VERSION, errnoCode, type Logger } from "./lib/mod.ts";
import { dup, Fd, isErrno, listenUnix, pidfdGetFd, pidfdOpen, pidfdSendSignal, setNonblocking } from "./linux/mod.ts";
import { createServer } from "./server/mod.ts";
import type { AuditRecord, EngineApi } from "./spec/engine/mod.ts";

const BACKLOG = 128;
const DRAIN_MS = 2000;
const KEPT_FD = 3;
const SIGKILL = 9;

interface SocketsBase {
  readonly log: Logger;
  readonly stack: AsyncDisposableStack;
  readonly onRequest: () => void;
}

/** Listens again at the scoped sockets that there are. */
export async function startSockets(
  config: DaemonConfig,
  { sockets: table, facts, daemonId }: Engine,
  engine: Engine["api"],
  base: SocketsBase,
): Promise<Sockets> {
  const { dataRoot, execRoot } = config;
  const { log, stack, onRequest } = base;
  const socketDir = join(execRoot, "sockets");
  const keeperDir = join(execRoot, "keepers");
  // who may connect is said by each socket's own mode
  mkdirSync(socketDir, { recursive: true, mode: 0o711 });
  mkdirSync(keeperDir, { recursive: true, mode: 0o700 });
  const serve = async (
    address: SocketAddress,
    api: EngineApi,
    onAnswer: ((record: AuditRecord) => void) | undefined,
  ): Promise<ServedSocket> => {
    const kept = new KeptSocket(keeperDir, address);
    const server = createServer({
      api,
      log: log.child({ room: "server", socket: address.name }),
      serverVersion: DOCKER_VERSION,
      onRequest,
      onAnswer,
    });
    try {
      await server.listen({ kind: "fd", fd: dup(kept.fd).release() });
    } catch (error) {
      kept.forget();
      throw error;
    }
    return {
      close: async ({ isGone }) => {
        await server.close({ drainMs: isGone ? 0 : Math.min(DRAIN_MS, config.shutdownTimeoutS * 1000) });
        // containers that run may have the socket's file among their mounts
        if (isGone || findHolder(execRoot) === undefined) kept.forget();
        else kept.leave();
      },
    };
  };
  const scoped = new Sockets({
    table,
    engine,
    serve,
    facts,
    socketDir,
    auditDir: join(dataRoot, "audit"),
    cgroupParent: `${config.cgroupParent || "/dhow"}/${daemonId}-sockets`,
    log,
  });
  stack.defer(() => scoped.stop());
  sweepKeepers(keeperDir, new Set(table.all().map(({ name }) => name)));
  scoped.sweepGroups();
  await scoped.start();
  return scoped;
}

/**
 * A listening socket that outlives the daemon: a stopped process, the keeper, has it too. So the file stays the one that is mounted in
 * containers, and who connects while no daemon runs waits for the next one.
 *
 * ```
 * <exec-root>/keepers/<name>/  pid of the keeper    path of the socket
 * ```
 */
class KeptSocket {
  readonly #dir: string;
  readonly #socket: Fd;
  readonly #keeper: Fd;

  /** @throws conflict when somebody listens there, invalid */
  constructor(keepers: string, { name, path, group }: SocketAddress) {
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
    this.#socket.close();
    this.#keeper.close();
  }

  /** For nobody. */
  forget(): void {
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
  const child = Bun.spawn(["/bin/sh", "-c", "echo $$ >$1/pid; kill -STOP $$", "dhow-keeper", dir], {
    cwd: "/",
    env: {},
    detached: true,
    stdio: ["ignore", "ignore", "ignore", socket],
  });
  child.unref();
  // both write it: it must be there even if this process dies now, and at once if it doesn't
  writeFileSync(join(dir, "pid"), String(child.pid));
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

/** Ends the keeper of `dir` and takes the socket's file away. */
function endKeeper(dir: string): void {
  using keeper = openKeeper(dir);
  if (keeper !== undefined) pidfdSendSignal(keeper.fd, SIGKILL);
  try {
    const kept = readFileSync(join(dir, "socket"), "utf8");
    const path = kept.slice(kept.indexOf(" ") + 1);
    if (kept !== "" && identity(path) === kept) unlinkSync(path);
  } catch (error) {
    if (errnoCode(error) !== "ENOENT") throw error;
  }
  rmSync(dir, { recursive: true, force: true });
}

/** Ends what a daemon left that was killed while it made or removed a socket. */
function sweepKeepers(keepers: string, known: ReadonlySet<string>): void {
  for (const name of readdirSync(keepers)) if (!known.has(name)) endKeeper(join(keepers, name));
}
