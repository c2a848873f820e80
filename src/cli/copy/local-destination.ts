import { lstatSync, readlinkSync, type Stats, statSync } from "node:fs";
import { dirname, join } from "node:path";
import { cleanPath, extract, FileView, splitPath } from "../../files/mod.ts";
import { breather, errnoCode } from "../../lib/mod.ts";
import { O_DIRECTORY, O_PATH, open } from "../../linux/mod.ts";
import { fileError } from "../env-file.ts";
import { type CopyInfo, planCopy, renamer } from "./copy-plan.ts";
import { lstat } from "./go-path.ts";

const LINKS_MAX = 10;

/** Refuses a local destination that nothing can be written to. @throws Error in docker's words */
export function checkOutputPath(path: string): void {
  const dir = dirname(cleanPath(path));
  if (dir !== "." && !exists(dir)) throw new Error(`invalid output path: directory ${JSON.stringify(dir)} does not exist`);
  const stat = tryStat(path);
  if (stat?.isBlockDevice() || stat?.isCharacterDevice()) {
    throw new Error(`invalid output path: ${JSON.stringify(path)} must be a directory or a regular file: got a device`);
  }
}

function exists(path: string): boolean {
  try {
    return statSync(path, { throwIfNoEntry: false }) !== undefined;
  } catch {
    // whatever else is wrong with it comes up when it is written to
    return true;
  }
}

function tryStat(path: string): Stats | undefined {
  try {
    return statSync(path, { throwIfNoEntry: false });
  } catch (error) {
    throw fileError("stat", path, error);
  }
}

/** What a local destination is; links are followed, also to what doesn't exist. @throws Error in docker's words */
export function localDestination(path: string): CopyInfo {
  let here = path;
  for (let links = 0; ; links++) {
    const stat = tryLstat(here);
    if (stat === undefined) {
      if (!lstat(splitPath(here).dir).isDirectory()) throw new Error("not a directory");
      return { path: here, exists: false, isDir: false, rebaseName: "" };
    }
    if (!stat.isSymbolicLink()) return { path: here, exists: true, isDir: stat.isDirectory(), rebaseName: "" };
    if (links > LINKS_MAX) throw new Error(`too many symlinks in ${path}`);
    const target = readlinkSync(here);
    here = target.startsWith("/") ? target : join(splitPath(here).dir, target);
  }
}

function tryLstat(path: string): Stats | undefined {
  try {
    return lstatSync(path);
  } catch (error) {
    if (errnoCode(error) === "ENOENT") return undefined;
    throw fileError("lstat", path, error);
  }
}

/**
 * Unpacks the archive of `source`, a part of a container, to the local `path`. The directory that it goes to is the root of everything in
 * the archive: no link in it leads out. Files belong to the caller.
 * @throws Error in docker's words
 */
export async function unpackLocally(
  archive: AsyncIterable<Uint8Array>,
  source: CopyInfo,
  path: string,
  signal: AbortSignal,
): Promise<void> {
  const before = source.rebaseName === "" ? undefined : { from: splitPath(source.path).base, to: source.rebaseName };
  const plan = planCopy(source, localDestination(path));
  const renames = [before, plan.rename].flatMap((rename) => (rename ? [renamer(rename)] : []));
  using view = new FileView({ root: open(plan.dir, O_PATH | O_DIRECTORY) });
  await extract(archive, view, "/", {
    signal,
    breathe: breather(),
    noOverwriteDirNonDir: true,
    owner: "caller",
    rename: (name) => renames.reduce((renamed, rename) => rename(renamed), name),
    shownRoot: cleanPath(plan.dir),
  });
}
