#!/bin/bash
# The name server answers nothing: requests that need it fail in bounded time, and nobody else waits for them.
. "$(dirname "$0")/lib.sh"
. "$E2E_HERE/sipp.sh"

PROBE=$(tool probe)
make_certs
edge_conf "dns-server = \"$NEXT_ADDR@53\"" \
    "peer \"far\" { kind = site  domains = { \"nowhere.test\" }  allow-clear = yes }"
user_add alice
user_add bob
"$PROBE" blackhole $NEXT_ADDR 53 60 >dns.log 2>&1 &
need "a name server that never answers" await 5 udp_open 53
need "the edge starts" edge_start
export TRANSPORT=u1
scenario message message_parts
scenario message_fails message_fails_parts
scenario message_callee message_callee_parts
PORT=7799 need "bob registers" sipp_register bob "sip:bob@$ADDR:7799"

PORT=7710 AS=alice SIPP_SECONDS=50 RECV_MS=40000 sipp_begin lost -sf message_fails.xml -m 100 -r 100 \
    -key callee nobody@nowhere.test
sleep 1.5
check "the name server is being asked" grep -q '^took' dns.log
PORT=7799 SIPP_SECONDS=10 sipp_begin callee -sf message_callee.xml -m 20
began=$(now_ms)
PORT=7711 AS=alice SIPP_SECONDS=10 check "meanwhile twenty messages reach bob" \
    sipp_run message -sf message.xml -m 20 -r 100 -key callee "bob@$DOMAIN"
took=$(($(now_ms) - began))
check "bob got them" sipp_wait callee
check "in no more than two seconds ($took ms)" [ $took -lt 2000 ]
check "the hundred that need the name server are all answered" sipp_wait lost
check "the edge lives" edge_alive
check "the edge stops in order" edge_stop
