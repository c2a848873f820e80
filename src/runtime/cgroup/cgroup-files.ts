import { readdirSync, readFileSync, rmdirSync, writeFileSync } from "node:fs";
import { errnoCode } from "../../lib/mod.ts";

/** The text of a cgroup file without its last newline; undefined when the group or the file isn't there (any more). */
export function readCgroupFile(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8").trimEnd();
  } catch (error) {
    if (["ENOENT", "ENODEV", "EOPNOTSUPP", "ENOTDIR"].includes(errnoCode(error) ?? "")) return undefined;
    throw error;
  }
}

/** Whether a cgroup file could not be read or written because its group is gone: before it was opened, or since. */
export function isGroupGone(error: unknown): boolean {
  return ["ENOENT", "ENODEV"].includes(errnoCode(error) ?? "");
}

/** Writes a cgroup file. @throws a `node:fs` error: ENOENT or ENODEV without the group, EINVAL, EBUSY, EPERM */
export function writeCgroupFile(path: string, value: string | number): void {
  writeFileSync(path, String(value), { flag: "w" });
}

/** The number in a cgroup file; `max` is Infinity, what isn't there is 0. */
export function readNumber(path: string): number {
  return toNumber(readCgroupFile(path));
}

/** The number that a cgroup file shows: `max` is Infinity, nothing is 0. */
export function toNumber(text: string | undefined): number {
  if (text === undefined || text === "") return 0;
  return text === "max" ? Number.POSITIVE_INFINITY : Number(text);
}

/** `key value` lines, as in memory.stat. */
export function parseFlat(text: string | undefined): Map<string, number> {
  const values = new Map<string, number>();
  for (const line of (text ?? "").split("\n")) {
    const at = line.indexOf(" ");
    if (at > 0) values.set(line.slice(0, at), Number(line.slice(at + 1)));
  }
  return values;
}

/** The groups below `path`, deepest first, then `path` itself. Empty when there is no such group. */
export function groupsBelow(path: string): string[] {
  let names: string[];
  try {
    names = readdirSync(path, { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .map((entry) => entry.name);
  } catch (error) {
    if (errnoCode(error) === "ENOENT") return [];
    throw error;
  }
  return [...names.flatMap((name) => groupsBelow(`${path}/${name}`)), path];
}

/** The processes of a group and of the groups below it. */
export function processesBelow(path: string): number[] {
  const pids = new Set<number>();
  for (const group of groupsBelow(path)) {
    for (const line of (readCgroupFile(`${group}/cgroup.procs`) ?? "").split("\n")) if (line !== "") pids.add(Number(line));
  }
  return [...pids].sort((a, b) => a - b);
}

/** Removes a group and the groups below it; false while a process is left in one of them. */
export function removeGroups(path: string): boolean {
  let clean = true;
  for (const group of groupsBelow(path)) {
    try {
      rmdirSync(group);
    } catch (error) {
      if (errnoCode(error) === "EBUSY" || errnoCode(error) === "ENOTEMPTY") clean = false;
      else if (errnoCode(error) !== "ENOENT") throw error;
    }
  }
  return clean;
}
