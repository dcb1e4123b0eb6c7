/* The certificates of signed identities (RFC 8224 6.2 step 2): fetched, validated against the
 * anchors of identity (not those of TLS), and made ready once, then found by their address by every
 * worker without a lock:
 *
 *     worker: certs_get -- its own table: a credential with a key of its own, and a reference to
 *        |                  the chain, which all workers share
 *        `- not there, or too old -> fetcher's thread: bytes (fetch/fetch.h), chain (pki/chain.h),
 *                                    some 100 us a certificate -> posted to all workers that asked
 *
 * Whether its certificates are revoked is looked at as the anchors say
 * (pki_anchors_set_revocation), anew each LIMIT_STATUS_LOOK_MS, from the bytes that are kept. Where
 * a responder has to be asked first the answer is waited for, LIMIT_OCSP_PATIENCE_MS and once an
 * address: afterwards what is not known is judged as such.
 *
 * What could not be had or is not trusted is remembered, too, for LIMIT_HTTPS_BAD_S. A validated
 * chain is good as long as its bytes are, its certificates are in force, and the anchors are the
 * same. */
#ifndef FETCH_CERTS_H
#define FETCH_CERTS_H

#include "base/wheel.h"
#include "fetch/fetch.h"
#include "identity/cred_chain.h"

struct certs;        /* of the process */
struct certs_worker; /* of one worker, its thread */

struct certs_args {
    struct fetch *fetch; /* borrowed */
    /* Runs fn(its worker, arg) on a worker's thread (net_group_post). */
    int (*post)(void *post_arg, unsigned worker, void (*fn)(void *worker, void *arg), void *arg);
    void *post_arg;
};
MUST_USE int certs_new(const struct certs_args *args, struct certs **ret);
/* After fetch_stop, the end of all workers, and fetch_free, in this order. NULL is fine. */
void certs_free(struct certs *c);
/* Other anchors, in two steps: the first may fail, the second cannot. Takes a reference. What was
 * validated against others is not used any more. Main thread, or before anybody asks. */
struct certs_change;
MUST_USE int certs_change_new(struct certs *c, struct pki_anchors *anchors,
                              struct certs_change **ret);
void certs_change_commit(struct certs_change *change);
void certs_change_discard(struct certs_change *change); /* NULL is fine */

/* A responder has answered (pki_statuses_on_answer): those who wait for that are looked at again.
 * Any thread, until fetch_free. */
void certs_told(void *certs);

MUST_USE int certs_worker_new(struct certs *c, unsigned worker, struct wheel *wheel,
                              struct certs_worker **ret);
/* Nobody is told any more; what was got must have been put before. NULL is fine. */
void certs_worker_free(struct certs_worker *w);

/* `cred` lives until certs_put; its state may be MISSING or REFUSED. NULL: not to be had, for there
 * is no memory (nothing is to be put then). */
typedef void certs_fn(void *arg, const struct identity_credential *cred);
/* 0: *ret is there, until certs_put. ERR_AGAIN: `fn` is called later, on this thread, once, unless
 * cancelled by *ret_id. ERR_LIMIT, ERR_NOMEM, ERR_CLOSED: not to be had now. */
MUST_USE int certs_get(struct certs_worker *w, struct str url, certs_fn *fn, void *arg,
                       const struct identity_credential **ret, uint64_t *ret_id);
void certs_put(const struct identity_credential *cred);
void certs_cancel(struct certs_worker *w, uint64_t id);

#endif
