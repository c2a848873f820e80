import type { OutputChunk, StdStream } from "../../spec/engine/mod.ts";

/** Which part of a log to read, and how its lines shall look. */
export interface LogReadOptions {
  readonly stdout: boolean;
  readonly stderr: boolean;
  /** Nanoseconds since the epoch; 0n = unbounded. */
  readonly sinceNs: bigint;
  readonly untilNs: bigint;
  /** Number of last lines; -1 = all. */
  readonly tail: number;
  /** Put the time (RFC 3339, nanoseconds) before each line. */
  readonly timestamps: boolean;
  /** Put the attributes before each line. */
  readonly details: boolean;
  /** Go on until the writer is closed, or until `untilNs`. */
  readonly follow: boolean;
  readonly signal?: AbortSignal | undefined;
}

/** Everything, as it was written. */
export const WHOLE_LOG: LogReadOptions = {
  stdout: true,
  stderr: true,
  sinceNs: 0n,
  untilNs: 0n,
  tail: -1,
  timestamps: false,
  details: false,
  follow: false,
};

/** The one writer of a container's log; it lives as long as the container runs (and its pipes hold something). */
export interface LogWriter {
  /**
   * Takes at most `length` bytes out of a non-blocking pipe into the log, and copies them to `into` when given.
   * Returns how many new bytes there were, 0 at the end of the pipe, -1 when it holds nothing new. Never throws for a full disk:
   * the bytes are dropped from the log then, and still copied.
   */
  pump(pipe: number, stream: StdStream, length: number, into: Uint8Array | null): number;
  /** Writes bytes that are in memory. Never throws for a full disk. */
  append(stream: StdStream, data: Uint8Array): void;
  /** Takes what is left of an ended pipe: an unfinished last line. */
  finish(pipe: number, stream: StdStream): void;
  /** Flushes and closes; followers end. */
  close(): void;
  /** Whether it asks for no more at the moment: its receiver is behind. It calls `onRoom` once it takes bytes again. */
  readonly isFull: boolean;
}

/** The part of a driver that sends a log elsewhere. */
export interface RemoteEnd {
  /** Goes on where the last daemon stopped sending. */
  resume(): void;
  /** Nothing runs that writes: lets the connection go when nothing is left to send. */
  release(): void;
  /** Waits until everything is sent, but not for ever, and stops: the log is about to be deleted. */
  finish(timeoutMs: number): Promise<void>;
}

/** A log of one container, on disk or nowhere. */
export interface LogDriver {
  readonly name: string;
  readonly canRead: boolean;
  /** Set when the log goes elsewhere, too. */
  readonly remote?: RemoteEnd;
  /** Makes sure before a start that the log can be written. @throws for a tag that is none, a receiver that can't be reached */
  prepare(): Promise<void> | undefined;
  /** Opens the log for writing and repairs what a killed writer left. @throws {SysError} */
  open(onRoom: () => void): LogWriter;
  /**
   * Reads what is there now; with `follow` also what an open writer adds. Position `before` is what `mark` gave: reading stops there.
   * @throws unsupported
   */
  read(options: LogReadOptions, before?: LogMark): AsyncIterable<OutputChunk>;
  /** The place where the open writer is. */
  mark(): LogMark | undefined;
  /** Forgets what was written until now; a writer may be open and followers may be reading. @throws unsupported when it keeps none */
  clear(): void;
  /** What it takes on disk (or in memory, where it is only on its way). */
  sizeBytes(): number;
  /** Where `docker inspect` says the log is; empty when it is in no file of docker's form. */
  readonly path: string;
}

/** A place in a log: segment number and bytes of each stream in it. */
export interface LogMark {
  readonly segment: number;
  readonly stdout: number;
  readonly stderr: number;
}

/** The time for log entries, nanoseconds since the epoch. */
export type ClockNs = () => bigint;

const NS_PER_S = 1_000_000_000n;

/** RFC 3339 in UTC with nine digits of the second, as docker prints it with `--timestamps`. */
export function formatNs(ns: bigint): string {
  const seconds = new Date(Number(ns / NS_PER_S) * 1000).toISOString().slice(0, 19);
  return `${seconds}.${String(ns % NS_PER_S).padStart(9, "0")}Z`;
}

/** The attributes as `--details` shows them: sorted, `key=value`, URL-escaped, joined by commas. */
export function formatAttributes(attributes: Readonly<Record<string, string>>): string {
  const quote = (text: string): string => encodeURIComponent(text).replace(/%20/g, "+");
  return Object.keys(attributes)
    .sort()
    .map((key) => `${quote(key)}=${quote(attributes[key] ?? "")}`)
    .join(",");
}
