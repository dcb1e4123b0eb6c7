#!/bin/bash
# A baresip that knows no keys for its sound, and our own phone: refused both ways, taken where it is allowed by name, and called open.
# (TR/100 8.1)
. "$(dirname "$0")/lib.sh"
. "$E2E_HERE/phones.sh"
. "$E2E_HERE/ourphone.sh"

make_certs
edge_conf
our_user alice
user_add dave
need "the edge starts" edge_start
need "baresip starts for dave" phone_start dave tls 7410 7420 880
need "dave registers" await 10 phone_registered dave

check "dave cannot be called" our_status 0 alice --call dave --expect-status 488
phone_log_mark dave
need "alice waits" our_start alice --answer
check "dave dials alice" phone_do dave dial "sip:alice@$DOMAIN"
check "alice's phone refuses" our_end alice 4
check "for it was in clear" our_event alice ended '"status":488' '"reason":"keying-clear"'
check "where it is allowed, it is open" our_status 0 alice --call dave --allow-clear-media --play tone:440 --expect-tone 880 --duration 1.5
check "and said to be" our_event alice security '"leg":"media"' '"method":"none"' '"level":"open"'
check "dave heard alice" phone_heard dave 440 880
check "the edge stops in order" edge_stop
