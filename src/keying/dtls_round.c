/* One round of DTLS-SRTP: handshakes on each path, the certificate against the fingerprint, the
 * keys. RFC 5763 5, 6.5, 6.6, RFC 5764 4, 5.1, RFC 8842 3.1, 5, TR/100 8.2.2.1. Of one thread.
 *
 * No key leaves this file before the certificate of the association it comes from has been found
 * among the fingerprints of the peer's description. What fails before that, fails for itself: a
 * forged alert, a handshake by somebody else, nonsense. The round goes on until the peer has come
 * or the time is over. */
#include "keying/dtls_round.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/secret.h"
#include "keying/dtls_hello.h"

#define SOURCE_MS 300       /* the peer may have another address than it says (NAT) after so long */
#define RETRY_MS 500        /* after an attempt that failed */
#define FOLLOW_MS 1500      /* further paths wait so long for the first one's session to resume */
#define LAST_FLIGHT_MS 8000 /* the peer's timers of 1, 2 and 4 seconds have run by then */
#define AGAIN_MS 20         /* between two times that it is sent */
#define ALERTS_MAX 3        /* so many attempts that ended with an alert were ended by the peer */

static unsigned bit(enum keying_path path)
{
    return 1u << path;
}

void dtls_install_free(struct dtls_install *install)
{
    if (install == NULL)
        return;
    secret_wipe(install, sizeof(*install));
    mem_free(install);
}

int dtls_round_new(struct dtls_round **ret, const struct keying_policy *policy,
                   struct keying_dtls_identity *identity, struct keying_facts *facts)
{
    struct dtls_round *r = mem_zalloc(sizeof(*r));

    if (r == NULL)
        return ERR_NOMEM;
    r->policy = policy;
    r->identity = keying_dtls_identity_ref(identity);
    r->alert = -1;
    r->facts = facts;
    r->failures_before = facts->handshake_failures;
    r->deadline_ms = UINT64_MAX;
    dtls_queue_init(&r->queue);
    dtls_profiles(policy, r->profiles, sizeof(r->profiles));
    *ret = r;
    return 0;
}

void dtls_round_free(struct dtls_round *r)
{
    if (r == NULL)
        return;
    for (enum keying_path path = 0; path < KEYING_PATHS; path++)
        dtls_assoc_free(r->line[path].assoc);
    while (r->installs != NULL) {
        struct dtls_install *next = r->installs->next;

        dtls_install_free(r->installs);
        r->installs = next;
    }
    dtls_queue_done(&r->queue);
    dtls_hall_unref(r->hall);
    SSL_SESSION_free(r->session);
    keying_dtls_identity_unref(r->identity);
    mem_free(r);
}

static bool set_session(SSL_SESSION **to, SSL_SESSION *session)
{
    if (session == NULL || SSL_SESSION_up_ref(session) != 1)
        return false;
    SSL_SESSION_free(*to);
    *to = session;
    return true;
}

int dtls_round_start(struct dtls_round *r, uint64_t now_ms, bool is_client, uint8_t paths,
                     struct dtls_hall *hall, SSL_SESSION *session)
{
    int err = 0;

    r->is_client = is_client;
    r->paths = paths;
    r->deadline_ms = now_ms + r->policy->handshake_ms;
    r->anywhere_ms = now_ms + SOURCE_MS;
    (void)set_session(&r->session, session);
    if (is_client) {
        bool first = true;

        for (enum keying_path path = 0; path < KEYING_PATHS; path++) {
            if (paths & bit(path))
                r->line[path].retry_ms = 1 + now_ms + (first || r->session != NULL ? 0 : FOLLOW_MS);
            first = first && !(paths & bit(path));
        }
        return 0;
    }
    if (hall != NULL)
        r->hall = dtls_hall_ref(hall);
    else
        err = dtls_hall_new(&r->hall, r->identity, r->policy);
    if (err == 0)
        (void)set_session(&r->hall->session, session);
    return err;
}

/* ---- an association is done, and it is the peer's ---- */

/* Without rtcp-mux each of RTP and RTCP has an association; with it, the one protects both (RFC
 * 5764 4, RFC 5761 5.1). */
static uint8_t paths_of(const struct dtls_round *r, enum keying_path path)
{
    if (path == KEYING_RTP && !(r->paths & bit(KEYING_RTCP)))
        return (uint8_t)(bit(KEYING_RTP) | bit(KEYING_RTCP));
    if (path == KEYING_RTP_BACK && !(r->paths & bit(KEYING_RTCP_BACK)))
        return (uint8_t)(bit(KEYING_RTP_BACK) | bit(KEYING_RTCP_BACK));
    return (uint8_t)bit(path);
}

static bool install_both(struct dtls_round *r, enum keying_path path,
                         const struct dtls_assoc *assoc)
{
    struct dtls_install *send = mem_zalloc(sizeof(*send)), *receive = mem_zalloc(sizeof(*receive));
    struct dtls_install **end = &r->installs;

    if (send == NULL || receive == NULL ||
        dtls_assoc_export(assoc, &send->keys, &receive->keys) != 0) {
        dtls_install_free(send);
        dtls_install_free(receive);
        return false;
    }
    send->paths = receive->paths = paths_of(r, path);
    send->is_send = true;
    /* A new association is a new context to those who use libsrtp, which is nearly everybody: the
     * counters begin anew. */
    send->keys.roc = r->policy->roc == KEYING_ROC_KEEP ? KEYING_ROC_KEEP : KEYING_ROC_RESET;
    receive->keys.roc = r->policy->roc;
    receive->keys.rtcp_tag = r->policy->rtcp_tag;
    if (r->policy->rtcp_tag == KEYING_RTCP_TAG_32)
        send->keys.rtcp_tag = KEYING_RTCP_TAG_32;
    receive->next = send;
    while (*end != NULL)
        end = &(*end)->next;
    *end = receive;
    return true;
}

static void set_facts(struct dtls_round *r, const struct dtls_assoc *assoc)
{
    struct keying_facts *f = r->facts;
    const struct keying_suite *suite = dtls_assoc_suite(assoc);

    f->method = KEYING_DTLS;
    f->mode = "dtls-1.2";
    /* Of several associations the weakest suite counts. */
    f->suite =
        r->established == 0 || f->suite == NULL || suite->id > f->suite->id ? suite : f->suite;
    f->known_to = KEYING_KNOWN_ENDS;
    f->forward_secret = true; /* ECDHE only */
    f->excludes_passive = true;
    f->middle = KEYING_MIDDLE_IF_SDP_OK;
    f->peer_had_certificate = true;
    f->fingerprint_hash = r->peer.hash;
    f->rtcp_tag_32 = f->suite->rtp_tag_len == 4 && r->policy->rtcp_tag == KEYING_RTCP_TAG_32;
    f->is_resumed = dtls_assoc_is_resumed(assoc) || (r->established != 0 && f->is_resumed);
    r->facts_changed = true;
}

static void establish(struct dtls_round *r, uint64_t now_ms, enum keying_path path,
                      struct dtls_assoc *assoc)
{
    struct dtls_line *line = &r->line[path];
    SSL_SESSION *session;

    if (!install_both(r, path, assoc)) {
        r->error = "no memory for the keys";
        r->failures++;
        dtls_assoc_free(assoc);
        return;
    }
    set_facts(r, assoc);
    session = dtls_assoc_session(assoc);
    (void)set_session(&r->session, session);
    if (r->hall != NULL)
        (void)set_session(&r->hall->session, session);
    SSL_SESSION_free(session);
    r->established |= (uint8_t)bit(path);
    if (dtls_round_is_complete(r)) {
        r->facts->proof = KEYING_PROOF_HANDSHAKE;
        /* Who was here before it was a stranger, whom anybody can be: a failure that is counted. */
        r->facts->attacks &= ~(unsigned)KEYING_ATTACK_FINGERPRINT;
    }
    line->retry_ms = 0;
    if (dtls_assoc_has_last_flight(assoc)) {
        dtls_assoc_strip(assoc);
        dtls_assoc_set_queue(assoc, &r->queue);
        line->assoc = assoc;
        line->until_ms = now_ms + LAST_FLIGHT_MS;
    } else {
        line->assoc = NULL;
        dtls_assoc_free(assoc);
    }
    /* The others need not wait any more: they resume this session (TR/100 8.2.2.1). */
    for (enum keying_path other = 0; other < KEYING_PATHS; other++) {
        if (r->line[other].retry_ms > now_ms && r->line[other].n_attempts == 0)
            r->line[other].retry_ms = now_ms;
    }
}

static void count_failures(struct dtls_round *r)
{
    uint32_t n = r->failures_before + r->failures + (r->hall != NULL ? r->hall->failures : 0);

    if (r->facts->handshake_failures == n)
        return;
    r->facts->handshake_failures = n;
    r->facts_changed = true;
}

/* ---- server ---- */

/* Who has shown a certificate that is not announced. With an offer that others may answer, he may
 * be theirs. */
static void look_for_strangers(struct dtls_round *r)
{
    unsigned rank;

    if (r->hall == NULL || r->may_fork || dtls_hall_strangers(r->hall, true, &rank) == 0 ||
        dtls_round_is_complete(r)) /* the peer is here as well: they are counted, and that is all */
        return;
    /* From elsewhere anybody may come, and nobody is to end a call by it. If the peer does not follow,
     * it may have been him, from behind a NAT. */
    if (rank == DTLS_RANK_STRANGER)
        r->stranger_seen = true;
    else
        r->facts->attacks |= KEYING_ATTACK_FINGERPRINT;
    r->error = "the certificate is not the one announced";
    r->facts_changed = true;
}

static void server_look(struct dtls_round *r, uint64_t now_ms)
{
    if (r->hall == NULL)
        return;
    for (enum keying_path path = 0; path < KEYING_PATHS; path++) {
        struct dtls_assoc *found = NULL;

        if ((r->paths & bit(path)) && !(r->established & bit(path)))
            found = dtls_hall_claim(r->hall, path, &r->peer, &r->at[path],
                                    r->may_fork && now_ms < r->anywhere_ms);
        if (found != NULL)
            establish(r, now_ms, path, found);
    }
    look_for_strangers(r);
    count_failures(r);
    if (r->hall->error != NULL)
        r->error = r->hall->error;
    if (dtls_round_is_complete(r) && !r->may_fork) {
        /* What waits to be sent must still go. */
        struct dtls_datagram *d;

        while ((d = dtls_queue_take(&r->hall->queue)) != NULL) {
            dtls_queue_put(&r->queue, d->path, &d->to, d->p, d->n);
            mem_free(d);
        }
        dtls_hall_unref(r->hall);
        r->hall = NULL;
    }
}

/* ---- client ---- */

static void client_failed(struct dtls_round *r, uint64_t now_ms, struct dtls_line *line,
                          const char *error)
{
    dtls_assoc_free(line->assoc);
    line->assoc = NULL;
    line->retry_ms =
        line->n_attempts < LIMIT_DTLS_ATTEMPTS ? now_ms + RETRY_MS * line->n_attempts : 0;
    line->alert_ms = 0;
    r->error = error;
    r->failures++;
    count_failures(r);
}

static void client_look(struct dtls_round *r, uint64_t now_ms, enum keying_path path)
{
    struct dtls_line *line = &r->line[path];
    struct dtls_assoc *assoc = line->assoc;

    if (assoc == NULL || (r->established & bit(path)) || dtls_assoc_state(assoc) == DTLS_SHAKING)
        return;
    if (dtls_assoc_state(assoc) == DTLS_FAILED) {
        client_failed(r, now_ms, line, dtls_assoc_error(assoc));
    } else if (dtls_assoc_suite(assoc) == NULL) {
        client_failed(r, now_ms, line, "no SRTP profile in common");
    } else if (!dtls_peer_is(&r->peer, assoc)) {
        client_failed(r, now_ms, line, "the certificate is not the one announced");
        r->facts->attacks |= KEYING_ATTACK_FINGERPRINT;
    } else {
        establish(r, now_ms, path, assoc);
    }
}

static void client_begin(struct dtls_round *r, uint64_t now_ms, enum keying_path path)
{
    struct dtls_line *line = &r->line[path];
    struct dtls_assoc_args args = {.ctx = r->identity->client,
                                   .is_client = true,
                                   .profiles = r->profiles,
                                   .path = path,
                                   .first_ms = r->policy->dtls_first_ms,
                                   .session = line->n_attempts == 0 ? r->session : NULL,
                                   .queue = &r->queue};

    line->retry_ms = 0;
    line->n_attempts++;
    if (dtls_assoc_new(&line->assoc, &args) != 0) {
        line->assoc = NULL;
        client_failed(r, now_ms, line, "no memory for the handshake");
        return;
    }
    dtls_assoc_start(line->assoc);
    client_look(r, now_ms, path);
}

/* ---- what comes ---- */

/* Alerts before the keys are agreed are signed by nobody. One shortens the time of the attempt that
 * it is about, no more. */
static void note_alert(struct dtls_round *r, uint64_t now_ms, enum keying_path path,
                       const struct addr *from, int alert)
{
    struct dtls_line *line = &r->line[path];

    if (alert < 0 || (r->established & bit(path)))
        return;
    if (r->is_client && line->assoc != NULL) {
        r->alert = alert;
        if (line->alert_ms == 0)
            line->alert_ms = now_ms + DTLS_ALERT_MS;
    } else if (!r->is_client && r->hall != NULL && dtls_hall_knows(r->hall, path, from)) {
        r->alert = alert;
        dtls_hall_alert(r->hall, now_ms, path, from);
    }
}

/* A server answers from where it was called (RFC 5764 3, RFC 4961), and what a handshake begins with is
 * signed by nobody. */
static bool is_servers(const struct dtls_round *r, enum keying_path path, const struct addr *from,
                       bool is_named)
{
    return is_named || from == NULL || !addr_is_set(&r->named[path]) ||
           addr_eq(from, &r->named[path]);
}

void dtls_round_input(struct dtls_round *r, uint64_t now_ms, enum keying_path path,
                      const struct addr *from, bool is_named, const uint8_t *p, size_t n, int alert)
{
    struct dtls_line *line = &r->line[path];
    bool is_established = (r->established & bit(path)) != 0;

    if (!(r->paths & bit(path)) || r->is_over ||
        (r->is_client && !is_servers(r, path, from, is_named)))
        return;
    note_alert(r, now_ms, path, from, alert);
    if (n == 0)
        return;
    if (r->is_client || is_established) {
        /* A hello is none of a client's business: somebody else's, or ours come back. */
        if (is_established && line->assoc != NULL) {
            if (now_ms >= line->again_ms && dtls_assoc_again(line->assoc, p, n))
                line->again_ms = now_ms + AGAIN_MS;
        } else if (line->assoc != NULL && !dtls_hello_is(p, n)) {
            dtls_assoc_input(line->assoc, p, n);
            client_look(r, now_ms, path);
        }
        if (r->is_client || r->hall == NULL)
            return;
    }
    /* A server that has its peer lets nobody else in, but those who are here may be other
     * branches'. */
    dtls_hall_input(r->hall, now_ms, path, from, is_named, p, n, !is_established);
    server_look(r, now_ms);
}

void dtls_round_tick(struct dtls_round *r, uint64_t now_ms)
{
    if (r->is_over)
        return;
    for (enum keying_path path = 0; path < KEYING_PATHS; path++) {
        struct dtls_line *line = &r->line[path];

        if (r->established & bit(path)) {
            if (line->assoc != NULL && now_ms >= line->until_ms) {
                dtls_assoc_free(line->assoc);
                line->assoc = NULL;
            }
            continue;
        }
        if (line->assoc != NULL && line->alert_ms != 0 && now_ms >= line->alert_ms) {
            client_failed(r, now_ms, line, "the peer sent an alert");
            if (++r->n_alerts >= ALERTS_MAX)
                r->deadline_ms = now_ms;
        } else if (line->assoc != NULL) {
            dtls_assoc_tick(line->assoc);
            client_look(r, now_ms, path);
        } else if (line->retry_ms != 0 && now_ms >= line->retry_ms) {
            client_begin(r, now_ms, path);
        }
    }
    if (now_ms >= r->deadline_ms)
        r->may_fork = false; /* whoever has not answered by now will not */
    if (r->hall != NULL) {
        dtls_hall_tick(r->hall, now_ms);
        server_look(r, now_ms);
    }
    if (now_ms >= r->deadline_ms && r->stranger_seen && !dtls_round_is_complete(r))
        r->facts->attacks |= KEYING_ATTACK_FINGERPRINT;
}

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static uint64_t until(uint64_t at_ms, uint64_t now_ms)
{
    return at_ms > now_ms ? at_ms - now_ms : 0;
}

uint64_t dtls_round_wait_ms(const struct dtls_round *r, uint64_t now_ms)
{
    uint64_t wait = UINT64_MAX;

    if (r->is_over)
        return wait;
    for (enum keying_path path = 0; path < KEYING_PATHS; path++) {
        const struct dtls_line *line = &r->line[path];

        if (line->assoc != NULL && (r->established & bit(path)))
            wait = least(wait, until(line->until_ms, now_ms));
        else if (line->assoc != NULL)
            wait = least(wait,
                         least(dtls_assoc_wait_ms(line->assoc),
                               line->alert_ms != 0 ? until(line->alert_ms, now_ms) : UINT64_MAX));
        else if (line->retry_ms != 0)
            wait = least(wait, until(line->retry_ms, now_ms));
    }
    if (r->hall != NULL)
        wait = least(wait, dtls_hall_wait_ms(r->hall, now_ms));
    if (r->hall != NULL && !dtls_round_is_complete(r) && r->may_fork && now_ms < r->anywhere_ms)
        wait = least(wait, until(r->anywhere_ms, now_ms));
    if ((!dtls_round_is_complete(r) || r->may_fork) && r->deadline_ms != UINT64_MAX)
        wait = least(wait, until(r->deadline_ms, now_ms));
    return wait;
}

void dtls_round_proved(struct dtls_round *r, enum keying_path path)
{
    if (!(r->established & bit(path)))
        return;
    dtls_assoc_free(r->line[path].assoc);
    r->line[path].assoc = NULL;
    if (dtls_round_is_complete(r)) {
        r->facts->proof = KEYING_PROOF_MEDIA;
        r->facts_changed = true;
    }
}

void dtls_round_no_branches(struct dtls_round *r)
{
    r->may_fork = false;
}

void dtls_round_why(const struct dtls_round *r, struct reason *why)
{
    if (r->facts->attacks & KEYING_ATTACK_FINGERPRINT)
        reason_set(why, "dtls-fingerprint", "RFC 5763 5", 488,
                   "the certificate is not the one announced");
    else if (r->alert >= 0)
        reason_set(why, "dtls-alert", "RFC 6347 4.1.2.7", 488, "the peer says: %s",
                   SSL_alert_desc_string_long(r->alert));
    else if (r->error != NULL)
        reason_set(why, "dtls-failed", "RFC 5763 5", 488, "%s", r->error);
    else
        reason_set(why, "dtls-timeout", "RFC 5763 5", 488, "no DTLS handshake in time");
}
