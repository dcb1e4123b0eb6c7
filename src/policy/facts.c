/* Facts as text, from what other rooms found, and as one block of memory (facts.h). Pure. */
#include "policy/facts.h"
#include "base/attr.h"
#include "base/err.h"
#include "base/mem.h"
#include <stdalign.h>

#define TEXT_OF(table, v) ((unsigned)(v) < ARRAY_LEN(table) ? (table)[v] : "?")

const char *policy_known_text(enum policy_known v)
{
    static const char *const t[] = {"none", "claimed",       "asserted",
                                    "site", "authenticated", "verified"};
    return TEXT_OF(t, v);
}

const char *policy_how_text(enum policy_how v)
{
    static const char *const t[] = {"nothing", "address", "connection", "digest",
                                    "bearer",  "aka",     "certificate"};
    return TEXT_OF(t, v);
}

const char *policy_smime_text(enum policy_smime v)
{
    static const char *const t[] = {"none",         "contradicted", "broken", "stale",
                                    "unverifiable", "encrypted",    "signed", "names"};
    return TEXT_OF(t, v);
}

const char *policy_below_kind_text(enum policy_below_kind v)
{
    static const char *const t[] = {"none", "lock", "802.1x", "vpn", "ipsec"};
    return TEXT_OF(t, v);
}

const char *policy_below_check_text(enum policy_below_check v)
{
    static const char *const t[] = {"gone", "declared", "checked"};
    return TEXT_OF(t, v);
}

const char *policy_beyond_text(enum policy_beyond v)
{
    static const char *const t[] = {"clear", "unknown", "claimed", "provisioned", "none"};
    return TEXT_OF(t, v);
}

const char *policy_media_kind_text(enum policy_media_kind v)
{
    static const char *const t[] = {"other", "audio", "video", "text", "image"};
    return TEXT_OF(t, v);
}

const char *policy_bound_text(enum policy_bound v)
{
    static const char *const t[] = {"not bound", "by our own hop", "by the domain", "by the user"};
    return TEXT_OF(t, v);
}

const char *policy_relay_text(enum policy_relay v)
{
    static const char *const t[] = {"clear", "re-encrypted", "passed"};
    return TEXT_OF(t, v);
}

const char *policy_ends_at_text(enum policy_ends_at v)
{
    static const char *const t[] = {"unknown",    "gateway",  "maybe-gateway",
                                    "conference", "recorder", "user"};
    return TEXT_OF(t, v);
}

/* --- From other rooms --- */

struct policy_hop policy_hop_from(const struct hop_facts *hop, enum transport transport,
                                  struct str peer)
{
    return (struct policy_hop){
        .transport = transport,
        .secure = hop->secure,
        .authenticated = hop->peer_verified,
        .forward_secret = hop->forward_secret,
        .version = hop->tls_version,
        .cipher = hop->cipher,
        .peer = peer,
    };
}

/* The last step of the diversions that lead to where the request goes: no other one rests on it. */
static struct str diverter_of(const struct identity_result *r)
{
    for (size_t i = 0; i < r->n_tokens; i++) {
        const struct passport *p = &r->tokens[i].p;
        bool is_last = r->tokens[i].in_chain && p->div.text.n > 0;

        for (size_t k = 0; is_last && k < r->n_tokens; k++)
            is_last = k == i || !r->tokens[k].in_chain || r->tokens[k].p.div.text.n == 0 ||
                      !passport_id_in(r->tokens[k].p.div, p->dest, p->n_dest);
        if (is_last)
            return p->div.text;
    }
    return STR_NULL;
}

unsigned policy_identity_from(const struct identity_result *result, struct str address,
                              struct str signer, bool has_keys, struct policy_identity *ret)
{
    bool is_valid = result->verdict == IDENTITY_VALID;
    bool is_number =
        address.n > 0 && (address.p[0] == '+' || str_starts_nocase(address, STR("tel:")));
    unsigned hints = 0;

    *ret = (struct policy_identity){
        .known = is_valid ? POLICY_ID_VERIFIED : POLICY_ID_CLAIMED,
        .verdict = result->verdict,
        .worst = is_valid ? result->worst : IDENTITY_ABSENT, /* beside a valid one only */
        .authority = is_valid ? result->authority : IDENTITY_NO_AUTHORITY,
        .reached = is_valid ? result->reached : IDENTITY_REACHED_SAME,
        .attest = is_valid ? result->attest : 0,
        .by_user = is_valid && result->by_user,
        .body_bound = is_valid && result->body_bound,
        .by_sha1 = is_valid && result->by_rfc4474,
        .why = is_valid ? NULL : result->why.code,
        .address = address,
        .by = signer,
    };
    if (ret->reached == IDENTITY_REACHED_PROVEN)
        ret->diverted_by = diverter_of(result);
    if (is_valid && result->attest == 'C')
        hints |= POLICY_HINT_ATTEST_C;
    if (is_valid && is_number && has_keys && !result->keys_bound)
        hints |= POLICY_HINT_NO_KEYS;
    return hints;
}

enum policy_bound policy_bound_from(const struct identity_result *result)
{
    if (result->verdict != IDENTITY_VALID || !result->keys_bound)
        return POLICY_BOUND_NONE;
    return result->by_user ? POLICY_BOUND_USER : POLICY_BOUND_DOMAIN;
}

enum policy_bound policy_body_bound_from(const struct identity_result *result)
{
    return result->verdict == IDENTITY_VALID && result->body_bound ? POLICY_BOUND_DOMAIN
                                                                   : POLICY_BOUND_NONE;
}

/* --- One block --- */

/* Measures with p == NULL, writes otherwise: the same walk, so that the sizes cannot differ. */
struct block {
    char *p;
    size_t at;
};

static void *block_take(struct block *b, size_t n, size_t align)
{
    void *ret;

    b->at = (b->at + align - 1) / align * align;
    ret = b->p != NULL ? b->p + b->at : NULL;
    b->at += n;
    return ret;
}

static void block_text(struct block *b, struct str *s)
{
    size_t n =
        s->n <= LIMIT_POLICY_TEXT ? s->n : str_utf8_prefix(str_make(s->p, LIMIT_POLICY_TEXT));
    char *p = block_take(b, n, 1);

    if (p == NULL)
        return;
    if (n > 0)
        memcpy(p, s->p, n);
    *s = str_make(p, n);
}

/* A copy of an array; where it is measured only, the texts of the original are looked at, and a
 * throw-away copy of each element takes the pointers. */
static void block_hops(struct block *b, struct policy_party *p)
{
    const struct policy_hop *from = p->hops;
    struct policy_hop *to = block_take(b, p->n_hops * sizeof(*to), alignof(struct policy_hop));

    for (unsigned i = 0; i < p->n_hops; i++) {
        struct policy_hop one = from[i];

        block_text(b, &one.peer);
        block_text(b, &one.below.by);
        if (to != NULL)
            to[i] = one;
    }
    p->hops = to;
}

static void block_media(struct block *b, struct policy_party *p)
{
    const struct policy_medium *from = p->media;
    struct policy_medium *to =
        block_take(b, p->n_media * sizeof(*to), alignof(struct policy_medium));

    for (unsigned i = 0; i < p->n_media; i++) {
        struct policy_medium one = from[i];

        block_text(b, &one.bound_by);
        block_text(b, &one.below.by);
        if (to != NULL)
            to[i] = one;
    }
    p->media = to;
}

static struct policy_facts *block_facts(struct block *b, const struct policy_facts *f)
{
    struct policy_facts *ret = block_take(b, sizeof(*ret), alignof(struct policy_facts));
    struct policy_party *to =
        block_take(b, f->n_parties * sizeof(*to), alignof(struct policy_party));

    for (unsigned i = 0; i < f->n_parties; i++) {
        struct policy_party one = f->parties[i];

        block_text(b, &one.identity.address);
        block_text(b, &one.identity.by);
        block_text(b, &one.identity.diverted_by);
        block_text(b, &one.identity.called);
        block_text(b, &one.identity.via);
        block_text(b, &one.identity.asserted);
        block_hops(b, &one);
        block_media(b, &one);
        if (to != NULL)
            to[i] = one;
    }
    if (ret != NULL) {
        *ret = *f;
        ret->parties = to;
    }
    return ret;
}

static bool is_within(const struct policy_facts *f)
{
    if (f->n_parties > LIMIT_POLICY_PARTIES)
        return false;
    for (unsigned i = 0; i < f->n_parties; i++) {
        if (f->parties[i].n_hops > LIMIT_POLICY_HOPS || f->parties[i].n_media > LIMIT_POLICY_MEDIA)
            return false;
    }
    return true;
}

int policy_facts_copy(const struct policy_facts *f, struct policy_facts **ret)
{
    struct block b = {0};

    *ret = NULL;
    if (!is_within(f))
        return ERR_LIMIT;
    (void)block_facts(&b, f);
    b.p = mem_alloc(b.at);
    if (b.p == NULL)
        return ERR_NOMEM;
    b.at = 0;
    *ret = block_facts(&b, f);
    return 0;
}

void policy_facts_free(struct policy_facts *f)
{
    mem_free(f);
}
