# Runs in the virtual machine, with systemd or without: the default AppArmor profile is in force, and leaves ordinary programs alone.
. ./prelude.sh
export DOCKER_HOST=unix:///run/aa.sock
install_programs
groupadd --system docker
profiles=/sys/kernel/security/apparmor/profiles

mv /sbin/apparmor_parser /sbin/apparmor_parser.away
start_daemon
load_busybox
check "a warning without the parser" "*AppArmor profile could not be loaded*apparmor_parser is not installed*" "$(cat "$log")"
check "a container without it" "unconfined" "$(run busybox cat /proc/self/attr/current)"
end_daemon
mv /sbin/apparmor_parser.away /sbin/apparmor_parser

: >"$log"
start_daemon
check "no warning with it" "" "$(grep -E 'level=(warn|error)' "$log")"
check "the profile is loaded" "dhow-default (enforce)" "$(grep dhow $profiles)"
check info "*name=apparmor*" "$(docker info -f '{{.SecurityOptions}}')"
check "the profile of a container" "dhow-default (enforce)" "$(run busybox cat /proc/self/attr/current)"
check unconfined unconfined "$(run --security-opt apparmor=unconfined busybox cat /proc/self/attr/current)"
check privileged unconfined "$(run --privileged busybox cat /proc/self/attr/current)"
echo 'profile mine flags=(attach_disconnected) { file, network, capability, signal, deny /etc/passwd r, }' | apparmor_parser -r
check "a named one" "mine (enforce)" "$(run --security-opt apparmor=mine busybox cat /proc/self/attr/current)"
check "a named one is in force" "*Permission denied*" "$(run --security-opt apparmor=mine busybox cat /etc/passwd)"
check "one that isn't there" "*attr/exec*no such file or directory*" "$(run --security-opt apparmor=nowhere busybox true)"

echo "== what is refused although capabilities, seccomp and mounts would allow it"
open="--cap-add ALL --security-opt seccomp=unconfined --security-opt systempaths=unconfined"
bare="$open --security-opt apparmor=unconfined"
both() { # NAME COMMAND: works unconfined, is refused by the default profile
  check "$1, unconfined" "yes" "$(run $bare busybox sh -c "($2) >/dev/null 2>&1 && echo yes || echo no")"
  check "$1, by default" "no" "$(run $open busybox sh -c "($2) >/dev/null 2>&1 && echo yes || echo no")"
}
both mount "mkdir /m && mount -t tmpfs none /m"
both remount "mount -o remount,rw /proc"
both "core_pattern" "cat /proc/sys/kernel/core_pattern >/tmp/x && cat /tmp/x >/proc/sys/kernel/core_pattern"
both "vm" "cat /proc/sys/vm/swappiness >/tmp/x && cat /tmp/x >/proc/sys/vm/swappiness"
both "sysrq" "echo h >/proc/sysrq-trigger"
both "kcore" "head -c 1 /proc/kcore"
both "irq" "cat /proc/irq/default_smp_affinity >/tmp/x && cat /tmp/x >/proc/irq/default_smp_affinity"
both "firmware" "cat /sys/firmware/acpi/pm_profile"
# a process outside: a neighbour of the host that another profile would have to let in
sleep 1000 & victim=$!
check "signals out, unconfined" yes "$(run $bare --pid host busybox sh -c "kill -0 $victim && echo yes || echo no")"
check "signals out, by default" no "$(run $open --pid host busybox sh -c "kill -0 $victim 2>/dev/null && echo yes || echo no")"
check "ptrace out, unconfined" yes "$(run $bare --pid host busybox sh -c "readlink /proc/$victim/exe >/dev/null && echo yes || echo no")"
check "ptrace out, by default" no "$(run $open --pid host busybox sh -c "readlink /proc/$victim/exe >/dev/null && echo yes || echo no")"
kill $victim

echo "== what works"
check "shared memory's limits" 4096 "$(run $open busybox sh -c 'echo 4096 >/proc/sys/kernel/shmmni && cat /proc/sys/kernel/shmmni')"
check "own oom_score_adj" 5 "$(run busybox sh -c 'echo 5 >/proc/self/oom_score_adj; cat /proc/self/oom_score_adj')"
check "files, links, owners" "hi 1000" "$(run busybox sh -c 'echo hi >/a; ln /a /b; ln -s /b /c; chown 1000 /a; mkfifo /p; echo $(cat /c) $(stat -c %u /a)')"
check "programs made inside" made "$(run busybox sh -c 'printf "#!/bin/sh\necho made\n" >/x; chmod +x /x; /x')"
check "signals and ptrace inside" "*ok ?*" "$(run busybox sh -c 'sleep 100 & readlink /proc/$!/exe >/e; kill $!; wait $!; echo ok $(basename $(cat /e))')"
check "umount" ok "$(run --cap-add SYS_ADMIN --security-opt seccomp=unconfined --tmpfs /t busybox sh -c 'umount /t && echo ok')"
check "volumes" v "$(run -v vol:/v busybox sh -c 'echo v >/v/f; cat /v/f')"
check "sockets" pong "$(run busybox sh -c 'mkdir /w; echo pong >/w/p; httpd -p 127.0.0.1:80 -h /w; wget -q -O - http://127.0.0.1/p')"
docker run -d --name bb busybox sh -c 'trap "exit 3" TERM; while :; do sleep 1; done' >/dev/null
check inspect "dhow-default" "$(docker inspect -f '{{.AppArmorProfile}}' bb)"
check "an exec's profile" "dhow-default (enforce)" "$(docker exec bb cat /proc/self/attr/current)"
check "a privileged exec's profile" "dhow-default (enforce)" "$(docker exec --privileged bb cat /proc/self/attr/current)"
check "the host looks in" "/bin/*" "$(readlink /proc/$(docker inspect -f '{{.State.Pid}}' bb)/exe)"
docker stop -t 60 bb >/dev/null
check "stop reaches it" 3 "$(docker inspect -f '{{.State.ExitCode}}' bb)"
docker rm bb >/dev/null
docker create --name cc busybox true >/dev/null
check "inspect before the first start" "" "$(docker inspect -f '{{.AppArmorProfile}}' cc)"
docker rm cc >/dev/null
end_daemon
check "a restart finds the profile" "dhow-default (enforce)" "$(grep dhow $profiles)"
finish tail -n 20 "$log"
