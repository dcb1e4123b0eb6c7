/* A request with any Identity values, one a line, before a verifier that has one certificate for
 * everything: it ends, judges each of them with a reason, and holds nothing for valid that was not
 * signed. The key's private half is used for nothing, so nothing can be. */
#include "base/limits.h"
#include "identity/verify.h"
#include <openssl/bio.h>
#include <openssl/pem.h>
#include <stdlib.h>

#define CHECK(x)                                                                                   \
    do {                                                                                           \
        if (!(x))                                                                                  \
            abort();                                                                               \
    } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

/* RFC 8946 Appendix A: the two examples of that RFC are the only tokens that verify. */
static const char pem[] = "-----BEGIN PUBLIC KEY-----\n"
                          "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEmzGM1VsO+3IqbMF54rQMaYKQftO4\n"
                          "hUYm9wv5wutLgEd9FsiTy3+4+Wa2O7pffOXPC0QzO+yD8hGEXGP/2mZo6w==\n"
                          "-----END PUBLIC KEY-----\n";

static struct jws_key *key_get(void)
{
    static struct jws_key *key;
    BIO *b;
    EVP_PKEY *pkey;

    if (key)
        return key;
    b = BIO_new_mem_buf(pem, -1);
    pkey = PEM_read_bio_PUBKEY(b, NULL, NULL, NULL);
    CHECK(pkey && jws_key_new(pkey, false, &key, NULL) == 0);
    EVP_PKEY_free(pkey);
    BIO_free(b);
    return key;
}

static void check_result(const struct identity_result *r)
{
    for (size_t i = 0; i < r->n_tokens; i++) {
        const struct identity_token *t = &r->tokens[i];

        CHECK(t->verdict == IDENTITY_VALID || (t->why.code && t->why.sip_status >= 400));
        CHECK(t->verdict != IDENTITY_VALID || (t->signature_holds && t->authority));
        CHECK(!t->signature_holds || t->p.orig.text.p);
    }
    CHECK((r->verdict == IDENTITY_VALID) == (r->why.code == NULL));
    CHECK(r->verdict != IDENTITY_VALID || (r->token && r->token->verdict == IDENTITY_VALID));
    CHECK(r->verdict != IDENTITY_ABSENT || !r->token || r->token->verdict == IDENTITY_ABSENT);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static const struct str prefixes[] = {{"1", 1}}, domains[] = {{"example.com", 11}};
    static const struct passport_key mky[] = {{{"sha-256", 7}, {"00", 2}}};
    static const uint8_t replay_key[16];
    struct identity_credential cred = {.key = key_get(),
                                       .not_after_s = UINT32_MAX,
                                       .domains = domains,
                                       .n_domains = 1,
                                       .prefixes = prefixes,
                                       .n_prefixes = 1};
    struct identity_message m = {.orig = {true, {"12155551212", 11}},
                                 .to = {true, {"12155551213", 11}},
                                 .target = {true, {"12155551214", 11}},
                                 .has_date = n % 2,
                                 .date_s = 1443208345,
                                 .mky = mky,
                                 .n_mky = n % 3 == 0};
    struct identity_policy policy = identity_policy_default(1443208350);
    struct identity_use use = {{"call", 4}, {"tag", 3}, 1, false, false};
    struct identity_replay *replay = identity_replay_new(4, replay_key);
    struct arena *a = arena_new(16384, 1 << 20);
    struct str lines[40] = {{NULL, 0}}, rest = str_make((const char *)data, n);
    struct identity_check *c;
    struct identity_result r;
    const struct str *urls;
    size_t n_lines = 0;

    do
        rest = str_cut(rest, '\n', &lines[n_lines++]);
    while (rest.p && n_lines < ARRAY_LEN(lines));
    policy.inner_max_age_s = 10800;
    policy.algs |= JWS_BIT(JWS_ES384);
    if (a && replay && identity_check_new(a, lines, n_lines, &m, &policy, &c) == 0) {
        for (size_t i = 0; i < identity_check_urls(c, &urls); i++) {
            CHECK(str_starts_nocase(urls[i], STR("https://")));
            identity_check_set_credential(c, i, i == 3 ? NULL : &cred);
        }
        if (identity_check_finish(c, replay, &use, &r) == 0)
            check_result(&r);
    }
    arena_free(a);
    identity_replay_free(replay);
    return 0;
}
