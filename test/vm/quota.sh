# Runs in the virtual machine: sizes of volumes and containers by project quotas of the file system that the data root is on, ext4 and XFS.
. ./prelude.sh
install_programs
modprobe -a loop quota_v2 xfs
export DOCKER_HOST=unix:///run/q.sock
mkdir /data
start() { start_daemon --data-root /data/root --exec-root /run/q -p /run/q.pid --bridge none; }
volumes=/data/root/volumes snapshots=/data/root/snapshots
in_volume() { run --net none -v "$1:/v" busybox sh -c "$2"; }
project() { lsattr -pd "$volumes/$1/_data" | awk '{ print $1 }'; }
# limits of projects: "<blocks of 1 KiB> …", sorted; those that have none are not shown
limits() { xfs_quota -f -x -c 'report -p -n -N -b' /data | awk '$4 > 0 { print $4 }' | sort -n | xargs; }
nothing_to_remove() { [ -z "$(ls "$volumes/.removing"; ls "$snapshots/trash")" ]; }
# fill DIRECTORY: a command that writes 20 MiB, and prints how many fit
fill() { echo "dd if=/dev/zero of=$1/f bs=1M count=20 2>&1; du -m $1/f | cut -f1"; }

# with_quotas FULL: everything, on the file system at /data; FULL is what is said when a limit is reached
with_quotas() {
  full=$1
  start
  load_busybox
  docker volume create -o size=8m small >/dev/null
  check "a size is a limit of the project, and no file" "_data" "$(ls "$volumes/small")"
  check "a write beyond it fails, and df shows the size" "*$full*[78]?8192" "$(in_volume small "$(fill /v); df -k /v | tail -n 1 | awk '{ print \$2 }'")"
  check "system df shows what it takes" "*small [78].*MB*" "$(docker system df -v --format '{{range .Volumes}}{{.Name}} {{.Size}} {{end}}')"
  check "larger while it is in use" small "$(docker run -d --net none --name user -v small:/v busybox sleep 100000 >/dev/null; dhow volume resize small 32m)"
  check "what it holds then" "20" "$(docker exec user sh -c "$(fill /v)" | tail -n 1)"
  check "smaller while it is in use" "small 24576" "$(echo $(dhow volume resize small 24m; docker exec user df -k /v | tail -n 1 | awk '{ print $2 }'))"
  check "not smaller than what it holds" "*resize small: it holds 2* bytes, more than 4194304*" "$(dhow volume resize small 4m 2>&1)"
  check "the size is told" 24m "$(docker volume inspect -f '{{.Options.size}}' small)"
  docker rm -f user >/dev/null

  docker volume create plain >/dev/null
  mkdir "$volumes/plain/_data/d"
  dd if=/dev/urandom of="$volumes/plain/_data/d/f" bs=1M count=3 2>/dev/null
  ln -s f "$volumes/plain/_data/d/l"
  mkfifo "$volumes/plain/_data/p"
  check "a volume without a size gets one" plain "$(dhow volume resize plain 6m)"
  check "which is a limit" "*$full*[23]" "$(in_volume plain "$(fill /v)")"
  check "its own project" yes "$([ "$(project plain)" != "$(project small)" ] && [ "$(project plain)" != 0 ] && echo yes)"
  rm "$volumes/plain/_data/f"

  check "a clone has the size" 6m "$(dhow volume clone -q plain twin >/dev/null; docker volume inspect -f '{{.Options.size}}' twin)"
  check "and its content" "3072 d p" "$(echo $(du -k "$volumes/twin/_data/d/f" | cut -f1; ls "$volumes/twin/_data"))"
  dhow volume export -o /root/tar plain
  check "an import that doesn't fit leaves nothing" "*no space left on device*" "$(dhow volume import --size 2m little /root/tar 2>&1; docker volume ls -q -f name=little)"
  check "no draft" "" "$(ls "$volumes/.making")"

  docker run -d --net none --name limited --storage-opt size=10m -v plain:/v busybox sleep 100000 >/dev/null
  check "a container with a size" "*$full*[890]?10240" "$(docker exec limited sh -c "$(fill); df -k / | tail -n 1 | awk '{ print \$2 }'")"
  check "its volumes are none of it" 2 "$(docker exec limited sh -c 'dd if=/dev/zero of=/v/f bs=1M count=2 2>/dev/null; du -m /v/f | cut -f1; rm /v/f')"
  check "one without" 20 "$(run --net none busybox sh -c "$(fill)" | tail -n 1)"
  check "no such option" "*unknown option colour*" "$(run --net none --storage-opt colour=red busybox true)"
  check "no size" "*invalid size: 'much'*" "$(run --net none --storage-opt size=much busybox true)"
  check "every limit" "6144 6144 10240 24576" "$(limits)"

  was=$(project plain)
  mkdir "$volumes/lost" "$volumes/lost/_data"
  echo 9m >"$volumes/plain/resizing"
  while docker create --net none --storage-opt size=7m busybox && docker volume create -o size=7m; do :; done >/dev/null 2>&1 &
  maker=$!
  until_ok eval 'limits | grep -q "7168 7168"'
  kill -9 "$daemon"
  wait $maker
  start
  until_ok [ ! -e "$volumes/plain/resizing" ]
  check "a resize that was cut short is finished" 9m "$(docker volume inspect -f '{{.Options.size}}' plain)"
  check "in the same project" "$was" "$(project plain)"
  check "and the check finds nothing wrong" "*all is well" "$(dhow system check 2>&1 | tail -n 1)"
  check "a container's limit is there" "*$full*[890]" "$(docker exec limited sh -c "rm /f; $(fill)")"
  docker rm -f $(docker ps -aq) >/dev/null
  docker volume rm $(docker volume ls -q) >/dev/null
  until_ok nothing_to_remove
  check "nothing is limited in the end" "" "$(limits)"
  docker volume create -o size=2m again >/dev/null
  check "the limit of a removed volume is of none" "*[12]" "$(in_volume again "$(fill /v)")"
  docker volume rm again >/dev/null
  end_daemon
  umount /data
}

title ext4
truncate -s 400M /root/disk
mkfs.ext4 -q -O project,quota -E quotatype=prjquota /root/disk
mount -o loop,prjquota /root/disk /data
with_quotas "Disk quota exceeded"

title XFS
rm /root/disk
truncate -s 400M /root/disk
mkfs.xfs -q /root/disk
mount -o loop,pquota /root/disk /data
with_quotas "No space left on device"

title "XFS without quotas"
mount -o loop /root/disk /data
start
docker volume create plain >/dev/null
check "a container with a size" "*--storage-opt is supported only for overlay over xfs with 'pquota' mount option*" "$(run --net none --storage-opt size=10m busybox true)"
check "and nothing of it is left" "" "$(ls "$snapshots/active"; docker ps -aq)"
check "a volume without a size gets none" "*resize plain: the volume has no size: only those made with --opt size= do, where the file system of the data root has no project quotas*" \
  "$(dhow volume resize plain 6m 2>&1)"
check "one with a size is a file" "_data image.ext4" "$(echo $(docker volume create -o size=8m small >/dev/null; ls "$volumes/small"))"
check "which is a limit" "*No space left on device*[67]" "$(in_volume small "$(fill /v)")"
end_daemon
finish tail -n 20 "$log"
