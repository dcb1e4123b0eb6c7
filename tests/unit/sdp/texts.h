/* Descriptions that several tests of this room look at. */
#ifndef TESTS_UNIT_SDP_TEXTS_H
#define TESTS_UNIT_SDP_TEXTS_H

/* An audio call with everything of key management that an offer may carry at once. */
#define KEYED                                                                                      \
    "v=0\r\n"                                                                                      \
    "o=alice 2890844526 2890842807 IN IP4 192.0.2.10\r\n"                                          \
    "s=a call\r\n"                                                                                 \
    "c=IN IP4 192.0.2.10\r\n"                                                                      \
    "t=0 0\r\n"                                                                                    \
    "a=fingerprint:sha-256 "                                                                       \
    "49:66:12:17:0D:1C:91:AE:57:4C:C6:36:DD:D5:97:D2:7D:62:C9:9A:7F:B9:A3:F4:70:03:E7:43:91:73:"   \
    "23:5E\r\n"                                                                                    \
    "a=setup:actpass\r\n"                                                                          \
    "a=tls-id:abc3de65cddef001be82\r\n"                                                            \
    "a=key-mgmt:mikey AQAFgM0XflABAAAAAAAAAAAAAAsAyO\r\n"                                          \
    "a=x-unknown:some thing\r\n"                                                                   \
    "m=audio 49170 RTP/SAVP 0 8 96 101\r\n"                                                        \
    "i=the voice\r\n"                                                                              \
    "c=IN IP4 192.0.2.11\r\n"                                                                      \
    "b=AS:64\r\n"                                                                                  \
    "a=rtpmap:96 opus/48000/2\r\n"                                                                 \
    "a=fmtp:96 useinbandfec=1; stereo=0\r\n"                                                       \
    "a=rtpmap:101 telephone-event/8000\r\n"                                                        \
    "a=fmtp:101 0-15\r\n"                                                                          \
    "a=crypto:1 AEAD_AES_256_GCM inline:QUJDRA==|2^31|1:4\r\n"                                     \
    "a=crypto:2 AES_CM_128_HMAC_SHA1_80 inline:d0RmdmcmVCspeEc3QGZiNWpVLFJhQX1cfHAwJSoj|2^20 "     \
    "KDR=1 UNENCRYPTED_SRTCP\r\n"                                                                  \
    "a=zrtp-hash:1.10 fe30efd02423cb054e50efd0248742ac7a52c8f91bc2df881ae642c371ba46df\r\n"        \
    "a=ptime:20\r\n"                                                                               \
    "a=sendonly\r\n"                                                                               \
    "a=rtcp:53020 IN IP4 126.16.64.4\r\n"                                                          \
    "m=video 0 RTP/AVP 31\r\n"

/* As a browser offers: BUNDLE, ICE, DTLS-SRTP. */
#define BROWSER                                                                                    \
    "v=0\r\n"                                                                                      \
    "o=- 4611731400430051336 2 IN IP4 127.0.0.1\r\n"                                               \
    "s=-\r\n"                                                                                      \
    "t=0 0\r\n"                                                                                    \
    "a=group:BUNDLE 0 1 d\r\n"                                                                     \
    "a=extmap-allow-mixed\r\n"                                                                     \
    "a=msid-semantic: WMS\r\n"                                                                     \
    "m=audio 9 UDP/TLS/RTP/SAVPF 111 0 8 110\r\n"                                                  \
    "c=IN IP4 0.0.0.0\r\n"                                                                         \
    "a=rtcp:9 IN IP4 0.0.0.0\r\n"                                                                  \
    "a=ice-ufrag:4ZcD\r\n"                                                                         \
    "a=ice-pwd:2/1muCWoOi3uLifh0NuRHlOr\r\n"                                                       \
    "a=ice-options:trickle\r\n"                                                                    \
    "a=fingerprint:sha-256 "                                                                       \
    "49:66:12:17:0D:1C:91:AE:57:4C:C6:36:DD:D5:97:D2:7D:62:C9:9A:7F:B9:A3:F4:70:03:E7:43:91:73:"   \
    "23:5E\r\n"                                                                                    \
    "a=setup:actpass\r\n"                                                                          \
    "a=mid:0\r\n"                                                                                  \
    "a=sendrecv\r\n"                                                                               \
    "a=rtcp-mux\r\n"                                                                               \
    "a=candidate:1467250027 1 udp 2122260223 192.168.0.196 46243 typ host generation 0 "           \
    "network-id 1\r\n"                                                                             \
    "a=candidate:1853887674 1 udp 1518280447 47.61.61.61 36768 typ srflx raddr 192.168.0.196 "     \
    "rport 46243\r\n"                                                                              \
    "a=candidate:1 1 udp 99 5b3c3b4e-0f4c-4a3b-9f83-c40f.local 50000 typ host\r\n"                 \
    "a=rtpmap:111 opus/48000/2\r\n"                                                                \
    "a=rtcp-fb:111 transport-cc\r\n"                                                               \
    "a=fmtp:111 minptime=10;useinbandfec=1\r\n"                                                    \
    "a=rtpmap:110 telephone-event/48000\r\n"                                                       \
    "m=video 0 UDP/TLS/RTP/SAVPF 96\r\n"                                                           \
    "c=IN IP4 0.0.0.0\r\n"                                                                         \
    "a=bundle-only\r\n"                                                                            \
    "a=mid:1\r\n"                                                                                  \
    "a=rtpmap:96 VP8/90000\r\n"                                                                    \
    "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\n"                                         \
    "c=IN IP4 0.0.0.0\r\n"                                                                         \
    "a=mid:d\r\n"

#define PLAIN "v=0\r\no=bob 1 1 IN IP4 192.0.2.20\r\ns=-\r\nc=IN IP4 192.0.2.20\r\nt=0 0\r\n"

#endif
