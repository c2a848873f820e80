import type { System } from "../engine/mod.ts";
import { fsTypeName, statfs } from "../linux/mod.ts";
import { LOG_DRIVERS } from "../runtime/mod.ts";
import type { DaemonConfig } from "./config.ts";
import { initProgram } from "./container-deps.ts";
import type { Parts } from "./parts.ts";
import { shownProxies } from "./proxies.ts";
import { openSocketWarnings } from "./tls.ts";

type SystemSettings = ConstructorParameters<typeof System>[0]["settings"];

/** What /info and /version say of the daemon's settings; the runtime is asked for its version once, in the background. */
export function systemSettings(config: DaemonConfig, { id, snapshots, runtimes, network, userns }: Parts): SystemSettings {
  const { dataRoot } = config;
  let runtimeVersion = "";
  void versionOf(runtimes.all[config.defaultRuntime]?.path ?? "").then((version) => {
    runtimeVersion = version;
  });
  const initPath = initProgram(config) ?? "";
  return () => ({
    id,
    dataRoot,
    storageDriver: snapshots.driver,
    backingFilesystem: fsTypeName(statfs(dataRoot).type) ?? "unknown",
    logDriver: config.logDriver,
    logDrivers: LOG_DRIVERS,
    defaultRuntime: config.defaultRuntime,
    runtimes: Object.fromEntries(Object.entries(runtimes.offered).map(([name, runtime]) => [name, runtime.path])),
    labels: config.labels,
    isDebug: config.isDebug,
    isExperimental: config.isExperimental,
    insecureRegistries: config.insecureRegistries,
    registryMirrors: config.registryMirrors,
    proxies: shownProxies(config.proxies),
    initPath,
    runtimeVersion,
    warnings: [...openSocketWarnings(config.hosts, config.tls), ...network.warnings],
    isUsernsDefault: userns.isDefault,
    seccompProfile: config.seccompProfile,
  });
}

/** Empty when the program can't be asked. */
async function versionOf(path: string): Promise<string> {
  try {
    const child = Bun.spawn([path, "--version"], { stdin: "ignore", stdout: "pipe", stderr: "ignore" });
    return /version (\S+)/.exec(await child.stdout.text())?.[1] ?? "";
  } catch {
    return "";
  }
}
