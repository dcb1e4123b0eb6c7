/* GRUUs (RFC 5627): URIs that reach one phone of a user.
 *
 * A public one is the address of record with gr=<instance> (3.1.1); nothing has to be kept for it.
 *
 * A temporary one must not show whose it is, nor that two are of the same phone (5.1), and each
 * refresh of a registration makes another: so they are sealed, not kept. Its user part is base64url
 * of nonce (12), AES-256-GCM of epoch (8) and the user part padded to 16 bytes, tag (16); the
 * domain is authenticated along. The epoch is a random number that all bindings of an instance
 * share from their first REGISTER until its Call-ID changes or the last of them ends: a GRUU is
 * valid as long as some binding has its epoch (3.1.2). */
#include "location/location_priv.h"
#include <openssl/evp.h>

#define NONCE 12u
#define TAG 16u
#define EPOCH 8u
#define PAD 16u
#define USER_MAX 223u /* so that the token has at most 255 * 4/3 characters */
#define PLAIN_MAX (EPOCH + (USER_MAX + 1 + PAD - 1) / PAD * PAD)
#define SEALED_MAX (NONCE + PLAIN_MAX + TAG)
#define TOKEN_MAX (SEALED_MAX / 3 * 4 + 8)

static const struct str token_prefix = {"tg.", 3};

/* "sip:user@domain" */
static bool aor_split(struct str aor, struct str *ret_user, struct str *ret_domain)
{
    size_t at = aor.n;

    while (at > 4 && aor.p[at - 1] != '@')
        at--;
    if (aor.n < 4 || at <= 5 || at == aor.n)
        return false;
    *ret_user = str_make(aor.p + 4, at - 1 - 4);
    *ret_domain = str_make(aor.p + at, aor.n - at);
    return true;
}

int loc_gruu_public(struct arena *a, struct str aor, struct str instance, struct str *ret)
{
    static const char hex[] = "0123456789ABCDEF";
    const struct str gr = STR(";gr=");
    char *p = arena_alloc(a, aor.n + gr.n + 3 * instance.n);
    size_t n = aor.n + gr.n;

    if (!p)
        return ERR_NOMEM;
    memcpy(p, aor.p, aor.n);
    memcpy(p + aor.n, gr.p, gr.n);
    for (size_t i = 0; i < instance.n; i++) {
        unsigned char c = (unsigned char)instance.p[i];

        /* param-unreserved and unreserved of RFC 3261 25.1, without what could end a quoted string
         */
        if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
            (c && strchr("-_.!~*()[]/:&+$", c))) {
            p[n++] = (char)c;
        } else {
            p[n++] = '%';
            p[n++] = hex[c >> 4];
            p[n++] = hex[c & 15];
        }
    }
    *ret = str_make(p, n);
    return 0;
}

/* One block sealed or opened in place of the other; buf: nonce, text of n bytes, tag. */
static bool gcm(const struct location *l, bool is_seal, uint8_t *buf, size_t n, struct str domain)
{
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    uint8_t *text = buf + NONCE, *tag = text + n;
    int len;
    bool ok =
        ctx != NULL &&
        EVP_CipherInit_ex(ctx, EVP_aes_256_gcm(), NULL, l->gruu_key, buf, is_seal) == 1 &&
        EVP_CipherUpdate(ctx, NULL, &len, (const unsigned char *)domain.p, (int)domain.n) == 1 &&
        EVP_CipherUpdate(ctx, text, &len, text, (int)n) == 1;

    if (ok && !is_seal)
        ok = EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, TAG, tag) == 1;
    ok = ok && EVP_CipherFinal_ex(ctx, text + n, &len) == 1;
    if (ok && is_seal)
        ok = EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, TAG, tag) == 1;
    EVP_CIPHER_CTX_free(ctx);
    return ok;
}

int loc_gruu_temporary(const struct location *l, struct rand_source *rand, struct arena *a,
                       struct str aor, uint64_t epoch, struct str *ret)
{
    uint8_t sealed[SEALED_MAX] = {0};
    char token[TOKEN_MAX];
    struct str user, domain;
    size_t n;

    *ret = STR_NULL;
    if (!aor_split(aor, &user, &domain) || user.n > USER_MAX)
        return ERR_LIMIT;
    n = EPOCH + (user.n + 1 + PAD - 1) / PAD * PAD;
    rand_fill(rand, sealed, NONCE);
    memcpy(sealed + NONCE, &epoch, EPOCH);
    memcpy(sealed + NONCE + EPOCH, user.p, user.n);
    sealed[NONCE + EPOCH + user.n] = 0x80; /* then zeros: the padding can be taken off */
    if (!gcm(l, true, sealed, n, domain))
        return ERR_CRYPTO;
    if (str_base64_encode(token, sizeof(token), sealed, NONCE + n + TAG, true) != 0)
        return ERR_LIMIT;
    *ret = arena_fmt(a, "sip:%.*s%s@%.*s;gr", STR_FMT(token_prefix), token, STR_FMT(domain));
    return ret->p ? 0 : ERR_NOMEM;
}

int loc_gruu_open(const struct location *l, struct arena *a, struct str token_aor,
                  struct str *ret_aor, uint64_t *ret_epoch)
{
    uint8_t sealed[SEALED_MAX + 3];
    struct str token, domain;
    size_t n;

    if (!aor_split(token_aor, &token, &domain) || token.n < token_prefix.n ||
        memcmp(token.p, token_prefix.p, token_prefix.n) != 0)
        return ERR_NOTFOUND;
    token.p += token_prefix.n;
    token.n -= token_prefix.n;
    if (str_base64_decode(sealed, sizeof(sealed), token, true, &n) != 0 ||
        n < NONCE + EPOCH + PAD + TAG || n > SEALED_MAX)
        return ERR_NOTFOUND;
    n -= NONCE + TAG;
    if (!gcm(l, false, sealed, n, domain))
        return ERR_NOTFOUND;
    memcpy(ret_epoch, sealed + NONCE, EPOCH);
    while (n > EPOCH && sealed[NONCE + n - 1] == 0)
        n--;
    if (n <= EPOCH + 1 || sealed[NONCE + n - 1] != 0x80 || *ret_epoch == 0)
        return ERR_NOTFOUND;
    *ret_aor = arena_fmt(a, "sip:%.*s@%.*s", (int)(n - 1 - EPOCH),
                         (const char *)sealed + NONCE + EPOCH, STR_FMT(domain));
    return ret_aor->p ? 0 : ERR_NOMEM;
}
