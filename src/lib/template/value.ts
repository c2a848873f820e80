/** A Go struct with methods, as templates see docker's rows: fields by name, methods that take arguments apart from them. */
export class Struct {
  /** `*formatter.ContainerContext`: shown in errors. */
  readonly typeName: string;
  /** A function is called when its field is asked for. */
  readonly fields: Readonly<Record<string, unknown>>;
  readonly methods: Readonly<Record<string, (...args: readonly unknown[]) => unknown>>;
  /** Whether it is a map in truth: a field that it lacks is no value, and no error. */
  readonly isOpen: boolean;

  constructor(
    typeName: string,
    fields: Readonly<Record<string, unknown>>,
    methods: Readonly<Record<string, (...args: readonly unknown[]) => unknown>> = {},
    isOpen = false,
  ) {
    this.typeName = typeName;
    this.fields = fields;
    this.methods = methods;
    this.isOpen = isOpen;
  }

  get(name: string): unknown {
    const value = this.fields[name];
    return typeof value === "function" ? value() : value;
  }
}

/** A nil of a known Go type: prints as that does, counts as empty. */
export class Nil {
  readonly text: string;
  readonly json: string;

  constructor(text: string, json = "null") {
    this.text = text;
    this.json = json;
  }
}

const FIELDS = Symbol("fields");

/** Gives a document's object fields that templates may ask for and JSON doesn't show. */
export function withHidden<T extends object>(value: T, hidden: Readonly<Record<string, unknown>>): T {
  for (const [name, field] of Object.entries(hidden)) {
    if (!Object.hasOwn(value, name)) Object.defineProperty(value, name, { value: field, enumerable: false });
  }
  return value;
}

/** Lets a document's object print as a Go struct, `{a b}`, with these of its fields; otherwise it prints as a map. */
export function asStruct<T extends object>(value: T, fields: readonly string[]): T {
  return Object.defineProperty(value, FIELDS, { value: fields, enumerable: false });
}

function structText(value: object, fields: readonly string[]): string {
  return `{${fields.map((name) => toText((value as Record<string, unknown>)[name] ?? "", true)).join(" ")}}`;
}

const HTML: Readonly<Record<string, string>> = { "<": "\\u003c", ">": "\\u003e", "&": "\\u0026" };

/** Go's encoding/json of rows: keys sorted, characters of HTML escaped. */
function structJson(value: Struct): string {
  const names = Object.keys(value.fields).sort();
  const members = names.map((name) => `${JSON.stringify(name)}:${toJson(value.get(name))}`);
  return `{${members.join(",")}}`.replace(/[<>&]/g, (char) => HTML[char] ?? char);
}

/** Go's json.Marshal, without escapes for HTML. */
export function toJson(value: unknown): string {
  if (value instanceof Struct) return structJson(value);
  if (value instanceof Nil) return value.json;
  if (Array.isArray(value)) return `[${value.map(toJson).join(",")}]`;
  if (typeof value === "object" && value !== null) {
    const members = Object.entries(value).filter(([, member]) => member !== undefined);
    return `{${members.map(([name, member]) => `${JSON.stringify(name)}:${toJson(member)}`).join(",")}}`;
  }
  if (typeof value === "bigint") return String(value);
  return JSON.stringify(value) ?? "null";
}

/** Go's %v. */
export function toText(value: unknown, isNested = false): string {
  if (value === null || value === undefined) return isNested ? "<nil>" : "<no value>";
  if (value instanceof Nil) return value.text;
  if (value instanceof Struct)
    return `{${Object.keys(value.fields)
      .map((name) => toText(value.get(name), true))
      .join(" ")}}`;
  if (Array.isArray(value)) return `[${value.map((item) => toText(item, true)).join(" ")}]`;
  if (typeof value === "object") {
    if (FIELDS in value) return structText(value, value[FIELDS] as readonly string[]);
    const members = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
    return `map[${members.map(([name, member]) => `${name}:${toText(member, true)}`).join(" ")}]`;
  }
  if (typeof value === "number") return numberText(value);
  return String(value);
}

function numberText(value: number): string {
  if (Number.isInteger(value) && Math.abs(value) < 1e21) return BigInt(value).toString();
  const exponent = Math.floor(Math.log10(Math.abs(value)));
  if (exponent < -4 || exponent >= 21) return value.toExponential().replace(/e([+-])(\d)$/, "e$10$2");
  return String(value);
}

/** Whether a value counts as true in `if`. */
export function isTrue(value: unknown): boolean {
  if (value === null || value === undefined || value instanceof Nil || value === false || value === 0 || value === "" || value === 0n)
    return false;
  if (Array.isArray(value)) return value.length > 0;
  if (typeof value === "object" && !(value instanceof Struct)) return Object.keys(value).length > 0;
  return true;
}
