/** daemon.json: dockerd's keys, read into the forms of the flags. */
import { readFileSync } from "node:fs";
import { DhowError, errnoCode, errorMessage } from "../lib/mod.ts";
import { scanJson } from "../server/mod.ts";
import { type Flag, invalid, SETTINGS, type Values } from "./flags.ts";
import { maskCredentials } from "./proxies.ts";

function listOf(value: unknown, key: string): unknown[] {
  if (Array.isArray(value)) return value;
  throw invalid(`${JSON.stringify(key)} must be a list`);
}

/** One value of daemon.json as the flag would spell it. */
function fromFile(flag: Flag, value: unknown, key: string): string[] {
  const object = (v: unknown): [string, unknown][] => {
    if (typeof v !== "object" || v === null || Array.isArray(v)) throw invalid(`${JSON.stringify(key)} must be an object`);
    return Object.entries(v);
  };
  switch (flag.type) {
    case "list":
      // dockerd takes one address in place of a list
      return (typeof value === "string" && (flag.isForeign || flag.name === "host-gateway-ip") ? [value] : listOf(value, key)).map(String);
    case "map":
      return object(value).map(([k, v]) => `${k}=${String(v)}`);
    case "ulimits":
      return object(value).map(([k, v]) => {
        const limit = v as { Name?: string; Soft?: number; Hard?: number };
        return `${limit.Name ?? k}=${limit.Soft}:${limit.Hard}`;
      });
    case "pools":
      return listOf(value, key).map((v) => `base=${(v as { base: string }).base},size=${(v as { size: number }).size}`);
    case "runtimes":
      return object(value).map(([k, v]) =>
        [`${k}=${(v as { path: string }).path}`, ...((v as { runtimeArgs?: string[] }).runtimeArgs ?? [])].join("\0"),
      );
    case "any":
      return [JSON.stringify(value)];
    case "bool":
      if (typeof value !== "boolean") throw invalid(`${JSON.stringify(key)} must be true or false`);
      return [String(value)];
    default:
      if (typeof value !== "string" && typeof value !== "number") throw invalid(`${JSON.stringify(key)} must be a string or a number`);
      return [String(value)];
  }
}

/** An older key of dockerd's goes on to be one. */
function keysOf({ name, key }: Flag): readonly string[] {
  return name === "host-gateway-ip" ? [name, key ?? name] : [key ?? name];
}

function parseObject(text: string, fail: (what: string) => DhowError): Readonly<Record<string, unknown>> {
  if (text === "") return {};
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    const scanned = scanJson(text);
    throw fail(scanned.kind === "error" ? scanned.message.replace("unexpected EOF", "unexpected end of JSON input") : errorMessage(cause));
  }
  if (typeof value === "object" && value !== null && !Array.isArray(value)) return value as Readonly<Record<string, unknown>>;
  const word = Array.isArray(value) ? "array" : typeof value === "boolean" ? "bool" : typeof value;
  throw fail(`json: cannot unmarshal ${word} into Go value of type map[string]interface {}`);
}

/** dockerd keeps the three settings of proxies in an object of their own. */
function withProxies(
  { proxies = {}, ...json }: Readonly<Record<string, unknown>>,
  fail: (what: string) => DhowError,
): Readonly<Record<string, unknown>> {
  if (typeof proxies !== "object" || proxies === null || Array.isArray(proxies)) throw fail('"proxies" must be an object');
  return { ...json, ...proxies };
}

/** Reads the file; a missing one is empty unless it was asked for. @throws invalid in dockerd's words */
export function readConfigFile(path: string, isExplicit: boolean, flags: Values): Values {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (cause) {
    if (errnoCode(cause) === "ENOENT" && !isExplicit) return new Map();
    throw new DhowError(
      "invalid",
      `unable to configure the Docker daemon with file ${path}: open ${path}: ${errnoCode(cause) === "ENOENT" ? "no such file or directory" : errorMessage(cause)}`,
      { cause },
    );
  }
  const fail = (what: string): DhowError => invalid(`unable to configure the Docker daemon with file ${path}: ${what}`);
  const json = withProxies(parseObject(text.replace(/^\uFEFF/, "").trim(), fail), fail);
  const byKey = new Map(SETTINGS.flatMap((flag) => keysOf(flag).map((key) => [key, flag] as const)));
  const unknown = Object.keys(json).filter((key) => !byKey.has(key));
  if (unknown.length > 0) throw fail(`the following directives don't match any configuration option: ${unknown.join(", ")}`);
  const values: Values = new Map();
  const clashes: string[] = [];
  for (const [key, value] of Object.entries(json)) {
    const flag = byKey.get(key);
    // what is null is not given, to Go
    if (!flag || value === null) continue;
    try {
      values.set(flag.name, fromFile(flag, value, key));
    } catch (error) {
      throw fail(errorMessage(error));
    }
    if (flags.has(flag.name) && flag.type !== "map" && flag.type !== "runtimes") {
      const given = [flags.get(flag.name)?.join(" ") ?? "", JSON.stringify(value).replaceAll('"', "")].map(maskCredentials);
      clashes.push(`${key}: (from flag: ${given[0]}, from file: ${given[1]})`);
    }
  }
  if (clashes.length > 0)
    throw fail(`the following directives are specified both as a flag and in the configuration file: ${clashes.join(", ")}`);
  return values;
}
