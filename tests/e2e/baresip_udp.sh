#!/bin/bash
# Two baresip register over UDP (MD5 digest) and call each other in the clear.
. "$(dirname "$0")/lib.sh"
. "$E2E_HERE/phones.sh"

make_certs
edge_conf
user_add alice
user_add bob
need "the edge starts" edge_start
phones_call udp alice bob
check "the edge stops in order" edge_stop
