#!/bin/bash
# A call that forks to two phones of one user: who answers has keys of its own with the caller, the other has none, and nothing of that
# looks like an attack. (TR/100 8.2.1.3, 8.2.2.1; RFC 8842 8)
. "$(dirname "$0")/lib.sh"
. "$E2E_HERE/ourphone.sh"

make_certs
edge_conf
our_user alice bob
need "the edge starts" edge_start

need "bob waits" our_start bob --answer --answer-after 0.5 --play tone:880 --expect-tone 440
second() { "$(edge_program)" phone --user "bob@$DOMAIN" --password-file bob.password --server "$SERVER" --ca certs/ca.crt --json "$@"; }
second --answer --answer-after 20 >second.events 2>>second.err.log &
SECOND=$!
need "and his other phone" await 10 our_event second registered
check "alice calls them" our_status 0 alice --call bob --play tone:440 --expect-tone 880 --duration 1.5
check "one of them heard her" our_end bob 0
check "by keys of its own" our_event bob security '"leg":"media"' '"method":"DTLS-SRTP"' '"proof":"media"' '"attack":null'
check "the other one stopped ringing" wait $SECOND
check "and no attack was seen" our_event alice security '"leg":"media"' '"attack":null' '"level":"protected"'

check "the edge stops in order" edge_stop
