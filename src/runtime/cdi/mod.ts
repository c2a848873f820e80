export { type DeviceSources, deviceRequestsEdit, type SpecEdit } from "./drivers.ts";
export { CDI_DIRECTORIES, CdiRegistry } from "./registry.ts";
