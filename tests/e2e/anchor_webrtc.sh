#!/bin/bash
# A browser and phones that know nothing of it: JsSIP in Chromium (WSS, ICE, DTLS-SRTP) calls and is called by baresip with SDES, and
# calls another one with plain RTP. Sound by frequency in both directions. No line of configuration asks for it: such calls go through
# us by themselves. (RFC 8827, 8834, 8839; 4568)
. "$(dirname "$0")/lib.sh"
. "$E2E_HERE/phones.sh"
. "$E2E_HERE/browser.sh"

make_certs
DOMAIN_LINES="allow-clear-media = yes" edge_conf "media { address = {\"$ADDR\"} ports = \"30000-30199\" }"
user_add wendy
user_add carol
user_add dave
need "the edge starts" edge_start
need "baresip starts for carol, with SDES" phone_start carol tls 7310 7320 880 ';mediaenc=srtp-mand'
need "carol registers" await 10 phone_registered carol
need "baresip starts for dave, in clear" phone_start dave udp 7410 7420 660
need "dave registers" await 10 phone_registered dave

need "the browser starts" browser_start wendy 440 "%22calls%22:[%22sip:carol@$DOMAIN%22,%22sip:dave@$DOMAIN%22]" \
    "%22holds%22:%22sip:carol@$DOMAIN%22" "%22seconds%22:3"

check "wendy registers over WSS" await 25 says registered
check "she calls carol" await 5 says "calls sip:carol"
check "carol answers" await 15 says 'call confirmed'
check "ICE and DTLS-SRTP are done" await 10 says 'media connected'
check "wendy hears carol's 880 Hz" await 10 says 'hears 880'
check "she holds the call" await 10 says held
check "and goes on" await 5 says 'goes on'
mark
check "wendy hears carol again" await 10 says 'hears 880'
check "she hangs up" await 10 says 'call ended'
check "carol heard wendy's 440 Hz" await 5 phone_heard carol 440 880 # her recording is closed after the BYE
check "she calls dave" await 5 says "calls sip:dave"
mark
check "wendy hears dave's 660 Hz" await 15 says 'hears 660'
check "she hangs up" await 10 says waits
check "dave heard wendy's 440 Hz" phone_heard dave 440 660

mark
phone_log_mark carol
rm -f carol/dump-*
check "carol calls wendy" phone_do carol dial "sip:wendy@$DOMAIN"
check "the browser answers" await 10 says 'call confirmed'
check "wendy hears carol" await 10 hears 880
check "carol hangs up" phone_do carol hangup
check "the call ends" await 5 says 'call ended'
check "carol heard wendy" phone_heard carol 440 880
browser_stop
check "the edge stops in order" edge_stop
