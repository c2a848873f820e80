import { statSync } from "node:fs";
import { baseName, FileView, pack, splitPath } from "../../files/mod.ts";
import { breather, errorMessage } from "../../lib/mod.ts";
import { O_DIRECTORY, O_PATH, open } from "../../linux/mod.ts";
import { type CopyInfo, rebaseName } from "./copy-plan.ts";
import { evalSymlinks, lstat } from "./go-path.ts";

/** What a local source is: links before its last part are followed, the last one with `followLink`. @throws Error in Go's words */
export function localSource(path: string, followLink: boolean): CopyInfo {
  const resolved = followLink ? rebaseName(path, evalSymlinks(path)) : resolveParent(path);
  return { ...resolved, exists: true, isDir: lstat(resolved.path).isDirectory() };
}

function resolveParent(path: string): { readonly path: string; readonly rebaseName: string } {
  const slash = path.lastIndexOf("/");
  const parent = evalSymlinks(path.slice(0, slash + 1));
  // below the root that makes two slashes, as docker has it in its messages
  const resolved = `${parent}/${path.slice(slash + 1)}`;
  const isRenamed = path.endsWith("/") && baseName(path) !== baseName(resolved);
  return { path: resolved, rebaseName: isRenamed ? baseName(path) : "" };
}

export interface LocalArchiveOptions {
  /** What the source is called in the archive; without it, as it is. */
  readonly name?: string | undefined;
  readonly signal: AbortSignal;
  readonly warn: (line: string) => void;
}

/** The archive of a local file or directory. */
export async function* localArchive(source: CopyInfo, options: LocalArchiveOptions): AsyncGenerator<Uint8Array, void, void> {
  const { dir, base } = splitPath(source.path);
  const name = options.name ?? (source.rebaseName === "" ? base : source.rebaseName);
  // a directory that is named with a slash may be a link
  const isDirectory = statSync(source.path, { throwIfNoEntry: false })?.isDirectory() ?? false;
  const root = base === "." || (isDirectory && source.path.endsWith("/")) ? source.path : dir;
  using view = new FileView({ root: open(root, O_PATH | O_DIRECTORY) });
  const place = root === source.path ? view.root : view.child(view.root.dir, base);
  yield* pack(view, place, name, {
    signal: options.signal,
    breathe: breather(),
    onFault: (path, error) => options.warn(`Can't add file ${root}${path} to tar: ${errorMessage(error)}`),
  });
}
