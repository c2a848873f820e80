import { cstr, type PathArg } from "./cstr.ts";
import { check, errno, SysError } from "./errno.ts";
import { Fd } from "./fd.ts";
import { libc, SYS } from "./libc.ts";
import { AT_FDCWD } from "./stat.ts";

const FSOPEN_CLOEXEC = 1;
const FSCONFIG_SET_FLAG = 0;
const FSCONFIG_SET_STRING = 1;
const FSCONFIG_CMD_CREATE = 6;
const FSMOUNT_CLOEXEC = 1;
const MOVE_MOUNT_F_EMPTY_PATH = 4;
const MESSAGE_MAX = 4096;

/** Attributes of a mount made by `mountWith`. @see fsmount(2) */
export const MOUNT_ATTR_RDONLY = 0x1;
export const MOUNT_ATTR_NOSUID = 0x2;
export const MOUNT_ATTR_NODEV = 0x4;
export const MOUNT_ATTR_NOEXEC = 0x8;

/** An option of a file system: its name, and its value or null for one that has none. */
export type MountOption = readonly [name: string, value: string | null];

/**
 * Mounts a new file system at `target` with options given one by one, so that all of them together may be longer than the page that
 * mount(2) takes: an overlay of many layers gives one `lowerdir+` each (Linux 6.5). `attributes` are MOUNT_ATTR_*.
 * @throws {SysError} ENOSYS before Linux 5.2; EINVAL for an option that this kernel does not know; the kernel's own words are its cause
 * @see fsopen(2), fsconfig(2), fsmount(2), move_mount(2)
 */
export function mountWith(fstype: string, options: readonly MountOption[], target: PathArg, attributes = 0): void {
  using context = new Fd(check(libc.syscall.pi(SYS.fsopen, cstr(fstype), FSOPEN_CLOEXEC), "fsopen", fstype));
  for (const [name, value] of options) configure(context.fd, value === null ? FSCONFIG_SET_FLAG : FSCONFIG_SET_STRING, name, value);
  configure(context.fd, FSCONFIG_CMD_CREATE, null, null);
  using mounted = new Fd(check(libc.syscall.ints(SYS.fsmount, context.fd, FSMOUNT_CLOEXEC, attributes, 0, 0), "fsmount", target));
  const [empty, to] = [cstr(""), cstr(target)];
  check(libc.syscall.ipipi(SYS.move_mount, mounted.fd, empty, AT_FDCWD, to, MOVE_MOUNT_F_EMPTY_PATH), "move_mount", target);
}

function configure(context: number, command: number, name: string | null, value: string | null): void {
  const key = name === null ? null : cstr(name);
  const text = value === null ? null : cstr(value);
  if (libc.syscall.iippi(SYS.fsconfig, context, command, key, text, 0) >= 0) return;
  const error = new SysError("fsconfig", errno(), name, value);
  const message = lastMessage(context);
  if (message !== undefined) error.cause = new Error(message);
  throw error;
}

/** What the kernel noted about the last failure; undefined when it noted nothing. */
function lastMessage(context: number): string | undefined {
  const buffer = Buffer.alloc(MESSAGE_MAX);
  let last: string | undefined;
  for (;;) {
    const length = Number(libc.symbols.read(context, buffer, buffer.length));
    if (length <= 0) return last;
    // each reads "e message", w or i
    last = buffer.toString("utf8", 2, length).trim();
  }
}
