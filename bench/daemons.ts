/** Starts the two engines, each with own roots, socket and bridge, and takes away everything of them. */
import { closeSync, existsSync, mkdirSync, openSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { digestHex, digestOf } from "../src/lib/mod.ts";
import { allProcessesOf, type Docker, type Engine, untilReady } from "./engine.ts";

const STOP_MS = 15_000;

/** An engine that runs until it is disposed of. */
export interface Running extends Engine, AsyncDisposable {}

interface Start {
  readonly name: Engine["name"];
  readonly dir: string;
  readonly command: readonly string[];
  readonly docker: Docker;
  /** Takes away what the engine leaves outside of its directory. */
  readonly sweep: () => void;
}

/** The parts of an engine's directory. */
function places(dir: string): { readonly socket: string; readonly args: readonly string[] } {
  const socket = join(dir, "engine.sock");
  const roots = ["--data-root", join(dir, "root"), "--exec-root", join(dir, "exec"), "-p", join(dir, "pid")];
  return { socket, args: ["-H", `unix://${socket}`, ...roots] };
}

async function start({ name, dir, command, docker, sweep }: Start): Promise<Running> {
  mkdirSync(dir, { recursive: true });
  const { socket } = places(dir);
  const log = openSync(join(dir, "log"), "a");
  // in a session of its own: Ctrl-C is ours to handle
  const launch = () => Bun.spawn([...command], { stdio: ["ignore", log, log], detached: true });
  let child = launch();
  const ready = (): Promise<void> => untilReady(socket, () => child.exitCode !== null || child.signalCode !== null);
  const engine: Engine = {
    name,
    socket,
    dir,
    get pid() {
      return child.pid;
    },
    restart: async () => {
      child.kill("SIGKILL");
      await child.exited;
      rmSync(socket, { force: true });
      const start = Bun.nanoseconds();
      child = launch();
      await ready();
      return (Bun.nanoseconds() - start) / 1e6;
    },
  };
  const stop = async (): Promise<void> => {
    try {
      const ids = docker.output(engine, ["ps", "-aq"]).split("\n").filter(Boolean);
      if (ids.length > 0) docker.run(engine, ["rm", "-f", "-v", ...ids]);
    } catch {
      // it doesn't answer: its processes are ended below
    }
    child.kill("SIGTERM");
    await Promise.race([child.exited, Bun.sleep(STOP_MS)]);
    await endProcesses(engine);
    closeSync(log);
    sweep();
  };
  try {
    await ready();
  } catch (error) {
    await stop();
    throw new Error(`start ${name}: ${error instanceof Error ? error.message : error}\n${tail(join(dir, "log"))}`);
  }
  return Object.assign(engine, { [Symbol.asyncDispose]: stop });
}

function tail(path: string): string {
  return readFileSync(path, "utf8").split("\n").slice(-10).join("\n");
}

async function endProcesses(engine: Engine): Promise<void> {
  for (let left = allProcessesOf(engine), tries = 0; left.length > 0 && tries < 50; left = allProcessesOf(engine), tries++) {
    for (const pid of left) {
      try {
        process.kill(pid, "SIGKILL");
      } catch {
        // it has ended by itself
      }
    }
    await Bun.sleep(100);
  }
}

/** Removes the cgroups at `path` of every hierarchy. */
function removeCgroups(path: string): void {
  const root = "/sys/fs/cgroup";
  const all = [join(root, path), ...readdirSync(root).map((name) => join(root, name, path))].filter(existsSync);
  // deepest first: rmdir takes empty groups only
  if (all.length > 0) Bun.spawnSync(["find", ...all, "-depth", "-type", "d", "-exec", "rmdir", "{}", ";"], { stderr: "ignore" });
}

function removeMounts(dir: string): void {
  const points = readFileSync("/proc/self/mountinfo", "utf8")
    .split("\n")
    .map((line) => line.split(" ")[4] ?? "")
    .filter((point) => point.startsWith(`${dir}/`));
  for (const point of points.reverse()) Bun.spawnSync(["umount", "-l", point]);
}

/** A subnet of 10.0.0.0/8 that no route of this machine touches, as its gateway's address. */
function freeSubnet(): string {
  const routes = readFileSync("/proc/net/route", "utf8");
  for (let attempt = 0; attempt < 256; attempt++) {
    const third = (process.pid + attempt) % 256;
    // little endian, as the kernel prints it
    const destination = `00${third.toString(16).padStart(2, "0").toUpperCase()}E70A`;
    if (!routes.includes(destination)) return `10.231.${third}.1/24`;
  }
  throw new Error("find a free subnet: 10.231.0.0/16 is taken");
}

/** Starts the compiled dhow as a daemon. */
export function startDhow(binary: string, dir: string, docker: Docker): Promise<Running> {
  const bridge = `dhowb${process.pid}`;
  const command = [binary, "daemon", ...places(dir).args, "--bridge", bridge, "--bip", freeSubnet()];
  const sweep = (): void => {
    removeCgroups(join("dhow", digestHex(digestOf(join(dir, "exec"))).slice(0, 8)));
    if (existsSync(`/sys/class/net/${bridge}`)) Bun.spawnSync(["ip", "link", "delete", bridge]);
    Bun.spawnSync(["nft", "delete", "table", "ip", bridge], { stderr: "ignore" });
    removeMounts(dir);
  };
  return start({ name: "dhow", dir, command, docker, sweep });
}

// A dockerd empties the iptables chains of every other dockerd in its network namespace, so this one gets a namespace of its own, with
// its bridge. With a mount namespace of its own it leaves no mount, and doesn't take a containerd that the machine runs already.
const IN_NAMESPACES = `
ip link set lo up
ip link add bench0 type bridge
ip addr add 10.232.0.1/24 dev bench0
ip link set bench0 up
if [ -d /run/containerd ]; then mount -t tmpfs none /run/containerd; fi
exec "$@"`;

/** Starts Debian's dockerd. @throws with a hint when it isn't installed */
export function startDockerd(dir: string, docker: Docker): Promise<Running> {
  for (const [program, pack] of Object.entries({ dockerd: "docker.io", containerd: "containerd", iptables: "iptables" })) {
    if (Bun.which(program) === null)
      throw new Error(`finds no ${program} to compare with: apt-get install --no-install-recommends ${pack}`);
  }
  const cgroup = `dhow-bench-${process.pid}`;
  const dockerd = ["dockerd", ...places(dir).args, "--bridge", "bench0", "--cgroup-parent", `/${cgroup}`, "--log-level", "error"];
  const command = ["unshare", "--net", "--mount", "sh", "-ec", IN_NAMESPACES, "sh", ...dockerd];
  const sweep = (): void => {
    removeCgroups(cgroup);
    removeMounts(dir);
  };
  return start({ name: "dockerd", dir, command, docker, sweep });
}
