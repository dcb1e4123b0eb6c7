/* The user's own signature (RFC 8862 "msec"; RFC 9970 "rsp" for answers; TR/100 8.3): who calls, or
 * answers, and with which media keys, signed by a certificate that names this very user. Between it
 * and whoever verifies nobody has to be believed, our own domain included.
 *
 * It is over the message as it leaves, so that it is made last, and anew for each try: a signature
 * that came once is a replay when it comes in another request (RFC 8224 12.1). Only what has
 * fingerprints can be signed; calls with other keys leave as they would without a certificate. One
 * thread. */
#ifndef PHONE_SIGNER_H
#define PHONE_SIGNER_H

#include "base/arena.h"
#include "base/err.h"
#include "base/reason.h"

struct phone_signer;

struct phone_signer_args {
    const char *cert, *key; /* PEM files; the certificate's chain behind it */
    struct str url;         /* where others find the certificate (RFC 8224 7.2) */
    struct str user;        /* "sip:alice@example.com": whom it must name */
    uint64_t now_s;
};
/* ERR_REFUSED: it is another's, or not in force, or the key does not fit; ERR_IO, ERR_SYNTAX,
 * ERR_UNSUPPORTED, ERR_NOMEM. */
MUST_USE int phone_signer_new(const struct phone_signer_args *args, struct phone_signer **ret,
                              struct reason *why);
void phone_signer_free(struct phone_signer *s); /* NULL is fine */

/* `message`: as it will leave, with its Date. *ret: the value of its Identity header, in the arena.
 * ERR_NOTFOUND: it has no fingerprints, and nothing is to be signed. ERR_REFUSED: it is not from
 * this user; ERR_SYNTAX, ERR_NOMEM, ERR_CRYPTO. */
MUST_USE int phone_signer_sign(struct phone_signer *s, struct arena *a, struct str message,
                               uint64_t now_s, struct str *ret, struct reason *why);

#endif
