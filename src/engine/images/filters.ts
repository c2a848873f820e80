import { DhowError, errorMessage, nowNs, parseDuration, parseTime } from "../../lib/mod.ts";
import type { Filters } from "../../spec/engine/mod.ts";

/** @throws invalid "invalid filter 'x'" for a key that the call does not know */
export function checkFilters(filters: Filters, known: readonly string[]): void {
  for (const key of Object.keys(filters)) if (!known.includes(key)) throw new DhowError("invalid", `invalid filter '${key}'`);
}

/** A filter that is true or false. @throws invalid for any other value, or several */
export function boolFilter(filters: Filters, key: string, byDefault: boolean): boolean {
  const values = filters[key] ?? [];
  if (values.length === 0) return byDefault;
  const isTrue = values.some((value) => value === "1" || value.toLowerCase() === "true");
  const isFalse = values.some((value) => value === "0" || value.toLowerCase() === "false");
  if (isTrue === isFalse || values.length > 1) throw new DhowError("invalid", `invalid filter '${key}=[${values.join(" ")}]'`);
  return isTrue;
}

function matchesPair(labels: Readonly<Record<string, string>>, wanted: string): boolean {
  const at = wanted.indexOf("=");
  return at < 0 ? Object.hasOwn(labels, wanted) : labels[wanted.slice(0, at)] === wanted.slice(at + 1);
}

/** Whether labels pass the filters `label` (all must be there) and `label!` (none may be). */
export function labelsMatch(filters: Filters, labels: Readonly<Record<string, string>> | null | undefined): boolean {
  const own = labels ?? {};
  return (
    (filters["label"] ?? []).every((wanted) => matchesPair(own, wanted)) &&
    !(filters["label!"] ?? []).some((wanted) => matchesPair(own, wanted))
  );
}

/**
 * A point in time as docker's `until` and `since` take it: a duration before now (`24h`), RFC 3339 with or without its parts, or seconds since the
 * epoch with a fraction. Nanoseconds. @throws invalid
 */
export function parseTimestamp(text: string): bigint {
  const duration = parseDuration(text);
  if (duration !== undefined) return nowNs() - duration;
  const seconds = /^(\d+)(?:\.(\d{1,9}))?$/.exec(text);
  if (seconds) return BigInt(seconds[1] ?? "0") * 1_000_000_000n + BigInt((seconds[2] ?? "").padEnd(9, "0"));
  const parts = /^(\d{4}-\d\d-\d\d)(?:T(\d\d)(?::(\d\d))?(?::(\d\d(?:\.\d{1,9})?))?)?(Z|[+-]\d\d:\d\d)?$/.exec(text);
  const [, day, hour = "00", minute = "00", second = "00", zone = "Z"] = parts ?? [];
  const time = parts ? parseTime(`${day}T${hour}:${minute}:${second}${zone}`) : null;
  if (time === null) throw new DhowError("invalid", `failed to parse value as time or duration: ${JSON.stringify(text)}`);
  return time;
}

/** The filter `until` of a list, which may be there several times. Nanoseconds since the epoch. @throws invalid */
export function untilFilters(filters: Filters): bigint[] {
  return (filters["until"] ?? []).map((value) => {
    try {
      return parseTimestamp(value);
    } catch (error) {
      throw new DhowError("invalid", `invalid value for 'until' filter: ${errorMessage(error)}`, { cause: error });
    }
  });
}

/** The filter `until` of a prune, in nanoseconds since the epoch; undefined when it is not set. @throws invalid for several values */
export function untilFilter(filters: Filters): bigint | undefined {
  const values = filters["until"] ?? [];
  if (values.length > 1) throw new DhowError("invalid", "more than one until filter specified");
  return values[0] === undefined ? undefined : parseTimestamp(values[0]);
}
