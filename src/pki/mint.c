/* Making keys, certificates and CRLs. RFC 5280 4, 5; RFC 5922 6; RFC 5924 5. Objects belong to the
 * caller. */
#include "pki/mint.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/sbuf.h"
#include "pki/pki_priv.h"
#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define BACKDATE_S 3600 /* clocks of peers may be behind ours */
#define DAY_S 86400

struct pki_mint_ca {
    X509 *cert;
    EVP_PKEY *key;
    STACK_OF(X509) * above; /* intermediates from this one up, the root left out */
};

static int fail(struct reason *reason, const char *what)
{
    const char *text = ERR_reason_error_string(ERR_peek_error());
    reason_set(reason, "mint", NULL, 0, "%s: %s", what, text ? text : "out of memory");
    ERR_clear_error();
    return ERR_CRYPTO;
}

static int fail_file(struct reason *reason, const char *file, int error)
{
    reason_set(reason, "mint", NULL, 0, "%s: %s", file,
               error ? strerror(error) : "cannot be written");
    ERR_clear_error();
    return ERR_IO;
}

/* --- files: written beside and renamed, so that a reader sees the old or the new one, never half
 * --- */

BIO *mint_out_open(const char *file, mode_t mode, char *tmp, size_t cap, struct reason *reason)
{
    struct sbuf b = sbuf_make(tmp, cap);
    sbuf_fmt(&b, "%s.new", file);
    sbuf_char(&b, '\0');
    if (b.overflow) {
        (void)fail_file(reason, file, ENAMETOOLONG);
        return NULL;
    }
    if (unlink(tmp) != 0 && errno != ENOENT) {
        (void)fail_file(reason, tmp, errno);
        return NULL;
    }
    int fd = open(tmp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
    FILE *f = fd < 0 ? NULL : fdopen(fd, "w");
    BIO *bio = f ? BIO_new_fp(f, BIO_CLOSE) : NULL;
    if (!bio) {
        (void)fail_file(reason, tmp, errno);
        if (f)
            fclose(f);
        else if (fd >= 0)
            close(fd);
    }
    return bio;
}

int mint_out_close(BIO *bio, bool ok, const char *tmp, const char *file, struct reason *reason)
{
    errno = 0;
    ok = ok && BIO_flush(bio) == 1;
    BIO_free(bio);
    if (ok && rename(tmp, file) == 0)
        return 0;
    int error = errno;
    unlink(tmp);
    return fail_file(reason, file, error);
}

int mint_write_key(const char *file, EVP_PKEY *key, struct reason *reason)
{
    char tmp[4096];
    BIO *bio = mint_out_open(file, 0600, tmp, sizeof(tmp), reason);
    if (!bio)
        return ERR_IO;
    bool ok = PEM_write_bio_PKCS8PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL) == 1;
    return mint_out_close(bio, ok, tmp, file, reason);
}

static int write_certs(const char *file, X509 *cert, const STACK_OF(X509) * more,
                       struct reason *reason)
{
    char tmp[4096];
    BIO *bio = mint_out_open(file, 0644, tmp, sizeof(tmp), reason);
    if (!bio)
        return ERR_IO;
    bool ok = PEM_write_bio_X509(bio, cert) == 1;
    for (int i = 0; ok && more && i < sk_X509_num(more); i++)
        ok = PEM_write_bio_X509(bio, sk_X509_value(more, i)) == 1;
    return mint_out_close(bio, ok, tmp, file, reason);
}

/* --- certificates --- */

static bool set_times(X509 *c, int64_t not_before, unsigned days)
{
    time_t from = not_before ? (time_t)not_before : time(NULL) - BACKDATE_S;
    return ASN1_TIME_set(X509_getm_notBefore(c), from) &&
           ASN1_TIME_set(X509_getm_notAfter(c), from + (time_t)days * DAY_S);
}

/* RFC 5280 4.1.2.2: positive, at most 20 octets; random, so that nobody has to keep count. */
static bool set_serial(X509 *c)
{
    unsigned char bytes[16];
    if (RAND_bytes(bytes, sizeof(bytes)) != 1)
        return false;
    bytes[0] = (unsigned char)((bytes[0] & 0x7f) | 0x40);
    BIGNUM *n = BN_bin2bn(bytes, sizeof(bytes), NULL);
    bool ok = n && BN_to_ASN1_INTEGER(n, X509_get_serialNumber(c));
    BN_free(n);
    return ok;
}

static bool set_subject(X509 *c, struct str cn)
{
    if (cn.n == 0)
        return true;
    X509_NAME *name = X509_NAME_new();
    bool ok = name &&
              X509_NAME_add_entry_by_NID(name, NID_commonName, MBSTRING_UTF8,
                                         (const unsigned char *)cn.p, (int)cn.n, -1, 0) == 1 &&
              X509_set_subject_name(c, name) == 1;
    X509_NAME_free(name);
    return ok;
}

static bool add_ext(X509 *c, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX ctx;
    X509V3_set_ctx_nodb(&ctx);
    X509V3_set_ctx(&ctx, issuer, c, NULL, NULL, 0);
    X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    bool ok = e && X509_add_ext(c, e, -1) == 1;
    X509_EXTENSION_free(e);
    return ok;
}

/* What every certificate has: version, serial, dates, key, names of subject and issuer, key
 * identifiers. */
static X509 *cert_new(EVP_PKEY *key, struct str cn, int64_t not_before, unsigned days,
                      const struct pki_mint_ca *ca)
{
    X509 *c = X509_new();
    if (c && X509_set_version(c, X509_VERSION_3) == 1 && set_serial(c) &&
        set_times(c, not_before, days) && X509_set_pubkey(c, key) == 1 && set_subject(c, cn) &&
        X509_set_issuer_name(c, X509_get_subject_name(ca ? ca->cert : c)) == 1 &&
        add_ext(c, c, NID_subject_key_identifier, "hash") &&
        (!ca || add_ext(c, ca->cert, NID_authority_key_identifier, "keyid:always")))
        return c;
    X509_free(c);
    return NULL;
}

static bool push_name(GENERAL_NAMES *names, int type, struct str prefix, struct str value)
{
    char text[512];
    struct sbuf b = sbuf_make(text, sizeof(text));
    sbuf_str(&b, prefix);
    sbuf_str(&b, value);
    GENERAL_NAME *g = b.overflow ? NULL : GENERAL_NAME_new();
    ASN1_IA5STRING *s = g ? ASN1_IA5STRING_new() : NULL;
    if (s && ASN1_STRING_set(s, b.p, (int)b.n) == 1) {
        GENERAL_NAME_set0_value(g, type, s);
        if (sk_GENERAL_NAME_push(names, g))
            return true;
        s = NULL; /* now g's */
    }
    ASN1_IA5STRING_free(s);
    GENERAL_NAME_free(g);
    return false;
}

/* RFC 5280 4.2.1.6: the bytes of the address. No SIP identity (RFC 5922 7.1), but what clients that dial an address check. */
static bool push_ip(GENERAL_NAMES *names, struct str value)
{
    char text[64];
    ASN1_OCTET_STRING *s = str_copy_z(text, sizeof(text), value) == 0 ? a2i_IPADDRESS(text) : NULL;
    GENERAL_NAME *g = s ? GENERAL_NAME_new() : NULL;
    if (g) {
        GENERAL_NAME_set0_value(g, GEN_IPADD, s);
        if (sk_GENERAL_NAME_push(names, g))
            return true;
        s = NULL; /* now g's */
    }
    ASN1_OCTET_STRING_free(s);
    GENERAL_NAME_free(g);
    return false;
}

static bool add_sans(X509 *c, const struct pki_mint_args *args)
{
    static const int types[] = {
        [PKI_MINT_DNS] = GEN_DNS, [PKI_MINT_URI] = GEN_URI, [PKI_MINT_EMAIL] = GEN_EMAIL};
    if (args->n_domains + args->n_sans == 0)
        return true;
    GENERAL_NAMES *names = GENERAL_NAMES_new();
    bool ok = names != NULL;
    for (size_t i = 0; ok && i < args->n_domains; i++)
        ok = push_name(names, GEN_URI, STR("sip:"), args->domains[i]) &&
             push_name(names, GEN_DNS, STR(""), args->domains[i]);
    for (size_t i = 0; ok && i < args->n_sans; i++)
        ok = args->sans[i].kind == PKI_MINT_IP
                 ? push_ip(names, args->sans[i].value)
                 : push_name(names, types[args->sans[i].kind], STR(""), args->sans[i].value);
    ok = ok && X509_add1_ext_i2d(c, NID_subject_alt_name, names, 0, 0) == 1;
    GENERAL_NAMES_free(names);
    return ok;
}

static bool add_uses(X509 *c, unsigned uses)
{
    static const char *const oids[] = {"serverAuth", "clientAuth", "1.3.6.1.5.5.7.3.20",
                                       "anyExtendedKeyUsage", "codeSigning", "OCSPSigning", "emailProtection"};
    char text[128];
    struct sbuf b = sbuf_make(text, sizeof(text));
    for (size_t i = 0; i < ARRAY_LEN(oids); i++)
        if (uses & 1u << i)
            sbuf_fmt(&b, "%s%s", b.n ? "," : "", oids[i]);
    sbuf_char(&b, '\0');
    return b.n == 1 || (!b.overflow && add_ext(c, c, NID_ext_key_usage, text));
}

static bool add_status(X509 *c, const struct pki_mint_args *args)
{
    char text[600];
    struct sbuf b = sbuf_make(text, sizeof(text));
    sbuf_fmt(&b, "OCSP;URI:%.*s", STR_FMT(args->responder));
    sbuf_char(&b, '\0');
    return !b.overflow && (args->responder.n == 0 || add_ext(c, c, NID_info_access, text)) &&
           (!args->must_staple || add_ext(c, c, NID_tlsfeature, "status_request"));
}

int pki_mint_cert(const struct pki_mint_ca *ca, const struct pki_mint_args *args,
                  struct reason *reason)
{
    struct str cn = args->cn.n || args->n_domains == 0 ? args->cn : args->domains[0];
    if (cn.n > 64)
        cn = STR_NULL; /* ub-common-name, RFC 5280 A.1; the names stand in subjectAltName */
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *c = key ? cert_new(key, cn, args->not_before, args->days, ca) : NULL;
    int err = 0;
    if (!c || !add_ext(c, c, NID_basic_constraints, "critical,CA:FALSE") ||
        !add_ext(c, c, NID_key_usage,
                 args->key_usage ? args->key_usage : "critical,digitalSignature") ||
        !add_uses(c, args->uses) ||
        !add_sans(c, args) || !add_status(c, args) || X509_sign(c, ca ? ca->key : key, EVP_sha256()) == 0)
        err = fail(reason, "making a certificate");
    if (!err)
        err = mint_write_key(args->key_file, key, reason);
    if (!err)
        err = write_certs(args->cert_file, c, ca ? ca->above : NULL, reason);
    X509_free(c);
    EVP_PKEY_free(key);
    return err;
}

/* --- CAs --- */

static bool set_above(struct pki_mint_ca *ca, const struct pki_mint_ca *parent)
{
    ca->above = sk_X509_new_null();
    if (!ca->above)
        return false;
    if (!parent)
        return true;
    for (int i = -1; i < sk_X509_num(parent->above); i++) {
        X509 *c = i < 0 ? ca->cert : sk_X509_value(parent->above, i);
        if (!sk_X509_push(ca->above, c))
            return false;
        X509_up_ref(c);
    }
    return true;
}

static bool add_constraint(X509 *c, struct str permitted_dns, struct str excluded_dns)
{
    char nc[600];
    struct sbuf b = sbuf_make(nc, sizeof(nc));
    sbuf_lit(&b, "critical");
    if (permitted_dns.n)
        sbuf_fmt(&b, ",permitted;DNS:%.*s", STR_FMT(permitted_dns));
    if (excluded_dns.n)
        sbuf_fmt(&b, ",excluded;DNS:%.*s", STR_FMT(excluded_dns));
    sbuf_char(&b, '\0');
    return (permitted_dns.n == 0 && excluded_dns.n == 0) ||
           (!b.overflow && add_ext(c, c, NID_name_constraints, nc));
}

int pki_mint_ca_new(const struct pki_mint_ca_args *args, struct pki_mint_ca **ret,
                    struct reason *reason)
{
    struct pki_mint_ca *ca = mem_zalloc(sizeof(*ca));
    if (!ca)
        goto failed;
    ca->key = EVP_EC_gen("P-256");
    ca->cert =
        ca->key ? cert_new(ca->key, args->cn, args->not_before, args->days, args->parent) : NULL;
    X509 *c = ca->cert;
    if (!c || !add_ext(c, c, NID_basic_constraints, "critical,CA:TRUE") ||
        !add_ext(c, c, NID_key_usage, "critical,keyCertSign,cRLSign") || !add_uses(c, args->uses) ||
        !add_constraint(c, args->permitted_dns, args->excluded_dns) ||
        X509_sign(c, args->parent ? args->parent->key : ca->key, EVP_sha256()) == 0 ||
        !set_above(ca, args->parent))
        goto failed;
    *ret = ca;
    return 0;
failed:
    pki_mint_ca_free(ca);
    return fail(reason, "making a CA");
}

int pki_mint_cross(const struct pki_mint_ca *by, const struct pki_mint_ca *of, struct str permitted_dns,
                   unsigned uses, unsigned days, const char *cert_file, struct reason *reason)
{
    X509 *c = cert_new(of->key, STR_NULL, 0, days, by);
    int err = 0;
    if (!c || X509_set_subject_name(c, X509_get_subject_name(of->cert)) != 1 ||
        !add_ext(c, c, NID_basic_constraints, "critical,CA:TRUE") ||
        !add_ext(c, c, NID_key_usage, "critical,keyCertSign,cRLSign") || !add_uses(c, uses) ||
        !add_constraint(c, permitted_dns, STR_NULL) || X509_sign(c, by->key, EVP_sha256()) == 0)
        err = fail(reason, "making a cross-certificate");
    if (!err)
        err = write_certs(cert_file, c, NULL, reason);
    X509_free(c);
    return err;
}

static int no_passphrase(char *buf, int size, int is_write, void *arg)
{
    (void)buf, (void)size, (void)is_write, (void)arg;
    return -1;
}

static X509 *read_cert(const char *file)
{
    BIO *bio = BIO_new_file(file, "r");
    X509 *c = bio ? PEM_read_bio_X509(bio, NULL, no_passphrase, NULL) : NULL;
    BIO_free(bio);
    return c;
}

int pki_mint_ca_load(const char *cert_file, const char *key_file, struct pki_mint_ca **ret,
                     struct reason *reason)
{
    const char *file = cert_file;
    struct pki_mint_ca *ca = mem_zalloc(sizeof(*ca));
    if (!ca)
        return fail(reason, "loading a CA");
    ca->cert = read_cert(cert_file);
    if (ca->cert) {
        file = key_file;
        BIO *bio = BIO_new_file(key_file, "r");
        ca->key = bio ? PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, NULL) : NULL;
        BIO_free(bio);
    }
    if (!ca->key || X509_check_private_key(ca->cert, ca->key) != 1 || !set_above(ca, NULL)) {
        pki_mint_ca_free(ca);
        return fail(reason, file);
    }
    *ret = ca;
    return 0;
}

int pki_mint_ca_save(const struct pki_mint_ca *ca, const char *cert_file, const char *key_file,
                     struct reason *reason)
{
    int err = key_file ? mint_write_key(key_file, ca->key, reason) : 0;
    if (!err && cert_file)
        err = write_certs(cert_file, ca->cert, NULL, reason);
    return err;
}

void pki_mint_ca_free(struct pki_mint_ca *ca)
{
    if (!ca)
        return;
    X509_free(ca->cert);
    EVP_PKEY_free(ca->key);
    sk_X509_pop_free(ca->above, X509_free);
    mem_free(ca);
}

/* --- CRLs --- */

static bool crl_add(X509_CRL *crl, const char *file, const ASN1_TIME *when)
{
    X509 *c = read_cert(file);
    X509_REVOKED *r = c ? X509_REVOKED_new() : NULL;
    bool ok = r && X509_REVOKED_set_serialNumber(r, X509_get_serialNumber(c)) == 1 &&
              X509_REVOKED_set_revocationDate(r, (ASN1_TIME *)(uintptr_t)when) == 1 &&
              X509_CRL_add0_revoked(crl, r) == 1;
    if (!ok)
        X509_REVOKED_free(r);
    X509_free(c);
    return ok;
}

int pki_mint_crl(const struct pki_mint_ca *ca, const char *const *revoked, size_t n, int days,
                 const char *file, struct reason *reason)
{
    time_t now = time(NULL), last = days > 0 ? now - BACKDATE_S : now + (time_t)(days - 1) * DAY_S;
    ASN1_TIME *from = ASN1_TIME_set(NULL, last),
              *until = ASN1_TIME_set(NULL, now + (time_t)days * DAY_S);
    X509_CRL *crl = X509_CRL_new();
    ASN1_INTEGER *number = ASN1_INTEGER_new();
    AUTHORITY_KEYID *akid = AUTHORITY_KEYID_new();
    const ASN1_OCTET_STRING *key_id = X509_get0_subject_key_id(ca->cert);
    int err = ERR_CRYPTO;
    if (!from || !until || !crl || !number || !akid || !key_id)
        goto out;
    akid->keyid = ASN1_OCTET_STRING_dup(key_id);
    bool ok = akid->keyid && X509_CRL_set_version(crl, X509_CRL_VERSION_2) == 1 &&
              X509_CRL_set_issuer_name(crl, X509_get_subject_name(ca->cert)) == 1 &&
              X509_CRL_set1_lastUpdate(crl, from) == 1 &&
              X509_CRL_set1_nextUpdate(crl, until) == 1 &&
              ASN1_INTEGER_set_int64(number, (int64_t)now) == 1 &&
              X509_CRL_add1_ext_i2d(crl, NID_crl_number, number, 0, 0) == 1 &&
              X509_CRL_add1_ext_i2d(crl, NID_authority_key_identifier, akid, 0, 0) == 1;
    for (size_t i = 0; ok && i < n; i++)
        ok = crl_add(crl, revoked[i], from);
    if (!ok || X509_CRL_sort(crl) != 1 || X509_CRL_sign(crl, ca->key, EVP_sha256()) == 0)
        goto out;
    BIO *bio = BIO_new_file(file, "a");
    ok = bio && PEM_write_bio_X509_CRL(bio, crl) == 1 && BIO_flush(bio) == 1;
    BIO_free(bio);
    err = ok ? 0 : ERR_IO;
out:
    ASN1_TIME_free(from);
    ASN1_TIME_free(until);
    ASN1_INTEGER_free(number);
    AUTHORITY_KEYID_free(akid);
    X509_CRL_free(crl);
    if (err)
        (void)fail(reason, file);
    return err;
}
