#!/bin/bash
# openssl as the client that checks: the edge's certificate and its name, SNI for two domains, the floor of version and
# suites, and a listener that demands certificates and says in the log whom it turned away and why.
. "$(dirname "$0")/lib.sh"

MUTUAL=5064

# ask PORT OPTIONS...: one OPTIONS over TLS; what openssl says goes to s_client.txt, the answer to answer.txt. Succeeds
# when SIP came back: with TLS 1.3 a server that refuses our certificate does so after our side of the handshake is done.
ask() {
    local port=$1
    shift
    { options_request TLS; sleep 1; } | timeout 5 openssl s_client -connect $ADDR:"$port" -CAfile certs/ca.crt \
        -verify_return_error "$@" >s_client.txt 2>&1
    cat s_client.txt >>s_client.log
    grep -aq '^SIP/2.0 ' s_client.txt
}
said() { grep -aEq -- "$1" s_client.txt; }
# refused_with WHAT ALERT ask-arguments: no SIP, and it is the server that said no, by that alert.
refused_with() {
    local what=$1 alert=$2
    shift 2
    refuse "$what" ask "$@"
    check "$what, by the server's alert" said "$alert"
}

make_certs
make_ca stranger
make_cert ca second.test DNS:second.test
make_cert ca phone DNS:phone.test,URI:sip:phone.test
make_cert stranger foreign DNS:phone.test
make_cert ca near DNS:near.test
make_cert stranger far DNS:far.test
make_cert stranger false DNS:near.test
openssl x509 -req -in certs/phone.csr -CA certs/ca.crt -CAkey certs/ca.key -CAcreateserial -days -1 \
    -extfile certs/phone.ext -out certs/expired.crt 2>>openssl.log
edge_conf "domain \"second.test\" { certificate = \"$WORK/certs/second.test.crt\"  key = \"$WORK/certs/second.test.key\" }" \
    "listen \"tls:$ADDR:$MUTUAL\" { client-certificate = require  client-ca = \"$WORK/certs/ca.crt\" }" \
    "peer \"near\" { domains = { \"near.test\" }  certificate-names = { \"near.test\" }  ca = \"$WORK/certs/ca.crt\" }" \
    "peer \"far\" { domains = { \"far.test\" }  certificate-names = { \"far.test\" }  ca = \"$WORK/certs/stranger.crt\" }"
need "the edge starts" edge_start
need "the listener that demands certificates is up" await 5 tcp_open $MUTUAL

check "the certificate for $DOMAIN is verified, name and chain" ask 5061 -servername $DOMAIN -verify_hostname $DOMAIN
check "by TLS 1.3" said 'TLSv1.3'
check "the certificate for second.test is chosen by SNI" ask 5061 -servername second.test -verify_hostname second.test
check "without SNI the first domain's certificate is shown" ask 5061 -noservername -verify_hostname $DOMAIN
refuse "another name is not in the certificate" ask 5061 -servername $DOMAIN -verify_hostname other.test
check "because of the name" said 'ostname mismatch'
refuse "a client with another CA does not accept it" ask 5061 -servername $DOMAIN -CAfile certs/stranger.crt

check "TLS 1.2 with ECDHE and GCM" ask 5061 -tls1_2 -cipher ECDHE-ECDSA-AES128-GCM-SHA256
check "TLS 1.2 with ECDHE and ChaCha20-Poly1305" ask 5061 -tls1_2 -cipher ECDHE-ECDSA-CHACHA20-POLY1305
refused_with "TLS 1.1 is refused" 'alert protocol version|alert handshake failure|alert number (70|40)' 5061 -tls1_1 \
    -cipher ALL@SECLEVEL=0
refused_with "TLS 1.0 is refused" 'alert protocol version|alert handshake failure|alert number (70|40)' 5061 -tls1 \
    -cipher ALL@SECLEVEL=0
refused_with "CBC is refused" 'alert handshake failure|alert number 40' 5061 -tls1_2 \
    -cipher ECDHE-ECDSA-AES128-SHA:ECDHE-ECDSA-AES256-SHA384
refused_with "no forward secrecy is refused" 'alert handshake failure|alert number 40' 5061 -tls1_2 \
    -cipher AES128-GCM-SHA256:AES256-GCM-SHA384

check "a client with a certificate is let in where one is demanded" \
    ask $MUTUAL -servername $DOMAIN -cert certs/phone.crt -key certs/phone.key
check "the same by TLS 1.2" ask $MUTUAL -tls1_2 -servername $DOMAIN -cert certs/phone.crt -key certs/phone.key
refuse "none is refused" ask $MUTUAL -servername $DOMAIN
check "none, by an alert" said 'alert (certificate required|handshake failure)|alert number (116|40)'
if edge_is sallyport; then
    check "the log names the peer and the reason: no certificate" \
        await 3 log_has edge.log "tls-cert-missing.*peer=$ADDR:[0-9]+ local=$ADDR:$MUTUAL"
fi
refuse "a stranger's is refused" ask $MUTUAL -servername $DOMAIN -cert certs/foreign.crt -key certs/foreign.key
check "a stranger's, by an alert" said 'alert (unknown ca|bad certificate|certificate unknown)|alert number (48|42|46)'
if edge_is sallyport; then
    check "the log says whose certificate it was" await 3 log_has edge.log 'tls-cert-unknown-issuer.*presented DNS:phone\.test'
fi
refuse "an expired one is refused" ask $MUTUAL -servername $DOMAIN -cert certs/expired.crt -key certs/phone.key
check "an expired one, by an alert" said 'alert (certificate expired|bad certificate|certificate unknown)|alert number (45|42|46)'
if edge_is sallyport; then
    check "the log says that it has expired" await 3 log_has edge.log 'tls-cert-expired.*presented DNS:phone\.test'
fi

# Anchors per peer (TR/100 9): any peer's CA lets its holder connect, and speaks for that peer's names alone.
check "a peer's certificate, by its own CA: its request is let in" ask 5061 -servername $DOMAIN -cert certs/near.crt -key certs/near.key
check "as a peer's" grep -aq '^SIP/2.0 200 ' s_client.txt
check "another peer's, by another CA" ask 5061 -servername $DOMAIN -cert certs/far.crt -key certs/far.key
check "is let in as well" grep -aq '^SIP/2.0 200 ' s_client.txt
check "the first one's name by the other's CA connects" ask 5061 -servername $DOMAIN -cert certs/false.crt -key certs/false.key
refuse "and is nobody" grep -aq '^SIP/2.0 200 ' s_client.txt
if edge_is sallyport; then
    check "the log says why" await 3 log_has edge.log 'not-vouched-for.*tls-cert-unknown-issuer.*DNS:near\.test'
fi
check "the edge stops in order" edge_stop
