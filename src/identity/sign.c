/* The authentication service: RFC 8224 6.1, RFC 8946 3 and 4.1. Pure; a job belongs to one thread.
 */
#include "identity/sign.h"
#include "identity/canon.h"

static int refuse(struct reason *why, const char *code, const char *clause, const char *what)
{
    reason_set(why, code, clause, 403, "%s", what);
    return ERR_REFUSED;
}

/* Step 3. Both the Date and now must be good for the certificate. */
static int check_times(uint64_t date, uint32_t max_age_s, const struct identity_credential *cred,
                       const struct identity_policy *policy, struct reason *why)
{
    uint64_t now = policy->now_s;

    if (date > now ? date - now > policy->max_ahead_s : now - date > max_age_s)
        return refuse(why, "sign-date-stale", "RFC 8224 6.1 step 3",
                      "Date is too far from the time");
    if (date < cred->not_before_s || date > cred->not_after_s || now < cred->not_before_s ||
        now > cred->not_after_s)
        return refuse(why, "sign-credential-validity", "RFC 8224 6.1 step 3",
                      "outside of the certificate's validity");
    return 0;
}

/* Step 1, and what types ask for besides. */
static int check_authority(const struct identity_credential *cred, struct passport_id who,
                           enum passport_type type, const struct identity_policy *policy,
                           struct reason *why)
{
    enum identity_authority by = identity_authority_of(cred, who);

    if (cred->state != IDENTITY_CRED_GOOD)
        return refuse(why, "sign-credential", "RFC 8224 7.1", "no good certificate");
    if (by == IDENTITY_NO_AUTHORITY || (by == IDENTITY_BY_PROVIDER && !policy->allow_provider)) {
        reason_set(why, "sign-authority", "RFC 8224 6.1 step 1", 403,
                   "the certificate does not speak for %.*s",
                   STR_FMT(who.text.p ? who.text : STR("nobody")));
        return ERR_REFUSED;
    }
    if (type == PASSPORT_MSEC && by != IDENTITY_BY_USER)
        return refuse(why, "sign-msec", "RFC 8862 4.1",
                      "\"msec\" is the user's to sign, with a certificate of its own");
    return 0;
}

/* RFC 8946 3: identities, the old and the new destination, and the original's time; nothing else.
 */
static int make_diversion(const struct identity_sign_args *args, struct passport *p,
                          struct reason *why)
{
    const struct passport *o = args->original;

    if (!o || !passport_id_in(args->div, o->dest, o->n_dest)) {
        reason_set(why, "sign-div", "RFC 8946 3", 500, "who diverts is not who was called");
        return ERR_INVALID;
    }
    if (passport_id_in(args->m->target, o->dest, o->n_dest)) {
        reason_set(why, "sign-div-same", "RFC 8946 3", 0, "the destination has not changed");
        return ERR_EXISTS;
    }
    p->orig = o->orig;
    p->dest = &args->m->target;
    p->n_dest = args->m->target.text.p ? 1 : 0;
    p->iat = o->iat;
    p->div = args->div;
    p->div_hi = args->div_hi;
    if (args->type == PASSPORT_DIV_O)
        p->opt = args->original_token;
    return 0;
}

static int make_claims(struct arena *a, const struct identity_sign_args *args, struct passport *p,
                       struct reason *why)
{
    const struct identity_message *m = args->m;
    char *msgi;
    int err;

    *p = (struct passport){.alg = p->alg, .type = args->type, .x5u = args->x5u};
    if (args->type == PASSPORT_DIV || args->type == PASSPORT_DIV_O)
        return make_diversion(args, p, why);
    p->orig = m->orig;
    p->dest = &m->to;
    p->n_dest = m->to.text.p ? 1 : 0;
    p->iat = m->date_s;
    p->mky = m->mky;
    p->n_mky = m->n_mky;
    p->attest = args->attest;
    p->origid = args->origid;
    if (args->type != PASSPORT_MSG)
        return 0;
    msgi = arena_alloc(a, PASSPORT_MSGI_MAX);
    err = msgi ? passport_msgi_make(m->body, msgi) : ERR_NOMEM;
    if (err == 0)
        p->msgi = str_z(msgi);
    return err;
}

int identity_sign_prepare(struct arena *a, const struct identity_sign_args *args,
                          const struct identity_credential *cred,
                          const struct identity_policy *policy, struct passport *ret,
                          struct reason *why)
{
    bool diverts = args->type == PASSPORT_DIV || args->type == PASSPORT_DIV_O;
    int err;

    *ret = (struct passport){.alg = cred->key ? jws_key_alg(cred->key) : JWS_ES256};
    if (!args->m->has_date) {
        reason_set(why, "sign-date-missing", "RFC 8224 6.1 step 3", 500, "a Date must be added");
        return ERR_INVALID;
    }
    if (args->compact && !passport_type_may_be_compact(args->type)) {
        reason_set(why, "sign-compact", "RFC 8225 8.1", 500, "this type has no compact form");
        return ERR_INVALID;
    }
    if ((err = check_times(args->m->date_s, policy->max_age_s, cred, policy, why)) != 0 ||
        (err = check_authority(cred, diverts ? args->div : args->m->orig, args->type, policy,
                               why)) != 0)
        return err;
    if ((err = make_claims(a, args, ret, why)) != 0 || (err = passport_build(a, ret, why)) != 0)
        return err;
    err = identity_claims_check(cred, a, ret, why);
    if (err != 0)
        ret->input = STR_NULL;
    return err;
}

int identity_sign_judge(struct arena *a, const struct passport *p,
                        const struct identity_credential *cred,
                        const struct identity_policy *policy, struct reason *why)
{
    bool diverts = p->type == PASSPORT_DIV || p->type == PASSPORT_DIV_O;
    int err;

    if (p->type == PASSPORT_UNKNOWN || !(policy->types & PASSPORT_BIT(p->type)))
        return refuse(why, "sign-type", "RFC 8225 8.1", "not a type that is signed here");
    if (!cred->key || p->alg != jws_key_alg(cred->key))
        return refuse(why, "sign-alg", "RFC 8725 3.1", "the key is of another algorithm");
    if ((err = check_times(p->iat, diverts ? policy->inner_max_age_s : policy->max_age_s, cred,
                           policy, why)) != 0 ||
        (err = check_authority(cred, diverts ? p->div : p->orig, p->type, policy, why)) != 0)
        return err;
    return identity_claims_check(cred, a, p, why);
}

/* --- RFC 4474 5 --- */

/* By a domain's or a user's name, never by authority over numbers. */
int identity_sign_judge_rfc4474(struct arena *a, const struct rfc4474_parts *parts,
                                const struct identity_credential *cred,
                                const struct identity_policy *policy, struct reason *why)
{
    struct passport_id who;
    uint64_t date_s;
    int err;

    if (!rfc4474_method_may(parts->method))
        return refuse(why, "sign-method", "RFC 4474 9", "not a method that is signed so");
    if (!cred->rsa || rfc4474_key_bits(cred->rsa) < policy->rsa_min_bits)
        return refuse(why, "sign-alg", "RFC 4474 9", "no RSA key of enough bits");
    if (!parts->date.n || canon_date_parse(parts->date, &date_s) != 0) {
        reason_set(why, "sign-date-missing", "RFC 4474 5", 500, "a Date must be added");
        return ERR_INVALID;
    }
    if ((err = rfc4474_identity(a, parts->from, &who, why)) != 0 ||
        (err = check_times(date_s, policy->max_age_s, cred, policy, why)) != 0)
        return err;
    return check_authority(cred, who, PASSPORT_BASE, policy, why);
}

int identity_sign_prepare_rfc4474(struct arena *a, const struct rfc4474_parts *parts,
                                  const struct identity_credential *cred,
                                  const struct identity_policy *policy, struct str *ret,
                                  struct reason *why)
{
    int err = identity_sign_judge_rfc4474(a, parts, cred, policy, why);

    *ret = STR_NULL;
    return err != 0 ? err : rfc4474_build(a, parts, ret, why);
}

/* --- jobs --- */

int identity_sign_start(struct identity_sign_job *job, struct identity_signer *signer)
{
    int err;

    if (job->signer || (job->passport.input.n == 0 && job->digest_string.n == 0) || !job->done)
        return ERR_INVALID;
    list_init(&job->node);
    job->signer = signer;
    err = signer->start(signer, job);
    if (err != 0)
        job->signer = NULL;
    return err;
}

void identity_sign_cancel(struct identity_sign_job *job)
{
    struct identity_signer *signer = job->signer;

    if (!signer)
        return;
    job->signer = NULL;
    signer->cancel(signer, job);
}

void identity_sign_complete(struct identity_sign_job *job, int err, struct str signature)
{
    struct str value = STR_NULL;

    job->signer = NULL;
    if (err == 0) {
        value = job->digest_string.n
                    ? rfc4474_identity_value(job->arena, signature)
                    : identity_hdr_of(job->arena, &job->passport, signature, job->compact);
        err = value.p ? 0 : ERR_NOMEM;
    }
    job->done(job, err, value);
}

/* --- the signer in this thread --- */

static struct identity_local_signer *local_of(struct identity_signer *s)
{
    return CONTAINER_OF(s, struct identity_local_signer, base);
}

static int local_start(struct identity_signer *self, struct identity_sign_job *job)
{
    struct identity_local_signer *s = local_of(self);

    if (s->n_waiting >= s->max_waiting)
        return ERR_LIMIT;
    s->n_waiting++;
    list_append(&s->waiting, &job->node);
    return 0;
}

static void local_cancel(struct identity_signer *self, struct identity_sign_job *job)
{
    local_of(self)->n_waiting--;
    list_remove(&job->node);
}

void identity_local_signer_init(struct identity_local_signer *s, struct jws_key *key, size_t max)
{
    *s = (struct identity_local_signer){
        .base = {.start = local_start, .cancel = local_cancel}, .key = key, .max_waiting = max};
    list_init(&s->waiting);
}

static struct identity_sign_job *local_take(struct identity_local_signer *s)
{
    struct identity_sign_job *job = LIST_FIRST(&s->waiting, struct identity_sign_job, node);

    if (job) {
        list_remove(&job->node);
        s->n_waiting--;
    }
    return job;
}

static int local_sign(const struct identity_local_signer *s, const struct identity_sign_job *job,
                      char ret[RFC4474_SIGNATURE_TEXT_MAX])
{
    if (job->digest_string.n)
        return s->rsa ? rfc4474_sign(s->rsa, job->digest_string, ret) : ERR_NOTFOUND;
    return job->passport.alg == jws_key_alg(s->key) ? jws_sign(s->key, job->passport.input, ret)
                                                    : ERR_CONFLICT;
}
_Static_assert(RFC4474_SIGNATURE_TEXT_MAX >= JWS_SIGNATURE_TEXT_MAX, "room for either");

/* Only what waits now: what a completion starts waits for the next run. */
void identity_local_signer_run(struct identity_local_signer *s)
{
    for (size_t n = s->n_waiting; n > 0; n--) {
        struct identity_sign_job *job = local_take(s);
        char signature[RFC4474_SIGNATURE_TEXT_MAX];
        int err;

        if (!job)
            return;
        err = local_sign(s, job, signature);
        identity_sign_complete(job, err, err == 0 ? str_z(signature) : STR_NULL);
    }
}

void identity_local_signer_done(struct identity_local_signer *s)
{
    struct identity_sign_job *job;

    s->max_waiting = 0; /* a completion cannot start another one here */
    while ((job = local_take(s)) != NULL)
        identity_sign_complete(job, ERR_CLOSED, STR_NULL);
}
