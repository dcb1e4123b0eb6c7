/* See responder.h. */
#include "responder.h"
#include "check.h"
#include <openssl/pem.h>

X509 *read_cert(const char *file)
{
    BIO *b = BIO_new_file(file, "r");
    X509 *c = b ? PEM_read_bio_X509(b, NULL, NULL, NULL) : NULL;
    BIO_free(b);
    if (!c)
        fail_msg("%s: no certificate", file);
    return c;
}

EVP_PKEY *read_key(const char *file)
{
    BIO *b = BIO_new_file(file, "r");
    EVP_PKEY *k = b ? PEM_read_bio_PrivateKey(b, NULL, NULL, NULL) : NULL;
    BIO_free(b);
    if (!k)
        fail_msg("%s: no key", file);
    return k;
}

unsigned char *answer_make(const struct answer_args *a, size_t *ret_n)
{
    OCSP_BASICRESP *basic = OCSP_BASICRESP_new();
    OCSP_CERTID *id = OCSP_cert_to_id(a->id_hash ? a->id_hash : EVP_sha1(), a->cert, a->issuer);
    ASN1_TIME *from = X509_gmtime_adj(NULL, a->from_s),
              *until = a->until_s ? X509_gmtime_adj(NULL, a->until_s) : NULL;
    ASN1_TIME *revoked = X509_gmtime_adj(NULL, -86400);
    unsigned char *der = NULL;
    assert_non_null(OCSP_basic_add1_status(basic, id, a->status, a->cause,
                                           a->status == V_OCSP_CERTSTATUS_REVOKED ? revoked : NULL,
                                           from, until));
    assert_int_equal(OCSP_basic_sign(basic, a->signer, a->key, a->hash ? a->hash : EVP_sha256(),
                                     NULL, a->with_signer ? 0 : OCSP_NOCERTS),
                     1);
    OCSP_RESPONSE *r = OCSP_response_create(OCSP_RESPONSE_STATUS_SUCCESSFUL, basic);
    int n = i2d_OCSP_RESPONSE(r, &der);
    assert_true(n > 0);
    *ret_n = (size_t)n;
    OCSP_RESPONSE_free(r);
    OCSP_BASICRESP_free(basic);
    OCSP_CERTID_free(id);
    ASN1_TIME_free(from);
    ASN1_TIME_free(until);
    ASN1_TIME_free(revoked);
    return der;
}
