/* Digest authentication against the examples of the RFCs, against values made with another
 * implementation (Python's hashlib), and against what real clients and attackers send. */
#include "base/buf.h"
#include "base/limits.h"
#include "check.h"
#include "identity/identity_priv.h"
#include "oom.h"
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

static struct arena *arena;

static int setup(void **state)
{
    (void)state;
    arena = arena_new(4096, 65536);
    return arena ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    arena_free(arena);
    return 0;
}

static struct digest_credentials parse_ok(const char *text)
{
    struct digest_credentials c;
    struct reason why = {0};
    int err = digest_credentials_parse(arena, str_z(text), &c, &why);

    if (err)
        fail_msg("%s: %s %s", text, why.code, why.detail);
    return c;
}

static int parse_err(const char *text, const char *code)
{
    struct digest_credentials c;
    struct reason why = {0};
    int err = digest_credentials_parse(arena, str_z(text), &c, &why);

    if (err == 0)
        fail_msg("taken: %s", text);
    assert_non_null(why.code);
    assert_string_equal(why.code, code);
    return err;
}

static struct digest_ha1 ha1_of(enum digest_algo a, const char *user, const char *realm,
                                const char *password)
{
    struct digest_ha1 h;

    check_err(digest_ha1_make(a, str_z(user), str_z(realm), str_z(password), &h), 0);
    return h;
}

static void check_ok(const char *text, const struct digest_ha1 *ha1, const char *method,
                     const char *body)
{
    struct digest_credentials c = parse_ok(text);
    struct reason why = {0};

    if (digest_check(&c, ha1, str_z(method), str_z(body), &why) != 0)
        fail_msg("%s: %s", text, why.code);
    /* and everything that is hashed matters */
    check_err(digest_check(&c, ha1, STR("OTHER"), str_z(body), &why), ERR_REFUSED);
    assert_string_equal(why.code, "digest-wrong");
    c.uri = STR("sip:mallory@example.com");
    check_err(digest_check(&c, ha1, str_z(method), str_z(body), NULL), ERR_REFUSED);
}

/* RFC 7616 3.9.1 */
static void test_rfc7616_sha256_and_md5(void **state)
{
    const char *realm = "http-auth@example.org";
    struct digest_ha1 md5 = ha1_of(DIGEST_MD5, "Mufasa", realm, "Circle of Life");
    struct digest_ha1 sha = ha1_of(DIGEST_SHA256, "Mufasa", realm, "Circle of Life");

    (void)state;
    check_ok("Digest username=\"Mufasa\",\r\n    realm=\"http-auth@example.org\",\r\n    "
             "uri=\"/dir/index.html\",\r\n"
             "    algorithm=MD5,\r\n    "
             "nonce=\"7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v\",\r\n    nc=00000001,\r\n"
             "    cnonce=\"f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ\",\r\n    qop=auth,\r\n"
             "    response=\"8ca523f5e9506fed4657c9700eebdbec\",\r\n"
             "    opaque=\"FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS\"",
             &md5, "GET", "");
    check_ok("Digest username=\"Mufasa\", realm=\"http-auth@example.org\", "
             "uri=\"/dir/index.html\", algorithm=SHA-256, "
             "nonce=\"7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v\", nc=00000001, "
             "cnonce=\"f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ\", qop=auth, "
             "response=\"753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1\", "
             "opaque=\"FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS\"",
             &sha, "GET", "");
}

/* RFC 7616 3.9.2 with its erratum 4897 (the printed values were made with another function than
 * SHA-512/256). */
static void test_rfc7616_sha512_256(void **state)
{
    struct digest_ha1 ha1 =
        ha1_of(DIGEST_SHA512_256, "J\xc3\xa4s\xc3\xb8n Doe", "api@example.org", "Secret, or not?");
    struct digest_credentials c;
    struct digest_challenge ch;
    struct reason why;
    char text[1024];
    struct sbuf b = sbuf_make(text, sizeof(text));

    (void)state;
    check_ok("Digest username*=UTF-8''J%C3%A4s%C3%B8n%20Doe, realm=\"api@example.org\", "
             "uri=\"/doe.json\", "
             "algorithm=SHA-512-256, nonce=\"5TsQWLVdgBdmrQ0XsxbDODV+57QdFR34I9HAbC/RVvkK\", "
             "nc=00000001, "
             "cnonce=\"NTg6RKcb9boFIAS3KrFK9BGeh+iDa/sm6jUMp2wds69v\", qop=auth, "
             "response=\"3798d4131c277846293534c3edc11bd8a5e4cdcbff78b05db9d95eeb1cec68a5\", "
             "opaque=\"HRPCssKJSGjCrkzDg8OhwpzCiGPChXYjwrI2QmXDnsOS\", userhash=false",
             &ha1, "GET", "");
    /* the client's side, with its name hashed */
    check_err(digest_challenge_parse(
                  arena,
                  STR("Digest realm=\"api@example.org\", qop=\"auth\", algorithm=SHA-512-256, "
                      "nonce=\"5TsQWLVdgBdmrQ0XsxbDODV+57QdFR34I9HAbC/RVvkK\", "
                      "opaque=\"HRPCssKJSGjCrkzDg8OhwpzCiGPChXYjwrI2QmXDnsOS\", charset=UTF-8, "
                      "userhash=true"),
                  &ch, &why),
              0);
    check_err(
        digest_answer_build(&b,
                            &(struct digest_answer_args){
                                .challenge = &ch,
                                .username = STR("J\xc3\xa4s\xc3\xb8n Doe"),
                                .method = STR("GET"),
                                .uri = STR("/doe.json"),
                                .ha1 = &ha1,
                                .nc = 1,
                                .cnonce = STR("NTg6RKcb9boFIAS3KrFK9BGeh+iDa/sm6jUMp2wds69v")}),
        0);
    check_err(digest_credentials_parse(arena, sbuf_get(&b), &c, &why), 0);
    check_str(c.username, "793263caabb707a56211940d90411ea4a575adeccb7e360aeb624ed06ece9b0b");
    check_str(c.response, "3798d4131c277846293534c3edc11bd8a5e4cdcbff78b05db9d95eeb1cec68a5");
    assert_true(c.userhash);
}

/* RFC 2617 3.5: no algorithm means MD5. */
static void test_rfc2617(void **state)
{
    struct digest_ha1 ha1 = ha1_of(DIGEST_MD5, "Mufasa", "testrealm@host.com", "Circle Of Life");

    (void)state;
    check_ok("Digest username=\"Mufasa\", realm=\"testrealm@host.com\", "
             "nonce=\"dcd98b7102dd2f0e8b11d0f600bfb0c093\", "
             "uri=\"/dir/index.html\", qop=auth, nc=00000001, cnonce=\"0a4f113b\", "
             "response=\"6629fae49393a05397450978507c4ef1\", "
             "opaque=\"5ccc069c403ebaf9f0171e9517f40e41\"",
             &ha1, "GET", "");
}

/* The credentials of RFC 3261 22.4's bob, each algorithm, plain and -sess, auth and auth-int;
 * values made with hashlib. */
static void test_all_variants(void **state)
{
    static const struct {
        enum digest_algo algo;
        const char *name, *qop, *response;
    } cases[] = {
        {DIGEST_MD5, "MD5", "auth", "89eb0059246c02b2f6ee02c7961d5ea3"},
        {DIGEST_MD5, "MD5", "auth-int", "77226bb823dc077c1ad3537415667bae"},
        {DIGEST_MD5, "MD5-sess", "auth", "e4e4ea61d186d07a92c9e1f6919902e9"},
        {DIGEST_MD5, "MD5-sess", "auth-int", "8527c9ab1b4eed3fd75491f811944e26"},
        {DIGEST_SHA256, "SHA-256", "auth",
         "b3b5a6c69453abafaab9ae4dccdac90a076b6c80615d5f3498e7433b6e93bf4f"},
        {DIGEST_SHA256, "SHA-256", "auth-int",
         "554a9ffe79ce71c3cb6c9630deddd2787d8033f895e5cdef6a73c8e84ed4c979"},
        {DIGEST_SHA256, "SHA-256-sess", "auth",
         "5da59c9ca40954be9d5063a15a174066c8251be2c10cf47c144c366dc7daf792"},
        {DIGEST_SHA256, "SHA-256-sess", "auth-int",
         "0b4a1efc19e1b701ec5775b6b16dde0fc416102e34a6c5bd6f957b20b5d79170"},
        {DIGEST_SHA512_256, "SHA-512-256", "auth",
         "7f1a09de0f19af0a1eac2b28d33e3f2fb89cca1ad8fb01bba5e1883b288bac14"},
        {DIGEST_SHA512_256, "SHA-512-256", "auth-int",
         "e9a7fbc1c80a10421c59a0c982f28d40e0ddc7b62ef3dc4faf68f179c6e05922"},
        {DIGEST_SHA512_256, "SHA-512-256-sess", "auth",
         "077d9677be83f41f162d1a4453dc163389919f81e5927391d972f477da767633"},
        {DIGEST_SHA512_256, "SHA-512-256-sess", "auth-int",
         "0220683d8c9faccc1d05bd2ef0e7ccdff87eacd5f06fb6bfd9cd7d3acf66a00b"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct digest_ha1 ha1 = ha1_of(cases[i].algo, "bob", "biloxi.com", "zanzibar");
        struct digest_challenge ch;
        struct digest_credentials c;
        struct reason why;
        char text[1024], challenge[512];
        struct sbuf b = sbuf_make(text, sizeof(text));
        bool is_int = strcmp(cases[i].qop, "auth-int") == 0;

        snprintf(text, sizeof(text),
                 "Digest username=\"bob\", realm=\"biloxi.com\", "
                 "nonce=\"dcd98b7102dd2f0e8b11d0f600bfb0c093\", "
                 "uri=\"sip:bob@biloxi.com\", qop=%s, nc=00000001, cnonce=\"0a4f113b\", "
                 "response=\"%s\", "
                 "opaque=\"5ccc069c403ebaf9f0171e9517f40e41\", algorithm=%s",
                 cases[i].qop, cases[i].response, cases[i].name);
        check_ok(text, &ha1, "INVITE", "v=0\r\n");
        c = parse_ok(text);
        check_err(digest_check(&c, &ha1, STR("INVITE"), STR("v=1\r\n"), NULL),
                  is_int ? ERR_REFUSED : 0);

        /* our own client gives the same answer */
        snprintf(challenge, sizeof(challenge),
                 "Digest realm=\"biloxi.com\", nonce=\"dcd98b7102dd2f0e8b11d0f600bfb0c093\", "
                 "qop=\"%s\", algorithm=%s",
                 cases[i].qop, cases[i].name);
        check_err(digest_challenge_parse(arena, str_z(challenge), &ch, &why), 0);
        check_err(
            digest_answer_build(&b, &(struct digest_answer_args){.challenge = &ch,
                                                                 .username = STR("bob"),
                                                                 .method = STR("INVITE"),
                                                                 .uri = STR("sip:bob@biloxi.com"),
                                                                 .body = STR("v=0\r\n"),
                                                                 .cnonce = STR("0a4f113b"),
                                                                 .ha1 = &ha1,
                                                                 .nc = 1}),
            0);
        check_err(digest_credentials_parse(arena, sbuf_get(&b), &c, &why), 0);
        check_str(c.response, cases[i].response);
    }
}

/* RFC 8760 2.6 item 7: without a body auth-int hashes the empty string. */
static void test_auth_int_without_body(void **state)
{
    struct digest_ha1 ha1 = ha1_of(DIGEST_SHA256, "bob", "biloxi.com", "zanzibar");
    struct digest_challenge ch = {.realm = STR("biloxi.com"),
                                  .nonce = STR("n"),
                                  .algo = DIGEST_SHA256,
                                  .qop_auth = true,
                                  .qop_auth_int = true};
    struct digest_answer_args args = {.challenge = &ch,
                                      .username = STR("bob"),
                                      .method = STR("BYE"),
                                      .uri = STR("sip:a@b"),
                                      .cnonce = STR("c"),
                                      .ha1 = &ha1,
                                      .nc = 255,
                                      .prefer_int = true};
    char text[1024];
    struct sbuf b = sbuf_make(text, sizeof(text));
    struct digest_credentials c;
    struct reason why;

    (void)state;
    check_err(digest_answer_build(&b, &args), 0);
    check_err(digest_credentials_parse(arena, sbuf_get(&b), &c, &why), 0);
    check_str(c.qop, "auth-int");
    check_str(c.nc_text, "000000ff");
    assert_int_equal(c.nc, 255);
    check_err(digest_check(&c, &ha1, STR("BYE"), STR_NULL, &why), 0);
    check_err(digest_check(&c, &ha1, STR("BYE"), STR(""), &why), 0);
    check_err(digest_check(&c, &ha1, STR("BYE"), STR("x"), &why), ERR_REFUSED);
}

/* RFC 2069 servers: no qop is offered (RFC 3261 22.4 item 8). We answer them; we do not accept it
 * ourselves. */
static void test_without_qop(void **state)
{
    struct digest_ha1 ha1 = ha1_of(DIGEST_MD5, "bob", "biloxi.com", "zanzibar");
    struct digest_challenge ch;
    struct digest_credentials c;
    struct reason why = {0};
    char text[512];
    struct sbuf b = sbuf_make(text, sizeof(text));
    struct digest_answer_args args = {.challenge = &ch,
                                      .username = STR("bob"),
                                      .method = STR("REGISTER"),
                                      .uri = STR("sip:biloxi.com"),
                                      .ha1 = &ha1};

    (void)state;
    check_err(digest_challenge_parse(
                  arena,
                  STR("Digest realm=\"biloxi.com\",nonce=\"dcd98b7102dd2f0e8b11d0f600bfb0c093\""),
                  &ch, &why),
              0);
    assert_false(ch.qop_auth || ch.qop_auth_int || ch.sess);
    check_err(digest_answer_build(&b, &args), 0);
    check_err(digest_credentials_parse(arena, sbuf_get(&b), &c, &why), 0);
    check_str(c.response, "4441045a8075db3ead543693997e2a0e");
    assert_true(str_is_empty(c.qop) && str_is_empty(c.cnonce) && c.nc == 0);
    check_err(digest_check(&c, &ha1, STR("REGISTER"), STR_NULL, &why), ERR_REFUSED);
    assert_string_equal(why.code, "digest-qop-missing");
    /* -sess needs a cnonce, and that needs qop */
    check_err(
        digest_challenge_parse(arena, STR("Digest realm=r,nonce=n,algorithm=MD5-sess"), &ch, &why),
        0);
    b = sbuf_make(text, sizeof(text));
    check_err(digest_answer_build(&b, &args), ERR_UNSUPPORTED);
    /* a hash of another algorithm, and too little room */
    check_err(
        digest_challenge_parse(arena, STR("Digest realm=r,nonce=n,algorithm=SHA-256"), &ch, &why),
        0);
    check_err(digest_answer_build(&b, &args), ERR_INVALID);
    check_err(digest_challenge_parse(arena, STR("Digest realm=r,nonce=n"), &ch, &why), 0);
    for (size_t n = 0; n < 100; n++) {
        b = sbuf_make(text, n);
        check_err(digest_answer_build(&b, &args), ERR_LIMIT);
    }
}

/* RFC 7616 3.5 */
static void test_rspauth(void **state)
{
    struct digest_ha1 ha1 = ha1_of(DIGEST_SHA256, "bob", "biloxi.com", "zanzibar");
    struct digest_credentials c = parse_ok("Digest username=\"bob\", realm=\"biloxi.com\", "
                                           "nonce=\"dcd98b7102dd2f0e8b11d0f600bfb0c093\", "
                                           "uri=\"sip:bob@biloxi.com\", qop=auth, nc=00000001, "
                                           "cnonce=\"0a4f113b\", response=\"\", algorithm=SHA-256");
    struct digest_ha1 other = ha1_of(DIGEST_MD5, "bob", "biloxi.com", "zanzibar");
    struct digest_info info = {
        .nextnonce = STR("n\"x"), .qop = STR("auth"), .cnonce = c.cnonce, .nc_text = c.nc_text};
    char hex[2 * DIGEST_BYTES_MAX + 1], text[512];
    struct sbuf b = sbuf_make(text, sizeof(text));
    struct digest_info got;
    struct reason why;

    (void)state;
    check_err(digest_rspauth(&c, &ha1, STR_NULL, hex), 0);
    assert_string_equal(hex, "eac28e17b8d5d63e96e148e02f1b50afcf750aeecb3856ac20399028c0ee51e6");
    check_err(digest_rspauth(&c, &other, STR_NULL, hex), ERR_INVALID);
    info.rspauth = STR("eac28e17b8d5d63e96e148e02f1b50afcf750aeecb3856ac20399028c0ee51e6");
    digest_info_build(&b, &info);
    check_str(sbuf_get(&b),
              "nextnonce=\"n\\\"x\", qop=auth, "
              "rspauth=\"eac28e17b8d5d63e96e148e02f1b50afcf750aeecb3856ac20399028c0ee51e6\", "
              "cnonce=\"0a4f113b\", nc=00000001");
    check_err(digest_info_parse(arena, sbuf_get(&b), &got, &why), 0);
    check_str(got.nextnonce, "n\"x");
    check_err(digest_info_check(&got, &c, &ha1, STR_NULL, &why), 0);
    got.cnonce = STR("0a4f113c");
    check_err(digest_info_check(&got, &c, &ha1, STR_NULL, &why), ERR_REFUSED);
    got.cnonce = c.cnonce;
    got.nc_text = STR("00000002");
    check_err(digest_info_check(&got, &c, &ha1, STR_NULL, &why), ERR_REFUSED);
    got.nc_text = STR_NULL; /* a server that leaves them out is taken as meaning the same ones */
    check_err(digest_info_check(&got, &c, &ha1, STR_NULL, &why), 0);
    got.rspauth = STR("eac28e17b8d5d63e96e148e02f1b50afcf750aeecb3856ac20399028c0ee51e7");
    check_err(digest_info_check(&got, &c, &ha1, STR_NULL, &why), ERR_REFUSED);
    assert_string_equal(why.code, "digest-rspauth-wrong");
}

/* What phones in the field send. */
static void test_tolerance(void **state)
{
    struct digest_credentials c;

    (void)state;
    c = parse_ok("digest USERNAME = \"bob\" ,Realm=\t\"biloxi.com\",,\r\n nonce=\"abc\", "
                 "uri=sip:biloxi.com;transport=tls, "
                 "response=\"00\", algorithm=\"md5\", qop=\"auth\", nc=\"0000000A\", cnonce=xyz, "
                 "x-vendor=1, , flag=\"\",");
    check_str(c.username, "bob");
    check_str(c.realm, "biloxi.com");
    check_str(c.uri, "sip:biloxi.com;transport=tls");
    check_str(c.qop, "auth");
    check_str(c.cnonce, "xyz");
    check_str(c.nc_text, "0000000A");
    assert_int_equal(c.nc, 10);
    assert_true(c.has_algo && c.algo == DIGEST_MD5 && !c.sess);
    c = parse_ok("Digest username=\"a\\\"b\\\\c, d\", realm=\"two\r\n  lines\", nonce=\"n\", "
                 "uri=\"sip:x\", response=\"r\"");
    check_str(c.username, "a\"b\\c, d");
    check_str(c.realm, "two lines");
    assert_false(c.has_algo);
    assert_int_equal(c.nc, 0);
    /* before a first challenge (RFC 8760 2.7) */
    c = parse_ok("Digest "
                 "username=\"bob@biloxi.com\",realm=\"biloxi.com\",nonce=\"\",uri=\"sip:biloxi."
                 "com\",response=\"\"");
    assert_true(str_is_empty(c.nonce) && str_is_empty(c.response));
    check_err(digest_check(&c, &(struct digest_ha1){.algo = DIGEST_MD5, .n = 16}, STR("REGISTER"),
                           STR_NULL, NULL),
              ERR_REFUSED);
    /* capital hex digits in the response */
    struct digest_ha1 ha1 = ha1_of(DIGEST_MD5, "Mufasa", "testrealm@host.com", "Circle Of Life");
    check_ok("Digest username=\"Mufasa\", realm=\"testrealm@host.com\", "
             "nonce=\"dcd98b7102dd2f0e8b11d0f600bfb0c093\", "
             "uri=\"/dir/index.html\", qop=auth, nc=00000001, cnonce=\"0a4f113b\", "
             "response=\"6629FAE49393A05397450978507C4EF1\"",
             &ha1, "GET", "");
}

#define BASE "Digest username=\"b\",realm=\"r\",nonce=\"n\",uri=\"sip:x\",response=\"00\""

static void test_refusals(void **state)
{
    static const char *const broken[] = {
        "Digest",
        "Digest ,,",
        "Digest username",
        "Digest username=\"b",
        "Digest username=\"b\\",
        BASE ",x=\"\\\"",
        BASE " x=1",
        BASE ",=1",
        BASE ",x y=1",
        BASE ",x=1 2",
        BASE ",x=a\"b\"",
        BASE ",x=\"a\"b",
        BASE ",x=\001",
        BASE ",x=\"\001\"",
        BASE ",x=\"\\\r\n\"",
        BASE ",x=\177",
        BASE ";x=1",
        BASE ",nc=0000000g",
        BASE ",nc=000000001",
        BASE ",nc=-1",
        BASE ",username*=UTF-8''x",
        "Digest realm=r,nonce=n,uri=u,response=00",
        "Digest username*=UTF-8''%ff,realm=r,nonce=n,uri=u,response=00",
        "Digest username*=UTF-8''%0a,realm=r,nonce=n,uri=u,response=00",
        "Digest username*=UTF-8''%4,realm=r,nonce=n,uri=u,response=00",
        "Digest username*=UTF-8''%4x,realm=r,nonce=n,uri=u,response=00",
        "Digest username*=ISO-8859-1''x,realm=r,nonce=n,uri=u,response=00",
        "Digest username*=x,realm=r,nonce=n,uri=u,response=00",
    };
    static const char *const missing[] = {
        "Digest username=b,nonce=n,uri=u,response=00",
        "Digest username=b,realm=r,uri=u,response=00",
        "Digest username=b,realm=r,nonce=n,response=00",
        "Digest username=b,realm=r,nonce=n,uri=u",
    };
    static const char *const twice[] = {
        BASE ",realm=\"r\"",           BASE ",NONCE=x",    BASE ",x=1,y=2,X=3",
        BASE ",qop=auth,qop=auth-int", BASE ",username=c",
    };
    char big[16384];
    struct digest_credentials c;
    struct reason why;
    size_t n;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(broken); i++) {
        int err = digest_credentials_parse(arena, str_z(broken[i]), &c, &why);

        if (i < 2 ? err == 0 : err != ERR_SYNTAX)
            fail_msg("%s: %d", broken[i], err);
    }
    for (size_t i = 0; i < ARRAY_LEN(missing); i++)
        check_err(parse_err(missing[i], "digest-parameter-missing"), ERR_SYNTAX);
    for (size_t i = 0; i < ARRAY_LEN(twice); i++)
        check_err(parse_err(twice[i], "digest-parameter-twice"), ERR_SYNTAX);
    check_err(parse_err("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==", "auth-scheme-unknown"),
              ERR_UNSUPPORTED);
    check_err(parse_err("Bearer abc", "auth-scheme-unknown"), ERR_UNSUPPORTED);
    check_err(parse_err("", "auth-scheme-unknown"), ERR_UNSUPPORTED);
    check_err(parse_err("DigestX username=b", "auth-scheme-unknown"), ERR_UNSUPPORTED);
    check_err(parse_err(BASE ",algorithm=AKAv1-MD5", "digest-algorithm-unknown"), ERR_UNSUPPORTED);
    check_err(parse_err(BASE ",algorithm=-sess", "digest-algorithm-unknown"), ERR_UNSUPPORTED);
    check_err(parse_err(BASE ",algorithm=\"\"", "digest-algorithm-unknown"), ERR_UNSUPPORTED);
    check_err(parse_err(BASE ",algorithm=SHA-2567", "digest-algorithm-unknown"), ERR_UNSUPPORTED);
    /* ... but whose they are can be told */
    check_err(digest_credentials_parse(arena, STR(BASE ",algorithm=SHA-1"), &c, &why),
              ERR_UNSUPPORTED);
    check_str(c.realm, "r");
    check_str(c.nonce, "n");

    /* sizes */
    n = (size_t)snprintf(big, sizeof(big), "%s,x=\"", BASE);
    memset(big + n, 'x', LIMIT_DIGEST_VALUE_BYTES + 1);
    strcpy(big + n + LIMIT_DIGEST_VALUE_BYTES, "\"");
    (void)parse_ok(big);
    strcpy(big + n + LIMIT_DIGEST_VALUE_BYTES, "x\"");
    check_err(parse_err(big, "digest-too-large"), ERR_LIMIT);
    n = (size_t)snprintf(big, sizeof(big), "%s", BASE);
    for (unsigned i = 0; i < LIMIT_DIGEST_PARAMS - 5; i++)
        n += (size_t)snprintf(big + n, sizeof(big) - n, ",x%u=", i);
    (void)parse_ok(big);
    strcat(big, ",y=1");
    check_err(parse_err(big, "digest-too-large"), ERR_LIMIT);
}

/* Who answers in another way than asked is not let in by accident. */
static void test_check_refuses(void **state)
{
    struct digest_ha1 ha1 = ha1_of(DIGEST_SHA256, "b", "r", "p"), none = {.algo = DIGEST_SHA256};
    struct digest_credentials c = parse_ok(BASE ",algorithm=SHA-256,qop=auth,nc=00000001,cnonce=c");
    struct digest_credentials d = c;
    struct reason why = {0};

    (void)state;
    check_err(digest_check(&c, &ha1, STR("M"), STR_NULL, &why), ERR_REFUSED);
    assert_string_equal(why.code, "digest-wrong"); /* "00" is too short */
    check_err(digest_check(&c, &none, STR("M"), STR_NULL, &why), ERR_REFUSED);
    assert_string_equal(why.code, "digest-algorithm-mismatch");
    d.algo = DIGEST_SHA512_256; /* of the same length */
    check_err(digest_check(&d, &ha1, STR("M"), STR_NULL, &why), ERR_REFUSED);
    assert_string_equal(why.code, "digest-algorithm-mismatch");
    d = c;
    d.qop = STR("auth,auth-int");
    check_err(digest_check(&d, &ha1, STR("M"), STR_NULL, &why), ERR_REFUSED);
    assert_string_equal(why.code, "digest-qop-unknown");
    d = c;
    d.nc = 0;
    check_err(digest_check(&d, &ha1, STR("M"), STR_NULL, &why), ERR_REFUSED);
    d = c;
    d.cnonce = STR_NULL;
    check_err(digest_check(&d, &ha1, STR("M"), STR_NULL, &why), ERR_REFUSED);
    d = c;
    d.response = STR("zz11223344556677889900112233445566778899001122334455667788990011");
    check_err(digest_check(&d, &ha1, STR("M"), STR_NULL, &why), ERR_REFUSED);
}

static void test_challenge(void **state)
{
    struct digest_challenge c = {.realm = STR("a\"b"),
                                 .nonce = STR("n"),
                                 .opaque = STR("o"),
                                 .domain = STR("sip:x"),
                                 .algo = DIGEST_SHA512_256,
                                 .sess = true,
                                 .stale = true,
                                 .qop_auth = true,
                                 .qop_auth_int = true,
                                 .userhash = true};
    struct digest_challenge d;
    struct reason why;
    char text[512];
    struct sbuf b = sbuf_make(text, sizeof(text));

    (void)state;
    digest_challenge_build(&b, &c);
    check_str(sbuf_get(&b),
              "Digest realm=\"a\\\"b\", domain=\"sip:x\", nonce=\"n\", opaque=\"o\", stale=true, "
              "algorithm=SHA-512-256-sess, qop=\"auth,auth-int\", userhash=true");
    check_err(digest_challenge_parse(arena, sbuf_get(&b), &d, &why), 0);
    check_str(d.realm, "a\"b");
    check_str(d.domain, "sip:x");
    check_str(d.opaque, "o");
    assert_true(d.sess && d.stale && d.qop_auth && d.qop_auth_int && d.userhash &&
                d.algo == DIGEST_SHA512_256);
    b = sbuf_make(text, sizeof(text));
    c = (struct digest_challenge){
        .realm = STR("r"), .nonce = STR("n"), .algo = DIGEST_MD5, .qop_auth = true};
    digest_challenge_build(&b, &c);
    check_str(sbuf_get(&b), "Digest realm=\"r\", nonce=\"n\", algorithm=MD5, qop=\"auth\"");
    check_err(
        digest_challenge_parse(
            arena, STR("Digest realm=r,nonce=n,qop=\"auth-conf , AUTH-INT\",stale=TRUE"), &d, &why),
        0);
    assert_true(d.qop_auth_int && !d.qop_auth && d.stale);
    check_err(
        digest_challenge_parse(arena, STR("Digest realm=r,nonce=n,qop=\"auth-conf\""), &d, &why),
        ERR_UNSUPPORTED);
    check_err(
        digest_challenge_parse(arena, STR("Digest realm=r,nonce=n,algorithm=SHA-3"), &d, &why),
        ERR_UNSUPPORTED);
    check_err(digest_challenge_parse(arena, STR("Digest realm=r"), &d, &why), ERR_SYNTAX);
    check_err(digest_challenge_parse(arena, STR("Digest nonce=r"), &d, &why), ERR_SYNTAX);
    check_err(digest_challenge_parse(arena, STR("Basic realm=r"), &d, &why), ERR_UNSUPPORTED);
}

/* The rspauth that comes with a check is the one that is made alone, and comes with right answers only. What is kept of one request
 * is not taken for another's that looks like it. */
static void test_check_rspauth(void **state)
{
    static const struct str methods[] = {{"REGISTER", 8}, {"RUBBISH", 7}, {"R", 1}, {"INVITE", 6}};
    static const struct str uris[] = {{"sip:a.test", 10}, {"sip:b.test", 10}, {"", 0}, {"sip:ab.test", 11}};

    (void)state;
    for (size_t i = 0; i < 3 * DIGEST_ALGO_N * ARRAY_LEN(methods) * ARRAY_LEN(uris); i++) {
        struct digest_challenge ch = {.realm = STR("r"), .nonce = STR("n"), .algo = (enum digest_algo)(i % DIGEST_ALGO_N),
                                      .qop_auth = i & 1, .qop_auth_int = true};
        struct str method = methods[i / DIGEST_ALGO_N % 4], uri = uris[i / DIGEST_ALGO_N / 4 % 4];
        char text[1024], alone[2 * DIGEST_BYTES_MAX + 1], with[2 * DIGEST_BYTES_MAX + 1];
        struct arena *a = arena_new(1024, 65536);
        struct sbuf b = sbuf_make(text, sizeof(text));
        struct digest_credentials c;
        struct digest_ha1 ha1;
        struct reason why;

        assert_non_null(a);
        check_err(digest_ha1_make(ch.algo, STR("u"), ch.realm, STR("p"), &ha1), 0);
        check_err(digest_answer_build(&b, &(struct digest_answer_args){.challenge = &ch, .username = STR("u"), .method = method,
                                                                       .uri = uri, .body = STR("b"), .cnonce = STR("c"), .ha1 = &ha1,
                                                                       .nc = 1}),
                  0);
        check_err(digest_credentials_parse(a, sbuf_get(&b), &c, &why), 0);
        check_err(digest_check_rspauth(&c, &ha1, method, STR("b"), with, &why), 0);
        check_err(digest_rspauth(&c, &ha1, STR(""), alone), 0);
        assert_string_equal(with, alone);
        check_err(digest_check_rspauth(&c, &ha1, STR("RUBBISH!"), STR("b"), with, &why), ERR_REFUSED);
        assert_string_equal(with, "");
        c.uri = STR("sip:c.test");
        check_err(digest_check_rspauth(&c, &ha1, method, STR("b"), with, &why), ERR_REFUSED);
        assert_string_equal(with, "");
        arena_free(a);
    }
}

/* Longer than the hash's gathering buffer: pieces and the whole give the same. */
static void test_long_input(void **state)
{
    static const size_t lens[] = {0, 1, 383, 384, 385, 767, 768, 769, 1000, 5000, 65535};
    static const char *const names[DIGEST_ALGO_N] = {"MD5", "SHA2-256", "SHA2-512/256"};
    char *body = malloc(65536);

    (void)state;
    assert_non_null(body);
    memset(body, 'x', 65536);
    for (size_t algo = 0; algo < DIGEST_ALGO_N; algo++) {
        EVP_MD *md = EVP_MD_fetch(NULL, names[algo], NULL);

        assert_non_null(md);
        for (size_t i = 0; i < ARRAY_LEN(lens); i++) {
            for (size_t cut = 0; cut <= lens[i]; cut += 1 + lens[i] / 7) {
                uint8_t a[DIGEST_BYTES_MAX], b[EVP_MAX_MD_SIZE], c[DIGEST_BYTES_MAX];
                unsigned n;
                struct hash h, copy;

                hash_start(&h, (enum digest_algo)algo);
                hash_add(&h, str_make(body, cut));
                if (cut % 2)
                    hash_flush(&h);
                hash_copy(&copy, &h);
                hash_add(&h, str_make(body + cut, lens[i] - cut));
                hash_add(&copy, str_make(body + cut, lens[i] - cut));
                check_err(hash_finish(&h, a), 0);
                check_err(hash_finish(&copy, c), 0);
                assert_int_equal(EVP_Digest(body, lens[i], b, &n, md, NULL), 1);
                assert_int_equal(n, hash_len((enum digest_algo)algo));
                assert_memory_equal(a, b, n);
                assert_memory_equal(c, b, n);
                hash_wipe(&h);
                for (size_t k = 0; k < sizeof(h); k++)
                    assert_int_equal(((const uint8_t *)&h)[k], 0);
            }
        }
        EVP_MD_free(md);
    }
    free(body);
}

/* ---- memory: arena blocks fail by base/fault.h, OpenSSL's own by these ---- */

static void *crypto_alloc(size_t n, const char *file, int line)
{
    (void)file;
    (void)line;
    return fault_hit() ? NULL : malloc(n);
}

static void *crypto_realloc(void *p, size_t n, const char *file, int line)
{
    (void)file;
    (void)line;
    return fault_hit() ? NULL : realloc(p, n);
}

static void crypto_free(void *p, const char *file, int line)
{
    (void)file;
    (void)line;
    free(p);
}

static void *sweep_thread(void *arg)
{
    (void)arg;
    OOM_SWEEP(200, {
        struct arena *a = arena_new(64, 65536);
        struct digest_ha1 ha1 = {0};
        struct digest_credentials c;
        struct digest_challenge ch;
        struct digest_info info;
        char text[1024];
        struct sbuf b = sbuf_make(text, sizeof(text));
        struct reason why = {0};

        if (a) {
            int err = digest_challenge_parse(a,
                                             STR("Digest realm=\"r\\\"r\", nonce=\"a\\\\b\", "
                                                 "algorithm=SHA-256, qop=\"auth,auth-int\""),
                                             &ch, &why);
            if (err == 0) {
                err = digest_ha1_make(DIGEST_SHA256, STR("u"), ch.realm, STR("p"), &ha1);
                if (err == 0)
                    err = digest_answer_build(&b,
                                              &(struct digest_answer_args){.challenge = &ch,
                                                                           .username = STR("u"),
                                                                           .method = STR("INVITE"),
                                                                           .uri = STR("sip:x"),
                                                                           .body = STR("b"),
                                                                           .cnonce = STR("c"),
                                                                           .nc = 1,
                                                                           .ha1 = &ha1,
                                                                           .prefer_int = true});
                if (err == 0)
                    err = digest_credentials_parse(a, sbuf_get(&b), &c, &why);
                if (err == 0)
                    err = digest_check(&c, &ha1, STR("INVITE"), STR("b"), &why);
                if (err == 0)
                    err = digest_info_parse(a, STR("nextnonce=\"\\\"\""), &info, &why);
            }
            if (err != 0 && err != ERR_NOMEM)
                fail_msg("out of memory gives %d", err);
        }
        arena_free(a);
        buf_pool_done();
    });
    return NULL;
}

static void test_no_memory(void **state)
{
    pthread_t t;

    (void)state;
    sweep_thread(NULL);
    /* a thread that has no contexts yet has to make them, and gives them back at its end (ASan
     * looks) */
    assert_int_equal(pthread_create(&t, NULL, sweep_thread, NULL), 0);
    pthread_join(t, NULL);
}

/* ---- cost: `test_identity_digest bench` ---- */

static double now_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec * 1e9 + (double)ts.tv_nsec;
}

static void bench(void)
{
    enum { N = 200000 };
    struct arena *a = arena_new(4096, 65536);
    struct digest_nonce_key key = {.now = {1}};
    struct digest_replay *replay = digest_replay_new(262144);
    struct str realm = STR("bench.test"), binding = STR("127.0.0.1:5060");

    if (!a || !replay)
        exit(1);
    for (int algo = 0; algo < DIGEST_ALGO_N; algo++) {
        struct digest_ha1 ha1 = {0};
        struct digest_challenge ch = {
            .realm = realm, .algo = (enum digest_algo)algo, .qop_auth = true};
        char nonce[DIGEST_NONCE_TEXT_MAX], text[512];
        double make = 0, build = 0, parse = 0, check = 0, window = 0, t;
        int bad = digest_ha1_make((enum digest_algo)algo, STR("u1"), realm, STR("pw1"), &ha1);

        for (unsigned i = 0; i < N; i++) {
            struct sbuf b = sbuf_make(text, sizeof(text));
            struct digest_credentials c;
            struct digest_nonce_info info;
            struct reason why;

            t = now_ns();
            bad |= digest_nonce_make(&key, 1000, (uint64_t)i * 0x9e3779b97f4a7c15u, realm, binding,
                                     nonce);
            make += now_ns() - t;
            ch.nonce = str_z(nonce);
            t = now_ns();
            bad |=
                digest_answer_build(&b, &(struct digest_answer_args){.challenge = &ch,
                                                                     .username = STR("u1"),
                                                                     .method = STR("REGISTER"),
                                                                     .uri = STR("sip:bench.test"),
                                                                     .cnonce = STR("abcdef01"),
                                                                     .ha1 = &ha1,
                                                                     .nc = 1});
            build += now_ns() - t;
            t = now_ns();
            bad |= digest_credentials_parse(a, sbuf_get(&b), &c, &why);
            parse += now_ns() - t;
            t = now_ns();
            bad |= digest_nonce_check(&key, 1001, 60, realm, binding, c.nonce, &info, &why);
            bad |= digest_check(&c, &ha1, STR("REGISTER"), STR_NULL, &why);
            check += now_ns() - t;
            t = now_ns();
            if (algo == 0) /* the same nonces come again */
                bad |= digest_replay_check(replay, &info, c.nc);
            window += now_ns() - t;
            arena_reset(a);
        }
        printf("%-12.*s %s nonce %.0f ns, parse %.0f ns, check %.0f ns, window %.0f ns; server in "
               "all %.0f ns; "
               "client's answer %.0f ns\n",
               STR_FMT(digest_algo_text((enum digest_algo)algo)), bad ? "WRONG" : "", make / N,
               parse / N, check / N, window / N, (make + parse + check + window) / N, build / N);
    }
    digest_replay_free(replay);
    arena_free(a);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_rfc7616_sha256_and_md5, setup, teardown),
        cmocka_unit_test_setup_teardown(test_rfc7616_sha512_256, setup, teardown),
        cmocka_unit_test_setup_teardown(test_rfc2617, setup, teardown),
        cmocka_unit_test_setup_teardown(test_all_variants, setup, teardown),
        cmocka_unit_test_setup_teardown(test_auth_int_without_body, setup, teardown),
        cmocka_unit_test_setup_teardown(test_without_qop, setup, teardown),
        cmocka_unit_test_setup_teardown(test_rspauth, setup, teardown),
        cmocka_unit_test_setup_teardown(test_tolerance, setup, teardown),
        cmocka_unit_test_setup_teardown(test_refusals, setup, teardown),
        cmocka_unit_test_setup_teardown(test_check_refuses, setup, teardown),
        cmocka_unit_test_setup_teardown(test_challenge, setup, teardown),
        cmocka_unit_test(test_check_rspauth),
        cmocka_unit_test(test_long_input),
        cmocka_unit_test(test_no_memory),
    };

    if (argc > 1 && strcmp(argv[1], "bench") == 0) {
        bench();
        return 0;
    }
    CRYPTO_set_mem_functions(crypto_alloc, crypto_realloc, crypto_free);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
