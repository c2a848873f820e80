/** Nanoseconds since the epoch, by the system's clock: also when that was set, or corrected, since the program's start. */
export function nowNs(): bigint {
  return Temporal.Now.instant().epochNanoseconds;
}

/** Go's zero time, which Docker shows for "never". */
export const ZERO_TIME = "0001-01-01T00:00:00Z";

/** `ns` since the epoch in Go's RFC3339Nano form, UTC: trailing zeros of the fraction are dropped. */
export function formatTime(ns: bigint): string {
  const seconds = ns / 1_000_000_000n;
  const fraction = (ns % 1_000_000_000n).toString().padStart(9, "0").replace(/0+$/, "");
  const base = new Date(Number(seconds) * 1000).toISOString().slice(0, 19);
  return fraction === "" ? `${base}Z` : `${base}.${fraction}Z`;
}

/** A duration of whole nanoseconds as Go prints it: `300ms`, `1.5s`, `1m0s`. */
export function formatDuration(ns: number): string {
  if (ns === 0) return "0s";
  for (const [unit, size] of [
    ["ns", 1],
    ["µs", 1e3],
    ["ms", 1e6],
  ] as const) {
    if (ns < Math.min(size * 1000, 1e9)) return `${ns / size}${unit}`;
  }
  const [hours, minutes] = [Math.trunc(ns / 3600e9), Math.trunc((ns % 3600e9) / 60e9)];
  return `${hours > 0 ? `${hours}h` : ""}${hours > 0 || minutes > 0 ? `${minutes}m` : ""}${(ns % 60e9) / 1e9}s`;
}

/** Nanoseconds since the epoch of an RFC 3339 time, to the nanosecond; null for the zero time and for what is no time. */
export function parseTime(text: string): bigint | null {
  const match = /^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)$/.exec(text);
  if (!match || text === ZERO_TIME) return null;
  const ms = Date.parse(`${match[1]}${match[3]}`);
  if (Number.isNaN(ms)) return null;
  return BigInt(ms) * 1_000_000n + BigInt((match[2] ?? "").padEnd(9, "0"));
}
