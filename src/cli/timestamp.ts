import { nowNs, parseDuration, parseTime } from "../lib/mod.ts";

const LOCAL = /^(\d{4})-(\d\d)-(\d\d)(?:T(\d\d)(?::(\d\d)(?::(\d\d)(?:\.(\d{1,9}))?)?)?)?(Z|[+-]\d\d:\d\d)?$/;

/**
 * Nanoseconds since the epoch of what `--since` takes: `10m` (ago), `2026-01-02T15:04:05Z` or a part of that, seconds since the epoch.
 * @throws Error in docker's words
 */
export function parseTimestamp(text: string): bigint {
  const ago = parseDuration(text);
  if (ago !== undefined && text !== "0") return nowNs() - ago;
  const unix = /^(\d+)(?:\.(\d{1,9}))?$/.exec(text);
  if (unix) return BigInt(unix[1] ?? "0") * 1_000_000_000n + BigInt((unix[2] ?? "").padEnd(9, "0"));
  const match = LOCAL.exec(text);
  if (match) {
    const [, year, month, day, hour = "00", minute = "00", second = "00", fraction = "", zone = ""] = match;
    const whole = `${year}-${month}-${day}T${hour}:${minute}:${second}`;
    const ns = parseTime(zone === "" ? new Date(whole).toISOString().replace(/\.\d+Z$/, "Z") : `${whole}${zone}`);
    if (ns !== null) return ns + BigInt(fraction.padEnd(9, "0"));
  }
  throw new Error(`failed to parse value as time or duration: ${JSON.stringify(text)}`);
}
