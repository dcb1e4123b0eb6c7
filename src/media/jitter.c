/* The jitter buffer. Its delay grows by a packet whenever it ran empty, and shrinks when for two
 * seconds there was always more than needed. Pure; one thread. */
#include "media/jitter.h"
#include <string.h>

#define ADAPT_AFTER 100u /* packets: two seconds */

void jitter_init(struct jitter *j)
{
    memset(j, 0, sizeof(*j));
    j->target = JITTER_TARGET_MIN;
    j->min_n = JITTER_SLOTS;
}

void jitter_reset(struct jitter *j)
{
    for (unsigned i = 0; i < JITTER_SLOTS; i++)
        j->slots[i].is_used = false;
    j->has_next = j->is_playing = false;
    j->n = j->waited = 0;
    j->min_n = JITTER_SLOTS;
    j->since_min = 0;
}

static struct jitter_slot *slot_of(struct jitter *j, uint16_t seq)
{
    return &j->slots[seq % JITTER_SLOTS];
}

int jitter_put(struct jitter *j, uint16_t seq, uint32_t ts, uint8_t pt, const uint8_t *payload,
               size_t n)
{
    if (n > sizeof(j->slots[0].payload))
        return ERR_LIMIT;
    int ahead = j->has_next ? rtp_seq_diff(seq, j->next) : 0;
    if (ahead >= (int)JITTER_SLOTS || ahead < -(int)(4 * JITTER_SLOTS)) {
        jitter_reset(j); /* another stream, or a long gap */
        ahead = 0;
    }
    if (!j->has_next) {
        j->has_next = true;
        j->next = seq;
    } else if (ahead < 0) {
        /* Before the first is given out an earlier one may still come, as long as all fit. */
        if (j->is_playing || ahead <= -(int)(JITTER_SLOTS / 2)) {
            j->late++;
            return ERR_TIMEOUT;
        }
        for (uint16_t s = seq; s != j->next; s++) {
            if (slot_of(j, s)->is_used) {
                j->late++;
                return ERR_TIMEOUT;
            }
        }
        j->next = seq;
    }
    struct jitter_slot *slot = slot_of(j, seq);
    if (slot->is_used) {
        j->duplicate++;
        return ERR_EXISTS;
    }
    slot->is_used = true;
    slot->ts = ts;
    slot->pt = pt;
    slot->n = (uint16_t)n;
    if (n)
        memcpy(slot->payload, payload, n);
    j->n++;
    return 0;
}

static void adapt(struct jitter *j)
{
    if (j->n < j->min_n)
        j->min_n = j->n;
    if (++j->since_min < ADAPT_AFTER)
        return;
    if (j->min_n > j->target && slot_of(j, j->next)->is_used) { /* always one too many: skip one */
        slot_of(j, j->next)->is_used = false;
        j->n--;
        j->next++;
        j->skipped++;
    }
    if (j->target > JITTER_TARGET_MIN && j->since_empty >= 5 * ADAPT_AFTER) {
        j->target--;
        j->since_empty = 0;
    }
    j->min_n = JITTER_SLOTS;
    j->since_min = 0;
}

enum jitter_result jitter_get(struct jitter *j, const struct jitter_slot **ret)
{
    if (!j->is_playing) {
        if (j->n == 0 || (j->n < j->target && ++j->waited <= j->target))
            return JITTER_WAIT;
        j->is_playing = true;
    }
    if (j->n == 0) {
        j->is_playing = false;
        j->waited = 0;
        j->since_empty = 0;
        j->underruns++;
        if (j->target < JITTER_TARGET_MAX)
            j->target++;
        return JITTER_WAIT;
    }
    j->since_empty++;
    adapt(j);
    struct jitter_slot *slot = slot_of(j, j->next);
    j->next++;
    if (!slot->is_used)
        return JITTER_LOST;
    slot->is_used = false;
    j->n--;
    *ret = slot;
    return JITTER_PACKET;
}
