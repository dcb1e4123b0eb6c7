/* TN Authorization Lists: RFC 8226 9 and Appendix A (explicit tags). Pure; any thread. */
#include "pki/tnauth.h"
#include "base/limits.h"
#include "pki/der.h"
#include "pki/pki_priv.h"
#include <openssl/x509v3.h>
#include <stdlib.h>

#define NUMBER_MAX 15u /* TelephoneNumber ::= IA5String (SIZE (1..15)) */
#define SPC_MAX 64u

struct list {
    struct pki_tn_range *ranges;
    struct str *codes, *spcs;
    size_t n_ranges, n_codes, n_spcs;
};

static int refuse(struct reason *why, const char *what)
{
    reason_set(why, "cert-tnauthlist", "RFC 8226 9", 437, "%s", what);
    return ERR_SYNTAX;
}

/* --- reading --- */

static bool number_is_valid(struct str s, bool *ret_digits)
{
    *ret_digits = true;
    if (s.n == 0 || s.n > NUMBER_MAX)
        return false;
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] == '#' || s.p[i] == '*')
            *ret_digits = false;
        else if (s.p[i] < '0' || s.p[i] > '9')
            return false;
    }
    return true;
}

static uint64_t number_value(struct str digits)
{
    uint64_t v = 0;

    for (size_t i = 0; i < digits.n; i++)
        v = v * 10 + (uint64_t)(digits.p[i] - '0');
    return v;
}

static uint64_t power10(size_t n)
{
    uint64_t v = 1;

    while (n--)
        v *= 10;
    return v;
}

static bool read_spc(struct der *d, struct list *l)
{
    struct str s = der_text(der_take(d, DER_IA5_STRING));

    if (d->bad || s.n == 0 || s.n > SPC_MAX)
        return false;
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] <= ' ' || s.p[i] >= 0x7f)
            return false;
    }
    l->spcs[l->n_spcs++] = s;
    return true;
}

static bool read_one(struct der *d, struct list *l)
{
    struct str s = der_text(der_take(d, DER_IA5_STRING));
    bool digits;

    if (d->bad || !number_is_valid(s, &digits))
        return false;
    if (digits)
        l->ranges[l->n_ranges++] =
            (struct pki_tn_range){number_value(s), number_value(s), (uint8_t)s.n};
    else
        l->codes[l->n_codes++] = s;
    return true;
}

/* What may stand behind the count in later versions ("...") is passed over. */
static bool read_range(struct der *d, struct list *l)
{
    struct der seq = der_take(d, DER_SEQUENCE);
    struct str start = der_text(der_take(&seq, DER_IA5_STRING));
    uint64_t count = der_u64(&seq), first;
    bool digits;

    if (d->bad || seq.bad || !number_is_valid(start, &digits) || !digits || count < 2)
        return false;
    first = number_value(start);
    if (count >= power10(start.n) - first) /* "TelephoneNumber + count MUST be less than 10^D" */
        return false;
    l->ranges[l->n_ranges++] = (struct pki_tn_range){first, first + count - 1, (uint8_t)start.n};
    return true;
}

static bool read_entry(struct der *d, struct list *l)
{
    static bool (*const readers[3])(struct der *, struct list *) = {read_spc, read_range, read_one};

    for (unsigned i = 0; i < 3; i++) {
        if (der_is(d, DER_CONTEXT(i))) {
            struct der inner = der_take(d, DER_CONTEXT(i));

            return !d->bad && readers[i](&inner, l) && !inner.bad && der_at_end(&inner);
        }
    }
    return false;
}

/* --- order --- */

static int range_cmp(const void *x, const void *y)
{
    const struct pki_tn_range *a = x, *b = y;

    if (a->digits != b->digits)
        return a->digits < b->digits ? -1 : 1;
    return a->start < b->start ? -1 : a->start > b->start;
}

static size_t ranges_merge(struct pki_tn_range *v, size_t n)
{
    size_t kept = 0;

    if (n)
        qsort(v, n, sizeof(*v), range_cmp);
    for (size_t i = 0; i < n; i++) {
        struct pki_tn_range *last = kept ? &v[kept - 1] : NULL;

        if (last && last->digits == v[i].digits && v[i].start <= last->last + 1) {
            if (v[i].last > last->last)
                last->last = v[i].last;
        } else {
            v[kept++] = v[i];
        }
    }
    return kept;
}

static size_t count_entries(struct der d)
{
    size_t n = 0;

    while (!der_at_end(&d) && !d.bad && n <= LIMIT_TNAUTH_ENTRIES) {
        (void)der_take(&d, d.p[0]);
        n++;
    }
    return n;
}

int pki_tnauth_parse(struct arena *a, const void *der, size_t n, struct pki_tnauth *ret,
                     struct reason *why)
{
    struct der all = der_make(der, n), d;
    struct list l = {.ranges = NULL};
    size_t entries;

    *ret = (struct pki_tnauth){.ranges = NULL};
    if (n > LIMIT_TNAUTH_BYTES)
        goto too_long;
    d = der_take(&all, DER_SEQUENCE);
    if (all.bad || !der_at_end(&all) || der_at_end(&d))
        return refuse(why, "not a list of numbers");
    entries = count_entries(d);
    if (entries > LIMIT_TNAUTH_ENTRIES)
        goto too_long;
    l.ranges = arena_alloc(a, entries * sizeof(*l.ranges));
    l.codes = arena_alloc(a, entries * sizeof(*l.codes));
    l.spcs = arena_alloc(a, entries * sizeof(*l.spcs));
    if (!l.ranges || !l.codes || !l.spcs) {
        reason_set(why, "no-memory", NULL, 500, NULL);
        return ERR_NOMEM;
    }
    while (!der_at_end(&d)) {
        if (!read_entry(&d, &l))
            return refuse(why, "an entry that is neither number, range nor provider code");
    }
    *ret = (struct pki_tnauth){
        l.ranges, ranges_merge(l.ranges, l.n_ranges), l.codes, l.n_codes, l.spcs, l.n_spcs};
    return 0;
too_long:
    reason_set(why, "cert-tnauthlist", "RFC 8226 9", 437, "the list is too long");
    return ERR_LIMIT;
}

/* --- in certificates --- */

int cert_extension(const X509 *cert, const uint8_t *oid, size_t n_oid, const uint8_t **ret,
                   size_t *ret_n)
{
    const ASN1_OCTET_STRING *found = NULL;

    for (int i = 0; i < X509_get_ext_count(cert); i++) {
        X509_EXTENSION *e = X509_get_ext(cert, i);
        const ASN1_OBJECT *o = X509_EXTENSION_get_object(e);

        if (OBJ_length(o) != n_oid || memcmp(OBJ_get0_data(o), oid, n_oid) != 0)
            continue;
        if (found) /* RFC 5280 4.2: no extension twice */
            return ERR_SYNTAX;
        found = X509_EXTENSION_get_data(e);
    }
    if (!found)
        return ERR_NOTFOUND;
    *ret = ASN1_STRING_get0_data(found);
    *ret_n = (size_t)ASN1_STRING_length(found);
    return 0;
}

int pki_tnauth_of(const X509 *cert, struct arena *a, struct pki_tnauth *ret, struct reason *why)
{
    static const uint8_t oid[] = {0x2b, 6, 1, 5, 5, 7, 1, 26}; /* id-pe-TNAuthList */
    const uint8_t *der;
    size_t n;
    int err = cert_extension(cert, oid, sizeof(oid), &der, &n);

    *ret = (struct pki_tnauth){.ranges = NULL};
    if (err == ERR_SYNTAX)
        return refuse(why, "the extension is there twice");
    return err != 0 ? err : pki_tnauth_parse(a, der, n, ret, why);
}

/* --- asking --- */

static bool ranges_have(const struct pki_tnauth *t, struct str digits)
{
    struct pki_tn_range key = {number_value(digits), 0, (uint8_t)digits.n};
    size_t low = 0, high = t->n_ranges;

    while (low < high) { /* the last range that does not begin behind the number */
        size_t mid = low + (high - low) / 2;

        if (range_cmp(&t->ranges[mid], &key) <= 0)
            low = mid + 1;
        else
            high = mid;
    }
    return low > 0 && t->ranges[low - 1].digits == key.digits &&
           t->ranges[low - 1].last >= key.start;
}

enum pki_tn_scope pki_tnauth_covers(const struct pki_tnauth *t, struct str number)
{
    bool digits;

    if (!number_is_valid(number, &digits))
        return PKI_TN_NOT_COVERED;
    if (digits && ranges_have(t, number))
        return PKI_TN_COVERED;
    for (size_t i = 0; i < t->n_codes; i++) {
        if (str_eq(t->codes[i], number))
            return PKI_TN_COVERED;
    }
    return t->n_spcs ? PKI_TN_BY_PROVIDER : PKI_TN_NOT_COVERED;
}

enum pki_tn_scope pki_tnauth_chain_covers(const struct pki_tnauth *const *lists, size_t n,
                                          struct str number)
{
    enum pki_tn_scope least = PKI_TN_COVERED;
    bool any = false;

    for (size_t i = 0; i < n; i++) {
        enum pki_tn_scope scope;

        if (!lists[i])
            continue;
        any = true;
        scope = pki_tnauth_covers(lists[i], number);
        if (scope < least)
            least = scope;
    }
    return any ? least : PKI_TN_NOT_COVERED;
}
