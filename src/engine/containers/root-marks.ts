import {
  AT_FDCWD,
  fstat,
  isErrno,
  mkdirat,
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
  procFdPath,
  RESOLVE_BENEATH,
  RESOLVE_IN_ROOT,
  RESOLVE_NO_SYMLINKS,
  readlinkat,
  symlinkat,
  UTIME_OMIT,
  utimensat,
} from "../../linux/mod.ts";
import { INITIAL_STATE } from "./container.ts";
import type { Container } from "./store.ts";

const MOUNTS = "/proc/mounts";
const NEW_FILE = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;

/** What of the size of a container's own layer is docker's doing and not the container's, in bytes. */
export function markBytes(upper: string): number {
  try {
    using root = open(upper, O_PATH | O_DIRECTORY | O_CLOEXEC);
    using etc = openat2(root.fd, "etc", { flags: O_PATH | O_DIRECTORY | O_CLOEXEC, resolve: RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS });
    return readlinkat(etc.fd, "mtab").toString() === MOUNTS ? MOUNTS.length : 0;
  } catch {
    return 0;
  }
}

/**
 * Puts into a new root file system what docker puts there and programs look for: `/.dockerenv`, by which they know that they are in a
 * container, `/etc/mtab`, a link to the list of mounts, and the places of what is mounted in every container, where the image has none.
 * `/etc` keeps its time: nobody has changed it.
 * @throws {SysError}
 */
export function markRoot(rootfs: string): void {
  using root = open(rootfs, O_PATH | O_DIRECTORY | O_CLOEXEC);
  makeUnlessThere(() => openat(root.fd, ".dockerenv", NEW_FILE, 0o755).close());
  for (const name of ["dev", "proc", "sys"]) makeUnlessThere(() => mkdirat(root.fd, name, 0o755));
  try {
    using etc = openat2(root.fd, "etc", { flags: O_PATH | O_DIRECTORY | O_CLOEXEC, resolve: RESOLVE_IN_ROOT });
    const { mtimeNs } = fstat(etc.fd);
    let isChanged = makeUnlessThere(() => symlinkat(MOUNTS, etc.fd, "mtab"));
    for (const name of ["hostname", "hosts", "resolv.conf"])
      isChanged = makeUnlessThere(() => openat(etc.fd, name, NEW_FILE, 0o644).close()) || isChanged;
    if (isChanged) utimensat(AT_FDCWD, procFdPath(etc.fd), { atimeNs: UTIME_OMIT, mtimeNs });
  } catch (error) {
    if (!isErrno(error, "ENOENT", "ENOTDIR")) throw error;
  }
}

/** Whether a container has its marks still to come, by its first start or by who looks into it before. */
export function isUnmarked({ state }: Container): boolean {
  return state.startedAt === INITIAL_STATE.startedAt;
}

/** Returns whether it was made. */
function makeUnlessThere(make: () => void): boolean {
  try {
    make();
    return true;
  } catch (error) {
    if (!isErrno(error, "EEXIST")) throw error;
    return false;
  }
}
