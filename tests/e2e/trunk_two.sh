#!/bin/bash
# An enterprise and its carrier, both ours: example.com registers all its numbers with carrier.test by one REGISTER (RFC 6140), calls out as
# one of them, challenged, is called at them along the connection, and takes the registration back when it stops. (TR/100 7.6, 8.5)
. "$(dirname "$0")/lib.sh"
. "$E2E_HERE/ourphone.sh"

CARRIER=carrier.test
echo "$NEXT_ADDR $CARRIER" >>"$WORK/hosts"

carrier_conf() {
    {
        echo "state-dir = \"$WORK/carrier\""
        echo "control = \"$WORK/carrier.ctl\""
        echo "log-level = info"
        echo "domain \"$CARRIER\" { certificate = \"$WORK/certs/$CARRIER.crt\"  key = \"$WORK/certs/$CARRIER.key\" }"
        echo "listen \"tls:$NEXT_ADDR:5061\" { }"
        echo "peer \"acme\" { kind = subscription  account = \"trunk-7@$CARRIER\"  numbers = {\"+4930123\"} }"
    } >carrier.conf
    mkdir -p carrier
}
carrier_start() {
    "$(edge_program)" run -c carrier.conf >>edge-carrier.log 2>&1 &
    CARRIER_PID=$!
    await 10 carrier_ready
}
carrier_ready() { [ -n "$(ss -H -ltn "src $NEXT_ADDR and sport = :5061")" ]; }
carrier_user() { password_of "$1" | "$(edge_program)" user add "$1@$CARRIER" -c carrier.conf >>user.log 2>&1; }
peer_is() { "$(edge_program)" status peers -c "$1.conf" --json | jq -e --arg s "$2" '.rows[0].registration == $s' >/dev/null; }

make_certs
make_cert ca $CARRIER "DNS:$CARRIER,URI:sip:$CARRIER,IP:$NEXT_ADDR"
carrier_conf
need "the carrier has the account and a user" eval 'carrier_user trunk-7 && carrier_user bob'
edge_conf "media { address = {\"$ADDR\"} ports = \"30000-30199\" }" \
    "peer \"carrier\" { kind = subscription  domains = {\"$CARRIER\"}  next-hop = \"sips:$NEXT_ADDR:5061\"  ca = \"$WORK/certs/ca.crt\"" \
    "    certificate-names = {\"$CARRIER\"}  numbers = {\"+\"}  bulk-numbers = yes  from-user = \"+49301230\"" \
    "    user = \"trunk-7\"  password-file = \"$WORK/trunk-7.password\" }"
(umask 077 && password_of trunk-7 >trunk-7.password)
our_user alice +4930123001
password_of bob >bob.password
need "the carrier starts" carrier_start
check "nobody has registered yet" peer_is carrier "not registered"
need "the enterprise starts" edge_start
check "its account is registered" await 10 peer_is edge registered
check "and the carrier shows it" peer_is carrier registered

bob() { DOMAIN=$CARRIER SERVER=tls:$NEXT_ADDR:5061 "$@"; }
need "bob waits at the carrier" bob our_start bob --answer --play tone:880 --expect-tone 440
check "alice calls him through the account" our_status 0 alice --call "sip:bob@$CARRIER" --play tone:440 --expect-tone 880 --duration 2
check "bob is content" bob our_end bob 0
check "he was called by the number of the account" our_event bob incoming 'sip:+49301230@carrier.test'

# A phone whose user is a number.
number_start() {
    "$(edge_program)" phone --user "+4930123001@$DOMAIN" --password-file +4930123001.password --server "$SERVER" --ca certs/ca.crt --json \
        --answer --play tone:880 --expect-tone 440 >number.events 2>number.err.log &
    OUR_PID_number=$!
    await 10 our_event number registered
}
need "a phone with a number waits at the enterprise" number_start
check "bob calls the number" bob our_status 0 bob --call "sip:+4930123001@$CARRIER" --play tone:440 --expect-tone 880 --duration 2
check "its phone is content" our_end number 0
check "a number that nobody has is nobody's" bob our_status 4 bob --call "sip:+4930123002@$CARRIER"

check "the edge stops in order" edge_stop
check "and has taken its registration back" peer_is carrier "not registered"
check "in order" log_has edge.log 'trunk-left peer=carrier status=200'
kill "$CARRIER_PID"
