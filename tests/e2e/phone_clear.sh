#!/bin/bash
# Our own phone over UDP and TCP, and from one to the other: registration, a call with sound both ways, hang-up by either side.
. "$(dirname "$0")/lib.sh"
. "$E2E_HERE/ourphone.sh"

make_certs
edge_conf
our_user alice bob
need "the edge starts" edge_start

for pair in udp:udp tcp:tcp udp:tcp tls:udp; do
    a=${pair%:*} b=${pair#*:}
    SERVER=$b:$ADDR:5060
    need "bob waits over $b" our_start bob --answer --play tone:880 --expect-tone 440
    [ "$a" = tls ] && SERVER=tls:$ADDR:5061 || SERVER=$a:$ADDR:5060
    check "alice calls him over $a" our_status 0 alice --call bob --play tone:440 --expect-tone 880 --duration 2
    check "bob heard her" our_end bob 0
done
SERVER=udp:$ADDR:5060
check "the sound has keys all the same, but whoever changes the signalling may have them" our_event bob security '"leg":"media"' \
    '"method":"DTLS-SRTP"' '"level":"open"'
check "a clear hop is said to be clear" our_status 0 alice --register-only
check "and by what it logged in" our_event alice security '"transport":"UDP"' '"version":null' '"digest":"SHA-256"'
check "the edge stops in order" edge_stop
