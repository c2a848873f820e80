export * from "./container-files.ts";
export { DEFAULT_POOLS, type PoolSpec } from "./ipam.ts";
export * from "./networking.ts";
export * from "./port-specs.ts";
