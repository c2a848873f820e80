import { posix } from "node:path";

/** A path as Go's filepath.Clean leaves it. */
export function cleanPath(path: string): string {
  const normal = posix.normalize(path);
  return normal.length > 1 && normal.endsWith("/") ? normal.slice(0, -1) : normal;
}

/** The last part of a path, as Go's filepath.Base has it: `.` for `/x/.` and the empty path, `/` for the root. */
export function baseName(path: string): string {
  if (path === "") return ".";
  const bare = path.replace(/\/+$/, "");
  return bare === "" ? "/" : bare.slice(bare.lastIndexOf("/") + 1);
}

/** Whether a path means what is in a directory: its last part is `.`. */
export function specifiesCurrentDir(path: string): boolean {
  return baseName(path) === ".";
}

/** Whether a path can only mean a directory: it ends with `/` or `/.`. */
export function assertsDirectory(path: string): boolean {
  return path.endsWith("/") || specifiesCurrentDir(path);
}

/** `cleaned` with the `/` or `/.` at its end that `original` has. */
export function preserveTrailing(cleaned: string, original: string): string {
  let path = cleaned;
  if (!specifiesCurrentDir(path) && specifiesCurrentDir(original)) path = path.endsWith("/") ? `${path}.` : `${path}/.`;
  return !path.endsWith("/") && original.endsWith("/") ? `${path}/` : path;
}

/** The directory and the last part of a path; a last `.` stays one. */
export function splitPath(path: string): { readonly dir: string; readonly base: string } {
  const cleaned = cleanPath(path);
  if (specifiesCurrentDir(path)) return { dir: cleaned, base: "." };
  return { dir: posix.dirname(cleaned), base: baseName(cleaned) };
}
