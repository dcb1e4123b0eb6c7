#!/bin/bash
# A browser and phones that know nothing of it: JsSIP in Chromium (WSS, ICE, DTLS-SRTP) calls and is called by baresip with SDES, and
# calls another one with plain RTP. Sound by frequency in both directions. No line of configuration asks for it: such calls go through
# us by themselves. (RFC 8827, 8834, 8839; 4568)
. "$(dirname "$0")/lib.sh"
. "$E2E_HERE/phones.sh"

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

need "a home for the browser" mkdir -p browser/.pki/nssdb
certutil -d sql:browser/.pki/nssdb -N --empty-password
need "it knows the CA" certutil -d sql:browser/.pki/nssdb -A -t "C,," -n ca -i certs/ca.crt
"$(tool tone)" make wendy.wav 440 60 48000
python3 -m http.server 8080 --bind $ADDR --directory "$E2E_HERE/jssip" >http.log 2>&1 &
need "the page is served" await 5 tcp_open 8080
plan="{%22server%22:%22wss://$DOMAIN:5063%22,%22user%22:%22wendy@$DOMAIN%22,%22password%22:%22$(password_of wendy)%22,%22calls%22:[%22sip:carol@$DOMAIN%22,%22sip:dave@$DOMAIN%22],%22holds%22:%22sip:carol@$DOMAIN%22,%22seconds%22:3}"
HOME=$WORK/browser chromium --headless --no-sandbox --disable-gpu --disable-dev-shm-usage --no-first-run \
    --disable-background-networking --disable-component-update --disable-sync --enable-logging=stderr \
    --disable-features=WebRtcHideLocalIpsWithMdns --allow-loopback-in-peer-connection \
    --autoplay-policy=no-user-gesture-required --use-fake-ui-for-media-stream --use-fake-device-for-media-stream \
    --use-file-for-fake-audio-capture="$WORK/wendy.wav" --unsafely-treat-insecure-origin-as-secure="http://$ADDR:8080" \
    --user-data-dir="$WORK/browser/profile" "http://$ADDR:8080/call.html#$plan" </dev/null >browser.log 2>&1 &
BROWSER=$!
MARK=1
says() { tail -c "+$MARK" browser.log | grep -aq "E2E $1"; }
# hears HZ: for two seconds, so that the other side has heard as much
hears() { [ "$(tail -c "+$MARK" browser.log | grep -ac "E2E hears $1")" -ge 4 ]; }
mark() { MARK=$(($(wc -c <browser.log) + 1)); }

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
check "carol heard wendy's 440 Hz" phone_heard carol 440 880
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
kill -TERM $BROWSER
wait $BROWSER 2>/dev/null
check "the edge stops in order" edge_stop
