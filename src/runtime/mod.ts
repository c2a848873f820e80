export { appArmorProfileText, DEFAULT_APPARMOR_PROFILE, loadDefaultAppArmorProfile } from "./apparmor.ts";
export * from "./cdi/mod.ts";
export * from "./cgroup/mod.ts";
export * from "./host.ts";
export * from "./logs/mod.ts";
export * from "./spec/mod.ts";
export * from "./tasks/mod.ts";
export * from "./user.ts";
export * from "./userns/mod.ts";
