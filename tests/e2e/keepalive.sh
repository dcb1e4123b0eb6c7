#!/bin/bash
# Keep-alives: CRLF on streams, STUN on UDP (RFC 5626 3.5), by a prober and by baresip, whose flows live on them.
. "$(dirname "$0")/lib.sh"
. "$E2E_HERE/phones.sh"

PROBE=$(tool probe)
pong() { # TRANSPORT PORT: two CRLF are answered with one, and nothing else
    printf '\r\n\r\n' | "$PROBE" send "$1" $ADDR "$2" - 1 >pong.txt
    [ "$(head -c 2 pong.txt | od -An -tx1)" = ' 0d 0a' ] && [ "$(tail -n 1 pong.txt | cut -c 1-4)" = open ] &&
        [ "$(wc -l <pong.txt)" -le 3 ]
}

make_certs
DOMAIN_LINES='flow-timer = 5' edge_conf
user_add alice
user_add bob
need "the edge starts" edge_start
check "STUN on the SIP port tells the mapped address" "$PROBE" stun $ADDR 5060 2
check "CRLF CRLF over TCP is answered with CRLF" pong tcp 5060
check "CRLF CRLF over TLS is answered with CRLF" pong tls 5061
printf '\r\n\r\n' | "$PROBE" send udp $ADDR 5060 - 1 >udp-pong.txt
refuse "CRLF over UDP is not answered" grep -aq SIP udp-pong.txt

need "alice's phone starts, by TLS with outbound" phone_start alice tls 7010 7100 440 ";sipnat=outbound"
need "bob's phone starts, by TCP with outbound" phone_start bob tcp 7020 7101 880 ";sipnat=outbound"
need "alice registers" await 10 phone_registered alice
need "bob registers" await 10 phone_registered bob
if edge_is sallyport; then
    check "the edge tells its Flow-Timer" grep -aiq '^Flow-Timer: *5' alice.log
fi
alice_flow=$(ss -Htn "dst $ADDR:5061" | wc -l)
sleep 14
check "alice's flow still stands after twice the timer" [ "$(ss -Htn "dst $ADDR:5061" | wc -l)" = "$alice_flow" ]
check "neither phone lost its flow" eval '! grep -aEq "keep-?alive.*(fail|timed|error)|Flow.*lost" alice.log bob.log'
check "alice dials bob over the flows" phone_do alice dial "sip:bob@$DOMAIN"
check "the call is established" await 10 phone_established bob
sleep 2
check "bob hangs up" phone_do bob hangup
check "alice's side ends" await 5 phone_closed alice
check "alice heard bob" phone_heard alice 880 440
check "bob heard alice" phone_heard bob 440 880
check "the edge stops in order" edge_stop
