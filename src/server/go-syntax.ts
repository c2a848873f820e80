/**
 * Says what Go's `encoding/json` scanner says about text that is no JSON, and where the first JSON value of a text ends.
 * It runs only after `JSON.parse` refused the text, so it is written for its messages and not for speed.
 */

/** What the scanner found: the end of the first value, or why there is none. */
export type ScanResult =
  | { readonly kind: "value"; readonly end: number }
  | { readonly kind: "empty" }
  | { readonly kind: "error"; readonly message: string };

class ScanError extends Error {}

const UNEXPECTED_END = "unexpected EOF";

function quoted(char: string): string {
  if (char === "'") return `'\\''`;
  if (char === '"') return `'"'`;
  const code = char.codePointAt(0) ?? 0;
  const named: Readonly<Record<number, string>> = { 7: "\\a", 8: "\\b", 9: "\\t", 10: "\\n", 11: "\\v", 12: "\\f", 13: "\\r", 92: "\\\\" };
  const name = named[code];
  if (name !== undefined) return `'${name}'`;
  if (code < 0x20 || code === 0x7f) return `'\\x${code.toString(16).padStart(2, "0")}'`;
  return `'${char}'`;
}

/** Scans the first JSON value of `text`; nesting is limited as in Go. */
export function scanJson(text: string): ScanResult {
  let at = 0;
  const fail = (context: string): never => {
    if (at >= text.length) throw new ScanError(UNEXPECTED_END);
    throw new ScanError(`invalid character ${quoted(String.fromCodePoint(text.codePointAt(at) ?? 0))} ${context}`);
  };
  const space = (): void => {
    while (at < text.length && " \t\r\n".includes(text.charAt(at))) at++;
  };
  const digits = (context: string): void => {
    if (!/[0-9]/.test(text.charAt(at))) fail(context);
    while (/[0-9]/.test(text.charAt(at))) at++;
  };
  const number = (): void => {
    if (text[at] === "-") at++;
    if (text[at] === "0") at++;
    else digits("in numeric literal");
    if (text[at] === ".") {
      at++;
      digits("after decimal point in numeric literal");
    }
    if (text[at] === "e" || text[at] === "E") {
      at++;
      if (text[at] === "+" || text[at] === "-") at++;
      digits("in exponent of numeric literal");
    }
  };
  const string = (): void => {
    at++;
    for (;;) {
      if (at >= text.length) throw new ScanError(UNEXPECTED_END);
      const code = text.charCodeAt(at);
      if (code === 0x22) {
        at++;
        return;
      }
      if (code < 0x20) fail("in string literal");
      if (code !== 0x5c) {
        at++;
        continue;
      }
      at++;
      if (text[at] === "u") {
        at++;
        for (let i = 0; i < 4; i++, at++) if (!/[0-9a-fA-F]/.test(text.charAt(at))) fail("in \\u hexadecimal character escape");
        continue;
      }
      if (at >= text.length || !'bfnrt\\/"'.includes(text.charAt(at))) fail("in string escape code");
      at++;
    }
  };
  const literal = (word: string): void => {
    for (const [i, char] of [...word].entries()) {
      if (text[at] !== char) fail(i === 0 ? "looking for beginning of value" : `in literal ${word} (expecting ${quoted(char)})`);
      at++;
    }
  };
  const object = (depth: number): void => {
    at++;
    space();
    if (text[at] === "}") {
      at++;
      return;
    }
    for (;;) {
      if (text[at] !== '"') fail("looking for beginning of object key string");
      string();
      space();
      if (text[at] !== ":") fail("after object key");
      at++;
      value(depth + 1);
      space();
      if (text[at] === "}") {
        at++;
        return;
      }
      if (text[at] !== ",") fail("after object key:value pair");
      at++;
      space();
    }
  };
  const array = (depth: number): void => {
    at++;
    space();
    if (text[at] === "]") {
      at++;
      return;
    }
    for (;;) {
      value(depth + 1);
      space();
      if (text[at] === "]") {
        at++;
        return;
      }
      if (text[at] !== ",") fail("after array element");
      at++;
    }
  };
  const value = (depth: number): void => {
    if (depth > 10_000) throw new ScanError("exceeded max depth");
    space();
    const char = text[at];
    if (char === "{") object(depth);
    else if (char === "[") array(depth);
    else if (char === '"') string();
    else if (char === "t") literal("true");
    else if (char === "f") literal("false");
    else if (char === "n") literal("null");
    else if (char !== undefined && (char === "-" || /[0-9]/.test(char))) number();
    else fail("looking for beginning of value");
  };
  space();
  if (at >= text.length) return { kind: "empty" };
  try {
    value(1);
  } catch (error) {
    if (error instanceof ScanError) return { kind: "error", message: error.message };
    // a text nested deeper than this stack is one that Go refuses too
    if (error instanceof RangeError) return { kind: "error", message: "exceeded max depth" };
    throw error;
  }
  return { kind: "value", end: at };
}
