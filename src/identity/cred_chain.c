/* From a certificate chain to a credential: RFC 8224 7, 8.2; RFC 8862 4.1. Pure. */
#include "identity/cred_chain.h"
#include "identity/canon.h"
#include <openssl/evp.h>

/* "sip:Alice@Example.com;x" as 8224 8.5 writes it; p == NULL without an error: no URI of a user. */
static int canonical(struct arena *a, struct str uri, struct str *ret)
{
    struct canon_uri u = {.user_is_phone = false};
    struct str rest = str_cut(uri, ':', &u.scheme), port;
    size_t at = str_find_char(rest, '@');
    int err;

    *ret = STR_NULL;
    if (at == rest.n)
        return 0;
    u.user = str_make(rest.p, at);
    (void)str_cut(str_make(rest.p + at + 1, rest.n - at - 1), ';', &u.host);
    (void)str_cut(u.host, '?', &u.host);
    if (u.host.n && u.host.p[0] == '[') /* nobody is certified for an address */
        return 0;
    port = str_cut(u.host, ':', &u.host);
    if (port.p || u.user.n == 0 || u.host.n == 0) /* "sip:a.example@" would read as that domain */
        return 0;
    err = canon_uri_text(a, &u, ret);
    if (err == ERR_NOMEM)
        return err;
    if (err != 0)
        *ret = STR_NULL;
    return 0;
}

static int add_uris(struct arena *a, const struct pki_chain_facts *f,
                    struct identity_credential *ret)
{
    struct str *v = arena_alloc(a, f->n_uris * sizeof(*v) + 1);
    size_t n = 0;

    if (!v)
        return ERR_NOMEM;
    for (size_t i = 0; i < f->n_uris; i++) {
        if (canonical(a, f->uris[i], &v[n]) != 0)
            return ERR_NOMEM;
        n += v[n].p != NULL;
    }
    ret->uris = v;
    ret->n_uris = n;
    return 0;
}

static int add_emails(struct arena *a, const struct pki_chain_facts *f,
                      struct identity_credential *ret)
{
    struct str *v = arena_alloc(a, f->n_emails * sizeof(*v) + 1), uri;
    size_t n = 0;

    if (!v)
        return ERR_NOMEM;
    for (size_t i = 0; i < f->n_emails; i++) {
        uri = arena_fmt(a, "sip:%.*s", STR_FMT(f->emails[i]));
        if (!uri.p || canonical(a, uri, &v[n]) != 0)
            return ERR_NOMEM;
        n += v[n].p != NULL;
    }
    ret->uris = v;
    ret->n_uris = n;
    return 0;
}

int identity_credential_names(struct arena *a, const struct pki_chain *chain,
                              struct identity_credential *ret)
{
    const struct pki_chain_facts *f = pki_chain_facts(chain);

    *ret = (struct identity_credential){
        .state = IDENTITY_CRED_GOOD,
        .not_before_s = f->not_before_s,
        .not_after_s = f->not_after_s,
        .domains = f->domains,
        .n_domains = f->n_domains,
        .tn = f->tn,
        .n_tn = f->n_tn,
        .rules = f->rules,
    };
    return f->n_uris || !f->n_emails ? add_uris(a, f, ret) : add_emails(a, f, ret);
}

int identity_credential_make(struct arena *a, const struct pki_chain *chain,
                             struct identity_credential *ret, struct reason *why)
{
    const struct pki_chain_facts *f = pki_chain_facts(chain);
    int err;

    if (identity_credential_names(a, chain, ret) != 0) {
        reason_set(why, "no-memory", NULL, 500, NULL);
        return ERR_NOMEM;
    }
    err = jws_key_new(f->key, false, &ret->key, why);
    if (err == ERR_UNSUPPORTED && EVP_PKEY_is_a(f->key, "RSA"))
        err = rfc4474_key_new(f->key, false, &ret->rsa, why);
    return err;
}

void identity_credential_done(struct identity_credential *c)
{
    jws_key_free(c->key);
    rfc4474_key_free(c->rsa);
    c->key = NULL;
    c->rsa = NULL;
}
