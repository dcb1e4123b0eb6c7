/* Questions to OCSP responders and their answers, RFC 6960 and its profile RFC 5019; the TLS
 * feature that asks for a stapled answer, RFC 7633. Pure: bytes in, values out; the clock is the
 * caller's. Any thread. */
#ifndef PKI_OCSP_H
#define PKI_OCSP_H

#include "base/err.h"
#include "base/reason.h"
#include "base/str.h"

struct x509_st;

/* REVOKED is worth more than GOOD, and that more than UNKNOWN: nobody knows, or nobody said. */
enum pki_status { PKI_STATUS_UNKNOWN, PKI_STATUS_GOOD, PKI_STATUS_REVOKED };

/* Which certificate: a digest of its issuer's name and key and its serial number, so that two CAs
 * of one name are told apart. */
#define PKI_CERT_ID_BYTES 32u
struct pki_cert_id {
    unsigned char b[PKI_CERT_ID_BYTES];
};
MUST_USE int pki_cert_id_make(struct x509_st *cert, struct x509_st *issuer,
                              struct pki_cert_id *ret);

#define PKI_URL_MAX 512u
/* The first http: responder that the certificate names (RFC 5280 4.2.2.1). ERR_NOTFOUND: none, or
 * none that we would ask. */
MUST_USE int pki_ocsp_responder(struct x509_st *cert, char ret[PKI_URL_MAX]);
/* The DER of a question about one certificate, without nonce since the answer will be kept (RFC
 * 5019 2.1.1, 4). To be freed with mem_free. */
MUST_USE int pki_ocsp_request(struct x509_st *cert, struct x509_st *issuer, unsigned char **ret,
                              size_t *ret_n);
/* Does it ask for a stapled answer (status_request in its TLS feature extension, RFC 7633 4)? */
bool pki_must_staple(struct x509_st *cert);

struct pki_ocsp_answer {
    enum pki_status status;
    int64_t this_update,
        next_update;    /* seconds since 1970; without nextUpdate, an hour after thisUpdate */
    int64_t revoked_at; /* REVOKED: when; 0: not said */
    const char *cause;  /* REVOKED: RFC 5280 5.3.1 in words, or NULL */
};
/* An answer (DER) about the certificate: signed by its issuer, or by one to whom the issuer gave
 * id-kp-OCSPSigning (RFC 6960 4.2.2.2), and in force. ERR_TIMEOUT: it is too old, or of the future;
 * ERR_AGAIN: the responder has no answer (RFC 6960 2.3); ERR_SYNTAX, ERR_REFUSED, ERR_LIMIT. What a
 * responder says that does not know the certificate is an answer, PKI_STATUS_UNKNOWN. */
MUST_USE int pki_ocsp_check(const void *der, size_t n, struct x509_st *cert, struct x509_st *issuer,
                            int64_t now, struct pki_ocsp_answer *ret, struct reason *why);

#endif
