/* Dialog and flow tokens: what is sealed comes out, for this Call-ID and key only, and nothing else opens (RFC 5626 5.2). */
#include "check.h"
#include "edge/edge_priv.h"

static const struct edge_keys keys = {.token = {1, 2, 3}};

static struct dialog_token sample(void)
{
    struct dialog_token t = {.worker = 1, .call_slot = 0x01000007, .call_gen = 9, .caller_tag = 77, .caller_from = 0x11223344, .callee_from = 0x55667788, .emergency = false};

    t.caller = (struct token_side){.kind = PRINCIPAL_USER, .who = 11, .md5 = true, .domain = 21, .instance = 22, .has_path = true,
                                   .path = {.transport = TRANSPORT_TLS, .listener = 3, .flow = 0x0100000500000002u}};
    assert_int_equal(addr_parse_hostport(&t.caller.path.remote, STR("192.0.2.10:40000")), 0);
    t.callee = (struct token_side){.kind = PRINCIPAL_PEER, .who = 12, .has_path = true,
                                   .path = {.transport = TRANSPORT_UDP, .listener = 0}};
    assert_int_equal(addr_parse_hostport(&t.callee.path.remote, STR("[2001:db8::7]:5060")), 0);
    assert_int_equal(addr_parse_hostport(&t.callee.path.local, STR("[2001:db8::1]:5060")), 0);
    return t;
}

/* RFC 3261 8.1.1.5, 12.2.2: they grow, the same one always comes of the same, and none is of two. */
static void numbers_have_room(void **state)
{
    struct dialog_token t = sample(), u;
    char text[TOKEN_TEXT_MAX];
    uint32_t out;

    (void)state;
    check_err(token_cseq(&t, 70, 3, &out), 0);
    assert_int_equal(out, 70);
    t.is_spaced = true;
    t.first_cseq = 50;
    t.is_no_call = true;
    check_err(token_dialog_seal(&keys, &t, STR("call@x"), text), 0);
    check_err(token_dialog_open(&keys, str_z(text), STR("call@x"), &u), 0);
    assert_true(u.is_spaced && u.is_no_call);
    assert_int_equal(u.first_cseq, 50);
    assert_int_equal(u.callee.who, 12);
    check_err(token_cseq(&u, 50, 0, &out), 0);
    assert_int_equal(out, 50);
    check_err(token_cseq(&u, 50, 4, &out), 0);
    assert_int_equal(out, 54);
    check_err(token_cseq(&u, 51, 0, &out), 0);
    assert_int_equal(out, 58);
    check_err(token_cseq(&u, 49, 1, &out), 0);
    assert_int_equal(out, 49);
    check_err(token_cseq(&u, INT32_MAX, 0, &out), ERR_LIMIT);
}

static void comes_out_as_it_went_in(void **state)
{
    struct dialog_token t = sample(), u;
    char text[TOKEN_TEXT_MAX];

    (void)state;
    check_err(token_dialog_seal(&keys, &t, STR("call@x"), text), 0);
    check_err(token_dialog_open(&keys, str_z(text), STR("call@x"), &u), 0);
    assert_int_equal(u.worker, 1);
    assert_int_equal(u.call_slot, 0x01000007);
    assert_int_equal(u.call_gen, 9);
    assert_int_equal(u.caller_tag, 77);
    assert_int_equal(u.caller_from, 0x11223344);
    assert_int_equal(u.callee_from, 0x55667788);
    assert_int_equal(u.anchor_slot, 0);
    assert_int_equal(u.anchor_gen, 0);
    assert_false(u.emergency);
    assert_int_equal(u.caller.kind, PRINCIPAL_USER);
    assert_int_equal(u.caller.who, 11);
    assert_true(u.caller.md5);
    assert_int_equal(u.caller.domain, 21);
    assert_int_equal(u.caller.instance, 22);
    assert_int_equal(u.callee.kind, PRINCIPAL_PEER);
    assert_false(u.callee.md5);
    assert_true(addr_eq(&u.callee.path.local, &t.callee.path.local));
    assert_int_equal(u.caller.path.flow, t.caller.path.flow);
    assert_int_equal(u.caller.path.listener, 3);
    assert_true(addr_eq(&u.caller.path.remote, &t.caller.path.remote));
    assert_true(addr_eq(&u.callee.path.remote, &t.callee.path.remote));
    assert_int_equal(u.callee.path.flow, 0);
    assert_int_equal(u.callee.path.transport, TRANSPORT_UDP);
    t.anchor_slot = 0xfffff; /* an anchored call's */
    t.anchor_gen = 0xabcdef;
    t.emergency = true;
    check_err(token_dialog_seal(&keys, &t, STR("call@x"), text), 0);
    check_err(token_dialog_open(&keys, str_z(text), STR("call@x"), &u), 0);
    assert_int_equal(u.anchor_slot, 0xfffff);
    assert_int_equal(u.anchor_gen, 0xabcdef);
    assert_int_equal(u.caller_tag, 77);
    assert_true(u.emergency);
    t.callee.has_path = false;
    check_err(token_dialog_seal(&keys, &t, STR("call@x"), text), 0);
    check_err(token_dialog_open(&keys, str_z(text), STR("call@x"), &u), 0);
    assert_false(u.callee.has_path);
}

static void opens_for_nothing_else(void **state)
{
    static const struct edge_keys other = {.token = {1, 2, 4}};
    struct dialog_token t = sample(), u;
    struct token_side p;
    char text[TOKEN_TEXT_MAX], bad[TOKEN_TEXT_MAX];
    size_t i, n;

    (void)state;
    check_err(token_dialog_seal(&keys, &t, STR("call@x"), text), 0);
    assert_int_not_equal(token_dialog_open(&keys, str_z(text), STR("call@y"), &u), 0);
    assert_int_not_equal(token_dialog_open(&other, str_z(text), STR("call@x"), &u), 0);
    assert_int_not_equal(token_flow_open(&keys, str_z(text), &p), 0);
    n = strlen(text);
    for (i = 0; i < n; i++) {
        memcpy(bad, text, n + 1);
        bad[i] = bad[i] == 'A' ? 'B' : 'A';
        assert_int_not_equal(token_dialog_open(&keys, str_make(bad, n), STR("call@x"), &u), 0);
        assert_int_not_equal(token_dialog_open(&keys, str_make(text, i), STR("call@x"), &u), 0);
    }
}

static void long_call_ids_are_bound_too(void **state)
{
    struct dialog_token t = sample(), u;
    char text[TOKEN_TEXT_MAX], id[600];

    (void)state;
    memset(id, 'c', sizeof id);
    check_err(token_dialog_seal(&keys, &t, str_make(id, 600), text), 0);
    check_err(token_dialog_open(&keys, str_z(text), str_make(id, 600), &u), 0);
    assert_int_not_equal(token_dialog_open(&keys, str_z(text), str_make(id, 599), &u), 0);
}

static void flows_too(void **state)
{
    struct dialog_token t = sample();
    struct token_side p;
    char text[TOKEN_TEXT_MAX];

    (void)state;
    check_err(token_flow_seal(&keys, &t.caller, text), 0);
    check_err(token_flow_open(&keys, str_z(text), &p), 0);
    assert_int_equal(p.path.flow, t.caller.path.flow);
    assert_int_equal(p.who, 11);
    text[3] ^= 1;
    assert_int_not_equal(token_flow_open(&keys, str_z(text), &p), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_have_room), cmocka_unit_test(comes_out_as_it_went_in),
        cmocka_unit_test(opens_for_nothing_else),
        cmocka_unit_test(long_call_ids_are_bound_too),
        cmocka_unit_test(flows_too),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
