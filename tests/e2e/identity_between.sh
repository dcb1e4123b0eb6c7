#!/bin/bash
# A carrier that is not ours between two domains of ours: Kamailio, over mutual TLS with both, and rtpengine. Calls are signed by the
# caller's domain and verified by the called one, and stay as secure when the carrier only forwards, and when it leads the media through
# itself and leaves the keys alone: addresses change, the fingerprints that were signed do not. A carrier that ends DTLS itself has put
# its own fingerprint there: attacked, refused before a phone rings; one that changes the answer has the call ended. (TR/100 7.4.2,
# 7.5.3, 8.5, 10; RFC 8224, RFC 8225 5.2.2, RFC 7879)
. "$(dirname "$0")/lib.sh"
. "$E2E_HERE/ourphone.sh"

PARTNER=partner.test
echo "$NEXT_ADDR $PARTNER" >>"$WORK/hosts"
make_certs
make_cert ca $PARTNER "DNS:$PARTNER,URI:sip:$PARTNER,IP:$NEXT_ADDR"
make_cert ca carrier.test "DNS:carrier.test,URI:sip:carrier.test,IP:$PEER_ADDR"
make_ca stir
make_cert stir id.$DOMAIN "DNS:$DOMAIN,URI:sip:$DOMAIN"
make_cert stir id.$PARTNER "DNS:$PARTNER,URI:sip:$PARTNER"

# lines DOMAIN ADDRESS: how a domain signs, whom it believes, and the way to all others.
lines() {
    echo "identity \"$1\" { certificate = \"$WORK/certs/id.$1.crt\"  key = \"$WORK/certs/id.$1.key\"  url = \"https://$1:5063/stir/id.pem\" }"
    echo "log-level = info"
    echo "identity-ca = \"$WORK/certs/stir.crt\""
    echo "fetch-ca = \"$WORK/certs/ca.crt\""
    echo "allow-fetch-from = { \"$ADDR\", \"$NEXT_ADDR\" }"
    echo "listen \"tls:$2:5064\" { client-certificate = require  client-ca = \"$WORK/certs/ca.crt\" }"
    echo "peer \"carrier\" { kind = peering  domains = { \"*\" }  certificate-names = { \"carrier.test\" }  next-hop = \"sips:$PEER_ADDR:5061\""
    echo "    ca = \"$WORK/certs/ca.crt\"  verify-identity = require }"
}
DOMAIN_LINES="status-header = yes" edge_conf "$(lines $DOMAIN $ADDR)"
{
    echo "state-dir = \"$WORK/partner\""
    echo "control = \"$WORK/partner.ctl\""
    echo "domain \"$PARTNER\" { status-header = yes  certificate = \"$WORK/certs/$PARTNER.crt\"  key = \"$WORK/certs/$PARTNER.key\" }"
    echo "listen \"tls:$NEXT_ADDR:5061\" { }"
    echo "listen \"wss:$NEXT_ADDR:5063\" { }"
    lines $PARTNER $NEXT_ADDR
} >partner.conf
mkdir -p partner
partner_ready() { [ -n "$(ss -H -ltn "src $NEXT_ADDR and sport = :5063")" ] && [ -n "$(ss -H -ltn "src $NEXT_ADDR and sport = :5064")" ]; }

carrier_start() {
    sed -e "s|@ADDR@|$ADDR|g" -e "s|@PEER@|$PEER_ADDR|g" -e "s|@NEXT@|$NEXT_ADDR|g" -e "s|@DOMAIN@|$DOMAIN|g" -e "s|@WORK@|$WORK|g" \
        "$E2E_HERE/kamailio/between.cfg" >between.cfg
    sed -e "s|secure\.test|carrier.test|g" -e "s|@WORK@|$WORK|g" "$E2E_HERE/kamailio/next-tls.cfg" >between-tls.cfg
    mkdir -p carrier-run
    rtpengine --foreground --log-stderr --log-level=6 --table=-1 --interface=$PEER_ADDR --listen-ng=$PEER_ADDR:2223 --num-threads=1 \
        --port-min=32000 --port-max=32199 --pidfile="$WORK/carrier-run/rtpengine.pid" >>rtpengine.log 2>&1 &
    RTPENGINE_PID=$!
    await 10 carrier_media || return 1
    kamailio -DD -E -x tlsf -m 64 -M 8 -f between.cfg -Y "$WORK/carrier-run" >>carrier.log 2>&1 &
    CARRIER_PID=$!
    await 10 carrier_listens
}
carrier_media() { [ -n "$(ss -H -lun "src $PEER_ADDR and sport = :2223")" ]; }
carrier_listens() { [ -n "$(ss -H -ltn "src $PEER_ADDR and sport = :5061")" ]; }

our_user alice
for name in bob steered tapped forged; do
    password_of $name >$name.password
    password_of $name | "$(edge_program)" user add "$name@$PARTNER" -c partner.conf >>user.log 2>&1
done
there() { DOMAIN=$PARTNER SERVER=tls:$NEXT_ADDR:5061 "$@"; }
# What the edges say of the last call of theirs, afterwards: story CONF LOG WHO TEXT
story() {
    local id
    id=$(grep -a ' call-security call=' "$2" | tail -n 1 | sed 's/.* call-security call=\([^ ]*\) .*/\1/' | tr -d '"')
    "$(edge_program)" explain "$id" -c "$1" >explain.txt && grep -q "$3" explain.txt
}
calls_over() { [ "$(grep -ac ' call-security call=' "$1")" -ge "$2" ]; }

need "example.com's edge starts" edge_start
"$(edge_program)" run -c partner.conf >>edge-partner.log 2>&1 &
PARTNER_PID=$!
need "partner.test's edge starts" await 10 partner_ready
need "Kamailio and rtpengine start as the carrier" carrier_start

# call_is NAME N: alice calls that user, both hear each other; of the Nth call the edges and phones say what is to be said.
call_is_secure() {
    local name=$1 n=$2
    need "$name waits at partner.test" there our_start $name --answer --play tone:880 --expect-tone 440
    check "alice calls $name, and both hear each other" our_status 0 alice --call "sip:$name@$PARTNER" --play tone:440 --expect-tone 880 --duration 2
    check "$name is content" there our_end $name 0
    check "$name's phone is told before it rings that it will be secure" our_event $name status '"level":"protected","expected":"secure"'
    check "alice's phone is told that it is secure, since the answer was signed, too" our_event alice status '"level":"secure"' media-bound-by-domain
    need "both edges have the call behind them" await 10 eval "calls_over edge.log $n && calls_over edge-partner.log $n"
    check "for $name it was secure, by the signature of alice's domain" story partner.conf edge-partner.log "Secure: sip:alice@example.com, signed by example.com"
    check "for alice, too, by the signature of $name's domain" story edge.conf edge.log "Secure: sip:$name@$PARTNER, signed by $PARTNER"
}
call_is_secure bob 1
check "through Kamailio, by TLS, each known to the other" log_has carrier.log 'between: INVITE sip:bob@partner.test from example.com by tls TLSv1.[23]'
check "the sound went straight" no_event bob answered "$PEER_ADDR:"
call_is_secure steered 2
check "steered's sound came from the carrier" our_event steered answered "$PEER_ADDR:32"
check "and alice's" our_event alice answered "$PEER_ADDR:32"

need "tapped waits" there our_start tapped --answer --play tone:880
check "alice calls tapped: refused" our_status 4 alice --call "sip:tapped@$PARTNER" --play tone:440
check "as contradicted, 438" our_event alice ended '"status":438' identity-mky-contradicted
check "tapped's phone did not ring" no_event tapped incoming
check "for tapped it is an attack" await 5 story partner.conf edge-partner.log "Attacked"
need "forged waits" there our_start forged --answer --play tone:880
check "alice calls forged, whose answer the carrier changes: ended" our_status 4 alice --call "sip:forged@$PARTNER" --play tone:440
check "as contradicted, 502" our_event alice ended '"status":502' identity-mky-contradicted
check "alice heard nobody" no_event alice media
check "for alice it is an attack" await 5 story edge.conf edge.log "For the caller: Attacked"
kill "$OUR_PID_tapped" "$OUR_PID_forged" "$CARRIER_PID" "$RTPENGINE_PID"
check "the edge stops in order" edge_stop
kill $PARTNER_PID
