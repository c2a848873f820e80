/**
 * The engine in the caller's own process: no daemon, no socket, the same objects as `connect()` gives. On Bun, as root, on Linux.
 *
 * ```ts
 * import { embed } from "dhow/embed";
 *
 * await using dhow = await embed({ dataRoot: "/var/lib/my-tool", execRoot: "/run/my-tool" });
 * await using box = await dhow.containers.run({ image: "distro/busybox", command: ["sleep", "60"] });
 * ```
 *
 * The daemon moves into a mount namespace of its own; here the mounts of containers are in the caller's, below the roots, as dockerd has
 * them. Nothing that others see is changed: on a host with both cgroup versions the runtime alone is started where the unified hierarchy
 * is out of sight.
 */
import { mkdirSync, readlinkSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { type DaemonConfig, parseDaemonCommand } from "./daemon/config.ts";
import { startEngine } from "./daemon/engine.ts";
import { hybridCgroup, makeRootsPrivate, releaseRoots } from "./daemon/namespace.ts";
import { findHolder, lockRoot } from "./daemon/roots.ts";
import { noSockets } from "./engine/mod.ts";
import { createLogger, DhowError } from "./lib/mod.ts";
import { hostFacts, MigrationWarmer } from "./runtime/mod.ts";
import type { EngineAccess } from "./sdk/access.ts";
import { Dhow } from "./sdk/dhow.ts";
import { abortableApi } from "./sdk/in-process.ts";

/** What the engine is to work with. */
export interface EmbedOptions {
  /** Images, containers, volumes; nobody else's, kept between runs. */
  readonly dataRoot: string;
  /** State of what runs; on a tmpfs. */
  readonly execRoot: string;
  /** Further settings by the names of the daemon's flags: `{ bridge: "tool0", "default-runtime": "runc" }`. */
  readonly settings?: Readonly<Record<string, string | number | boolean | readonly string[]>> | undefined;
  /** Takes the engine's log, line by line; without it nothing is logged. */
  readonly onLog?: ((line: string) => void) | undefined;
}

/** @throws invalid in the daemon's words */
function configOf({ dataRoot, execRoot, settings = {} }: EmbedOptions): DaemonConfig {
  const flags = Object.entries(settings).flatMap(([name, value]) =>
    (Array.isArray(value) ? value : [value]).map((word) => `--${name}=${String(word)}`),
  );
  const argv = [`--data-root=${dataRoot}`, `--exec-root=${execRoot}`, "--config-file=/dev/null", ...flags];
  const command = parseDaemonCommand(argv, {});
  if (command.kind !== "run") throw new DhowError("invalid", `embed an engine: found the setting ${command.kind}, want settings only`);
  return command.config;
}

/** @throws conflict where containers of a daemon run: they are in another mount namespace */
function checkHolder(execRoot: string): void {
  const pid = findHolder(execRoot);
  if (pid === undefined || readlinkSync(`/proc/${pid}/ns/mnt`) === readlinkSync("/proc/self/ns/mnt")) return;
  throw new DhowError("conflict", `embed an engine in ${execRoot}: containers of a daemon run there; stop them, or start the daemon`);
}

/** A crun that starts where the unified hierarchy of a hybrid host is out of its sight. */
function shieldedCrun(config: DaemonConfig): DaemonConfig {
  const unified = hybridCgroup();
  const own = config.runtimes["crun"];
  const path = own?.path ?? Bun.which("crun");
  if (unified === undefined || path === null) return config;
  const script = join(config.execRoot, "bin", "shielded-crun");
  mkdirSync(join(config.execRoot, "bin"), { recursive: true, mode: 0o711 });
  const steps = [
    'parent="$1" unified="$2" crun="$3"; shift 3',
    'mount --make-private "$parent"',
    'umount -l "$unified"',
    'mount -t tmpfs -o mode=755,size=1m none "$unified"',
    'exec "$crun" "$@"',
  ];
  const words = [dirname(unified.mountPoint), unified.mountPoint, path].map((word) => `'${word}'`).join(" ");
  const line = `exec unshare --mount --propagation unchanged sh -ec '${steps.join("; ")}' sh ${words} "$@"`;
  writeFileSync(script, `#!/bin/sh\n${line}\n`, { mode: 0o755 });
  return { ...config, runtimes: { ...config.runtimes, crun: { path: script, runtimeArgs: own?.runtimeArgs ?? [] } } };
}

/**
 * Starts an engine in this process and takes up what an earlier one left in the roots. Closing it leaves running containers to the next.
 * @throws forbidden when not root, conflict when another engine has the roots, invalid for settings that are none
 */
export async function embed(options: EmbedOptions): Promise<Dhow> {
  if (process.getuid?.() !== 0) throw new DhowError("forbidden", "embed an engine: it needs to be started with root privileges");
  const config = configOf(options);
  const { dataRoot, execRoot } = config;
  const log = createLogger({ level: () => config.logLevel, format: config.logFormat, write: (line) => options.onLog?.(line) });
  await using stack = new AsyncDisposableStack();
  for (const dir of [dataRoot, execRoot]) mkdirSync(dir, { recursive: true, mode: 0o711 });
  stack.use(await lockRoot(dataRoot, "dataRoot"));
  stack.use(await lockRoot(execRoot, "execRoot"));
  checkHolder(execRoot);
  // what is made for containers must be readable in them
  const umask = process.umask(0o022);
  stack.defer(() => void process.umask(umask));
  stack.defer(() => {
    if (findHolder(execRoot) === undefined) releaseRoots([execRoot, dataRoot]);
  });
  makeRootsPrivate([dataRoot, execRoot]);
  const facts = hostFacts();
  const warmer = stack.use(new MigrationWarmer(facts));
  const engine = await startEngine(shieldedCrun(config), { facts, warmer, log, stack });
  const api = { ...engine.api, sockets: noSockets };
  const resources = stack.move();
  let isClosed = false;
  const access: EngineAccess = {
    within: (signal) => {
      if (isClosed) throw new DhowError("unavailable", "call the engine in this process: it is closed");
      return signal === undefined ? api : abortableApi(api, signal);
    },
    hostname: "localhost",
    close: () => {
      isClosed = true;
      return resources.disposeAsync();
    },
  };
  return new Dhow(access);
}

export * from "./index.ts";
