/* TLS contexts from options. RFC 8446, RFC 5246, RFC 6066 3 (SNI), RFC 9325 (what is allowed), RFC
 * 5922 7.8 (several domains). Contexts are immutable after they are made and shared by all threads;
 * SSL objects belong to their caller. */
#include "pki/tls.h"
#include "base/addr.h"
#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "pki/names.h"
#include "pki/pki_priv.h"
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdatomic.h>

#define SESSION_ID_CONTEXT "sallyport"
#define PEER_CERT_BYTES_MAX 32768 /* of all certificates a peer sends */
#define CIPHERS12                                                                                  \
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:"     \
    "ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305"
#define GROUPS "X25519:P-256:P-384"
#define SIGNATURES                                                                                 \
    "ECDSA+SHA256:ECDSA+SHA384:ECDSA+SHA512:ed25519:ed448:rsa_pss_rsae_sha256:rsa_pss_rsae_"       \
    "sha384:"                                                                                      \
    "rsa_pss_rsae_sha512:rsa_pss_pss_sha256:rsa_pss_pss_sha384:rsa_pss_pss_sha512:RSA+SHA256:"     \
    "RSA+SHA384:RSA+SHA512"

struct pki_tls_server {
    atomic_uint refs;
    SSL_CTX *ctx;
};
struct pki_tls_client {
    atomic_uint refs;
    uint64_t serial;
    SSL_CTX *ctx;
};

static int fail_library(struct reason *reason, const char *what)
{
    unsigned long e = ERR_peek_error();
    const char *text = ERR_reason_error_string(e);
    reason_set(reason, "tls-option", NULL, 0, "%s: %s", what, text ? text : "out of memory");
    ERR_clear_error();
    return ERR_CRYPTO;
}

/* --- choosing the own certificate --- */

static bool identity_serves(const struct identity *i, struct str name)
{
    return str_eq_nocase(str_z(i->domain), name);
}

/* Which domain's identities answer to this SNI name: the one it serves, else one whose certificate
 * names it, else the first. */
static const struct identity *identity_find(const struct context *c, struct str name)
{
    for (size_t i = 0; i < c->n_identities; i++)
        if (identity_serves(&c->identities[i], name))
            return &c->identities[i];
    for (size_t i = 0; i < c->n_identities; i++)
        for (size_t k = 0; k < c->identities[i].n_names; k++)
            if (str_eq_nocase(c->identities[i].names[k], name))
                return &c->identities[i];
    return NULL;
}

static struct str sni_of(SSL *ssl)
{
    struct str name = str_z(SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name));
    if (name.n > 1 && name.p[name.n - 1] == '.') /* RFC 6066 3 says without, some send it */
        name.n--;
    return name;
}

/* One context serves all domains and only the certificate is exchanged, so nothing else, the demand
 * for a client certificate above all, can differ from domain to domain. */
static int choose_cert(SSL *ssl, void *arg)
{
    (void)arg;
    /* TLS 1.2 tickets would make old traffic readable to whoever gets the ticket key (RFC
     * 9325 3.4). */
    if (SSL_version(ssl) < TLS1_3_VERSION)
        SSL_set_options(ssl, SSL_OP_NO_TICKET);
    const struct context *c = context_of(SSL_get_SSL_CTX(ssl));
    struct str name = sni_of(ssl);
    const struct identity *found = name.n ? identity_find(c, name) : NULL;
    if (!found || identity_serves(found, str_z(c->identities[0].domain)))
        return 1; /* the context's own */
    SSL_certs_clear(ssl);
    for (size_t i = 0; i < c->n_identities; i++) {
        const struct identity *id = &c->identities[i];
        if (identity_serves(id, str_z(found->domain)) &&
            SSL_use_cert_and_key(ssl, id->cert, id->key, id->chain, 1) != 1)
            return 0;
    }
    return 1;
}

/* Answering the extension tells the client that the name was used (RFC 6066 3). */
static int acknowledge_sni(SSL *ssl, int *alert, void *arg)
{
    (void)alert, (void)arg;
    struct str name = sni_of(ssl);
    return name.n && identity_find(context_of(SSL_get_SSL_CTX(ssl)), name) ? SSL_TLSEXT_ERR_OK
                                                                           : SSL_TLSEXT_ERR_NOACK;
}

/* --- making contexts --- */

static int set_ciphers12(SSL_CTX *ctx, const struct pki_tls_options *o, struct reason *reason)
{
    char list[1024];
    struct str ciphers = o->ciphers12;
    if (str_copy_z(list, sizeof(list), ciphers.n ? ciphers : STR(CIPHERS12)) != 0 ||
        SSL_CTX_set_cipher_list(ctx, list) != 1)
        return fail_library(reason, "cipher list");
    STACK_OF(SSL_CIPHER) *all = SSL_CTX_get_ciphers(ctx);
    for (int i = 0; i < sk_SSL_CIPHER_num(all); i++) {
        const SSL_CIPHER *c = sk_SSL_CIPHER_value(all, i);
        if (SSL_CIPHER_get_bits(c, NULL) < 128 || SSL_CIPHER_get_auth_nid(c) == NID_auth_null) {
            reason_set(reason, "tls-option", "RFC 9325 4.1", 0, "cipher list: %s protects nothing",
                       SSL_CIPHER_get_name(c));
            return ERR_REFUSED;
        }
        if (o->remote_keys && SSL_CIPHER_get_kx_nid(c) == NID_kx_rsa) {
            reason_set(reason, "tls-option", "RFC 9325 4.1", 0,
                       "cipher list: %s needs a key that decrypts; a key kept apart only signs",
                       SSL_CIPHER_get_name(c));
            return ERR_REFUSED;
        }
    }
    return 0;
}

static int set_versions(SSL_CTX *ctx, int min_version, struct reason *reason)
{
    if (min_version != 0 && min_version != 12 && min_version != 13) {
        reason_set(reason, "tls-option", "RFC 9325 3.1.1", 0,
                   "the least TLS version is 1.2 or 1.3");
        return ERR_INVALID;
    }
    if (SSL_CTX_set_min_proto_version(ctx, min_version == 13 ? TLS1_3_VERSION : TLS1_2_VERSION) !=
            1 ||
        SSL_CTX_set_max_proto_version(ctx, 0) != 1)
        return fail_library(reason, "TLS version");
    return 0;
}

static int set_common(SSL_CTX *ctx, const struct pki_tls_options *o, struct reason *reason)
{
    int err = set_versions(ctx, o->min_version, reason);
    if (!err)
        err = set_ciphers12(ctx, o, reason);
    if (err)
        return err;
    SSL_CTX_set_security_level(ctx, 2); /* after the list, which could lower it ("@SECLEVEL=0") */
    char groups[] = GROUPS, signatures[] = SIGNATURES; /* OpenSSL's macros cast const away */
    if (SSL_CTX_set1_groups_list(ctx, groups) != 1 ||
        SSL_CTX_set1_sigalgs_list(ctx, signatures) != 1)
        return fail_library(reason, "groups and signatures");
    SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_NO_TICKET |
                                 SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
    SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                              SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_max_cert_list(ctx, PEER_CERT_BYTES_MAX);
    SSL_CTX_set_verify_depth(ctx, CHAIN_MAX);
    /* verify.c checks uses itself: OpenSSL does not know id-kp-sipDomain. */
    X509_VERIFY_PARAM *param = SSL_CTX_get0_param(ctx);
    if (X509_VERIFY_PARAM_set_purpose(param, X509_PURPOSE_ANY) != 1 ||
        X509_VERIFY_PARAM_set_flags(param, X509_V_FLAG_PARTIAL_CHAIN) != 1)
        return fail_library(reason, "verification");
    SSL_CTX_set_cert_verify_callback(ctx, verify_peer, NULL);
    return 0;
}

/* The context's own certificates: all that serve the first domain. */
static int use_first(SSL_CTX *ctx, const struct context *c, struct reason *reason)
{
    for (size_t i = 0; i < c->n_identities; i++) {
        const struct identity *id = &c->identities[i];
        if (!identity_serves(id, str_z(c->identities[0].domain)))
            continue;
        if (SSL_CTX_use_cert_and_key(ctx, id->cert, id->key, id->chain, 1) != 1) {
            unsigned long e = ERR_peek_error();
            const char *text = ERR_reason_error_string(e);
            reason_set(reason, "cert-key", "RFC 9325 4.5", 0, "%s: %s", id->file,
                       text ? text : "out of memory");
            ERR_clear_error();
            return ERR_REFUSED;
        }
    }
    return 0;
}

static int load_identities(struct context *c, const struct pki_tls_options *o,
                           struct reason *reason)
{
    c->identities = mem_zalloc_array(o->n_identities, sizeof(*c->identities));
    if (!c->identities) {
        reason_set(reason, "no-memory", NULL, 0, "out of memory");
        return ERR_NOMEM;
    }
    for (size_t i = 0; i < o->n_identities; i++) {
        const struct pki_tls_identity *id = &o->identities[i];
        const char *key = o->remote_keys ? NULL : id->key_pem ? id->key_pem : "";
        int err =
            load_identity(&c->identities[i], id->domain, id->cert_pem, key, c->is_server, reason);
        if (err)
            return err;
        c->n_identities++;
    }
    return 0;
}

static int note_end(struct context *c, const char *kind, const char *file, int64_t not_after)
{
    struct file_end *more = mem_realloc(c->ends, (c->n_ends + 1) * sizeof(*more));
    if (!more)
        return ERR_NOMEM;
    c->ends = more;
    struct file_end *e = &c->ends[c->n_ends];
    e->file = mem_alloc(strlen(file) + 1);
    if (!e->file)
        return ERR_NOMEM;
    memcpy(e->file, file, strlen(file) + 1);
    e->kind = kind;
    e->not_after = not_after;
    c->n_ends++;
    return 0;
}

static int set_revocation(SSL_CTX *ctx, struct context *c, const struct pki_tls_options *o,
                          struct reason *reason)
{
    int64_t until;
    c->revocation = o->revocation;
    c->client_usage = o->client_usage;
    c->statuses = o->statuses ? pki_statuses_ref(o->statuses) : NULL;
    if (o->crl_pem && o->revocation != PKI_REVOCATION_OFF) {
        int err = load_crls(SSL_CTX_get_cert_store(ctx), o->crl_pem, &until, reason);
        if (!err && (err = note_end(c, "crl", o->crl_pem, until)) != 0)
            reason_set(reason, "no-memory", NULL, 0, "out of memory");
        if (err)
            return err;
        c->has_crl = true;
    }
    if (SSL_CTX_set_tlsext_status_cb(ctx, (c->is_server ? status_to_staple : status_stapled)) != 1)
        return fail_library(reason, "stapling");
    return 0;
}

/* Anchors into the store of the context, and into the list that a server sends (names; may be NULL). */
static int set_anchors(SSL_CTX *ctx, struct context *c, const char *file,
                       STACK_OF(X509_NAME) * names, struct reason *reason)
{
    int64_t until;
    int err = load_anchors(SSL_CTX_get_cert_store(ctx), file, names, &until, reason);
    if (!err && (err = note_end(c, "anchors", file, until)) != 0)
        reason_set(reason, "no-memory", NULL, 0, "out of memory");
    return err;
}

/* What both sides share: context, data behind it, identities. */
static int context_new(const struct pki_tls_options *o, bool is_server, SSL_CTX **ret,
                       struct context **ret_c, struct reason *reason)
{
    ERR_clear_error();
    struct context *c = NULL;
    SSL_CTX *ctx = ex_data_init() == 0
                       ? SSL_CTX_new(is_server ? TLS_server_method() : TLS_client_method())
                       : NULL;
    if (ctx)
        c = mem_zalloc(sizeof(*c));
    if (!c || context_attach(ctx, c) != 0) {
        mem_free(c);
        SSL_CTX_free(ctx);
        reason_set(reason, "no-memory", NULL, 0, "out of memory");
        return ERR_NOMEM;
    }
    c->is_server = is_server;
    c->remote_keys = o->remote_keys && o->n_identities > 0;
    int err = set_common(ctx, o, reason);
    if (!err)
        err = load_identities(c, o, reason);
    if (!err)
        err = use_first(ctx, c, reason);
    if (!err)
        err = set_revocation(ctx, c, o, reason);
    if (err) {
        SSL_CTX_free(ctx); /* and c with it */
        return err;
    }
    *ret = ctx;
    *ret_c = c;
    return 0;
}

static int server_demand(SSL_CTX *ctx, const struct pki_tls_options *o, struct reason *reason)
{
    if (o->client_cert == PKI_CLIENT_CERT_NONE) {
        SSL_CTX_set_verify(ctx, SSL_VERIFY_NONE, NULL);
        return 0;
    }
    if (!o->ca_pem && !o->n_more_ca_pem) {
        reason_set(reason, "tls-option", "RFC 5922 7.4", 0,
                   "client certificates need a file of anchors");
        return ERR_INVALID;
    }
    STACK_OF(X509_NAME) *names = sk_X509_NAME_new_null();
    int err = names ? 0 : ERR_NOMEM;
    if (!err && o->ca_pem)
        err = set_anchors(ctx, context_of(ctx), o->ca_pem, names, reason);
    for (size_t i = 0; !err && i < o->n_more_ca_pem; i++)
        err = set_anchors(ctx, context_of(ctx), o->more_ca_pem[i], names, reason);
    if (err) {
        sk_X509_NAME_pop_free(names, X509_NAME_free);
        return err;
    }
    SSL_CTX_set_client_CA_list(ctx, names); /* takes them over */
    SSL_CTX_set_verify(
        ctx,
        SSL_VERIFY_PEER |
            (o->client_cert == PKI_CLIENT_CERT_REQUIRE ? SSL_VERIFY_FAIL_IF_NO_PEER_CERT : 0),
        NULL);
    return 0;
}

/* Without tickets nothing can be resumed: there is no cache either. With them the session carries
 * the client's certificate and the context id keeps it from being used anywhere else. */
static int server_resumption(SSL_CTX *ctx, const struct pki_tls_options *o, struct reason *reason)
{
    if (o->session_tickets)
        SSL_CTX_clear_options(ctx, SSL_OP_NO_TICKET);
    if (SSL_CTX_set_num_tickets(ctx, o->session_tickets) != 1 ||
        SSL_CTX_set_session_id_context(ctx, (const unsigned char *)SESSION_ID_CONTEXT,
                                       sizeof(SESSION_ID_CONTEXT) - 1) != 1)
        return fail_library(reason, "session tickets");
    return 0;
}

int pki_tls_server_new(const struct pki_tls_options *o, struct pki_tls_server **ret,
                       struct reason *reason)
{
    if (o->n_identities == 0) {
        reason_set(reason, "tls-option", NULL, 0, "a TLS server needs a certificate");
        return ERR_INVALID;
    }
    for (size_t i = 0; i < o->n_identities; i++) {
        if (str_is_empty(o->identities[i].domain)) {
            reason_set(reason, "tls-option", "RFC 5922 6", 0,
                       "certificate %zu has no domain to serve", i + 1);
            return ERR_INVALID;
        }
    }
    SSL_CTX *ctx;
    struct context *c;
    int err = context_new(o, true, &ctx, &c, reason);
    if (err)
        return err;
    err = server_demand(ctx, o, reason);
    if (!err)
        err = server_resumption(ctx, o, reason);
    struct pki_tls_server *s = err ? NULL : mem_zalloc(sizeof(*s));
    if (!s) {
        if (!err)
            reason_set(reason, "no-memory", NULL, 0, "out of memory");
        SSL_CTX_free(ctx);
        return err ? err : ERR_NOMEM;
    }
    SSL_CTX_set_cert_cb(ctx, choose_cert, NULL);
    SSL_CTX_set_tlsext_servername_callback(ctx, acknowledge_sni);
    atomic_init(&s->refs, 1);
    s->ctx = ctx;
    *ret = s;
    return 0;
}

static int client_anchors(SSL_CTX *ctx, const struct pki_tls_options *o, struct reason *reason)
{
    if (o->ca_pem)
        return set_anchors(ctx, context_of(ctx), o->ca_pem, NULL, reason);
    if (SSL_CTX_set_default_verify_paths(ctx) != 1)
        return fail_library(reason, "the system's anchors");
    return 0;
}

int pki_tls_client_new(const struct pki_tls_options *o, struct pki_tls_client **ret,
                       struct reason *reason)
{
    static atomic_ulong serials;
    SSL_CTX *ctx;
    struct context *c;
    int err = context_new(o, false, &ctx, &c, reason);
    if (err)
        return err;
    c->insecure_no_verify = o->insecure_no_verify;
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
    err = client_anchors(ctx, o, reason);
    struct pki_tls_client *s = err ? NULL : mem_zalloc(sizeof(*s));
    if (!s) {
        if (!err)
            reason_set(reason, "no-memory", NULL, 0, "out of memory");
        SSL_CTX_free(ctx);
        return err ? err : ERR_NOMEM;
    }
    atomic_init(&s->refs, 1);
    s->serial = 1 + atomic_fetch_add_explicit(&serials, 1, memory_order_relaxed);
    s->ctx = ctx;
    *ret = s;
    return 0;
}

/* --- references --- */

struct pki_tls_server *pki_tls_server_ref(struct pki_tls_server *s)
{
    atomic_fetch_add_explicit(&s->refs, 1, memory_order_relaxed);
    return s;
}

void pki_tls_server_unref(struct pki_tls_server *s)
{
    if (s && atomic_fetch_sub_explicit(&s->refs, 1, memory_order_acq_rel) == 1) {
        SSL_CTX_free(s->ctx);
        mem_free(s);
    }
}

struct pki_tls_client *pki_tls_client_ref(struct pki_tls_client *c)
{
    atomic_fetch_add_explicit(&c->refs, 1, memory_order_relaxed);
    return c;
}

void pki_tls_client_unref(struct pki_tls_client *c)
{
    if (c && atomic_fetch_sub_explicit(&c->refs, 1, memory_order_acq_rel) == 1) {
        SSL_CTX_free(c->ctx);
        mem_free(c);
    }
}

uint64_t pki_tls_client_serial(const struct pki_tls_client *c)
{
    return c->serial;
}

/* --- connections --- */

int pki_tls_client_vouches(const struct pki_tls_client *c, const SSL *ssl, struct reason *why)
{
    return chain_judge(c->ctx, ssl, why);
}

int pki_tls_client_judge_file(const struct pki_tls_client *c, const char *file,
                              struct str server_name, enum cert_standing *ret, struct reason *why)
{
    STACK_OF(X509) *shown = sk_X509_new_null();
    struct standing standing = {.standing = CERT_UNCHECKED};
    int err = shown ? load_certs(file, shown, CHAIN_MAX, why) : ERR_NOMEM;
    if (!err)
        err = chain_judge_shown(c->ctx, shown, server_name, &standing, why);
    if (!err && standing.standing == CERT_UNKNOWN)
        *why = standing.doubt;
    sk_X509_pop_free(shown, X509_free);
    *ret = standing.standing;
    return err;
}

bool pki_tls_client_sees_revoked(const struct pki_tls_client *c, const SSL *ssl, struct reason *why)
{
    return revoke_is_seen(context_of(c->ctx), SSL_get0_verified_chain(ssl), why);
}

SSL *pki_tls_server_ssl(struct pki_tls_server *s)
{
    SSL *ssl = SSL_new(s->ctx);
    if (ssl)
        SSL_set_accept_state(ssl);
    return ssl;
}

SSL *pki_tls_client_ssl(struct pki_tls_client *c, struct str server_name)
{
    SSL *ssl = SSL_new(c->ctx);
    if (!ssl)
        return NULL;
    SSL_set_connect_state(ssl);
    char name[256];
    struct addr a;
    struct str bare = server_name;
    if (bare.n > 1 && bare.p[bare.n - 1] == '.')
        bare.n--;
    /* RFC 6066 3: no literal addresses, no final dot; what is longer than any DNS name cannot match
     * either. */
    bool send_sni =
        bare.n && addr_parse(&a, bare, 0) != 0 && str_copy_z(name, sizeof(name), bare) == 0;
    const struct context *ctx = context_of(c->ctx);
    bool ask = ctx->revocation != PKI_REVOCATION_OFF && !ctx->insecure_no_verify;
    if (conn_set_expected(ssl, server_name) != 0 ||
        (ask && SSL_set_tlsext_status_type(ssl, TLSEXT_STATUSTYPE_ocsp) != 1) ||
        (send_sni && SSL_set_tlsext_host_name(ssl, name) != 1)) {
        SSL_free(ssl);
        return NULL;
    }
    return ssl;
}

bool pki_ssl_asks(const SSL *ssl)
{
    return context_of(SSL_get_SSL_CTX(ssl))->remote_keys;
}

static void expiry(SSL_CTX *ctx, int64_t *ret_not_after, struct str *ret_file)
{
    const struct context *c = context_of(ctx);
    *ret_not_after = INT64_MAX;
    *ret_file = STR("");
    for (size_t i = 0; i < c->n_identities; i++) {
        if (c->identities[i].not_after < *ret_not_after) {
            *ret_not_after = c->identities[i].not_after;
            *ret_file = str_z(c->identities[i].file);
        }
    }
}

static void ends(SSL_CTX *ctx, pki_end_fn *fn, void *arg)
{
    const struct context *c = context_of(ctx);
    for (size_t i = 0; i < c->n_identities; i++)
        fn(arg, "certificate", str_z(c->identities[i].file), c->identities[i].not_after);
    for (size_t i = 0; i < c->n_ends; i++)
        fn(arg, c->ends[i].kind, str_z(c->ends[i].file), c->ends[i].not_after);
}

void pki_tls_server_ends(const struct pki_tls_server *s, pki_end_fn *fn, void *arg)
{
    ends(s->ctx, fn, arg);
}

void pki_tls_client_ends(const struct pki_tls_client *c, pki_end_fn *fn, void *arg)
{
    ends(c->ctx, fn, arg);
}

void pki_tls_server_staples(const struct pki_tls_server *s, int64_t now)
{
    const struct context *c = context_of(s->ctx);
    for (size_t i = 0; c->statuses && i < c->n_identities; i++) {
        const struct identity *id = &c->identities[i];
        const char *cause = NULL;
        char url[PKI_URL_MAX];
        if (pki_ocsp_responder(id->cert, url) != 0)
            continue;
        if (sk_X509_num(id->chain) == 0)
            cause = "the issuer's certificate is not behind it in the file";
        else if (pki_statuses_own(c->statuses, id->cert, sk_X509_value(id->chain, 0),
                                  str_z(id->file), now) != 0)
            cause = "out of memory";
        if (cause)
            LOG(LOG_WARN, "staple-unavailable", LZ("file", id->file), LZ("cause", cause));
    }
}

void pki_tls_server_expiry(const struct pki_tls_server *s, int64_t *ret_not_after,
                           struct str *ret_file)
{
    expiry(s->ctx, ret_not_after, ret_file);
}

void pki_tls_client_expiry(const struct pki_tls_client *c, int64_t *ret_not_after,
                           struct str *ret_file)
{
    expiry(c->ctx, ret_not_after, ret_file);
}
