/** GET /containers/{id}/why, dhow's own: why a container ended, did not start, or is not well. */
export interface Explanation {
  readonly Id: string;
  readonly Name: string;
  readonly Status: string;
  readonly ExitCode: number;
  /** What explains it best first; never empty. */
  readonly Findings: readonly Finding[];
}

export type FindingCause =
  | "running"
  | "created"
  | "ended"
  | "failed"
  | "out-of-memory"
  | "signal"
  | "not-found"
  | "not-executable"
  | "interpreter"
  | "library"
  | "architecture"
  | "port"
  | "mount"
  | "disk"
  | "descriptors"
  | "health"
  | "runtime"
  | "restarts";

/** One thing that is known. */
export interface Finding {
  readonly Cause: FindingCause;
  /** A sentence. */
  readonly Text: string;
  /** What it is known by: numbers, lines of the log, times. */
  readonly Evidence: readonly string[];
  /** What to do; empty when there is nothing to be done. */
  readonly Advice: string;
}
