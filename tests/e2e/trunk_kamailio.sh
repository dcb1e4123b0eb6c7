#!/bin/bash
# An account with a carrier that is not ours: Kamailio over TLS takes the registration, challenges the call (SHA-256) and sends it back
# along the connection that was registered on, where it is the carrier's call to our account's user. (TR/100 7.6, 8.5; RFC 3261 22.3)
. "$(dirname "$0")/lib.sh"
. "$E2E_HERE/ourphone.sh"

carrier_start() {
    sed -e "s|@NEXT@|$NEXT_ADDR|g" -e "s|@WORK@|$WORK|g" "$E2E_HERE/kamailio/carrier.cfg" >carrier.cfg
    sed -e "s|@WORK@|$WORK|g" -e "s|@DOMAIN@|carrier.test|g" -e '/^\[server:any/,$d' "$E2E_HERE/kamailio/tls.cfg" >carrier-tls.cfg
    mkdir -p carrier-run
    kamailio -DD -E -x tlsf -m 64 -M 8 -f carrier.cfg -Y "$WORK/carrier-run" >>carrier.log 2>&1 &
    CARRIER_PID=$!
    await 10 carrier_listens
}
carrier_listens() { [ -n "$(ss -H -ltn "src $NEXT_ADDR and sport = :5061")" ]; }
status_is() { "$(edge_program)" status peers -c edge.conf --json | jq -e --arg s "$1" '.rows[0].registration == $s' >/dev/null; }

make_certs
make_cert ca carrier.test DNS:carrier.test,URI:sip:carrier.test
DOMAIN_LINES="media-keys = {\"dtls\"}" edge_conf "media { address = {\"$ADDR\"} ports = \"30000-30199\" }" \
    "peer \"carrier\" { kind = subscription  domains = {\"carrier.test\"}  next-hop = \"sips:$NEXT_ADDR:5061\"  ca = \"$WORK/certs/ca.crt\"" \
    "    certificate-names = {\"carrier.test\"}  numbers = {\"+\"}  identities = {\"$DOMAIN\"}" \
    "    user = \"trunk\"  password-file = \"$WORK/trunk.password\" }"
(umask 077 && password_of trunk >trunk.password)
our_user alice trunk
need "Kamailio starts as a carrier" carrier_start
need "the edge starts" edge_start
check "the account is registered" await 10 status_is registered
check "by its password, SHA-256" await 5 log_has carrier.log 'carrier: registered by trunk'

need "the account's phone waits" our_start trunk --answer --media dtls --play tone:880 --expect-tone 440
check "alice sends a message to a number: its challenge is answered for her" our_status 0 alice --message hello \
    --to "sip:+4930123456@$DOMAIN;user=phone"
check "the carrier knew who sent it" log_has carrier.log 'carrier: MESSAGE to .4930123456 by trunk'
check "it came back, too" await 5 our_event trunk message hello
check "alice calls a number through the carrier" our_status 0 alice --call "sip:+4930123456@$DOMAIN;user=phone" --media dtls --play tone:440 \
    --expect-tone 880 --duration 2
check "the carrier knew who called" log_has carrier.log 'carrier: INVITE to .4930123456 by trunk'
check "it came back and was answered" our_end trunk 0
check "the edge stops in order" edge_stop
kill "$CARRIER_PID"
