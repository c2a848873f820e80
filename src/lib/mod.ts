export * from "./atomic-file.ts";
export * from "./digest.ts";
export * from "./errdefs.ts";
export * from "./ids.ts";
export * from "./keyed-mutex.ts";
export * from "./log.ts";
export * from "./time.ts";
export * from "./units.ts";
