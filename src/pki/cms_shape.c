/* The shape of CMS SignedData before any library sees it: RFC 5652 3, 5.1; X.690 8.1 (BER: lengths
 * may be indefinite, RFC 8551 says that receivers must take that). One walk over the bytes with a
 * stack, no recursion, nothing allocated. Pure; any thread. */
#include "base/err.h"
#include "base/limits.h"
#include "pki/pki_priv.h"

#define OPEN_END SIZE_MAX
#define CONSTRUCTED 0x20u

struct level {
    size_t end; /* OPEN_END: up to its end-of-contents octets */
    uint8_t tag;
    uint16_t n; /* elements in it so far */
};

struct walk {
    const uint8_t *p;
    size_t n, at;
    struct level level[LIMIT_CMS_DEPTH];
    unsigned depth, n_elements;
    unsigned n_sets; /* of SignedData: digestAlgorithms comes first, signerInfos last */
    unsigned n_signers;
    bool is_over, is_signed_data;
    struct reason *why;
};

/* Where the fields of SignedData stand: ContentInfo, [0], SignedData, field. */
enum { AT_TYPE = 1, AT_FIELD = 3, AT_ITEM = 4 };

static const uint8_t oid_signed_data[] = {0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x02};

static int malformed(struct walk *w, const char *text)
{
    reason_set(w->why, "cms-syntax", "RFC 5652 5.1", 400, "at byte %zu: %s", w->at, text);
    return ERR_SYNTAX;
}

static int too_much(struct walk *w, const char *text)
{
    reason_set(w->why, "cms-limit", "RFC 5652 5.1", 413, "%s", text);
    return ERR_LIMIT;
}

/* Levels that end here are left. */
static int leave(struct walk *w)
{
    while (w->depth > 0) {
        struct level *l = &w->level[w->depth - 1];

        if (l->end == OPEN_END) {
            if (w->n - w->at < 2 || w->p[w->at] != 0 || w->p[w->at + 1] != 0)
                return 0;
            w->at += 2;
        } else if (w->at < l->end) {
            return 0;
        } else if (w->at > l->end) {
            return malformed(w, "longer than what it is in");
        }
        w->depth--;
    }
    w->is_over = true;
    return w->at == w->n ? 0 : malformed(w, "more behind its end");
}

/* The next element's tag and length; w->at stands at its contents then. */
static int take_head(struct walk *w, uint8_t *ret_tag, size_t *ret_len)
{
    size_t n_len, len;

    if (w->n - w->at < 2)
        return malformed(w, "cut off");
    *ret_tag = w->p[w->at++];
    if ((*ret_tag & 0x1f) == 0x1f || *ret_tag == 0)
        return malformed(w, "a tag that has no place here");
    len = w->p[w->at++];
    if (len == 0x80) {
        *ret_len = OPEN_END;
        return *ret_tag & CONSTRUCTED ? 0 : malformed(w, "a string without an end");
    }
    if (len > 0x80) {
        n_len = len & 0x7f;
        if (n_len > 4 || n_len > w->n - w->at)
            return malformed(w, "a length that cannot be");
        for (len = 0; n_len > 0; n_len--)
            len = len << 8 | w->p[w->at++];
    }
    *ret_len = len;
    return len <= w->n - w->at ? 0 : malformed(w, "cut off");
}

static int count_item(struct walk *w, const struct level *field)
{
    if (field->tag == DER_CONTEXT(0) && field->n > PKI_CHAIN_CERTS)
        return too_much(w, "more certificates than a chain may have");
    if (field->tag != DER_SET)
        return 0;
    if (w->n_sets == 1)
        return field->n > LIMIT_CMS_DIGESTS ? too_much(w, "too many digest algorithms") : 0;
    return ++w->n_signers > 1 ? too_much(w, "more than one signer") : 0;
}

/* What is told apart by where it stands. */
static int look(struct walk *w, uint8_t tag, size_t len)
{
    if (w->depth == AT_TYPE && w->level[0].n == 1)
        w->is_signed_data = tag == DER_OID && len == sizeof(oid_signed_data) &&
                            memcmp(w->p + w->at, oid_signed_data, len) == 0;
    if (w->depth == AT_FIELD && tag == DER_SET)
        w->n_sets++;
    if (w->depth == AT_ITEM)
        return count_item(w, &w->level[AT_FIELD]);
    return 0;
}

static int step(struct walk *w)
{
    uint8_t tag;
    size_t len;
    int err;

    if ((err = take_head(w, &tag, &len)) != 0)
        return err;
    if (w->depth == 0 && tag != DER_SEQUENCE)
        return malformed(w, "not a ContentInfo");
    if (++w->n_elements > LIMIT_CMS_ELEMENTS)
        return too_much(w, "too many elements");
    if (w->depth > 0)
        w->level[w->depth - 1].n++;
    if ((err = look(w, tag, len)) != 0)
        return err;
    if (!(tag & CONSTRUCTED)) {
        w->at += len;
    } else if (w->depth == LIMIT_CMS_DEPTH) {
        return too_much(w, "nested too deep");
    } else {
        w->level[w->depth++] = (struct level){len == OPEN_END ? OPEN_END : w->at + len, tag, 0};
    }
    return leave(w);
}

int cms_shape_check(struct str cms, struct reason *why)
{
    struct walk w = {.p = (const uint8_t *)cms.p, .n = cms.n, .why = why};
    int err = cms.n > LIMIT_CMS_BYTES ? too_much(&w, "too many bytes") : 0;

    while (err == 0 && !w.is_over)
        err = step(&w);
    if (err != 0)
        return err;
    if (!w.is_signed_data) {
        reason_set(why, "cms-kind", "RFC 5652 4", 415, "no SignedData");
        return ERR_UNSUPPORTED;
    }
    return w.n_signers == 1 ? 0 : malformed(&w, "nobody has signed it");
}
