/* Certification requests (RFC 2986) for SIP domains (RFC 5922 6, RFC 5924 4) and for those who sign
 * calls from telephone numbers (RFC 8226 5, 9). For `sallyport cert request`. */
#ifndef PKI_CSR_H
#define PKI_CSR_H

#include "base/reason.h"
#include "base/str.h"

struct pki_csr_args {
    const struct str *domains; /* each becomes a URI "sip:<domain>" and a DNS name */
    size_t n_domains;
    const struct str *tns; /* "15551230000", or a range "15551230000-15551239999" */
    size_t n_tns;
    const struct str *spcs; /* codes of service providers */
    size_t n_spcs;
    bool must_staple;     /* RFC 7633 */
    const char *csr_file; /* written */
    const char *key_file; /* used if it is there, else made (P-256), readable by the owner only */
};
/* ERR_INVALID: what is asked for cannot stand in a certificate. */
MUST_USE int pki_csr_make(const struct pki_csr_args *args, bool *ret_new_key, struct reason *why);

#endif
