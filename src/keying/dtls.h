/* What DTLS-SRTP needs beside the interface of key management: the certificate that stands behind
 * our fingerprints. RFC 5763 5, RFC 8122 5.
 *
 * Keys are made for the purpose (P-256, self-signed), live in memory only, and are given up after
 * some days. An identity is constant once made; legs hold it as long as they live, so a new one can
 * be made at any time: who holds the old one goes on with it until a new association is wanted. Any
 * number of threads may use one. */
#ifndef KEYING_DTLS_H
#define KEYING_DTLS_H

#include "base/limits.h"
#include "base/rand.h"
#include "base/str.h"

struct keying_dtls_identity;

#define KEYING_DTLS_DAYS 30        /* how long a certificate says that it is good */
#define KEYING_DTLS_ROTATE_S 86400 /* when to make the next one */

/* wall_s: seconds since 1970, for the certificate's dates. ERR_CRYPTO, ERR_NOMEM. About 0.1 ms. */
MUST_USE int keying_dtls_identity_new(struct keying_dtls_identity **ret, uint64_t wall_s, struct rand_source *rand);
struct keying_dtls_identity *keying_dtls_identity_ref(struct keying_dtls_identity *id);
void keying_dtls_identity_unref(struct keying_dtls_identity *id); /* NULL is fine */
bool keying_dtls_identity_is_due(const struct keying_dtls_identity *id, uint64_t wall_s);
/* "sha-256 12:34:...": what stands behind a=fingerprint: (and, without its colons, in mky: RFC
 * 8225 5.2.2). */
struct str keying_dtls_identity_fingerprint(const struct keying_dtls_identity *id);

#endif
