export * from "./containers/mod.ts";
export { EventLog } from "./event-log.ts";
export { type Emit, type EngineEvent, EventHub } from "./events.ts";
export { Execs } from "./exec/exec.ts";
export { type ImageDeps, Images, ImageTransfer, tagImage } from "./images/mod.ts";
export * from "./leases/mod.ts";
export { NetworksService } from "./networks/mod.ts";
export { engineId, type InfoSettings, System } from "./system/mod.ts";
export { VolumesService } from "./volumes/mod.ts";
