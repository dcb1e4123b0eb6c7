#!/bin/bash
# Media attacked while two phones speak, one by DTLS-SRTP and one in clear: packets that are not sealed, heard once more, out of order or
# too late, cut and too long, a BYE of RTCP that nobody said, a new SSRC in each packet, hellos of DTLS, all with the phone's own
# address on them, and sound from a host that has no part in the call (RTP bleed). The call goes on, nothing of it is played, the
# counts say what came, and both ends of the call are as they were. (RFC 3711 3.3, 9.5; RFC 7362; RFC 3550 6.6; TR/100 6.2)
. "$(dirname "$0")/lib.sh"
. "$E2E_HERE/ourphone.sh"

status() { "$(edge_program)" status "$@" -c edge.conf --json; }
call_is() {
    local id
    id=$(status calls | jq -er '.rows[0].call_id') && status call "$id" >call.json && jq -er "$1" call.json
}
packets() { call_is ".rows[0].legs[] | select(.side == \"$1\").media[0].packets.$2"; }
attack() { python3 "$E2E_HERE/tools/media_attack.py" "$(packets callee local)" "$(packets callee remote)" "$(packets caller local)"; }

make_certs
DOMAIN_LINES="media = protect
    allow-clear-media = yes" edge_conf "log-level = info" "media { address = {\"$ADDR\"} ports = \"30000-30199\" }"
our_user alice bob
need "the edge starts" edge_start
need "alice waits" our_start alice --answer --media dtls --play tone:440 --expect-tone 880
need "bob, who knows clear media only, calls her" our_start bob --call alice --media clear --allow-clear-media --play tone:880 \
    --expect-tone 440 --duration 60
check "alice's media is DTLS-SRTP" await 10 our_event alice security '"leg":"media"' '"method":"DTLS-SRTP"' '"proof":"media"'
check "both are heard" await 10 call_is '[.rows[0].legs[].media[0].packets | .packets_in > 30 and .packets_out > 30] | all'
before=$(packets caller remote)/$(packets callee remote)
check "somebody attacks" attack
cat check.out
before_out=$(packets caller packets_out)
check "what was not sealed was counted, and named" call_is '.rows[0].legs[1].media[0].packets.not_authentic > 100'
check "what was heard before as well" call_is '.rows[0].legs[1].media[0].packets.replayed > 20'
check "pieces and what is too long as well" call_is '.rows[0].legs[1].media[0].packets.malformed > 20'
check "hellos change nothing" call_is '.rows[0].legs[1].media[0].keys | .attacks == 0 and .proof == "media"'
check "nobody is sent elsewhere" [ "$before" = "$(packets caller remote)/$(packets callee remote)" ]
more() { [ "$(packets caller packets_out)" -gt $((before_out + 20)) ]; }
check "the call goes on" await 5 more
kill -TERM "$(pgrep -P "$OUR_PID_bob")"
check "alice heard bob's 880 Hz and nothing else" our_end alice 0
check "bob heard alice's 440 Hz and nothing else" our_end bob 0
check "the edge has ended no call by itself" eval '! grep -q call-ended edge.log'
check "the edge stops in order" edge_stop
