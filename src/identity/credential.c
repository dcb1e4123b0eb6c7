/* Whom a certificate may speak for: RFC 8224 8.2, 8.4; RFC 5922 7.2; RFC 8226 8, 9; RFC 9118 3.
 * Pure; any thread. */
#include "identity/credential.h"
#include "base/limits.h"

struct str identity_authority_text(enum identity_authority a)
{
    static const struct str texts[] = {{"none", 4},   {"provider", 8}, {"policy", 6},
                                       {"number", 6}, {"domain", 6},   {"user", 4}};

    return texts[a];
}

struct str identity_uri_host(struct str uri)
{
    struct str scheme, rest = str_cut(uri, ':', &scheme);
    size_t at;

    if (!rest.p || (!str_eq(scheme, STR("sip")) && !str_eq(scheme, STR("sips"))))
        return STR_NULL;
    at = str_find_char(rest, '@');
    if (at < rest.n)
        rest = str_make(rest.p + at + 1, rest.n - at - 1);
    if (rest.n > 2 && rest.p[0] == '[' && rest.p[rest.n - 1] == ']')
        rest = str_make(rest.p + 1, rest.n - 2);
    return rest;
}

/* A sips URI names the same user as the sip URI (RFC 5630 3.1.1): who may sign for the one may for
 * the other. */
static struct str without_scheme(struct str uri)
{
    struct str scheme, rest = str_cut(uri, ':', &scheme);

    return str_eq(scheme, STR("sip")) || str_eq(scheme, STR("sips")) ? rest : STR_NULL;
}

static enum identity_authority authority_of_uri(const struct identity_credential *c, struct str uri)
{
    struct str user = without_scheme(uri), host = identity_uri_host(uri);

    if (host.n == 0)
        return IDENTITY_NO_AUTHORITY;
    for (size_t i = 0; i < c->n_uris; i++) {
        if (str_eq(user, without_scheme(c->uris[i])))
            return IDENTITY_BY_USER;
    }
    if (host.n > 1 && host.p[host.n - 1] == '.')
        host.n--;
    for (size_t i = 0; i < c->n_domains; i++) {
        if (str_eq_nocase(host, c->domains[i])) /* RFC 5922 7.2: no wildcards, no subdomains */
            return IDENTITY_BY_DOMAIN;
    }
    return IDENTITY_NO_AUTHORITY;
}

enum identity_authority identity_authority_of(const struct identity_credential *c,
                                              struct passport_id id)
{
    enum pki_tn_scope scope;

    if (!id.is_tn)
        return authority_of_uri(c, id.text);
    scope = pki_tnauth_chain_covers(c->tn, c->n_tn, id.text);
    if (scope == PKI_TN_COVERED)
        return IDENTITY_BY_NUMBER;
    for (size_t i = 0; i < c->n_prefixes; i++) {
        if (c->prefixes[i].n && str_starts_nocase(id.text, c->prefixes[i]))
            return IDENTITY_BY_POLICY;
    }
    return scope == PKI_TN_BY_PROVIDER ? IDENTITY_BY_PROVIDER : IDENTITY_NO_AUTHORITY;
}

/* --- claims --- */

struct finder {
    struct arena *arena;
    const struct sjson_node *claims;
    bool no_memory;
};

static bool find_claim(void *arg, struct str name, struct str *ret_value)
{
    struct finder *f = arg;
    const struct sjson_node *node = sjson_find(f->claims, name);
    size_t room;
    struct sbuf b;
    char *p;

    *ret_value = STR_NULL;
    if (!node)
        return false;
    if (node->type == SJSON_STRING) {
        *ret_value = node->text;
        return true;
    }
    room = 6 * node->text.n + 16; /* a character may become \uXXXX */
    p = arena_alloc(f->arena, room);
    if (!p) {
        f->no_memory = true;
        return true;
    }
    b = sbuf_make(p, room);
    sjson_build(&b, node);
    *ret_value = sbuf_get(&b);
    return true;
}

int identity_claims_check(const struct identity_credential *c, struct arena *a,
                          const struct passport *p, struct reason *why)
{
    struct finder f = {.arena = a, .claims = p->claims};
    struct passport parsed;
    int err;

    if (!c->rules)
        return 0;
    if (!p->claims) { /* a rebuilt token: what was signed is its input */
        if ((err = passport_parse_input(a, p->input, &parsed, why)) != 0)
            return err;
        f.claims = parsed.claims;
    }
    err = pki_claim_rules_check(c->rules, find_claim, &f, why);
    if (f.no_memory) {
        reason_set(why, "no-memory", NULL, 500, NULL);
        return ERR_NOMEM;
    }
    return err;
}
