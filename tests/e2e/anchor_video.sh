#!/bin/bash
# Video through us: two users of JsSIP in Chromium, each with keys of its own with us (ICE, DTLS-SRTP, VP8 and Opus), decode what the other
# one sends. They offer BUNDLE, which we do not take: each medium has a transport of its own. (RFC 8834, 8843 7.3.3)
. "$(dirname "$0")/lib.sh"
. "$E2E_HERE/phones.sh"
. "$E2E_HERE/browser.sh"

status() { "$(edge_program)" status "$@" -c edge.conf --json; }
media_are_well() {
    local id
    id=$(status calls | jq -er '.rows[0].call_id') && status call "$id" >call.json &&
        jq -e '[.rows[0].legs[].media[] | select(.keys.method == "dtls-srtp" and .keys.proof == "media" and
                .packets.packets_in > 0 and .packets.policed == 0)] | length == 4' call.json >/dev/null
}

make_certs
DOMAIN_LINES="media = protect" edge_conf "media { address = {\"$ADDR\"} ports = \"30000-30199\" }"
user_add wendy
user_add vera
need "the edge starts" edge_start
BROWSER_PAGE=video.html need "the browser starts" browser_start wendy 440 \
    "%22callee%22:%22vera@$DOMAIN%22,%22callee_password%22:%22$(password_of vera)%22"
check "both register over WSS" await 25 says "wendy@$DOMAIN registered"
check "the call is confirmed" await 20 says 'caller confirmed'
check "the offer has BUNDLE" says 'caller offer with BUNDLE'
check "the caller decodes video, and hears" await 25 says 'caller sees and hears: .* over 2 transports'
check "the callee decodes video, and hears" await 20 says 'callee sees and hears: .* over 2 transports'
check "four media, each with proven keys, nothing dropped for its rate" media_are_well
browser_stop
check "the edge stops in order" edge_stop
