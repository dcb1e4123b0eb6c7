#!/bin/bash
# Revoked certificates (TR/100 9), by the openssl command as CA (`openssl ca -gencrl`) and as responder (`openssl ocsp`): what the edge
# staples with its own, what it asks about those of peers, who is let in on first contact and afterwards, CRLs that change and expire.
. "$(dirname "$0")/lib.sh"
. "$E2E_HERE/ops.sh"

RESPONDER=8888

# issue NAME [EXTENSION...]: by the CA that keeps books.
issue() {
    local name=$1
    shift
    openssl ecparam -name prime256v1 -genkey -noout -out "certs/$name.key" 2>>openssl.log
    openssl req -new -key "certs/$name.key" -subj "/CN=$name" -out "certs/$name.csr" 2>>openssl.log
    printf '%s\n' "subjectAltName=DNS:$name,URI:sip:$name" 'extendedKeyUsage=serverAuth,clientAuth' \
        'keyUsage=critical,digitalSignature' 'basicConstraints=CA:FALSE' "$@" >"certs/$name.ext"
    ca_do -notext -in "certs/$name.csr" -extfile "certs/$name.ext" -out "certs/$name.crt"
}
revoke() { ca_do -revoke "certs/$1.crt" -crl_reason keyCompromise; }
gencrl() { ca_do -gencrl -out crl.new "$@" && mv crl.new crl.pem; }
answered() { grep -aEq '^SIP/2.0 |alert|^closed' s_client.txt; }
ask() {
    : >s_client.txt
    { options_request TLS; await 3 answered; } | timeout 5 openssl s_client -connect $ADDR:5061 -servername $DOMAIN -CAfile certs/ca.crt \
        -cert "certs/$1.crt" -key "certs/$1.key" >s_client.txt 2>&1
    cat s_client.txt >>s_client.log
    grep -aq '^SIP/2.0 200 ' s_client.txt
}
stapled() {
    openssl s_client -connect $ADDR:5061 -servername $DOMAIN -CAfile certs/ca.crt -status </dev/null >status.txt 2>&1
    grep -q 'Cert Status: good' status.txt
}
knows() { json certificates "[.rows[] | select(.kind == \"status\" and .state == \"$2\" and (.file | contains(\"$1\")))] | length == 1"; }
reloads() { grep -c ' reloaded ' edge.log; }
more_reloads() { [ "$(reloads)" -gt "$before" ]; }
answers() { tcp_open $RESPONDER; }

make_ca ca
ca_database ca
aia="authorityInfoAccess=OCSP;URI:http://$PEER_ADDR:$RESPONDER/"
issue $DOMAIN "$aia" tlsfeature=status_request
cat certs/ca.crt >>certs/$DOMAIN.crt
issue soft.test "$aia"
issue hard.test "$aia"
issue bad.test "$aia"
issue late.test "$aia"
issue listed.test
revoke bad.test
need "a CRL of the CA" gencrl

openssl ocsp -index index.txt -port $RESPONDER -rsigner certs/ca.crt -rkey certs/ca.key -CA certs/ca.crt -ndays 1 >ocsp.log 2>&1 &
RESPONDER_PID=$!
need "a responder" await 5 answers
peer() { echo "peer \"$1\" { domains = { \"$1.test\" }  certificate-names = { \"$1.test\" }  ca = \"$WORK/certs/ca.crt\"  ${2:-} }"; }
edge_conf 'allow-fetch-from = { "10.77.0.0/24" }' "identity-ca = \"$WORK/certs/ca.crt\"" "identity-crl = \"$WORK/crl.pem\"" "$(peer soft)" "$(peer hard 'revocation = hard')" "$(peer bad)" "$(peer late 'revocation = hard')" \
    "$(peer listed "revocation = hard  crl = \"$WORK/crl.pem\"")"
need "the edge starts" edge_start

check "it staples what the responder says of its own certificate" await 8 stapled
check "a peer is let in before anything is known (soft)" ask soft.test
check "and that is said" log_has edge.log 'revocation-unknown reason=tls-cert-status-unknown .*peer=.* name=soft\.test'
check "its responder was asked meanwhile" await 5 knows soft.test good
kill -STOP $RESPONDER_PID # so that its answer cannot come between handshake and request
refuse "where that is demanded (hard), one is not" ask hard.test
check "and the log says why" await 3 log_has edge.log 'not-vouched-for reason=tls-cert-status-unknown .*URI:sip:hard\.test.*has not answered yet'
kill -CONT $RESPONDER_PID
check "its responder was asked meanwhile, too" await 5 knows hard.test good
check "then it is" ask hard.test

ask bad.test
check "the responder says of another that it is revoked" await 5 knows bad.test revoked
check "which is told" await 3 log_has edge.log 'certificate-revoked .*key compromise.*bad\.test'
refuse "and it is turned away (soft)" ask bad.test
check "one line says whom and why" await 3 log_has edge.log 'tls-refused reason=tls-cert-revoked .*presented DNS:bad\.test.*key compromise'

check "a CRL in the configuration is enough where no responder is named (hard)" ask listed.test
revoke listed.test
# A connection of before, on which a call would be: it goes on whatever is loaded.
mkfifo hold
: >held.txt
openssl s_client -connect $ADDR:5061 -servername $DOMAIN -CAfile certs/ca.crt -cert certs/soft.test.crt -key certs/soft.test.key -quiet \
    <hold >held.txt 2>held.log &
exec 9>hold
held_answers() { [ "$(grep -ac '^SIP/2.0 200 ' held.txt)" = "$1" ]; }
options_request TLS >&9
check "a connection that stays open" await 5 held_answers 1
check "what was not known of this peer's certificate was said once" [ "$(grep -c 'revocation-unknown .* name=[^ ]*soft' edge.log)" = 1 ]
check "and that it is known now" await 3 log_has edge.log 'revocation-known .* name=[^ ]*soft'
before=$(reloads)
check "a new CRL" gencrl
check "is noticed by itself" await 8 more_reloads
refuse "the certificate that it lists is not the peer's any more" ask listed.test
check "the log says so" await 3 log_has edge.log 'not-vouched-for reason=tls-cert-revoked .*listed\.test'
options_request TLS >&9
check "what is open goes on" await 5 held_answers 2
cat certs/ca.crt certs/ca.crt >certs/new.pem && mv certs/new.pem certs/ca.crt
check "an expired CRL" gencrl -crl_lastupdate 20200101000000Z -crl_nextupdate 20200102000000Z
check "is taken, too, and another file of anchors" "$(edge_program)" reload -c edge.conf
options_request TLS >&9
check "and what is open goes on" await 5 held_answers 3
exec 9>&-
check "and said to be one" await 3 log_has edge.log 'warn crl-expired peer=listed file=[^ ]*/crl\.pem'
check "that of identities, which rest on it as well" await 3 log_has edge.log 'warn crl-expired top=identity-crl file=[^ ]*/crl\.pem'
check "in the status as well" json certificates '[.rows[] | select(.kind == "crl" and .state == "expired" and .name == "listed")] | length == 1'
refuse "what it lists is still revoked" ask listed.test

check "the edge stops in order" edge_stop

sed -i '/allow-fetch-from/d' edge.conf
need "without leave to ask private addresses it starts as well" edge_start
refuse "a peer whose responder has one cannot be looked up" ask late.test
check "the log says why" await 3 log_has edge.log 'ocsp-failed reason=http-address .*special purposes \(private use\)'
check "the edge stops in order" edge_stop
