/* Digest credentials, challenges, Authentication-Info, nonces and passwords from any bytes: nothing
 * may be read outside of them, what is built from what was parsed must parse to the same, and no
 * nonce may pass that we have not made. */
#include "base/limits.h"
#include "identity/digest.h"
#include <stdlib.h>

#define CHECK(x)                                                                                   \
    do {                                                                                           \
        if (!(x))                                                                                  \
            abort();                                                                               \
    } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static char text[65536];

static bool is_clean(struct str s)
{
    for (size_t i = 0; i < s.n; i++) {
        if (((unsigned char)s.p[i] < 0x20 && s.p[i] != '\t') || s.p[i] == 0x7f)
            return false;
    }
    return true;
}

static void check_credentials(struct arena *a, struct str s)
{
    static const struct digest_ha1 ha1[] = {{.algo = DIGEST_MD5, .n = 16},
                                            {.algo = DIGEST_SHA256, .n = 32},
                                            {.algo = DIGEST_SHA512_256, .n = 32}};
    struct digest_credentials c;
    struct reason why = {0};
    char hex[2 * DIGEST_BYTES_MAX + 1];
    int err = digest_credentials_parse(a, s, &c, &why);

    CHECK(err == 0 || why.code);
    if (err != 0)
        return;
    CHECK(c.algo < DIGEST_ALGO_N && c.nc_text.n <= 8 && c.uri.n <= LIMIT_URI_BYTES);
    CHECK(c.username.n <= LIMIT_DIGEST_VALUE_BYTES && c.nonce.n <= LIMIT_DIGEST_VALUE_BYTES);
    CHECK(is_clean(c.username) && is_clean(c.realm) && is_clean(c.nonce) && is_clean(c.opaque) &&
          is_clean(c.uri));
    for (size_t i = 0; i < DIGEST_ALGO_N; i++) {
        why = (struct reason){0};
        if (digest_check(&c, &ha1[i], STR("REGISTER"), s, &why) == ERR_REFUSED)
            CHECK(why.code);
    }
    CHECK(digest_rspauth(&c, &ha1[c.algo], s, hex) == 0);
    c.response = STR("x");
    CHECK(digest_check(&c, &ha1[c.algo], STR("REGISTER"), s, NULL) == ERR_REFUSED);
}

static void check_challenge(struct arena *a, struct str s)
{
    struct digest_challenge c, d;
    struct reason why;
    struct sbuf b = sbuf_make(text, sizeof(text));

    if (digest_challenge_parse(a, s, &c, &why) != 0)
        return;
    digest_challenge_build(&b, &c);
    CHECK(!b.overflow && digest_challenge_parse(a, sbuf_get(&b), &d, &why) == 0);
    CHECK(str_eq(c.realm, d.realm) && str_eq(c.nonce, d.nonce) && str_eq(c.opaque, d.opaque) &&
          str_eq(c.domain, d.domain));
    CHECK(c.algo == d.algo && c.sess == d.sess && c.stale == d.stale && c.qop_auth == d.qop_auth &&
          c.qop_auth_int == d.qop_auth_int && c.userhash == d.userhash);
}

/* Our answer to any challenge is one that a server with the same hash takes. */
static void check_answer(struct arena *a, struct str s)
{
    struct digest_challenge ch;
    struct digest_credentials c;
    struct digest_ha1 ha1;
    struct reason why = {0};
    struct sbuf b = sbuf_make(text, sizeof(text));
    struct digest_answer_args args = {.challenge = &ch,
                                      .username = STR("a\"b\\c"),
                                      .method = STR("INVITE"),
                                      .uri = STR("sip:x@y"),
                                      .body = STR("v=0"),
                                      .cnonce = STR("c\"d"),
                                      .ha1 = &ha1,
                                      .nc = 17,
                                      .prefer_int = s.n % 2};

    if (digest_challenge_parse(a, s, &ch, &why) != 0)
        return;
    CHECK(digest_ha1_make(ch.algo, args.username, ch.realm, STR("secret"), &ha1) == 0);
    if (digest_answer_build(&b, &args) != 0) {
        CHECK(ch.sess && !ch.qop_auth && !ch.qop_auth_int);
        return;
    }
    CHECK(digest_credentials_parse(a, sbuf_get(&b), &c, &why) == 0);
    if (c.qop.n)
        CHECK(ch.nonce.n == 0 || digest_check(&c, &ha1, STR("INVITE"), STR("v=0"), &why) == 0);
    CHECK(str_eq(c.realm, ch.realm) && str_eq(c.nonce, ch.nonce) && str_eq(c.opaque, ch.opaque));
}

static void check_info(struct arena *a, struct str s)
{
    struct digest_info i, j;
    struct reason why;
    struct sbuf b = sbuf_make(text, sizeof(text));

    if (digest_info_parse(a, s, &i, &why) != 0)
        return;
    i.qop = i.nc_text = STR_NULL; /* are built without quotes, so must be tokens */
    digest_info_build(&b, &i);
    CHECK(!b.overflow && digest_info_parse(a, sbuf_get(&b), &j, &why) == 0);
    CHECK(str_eq(i.nextnonce, j.nextnonce) && str_eq(i.rspauth, j.rspauth) &&
          str_eq(i.cnonce, j.cnonce));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static const struct digest_nonce_key key = {.now = {1}};
    struct arena *a = arena_new(4096, 1 << 20);
    struct str s = str_make((const char *)data, n);
    struct digest_nonce_info info;

    if (!a)
        return 0;
    check_credentials(a, s);
    check_challenge(a, s);
    check_answer(a, s);
    check_info(a, s);
    CHECK(digest_nonce_check(&key, 1000, 60, STR("r"), STR("b"), s, &info, NULL) == ERR_REFUSED);
    (void)!digest_password_check(str_make(s.p, n / 4), str_make(s.p + n / 4, n / 4),
                                 str_make(s.p + n / 2, n - n / 2), NULL);
    arena_free(a);
    return 0;
}
