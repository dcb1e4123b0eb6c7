/* CMS SignedData with OpenSSL: RFC 5652 5, 11; RFC 8551 2, 3.5; RFC 3261 23.2, 23.3. Any thread. */
#include "pki/cms.h"
#include "base/limits.h"
#include "base/mem.h"
#include "pki/key_cost.h"
#include "pki/pki_priv.h"
#include <openssl/cms.h>
#include <openssl/ec.h>
#include <openssl/err.h>

/* One that is read. */
struct signed_data {
    CMS_ContentInfo *cms;
    CMS_SignerInfo *signer; /* the only one */
    STACK_OF(X509) * certs;
    X509 *leaf; /* the signer's, one of them */
};

static int no_memory(struct reason *why)
{
    ERR_clear_error();
    reason_set(why, "no-memory", NULL, 500, NULL);
    return ERR_NOMEM;
}

static int refuse(struct reason *why, int err, const char *code, const char *clause,
                  unsigned status, const char *what)
{
    bool is_memory = ERR_GET_REASON(ERR_peek_last_error()) == ERR_R_MALLOC_FAILURE;

    ERR_clear_error();
    if (is_memory)
        return no_memory(why);
    reason_set(why, code, clause, status, "%s", what);
    return err;
}

static void signed_data_done(struct signed_data *s)
{
    sk_X509_pop_free(s->certs, X509_free);
    CMS_ContentInfo_free(s->cms);
    ERR_clear_error();
}

static int syntax(struct reason *why, const char *what)
{
    return refuse(why, ERR_SYNTAX, "cms-syntax", "RFC 5652 5.1", 400, what);
}

static int signed_data_parse(struct str bytes, struct signed_data *ret, struct reason *why)
{
    const unsigned char *p = (const unsigned char *)bytes.p;
    STACK_OF(CMS_SignerInfo) * signers;
    int err = cms_shape_check(bytes, why);

    *ret = (struct signed_data){0};
    if (err != 0)
        return err;
    if (fault_hit())
        return no_memory(why);
    ret->cms = d2i_CMS_ContentInfo(NULL, &p, (long)bytes.n);
    if (!ret->cms || OBJ_obj2nid(CMS_get0_type(ret->cms)) != NID_pkcs7_signed)
        return syntax(why, "cannot be decoded");
    /* What is signed is MIME, and nothing else (RFC 8551 2.4.1). */
    if (OBJ_obj2nid(CMS_get0_eContentType(ret->cms)) != NID_pkcs7_data)
        return refuse(why, ERR_UNSUPPORTED, "cms-kind", "RFC 8551 2.4.1", 415,
                      "what is signed is not plain data");
    signers = CMS_get0_SignerInfos(ret->cms);
    if (sk_CMS_SignerInfo_num(signers) != 1)
        return syntax(why, "not one signer");
    ret->signer = sk_CMS_SignerInfo_value(signers, 0);
    return 0;
}

static int find_leaf(struct signed_data *s, struct reason *why)
{
    if (fault_hit())
        return no_memory(why);
    s->certs = CMS_get1_certs(s->cms); /* NULL: there are none */
    for (int i = 0; i < sk_X509_num(s->certs) && !s->leaf; i++)
        if (CMS_SignerInfo_cert_cmp(s->signer, sk_X509_value(s->certs, i)) == 0)
            s->leaf = sk_X509_value(s->certs, i);
    if (!s->leaf)
        return refuse(why, ERR_NOTFOUND, "cms-no-certificate", "RFC 3261 23.2", 437,
                      "the signer's certificate is not in it");
    CMS_SignerInfo_set1_signer_cert(s->signer, s->leaf);
    return 0;
}

/* --- what it is signed by --- */

static bool is_good_digest(int nid)
{
    return nid == NID_sha256 || nid == NID_sha384 || nid == NID_sha512;
}

static bool is_good_key(const EVP_PKEY *key)
{
    return (EVP_PKEY_is_a(key, "RSA") || EVP_PKEY_is_a(key, "EC")) &&
           pki_key_is_fair(key, PKI_RSA_BITS_MIN);
}

/* Names the algorithm another digest than the signature announces, or one that is not taken? */
static bool is_good_algorithm(int nid, int digest)
{
    int named, of_key;

    if (nid == NID_rsaEncryption || nid == NID_rsassaPss)
        return true; /* parameters of PSS are OpenSSL's to compare with the digest */
    return OBJ_find_sigid_algs(nid, &named, &of_key) == 1 && named == digest;
}

static int check_algorithms(struct signed_data *s, struct reason *why)
{
    const EVP_PKEY *key = X509_get0_pubkey(s->leaf);
    X509_ALGOR *digest, *signature;
    int digest_nid;

    CMS_SignerInfo_get0_algs(s->signer, NULL, NULL, &digest, &signature);
    digest_nid = OBJ_obj2nid(digest->algorithm);
    if (!is_good_digest(digest_nid))
        return refuse(why, ERR_UNSUPPORTED, "cms-digest", "RFC 8551 2.1", 437,
                      "a digest that is not SHA-256, SHA-384 or SHA-512");
    if (!key || !is_good_key(key))
        return refuse(why, ERR_UNSUPPORTED, "cms-key", "RFC 8551 2.2", 437,
                      "a key of a kind or size that is not taken");
    if (!is_good_algorithm(OBJ_obj2nid(signature->algorithm), digest_nid))
        return refuse(why, ERR_UNSUPPORTED, "cms-algorithm", "RFC 8551 2.2", 437,
                      "a signature algorithm that is not taken");
    return 0;
}

/* --- does it hold --- */

static int broken(struct reason *why, const char *what)
{
    return refuse(why, ERR_CRYPTO, "cms-signature", "RFC 5652 5.6", 438, what);
}

/* Signed attributes, where there are any, say that what is signed is plain data (RFC 5652 11.1);
 * OpenSSL compares their digest with the content's. */
static bool is_attribute_right(CMS_SignerInfo *si)
{
    const ASN1_OBJECT *type;

    if (CMS_signed_get_attr_count(si) < 0)
        return true;
    type = CMS_signed_get0_data_by_OBJ(si, OBJ_nid2obj(NID_pkcs9_contentType), -3, V_ASN1_OBJECT);
    return type && OBJ_obj2nid(type) == NID_pkcs7_data;
}

static uint64_t signing_time(CMS_SignerInfo *si)
{
    static const int types[] = {V_ASN1_UTCTIME, V_ASN1_GENERALIZEDTIME};
    int64_t s = 0;

    for (size_t i = 0; i < ARRAY_LEN(types); i++) {
        const ASN1_TIME *t =
            CMS_signed_get0_data_by_OBJ(si, OBJ_nid2obj(NID_pkcs9_signingTime), -3, types[i]);

        if (t && asn1_time_s(t, &s) == 0 && s > 0)
            break;
        s = 0;
    }
    ERR_clear_error();
    return (uint64_t)s;
}

/* CMS_verify does the same, and loses memory where a digest is not known (OpenSSL 3.0). */
static bool holds_over(struct signed_data *s, BIO *chain)
{
    uint8_t buf[4096];
    int n;

    do
        n = BIO_read(chain, buf, sizeof(buf));
    while (n > 0);
    return n == 0 && CMS_SignerInfo_verify_content(s->signer, chain) == 1;
}

static int check_signature(struct signed_data *s, struct str content, struct reason *why)
{
    BIO *data = NULL, *chain;
    bool holds;

    if (fault_hit() || (content.p && (data = BIO_new_mem_buf(content.p, (int)content.n)) == NULL))
        return no_memory(why);
    chain = CMS_dataInit(s->cms, data);
    if (!chain) {
        BIO_free(data);
        return refuse(why, ERR_UNSUPPORTED, "cms-digest", "RFC 8551 2.1", 437,
                      "a digest that is not known");
    }
    holds = is_attribute_right(s->signer) &&
            (CMS_signed_get_attr_count(s->signer) < 0 || CMS_SignerInfo_verify(s->signer) == 1) &&
            holds_over(s, chain);
    BIO_free_all(chain);
    return holds ? 0 : broken(why, "it does not hold over what it came with");
}

/* With (r, s) also (r, -s) verifies, so that of ECDSA only r names a signature. */
static int find_fixed(const struct signed_data *s, struct arena *a, struct str *ret,
                      struct reason *why)
{
    const ASN1_OCTET_STRING *o = CMS_SignerInfo_get0_signature(s->signer);
    const unsigned char *p = ASN1_STRING_get0_data(o);
    uint8_t r[72]; /* P-521 has 66 */
    ECDSA_SIG *ec;
    int n;

    if (!EVP_PKEY_is_a(X509_get0_pubkey(s->leaf), "EC")) {
        *ret = arena_str(a, str_make((const char *)p, (size_t)ASN1_STRING_length(o)));
        return ret->p ? 0 : no_memory(why);
    }
    ec = d2i_ECDSA_SIG(NULL, &p, ASN1_STRING_length(o));
    n = ec ? BN_bn2binpad(ECDSA_SIG_get0_r(ec), r, sizeof(r)) : -1;
    ECDSA_SIG_free(ec);
    if (n < 0)
        return broken(why, "no signature");
    *ret = arena_str(a, str_make((const char *)r, (size_t)n));
    return ret->p ? 0 : no_memory(why);
}

/* --- what is inside --- */

static int take_inside(const struct signed_data *s, struct arena *a, struct str *ret,
                       struct reason *why)
{
    ASN1_OCTET_STRING **inside = CMS_get0_content(s->cms);

    if (!inside || !*inside)
        return syntax(why, "there is nothing inside");
    *ret = arena_str(a, str_make((const char *)ASN1_STRING_get0_data(*inside),
                                 (size_t)ASN1_STRING_length(*inside)));
    return ret->p ? 0 : no_memory(why);
}

int pki_cms_content(struct str cms, struct arena *a, struct str *ret, struct reason *why)
{
    struct signed_data s;
    int err = signed_data_parse(cms, &s, why);

    *ret = STR_NULL;
    if (err == 0)
        err = take_inside(&s, a, ret, why);
    signed_data_done(&s);
    return err;
}

/* RFC 3261 23.3: beside what it is over, a signature has nothing of it inside. */
static int settle_content(const struct signed_data *s, const struct pki_cms_args *args,
                          struct arena *a, struct pki_cms *ret, struct reason *why)
{
    if (!args->content.p)
        return take_inside(s, a, &ret->content, why);
    if (CMS_is_detached(s->cms) != 1)
        return syntax(why, "its content is inside and beside it");
    ret->content = args->content;
    return 0;
}

int pki_cms_verify(const struct pki_cms_args *args, struct arena *a, struct pki_cms *ret,
                   struct reason *why)
{
    struct signed_data s;
    int err = signed_data_parse(args->cms, &s, why);

    *ret = (struct pki_cms){.chain = NULL};
    if (err == 0)
        err = settle_content(&s, args, a, ret, why);
    if (err == 0)
        err = find_leaf(&s, why);
    if (err == 0)
        err = check_algorithms(&s, why);
    if (err == 0)
        err = check_signature(&s, args->content, why);
    if (err == 0) {
        ret->signed_s = signing_time(s.signer);
        err = find_fixed(&s, a, &ret->fixed, why);
    }
    if (err == 0) {
        err = chain_of_signer(s.leaf, s.certs, args->anchors, args->now_s, &ret->chain, why);
        if (err != 0 && err != ERR_NOMEM)
            err = ERR_REFUSED;
    }
    signed_data_done(&s);
    return err;
}
