#!/bin/sh
# Runs a shell script in a virtual machine: Debian's kernel, cgroup v2, AppArmor, systemd. Prints its output and returns its exit code.
# Says why and returns 0 where that can't be: what can't run here is skipped.
#
#   run.sh [--init] SCRIPT [FILE|DIRECTORY…]
#
#   --init     without systemd: the script is run by the first process
#   FILE…      copied into the directory that the script starts in, which also holds dhow, docker, packaging/ and, when it was
#              made before, busybox.tar
#
#   DHOW_VM_ACCEL     kvm to use it (default: tcg, software emulation, which works everywhere)
#   DHOW_VM_TIMEOUT   seconds, default 600
#   DHOW_BINARY       the executable to try, default dist/dhow
set -eu
here=$(cd "$(dirname "$0")" && pwd)
home=$(cd "$here/../.." && pwd)
skip() { echo "skipped: $*"; exit 0; }

init=/sbin/init
if [ "$1" = --init ]; then init=/usr/local/sbin/vm-guest; shift; fi
script=$1
shift
[ "$(id -u)" = 0 ] || skip "the image of the virtual machine can only be made by root"
[ "$(uname -m)" = x86_64 ] || skip "the virtual machine is an x86_64 one"
for need in qemu-system-x86_64=qemu-system-x86 mmdebstrap=mmdebstrap mke2fs=e2fsprogs; do
  command -v "${need%%=*}" >/dev/null || skip "no ${need%%=*} here (Debian's package ${need#*=})"
done
binary=${DHOW_BINARY:-$home/dist/dhow}
[ -x "$binary" ] || skip "no $binary, make it with: npm run build"
place=$home/.dhow/vm
"$here/image.sh" "$place"

work=$(mktemp -d /var/tmp/dhow-vm.XXXXXX)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM HUP
files=$work/files
mkdir "$files"
cp "$script" "$files/script"
ln -s "$binary" "$files/dhow"
ln -s "$(sh "$home/scripts/docker-cli.sh")/docker" "$files/docker"
ln -s "$home/packaging" "$files/packaging"
if [ -e "$home/.dhow/test-images/busybox.tar" ]; then ln -s "$home/.dhow/test-images/busybox.tar" "$files/busybox.tar"; fi
for file in "$@"; do ln -s "$(realpath "$file")" "$files/"; done
tar -c -h -C "$files" -f "$work/payload.tar" .

# The root is thrown away with the machine: what it writes goes into a temporary file.
TMPDIR=$work timeout --foreground --kill-after=5 "${DHOW_VM_TIMEOUT:-600}" qemu-system-x86_64 \
  -accel "${DHOW_VM_ACCEL:-tcg}" -cpu max -m 2048 -smp 1 -display none -no-reboot -nodefaults \
  -kernel "$place/vmlinuz" -initrd "$place/initrd" \
  -append "console=ttyS0 root=/dev/vda rw init=$init panic=-1 systemd.show_status=0 random.trust_cpu=on" \
  -drive "file=$place/root.ext4,format=raw,if=virtio,snapshot=on" -drive "file=$work/payload.tar,format=raw,if=virtio,readonly=on" \
  -device virtio-rng-pci -serial "file:$work/console" -serial "file:$work/output" </dev/null || true

code=$(sed -n '$s/^exit code \([0-9]*\)$/\1/p' "$work/output")
if [ -z "$code" ]; then
  cat "$work/output"
  echo "the virtual machine did not get to the end of the script; the last lines of its console:" >&2
  tail -n 40 "$work/console" >&2
  exit 125
fi
sed '$d' "$work/output"
exit "$code"
