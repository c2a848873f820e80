/** The daemon as a process: its namespace, locks and sockets; start, drain, stop. What it serves is made by engine.ts. */
import { mkdirSync, readFileSync, realpathSync, unlinkSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { createLogger, DhowError, DOCKER_VERSION, errnoCode, errorMessage, type Logger, VERSION } from "../lib/mod.ts";
import { Fd, isAlive, setTimeSlice } from "../linux/mod.ts";
import { hostFacts, MigrationWarmer, resetOomScoreAdj } from "../runtime/mod.ts";
import { type ApiServer, createServer } from "../server/mod.ts";
import { type DaemonCommand, type DaemonConfig, parseDaemonCommand } from "./config.ts";
import { startEngine } from "./engine.ts";
import { HostMounts } from "./host-mounts.ts";
import { KeptSockets } from "./kept-sockets.ts";
import { listenAddresses } from "./listen.ts";
import { MemoryKeeper } from "./memory.ts";
import { DaemonMetrics, startMetrics } from "./metrics.ts";
import { enterNamespace, isInNamespace, leaveHostClean, prepareNamespace, selfCommand, takeHostNamespace } from "./namespace.ts";
import { useProxies } from "./proxies.ts";
import { LiveConfig, reload } from "./reload.ts";
import { findHolder, lockRoot } from "./roots.ts";
import { prepareSockets, type SocketStore, startSockets } from "./sockets.ts";

const DRAIN_MS = 2000;
/** The shortest that Linux has: a DNS answer takes less. */
const TIME_SLICE_NS = 100_000;

/** Where the daemon's namespace differs from a hybrid host's. */
const CGROUP_ROOT = "/sys/fs/cgroup";

/** Runs the daemon until it is told to stop. Returns the exit code. */
export async function runDaemon(argv: readonly string[]): Promise<number> {
  let command: DaemonCommand;
  try {
    command = parseDaemonCommand(argv, process.env);
  } catch (error) {
    process.stderr.write(`${errorMessage(error)}\n`);
    return 1;
  }
  switch (command.kind) {
    case "help":
      process.stdout.write(command.text);
      return 0;
    case "version":
      process.stdout.write(`dhow version ${VERSION}, Docker API as of ${DOCKER_VERSION}\n`);
      return 0;
    case "validate":
      process.stderr.write("configuration OK\n");
      return 0;
    case "run":
      return serve(new LiveConfig(command.config), argv);
    default: {
      const never: never = command;
      return never;
    }
  }
}

async function serve(live: LiveConfig, argv: readonly string[]): Promise<number> {
  const config = live.view;
  if (process.getuid?.() !== 0) {
    process.stderr.write("dhow daemon: it needs to be started with root privileges; use sudo\n");
    return 1;
  }
  const write = (line: string): void => void process.stderr.write(line);
  const log = createLogger({ level: () => config.logLevel, format: config.logFormat, write });
  try {
    // as dockerd: what the daemon makes for containers must be readable in them, whatever the caller's umask was
    process.umask(0o022);
    if (!isInNamespace()) enterNamespace(findHolder(config.execRoot), ["daemon", ...argv]);
    // one container's or client's trouble is not to end the others'
    for (const event of ["uncaughtException", "unhandledRejection"] as const)
      process.on(event, (error: unknown) =>
        log.error("unexpected failure", { error, stack: error instanceof Error ? error.stack : undefined }),
      );
    wakeSoon(log);
    await using daemon = await Daemon.start(live, log, () => readAgain(argv));
    await daemon.stopped;
    return 0;
  } catch (error) {
    process.stderr.write(`failed to start daemon: ${errorMessage(error)}\n`);
    log.debug("start failed", { stack: error instanceof Error ? error.stack : undefined });
    return 1;
  }
}

/** Undefined where it can't be followed, as without /proc on the host. */
function followHost(host: number, { dataRoot, execRoot }: DaemonConfig, log: Logger): HostMounts | undefined {
  try {
    const mounts = new HostMounts({ host: new Fd(host), own: [dataRoot, execRoot, CGROUP_ROOT].map((path) => realpathSync(path)), log });
    mounts.follow();
    return mounts;
  } catch (error) {
    log.warn("what is mounted on the host from now on is not seen", { error });
    return undefined;
  }
}

/** Has this thread run soon after it wakes, also on a busy host: containers wait for its answers to their DNS queries. */
function wakeSoon(log: Logger): void {
  try {
    setTimeSlice(TIME_SLICE_NS);
  } catch (error) {
    log.debug("the scheduler keeps its usual turns", { error });
  }
}

/** What the command line and the file say now. @throws invalid */
function readAgain(argv: readonly string[]): DaemonConfig {
  const command = parseDaemonCommand(argv, process.env);
  if (command.kind !== "run") throw new DhowError("internal", `the command line became ${JSON.stringify(command.kind)}`);
  return command.config;
}

/** What all of the engine is made of, for the time between start and stop. */
class Daemon implements AsyncDisposable {
  readonly stopped: Promise<void>;
  readonly #stack: AsyncDisposableStack;

  private constructor(stack: AsyncDisposableStack, stopped: Promise<void>) {
    this.#stack = stack;
    this.stopped = stopped;
  }

  static async start(live: LiveConfig, log: Logger, read: () => DaemonConfig): Promise<Daemon> {
    const config = live.view;
    // before and after it can be followed, the signal must not end the daemon
    const hangup = { follow: (): void => {} };
    process.on("SIGHUP", () => hangup.follow());
    await using stack = new AsyncDisposableStack();
    for (const dir of [config.dataRoot, config.execRoot, dirname(config.pidfile)]) mkdirSync(dir, { recursive: true, mode: 0o711 });
    stack.use(await lockRoot(config.dataRoot, "--data-root"));
    stack.use(await lockRoot(config.execRoot, "--exec-root"));
    const host = takeHostNamespace();
    // the first to be deferred is the last to be done; with a container's holder alive, the next daemon comes back to these mounts
    if (host !== undefined)
      stack.defer(() => (findHolder(config.execRoot) === undefined ? leaveHostClean(host, [config.execRoot, config.dataRoot]) : undefined));
    prepareNamespace(config.dataRoot, config.execRoot);
    const hostMounts = host === undefined ? undefined : followHost(host, config, log);
    if (hostMounts !== undefined) stack.use(hostMounts);
    writePidfile(config.pidfile);
    stack.defer(() => removeQuietly(config.pidfile));
    resetOomScoreAdj();
    useProxies(config.proxies, config.cluster?.endpoints.map((url) => new URL(url).hostname) ?? [], log);
    const facts = hostFacts();
    const warmer = stack.use(new MigrationWarmer(facts));
    const kept = new KeptSockets(config.execRoot);
    const beforeContainers = (store: SocketStore): Promise<void> => prepareSockets(config, store, kept, log);
    const engine = await startEngine(config, {
      facts,
      warmer,
      log,
      stack,
      beforeContainers,
      hostMounts,
      fileHelper: [...selfCommand(), "internal-files"],
      volumeHelper: [...selfCommand(), "internal-volume-files"],
    });
    const metrics = config.metricsAddress === "" ? undefined : new DaemonMetrics(engine);
    const memory = stack.use(new MemoryKeeper());
    const onRequest = (): void => {
      warmer.touch();
      memory.touch();
      metrics?.countRequest();
    };
    const measured = metrics?.measured(engine.api) ?? engine.api;
    const sockets = await startSockets(config, engine, measured, { log, stack, onRequest, kept });
    const api = { ...measured, sockets };
    const server = createServer({
      api,
      log: log.child({ room: "server" }),
      serverVersion: DOCKER_VERSION,
      isExperimental: config.isExperimental,
      onRequest,
    });
    stack.defer(() => server.close({ drainMs: Math.min(DRAIN_MS, config.shutdownTimeoutS * 1000) }));
    await listenAll(server, config, log);
    if (metrics !== undefined) await startMetrics(metrics, config, log, stack);
    const stop = Promise.withResolvers<void>();
    for (const signal of ["SIGTERM", "SIGINT"] as const) process.once(signal, () => stop.resolve());
    hangup.follow = () => reload(live, { engine, server }, read, log);
    stack.defer(() => {
      hangup.follow = () => {};
    });
    for (const setting of config.ignored) log.warn("a setting of dockerd's has no effect here", { setting });
    log.info("daemon has completed initialization", { version: VERSION });
    return new Daemon(stack.move(), stop.promise);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stack[Symbol.asyncDispose]();
  }
}

function removeQuietly(path: string): void {
  try {
    unlinkSync(path);
  } catch (error) {
    if (errnoCode(error) !== "ENOENT") throw error;
  }
}

/** Whether a process is a daemon: after a kill another program may have got the number, or a zombie has it, with no command line. */
function isDaemon(pid: number): boolean {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8")
      .split("\0")
      .some((word) => word === "daemon" || word.endsWith("dockerd"));
  } catch {
    return false;
  }
}

/** @throws conflict in dockerd's words when the process of the file is alive */
function writePidfile(path: string): void {
  let pid = 0;
  try {
    pid = Number(readFileSync(path, "utf8"));
  } catch (error) {
    if (errnoCode(error) !== "ENOENT") throw error;
  }
  if (pid > 0 && pid !== process.pid && isAlive(pid) && isDaemon(pid)) {
    throw new DhowError("conflict", `ensure dhow is not running or delete ${path}: process with PID ${pid} is still running`);
  }
  writeFileSync(path, String(process.pid));
}

async function listenAll(server: ApiServer, config: DaemonConfig, log: Logger): Promise<void> {
  for (const address of listenAddresses(config, log)) {
    const listener = await server.listen(address);
    log.info("API listen on", { address: listener.address });
  }
}
