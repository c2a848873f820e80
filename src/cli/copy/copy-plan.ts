import { assertsDirectory, baseName, specifiesCurrentDir, splitPath } from "../../files/mod.ts";

/** One end of a copy. */
export interface CopyInfo {
  readonly path: string;
  readonly exists: boolean;
  readonly isDir: boolean;
  /** What the source was called before links were followed; empty when that is its name. */
  readonly rebaseName: string;
}

/** Where an archive is unpacked, and what its root entry, called `from` in it, is to be called there. */
export interface CopyPlan {
  readonly dir: string;
  readonly rename: { readonly from: string; readonly to: string } | undefined;
}

/**
 * Decides where a copy goes by what there is at both ends: into a directory that exists, over a file, or under the destination's name.
 * @throws Error in docker's words
 */
export function planCopy(source: CopyInfo, destination: CopyInfo): CopyPlan {
  if (destination.exists && destination.isDir) return { dir: destination.path, rename: undefined };
  if (destination.exists && source.isDir) throw new Error("cannot copy directory");
  if (!destination.exists && !source.isDir && assertsDirectory(destination.path)) throw new Error("no such directory");
  const { dir, base: to } = splitPath(destination.path);
  const from = source.rebaseName === "" ? splitPath(source.path).base : source.rebaseName;
  return { dir, rename: { from, to } };
}

/** Renames the first occurrence, as docker does with the entries of an archive; the root's name stands for nothing. */
export function renamer({ from, to }: { readonly from: string; readonly to: string }): (name: string) => string {
  const old = from === "/" ? "" : from;
  return (name) => {
    const at = name.indexOf(old);
    return at < 0 ? name : name.slice(0, at) + to + name.slice(at + old.length);
  };
}

/** The path that a followed link led to, with what the asked one had at its end, and the asked one's name where that differs. */
export function rebaseName(path: string, resolved: string): { readonly path: string; readonly rebaseName: string } {
  let target = resolved;
  if (specifiesCurrentDir(path) && !specifiesCurrentDir(target)) target += "/.";
  if (path.endsWith("/") && !target.endsWith("/")) target += "/";
  return { path: target, rebaseName: baseName(path) === baseName(target) ? "" : baseName(path) };
}

/** Splits `CONTAINER:PATH`; a path that begins with `/` or `.` is a local one, whatever is in it. */
export function splitArgument(argument: string): { readonly container: string; readonly path: string } {
  const colon = argument.indexOf(":");
  if (argument.startsWith("/") || argument.startsWith(".") || colon < 0) return { container: "", path: argument };
  return { container: argument.slice(0, colon), path: argument.slice(colon + 1) };
}
