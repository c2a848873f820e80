/** SIGHUP: the settings that change while the daemon runs, as dockerd's do. */
import { hostname } from "node:os";
import { DhowError, errorMessage, type Logger } from "../lib/mod.ts";
import type { ApiServer } from "../server/mod.ts";
import type { DaemonConfig } from "./config.ts";
import type { Engine } from "./engine.ts";
import { readTls } from "./tls.ts";

/** The settings in force. */
export class LiveConfig {
  #current: DaemonConfig;
  /** Reads as a configuration, and is always the one in force. */
  readonly view: DaemonConfig;

  constructor(config: DaemonConfig) {
    this.#current = config;
    const keys = Object.keys(config) as (keyof DaemonConfig)[];
    const getters = keys.map((key) => [key, { enumerable: true, get: () => this.#current[key] }] as const);
    this.view = Object.defineProperties({}, Object.fromEntries(getters)) as DaemonConfig;
  }

  replace(config: DaemonConfig): void {
    this.#current = config;
  }
}

/** Settings, by their flags' names, that a reload changes when daemon.json holds them. */
const RELOADED: Readonly<Record<string, readonly (keyof DaemonConfig)[]>> = {
  debug: ["isDebug"],
  // dockerd doesn't; what it says now counts, also when it says nothing any more
  "log-level": [],
  label: ["labels"],
  "shutdown-timeout": ["shutdownTimeoutS"],
  "add-runtime": ["runtimes"],
  "default-runtime": ["defaultRuntime"],
  "default-shm-size": ["defaultShmSizeBytes"],
  "default-ipc-mode": ["defaultIpcMode"],
  "insecure-registry": ["insecureRegistries"],
  "registry-mirror": ["registryMirrors"],
  "live-restore": [],
};

/** Those that fall back to their defaults when daemon.json doesn't hold them. */
const RESET = ["maxConcurrentDownloads", "maxConcurrentUploads", "maxDownloadAttempts", "features", "imageGc"] as const;
const RESET_FLAGS: readonly string[] = [
  "max-concurrent-downloads",
  "max-concurrent-uploads",
  "max-download-attempts",
  "feature",
  "image-gc",
];

/** What is in force after a reload: `next` where it may change, `current` for the rest. */
export function reloaded(current: DaemonConfig, next: DaemonConfig): DaemonConfig {
  const changed = Object.entries(RELOADED).flatMap(([flag, keys]) => (next.inFile.has(flag) ? keys : []));
  const values = Object.fromEntries([...changed, ...RESET].map((key) => [key, next[key]]));
  const merged: DaemonConfig = { ...current, ...values, inFile: next.inFile };
  const quiet = next.isDebug ? "info" : next.logLevel;
  return { ...merged, logLevel: merged.isDebug ? "debug" : quiet };
}

/** The settings that were changed in daemon.json and need a restart, by their flags' names. */
export function needRestart(current: DaemonConfig, next: DaemonConfig): readonly string[] {
  const names = new Set([...current.inFile.keys(), ...next.inFile.keys()]);
  const isSame = (name: string): boolean => JSON.stringify(current.inFile.get(name)) === JSON.stringify(next.inFile.get(name));
  return [...names].filter((name) => !(name in RELOADED) && !RESET_FLAGS.includes(name) && !isSame(name)).sort();
}

/** Go's way to print a map, and a list as JSON: what dockerd's event holds. */
function goMap(map: Readonly<Record<string, string>>): string {
  const pairs = Object.entries(map).sort(([a], [b]) => (a < b ? -1 : 1));
  return `map[${pairs.map(([key, value]) => `${key}:${value}`).join(" ")}]`;
}

/** The attributes of `daemon reload`. */
function reloadAttributes(config: DaemonConfig, engine: Engine): Record<string, string> {
  return {
    debug: String(config.isDebug),
    "default-cgroupns-mode": engine.cgroupnsMode,
    "default-ipc-mode": config.defaultIpcMode,
    "default-runtime": config.defaultRuntime,
    "default-shm-size": String(config.defaultShmSizeBytes),
    features: goMap(config.features),
    "insecure-registries": JSON.stringify(config.insecureRegistries),
    labels: JSON.stringify(config.labels),
    "live-restore": "true",
    "max-concurrent-downloads": String(config.maxConcurrentDownloads),
    "max-concurrent-uploads": String(config.maxConcurrentUploads),
    "max-download-attempts": String(config.maxDownloadAttempts),
    name: hostname(),
    "registry-mirrors": JSON.stringify(config.registryMirrors),
    runtimes: Object.entries(engine.runtimes.offered)
      .map(([name, { path }]) => `${name}:${path}`)
      .join(" "),
    "shutdown-timeout": String(config.shutdownTimeoutS),
  };
}

/** What a reload changes besides the settings. */
export interface Reloaded {
  readonly engine: Engine;
  readonly server: Pick<ApiServer, "renewTls">;
}

/** Reads the settings and the files of TLS again; a file that can't be taken changes nothing. */
export function reload(live: LiveConfig, { engine, server }: Reloaded, read: () => DaemonConfig, log: Logger): void {
  const current = live.view;
  log.info("Got signal to reload configuration", { "config-file": current.configFile });
  try {
    const next = read();
    const merged = reloaded({ ...current }, next);
    const runtimes = engine.runtimes.find(merged);
    if (!runtimes[merged.defaultRuntime])
      throw new DhowError("invalid", `specified default runtime '${merged.defaultRuntime}' does not exist`);
    const tls = current.tls?.isOn ? readTls(current.tls) : undefined;
    const ignored = needRestart(current, next);
    if (ignored.length > 0) log.warn("settings changed that need a restart of the daemon", { settings: ignored.join(", ") });
    engine.runtimes.offer(runtimes);
    live.replace(merged);
    if (tls !== undefined) server.renewTls(tls);
    const attributes = reloadAttributes(merged, engine);
    engine.emit({ type: "daemon", action: "reload", id: engine.id, attributes });
    log.info("Reloaded configuration", attributes);
  } catch (error) {
    log.error("Error reloading configuration", { error: errorMessage(error) });
  }
}
