/* A certification authority of fuzz targets, "F", whose key everybody has: seeds rest on it, and
 * what a target signs anew with it is read further than the signature that a mutation broke. */
#ifndef FUZZ_CA_H
#define FUZZ_CA_H

#include "pki/chain.h"
#include <openssl/x509.h>

#define FUZZ_NOW UINT64_C(1796000000) /* what the seeds say */

/* They abort where something fails. */
EVP_PKEY *fuzz_ca_key(void);               /* P-256 */
X509 *fuzz_ca_cert(void);                  /* of that key, in force for a century */
struct pki_anchors *fuzz_ca_anchors(void); /* that CA alone */
/* A certificate of that key with no extension, in force, by that CA and not signed yet; X509_free.
 */
X509 *fuzz_ca_blank(const char *cn, bool is_issuer);

#endif
