/* Is a certificate of a chain that holds revoked? RFC 5280 6.3 (CRLs, by OpenSSL), RFC 6960 (OCSP:
 * what was stapled, what is remembered), RFC 6066 8, RFC 7633 4.3.1 (must-staple). What is not
 * known is noted, asked in the background where somebody is named to be asked, and accepted or not
 * as the context's `revocation` says; what is known to be revoked never is. Runs inside the
 * handshake, never waits. */
#include "base/err.h"
#include "pki/pki_priv.h"
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <time.h>

static int facts_index = -1;

int revoke_init(void)
{
    if (facts_index < 0)
        facts_index = X509_STORE_CTX_get_ex_new_index(0, NULL, NULL, NULL, NULL);
    return facts_index >= 0 ? 0 : ERR_NOMEM;
}

/* --- CRLs --- */

/* Errors by which a CRL only fails to say anything. That a certificate is listed in one,
 * X509_V_ERR_CERT_REVOKED, is not among them, even if the CRL has expired: revoked certificates do
 * not come back. It must be the issuer's own CRL, though. */
static bool is_about_crl(int error)
{
    switch (error) {
    case X509_V_ERR_UNABLE_TO_GET_CRL:
    case X509_V_ERR_UNABLE_TO_GET_CRL_ISSUER:
    case X509_V_ERR_UNABLE_TO_DECRYPT_CRL_SIGNATURE:
    case X509_V_ERR_CRL_SIGNATURE_FAILURE:
    case X509_V_ERR_CRL_NOT_YET_VALID:
    case X509_V_ERR_CRL_HAS_EXPIRED:
    case X509_V_ERR_ERROR_IN_CRL_LAST_UPDATE_FIELD:
    case X509_V_ERR_ERROR_IN_CRL_NEXT_UPDATE_FIELD:
    case X509_V_ERR_KEYUSAGE_NO_CRL_SIGN:
    case X509_V_ERR_UNHANDLED_CRITICAL_CRL_EXTENSION:
    case X509_V_ERR_DIFFERENT_CRL_SCOPE:
    case X509_V_ERR_CRL_PATH_VALIDATION_ERROR:
        return true;
    default:
        return false;
    }
}

/* Errors by which it is not its issuer's at all: what such a list says, anybody may have written. Files of
 * CRLs are fetched in clear (RFC 5280 8), and nothing else looks at them before. */
static bool is_not_issuers(int error)
{
    switch (error) {
    case X509_V_ERR_UNABLE_TO_GET_CRL_ISSUER:
    case X509_V_ERR_UNABLE_TO_DECRYPT_CRL_SIGNATURE:
    case X509_V_ERR_CRL_SIGNATURE_FAILURE:
        return true;
    default:
        return false;
    }
}

/* OpenSSL names the CRL that an error is about, but not after it has said that it is out of date: then none. */
static void note_forged(struct chain_facts *f, int error, const X509_CRL *crl)
{
    if (is_not_issuers(error)) {
        f->has_forged = true;
        f->forged = crl;
    } else if (crl) { /* its dates, or its scope */
        f->has_forged = f->has_forged && f->forged == crl;
        f->forged = NULL;
    }
}

static int on_error(int ok, X509_STORE_CTX *store)
{
    struct chain_facts *f = X509_STORE_CTX_get_ex_data(store, facts_index);
    int error = X509_STORE_CTX_get_error(store), depth = X509_STORE_CTX_get_error_depth(store);
    const X509_CRL *crl = X509_STORE_CTX_get0_current_crl(store);

    if (!ok && f && error == X509_V_ERR_CERT_REVOKED && f->has_forged && f->forged == crl)
        return 1;
    if (ok || !f || !is_about_crl(error))
        return ok;
    note_forged(f, error, crl);
    /* The first says most: without a CRL in force there are others behind it. */
    if (depth >= 0 && depth < CHAIN_DEPTH_MAX && f->crl_error[depth] == X509_V_OK)
        f->crl_error[depth] = error;
    return 1;
}

int revoke_watch(X509_STORE_CTX *store, struct chain_facts *f)
{
    *f = (struct chain_facts){.crl_error = {0}};
    X509_STORE_CTX_set_verify_cb(store, on_error);
    return X509_STORE_CTX_set_ex_data(store, facts_index, f) == 1 ? 0 : ERR_NOMEM;
}

static bool is_listed(X509_STORE_CTX *store, X509 *cert, X509_CRL *crl)
{
    STACK_OF(X509) *issuers = X509_STORE_CTX_get1_certs(store, X509_CRL_get_issuer(crl));
    X509_REVOKED *entry;
    bool found = false;
    int i;

    for (i = 0; !found && i < sk_X509_num(issuers) && X509_CRL_get0_by_cert(crl, &entry, cert) == 1;
         i++)
        found = X509_CRL_verify(crl, X509_get0_pubkey(sk_X509_value(issuers, i))) == 1;
    sk_X509_pop_free(issuers, X509_free);
    return found;
}

/* A chain may end below a root, with a cross-certificate among the anchors. OpenSSL finds no CRL
 * for it, since the CRL's issuer is not in the chain; but if that issuer is an anchor, too, it can
 * take its word back. */
bool revoke_anchor_is_listed(X509_STORE_CTX *store)
{
    const STACK_OF(X509) *chain = X509_STORE_CTX_get0_chain(store);
    X509 *top = sk_X509_value(chain, sk_X509_num(chain) - 1);
    STACK_OF(X509_CRL) * crls;
    bool found = false;
    int i;

    if (!top || X509_check_issued(top, top) == X509_V_OK)
        return false;
    crls = X509_STORE_CTX_get1_crls(store, X509_get_issuer_name(top));
    for (i = 0; !found && i < sk_X509_CRL_num(crls); i++)
        found = is_listed(store, top, sk_X509_CRL_value(crls, i));
    sk_X509_CRL_pop_free(crls, X509_CRL_free);
    if (found)
        X509_STORE_CTX_set_error_depth(store, sk_X509_num(chain) - 1);
    return found;
}

/* --- one certificate --- */

static int refuse_revoked(const struct pki_ocsp_answer *a, struct reason *why)
{
    char when[32] = "";

    if (a->revoked_at)
        time_text(a->revoked_at, when);
    reason_set(why, "tls-cert-revoked", "RFC 6960 2.2", 0, "revoked%s%s%s%s",
               a->revoked_at ? " on " : "", when, a->cause ? ": " : "", a->cause ? a->cause : "");
    return ERR_REFUSED;
}

/* What was stapled, if anything. RFC 6066 8: an answer that is not satisfactory ends the handshake.
 * One that is merely out of date, or in which the responder says that it cannot answer, says
 * nothing. */
static int judge_staple(X509 *cert, X509 *issuer, const struct staple *s, int64_t now,
                        bool *ret_known, struct reason *ret_stale, struct reason *why)
{
    struct pki_ocsp_answer a;
    int err;

    if (s->p && s->n > 0) {
        err = pki_ocsp_check(s->p, s->n, cert, issuer, now, &a, why);
        if (err == 0 && a.status == PKI_STATUS_REVOKED)
            return refuse_revoked(&a, why);
        if (err != 0 && err != ERR_TIMEOUT && err != ERR_AGAIN) {
            why->code = "tls-staple-invalid";
            return ERR_REFUSED;
        }
        *ret_known = err == 0 && a.status == PKI_STATUS_GOOD;
        if (err != 0)
            *ret_stale = *why;
    }
    if (!*ret_known && s->is_possible && pki_must_staple(cert)) {
        reason_set(why, "tls-cert-must-staple", "RFC 7633 4.3.1", 0,
                   "it demands a stapled answer that says it is good, and none came");
        return ERR_REFUSED;
    }
    return 0;
}

static void doubt(const struct context *c, X509 *cert, int crl_error,
                  const struct pki_ocsp_answer *a, struct reason *why)
{
    char url[PKI_URL_MAX];

    if (crl_error == X509_V_ERR_CRL_HAS_EXPIRED)
        reason_set(why, "tls-crl-expired", "RFC 5280 6.3.3", 0, "its issuer's CRL has expired");
    else if (a->next_update)
        reason_set(why, "tls-cert-status-unknown", "RFC 6960 2.2", 0,
                   "its responder does not know it");
    else if (c->statuses && pki_ocsp_responder(cert, url) == 0)
        reason_set(why, "tls-cert-status-unknown", "RFC 6960 2", 0,
                   "its responder has not answered yet");
    else if (c->has_crl)
        reason_set(why, "tls-cert-no-crl", "RFC 5280 6.3.3", 0,
                   "no CRL in force of its issuer (%s)", X509_verify_cert_error_string(crl_error));
    else
        reason_set(why, "tls-cert-status-unknown", "RFC 5280 6.3", 0,
                   "nothing says whether it is revoked");
}

/* ret_known: somebody said that it is good. */
static int judge_one(const struct context *c, X509 *cert, X509 *issuer, int crl_error,
                     const struct staple *s, bool *ret_known, bool *ret_asked, struct reason *why)
{
    int64_t now = (int64_t)time(NULL);
    struct pki_ocsp_answer a = {.status = PKI_STATUS_UNKNOWN};
    struct pki_cert_id id;
    struct reason stale = {0};
    bool is_stapled = false;
    int err = s ? judge_staple(cert, issuer, s, now, &is_stapled, &stale, why) : 0;

    if (err != 0)
        return err;
    *ret_known = is_stapled || (c->has_crl && crl_error == X509_V_OK);
    if (c->statuses && pki_cert_id_make(cert, issuer, &id) == 0) {
        if (pki_statuses_find(c->statuses, &id, now, &a) == PKI_STATUS_REVOKED) {
            /* One on hold may be released (RFC 5280 5.3.1): who is refused is asked about again. */
            (void)pki_statuses_want(c->statuses, cert, issuer, now);
            return refuse_revoked(&a, why);
        }
        if (!*ret_known)
            *ret_asked = pki_statuses_want(c->statuses, cert, issuer, now);
        *ret_known = *ret_known || a.status == PKI_STATUS_GOOD;
    }
    if (*ret_known)
        return 0;
    doubt(c, cert, crl_error, &a, why);
    if (stale.code)
        reason_set(why, "tls-cert-status-unknown", stale.clause, 0,
                   "what was stapled says nothing: %s", stale.detail);
    return 0;
}

/* --- the chain --- */

int revoke_judge(const struct context *c, const STACK_OF(X509) * chain, const struct chain_facts *f,
                 const struct staple *staple, struct standing *ret, int *ret_depth,
                 struct reason *why)
{
    int i, len = sk_X509_num(chain);

    *ret = (struct standing){.standing = CERT_UNCHECKED};
    *ret_depth = 0;
    if (c->revocation == PKI_REVOCATION_OFF)
        return 0;
    ret->standing =
        CERT_GOOD; /* a certificate that is an anchor itself is the operator's to remove */
    for (i = 0; i + 1 < len && i < CHAIN_DEPTH_MAX; i++) {
        bool is_known = false, is_asked = false;
        int err = judge_one(c, sk_X509_value(chain, i), sk_X509_value(chain, i + 1),
                            f->crl_error[i], i == 0 ? staple : NULL, &is_known, &is_asked, why);

        *ret_depth = i;
        if (err != 0) {
            ret->standing = CERT_UNCHECKED;
            return err;
        }
        if (is_known)
            continue;
        if (ret->standing == CERT_GOOD)
            ret->doubt = *why;
        ret->standing = CERT_UNKNOWN;
        ret->is_asked = ret->is_asked || is_asked;
        if (c->revocation == PKI_REVOCATION_HARD)
            return ERR_REFUSED;
    }
    return 0;
}

bool revoke_is_seen(const struct context *c, const STACK_OF(X509) * chain, struct reason *why)
{
    int64_t now = (int64_t)time(NULL);
    struct pki_ocsp_answer a;
    struct pki_cert_id id;
    int i;

    if (!c->statuses || c->revocation == PKI_REVOCATION_OFF || c->insecure_no_verify)
        return false;
    for (i = 0; i + 1 < sk_X509_num(chain); i++) {
        X509 *cert = sk_X509_value(chain, i), *issuer = sk_X509_value(chain, i + 1);

        if (pki_cert_id_make(cert, issuer, &id) != 0)
            continue;
        if (pki_statuses_find(c->statuses, &id, now, &a) == PKI_STATUS_REVOKED)
            return refuse_revoked(&a, why) != 0;
        (void)pki_statuses_want(c->statuses, cert, issuer, now);
    }
    return false;
}
