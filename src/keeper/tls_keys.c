/* Keys of TLS and what they sign: RFC 8446 4.2.3, 4.4.3; RFC 5246 7.4.8; RFC 8422 5.4. */
#include "keeper/tls_keys.h"
#include "base/mem.h"
#include "keeper/keeper_priv.h"
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <stdio.h>

struct keeper_tls_key {
    char id[PKI_KEY_NAME + 1]; /* as the daemon names it */
    struct str name;
    const char *type; /* as schemes have it */
    char curve[32];   /* of an EC key */
    EVP_PKEY *public;
    EVP_PKEY *file_key;
    struct token_key *token;
    bool as_server;
    struct keeper_rate used;
    uint64_t n_signed, n_refused; /* since they were told */
};

struct keeper_tls_keys {
    struct arena *arena;
    unsigned rate;
    struct keeper_tls_keys *before; /* what was in force, for handshakes under way; NULL */
    uint64_t before_until_ms;
    size_t n;
    struct keeper_tls_key v[LIMIT_KEEPER_TLS_KEYS];
};

static int no_memory(struct reason *why)
{
    reason_set(why, "no-memory", NULL, 0, NULL);
    return ERR_NOMEM;
}

/* --- signing --- */

static int sign_by_file(struct keeper_tls_key *k, const struct pki_sign_scheme *s, struct str input,
                        uint8_t ret[PKI_SIGNATURE_MAX], size_t *ret_n)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    EVP_PKEY_CTX *pctx = NULL;
    bool ok =
        ctx && EVP_DigestSignInit_ex(ctx, &pctx, s->digest, NULL, NULL, k->file_key, NULL) == 1;

    if (ok && s->is_pss)
        ok = EVP_PKEY_CTX_set_rsa_padding(pctx, RSA_PKCS1_PSS_PADDING) == 1 &&
             EVP_PKEY_CTX_set_rsa_pss_saltlen(pctx, RSA_PSS_SALTLEN_DIGEST) == 1;
    *ret_n = PKI_SIGNATURE_MAX;
    ok = ok && EVP_DigestSign(ctx, ret, ret_n, (const uint8_t *)input.p, input.n) == 1;
    EVP_MD_CTX_free(ctx);
    ERR_clear_error();
    return ok ? 0 : ERR_CRYPTO;
}

static int sign_by_token(struct keeper_tls_key *k, const struct pki_sign_scheme *s,
                         struct str input, uint8_t ret[PKI_SIGNATURE_MAX], size_t *ret_n)
{
    uint8_t digest[EVP_MAX_MD_SIZE], raw[JWS_SIGNATURE_MAX], der[JWS_DER_MAX];
    size_t n, half = ((size_t)EVP_PKEY_get_bits(k->public) + 7) / 8;
    int err;

    if (EVP_Q_digest(NULL, s->digest, NULL, input.p, input.n, digest, &n) != 1)
        return ERR_CRYPTO;
    if (k->type[0] == 'R')
        return token_key_sign_rsa(k->token, s, digest, n, ret, ret_n);
    if ((err = token_key_sign(k->token, digest, n, half, raw)) != 0 ||
        (err = jws_der_from_raw(raw, half, der, ret_n)) != 0)
        return err;
    memcpy(ret, der, *ret_n);
    return 0;
}

static int sign(struct keeper_tls_key *k, const struct pki_sign_scheme *s, struct str input,
                uint8_t ret[PKI_SIGNATURE_MAX], size_t *ret_n)
{
    return k->token ? sign_by_token(k, s, input, ret, ret_n)
                    : sign_by_file(k, s, input, ret, ret_n);
}

/* --- loading --- */

static int fail_verify(struct reason *why)
{
    ERR_clear_error();
    reason_set(why, "keeper-key", NULL, 0, "does not sign what the certificate verifies");
    return ERR_REFUSED;
}

/* A key that does not fit its certificate is found now, not by those who connect. */
static int try_key(struct keeper_tls_key *k, struct reason *why)
{
    const struct pki_sign_scheme *s = pki_sign_scheme_find(k->type, "SHA256", k->type[0] == 'R');
    uint8_t signature[PKI_SIGNATURE_MAX];
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    EVP_PKEY_CTX *pctx = NULL;
    size_t n;
    bool ok = ctx && s && sign(k, s, STR("."), signature, &n) == 0 &&
              EVP_DigestVerifyInit_ex(ctx, &pctx, s->digest, NULL, NULL, k->public, NULL) == 1;

    if (ok && s->is_pss)
        ok = EVP_PKEY_CTX_set_rsa_padding(pctx, RSA_PKCS1_PSS_PADDING) == 1 &&
             EVP_PKEY_CTX_set_rsa_pss_saltlen(pctx, RSA_PSS_SALTLEN_DIGEST) == 1;
    ok = ok && EVP_DigestVerify(ctx, signature, n, (const uint8_t *)".", 1) == 1;
    EVP_MD_CTX_free(ctx);
    return ok ? 0 : fail_verify(why);
}

static int load_private(struct keeper_tls_key *k, const char *key, struct reason *why)
{
    int err;

    if (token_uri_is(key)) {
        if (strcmp(k->type, "ED25519") == 0) {
            reason_set(why, "keeper-key", NULL, 0, "Ed25519 keys on a token are not supported");
            return ERR_UNSUPPORTED;
        }
        return token_key_open(key, k->type[0] == 'R' ? TOKEN_RSA : TOKEN_EC, &k->token, why);
    }
    if ((err = pki_private_key_load(key, &k->file_key, why)) != 0)
        return err;
    if (EVP_PKEY_eq(k->public, k->file_key) == 1)
        return 0;
    ERR_clear_error();
    reason_set(why, "keeper-key", NULL, 0, "%s: not the key of the certificate", key);
    return ERR_REFUSED;
}

static int read_public(struct keeper_tls_key *k, const char *cert_file, struct reason *why)
{
    static const char *const types[] = {"EC", "RSA", "ED25519"};
    int err = pki_cert_key_load(cert_file, &k->public, why);

    if (err != 0 || (err = pki_key_name(k->public, k->id)) != 0)
        return err;
    for (size_t i = 0; i < ARRAY_LEN(types); i++) {
        if (EVP_PKEY_is_a(k->public, types[i]))
            k->type = types[i];
    }
    if (!k->type || EVP_PKEY_get_size(k->public) > (int)PKI_SIGNATURE_MAX) {
        reason_set(why, "keeper-key", "RFC 8446 4.2.3", 0,
                   "%s: this kind of key cannot be kept apart; EC, RSA or Ed25519 can", cert_file);
        return ERR_UNSUPPORTED;
    }
    if (k->type[0] == 'E' && k->type[1] == 'C' &&
        EVP_PKEY_get_group_name(k->public, k->curve, sizeof(k->curve), NULL) != 1)
        return ERR_CRYPTO;
    return 0;
}

static struct keeper_tls_key *find(struct keeper_tls_keys *set, struct str id)
{
    for (size_t i = 0; i < set->n; i++) {
        if (str_eq(str_z(set->v[i].id), id))
            return &set->v[i];
    }
    return NULL;
}

static void key_done(struct keeper_tls_key *k)
{
    EVP_PKEY_free(k->public);
    EVP_PKEY_free(k->file_key);
    token_key_close(k->token);
    *k = (struct keeper_tls_key){.type = NULL};
}

static int load(struct keeper_tls_keys *set, const struct keeper_tls_args *args,
                const struct keeper_keys *identities, struct reason *why)
{
    struct keeper_tls_key *k = &set->v[set->n], *same;
    struct str identity;
    int err = read_public(k, args->cert_file, why);

    k->name = arena_str(set->arena, args->name);
    k->as_server = args->as_server;
    if (err == 0 && !k->name.p)
        err = no_memory(why);
    if (err == 0 && identities && keeper_keys_have(identities, k->id, &identity)) {
        reason_set(why, "keeper-key-shared", "TR/100 6.2", 0,
                   "its key is that of identity \"%.*s\" as well; each needs one of its own",
                   (int)(identity.n > 64 ? 64 : identity.n), identity.p);
        err = ERR_CONFLICT;
    }
    if (err == 0)
        err = load_private(k, args->key, why);
    if (err == 0)
        err = try_key(k, why);
    same = err == 0 ? find(set, str_z(k->id)) : NULL;
    if (same)
        same->as_server |= k->as_server;
    if (err != 0 || same)
        key_done(k);
    else
        set->n++;
    return err;
}

int keeper_tls_keys_new(const struct keeper_tls_args *args, size_t n, unsigned rate,
                        const struct keeper_keys *identities, struct keeper_tls_keys **ret,
                        struct reason *why)
{
    struct keeper_tls_keys *set = mem_zalloc(sizeof(*set));
    int err = 0;

    *ret = NULL;
    if (!set || !(set->arena = arena_new(4096, 1u << 20))) {
        mem_free(set);
        return no_memory(why);
    }
    set->rate = rate;
    if (n > LIMIT_KEEPER_TLS_KEYS) {
        reason_set(why, "keeper-keys", NULL, 0, "more than %u keys of TLS", LIMIT_KEEPER_TLS_KEYS);
        err = ERR_LIMIT;
    }
    for (size_t i = 0; i < n && err == 0; i++) {
        struct reason inner = {.code = NULL};

        if ((err = load(set, &args[i], identities, &inner)) != 0)
            reason_set(why, inner.code ? inner.code : "keeper-key", inner.clause, 0, "%.*s: %s",
                       (int)(args[i].name.n > 64 ? 64 : args[i].name.n), args[i].name.p,
                       inner.detail[0] ? inner.detail : err_text(err));
    }
    if (err != 0) {
        keeper_tls_keys_free(set);
        return err;
    }
    *ret = set;
    return 0;
}

void keeper_tls_keys_free(struct keeper_tls_keys *set)
{
    if (!set)
        return;
    keeper_tls_keys_free(set->before); /* which has none before it */
    for (size_t i = 0; i < set->n; i++)
        key_done(&set->v[i]);
    arena_free(set->arena);
    mem_free(set);
}

size_t keeper_tls_keys_count(const struct keeper_tls_keys *set)
{
    return set->n;
}

void keeper_tls_keys_follow(struct keeper_tls_keys *set, struct keeper_tls_keys *old,
                            uint64_t now_ms)
{
    if (!old)
        return;
    for (size_t i = 0; i < old->n; i++) {
        struct keeper_tls_key *o = &old->v[i], *k = find(set, str_z(o->id));

        if (!k)
            continue;
        k->used = o->used;
        k->n_signed += o->n_signed;
        k->n_refused += o->n_refused;
        o->n_signed = o->n_refused = 0;
    }
    keeper_tls_keys_free(old->before);
    old->before = NULL;
    set->before = old;
    set->before_until_ms = now_ms + LIMIT_HANDSHAKE_MS;
}

uint64_t keeper_tls_keys_tick(struct keeper_tls_keys *set, uint64_t now_ms)
{
    if (!set->before)
        return UINT64_MAX;
    if (now_ms < set->before_until_ms)
        return set->before_until_ms - now_ms;
    keeper_tls_keys_free(set->before);
    set->before = NULL;
    return UINT64_MAX;
}

/* --- judging --- */

static enum keeper_status judge(const struct keeper_tls_key *k, const struct pki_sign_request *r,
                                struct reason *why)
{
    const struct pki_sign_scheme *s = pki_sign_scheme(r->scheme);
    bool is_server = r->kind == PKI_SIGN_TLS13_SERVER || r->kind == PKI_SIGN_TLS12_SERVER;
    bool is_13 = r->kind == PKI_SIGN_TLS13_SERVER || r->kind == PKI_SIGN_TLS13_CLIENT;
    int err = pki_sign_judge(r, why);

    if (err == ERR_SYNTAX)
        return KEEPER_MALFORMED;
    if (err != 0 || !s)
        return KEEPER_REFUSED;
    if (strcmp(s->key_type, k->type) != 0 ||
        (is_13 && s->curve && strcmp(s->curve, k->curve) != 0)) {
        reason_set(why, "tls-sign-scheme", "RFC 8446 4.2.3", 0, "scheme %04x is not this key's",
                   r->scheme);
        return KEEPER_REFUSED;
    }
    if (is_server && !k->as_server) {
        reason_set(why, "tls-sign-server", "TR/100 6.2", 0,
                   "this key is for connections to a peer");
        return KEEPER_REFUSED;
    }
    return KEEPER_DONE;
}

enum keeper_status keeper_tls_sign(struct keeper_tls_keys *set, const struct pki_sign_request *r,
                                   uint64_t now_ms, uint8_t signature[PKI_SIGNATURE_MAX],
                                   size_t *ret_n, struct str *ret_name, struct reason *why)
{
    struct keeper_tls_key *k = find(set, r->key);
    enum keeper_status status;
    int err;

    *ret_name = STR("");
    if (!k && set->before)
        k = find(set->before, r->key);
    if (!k)
        return KEEPER_NO_KEY;
    *ret_name = k->name;
    if (!keeper_rate_take(&k->used, set->rate, now_ms)) {
        reason_set(why, "sign-rate", "TR/100 6.2", 0, "more than %u signatures a second",
                   set->rate);
        status = KEEPER_LIMITED;
    } else if ((status = judge(k, r, why)) == KEEPER_DONE &&
               (err = sign(k, pki_sign_scheme(r->scheme), r->input, signature, ret_n)) != 0) {
        reason_set(why, "sign-failed", NULL, 0, "%s", err_text(err));
        status = KEEPER_FAILED;
    }
    if (status == KEEPER_DONE)
        k->n_signed++;
    else
        k->n_refused++;
    return status;
}

bool keeper_tls_counts(struct keeper_tls_keys *set, keeper_tls_count_fn *fn, void *arg)
{
    bool any = false;

    for (struct keeper_tls_keys *s = set; s; s = s->before) {
        for (size_t i = 0; i < s->n; i++) {
            struct keeper_tls_key *k = &s->v[i];

            if (k->n_signed + k->n_refused == 0)
                continue;
            any = true;
            if (!fn)
                continue;
            fn(arg, k->name, k->n_signed, k->n_refused);
            k->n_signed = k->n_refused = 0;
        }
    }
    return any;
}
