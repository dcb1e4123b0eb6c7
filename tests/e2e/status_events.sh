#!/bin/bash
# Two phones of a domain whose media are protected by its edge are told while they speak what becomes of the call: that the handshakes
# were seen, which no message of the call can say. (TR/100 10, gap 3; RFC 6665)
. "$(dirname "$0")/lib.sh"
. "$E2E_HERE/ourphone.sh"

make_certs
DOMAIN_LINES="status-header = yes  media = protect" edge_conf "media { address = {\"$ADDR\"} ports = \"31000-31099\" }" "log-level = info"
our_user alice bob carol
need "the edge starts" edge_start

need "bob waits" our_start bob --answer --play tone:880 --expect-tone 440 --duration 1
check "alice calls him" our_status 0 alice --call bob --play tone:440 --expect-tone 880
check "bob is content" our_end bob 0
check "the answer told alice what was known then" our_event alice status '"level":"protected"' '"proven":false'
check "she was told later that the keys were seen to be the right ones" our_event alice status '"level":"secure"' '"proven":true'
check "bob, whom no answer is sent, as well" our_event bob status '"level":"secure"' '"proven":true'
check "the call told him less before" our_event bob status '"level":"protected"' '"proven":false'
told() { [ "$(grep -c '"event":"status"' alice.events)" -le "$1" ]; }
check "nothing was told twice" told 4

need "carol waits, and does not want to know" our_start carol --answer --no-watch --play tone:880 --duration 1
check "alice calls her" our_status 0 alice --call carol --expect-tone 880
check "carol's phone ends" our_end carol 0
check "she was not told" no_event carol status '"proven":true'
check "the edge stops in order" edge_stop
