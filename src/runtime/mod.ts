export * from "./host.ts";
export * from "./spec/mod.ts";
export * from "./user.ts";
