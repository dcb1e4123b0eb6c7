/* JWT Claim Constraints: RFC 8226 8, RFC 9118 3 to 6. Pure; any thread. */
#include "pki/claims.h"
#include "base/limits.h"
#include "pki/der.h"
#include "pki/pki_priv.h"

#define NAME_MAX_LEN 128u
#define VALUE_MAX_LEN 1024u

struct reader {
    struct arena *arena;
    struct reason *why;
};

static int refuse(struct reader *r, const char *what)
{
    reason_set(r->why, "cert-claim-constraints", "RFC 9118 3", 437, "%s", what);
    return ERR_SYNTAX;
}

static int count(struct reader *r, struct der d, unsigned tag, size_t *ret)
{
    *ret = 0;
    while (!der_at_end(&d)) {
        (void)der_take(&d, tag);
        if (d.bad)
            return refuse(r, "malformed");
        if (++*ret > LIMIT_CLAIM_RULES) {
            reason_set(r->why, "cert-claim-constraints", NULL, 437, "too many of them");
            return ERR_LIMIT;
        }
    }
    return *ret ? 0 : refuse(r, "an empty list");
}

static int no_memory(struct reader *r)
{
    reason_set(r->why, "no-memory", NULL, 500, NULL);
    return ERR_NOMEM;
}

/* SEQUENCE SIZE (1..MAX) OF IA5String or UTF8String */
static int read_texts(struct reader *r, struct der d, unsigned tag, size_t max_len,
                      const struct str **ret, size_t *ret_n)
{
    struct str *v;
    size_t n;
    int err = count(r, d, tag, &n);

    if (err != 0)
        return err;
    v = arena_alloc(r->arena, n * sizeof(*v));
    if (!v)
        return no_memory(r);
    for (size_t i = 0; i < n; i++) {
        v[i] = der_text(der_take(&d, tag));
        if (v[i].n == 0 || v[i].n > max_len || !str_is_utf8(v[i]))
            return refuse(r, "a name or value that is empty, too long or no text");
    }
    *ret = v;
    *ret_n = n;
    return 0;
}

static int read_permitted(struct reader *r, struct der d, struct pki_claim_rules *ret)
{
    struct pki_claim_values *v;
    size_t n;
    int err = count(r, d, DER_SEQUENCE, &n);

    if (err != 0)
        return err;
    v = arena_alloc(r->arena, n * sizeof(*v));
    if (!v)
        return no_memory(r);
    for (size_t i = 0; i < n; i++) {
        struct der one = der_take(&d, DER_SEQUENCE), values;

        v[i].claim = der_text(der_take(&one, DER_IA5_STRING));
        values = der_take(&one, DER_SEQUENCE);
        if (one.bad || !der_at_end(&one) || v[i].claim.n == 0 || v[i].claim.n > NAME_MAX_LEN)
            return refuse(r, "malformed permitted values");
        if ((err = read_texts(r, values, DER_UTF8_STRING, VALUE_MAX_LEN, &v[i].values, &v[i].n)) !=
            0)
            return err;
    }
    ret->permitted = v;
    ret->n_permitted = n;
    return 0;
}

/* An optional [i] with one SEQUENCE in it. False: not there. */
static bool take_optional(struct der *d, unsigned i, struct der *ret)
{
    struct der outer;

    if (!der_is(d, DER_CONTEXT(i)))
        return false;
    outer = der_take(d, DER_CONTEXT(i));
    *ret = der_take(&outer, DER_SEQUENCE);
    if (outer.bad || !der_at_end(&outer))
        d->bad = true;
    return true;
}

int pki_claim_rules_parse(struct arena *a, const void *der, size_t n, bool enhanced,
                          struct pki_claim_rules *ret, struct reason *why)
{
    struct reader r = {a, why};
    struct der all = der_make(der, n), d = der_take(&all, DER_SEQUENCE), part;
    int err;

    *ret = (struct pki_claim_rules){.must_include = NULL};
    if (all.bad || !der_at_end(&all) || der_at_end(&d))
        return refuse(&r, "not a list of constraints");
    if (take_optional(&d, 0, &part) && !d.bad &&
        (err = read_texts(&r, part, DER_IA5_STRING, NAME_MAX_LEN, &ret->must_include,
                          &ret->n_include)) != 0)
        return err;
    if (take_optional(&d, 1, &part) && !d.bad && (err = read_permitted(&r, part, ret)) != 0)
        return err;
    if (enhanced && take_optional(&d, 2, &part) && !d.bad &&
        (err = read_texts(&r, part, DER_IA5_STRING, NAME_MAX_LEN, &ret->must_exclude,
                          &ret->n_exclude)) != 0)
        return err;
    if (d.bad || !der_at_end(&d))
        return refuse(&r, "malformed");
    return 0;
}

static bool is_baseline(struct str claim) /* RFC 8225 5: in every token */
{
    return str_eq(claim, STR("iat")) || str_eq(claim, STR("orig")) || str_eq(claim, STR("dest"));
}

int pki_claim_rules_of(const X509 *cert, struct arena *a, struct pki_claim_rules *ret,
                       struct reason *why)
{
    static const uint8_t oids[2][8] = {
        {0x2b, 6, 1, 5, 5, 7, 1, 27},  /* id-pe-JWTClaimConstraints */
        {0x2b, 6, 1, 5, 5, 7, 1, 33}}; /* id-pe-eJWTClaimConstraints */
    struct reader r = {a, why};
    const uint8_t *der[2] = {NULL, NULL};
    size_t n[2] = {0, 0};
    int err;

    *ret = (struct pki_claim_rules){.must_include = NULL};
    for (size_t i = 0; i < 2; i++) {
        if (cert_extension(cert, oids[i], sizeof(oids[i]), &der[i], &n[i]) == ERR_SYNTAX)
            return refuse(&r, "the extension is there twice");
    }
    if (der[0] && der[1])
        return refuse(&r, "both forms in one certificate");
    if (!der[0] && !der[1])
        return ERR_NOTFOUND;
    if (der[0])
        return pki_claim_rules_parse(a, der[0], n[0], false, ret, why);
    if ((err = pki_claim_rules_parse(a, der[1], n[1], true, ret, why)) != 0)
        return err;
    for (size_t i = 0; i < ret->n_exclude; i++) {
        if (is_baseline(ret->must_exclude[i])) {
            *ret = (struct pki_claim_rules){.must_include = NULL};
            return ERR_NOTFOUND;
        }
    }
    return 0;
}

static int violated(struct reason *why, struct str claim, const char *what)
{
    reason_set(why, "cert-claim-violated", "RFC 9118 3", 438, "the certificate %s \"%.*s\"", what,
               STR_FMT(claim));
    return ERR_REFUSED;
}

int pki_claim_rules_check(const struct pki_claim_rules *rules, pki_claim_fn *find, void *arg,
                          struct reason *why)
{
    struct str value;

    for (size_t i = 0; i < rules->n_include; i++) {
        if (!find(arg, rules->must_include[i], &value))
            return violated(why, rules->must_include[i], "demands the claim");
    }
    for (size_t i = 0; i < rules->n_exclude; i++) {
        if (find(arg, rules->must_exclude[i], &value))
            return violated(why, rules->must_exclude[i], "forbids the claim");
    }
    for (size_t i = 0; i < rules->n_permitted; i++) {
        const struct pki_claim_values *p = &rules->permitted[i];
        bool good = !find(arg, p->claim, &value);

        for (size_t k = 0; k < p->n && !good; k++)
            good = str_eq(value, p->values[k]);
        if (!good)
            return violated(why, p->claim, "does not permit this value of");
    }
    return 0;
}
