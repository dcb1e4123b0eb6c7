/* TN Authorization Lists and JWT Claim Constraints from any bytes: nothing may be read outside, and
 * every number that a list covers is one that an entry of it names. */
#include "base/limits.h"
#include "pki/claims.h"
#include "pki/tnauth.h"
#include <stdlib.h>

#define CHECK(x)                                                                                   \
    do {                                                                                           \
        if (!(x))                                                                                  \
            abort();                                                                               \
    } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void check_number(const struct pki_tnauth *t, uint64_t v, unsigned digits, bool expected)
{
    char text[24];
    struct str s = str_make(text + sizeof(text) - digits, digits);

    for (size_t i = sizeof(text); i > 0; i--, v /= 10)
        text[i - 1] = (char)('0' + v % 10);
    if (expected)
        CHECK(pki_tnauth_covers(t, s) == PKI_TN_COVERED);
    else
        CHECK(pki_tnauth_covers(t, s) != PKI_TN_COVERED);
}

/* A chain covers what each of its lists does, no more than the one that covers least. */
static void check_chain(const struct pki_tnauth *t, const uint8_t *data, size_t n)
{
    static const struct pki_tn_range some = {4930000, 4930999, 7};
    static const struct pki_tnauth other = {.ranges = &some, .n_ranges = 1};
    const struct pki_tnauth *lists[3] = {t, NULL, &other};
    struct str number = str_make((const char *)data, n), known = STR("4930123");
    enum pki_tn_scope one = pki_tnauth_covers(t, known);

    CHECK(pki_tnauth_chain_covers(lists, 2, known) == one);
    CHECK(pki_tnauth_chain_covers(lists, 3, known) <= one);
    CHECK(pki_tnauth_chain_covers(lists + 1, 1, known) == PKI_TN_NOT_COVERED);
    (void)pki_tnauth_covers(t, number);
}

static void check_list(struct arena *a, const uint8_t *data, size_t n)
{
    struct pki_tnauth t;
    struct reason why = {0};

    if (pki_tnauth_parse(a, data, n, &t, &why) != 0) {
        CHECK(why.code);
        return;
    }
    CHECK(t.n_ranges + t.n_codes + t.n_spcs > 0);
    for (size_t i = 0; i < t.n_ranges; i++) {
        const struct pki_tn_range *r = &t.ranges[i];

        CHECK(r->digits >= 1 && r->digits <= 15 && r->start <= r->last);
        check_number(&t, r->start, r->digits, true);
        check_number(&t, r->last, r->digits, true);
        if (r->start > 0) /* they are merged, so each has a gap before it */
            check_number(&t, r->start - 1, r->digits, false);
    }
    for (size_t i = 0; i < t.n_codes; i++)
        CHECK(pki_tnauth_covers(&t, t.codes[i]) == PKI_TN_COVERED);
    check_chain(&t, data, n);
}

/* Of a token that has some of the claims, none, or all with a value that is permitted. */
struct claims {
    const struct pki_claim_rules *rules;
    size_t kind;
};

static bool find_claim(void *arg, struct str claim, struct str *ret_value)
{
    const struct claims *c = arg;

    *ret_value = claim;
    for (size_t i = 0; i < c->rules->n_permitted && c->kind == 2; i++)
        if (str_eq(c->rules->permitted[i].claim, claim))
            *ret_value = c->rules->permitted[i].values[c->rules->permitted[i].n - 1];
    return c->kind == 2 || (claim.n + c->kind) % 2;
}

static void check_rules(struct arena *a, const uint8_t *data, size_t n, bool enhanced)
{
    struct pki_claim_rules r;
    struct reason why = {0};

    if (pki_claim_rules_parse(a, data, n, enhanced, &r, &why) != 0) {
        CHECK(why.code);
        return;
    }
    CHECK(r.n_include <= LIMIT_CLAIM_RULES && r.n_exclude <= LIMIT_CLAIM_RULES);
    for (size_t i = 0; i < 3; i++) {
        struct claims c = {&r, i};

        why = (struct reason){0};
        CHECK(pki_claim_rules_check(&r, find_claim, &c, &why) == 0 || why.code);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct arena *a = arena_new(4096, 4 << 20);

    if (!a)
        return 0;
    check_list(a, data, n);
    check_rules(a, data, n, false);
    check_rules(a, data, n, true);
    arena_free(a);
    return 0;
}
