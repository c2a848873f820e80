#!/bin/sh
# Runs a shell script in a virtual machine: Debian's kernel, cgroup v2, AppArmor, systemd. Prints its output and returns its exit code.
# Says why and returns 0 where that can't be: what can't run here is skipped.
#
#   run.sh [--init] SCRIPT [FILE|DIRECTORY…]
#   run.sh --why-not                            prints why there can be no such machine here; nothing when there can
#
#   --init     without systemd: the script is run by the first process
#   FILE…      copied into the directory that the script starts in, which also holds dhow, docker, busybox.tar, and what
#              packaging/install.sh installs
#
#   DHOW_VM_ACCEL     kvm to use it (default: tcg, software emulation, which works everywhere)
#   DHOW_VM_TIMEOUT   seconds, default 600
#   DHOW_BINARY       the executable to try, default dist/dhow
set -eu
here=$(cd "$(dirname "$0")" && pwd)
home=$(cd "$here/../.." && pwd)

why_not() {
  if [ "$(id -u)" != 0 ]; then echo "the image of the virtual machine can only be made by root"; return; fi
  if [ "$(uname -m)" != x86_64 ]; then echo "the virtual machine is an x86_64 one"; return; fi
  for need in qemu-system-x86_64=qemu-system-x86 mmdebstrap=mmdebstrap mke2fs=e2fsprogs; do
    command -v "${need%%=*}" >/dev/null && continue
    echo "the VM with cgroup v2 and systemd needs ${need#*=} (apt-get install ${need#*=})"
    return
  done
}
reason=$(why_not)
if [ "$1" = --why-not ]; then echo "$reason"; exit 0; fi
if [ -n "$reason" ]; then echo "skipped: $reason"; exit 0; fi

init=/sbin/init
if [ "$1" = --init ]; then init=/usr/local/sbin/vm-guest; shift; fi
script=$1
shift
binary=${DHOW_BINARY:-$home/dist/dhow}
[ -x "$binary" ] || { echo "run.sh: no $binary, make it with: npm run build" >&2; exit 1; }
busybox=$home/.dhow/test-images/busybox.tar
if [ ! -e "$busybox" ]; then
  read -r bun <"$home/.dhow/installed"
  "$home/$bun" --no-env-file --config=/dev/null -e "import { busyboxArchive } from '$home/test/e2e/daemon.ts'; await busyboxArchive();" >&2
fi
place=$home/.dhow/vm
"$here/image.sh" "$place"

work=$(mktemp -d "${TMPDIR:-/var/tmp}/dhow-vm.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM HUP
files=$work/files
mkdir "$files"
cp "$script" "$files/script"
ln -s "$here/prelude.sh" "$files/prelude.sh"
ln -s "$binary" "$files/dhow"
ln -s "$(sh "$home/scripts/docker-cli.sh")/docker" "$files/docker"
ln -s "$home/packaging" "$files/packaging"
mkdir "$files/dist"
for part in man completions; do ln -s "$home/dist/$part" "$files/dist/$part"; done
ln -s "$busybox" "$files/busybox.tar"
for file in "$@"; do ln -s "$(realpath "$file")" "$files/"; done
tar -c -h -C "$files" -f "$work/payload.tar" .

# The root is thrown away with the machine: what it writes goes into a temporary file.
TMPDIR=$work timeout --foreground --kill-after=5 "${DHOW_VM_TIMEOUT:-600}" qemu-system-x86_64 \
  -accel "${DHOW_VM_ACCEL:-tcg}" -cpu max -m 2048 -smp 1 -display none -no-reboot -nodefaults \
  -kernel "$place/vmlinuz" -initrd "$place/initrd" \
  -append "console=ttyS0 root=/dev/vda rw init=$init panic=-1 systemd.show_status=0 random.trust_cpu=on mitigations=off" \
  -drive "file=$place/root.ext4,format=raw,if=virtio,snapshot=on" -drive "file=$work/payload.tar,format=raw,if=virtio,readonly=on" \
  -device virtio-rng-pci -serial "file:$work/console" -serial "file:$work/output" </dev/null || true

code=$(sed -n '$s/^exit code \([0-9]*\)$/\1/p' "$work/output")
if [ -z "$code" ]; then
  cat "$work/output"
  echo "the virtual machine did not get to the end of the script; the last lines of its console:" >&2
  tail -n 15 "$work/console" >&2
  exit 125
fi
sed '$d' "$work/output"
exit "$code"
