import { hostname } from "node:os";
import { join } from "node:path";
import { DhowError, type Logger } from "../../lib/mod.ts";
import { type LogSubject, logAttributes } from "./attributes.ts";
import type { ClockNs, LogDriver } from "./driver.ts";
import { createFluentdReceiver, parseFluentdOptions, validateFluentdOptions } from "./fluentd.ts";
import { createGelfReceiver, validateGelfOptions } from "./gelf.ts";
import { createJournaldReceiver, validateJournaldOptions } from "./journald.ts";
import { JsonFileLog } from "./json-file.ts";
import { LocalLog } from "./local.ts";
import { NoLog } from "./none.ts";
import { ATTRIBUTE_OPTIONS, invalidOption, type LogOptions, parseBoolOption, parseSizeOption } from "./option-values.ts";
import type { LogReceiver } from "./receiver.ts";
import { type Overflow, RemoteLog } from "./remote.ts";
import { createSyslogReceiver, validateSyslogOptions } from "./syslog.ts";

const LOCAL_MAX_SIZE = 20 * 1024 * 1024;
const LOCAL_MAX_FILES = 5;
/** Of the log that is only on its way: it is in memory, and read by nobody. */
const SPOOL_MAX_SIZE = 1024 * 1024;
const SPOOL_MAX_FILES = 2;
/** Docker's buffer of the non-blocking mode. */
const RING_BYTES = 1_000_000;
const FILE_OPTIONS: readonly string[] = ["max-size", "max-file", "compress", ...ATTRIBUTE_OPTIONS];
/** Options that every driver has. */
const BUILT_IN: ReadonlySet<string> = new Set([
  "mode",
  "max-buffer-size",
  "cache-disabled",
  ...FILE_OPTIONS.map((name) => `cache-${name}`),
]);

interface RemoteDriver {
  readonly validate: (options: LogOptions) => void;
  readonly create: (options: LogOptions, subject: LogSubject) => LogReceiver;
}

const REMOTE: Readonly<Record<string, RemoteDriver>> = {
  fluentd: { validate: validateFluentdOptions, create: createFluentdReceiver },
  gelf: { validate: validateGelfOptions, create: createGelfReceiver },
  journald: { validate: validateJournaldOptions, create: createJournaldReceiver },
  syslog: { validate: validateSyslogOptions, create: createSyslogReceiver },
};

/** The names of the log drivers, as `docker info` lists them: without `none`. */
export const LOG_DRIVERS: readonly string[] = ["json-file", "local", ...Object.keys(REMOTE)].sort();

/** Whether a driver sends logs elsewhere. */
export function isRemoteLogDriver(driver: string): boolean {
  return REMOTE[driver] !== undefined;
}

/** Checks a driver's name and options as docker does when a container is created. @throws invalid */
export function validateLogOptions(driver: string, options: LogOptions): void {
  if (driver === "none") return;
  validateMode(options);
  const cacheDisabled = options["cache-disabled"] ?? "";
  if (cacheDisabled !== "") parseBoolOption(cacheDisabled, () => `invalid value for option cache-disabled: ${cacheDisabled}`);
  if (!LOG_DRIVERS.includes(driver)) throw invalidOption(`logger: no log driver named '${driver}' is registered`);
  const own = ownOptions(options);
  const remote = REMOTE[driver];
  if (remote !== undefined) {
    remote.validate(own);
    parseRotation("local", cacheOptions(options));
    return;
  }
  for (const key of Object.keys(own)) {
    if (FILE_OPTIONS.includes(key)) continue;
    throw invalidOption(`unknown log opt '${key}' for ${driver === "local" ? "log driver local" : `${driver} log driver`}`);
  }
  parseRotation(driver, options);
}

/** Checks the options that a daemon gives to all containers, before it starts. @throws invalid */
export function validateDefaultLogOptions(driver: string, options: LogOptions): void {
  try {
    validateLogOptions(driver, options);
  } catch (cause) {
    throw new DhowError("invalid", `failed to set log opts: ${cause instanceof Error ? cause.message : String(cause)}`, { cause });
  }
}

/** Those of a daemon's options that count for containers with another driver, too: how their output is kept for `docker logs`. */
export function cacheDefaults(options: LogOptions): LogOptions {
  return Object.fromEntries(Object.entries(options).filter(([key]) => key.startsWith("cache-") && BUILT_IN.has(key)));
}

function cacheOptions(options: LogOptions): LogOptions {
  const cache = Object.entries(options).filter(([key]) => key.startsWith("cache-") && key !== "cache-disabled");
  return Object.fromEntries(cache.map(([key, value]) => [key.slice("cache-".length), value]));
}

function validateMode(options: LogOptions): void {
  const mode = options["mode"] ?? "";
  if (mode !== "" && mode !== "blocking" && mode !== "non-blocking") throw invalidOption(`logger: logging mode not supported: ${mode}`);
  const size = options["max-buffer-size"];
  if (size === undefined) return;
  if (mode !== "non-blocking") throw invalidOption("logger: max-buffer-size option is only supported with 'mode=non-blocking'");
  parseSizeOption(size, 1024, (reason) => `error parsing option max-buffer-size: ${reason}`);
}

interface Rotation {
  readonly maxSizeBytes: number;
  readonly maxFiles: number;
  readonly compress: boolean;
}

function parseRotation(driver: string, options: LogOptions): Rotation {
  const isLocal = driver === "local";
  const size = options["max-size"] ?? "";
  const maxSizeBytes = size === "" ? (isLocal ? LOCAL_MAX_SIZE : -1) : parseSizeOption(size, 1000);
  if (size !== "" && maxSizeBytes <= 0) throw invalidOption("max-size must be a positive number");
  const files = options["max-file"] ?? "";
  const maxFiles = files === "" ? (isLocal ? LOCAL_MAX_FILES : 1) : /^[+-]?\d+$/.test(files) ? Number(files) : Number.NaN;
  if (Number.isNaN(maxFiles)) throw invalidOption(`strconv.Atoi: parsing ${JSON.stringify(files)}: invalid syntax`);
  if (maxFiles < 1) throw invalidOption("max-file cannot be less than 1");
  const text = options["compress"] ?? "";
  const compress = text === "" ? isLocal : parseBoolOption(text);
  if (text !== "" && compress && (maxFiles === 1 || maxSizeBytes === -1)) {
    throw invalidOption("compress cannot be true when max-file is less than 2 or max-size is not set");
  }
  return { maxSizeBytes, maxFiles, compress };
}

export interface LogDriverDeps {
  /** The container's own directory; the log goes below it. */
  readonly containerDir: string;
  /** Where what only waits to be sent goes; lost when the machine stops. */
  readonly spoolDir: string;
  readonly clock: ClockNs;
  readonly log: Logger;
}

/** Makes the log of a container, which may be renamed later. Cheap: nothing is opened. @throws invalid */
export function createLogDriver(
  driver: string,
  options: LogOptions,
  subject: () => Omit<LogSubject, "hostname">,
  deps: LogDriverDeps,
): LogDriver {
  const about = (): LogSubject => ({ ...subject(), hostname: hostname() });
  if (driver === "none") return new NoLog();
  const { clock, log, containerDir } = deps;
  const remote = REMOTE[driver];
  if (remote !== undefined) return createRemoteLog({ driver, remote, options, about, deps });
  validateLogOptions(driver, options);
  const shared = { ...parseRotation(driver, options), attributes: () => logAttributes(options, about()), clock, log };
  if (driver === "local") return new LocalLog({ ...shared, dir: join(containerDir, "logs") });
  return new JsonFileLog({ ...shared, path: join(containerDir, `${subject().id}-json.log`) });
}

interface RemoteLogRequest {
  readonly driver: string;
  readonly remote: RemoteDriver;
  readonly options: LogOptions;
  readonly about: () => LogSubject;
  readonly deps: LogDriverDeps;
}

function createRemoteLog({ driver, remote, options, about, deps }: RemoteLogRequest): LogDriver {
  const { clock, log, containerDir, spoolDir } = deps;
  const isDisabled = (options["cache-disabled"] ?? "") !== "" && parseBoolOption(options["cache-disabled"] ?? "");
  const rotation = isDisabled
    ? { maxSizeBytes: SPOOL_MAX_SIZE, maxFiles: SPOOL_MAX_FILES, compress: false }
    : parseRotation("local", cacheOptions(options));
  const dir = isDisabled ? spoolDir : join(containerDir, "logs");
  const attributes = () => (isDisabled ? {} : logAttributes(options, about()));
  return new RemoteLog({
    name: driver,
    store: new LocalLog({ ...rotation, dir, attributes, clock, log }),
    dir,
    canRead: !isDisabled,
    createReceiver: () => remote.create(options, about()),
    overflow: overflowOf(driver, options),
    log: log.child({ container: about().id, driver }),
  });
}

function overflowOf(driver: string, options: LogOptions): Overflow {
  if (options["mode"] === "non-blocking") {
    const size = options["max-buffer-size"];
    const bytes = size === undefined ? RING_BYTES : parseSizeOption(size, 1024);
    return { kind: "drop", above: { bytes, count: Number.POSITIVE_INFINITY } };
  }
  if (driver !== "fluentd") return { kind: "wait" };
  const { isAsync, bufferMessages } = parseFluentdOptions(ownOptions(options));
  if (!isAsync) return { kind: "wait" };
  return bufferMessages === undefined
    ? { kind: "keep" }
    : { kind: "drop", above: { bytes: Number.POSITIVE_INFINITY, count: bufferMessages } };
}

function ownOptions(options: LogOptions): LogOptions {
  return Object.fromEntries(Object.entries(options).filter(([key]) => !BUILT_IN.has(key)));
}
