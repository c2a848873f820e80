export { type VolumesApiDeps, VolumesService, volumeDto } from "./volumes-api.ts";
