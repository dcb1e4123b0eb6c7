#!/bin/bash
# What our own phone refuses, and what it is refused: a wrong password, a CA it does not know, a certificate for another name, MD5,
# a realm that is not its own, a name that leads nowhere. (RFC 5922, 7616, 8760; TR/100 7.2.1)
. "$(dirname "$0")/lib.sh"
. "$E2E_HERE/ourphone.sh"

make_certs
make_ca stranger
edge_conf
our_user alice
user_add carol # MD5
password_of carol >carol.password
need "the edge starts" edge_start

echo wrong-Password-1 >wrong
check "a wrong password does not register" our_status 1 alice --password-file wrong --register-only
check "and the phone says so" our_event alice not-registered '"reason":"digest-refused"' '"final":true'
check "a CA that did not sign the edge's certificate is not enough" our_status 1 alice --ca certs/stranger.crt --register-only
check "and nothing was sent" our_event alice not-registered '"reason":"tls-cert-unknown-issuer"'
check "neither are the system's CAs" our_status 1 alice --ca /etc/ssl/certs/ca-certificates.crt --register-only
check "the certificate must name the server asked for" our_status 1 alice --server-name other.example --register-only
check "and the phone says what it expected" our_event alice not-registered '"reason":"tls-cert-name"' 'expected other.example'
check "MD5 is not answered" our_status 1 carol --register-only
check "and the phone says what would" our_event carol not-registered '"reason":"digest-algorithm"'
check "unless it is allowed" our_status 0 carol --allow-md5 --register-only
check "and then it is known" our_event carol security '"digest":"MD5"'
check "a password is for its own realm" our_status 1 alice --realm other.example --register-only
check "and for no other" our_event alice not-registered '"reason":"digest-realm"'
SERVER=tls:$ADDR:5999
check "where nobody listens" our_status 1 alice --register-only
check "the connection is refused" our_event alice not-registered '"reason":"conn-failed"'
check "arguments that make no sense are said to" our_status 2 alice --frobnicate
check "the edge stops in order" edge_stop
