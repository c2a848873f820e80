export type LogLevel = "debug" | "info" | "warn" | "error" | "fatal";
export type LogFields = Readonly<Record<string, unknown>>;

const ORDER: Record<LogLevel, number> = { debug: 0, info: 1, warn: 2, error: 3, fatal: 4 };

/** A structured logger: constant lower-case message, data as fields. Never pass secrets or environment values. */
export interface Logger {
  debug(message: string, fields?: LogFields): void;
  info(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  error(message: string, fields?: LogFields): void;
  /** A logger that adds `fields` to every line. */
  child(fields: LogFields): Logger;
}

export interface LoggerOptions {
  /** What is less is dropped; asked at every line when it may change. */
  readonly level: LogLevel | (() => LogLevel);
  readonly format: "text" | "json";
  /** Receives one finished line, newline included. */
  readonly write: (line: string) => void;
  readonly now?: () => Date;
}

function text(value: unknown): string {
  if (value instanceof Error) return JSON.stringify(value.message);
  if (typeof value === "string") return /^[\w.:/@+-]+$/.test(value) ? value : JSON.stringify(value);
  return JSON.stringify(value) ?? String(value);
}

/** Makes a logger in logrus' text form (`time=… level=… msg=…`), as dockerd writes it, or in JSON lines. */
export function createLogger(options: LoggerOptions, bound: LogFields = {}): Logger {
  const { level: given } = options;
  const threshold = typeof given === "function" ? () => ORDER[given()] : () => ORDER[given];
  const now = options.now ?? (() => new Date());
  const emit = (level: LogLevel, message: string, fields: LogFields = {}): void => {
    if (ORDER[level] < threshold()) return;
    const all = { ...bound, ...fields };
    const time = now().toISOString();
    if (options.format === "json") {
      const plain = Object.fromEntries(Object.entries(all).map(([k, v]) => [k, v instanceof Error ? v.message : v]));
      options.write(`${JSON.stringify({ time, level, msg: message, ...plain })}\n`);
      return;
    }
    const tail = Object.entries(all).map(([k, v]) => ` ${k}=${text(v)}`);
    options.write(`time="${time}" level=${level} msg=${JSON.stringify(message)}${tail.join("")}\n`);
  };
  return {
    debug: (m, f) => emit("debug", m, f),
    info: (m, f) => emit("info", m, f),
    warn: (m, f) => emit("warn", m, f),
    error: (m, f) => emit("error", m, f),
    child: (fields) => createLogger(options, { ...bound, ...fields }),
  };
}

/** A logger that drops everything; for tests. */
export const silentLogger: Logger = createLogger({ level: "fatal", format: "text", write: () => {} });
