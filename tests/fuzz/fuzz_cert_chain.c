/* Certificate chains as a stranger's server may send them: PEM or DER of any bytes, read without
 * anchors, against anchors that nobody's chain leads to, and against a CA whose key the target has.
 * A mutation breaks the signature, and nobody looks at what a broken certificate says, so that
 * there are two more forms, by the first byte:
 *   1  certificates in DER, leaf first, each of which is made one of the next and signed anew
 *   2  extensions of a leaf and its issuer: uint8 which, uint16 length, value
 * Nothing may be read outside; what is accepted has facts that hold together and make a credential;
 * what is not has a reason. */
#include "base/limits.h"
#include "ca.h"
#include "identity/cred_chain.h"
#include <openssl/err.h>
#include <openssl/objects.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdlib.h>

#define CHECK(x)                                                                                   \
    do {                                                                                           \
        if (!(x))                                                                                  \
            abort();                                                                               \
    } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void check_credential(const struct pki_chain *chain)
{
    const struct pki_chain_facts *f = pki_chain_facts(chain);
    struct arena *a = arena_new(512, 65536);
    struct identity_credential c;
    struct reason why = {.code = NULL};

    CHECK(f->key && f->n_tn >= 1 && f->n_tn <= PKI_CHAIN_CERTS);
    if (!a)
        return;
    if (identity_credential_make(a, chain, &c, &why) == 0) {
        CHECK(c.state == IDENTITY_CRED_GOOD && (c.key || c.rsa));
        (void)identity_authority_of(&c, (struct passport_id){false, STR("sip:a@a.example")});
        (void)identity_authority_of(&c, (struct passport_id){true, STR("4930123")});
        if (f->n_domains) {
            char uri[300];
            struct sbuf b = sbuf_make(uri, sizeof(uri));

            sbuf_fmt(&b, "sip:a@%.*s", STR_FMT(f->domains[0]));
            CHECK(!b.overflow);
            (void)identity_authority_of(&c, (struct passport_id){false, sbuf_get(&b)});
        }
        for (size_t i = 0; i < c.n_uris; i++)
            CHECK(c.uris[i].n > 4 && str_find_char(c.uris[i], '@') < c.uris[i].n);
    } else {
        CHECK(why.code);
    }
    identity_credential_done(&c);
    arena_free(a);
}

/* Certificates as one text of PEM, judged with the CA; whose dates and uses they have is theirs. */
static void check_signed(X509 *const *certs, size_t n)
{
    BIO *b = BIO_new(BIO_s_mem());
    struct reason why = {.code = NULL};
    struct pki_chain *chain;
    char *p;
    long len;

    CHECK(b);
    for (size_t i = 0; i < n; i++)
        (void)PEM_write_bio_X509(b, certs[i]);
    len = BIO_get_mem_data(b, &p);
    if (pki_chain_new(str_make(p, (size_t)len), fuzz_ca_anchors(), FUZZ_NOW, &chain, &why) == 0) {
        CHECK(pki_chain_facts(chain)->not_before_s <= FUZZ_NOW &&
              pki_chain_facts(chain)->not_after_s >= FUZZ_NOW);
        check_credential(chain);
        pki_chain_unref(chain);
    } else {
        CHECK(!chain && why.code && why.sip_status >= 400);
    }
    BIO_free(b);
    ERR_clear_error();
}

static void drop(X509 *x, int nid)
{
    int at = X509_get_ext_by_NID(x, nid, -1);

    if (at >= 0)
        X509_EXTENSION_free(X509_delete_ext(x, at));
}

/* Issued by `by` (NULL: the CA). The leaf keeps its key, issuers have the one that signs. */
static void sign_anew(X509 *x, X509 *by, bool is_leaf)
{
    drop(x, NID_authority_key_identifier);
    drop(x, NID_subject_key_identifier);
    if (!is_leaf)
        (void)X509_set_pubkey(x, fuzz_ca_key());
    (void)X509_set_issuer_name(x, X509_get_subject_name(by ? by : fuzz_ca_cert()));
    (void)X509_sign(x, fuzz_ca_key(), EVP_sha256());
}

static void check_anew(const uint8_t *p, size_t n)
{
    X509 *certs[PKI_CHAIN_CERTS];
    const uint8_t *end = p + n;
    size_t n_certs = 0;

    while (n_certs < ARRAY_LEN(certs) && p < end &&
           (certs[n_certs] = d2i_X509(NULL, &p, (long)(end - p))) != NULL)
        n_certs++;
    for (size_t i = n_certs; i > 0; i--)
        sign_anew(certs[i - 1], i < n_certs ? certs[i] : NULL, i == 1);
    if (n_certs)
        check_signed(certs, n_certs);
    while (n_certs > 0)
        X509_free(certs[--n_certs]);
    ERR_clear_error();
}

static void put_extension(X509 *x, const char *oid, const uint8_t *p, size_t n)
{
    ASN1_OBJECT *o = OBJ_txt2obj(oid, 1);
    ASN1_OCTET_STRING *value = ASN1_OCTET_STRING_new();
    X509_EXTENSION *e;

    CHECK(o && value && ASN1_OCTET_STRING_set(value, p, (int)n) == 1);
    e = X509_EXTENSION_create_by_OBJ(NULL, o, 0, value);
    CHECK(e && X509_add_ext(x, e, -1) == 1);
    X509_EXTENSION_free(e);
    ASN1_OCTET_STRING_free(value);
    ASN1_OBJECT_free(o);
}

static void check_extensions(const uint8_t *p, size_t n)
{
    static const char *const oids[] = {
        "2.5.29.17",          /* subjectAltName */
        "1.3.6.1.5.5.7.1.26", /* TNAuthList */
        "1.3.6.1.5.5.7.1.27", /* JWTClaimConstraints */
        "1.3.6.1.5.5.7.1.33", /* EnhancedJWTClaimConstraints */
        "2.5.29.30",          /* nameConstraints */
        "2.5.29.15",          /* keyUsage */
        "2.5.29.37",          /* extKeyUsage */
        "1.3.6.1.5.5.7.1.1",  /* authorityInfoAccess */
        "2.5.29.32",          /* certificatePolicies */
        "2.5.29.31",          /* cRLDistributionPoints */
    };
    X509 *certs[2] = {fuzz_ca_blank("L", false), fuzz_ca_blank("I", true)};

    while (n >= 3) {
        size_t len = (size_t)p[1] << 8 | p[2];

        if (len > n - 3)
            break;
        put_extension(certs[p[0] >> 7], oids[(p[0] & 127) % ARRAY_LEN(oids)], p + 3, len);
        p += 3 + len;
        n -= 3 + len;
    }
    sign_anew(certs[1], NULL, false);
    sign_anew(certs[0], certs[1], true);
    check_signed(certs, 2);
    X509_free(certs[0]);
    X509_free(certs[1]);
    ERR_clear_error();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static struct pki_anchors *nobody;
    struct str bytes = str_make((const char *)data, n);
    struct pki_chain *chain;
    struct reason why = {.code = NULL};

    if (!nobody && pki_anchors_new(NULL, NULL, &nobody, NULL) != 0)
        return 0;
    if (n > 2 * LIMIT_CERT_CHAIN_BYTES)
        return 0;
    if (n > 1 && data[0] == 1)
        check_anew(data + 1, n - 1);
    if (n > 1 && data[0] == 2)
        check_extensions(data + 1, n - 1);
    if (pki_chain_new(bytes, NULL, 0, &chain, &why) == 0) {
        check_credential(chain);
        pki_chain_unref(chain);
    } else {
        CHECK(why.code && why.sip_status >= 400);
    }
    why = (struct reason){.code = NULL};
    CHECK(pki_chain_new(bytes, nobody, FUZZ_NOW, &chain, &why) != 0);
    CHECK(!chain && why.code);
    return 0;
}
