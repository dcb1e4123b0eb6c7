#!/bin/bash
# Our own phone and baresip call each other through the edge over TLS, by DTLS-SRTP and by SDES: keys by two implementations that are
# not each other's, sound in both directions by frequency, hang-up by either side. baresip has no rtcp-mux here, so that DTLS-SRTP
# has two associations. (RFC 4568, 5763, 5764)
. "$(dirname "$0")/lib.sh"
. "$E2E_HERE/phones.sh"
. "$E2E_HERE/ourphone.sh"

make_certs
edge_conf
our_user alice
user_add bob
user_add carol
need "the edge starts" edge_start
need "baresip starts for bob, with DTLS-SRTP" phone_start bob tls 7210 7220 880 ';mediaenc=dtls_srtp'
need "baresip starts for carol, with SDES" phone_start carol tls 7310 7320 880 ';mediaenc=srtp-mand'
need "bob registers" await 10 phone_registered bob
need "carol registers" await 10 phone_registered carol

# both_ways NAME METHOD OPTION...: alice with these options calls NAME's baresip, and is called.
both_ways() {
    local name=$1 method=$2
    shift 2
    check "alice's phone calls $name's baresip" our_status 0 alice --call "$name" --play tone:440 --expect-tone 880 --duration 2 "$@"
    check "the media is $method" our_event alice security '"leg":"media"' "\"method\":\"$method\"" '"proof":"media"' '"level":"protected"'
    check "$name's baresip saw it established" phone_established "$name"
    check "$name's baresip heard alice" phone_heard "$name" 440 880
    check "$name's side ends" await 5 phone_closed "$name"
    # A packet or two may come before its key has.
    check "what came was authentic" grep -Eq '"event":"quality".*"foreign":[0-9],' alice.events
    cp alice.events alice.first

    phone_log_mark "$name"
    rm -f "$name"/dump-*
    need "alice waits" our_start alice --answer --play tone:440 --expect-tone 880 "$@"
    check "$name dials alice" phone_do "$name" dial "sip:alice@$DOMAIN"
    check "it is established" await 10 phone_established "$name"
    check "keys are there" await 5 our_event alice security '"leg":"media"' '"proof":"media"'
    sleep 1.5
    check "$name hangs up" phone_do "$name" hangup
    check "alice's phone heard $name" our_end alice 0
    check "by $method" our_event alice security '"leg":"media"' "\"method\":\"$method\"" '"level":"protected"'
    check "$name heard alice's 440 Hz" phone_heard "$name" 440 880
}

both_ways bob DTLS-SRTP
# carol knows no DTLS-SRTP: it is refused with 488, and SDES offered next.
both_ways carol SDES
check "which alice was told when she called" grep -q '"event":"offered-less"' alice.first
check "the edge stops in order" edge_stop
