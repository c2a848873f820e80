export { BufferPool } from "./buffers.ts";
export { parseDetachKeys } from "./detach-keys.ts";
export type { ExecOptions, ExecProcessSpec, ExecTask } from "./exec.ts";
export { ContainerIo, type ContainerIoOptions } from "./io.ts";
export type { Adopted, AdoptOptions, RunOptions, TasksOptions } from "./options.ts";
export type { OciRuntime } from "./runtimes.ts";
export { Task, type TaskExit } from "./task.ts";
export { Tasks } from "./tasks.ts";
export { checkTimeOffsets, parseTimeOffsets, type TimeOffsets } from "./time-namespace.ts";
