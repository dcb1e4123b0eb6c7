#!/bin/bash
# End to end: two phones whose users have certificates of their own call each other through two domains. Each signs its keys itself
# (RFC 8862 "msec", RFC 9970 "rsp"), each edge sees it, and so do the phones, which need to believe no edge. Then one edge, as its
# policy asks, ends media with keys of its own: nobody is told more than that. (TR/100 8.3; RFC 8862 4, 4.1, 4.4)
. "$(dirname "$0")/lib.sh"
. "$E2E_HERE/ourphone.sh"

PARTNER=partner.test
echo "$NEXT_ADDR $PARTNER" >>"$WORK/hosts"

make_certs
make_cert ca $PARTNER "DNS:$PARTNER,URI:sip:$PARTNER,IP:$NEXT_ADDR"
make_ca stir
make_cert stir id.$DOMAIN "DNS:$DOMAIN,URI:sip:$DOMAIN"
make_cert stir id.$PARTNER "DNS:$PARTNER,URI:sip:$PARTNER"
make_cert stir alice "URI:sip:alice@$DOMAIN"
make_cert stir bob "URI:sip:bob@$PARTNER"
make_cert stir mallory "URI:sip:mallory@$DOMAIN"

# edge_lines DOMAIN ADDRESS USER PEER PEER-DOMAIN PEER-ADDRESS PEER-LINES
edge_lines() {
    echo "identity \"$1\" { certificate = \"$WORK/certs/id.$1.crt\"  key = \"$WORK/certs/id.$1.key\"  url = \"https://$1:5063/stir/id.pem\" }"
    echo "user-certificates = { \"$WORK/certs/$3.crt\" }"
    echo "identity-ca = \"$WORK/certs/stir.crt\""
    echo "fetch-ca = \"$WORK/certs/ca.crt\""
    echo "allow-fetch-from = { \"$ADDR\", \"$NEXT_ADDR\" }"
    echo "listen \"tls:$2:5064\" { client-certificate = require  client-ca = \"$WORK/certs/ca.crt\" }"
    echo "peer \"$4\" { kind = peering  domains = { \"$5\" }  certificate-names = { \"$5\" }  next-hop = \"sips:$6:5064\""
    echo "    ca = \"$WORK/certs/ca.crt\"  ${7:-} }"
}
partner_conf() {
    {
        echo "state-dir = \"$WORK/partner\""
        echo "control = \"$WORK/partner.ctl\""
        echo "log-level = info"
        echo "domain \"$PARTNER\" { status-header = yes  certificate = \"$WORK/certs/$PARTNER.crt\"  key = \"$WORK/certs/$PARTNER.key\" }"
        echo "listen \"tls:$NEXT_ADDR:5061\" { }"
        echo "listen \"wss:$NEXT_ADDR:5063\" { }"
        edge_lines $PARTNER $NEXT_ADDR bob example $DOMAIN $ADDR "$1"
    } >partner.conf
}
partner_ready() { [ -n "$(ss -H -ltn "src $NEXT_ADDR and sport = :5063")" ] && [ -n "$(ss -H -ltn "src $NEXT_ADDR and sport = :5064")" ]; }
partner_start() {
    mkdir -p partner
    "$(edge_program)" run -c partner.conf >>edge-partner.log 2>&1 &
    PARTNER_PID=$!
    await 10 partner_ready
}

DOMAIN_LINES="status-header = yes" edge_conf "$(edge_lines $DOMAIN $ADDR alice partner $PARTNER $NEXT_ADDR)" "media { address = {\"$ADDR\"} ports = \"31000-31099\" }" "log-level = info"
partner_conf "verify-identity = require"
our_user alice
DOMAIN=$PARTNER
password_of bob >bob.password
password_of bob | "$(edge_program)" user add "bob@$PARTNER" -c partner.conf >>user.log 2>&1
DOMAIN=example.com
need "example.com's edge starts" edge_start
need "partner.test's edge starts" partner_start

bob() { DOMAIN=$PARTNER SERVER=tls:$NEXT_ADDR:5061 "$@"; }
TRUST="--identity-ca certs/stir.crt --fetch-ca certs/ca.crt --allow-fetch-from $ADDR,$NEXT_ADDR"
ALICE="--user-cert certs/alice.crt --user-key certs/alice.key --user-cert-url https://$DOMAIN:5063/users/alice@$DOMAIN.pem"
BOB="--user-cert certs/bob.crt --user-key certs/bob.key --user-cert-url https://$PARTNER:5063/users/bob@$PARTNER.pem"

check "a certificate of another user is not taken" our_status 1 alice --user-cert certs/mallory.crt --user-key certs/mallory.key \
    --user-cert-url https://$DOMAIN:5063/x.pem --call "sip:bob@$PARTNER"
served() { curl -sS --cacert certs/ca.crt "https://$DOMAIN:5063/users/alice@$DOMAIN.pem" | cmp -s - <(openssl x509 -in certs/alice.crt); }
check "alice's certificate is to be had from her edge" served

# shellcheck disable=SC2086
need "bob waits, with a certificate of his own" bob our_start bob $BOB $TRUST --answer --play tone:880 --expect-tone 440 --duration 2
# shellcheck disable=SC2086
check "alice calls him, and both hear each other" our_status 0 alice $ALICE $TRUST --call "sip:bob@$PARTNER" --play tone:440 --expect-tone 880
check "bob is content" our_end bob 0
check "bob's phone has seen for itself that alice has signed" our_event bob verified '"verdict":"valid"' "sip:alice@$DOMAIN" '"user":true' '"keys":true'
check "and alice's that bob has" our_event alice verified '"verdict":"valid"' "sip:bob@$PARTNER" '"user":true' '"keys":true'
check "bob's edge told him that it will be end to end" our_event bob status '"expected":"end-to-end"'
check "alice's that it is" our_event alice status '"level":"end-to-end"'
levels() { grep 'call-security' "$1" | tail -n 1 | grep -q 'level=end-to-end'; }
check "example.com's edge says so of the whole call" await 5 levels edge.log
check "and partner.test's" await 5 levels edge-partner.log
call_id() { sed -n 's/.* call-security call=\([^ ]*\) .*/\1/p' edge-partner.log | tr -d '"' | tail -n 1; }
check "it can be explained" eval "'$(edge_program)' explain \"\$(call_id)\" -c partner.conf | grep -qi 'end to end'"

# One of them has no certificate: what she is told is less, and why.
need "bob waits without" bob our_start bob --answer --play tone:880 --duration 1
# shellcheck disable=SC2086
check "alice calls him" our_status 0 alice $ALICE $TRUST --call "sip:bob@$PARTNER" --expect-tone 880
check "bob's phone ends" bob our_end bob 0
check "she is told that his domain has signed, not he" our_event alice status '"level":"secure"' media-bound-by-domain
check "and sees it" our_event alice verified '"by":"domain"' '"user":false'

# In the middle: her own domain ends her media and makes keys of its own, because its policy wants them in clear inside. What she has
# signed does not leave it any more, and its own signature is all that there is.
sed -i 's/status-header = yes/status-header = yes  media = clear-inside  allow-clear-media = yes/' edge.conf
kill -HUP $E2E_EDGE_PID
reloaded() { [ "$(grep -c reloaded "$1")" -ge "$2" ]; }
need "example.com ends media at its edge" await 10 reloaded edge.log 1
# shellcheck disable=SC2086
need "bob waits" bob our_start bob $BOB $TRUST --answer --play tone:880 --duration 1
# shellcheck disable=SC2086
check "alice calls through it" our_status 0 alice $ALICE --call "sip:bob@$PARTNER" --expect-tone 880
check "bob's phone ends" bob our_end bob 0
check "bob sees the domain's signature, and no user's" our_event bob verified '"by":"domain"' '"user":false'
check "alice is told that her edge has the keys" our_event alice status media-reencrypted
check "the check of such a configuration says what forwarding would lose" eval "sed 's/clear-inside/clear-inside  allow-forwarding = yes/' edge.conf >fwd.conf && '$(edge_program)' check -c fwd.conf | grep -q 'warning: domain .*media = relay'"
check "and the edge says that her signature ended there" log_has edge.log user-signature-ends
check "the edge stops in order" edge_stop
kill $PARTNER_PID
