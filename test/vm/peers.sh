# Runs in the virtual machine: volumes on NFS and CIFS servers, ports of SCTP with clients of another host (a network namespace).
. ./prelude.sh

title servers
install_programs
export DOCKER_HOST=unix:///run/p.sock
data=/var/lib/p
start() { start_daemon --data-root "$data" --exec-root /run/p -p /run/p.pid --runtime-timeout 15s; }
start
load_busybox
# The host's own address of these servers, which can fall silent.
ip link add srv type dummy
ip addr add 192.0.2.1/24 dev srv
ip link set srv up
printf '2001:db8::1 files.example.org\n192.0.2.1 files.example.org\n' >>/etc/hosts
silence() { nft add table inet silent && nft 'add chain inet silent out { type filter hook output priority 0; }' && nft add rule inet silent out ip daddr 192.0.2.1 drop; }
speak() { nft delete table inet silent; }
mkdir -p /export/a/sub /export/ro /export/squash
echo hi >/export/a/hi
echo below >/export/a/sub/f
printf '%s\n' '/export/a *(rw,no_subtree_check,insecure,no_root_squash)' '/export/ro *(ro,no_subtree_check,insecure)' \
  '/export/squash *(rw,no_subtree_check,insecure)' >/etc/exports
systemctl start nfs-server

title nfs
nfs() { docker volume create --driver local --opt type="${4:-nfs}" --opt o="addr=$2" --opt device=":$3" "$1" >/dev/null; }
mounts() { grep -c " $data/volumes/$1/_data " "/proc/$daemon/mountinfo"; }
nfs v4 192.0.2.1,rw,nfsvers=4 /export/a
check "version 4: read, written" "hi done *vers=4.*addr=192.0.2.1*" "$(echo $(run -v v4:/v busybox sh -c 'cat /v/hi; echo done | tee /v/made; grep " /v " /proc/mounts'))"
check "it is on the server" done "$(cat /export/a/made)"
until_ok eval '[ "$(mounts v4)" = 0 ]'
check "nothing is mounted without a container" 0 "$(mounts v4)"
check "inspect" ":/export/a addr=192.0.2.1,rw,nfsvers=4 nfs $data/volumes/v4/_data local map[]" \
  "$(docker volume inspect -f '{{.Options.device}} {{.Options.o}} {{.Options.type}} {{.Mountpoint}} {{.Scope}} {{.Status}}' v4)"
nfs v42 files.example.org,nfsvers=4.2,soft,timeo=50 /export/a
check "version 4.2, a host's name, soft" "hi *vers=4.2*soft*timeo=50*addr=192.0.2.1*" "$(echo $(run -v v42:/v busybox sh -c 'cat /v/hi; grep " /v " /proc/mounts'))"
nfs typed 192.0.2.1,nfsvers=4.1 /export/a nfs4
check "type nfs4" hi "$(run -v typed:/v busybox cat /v/hi)"
nfs v3 files.example.org,rw,nfsvers=3 /export/a
check "version 3" "hi *vers=3*" "$(echo $(run -v v3:/v busybox sh -c 'cat /v/hi; grep " /v " /proc/mounts'))"
check "read-only for a container" "*Read-only file system" "$(run -v v4:/v:ro busybox touch /v/x)"
nfs ro 192.0.2.1,ro,nfsvers=4 /export/a
check "read-only for all" "*Read-only file system" "$(run -v ro:/v busybox touch /v/x)"
nfs closed 192.0.2.1,rw,nfsvers=4 /export/ro
check "read-only at the server" "*Read-only file system" "$(run -v closed:/v:nocopy busybox touch /v/x)"
check "a subpath" below "$(run --mount type=volume,src=v4,dst=/v,volume-subpath=sub busybox cat /v/f)"
check "a subpath that isn't there" "*cannot access path $data/volumes/v4/_data/none: *no such file or directory*" \
  "$(run --mount type=volume,src=v4,dst=/v,volume-subpath=none busybox true)"
check "docker cp from one" hi "$(docker create --name still -v v4:/v busybox true >/dev/null; docker cp still:/v/hi - | tar -xO; docker rm still >/dev/null)"

title "nfs, filled from the image"
mkdir /export/new /export/nocopy
printf '%s\n' '/export/new *(rw,no_subtree_check,insecure,no_root_squash)' '/export/nocopy *(rw,no_subtree_check,insecure,no_root_squash)' >>/etc/exports
exportfs -ra
nfs filled 192.0.2.1,nfsvers=4 /export/new
check "an empty one is filled" "group passwd" "$(run -v filled:/etc busybox true; ls /export/new | grep -x -e group -e passwd | xargs)"
nfs nocopy 192.0.2.1,nfsvers=4 /export/nocopy
check "nocopy" "" "$(run -v nocopy:/etc:nocopy busybox true; ls -A /export/nocopy | grep -x -e group -e passwd)"
nfs squashed 192.0.2.1,nfsvers=4 /export/squash
check "root_squash" "*ermission denied*" "$(run -v squashed:/etc busybox true)"
check "leaves nothing" "0 " "$(mounts squashed) $(ls -A /export/squash)"
chmod 0777 /export/squash
check "whose owner squashed root is" "65534" "$(run -v squashed:/v:nocopy busybox sh -c 'touch /v/x; stat -c %u /v/x')"

title "nfs, counted"
docker run -d --name one -v v4:/v busybox sleep 100000 >/dev/null
docker run -d --name two -v v4:/v:ro busybox sleep 100000 >/dev/null
check "mounted once for two" 1 "$(mounts v4)"
check "both see the same" x "$(docker exec one sh -c 'echo x >/v/both'; docker exec two cat /v/both)"
kill -9 "$daemon"
start
check "a killed daemon's mount is there" "1 x" "$(mounts v4) $(docker exec two cat /v/both)"
docker rm -f one >/dev/null
sleep 1
check "the other one has it on" "1 x" "$(mounts v4) $(docker exec two cat /v/both)"
check "in use" "*volume is in use*" "$(docker volume rm v4 2>&1)"
docker rm -f two >/dev/null
until_ok eval '[ "$(mounts v4)" = 0 ]'
check "the last one takes it away" 0 "$(mounts v4)"

title "nfs, refused"
failure() { run -v "$1:/v" busybox true | head -n 1; }
nfs wrong 192.0.2.1,nfsvers=4 /none
check "no such export" "docker: Error response from daemon: error while mounting volume '$data/volumes/wrong/_data': failed to mount local volume: mount :/none:$data/volumes/wrong/_data, data: addr=192.0.2.1,nfsvers=4: no such file or directory*" "$(failure wrong)"
nfs wrong3 192.0.2.1,nfsvers=3 /none
check "no such export, version 3" "*data: addr=192.0.2.1,nfsvers=3: permission denied*" "$(failure wrong3)"
nfs option 192.0.2.1,nfsvers=4,nonsense /export/a
check "no such option" "*data: addr=192.0.2.1,nfsvers=4,nonsense: invalid argument*" "$(failure option)"
nfs nobody 192.0.2.1,nfsvers=4,soft,port=9,timeo=10,retrans=1 /export/a
check "nobody serves there" "*: connection refused*" "$(failure nobody)"
nfs unknown nosuch.invalid,nfsvers=4 /export/a
check "no such host" "*error resolving passed in network volume address: lookup nosuch.invalid*" "$(failure unknown)"

title "nfs, a server that falls silent"
docker run -d --name held -v v4:/v busybox sleep 100000 >/dev/null
docker run -d --name near -v near:/v busybox sleep 100000 >/dev/null
docker create --name later -v v3:/v busybox true >/dev/null
# answers within its time, or says that it didn't
soon() { timeout 60 "$@" 2>&1 || echo "failed: $?"; }
others() {
  check "$1: ps" "near held" "$(soon docker ps --format '{{.Names}}' | xargs)"
  check "$1: volume ls" "*near*v4*" "$(soon docker volume ls -q | xargs)"
  check "$1: volume inspect" v4 "$(soon docker volume inspect -f '{{.Name}}' v4)"
  check "$1: inspect" running "$(soon docker inspect -s -f '{{.State.Status}}' held)"
  check "$1: exec" inside "$(soon docker exec held echo inside)"
  check "$1: another volume" other "$(soon docker run --rm -v near:/v busybox echo other)"
  check "$1: df" "*Local Volumes*" "$(soon docker system df)"
}
silence
docker exec -d held sh -c 'echo more >/v/more; sync'
others silent
docker start later >/root/later 2>&1 &
starting=$!
until_ok eval 'pgrep -f internal-mount >/dev/null'
check "silent: volume rm" "*volume is in use*" "$(soon docker volume rm v3)"
check "silent: who waits for a mount is removed" later "$(soon docker rm -f later)"
wait "$starting"
check "silent: and told" "*was removed while it started*" "$(cat /root/later)"
until_ok eval '! pgrep -f internal-mount >/dev/null'
check "silent: no mount is left waiting" "0 " "$(mounts v3) $(pgrep -f internal-mount)"
check "silent: volume rm of its volume" v3 "$(soon docker volume rm v3)"
kill -9 "$daemon"
start
others "after a crash"
kill "$daemon"
until_ok eval '! kill -0 "$daemon"'
check "a stop ends" "" "$(kill -0 "$daemon" 2>&1 | grep -v 'No such process')"
start
check "and a start" 1 "$(mounts v4)"
speak
until_ok eval '[ "$(cat /export/a/more 2>/dev/null)" = more ]'
check "what was written arrives when it is back" more "$(cat /export/a/more)"
silence
docker exec -d held sh -c 'echo lost >/v/lost'
check "silent: rm -f" held "$(soon docker rm -f held)"
until_ok eval '[ "$(mounts v4)" = 0 ]'
check "silent: unmounted" 0 "$(mounts v4)"
check "silent: volume rm when nobody has it" v4 "$(soon docker volume rm v4)"
mkdir -p "$data/volumes/near/_data/far"
speak
nsenter -t "$daemon" -m mount -t nfs4 192.0.2.1:/export/a "$data/volumes/near/_data/far"
silence
check "silent: the size of a volume that has it inside" "near -1B" "$(soon docker system df -v --format '{{range .Volumes}}{{.Name}} {{.Size}}{{end}}')"
docker rm -f near >/dev/null
check "silent: and its removal" near "$(soon docker volume rm near)"
speak
check "the files are the server's" hi "$(cat /export/a/hi)"

title cifs
useradd -M me 2>/dev/null
install -d -m 0777 /share
echo smb >/share/hi
printf '%s\n' '[global]' 'disable netbios = yes' 'smb ports = 445' 'printcap name = /dev/null' 'load printers = no' \
  '[share]' 'path = /share' 'read only = no' >/etc/samba/smb.conf
printf 'geheim\ngeheim\n' | smbpasswd -s -a me >/dev/null
smbd -D
until_ok eval 'ss -ltn | grep -q :445'
cifs() { docker volume create -o type=cifs -o o="$2" -o device="$3" "$1" >/dev/null; }
cifs smb addr=192.0.2.1,username=me,password=geheim,vers=3.0,uid=1000,gid=1001,file_mode=0640 //192.0.2.1/share
check "read, written, with its owner and mode" "smb 1000 1001 640 *vers=3.0*" \
  "$(echo $(run -v smb:/v busybox sh -c 'cat /v/hi; stat -c "%u %g %a" /v/hi; echo x >/v/x; grep " /v " /proc/mounts'))"
check "it is on the server" x "$(cat /share/x)"
cifs named addr=files.example.org,username=me,password=geheim,vers=3.0 //files.example.org/share
check "a host's name" smb "$(run -v named:/v busybox cat /v/hi)"
cifs device username=me,password=geheim,vers=3.0 //files.example.org/share
check "a host's name in the device alone" smb "$(run -v device:/v busybox cat /v/hi)"
cifs wrongword username=me,password=falsch,,y,vers=3.0 //192.0.2.1/share
check "a wrong password" "*failed to mount local volume: mount //192.0.2.1/share:$data/volumes/wrongword/_data, data: username=me,password=[*][*][*][*][*][*][*][*],vers=3.0: permission denied" "$(failure wrongword)"
cifs noshare username=me,password=geheim,vers=3.0 //192.0.2.1/none
check "no such share" "*: no such file or directory" "$(failure noshare)"
check "inspect shows options, as docker does" "*password=geheim*" "$(docker volume inspect -f '{{.Options.o}}' smb)"
docker create --name shown -v smb:/v busybox true >/dev/null
check "nothing else has the password" "" "$(grep -e geheim -e falsch "$log"; docker inspect shown | grep geheim; docker events --since 1h --until 0s | grep geheim; ps -ef | grep '[g]eheim')"
docker rm shown >/dev/null
check "nothing is mounted in the end" 0 "$(mounts '[a-z0-9]*')"

title sctp
cat >/root/sctp.py <<'END'
import socket, sys, threading
def echo(c, peer):
    with c:
        while data := c.recv(65536):
            c.sendall(peer[0].encode() + b" " + data)
def serve(port):
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, 132) as s:
        s.bind(("", port))
        s.listen(16)
        while True:
            threading.Thread(target=echo, args=s.accept(), daemon=True).start()
def ask(host, port, word="hello", pause=None):
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, 132) as s:
        s.settimeout(5)
        try:
            s.connect((host, int(port)))
            s.sendall(word.encode())
            print(s.recv(65536).decode(), flush=True)
            if pause:
                open(pause + ".ready", "w").close()
                with open(pause) as f: f.read()
                s.sendall(b"again")
                print(s.recv(65536).decode(), flush=True)
        except OSError as error:
            print("failed:", error, flush=True)
serve(int(sys.argv[2])) if sys.argv[1] == "serve" else ask(*sys.argv[2:])
END
modprobe sctp
ip netns add far
ip link add far0 type veth peer name eth0 netns far
ip addr add 198.51.100.1/24 dev far0
ip link set far0 up
ip -n far addr add 198.51.100.2/24 dev eth0
ip -n far addr add 198.51.100.3/24 dev eth0
ip -n far link set eth0 up
ip -n far link set lo up
ip -n far route add default via 198.51.100.1
here() { python3 /root/sctp.py ask "$@"; }
far() { ip netns exec far python3 /root/sctp.py ask "$@"; }
python="-v /:/host --entrypoint chroot"
# shellcheck disable=SC2086 # words
serve() { name=$1; shift; docker run -d --name "$name" $python "$@" busybox /host python3 /root/sctp.py serve 7000 >/dev/null; }
serve srv -p 7000:7000/sctp -p 7000:7000/tcp -p 7000:7000/udp -p 7101-7103:7000-7002/sctp
until_ok eval 'here 127.0.0.1 7000 | grep -q hello'
check "from another host, whose address is kept" "198.51.100.2 hello" "$(far 198.51.100.1 7000)"
check "from this one, by each address" "* hello * hello" "$(echo $(here 127.0.0.1 7000) $(here 198.51.100.1 7000))"
check "a range" "198.51.100.2 hello" "$(far 198.51.100.1 7101)"
address=$(docker inspect -f '{{.NetworkSettings.Networks.bridge.IPAddress}}' srv)
# shellcheck disable=SC2086 # words
check "from container to container" "172.* hello" "$(run $python busybox /host python3 /root/sctp.py ask "$address" 7000)"
# shellcheck disable=SC2086 # words
check "from a container, by the host's address" "172.* hello" "$(run $python busybox /host python3 /root/sctp.py ask 198.51.100.1 7000)"
check "from the container itself, by the host's address" "172.* hello" "$(docker exec srv chroot /host python3 /root/sctp.py ask 198.51.100.1 7000)"
check "TCP and UDP of the same number" "*0.0.0.0:7000->7000/sctp*0.0.0.0:7000->7000/tcp*0.0.0.0:7000->7000/udp*" "$(docker ps -f name=srv --format '{{.Ports}}')"
check "a taken port" "*Bind for 0.0.0.0:7000 failed: port is already allocated*" "$(run -p 7000:1/sctp busybox true)"
check "the host can't take it either" "*Address already in use*" "$(python3 /root/sctp.py serve 7000 2>&1 | tail -n 1)"
check "audit" "*7000/sctp*" "$(dhow port audit 2>&1)"
mkfifo /root/go
far 198.51.100.1 7000 hello /root/go >/root/kept &
client=$!
until_ok eval '[ -e /root/go.ready ]'
kill -9 "$daemon"
check "new ones while the daemon is away" "198.51.100.2 hello" "$(far 198.51.100.1 7000)"
start
echo >/root/go
wait "$client"
check "one goes on over a daemon's end" "198.51.100.2 hello 198.51.100.2 again" "$(xargs </root/kept)"
rm /root/go.ready
far 198.51.100.1 7000 hello /root/go >/root/kept &
client=$!
until_ok eval '[ -e /root/go.ready ]'
dhow update --publish-rm 7000:7000/sctp srv >/dev/null
echo >/root/go
wait "$client"
check "a port that is taken back cuts them" "198.51.100.2 hello failed: *" "$(xargs </root/kept)"
check "and lets none in" "failed: *" "$(far 198.51.100.1 7000)"
check "the others stay" "198.51.100.2 hello" "$(far 198.51.100.1 7101)"
dhow update --publish-rm 7101-7103/sctp --publish-add 7000:7000/sctp,allow=198.51.100.3 srv >/dev/null
check "not for everybody" "failed: *" "$(far 198.51.100.1 7000)"
ip -n far addr del 198.51.100.2/24 dev eth0
ip -n far addr add 198.51.100.3/24 dev eth0 2>/dev/null
check "but for some" "198.51.100.3 hello" "$(far 198.51.100.1 7000)"
docker rm -f srv >/dev/null
check "gone with its container" "failed: *" "$(far 198.51.100.1 7000)"

title end
check "no complaint" "" "$(grep -E 'level=(warn|error)' "$log" | grep -v -e 'handler returned an error' -e 'group docker not found')"
end_daemon
finish tail -n 20 "$log"
