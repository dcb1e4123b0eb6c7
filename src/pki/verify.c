/* Judging a peer's certificate, and remembering why it was refused. RFC 5280 6 (by
 * OpenSSL), 4.2.1.3, 4.2.1.10, 4.2.1.12; RFC 5922 7.3, 7.4; RFC 5924 5. Runs inside the handshake,
 * on the thread that owns the connection. */
#include "base/err.h"
#include "base/mem.h"
#include "pki/names.h"
#include "pki/pki_priv.h"
#include "pki/tls.h"
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <pthread.h>

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
    mem_free(c);
}

static void ex_data_init_once(void)
{
    context_index = SSL_CTX_get_ex_new_index(0, NULL, NULL, NULL, context_free);
    conn_index = SSL_get_ex_new_index(0, NULL, NULL, NULL, conn_free);
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
static bool is_within_constraints(X509 *ca, const struct str *names, size_t n)
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

/* Everything about the chain that X509_verify_cert leaves to the application. Returns an X509_V_
 * code. */
static int check_chain(X509_STORE_CTX *store, const struct str *names, size_t n, bool from_client)
{
    const STACK_OF(X509) *chain = X509_STORE_CTX_get0_chain(store);
    int len = sk_X509_num(chain);
    for (int i = 0; i < len; i++) {
        X509 *c = sk_X509_value(chain, i);
        X509_STORE_CTX_set_error_depth(store, i);
        /* The anchor's own restrictions are the operator's business (RFC 5280 6.2), unless it is
         * the peer's certificate. */
        if ((i == 0 || i < len - 1) && !cert_use_is_allowed(c, from_client))
            return X509_V_ERR_INVALID_PURPOSE;
        if (i == 0 && !cert_can_sign(c))
            return X509_V_ERR_INVALID_PURPOSE;
        if (i > 0 && !is_within_constraints(c, names, n))
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
static void remember(SSL *ssl, X509_STORE_CTX *store, int error)
{
    struct conn *c = conn_get(ssl);
    if (c && !c->refused)
        c->refused = mem_zalloc(sizeof(*c->refused));
    if (!c || !c->refused)
        return; /* pki_tls_ssl_reason then says it in general words */
    char list[72];
    struct sbuf b = sbuf_make(list, sizeof(list));
    X509 *cert = X509_STORE_CTX_get0_cert(store);
    if (cert)
        pki_cert_describe(cert, &b);
    int depth = X509_STORE_CTX_get_error_depth(store);
    const char *expected = c->expected;
    reason_set(c->refused, cert_code(error), cert_clause(error), 0, "%s%s%spresented %.*s: %s%s",
               expected ? "expected " : "", expected ? expected : "", expected ? ", " : "",
               STR_FMT(sbuf_get(&b)), cause_text(error), depth > 0 ? " (an issuer)" : "");
}

/* Is the peer what it has to be? Returns an X509_V_ code. */
static int judge(X509_STORE_CTX *store, const SSL *ssl, const struct context *c)
{
    if (X509_verify_cert(store) != 1) {
        int error = X509_STORE_CTX_get_error(store);
        return error == X509_V_OK ? X509_V_ERR_UNSPECIFIED : error;
    }
    struct arena *a = arena_new(NAMES_ARENA, NAMES_ARENA);
    struct str names[PKI_NAMES_MAX];
    int n = a ? pki_cert_names(X509_STORE_CTX_get0_cert(store), a, names) : ERR_NOMEM;
    int error = n < 0 ? X509_V_ERR_OUT_OF_MEM : check_chain(store, names, (size_t)n, c->is_server);
    if (error == X509_V_OK && !c->is_server &&
        pki_names_check(names, (size_t)n, str_z(expected_of(ssl)), NULL) != 0)
        error = X509_V_ERR_HOSTNAME_MISMATCH;
    arena_free(a);
    return error;
}

int verify_peer(X509_STORE_CTX *store, void *arg)
{
    (void)arg;
    SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
    const struct context *c = context_of(SSL_get_SSL_CTX(ssl));
    int error = judge(store, ssl, c);
    /* Without verification the handshake goes on, but what SSL_get_verify_result says afterwards
     * stays true. */
    X509_STORE_CTX_set_error(store, error);
    if (error == X509_V_OK || c->insecure_no_verify)
        return 1;
    remember(ssl, store, error);
    return 0;
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
