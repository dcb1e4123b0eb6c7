/* Where DTLS clients arrive before anybody knows which of them is the right one. RFC 5763
 * 5, 6.2, 6.3, RFC 8842 5.2, 8, RFC 6347 4.2.1. Shared by the media that have sent the same offer;
 * of one thread like them. */
#include "base/err.h"
#include "base/mem.h"
#include "keying/dtls_hello.h"
#include "keying/dtls_priv.h"

void dtls_profiles(const struct keying_policy *policy, char *dst, size_t cap)
{
    struct sbuf b = sbuf_make(dst, cap - 1);

    for (size_t i = 0; i < policy->n_suites; i++) {
        const struct keying_suite *suite = keying_suite_get(policy->suites[i]);

        if (suite->openssl == NULL)
            continue;
        if (b.n > 0)
            sbuf_char(&b, ':');
        sbuf_str(&b, str_z(suite->openssl));
    }
    dst[b.overflow ? 0 : b.n] = '\0';
}

int dtls_hall_new(struct dtls_hall **ret, struct keying_dtls_identity *identity,
                  const struct keying_policy *policy)
{
    struct dtls_hall *hall = mem_zalloc(sizeof(*hall));

    if (hall == NULL)
        return ERR_NOMEM;
    hall->refs = 1;
    hall->identity = keying_dtls_identity_ref(identity);
    hall->policy = policy;
    dtls_queue_init(&hall->queue);
    dtls_profiles(policy, hall->profiles, sizeof(hall->profiles));
    *ret = hall;
    return 0;
}

struct dtls_hall *dtls_hall_ref(struct dtls_hall *hall)
{
    hall->refs++;
    return hall;
}

static void guest_clear(struct dtls_guest *g)
{
    dtls_assoc_free(g->assoc);
    *g = (struct dtls_guest){.assoc = NULL};
}

void dtls_hall_unref(struct dtls_hall *hall)
{
    if (hall == NULL || --hall->refs > 0)
        return;
    for (enum keying_path path = 0; path < KEYING_PATHS; path++) {
        for (size_t i = 0; i < LIMIT_DTLS_CANDIDATES; i++)
            guest_clear(&hall->guest[path][i]);
    }
    dtls_queue_done(&hall->queue);
    dtls_hello_pool_free(hall->pool);
    SSL_SESSION_free(hall->session);
    keying_dtls_identity_unref(hall->identity);
    mem_free(hall);
}

static bool same_source(const struct addr *a, const struct addr *b)
{
    return addr_is_set(a) ? b != NULL && addr_is_set(b) && addr_eq(a, b)
                          : b == NULL || !addr_is_set(b);
}

static struct dtls_guest *guest_find(struct dtls_hall *hall, enum keying_path path,
                                     const struct addr *from)
{
    for (size_t i = 0; i < LIMIT_DTLS_CANDIDATES; i++) {
        struct dtls_guest *g = &hall->guest[path][i];

        if (g->assoc != NULL && same_source(dtls_assoc_remote(g->assoc), from))
            return g;
    }
    return NULL;
}

void dtls_hall_expect(struct dtls_hall *hall, enum keying_path path, const struct addr *at)
{
    if (addr_is_set(at))
        hall->named[path][hall->n_named[path]++ % DTLS_NAMED_MAX] = *at;
}

/* A cookie shows that somebody gets what is sent to where he comes from, and no more: anybody can
 * have one. */
static unsigned rank_of(const struct dtls_hall *hall, enum keying_path path, const struct addr *from,
                        bool is_named)
{
    unsigned rank = DTLS_RANK_STRANGER;

    if (is_named || from == NULL || !addr_is_set(from)) /* nobody else can come by that way */
        return DTLS_RANK_NAMED;
    for (size_t i = 0; i < DTLS_NAMED_MAX && i < hall->n_named[path]; i++) {
        if (addr_eq(&hall->named[path][i], from))
            return DTLS_RANK_NAMED;
        if (addr_eq_host(&hall->named[path][i], from))
            rank = DTLS_RANK_HOST;
    }
    return rank;
}

/* A description may have come after him. */
static unsigned guest_rank(const struct dtls_hall *hall, enum keying_path path,
                           const struct dtls_guest *g)
{
    unsigned now = rank_of(hall, path, dtls_assoc_remote(g->assoc), false);

    return now > g->rank ? now : g->rank;
}

/* Of those who come from less likely places the least likely, who is here for the longest time; who
 * is still shaking hands before who has finished. */
static struct dtls_guest *guest_below(struct dtls_hall *hall, enum keying_path path, unsigned rank)
{
    struct dtls_guest *least = NULL;
    unsigned least_rank = rank;
    bool least_done = true;

    for (size_t i = 0; i < LIMIT_DTLS_CANDIDATES; i++) {
        struct dtls_guest *g = &hall->guest[path][i];
        unsigned its = guest_rank(hall, path, g);
        bool is_done = dtls_assoc_state(g->assoc) == DTLS_DONE;

        if (its >= rank)
            continue;
        if (least == NULL || is_done < least_done ||
            (is_done == least_done &&
             (its < least_rank || (its == least_rank && g->until_ms < least->until_ms)))) {
            least = g;
            least_rank = its;
            least_done = is_done;
        }
    }
    return least;
}

/* A place for a newcomer: his own before, a free one, that of somebody with another certificate, or
 * that of one who comes from a less likely place. Nobody else who is still shaking hands is sent
 * away. */
static struct dtls_guest *guest_place(struct dtls_hall *hall, enum keying_path path,
                                      const struct addr *from, unsigned rank)
{
    struct dtls_guest *place = guest_find(hall, path, from);

    for (size_t i = 0; i < LIMIT_DTLS_CANDIDATES && place == NULL; i++) {
        if (hall->guest[path][i].assoc == NULL)
            place = &hall->guest[path][i];
    }
    for (size_t i = 0; i < LIMIT_DTLS_CANDIDATES && place == NULL; i++) {
        if (hall->guest[path][i].is_stranger)
            place = &hall->guest[path][i];
    }
    if (place == NULL && (place = guest_below(hall, path, rank)) != NULL) {
        hall->failures++;
        hall->error = "the address that is described had to have its place";
    }
    return place;
}

static void guest_failed(struct dtls_hall *hall, struct dtls_guest *g, const char *error)
{
    hall->failures++;
    hall->error = error;
    guest_clear(g);
}

/* What somebody did wrong who has proved nothing is his own affair: he is forgotten, and may try
 * again. */
static void guest_look(struct dtls_hall *hall, struct dtls_guest *g)
{
    if (dtls_assoc_state(g->assoc) == DTLS_FAILED)
        guest_failed(hall, g, dtls_assoc_error(g->assoc));
    else if (dtls_assoc_state(g->assoc) == DTLS_DONE && dtls_assoc_suite(g->assoc) == NULL)
        guest_failed(hall, g, "no SRTP profile in common");
}

static void guest_admit(struct dtls_hall *hall, uint64_t now_ms, enum keying_path path,
                        const struct addr *from, bool is_named, const struct dtls_hello *hello)
{
    struct dtls_guest *g = guest_find(hall, path, from);
    const unsigned rank = rank_of(hall, path, from, is_named);
    struct dtls_assoc_args args = {.ctx = hall->identity->server,
                                   .profiles = hall->profiles,
                                   .path = path,
                                   .first_ms = hall->policy->dtls_first_ms,
                                   .session = hall->session,
                                   .queue = &hall->queue};

    if (g != NULL && memcmp(g->random, hello->random, sizeof(g->random)) == 0)
        return; /* the same hello again: our answer to it has a timer of its own */
    if (hall->n_attempts[path][rank] >= LIMIT_DTLS_ATTEMPTS ||
        (g = guest_place(hall, path, from, rank)) == NULL)
        return;
    hall->n_attempts[path][rank]++;
    if (from != NULL)
        args.remote = *from;
    guest_clear(g);
    if (dtls_assoc_new(&g->assoc, &args) != 0) {
        *g = (struct dtls_guest){.assoc = NULL};
        return;
    }
    memcpy(g->random, hello->random, sizeof(g->random));
    g->rank = rank;
    g->until_ms = now_ms + hall->policy->handshake_ms;
    dtls_assoc_hello(g->assoc, hello->bytes, hello->n, hello->has_cookie);
    guest_look(hall, g);
}

void dtls_hall_input(struct dtls_hall *hall, uint64_t now_ms, enum keying_path path,
                     const struct addr *from, bool is_named, const uint8_t *p, size_t n,
                     bool is_open)
{
    static const struct addr unset;
    struct dtls_guest *g;
    struct dtls_hello hello;

    if (!dtls_hello_is(p, n)) {
        g = guest_find(hall, path, from);
        if (g != NULL) {
            dtls_assoc_input(g->assoc, p, n);
            guest_look(hall, g);
        }
        return;
    }
    if (!is_open || (hall->pool == NULL && dtls_hello_pool_new(&hall->pool) != 0))
        return;
    dtls_hello_take(hall->pool, now_ms, hall->identity->cookie_key, from, p, n, &hello);
    if (hello.verdict == DTLS_HELLO_VERIFY)
        dtls_queue_put(&hall->queue, path, from != NULL ? from : &unset, hello.bytes, hello.n);
    else if (hello.verdict == DTLS_HELLO_WHOLE)
        guest_admit(hall, now_ms, path, from, is_named, &hello);
}

void dtls_hall_alert(struct dtls_hall *hall, uint64_t now_ms, enum keying_path path,
                     const struct addr *from)
{
    struct dtls_guest *g = guest_find(hall, path, from);

    if (g != NULL && g->until_ms > now_ms + DTLS_ALERT_MS)
        g->until_ms = now_ms + DTLS_ALERT_MS;
}

bool dtls_hall_knows(struct dtls_hall *hall, enum keying_path path, const struct addr *from)
{
    return guest_find(hall, path, from) != NULL;
}

void dtls_hall_tick(struct dtls_hall *hall, uint64_t now_ms)
{
    for (enum keying_path path = 0; path < KEYING_PATHS; path++) {
        for (size_t i = 0; i < LIMIT_DTLS_CANDIDATES; i++) {
            struct dtls_guest *g = &hall->guest[path][i];

            if (g->assoc == NULL || dtls_assoc_state(g->assoc) != DTLS_SHAKING)
                continue;
            dtls_assoc_tick(g->assoc);
            if (now_ms >= g->until_ms)
                guest_failed(hall, g, "the handshake took too long");
            else
                guest_look(hall, g);
        }
    }
}

uint64_t dtls_hall_wait_ms(const struct dtls_hall *hall, uint64_t now_ms)
{
    uint64_t wait = UINT64_MAX;

    for (enum keying_path path = 0; path < KEYING_PATHS; path++) {
        for (size_t i = 0; i < LIMIT_DTLS_CANDIDATES; i++) {
            const struct dtls_guest *g = &hall->guest[path][i];
            uint64_t one, end;

            if (g->assoc == NULL || dtls_assoc_state(g->assoc) != DTLS_SHAKING)
                continue;
            one = dtls_assoc_wait_ms(g->assoc);
            end = g->until_ms > now_ms ? g->until_ms - now_ms : 0;
            one = one < end ? one : end;
            wait = one < wait ? one : wait;
        }
    }
    return wait;
}

/* Does he come from there? Where nobody says where somebody comes from, there is but one. */
static bool comes_from(const struct dtls_guest *g, const struct addr *at)
{
    const struct addr *from = dtls_assoc_remote(g->assoc);

    return !addr_is_set(at) || !addr_is_set(from) || addr_eq(from, at);
}

struct dtls_assoc *dtls_hall_claim(struct dtls_hall *hall, enum keying_path path,
                                   const struct dtls_peer *peer, const struct addr *at, bool must)
{
    struct dtls_guest *best = NULL;
    struct dtls_assoc *found;

    for (size_t i = 0; i < LIMIT_DTLS_CANDIDATES; i++) {
        struct dtls_guest *g = &hall->guest[path][i];

        if (g->assoc == NULL || dtls_assoc_state(g->assoc) != DTLS_DONE)
            continue;
        if (!dtls_peer_is(peer, g->assoc))
            g->is_stranger = true;
        else if (comes_from(g, at) ? best == NULL || !comes_from(best, at) : best == NULL && !must)
            best = g;
    }
    if (best == NULL)
        return NULL;
    found = best->assoc;
    *best = (struct dtls_guest){.assoc = NULL};
    return found;
}

unsigned dtls_hall_strangers(struct dtls_hall *hall, bool dismiss, unsigned *ret_rank)
{
    unsigned n = 0;

    *ret_rank = DTLS_RANK_STRANGER;
    for (enum keying_path path = 0; path < KEYING_PATHS; path++) {
        for (size_t i = 0; i < LIMIT_DTLS_CANDIDATES; i++) {
            struct dtls_guest *g = &hall->guest[path][i];

            n += g->is_stranger;
            if (g->is_stranger && guest_rank(hall, path, g) > *ret_rank)
                *ret_rank = guest_rank(hall, path, g);
            if (g->is_stranger && dismiss)
                guest_failed(hall, g, "the certificate is not the one announced");
        }
    }
    return n;
}
