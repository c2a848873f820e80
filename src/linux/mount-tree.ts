import { cstr, type PathArg } from "./cstr.ts";
import { check } from "./errno.ts";
import { Fd } from "./fd.ts";
import { libc, SYS } from "./libc.ts";
import { AT_FDCWD } from "./stat.ts";

const OPEN_TREE_CLONE = 1;
const OPEN_TREE_CLOEXEC = 0o2000000;
const AT_EMPTY_PATH = 0x1000;
const AT_RECURSIVE = 0x8000;
const MOVE_MOUNT_F_EMPTY_PATH = 4;

/**
 * A copy of the mount at `source` that is nowhere but behind the returned descriptor (O_PATH), and ends with it; with `recursive` what is
 * mounted below comes along. A copy of a shared mount is its peer. An open descriptor stands for the mount that it was opened in.
 * @throws {SysError} EINVAL for an unbindable mount, and for one of another mount namespace; ENOSYS before Linux 5.2
 * @see open_tree(2)
 */
export function cloneMount(source: PathArg | Fd, recursive = false): Fd {
  const flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | (recursive ? AT_RECURSIVE : 0);
  if (source instanceof Fd) {
    return new Fd(check(libc.syscall.ipi(SYS.open_tree, source.fd, cstr(""), flags | AT_EMPTY_PATH), "open_tree"));
  }
  return new Fd(check(libc.syscall.ipi(SYS.open_tree, AT_FDCWD, cstr(source), flags), "open_tree", source));
}

/** Mounts such a copy at `target`. @throws {SysError} @see move_mount(2) */
export function attachMount(tree: Fd, target: PathArg): void {
  const [empty, to] = [cstr(""), cstr(target)];
  check(libc.syscall.ipipi(SYS.move_mount, tree.fd, empty, AT_FDCWD, to, MOVE_MOUNT_F_EMPTY_PATH), "move_mount", target);
}
