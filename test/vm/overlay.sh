# Runs in the virtual machine: overlay networks that are encrypted, between two hosts, each a network namespace, and a third one with etcd.
#
#   a 192.0.2.1 ──┐
#   b 192.0.2.2 ──┴── br0 192.0.2.10, etcd; counts what passes
. ./prelude.sh
install_programs
for host in wire a b; do ip netns add $host; ip -n $host link set lo up; done
ip -n wire link add name br0 type bridge
ip -n wire address add 192.0.2.10/24 dev br0
ip -n wire address add fd00:99::10/64 dev br0 nodad
ip -n wire link set br0 up
number=1
for host in a b; do
  ip -n wire link add name $host type veth peer name eth0 netns $host
  ip -n wire link set dev $host master br0 up
  ip -n $host address add 192.0.2.$number/24 dev eth0
  ip -n $host address add fd00:99::$number/64 dev eth0 nodad
  ip -n $host link set eth0 up
  number=$((number + 1))
done
ip netns exec wire nft -f - <<'END'
table bridge wire {
  counter sealed {}
  counter clear {}
  counter other {}
  counter pieces {}
  counter full {}
  chain forward {
    type filter hook forward priority 0;
    meta protocol ip ip protocol esp counter name sealed
    meta protocol ip6 ip6 nexthdr esp counter name sealed
    meta protocol ip ip protocol esp meta length 1500 counter name full
    meta protocol ip ip frag-off & 0x3fff != 0 counter name pieces
    meta l4proto udp udp dport 4789 @th,96,24 { 0x1388, 0x138a } counter name clear
    meta l4proto udp udp dport 4789 @th,96,24 0x1389 counter name other
  }
}
END
passed_by() { ip netns exec wire nft -j list counter bridge wire "$1" | sed 's/.*"packets": *\([0-9]*\).*/\1/'; }
etcd() { ip netns exec wire /usr/bin/etcd --data-dir /root/etcd --listen-client-urls http://192.0.2.10:2379 --advertise-client-urls http://192.0.2.10:2379 --log-level error >>/root/etcd.log 2>&1 & }
etcd
b64() { printf %s "$1" | base64 -w0; }
# ask PATH BODY, kv VERB KEY
ask() { ip netns exec wire curl -s -m 20 "http://192.0.2.10:2379/v3/$1" -d "$2"; }
kv() { ask "kv/$1" "{\"key\":\"$(b64 "dhow/overlay/$2")\"}"; }
field() { sed -n "s/.*\"$1\":\"\([^\"]*\)\".*/\1/p"; }
keys() { kv range keys | field value; }
# rotate: at once; waits for the keys
rotate() { local was; was=$(keys); kv deleterange rotation >/dev/null; until_ok eval '[ "$(keys)" != "$was" ]'; }
until_ok kv range x
# launch HOST [ADDRESS]
launch() {
  nsenter --net="/run/netns/$1" dhow daemon -H "unix:///run/$1.sock" --data-root "/root/$1" --exec-root "/run/$1" -p "/run/$1.pid" --bridge "br$1" --bip "10.99.$((0x$1)).1/24" \
    --cluster-store etcd://192.0.2.10:2379 --cluster-advertise "${2:-eth0}" >>"/root/$1.log" 2>&1 &
  until_ok answers "/run/$1.sock"
}
# on HOST ARGUMENT…
on() { local host=$1; shift; docker -H "unix:///run/$host.sock" "$@" 2>&1; }
launch a; launch b
for host in a b; do load_busybox -H "unix:///run/$host.sock"; done
vni() { echo "com.docker.network.driver.overlay.vxlanid_list=$1"; }
# inside CONTAINER COMMAND…: in its network alone, which is quicker than an exec
declare -A pid ip
inside() { local name=$1; shift; nsenter --net="/proc/${pid[$name]}/ns/net" busybox "$@" 2>&1; }
# start HOST CONTAINER NETWORK COMMAND…
start() {
  local host=$1 name=$2 network=$3; shift 3
  on $host run -d --name $name --network $network busybox "$@" >/dev/null
  read -r "pid[$name]" "ip[$name]" <<<"$(on $host inspect -f '{{.State.Pid}} {{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}' $name)"
}
pings() { inside "$1" ping -c 1 -W 2 "${ip[$2]}"; }
received() { inside "$1" cat "/proc/${pid[$1]}/net/dev" | sed -n 's/ *eth0: *[0-9]* *\([0-9]*\).*/\1/p'; }
reqids() { ip -n "$1" xfrm state | grep -o 'reqid [0-9]*' | sort -u | tr '\n' ' '; }
spis() { ip -n "$1" xfrm state | grep -o 'spi 0x[0-9a-f]*' | sort | tr '\n' ' '; }

title "an encrypted network"
# somebody else's
ip -n a xfrm state add src 192.0.2.1 dst 192.0.2.77 proto esp spi 0x777 reqid 7 mode transport aead 'rfc4106(gcm(aes))' 0x0101010101010101010101010101010101010101 128
ip -n a xfrm policy add dir out src 192.0.2.1 dst 192.0.2.77 proto 6 tmpl src 192.0.2.1 dst 192.0.2.77 proto esp reqid 7 mode transport
on a network create -d overlay --opt encrypted -o "$(vni 5000)" far >/dev/null
until_ok on b network inspect far
check "it is known for what it is" "map[[]*encrypted:*" "$(on b network inspect -f '{{.Options}}' far)"
start a one far sh -c 'nc -ll -p 80 -e cat'
start b two far sleep 100000
until_ok pings two one
check "ping, by name" "*1 packets received*" "$(on a exec one ping -c 1 -W 5 two)"
check "the MTU leaves room" 1416 "$(on a exec one cat /sys/class/net/eth0/mtu)"
check "as large as it gets" "*1 packets received*" "$(inside one ping -c 1 -W 5 -s 1388 "${ip[two]}")"
check "and in one piece" 0 "$(passed_by pieces)"
check "which is full" "[1-9]*" "$(passed_by full)"
check "TCP" "2097152" "$(on b exec two sh -c 'head -c 2m /dev/zero | nc -w 5 one 80 | wc -c')"
check "ESP passed" "[1-9]*" "$(passed_by sealed)"
check "nothing in the clear" 0 "$(passed_by clear)"
check "three keys to receive under, one to send under" "4 4" "$(ip -n a xfrm state | grep -c 'src 192.0.2.[12] dst 192.0.2.[12]$') $(ip -n b xfrm state | grep -c '^src')"
check "sequence numbers of 64 bits" "4" "$(ip -n b xfrm state | grep -c 'replay_window 1024')"

title "another one beside it is not"
on b network create -d overlay -o "$(vni 5001)" open >/dev/null
until_ok on a network inspect open
start a three open sleep 100000
start b four open sleep 100000
esp=$(passed_by sealed)
until_ok pings four three
check "VXLAN passed" "[1-9]*" "$(passed_by other)"
check "it was not ESP" "$esp" "$(passed_by sealed)"

title "forged packets"
# forge VNI NAME: frames to a container of a
forge() {
  local mac; mac=$(on a inspect -f '{{range .NetworkSettings.Networks}}{{.MacAddress}}{{end}}' "$2" | sed 's/:/\\x/g')
  local packet="\x08\x00\x00\x00$1\x00\x$mac\x02\x00\x00\x00\x00\x99\x88\xb5$(printf %046d 0)"
  # in one write: a printf ends a datagram at a byte that is a line feed
  printf "$packet" >/root/frame
  ip netns exec wire bash -c 'for turn in $(seq 50); do cat /root/frame >/dev/udp/192.0.2.1/4789; done'
}
before=$(received three)
forge '\x00\x13\x89' three
check "get into the open network" yes "$([ $(($(received three) - before)) -ge 50 ] && echo yes)"
before=$(received one)
forge '\x00\x13\x88' one
check "not into the encrypted one" yes "$([ $(($(received one) - before)) -lt 50 ] && echo yes)"

title rotation
inside two ping -c 100 -i 0.1 -W 20 "${ip[one]}" >/root/pings &
flow=$!
for turn in 1 2 3 4; do
  was=$(keys)
  rotate
  check "the keys are others, $turn" yes "$([ "$(keys)" != "$was" ] && echo yes)"
done
wait $flow
check "no packet is lost" "*100 packets transmitted, 100 packets received*" "$(cat /root/pings)"
check "no state is left over" "4 4" "$(ip -n a xfrm state | grep -c 'src 192.0.2.[12] dst 192.0.2.[12]$') $(ip -n b xfrm state | grep -c '^src')"

title "a daemon is suspended"
id=$(on a info -f '{{.ID}}')
session() { kv range "sessions/$id" | field value; }
was=$(session)
kill -STOP "$(cat /run/a.pid)"
rotate
check "over one rotation traffic goes on" "*1 packets received*1 packets received*" "$(pings one two; pings two one)"
ask lease/revoke "{\"ID\":\"$(kv range "sessions/$id" | field lease)\"}" >/dev/null
rotate
rotate
until_ok eval '[ -z "$(reqids b)" ]'
check "when its lease has ended nothing passes" "*0 packets received*0 packets received*" "$(pings one two; pings two one)"
kill -CONT "$(cat /run/a.pid)"
until_ok pings one two
check "it comes back by itself" "*1 packets received*" "$(pings two one)"
check "under keys that it never had" "yes" "$([ -n "$(session)" ] && [ "$(session)" != "$was" ] && echo yes)"
check "no state is left over" "4 4" "$(ip -n a xfrm state | grep -c 'src 192.0.2.[12] dst 192.0.2.[12]$') $(ip -n b xfrm state | grep -c '^src')"
check "nothing in the clear" 0 "$(passed_by clear)"

title "the daemon is killed"
was=$(spis a)
kill -9 "$(cat /run/a.pid)"
check "traffic goes on" "*1 packets received*" "$(pings two one)"
taken_up=$(grep -c 'etcd is there' /root/a.log)
launch a
until_ok eval '[ "$(grep -c "etcd is there" /root/a.log)" -gt "$taken_up" ]'
sleep 1
check "the next one takes up the states" "$was" "$(spis a)"
check "and traffic goes on" "*1 packets received*" "$(pings two one)"

title "somebody takes things away"
ip -n a xfrm policy flush
check "without policies nothing is sent" "*0 packets received*" "$(inside one ping -c 2 -W 1 "${ip[two]}")"
until_ok pings one two
ip -n a xfrm state flush
until_ok pings one two
check "states are new ones" "*1 packets received*" "$(pings two one)"
ip netns exec a nft flush ruleset
check "without nft it is encrypted" "*1 packets received*" "$(pings one two)"
until_ok ip netns exec a nft list table inet bra-overlay
check "the guard is back" "*0x1388*" "$(ip netns exec a nft list set inet bra-overlay encrypted)"
check "nothing in the clear" 0 "$(passed_by clear)"
ip -n a xfrm state add src 192.0.2.1 dst 192.0.2.77 proto esp spi 0x777 reqid 7 mode transport aead 'rfc4106(gcm(aes))' 0x0101010101010101010101010101010101010101 128
ip -n a xfrm policy add dir out src 192.0.2.1 dst 192.0.2.77 proto 6 tmpl src 192.0.2.1 dst 192.0.2.77 proto esp reqid 7 mode transport

title "etcd is away while a daemon starts, and longer than a key lasts"
was=$(keys)
lease=$(ask lease/grant '{"TTL":"2"}' | field ID)
ask kv/put "{\"key\":\"$(b64 dhow/overlay/rotation)\",\"value\":\"e30=\",\"lease\":\"$lease\"}" >/dev/null
pkill -9 -x etcd
kill -9 "$(cat /run/b.pid)"
launch b
check "what was encrypted is" "*1 packets received*" "$(pings one two)"
etcd
until_ok kv range x
until_ok eval '[ "$(keys)" != "$was" ]'
check "then there is another one" yes "$([ "$(keys)" != "$was" ] && echo yes)"
until_ok pings one two
check "and traffic goes on" "*1 packets received*" "$(pings two one)"

title "a network that went while a daemon was away"
on a rm -f one three >/dev/null; on b rm -f two four >/dev/null
on b network rm open >/dev/null
# what it had not told yet, etcd would only know when its lease is over
range="{\"key\":\"$(b64 dhow/overlay/endpoints/)\",\"range_end\":\"$(b64 dhow/overlay/endpoints0)\",\"count_only\":true}"
nobody() { ! ip netns exec wire curl -s -m 20 http://192.0.2.10:2379/v3/kv/range -d "$range" | grep -q '"count"'; }
until_ok nobody
kill -9 "$(cat /run/a.pid)"
until_ok on b network rm far
check "no state or policy is left" " " "$(ip -n b xfrm state) $(ip -n b xfrm policy)"
check "no guard" "" "$(ip netns exec b nft list tables | grep overlay)"
launch a
until_ok sh -c '! docker -H unix:///run/a.sock network inspect far'
check "nor on the other host" "reqid 7 " "$(reqids a)"
check "but somebody else's policy" 1 "$(ip -n a xfrm policy | grep -c '^src')"
check "no guard there" "" "$(ip netns exec a nft list tables | grep overlay)"

title "hosts with IPv6 addresses"
for host in a b; do kill "$(cat /run/$host.pid)"; done
until_ok sh -c '! pgrep -x dhow'
kv deleterange keys >/dev/null
launch a fd00:99::1; launch b fd00:99::2
on a network create -d overlay --opt encrypted -o "$(vni 5002)" six >/dev/null
until_ok on b network inspect six
start a one six sleep 100000
start b two six sleep 100000
esp=$(passed_by sealed)
until_ok pings two one
check "ping" "*1 packets received*" "$(inside one ping -c 1 -W 5 -s 1368 "${ip[two]}")"
check "by ESP" yes "$([ "$(passed_by sealed)" -gt "$esp" ] && echo yes)"
check "nothing in the clear" 0 "$(passed_by clear)"
on a rm -f one >/dev/null; on b rm -f two >/dev/null
until_ok on a network rm six
check "the daemons found nothing wrong" "" "$(grep -hE 'level=error' /root/a.log /root/b.log)"
for host in a b; do kill "$(cat /run/$host.pid)"; done
finish tail -n 30 /root/a.log /root/b.log
