#!/bin/bash
# Identities of RFC 4474 with another implementation, Kamailio's auth_identity: it verifies the requests that we sign over all that they
# show, and we verify those that it signs, each fetching the other's certificate in DER by https. What it changes after it has signed is
# broken; what a certificate for another name has signed is an attack; one of a CA that we do not know is refused. (TR/100 7.4.2; RFC 4474)
. "$(dirname "$0")/lib.sh"
. "$E2E_HERE/ourphone.sh"

OTHER=carrier.test
echo "$NEXT_ADDR $OTHER" >>"$WORK/hosts"
make_certs
make_cert ca $OTHER "DNS:$OTHER,URI:sip:$OTHER,IP:$NEXT_ADDR"
make_cert ca id "DNS:$DOMAIN,URI:sip:$DOMAIN"
make_ca stir
make_ca rogue
cat certs/ca.crt certs/stir.crt >certs/both.crt
# make_rsa_cert CA NAME DOMAIN
make_rsa_cert() {
    openssl genrsa -out "certs/$2.key" 2048 2>>openssl.log
    openssl req -new -key "certs/$2.key" -subj "/CN=$3" -out "certs/$2.csr" 2>>openssl.log
    printf 'subjectAltName=DNS:%s\nkeyUsage=critical,digitalSignature\nbasicConstraints=CA:FALSE\n' "$3" >"certs/$2.ext"
    openssl x509 -req -in "certs/$2.csr" -CA "certs/$1.crt" -CAkey "certs/$1.key" -CAcreateserial -sha256 -days 825 \
        -extfile "certs/$2.ext" -out "certs/$2.crt" 2>>openssl.log
    openssl x509 -in "certs/$2.crt" -outform DER -out "certs/$2.cer"
    chmod 600 "certs/$2.key"
}
make_rsa_cert stir us "$DOMAIN"
make_rsa_cert stir them $OTHER
make_rsa_cert stir third third.test
make_rsa_cert rogue forged $OTHER

# conf HOW: how we sign.
conf() {
    edge_conf "log-level = info" "keeper-log = \"$WORK/keeper.jsonl\"" "identity-ca = \"$WORK/certs/stir.crt\"" "fetch-ca = \"$WORK/certs/ca.crt\"" \
        "allow-fetch-from = { \"$NEXT_ADDR\" }" \
        "identity \"$DOMAIN\" { certificate = \"$WORK/certs/id.crt\"  key = \"$WORK/certs/id.key\"  url = \"https://$DOMAIN:5063/id.pem\"" \
        "    rfc4474-certificate = \"$WORK/certs/us.crt\"  rfc4474-key = \"$WORK/certs/us.key\"  rfc4474-url = \"https://$DOMAIN:5063/us.cer\" }" \
        "listen \"tls:$ADDR:5064\" { client-certificate = require  client-ca = \"$WORK/certs/ca.crt\" }" \
        "peer \"old\" { kind = peering  domains = { \"$OTHER\" }  certificate-names = { \"$OTHER\" }  next-hop = \"sips:$NEXT_ADDR:5064\"" \
        "    ca = \"$WORK/certs/ca.crt\"  allow-rfc4474 = yes  sign-identity = $1  verify-identity = require }"
}
conf rfc4474
our_user alice

# other_start SIGNER
other_start() {
    sed -e "s|@ADDR@|$ADDR|g" -e "s|@NEXT@|$NEXT_ADDR|g" -e "s|@WORK@|$WORK|g" -e "s|@SIGNER@|$1|g" "$E2E_HERE/kamailio/rfc4474.cfg" >rfc4474.cfg
    sed -e "s|secure\.test|$OTHER|g" -e "s|@WORK@|$WORK|g" "$E2E_HERE/kamailio/next-tls.cfg" >rfc4474-tls.cfg
    mkdir -p other-run
    kamailio -DD -E -x tlsf -m 64 -M 8 -f rfc4474.cfg -Y "$WORK/other-run" >>other.log 2>&1 &
    OTHER_PID=$!
    await 10 other_listens
}
other_listens() { [ -n "$(ss -H -ltn "src $NEXT_ADDR and sport = :5064")" ] && [ -n "$(ss -H -lun "src $NEXT_ADDR and sport = :5060")" ]; }
other_stop() {
    kill "$OTHER_PID"
    wait "$OTHER_PID" 2>/dev/null
}
# they_send USER: a message of theirs to a user of ours; prints the answer's first line and why.
they_send() {
    /usr/bin/python3 - "$NEXT_ADDR" "$1" "$DOMAIN" "$OTHER" <<'END'
import os, socket, sys
next_addr, user, domain, other = sys.argv[1:]
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind((next_addr, 0))
s.settimeout(10)
here = "%s:%d" % s.getsockname()
body = "Hello|there\r\n"
s.sendto(("MESSAGE sip:%s@%s SIP/2.0\r\nVia: SIP/2.0/UDP %s;branch=z9hG4bK%s\r\nMax-Forwards: 70\r\nFrom: Zoe <sip:zoe@%s>;tag=1\r\n"
          "To: <sip:%s@%s>\r\nCall-ID: %s@here\r\nCSeq: 7 MESSAGE\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n%s"
          % (user, domain, here, os.urandom(6).hex(), other, user, domain, os.urandom(6).hex(), len(body), body)).encode(), (next_addr, 5060))
while True:
    head = s.recv(65535).decode("latin1").split("\r\n")
    if not head[0].startswith("SIP/2.0 1"):
        break
print(head[0], *[l for l in head if l.startswith("Warning:")])
END
}
answered() { they_send "$1" >answer.txt && grep -q "^SIP/2.0 $2 .*${3:-}" answer.txt || { cat answer.txt; return 1; }; }
we_send() { our_status "$1" alice --message "$2" --to "sip:bob@$OTHER"; }

openssl s_server -accept "$NEXT_ADDR:8443" -cert "certs/$OTHER.crt" -key "certs/$OTHER.key" -WWW >>https.log 2>&1 &
HTTPS_PID=$!
need "their https server starts" await 5 tcp_open 8443
need "the edge starts" edge_start
need "Kamailio starts with auth_identity" other_start them

check "alice sends them a message" we_send 0 'Good morning, Bob'
check "auth_identity has verified it" log_has other.log "rfc4474: verified: MESSAGE of sip:alice@$DOMAIN: Good morning, Bob"
check "the keeper's log says what it signed" jq -es 'map(select(.event == "sign-rfc4474" and .result == "signed" and .from == "sip:alice@example.com" and .to == "sip:bob@carrier.test")) | length == 1' keeper.jsonl
check "what they sign is valid for us: there is nobody by that name" answered nobody 404
check "and nobody who has registered" answered alice 480
check "what they change afterwards is broken" answered changed 438 rfc4474-signature
counters() { "$(edge_program)" status counters -c edge.conf | grep -Eq "identity_$1\"?[: ]+$2\b"; }
check "which is no attack" eval 'counters valid 2 && counters broken 1 && counters contradicted 0'
other_stop
need "Kamailio signs by a certificate for another name" other_start third
check "that is one" answered nobody 438 identity-authority
check "and counted" counters contradicted 1
other_stop
need "Kamailio signs by a certificate of another CA" other_start forged
check "nobody trusts it" answered nobody 437 identity-cert-untrusted

# RFC 4474 knows one Identity header: with two of them auth_identity finds neither valid, so that `both` is not for such.
conf both
check "the edge signs both ways" "$(edge_program)" reload -c edge.conf
check "alice's next message is refused" we_send 6 'Both of them'
check "because of the two" log_has other.log 'rfc4474: not valid'
kill "$OTHER_PID" "$HTTPS_PID"
check "the edge stops in order" edge_stop
