#!/bin/bash
# Media through us, each leg keyed on its own (`media = protect`): our phone speaks DTLS-SRTP, baresip SDES, another baresip plain
# RTP, and each hears the other's tone. Who offers only what the other side cannot do would have no call without us.
# (TR/100 8.4 approach 2; RFC 4568, 5763, 7879)
# libsrtp2, with the key that an answer of ours gives, opens what we send.
. "$(dirname "$0")/lib.sh"
. "$E2E_HERE/phones.sh"
. "$E2E_HERE/ourphone.sh"

make_certs
DOMAIN_LINES="media = protect
    allow-clear-media = yes" edge_conf "media { address = {\"$ADDR\"} ports = \"30000-30199\" }"
our_user alice
user_add carol
user_add dave
need "the edge starts" edge_start
need "baresip starts for carol, with SDES" phone_start carol tls 7310 7320 880 ';mediaenc=srtp-mand'
need "baresip starts for dave, in clear" phone_start dave udp 7410 7420 880
need "carol registers" await 10 phone_registered carol
need "dave registers" await 10 phone_registered dave

status() { "$(edge_program)" status "$@" -c edge.conf --json; }

# legs_are CALLER-METHOD CALLEE-METHOD LEVEL: of the one call that there is, with packets both ways and none that was not authentic.
legs_are() {
    local id
    id=$(status calls | jq -er '.rows[0].call_id') || return 1
    status call "$id" >call.json || return 1
    jq -e --arg a "$1" --arg b "$2" --arg level "$3" '.rows[0] | .media == "protect" and
        [.legs[].media[0].keys.method] == [$a, $b] and ([.security[].level] | unique) == [$level] and
        ([.legs[].media[0].packets | .packets_in > 20 and .packets_out > 20 and .not_authentic == 0] | all)' call.json ||
        { cat call.json; return 1; }
}

# both_ways NAME METHOD LEVEL: alice, with DTLS-SRTP and nothing else, calls NAME's baresip, and is called.
both_ways() {
    local name=$1
    check "alice calls $name" our_status 0 alice --call "$name" --media dtls --play tone:440 --expect-tone 880 --duration 2
    check "alice's media is DTLS-SRTP" our_event alice security '"leg":"media"' '"method":"DTLS-SRTP"' '"proof":"media"'
    check "$name heard alice" phone_heard "$name" 440 880
    check "$name's side ends" await 5 phone_closed "$name"

    phone_log_mark "$name"
    rm -f "$name"/dump-*
    need "alice waits" our_start alice --answer --media dtls --play tone:440 --expect-tone 880
    check "$name dials alice" phone_do "$name" dial "sip:alice@$DOMAIN"
    check "it is established" await 10 phone_established "$name"
    check "alice's keys are there" await 5 our_event alice security '"leg":"media"' '"method":"DTLS-SRTP"' '"proof":"media"'
    ${ALSO:-sleep 1.5}
    check "status shows both legs" legs_are "$2" dtls-srtp "$3"
    check "$name hangs up" phone_do "$name" hangup
    check "alice heard $name" our_end alice 0
    check "$name heard alice" phone_heard "$name" 440 880
}

# What the last call's answer and offer said to carol, from her own trace.
said_to_carol() { tr -d '\r' <carol.log | sed -n "/^SIP\/2.0 200/,\$ { s/^$1//p }" | tail -n 1; }
port_of_carol() { tr -d '\r' <carol.log | sed -n 's/^m=audio \([0-9]*\).*/\1/p' | tail -n 2 | head -n 1; }
# libsrtp2 opens what we send to carol with the key that our answer gave her.
opens() {
    local tag suite key
    read -r tag suite key <<<"$(said_to_carol a=crypto:)"
    key=${key#inline:}
    "$(tool rtp_ear)" hear "$(port_of_carol)" 1.5 ear.wav PCMU "$suite" "${key%%|*}"
}
open_stream() {
    check "libsrtp2 opens what the edge sends to carol" opens
    check "it is alice's 440 Hz" "$(tool tone)" check ear.wav 440 880
}

ALSO=open_stream both_ways carol sdes protected
both_ways dave clear open
check "the edge stops in order" edge_stop
