import type { PathArg } from "./cstr.ts";
import { cstr } from "./cstr.ts";
import { check } from "./errno.ts";
import type { Fd } from "./fd.ts";
import { libc, SYS } from "./libc.ts";
import { attachMount, cloneMount } from "./mount-tree.ts";

const AT_EMPTY_PATH = 0x1000;
const AT_RECURSIVE = 0x8000;
const MOUNT_ATTR_IDMAP = 0x100000n;
const MOUNT_ATTR_BYTES = 32;
const PR_GET_SECUREBITS = 27;
const PR_SET_SECUREBITS = 28;
const SECBIT_NO_SETUID_FIXUP = 4;
/** Asks setfsuid(2) for the id without changing it. */
const NO_CHANGE = -1;

/** A user and a group. */
export interface Owner {
  readonly uid: number;
  readonly gid: number;
}

/** Whose ids a mounted tree shows and takes: those of a user namespace, in which the owner of the image's files is `root`. */
export interface IdView {
  readonly userns: Fd;
  /** What user and group 0 of the namespace are on the host. */
  readonly root: Owner;
}

/** `struct mount_attr`: what to set, what to clear, the propagation, the descriptor of a user namespace. */
function encodeIdmap(userns: number): Uint8Array {
  const view = new DataView(new ArrayBuffer(MOUNT_ATTR_BYTES));
  view.setBigUint64(0, MOUNT_ATTR_IDMAP, true);
  view.setBigUint64(24, BigInt(userns), true);
  return new Uint8Array(view.buffer);
}

/**
 * Mounts what is at `source` at `target`, too, so that there every file belongs to what its owner is called in the user namespace
 * behind `userns`: id 0 on the disk is 0 inside that namespace. `recursive` takes along what is mounted below.
 * @throws {SysError} EINVAL for a file system that can't, ENOSYS before Linux 5.12, EPERM for a mapping that is not written yet
 * @see mount_setattr(2) "ID-mapped mounts"
 */
export function mountIdmapped(source: PathArg, target: PathArg, userns: Fd, recursive = false): void {
  using tree = openIdmapped(source, userns, recursive);
  attachMount(tree, target);
}

/** The same for this process alone: a mount that is nowhere but behind the returned descriptor (O_PATH), and ends with it. @throws {SysError} */
export function openIdmapped(source: PathArg, userns: Fd, recursive = false): Fd {
  const deep = recursive ? AT_RECURSIVE : 0;
  const tree = cloneMount(source, recursive);
  const [empty, attributes] = [cstr(""), encodeIdmap(userns.fd)];
  const set = libc.syscall.ipipi(SYS.mount_setattr, tree.fd, empty, AT_EMPTY_PATH | deep, attributes, attributes.length);
  try {
    check(set, "mount_setattr", source);
    return tree;
  } catch (error) {
    tree.close();
    throw error;
  }
}

/**
 * Runs `work` with this thread's file system ids being `owner`'s, capabilities unchanged, and takes them back, whatever happens: in an
 * idmapped mount only ids of its mapping can make files. `work` must not await.
 * @throws {SysError} EPERM without CAP_SETPCAP; what `work` throws
 * @see setfsuid(2), capabilities(7) "SECBIT_NO_SETUID_FIXUP"
 */
export function withFsIds<T>(owner: Owner, work: () => T): T {
  const bits = check(libc.symbols.prctl(PR_GET_SECUREBITS, 0, 0, 0, 0), "prctl PR_GET_SECUREBITS");
  const before = { uid: setFsId(SYS.setfsuid, NO_CHANGE), gid: setFsId(SYS.setfsgid, NO_CHANGE) };
  // without it, the kernel would drop the capabilities that concern files
  check(libc.symbols.prctl(PR_SET_SECUREBITS, bits | SECBIT_NO_SETUID_FIXUP, 0, 0, 0), "prctl PR_SET_SECUREBITS");
  try {
    setFsId(SYS.setfsgid, owner.gid);
    setFsId(SYS.setfsuid, owner.uid);
    return work();
  } finally {
    setFsId(SYS.setfsuid, before.uid);
    setFsId(SYS.setfsgid, before.gid);
    libc.symbols.prctl(PR_SET_SECUREBITS, bits, 0, 0, 0);
  }
}

/** The system call itself, for this thread alone. Returns the former id. */
function setFsId(call: number, id: number): number {
  return Number(libc.syscall.ints(call, id, 0, 0, 0, 0));
}
