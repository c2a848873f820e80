/**
 * The two engines that are compared, each in a network, mount and process namespace of its own: both have the same subnet and the same
 * free ports, neither touches the machine's firewall, and when the namespaces' first process is killed, all that it started is gone.
 */
import { closeSync, copyFileSync, existsSync, mkdirSync, mkdtempSync, openSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { digestHex, digestOf } from "../../src/lib/mod.ts";
import { until } from "../e2e/daemon.ts";

const CHECKOUT = join(import.meta.dir, "../..");
const DOCKERD = join(CHECKOUT, "scripts/dockerd.sh");
const DHOW = [process.execPath, "--no-env-file", "--config=/dev/null", "--no-install", join(CHECKOUT, "src/main.ts")];
const STOP_MS = 15_000;

/** An engine that runs until it is disposed of. */
export interface Engine extends AsyncDisposable {
  readonly name: string;
  /** Everything that it writes is below. */
  readonly dir: string;
  readonly host: string;
  /** Empty while it runs, else the end of what it logged. */
  readonly lastWords: () => string;
}

/** Why Debian's dockerd can't be had here; empty when it can. Fetches it when it is missing. */
export function missingReference(): string {
  if (process.getuid?.() !== 0) return "needs root";
  for (const tool of ["iptables", "runc"]) if (Bun.which(tool) === null) return `finds no ${tool}`;
  const version = Bun.spawnSync(["sh", DOCKERD, "--version"]);
  return version.exitCode === 0 ? "" : (version.stderr.toString().trim().split("\n").pop() ?? "no dockerd");
}

// The bridges of both have the same name and address. A containerd that the machine runs already is out of sight. From the hybrid
// cgroup tree the unified part is taken away, as dhow does for itself.
const IN_NAMESPACES = `
mount -t proc proc /proc
if [ -e /sys/fs/cgroup/unified/cgroup.controllers ]; then umount -l /sys/fs/cgroup/unified; fi
ip link set lo up
ip link add docker0 type bridge
ip addr add 10.231.7.1/24 dev docker0
ip link set docker0 up
if [ -d /run/containerd ]; then mount -t tmpfs none /run/containerd; fi
exec "$@"`;

async function start(name: string, command: (dir: string) => readonly string[], cgroup: (dir: string) => string): Promise<Engine> {
  const dir = mkdtempSync(join(tmpdir(), `engines-${name}-`));
  const log = openSync(join(dir, "log"), "a");
  const namespaces = ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "sh", "-ec", IN_NAMESPACES, "sh"];
  const socket = join(dir, "d.sock");
  const places = ["--data-root", join(dir, "root"), "--exec-root", join(dir, "exec"), "-p", join(dir, "pid")];
  const settings = ["--bridge", "docker0", "--log-driver", "json-file", "--log-level", "error"];
  const child = Bun.spawn([...namespaces, ...command(dir), "-H", `unix://${socket}`, ...places, ...settings], {
    stdio: ["ignore", log, log],
    cwd: dir,
  });
  closeSync(log);
  const hasEnded = (): boolean => child.exitCode !== null || child.signalCode !== null;
  const lastWords = (): string =>
    hasEnded() ? `${name} ended with ${child.exitCode ?? child.signalCode}\n${readFileSync(join(dir, "log"), "utf8").slice(-4000)}` : "";
  const stop = async (): Promise<void> => {
    child.kill("SIGKILL");
    await Promise.race([child.exited, Bun.sleep(STOP_MS)]);
    await until(`the groups of ${name} are gone`, () => removeCgroups(cgroup(dir))).catch(() => undefined);
    rmSync(dir, { recursive: true, force: true });
  };
  try {
    await until(`${name} answers`, async () => {
      if (hasEnded()) throw new Error(lastWords());
      return existsSync(socket) && (await fetch("http://localhost/_ping", { unix: socket }).catch(() => undefined))?.ok;
    });
  } catch (error) {
    await stop();
    throw error;
  }
  return { name, dir, host: `unix://${socket}`, lastWords, [Symbol.asyncDispose]: stop };
}

/** Removes the groups at `path` of every hierarchy. Returns whether all are gone. */
function removeCgroups(path: string): boolean {
  const root = "/sys/fs/cgroup";
  const all = [join(root, path), ...readdirSync(root).map((entry) => join(root, entry, path))].filter(existsSync);
  // deepest first: rmdir takes empty groups only
  if (all.length > 0) Bun.spawnSync(["find", ...all, "-depth", "-type", "d", "-exec", "rmdir", "{}", ";"], { stderr: "ignore" });
  return !all.some(existsSync);
}

/** Starts Debian's dockerd. @throws when it doesn't answer */
export function startDockerd(): Promise<Engine> {
  const cgroup = `engines-${process.pid}`;
  return start(
    "dockerd",
    () => ["sh", DOCKERD, "--cgroup-parent", `/${cgroup}`],
    () => cgroup,
  );
}

/** Starts dhow. @throws when it doesn't answer */
export function startDhow(): Promise<Engine> {
  return start(
    "dhow",
    () => [...DHOW, "daemon"],
    (dir) => join("dhow", digestHex(digestOf(join(dir, "exec"))).slice(0, 8)),
  );
}

/** How a script is run against an engine. */
export interface Client {
  readonly engine: Engine;
  /** The command that `docker` stands for. */
  readonly docker: readonly string[];
  /** The version of the API that it speaks. */
  readonly apiVersion: string;
  /** Files that the script finds in its directory. */
  readonly files: Readonly<Record<string, string>>;
}

/** What a line of a script left behind. */
export interface Outcome {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs lines of shell, one after the other, in a directory of their own. */
export class Shell {
  readonly dir: string;
  readonly #env: Record<string, string>;

  constructor({ engine, docker, apiVersion, files }: Client) {
    this.dir = join(engine.dir, "home");
    const bin = join(engine.dir, "bin");
    mkdirSync(this.dir);
    mkdirSync(bin);
    for (const [name, path] of Object.entries(files)) copyFileSync(path, join(this.dir, name));
    const command = docker.map((word) => `'${word}'`).join(" ");
    Bun.spawnSync([
      "sh",
      "-c",
      'printf "%s\\n" "#!/bin/sh" "$1" >"$2" && chmod +x "$2"',
      "sh",
      `exec ${command} "$@"`,
      join(bin, "docker"),
    ]);
    this.#env = {
      PATH: `${bin}:${process.env["PATH"] ?? ""}`,
      HOME: this.dir,
      LANG: "C.UTF-8",
      TZ: "UTC",
      DOCKER_HOST: engine.host,
      DOCKER_API_VERSION: apiVersion,
      DHOW_ARGV0: "docker",
    };
  }

  /** Runs a line to its end; what takes longer than a minute hangs, and is ended with code 124. */
  async run(line: string): Promise<Outcome> {
    const command = ["timeout", "--kill-after=5", "60", "sh", "-c", line];
    const child = Bun.spawn(command, { stdin: "ignore", stdout: "pipe", stderr: "pipe", cwd: this.dir, env: this.#env });
    const [stdout, stderr, exitCode] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
    return { exitCode, stdout, stderr };
  }
}
