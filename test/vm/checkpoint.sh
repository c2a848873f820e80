# Runs in the virtual machine: checkpoints, on a kernel that Debian's CRIU knows. A crun built with CRIU, named on run.sh's command line,
# is tried besides runc.
. ./prelude.sh
export DOCKER_HOST=unix:///run/dhow.sock
state() { docker inspect -f '{{.State.Status}} {{.State.ExitCode}}' "$@"; }
last() { docker logs "$1" | tail -n 1 | cut -d' ' -f2; }
# goes_on NAME: prints yes when its count has grown
goes_on() { before=$(last "$1"); for turn in $(seq 50); do sleep 0.2; [ "$(last "$1")" -gt "$before" ] && echo yes && return; done; }
# gaps NAME: the places where the count doesn't go up by one
gaps() { docker logs "$1" | awk '$1 == "count" { if (seen && $2 != want) print want "-" $2; seen = 1; want = $2 + 1 }'; }
# falls NAME: prints yes when its count went back somewhere
falls() { docker logs "$1" | awk '$1 == "count" { if (seen && $2 + 0 < before) fell = 1; seen = 1; before = $2 + 0 } END { if (fell) print "yes" }'; }

install_programs
runtimes=runc
if [ -e crun ]; then install -m 0755 crun /usr/local/bin/crun; runtimes="runc crun"; fi
start() { start_daemon --experimental; }
before=$(wc -l </proc/self/mountinfo)
start
load_busybox
count='httpd -p 80 -h /data; i=0; while :; do echo count $i; i=$((i + 1)); sleep 0.1; done'

for runtime in $runtimes; do
  title "$runtime: leave running"
  docker run -d --name one --runtime $runtime -p 8080:80 -v data:/data --restart always busybox sh -c "echo page >/data/index.html; $count" >/dev/null
  sleep 1
  check create first "$(docker checkpoint create --leave-running one first)"
  check "goes on" yes "$(goes_on one)"
  check "nothing is lost of the log" "" "$(gaps one)"
  check "the name is taken" "*cannot checkpoint container one: checkpoint with name first already exists*" "$(docker checkpoint create one first 2>&1)"

  title "$runtime: end with it"
  check create second "$(docker checkpoint create one second)"
  check "ended, and not restarted" "exited 137" "$(state one)"
  check list "CHECKPOINT NAME first second" "$(echo $(docker checkpoint ls one))"
  check start "" "$(docker start --checkpoint second one 2>&1)"
  check "goes on" yes "$(goes_on one)"
  check "from where it was" "" "$(gaps one)"
  check "the same processes" "1 *sh -c*" "$(docker exec one ps -o pid,args | sed -n 's/^ *//; 2p')"
  check port page "$(curl -s localhost:8080)"
  check exec "page" "$(docker exec one cat /data/index.html)"
  check "its address" "*$(docker inspect -f '{{.NetworkSettings.IPAddress}}' one)*" "$(docker exec one cat /etc/hosts)"
  kill -9 $daemon
  start
  check "another daemon: goes on" yes "$(goes_on one)"
  check "another daemon: nothing is lost" "" "$(gaps one)"
  check "another daemon: a checkpoint again" third "$(docker checkpoint create one third)"
  check "ended" "exited 137" "$(state one)"

  title "$runtime: elsewhere, and again"
  docker checkpoint rm one third
  check removed "CHECKPOINT NAME first second" "$(echo $(docker checkpoint ls one))"
  check "back to the first" "" "$(docker start --checkpoint first one 2>&1)"
  check "goes on" yes "$(goes_on one)"
  check "an earlier count" yes "$(falls one)"
  check elsewhere far "$(docker checkpoint create --checkpoint-dir /tmp/$runtime one far)"
  check "list elsewhere" "CHECKPOINT NAME far" "$(echo $(docker checkpoint ls --checkpoint-dir /tmp/$runtime one))"
  check "start from elsewhere" "" "$(dhow start --checkpoint-dir /tmp/$runtime --checkpoint far one 2>&1)"
  check "goes on" yes "$(goes_on one)"
  docker stop -t 0 one >/dev/null
  check stop "exited 137" "$(state one)"
  rm /tmp/$runtime/far/pstree.img
  check "a broken one" "*OCI runtime restore failed: $runtime restore failed: *" "$(docker start --checkpoint-dir /tmp/$runtime --checkpoint far one 2>&1)"
  check "as it was" "exited 1*" "$(state one)"
  docker rm -f one >/dev/null

  title "$runtime: stdin, a connection, memory"
  docker run -di --name two --runtime $runtime busybox sh -c 'x=$(seq 20000); while read line; do echo "${#x} $line"; done' >/dev/null
  docker run -d --name peer --runtime $runtime busybox httpd -f -p 80 >/dev/null
  docker run -di --name three --runtime $runtime busybox sh -c "nc $(docker inspect -f '{{.NetworkSettings.IPAddress}}' peer) 80 >/dev/null; echo closed; sleep 1000" >/dev/null
  sleep 2
  check "with stdin" in "$(docker checkpoint create two in)"
  check "with a connection" net "$(docker checkpoint create three net)"
  docker start --checkpoint in two >/dev/null
  echo more | timeout -s KILL 5 docker attach two >/dev/null
  check "reads on" "108893 more" "$(docker logs two)"
  docker start --checkpoint net three >/dev/null
  for turn in $(seq 50); do docker logs three | grep -q closed && break; sleep 0.2; done
  check "learns that the connection is gone" closed "$(docker logs three)"

  title "$runtime: kill -9 in the middle"
  docker run -d --name four --runtime $runtime busybox sh -c "$count" >/dev/null
  sleep 1
  docker checkpoint create four half >/dev/null 2>&1 &
  dir=/var/lib/dhow/containers/$(docker inspect -f '{{.Id}}' four)/checkpoints
  for turn in $(seq 100); do [ -e $dir/.half.part/dump.log ] && break; sleep 0.05; done
  kill -9 $daemon
  wait $!
  start
  for turn in $(seq 100); do [ -e $dir/half ] && [ "$(state four)" = "exited 137" ] && break; sleep 0.2; done
  check "comes to its end" "half" "$(ls -A $dir)"
  check "ended" "exited 137" "$(state four)"
  check start "" "$(docker start --checkpoint half four 2>&1)"
  check "goes on" yes "$(goes_on four)"
  check "nothing is lost" "" "$(gaps four)"
  docker pause four >/dev/null
  check "of a paused container" paused "$(docker checkpoint create four paused)"
  check "ended" "exited 137" "$(state four)"

  title "$runtime: kill -9 in the middle of a restore"
  docker start --checkpoint paused four >/dev/null 2>&1 &
  bundle=/run/dhow/bundles/$(docker inspect -f '{{.Id}}' four)
  for turn in $(seq 100); do [ -e $bundle/restore.log ] && break; sleep 0.05; done
  kill -9 $daemon
  wait $!
  start
  case $(state four) in
    running*) check "goes on" yes "$(goes_on four)" ;;
    *) check "nothing is left of it" "" "$(pgrep -f 'httpd -p 80 -h /data')" ;;
  esac
  docker stop -t 0 four >/dev/null
  check "starts again" "" "$(docker start --checkpoint paused four 2>&1)"
  check "goes on" yes "$(goes_on four)"
  docker rm -f two three four peer >/dev/null
done

title end
docker volume prune -af >/dev/null
check "the container's are gone" "" "$(ls /var/lib/dhow/containers)"
end_daemon
check "no mount is left" "$before" "$(wc -l </proc/self/mountinfo)"
check "no process of CRIU is left" "" "$(pgrep criu)"
finish grep -v level=info "$log"
