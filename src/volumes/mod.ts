export { type CopyUp, copyDirectory, copyUp, type FillVolume, finishCopyUp, populateVolumes } from "./copy-up.ts";
export { IDMAP_LABEL, idMapsOf, parseIdMapping, parseIdmapLabel } from "./idmap.ts";
export { isElsewhere, LOCAL_DRIVER } from "./local-driver.ts";
export { runMountHelper } from "./mount-helper.ts";
export { makeDirectory, prepareMountPoints } from "./mount-points.ts";
export { cleanPath, type MountSpec, parseBind, parseMount, parseVolumesFrom, validateMount, validateMounts } from "./mount-spec.ts";
export {
  type ContainerMount,
  inspectMounts,
  type MountedImage,
  type MountPlan,
  type NewVolume,
  type PlanInput,
  planMounts,
} from "./plan.ts";
export { adoptMounts, ensureSource, type ResolvedMounts, type ResolveInput, releaseMounts, resolveMounts, useVolumes } from "./resolve.ts";
export { isSized } from "./sized-volume.ts";
export { ANONYMOUS_LABEL, type LocalVolume, type VolumeRequest } from "./volume.ts";
export { VOLUME_DRIVER } from "./volume-plugin.ts";
export { Volumes, type VolumesDeps } from "./volumes.ts";
