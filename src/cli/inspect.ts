import { type Template, template } from "../lib/mod.ts";
import { ExitError } from "./command.ts";
import type { Context } from "./context.ts";
import { errorText } from "./error-text.ts";
import { STRING } from "./flag-kinds.ts";
import { INSPECT_FORMAT_HELP } from "./format/help-text.ts";
import { indentJson } from "./format/indent-json.ts";
import { withTypedNulls } from "./format/typed-nulls.ts";

/** `--format` of inspect commands. */
export const INSPECT_FORMAT = { kind: STRING, short: "f", help: INSPECT_FORMAT_HELP } as const;

/** Fields that are maps in Docker's own types: what they lack is "<no value>", where a struct's missing field is an error. */
const MAPS = new Set(["Labels", "Annotations", "Sysctls", "StorageOpt", "Tmpfs", "DriverOpts", "Options", "Data", "Networks"]);

function parseTemplate(format: string): Template {
  try {
    return template(format, { isMissingKeyError: true, maps: MAPS });
  } catch (error) {
    throw new ExitError(64, `template parsing error: ${(error as Error).message}`);
  }
}

/** The text of one object; a field that Docker's own type lacks is looked for in the JSON. */
function apply(format: Template, json: string): string {
  const value: unknown = JSON.parse(json);
  try {
    return format(withTypedNulls(value));
  } catch {
    return format(value);
  }
}

/** Fetches each object's JSON and prints them all: indented, as one line of JSON, or through a template. @throws ExitError when some weren't found */
export async function inspectAll(
  ctx: Context,
  refs: readonly string[],
  format: string,
  fetch: (ref: string) => Promise<string>,
): Promise<void> {
  const isJson = format === "" || format === "json";
  const compiled = isJson ? undefined : parseTemplate(format.replaceAll("\\t", "\t").replaceAll("\\n", "\n"));
  const parts: string[] = [];
  const failures: string[] = [];
  for (const ref of refs) {
    try {
      const json = (await fetch(ref)).trim();
      if (compiled === undefined) parts.push(json);
      else parts.push(`${applyOrFail(compiled, json)}\n`);
    } catch (error) {
      failures.push(errorText(error));
    }
  }
  if (compiled !== undefined) ctx.stdout.write(parts.length === 0 ? "\n" : parts.join(""));
  else {
    const list = `[${parts.join(",")}]`;
    ctx.out(format === "json" ? JSON.stringify(JSON.parse(list)) : indentJson(list));
  }
  if (failures.length > 0) throw new ExitError(1, failures.join("\n"));
}

function applyOrFail(compiled: Template, json: string): string {
  try {
    return apply(compiled, json);
  } catch (error) {
    throw new Error(`template parsing error: ${(error as Error).message}`);
  }
}
