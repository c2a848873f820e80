import { join } from "node:path";
import { DhowError, type Logger } from "../../lib/mod.ts";
import type { ClockNs, LogDriver } from "./driver.ts";
import { JsonFileLog } from "./json-file.ts";
import { LocalLog } from "./local.ts";
import { NoLog } from "./none.ts";

export type LogOptions = Readonly<Record<string, string>>;

const LOCAL_MAX_SIZE = 20 * 1024 * 1024;
const LOCAL_MAX_FILES = 5;
const BUILT_IN = new Set(["mode", "max-buffer-size"]);
const ATTRIBUTES = ["labels", "labels-regex", "env", "env-regex", "tag"];
const KNOWN: Readonly<Record<string, ReadonlySet<string>>> = {
  local: new Set(["max-size", "max-file", "compress", ...ATTRIBUTES]),
  "json-file": new Set(["max-size", "max-file", "compress", ...ATTRIBUTES]),
};

/** The names of the log drivers. */
export const LOG_DRIVERS: readonly string[] = ["json-file", "local", "none"];

/** Checks a driver's name and options as docker does when a container is created. @throws invalid */
export function validateLogOptions(driver: string, options: LogOptions): void {
  if (driver === "none") return;
  const known = KNOWN[driver];
  if (known === undefined) throw new DhowError("invalid", `logger: no log driver named '${driver}' is registered`);
  validateMode(options);
  for (const key of Object.keys(options)) {
    if (BUILT_IN.has(key) || known.has(key)) continue;
    throw new DhowError("invalid", `unknown log opt '${key}' for ${driver === "local" ? "log driver local" : `${driver} log driver`}`);
  }
  parseRotation(driver, options);
}

function validateMode(options: LogOptions): void {
  const mode = options["mode"] ?? "";
  if (mode !== "" && mode !== "blocking" && mode !== "non-blocking")
    throw new DhowError("invalid", `logger: logging mode not supported: ${mode}`);
  const size = options["max-buffer-size"];
  if (size === undefined) return;
  if (mode !== "non-blocking") throw new DhowError("invalid", `logger: max-buffer-size option is only supported with 'mode=non-blocking'`);
  if (parseSize(size, 1024) === undefined) throw new DhowError("invalid", `error parsing option max-buffer-size: invalid size: '${size}'`);
}

interface Rotation {
  readonly maxSizeBytes: number;
  readonly maxFiles: number;
  readonly compress: boolean;
}

function parseRotation(driver: string, options: LogOptions): Rotation {
  const isLocal = driver === "local";
  const size = options["max-size"];
  const maxSizeBytes = size === undefined || size === "" ? (isLocal ? LOCAL_MAX_SIZE : -1) : parseSize(size, isLocal ? 1024 : 1000);
  if (maxSizeBytes === undefined) throw new DhowError("invalid", `invalid size: '${size}'`);
  if (size && maxSizeBytes <= 0) throw new DhowError("invalid", "max-size must be a positive number");
  const files = options["max-file"];
  const maxFiles =
    files === undefined || files === "" ? (isLocal ? LOCAL_MAX_FILES : 1) : /^[+-]?\d+$/.test(files) ? Number(files) : Number.NaN;
  if (Number.isNaN(maxFiles)) throw new DhowError("invalid", `strconv.Atoi: parsing ${JSON.stringify(files)}: invalid syntax`);
  if (maxFiles < 1) throw new DhowError("invalid", "max-file cannot be less than 1");
  const text = options["compress"];
  const compress = text === undefined || text === "" ? isLocal : parseBool(text);
  if (compress === undefined) throw new DhowError("invalid", `strconv.ParseBool: parsing ${JSON.stringify(text)}: invalid syntax`);
  if (text && compress && (maxFiles === 1 || maxSizeBytes === -1)) {
    throw new DhowError("invalid", "compress cannot be true when max-file is less than 2 or max-size is not set");
  }
  return { maxSizeBytes, maxFiles, compress };
}

function parseBool(text: string): boolean | undefined {
  if (/^(1|t|T|TRUE|true|True)$/.test(text)) return true;
  if (/^(0|f|F|FALSE|false|False)$/.test(text)) return false;
  return undefined;
}

function parseSize(text: string, base: number): number | undefined {
  const match = /^(\d+(?:\.\d+)?) ?([kmgtp])?(?:i?b)?$/i.exec(text);
  if (match === null) return undefined;
  const power = match[2] === undefined ? 0 : "kmgtp".indexOf(match[2].toLowerCase()) + 1;
  return Math.floor(Number(match[1]) * base ** power);
}

/** What a log may say about its container. */
export interface LogSubject {
  readonly id: string;
  /** Without the leading slash. */
  readonly name: string;
  readonly imageId: string;
  readonly imageName: string;
  readonly labels: Readonly<Record<string, string>>;
  /** `KEY=value`. */
  readonly env: readonly string[];
}

export interface LogDriverDeps {
  /** The container's own directory; the log goes below it. */
  readonly containerDir: string;
  readonly clock: ClockNs;
  readonly log: Logger;
}

/** Makes the log of a container. Cheap: nothing is opened. @throws invalid */
export function createLogDriver(driver: string, options: LogOptions, subject: LogSubject, deps: LogDriverDeps): LogDriver {
  validateLogOptions(driver, options);
  if (driver === "none") return new NoLog();
  const { clock, log, containerDir } = deps;
  const shared = { ...parseRotation(driver, options), attributes: logAttributes(options, subject), clock, log };
  if (driver === "local") return new LocalLog({ ...shared, dir: join(containerDir, "logs") });
  return new JsonFileLog({ ...shared, path: join(containerDir, `${subject.id}-json.log`) });
}

/** The attributes that `labels`, `labels-regex`, `env`, `env-regex` and `tag` choose. @throws invalid for a bad expression */
export function logAttributes(options: LogOptions, subject: LogSubject): Record<string, string> {
  const env = Object.fromEntries(
    subject.env
      .filter((entry) => entry.includes("="))
      .map((entry) => [entry.slice(0, entry.indexOf("=")), entry.slice(entry.indexOf("=") + 1)]),
  );
  const attributes = {
    ...choose(subject.labels, options["labels"], options["labels-regex"]),
    ...choose(env, options["env"], options["env-regex"]),
  };
  const tag = options["tag"];
  if (tag) attributes["tag"] = expandTag(tag, subject);
  return attributes;
}

function choose(from: Readonly<Record<string, string>>, names: string | undefined, pattern: string | undefined): Record<string, string> {
  const wanted = new Set((names ?? "").split(",").filter((name) => name !== ""));
  let expression: RegExp | undefined;
  try {
    if (pattern) expression = new RegExp(pattern);
  } catch (cause) {
    throw new DhowError("invalid", `error parsing regexp: ${JSON.stringify(pattern)}`, { cause });
  }
  return Object.fromEntries(Object.entries(from).filter(([key]) => wanted.has(key) || expression?.test(key)));
}

function expandTag(tag: string, subject: LogSubject): string {
  const fields: Readonly<Record<string, string>> = {
    ID: subject.id.slice(0, 12),
    FullID: subject.id,
    Name: subject.name,
    ImageID: subject.imageId.replace(/^sha256:/, "").slice(0, 12),
    ImageFullID: subject.imageId,
    ImageName: subject.imageName,
    DaemonName: "docker",
  };
  return tag.replace(/\{\{\s*\.(\w+)\s*\}\}/g, (found, name: string) => fields[name] ?? found);
}
