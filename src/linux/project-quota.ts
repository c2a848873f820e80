import { check, isErrno } from "./errno.ts";
import { libc, SYS } from "./libc.ts";

const FS_IOC_FSGETXATTR = 0x801c581f;
const FS_IOC_FSSETXATTR = 0x401c5820;
const FS_XFLAG_PROJINHERIT = 0x200;
const FSXATTR_WORDS = 7;

const PRJQUOTA = 2;
const Q_GETQUOTA = 0x800007;
const Q_SETQUOTA = 0x800008;
const QIF_BLIMITS = 1;
/** Limits are counted in these, whatever the file system's blocks are. */
const QUOTA_BLOCK_BYTES = 1024;
/** struct if_dqblk: bhardlimit, bsoftlimit, curspace, ihardlimit, isoftlimit, curinodes, btime, itime (64 bits each), valid (32 bits). */
const DQBLK_BYTES = 72;

/** What a project takes and may take. */
export interface ProjectQuota {
  /** 0: no limit. */
  readonly limitBytes: number;
  readonly usedBytes: number;
  readonly inodes: number;
}

function attributes(fd: number): Uint32Array {
  // struct fsxattr: xflags, extsize, nextents, projid, cowextsize, 8 bytes of padding
  const words = new Uint32Array(FSXATTR_WORDS);
  check(libc.symbols.ioctl(fd, FS_IOC_FSGETXATTR, words), "ioctl FS_IOC_FSGETXATTR", fd);
  return words;
}

/** The project that an open file or directory belongs to; 0 for none. @throws {SysError} ENOTTY, EOPNOTSUPP where there are none @see ioctl_xfs_fsgetxattr(2) */
export function projectOf(fd: number): number {
  return attributes(fd)[3] ?? 0;
}

/** Has an open file or directory belong to a project; what is made in the directory from then on does, too. @throws {SysError} EOPNOTSUPP */
export function setProject(fd: number, project: number, isDirectory: boolean): void {
  const words = attributes(fd);
  if (isDirectory) words[0] = (words[0] ?? 0) | FS_XFLAG_PROJINHERIT;
  words[3] = project;
  check(libc.symbols.ioctl(fd, FS_IOC_FSSETXATTR, words), "ioctl FS_IOC_FSSETXATTR", fd);
}

function quotactl(fd: number, command: number, project: number, block: DataView): void {
  const bytes = new Uint8Array(block.buffer);
  const code = libc.syscall.iiipp(SYS.quotactl_fd, fd, command * 256 + PRJQUOTA, project, bytes, null);
  check(Number(code), "quotactl_fd", project);
}

/**
 * What a project on the file system of `fd` takes and may take; undefined where it keeps no account of projects, or before Linux 5.14.
 * @see quotactl_fd(2), quota.h
 */
export function projectQuota(fd: number, project: number): ProjectQuota | undefined {
  const block = new DataView(new ArrayBuffer(DQBLK_BYTES));
  try {
    quotactl(fd, Q_GETQUOTA, project, block);
  } catch (error) {
    // XFS has no record of a project that nothing belongs to
    if (isErrno(error, "ENOENT")) return { limitBytes: 0, usedBytes: 0, inodes: 0 };
    if (isErrno(error, "ESRCH", "ENOSYS", "EOPNOTSUPP", "EINVAL", "EPERM")) return undefined;
    throw error;
  }
  const word = (index: number): number => Number(block.getBigUint64(index * 8, true));
  return { limitBytes: word(0) * QUOTA_BLOCK_BYTES, usedBytes: word(2), inodes: word(5) };
}

/** Limits what a project may take; 0: without limit. @throws {SysError} ESRCH where there are no quotas @see quotactl_fd(2) */
export function setProjectLimit(fd: number, project: number, limitBytes: number): void {
  const block = new DataView(new ArrayBuffer(DQBLK_BYTES));
  block.setBigUint64(0, BigInt(Math.ceil(limitBytes / QUOTA_BLOCK_BYTES)), true);
  block.setUint32(64, QIF_BLIMITS, true);
  quotactl(fd, Q_SETQUOTA, project, block);
}
