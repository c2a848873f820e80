# Runs in the virtual machine: user and time namespaces with cgroup v2, systemd's shared mounts and Linux 6.1.
export DOCKER_HOST=unix:///run/dhow.sock
failed=0 passed=0
# check NAME WANTED FOUND: WANTED is a pattern of the shell
check() {
  case $3 in
    $2) passed=$((passed + 1)) ;;
    *) failed=$((failed + 1)); printf 'FAILED %s\n  wanted: %s\n  found:  %s\n' "$1" "$2" "$3" ;;
  esac
}
title() { printf '== %s (%s s)\n' "$1" "$(cut -d. -f1 /proc/uptime)"; }
run() { docker run --rm "$@" 2>&1; }
auto() { run --label dhow.userns=auto "$@"; }

title start
install -m 0755 docker /usr/local/bin/docker
install -m 0755 dhow /usr/local/bin/dhow
start() {
  dhow daemon --userns-remap=default --userns-pool=2000000000:200000 >>/tmp/log 2>&1 &
  daemon=$!
  for turn in $(seq 100); do docker version >/dev/null 2>&1 && return; sleep 0.5; done
  cat /tmp/log
}
before=$(wc -l </proc/self/mountinfo)
start
if [ -e busybox.tar ]; then docker load -q -i busybox.tar >/dev/null; docker tag "$(docker images -q | head -n 1)" busybox
else docker pull -q distro/busybox >/dev/null; docker tag distro/busybox busybox; fi
range=$(sed -n 's/^dockremap:\([0-9]*\):\([0-9]*\)$/\1 \2/p' /etc/subuid)
check "dockremap has ids" "* 65536" "$range"
check "info" "*name=userns*" "$(docker info -f '{{.SecurityOptions}}')"

title remapped
check mapping "0 $range" "$(echo $(run busybox cat /proc/self/uid_map))"
check "the host's" "0 0 4294967295" "$(echo $(run --userns host busybox cat /proc/self/uid_map))"
check "files" "0 0 0 0 0" "$(echo $(run busybox stat -c %u / /etc/passwd /etc/hosts /dev/shm /tmp))"
check "cgroups" "0::/ Read-only" "$(echo $(run busybox sh -c 'cat /proc/self/cgroup; mkdir /sys/fs/cgroup/x 2>&1 | grep -o Read-only'))"
check "the host's cgroup namespace" "0::/dhow/*/*" "$(run --cgroupns host busybox cat /proc/self/cgroup)"
check "limits" "67108864 0" "$(echo $(run -m 64m --memory-swap 64m busybox cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/memory.swap.max))"
check "no limit above the daemon's own" "*Limited to*" "$(run --ulimit nofile=99999999 busybox true)"
check "sysfs" 1 "$(run busybox sh -c 'mount | grep -c "^sysfs on /sys type sysfs (ro"')"
check "root of its network" down "$(run --cap-add NET_ADMIN busybox sh -c 'ip link set eth0 down && echo down')"
check "a terminal" "/dev/pts/0*" "$(run -t busybox tty)"
check privileged "*privileged mode is incompatible*" "$(run --privileged busybox true)"

title auto
check mapping "0 2000000000 65536" "$(echo $(auto busybox cat /proc/self/uid_map))"
auto -v data:/v busybox sh -c 'touch /v/f; chown 5:6 /v/f'
check "a volume" "5:6" "$(auto -v data:/v busybox stat -c %u:%g /v/f)"
check "the same for others" "5:6" "$(run --userns host -v data:/v busybox stat -c %u:%g /v/f)"
docker run -d --name kept --label dhow.userns=auto --label dhow.time-offset=boottime=500000 busybox sleep 10000 >/dev/null
kill -9 $daemon
start
check "goes on" "0 2000000000 65536" "$(echo $(docker exec kept cat /proc/self/uid_map))"
check "its clock" "boottime 500000 0" "$(echo $(docker exec kept tail -n 1 /proc/self/timens_offsets))"
echo text >/tmp/file
docker cp /tmp/file kept:/tmp/file
check "copied" "0:0 text" "$(echo $(docker exec kept sh -c 'stat -c %u:%g /tmp/file; cat /tmp/file'))"
docker rm -f kept >/dev/null

title end
check "the null device is the host's" "0:0" "$(stat -c %u:%g /dev/null)"
kill $daemon
wait $daemon 2>/dev/null
check "no mount is left" "$before" "$(wc -l </proc/self/mountinfo)"
[ $failed = 0 ] || tail -n 20 /tmp/log
echo "$passed passed, $failed failed, 0 skipped"
[ $failed = 0 ]
