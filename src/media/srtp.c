/* The keys of one direction of an RTP session and what belongs to each of its SSRCs: installing
 * keys and replacing them, deriving session keys, counting. RFC 3711 3.2, 4.3, 8.1, 9.2, RFC
 * 4568 6.1, 6.4, 7.1.4. A media_srtp belongs to one thread at a time. */
#include "base/err.h"
#include "base/mem.h"
#include "base/secret.h"
#include "media/srtp_priv.h"

#define BLOCKS(n) (((n) + 15) & ~(size_t)15) /* whole ones */

const char *media_srtp_verdict_text(enum media_srtp_verdict v)
{
    static const char *const texts[MEDIA_SRTP_VERDICTS] = {
        [MEDIA_SRTP_OK] = "ok",
        [MEDIA_SRTP_MALFORMED] = "malformed",
        [MEDIA_SRTP_FORGED] = "forged",
        [MEDIA_SRTP_REPLAYED] = "replayed",
        [MEDIA_SRTP_OLD] = "old",
        [MEDIA_SRTP_NO_KEY] = "no-key",
        [MEDIA_SRTP_EXPIRED] = "key-expired",
        [MEDIA_SRTP_SSRC_LIMIT] = "ssrc-limit",
        [MEDIA_SRTP_CLEAR] = "clear-rtcp",
        [MEDIA_SRTP_NO_ROOM] = "no-room",
        [MEDIA_SRTP_FAILED] = "failed",
    };

    return v < MEDIA_SRTP_VERDICTS ? texts[v] : "?";
}

/* ---- epochs ---- */

static struct msrtp_epoch *epoch_new(uint32_t roc_start)
{
    struct msrtp_epoch *epoch = mem_zalloc(sizeof(*epoch));

    if (epoch != NULL) {
        epoch->refs = 1;
        epoch->roc_start = roc_start;
        epoch->ssrcs = &epoch->first;
        epoch->cap = 1;
    }
    return epoch;
}

static struct msrtp_epoch *epoch_ref(struct msrtp_epoch *epoch)
{
    epoch->refs++;
    return epoch;
}

static void epoch_unref(struct msrtp_epoch *epoch)
{
    if (epoch == NULL || --epoch->refs > 0)
        return;
    if (epoch->ssrcs != &epoch->first)
        mem_free(epoch->ssrcs);
    mem_free(epoch);
}

struct msrtp_ssrc *msrtp_epoch_find(const struct msrtp_epoch *epoch, uint32_t ssrc)
{
    for (uint32_t i = 0; i < epoch->n; i++) {
        if (epoch->ssrcs[i].ssrc == ssrc)
            return &epoch->ssrcs[i];
    }
    return NULL;
}

static bool epoch_grow(struct msrtp_epoch *epoch)
{
    bool is_inside = epoch->ssrcs == &epoch->first;
    uint32_t cap = 2 * epoch->cap;
    struct msrtp_ssrc *grown = mem_realloc(is_inside ? NULL : epoch->ssrcs, cap * sizeof(*grown));

    if (grown == NULL)
        return false;
    if (is_inside)
        grown[0] = epoch->first;
    epoch->ssrcs = grown;
    epoch->cap = cap;
    return true;
}

enum media_srtp_verdict msrtp_epoch_get(struct media_srtp *s, struct msrtp_epoch *epoch,
                                        uint32_t ssrc, struct msrtp_ssrc **ret)
{
    struct msrtp_ssrc *found = msrtp_epoch_find(epoch, ssrc);

    if (found == NULL) {
        if (epoch->n >= LIMIT_SRTP_SSRCS)
            return MEDIA_SRTP_SSRC_LIMIT;
        if (epoch->n == epoch->cap && !epoch_grow(epoch))
            return MEDIA_SRTP_FAILED;
        found = &epoch->ssrcs[epoch->n++];
        *found = (struct msrtp_ssrc){.ssrc = ssrc};
        s->stats.n_ssrcs++;
    }
    *ret = found;
    return MEDIA_SRTP_OK;
}

/* ---- keys ---- */

/* Without keys yet, but with room for them. */
static struct msrtp_session *session_new(const struct keying_suite *suite, enum msrtp_room room)
{
    size_t n = msrtp_cipher_room(suite, room);
    struct msrtp_session *k = mem_zalloc(BLOCKS(sizeof(*k)) + n);

    if (k != NULL && n > 0)
        msrtp_cipher_place(&k->cipher, suite, room, (uint8_t *)k + BLOCKS(sizeof(*k)));
    return k;
}

static void session_done(struct msrtp_session *k)
{
    msrtp_cipher_done(&k->cipher);
    secret_wipe(k, sizeof(*k));
}

static void session_free(struct msrtp_session *k)
{
    if (k == NULL)
        return;
    session_done(k);
    mem_free(k);
}

static void key_free(struct msrtp_key *key)
{
    if (key == NULL)
        return;
    session_done(&key->first);
    session_free(key->rtp[1]);
    session_free(key->rtcp[0]);
    session_free(key->rtcp[1]);
    EVP_CIPHER_CTX_free(key->prf);
    epoch_unref(key->epoch);
    secret_wipe(key, sizeof(*key));
    mem_free(key);
}

/* Derives the keys of RTP (first_label 0) or RTCP (3) for r. */
static bool session_derive(const struct msrtp_key *key, struct msrtp_session *k,
                           EVP_CIPHER_CTX *prf, bool is_sender, unsigned first_label, uint64_t r)
{
    const struct keying_suite *suite = key->suite;
    uint8_t enc[KEYING_MASTER_KEY_MAX], auth[20];
    bool ok;

    k->is_ready = false;
    memset(k->salt, 0, sizeof(k->salt));
    ok = msrtp_kdf(prf, key->salt, suite->salt_len, first_label + SRTP_LABEL_KEY, r, enc,
                   suite->key_len) &&
         msrtp_kdf(prf, key->salt, suite->salt_len, first_label + SRTP_LABEL_SALT, r, k->salt,
                   suite->salt_len) &&
         msrtp_kdf(prf, key->salt, suite->salt_len, first_label + SRTP_LABEL_AUTH, r, auth,
                   suite->auth_key_len) &&
         msrtp_cipher_set(&k->cipher, suite, is_sender, enc, k->salt) == 0;
    if (ok) {
        msrtp_hmac_set(&k->hmac, auth, suite->auth_key_len);
        k->r = r;
        k->is_ready = true;
    }
    secret_wipe(enc, sizeof(enc));
    secret_wipe(auth, sizeof(auth));
    return ok;
}

/* The session keys for r: those that are there, or else in place of the older ones. */
static struct msrtp_session *session_get(const struct media_srtp *s, struct msrtp_key *key,
                                         struct msrtp_session *pair[2], unsigned first_label,
                                         uint64_t r)
{
    bool has_first = pair[0] != NULL && pair[0]->is_ready;
    bool has_second = pair[1] != NULL && pair[1]->is_ready;
    unsigned at = has_first && (!has_second || pair[1]->r < pair[0]->r);
    EVP_CIPHER_CTX *prf = key->prf;
    bool ok;

    if (LIKELY(has_first && pair[0]->r == r))
        return pair[0];
    if (has_second && pair[1]->r == r)
        return pair[1];
    if (pair[at] == NULL)
        pair[at] = session_new(key->suite, first_label == 0 ? SRTP_ROOM_SCHEDULE : SRTP_ROOM_KEY);
    if (pair[at] == NULL)
        return NULL;
    if (prf == NULL)
        prf = msrtp_kdf_new(key->master, key->suite->key_len);
    ok = prf != NULL &&
         session_derive(key, pair[at], prf, s->dir == MEDIA_SRTP_SEND, first_label, r);
    if (prf != key->prf)
        EVP_CIPHER_CTX_free(prf);
    return ok ? pair[at] : NULL;
}

struct msrtp_session *msrtp_key_rtp(const struct media_srtp *s, struct msrtp_key *key,
                                    uint64_t index)
{
    uint64_t r = key->kdr == 0 ? 0 : (index & 0xffffffffffffull) >> key->kdr;

    return session_get(s, key, key->rtp, 0, r);
}

struct msrtp_session *msrtp_key_rtcp(const struct media_srtp *s, struct msrtp_key *key,
                                     uint32_t index)
{
    return session_get(s, key, key->rtcp, SRTP_LABELS, key->kdr == 0 ? 0 : index >> key->kdr);
}

/* New keys are asked for when three quarters of the packets are used, and long before 2^31 of all
 * SSRCs together (RFC 4568 6.4.2): the key exchange needs seconds, and some peers refuse the first
 * attempt. */
static uint64_t due_at(uint64_t max)
{
    uint64_t near = max < (1ull << 31) ? max : 1ull << 31;

    return near - near / 4;
}

static bool key_digest(const struct keying_suite *suite, const struct keying_key *from,
                       uint8_t ret[16])
{
    uint8_t digest[32], both[KEYING_MASTER_KEY_MAX + KEYING_MASTER_SALT_MAX];
    unsigned n = 0;
    bool ok;

    memcpy(both, from->key, suite->key_len);
    memcpy(both + suite->key_len, from->salt, suite->salt_len);
    ok = EVP_Digest(both, (size_t)suite->key_len + suite->salt_len, digest, &n, EVP_sha256(),
                    NULL) == 1;
    memcpy(ret, digest, 16);
    secret_wipe(both, sizeof(both));
    return ok;
}

static void key_set_flags(struct msrtp_key *key, const struct keying_keys *keys)
{
    key->encrypts_rtp = !keys->unencrypted_rtp;
    key->encrypts_rtcp = !keys->unencrypted_rtcp;
    key->authenticates_rtp = !keys->unauthenticated_rtp;
    key->rtp_tag = keys->unauthenticated_rtp ? 0 : key->suite->rtp_tag_len;
    if (key->suite->rtp_tag_len == 4 && keys->rtcp_tag == KEYING_RTCP_TAG_32)
        key->rtcp_tag = 4;
    key->detects_tag = key->detects_tag || (key->n_rtcp == 0 && key->suite->rtp_tag_len == 4 &&
                                            keys->rtcp_tag == KEYING_RTCP_TAG_DETECT);
}

static int key_new(const struct media_srtp *s, const struct keying_keys *keys,
                   const struct keying_key *from, const uint8_t id[16], struct msrtp_key **ret)
{
    const struct keying_suite *suite = keys->suite;
    size_t n = BLOCKS(sizeof(struct msrtp_key) + from->mki_len);
    size_t n_room = msrtp_cipher_room(suite, SRTP_ROOM_SCHEDULE);
    struct msrtp_key *key = mem_zalloc(n + n_room);

    if (key == NULL)
        return ERR_NOMEM;
    key->suite = suite;
    key->rtp[0] = &key->first;
    if (n_room > 0)
        msrtp_cipher_place(&key->first.cipher, suite, SRTP_ROOM_SCHEDULE, (uint8_t *)key + n);
    memcpy(key->id, id, sizeof(key->id));
    memcpy(key->master, from->key, suite->key_len);
    memcpy(key->salt, from->salt, suite->salt_len);
    key->mki_len = from->mki_len;
    memcpy(key->mki, from->mki, from->mki_len);
    key->kdr = keys->kdr;
    key->rtcp_tag = suite->rtcp_tag_len;
    key_set_flags(key, keys);
    key->max_rtp = from->max_rtp != 0 ? from->max_rtp : suite->max_rtp;
    key->max_rtcp = from->max_rtcp != 0 ? from->max_rtcp : suite->max_rtcp;
    if ((key->kdr != 0 && (key->prf = msrtp_kdf_new(key->master, suite->key_len)) == NULL) ||
        msrtp_key_rtp(s, key, (uint64_t)keys->roc_start << 16) == NULL) {
        key_free(key);
        return ERR_CRYPTO;
    }
    *ret = key;
    return 0;
}

/* ---- the object ---- */

int media_srtp_new(struct media_srtp **ret, enum media_srtp_dir dir)
{
    struct media_srtp *s = mem_zalloc(sizeof(*s));

    if (s == NULL)
        return ERR_NOMEM;
    s->dir = dir;
    *ret = s;
    return 0;
}

void media_srtp_free(struct media_srtp *s)
{
    if (s == NULL)
        return;
    for (unsigned i = 0; i < s->n_all; i++)
        key_free(s->keys[i]);
    mem_free(s->used);
    mem_free(s->n_refused);
    secret_wipe(s, sizeof(*s));
    mem_free(s);
}

void media_srtp_warm(const struct media_srtp *s, unsigned step)
{
    const struct msrtp_key *key;

    if (s == NULL)
        return;
    if (step == 0) {
        msrtp_warm(s, offsetof(struct media_srtp, n_used));
        return;
    }
    if (s->n_now == 0)
        return;
    key = s->keys[s->at];
    if (step == 1) {
        msrtp_warm(key, offsetof(struct msrtp_key, rtcp));
        return;
    }
    msrtp_warm(key->epoch, sizeof(*key->epoch));
    if (key->first.cipher.mb != NULL)
        msrtp_mb_warm(key->first.cipher.mb, key->first.cipher.kind, key->first.cipher.key_len);
}

const struct media_srtp_stats *media_srtp_stats(const struct media_srtp *s)
{
    return &s->stats;
}

enum media_srtp_verdict msrtp_count_refused(struct media_srtp *s, bool is_rtcp,
                                            enum media_srtp_verdict v)
{
    if (s->n_refused == NULL)
        s->n_refused = mem_zalloc(2 * sizeof(*s->n_refused));
    if (s->n_refused != NULL)
        s->n_refused[is_rtcp][v]++;
    return v;
}

uint64_t media_srtp_count(const struct media_srtp *s, bool is_rtcp, enum media_srtp_verdict v)
{
    if (v == MEDIA_SRTP_OK)
        return s->n_ok[is_rtcp];
    return s->n_refused != NULL && v < MEDIA_SRTP_VERDICTS ? s->n_refused[is_rtcp][v] : 0;
}

bool media_srtp_index(const struct media_srtp *s, uint32_t ssrc, uint64_t *ret_index)
{
    for (unsigned i = 0; i < s->n_all; i++) {
        const struct msrtp_ssrc *found = msrtp_epoch_find(s->keys[i]->epoch, ssrc);

        if (found != NULL && found->has_rtp) {
            *ret_index = found->index & 0xffffffffffffull;
            return true;
        }
    }
    return false;
}

/* ---- installing ---- */

struct install {
    struct msrtp_key *keys[LIMIT_SRTP_KEYS];
    bool is_kept[LIMIT_SRTP_KEYS]; /* it is in use already */
    uint8_t ids[LIMIT_SRTP_KEYS][16];
    struct msrtp_epoch *epoch; /* of those that are not */
};

static struct msrtp_key *find_same(const struct media_srtp *s, const struct keying_keys *keys,
                                   const struct keying_key *from, const uint8_t id[16])
{
    for (unsigned i = 0; i < s->n_all; i++) {
        struct msrtp_key *key = s->keys[i];

        if (key->suite == keys->suite && key->kdr == keys->kdr && key->mki_len == from->mki_len &&
            memcmp(key->mki, from->mki, key->mki_len) == 0 &&
            memcmp(key->id, id, sizeof(key->id)) == 0)
            return key;
    }
    return NULL;
}

static bool was_used(const struct media_srtp *s, const uint8_t id[16])
{
    unsigned n = s->n_used < SRTP_IDS ? s->n_used : SRTP_IDS;

    for (unsigned i = 0; i < n; i++) {
        if (memcmp(s->used[i], id, 16) == 0)
            return true;
    }
    return false;
}

/* Receiving, a key that is there already under another suite or MKI: its indices go on whatever the
 * policy says. */
static struct msrtp_epoch *epoch_of_id(const struct media_srtp *s, const uint8_t id[16])
{
    for (unsigned i = 0; i < s->n_all; i++) {
        if (memcmp(s->keys[i]->id, id, 16) == 0)
            return s->keys[i]->epoch;
    }
    return NULL;
}

static int hint_add(struct media_srtp *s, struct msrtp_epoch *epoch, uint32_t ssrc,
                    enum msrtp_hint hint, uint64_t index)
{
    struct msrtp_ssrc *found;
    enum media_srtp_verdict v = msrtp_epoch_get(s, epoch, ssrc, &found);

    if (v != MEDIA_SRTP_OK)
        return v == MEDIA_SRTP_SSRC_LIMIT ? ERR_LIMIT : ERR_NOMEM;
    if (!found->has_rtp) {
        found->hint = hint;
        found->index = index;
    }
    return 0;
}

/* What key management told, and, where it is to be found out whether the counters go on, where they
 * were. */
static int hint_all(struct media_srtp *s, const struct keying_keys *keys, struct msrtp_epoch *epoch)
{
    const struct msrtp_epoch *before = s->n_now > 0 ? s->keys[0]->epoch : epoch;
    int err = 0;

    for (uint32_t i = 0;
         i < before->n && before != epoch && keys->roc == KEYING_ROC_PROBE && err == 0; i++) {
        const struct msrtp_ssrc *from = &before->ssrcs[i];

        if (from->has_rtp || from->hint == SRTP_HINT_INDEX)
            err = hint_add(s, epoch, from->ssrc, SRTP_HINT_INDEX, from->index);
    }
    for (size_t i = 0; i < keys->n_ssrcs && err == 0; i++)
        err = hint_add(s, epoch, keys->ssrc[i].ssrc, SRTP_HINT_ROC,
                       (uint64_t)keys->ssrc[i].roc << 16);
    return err;
}

/* The epoch for keys that are new: the present one where the counters go on. */
static int install_epoch(struct media_srtp *s, const struct keying_keys *keys, struct install *in)
{
    struct msrtp_epoch *now = s->n_now > 0 ? s->keys[0]->epoch : NULL;
    bool goes_on = keys->roc == KEYING_ROC_KEEP ||
                   (keys->roc == KEYING_ROC_PROBE && s->dir == MEDIA_SRTP_SEND);

    in->epoch = now != NULL && goes_on ? epoch_ref(now) : epoch_new(keys->roc_start);
    return in->epoch != NULL ? 0 : ERR_NOMEM;
}

/* Room to remember n more keys. */
static int used_reserve(struct media_srtp *s, unsigned n)
{
    unsigned cap = s->n_used + n < SRTP_IDS ? s->n_used + n : SRTP_IDS;
    uint8_t(*grown)[16];

    if (s->dir != MEDIA_SRTP_SEND || cap <= s->cap_used)
        return 0;
    grown = mem_realloc(s->used, cap * sizeof(*grown));
    if (grown == NULL)
        return ERR_NOMEM;
    s->used = grown;
    s->cap_used = (uint8_t)cap;
    return 0;
}

static int install_prepare(struct media_srtp *s, const struct keying_keys *keys, struct install *in)
{
    int err = install_epoch(s, keys, in);

    for (size_t i = 0; i < keys->n && err == 0; i++) {
        struct msrtp_epoch *epoch = in->epoch, *same;

        if (!key_digest(keys->suite, &keys->key[i], in->ids[i]))
            return ERR_CRYPTO;
        in->keys[i] = find_same(s, keys, &keys->key[i], in->ids[i]);
        if (in->keys[i] != NULL) {
            in->is_kept[i] = true;
            continue;
        }
        if (s->dir == MEDIA_SRTP_SEND && was_used(s, in->ids[i]))
            return ERR_REFUSED;
        same = epoch_of_id(s, in->ids[i]);
        if (same != NULL)
            epoch = same;
        err = key_new(s, keys, &keys->key[i], in->ids[i], &in->keys[i]);
        if (err == 0)
            in->keys[i]->epoch = epoch_ref(epoch);
    }
    if (err == 0)
        err = used_reserve(s, (unsigned)keys->n);
    return err == 0 ? hint_all(s, keys, in->epoch) : err;
}

static void install_undo(struct install *in, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (!in->is_kept[i])
            key_free(in->keys[i]);
    }
    epoch_unref(in->epoch);
}

static bool is_among(const struct msrtp_key *key, struct msrtp_key *const *keys, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (keys[i] == key)
            return true;
    }
    return false;
}

static void count_ssrcs(struct media_srtp *s)
{
    s->stats.n_ssrcs = 0;
    s->stats.n_keys = s->n_all;
    for (unsigned i = 0; i < s->n_all; i++) {
        bool counted = false;

        for (unsigned j = 0; j < i; j++)
            counted = counted || s->keys[j]->epoch == s->keys[i]->epoch;
        s->stats.n_ssrcs += counted ? 0 : s->keys[i]->epoch->n;
    }
}

/* Sending: each SSRC may use 2^48 indices from here on, for the key is another. */
static void begin_indices(struct msrtp_epoch *epoch)
{
    for (uint32_t i = 0; i < epoch->n; i++)
        epoch->ssrcs[i].first = epoch->ssrcs[i].index;
}

static void install_commit(struct media_srtp *s, const struct keying_keys *keys, struct install *in)
{
    const struct msrtp_key *in_use = s->n_now > 0 ? s->keys[s->at] : NULL;
    struct msrtp_key *old[LIMIT_SRTP_KEYS];
    unsigned n_old = 0;
    bool any_new = false;

    /* What was present and is not any more is old now (receiving); what was old already goes. */
    for (unsigned i = 0; i < s->n_all; i++) {
        if (is_among(s->keys[i], in->keys, keys->n))
            continue;
        if (s->dir == MEDIA_SRTP_RECEIVE && i < s->n_now)
            old[n_old++] = s->keys[i];
        else
            key_free(s->keys[i]);
    }
    s->at = 0;
    for (size_t i = 0; i < keys->n; i++) {
        s->keys[i] = in->keys[i];
        if (in->keys[i] == in_use)
            s->at = (uint8_t)i;
        if (in->is_kept[i]) {
            key_set_flags(in->keys[i], keys);
            continue;
        }
        any_new = true;
        if (s->dir == MEDIA_SRTP_SEND)
            memcpy(s->used[s->n_used++ % SRTP_IDS], in->ids[i], 16);
    }
    for (unsigned i = 0; i < n_old; i++)
        s->keys[keys->n + i] = old[i];
    s->n_now = (uint8_t)keys->n;
    s->n_all = (uint8_t)(keys->n + n_old);
    epoch_unref(in->epoch);
    if (any_new) {
        s->at = 0;
        s->n_probes = LIMIT_SRTP_PROBES;
        s->stats.rekey_due = false;
        s->stats.roc_was_reset = false;
        if (s->dir == MEDIA_SRTP_SEND)
            begin_indices(s->keys[0]->epoch);
    }
    count_ssrcs(s);
}

int media_srtp_install(struct media_srtp *s, const struct keying_keys *keys)
{
    struct install in = {.epoch = NULL};
    int err = keying_keys_check(keys);

    if (err != 0)
        return err;
    err = install_prepare(s, keys, &in);
    if (err != 0)
        install_undo(&in, keys->n);
    else
        install_commit(s, keys, &in);
    return err;
}

void media_srtp_drop_old(struct media_srtp *s)
{
    for (unsigned i = s->n_now; i < s->n_all; i++)
        key_free(s->keys[i]);
    s->n_all = s->n_now;
    count_ssrcs(s);
}

bool media_srtp_is_used(const struct media_srtp *s)
{
    for (unsigned i = 0; i < s->n_now; i++) {
        if (s->keys[i]->n_rtp + s->keys[i]->n_rtcp > 0)
            return true;
    }
    return false;
}

bool media_srtp_authenticates(const struct media_srtp *s)
{
    for (unsigned i = 0; i < s->n_all; i++) {
        if (!s->keys[i]->authenticates_rtp)
            return false;
    }
    return true;
}

void media_srtp_set_rtcp_tag(struct media_srtp *s, unsigned len)
{
    for (unsigned i = 0; s->dir == MEDIA_SRTP_SEND && i < s->n_now; i++) {
        if (s->keys[i]->suite->rtp_tag_len == 4 && (len == 4 || len == 10))
            s->keys[i]->rtcp_tag = (uint8_t)len;
    }
}

/* ---- counting ---- */

struct msrtp_key *msrtp_key_to_send(struct media_srtp *s, bool is_rtcp,
                                    enum media_srtp_verdict *ret_why)
{
    *ret_why = s->n_now == 0 ? MEDIA_SRTP_NO_KEY : MEDIA_SRTP_EXPIRED;
    for (; s->at < s->n_now; s->at++) {
        struct msrtp_key *key = s->keys[s->at];

        if (LIKELY(is_rtcp ? key->n_rtcp < key->max_rtcp : key->n_rtp < key->max_rtp))
            return key;
        if (s->at + 1 < s->n_now)
            begin_indices(key->epoch);
    }
    /* The last one may still be good for the other kind. */
    s->at = (uint8_t)(s->n_now > 0 ? s->n_now - 1 : 0);
    s->stats.rekey_due = true;
    return NULL;
}

/* A key among several that is used up is followed by the next one, without anybody being asked. */
static bool is_last_key(const struct media_srtp *s, const struct msrtp_key *key)
{
    return s->dir == MEDIA_SRTP_RECEIVE ? s->n_now == 1 && s->keys[0] == key
                                        : s->n_now > 0 && s->keys[s->n_now - 1] == key;
}

void msrtp_key_count_rtp(struct media_srtp *s, struct msrtp_key *key)
{
    if (UNLIKELY(++key->n_rtp >= due_at(key->max_rtp)) && is_last_key(s, key))
        s->stats.rekey_due = true;
}

void msrtp_key_count_rtcp(struct media_srtp *s, struct msrtp_key *key)
{
    if (UNLIKELY(++key->n_rtcp >= due_at(key->max_rtcp)) && is_last_key(s, key))
        s->stats.rekey_due = true;
}
