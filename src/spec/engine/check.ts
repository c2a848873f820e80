/** GET and POST /system/check, dhow's own: what is damaged or left over, and what became of it. */
export interface CheckReport {
  /** In the order in which they were made. */
  readonly Checks: readonly CheckResult[];
  /** What was found in all. */
  readonly Found: number;
  readonly Fixed: number;
  /** What is still to be done; 0: all is well. */
  readonly Left: number;
}

/** `leftover`: takes room and nothing else. `damage`: something does not work, or will not. */
export type CheckSeverity = "leftover" | "damage";

/** `found`: a repair would put it right. `damaged`: a repair can't. */
export type CheckStatus = "ok" | "found" | "fixed" | "damaged";

/** One check. */
export interface CheckResult {
  readonly Id: string;
  /** What was looked at. */
  readonly Text: string;
  readonly Severity: CheckSeverity;
  /** What a repair does; empty when it can do nothing. */
  readonly Repair: string;
  /** The worst of its problems'. */
  readonly Status: CheckStatus;
  readonly Problems: readonly CheckProblem[];
}

/** One thing that is not as it must be. */
export interface CheckProblem {
  readonly What: string;
  readonly Status: Exclude<CheckStatus, "ok">;
  /** What the user can do about what a repair leaves; empty when it leaves nothing. */
  readonly Advice: string;
  /** Why the repair failed; empty when it did not. */
  readonly Error: string;
}

export interface CheckOptions {
  /** Puts right what can be. */
  readonly repair: boolean;
  /** Reads every file of every layer and every log, too. */
  readonly deep: boolean;
  readonly signal?: AbortSignal | undefined;
}
