/* See inspect.h. What is called a problem is what verify.c, names.c, load.c or tnauth.c would hold
 * against the certificate. Any thread. */
#include "pki/inspect.h"
#include "base/err.h"
#include "base/mem.h"
#include "pki/claims.h"
#include "pki/names.h"
#include "pki/ocsp.h"
#include "pki/pki_priv.h"
#include "pki/tnauth.h"
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/x509v3.h>

#define TEXT_MAX 1024u
#define DAY_S 86400
#define ARENA_MAX (256u << 10)
#define SECURITY_BITS 112 /* OpenSSL's security level 2, at which we speak TLS */

struct telling {
    X509 *cert;
    int64_t now_s;
    pki_say_fn *say;
    void *arg;
    struct arena *arena;
    unsigned n_problems;
    bool is_server, is_client, is_stir, is_ca, has_alt_names;
};

static void say(struct telling *t, const char *label, const char *fmt, ...) PRINTF_LIKE(3, 4);

static void say(struct telling *t, const char *label, const char *fmt, ...)
{
    char text[TEXT_MAX];
    va_list ap;
    int n;

    va_start(ap, fmt);
    n = vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    if (n < 0)
        return;
    if ((size_t)n >= sizeof text)
        n = (int)sizeof text - 1;
    for (int i = 0; i < n; i++)
        if (text[i] < ' ' || text[i] > '~')
            text[i] = '?';
    if (strcmp(label, "problem") == 0)
        t->n_problems++;
    t->say(t->arg, label, str_make(text, (size_t)n));
}

static void say_name(struct telling *t, const char *label, const X509_NAME *name)
{
    BIO *b = BIO_new(BIO_s_mem());
    char *p = NULL;
    long n;

    if (b && X509_NAME_print_ex(b, name, 0, XN_FLAG_RFC2253 & ~ASN1_STRFLGS_ESC_MSB) >= 0 &&
        (n = BIO_get_mem_data(b, &p)) > 0)
        say(t, label, "%.*s", (int)n, p);
    else
        say(t, label, "(empty)");
    BIO_free(b);
}

/* --- names --- */

static bool has_final_dot(struct str s)
{
    return s.n > 1 && s.p[s.n - 1] == '.';
}

/* Names that look as if they counted and do not. */
static void judge_name(struct telling *t, const GENERAL_NAME *g)
{
    const ASN1_IA5STRING *s = g->type == GEN_URI   ? g->d.uniformResourceIdentifier
                              : g->type == GEN_DNS ? g->d.dNSName
                                                   : NULL;
    struct str v =
        s ? str_make((const char *)ASN1_STRING_get0_data(s), (size_t)ASN1_STRING_length(s))
          : STR_NULL;
    char text[256];
    size_t n = v.n < sizeof text ? v.n : sizeof text - 1;

    if (!s)
        return;
    for (size_t i = 0; i < n; i++) /* printf would end at a NUL */
        text[i] = v.p[i] > ' ' && v.p[i] < 0x7f ? v.p[i] : '?';
    text[n] = '\0';
    if (str_find_char(v, '\0') < v.n)
        say(t, "problem", "a name has a NUL inside: \"%s\" is taken for nothing (RFC 5280 4.2.1.6)",
            text);
    else if (g->type == GEN_DNS && str_find_char(v, '*') < v.n)
        say(t, "problem", "wildcard %s is no SIP domain (RFC 5922 7.2)", text);
    else if (g->type == GEN_URI && str_starts_nocase(v, STR("sip:")) && str_find_char(v, '@') < v.n)
        say(t, "note", "%s is a user's, not a domain's (RFC 5922 7.1)", text);
    else if (g->type == GEN_URI && str_starts_nocase(v, STR("sips:")))
        say(t, "problem", "%s does not count: the scheme is sip, for sips as well (RFC 5922 7.1)",
            text);
    else if (g->type == GEN_DNS && has_final_dot(v))
        say(t, "note", "%s has a final dot, which some peers will not take", text);
    for (size_t i = 0; i + 4 <= v.n; i++)
        if (str_starts_nocase(str_make(v.p + i, v.n - i), STR("xn--"))) {
            say(t, "note",
                "%s has letters beyond ASCII (xn--): make sure that it is not a look-alike", text);
            break;
        }
}

static void tell_names(struct telling *t)
{
    char text[TEXT_MAX];
    struct str names[PKI_NAMES_MAX];
    struct sbuf b = sbuf_make(text, sizeof text);
    int status, i, n = pki_cert_names(t->cert, t->arena, names);
    GENERAL_NAMES *sans = X509_get_ext_d2i(t->cert, NID_subject_alt_name, &status, NULL);

    t->has_alt_names = sans != NULL;
    pki_cert_describe(t->cert, &b);
    say(t, "claims", "%.*s", STR_FMT(sbuf_get(&b)));
    b = sbuf_make(text, sizeof text);
    for (i = 0; i < n; i++)
        sbuf_fmt(&b, "%s%.*s", i ? ", " : "", STR_FMT(names[i]));
    if (n > 0 && (sans || !t->is_stir))
        say(t, "speaks for", "%.*s%s", STR_FMT(sbuf_get(&b)),
            sans ? "" : " (by its common name, in TLS and RFC 4474 alone: it has no subjectAltName)");
    else if (!t->is_ca && !t->is_stir)
        say(t, "problem", "it names no SIP domain (RFC 5922 7.1)");
    if (status == -2 || (!sans && status >= 0))
        say(t, "problem", "its subjectAltName cannot be decoded, or is there twice");
    for (i = 0; i < sk_GENERAL_NAME_num(sans); i++)
        judge_name(t, sk_GENERAL_NAME_value(sans, i));
    GENERAL_NAMES_free(sans);
}

/* --- validity, key, signature --- */

static void tell_validity(struct telling *t)
{
    int64_t from, until;
    char a[32], b[32];

    if (asn1_time_s(X509_get0_notBefore(t->cert), &from) != 0 ||
        asn1_time_s(X509_get0_notAfter(t->cert), &until) != 0) {
        say(t, "problem", "it has no valid dates (RFC 5280 4.1.2.5)");
        return;
    }
    time_text(from, a);
    time_text(until, b);
    say(t, "in force", "from %s until %s", a, b);
    if (t->now_s < from)
        say(t, "problem", "it is not in force yet");
    else if (t->now_s > until)
        say(t, "problem", "it has expired");
    else if (until - t->now_s < 30 * DAY_S)
        say(t, "note", "it ends in %lld days", (long long)((until - t->now_s) / DAY_S));
}

static void tell_key(struct telling *t)
{
    EVP_PKEY *key = X509_get0_pubkey(t->cert);
    char group[64] = "";
    int md = NID_undef, pk = NID_undef, bits = 0;

    if (!key) {
        say(t, "problem", "its key cannot be read");
        return;
    }
    if (EVP_PKEY_get_group_name(key, group, sizeof group, NULL) != 1)
        group[0] = '\0';
    say(t, "key", "%s%s%s, %d bits", EVP_PKEY_get0_type_name(key), *group ? " " : "", group,
        EVP_PKEY_get_bits(key));
    if (EVP_PKEY_get_security_bits(key) < SECURITY_BITS)
        say(t, "problem", "its key is too weak (RFC 9325 4.5)");
    if (X509_get_signature_info(t->cert, &md, &pk, &bits, NULL) != 1) {
        say(t, "problem", "the algorithm of its signature is unknown");
        return;
    }
    say(t, "signed with", "%s%s%s", OBJ_nid2ln(pk), md != NID_undef ? ", " : "",
        md != NID_undef ? OBJ_nid2sn(md) : "");
    /* A root's own signature says nothing. */
    if (bits < SECURITY_BITS && X509_check_issued(t->cert, t->cert) != X509_V_OK)
        say(t, "problem", "its signature can be forged (%s; RFC 9325 4.5)", OBJ_nid2sn(md));
}

/* --- usages --- */

static void tell_usages(struct telling *t)
{
    static const struct {
        uint32_t bit;
        const char *word;
    } key_uses[] = {
        {KU_DIGITAL_SIGNATURE, "digitalSignature"}, {KU_NON_REPUDIATION, "nonRepudiation"},
        {KU_KEY_ENCIPHERMENT, "keyEncipherment"},   {KU_KEY_AGREEMENT, "keyAgreement"},
        {KU_KEY_CERT_SIGN, "keyCertSign"},          {KU_CRL_SIGN, "cRLSign"}};
    char text[TEXT_MAX], oid[80];
    struct sbuf b = sbuf_make(text, sizeof text);
    EXTENDED_KEY_USAGE *uses = X509_get_ext_d2i(t->cert, NID_ext_key_usage, NULL, NULL);
    uint32_t bits = X509_get_key_usage(t->cert);

    for (size_t i = 0; bits != UINT32_MAX && i < ARRAY_LEN(key_uses); i++)
        if (bits & key_uses[i].bit)
            sbuf_fmt(&b, "%s%s", b.n ? ", " : "", key_uses[i].word);
    say(t, "key usage", "%.*s",
        STR_FMT(bits == UINT32_MAX ? STR("any (no such extension)") : sbuf_get(&b)));
    b = sbuf_make(text, sizeof text);
    for (int i = 0; i < sk_ASN1_OBJECT_num(uses); i++) {
        const ASN1_OBJECT *o = sk_ASN1_OBJECT_value(uses, i);
        int nid = OBJ_obj2nid(o);

        (void)OBJ_obj2txt(oid, sizeof oid, o, 1);
        sbuf_fmt(&b, "%s%s", b.n ? ", " : "",
                 strcmp(oid, "1.3.6.1.5.5.7.3.20") == 0 ? "sipDomain (RFC 5924)"
                 : nid != NID_undef                     ? OBJ_nid2sn(nid)
                                                        : oid);
    }
    say(t, "extended", "%.*s", STR_FMT(uses ? sbuf_get(&b) : STR("any (no such extension)")));
    sk_ASN1_OBJECT_pop_free(uses, ASN1_OBJECT_free);
    t->is_server = !t->is_ca && cert_use_is_allowed(t->cert, false) && cert_can_sign(t->cert);
    t->is_client = !t->is_ca && cert_use_is_allowed(t->cert, true) && cert_can_sign(t->cert);
    if (!t->is_ca && !cert_can_sign(t->cert))
        say(t, "problem",
            "its key must not sign (key usage without digitalSignature, RFC 5280 4.2.1.3): no TLS, "
            "no SIP identity");
    else if (!t->is_ca && !t->is_client)
        say(t, "problem", "its extended key usage allows neither TLS nor SIP domains (RFC 5924 5)");
    else if (t->is_client && cert_client_use_of(t->cert) == CERT_USE_SERVER_ONLY)
        say(t, "note",
            "it is made for servers alone: peers with `client-usage = required` will not take it "
            "from us when we connect");
    if (t->is_ca && bits != UINT32_MAX && !(bits & KU_KEY_CERT_SIGN))
        say(t, "problem", "a CA that must not issue certificates (key usage without keyCertSign)");
}

/* --- telephone numbers and claims (RFC 8226, 9118) --- */

static void tell_numbers(struct telling *t)
{
    char text[TEXT_MAX];
    struct sbuf b = sbuf_make(text, sizeof text);
    struct pki_tnauth tn;
    struct reason why = {0};
    int err = pki_tnauth_of(t->cert, t->arena, &tn, &why);

    if (err == ERR_NOTFOUND)
        return;
    if (err != 0) {
        say(t, "problem", "its TN Authorization List cannot be used: %s (RFC 8226 9)", why.detail);
        return;
    }
    t->is_stir = !t->is_ca;
    for (size_t i = 0; i < tn.n_ranges; i++) {
        const struct pki_tn_range *r = &tn.ranges[i];

        sbuf_fmt(&b, "%s%0*llu", b.n ? ", " : "", (int)r->digits, (unsigned long long)r->start);
        if (r->last != r->start)
            sbuf_fmt(&b, " to %0*llu", (int)r->digits, (unsigned long long)r->last);
    }
    for (size_t i = 0; i < tn.n_codes; i++)
        sbuf_fmt(&b, "%s%.*s", b.n ? ", " : "", STR_FMT(tn.codes[i]));
    if (b.n)
        say(t, "numbers", "%.*s%s", STR_FMT(sbuf_get(&b)), b.overflow ? ", ..." : "");
    b = sbuf_make(text, sizeof text);
    for (size_t i = 0; i < tn.n_spcs; i++)
        sbuf_fmt(&b, "%s%.*s", b.n ? ", " : "", STR_FMT(tn.spcs[i]));
    if (b.n)
        say(t, "provider", "%.*s (its numbers are known to a database only)",
            STR_FMT(sbuf_get(&b)));
}

static void tell_claims(struct telling *t)
{
    char text[TEXT_MAX];
    struct sbuf b = sbuf_make(text, sizeof text);
    struct pki_claim_rules r;
    struct reason why = {0};
    int err = pki_claim_rules_of(t->cert, t->arena, &r, &why);

    if (err == ERR_NOTFOUND)
        return;
    if (err != 0) {
        say(t, "problem", "its claim constraints cannot be used: %s (RFC 8226 8)", why.detail);
        return;
    }
    for (size_t i = 0; i < r.n_include; i++)
        sbuf_fmt(&b, "%smust have %.*s", b.n ? ", " : "", STR_FMT(r.must_include[i]));
    for (size_t i = 0; i < r.n_exclude; i++)
        sbuf_fmt(&b, "%smust not have %.*s", b.n ? ", " : "", STR_FMT(r.must_exclude[i]));
    for (size_t i = 0; i < r.n_permitted; i++)
        sbuf_fmt(&b, "%s%.*s as listed", b.n ? ", " : "", STR_FMT(r.permitted[i].claim));
    say(t, "tokens", "%.*s", STR_FMT(sbuf_get(&b)));
}

/* --- revocation --- */

static bool tell_crl_places(struct telling *t)
{
    CRL_DIST_POINTS *all = X509_get_ext_d2i(t->cert, NID_crl_distribution_points, NULL, NULL);
    bool any = false;

    for (int i = 0; i < sk_DIST_POINT_num(all); i++) {
        const DIST_POINT *d = sk_DIST_POINT_value(all, i);
        const GENERAL_NAMES *names =
            d->distpoint && d->distpoint->type == 0 ? d->distpoint->name.fullname : NULL;

        for (int k = 0; k < sk_GENERAL_NAME_num(names); k++) {
            const GENERAL_NAME *g = sk_GENERAL_NAME_value(names, k);

            if (g->type != GEN_URI)
                continue;
            say(t, "revocation", "CRL at %.*s: fetch it into the `crl` of the peer",
                ASN1_STRING_length(g->d.uniformResourceIdentifier),
                (const char *)ASN1_STRING_get0_data(g->d.uniformResourceIdentifier));
            any = true;
        }
    }
    CRL_DIST_POINTS_free(all);
    return any;
}

static void tell_revocation(struct telling *t)
{
    char url[PKI_URL_MAX];
    bool any = pki_ocsp_responder(t->cert, url) == 0;

    if (any)
        say(t, "revocation", "OCSP responder %s", url);
    if (pki_must_staple(t->cert)) {
        say(t, "revocation", "must be stapled (RFC 7633)");
        if (!any)
            say(t, "problem", "it must be stapled but names no responder (RFC 7633 4.2.3)");
    }
    any = tell_crl_places(t) || any;
    if (!any && X509_check_issued(t->cert, t->cert) != X509_V_OK)
        say(t, "note",
            "it says nowhere how to learn that it is revoked: with `revocation = hard` a CRL of "
            "its issuer is needed");
}

/* --- all --- */

/* A common name is enough for RFC 4474 alone (pki/chain.c). */
static bool may_sign(const struct telling *t)
{
    const EVP_PKEY *key = X509_get0_pubkey(t->cert);

    return !t->is_ca && cert_can_sign(t->cert) &&
           (t->is_stir || t->has_alt_names || (key && EVP_PKEY_is_a(key, "RSA")));
}

static void tell_conclusion(struct telling *t)
{
    char text[TEXT_MAX];
    struct sbuf b = sbuf_make(text, sizeof text);

    if (t->is_ca)
        sbuf_fmt(&b, "an anchor or an intermediate of a chain");
    if (t->is_server)
        sbuf_fmt(&b, "%sTLS towards those who connect to us", b.n ? ", " : "");
    if (t->is_client)
        sbuf_fmt(&b, "%sTLS where we connect", b.n ? ", " : "");
    if (may_sign(t))
        sbuf_fmt(&b, "%ssigning SIP identities%s", b.n ? ", " : "",
                 t->is_stir ? " of its numbers" : " of its domains");
    say(t, "good for", "%.*s", STR_FMT(b.n ? sbuf_get(&b) : STR("nothing here")));
}

unsigned pki_inspect_cert(X509 *cert, int64_t now_s, pki_say_fn *fn, void *arg)
{
    struct telling t = {
        .cert = cert, .now_s = now_s, .say = fn, .arg = arg, .arena = arena_new(4096, ARENA_MAX)};

    if (!t.arena) {
        say(&t, "problem", "out of memory");
        return t.n_problems;
    }
    t.is_ca = X509_check_ca(cert) > 0;
    say_name(&t, "subject", X509_get_subject_name(cert));
    say_name(&t, "issuer", X509_get_issuer_name(cert));
    tell_numbers(&t);
    tell_claims(&t);
    tell_names(&t);
    tell_validity(&t);
    tell_key(&t);
    tell_usages(&t);
    tell_revocation(&t);
    tell_conclusion(&t);
    arena_free(t.arena);
    ERR_clear_error();
    return t.n_problems;
}

static void tell_order(struct telling *t, const STACK_OF(X509) * certs)
{
    for (int i = 1; i < sk_X509_num(certs); i++)
        if (X509_check_issued(sk_X509_value(certs, i), sk_X509_value(certs, i - 1)) != X509_V_OK)
            say(t, "note",
                "certificate %d did not issue certificate %d: fine for anchors, wrong for a "
                "certificate of ours (RFC 5246 7.4.2)",
                i + 1, i);
}

int pki_inspect_file(const char *file, int64_t now_s, pki_say_fn *fn, void *arg,
                     unsigned *ret_problems, struct reason *why)
{
    struct telling t = {.say = fn, .arg = arg};
    STACK_OF(X509) *certs = sk_X509_new_null();
    int i, n, err = certs ? load_certs(file, certs, 1000, why) : ERR_NOMEM;

    *ret_problems = 0;
    n = err == 0 ? sk_X509_num(certs) : 0;
    for (i = 0; i < n; i++) {
        say(&t, "certificate", "%d of %d in %s", i + 1, n, file);
        *ret_problems += pki_inspect_cert(sk_X509_value(certs, i), now_s, fn, arg);
    }
    if (n)
        tell_order(&t, certs);
    *ret_problems += t.n_problems;
    sk_X509_pop_free(certs, X509_free);
    return err;
}
