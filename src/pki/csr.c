/* See csr.h. Objects belong to the caller. */
#include "pki/csr.h"
#include "base/err.h"
#include "base/mem.h"
#include "pki/pki_priv.h"
#include "pki/tnauth.h"
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <unistd.h>

#define DER_MAX 4096u
#define OID_TNAUTH "1.3.6.1.5.5.7.1.26"

static int fail(struct reason *why, const char *what)
{
    const char *text = ERR_reason_error_string(ERR_peek_error());

    reason_set(why, "csr", NULL, 0, "%s: %s", what, text ? text : "out of memory");
    ERR_clear_error();
    return ERR_CRYPTO;
}

/* --- DER of a TN Authorization List, written from its end so that lengths are known --- */

struct writer {
    uint8_t b[DER_MAX];
    size_t at; /* what is written begins here */
    bool bad;
};

static void put(struct writer *w, const void *p, size_t n)
{
    if (n > w->at) {
        w->bad = true;
        return;
    }
    w->at -= n;
    memcpy(w->b + w->at, p, n);
}

/* The head of an element whose contents are what was written since `end`. */
static void put_head(struct writer *w, uint8_t tag, size_t end)
{
    size_t n = end - w->at;
    uint8_t head[4] = {tag, (uint8_t)n};

    if (n < 0x80) {
        put(w, head, 2);
    } else if (n < 0x100) {
        head[1] = 0x81;
        head[2] = (uint8_t)n;
        put(w, head, 3);
    } else {
        head[1] = 0x82;
        head[2] = (uint8_t)(n >> 8);
        head[3] = (uint8_t)n;
        put(w, head, 4);
    }
}

static void put_ia5(struct writer *w, struct str s)
{
    size_t end = w->at;

    put(w, s.p, s.n);
    put_head(w, 0x16, end);
}

static void put_integer(struct writer *w, uint64_t v)
{
    uint8_t b[9];
    size_t end = w->at, n = 0;

    do {
        b[8 - n++] = (uint8_t)v;
        v >>= 8;
    } while (v);
    if (b[9 - n] & 0x80)
        b[8 - n++] = 0;
    put(w, b + 9 - n, n);
    put_head(w, 0x02, end);
}

static bool range_parse(struct str s, struct str *ret_start, uint64_t *ret_count)
{
    struct str last = str_cut(s, '-', ret_start);
    uint64_t from, until;

    *ret_count = 1;
    if (!last.p)
        return true;
    if (last.n != ret_start->n || str_to_u64(*ret_start, UINT64_MAX, &from) != 0 ||
        str_to_u64(last, UINT64_MAX, &until) != 0 || until <= from)
        return false;
    *ret_count = until - from + 1;
    return true;
}

static int tnauth_build(const struct pki_csr_args *args, struct writer *w, struct reason *why)
{
    struct pki_tnauth check;
    struct arena *a;
    size_t i, all = w->at;
    int err;

    for (i = args->n_tns; i-- > 0;) {
        size_t end = w->at;
        struct str start;
        uint64_t count;

        if (!range_parse(args->tns[i], &start, &count)) {
            reason_set(why, "csr", "RFC 8226 9", 0,
                       "%.*s: a range is FIRST-LAST, of as many digits each",
                       STR_FMT(args->tns[i]));
            return ERR_INVALID;
        }
        if (count > 1) {
            put_integer(w, count);
            put_ia5(w, start);
            put_head(w, 0x30, end);
        } else {
            put_ia5(w, start);
        }
        put_head(w, count > 1 ? 0xa1 : 0xa2, end);
    }
    for (i = args->n_spcs; i-- > 0;) {
        size_t end = w->at;

        put_ia5(w, args->spcs[i]);
        put_head(w, 0xa0, end);
    }
    put_head(w, 0x30, all);
    if (w->bad) {
        reason_set(why, "csr", "RFC 8226 9", 0, "too many numbers");
        return ERR_LIMIT;
    }
    /* What a verifier would not take is not asked for. */
    a = arena_new(4096, 1u << 20);
    err = a ? pki_tnauth_parse(a, w->b + w->at, all - w->at, &check, why) : ERR_NOMEM;
    arena_free(a);
    return err == ERR_SYNTAX ? ERR_INVALID : err;
}

/* --- extensions --- */

static bool add_value(STACK_OF(X509_EXTENSION) * to, int nid, const char *value)
{
    X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, NULL, nid, value);

    if (e && sk_X509_EXTENSION_push(to, e) > 0)
        return true;
    X509_EXTENSION_free(e);
    return false;
}

static bool add_names(STACK_OF(X509_EXTENSION) * to, const struct pki_csr_args *args)
{
    char text[DER_MAX];
    struct sbuf b = sbuf_make(text, sizeof text);
    size_t i;

    for (i = 0; i < args->n_domains; i++)
        sbuf_fmt(&b, "%sURI:sip:%.*s,DNS:%.*s", i ? "," : "", STR_FMT(args->domains[i]),
                 STR_FMT(args->domains[i]));
    sbuf_char(&b, '\0');
    return args->n_domains == 0 || (!b.overflow && add_value(to, NID_subject_alt_name, text));
}

static bool add_tnauth(STACK_OF(X509_EXTENSION) * to, const struct writer *w)
{
    ASN1_OBJECT *oid = OBJ_txt2obj(OID_TNAUTH, 1);
    ASN1_OCTET_STRING *value = ASN1_OCTET_STRING_new();
    X509_EXTENSION *e = NULL;
    bool ok = oid && value &&
              ASN1_OCTET_STRING_set(value, w->b + w->at, (int)(sizeof w->b - w->at)) == 1 &&
              (e = X509_EXTENSION_create_by_OBJ(NULL, oid, 0, value)) != NULL &&
              sk_X509_EXTENSION_push(to, e) > 0;

    if (!ok)
        X509_EXTENSION_free(e);
    ASN1_OBJECT_free(oid);
    ASN1_OCTET_STRING_free(value);
    return ok;
}

/* For TLS: the usages that peers ask for, and sipDomain (RFC 5924 4.1). For numbers no extended key
 * usage: RFC 8226 5 has none. */
static bool add_all(STACK_OF(X509_EXTENSION) * to, const struct pki_csr_args *args,
                    const struct writer *numbers)
{
    bool is_stir = args->n_tns + args->n_spcs > 0;

    return add_names(to, args) && add_value(to, NID_key_usage, "critical,digitalSignature") &&
           (is_stir ||
            add_value(to, NID_ext_key_usage, "serverAuth,clientAuth,1.3.6.1.5.5.7.3.20")) &&
           (!args->must_staple || add_value(to, NID_tlsfeature, "status_request")) &&
           (!is_stir || add_tnauth(to, numbers));
}

/* --- key and file --- */

static int key_get(const char *file, EVP_PKEY **ret, bool *ret_new, struct reason *why)
{
    *ret_new = access(file, F_OK) != 0;
    if (!*ret_new)
        return load_key(file, ret, why);
    if ((*ret = EVP_EC_gen("P-256")) == NULL)
        return fail(why, "making a key");
    return mint_write_key(file, *ret, why);
}

static int request_write(const char *file, X509_REQ *q, struct reason *why)
{
    char tmp[4096];
    BIO *bio = mint_out_open(file, 0644, tmp, sizeof tmp, why);

    return bio ? mint_out_close(bio, PEM_write_bio_X509_REQ(bio, q) == 1, tmp, file, why) : ERR_IO;
}

int pki_csr_make(const struct pki_csr_args *args, bool *ret_new_key, struct reason *why)
{
    struct writer *w = mem_zalloc(sizeof *w);
    STACK_OF(X509_EXTENSION) *extensions = sk_X509_EXTENSION_new_null();
    X509_REQ *q = X509_REQ_new();
    EVP_PKEY *key = NULL;
    char cn[65] = "";
    int err = ERR_NOMEM;
    size_t i;

    *ret_new_key = false;
    if (!w || !extensions || !q)
        goto out;
    w->at = sizeof w->b;
    for (i = 0; i < args->n_domains; i++)
        if (!pki_name_is_host(args->domains[i])) {
            reason_set(why, "csr", "RFC 5922 7.2", 0, "%.*s: no domain (wildcards are none either)",
                       STR_FMT(args->domains[i]));
            err = ERR_INVALID;
            goto out;
        }
    if (args->n_tns + args->n_spcs && (err = tnauth_build(args, w, why)) != 0)
        goto out;
    if ((err = key_get(args->key_file, &key, ret_new_key, why)) != 0)
        goto out;
    /* ub-common-name (RFC 5280 A.1): a longer one stands in subjectAltName alone */
    if (str_copy_z(cn, sizeof cn,
                   args->n_domains ? args->domains[0]
                   : args->n_spcs  ? args->spcs[0]
                                   : args->tns[0]) != 0)
        cn[0] = '\0';
    err = X509_REQ_set_version(q, X509_REQ_VERSION_1) == 1 && X509_REQ_set_pubkey(q, key) == 1 &&
                  (!*cn || X509_NAME_add_entry_by_NID(X509_REQ_get_subject_name(q), NID_commonName,
                                                      MBSTRING_UTF8, (const unsigned char *)cn, -1,
                                                      -1, 0) == 1) &&
                  add_all(extensions, args, w) && X509_REQ_add_extensions(q, extensions) == 1 &&
                  X509_REQ_sign(q, key, EVP_sha256()) > 0
              ? request_write(args->csr_file, q, why)
              : fail(why, "making a request");
out:
    if (err == ERR_NOMEM)
        reason_set(why, "no-memory", NULL, 0, "out of memory");
    sk_X509_EXTENSION_pop_free(extensions, X509_EXTENSION_free);
    X509_REQ_free(q);
    EVP_PKEY_free(key);
    mem_free(w);
    return err;
}
