import { DhowError, rawUint } from "../../lib/mod.ts";
import { type HostConfig, ULIMIT_NAMES } from "../../spec/engine/mod.ts";
import type { OciRlimit, OciUint64 } from "../../spec/oci-runtime/mod.ts";
import type { HostFacts } from "../host.ts";

const CAP_SYS_RESOURCE = 1n << 24n;
const UNLIMITED = rawUint((1n << 64n) - 1n);

export type Ulimit = NonNullable<NonNullable<HostConfig["Ulimits"]>[number]>;

export interface LimitResult {
  readonly rlimits: readonly OciRlimit[];
  readonly warnings: readonly string[];
}

/** A host that lets nobody raise a limit: so it is for who is in a user namespace. */
export function withoutRaising(facts: HostFacts): HostFacts {
  return { ...facts, effectiveCapabilities: facts.effectiveCapabilities & ~CAP_SYS_RESOURCE };
}

const mayRaise = (facts: HostFacts): boolean => (facts.effectiveCapabilities & CAP_SYS_RESOURCE) !== 0n;

/** What the daemon can give at most: its own hard limit without CAP_SYS_RESOURCE; fs.nr_open bounds nofile in any case. */
function ceiling(name: string, facts: HostFacts): number {
  const own = mayRaise(facts) ? Number.POSITIVE_INFINITY : (facts.rlimits[name]?.hard ?? Number.POSITIVE_INFINITY);
  return name === "nofile" ? Math.min(own, facts.nrOpen) : own;
}

const toUint = (value: number): OciUint64 => (value === Number.POSITIVE_INFINITY ? UNLIMITED : value);
const show = (value: number): string => (value === Number.POSITIVE_INFINITY ? "unlimited" : String(value));

/**
 * The rlimits for `--ulimit` values over the daemon's defaults, lowered to what the daemon may set, with a warning for each that was.
 * @throws invalid for a name that doesn't exist
 */
export function containerRlimits(
  ulimits: readonly Ulimit[] | null | undefined,
  defaults: readonly Ulimit[],
  facts: HostFacts,
): LimitResult {
  const given = ulimits ?? [];
  const names = new Set(given.map((u) => u.Name));
  const rlimits: OciRlimit[] = [];
  const warnings: string[] = [];
  for (const limit of [...given, ...defaults.filter((d) => !names.has(d.Name))]) {
    const name = (limit.Name ?? "").toLowerCase();
    if (!ULIMIT_NAMES.has(name)) throw new DhowError("invalid", `invalid ulimit type: ${limit.Name ?? ""}`);
    const wanted = (value: number | undefined): number => (value === undefined || value < 0 ? Number.POSITIVE_INFINITY : value);
    const most = ceiling(name, facts);
    const askedHard = limit.Hard === undefined ? wanted(limit.Soft) : wanted(limit.Hard);
    const hard = Math.min(askedHard, most);
    const soft = Math.min(wanted(limit.Soft), hard);
    // -1 means "as much as there is", so the ceiling is what was asked for.
    if (hard < askedHard && askedHard !== Number.POSITIVE_INFINITY) {
      warnings.push(`ulimit ${name}=${show(askedHard)} is more than this daemon may set. Limited to ${show(hard)}.`);
    }
    rlimits.push({ type: `RLIMIT_${name.toUpperCase()}`, soft: toUint(soft), hard: toUint(hard) });
  }
  return { rlimits, warnings };
}

/** The oom_score_adj to write, raised to what the daemon may set; undefined when the container inherits it anyway. */
export function containerOomScoreAdj(
  wanted: number,
  facts: HostFacts,
): { readonly value: number | undefined; readonly warnings: readonly string[] } {
  const least = mayRaise(facts) ? -1000 : facts.oomScoreAdj;
  const value = Math.max(wanted, least);
  const warnings = value > wanted && wanted !== 0 ? [`oom-score-adj ${wanted} is less than this daemon may set. Limited to ${value}.`] : [];
  return { value: value === facts.oomScoreAdj ? undefined : value, warnings };
}

/** What a container's user is told of the limits that `hostConfig` asks for and this daemon has to clamp. @throws invalid for a name that doesn't exist */
export function clampWarnings(hostConfig: HostConfig, facts: HostFacts): readonly string[] {
  return [
    ...containerRlimits(hostConfig.Ulimits, [], facts).warnings,
    ...containerOomScoreAdj(hostConfig.OomScoreAdj ?? 0, facts).warnings,
  ];
}
