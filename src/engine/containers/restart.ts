import type { RestartPolicy } from "../../spec/engine/mod.ts";

const FIRST_DELAY_MS = 100;
const LONGEST_DELAY_MS = 60_000;
/** A container that ran as long is taken to have started well: the delay begins anew. */
const GOOD_RUN_MS = 10_000;

export interface RestartInput {
  readonly policy: RestartPolicy;
  readonly exitCode: number;
  readonly hasBeenManuallyStopped: boolean;
  /** Restarts made by the policy since the user started it. */
  readonly restartCount: number;
  readonly ranMs: number;
  /** The delay before the last restart; 0 before the first. */
  readonly lastDelayMs: number;
  /** It was ended because it was unhealthy, to be started again whatever its policy. */
  readonly isUnhealthyRestart?: boolean | undefined;
}

/** How long to wait before starting a container again, in ms; undefined to leave it ended. Docker's back-off. */
export function restartDelay(input: RestartInput): number | undefined {
  if (input.hasBeenManuallyStopped || !wantsRestart(input)) return undefined;
  const last = input.ranMs >= GOOD_RUN_MS ? 0 : input.lastDelayMs;
  return last === 0 ? FIRST_DELAY_MS : Math.min(last * 2, LONGEST_DELAY_MS);
}

function wantsRestart({ policy, exitCode, restartCount, isUnhealthyRestart }: RestartInput): boolean {
  if (isUnhealthyRestart) return true;
  switch (policy.Name) {
    case "always":
    case "unless-stopped":
      return true;
    case "on-failure": {
      const most = policy.MaximumRetryCount ?? 0;
      return exitCode !== 0 && (most === 0 || restartCount < most);
    }
    default:
      return false;
  }
}

/** Whether the daemon starts a container when it comes up and finds it ended. */
export function isStartedWithDaemon(policy: RestartPolicy, hasBeenManuallyStopped: boolean): boolean {
  return policy.Name === "always" || (policy.Name === "unless-stopped" && !hasBeenManuallyStopped);
}
