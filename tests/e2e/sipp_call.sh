#!/bin/bash
# sipp registers with digest over UDP and TCP, and its stock callee is called through the edge: by an authenticated user
# that follows the route set, and by sipp's stock caller from a peer's address.
. "$(dirname "$0")/lib.sh"
. "$E2E_HERE/sipp.sh"

caller_parts() {
    invite_with_digest
    recv_opt 100
    recv_opt 180
    recv 200 'rrs="true"'
    ack
    wait_ms 200
    in_dialog BYE
}

make_certs
# A binding made over TCP lives and dies with its connection, and sipp registers and answers by two; so its callee over TCP
# is a peer's, to which the edge opens a connection.
edge_conf "peer \"load\" { kind = server  allow-sources = { \"$PEER_ADDR\" }  allow-clear = yes }" \
    "peer \"callees\" { kind = site  domains = { \"tcp.test\" }  next-hop = \"sip:$NEXT_ADDR:7220;transport=tcp\"" \
    "    allow-clear = yes }"
for name in alice bob carol; do
    user_add $name
done
need "the edge starts" edge_start
scenario caller caller_parts
# sipp's stock callee forgets to copy Record-Route (RFC 3261 12.1.1): that line is added, nothing else changed.
sipp -sd uas | sed -e 's/^ *\[last_Via:\]/&\n[last_Record-Route:]/' >uas.xml

for way in UDP:u1:7210:$ADDR:bob@$DOMAIN TCP:t1:7220:$NEXT_ADDR:bob@tcp.test; do
    IFS=: read -r kind TRANSPORT port host callee <<<"$way"
    PORT=$port need "bob registers over $kind" sipp_register bob "sip:bob@$ADDR:$port;transport=${kind,,}"
    FROM=$host PORT=$port SIPP_SECONDS=15 sipp_begin "uas-$kind" -sf uas.xml -m 10
    PORT=$((port + 2)) AS=alice check "ten authenticated calls to sipp's stock callee over $kind" \
        sipp_run "uac-$kind" -sf caller.xml -m 10 -r 5 -key callee "$callee"
    check "the stock callee over $kind saw ten whole calls" sipp_wait "uas-$kind"
    PORT=$((port + 3)) check "bob's registration is taken back over $kind" \
        sipp_register bob "sip:bob@$ADDR:$port;transport=${kind,,}" 0
    PORT=$((port + 3)) check "carol's registration ends with Expires: 0 over $kind" \
        sipp_register carol "sip:carol@$ADDR:7999;transport=${kind,,}" 0
done

# A phone that registers from another port than it listens on, as its Contact says.
scenario message message_parts
scenario message_callee message_callee_parts
PORT=7241 TRANSPORT=u1 check "bob registers from another port than his contact's" sipp_register bob "sip:bob@$ADDR:7240"
PORT=7240 TRANSPORT=u1 SIPP_SECONDS=8 sipp_begin elsewhere -sf message_callee.xml -m 1
PORT=7242 TRANSPORT=u1 AS=alice check "a MESSAGE for him is answered" \
    sipp_run to_elsewhere -sf message.xml -m 1 -key callee "bob@$DOMAIN"
check "it came to the contact" sipp_wait elsewhere
PORT=7241 TRANSPORT=u1 check "that registration is taken back" sipp_register bob "sip:bob@$ADDR:7240" 0

# A wrong password is refused, however the refusal is worded.
wrong_parts() {
    register_head 1 | send_part
    recv_opt 100
    recv 401 'auth="true"'
    register_head 2 "$credentials" | send_part
    recv_opt 100
    recv_opt 403 'next="end"'
    recv 401
    label end
}
scenario wrong wrong_parts
PORT=7230 TRANSPORT=u1 check "a wrong password is refused" sipp_run wrong -sf wrong.xml -m 1 -key user alice \
    -au alice -ap not-"$(password_of alice)" -key contact "sip:alice@$ADDR:7998" -key expires 60

# Right credentials, another user's address of record (RFC 3261 10.3 step 4).
foreign_parts() {
    EXPECT=403 register_parts | sed 's/^To:.*/To: <sip:[other]@[domain]>/'
}
scenario foreign foreign_parts
PORT=7231 TRANSPORT=u1 AS=alice check "alice may not register bob" sipp_run foreign -sf foreign.xml -m 1 \
    -key other bob -key contact "sip:alice@$ADDR:7998" -key expires 60

# The stock caller knows no digest: it comes from a peer's address. Only the address it calls is changed, from the
# edge's to bob's.
sipp -sd uac | sed -e 's/\[remote_ip\]:\[remote_port\]/[domain]/g' >stock.xml
PORT=7210 TRANSPORT=u1 check "bob registers again over UDP" sipp_register bob "sip:bob@$ADDR:7210"
PORT=7210 TRANSPORT=u1 SIPP_SECONDS=15 sipp_begin uas-peer -sn uas -m 10
FROM=$PEER_ADDR PORT=7300 TRANSPORT=u1 check "ten calls of sipp's stock caller from a peer's address" \
    sipp_run uac-peer -sf stock.xml -s bob -m 10 -r 5
check "the stock callee saw ten whole calls of the stock caller" sipp_wait uas-peer

check "the edge stops in order" edge_stop
