import { lstat, readdir } from "node:fs/promises";
import { join } from "node:path";
import { errnoCode } from "../lib/mod.ts";
import type { SnapshotUsage } from "./snapshotter.ts";

/**
 * What the files below `root` take: sizes of everything but directories, each inode once, as docker counts.
 * With `base`, files that are the same there (type, size, modification time) don't count.
 */
export async function usageOf(root: string, base?: string): Promise<SnapshotUsage> {
  const seen = new Set<number>();
  let sizeBytes = 0;
  const walk = async (path: string): Promise<void> => {
    for (const entry of await list(path)) {
      const file = join(path, entry.name);
      const stat = await stats(file);
      // it may have gone meanwhile: containers write while this runs
      if (stat === undefined || seen.has(stat.ino)) continue;
      const old = base === undefined ? undefined : await stats(join(base, file.slice(root.length)));
      const isSame = old !== undefined && old.mode === stat.mode && old.size === stat.size && old.mtimeMs === stat.mtimeMs;
      if (!isSame) seen.add(stat.ino);
      if (!isSame && !entry.isDirectory()) sizeBytes += stat.size;
      if (entry.isDirectory()) await walk(file);
    }
  };
  await walk(root);
  return { sizeBytes, inodes: seen.size + 1 };
}

async function list(path: string) {
  try {
    return await readdir(path, { withFileTypes: true });
  } catch (error) {
    if (errnoCode(error) === "ENOENT") return [];
    throw error;
  }
}

async function stats(path: string) {
  try {
    return await lstat(path);
  } catch (error) {
    if (errnoCode(error) === "ENOENT" || errnoCode(error) === "ENOTDIR") return undefined;
    throw error;
  }
}
