export { engineId, type InfoSettings } from "./info.ts";
export { System, type SystemDeps } from "./system.ts";
