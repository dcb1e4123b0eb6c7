#!/bin/bash
# Our own phone at somebody else's server: Kamailio challenges with SHA-256 (RFC 7616, 8760), so that each side's digest is shown to
# be right by an implementation that is not ours; two phones call each other through it over TLS.
E2E_SERVER=kamailio
. "$(dirname "$0")/lib.sh"
. "$E2E_HERE/ourphone.sh"

make_certs
edge_conf
sed -i '/^modparam("tls"/i modparam("auth", "algorithm", "SHA-256")' edge.cfg
our_user alice bob
need "Kamailio starts" edge_start

need "bob waits" our_start bob --answer --play tone:880 --expect-tone 440
check "alice calls him" our_status 0 alice --call bob --play tone:440 --expect-tone 880 --duration 2
check "bob heard her" our_end bob 0
check "both logged in by SHA-256" our_event alice security '"digest":"SHA-256"' '"verified":true'
echo wrong-Password-1 >wrong
check "a wrong password is refused there too" our_status 1 alice --password-file wrong --register-only
check "the server stops" edge_stop
