import { DhowError, parseDuration } from "../lib/mod.ts";
import type { Filters } from "../spec/engine/mod.ts";

/** A request's query: docker's forms of flags, numbers, filters and times. */
export class Query {
  readonly #params: URLSearchParams | null;

  constructor(raw: string) {
    this.#params = raw === "" ? null : new URLSearchParams(raw);
  }

  /** The first value of `key`, or "" when there is none. */
  text(key: string): string {
    return this.#params?.get(key) ?? "";
  }

  /** All values of `key`. */
  all(key: string): string[] {
    return this.#params?.getAll(key) ?? [];
  }

  has(key: string): boolean {
    return this.#params?.has(key) ?? false;
  }

  /** A value that is given, or undefined. */
  optional(key: string): string | undefined {
    return this.#params?.get(key) ?? undefined;
  }

  /** Docker's booleans: everything but empty, `0`, `no`, `false` and `none` is true; `absent` when the key is not there. */
  flag(key: string, absent = false): boolean {
    const value = this.#params?.get(key);
    if (value === null || value === undefined) return absent;
    return !["", "0", "no", "false", "none"].includes(value.trim().toLowerCase());
  }

  /** A whole number, undefined when empty. @throws invalid */
  integer(key: string): number | undefined {
    const value = this.text(key);
    if (value === "") return undefined;
    if (!/^[+-]?\d+$/.test(value)) throw new DhowError("invalid", `strconv.Atoi: parsing ${goQuote(value)}: invalid syntax`);
    const number = Number(value);
    if (!Number.isSafeInteger(number)) throw new DhowError("invalid", `strconv.Atoi: parsing ${goQuote(value)}: value out of range`);
    return number;
  }

  /** A size of a terminal. @throws invalid, as dockerd says it: `invalid resize height "x": invalid syntax` */
  dimension(key: string, what: string): number {
    const value = this.text(key);
    if (!/^-?\d+$/.test(value)) throw new DhowError("invalid", `invalid resize ${what} ${goQuote(value)}: invalid syntax`);
    const number = Number(value);
    if (value.startsWith("-") || number > 0xffff_ffff)
      throw new DhowError("invalid", `invalid resize ${what} ${goQuote(value)}: value out of range`);
    return number;
  }

  /** The `filters` parameter; with `accepted`, other keys are refused. @throws invalid */
  filters(accepted?: ReadonlySet<string>): Filters {
    return parseFilters(this.text("filters"), accepted);
  }
}

/** A string as Go's `%q` prints it; close enough to JSON for what comes in a query. */
export function goQuote(text: string): string {
  return JSON.stringify(text);
}

/**
 * Parses docker's filters: `{"label":{"a":true}}` or the older `{"label":["a"]}`.
 * @throws invalid `invalid filter`, or `invalid filter 'x'` for a key that is not in `accepted`
 */
export function parseFilters(text: string, accepted?: ReadonlySet<string>): Filters {
  if (text === "") return {};
  const filters = filterLists(text);
  if (accepted !== undefined) {
    for (const key of Object.keys(filters)) {
      if (!accepted.has(key)) throw new DhowError("invalid", `invalid filter '${key}'`);
    }
  }
  return filters;
}

function filterLists(text: string): Filters {
  const invalid = new DhowError("invalid", "invalid filter");
  let raw: unknown;
  try {
    raw = JSON.parse(text);
  } catch {
    throw invalid;
  }
  if (raw === null) return {};
  if (typeof raw !== "object" || Array.isArray(raw)) throw invalid;
  return Object.fromEntries(
    Object.entries(raw).map(([key, value]: [string, unknown]) => {
      if (value === null) return [key, []];
      if (Array.isArray(value)) {
        if (!value.every((item) => typeof item === "string")) throw invalid;
        return [key, value];
      }
      if (typeof value !== "object" || !Object.values(value).every((item) => typeof item === "boolean")) throw invalid;
      return [key, Object.keys(value)];
    }),
  );
}

/**
 * A point in time as clients send it, in nanoseconds since the epoch: seconds with an optional fraction,
 * an RFC 3339 time (also without zone or time of day), or a Go duration back from `nowMs`.
 * @throws invalid with Go's words
 */
export function parseTimestamp(text: string, nowMs: number, errorPrefix = ""): bigint {
  const seconds = /^(-?)(\d+)(?:\.(\d+))?$/.exec(text);
  if (seconds !== null) {
    const [, sign, whole = "0", fraction = ""] = seconds;
    if (whole.length > 19 || BigInt(whole) > MOST_SECONDS) throw timestampError(text, errorPrefix, "value out of range");
    const ns = BigInt(whole) * 1_000_000_000n + BigInt(fraction.slice(0, 9).padEnd(9, "0"));
    return sign === "-" ? -ns : ns;
  }
  const duration = parseDuration(text);
  if (duration !== undefined) return BigInt(nowMs) * 1_000_000n - duration;
  const date = /^(\d{4}-\d\d-\d\d)(?:T(\d\d:\d\d)(?::(\d\d)(?:\.(\d+))?)?)?(Z|[+-]\d\d:\d\d)?$/.exec(text);
  if (date !== null) {
    const [, day, minute = "00:00", second = "00", fraction = "", zone = "Z"] = date;
    const ms = Date.parse(`${day}T${minute}:${second}${zone}`);
    if (!Number.isNaN(ms)) return BigInt(ms) * 1_000_000n + BigInt(fraction.slice(0, 9).padEnd(9, "0"));
  }
  throw timestampError(text, errorPrefix, "invalid syntax");
}

/** The most that Go's 64 bits hold. */
const MOST_SECONDS = 2n ** 63n - 1n;

function timestampError(text: string, prefix: string, why: string): DhowError {
  const seconds = text.split(".", 1)[0] ?? "";
  return new DhowError("invalid", `${prefix}invalid timestamp ${goQuote(text)}: invalid seconds ${goQuote(seconds)}: ${why}`);
}

/** `os[/arch[/variant]]` of a JSON-encoded OCI platform. @throws invalid */
export function parsePlatform(text: string): string {
  try {
    const raw: unknown = JSON.parse(text);
    if (typeof raw !== "object" || raw === null || Array.isArray(raw)) throw new DhowError("invalid", "not an object");
    const { os, architecture, variant } = raw as { readonly os?: unknown; readonly architecture?: unknown; readonly variant?: unknown };
    const parts = [os, architecture, variant].filter((part): part is string => typeof part === "string" && part !== "");
    if (typeof os !== "string" || typeof architecture !== "string")
      throw new DhowError("invalid", "both OS and Architecture must be provided");
    return parts.join("/");
  } catch (cause) {
    const why = cause instanceof DhowError ? cause.message : "invalid JSON";
    throw new DhowError("invalid", `failed to parse platform: ${why}`, { cause });
  }
}
