import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createLogger, type Logger, nowNs } from "../../../lib/mod.ts";
import { OrphanReaper, Reactor } from "../../../linux/mod.ts";
import type { AttachOptions, OutputChunk } from "../../../spec/engine/mod.ts";
import { LocalLog, type LogDriver, type LogReadOptions, NoLog, WHOLE_LOG } from "../../logs/mod.ts";
import { BufferPool, ContainerIo, Tasks } from "../mod.ts";

const APPLETS = [
  "sh",
  "cat",
  "echo",
  "false",
  "kill",
  "printf",
  "seq",
  "sleep",
  "stty",
  "tail",
  "true",
  "head",
  "dd",
  "ls",
  "id",
  "tr",
  "yes",
];

/** Everything a test needs to run real containers; `directory` may be given to meet what another process left. */
export class Fixture implements Disposable {
  readonly directory: string;
  readonly log: Logger = createLogger({ level: "warn", format: "text", write: (line) => void process.stderr.write(line) });
  readonly reactor = new Reactor(this.log);
  readonly buffers = new BufferPool();
  readonly clock = nowNs;
  readonly tasks: Tasks;
  // as in the daemon: the tests' init may be one that waits for no orphan
  readonly #orphans = new OrphanReaper(20);
  readonly #isOwner: boolean;

  constructor(directory?: string) {
    this.#isOwner = directory === undefined;
    this.directory = directory ?? mkdtempSync(join(tmpdir(), "dhow-tasks-"));
    if (this.#isOwner) this.#makeRootfs();
    const execRoot = join(this.directory, "run");
    this.tasks = new Tasks({
      runtimes: { crun: { path: "crun" }, runc: { path: "runc" } },
      execRoot,
      reactor: this.reactor,
      log: this.log,
      timeoutMs: 60_000,
      onOrphan: () => this.#orphans.look(),
    });
  }

  /** What a failed test left running. */
  #killLeftOvers(): void {
    for (const runtime of ["crun", "runc"]) {
      const { root, delete: deleteCommand } = this.tasks.command(runtime);
      for (const id of existsSync(root) ? readdirSync(root) : [])
        Bun.spawnSync(deleteCommand(id), { stdio: ["ignore", "ignore", "ignore"] });
    }
    const pids = Bun.spawnSync(["pgrep", "-f", this.directory]).stdout.toString().split("\n");
    // crun removes a container's own cgroup, not its parent, and leaves plain files where `unified` is not mounted
    const script =
      'find /sys/fs/cgroup -depth -type d -path "*/$1*" -exec rmdir {} +; cd /sys/fs/cgroup/unified && ! test -e cgroup.procs && rm -rf "./$1"';
    Bun.spawnSync(["sh", "-c", script, "sh", `dhow-test-${this.directory.slice(-6)}`], { stdio: ["ignore", "ignore", "ignore"] });
    for (const pid of pids) if (Number(pid) > 1 && Number(pid) !== process.pid) process.kill(Number(pid), "SIGKILL");
  }

  get rootfs(): string {
    return join(this.directory, "rootfs");
  }

  #makeRootfs(): void {
    for (const name of ["bin", "proc", "dev", "sys", "tmp"]) mkdirSync(join(this.rootfs, name), { recursive: true });
    cpSync("/bin/busybox", join(this.rootfs, "bin/busybox"));
    for (const applet of APPLETS) symlinkSync("busybox", join(this.rootfs, "bin", applet));
  }

  io(id: string, options: { tty?: boolean; openStdin?: boolean; stdinOnce?: boolean; driver?: LogDriver } = {}): ContainerIo {
    const { reactor, buffers, log } = this;
    const driver = options.driver ?? this.localLog(id);
    return new ContainerIo({
      tty: options.tty ?? false,
      openStdin: options.openStdin ?? false,
      stdinOnce: options.stdinOnce ?? false,
      driver,
      reactor,
      buffers,
      log,
    });
  }

  localLog(id: string, limits: { maxSizeBytes?: number; maxFiles?: number } = {}): LocalLog {
    const { clock, log } = this;
    const dir = join(this.directory, "logs", id);
    return new LocalLog({
      dir,
      maxSizeBytes: limits.maxSizeBytes ?? 20 << 20,
      maxFiles: limits.maxFiles ?? 5,
      compress: true,
      attributes: () => ({}),
      clock,
      log,
    });
  }

  execIo(options: { tty?: boolean; openStdin?: boolean } = {}): ContainerIo {
    return this.io("exec", { ...options, stdinOnce: true, driver: new NoLog() });
  }

  spec(args: readonly string[], options: { tty?: boolean; size?: { height: number; width: number } } = {}) {
    const tag = this.directory.slice(-6);
    return {
      ociVersion: "1.0.0",
      process: {
        terminal: options.tty ?? false,
        ...(options.size === undefined ? {} : { consoleSize: options.size }),
        user: { uid: 0, gid: 0 },
        args,
        env: ["PATH=/bin", "TERM=xterm"],
        cwd: "/",
        capabilities: { bounding: ["CAP_KILL"], effective: ["CAP_KILL"], permitted: ["CAP_KILL"] },
      },
      root: { path: this.rootfs, readonly: false },
      hostname: "test",
      mounts: [
        { destination: "/proc", type: "proc", source: "proc" },
        { destination: "/dev", type: "tmpfs", source: "tmpfs", options: ["nosuid", "mode=755", "size=65536k"] },
        {
          destination: "/dev/pts",
          type: "devpts",
          source: "devpts",
          options: ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"],
        },
      ],
      linux: {
        cgroupsPath: `/dhow-test-${tag}/${Math.random().toString(36).slice(2)}`,
        namespaces: [{ type: "pid" }, { type: "ipc" }, { type: "uts" }, { type: "mount" }],
      },
    };
  }

  [Symbol.dispose](): void {
    this.reactor.close();
    this.#orphans[Symbol.dispose]();
    if (this.#isOwner) this.#killLeftOvers();
    if (this.#isOwner) rmSync(this.directory, { recursive: true, force: true });
  }
}

export const ATTACH: AttachOptions = { logs: false, stream: true, stdin: true, stdout: true, stderr: true };

/** All of an output as text, per stream. */
export async function collect(output: AsyncIterable<OutputChunk>): Promise<{ stdout: string; stderr: string; all: string }> {
  const chunks: { stream: string; data: Buffer }[] = [];
  for await (const chunk of output) chunks.push({ stream: chunk.stream, data: Buffer.from(chunk.data) });
  const of = (stream?: string): string =>
    Buffer.concat(chunks.filter((c) => stream === undefined || c.stream === stream).map((c) => c.data)).toString();
  return { stdout: of("stdout"), stderr: of("stderr"), all: of() };
}

export async function readLog(io: ContainerIo, options: Partial<LogReadOptions> = {}): Promise<string> {
  return (await collect(io.logs({ ...WHOLE_LOG, ...options }).output)).all;
}
