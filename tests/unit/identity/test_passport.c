/* PASSporTs: RFC 8225, 8588, 8946, 8862, 9475. */
#include "check.h"

#include "base/limits.h"
#include "base/sbuf.h"
#include "identity/passport.h"
#include "oom.h"
#include "vectors.h"

static struct arena *arena;

static int setup(void **state)
{
    (void)state;
    arena = arena_new(8192, 1 << 20);
    return arena ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    arena_free(arena);
    return 0;
}

/* HEADER.PAYLOAD of two texts. */
static struct str encode(const char *header, const char *payload)
{
    size_t cap = (strlen(header) + strlen(payload)) * 2 + 16;
    char *p = arena_alloc(arena, cap);
    size_t n;

    assert_non_null(p);
    check_err(str_base64_encode(p, cap, header, strlen(header), true), 0);
    n = strlen(p);
    p[n++] = '.';
    check_err(str_base64_encode(p + n, cap - n, payload, strlen(payload), true), 0);
    return str_z(p);
}

static struct str decode_part(struct str input, size_t i)
{
    struct str part, rest = str_cut(input, '.', &part);
    char *p;
    size_t n;

    if (i == 1)
        part = rest;
    p = arena_alloc(arena, part.n + 1);
    assert_non_null(p);
    check_err(str_base64_decode(p, part.n + 1, part, true, &n), 0);
    return str_make(p, n);
}

#define HEADER                                                                                     \
    "{\"alg\":\"ES256\",\"typ\":\"passport\",\"x5u\":\"https://cert.example.org/passport.cer\"}"
#define HEADER_PPT(ppt)                                                                            \
    "{\"alg\":\"ES256\",\"ppt\":\"" ppt                                                            \
    "\",\"typ\":\"passport\",\"x5u\":\"https://cert.example.org/passport.cer\"}"
#define CLAIMS                                                                                     \
    "\"dest\":{\"tn\":[\"12155551213\"]},\"iat\":1443208345,\"orig\":{\"tn\":\"12155551212\"}"

static int parse(const char *header, const char *payload, struct passport *p, struct reason *why)
{
    *why = (struct reason){0};
    return passport_parse_input(arena, encode(header, payload), p, why);
}

static void rfc8224(void **state)
{
    struct passport p;
    struct reason why;

    (void)state;
    arena_reset(arena);
    check_err(passport_parse(arena, STR(RFC8224_FULL), &p, &why), 0);
    assert_int_equal(p.alg, JWS_ES256);
    assert_int_equal(p.type, PASSPORT_BASE);
    check_str(p.x5u, "https://cert.example.org/passport.cer");
    assert_true(p.orig.is_tn);
    check_str(p.orig.text, "12155551212");
    assert_int_equal(p.n_dest, 1);
    assert_false(p.dest[0].is_tn);
    check_str(p.dest[0].text, "sip:alice@example.com");
    assert_int_equal(p.iat, 1443208345);
    assert_true(p.is_loose); /* its iat is a text */
    assert_int_equal(p.n_mky, 0);
    assert_int_equal(p.signature.n, 86);
    check_err(passport_check_deterministic(arena, &p, &why), ERR_REFUSED);
}

/* Appendix A: what we build from its claims is its text. */
static void rfc8225(void **state)
{
    struct passport p, q;
    struct reason why;

    (void)state;
    arena_reset(arena);
    check_err(passport_parse(arena, STR(RFC8225_TOKEN), &p, &why), 0);
    assert_false(p.is_loose);
    check_err(passport_check_deterministic(arena, &p, &why), 0);
    q = (struct passport){.x5u = STR("https://cert.example.org/passport.cer"),
                          .orig = {true, STR("12155551212")},
                          .dest = &(struct passport_id){false, STR("sip:alice@example.com")},
                          .n_dest = 1,
                          .iat = 1471375418};
    check_err(passport_build(arena, &q, &why), 0);
    assert_true(str_eq(p.input, q.input));
}

static void rfc8946(void **state)
{
    struct passport p, inner;
    struct reason why;

    (void)state;
    arena_reset(arena);
    check_err(passport_parse(arena, STR(RFC8946_DIV), &p, &why), 0);
    assert_int_equal(p.type, PASSPORT_DIV);
    check_str(p.div.text, "121555551213");
    check_str(p.dest[0].text, "12155551214");
    check_err(passport_check_deterministic(arena, &p, &why), 0);
    check_err(passport_parse(arena, STR(RFC8946_DIV_O), &p, &why), 0);
    assert_int_equal(p.type, PASSPORT_DIV_O);
    assert_true(p.is_loose); /* its dest is no list */
    check_err(passport_parse(arena, p.opt, &inner, &why), 0);
    assert_int_equal(inner.type, PASSPORT_BASE);
    check_str(inner.dest[0].text, "12155551213");
}

/* RFC 8225 9.1, with the brace that it lost. */
static void rfc8225_media_keys(void **state)
{
    struct passport_key keys[] = {
        {STR("sha-256"), STR("4AADB9B13F82183B540212DF3E5D496B19E57CAB3E4B652E7D463F5442CD54F1")},
        {STR("sha-256"), STR("021ACC5427ABEB9C533F3E4B652E7D463F5442CD54F17A03A27DF9B07F4619B2")},
        {STR("sha-256"), STR("4AADB9B13F82183B540212DF3E5D496B19E57CAB3E4B652E7D463F5442CD54F1")}};
    struct passport p = {.x5u = STR("https://cert.example.org/passport.cer"),
                         .orig = {true, STR("12155551212")},
                         .dest = &(struct passport_id){false, STR("sip:alice@example.com")},
                         .n_dest = 1,
                         .iat = 1443208345,
                         .mky = keys,
                         .n_mky = 3};
    struct passport q;
    struct reason why;

    (void)state;
    arena_reset(arena);
    check_err(passport_build(arena, &p, &why), 0);
    check_str(
        decode_part(p.input, 1),
        "{\"dest\":{\"uri\":[\"sip:alice@example.com\"]},\"iat\":1443208345,\"mky\":[{\"alg\":"
        "\"sha-256\",\"dig\":"
        "\"021ACC5427ABEB9C533F3E4B652E7D463F5442CD54F17A03A27DF9B07F4619B2\"},{\"alg\":\"sha-"
        "256\",\"dig\":\"4AADB9B13F82183B540212DF3E5D496B19E57CAB3E4B652E7D463F5442CD54F1\"}],"
        "\"orig\":{\"tn\":\"12155551212\"}}");
    check_err(passport_parse_input(arena, p.input, &q, &why), 0);
    assert_true(passport_keys_eq(p.mky, p.n_mky, q.mky, q.n_mky));
    assert_false(passport_keys_eq(p.mky, 1, q.mky, q.n_mky));
    assert_int_equal(keys[0].dig.p[0], '4'); /* the caller's list is left as it was */
}

static void built_types(void **state)
{
    static const struct {
        enum passport_type type;
        const char *header, *payload;
    } cases[] = {
        {PASSPORT_SHAKEN, HEADER_PPT("shaken"),
         "{\"attest\":\"A\"," CLAIMS ",\"origid\":\"123e4567-e89b-12d3-a456-426655440000\"}"},
        {PASSPORT_DIV, HEADER_PPT("div"),
         "{\"dest\":{\"tn\":[\"12155551213\"]},\"div\":{\"hi\":\"1.2.1\",\"tn\":\"121555551213\"},"
         "\"iat\":1443208345,\"orig\":{\"tn\":\"12155551212\"}}"},
        {PASSPORT_DIV_O, HEADER_PPT("div-o"),
         "{\"dest\":{\"tn\":[\"12155551213\"]},\"div\":{\"hi\":\"1.2.1\",\"tn\":\"121555551213\"},"
         "\"iat\":1443208345,\"opt\":\"a.b.c\",\"orig\":{\"tn\":\"12155551212\"}}"},
        {PASSPORT_MSEC, HEADER_PPT("msec"), "{" CLAIMS "}"},
        {PASSPORT_RSP, HEADER_PPT("rsp"), "{" CLAIMS "}"},
        {PASSPORT_MSG, HEADER_PPT("msg"),
         "{\"dest\":{\"tn\":[\"12155551213\"]},\"iat\":1443208345,\"msgi\":\"sha256-AAAA\","
         "\"orig\":{"
         "\"tn\":\"12155551212\"}}"},
        {PASSPORT_BASE, HEADER, "{" CLAIMS "}"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct passport p = {.type = cases[i].type,
                             .x5u = STR("https://cert.example.org/passport.cer"),
                             .orig = {true, STR("12155551212")},
                             .dest = &(struct passport_id){true, STR("12155551213")},
                             .n_dest = 1,
                             .iat = 1443208345,
                             .attest = 'A',
                             .origid = STR("123e4567-e89b-12d3-a456-426655440000"),
                             .div = {true, STR("121555551213")},
                             .div_hi = STR("1.2.1"),
                             .opt = STR("a.b.c"),
                             .msgi = STR("sha256-AAAA")};
        struct passport q;
        struct reason why;

        arena_reset(arena);
        check_err(passport_build(arena, &p, &why), 0);
        check_str(decode_part(p.input, 0), cases[i].header);
        check_str(decode_part(p.input, 1), cases[i].payload);
        check_err(passport_parse_input(arena, p.input, &q, &why), 0);
        assert_int_equal(q.type, cases[i].type);
        assert_true(str_eq(q.ppt, passport_type_text(q.type)));
        check_err(passport_check_deterministic(arena, &q, &why), 0);
    }
}

static void built_lists(void **state)
{
    struct passport_id dest[] = {{false, STR("sip:bob@example.net")},
                                 {true, STR("2")},
                                 {false, STR("sip:alice@example.com")},
                                 {true, STR("12125551212")},
                                 {true, STR("2")}};
    struct passport p = {.x5u = STR("https://a.example/c"),
                         .orig = {false, STR("sip:a\"b@example.com")},
                         .dest = dest,
                         .n_dest = 5,
                         .iat = 1};
    struct reason why;

    (void)state;
    arena_reset(arena);
    check_err(passport_build(arena, &p, &why), ERR_INVALID); /* a quote is in no URI */
    p.orig.text = STR("sip:a%22b@example.com");
    check_err(passport_build(arena, &p, &why), 0);
    check_str(
        decode_part(p.input, 1),
        "{\"dest\":{\"tn\":[\"12125551212\",\"2\"],\"uri\":[\"sip:alice@example.com\",\"sip:bob@"
        "example.net\"]},\"iat\":1,\"orig\":{\"uri\":\"sip:a%22b@example.com\"}}");
    p.dest = NULL;
    p.n_dest = 0;
    check_err(passport_build(arena, &p, &why), ERR_INVALID);
    p.dest = dest;
    p.n_dest = 1;
    p.x5u = STR_NULL;
    check_err(passport_build(arena, &p, &why), ERR_INVALID);
    p.x5u = STR("https://a.example/>;x");
    check_err(passport_build(arena, &p, &why), ERR_INVALID);
    p.x5u = STR("https://a.example/c");
    p.type = PASSPORT_RPH;
    check_err(passport_build(arena, &p, &why), ERR_INVALID);
    p.type = PASSPORT_SHAKEN;
    p.origid = STR("x");
    p.attest = 'D';
    check_err(passport_build(arena, &p, &why), ERR_INVALID);
}

static void bad_headers(void **state)
{
    static const struct {
        const char *header;
        int err, status;
    } cases[] = {
        {"{\"alg\":\"none\",\"typ\":\"passport\",\"x5u\":\"https://a\"}", ERR_REFUSED, 438},
        {"{\"alg\":\"HS256\",\"typ\":\"passport\",\"x5u\":\"https://a\"}", ERR_REFUSED, 438},
        {"{\"alg\":\"RS256\",\"typ\":\"passport\",\"x5u\":\"https://a\"}", ERR_UNSUPPORTED, 437},
        {"{\"alg\":256,\"typ\":\"passport\",\"x5u\":\"https://a\"}", ERR_SYNTAX, 438},
        {"{\"typ\":\"passport\",\"x5u\":\"https://a\"}", ERR_SYNTAX, 438},
        {"{\"alg\":\"ES256\",\"typ\":\"JWT\",\"x5u\":\"https://a\"}", ERR_SYNTAX, 438},
        {"{\"alg\":\"ES256\",\"typ\":\"PASSporT\",\"x5u\":\"https://a\"}", ERR_SYNTAX, 438},
        {"{\"alg\":\"ES256\",\"x5u\":\"https://a\"}", ERR_SYNTAX, 438},
        {"{\"alg\":\"ES256\",\"typ\":\"passport\"}", ERR_SYNTAX, 438},
        {"{\"alg\":\"ES256\",\"typ\":\"passport\",\"x5u\":\"\"}", ERR_SYNTAX, 438},
        {"{\"alg\":\"ES256\",\"typ\":\"passport\",\"x5u\":[]}", ERR_SYNTAX, 438},
        {"{\"alg\":\"ES256\",\"typ\":\"passport\",\"x5u\":\"https://a\",\"ppt\":1}", ERR_SYNTAX,
         438},
        {"{\"alg\":\"ES256\",\"typ\":\"passport\",\"x5u\":\"https://a\",\"crit\":[\"exp\"]}",
         ERR_REFUSED, 438},
        {"{\"alg\":\"ES256\",\"typ\":\"passport\",\"x5u\":\"https://a\",\"b64\":false}",
         ERR_REFUSED, 438},
        {"{\"alg\":\"ES256\",\"alg\":\"none\",\"typ\":\"passport\",\"x5u\":\"https://a\"}",
         ERR_SYNTAX, 438},
        {"[]", ERR_SYNTAX, 438},
        {"\"ES256\"", ERR_SYNTAX, 438},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct passport p;
        struct reason why;
        int err;

        arena_reset(arena);
        err = parse(cases[i].header, "{" CLAIMS "}", &p, &why);
        if (err != cases[i].err || why.sip_status != cases[i].status)
            fail_msg("%s gives %d with %u", cases[i].header, err, why.sip_status);
        assert_int_equal(p.input.n, 0);
    }
}

static void bad_claims(void **state)
{
    static const struct {
        const char *header, *payload;
    } cases[] = {
        {HEADER, "{}"},
        {HEADER, "[]"},
        {HEADER, "{\"dest\":{\"tn\":[\"1\"]},\"iat\":1}"},
        {HEADER, "{\"dest\":{\"tn\":[\"1\"]},\"orig\":{\"tn\":\"1\"}}"},
        {HEADER, "{\"iat\":1,\"orig\":{\"tn\":\"1\"}}"},
        {HEADER, "{\"dest\":{},\"iat\":1,\"orig\":{\"tn\":\"1\"}}"},
        {HEADER, "{\"dest\":{\"tn\":[]},\"iat\":1,\"orig\":{\"tn\":\"1\"}}"},
        {HEADER, "{\"dest\":{\"tn\":[1]},\"iat\":1,\"orig\":{\"tn\":\"1\"}}"},
        {HEADER, "{\"dest\":[\"1\"],\"iat\":1,\"orig\":{\"tn\":\"1\"}}"},
        {HEADER, "{\"dest\":{\"tn\":[\"1\"]},\"iat\":-1,\"orig\":{\"tn\":\"1\"}}"},
        {HEADER, "{\"dest\":{\"tn\":[\"1\"]},\"iat\":1.5,\"orig\":{\"tn\":\"1\"}}"},
        {HEADER, "{\"dest\":{\"tn\":[\"1\"]},\"iat\":99999999999999,\"orig\":{\"tn\":\"1\"}}"},
        {HEADER, "{\"dest\":{\"tn\":[\"1\"]},\"iat\":\"\",\"orig\":{\"tn\":\"1\"}}"},
        {HEADER, "{\"dest\":{\"tn\":[\"1\"]},\"iat\":1,\"orig\":{\"tn\":[\"1\"]}}"},
        {HEADER, "{\"dest\":{\"tn\":[\"1\"]},\"iat\":1,\"orig\":{\"tn\":\"1\",\"uri\":\"sip:a\"}}"},
        {HEADER, "{\"dest\":{\"tn\":[\"1\"]},\"iat\":1,\"orig\":\"1\"}"},
        {HEADER, "{\"dest\":{\"tn\":[\"1\"]},\"iat\":1,\"orig\":{\"tn\":\"+1\"}}"},
        {HEADER, "{\"dest\":{\"tn\":[\"1\"]},\"iat\":1,\"orig\":{\"tn\":\"\"}}"},
        {HEADER, "{\"dest\":{\"tn\":[\"1\"]},\"iat\":1,\"orig\":{\"uri\":\"sip:a b\"}}"},
        {HEADER, "{\"dest\":{\"tn\":[\"1\"]},\"iat\":1,\"orig\":{\"uri\":\"sip:a\\nb\"}}"},
        {HEADER, "{" CLAIMS ",\"mky\":[]}"},
        {HEADER, "{" CLAIMS ",\"mky\":{\"alg\":\"sha-256\",\"dig\":\"AA\"}}"},
        {HEADER, "{" CLAIMS ",\"mky\":[{\"alg\":\"sha-256\"}]}"},
        {HEADER, "{" CLAIMS ",\"mky\":[{\"alg\":\"sha-256\",\"dig\":\"AA\",\"x\":1}]}"},
        {HEADER, "{" CLAIMS ",\"mky\":[{\"alg\":\"sha-256\",\"dig\":\"AA:BB\"}]}"},
        {HEADER, "{" CLAIMS ",\"mky\":[{\"alg\":\"sha 256\",\"dig\":\"AA\"}]}"},
        {HEADER_PPT("shaken"), "{" CLAIMS "}"},
        {HEADER_PPT("shaken"), "{" CLAIMS ",\"attest\":\"A\"}"},
        {HEADER_PPT("shaken"), "{" CLAIMS ",\"attest\":\"D\",\"origid\":\"x\"}"},
        {HEADER_PPT("shaken"), "{" CLAIMS ",\"attest\":\"AA\",\"origid\":\"x\"}"},
        {HEADER_PPT("shaken"), "{" CLAIMS ",\"attest\":1,\"origid\":\"x\"}"},
        {HEADER_PPT("div"), "{" CLAIMS "}"},
        {HEADER_PPT("div"), "{" CLAIMS ",\"div\":{\"hi\":\"1\"}}"},
        {HEADER_PPT("div"), "{" CLAIMS ",\"div\":{\"tn\":\"1\"},\"opt\":\"a.b.c\"}"},
        {HEADER_PPT("div-o"), "{" CLAIMS ",\"div\":{\"tn\":\"1\"}}"},
        {HEADER_PPT("div-o"), "{" CLAIMS ",\"div\":{\"tn\":\"1\"},\"opt\":\"..c\"}"},
        {HEADER_PPT("msg"), "{" CLAIMS "}"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct passport p;
        struct reason why;
        int err;

        arena_reset(arena);
        err = parse(cases[i].header, cases[i].payload, &p, &why);
        if (err != ERR_SYNTAX)
            fail_msg("%s gives %d", cases[i].payload, err);
        assert_int_equal(why.sip_status, 438);
    }
}

static void tolerated(void **state)
{
    struct passport p;
    struct reason why;

    (void)state;
    arena_reset(arena);
    /* A type that nobody here knows, and claims that nobody here knows (RFC 8225 8.3). */
    check_err(parse(HEADER_PPT("rcd"), "{" CLAIMS ",\"rcd\":{\"nam\":\"X\"}}", &p, &why), 0);
    assert_int_equal(p.type, PASSPORT_UNKNOWN);
    check_str(p.ppt, "rcd");
    assert_non_null(sjson_find(p.claims, STR("rcd")));
    check_err(parse(HEADER_PPT("rph"), "{" CLAIMS ",\"rph\":{\"auth\":[\"ets.0\"]}}", &p, &why), 0);
    assert_int_equal(p.type, PASSPORT_RPH);
    /* White space and order are the sender's fault, not a reason to refuse what is signed. */
    check_err(
        parse(" {\"x5u\" : \"https://a\", \"typ\":\"passport\",\"alg\":\"ES256\"}",
              "{\"orig\":{\"uri\":\"sip:a@b\"},\"mky\":[{\"dig\":\"0a\",\"alg\":\"SHA-256\"}],"
              "\"iat\":1,\"dest\":{\"uri\":\"sip:c@d\"}}",
              &p, &why),
        0);
    check_str(p.mky[0].alg, "sha-256");
    check_str(p.mky[0].dig, "0A");
    check_err(passport_check_deterministic(arena, &p, &why), ERR_REFUSED);
    /* Whoever signs must know all that is signed. */
    check_err(parse(HEADER, "{" CLAIMS ",\"rcd\":1}", &p, &why), 0);
    check_err(passport_check_deterministic(arena, &p, &why), ERR_REFUSED);
    assert_int_equal(passport_type_parse(STR("SHAKEN")), PASSPORT_UNKNOWN);
    assert_int_equal(passport_type_parse(STR("")), PASSPORT_BASE);
    assert_true(passport_type_may_be_compact(PASSPORT_BASE));
    assert_false(passport_type_may_be_compact(PASSPORT_SHAKEN));
}

static void shapes(void **state)
{
    static const char *const bad[] = {"",      ".",        "..",   "...",  "a",
                                      "a.b",   "a.b.",     ".a.b", "a..b", "a.b.c.d",
                                      "!.b.c", "YQ==.b.c", "..sig"};
    struct passport p;
    struct reason why;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        arena_reset(arena);
        check_err(passport_parse(arena, str_z(bad[i]), &p, &why), ERR_SYNTAX);
    }
    assert_true(passport_is_compact(STR("..x")));
    assert_false(passport_is_compact(STR("..")));
    assert_false(passport_is_compact(STR("a.b.c")));
}

static void too_much(void **state)
{
    static char payload[70000];
    struct sbuf b = sbuf_make(payload, sizeof(payload));
    struct passport p;
    struct reason why;

    (void)state;
    sbuf_lit(&b, "{\"iat\":1,\"orig\":{\"tn\":\"1\"},\"dest\":{\"tn\":[\"0\"");
    for (unsigned i = 1; i <= LIMIT_IDENTITY_DESTS; i++)
        sbuf_fmt(&b, ",\"%u\"", i);
    sbuf_lit(&b, "]}}\0");
    arena_reset(arena);
    check_err(parse(HEADER, payload, &p, &why), ERR_LIMIT);
    b.n = 0;
    sbuf_lit(&b, "{" CLAIMS ",\"mky\":[{\"alg\":\"a\",\"dig\":\"AA\"}");
    for (unsigned i = 1; i <= LIMIT_IDENTITY_KEYS; i++)
        sbuf_lit(&b, ",{\"alg\":\"a\",\"dig\":\"AA\"}");
    sbuf_lit(&b, "]}\0");
    arena_reset(arena);
    check_err(parse(HEADER, payload, &p, &why), ERR_LIMIT);
    memset(payload, ' ', LIMIT_JSON_BYTES + 8);
    payload[LIMIT_JSON_BYTES + 8] = '\0';
    arena_reset(arena);
    check_err(parse(HEADER, payload, &p, &why), ERR_LIMIT);
}

static void message_integrity(void **state)
{
    char msgi[PASSPORT_MSGI_MAX];

    (void)state;
    check_err(passport_msgi_make(STR("abc"), msgi), 0);
    check_str(str_z(msgi), "sha256-ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=");
    check_err(passport_msgi_check(str_z(msgi), STR("abc")), 0);
    check_err(passport_msgi_check(str_z(msgi), STR("abd")), ERR_REFUSED);
    check_err(passport_msgi_check(STR("sha384-ywB1P0WjXou1oD1pmsZQBycsMqsO3tFjGotgWkP/W+"
                                      "2AhgcroefMI1i67KE0yCWn"),
                                  STR("abc")),
              0);
    check_err(passport_msgi_check(STR("sha512-3a81oZNherrMQXNJriBBMRLm+"
                                      "k6JqX6iCp7u5ktV05ohkpkqJ0/BqDa6PCOj/"
                                      "uu9RU1EI2Q86A4qmslPpUyknw=="),
                                  STR("abc")),
              0);
    check_err(passport_msgi_check(STR("md5-kAFQmDzST7DWlj99KOF/cg=="), STR("abc")),
              ERR_UNSUPPORTED);
    check_err(passport_msgi_check(STR("sha256-AAAA"), STR("abc")), ERR_UNSUPPORTED);
    check_err(passport_msgi_check(STR("sha256-"), STR("abc")), ERR_UNSUPPORTED);
    check_err(passport_msgi_check(STR(""), STR("abc")), ERR_UNSUPPORTED);
    check_err(passport_msgi_make(STR_NULL, msgi), 0);
    check_str(str_z(msgi), "sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=");
}

static void no_memory(void **state)
{
    (void)state;
    OOM_SWEEP(60, {
        struct arena *a = arena_new(64, 1 << 16);
        struct passport p;
        struct passport q;
        struct reason why = {0};
        int err = a ? passport_parse(a, STR(RFC8946_DIV), &p, &why) : ERR_NOMEM;

        if (err == 0)
            err = passport_check_deterministic(a, &p, &why);
        if (err == 0)
            err = passport_parse(a, STR(RFC8946_DIV_O), &q, &why);
        assert_true(err == 0 || err == ERR_NOMEM);
        arena_free(a);
    });
    OOM_SWEEP(20, {
        char msgi[PASSPORT_MSGI_MAX];
        int err = passport_msgi_make(STR("x"), msgi);

        if (err == 0)
            err = passport_msgi_check(str_z(msgi), STR("x"));
        assert_true(err == 0 || err == ERR_NOMEM);
    });
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rfc8224),     cmocka_unit_test(rfc8225),
        cmocka_unit_test(rfc8946),     cmocka_unit_test(rfc8225_media_keys),
        cmocka_unit_test(built_types), cmocka_unit_test(built_lists),
        cmocka_unit_test(bad_headers), cmocka_unit_test(bad_claims),
        cmocka_unit_test(tolerated),   cmocka_unit_test(shapes),
        cmocka_unit_test(too_much),    cmocka_unit_test(message_integrity),
        cmocka_unit_test(no_memory),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
