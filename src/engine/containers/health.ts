import { errorMessage, formatDuration, formatTime, nowNs, parseTime } from "../../lib/mod.ts";
import type { Health, HealthConfig, HealthcheckResult } from "../../spec/engine/mod.ts";

const OUTPUT_LIMIT_BYTES = 4096;
const RESULTS_KEPT = 5;
const DEFAULT_INTERVAL_NS = 30_000_000_000;
const DEFAULT_TIMEOUT_NS = 30_000_000_000;
const DEFAULT_START_INTERVAL_NS = 5_000_000_000;
const DEFAULT_RETRIES = 3;

/** What is known of a container's health. */
export interface HealthState {
  readonly status: "starting" | "healthy" | "unhealthy";
  readonly failingStreak: number;
  /** The last five, oldest first. */
  readonly log: readonly HealthcheckResult[];
}

/** At a start: what was found in earlier runs stays in the log. */
export function initialHealth(former: HealthState | undefined): HealthState {
  return { status: "starting", failingStreak: 0, log: former?.log ?? [] };
}

/** In docker's form. */
export function healthOf({ status, failingStreak, log }: HealthState): Health {
  return { Status: status, FailingStreak: failingStreak, Log: [...log] };
}

/** Checks since the daemon's start. */
export interface HealthCounts {
  checks: number;
  failed: number;
}

export interface HealthDeps {
  /** Runs the check in the container; `output` gets what it prints. Rejects when the signal aborts it or it can't start. */
  readonly probe: (command: readonly string[], signal: AbortSignal, output: (data: Uint8Array) => void) => Promise<number>;
  readonly health: () => HealthState;
  /** Keeps what a check has found. */
  readonly record: (health: HealthState) => void;
}

/** The command of a health check; undefined when there is none to run. */
export function healthCommand(
  config: HealthConfig | undefined,
  shell: readonly string[] | null | undefined,
): readonly string[] | undefined {
  const test = config?.Test ?? [];
  if (test[0] === "CMD") return test.slice(1);
  if (test[0] === "CMD-SHELL") return [...(shell?.length ? shell : ["/bin/sh", "-c"]), test.slice(1).join(" ")];
  return undefined;
}

/** Whether the checks themselves say that it is unhealthy: one that is paused, or was a moment ago, is called so without having failed. */
export function hasFailed({ failingStreak }: HealthState, config: HealthConfig): boolean {
  return failingStreak >= (config.Retries || DEFAULT_RETRIES);
}

/** What a container's health is after one more result. Before a first success, failures in the start period don't count. */
export function nextHealth(
  health: HealthState,
  result: NonNullable<HealthcheckResult>,
  config: HealthConfig,
  startedAt: string,
): HealthState {
  const log = [...health.log.slice(1 - RESULTS_KEPT), result];
  if (result.ExitCode === 0) return { status: "healthy", failingStreak: 0, log };
  const sinceStartNs = Number((parseTime(result.Start ?? "") ?? 0n) - (parseTime(startedAt) ?? 0n));
  if (health.status === "starting" && sinceStartNs < (config.StartPeriod ?? 0)) return { ...health, log };
  const next = { ...health, failingStreak: health.failingStreak + 1, log };
  return hasFailed(next, config) ? { ...next, status: "unhealthy" } : next;
}

/** As much of a check's output as docker keeps. */
class CappedText {
  readonly #parts: Uint8Array[] = [];
  #length = 0;

  add(data: Uint8Array): void {
    if (this.#length <= OUTPUT_LIMIT_BYTES) this.#parts.push(Uint8Array.from(data));
    this.#length += data.length;
  }

  get text(): string {
    const kept = Buffer.concat(this.#parts).subarray(0, OUTPUT_LIMIT_BYTES).toString();
    return this.#length > OUTPUT_LIMIT_BYTES ? `${kept}...` : kept;
  }
}

/** Watches a running container's health by its HEALTHCHECK, until it is disposed of. */
export class HealthMonitor implements Disposable {
  readonly #config: HealthConfig;
  readonly #command: readonly string[];
  readonly #startedAt: string;
  readonly #deps: HealthDeps;
  readonly #abort = new AbortController();
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(check: { readonly config: HealthConfig; readonly command: readonly string[]; readonly startedAt: string }, deps: HealthDeps) {
    this.#config = check.config;
    this.#command = check.command;
    this.#startedAt = check.startedAt;
    this.#deps = deps;
    this.#schedule();
  }

  #schedule(): void {
    const sinceStartNs = nowNs() - (parseTime(this.#startedAt) ?? 0n);
    const isStarting = this.#deps.health().status === "starting" && sinceStartNs < BigInt(Math.trunc(this.#config.StartPeriod ?? 0));
    const intervalNs = isStarting ? this.#config.StartInterval || DEFAULT_START_INTERVAL_NS : this.#config.Interval || DEFAULT_INTERVAL_NS;
    this.#timer = setTimeout(() => void this.#check(), intervalNs / 1e6);
  }

  async #check(): Promise<void> {
    const start = formatTime(nowNs());
    const { exitCode, output } = await this.#probe();
    if (this.#abort.signal.aborted) return;
    const result = { Start: start, End: formatTime(nowNs()), ExitCode: exitCode, Output: output };
    this.#deps.record(nextHealth(this.#deps.health(), result, this.#config, this.#startedAt));
    // recording may have ended the watch
    if (!this.#abort.signal.aborted) this.#schedule();
  }

  async #probe(): Promise<{ readonly exitCode: number; readonly output: string }> {
    const timeoutNs = this.#config.Timeout || DEFAULT_TIMEOUT_NS;
    const timeout = AbortSignal.timeout(timeoutNs / 1e6);
    const printed = new CappedText();
    try {
      const exitCode = await this.#deps.probe(this.#command, AbortSignal.any([timeout, this.#abort.signal]), (data) => printed.add(data));
      return { exitCode, output: printed.text };
    } catch (error) {
      if (!timeout.aborted) return { exitCode: -1, output: errorMessage(error) };
      const output = `Health check exceeded timeout (${formatDuration(timeoutNs)})`;
      return { exitCode: -1, output: printed.text === "" ? output : `${output}: ${printed.text}` };
    }
  }

  [Symbol.dispose](): void {
    this.#abort.abort();
    clearTimeout(this.#timer);
  }
}
