import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Background, type ContainerDeps, LiveContainers, RootMounts, VolumeFiles, Waiters } from "../engine/mod.ts";
import { DhowError, errnoCode, errorMessage, KeyedMutex, nowNs } from "../lib/mod.ts";
import { OrphanReaper, Reactor, UserNamespacePool } from "../linux/mod.ts";
import { BufferPool, type HostFacts, SeccompCache, Tasks } from "../runtime/mod.ts";
import type { DaemonConfig } from "./config.ts";
import type { EngineBase, Parts } from "./parts.ts";

/** For those whose end nothing waits for. */
const ORPHANS_EVERY_MS = 5000;
const INIT_PATHS = ["/usr/bin/tini-static", "/usr/bin/docker-init", "/usr/libexec/docker/docker-init", "/usr/bin/tini"];

/** What the verbs of containers stand on. */
export function containerDeps(
  config: DaemonConfig,
  { facts, warmer, log, stack, fileHelper, volumeHelper, hostMounts }: EngineBase,
  parts: Parts,
): ContainerDeps {
  const { dataRoot, execRoot } = config;
  const { store, images, snapshots, volumes, network, events, runtimes } = parts;
  const reactor = stack.use(new Reactor(log));
  hostMounts?.watch(reactor);
  const orphans = stack.use(new OrphanReaper(ORPHANS_EVERY_MS));
  const buffers = new BufferPool();
  return {
    store,
    live: new LiveContainers({ dataRoot, execRoot: config.execRoot, reactor, buffers, clock: nowNs, log }),
    locks: new KeyedMutex(),
    waiters: new Waiters(),
    background: new Background(),
    images,
    snapshots,
    roots: new RootMounts(snapshots),
    volumes,
    network,
    cdi: parts.cdi,
    userns: parts.userns,
    usernsPool: stack.use(new UserNamespacePool()),
    tasks: new Tasks({
      runtimes: runtimes.all,
      execRoot,
      reactor,
      log,
      timeoutMs: config.runtimeTimeoutMs,
      onOrphan: () => orphans.look(),
    }),
    seccomp: new SeccompCache({ directory: join(dataRoot, "seccomp"), log }),
    warmer,
    reactor,
    buffers,
    clock: nowNs,
    facts,
    settings: containerSettings(config, facts, parts),
    emit: events.emit,
    fileHelper,
    followHost: () => hostMounts?.follow(),
    volumeFiles: new VolumeFiles(volumeHelper),
    healthCounts: { checks: 0, failed: 0 },
    checkLabels: (labels) => parts.book.check(labels),
    log,
  };
}

function containerSettings(config: DaemonConfig, facts: HostFacts, parts: Parts): ContainerDeps["settings"] {
  const { daemonId, runtimes, appArmorProfile } = parts;
  const cgroupnsMode = config.defaultCgroupnsMode || (facts.cgroup.version === 2 ? "private" : "host");
  const initPath = initProgram(config);
  return {
    dataRoot: config.dataRoot,
    execRoot: config.execRoot,
    daemonId,
    cgroupParent: config.cgroupParent,
    // these may change by a reload
    get host() {
      return {
        logDriver: config.logDriver,
        logOpts: config.logOpts,
        runtime: config.defaultRuntime,
        shmSizeBytes: config.defaultShmSizeBytes,
        ipcMode: config.defaultIpcMode,
        cgroupnsMode,
      };
    },
    spec: {
      ulimits: config.defaultUlimits,
      init: config.isInitDefault,
      noNewPrivileges: config.isNoNewPrivileges,
      seccompProfile: readSeccompProfile(config.seccompProfile),
      ...(initPath === undefined ? {} : { initPath }),
      ...(appArmorProfile === undefined ? {} : { apparmorProfile: appArmorProfile }),
    },
    dns: config.dns,
    dnsSearch: config.dnsSearch,
    dnsOptions: config.dnsOptions,
    runtimeTimeoutMs: config.runtimeTimeoutMs,
    get runtimes() {
      return Object.keys(runtimes.offered);
    },
  };
}

/** The program that `--init` puts in front of a container's own. */
export function initProgram(config: DaemonConfig): string | undefined {
  return config.initPath || INIT_PATHS.find((path) => Bun.file(path).size > 0);
}

/** @throws invalid in dockerd's words */
function readSeccompProfile(profile: string): string {
  if (profile === "builtin" || profile === "unconfined") return profile;
  try {
    return readFileSync(profile, "utf8");
  } catch (error) {
    const why = errnoCode(error) === "ENOENT" ? "no such file or directory" : errorMessage(error);
    throw new DhowError("invalid", `opening seccomp profile (${profile}) failed: open ${profile}: ${why}`, { cause: error });
  }
}
