#!/bin/bash
# Our DTLS-SRTP against somebody else's: openssl as client and as server, each profile, small datagrams, RSA and P-384 certificates, a
# session that is resumed; the keys of both sides are compared. What must fail: another certificate
# than announced, none, no use_srtp, no profile in common. (RFC 5763 5, 5764 4.2, 6347 4.2, TR/100 8.2.2.1)
. "$(dirname "$0")/lib.sh"

print_of() { openssl x509 -in "certs/$1.crt" -noout -fingerprint -sha256 | cut -d= -f2; }
self_signed() { # NAME KEY-OPTIONS...
    local name=$1
    shift
    openssl req -x509 -newkey "$@" -nodes -keyout "certs/$name.key" -days 30 -subj /CN=peer -out "certs/$name.crt" 2>>openssl.log
}
keys_of_openssl() { sed -n 's/.*Keying material: //p' "$1"; }
keys_of_ours() { sed -n "s/^path $2 [^ ]* //p" "$1"; }
same_keys() { [ -n "$(keys_of_ours "$1" "$2")" ] && [ "$(keys_of_ours "$1" "$2")" = "$(keys_of_openssl "$3")" ]; }
# Bytes of keys and salts that a profile wants.
material() { case $1 in *256*) echo 88 ;; *AEAD*) echo 56 ;; *) echo 60 ;; esac; }
PORT=7700
new_port() { PORT=$((PORT + 10)); }

# ours NAME ROLE CERT OPTION...: our end in the background
ours() {
    local name=$1 role=$2 cert=$3
    shift 3
    "$(tool dtls_end)" "$role" $ADDR $PORT "$(print_of "$cert")" "${OURS_SECONDS:-10}" "$@" >"$name.txt" 2>>dtls_end.log &
    OURS=$!
    await 5 grep -q ready "$name.txt"
}
# theirs NAME CERT PROFILE PORT OPTION...: openssl as client, to its end
theirs() {
    local name=$1 cert=$2 profile=$3 port=$4
    shift 4
    openssl s_client -dtls1_2 -connect $ADDR:"$port" -cert "certs/$cert.crt" -key "certs/$cert.key" -use_srtp "$profile" \
        -keymatexport EXTRACTOR-dtls_srtp -keymatexportlen "$(material "$profile")" "$@" </dev/null >"$name.txt" 2>>openssl.log
}
# serve NAME CERT PROFILE PORT OPTION...: openssl as server, in the background
serve() {
    local name=$1 cert=$2 profile=$3 port=$4
    shift 4
    # The exporter's output stands in no line of its own before the end.
    sleep 60 | openssl s_server -dtls1_2 -accept $ADDR:"$port" -cert "certs/$cert.crt" -key "certs/$cert.key" -use_srtp "$profile" \
        -Verify 1 -keymatexport EXTRACTOR-dtls_srtp -keymatexportlen "$(material "$profile")" "$@" >"$name.txt" 2>>openssl.log &
    await 5 udp_open "$port"
}

mkdir -p certs
self_signed ec ec -pkeyopt ec_paramgen_curve:P-256
self_signed p384 ec -pkeyopt ec_paramgen_curve:P-384
self_signed rsa rsa:2048

n=0
for way in "SRTP_AEAD_AES_256_GCM ec" "SRTP_AEAD_AES_128_GCM p384" "SRTP_AES128_CM_SHA1_80 rsa" "SRTP_AES128_CM_SHA1_80 rsa -mtu 300" \
    "SRTP_AEAD_AES_256_GCM ec -cipher ECDHE-ECDSA-CHACHA20-POLY1305"; do
    # shellcheck disable=SC2086
    set -- $way
    profile=$1 cert=$2
    shift 2
    n=$((n + 1))
    new_port
    need "our server listens" ours server$n server "$cert"
    check "openssl comes with $way" theirs client$n "$cert" "$profile" $PORT "$@"
    check "it is let in" wait $OURS
    check "both have the same keys" same_keys server$n.txt 0 client$n.txt
    case "$*" in *cipher*) continue ;; esac
    new_port
    need "openssl listens with $way" serve served$n "$cert" "$profile" $PORT "$@"
    check "our client comes" ours our$n client "$cert"
    check "and is done" wait $OURS
    check "both have the same keys" await 3 same_keys our$n.txt 0 served$n.txt
done

new_port
need "our server has two associations" ours twice server ec rtcp
check "openssl makes the first" theirs first ec SRTP_AEAD_AES_256_GCM $PORT -sess_out session.pem
check "it is a full handshake" grep -q '^New, TLSv1.2' first.txt
check "and resumes it in the second" theirs second ec SRTP_AEAD_AES_256_GCM $((PORT + 1)) -sess_in session.pem
check "which was short" grep -q '^Reused, TLSv1.2' second.txt
check "both are there" wait $OURS
check "and known to be resumed" grep -q 'facts proof=handshake resumed=1 attacks=0' twice.txt
check "the first has its keys" same_keys twice.txt 0 first.txt
check "the second has others" same_keys twice.txt 1 second.txt
check "indeed" [ "$(keys_of_ours twice.txt 0)" != "$(keys_of_ours twice.txt 1)" ]

OURS_SECONDS=2
new_port
need "our server expects somebody else" ours other server rsa
check "openssl thinks it is through" theirs stranger ec SRTP_AEAD_AES_256_GCM $PORT
refuse "it is not" wait $OURS
check "for its certificate is not the announced one" grep -q 'failed: the certificate is not the one announced' other.txt
check "and no keys were made" [ -z "$(keys_of_ours other.txt 0)" ]

new_port
need "openssl listens with another certificate" serve impostor ec SRTP_AEAD_AES_256_GCM $PORT
need "our client expects somebody else" ours expects client rsa
refuse "it is not content" wait $OURS
check "for that" grep -q 'failed: the certificate is not the one announced' expects.txt
check "and no keys were made" [ -z "$(keys_of_ours expects.txt 0)" ]

new_port
need "our server waits" ours nocert server ec
openssl s_client -dtls1_2 -connect $ADDR:$PORT -use_srtp SRTP_AEAD_AES_256_GCM </dev/null >nocert-client.txt 2>>openssl.log
openssl s_client -dtls1_2 -connect $ADDR:$PORT -cert certs/ec.crt -key certs/ec.key </dev/null >nosrtp.txt 2>>openssl.log
theirs otherprofile ec SRTP_AES128_CM_SHA1_32 $PORT
refuse "without certificate, without use_srtp, or with no profile in common nobody is let in" wait $OURS
check "no keys were made" [ -z "$(keys_of_ours nocert.txt 0)" ]
check "and it is no attack" grep -q 'failed: ' nocert.txt
