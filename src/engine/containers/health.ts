import { formatTime, nowNs } from "../../lib/mod.ts";
import type { Health, HealthConfig, HealthcheckResult } from "../../spec/engine/mod.ts";

const OUTPUT_LIMIT_BYTES = 4096;
const RESULTS_KEPT = 5;
const DEFAULT_INTERVAL_NS = 30_000_000_000;
const DEFAULT_TIMEOUT_NS = 30_000_000_000;
const DEFAULT_START_INTERVAL_NS = 5_000_000_000;
const DEFAULT_RETRIES = 3;

export interface ProbeResult {
  readonly exitCode: number;
  readonly output: string;
}

export interface HealthDeps {
  /** Runs the check in the container; rejects when the signal aborts it or it can't start. */
  readonly probe: (command: readonly string[], signal: AbortSignal) => Promise<ProbeResult>;
  /** Called whenever the status changes. */
  readonly changed: (status: string) => void;
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

/** Watches a running container's health by its HEALTHCHECK, from start to stop of its process. */
export class HealthMonitor implements Disposable {
  readonly #config: HealthConfig;
  readonly #command: readonly string[];
  readonly #deps: HealthDeps;
  readonly #startedMs = Date.now();
  readonly #log: HealthcheckResult[] = [];
  readonly #abort = new AbortController();
  #status = "starting";
  #streak = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(config: HealthConfig, command: readonly string[], deps: HealthDeps) {
    this.#config = config;
    this.#command = command;
    this.#deps = deps;
    this.#schedule();
  }

  get health(): Health {
    return { Status: this.#status, FailingStreak: this.#streak, Log: [...this.#log] };
  }

  #isStarting(): boolean {
    return this.#status === "starting" && Date.now() - this.#startedMs < (this.#config.StartPeriod ?? 0) / 1e6;
  }

  #schedule(): void {
    const interval = this.#isStarting()
      ? this.#config.StartInterval || DEFAULT_START_INTERVAL_NS
      : this.#config.Interval || DEFAULT_INTERVAL_NS;
    this.#timer = setTimeout(() => void this.#check(), interval / 1e6);
  }

  async #check(): Promise<void> {
    const start = nowNs();
    const wasStarting = this.#isStarting();
    const timeoutMs = (this.#config.Timeout || DEFAULT_TIMEOUT_NS) / 1e6;
    const timeout = AbortSignal.timeout(timeoutMs);
    let result: ProbeResult;
    try {
      result = await this.#deps.probe(this.#command, AbortSignal.any([timeout, this.#abort.signal]));
    } catch (error) {
      const text = error instanceof Error ? error.message : String(error);
      result = { exitCode: -1, output: timeout.aborted ? `Health check exceeded timeout (${timeoutMs / 1000}s)` : text };
    }
    if (this.#abort.signal.aborted) return;
    this.#record(start, result, wasStarting);
    this.#schedule();
  }

  #record(start: bigint, result: ProbeResult, wasStarting: boolean): void {
    const output = Buffer.from(result.output).subarray(0, OUTPUT_LIMIT_BYTES).toString();
    this.#log.push({ Start: formatTime(start), End: formatTime(nowNs()), ExitCode: result.exitCode, Output: output });
    if (this.#log.length > RESULTS_KEPT) this.#log.shift();
    const before = this.#status;
    if (result.exitCode === 0) {
      this.#streak = 0;
      this.#status = "healthy";
    } else if (!wasStarting) {
      this.#streak++;
      if (this.#streak >= (this.#config.Retries || DEFAULT_RETRIES)) this.#status = "unhealthy";
    }
    if (this.#status !== before) this.#deps.changed(this.#status);
  }

  [Symbol.dispose](): void {
    this.#abort.abort();
    clearTimeout(this.#timer);
  }
}
