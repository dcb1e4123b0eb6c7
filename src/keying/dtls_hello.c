/* ClientHellos in pieces, cookies, and alerts that nobody signed. RFC 6347 4.1, 4.2. Pure. */
#include "keying/dtls_hello.h"
#include "base/err.h"
#include "base/mac.h"
#include "base/mem.h"
#include "base/secret.h"

#define RECORD_ALERT 21
#define RECORD_HANDSHAKE 22
#define TYPE_CLIENT_HELLO 1
#define TYPE_VERIFY_REQUEST 3
#define ALERT_FATAL 2
#define COOKIE_PERIOD_MS 60000 /* a cookie is good in the period it was made in and the next */

static uint16_t get16(const uint8_t *p)
{
    return (uint16_t)(p[0] << 8 | p[1]);
}

static uint32_t get24(const uint8_t *p)
{
    return (uint32_t)p[0] << 16 | (uint32_t)p[1] << 8 | p[2];
}

static void put16(uint8_t *p, uint32_t v)
{
    p[0] = (uint8_t)(v >> 8);
    p[1] = (uint8_t)v;
}

static void put24(uint8_t *p, uint32_t v)
{
    p[0] = (uint8_t)(v >> 16);
    put16(p + 1, v);
}

/* ---- records and handshake messages ---- */

struct record {
    uint8_t type;
    uint16_t version, epoch;
    const uint8_t *seq; /* 6 bytes */
    const uint8_t *body;
    size_t n;
};

/* The next record of a datagram; false at its end, or where it is broken. */
static bool record_next(const uint8_t **p, size_t *n, struct record *ret)
{
    const uint8_t *r = *p;

    if (*n < DTLS_RECORD_HEADER || *n - DTLS_RECORD_HEADER < get16(r + 11))
        return false;
    *ret = (struct record){.type = r[0],
                           .version = get16(r + 1),
                           .epoch = get16(r + 3),
                           .seq = r + 5,
                           .body = r + DTLS_RECORD_HEADER,
                           .n = get16(r + 11)};
    *p += DTLS_RECORD_HEADER + ret->n;
    *n -= DTLS_RECORD_HEADER + ret->n;
    return true;
}

struct piece {
    uint16_t version;   /* of the record */
    const uint8_t *seq; /* of the record */
    uint16_t message;   /* the handshake message's number */
    uint32_t total, at, n;
    const uint8_t *body;
};

/* The next piece of a handshake message in a record; false if there is none, or it is no part of a
 * ClientHello. */
static bool piece_next(struct record *r, struct piece *ret)
{
    const uint8_t *h = r->body;

    if (r->n < DTLS_HANDSHAKE_HEADER || h[0] != TYPE_CLIENT_HELLO)
        return false;
    *ret = (struct piece){.version = r->version,
                          .seq = r->seq,
                          .message = get16(h + 4),
                          .total = get24(h + 1),
                          .at = get24(h + 6),
                          .n = get24(h + 9),
                          .body = h + DTLS_HANDSHAKE_HEADER};
    if (r->n - DTLS_HANDSHAKE_HEADER < ret->n || ret->total > LIMIT_DTLS_HELLO_BYTES ||
        ret->at > ret->total || ret->n > ret->total - ret->at)
        return false;
    r->body += DTLS_HANDSHAKE_HEADER + ret->n;
    r->n -= DTLS_HANDSHAKE_HEADER + ret->n;
    return true;
}

bool dtls_hello_is(const uint8_t *p, size_t n)
{
    struct record r;

    return record_next(&p, &n, &r) && r.type == RECORD_HANDSHAKE && r.epoch == 0 &&
           r.n >= DTLS_HANDSHAKE_HEADER && r.body[0] == TYPE_CLIENT_HELLO;
}

size_t dtls_drop_alerts(uint8_t *p, size_t n, int *ret_alert)
{
    const uint8_t *from = p;
    size_t left = n, kept = 0;
    struct record r;

    *ret_alert = -1;
    while (left > 0) {
        const uint8_t *start = from;
        size_t len;

        if (!record_next(&from, &left, &r)) {
            memmove(p + kept, from, left);
            return kept + left;
        }
        len = (size_t)(from - start);
        if (r.type == RECORD_ALERT && r.epoch == 0) {
            if (r.n >= 2 && r.body[0] == ALERT_FATAL)
                *ret_alert = r.body[1];
            continue;
        }
        memmove(p + kept, start, len);
        kept += len;
    }
    return kept;
}

/* ---- the beginning of a ClientHello ---- */

struct beginning {
    const uint8_t *random, *session;
    size_t n_session;
    const uint8_t *cookie;
    size_t n_cookie;
};

/* Version, random, session id, cookie: RFC 6347 4.2.1. */
static bool beginning_read(const uint8_t *p, size_t n, struct beginning *ret)
{
    if (n < 2 + 32 + 1 || n - 35 < (size_t)p[34] + 1)
        return false;
    ret->random = p + 2;
    ret->n_session = p[34];
    ret->session = p + 35;
    p += 35 + ret->n_session;
    n -= 35 + ret->n_session;
    ret->n_cookie = p[0];
    ret->cookie = p + 1;
    return n - 1 >= ret->n_cookie;
}

static void cookie_make(const uint8_t key[16], uint8_t period, const struct addr *from,
                        const struct beginning *b, uint8_t ret[DTLS_COOKIE_BYTES])
{
    uint64_t source = addr_hash(from); /* keyed, and the same while this process lives */
    struct mac m;

    mac_start(&m, key);
    mac_add(&m, &period, 1);
    mac_add(&m, &source, sizeof(source));
    mac_text(&m, str_make((const char *)b->random, 32));
    mac_text(&m, str_make((const char *)b->session, b->n_session));
    mac_finish(&m, ret + 1);
    ret[0] = period;
}

static bool cookie_is_ours(const uint8_t key[16], uint64_t now_ms, const struct addr *from,
                           const struct beginning *b)
{
    uint8_t now = (uint8_t)(now_ms / COOKIE_PERIOD_MS), expected[DTLS_COOKIE_BYTES];

    if (b->n_cookie != DTLS_COOKIE_BYTES || (uint8_t)(now - b->cookie[0]) > 1)
        return false;
    cookie_make(key, b->cookie[0], from, b, expected);
    return secret_bytes_eq(expected, b->cookie, sizeof(expected));
}

/* ---- the pool ---- */

/* One hello that is being collected. */
struct slot {
    bool is_used;
    bool is_valid; /* its beginning is there, with our cookie */
    struct addr from;
    uint16_t message, version;
    uint8_t seq[6];
    uint64_t since_ms;
    uint32_t total, n; /* bytes that are there */
    uint8_t *body;     /* total bytes, then a bit for each that is there */
};

struct dtls_hello_pool {
    struct slot slots[LIMIT_DTLS_HELLOS];
    uint8_t out[DTLS_HELLO_DATAGRAM];
};

int dtls_hello_pool_new(struct dtls_hello_pool **ret)
{
    *ret = mem_zalloc(sizeof(**ret));
    return *ret != NULL ? 0 : ERR_NOMEM;
}

static void slot_clear(struct slot *s)
{
    mem_free(s->body);
    *s = (struct slot){.is_used = false};
}

void dtls_hello_pool_free(struct dtls_hello_pool *pool)
{
    if (pool == NULL)
        return;
    for (size_t i = 0; i < LIMIT_DTLS_HELLOS; i++)
        slot_clear(&pool->slots[i]);
    mem_free(pool);
}

static bool same_source(const struct addr *a, const struct addr *b)
{
    return addr_is_set(a) ? addr_is_set(b) && addr_eq(a, b) : !addr_is_set(b);
}

/* Where a piece belongs: the slot it was begun in, or a new one. Hellos whose cookie has been seen
 * are not pushed out by those of which nothing is known. */
static struct slot *slot_get(struct dtls_hello_pool *pool, uint64_t now_ms, const struct addr *from,
                             const struct piece *piece)
{
    struct slot *oldest = NULL;

    for (size_t i = 0; i < LIMIT_DTLS_HELLOS; i++) {
        struct slot *s = &pool->slots[i];

        if (s->is_used && same_source(&s->from, from) && s->message == piece->message) {
            if (s->total == piece->total)
                return s;
            slot_clear(s); /* another hello of the same client */
        }
        if (s->is_used && s->is_valid && now_ms - s->since_ms < COOKIE_PERIOD_MS)
            continue;
        if (oldest == NULL || !s->is_used || (oldest->is_used && s->since_ms < oldest->since_ms))
            oldest = s;
    }
    if (oldest == NULL)
        return NULL;
    slot_clear(oldest);
    oldest->body = mem_zalloc(piece->total + (piece->total + 7) / 8);
    if (oldest->body == NULL)
        return NULL;
    oldest->is_used = true;
    oldest->from = *from;
    oldest->message = piece->message;
    oldest->total = piece->total;
    oldest->since_ms = now_ms;
    return oldest;
}

static void slot_add(struct slot *s, const struct piece *piece)
{
    uint8_t *bits = s->body + s->total;

    for (uint32_t i = piece->at; i < piece->at + piece->n; i++) {
        if (bits[i / 8] & (1u << i % 8))
            continue;
        bits[i / 8] |= (uint8_t)(1u << i % 8);
        s->body[i] = piece->body[i - piece->at];
        s->n++;
    }
    if (piece->at == 0) {
        s->version = piece->version;
        memcpy(s->seq, piece->seq, sizeof(s->seq));
    }
}

/* A record with one whole handshake message of n bytes. */
static size_t put_record(uint8_t *dst, uint16_t version, const uint8_t seq[6], uint8_t type,
                         uint16_t message, const uint8_t *body, size_t n)
{
    dst[0] = RECORD_HANDSHAKE;
    put16(dst + 1, version);
    put16(dst + 3, 0);
    memcpy(dst + 5, seq, 6);
    put16(dst + 11, (uint32_t)(DTLS_HANDSHAKE_HEADER + n));
    dst += DTLS_RECORD_HEADER;
    dst[0] = type;
    put24(dst + 1, (uint32_t)n);
    put16(dst + 4, message);
    put24(dst + 6, 0);
    put24(dst + 9, (uint32_t)n);
    memcpy(dst + DTLS_HANDSHAKE_HEADER, body, n);
    return DTLS_RECORD_HEADER + DTLS_HANDSHAKE_HEADER + n;
}

/* RFC 6347 4.2.1: with the number of the client's record, and DTLS 1.0 as the version. */
static void put_verify(struct dtls_hello_pool *pool, const uint8_t cookie_key[16], uint64_t now_ms,
                       const struct addr *from, const struct piece *piece,
                       const struct beginning *b, struct dtls_hello *ret)
{
    uint8_t body[3 + DTLS_COOKIE_BYTES] = {0xfe, 0xff, DTLS_COOKIE_BYTES};

    cookie_make(cookie_key, (uint8_t)(now_ms / COOKIE_PERIOD_MS), from, b, body + 3);
    ret->n = put_record(pool->out, 0xfeff, piece->seq, TYPE_VERIFY_REQUEST, piece->message, body,
                        sizeof(body));
    ret->bytes = pool->out;
    ret->verdict = DTLS_HELLO_VERIFY;
}

static void take_piece(struct dtls_hello_pool *pool, uint64_t now_ms, const uint8_t cookie_key[16],
                       const struct addr *from, const struct piece *piece, struct dtls_hello *ret)
{
    static const struct addr anywhere;
    bool needs_cookie = from != NULL;
    struct beginning b = {.n_cookie = 0};
    bool has_beginning = piece->at == 0 && beginning_read(piece->body, piece->n, &b);
    struct slot *s;

    /* Numbers other than 0 and 1 are those of no first flight that we would take part in. */
    if (piece->message > 1)
        return;
    if (needs_cookie && piece->message == 0) {
        if (has_beginning)
            put_verify(pool, cookie_key, now_ms, from, piece, &b, ret);
        return;
    }
    if (needs_cookie && has_beginning && !cookie_is_ours(cookie_key, now_ms, from, &b))
        return;
    s = slot_get(pool, now_ms, needs_cookie ? from : &anywhere, piece);
    if (s == NULL)
        return;
    slot_add(s, piece);
    s->is_valid = s->is_valid || has_beginning;
    ret->verdict = DTLS_HELLO_WAIT;
    if (s->n < s->total)
        return;
    /* Judged again as a whole: its beginning may have come in crumbs. */
    if (beginning_read(s->body, s->total, &b) &&
        (!needs_cookie || cookie_is_ours(cookie_key, now_ms, from, &b))) {
        ret->n = put_record(pool->out, s->version, s->seq, TYPE_CLIENT_HELLO, s->message, s->body,
                            s->total);
        ret->bytes = pool->out;
        ret->verdict = DTLS_HELLO_WHOLE;
        ret->has_cookie = s->message == 1;
        memcpy(ret->random, s->body + 2, sizeof(ret->random));
    }
    slot_clear(s);
}

void dtls_hello_take(struct dtls_hello_pool *pool, uint64_t now_ms, const uint8_t cookie_key[16],
                     const struct addr *from, const uint8_t *p, size_t n, struct dtls_hello *ret)
{
    struct record r;
    struct piece piece;

    *ret = (struct dtls_hello){.verdict = DTLS_HELLO_NONE};
    while (record_next(&p, &n, &r)) {
        if (r.type != RECORD_HANDSHAKE || r.epoch != 0)
            continue;
        while (piece_next(&r, &piece)) {
            take_piece(pool, now_ms, cookie_key, from, &piece, ret);
            if (ret->verdict == DTLS_HELLO_VERIFY || ret->verdict == DTLS_HELLO_WHOLE)
                return;
        }
    }
}
