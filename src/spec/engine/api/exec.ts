import type { ProcessConfig } from "../dto.ts";
import type { CallOptions } from "./call.ts";
import type { AttachSession } from "./streams.ts";

/** Body of POST /containers/{id}/exec. */
export interface ExecCreateRequest {
  readonly AttachStdin?: boolean | undefined;
  readonly AttachStdout?: boolean | undefined;
  readonly AttachStderr?: boolean | undefined;
  readonly ConsoleSize?: readonly number[] | null | undefined;
  readonly DetachKeys?: string | undefined;
  readonly Tty?: boolean | undefined;
  readonly Env?: readonly string[] | null | undefined;
  readonly Cmd?: readonly string[] | null | undefined;
  readonly Privileged?: boolean | undefined;
  readonly User?: string | undefined;
  readonly WorkingDir?: string | undefined;
}

export interface ExecStartRequest {
  readonly Detach?: boolean | undefined;
  readonly Tty?: boolean | undefined;
  readonly ConsoleSize?: readonly number[] | null | undefined;
}

export interface ExecStartOptions extends CallOptions {
  readonly onAccepted?: (() => void) | undefined;
}

export interface ExecInspectResponse {
  readonly CanRemove: boolean;
  /** The keys' bytes, in base64. */
  readonly DetachKeys: string;
  readonly ID: string;
  readonly Running: boolean;
  readonly ExitCode: number | null;
  readonly ProcessConfig: ProcessConfig;
  readonly OpenStdin: boolean;
  readonly OpenStderr: boolean;
  readonly OpenStdout: boolean;
  readonly ContainerID: string;
  readonly Pid: number;
}

export interface ExecApi {
  create(containerRef: string, request: ExecCreateRequest): Promise<{ readonly Id: string }>;
  /** Resolves when the process runs; null when detached. `onAccepted` is called when it is about to be started. */
  start(id: string, request: ExecStartRequest, options: ExecStartOptions): Promise<AttachSession | null>;
  inspect(id: string): Promise<ExecInspectResponse>;
  resize(id: string, size: { readonly rows: number; readonly columns: number }): Promise<void>;
}
