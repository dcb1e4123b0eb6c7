#include "fixture.h"
#include <stdlib.h>

struct addr fixture_addr(const char *host, uint16_t port)
{
    struct addr a;
    check_err(addr_parse(&a, str_z(host), port), 0);
    return a;
}

static void on_send(void *arg, struct relay_end *e, unsigned path, const struct addr *to,
                    const uint8_t *p, size_t n)
{
    struct dry *d = arg;
    assert_true(d->n_out < CAUGHT_MAX);
    struct caught *c = &d->out[d->n_out++];
    *c = (struct caught){.end = e, .path = path, .to = *to, .n = n};
    assert_true(n <= sizeof(c->p));
    memcpy(c->p, p, n);
}

static void on_event(void *arg, uint64_t cookie, const struct relay_event *event)
{
    struct dry *d = arg;
    assert_true(d->n_told < CAUGHT_MAX);
    d->told[d->n_told++] =
        (struct told){cookie, event->kind, event->path, event->from, event->n, event->err};
}

struct relay_end_setting dry_setting(const struct dry *d, bool is_a)
{
    return (struct relay_end_setting){.protection = RELAY_CLEAR,
                                      .rtp = is_a ? d->peer_a : d->peer_b,
                                      .rtcp = is_a ? d->peer_a_rtcp : d->peer_b_rtcp,
                                      .sends = true,
                                      .receives = true,
                                      .latch = RELAY_LATCH_HOST};
}

void dry_start(struct dry *d)
{
    struct relay_config config = {.n_workers = 1,
                                  .n_at = 1,
                                  .port_min = 20000,
                                  .port_max = 20099,
                                  .silent_ms = 10000,
                                  .dry = true,
                                  .user = {d, on_event}};
    struct relay_end_args args = {.cookie = 1, .needs_rtcp = true};
    struct relay_end_setting setting;

    memset(d, 0, sizeof(*d));
    config.at[0].local = fixture_addr("192.0.2.100", 0);
    check_err(relay_new(&config, &d->relay, NULL), 0);
    d->relay->on_send = on_send;
    d->relay->on_send_arg = d;
    d->peer_a = fixture_addr("192.0.2.1", 4000);
    d->peer_a_rtcp = fixture_addr("192.0.2.1", 4001);
    d->peer_b = fixture_addr("192.0.2.2", 5000);
    d->peer_b_rtcp = fixture_addr("192.0.2.2", 5001);
    d->stranger = fixture_addr("198.51.100.9", 4000);
    check_err(relay_call_new(d->relay, &d->call), 0);
    check_err(relay_end_new(d->call, &args, &d->a, NULL), 0);
    args.cookie = 2;
    check_err(relay_end_new(d->call, &args, &d->b, NULL), 0);
    setting = dry_setting(d, true);
    relay_end_set(d->a, &setting);
    setting = dry_setting(d, false);
    relay_end_set(d->b, &setting);
    relay_join(d->a, d->b);
}

void dry_stop(struct dry *d)
{
    relay_call_free(d->call);
    relay_free(d->relay);
}

void dry_in(struct dry *d, struct relay_end *e, unsigned path, const struct addr *from,
            const uint8_t *p, size_t n)
{
    /* Just as much room as a port gives, so that the sanitizer sees what goes beyond. */
    uint8_t *copy = malloc(LIMIT_RELAY_PACKET + MEDIA_SRTP_GROWTH);
    assert_non_null(copy);
    if (n > 0)
        memcpy(copy, p, n < LIMIT_RELAY_PACKET ? n : LIMIT_RELAY_PACKET);
    relay_packet_in(e, path, from, copy, n);
    free(copy);
    (void)d;
}

void dry_later(struct dry *d, uint64_t ms)
{
    d->relay->workers[0].now_ms += ms;
    d->relay->workers[0].now_us += ms * 1000;
}

size_t dry_count(const struct dry *d, enum relay_event_kind kind, uint64_t cookie)
{
    size_t n = 0;
    for (size_t i = 0; i < d->n_told; i++)
        n += d->told[i].kind == kind && d->told[i].cookie == cookie;
    return n;
}

void fixture_rtp(uint8_t p[RTP_BYTES], uint32_t ssrc, uint16_t seq)
{
    memset(p, 0x55, RTP_BYTES);
    p[0] = 0x80;
    p[1] = 0;
    rtp_put16(p + 2, seq);
    rtp_put32(p + 4, seq * 160u);
    rtp_put32(p + 8, ssrc);
    p[12] = (uint8_t)seq; /* so that contents differ */
}

size_t fixture_rtcp(uint8_t p[256], uint32_t ssrc)
{
    struct rtcp_builder b = {.p = p, .cap = 256};
    struct rtcp_sender sender = {.ntp = 0x1122334455667788, .ssrc = ssrc, .packets = 3};
    rtcp_put_report(&b, ssrc, &sender, NULL, 0);
    rtcp_put_cname(&b, ssrc, STR("a@example.com"));
    assert_false(b.overflow);
    return b.n;
}

struct keying_keys fixture_keys(enum keying_suite_id suite, uint8_t seed)
{
    struct keying_keys keys = {.suite = keying_suite_get(suite), .n = 1};
    memset(keys.key[0].key, seed, sizeof(keys.key[0].key));
    memset(keys.key[0].salt, seed ^ 0x5a, sizeof(keys.key[0].salt));
    return keys;
}

void fixture_install(struct relay_end *e, uint8_t paths, bool is_send, bool drop_old,
                     enum keying_suite_id suite, uint8_t seed)
{
    struct keying_keys keys = fixture_keys(suite, seed);
    struct keying_install install = {
        .paths = paths, .is_send = is_send, .drop_old = drop_old, .keys = &keys};
    check_err(relay_end_install(e, &install), 0);
}

struct media_srtp *fixture_srtp(enum media_srtp_dir dir, enum keying_suite_id suite, uint8_t seed)
{
    struct keying_keys keys = fixture_keys(suite, seed);
    struct media_srtp *s;
    check_err(media_srtp_new(&s, dir), 0);
    check_err(media_srtp_install(s, &keys), 0);
    return s;
}
