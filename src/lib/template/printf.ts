import { toText } from "./value.ts";

const VERB = /%([-+# 0]*)(\d+|\*)?(?:\.(\d+|\*)?)?([a-zA-Z%])/g;

const PLACES_MAX = 100;

function typeOf(value: unknown): string {
  if (typeof value === "string") return "string";
  if (typeof value === "number") return Number.isInteger(value) ? "int" : "float64";
  if (typeof value === "boolean") return "bool";
  if (value === null || value === undefined) return "<nil>";
  return Array.isArray(value) ? "[]interface {}" : "map[string]interface {}";
}

function hex(text: string): string {
  return Buffer.from(text).toString("hex");
}

/** What stands before a number that is not negative. */
function signed(value: number, flags: string): string {
  if (value < 0) return "";
  return flags.includes("+") ? "+" : flags.includes(" ") ? " " : "";
}

function integerText(value: number, verb: string): string {
  const base = { d: 10, x: 16, X: 16, o: 8, b: 2 }[verb] ?? 10;
  const text = value.toString(base);
  return verb === "X" ? text.toUpperCase() : text;
}

/** Go's exponents have two digits. */
function exponential(value: number, places: number): string {
  return value.toExponential(places).replace(/e([+-])(\d)$/, "e$10$2");
}

/** As toFixed, but a number exactly between two goes to the even one, as in Go. */
function fixed(value: number, places: number): string {
  const text = value.toFixed(places);
  const isTie = /^50*$/.test(
    value
      .toFixed(Math.min(100, places + 40))
      .split(".")[1]
      ?.slice(places) ?? "",
  );
  if (!isTie || Number(text.at(-1)) % 2 === 0) return text;
  const unit = 10 ** -places;
  return (value - Math.sign(value) * (unit / 4)).toFixed(places);
}

function one(verb: string, value: unknown, flags: string, precision: number | undefined): string {
  const wrong = () => (value === null || value === undefined ? `%!${verb}(<nil>)` : `%!${verb}(${typeOf(value)}=${toText(value, true)})`);
  switch (verb) {
    case "v":
      return typeof value === "string" && precision !== undefined ? [...value].slice(0, precision).join("") : toText(value, true);
    case "U":
      return typeof value === "number" && Number.isInteger(value) && value >= 0
        ? `U+${value.toString(16).toUpperCase().padStart(4, "0")}`
        : wrong();
    case "s": {
      if (typeof value === "number" || typeof value === "boolean") return wrong();
      const text = toText(value, true);
      return precision === undefined ? text : [...text].slice(0, precision).join("");
    }
    case "q":
      if (typeof value === "string") return JSON.stringify(value);
      return Array.isArray(value) ? `[${value.map((item) => one("q", item, flags, precision)).join(" ")}]` : wrong();
    case "d":
    case "o":
    case "b":
    case "x":
    case "X":
      if (typeof value === "string" && (verb === "x" || verb === "X")) return verb === "x" ? hex(value) : hex(value).toUpperCase();
      if (typeof value !== "number" || !Number.isInteger(value)) return wrong();
      return signed(value, flags) + integerText(value, verb);
    case "c":
      if (typeof value !== "number" || !Number.isInteger(value)) return wrong();
      return value < 0 || value > 0x10ffff ? "\ufffd" : String.fromCodePoint(value);
    case "f":
    case "F":
    case "e":
    case "g":
      if (typeof value !== "number") return wrong();
      if (verb === "g")
        return precision === undefined ? String(value) : String(Number(value.toPrecision(Math.min(Math.max(precision, 1), PLACES_MAX))));
      return verb === "e" ? exponential(value, Math.min(precision ?? 6, PLACES_MAX)) : fixed(value, Math.min(precision ?? 6, PLACES_MAX));
    case "t":
      return typeof value === "boolean" ? String(value) : wrong();
    case "T":
      return typeOf(value);
    default:
      return wrong();
  }
}

/** Go takes no more than a million; JavaScript's numbers have a hundred places. */
function isWidth(columns: number): boolean {
  return Number.isInteger(columns) && Math.abs(columns) <= 1e6;
}

/** Go's fmt.Sprintf for the values of templates. */
export function printf(format: string, values: readonly unknown[]): string {
  let next = 0;
  const text = format.replace(VERB, (_, flags: string, width: string | undefined, precision: string | undefined, verb: string) => {
    if (verb === "%") return "%";
    const number = (digits: string | undefined) =>
      digits === "*" ? Number(values[next++]) : digits === undefined ? undefined : Number(digits);
    const columns = number(width) ?? 0;
    const places = number(precision);
    if (!isWidth(columns)) return "%!(BADWIDTH)";
    if (places !== undefined && !isWidth(places)) return "%!(BADPREC)";
    if (next >= values.length) return `%!${verb}(MISSING)`;
    const shown = one(verb, values[next++], flags, places);
    if (flags.includes("-")) return shown.padEnd(columns);
    const sign = /^[+-]/.exec(shown)?.[0] ?? "";
    if (sign !== "" && flags.includes("0")) return sign + shown.slice(1).padStart(columns - 1, "0");
    return flags.includes("0") && !shown.startsWith("%!") ? shown.padStart(columns, "0") : shown.padStart(columns);
  });
  if (next >= values.length) return text;
  const extra = values
    .slice(next)
    .map((value) => (value === null || value === undefined ? "<nil>" : `${typeOf(value)}=${toText(value, true)}`));
  return `${text}%!(EXTRA ${extra.join(", ")})`;
}
