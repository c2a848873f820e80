import { DhowError } from "../lib/mod.ts";
import type { Filters } from "../spec/engine/mod.ts";
import { parsePlatform } from "../spec/oci/mod.ts";

/** A list stands in the query once per value. */
export type QueryValue = string | number | boolean | undefined | null | readonly string[];

/** Path and query; what is undefined, false or empty is left out. */
export function target(path: string, query: Readonly<Record<string, QueryValue>> = {}): string {
  const parts: string[] = [];
  const add = (name: string, value: string) => parts.push(`${encodeURIComponent(name)}=${encodeURIComponent(value)}`);
  for (const [name, value] of Object.entries(query)) {
    if (value === undefined || value === null || value === false || value === "") continue;
    if (value === true) add(name, "1");
    else if (typeof value === "object") for (const item of value) add(name, item);
    else add(name, String(value));
  }
  return parts.length === 0 ? path : `${path}?${parts.join("&")}`;
}

/** The `filters` parameter in its map form, which every version understands. */
export function filtersParameter(filters: Filters): string | undefined {
  const keys = Object.keys(filters);
  if (keys.length === 0) return undefined;
  return JSON.stringify(
    Object.fromEntries(keys.map((key) => [key, Object.fromEntries((filters[key] ?? []).map((value) => [value, true]))])),
  );
}

/** The name or id of an `object` without spaces around it. @throws invalid, in docker's words, when it is empty */
export function checkedName(ref: string, object: string): string {
  const name = ref.trim();
  if (name === "") throw new DhowError("invalid", `invalid ${object} name or ID: value is empty`);
  return name;
}

/** The name or id of an `object` as one part of a path. @throws invalid when it is empty: without it the path would be another's */
export function segment(ref: string, object: string): string {
  return encodeURIComponent(checkedName(ref, object));
}

/** An image's name within a path: its slashes stay. @throws notFound when it is empty */
export function imagePath(ref: string): string {
  if (ref === "") throw new DhowError("notFound", "Error: No such image: ");
  return ref.split("/").map(encodeURIComponent).join("/").replace(/%3A/g, ":").replace(/%40/g, "@");
}

/** `os[/arch[/variant]]` as the API wants it in queries: an OCI platform. @throws invalid */
export function platformParameter(platform: string | undefined): string | undefined {
  return platform === undefined || platform === "" ? undefined : JSON.stringify(parsePlatform(platform));
}

/** Of `1.<minor>`. */
export function minor(version: string): number {
  return Number(version.split(".")[1] ?? 0);
}

/** The API's form of a time: seconds and a fraction. */
export function seconds(ns: bigint): string {
  return `${ns / 1_000_000_000n}.${(ns % 1_000_000_000n).toString().padStart(9, "0")}`;
}
