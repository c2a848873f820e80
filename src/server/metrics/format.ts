/** Metrics and their text. @see https://prometheus.io/docs/instrumenting/exposition_formats/ version 0.0.4 */

export type Labels = Readonly<Record<string, string>>;

/** One number of a metric. `suffix` is what a histogram's parts add to its name. */
export interface Sample {
  readonly labels?: Labels;
  readonly value: number;
  readonly suffix?: "_bucket" | "_sum" | "_count";
}

/** A metric, read when it is asked for. */
export interface Metric {
  readonly name: string;
  readonly help: string;
  readonly type: "counter" | "gauge" | "histogram";
  read(): Iterable<Sample>;
}

function escapeHelp(text: string): string {
  return text.replaceAll("\\", "\\\\").replaceAll("\n", "\\n");
}

function labelText(labels: Labels | undefined): string {
  const pairs = Object.entries(labels ?? {}).map(([name, value]) => `${name}="${escapeHelp(value).replaceAll('"', '\\"')}"`);
  return pairs.length === 0 ? "" : `{${pairs.join(",")}}`;
}

function numberText(value: number): string {
  if (value === Number.POSITIVE_INFINITY) return "+Inf";
  if (value === Number.NEGATIVE_INFINITY) return "-Inf";
  return String(value);
}

/** The text of `metrics`, in the order of their names. */
export function formatMetrics(metrics: readonly Metric[]): string {
  const sorted = [...metrics].sort((a, b) => (a.name < b.name ? -1 : 1));
  return sorted
    .map(({ name, help, type, read }) => {
      const lines = [...read()].map(({ suffix = "", labels, value }) => `${name}${suffix}${labelText(labels)} ${numberText(value)}\n`);
      return `# HELP ${name} ${escapeHelp(help)}\n# TYPE ${name} ${type}\n${lines.join("")}`;
    })
    .join("");
}

/** The bounds that Prometheus' own client has, in seconds. */
const BOUNDS: readonly number[] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];

interface Distribution {
  readonly counts: number[];
  sum: number;
  count: number;
}

/** How long things took, by the value of one label. */
export class Histogram implements Metric {
  readonly name: string;
  readonly help: string;
  readonly type = "histogram";
  readonly #label: string;
  readonly #byValue = new Map<string, Distribution>();

  /** dockerd's has each of `values` from the start, as if it had once taken no time. */
  constructor(name: string, help: string, label: { readonly name: string; readonly values?: readonly string[] }) {
    this.name = name;
    this.help = help;
    this.#label = label.name;
    for (const value of label.values ?? []) this.observe(value, 0);
  }

  observe(value: string, seconds: number): void {
    let found = this.#byValue.get(value);
    if (found === undefined) {
      found = { counts: BOUNDS.map(() => 0), sum: 0, count: 0 };
      this.#byValue.set(value, found);
    }
    const index = BOUNDS.findIndex((bound) => seconds <= bound);
    if (index >= 0) found.counts[index] = (found.counts[index] ?? 0) + 1;
    found.sum += seconds;
    found.count++;
  }

  readonly read = (): Iterable<Sample> => {
    const values = [...this.#byValue].sort(([a], [b]) => (a < b ? -1 : 1));
    return values.flatMap(([value, distribution]) => this.#samples({ [this.#label]: value }, distribution));
  };

  #samples(labels: Labels, { counts, sum, count }: Distribution): Sample[] {
    let below = 0;
    const buckets = BOUNDS.map((bound, index): Sample => {
      below += counts[index] ?? 0;
      return { suffix: "_bucket", labels: { ...labels, le: String(bound) }, value: below };
    });
    return [
      ...buckets,
      { suffix: "_bucket", labels: { ...labels, le: "+Inf" }, value: count },
      { suffix: "_sum", labels, value: sum },
      { suffix: "_count", labels, value: count },
    ];
  }
}
