# Sourced by the scripts that run in the virtual machine: checks and their sum, a daemon, the image that all of them use.
failed=0 passed=0
# Of the daemon that a script starts itself.
log=/root/daemon.log

# check NAME WANTED FOUND: WANTED is a pattern of the shell
check() {
  case $3 in
    $2) passed=$((passed + 1)) ;;
    *) failed=$((failed + 1)); printf 'FAILED %s\n  wanted: %s\n  found:  %s\n' "$1" "$2" "$3" ;;
  esac
}
title() { printf '== %s (%s s)\n' "$1" "$(cut -d. -f1 /proc/uptime)"; }
# until_ok COMMAND…: waits until it succeeds
until_ok() { for _ in $(seq 300); do "$@" >/dev/null 2>&1 && return; sleep 0.2; done; echo "in vain: $*"; return 1; }
run() { docker run --rm "$@" 2>&1; }

# install_programs: where they are, as a copy of 120 MB takes its time
install_programs() { ln -s "$PWD/dhow" "$PWD/docker" /usr/local/bin/; }
# answers [SOCKET]: whether a daemon does
answers() { curl -sf -o /dev/null --unix-socket "${1:-${DOCKER_HOST#unix://}}" http://d/_ping; }
# start_daemon ARGUMENT…: at $DOCKER_HOST, in the background; its process is $daemon
start_daemon() {
  dhow daemon -H "$DOCKER_HOST" "$@" >>"$log" 2>&1 &
  daemon=$!
  until_ok answers || cat "$log"
}
# end_daemon: in order
end_daemon() { kill "$daemon"; wait "$daemon" 2>/dev/null; }
# load_busybox: the image busybox; its arguments are those of docker
load_busybox() { docker "$@" load -q -i busybox.tar >/dev/null; docker "$@" tag "$(docker "$@" images -q | head -n 1)" busybox; }

# finish [COMMAND…]: the last line; the command shows what led to failures
finish() {
  [ "$failed" = 0 ] || "$@"
  echo "$passed passed, $failed failed, 0 skipped"
  [ "$failed" = 0 ]
  exit
}
