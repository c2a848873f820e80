import { DhowError, errorMessage } from "../../lib/mod.ts";
import type { StdStream } from "../../spec/engine/mod.ts";
import { chosenAttributes, type LogSubject, logTag } from "./attributes.ts";
import { type Endpoint, StreamConnection } from "./connection.ts";
import type { LogMessage, PartialLine } from "./message.ts";
import { decodeAck, EventTime, encodeMsgpack, listHeader, mapHeader, textHeader } from "./msgpack.ts";
import {
  ATTRIBUTE_OPTIONS,
  invalidOption,
  type LogOptions,
  parseAddressUrl,
  parseBoolOption,
  parseDurationMs,
  parseSizeOption,
  parseUnsigned,
  splitAuthority,
} from "./option-values.ts";
import type { LogReceiver } from "./receiver.ts";

const OPTIONS: ReadonlySet<string> = new Set([
  ...ATTRIBUTE_OPTIONS,
  "fluentd-address",
  "fluentd-async",
  "fluentd-async-reconnect-interval",
  "fluentd-buffer-limit",
  "fluentd-max-retries",
  "fluentd-request-ack",
  "fluentd-retry-wait",
  "fluentd-sub-second-precision",
  "fluentd-write-timeout",
  "fluentd-read-timeout",
]);
const DEFAULT_HOST = "127.0.0.1";
const DEFAULT_PORT = 24224;
const MAX_RETRIES = 2 ** 31 - 1;
const CONNECT_TIMEOUT_MS = 3000;
const RETRY_WAIT_MS = 1000;
const MAX_RETRY_WAIT_MS = 60_000;
const RETRY_GROWTH = 1.5;
const MIN_RECONNECT_MS = 100;
const MAX_RECONNECT_MS = 10_000;

/** Heads of lists: tag, time, record and options; tag, entries and options; time and record. */
const EVENT = listHeader(4);
const EVENTS = listHeader(3);
const ENTRY = listHeader(2);
const NO_OPTIONS = mapHeader(0);

/** The options of the `fluentd` driver. */
export interface FluentdOptions {
  readonly endpoint: Endpoint;
  readonly isAsync: boolean;
  readonly asyncReconnectMs: number;
  /** How many messages wait at most when `isAsync`; undefined for no limit. */
  readonly bufferMessages: number | undefined;
  readonly maxRetries: number;
  readonly isAcknowledged: boolean;
  readonly retryWaitMs: number;
  readonly hasSubSeconds: boolean;
  readonly writeTimeoutMs: number;
  readonly readTimeoutMs: number;
}

/** @throws invalid in docker's words */
export function validateFluentdOptions(options: LogOptions): void {
  for (const key of Object.keys(options)) {
    if (!OPTIONS.has(key)) throw invalidOption(`unknown log opt '${key}' for fluentd log driver`);
  }
  parseFluentdOptions(options);
}

/** @throws invalid in docker's words */
export function parseFluentdOptions(options: LogOptions): FluentdOptions {
  const text = (name: string): string => options[`fluentd-${name}`] ?? "";
  const flag = (name: string): boolean => text(name) !== "" && parseBoolOption(text(name));
  const endpoint = parseEndpoint(text("address"));
  const bufferMessages = text("buffer-limit") === "" ? undefined : parseSizeOption(text("buffer-limit"), 1024);
  const retryWaitMs = text("retry-wait") === "" ? RETRY_WAIT_MS : Math.trunc(parseDurationMs(text("retry-wait")));
  const maxRetries = text("max-retries") === "" ? MAX_RETRIES : parseUnsigned(text("max-retries"), 32);
  if (maxRetries > MAX_RETRIES) throw invalidOption("invalid fluentd-max-retries: value out of range");
  return {
    endpoint,
    isAsync: flag("async"),
    asyncReconnectMs: parseReconnect(text("async-reconnect-interval")),
    bufferMessages,
    maxRetries: maxRetries || MAX_RETRIES,
    isAcknowledged: flag("request-ack"),
    retryWaitMs: retryWaitMs || RETRY_WAIT_MS,
    hasSubSeconds: flag("sub-second-precision"),
    writeTimeoutMs: parseTimeout("fluentd-write-timeout", text("write-timeout")),
    readTimeoutMs: parseTimeout("fluentd-read-timeout", text("read-timeout")),
  };
}

function parseReconnect(text: string): number {
  if (text === "") return 0;
  const key = "fluentd-async-reconnect-interval";
  const ms = parseDurationMs(text, (reason) => `invalid value for ${key}: ${reason}`);
  if (ms !== 0 && (ms < MIN_RECONNECT_MS || ms > MAX_RECONNECT_MS)) {
    throw invalidOption(`invalid value for ${key}: value (${JSON.stringify(goDuration(ms))}) must be between 100ms and 10s`);
  }
  return ms;
}

function parseTimeout(key: string, text: string): number {
  if (text === "") return 0;
  const ms = parseDurationMs(text, (reason) => `invalid value for ${key}: value must be a duration: ${reason}`);
  if (ms < 0) throw invalidOption(`invalid value for ${key}: value must be a duration that is non-negative`);
  return ms;
}

/** Go's way to print a duration, of one that is too short or too long here. */
function goDuration(ms: number): string {
  if (Math.abs(ms) < 1000) return ms === Math.trunc(ms) ? `${ms}ms` : `${ms * 1000}µs`;
  const seconds = ms / 1000;
  const hours = Math.trunc(seconds / 3600);
  const minutes = Math.trunc((seconds % 3600) / 60);
  const rest = `${Number((seconds % 60).toFixed(9))}s`;
  return `${hours !== 0 ? `${hours}h` : ""}${hours !== 0 || minutes !== 0 ? `${minutes}m` : ""}${rest}`;
}

function parseEndpoint(address: string): Endpoint {
  if (address === "") return { kind: "tcp", host: DEFAULT_HOST, port: DEFAULT_PORT, tls: undefined };
  const fail = (reason: string): DhowError => invalidOption(`invalid fluentd-address (${address}): ${reason}`);
  try {
    const { scheme, authority, path } = parseAddressUrl(address.includes("://") ? address : `tcp://${address}`);
    if (scheme === "unix") {
      if (path.replace(/^\/+/, "") === "") throw invalidOption("path is empty");
      return { kind: "unix", path };
    }
    if (scheme !== "tcp" && scheme !== "tls") throw invalidOption(`unsupported scheme: '${scheme}'`);
    if (path !== "") throw invalidOption("should not contain a path element");
    const { host, port } = splitAuthority(authority);
    const number = port === "" ? DEFAULT_PORT : parsePort(port);
    return { kind: "tcp", host: host || DEFAULT_HOST, port: number, tls: scheme === "tls" ? () => ({ isUnverified: false }) : undefined };
  } catch (error) {
    throw fail(errorMessage(error));
  }
}

function parsePort(port: string): number {
  try {
    return parseUnsigned(port, 16);
  } catch (error) {
    throw invalidOption(`invalid port: ${errorMessage(error)}`);
  }
}

/** docker's `fluentd` driver: the forward protocol. @throws invalid for a bad tag or expression */
export function createFluentdReceiver(options: LogOptions, subject: LogSubject): LogReceiver {
  return new FluentdReceiver(parseFluentdOptions(options), {
    tag: logTag(options, subject),
    id: subject.id,
    name: `/${subject.name}`,
    extra: chosenAttributes(options, subject),
  });
}

interface FluentdSubject {
  readonly tag: string;
  readonly id: string;
  readonly name: string;
  readonly extra: Readonly<Record<string, string>>;
}

/** Sends each message as an event of its own or, when they are acknowledged, as many as come together under one chunk. */
class FluentdReceiver implements LogReceiver {
  readonly #options: FluentdOptions;
  readonly #tag: Buffer;
  readonly #encoder: EventEncoder;
  readonly #connection: StreamConnection;
  #connectedMs = 0;

  constructor(options: FluentdOptions, subject: FluentdSubject) {
    this.#options = options;
    this.#tag = encodeMsgpack(subject.tag);
    this.#encoder = new EventEncoder(subject, options.hasSubSeconds);
    const writeTimeoutMs = options.writeTimeoutMs || undefined;
    this.#connection = new StreamConnection({ endpoint: options.endpoint, connectTimeoutMs: CONNECT_TIMEOUT_MS, writeTimeoutMs });
  }

  /** With `fluentd-async` messages that find no room are dropped; else the container waits until the receiver is there. */
  get isRequired(): boolean {
    return !this.#options.isAsync;
  }

  get isCheckedAtStart(): boolean {
    return !this.#options.isAsync;
  }

  async connect(signal: AbortSignal): Promise<void> {
    if (this.#connection.isOpen) return;
    await this.#connection.connect(signal);
    this.#connectedMs = performance.now();
  }

  async send(messages: readonly LogMessage[], signal: AbortSignal): Promise<void> {
    const { asyncReconnectMs, isAsync, isAcknowledged } = this.#options;
    // the address may stand for another machine now
    if (isAsync && asyncReconnectMs > 0 && performance.now() - this.#connectedMs > asyncReconnectMs) this.close();
    await this.connect(signal);
    if (isAcknowledged) await this.#sendChunk(messages, signal);
    else await this.#sendEvents(messages, signal);
  }

  close(): void {
    this.#connection.close();
  }

  retryDelayMs(failures: number): number | undefined {
    const { maxRetries, retryWaitMs } = this.#options;
    if (failures >= maxRetries) return undefined;
    return failures <= 1 ? 0 : Math.min(MAX_RETRY_WAIT_MS, retryWaitMs * Math.trunc(RETRY_GROWTH ** (failures - 2)));
  }

  async #sendEvents(messages: readonly LogMessage[], signal: AbortSignal): Promise<void> {
    const parts: Uint8Array[] = [];
    for (const message of messages) {
      parts.push(EVENT, this.#tag);
      this.#encoder.encode(message, parts);
      parts.push(NO_OPTIONS);
    }
    await this.#connection.write(Buffer.concat(parts), signal);
  }

  async #sendChunk(messages: readonly LogMessage[], signal: AbortSignal): Promise<void> {
    const chunk = Buffer.from(crypto.getRandomValues(new Uint8Array(16))).toString("base64");
    const parts: Uint8Array[] = [EVENTS, this.#tag, listHeader(messages.length)];
    for (const message of messages) {
      parts.push(ENTRY);
      this.#encoder.encode(message, parts);
    }
    parts.push(encodeMsgpack({ chunk }));
    await this.#connection.write(Buffer.concat(parts), signal);
    const ack = await this.#connection.receive(decodeAck, this.#options.readTimeoutMs || undefined, signal);
    if (ack !== chunk)
      throw new DhowError("unavailable", `the receiver acknowledged ${JSON.stringify(ack)} instead of ${JSON.stringify(chunk)}`);
  }
}

/** Encodes times and records. All of a record but its line is the same for all messages of a stream, and made once. */
class EventEncoder {
  readonly #hasSubSeconds: boolean;
  readonly #fields: number;
  readonly #record: Record<StdStream, Buffer>;
  #timeNs = -1n;
  #time: Buffer = Buffer.alloc(0);

  constructor({ id, name, extra }: FluentdSubject, hasSubSeconds: boolean) {
    this.#hasSubSeconds = hasSubSeconds;
    const fields = (source: StdStream): Record<string, string> => ({ container_id: id, container_name: name, source, ...extra });
    this.#fields = Object.keys(fields("stdout")).length + 1;
    const encode = (source: StdStream): Buffer => {
      const entries = Object.entries(fields(source)).filter(([key]) => key !== "log");
      return Buffer.concat([...entries.flatMap(([key, value]) => [encodeMsgpack(key), encodeMsgpack(value)]), encodeMsgpack("log")]);
    };
    if ("log" in extra) this.#fields--;
    this.#record = { stdout: encode("stdout"), stderr: encode("stderr") };
  }

  /** The time, then the record. */
  encode({ stream, line, timeNs, partial }: LogMessage, parts: Uint8Array[]): void {
    if (timeNs !== this.#timeNs) {
      this.#timeNs = timeNs;
      this.#time = encodeMsgpack(this.#hasSubSeconds ? new EventTime(timeNs) : Number(timeNs / 1_000_000_000n));
    }
    const part = partial === undefined ? [] : Object.entries(partialFields(partial));
    parts.push(this.#time, mapHeader(this.#fields + part.length), this.#record[stream], textHeader(line.length), line);
    for (const [key, value] of part) parts.push(encodeMsgpack(key), encodeMsgpack(value));
  }
}

function partialFields({ id, ordinal, isLast }: PartialLine): Readonly<Record<string, string>> {
  return { partial_message: "true", partial_id: id, partial_ordinal: String(ordinal), partial_last: String(isLast) };
}
