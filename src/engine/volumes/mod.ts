export { VolumeContents, type VolumeContentsDeps } from "./volume-contents.ts";
export { VolumeFiles } from "./volume-files.ts";
export { type VolumesApiDeps, VolumesService, volumeDto } from "./volumes-api.ts";
