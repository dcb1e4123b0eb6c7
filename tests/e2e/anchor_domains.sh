#!/bin/bash
# Media from end domain to end domain (TR/100 8.5, requirement 4; 8.4 approach 1 and 2): example.com has its phones in clear inside and
# keys its calls with others itself; partner.test protects both sides. Between the two edges it is DTLS-SRTP with a fingerprint that is
# the edge's own, under the signature of its domain, and checked before a phone rings. (RFC 8224, 8225 5.2.2, 5763, 7879)
. "$(dirname "$0")/lib.sh"
. "$E2E_HERE/ourphone.sh"

PARTNER=partner.test
echo "$NEXT_ADDR $PARTNER" >>"$WORK/hosts"
make_certs
make_cert ca $PARTNER "DNS:$PARTNER,URI:sip:$PARTNER,IP:$NEXT_ADDR"
make_ca stir
make_cert stir id.$DOMAIN "DNS:$DOMAIN,URI:sip:$DOMAIN"
make_cert stir id.$PARTNER "DNS:$PARTNER,URI:sip:$PARTNER"

# lines DOMAIN ADDRESS OTHER OTHER-ADDRESS: how a domain signs, whom it believes, and its peer.
lines() {
    echo "identity \"$1\" { certificate = \"$WORK/certs/id.$1.crt\"  key = \"$WORK/certs/id.$1.key\"  url = \"https://$1:5063/stir/id.pem\" }"
    echo "identity-ca = \"$WORK/certs/stir.crt\""
    echo "fetch-ca = \"$WORK/certs/ca.crt\""
    echo "allow-fetch-from = { \"$ADDR\", \"$NEXT_ADDR\" }"
    echo "listen \"tls:$2:5064\" { client-certificate = require  client-ca = \"$WORK/certs/ca.crt\" }"
    echo "peer \"other\" { kind = peering  domains = { \"$3\" }  certificate-names = { \"$3\" }  next-hop = \"sips:$4:5064\""
    echo "    ca = \"$WORK/certs/ca.crt\"  verify-identity = require }"
}
DOMAIN_LINES="media = clear-inside" edge_conf "$(lines $DOMAIN $ADDR $PARTNER $NEXT_ADDR)" \
    "media { address = {\"$ADDR\"} ports = \"30000-30199\" }"
{
    echo "state-dir = \"$WORK/partner\""
    echo "control = \"$WORK/partner.ctl\""
    echo "domain \"$PARTNER\" { certificate = \"$WORK/certs/$PARTNER.crt\"  key = \"$WORK/certs/$PARTNER.key\"  media = protect  media-keys = { \"sdes\" } }"
    echo "listen \"tls:$NEXT_ADDR:5061\" { }"
    echo "listen \"wss:$NEXT_ADDR:5063\" { }"
    echo "media { address = {\"$NEXT_ADDR\"} ports = \"31000-31199\" }"
    lines $PARTNER $NEXT_ADDR $DOMAIN $ADDR
} >partner.conf
mkdir -p partner
our_user alice
password_of bob >bob.password
password_of bob | "$(edge_program)" user add "bob@$PARTNER" -c partner.conf >>user.log 2>&1
partner_ready() { [ -n "$(ss -H -ltn "src $NEXT_ADDR and sport = :5063")" ] && [ -n "$(ss -H -ltn "src $NEXT_ADDR and sport = :5064")" ]; }
need "example.com's edge starts" edge_start
"$(edge_program)" run -c partner.conf >>edge-partner.log 2>&1 &
PARTNER_PID=$!
need "partner.test's edge starts" await 10 partner_ready
bob() { DOMAIN=$PARTNER SERVER=tls:$NEXT_ADDR:5061 "$@"; }

# call_is CONF FILTER: of the one call that this edge has
call_is() {
    local id
    id=$("$(edge_program)" status calls -c "$1" --json | jq -er '.rows[0].call_id') || return 1
    "$(edge_program)" status call "$id" -c "$1" --json >call.json || return 1
    jq -e ".rows[0] | $2" call.json || { cat call.json; return 1; }
}

need "bob waits at partner.test" bob our_start bob --answer --media sdes --play tone:880 --expect-tone 440
need "alice calls him in clear" our_start alice --call "sip:bob@$PARTNER" --media clear --allow-clear-media --play tone:440 --expect-tone 880 --duration 6
check "bob's media is SDES" await 10 bob our_event bob security '"leg":"media"' '"method":"SDES"' '"proof":"media"'
check "example.com: clear inside, DTLS-SRTP outside" await 3 call_is edge.conf \
    '[.legs[].media[0].keys | .method + " " + .proof] == ["clear none", "dtls-srtp media"]'
check "partner.test: DTLS-SRTP outside, SDES inside" await 3 call_is partner.conf \
    '[.legs[].media[0].keys | .method + " " + .proof] == ["dtls-srtp media", "sdes media"]'
check "partner.test has the caller's keys by the signature of her domain" call_is partner.conf \
    '.legs[0].media[0].keys.bound == "by the domain"'
check "alice heard bob" our_end alice 0
check "bob heard alice" bob our_end bob 0

need "alice waits" our_start alice --answer --media clear --allow-clear-media --play tone:440 --expect-tone 880
check "bob calls her" bob our_status 0 bob --call "sip:alice@$DOMAIN" --media sdes --play tone:880 --expect-tone 440 --duration 2
check "alice heard bob" our_end alice 0
check "the edge stops in order" edge_stop
kill $PARTNER_PID
