#!/bin/bash
# Calls with another domain whose media pass through us and more workers than one: the other domain's requests inside
# the call come by whatever connection it has, whose worker need not be the call's, and are believed all the same. (TR/100 9, 7.2.3)
. "$(dirname "$0")/lib.sh"
. "$E2E_HERE/ourphone.sh"

PARTNER=partner.test
echo "$NEXT_ADDR $PARTNER" >>"$WORK/hosts"
make_certs
make_cert ca $PARTNER "DNS:$PARTNER,URI:sip:$PARTNER,IP:$NEXT_ADDR"

# side ADDRESS PEER-NAME PEER-DOMAIN PEER-ADDRESS
side() {
    echo "workers = 4"
    echo "listen \"tls:$1:5064\" { client-certificate = require  client-ca = \"$WORK/certs/ca.crt\" }"
    echo "peer \"$2\" { kind = peering  domains = { \"$3\" }  certificate-names = { \"$3\" }  next-hop = \"sips:$4:5064\""
    echo "    ca = \"$WORK/certs/ca.crt\" }"
}
{
    echo "state-dir = \"$WORK/partner\""
    echo "control = \"$WORK/partner.ctl\""
    echo "domain \"$PARTNER\" { certificate = \"$WORK/certs/$PARTNER.crt\"  key = \"$WORK/certs/$PARTNER.key\" }"
    echo "listen \"tls:$NEXT_ADDR:5061\" { }"
    side $NEXT_ADDR example $DOMAIN $ADDR
} >partner.conf
mkdir -p partner
DOMAIN_LINES="media = protect" edge_conf "$(side $ADDR partner $PARTNER $NEXT_ADDR)" "media { address = {\"$ADDR\"} ports = \"30000-30199\" }"
our_user alice
for i in 1 2 3 4; do
    DOMAIN=$PARTNER password_of bob$i >bob$i.password
    DOMAIN=$PARTNER password_of bob$i | "$(edge_program)" user add "bob$i@$PARTNER" -c partner.conf >>user.log 2>&1
done
need "example.com's edge starts" edge_start
"$(edge_program)" run -c partner.conf >>edge-partner.log 2>&1 &
PARTNER_PID=$!
partner_ready() { [ -n "$(ss -H -ltn "src $NEXT_ADDR and sport = :5061")" ] && [ -n "$(ss -H -ltn "src $NEXT_ADDR and sport = :5064")" ]; }
need "partner.test's edge starts" await 10 partner_ready

# Each bob has a connection of its own to partner.test, and with it a worker; the call is over for alice when he says so.
bob() { DOMAIN=$PARTNER SERVER=tls:$NEXT_ADDR:5061 "$@"; }
for i in 1 2 3 4; do
    need "bob$i waits" bob our_start bob$i --answer --duration 0.3
    check "alice calls him, and he hangs up" our_status 0 alice --call "sip:bob$i@$PARTNER" --duration 5
    check "his BYE was taken" bob our_end bob$i 0
done
refuse "nobody was taken for somebody else" log_has edge.log 'dialog-side'
check "the edge stops in order" edge_stop
kill $PARTNER_PID
