#!/bin/sh
# Everything that is tried in the virtual machine, each script in a fresh one. What CI runs; the last line is the sum:
# `N passed, N failed, N skipped`. Where there can be no such machine, it says why and counts that as skipped.
#
#   all.sh [NAME…]        without names: checks e2e apparmor userns quota
#
#   DHOW_VM_LIMIT     seconds for all of it, default 1100: a machine that hangs is ended, and its script has failed
set -u
here=$(cd "$(dirname "$0")" && pwd)
home=$(cd "$here/../.." && pwd)
[ $# -gt 0 ] || set -- checks e2e apparmor userns quota
end=$(($(date +%s) + ${DHOW_VM_LIMIT:-1100}))
passed=0 failed=0 skipped=0

finish() {
  printf '\n%d passed, %d failed, %d skipped\n' "$passed" "$failed" "$skipped"
  [ "$failed" = 0 ]
  exit
}

why_not=$(sh "$here/run.sh" --why-not)
if [ -n "$why_not" ]; then
  echo "skipped: $why_not"
  skipped=1
  finish
fi
sh "$home/scripts/build.sh" x64 >/dev/null || { echo "FAIL: no executable to try"; failed=1; finish; }

log=$(mktemp "${TMPDIR:-/var/tmp}/dhow-vm-log.XXXXXX")
trap 'rm -f "$log"' EXIT
trap 'exit 130' INT TERM HUP
for name in "$@"; do
  began=$(date +%s)
  files="" init=""
  # A boot without systemd takes a fifth of the time.
  case $name in apparmor | quota | overlay) init=--init ;; esac
  # The checkout, for the tests that are TypeScript.
  if [ "$name" = e2e ]; then
    read -r bun <"$home/.dhow/installed"
    files="$home/src $home/test $home/scripts $home/package.json $home/tsconfig.json $home/$bun"
  fi
  # shellcheck disable=SC2086 # a list of paths without spaces
  DHOW_VM_TIMEOUT=$((end - began > 0 ? end - began : 1)) sh "$here/run.sh" $init "$here/$name.sh" $files >"$log" 2>&1
  code=$?
  sum=$(grep -E '^[0-9]+ passed, [0-9]+ failed(, [0-9]+ skipped)?$' "$log" | tail -n 1 | sed 's/failed$/failed, 0 skipped/')
  [ -n "$sum" ] || sum="0 passed, 1 failed, 0 skipped"
  # shellcheck disable=SC2086 # numbers and words
  set -- $sum "$@"
  passed=$((passed + $1)) failed=$((failed + $3)) skipped=$((skipped + $5))
  if [ "$code" != 0 ] && [ "$3" = 0 ]; then failed=$((failed + 1)); fi
  shift 6
  [ "$code" = 0 ] || cat "$log"
  printf '%s test/vm/%s.sh: %s (%d s)\n' "$([ "$code" = 0 ] && echo "ok  " || echo FAIL)" "$name" "$sum" $(($(date +%s) - began))
done
finish
