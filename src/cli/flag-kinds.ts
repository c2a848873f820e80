import { parseDuration } from "../lib/mod.ts";
import { csvFields } from "./csv.ts";

/** A type of flag: how its text is read, and what `--help` calls it. Errors of `parse` are shown after `invalid argument "x" for "--flag" flag: `. */
export interface Kind<V> {
  readonly initial: V;
  /** The word for the value in the usage; none for a flag that takes no value. */
  readonly word?: string;
  /** What `--flag` without a value stands for. */
  readonly bare?: string;
  parse(text: string, previous: V): V;
}

/** One flag of a command. */
export interface Flag<V = unknown> {
  readonly kind: Kind<V>;
  readonly help: string;
  readonly short?: string;
  /** Left out of `--help`. */
  readonly isHidden?: boolean;
  /** Docker's command has no such flag: left out of `docker … --help`. */
  readonly isOwn?: boolean;
  /** The flag that this is another name of. */
  readonly alias?: string;
  readonly initial?: V;
  /** What a user of a deprecated flag is told. */
  readonly deprecated?: string;
  readonly word?: string;
}

function parseBool(text: string): boolean {
  if (["1", "t", "T", "TRUE", "true", "True"].includes(text)) return true;
  if (["0", "f", "F", "FALSE", "false", "False"].includes(text)) return false;
  throw new Error(`strconv.ParseBool: parsing ${JSON.stringify(text)}: invalid syntax`);
}

function integer(call: string, min: bigint, max: bigint): (text: string) => number {
  return (text) => {
    const isSigned = min < 0n;
    const digits = text.replace(/_/g, "");
    if (!(isSigned ? /^[+-]?(0x[0-9a-f]+|0o?[0-7]*|0b[01]+|\d+)$/i : /^(0x[0-9a-f]+|0o?[0-7]*|0b[01]+|\d+)$/i).test(digits)) {
      throw new Error(`strconv.${call}: parsing ${JSON.stringify(text)}: invalid syntax`);
    }
    const isNegative = digits.startsWith("-");
    const body = digits.replace(/^[+-]/, "");
    const value = BigInt(/^0\d+$/.test(body) ? `0o${body.slice(1)}` : body) * (isNegative ? -1n : 1n);
    if (value < min || value > max) throw new Error(`strconv.${call}: parsing ${JSON.stringify(text)}: value out of range`);
    return Number(value);
  };
}

export const BOOLEAN: Kind<boolean> = { initial: false, bare: "true", parse: parseBool };
export const STRING: Kind<string> = { initial: "", word: "string", parse: (text) => text };
export const INT: Kind<number> = { initial: 0, word: "int", parse: integer("ParseInt", -(2n ** 63n), 2n ** 63n - 1n) };
export const UINT: Kind<number> = { initial: 0, word: "uint", parse: integer("ParseUint", 0n, 2n ** 64n - 1n) };
export const UINT16: Kind<number> = { initial: 0, word: "uint16", parse: integer("ParseUint", 0n, 65535n) };
/** A flag that may be given again. */
export const LIST: Kind<readonly string[]> = { initial: [], word: "list", parse: (text, previous) => [...previous, text] };

/** A list whose items are checked, or changed, one by one. */
export function listOf(check: (text: string) => string): Kind<readonly string[]> {
  return { initial: [], word: "list", parse: (text, previous) => [...previous, check(text)] };
}

/** A list that also splits at commas. */
export const STRINGS: Kind<readonly string[]> = {
  initial: [],
  word: "strings",
  parse: (text, previous) => [...previous, ...(text === "" ? [] : csvFields(text))],
};

/** `key=value`, again and again. */
export const MAP: Kind<Readonly<Record<string, string>>> = {
  initial: {},
  word: "map",
  parse: (text, previous) => {
    const at = text.indexOf("=");
    return { ...previous, [at < 0 ? text : text.slice(0, at)]: at < 0 ? "" : text.slice(at + 1) };
  },
};

/** A list of `key=value`, or `key` alone, as a map; the last one of a key counts. */
export function pairs(list: readonly string[]): Record<string, string> {
  return Object.fromEntries(
    list.map((text) => {
      const at = text.indexOf("=");
      return at < 0 ? [text, ""] : [text.slice(0, at), text.slice(at + 1)];
    }),
  );
}

/** `--filter key=value`: all values of a key. */
export const FILTER: Kind<Readonly<Record<string, readonly string[]>>> = {
  initial: {},
  word: "filter",
  parse: (text, previous) => {
    if (text === "") return previous;
    const at = text.indexOf("=");
    if (at < 0) throw new Error("bad format of filter (expected name=value)");
    const isNegated = text.charAt(at - 1) === "!";
    const key = `${text
      .slice(0, isNegated ? at - 1 : at)
      .trim()
      .toLowerCase()}${isNegated ? "!" : ""}`;
    const value = text.slice(at + 1).trim();
    const values = previous[key] ?? [];
    return { ...previous, [key]: values.includes(value) ? values : [...values, value] };
  },
};

/** Nanoseconds. */
export const DURATION: Kind<number> = {
  initial: 0,
  word: "duration",
  parse: (text) => {
    const ns = parseDuration(text);
    if (ns !== undefined) return Number(ns);
    if (/^[+-]?(\d+\.?\d*|\.\d+)$/.test(text)) throw new Error(`time: missing unit in duration ${JSON.stringify(text)}`);
    const unit = /^[+-]?(?:(?:\d+\.?\d*|\.\d+)(?:ns|us|µs|ms|s|m|h))*(?:\d+\.?\d*|\.\d+)([^\d.]+)/.exec(text)?.[1];
    if (unit !== undefined) throw new Error(`time: unknown unit ${JSON.stringify(unit)} in duration ${JSON.stringify(text)}`);
    throw new Error(`time: invalid duration ${JSON.stringify(text)}`);
  },
};

/** A duration that is sent as it was written. */
export const DURATION_TEXT: Kind<string> = {
  initial: "",
  word: "duration",
  parse: (text) => {
    DURATION.parse(text, 0);
    return text;
  },
};

/** Bytes, with docker's units: 512, 64m, 1.5g. @throws Error in the words of docker's units package */
export function parseSize(text: string): number {
  const match = /^(.*[\d.])( ?)([^\d.]*)$/s.exec(text);
  const number = match?.[1] ?? "";
  if (!match) throw new Error(`invalid size: '${text}'`);
  if (!/^[+-]?(\d+\.?\d*|\.\d+)$/.test(number)) throw new Error(`strconv.ParseFloat: parsing ${JSON.stringify(number)}: invalid syntax`);
  const value = Number(number);
  if (value < 0) throw new Error(`invalid size: '${text}'`);
  const suffix = (match[3] ?? "").toLowerCase();
  if (suffix === "" || suffix === "b") return Math.trunc(value);
  const power = "_kmgtp".indexOf(suffix.charAt(0));
  if (power <= 0 || !["", "b", "ib"].includes(suffix.slice(1))) throw new Error(`invalid suffix: '${match[3] ?? ""}'`);
  return Math.trunc(value * 1024 ** power);
}

export const BYTES: Kind<number> = { initial: 0, word: "bytes", parse: parseSize };
/** Bytes; -1 is "unlimited". */
export const SWAP_BYTES: Kind<number> = { initial: 0, word: "bytes", parse: (text) => (text === "-1" ? -1 : parseSize(text)) };

/** CPUs, in billionths. */
export const CPUS: Kind<number> = {
  initial: 0,
  word: "decimal",
  parse: (text) => {
    const fraction = /^([+-]?\d+)\/(\d+)$/.exec(text);
    const value = fraction ? Number(fraction[1]) / Number(fraction[2]) : Number(text);
    if (text.trim() === "" || Number.isNaN(value)) throw new Error(`failed to parse ${text} as a rational number`);
    const nano = value * 1e9;
    if (Math.abs(nano - Math.round(nano)) > 1e-6) throw new Error("value is too precise");
    return Math.round(nano);
  },
};
