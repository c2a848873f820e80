import { execute } from "./execute.ts";
import { FUNCTIONS, type FunctionSpec } from "./functions.ts";
import { parse } from "./parse.ts";

export { HEADER_FUNCTIONS } from "./functions.ts";
export { TemplateError } from "./syntax.ts";
export { asStruct, Nil, Struct, toJson, withHidden } from "./value.ts";

export interface TemplateOptions {
  /** The name in errors. */
  readonly name?: string;
  readonly functions?: Readonly<Record<string, FunctionSpec>>;
  readonly isMissingKeyError?: boolean;
  /** Fields that are maps even where a missing key is an error. */
  readonly maps?: ReadonlySet<string>;
}

const NONE: ReadonlySet<string> = new Set();

/** A parsed Go template: gives the text for a value. */
export type Template = (data: unknown) => string;

/** Parses a Go template with docker's functions. @throws TemplateError; the template throws it, too */
export function template(
  source: string,
  { name = "", functions = FUNCTIONS, isMissingKeyError = false, maps = NONE }: TemplateOptions = {},
): Template {
  const tree = parse(source, name, new Set(Object.keys(functions)));
  return (data) => execute(tree, data, { name, source, functions, isMissingKeyError, maps });
}
