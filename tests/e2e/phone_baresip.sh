#!/bin/bash
# Our own phone and baresip call each other through the edge over TLS, with clear RTP: sound in both directions by frequency, hang-up
# by either side.
. "$(dirname "$0")/lib.sh"
. "$E2E_HERE/phones.sh"
. "$E2E_HERE/ourphone.sh"

make_certs
edge_conf
our_user alice
user_add bob
need "the edge starts" edge_start
need "baresip starts for bob" phone_start bob tls 7210 7220 880
need "bob registers" await 10 phone_registered bob

check "alice's phone calls bob's baresip" our_status 0 alice --call bob --play tone:440 --expect-tone 880 --duration 4
check "bob's baresip saw it established" phone_established bob
check "bob's baresip heard alice" phone_heard bob 440 880
check "bob's side ends" await 5 phone_closed bob

phone_log_mark bob
rm -f bob/dump-*
need "alice waits" our_start alice --answer --play tone:440 --expect-tone 880
check "bob dials alice" phone_do bob dial "sip:alice@$DOMAIN"
check "it is established" await 10 phone_established bob
sleep 3
check "bob hangs up" phone_do bob hangup
check "alice's phone heard him" our_end alice 0
check "bob heard alice's 440 Hz" phone_heard bob 440 880
check "the edge stops in order" edge_stop
