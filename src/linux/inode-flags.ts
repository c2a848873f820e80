import { check } from "./errno.ts";
import { libc } from "./libc.ts";

const FS_IOC_GETFLAGS = 0x80086601;
const FS_IOC_SETFLAGS = 0x40086602;

/** ext4: the directory's subdirectories are unrelated, their files go to different parts of the disk. */
export const FS_TOPDIR_FL = 0x00020000;

/** Adds FS_*_FL flags to those of an open file or directory. @throws {SysError} ENOTTY, EOPNOTSUPP where the file system has none @see ioctl_iflags(2) */
export function addInodeFlags(fd: number, flags: number): void {
  const value = new Int32Array(2);
  check(libc.symbols.ioctl(fd, FS_IOC_GETFLAGS, value), "ioctl FS_IOC_GETFLAGS", fd);
  value[0] = (value[0] ?? 0) | flags;
  check(libc.symbols.ioctl(fd, FS_IOC_SETFLAGS, value), "ioctl FS_IOC_SETFLAGS", fd);
}
