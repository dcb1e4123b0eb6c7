/* Security descriptions: keys in the SDP. RFC 4568, TR/100 8.2.1, 8.2.1.3. One object for each
 * medium of each leg, owned with the leg; pure.
 *
 * Each side says in its crypto lines the keys that it sends with. The state is what has been
 * agreed, and, while an offer of ours is out, the lines of that offer: until its answer the agreed
 * keys stay in force, and if it is refused they just do.
 *
 *              offer                     accept
 *     new  ------------->  offered  ------------------>  agreed  <--.
 *      |     <-----------             <--------------      | |      | offer, answer
 *      |       rollback                  rollback          | '------'
 *      '----------------- answer --------------------------'
 *
 * Every object draws keys of its own, so no branch of a fork that we make sees another's. What we
 * cannot prevent is that somebody downstream forks our offer: then its keys are known to all who
 * got it, which the facts say, and a re-key is asked for (RFC 4568 7.3). */
#include "base/err.h"
#include "base/mem.h"
#include "base/secret.h"
#include "keying/sdes_line.h"
#include "sdp/values.h"

#define LINES_MAX KEYING_SUITES
#define ALL_PATHS ((1u << KEYING_PATHS) - 1)

struct sdes_offer {
    bool is_seen; /* by more than one who answers */
    size_t n;
    struct sdes_line line[LINES_MAX];
};

struct sdes_undo {
    bool was_agreed;
    struct sdes_line own;
    struct keying_facts facts;
};

enum { PENDING_SEND = 1, PENDING_RECEIVE = 2, PENDING_FACTS = 4, PENDING_REKEY = 8 };

struct sdes {
    struct keying_medium base;
    struct sdes_offer *offer; /* out, and not answered yet */
    bool is_agreed;
    struct sdes_line own; /* what we send with */
    bool send_waits;      /* ... as soon as our answer is on its way */
    struct sdes_undo
        *undo; /* the state before the last answer of ours, until something else happens */
    uint64_t next_mki;
    struct keying_keys *receive; /* on its way to the media plane */
    struct keying_keys *handed;  /* what the last event points to */
    unsigned pending;
    struct keying_facts facts;
};

static struct sdes *sdes_of(struct keying_medium *m)
{
    return CONTAINER_OF(m, struct sdes, base);
}

static void drop_offer(struct sdes *s)
{
    if (s->offer == NULL)
        return;
    secret_wipe(s->offer, sizeof(*s->offer));
    mem_free(s->offer);
    s->offer = NULL;
}

static void drop_keys(struct keying_keys **keys)
{
    if (*keys == NULL)
        return;
    keying_keys_wipe(*keys);
    mem_free(*keys);
    *keys = NULL;
}

static void drop_undo(struct sdes *s)
{
    if (s->undo == NULL)
        return;
    secret_wipe(s->undo, sizeof(*s->undo));
    mem_free(s->undo);
    s->undo = NULL;
}

/* The peer has our answer, or soon will. */
static void be_answered(struct sdes *s)
{
    if (s->send_waits)
        s->pending |= PENDING_SEND;
    s->send_waits = false;
    drop_undo(s);
}

static int sdes_new(struct keying_medium **ret, struct keying_leg *leg, int section)
{
    struct sdes *s = mem_zalloc(sizeof(*s));

    if (s == NULL)
        return ERR_NOMEM;
    s->base = (struct keying_medium){.method = &keying_sdes, .leg = leg, .section = section};
    s->next_mki = 1;
    s->facts = keying_facts_clear();
    s->facts.method = KEYING_SDES;
    *ret = &s->base;
    return 0;
}

static void sdes_free(struct keying_medium *m)
{
    struct sdes *s = sdes_of(m);

    drop_offer(s);
    drop_undo(s);
    drop_keys(&s->receive);
    drop_keys(&s->handed);
    secret_wipe(s, sizeof(*s));
    mem_free(s);
}

/* Somebody else has the keys of the offer that is out, or of the one that was answered. */
static void be_seen(struct sdes *s)
{
    if (s->offer != NULL) {
        s->offer->is_seen = true;
    } else if (s->is_agreed && !s->facts.seen_by_branches) {
        s->facts.seen_by_branches = true;
        s->pending |= PENDING_FACTS | PENDING_REKEY;
    }
}

/* All who answer have seen the same keys. The twin takes them for its answer, and both ask for new
 * ones. */
static int sdes_fork(struct keying_medium *m, struct keying_leg *leg, struct keying_medium **ret)
{
    struct sdes *s = sdes_of(m), *twin;
    int err = sdes_new(ret, leg, m->section);

    if (err != 0)
        return err;
    twin = sdes_of(*ret);
    if (s->offer == NULL && !s->is_agreed)
        return 0;
    twin->offer = mem_zalloc(sizeof(*twin->offer));
    if (twin->offer == NULL) {
        sdes_free(*ret);
        *ret = NULL;
        return ERR_NOMEM;
    }
    if (s->offer != NULL) {
        *twin->offer = *s->offer;
    } else { /* answered already: of what was offered the line that was taken is left */
        twin->offer->n = 1;
        twin->offer->line[0] = s->own;
    }
    twin->offer->is_seen = true;
    twin->next_mki = s->next_mki;
    be_seen(s);
    return 0;
}

/* ---- making lines ---- */

static void put_mki(struct keying_key *key, size_t len, uint64_t value)
{
    key->mki_len = (uint8_t)len;
    for (size_t i = len; i-- > 0; value >>= 8)
        key->mki[i] = (uint8_t)value;
}

/* Fresh keys for a suite. mki_len 0: a single key without MKI. */
static void draw_keys(struct sdes *s, const struct keying_at *at,
                      const struct keying_policy *policy, const struct keying_suite *suite,
                      size_t mki_len, struct sdes_line *line)
{
    struct keying_keys *keys = &line->keys;
    uint64_t lifetime =
        policy->sdes_lifetime < suite->max_rtp ? policy->sdes_lifetime : suite->max_rtp;

    *keys = (struct keying_keys){.suite = suite, .n = 1};
    if (mki_len > 0 && policy->sdes_n_keys > 1)
        keys->n = policy->sdes_n_keys < LIMIT_SRTP_KEYS ? policy->sdes_n_keys : LIMIT_SRTP_KEYS;
    for (size_t i = 0; i < keys->n; i++) {
        struct keying_key *key = &keys->key[i];

        rand_fill(at->rand, key->key, suite->key_len);
        rand_fill(at->rand, key->salt, suite->salt_len);
        if (mki_len > 0) {
            put_mki(key, mki_len, s->next_mki);
            s->next_mki =
                mki_len < 8 && (s->next_mki + 1) >> (8 * mki_len) != 0 ? 1 : s->next_mki + 1;
        }
        key->max_rtp = lifetime;
        key->max_rtcp = lifetime < suite->max_rtcp ? lifetime : suite->max_rtcp;
    }
    if (policy->rtcp_tag == KEYING_RTCP_TAG_32)
        keys->rtcp_tag = KEYING_RTCP_TAG_32;
}

static bool has_tag(const struct sdes_offer *offer, uint32_t tag)
{
    for (size_t i = 0; i < offer->n; i++) {
        if (offer->line[i].tag == tag)
            return true;
    }
    return false;
}

/* A line for each suite that policy allows, with keys of its own. What is agreed comes first and
 * keeps its keys, unless new ones are wanted (7.1.4: where our address has changed they must be).
 */
static void offer_lines(struct sdes *s, const struct keying_at *at, const struct keying_wish *wish,
                        struct sdes_offer *o)
{
    const struct keying_policy *policy = wish->policy;
    bool keeps = s->is_agreed && !wish->rekey && !wish->is_moved &&
                 keying_policy_allows(policy, s->own.keys.suite->id);
    uint32_t tag = 1;

    if (keeps)
        o->line[o->n++] = s->own;
    for (size_t i = 0; i < policy->n_suites && o->n < LINES_MAX; i++) {
        const struct keying_suite *suite = keying_suite_get(policy->suites[i]);
        struct sdes_line *line = &o->line[o->n];

        if (suite->cipher == KEYING_NULL || (keeps && suite == s->own.keys.suite))
            continue; /* SDP has no name for NULL */
        while (has_tag(o, tag))
            tag++;
        if (str_copy_z(line->name, sizeof(line->name), str_z(suite->name)) != 0)
            continue;
        line->tag = tag;
        draw_keys(s, at, policy, suite, policy->sdes_mki_len, line);
        line->keys.roc = wish->is_moved ? KEYING_ROC_RESET : policy->roc;
        o->n++;
    }
}

static int say_line(struct keying_said *said, const struct sdes_line *line)
{
    char text[LIMIT_SRTP_KEYS * 512];
    struct sbuf b = sbuf_make(text, sizeof(text));

    sdes_line_build(&b, line);
    if (!b.overflow)
        keying_said_add(said, "crypto", sbuf_get(&b));
    secret_wipe(text, sizeof(text));
    return b.overflow || said->overflow ? ERR_LIMIT : 0;
}

static int refuse_clear(struct reason *why)
{
    reason_set(why, "sdes-clear-hop", "RFC 4568 8.3", 488,
               "keys in SDP need a hop that is encrypted and authenticated");
    return ERR_REFUSED;
}

static int sdes_offer(struct keying_medium *m, const struct keying_at *at,
                      const struct keying_wish *wish, struct keying_said *said, struct reason *why)
{
    struct sdes *s = sdes_of(m);
    struct sdes_offer *o;
    int err = 0;

    if (!wish->is_hop_private)
        return refuse_clear(why);
    o = mem_zalloc(sizeof(*o));
    if (o == NULL)
        return ERR_NOMEM;
    offer_lines(s, at, wish, o);
    if (o->n == 0) {
        reason_set(why, "sdes-no-suite", "RFC 4568 5.1.1", 0,
                   "policy allows no suite that SDES can name");
        err = ERR_REFUSED;
    }
    for (size_t i = 0; i < o->n && err == 0; i++)
        err = say_line(said, &o->line[i]);
    if (err != 0) {
        secret_wipe(o, sizeof(*o));
        mem_free(o);
        return err;
    }
    drop_offer(s);
    be_answered(s);
    s->offer = o;
    return 0;
}

/* ---- taking lines ---- */

static const struct sdp_line *crypto_line(const struct keying_heard *heard, unsigned i)
{
    return sdp_attr(heard->sdp, heard->section, SDP_A_CRYPTO, i);
}

static bool sdes_is_heard(const struct keying_heard *heard)
{
    return crypto_line(heard, 0) != NULL;
}

/* Does policy let these through: suite, weakenings? */
static int check_policy(const struct keying_policy *policy, const struct sdes_line *line,
                        struct reason *why)
{
    const struct keying_keys *keys = &line->keys;

    if (!keying_policy_allows(policy, keys->suite->id)) {
        reason_set(why, "sdes-suite-refused", "RFC 4568 5.1.2", 488, "suite %s is not allowed",
                   line->name);
        return ERR_REFUSED;
    }
    if ((keys->unencrypted_rtp || keys->unencrypted_rtcp) && !policy->allow_unencrypted) {
        reason_set(why, "sdes-unencrypted", "RFC 4568 6.3.2", 488,
                   "unencrypted media is not allowed");
        return ERR_REFUSED;
    }
    if (keys->unauthenticated_rtp && !policy->allow_unauthenticated) {
        reason_set(why, "sdes-unauthenticated", "RFC 4568 6.3.3", 488,
                   "unauthenticated media is not allowed");
        return ERR_REFUSED;
    }
    return 0;
}

static bool tag_is_repeated(const struct keying_heard *heard, unsigned i, uint32_t tag)
{
    const struct sdp_line *line;
    struct sdp_crypto other;

    for (unsigned j = 0; (line = crypto_line(heard, j)) != NULL; j++) {
        if (j != i && sdp_crypto_parse(line->arg, &other) == 0 && other.tag == tag)
            return true;
    }
    return false;
}

/* The first line of the offer that we can and may take (RFC 4568 5.1.2). */
static int choose(const struct keying_policy *policy, const struct keying_heard *offer,
                  struct sdes_line *ret, struct reason *why)
{
    const struct sdp_line *line;
    int err = ERR_REFUSED;

    reason_set(why, "sdes-no-line", "RFC 4568 5.1.2", 488, "no crypto line");
    for (unsigned i = 0; (line = crypto_line(offer, i)) != NULL; i++) {
        err = sdes_line_parse(line->arg, ret, why);
        if (err == 0 && tag_is_repeated(offer, i, ret->tag)) {
            reason_set(why, "sdes-line-invalid", "RFC 4568 4.1", 488, "tag %u stands twice",
                       ret->tag);
            err = ERR_REFUSED;
        }
        if (err == 0)
            err = check_policy(policy, ret, why);
        if (err == 0)
            return 0;
        sdes_line_wipe(ret);
    }
    return ERR_REFUSED;
}

static bool same_key(const struct keying_keys *a, const struct keying_keys *b)
{
    for (size_t i = 0; i < a->n; i++) {
        for (size_t j = 0; j < b->n; j++) {
            if (a->suite->key_len == b->suite->key_len &&
                secret_bytes_eq(a->key[i].key, b->key[j].key, a->suite->key_len))
                return true;
        }
    }
    return false;
}

static void set_facts(struct sdes *s, const struct keying_policy *policy,
                      const struct keying_keys *keys)
{
    struct keying_facts *f = &s->facts;

    f->mode = "sdes";
    f->suite = keys->suite;
    f->unencrypted_rtp = keys->unencrypted_rtp;
    f->unencrypted_rtcp = keys->unencrypted_rtcp;
    f->unauthenticated_rtp = keys->unauthenticated_rtp;
    f->known_to = KEYING_KNOWN_HOPS;
    f->forward_secret = false;
    f->excludes_passive = true; /* our own hop is private, or we would not be here */
    f->middle = KEYING_MIDDLE_CAN;
    f->rtcp_tag_32 = keys->suite->rtp_tag_len == 4 && policy->rtcp_tag == KEYING_RTCP_TAG_32;
    f->is_interim = policy->sdes_is_interim;
    f->proof = KEYING_PROOF_NEGOTIATED;
    s->pending |= PENDING_FACTS;
}

/* Keys of the peer go to the media plane: a copy that waits for `next`. */
static int hand_receive(struct sdes *s, const struct keying_policy *policy,
                        const struct keying_keys *keys)
{
    struct keying_keys *copy = mem_alloc(sizeof(*copy));

    if (copy == NULL)
        return ERR_NOMEM;
    *copy = *keys;
    copy->roc = policy->roc;
    copy->rtcp_tag = policy->rtcp_tag;
    drop_keys(&s->receive);
    s->receive = copy;
    s->pending |= PENDING_RECEIVE;
    return 0;
}

/* Our own line of an answer: the suite and tag of the one we take, with keys that are new, or those
 * we had. */
static void answer_line(struct sdes *s, const struct keying_at *at, const struct keying_wish *wish,
                        const struct sdes_line *theirs, struct sdes_line *own)
{
    const struct keying_policy *policy = wish->policy;
    bool keeps =
        s->is_agreed && !wish->rekey && !wish->is_moved && s->own.keys.suite == theirs->keys.suite;
    size_t mki_len = policy->sdes_mki_mirror ? theirs->keys.key[0].mki_len : policy->sdes_mki_len;

    if (keeps) {
        *own = s->own;
    } else {
        draw_keys(s, at, policy, theirs->keys.suite, mki_len, own);
        own->keys.roc = s->is_agreed && !wish->is_moved ? policy->roc : KEYING_ROC_RESET;
    }
    own->tag = theirs->tag;
    memcpy(own->name, theirs->name, sizeof(own->name));
    own->keys.unencrypted_rtp =
        theirs->keys.unencrypted_rtp; /* negotiated: the same in both directions (4.4) */
    own->keys.unencrypted_rtcp = theirs->keys.unencrypted_rtcp;
    own->keys.unauthenticated_rtp = theirs->keys.unauthenticated_rtp;
}

/* Offer and answer have met: these are the keys now. */
static void agree(struct sdes *s, const struct keying_policy *policy, const struct sdes_line *own,
                  bool is_seen, const struct keying_keys *theirs)
{
    bool was_seen = s->is_agreed && s->facts.seen_by_branches && same_key(&s->own.keys, &own->keys);

    s->own = *own;
    s->is_agreed = true;
    s->send_waits = false;
    s->pending |= PENDING_SEND;
    drop_offer(s);
    drop_undo(s);
    set_facts(s, policy, theirs);
    s->facts.seen_by_branches = is_seen || was_seen;
    if (s->facts.seen_by_branches)
        s->pending |= PENDING_REKEY;
}

static int sdes_answer(struct keying_medium *m, const struct keying_at *at,
                       const struct keying_wish *wish, const struct keying_heard *offer,
                       struct keying_said *said, struct reason *why)
{
    struct sdes *s = sdes_of(m);
    struct sdes_line theirs, own = {.tag = 0};
    struct sdes_undo *undo;
    int err;

    if (!wish->is_hop_private || !offer->is_hop_private)
        return refuse_clear(why);
    undo = mem_zalloc(sizeof(*undo));
    if (undo == NULL)
        return ERR_NOMEM;
    err = choose(wish->policy, offer, &theirs, why);
    if (err == 0) {
        answer_line(s, at, wish, &theirs, &own);
        err = say_line(said, &own);
    }
    if (err == 0)
        err = hand_receive(s, wish->policy, &theirs.keys);
    if (err == 0) {
        *undo = (struct sdes_undo){s->is_agreed, s->own, s->facts};
        agree(s, wish->policy, &own, false, &theirs.keys);
        /* Others than it has: until it hears of them, and if it never does, these are none. */
        s->send_waits = undo->was_agreed && !same_key(&undo->own.keys, &own.keys);
        if (s->send_waits)
            s->pending &= ~(unsigned)PENDING_SEND;
        s->undo = undo;
        undo = NULL;
    }
    mem_free(undo);
    sdes_line_wipe(&theirs);
    sdes_line_wipe(&own);
    return err;
}

static int not_offered(struct sdes *s, unsigned attack, struct reason *why, const char *code,
                       const char *what)
{
    reason_set(why, code, "RFC 4568 5.1.3", 488, "%s", what);
    s->facts.attacks |= attack;
    s->pending |= PENDING_FACTS;
    return ERR_REFUSED;
}

static const struct sdes_line *offered_line(const struct sdes_offer *offer,
                                            const struct sdes_line *answer)
{
    for (size_t i = 0; i < offer->n; i++) {
        const struct sdes_line *line = &offer->line[i];

        if (line->tag == answer->tag && line->keys.suite == answer->keys.suite &&
            line->keys.unencrypted_rtp == answer->keys.unencrypted_rtp &&
            line->keys.unencrypted_rtcp == answer->keys.unencrypted_rtcp &&
            line->keys.unauthenticated_rtp == answer->keys.unauthenticated_rtp)
            return line;
    }
    return NULL;
}

/* Is it an answer to what we offered (RFC 4568 5.1.3, 7.1.3)? What is not is a mistake of the peer
 * or somebody's attempt to weaken the call: it is refused either way, and the facts say so. */
static int check_answer(struct sdes *s, const struct keying_heard *answer, struct sdes_line *ret,
                        const struct sdes_line **taken, struct reason *why)
{
    const struct sdp_line *line = crypto_line(answer, 0);
    int err;

    if (line == NULL)
        return not_offered(s, KEYING_ATTACK_STRIPPED, why, "sdes-stripped",
                           "the answer has no crypto line");
    if (crypto_line(answer, 1) != NULL)
        return not_offered(s, KEYING_ATTACK_NOT_OFFERED, why, "sdes-answer-many",
                           "the answer has several crypto lines");
    err = sdes_line_parse(line->arg, ret, why);
    if (err != 0)
        return err;
    *taken = offered_line(s->offer, ret);
    if (*taken == NULL)
        err = not_offered(s, KEYING_ATTACK_NOT_OFFERED, why, "sdes-not-offered",
                          "tag, suite or session parameters of the answer were not offered");
    for (size_t i = 0; i < s->offer->n && err == 0; i++) {
        if (same_key(&s->offer->line[i].keys, &ret->keys)) /* 7.1.2: MUST be different */
            err = not_offered(s, KEYING_ATTACK_NOT_OFFERED, why, "sdes-same-key",
                              "the answer gives us our own key back");
    }
    return err;
}

static int sdes_accept(struct keying_medium *m, const struct keying_at *at,
                       const struct keying_wish *wish, const struct keying_heard *answer,
                       struct reason *why)
{
    struct sdes *s = sdes_of(m);
    const struct sdes_line *taken = NULL;
    struct sdes_line theirs = {.tag = 0}, own;
    int err;

    (void)at;
    if (s->offer == NULL)
        return ERR_INVALID;
    if (!answer->is_hop_private)
        return refuse_clear(why);
    err = check_answer(s, answer, &theirs, &taken, why);
    if (err == 0)
        err = hand_receive(s, wish->policy, &theirs.keys);
    if (err == 0) {
        own = *taken;
        agree(s, wish->policy, &own, s->offer->is_seen, &theirs.keys);
        sdes_line_wipe(&own);
    }
    sdes_line_wipe(&theirs);
    return err;
}

/* An offer of ours that was refused, or an answer that never went. Keys to receive with that the media
 * plane has been given are good until others come: it has those of before as well. Of keys to send
 * with it would have none but the last (RFC 3711 9.1: none is used again), so they have waited. */
static void sdes_rollback(struct keying_medium *m)
{
    struct sdes *s = sdes_of(m);

    drop_offer(s);
    if (s->undo == NULL)
        return;
    s->own = s->undo->own;
    s->is_agreed = s->undo->was_agreed;
    s->facts = s->undo->facts;
    s->pending &= ~(unsigned)(PENDING_SEND | PENDING_RECEIVE);
    s->send_waits = false;
    s->pending |= PENDING_FACTS;
    drop_keys(&s->receive);
    drop_undo(s);
}

static void sdes_tell(struct keying_medium *m, const struct keying_at *at,
                      const struct keying_tell *tell)
{
    struct sdes *s = sdes_of(m);

    (void)at;
    switch (tell->kind) {
    case KEYING_TELL_MEDIA:
        if (s->is_agreed && s->facts.proof < KEYING_PROOF_MEDIA) {
            s->facts.proof = KEYING_PROOF_MEDIA;
            s->pending |= PENDING_FACTS;
        }
        be_answered(s);
        break;
    case KEYING_TELL_ANSWERED:
        be_answered(s);
        break;
    case KEYING_TELL_BRANCHED:
        be_seen(s);
        break;
    case KEYING_TELL_REKEY_DUE:
        s->pending |= PENDING_REKEY;
        break;
    default:
        break;
    }
}

static bool take_pending(struct sdes *s, unsigned bit)
{
    bool is_set = (s->pending & bit) != 0;

    s->pending &= ~bit;
    return is_set;
}

static bool sdes_next(struct keying_medium *m, struct keying_event *ret)
{
    struct sdes *s = sdes_of(m);

    drop_keys(&s->handed);
    *ret = (struct keying_event){.section = m->section};
    if (take_pending(s, PENDING_RECEIVE)) {
        s->handed = s->receive;
        s->receive = NULL;
        ret->kind = KEYING_EVENT_INSTALL;
        ret->install = (struct keying_install){.paths = ALL_PATHS, .keys = s->handed};
    } else if (take_pending(s, PENDING_SEND)) {
        ret->kind = KEYING_EVENT_INSTALL;
        ret->install =
            (struct keying_install){.paths = ALL_PATHS, .is_send = true, .keys = &s->own.keys};
    } else if (take_pending(s, PENDING_FACTS)) {
        ret->kind = KEYING_EVENT_FACTS;
    } else if (take_pending(s, PENDING_REKEY)) {
        ret->kind = KEYING_EVENT_REKEY;
    }
    return ret->kind != KEYING_EVENT_NONE;
}

static void sdes_packet(struct keying_medium *m, const struct keying_at *at, enum keying_path path,
                        const struct addr *from, bool is_named, const uint8_t *p, size_t n)
{
    (void)is_named;
    (void)m;
    (void)at;
    (void)path;
    (void)from;
    (void)p;
    (void)n;
}

static void sdes_tick(struct keying_medium *m, const struct keying_at *at)
{
    (void)m;
    (void)at;
}

static uint64_t sdes_timer(const struct keying_medium *m)
{
    (void)m;
    return UINT64_MAX;
}

static const struct keying_facts *sdes_facts(const struct keying_medium *m)
{
    return &((const struct sdes *)(const void *)m)->facts; /* base is the first member */
}

const struct keying_method keying_sdes = {
    .id = KEYING_SDES,
    .name = "sdes",
    .keys_in_sdp = true,
    .new = sdes_new,
    .free = sdes_free,
    .fork = sdes_fork,
    .is_heard = sdes_is_heard,
    .offer = sdes_offer,
    .answer = sdes_answer,
    .accept = sdes_accept,
    .rollback = sdes_rollback,
    .packet = sdes_packet,
    .tick = sdes_tick,
    .timer = sdes_timer,
    .tell = sdes_tell,
    .next = sdes_next,
    .facts = sdes_facts,
};
