/* The user's own signature: see signer.h. RFC 8224 6.1, RFC 8862 4. Thread: the phone's. */
#include "phone/signer.h"
#include "base/mem.h"
#include "edge/identity/show.h"
#include "identity/cred_chain.h"
#include "identity/sign.h"
#include "pki/chain.h"
#include <openssl/evp.h>

struct phone_signer {
    struct arena *arena;
    struct pki_chain *chain;
    struct identity_credential cred;
    struct jws_key *key;
    struct str url, user;
};

static int no_memory(struct reason *why)
{
    reason_set(why, "no-memory", NULL, 0, NULL);
    return ERR_NOMEM;
}

/* ---- loading ---- */

static int check_user(const struct phone_signer *s, uint64_t now_s, struct reason *why)
{
    struct passport_id id;
    int err = identity_show_uri(s->arena, s->user, NULL, true, &id);

    if (err == ERR_NOMEM)
        return no_memory(why);
    if (err != 0 || identity_authority_of(&s->cred, id) != IDENTITY_BY_USER) {
        reason_set(why, "user-certificate", "RFC 8862 4.1", 0,
                   "has no subjectAltName URI:%.*s, so that it is not this user's",
                   STR_FMT(s->user));
        return ERR_REFUSED;
    }
    if (now_s < s->cred.not_before_s || now_s > s->cred.not_after_s) {
        reason_set(why, "user-certificate", "RFC 8224 6.1 step 3", 0, "is not in force now");
        return ERR_REFUSED;
    }
    return 0;
}

static int load(struct phone_signer *s, const struct phone_signer_args *args, struct reason *why)
{
    EVP_PKEY *pkey;
    int err;

    s->url = arena_str(s->arena, args->url);
    s->user = arena_str(s->arena, args->user);
    if (!s->url.p || !s->user.p)
        return no_memory(why);
    if ((err = pki_chain_load(args->cert, &s->chain, why)) != 0 ||
        (err = identity_credential_make(s->arena, s->chain, &s->cred, why)) != 0)
        return err;
    if (!s->cred.key) {
        reason_set(why, "user-certificate", "RFC 8225 4.2", 0,
                   "has a key that is not one for ES256, ES384 or ES512");
        return ERR_UNSUPPORTED;
    }
    if ((err = check_user(s, args->now_s, why)) != 0 ||
        (err = pki_chain_key_load(s->chain, args->key, &pkey, why)) != 0)
        return err;
    err = jws_key_new(pkey, true, &s->key, why);
    EVP_PKEY_free(pkey);
    return err;
}

int phone_signer_new(const struct phone_signer_args *args, struct phone_signer **ret,
                     struct reason *why)
{
    struct phone_signer *s = mem_zalloc(sizeof(*s));
    int err;

    *ret = NULL;
    if (!s || !(s->arena = arena_new(1024, 64u << 10))) {
        mem_free(s);
        return no_memory(why);
    }
    err = load(s, args, why);
    if (err != 0) {
        phone_signer_free(s);
        return err;
    }
    *ret = s;
    return 0;
}

void phone_signer_free(struct phone_signer *s)
{
    if (!s)
        return;
    jws_key_free(s->key);
    identity_credential_done(&s->cred);
    pki_chain_unref(s->chain);
    arena_free(s->arena);
    mem_free(s);
}

/* ---- signing ---- */

static int show(const struct phone_signer *s, const struct sip_msg *m, struct identity_shown *ret,
                struct reason *why)
{
    return m->is_request
               ? identity_show(m->arena, m, m->ruri, STR_NULL, STR_NULL, NULL, false, ret, why)
               : identity_show_answer(m->arena, m, s->user, NULL, ret, why);
}

int phone_signer_sign(struct phone_signer *s, struct arena *a, struct str message, uint64_t now_s,
                      struct str *ret, struct reason *why)
{
    struct identity_policy policy = identity_policy_default(now_s);
    char signature[JWS_SIGNATURE_TEXT_MAX];
    struct identity_sign_args args;
    struct identity_shown shown;
    struct passport p;
    struct sip_msg *m;
    int err;

    if ((err = sip_msg_parse(a, message, &m, why)) != 0 || (err = show(s, m, &shown, why)) != 0)
        return err;
    if (!shown.has_fingerprints)
        return ERR_NOTFOUND;
    /* In full: who changes a fingerprint of a compact one cannot be told from who changes Date. */
    args = (struct identity_sign_args){
        .type = m->is_request ? PASSPORT_MSEC : PASSPORT_RSP, .m = &shown.m, .x5u = s->url};
    if ((err = identity_sign_prepare(a, &args, &s->cred, &policy, &p, why)) != 0)
        return err;
    if ((err = jws_sign(s->key, p.input, signature)) != 0)
        return err;
    *ret = identity_hdr_of(a, &p, str_z(signature), false);
    return ret->p ? 0 : no_memory(why);
}
