#!/bin/bash
# A call over IPv6 from end to end: two of our phones by TLS, media between them; and a request by UDP whose answer says where it came
# from. (RFC 3261 18.2.1, 25.1; RFC 3581)
. "$(dirname "$0")/lib.sh"
. "$E2E_HERE/ourphone.sh"

ip link set lo up
ip -6 addr show dev lo | grep -q '::1/128' || ip -6 addr add ::1/128 dev lo 2>/dev/null || sysctl -qw net.ipv6.conf.lo.disable_ipv6=0
if ! ip -6 addr show dev lo | grep -q '::1'; then
    echo "1..0 # SKIP no IPv6 here"
    exit 0
fi
make_certs
edge_conf 'listen "tls:[::1]:5061" { }' 'listen "udp:[::1]:5060" { allow-clear = yes }'
our_user alice bob
need "the edge starts" edge_start

SERVER='tls:[::1]:5061'
check "alice registers over IPv6" our_status 0 alice --register-only
need "bob waits, over IPv6, too" our_start bob --answer --play tone:880 --expect-tone 440
check "alice calls him, and hears him" our_status 0 alice --call "sip:bob@$DOMAIN" --play tone:440 --expect-tone 880 --duration 2
check "bob heard her" our_end bob 0
check "by keys that were proven" our_event alice security '"leg":"media"' '"proven":true'
check "it says where they are" our_event alice answered '"media":"[::1]:'
answers_v6() { options_request UDP | timeout 3 nc -6 -u -w 2 ::1 5060 >udp6.out; grep -aq 'received=::1;rport=[0-9]' udp6.out || grep -aq 'rport=[0-9]*;received=::1' udp6.out; }
check "a request by UDP is answered to where it came from" answers_v6

check "the edge stops in order" edge_stop
