export { type Cgroup, type CgroupStats, cgroupOf, destroy as destroyCgroup, freeze, thaw } from "./cgroup.ts";
export { isGroupGone } from "./cgroup-files.ts";
export { MigrationWarmer } from "./migration-warmer.ts";
export { OomWatch } from "./oom-watch.ts";
export { cgroupsPathFor, DEFAULT_CGROUP_PARENT, groupsIn, makeParent, removeEmptyParent } from "./parent.ts";
export { type SystemCpu, systemCpu } from "./system-cpu.ts";
