import { readlinkSync } from "node:fs";
import { join } from "node:path";
import {
  isErrno,
  O_CLOEXEC,
  O_CREAT,
  O_DIRECTORY,
  O_EXCL,
  O_NOFOLLOW,
  O_PATH,
  O_WRONLY,
  open,
  openat,
  openat2,
  RESOLVE_IN_ROOT,
  symlinkat,
} from "../../linux/mod.ts";

const MOUNTS = "/proc/mounts";

/** What of the size of a container's own layer is docker's doing and not the container's, in bytes. */
export function markBytes(upper: string): number {
  try {
    return readlinkSync(join(upper, "etc/mtab")) === MOUNTS ? MOUNTS.length : 0;
  } catch {
    return 0;
  }
}

/**
 * Puts into a new root file system what docker puts there and programs look for: `/.dockerenv`, by which they know that they are in a
 * container, and `/etc/mtab`, a link to the list of mounts, where the image has an /etc without one.
 * @throws {SysError}
 */
export function markRoot(rootfs: string): void {
  using root = open(rootfs, O_PATH | O_DIRECTORY | O_CLOEXEC);
  try {
    openat(root.fd, ".dockerenv", O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0o755)[Symbol.dispose]();
  } catch (error) {
    if (!isErrno(error, "EEXIST")) throw error;
  }
  try {
    using etc = openat2(root.fd, "etc", { flags: O_PATH | O_DIRECTORY | O_CLOEXEC, resolve: RESOLVE_IN_ROOT });
    symlinkat(MOUNTS, etc.fd, "mtab");
  } catch (error) {
    if (!isErrno(error, "EEXIST", "ENOENT", "ENOTDIR")) throw error;
  }
}
