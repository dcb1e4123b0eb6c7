/* Signatures by elliptic curves: RFC 7515, RFC 7518 3.4, RFC 8225 4.2. */
#include "check.h"

#include "identity/passport.h"
#include "keys.h"
#include "oom.h"
#include "vectors.h"
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <stdio.h>

static int check_token(const char *token, const char *pem)
{
    EVP_PKEY *pkey = key_public(pem);
    struct jws_key *k = key_verifier(pkey);
    const char *dot = strrchr(token, '.');
    struct reason why = {0};
    int err =
        jws_verify(k, JWS_ES256, str_make(token, (size_t)(dot - token)), str_z(dot + 1), &why);

    assert_true(err == 0 || why.code);
    jws_key_free(k);
    EVP_PKEY_free(pkey);
    return err;
}

static void rfc_tokens(void **state)
{
    (void)state;
    check_err(check_token(RFC8224_FULL, RFC8225_PUBLIC), 0);
    check_err(check_token(RFC8946_DIV, RFC8946_PUBLIC), 0);
    check_err(check_token(RFC8946_DIV_O, RFC8946_PUBLIC), 0);
    check_err(check_token(RFC8225_TOKEN, RFC8225_PUBLIC), ERR_REFUSED);
    check_err(check_token(RFC8946_DIV, RFC8225_PUBLIC), ERR_REFUSED);
}

static void every_curve(void **state)
{
    static const char *const curves[JWS_ALG_N] = {"P-256", "P-384", "P-521"};

    (void)state;
    for (size_t i = 0; i < JWS_ALG_N; i++) {
        EVP_PKEY *pkey = key_make(curves[i]);
        struct jws_key *s = key_signer(pkey), *v = key_verifier(pkey);
        char sig[JWS_SIGNATURE_TEXT_MAX];
        struct reason why;

        assert_int_equal(jws_key_alg(s), i);
        for (int round = 0; round < 40; round++) { /* short R and S come by chance */
            char text[32];
            struct str input =
                str_make(text, (size_t)snprintf(text, sizeof(text), "round %d", round));

            check_err(jws_sign(s, input, sig), 0);
            check_err(jws_verify(v, (enum jws_alg)i, input, str_z(sig), &why), 0);
            check_err(jws_verify(v, (enum jws_alg)i, STR("other"), str_z(sig), &why), ERR_REFUSED);
        }
        /* Another algorithm than the key's is refused before any arithmetic. */
        check_err(jws_verify(v, (enum jws_alg)((i + 1) % JWS_ALG_N), STR("x"), str_z(sig), &why),
                  ERR_CONFLICT);
        check_str(str_z(why.code), "passport-alg-confusion");
        assert_int_equal(why.sip_status, 438);
        /* A key is for one use. */
        check_err(jws_sign(v, STR("x"), sig), ERR_INVALID);
        check_err(jws_verify(s, (enum jws_alg)i, STR("x"), str_z(sig), &why), ERR_INVALID);
        jws_key_free(s);
        jws_key_free(v);
        EVP_PKEY_free(pkey);
    }
}

static void bad_signatures(void **state)
{
    EVP_PKEY *pkey = key_make("P-256");
    struct jws_key *v = key_verifier(pkey), *s = key_signer(pkey);
    char sig[JWS_SIGNATURE_TEXT_MAX], bad[200];
    struct reason why;

    (void)state;
    check_err(jws_sign(s, STR("x"), sig), 0);
    assert_int_equal(strlen(sig), 86);
    check_err(jws_verify(v, JWS_ES256, STR("x"), STR(""), &why), ERR_SYNTAX);
    check_err(jws_verify(v, JWS_ES256, STR("x"), str_make(sig, 84), &why), ERR_SYNTAX);
    snprintf(bad, sizeof(bad), "%s==", sig);
    check_err(jws_verify(v, JWS_ES256, STR("x"), str_z(bad), &why), ERR_SYNTAX);
    snprintf(bad, sizeof(bad), "%sAAAA", sig);
    check_err(jws_verify(v, JWS_ES256, STR("x"), str_z(bad), &why), ERR_SYNTAX);
    for (size_t i = 0; i < 86; i++) { /* each letter counts, also the bits of the last one */
        snprintf(bad, sizeof(bad), "%s", sig);
        bad[i] = bad[i] == 'A' ? 'B' : 'A';
        assert_int_not_equal(jws_verify(v, JWS_ES256, STR("x"), str_z(bad), &why), 0);
    }
    /* R = 0, S = 0 and beyond the order (the "psychic" signatures) */
    memset(bad, 'A', 86);
    bad[86] = '\0';
    check_err(jws_verify(v, JWS_ES256, STR("x"), str_z(bad), &why), ERR_REFUSED);
    memset(bad, '_', 85);
    bad[85] = 'w';
    check_err(jws_verify(v, JWS_ES256, STR("x"), str_z(bad), &why), ERR_REFUSED);
    jws_key_free(s);
    jws_key_free(v);
    EVP_PKEY_free(pkey);
}

static void algorithms(void **state)
{
    static const char *const never[] = {"none", "None", "NONE", "HS256", "HS384", "HS512", "hs256"};
    static const char *const unknown[] = {"RS256", "PS256", "EdDSA", "ES256K",
                                          "es256", "",      "ES2561"};
    enum jws_alg alg;
    struct reason why;

    (void)state;
    check_err(jws_alg_parse(STR("ES256"), &alg, &why), 0);
    assert_int_equal(alg, JWS_ES256);
    check_err(jws_alg_parse(STR("ES512"), &alg, &why), 0);
    assert_int_equal(alg, JWS_ES512);
    for (size_t i = 0; i < ARRAY_LEN(never); i++) {
        check_err(jws_alg_parse(str_z(never[i]), &alg, &why), ERR_REFUSED);
        assert_int_equal(why.sip_status, 438);
    }
    for (size_t i = 0; i < ARRAY_LEN(unknown); i++) {
        check_err(jws_alg_parse(str_z(unknown[i]), &alg, &why), ERR_UNSUPPORTED);
        assert_int_equal(why.sip_status, 437);
    }
}

static void other_keys(void **state)
{
    EVP_PKEY *rsa = EVP_RSA_gen(1024), *ed = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519"),
             *k1 = EVP_EC_gen("secp256k1");
    struct jws_key *k;
    struct reason why;

    (void)state;
    check_err(jws_key_new(rsa, false, &k, &why), ERR_UNSUPPORTED);
    assert_null(k);
    assert_int_equal(why.sip_status, 437);
    check_err(jws_key_new(ed, false, &k, &why), ERR_UNSUPPORTED);
    check_err(jws_key_new(k1, false, &k, &why), ERR_UNSUPPORTED);
    EVP_PKEY_free(rsa);
    EVP_PKEY_free(ed);
    EVP_PKEY_free(k1);
}

static void der(void **state)
{
    static const struct {
        const char *der;
        int err;
    } cases[] = {
        {"3006020101020102", 0},
        {"300702020080020102", 0},
        {"300602010002017f", 0},
        {"30060201010201", ERR_SYNTAX},
        {"3007020101020102", ERR_SYNTAX},
        {"3106020101020102", ERR_SYNTAX},
        {"3006020181020102", ERR_SYNTAX},   /* negative */
        {"300702020001020102", ERR_SYNTAX}, /* longer than needed */
        {"300602010102010200", ERR_SYNTAX},
        {"308106020101020102", ERR_SYNTAX},
        {"3005020002010200", ERR_SYNTAX},
        {"3006030101020102", ERR_SYNTAX},
        {"", ERR_SYNTAX},
        {"30", ERR_SYNTAX},
        {"3080", ERR_SYNTAX},
        {"308201060201", ERR_SYNTAX},
        {"30080203010203020102", ERR_SYNTAX}, /* too long for its half */
    };
    uint8_t raw[JWS_SIGNATURE_MAX], again[JWS_DER_MAX], in[64];

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        size_t n = strlen(cases[i].der) / 2, n_again;
        int err;

        check_err(str_unhex(in, n, str_z(cases[i].der)), 0);
        err = jws_raw_from_der(in, n, 2, raw);
        if (err != cases[i].err)
            fail_msg("%s gives %d", cases[i].der, err);
        if (err == 0) {
            check_err(jws_der_from_raw(raw, 2, again, &n_again), 0);
            assert_int_equal(n, n_again);
            assert_memory_equal(in, again, n);
        }
    }
    /* the longest, with a length in two bytes */
    {
        size_t n;

        memset(raw, 0xff, sizeof(raw));
        check_err(jws_der_from_raw(raw, 66, again, &n), 0);
        assert_true(n <= JWS_DER_MAX);
        memset(raw, 0, sizeof(raw));
        check_err(jws_raw_from_der(again, n, 66, raw), 0);
        for (size_t i = 0; i < sizeof(raw); i++)
            assert_int_equal(raw[i], 0xff);
        check_err(jws_der_from_raw(raw, 67, again, &n), ERR_INVALID);
        check_err(jws_raw_from_der(again, n, 0, raw), ERR_INVALID);
    }
}

static void no_memory(void **state)
{
    EVP_PKEY *pkey = key_make("P-384");

    (void)state;
    OOM_SWEEP(50, {
        struct jws_key *s = NULL;
        struct jws_key *v = NULL;
        char sig[JWS_SIGNATURE_TEXT_MAX];
        int err = jws_key_new(pkey, true, &s, NULL);

        assert_true(err == 0 || err == ERR_NOMEM);
        if (err == 0 && (err = jws_key_new(pkey, false, &v, NULL)) == 0 &&
            (err = jws_sign(s, STR("x"), sig)) == 0)
            err = jws_verify(v, JWS_ES384, STR("x"), str_z(sig), NULL);
        assert_true(err == 0 || err == ERR_NOMEM);
        jws_key_free(s);
        jws_key_free(v);
    });
    EVP_PKEY_free(pkey);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rfc_tokens),     cmocka_unit_test(every_curve),
        cmocka_unit_test(bad_signatures), cmocka_unit_test(algorithms),
        cmocka_unit_test(other_keys),     cmocka_unit_test(der),
        cmocka_unit_test(no_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
