import { printf } from "./printf.ts";
import { isTrue, Nil, toJson, toText } from "./value.ts";

export type TemplateFunction = (...args: readonly unknown[]) => unknown;

/** A function and how many arguments it wants. */
export interface FunctionSpec {
  readonly call: TemplateFunction;
  readonly min: number;
  readonly max: number;
  /** The arguments that must be strings, by number: Go looks at their types before the call. */
  readonly strings?: readonly number[];
}

function fn(min: number, max: number, call: TemplateFunction, strings: readonly number[] = []): FunctionSpec {
  return { call, min, max, strings };
}

/** More spaces than any terminal has columns. */
const PAD_MAX = 1 << 28;
const MANY = Number.POSITIVE_INFINITY;

function basicKind(value: unknown): string {
  if (typeof value === "string") return "string";
  if (typeof value === "number") return Number.isInteger(value) ? "int" : "float";
  if (typeof value === "boolean") return "bool";
  throw new Error("invalid type for comparison");
}

function equal(a: unknown, b: unknown): boolean {
  if (a instanceof Nil || b instanceof Nil) return (a ?? null) === null || (b ?? null) === null;
  if (a === null || a === undefined || b === null || b === undefined) return (a ?? null) === (b ?? null);
  if (basicKind(a) !== basicKind(b)) throw new Error("incompatible types for comparison");
  return a === b;
}

function less(a: unknown, b: unknown): boolean {
  if (basicKind(a) !== basicKind(b)) throw new Error("incompatible types for comparison");
  if (typeof a === "boolean") throw new Error("invalid type for comparison");
  return (a as string | number) < (b as string | number);
}

function length(value: unknown): number {
  if (typeof value === "string") return Buffer.byteLength(value);
  if (Array.isArray(value)) return value.length;
  if (value instanceof Nil) return 0;
  if (value === null || value === undefined) throw new Error("len of nil pointer");
  if (typeof value === "object") return Object.keys(value).length;
  throw new Error(`len of type ${basicKind(value)}`);
}

function index(value: unknown, ...keys: readonly unknown[]): unknown {
  let current = value;
  for (const key of keys) {
    if (current instanceof Nil) {
      if (current.text === "map[]") return "";
      throw new Error(`index out of range: ${toText(key)}`);
    }
    if (current === null || current === undefined) throw new Error("index of untyped nil");
    if (Array.isArray(current) || typeof current === "string") {
      if (typeof key !== "number") throw new Error(`cannot index slice/array with type ${typeof key}`);
      if (key < 0 || key >= current.length) throw new Error(`index out of range: ${key}`);
      current = typeof current === "string" ? current.charCodeAt(key) : current[key];
    } else if (typeof current === "object") {
      if (typeof key !== "string") throw new Error(`value has type ${basicKind(key)}; should be string`);
      current = Object.hasOwn(current, key) ? (current as Record<string, unknown>)[key] : "";
    } else {
      throw new Error(`can't index item of type ${basicKind(current)}`);
    }
  }
  return current;
}

/** fmt.Sprint: spaces only between neighbours that are no strings. */
function print(...values: readonly unknown[]): string {
  return values
    .map((value, i) => (i > 0 && typeof value !== "string" && typeof values[i - 1] !== "string" ? " " : "") + toText(value, true))
    .join("");
}

function slice(value: unknown, ...bounds: readonly unknown[]): unknown {
  const [from = 0, to] = bounds as readonly number[];
  if (typeof value === "string" || Array.isArray(value)) return value.slice(from, to);
  throw new Error(`can't slice item of type ${basicKind(value)}`);
}

function strings(value: unknown): readonly string[] {
  if (value === null || value === undefined || value instanceof Nil) return [];
  if (!Array.isArray(value)) throw new Error(`wrong type for value; expected []string; got ${typeof value}`);
  return value.map((item) => toText(item, true));
}

function title(text: string): string {
  return text.replace(/(^|[^\p{L}\p{Nd}_'])(\p{Ll})/gu, (_, before: string, letter: string) => before + letter.toUpperCase());
}

function truncate(text: string, width: number): string {
  if (width < 0) throw new Error(`runtime error: slice bounds out of range [:${width}]`);
  return [...text].slice(0, width).join("");
}

function pad(source: string, before: number, after: number): string {
  if (source !== "" && Math.min(before, after) < 0) throw new Error("strings: negative Repeat count");
  if (before + after > PAD_MAX) throw new Error("strings: Repeat output length overflow");
  return source === "" ? source : " ".repeat(before) + source + " ".repeat(after);
}

const HTML: Readonly<Record<string, string>> = { "<": "&lt;", ">": "&gt;", "&": "&amp;", '"': "&#34;", "'": "&#39;" };

/** What the escaping functions are given: no value is said to be none. */
function shown(values: readonly unknown[]): string {
  return print(...values.map((value) => value ?? "<no value>"));
}

/** Go's JSEscape. */
function escapeJs(text: string): string {
  return text.replace(/[\\'"]/g, "\\$&").replace(/[<>&=\p{C}]/gu, (char) => {
    const code = char.codePointAt(0) ?? 0;
    return `\\u${code.toString(16).toUpperCase().padStart(4, "0")}`;
  });
}

/** Go's url.QueryEscape: what JavaScript leaves as it is, too. */
function escapeQuery(text: string): string {
  const escaped = encodeURIComponent(text.toWellFormed()).replaceAll("%20", "+");
  return escaped.replace(/[!'()*]/g, (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`);
}

/** Go's functions and docker's. `and` and `or` are the executor's. */
export const FUNCTIONS: Readonly<Record<string, FunctionSpec>> = {
  and: fn(1, MANY, (...values) => values.find((value) => !isTrue(value)) ?? values.at(-1)),
  or: fn(1, MANY, (...values) => values.find(isTrue) ?? values.at(-1)),
  not: fn(1, 1, (value) => !isTrue(value)),
  len: fn(1, 1, length),
  index: fn(1, MANY, index),
  slice: fn(1, 4, slice),
  print: fn(0, MANY, print),
  println: fn(0, MANY, (...values) => `${values.map((value) => toText(value, true)).join(" ")}\n`),
  printf: fn(1, MANY, (format, ...values) => printf(String(format), values), [0]),
  html: fn(0, MANY, (...values) => shown(values).replace(/[<>&"']/g, (char) => HTML[char] ?? char)),
  js: fn(0, MANY, (...values) => escapeJs(shown(values))),
  urlquery: fn(0, MANY, (...values) => escapeQuery(shown(values))),
  eq: fn(1, MANY, (first, ...rest) => {
    if (rest.length === 0) throw new Error("missing argument for comparison");
    return rest.some((other) => equal(first, other));
  }),
  ne: fn(2, 2, (a, b) => !equal(a, b)),
  lt: fn(2, 2, less),
  le: fn(2, 2, (a, b) => less(a, b) || equal(a, b)),
  gt: fn(2, 2, (a, b) => less(b, a)),
  ge: fn(2, 2, (a, b) => !less(a, b)),
  json: fn(1, 1, (value) => toJson(value ?? null)),
  split: fn(2, 2, (text, separator) => String(text).split(String(separator)), [0, 1]),
  join: fn(2, 2, (list, separator) => strings(list).join(String(separator)), [1]),
  title: fn(1, 1, (text) => title(String(text)), [0]),
  lower: fn(1, 1, (text) => String(text).toLowerCase(), [0]),
  upper: fn(1, 1, (text) => String(text).toUpperCase(), [0]),
  pad: fn(3, 3, (text, before, after) => pad(String(text), Number(before), Number(after)), [0]),
  truncate: fn(2, 2, (text, width) => truncate(String(text), Number(width)), [0]),
};

const same = fn(1, 1, (value) => value);

/** What functions do to the heads of columns: they stay what they are. */
export const HEADER_FUNCTIONS: Readonly<Record<string, FunctionSpec>> = {
  ...FUNCTIONS,
  json: same,
  title: same,
  lower: same,
  upper: same,
  join: fn(2, 2, (value) => value),
  split: fn(2, 2, (value) => value),
  truncate: fn(2, 2, (value) => value),
  println: fn(0, MANY, (...values) => `${values.map((value) => toText(value, true)).join(" ")}\n`),
};
