import type { Image, ImageStore } from "../../images/mod.ts";
import type { ChainId, Digest, KeyedMutex, Logger } from "../../lib/mod.ts";
import type { Reactor, UserNamespacePool } from "../../linux/mod.ts";
import type { Networking } from "../../network/mod.ts";
import type { BufferPool, CdiRegistry, ClockNs, HostFacts, MigrationWarmer, SeccompCache, SpecDefaults, Tasks } from "../../runtime/mod.ts";
import type { LayerStore, Snapshotter } from "../../snapshots/mod.ts";
import type { Reference } from "../../spec/reference.ts";
import type { Volumes } from "../../volumes/mod.ts";
import type { Emit } from "../events.ts";
import type { VolumeFiles } from "../volumes/volume-files.ts";
import type { Background } from "./background.ts";
import type { HostDefaults } from "./config.ts";
import type { HealthCounts } from "./health.ts";
import type { LiveContainers } from "./live.ts";
import type { RootMounts } from "./root-mounts.ts";
import type { ContainerStore } from "./store.ts";
import type { UsernsMappings } from "./userns-mappings.ts";
import type { Waiters } from "./wait.ts";

/** What containers need of the images. */
export interface ContainerImages {
  resolve(ref: string): Image;
  tryResolve(ref: string): Image | undefined;
  tryGet(id: Digest): Image | undefined;
  list(): Image[];
  readonly uses: { note(id: Digest): void };
  hold(image: Pick<Image, "layers">): Disposable;
  collectLayers(): Promise<ChainId[]>;
}

/** The daemon's settings for containers. */
export interface ContainerSettings {
  readonly dataRoot: string;
  readonly execRoot: string;
  /** Tells this daemon's cgroups from another's. */
  readonly daemonId: string;
  readonly cgroupParent: string;
  readonly host: HostDefaults;
  readonly spec: SpecDefaults;
  readonly dns: readonly string[];
  readonly dnsSearch: readonly string[];
  readonly dnsOptions: readonly string[];
  readonly runtimes: readonly string[];
  /** How long a runtime, and what it has to wait for, may take. */
  readonly runtimeTimeoutMs: number;
}

/** Everything that the verbs of containers stand on. */
export interface ContainerDeps {
  readonly store: ContainerStore;
  readonly live: LiveContainers;
  readonly locks: KeyedMutex;
  readonly waiters: Waiters;
  readonly background: Background;
  readonly images: ContainerImages;
  readonly snapshots: Snapshotter;
  readonly roots: RootMounts;
  readonly volumes: Volumes;
  readonly network: Networking;
  readonly tasks: Tasks;
  /** The host's devices; undefined where the Container Device Interface is switched off. */
  readonly cdi: CdiRegistry | undefined;
  readonly userns: UsernsMappings;
  readonly usernsPool: UserNamespacePool;
  readonly seccomp: SeccompCache;
  readonly warmer: MigrationWarmer;
  readonly reactor: Reactor;
  readonly buffers: BufferPool;
  readonly clock: ClockNs;
  readonly facts: HostFacts;
  readonly settings: ContainerSettings;
  readonly emit: Emit;
  /** Starts a process that works on files which may keep who asks for them waiting; without it all is done in this one. */
  readonly fileHelper: readonly string[] | undefined;
  /** Brings into sight what was mounted on the host, and takes away what was unmounted there, up to now. */
  readonly followHost: () => void;
  readonly volumeFiles: VolumeFiles;
  readonly healthCounts: HealthCounts;
  /** Looks at the labels of a container to be: their owner has to be there. @throws invalid */
  readonly checkLabels: (labels: Readonly<Record<string, string>> | null | undefined) => void;
  readonly log: Logger;
}

/** What the verbs that read a container's files stand on. */
export interface ContentsDeps extends ContainerDeps {
  readonly images: ImageStore;
  readonly layers: LayerStore;
  /** Gives an image a name and tells of it. */
  readonly tag: (name: Reference, id: Digest) => void;
  /** Told when an image was written, or why that failed. */
  readonly written: (error?: unknown) => void;
}
