#!/bin/bash
# Two domains that trust each other for a reason: example.com signs the calls of its users by a keeper, partner.test fetches the
# certificate from where its URL says and verifies, before a phone rings; and the other way round. What is not signed, or signed by a
# certificate that nobody vouches for, is refused where policy asks for it, with the status of RFC 8224 6.2.2. (TR/100 7.4.2,
# recommendation 4; RFC 8224, 8225, 8226)
. "$(dirname "$0")/lib.sh"
. "$E2E_HERE/ourphone.sh"

PARTNER=partner.test
echo "$NEXT_ADDR $PARTNER" >>"$WORK/hosts"

make_certs
make_cert ca $PARTNER "DNS:$PARTNER,URI:sip:$PARTNER,IP:$NEXT_ADDR"
make_ca stir
make_ca rogue
make_cert stir id.$DOMAIN "DNS:$DOMAIN,URI:sip:$DOMAIN"
make_cert stir id.$PARTNER "DNS:$PARTNER,URI:sip:$PARTNER"
make_cert rogue id.rogue "DNS:$DOMAIN,URI:sip:$DOMAIN"

# identity DOMAIN CERTIFICATE ADDRESS: how a domain signs, and whom it believes.
identity_lines() {
    echo "identity \"$1\" { certificate = \"$WORK/certs/$2.crt\"  key = \"$WORK/certs/$2.key\"  url = \"https://$1:5063/stir/id.pem\" }"
    echo "identity-ca = \"$WORK/certs/stir.crt\""
    echo "fetch-ca = \"$WORK/certs/ca.crt\""
    echo "allow-fetch-from = { \"$ADDR\", \"$NEXT_ADDR\" }"
    echo "listen \"tls:$3:5064\" { client-certificate = require  client-ca = \"$WORK/certs/ca.crt\" }"
}
# peer NAME DOMAIN ADDRESS POLICY
peer_lines() {
    echo "peer \"$1\" { kind = peering  domains = { \"$2\"${5:+, \"$5\"} }  certificate-names = { \"$2\" }  next-hop = \"sips:$3:5064\""
    echo "    ca = \"$WORK/certs/ca.crt\"  verify-identity = $4 }"
}
partner_conf() {
    {
        echo "state-dir = \"$WORK/partner\""
        echo "control = \"$WORK/partner.ctl\""
        echo "log-level = info"
        echo "domain \"$PARTNER\" { status-header = yes  aliases = { \"also.test\" }  certificate = \"$WORK/certs/$PARTNER.crt\"  key = \"$WORK/certs/$PARTNER.key\" }"
        echo "listen \"tls:$NEXT_ADDR:5061\" { }"
        echo "listen \"wss:$NEXT_ADDR:5063\" { }"
        identity_lines $PARTNER id.$PARTNER $NEXT_ADDR
        peer_lines example $DOMAIN $ADDR require
    } >partner.conf
}
partner_start() {
    mkdir -p partner
    "$(edge_program)" run -c partner.conf >>edge-partner.log 2>&1 &
    PARTNER_PID=$!
    await 10 partner_ready
}
partner_ready() { [ -n "$(ss -H -ltn "src $NEXT_ADDR and sport = :5063")" ] && [ -n "$(ss -H -ltn "src $NEXT_ADDR and sport = :5064")" ]; }
# What the partner's counters say: identity VERDICT NUMBER
identity_counter() { "$(edge_program)" status counters -c partner.conf | grep -Eq "identity_$1\"?[: ]+$2\b"; }

DOMAIN_LINES="status-header = yes" edge_conf "$(identity_lines $DOMAIN id.$DOMAIN $ADDR)" "$(peer_lines partner $PARTNER $NEXT_ADDR prefer also.test)"
partner_conf
our_user alice
DOMAIN=$PARTNER
password_of bob >bob.password
password_of bob | "$(edge_program)" user add "bob@$PARTNER" -c partner.conf >>user.log 2>&1
DOMAIN=example.com
need "example.com's edge starts" edge_start
need "partner.test's edge starts" partner_start

bob() { DOMAIN=$PARTNER SERVER=tls:$NEXT_ADDR:5061 "$@"; }
need "bob waits at partner.test" bob our_start bob --answer --play tone:880 --expect-tone 440 --duration 2
check "alice at example.com calls him, and both hear each other" our_status 0 alice --call "sip:bob@$PARTNER" --play tone:440 --expect-tone 880
check "bob is content" our_end bob 0
check "her call was signed" sh -c "'$(edge_program)' status counters -c edge.conf | grep -Eq 'identity_signed\"?[: ]+[1-9]'"
check "and verified" identity_counter valid '[1-9][0-9]*'
check "what the keeper signed is in its log" grep -q '"sip:alice@example.com"' edge.log

# What each is told of it: bob knows who calls and whose keys these are, and alice who has answered. (TR/100 10, 7.5.4; RFC 9970)
check "bob is told before he answers that it will be secure" our_event bob status '"level":"protected","expected":"secure"'
check "alice is told that it is secure, and why not more" our_event alice status '"level":"secure"' media-bound-by-domain
check "since bob's answer was signed" sh -c "'$(edge_program)' status counters -c partner.conf | grep -Eq 'identity_signed\"?[: ]+[1-9]'"
check "and verified, by alice's edge" sh -c "'$(edge_program)' status counters -c edge.conf | grep -Eq 'identity_valid\"?[: ]+[1-9]'"
call_id() { CALL_ID=$(sed -n 's/.* call-security call=\([^ ]*\) .*/\1/p' edge-partner.log | tr -d '"' | head -n 1) && [ -n "$CALL_ID" ]; }
need "the end of the call is in partner.test's log" await 10 call_id
explained() { "$(edge_program)" explain "$CALL_ID" -c partner.conf >explain.txt; }
check "it can still be explained" explained
check "as secure for bob, by the signature of alice's domain" grep -q "Secure: sip:alice@example.com, signed by example.com" explain.txt
check "a call that there never was cannot" eval "! '$(edge_program)' explain no-such-call -c partner.conf"

# The other way: bob calls alice.
need "alice waits" our_start alice --answer --play tone:440 --duration 2
check "bob calls alice" bob our_status 0 bob --call "sip:alice@example.com" --expect-tone 440
check "alice is content" our_end alice 0
check "his call was verified, too" sh -c "'$(edge_program)' status counters -c edge.conf | grep -Eq 'identity_valid\"?[: ]+[1-9]'"

# Called by another name of his, bob says who he is: From of an UPDATE, signed by his domain, judged by alice's. (RFC 4916; TR/100 7.5.4)
need "bob waits" bob our_start bob --answer --play tone:880 --duration 2
check "alice calls bob by his domain's other name" our_status 0 alice --call "sip:bob@also.test" --play tone:440 --expect-tone 880 --duration 2
check "and is told who has answered" our_event alice connected "sip:bob@$PARTNER"
check "bob is content" our_end bob 0
also_id() { sed -n 's/.* call-security call=\([^ ]*\) .*also.test.*/\1/p' edge-partner.log | tr -d '"' | grep .; }
need "the end of it is in partner.test's log" await 10 also_id
check "her edge knows it by the signature of bob's domain, and that another was called" eval "'$(edge_program)' explain \"\$(also_id)\" -c edge.conf | grep -q 'sip:bob@$PARTNER.*reached instead of sip:bob@also.test'"

# Revoked: the certificate is in a CRL of the CA that vouched for it.
ca_database stir
reloads() { grep -c 'reloaded' edge-partner.log; }
reloaded() { [ "$(reloads)" -gt "$1" ]; }
need "a CRL that lists nothing" ca_do -gencrl -out crl.pem
echo "identity-crl = \"$WORK/crl.pem\"" >>partner.conf
n=$(reloads)
kill -HUP $PARTNER_PID
need "partner.test looks at it" await 10 reloaded "$n"
need "bob waits" bob our_start bob --answer --play tone:880 --duration 1
check "a call signed by what is not revoked is let in" our_status 0 alice --call "sip:bob@$PARTNER"
check "bob's phone ends" bob our_end bob 0
ca_do -revoke certs/id.$DOMAIN.crt
n=$(reloads)
need "one that lists example.com's" ca_do -gencrl -out crl.new
mv crl.new crl.pem
need "is noticed by itself" await 10 reloaded "$n"
need "bob waits" bob our_start bob --answer --duration 1
check "a call signed by what is revoked is refused" our_status 4 alice --call "sip:bob@$PARTNER"
check "with 437" our_event alice ended '437'
kill "$OUR_PID_bob"
need "an end of that" await 5 our_gone "$OUR_PID_bob"
sed -i '/^identity-crl/d' partner.conf
n=$(reloads)
kill -HUP $PARTNER_PID
need "it looks no more" await 10 reloaded "$n"

# Unsigned: refused, since partner.test requires a signature of this peer.
sed -i 's/verify-identity = prefer/verify-identity = prefer  sign-identity = none/' edge.conf
kill -HUP $E2E_EDGE_PID
need "example.com signs no more" await 10 log_has edge.log 'reloaded'
need "bob waits again" bob our_start bob --answer --duration 2
check "an unsigned call is refused" our_status 4 alice --call "sip:bob@$PARTNER"
check "with 428" our_event alice ended '"status":4' '428'
kill "$OUR_PID_bob"
need "an end of that, too" await 5 our_gone "$OUR_PID_bob"

# Signed by somebody whom no anchor of partner.test vouches for.
sed -i -e 's/  sign-identity = none//' -e "s|certs/id.$DOMAIN|certs/id.rogue|g" edge.conf
kill -HUP $E2E_EDGE_PID
rogue() { curl -sS --cacert certs/ca.crt "https://$DOMAIN:5063/stir/id.pem" | cmp -s - <(openssl x509 -in certs/id.rogue.crt); }
need "example.com signs by another certificate" await 10 rogue
# partner.test keeps what it has fetched for a minute at least: a new one has seen nothing yet.
kill $PARTNER_PID
wait $PARTNER_PID 2>/dev/null
need "partner.test starts anew" partner_start
need "bob waits once more" bob our_start bob --answer --duration 2
check "a call signed by a certificate without anchor is refused" our_status 4 alice --call "sip:bob@$PARTNER"
check "with 437" our_event alice ended '437'
check "the edge stops in order" edge_stop
kill $PARTNER_PID
