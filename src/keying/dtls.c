/* DTLS-SRTP as a method of key management: fingerprints, roles and tls-id in the descriptions,
 * rounds of associations behind them. RFC 5763, RFC 5764, RFC 8122, RFC 8842, TR/100 8.2.2.1. One
 * object for each medium of each leg, owned with the leg.
 *
 *     offer --> offered: clients may come (the hall)  -- accept --> round          rollback: back
 *     answer ------------------------------------------------------> round          (RFC 8842 3.1:
 * a new one, or the old one goes on)
 *
 * The keys of the round before stay in force until those of the new one are there. */
#include "base/err.h"
#include "base/mem.h"
#include "keying/dtls_hello.h"
#include "keying/dtls_round.h"
#include "sdp/values.h"

#define DATAGRAM_MAX 2048
#define FIRST_BYTE_MIN 20 /* RFC 7983 */
#define FIRST_BYTE_MAX 63

enum offer_state { OFFER_NONE, OFFER_SAME, OFFER_NEW };

struct dtls {
    struct keying_medium base;
    enum offer_state offered;
    struct dtls_hall *hall;       /* OFFER_NEW: where clients may come already */
    char tls_id[DTLS_TLS_ID + 1]; /* ... and what was offered with it */
    struct dtls_round *now;
    struct dtls_round
        *before; /* the one that an answer of ours replaced, until the new one is there */
    bool can_undo;
    struct dtls_datagram *datagram; /* what the last event points to */
    struct dtls_install *install;
    uint64_t last_ms; /* the time of the last call */
    struct keying_facts facts;
    bool facts_changed, is_rekey_due, has_failed;
    struct reason failure;
};

static struct dtls *dtls_of(struct keying_medium *m)
{
    return CONTAINER_OF(m, struct dtls, base);
}

static int dtls_new(struct keying_medium **ret, struct keying_leg *leg, int section)
{
    struct dtls *d = mem_zalloc(sizeof(*d));

    if (d == NULL)
        return ERR_NOMEM;
    d->base = (struct keying_medium){.method = &keying_dtls, .leg = leg, .section = section};
    d->facts = keying_facts_clear();
    d->facts.method = KEYING_DTLS;
    *ret = &d->base;
    return 0;
}

static void drop_offer(struct dtls *d)
{
    dtls_hall_unref(d->hall);
    d->hall = NULL;
    d->offered = OFFER_NONE;
}

static void drop_before(struct dtls *d)
{
    dtls_round_free(d->before);
    d->before = NULL;
    d->can_undo = false;
}

static void dtls_free(struct keying_medium *m)
{
    struct dtls *d = dtls_of(m);

    drop_offer(d);
    drop_before(d);
    dtls_round_free(d->now);
    mem_free(d->datagram);
    dtls_install_free(d->install);
    mem_free(d);
}

static void dtls_free_shared(void *shared)
{
    SSL_SESSION_free(shared);
}

/* Another answerer of the same offer: his association begins in the same hall (RFC 8842 8). */
static int dtls_fork(struct keying_medium *m, struct keying_leg *leg, struct keying_medium **ret)
{
    struct dtls *d = dtls_of(m), *twin;
    struct dtls_hall *hall = d->hall != NULL ? d->hall : d->now != NULL ? d->now->hall : NULL;
    int err = dtls_new(ret, leg, m->section);

    if (err != 0)
        return err;
    twin = dtls_of(*ret);
    if (hall != NULL)
        twin->hall = dtls_hall_ref(hall);
    memcpy(twin->tls_id, d->offered == OFFER_NEW || d->now == NULL ? d->tls_id : d->now->tls_id,
           sizeof(twin->tls_id));
    twin->offered = hall != NULL ? OFFER_NEW : OFFER_NONE;
    return 0;
}

/* ---- what is said ---- */

static void tls_id_draw(const struct keying_at *at, char dst[DTLS_TLS_ID + 1])
{
    static const char letters[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    uint8_t bytes[DTLS_TLS_ID];

    rand_fill(at->rand, bytes, sizeof(bytes));
    for (size_t i = 0; i < DTLS_TLS_ID; i++)
        dst[i] = letters[bytes[i] & 63];
    dst[DTLS_TLS_ID] = '\0';
}

static int say(struct keying_said *said, const struct keying_dtls_identity *identity,
               enum sdp_setup setup, const char *tls_id)
{
    keying_said_add(said, "fingerprint", keying_dtls_identity_fingerprint(identity));
    keying_said_add(said, "setup", sdp_setup_text(setup));
    if (tls_id != NULL)
        keying_said_add(said, "tls-id", str_z(tls_id));
    return said->overflow ? ERR_LIMIT : 0;
}

static int check_identity(const struct keying_wish *wish, struct reason *why)
{
    char profiles[160];

    if (wish->policy->identity == NULL) {
        reason_set(why, "dtls-no-identity", "RFC 5763 5", 0,
                   "there is no certificate for DTLS-SRTP");
        return ERR_REFUSED;
    }
    dtls_profiles(wish->policy, profiles, sizeof(profiles));
    if (profiles[0] == '\0') {
        reason_set(why, "dtls-no-profile", "RFC 5764 4.1.2", 0,
                   "policy allows no suite that DTLS-SRTP has");
        return ERR_REFUSED;
    }
    return 0;
}

static uint8_t paths_wished(const struct keying_wish *wish)
{
    return wish->paths != 0 ? wish->paths : (uint8_t)(1u << KEYING_RTP);
}

static bool is_usable(const struct dtls_round *r)
{
    return r != NULL && !r->is_over;
}

/* RFC 8842 5.2, 5.5: actpass always; a new tls-id if a new association is wanted, else the one
 * before. */
static int dtls_offer(struct keying_medium *m, const struct keying_at *at,
                      const struct keying_wish *wish, struct keying_said *said, struct reason *why)
{
    struct dtls *d = dtls_of(m);
    bool goes_on = is_usable(d->now) && !wish->rekey && !wish->is_moved;
    struct dtls_hall *hall = NULL;
    char tls_id[DTLS_TLS_ID + 1];
    int err = check_identity(wish, why);

    if (err != 0)
        return err;
    d->last_ms = at->now_ms;
    if (goes_on) {
        err = say(said, d->now->identity, SDP_SETUP_ACTPASS, d->now->tls_id);
    } else {
        tls_id_draw(at, tls_id);
        err = say(said, wish->policy->identity, SDP_SETUP_ACTPASS, tls_id);
        if (err == 0)
            err = dtls_hall_new(&hall, wish->policy->identity, wish->policy);
    }
    if (err != 0)
        return err;
    drop_offer(d);
    d->can_undo = false;
    d->offered = goes_on ? OFFER_SAME : OFFER_NEW;
    d->hall = hall;
    if (!goes_on)
        memcpy(d->tls_id, tls_id, sizeof(tls_id));
    return 0;
}

/* ---- what is heard ---- */

struct terms {
    struct dtls_peer peer;
    enum sdp_setup setup;
    uint64_t tls_id; /* its hash; 0: none */
};

static bool dtls_is_heard(const struct keying_heard *heard)
{
    return sdp_attr_inherited(heard->sdp, heard->section, SDP_A_FINGERPRINT, 0) != NULL;
}

static int read_terms(struct dtls *d, const struct keying_wish *wish,
                      const struct keying_heard *heard, struct terms *ret, struct reason *why)
{
    const struct sdp_line *tls_id = sdp_attr(heard->sdp, heard->section, SDP_A_TLS_ID, 0);
    int err = dtls_peer_read(heard, wish->policy->allow_sha1, &ret->peer, why);

    if (err == ERR_NOTFOUND) {
        d->facts.attacks |= KEYING_ATTACK_STRIPPED;
        d->facts_changed = true;
    }
    if (err != 0)
        return ERR_REFUSED;
    ret->setup = sdp_setup(heard->sdp, heard->section);
    if (ret->setup == SDP_SETUP_HOLDCONN) {
        reason_set(why, "dtls-setup", "RFC 8842 5.1", 488, "holdconn is not for DTLS");
        return ERR_REFUSED;
    }
    ret->tls_id = tls_id != NULL ? str_hash(str_trim(tls_id->arg)) | 1 : 0;
    return 0;
}

/* RFC 8842 3.1, 4: does what the peer says mean another association than the one there is? */
static bool wants_another(const struct dtls_round *now, const struct terms *terms,
                          const struct keying_heard *heard, bool is_client)
{
    if (!is_usable(now) || now->is_client != is_client || now->peer.all != terms->peer.all)
        return true;
    if (terms->tls_id != 0 || now->peer_tls_id != 0)
        return terms->tls_id != now->peer_tls_id;
    return heard->is_moved;
}

static SSL_SESSION *leg_session(const struct dtls *d)
{
    void **shared = keying_leg_shared(d->base.leg, KEYING_DTLS);

    return shared != NULL ? *shared : NULL;
}

/* Where the peer says that it is; nothing where that is no address. */
static void where(const struct keying_heard *heard, uint8_t paths, struct addr at[KEYING_PATHS])
{
    struct sdp_target target;

    if (sdp_media_target(heard->sdp, heard->section, !(paths & (1u << KEYING_RTCP)), &target) != 0 ||
        target.is_null)
        return;
    at[KEYING_RTP] = target.rtp;
    at[KEYING_RTCP] = target.rtcp;
}

/* What the keys will be if any come: there is no other way to agree on some. How far it has come
 * says `proof`. */
static void be_negotiated(struct dtls *d)
{
    struct keying_facts *f = &d->facts;

    f->known_to = KEYING_KNOWN_ENDS;
    f->forward_secret = f->excludes_passive = true;
    f->middle = KEYING_MIDDLE_IF_SDP_OK;
    f->fingerprint_hash = d->now->peer.hash;
    f->proof = KEYING_PROOF_NEGOTIATED;
}

/* A round by these terms, begun. The one before stays until it is there. */
static int round_begin(struct dtls *d, const struct keying_at *at, const struct keying_wish *wish,
                       struct keying_dtls_identity *identity, const char *tls_id,
                       const struct terms *terms, const struct keying_heard *heard, bool is_client,
                       struct dtls_hall *hall, bool may_fork)
{
    struct dtls_round *r;
    int err = dtls_round_new(&r, wish->policy, identity, &d->facts);

    if (err != 0)
        return err;
    memcpy(r->tls_id, tls_id, sizeof(r->tls_id));
    r->peer_tls_id = terms->tls_id;
    r->peer = terms->peer;
    r->may_fork = may_fork && !is_client;
    where(heard, paths_wished(wish), r->named);
    if (r->may_fork)
        memcpy(r->at, r->named, sizeof(r->at));
    err = dtls_round_start(r, at->now_ms, is_client, paths_wished(wish), hall, leg_session(d));
    if (err != 0) {
        dtls_round_free(r);
        return err;
    }
    for (enum keying_path path = 0; path < KEYING_PATHS && r->hall != NULL; path++)
        dtls_hall_expect(r->hall, path, &r->named[path]);
    drop_before(d);
    d->before = d->now;
    d->now = r;
    d->has_failed = false;
    if (d->before == NULL)
        be_negotiated(d);
    d->facts_changed = true;
    return 0;
}

static void look(struct dtls *d, uint64_t now_ms);

/* RFC 8842 5.3. */
static int dtls_answer(struct keying_medium *m, const struct keying_at *at,
                       const struct keying_wish *wish, const struct keying_heard *offer,
                       struct keying_said *said, struct reason *why)
{
    struct dtls *d = dtls_of(m);
    struct terms terms;
    char tls_id[DTLS_TLS_ID + 1];
    bool is_client, is_new, says_tls_id;
    int err = check_identity(wish, why);

    if (err == 0)
        err = read_terms(d, wish, offer, &terms, why);
    if (err != 0)
        return err;
    /* actpass: as before if there is an association, else by policy. Nothing said is active (RFC
     * 4145 4). */
    if (terms.setup == SDP_SETUP_ACTPASS)
        is_client = is_usable(d->now) ? d->now->is_client : !wish->policy->dtls_passive;
    else
        is_client = terms.setup == SDP_SETUP_PASSIVE;
    is_new = wish->rekey || wish->is_moved || wants_another(d->now, &terms, offer, is_client);
    says_tls_id = terms.tls_id != 0; /* none is answered by none */
    if (is_new)
        tls_id_draw(at, tls_id);
    else
        memcpy(tls_id, d->now->tls_id, sizeof(tls_id));
    err = say(said, is_new ? wish->policy->identity : d->now->identity,
              is_client ? SDP_SETUP_ACTIVE : SDP_SETUP_PASSIVE, says_tls_id ? tls_id : NULL);
    if (err == 0 && is_new)
        err = round_begin(d, at, wish, wish->policy->identity, tls_id, &terms, offer, is_client,
                          NULL, false);
    if (err != 0)
        return err;
    drop_offer(d);
    d->can_undo = is_new;
    look(d, at->now_ms);
    return 0;
}

static int refuse_setup(struct reason *why, const char *what)
{
    reason_set(why, "dtls-setup", "RFC 5763 5", 488, "%s", what);
    return ERR_REFUSED;
}

/* RFC 8842 5.4. */
static int dtls_accept(struct keying_medium *m, const struct keying_at *at,
                       const struct keying_wish *wish, const struct keying_heard *answer,
                       struct reason *why)
{
    struct dtls *d = dtls_of(m);
    struct terms terms;
    bool is_client;
    int err;

    if (d->offered == OFFER_NONE)
        return ERR_INVALID;
    err = read_terms(d, wish, answer, &terms, why);
    if (err != 0)
        return err;
    if (terms.setup == SDP_SETUP_ACTPASS)
        return refuse_setup(why, "an answer cannot leave the roles open");
    is_client = terms.setup != SDP_SETUP_ACTIVE; /* nothing said is passive (RFC 4145 4) */
    if (d->offered == OFFER_NEW)
        err = round_begin(d, at, wish, d->hall->identity, d->tls_id, &terms, answer, is_client,
                          is_client ? NULL : d->hall, true);
    else if (wants_another(d->now, &terms, answer, is_client))
        err = round_begin(d, at, wish, d->now->identity, d->now->tls_id, &terms, answer, is_client,
                          NULL, false);
    if (err != 0)
        return err;
    drop_offer(d);
    d->can_undo = false;
    look(d, at->now_ms);
    return 0;
}

static void dtls_rollback(struct keying_medium *m)
{
    struct dtls *d = dtls_of(m);

    drop_offer(d);
    if (!d->can_undo)
        return;
    dtls_round_free(d->now);
    d->now = d->before;
    d->before = NULL;
    d->can_undo = false;
    if (d->now == NULL)
        d->facts.proof = KEYING_PROOF_NONE;
    d->facts_changed = true;
}

/* ---- packets and time ---- */

/* After everything that may have moved the round on. */
static void look(struct dtls *d, uint64_t now_ms)
{
    struct dtls_round *r = d->now;
    void **shared;

    d->last_ms = now_ms;
    if (r == NULL)
        return;
    dtls_round_tick(r, now_ms);
    d->facts_changed = d->facts_changed || r->facts_changed;
    r->facts_changed = false;
    if (dtls_round_is_complete(r)) {
        drop_before(d);
        shared = keying_leg_shared(d->base.leg, KEYING_DTLS);
        if (shared != NULL && r->session != NULL && *shared != r->session &&
            SSL_SESSION_up_ref(r->session) == 1) {
            SSL_SESSION_free(*shared);
            *shared = r->session;
        }
    } else if (dtls_round_has_failed(r, now_ms)) {
        r->is_over = true;
        dtls_round_why(r, &d->failure);
        d->has_failed = true;
    }
}

static void dtls_packet(struct keying_medium *m, const struct keying_at *at, enum keying_path path,
                        const struct addr *from, bool is_named, const uint8_t *p, size_t n)
{
    struct dtls *d = dtls_of(m);
    uint8_t datagram[DATAGRAM_MAX];
    int alert = -1;

    if (n == 0 || n > sizeof(datagram) || (unsigned)path >= KEYING_PATHS || p[0] < FIRST_BYTE_MIN ||
        p[0] > FIRST_BYTE_MAX)
        return;
    memcpy(datagram, p, n);
    n = dtls_drop_alerts(datagram, n, &alert);
    if (from != NULL && !addr_is_set(from))
        from = NULL;
    /* With an offer out, clients arrive in its hall; the rest may still be about the round before.
     */
    if (d->hall != NULL && n > 0 &&
        (dtls_hello_is(datagram, n) || dtls_hall_knows(d->hall, path, from)))
        dtls_hall_input(d->hall, at->now_ms, path, from, is_named, datagram, n, true);
    else if (d->now != NULL)
        dtls_round_input(d->now, at->now_ms, path, from, is_named, datagram, n, alert);
    look(d, at->now_ms);
}

static void dtls_tick(struct keying_medium *m, const struct keying_at *at)
{
    struct dtls *d = dtls_of(m);

    if (d->hall != NULL)
        dtls_hall_tick(d->hall, at->now_ms);
    look(d, at->now_ms);
}

static uint64_t dtls_timer(const struct keying_medium *m)
{
    const struct dtls *d = (const struct dtls *)(const void *)m; /* base is the first member */
    uint64_t wait = d->now != NULL ? dtls_round_wait_ms(d->now, d->last_ms) : UINT64_MAX;

    if (d->hall != NULL) {
        uint64_t one = dtls_hall_wait_ms(d->hall, d->last_ms);

        wait = one < wait ? one : wait;
    }
    return wait == UINT64_MAX ? wait : d->last_ms + wait;
}

static void dtls_tell(struct keying_medium *m, const struct keying_at *at,
                      const struct keying_tell *tell)
{
    struct dtls *d = dtls_of(m);

    switch (tell->kind) {
    case KEYING_TELL_MEDIA:
        if (d->now != NULL && (unsigned)tell->path < KEYING_PATHS)
            dtls_round_proved(d->now, tell->path);
        break;
    case KEYING_TELL_NO_BRANCHES:
        if (d->now != NULL)
            dtls_round_no_branches(d->now);
        break;
    case KEYING_TELL_REKEY_DUE:
        d->is_rekey_due = true;
        break;
    default:
        break;
    }
    look(d, at->now_ms);
}

/* ---- what comes out ---- */

static struct dtls_datagram *next_datagram(struct dtls *d)
{
    struct dtls_datagram *found = NULL;

    if (d->hall != NULL)
        found = dtls_queue_take(&d->hall->queue);
    if (found == NULL && d->now != NULL && d->now->hall != NULL)
        found = dtls_queue_take(&d->now->hall->queue);
    if (found == NULL && d->now != NULL)
        found = dtls_queue_take(&d->now->queue);
    return found;
}

static bool dtls_next(struct keying_medium *m, struct keying_event *ret)
{
    struct dtls *d = dtls_of(m);

    mem_free(d->datagram);
    dtls_install_free(d->install);
    d->install = NULL;
    *ret = (struct keying_event){.section = m->section};
    d->datagram = NULL;
    /* Keys before datagrams: the peer sends media as soon as it has our last flight. */
    if (d->now != NULL && d->now->installs != NULL) {
        d->install = d->now->installs;
        d->now->installs = d->install->next;
        ret->kind = KEYING_EVENT_INSTALL;
        ret->install = (struct keying_install){.paths = d->install->paths,
                                               .is_send = d->install->is_send,
                                               .drop_old = true,
                                               .keys = &d->install->keys};
    } else if ((d->datagram = next_datagram(d)) != NULL) {
        ret->kind = KEYING_EVENT_SEND;
        ret->path = d->datagram->path;
        ret->to = d->datagram->to;
        ret->bytes = d->datagram->p;
        ret->n = d->datagram->n;
    } else if (d->facts_changed) {
        d->facts_changed = false;
        ret->kind = KEYING_EVENT_FACTS;
    } else if (d->is_rekey_due) {
        d->is_rekey_due = false;
        ret->kind = KEYING_EVENT_REKEY;
    } else if (d->has_failed) {
        d->has_failed = false;
        ret->kind = KEYING_EVENT_FAILED;
        ret->reason = d->failure;
    }
    return ret->kind != KEYING_EVENT_NONE;
}

static const struct keying_facts *dtls_facts(const struct keying_medium *m)
{
    return &((const struct dtls *)(const void *)m)->facts;
}

const struct keying_method keying_dtls = {
    .id = KEYING_DTLS,
    .name = "dtls-srtp",
    .first_byte_min = FIRST_BYTE_MIN,
    .first_byte_max = FIRST_BYTE_MAX,
    .new = dtls_new,
    .free = dtls_free,
    .free_shared = dtls_free_shared,
    .fork = dtls_fork,
    .is_heard = dtls_is_heard,
    .offer = dtls_offer,
    .answer = dtls_answer,
    .accept = dtls_accept,
    .rollback = dtls_rollback,
    .packet = dtls_packet,
    .tick = dtls_tick,
    .timer = dtls_timer,
    .tell = dtls_tell,
    .next = dtls_next,
    .facts = dtls_facts,
};
