/* What identity makes of a chain: whom it may speak for (RFC 8224 8.5, RFC 8862 4.1). */
#include "check.h"

#include "identity/cred_chain.h"
#include "oom.h"
#include "pki/mint.h"
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static struct pki_chain *mint(struct pki_mint_args m)
{
    char dir[] = "/tmp/cred.XXXXXX", cert[64], key[64];
    struct pki_chain *c = NULL;
    struct reason why = {.code = NULL};

    assert_non_null(mkdtemp(dir));
    (void)snprintf(cert, sizeof(cert), "%s/cert", dir);
    (void)snprintf(key, sizeof(key), "%s/key", dir);
    m.cert_file = cert;
    m.key_file = key;
    m.days = 30;
    check_err(pki_mint_cert(NULL, &m, &why), 0);
    check_err(pki_chain_load(cert, &c, &why), 0);
    (void)unlink(cert);
    (void)unlink(key);
    (void)rmdir(dir);
    return c;
}

static enum identity_authority by(const struct identity_credential *c, const char *uri)
{
    return identity_authority_of(c, (struct passport_id){false, str_z(uri)});
}

static void speaks(void **state)
{
    static const struct pki_mint_san sans[] = {
        {PKI_MINT_URI, {"sip:Alice@A.example;transport=tls", 33}},
        {PKI_MINT_URI, {"sips:bob@a.example", 18}},
        {PKI_MINT_URI, {"sip:carol@[2001:db8::1]", 23}},
        {PKI_MINT_URI, {"sip:dave@a.example:5060", 23}},
        {PKI_MINT_URI, {"sip:@a.example", 14}},
        {PKI_MINT_URI, {"sip:a.example@", 14}},
        {PKI_MINT_URI, {"sip:eve@b.example?to=sip:x@a.example", 36}},
    };
    static const struct str domain = {"c.example", 9};
    struct arena *a = arena_new(4096, 65536);
    struct pki_chain *user = mint((struct pki_mint_args){.sans = sans, .n_sans = ARRAY_LEN(sans)}),
                     *whole = mint((struct pki_mint_args){.domains = &domain, .n_domains = 1});
    struct identity_credential c;
    struct reason why;

    (void)state;
    check_err(identity_credential_make(a, user, &c, &why), 0);
    assert_int_equal(c.state, IDENTITY_CRED_GOOD);
    assert_int_equal(c.n_domains, 0);
    assert_int_equal(by(&c, "sip:alice@a.example"), IDENTITY_BY_USER);
    assert_int_equal(by(&c, "sips:bob@a.example"), IDENTITY_BY_USER);
    assert_int_equal(by(&c, "sip:bob@a.example"), IDENTITY_BY_USER);
    assert_int_equal(by(&c, "sip:eve@b.example"), IDENTITY_BY_USER);
    assert_int_equal(by(&c, "sip:x@a.example"), IDENTITY_NO_AUTHORITY);
    assert_int_equal(by(&c, "sip:a.example"), IDENTITY_NO_AUTHORITY);
    assert_int_equal(c.n_uris, 3);
    assert_int_equal(by(&c, "sip:carol@a.example"), IDENTITY_NO_AUTHORITY);
    assert_int_equal(by(&c, "sip:dave@a.example"), IDENTITY_NO_AUTHORITY);
    identity_credential_done(&c);
    identity_credential_done(&c); /* harmless */
    check_err(identity_credential_make(a, whole, &c, &why), 0);
    assert_int_equal(by(&c, "sip:anybody@c.example"), IDENTITY_BY_DOMAIN);
    assert_int_equal(by(&c, "sip:anybody@sub.c.example"), IDENTITY_NO_AUTHORITY);
    assert_int_equal(jws_key_alg(c.key), JWS_ES256);
    identity_credential_done(&c);
    pki_chain_unref(user);
    pki_chain_unref(whole);
    arena_free(a);
}

static void no_memory(void **state)
{
    static const struct pki_mint_san san = {PKI_MINT_URI, {"sip:alice@a.example", 19}};
    struct pki_chain *chain = mint((struct pki_mint_args){.sans = &san, .n_sans = 1});

    (void)state;
    OOM_SWEEP(50, {
        struct arena *a = arena_new(64, 65536);
        struct identity_credential c = {.key = NULL};
        struct reason why = {.code = NULL};

        if (a && identity_credential_make(a, chain, &c, &why) != 0)
            assert_non_null(why.code);
        identity_credential_done(&c);
        arena_free(a);
    });
    pki_chain_unref(chain);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(speaks), cmocka_unit_test(no_memory)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
