/* Nonces that the server recognises without having kept them (RFC 7616 5.4), and the window that
 * accepts each of their counts once (5.5).
 *
 * A nonce is 33 bytes, 44 letters of base64url: version, time (8), id (8), MAC (16). The MAC is
 * SipHash-2-4 with a key of 128 bits and a tag of 128: made for short inputs under a key that only
 * we have, and 70 ns where HMAC-SHA-256 by OpenSSL 3.0 takes 1070 in one call (200 only with a
 * context kept for each thread and key); a registration needs it twice. What it protects is
 * freshness: who forged a nonce would still have to know a password. The second half of the 32-byte
 * key is hashed first, so that none of it is unused.
 *
 * Nonces are pure and for any thread; a replay window belongs to one thread. */
#include "base/attr.h"
#include "base/mac.h"
#include "base/mem.h"
#include "base/secret.h"
#include "identity/identity_priv.h"
#include <endian.h>

#define NONCE_VERSION 1
#define NONCE_MAC_AT 17
#define NONCE_BYTES 33

static void nonce_mac(const uint8_t key[32], const uint8_t *head, struct str realm,
                      struct str binding, uint8_t ret[16])
{
    struct mac m;

    mac_start(&m, key);
    mac_add(&m, key + 16, 16);
    mac_add(&m, head, NONCE_MAC_AT);
    mac_text(&m, realm);
    mac_text(&m, binding);
    mac_finish(&m, ret);
    secret_wipe(&m, sizeof(m));
}

int digest_nonce_make(const struct digest_nonce_key *key, uint64_t now_s, uint64_t random_id,
                      struct str realm, struct str binding, char ret[DIGEST_NONCE_TEXT_MAX])
{
    uint8_t bytes[NONCE_BYTES] = {NONCE_VERSION};
    uint64_t time = htobe64(now_s), id = htobe64(random_id);

    memcpy(bytes + 1, &time, 8);
    memcpy(bytes + 9, &id, 8);
    nonce_mac(key->now, bytes, realm, binding, bytes + NONCE_MAC_AT);
    return str_base64_encode(ret, DIGEST_NONCE_TEXT_MAX, bytes, sizeof(bytes), true);
}

/* A key of zeros is one that was never set: what it signs, anybody can sign. */
static bool key_is_set(const uint8_t key[32])
{
    static const uint8_t zeros[32];

    return !secret_bytes_eq(key, zeros, sizeof(zeros));
}

static bool nonce_is_by(const uint8_t key[32], const uint8_t *bytes, struct str realm,
                        struct str binding)
{
    uint8_t mac[16];

    nonce_mac(key, bytes, realm, binding, mac);
    return secret_bytes_eq(mac, bytes + NONCE_MAC_AT, sizeof(mac));
}

int digest_nonce_check(const struct digest_nonce_key *key, uint64_t now_s, uint64_t max_age_s,
                       struct str realm, struct str binding, struct str nonce,
                       struct digest_nonce_info *ret, struct reason *why)
{
    uint8_t bytes[NONCE_BYTES];
    uint64_t word;
    size_t n = 0;

    *ret = (struct digest_nonce_info){.issued_s = 0};
    if (str_base64_decode(bytes, sizeof(bytes), nonce, true, &n) != 0 || n != sizeof(bytes) ||
        bytes[0] != NONCE_VERSION ||
        (!(key_is_set(key->now) && nonce_is_by(key->now, bytes, realm, binding)) &&
         !(key_is_set(key->before) && nonce_is_by(key->before, bytes, realm, binding)))) {
        reason_set(why, "digest-nonce-foreign", "RFC 7616 5.4", 401,
                   "not a nonce of ours, or made for another connection");
        return ERR_REFUSED;
    }
    memcpy(&word, bytes + 1, 8);
    ret->issued_s = be64toh(word);
    memcpy(&word, bytes + 9, 8);
    ret->id = be64toh(word);
    if (ret->issued_s > now_s || now_s - ret->issued_s > max_age_s) {
        reason_set(why, "digest-nonce-stale", "RFC 7616 3.3", 401, NULL);
        return ERR_TIMEOUT;
    }
    return 0;
}

/* ---- the replay window ---- */

#define WINDOW_BITS 64
#define SLOTS_PER_NONCE 4 /* a nonce is new as a rule: then most slots are empty, and no entry has to be looked at */
#define NONE UINT32_MAX

struct entry {
    uint64_t id, issued_s;
    uint64_t seen; /* bit i: count highest - i was used */
    uint32_t highest;
    uint32_t next_in_slot;
    uint32_t older, newer; /* in order of last use */
};

struct digest_replay {
    struct entry *entries;
    uint32_t *slots;
    uint32_t n_slots; /* power of two */
    uint32_t n, max;
    uint32_t oldest, newest;
    bool has_forgotten;
    uint64_t
        forgotten_s; /* nonces issued up to this second and not in the table may have been in it */
};

struct digest_replay *digest_replay_new(size_t max_nonces)
{
    struct digest_replay *r = mem_zalloc(sizeof(*r));

    if (!r)
        return NULL;
    r->max = (uint32_t)(max_nonces < 1 ? 1 : max_nonces > 1u << 24 ? 1u << 24 : max_nonces);
    r->n_slots = 1;
    while (r->n_slots < r->max * SLOTS_PER_NONCE)
        r->n_slots *= 2;
    r->entries = mem_zalloc_array(r->max, sizeof(*r->entries));
    r->slots = mem_zalloc_array(
        r->n_slots, sizeof(*r->slots)); /* index + 1; zero pages cost nothing until they are used */
    r->oldest = r->newest = NONE;
    if (!r->entries || !r->slots) {
        digest_replay_free(r);
        return NULL;
    }
    return r;
}

void digest_replay_free(struct digest_replay *r)
{
    if (!r)
        return;
    mem_free(r->entries);
    mem_free(r->slots);
    mem_free(r);
}

/* The ids are our own random numbers, proved by the MAC: they need no hashing. */
static uint32_t *slot_of(struct digest_replay *r, uint64_t id)
{
    return &r->slots[id & (r->n_slots - 1)];
}

static void age_unlink(struct digest_replay *r, struct entry *e)
{
    if (e->older != NONE)
        r->entries[e->older].newer = e->newer;
    else
        r->oldest = e->newer;
    if (e->newer != NONE)
        r->entries[e->newer].older = e->older;
    else
        r->newest = e->older;
}

static void age_append(struct digest_replay *r, struct entry *e)
{
    uint32_t i = (uint32_t)(e - r->entries);

    e->older = r->newest;
    e->newer = NONE;
    if (r->newest != NONE)
        r->entries[r->newest].newer = i;
    else
        r->oldest = i;
    r->newest = i;
}

static struct entry *entry_find(struct digest_replay *r, const struct digest_nonce_info *nonce)
{
    for (uint32_t i = *slot_of(r, nonce->id); i; i = r->entries[i - 1].next_in_slot) {
        struct entry *e = &r->entries[i - 1];

        if (e->id == nonce->id && e->issued_s == nonce->issued_s)
            return e;
    }
    return NULL;
}

/* A free entry, made by forgetting the one that was not used for longest if it must be. */
static struct entry *entry_take(struct digest_replay *r)
{
    struct entry *e;
    uint32_t *link, index;

    if (r->n < r->max)
        return &r->entries[r->n++];
    index = r->oldest;
    e = &r->entries[index];
    age_unlink(r, e);
    for (link = slot_of(r, e->id); *link != index + 1; link = &r->entries[*link - 1].next_in_slot)
        ;
    *link = e->next_in_slot;
    if (!r->has_forgotten || e->issued_s > r->forgotten_s)
        r->forgotten_s = e->issued_s;
    r->has_forgotten = true;
    return e;
}

static int entry_count(struct entry *e, uint32_t nc)
{
    uint32_t behind;

    if (nc > e->highest) {
        e->seen = nc - e->highest < WINDOW_BITS ? e->seen << (nc - e->highest) : 0;
        e->seen |= 1;
        e->highest = nc;
        return 0;
    }
    behind = e->highest - nc;
    if (behind >= WINDOW_BITS || (e->seen & UINT64_C(1) << behind))
        return ERR_CONFLICT;
    e->seen |= UINT64_C(1) << behind;
    return 0;
}

/* Its slot, and that of the entry that will have to go for it, which entry_warm has brought near. */
void digest_replay_warm(const struct digest_replay *r, const struct digest_nonce_info *nonce)
{
    PREFETCH(&r->slots[nonce->id & (r->n_slots - 1)]);
    if (r->n == r->max)
        PREFETCH(&r->slots[r->entries[r->oldest].id & (r->n_slots - 1)]);
}

/* The entry that the next new nonce takes, and the one after it in age, whose link changes. */
static void entry_warm(const struct digest_replay *r)
{
    const struct entry *e = &r->entries[r->n < r->max ? r->n : r->oldest];

    PREFETCH(e);
    PREFETCH(e + 1 < r->entries + r->max ? e + 1 : e);
}

int digest_replay_check(struct digest_replay *r, const struct digest_nonce_info *nonce, uint32_t nc)
{
    struct entry *e = entry_find(r, nonce);
    uint32_t *slot;

    if (nc == 0)
        return ERR_CONFLICT;
    if (e) {
        age_unlink(r, e);
        age_append(r, e);
        return entry_count(e, nc);
    }
    if (r->has_forgotten && nonce->issued_s <= r->forgotten_s)
        return ERR_TIMEOUT;
    e = entry_take(r);
    slot = slot_of(r, nonce->id);
    *e = (struct entry){.id = nonce->id,
                        .issued_s = nonce->issued_s,
                        .seen = 1,
                        .highest = nc,
                        .next_in_slot = *slot};
    *slot = (uint32_t)(e - r->entries) + 1;
    age_append(r, e);
    entry_warm(r);
    return 0;
}
