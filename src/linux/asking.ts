import { readMountInfo } from "./mount.ts";

/** File systems that answer by this kernel alone: their disk may be slow, but nobody has to be asked. */
const LOCAL = new Set([
  ..."bcachefs btrfs erofs exfat ext2 ext3 ext4 f2fs hfsplus iso9660 jfs minix msdos nilfs2 ntfs3 overlay squashfs udf ufs vfat xfs zfs".split(
    " ",
  ),
  ..."binfmt_misc bpf cgroup cgroup2 configfs debugfs devpts devtmpfs efivarfs fusectl hugetlbfs mqueue nsfs proc pstore".split(" "),
  ..."ramfs rootfs rpc_pipefs securityfs selinuxfs sysfs tmpfs tracefs".split(" "),
]);

/**
 * Where file systems are mounted that ask somebody else, who may not answer: a server on the network, the process behind a FUSE. Told without
 * entering any of them.
 */
export function askingMountPoints(): string[] {
  return readMountInfo().flatMap(({ fsType, mountPoint }) => (LOCAL.has(fsType) ? [] : [mountPoint]));
}
