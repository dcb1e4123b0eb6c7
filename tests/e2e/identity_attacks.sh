#!/bin/bash
# Attacks on signed identities, from a peer that signs what it likes and serves what its signatures name: each gets its answer, is not
# rung through, holds nobody up, and is shown as an attack only where what was signed is contradicted (TR/100 6.2, 7.4.2, gap 1;
# RFC 8224 6.2.2, 12; RFC 8725; RFC 9410). Addresses that are nobody's business are not connected to.
. "$(dirname "$0")/lib.sh"
. "$E2E_HERE/ourphone.sh"

PARTNER=partner.test
printf '%s\n' "$NEXT_ADDR $PARTNER" "$PEER_ADDR forbidden.test" >>"$WORK/hosts"
make_certs
make_cert ca $PARTNER "DNS:$PARTNER,URI:sip:$PARTNER,IP:$NEXT_ADDR"
make_ca stir
make_ca rogue
make_cert stir good "DNS:$PARTNER,URI:sip:$PARTNER"
make_cert stir similar "DNS:$PARTNER.example,DNS:x$PARTNER,DNS:*.test"
make_cert rogue wrong "DNS:$PARTNER"
# A CA of the same name as the one that is believed.
cp certs/rogue.key certs/lookalike-ca.key
openssl req -x509 -new -key certs/lookalike-ca.key -sha256 -days 30 -subj "/O=Sallyport tests/CN=stir" -out certs/lookalike-ca.crt \
    -addext 'basicConstraints=critical,CA:TRUE' -addext 'keyUsage=critical,keyCertSign,cRLSign' 2>>openssl.log
make_cert lookalike-ca lookalike "DNS:$PARTNER"
ca_database stir
make_cert stir expired "DNS:$PARTNER"
need "a certificate that has expired" ca_do -in certs/expired.csr -extfile certs/expired.ext -out certs/expired.crt -notext \
    -startdate 20200101000000Z -enddate 20210101000000Z
make_cert stir revoked "DNS:$PARTNER"
need "one that is revoked" ca_do -revoke certs/revoked.crt
need "the CRL that says so" ca_do -gencrl -out crl.pem

DOMAIN_LINES="status-header = yes" edge_conf "log-level = info" "identity-ca = \"$WORK/certs/stir.crt\"" "identity-crl = \"$WORK/crl.pem\"" \
    "fetch-ca = \"$WORK/certs/ca.crt\"" "allow-fetch-from = { \"$NEXT_ADDR\" }" \
    "listen \"tls:$ADDR:5064\" { client-certificate = require  client-ca = \"$WORK/certs/ca.crt\" }" \
    "peer \"partner\" { kind = peering  domains = { \"$PARTNER\" }  certificate-names = { \"$PARTNER\" }  next-hop = \"sips:$NEXT_ADDR:5061\"" \
    "    ca = \"$WORK/certs/ca.crt\"  verify-identity = require }"
our_user bob
need "the edge starts" edge_start
need "bob waits, and lets it ring" our_start bob --answer --answer-after 60 --calls 9
need "every attack is answered" python3 "$E2E_HERE/tools/attacker.py" $ADDR $NEXT_ADDR $PEER_ADDR
cp check.out attacks.out

# expect STATUS REASON open|attacked ATTACK...: the answer, its reason, and whether the edge calls it an attack.
expect() {
    local status=$1 reason=$2 level=$3 name
    shift 3
    for name in "$@"; do
        check "$name: $status, $reason, $level" eval "grep -Eq '^$name $status $reason [0-9]+\$' attacks.out &&
            await 5 grep -Eq ' call-security call=$name .* level=$level ' edge.log || { grep '^$name ' attacks.out; grep 'call=$name ' edge.log; false; }"
    done
}
check "what is valid passes, and so it does while another one's server is slow" eval \
    'grep -Eq "^valid 487 - " attacks.out && grep -Eq "^meanwhile 487 - [0-9]{1,3}\$" attacks.out'
expect 428 identity-absent open absent
expect 403 identity-stale open stale future
expect 438 identity-replay attacked replay
expect 438 identity-mky-contradicted attacked keys
expect 438 identity-authority attacked authority lookalike-name
expect 438 identity-dest-mismatch open dest
expect 438 identity-orig-mismatch open from
expect 436 fetch-address open private-literal private-name private-loopback private-mapped redirect-private redirect-name
expect 436 fetch-url open redirect-http
expect 436 identity-info-scheme open http file
expect 436 fetch-redirects open redirect-loop
expect 436 fetch-size open endless redirect-endless
expect 436 fetch-timeout open slow
expect 437 identity-cert-long open chain
expect 437 identity-cert-expired open expired
expect 437 identity-cert-revoked open revoked
expect 437 identity-cert-untrusted open wrong lookalike-ca tls-certificate
expect 438 identity-signature open other-key
expect 438 passport-syntax open alg-none
expect 438 passport-alg-confusion open alg-hs256
expect 437 passport-alg-unsupported open alg-es384
expect 438 passport-crit open crit
expect 438 json-limit open json-deep json-many
expect 438 json-syntax open json-twice
expect 438 identity-header-limit open json-huge
check "nobody connected to where nobody may" grep -q '^forbidden 0 ' attacks.out
check "bob's phone rang for what is valid only" [ "$(grep -c '"event":"incoming"' bob.events)" = 2 ]
kill "$OUR_PID_bob"
check "the edge stops in order" edge_stop
# What it has seen went with it: a signature of before is not taken for a new one (RFC 8224 12.1).
need "the edge starts again" edge_start
need "what was overheard comes once more" python3 "$E2E_HERE/tools/attacker.py" $ADDR $NEXT_ADDR $PEER_ADDR once-more
cp check.out attacks.out
check "nobody can tell whether it was used" grep -Eq '^restart 403 identity-replay-unknown ' attacks.out
check "what is signed since then is judged as ever" grep -Eq '^restarted 480 ' attacks.out
check "the edge stops in order once more" edge_stop
