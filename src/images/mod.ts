export { type LoadOptions, loadArchive } from "./archive/load.ts";
export { platformOf } from "./archive/plan.ts";
export { manifestDescriptor, type SavedImage, saveArchive } from "./archive/save.ts";
export { applyChanges } from "./changes.ts";
export { type DistroOptions, makeDistroImage } from "./distro/make.ts";
export { isDistroReference } from "./distro/spec.ts";
export { type ImportOptions, importRootfs } from "./import.ts";
export { progressStream, type Report } from "./progress.ts";
export { createdNs, type Image, ImageStore, type ImageStoreOptions, noSuchImage } from "./store.ts";
