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

# Alice by IPv4 and bob by IPv6, with media through us: each leg has addresses of its own kind, either way round.
DOMAIN_LINES="media = protect" edge_conf 'listen "tls:[::1]:5061" { }' "media { address = {\"$ADDR\", \"::1\"} ports = \"30000-30099\" }"
need "the edge starts with media through it" edge_start
status() { "$(edge_program)" status "$@" -c edge.conf --json; }
# legs_at CALLER CALLEE: where the ends of the one call are, by family (4, 6), with packets both ways.
legs_at() {
    local id
    id=$(status calls | jq -er '.rows[0].call_id') || return 1
    status call "$id" >call.json || return 1
    jq -e --arg a "$1" --arg b "$2" '.rows[0] | [.legs[].media[0].packets | (if (.local + .remote | test("\\[.*\\[")) then "6"
        elif (.local + .remote | test("\\[")) then "mixed" else "4" end)] == [$a, $b] and
        ([.legs[].media[0].packets | .packets_in > 20 and .packets_out > 20] | all)' call.json >/dev/null || { cat call.json; return 1; }
}
across() { # CALLER ITS-SERVER CALLEE ITS-SERVER FAMILIES...
    SERVER=$4 need "$3 waits at $4" our_start "$3" --answer --play tone:880 --expect-tone 440
    SERVER=$2 need "$1 calls from $2" our_start "$1" --call "sip:$3@$DOMAIN" --play tone:440 --expect-tone 880 --duration 3
    check "each leg has addresses of its own kind" await 4 legs_at "$5" "$6"
    check "$1 heard $3" our_end "$1" 0
    check "$3 heard $1" our_end "$3" 0
    check "by keys that were proven" our_event "$1" security '"leg":"media"' '"proven":true'
}
across alice "tls:$ADDR:5061" bob 'tls:[::1]:5061' 4 6
across bob 'tls:[::1]:5061' alice "tls:$ADDR:5061" 6 4
check "the edge stops in order again" edge_stop
