/* Making keys (P-256) and certificates: for the demonstration's CA, for an enterprise that has
 * none, for the phone, and for tests. What is made follows RFC 5280 4 (version 3, key identifiers,
 * random serial numbers), RFC 5922 6 and RFC 5924 5. Nothing here runs in the daemon. Objects
 * belong to the caller; one thread at a time. */
#ifndef PKI_MINT_H
#define PKI_MINT_H

#include "base/reason.h"
#include "base/str.h"

struct pki_mint_ca;

enum {
    PKI_MINT_SERVER = 1, /* id-kp-serverAuth */
    PKI_MINT_CLIENT = 2, /* id-kp-clientAuth */
    PKI_MINT_SIP = 4,    /* id-kp-sipDomain (RFC 5924 4.1) */
    PKI_MINT_ANY = 8,    /* anyExtendedKeyUsage */
    PKI_MINT_OTHER = 16, /* id-kp-codeSigning: of no use for TLS; tests */
    PKI_MINT_OCSP = 32,  /* id-kp-OCSPSigning (RFC 6960 4.2.2.2) */
    PKI_MINT_SMIME = 64, /* id-kp-emailProtection (RFC 8550 4.4.4) */
};

/* An alternative name as it shall stand in the certificate; no check is made of its bytes. */
struct pki_mint_san {
    enum { PKI_MINT_DNS, PKI_MINT_URI, PKI_MINT_EMAIL, PKI_MINT_IP } kind; /* IP: as text, "192.0.2.1" or "2001:db8::1" */
    struct str value;
};

struct pki_mint_args {
    /* Domains that the certificate shall be good for: each becomes a URI "sip:<domain>" and a DNS
     * name. */
    const struct str *domains;
    size_t n_domains;
    const struct pki_mint_san *sans; /* further names */
    size_t n_sans;
    struct str cn;         /* empty: the first domain, or no subject at all */
    unsigned uses;         /* PKI_MINT_...; 0: no extended key usage */
    const char *key_usage; /* in OpenSSL's notation; NULL: digitalSignature */
    struct str responder;  /* http: URL for OCSP (RFC 5280 4.2.2.1); empty: none */
    bool must_staple;      /* RFC 7633 */
    int64_t not_before;    /* seconds since 1970; 0: an hour ago */
    unsigned days;         /* from not_before */
    const char *cert_file; /* written: the certificate, then those of intermediate CAs */
    const char *key_file;  /* written, readable by the owner only */
};

struct pki_mint_ca_args {
    struct str cn;
    int64_t not_before; /* 0: an hour ago */
    unsigned days;
    const struct pki_mint_ca *parent; /* who signs it; NULL: itself */
    struct str permitted_dns, excluded_dns; /* name constraints (RFC 5280 4.2.1.10); empty: none */
    unsigned uses;                    /* PKI_MINT_...: what it may issue for; 0: anything */
};

/* A new CA, in memory only until pki_mint_ca_save. */
MUST_USE int pki_mint_ca_new(const struct pki_mint_ca_args *args, struct pki_mint_ca **ret,
                             struct reason *reason);
/* One that was saved before; its chain is not read, so it must be a root. */
MUST_USE int pki_mint_ca_load(const char *cert_file, const char *key_file, struct pki_mint_ca **ret,
                              struct reason *reason);
/* Either file may be NULL. */
MUST_USE int pki_mint_ca_save(const struct pki_mint_ca *ca, const char *cert_file,
                              const char *key_file, struct reason *reason);
void pki_mint_ca_free(struct pki_mint_ca *ca); /* NULL is fine */
/* A cross-certificate (TR/100 9): `by` certifies the name and key of `of`, and with permitted_dns only
 * for names under that domain. */
MUST_USE int pki_mint_cross(const struct pki_mint_ca *by, const struct pki_mint_ca *of, struct str permitted_dns,
                            unsigned uses, unsigned days, const char *cert_file, struct reason *reason);
/* A key and its certificate. ca NULL: signed with its own key. */
MUST_USE int pki_mint_cert(const struct pki_mint_ca *ca, const struct pki_mint_args *args,
                           struct reason *reason);
/* A CRL of this CA that lists the certificates (first of each file) given; appended to `file`, so
 * that the CRLs of several CAs can stand in one. days counts from now and may be negative. */
MUST_USE int pki_mint_crl(const struct pki_mint_ca *ca, const char *const *revoked, size_t n,
                          int days, const char *file, struct reason *reason);

#endif
