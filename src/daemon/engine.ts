import { join } from "node:path";
import {
  type Emit,
  EventHub,
  EventLog,
  emitDenials,
  type HealthCounts,
  LeaseBook,
  leaveContainers,
  recoverContainers,
} from "../engine/mod.ts";
import { LeasesTable, SocketsTable } from "../metadata/mod.ts";
import { type HostFacts, loadDefaultAppArmorProfile, removeEmptyParent, validateDefaultLogOptions } from "../runtime/mod.ts";
import type { EngineApi } from "../spec/engine/mod.ts";
import { openCdi } from "./cdi.ts";
import type { DaemonConfig } from "./config.ts";
import { containerDeps } from "./container-deps.ts";
import { startLeases } from "./leases.ts";
import { startNetwork } from "./network.ts";
import type { EngineBase, Parts } from "./parts.ts";
import { prepareRoots } from "./roots.ts";
import { Runtimes } from "./runtimes.ts";
import { containerCounts, engineApi } from "./services.ts";
import { openStores } from "./stores.ts";

/** The engine, and what of it the daemon itself needs. */
export interface Engine {
  readonly api: Omit<EngineApi, "sockets">;
  /** Of scoped sockets. */
  readonly sockets: SocketsTable;
  /** Tells this daemon's cgroups and tables from another's. */
  readonly daemonId: string;
  readonly id: string;
  readonly emit: Emit;
  readonly facts: HostFacts;
  readonly storageDriver: string;
  /** For metrics. */
  readonly counts: EngineCounts;
  readonly runtimes: Runtimes;
  /** The cgroup namespace of containers that name none. */
  readonly cgroupnsMode: "private" | "host";
}

export interface EngineCounts {
  containers(): { readonly running: number; readonly paused: number; readonly stopped: number };
  events(): number;
  listeners(): number;
  sandboxesReady(): number;
  readonly health: HealthCounts;
}

/** Makes the engine and takes up what the last daemon left. @throws what keeps the daemon from starting */
export async function startEngine(config: DaemonConfig, base: EngineBase): Promise<Engine> {
  validateDefaultLogOptions(config.logDriver, config.logOpts);
  prepareRoots(config.dataRoot, config.execRoot);
  const appArmorProfile = loadDefaultAppArmorProfile({ facts: base.facts, execRoot: config.execRoot, log: base.log });
  const stores = await openStores(config, base);
  const network = await startNetwork(config, stores, base);
  const history = base.stack.use(new EventLog(join(config.dataRoot, "events"), { log: base.log }));
  const events = new EventHub(history);
  const runtimes = new Runtimes(config, base.log);
  const book = new LeaseBook(new LeasesTable(stores.db));
  const cdi = openCdi(config, base.log);
  const parts: Parts = { ...stores, network, events, history, book, runtimes, cdi, appArmorProfile: await appArmorProfile };
  const deps = containerDeps(config, base, parts);
  await stores.images.recover();
  const sockets = new SocketsTable(stores.db);
  await base.beforeContainers?.({ sockets, daemonId: stores.daemonId, facts: base.facts });
  emitDenials(deps);
  await recoverContainers(deps);
  base.stack.defer(() => leaveContainers(deps));
  base.stack.defer(() => removeEmptyParent(`${config.cgroupParent || "/dhow"}/${stores.daemonId}`, base.facts));
  const api = engineApi(config, deps, parts, base.stack);
  const leases = await startLeases({ ...parts, api, deps, reaperAddress: config.reaperAddress, stack: base.stack });
  return {
    api: { ...api, leases },
    sockets,
    daemonId: stores.daemonId,
    id: parts.id,
    emit: events.emit,
    facts: base.facts,
    storageDriver: stores.snapshots.driver,
    counts: {
      containers: () => containerCounts(stores.store),
      events: () => events.published,
      listeners: () => events.listeners,
      sandboxesReady: () => network.readyCount,
      health: deps.healthCounts,
    },
    runtimes,
    cgroupnsMode: deps.settings.host.cgroupnsMode,
  };
}
