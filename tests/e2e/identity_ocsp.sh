#!/bin/bash
# Is a signer's certificate revoked? What its CA's OCSP responder (`openssl ocsp`) says decides before a signed request is let in: good,
# revoked, nothing because nobody is there, nothing because nobody answers; hard and soft. (RFC 6960, RFC 5280 6.3, RFC 8224 6.2.2; TR/100 9)
. "$(dirname "$0")/lib.sh"
. "$E2E_HERE/ourphone.sh"

PARTNER=partner.test
RESPONDER=8888
echo "$NEXT_ADDR $PARTNER" >>"$WORK/hosts"

make_certs
make_cert ca $PARTNER "DNS:$PARTNER,URI:sip:$PARTNER,IP:$NEXT_ADDR"
make_ca stir
ca_database stir
make_cert stir id "DNS:$DOMAIN,URI:sip:$DOMAIN"
printf 'authorityInfoAccess=OCSP;URI:http://%s:%s/\n' $PEER_ADDR $RESPONDER >>certs/id.ext
need "a certificate that names its responder" ca_do -in certs/id.csr -extfile certs/id.ext -out certs/id.crt -notext

edge_conf "identity \"$DOMAIN\" { certificate = \"$WORK/certs/id.crt\"  key = \"$WORK/certs/id.key\"  url = \"https://$DOMAIN:5063/stir/id.pem\" }" \
    "peer \"partner\" { kind = peering  domains = { \"$PARTNER\" }  next-hop = \"sips:$NEXT_ADDR:5064\"  ca = \"$WORK/certs/ca.crt\" }"
partner_conf() { # REVOCATION
    {
        echo "state-dir = \"$WORK/partner\""
        echo "control = \"$WORK/partner.ctl\""
        echo "domain \"$PARTNER\" { certificate = \"$WORK/certs/$PARTNER.crt\"  key = \"$WORK/certs/$PARTNER.key\" }"
        echo "listen \"tls:$NEXT_ADDR:5061\" { }"
        echo "listen \"tls:$NEXT_ADDR:5064\" { client-certificate = require  client-ca = \"$WORK/certs/ca.crt\" }"
        echo "identity-ca = \"$WORK/certs/stir.crt\""
        echo "identity-revocation = $1"
        echo "fetch-ca = \"$WORK/certs/ca.crt\""
        echo 'allow-fetch-from = { "10.77.0.0/24" }'
        echo "peer \"example\" { kind = peering  domains = { \"$DOMAIN\" }  certificate-names = { \"$DOMAIN\" }  next-hop = \"sips:$ADDR:5061\""
        echo "    ca = \"$WORK/certs/ca.crt\"  verify-identity = require }"
    } >partner.conf
}
partner_ready() { [ -n "$(ss -H -ltn "src $NEXT_ADDR and sport = :5061")" ] && [ -n "$(ss -H -ltn "src $NEXT_ADDR and sport = :5064")" ]; }
partner_start() { # REVOCATION: another process, that knows nothing of any certificate
    partner_conf "$1"
    mkdir -p partner
    "$(edge_program)" run -c partner.conf >>edge-partner.log 2>&1 &
    PARTNER_PID=$!
    await 10 partner_ready
}
gone() { ! alive "$1"; }
partner_stop() {
    kill -TERM $PARTNER_PID
    wait $PARTNER_PID
}
reloads() { grep -c ' reloaded ' edge-partner.log; }
more_reloads() { [ "$(reloads)" -gt "$1" ]; }
# Whom a signed request asks for does not exist, so that what is let in is answered with 404, and at once.
sends() { our_status 6 alice --message hello --to "sip:nobody@$PARTNER"; }
let_in() { sends && our_event alice sent '"status":404'; }
refused() { sends && our_event alice sent '"status":437'; }
responder_start() {
    openssl ocsp -index index.txt -port $RESPONDER -rsigner certs/stir.crt -rkey certs/stir.key -CA certs/stir.crt -ndays 1 >>ocsp.log 2>&1 &
    RESPONDER_PID=$!
    await 5 tcp_open $RESPONDER
}

our_user alice
need "example.com's edge starts" edge_start
need "partner.test's edge starts, and wants to know (hard)" partner_start hard
check "nobody can be asked: the request is refused, with 437" refused
check "the log says that the responder is not there" log_has edge-partner.log "ocsp-failed .*responder=http://$PEER_ADDR:$RESPONDER/"
check "and why the certificate is not believed" log_has edge-partner.log 'identity-cert-status-unknown'
n=$(reloads)
partner_conf soft
kill -HUP $PARTNER_PID
need "partner.test would like to know (soft)" await 10 more_reloads "$n"
check "then it is let in" let_in
check "and that is said" log_has edge-partner.log 'revocation-unknown .*url=https://example.com:5063/stir/id.pem'
check "partner.test's edge stops" partner_stop

need "a responder" responder_start
need "partner.test's edge starts anew (hard)" partner_start hard
check "the first request waits for what the responder says, and is let in" let_in
check "so is the next" let_in
check "partner.test's edge stops" partner_stop

need "the certificate is revoked" ca_do -revoke certs/id.crt -crl_reason keyCompromise
kill $RESPONDER_PID
need "the responder ends" await 5 gone $RESPONDER_PID
need "and begins anew" responder_start
need "partner.test's edge starts anew (soft)" partner_start soft
check "what is known to be revoked is refused, with 437" refused
check "the log says who and why" log_has edge-partner.log 'certificate-revoked .*key compromise'
check "and so does the verdict" log_has edge-partner.log 'identity-cert-revoked'
check "partner.test's edge stops" partner_stop
kill $RESPONDER_PID
need "the responder ends" await 5 gone $RESPONDER_PID

# One that takes questions and says nothing.
/usr/bin/python3 -c 'import socket, sys, time
s = socket.socket()
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind((sys.argv[1], int(sys.argv[2])))
s.listen(8)
time.sleep(60)' $PEER_ADDR $RESPONDER &
need "a responder that is silent" await 5 tcp_open $RESPONDER
need "partner.test's edge starts anew (soft)" partner_start soft
began=$(now_ms)
check "it is let in all the same" let_in
check "after two seconds" [ $(($(now_ms) - began)) -ge 1900 ]
check "and from then on" let_in
check "partner.test's edge stops" partner_stop
check "example.com's edge stops in order" edge_stop
