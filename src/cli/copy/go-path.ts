import { lstatSync, readlinkSync } from "node:fs";
import { join, resolve } from "node:path";
import { preserveTrailing } from "../../files/mod.ts";
import { fileError } from "../env-file.ts";

const LINKS_MAX = 255;

/** A local path made absolute; a `/` or `/.` at its end stays. */
export function absolutePath(path: string): string {
  return preserveTrailing(resolve(path), path);
}

/** An absolute path without links, as Go's filepath.EvalSymlinks has it. @throws Error in Go's words for the part that is missing or no directory */
export function evalSymlinks(path: string): string {
  const todo = path.split("/").filter(Boolean).reverse();
  let here = "/";
  let links = 0;
  for (let name = todo.pop(); name !== undefined; name = todo.pop()) {
    const next = join(here, name);
    const stat = lstat(next);
    if (stat.isSymbolicLink()) {
      if (++links > LINKS_MAX) throw new Error("EvalSymlinks: too many links");
      const target = readlinkSync(next);
      if (target.startsWith("/")) here = "/";
      todo.push(...target.split("/").filter(Boolean).reverse());
      continue;
    }
    if (!stat.isDirectory() && (todo.length > 0 || path.endsWith("/"))) throw new Error("not a directory");
    here = next;
  }
  return here;
}

/** @throws Error in Go's words: `lstat /x: no such file or directory` */
export function lstat(path: string): ReturnType<typeof lstatSync> & object {
  try {
    return lstatSync(path);
  } catch (error) {
    throw fileError("lstat", path, error);
  }
}
