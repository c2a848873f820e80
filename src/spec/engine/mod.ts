export * from "./api.ts";
export type * from "./check.ts";
export type * from "./dto.ts";
export type * from "./image-gc.ts";
export * from "./leases.ts";
export * from "./network-extensions.ts";
export type * from "./ports.ts";
export * from "./sockets.ts";
export type * from "./why.ts";
