#!/bin/bash
# How the daemon starts and ends: root is left behind after binding, files belong to the user of run-as, a second daemon
# with the same state folder is refused, systemd is told, what is under way is finished before the end.
. "$(dirname "$0")/lib.sh"
. "$E2E_HERE/sipp.sh"
. "$E2E_HERE/ops.sh"

fails() { # COMMAND...: with exit status 1
    "$@" >fails.out 2>&1
    [ $? = 1 ]
}
owner_of() { stat -c %U "$1"; }
state_of() { sed -n "s/^$1:[[:space:]]*//p" "/proc/$E2E_EDGE_PID/status"; }
threads_not_of() { cat /proc/"$E2E_EDGE_PID"/task/*/status | grep '^Uid:' | grep -vc "^Uid:[[:space:]]$1[[:space:]]$1[[:space:]]$1[[:space:]]$1$"; }
slow_callee_parts() {
    recv_request MESSAGE
    wait_ms 2000
    answer 200 OK
}

make_certs
chmod 711 "$WORK"
chmod 755 certs
chown nobody "certs/$DOMAIN.key"
edge_conf 'run-as = "nobody"' "listen \"tls:$ADDR:443\" { }" "metrics = \"$ADDR:9100\""
chmod 644 edge.conf
user_add alice
user_add bob
check "the store is made as the daemon's user" [ "$(owner_of state/sallyport.db)" = nobody ]
chown root state state/sallyport.db* # as an earlier start without run-as would have left it
need "the edge starts as root" edge_start
check "it is nobody now" [ "$(state_of Uid | cut -f1)" = "$(id -u nobody)" ]
check "all its threads are" [ "$(threads_not_of "$(id -u nobody)")" = 0 ]
check "without any capability" [ "$(state_of CapEff)$(state_of CapPrm)" = 00000000000000000000000000000000 ]
check "and can gain none" [ "$(state_of NoNewPrivs)" = 1 ]
check "though it listens on a low port" tcp_open 443
for file in state state/sallyport.db state/keys state/control; do
    check "$file is nobody's" [ "$(owner_of $file)" = nobody ]
done
check "alice registers" registers alice 600
check "it reloads as nobody" "$(edge_program)" reload -c edge.conf
check "root can ask it" json summary '.users == 2'

cp edge.conf second.conf
sed -i -e 's/:50\(6[0-9]\)"/:70\1"/' -e 's/:443"/:7443"/' -e 's/:9100/:9200/' second.conf
check "a second daemon in the same folder is refused" fails "$(edge_program)" run -c second.conf
check "which says why" grep -q 'another sallyport runs' fails.out
sed -i "s|^state-dir.*|state-dir = \"$WORK/state2\"|" second.conf
sed -i 's/:70\(6[0-9]\)"/:50\1"/' second.conf
{ cat second.conf; echo "store = \"$WORK/state/sallyport.db\""; } >third.conf
check "one in another folder with the same store is refused, too" fails "$(edge_program)" run -c third.conf
cp fails.out third.out
check "because of the store" grep -q "another sallyport runs with the store" third.out
check "one in another folder finds the addresses taken" fails "$(edge_program)" run -c second.conf
check "and names one" grep -q "$ADDR:5060" fails.out
check "the first is well" json summary '.store.writable'

scenario message message_parts
scenario slow slow_callee_parts
check "bob registers" eval "PORT=7720 sipp_register bob 'sip:bob@$ADDR:7720'"
PORT=7720 SIPP_SECONDS=8 sipp_begin callee -sf slow.xml -m 1
PORT=7797 AS=alice SIPP_SECONDS=8 sipp_begin message -sf message.xml -m 1 -key callee "bob@$DOMAIN"
sleep 1
check "what is under way is finished before it ends" edge_stop
check "for the caller" sipp_wait message
check "for the callee" sipp_wait callee
check "the log says that it stopped" await 3 log_has edge.log ' stopped '

python3 - notify.sock <<'END' >notify.txt &
import socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind(sys.argv[1])
s.settimeout(20)
while True:
    text = s.recv(4096).decode()
    print(text, flush=True)
    if text.startswith("STOPPING"):
        break
END
listener=$!
await 5 test -S notify.sock
chown nobody notify.sock
NOTIFY_SOCKET=$WORK/notify.sock
export NOTIFY_SOCKET
check "it starts under a service manager" edge_start
check "which hears that it is ready" await 5 grep -q '^READY=1' notify.txt
check "alice's registration has survived" json registrations '[.rows[] | select(.aor == "sip:alice@example.com")] | length == 1'
check "it stops" edge_stop
wait $listener
check "which was announced" grep -q '^STOPPING=1' notify.txt
unset NOTIFY_SOCKET

sed -i 's/^run-as.*/run-as = "nosuchuser"/' edge.conf
check "an unknown user is refused" fails "$(edge_program)" run -c edge.conf
check "by name" grep -q 'no user nosuchuser' fails.out
