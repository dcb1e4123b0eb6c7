/* Reading certificates, keys, anchors and CRLs from PEM files; every failure names the file and its
 * cause. RFC 7468, RFC 5280 4.1.2.5 and 6, RFC 5922 6. Called where contexts are made, on any one
 * thread; results belong to the caller. */
#include "base/err.h"
#include "base/limits.h"
#include "base/mem.h"
#include "pki/names.h"
#include "pki/pki_priv.h"
#include "pki/signing.h"
#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <sys/stat.h>
#include <time.h>

#define ANCHORS_MAX 10000u /* certificates in a file of them */
#define NAMES_ARENA (PKI_NAMES_MAX * 320u) /* the longest names, aligned, and their slices */

/* OpenSSL would ask on the terminal; a daemon has nobody there. */
static int no_passphrase(char *buf, int size, int is_write, void *arg)
{
    (void)buf, (void)size, (void)is_write, (void)arg;
    return -1;
}

static BIO *open_file(const char *file, const char *what, struct reason *reason)
{
    if (!file || !*file) {
        reason_set(reason, "cert-file", NULL, 0, "no %s file is given", what);
        return NULL;
    }
    errno = 0;
    BIO *bio = BIO_new_file(file, "r");
    if (!bio)
        reason_set(reason, "cert-file", NULL, 0, "%s: cannot read the %s: %s", file, what,
                   errno ? strerror(errno) : "out of memory");
    ERR_clear_error();
    return bio;
}

/* After a PEM reader returned NULL: was that the end of the file, or something that cannot be read?
 */
static bool is_pem_end(void)
{
    unsigned long e = ERR_peek_last_error();
    bool is_end = ERR_GET_LIB(e) == ERR_LIB_PEM && ERR_GET_REASON(e) == PEM_R_NO_START_LINE;
    ERR_clear_error();
    return is_end;
}

int asn1_time_s(const ASN1_TIME *t, int64_t *ret)
{
    struct tm tm;
    if (!t || ASN1_TIME_to_tm(t, &tm) != 1)
        return ERR_SYNTAX;
    *ret = (int64_t)timegm(&tm);
    return 0;
}

void time_text(int64_t t, char dst[32])
{
    struct tm tm;
    time_t tt = (time_t)t;
    if (!gmtime_r(&tt, &tm) || strftime(dst, 32, "%Y-%m-%d %H:%M:%S UTC", &tm) == 0)
        memcpy(dst, "?", 2);
}

int load_certs(const char *file, STACK_OF(X509) * ret, size_t max, struct reason *reason)
{
    BIO *bio = open_file(file, "certificate", reason);
    if (!bio)
        return ERR_IO;
    int err = 0;
    X509 *c;
    while (!err && (c = PEM_read_bio_X509(bio, NULL, no_passphrase, NULL))) {
        if ((size_t)sk_X509_num(ret) == max) {
            reason_set(reason, "cert-syntax", NULL, 0, "%s: more than %zu certificates", file, max);
            err = ERR_LIMIT;
        } else if (!sk_X509_push(ret, c)) {
            err = ERR_NOMEM;
        } else {
            continue;
        }
        X509_free(c);
    }
    if (!err && !is_pem_end()) {
        reason_set(reason, "cert-syntax", "RFC 7468", 0, "%s: certificate %d cannot be decoded",
                   file, sk_X509_num(ret) + 1);
        err = ERR_SYNTAX;
    } else if (!err && sk_X509_num(ret) == 0) {
        reason_set(reason, "cert-syntax", "RFC 7468", 0, "%s: no certificate in this file", file);
        err = ERR_SYNTAX;
    } else if (err == ERR_NOMEM) {
        reason_set(reason, "no-memory", NULL, 0, "%s: out of memory", file);
    }
    BIO_free(bio);
    ERR_clear_error();
    return err;
}

int load_key(const char *file, EVP_PKEY **ret, struct reason *reason)
{
    BIO *bio = open_file(file, "private key", reason);
    if (!bio)
        return ERR_IO;
    *ret = PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, NULL);
    BIO_free(bio);
    unsigned long e = ERR_peek_last_error();
    ERR_clear_error();
    if (*ret)
        return 0;
    if (ERR_GET_LIB(e) == ERR_LIB_PEM && (ERR_GET_REASON(e) == PEM_R_BAD_PASSWORD_READ ||
                                          ERR_GET_REASON(e) == PEM_R_PROBLEMS_GETTING_PASSWORD))
        reason_set(reason, "cert-key", NULL, 0, "%s: the key has a passphrase; give one without",
                   file);
    else
        reason_set(reason, "cert-key", "RFC 7468", 0, "%s: no private key in this file", file);
    return ERR_SYNTAX;
}

static int check_in_force(const char *file, X509 *cert, int nth, int64_t *not_after,
                          struct reason *reason)
{
    int64_t from, until, now = (int64_t)time(NULL);
    char text[32];
    if (asn1_time_s(X509_get0_notBefore(cert), &from) != 0 ||
        asn1_time_s(X509_get0_notAfter(cert), &until) != 0) {
        reason_set(reason, "cert-syntax", "RFC 5280 4.1.2.5", 0,
                   "%s: certificate %d has no valid dates", file, nth);
        return ERR_SYNTAX;
    }
    if (now < from) {
        time_text(from, text);
        reason_set(reason, "cert-not-yet-valid", "RFC 5280 4.1.2.5", 0,
                   "%s: certificate %d is not valid before %s", file, nth, text);
        return ERR_REFUSED;
    }
    if (now > until) {
        time_text(until, text);
        reason_set(reason, "cert-expired", "RFC 5280 4.1.2.5", 0,
                   "%s: certificate %d expired on %s", file, nth, text);
        return ERR_REFUSED;
    }
    if (until < *not_after)
        *not_after = until;
    return 0;
}

/* Keeps the names for SNI and checks that the domain is one of them (RFC 5922 6). */
static int read_names(struct identity *i, struct str domain, struct reason *reason)
{
    struct str names[PKI_NAMES_MAX];
    i->arena = arena_new(512, NAMES_ARENA);
    int n = i->arena ? pki_cert_names(i->cert, i->arena, names) : ERR_NOMEM;
    if (n >= 0) {
        i->names = arena_alloc(i->arena, sizeof(names[0]) * (size_t)n + 1);
        if (!i->names)
            n = ERR_NOMEM;
    }
    if (n < 0) {
        reason_set(reason, "no-memory", NULL, 0, "%s: out of memory", i->file);
        return n;
    }
    memcpy(i->names, names, sizeof(names[0]) * (size_t)n);
    i->n_names = (size_t)n;
    if (domain.n == 0 || pki_names_check(names, (size_t)n, domain, NULL) == 0)
        return 0;
    char list[REASON_DETAIL_MAX];
    struct sbuf b = sbuf_make(list, sizeof(list));
    pki_cert_describe(i->cert, &b);
    reason_set(reason, "cert-name", "RFC 5922 6", 0, "%s: does not name %.*s but %.*s", i->file,
               STR_FMT(domain), STR_FMT(sbuf_get(&b)));
    return ERR_REFUSED;
}

/* Keys must fit, uses must allow what it is for (peers would refuse it otherwise), certificates
 * must be in force and in order (RFC 5246 7.4.2: each certifies the one before it). */
static int check_identity(struct identity *i, const char *key_pem, bool is_server,
                          struct reason *reason)
{
    if (X509_check_private_key(i->cert, i->key) != 1) {
        ERR_clear_error();
        reason_set(reason, "cert-key-mismatch", NULL, 0,
                   "%s: this key does not belong to the certificate in %s", key_pem, i->file);
        return ERR_REFUSED;
    }
    if (!cert_use_is_allowed(i->cert, !is_server) || !cert_can_sign(i->cert)) {
        reason_set(reason, "cert-use", "RFC 5280 4.2.1.12", 0,
                   "%s: its key usage does not allow it to be a TLS %s", i->file,
                   is_server ? "server" : "client");
        return ERR_REFUSED;
    }
    int err = check_in_force(i->file, i->cert, 1, &i->not_after, reason);
    for (int n = 0; !err && n < sk_X509_num(i->chain); n++) {
        X509 *issuer = sk_X509_value(i->chain, n);
        X509 *subject = n ? sk_X509_value(i->chain, n - 1) : i->cert;
        err = check_in_force(i->file, issuer, n + 2, &i->not_after, reason);
        if (!err && X509_check_issued(issuer, subject) != X509_V_OK) {
            reason_set(reason, "cert-chain", "RFC 5246 7.4.2", 0,
                       "%s: certificate %d did not issue certificate %d; the order is leaf, then "
                       "its issuers",
                       i->file, n + 2, n + 1);
            err = ERR_REFUSED;
        }
    }
    return err;
}

int pki_file_end(const char *file, int64_t *ret_not_after, struct reason *why)
{
    STACK_OF(X509) *certs = sk_X509_new_null();
    int err = certs ? load_certs(file, certs, ANCHORS_MAX, why) : ERR_NOMEM;
    int64_t soonest = INT64_MAX, last = 0, until;
    for (int i = 0; !err && i < sk_X509_num(certs); i++) {
        X509 *c = sk_X509_value(certs, i);
        (void)!check_in_force(file, c, i + 1, &soonest, NULL);
        if (asn1_time_s(X509_get0_notAfter(c), &until) == 0 && until > last)
            last = until;
    }
    *ret_not_after = soonest < INT64_MAX ? soonest : last;
    sk_X509_pop_free(certs, X509_free);
    return err;
}

int pki_file_names(const char *file, struct arena *a, struct str ret_names[PKI_NAMES_MAX],
                   struct reason *why)
{
    STACK_OF(X509) *certs = sk_X509_new_null();
    int err = certs ? load_certs(file, certs, CHAIN_MAX, why) : ERR_NOMEM;
    if (!err)
        err = pki_cert_names(sk_X509_value(certs, 0), a, ret_names);
    sk_X509_pop_free(certs, X509_free);
    return err;
}

static char *copy_lower(struct str s)
{
    char *p = mem_alloc(s.n + 1);
    if (!p)
        return NULL;
    for (size_t i = 0; i < s.n; i++)
        p[i] = str_lower(s.p[i]);
    p[s.n] = '\0';
    return p;
}

static int load_remote_key(struct identity *i, struct reason *reason)
{
    struct reason why = {.code = NULL};
    EVP_PKEY *public = X509_get0_pubkey(i->cert);
    int err = public ? pki_remote_key_new(public, &i->key, &why) : ERR_UNSUPPORTED;
    if (err)
        reason_set(reason, why.code ? why.code : "cert-key", why.clause, 0, "%s: %s", i->file,
                   why.code ? why.detail : "its key is not understood");
    return err;
}

int load_identity(struct identity *ret, struct str domain, const char *cert_pem,
                  const char *key_pem, bool is_server, struct reason *reason)
{
    struct identity i = {.not_after = INT64_MAX};
    i.domain = copy_lower(domain);
    i.file = cert_pem ? mem_alloc(strlen(cert_pem) + 1) : NULL;
    i.chain = sk_X509_new_null();
    int err = i.domain && (i.file || !cert_pem) && i.chain ? 0 : ERR_NOMEM;
    if (err) {
        reason_set(reason, "no-memory", NULL, 0, "out of memory");
        goto out;
    }
    if (i.file)
        memcpy(i.file, cert_pem, strlen(cert_pem) + 1);
    err = load_certs(cert_pem, i.chain, CHAIN_MAX, reason);
    if (err)
        goto out;
    i.cert = sk_X509_shift(i.chain);
    err = key_pem ? load_key(key_pem, &i.key, reason) : load_remote_key(&i, reason);
    if (err)
        goto out;
    err = check_identity(&i, key_pem, is_server, reason);
    if (!err)
        err = read_names(&i, domain, reason);
    if (!err && sk_X509_num(i.chain) > 0 &&
        pki_cert_id_make(i.cert, sk_X509_value(i.chain, 0), &i.id) != 0)
        err = ERR_CRYPTO;
out:
    if (err) {
        identity_done(&i);
        return err;
    }
    *ret = i;
    return 0;
}

void identity_done(struct identity *i)
{
    mem_free(i->domain);
    mem_free(i->file);
    X509_free(i->cert);
    sk_X509_pop_free(i->chain, X509_free);
    EVP_PKEY_free(i->key);
    arena_free(i->arena);
    *i = (struct identity){0};
}

int load_anchors(X509_STORE *store, const char *file, STACK_OF(X509_NAME) * ret_names,
                 int64_t *ret_not_after, struct reason *reason)
{
    STACK_OF(X509) *certs = sk_X509_new_null();
    int err = certs ? load_certs(file, certs, ANCHORS_MAX, reason) : ERR_NOMEM;
    size_t n_in_force = 0;
    struct reason why;
    *ret_not_after = INT64_MAX;
    for (int i = 0; !err && i < sk_X509_num(certs); i++) {
        X509 *c = sk_X509_value(certs, i);
        if (check_in_force(file, c, i + 1, ret_not_after, &why) == 0)
            n_in_force++;
        X509_NAME *name = ret_names ? X509_NAME_dup(X509_get_subject_name(c)) : NULL;
        if (X509_STORE_add_cert(store, c) != 1 ||
            (ret_names && (!name || !sk_X509_NAME_push(ret_names, name)))) {
            X509_NAME_free(name);
            err = ERR_NOMEM;
        }
    }
    if (err == ERR_NOMEM) {
        reason_set(reason, "no-memory", NULL, 0, "out of memory reading anchors");
    } else if (!err && n_in_force == 0) {
        if (reason) /* a bundle may hold old ones, but a file of nothing else trusts nobody */
            *reason = why;
        err = ERR_REFUSED;
    }
    sk_X509_pop_free(certs, X509_free);
    return err;
}

/* PEM begins with text. A single CRL as CAs publish it (RFC 5280 4.2.1.13) is DER and begins with a SEQUENCE. */
static bool is_der(BIO *bio)
{
    char first = 0;
    int n = BIO_read(bio, &first, 1);
    (void)BIO_reset(bio);
    return n == 1 && first == 0x30;
}

static int add_crl(X509_STORE *store, const char *file, X509_CRL *crl, int nth, int64_t *not_after,
                   struct reason *reason)
{
    int64_t until;
    if (asn1_time_s(X509_CRL_get0_nextUpdate(crl), &until) != 0) {
        reason_set(reason, "crl-syntax", "RFC 5280 5.1.2.5", 0, "%s: CRL %d has no nextUpdate",
                   file, nth);
        return ERR_SYNTAX;
    }
    if (until < *not_after)
        *not_after = until;
    if (X509_STORE_add_crl(store, crl) == 1)
        return 0;
    reason_set(reason, "no-memory", NULL, 0, "%s: out of memory", file);
    return ERR_NOMEM;
}

int load_crls(X509_STORE *store, const char *file, int64_t *ret_not_after, struct reason *reason)
{
    BIO *bio = open_file(file, "CRL", reason);
    if (!bio)
        return ERR_IO;
    struct stat st;
    int err = 0, n = 0;
    if (stat(file, &st) == 0 && st.st_size > (off_t)LIMIT_CRL_BYTES) {
        reason_set(reason, "crl-syntax", NULL, 0, "%s: the file is too large", file);
        BIO_free(bio);
        return ERR_LIMIT;
    }
    bool der = is_der(bio);
    X509_CRL *crl;
    *ret_not_after = INT64_MAX;
    while (!err && (crl = der ? d2i_X509_CRL_bio(bio, NULL)
                              : PEM_read_bio_X509_CRL(bio, NULL, no_passphrase, NULL))) {
        err = add_crl(store, file, crl, ++n, ret_not_after, reason);
        X509_CRL_free(crl);
        if (der)
            break;
    }
    char more;
    if (!err && (n == 0 || (der ? BIO_read(bio, &more, 1) > 0 : !is_pem_end()))) {
        reason_set(reason, "crl-syntax", "RFC 5280 5", 0, "%s: %s", file,
                   n || der ? "a CRL cannot be decoded" : "no CRL in this file");
        err = ERR_SYNTAX;
    }
    BIO_free(bio);
    ERR_clear_error();
    if (!err)
        X509_STORE_set_flags(store, X509_V_FLAG_CRL_CHECK | X509_V_FLAG_CRL_CHECK_ALL);
    return err;
}

int pki_crl_file_end(const char *file, int64_t *ret_next_update, struct reason *why)
{
    X509_STORE *store = X509_STORE_new();
    int err = store ? load_crls(store, file, ret_next_update, why) : ERR_NOMEM;
    X509_STORE_free(store);
    return err;
}
