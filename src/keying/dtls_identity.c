/* Self-signed certificates for DTLS-SRTP and the contexts that associations are made from. RFC 5763
 * 5, 6.1, RFC 8122 5, RFC 8827 6.5. An identity is constant once made and may be used by any number
 * of threads. */
#include "base/err.h"
#include "base/mem.h"
#include "base/secret.h"
#include "keying/dtls_priv.h"
#include <openssl/x509.h>

#define CIPHERS                                                                                    \
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305:"   \
    "ECDHE-RSA-AES128-GCM-SHA256:ECDHE-RSA-AES256-GCM-SHA384:ECDHE-RSA-CHACHA20-POLY1305"
#define DAY_S 86400

/* The name says nothing: certificates go over the network in the clear, and a name would tell calls
 * apart (RFC 5763 6.1). */
static bool cert_name(X509 *cert)
{
    X509_NAME *name = X509_get_subject_name(cert);

    return X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)"dtls-srtp",
                                      -1, -1, 0) == 1 &&
           X509_set_issuer_name(cert, name) == 1;
}

static bool cert_serial(X509 *cert, struct rand_source *rand)
{
    uint8_t bytes[16];
    BIGNUM *n;
    bool ok;

    rand_fill(rand, bytes, sizeof(bytes));
    bytes[0] = (uint8_t)(1 | (bytes[0] & 0x7f)); /* positive, and not short */
    n = BN_bin2bn(bytes, sizeof(bytes), NULL);
    ok = n != NULL && BN_to_ASN1_INTEGER(n, X509_get_serialNumber(cert)) != NULL;
    BN_free(n);
    return ok;
}

static X509 *cert_make(EVP_PKEY *key, uint64_t wall_s, struct rand_source *rand)
{
    X509 *cert = X509_new_ex(dtls_library(), NULL);
    /* A day back, for peers whose clocks are behind; to the day, so that the date does not tell
     * processes apart. */
    time_t from = (time_t)(wall_s / DAY_S * DAY_S) - DAY_S,
           until = from + (KEYING_DTLS_DAYS + 2) * DAY_S;

    if (cert != NULL && X509_set_version(cert, 2) == 1 && cert_serial(cert, rand) && cert_name(cert) &&
        ASN1_TIME_set(X509_getm_notBefore(cert), from) != NULL &&
        ASN1_TIME_set(X509_getm_notAfter(cert), until) != NULL && X509_set_pubkey(cert, key) == 1 &&
        X509_sign(cert, key, EVP_sha256()) != 0)
        return cert;
    X509_free(cert);
    return NULL;
}

static bool fingerprint_make(struct keying_dtls_identity *id)
{
    uint8_t digest[EVP_MAX_MD_SIZE];
    struct sbuf b = sbuf_make(id->fingerprint, sizeof(id->fingerprint));
    unsigned n = 0;

    if (X509_digest(id->cert, EVP_sha256(), digest, &n) != 1)
        return false;
    sbuf_lit(&b, "sha-256 ");
    for (unsigned i = 0; i < n; i++)
        sbuf_fmt(&b, "%s%02X", i > 0 ? ":" : "", digest[i]);
    sbuf_char(&b, '\0');
    return !b.overflow;
}

static SSL_CTX *ctx_make(const struct keying_dtls_identity *id)
{
    int groups[] = {NID_X25519, NID_X9_62_prime256v1, NID_secp384r1};
    SSL_CTX *ctx = SSL_CTX_new_ex(dtls_library(), NULL, DTLS_method());

    if (ctx != NULL && SSL_CTX_set_min_proto_version(ctx, DTLS1_2_VERSION) == 1 &&
        SSL_CTX_set_max_proto_version(ctx, DTLS1_2_VERSION) == 1 &&
        SSL_CTX_set_cipher_list(ctx, CIPHERS) == 1 &&
        SSL_CTX_set1_groups(ctx, groups, ARRAY_LEN(groups)) == 1 &&
        SSL_CTX_use_certificate(ctx, id->cert) == 1 && SSL_CTX_use_PrivateKey(ctx, id->key) == 1 &&
        dtls_assoc_ctx_init(ctx) == 0)
        return ctx;
    SSL_CTX_free(ctx);
    return NULL;
}

static void identity_free(struct keying_dtls_identity *id)
{
    SSL_CTX_free(id->client);
    SSL_CTX_free(id->server);
    X509_free(id->cert);
    EVP_PKEY_free(id->key); /* OpenSSL wipes it */
    secret_wipe(id, sizeof(*id));
    mem_free(id);
}

int keying_dtls_identity_new(struct keying_dtls_identity **ret, uint64_t wall_s, struct rand_source *rand)
{
    struct keying_dtls_identity *id = mem_zalloc(sizeof(*id));

    if (id == NULL)
        return ERR_NOMEM;
    atomic_init(&id->refs, 1);
    id->due_s = wall_s + KEYING_DTLS_ROTATE_S;
    id->key = EVP_PKEY_Q_keygen(dtls_library(), NULL, "EC", "P-256");
    if (id->key != NULL)
        id->cert = cert_make(id->key, wall_s, rand);
    rand_fill(rand, id->cookie_key, sizeof(id->cookie_key));
    if (id->cert != NULL && fingerprint_make(id)) {
        id->client = ctx_make(id);
        id->server = ctx_make(id);
    }
    if (id->client == NULL || id->server == NULL) {
        identity_free(id);
        return ERR_CRYPTO;
    }
    *ret = id;
    return 0;
}

struct keying_dtls_identity *keying_dtls_identity_ref(struct keying_dtls_identity *id)
{
    atomic_fetch_add_explicit(&id->refs, 1, memory_order_relaxed);
    return id;
}

void keying_dtls_identity_unref(struct keying_dtls_identity *id)
{
    if (id != NULL && atomic_fetch_sub_explicit(&id->refs, 1, memory_order_acq_rel) == 1)
        identity_free(id);
}

bool keying_dtls_identity_is_due(const struct keying_dtls_identity *id, uint64_t wall_s)
{
    return wall_s >= id->due_s || wall_s + KEYING_DTLS_ROTATE_S < id->due_s; /* the clock was set back: not in force yet */
}

struct str keying_dtls_identity_fingerprint(const struct keying_dtls_identity *id)
{
    return str_z(id->fingerprint);
}
