import { DhowError } from "../lib/mod.ts";

/** The value of a variable, or undefined when it is not set. */
export type Lookup = (name: string) => string | undefined;

interface Cursor {
  readonly text: string;
  at: number;
}

function readBraced(cursor: Cursor, lookup: Lookup): string {
  const { text } = cursor;
  const name = /^[A-Za-z_][A-Za-z0-9_]*|^[0-9@*#]/.exec(text.slice(cursor.at))?.[0];
  if (name === undefined) throw new DhowError("invalid", "bad substitution");
  cursor.at += name.length;
  const value = lookup(name);
  if (text.charAt(cursor.at) === "}") {
    cursor.at++;
    return value ?? "";
  }
  const operator = /^:?[-+?]/.exec(text.slice(cursor.at))?.[0];
  if (operator === undefined) throw new DhowError("invalid", `unsupported modifier (${text.charAt(cursor.at)}) in substitution`);
  cursor.at += operator.length;
  const alternative = readUntil(cursor, lookup, "}");
  const isSet = value !== undefined && (operator.length === 1 || value !== "");
  if (operator.endsWith("-")) return isSet ? (value ?? "") : alternative;
  if (operator.endsWith("+")) return isSet ? alternative : "";
  if (isSet) return value ?? "";
  throw new DhowError("invalid", `${name}: ${alternative || "is not allowed to be unset"}`);
}

function readDollar(cursor: Cursor, lookup: Lookup): string {
  cursor.at++;
  if (cursor.text.charAt(cursor.at) === "{") {
    cursor.at++;
    return readBraced(cursor, lookup);
  }
  const name = /^[A-Za-z_][A-Za-z0-9_]*|^[0-9@*#]/.exec(cursor.text.slice(cursor.at))?.[0];
  if (name === undefined) return "$";
  cursor.at += name.length;
  return lookup(name) ?? "";
}

function readSingleQuoted(cursor: Cursor): string {
  const end = cursor.text.indexOf("'", cursor.at + 1);
  if (end < 0) throw new DhowError("invalid", "unexpected end of statement while looking for matching single-quote");
  const value = cursor.text.slice(cursor.at + 1, end);
  cursor.at = end + 1;
  return value;
}

function readDoubleQuoted(cursor: Cursor, lookup: Lookup): string {
  cursor.at++;
  let value = "";
  for (;;) {
    const char = cursor.text.charAt(cursor.at);
    if (char === "") throw new DhowError("invalid", "unexpected end of statement while looking for matching double-quote");
    if (char === '"') {
      cursor.at++;
      return value;
    }
    if (char === "$") value += readDollar(cursor, lookup);
    else if (char === "\\") {
      const next = cursor.text.charAt(cursor.at + 1);
      value += next === '"' || next === "$" || next === "\\" ? next : `\\${next}`;
      cursor.at += 2;
    } else {
      value += char;
      cursor.at++;
    }
  }
}

/** Reads until an unquoted `stop` (dropped) or, without one, to the end. */
function readUntil(cursor: Cursor, lookup: Lookup, stop?: string): string {
  let value = "";
  for (;;) {
    const char = cursor.text.charAt(cursor.at);
    if (char === "") {
      if (stop === undefined) return value;
      throw new DhowError("invalid", "unexpected end of statement while looking for matching '}'");
    }
    if (char === stop) {
      cursor.at++;
      return value;
    }
    if (char === "'") value += readSingleQuoted(cursor);
    else if (char === '"') value += readDoubleQuoted(cursor, lookup);
    else if (char === "$") value += readDollar(cursor, lookup);
    else if (char === "\\") {
      value += cursor.text.charAt(cursor.at + 1);
      cursor.at += 2;
    } else {
      value += char;
      cursor.at++;
    }
  }
}

/** Takes the quotes off one word of a Dockerfile and puts the variables in. @throws invalid for an open quote or brace */
export function expandWord(text: string, lookup: Lookup): string {
  return readUntil({ text, at: 0 }, lookup);
}

/** Splits at white space that is neither quoted nor escaped; quotes and escapes stay. */
export function splitWords(text: string): string[] {
  const words: string[] = [];
  let word = "";
  let quote = "";
  for (let i = 0; i < text.length; i++) {
    const char = text.charAt(i);
    if (quote === "" && /\s/.test(char)) {
      if (word !== "") words.push(word);
      word = "";
      continue;
    }
    if (char === "\\" && quote !== "'" && i + 1 < text.length) {
      word += char + text.charAt(++i);
      continue;
    }
    if (quote === "" && (char === "'" || char === '"')) quote = char;
    else if (char === quote) quote = "";
    word += char;
  }
  if (word !== "") words.push(word);
  return words;
}
