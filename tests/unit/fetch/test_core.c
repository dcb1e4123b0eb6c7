/* The fetcher's judgement with a transport of the test's own: addresses, redirects, turns, caches.
 */
#include "check.h"

#include "base/mem.h"
#include "fetch/core.h"
#include "oom.h"
#include <stdio.h>

#define URL "https://a.example/cert"

static struct {
    struct fetch_core core;
    struct fetch_transfer *running[256];
    size_t n_running, n_started, n_cancelled;
    struct addr_net own[1];
    uint64_t now;
} t;

static int start(void *arg, struct fetch_transfer *x, uint64_t timeout_ms)
{
    (void)arg;
    assert_in_range(timeout_ms, 1, LIMIT_HTTPS_MS);
    t.running[t.n_running++] = x;
    t.n_started++;
    return 0;
}

static void forget(const struct fetch_transfer *x)
{
    for (size_t i = 0; i < t.n_running; i++) {
        if (t.running[i] == x) {
            t.running[i] = t.running[--t.n_running];
            return;
        }
    }
    fail_msg("a transfer that does not run");
}

static void cancel(void *arg, struct fetch_transfer *x)
{
    (void)arg;
    forget(x);
    t.n_cancelled++;
}

static int setup(void **state)
{
    struct fetch_transport transport = {start, cancel, NULL};

    (void)state;
    memset(&t, 0, sizeof(t));
    t.now = 1000000;
    check_err(addr_net_parse(&t.own[0], STR("10.7.0.0/16")), 0);
    check_err(fetch_core_init(&t.core, &transport, t.own, 1), 0);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    fetch_core_done_all(&t.core);
    return 0;
}

struct got {
    unsigned n;
    int err;
    char body[32];
    uint64_t fresh_ms;
    const char *code;
};

static void on_got(void *arg, int err, struct str bytes, uint64_t fresh_ms,
                   const struct reason *why)
{
    struct got *g = arg;

    g->n++;
    g->err = err;
    g->fresh_ms = fresh_ms;
    g->code = why ? why->code : NULL;
    if (err != 0) {
        assert_non_null(why);
        assert_int_equal(why->sip_status, err == ERR_NOMEM ? 500 : 436);
    }
    if (str_copy_z(g->body, sizeof(g->body), bytes) != 0)
        g->body[0] = '\0';
}

static void ask(const char *url, struct got *g)
{
    *g = (struct got){.n = 0};
    check_err(fetch_core_get(&t.core, str_z(url), on_got, g, t.now), 0);
    assert_int_equal(g->n, 0); /* never from inside */
    (void)fetch_core_turn(&t.core, t.now);
}

static void end(struct fetch_outcome o)
{
    struct fetch_transfer *x = t.running[0];

    assert_in_range(t.n_running, 1, 256);
    forget(x);
    fetch_core_done(&t.core, x, &o, t.now);
    (void)fetch_core_turn(&t.core, t.now);
}

static void expect(const struct got *g, int err, const char *code)
{
    if (g->n != 1 || g->err != err || (code && (!g->code || strcmp(g->code, code) != 0)))
        fail_msg("%u times %d %s, not %d %s", g->n, g->err, g->code ? g->code : "-", err,
                 code ? code : "-");
}

static void urls(void **state)
{
    static const struct {
        const char *url;
        bool good;
    } all[] = {
        {"https://a.example", true},
        {"https://a.example:8443/x?y=z", true},
        {"HTTPS://[2001:db8::1]:1/", true},
        {"http://a.example/", false},
        {"ftp://a.example/", false},
        {"https:///x", false},
        {"https://", false},
        {"https://:443/", false},
        {"https://user@a.example/", false},
        {"https://good.example@127.0.0.1/", false},
        {"https://a.example:0/", false},
        {"https://a.example:65536/", false},
        {"https://a.example:44x/", false},
        {"https://a.example/#x", false},
        {"https://a.example\\@b.example/", false},
        {"https://a.example/ x", false},
        {"https://a.example/\r\nHost: x", false},
        {"https://a%2eexample/", false},
        {"https://[::1/", false},
        {"https://[::1]x/", false},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(all); i++) {
        struct fetch_url u;
        struct reason why = {.code = NULL};
        int err = fetch_url_parse(str_z(all[i].url), &u, &why);

        if ((err == 0) != all[i].good)
            fail_msg("%s: %d", all[i].url, err);
        if (err != 0)
            assert_string_equal(why.code, "fetch-url");
    }
}

/* RFC 6890, and what carries such addresses inside. */
static void addresses(void **state)
{
    static const char *const bad[] = {
        "https://127.0.0.1/",
        "https://10.0.0.1/x",
        "https://192.168.1.1/",
        "https://169.254.169.254/x",
        "https://100.64.0.1/",
        "https://0.0.0.0/",
        "https://[::1]/",
        "https://[fe80::1]/",
        "https://[fd00::1]/",
        "https://[::ffff:127.0.0.1]/",
        "https://[64:ff9b::7f00:1]/",
        "https://224.0.0.1/",
        "https://172.16.9.9:8443/",
    };
    struct got g;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        ask(bad[i], &g);
        expect(&g, ERR_REFUSED, "fetch-address");
    }
    assert_int_equal(t.n_started, 0);
    ask("https://10.7.1.1/", &g); /* one's own */
    assert_int_equal(t.n_started, 1);
    end((struct fetch_outcome){.status = 200, .body = STR("x"), .fresh_s = 60});
    expect(&g, 0, NULL);
}

static void redirects(void **state)
{
    static const struct {
        const char *to, *code;
    } bad[] = {
        {"https://127.0.0.1/x", "fetch-address"},
        {"https://[::1]/", "fetch-address"},
        {"http://a.example/", "fetch-url"},
        {"file:///etc/passwd", "fetch-url"},
    };
    struct got g;
    char url[64];

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        (void)snprintf(url, sizeof(url), "https://r%zu.example/", i);
        ask(url, &g);
        end((struct fetch_outcome){.status = 302, .location = str_z(bad[i].to)});
        expect(&g, ERR_REFUSED, bad[i].code);
        assert_int_equal(t.n_running, 0);
    }
    ask(URL, &g);
    for (unsigned i = 0; i < LIMIT_HTTPS_REDIRECTS; i++) {
        end((struct fetch_outcome){.status = 307, .location = STR("https://b.example/there")});
        assert_int_equal(t.n_running, 1);
        assert_string_equal(t.running[0]->host, "b.example");
        assert_int_equal(g.n, 0);
    }
    end((struct fetch_outcome){.status = 301, .location = STR("https://b.example/there")});
    expect(&g, ERR_LIMIT, "fetch-redirects");
    ask("https://ok.example/", &g);
    end((struct fetch_outcome){.status = 302, .location = STR("https://b.example/there")});
    end((struct fetch_outcome){.status = 200, .body = STR("found"), .fresh_s = 60});
    expect(&g, 0, NULL);
    assert_string_equal(g.body, "found");
    ask("https://nowhere.example/", &g); /* a redirect to nowhere */
    end((struct fetch_outcome){.status = 302});
    expect(&g, ERR_NOTFOUND, "fetch-status");
}

static void statuses(void **state)
{
    struct reason why = {.code = "fetch-tls", .sip_status = 436};
    char big[LIMIT_HTTPS_BYTES + 1];
    struct got g;

    (void)state;
    ask(URL "1", &g);
    end((struct fetch_outcome){.status = 404, .body = STR("no")});
    expect(&g, ERR_NOTFOUND, "fetch-status");
    assert_string_equal(g.body, "");
    ask(URL "2", &g);
    end((struct fetch_outcome){.err = ERR_REFUSED, .why = &why});
    expect(&g, ERR_REFUSED, "fetch-tls");
    memset(big, 'x', sizeof(big));
    ask(URL "3", &g);
    end((struct fetch_outcome){.status = 200, .body = {big, sizeof(big)}, .fresh_s = 60});
    expect(&g, ERR_LIMIT, "fetch-size");
}

static void kept(void **state)
{
    struct got g;

    (void)state;
    ask(URL, &g);
    end((struct fetch_outcome){.status = 200, .body = STR("one"), .fresh_s = 100});
    expect(&g, 0, NULL);
    assert_true(g.fresh_ms == 100000);
    t.now += 99999;
    ask(URL, &g);
    expect(&g, 0, NULL);
    assert_string_equal(g.body, "one");
    assert_true(g.fresh_ms == 1);
    assert_int_equal(t.n_started, 1);
    t.now += 1;
    ask(URL, &g); /* nothing stale is used, not even while it is fetched anew */
    assert_int_equal(g.n, 0);
    assert_int_equal(t.n_started, 2);
    end((struct fetch_outcome){.status = 500});
    expect(&g, ERR_NOTFOUND, "fetch-status");
    t.now += LIMIT_HTTPS_BAD_S * 1000 - 1;
    ask(URL, &g);
    expect(&g, ERR_NOTFOUND, "fetch-status");
    assert_int_equal(t.n_started, 2);
    t.now += 1;
    ask(URL, &g);
    assert_int_equal(t.n_started, 3);
    end((struct fetch_outcome){.status = 200, .body = STR("two"), .fresh_s = 100});
    assert_string_equal(g.body, "two");
}

static void one_for_many(void **state)
{
    struct got g[50];

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(g); i++)
        ask(URL, &g[i]);
    assert_int_equal(t.n_started, 1);
    end((struct fetch_outcome){.status = 200, .body = STR("one"), .fresh_s = 60});
    for (size_t i = 0; i < ARRAY_LEN(g); i++)
        expect(&g[i], 0, NULL);
    assert_int_equal(t.n_started, 1);
}

static void turns(void **state)
{
    static struct got g[LIMIT_HTTPS_RUNNING + 20], same[10];
    char url[64];

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(same); i++) {
        (void)snprintf(url, sizeof(url), "https://a.example/%zu", i);
        ask(url, &same[i]);
    }
    assert_int_equal(t.n_running, LIMIT_HTTPS_RUNNING_HOST);
    for (size_t i = 0; i < ARRAY_LEN(g); i++) { /* the slow host holds up nobody else */
        (void)snprintf(url, sizeof(url), "https://h%zu.example/", i);
        ask(url, &g[i]);
    }
    assert_int_equal(t.n_running, LIMIT_HTTPS_RUNNING);
    for (unsigned i = 0; t.n_running > 0; i++) {
        assert_in_range(i, 0, 200);
        end((struct fetch_outcome){.status = 200, .body = STR("x"), .fresh_s = 60});
    }
    for (size_t i = 0; i < ARRAY_LEN(same); i++)
        expect(&same[i], 0, NULL);
    for (size_t i = 0; i < ARRAY_LEN(g); i++)
        expect(&g[i], 0, NULL);
}

static void late(void **state)
{
    struct got running[LIMIT_HTTPS_RUNNING_HOST], waiting;
    char url[64];
    uint64_t next;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(running); i++) {
        (void)snprintf(url, sizeof(url), "https://a.example/%zu", i);
        ask(url, &running[i]);
    }
    ask("https://a.example/waits", &waiting);
    next = fetch_core_turn(&t.core, t.now);
    assert_true(next == LIMIT_HTTPS_MS);
    t.now += LIMIT_HTTPS_MS;
    (void)fetch_core_turn(&t.core, t.now);
    for (size_t i = 0; i < ARRAY_LEN(running); i++)
        expect(&running[i], ERR_TIMEOUT, "fetch-timeout");
    expect(&waiting, ERR_TIMEOUT, "fetch-timeout");
    assert_int_equal(t.n_cancelled, LIMIT_HTTPS_RUNNING_HOST);
    assert_int_equal(t.n_running, 0);
}

static void bounded(void **state)
{
    static struct got g;
    char url[64];
    size_t n = 0;
    int err = 0;

    (void)state;
    while (err == 0 && n < 2 * LIMIT_HTTPS_ASKED) {
        (void)snprintf(url, sizeof(url), "https://h.example/%zu", n++);
        err = fetch_core_get(&t.core, str_z(url), on_got, &g, t.now);
    }
    check_err(err, ERR_LIMIT);
    assert_int_equal(n, LIMIT_HTTPS_ASKED + 1);
    t.now += LIMIT_HTTPS_MS;
    (void)fetch_core_turn(&t.core, t.now);
    /* Answers of any number: no more are kept than there is room for, and the newest stay. */
    for (size_t i = 0; i < LIMIT_HTTPS_CACHED + 10; i++) {
        (void)snprintf(url, sizeof(url), "https://k%zu.example/", i);
        ask(url, &g);
        end((struct fetch_outcome){.status = 200, .body = STR("x"), .fresh_s = 60});
    }
    assert_in_range(t.core.stats.cached, 1, LIMIT_HTTPS_CACHED);
    n = t.n_started;
    ask(url, &g);
    expect(&g, 0, NULL);
    assert_int_equal(t.n_started, n);
    ask("https://k0.example/", &g);
    assert_int_equal(t.n_started, n + 1);
}

/* RFC 9111 4.2.1, within our bounds. */
static void freshness(void **state)
{
    static const struct {
        const char *control;
        int64_t expires;
        uint64_t age, s;
    } all[] = {
        {NULL, -1, 0, 3600},
        {"max-age=600", -1, 0, 600},
        {"public, Max-Age=\"600\"", 9999, 0, 600},
        {"max-age=600", -1, 100, 500},
        {"max-age=600", -1, 9999, LIMIT_HTTPS_FRESH_MIN_S},
        {"no-store", 9999, 0, LIMIT_HTTPS_FRESH_MIN_S},
        {"no-cache, max-age=9999", -1, 0, LIMIT_HTTPS_FRESH_MIN_S},
        {"max-age=0", 9999, 0, LIMIT_HTTPS_FRESH_MIN_S},
        {"max-age=99999999999999999999", -1, 0, LIMIT_HTTPS_FRESH_MAX_S},
        {"max-age=-1", -1, 0, LIMIT_HTTPS_FRESH_MIN_S},
        {"max-age", -1, 0, LIMIT_HTTPS_FRESH_MIN_S},
        {NULL, 1200, 0, 1200},
        {NULL, 0, 0, LIMIT_HTTPS_FRESH_MIN_S},
        {NULL, INT64_MAX, 0, LIMIT_HTTPS_FRESH_MAX_S},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(all); i++) {
        uint64_t s = fetch_fresh_s(str_z(all[i].control), all[i].expires, all[i].age);

        if (s != all[i].s)
            fail_msg("%zu: %llu", i, (unsigned long long)s);
    }
}

static void closed(void **state)
{
    struct got g;

    (void)state;
    ask(URL, &g);
    fetch_core_done_all(&t.core);
    assert_int_equal(g.n, 1);
    check_err(g.err, ERR_CLOSED);
    assert_int_equal(t.n_cancelled, 1);
    check_err(fetch_core_get(&t.core, STR(URL), on_got, &g, t.now), ERR_CLOSED);
}

static void no_memory(void **state)
{
    (void)state;
    OOM_SWEEP(100, {
        struct got g = {.n = 0};

        if (fetch_core_get(&t.core, STR(URL), on_got, &g, t.now) == 0) {
            (void)fetch_core_turn(&t.core, t.now);
            if (t.n_running > 0)
                end((struct fetch_outcome){.status = 200, .body = STR("x"), .fresh_s = 60});
            assert_int_equal(g.n, 1);
        }
        t.now += 100000;
    });
}

static int no_teardown(void **state)
{
    (void)state;
    return 0;
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(urls),
        TEST(addresses),
        TEST(redirects),
        TEST(statuses),
        TEST(kept),
        TEST(one_for_many),
        TEST(turns),
        TEST(late),
        TEST(bounded),
        TEST(freshness),
        cmocka_unit_test_setup_teardown(closed, setup, no_teardown),
        TEST(no_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
