import { DhowError, parseDuration } from "../../lib/mod.ts";

export type LogOptions = Readonly<Record<string, string>>;

/** The options that choose attributes, which all drivers have. */
export const ATTRIBUTE_OPTIONS: readonly string[] = ["labels", "labels-regex", "env", "env-regex", "tag"];

/** An option that is not what it should be. */
export function invalidOption(message: string): DhowError {
  return new DhowError("invalid", message);
}

/** Go's strconv.ParseBool. @throws invalid */
export function parseBoolOption(text: string, wrap: (reason: string) => string = (reason) => reason): boolean {
  if (/^(1|t|T|TRUE|true|True)$/.test(text)) return true;
  if (/^(0|f|F|FALSE|false|False)$/.test(text)) return false;
  throw invalidOption(wrap(`strconv.ParseBool: parsing ${JSON.stringify(text)}: invalid syntax`));
}

/** Go's strconv.Atoi; undefined when it is none. */
export function parseInteger(text: string): number | undefined {
  const value = /^[+-]?\d+$/.test(text) ? Number(text) : Number.NaN;
  return Number.isSafeInteger(value) ? value : undefined;
}

/** Go's strconv.ParseUint of so many bits. @throws invalid */
export function parseUnsigned(text: string, bits: number): number {
  const fail = (reason: string): DhowError => invalidOption(`strconv.ParseUint: parsing ${JSON.stringify(text)}: ${reason}`);
  if (!/^\d+$/.test(text)) throw fail("invalid syntax");
  if (Number(text) >= 2 ** bits) throw fail("value out of range");
  return Number(text);
}

/** Go's time.ParseDuration, in milliseconds. @throws invalid */
export function parseDurationMs(text: string, wrap: (reason: string) => string = (reason) => reason): number {
  const ns = parseDuration(text);
  if (ns !== undefined) return Number(ns) / 1e6;
  const isNumber = /^[+-]?(\d+\.?\d*|\.\d+)$/.test(text);
  throw invalidOption(
    wrap(isNumber ? `time: missing unit in duration ${JSON.stringify(text)}` : `time: invalid duration ${JSON.stringify(text)}`),
  );
}

/** go-units' sizes, `10m`, with powers of `base`. @throws invalid */
export function parseSizeOption(text: string, base: 1000 | 1024, wrap: (reason: string) => string = (reason) => reason): number {
  const match = /^(\d+(?:\.\d+)?) ?([kmgtp])?(?:i?b)?$/i.exec(text);
  if (match === null) throw invalidOption(wrap(`invalid size: '${text}'`));
  const power = match[2] === undefined ? 0 : "kmgtp".indexOf(match[2].toLowerCase()) + 1;
  return Math.floor(Number(match[1]) * base ** power);
}

/** An address option's parts. */
export interface AddressUrl {
  readonly scheme: string;
  /** `host:port` as it was written. */
  readonly authority: string;
  readonly path: string;
}

/** As much of Go's url.Parse as addresses need. @throws invalid in its words */
export function parseAddressUrl(text: string): AddressUrl {
  const fail = (reason: string): DhowError => invalidOption(`parse ${JSON.stringify(text)}: ${reason}`);
  if (text.startsWith(":")) throw fail("missing protocol scheme");
  const match = /^(?:([a-zA-Z][a-zA-Z0-9+.-]*):)?(.*)$/s.exec(text);
  const scheme = (match?.[1] ?? "").toLowerCase();
  const rest = (match?.[2] ?? "").replace(/[?#].*$/s, "");
  if (scheme === "" && /^[^/]*:/.test(rest)) throw fail("first path segment in URL cannot contain colon");
  if (!rest.startsWith("//")) return { scheme, authority: "", path: rest.startsWith("/") ? rest : "" };
  const slash = rest.indexOf("/", 2);
  const authority = rest.slice(2, slash < 0 ? undefined : slash).replace(/^.*@/, "");
  const path = decodePath(slash < 0 ? "" : rest.slice(slash));
  const port = /:([^:\]]*)$/.exec(authority)?.[1];
  if (port !== undefined && !/^\d*$/.test(port)) throw fail(`invalid port ${JSON.stringify(`:${port}`)} after host`);
  return { scheme, authority, path };
}

function decodePath(path: string): string {
  try {
    return decodeURIComponent(path);
  } catch {
    return path;
  }
}

/** The host and the port of an authority; the port is empty when there is none. @throws invalid in the words of Go's net.SplitHostPort */
export function splitAuthority(authority: string): { readonly host: string; readonly port: string } {
  if (!authority.startsWith("[") && authority.split(":").length > 2)
    throw invalidOption(`address ${authority}: too many colons in address`);
  const match = /^(?:\[([^\]]*)\]|([^:]*))(?::(.*))?$/.exec(authority);
  return { host: match?.[1] ?? match?.[2] ?? "", port: match?.[3] ?? "" };
}
