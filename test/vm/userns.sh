# Runs in the virtual machine: user and time namespaces with cgroup v2, systemd's shared mounts and Linux 6.1.
. ./prelude.sh
export DOCKER_HOST=unix:///run/dhow.sock
auto() { run --label dhow.userns=auto "$@"; }

title start
install_programs
start() { start_daemon --userns-remap=default --userns-pool=2000000000:200000; }
before=$(wc -l </proc/self/mountinfo)
start
load_busybox
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
end_daemon
check "no mount is left" "$before" "$(wc -l </proc/self/mountinfo)"
finish tail -n 20 "$log"
