#!/bin/bash
# The mirror: a collector gets every message, those under TLS too, as HEP version 3, with credentials, nonces and bodies
# left out; with allow-secrets they are there; a collector that is not there holds up nobody.
. "$(dirname "$0")/lib.sh"
. "$E2E_HERE/sipp.sh"
. "$E2E_HERE/ops.sh"

collect() { # FILE: writes a line of facts and the message for each packet
    python3 "$E2E_HERE/tools/hep_collector.py" $NEXT_ADDR 9060 "$1" >>collector.log 2>&1 &
    COLLECTOR=$!
    await 5 udp_open 9060
}
collect_end() { kill $COLLECTOR; wait $COLLECTOR 2>/dev/null; }
seen() { grep -aEq -- "$1" "$2"; }
mirror='allow-mirror = yes collector = "10.77.0.3:9060" capture-id = 42 password = "collectors-key"'

make_certs
edge_conf "hep { $mirror }"
user_add alice
user_add bob
need "a collector listens" collect redacted.txt
need "the edge starts" edge_start
check "it is listed as a weakening" eval "status | grep -q allow-mirror"
check "alice registers" registers alice
check "bob registers" eval "PORT=7720 sipp_register bob 'sip:bob@$ADDR:7720'"
scenario message message_parts
scenario message_callee message_callee_parts
PORT=7720 SIPP_SECONDS=8 sipp_begin callee -sf message_callee.xml -m 1
PORT=7797 AS=alice SIPP_SECONDS=8 check "alice writes to bob" sipp_run message -sf message.xml -m 1 -key callee "bob@$DOMAIN"
sipp_wait callee
printf 'OPTIONS sip:%s SIP/2.0\r\nVia: SIP/2.0/TLS 10.77.0.2:9;branch=z9hG4bKtls1;rport\r\nFrom: <sip:alice@example.com>;tag=1\r\nTo: <sip:%s>\r\nCall-ID: under-tls\r\nCSeq: 1 OPTIONS\r\nMax-Forwards: 9\r\nContent-Length: 0\r\n\r\n' $DOMAIN $DOMAIN >options.sip
check "a request over TLS is answered" eval "'$(tool probe)' send tls $ADDR 5061 options.sip 3 | grep -a 'SIP/2.0 401'"
all_there() { seen 'Call-ID: under-tls' redacted.txt && [ "$(grep -ac '^HEP ' redacted.txt)" -ge 14 ]; }
check "the collector got them" await 5 all_there
collect_end

check "addresses, transport, key and number are right" \
    seen "^HEP from=$ADDR:7799 to=$ADDR:5060 proto=17 type=1 id=42 key=collectors-key " redacted.txt
check "what goes out is mirrored too" seen "^HEP from=$ADDR:5060 to=$ADDR:7799 proto=17 " redacted.txt
check "TLS is TCP there" seen "^HEP from=[0-9.:]+ to=$ADDR:5061 proto=6 " redacted.txt
check "the clock is" eval "awk -v now=$(date +%s) '/^HEP / { split(\$8, t, /[=.]/); if (t[2] < now - 60 || t[2] > now) exit 1 }' redacted.txt"
check "who logs in is seen" seen 'Authorization: Digest username="alice", ?realm="example.com"' redacted.txt
check "the answer to the challenge is not" eval "! grep -aEio 'response=\"?[0-9a-f]{16}' redacted.txt"
check "nor a nonce" eval "! grep -aEio 'nonce=\"[^*]' redacted.txt"
check "no packet is without an address" eval "! grep -aE '^HEP .*(0\.0\.0\.0|:0 )' redacted.txt"
response=$(grep -aoh 'response="[0-9a-f]*"' ./*.msg | head -1 | cut -d'"' -f2)
check "there was one to be seen" [ ${#response} -ge 32 ]
check "it is nowhere in the copies" eval "! grep -aq '$response' redacted.txt"
check "the body is a note" seen 'a body of [0-9]+ bytes is left out' redacted.txt
check "the words of the MESSAGE are not there" eval "! grep -aq '^hello' redacted.txt"
check "the copies are counted" json counters '.edge.mirrored >= 14 and .edge.mirror_dropped == 0'

check "without a collector phones register as before" registers alice
check "the edge stops in order" edge_stop
edge_conf "hep { $mirror allow-secrets = yes }"
need "a collector listens again" collect secrets.txt
check "the edge starts with allow-secrets" edge_start
check "the log warns of it" await 3 log_has edge.log 'weakened where=hep option=allow-secrets'
check "alice registers again" registers alice
secret_there() { seen 'response="?[0-9a-f]{16}' secrets.txt; }
check "then the answer is in the copies" await 3 secret_there
collect_end
check "the edge stops in order again" edge_stop
