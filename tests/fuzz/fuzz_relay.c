/* One call of the media plane (dry) fed with arbitrary datagrams from arbitrary sources, between
 * changes of its settings and of the time: nothing crashes, nothing is read or written outside the
 * packet's room, and what is sent on by an end that decrypts is only what was sealed with its keys.
 *
 * Input: operations of one byte with their operands. Packets get a room of their own size, as a
 * port gives it, so that the sanitizer sees each byte beyond. */
#include "base/err.h"
#include "media/rtp.h"
#include "media/srtp.h"
#include "relay/dry.h"
#include <stdlib.h>

#define CHECK(x)                                                                                   \
    do {                                                                                           \
        if (!(x))                                                                                  \
            abort();                                                                               \
    } while (0)
#define BOTH (1u << KEYING_RTP | 1u << KEYING_RTCP)
#define ENDS 3

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

struct input {
    const uint8_t *p;
    size_t n;
};
struct world {
    struct relay *relay;
    struct relay_call *call;
    struct relay_end *end[ENDS];
    struct media_srtp *tx; /* the peer at end 0 */
    uint16_t seq;
    bool is_sealed;    /* what is put in now was made with tx */
    bool is_protected; /* end 0 takes nothing else */
    struct relay_end *at;
};

static uint8_t take(struct input *in)
{
    if (in->n == 0)
        return 0;
    in->n--;
    return *in->p++;
}

static void on_send(void *arg, struct relay_end *e, unsigned path, const struct addr *to,
                    const uint8_t *p, size_t n)
{
    struct world *w = arg;
    CHECK(path <= KEYING_RTCP && addr_is_set(to) && n <= LIMIT_RELAY_PACKET + MEDIA_SRTP_GROWTH);
    CHECK(n == 0 || p[0] == p[0] + 0u * p[n - 1]);
    /* Answers to checks go out where they came in; all else has passed end 0's keys. */
    if (w->at == w->end[0] && e != w->end[0] && w->is_protected)
        CHECK(w->is_sealed);
}

static void on_event(void *arg, uint64_t cookie, const struct relay_event *event)
{
    (void)arg;
    CHECK(cookie < ENDS && event->kind < RELAY_EVENT_KINDS);
}

static struct addr address(uint8_t which)
{
    static const char *const hosts[] = {"192.0.2.1", "192.0.2.2", "2001:db8::1", "198.51.100.9"};
    struct addr a;
    CHECK(addr_parse(&a, str_z(hosts[which & 3]), (uint16_t)(4000 + (which >> 2 & 3))) == 0);
    return a;
}

static void install(struct world *w, unsigned i, bool is_send, uint8_t seed)
{
    struct keying_keys keys = {.suite = keying_suite_get(KEYING_AES_128_GCM), .n = 1};
    struct keying_install in = {.paths = BOTH, .is_send = is_send, .keys = &keys};
    memset(keys.key[0].key, seed, sizeof(keys.key[0].key));
    CHECK(relay_end_install(w->end[i], &in) == 0);
}

static void world_start(struct world *w)
{
    struct relay_config config = {.n_workers = 1,
                                  .n_at = 1,
                                  .port_min = 1000,
                                  .port_max = 1099,
                                  .silent_ms = 1000,
                                  .dry = true,
                                  .user = {w, on_event}};
    struct keying_keys keys = {.suite = keying_suite_get(KEYING_AES_128_GCM), .n = 1};
    *w = (struct world){.is_protected = true};
    config.at[0].local = address(0);
    CHECK(relay_new(&config, &w->relay, NULL) == 0 && relay_call_new(w->relay, &w->call) == 0);
    relay_dry_catch(w->relay, on_send, w);
    for (unsigned i = 0; i < ENDS; i++) {
        struct relay_end_args args = {.cookie = i, .needs_rtcp = i != 2};
        struct relay_end_setting s = {.protection = i == 0 ? RELAY_PROTECT : RELAY_CLEAR,
                                      .rtp = address((uint8_t)i),
                                      .rtcp = address((uint8_t)(i | 4)),
                                      .mux = i == 2,
                                      .sends = true,
                                      .receives = true,
                                      .latch = (enum relay_latch)i};
        if (i == 2) {
            args.ice_ufrag = STR("evtj");
            args.ice_pwd = STR("VOkJxbRl1RmTxUk/WvJxBt");
        }
        CHECK(relay_end_new(w->call, &args, &w->end[i], NULL) == 0);
        relay_end_set(w->end[i], &s);
    }
    install(w, 0, false, 7);
    install(w, 0, true, 8);
    memset(keys.key[0].key, 7, sizeof(keys.key[0].key));
    CHECK(media_srtp_new(&w->tx, MEDIA_SRTP_SEND) == 0 && media_srtp_install(w->tx, &keys) == 0);
    relay_join(w->end[0], w->end[1]);
}

static void put(struct world *w, struct relay_end *e, unsigned path, const struct addr *from,
                const uint8_t *p, size_t n)
{
    uint8_t *room = malloc(RELAY_DRY_ROOM);
    CHECK(room != NULL);
    memset(room, 0, RELAY_DRY_ROOM);
    if (n > 0)
        memcpy(room, p, n);
    w->at = e;
    relay_dry_in(e, path ? KEYING_RTCP : KEYING_RTP, from, room, n);
    w->at = NULL;
    free(room);
}

static void put_sealed(struct world *w, const struct addr *from, uint8_t step)
{
    uint8_t p[40 + MEDIA_SRTP_GROWTH] = {0x80, 0};
    size_t n = 40;
    w->seq = (uint16_t)(w->seq + step);
    rtp_put16(p + 2, w->seq);
    if (media_srtp_protect(w->tx, p, &n, sizeof(p)) != MEDIA_SRTP_OK)
        return;
    w->is_sealed = true;
    put(w, w->end[0], KEYING_RTP, from, p, n);
    w->is_sealed = false;
}

static void put_any(struct world *w, struct input *in, unsigned i, unsigned path)
{
    struct addr from = address(take(in));
    size_t n = take(in) * 8u;
    n = n > in->n ? in->n : n;
    put(w, w->end[i], path, &from, in->p, n);
    in->p += n;
    in->n -= n;
}

static void set(struct world *w, struct input *in, unsigned i)
{
    uint8_t flags = take(in);
    struct relay_end_setting s = {.protection = (enum relay_protection)(take(in) % 3),
                                  .mux = flags & 1,
                                  .sends = flags & 2,
                                  .receives = flags & 4,
                                  .latch = (enum relay_latch)(take(in) % 3),
                                  .ice_ufrag = flags & 8 ? STR("h6vY") : STR_NULL,
                                  .ice_is_lite = flags & 16};
    if (flags & 128) {
        s.rtp = address(take(in));
        s.rtcp = address(take(in));
    }
    relay_end_set(w->end[i], &s);
    relay_end_police(w->end[i], flags & 32 ? 3000 : 0, flags & 64 ? 30 : 0);
    if (i == 0)
        w->is_protected = s.protection == RELAY_PROTECT;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct input in = {data, n};
    struct world w;
    struct addr from;
    world_start(&w);
    for (unsigned i = 0; i < 300 && in.n > 0; i++) {
        uint8_t op = take(&in);
        unsigned which = op / 8u % ENDS, path = op >> 7;
        switch (op % 8) {
        case 0:
        case 1:
        case 2:
            put_any(&w, &in, which, path);
            break;
        case 3:
            from = address(take(&in));
            put_sealed(&w, &from, take(&in));
            break;
        case 4:
            set(&w, &in, which);
            break;
        case 5:
            relay_dry_later(w.relay, 64u * take(&in));
            break;
        case 6:
            relay_join(w.end[which], w.end[take(&in) % ENDS]);
            break;
        default:
            install(&w, 1 + which % 2, op >> 7, take(&in));
            break;
        }
    }
    media_srtp_free(w.tx);
    relay_call_free(w.call);
    relay_free(w.relay);
    return 0;
}
