/* DTLS on a media port from those who have proved nothing: what tells it from RTP, alerts that are
 * cut out, ClientHellos put together from pieces, cookies, handshakes of clients and servers. No
 * key comes of it: nobody here holds the key of the certificate that was announced.
 *
 * Input: datagrams, each with four bytes before it: a byte of bits (0, 1: path; 2: the source is
 * validated by other means; 3: the cookie that this source was given last is put into its hello;
 * 4, 5: which source; 6, 7: who gets it: the pool of hellos alone, a server that has offered, a
 * server that knows whom it expects, a client), a byte of time, and the length. */
#include "keying/dtls.h"
#include "keying/dtls_hello.h"
#include "keying/leg.h"
#include "media/rtp.h"
#include <stdlib.h>

#define SOURCES 4
#define HEAD 4
#define STEP_MS 40 /* of a byte of time */

#define CHECK(x)                                                                                   \
    do {                                                                                           \
        if (!(x))                                                                                  \
            abort();                                                                               \
    } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum target { POOL, OFFERED, SERVER, CLIENT, TARGETS };

static struct keying_dtls_identity *identity;
static const uint8_t cookie_key[16] = "a key for cookie";

struct world {
    uint64_t now_ms;
    struct rand_source rand;
    struct keying_policy policy;
    struct dtls_hello_pool *pool;
    struct keying_leg *leg[TARGETS];
    uint8_t cookie[TARGETS][SOURCES][DTLS_COOKIE_BYTES];
    unsigned at_source;
};

static struct keying_at now(struct world *w)
{
    return (struct keying_at){.now_ms = w->now_ms, .wall_ms = 1700000000000, .rand = &w->rand};
}

static struct addr source(unsigned i)
{
    struct addr a;

    CHECK(addr_parse(&a, STR("192.0.2.7"), (uint16_t)(4000 + i)) == 0);
    return a;
}

static void note_cookie(struct world *w, enum target t, const uint8_t *p, size_t n)
{
    if (n == DTLS_VERIFY_BYTES && p[DTLS_RECORD_HEADER] == 3)
        memcpy(w->cookie[t][w->at_source], p + n - DTLS_COOKIE_BYTES, DTLS_COOKIE_BYTES);
}

static void drain(struct world *w, enum target t)
{
    struct keying_event ev;
    int n = 0;

    while (keying_leg_next(w->leg[t], &ev)) {
        CHECK(++n < 1000);
        CHECK(ev.kind != KEYING_EVENT_INSTALL);
        if (ev.kind == KEYING_EVENT_SEND) {
            CHECK(ev.n <= 1200 && rtp_demux(ev.bytes, ev.n) == RTP_DEMUX_DTLS);
            note_cookie(w, t, ev.bytes, ev.n);
        }
    }
    CHECK(keying_leg_facts(w->leg[t], 0)->proof < KEYING_PROOF_HANDSHAKE);
}

static const char *const setup_of[TARGETS] = {
    [SERVER] = "active", [CLIENT] = "passive", [OFFERED] = "actpass"};

static void leg_make(struct world *w, enum target t)
{
    struct arena *a = arena_new(4096, 1u << 20);
    struct keying_at at = now(w);
    struct keying_wish wish = {.is_hop_private = true, .paths = 15};
    struct keying_heard heard = {0};
    struct keying_said said;
    struct sdp *sdp = NULL;
    struct reason why = {0};
    enum sdp_proto proto;
    char room[4096];
    struct str text =
        arena_fmt(a,
                  "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n"
                  "m=audio 5000 UDP/TLS/RTP/SAVP 0\r\na=setup:%s\r\na=fingerprint:sha-256 "
                  "00:01:02:03:04:05:06:07:08:09:0A:0B:0C:0D:0E:0F:"
                  "10:11:12:13:14:15:16:17:18:19:1A:1B:1C:1D:1E:1F\r\n",
                  setup_of[t]);

    keying_said_init(&said, room, sizeof(room));
    CHECK(text.p != NULL && sdp_parse(a, text, &sdp, NULL) == 0);
    heard.sdp = sdp;
    CHECK(keying_leg_new(&w->leg[t], &w->policy) == 0);
    if (t == OFFERED)
        CHECK(keying_leg_offer(w->leg[t], 0, &at, &wish, false, &said, &proto, &why) == 0);
    else
        CHECK(keying_leg_answer(w->leg[t], 0, &at, &wish, &heard, &said, &why) == 0);
    arena_free(a);
}

/* The cookie that this source was given, where a hello has room for one. */
static void put_cookie(struct world *w, enum target t, uint8_t *p, size_t n)
{
    size_t at = DTLS_RECORD_HEADER + DTLS_HANDSHAKE_HEADER + 34;

    if (n <= at)
        return;
    at += 1u + p[at];
    if (n > at && p[at] == DTLS_COOKIE_BYTES && n - at > DTLS_COOKIE_BYTES)
        memcpy(p + at + 1, w->cookie[t][w->at_source], DTLS_COOKIE_BYTES);
}

static void check_alerts(const uint8_t *p, size_t n)
{
    uint8_t copy[2048];
    int alert = -1, again = -1;
    size_t left;

    if (n > sizeof(copy))
        return;
    memcpy(copy, p, n);
    left = dtls_drop_alerts(copy, n, &alert);
    CHECK(left <= n && alert >= -1 && alert <= 255 && (alert == -1 || left < n));
    CHECK(dtls_drop_alerts(copy, left, &again) == left && again == -1);
}

static void to_pool(struct world *w, const struct addr *from, const uint8_t *p, size_t n)
{
    struct dtls_hello h;

    dtls_hello_take(w->pool, w->now_ms, cookie_key, from, p, n, &h);
    switch (h.verdict) {
    case DTLS_HELLO_NONE:
    case DTLS_HELLO_WAIT:
        break;
    case DTLS_HELLO_VERIFY:
        CHECK(from != NULL && h.n == DTLS_VERIFY_BYTES);
        note_cookie(w, POOL, h.bytes, h.n);
        break;
    case DTLS_HELLO_WHOLE:
        CHECK(h.n <= DTLS_HELLO_DATAGRAM && dtls_hello_is(h.bytes, h.n));
        CHECK(from == NULL || h.has_cookie);
        break;
    }
}

static void deliver(struct world *w, uint8_t bits, uint8_t *p, size_t n)
{
    enum target t = (enum target)(bits >> 6);
    struct addr from = source(bits >> 4 & 3);
    const struct addr *where = bits & 4 ? NULL : &from;
    struct keying_at at;

    w->at_source = bits >> 4 & 3;
    if (bits & 8)
        put_cookie(w, t, p, n);
    CHECK((rtp_demux(p, n) == RTP_DEMUX_DTLS) == (n > 1 && p[0] >= 20 && p[0] <= 63));
    check_alerts(p, n);
    if (t == POOL) {
        to_pool(w, where, p, n);
        return;
    }
    if (w->leg[t] == NULL)
        leg_make(w, t);
    at = now(w);
    keying_leg_packet(w->leg[t], 0, &at, (enum keying_path)(bits & 3), where,
                      (bits & 64) != 0, p, n);
    drain(w, t);
    if (keying_leg_timer(w->leg[t]) <= w->now_ms)
        keying_leg_tick(w->leg[t], &at);
    drain(w, t);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct world w = {.now_ms = 1000};

    rand_fixed_init(&w.rand, 3);
    if (identity == NULL)
        CHECK(keying_dtls_identity_new(&identity, 1700000000, &w.rand) == 0);
    keying_policy_init(&w.policy);
    w.policy.identity = identity;
    CHECK(dtls_hello_pool_new(&w.pool) == 0);
    while (size >= HEAD) {
        uint8_t bits = data[0], *p;
        size_t n = (size_t)data[2] << 8 | data[3];

        w.now_ms += (uint64_t)data[1] * STEP_MS;
        n = n < size - HEAD ? n : size - HEAD;
        p = malloc(n + 1); /* a block of its own, so that a read past its end is seen */
        CHECK(p != NULL);
        memcpy(p, data + HEAD, n);
        deliver(&w, bits, p, n);
        free(p);
        data += HEAD + n;
        size -= HEAD + n;
    }
    for (int t = 0; t < TARGETS; t++)
        keying_leg_free(w.leg[t]);
    dtls_hello_pool_free(w.pool);
    return 0;
}
