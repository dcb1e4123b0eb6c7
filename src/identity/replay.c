/* The replay cache of SIP Identity (replay.h): RFC 8224 6.1.1, 6.2.3, 12.1. One array of entries,
 * chained in a hash table and in the order they came. Any thread: a lock, held for one look. */
#include "identity/replay.h"
#include "base/limits.h"
#include "base/mac.h"
#include "base/mem.h"
#include <pthread.h>

#define NONE UINT32_MAX

enum request_state { OPEN, ANSWERED, MENDABLE, REPAIRABLE };

struct request {
    uint32_t cseq;
    uint8_t state, seen;
    bool retried, is_in_dialog;
};

struct entry {
    struct identity_tag tag;
    uint8_t dialog[16]; /* Call-ID and From tag */
    uint64_t issued_s, until_s;
    struct request requests[LIMIT_IDENTITY_USES];
    uint32_t n_requests;
    uint32_t next_in_slot, older, newer;
};

struct identity_replay {
    uint8_t key[16];
    pthread_mutex_t lock; /* of what follows */
    struct entry *entries;
    uint32_t *slots; /* index + 1 */
    uint32_t n_slots, n, max;
    uint32_t free_list; /* given back entries, by next_in_slot */
    uint32_t n_used;
    uint32_t oldest, newest;
    uint64_t before_s; /* identity_replay_forget */
    bool has_forgotten;
    uint64_t forgotten_s;
};

struct identity_replay *identity_replay_new(size_t max, const uint8_t key[16])
{
    struct identity_replay *r = mem_zalloc(sizeof(*r));

    if (!r)
        return NULL;
    memcpy(r->key, key, sizeof(r->key));
    (void)pthread_mutex_init(&r->lock, NULL); /* a plain one: never fails */
    r->max = (uint32_t)(max < 1 ? 1 : max > 1u << 24 ? 1u << 24 : max);
    for (r->n_slots = 1; r->n_slots < r->max;)
        r->n_slots *= 2;
    r->entries = mem_zalloc_array(r->max, sizeof(*r->entries));
    r->slots = mem_zalloc_array(r->n_slots, sizeof(*r->slots));
    r->oldest = r->newest = r->free_list = NONE;
    if (!r->entries || !r->slots) {
        identity_replay_free(r);
        return NULL;
    }
    return r;
}

void identity_replay_free(struct identity_replay *r)
{
    if (!r)
        return;
    (void)pthread_mutex_destroy(&r->lock);
    mem_free(r->entries);
    mem_free(r->slots);
    mem_free(r);
}

void identity_replay_forget(struct identity_replay *r, uint64_t before_s)
{
    (void)pthread_mutex_lock(&r->lock);
    if (before_s > r->before_s)
        r->before_s = before_s;
    (void)pthread_mutex_unlock(&r->lock);
}

void identity_replay_clock_set(struct identity_replay *r, int64_t by_s)
{
    (void)pthread_mutex_lock(&r->lock);
    r->before_s = by_s < 0 && (uint64_t)-by_s > r->before_s ? 0
                  : r->before_s                             ? r->before_s + (uint64_t)by_s
                                                            : 0;
    (void)pthread_mutex_unlock(&r->lock);
}

size_t identity_replay_count(struct identity_replay *r)
{
    (void)pthread_mutex_lock(&r->lock);
    size_t n = r->n;
    (void)pthread_mutex_unlock(&r->lock);
    return n;
}

struct identity_tag identity_replay_tag(const struct identity_replay *r, struct str input,
                                        struct str fixed)
{
    struct identity_tag tag;
    struct mac m;

    mac_start(&m, r->key);
    mac_text(&m, input);
    mac_text(&m, fixed);
    mac_finish(&m, tag.bytes);
    return tag;
}

static void dialog_make(const struct identity_replay *r, const struct identity_use *use,
                        uint8_t ret[16])
{
    struct mac m;

    mac_start(&m, r->key);
    mac_text(&m, use->call_id);
    mac_text(&m, use->from_tag);
    mac_finish(&m, ret);
}

static uint64_t tag_word(const struct identity_tag *tag, size_t i)
{
    uint64_t w;

    memcpy(&w, tag->bytes + 8 * i, sizeof(w));
    return w;
}

/* --- the table --- */

static uint32_t *slot_of(struct identity_replay *r, const struct identity_tag *tag)
{
    return &r->slots[tag_word(tag, 0) & (r->n_slots - 1)];
}

static struct entry *entry_find(struct identity_replay *r, const struct identity_tag *tag)
{
    for (uint32_t i = *slot_of(r, tag); i; i = r->entries[i - 1].next_in_slot) {
        if (memcmp(&r->entries[i - 1].tag, tag, sizeof(*tag)) == 0)
            return &r->entries[i - 1];
    }
    return NULL;
}

static void entry_drop(struct identity_replay *r, uint32_t index)
{
    struct entry *e = &r->entries[index];
    uint32_t *link;

    if (e->older != NONE)
        r->entries[e->older].newer = e->newer;
    else
        r->oldest = e->newer;
    if (e->newer != NONE)
        r->entries[e->newer].older = e->older;
    else
        r->newest = e->older;
    for (link = slot_of(r, &e->tag); *link != index + 1; link = &r->entries[*link - 1].next_in_slot)
        ;
    *link = e->next_in_slot;
    e->next_in_slot = r->free_list;
    r->free_list = index;
    r->n--;
}

static void forget_oldest(struct identity_replay *r)
{
    if (!r->has_forgotten || r->entries[r->oldest].issued_s > r->forgotten_s)
        r->forgotten_s = r->entries[r->oldest].issued_s;
    r->has_forgotten = true;
    entry_drop(r, r->oldest);
}

/* What has to go is remembered as a line; what is stale as well, since a clock that is set back
 * makes it fresh again. */
static void make_room(struct identity_replay *r, uint64_t now_s)
{
    while (r->oldest != NONE && r->entries[r->oldest].until_s < now_s)
        forget_oldest(r);
    if (r->n >= r->max)
        forget_oldest(r);
}

static struct entry *entry_take(struct identity_replay *r, const struct identity_tag *tag)
{
    uint32_t index = r->free_list, *slot = slot_of(r, tag);
    struct entry *e;

    if (index != NONE)
        r->free_list = r->entries[index].next_in_slot;
    else
        index = r->n_used++;
    e = &r->entries[index];
    *e = (struct entry){.tag = *tag, .next_in_slot = *slot, .older = r->newest, .newer = NONE};
    *slot = index + 1;
    if (r->newest != NONE)
        r->entries[r->newest].newer = index;
    else
        r->oldest = index;
    r->newest = index;
    r->n++;
    return e;
}

/* --- the requests of a signature --- */

static struct request *request_find(struct entry *e, uint32_t cseq)
{
    for (uint32_t i = 0; i < e->n_requests; i++) {
        if (e->requests[i].cseq == cseq)
            return &e->requests[i];
    }
    return NULL;
}

static int request_again(struct request *q)
{
    if (q->state == REPAIRABLE && !q->retried) {
        q->retried = true;
        q->state = OPEN;
        q->seen = 1;
        return ERR_EXISTS;
    }
    if (q->state != OPEN || q->seen >= LIMIT_FORK_BRANCHES)
        return ERR_CONFLICT;
    q->seen++;
    return ERR_EXISTS;
}

/* Outside of a dialog nothing but our answer tells the next try of a call from somebody else's
 * copy. */
static bool may_follow(const struct entry *e)
{
    for (uint32_t i = 0; i < e->n_requests; i++) {
        const struct request *q = &e->requests[i];

        if (q->is_in_dialog || (q->state != MENDABLE && q->state != REPAIRABLE))
            return false;
    }
    return true;
}

/* Of a dialog whoever sends next has a higher number (RFC 3261 12.2.1.1): the lowest makes room,
 * and does not come again. NULL: there is none. */
static struct request *request_room(struct entry *e, const struct identity_use *use)
{
    struct request *lowest = NULL;

    if (e->n_requests < LIMIT_IDENTITY_USES)
        return &e->requests[e->n_requests++];
    for (uint32_t i = 0; use->is_in_dialog && i < e->n_requests; i++) {
        struct request *q = &e->requests[i];

        if (q->is_in_dialog && q->cseq > use->cseq)
            return NULL;
        if (q->is_in_dialog && (!lowest || q->cseq < lowest->cseq))
            lowest = q;
    }
    return lowest;
}

static int request_add(struct entry *e, const struct identity_use *use)
{
    struct request *q = use->is_in_dialog || may_follow(e) ? request_room(e, use) : NULL;

    if (!q)
        return ERR_CONFLICT;
    *q = (struct request){
        .cseq = use->cseq, .state = OPEN, .seen = 1, .is_in_dialog = use->is_in_dialog};
    return 0;
}

/* What a client does not leave at: RFC 3261 8.1.3.4, 8.1.3.5, 21.4.26 (another
 * description), 21.5.4, RFC 4028 6, RFC 3329 2.3.1. Not what a person, or a phone that rang, has
 * answered. */
static enum request_state state_after(unsigned status)
{
    switch (status) {
    case 403:
    case 428:
    case 436:
    case 437:
    case 438:
        return REPAIRABLE;
    case 401:
    case 407:
    case 413:
    case 415:
    case 416:
    case 420:
    case 421:
    case 422:
    case 488:
    case 494:
    case 500:
    case 503:
        return MENDABLE;
    default:
        return status >= 300 && status < 400 ? MENDABLE : ANSWERED;
    }
}

static int replay_check(struct identity_replay *r, const struct identity_tag *tag,
                        const uint8_t dialog[16], const struct identity_use *use, uint64_t issued_s,
                        uint64_t until_s, uint64_t now_s)
{
    struct entry *e = entry_find(r, tag);
    struct request *q;

    if (e) {
        if (memcmp(dialog, e->dialog, sizeof(e->dialog)) != 0)
            return ERR_CONFLICT;
        if (use->is_for_dialog)
            return ERR_EXISTS;
        q = request_find(e, use->cseq);
        return q ? request_again(q) : request_add(e, use);
    }
    make_room(r, now_s);
    if (issued_s < r->before_s || (r->has_forgotten && issued_s <= r->forgotten_s))
        return ERR_TIMEOUT;
    e = entry_take(r, tag);
    memcpy(e->dialog, dialog, sizeof(e->dialog));
    e->issued_s = issued_s;
    e->until_s = until_s;
    return request_add(e, use);
}

int identity_replay_check(struct identity_replay *r, const struct identity_tag *tag,
                          const struct identity_use *use, uint64_t issued_s, uint64_t until_s,
                          uint64_t now_s)
{
    uint8_t dialog[16];
    int err;

    dialog_make(r, use, dialog);
    (void)pthread_mutex_lock(&r->lock);
    err = replay_check(r, tag, dialog, use, issued_s, until_s, now_s);
    (void)pthread_mutex_unlock(&r->lock);
    return err;
}

void identity_replay_answered(struct identity_replay *r, const struct identity_tag *tag,
                              const struct identity_use *use, unsigned status)
{
    struct entry *e;
    struct request *q;
    uint8_t dialog[16];

    dialog_make(r, use, dialog);
    (void)pthread_mutex_lock(&r->lock);
    e = entry_find(r, tag);
    q = e ? request_find(e, use->cseq) : NULL;
    if (q && memcmp(dialog, e->dialog, sizeof(dialog)) == 0)
        q->state = (uint8_t)state_after(status);
    (void)pthread_mutex_unlock(&r->lock);
}
