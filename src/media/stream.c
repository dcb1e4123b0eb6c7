/* An endpoint's audio stream (RFC 3550 5, 6, RFC 4733; story in stream.h). One thread; made and
 * freed by its owner. */
#include "media/stream.h"
#include "base/mem.h"
#include "media/dtmf.h"
#include "media/jitter.h"
#include "media/source.h"

#define FIFO_MAX (CODEC_DECODED_MAX + CODEC_FRAME_MAX)
#define DIGITS_MAX 64u
#define NEXT_MAX 4u       /* so many others are watched */
#define SILENT_US 500000u /* a source that says nothing for so long may be followed by another */
#define RTCP_US 5000000.0 /* RFC 3550 6.2 */
#define CNAME_BYTES 16u
#define NTP_1970 2208988800ull /* seconds from 1900 to 1970 */

struct media_stream {
    struct media_stream_args args;
    unsigned rate, frame; /* our side's samples a second, and in 20 ms */
    struct codec *send;
    struct codec *recv[MEDIA_STREAM_CODECS];
    /* sending */
    uint16_t seq;
    uint32_t ts, ssrc;
    bool has_sent, was_silent;
    struct dtmf_sender dtmf;
    /* receiving */
    bool has_source;
    struct rtp_source source;
    struct rtp_source
        next[NEXT_MAX]; /* others that have sent something, by SSRC in the order of their coming */
    unsigned n_next, at_next;
    uint64_t source_us;
    struct jitter jitter;
    struct dtmf_receiver events;
    char digits[DIGITS_MAX];
    unsigned n_digits;
    int16_t fifo[2 * FIFO_MAX]; /* decoded, at our rate */
    size_t n_fifo;
    struct codec *last; /* what decoded the last packet: it conceals */
    int16_t up_prev;
    /* RTCP */
    struct rand_source *rand;
    uint64_t rtcp_due_us;
    char cname[CNAME_BYTES];
    struct media_quality q;
};

/* ---- life ---- */

/* The interval of two members: 5 s, randomised by half, and corrected for what reconsideration does
 * (6.3.1). */
static uint64_t rtcp_interval(struct media_stream *m, bool is_first)
{
    double random = 0.5 + (double)(rand_u64(m->rand) >> 11) / (double)(1ull << 53);
    return (uint64_t)(RTCP_US * (is_first ? 0.5 : 1.0) * random / 1.21828);
}

static int codecs_make(const struct media_stream_args *args, struct codec **ret_send,
                       struct codec **recv)
{
    *ret_send = codec_new(args->codec);
    int err = *ret_send ? 0 : ERR_NOMEM;
    for (unsigned i = 0; i < args->n_recv && !err; i++) {
        recv[i] = codec_new(args->recv[i].codec);
        err = recv[i] ? 0 : ERR_NOMEM;
    }
    if (!err)
        return 0;
    codec_free(*ret_send);
    for (unsigned i = 0; i < args->n_recv; i++)
        codec_free(recv[i]);
    return err;
}

static void codecs_free(struct media_stream *m)
{
    codec_free(m->send);
    for (unsigned i = 0; i < MEDIA_STREAM_CODECS; i++)
        codec_free(m->recv[i]);
}

struct media_stream *media_stream_new(const struct media_stream_args *args, unsigned rate,
                                      struct rand_source *rand, uint64_t now_us)
{
    struct media_stream *m = args->n_recv <= MEDIA_STREAM_CODECS ? mem_zalloc(sizeof(*m)) : NULL;
    if (m == NULL)
        return NULL;
    if (codecs_make(args, &m->send, m->recv) != 0) {
        mem_free(m);
        return NULL;
    }
    m->args = *args;
    m->rate = rate;
    m->frame = rate / 1000 * CODEC_FRAME_MS;
    m->rand = rand;
    uint64_t r = rand_u64(rand);
    m->ssrc = (uint32_t)r;
    m->seq =
        (uint16_t)((r >> 32) &
                   0x7fff); /* the lower half, so that SRTP's first wrap is far (RFC 3711 3.3.1) */
    m->ts = (uint32_t)rand_u64(rand);
    rand_token(rand, m->cname, sizeof(m->cname)); /* RFC 7022 4.2: says nothing of host or user */
    m->rtcp_due_us = now_us + rtcp_interval(m, true);
    m->q.ssrc = m->ssrc;
    jitter_init(&m->jitter);
    return m;
}

void media_stream_free(struct media_stream *m)
{
    if (m == NULL)
        return;
    codecs_free(m);
    mem_free(m);
}

int media_stream_change(struct media_stream *m, const struct media_stream_args *args)
{
    struct codec *send, *recv[MEDIA_STREAM_CODECS] = {NULL};
    if (args->n_recv > MEDIA_STREAM_CODECS)
        return ERR_INVALID;
    int err = codecs_make(args, &send, recv);
    if (err)
        return err;
    codecs_free(m);
    m->send = send;
    memcpy(m->recv, recv, sizeof(recv));
    m->args = *args;
    m->last = NULL;
    jitter_reset(&m->jitter);
    return 0;
}

/* ---- between our rate and a codec's: the same, the half, or the double ---- */

static void to_codec(const struct media_stream *m, const int16_t *pcm, unsigned rate, int16_t *dst)
{
    size_t n = rate / 1000 * CODEC_FRAME_MS;
    for (size_t i = 0; i < n; i++) {
        if (rate == m->rate)
            dst[i] = pcm[i];
        else if (rate < m->rate)
            dst[i] = (int16_t)((pcm[2 * i] + pcm[2 * i + 1]) / 2);
        else
            dst[i] = pcm[i / 2];
    }
}

static void from_codec(struct media_stream *m, const int16_t *pcm, size_t n, unsigned rate)
{
    int16_t *to = m->fifo + m->n_fifo;
    size_t room = ARRAY_LEN(m->fifo) - m->n_fifo;
    size_t out = rate == m->rate ? n : rate < m->rate ? 2 * n : n / 2;
    if (out > room)
        return; /* nobody plays: what does not fit is not heard */
    for (size_t i = 0; i < out; i++) {
        if (rate == m->rate) {
            to[i] = pcm[i];
        } else if (rate < m->rate) {
            int16_t now = pcm[i / 2];
            int between = (m->up_prev + now) / 2;
            to[i] = i % 2 ? now : (int16_t)between;
            if (i % 2)
                m->up_prev = now;
        } else {
            to[i] = (int16_t)((pcm[2 * i] + pcm[2 * i + 1]) / 2);
        }
    }
    m->n_fifo += out;
}

/* ---- sending ---- */

static int packet_build(struct media_stream *m, struct rtp_packet *p, uint8_t *dst, size_t cap,
                        size_t *ret_len)
{
    p->seq = m->seq;
    p->ssrc = m->ssrc;
    int err = rtp_build(dst, cap, p, ret_len);
    if (err)
        return err;
    m->seq++;
    m->has_sent = true;
    m->q.sent++;
    m->q.sent_bytes += p->n_payload;
    return 0;
}

static bool event_frame(struct media_stream *m, unsigned frame, struct rtp_packet *p,
                        uint8_t payload[DTMF_PAYLOAD_BYTES])
{
    if (m->args.event_pt_send < 0)
        return false;
    if (!dtmf_frame(&m->dtmf, m->ts, frame, m->args.codec->clock, payload, &p->marker, &p->ts))
        return false;
    p->pt = (uint8_t)m->args.event_pt_send;
    p->payload = payload;
    p->n_payload = DTMF_PAYLOAD_BYTES;
    return true;
}

int media_stream_frame(struct media_stream *m, const int16_t *pcm, uint8_t *dst, size_t cap,
                       size_t *ret_len)
{
    const struct codec_info *info = m->args.codec;
    unsigned frame = info->clock / 1000 * CODEC_FRAME_MS;
    struct rtp_packet p = {.ts = m->ts};
    uint8_t event[DTMF_PAYLOAD_BYTES];
    int16_t samples[CODEC_FRAME_MAX];
    int err = ERR_AGAIN;
    if (event_frame(m, frame, &p, event)) {
        err = packet_build(m, &p, dst, cap, ret_len);
    } else if (pcm != NULL) {
        if (cap < RTP_HEADER_BYTES)
            return ERR_LIMIT;
        to_codec(m, pcm, info->rate, samples);
        p.pt = m->args.pt;
        p.marker = !m->has_sent || m->was_silent; /* begin of a talkspurt (RFC 3551 4.1) */
        p.payload = dst + RTP_HEADER_BYTES;
        err = codec_encode(m->send, samples, dst + RTP_HEADER_BYTES, cap - RTP_HEADER_BYTES,
                           &p.n_payload);
        if (!err)
            err = packet_build(m, &p, dst, cap, ret_len);
    }
    m->was_silent = err == ERR_AGAIN;
    m->ts += frame;
    return err;
}

int media_stream_dial(struct media_stream *m, struct str digits)
{
    return m->args.event_pt_send < 0 ? ERR_UNSUPPORTED : dtmf_dial(&m->dtmf, digits);
}

bool media_stream_is_dialling(const struct media_stream *m)
{
    return dtmf_is_busy(&m->dtmf);
}

/* ---- receiving ---- */

static int recv_index(const struct media_stream *m, uint8_t pt)
{
    for (unsigned i = 0; i < m->args.n_recv; i++) {
        if (m->args.recv[i].pt == pt)
            return (int)i;
    }
    return -1;
}

static uint32_t arrival(const struct media_stream *m, uint64_t now_us)
{
    return (uint32_t)(now_us * (m->args.codec->clock / 1000) / 1000);
}

static struct rtp_source *next_source(struct media_stream *m, const struct rtp_packet *p)
{
    for (unsigned i = 0; i < m->n_next; i++) {
        if (m->next[i].ssrc == p->ssrc)
            return &m->next[i];
    }
    struct rtp_source *s = &m->next[m->at_next];
    m->at_next = (m->at_next + 1) % NEXT_MAX;
    if (m->n_next < NEXT_MAX)
        m->n_next++;
    rtp_source_init(s, p->ssrc, p->seq);
    return s;
}

/* Does the packet belong to the source we listen to? Another one is taken only once it has shown
 * two packets in sequence and the present one is silent, so that a stranger's packets do not take
 * over a call. */
static bool source_accept(struct media_stream *m, const struct rtp_packet *p, uint64_t now_us)
{
    uint32_t at = arrival(m, now_us);
    if (m->has_source && p->ssrc == m->source.ssrc) {
        if (!rtp_source_update(&m->source, p->seq, p->ts, at))
            return false;
        m->source_us = now_us;
        return true;
    }
    struct rtp_source *s = next_source(m, p);
    if (!rtp_source_update(s, p->seq, p->ts, at) ||
        (m->has_source && now_us - m->source_us < SILENT_US))
        return false;
    if (m->has_source)
        m->q.lost += rtp_source_lost(&m->source);
    m->source = *s;
    m->has_source = true;
    m->n_next = m->at_next = 0;
    m->source_us = now_us;
    m->q.remote_ssrc = p->ssrc;
    m->events = (struct dtmf_receiver){0};
    jitter_reset(&m->jitter);
    return true;
}

static void digit_came(struct media_stream *m, uint8_t event)
{
    if (m->n_digits < DIGITS_MAX)
        m->digits[m->n_digits++] = dtmf_char_of(event);
}

enum media_stream_rx media_stream_receive(struct media_stream *m, const uint8_t *p, size_t n,
                                          uint64_t now_us)
{
    struct rtp_packet packet;
    uint8_t event;
    if (rtp_parse(p, n, &packet) != 0) {
        m->q.bad++;
        return MEDIA_RX_BAD;
    }
    bool is_event = m->args.event_pt_recv >= 0 && packet.pt == m->args.event_pt_recv;
    bool is_noise =
        packet.pt == 13; /* comfort noise (RFC 3389) is never asked for, but sent: silence */
    if (!is_event && !is_noise && recv_index(m, packet.pt) < 0) {
        m->q.bad++;
        return MEDIA_RX_BAD;
    }
    if (!source_accept(m, &packet, now_us))
        return MEDIA_RX_UNSURE;
    m->q.received++;
    m->q.received_bytes += packet.n_payload;
    /* Events and noise take their place in the buffer too, so that they are no gaps. */
    (void)!jitter_put(&m->jitter, packet.seq, packet.ts, packet.pt, packet.payload,
                      is_event || is_noise ? 0 : packet.n_payload);
    if (is_event) {
        if (dtmf_receive(&m->events, packet.ts, packet.payload, packet.n_payload, &event))
            digit_came(m, event);
        return MEDIA_RX_EVENT;
    }
    if (m->q.first_us == 0)
        m->q.first_us = now_us;
    m->q.last_us = now_us;
    return MEDIA_RX_AUDIO;
}

bool media_stream_digit(struct media_stream *m, char *ret)
{
    if (m->n_digits == 0)
        return false;
    *ret = m->digits[0];
    memmove(m->digits, m->digits + 1, --m->n_digits);
    return true;
}

/* One packet, lost packet or silence from the buffer into the fifo; false: there is nothing. */
static bool play_next(struct media_stream *m)
{
    const struct jitter_slot *slot;
    int16_t pcm[CODEC_DECODED_MAX];
    size_t n = 0;
    switch (jitter_get(&m->jitter, &slot)) {
    case JITTER_WAIT:
        return false;
    case JITTER_LOST:
        m->q.concealed++;
        break;
    case JITTER_PACKET: {
        int i = slot->n ? recv_index(m, slot->pt) : -1;
        if (i >= 0) {
            m->last = m->recv[i];
            if (codec_decode(m->last, slot->payload, slot->n, pcm, &n) != 0)
                m->q.bad++;
        } else {
            memset(pcm, 0, sizeof(pcm));
            n = m->last ? codec_info_of(m->last)->rate / 1000 * CODEC_FRAME_MS : m->frame;
        }
        break;
    }
    }
    if (n == 0 && m->last != NULL)
        codec_conceal(m->last, pcm, &n);
    from_codec(m, pcm, n, m->last ? codec_info_of(m->last)->rate : m->rate);
    return n > 0;
}

bool media_stream_play(struct media_stream *m, int16_t *pcm)
{
    while (m->n_fifo < m->frame && play_next(m))
        ;
    size_t n = m->n_fifo < m->frame ? m->n_fifo : m->frame;
    memcpy(pcm, m->fifo, n * sizeof(*pcm));
    memset(pcm + n, 0, (m->frame - n) * sizeof(*pcm));
    m->n_fifo -= n;
    memmove(m->fifo, m->fifo + n, m->n_fifo * sizeof(*pcm));
    return n > 0;
}

/* ---- RTCP ---- */

uint64_t media_stream_rtcp_due_us(const struct media_stream *m)
{
    return m->rtcp_due_us;
}

int media_stream_rtcp_build(struct media_stream *m, uint64_t now_us, uint64_t ntp_us, bool bye,
                            uint8_t *dst, size_t cap, size_t *ret_len)
{
    struct rtcp_builder b = {.p = dst, .cap = cap};
    struct rtcp_report report;
    unsigned n = m->has_source;
    if (n)
        rtp_source_report(&m->source, now_us, &report);
    struct rtcp_sender sender = {.ssrc = m->ssrc,
                                 .rtp_ts = m->ts,
                                 .packets = (uint32_t)m->q.sent,
                                 .octets = (uint32_t)m->q.sent_bytes};
    sender.ntp = (NTP_1970 + ntp_us / 1000000) << 32 | ((ntp_us % 1000000) << 32) / 1000000;
    rtcp_put_report(&b, m->ssrc, m->has_sent ? &sender : NULL, &report, n);
    rtcp_put_cname(&b, m->ssrc, str_make(m->cname, sizeof(m->cname)));
    if (bye)
        rtcp_put_bye(&b, m->ssrc);
    m->rtcp_due_us = now_us + rtcp_interval(m, false);
    if (b.overflow)
        return ERR_LIMIT;
    m->q.rtcp_sent++;
    *ret_len = b.n;
    return 0;
}

/* What the other side says of us; the round trip is now less when our last report was sent less how
 * long it lay there (6.4.1), all in the middle 32 bits of NTP's time. */
static void report_came(struct media_stream *m, const struct rtcp_report *r, uint32_t ntp_mid)
{
    unsigned clock = m->args.codec->clock;
    m->q.has_remote = true;
    m->q.remote_lost = r->lost;
    m->q.remote_fraction = r->fraction;
    m->q.remote_jitter_us = (unsigned)((uint64_t)r->jitter * 1000000 / clock);
    if (r->lsr && ntp_mid) {
        uint32_t rtt = ntp_mid - r->lsr - r->dlsr;
        if (rtt < 60u << 16) /* more is a clock that was set */
            m->q.rtt_us = (unsigned)((uint64_t)rtt * 1000000 / 65536);
    }
}

int media_stream_rtcp_receive(struct media_stream *m, const uint8_t *p, size_t n, uint64_t now_us,
                              uint64_t ntp_us)
{
    struct rtcp_reader r;
    struct rtcp_packet packet;
    int err = rtcp_start(&r, p, n, false);
    if (err)
        return err;
    m->q.rtcp_received++;
    uint32_t mid = (uint32_t)((NTP_1970 + ntp_us / 1000000) << 16) |
                   (uint32_t)(((ntp_us % 1000000) << 16) / 1000000);
    while (rtcp_next(&r, &packet)) {
        struct rtcp_sender sr;
        struct rtcp_report report;
        uint32_t from, ssrc;
        if (rtcp_sender_parse(&packet, &sr) == 0 && m->has_source && sr.ssrc == m->source.ssrc)
            rtp_source_sender_report(&m->source, &sr, now_us);
        for (unsigned i = 0; rtcp_report_get(&packet, i, &from, &report); i++) {
            if (report.ssrc == m->ssrc)
                report_came(m, &report, mid);
        }
        for (unsigned i = 0; rtcp_bye_get(&packet, i, &ssrc); i++)
            m->q.remote_bye |= m->has_source && ssrc == m->source.ssrc;
    }
    return 0;
}

void media_stream_quality(const struct media_stream *m, struct media_quality *ret)
{
    *ret = m->q;
    if (m->has_source) {
        ret->lost += rtp_source_lost(&m->source);
        ret->jitter_us =
            (unsigned)((uint64_t)(m->source.jitter >> 4) * 1000000 / m->args.codec->clock);
    }
    ret->late = m->jitter.late;
    ret->duplicate = m->jitter.duplicate;
    ret->underruns = m->jitter.underruns;
    ret->delay_ms = m->jitter.n * CODEC_FRAME_MS;
}
