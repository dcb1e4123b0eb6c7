#!/bin/bash
# Identities of another implementation: Kamailio's secsipid module (libsecsipid, in Go) signs calls that we verify, and verifies calls that
# we sign, as SHAKEN over telephone numbers, each fetching the other's certificate by https. What its CA has not made is refused on both
# sides; what is signed for another number, or by a certificate for other numbers, is refused by us, where secsipid compares neither.
# (TR/100 7.4.2; RFC 8224, 8225, 8226, 8588)
. "$(dirname "$0")/lib.sh"
. "$E2E_HERE/ourphone.sh"

OTHER=carrier.test
US=+4930555001
THEM=+4940777001
echo "$NEXT_ADDR $OTHER" >>"$WORK/hosts"
make_certs
make_cert ca $OTHER "DNS:$OTHER,URI:sip:$OTHER,IP:$NEXT_ADDR"
make_ca stir
make_ca rogue
# make_number_cert CA NAME NUMBER: a certificate for one telephone number (RFC 8226 9; the entry "one" is tagged [2])
make_number_cert() {
    openssl ecparam -name prime256v1 -genkey -noout -out "certs/$2.key" 2>>openssl.log
    openssl req -new -key "certs/$2.key" -subj "/CN=$2" -out "certs/$2.csr" 2>>openssl.log
    printf '%s\n' 'keyUsage=critical,digitalSignature' 'basicConstraints=CA:FALSE' "1.3.6.1.5.5.7.1.26=ASN1:SEQUENCE:numbers" \
        '[numbers]' "one=EXPLICIT:2,IA5STRING:$3" >"certs/$2.ext"
    openssl x509 -req -in "certs/$2.csr" -CA "certs/$1.crt" -CAkey "certs/$1.key" -CAcreateserial -sha256 -days 825 \
        -extfile "certs/$2.ext" -out "certs/$2.crt" 2>>openssl.log
    chmod 600 "certs/$2.key"
}
make_number_cert stir us ${US#+}
make_number_cert stir them ${THEM#+}
make_number_cert stir others 4940777999
make_number_cert rogue forged ${THEM#+}

edge_conf "log-level = info" \
    "identity \"$DOMAIN\" { certificate = \"$WORK/certs/us.crt\"  key = \"$WORK/certs/us.key\"  url = \"https://$DOMAIN:5063/stir/id.pem\" }" \
    "identity-ca = \"$WORK/certs/stir.crt\"" "fetch-ca = \"$WORK/certs/ca.crt\"" "allow-fetch-from = { \"$NEXT_ADDR\" }" \
    "listen \"tls:$ADDR:5064\" { client-certificate = require  client-ca = \"$WORK/certs/ca.crt\" }" \
    "peer \"carrier\" { kind = peering  domains = { \"$OTHER\" }  certificate-names = { \"$OTHER\" }  next-hop = \"sips:$NEXT_ADDR:5064\"" \
    "    ca = \"$WORK/certs/ca.crt\"  sign-identity = shaken  verify-identity = require }"
our_user $US +4930555002
password_of $THEM >$THEM.password
them() { DOMAIN=$OTHER SERVER=tls:$NEXT_ADDR:5061 "$@"; }

# other_start SIGNER: Kamailio, which signs by this certificate. Go finds its anchors for https by SSL_CERT_FILE.
other_start() {
    sed -e "s|@ADDR@|$ADDR|g" -e "s|@NEXT@|$NEXT_ADDR|g" -e "s|@DOMAIN@|$DOMAIN|g" -e "s|@WORK@|$WORK|g" -e "s|@SIGNER@|$1|g" \
        "$E2E_HERE/kamailio/secsipid.cfg" >secsipid.cfg
    sed -e "s|secure\.test|$OTHER|g" -e "s|@WORK@|$WORK|g" "$E2E_HERE/kamailio/next-tls.cfg" >secsipid-tls.cfg
    printf '%s\n' '' "[server:$NEXT_ADDR:5061]" 'method = TLSv1.2+' "private_key = $WORK/certs/$OTHER.key" \
        "certificate = $WORK/certs/$OTHER.crt" 'verify_certificate = no' 'require_certificate = no' >>secsipid-tls.cfg
    mkdir -p other-run
    SSL_CERT_FILE=$WORK/certs/ca.crt kamailio -DD -E -x tlsf -m 64 -M 8 -f secsipid.cfg -Y "$WORK/other-run" >>other.log 2>&1 &
    OTHER_PID=$!
    await 10 other_listens
}
other_listens() { [ -n "$(ss -H -ltn "src $NEXT_ADDR and sport = :5061")" ] && [ -n "$(ss -H -ltn "src $NEXT_ADDR and sport = :5064")" ]; }
other_stop() {
    kill "$OTHER_PID"
    wait "$OTHER_PID" 2>/dev/null
}

# Their certificates, by a small server of https.
openssl s_server -accept "$NEXT_ADDR:8443" -cert "certs/$OTHER.crt" -key "certs/$OTHER.key" -WWW >>https.log 2>&1 &
HTTPS_PID=$!
need "their https server starts" await 5 tcp_open 8443
need "the edge starts" edge_start
need "Kamailio starts with secsipid" other_start them

# We sign, secsipid verifies.
need "their phone waits" them our_start $THEM --answer --play tone:880 --expect-tone 440
check "our number calls theirs, and both hear each other" our_status 0 $US --call "sip:$THEM@$OTHER" --play tone:440 --expect-tone 880 --duration 1
check "their phone is content" them our_end $THEM 0
check "secsipid has verified our SHAKEN, with what it says" log_has other.log \
    'secsipid: verified: sip:.4930555001@example.com to sip:.4940777001@.*"attest":"A","dest":\{"tn":\["4940777001"\]\}.*"mky":.*"orig":\{"tn":"4930555001"\},"origid":'

# secsipid signs, we verify. It never signs media keys, so that they are SDES here.
need "our phone waits" our_start $US --answer --media sdes --play tone:440 --expect-tone 880
check "their number calls ours" them our_status 0 $THEM --media sdes --call "sip:$US@$DOMAIN" --play tone:880 --expect-tone 440 --duration 1
check "our phone is content" our_end $US 0
counters() { "$(edge_program)" status counters -c edge.conf | grep -Eq "identity_$1\"?[: ]+$2\b"; }
check "its signature is valid for us" counters valid 1
call_id() { CALL_ID=$(grep -a ' call-security call=' edge.log | tail -n 1 | sed 's/.* call=\([^ ]*\) .*/\1/' | tr -d '"') && [ -n "$CALL_ID" ]; }
need "the calls are in the log" await 10 eval '[ "$(grep -ac " call-security call=" edge.log)" -ge 2 ]'
call_id
check "and explained" eval "'$(edge_program)' explain '$CALL_ID' -c edge.conf | tee explain.txt | grep -q 'The caller is .*4940777001.*\. The holder of the number has signed that (attestation A)'"

# What it signs and does not compare: another number than is called.
need "our other phone waits" our_start +4930555002 --answer --media sdes
check "their call to a number that it did not sign is refused" them our_status 4 $THEM --media sdes --call "sip:+4930555002@$DOMAIN"
check "with 438, another destination" our_event $THEM ended '"status":438' identity-dest-mismatch
need "our first phone waits" our_start $US --answer --media sdes,dtls
check "media keys that it did not sign are refused" them our_status 4 $THEM --media dtls --call "sip:$US@$DOMAIN"
check "with 438, no mky" our_event $THEM ended '"status":438' identity-mky-missing

# Another's number: good certificate, wrong number.
other_stop
need "Kamailio signs by a certificate for another number" other_start others
check "that call is refused" them our_status 4 $THEM --media sdes --call "sip:$US@$DOMAIN"
check "with 438, an attack" our_event $THEM ended '"status":438' identity-authority
other_stop
need "Kamailio signs by a certificate of another CA" other_start forged
check "that call is refused, too" them our_status 4 $THEM --media sdes --call "sip:$US@$DOMAIN"
check "with 437" our_event $THEM ended '"status":437'
check "neither phone rang" no_event $US incoming
check "nor the other" no_event +4930555002 incoming
kill "$OUR_PID__4930555001" "$OUR_PID__4930555002"
# The other way: ours is by a CA that it does not know.
sed -i "s|certs/us|certs/forged|g" edge.conf
kill -HUP $E2E_EDGE_PID
need "the edge signs by a certificate of another CA" await 10 log_has edge.log 'reloaded'
check "secsipid refuses it" our_status 4 $US --call "sip:$THEM@$OTHER"
check "as not verified" log_has other.log 'secsipid: not verified: '
other_stop
kill "$HTTPS_PID"
check "the edge stops in order" edge_stop
