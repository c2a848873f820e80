import { readFileSync, statSync } from "node:fs";
import { DhowError, errorMessage } from "../../lib/mod.ts";
import { type LogSubject, logTag } from "./attributes.ts";
import { StreamConnection, type TlsOptions } from "./connection.ts";
import { DatagramConnection } from "./datagrams.ts";
import type { LogMessage } from "./message.ts";
import { ATTRIBUTE_OPTIONS, invalidOption, type LogOptions, parseAddressUrl, parseInteger, splitAuthority } from "./option-values.ts";
import { type LogReceiver, retryForEver } from "./receiver.ts";

const OPTIONS: ReadonlySet<string> = new Set([
  ...ATTRIBUTE_OPTIONS,
  "syslog-address",
  "syslog-facility",
  "syslog-tls-ca-cert",
  "syslog-tls-cert",
  "syslog-tls-key",
  "syslog-tls-skip-verify",
  "syslog-format",
]);
/** In the order of their codes, which begin again at 16 with `local0`. */
const FACILITIES = ["kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp"];
const LOCAL_FACILITY = 16;
const FORMATS = ["", "rfc3164", "rfc5424", "rfc5424micro"] as const;
const DEFAULT_PORT = "514";
const CONNECT_TIMEOUT_MS = 30_000;
/** Where a local syslog daemon listens. */
const LOCAL_SOCKETS = ["/dev/log", "/var/run/syslog", "/var/run/log"];
const SEVERITY = { stdout: 6, stderr: 3 } as const;
const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const NEWLINE = Buffer.from("\n");

type Format = (typeof FORMATS)[number];

type SyslogAddress =
  | { readonly kind: "local" }
  | { readonly kind: "unix"; readonly path: string }
  | { readonly kind: "unixgram"; readonly path: string }
  | { readonly kind: "udp"; readonly host: string; readonly port: number }
  | { readonly kind: "tcp" | "tcp+tls"; readonly host: string; readonly port: number };

/** @throws invalid in docker's words */
export function validateSyslogOptions(options: LogOptions): void {
  for (const key of Object.keys(options)) {
    if (!OPTIONS.has(key)) throw invalidOption(`unknown log opt '${key}' for syslog log driver`);
  }
  const address = parseAddress(options["syslog-address"] ?? "");
  if ("path" in address) checkPath(address.path);
  parseFacility(options["syslog-facility"] ?? "");
  parseFormat(options["syslog-format"] ?? "");
}

function checkPath(path: string): void {
  try {
    if (statSync(path, { throwIfNoEntry: false }) !== undefined) return;
  } catch (error) {
    throw invalidOption(`stat ${path}: ${strerrorOf(error)}`);
  }
  throw invalidOption(`stat ${path}: no such file or directory`);
}

/** What the kernel says, without what `node:fs` puts around it; a path with a NUL byte doesn't get to the kernel. */
function strerrorOf(error: unknown): string {
  return /^E[A-Z0-9]+: ([^,]+),/.exec(errorMessage(error))?.[1] ?? "invalid argument";
}

function parseAddress(text: string): SyslogAddress {
  if (text === "") return { kind: "local" };
  const { scheme, authority, path } = parseAddressUrl(text);
  if (scheme === "unix" || scheme === "unixgram") {
    return { kind: scheme, path };
  }
  if (scheme !== "udp" && scheme !== "tcp" && scheme !== "tcp+tls") throw invalidOption(`unsupported scheme: '${scheme}'`);
  const { host, port } = splitAuthority(authority);
  return { kind: scheme, host: host || "127.0.0.1", port: Number(port || DEFAULT_PORT) };
}

function parseFacility(text: string): number {
  if (text === "") return FACILITIES.indexOf("daemon");
  const known = FACILITIES.indexOf(text);
  if (known >= 0) return known;
  const local = /^local([0-7])$/.exec(text);
  if (local !== null) return LOCAL_FACILITY + Number(local[1]);
  const code = parseInteger(text);
  if (code === undefined || code < 0 || code > 23) throw invalidOption("invalid syslog facility");
  return code;
}

function parseFormat(text: string): Format {
  const format = FORMATS.find((known) => known === text);
  if (format === undefined) throw invalidOption("Invalid syslog format");
  return format;
}

/** docker's `syslog` driver. @throws invalid for a bad tag, and for certificates that can't be read */
export function createSyslogReceiver(options: LogOptions, subject: LogSubject): LogReceiver {
  const address = parseAddress(options["syslog-address"] ?? "");
  const formatter = new SyslogFormatter({
    format: parseFormat(options["syslog-format"] ?? ""),
    facility: parseFacility(options["syslog-facility"] ?? ""),
    tag: logTag(options, subject),
    hostname: subject.hostname,
    isFramed: address.kind === "tcp+tls" && (options["syslog-format"] ?? "").startsWith("rfc5424"),
  });
  switch (address.kind) {
    case "udp":
    case "unixgram":
      return overDatagrams(new DatagramConnection(address), formatter);
    case "unix":
      return overStream(
        new StreamConnection({ endpoint: { kind: "unix", path: address.path }, connectTimeoutMs: CONNECT_TIMEOUT_MS }),
        formatter,
      );
    case "tcp":
    case "tcp+tls": {
      const { host, port } = address;
      const tls = address.kind === "tcp" ? undefined : (): TlsOptions => readTls(options);
      return overStream(
        new StreamConnection({ endpoint: { kind: "tcp", host, port, tls }, connectTimeoutMs: CONNECT_TIMEOUT_MS }),
        formatter,
      );
    }
    default:
      return overLocal(formatter);
  }
}

function readTls(options: LogOptions): TlsOptions {
  const read = (path: string, fail: (reason: string) => string): string => {
    try {
      return readFileSync(path, "utf8");
    } catch (cause) {
      const reason = errorMessage(cause).startsWith("ENOENT") ? `open ${path}: no such file or directory` : errorMessage(cause);
      throw new DhowError("invalid", fail(reason), { cause });
    }
  };
  const ca = options["syslog-tls-ca-cert"] ?? "";
  const cert = options["syslog-tls-cert"] ?? "";
  const key = options["syslog-tls-key"] ?? "";
  const ofPair = (reason: string): string =>
    `could not load X509 key pair (cert: ${JSON.stringify(cert)}, key: ${JSON.stringify(key)}): ${reason}`;
  return {
    ...(ca === "" ? {} : { ca: read(ca, (reason) => `could not read CA certificate ${JSON.stringify(ca)}: ${reason}`) }),
    ...(cert === "" && key === "" ? {} : { cert: read(cert, ofPair), key: read(key, ofPair) }),
    // docker looks whether the option is there, not at its value
    isUnverified: options["syslog-tls-skip-verify"] !== undefined,
  };
}

const common = { retryDelayMs: retryForEver, isRequired: false, isCheckedAtStart: true } as const;

function overDatagrams(connection: DatagramConnection, formatter: SyslogFormatter): LogReceiver {
  return {
    ...common,
    connect: () => connection.connect(),
    send: (messages, signal) =>
      connection.sendAll(messages, (message) => (message.line.length === 0 ? [] : [formatter.format(message)]), signal),
    close: () => connection.close(),
  };
}

function overStream(connection: StreamConnection, formatter: SyslogFormatter): LogReceiver {
  return {
    ...common,
    connect: (signal) => connection.connect(signal),
    send: async (messages, signal) => {
      const wanted = messages.filter((message) => message.line.length > 0);
      if (wanted.length > 0) await connection.write(Buffer.concat(wanted.map((message) => formatter.format(message))), signal);
    },
    close: () => connection.close(),
  };
}

/** The syslog daemon of this machine, at the first of the usual places that answers. */
function overLocal(formatter: SyslogFormatter): LogReceiver {
  let found: LogReceiver | undefined;
  const connect = async (signal: AbortSignal): Promise<LogReceiver> => {
    if (found !== undefined) return found;
    for (const kind of ["unixgram", "unix"] as const) {
      for (const path of LOCAL_SOCKETS) {
        const receiver =
          kind === "unixgram"
            ? overDatagrams(new DatagramConnection({ kind, path }), formatter)
            : overStream(new StreamConnection({ endpoint: { kind, path }, connectTimeoutMs: CONNECT_TIMEOUT_MS }), formatter);
        try {
          await receiver.connect(signal);
          found = receiver;
          return receiver;
        } catch {
          // the next one
        }
      }
    }
    throw new DhowError("unavailable", "Unix syslog delivery error");
  };
  return {
    ...common,
    connect: async (signal) => {
      await connect(signal);
    },
    send: async (messages, signal) => (await connect(signal)).send(messages, signal),
    close: () => {
      found?.close();
      found = undefined;
    },
  };
}

interface SyslogFormatterOptions {
  readonly format: Format;
  readonly facility: number;
  readonly tag: string;
  readonly hostname: string;
  /** Whether each message is preceded by its length, as RFC 5425 asks for. */
  readonly isFramed: boolean;
}

/** Makes the text of messages: the classic one, with a hostname (RFC 3164), or RFC 5424's. */
export class SyslogFormatter {
  readonly #options: SyslogFormatterOptions;
  readonly #prefixes = new Map<number, { ms: number; prefix: Buffer }>();

  constructor(options: SyslogFormatterOptions) {
    this.#options = options;
  }

  /** One message with a newline at its end. */
  format(message: Pick<LogMessage, "stream" | "line" | "timeNs">): Buffer {
    const prefix = this.#prefix(SEVERITY[message.stream], message.timeNs);
    if (!this.#options.isFramed) return Buffer.concat([prefix, message.line, NEWLINE]);
    const length = prefix.length + message.line.length + 1;
    return Buffer.concat([Buffer.from(`${length} `), prefix, message.line, NEWLINE]);
  }

  #prefix(severity: number, timeNs: bigint): Buffer {
    const { format, facility, tag, hostname } = this.#options;
    const us = Number(timeNs / 1000n);
    // all but one format say seconds: many messages share them
    const key = format === "rfc5424micro" ? us : Math.floor(us / 1e6);
    const known = this.#prefixes.get(severity);
    if (known !== undefined && known.ms === key) return known.prefix;
    const priority = `<${facility * 8 + severity}>`;
    const { pid } = process;
    let text: string;
    if (format === "") text = `${priority}${stamp(us)} ${tag}[${pid}]: `;
    else if (format === "rfc3164") text = `${priority}${stamp(us)} ${hostname} ${tag}[${pid}]: `;
    else text = `${priority}1 ${rfc3339(us, format === "rfc5424micro")} ${hostname} ${tag} ${pid} ${tag} - `;
    const prefix = Buffer.from(text);
    this.#prefixes.set(severity, { ms: key, prefix });
    return prefix;
  }
}

function two(value: number): string {
  return String(value).padStart(2, "0");
}

function clock(date: Date): string {
  return `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
}

/** `Jan  2 15:04:05`, in local time. */
function stamp(us: number): string {
  const date = new Date(us / 1000);
  return `${MONTHS[date.getMonth()]} ${String(date.getDate()).padStart(2, " ")} ${clock(date)}`;
}

/** In local time with its offset, as Go's RFC3339. */
function rfc3339(us: number, hasMicroseconds: boolean): string {
  const date = new Date(us / 1000);
  const day = `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
  const fraction = hasMicroseconds ? `.${String(Math.floor(us % 1e6)).padStart(6, "0")}` : "";
  const offset = -date.getTimezoneOffset();
  const zone = offset === 0 ? "Z" : `${offset < 0 ? "-" : "+"}${two(Math.floor(Math.abs(offset) / 60))}:${two(Math.abs(offset) % 60)}`;
  return `${day}T${clock(date)}${fraction}${zone}`;
}
