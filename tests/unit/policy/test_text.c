/* A status as text: the line, the story, JSON, headers, display names; and texts from a network
 * that want to be more than text. */
#include "base/arena.h"
#include "call.h"
#include "identity/json.h"
#include "policy/status_text.h"
#include <stdio.h>

static char room[65536];

static struct policy_status status_of(const struct call *c, unsigned towards)
{
    struct policy_status s;

    policy_status(&c->f, towards, &s);
    return s;
}

static const char *done(struct sbuf *b)
{
    sbuf_char(b, '\0');
    assert_false(b->overflow);
    return b->p;
}

static const char *line_of(const struct call *c, unsigned towards)
{
    struct policy_status s = status_of(c, towards);
    struct sbuf b = sbuf_make(room, POLICY_LINE_MAX);

    policy_text_line(&b, &c->f, &s);
    return done(&b);
}

static const char *header_of(const struct call *c, unsigned towards)
{
    struct policy_status s = status_of(c, towards);
    struct sbuf b = sbuf_make(room, POLICY_HEADER_MAX);

    policy_text_header(&b, &s);
    return done(&b);
}

static const char *call_info_of(const struct call *c, unsigned towards)
{
    struct policy_status s = status_of(c, towards);
    struct sbuf b = sbuf_make(room, POLICY_HEADER_MAX);

    policy_text_call_info(&b, &s);
    return done(&b);
}

static void make_clear(struct call *c)
{
    for (unsigned i = 0; i < 2; i++)
        c->medium[i][0].keys = keying_facts_clear();
}

static void make_offered(struct call *c)
{
    make_clear(c);
    for (unsigned i = 0; i < 2; i++)
        c->medium[i][0].keys.method = KEYING_DTLS;
}

static void lines_for_a_person(void **state)
{
    struct call c;

    (void)state;
    call_init(&c);
    assert_string_equal(line_of(&c, POLICY_CALLER),
                        "End to end: sip:bob@example2.com, signed by the user.");
    call_init_domains(&c);
    assert_string_equal(line_of(&c, POLICY_CALLER),
                        "Secure: sip:bob@example2.com, signed by example2.com. Not end to end: The "
                        "domain of the other party vouches for the media keys, not the party "
                        "itself.");
    c.medium[0][0].keys.proof = KEYING_PROOF_NEGOTIATED;
    assert_non_null(strstr(line_of(&c, POLICY_CALLEE), " Agreed, not yet proven."));
    make_offered(&c);
    assert_string_equal(line_of(&c, POLICY_CALLEE),
                        "Protected: sip:alice@example1.com, authenticated by us. Not secure: No "
                        "media keys are agreed yet. Once keys are agreed as offered: secure.");
    call_init_domains(&c);
    c.party[POLICY_CALLEE].ends_at = POLICY_ENDS_GATEWAY;
    assert_string_equal(line_of(&c, POLICY_CALLER),
                        "Protected: sip:bob@example2.com, signed by example2.com. Not secure: The "
                        "call goes on into the telephone network, where nothing is known of its "
                        "security.");
    c.party[POLICY_CALLEE].identity.verdict = IDENTITY_CONTRADICTED;
    assert_int_equal(strncmp(line_of(&c, POLICY_CALLER), "Attacked: ", 10), 0);
    assert_null(strstr(room, "Not "));
    call_init_domains(&c);
    make_clear(&c);
    c.party[POLICY_CALLEE].identity = (struct policy_identity){0};
    assert_string_equal(line_of(&c, POLICY_CALLER),
                        "Open: the callee, who is not known. Not protected: Media is not "
                        "encrypted.");
    c.party[POLICY_CALLEE].identity.known = POLICY_ID_ASSERTED;
    c.party[POLICY_CALLEE].identity.by = STR("provider.net");
    c.party[POLICY_CALLEE].identity.via = STR("swapped.net");
    c.hop[POLICY_CALLER][0] = (struct policy_hop){0};
    assert_string_equal(line_of(&c, POLICY_CALLER),
                        "Open: the callee via swapped.net, as asserted by provider.net. Not "
                        "protected: The signalling crosses a hop without encryption. (1 more.)");
    c.party[POLICY_CALLEE].identity.asserted = STR("sip:bob@provider.net");
    assert_non_null(strstr(line_of(&c, POLICY_CALLER),
                           "asserted by provider.net to be sip:bob@provider.net. Not"));
    c.f.n_parties = 0;
    assert_non_null(strstr(line_of(&c, POLICY_CALLER), "nobody at the other end"));
}

static void headers_for_phones(void **state)
{
    struct call c;

    (void)state;
    call_init(&c);
    assert_string_equal(header_of(&c, POLICY_CALLEE), "end-to-end;proven=yes");
    assert_string_equal(call_info_of(&c, POLICY_CALLEE),
                        "<urn:x-cisco-remotecc:callinfo>; security= Encrypted");
    call_init_domains(&c);
    assert_string_equal(header_of(&c, POLICY_CALLEE),
                        "secure;proven=yes;reasons=\"identity-by-us,media-bound-by-domain\"");
    assert_non_null(strstr(call_info_of(&c, POLICY_CALLEE), "= Encrypted"));
    make_offered(&c);
    assert_string_equal(header_of(&c, POLICY_CALLEE),
                        "protected;expected=secure;proven=no;reasons=\"media-not-agreed,"
                        "identity-by-us,media-bound-by-domain\"");
    assert_non_null(strstr(call_info_of(&c, POLICY_CALLEE), "= Unknown"));
    call_init_domains(&c);
    c.party[POLICY_CALLER].ends_at = POLICY_ENDS_GATEWAY;
    assert_non_null(strstr(call_info_of(&c, POLICY_CALLEE), "= Authenticated"));
    make_clear(&c);
    assert_non_null(strstr(call_info_of(&c, POLICY_CALLEE), "= NotAuthenticated"));
    c.party[POLICY_CALLER].identity.verdict = IDENTITY_CONTRADICTED;
    assert_non_null(strstr(call_info_of(&c, POLICY_CALLEE), "= NotAuthenticated"));
}

/* All reasons at once fit the room that the header promises. */
static void the_longest_header(void **state)
{
    struct policy_status s = {.level = POLICY_OPEN, .expected = POLICY_PROTECTED};
    struct sbuf b = sbuf_make(room, POLICY_HEADER_MAX);

    (void)state;
    for (unsigned i = 0; i < POLICY_WHYS; i++)
        s.reasons[s.n_reasons++] = (struct policy_reason){(uint8_t)i, 0, 0, 0, 1};
    policy_text_header(&b, &s);
    assert_false(b.overflow);
}

static const char *display_of(enum policy_level level, struct str name)
{
    struct sbuf b = sbuf_make(room, sizeof(room));

    policy_text_display(&b, level, name);
    return done(&b);
}

static void check_plain(struct str name, bool is_ours, bool has_level, const char *is)
{
    struct sbuf b = sbuf_make(room, sizeof(room));
    bool level;

    assert_int_equal(policy_text_display_plain(&b, name, &level), is_ours);
    assert_int_equal(level, has_level);
    assert_string_equal(done(&b), is);
}

static void display_names(void **state)
{
    (void)state;
    assert_string_equal(display_of(POLICY_SECURE, STR("Alice")), "\"[secure] Alice\"");
    assert_string_equal(display_of(POLICY_SECURE, STR_NULL), "\"[secure]\"");
    assert_string_equal(display_of(POLICY_END_TO_END, STR("J\xc3\xbcrgen")),
                        "\"[end-to-end] J\xc3\xbcrgen\"");
    assert_string_equal(display_of(POLICY_OPEN, STR(" [ SeCure\t][end-to-end] [open]Alice [S]")),
                        "\"[open] Alice (S)\"");
    /* As written: escapes are taken off and put back where they must be. */
    assert_string_equal(display_of(POLICY_ATTACKED, STR("a\\\"b\\\\c\\d\r\nVia: x")),
                        "\"[attacked] a\\\"b\\\\cd??Via: x\"");
    /* Right-to-left override, zero width space, half a character. */
    assert_string_equal(display_of(POLICY_SECURE, STR("\xe2\x80\xae"
                                                      "ecilA\xe2\x80\x8b\xc3")),
                        "\"[secure] ?ecilA??\"");
}

static void display_names_of_others(void **state)
{
    (void)state;
    check_plain(STR("Alice"), false, false, "\"Alice\"");
    check_plain(STR("Bob (Sales)"), false, false, "\"Bob (Sales)\"");
    check_plain(STR("Bob [Sales]"), true, false, "\"Bob (Sales)\"");
    check_plain(STR("[secure]"), true, true, "\"\"");
    check_plain(STR("\\[\\s\\ecure\\] Bob"), true, true, "\"Bob\"");
    /* No-break, ideographic and zero width space; a direction mark in front. */
    check_plain(STR("\xc2\xa0[\xe3\x80\x80secure\xe2\x80\x8b]\xc2\xa0"
                    "Bob"),
                true, true, "\"Bob\"");
    check_plain(STR("\xe2\x80\x8e[secure] Bob"), true, true, "\"Bob\"");
    /* Full-width, lenticular and half brackets; a Cyrillic letter: no level, but no brackets
     * either. */
    check_plain(STR("\xef\xbc\xbbsecure\xef\xbc\xbd Bob"), true, true, "\"Bob\"");
    check_plain(STR("\xe3\x80\x90SECURE\xe3\x80\x91"
                    "Bob"),
                true, true, "\"Bob\"");
    check_plain(STR("[s\xd0\xb5"
                    "cure] Bob"),
                true, false,
                "\"(s\xd0\xb5"
                "cure) Bob\"");
    check_plain(STR("x[secure] Bob"), true, false, "\"x(secure) Bob\"");
    check_plain(STR("[secure"), true, false, "\"(secure\"");
    check_plain(STR("(Secure) Bob"), true, true, "\"Bob\"");
}

static void texts_from_a_network(void **state)
{
    struct sbuf b = sbuf_make(room, sizeof(room));
    struct call c;
    char big[5000];

    (void)state;
    memset(big, 'a', sizeof(big));
    policy_text_person(&b, str_make(big, sizeof(big)));
    assert_int_equal(b.n, POLICY_PERSON_MAX + 3);
    call_init_domains(&c);
    c.party[POLICY_CALLEE].identity.address = STR("sip:x@y\r\nSecure: \x1b[2J\xff");
    assert_non_null(strstr(line_of(&c, POLICY_CALLER), "sip:x@y??Secure: ?[2J?, signed"));
    c.party[POLICY_CALLEE].identity.address = str_make(big, sizeof(big));
    c.party[POLICY_CALLEE].identity.by = str_make(big, sizeof(big));
    c.party[POLICY_CALLEE].identity.via = str_make(big, sizeof(big));
    assert_true(strlen(line_of(&c, POLICY_CALLER)) < POLICY_LINE_MAX);
    c.party[POLICY_CALLEE].identity.known = POLICY_ID_ASSERTED;
    c.party[POLICY_CALLEE].identity.asserted = str_make(big, sizeof(big) - 1);
    c.party[POLICY_CALLEE].identity.diverted_by = str_make(big, sizeof(big));
    assert_true(strlen(line_of(&c, POLICY_CALLER)) < POLICY_LINE_MAX);
}

/* Beside what is signed: the reader is told of both, and who says which. */
static void asserted_beside(void **state)
{
    struct sbuf b = sbuf_make(room, sizeof(room) - 1);
    struct call c;

    (void)state;
    call_init_domains(&c);
    c.party[POLICY_CALLEE].identity.asserted = STR("sip:eve@example3.com\x1b");
    policy_text_explain(&b, &c.f);
    room[b.n] = '\0';
    assert_non_null(strstr(room, "example2.com has signed that. "));
    assert_non_null(strstr(room, " asserts that it is sip:eve@example3.com?."));
}

/* Every builder with every size of room: flag or text, never past the end (ASan looks). */
static void too_little_room(void **state)
{
    struct policy_status s;
    struct call c;

    (void)state;
    call_init_domains(&c);
    c.medium[1][0].keys = call_sdes();
    s = status_of(&c, POLICY_CALLER);
    for (size_t n = 0; n < 2500; n += 7) {
        char *p = test_malloc(n ? n : 1);
        struct sbuf b[6];

        for (size_t i = 0; i < ARRAY_LEN(b); i++)
            b[i] = sbuf_make(p, n);
        policy_text_line(&b[0], &c.f, &s);
        policy_text_explain(&b[1], &c.f);
        policy_text_json(&b[2], &c.f, &s);
        policy_text_facts_json(&b[3], &c.f);
        policy_text_header(&b[4], &s);
        policy_text_display(&b[5], POLICY_SECURE, STR("somebody"));
        assert_true(b[1].overflow); /* it is longer than that */
        assert_true(n > 50 || b[0].overflow);
        test_free(p);
    }
}

static struct sjson_node *parse(struct arena *a, struct sbuf *b)
{
    struct sjson_node *node = NULL;
    struct reason why = {0};

    assert_false(b->overflow);
    if (sjson_parse(a, sbuf_get(b), &node, &why) != 0)
        fail_msg("no JSON: %s: %.*s", why.detail, (int)b->n, b->p);
    return node;
}

static struct str member(const struct sjson_node *n, const char *name)
{
    const struct sjson_node *m = sjson_find(n, str_z(name));

    if (m == NULL)
        fail_msg("no member %s", name);
    return m->text;
}

static void json_of_the_status(void **state)
{
    struct arena *a = arena_new(4096, 1u << 20);
    struct sbuf b = sbuf_make(room, sizeof(room));
    const struct sjson_node *n, *answers, *reasons, *first;
    struct policy_status s;
    struct call c;

    (void)state;
    call_init_domains(&c);
    s = status_of(&c, POLICY_CALLEE);
    policy_text_json(&b, &c.f, &s);
    n = parse(a, &b);
    check_str(member(n, "towards"), "callee");
    check_str(member(n, "level"), "secure");
    check_str(member(n, "expected"), "secure");
    check_str(member(n, "proven"), "true");
    answers = sjson_find(n, STR("answers"));
    assert_int_equal(answers->n, POLICY_QUESTIONS);
    check_str(member(sjson_find(answers, STR("who")), "answer"), "by-domains");
    check_str(member(sjson_find(answers, STR("who")), "because"), "identity-by-us");
    check_str(member(sjson_find(answers, STR("secret")), "answer"), "no");
    reasons = sjson_find(n, STR("reasons"));
    assert_int_equal(reasons->n, s.n_reasons);
    first = sjson_first(reasons);
    check_str(member(first, "code"), "identity-by-us");
    check_str(member(first, "keeps_from"), "end-to-end");
    check_str(member(first, "clause"), "TR/100 7.1");
    check_str(member(first, "party"), "caller");
    check_str(member(sjson_next(first), "medium"), "0");
    arena_free(a);
}

static void json_of_the_facts(void **state)
{
    struct arena *a = arena_new(4096, 1u << 20);
    struct sbuf b = sbuf_make(room, sizeof(room));
    const struct sjson_node *n, *party, *m, *h;
    struct call c;

    (void)state;
    call_init_domains(&c);
    c.party[POLICY_CALLER].hints = POLICY_HINT_ATTEST_C | POLICY_HINT_CARRIER;
    c.party[POLICY_CALLER].identity.by = STR("quote\" \\ and \x01\xff");
    c.party[POLICY_CALLER].identity.attest = 'B';
    c.party[POLICY_CALLER].identity.why = "identity-broken";
    c.hop[POLICY_CALLER][0].below =
        (struct policy_below){POLICY_BELOW_VPN, POLICY_BELOW_DECLARED, STR("ops"), 77};
    c.medium[POLICY_CALLER][0].keys.attacks = KEYING_ATTACK_STRIPPED | KEYING_ATTACK_SAS;
    memset(c.medium[POLICY_CALLER][0].keys.sas, 'y', sizeof(c.medium[0][0].keys.sas));
    policy_text_facts_json(&b, &c.f);
    n = parse(a, &b);
    check_str(member(n, "subject"), "call");
    check_str(member(n, "emergency"), "false");
    party = sjson_first(sjson_find(n, STR("parties")));
    check_str(member(party, "party"), "caller");
    check_str(member(party, "ends_at"), "user");
    assert_int_equal(sjson_find(party, STR("hints"))->n, 2);
    check_str(member(sjson_find(party, STR("identity")), "by"), "quote\" \\ and \x01\xef\xbf\xbd");
    check_str(member(sjson_find(party, STR("identity")), "attest"), "B");
    h = sjson_first(sjson_find(party, STR("hops")));
    check_str(member(h, "version"), "TLSv1.3");
    check_str(member(sjson_find(h, STR("protected_by")), "until_s"), "77");
    m = sjson_first(sjson_find(party, STR("media")));
    check_str(member(m, "method"), "dtls-srtp");
    assert_int_equal(sjson_find(m, STR("attacks"))->n, 2);
    check_str(member(m, "sas"), "yyyyyyyyyyyyyyyy");
    arena_free(a);
}

/* The story of the demonstration's third call: out to a gateway. */
static void the_story(void **state)
{
    struct sbuf b = sbuf_make(room, sizeof(room));
    struct call c;
    const char *t;

    (void)state;
    call_init_domains(&c);
    c.party[POLICY_CALLEE].ends_at = POLICY_ENDS_GATEWAY;
    c.party[POLICY_CALLEE].identity.reached = IDENTITY_REACHED_UNPROVEN;
    c.hop[POLICY_CALLER][0] =
        (struct policy_hop){.transport = TRANSPORT_UDP,
                            .peer = STR("alice's phone"),
                            .below = {POLICY_BELOW_LOCK, POLICY_BELOW_DECLARED, STR("ops"), 0}};
    c.medium[POLICY_CALLEE][0].keys.auth_failures = 3;
    policy_text_explain(&b, &c.f);
    t = done(&b);
    assert_non_null(strstr(t, "sip:alice@example1.com called sip:bob@example2.com.\n"));
    assert_non_null(
        strstr(t, "The caller is sip:alice@example1.com. It is known to us by digest.\n"));
    assert_non_null(strstr(t, "The callee is sip:bob@example2.com. example2.com has signed that. "
                              "The call was diverted, and nobody proves why. It is a gateway to "
                              "the telephone network.\n"));
    assert_non_null(strstr(t, "Signalling with the caller: UDP with alice's phone, not encrypted, "
                              "protected by a locked room as ops has declared, which cannot be "
                              "checked. Nothing lies behind that.\n"));
    assert_non_null(strstr(t, "Signalling with the callee: TLS with example2.com (TLSv1.3, "
                              "TLS_AES_256_GCM_SHA384; each knows the other; forward secret). "
                              "What lies behind that is not known.\n"));
    assert_non_null(strstr(t, "Media 0 (audio) with the callee: dtls-1.2, AEAD_AES_128_GCM, keys "
                              "known to nobody else, proof: media. The signature of example2.com "
                              "vouches for them. We do not touch it. Packets that were not "
                              "authentic: 3.\n"));
    assert_non_null(strstr(t, "Media 0 (audio) with the caller: dtls-1.2, AEAD_AES_128_GCM, keys "
                              "known to nobody else, proof: media. They came straight along our "
                              "own hop. We do not touch it.\n"));
    assert_non_null(strstr(t, "\nFor the caller: Protected: "));
    assert_non_null(strstr(t, "It is not secure, because:\n"));
    assert_non_null(strstr(t, "(ends-at-gateway, TR/100 7.7) [callee]\n"));
    assert_non_null(strstr(t, "(reached-unproven, TR/100 7.5.4) [callee]\n"));
    assert_non_null(strstr(t, "Besides:\n"));
    assert_non_null(strstr(t, "(hop-declared, TR/100 7.2.2) [caller, hop to alice's phone]\n"));
    assert_non_null(strstr(t, "(media-forged-packets, RFC 3711 3.3) [callee, audio]\n"));
    assert_non_null(strstr(t, "Is it assured that nobody learns of the call? No: every system"));
    assert_non_null(strstr(t, "What would make it better:\n  - "));
    assert_non_null(strstr(t, "\nFor the callee: "));
    assert_non_null(strstr(t, "(media-bound-by-hops, TR/100 7.4) [caller, audio]\n"));
    c.f.subject = POLICY_MESSAGE;
    c.f.is_emergency = true;
    b = sbuf_make(room, sizeof(room));
    policy_text_story(&b, &c.f);
    assert_non_null(strstr(done(&b), " sent a message to sip:bob@example2.com: an emergency.\n"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_for_a_person),      cmocka_unit_test(headers_for_phones),
        cmocka_unit_test(the_longest_header),      cmocka_unit_test(display_names),
        cmocka_unit_test(display_names_of_others), cmocka_unit_test(texts_from_a_network),
        cmocka_unit_test(asserted_beside),
        cmocka_unit_test(too_little_room),         cmocka_unit_test(json_of_the_status),
        cmocka_unit_test(json_of_the_facts),       cmocka_unit_test(the_story),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
