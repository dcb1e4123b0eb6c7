/* A small jitter buffer: packets in the order of their sequence numbers, given out one at a time
 * once a few have come, with as little delay as their arrival allows. Pure; owned by one thread. */
#ifndef MEDIA_JITTER_H
#define MEDIA_JITTER_H

#include "media/rtp.h"

#define JITTER_SLOTS 64u /* power of two; 1.3 seconds of 20 ms packets */
#define JITTER_TARGET_MIN 2u
#define JITTER_TARGET_MAX 10u

struct jitter_slot {
    bool is_used;
    uint8_t pt;
    uint16_t n;
    uint32_t ts;
    uint8_t payload[RTP_PACKET_MAX];
};
struct jitter {
    struct jitter_slot slots[JITTER_SLOTS];
    bool has_next, is_playing;
    uint16_t next;             /* the sequence number that is to be given out */
    unsigned n;                /* packets kept */
    unsigned target;           /* so many before giving out begins */
    unsigned waited;           /* times asked since the first packet came */
    unsigned min_n, since_min; /* the least that was kept lately */
    unsigned since_empty;
    uint64_t late, duplicate, skipped, underruns;
};
void jitter_init(struct jitter *j);
/* Forgets what is kept; the counters stay. */
void jitter_reset(struct jitter *j);
/* ERR_EXISTS: a duplicate; ERR_TIMEOUT: too late; ERR_LIMIT: too long. All are counted or dropped.
 */
MUST_USE int jitter_put(struct jitter *j, uint16_t seq, uint32_t ts, uint8_t pt,
                        const uint8_t *payload, size_t n);
enum jitter_result {
    JITTER_WAIT,   /* nothing to play now: silence */
    JITTER_PACKET, /* *ret is the next packet, valid until the next call */
    JITTER_LOST    /* the next packet is missing, later ones are there: conceal */
};
enum jitter_result jitter_get(struct jitter *j, const struct jitter_slot **ret);

#endif
