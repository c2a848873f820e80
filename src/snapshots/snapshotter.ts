import { type ChainId, type Defect, DhowError } from "../lib/mod.ts";
import type { Fd, IdView } from "../linux/mod.ts";
import type { Difference } from "./diff.ts";

/** Where a snapshot's parts are, absolute; what a driver does not have is null. */
export interface SnapshotPaths {
  /** What `mount` returns. */
  readonly rootfs: string;
  /** The directory that takes what is written. */
  readonly upper: string;
  readonly work: string | null;
  /** The committed layers below, top first; damaged ones may be gone. */
  readonly lowers: readonly string[];
}

export interface PrepareOptions {
  /** The snapshot is worthless after a crash of the machine (`--rm`): fsync in it may be left out, which makes unmounting cheap. */
  readonly isEphemeral?: boolean;
  /** How much may be written to it; only where `hasQuotas`. */
  readonly limitBytes?: number | undefined;
}

export interface SnapshotUsage {
  readonly sizeBytes: number;
  readonly inodes: number;
}

/** A layer that is being unpacked: nobody sees it before `commit`. */
export interface LayerDraft {
  /** The layer's directory: the recipe and displaced files go here and move with it. */
  readonly dir: string;
  /** Where the tree is unpacked. */
  readonly root: string;
  /**
   * `overlay`: the tree holds this layer only, a whiteout is a 0:0 device, an opaque directory has the overlay xattr.
   * `remove`: the tree starts as a copy of the parent's, whiteouts remove files from it.
   */
  readonly whiteouts: "overlay" | "remove";
  /** The parent's merged tree, for what the archive takes for granted; mounted at the first call, null when there is none. */
  lower(): string | null;
  /** Makes the draft the layer `chainId` in one step. Synchronous. */
  commit(chainId: ChainId): void;
  /** Removes the draft. Does nothing after `commit`. */
  discard(): void;
}

/** The files of a damaged layer that mounts may still need. */
export interface QuarantinedLayer {
  readonly path: string;
  /** Milliseconds since the epoch. */
  readonly sinceMs: number;
  /** Deletes them, in the background. */
  discard(): void;
}

/** The committed layers of a driver on disk. */
export interface LayerDisk {
  /** Starts a layer on top of `parent`. @throws notFound when the parent is not there */
  draft(parent: ChainId | null): Promise<LayerDraft>;
  /** The directory of a committed layer, and in it the root of its tree. */
  layerPaths(chainId: ChainId): { readonly dir: string; readonly root: string };
  /** Takes a layer away at once and deletes it in the background. Nothing may be on top of it. */
  removeLayer(chainId: ChainId): void;
  /**
   * Takes a damaged layer away at once. What is mounted on it goes on; its files are kept in the quarantine where such mounts
   * need them.
   */
  quarantineLayer(chainId: ChainId): void;
  /** The layers in the quarantine, with when they came there. */
  quarantined(): readonly QuarantinedLayer[];
  /** The layers on disk. */
  layers(): ChainId[];
  /** The active snapshots whose parent is `chainId`. */
  usersOf(chainId: ChainId): string[];
}

/**
 * Writable trees on top of committed layers, by key. Everything but `prepare` of a driver that copies, `draft`, `usage`, `diff` and
 * `drain` is synchronous and takes less than a millisecond: it is on the path of a container's start.
 */
export interface Snapshotter extends LayerDisk {
  readonly driver: "overlay2" | "native";
  /** Whether what is written to a snapshot can be limited. */
  hasQuotas(): boolean;
  /**
   * Makes the active snapshot `key` on top of `parent` (null: empty). overlay2 is done on return, native returns a promise: await it.
   * @throws conflict when the key is taken, notFound when the parent is not there, invalid for a key that is no plain name
   */
  prepare(key: string, parent: ChainId | null, options?: PrepareOptions): void | Promise<void>;
  /**
   * Makes the snapshot's root file system appear and returns its path; again: only the path. With `view` its files have the ids of a user
   * namespace; what is on the disk has the image's own ids in any case.
   * @throws notFound, {SysError} for a file system that can't show other ids
   */
  mount(key: string, view?: IdView): string;
  /** Takes the mount away, also when it is in use or was never made. */
  unmount(key: string): void;
  /** @throws notFound */
  paths(key: string): SnapshotPaths;
  /** Unmounts and takes the snapshot away before it returns; deletes it in the background. Unknown keys are fine. */
  remove(key: string): void;
  /** What the snapshot adds to its parent, as `docker ps --size` counts. @throws notFound */
  usage(key: string): Promise<SnapshotUsage>;
  /**
   * What the snapshot changed of its parent, as it is at the moment, mounted or not: directories before what is in them, names in the
   * order of their bytes. A path's file can be opened until the next path is asked for. @throws notFound; invalid for a tree that is too deep
   */
  diff(key: string): AsyncGenerator<Difference, void, void>;
  /**
   * The snapshot's root, open for reading, mounted or not; what is read through it does not go away when the snapshot is unmounted or
   * removed. Closing it may wait for the disk: leave that to another thread. @throws notFound
   */
  openRoot(key: string): Fd;
  /** The active snapshots on disk. */
  keys(): string[];
  /**
   * What a crash left half-made, active snapshots that nobody knows, and what else is not as the driver has it; nothing that work in
   * flight is about.
   */
  defects(isKnownKey: (key: string) => boolean): Defect[];
  /** Waits until everything that was removed is deleted. */
  drain(): Promise<void>;
}

const KEY = /^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,254}$/;

/** Refuses a key that is not one plain file name. @throws invalid */
export function checkKey(key: string): string {
  if (!KEY.test(key)) throw new DhowError("invalid", `use snapshot key ${JSON.stringify(key)}: it is no plain name`);
  return key;
}

/** The active snapshots that nobody knows. */
export function strayKeys(snapshots: Pick<Snapshotter, "keys" | "remove">, isKnownKey: (key: string) => boolean): Defect[] {
  const stray = snapshots.keys().filter((key) => !isKnownKey(key));
  return stray.map((key) => ({ what: `snapshot ${key} is of no container`, owner: key, mend: () => snapshots.remove(key) }));
}

/** The error for a key that is not there. */
export function noSuchSnapshot(key: string): DhowError {
  return new DhowError("notFound", `snapshot ${JSON.stringify(key)} does not exist`);
}

/** The error for a key that is taken. */
export function snapshotExists(key: string): DhowError {
  return new DhowError("conflict", `snapshot ${JSON.stringify(key)} exists already`);
}

/** The error for a layer that is not there. */
export function noSuchLayer(chainId: ChainId): DhowError {
  return new DhowError("notFound", `layer ${chainId} does not exist`);
}
