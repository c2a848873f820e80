#!/bin/sh
# Makes what the virtual machine boots, once: a Debian root (ext4), its kernel, and an initial RAM disk of five modules.
#
#   image.sh DIRECTORY        makes DIRECTORY/{root.ext4,vmlinuz,initrd} unless they are there
#
#   DHOW_VM_APT_OPTIONS, DHOW_VM_APT_SOURCES    options and sources for mmdebstrap, default none: its own
set -eu
here=$(cd "$(dirname "$0")" && pwd)
place=$1
suite=bookworm
packages=systemd,systemd-sysv,dbus,udev,kmod,linux-image-cloud-amd64,apparmor,crun,runc,criu,nftables,iproute2,procps,busybox-static,curl,etcd-server,nfs-kernel-server,samba,xfsprogs
# The description of the image: when it changes, the image is made anew.
wanted="$suite $packages $(cat "$here/image.sh" "$here/guest.sh" | cksum)"

mkdir -p "$place"
# One at a time; the lock ends with this process.
exec 9>"$place/lock"
flock 9
if [ "$(cat "$place/made" 2>/dev/null)" = "$wanted" ]; then exit 0; fi
echo "making a Debian root for the virtual machine, some minutes" >&2
rm -f "$place/made"
work=$(mktemp -d "${TMPDIR:-/var/tmp}/dhow-vm.XXXXXX")
trap 'rm -rf --one-file-system "$work"; [ -e "$place/made" ] || rm -f "$place/root.ext4"' EXIT
trap 'exit 130' INT TERM HUP
root=$work/root
# The initial RAM disk is made below: no other.
# shellcheck disable=SC2086 # lists of words
INITRD=No mmdebstrap --quiet --variant=minbase --components=main --include="$packages" ${DHOW_VM_APT_OPTIONS-} \
  "$suite" "$root" ${DHOW_VM_APT_SOURCES-} >&2 9>&-

mv "$root"/boot/vmlinuz-* "$place/vmlinuz"
rm -rf "$root"/boot/* "$root"/vmlinuz* "$root"/initrd* "$root"/var/cache/apt/* "$root"/var/lib/apt/lists/*
kernel=$(ls "$root/lib/modules")
echo vm >"$root/etc/hostname"
printf '127.0.0.1 localhost vm\n' >"$root/etc/hosts"
ln -sf /dev/null "$root/etc/systemd/system/serial-getty@ttyS0.service"
ln -sf /dev/null "$root/etc/systemd/system/getty@tty1.service"
for timer in apt-daily apt-daily-upgrade dpkg-db-backup e2scrub_all fstrim; do ln -sf /dev/null "$root/etc/systemd/system/$timer.timer"; done
# Servers that one script starts, and what nobody needs, are not to hold up the others.
chroot "$root" systemctl -q disable etcd.service nfs-server.service nfs-client.target rpcbind.socket rpcbind.service smbd.service nmbd.service \
  samba-ad-dc.service e2scrub_reap.service >/dev/null 2>&1
chroot "$root" systemctl -q mask systemd-logind.service systemd-update-utmp.service systemd-update-utmp-runlevel.service >/dev/null 2>&1
install -m 0755 "$here/guest.sh" "$root/usr/local/sbin/vm-guest"
cat >"$root/etc/systemd/system/vm-guest.service" <<'END'
[Unit]
Description=The script of the payload
After=basic.target apparmor.service systemd-sysctl.service dbus.service
Wants=dbus.socket
[Service]
ExecStart=/usr/local/sbin/vm-guest
END
mkdir -p "$root/etc/systemd/system/multi-user.target.wants"
ln -s ../vm-guest.service "$root/etc/systemd/system/multi-user.target.wants/vm-guest.service"

# The modules that lead to the root, in an order that insmod takes.
ram=$work/ram
mkdir -p "$ram/bin" "$ram/lib" "$ram/dev" "$ram/proc" "$ram/sys" "$ram/new"
cp "$root/bin/busybox" "$ram/bin/busybox"
modules=""
for name in virtio_pci virtio_blk crc32c_generic ext4; do
  for path in $(chroot "$root" modprobe --show-depends --set-version "$kernel" "$name" | sed -n 's/^insmod \([^ ]*\).*/\1/p'); do
    case " $modules " in *" ${path##*/} "*) continue ;; esac
    modules="$modules ${path##*/}"
    cp "$root$path" "$ram/lib/"
  done
done
cat >"$ram/init" <<END
#!/bin/busybox sh
export PATH=/bin
/bin/busybox --install -s /bin
mount -t devtmpfs none /dev
mount -t proc none /proc
for module in $modules; do insmod /lib/\$module; done
init=/sbin/init
for word in \$(cat /proc/cmdline); do case \$word in init=*) init=\${word#init=} ;; esac; done
i=0
while [ ! -b /dev/vda ] && [ \$i -lt 50 ]; do sleep 0.1; i=\$((i + 1)); done
mount -t ext4 /dev/vda /new
umount /proc
mount --move /dev /new/dev
exec switch_root /new \$init
END
sed -i '1s|.*|#!/bin/busybox sh|' "$ram/init"
chmod 0755 "$ram/init"
(cd "$ram" && find . | "$root/bin/busybox" cpio -o -H newc 2>/dev/null | gzip -1 >"$place/initrd")
rm -f "$place/root.ext4"
mke2fs -q -t ext4 -d "$root" "$place/root.ext4" 4G
echo "$wanted" >"$place/made"
