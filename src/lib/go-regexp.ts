import { DhowError } from "./errdefs.ts";

/** Whether an expression is found in `text`. */
export type TextTest = (text: string) => boolean;

/** What Go reads as itself wherever it stands. */
const PLAIN = /^(\^?)([\w/ =:,@~-]*)(\$?)$/;

/**
 * Compiles a regular expression that a client wrote, in Go's syntax. Matching takes time linear in the text, whatever the expression:
 * one of JavaScript's can be made to hold the process up for ever. The engine is loaded for the first expression that needs it.
 * @throws invalid in Go's words
 * @see https://github.com/google/re2/wiki/Syntax
 */
export function goRegexp(expression: string): TextTest {
  return plainTest(expression) ?? re2Test(expression);
}

/**
 * The values of a filter that docker matches by `filters.Args.Match`: one of them is the text itself, or an expression found in it. One
 * that is no expression is found in nothing.
 */
export function filterTest(values: readonly string[]): TextTest {
  const exact = new Set(values);
  const found = values.map(foundIn);
  return (text) => exact.has(text) || found.some((test) => test(text));
}

function foundIn(expression: string): TextTest {
  try {
    return goRegexp(expression);
  } catch {
    return () => false;
  }
}

/** The test of an expression that is text, anchored or not. */
function plainTest(expression: string): TextTest | undefined {
  const parts = PLAIN.exec(expression);
  if (parts === null) return undefined;
  const [, start, plain = "", end] = parts;
  if (start && end) return (text) => text === plain;
  if (start) return (text) => text.startsWith(plain);
  return end ? (text) => text.endsWith(plain) : (text) => text.includes(plain);
}

function re2Test(expression: string): TextTest {
  const { RE2JS, RE2JSException, RE2JSSyntaxException } = require("re2js") as typeof import("re2js");
  try {
    const compiled = RE2JS.compile(expression);
    return (text) => compiled.matcher(text).find();
  } catch (cause) {
    if (cause instanceof RE2JSSyntaxException) {
      // Go names the whole expression where the library names nothing
      const part = cause.input ?? (cause.error === "trailing backslash at end of expression" ? "" : expression);
      throw new DhowError("invalid", `error parsing regexp: ${cause.error}: \`${part}\``, { cause });
    }
    if (cause instanceof RE2JSException) throw new DhowError("invalid", `error parsing regexp: ${cause.message}`, { cause });
    throw cause;
  }
}
