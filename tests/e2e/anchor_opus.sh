#!/bin/bash
# WebRTC as it is spoken: ICE, DTLS-SRTP and Opus. JsSIP in Chromium calls baresip with SDES and a sipp that knows plain RTP only;
# Opus passes through the edge, which decrypts and encrypts it. ICE is begun anew in the middle of a call. Sound by frequency in both
# directions, what sipp gets taken from the wire. (RFC 8445 9, 8827, 8834, 7587, 4568; TR/100 8.4 approach 2)
. "$(dirname "$0")/lib.sh"
. "$E2E_HERE/phones.sh"
. "$E2E_HERE/sipp.sh"
. "$E2E_HERE/browser.sh"

sdp_part() {
    cat <<END

v=0
o=- 3000 $1 IN IP4 [local_ip]
s=-
c=IN IP4 [media_ip]
t=0 0
m=audio [media_port] RTP/AVP 111
a=rtpmap:111 opus/48000/2
END
}
# A phone without keys: it refuses the secure profile and takes the plain one (RFC 3261 21.4.26).
frank_parts() {
    recv_request INVITE
    answer 488 'Not Acceptable Here'
    recv_request ACK
    recv_request INVITE 'rrs="true"'
    answer 180 Ringing
    answer 200 OK sdp 'retrans="500"'
    recv_request ACK
    printf '  <nop><action><exec play_pcap_audio="%s"/></action></nop>\n' "$WORK/frank.pcap"
    recv_request BYE
    answer_in_dialog 200 OK
}

make_certs
DOMAIN_LINES="allow-clear-media = yes" edge_conf "media { address = {\"$ADDR\"} ports = \"30000-30199\" }"
user_add wendy
user_add carol
user_add frank
need "the edge starts" edge_start
need "baresip starts for carol, with Opus and SDES" phone_start carol tls 7310 7320 880 \
    ';mediaenc=srtp-mand;audio_codecs=opus/48000/2'
need "carol registers" await 10 phone_registered carol
need "frank has something to say" "$(tool rtp_ear)" make frank.pcap 660 8 opus 111
PORT=7510 need "frank registers" sipp_register frank "sip:frank@$ADDR:7510"
scenario frank frank_parts
PORT=7510 SIPP_SECONDS=60 RECV_MS=55000 sipp_begin frank -sf frank.xml -m 1 -mp 42000
need "the browser starts" browser_start wendy 440 "%22calls%22:[%22sip:carol@$DOMAIN%22,%22sip:frank@$DOMAIN%22]" "%22seconds%22:3" \
    "%22restarts%22:%22sip:carol@$DOMAIN%22"

check "wendy registers over WSS and calls carol" await 25 says "calls sip:carol"
check "wendy hears carol's 880 Hz" await 15 hears 880
check "they speak Opus" phone_log_has carol 'Set audio encoder: opus 48000Hz'
check "she begins ICE anew" await 10 says 'ICE anew'
mark
check "and still hears carol" await 10 says 'hears 880'
check "she hangs up and calls frank" await 10 says "calls sip:frank"
check "carol heard wendy's 440 Hz" phone_heard carol 440 880
"$(tool rtp_ear)" hear 42000 2 heard.wav opus >ear.log &
check "wendy hears frank's 660 Hz" await 15 hears 660
check "in plain RTP frank gets sound in Opus" wait $!
check "it is wendy's 440 Hz" "$(tool tone)" check heard.wav 440 660
check "she hangs up" await 10 says waits
check "frank had a whole call" sipp_wait frank
browser_stop
check "the edge stops in order" edge_stop
