import { isUtf8 } from "node:buffer";
import { readFileSync } from "node:fs";
import { errnoCode } from "../lib/mod.ts";

const ERRNO_TEXT: Readonly<Record<string, string>> = {
  ENOENT: "no such file or directory",
  EACCES: "permission denied",
  EISDIR: "is a directory",
  ENOTDIR: "not a directory",
};

/** A failed call on a file, as Go says it: "open /x: no such file or directory". */
export function fileError(call: string, path: string, error: unknown): Error {
  const code = errnoCode(error) ?? "";
  return new Error(`${code === "EISDIR" ? "read" : call} ${path}: ${ERRNO_TEXT[code] ?? String(error)}`);
}

/** Reads a file. @throws Error in Go's words */
function readBytes(path: string): Buffer {
  try {
    return readFileSync(path);
  } catch (error) {
    throw fileError("open", path, error);
  }
}

/** Reads a file as text. @throws Error in Go's words */
export function readText(path: string): string {
  return readBytes(path).toString();
}

/** What docker's scanner takes for a line. */
const LONGEST_LINE_BYTES = 64 * 1024 - 1;

/** The lines of a file of variables. @throws Error in docker's words for one that is too long, or no text */
function linesOf(path: string): readonly string[] {
  const lines: string[] = [];
  const bytes = readBytes(path);
  for (let at = 0; at < bytes.length; ) {
    const newline = bytes.indexOf(0x0a, at);
    const end = newline < 0 ? bytes.length : newline;
    const line = bytes.subarray(at, end);
    if (line.length > LONGEST_LINE_BYTES) throw new Error(`invalid env file (${path}): bufio.Scanner: token too long`);
    if (!isUtf8(line))
      throw new Error(`invalid env file (${path}): invalid utf8 bytes at line ${lines.length + 1}: [${[...line].join(" ")}]`);
    lines.push(line.toString());
    at = end + 1;
  }
  return lines;
}

/** `-e NAME` takes the value from our own environment. @throws Error for one without a name */
export function checkEnv(text: string): string {
  const at = text.indexOf("=");
  if (text === "" || at === 0) throw new Error(`invalid environment variable: ${text}`);
  if (at > 0) return text;
  const value = process.env[text];
  return value === undefined ? text : `${text}=${value}`;
}

/** `key[=value]` lines of a file; `#` starts a comment. A key alone goes through `bare`. @throws Error in docker's words */
function readLines(path: string, bare: (key: string) => string | undefined): readonly string[] {
  const lines: string[] = [];
  linesOf(path).forEach((raw, index) => {
    const line = (index === 0 ? raw.replace(/^\uFEFF/, "") : raw).replace(/\r$/, "").trimStart();
    if (line === "" || line.startsWith("#")) return;
    const at = line.indexOf("=");
    const key = at < 0 ? line : line.slice(0, at);
    if (/[\s]/.test(key.trimEnd()) || (at >= 0 && key !== key.trimEnd()))
      throw new Error(`invalid env file (${path}): variable '${key}' contains whitespaces`);
    if (key === "") throw new Error(`invalid env file (${path}): no variable name on line '${line}'`);
    if (at >= 0) lines.push(line);
    else {
      const value = bare(key);
      if (value !== undefined) lines.push(value);
    }
  });
  return lines;
}

/** The variables of an `--env-file`. @throws Error in docker's words */
export function readEnvFile(path: string): readonly string[] {
  return readLines(path, (key) => {
    const value = process.env[key];
    return value === undefined ? undefined : `${key}=${value}`;
  });
}

/** The labels of a `--label-file`. @throws Error in docker's words */
export function readLabelFile(path: string): readonly string[] {
  return readLines(path, (key) => key);
}
