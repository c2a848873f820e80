import type { Logger } from "../../lib/mod.ts";
import type { Owner, Reactor } from "../../linux/mod.ts";
import type { ContainerIo } from "./io.ts";
import type { OciRuntime } from "./runtimes.ts";
import type { Task, TaskExit } from "./task.ts";
import type { TimeOffsets } from "./time-namespace.ts";

/** The part of an OCI configuration that a task looks at. */
export interface TaskSpec {
  readonly process?:
    | {
        readonly args?: readonly string[] | undefined;
        readonly consoleSize?: { readonly height: number; readonly width: number } | undefined;
      }
    | undefined;
}

export interface RunOptions {
  readonly id: string;
  /** The whole OCI configuration; written to the bundle as it is. `process.terminal` must be what `io.options.tty` is. */
  readonly spec: TaskSpec;
  readonly io: ContainerIo;
  readonly runtime: string;
  /** Gives a start up that has not come to its end; its reason is what `run` throws. */
  readonly signal?: AbortSignal | undefined;
  /** Who the process is on the host, when it is in a user namespace. */
  readonly owner?: Owner | undefined;
  /** Who hooks are in the container's user namespace, on the host: they read the bundle. */
  readonly hookReader?: Owner | undefined;
  /** For a time namespace of its own. */
  readonly timeOffsets?: TimeOffsets | undefined;
  /** Where the network namespace is that the configuration names as `Tasks.netnsPath`. */
  readonly netns?: string | undefined;
  /** The directory of a checkpoint to go on from, in the place of a new process. */
  readonly checkpoint?: string | undefined;
}

export interface AdoptOptions {
  readonly id: string;
  readonly io: ContainerIo;
  readonly runtime: string;
  /** The former daemon noted that the process ran; without it a failed start is told from a run that ended. Default true. */
  readonly hasRun?: boolean | undefined;
}

/** What became of a container's process while no daemon was there; `failed`: it never ran, for the error's reason. */
export type Adopted =
  | { readonly kind: "running"; readonly task: Task }
  | { readonly kind: "exited"; readonly exit: TaskExit }
  | { readonly kind: "failed"; readonly error: unknown };

export interface TasksOptions {
  readonly runtimes: Readonly<Record<string, OciRuntime>>;
  /** On tmpfs; gone after a reboot. */
  readonly execRoot: string;
  readonly reactor: Reactor;
  readonly log: Logger;
  /** How long a runtime may take for one command before it is ended. */
  readonly timeoutMs: number;
  /** Called when a runtime that failed may have left a dead process to this one, and the container's end waits for that to be reaped. */
  readonly onOrphan?: () => void;
}
