import { mkdirSync, rmdirSync } from "node:fs";
import { errnoCode } from "../../lib/mod.ts";
import { isMountPoint, MNT_DETACH, MS_NODEV, MS_NOEXEC, MS_NOSUID, mount, type Owner, umount } from "../../linux/mod.ts";

/**
 * Mounts the /dev/shm of a shareable container at `path` (made when missing), where those that join its IPC namespace find it too:
 * `SpecInput.shmPath` of each. `owner` is whom it belongs to on the host. A private container needs none of this. Mounted already: nothing
 * happens. @throws {SysError}
 */
export function mountShm(path: string, sizeBytes: number, owner: Owner = { uid: 0, gid: 0 }): void {
  mkdirSync(path, { recursive: true, mode: 0o700 });
  if (isMountPoint(path)) return;
  mount("shm", path, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, `mode=1777,size=${sizeBytes},uid=${owner.uid},gid=${owner.gid}`);
}

/** Takes away what `mountShm` made, when the container that gave it has stopped; containers that have it bound keep it. */
export function unmountShm(path: string): void {
  if (isMountPoint(path)) umount(path, MNT_DETACH);
  try {
    rmdirSync(path);
  } catch (error) {
    if (errnoCode(error) !== "ENOENT") throw error;
  }
}
