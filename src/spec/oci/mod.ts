export * from "./image-config.ts";
export type * from "./manifest.ts";
export * from "./media-types.ts";
export * from "./platform.ts";
