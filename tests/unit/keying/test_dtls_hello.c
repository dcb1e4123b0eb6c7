/* ClientHellos in pieces, in any order, doubled, overlapping; cookies good, foreign and old; a pool
 * under attack; alerts cut out. RFC 6347 4.1.2.7, 4.2.1, 4.2.3. And the handshake of a client whose
 * hello comes as Chromium's does. */
#include "dtls_net.h"
#include "keying/dtls_hello.h"

static const uint8_t key[16] = {7, 7, 7};

static void put16(uint8_t *p, size_t v)
{
    p[0] = (uint8_t)(v >> 8);
    p[1] = (uint8_t)v;
}

/* A hello of n bytes: version, random, no session, a cookie, then bytes that count. */
static size_t body_make(uint8_t *p, size_t n, const uint8_t *cookie, size_t n_cookie)
{
    for (size_t i = 0; i < n; i++)
        p[i] = (uint8_t)(i * 7);
    p[0] = 0xfe;
    p[1] = 0xfd;
    p[34] = 0;
    p[35] = (uint8_t)n_cookie;
    if (n_cookie > 0)
        memcpy(p + 36, cookie, n_cookie);
    return n;
}

/* Bytes at..at+len of a message as a record. */
static size_t record_make(uint8_t *dst, const uint8_t *body, size_t total, size_t at, size_t len,
                          unsigned message, uint8_t seq)
{
    static const uint8_t head[DTLS_RECORD_HEADER] = {22, 0xfe, 0xff};

    memcpy(dst, head, sizeof(head));
    dst[10] = seq;
    put16(dst + 11, DTLS_HANDSHAKE_HEADER + len);
    dst[13] = 1;
    dst[14] = 0;
    put16(dst + 15, total);
    put16(dst + 17, message);
    dst[19] = 0;
    put16(dst + 20, at);
    dst[22] = 0;
    put16(dst + 23, len);
    memcpy(dst + 25, body + at, len);
    return DTLS_RECORD_HEADER + DTLS_HANDSHAKE_HEADER + len;
}

static struct addr host(unsigned i)
{
    struct addr a;
    char text[32];

    (void)snprintf(text, sizeof(text), "10.1.%u.%u", i / 200, 1 + i % 200);
    check_err(addr_parse(&a, str_z(text), 4000), 0);
    return a;
}

/* The cookie that a source gets for its first hello. */
static void cookie_get(struct dtls_hello_pool *pool, uint64_t now, const struct addr *from,
                       uint8_t *cookie)
{
    uint8_t body[100], record[200];
    struct dtls_hello h;
    size_t n = record_make(record, body, body_make(body, 100, NULL, 0), 0, 100, 0, 5);

    dtls_hello_take(pool, now, key, from, record, n, &h);
    assert_int_equal(h.verdict, DTLS_HELLO_VERIFY);
    assert_int_equal(h.n, DTLS_VERIFY_BYTES);
    assert_int_equal(h.bytes[10], 5); /* the number of the client's record */
    assert_int_equal(h.bytes[13], 3);
    assert_int_equal(h.bytes[27], DTLS_COOKIE_BYTES);
    memcpy(cookie, h.bytes + 28, DTLS_COOKIE_BYTES);
}

static void check_whole(const struct dtls_hello *h, const uint8_t *body, size_t n)
{
    assert_int_equal(h->verdict, DTLS_HELLO_WHOLE);
    assert_true(h->has_cookie);
    assert_int_equal(h->n, DTLS_RECORD_HEADER + DTLS_HANDSHAKE_HEADER + n);
    assert_memory_equal(h->bytes + 25, body, n);
    assert_memory_equal(h->random, body + 2, 32);
}

static void test_every_order(void **state)
{
    static const size_t cuts[5] = {0, 60, 500, 900, 1413};
    struct dtls_hello_pool *pool;
    struct addr from = host(1);
    uint8_t body[1413], cookie[DTLS_COOKIE_BYTES], record[2048];

    (void)state;
    check_err(dtls_hello_pool_new(&pool), 0);
    cookie_get(pool, 1000, &from, cookie);
    body_make(body, sizeof(body), cookie, sizeof(cookie));
    for (unsigned order = 0; order < 24; order++) {
        bool used[4] = {false};
        unsigned rest = order;
        struct dtls_hello h = {.verdict = DTLS_HELLO_NONE};

        for (unsigned i = 0; i < 4; i++) {
            unsigned pick = rest % (4 - i), part = 0;
            size_t n;

            rest /= 4 - i;
            for (part = 0; used[part] || pick-- > 0; part++)
                ;
            used[part] = true;
            n = record_make(record, body, sizeof(body), cuts[part], cuts[part + 1] - cuts[part], 1,
                            (uint8_t)(9 + part));
            for (unsigned again = 0; again < (i < 3 ? 2 : 1); again++)
                dtls_hello_take(pool, 1000, key, &from, record, n, &h);
            if (i < 3)
                assert_int_equal(h.verdict, DTLS_HELLO_WAIT);
        }
        check_whole(&h, body, sizeof(body));
        assert_int_equal(h.bytes[10], 9); /* the record that began it */
    }
    dtls_hello_pool_free(pool);
}

/* A byte at a time, all in one datagram; and pieces that overlap. */
static void test_crumbs(void **state)
{
    struct dtls_hello_pool *pool;
    struct addr from = host(1);
    uint8_t body[70], cookie[DTLS_COOKIE_BYTES], datagram[70 * 26];
    struct dtls_hello h;
    size_t n = 0;

    (void)state;
    check_err(dtls_hello_pool_new(&pool), 0);
    cookie_get(pool, 1000, &from, cookie);
    body_make(body, sizeof(body), cookie, sizeof(cookie));
    for (size_t i = 0; i < sizeof(body); i++)
        n += record_make(datagram + n, body, sizeof(body), i, 1, 1, (uint8_t)i);
    dtls_hello_take(pool, 1000, key, &from, datagram, n, &h);
    check_whole(&h, body, sizeof(body));
    for (size_t at = 0; at + 20 <= sizeof(body); at += 10) {
        n = record_make(datagram, body, sizeof(body), at, 20, 1, 1);
        dtls_hello_take(pool, 1000, key, &from, datagram, n, &h);
    }
    check_whole(&h, body, sizeof(body));
    dtls_hello_pool_free(pool);
}

static enum dtls_hello_verdict ask(struct dtls_hello_pool *pool, uint64_t now,
                                   const struct addr *from, const uint8_t *cookie, size_t n_cookie)
{
    uint8_t body[100], record[200];
    struct dtls_hello h;
    size_t n = record_make(record, body, body_make(body, 100, cookie, n_cookie), 0, 100, 1, 6);

    dtls_hello_take(pool, now, key, from, record, n, &h);
    return h.verdict;
}

static void test_cookies(void **state)
{
    struct dtls_hello_pool *pool;
    struct addr from = host(1), other = host(2), port = host(1);
    uint8_t cookie[DTLS_COOKIE_BYTES], bad[DTLS_COOKIE_BYTES];

    (void)state;
    addr_set_port(&port, 4001);
    check_err(dtls_hello_pool_new(&pool), 0);
    cookie_get(pool, 60000, &from, cookie);
    assert_int_equal(ask(pool, 60000, &from, cookie, sizeof(cookie)), DTLS_HELLO_WHOLE);
    assert_int_equal(ask(pool, 179999, &from, cookie, sizeof(cookie)),
                     DTLS_HELLO_WHOLE); /* up to two periods */
    assert_int_equal(ask(pool, 180000, &from, cookie, sizeof(cookie)), DTLS_HELLO_NONE);
    assert_int_equal(ask(pool, 60000, &other, cookie, sizeof(cookie)), DTLS_HELLO_NONE);
    assert_int_equal(ask(pool, 60000, &port, cookie, sizeof(cookie)), DTLS_HELLO_NONE);
    assert_int_equal(ask(pool, 60000, &from, cookie, sizeof(cookie) - 1), DTLS_HELLO_NONE);
    assert_int_equal(ask(pool, 60000, &from, NULL, 0), DTLS_HELLO_NONE);
    for (size_t i = 0; i < sizeof(cookie); i++) {
        memcpy(bad, cookie, sizeof(bad));
        bad[i] ^= 0x10;
        assert_int_equal(ask(pool, 60000, &from, bad, sizeof(bad)), DTLS_HELLO_NONE);
    }
    dtls_hello_pool_free(pool);
}

/* Where ICE has validated the source, the first hello is taken as it is. */
static void test_validated_source(void **state)
{
    struct dtls_hello_pool *pool;
    uint8_t body[1000], record[1100];
    struct dtls_hello h;
    size_t n;

    (void)state;
    check_err(dtls_hello_pool_new(&pool), 0);
    body_make(body, sizeof(body), NULL, 0);
    n = record_make(record, body, sizeof(body), 500, 500, 0, 2);
    dtls_hello_take(pool, 1, key, NULL, record, n, &h);
    assert_int_equal(h.verdict, DTLS_HELLO_WAIT);
    n = record_make(record, body, sizeof(body), 0, 500, 0, 1);
    dtls_hello_take(pool, 1, key, NULL, record, n, &h);
    assert_int_equal(h.verdict, DTLS_HELLO_WHOLE);
    assert_false(h.has_cookie);
    dtls_hello_pool_free(pool);
}

/* Strangers fill the pool with pieces; who has a cookie is not pushed out by them. */
static void test_pool_under_attack(void **state)
{
    struct dtls_hello_pool *pool;
    struct addr from = host(1);
    uint8_t body[1413], junk[1413], cookie[DTLS_COOKIE_BYTES], record[2048];
    struct dtls_hello h;
    size_t n;

    (void)state;
    check_err(dtls_hello_pool_new(&pool), 0);
    cookie_get(pool, 1000, &from, cookie);
    body_make(body, sizeof(body), cookie, sizeof(cookie));
    body_make(junk, sizeof(junk), NULL, 0);
    n = record_make(record, body, sizeof(body), 0, 700, 1, 2);
    dtls_hello_take(pool, 1000, key, &from, record, n, &h);
    assert_int_equal(h.verdict, DTLS_HELLO_WAIT);
    for (unsigned i = 0; i < 1000; i++) {
        struct addr stranger = host(2 + i);

        n = record_make(record, junk, sizeof(junk), 700, 713, 1, 2);
        dtls_hello_take(pool, 1000 + i, key, &stranger, record, n, &h);
        assert_int_equal(h.verdict, DTLS_HELLO_WAIT);
    }
    n = record_make(record, body, sizeof(body), 700, 713, 1, 3);
    dtls_hello_take(pool, 2000, key, &from, record, n, &h);
    check_whole(&h, body, sizeof(body));
    /* pieces of another's hello under our name do not mix with ours: nothing of it fits the cookie
     */
    n = record_make(record, junk, sizeof(junk), 0, 700, 1, 2);
    dtls_hello_take(pool, 2000, key, &from, record, n, &h);
    assert_int_equal(h.verdict, DTLS_HELLO_NONE);
    dtls_hello_pool_free(pool);
}

static void test_broken(void **state)
{
    struct dtls_hello_pool *pool;
    uint8_t body[9000], record[9100];
    struct dtls_hello h;
    size_t n;

    (void)state;
    check_err(dtls_hello_pool_new(&pool), 0);
    body_make(body, sizeof(body), NULL, 0);
    n = record_make(record, body, LIMIT_DTLS_HELLO_BYTES + 1, 0, 1000, 0, 1);
    dtls_hello_take(pool, 1, key, NULL, record, n, &h);
    assert_int_equal(h.verdict, DTLS_HELLO_NONE);
    n = record_make(record, body, 1000, 0, 500, 2, 1); /* no first flight has this number */
    dtls_hello_take(pool, 1, key, NULL, record, n, &h);
    assert_int_equal(h.verdict, DTLS_HELLO_NONE);
    n = record_make(record, body, 100, 60, 60, 0, 1); /* beyond its end */
    dtls_hello_take(pool, 1, key, NULL, record, n, &h);
    assert_int_equal(h.verdict, DTLS_HELLO_NONE);
    n = record_make(record, body, 100, 0, 100, 0, 1);
    for (size_t cut = 0; cut < n; cut++) {
        dtls_hello_take(pool, 1, key, NULL, record, cut, &h);
        assert_int_equal(h.verdict, DTLS_HELLO_NONE);
    }
    record[4] = 1; /* another epoch: not in the clear */
    dtls_hello_take(pool, 1, key, NULL, record, n, &h);
    assert_int_equal(h.verdict, DTLS_HELLO_NONE);
    assert_false(dtls_hello_is(record, n));
    record[4] = 0;
    assert_true(dtls_hello_is(record, n));
    record[0] = 23;
    assert_false(dtls_hello_is(record, n));
    dtls_hello_pool_free(pool);
}

static void test_drop_alerts(void **state)
{
    static const uint8_t one[] = {21, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 1, 0, 2, 2, 40};
    static const uint8_t warning[] = {21, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 1, 0, 2, 1, 0};
    static const uint8_t later[] = {21, 0xfe, 0xfd, 0, 1, 0, 0, 0, 0, 0, 1, 0, 3, 9, 9, 9};
    static const uint8_t data[] = {22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 1, 0, 1, 5};
    uint8_t p[100];
    int alert;

    (void)state;
    memcpy(p, one, sizeof(one));
    assert_int_equal(dtls_drop_alerts(p, sizeof(one), &alert), 0);
    assert_int_equal(alert, 40);
    memcpy(p, warning, sizeof(warning));
    assert_int_equal(dtls_drop_alerts(p, sizeof(warning), &alert), 0);
    assert_int_equal(alert, -1);
    memcpy(p, later, sizeof(later)); /* encrypted: OpenSSL sees whether it is genuine */
    assert_int_equal(dtls_drop_alerts(p, sizeof(later), &alert), sizeof(later));
    memcpy(p, data, sizeof(data));
    memcpy(p + sizeof(data), one, sizeof(one));
    memcpy(p + sizeof(data) + sizeof(one), data, sizeof(data));
    memcpy(p + 2 * sizeof(data) + sizeof(one), "\x16\x01", 2);
    assert_int_equal(dtls_drop_alerts(p, 2 * sizeof(data) + sizeof(one) + 2, &alert),
                     2 * sizeof(data) + 2);
    assert_int_equal(alert, 40);
    assert_memory_equal(p, data, sizeof(data));
    assert_memory_equal(p + sizeof(data), data, sizeof(data));
    assert_memory_equal(p + 2 * sizeof(data), "\x16\x01", 2);
    assert_int_equal(dtls_drop_alerts(p, 0, &alert), 0);
}

/* ---- the handshake behind it ---- */

/* Cuts each ClientHello that passes, as a browser with a large one does, and lets the end come
 * first. */
static void cut_tap(struct net *net, struct packet *packet)
{
    static bool is_ours;
    uint8_t body[2048], record[2048];
    size_t total, half, n;

    if (is_ours || packet->n < 25 || packet->p[0] != 22 || packet->p[13] != 1 ||
        packet->p[3] != 0 || packet->p[4] != 0)
        return;
    total = packet->n - 25;
    memcpy(body, packet->p + 25, total);
    half = total / 2;
    is_ours = true;
    n = record_make(record, body, total, half, total - half, packet->p[18],
                    (uint8_t)(packet->p[10] * 2 + 1));
    record[2] = packet->p[2];
    net_put(net, packet->to, packet->path, &packet->from, record, n);
    n = record_make(record, body, total, 0, half, packet->p[18], (uint8_t)(packet->p[10] * 2));
    record[2] = packet->p[2];
    net_put(net, packet->to, packet->path, &packet->from, record, n);
    is_ours = false;
    packet->n = 0;
}

static void test_cut_handshake(void **state)
{

    (void)state;
    check_err(keying_dtls_identity_new(&alice, 1700000000, test_rand()), 0);
    check_err(keying_dtls_identity_new(&bob, 1700000000, test_rand()), 0);
    for (int says_from = 0; says_from < 2; says_from++) {
        struct net net;

        net_init(&net, alice, bob);
        net.tap = cut_tap;
        net.says_from = says_from;
        net_signal(&net);
        assert_true(net_run(&net, 3000));
        check_keys_fit(&net, KEYING_RTP);
        net_done(&net);
    }
    keying_dtls_identity_unref(alice);
    keying_dtls_identity_unref(bob);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_order),       cmocka_unit_test(test_crumbs),
        cmocka_unit_test(test_cookies),           cmocka_unit_test(test_validated_source),
        cmocka_unit_test(test_pool_under_attack), cmocka_unit_test(test_broken),
        cmocka_unit_test(test_drop_alerts),       cmocka_unit_test(test_cut_handshake),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
