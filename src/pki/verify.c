/* Judging a peer's certificate, and remembering why it was refused. RFC 5280 6 (by
 * OpenSSL), 4.2.1.3, 4.2.1.10, 4.2.1.12; RFC 5922 7.3, 7.4; RFC 5924 5. Runs inside the handshake,
 * on the thread that owns the connection. */
#include "base/addr.h"
#include "base/err.h"
#include "base/mem.h"
#include "pki/key_cost.h"
#include "pki/names.h"
#include "pki/pki_priv.h"
#include "pki/tls.h"
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <pthread.h>
#include <time.h>

#define NAMES_ARENA (PKI_NAMES_MAX * 288u)

/* --- what is kept behind contexts and connections --- */

static int context_index = -1, conn_index = -1;

static void context_free(void *parent, void *ptr, CRYPTO_EX_DATA *ad, int idx, long argl,
                         void *argp)
{
    (void)parent, (void)ad, (void)idx, (void)argl, (void)argp;
    struct context *c = ptr;
    if (!c)
        return;
    for (size_t i = 0; i < c->n_identities; i++)
        identity_done(&c->identities[i]);
    for (size_t i = 0; i < c->n_ends; i++)
        mem_free(c->ends[i].file);
    mem_free(c->ends);
    pki_statuses_unref(c->statuses);
    mem_free(c->identities);
    mem_free(c);
}

static void conn_free(void *parent, void *ptr, CRYPTO_EX_DATA *ad, int idx, long argl, void *argp)
{
    (void)parent, (void)ad, (void)idx, (void)argl, (void)argp;
    struct conn *c = ptr;
    if (!c)
        return;
    mem_free(c->expected);
    mem_free(c->refused);
    mem_free(c->doubt);
    mem_free(c);
}

static void ex_data_init_once(void)
{
    context_index = SSL_CTX_get_ex_new_index(0, NULL, NULL, NULL, context_free);
    conn_index = SSL_get_ex_new_index(0, NULL, NULL, NULL, conn_free);
    if (revoke_init() != 0)
        conn_index = -1;
}

int ex_data_init(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, ex_data_init_once);
    return context_index >= 0 && conn_index >= 0 ? 0 : ERR_NOMEM;
}

struct context *context_of(const SSL_CTX *ctx)
{
    return SSL_CTX_get_ex_data(ctx, context_index);
}

int context_attach(SSL_CTX *ctx, struct context *c)
{
    return SSL_CTX_set_ex_data(ctx, context_index, c) == 1 ? 0 : ERR_NOMEM;
}

static struct conn *conn_get(SSL *ssl)
{
    struct conn *c = SSL_get_ex_data(ssl, conn_index);
    if (c)
        return c;
    c = mem_zalloc(sizeof(*c));
    if (c && SSL_set_ex_data(ssl, conn_index, c) != 1) {
        mem_free(c);
        c = NULL;
    }
    return c;
}

int conn_set_expected(SSL *ssl, struct str name)
{
    struct conn *c = conn_get(ssl);
    char *p = c ? mem_alloc(name.n + 1) : NULL;
    if (!p)
        return ERR_NOMEM;
    memcpy(p, name.p ? name.p : "", name.n);
    p[name.n] = '\0';
    mem_free(c->expected);
    c->expected = p;
    return 0;
}

static const char *expected_of(const SSL *ssl)
{
    const struct conn *c = SSL_get_ex_data(ssl, conn_index);
    return c ? c->expected : NULL;
}

/* --- checks that OpenSSL does not make --- */

static const unsigned char oid_sip_domain[] = {0x2b, 6, 1, 5,
                                               5,    7, 3, 20}; /* id-kp 20, RFC 5924 4.1 */

/* RFC 5924 5 and RFC 5280 4.2.1.12; tls.h says what is accepted and why. */
bool cert_use_is_allowed(X509 *cert, bool by_client)
{
    int status;
    EXTENDED_KEY_USAGE *uses = X509_get_ext_d2i(cert, NID_ext_key_usage, &status, NULL);
    bool allowed = !uses && status == -1;
    for (int i = 0; uses && !allowed && i < sk_ASN1_OBJECT_num(uses); i++) {
        const ASN1_OBJECT *o = sk_ASN1_OBJECT_value(uses, i);
        int nid = OBJ_obj2nid(o);
        allowed = nid == NID_server_auth || nid == NID_anyExtendedKeyUsage ||
                  (by_client && nid == NID_client_auth) ||
                  (OBJ_length(o) == sizeof(oid_sip_domain) &&
                   memcmp(OBJ_get0_data(o), oid_sip_domain, sizeof(oid_sip_domain)) == 0);
    }
    sk_ASN1_OBJECT_pop_free(uses, ASN1_OBJECT_free);
    return allowed;
}

bool cert_can_sign(X509 *cert)
{
    return X509_get_key_usage(cert) &
           KU_DIGITAL_SIGNATURE; /* all bits if there is no such extension */
}

/* RFC 5280 4.2.1.10: a DNS constraint covers the name itself and everything made by adding labels
 * on the left. */
static bool is_under(struct str host, const ASN1_IA5STRING *base)
{
    struct str b =
        str_make((const char *)ASN1_STRING_get0_data(base), (size_t)ASN1_STRING_length(base));
    if (b.n && b.p[0] == '.')
        b = str_make(b.p + 1, b.n - 1);
    if (b.n == 0 || str_eq_nocase(host, b))
        return true;
    return host.n > b.n && host.p[host.n - b.n - 1] == '.' &&
           str_eq_nocase(str_make(host.p + host.n - b.n, b.n), b);
}

static bool has_dns_subtree(const STACK_OF(GENERAL_SUBTREE) * trees, struct str host, bool *ret_any)
{
    bool match = false;
    *ret_any = false;
    for (int i = 0; i < sk_GENERAL_SUBTREE_num(trees); i++) {
        const GENERAL_NAME *base = sk_GENERAL_SUBTREE_value(trees, i)->base;
        if (base->type != GEN_DNS)
            continue;
        *ret_any = true;
        match = match || is_under(host, base->d.dNSName);
    }
    return match;
}

/* RFC 5280 constrains URIs by a type of their own, which CAs for SIP domains do not use: without
 * this a CA that may speak for a.example only (DNS) could issue URI:sip:b.example. So the DNS
 * constraints bind each identity, whatever its form. */
bool cert_names_are_within(X509 *ca, const struct str *names, size_t n)
{
    int status;
    NAME_CONSTRAINTS *nc = X509_get_ext_d2i(ca, NID_name_constraints, &status, NULL);
    if (!nc)
        return status == -1;
    bool ok = true, any;
    for (size_t i = 0; ok && i < n; i++) {
        if (has_dns_subtree(nc->excludedSubtrees, names[i], &any))
            ok = false;
        else if (!has_dns_subtree(nc->permittedSubtrees, names[i], &any) && any)
            ok = false;
    }
    NAME_CONSTRAINTS_free(nc);
    return ok;
}

enum cert_client_use cert_client_use_of(X509 *cert)
{
    int status;
    EXTENDED_KEY_USAGE *uses = X509_get_ext_d2i(cert, NID_ext_key_usage, &status, NULL);
    enum cert_client_use use = !uses && status == -1 ? CERT_USE_CLIENT : CERT_USE_OTHER;
    for (int i = 0; uses && use != CERT_USE_CLIENT && i < sk_ASN1_OBJECT_num(uses); i++) {
        const ASN1_OBJECT *o = sk_ASN1_OBJECT_value(uses, i);
        int nid = OBJ_obj2nid(o);
        if (nid == NID_client_auth || nid == NID_anyExtendedKeyUsage ||
            (OBJ_length(o) == sizeof(oid_sip_domain) &&
             memcmp(OBJ_get0_data(o), oid_sip_domain, sizeof(oid_sip_domain)) == 0))
            use = CERT_USE_CLIENT;
        else if (nid == NID_server_auth)
            use = CERT_USE_SERVER_ONLY;
    }
    sk_ASN1_OBJECT_pop_free(uses, ASN1_OBJECT_free);
    return use;
}

/* RFC 6216 6, case 10: a next hop that is given as an address is what it says if that is in an iPAddress;
 * RFC 5922 7.1 knows it in sip: URIs only. It never stands for a domain. */
static bool cert_has_address(X509 *cert, struct str expected)
{
    struct addr a;
    return addr_parse(&a, expected, 0) == 0 &&
           X509_check_ip(cert,
                         addr_is_v6(&a) ? (const unsigned char *)&a.v6.sin6_addr
                                        : (const unsigned char *)&a.v4.sin_addr,
                         addr_is_v6(&a) ? 16 : 4, 0) == 1;
}

/* By the rule of the context, for the peer's own certificate; those of its issuers are for TLS in any case. */
static bool usage_is_allowed(const struct context *c, X509 *cert, bool is_leaf)
{
    if (!c->is_server || !is_leaf || c->client_usage == PKI_USAGE_ANY_TLS)
        return cert_use_is_allowed(cert, c->is_server);
    return c->client_usage == PKI_USAGE_IGNORE || cert_client_use_of(cert) == CERT_USE_CLIENT;
}

/* Everything about the chain that X509_verify_cert leaves to the application. Returns an X509_V_
 * code. */
static int check_chain(X509_STORE_CTX *store, const struct str *names, size_t n,
                       const struct context *context)
{
    const STACK_OF(X509) *chain = X509_STORE_CTX_get0_chain(store);
    int len = sk_X509_num(chain);
    for (int i = 0; i < len; i++) {
        X509 *c = sk_X509_value(chain, i);
        X509_STORE_CTX_set_error_depth(store, i);
        /* The anchor's own restrictions are the operator's business (RFC 5280 6.2), unless it is
         * the peer's certificate, or a cross-certificate: what that is restricted to is what another
         * CA was trusted for (TR/100 9). */
        bool is_root = i > 0 && i == len - 1 && X509_check_issued(c, c) == X509_V_OK;
        if (!is_root && !usage_is_allowed(context, c, i == 0))
            return X509_V_ERR_INVALID_PURPOSE;
        if (i == 0 && !cert_can_sign(c))
            return X509_V_ERR_INVALID_PURPOSE;
        if (i > 0 && !cert_names_are_within(c, names, n))
            return X509_V_ERR_PERMITTED_VIOLATION;
    }
    X509_STORE_CTX_set_error_depth(store, 0);
    return X509_V_OK;
}

/* --- causes --- */

static const char *cert_code(int error)
{
    switch (error) {
    case X509_V_ERR_CERT_HAS_EXPIRED:
        return "tls-cert-expired";
    case X509_V_ERR_CERT_NOT_YET_VALID:
        return "tls-cert-not-yet-valid";
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
    case X509_V_ERR_CERT_UNTRUSTED:
        return "tls-cert-unknown-issuer";
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
        return "tls-cert-self-signed";
    case X509_V_ERR_CERT_REVOKED:
        return "tls-cert-revoked";
    case X509_V_ERR_UNABLE_TO_GET_CRL:
    case X509_V_ERR_UNABLE_TO_GET_CRL_ISSUER:
    case X509_V_ERR_CRL_HAS_EXPIRED:
    case X509_V_ERR_CRL_NOT_YET_VALID:
    case X509_V_ERR_CRL_SIGNATURE_FAILURE:
        return "tls-cert-no-crl";
    case X509_V_ERR_INVALID_PURPOSE:
        return "tls-cert-use";
    case X509_V_ERR_HOSTNAME_MISMATCH:
        return "tls-cert-name";
    case X509_V_ERR_OUT_OF_MEM:
        return "no-memory";
    default:
        return "tls-cert-invalid";
    }
}

static const char *cert_clause(int error)
{
    switch (error) {
    case X509_V_ERR_HOSTNAME_MISMATCH:
        return "RFC 5922 7.3";
    case X509_V_ERR_INVALID_PURPOSE:
        return "RFC 5924 5";
    case X509_V_ERR_PERMITTED_VIOLATION:
    case X509_V_ERR_EXCLUDED_VIOLATION:
        return "RFC 5280 4.2.1.10";
    default:
        return "RFC 5280 6";
    }
}

static const char *cause_text(int error)
{
    if (error == X509_V_ERR_HOSTNAME_MISMATCH)
        return "another name";
    return X509_verify_cert_error_string(error);
}

/* One sentence for the log: what was expected, what came, what is wrong with it. */
static void tell(struct reason *ret, const char *expected, X509 *cert, const char *code,
                 const char *clause, const char *cause, bool is_issuer)
{
    char list[72];
    struct sbuf b = sbuf_make(list, sizeof(list));
    if (cert)
        pki_cert_describe(cert, &b);
    reason_set(ret, code, clause, 0, "%s%s%spresented %.*s: %s%s", expected ? "expected " : "",
               expected ? expected : "", expected ? ", " : "", STR_FMT(sbuf_get(&b)), cause,
               is_issuer ? " (an issuer)" : "");
}

/* A certificate on trial: what is asked of it, what came out. */
struct trial {
    const struct context *c;
    const char *expected;
    bool any_name;
    bool is_staple_to_come; /* then revocation is judged once it is there */
    struct chain_facts crl;
    struct standing standing;
    struct reason why;    /* refused */
    bool is_unknown_only; /* ... because nobody has said whether it is revoked */
};

/* Of what the peer has sent; our anchors are the operator's business. How small a key may be is for the
 * security level to say. */
static bool has_fair_keys(X509_STORE_CTX *store)
{
    const STACK_OF(X509) *sent = X509_STORE_CTX_get0_untrusted(store);
    const EVP_PKEY *key = X509_get0_pubkey(X509_STORE_CTX_get0_cert(store));
    bool fair = !key || pki_key_is_fair(key, 0); /* NULL: OpenSSL refuses it */
    for (int i = 0; fair && i < sk_X509_num(sent); i++) {
        key = X509_get0_pubkey(sk_X509_value(sent, i));
        fair = !key || pki_key_is_fair(key, 0);
    }
    return fair;
}

/* Is the peer what it has to be? Returns an X509_V_ code; with another than X509_V_OK t->why says more. */
static int judge(X509_STORE_CTX *store, struct trial *t)
{
    struct arena *a = NULL;
    struct str names[PKI_NAMES_MAX];
    int n, error, depth;
    if (revoke_watch(store, &t->crl) != 0)
        return X509_V_ERR_OUT_OF_MEM;
    if (!has_fair_keys(store)) {
        tell(&t->why, t->expected, X509_STORE_CTX_get0_cert(store), "tls-cert-key",
             "RFC 5280 4.1.2.7", "a key of a kind or size that is not taken", false);
        return X509_V_ERR_CERT_REJECTED;
    }
    if (X509_verify_cert(store) != 1) {
        error = X509_STORE_CTX_get_error(store);
        error = error == X509_V_OK ? X509_V_ERR_UNSPECIFIED : error;
        goto out;
    }
    if (t->c->has_crl && revoke_anchor_is_listed(store)) {
        error = X509_V_ERR_CERT_REVOKED;
        goto out;
    }
    a = arena_new(NAMES_ARENA, NAMES_ARENA);
    n = a ? pki_cert_names(X509_STORE_CTX_get0_cert(store), a, names) : ERR_NOMEM;
    error = n < 0 ? X509_V_ERR_OUT_OF_MEM : check_chain(store, names, (size_t)n, t->c);
    if (error == X509_V_OK && !t->c->is_server && !t->any_name &&
        pki_names_check(names, (size_t)n, str_z(t->expected), NULL) != 0 &&
        !cert_has_address(X509_STORE_CTX_get0_cert(store), str_z(t->expected)))
        error = X509_V_ERR_HOSTNAME_MISMATCH;
    if (error == X509_V_OK && !t->is_staple_to_come && !t->c->insecure_no_verify &&
        revoke_judge(t->c, X509_STORE_CTX_get0_chain(store), &t->crl, NULL, &t->standing, &depth,
                     &t->why) != 0) {
        struct reason why = t->why;
        t->is_unknown_only = t->standing.standing == CERT_UNKNOWN;
        tell(&t->why, t->expected, X509_STORE_CTX_get0_cert(store), why.code, why.clause,
             why.detail, depth > 0);
        arena_free(a);
        return X509_V_ERR_CERT_REVOKED;
    }
out:
    if (error != X509_V_OK)
        tell(&t->why, t->expected, X509_STORE_CTX_get0_cert(store), cert_code(error),
             cert_clause(error), cause_text(error), X509_STORE_CTX_get_error_depth(store) > 0);
    arena_free(a);
    return error;
}

static void remember_refusal(SSL *ssl, const struct reason *why)
{
    struct conn *c = conn_get(ssl);
    if (c && !c->refused)
        c->refused = mem_alloc(sizeof(*c->refused));
    if (c && c->refused) /* else pki_tls_ssl_reason says it in general words */
        *c->refused = *why;
}

static void remember_standing(SSL *ssl, const struct standing *s)
{
    struct conn *c = conn_get(ssl);
    if (!c)
        return;
    c->standing = s->standing;
    if (s->standing == CERT_UNKNOWN && !c->doubt)
        c->doubt = mem_alloc(sizeof(*c->doubt));
    if (s->standing == CERT_UNKNOWN && c->doubt)
        *c->doubt = s->doubt;
}

int verify_peer(X509_STORE_CTX *store, void *arg)
{
    (void)arg;
    SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
    const struct context *c = context_of(SSL_get_SSL_CTX(ssl));
    struct trial t = {
        .c = c,
        .expected = expected_of(ssl),
        .is_staple_to_come = !c->is_server && c->revocation != PKI_REVOCATION_OFF,
    };
    int error = judge(store, &t);
    struct conn *conn = error == X509_V_OK ? conn_get(ssl) : NULL;
    if (error == X509_V_OK && !conn)
        error = X509_V_ERR_OUT_OF_MEM;
    /* Without verification the handshake goes on, but what SSL_get_verify_result says afterwards
     * stays true. */
    X509_STORE_CTX_set_error(store, error);
    if (error == X509_V_OK) {
        conn->crl = t.crl;
        remember_standing(ssl, &t.standing);
        return 1;
    }
    if (c->insecure_no_verify)
        return 1;
    remember_refusal(ssl, &t.why);
    return 0;
}

/* Client: the server's flight is complete, with a stapled answer or without. 0 ends the handshake with
 * bad_certificate_status_response (RFC 6066 8). */
int status_stapled(SSL *ssl, void *arg)
{
    (void)arg;
    const struct context *c = context_of(SSL_get_SSL_CTX(ssl));
    const struct conn *conn = SSL_get_ex_data(ssl, conn_index);
    STACK_OF(X509) *chain = SSL_get0_verified_chain(ssl);
    struct staple staple = {.is_possible = true};
    struct standing standing;
    struct reason why, told;
    int depth;
    if (c->insecure_no_verify || c->revocation == PKI_REVOCATION_OFF)
        return 1;
    if (!conn || !chain)
        return 0;
    unsigned char *p = NULL;
    long n = SSL_get_tlsext_status_ocsp_resp(ssl, &p);
    if (n > 0) {
        staple.p = p;
        staple.n = (size_t)n;
    }
    if (revoke_judge(c, chain, &conn->crl, &staple, &standing, &depth, &why) != 0) {
        tell(&told, conn->expected, sk_X509_value(chain, 0), why.code, why.clause, why.detail,
             depth > 0);
        remember_refusal(ssl, &told);
        return 0;
    }
    remember_standing(ssl, &standing);
    return 1;
}

/* Server: a client would like an answer with the certificate that was chosen. */
int status_to_staple(SSL *ssl, void *arg)
{
    (void)arg;
    const struct context *c = context_of(SSL_get_SSL_CTX(ssl));
    const X509 *cert = SSL_get_certificate(ssl);
    for (size_t i = 0; c->statuses && cert && i < c->n_identities; i++) {
        const struct identity *id = &c->identities[i];
        size_t n;
        if (id->cert != cert || sk_X509_num(id->chain) == 0)
            continue;
        unsigned char *der = pki_statuses_staple(c->statuses, &id->id, (int64_t)time(NULL), &n);
        if (!der)
            break;
        SSL_set_tlsext_status_ocsp_resp(ssl, der, (long)n);
        return SSL_TLSEXT_ERR_OK;
    }
    return SSL_TLSEXT_ERR_NOACK;
}

int chain_judge_shown(SSL_CTX *ctx, STACK_OF(X509) * shown, struct str expected,
                      struct standing *ret, struct reason *why)
{
    struct context as = *context_of(ctx); /* to look at only */
    struct trial t = {.c = &as, .any_name = expected.n == 0};
    char name[256];
    X509_STORE_CTX *store = X509_STORE_CTX_new();
    int error = X509_V_ERR_OUT_OF_MEM;
    as.insecure_no_verify = false;
    as.is_server = expected.n == 0;
    if (str_copy_z(name, sizeof(name), expected) != 0)
        name[0] = '\0';
    t.expected = t.any_name ? NULL : name;
    reason_set(&t.why, "no-memory", NULL, 0, "out of memory");
    if (store &&
        X509_STORE_CTX_init(store, SSL_CTX_get_cert_store(ctx), sk_X509_value(shown, 0), shown) ==
            1 &&
        X509_VERIFY_PARAM_set1(X509_STORE_CTX_get0_param(store), SSL_CTX_get0_param(ctx)) == 1) {
        X509_VERIFY_PARAM_set_auth_level(X509_STORE_CTX_get0_param(store),
                                         SSL_CTX_get_security_level(ctx));
        error = judge(store, &t);
    }
    X509_STORE_CTX_free(store);
    ERR_clear_error();
    *ret = t.standing;
    if (error == X509_V_OK)
        return 0;
    *why = t.why;
    return error == X509_V_ERR_OUT_OF_MEM ? ERR_NOMEM : ERR_REFUSED;
}

int chain_judge(SSL_CTX *ctx, const SSL *ssl, struct reason *why)
{
    struct context as = *context_of(ctx); /* to look at only */
    struct trial t = {.c = &as, .any_name = true};
    X509 *leaf = SSL_get0_peer_certificate(ssl);
    X509_STORE_CTX *store = X509_STORE_CTX_new();
    int error = X509_V_ERR_OUT_OF_MEM;
    as.is_server = SSL_is_server(ssl);
    as.insecure_no_verify = false;
    reason_set(&t.why, "no-memory", NULL, 0, "out of memory");
    if (!leaf) {
        reason_set(&t.why, "tls-cert-missing", "RFC 5922 7.4", 0, "no certificate was presented");
        error = X509_V_ERR_UNSPECIFIED;
    } else if (store &&
               X509_STORE_CTX_init(store, SSL_CTX_get_cert_store(ctx), leaf,
                                   SSL_get_peer_cert_chain(ssl)) == 1 &&
               X509_VERIFY_PARAM_set1(X509_STORE_CTX_get0_param(store),
                                      SSL_CTX_get0_param(ctx)) == 1) {
        /* as OpenSSL sets it up for a handshake */
        X509_VERIFY_PARAM_set_auth_level(X509_STORE_CTX_get0_param(store),
                                         SSL_CTX_get_security_level(ctx));
        error = judge(store, &t);
    }
    X509_STORE_CTX_free(store);
    ERR_clear_error();
    if (error == X509_V_OK)
        return 0;
    *why = t.why;
    return error == X509_V_ERR_OUT_OF_MEM ? ERR_NOMEM : t.is_unknown_only ? ERR_AGAIN : ERR_REFUSED;
}

enum cert_standing pki_peer_standing(const SSL *ssl, struct reason *why)
{
    const struct conn *c = SSL_get_ex_data(ssl, conn_index);
    if (why)
        *why = c && c->doubt ? *c->doubt : (struct reason){.code = "tls-cert-status-unknown"};
    return c && pki_peer_is_verified(ssl) ? c->standing : CERT_UNCHECKED;
}

enum cert_client_use pki_peer_client_use(const SSL *ssl)
{
    X509 *cert = SSL_get0_peer_certificate(ssl);
    return cert ? cert_client_use_of(cert) : CERT_USE_OTHER;
}

bool pki_peer_is_verified(const SSL *ssl)
{
    return SSL_get0_peer_certificate(ssl) && SSL_get_verify_result(ssl) == X509_V_OK;
}

/* --- refusals that are not about our view of the certificate --- */

static void reason_from_queue(unsigned long e, const char *expected, struct reason *ret)
{
    const char *code = "tls-error", *clause = "RFC 8446 6.2", *text = ERR_reason_error_string(e);
    int why = ERR_GET_REASON(e);
    if (ERR_GET_LIB(e) == ERR_LIB_SSL) {
        switch (why) {
        case SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE:
            code = "tls-cert-missing";
            clause = "RFC 5922 7.4";
            text = "the client presented no certificate, and one is required";
            break;
        case SSL_R_UNSUPPORTED_PROTOCOL:
        case SSL_R_UNKNOWN_PROTOCOL:
        case SSL_R_VERSION_TOO_LOW:
        case SSL_R_TLSV1_ALERT_PROTOCOL_VERSION:
            code = "tls-version";
            clause = "RFC 9325 3.1.1";
            break;
        case SSL_R_NO_SHARED_CIPHER:
        case SSL_R_NO_CIPHERS_AVAILABLE:
        case SSL_R_NO_SUITABLE_KEY_SHARE:
        case SSL_R_NO_SUITABLE_GROUPS:
        case SSL_R_NO_SHARED_GROUPS:
        case SSL_R_NO_SHARED_SIGNATURE_ALGORITHMS:
        case SSL_R_NO_SUITABLE_SIGNATURE_ALGORITHM:
            code = "tls-no-common-suite";
            clause = "RFC 9325 4.2";
            break;
        case SSL_R_WRONG_VERSION_NUMBER:
        case SSL_R_HTTP_REQUEST:
        case SSL_R_HTTPS_PROXY_REQUEST:
            code = "tls-not-tls";
            text = "the other side does not speak TLS";
            break;
        default:
            if (why > SSL_AD_REASON_OFFSET)
                code = "tls-alert";
            break;
        }
    }
    bool is_alert = ERR_GET_LIB(e) == ERR_LIB_SSL && why > SSL_AD_REASON_OFFSET;
    reason_set(ret, code, clause, 0, "%s%s%s%s%s", expected ? "expected " : "",
               expected ? expected : "", expected ? ": " : "",
               is_alert ? "the other side refused: " : "", text ? text : "no further cause");
}

void pki_tls_ssl_reason(const SSL *ssl, struct reason *ret)
{
    const struct conn *c = SSL_get_ex_data(ssl, conn_index);
    const char *expected = c ? c->expected : NULL;
    if (c && c->refused) {
        *ret = *c->refused;
        return;
    }
    long verify = SSL_get_verify_result(ssl);
    const struct context *ctx = context_of(SSL_get_SSL_CTX(ssl));
    if (verify != X509_V_OK && ctx && !ctx->insecure_no_verify) {
        reason_set(ret, cert_code((int)verify), cert_clause((int)verify), 0, "%s%s%s%s",
                   expected ? "expected " : "", expected ? expected : "", expected ? ": " : "",
                   cause_text((int)verify));
        return;
    }
    unsigned long e =
        ERR_peek_error(); /* the first is the cause, later ones are its consequences */
    if (e)
        reason_from_queue(e, expected, ret);
    else
        reason_set(ret, "tls-closed", "RFC 8446 6.1", 0,
                   "%s%s%sthe connection ended during the handshake", expected ? "expected " : "",
                   expected ? expected : "", expected ? ": " : "");
}
