import { HEADER_FUNCTIONS, Struct, template } from "../../lib/mod.ts";
import { ExitError } from "../command.ts";
import { alignColumns } from "./tabwriter.ts";

export const JSON_TEMPLATE = "{{json .}}";

/** The heads of a table's columns, by field. */
export type Headers = Readonly<Record<string, string>>;

export interface TableOptions {
  /** What `--format` says, or the command's own default. */
  readonly format: string;
  readonly headers: Headers;
  readonly rows: readonly Struct[];
}

/** The template within a format: `table`'s, `json`'s, or itself; `\t` and `\n` may be written as two characters. */
function templateOf(format: string): { readonly source: string; readonly isTable: boolean } {
  const isTable = format.startsWith("table");
  let source = isTable ? format.slice("table".length) : format;
  if (format === "json") source = JSON_TEMPLATE;
  source = source
    .replace(/^ +| +$/g, "")
    .replaceAll("\\t", "\t")
    .replaceAll("\\n", "\n");
  return { source, isTable };
}

/** Rows in a format, as docker's formatter prints them. @throws ExitError for a template that fails */
export function formatRows({ format, headers, rows }: TableOptions): string {
  const { source, isTable } = templateOf(format);
  const compiled = attempt("failed to parse template", () => template(source));
  const lines = rows.map((row) => `${attempt("failed to execute template", () => compiled(row))}\n`).join("");
  if (!isTable) return lines;
  const head = attempt("failed to parse template", () => template(source, { functions: HEADER_FUNCTIONS }))(headerRow(headers));
  return alignColumns(`${head}\n${lines}`);
}

/** The heads as a row: `{{.Label "com.example.my-label"}}` is headed `my label`. */
function headerRow(headers: Headers): Struct {
  const last = (name: unknown): string => String(name).split(".").at(-1) ?? "";
  return new Struct("formatter.SubHeaderContext", headers, { Label: (name: unknown) => last(name).replaceAll(/[-_]/g, " ") }, true);
}

/** One value in a format that is no table. @throws ExitError for a template that fails */
export function formatOne(format: string, value: unknown): string {
  const compiled = attempt("failed to parse template", () => template(templateOf(format).source));
  return attempt("failed to execute template", () => compiled(value));
}

function attempt<T>(what: string, run: () => T): T {
  try {
    return run();
  } catch (error) {
    throw new ExitError(1, `${what}: ${(error as Error).message}`);
  }
}
