#!/bin/bash
# Kamailio as the next domain. Requests for its domains leave the edge to it and its answers come back; it sends requests
# in as a peer: next.test by UDP from a configured address, secure.test by mutual TLS with names checked both ways.
. "$(dirname "$0")/lib.sh"
. "$E2E_HERE/sipp.sh"

next_start() {
    local file
    for file in next next-tls; do
        sed -e "s|@ADDR@|$ADDR|g" -e "s|@NEXT@|$NEXT_ADDR|g" -e "s|@DOMAIN@|$DOMAIN|g" -e "s|@WORK@|$WORK|g" \
            "$E2E_HERE/kamailio/$file.cfg" >"$file.cfg"
    done
    mkdir -p next-run
    kamailio -DD -E -x tlsf -m 64 -M 8 -f next.cfg -Y "$WORK/next-run" >>next.log 2>&1 &
    await 10 log_has next.log 'tls.*Server MUST present valid certificate' && await 10 next_listens
}
# How many values the first INVITE had that NAME's sipp received.
sipp_record_routes() {
    awk '/ message received / { take = 1; next } /^-+ [0-9]/ && take { exit } take && /^Record-Route:/ { n += gsub(/<sip:/, "") }
        END { print n + 0 }' "$1.msg"
}
next_listens() { [ -n "$(ss -H -lun "src $NEXT_ADDR")" ] && [ -n "$(ss -H -ltn "src $NEXT_ADDR and sport = :5061")" ]; }

call_parts() {
    invite_with_digest
    recv_opt 100
    recv_opt 180
    recv 200 'rrs="true"'
    ack
    wait_ms 200
    in_dialog BYE
}
# From the next domain nothing is challenged: a peer vouches for its users.
plain_call_parts() {
    { out_head INVITE 1 "$contact
$sdp_body"; sdp_part 1; } | send_part 'retrans="500"'
    recv_opt 100
    recv_opt 180
    recv 200 'rrs="true"'
    SIPP_CSEQ=1
    ack
    wait_ms 200
    SIPP_CSEQ=2
    in_head BYE 2 "$no_body" | send_part 'retrans="500"'
    recv 200
}
plain_message_parts() {
    message_head 1 | send_part 'retrans="500"'
    recv_opt 100
    recv "${EXPECT:-200}"
}
ended_call_parts() {
    invite_with_digest
    recv_opt 100
    recv_opt 180
    recv 200 'rrs="true"'
    ack
    recv_request BYE
    answer_in_dialog 200 OK
}
ending_callee_parts() {
    recv_and_keep INVITE call 'rrs="true"'
    answer 180 Ringing
    answer 200 OK sdp
    recv_request ACK
    wait_ms 200
    callee_head BYE 1 "$no_body" | send_part 'retrans="500"'
    recv 200
}
make_certs
make_cert ca secure.test DNS:secure.test,URI:sip:secure.test
edge_conf \
    "peer \"next\" { kind = site  domains = { \"next.test\" }  next-hop = \"sip:$NEXT_ADDR:5060;transport=udp\"" \
    "    allow-sources = { \"$NEXT_ADDR\" }  allow-clear = yes }" \
    "listen \"tls:$ADDR:5064\" { client-certificate = require  client-ca = \"$WORK/certs/ca.crt\" }" \
    "peer \"secure\" { kind = peering  domains = { \"secure.test\" }  certificate-names = { \"secure.test\" }" \
    "    next-hop = \"sip:$NEXT_ADDR:5061;transport=tls\"  ca = \"$WORK/certs/ca.crt\"  allow-clear-media = yes }" \
    "peer \"impostor\" { kind = peering  domains = { \"impostor.test\" }  certificate-names = { \"impostor.test\" }" \
    "    next-hop = \"sip:$NEXT_ADDR:5061;transport=tls\"  ca = \"$WORK/certs/ca.crt\" }"
user_add alice
user_add bob
need "the edge starts" edge_start
need "Kamailio starts as the next domain" next_start
export TRANSPORT=u1
scenario call call_parts
scenario plain_call plain_call_parts
scenario message message_parts
scenario plain_message plain_message_parts
scenario message_callee message_callee_parts
scenario refused message_fails_parts
scenario ended_call ended_call_parts
scenario ending_callee ending_callee_parts
sipp -sd uas | sed -e 's/^ *\[last_Via:\]/&\n[last_Record-Route:]/' >uas.xml

# Out by UDP
FROM=$NEXT_ADDR PORT=7700 SIPP_SECONDS=12 sipp_begin out_callee -sf uas.xml -m 5
PORT=7710 AS=alice check "five calls from alice to next.test" sipp_run out -sf call.xml -m 5 -r 5 -key callee dave@next.test
check "their callee in the next domain" sipp_wait out_callee
check "Kamailio had them from the edge" log_has next.log "INVITE sip:dave@next.test from $ADDR by udp"

# In by UDP. sipp's messages go to Kamailio first.
PORT=7720 need "bob registers" sipp_register bob "sip:bob@$ADDR:7720"
PORT=7720 SIPP_SECONDS=12 sipp_begin in_callee -sf uas.xml -m 5
TO=$NEXT_ADDR DOMAIN=next.test FROM=$NEXT_ADDR PORT=7730 check "five calls from next.test to bob" \
    sipp_run in -sf plain_call.xml -m 5 -r 5 -key user erin -key callee bob@example.com
check "their callee bob" sipp_wait in_callee

# Out by mutual TLS
FROM=$NEXT_ADDR PORT=7700 SIPP_SECONDS=12 sipp_begin secure_callee -sf message_callee.xml -m 1
PORT=7711 AS=alice check "a MESSAGE from alice to secure.test" sipp_run secure -sf message.xml -m 1 -key callee dave@secure.test
check "its receiver in secure.test" sipp_wait secure_callee
check "it went by TLS" log_has next.log "MESSAGE sip:dave@secure.test from .* by tls"

# Calls whose transport changes at the edge (UDP to TLS) and again at Kamailio (TLS to UDP): each writes two Record-Routes,
# and what follows in the dialog finds its way from either end (RFC 5658).
FROM=$NEXT_ADDR PORT=7700 SIPP_SECONDS=12 sipp_begin tls_callee -sf uas.xml -m 3
PORT=7713 AS=alice check "three calls from alice to secure.test, which she ends" \
    sipp_run tls_out -sf call.xml -m 3 -r 5 -key callee dave@secure.test
check "their callee" sipp_wait tls_callee
FROM=$NEXT_ADDR PORT=7700 SIPP_SECONDS=12 sipp_begin ending_callee -sf ending_callee.xml -m 3
PORT=7714 AS=alice check "three calls from alice to secure.test, which the callee ends" \
    sipp_run tls_ended -sf ended_call.xml -m 3 -r 5 -key callee dave@secure.test
check "the callee who ends them" sipp_wait ending_callee
check "her BYE reached Kamailio by TLS, the callee's came by UDP" eval 'log_has next.log "BYE sip:.* from $ADDR by tls" && log_has next.log "BYE sip:.* from $NEXT_ADDR by udp"'
check "four Record-Routes reached the callee" eval '[ "$(sipp_record_routes ending_callee)" = 4 ]'

# In by mutual TLS
PORT=7720 SIPP_SECONDS=12 sipp_begin secure_in_callee -sf message_callee.xml -m 1
TO=$NEXT_ADDR DOMAIN=secure.test FROM=$NEXT_ADDR PORT=7731 check "a MESSAGE from secure.test to bob, by mutual TLS" \
    sipp_run secure_in -sf plain_message.xml -m 1 -key user erin -key callee bob@example.com
check "its receiver bob" sipp_wait secure_in_callee

# The certificate of the next hop names another domain: nothing is sent there, and the log says so.
PORT=7712 AS=alice check "a MESSAGE to a peer with another's certificate is refused" \
    sipp_run impostor -sf refused.xml -m 1 -key callee dave@impostor.test
refuse "and it never got there" log_has next.log 'dave@impostor.test'
check "the log names the expected and the presented name" \
    await 3 eval 'grep -E "impostor\.test" edge.log | grep -Eq "secure\.test"'
check "the edge stops in order" edge_stop
