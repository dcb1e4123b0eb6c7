/* The fingerprints that the other side announces, and whether a certificate is one of them. RFC
 * 8122 5, RFC 8842 5.1. Pure. */
#include "base/err.h"
#include "base/secret.h"
#include "keying/dtls_priv.h"
#include "sdp/values.h"

/* Hash functions, the preferred first. SHA-1 only where policy allows; MD5 and MD2 never (RFC 8122
 * 5). */
struct hash {
    const char *name;
    const EVP_MD *(*md)(void);
    bool is_weak;
};
static const struct hash hashes[] = {
    {"sha-512", EVP_sha512, false}, {"sha-384", EVP_sha384, false}, {"sha-256", EVP_sha256, false},
    {"sha-224", EVP_sha224, false}, {"sha-1", EVP_sha1, true},
};

static const struct hash *hash_find(struct str name, bool allow_sha1)
{
    for (size_t i = 0; i < ARRAY_LEN(hashes); i++) {
        if (str_eq_nocase(name, str_z(hashes[i].name)) && (allow_sha1 || !hashes[i].is_weak))
            return &hashes[i];
    }
    return NULL;
}

static int parse(const struct keying_heard *heard, unsigned i, struct sdp_fingerprint *ret)
{
    const struct sdp_line *line =
        sdp_attr_inherited(heard->sdp, heard->section, SDP_A_FINGERPRINT, i);

    return line == NULL ? ERR_NOTFOUND : sdp_fingerprint_parse(line->arg, ret);
}

/* The set as a number: equal sets in the same order are equal. Two of one process compare. */
static uint64_t digest_all(const struct keying_heard *heard)
{
    const struct sdp_line *line;
    uint64_t all = 0;

    for (unsigned i = 0;
         (line = sdp_attr_inherited(heard->sdp, heard->section, SDP_A_FINGERPRINT, i)) != NULL; i++)
        all = all * 31 + str_hash_nocase(str_trim(line->arg));
    return all;
}

int dtls_peer_read(const struct keying_heard *heard, bool allow_sha1, struct dtls_peer *ret,
                   struct reason *why)
{
    const struct hash *best = NULL;
    struct sdp_fingerprint print;
    unsigned n = 0;
    int err;

    *ret = (struct dtls_peer){.n = 0};
    for (; (err = parse(heard, n, &print)) != ERR_NOTFOUND; n++) {
        const struct hash *hash = err == 0 ? hash_find(print.hash, allow_sha1) : NULL;

        if (hash != NULL && (best == NULL || hash < best))
            best = hash;
    }
    if (best == NULL) {
        reason_set(why, n == 0 ? "dtls-no-fingerprint" : "dtls-fingerprint-hash", "RFC 8122 5", 488,
                   "%s",
                   n == 0 ? "no fingerprint" : "no fingerprint by a hash function that we accept");
        return n == 0 ? ERR_NOTFOUND : ERR_UNSUPPORTED;
    }
    ret->md = best->md();
    ret->hash = best->name;
    ret->all = digest_all(heard);
    for (unsigned i = 0; i < n && ret->n < DTLS_PRINTS_MAX; i++) {
        if (parse(heard, i, &print) == 0 && hash_find(print.hash, allow_sha1) == best &&
            print.n == EVP_MD_get_size(ret->md))
            memcpy(ret->print[ret->n++], print.bytes, print.n);
    }
    if (ret->n > 0)
        return 0;
    reason_set(why, "dtls-fingerprint-length", "RFC 8122 5", 488,
               "a fingerprint does not have the length of its hash");
    return ERR_UNSUPPORTED;
}

bool dtls_peer_matches(const struct dtls_peer *peer, const X509 *cert)
{
    uint8_t digest[EVP_MAX_MD_SIZE];
    unsigned n = 0;
    bool matches = false;

    if (peer->md == NULL || cert == NULL || X509_digest(cert, peer->md, digest, &n) != 1)
        return false;
    for (unsigned i = 0; i < peer->n; i++)
        matches |= secret_bytes_eq(digest, peer->print[i], n);
    return matches;
}

#define SECURITY_BITS_MIN 112 /* RSA with 2048 bits, P-224 */

bool dtls_peer_is(const struct dtls_peer *peer, const struct dtls_assoc *assoc)
{
    X509 *cert = dtls_assoc_peer(assoc);
    EVP_PKEY *key = cert != NULL ? X509_get0_pubkey(cert) : NULL;
    bool is = key != NULL && EVP_PKEY_get_security_bits(key) >= SECURITY_BITS_MIN &&
              dtls_peer_matches(peer, cert);

    X509_free(cert);
    return is;
}
