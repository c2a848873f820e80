export type { HostDefaults } from "./config.ts";
export { isRunning, networkMode } from "./container.ts";
export { ContainerLifecycle, ContainerStreams, Containers } from "./containers.ts";
export type { ContainerDeps, ContainerSettings } from "./deps.ts";
export { LiveContainers } from "./live.ts";
export { recoverContainers } from "./recover.ts";
export { markBytes } from "./root-marks.ts";
export { type Container, ContainerStore } from "./store.ts";
export { Waiters } from "./wait.ts";
