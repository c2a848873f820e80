import { DhowError } from "../lib/mod.ts";

const TOKEN = "[!#$%&'*+.^_`|~0-9A-Za-z-]+";
const TYPE = new RegExp(`^${TOKEN}`);
const PARAMETER = new RegExp(`^\\s*;\\s*(${TOKEN})\\s*=\\s*(${TOKEN}|"(?:[^"\\\\\\r\\n]|\\\\[^\\r\\n])*")`);

/**
 * The media type of a Content-Type header, in lower case and without its parameters.
 * @throws invalid in the words of Go's `mime` package
 * @see RFC 2045, section 5.1
 */
export function mediaType(header: string): string {
  const fail = (why: string): never => {
    throw new DhowError("invalid", `malformed Content-Type header (${header}): mime: ${why}`);
  };
  const semicolon = header.indexOf(";");
  const base = semicolon < 0 ? header : header.slice(0, semicolon);
  const type = base.trim().toLowerCase();
  const first = TYPE.exec(type)?.[0] ?? fail("no media type");
  if (first.length < type.length) {
    const rest = type.slice(first.length);
    if (!rest.startsWith("/")) fail("expected slash after first token");
    const second = TYPE.exec(rest.slice(1))?.[0] ?? fail("expected token after slash");
    if (second.length + 1 < rest.length) fail("unexpected content after media subtype");
  }
  const problem = parametersProblem(header.slice(base.length));
  if (problem !== undefined) fail(problem);
  return type;
}

/** What is wrong with `; name=value; …`; undefined when all is well. */
function parametersProblem(parameters: string): string | undefined {
  const known = new Map<string, string>();
  for (let rest = parameters; rest.trim() !== "" && rest.trim() !== ";"; ) {
    const [all, name = "", value = ""] = PARAMETER.exec(rest) ?? [];
    if (all === undefined) return "invalid media parameter";
    const key = name.toLowerCase();
    if (known.has(key) && known.get(key) !== value) return "duplicate parameter name";
    known.set(key, value);
    rest = rest.slice(all.length);
  }
  return undefined;
}
