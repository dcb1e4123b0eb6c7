/* What is known of certificates' revocation, process-wide: answers of OCSP responders, kept until
 * their nextUpdate, and the answers about our own certificates that servers staple (RFC 6066 8).
 * Handshakes look things up and note what should be asked; they never wait. Questions go to whoever
 * was given as `ask`, answers come back on any thread.
 *
 * Shared by all threads, one lock inside, held for lookups and copies only; reference-counted,
 * since contexts and questions under way keep it. */
#ifndef PKI_STATUSES_H
#define PKI_STATUSES_H

#include "pki/ocsp.h"

struct pki_statuses;
struct pki_question;

/* Sends it and returns at once; owns the question until it gives it to pki_question_answer or
 * pki_question_fail, not from within. */
typedef void pki_ask_fn(void *arg, struct pki_question *q);

/* ask NULL: nothing is ever asked. ERR_NOMEM. */
MUST_USE int pki_statuses_new(pki_ask_fn *ask, void *arg, struct pki_statuses **ret);
struct pki_statuses *pki_statuses_ref(struct pki_statuses *s);
void pki_statuses_unref(struct pki_statuses *s); /* NULL is fine; any thread */
/* From now on nothing is asked: `ask` is about to go away. */
void pki_statuses_stop(struct pki_statuses *s);

/* What is known now. UNKNOWN with ret->next_update 0: never asked, or no answer yet. */
enum pki_status pki_statuses_find(struct pki_statuses *s, const struct pki_cert_id *id, int64_t now,
                                  struct pki_ocsp_answer *ret);
/* Asks the responder that the certificate names, if it names one, and if what is known is missing
 * or past half of its time, and nobody asked a little while ago. Is it being asked now? */
bool pki_statuses_want(struct pki_statuses *s, struct x509_st *cert, struct x509_st *issuer,
                       int64_t now);

/* Who waits for answers: fn is called after each, and after each that did not come, on any thread
 * with the lock held: it may do no more than note it. NULL: nobody, from the return on. */
void pki_statuses_on_answer(struct pki_statuses *s, void (*fn)(void *arg), void *arg);

/* Certificates of our own, for stapling: between begin and end each is named anew, those that are
 * not are forgotten. `file` is for the log. ERR_NOTFOUND: it names no responder. */
void pki_statuses_own_begin(struct pki_statuses *s);
MUST_USE int pki_statuses_own(struct pki_statuses *s, struct x509_st *cert, struct x509_st *issuer,
                              struct str file, int64_t now);
void pki_statuses_own_end(struct pki_statuses *s);
/* The clock was set: when to ask next was reckoned by the old one. */
void pki_statuses_clock_set(struct pki_statuses *s);
/* Asks again about our own where it is time; to be called every few seconds. */
void pki_statuses_tick(struct pki_statuses *s, int64_t now);
/* A copy of the answer to be stapled, for OPENSSL_free; NULL if there is none in force. */
unsigned char *pki_statuses_staple(struct pki_statuses *s, const struct pki_cert_id *id,
                                   int64_t now, size_t *ret_n);

const char *pki_question_url(const struct pki_question *q);
const unsigned char *pki_question_body(const struct pki_question *q,
                                       size_t *ret_n); /* application/ocsp-request */
/* Both free it. */
void pki_question_answer(struct pki_question *q, const void *der, size_t n, int64_t now);
void pki_question_fail(struct pki_question *q, const struct reason *why);

/* For status and metrics. The texts live during the call; the lock is held. */
struct pki_status_info {
    const char *file;  /* of our own certificate; NULL: a peer's */
    const char *names; /* what the certificate claims to be */
    const char *url;
    enum pki_status status;
    int64_t next_update; /* 0: no answer yet */
    const char *failure; /* why the last question brought nothing; NULL if it did */
};
void pki_statuses_each(struct pki_statuses *s,
                       void (*fn)(void *arg, const struct pki_status_info *i), void *arg);

#endif
