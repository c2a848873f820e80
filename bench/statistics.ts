/** The statistics of a row, and the table. */

/** What a figure's numbers count. Less is better in all of them. */
export type Unit = "ms" | "s" | "MiB" | "µs" | "%" | "processes";

/** One line of the table, before it was measured. */
export interface Figure {
  readonly title: string;
  readonly unit: Unit;
  /** Only dhow is measured. */
  readonly isAlone?: boolean;
  /** Where to get: at most this share of dockerd's number, or this number itself; without one the line is for information. */
  readonly target?: { readonly kind: "ratio" | "value"; readonly max: number };
}

/** A measured line; a side that failed has no samples. */
export interface Result extends Figure {
  readonly dhow: readonly number[];
  readonly dockerd: readonly number[];
}

/** The middle one of `samples`, the mean of the middle two when their number is even; undefined without any. */
export function median(samples: readonly number[]): number | undefined {
  const sorted = samples.toSorted((a, b) => a - b);
  const upper = sorted[Math.floor(sorted.length / 2)];
  const lower = sorted[Math.ceil(sorted.length / 2) - 1];
  return upper === undefined || lower === undefined ? undefined : (upper + lower) / 2;
}

/** The least sample that `share` of all samples don't exceed; 0 without any. */
export function quantile(samples: readonly number[], share: number): number {
  return samples.toSorted((a, b) => a - b)[Math.max(0, Math.ceil(samples.length * share) - 1)] ?? 0;
}

/** dhow's median as a share of dockerd's; undefined when a side failed. */
export function ratioOf({ dhow, dockerd }: Result): number | undefined {
  const [mine, theirs] = [median(dhow), median(dockerd)];
  return mine === undefined || theirs === undefined || theirs === 0 ? undefined : mine / theirs;
}

/** Whether the target is reached; undefined when there is none, or no number. */
export function isReached(result: Result): boolean | undefined {
  if (!result.target) return undefined;
  const found = result.target.kind === "ratio" ? ratioOf(result) : median(result.dhow);
  // what the table prints as equal is equal
  return found === undefined ? undefined : Number(found.toFixed(2)) <= result.target.max;
}

function show(samples: readonly number[], unit: Unit): string {
  const value = median(samples);
  if (value === undefined) return "failed";
  return `${Math.abs(value) >= 100 ? value.toFixed(0) : value.toPrecision(3)} ${unit}`;
}

function showTarget({ target, unit }: Figure): string {
  if (!target) return "";
  return target.kind === "ratio" ? `≤ ${target.max}` : `≤ ${target.max} ${unit}`;
}

/** The table as Markdown, one line per result. */
export function renderTable(results: readonly Result[]): string {
  const verdicts = { true: "yes", false: "**no**", undefined: "" } as const;
  const lines = results.map((result) => [
    result.title,
    show(result.dhow, result.unit),
    result.isAlone ? "" : show(result.dockerd, result.unit),
    ratioOf(result)?.toFixed(2) ?? "",
    showTarget(result),
    verdicts[`${isReached(result)}`],
  ]);
  const head = ["row", "dhow", "dockerd", "ratio", "target", "reached?"];
  return [head, ["---", "--:", "--:", "--:", "--:", "---"], ...lines].map((cells) => `| ${cells.join(" | ")} |`).join("\n");
}
