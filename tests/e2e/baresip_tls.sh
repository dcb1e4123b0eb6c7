#!/bin/bash
# Two baresip register over TLS and call each other with SDES keys, another two with DTLS-SRTP: the media passes by the
# edge and its keys come through unchanged. (baresip verifies no certificate: openssl_server_auth.sh and the browser do.)
. "$(dirname "$0")/lib.sh"
. "$E2E_HERE/phones.sh"

make_certs
edge_conf
for name in alice bob carol dave; do
    user_add $name
done
need "the edge starts" edge_start
phones_call tls alice bob ";mediaenc=srtp-mand"
check "alice offered SDES" grep -aq 'a=crypto:.*AES_CM_128_HMAC_SHA1_80' alice.log
check "alice's and bob's media was SRTP" grep -aq 'RTP/SAVP' bob.log
phones_call tls carol dave ";mediaenc=dtls_srtp"
check "carol offered a fingerprint" grep -aq 'a=fingerprint:' carol.log
check "carol verified dave's certificate in the DTLS handshake" grep -aq 'verified SHA-256 fingerprint OK' carol.log
check "the media keys come from that handshake" grep -aq 'DTLS-SRTP complete (audio/RTP)' carol.log
check "the edge stops in order" edge_stop
