/* The location service and its store: what comes back after a restart, and what is worth writing.
 * `test_edge_location_store bench` measures the service. */
#include "base/clock.h"
#include "location_help.h"

/* ---- the store ---- */

static char dir[64], file[80];
static struct store *store;

static int setup_store(void **state)
{
    strcpy(dir, "/tmp/sallyport-loc-XXXXXX");
    if (!mkdtemp(dir))
        return -1;
    snprintf(file, sizeof(file), "%s/s.db", dir);
    if (store_open(file, false, &store, &why) != 0)
        return -1;
    (void)state;
    rand_fixed_init(&rnd, 7);
    arena = arena_new(4096, 1 << 20);
    return arena ? 0 : -1;
}

static int teardown_store(void **state)
{
    (void)state;
    location_free(loc);
    store_close(store);
    arena_free(arena);
    loc = NULL;
    store = NULL;
    for (int i = 0; i < 3; i++) {
        static const char *const suffixes[] = {"", "-wal", "-shm"};
        char path[96];

        snprintf(path, sizeof(path), "%s%s", file, suffixes[i]);
        unlink(path);
    }
    return rmdir(dir);
}

static bool correct_listener(void *arg, struct path *p)
{
    (void)arg;
    p->listener = 7;
    return addr_port(&p->remote) != 6666;
}

static void start(void)
{
    struct location_args args = {
        .gruu_key = gruu_key, .store = store, .path_restore = correct_listener};

    check_err(location_new(&args, &loc, &why), 0);
}

static void restart(void)
{
    location_free(loc);
    store_close(store);
    check_err(store_open(file, false, &store, &why), 0);
    start();
}

static void put_user(const char *aor)
{
    struct store_user u = {
        .aor = str_z(aor), .username = STR("alice"), .realm = STR("r"), .ha1_len = {0, 32, 0}};

    check_err(store_put_user(store, &u, &why), 0);
}

static uint64_t written(void)
{
    struct store_health h;

    for (int i = 0; i < 1000; i++) {
        store_health_get(store, &h);
        if (h.queued == 0)
            break;
        usleep(10000);
    }
    usleep(20000); /* a batch on its way */
    store_health_get(store, &h);
    return h.written;
}

static void test_restore(void **state)
{
    struct path tls = path_of(TRANSPORT_TLS, 0x0100000100000001u, 40001);
    struct path udp = path_of(TRANSPORT_UDP, 0, 5070), gone = path_of(TRANSPORT_UDP, 0, 6666);
    struct str temp;

    (void)state;
    put_user("sip:alice@example.com");
    put_user("sip:bob@example.com");
    put_user("sip:carol@example.com");
    start();
    check_err(REG(.cseq = 3, .path = tls, .secure = true, .gruu = true, .agent = "x",
                  .c = {FLOW("sip:alice@10.0.0.1;transport=tls", "urn:uuid:1", 4, 600)}, .n = 1),
              0);
    temp = temp_aor(result.v[0].temp_gruu);
    check_err(REG(.cseq = 1, .path = udp, .call_id = "u", .now = NOW + 1,
                  .c = {{.uri = STR("sip:alice@192.0.2.1:5070"),
                         .params = STR(";a=\"<b>\""),
                         .expires_s = 600,
                         .q_milli = 300}},
                  .n = 1),
              0);
    check_err(REG(.cseq = 1, .path = tls, .call_id = "r", .now = NOW + 2, .route = "<sip:p;lr>",
                  .c = {C("sip:alice@10.0.0.2", 600)}, .n = 1),
              0);
    check_err(REG(.cseq = 1, .path = gone, .call_id = "g", .now = NOW + 3,
                  .c = {C("sip:alice@192.0.2.1:6666", 600)}, .n = 1),
              0);
    check_err(
        REG(.aor = "sip:bob@example.com", .cseq = 1, .c = {C("sip:bob@192.0.2.1", 60)}, .n = 1), 0);
    check_err(
        REG(.aor = "sip:carol@example.com", .cseq = 1, .c = {C("sip:carol@192.0.2.1", 60)}, .n = 1),
        0);
    check_err(
        REG(.aor = "sip:carol@example.com", .cseq = 2, .c = {C("sip:carol@192.0.2.1", 0)}, .n = 1),
        0);
    restart();
    assert_int_equal(stats().users, 3);
    assert_int_equal(stats().bindings, 5);
    assert_int_equal(stats().secure, 1);
    check_err(REG(.now = NOW + 100), 0);
    assert_int_equal(result.n, 4);
    check_str(result.v[0].uri, "sip:alice@192.0.2.1:6666"); /* the newest first, as before */
    assert_false(result.v[0].has_path);
    check_str(result.v[1].route, "<sip:p;lr>");
    assert_false(result.v[1].has_path);
    check_str(result.v[2].uri, "sip:alice@192.0.2.1:5070");
    check_str(result.v[2].params, ";a=\"<b>\"");
    assert_true(result.v[2].has_path && result.v[2].q_milli == 300 &&
                result.v[2].path.listener == 7);
    assert_true(addr_eq(&result.v[2].path.remote, &udp.remote) &&
                addr_eq(&result.v[2].path.local, &udp.local));
    assert_true(result.v[3].reg_id == 4 && result.v[3].cseq == 3 && result.v[3].expires_s == 500 &&
                result.v[3].secure);
    check_str(result.v[3].instance, "urn:uuid:1");
    check_str(result.v[3].user_agent, "x");
    check_err(look("sip:alice@example.com", NOW + 100), 0);
    assert_int_equal(targets.n, 2);
    assert_int_equal(targets.n_lost, 2);
    /* temporary GRUUs outlive it, out-of-order requests are still known */
    check_err(look_gr(temp, STR_NULL), 0);
    assert_true(targets.n == 0 && targets.n_lost == 1);
    check_err(REG(.now = NOW + 100, .cseq = 3, .path = tls,
                  .c = {FLOW("sip:a@b", "urn:uuid:1", 4, 600)}, .n = 1),
              ERR_CONFLICT);
    /* the phone is back */
    check_err(REG(.now = NOW + 100, .cseq = 4, .path = tls, .secure = true,
                  .c = {FLOW("sip:alice@10.0.0.1;transport=tls", "urn:uuid:1", 4, 600)}, .n = 1),
              0);
    check_err(look_gr(temp, STR_NULL), 0);
    assert_int_equal(targets.n, 1);
    /* expired ones that come back are gone at the first look */
    check_err(look("sip:bob@example.com", NOW + 60), 0);
    assert_int_equal(targets.n, 0);
    restart();
    assert_int_equal(stats().bindings, 4);
}

/* RFC 3261 10.3: what can be connected to outlives its connection and a restart. */
static void test_dial(void **state)
{
    struct path tcp = path_of(TRANSPORT_TCP, 0x0100000100000001u, 40001);
    struct path elsewhere = tcp;

    (void)state;
    check_err(addr_parse(&elsewhere.remote, STR("192.0.2.77"), 40001), 0);
    put_user("sip:alice@example.com");
    start();
    check_err(
        REG(.cseq = 1, .path = tcp, .c = {C("sip:alice@192.0.2.1;transport=tcp", 600)}, .n = 1), 0);
    assert_true(result.v[0].can_dial && result.v[0].has_path);
    check_err(REG(.cseq = 1, .path = tcp, .call_id = "p",
                  .c = {C("sip:a@192.0.2.1:40001;transport=tcp", 600)}, .n = 1),
              0);
    assert_false(result.v[0].can_dial); /* the connection's own port */
    check_err(REG(.cseq = 1, .path = tcp, .call_id = "m",
                  .c = {C("sip:b@192.0.2.1;transport=tcp;maddr=192.0.2.1", 600)}, .n = 1),
              0);
    assert_false(result.v[0].can_dial);
    location_flow_closed(loc, tcp.flow);
    assert_int_equal(stats().bindings, 1);
    check_err(look("sip:alice@example.com", NOW), 0);
    assert_int_equal(targets.n, 1);
    assert_false(targets.v[0].has_path);
    check_str(targets.v[0].uri, "sip:alice@192.0.2.1;transport=tcp");
    restart();
    check_err(look("sip:alice@example.com", NOW), 0);
    assert_true(targets.n == 1 && targets.n_lost == 0 && !targets.v[0].has_path);
    /* the phone is back, by a connection, which is used while it is there */
    check_err(
        REG(.cseq = 2, .path = tcp, .c = {C("sip:alice@192.0.2.1;transport=tcp", 600)}, .n = 1), 0);
    check_err(look("sip:alice@example.com", NOW), 0);
    assert_true(targets.n == 1 && targets.v[0].has_path);
    /* from somewhere else: a NAT, or a lie; the store learns it, too */
    check_err(REG(.cseq = 3, .path = elsewhere, .c = {C("sip:alice@192.0.2.1;transport=tcp", 600)},
                  .n = 1),
              0);
    assert_false(result.v[0].can_dial);
    restart();
    check_err(look("sip:alice@example.com", NOW), 0);
    assert_true(targets.n == 0 && targets.n_lost == 1);
}

/* A clock that does not go yet, or went back while we were away, keeps nothing for ever. */
static void test_clock_behind(void **state)
{
    uint64_t now = clock_steady_s();

    (void)state;
    put_user("sip:alice@example.com");
    start();
    check_err(REG(.cseq = 1, .path = path_of(TRANSPORT_UDP, 0, 5070), .now = now + 1000000, .c = {C("sip:alice@192.0.2.1", 600)}, .n = 1), 0);
    restart();
    now = clock_steady_s();
    check_err(look("sip:alice@example.com", now), 0);
    assert_int_equal(targets.n, 1);
    check_err(look("sip:alice@example.com", now + 601), 0);
    assert_int_equal(targets.n, 0);
}

/* What cannot be reached any more makes room. */
static void test_lost_make_room(void **state)
{
    struct path tls = path_of(TRANSPORT_TLS, 0x0100000100000001u, 40001);
    char uri[64];
    struct reg r = {.cseq = 1, .n = 1, .path = tls};

    (void)state;
    put_user("sip:alice@example.com");
    start();
    for (unsigned i = 0; i < LIMIT_CONTACTS_AOR; i++) {
        snprintf(uri, sizeof(uri), "sip:alice@10.0.0.1:%u", 1000 + i);
        r.c[0] = (struct location_contact){.uri = str_z(uri), .expires_s = 600, .q_milli = 1000};
        r.cseq++;
        check_err(reg(&r), 0);
    }
    restart();
    check_err(REG(.cseq = 100, .path = tls, .c = {C("sip:alice@10.0.0.1:1003", 600)}, .n = 1), 0);
    assert_int_equal(result.n, LIMIT_CONTACTS_AOR);
    check_err(REG(.cseq = 101, .path = tls, .c = {C("sip:alice@10.0.0.1:9999", 600)}, .n = 1), 0);
    assert_int_equal(result.n, 2);
    check_str(result.v[1].uri, "sip:alice@10.0.0.1:1003");
    restart();
    assert_int_equal(stats().bindings, 2);
}

/* Refreshes that change nothing of weight are not written. */
static void test_write_thrift(void **state)
{
    struct path udp = path_of(TRANSPORT_UDP, 0, 5070), moved = path_of(TRANSPORT_UDP, 0, 5071);
    uint64_t n;

    (void)state;
    put_user("sip:alice@example.com");
    start();
    check_err(REG(.cseq = 1, .path = udp, .c = {C("sip:alice@192.0.2.1", 800)}, .n = 1), 0);
    n = written();
    assert_int_equal(n, 1);
    for (uint32_t i = 1; i <= 100;
         i++) /* within an eighth of the interval; another Call-ID is of no weight either */
        check_err(REG(.cseq = 1 + i, .call_id = i % 2 ? "x" : "c1", .path = udp, .now = NOW + i,
                      .c = {C("sip:alice@192.0.2.1", 800)}, .n = 1),
                  0);
    assert_int_equal(written(), n);
    check_err(REG(.cseq = 200, .path = udp, .now = NOW + 101, .c = {C("sip:alice@192.0.2.1", 800)},
                  .n = 1),
              0);
    assert_int_equal(written(), n + 1);
    check_err(REG(.cseq = 201, .path = moved, .now = NOW + 101,
                  .c = {C("sip:alice@192.0.2.1", 800)}, .n = 1),
              0);
    assert_int_equal(written(), n + 2);
    check_err(REG(.cseq = 202, .path = moved, .now = NOW + 101,
                  .c = {C("sip:alice@192.0.2.1", 700)}, .n = 1),
              0);
    assert_int_equal(written(), n + 3); /* ends earlier */
    check_err(REG(.cseq = 203, .path = moved, .now = NOW + 101, .route = "<sip:p>",
                  .c = {C("sip:alice@192.0.2.1", 700)}, .n = 1),
              0);
    assert_int_equal(written(), n + 4);
    /* an equal URI written in another way: the old row goes, the new one comes */
    check_err(REG(.cseq = 204, .path = moved, .now = NOW + 101, .route = "<sip:p>",
                  .c = {C("sip:alice@192.0.2.1;x=1", 700)}, .n = 1),
              0);
    assert_int_equal(written(), n + 6);
    restart();
    check_err(REG(.now = NOW + 101), 0);
    assert_int_equal(result.n, 1);
    check_str(result.v[0].uri, "sip:alice@192.0.2.1;x=1");
    check_str(result.v[0].call_id, "c1");
    assert_int_equal(result.v[0].cseq, 204);
}

/* The command line tool, another process, changes users under a running edge. */
static void test_users_change(void **state)
{
    struct store *cli;
    struct store_user u = {.aor = STR("sip:alice@example.com"),
                           .username = STR("alice"),
                           .realm = STR("r"),
                           .ha1_len = {0, 32, 0},
                           .ha1 = {{0}, {42}, {0}}};
    struct account a;
    int i;

    (void)state;
    put_user("sip:alice@example.com");
    put_user("sip:bob@example.com");
    start();
    check_err(
        REG(.aor = "sip:bob@example.com", .cseq = 1, .c = {C("sip:bob@192.0.2.1", 60)}, .n = 1), 0);
    check_err(store_open(file, false, &cli, &why), 0);
    check_err(store_put_user(cli, &u, &why), 0);
    u.aor = STR("sip:new@example.com");
    check_err(store_put_user(cli, &u, &why), 0);
    check_err(store_del_user(cli, STR("sip:bob@example.com"), &why), 0);
    store_close(cli);
    for (i = 0; i < 300 && account_exists(loc, STR("sip:bob@example.com")); i++)
        usleep(10000);
    assert_true(i < 300);
    assert_true(account_exists(loc, STR("sip:new@example.com")));
    check_err(account_find(loc, STR("sip:alice@example.com"), &a), 0);
    assert_int_equal(a.ha1[1].bytes[0], 42);
    check_err(look("sip:bob@example.com", NOW), ERR_NOTFOUND);
    restart(); /* and Bob's binding is not written back */
    assert_int_equal(stats().bindings, 0);
    put_user("sip:bob@example.com");
    restart();
    assert_int_equal(stats().bindings, 0);
    assert_int_equal(stats().users, 3);
}

/* ---- figures ---- */

static double now_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
    return (double)ts.tv_sec * 1e9 + (double)ts.tv_nsec;
}

static int bench_register(unsigned user, uint32_t cseq, bool with_flow)
{
    char aor[64], uri[96];
    struct path p = {.transport = with_flow ? TRANSPORT_TLS : TRANSPORT_UDP,
                     .flow = with_flow ? ((uint64_t)(user + 1) << 32 | 1) : 0};
    struct location_contact c = {.expires_s = 3600, .q_milli = 1000};
    struct location_bindings b;

    snprintf(aor, sizeof(aor), "sip:u%u@bench.test", user);
    snprintf(uri, sizeof(uri), "sip:u%u@192.0.2.1:5060;transport=udp", user);
    c.uri = str_z(uri);
    p.remote.v4.sin_family = p.local.v4.sin_family = AF_INET;
    return location_register(
        loc,
        &(struct location_register){.aor = str_z(aor),
                                    .call_id = STR("abcdef0123456789@192.0.2.1"),
                                    .cseq = cseq,
                                    .contacts = &c,
                                    .n_contacts = 1,
                                    .path = &p,
                                    .user_agent = STR("bench phone 1.0"),
                                    .now_s = NOW,
                                    .rand = &rnd},
        arena, &b, NULL);
}

static void bench(void)
{
    static const unsigned sizes[] = {1000, 10000, 50000, 200000};
    const unsigned rounds = 400000;

    for (size_t k = 0; k < ARRAY_LEN(sizes); k++) {
        struct location_args args = {.gruu_key = gruu_key};
        size_t before, users, bound;
        double t, reg_ns, look_ns, acc_ns;
        uint64_t x = 88172645463325252u;
        int bad = 0;

        rand_fixed_init(&rnd, 1);
        arena = arena_new(4096, 1 << 20);
        before = mallinfo2().uordblks;
        bad |= location_new(&args, &loc, &why);
        for (unsigned i = 0; i < sizes[k]; i++) {
            char aor[64];

            snprintf(aor, sizeof(aor), "sip:u%u@bench.test", i);
            add_user(aor);
        }
        users = mallinfo2().uordblks;
        for (unsigned i = 0; i < sizes[k]; i++) {
            bad |= bench_register(i, 1, true);
            arena_reset(arena);
        }
        bound = mallinfo2().uordblks;
        t = now_ns();
        for (unsigned i = 0; i < rounds; i++) {
            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
            bad |= bench_register((unsigned)(x % sizes[k]), i + 2, true);
            arena_reset(arena);
        }
        reg_ns = (now_ns() - t) / rounds;
        t = now_ns();
        for (unsigned i = 0; i < rounds; i++) {
            char aor[64];

            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
            snprintf(aor, sizeof(aor), "sip:u%u@bench.test", (unsigned)(x % sizes[k]));
            bad |= look(aor, NOW);
            arena_reset(arena);
        }
        look_ns = (now_ns() - t) / rounds;
        t = now_ns();
        for (unsigned i = 0; i < rounds; i++) {
            struct account a;
            char aor[64];

            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
            snprintf(aor, sizeof(aor), "sip:u%u@bench.test", (unsigned)(x % sizes[k]));
            bad |= account_find(loc, str_z(aor), &a);
            account_done(&a);
        }
        acc_ns = (now_ns() - t) / rounds;
        t = now_ns();
        for (unsigned i = 0; i < LOC_SWEEP_PARTS; i++)
            location_sweep(loc, NOW);
        printf("%6u users%s: register %.0f ns, lookup %.0f ns, account %.0f ns, sweep of all %.2f "
               "ms; a user %zu bytes, a "
               "binding %zu\n",
               sizes[k], bad ? " WRONG" : "", reg_ns, look_ns, acc_ns, (now_ns() - t) / 1e6,
               (users - before) / sizes[k], (bound - users) / sizes[k]);
        location_free(loc);
        arena_free(arena);
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_restore, setup_store, teardown_store),
        cmocka_unit_test_setup_teardown(test_dial, setup_store, teardown_store),
        cmocka_unit_test_setup_teardown(test_clock_behind, setup_store, teardown_store),
        cmocka_unit_test_setup_teardown(test_lost_make_room, setup_store, teardown_store),
        cmocka_unit_test_setup_teardown(test_write_thrift, setup_store, teardown_store),
        cmocka_unit_test_setup_teardown(test_users_change, setup_store, teardown_store),
    };

    if (argc > 1 && strcmp(argv[1], "bench") == 0) {
        bench();
        return 0;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
