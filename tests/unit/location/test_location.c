/* The location service: REGISTERs applied whole or not at all (RFC 3261 10.3), flows (RFC 5626 6
 * and 7), GRUUs (RFC 5627), many threads. */
#include "location_help.h"

/* ---- users ---- */

static void test_accounts(void **state)
{
    struct store_user u = {.aor = STR("sip:carol@example.com"),
                           .username = STR("carol"),
                           .realm = STR("r"),
                           .ha1_len = {16, 32, 31},
                           .ha1 = {{1}, {2}, {3}},
                           .allow_md5 = true};
    struct account_warm warm = {0};
    struct account a;
    char big[400];

    (void)state;
    check_err(account_find(loc, u.aor, &a), ERR_NOTFOUND);
    assert_false(account_exists(loc, u.aor) || account_allows_md5(loc, u.aor));
    for (unsigned i = 0; i < 4; i++)
        account_warm(loc, u.aor, &warm); /* changes nothing, whoever is there */
    check_err(account_put(loc, &u), 0);
    assert_true(account_exists(loc, u.aor) && account_allows_md5(loc, u.aor));
    warm.step = 0;
    for (unsigned i = 0; i < 4; i++)
        account_warm(loc, u.aor, &warm);
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
    assert_false(account_allows_md5(loc, u.aor));
    u.allow_md5 = true;
    check_err(account_put(loc, &u), 0);
    assert_string_equal(a.realm, "longer realm");
    assert_int_equal(stats().users, 3);
    check_err(
        REG(.aor = "sip:carol@example.com", .cseq = 1, .c = {C("sip:c@192.0.2.1", 60)}, .n = 1), 0);
    u.disabled = true; /* loses the bindings too */
    check_err(account_put(loc, &u), 0);
    assert_false(account_exists(loc, u.aor) || account_allows_md5(loc, u.aor));
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

int main(void)
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
        cmocka_unit_test_setup_teardown(test_no_memory, setup, teardown),
        cmocka_unit_test_setup_teardown(test_threads, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
