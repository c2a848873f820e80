import { closeSync, fsyncSync, openSync, renameSync, unlinkSync, writeSync } from "node:fs";
import { randomHex } from "./ids.ts";

/** Replaces `path` with `data` in one step: readers see the old bytes or the new, also after a crash. */
export function writeFileAtomic(
  path: string,
  data: string | Uint8Array,
  options: { readonly mode?: number; readonly sync?: boolean } = {},
): void {
  const temporary = `${path}.${randomHex(4)}.tmp`;
  const fd = openSync(temporary, "wx", options.mode ?? 0o644);
  try {
    const bytes = typeof data === "string" ? Buffer.from(data) : data;
    for (let done = 0; done < bytes.length; ) done += writeSync(fd, bytes, done);
    if (options.sync) fsyncSync(fd);
    closeSync(fd);
    renameSync(temporary, path);
  } catch (error) {
    try {
      closeSync(fd);
    } catch {
      // it was closed before the rename failed
    }
    unlinkSync(temporary);
    throw error;
  }
}
