import { chmodSync, cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { silentLogger } from "../../lib/mod.ts";
import type { HostConfig } from "../../spec/engine/mod.ts";
import type { OciMount, OciSpec } from "../../spec/oci-runtime/mod.ts";
import { cgroupOf, destroy } from "../cgroup/cgroup.ts";
import { removeEmptyParent } from "../cgroup/parent.ts";
import { type HostFacts, hostFacts } from "../host.ts";
import { type BuiltSpec, buildSpec, type SpecInput } from "./build.ts";
import { SeccompCache } from "./seccomp-cache.ts";
import { validateHostConfig, withHostConfigDefaults } from "./validate.ts";

/** Why crun can't be tried here; undefined when it can. */
export const cannotRun: string | undefined =
  process.getuid?.() !== 0
    ? "not root"
    : Bun.which("crun") === null
      ? "crun is not installed"
      : !existsSync("/bin/busybox")
        ? "busybox is not installed"
        : undefined;

/** Facts of a machine that never changes, for golden files. */
export const FACTS: HostFacts = {
  cgroup: {
    version: 2,
    hybrid: false,
    v1: {},
    unified: "/sys/fs/cgroup",
    unmountedUnified: null,
    controllers: new Set(["cpu", "cpuset", "io", "memory", "pids"]),
  },
  limits: {
    memory: true,
    swap: true,
    memoryReservation: true,
    oomKillDisable: false,
    memorySwappiness: false,
    cpuShares: true,
    cpuCfs: true,
    cpuRealtime: false,
    cpuset: true,
    pids: true,
    blkioWeight: true,
    blkioWeightDevice: true,
    blkioReadBps: true,
    blkioWriteBps: true,
    blkioReadIops: true,
    blkioWriteIops: true,
  },
  cpusAvailable: "0-1",
  memsAvailable: "0",
  cgroupNamespaces: true,
  boundingCapabilities: 0x1ffffffffffn,
  effectiveCapabilities: 0x1ffffffffffn,
  seccomp: true,
  apparmor: false,
  selinux: false,
  arch: "amd64",
  machine: "x86_64",
  kernel: "6.1.0-test",
  operatingSystem: "Debian GNU/Linux 12 (bookworm)",
  osVersion: "12",
  cpuCount: 2,
  memoryBytes: 8 * 1024 ** 3,
  swapBytes: 0,
  rlimits: { nofile: { soft: 1024, hard: 4096 } },
  nrOpen: 1048576,
  oomScoreAdj: 0,
  ipv4Forwarding: true,
  pingGroupRange: true,
  unprivilegedPortStart: true,
  recursiveReadOnly: true,
  maskedPaths: ["/proc/kcore", "/sys/firmware"],
  readonlyPaths: ["/proc/sys"],
  warnings: [],
};

/** A spec input that asks for nothing. */
export function specInput(hostConfig: HostConfig, facts: HostFacts, more: Partial<SpecInput> = {}): SpecInput {
  return {
    id: "box",
    rootfs: "/rootfs",
    hostname: "box",
    domainname: "",
    args: ["/bin/true"],
    env: ["PATH=/bin"],
    cwd: "/",
    user: { uid: 0, gid: 0 },
    terminal: false,
    hostConfig,
    mounts: [],
    network: { kind: "new" },
    cgroupsPath: "/dhow-spec/box",
    facts,
    ...more,
  };
}

// On a hybrid host crun 1.8 runs only where it doesn't see the unified hierarchy; nothing of this is seen outside.
const IN_OWN_MOUNTS = `if [ "$(stat -fc %T /sys/fs/cgroup/unified 2>/dev/null)" = cgroup2fs ]; then
  umount /sys/fs/cgroup/unified && mount -t tmpfs none /sys/fs/cgroup/unified
fi
exec "$@"`;
const unshared = (command: readonly string[]): string[] => [
  "unshare",
  "-m",
  "--propagation",
  "private",
  "sh",
  "-c",
  IN_OWN_MOUNTS,
  "sh",
  ...command,
];

export interface RunResult {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** A directory with a busybox root and everything crun needs; gone again at the end. */
export class Sandbox implements AsyncDisposable {
  readonly directory: string;
  readonly rootfs: string;
  readonly facts: HostFacts = hostFacts();
  readonly parent: string;
  readonly cache: SeccompCache;
  readonly #ids: string[] = [];

  constructor() {
    this.directory = mkdtempSync(`${tmpdir()}/dhow-spec-`);
    chmodSync(this.directory, 0o755);
    this.rootfs = `${this.directory}/rootfs`;
    this.parent = `/dhow-spec-test-${this.directory.slice(-6)}`;
    this.cache = new SeccompCache({ directory: `${this.directory}/seccomp`, log: silentLogger });
    for (const name of ["bin", "proc", "sys", "dev", "etc", "tmp", "usr", "lib", "lib64", "data"])
      mkdirSync(`${this.rootfs}/${name}`, { recursive: true });
    cpSync("/bin/busybox", `${this.rootfs}/bin/busybox`, { dereference: true });
    for (const applet of [
      "sh",
      "cat",
      "ls",
      "id",
      "true",
      "sleep",
      "mount",
      "mknod",
      "head",
      "hostname",
      "readlink",
      "df",
      "touch",
      "stat",
      "dd",
      "tail",
      "ps",
      "mkdir",
      "rmdir",
    ]) {
      symlinkSync("busybox", `${this.rootfs}/bin/${applet}`);
    }
    writeFileSync(`${this.rootfs}/etc/passwd`, "root:x:0:0:root:/root:/bin/sh\n");
  }

  /** The host's programs inside the container, read-only, for a probe in perl. */
  get hostPrograms(): OciMount[] {
    return ["/usr", "/lib", "/lib64"]
      .filter((path) => existsSync(path))
      .map((path) => ({ destination: path, type: "bind", source: path, options: ["rbind", "ro"] }));
  }

  build(script: string | readonly string[], hostConfig: HostConfig, more: Partial<SpecInput> = {}): BuiltSpec & { readonly id: string } {
    const id = `c${this.#ids.length}-${this.directory.slice(-6)}`;
    this.#ids.push(id);
    const checked = validateHostConfig(hostConfig, this.facts);
    const args = typeof script === "string" ? ["/bin/sh", "-c", script] : script;
    const full = withHostConfigDefaults(checked.hostConfig, this.facts);
    const built = buildSpec(specInput(full, this.facts, { id, rootfs: this.rootfs, args, cgroupsPath: `${this.parent}/${id}`, ...more }));
    return { ...built, warnings: [...checked.warnings, ...built.warnings], id };
  }

  #command(id: string, spec: OciSpec, flags: readonly string[]): string[] {
    const bundle = `${this.directory}/${id}`;
    mkdirSync(bundle, { recursive: true });
    writeFileSync(`${bundle}/config.json`, JSON.stringify(spec));
    return unshared(["crun", "--root", `${this.directory}/crun`, "run", ...flags, "--bundle", bundle, id]);
  }

  /** Runs a shell script (or a command) as a container to its end. */
  run(
    script: string | readonly string[],
    hostConfig: HostConfig = {},
    more: Partial<SpecInput> & { readonly compile?: boolean } = {},
  ): RunResult {
    const { spec, id } = this.build(script, hostConfig, more);
    const ready = more.compile === false ? spec : this.cache.apply(spec);
    const result = Bun.spawnSync(this.#command(id, ready, []), { stdin: "ignore", stdout: "pipe", stderr: "pipe" });
    return { exitCode: result.exitCode, stdout: result.stdout.toString().trimEnd(), stderr: result.stderr.toString().trimEnd() };
  }

  /** Starts a container that goes on; returns its first process. */
  start(
    script: string,
    hostConfig: HostConfig = {},
    more: Partial<SpecInput> = {},
  ): { readonly id: string; readonly pid: number; readonly cgroupPath: string } {
    const { spec, id } = this.build(script, hostConfig, more);
    const pidFile = `${this.directory}/${id}.pid`;
    const command = this.#command(id, this.cache.apply(spec), ["--detach", "--pid-file", pidFile]);
    // A pipe would stay open in the container.
    const errors = `${this.directory}/${id}.err`;
    const result = Bun.spawnSync(command, { stdin: "ignore", stdout: "ignore", stderr: Bun.file(errors) });
    if (result.exitCode !== 0) throw new Error(`crun run: ${readFileSync(errors, "utf8")}`);
    const pid = Number(readFileSync(pidFile, "utf8"));
    return { id, pid, cgroupPath: `${this.parent}/${id}` };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const id of this.#ids) {
      await destroy(cgroupOf(`${this.parent}/${id}`, this.facts));
    }
    removeEmptyParent(this.parent, this.facts);
    rmSync(this.directory, { recursive: true, force: true });
  }
}
