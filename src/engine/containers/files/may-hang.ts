import { readMountInfo } from "../../../linux/mod.ts";
import { needsMount } from "../../../volumes/mod.ts";
import type { Container } from "../store.ts";

/** File systems that answer by this kernel alone: their disk may be slow, but nobody has to be asked. */
const LOCAL = new Set([
  ..."bcachefs btrfs erofs exfat ext2 ext3 ext4 f2fs hfsplus iso9660 jfs minix msdos nilfs2 ntfs3 overlay squashfs udf ufs vfat xfs zfs".split(
    " ",
  ),
  ..."binfmt_misc bpf cgroup cgroup2 configfs debugfs devpts devtmpfs efivarfs fusectl hugetlbfs mqueue nsfs proc pstore".split(" "),
  ..."ramfs rootfs rpc_pipefs securityfs selinuxfs sysfs tmpfs tracefs".split(" "),
]);

/**
 * Whether a look at the container's files may wait for somebody who doesn't answer: a server on the network, the process behind a FUSE.
 * Told without a look at the files: something of the host is mounted in the container, and the host has such a file system somewhere, for
 * links may lead to it.
 */
export function mayHang({ spec }: Container, optionsOf: (volume: string) => Readonly<Record<string, string>> | null): boolean {
  const isForeign = spec.mounts.some((m) => m.kind === "bind" || (m.kind === "volume" && needsMount(optionsOf(m.volume))));
  return isForeign && readMountInfo().some(({ fsType }) => !LOCAL.has(fsType));
}
