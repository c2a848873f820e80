/**
 * A daemon of its own for a test file: own roots, socket, bridge, subnet and nft table, with the real docker command line in front.
 *
 * ```ts
 * const daemon = await Daemon.start();
 * afterAll(() => daemon[Symbol.asyncDispose]());
 * const { stdout } = await daemon.docker("run", "--rm", "busybox", "echo", "hello");
 * ```
 *
 * The image `busybox` is there from the start: the engine makes it once, then it is cached as an archive under the checkout's .dhow/.
 */
import { Database } from "bun:sqlite";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { digestHex, digestOf } from "../../src/lib/mod.ts";

const CHECKOUT = join(import.meta.dir, "../..");
const CACHE = join(CHECKOUT, ".dhow", "test-images");
const BUSYBOX_ARCHIVE = join(CACHE, "busybox.tar");
const PREFIX = "dhow-e2e-";
/** Far beyond what anything here takes: its end means "never". Longer where the processor is emulated. */
const PATIENCE_MS = 20_000 * Number(process.env["DHOW_TEST_PATIENCE"] ?? 1);
let daemons = 0;

/** What a finished command left. */
export interface Finished {
  readonly stdout: string;
  readonly stderr: string;
  readonly exitCode: number;
}

/** How to start a docker command. */
export interface CommandOptions {
  /** What it reads; without it, nothing. */
  readonly stdin?: string | Uint8Array<ArrayBuffer> | Blob;
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  /** Path of another docker command line. */
  readonly cli?: string;
}

/** An answer of the engine. */
export interface Answer<T> {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
  /** The parsed text, `undefined` when it is no JSON. */
  readonly json: T;
}

/** How to start a daemon. */
export interface DaemonOptions {
  /** Additional arguments. */
  readonly args?: readonly string[];
  /** False: no image. */
  readonly withImage?: boolean;
  /** A command line that the daemon's is appended to. */
  readonly under?: readonly string[];
}

/** A docker command on a terminal of its own. */
export interface TerminalCommand extends Disposable {
  /** What it has printed so far. */
  readonly output: () => string;
  readonly write: (text: string) => void;
  readonly resize: (columns: number, rows: number) => void;
  readonly exited: Promise<number>;
  /** Waits until the output holds `text`. */
  readonly sees: (text: string) => Promise<void>;
  readonly pid: number;
}

/** Waits until `probe` returns something truthy. @throws when it doesn't within 20 s */
export async function until<T>(what: string, probe: () => T | Promise<T>): Promise<NonNullable<T>> {
  const deadline = Date.now() + PATIENCE_MS;
  for (;;) {
    const found = await probe();
    if (found) return found;
    if (Date.now() > deadline) throw new Error(`waited in vain: ${what}`);
    await Bun.sleep(20);
  }
}

function findDocker(): string {
  for (const dir of (process.env["PATH"] ?? "").split(":")) {
    const path = join(dir, "docker");
    if (existsSync(path) && !readlinkQuietly(path).endsWith("/dhow")) return path;
  }
  const found = Bun.spawnSync(["sh", join(CHECKOUT, "scripts/docker-cli.sh")]);
  if (found.exitCode !== 0) throw new Error(`no docker command line: ${found.stderr.toString()}`);
  return join(found.stdout.toString().trim(), "docker");
}

function readlinkQuietly(path: string): string {
  try {
    return readlinkSync(path);
  } catch {
    return "";
  }
}

function readQuietly(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}

function entries(dir: string): readonly string[] {
  try {
    return readdirSync(dir);
  } catch {
    return [];
  }
}

/** The docker command line that the tests use. */
export const dockerCli = findDocker();

/** Its major version. */
export const dockerCliMajor = Number(/version (\d+)/.exec(Bun.spawnSync([dockerCli, "--version"]).stdout.toString())?.[1]);

/** Debian's docker 20.10 command line; undefined where it isn't installed. */
export const oldDockerCli: string | undefined = ["/usr/bin/docker", dockerCli].find(
  (path) => existsSync(path) && Bun.spawnSync([path, "--version"]).stdout.toString().includes(" 20.10."),
);

/** Everything a daemon makes outside of its directories has a name that follows from these. */
interface Place {
  readonly dir: string;
  readonly bridge: string;
  /** The address of the bridge with its prefix length. */
  readonly bip: string;
  /** Where user-defined networks come from: sixteen of them. */
  readonly pool: string;
}

function choosePlace(): Place {
  const number = daemons++;
  const routes = readFileSync("/proc/net/route", "utf8");
  const slot = process.pid * 7 + number;
  for (let attempt = 0; attempt < 64; attempt++) {
    const third = (slot + attempt * 31) % 256;
    const second = 160 + ((slot >> 8) % 64);
    // little endian, as the kernel prints it
    const destination = [0, third, second, 10].map((byte) => byte.toString(16).padStart(2, "0").toUpperCase()).join("");
    if (routes.includes(destination)) continue;
    const bridge = `de${process.pid.toString(36)}x${number.toString(36)}`;
    const dir = mkdtempSync(join(tmpdir(), `${PREFIX}${process.pid}-`));
    // root of a user namespace is nobody there, and has to come to its root file system
    chmodSync(dir, 0o711);
    return { dir, bridge, bip: `10.${second}.${third}.1/24`, pool: `base=10.${second - 64}.${third}.0/24,size=28` };
  }
  throw new Error("no free subnet");
}

/** The unit of systemd that a process belongs to. */
function unitOf(pid: number | "self"): string | undefined {
  return /\/([^/]+\.service)/.exec(readQuietly(`/proc/${pid}/cgroup`))?.[1];
}

/**
 * Processes that see a mount of `dir`, or are named after it. Not those of other units: systemd gives many a service a mount namespace
 * of its own, which the mounts of the host propagate into.
 */
function processesOf(dir: string): readonly number[] {
  const own = readlinkQuietly("/proc/self/ns/mnt");
  const unit = unitOf("self");
  return entries("/proc")
    .map(Number)
    .filter((pid) => pid > 0 && pid !== process.pid)
    .filter((pid) => {
      const command = readQuietly(`/proc/${pid}/cmdline`).split("\0");
      if (command.some((word) => word.startsWith(`${dir}/`) || word.includes(`=${dir}/`))) return true;
      const namespace = readlinkQuietly(`/proc/${pid}/ns/mnt`);
      if ((unitOf(pid) ?? unit) !== unit) return false;
      return namespace !== "" && namespace !== own && hasMountFrom(pid, dir);
    });
}

/** Whether something of `dir` is mounted elsewhere, as in a container; what is mounted below it every daemon follows that the host has. */
function hasMountFrom(pid: number, dir: string): boolean {
  const lines = readQuietly(`/proc/${pid}/mountinfo`).split("\n");
  return lines.some((line) => line.includes(`${dir}/`) && !line.split(" ")[4]?.startsWith(`${dir}/`));
}

function cgroupsOf(daemonId: string): readonly string[] {
  const roots = ["/sys/fs/cgroup", ...entries("/sys/fs/cgroup").map((name) => `/sys/fs/cgroup/${name}`)];
  return [...new Set(roots.map((root) => join(root, "dhow", daemonId)).filter(existsSync))];
}

function removeCgroups(daemonId: string): void {
  for (const root of cgroupsOf(daemonId)) {
    // deepest first: rmdir takes empty groups only
    Bun.spawnSync(["find", root, "-depth", "-type", "d", "-exec", "rmdir", "{}", ";"], { stderr: "ignore" });
  }
}

function hasTable(family: string, name: string): boolean {
  return Bun.spawnSync(["nft", "list", "tables"]).stdout.toString().split("\n").includes(`table ${family} ${name}`);
}

/** A daemon under test. */
export class Daemon implements AsyncDisposable {
  readonly dir: string;
  readonly socket: string;
  readonly dataRoot: string;
  readonly execRoot: string;
  readonly bridge: string;
  /** Address of the bridge. */
  readonly gateway: string;
  readonly #place: Place;
  readonly #options: DaemonOptions;
  #process: Bun.Subprocess | undefined;

  private constructor(place: Place, options: DaemonOptions) {
    this.#place = place;
    this.#options = options;
    this.dir = place.dir;
    this.socket = join(place.dir, "d.sock");
    this.dataRoot = join(place.dir, "root");
    this.execRoot = join(place.dir, "exec");
    this.bridge = place.bridge;
    this.gateway = place.bip.slice(0, place.bip.indexOf("/"));
  }

  /** Starts one and waits until it answers. */
  static async start(options: DaemonOptions = {}): Promise<Daemon> {
    const daemon = new Daemon(choosePlace(), options);
    try {
      mkdirSync(join(daemon.dir, "docker-config"));
      await daemon.launch();
      if (options.withImage !== false) await daemon.#loadBusybox();
    } catch (error) {
      await daemon[Symbol.asyncDispose]();
      throw error;
    }
    return daemon;
  }

  get host(): string {
    return `unix://${this.socket}`;
  }

  /** Of the daemon's process. */
  get pid(): number {
    if (!this.#process) throw new Error("the daemon doesn't run");
    return this.#process.pid;
  }

  get log(): string {
    return readQuietly(join(this.dir, "log"));
  }

  /** Starts the daemon (again) on the same roots and waits until it answers. */
  async launch(args: readonly string[] = []): Promise<void> {
    const { dir, bridge, bip, pool } = this.#place;
    rmSync(this.socket, { force: true });
    const own = ["-H", this.host, "--data-root", this.dataRoot, "--exec-root", this.execRoot, "-p", join(dir, "pid"), "--bridge", bridge];
    const bun = [process.execPath, "--no-env-file", "--config=/dev/null", "--no-install", join(CHECKOUT, "src/main.ts")];
    const log = Bun.file(join(dir, "log"));
    if (!(await log.exists())) writeFileSync(join(dir, "log"), "");
    const child = Bun.spawn(
      [
        "sh",
        "-c",
        'log=$1; shift; exec "$@" >>"$log" 2>&1',
        "sh",
        join(dir, "log"),
        ...(this.#options.under ?? []),
        ...bun,
        "daemon",
        ...own,
        "--bip",
        bip,
        "--default-address-pool",
        pool,
        ...(this.#options.args ?? []),
        ...args,
      ],
      { stdin: "ignore", stdout: "ignore", stderr: "ignore", cwd: dir },
    );
    this.#process = child;
    await until("the daemon answers", async () => {
      if (child.exitCode !== null || child.signalCode !== null)
        throw new Error(`the daemon ended with ${child.exitCode ?? child.signalCode}: ${this.log}`);
      return existsSync(this.socket) && (await this.api("GET", "/_ping").catch(() => undefined))?.status === 200;
    });
  }

  /** The processes with `word` among their arguments that this daemon has started. */
  children(word: string): string[] {
    const parentOf = (pid: string): number => Number(/^PPid:\s*(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]);
    return readdirSync("/proc").filter((pid) => {
      try {
        return /^\d+$/.test(pid) && readFileSync(`/proc/${pid}/cmdline`, "utf8").includes(word) && parentOf(pid) === this.pid;
      } catch {
        return false;
      }
    });
  }

  /** Kills the daemon, and nothing else. */
  async kill9(): Promise<void> {
    this.#process?.kill("SIGKILL");
    await this.#process?.exited;
    this.#process = undefined;
  }

  /** Stops the daemon as a service manager does. Returns its exit code. */
  async stop(): Promise<number> {
    const child = this.#process;
    if (!child) return 0;
    child.kill("SIGTERM");
    const isEnded = await Promise.race([child.exited.then(() => true), Bun.sleep(PATIENCE_MS).then(() => false)]);
    if (!isEnded) child.kill("SIGKILL");
    this.#process = undefined;
    return isEnded ? (child.exitCode ?? -1) : -1;
  }

  /** Stops (or, when it was killed, only starts) the daemon. */
  async restart(args: readonly string[] = []): Promise<void> {
    await this.stop();
    await this.launch(args);
  }

  #env(options: CommandOptions): Record<string, string> {
    return {
      PATH: process.env["PATH"] ?? "",
      HOME: this.dir,
      LANG: "C.UTF-8",
      DOCKER_CONFIG: join(this.dir, "docker-config"),
      DOCKER_HOST: this.host,
      ...options.env,
    };
  }

  /** Runs a docker command to its end. */
  docker(...args: readonly string[]): Promise<Finished> {
    return this.dockerWith({}, ...args);
  }

  /** Runs a docker command to its end. */
  async dockerWith(options: CommandOptions, ...args: readonly string[]): Promise<Finished> {
    const child = this.spawn(options, ...args);
    if (options.stdin !== undefined) {
      child.stdin.write(options.stdin instanceof Blob ? new Uint8Array(await options.stdin.arrayBuffer()) : options.stdin);
    }
    await child.stdin.end();
    const [stdout, stderr, exitCode] = await Promise.all([
      new Response(child.stdout).text(),
      new Response(child.stderr).text(),
      child.exited,
    ]);
    return { stdout, stderr, exitCode };
  }

  /** Runs a docker command that has to succeed. Returns what it printed on stdout, without the white space around it. */
  async ok(...args: readonly string[]): Promise<string> {
    const { stdout, stderr, exitCode } = await this.docker(...args);
    if (exitCode !== 0) throw new Error(`docker ${args.join(" ")}: exit code ${exitCode}: ${stderr}${stdout}`);
    return stdout.trim();
  }

  /** Starts a docker command with pipes; `stdin` of the options is not written. */
  spawn(options: CommandOptions, ...args: readonly string[]): Bun.Subprocess<"pipe", "pipe", "pipe"> {
    const command = [options.cli ?? dockerCli, ...args];
    return Bun.spawn(command, { stdin: "pipe", stdout: "pipe", stderr: "pipe", env: this.#env(options), cwd: options.cwd ?? this.dir });
  }

  /** Starts a docker command on a terminal of 80 columns and 24 rows. */
  terminal(options: CommandOptions, ...args: readonly string[]): TerminalCommand {
    let output = "";
    const decoder = new TextDecoder();
    const child = Bun.spawn([options.cli ?? dockerCli, ...args], {
      env: { ...this.#env(options), TERM: "xterm" },
      cwd: options.cwd ?? this.dir,
      terminal: {
        cols: 80,
        rows: 24,
        data: (_, data) => {
          output += decoder.decode(data, { stream: true });
        },
      },
    });
    const terminal = child.terminal;
    if (!terminal) throw new Error("Bun gave no terminal");
    const sees = async (text: string): Promise<void> => {
      try {
        await until(`${JSON.stringify(text)} on the terminal`, () => output.includes(text));
      } catch (error) {
        throw new Error(`${(error as Error).message}; it shows ${JSON.stringify(output)}`);
      }
    };
    return {
      output: () => output,
      write: (text) => void terminal.write(text),
      resize: (columns, rows) => terminal.resize(columns, rows),
      exited: child.exited,
      sees,
      pid: child.pid,
      [Symbol.dispose]: () => {
        child.kill("SIGKILL");
        terminal.close();
      },
    };
  }

  /** Calls the engine; an object as body is sent as JSON. The type of the answer is the caller's claim. */
  async api<T = Record<string, unknown>>(
    method: string,
    path: string,
    body?: unknown,
    headers: Record<string, string> = {},
  ): Promise<Answer<T>> {
    const isRaw = body instanceof Uint8Array || typeof body === "string";
    const sent = body === undefined ? {} : { body: isRaw ? (body as string) : JSON.stringify(body) };
    const type: Record<string, string> = body === undefined || isRaw ? {} : { "Content-Type": "application/json" };
    const response = await fetch(`http://localhost${path}`, { method, ...sent, headers: { ...type, ...headers }, unix: this.socket });
    const text = await response.text();
    let json: unknown;
    try {
      json = JSON.parse(text);
    } catch {
      json = undefined;
    }
    return { status: response.status, headers: response.headers, text, json: json as T };
  }

  /** Inspects a container. The type is the caller's claim. */
  async inspect<T = Record<string, never>>(container: string): Promise<T> {
    const { status, text, json } = await this.api<T>("GET", `/containers/${container}/json`);
    if (status !== 200) throw new Error(`inspect ${container}: ${status} ${text}`);
    return json;
  }

  /** Removes all containers with their anonymous volumes. */
  async removeContainers(): Promise<void> {
    const { json } = await this.api<readonly { readonly Id: string }[]>("GET", "/containers/json?all=1");
    await Promise.all(json.map(({ Id }) => this.api("DELETE", `/containers/${Id}?force=1&v=1`)));
  }

  async #loadBusybox(): Promise<void> {
    const archive = BUSYBOX_ARCHIVE;
    if (!existsSync(archive)) {
      mkdirSync(CACHE, { recursive: true });
      await this.ok("pull", "-q", "distro/busybox");
      await this.ok("tag", "distro/busybox", "busybox");
      const mine = `${archive}.${process.pid}`;
      await this.ok("save", "-o", mine, "busybox:latest");
      await this.ok("rmi", "distro/busybox");
      renameSync(mine, archive);
      return;
    }
    const { status, text } = await this.api("POST", "/images/load?quiet=1", new Uint8Array(await Bun.file(archive).arrayBuffer()), {
      "Content-Type": "application/x-tar",
    });
    if (status !== 200 || text.includes("errorDetail")) throw new Error(`load ${archive}: ${status} ${text}`);
  }

  /** The group in the cgroup tree under which this daemon puts its containers is /dhow/<this>. */
  get daemonId(): string {
    return digestHex(digestOf(this.execRoot)).slice(0, 8);
  }

  /**
   * What is left of containers while the daemon runs and has none: files, mounts, processes, cgroups, interfaces.
   * Empty when all is well; what is cleaned up behind an answer gets the time for it.
   */
  async residue(): Promise<readonly string[]> {
    let found: readonly string[] = [];
    await until("nothing is left", () => {
      found = this.#residue();
      return found.length === 0;
    }).catch(() => undefined);
    return found;
  }

  #residue(): readonly string[] {
    const found: string[] = [];
    for (const dir of [
      join(this.execRoot, "bundles"),
      join(this.execRoot, "crun"),
      join(this.execRoot, "execs"),
      join(this.dataRoot, "containers"),
      join(this.dataRoot, "tmp"),
    ]) {
      for (const name of entries(dir)) found.push(`file ${dir}/${name}`);
    }
    for (const line of readQuietly(`/proc/${this.pid}/mountinfo`).split("\n")) {
      const point = line.split(" ")[4] ?? "";
      if (
        point.startsWith(`${this.dir}/`) &&
        point !== this.dataRoot &&
        point !== this.execRoot &&
        !point.startsWith(join(this.execRoot, "bin/"))
      ) {
        found.push(`mount ${point}`);
      }
    }
    for (const pid of processesOf(this.dir)) {
      const command = readQuietly(`/proc/${pid}/cmdline`).replaceAll("\0", " ").trim();
      if (pid !== this.pid && command !== "") found.push(`process ${pid} ${command}`);
    }
    for (const root of cgroupsOf(this.daemonId)) {
      for (const name of entries(root)) if (/^[0-9a-f]{64}$/.test(name)) found.push(`cgroup ${root}/${name}`);
    }
    return found;
  }

  /** What is left on the host after the daemon has stopped without containers: everything but its data. Empty when all is well. */
  async leftovers(): Promise<readonly string[]> {
    let found: readonly string[] = [];
    await until("nothing is left", () => {
      found = this.#leftovers();
      return found.length === 0;
    }).catch(() => undefined);
    return found;
  }

  /** The bridges on the host that this daemon made for user-defined networks. */
  #userBridges(): readonly string[] {
    const path = join(this.dataRoot, "db.sqlite");
    if (!existsSync(path)) return [];
    using db = new Database(path, { readonly: true });
    const rows = db.query<{ readonly name: string; readonly mac: string }, []>("SELECT name, mac FROM bridges").all();
    return rows.flatMap(({ name, mac }) =>
      readQuietly(`/sys/class/net/${name}/address`).trim() === mac && name !== this.bridge ? name : [],
    );
  }

  #leftovers(): readonly string[] {
    const found: string[] = [];
    for (const pid of processesOf(this.dir)) {
      if (pid !== this.#process?.pid) found.push(`process ${pid} ${readQuietly(`/proc/${pid}/cmdline`).replaceAll("\0", " ")}`);
    }
    for (const pid of entries("/proc")) {
      for (const line of readQuietly(`/proc/${pid}/mountinfo`).split("\n"))
        if (line.includes(`${this.dir}/`)) found.push(`mount in ${pid}: ${line}`);
    }
    for (const cgroup of cgroupsOf(this.daemonId)) found.push(`cgroup ${cgroup}`);
    if (existsSync(`/sys/class/net/${this.bridge}`)) found.push(`bridge ${this.bridge}`);
    for (const family of ["ip", "ip6"]) if (hasTable(family, this.bridge)) found.push(`nft table ${family} ${this.bridge}`);
    for (const name of this.#userBridges()) found.push(`bridge ${name}`);
    if (existsSync(this.socket)) found.push(`file ${this.socket}`);
    return found;
  }

  /** Ends everything this daemon has started or made, however it ended itself. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#process && this.#process.exitCode === null) await this.removeContainers().catch(() => undefined);
    await this.stop();
    for (const pid of processesOf(this.dir)) {
      try {
        process.kill(pid, "SIGKILL");
      } catch {
        // it has ended by itself
      }
    }
    await until("its processes are gone", () => processesOf(this.dir).length === 0).catch(() => undefined);
    removeCgroups(this.daemonId);
    if (existsSync(`/sys/class/net/${this.bridge}`)) Bun.spawnSync(["ip", "link", "delete", this.bridge]);
    for (const name of this.#userBridges()) Bun.spawnSync(["ip", "link", "delete", name]);
    for (const family of ["ip", "ip6"]) if (hasTable(family, this.bridge)) Bun.spawnSync(["nft", "delete", "table", family, this.bridge]);
    for (const line of readQuietly("/proc/self/mountinfo").split("\n").reverse()) {
      const point = line.split(" ")[4] ?? "";
      if (point.startsWith(`${this.dir}/`)) Bun.spawnSync(["umount", "-l", point]);
    }
    rmSync(this.dir, { recursive: true, force: true });
  }
}

/** The path of an archive with the image `busybox`, for other engines to load. */
export async function busyboxArchive(): Promise<string> {
  if (!existsSync(BUSYBOX_ARCHIVE)) {
    await using _daemon = await Daemon.start();
  }
  return BUSYBOX_ARCHIVE;
}
