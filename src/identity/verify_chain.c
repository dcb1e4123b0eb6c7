/* Diversions: RFC 8946 4.2 and 5.1. Each step's "div" is one of the "dest" of the step before, all
 * have the same "orig", and the last names whom the message goes to. Bounded by the number of
 * tokens: each is visited once. Pure; one thread per check. */
#include "identity/verify_priv.h"

struct str identity_reached_text(enum identity_reached r)
{
    static const struct str texts[] = {
        {"same", 4}, {"diverted-proven", 15}, {"diverted-unproven", 17}, {"contradictory", 13}};

    return texts[r];
}

/* Does `next` say that it diverted what `from` names? A div-o diverts what it encloses, a div may
 * divert anything that came in a header of its own. */
static bool follows(const struct identity_check *c, size_t from, size_t next)
{
    const struct identity_token *a = &c->tokens[from], *b = &c->tokens[next];

    if (from == next || !token_diverts(b) || !b->p.div.text.p)
        return false;
    if (b->inner >= 0 || a->outer >= 0) {
        if (b->inner != (int)from)
            return false;
    }
    return passport_id_in(b->p.div, a->p.dest, a->p.n_dest) &&
           passport_id_eq(a->p.orig, b->p.orig); /* 8946 4.2 item 3 */
}

static bool holds(const struct identity_check *c, size_t i)
{
    return c->tokens[i].signature_holds && c->tokens[i].verdict == IDENTITY_VALID;
}

static bool is_target(const struct identity_check *c, const struct identity_token *t)
{
    const struct identity_message *m = c->m;
    struct passport_id target = m->target.text.p ? m->target : m->to;

    if (passport_id_in(target, t->p.dest, t->p.n_dest))
        return true;
    for (size_t i = 0; i < m->n_also; i++) {
        if (passport_id_in(m->also[i], t->p.dest, t->p.n_dest))
            return true;
    }
    return false;
}

struct path {
    uint8_t step[LIMIT_IDENTITY_TOKENS];
    size_t n;
    uint32_t on, seen; /* bits: on the path now; ever visited */
};

/* The next token to go to; LIMIT_IDENTITY_TOKENS: none. *ret_is_last: and nothing that is not on
 * the path goes on from here, so this is the outermost. */
static size_t path_next(const struct identity_check *c, const struct path *p, bool *ret_is_last)
{
    size_t here = p->step[p->n - 1];

    *ret_is_last = true;
    for (size_t i = 0; i < c->n_tokens; i++) {
        if ((p->on >> i & 1) || !holds(c, i) || !follows(c, here, i))
            continue;
        *ret_is_last = false;
        if (!(p->seen >> i & 1))
            return i;
    }
    return LIMIT_IDENTITY_TOKENS;
}
_Static_assert(LIMIT_IDENTITY_TOKENS <= 32, "the sets of a path are one word each");

/* True: the path ends at the target. */
static bool path_find(const struct identity_check *c, size_t base, struct path *p)
{
    *p = (struct path){.step = {(uint8_t)base}, .n = 1, .on = 1u << base, .seen = 1u << base};
    while (p->n > 0) {
        bool is_last;
        size_t here = p->step[p->n - 1], next = path_next(c, p, &is_last);

        if (next < LIMIT_IDENTITY_TOKENS) {
            p->step[p->n++] = (uint8_t)next;
            p->on |= 1u << next;
            p->seen |= 1u << next;
            continue;
        }
        /* The outermost must be fresh itself (8946 4.2 item 4). */
        if (is_last && is_target(c, &c->tokens[here]) && !c->tokens[here].needs_chain)
            return true;
        p->on &= ~(1u << here);
        p->n--;
    }
    return false;
}

/* Why there is no path: did somebody without authority divert, or does a signed diversion lead
 * elsewhere? */
static bool is_contradictory(const struct identity_check *c, size_t base)
{
    for (size_t i = 0; i < c->n_tokens; i++) {
        if (follows(c, base, i) && (holds(c, i) || c->tokens[i].verdict == IDENTITY_CONTRADICTED))
            return true;
    }
    return false;
}

enum identity_reached chain_follow(struct identity_check *c, size_t base, size_t *ret_n)
{
    struct path p;

    *ret_n = 0;
    if (path_find(c, base, &p)) {
        for (size_t i = 1; i < p.n; i++)
            c->tokens[p.step[i]].in_chain = true;
        *ret_n = p.n - 1;
        return p.n == 1 ? IDENTITY_REACHED_SAME : IDENTITY_REACHED_PROVEN;
    }
    return is_contradictory(c, base) ? IDENTITY_REACHED_CONTRADICTORY : IDENTITY_REACHED_UNPROVEN;
}
