#!/bin/bash
# Somebody else's DTLS-SRTP at the media plane's own port, in a call: sipp signals for openssl, which does the handshake with our
# port and exports keys, and libsrtp2 opens what we send with them and speaks to us by them. First the wrong certificate is tried,
# which gets no keys and takes none from the right one. (RFC 5763 5, 5764 4.2, 8122 5, 8842 5; TR/100 8.2.2.1)
. "$(dirname "$0")/lib.sh"
. "$E2E_HERE/sipp.sh"
. "$E2E_HERE/ourphone.sh"

MEDIA_PORT=42000
sdp_part() {
    cat <<END

v=0
o=- 3000 $1 IN IP4 $ADDR
s=-
c=IN IP4 $ADDR
t=0 0
m=audio $MEDIA_PORT UDP/TLS/RTP/SAVP 0
a=rtpmap:0 PCMU/8000
a=setup:active
a=rtcp-mux
a=fingerprint:sha-256 $PRINT
END
}
caller_parts() {
    invite_with_digest
    recv_opt 100
    recv_opt 180
    recv 200 'rrs="true"'
    ack
    recv_request BYE
    answer_in_dialog 200 OK
}
self_signed() {
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "certs/$1.key" -days 30 -subj /CN=peer \
        -out "certs/$1.crt" 2>>openssl.log
}
print_of() { openssl x509 -in "$1" -noout -fingerprint -sha256 | cut -d= -f2; }
# What the answer says: a line's value.
answered() { tr -d '\r' <caller.msg | sed -n "s/^$1//p" | tail -n 1; }
# shake NAME CERTIFICATE: openssl's client to our port, from the port that the offer names. What is no DTLS it waits through, so
# somebody has to end it.
shake() {
    openssl s_client -dtls1_2 -connect "$ADDR:$OURS" -bind "$ADDR:$MEDIA_PORT" -cert "certs/$2.crt" -key "certs/$2.key" \
        -use_srtp SRTP_AES128_CM_SHA1_80 -keymatexport EXTRACTOR-dtls_srtp -keymatexportlen 60 < <(sleep 60) >"$1.txt" 2>>openssl.log &
    await 5 grep -q 'Keying material: .' "$1.txt"
    local shaken=$?
    kill -KILL $! && wait $! 2>/dev/null
    return $shaken
}
# key_of client|server: in the order of RFC 5764 4.2, as libsrtp2 wants it: the key and then the salt
key_of() {
    local all
    all=$(sed -n 's/.*Keying material: //p' right.txt)
    if [ "$1" = client ]; then echo "${all:0:32}${all:64:28}"; else echo "${all:32:32}${all:92:28}"; fi
}
status_is() { "$(edge_program)" status calls -c edge.conf --json >calls.json && id=$(jq -er '.rows[0].call_id' calls.json) &&
    "$(edge_program)" status call "$id" -c edge.conf --json >call.json && jq -e "$1" call.json; }

make_certs
self_signed right
self_signed wrong
PRINT=$(print_of certs/right.crt)
DOMAIN_LINES="media = protect" edge_conf "media { address = {\"$ADDR\"} ports = \"30000-30199\" }"
user_add alice
our_user bob
need "the edge starts" edge_start
need "bob waits" our_start bob --answer --play tone:880 --expect-tone 440
scenario caller caller_parts
AS=alice SIPP_SECONDS=80 RECV_MS=60000 sipp_begin caller -sf caller.xml -m 1 -key callee "bob@$DOMAIN"
need "he answers" await 10 grep -aq '^a=setup:passive' caller.msg
OURS=$(answered 'm=audio ' | cut -d' ' -f1)

check "openssl comes with another certificate" shake wrong wrong
check "the call calls that an attack, and has no keys" await 3 status_is \
    '.rows[0].legs[0].media[0].keys | .proof == "negotiated" and .attacks > 0'
check "openssl comes with the one that the offer announces" shake right right
check "our certificate is the one that our answer announces" \
    [ "$(print_of right.txt)" = "$(answered 'a=fingerprint:sha-256 ')" ]
check "the profile is agreed on" grep -q 'SRTP Extension negotiated, profile=SRTP_AES128_CM_SHA1_80' right.txt
check "the call knows of the handshake" await 3 status_is \
    '.rows[0].legs[0].media[0].keys | .proof == "handshake" and .suite == "AES_CM_128_HMAC_SHA1_80"'
need "there are keys" [ -n "$(key_of server)" ]
check "libsrtp2 opens what we send by the exported key" \
    "$(tool rtp_ear)" hear $MEDIA_PORT 1.5 bob.wav PCMU AES_CM_128_HMAC_SHA1_80 "$(key_of server)"
check "it is bob's 880 Hz" "$(tool tone)" check bob.wav 880 440
check "what libsrtp2 sends is taken" \
    "$(tool rtp_ear)" play $MEDIA_PORT $ADDR "$OURS" 440 2 PCMU 0 AES_CM_128_HMAC_SHA1_80 "$(key_of client)"
check "nothing of it was refused" status_is '.rows[0].legs[0].media[0] | .keys.proof == "media" and
    (.packets | .packets_in > 80 and .not_authentic == 0)'
kill -TERM "$(pgrep -P "$OUR_PID_bob")"
check "bob heard 440 Hz" our_end bob 0
check "the caller was hung up on" sipp_wait caller
check "the edge stops in order" edge_stop
