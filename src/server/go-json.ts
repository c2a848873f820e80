import { DhowError } from "../lib/mod.ts";
import { scanJson } from "./go-syntax.ts";

/**
 * The type that a JSON value is decoded into, as Go's `encoding/json` knows it. `go` is the type's name in messages.
 * `strings` is Docker's StrSlice: a list of strings or one string.
 */
export type GoType =
  | { readonly kind: "string" }
  | { readonly kind: "bool" }
  | { readonly kind: "int"; readonly go: string; readonly min: number; readonly max: number }
  | { readonly kind: "any" }
  | { readonly kind: "empty" }
  | { readonly kind: "strings" }
  | { readonly kind: "slice"; readonly of: GoType; readonly pointers: boolean }
  | { readonly kind: "map"; readonly of: GoType }
  | { readonly kind: "struct"; readonly name: string; readonly package: string; readonly fields: Fields };

/** A field; `embedded` is the embedded struct it is promoted from. */
export interface Field {
  readonly type: GoType;
  readonly embedded?: string;
}

export interface Fields {
  readonly exact: ReadonlyMap<string, Field>;
  readonly folded: ReadonlyMap<string, string>;
}

export const string: GoType = { kind: "string" };
export const bool: GoType = { kind: "bool" };
export const any: GoType = { kind: "any" };
export const empty: GoType = { kind: "empty" };
export const strings: GoType = { kind: "strings" };
const INT64 = 2 ** 63;
export const int64: GoType = { kind: "int", go: "int64", min: -INT64, max: INT64 };
export const int: GoType = { kind: "int", go: "int", min: -INT64, max: INT64 };
export const duration: GoType = { kind: "int", go: "time.Duration", min: -INT64, max: INT64 };
export const uint: GoType = { kind: "int", go: "uint", min: 0, max: 2 * INT64 };
export const uint64: GoType = { kind: "int", go: "uint64", min: 0, max: 2 * INT64 };
export const uint32: GoType = { kind: "int", go: "uint32", min: 0, max: 2 ** 32 - 1 };
export const uint16: GoType = { kind: "int", go: "uint16", min: 0, max: 2 ** 16 - 1 };
export const fileMode: GoType = { kind: "int", go: "os.FileMode", min: 0, max: 2 ** 32 - 1 };

/** A list; `pointers` only shows in messages (`[]*T`). */
export function slice(of: GoType, pointers = false): GoType {
  return { kind: "slice", of, pointers };
}

/** A map with string keys. */
export function map(of: GoType): GoType {
  return { kind: "map", of };
}

/** A struct of Docker's; the fields of `embedded` structs are promoted. */
export function struct(
  qualifiedName: string,
  fields: Readonly<Record<string, GoType>>,
  embedded: Readonly<Record<string, Readonly<Record<string, GoType>>>> = {},
): GoType & { readonly kind: "struct" } {
  const [pkg = "", name = ""] = qualifiedName.split(".");
  const exact = new Map<string, Field>();
  for (const [part, promoted] of Object.entries(embedded)) {
    for (const [key, type] of Object.entries(promoted)) exact.set(key, { type, embedded: part });
  }
  for (const [key, type] of Object.entries(fields)) exact.set(key, { type });
  const folded = new Map([...exact.keys()].map((key) => [key.toLowerCase(), key]));
  return { kind: "struct", name, package: pkg, fields: { exact, folded } };
}

function goName(type: GoType, inner = false): string {
  switch (type.kind) {
    case "int":
      return type.go;
    case "any":
      return "interface {}";
    case "empty":
      return "struct {}";
    case "strings":
      return inner ? "strslice.StrSlice" : "string";
    case "slice":
      return `[]${type.pointers ? "*" : ""}${goName(type.of, true)}`;
    case "map":
      return `map[string]${goName(type.of, true)}`;
    case "struct":
      return `${type.package}.${type.name}`;
    default:
      return type.kind;
  }
}

interface Context {
  /** Name of the innermost struct, and the path to the field from the root. */
  readonly struct: string;
  readonly path: string;
}

/** A number whose text says more than JavaScript's value of it: `1.0`, `1e3`, one beyond 2^53. Go reads the text. */
class Numeral {
  readonly text: string;
  readonly value: number;

  constructor(text: string, value: number) {
    this.text = text;
    this.value = value;
  }

  /** Whether Go takes it for that type. */
  fits(min: number, max: number): boolean {
    if (!/^-?\d+$/.test(this.text) || (min === 0 && this.text.startsWith("-"))) return false;
    const exact = BigInt(this.text);
    // bounds of 64 bits are not to be had as a number: the upper one is the first that is too large
    return exact >= BigInt(min) && (max >= INT64 ? exact < BigInt(max) : exact <= BigInt(max));
  }
}

const NUMERALS = /\d[.eE]|\d{16}|-0/;
const PLAIN = /^(?:0|-?[1-9]\d{0,14})$/;

type Reviver = (key: string, value: unknown, context: { readonly source?: string }) => unknown;

const keepNumerals: Reviver = (_, value, { source }) =>
  typeof value === "number" && source !== undefined && !PLAIN.test(source) ? new Numeral(source, value) : value;

function parseJson(text: string): unknown {
  return NUMERALS.test(text) ? JSON.parse(text, keepNumerals as (this: unknown, key: string, value: unknown) => unknown) : JSON.parse(text);
}

/** JSON of any form as it is. */
function plain(value: unknown): unknown {
  if (value instanceof Numeral) return value.value;
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, plain(item)]));
}

function isObject(value: unknown): value is object {
  return typeof value === "object" && value !== null && !Array.isArray(value) && !(value instanceof Numeral);
}

/** What the value is called in messages; numbers that don't fit are shown. */
function valueName(value: unknown): string {
  if (value instanceof Numeral) return "number";
  if (Array.isArray(value)) return "array";
  if (typeof value === "boolean") return "bool";
  return typeof value;
}

class Decoder {
  /** Go goes on after a type error and reports the first one. */
  firstError: string | undefined;
  /** Embedded structs of the root of which a field was seen: Go allocates exactly these. */
  readonly seen = new Set<string>();

  #mismatch(value: unknown, type: GoType, context: Context | null, shown = valueName(value)): undefined {
    if (this.firstError === undefined) {
      const into = context === null ? "Go value" : `Go struct field ${context.struct}.${context.path}`;
      this.firstError = `json: cannot unmarshal ${shown} into ${into} of type ${goName(type)}`;
    }
    return undefined;
  }

  decode(value: unknown, type: GoType, context: Context | null): unknown {
    if (value === null) return undefined;
    switch (type.kind) {
      case "any":
        return plain(value);
      case "string":
        return typeof value === "string" ? value : this.#mismatch(value, type, context);
      case "bool":
        return typeof value === "boolean" ? value : this.#mismatch(value, type, context);
      case "int":
        if (value instanceof Numeral) {
          return value.fits(type.min, type.max) ? value.value : this.#mismatch(value, type, context, `number ${value.text}`);
        }
        if (typeof value !== "number") return this.#mismatch(value, type, context);
        if (!Number.isInteger(value) || value < type.min || value > type.max)
          return this.#mismatch(value, type, context, `number ${value}`);
        return value;
      case "empty":
        return isObject(value) ? {} : this.#mismatch(value, type, context);
      case "strings":
        return this.#strings(value, context);
      case "slice":
        if (!Array.isArray(value)) return this.#mismatch(value, type, context);
        // a null among pointers is one to nothing, which dockerd falls over later: nothing is meant by it
        return (type.pointers ? value.filter((item) => item !== null) : value).map(
          (item) => this.decode(item, type.of, context) ?? zero(type.of),
        );
      case "map":
        if (!isObject(value)) return this.#mismatch(value, type, context);
        return Object.fromEntries(
          Object.entries(value)
            .map(([key, item]) => [key, this.decode(item, type.of, context) ?? zero(type.of)] as const)
            .sort(byKey),
        );
      case "struct":
        if (!isObject(value)) return this.#mismatch(value, type, context);
        return this.#struct(value, type, context);
      default: {
        const never: never = type;
        return never;
      }
    }
  }

  #strings(value: unknown, context: Context | null): unknown {
    if (typeof value === "string") return [value];
    if (!Array.isArray(value)) return this.#mismatch(value, strings, context);
    if (value.every((item) => typeof item === "string" || item === null)) return value.map((item) => item ?? "");
    return this.#mismatch(value, strings, context, "array");
  }

  #struct(value: object, type: GoType & { readonly kind: "struct" }, context: Context | null): Record<string, unknown> {
    const result: Record<string, unknown> = {};
    for (const [key, item] of Object.entries(value)) {
      const { exact, folded } = type.fields;
      const name = exact.has(key) ? key : folded.get(key.toLowerCase());
      if (name === undefined) continue;
      const field = exact.get(name);
      if (field === undefined) continue;
      if (context === null && field.embedded !== undefined) this.seen.add(field.embedded);
      const local = field.embedded === undefined ? name : `${field.embedded}.${name}`;
      const path = context === null ? local : `${context.path}.${local}`;
      const decoded = this.decode(item, field.type, { struct: type.name, path });
      if (decoded !== undefined) result[name] = decoded;
    }
    return result;
  }
}

/** Go's maps have no order of their own: it prints them by key. */
function byKey([a]: readonly [string, unknown], [b]: readonly [string, unknown]): number {
  return a < b ? -1 : 1;
}

/** What Go leaves in a list or map for a `null`. */
function zero(type: GoType): unknown {
  switch (type.kind) {
    case "string":
      return "";
    case "bool":
      return false;
    case "int":
      return 0;
    case "empty":
    case "struct":
      return {};
    default:
      return null;
  }
}

/** A decoded body, and which embedded structs of its root were mentioned at all. */
export interface Decoded {
  readonly value: Readonly<Record<string, unknown>>;
  readonly seen: ReadonlySet<string>;
}

/**
 * Decodes a request body as dockerd does: keys in any case, unknown keys ignored, `null` = not given. Of keys that mean the same field
 * the last one counts, where Go merges objects.
 * `emptyText` is what is said of an empty body.
 * @throws invalid with dockerd's and Go's words: no JSON, trailing data, a value of another type.
 */
export function decodeJson(text: string, type: GoType, emptyText = "got EOF while reading request body"): Decoded {
  let raw: unknown;
  let trailing = false;
  try {
    raw = parseJson(text);
  } catch {
    const scan = scanJson(text);
    if (scan.kind === "empty") throw new DhowError("invalid", `invalid JSON: ${emptyText}`);
    if (scan.kind === "error") throw new DhowError("invalid", `invalid JSON: ${scan.message}`);
    trailing = true;
    raw = parseJson(text.slice(0, scan.end));
  }
  const decoder = new Decoder();
  const value = decoder.decode(raw, type, null);
  if (decoder.firstError !== undefined) throw new DhowError("invalid", `invalid JSON: ${decoder.firstError}`);
  if (trailing) throw new DhowError("invalid", "unexpected content after JSON");
  return { value: (value ?? {}) as Record<string, unknown>, seen: decoder.seen };
}
