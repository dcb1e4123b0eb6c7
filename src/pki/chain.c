/* Chains for SIP identities: RFC 8224 6.2 step 2, RFC 8226 5 to 9, RFC 5280 6, RFC 7515 4.1.5. Made
 * on any one thread; read by all. */
#include "pki/chain.h"
#include "base/limits.h"
#include "base/mem.h"
#include "pki/key_cost.h"
#include "pki/names.h"
#include "pki/pki_priv.h"
#include "pki/signing.h"
#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>

#define ARENA_FIRST 2048u
#define ARENA_CAP (1u << 20)

struct pki_anchors {
    unsigned refs; /* atomic */
    X509_STORE *store;
    struct context policy; /* of revocation: as a TLS context's, without the rest of it */
};

struct pki_chain {
    unsigned refs; /* atomic */
    struct arena *arena;
    STACK_OF(X509) * certs; /* leaf first */
    bool is_smime;          /* of a signed body */
    struct pki_chain_facts facts;
};

static int no_memory(struct reason *why)
{
    ERR_clear_error();
    reason_set(why, "no-memory", NULL, 500, NULL);
    return ERR_NOMEM;
}

static int refuse(struct reason *why, int err, const char *code, const char *clause, int nth,
                  const char *what)
{
    ERR_clear_error();
    reason_set(why, code, clause, 437, "certificate %d: %s", nth, what);
    return err;
}

/* --- anchors --- */

int pki_anchors_new(const char *ca_file, const char *crl_file, struct pki_anchors **ret,
                    struct reason *why)
{
    struct pki_anchors *a = mem_zalloc(sizeof(*a));
    int64_t until = INT64_MAX;
    int err = 0;

    *ret = NULL;
    if (a && revoke_init() == 0 && !fault_hit())
        a->store = X509_STORE_new();
    if (!a || !a->store) {
        mem_free(a);
        return no_memory(why);
    }
    a->refs = 1;
    if (ca_file)
        err = load_anchors(a->store, ca_file, NULL, &until, why);
    if (err == 0 && crl_file)
        err = load_crls(a->store, crl_file, &until, why);
    a->policy.has_crl = crl_file != NULL;
    a->policy.revocation = crl_file ? PKI_REVOCATION_HARD : PKI_REVOCATION_OFF;
    if (err != 0) {
        pki_anchors_unref(a);
        return err;
    }
    *ret = a;
    return 0;
}

void pki_anchors_set_revocation(struct pki_anchors *a, enum pki_revocation revocation,
                                struct pki_statuses *statuses)
{
    a->policy.revocation = revocation;
    pki_statuses_unref(a->policy.statuses);
    a->policy.statuses = statuses ? pki_statuses_ref(statuses) : NULL;
}

bool pki_anchors_look(const struct pki_anchors *a)
{
    return a->policy.revocation != PKI_REVOCATION_OFF;
}

struct pki_anchors *pki_anchors_ref(struct pki_anchors *a)
{
    __atomic_add_fetch(&a->refs, 1, __ATOMIC_RELAXED);
    return a;
}

void pki_anchors_unref(struct pki_anchors *a)
{
    if (!a || __atomic_sub_fetch(&a->refs, 1, __ATOMIC_ACQ_REL) != 0)
        return;
    X509_STORE_free(a->store);
    pki_statuses_unref(a->policy.statuses);
    mem_free(a);
}

/* --- reading --- */

static int add_cert(STACK_OF(X509) * certs, X509 *c, struct reason *why)
{
    if ((size_t)sk_X509_num(certs) == PKI_CHAIN_CERTS) {
        X509_free(c);
        return refuse(why, ERR_LIMIT, "identity-cert-long", "RFC 7515 4.1.5",
                      (int)PKI_CHAIN_CERTS + 1, "more than a chain may have");
    }
    if (fault_hit() || !sk_X509_push(certs, c)) {
        X509_free(c);
        return no_memory(why);
    }
    return 0;
}

static int no_passphrase(char *buf, int size, int is_write, void *arg)
{
    (void)buf, (void)size, (void)is_write, (void)arg;
    return -1;
}

static int read_pem(struct str bytes, STACK_OF(X509) * certs, struct reason *why)
{
    BIO *bio = fault_hit() ? NULL : BIO_new_mem_buf(bytes.p, (int)bytes.n);
    int err = bio ? 0 : no_memory(why);
    X509 *c;

    while (err == 0 && (c = PEM_read_bio_X509(bio, NULL, no_passphrase, NULL)) != NULL)
        err = add_cert(certs, c, why);
    BIO_free(bio);
    if (err == 0) {
        unsigned long e = ERR_peek_last_error();

        if (ERR_GET_LIB(e) != ERR_LIB_PEM || ERR_GET_REASON(e) != PEM_R_NO_START_LINE)
            err = refuse(why, ERR_SYNTAX, "identity-cert-syntax", "RFC 7468",
                         sk_X509_num(certs) + 1, "cannot be decoded");
    }
    ERR_clear_error();
    return err;
}

static int read_der(struct str bytes, STACK_OF(X509) * certs, struct reason *why)
{
    const unsigned char *p = (const unsigned char *)bytes.p, *end = p + bytes.n;
    X509 *c = d2i_X509(NULL, &p, (long)bytes.n);

    if (c && p == end)
        return add_cert(certs, c, why);
    X509_free(c);
    return refuse(why, ERR_SYNTAX, "identity-cert-syntax", "RFC 5280 4.1", 1, "cannot be decoded");
}

static int read_certs(struct str bytes, STACK_OF(X509) * certs, struct reason *why)
{
    int err;

    if (bytes.n > LIMIT_CERT_CHAIN_BYTES)
        return refuse(why, ERR_LIMIT, "identity-cert-long", "RFC 8224 7.2", 1, "too many bytes");
    if (bytes.n && bytes.p[0] == 0x30)
        err = read_der(bytes, certs, why);
    else
        err = read_pem(bytes, certs, why);
    if (err == 0 && sk_X509_num(certs) == 0)
        return refuse(why, ERR_SYNTAX, "identity-cert-syntax", "RFC 7468", 1, "there is none");
    return err;
}

/* --- what it says --- */

static int find_validity(struct pki_chain *c, struct reason *why)
{
    c->facts.not_after_s = UINT64_MAX;
    for (int i = 0; i < sk_X509_num(c->certs); i++) {
        const X509 *cert = sk_X509_value(c->certs, i);
        int64_t from, until;

        if (asn1_time_s(X509_get0_notBefore(cert), &from) != 0 ||
            asn1_time_s(X509_get0_notAfter(cert), &until) != 0 || until < 0)
            return refuse(why, ERR_SYNTAX, "identity-cert-syntax", "RFC 5280 4.1.2.5", i + 1,
                          "no valid dates");
        if (from > 0 && (uint64_t)from > c->facts.not_before_s)
            c->facts.not_before_s = (uint64_t)from;
        if ((uint64_t)until < c->facts.not_after_s)
            c->facts.not_after_s = (uint64_t)until;
    }
    return 0;
}

/* A name of a user, as it is written: "sip:alice@a.example", "alice@a.example". */
static bool is_user_name(const GENERAL_NAME *g, bool is_email, struct str *ret)
{
    const ASN1_STRING *s = is_email ? g->d.rfc822Name : g->d.uniformResourceIdentifier;

    if (g->type != (is_email ? GEN_EMAIL : GEN_URI))
        return false;
    *ret = str_make((const char *)ASN1_STRING_get0_data(s), (size_t)ASN1_STRING_length(s));
    return (is_email || str_starts_nocase(*ret, STR("sip:")) ||
            str_starts_nocase(*ret, STR("sips:"))) &&
           str_find_char(*ret, '@') < ret->n && str_find_char(*ret, '\0') == ret->n;
}

/* The host that identity/cred_chain.c reads in such a name: whatever is written behind it, and a root's dot, is not part of it. */
static struct str host_of_user(struct str user)
{
    size_t at = str_find_char(user, '@') + 1, n = 0;

    while (at + n < user.n && !strchr(":;?", user.p[at + n]))
        n++;
    if (n > 1 && user.p[at + n - 1] == '.')
        n--;
    return str_make(user.p + at, n);
}

/* The users' names; the hosts of theirs are names, too, that an issuer's constraints bind. */
static int find_users(struct pki_chain *c, X509 *leaf, bool is_email, const struct str **ret,
                      size_t *ret_n)
{
    GENERAL_NAMES *sans = X509_get_ext_d2i(leaf, NID_subject_alt_name, NULL, NULL);
    struct str found[PKI_NAMES_MAX], name, *v;
    size_t n = 0;
    int err = 0;

    for (int i = 0; sans && i < sk_GENERAL_NAME_num(sans) && n < ARRAY_LEN(found) && err == 0;
         i++) {
        if (!is_user_name(sk_GENERAL_NAME_value(sans, i), is_email, &name))
            continue;
        found[n] = arena_str(c->arena, name);
        err = found[n++].p ? 0 : ERR_NOMEM;
    }
    GENERAL_NAMES_free(sans);
    ERR_clear_error();
    v = err == 0 ? arena_alloc(c->arena, n * sizeof(*v) + 1) : NULL;
    if (!v)
        return ERR_NOMEM;
    memcpy(v, found, n * sizeof(*v));
    *ret = v;
    *ret_n = n;
    return 0;
}

/* A CN stands for a domain in old certificates of TLS servers, where one may take it so (RFC 5922 7.1
 * step 2), and in those that RFC 4474 signs with, whose keys are RSA (13.4 has the rules of RFC 2818
 * 3.1). Whoever signs PASSporTs says who it is in the subjectAltName (RFC 8226 4) or by its list of
 * numbers, beside which a CN is a name for people ("SHAKEN 1234"); with S/MIME it is anybody's
 * name (RFC 8550 3). */
static bool is_named_by_cn(const struct pki_chain *c)
{
    return !c->is_smime && !c->facts.tn[0] && EVP_PKEY_is_a(c->facts.key, "RSA");
}

static int find_domains(struct pki_chain *c, X509 *leaf)
{
    struct str names[PKI_NAMES_MAX], *v;
    int n = is_named_by_cn(c) ? pki_cert_names(leaf, c->arena, names)
                              : pki_cert_alt_names(leaf, c->arena, names);

    v = n >= 0 ? arena_alloc(c->arena, (size_t)n * sizeof(*v) + 1) : NULL;
    if (!v)
        return ERR_NOMEM;
    memcpy(v, names, (size_t)n * sizeof(*v));
    c->facts.domains = v;
    c->facts.n_domains = (size_t)n;
    return 0;
}

static int find_numbers(struct pki_chain *c, struct reason *why)
{
    size_t n = (size_t)sk_X509_num(c->certs);
    const struct pki_tnauth **tn = arena_zalloc(c->arena, n * sizeof(struct pki_tnauth *));

    if (!tn)
        return no_memory(why);
    for (size_t i = 0; i < n; i++) {
        struct pki_tnauth *t = arena_alloc(c->arena, sizeof(*t));
        int err = t ? pki_tnauth_of(sk_X509_value(c->certs, (int)i), c->arena, t, why) : ERR_NOMEM;

        if (err == 0)
            tn[i] = t;
        else if (err == ERR_NOMEM)
            return no_memory(why);
        else if (err != ERR_NOTFOUND)
            return err;
    }
    c->facts.tn = tn;
    c->facts.n_tn = n;
    return 0;
}

static int find_rules(struct pki_chain *c, const X509 *leaf, struct reason *why)
{
    struct pki_claim_rules *r = arena_alloc(c->arena, sizeof(*r));
    int err = r ? pki_claim_rules_of(leaf, c->arena, r, why) : ERR_NOMEM;

    if (err == 0)
        c->facts.rules = r;
    if (err == ERR_NOMEM)
        return no_memory(why);
    return err == ERR_NOTFOUND ? 0 : err;
}

static int find_facts(struct pki_chain *c, struct reason *why)
{
    X509 *leaf = sk_X509_value(c->certs, 0);
    int err;

    c->facts.key = X509_get0_pubkey(leaf);
    if (!c->facts.key)
        return refuse(why, ERR_UNSUPPORTED, "identity-key-unsupported", "RFC 8225 4.2", 1,
                      "a key of a kind that we have not got");
    if ((err = find_validity(c, why)) != 0)
        return err;
    err = find_numbers(c, why);
    if (err == 0 &&
        (find_domains(c, leaf) != 0 ||
         find_users(c, leaf, false, &c->facts.uris, &c->facts.n_uris) != 0 ||
         (c->is_smime && find_users(c, leaf, true, &c->facts.emails, &c->facts.n_emails) != 0)))
        return no_memory(why);
    if (err == 0)
        err = find_rules(c, leaf, why);
    if (err != 0 && why && why->sip_status == 0)
        why->sip_status = 437;
    return err;
}

/* --- is it to be believed --- */

/* Who signs for an identity needs no use of its own (RFC 8226 asks for none); what a certificate
 * was issued for must not exclude it. */
static int check_leaf(const struct pki_chain *c, struct reason *why)
{
    X509 *leaf = sk_X509_value(c->certs, 0);

    /* RFC 8550 4.4.2, 4.4.4 for those of S/MIME */
    if (c->is_smime && (X509_get_key_usage(leaf) & (KU_DIGITAL_SIGNATURE | KU_NON_REPUDIATION)) &&
        (X509_get_extended_key_usage(leaf) & XKU_SMIME))
        return 0;
    if (!cert_can_sign(leaf))
        return refuse(why, ERR_REFUSED, "identity-cert-use", "RFC 5280 4.2.1.3", 1,
                      "its key usage is not for signatures");
    if (!cert_use_is_allowed(leaf, true))
        return refuse(why, ERR_REFUSED, "identity-cert-use", "RFC 5924 5", 1,
                      "it is for other uses alone");
    return 0;
}

static int check_issuers(struct pki_chain *c, struct reason *why)
{
    struct str names[3 * PKI_NAMES_MAX];
    size_t n = c->facts.n_domains;

    memcpy(names, c->facts.domains, n * sizeof(names[0]));
    for (size_t i = 0; i < c->facts.n_uris + c->facts.n_emails; i++)
        names[n++] = host_of_user(i < c->facts.n_uris ? c->facts.uris[i]
                                                      : c->facts.emails[i - c->facts.n_uris]);
    for (int i = 1; i < sk_X509_num(c->certs); i++)
        if (!cert_names_are_within(sk_X509_value(c->certs, i), names, n))
            return refuse(why, ERR_REFUSED, "identity-cert-constraints", "RFC 5280 4.2.1.10", i + 1,
                          "it may not issue for these names");
    return 0;
}

static int refuse_x509(int error, int depth, struct reason *why)
{
    const char *code = "identity-cert-invalid";

    switch (error) {
    case X509_V_ERR_OUT_OF_MEM:
        return no_memory(why);
    case X509_V_ERR_CERT_HAS_EXPIRED:
    case X509_V_ERR_CERT_NOT_YET_VALID:
        code = "identity-cert-expired";
        break;
    case X509_V_ERR_CERT_REVOKED:
        code = "identity-cert-revoked";
        break;
    case X509_V_ERR_UNABLE_TO_GET_CRL:
    case X509_V_ERR_UNABLE_TO_GET_CRL_ISSUER:
    case X509_V_ERR_CRL_HAS_EXPIRED:
    case X509_V_ERR_CRL_NOT_YET_VALID:
    case X509_V_ERR_CRL_SIGNATURE_FAILURE:
        code = "identity-cert-no-crl";
        break;
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
    case X509_V_ERR_CERT_UNTRUSTED:
        code = "identity-cert-untrusted";
        break;
    default:
        break;
    }
    return refuse(why, ERR_REFUSED, code, "RFC 5280 6", depth + 1,
                  X509_verify_cert_error_string(error));
}

/* Before a signature is looked at. How small a key may be is for the security level to say: with
 * RFC 4474 also the configuration does. */
static int check_keys(const struct pki_chain *c, struct reason *why)
{
    for (int i = 0; i < sk_X509_num(c->certs); i++) {
        const EVP_PKEY *key = X509_get0_pubkey(sk_X509_value(c->certs, i));

        if (key && !pki_key_is_fair(key, 0))
            return refuse(why, ERR_REFUSED, "identity-cert-key", "RFC 5280 4.1.2.7", i + 1,
                          "a key of a kind or size that is not taken");
    }
    return 0;
}

/* As revoke.c says it of TLS. */
static int refuse_revoked(const struct standing *s, int depth, const struct reason *inner,
                          struct reason *why)
{
    const char *code = "identity-cert-status-unknown";

    if (strcmp(inner->code, "tls-cert-revoked") == 0)
        code = "identity-cert-revoked";
    else if (strcmp(inner->code, "tls-crl-expired") == 0 ||
             strcmp(inner->code, "tls-cert-no-crl") == 0)
        code = "identity-cert-no-crl";
    return refuse(why, s->is_asked ? ERR_AGAIN : ERR_REFUSED, code, inner->clause, depth + 1,
                  inner->detail);
}

/* Is a certificate of a chain that holds revoked? RFC 5280 6.3, RFC 6960. */
static int judge_revocation(struct pki_chain *c, const struct pki_anchors *anchors,
                            X509_STORE_CTX *ctx, const struct chain_facts *facts,
                            struct reason *why)
{
    struct standing s = {.standing = CERT_UNCHECKED};
    struct reason inner = {.code = NULL}, *doubt;
    int depth = 0, err;

    if (anchors->policy.has_crl && anchors->policy.revocation != PKI_REVOCATION_OFF &&
        revoke_anchor_is_listed(ctx))
        return refuse_x509(X509_V_ERR_CERT_REVOKED, X509_STORE_CTX_get_error_depth(ctx), why);
    err = revoke_judge(&anchors->policy, X509_STORE_CTX_get0_chain(ctx), facts, NULL, &s, &depth,
                       &inner);
    if (err != 0)
        return refuse_revoked(&s, depth, &inner, why);
    c->facts.standing = s.standing;
    c->facts.is_asked = s.is_asked;
    if (s.standing != CERT_UNKNOWN)
        return 0;
    doubt = arena_alloc(c->arena, sizeof(*doubt));
    if (!doubt)
        return no_memory(why);
    *doubt = s.doubt;
    c->facts.doubt = doubt;
    return 0;
}

/* The chain becomes the one that was found to hold, up to its anchor. */
static int validate(struct pki_chain *c, const struct pki_anchors *anchors, uint64_t now_s,
                    struct reason *why)
{
    X509_STORE_CTX *ctx = fault_hit() ? NULL : X509_STORE_CTX_new();
    X509_VERIFY_PARAM *param;
    struct chain_facts facts;
    STACK_OF(X509) * built;
    int err = check_keys(c, why);

    if (err != 0) {
        X509_STORE_CTX_free(ctx);
        return err;
    }
    if (!ctx ||
        X509_STORE_CTX_init(ctx, anchors->store, sk_X509_value(c->certs, 0), c->certs) != 1) {
        X509_STORE_CTX_free(ctx);
        return no_memory(why);
    }
    param = X509_STORE_CTX_get0_param(ctx);
    X509_VERIFY_PARAM_set_time(param, (time_t)now_s);
    X509_VERIFY_PARAM_set_depth(param, PKI_CHAIN_CERTS);
    X509_VERIFY_PARAM_set_auth_level(param, 2);
    /* What we are told to trust need not be self-signed; the clause on critical extensions that we
     * do not know stays in force: RFC 8226 8 and 9 make none of theirs critical. */
    (void)X509_VERIFY_PARAM_set_flags(param, X509_V_FLAG_PARTIAL_CHAIN);
    if (revoke_watch(ctx, &facts) != 0)
        err = no_memory(why);
    else if (X509_verify_cert(ctx) != 1)
        err = refuse_x509(X509_STORE_CTX_get_error(ctx), X509_STORE_CTX_get_error_depth(ctx), why);
    else
        err = judge_revocation(c, anchors, ctx, &facts, why);
    built = err == 0 && !fault_hit() ? X509_STORE_CTX_get1_chain(ctx) : NULL;
    X509_STORE_CTX_free(ctx);
    ERR_clear_error();
    if (err == 0 && !built)
        return no_memory(why);
    if (err == 0) {
        sk_X509_pop_free(c->certs, X509_free);
        c->certs = built;
    }
    return err;
}

/* Of our own: the file's order, as for TLS. */
static int check_order(const struct pki_chain *c, struct reason *why)
{
    for (int i = 1; i < sk_X509_num(c->certs); i++) {
        bool issued = X509_check_issued(sk_X509_value(c->certs, i),
                                        sk_X509_value(c->certs, i - 1)) == X509_V_OK;

        ERR_clear_error();
        if (!issued)
            return refuse(why, ERR_REFUSED, "identity-cert-order", "RFC 7515 4.1.5", i + 1,
                          "did not issue the one before it");
    }
    return 0;
}

/* Where its certificates come from: bytes, or a stack of others'. */
struct source {
    struct str bytes;
    X509 *leaf;
    const STACK_OF(X509) * certs;
};

static int take_certs(const struct source *from, STACK_OF(X509) * certs, struct reason *why)
{
    int err;

    if (!from->leaf)
        return read_certs(from->bytes, certs, why);
    if (!X509_up_ref(from->leaf))
        return no_memory(why);
    err = add_cert(certs, from->leaf, why);
    for (int i = 0; err == 0 && i < sk_X509_num(from->certs); i++) {
        X509 *c = sk_X509_value(from->certs, i);

        if (c == from->leaf)
            continue;
        err = X509_up_ref(c) ? add_cert(certs, c, why) : no_memory(why);
    }
    return err;
}

static int chain_make(const struct source *from, const struct pki_anchors *anchors, uint64_t now_s,
                      struct pki_chain **ret, struct reason *why)
{
    struct pki_chain *c = mem_zalloc(sizeof(*c));
    int err = 0;

    *ret = NULL;
    if (!c)
        return no_memory(why);
    c->refs = 1;
    c->is_smime = from->leaf != NULL;
    c->arena = arena_new(ARENA_FIRST, ARENA_CAP);
    c->certs = fault_hit() ? NULL : sk_X509_new_null();
    if (!c->arena || !c->certs)
        err = no_memory(why);
    if (err == 0)
        err = take_certs(from, c->certs, why);
    if (err == 0)
        err = anchors ? validate(c, anchors, now_s, why) : check_order(c, why);
    if (err == 0)
        err = check_leaf(c, why);
    if (err == 0)
        err = find_facts(c, why);
    if (err == 0)
        err = check_issuers(c, why);
    if (err != 0) {
        pki_chain_unref(c);
        return err;
    }
    *ret = c;
    return 0;
}

int pki_chain_new(struct str bytes, const struct pki_anchors *anchors, uint64_t now_s,
                  struct pki_chain **ret, struct reason *why)
{
    return chain_make(&(struct source){.bytes = bytes}, anchors, now_s, ret, why);
}

int chain_of_signer(X509 *leaf, const STACK_OF(X509) * certs, const struct pki_anchors *anchors,
                    uint64_t now_s, struct pki_chain **ret, struct reason *why)
{
    return chain_make(&(struct source){.leaf = leaf, .certs = certs}, anchors, now_s, ret, why);
}

int pki_chain_load(const char *file, struct pki_chain **ret, struct reason *why)
{
    FILE *f = fopen(file, "re");
    char *p = f ? mem_alloc(LIMIT_CERT_CHAIN_BYTES + 1) : NULL;
    struct reason inner = {.code = NULL};
    size_t n = 0;
    int err = 0;

    *ret = NULL;
    if (!f) {
        reason_set(why, "identity-cert-file", NULL, 0, "%s: %s", file, strerror(errno));
        return ERR_IO;
    }
    if (p) {
        n = fread(p, 1, LIMIT_CERT_CHAIN_BYTES + 1, f);
        if (ferror(f)) {
            reason_set(why, "identity-cert-file", NULL, 0, "%s: %s", file, strerror(errno));
            err = ERR_IO;
        }
    } else {
        err = no_memory(why);
    }
    fclose(f);
    if (err == 0 && (err = pki_chain_new(str_make(p, n), NULL, 0, ret, &inner)) != 0)
        reason_set(why, inner.code, inner.clause, 0, "%s: %s", file, inner.detail);
    mem_free(p);
    return err;
}

int pki_chain_pem(const struct pki_chain *c, struct arena *a, struct str *ret)
{
    BIO *b = BIO_new(BIO_s_mem());
    bool ok = b != NULL;
    char *p = NULL;

    for (int i = 0; ok && i < sk_X509_num(c->certs); i++)
        ok = PEM_write_bio_X509(b, sk_X509_value(c->certs, i)) == 1;
    long n = ok ? BIO_get_mem_data(b, &p) : 0;
    *ret = n > 0 ? arena_str(a, str_make(p, (size_t)n)) : STR_NULL;
    BIO_free(b);
    ERR_clear_error();
    return ret->p ? 0 : ERR_NOMEM;
}

int pki_chain_der(const struct pki_chain *c, struct arena *a, struct str *ret)
{
    unsigned char *der = NULL;
    int n = fault_hit() ? -1 : i2d_X509(sk_X509_value(c->certs, 0), &der);

    *ret = n > 0 ? arena_str(a, str_make((const char *)der, (size_t)n)) : STR_NULL;
    OPENSSL_free(der);
    ERR_clear_error();
    return ret->p ? 0 : ERR_NOMEM;
}

int pki_chain_key_load(const struct pki_chain *c, const char *file, EVP_PKEY **ret,
                       struct reason *why)
{
    EVP_PKEY *key = NULL;
    int err = pki_private_key_load(file, &key, why);

    *ret = NULL;
    if (err != 0)
        return err;
    if (X509_check_private_key(sk_X509_value(c->certs, 0), key) != 1) {
        ERR_clear_error();
        EVP_PKEY_free(key);
        reason_set(why, "key-file", NULL, 0, "%s: not the key of the certificate", file);
        return ERR_REFUSED;
    }
    *ret = key;
    return 0;
}

struct pki_chain *pki_chain_ref(struct pki_chain *c)
{
    __atomic_add_fetch(&c->refs, 1, __ATOMIC_RELAXED);
    return c;
}

void pki_chain_unref(struct pki_chain *c)
{
    if (!c || __atomic_sub_fetch(&c->refs, 1, __ATOMIC_ACQ_REL) != 0)
        return;
    sk_X509_pop_free(c->certs, X509_free);
    arena_free(c->arena);
    mem_free(c);
}

const struct pki_chain_facts *pki_chain_facts(const struct pki_chain *c)
{
    return &c->facts;
}
