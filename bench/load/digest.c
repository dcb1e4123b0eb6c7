/* Digest arithmetic of the generated phones: RFC 7616 and 8760, qop auth. One thread. */
#include "load.h"

#include <openssl/evp.h>

static struct {
    EVP_MD *md;
    EVP_MD_CTX *ctx;
} digests[DIGEST_KINDS];

int digest_init(void)
{
    static const char *const names[DIGEST_KINDS] = {"MD5", "SHA256"};

    for (int i = 0; i < DIGEST_KINDS; i++) {
        digests[i].md = EVP_MD_fetch(NULL, names[i], NULL);
        digests[i].ctx = EVP_MD_CTX_new();
        if (digests[i].md == NULL || digests[i].ctx == NULL)
            return -1;
    }
    return 0;
}

struct slice digest_name(enum digest_kind kind)
{
    return kind == DIGEST_MD5 ? S("MD5") : S("SHA-256");
}

size_t digest_hex(enum digest_kind kind, const char *p, size_t len, char *ret_hex)
{
    unsigned char raw[EVP_MAX_MD_SIZE];
    unsigned n = 0;

    if (EVP_DigestInit_ex2(digests[kind].ctx, digests[kind].md, NULL) != 1 ||
        EVP_DigestUpdate(digests[kind].ctx, p, len) != 1 ||
        EVP_DigestFinal_ex(digests[kind].ctx, raw, &n) != 1)
        return 0;
    for (unsigned i = 0; i < n; i++) {
        ret_hex[2 * i] = "0123456789abcdef"[raw[i] >> 4];
        ret_hex[2 * i + 1] = "0123456789abcdef"[raw[i] & 15];
    }
    return 2 * (size_t)n;
}

bool digest_challenge_find(const struct text *t, enum digest_kind kind,
                           struct digest_challenge *ret_challenge)
{
    for (size_t i = 0; i < t->n_authenticate; i++) {
        struct slice c = t->authenticate[i];
        if (!slice_starts(c, S("Digest ")))
            continue;
        struct slice algorithm = text_auth_param(c, S("algorithm"));
        if (algorithm.len == 0)
            algorithm = S("MD5"); /* RFC 7616 3.3 */
        if (!slice_eq(algorithm, digest_name(kind)))
            continue;
        struct slice qop = text_auth_param(c, S("qop")), one;
        *ret_challenge = (struct digest_challenge){
            .realm = text_auth_param(c, S("realm")),
            .nonce = text_auth_param(c, S("nonce")),
            .opaque = text_auth_param(c, S("opaque")),
            .algorithm = algorithm,
            .stale = text_auth_param(c, S("stale")).len == 4,
        };
        while (text_next_value(&qop, &one))
            if (slice_eq(one, S("auth")))
                ret_challenge->has_qop_auth = true;
        return ret_challenge->nonce.len > 0 && ret_challenge->realm.len > 0;
    }
    return false;
}
