/* Certificates that others fetch from us, for the listeners that speak HTTP under TLS (RFC
 * 8224 7.3): those that we sign by, where their URLs say (for RFC 4474 the one certificate, RFC
 * 2585), and those of users whose phones sign themselves (RFC 8862 4.1), at /users/USER@DOMAIN.pem.
 * Main thread. */
#include "net/pages.h"
#include "base/limits.h"
#include "edge/edge_priv.h"
#include "pki/chain.h"

#define PAGE_MAX_AGE_S 3600u
#define TYPE STR("application/pem-certificate-chain")
#define TYPE_ALONE STR("application/pkix-cert")

struct making {
    struct arena *arena;
    size_t n;
    struct net_page v[2 * LIMIT_KEEPER_KEYS + LIMIT_USER_CERTS];
};

_Static_assert(2 * LIMIT_KEEPER_KEYS + LIMIT_USER_CERTS <= NET_PAGES_MAX, "a page for each");

/* The path of an https URL, as it stands in the request for it. */
static struct str url_path(struct str url)
{
    size_t i = 8; /* "https://", checked when the file was read */

    while (i < url.n && url.p[i] != '/')
        i++;
    return i < url.n ? str_make(url.p + i, url.n - i) : STR("/");
}

/* Its user is the one that the certificate names. */
static int user_path(struct making *m, const struct pki_chain *chain, struct str *ret,
                     struct reason *why)
{
    const struct pki_chain_facts *f = pki_chain_facts(chain);
    struct str scheme, user = STR_NULL;

    for (size_t i = 0; i < f->n_uris && !user.n; i++) {
        user = str_cut(f->uris[i], ':', &scheme);
        if (str_find_char(user, '@') == user.n)
            user = STR_NULL;
    }
    if (!user.n) {
        reason_set(why, "user-certificate", "RFC 8862 4.1", 0,
                   "it has no subjectAltName URI:sip:USER@DOMAIN");
        return ERR_REFUSED;
    }
    *ret = arena_fmt(m->arena, "/users/%.*s.pem", STR_FMT(user));
    return ret->p ? 0 : ERR_NOMEM;
}

/* `url` empty: a user's. */
static int page_add(struct making *m, struct str file, struct str url, bool is_alone,
                    struct reason *why)
{
    struct net_page page = {.path = url_path(url), .type = TYPE, .max_age_s = PAGE_MAX_AGE_S};
    struct pki_chain *chain = NULL;
    int err = pki_chain_load(file.p, &chain, why);

    if (err == 0 && !url.n)
        err = user_path(m, chain, &page.path, why);
    if (is_alone)
        page.type = TYPE_ALONE;
    if (err == 0)
        err = is_alone ? pki_chain_der(chain, m->arena, &page.body)
                       : pki_chain_pem(chain, m->arena, &page.body);
    pki_chain_unref(chain);
    if (err == 0)
        m->v[m->n++] = page;
    return err;
}

int pages_make(const struct config *cfg, struct net_pages **ret, struct reason *why)
{
    struct making *m;
    struct arena *a = arena_new(8192, (2 * LIMIT_KEEPER_KEYS + LIMIT_USER_CERTS) * NET_PAGE_BYTES);
    int err;

    *ret = NULL;
    m = a ? arena_zalloc(a, sizeof *m) : NULL;
    err = m ? 0 : ERR_NOMEM;
    if (m)
        m->arena = a;
    for (size_t i = 0; i < cfg->n_identities && i < LIMIT_KEEPER_KEYS && err == 0; i++) {
        const struct config_identity *d = &cfg->identities[i];

        err = page_add(m, d->certificate, d->url, false, why);
        if (err == 0 && d->rfc4474_certificate.n)
            err = page_add(m, d->rfc4474_certificate, d->rfc4474_url, true, why);
    }
    for (size_t i = 0; i < cfg->user_certificates.n && i < LIMIT_USER_CERTS && err == 0; i++)
        err = page_add(m, cfg->user_certificates.v[i], STR_NULL, false, why);
    if (err == 0 && m->n && (err = net_pages_new(m->v, m->n, ret)) != 0)
        reason_set(why, "identity-url", "RFC 8224 7.3", 0,
                   "the path of a certificate's url cannot be served");
    arena_free(a);
    return err;
}
