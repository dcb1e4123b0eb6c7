/* The location service: REGISTERs applied whole or not at all (RFC 3261 10.3), flows (RFC 5626 6
 * and 7), GRUUs (RFC 5627), restarts, many threads. `test_edge_location bench` measures. */
#include "base/buf.h"
#include "check.h"
#include "edge/location_priv.h"
#include "oom.h"
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define NOW 1700000000u
static const uint8_t gruu_key[LOCATION_GRUU_KEY_BYTES] = {1, 2, 3};

static struct location *loc;
static struct arena *arena;
static struct rand_source rnd;

static void add_user(const char *aor)
{
    struct store_user u = {.aor = str_z(aor),
                           .username = STR("alice"),
                           .realm = STR("example.com"),
                           .ha1_len = {16, 32, 32},
                           .ha1 = {{1}, {2}, {3}}};

    check_err(account_put(loc, &u), 0);
}

static int setup(void **state)
{
    struct location_args args = {.gruu_key = gruu_key};
    struct reason why;

    (void)state;
    rand_fixed_init(&rnd, 7);
    arena = arena_new(4096, 1 << 20);
    if (!arena || location_new(&args, &loc, &why) != 0)
        return -1;
    add_user("sip:alice@example.com");
    add_user("sip:bob@example.com");
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    location_free(loc);
    arena_free(arena);
    loc = NULL;
    return 0;
}

/* ---- short forms ---- */

static struct path path_of(enum transport t, flow_id flow, unsigned port)
{
    struct path p = {.transport = t, .listener = 2, .flow = flow};

    check_err(addr_parse(&p.remote, STR("192.0.2.1"), (uint16_t)port), 0);
    check_err(addr_parse(&p.local, STR("192.0.2.9"), 5060), 0);
    return p;
}

struct reg {
    const char *aor, *call_id, *route, *agent;
    uint32_t cseq;
    struct location_contact c[6];
    size_t n;
    bool all, gruu, secure, direct;
    struct path path;
    uint64_t now;
    unsigned max;
};

#define C(u, e)                                                                                    \
    {                                                                                              \
        .uri = STR(u), .expires_s = (e), .q_milli = 1000                                           \
    }
#define FLOW(u, i, r, e)                                                                           \
    {                                                                                              \
        .uri = STR(u), .expires_s = (e), .q_milli = 1000, .instance = STR(i), .reg_id = (r)        \
    }

static struct location_bindings result;
static struct reason why;

static int reg(const struct reg *r)
{
    struct path p = r->path.transport || r->path.flow || addr_is_set(&r->path.remote)
                        ? r->path
                        : path_of(TRANSPORT_UDP, 0, 5060);
    struct location_register lr = {
        .aor = str_z(r->aor ? r->aor : "sip:alice@example.com"),
        .call_id = str_z(r->call_id ? r->call_id : "c1"),
        .cseq = r->cseq,
        .contacts = r->c,
        .n_contacts = r->n,
        .remove_all = r->all,
        .route = str_z(r->route ? r->route : ""),
        .path = &p,
        .secure = r->secure,
        .is_direct = r->direct,
        .user_agent = str_z(r->agent ? r->agent : "phone"),
        .wants_gruu = r->gruu,
        .max_contacts = r->max,
        .now_s = r->now ? r->now : NOW,
        .rand = &rnd,
    };

    why = (struct reason){0};
    return location_register(loc, &lr, arena, &result, &why);
}
#define REG(...) reg(&(struct reg){__VA_ARGS__})

static struct location_targets targets;

static int look(const char *aor, uint64_t now)
{
    return location_lookup(loc, &(struct location_query){.aor = str_z(aor), .now_s = now}, arena,
                           &targets);
}

static int look_gr(struct str aor, struct str gr)
{
    return location_lookup(
        loc, &(struct location_query){.aor = aor, .has_gr = true, .gr = gr, .now_s = NOW}, arena,
        &targets);
}

static struct location_stats stats(void)
{
    struct location_stats st;

    location_stats_get(loc, &st);
    return st;
}

/* ---- users ---- */

static void test_accounts(void **state)
{
    struct store_user u = {.aor = STR("sip:carol@example.com"),
                           .username = STR("carol"),
                           .realm = STR("r"),
                           .ha1_len = {16, 32, 31},
                           .ha1 = {{1}, {2}, {3}},
                           .allow_md5 = true};
    struct account a;
    char big[400];

    (void)state;
    check_err(account_find(loc, u.aor, &a), ERR_NOTFOUND);
    assert_false(account_exists(loc, u.aor));
    check_err(account_put(loc, &u), 0);
    check_err(account_find(loc, u.aor, &a), 0);
    assert_string_equal(a.aor, "sip:carol@example.com");
    assert_string_equal(a.username, "carol");
    assert_string_equal(a.realm, "r");
    assert_true(a.allow_md5 && a.ha1[0].n == 16 && a.ha1[1].n == 32 && a.ha1[2].n == 0);
    assert_true(a.ha1[0].algo == DIGEST_MD5 && a.ha1[1].algo == DIGEST_SHA256 &&
                a.ha1[1].bytes[0] == 2);
    account_done(&a);
    assert_int_equal(a.ha1[1].bytes[0], 0);
    u.ha1[1][0] = 9;
    u.allow_md5 = false;
    u.realm = STR("longer realm");
    check_err(account_put(loc, &u), 0);
    check_err(account_find(loc, u.aor, &a), 0);
    assert_true(!a.allow_md5 && a.ha1[1].bytes[0] == 9);
    assert_string_equal(a.realm, "longer realm");
    assert_int_equal(stats().users, 3);
    check_err(
        REG(.aor = "sip:carol@example.com", .cseq = 1, .c = {C("sip:c@192.0.2.1", 60)}, .n = 1), 0);
    u.disabled = true; /* loses the bindings too */
    check_err(account_put(loc, &u), 0);
    assert_false(account_exists(loc, u.aor));
    check_err(account_find(loc, u.aor, &a), ERR_NOTFOUND);
    check_err(look("sip:carol@example.com", NOW), ERR_NOTFOUND);
    assert_int_equal(stats().users, 2);
    assert_int_equal(stats().bindings, 0);
    account_remove(loc, u.aor);
    memset(big, 'x', sizeof(big));
    u.disabled = false;
    u.aor = str_make(big, LOCATION_AOR_MAX + 1);
    check_err(account_put(loc, &u), ERR_LIMIT);
    u.aor = STR_NULL;
    check_err(account_put(loc, &u), ERR_LIMIT);
    u.aor = str_make(big, LOCATION_AOR_MAX);
    check_err(account_put(loc, &u), 0);
    check_err(account_find(loc, u.aor, &a), 0);
    u.realm = str_make(big, LOCATION_AOR_MAX + 1);
    check_err(account_put(loc, &u), ERR_LIMIT);
}

/* ---- RFC 3261 10.3 ---- */

static void test_register(void **state)
{
    (void)state;
    check_err(REG(.cseq = 1, .aor = "sip:nobody@example.com", .c = {C("sip:a@b", 60)}, .n = 1),
              ERR_NOTFOUND);
    assert_int_equal(why.sip_status, 404);
    check_err(REG(.cseq = 1), 0); /* asks only */
    assert_int_equal(result.n, 0);
    check_err(look("sip:alice@example.com", NOW), 0);
    assert_int_equal(targets.n, 0);
    check_err(look("sip:nobody@example.com", NOW), ERR_NOTFOUND);
    check_err(REG(.cseq = 1, .agent = "phone 1",
                  .c = {{.uri = STR("sip:alice@192.0.2.1:5060"),
                         .params = STR(";methods=\"INVITE\""),
                         .expires_s = 60,
                         .q_milli = 500}},
                  .n = 1),
              0);
    assert_int_equal(result.n, 1);
    check_str(result.v[0].aor, "sip:alice@example.com");
    check_str(result.v[0].uri, "sip:alice@192.0.2.1:5060");
    check_str(result.v[0].params, ";methods=\"INVITE\"");
    check_str(result.v[0].call_id, "c1");
    check_str(result.v[0].user_agent, "phone 1");
    assert_true(result.v[0].expires_s == 60 && result.v[0].q_milli == 500 && result.v[0].cseq == 1);
    assert_true(result.v[0].has_path && result.v[0].registered_s == NOW &&
                result.v[0].pub_gruu.n == 0);
    /* a second one; asking later shows what is left of each */
    check_err(REG(.cseq = 1, .call_id = "c2", .c = {C("sip:alice@192.0.2.2", 3600)}, .n = 1), 0);
    assert_int_equal(result.n, 2);
    check_str(result.v[0].uri, "sip:alice@192.0.2.2");
    check_err(REG(.now = NOW + 20, .cseq = 9, .call_id = "c9"), 0);
    assert_true(result.n == 2 && result.v[1].expires_s == 40 && result.v[0].expires_s == 3580);
    /* refresh by an equal URI in other letters (19.1.4) takes over the new form */
    check_err(
        REG(.now = NOW + 30, .cseq = 2, .c = {C("sip:alice@192.0.2.1:5060;Foo=x", 60)}, .n = 1), 0);
    assert_int_equal(result.n, 2);
    check_str(result.v[0].uri, "sip:alice@192.0.2.1:5060;Foo=x");
    assert_int_equal(result.v[0].expires_s, 60);
    /* lookups: by q, then the newest */
    check_err(REG(.now = NOW + 31, .cseq = 1, .call_id = "c3",
                  .c = {{.uri = STR("sip:alice@192.0.2.3"), .expires_s = 60, .q_milli = 100}},
                  .n = 1),
              0);
    check_err(look("sip:alice@example.com", NOW + 40), 0);
    assert_int_equal(targets.n, 3);
    check_str(targets.aor, "sip:alice@example.com");
    check_str(targets.v[0].uri, "sip:alice@192.0.2.1:5060;Foo=x");
    check_str(targets.v[1].uri, "sip:alice@192.0.2.2");
    check_str(targets.v[2].uri, "sip:alice@192.0.2.3");
    assert_true(targets.v[0].has_path && targets.v[0].path.listener == 2 &&
                addr_port(&targets.v[0].path.remote) == 5060);
    /* time passes: gone at once, without a sweep */
    check_err(look("sip:alice@example.com", NOW + 92), 0);
    assert_int_equal(targets.n, 1);
    assert_int_equal(stats().expired, 2);
    /* remove one, and one that is not there */
    check_err(REG(.cseq = 2, .call_id = "c2",
                  .c = {C("sip:alice@192.0.2.2", 0), C("sip:nowhere@x", 0)}, .n = 2),
              0);
    assert_int_equal(result.n, 0);
    assert_int_equal(stats().bindings, 0);
    assert_int_equal(stats().aors_bound, 0);
}

static void test_order(void **state)
{
    (void)state;
    check_err(
        REG(.cseq = 5, .c = {C("sip:alice@192.0.2.1", 60), C("sip:alice@192.0.2.2", 60)}, .n = 2),
        0);
    check_str(result.v[0].uri, "sip:alice@192.0.2.1"); /* as given */
    /* the same CSeq and a lower one of the same Call-ID: nothing at all happens, whatever else is
     * in the request */
    check_err(
        REG(.cseq = 5, .c = {C("sip:alice@192.0.2.3", 60), C("sip:alice@192.0.2.1", 3600)}, .n = 2),
        ERR_CONFLICT);
    assert_int_equal(why.sip_status, 500);
    assert_string_equal(why.clause, "RFC 3261 10.3");
    check_err(REG(.cseq = 4, .c = {C("sip:alice@192.0.2.2", 0)}, .n = 1), ERR_CONFLICT);
    check_err(REG(.cseq = 4, .all = true), ERR_CONFLICT);
    check_err(REG(.cseq = 4), 0);
    assert_int_equal(result.n, 2);
    assert_true(result.v[0].expires_s == 60 && result.v[1].expires_s == 60);
    assert_int_equal(stats().conflicts, 3);
    /* another Call-ID may, with any CSeq */
    check_err(REG(.cseq = 1, .call_id = "other", .c = {C("sip:alice@192.0.2.1", 100)}, .n = 1), 0);
    check_err(REG(.cseq = 1, .call_id = "third", .c = {C("sip:alice@192.0.2.2", 0)}, .n = 1), 0);
    assert_int_equal(result.n, 1);
    assert_int_equal(result.v[0].expires_s, 100);
    /* "*": all of other Call-IDs, and those of the same with a higher CSeq */
    check_err(REG(.cseq = 1, .c = {C("sip:alice@192.0.2.4", 60)}, .n = 1), 0);
    check_err(REG(.cseq = 1, .call_id = "other", .all = true), ERR_CONFLICT);
    check_err(REG(.cseq = 2, .call_id = "other", .all = true), 0);
    assert_int_equal(result.n, 0);
    /* what has expired does not count */
    check_err(REG(.cseq = 5, .c = {C("sip:alice@192.0.2.1", 60)}, .n = 1), 0);
    check_err(REG(.now = NOW + 60, .cseq = 1, .c = {C("sip:alice@192.0.2.1", 60)}, .n = 1), 0);
}

static void test_bad_contacts(void **state)
{
    char big[LIMIT_PATH_BYTES + 2];

    (void)state;
    memset(big, 'a', sizeof(big));
    check_err(REG(.cseq = 1,
                  .c = {C("sip:alice@192.0.2.1", 60), C("sip:alice@192.0.2.1:5060;x", 60)}, .n = 2),
              0);
    check_err(
        REG(.cseq = 2, .c = {C("sip:alice@192.0.2.7", 60), C("SIP:alice@192.0.2.7", 0)}, .n = 2),
        ERR_SYNTAX);
    assert_string_equal(why.code, "contact-twice");
    check_err(REG(.cseq = 2,
                  .c = {FLOW("sip:a@b", "urn:uuid:1", 1, 60), FLOW("sip:c@d", "urn:uuid:1", 1, 60)},
                  .n = 2),
              ERR_SYNTAX);
    check_err(REG(.cseq = 2,
                  .c = {FLOW("sip:a@b", "urn:uuid:1", 1, 60), FLOW("sip:a@b", "urn:uuid:1", 2, 60)},
                  .n = 2),
              0);
    check_err(REG(.cseq = 2, .c = {C("no uri", 60)}, .n = 1), ERR_SYNTAX);
    check_err(REG(.cseq = 2, .c = {C("", 60)}, .n = 1), ERR_SYNTAX);
    memcpy(big, "sip:", 4);
    for (int i = 0; i < 5; i++) {
        struct reg r = {.cseq = 3, .c = {C("sip:alice@192.0.2.8", 60)}, .n = 1};
        struct str what = str_make(big, LIMIT_CONTACT_BYTES + 1);

        big[sizeof(big) - 1] = 0;
        if (i == 0)
            r.c[0].uri = what;
        else if (i == 1)
            r.c[0].params = what;
        else if (i == 2)
            r.c[0].instance = str_make(big, LIMIT_INSTANCE_BYTES + 1);
        else if (i == 3)
            r.call_id = big + sizeof(big) - LIMIT_CALL_ID_BYTES - 2;
        else
            r.route = big;
        check_err(reg(&r), ERR_LIMIT);
        assert_string_equal(why.code, "registration-too-large");
    }
}

static void test_limits(void **state)
{
    char uri[64];
    struct reg r = {.cseq = 1, .n = 1};

    (void)state;
    for (unsigned i = 0; i <= LIMIT_CONTACTS_AOR; i++) {
        snprintf(uri, sizeof(uri), "sip:alice@192.0.2.%u", i);
        r.c[0] = (struct location_contact){.uri = str_z(uri), .expires_s = 60, .q_milli = 1000};
        r.cseq++;
        check_err(reg(&r), i < LIMIT_CONTACTS_AOR ? 0 : ERR_LIMIT);
    }
    assert_string_equal(why.code, "too-many-contacts");
    assert_int_equal(why.sip_status, 403);
    /* in exchange for another it goes */
    r.c[1] = (struct location_contact)C("sip:alice@192.0.2.3", 0);
    r.n = 2;
    r.cseq++;
    check_err(reg(&r), 0);
    assert_int_equal(result.n, LIMIT_CONTACTS_AOR);
    /* a refresh at the limit goes; a lower limit of the domain's does not hurt those who are there
     */
    check_err(REG(.cseq = 100, .max = 2, .c = {C("sip:alice@192.0.2.4", 60)}, .n = 1), 0);
    check_err(
        REG(.cseq = 1, .call_id = "new", .max = 2, .c = {C("sip:alice@192.0.2.99", 60)}, .n = 1),
        ERR_LIMIT);
    /* flows of one instance are one contact, but they have a limit of their own */
    check_err(REG(.cseq = 101, .all = true), 0);
    for (unsigned i = 1; i <= LIMIT_FLOWS_CONTACT + 1; i++) {
        struct reg f = {.cseq = 200 + i,
                        .max = 1,
                        .n = 1,
                        .c = {FLOW("sip:alice@192.0.2.1", "urn:uuid:1", i, 60)}};

        check_err(reg(&f), i <= LIMIT_FLOWS_CONTACT ? 0 : ERR_LIMIT);
    }
    assert_string_equal(why.code, "too-many-flows");
    check_err(
        REG(.cseq = 300, .max = 1, .c = {FLOW("sip:alice@192.0.2.1", "urn:uuid:2", 1, 60)}, .n = 1),
        ERR_LIMIT);
    assert_string_equal(why.code, "too-many-contacts");
    assert_int_equal(stats().limits, 4);
}

/* The tables as a whole are bounded. */
static void test_table_limits(void **state)
{
    struct location_args args = {.gruu_key = gruu_key, .max_bindings = 2, .max_aors = 1};
    struct store_user u = {.username = STR("u"), .realm = STR("r")};
    char aor[64];
    unsigned n = 0;
    int err = 0;

    (void)state;
    location_free(loc);
    check_err(location_new(&args, &loc, &why), 0);
    add_user("sip:alice@example.com");
    check_err(
        REG(.cseq = 1,
            .c = {C("sip:alice@192.0.2.1", 60), C("sip:alice@192.0.2.2", 60), C("sip:a@x", 60)},
            .n = 3),
        ERR_LIMIT);
    assert_string_equal(why.code, "too-many-bindings");
    assert_int_equal(why.sip_status, 503);
    check_err(
        REG(.cseq = 1, .c = {C("sip:alice@192.0.2.1", 60), C("sip:alice@192.0.2.2", 60)}, .n = 2),
        0);
    check_err(REG(.cseq = 2, .c = {C("sip:alice@192.0.2.1", 60)}, .n = 1), 0);
    for (; err == 0 && n < 100000; n++) {
        snprintf(aor, sizeof(aor), "sip:u%u@example.com", n);
        u.aor = str_z(aor);
        err = account_put(loc, &u);
    }
    check_err(err, ERR_LIMIT);
}

/* RFC 3261 10.2.1, 16.6 step 7: without a NAT, a Contact at the address that the REGISTER came from says which port. */
static void test_contact_port(void **state)
{
    struct path udp = path_of(TRANSPORT_UDP, 0, 40001), tcp = path_of(TRANSPORT_TCP, 0x0100000100000001u, 40001);
    static const struct {
        const char *uri;
        unsigned port;
    } cases[] = {
        {"sip:alice@192.0.2.1:5070", 5070},
        {"sip:alice@192.0.2.1", 5060},
        {"sip:alice@192.0.2.1:5070;transport=UDP", 5070},
        {"sip:alice@192.0.2.1:5070;transport=tcp", 40001},
        {"sip:alice@192.0.2.1:5070;maddr=192.0.2.7", 40001},
        {"sip:alice@10.0.0.1:5070", 40001},
        {"sip:alice@phone.example.com:5070", 40001},
        {"tel:+1234", 40001},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        for (unsigned again = 0; again < 2; again++) {
            struct reg r = {.cseq = 1 + 2 * (uint32_t)i + again, .path = udp, .n = 1, .direct = true};

            r.c[0] = (struct location_contact){.uri = str_z(cases[i].uri), .expires_s = 60, .q_milli = 1000};
            check_err(reg(&r), 0);
            assert_int_equal(addr_port(&result.v[0].path.remote), cases[i].port);
        }
    }
    check_err(REG(.aor = "sip:bob@example.com", .cseq = 1, .path = tcp, .direct = true, .c = {C("sip:bob@192.0.2.1:5070", 60)}, .n = 1), 0);
    assert_int_equal(addr_port(&result.v[0].path.remote), 40001);
    check_err(REG(.aor = "sip:bob@example.com", .cseq = 2, .path = udp, .direct = true, .route = "<sip:p@192.0.2.1;lr>",
                  .c = {C("sip:bob@192.0.2.1:5070", 60)}, .n = 1),
              0);
    assert_int_equal(addr_port(&result.v[0].path.remote), 40001);
    check_err(REG(.aor = "sip:bob@example.com", .cseq = 3, .path = udp, .c = {C("sip:bob@192.0.2.1:5070", 60)}, .n = 1), 0);
    assert_int_equal(addr_port(&result.v[0].path.remote), 40001);
}

/* ---- RFC 5626 ---- */

static void test_outbound(void **state)
{
    struct path f1 = path_of(TRANSPORT_TLS, 0x0100000100000001u, 40001);
    struct path f2 = path_of(TRANSPORT_TLS, 0x0100000200000001u, 40002);
    struct path f3 = path_of(TRANSPORT_TLS, 0x0100000300000001u, 40003);

    (void)state;
    check_err(REG(.cseq = 1, .path = f1, .secure = true,
                  .c = {FLOW("sip:alice@10.0.0.1;ob", "urn:uuid:A", 1, 60)}, .n = 1),
              0);
    check_err(REG(.cseq = 2, .path = f2, .secure = true,
                  .c = {FLOW("sip:alice@10.0.0.1;ob", "urn:uuid:A", 2, 60)}, .n = 1),
              0);
    assert_int_equal(result.n, 2);
    assert_true(result.v[0].reg_id == 2 && result.v[0].secure && result.v[0].path.flow == f2.flow);
    /* the same contact without reg-id is another binding */
    check_err(REG(.cseq = 3, .c = {C("sip:alice@10.0.0.1;ob", 60)}, .n = 1), 0);
    assert_int_equal(result.n, 3);
    /* the phone comes back on a new connection, with a new address: the old one is replaced (6) */
    check_err(REG(.cseq = 4, .path = f3, .secure = true,
                  .c = {FLOW("sip:alice@10.0.0.7;ob", "URN:UUID:a", 1, 90)}, .n = 1),
              0);
    assert_int_equal(result.n, 3);
    check_str(result.v[0].uri, "sip:alice@10.0.0.7;ob");
    assert_true(result.v[0].path.flow == f3.flow);
    assert_int_equal(stats().by_transport[TRANSPORT_TLS], 2);
    assert_int_equal(stats().by_transport[TRANSPORT_UDP], 1);
    assert_int_equal(stats().secure, 2);
    /* the flow that was replaced closes: nothing happens; then the others */
    location_flow_closed(loc, f1.flow);
    check_err(look("sip:alice@example.com", NOW), 0);
    assert_int_equal(targets.n, 3);
    location_flow_closed(loc, f3.flow);
    location_flow_closed(loc, f3.flow);
    location_flow_closed(loc, 0);
    check_err(look("sip:alice@example.com", NOW), 0);
    assert_int_equal(targets.n, 2);
    assert_int_equal(stats().flows_lost, 1);
    /* fall-backs carry their instance, so that the proxy tries one at a time (7) */
    check_str(targets.v[1].instance, "urn:uuid:A");
    assert_true(targets.v[1].reg_id == 2 && targets.v[1].path.flow == f2.flow &&
                targets.v[1].secure);
    check_str(targets.v[0].instance, "");
    location_flow_closed(loc, f2.flow);
    assert_int_equal(stats().bindings, 1);
}

/* One connection for many: a gateway or another site. With a route, bindings only lose their path.
 */
static void test_shared_flow(void **state)
{
    struct path f = path_of(TRANSPORT_TCP, 0x0100000100000009u, 40001),
                g = path_of(TRANSPORT_TCP, 0x0100000100000010u, 1);
    char aor[64];

    (void)state;
    for (int i = 0; i < 100; i++) {
        struct reg r = {.aor = aor,
                        .path = f,
                        .cseq = 1,
                        .n = 2,
                        .c = {C("sip:x@10.0.0.1", 60), C("sip:y@10.0.0.1", 60)}};

        snprintf(aor, sizeof(aor), "sip:n%d@example.com", i);
        add_user(aor);
        r.route = i == 50 ? "<sip:edge.example.net;lr>" : "";
        check_err(reg(&r), 0);
    }
    check_err(REG(.path = g, .cseq = 1, .c = {C("sip:z@10.0.0.1", 60)}, .n = 1), 0);
    assert_int_equal(stats().bindings, 201);
    location_flow_closed(loc, f.flow);
    assert_int_equal(stats().bindings, 3);
    assert_int_equal(stats().flows_lost, 200);
    check_err(look("sip:n50@example.com", NOW), 0);
    assert_int_equal(targets.n, 2);
    assert_false(targets.v[0].has_path);
    check_str(targets.v[0].route, "<sip:edge.example.net;lr>");
    check_err(look("sip:alice@example.com", NOW), 0);
    assert_true(targets.n == 1 && targets.v[0].has_path);
    /* refreshed in place over a new connection: its path is back, and follows that one */
    check_err(REG(.aor = "sip:n50@example.com", .path = g, .cseq = 2,
                  .route = "<sip:edge.example.net;lr>", .c = {C("sip:x@10.0.0.1", 60)}, .n = 1),
              0);
    assert_true(result.v[0].has_path && result.v[0].path.flow == g.flow);
    check_err(REG(.path = f, .cseq = 2, .c = {C("sip:z@10.0.0.1", 60)}, .n = 1), 0);
    location_flow_closed(loc, g.flow);
    check_err(look("sip:alice@example.com", NOW), 0);
    assert_int_equal(targets.n, 1);
    location_flow_closed(loc, f.flow);
    check_err(look("sip:alice@example.com", NOW), 0);
    assert_int_equal(targets.n, 0);
}

/* ---- RFC 5627 ---- */

static struct str temp_aor(struct str gruu) /* without ";gr": what sip_uri_aor gives for it */
{
    assert_true(gruu.n > 3 && memcmp(gruu.p + gruu.n - 3, ";gr", 3) == 0);
    return str_make(gruu.p, gruu.n - 3);
}

static void test_gruu(void **state)
{
    struct str t1, t2, t3, t4;
    char forged[400];

    (void)state;
    check_err(REG(.cseq = 1,
                  .c = {FLOW("sip:alice@10.0.0.1", "urn:uuid:f81d4fae", 1, 60),
                        C("sip:alice@10.0.0.9", 60)},
                  .n = 2, .gruu = true),
              0);
    check_str(result.v[0].pub_gruu, "sip:alice@example.com;gr=urn:uuid:f81d4fae");
    assert_true(result.v[1].pub_gruu.n == 0 && result.v[1].temp_gruu.n == 0);
    t1 = temp_aor(result.v[0].temp_gruu);
    assert_null(memmem(t1.p, t1.n, "alice", 5)); /* hides whose it is */
    check_err(REG(.cseq = 2, .c = {FLOW("sip:alice@10.0.0.2", "urn:uuid:f81d4fae", 2, 60)}, .n = 1,
                  .gruu = true),
              0);
    t2 = temp_aor(result.v[0].temp_gruu);
    assert_true(result.n == 3 &&
                str_eq(result.v[0].temp_gruu, result.v[1].temp_gruu)); /* of both flows (5.2) */
    assert_false(str_eq(t1, t2));
    assert_int_equal(t1.n, t2.n);
    /* both reach both flows of the phone and nothing else */
    for (int i = 0; i < 2; i++) {
        check_err(look_gr(i ? t1 : t2, STR_NULL), 0);
        assert_int_equal(targets.n, 2);
        check_str(targets.v[0].uri, "sip:alice@10.0.0.2");
        check_str(targets.aor, "sip:alice@example.com");
    }
    check_err(look_gr(STR("sip:alice@example.com"), STR("URN:uuid:F81d4fae")), 0);
    assert_int_equal(targets.n, 2);
    check_err(look_gr(STR("sip:alice@example.com"), STR("urn:uuid:other")),
              0); /* 480, not 404 (5.4) */
    assert_int_equal(targets.n, 0);
    check_err(look_gr(STR("sip:nobody@example.com"), STR("urn:uuid:f81d4fae")), ERR_NOTFOUND);
    /* no forging: each character, another domain, other lengths */
    for (size_t i = 4; i < t1.n - 12; i++) {
        memcpy(forged, t1.p, t1.n);
        forged[i] = forged[i] == 'A' ? 'B' : 'A';
        check_err(look_gr(str_make(forged, t1.n), STR_NULL), ERR_NOTFOUND);
        check_err(look_gr(str_make(t1.p, i), STR_NULL), ERR_NOTFOUND);
    }
    memcpy(forged, t1.p, t1.n);
    forged[t1.n - 1] = 'x';
    check_err(look_gr(str_make(forged, t1.n), STR_NULL), ERR_NOTFOUND);
    check_err(look_gr(STR("sip:alice@example.com"), STR_NULL), ERR_NOTFOUND);
    check_err(look_gr(STR("sip:@example.com"), STR_NULL), ERR_NOTFOUND);
    check_err(look_gr(STR("x"), STR_NULL), ERR_NOTFOUND);
    check_err(look_gr(STR_NULL, STR_NULL), ERR_NOTFOUND);
    /* the same flow with another Call-ID: all older ones are void, of the other flow as well (5.1)
     */
    check_err(REG(.cseq = 1, .call_id = "c2",
                  .c = {FLOW("sip:alice@10.0.0.1", "urn:uuid:f81d4fae", 1, 60)}, .n = 1,
                  .gruu = true),
              0);
    t3 = temp_aor(result.v[0].temp_gruu);
    check_err(look_gr(t1, STR_NULL), ERR_NOTFOUND);
    check_err(look_gr(t2, STR_NULL), ERR_NOTFOUND);
    check_err(look_gr(t3, STR_NULL), 0);
    assert_int_equal(targets.n, 2);
    /* the last contact of the instance goes: void, even when it comes back with the same Call-ID
     * (5.3) */
    check_err(REG(.cseq = 10, .call_id = "c9", .all = true), 0);
    check_err(look_gr(t3, STR_NULL), ERR_NOTFOUND);
    check_err(REG(.cseq = 11, .call_id = "c2",
                  .c = {FLOW("sip:alice@10.0.0.1", "urn:uuid:f81d4fae", 1, 60)}, .n = 1,
                  .gruu = true),
              0);
    check_err(look_gr(t3, STR_NULL), ERR_NOTFOUND);
    t4 = temp_aor(result.v[0].temp_gruu);
    check_err(look_gr(t4, STR_NULL), 0);
    assert_int_equal(stats().gruus, 4);
    /* who does not ask gets none */
    check_err(REG(.cseq = 12, .call_id = "c2",
                  .c = {FLOW("sip:alice@10.0.0.1", "urn:uuid:f81d4fae", 1, 60)}, .n = 1),
              0);
    assert_int_equal(result.v[0].temp_gruu.n + result.v[0].pub_gruu.n, 0);
    check_err(look_gr(t4, STR_NULL), 0);
    account_remove(loc, STR("sip:alice@example.com"));
    check_err(look_gr(t4, STR_NULL), ERR_NOTFOUND);
}

/* Instances without reg-id (RFC 5627 6.1 case 2), odd instances, long names. */
static void test_gruu_odd(void **state)
{
    static const char *const users[] = {"a", "fifteen-letters", "sixteen--letters",
                                        "seventeen-letters", "%40x"};
    char aor[300], name[250];

    (void)state;
    check_err(REG(.cseq = 1, .c = {FLOW("sip:alice@10.0.0.1", "urn:x:a b\"<%>;", 0, 60)}, .n = 1,
                  .gruu = true),
              0);
    check_str(result.v[0].pub_gruu, "sip:alice@example.com;gr=urn:x:a%20b%22%3C%25%3E%3B");
    /* restarted with another address and Call-ID: both are listed, the newest first, as one
     * instance */
    check_err(REG(.cseq = 1, .call_id = "c2",
                  .c = {FLOW("sip:alice@10.0.0.2", "urn:x:a b\"<%>;", 0, 60)}, .n = 1,
                  .gruu = true),
              0);
    assert_int_equal(result.n, 2);
    check_err(look_gr(temp_aor(result.v[0].temp_gruu), STR_NULL), 0);
    assert_int_equal(targets.n, 2);
    check_str(targets.v[0].uri, "sip:alice@10.0.0.2");
    for (size_t i = 0; i < ARRAY_LEN(users); i++) {
        struct reg r = {.aor = aor,
                        .cseq = 1,
                        .gruu = true,
                        .n = 1,
                        .c = {FLOW("sip:x@10.0.0.1", "urn:uuid:1", 1, 60)}};

        snprintf(aor, sizeof(aor), "sip:%s@d.example", users[i]);
        add_user(aor);
        check_err(reg(&r), 0);
        check_err(look_gr(temp_aor(result.v[0].temp_gruu), STR_NULL), 0);
        check_str(targets.aor, aor);
    }
    memset(name, 'n', sizeof(name));
    for (size_t n = 200; n < 248; n++) {
        struct reg r = {.aor = aor,
                        .cseq = 1,
                        .gruu = true,
                        .n = 1,
                        .c = {FLOW("sip:x@10.0.0.1", "urn:uuid:1", 1, 60)}};

        snprintf(aor, sizeof(aor), "sip:%.*s@d", (int)n, name);
        add_user(aor);
        check_err(reg(&r), 0);
        if (result.v[0].temp_gruu.n == 0)
            continue; /* too long a name to be sealed: a public one only */
        check_err(look_gr(temp_aor(result.v[0].temp_gruu), STR_NULL), 0);
        check_str(targets.aor, aor);
    }
}

/* ---- sweeping and looking on ---- */

static bool count_binding(void *arg, const struct location_binding *b)
{
    size_t *left = arg;

    assert_true(b->aor.n && b->uri.n && b->expires_s);
    return --*left > 0;
}

static void test_sweep_and_each(void **state)
{
    char aor[64];
    size_t left = SIZE_MAX;

    (void)state;
    for (int i = 0; i < 1000; i++) {
        struct reg r = {.aor = aor, .cseq = 1, .n = 1, .c = {C("sip:x@10.0.0.1", 60)}};

        snprintf(aor, sizeof(aor), "sip:n%d@example.com", i);
        r.c[0].expires_s = i % 2 ? 60 : 120;
        add_user(aor);
        check_err(reg(&r), 0);
        arena_reset(arena);
    }
    check_err(location_each(loc, NOW, count_binding, &left), 0);
    assert_int_equal(SIZE_MAX - left, 1000);
    left = SIZE_MAX;
    check_err(location_each(loc, NOW + 60, count_binding, &left), 0);
    assert_int_equal(SIZE_MAX - left, 500);
    left = 3; /* stops when told */
    check_err(location_each(loc, NOW, count_binding, &left), 0);
    assert_int_equal(left, 0);
    for (unsigned i = 0; i < LOC_SWEEP_PARTS; i++)
        location_sweep(loc, NOW + 59);
    assert_int_equal(stats().bindings, 1000);
    for (unsigned i = 0; i < LOC_SWEEP_PARTS; i++)
        location_sweep(loc, NOW + 60);
    assert_int_equal(stats().bindings, 500);
    assert_int_equal(stats().expired, 500);
    assert_int_equal(stats().aors_bound, 500);
    for (unsigned i = 0; i < LOC_SWEEP_PARTS; i++)
        location_sweep(loc, NOW + 120);
    assert_int_equal(stats().bindings, 0);
    assert_int_equal(stats().users, 1002);
    left = SIZE_MAX;
    check_err(location_each(loc, NOW, count_binding, &left), 0);
    assert_int_equal(left, SIZE_MAX);
}

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

/* ---- memory ---- */

static void test_no_memory(void **state)
{
    (void)state;
    check_err(REG(.cseq = 1, .c = {C("sip:alice@10.0.0.9", 3600)}, .n = 1), 0);
    for (uint32_t round = 0; round < 1; round++) {
        OOM_SWEEP(100, {
            struct arena *keep = arena;
            int err;
            size_t n_before = (size_t)stats().bindings, left = SIZE_MAX;

            arena = arena_new(64, 1 << 20);
            if (arena) {
                err = REG(.cseq = 5, .call_id = "o", .gruu = true, .now = NOW,
                          .c = {FLOW("sip:alice@10.0.0.1", "urn:uuid:1", 1, 60),
                                C("sip:alice@10.0.0.2", 60), C("sip:alice@10.0.0.9", 0)},
                          .n = 3);
                if (err == ERR_NOMEM) {
                    assert_int_equal(stats().bindings, n_before); /* all or nothing */
                } else {
                    check_err(err, 0);
                    assert_int_equal(result.n, 2);
                    err = look("sip:alice@example.com", NOW);
                    if (err != ERR_NOMEM) {
                        check_err(err, 0);
                        assert_int_equal(targets.n, 2);
                    }
                    err = location_each(loc, NOW, count_binding, &left);
                    if (err != 0 && err != ERR_NOMEM)
                        fail();
                }
                fault_disarm(); /* back to the start, with memory */
                check_err(REG(.cseq = 1000, .call_id = "undo", .now = NOW, .all = true), 0);
                check_err(REG(.cseq = 1, .c = {C("sip:alice@10.0.0.9", 3600)}, .n = 1), 0);
            }
            arena_free(arena);
            arena = keep;
            buf_pool_done();
        });
    }
    OOM_SWEEP(2000, {
        struct location_args args = {.gruu_key = gruu_key};
        struct location *l;
        int err = location_new(&args, &l, &why);

        if (err == 0) {
            struct store_user u = {.aor = STR("sip:a@b"), .username = STR("a"), .realm = STR("b")};

            err = account_put(l, &u);
            assert_true(err == 0 || !account_exists(l, u.aor));
            location_free(l);
        }
        if (err != 0 && err != ERR_NOMEM)
            fail();
    });
}

/* ---- many threads ---- */

#define THREADS 4

static void *thread_main(void *arg)
{
    unsigned id = (unsigned)(uintptr_t)arg;
    struct arena *a = arena_new(4096, 1 << 20);
    struct rand_source r;
    uint32_t x = id * 2654435761u + 1, cseq = 1;
    uintptr_t bad = 0;

    rand_fixed_init(&r, id);
    for (unsigned i = 0; i < 20000 && a; i++) {
        struct path p = {.transport = TRANSPORT_TLS,
                         .flow = ((uint64_t)id << 56) | ((uint64_t)(i % 61 + 1) << 32) | 1};
        struct location_contact c = {
            .expires_s = 60, .q_milli = 1000, .instance = STR("urn:uuid:1"), .reg_id = id + 1};
        struct location_bindings b;
        struct location_targets t;
        struct account acc;
        char aor[64];
        int err;

        x ^= x << 13;
        x ^= x >> 17;
        x ^= x << 5;
        snprintf(aor, sizeof(aor), "sip:n%u@example.com", x % 20);
        c.uri = str_z(aor);
        c.expires_s = x % 5 ? 60 : 0;
        (void)!addr_parse(&p.remote, STR("192.0.2.1"), 1);
        switch (x >> 8 & 7) {
        case 0:
            location_flow_closed(loc, p.flow);
            break;
        case 1:
            location_sweep(loc, NOW + i / 100);
            break;
        case 2:
            err = account_find(loc, str_z(aor), &acc);
            bad |= err != 0 && err != ERR_NOTFOUND;
            break;
        case 3:
            if (id == 0 && i % 50 == 0) {
                struct store_user u = {
                    .aor = str_z(aor), .username = STR("alice"), .realm = STR("r")};

                account_remove(loc, str_z(aor));
                bad |= account_put(loc, &u) != 0;
            }
            break;
        default:
            err = location_register(loc,
                                    &(struct location_register){.aor = str_z(aor),
                                                                .call_id = STR("c"),
                                                                .cseq = cseq++,
                                                                .contacts = &c,
                                                                .n_contacts = 1,
                                                                .path = &p,
                                                                .wants_gruu = x % 16 == 0,
                                                                .rand = &r,
                                                                .now_s = NOW + i / 100},
                                    a, &b, NULL);
            bad |= err != 0 && err != ERR_NOTFOUND;
            err = location_lookup(
                loc, &(struct location_query){.aor = str_z(aor), .now_s = NOW + i / 100}, a, &t);
            bad |= err != 0 && err != ERR_NOTFOUND;
            for (size_t k = 0; err == 0 && k < t.n; k++)
                bad |= !str_eq(t.v[k].uri, str_z(aor)) || t.v[k].reg_id == 0 ||
                       t.v[k].reg_id > THREADS;
        }
        arena_reset(a);
    }
    arena_free(a);
    buf_pool_done();
    return (void *)bad;
}

static void test_threads(void **state)
{
    pthread_t t[THREADS];
    uint64_t sum = 0;

    (void)state;
    for (unsigned i = 0; i < 20; i++) {
        char aor[64];

        snprintf(aor, sizeof(aor), "sip:n%u@example.com", i);
        add_user(aor);
    }
    for (uintptr_t i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&t[i], NULL, thread_main, (void *)i), 0);
    for (int i = 0; i < 50; i++) {
        size_t left = SIZE_MAX;
        int err = location_each(loc, NOW, count_binding, &left);

        check_err(err, 0);
        usleep(1000);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        void *bad;

        pthread_join(t[i], &bad);
        assert_null(bad);
    }
    /* every flow closes: nothing is left, and the sums agree */
    for (uint64_t id = 0; id < THREADS; id++) {
        for (uint64_t slot = 1; slot <= 61; slot++)
            location_flow_closed(loc, id << 56 | slot << 32 | 1);
    }
    assert_int_equal(stats().bindings, 0);
    assert_int_equal(stats().aors_bound, 0);
    assert_int_equal(__atomic_load_n(&loc->n_bindings, __ATOMIC_RELAXED), 0);
    assert_int_equal(stats().users, 22);
    sum = stats().added - stats().removed - stats().expired - stats().flows_lost;
    assert_int_equal(sum, 0);
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
        cmocka_unit_test_setup_teardown(test_accounts, setup, teardown),
        cmocka_unit_test_setup_teardown(test_register, setup, teardown),
        cmocka_unit_test_setup_teardown(test_order, setup, teardown),
        cmocka_unit_test_setup_teardown(test_bad_contacts, setup, teardown),
        cmocka_unit_test_setup_teardown(test_limits, setup, teardown),
        cmocka_unit_test_setup_teardown(test_table_limits, setup, teardown),
        cmocka_unit_test_setup_teardown(test_contact_port, setup, teardown),
        cmocka_unit_test_setup_teardown(test_outbound, setup, teardown),
        cmocka_unit_test_setup_teardown(test_shared_flow, setup, teardown),
        cmocka_unit_test_setup_teardown(test_gruu, setup, teardown),
        cmocka_unit_test_setup_teardown(test_gruu_odd, setup, teardown),
        cmocka_unit_test_setup_teardown(test_sweep_and_each, setup, teardown),
        cmocka_unit_test_setup_teardown(test_restore, setup_store, teardown_store),
        cmocka_unit_test_setup_teardown(test_lost_make_room, setup_store, teardown_store),
        cmocka_unit_test_setup_teardown(test_write_thrift, setup_store, teardown_store),
        cmocka_unit_test_setup_teardown(test_users_change, setup_store, teardown_store),
        cmocka_unit_test_setup_teardown(test_no_memory, setup, teardown),
        cmocka_unit_test_setup_teardown(test_threads, setup, teardown),
    };

    if (argc > 1 && strcmp(argv[1], "bench") == 0) {
        bench();
        return 0;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
