#!/bin/bash
# `sallyport cert` as an operator meets it: a request that openssl's CA signs, a certificate in words, and what the edge would make of a
# peer's, from a file and over TLS, with the reason when it would not take it.
. "$(dirname "$0")/lib.sh"

RESPONDER=8888
cert() { "$(edge_program)" cert "$@" >cert.out 2>&1; }
says() { grep -Eq -- "$1" cert.out; }
# sign CA NAME DAYS [EXTENSION...]: the request certs/NAME.csr with the extensions it asks for
sign() {
    local ca=$1 name=$2 days=$3
    shift 3
    printf '%s\n' "basicConstraints=CA:FALSE" "$@" >"certs/$name.ext"
    openssl x509 -req -in "certs/$name.csr" -CA "certs/$ca.crt" -CAkey "certs/$ca.key" -CAcreateserial -days "$days" -copy_extensions copyall \
        -extfile "certs/$name.ext" -out "certs/$name.crt" 2>>openssl.log
}
request() { cert request --key "certs/$1.key" --out "certs/$1.csr" "${@:2}"; }
serve() { # NAME PORT [s_server option...]
    openssl s_server -accept "$PEER_ADDR:$2" -cert "certs/$1.crt" -key "certs/$1.key" -quiet "${@:3}" < <(exec sleep 100) >>s_server.log 2>&1 &
    await 5 tcp_open "$2"
}
peer() { echo "peer \"$1\" { domains = { \"$1.test\" }  next-hop = \"sip:$PEER_ADDR:$2;transport=tls\"  ca = \"$WORK/certs/ca.crt\"  ${3:-} }"; }

make_certs
make_ca stranger
make_ca ours
edge_conf 'allow-fetch-from = { "10.77.0.0/24" }' "$(peer good 7001)" "$(peer other 7001)" "$(peer strange 7002)" "$(peer hard 7001 'revocation = hard')" \
    "$(peer asked 7003 'revocation = hard')" "$(peer revoked 7004)" "$(peer nobody 7999)" \
    "listen \"tls:$ADDR:5064\" { client-ca = \"$WORK/certs/ours.crt\" }" \
    "peer \"inward\" { domains = { \"good.test\" }  next-hop = \"sips:$PEER_ADDR\" }"

check "a request with a new key" request good good.test www.good.test
check "says what to do" says 'give it to the CA'
check "its key is the owner's alone" [ "$(stat -c %a certs/good.key)" = 600 ]
check "it asks for the SIP domain (RFC 5922 6)" eval "openssl req -in certs/good.csr -noout -text -verify 2>&1 | grep -q 'URI:sip:good.test, DNS:good.test'"
check "and for the usage sipDomain (RFC 5924)" eval "openssl req -in certs/good.csr -noout -text | grep -q '1.3.6.1.5.5.7.3.20'"
check "once more with the same key" request good good.test www.good.test
check "which is left as it is" says 'the key that was there'
refuse "no wildcards" request wild '*.good.test'
refuse "no numbers that are none" request num --tn 12ab
check "a request for numbers and a provider" request stir --tn 15551230000-15551230999 --tn 15557654321 --spc 1234
check "the CA signs them" sign ca good 90
check "the other one, too" sign ca stir 90
check "that one in words" cert inspect certs/stir.crt
check "the numbers" says 'numbers +15551230000 to 15551230999, 15557654321'
check "the provider" says 'provider +1234 '
check "what for" says 'good for .*signing SIP identities of its numbers'
check "the first one in words" cert inspect certs/good.crt
check "whose it is" says 'speaks for +good\.test, www\.good\.test'
check "what for" says 'good for +TLS towards those who connect to us, TLS where we connect'

request wrong wrong.test
sign ca wrong -1
sed 's/DNS:wrong.test/DNS:*.wrong.test/' <<<"subjectAltName=DNS:*.wrong.test" >certs/wild.ext
openssl req -new -key certs/wrong.key -subj "/CN=x" -out certs/wild.csr 2>>openssl.log
sign stranger wild 90 'subjectAltName=DNS:*.wrong.test' 'keyUsage=keyEncipherment'
refuse "an expired one is a problem" cert inspect certs/wrong.crt
check "and says so" says 'problem +it has expired'
refuse "so are wildcards and keys that must not sign" cert inspect certs/wild.crt
check "wildcards" says 'problem +wildcard \*\.wrong\.test is no SIP domain'
check "no domain is left" says 'problem +it names no SIP domain'
check "the key" says 'problem +its key must not sign'

check "a file as the peer's" cert verify --peer good -c edge.conf certs/good.crt
check "is accepted" says 'verdict +accepted'
check "and nobody knows whether it is revoked" says 'revocation +not known'
refuse "an expired file is not" cert verify --peer good -c edge.conf certs/wrong.crt
check "because it has expired" says 'because +.*expired.*\(RFC 5280'
refuse "another's CA is not" cert verify --peer good --as-client -c edge.conf certs/wild.crt
check "because nobody knows it" says 'because +.*issuer'

# Of one that connects to us: a stanza without anchors rests on the listener's, as the edge has it.
request inward good.test
sign ours inward 90
check "one of the listener's CA, of a peer without anchors of its own" cert verify --peer inward --as-client -c edge.conf certs/inward.crt
refuse "as a server's it is not" cert verify --peer inward -c edge.conf certs/inward.crt
refuse "nor one of a CA that is another peer's" cert verify --peer inward --as-client -c edge.conf certs/good.crt
check "because nobody knows it" says 'because +.*issuer'
check "of the peer that has those anchors it is, at the listener that takes all peers'" \
    cert verify --peer good --as-client -c edge.conf certs/good.crt

need "a server" serve good 7001
check "the peer at its next hop" cert verify --peer good -c edge.conf
check "is accepted" says 'verdict +accepted'
check "by TLS 1.3" says 'by +TLSv1.3'
refuse "the same for another domain is not" cert verify --peer other -c edge.conf
check "because of the name" says 'because +expected other\.test, presented .*good\.test.*another name'
refuse "nor where more must be known" cert verify --peer hard -c edge.conf
request strange strange.test
sign stranger strange 90
need "a server of a stranger" serve strange 7002
refuse "is refused" cert verify --peer strange -c edge.conf
check "because of its issuer" says 'because +expected strange\.test.*issuer'

# With a responder, and answers that are stapled.
request asked asked.test
sign ca asked 90 "authorityInfoAccess=OCSP;URI:http://$PEER_ADDR:$RESPONDER/"
request revoked revoked.test
sign ca revoked 90
entry() { # NAME STATE REVOKED
    printf '%s\t%s\t%s\t%s\tunknown\t/CN=%s\n' "$2" 301231235959Z "$3" "$(openssl x509 -noout -serial -in "certs/$1.crt" | cut -d= -f2)" "$1.test"
}
{ entry asked V ''; entry revoked R 260101000000Z,keyCompromise; } >index.txt
openssl ocsp -index index.txt -port $RESPONDER -rsigner certs/ca.crt -rkey certs/ca.key -CA certs/ca.crt -ndays 1 >ocsp.log 2>&1 &
need "a responder" await 5 tcp_open $RESPONDER
need "a server whose certificate names it" serve asked 7003
check "is accepted where more must be known" cert verify --peer asked -c edge.conf
check "since its responder was asked" says 'revocation +known not to be revoked'
openssl ocsp -issuer certs/ca.crt -cert certs/revoked.crt -url "http://$PEER_ADDR:$RESPONDER/" -respout revoked.der -noverify >>openssl.log 2>&1
need "a server that staples that it is revoked" serve revoked 7004 -status_file revoked.der
refuse "is refused" cert verify --peer revoked -c edge.conf
check "because of what it stapled" says 'because +expected revoked\.test.*revoked on 2026-01-01.*key compromise.*\(RFC 6960'

refuse "nobody there" cert verify --peer nobody -c edge.conf
check "is said" says 'verdict +refused'
refuse "no such peer" cert verify --peer none -c edge.conf
refuse "no such part" cert frobnicate
