export { TarPacker } from "../files/mod.ts";
export type { Difference } from "./diff.ts";
export { type ApplyOptions, type Layer, type LayerPlace, type LayerRecords, LayerStore, type LayerStoreOptions } from "./layers.ts";
export { Native } from "./native.ts";
export { isOverlaySupported } from "./overlay-mount.ts";
export { Overlay2 } from "./overlay2.ts";
export type { LayerDisk, LayerDraft, PrepareOptions, SnapshotPaths, Snapshotter, SnapshotUsage } from "./snapshotter.ts";
export { spreadDirectories } from "./spread-directories.ts";
export { type Found, isDirectory, walk } from "./walk.ts";
