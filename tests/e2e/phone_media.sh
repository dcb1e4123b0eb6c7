#!/bin/bash
# How our own phone protects the sound of a call, through the edge as proxy: DTLS-SRTP unless told otherwise, SDES, best effort; a
# clear offer and keys over a clear hop are refused, with the reason. (RFC 4568 8.3, 5763, 8643; TR/100 8.1, 8.2, 10)
. "$(dirname "$0")/lib.sh"
. "$E2E_HERE/ourphone.sh"

make_certs
edge_conf
our_user alice bob
need "the edge starts" edge_start

# calls METHOD LEVEL ALICE-OPTIONS BOB-OPTIONS: alice calls bob, both hear the other's tone, both say how it was protected.
calls() {
    local method=$1 level=$2 name
    # shellcheck disable=SC2086
    need "bob waits with '$4'" our_start bob --answer --play tone:880 --expect-tone 440 $4
    # shellcheck disable=SC2086
    check "alice calls him with '$3'" our_status 0 alice --call bob --play tone:440 --expect-tone 880 --duration 1.5 $3
    check "bob heard her" our_end bob 0
    for name in alice bob; do
        check "$name says: $method, $level" our_event $name security '"leg":"media"' "\"method\":\"$method\"" "\"level\":\"$level\""
    done
}

calls DTLS-SRTP protected '' ''
check "its key is known to the ends alone" our_event bob security '"leg":"media"' '"exposed":"nobody but the two ends"' \
    '"forward_secret":true' '"proof":"media"' '"suite":"AEAD_AES_256_GCM"' '"sas":"none"'
calls SDES protected '--media sdes --suites AES_CM_128_HMAC_SHA1_80' ''
check "its key is known to the servers, too" our_event bob security '"leg":"media"' '"exposed":"every server' '"forward_secret":false' \
    '"suite":"AES_CM_128_HMAC_SHA1_80"' '"interim":true'
calls DTLS-SRTP protected '--best-effort' ''
calls none open '--best-effort' '--media clear --allow-clear-media'

need "bob waits" our_start bob --answer
check "a clear call is refused with 488" our_status 0 alice --call bob --media clear --allow-clear-media --expect-status 488
check "alice is told why" our_event alice ended 'keying-clear: media without keys is not allowed'
check "it did not ring" no_event alice ringing
check "bob's phone says so, too" our_end bob 4
check "with the clause" our_event bob ended '"status":488' '"reason":"keying-clear"'
check "clear sound has to be asked for twice" our_status 2 alice --media clear --call bob

SERVER=udp:$ADDR:5060
check "over a clear hop no keys are offered in the SDP" our_status 4 alice --media sdes --call bob
check "and the phone says why" our_event alice call-failed '"reason":"keying-clear-hop"'
need "bob waits on a clear hop" our_start bob --answer
SERVER=tls:$ADDR:5061
check "nor does the edge let any pass to one" our_status 0 alice --media sdes --call bob --expect-status 488
check "which alice is told" our_event alice ended keys-over-clear
check "bob's phone has heard nothing of it" no_event bob incoming
kill "$OUR_PID_bob"
check "and goes" await 5 our_gone "$OUR_PID_bob"

need "bob waits" our_start bob --answer
password=$(password_of alice) "$(edge_program)" phone --user "alice@$DOMAIN" --password-env password --server "$SERVER" \
    --ca certs/ca.crt --call bob --duration 1 >alice.words 2>>alice.err.log
check "people read it in words" grep -Eq 'media: DTLS-SRTP with AEAD_AES_256_GCM, forward secret, proven by what is heard; .*the call is protected$' alice.words
check "bob's phone ends well" our_end bob 0
check "the edge stops in order" edge_stop
