#!/bin/bash
# `media = relay`: packets pass through us as they are, with keys that only the two phones have: both say that the handshake was with
# the other one, and hear each other. Four signalling threads, so that BYE and ACK are often read by another one than the call's; calls
# are ended by either side. (TR/100 8.4, RFC 7092 3.2.1)
. "$(dirname "$0")/lib.sh"
. "$E2E_HERE/ourphone.sh"

make_certs
DOMAIN_LINES="media = relay" edge_conf "workers = 4" "metrics = \"127.0.0.1:9460\"" "media { address = {\"$ADDR\"} ports = \"30000-30199\" }"
our_user alice bob
need "the edge starts" edge_start
status() { "$(edge_program)" status "$@" -c edge.conf --json; }

legs_pass() {
    local id
    id=$(status calls | jq -er '.rows[0].call_id') && status call "$id" >call.json || return 1
    jq -e '.rows[0] | .media == "relay" and [.legs[].media[0].keys.here] == ["passed", "passed"] and
        ([.legs[].media[0].packets | .packets_in > 20 and .packets_out > 20] | all)' call.json || { cat call.json; return 1; }
}

for round in 1 2; do
    need "bob waits ($round)" our_start bob --answer --play tone:880 --expect-tone 440
    need "alice calls him" our_start alice --call bob --play tone:440 --expect-tone 880 --duration 2
    check "their keys are their own" await 10 our_event alice security '"leg":"media"' '"method":"DTLS-SRTP"' '"proof":"media"'
    [ $round != 1 ] || check "status shows what passes" await 3 legs_pass
    check "alice heard bob" our_end alice 0
    check "bob heard alice" our_end bob 0
done
need "bob waits, and will hang up" our_start bob --answer --play tone:880 --expect-tone 440 --duration 2
need "alice calls him" our_start alice --call bob --play tone:440 --expect-tone 880
check "bob has heard her and hung up" our_end bob 0
check "alice heard him" our_end alice 0
check "metrics have counted" eval 'curl -s http://127.0.0.1:9460/metrics | grep -Eq "^sallyport_media_packets_total.direction=.in.. [1-9][0-9]{2}"'
no_calls() { status calls | jq -e '.total == 0'; }
check "no call is left" await 5 no_calls
check "the edge stops in order" edge_stop
