# Runs in the virtual machine: sizes of volumes by project quotas of the file system that the data root is on (ext4 here).
. ./prelude.sh
install_programs
modprobe -a loop quota_v2
truncate -s 400M /root/disk
mkfs.ext4 -q -O project,quota -E quotatype=prjquota /root/disk
mkdir /data
mount -o loop,prjquota /root/disk /data
export DOCKER_HOST=unix:///run/q.sock
start() { start_daemon --data-root /data/root --exec-root /run/q -p /run/q.pid --bridge none; }
start
load_busybox
in_volume() { docker run --rm --net none -v "$1:/v" busybox sh -c "$2" 2>&1; }
volumes=/data/root/volumes
project() { lsattr -pd "$volumes/$1/_data" | awk '{ print $1 }'; }
fill='dd if=/dev/zero of=/v/f bs=1M count=20 2>&1; du -m /v/f | cut -f1'

docker volume create -o size=8m small >/dev/null
check "a size is a limit of the project, and no file" "_data" "$(ls "$volumes/small")"
check "a write beyond it fails, and df shows the size" "*Disk quota exceeded*[78]?8192" "$(in_volume small "$fill; df -k /v | tail -n 1 | awk '{ print \$2 }'")"
check "larger while it is in use" small "$(docker run -d --net none --name user -v small:/v busybox sleep 100000 >/dev/null; dhow volume resize small 32m)"
check "what it holds then" "20" "$(docker exec user sh -c "$fill" | tail -n 1)"
check "not smaller than what it holds" "*resize small: it holds 2* bytes, more than 4194304*" "$(dhow volume resize small 4m 2>&1)"
check "the size is told" 32m "$(docker volume inspect -f '{{.Options.size}}' small)"
docker rm -f user >/dev/null

docker volume create plain >/dev/null
mkdir "$volumes/plain/_data/d"
dd if=/dev/urandom of="$volumes/plain/_data/d/f" bs=1M count=3 2>/dev/null
ln -s f "$volumes/plain/_data/d/l"
mkfifo "$volumes/plain/_data/p"
check "a volume without a size gets one" plain "$(dhow volume resize plain 6m)"
check "which is a limit" "*Disk quota exceeded*[23]" "$(in_volume plain "$fill")"
check "its own project" yes "$([ "$(project plain)" != "$(project small)" ] && [ "$(project plain)" != 0 ] && echo yes)"
rm "$volumes/plain/_data/f"

check "a clone has the size" 6m "$(dhow volume clone -q plain twin >/dev/null; docker volume inspect -f '{{.Options.size}}' twin)"
check "and its content" "3072 d p" "$(echo $(du -k "$volumes/twin/_data/d/f" | cut -f1; ls "$volumes/twin/_data"))"
dhow volume export -o /root/tar plain
check "an import that doesn't fit leaves nothing" "*no space left on device*" "$(dhow volume import --size 2m little /root/tar 2>&1; docker volume ls -q -f name=little)"
check "no draft" "" "$(ls "$volumes/.making")"

was=$(project plain)
mkdir "$volumes/lost" "$volumes/lost/_data"
echo 9m >"$volumes/plain/resizing"
kill -9 "$daemon"
start
until [ ! -e "$volumes/plain/resizing" ]; do sleep 1; done
check "a resize that was cut short is finished" 9m "$(docker volume inspect -f '{{.Options.size}}' plain)"
check "in the same project" "$was" "$(project plain)"
check "and the check finds nothing wrong" "*all is well" "$(dhow system check 2>&1 | tail -n 1)"
docker volume rm small plain twin >/dev/null
until [ -z "$(ls "$volumes/.removing")" ]; do sleep 1; done
docker volume create -o size=2m again >/dev/null
check "the limit of a removed volume is of none" "*[12]" "$(in_volume again "$fill")"
end_daemon
finish tail -n 20 "$log"
