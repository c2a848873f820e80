import { closeSync, openSync } from "node:fs";
import { join } from "node:path";
import {
  type Fd,
  isMountPoint,
  MS_BIND,
  MS_NOEXEC,
  MS_NOSUID,
  MS_RDONLY,
  MS_REMOUNT,
  mount,
  O_CLOEXEC,
  O_RDWR,
  open,
} from "../../linux/mod.ts";

/**
 * Opens the null device through a read-only mount at `<execRoot>/null`. crun gives the standard streams that it is started with to the
 * user of a container in a user namespace, and would give away the host's own /dev/null; on a read-only mount nobody changes an owner.
 * The mount is in the daemon's namespace and is made when it isn't there.
 * @throws {SysError}
 */
export function openFixedNull(execRoot: string): Fd {
  const place = join(execRoot, "null");
  if (!isMountPoint(place)) {
    closeSync(openSync(place, "a"));
    mount("/dev/null", place, null, MS_BIND);
    mount(null, place, null, MS_BIND | MS_REMOUNT | MS_RDONLY | MS_NOSUID | MS_NOEXEC);
  }
  return open(place, O_RDWR | O_CLOEXEC);
}
