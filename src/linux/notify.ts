import { cstr, type PathArg } from "./cstr.ts";
import { check } from "./errno.ts";
import { Fd, read } from "./fd.ts";
import { libc } from "./libc.ts";

const EFD_CLOEXEC = 0o2000000;
const EFD_NONBLOCK = 0o4000;
const IN_CLOEXEC = 0o2000000;
const IN_NONBLOCK = 0o4000;

export const IN_MODIFY = 0x2;
export const IN_CREATE = 0x100;
export const IN_DELETE = 0x200;
export const IN_DELETE_SELF = 0x400;
export const IN_IGNORED = 0x8000;

/** A counter that others add to, readable while it isn't 0; never waits. See eventfd(2). @throws {SysError} */
export function eventfd(): Fd {
  return new Fd(check(libc.symbols.eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), "eventfd"));
}

/** What was added to an eventfd since the last look; 0 when nothing was. @throws {SysError} */
export function readEventfd(fd: number): number {
  const bytes = new Uint8Array(8);
  if (read(fd, bytes) !== 8) return 0;
  return Number(new DataView(bytes.buffer).getBigUint64(0, true));
}

/** A queue of file events that never waits. See inotify(7). @throws {SysError} EMFILE */
export function inotify(): Fd {
  return new Fd(check(libc.symbols.inotify_init1(IN_CLOEXEC | IN_NONBLOCK), "inotify_init1"));
}

/** Watches `path` for the events of `mask` (IN_*); returns the watch's number. @throws {SysError} ENOENT, ENOSPC */
export function inotifyAddWatch(fd: number, path: PathArg, mask: number): number {
  const name = cstr(path);
  return check(libc.symbols.inotify_add_watch(fd, name, mask), "inotify_add_watch", path);
}

/** Takes every event that waits and returns the bits of all of them; 0 when none does. @throws {SysError} */
export function drainInotify(fd: number): number {
  const bytes = new Uint8Array(4096);
  const view = new DataView(bytes.buffer);
  let seen = 0;
  for (let length = read(fd, bytes); length > 0; length = read(fd, bytes)) {
    // struct inotify_event: wd i32, mask u32, cookie u32, len u32, name
    for (let at = 0; at < length; at += 16 + view.getUint32(at + 12, true)) seen |= view.getUint32(at + 4, true);
  }
  return seen;
}
