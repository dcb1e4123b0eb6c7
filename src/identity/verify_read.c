/* First step of verification: every Identity value parsed, and everything decided that no key can
 * change (RFC 8224 6.2 steps 1, 2 and 4; 6.2.4). What is decided here asks for no certificate: a
 * stale or misaddressed token costs no fetch. Pure; one thread per check. */
#include "identity/verify_priv.h"

struct str identity_verdict_text(enum identity_verdict v)
{
    static const struct str texts[] = {{"valid", 5}, {"absent", 6}, {"unverifiable", 12},
                                       {"stale", 5}, {"broken", 6}, {"contradicted", 12}};

    return texts[v];
}

struct identity_policy identity_policy_default(uint64_t now_s)
{
    return (struct identity_policy){
        .now_s = now_s,
        .max_age_s = 60,
        .max_ahead_s = 60,
        .inner_max_age_s = 60,
        .algs = JWS_BIT(JWS_ES256),
        .types = PASSPORT_BIT(PASSPORT_BASE) | PASSPORT_BIT(PASSPORT_SHAKEN) |
                 PASSPORT_BIT(PASSPORT_DIV) | PASSPORT_BIT(PASSPORT_DIV_O) |
                 PASSPORT_BIT(PASSPORT_MSEC) | PASSPORT_BIT(PASSPORT_MSG) |
                 PASSPORT_BIT(PASSPORT_RSP),
        .allow_provider = true,
        .rsa_min_bits = RFC4474_RSA_BITS,
    };
}

void token_fail(struct identity_token *t, enum identity_verdict v, const struct reason *why)
{
    if (v <= t->verdict)
        return;
    t->verdict = v;
    t->why = *why;
}

/* Decided: no key is needed any more. */
static void decide(struct identity_token *t, enum identity_verdict v, const struct reason *why)
{
    token_fail(t, v, why);
    t->is_decided = true;
}

bool token_is_stale(const struct identity_check *c, const struct identity_token *t,
                    uint32_t max_age_s)
{
    uint64_t now = c->policy->now_s, iat = t->p.iat;

    return iat > now ? iat - now > c->policy->max_ahead_s : now - iat > max_age_s;
}

/* --- type and algorithm (8224 6.2 step 1) --- */

/* False: it is to be ignored. "rph" speaks for a priority, signed by whoever grants that (RFC
 * 8443): it proves nothing about the caller, so allowing it changes nothing here. */
static bool type_is_wanted(const struct identity_check *c, struct identity_token *t,
                           enum passport_type type, struct str ppt)
{
    struct reason why;

    if (type != PASSPORT_UNKNOWN && type != PASSPORT_RPH &&
        (c->policy->types & PASSPORT_BIT(type)) && (type == PASSPORT_RSP) == c->m->is_response)
        return true;
    reason_set(&why, "identity-ppt-unsupported", "RFC 8224 6.2 step 1", 428, "ppt %.*s",
               (int)(ppt.n > 64 ? 64 : ppt.n), ppt.p);
    decide(t, IDENTITY_ABSENT, &why);
    return false;
}

static bool alg_is_wanted(const struct identity_check *c, struct identity_token *t,
                          enum jws_alg alg)
{
    struct reason why;

    if (c->policy->algs & JWS_BIT(alg))
        return true;
    reason_set(&why, "passport-alg-unsupported", "RFC 8225 4.2", 437, "%.*s is not allowed here",
               STR_FMT(jws_alg_text(alg)));
    decide(t, IDENTITY_UNVERIFIABLE, &why);
    return false;
}

/* How a token that could not be read counts. */
static int count_unreadable(struct identity_token *t, int err, const struct reason *why)
{
    if (err == ERR_NOMEM)
        return err;
    decide(t, err == ERR_UNSUPPORTED ? IDENTITY_UNVERIFIABLE : IDENTITY_BROKEN, why);
    return 0;
}

/* --- full form (8224 6.2.4) --- */

static bool broken(struct identity_token *t, const char *code, const char *clause,
                   const char *detail)
{
    struct reason why;

    reason_set(&why, code, clause, 438, "%s", detail);
    decide(t, IDENTITY_BROKEN, &why);
    return false;
}

/* RFC 8224 4.1: the header's parameters mirror the token's. A ppt that only the token has is seen
 * in the field and changes nothing, since the token is what is signed. */
static bool params_agree(struct identity_token *t, const struct identity_hdr *h)
{
    if (h->alg.n && !str_eq(h->alg, jws_alg_text(t->p.alg)))
        return broken(t, "identity-alg-mismatch", "RFC 8224 4.1",
                      "the header's alg is not the token's");
    if (!h->alg.n && t->p.alg != JWS_ES256)
        return broken(t, "identity-alg-mismatch", "RFC 8224 4.1",
                      "the header has no alg, and the token's is not ES256");
    if (h->ppt.n && !str_eq(h->ppt, t->p.ppt))
        return broken(t, "identity-ppt-mismatch", "RFC 8224 4.1",
                      "the header's ppt is not the token's");
    if (!str_eq(h->info, t->p.x5u))
        return broken(t, "identity-info-mismatch", "RFC 8224 4.1",
                      "the header's info is not the token's x5u");
    return true;
}

/* --- what needs no key --- */

static bool is_for_us(const struct identity_check *c, const struct identity_token *t)
{
    const struct identity_message *m = c->m;

    if (passport_id_in(m->to, t->p.dest, t->p.n_dest) ||
        passport_id_in(m->target, t->p.dest, t->p.n_dest))
        return true;
    for (size_t i = 0; i < m->n_also; i++) {
        if (passport_id_in(m->also[i], t->p.dest, t->p.n_dest))
            return true;
    }
    return false;
}

/* 8224 6.2 step 2, 6.2.4: the originator is the one that the message shows. A response shows
 * nobody: who answers is a fact, not a condition. */
static void check_orig(const struct identity_check *c, struct identity_token *t)
{
    struct reason why;

    if (c->m->is_response || t->is_rfc4474 || passport_id_eq(t->p.orig, c->m->orig) ||
        (c->m->orig_also.text.p && passport_id_eq(t->p.orig, c->m->orig_also)))
        return;
    reason_set(&why, "identity-orig-mismatch", "RFC 8224 6.2.4", 438,
               "signed for %.*s, the message shows %.*s", STR_FMT(t->p.orig.text),
               STR_FMT(c->m->orig.text.p ? c->m->orig.text : STR("nobody")));
    decide(t, IDENTITY_BROKEN, &why);
}

static void check_age(const struct identity_check *c, struct identity_token *t)
{
    struct reason why;
    bool inner =
        !c->m->is_response && !t->is_rfc4474 && c->policy->inner_max_age_s > c->policy->max_age_s;
    uint64_t now = c->policy->now_s;

    if (!token_is_stale(c, t, c->policy->max_age_s))
        return;
    if (inner && !token_is_stale(c, t, c->policy->inner_max_age_s)) {
        t->needs_chain = true; /* 8946 4.2 item 4: good enough below a fresh diversion */
        return;
    }
    reason_set(&why, "identity-stale", t->is_rfc4474 ? "RFC 4474 13.1" : "RFC 8224 6.2 step 4", 403,
               "signed %llu s %s",
               (unsigned long long)(t->p.iat > now ? t->p.iat - now : now - t->p.iat),
               t->p.iat > now ? "in the future" : "ago");
    decide(t, IDENTITY_STALE, &why);
}

/* A diverted token may name somebody else in "dest", as long as there are diversions. */
static void check_dest(struct identity_check *c)
{
    bool any = false;

    for (size_t i = 0; i < c->n_tokens; i++)
        any = any || token_diverts(&c->tokens[i]);
    for (size_t i = 0; i < c->n_tokens && !any; i++) {
        struct identity_token *t = &c->tokens[i];
        struct reason why;

        if (t->is_decided || is_for_us(c, t))
            continue;
        reason_set(&why, "identity-dest-mismatch", "RFC 8224 4.1", 438,
                   "signed for a call to %.*s%s", STR_FMT(t->p.dest[0].text),
                   t->p.n_dest > 1 ? " and others" : "");
        decide(t, IDENTITY_BROKEN, &why);
    }
}

/* Only https, and nothing that could be read in two ways, goes to the fetcher (RFC 4474 9 has http,
 * too: whoever is on the way could keep the certificate back). */
static bool url_is_fetchable(struct str url)
{
    struct str rest;
    size_t host;

    if (!str_starts_nocase(url, STR("https://")))
        return false;
    rest = str_make(url.p + 8, url.n - 8);
    for (host = 0; host < rest.n && !strchr("/?#", rest.p[host]); host++) {
        if (rest.p[host] == '@' || rest.p[host] == '\\')
            return false;
    }
    for (size_t i = 0; i < rest.n; i++) {
        if ((unsigned char)rest.p[i] <= ' ' || (unsigned char)rest.p[i] >= 0x7f)
            return false;
    }
    return host > 0;
}

static void want_credential(struct identity_check *c, struct identity_token *t)
{
    struct reason why;

    t->url = -1;
    if (t->is_decided)
        return;
    if (!url_is_fetchable(t->p.x5u)) {
        reason_set(&why, "identity-info-scheme", "RFC 8224 7.3", 436, "not fetched: %.*s",
                   (int)(t->p.x5u.n > 100 ? 100 : t->p.x5u.n), t->p.x5u.p);
        decide(t, IDENTITY_UNVERIFIABLE, &why);
        return;
    }
    for (size_t i = 0; i < c->n_urls; i++) {
        if (str_eq(c->urls[i], t->p.x5u)) {
            t->url = (int)i;
            return;
        }
    }
    t->url = (int)c->n_urls; /* not more of them than tokens */
    c->creds[c->n_urls] = NULL;
    c->urls[c->n_urls++] = t->p.x5u;
}

/* --- compact form (8225 7): what was signed is rebuilt from the message --- */

static int rebuild(struct identity_check *c, struct identity_token *t, const struct identity_hdr *h)
{
    const struct identity_message *m = c->m;
    struct passport *p = &t->p;
    struct reason why;
    int err;

    t->is_compact = true;
    *p = (struct passport){.alg = JWS_ES256,
                           .type = passport_type_parse(h->ppt),
                           .x5u = h->info,
                           .orig = m->orig,
                           .dest = &m->to,
                           .n_dest = m->to.text.p ? 1 : 0,
                           .iat = m->date_s,
                           .mky = m->mky,
                           .n_mky = m->n_mky,
                           .signature = str_make(h->token.p + 2, h->token.n - 2)};
    if (!type_is_wanted(c, t, p->type, h->ppt))
        return 0;
    if (!passport_type_may_be_compact(p->type)) {
        (void)broken(t, "identity-compact", "RFC 8225 7",
                     "a token of this type cannot be rebuilt from the message");
        return 0;
    }
    if (h->alg.n && (err = jws_alg_parse(h->alg, &p->alg, &why)) != 0)
        return count_unreadable(t, err, &why);
    if (!alg_is_wanted(c, t, p->alg))
        return 0;
    if (!m->has_date) {
        (void)broken(t, "identity-date-missing", "RFC 8224 6.1 step 3",
                     "a compact token and no Date");
        return 0;
    }
    if ((err = passport_build(c->arena, p, &why)) != 0) {
        why.sip_status = 438;
        return count_unreadable(t, err == ERR_INVALID ? ERR_SYNTAX : err, &why);
    }
    return 0;
}

/* --- one value --- */

/* Room for `max` tokens, or as many as may be. These would take more memory than all else of a
 * request, and one is usual. */
static int tokens_grow(struct identity_check *c, size_t max)
{
    struct identity_token *v;

    if (max > LIMIT_IDENTITY_TOKENS)
        max = LIMIT_IDENTITY_TOKENS;
    if (!(v = arena_alloc(c->arena, max * sizeof(*v))))
        return ERR_NOMEM;
    if (c->n_tokens)
        memcpy(v, c->tokens, c->n_tokens * sizeof(*v));
    c->tokens = v;
    c->max_tokens = max;
    return 0;
}

/* May move the others. ERR_LIMIT: there are as many as may be. */
static int token_add(struct identity_check *c, size_t header)
{
    int err;

    if (c->n_tokens == LIMIT_IDENTITY_TOKENS) {
        c->has_too_many = true;
        return ERR_LIMIT;
    }
    if (c->n_tokens == c->max_tokens && (err = tokens_grow(c, c->max_tokens * 2)) != 0)
        return err;
    c->tokens[c->n_tokens++] =
        (struct identity_token){.inner = -1, .outer = -1, .header = (int)header, .url = -1};
    return 0;
}

static int read_full(struct identity_check *c, struct identity_token *t, struct str token)
{
    struct reason why = {.code = NULL};
    int err = passport_parse(c->arena, token, &t->p, &why);

    if (err != 0)
        return count_unreadable(t, err, &why);
    if (type_is_wanted(c, t, t->p.type, t->p.ppt))
        (void)alg_is_wanted(c, t, t->p.alg);
    return 0;
}

/* What "div-o" encloses, as tokens of their own (8946 5.1). A nested token that cannot be read
 * makes the one around it worthless. */
static int read_nested(struct identity_check *c, size_t index)
{
    for (unsigned depth = 0;
         c->tokens[index].p.type == PASSPORT_DIV_O && !c->tokens[index].is_decided; depth++) {
        size_t inner = c->n_tokens;
        int err;

        if (depth == LIMIT_IDENTITY_NESTING) {
            (void)broken(&c->tokens[index], "identity-nesting", "RFC 8946 6",
                         "too many tokens in each other");
            return 0;
        }
        if ((err = token_add(c, (size_t)c->tokens[index].header)) != 0)
            return err == ERR_LIMIT ? 0 : err;
        c->tokens[inner].outer = (int)index;
        c->tokens[index].inner = (int)inner;
        if ((err = read_full(c, &c->tokens[inner], c->tokens[index].p.opt)) != 0)
            return err;
        index = inner;
    }
    return 0;
}

/* --- RFC 4474 --- */

/* Step 1 of RFC 4474 6, as far as no certificate is needed for it. */
static int read_info(struct identity_check *c, struct identity_token *t)
{
    const struct rfc4474_message *m = c->m->rfc4474;
    struct identity_hdr info = {.alg = STR_NULL};
    struct reason why = {.code = NULL};

    if (!m->info.p)
        reason_set(&why, "rfc4474-info", "RFC 4474 6 step 1", 436,
                   "no Identity-Info, or more than one");
    else if (identity_info_parse(m->info, &info, &why) != 0)
        why.sip_status = 436;
    else if (!str_eq_nocase(info.alg, STR(RFC4474_ALG)))
        reason_set(&why, "rfc4474-alg", "RFC 4474 9", 437, "alg is not " RFC4474_ALG);
    t->p.x5u = info.info;
    if (!why.code)
        return 0;
    decide(t, IDENTITY_UNVERIFIABLE, &why);
    return ERR_REFUSED;
}

/* The digest-string of the message is the only text that may have been signed. */
static int read_rfc4474(struct identity_check *c, struct identity_token *t,
                        const struct identity_hdr *h)
{
    const struct rfc4474_message *m = c->m->rfc4474;
    struct passport *p = &t->p;
    struct reason why = {.code = NULL};
    int err;

    t->is_rfc4474 = true;
    if (!m || c->m->is_response) {
        reason_set(&why, "identity-rfc4474", "RFC 8224 10", 428, "a signature of RFC 4474");
        decide(t, IDENTITY_ABSENT, &why);
        return 0;
    }
    *p = (struct passport){.type = PASSPORT_UNKNOWN,
                           .dest = &c->m->to,
                           .n_dest = c->m->to.text.p ? 1 : 0,
                           .iat = c->m->date_s,
                           .signature = h->token};
    if (read_info(c, t) != 0)
        return 0;
    if (!rfc4474_method_may(m->parts.method) || m->has_other_contacts) {
        (void)broken(t, "rfc4474-request", "RFC 4474 9",
                     "a request that this does not sign: its method, or several Contacts");
        return 0;
    }
    if ((err = rfc4474_identity(c->arena, m->parts.from, &p->orig, &why)) != 0 ||
        (err = rfc4474_build(c->arena, &m->parts, &p->input, &why)) != 0)
        return count_unreadable(t, err, &why);
    return 0;
}

/* RFC 8224 10, 4.1: who sends both speaks the newer one; and RFC 4474 9 has its own only once. */
static void settle_rfc4474(struct identity_check *c)
{
    bool has_passport = false, has_one = false;
    struct reason why;

    for (size_t i = 0; i < c->n_tokens; i++) {
        const struct identity_token *t = &c->tokens[i];

        has_passport |= !t->is_rfc4474 && !(t->is_decided && t->verdict == IDENTITY_ABSENT);
    }
    for (size_t i = 0; i < c->n_tokens; i++) {
        struct identity_token *t = &c->tokens[i];

        if (!t->is_rfc4474)
            continue;
        if (has_passport) {
            reason_set(&why, "identity-rfc4474", "RFC 8224 10", 428,
                       "a signature of RFC 4474 beside one of RFC 8224");
            t->verdict = IDENTITY_VALID; /* of it nothing else is said */
            decide(t, IDENTITY_ABSENT, &why);
        } else if (has_one) {
            (void)broken(t, "rfc4474-twice", "RFC 4474 9", "more than one signature of RFC 4474");
        }
        has_one = true;
    }
}

static int read_value(struct identity_check *c, struct str value, size_t header)
{
    struct identity_token *t;
    struct identity_hdr h;
    struct reason why = {.code = NULL};
    size_t index = c->n_tokens;
    int err = token_add(c, header);

    if (err != 0)
        return err == ERR_LIMIT ? 0 : err;
    t = &c->tokens[index];
    if ((err = identity_hdr_parse(c->arena, value, &h, &why)) != 0)
        return count_unreadable(t, err, &why);
    if (h.is_rfc4474)
        return read_rfc4474(c, t, &h);
    if (h.ppt.n && !type_is_wanted(c, t, passport_type_parse(h.ppt), h.ppt))
        return 0;
    if (passport_is_compact(h.token))
        return rebuild(c, t, &h);
    if ((err = read_full(c, t, h.token)) != 0)
        return err;
    if (t->is_decided || !params_agree(t, &h))
        return 0;
    return read_nested(c, index);
}

int identity_check_new(struct arena *a, const struct str *values, size_t n,
                       const struct identity_message *m, const struct identity_policy *policy,
                       struct identity_check **ret)
{
    struct identity_check *c = arena_alloc(a, sizeof(*c));
    int err;

    *ret = NULL;
    if (!c)
        return ERR_NOMEM;
    c->arena = a;
    c->m = m;
    c->policy = policy;
    c->n_tokens = c->n_urls = 0;
    c->has_too_many = n > LIMIT_IDENTITY_HEADERS;
    if ((err = tokens_grow(c, n ? n : 1)) != 0)
        return err;
    for (size_t i = 0; i < n && i < LIMIT_IDENTITY_HEADERS; i++) {
        if ((err = read_value(c, values[i], i)) != 0)
            return err;
    }
    settle_rfc4474(c);
    for (size_t i = 0; i < c->n_tokens; i++) {
        struct identity_token *t = &c->tokens[i];

        if (t->is_decided)
            continue;
        check_orig(c, t);
        check_age(c, t);
    }
    check_dest(c);
    for (size_t i = 0; i < c->n_tokens; i++)
        want_credential(c, &c->tokens[i]);
    *ret = c;
    return 0;
}

size_t identity_check_urls(const struct identity_check *c, const struct str **ret)
{
    *ret = c->urls;
    return c->n_urls;
}

void identity_check_set_credential(struct identity_check *c, size_t i,
                                   const struct identity_credential *cred)
{
    if (i < c->n_urls)
        c->creds[i] = cred;
}
