/* TLS by private keys that somebody else has: what a handshake asks of whoever has the key, so that
 * this process needs its certificate alone. What is signed is one of four texts that TLS knows, and
 * goes out whole, never as a digest: who has the key can see what it is (RFC 8446 4.4.3, RFC 5246
 * 7.4.8, RFC 8422 5.4).
 *
 *     worker                                               who has the key
 *     SSL_do_handshake
 *       the provider of remote.c, instead of a signature:
 *         pki_signing->wait    -> pki_signer.start(job) ->  judges, signs
 *       ... goes on            <-  job->done            <-
 *
 * `wait` returns when there is an answer; how, without holding up the thread, is net's (net/tls.c).
 */
#ifndef PKI_SIGNING_H
#define PKI_SIGNING_H

#include "base/err.h"
#include "base/reason.h"
#include "base/str.h"

struct evp_pkey_st;
struct x509_st;

#define PKI_KEY_NAME 64u         /* hex digits */
#define PKI_SIGNATURE_MAX 1024u  /* of RSA with 8192 bits */
#define PKI_TLS13_INPUT_MAX 162u /* 64 blanks, the longer context, NUL, SHA-512 */

enum pki_sign_kind {
    PKI_SIGN_TLS13_SERVER = 1, /* CertificateVerify, RFC 8446 4.4.3 */
    PKI_SIGN_TLS13_CLIENT,
    PKI_SIGN_TLS12_SERVER, /* ServerKeyExchange, RFC 8422 5.4 */
    PKI_SIGN_TLS12_CLIENT, /* CertificateVerify, RFC 5246 7.4.8 */
};

/* A signature that is wanted. */
struct pki_sign_request {
    struct str key; /* its name: the SHA-256 of the public key (SubjectPublicKeyInfo), in hex */
    enum pki_sign_kind kind;
    uint16_t scheme; /* SignatureScheme, RFC 8446 4.2.3 */
    struct str input;
};

/* How a SignatureScheme signs. NULL: not one of those that TLS 1.2 and 1.3 have in common here. */
struct pki_sign_scheme {
    uint16_t code;
    const char *key_type; /* "EC", "RSA", "ED25519" */
    const char *digest;   /* NULL: none of its own */
    bool is_pss;
    const char *curve; /* the one that TLS 1.3 asks for */
};
const struct pki_sign_scheme *pki_sign_scheme(uint16_t code);
/* Of a type and digest (as OpenSSL names it); NULL: there is none. */
const struct pki_sign_scheme *pki_sign_scheme_find(const char *key_type, const char *digest,
                                                   bool is_pss);

/* Is the input such a text, whole, and may it be signed by this scheme? ERR_SYNTAX, ERR_REFUSED.
 * Pure. */
MUST_USE int pki_sign_judge(const struct pki_sign_request *r, struct reason *why);

/* Of a public key; the same for the private one that belongs to it. ERR_CRYPTO. */
MUST_USE int pki_key_name(const struct evp_pkey_st *key, char ret[PKI_KEY_NAME + 1]);
/* The public key of the first certificate in a PEM file. The caller frees it. */
MUST_USE int pki_cert_key_load(const char *file, struct evp_pkey_st **ret, struct reason *why);
/* Have the certificates (first of each PEM file) the same key? false, too, if one cannot be read.
 */
bool pki_certs_share_key(const char *a_file, const char *b_file);
/* A private key from a PEM file that others cannot read. Only who keeps keys calls this. */
MUST_USE int pki_private_key_load(const char *file, struct evp_pkey_st **ret, struct reason *why);

/* --- who asks --- */

struct pki_sign_job {
    struct pki_sign_request request;
    /* Once for each start, later, unless it was cancelled. err 0: `signature`, during the call. */
    void (*done)(struct pki_sign_job *job, int err, struct str signature);
    void *arg;
};
struct pki_signer {
    /* Copies what it needs. ERR_LIMIT, ERR_CLOSED: `done` is not called then. */
    int (*start)(struct pki_signer *self, struct pki_sign_job *job);
    void (*cancel)(struct pki_signer *self, struct pki_sign_job *job);
};

/* What a handshake on this thread does when it needs a signature. */
struct pki_signing {
    bool is_client;
    int version; /* SSL_version, at that time */
    /* Returns with an answer: 0 and *ret_n bytes. */
    int (*wait)(struct pki_signing *s, const struct pki_sign_request *r,
                uint8_t ret[PKI_SIGNATURE_MAX], size_t *ret_n);
    const struct ssl_st *ssl;
};
/* While SSL_do_handshake runs; NULL: nobody is asked, and it fails. This thread's. */
void pki_signing_set(struct pki_signing *s);

/* A key object of the public key, whose signatures are asked for: for SSL_CTX_use_PrivateKey. The
 * caller frees it. ERR_UNSUPPORTED: not a kind of key that is signed with so. */
MUST_USE int pki_remote_key_new(const struct evp_pkey_st *key, struct evp_pkey_st **ret,
                                struct reason *why);

#endif
