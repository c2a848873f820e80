import { lstat, readdir } from "node:fs/promises";
import { errnoCode } from "../lib/mod.ts";

/** The bytes of every file below `directory`, a file with several names counted once; a file that goes away meanwhile counts nothing. */
export async function directorySize(directory: string): Promise<number> {
  const seen = new Set<string>();
  const pending = [directory];
  let total = 0;
  for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
    for (const name of await present(readdir(next), [])) {
      const path = `${next}/${name}`;
      const stat = await present(lstat(path), undefined);
      if (!stat) continue;
      if (stat.isDirectory()) pending.push(path);
      else if (stat.nlink < 2 || !seen.has(`${stat.dev}:${stat.ino}`)) total += stat.size;
      if (stat.nlink > 1) seen.add(`${stat.dev}:${stat.ino}`);
    }
  }
  return total;
}

async function present<T>(work: Promise<T>, otherwise: T): Promise<T> {
  try {
    return await work;
  } catch (error) {
    if (["ENOENT", "ENOTDIR"].includes(errnoCode(error) ?? "")) return otherwise;
    throw error;
  }
}
