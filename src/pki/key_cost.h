/* What a public key of a stranger may cost those who verify with it. Sizes are theirs to choose: an
 * RSA signature whose exponent is as long as the modulus costs as much to check as to make,
 * hundreds of times what it costs with 65537. So sizes are looked at before the first signature is.
 */
#ifndef PKI_KEY_COST_H
#define PKI_KEY_COST_H

#include <stdbool.h>

struct evp_pkey_st;

/* RSA of rsa_bits_min to LIMIT_RSA_BITS with an exponent of up to LIMIT_RSA_EXPONENT_BITS; elliptic
 * curves by name, P-256, P-384 and P-521 (parameters of its own would be of any cost); Ed25519 and
 * Ed448. Nothing else. */
bool pki_key_is_fair(const struct evp_pkey_st *key, unsigned rsa_bits_min);
#define PKI_RSA_BITS_MIN 2048u /* NIST SP 800-131A; RFC 8551 2.3, RFC 9325 4.2.1 */

#endif
