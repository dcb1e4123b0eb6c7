/* The authentication service: RFC 8224 6.1, RFC 8588, RFC 8946 4.1, RFC 8862 4, RFC 9475, RFC 9970;
 * and RFC 4474 5.
 *
 * What is signed is made here, from what the message will show when it leaves (a body that is still
 * to be changed is changed first); the key is somebody else's. A *signer* is whoever has it: in
 * this process or, by a queue, in another. It gets a job, and completes it later, never from inside
 * of start:
 *
 *     identity_sign_prepare(...)   may this be said with that certificate? what are its claims?
 *     identity_sign_start(job)     hands the job to the signer
 *     identity_sign_complete(job)  the signer's answer; calls job->done with the header's value
 *
 * A signer in another process is to read job->passport.input itself (passport_parse_input,
 * passport_check_deterministic) and judge what it says against its own certificate, instead of
 * believing the asker. Pure; a job belongs to one thread. */
#ifndef IDENTITY_SIGN_H
#define IDENTITY_SIGN_H

#include "base/list.h"
#include "identity/verify.h"

struct identity_sign_args {
    enum passport_type type;
    /* What the message will show. Its Date must be there (6.1 step 3: the caller adds it). */
    const struct identity_message *m;
    struct str x5u;
    /* Only for BASE and MSEC. Smaller, but whoever changes Date or To breaks it, and a changed
     * fingerprint cannot be told from that: the full form is better where there are any. */
    bool compact;
    char attest;       /* SHAKEN */
    struct str origid; /* SHAKEN: a UUID (8588 5) */
    /* DIV, DIV_O: the token that is diverted, who diverts (one of its dest), and m->target is the
     * new one. */
    const struct passport *original;
    struct str original_token; /* DIV_O: the same in full form */
    struct passport_id div;
    struct str div_hi; /* History-Info index (8946 8); may be empty */
};

/* Steps 1, 3 and 4 of 8224 6.1; step 2, that the sender is who it claims to be, was the caller's.
 * `policy` says now, the windows, and whether a provider's code is authority enough. ERR_REFUSED:
 * the certificate does not speak for the originator (or who diverts), or not with these claims, or
 * not now; Date is too far off; "msec" without the user's own certificate (8862 4.1: never on
 * behalf of a phone). ERR_EXISTS: nothing was diverted, so that 8946 3 forbids to say so.
 * ERR_INVALID, ERR_LIMIT, ERR_NOMEM. */
MUST_USE int identity_sign_prepare(struct arena *a, const struct identity_sign_args *args,
                                   const struct identity_credential *cred,
                                   const struct identity_policy *policy, struct passport *ret,
                                   struct reason *why);

/* For whoever has the key, about a parsed token (passport_parse_input) that somebody asks to have
 * signed: is its algorithm that of the certificate, does the certificate speak for who is named, may
 * it make the claims, is it in force, is iat fresh ("div": within inner_max_age_s, for it repeats the
 * original's)? ERR_REFUSED, ERR_NOMEM. */
MUST_USE int identity_sign_judge(struct arena *a, const struct passport *p,
                                 const struct identity_credential *cred,
                                 const struct identity_policy *policy, struct reason *why);

/* RFC 4474 5: the digest-string of what the request will show, if that may be said with that
 * certificate now. ERR_REFUSED: the certificate does not speak for From, which it names by domain (step
 * 1; 11 for a number), or its key is too short, or not now (step 3), or the method is not signed.
 * ERR_SYNTAX, ERR_UNSUPPORTED, ERR_NOMEM as rfc4474_build. */
MUST_USE int identity_sign_prepare_rfc4474(struct arena *a, const struct rfc4474_parts *parts,
                                           const struct identity_credential *cred,
                                           const struct identity_policy *policy, struct str *ret,
                                           struct reason *why);
/* The same of a digest-string that somebody asks to have signed (rfc4474_parse). */
MUST_USE int identity_sign_judge_rfc4474(struct arena *a, const struct rfc4474_parts *parts,
                                         const struct identity_credential *cred,
                                         const struct identity_policy *policy, struct reason *why);

struct identity_signer;
struct identity_sign_job;
typedef void identity_sign_done_fn(struct identity_sign_job *job, int err, struct str value);

struct identity_sign_job {
    struct list node;         /* the signer's */
    struct arena *arena;      /* for the value; lives until done or cancel */
    struct passport passport; /* prepared */
    struct str digest_string; /* or this: a signature of RFC 4474 is wanted */
    struct str key;           /* which of the signer's keys; the signer's own names */
    bool compact;
    /* err 0: `value` is for an Identity header. Else ERR_REFUSED, ERR_TIMEOUT, ERR_CLOSED ... as
     * the signer says. Once for each start, unless it was cancelled. */
    identity_sign_done_fn *done;
    void *arg;
    struct identity_signer *signer; /* while it waits; NULL otherwise */
};

struct identity_signer {
    /* Takes the job (not a copy of it) until it completes it or is told to cancel. ERR_LIMIT: too
     * many wait. */
    int (*start)(struct identity_signer *self, struct identity_sign_job *job);
    void (*cancel)(struct identity_signer *self, struct identity_sign_job *job);
};

/* ERR_INVALID: it waits already, or is not prepared; else what the signer says; `done` is not
 * called then. */
MUST_USE int identity_sign_start(struct identity_sign_job *job, struct identity_signer *signer);
void identity_sign_cancel(struct identity_sign_job *job); /* harmless if it does not wait */
/* By the signer: `signature` in base64url, of RFC 4474 in base64, if err is 0. */
void identity_sign_complete(struct identity_sign_job *job, int err, struct str signature);

/* A signer in this thread. Jobs wait until identity_local_signer_run, which the caller posts to
 * itself. The key's name is not looked at: it has one. */
struct identity_local_signer {
    struct identity_signer base;
    struct jws_key *key; /* made for signing; borrowed */
    struct rfc4474_key *rsa; /* the same; may be NULL */
    struct list waiting;
    size_t n_waiting, max_waiting;
};
void identity_local_signer_init(struct identity_local_signer *s, struct jws_key *key, size_t max);
void identity_local_signer_run(struct identity_local_signer *s);
void identity_local_signer_done(struct identity_local_signer *s); /* what waits gets ERR_CLOSED */

#endif
