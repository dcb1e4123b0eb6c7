/* OCSP: RFC 6960 4, RFC 5019 2, RFC 7633 4. Signatures and DER by OpenSSL; what an answer must be
 * to count is decided here. Pure; any thread. */
#include "pki/ocsp.h"
#include "base/limits.h"
#include "base/mem.h"
#include "pki/der.h"
#include "pki/pki_priv.h"
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/ocsp.h>
#include <openssl/x509v3.h>
#include <time.h>

#define SKEW_S 300 /* clocks of responders may be ahead of ours, and ours of theirs */
#define NO_NEXT_UPDATE_S                                                                           \
    3600 /* RFC 5019 2.2.4 demands one; without, "newer is always available" (RFC 6960 2.4) */

static int refuse(struct reason *why, int err, const char *clause, const char *what)
{
    reason_set(why, "ocsp-answer", clause, 0, "%s", what);
    ERR_clear_error();
    return err;
}

/* --- which certificate --- */

int pki_cert_id_make(X509 *cert, X509 *issuer, struct pki_cert_id *ret)
{
    const unsigned char *name;
    size_t n_name;
    const ASN1_BIT_STRING *key = X509_get0_pubkey_bitstr(issuer);
    const ASN1_INTEGER *serial = X509_get0_serialNumber(cert);
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    uint32_t lens[2];
    int err = ERR_CRYPTO;

    if (md && key && X509_NAME_get0_der(X509_get_subject_name(issuer), &name, &n_name) == 1) {
        lens[0] = (uint32_t)n_name; /* so that no two triples make the same bytes */
        lens[1] = (uint32_t)ASN1_STRING_length(key);
        if (EVP_DigestInit_ex(md, EVP_sha256(), NULL) == 1 &&
            EVP_DigestUpdate(md, lens, sizeof lens) == 1 &&
            EVP_DigestUpdate(md, name, n_name) == 1 &&
            EVP_DigestUpdate(md, ASN1_STRING_get0_data(key), lens[1]) == 1 &&
            EVP_DigestUpdate(md, ASN1_STRING_get0_data(serial),
                             (size_t)ASN1_STRING_length(serial)) == 1 &&
            EVP_DigestFinal_ex(md, ret->b, NULL) == 1)
            err = 0;
    }
    EVP_MD_CTX_free(md);
    ERR_clear_error();
    return err;
}

/* --- whom to ask, and what --- */

int pki_ocsp_responder(X509 *cert, char ret[PKI_URL_MAX])
{
    AUTHORITY_INFO_ACCESS *all = X509_get_ext_d2i(cert, NID_info_access, NULL, NULL);
    int i, err = ERR_NOTFOUND;

    for (i = 0; err != 0 && i < sk_ACCESS_DESCRIPTION_num(all); i++) {
        const ACCESS_DESCRIPTION *a = sk_ACCESS_DESCRIPTION_value(all, i);
        struct str url;
        size_t k;

        if (OBJ_obj2nid(a->method) != NID_ad_OCSP || a->location->type != GEN_URI)
            continue;
        url =
            str_make((const char *)ASN1_STRING_get0_data(a->location->d.uniformResourceIdentifier),
                     (size_t)ASN1_STRING_length(a->location->d.uniformResourceIdentifier));
        for (k = 0; k < url.n && url.p[k] > ' ' && url.p[k] < 0x7f; k++)
            ;
        /* https would need the status of another certificate first (RFC 6960 A.1 has http). */
        if (k == url.n && str_starts_nocase(url, STR("http://")) &&
            str_copy_z(ret, PKI_URL_MAX, url) == 0)
            err = 0;
    }
    AUTHORITY_INFO_ACCESS_free(all);
    ERR_clear_error();
    return err;
}

int pki_ocsp_request(X509 *cert, X509 *issuer, unsigned char **ret, size_t *ret_n)
{
    OCSP_REQUEST *q = OCSP_REQUEST_new();
    OCSP_CERTID *id =
        q ? OCSP_cert_to_id(EVP_sha1(), cert, issuer) : NULL; /* RFC 5019 2.1.1: no other hash */
    unsigned char *der = NULL;
    int n = 0, err = ERR_NOMEM;

    if (id && OCSP_request_add0_id(q, id)) {
        id = NULL; /* q's */
        n = i2d_OCSP_REQUEST(q, &der);
    }
    if (n > 0 && (*ret = mem_alloc((size_t)n)) != NULL) {
        memcpy(*ret, der, (size_t)n);
        *ret_n = (size_t)n;
        err = 0;
    }
    OPENSSL_free(der);
    OCSP_CERTID_free(id);
    OCSP_REQUEST_free(q);
    ERR_clear_error();
    return err;
}

bool pki_must_staple(X509 *cert)
{
    static const uint8_t oid_tls_feature[] = {0x2b, 6, 1, 5, 5, 7, 1, 24};
    const uint8_t *value;
    size_t n;
    struct der d, list;

    if (cert_extension(cert, oid_tls_feature, sizeof oid_tls_feature, &value, &n) != 0)
        return false;
    d = der_make(value, n);
    list = der_take(&d, DER_SEQUENCE);
    while (!d.bad && !list.bad && !der_at_end(&list))
        if (der_u64(&list) == TLSEXT_TYPE_status_request && !list.bad)
            return true;
    return false;
}

/* --- what it says --- */

static const char *revocation_cause(int reason)
{
    static const char *const causes[] = {
        [OCSP_REVOKED_STATUS_KEYCOMPROMISE] = "key compromise",
        [OCSP_REVOKED_STATUS_CACOMPROMISE] = "CA compromise",
        [OCSP_REVOKED_STATUS_AFFILIATIONCHANGED] = "affiliation changed",
        [OCSP_REVOKED_STATUS_SUPERSEDED] = "superseded",
        [OCSP_REVOKED_STATUS_CESSATIONOFOPERATION] = "cessation of operation",
        [OCSP_REVOKED_STATUS_CERTIFICATEHOLD] = "on hold",
    };
    return reason > 0 && (size_t)reason < ARRAY_LEN(causes) ? causes[reason] : NULL;
}

/* RFC 9325 4.5: by SHA-2 (or an algorithm with a hash of its own). */
static bool is_strong(OCSP_BASICRESP *basic)
{
    const ASN1_OBJECT *alg = NULL;
    int md = NID_undef, pk;

    X509_ALGOR_get0(&alg, NULL, NULL, OCSP_resp_get0_tbs_sigalg(basic));
    return OBJ_find_sigid_algs(OBJ_obj2nid(alg), &md, &pk) == 1 && md != NID_sha1 &&
           md != NID_md5 && md != NID_md4 && md != NID_md2;
}

/* RFC 6960 4.2.2.2: the issuer itself, or a certificate that the issuer issued directly for this
 * purpose. Anybody else, however trusted for other things, must not say anything about the issuer's
 * certificates. */
static bool is_signed(OCSP_BASICRESP *basic, X509 *issuer)
{
    STACK_OF(X509) *others = sk_X509_new_null();
    X509_STORE *store = X509_STORE_new();
    bool ok = is_strong(basic) && others && store && sk_X509_push(others, issuer) > 0 &&
              X509_STORE_add_cert(store, issuer) == 1 &&
              X509_STORE_set_flags(store, X509_V_FLAG_PARTIAL_CHAIN) == 1 &&
              OCSP_basic_verify(basic, others, store, OCSP_TRUSTOTHER) == 1;

    sk_X509_free(others);
    X509_STORE_free(store);
    return ok;
}

/* The single answer about this certificate: by the hash that its own identifier uses (RFC
 * 6960 4.1.1). */
static const OCSP_SINGLERESP *answer_find(OCSP_BASICRESP *basic, X509 *cert, X509 *issuer)
{
    const OCSP_SINGLERESP *found = NULL;
    int i, n = OCSP_resp_count(basic);

    for (i = 0; i < n && i < (int)LIMIT_OCSP_ANSWERS && !found; i++) {
        const OCSP_SINGLERESP *one = OCSP_resp_get0(basic, i);
        const OCSP_CERTID *id = OCSP_SINGLERESP_get0_id(one);
        ASN1_OBJECT *alg = NULL;
        int nid = OCSP_id_get0_info(NULL, &alg, NULL, NULL, (OCSP_CERTID *)(uintptr_t)id) == 1
                      ? OBJ_obj2nid(alg)
                      : NID_undef;
        const EVP_MD *md = nid == NID_sha1     ? EVP_sha1()
                           : nid == NID_sha256 ? EVP_sha256()
                           : nid == NID_sha384 ? EVP_sha384()
                           : nid == NID_sha512 ? EVP_sha512()
                                               : NULL;
        OCSP_CERTID *want = md ? OCSP_cert_to_id(md, cert, issuer) : NULL;

        if (want && OCSP_id_cmp(want, id) == 0)
            found = one;
        OCSP_CERTID_free(want);
    }
    return found;
}

static int answer_read(const OCSP_SINGLERESP *one, int64_t now, struct pki_ocsp_answer *ret,
                       struct reason *why)
{
    ASN1_GENERALIZEDTIME *revoked = NULL, *from = NULL, *until = NULL;
    int cause = -1;
    int status =
        OCSP_single_get0_status((OCSP_SINGLERESP *)(uintptr_t)one, &cause, &revoked, &from, &until);

    *ret = (struct pki_ocsp_answer){.status = PKI_STATUS_UNKNOWN};
    if (asn1_time_s(from, &ret->this_update) != 0 ||
        (until && asn1_time_s(until, &ret->next_update) != 0))
        return refuse(why, ERR_SYNTAX, "RFC 6960 4.2.1", "the OCSP answer has no valid dates");
    if (!until)
        ret->next_update = ret->this_update + NO_NEXT_UPDATE_S;
    if (status == V_OCSP_CERTSTATUS_REVOKED) {
        ret->status = PKI_STATUS_REVOKED;
        ret->cause = revocation_cause(cause);
        if (asn1_time_s(revoked, &ret->revoked_at) != 0)
            ret->revoked_at = 0;
    } else if (status == V_OCSP_CERTSTATUS_GOOD) {
        ret->status = PKI_STATUS_GOOD;
    }
    if (ret->this_update > now + SKEW_S)
        return refuse(why, ERR_TIMEOUT, "RFC 6960 3.2", "the OCSP answer is of the future");
    if (ret->next_update + SKEW_S < now || ret->next_update < ret->this_update)
        return refuse(why, ERR_TIMEOUT, "RFC 6960 3.2", "the OCSP answer is out of date");
    return 0;
}

int pki_ocsp_check(const void *der, size_t n, X509 *cert, X509 *issuer, int64_t now,
                   struct pki_ocsp_answer *ret, struct reason *why)
{
    const unsigned char *p = der;
    OCSP_RESPONSE *r;
    OCSP_BASICRESP *basic = NULL;
    const OCSP_SINGLERESP *one;
    int status, err;

    *ret = (struct pki_ocsp_answer){.status = PKI_STATUS_UNKNOWN};
    if (n > LIMIT_OCSP_BYTES)
        return refuse(why, ERR_LIMIT, NULL, "the OCSP answer is too long");
    ERR_clear_error();
    r = d2i_OCSP_RESPONSE(NULL, &p, (long)n);
    if (!r || p != (const unsigned char *)der + n) {
        OCSP_RESPONSE_free(r);
        return refuse(why, ERR_SYNTAX, "RFC 6960 4.2.1", "the OCSP answer cannot be decoded");
    }
    status = OCSP_response_status(r);
    if (status != OCSP_RESPONSE_STATUS_SUCCESSFUL) {
        reason_set(why, "ocsp-answer", "RFC 6960 2.3", 0, "the OCSP responder says %s",
                   OCSP_response_status_str(status));
        err = ERR_AGAIN;
    } else if ((basic = OCSP_response_get1_basic(r)) == NULL) {
        err = refuse(why, ERR_SYNTAX, "RFC 6960 4.2.1", "the OCSP answer is of an unknown kind");
    } else if ((one = answer_find(basic, cert, issuer)) == NULL) {
        err = refuse(why, ERR_REFUSED, "RFC 6960 3.2",
                     "the OCSP answer is about another certificate");
    } else if (!is_signed(basic, issuer)) {
        err = refuse(why, ERR_REFUSED, "RFC 6960 4.2.2.2",
                     "the OCSP answer is not signed by one who may say this");
    } else {
        err = answer_read(one, now, ret, why);
    }
    if (err != 0)
        ret->status = PKI_STATUS_UNKNOWN;
    OCSP_BASICRESP_free(basic);
    OCSP_RESPONSE_free(r);
    ERR_clear_error();
    return err;
}
