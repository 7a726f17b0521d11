#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Capture rules, seen from outside: two hosts (network namespaces), real connections, both families.
# usage: redirect.sh [MESHD]     needs root, nft, ip, python3. Prints "N passed, N failed".
meshd=$(realpath "${1:-./meshd}")
a=redir-a-$$ b=redir-b-$$
dir=$(mktemp -d)
passed=0 failed=0 pids=

[ "$(id -u)" = 0 ] || { echo "SKIP redirect: needs root"; exit 77; }
export ASAN_OPTIONS="${ASAN_OPTIONS:-detect_leaks=0}"
unset SSH_CONNECTION

cleanup() {
	for p in $pids; do kill "$p" 2>/dev/null; done
	ip netns del "$a" 2>/dev/null
	ip netns del "$b" 2>/dev/null
	rm -rf "$dir"
}
trap cleanup EXIT
trap 'exit 1' INT TERM

in_a() { ip netns exec "$a" "$@"; }
in_b() { ip netns exec "$b" "$@"; }

# check WHAT WANT GOT
check() {
	if [ "$2" = "$3" ]; then
		passed=$((passed + 1))
	else
		failed=$((failed + 1))
		echo "FAIL $1: want '$2', got '$3'"
	fi
}

# A server per port. Its one line says: own port, original destination, peer address. Then it echoes.
cat > "$dir/serve.py" <<'PY'
import socket, struct, sys, threading
def orig(c):
    try:
        b = c.getsockopt(socket.IPPROTO_IP, 80, 16)
        return "%s:%d" % (socket.inet_ntoa(b[4:8]), struct.unpack("!H", b[2:4])[0])
    except OSError:
        pass
    try:
        b = c.getsockopt(socket.IPPROTO_IPV6, 80, 28)
        return "[%s]:%d" % (socket.inet_ntop(socket.AF_INET6, b[8:24]), struct.unpack("!H", b[2:4])[0])
    except OSError:
        return "none"
def talk(c, port):
    c.sendall(("%d %s %s\n" % (port, orig(c), c.getpeername()[0].replace("::ffff:", ""))).encode())
    while True:
        d = c.recv(4096)
        if not d:
            return c.close()
        c.sendall(d)
def serve(port):
    s = socket.socket(socket.AF_INET6)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    s.bind(("::", port))
    s.listen(64)
    print("ready", flush=True)
    while True:
        c, _ = s.accept()
        threading.Thread(target=talk, args=(c, port), daemon=True).start()
for p in sys.argv[2:]:
    threading.Thread(target=serve, args=(int(p),), daemon=True).start()
threading.Event().wait()
PY
# Prints the server's line. Options: mark, from=ADDRESS (transparent), uid=N, cgroup=FILE.
cat > "$dir/call.py" <<'PY'
import os, socket, sys
host, port, *rest = sys.argv[1:]
o = dict((r.split("=") + [""])[:2] for r in rest)
v6 = ":" in host
if "cgroup" in o:
    open(o["cgroup"], "w").write("0")
s = socket.socket(socket.AF_INET6 if v6 else socket.AF_INET)
s.settimeout(3)
if "mark" in o:
    s.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, 0x539)
if "from" in o:
    s.setsockopt(socket.IPPROTO_IPV6 if v6 else socket.IPPROTO_IP, 75 if v6 else 19, 1)
    s.bind((o["from"], 0))
if "uid" in o:
    os.setuid(int(o["uid"]))
    s = socket.socket(s.family)
    s.settimeout(3)
try:
    s.connect((host, int(port)))
    line = s.makefile().readline().strip()
    s.sendall(b"x" * 100000)
    n = 0
    while n < 100000:
        n += len(s.recv(65536)) or 10**9
    print(line if n == 100000 else "cut")
except OSError as e:
    print(type(e).__name__)
PY
# Holds a connection open across rule changes: a line in, a line echoed.
cat > "$dir/hold.py" <<'PY'
import socket, sys
s = socket.create_connection((sys.argv[1], int(sys.argv[2])), 3)
f = s.makefile("rw")
f.readline()
print("open", flush=True)
for line in sys.stdin:
    f.write(line); f.flush()
    try:
        print(f.readline().strip(), flush=True)
    except OSError as e:
        print(type(e).__name__, flush=True)
PY

call_a() { in_a python3 "$dir/call.py" "$@"; }
call_b() { in_b python3 "$dir/call.py" "$@"; }

wait_lines() { # FILE N
	for _ in $(seq 100); do
		[ "$(wc -l < "$1")" -ge "$2" ] && return
		sleep 0.1
	done
	echo "timeout: $1 has not $2 lines"
	exit 1
}

ip netns add "$a" && ip netns add "$b" || exit 1
ip -n "$a" link add eth0 type veth peer name eth0 netns "$b"
for n in "$a" "$b"; do
	ip -n "$n" link set lo up
	ip -n "$n" link set eth0 addrgenmode none up
done
ip -n "$a" addr add 10.9.0.1/24 dev eth0
ip -n "$b" addr add 10.9.0.2/24 dev eth0
ip -n "$a" addr add fd09::1/64 dev eth0 nodad
ip -n "$b" addr add fd09::2/64 dev eth0 nodad
ip -n "$b" route add default via 10.9.0.1
ip netns exec "$a" python3 "$dir/serve.py" a 9090 9091 > "$dir/a.out" & pids="$pids $!"
ip netns exec "$b" python3 "$dir/serve.py" b 8080 8081 22 2222 15001 15006 15008 > "$dir/b.out" & pids="$pids $!"
wait_lines "$dir/a.out" 2
wait_lines "$dir/b.out" 7

# Opened before there is any connection tracking: must survive the rules.
mkfifo "$dir/in1" "$dir/in2"
in_a python3 "$dir/hold.py" 10.9.0.2 8080 < "$dir/in1" > "$dir/held1" & pids="$pids $!"
in_b python3 "$dir/hold.py" 10.9.0.1 9090 < "$dir/in2" > "$dir/held2" & pids="$pids $!"
exec 8> "$dir/in1" 9> "$dir/in2"
wait_lines "$dir/held1" 1
wait_lines "$dir/held2" 1

in_b nft list ruleset > "$dir/rules0"
{ ip -n "$b" rule; ip -n "$b" -6 rule; ip -n "$b" route show table all; ip -n "$b" -6 route show table all; } > "$dir/routes0"
up() { in_b "$meshd" redirect up "$@"; check "up $*" 0 $?; }
down() { in_b "$meshd" redirect down; check down 0 $?; }

up --mode=ztunnel
in_b nft -s list ruleset > "$dir/rules1"
up --mode=ztunnel
in_b nft -s list ruleset > "$dir/rules2"
check "up twice is up once" "" "$(diff "$dir/rules1" "$dir/rules2")"
check "one rule each" "1 1" "$(ip -n "$b" rule | grep -c 0x111) $(ip -n "$b" -6 rule | grep -c 0x111)"

echo one >&8; echo two >&9
wait_lines "$dir/held1" 2; wait_lines "$dir/held2" 2
check "open inbound connection" one "$(sed -n 2p "$dir/held1")"
check "open outbound connection" two "$(sed -n 2p "$dir/held2")"

check "inbound v4" "15006 10.9.0.2:8080 10.9.0.1" "$(call_a 10.9.0.2 8080)"
check "inbound v6" "15006 [fd09::2]:8080 fd09::1" "$(call_a fd09::2 8080)"
check "HBONE port is ours" "15008 10.9.0.2:15008 10.9.0.1" "$(call_a 10.9.0.2 15008)"
check "ssh v4" "22 10.9.0.2:22 10.9.0.1" "$(call_a 10.9.0.2 22)"
check "ssh v6" "22 [fd09::2]:22 fd09::1" "$(call_a fd09::2 22)"
check "outbound v4" "15001 10.9.0.1:9090 10.9.0.2" "$(call_b 10.9.0.1 9090)"
check "outbound v6" "15001 [fd09::1]:9090 fd09::2" "$(call_b fd09::1 9090)"
check "outbound VIP" "15001 240.240.0.1:80 10.9.0.2" "$(call_b 240.240.0.1 80)"
check "marked out v4" "9090" "$(call_b 10.9.0.1 9090 mark | cut -d' ' -f1)"
check "marked out v6" "9090" "$(call_b fd09::1 9090 mark | cut -d' ' -f1)"
check "loopback v4" "8080 127.0.0.1" "$(call_b 127.0.0.1 8080 | cut -d' ' -f1,3)"
check "loopback v6" "8080 ::1" "$(call_b ::1 8080 | cut -d' ' -f1,3)"
check "own address v4" "8080 10.9.0.2" "$(call_b 10.9.0.2 8080 | cut -d' ' -f1,3)"
check "own address v6" "8080 fd09::2" "$(call_b fd09::2 8080 | cut -d' ' -f1,3)"
check "source kept v4" "8080 10.9.0.1" "$(call_b 10.9.0.2 8080 mark from=10.9.0.1 | cut -d' ' -f1,3)"
check "source kept v6" "8080 fd09::1" "$(call_b fd09::2 8080 mark from=fd09::1 | cut -d' ' -f1,3)"
check "source kept, far" "8080 192.0.2.7" "$(call_b 10.9.0.2 8080 mark from=192.0.2.7 | cut -d' ' -f1,3)"

down
check "no table left" "$(cat "$dir/rules0")" "$(in_b nft list ruleset)"
check "no route left" "" "$({ ip -n "$b" rule; ip -n "$b" -6 rule; ip -n "$b" route show table all
	ip -n "$b" -6 route show table all; } | diff "$dir/routes0" -)"
down
check "after down in" "8080" "$(call_a 10.9.0.2 8080 | cut -d' ' -f1)"
check "after down out" "9090" "$(call_b 10.9.0.1 9090 | cut -d' ' -f1)"

SSH_CONNECTION="10.9.0.1 50000 10.9.0.2 2222" up --mode=ztunnel --exclude-inbound-ports=8080 \
	--exclude-outbound-ports=9090 --exclude-outbound-cidrs=fd09::1,192.0.2.0/24 --exclude-uids=4321
check "ssh session's port" 2222 "$(call_a 10.9.0.2 2222 | cut -d' ' -f1)"
check "excluded in" 8080 "$(call_a 10.9.0.2 8080 | cut -d' ' -f1)"
check "not excluded in" 15006 "$(call_a 10.9.0.2 8081 | cut -d' ' -f1)"
check "excluded out port" 9090 "$(call_b 10.9.0.1 9090 | cut -d' ' -f1)"
check "not excluded out port" 15001 "$(call_b 10.9.0.1 9091 | cut -d' ' -f1)"
check "excluded out address" 9091 "$(call_b fd09::1 9091 | cut -d' ' -f1)"
check "excluded uid" 9091 "$(call_b 10.9.0.1 9091 uid=4321 | cut -d' ' -f1)"
check "other uid" 15001 "$(call_b 10.9.0.1 9091 uid=4322 | cut -d' ' -f1)"

up --mode=ztunnel --include-inbound-ports=8081 --include-outbound-cidrs=10.9.0.1 --no-ipv6
check "listed in" 15006 "$(call_a 10.9.0.2 8081 | cut -d' ' -f1)"
check "not listed in" 8080 "$(call_a 10.9.0.2 8080 | cut -d' ' -f1)"
check "listed out" 15001 "$(call_b 10.9.0.1 9091 | cut -d' ' -f1)"
check "no v6 in" 8081 "$(call_a fd09::2 8081 | cut -d' ' -f1)"
check "no v6 out" 9091 "$(call_b fd09::1 9091 | cut -d' ' -f1)"
up --mode=ztunnel --include-outbound-cidrs=192.0.2.0/24
check "not listed out" 9091 "$(call_b 10.9.0.1 9091 | cut -d' ' -f1)"

up --mode=ztunnel --uid=4321
check "that uid" 15001 "$(call_b 10.9.0.1 9091 uid=4321 | cut -d' ' -f1)"
check "another uid" 9091 "$(call_b 10.9.0.1 9091 | cut -d' ' -f1)"

up --mode=sidecar
check "sidecar in" "15006 10.9.0.2:8080 10.9.0.1" "$(call_a 10.9.0.2 8080)"
check "sidecar out v6" "15001 [fd09::1]:9090 fd09::2" "$(call_b fd09::1 9090)"
check "sidecar to its app v4" "8080 127.0.0.6" "$(call_b 10.9.0.2 8080 mark from=127.0.0.6 | cut -d' ' -f1,3)"
check "sidecar to its app v6" "8080 ::6" "$(call_b fd09::2 8080 mark from=::6 | cut -d' ' -f1,3)"
check "sidecar to itself v4" "15006 10.9.0.2:8080" "$(call_b 10.9.0.2 8080 mark | cut -d' ' -f1,2)"
check "sidecar to itself v6" "15006 [fd09::2]:8080" "$(call_b fd09::2 8080 mark | cut -d' ' -f1,2)"
check "sidecar to loopback" "8080" "$(call_b 127.0.0.1 8080 mark | cut -d' ' -f1)"
check "sidecar marked out" "9090" "$(call_b 10.9.0.1 9090 mark | cut -d' ' -f1)"
down
check "no address left" "" "$(ip -n "$b" -6 addr show dev lo | grep '::6/')"

check "waypoint" 0 "$(in_b "$meshd" redirect up --mode=waypoint 2> "$dir/err"; echo $?)"
check "no nft" "1 meshd redirect: the program nft is missing: install the package nftables" \
	"$(in_b unshare -m sh -c 'mount -t tmpfs none /usr/sbin; PATH=/bin "$0" redirect up --mode=ztunnel' "$meshd" \
		2> "$dir/err"; echo $? "$(cat "$dir/err")")"
check "no root" 1 "$(in_b setpriv --reuid 65534 --clear-groups --inh-caps=-all "$meshd" redirect up --mode=ztunnel \
	2> "$dir/err"; echo $?)"
check "no root, remedy" 1 "$(grep -c 'CAP_NET_ADMIN, run as root' "$dir/err")"

echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
