import { existsSync } from "node:fs";
import { FALLOC_FL_KEEP_SIZE, fallocate, isErrno, O_CLOEXEC, O_RDWR, open } from "../linux/mod.ts";

/** SQLite copies its log into the database when it has this many bytes (1000 pages), and then begins at its front again. */
const LOG_BYTES = 6 * 1024 * 1024;
/** For pages that are added to the database itself. */
const GROWTH_BYTES = 1024 * 1024;

/**
 * Has the file system set room aside for what is going to be written to a database, so that deleting works on a full disk, too.
 * The files' lengths stay as they are. Where that can't be done (no such call, no room even now) nothing happens.
 * @see fallocate(2), https://www.sqlite.org/wal.html#ckpt
 */
export function reserveRoom(path: string): void {
  for (const [file, bytes] of [
    [`${path}-wal`, LOG_BYTES],
    [path, fileSize(path) + GROWTH_BYTES],
  ] as const) {
    if (!existsSync(file)) continue;
    try {
      using fd = open(file, O_RDWR | O_CLOEXEC);
      fallocate(fd.fd, FALLOC_FL_KEEP_SIZE, 0, bytes);
    } catch (error) {
      if (!isErrno(error, "EOPNOTSUPP", "ENOSPC", "EDQUOT", "ENOSYS", "EINVAL")) throw error;
    }
  }
}

function fileSize(path: string): number {
  return existsSync(path) ? Bun.file(path).size : 0;
}
