/* The phone verifies for itself who calls, or has answered, and with which keys (RFC 8862 4, 4.4;
 * RFC 8224 6.2; RFC 9970): then nobody on the way has to be believed, its own edge included. For
 * phones that have anchors of their own (anchors.h); the others have what their edge tells them.
 *
 *     phone_check_new(...)    the Identity headers of a message, which is copied
 *       0         result is there
 *       ERR_AGAIN certificates are being fetched: `fn` is called later, once
 *     phone_check_free(...)   also before
 *
 * Thread: the phone's. */
#ifndef PHONE_VERIFY_H
#define PHONE_VERIFY_H

#include "identity/verify.h"
#include "sip/msg.h"

/* Whoever has certificates, and knows what signatures were seen. */
struct phone_verifier {
    /* As certs_get, certs_put and certs_cancel (fetch/certs.h). */
    int (*get)(struct phone_verifier *self, struct str url,
               void (*fn)(void *arg, const struct identity_credential *cred), void *arg,
               const struct identity_credential **ret, uint64_t *ret_id);
    void (*put)(struct phone_verifier *self, const struct identity_credential *cred);
    void (*cancel)(struct phone_verifier *self, uint64_t id);
    struct identity_replay *seen;
};

struct phone_check;
typedef void phone_check_fn(void *arg, const struct identity_result *r);

/* `m`: a request, or a response to one of ours. ERR_NOTFOUND: it has no Identity header. ERR_NOMEM;
 * ERR_SYNTAX: it shows nobody who could have signed. */
MUST_USE int phone_check_new(struct phone_verifier *v, const struct sip_msg *m, uint64_t now_s,
                             phone_check_fn *fn, void *arg, struct phone_check **ret);
/* Once it is there; lives as long as the check. */
const struct identity_result *phone_check_result(const struct phone_check *c);
/* Who has signed; empty: nobody who could be believed. */
struct str phone_check_who(const struct phone_check *c);
void phone_check_free(struct phone_check *c); /* NULL is fine */
/* The fingerprints in a message, in the form that is signed (RFC 8225 5.2.2), in its arena. ERR_SYNTAX,
 * ERR_LIMIT, ERR_NOMEM. */
MUST_USE int phone_check_keys(const struct sip_msg *m, const struct passport_key **ret, size_t *ret_n);

#endif
