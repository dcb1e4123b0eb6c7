/* One audio stream of an endpoint, without its sockets: samples in, packets out, and back; reports
 * and digits along with them. Whoever owns it calls media_stream_frame every 20 ms, hands in what
 * arrives, and sends what it is given; between the two stands whatever protects packets (SRTP),
 * which the stream knows nothing of. Time is passed in. One thread.
 *
 *   frame:  samples or a digit -> codec -> rtp_build -> (protect) -> socket
 *   socket -> (unprotect) -> media_stream_receive -> source check -> jitter buffer -> codec ->
 * media_stream_play */
#ifndef MEDIA_STREAM_H
#define MEDIA_STREAM_H

#include "base/rand.h"
#include "media/codec.h"
#include "media/rtp.h"

struct media_stream;

#define MEDIA_STREAM_CODECS 4u

/* What was negotiated. Payload types: 0 to 127, -1 for none. */
struct media_stream_args {
    const struct codec_info *codec; /* what we send, with `pt` */
    uint8_t pt;
    struct {
        const struct codec_info *codec;
        uint8_t pt;
    } recv[MEDIA_STREAM_CODECS]; /* what may come */
    unsigned n_recv;
    int event_pt_send,
        event_pt_recv; /* telephone-event, with the clock of `codec` (RFC 4733 2.1) */
};
/* `rate`: of the samples on our side, 8000 or 16000, whatever the codecs' are. NULL: no memory. */
MUST_USE struct media_stream *media_stream_new(const struct media_stream_args *args, unsigned rate,
                                               struct rand_source *rand, uint64_t now_us);
void media_stream_free(struct media_stream *m); /* NULL is fine */
/* After a new offer and answer; SSRC, sequence numbers and counters go on. ERR_NOMEM: nothing is
 * changed. */
MUST_USE int media_stream_change(struct media_stream *m, const struct media_stream_args *args);

/* The next 20 ms: `pcm` is rate/50 samples, or NULL for silence that is not sent. ERR_AGAIN: no
 * packet this time. */
MUST_USE int media_stream_frame(struct media_stream *m, const int16_t *pcm, uint8_t *dst,
                                size_t cap, size_t *ret_len);
/* What is to be heard in these 20 ms: always rate/50 samples. False: nothing was there, it is
 * silence. */
bool media_stream_play(struct media_stream *m, int16_t *pcm);

enum media_stream_rx {
    MEDIA_RX_BAD,    /* no RTP, or a payload type that was not negotiated */
    MEDIA_RX_UNSURE, /* a source on probation (RFC 3550 A.1), or another one while the first is
                        alive */
    MEDIA_RX_AUDIO,
    MEDIA_RX_EVENT
};
enum media_stream_rx media_stream_receive(struct media_stream *m, const uint8_t *p, size_t n,
                                          uint64_t now_us);

/* Digits: to send (ERR_SYNTAX, ERR_LIMIT, ERR_UNSUPPORTED: not negotiated), and those that came, in
 * order. */
MUST_USE int media_stream_dial(struct media_stream *m, struct str digits);
bool media_stream_is_dialling(const struct media_stream *m);
bool media_stream_digit(struct media_stream *m, char *ret);

/* RTCP (RFC 3550 6.2): when the next compound is due, what it says, and what the other side's says.
 * `ntp_us`: microseconds since 1970. With `bye` it is the last. */
uint64_t media_stream_rtcp_due_us(const struct media_stream *m);
MUST_USE int media_stream_rtcp_build(struct media_stream *m, uint64_t now_us, uint64_t ntp_us,
                                     bool bye, uint8_t *dst, size_t cap, size_t *ret_len);
/* ERR_SYNTAX: no RTCP. */
MUST_USE int media_stream_rtcp_receive(struct media_stream *m, const uint8_t *p, size_t n,
                                       uint64_t now_us, uint64_t ntp_us);

/* How well it goes; counters since the beginning. */
struct media_quality {
    uint64_t sent, sent_bytes, received, received_bytes;
    int64_t lost; /* of what was sent to us */
    uint64_t late, duplicate, concealed, underruns, bad;
    unsigned jitter_us; /* of arrival, RFC 3550 A.8 */
    unsigned delay_ms;  /* that the jitter buffer adds now */
    unsigned rtcp_sent, rtcp_received;
    bool has_remote; /* the other side has reported on what we send */
    int32_t remote_lost;
    unsigned remote_fraction; /* of 256, in its last interval */
    unsigned remote_jitter_us;
    unsigned rtt_us; /* 0: not known */
    bool remote_bye;
    uint32_t ssrc, remote_ssrc; /* remote: 0 until a source is accepted */
    uint64_t first_us, last_us; /* packets of audio: first and last; 0: none */
};
void media_stream_quality(const struct media_stream *m, struct media_quality *ret);

#endif
