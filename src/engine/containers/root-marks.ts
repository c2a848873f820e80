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
    symlinkat("/proc/mounts", etc.fd, "mtab");
  } catch (error) {
    if (!isErrno(error, "EEXIST", "ENOENT", "ENOTDIR")) throw error;
  }
}
