#!/bin/bash
# The certificate by which calls are signed is found by others where its URL says, over HTTPS by the listener that browsers use, and
# nothing else of the file goes out (RFC 8224 7.3, RFC 8225 4.3).
. "$(dirname "$0")/lib.sh"

make_certs
make_ca stir
make_cert stir id "DNS:$DOMAIN,URI:sip:$DOMAIN"
cat certs/id.key certs/id.crt certs/stir.crt >certs/all.pem # an operator's file may well have the key in it
edge_conf "identity \"$DOMAIN\" {
    certificate = \"$WORK/certs/all.pem\"
    key = \"$WORK/certs/id.key\"
    url = \"https://$DOMAIN:5063/stir/$DOMAIN.pem\"
}"
need "the edge starts" edge_start
need "and speaks WebSocket" await 5 tcp_open 5063

page() { curl -sS --max-time 10 --cacert certs/ca.crt -D head.txt -o page.pem "https://$DOMAIN:5063$1"; }
check "the certificate is where its URL says" page "/stir/$DOMAIN.pem"
check "as a certificate chain" grep -qi '^content-type: application/pem-certificate-chain' head.txt
check "it is the one" cmp <(openssl x509 -in page.pem -outform DER) <(openssl x509 -in certs/id.crt -outform DER)
check "with its issuer" test "$(grep -c 'BEGIN CERTIFICATE' page.pem)" = 2
refuse "and no key" grep -q 'PRIVATE' page.pem
check "another path is told to upgrade" sh -c "curl -sS --max-time 10 --cacert certs/ca.crt -o /dev/null -w '%{http_code}' https://$DOMAIN:5063/stir/ | grep -q 426"

# A new certificate is served after a reload.
make_cert stir id2 "DNS:$DOMAIN,URI:sip:$DOMAIN"
cat certs/id2.crt certs/stir.crt >certs/all.pem
cp certs/id2.key certs/id.key
kill -HUP $E2E_EDGE_PID
renewed() { page "/stir/$DOMAIN.pem" && cmp -s <(openssl x509 -in page.pem -outform DER) <(openssl x509 -in certs/id2.crt -outform DER); }
check "a new one after a reload" await 10 renewed
check "the edge stops in order" edge_stop
