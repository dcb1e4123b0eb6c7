#!/bin/bash
# How anchored calls end when something is wrong with their media. Somebody on a clear hop changes what a phone says of its certificate:
# the edge does the handshake, finds another one, and ends the call towards both sides, who never had a key. And a call whose phones have
# gone silent, without a word, is ended after silence-limit. (RFC 5763 5, RFC 8122 5, TR/100 6.2, 8.3.2)
. "$(dirname "$0")/lib.sh"
. "$E2E_HERE/ourphone.sh"

no_calls() { "$(edge_program)" status calls -c edge.conf --json | jq -e '.total == 0'; }

make_certs
DOMAIN_LINES="media = protect" edge_conf "log-level = info" "media { address = {\"$ADDR\"} ports = \"30000-30199\" silence-limit = 2 }"
our_user alice bob
need "the edge starts" edge_start
python3 "$E2E_HERE/tools/swap_fingerprint.py" $ADDR 5999 $ADDR 5060 up >>swap.log 2>&1 &
need "somebody listens between alice and the edge" await 5 tcp_open 5999

need "bob waits" our_start bob --answer --play tone:880
SERVER=tcp:$ADDR:5999
check "alice calls him, and has no call" eval 'our_phone alice --call bob --play tone:440 --duration 20; [[ $? = [45] ]]'
check "the edge speaks of an attack" grep -q 'media-attack.*reason=dtls-fingerprint' edge.log
check "and ends the call for it" grep -q 'call-ended.*reason=dtls-fingerprint' edge.log
check "bob is hung up on" eval 'our_end bob 4 || our_end bob 5 || our_end bob 0'
check "no sound of alice reached him" eval '! our_event bob quality || our_event bob quality "\"received\":0"'
check "no call is left" await 5 no_calls

SERVER=tls:$ADDR:5061
cp alice.events alice1.events; cp bob.events bob1.events
need "bob waits again" our_start bob --answer --play tone:880
need "alice calls him" our_start alice --call bob --play tone:440 --duration 60
check "bob has her sound" await 10 our_event bob security '"leg":"media"' '"proof":"media"'
kill -STOP $(pgrep -P $OUR_PID_alice) $(pgrep -P $OUR_PID_bob)
check "the edge ends a call without media" await 10 grep -q 'call-ended.*media-timeout' edge.log
check "nothing is left of it" await 5 no_calls
kill -CONT $(pgrep -P $OUR_PID_alice) $(pgrep -P $OUR_PID_bob)
check "alice hears of it" await 10 our_event alice ended
check "bob hears of it" await 10 our_event bob ended
check "the edge stops in order" edge_stop
