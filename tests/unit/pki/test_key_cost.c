/* Keys that cost too much to verify with (key_cost.h): by themselves, in the chain of a signed
 * identity, and in what a TLS peer shows. */
#include "check.h"

#include "base/limits.h"
#include "fixture.h"
#include "odd_rsa.h"
#include "pki/chain.h"
#include "pki/key_cost.h"
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const struct {
    int n_bits, e_bits;
    const char *kind, *group;
    bool fair;
} rows[] = {
    {2048, 17, NULL, NULL, true},
    {4096, LIMIT_RSA_EXPONENT_BITS, NULL, NULL, true},
    {2048, LIMIT_RSA_EXPONENT_BITS + 1, NULL, NULL, false},
    {2048, 2047, NULL, NULL, false}, /* as slow as to sign */
    {LIMIT_RSA_BITS + 1, 17, NULL, NULL, false},
    {16384, 17, NULL, NULL, false},
    {0, 0, "EC", "P-256", true},
    {0, 0, "EC", "P-521", true},
    {0, 0, "EC", "secp256k1", false},
    {0, 0, "EC", "sect571r1", false},
    {0, 0, "ED25519", NULL, true},
    {0, 0, "X25519", NULL, false}, /* signs nothing */
};

static EVP_PKEY *key_of(size_t i)
{
    EVP_PKEY *k = rows[i].n_bits  ? odd_rsa(rows[i].n_bits, rows[i].e_bits)
                  : rows[i].group ? EVP_PKEY_Q_keygen(NULL, NULL, rows[i].kind, rows[i].group)
                                  : EVP_PKEY_Q_keygen(NULL, NULL, rows[i].kind);

    assert_non_null(k);
    return k;
}

static void sizes(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        EVP_PKEY *k = key_of(i);

        if (pki_key_is_fair(k, PKI_RSA_BITS_MIN) != rows[i].fair)
            fail_msg("row %zu", i);
        EVP_PKEY_free(k);
    }
    {
        EVP_PKEY *small = odd_rsa(1024, 17);

        assert_false(pki_key_is_fair(small, PKI_RSA_BITS_MIN));
        assert_true(pki_key_is_fair(small, 1024)); /* where that is allowed */
        EVP_PKEY_free(small);
    }
}

/* A certificate of that key by somebody else, in a file. */
static void write_cert(const char *file, EVP_PKEY *key)
{
    EVP_PKEY *signer = EVP_EC_gen("P-256");
    X509 *c = X509_new();
    FILE *f = fopen(file, "w");

    assert_true(signer && c && f);
    assert_true(X509_set_version(c, X509_VERSION_3) == 1 &&
                ASN1_INTEGER_set(X509_get_serialNumber(c), 7) == 1 &&
                X509_gmtime_adj(X509_getm_notBefore(c), -3600) &&
                X509_gmtime_adj(X509_getm_notAfter(c), 86400) &&
                X509_NAME_add_entry_by_txt(X509_get_subject_name(c), "CN", MBSTRING_ASC,
                                           (const unsigned char *)"a.example", -1, -1, 0) == 1 &&
                X509_NAME_add_entry_by_txt(X509_get_issuer_name(c), "CN", MBSTRING_ASC,
                                           (const unsigned char *)"nobody", -1, -1, 0) == 1 &&
                X509_set_pubkey(c, key) == 1 && X509_sign(c, signer, EVP_sha256()) > 0);
    assert_true(PEM_write_X509(f, c) == 1);
    fclose(f);
    X509_free(c);
    EVP_PKEY_free(signer);
}

/* Refused for the key before anybody asks who has issued it; a fair one for its issuer. Behind a
 * leaf the same. */
static void chains_and_peers(void **state)
{
    struct fix fx;
    struct pki_anchors *anchors;
    struct pki_tls_client *client;
    struct pki_tls_options o = {.revocation = PKI_REVOCATION_OFF};
    static char text[2][16384];

    (void)state;
    fix_init(&fx);
    o.ca_pem = fx.root_pem;
    check_err(pki_anchors_new(fx.root_pem, NULL, &anchors, NULL), 0);
    check_err(pki_tls_client_new(&o, &client, NULL), 0);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const char *file = fix_path(&fx, "odd.crt");
        EVP_PKEY *k = key_of(i);
        struct pki_chain *chain;
        struct reason why = {.code = NULL};
        enum cert_standing standing;
        const char *issuer = "identity-cert-untrusted", *peer = "tls-cert-unknown-issuer";
        size_t n;
        FILE *f;

        write_cert(file, k);
        EVP_PKEY_free(k);
        f = fopen(file, "r");
        assert_non_null(f);
        n = fread(text[0], 1, sizeof(text[0]), f);
        fclose(f);
        check_err(pki_chain_new(str_make(text[0], n), anchors, (uint64_t)time(NULL), &chain, &why),
                  ERR_REFUSED);
        if (strcmp(why.code, rows[i].fair ? issuer : "identity-cert-key") != 0)
            fail_msg("row %zu: %s", i, why.code);
        check_err(pki_tls_client_judge_file(client, file, STR("a.example"), &standing, &why),
                  ERR_REFUSED);
        if (strcmp(why.code, rows[i].fair ? peer : "tls-cert-key") != 0)
            fail_msg("row %zu: %s", i, why.code);
        { /* the second of a chain */
            struct str domain = STR("a.example");
            struct pki_mint_args m = {.domains = &domain,
                                      .n_domains = 1,
                                      .days = 30,
                                      .cert_file = fix_path(&fx, "leaf.crt"),
                                      .key_file = fix_path(&fx, "leaf.key")};
            size_t n_leaf;

            check_err(pki_mint_cert(fx.root, &m, NULL), 0);
            f = fopen(m.cert_file, "r");
            assert_non_null(f);
            n_leaf = fread(text[1], 1, sizeof(text[1]) - n, f);
            fclose(f);
            memcpy(text[1] + n_leaf, text[0], n);
            check_err(pki_chain_new(str_make(text[1], n_leaf + n), anchors, (uint64_t)time(NULL),
                                    &chain, &why),
                      rows[i].fair ? 0 : ERR_REFUSED);
            if (rows[i].fair)
                pki_chain_unref(chain);
            (void)remove(m.cert_file);
            (void)remove(m.key_file);
        }
        (void)remove(file);
    }
    pki_tls_client_unref(client);
    pki_anchors_unref(anchors);
    fix_done(&fx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(sizes), cmocka_unit_test(chains_and_peers)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
