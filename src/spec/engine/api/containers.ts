import type {
  ContainerConfig,
  ContainerCreateResponse,
  ContainerInspectResponse,
  ContainerSummary,
  ContainerUpdateResponse,
  ContainerWaitResponse,
  HostConfig,
  NetworkingConfig,
  Resources,
  RestartPolicy,
} from "../dto.ts";
import type { Explanation } from "../why.ts";
import type { CallOptions, Filters } from "./call.ts";

export interface ContainerCreateRequest extends ContainerConfig {
  readonly HostConfig?: HostConfig | null | undefined;
  readonly NetworkingConfig?: NetworkingConfig | null | undefined;
}

export interface ContainerCreateOptions extends CallOptions {
  readonly name?: string | undefined;
  /** `os[/arch[/variant]]`, empty = any. */
  readonly platform?: string | undefined;
  /** API version of the request, `[1, 41]`; defaults differ by it. */
  readonly version?: readonly [number, number] | undefined;
}

/** Body of POST /containers/{id}/update: zero and empty mean unchanged. */
export interface ContainerUpdateRequest extends Resources {
  readonly RestartPolicy?: RestartPolicy | undefined;
}

export interface ContainerListOptions extends CallOptions {
  readonly all: boolean;
  /** The n newest, also stopped ones; 0 or less = no limit. */
  readonly limit: number;
  readonly size: boolean;
  readonly filters: Filters;
}

/** Containers as objects. */
export interface ContainersApi {
  create(request: ContainerCreateRequest, options: ContainerCreateOptions): Promise<ContainerCreateResponse>;
  list(options: ContainerListOptions): Promise<ContainerSummary[]>;
  inspect(ref: string, options: { readonly size: boolean }): Promise<ContainerInspectResponse>;
  /** Why it ended, did not start, or is not well. */
  explain(ref: string): Promise<Explanation>;
  rename(ref: string, newName: string): Promise<void>;
  update(ref: string, request: ContainerUpdateRequest): Promise<ContainerUpdateResponse>;
  remove(ref: string, options: { readonly force: boolean; readonly volumes: boolean; readonly link: boolean }): Promise<void>;
  prune(filters: Filters): Promise<{ readonly ContainersDeleted: string[] | null; readonly SpaceReclaimed: number }>;
}

export type WaitCondition = "not-running" | "next-exit" | "removed";

/** How to start a container. The client's going away ends it only while a volume or the source of a mount is waited for. */
export interface StartOptions extends CallOptions {
  readonly detachKeys?: string | undefined;
  /** Its processes go on from there. */
  readonly checkpoint?: string | undefined;
  /** Where the checkpoint is, when that is not with the container. */
  readonly checkpointDir?: string | undefined;
}

/** What a container's process can be told. */
export interface ContainerLifecycleApi {
  start(ref: string, options: StartOptions): Promise<void>;
  /** `timeoutS`: undefined = the container's own (10 s), -1 = wait for ever, 0 = kill at once. */
  stop(ref: string, options: { readonly timeoutS?: number | undefined; readonly signal?: string | undefined }): Promise<void>;
  restart(ref: string, options: { readonly timeoutS?: number | undefined; readonly signal?: string | undefined }): Promise<void>;
  kill(ref: string, signal: string): Promise<void>;
  pause(ref: string): Promise<void>;
  unpause(ref: string): Promise<void>;
  /** Resolves once the wait is registered (a server then sends its headers); `exit` settles when the condition is met. */
  wait(ref: string, condition: WaitCondition, options: CallOptions): Promise<{ readonly exit: Promise<ContainerWaitResponse> }>;
}

/** Body of POST /containers/{id}/checkpoints. */
export interface CheckpointRequest {
  readonly CheckpointID?: string | undefined;
  /** A directory of the host for it; with the container when left out. */
  readonly CheckpointDir?: string | undefined;
  /** End the processes with it. */
  readonly Exit?: boolean | undefined;
}

/** A checkpoint as GET /containers/{id}/checkpoints shows it. */
export interface CheckpointSummary {
  readonly Name: string;
}

/** What containers' processes are, written to files. `dir`: where a client has them made. */
export interface CheckpointsApi {
  create(ref: string, request: CheckpointRequest): Promise<void>;
  list(ref: string, options: { readonly dir?: string | undefined }): Promise<CheckpointSummary[]>;
  remove(ref: string, id: string, options: { readonly dir?: string | undefined }): Promise<void>;
}
