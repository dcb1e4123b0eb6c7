# browser.sh: Chromium with JsSIP (jssip/call.html) as a phone that scripts follow. Sourced after lib.sh.
# Its console goes to browser.log; a line "E2E ..." in it is an event (jssip/call.js says which).
# shellcheck shell=bash

MARK=1

# browser_start USER HZ PLAN...: a browser that knows the CA, registers USER over WSS and speaks HZ. PLAN: members of the page's
# object, as "name:value" with %22 for quotation marks.
browser_start() {
    local user=$1 hz=$2 plan member
    shift 2
    mkdir -p browser/.pki/nssdb
    certutil -d sql:browser/.pki/nssdb -N --empty-password &&
        certutil -d sql:browser/.pki/nssdb -A -t "C,," -n ca -i certs/ca.crt || return 1
    "$(tool tone)" make browser.wav "$hz" 60 48000 || return 1
    python3 -m http.server 8080 --bind $ADDR --directory "$E2E_HERE/jssip" >http.log 2>&1 &
    await 5 tcp_open 8080 || return 1
    plan="%22server%22:%22wss://$DOMAIN:5063%22,%22user%22:%22$user@$DOMAIN%22,%22password%22:%22$(password_of "$user")%22"
    for member in "$@"; do
        plan+=,$member
    done
    HOME=$WORK/browser chromium --headless --no-sandbox --disable-gpu --disable-dev-shm-usage --no-first-run \
        --disable-background-networking --disable-component-update --disable-sync --enable-logging=stderr \
        --disable-features=WebRtcHideLocalIpsWithMdns --allow-loopback-in-peer-connection \
        --autoplay-policy=no-user-gesture-required --use-fake-ui-for-media-stream --use-fake-device-for-media-stream \
        --use-file-for-fake-audio-capture="$WORK/browser.wav" --unsafely-treat-insecure-origin-as-secure="http://$ADDR:8080" \
        --user-data-dir="$WORK/browser/profile" "http://$ADDR:8080/${BROWSER_PAGE:-call.html}#{$plan}" </dev/null >browser.log 2>&1 &
    BROWSER=$!
}
browser_stop() {
    kill -TERM $BROWSER
    wait $BROWSER 2>/dev/null
}

# says WHAT: since the last mark
says() { tail -c "+$MARK" browser.log | grep -aq "E2E $1"; }
# hears HZ: for two seconds, so that the other side has heard as much
hears() { [ "$(tail -c "+$MARK" browser.log | grep -ac "E2E hears $1")" -ge 4 ]; }
mark() { MARK=$(($(wc -c <browser.log) + 1)); }
