#!/bin/bash
# Peers that accept and never answer, over UDP, TCP and TLS (whose handshake never ends): requests to them end by the
# transaction's timer or sooner, and nobody else waits for them.
. "$(dirname "$0")/lib.sh"
. "$E2E_HERE/sipp.sh"

PROBE=$(tool probe)

invite_fails_parts() {
    invite_with_digest
    recv_opt 100
    local status
    for status in 403 480 500 502 503 504; do
        recv_opt $status 'next="failed"'
    done
    recv 408
    label failed
    BRANCH='[branch-9]' TO_TAG='[peer_tag_param]' out_head ACK 2 "$no_body" | send_part
}

# No 408 is ever sent for what is no INVITE (RFC 4320 4.2): where the peer only keeps silent, so does the edge. sipp applies
# the time limit of the first of several alternatives.
message_silent_parts() {
    local silence='timeout="25000" ontimeout="failed"'
    message_head 1 | send_part 'retrans="500"'
    recv_opt 100
    recv 407 'auth="true"'
    message_head 2 "$credentials" | send_part
    recv_opt 100 "$silence"
    recv_opt 500 "$silence next=\"failed\""
    recv 503 "$silence"
    label failed
    wait_ms 10
}

make_certs
hole() {
    echo "peer \"hole-$1\" { kind = site  domains = { \"$1.hole.test\" }"
    [ "$1" = tls ] || echo "    allow-clear = yes"
    echo "    ca = \"$WORK/certs/ca.crt\"  certificate-names = { \"hole.test\" }"
    echo "    next-hop = \"sip:$NEXT_ADDR:7800;transport=$1\" }"
}
edge_conf "listen \"tls:$ADDR:5064\" { client-ca = \"$WORK/certs/ca.crt\" }" "$(hole udp)" "$(hole tcp)" "$(hole tls)"
user_add alice
user_add bob
"$PROBE" blackhole $NEXT_ADDR 7800 58 >hole.log 2>&1 &
need "a peer that accepts and never answers" await 5 tcp_open 7800
need "the edge starts" edge_start
export TRANSPORT=u1
scenario message message_parts
scenario message_silent message_silent_parts
scenario message_callee message_callee_parts
scenario invite_fails invite_fails_parts
PORT=7799 need "bob registers" sipp_register bob "sip:bob@$ADDR:7799"

port=7710
for kind in udp tcp tls; do
    PORT=$((port++)) AS=alice SIPP_SECONDS=45 RECV_MS=42000 sipp_begin "message_$kind" -sf message_silent.xml -m 20 -r 100 \
        -key callee "nobody@$kind.hole.test"
    PORT=$((port++)) AS=alice SIPP_SECONDS=45 RECV_MS=42000 sipp_begin "invite_$kind" -sf invite_fails.xml -m 20 -r 100 \
        -key callee "nobody@$kind.hole.test"
done
sleep 1.5
check "the peer has accepted and read" eval 'grep -q "^accepted" hole.log && grep -q "^took" hole.log'
PORT=7799 SIPP_SECONDS=10 sipp_begin callee -sf message_callee.xml -m 20
began=$(now_ms)
PORT=7770 AS=alice SIPP_SECONDS=10 check "meanwhile twenty messages reach bob" \
    sipp_run message -sf message.xml -m 20 -r 100 -key callee "bob@$DOMAIN"
took=$(($(now_ms) - began))
check "bob got them" sipp_wait callee
check "in no more than two seconds ($took ms)" [ $took -lt 2000 ]
for kind in udp tcp tls; do
    check "no MESSAGE into the hole by $kind is answered with 408" sipp_wait "message_$kind"
    check "each INVITE into the hole by $kind ends" sipp_wait "invite_$kind"
done
check "the edge lives" edge_alive
check "the edge stops in order" edge_stop
