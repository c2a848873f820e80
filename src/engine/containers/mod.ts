export { Background } from "./background.ts";
export { conditionsApi } from "./conditions.ts";
export type { HostDefaults } from "./config.ts";
export { connectContainer, disconnectContainer, disconnectFromGone } from "./connect.ts";
export { isRunning, networkMode } from "./container.ts";
export { Checkpoints, ContainerLifecycle, ContainerStreams, Containers } from "./containers.ts";
export { ContainerContents } from "./contents.ts";
export {
  cgroupDefects,
  directoryDefects,
  hasRun,
  mountDefects,
  processDefects,
  quarantineDefects,
  runDefects,
  snapshotDefects,
} from "./defects.ts";
export type { ContainerDeps, ContainerSettings } from "./deps.ts";
export { egressApi, emitDenials } from "./egress.ts";
export { ContainerFiles } from "./files/container-files.ts";
export type { HealthCounts } from "./health.ts";
export { networkOwner } from "./joiners.ts";
export { leaveContainers } from "./leave.ts";
export { LiveContainers } from "./live.ts";
export { portsApi } from "./ports.ts";
export { recoverContainers } from "./recover.ts";
export { markBytes } from "./root-marks.ts";
export { RootMounts } from "./root-mounts.ts";
export { type Container, ContainerStore } from "./store.ts";
export { UsernsMappings, type UsernsSettings } from "./userns-mappings.ts";
export { Waiters } from "./wait.ts";
export { whileWritersPaused } from "./while-paused.ts";
