/* Last step of verification: signatures, authority, media keys, diversions, replay, and the verdict
 * (RFC 8224 6.2 steps 3 to 5, 6.2.1, 6.2.2; RFC 8946 4.2). Pure; one thread per check. */
#include "identity/verify_priv.h"

static void fail(struct identity_token *t, enum identity_verdict v, const char *code,
                 const char *clause, unsigned status, const char *detail)
{
    struct reason why;

    reason_set(&why, code, clause, status, "%s", detail);
    token_fail(t, v, &why);
}

/* --- the key (8224 6.2 steps 3, 5) --- */

static const struct identity_credential *cred_of(const struct identity_check *c,
                                                 const struct identity_token *t)
{
    return t->url >= 0 ? c->creds[t->url] : NULL;
}

/* RSA, and long enough? */
static bool has_rfc4474_key(const struct identity_credential *cred, const struct identity_check *c)
{
    return cred->rsa && rfc4474_key_bits(cred->rsa) >= c->policy->rsa_min_bits;
}

/* False: there is no key to check with. */
static bool cred_is_usable(const struct identity_check *c, const struct identity_credential *cred,
                           struct identity_token *t)
{
    struct reason why;

    if (cred && cred->state == IDENTITY_CRED_GOOD &&
        (t->is_rfc4474 ? has_rfc4474_key(cred, c) : cred->key != NULL))
        return true;
    if (cred && cred->state != IDENTITY_CRED_GOOD && cred->why.code) {
        why = cred->why;
        why.sip_status = cred->state == IDENTITY_CRED_MISSING ? 436 : 437;
    } else if (cred && cred->state == IDENTITY_CRED_GOOD && t->is_rfc4474) {
        reason_set(&why, "rfc4474-key-unsupported", "RFC 4474 9", 437,
                   "not an RSA key of %u bits or more", c->policy->rsa_min_bits);
    } else if (cred && cred->state == IDENTITY_CRED_GOOD) {
        reason_set(&why, "identity-key-unsupported", "RFC 8225 4.2", 437, "not a key for this");
    } else {
        reason_set(&why, "identity-credential-missing", "RFC 8224 7.2", 436,
                   "the certificate could not be had: %.*s",
                   (int)(t->p.x5u.n > 100 ? 100 : t->p.x5u.n), t->p.x5u.p);
    }
    token_fail(t, IDENTITY_UNVERIFIABLE, &why);
    return false;
}

static int check_signature(const struct identity_credential *cred, struct identity_token *t)
{
    struct reason why = {.code = NULL};
    int err = t->is_rfc4474 ? rfc4474_verify(cred->rsa, t->p.input, t->p.signature, &why)
                            : jws_verify(cred->key, t->p.alg, t->p.input, t->p.signature, &why);

    if (err == 0) {
        t->signature_holds = true;
        return 0;
    }
    if (err == ERR_NOMEM || err == ERR_CRYPTO || err == ERR_INVALID)
        return ERR_NOMEM;
    token_fail(t, IDENTITY_BROKEN, &why);
    return 0;
}

/* --- what the certificate may say (8224 8.2, 8.4; 8226 8, 9; 8946 3) --- */

static int check_authority(struct identity_check *c, const struct identity_credential *cred,
                           struct identity_token *t)
{
    struct passport_id who = token_diverts(t) ? t->p.div : t->p.orig;
    struct reason why = {.code = NULL};
    int err;

    if (t->p.iat < cred->not_before_s || t->p.iat > cred->not_after_s)
        fail(t, IDENTITY_UNVERIFIABLE, "identity-credential-validity",
             t->is_rfc4474 ? "RFC 4474 6 step 4" : "RFC 8224 6.2 step 4", 437,
             "signed outside of the certificate's validity");
    t->authority = identity_authority_of(cred, who);
    if (t->authority == IDENTITY_NO_AUTHORITY ||
        (t->authority == IDENTITY_BY_PROVIDER && !c->policy->allow_provider)) {
        reason_set(&why, "identity-authority",
                   t->is_rfc4474 ? "RFC 4474 13.4"
                   : who.is_tn   ? "RFC 8224 8.2"
                                 : "RFC 8224 8.4",
                   438, "the certificate does not speak for %.*s", STR_FMT(who.text));
        token_fail(t, IDENTITY_CONTRADICTED, &why);
    }
    if (t->is_rfc4474)
        return 0; /* it has no claims */
    err = identity_claims_check(cred, c->arena, &t->p, &why);
    if (err == ERR_NOMEM)
        return err;
    if (err != 0)
        token_fail(t, IDENTITY_CONTRADICTED, &why);
    return 0;
}

/* --- what else is signed --- */

/* RFC 8225 5.2.2: the fingerprints of the message, all of them and no others. Missing on either
 * side is a failure: taken out it is a downgrade, put in it is a key that nobody vouches for. */
static void check_media_keys(const struct identity_check *c, struct identity_token *t)
{
    const struct identity_message *m = c->m;

    if (t->p.n_mky == 0 && m->n_mky == 0)
        return;
    if (t->p.n_mky == 0) {
        if (!c->policy->allow_unsigned_keys)
            fail(t, IDENTITY_BROKEN, "identity-mky-missing", "RFC 8224 4.1", 438,
                 "the message has fingerprints that are not signed");
        return;
    }
    if (!passport_keys_eq(t->p.mky, t->p.n_mky, m->mky, m->n_mky))
        fail(t, IDENTITY_CONTRADICTED, "identity-mky-contradicted", "RFC 8225 5.2.2", 438,
             m->n_mky ? "the message has other fingerprints than the signed ones"
                      : "the message has lost the signed fingerprints");
}

static int check_content(const struct identity_check *c, struct identity_token *t)
{
    int err;

    if (token_diverts(t) || t->is_rfc4474)
        return 0; /* 8946 3: has nothing but identities and a time; 4474: all of it was looked at */
    check_media_keys(c, t);
    if (t->p.type == PASSPORT_MSEC && t->p.n_mky == 0) /* 8862 4: fingerprints are what it is for */
        fail(t, IDENTITY_BROKEN, "identity-msec-without-mky", "RFC 8862 4", 438,
             "\"msec\" without media keys");
    if (t->p.type != PASSPORT_MSG)
        return 0;
    err = passport_msgi_check(t->p.msgi, c->m->body);
    if (err == ERR_REFUSED)
        fail(t, IDENTITY_CONTRADICTED, "identity-msgi-contradicted", "RFC 9475", 438,
             "the body is not the signed one");
    else if (err == ERR_UNSUPPORTED)
        fail(t, IDENTITY_BROKEN, "identity-msgi-unsupported", "RFC 9475", 438,
             "\"msgi\" in an unknown form");
    return err == ERR_NOMEM || err == ERR_CRYPTO ? ERR_NOMEM : 0;
}

static int judge(struct identity_check *c, struct identity_token *t)
{
    const struct identity_credential *cred = cred_of(c, t);
    int err;

    if (t->is_decided || !cred_is_usable(c, cred, t))
        return 0;
    if ((err = check_signature(cred, t)) != 0 || !t->signature_holds)
        return err;
    if ((err = check_authority(c, cred, t)) != 0)
        return err;
    return check_content(c, t);
}

/* --- where it goes (8946 4.2) --- */

/* Who answers against who was called (TR/100 7.5.4; RFC 9970). */
static enum identity_reached answered(const struct identity_check *c,
                                      const struct identity_token *t)
{
    enum identity_authority a;

    if (passport_id_eq(t->p.orig, c->m->orig))
        return IDENTITY_REACHED_SAME;
    a = identity_authority_of(cred_of(c, t), c->m->orig);
    return a == IDENTITY_NO_AUTHORITY || a == IDENTITY_BY_PROVIDER ? IDENTITY_REACHED_UNPROVEN
                                                                   : IDENTITY_REACHED_PROVEN;
}

static void check_reached(struct identity_check *c, size_t i, enum identity_reached *ret,
                          size_t *ret_n)
{
    struct identity_token *t = &c->tokens[i];
    struct reason why;

    *ret_n = 0;
    *ret = c->m->is_response ? answered(c, t) : chain_follow(c, i, ret_n);
    if (c->m->is_response)
        return;
    if (*ret == IDENTITY_REACHED_SAME || *ret == IDENTITY_REACHED_PROVEN)
        return;
    if (t->needs_chain)
        fail(t, IDENTITY_STALE, "identity-stale", "RFC 8946 4.2", 403,
             "too old, and no fresh diversion leads from it to here");
    if (passport_id_in(c->m->to, t->p.dest, t->p.n_dest))
        return; /* 8224 4.1: it is what To says; that it goes elsewhere is a fact, no failure */
    reason_set(&why, "identity-dest-mismatch", "RFC 8224 4.1", 438, "signed for a call to %.*s%s",
               STR_FMT(t->p.dest[0].text), t->p.n_dest > 1 ? " and others" : "");
    token_fail(t, IDENTITY_BROKEN, &why);
}

/* --- replay (8224 12.1) --- */

/* Only of R: from (R, S) anybody can make (R, -S), which verifies as well. Whole groups of four
 * letters, so that no bit of S is in it. RSA signs a text in one way, and RFC 4474's names its
 * request. */
static struct str fixed_part(const struct identity_token *t)
{
    return t->is_rfc4474 ? STR_NULL : str_make(t->p.signature.p, t->p.signature.n / 8 * 4);
}

static void check_replay(struct identity_check *c, struct identity_replay *replay,
                         const struct identity_use *use, struct identity_token *t)
{
    uint32_t window = c->policy->max_age_s > c->policy->inner_max_age_s
                          ? c->policy->max_age_s
                          : c->policy->inner_max_age_s;
    int err;

    t->tag = identity_replay_tag(replay, t->p.input, fixed_part(t));
    err =
        identity_replay_check(replay, &t->tag, use, t->p.iat, t->p.iat + window, c->policy->now_s);
    if (err == ERR_CONFLICT)
        fail(t, IDENTITY_CONTRADICTED, "identity-replay", "RFC 8224 12.1", 438,
             "the signature was used in another request");
    else if (err == ERR_TIMEOUT)
        fail(t, IDENTITY_STALE, "identity-replay-unknown", "RFC 8224 12.1", 403,
             "too old to tell whether it was used before");
}

/* --- the verdict --- */

/* The user's own signature over the media keys: "msec", or "rsp" of an answer, for which RFC 8862
 * (4.3) had no name yet. */
static bool is_by_user(const struct identity_token *t)
{
    return (t->p.type == PASSPORT_MSEC || t->p.type == PASSPORT_RSP) &&
           t->authority == IDENTITY_BY_USER;
}

/* Other keys than the user has signed. No other signature outweighs that: the domain that could
 * make one may be who is in the middle (RFC 8862 4, 4.4). Nor does a provider's, that may speak for
 * whatever number passes it, outweigh what the number's holder has signed. `best`: the one that is
 * valid; NULL: none is. */
static const struct identity_token *find_denial(const struct identity_check *c,
                                                const struct identity_token *best)
{
    for (size_t i = 0; i < c->n_tokens; i++) {
        const struct identity_token *t = &c->tokens[i];

        if (t->verdict == IDENTITY_CONTRADICTED && t->signature_holds && t->p.n_mky > 0 &&
            (is_by_user(t) || (best && t->authority > best->authority)) &&
            !passport_keys_eq(t->p.mky, t->p.n_mky, c->m->mky, c->m->n_mky))
            return t;
    }
    return NULL;
}

struct candidate {
    enum identity_reached reached;
    size_t n_diversions;
};

/* Of several valid ones: the one that says most about who is reached, then the one with the most
 * authority, then the first. */
static bool is_better(const struct identity_token *a, const struct candidate *ca,
                      const struct identity_token *b, const struct candidate *cb)
{
    if (ca->reached != cb->reached)
        return ca->reached < cb->reached;
    return a->authority > b->authority;
}

static void fill_facts(const struct identity_check *c, const struct identity_token *t,
                       const struct candidate *cand, struct identity_result *r)
{
    r->authority = t->authority;
    r->reached = cand->reached;
    r->n_diversions = cand->n_diversions;
    r->keys_bound = t->is_rfc4474 ? c->m->n_mky > 0 : t->p.n_mky > 0;
    r->body_bound = t->is_rfc4474 || t->p.type == PASSPORT_MSG;
    r->by_rfc4474 = t->is_rfc4474;
    r->by_user = is_by_user(t);
    r->date_differs = !c->m->has_date || c->m->date_s != t->p.iat;
    r->attest = t->p.attest;
}

/* The worst of all that are neither the chosen one nor steps of its chain. Nested tokens count with
 * the one around them. */
static const struct identity_token *find_worst(const struct identity_check *c,
                                               const struct identity_token *chosen)
{
    const struct identity_token *worst = NULL;

    for (size_t i = 0; i < c->n_tokens; i++) {
        const struct identity_token *t = &c->tokens[i];

        if (t != chosen && t->verdict != IDENTITY_VALID && (!worst || t->verdict > worst->verdict))
            worst = t;
    }
    return worst;
}

/* A diversion that no chain uses leads nowhere (8946 4.2). */
static void mark_loose_ends(struct identity_check *c)
{
    for (size_t i = 0; i < c->n_tokens; i++) {
        struct identity_token *t = &c->tokens[i];

        if (token_diverts(t) && !t->in_chain && t->verdict == IDENTITY_VALID)
            fail(t, IDENTITY_BROKEN, "identity-div-chain", "RFC 8946 4.2", 438,
                 "a diversion that does not link an original to the target");
    }
}

/* Why none is valid. A diversion without an original is the cause only if there is nothing else to
 * say: where the original is ignored or wrong, that is it (8946 4.2 item 5). */
static const struct identity_token *find_cause(struct identity_check *c,
                                               const struct identity_token *best)
{
    const struct identity_token *worst = find_denial(c, best);

    if (!worst)
        worst = find_worst(c, NULL);
    if (!worst) {
        mark_loose_ends(c);
        worst = find_worst(c, NULL);
    }
    return worst;
}

static void conclude_invalid(struct identity_check *c, const struct identity_token *best,
                             struct identity_result *r)
{
    r->token = find_cause(c, best);
    r->verdict = IDENTITY_ABSENT;
    if (r->token) {
        r->verdict = r->token->verdict;
        r->why = r->token->why;
    } else {
        reason_set(&r->why, "identity-absent", "RFC 8224 6.2.2", 428, "no Identity header");
    }
    r->worst = r->verdict;
    r->worst_why = r->why;
}

static void conclude_valid(struct identity_check *c, const struct identity_token *best,
                           const struct candidate *cand, struct identity_result *r)
{
    const struct identity_token *worst;

    r->verdict = IDENTITY_VALID;
    r->token = best;
    fill_facts(c, best, cand, r);
    mark_loose_ends(c);
    worst = find_worst(c, best);
    if (!worst)
        return;
    r->worst = worst->verdict;
    r->worst_why = worst->why;
}

int identity_check_finish(struct identity_check *c, struct identity_replay *replay,
                          const struct identity_use *use, struct identity_result *ret)
{
    struct candidate cands[LIMIT_IDENTITY_TOKENS];
    const struct identity_token *best = NULL;
    size_t at = 0;
    int err;

    *ret = (struct identity_result){
        .tokens = c->tokens, .n_tokens = c->n_tokens, .has_too_many = c->has_too_many};
    for (size_t i = 0; i < c->n_tokens; i++) {
        if ((err = judge(c, &c->tokens[i])) != 0)
            return err;
    }
    for (size_t i = 0; i < c->n_tokens; i++) {
        struct identity_token *t = &c->tokens[i];

        if (token_diverts(t) || t->verdict != IDENTITY_VALID)
            continue;
        check_reached(c, i, &cands[i].reached, &cands[i].n_diversions);
        if (replay && t->verdict == IDENTITY_VALID)
            check_replay(c, replay, use, t);
        if (t->verdict == IDENTITY_VALID && (!best || is_better(t, &cands[i], best, &cands[at]))) {
            best = t;
            at = i;
        }
    }
    if (best && !find_denial(c, best))
        conclude_valid(c, best, &cands[at], ret);
    else
        conclude_invalid(c, best, ret);
    return 0;
}
