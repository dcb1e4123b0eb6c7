#!/bin/bash
# Bodies that the openssl command has signed (RFC 3261 23, RFC 3893, RFC 8551), from users of a peer: by whatever algorithm and form it has,
# with certificates that are trusted, of nobody, revoked, somebody else's. What the edge makes of each, it explains; nothing but a
# contradiction is refused (TR/100 7.4.1, 7.5.2, recommendation 2).
. "$(dirname "$0")/lib.sh"
. "$E2E_HERE/ourphone.sh"

PARTNER=partner.test
printf '%s\n' "$NEXT_ADDR $PARTNER" >>"$WORK/hosts"
make_certs
make_cert ca $PARTNER "DNS:$PARTNER,URI:sip:$PARTNER,IP:$NEXT_ADDR"
make_ca users
make_ca nobody
make_cert users zoe "URI:sip:zoe@$PARTNER" emailProtection
make_cert users mail "email:zoe@$PARTNER" emailProtection
make_cert users eve "URI:sip:eve@$PARTNER" emailProtection
make_cert users revoked "URI:sip:zoe@$PARTNER" emailProtection
make_cert nobody stranger "URI:sip:zoe@$PARTNER" emailProtection
openssl genrsa -out certs/rsa.key 2048 2>>openssl.log
openssl req -new -key certs/rsa.key -subj /CN=rsa -out certs/rsa.csr 2>>openssl.log
need "an RSA certificate" openssl x509 -req -in certs/rsa.csr -CA certs/users.crt -CAkey certs/users.key -CAcreateserial -sha256 -days 825 \
    -extfile certs/zoe.ext -out certs/rsa.crt
ca_database users
need "one that is revoked" eval "ca_do -revoke certs/revoked.crt && ca_do -gencrl -out crl.pem"

edge_conf "log-level = info" "identity-ca = \"$WORK/certs/users.crt\"" "identity-crl = \"$WORK/crl.pem\"" \
    "listen \"tls:$ADDR:5064\" { client-certificate = require  client-ca = \"$WORK/certs/ca.crt\" }" \
    "peer \"partner\" { kind = peering  domains = { \"$PARTNER\" }  certificate-names = { \"$PARTNER\" }  next-hop = \"sips:$NEXT_ADDR:5061\"" \
    "    ca = \"$WORK/certs/ca.crt\"  allow-clear-media = yes }"
our_user bob
need "the edge starts" edge_start
need "bob waits" our_start bob --answer --answer-after 60 --calls 20
need "every call is answered" python3 "$E2E_HERE/tools/smime.py" $ADDR $NEXT_ADDR
cp check.out calls.out

# expect TEXT CALL...: what `explain` says of the caller.
expect() {
    local text=$1 name
    shift
    for name in "$@"; do
        check "$name: $text" eval "'$(edge_program)' explain $name -c edge.conf >explain.txt && grep -qF '$text' explain.txt || { cat explain.txt; false; }"
    done
}
expect "Its body says who it is, and is signed (S/MIME)." detached smime-command inside inside-streamed sha512 keyid rsa pss mail
expect "own signature vouches for them." detached inside-streamed pss mail
expect "A signature of its body (S/MIME) does not hold (cms-signature)." changed
expect "A signature of its body (S/MIME) cannot be verified (cms-digest)." sha1
expect "A signature of its body (S/MIME) cannot be verified (identity-cert-untrusted)." stranger
expect "A signature of its body (S/MIME) cannot be verified (identity-cert-revoked)." revoked
expect "A signature of its body (S/MIME) cannot be verified (cms-no-certificate)." without
expect "A signature of its body (S/MIME) cannot be verified (cms-limit)." two-signers
expect "What is signed in its body (S/MIME) contradicts the message (smime-authority)." other
expect "Its body is encrypted for its recipient (S/MIME) (smime-encrypted)." encrypted
check "only what is contradicted was refused by the edge" eval '[ "$(grep " 403$" calls.out)" = "other 403" ] && [ "$(grep -c . calls.out)" = 17 ]'
check "bob's phone rang for signed descriptions" eval '[ "$(grep -c "\"event\":\"incoming\"" bob.events)" -ge 10 ]'
kill "$OUR_PID_bob"
check "the edge stops in order" edge_stop
