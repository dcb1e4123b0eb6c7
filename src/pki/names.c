/* SIP domain identities in certificates: RFC 5922 7.1 and 7.2, RFC 5280 4.2.1.6. Pure; any thread;
 * results live in the caller's arena. */
#include "pki/names.h"
#include "base/addr.h"
#include "base/err.h"
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#define DNS_NAME_MAX 253u /* RFC 1035 2.3.4, as text without the final dot */
#define DNS_LABEL_MAX 63u

static bool is_alpha(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_alnum(char c)
{
    return is_alpha(c) || (c >= '0' && c <= '9');
}

/* RFC 3261 25.1 hostname, without the final dot: what cannot be the host of a SIP URI can never
 * match one, and bytes like NUL, blank and '*' are outside of it. The top label begins with a
 * letter, so no IPv4 address passes. */
static bool host_is_name(struct str s)
{
    if (s.n == 0 || s.n > DNS_NAME_MAX)
        return false;
    size_t label = 0; /* where the current label begins */
    for (size_t i = 0; i <= s.n; i++) {
        if (i < s.n && s.p[i] != '.') {
            if (!is_alnum(s.p[i]) && s.p[i] != '-')
                return false;
            continue;
        }
        if (i == label || i - label > DNS_LABEL_MAX || s.p[label] == '-' || s.p[i - 1] == '-')
            return false;
        if (i == s.n)
            return is_alpha(s.p[label]);
        label = i + 1;
    }
    return false;
}

bool pki_name_is_host(struct str s)
{
    return host_is_name(s);
}

static struct str without_final_dot(struct str s)
{
    if (s.n > 1 && s.p[s.n - 1] == '.')
        s.n--;
    return s;
}

/* One form for each host: names as they are without the final dot, addresses as RFC 5952 writes
 * them. p == NULL: neither. */
static struct str host_canonical(struct str host, bool is_address_ok, char text[ADDR_TEXT_MAX])
{
    struct str name = without_final_dot(host);
    if (host_is_name(name))
        return name;
    struct addr a;
    if (is_address_ok && addr_parse(&a, host, 0) == 0)
        return addr_text_host(&a, text);
    return STR_NULL;
}

struct names {
    struct arena *a;
    struct str *v;
    size_t n;
    int err;
};

static void names_add(struct names *out, struct str raw, bool is_address_ok)
{
    char text[ADDR_TEXT_MAX];
    struct str host = host_canonical(raw, is_address_ok, text);
    if (!host.p || out->err || out->n == PKI_NAMES_MAX)
        return;
    for (size_t i = 0; i < out->n; i++)
        if (str_eq_nocase(out->v[i], host))
            return;
    char *p = arena_alloc(out->a, host.n + 1);
    if (!p) {
        out->err = ERR_NOMEM;
        return;
    }
    for (size_t i = 0; i < host.n; i++)
        p[i] = str_lower(host.p[i]);
    p[host.n] = '\0';
    out->v[out->n++] = str_make(p, host.n);
}

static struct str asn1_str(const ASN1_STRING *s)
{
    return str_make((const char *)ASN1_STRING_get0_data(s), (size_t)ASN1_STRING_length(s));
}

/* RFC 5922 7.1 "URI": scheme sip (any case), no '@' anywhere; the hostpart is the identity, port
 * and parameters are not. */
static void names_add_uri(struct names *out, struct str uri)
{
    if (!str_starts_nocase(uri, STR("sip:")) || str_find_char(uri, '@') < uri.n ||
        str_find_char(uri, '\0') < uri.n)
        return;
    struct str rest = str_make(uri.p + 4, uri.n - 4);
    size_t end = 0;
    if (rest.n && rest.p[0] == '[') {
        end = str_find_char(rest, ']');
        if (end == rest.n)
            return;
        end++;
    } else {
        while (end < rest.n && rest.p[end] != ':' && rest.p[end] != ';' && rest.p[end] != '?')
            end++;
    }
    struct str host = str_make(rest.p, end), tail = str_make(rest.p + end, rest.n - end);
    if (tail.n && tail.p[0] == ':') {
        size_t n = 1;
        while (n < tail.n && tail.p[n] != ';' && tail.p[n] != '?')
            n++;
        uint32_t port;
        if (str_to_u32(str_make(tail.p + 1, n - 1), 65535, &port) != 0)
            return;
        tail = str_make(tail.p + n, tail.n - n);
    }
    if (tail.n && tail.p[0] != ';' && tail.p[0] != '?')
        return;
    names_add(out, host, true);
}

/* RFC 5922 7.1 step 2. More than one CN is ambiguous (RFC 6125 1.7 leaves it open), so it counts as
 * none. */
static void names_add_cn(struct names *out, X509 *cert)
{
    const X509_NAME *subject = X509_get_subject_name(cert);
    int i = subject ? X509_NAME_get_index_by_NID(subject, NID_commonName, -1) : -1;
    if (i < 0 || X509_NAME_get_index_by_NID(subject, NID_commonName, i) >= 0)
        return;
    unsigned char *utf8 = NULL;
    int n = ASN1_STRING_to_UTF8(&utf8, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, i)));
    if (n > 0)
        names_add(out, str_make((const char *)utf8, (size_t)n), false);
    OPENSSL_free(utf8);
}

static int find_names(X509 *cert, bool is_cn_ok, struct arena *a,
                      struct str ret_names[PKI_NAMES_MAX])
{
    struct names out = {a, ret_names, 0, 0};
    int status;
    GENERAL_NAMES *sans = X509_get_ext_d2i(cert, NID_subject_alt_name, &status, NULL);
    if (!sans) {
        if (is_cn_ok && status == -1) /* absent, as against there twice or not decodable */
            names_add_cn(&out, cert);
        return out.err ? out.err : (int)out.n;
    }
    int n = sk_GENERAL_NAME_num(sans);
    for (int i = 0; i < n; i++) {
        const GENERAL_NAME *g = sk_GENERAL_NAME_value(sans, i);
        if (g->type == GEN_URI)
            names_add_uri(&out, asn1_str(g->d.uniformResourceIdentifier));
    }
    bool has_uri = out.n > 0;
    for (int i = 0; i < n && !has_uri;
         i++) { /* "if and only if no other identity is found that matches" a sip URI */
        const GENERAL_NAME *g = sk_GENERAL_NAME_value(sans, i);
        if (g->type == GEN_DNS)
            names_add(&out, asn1_str(g->d.dNSName), false);
    }
    GENERAL_NAMES_free(sans);
    return out.err ? out.err : (int)out.n;
}

int pki_cert_names(X509 *cert, struct arena *a, struct str ret_names[PKI_NAMES_MAX])
{
    return find_names(cert, true, a, ret_names);
}

int pki_cert_alt_names(X509 *cert, struct arena *a, struct str ret_names[PKI_NAMES_MAX])
{
    return find_names(cert, false, a, ret_names);
}

int pki_names_check(const struct str *names, size_t n, struct str domain, struct reason *reason)
{
    char text[ADDR_TEXT_MAX];
    struct str want = host_canonical(domain, true, text);
    for (size_t i = 0; want.p && i < n; i++)
        if (str_eq_nocase(names[i], want))
            return 0;
    char list[REASON_DETAIL_MAX];
    struct sbuf b = sbuf_make(list, sizeof(list));
    for (size_t i = 0; i < n && !b.overflow; i++)
        sbuf_fmt(&b, "%s%.*s", i ? ", " : "", STR_FMT(names[i]));
    struct str presented = sbuf_get(&b);
    reason_set(reason, "tls-cert-name", "RFC 5922 7.3", 0, "expected %.*s, presented %.*s",
               STR_FMT(domain), STR_FMT(n ? presented : STR("no SIP domain")));
    return ERR_REFUSED;
}

int pki_peer_names(const SSL *ssl, struct arena *a, struct str ret_names[PKI_NAMES_MAX])
{
    X509 *cert = SSL_get0_peer_certificate(ssl);
    return cert ? pki_cert_names(cert, a, ret_names) : 0;
}

static void describe_one(struct sbuf *dst, const char *kind, struct str value)
{
    static const char more[] = "...";
    if (dst->overflow)
        return;
    /* Room for this one, and behind it for the separator and the sign that there is more. */
    if (dst->cap - dst->n < strlen(kind) + value.n + 2 * sizeof(more)) {
        sbuf_lit(dst, "...");
        dst->overflow = true;
        return;
    }
    if (dst->n)
        sbuf_lit(dst, ", ");
    sbuf_str(dst, str_z(kind));
    for (size_t i = 0; i < value.n; i++)
        sbuf_char(dst, value.p[i] > ' ' && value.p[i] < 0x7f ? value.p[i] : '?');
}

void pki_cert_describe(X509 *cert, struct sbuf *dst)
{
    GENERAL_NAMES *sans = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
    for (int i = 0; sans && i < sk_GENERAL_NAME_num(sans); i++) {
        const GENERAL_NAME *g = sk_GENERAL_NAME_value(sans, i);
        if (g->type == GEN_URI)
            describe_one(dst, "URI:", asn1_str(g->d.uniformResourceIdentifier));
        else if (g->type == GEN_DNS)
            describe_one(dst, "DNS:", asn1_str(g->d.dNSName));
        else if (g->type == GEN_EMAIL)
            describe_one(dst, "email:", asn1_str(g->d.rfc822Name));
    }
    GENERAL_NAMES_free(sans);
    const X509_NAME *subject = X509_get_subject_name(cert);
    int i = subject ? X509_NAME_get_index_by_NID(subject, NID_commonName, -1) : -1;
    if (i >= 0)
        describe_one(dst,
                     "CN=", asn1_str(X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, i))));
    if (dst->n == 0)
        sbuf_lit(dst, "no name");
}
