#!/bin/bash
# One source floods the edge with connections, half-open TLS handshakes, slow senders, huge headers and garbage, while
# two phones of others talk through it: their call goes on, new requests are answered, memory stays bounded.
. "$(dirname "$0")/lib.sh"
. "$E2E_HERE/phones.sh"
. "$E2E_HERE/sipp.sh"

PROBE=$(tool probe)
FLOOD=${E2E_FLOOD:-10000}
export PROBE_FROM=$PEER_ADDR # the attacker's address; the phones and their users have another

# Whether a user agent of another address is answered, over each transport.
answers() {
    local way
    for way in udp:5060 tcp:5060 tls:5061; do
        options_request "${way%:*}" |
            PROBE_FROM=$ADDR timeout 4 "$PROBE" send "${way%:*}" $ADDR "${way#*:}" - 1 | grep -aq '^SIP/2.0 ' ||
            { echo "no answer over $way"; return 1; }
    done
}
edge_rss_kib() { awk '/^VmRSS/ { print $2 }' "/proc/$E2E_EDGE_PID/status"; }
call_goes_on() { ! phone_closed alice && ! phone_closed bob; }
unharmed() {
    check "after $1: the edge lives" edge_alive
    check "after $1: a request is answered" answers
    check "after $1: the call goes on" call_goes_on
}

make_certs
edge_conf
user_add alice
user_add bob
need "the edge starts" edge_start
options_request >options.txt

need "alice's phone starts" phone_start alice tls 7010 7100 440
need "bob's phone starts" phone_start bob tcp 7020 7101 880
need "alice registers" await 10 phone_registered alice
need "bob registers" await 10 phone_registered bob
check "alice dials bob" phone_do alice dial "sip:bob@$DOMAIN"
need "the call is established" await 10 phone_established bob
need "a request is answered" answers
before=$(edge_rss_kib)

# 10,000 connections of one source: taken or refused, the rest of the world must not notice.
"$PROBE" flood $ADDR 5060 "$FLOOD" 6 >flood.txt 2>&1 &
flood=$!
sleep 2
check "while $FLOOD connections are open: a request is answered" answers
check "while $FLOOD connections are open: the call goes on" call_goes_on
wait $flood
check "the flood ran: $(cat flood.txt)" grep -q "^connected [1-9]" flood.txt
unharmed "the flood of connections"

# Handshakes begun and left, and messages that come a byte at a time: ended in time, in bounded memory.
"$PROBE" half $ADDR 5061 2000 14 >half.txt 2>&1 &
hanging=$!
for ((i = 0; i < 20; i++)); do
    PROBE_FROM=$NEXT_ADDR "$PROBE" drip $ADDR 5060 options.txt 200 14 >"drip-$i.txt" 2>&1 &
    hanging+=" $!"
done
sleep 1
check "while 2000 handshakes and 20 slow senders hang: requests are answered, new TLS connections too" answers
# shellcheck disable=SC2086
wait $hanging
check "the hanging handshakes were ended by the edge: $(cat half.txt)" awk '{ exit !($2 > 0 && $6 >= $2) }' half.txt
check "the slow senders were ended by the edge" [ "$(cat drip-*.txt | grep -c '^closed-ms')" = 20 ]
unharmed "half-open handshakes and slow senders"

# 64 KiB in one header, over each transport.
{
    printf 'OPTIONS sip:%s SIP/2.0\r\nVia: SIP/2.0/TCP %s:9;branch=z9hG4bKbig;rport\r\nMax-Forwards: 70\r\n' $DOMAIN $ADDR
    printf 'From: <sip:big@phone.test>;tag=b\r\nTo: <sip:%s>\r\nCall-ID: big\r\nCSeq: 1 OPTIONS\r\nX-Big: ' $DOMAIN
    head -c 65536 /dev/zero | tr '\0' a
    printf '\r\nContent-Length: 0\r\n\r\n'
} >big.txt
{ head -c 60000 big.txt; printf '\r\n\r\n'; } >big-udp.txt
"$PROBE" send tcp $ADDR 5060 big.txt 3 >big-tcp.out
check "a header of 64 KiB over TCP is answered with 513 and the end" grep -aEq '^SIP/2.0 513 ' big-tcp.out
"$PROBE" send tls $ADDR 5061 big.txt 3 >big-tls.out
check "a header of 64 KiB over TLS is answered with 513 and the end" grep -aEq '^SIP/2.0 513 ' big-tls.out
sed 's/X-Big: a*/Content-Length: 70000/; /^Content-Length: 0/d' big.txt >big-body.txt
"$PROBE" send tcp $ADDR 5060 big-body.txt 3 >big-body.out
check "a body of 70,000 bytes over TCP is answered with 413 and the end" grep -aEq '^SIP/2.0 413 ' big-body.out
"$PROBE" send udp $ADDR 5060 big-udp.txt 1 >big-udp.out
check "a header of 60,000 bytes in a datagram is answered with 513" grep -aEq '^SIP/2.0 513 ' big-udp.out
unharmed "huge headers"

check "garbage over UDP" "$PROBE" garbage udp $ADDR 5060 3000 1
check "garbage over TCP" "$PROBE" garbage tcp $ADDR 5060 1000 2
check "garbage over TLS's port" "$PROBE" garbage tcp $ADDR 5061 1000 3
check "garbage over WSS's port" "$PROBE" garbage tcp $ADDR 5063 500 4
sleep 0.5
unharmed "garbage"

if edge_is sallyport; then
    # What a closed connection took comes back: the sanitizers' own bookkeeping allows for some slack.
    after=$(edge_rss_kib)
    check "memory is bounded ($before KiB before, $after after)" [ $((after - before)) -lt $((200 * 1024)) ]
fi
check "alice hangs up" phone_do alice hangup
check "bob's side ends" await 5 phone_closed bob
check "alice heard bob through all of it" phone_heard alice 880 440
check "bob heard alice through all of it" phone_heard bob 440 880
check "the edge stops in order" edge_stop
