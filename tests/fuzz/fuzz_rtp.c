/* Any bytes as the datagrams of a media port: cut into packets by a leading length byte, given to
 * the parsers and to a stream that plays meanwhile. What is parsed and built again says the same.
 */
#include "media/rtcp.h"
#include "media/stream.h"
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void rtp(const uint8_t *p, size_t n)
{
    struct rtp_packet a, b;
    uint8_t out[4096];
    size_t len;
    if (rtp_parse(p, n, &a) != 0)
        return;
    if (rtp_build(out, sizeof(out), &a, &len) != 0)
        abort();
    if (rtp_parse(out, len, &b) != 0 || b.seq != a.seq || b.ssrc != a.ssrc ||
        b.n_payload != a.n_payload || b.n_ext != a.n_ext ||
        (a.n_payload && memcmp(a.payload, b.payload, a.n_payload) != 0))
        abort();
}

static void rtcp(const uint8_t *p, size_t n)
{
    struct rtcp_reader r;
    struct rtcp_packet packet;
    struct rtcp_report report;
    struct rtcp_sender sender;
    uint32_t from;
    if (rtcp_start(&r, p, n, true) != 0)
        return;
    while (rtcp_next(&r, &packet)) {
        (void)!rtcp_sender_parse(&packet, &sender);
        for (unsigned i = 0; rtcp_report_get(&packet, i, &from, &report); i++)
            ;
        for (unsigned i = 0; rtcp_bye_get(&packet, i, &from); i++)
            ;
    }
    if (r.n != 0)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct rand_source rnd;
    struct media_stream_args args = {.codec = codec_find(STR("PCMA")),
                                     .pt = 8,
                                     .n_recv = 2,
                                     .event_pt_send = 101,
                                     .event_pt_recv = 101};
    struct media_quality q;
    int16_t pcm[CODEC_FRAME_MAX];
    char digit;
    args.recv[0].codec = args.codec;
    args.recv[0].pt = 8;
    args.recv[1].codec =
        codec_find(STR("opus")) ? codec_find(STR("opus")) : codec_find(STR("PCMU"));
    args.recv[1].pt = 96;
    rand_fixed_init(&rnd, 1);
    struct media_stream *m = media_stream_new(&args, 8000, &rnd, 0);
    if (m == NULL)
        return 0;
    uint64_t now = 1000000;
    for (size_t at = 0; at < n; now += 7000) {
        size_t len = data[at++];
        if (len > n - at)
            len = n - at;
        rtp(data + at, len);
        rtcp(data + at, len);
        if (rtp_demux(data + at, len) == RTP_DEMUX_RTCP)
            (void)!media_stream_rtcp_receive(m, data + at, len, now, now);
        else
            (void)media_stream_receive(m, data + at, len, now);
        (void)media_stream_play(m, pcm);
        at += len;
    }
    while (media_stream_digit(m, &digit))
        ;
    uint8_t out[512];
    size_t len;
    if (media_stream_rtcp_build(m, now, now, true, out, sizeof(out), &len) != 0)
        abort();
    rtcp(out, len);
    media_stream_quality(m, &q);
    media_stream_free(m);
    return 0;
}
