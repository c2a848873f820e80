import type { BlobStore } from "../content/mod.ts";
import type { ContainerStore, EventHub, EventLog, LeaseBook, UsernsMappings } from "../engine/mod.ts";
import type { ImageStore } from "../images/mod.ts";
import type { Logger } from "../lib/mod.ts";
import type { Database } from "../metadata/mod.ts";
import type { Networking } from "../network/mod.ts";
import type { Plugins } from "../plugins/mod.ts";
import type { CdiRegistry, HostFacts, MigrationWarmer } from "../runtime/mod.ts";
import type { LayerStore, Snapshotter } from "../snapshots/mod.ts";
import type { Volumes } from "../volumes/mod.ts";
import type { HostMounts } from "./host-mounts.ts";
import type { Runtimes } from "./runtimes.ts";
import type { SocketStore } from "./sockets.ts";

/** What the engine stands on that is there before it. */
export interface EngineBase {
  readonly facts: HostFacts;
  readonly warmer: MigrationWarmer;
  readonly log: Logger;
  /** Takes what has to be closed at the daemon's end. */
  readonly stack: AsyncDisposableStack;
  /** Starts a process that works on files which may keep who asks for them waiting; without it all is done in this one. */
  readonly fileHelper?: readonly string[] | undefined;
  /** The same for the files of volumes. */
  readonly volumeHelper?: readonly string[] | undefined;
  /** Follows what is mounted on the host; without it the engine is in the host's namespace itself. */
  readonly hostMounts?: HostMounts | undefined;
  /** Called before any container is started. */
  readonly beforeContainers?: ((store: SocketStore) => Promise<void>) | undefined;
}

/** Everything that lives in the data root. */
export interface Stores {
  /** The engine's, in /info and events. */
  readonly id: string;
  /** Tells this daemon's cgroups and tables from another's. */
  readonly daemonId: string;
  readonly db: Database;
  readonly blobs: BlobStore;
  readonly snapshots: Snapshotter;
  readonly layers: LayerStore;
  readonly store: ContainerStore;
  readonly images: ImageStore;
  readonly plugins: Plugins;
  readonly volumes: Volumes;
  readonly userns: UsernsMappings;
}

export interface Parts extends Stores {
  readonly network: Networking;
  readonly events: EventHub;
  readonly history: EventLog;
  readonly book: LeaseBook;
  readonly runtimes: Runtimes;
  /** The host's devices; undefined where the Container Device Interface is switched off. */
  readonly cdi: CdiRegistry | undefined;
  /** That of containers which name none; undefined where there is none. */
  readonly appArmorProfile: string | undefined;
}
