export * from "./attributes.ts";
export { Chunker } from "./chunker.ts";
export { type ExtractOptions, extract } from "./extract.ts";
export { type PackOptions, pack } from "./pack.ts";
export { assertsDirectory, baseName, cleanPath, preserveTrailing, specifiesCurrentDir, splitPath } from "./paths.ts";
export { headerAttributes, type PayloadOptions, writePayload } from "./payload.ts";
export { TarPacker } from "./tar-packer.ts";
export { type TreeUsage, treeUsage } from "./usage.ts";
export { type Directory, FileView, type Place, type ViewIds, type ViewMount } from "./view.ts";
