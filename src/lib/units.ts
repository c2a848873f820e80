/** A length of time in docker's words: "Less than a second", "5 seconds", "About a minute", "3 weeks". */
export function humanDuration(ms: number): string {
  const seconds = Math.floor(ms / 1000);
  if (seconds < 1) return "Less than a second";
  if (seconds === 1) return "1 second";
  if (seconds < 60) return `${seconds} seconds`;
  const minutes = Math.floor(seconds / 60);
  if (minutes === 1) return "About a minute";
  if (minutes < 60) return `${minutes} minutes`;
  const hours = Math.floor(seconds / 3600 + 0.5);
  if (hours === 1) return "About an hour";
  if (hours < 48) return `${hours} hours`;
  if (hours < 24 * 7 * 2) return `${Math.floor(hours / 24)} days`;
  if (hours < 24 * 30 * 2) return `${Math.floor(hours / 24 / 7)} weeks`;
  if (hours < 24 * 365 * 2) return `${Math.floor(hours / 24 / 30)} months`;
  return `${Math.floor(hours / 24 / 365)} years`;
}

/** Four significant digits, as Go's %.4g. */
function fourDigits(value: number): string {
  return String(Number(value.toPrecision(4)));
}

function scaled(value: number, base: number, units: readonly string[]): string {
  let unit = 0;
  let rest = value;
  while (rest >= base && unit < units.length - 1) {
    rest /= base;
    unit++;
  }
  return `${fourDigits(rest)}${units[unit]}`;
}

/** Bytes in decimal units with `digits` significant digits, as docker's tables show sizes: 1.24MB. */
export function humanSize(bytes: number, digits = 4): string {
  const units = ["B", "kB", "MB", "GB", "TB", "PB"];
  let unit = 0;
  let rest = bytes;
  while (rest >= 1000 && unit < units.length - 1) {
    rest /= 1000;
    unit++;
  }
  return `${Number(rest.toPrecision(digits))}${units[unit]}`;
}

/** Bytes in binary units, as `docker stats` shows them: 1.19MiB. */
export function bytesSize(bytes: number): string {
  return scaled(bytes, 1024, ["B", "KiB", "MiB", "GiB", "TiB", "PiB"]);
}

/** Parses `10m`, `1.5GiB`, `512` in binary units, as docker's --memory does. Undefined when it is no size. */
export function parseBytes(text: string): number | undefined {
  const match = /^(\d+(?:\.\d+)?) ?([kmgtp]?)(?:i?b)?$/i.exec(text.trim());
  if (!match) return undefined;
  const power = " kmgtp".indexOf((match[2] ?? "").toLowerCase() || " ");
  return Math.trunc(Number(match[1]) * 1024 ** power);
}

const DURATION_UNITS: Readonly<Record<string, bigint>> = {
  ns: 1n,
  us: 1_000n,
  µs: 1_000n,
  μs: 1_000n,
  ms: 1_000_000n,
  s: 1_000_000_000n,
  m: 60_000_000_000n,
  h: 3_600_000_000_000n,
};

/** The longest time that Go's 64 bits hold, in nanoseconds. */
const DURATION_MAX = 2n ** 63n - 1n;
/** Digits after the point that a time of 64 bits can show. */
const FRACTION_DIGITS = 18;

/** Parses a Go duration (`1h30m`, `1.5s`, `-2ms`) to nanoseconds; undefined when it is none, or longer than Go can say. */
export function parseDuration(text: string): bigint | undefined {
  const match = /^([+-]?)((?:\d+(?:\.\d*)?|\.\d+)(?:ns|us|µs|μs|ms|s|m|h))+$/.exec(text);
  if (/^[+-]?0$/.test(text)) return 0n;
  if (!match) return undefined;
  let total = 0n;
  for (const [, amount = "", name = ""] of text.matchAll(/(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|μs|ms|s|m|h)/g)) {
    const [whole = "", fraction = ""] = amount.split(".");
    if (whole.replace(/^0+/, "").length > 19) return undefined;
    const unit = DURATION_UNITS[name] ?? 0n;
    const part = fraction.slice(0, FRACTION_DIGITS);
    total += BigInt(whole || "0") * unit + (BigInt(part || "0") * unit) / 10n ** BigInt(part.length);
    if (total > DURATION_MAX) return undefined;
  }
  return match[1] === "-" ? -total : total;
}
