import type { ContainerStatsResponse, ContainerTopResponse } from "../dto.ts";
import type { CallOptions } from "./call.ts";

/** Where bytes of an attached process come from; numbered as in the multiplexed stream's header. */
export type StdStream = "stdout" | "stderr";

/** A piece of output. The receiver must be done with `data` (or have copied it) before it asks for the next chunk. */
export interface OutputChunk {
  readonly stream: StdStream;
  readonly data: Uint8Array;
}

/** A two-way connection with a container's or an exec's process. */
export interface AttachSession {
  /** Whether there is a terminal: then `output` has only stdout, raw. */
  readonly tty: boolean;
  /** Ends when the process's output ends, the client detached, or `close` was called; throws when the log or pipe fails. */
  readonly output: AsyncIterable<OutputChunk>;
  /** Writes to stdin; resolves when the process's pipe took it (back-pressure). Rejected bytes after the process ended are dropped. */
  write(data: Uint8Array): Promise<void>;
  /** No more stdin (half-close). */
  closeStdin(): void;
  /** Gives the connection up; the process goes on. */
  close(): void;
}

export interface AttachOptions extends CallOptions {
  /** Replay the log first. */
  readonly logs: boolean;
  /** Stay connected; without it only the log is replayed. */
  readonly stream: boolean;
  readonly stdin: boolean;
  readonly stdout: boolean;
  readonly stderr: boolean;
  /** `ctrl-p,ctrl-q` form; undefined takes the daemon's default, empty means none. */
  readonly detachKeys?: string | undefined;
}

export interface LogsOptions extends CallOptions {
  readonly follow: boolean;
  readonly stdout: boolean;
  readonly stderr: boolean;
  readonly timestamps: boolean;
  readonly details: boolean;
  /** Nanoseconds since the epoch; 0n = unbounded. */
  readonly sinceNs: bigint;
  readonly untilNs: bigint;
  /** Number of last lines; -1 = all. */
  readonly tail: number;
}

export interface LogSession {
  readonly tty: boolean;
  readonly output: AsyncIterable<OutputChunk>;
}

/** What goes in and out of a container's process. */
export interface ContainerStreamsApi {
  attach(ref: string, options: AttachOptions): Promise<AttachSession>;
  logs(ref: string, options: LogsOptions): Promise<LogSession>;
  /** Forgets what a container has written until now: not part of Docker's API. */
  clearLogs(ref: string): Promise<void>;
  resize(ref: string, size: { readonly rows: number; readonly columns: number }): Promise<void>;
  top(ref: string, psArgs: string): Promise<ContainerTopResponse>;
  /** One object per second with `stream`, else one and the end; `oneShot` skips the first (pre-)sample. */
  stats(
    ref: string,
    options: { readonly stream: boolean; readonly oneShot: boolean } & CallOptions,
  ): Promise<AsyncIterable<ContainerStatsResponse>>;
}
