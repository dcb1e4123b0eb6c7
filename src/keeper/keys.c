/* Keys and what they may sign: RFC 8224 6.1 as the holder of the key sees it, RFC 8225 9. */
#include "keeper/keys.h"
#include "base/mem.h"
#include "keeper/keeper_priv.h"
#include <openssl/evp.h>

#define DIVERTED_MAX_AGE_S                                                                         \
    10800u /* RFC 8946 4.2 item 4: "div" repeats the iat of what was diverted */

struct keeper_key {
    struct str name, url;
    struct pki_chain *chain;
    struct identity_credential cred;
    struct jws_key *file_key;
    struct token_key *token;
    struct keeper_rfc4474 old;
    bool allow_any_number;
    unsigned rate;
    struct keeper_rate used;
};

struct keeper_keys {
    struct arena *arena;
    size_t n;
    struct keeper_key v[LIMIT_KEEPER_KEYS];
};

static int no_memory(struct reason *why)
{
    reason_set(why, "no-memory", NULL, 500, NULL);
    return ERR_NOMEM;
}

/* --- loading --- */

static int hash_input(enum jws_alg alg, struct str input, uint8_t ret[64], size_t *ret_n)
{
    static const char *const names[JWS_ALG_N] = {"SHA2-256", "SHA2-384", "SHA2-512"};

    if (fault_hit())
        return ERR_NOMEM;
    return EVP_Q_digest(NULL, names[alg], NULL, input.p, input.n, ret, ret_n) == 1 ? 0 : ERR_CRYPTO;
}

static int sign_by_token(struct keeper_key *k, struct str input, char ret[JWS_SIGNATURE_TEXT_MAX])
{
    static const size_t halves[JWS_ALG_N] = {32, 48, 66};
    enum jws_alg alg = jws_key_alg(k->cred.key);
    uint8_t digest[64], raw[JWS_SIGNATURE_MAX];
    size_t n;
    int err = hash_input(alg, input, digest, &n);

    if (err == 0)
        err = token_key_sign(k->token, digest, n, halves[alg], raw);
    return err != 0 ? err
                    : str_base64_encode(ret, JWS_SIGNATURE_TEXT_MAX, raw, 2 * halves[alg], true);
}

static int sign(struct keeper_key *k, struct str input, char ret[JWS_SIGNATURE_TEXT_MAX])
{
    return k->token ? sign_by_token(k, input, ret) : jws_sign(k->file_key, input, ret);
}

/* A key that does not fit its certificate is found now, not by those who cannot verify. */
static int try_key(struct keeper_key *k, struct reason *why)
{
    char signature[JWS_SIGNATURE_TEXT_MAX];
    struct reason inner;
    int err = sign(k, STR("."), signature);

    if (err == 0)
        err = jws_verify(k->cred.key, jws_key_alg(k->cred.key), STR("."), str_z(signature), &inner);
    if (err == ERR_NOMEM)
        return no_memory(why);
    if (err != 0)
        reason_set(why, "keeper-key", NULL, 0, "does not sign what the certificate verifies");
    return err;
}

static int load_private(struct keeper_key *k, const char *key, struct reason *why)
{
    EVP_PKEY *pkey;
    int err;

    if (token_uri_is(key))
        return token_key_open(key, TOKEN_EC, &k->token, why);
    if ((err = pki_chain_key_load(k->chain, key, &pkey, why)) != 0)
        return err;
    err = jws_key_new(pkey, true, &k->file_key, why);
    EVP_PKEY_free(pkey);
    return err;
}

static int load(struct keeper_keys *set, struct keeper_key *k, const struct keeper_key_args *args,
                struct reason *why)
{
    struct str *prefixes = arena_alloc(set->arena, args->n_prefixes * sizeof(*prefixes) + 1);
    int err;

    k->name = arena_str(set->arena, args->name);
    k->url = arena_str(set->arena, args->url);
    k->rate = args->rate;
    k->allow_any_number = args->allow_any_number;
    if (!prefixes || !k->name.p || !k->url.p)
        return no_memory(why);
    if ((err = pki_chain_load(args->cert_file, &k->chain, why)) != 0 ||
        (err = identity_credential_make(set->arena, k->chain, &k->cred, why)) != 0)
        return err;
    if (!k->cred.key) {
        reason_set(why, "identity-key-unsupported", "RFC 8225 4.2", 0,
                   "the certificate's key is not one for ES256, ES384 or ES512");
        return ERR_UNSUPPORTED;
    }
    for (size_t i = 0; i < args->n_prefixes; i++) {
        prefixes[i] = arena_str(set->arena, args->prefixes[i]);
        if (!prefixes[i].p)
            return no_memory(why);
    }
    k->cred.prefixes = prefixes;
    k->cred.n_prefixes = args->n_prefixes;
    if ((err = load_private(k, args->key, why)) != 0 || (err = try_key(k, why)) != 0)
        return err;
    return keeper_rfc4474_load(&k->old, set->arena, args, why);
}

int keeper_keys_new(const struct keeper_key_args *args, size_t n, struct keeper_keys **ret,
                    struct reason *why)
{
    struct keeper_keys *set = mem_zalloc(sizeof(*set));
    int err = 0;

    *ret = NULL;
    if (!set || !(set->arena = arena_new(4096, 4u << 20))) {
        mem_free(set);
        return no_memory(why);
    }
    if (n > LIMIT_KEEPER_KEYS) {
        reason_set(why, "keeper-keys", NULL, 0, "more than %u keys", LIMIT_KEEPER_KEYS);
        err = ERR_LIMIT;
    }
    for (size_t i = 0; i < n && err == 0; i++) {
        struct reason inner = {.code = NULL};

        set->n++;
        err = args[i].name.n == 0 || args[i].name.n > LIMIT_KEEPER_NAME
                  ? ERR_LIMIT
                  : load(set, &set->v[i], &args[i], &inner);
        if (err != 0)
            reason_set(why, inner.code ? inner.code : "keeper-key", inner.clause, 0,
                       "identity \"%.*s\": %s", (int)(args[i].name.n > 64 ? 64 : args[i].name.n),
                       args[i].name.p, inner.detail[0] ? inner.detail : err_text(err));
    }
    if (err != 0) {
        keeper_keys_free(set);
        return err;
    }
    *ret = set;
    return 0;
}

void keeper_keys_free(struct keeper_keys *set)
{
    if (!set)
        return;
    for (size_t i = 0; i < set->n; i++) {
        struct keeper_key *k = &set->v[i];

        identity_credential_done(&k->cred);
        jws_key_free(k->file_key);
        token_key_close(k->token);
        keeper_rfc4474_done(&k->old);
        pki_chain_unref(k->chain);
    }
    arena_free(set->arena);
    mem_free(set);
}

size_t keeper_keys_count(const struct keeper_keys *set)
{
    return set->n;
}

static bool is_key_of(const struct pki_chain *chain, const char name[PKI_KEY_NAME + 1])
{
    char own[PKI_KEY_NAME + 1];

    return pki_key_name(pki_chain_facts(chain)->key, own) == 0 && strcmp(own, name) == 0;
}

bool keeper_keys_have(const struct keeper_keys *set, const char name[PKI_KEY_NAME + 1],
                      struct str *ret_identity)
{
    for (size_t i = 0; i < set->n; i++) {
        if (!is_key_of(set->v[i].chain, name) &&
            (!set->v[i].old.chain || !is_key_of(set->v[i].old.chain, name)))
            continue;
        *ret_identity = set->v[i].name;
        return true;
    }
    return false;
}

struct keeper_key *keeper_keys_find(struct keeper_keys *set, struct str name)
{
    for (size_t i = 0; i < set->n; i++) {
        if (str_eq(set->v[i].name, name))
            return &set->v[i];
    }
    return NULL;
}

void keeper_keys_take_rates(struct keeper_keys *set, const struct keeper_keys *old)
{
    for (size_t i = 0; i < old->n; i++) {
        struct keeper_key *k = keeper_keys_find(set, old->v[i].name);

        if (k)
            k->used = old->v[i].used;
    }
}

/* --- judging --- */

bool keeper_rate_take(struct keeper_rate *r, unsigned a_second, uint64_t now_ms)
{
    uint64_t full = UINT64_C(1000) * a_second, past = now_ms - r->filled_ms;

    if (a_second == 0)
        return true;
    if (r->filled_ms == 0 || past >= 1000 || r->tokens_m + past * a_second > full)
        r->tokens_m = full;
    else
        r->tokens_m += past * a_second;
    r->filled_ms = now_ms;
    if (r->tokens_m < 1000)
        return false;
    r->tokens_m -= 1000;
    return true;
}

enum keeper_status keeper_status_of(int err)
{
    switch (err) {
    case 0:
        return KEEPER_DONE;
    case ERR_REFUSED:
    case ERR_CONFLICT:
        return KEEPER_REFUSED;
    case ERR_SYNTAX:
    case ERR_LIMIT:
    case ERR_INVALID:
    case ERR_UNSUPPORTED:
        return KEEPER_MALFORMED;
    default:
        return KEEPER_FAILED;
    }
}

static int judge(const struct keeper_key *k, struct arena *a, const struct passport *p,
                 uint64_t now_s, struct reason *why)
{
    struct identity_policy policy = identity_policy_default(now_s);
    int err;

    policy.inner_max_age_s = DIVERTED_MAX_AGE_S;
    policy.allow_provider = k->allow_any_number;
    if (!str_eq(p->x5u, k->url)) {
        reason_set(why, "sign-x5u", "RFC 8225 4.3", 403, "x5u is not where this certificate is");
        return ERR_REFUSED;
    }
    if ((err = identity_sign_judge(a, p, &k->cred, &policy, why)) != 0)
        return err;
    return passport_check_deterministic(a, p, why);
}

static bool take_rate(struct keeper_key *k, uint64_t now_ms, struct reason *why)
{
    if (keeper_rate_take(&k->used, k->rate, now_ms))
        return true;
    reason_set(why, "sign-rate", "TR/100 6.2", 500, "more than %u signatures a second", k->rate);
    return false;
}

enum keeper_status keeper_key_sign(struct keeper_key *k, struct arena *a, struct str input,
                                   uint64_t now_s, uint64_t now_ms, struct passport *ret_p,
                                   char signature[JWS_SIGNATURE_TEXT_MAX], struct reason *why)
{
    int err;

    *ret_p = (struct passport){.type = PASSPORT_UNKNOWN};
    if (!take_rate(k, now_ms, why))
        return KEEPER_LIMITED;
    err = passport_parse_input(a, input, ret_p, why);
    if (err == 0)
        err = judge(k, a, ret_p, now_s, why);
    if (err == 0 && (err = sign(k, input, signature)) != 0)
        reason_set(why, "sign-failed", NULL, 500, "%s", err_text(err));
    return keeper_status_of(err);
}

enum keeper_status keeper_key_sign_rfc4474(struct keeper_key *k, struct arena *a, struct str input,
                                           uint64_t now_s, uint64_t now_ms,
                                           struct rfc4474_parts *ret_p,
                                           char signature[RFC4474_SIGNATURE_TEXT_MAX],
                                           struct reason *why)
{
    *ret_p = (struct rfc4474_parts){.cseq = 0};
    if (!k->old.chain) {
        reason_set(why, "sign-rfc4474", "RFC 4474 5", 500, "no key for RFC 4474");
        return KEEPER_NO_KEY;
    }
    if (!take_rate(k, now_ms, why))
        return KEEPER_LIMITED;
    return keeper_status_of(keeper_rfc4474_sign(&k->old, a, input, now_s, ret_p, signature, why));
}
