#!/bin/bash
# What phones do with calls, by our own: refuse, cancel, hold, transfer, send digits and messages, take up a lost registration.
# (RFC 3261 9, 14; RFC 3264 8.4; RFC 3428; RFC 3515; RFC 5626 4.5)
. "$(dirname "$0")/lib.sh"
. "$E2E_HERE/ourphone.sh"

make_certs
edge_conf
our_user alice bob carol
need "the edge starts" edge_start

need "bob is busy" our_start bob --reject 486
check "alice is told so" our_status 0 alice --call bob --expect-status 486
check "bob's phone ends" our_end bob 0

need "bob lets it ring" our_start bob --answer --answer-after 15
check "alice gives up" our_status 0 alice --call bob --cancel-after 1
check "bob's phone has seen the CANCEL" our_end bob 0
check "as 487" our_event bob ended '"status":487'

need "bob waits for a message" our_start bob --expect-message 'Grüße "von" Alice' --wait 10
check "alice sends it" our_status 0 alice --message 'Grüße "von" Alice' --to "sip:bob@$DOMAIN"
check "bob got it, byte for byte" our_end bob 0
check "from alice" our_event bob message "sip:alice@$DOMAIN"
check "nobody is there for the next" our_status 6 alice --message hello --to bob

need "bob waits for a call" our_start bob --answer --play tone:880 --expect-tone 440
check "alice holds him and comes back" our_status 0 alice --call bob --play tone:440 --expect-tone 880 --hold-after 1 \
    --resume-after 2 --duration 4
check "bob's phone is content" our_end bob 0
check "bob knew that he was held" our_event bob hold '"held":true' '"by":"them"'
check "and when it was over" our_event bob hold '"held":false'

need "carol waits" our_start carol --answer --play tone:660 --duration 2
need "bob lets himself be transferred" our_start bob --answer --follow-refer --play tone:880 --expect-tone 660
check "alice transfers him to carol" our_status 0 alice --call bob --refer-to "sip:carol@$DOMAIN" --refer-after 1
check "the transfer succeeded" our_event alice refer '"status":200'
check "bob heard carol" our_end bob 0
check "carol's phone ends" our_end carol 0

need "bob does not let himself be transferred" our_start bob --answer --play tone:880
check "alice is declined" our_status 4 alice --call bob --refer-to "sip:carol@$DOMAIN" --refer-after 1
check "with 603" our_event alice refer '"status":603'
check "bob's phone ends as it should" our_end bob 0

check "the edge answers a ping" our_status 0 alice --ping "sip:$DOMAIN"

need "bob registers" our_start bob --answer --play tone:880 --retry 1 --wait 30
check "the edge is killed" edge_kill9
need "and comes back" edge_start
check "bob's phone noticed" await 5 our_event bob registration-lost
check "and registers again" await 10 eval '[ "$(grep -c "{\"event\":\"registered\"" bob.events)" = 2 ]'
check "so that he can be called" our_status 0 alice --call bob --expect-tone 880 --duration 2
check "bob's phone ends after all that" our_end bob 0
check "the edge stops in order" edge_stop
