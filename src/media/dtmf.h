/* telephone-event (RFC 4733): digits as RTP payloads, sent and recognised. Pure; owned by one
 * thread. */
#ifndef MEDIA_DTMF_H
#define MEDIA_DTMF_H

#include "base/str.h"
#include "media/rtp.h"

#define DTMF_PAYLOAD_BYTES 4u
#define DTMF_QUEUE_MAX 64u

/* 0 to 15 for 0-9 * # A-D; -1 for others. And back; '?' for events that are no DTMF. */
int dtmf_event_of(char c);
char dtmf_char_of(unsigned event);

/* ---- sending ---- one packet a frame; an event lasts 100 ms, the next begins 60 ms later. */
struct dtmf_sender {
    uint8_t queue[DTMF_QUEUE_MAX];
    unsigned n, at;    /* events queued; the one under way */
    unsigned duration; /* of it, in clock units, at the last packet; 0: not begun */
    unsigned ends;     /* end packets sent (3 in all, 2.5.1.4) */
    unsigned pause;    /* units of silence left before the next */
    uint32_t ts;       /* of its beginning */
};
/* ERR_SYNTAX: a character that is no digit; ERR_LIMIT: the queue is full. Nothing is queued then.
 */
MUST_USE int dtmf_dial(struct dtmf_sender *d, struct str digits);
bool dtmf_is_busy(const struct dtmf_sender *d);
/* Called for each frame with its timestamp and length: true when a packet goes instead of audio;
 * marker and ts are of it. */
bool dtmf_frame(struct dtmf_sender *d, uint32_t ts, unsigned frame, unsigned rate,
                uint8_t payload[DTMF_PAYLOAD_BYTES], bool *ret_marker, uint32_t *ret_ts);

/* ---- receiving ---- */
struct dtmf_receiver {
    bool has;
    uint8_t event;
    uint32_t ts;
};
/* True once for each event, with its first packet that arrives. */
bool dtmf_receive(struct dtmf_receiver *d, uint32_t ts, const uint8_t *payload, size_t n,
                  uint8_t *ret_event);

#endif
