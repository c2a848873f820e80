/** An engine under measurement: a daemon of its own with the docker command line in front. */
import { readdirSync, readFileSync, readlinkSync } from "node:fs";

const KIB_PER_MIB = 1024;
const READY_MS = 30_000;
const TICKS_PER_SECOND = 100;

export interface Engine {
  readonly name: "dhow" | "dockerd";
  readonly socket: string;
  /** The daemon's own process. */
  readonly pid: number;
  /** Kills the daemon with -9 and starts it again. Returns the milliseconds until it answers. */
  restart(): Promise<number>;
  /** Everything that the engine writes; every process of it has this in its command line, or descends from one that has. */
  readonly dir: string;
}

/** How to run a command. */
export interface RunOptions {
  /** False: a failure is no error. */
  readonly check?: boolean;
}

/** The docker command line in use. */
export class Docker {
  readonly path: string;
  readonly #configDir: string;

  constructor(path: string, configDir: string) {
    this.path = path;
    this.#configDir = configDir;
  }

  #env(engine: Engine): Record<string, string> {
    const { PATH = "", HOME = "/" } = process.env;
    return { PATH, HOME, LANG: "C.UTF-8", DOCKER_CONFIG: this.#configDir, DOCKER_HOST: `unix://${engine.socket}` };
  }

  /** Runs a docker command and waits for its end, without an event loop in between; its output goes to /dev/null. @throws when it fails */
  run(engine: Engine, args: readonly string[], options: RunOptions = {}): void {
    this.runProgram(this.path, engine, args, options);
  }

  /** The same with another program that speaks to the engine. */
  runProgram(program: string, engine: Engine, args: readonly string[], options: RunOptions = {}): void {
    const child = Bun.spawnSync([program, ...args], { stdio: ["ignore", "ignore", "pipe"], env: this.#env(engine) });
    if (options.check !== false && child.exitCode !== 0) throw failure(engine, args, child.exitCode, child.stderr.toString());
  }

  /** What a docker command prints. @throws when it fails */
  output(engine: Engine, args: readonly string[]): string {
    const child = Bun.spawnSync([this.path, ...args], { stdio: ["ignore", "pipe", "pipe"], env: this.#env(engine) });
    if (child.exitCode !== 0) throw failure(engine, args, child.exitCode, child.stderr.toString());
    return child.stdout.toString().trim();
  }

  /** How many bytes a docker command writes to stdout. @throws when it fails */
  outputBytes(engine: Engine, args: readonly string[]): number {
    const child = Bun.spawnSync([this.path, ...args], { stdio: ["ignore", "pipe", "pipe"], env: this.#env(engine) });
    if (child.exitCode !== 0) throw failure(engine, args, child.exitCode, child.stderr.toString());
    return child.stdout.length;
  }

  /** Runs a docker command beside others. @throws when it fails */
  async start(engine: Engine, args: readonly string[]): Promise<void> {
    const child = Bun.spawn([this.path, ...args], { stdio: ["ignore", "ignore", "pipe"], env: this.#env(engine) });
    const stderr = await new Response(child.stderr).text();
    if ((await child.exited) !== 0) throw failure(engine, args, child.exitCode ?? -1, stderr);
  }
}

function failure(engine: Engine, args: readonly string[], exitCode: number, stderr: string): Error {
  return new Error(`${engine.name}: docker ${args.join(" ")}: exit code ${exitCode}: ${stderr.trim().slice(-300)}`);
}

/** Runs `work` and gives the time it took, in milliseconds. */
export function timed(work: () => void): number {
  const start = Bun.nanoseconds();
  work();
  return (Bun.nanoseconds() - start) / 1e6;
}

/** Milliseconds that calls of the API take, one after the other. @throws when one is refused */
export async function callsMs(
  { socket }: Engine,
  calls: readonly (readonly [method: string, path: string, body?: object])[],
): Promise<number> {
  const start = Bun.nanoseconds();
  for (const [method, path, body] of calls) {
    const response = await fetch(`http://localhost/v1.41${path}`, {
      method,
      unix: socket,
      headers: { "Content-Type": "application/json" },
      ...(body && { body: JSON.stringify(body) }),
    });
    const text = await response.text();
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${text}`);
  }
  return (Bun.nanoseconds() - start) / 1e6;
}

/** Waits until the engine answers. @throws when it doesn't within 30 s, or `hasEnded` */
export async function untilReady(socket: string, hasEnded: () => boolean): Promise<void> {
  for (const deadline = Date.now() + READY_MS; Date.now() < deadline && !hasEnded(); await Bun.sleep(50)) {
    const answer = await fetch("http://localhost/_ping", { unix: socket }).catch(() => undefined);
    if (answer?.ok) return;
  }
  throw new Error(`no engine answers at ${socket}`);
}

/** What `/proc/<pid>/<file>` says; nothing when the process has ended. */
function proc(pid: number, file: string): string {
  try {
    return readFileSync(`/proc/${pid}/${file}`, "utf8");
  } catch {
    return "";
  }
}

function pidNamespace(pid: number | "self"): string {
  try {
    return readlinkSync(`/proc/${pid}/ns/pid`);
  } catch {
    return "";
  }
}

/** The daemon and all its helpers (shims, proxies, holders), without what runs inside of containers. */
export function processesOf({ dir }: Engine): readonly number[] {
  const own = pidNamespace("self");
  const pids = readdirSync("/proc")
    .map(Number)
    .filter((pid) => pid > 0 && pid !== process.pid && pidNamespace(pid) === own);
  const found = new Set(pids.filter((pid) => proc(pid, "cmdline").includes(`${dir}/`)));
  const parentOf = (pid: number): number => Number(/\) \S (\d+)/.exec(proc(pid, "stat"))?.[1] ?? 0);
  for (let before = -1; before !== found.size; ) {
    before = found.size;
    for (const pid of pids) if (found.has(parentOf(pid))) found.add(pid);
  }
  return [...found];
}

/** The processes of the engine and those in its containers: they see a mount of its directory. */
export function allProcessesOf(engine: Engine): readonly number[] {
  const inContainers = readdirSync("/proc")
    .map(Number)
    .filter((pid) => pid > 0 && pidNamespace(pid) !== "" && pidNamespace(pid) !== pidNamespace("self"))
    .filter((pid) => proc(pid, "mountinfo").includes(`${engine.dir}/`));
  return [...processesOf(engine), ...inContainers];
}

/** The memory of the daemon's process alone: proportional set size, in MiB. */
export function daemonPssMib({ pid }: Engine): number {
  return Number(/^Pss:\s+(\d+)/m.exec(proc(pid, "smaps_rollup"))?.[1] ?? 0) / KIB_PER_MIB;
}

/** The processor time that processes of these pids have used, in seconds. @see proc_pid_stat(5), fields 14 and 15 */
export function cpuSeconds(pids: readonly number[]): number {
  const ticks = pids.map((pid) => {
    const stat = proc(pid, "stat");
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    return Number(fields[11] ?? 0) + Number(fields[12] ?? 0);
  });
  return ticks.reduce((sum, own) => sum + own, 0) / TICKS_PER_SECOND;
}

/** The memory of the daemon and its helpers: proportional set size, in MiB. */
export function pssMib(engine: Engine): number {
  const sizesKib = processesOf(engine).map((pid) => Number(/^Pss:\s+(\d+)/m.exec(proc(pid, "smaps_rollup"))?.[1] ?? 0));
  return sizesKib.reduce((sum, size) => sum + size, 0) / KIB_PER_MIB;
}
