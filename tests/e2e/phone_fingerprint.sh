#!/bin/bash
# Somebody on a clear hop changes the fingerprints of a call: both phones do the handshake, find a certificate that was not announced,
# play and send nothing, say so, and end the call. (RFC 5763 5, RFC 8122 5, TR/100 10)
. "$(dirname "$0")/lib.sh"
. "$E2E_HERE/ourphone.sh"

make_certs
edge_conf
our_user alice bob
need "the edge starts" edge_start
python3 "$E2E_HERE/tools/swap_fingerprint.py" $ADDR 5999 $ADDR 5060 >>swap.log 2>&1 &
need "somebody listens between alice and the edge" await 5 tcp_open 5999

need "bob waits" our_start bob --answer --play tone:880
SERVER=tcp:$ADDR:5999
# Both give up at the same time: who is a moment later is hung up on, and misses the sound (5).
check "alice calls him, and the call fails" eval 'our_phone alice --call bob --play tone:440 --duration 25; [[ $? = [45] ]]'
check "bob's call fails too" eval 'our_end bob 4 || our_end bob 5'
for name in alice bob; do
    check "$name's phone speaks of an attack" our_event $name security '"leg":"media"' '"attack":"somebody' '"level":"attacked"'
    check "$name's phone says that no key was taken" our_event $name quality '"sent":0,"received":0'
done
check "one of them ended the call for that" eval 'our_event alice ended dtls-fingerprint || our_event bob ended dtls-fingerprint'
check "the edge stops in order" edge_stop
