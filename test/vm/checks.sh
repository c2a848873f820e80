# Runs in the virtual machine: dhow as packaging/install.sh installs it, under systemd, with the real docker command line.
. ./prelude.sh
export DOCKER_HOST=unix:///run/dhow.sock
groups() { find /sys/fs/cgroup/dhow -mindepth 1 -type d 2>/dev/null | wc -l; }

title install
install -D -m 0755 dhow dist/dhow
sh packaging/install.sh >/dev/null
install -m 0755 docker /usr/local/bin/docker
interfaces=$(ls /sys/class/net | wc -l)
systemctl -q enable --now dhow.socket
check "the socket is there before the daemon" inactive "$(systemctl is-active dhow.service)"
check "the first call starts the daemon" "2 overlay2*name=apparmor*name=seccomp*name=cgroupns*" \
  "$(docker info -f '{{.CgroupVersion}} {{.Driver}} {{.SecurityOptions}} {{.Warnings}}')"
check "nothing to warn of" "" "$(docker info 2>&1 | grep WARNING)"
load_busybox

title run
check hello hello "$(run busybox echo hello)"
check "exit code" 7 "$(run busybox sh -c 'exit 7'; echo $?)"
check "own cgroup namespace" "0::/" "$(run busybox cat /proc/self/cgroup)"
check "the host's cgroup namespace" "0::/dhow/*/*" "$(run --cgroupns host busybox cat /proc/self/cgroup)"
check "cgroups are read-only" "*Read-only file system" "$(run busybox mkdir /sys/fs/cgroup/x)"
check "cgroups are not, when privileged" ok "$(run --privileged busybox sh -c 'mkdir /sys/fs/cgroup/x && echo ok')"
check "the daemon's oom_score_adj stays its own" 0 "$(run busybox cat /proc/self/oom_score_adj)"
check "a negative one is taken" -700 "$(run --oom-score-adj -700 busybox cat /proc/self/oom_score_adj)"
check "limits of the unit" 1048576 "$(run busybox sh -c 'ulimit -n')"
check "limits above the daemon's own" "1000 999999" "$(run --ulimit nofile=1000:999999 busybox sh -c 'echo $(ulimit -n) $(ulimit -Hn)')"

title limits
files='cd /sys/fs/cgroup; for f in memory.max memory.swap.max memory.low cpu.max cpu.weight pids.max cpuset.cpus io.weight; do echo $f=$(cat $f); done'
check limits "memory.max=67108864 memory.swap.max=37748736 memory.low=33554432 cpu.max=50000 100000 cpu.weight=20 pids.max=50 cpuset.cpus=0 io.weight=default 2930" \
  "$(echo $(run -m 64m --memory-swap 100m --memory-reservation 32m --cpus 0.5 --cpu-shares 512 --pids-limit 50 --cpuset-cpus 0 --blkio-weight 300 busybox sh -c "$files"))"
docker run -d --name changing -m 64m --shm-size 64m busybox sh -c 'head -c 30m /dev/zero >/dev/shm/x; touch /full; sleep 100000' >/dev/null
docker exec changing sh -c 'while [ ! -e /full ]; do sleep 1; done'
docker update -m 96m --memory-swap 128m --memory-reservation 32m --cpus 0.5 --cpu-shares 512 --pids-limit 50 --cpuset-cpus 0 --blkio-weight 300 changing >/dev/null
check "changed limits" "memory.max=100663296 memory.swap.max=33554432 memory.low=33554432 cpu.max=50000 100000 cpu.weight=20 pids.max=50 cpuset.cpus=0 io.weight=default 2930" \
  "$(echo $(docker exec changing sh -c "$files"))"
check "less memory than is in use is refused" "*device or resource busy" "$(docker update -m 16m --memory-swap 32m --pids-limit 9 changing 2>&1)"
check "and nothing was changed or killed" "running false 100663296 50" \
  "$(docker inspect -f '{{.State.Status}} {{.State.OOMKilled}} {{.HostConfig.Memory}} {{.HostConfig.PidsLimit}}' changing)"
check "unlimited swap" "max" "$(docker update --memory-swap -1 changing >/dev/null; docker exec changing cat /sys/fs/cgroup/memory.swap.max)"
docker rm -f changing >/dev/null
for turn in 1 2 3 4 5 6 7 8; do
  docker run --name hungry -m 16m --memory-swap 16m busybox sh -c 'x=x; while :; do x=$x$x; done' >/dev/null 2>&1
  check "out of memory, time $turn" "true 137" "$(docker inspect -f '{{.State.OOMKilled}} {{.State.ExitCode}}' hungry)"
  docker rm hungry >/dev/null
done
docker run -d --name family -m 16m --memory-swap 16m busybox sh -c '(x=x; while :; do x=$x$x; done); trap "exit 0" TERM; while :; do sleep 1; done' >/dev/null
for turn in $(seq 45); do [ -n "$(docker events --since 1h --until 0s --filter event=oom --filter container=family)" ] && break; sleep 2; done
check "a child out of memory is told at once" "*container oom*" "$(docker events --since 1h --until 0s --filter event=oom --filter container=family)"
docker stop -t 100 family >/dev/null
check "and remembered" "true 0" "$(docker inspect -f '{{.State.OOMKilled}} {{.State.ExitCode}}' family)"
docker rm family >/dev/null
docker run --name killed -m 64m busybox sh -c 'kill -9 $$' 2>/dev/null
check "killed, but not for want of memory" false "$(docker inspect -f '{{.State.OOMKilled}}' killed)"
docker rm killed >/dev/null

title devices
check "a device, read" 4 "$(run --device /dev/vda:/dev/x:r busybox sh -c 'head -c 4 /dev/x | wc -c')"
check "a device, not written" "*Operation not permitted*" "$(run --device /dev/vda:/dev/x:r busybox sh -c 'echo >/dev/x')"
check "a rule" "4 *Operation not permitted" "$(echo $(run --device-cgroup-rule 'b 254:0 rwm' --cap-add MKNOD busybox \
  sh -c 'mknod /tmp/a b 254 0 && head -c 4 /tmp/a | wc -c; mknod /tmp/b b 254 16 && head -c 4 /tmp/b'))"
check "every device when privileged" 4 "$(run --privileged busybox sh -c 'head -c 4 /dev/vda | wc -c')"

title "a running container"
docker run -d --name aa -m 64m --cpuset-cpus 0 -p 8080:80 -p 5353:53/udp busybox sh -c 'mkdir /www; echo page >/www/index.html; httpd -p 80 -h /www; while :; do echo tick; sleep 1; done' >/dev/null
check exec inside "$(docker exec aa echo inside)"
check "an exec's cgroup" "0::/" "$(docker exec aa cat /proc/self/cgroup)"
check "an exec's terminal" "/dev/pts/*" "$(script -qec 'docker exec -t aa tty' /dev/null </dev/null | tr -d '\r')"
check top "*httpd*" "$(docker top aa)"
check "a published port" page "$(curl -s -m 20 http://127.0.0.1:8080/)"
docker pause aa >/dev/null
check paused "1 paused" "$(cat /sys/fs/cgroup/dhow/*/*/cgroup.freeze) $(docker inspect -f '{{.State.Status}}' aa)"
docker unpause aa >/dev/null
check unpaused 0 "$(cat /sys/fs/cgroup/dhow/*/*/cgroup.freeze)"
stats=$(curl -s -m 30 --unix-socket /run/dhow.sock 'http://d/containers/aa/stats?stream=0')
for key in '"anon":' '"inactive_file":' '"limit":67108864' "\"online_cpus\":$(nproc)" '"io_service_bytes_recursive":' '"pids_stats":{"current":'; do check "stats have $key" "*$key*" "$stats"; done
for key in '"cache":' '"max_usage":' '"percpu_usage":'; do case $stats in *"$key"*) check "v1's $key" absent present ;; esac; done

title "scoped sockets"
dhow -H $DOCKER_HOST socket create --allow 'containers:* label=ci' --allow images:read --quota memory=48m,pids=20,cpus=0.5 ci.sock >/dev/null
scoped() { docker -H unix:///run/dhow/sockets/ci.sock "$@"; }
check "limits of a socket" "50331648 0 20 50000 100000" \
  "$(cd /sys/fs/cgroup/dhow/*-sockets/ci.sock && echo $(cat memory.max memory.swap.max pids.max cpu.max))"
scoped run -d --name first busybox sh -c 'dd if=/dev/zero of=/dev/shm/x bs=1M count=30 2>/dev/null; touch /full; sleep 100000' >/dev/null
scoped exec first sh -c 'while [ ! -e /full ]; do sleep 1; done'
scoped run --name second busybox dd if=/dev/zero of=/dev/shm/x bs=1M count=30 >/dev/null 2>&1
check "they hold in sum" "*true*" "$(scoped inspect -f '{{.State.OOMKilled}}' first second | tr '\n' ' ')"
check "processes, too" "" "$(scoped run --rm busybox sh -c 'for i in $(seq 40); do sleep 1000 & done; echo all' 2>/dev/null)"
check "what leads to the host is refused" "*does not allow HostConfig.Privileged*" "$(scoped run --rm --privileged busybox true 2>&1)"
scoped rm -f first second >/dev/null
dhow -H $DOCKER_HOST socket rm ci.sock >/dev/null
check "no cgroup of a socket is left" "" "$(ls -d /sys/fs/cgroup/dhow/*-sockets 2>/dev/null)"

title systemd
before=$(cat /sys/fs/cgroup/cgroup.subtree_control)
systemctl daemon-reload
systemd-run -q --wait -p MemoryMax=64M true
check "reload leaves the limits" "67108864 0" "$(cat /sys/fs/cgroup/dhow/*/*/memory.max) $(cat /sys/fs/cgroup/dhow/*/*/cpuset.cpus)"
check "reload leaves the controllers" "$before" "$(cat /sys/fs/cgroup/cgroup.subtree_control)"
check "the daemon's own group has no others below it" 0 "$(find /sys/fs/cgroup/system.slice/dhow.service -mindepth 1 -type d | wc -l)"
pid=$(docker inspect -f '{{.State.Pid}}' aa)
systemctl restart dhow
check "a restart keeps the container" "$pid" "$(docker inspect -f '{{.State.Pid}}' aa)"
check "exec after a restart" after "$(docker exec aa echo after)"
mkdir -p /etc/dhow
echo '{"labels": ["tier=vm"], "iptables": true}' >/etc/dhow/daemon.json
systemctl reload dhow
for turn in 1 2 3 4 5 6 7 8 9; do [ "$(docker info -f '{{.Labels}}')" = "[tier=vm]" ] && break; sleep 1; done
check "a reload reads daemon.json" "[[]tier=vm]" "$(docker info -f '{{.Labels}}')"
rm /etc/dhow/daemon.json
systemctl kill -s KILL --kill-who=main dhow
check "so does a kill" "$pid running" "$(docker inspect -f '{{.State.Pid}} {{.State.Status}}' aa)"
check "logs go on" tick "$(docker logs --tail 1 aa)"
check "the port, too" page "$(curl -s -m 20 http://127.0.0.1:8080/)"
docker rm -f aa >/dev/null
check "no cgroup of a container is left" 1 "$(groups)"
for turn in 1 2 3 4 5; do run busybox true; done
check "no complaint in the journal but of what was refused above" "" "$(journalctl -u dhow -o cat --no-pager | grep -E 'level=(warn|error)' | grep -v -e settings=iptables -e containers/changing/update)"

title end
systemctl stop dhow.socket dhow.service
check "no cgroup is left" "" "$(ls -d /sys/fs/cgroup/dhow 2>/dev/null)"
check "no bridge or link is left" "$interfaces" "$(ls /sys/class/net | wc -l)"
check "no nft table is left" "" "$(nft list tables)"
check "no mount is left" "" "$(grep dhow /proc/mounts)"
check "no process is left" "" "$(ps -eo args= | grep -E '^(/usr/local/bin/dhow|sh -c|/bin/sh -c|crun)')"
finish sh -c 'journalctl -u dhow -o cat --no-pager | grep level= | tail -n 20'
