#!/bin/bash
# Registrations that lead back to the edge: a contact that is its own user, two users that point at each other, and the
# doubling of RFC 5393 3 (each step forks to two contacts that come back). The registrar may refuse such contacts; if it
# takes them, each request gets one final answer soon, the number of messages stays bounded, and others are served.
. "$(dirname "$0")/lib.sh"
. "$E2E_HERE/sipp.sh"

# What a request into a loop may be answered with: any final response but success.
loop_parts() {
    message_head 1 | send_part 'retrans="500"'
    recv_opt 100
    recv 407 'auth="true"'
    message_head 2 "$credentials" | send_part 'retrans="500"'
    recv_opt 100
    local status
    for status in 400 403 404 407 408 410 416 440 478 480 481 500 503 513 604; do
        recv_opt $status 'next="ended"'
    done
    recv_opt 482 'next="ended"'
    recv 483
    label ended
}
try_register() { # NAME CONTACT: whether it is taken is the registrar's affair
    PORT=7701 RECV_MS=2000 SIPP_SECONDS=4 sipp_register "$1" "$2" 60 || true
}
cpu_ticks() { awk '{ print $14 + $15 }' "/proc/$E2E_EDGE_PID/stat"; }
ends() { # NAME CALLEE
    PORT=7702 AS=dave RECV_MS=10000 SIPP_SECONDS=12 sipp_run "$1" -sf loop.xml -m 3 -r 3 -key callee "$2@$DOMAIN"
}

make_certs
edge_conf
for name in alice bob carol dave; do
    user_add $name
done
need "the edge starts" edge_start
export TRANSPORT=u1
scenario loop loop_parts
scenario message message_parts
scenario message_callee message_callee_parts
PORT=7799 need "dave registers" sipp_register dave "sip:dave@$ADDR:7799"
try_register alice "sip:alice@$ADDR:5060"
try_register bob "sip:carol@$DOMAIN"
try_register carol "sip:bob@$DOMAIN"
check "a user whose contact is that user: three requests end" ends self alice
check "two users who point at each other: three requests end" ends pair bob

for i in 1 2 3 4 5; do
    try_register carol "sip:carol@$ADDR:5060;transport=udp;n=$i"
    try_register carol "sip:carol@$DOMAIN;n=$i"
done
before=$(cpu_ticks)
check "ten contacts that come back: three requests end" ends double carol
used=$(($(cpu_ticks) - before))
check "at a bounded cost ($used hundredths of a second)" [ $used -lt 500 ]
PORT=7799 SIPP_SECONDS=8 sipp_begin callee -sf message_callee.xml -m 1
PORT=7703 AS=dave SIPP_SECONDS=8 check "a request without a loop is served" \
    sipp_run message -sf message.xml -m 1 -key callee "dave@$DOMAIN"
check "and received" sipp_wait callee
check "the edge lives" edge_alive
check "the edge stops in order" edge_stop
