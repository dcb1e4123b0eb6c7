/* What no single value shows: names that must exist, files that must fit each other, listeners that must be reachable, weakenings
 * that must be said. Also the small questions others ask of a snapshot. */
#include "base/limits.h"
#include "base/mem.h"
#include "config/load.h"
#include "identity/cred_chain.h"
#include "pki/chain.h"
#include "pki/signing.h"
#include "pki/tls.h"
#include "sip/msg.h"
#include <confuse.h>

static bool host_ok(struct str h)
{
    size_t i;

    if (!h.n || h.n > 253 || h.p[0] == '.' || h.p[0] == '-')
        return false;
    for (i = 0; i < h.n; i++) {
        char c = str_lower(h.p[i]);

        if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.'))
            return false;
    }
    return true;
}

/* Anchors are read as the edge will read them. */
static void check_anchors(struct load *l, const cfg_t *sec, const char *option, struct str file)
{
    int64_t not_after;
    struct reason why = {0};

    if (check_file(l, sec, option, file) && l->files && pki_file_end(file.p, &not_after, &why) != 0)
        load_problem(l, load_line(l, sec, option), "%s: %s; name a PEM file with the certificates of CAs", option, why.detail);
}

/* One of them, or the system, would take what is for the other: the same address, or one of all addresses of its family. */
static bool is_same_place(const struct addr *a, const struct addr *b)
{
    return addr_is_set(a) && addr_is_set(b) && addr_is_v6(a) == addr_is_v6(b) && addr_port(a) == addr_port(b) &&
           (addr_eq(a, b) || addr_is_any(a) || addr_is_any(b));
}

/* What we would send to such a next hop comes back to us. */
static bool is_ours(const struct config *c, struct str uri)
{
    struct sip_uri u;
    struct addr a;
    size_t i;

    if (!uri.n || sip_uri_parse(uri, &u) != 0 ||
        addr_parse(&a, u.host, u.port ? u.port : u.scheme == SIP_SCHEME_SIPS || str_eq_nocase(u.transport, STR("tls")) ? 5061 : 5060) != 0)
        return false;
    for (i = 0; i < c->n_listens; i++)
        if (addr_is_set(&c->listens[i].addr) && addr_eq(&c->listens[i].addr, &a))
            return true;
    return false;
}

static void check_peer_domains(struct load *l, const cfg_t *sec, const struct config_peer *p)
{
    size_t i;

    for (i = 0; i < p->domains.n; i++) {
        const struct config_domain *d = config_domain_find(l->c, p->domains.v[i]);

        if (d)
            load_problem(l, load_line(l, sec, "domains"), "peer \"%s\": \"%s\" is domain \"%s\" of ours, whose users are here; take it out",
                         p->name.p, p->domains.v[i].p, d->name.p);
    }
    if (is_ours(l->c, p->next_hop))
        load_problem(l, load_line(l, sec, "next-hop"), "peer \"%s\": next-hop = \"%s\" is a listener of ours; name the peer's address",
                     p->name.p, p->next_hop.p);
}

/* Certificate and key are read as the edge will read them, so that what `check` accepts will start. A key that the keeper has is
 * looked at by the keeper alone. */
static void check_identity(struct load *l, const cfg_t *sec, struct str domain, struct str cert, struct str key)
{
    bool kept = l->c->tls_keys == CONFIG_TLS_KEYS_KEEPER;
    struct pki_tls_identity id = {.domain = domain, .cert_pem = cert.p, .key_pem = key.p};
    struct pki_tls_options o = {.identities = &id, .n_identities = 1, .remote_keys = kept};
    struct pki_tls_server *s;
    struct reason why = {0};

    if (cert.n && !key.n) {
        load_problem(l, load_line(l, sec, "certificate"), "certificate without key; add key = \"FILE\"");
        return;
    }
    if (!cert.n && key.n) {
        load_problem(l, load_line(l, sec, "key"), "key without certificate; add certificate = \"FILE\"");
        return;
    }
    if (!kept && str_starts_nocase(key, STR("pkcs11:"))) {
        load_problem(l, load_line(l, sec, "key"), "key is on a token, and the daemon opens none; add tls-keys = keeper");
        return;
    }
    if (!cert.n || !check_file(l, sec, "certificate", cert) || (!kept && !check_file(l, sec, "key", key)) || !l->files || !domain.n)
        return;
    if (pki_tls_server_new(&o, &s, &why) == 0)
        pki_tls_server_unref(s);
    else
        load_problem(l, load_line(l, sec, "certificate"), "%s; use a certificate that is in force, names %.*s, and fits its key",
                     why.detail[0] ? why.detail : why.code, STR_FMT(domain));
}

static bool any_peer_has_ca(const struct config *c)
{
    size_t i;

    for (i = 0; i < c->n_peers; i++)
        if (c->peers[i].ca.n)
            return true;
    return false;
}

/* An expired one is no problem here: what it lists is revoked, and the edge says that it has expired. */
static void check_crl(struct load *l, const cfg_t *sec, const char *option, struct str file)
{
    const struct pki_tls_options o = {.crl_pem = file.p, .revocation = PKI_REVOCATION_SOFT, .insecure_no_verify = true};
    struct pki_tls_client *c;
    struct reason why = {0};

    if (!l->files)
        return;
    if (pki_tls_client_new(&o, &c, &why) == 0)
        pki_tls_client_unref(c);
    else
        load_problem(l, load_line(l, sec, option), "%s; put CRLs in PEM, or one in DER, there", why.detail);
}

/* As it will stand in Via and Route: host, host:port, an IPv6 address in brackets. */
static bool advertise_ok(struct str s)
{
    struct str host = s, rest = STR_NULL;
    uint32_t port = 5060;
    struct addr a;

    if (s.n && s.p[0] == '[') {
        rest = str_cut(str_make(s.p + 1, s.n - 1), ']', &host);
        if (!rest.p || addr_parse(&a, host, 0) != 0 || (rest.n && rest.p[0] != ':'))
            return false;
        return !rest.n || (str_to_u32(str_make(rest.p + 1, rest.n - 1), UINT16_MAX, &port) == 0 && port);
    }
    rest = str_cut(s, ':', &host);
    return host_ok(host) && (!rest.p || (str_to_u32(rest, UINT16_MAX, &port) == 0 && port));
}

static void check_listen(struct load *l, const cfg_t *sec, const struct config_listen *c)
{
    unsigned line = load_line(l, sec, NULL) ? load_line(l, sec, NULL) : (unsigned)sec->line;
    bool any_cert = false;
    size_t i;

    if (!addr_is_set(&c->addr))
        return; /* said already */
    if (!transport_is_secure(c->transport) && !c->allow_clear)
        load_problem(l, line, "listen \"%s\" is in clear; use tls or wss, or add allow-clear = yes", c->title.p);
    if (addr_is_any(&c->addr) && !c->advertise.n)
        load_problem(l, line, "listen \"%s\" is on all addresses; add advertise = \"NAME\", the name phones use", c->title.p);
    if (c->advertise.n && !advertise_ok(c->advertise))
        load_problem(l, load_line(l, sec, "advertise"), "advertise = \"%s\" is no host; as \"edge.example.com\", \"192.0.2.1:5061\" or \"[2001:db8::1]\"",
                     c->advertise.p);
    if (!addr_port(&c->addr))
        load_problem(l, line, "listen \"%s\" has port 0; use %u", c->title.p, transport_default_port(c->transport));
    for (i = 0; i < l->c->n_domains; i++)
        any_cert |= l->c->domains[i].certificate.n > 0;
    if (transport_is_secure(c->transport) && !any_cert)
        load_problem(l, line, "listen \"%s\" needs a certificate; add certificate and key to a domain", c->title.p);
    if (c->client_crl.n && check_file(l, sec, "client-crl", c->client_crl))
        check_crl(l, sec, "client-crl", c->client_crl);
    check_anchors(l, sec, "client-ca", c->client_ca);
    if (!c->client_ca.n && c->client_cert == PKI_CLIENT_CERT_REQUIRE && !(c->transport == TRANSPORT_TLS && any_peer_has_ca(l->c)))
        load_problem(l, load_line(l, sec, "client-certificate"),
                     "certificates are required but nothing says whose; add client-ca = \"FILE\", or ca to a peer");
}

/* A peer that comes to us with a certificate needs a listener that knows its anchors: by client-ca, or because it knows those of peers. */
static bool can_come(const struct config *c, const struct config_peer *p)
{
    size_t i;

    for (i = 0; i < c->n_listens; i++)
        if (c->listens[i].client_cert != PKI_CLIENT_CERT_NONE &&
            (c->listens[i].client_ca.n || (p->ca.n && c->listens[i].transport == TRANSPORT_TLS)))
            return true;
    return false;
}

static void check_callers(struct load *l, const cfg_t *sec, const char *option, const struct config_strs *list)
{
    size_t i;

    for (i = 0; i < list->n; i++) {
        struct str s = list->v[i], user, host = str_cut(s, '@', &user);

        if (s.n && s.p[0] == '+' ? s.n < 2 : host.p ? !str_starts_nocase(s, STR("sip:")) || user.n < 5 || !host_ok(host) : !host_ok(s))
            load_problem(l, load_line(l, sec, option), "%s: \"%s\" is no caller; as \"example1.com\", \"sip:john@example1.com\" or \"+4930\"", option, s.p);
    }
}

/* A name that two domains have would be the first one's, unnoticed. */
static void check_names(struct load *l, const cfg_t *sec, const struct config_domain *d)
{
    const struct config_domain *other = config_domain_find(l->c, d->name);
    struct addr a;
    size_t i;

    if (other != d)
        load_problem(l, load_line(l, sec, NULL) ? load_line(l, sec, NULL) : (unsigned)sec->line,
                     "domain \"%s\" is a name of domain \"%s\" already; remove one", d->name.p, other->name.p);
    for (i = 0; i < d->aliases.n; i++) {
        struct str name = d->aliases.v[i];

        if (!host_ok(name) && addr_parse(&a, name, 0) != 0)
            load_problem(l, load_line(l, sec, "aliases"), "aliases: \"%s\" is neither a host name nor an address", name.p);
        else if ((other = config_domain_find(l->c, name)) != d)
            load_problem(l, load_line(l, sec, "aliases"), "aliases: \"%s\" is a name of domain \"%s\" already; remove one", name.p,
                         other->name.p);
    }
}

static void check_domain(struct load *l, const cfg_t *sec, const struct config_domain *d)
{
    unsigned line = load_line(l, sec, NULL) ? load_line(l, sec, NULL) : (unsigned)sec->line;

    if (!host_ok(d->name))
        load_problem(l, line, "domain \"%s\" is not a host name; as \"example.com\"", d->name.p);
    check_names(l, sec, d);
    check_identity(l, sec, d->name, d->certificate, d->key);
    if (d->unknown_users.n && config_peer_find(l->c, d->unknown_users) && config_peer_find(l->c, d->unknown_users)->account.n)
        load_problem(l, load_line(l, sec, "unknown-users"), "unknown-users = \"%s\" has an account and takes its numbers alone; name another peer",
                     d->unknown_users.p);
    if (d->unknown_users.n && !config_peer_find(l->c, d->unknown_users))
        load_problem(l, load_line(l, sec, "unknown-users"), "unknown-users = \"%s\": there is no such peer; add peer \"%s\" { ... }",
                     d->unknown_users.p, d->unknown_users.p);
    check_callers(l, sec, "accept-callers", &d->accept_callers);
    check_callers(l, sec, "refuse-callers", &d->refuse_callers);
    if (d->expires_min_s > d->expires_max_s || d->expires_default_s > d->expires_max_s ||
        d->expires_default_s < d->expires_min_s)
        load_problem(l, line, "domain \"%s\": expires-min <= expires-default <= expires-max does not hold (%u, %u, %u)",
                     d->name.p, d->expires_min_s, d->expires_default_s, d->expires_max_s);
    if (memchr(d->realm.p, '"', d->realm.n) || memchr(d->realm.p, '\\', d->realm.n))
        load_problem(l, load_line(l, sec, "realm"), "realm must not contain quotes or backslashes");
}

static void check_numbers(struct load *l, const cfg_t *sec, const struct config_peer *p)
{
    size_t i, k;

    for (i = 0; i < p->numbers.n; i++) {
        struct str n = p->numbers.v[i];

        for (k = n.n && n.p[0] == '+'; k < n.n && n.p[k] >= '0' && n.p[k] <= '9'; k++)
            ;
        if (!n.n || k < n.n)
            load_problem(l, load_line(l, sec, "numbers"),
                         "numbers: \"%s\" is no beginning of a number; use digits, with + before a country code, as \"+4930\"", n.p);
    }
}

static void check_protection(struct load *l, const cfg_t *sec, const struct config_peer *p)
{
    unsigned line = load_line(l, sec, "protected-by") ? load_line(l, sec, "protected-by") : (unsigned)sec->line;
    uint64_t until;

    if (p->protected_until.n && !config_date_parse(p->protected_until, &until))
        load_problem(l, load_line(l, sec, "protected-until"), "protected-until = \"%s\" is no date; as \"2027-12-31\"", p->protected_until.p);
    if (p->protected_by != CONFIG_PROTECTED_NO && (!p->protected_until.n || !p->protected_says.n))
        load_problem(l, line, "peer \"%s\": nobody says until when its hop is protected; add protected-until = \"DATE\" and protected-says = \"WHO\"",
                     p->name.p);
    if (p->protected_by == CONFIG_PROTECTED_NO && (p->protected_until.n || p->protected_says.n))
        load_problem(l, load_line(l, sec, p->protected_until.n ? "protected-until" : "protected-says"),
                     "peer \"%s\": nothing says what its hop is protected by; add protected-by = ipsec, vpn, lock or 802.1x", p->name.p);
    if (!p->private_network.n && (p->carries == CONFIG_CARRIES_PRIVATE || p->private.require || p->private.on_attack || p->private.verify || p->private.sign))
        load_problem(l, sec->line > 0 ? (unsigned)sec->line : 0, "peer \"%s\" has rules for a private network and is of none; add private-network = \"DOMAIN\"",
                     p->name.p);
    if (p->private_network.n && !host_ok(p->private_network))
        load_problem(l, load_line(l, sec, "private-network"), "private-network = \"%s\" is no domain; as \"example.com\"", p->private_network.p);
}

/* An enterprise that has an account with us. */
static void check_account(struct load *l, const cfg_t *sec, const struct config_peer *p)
{
    unsigned line = load_line(l, sec, "account") ? load_line(l, sec, "account") : (unsigned)sec->line;
    struct str user, host = str_cut(p->account, '@', &user);
    const struct config_domain *d = config_domain_find(l->c, host);
    size_t i;
    bool fits = false;

    if (!user.n || !d || !str_eq(d->name, host) || memchr(user.p, '%', user.n))
        load_problem(l, line, "account = \"%s\" is no user of a domain of ours; as \"trunk-7@example.com\"", p->account.p);
    if (p->trunk_user.n || p->password_file.n || p->bulk_numbers || p->from_user.n)
        load_problem(l, line, "peer \"%s\" has an account with us and we have one with it; make two peers of it", p->name.p);
    if (p->domains.n || p->next_hop.n || p->n_sources || p->certificate_names.n || p->check_interval_s)
        load_problem(l, line, "peer \"%s\" is where it registers from; leave out domains, next-hop, allow-sources, certificate-names and "
                     "check-interval", p->name.p);
    for (i = 0; i < p->numbers.n; i++) {
        fits |= p->main_number.n && str_starts_nocase(p->main_number, p->numbers.v[i]);
        if (p->numbers.v[i].p[0] != '+')
            load_problem(l, load_line(l, sec, "numbers"), "numbers: \"%s\" of an account needs its country code, as \"+4930123\"", p->numbers.v[i].p);
    }
    if (!p->numbers.n)
        load_problem(l, line, "peer \"%s\" has an account without numbers; add numbers = {\"+4930123\"}", p->name.p);
    if (p->main_number.n ? !fits : p->foreign_callers == CONFIG_FOREIGN_REPLACE)
        load_problem(l, load_line(l, sec, p->main_number.n ? "main-number" : "foreign-callers"),
                     "peer \"%s\": main-number must be one of its numbers, as \"+49301230\"", p->name.p);
}

#define USER_CHARS "+-._0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

static void check_trunk(struct load *l, const cfg_t *sec, const struct config_peer *p)
{
    unsigned line = load_line(l, sec, "kind") ? load_line(l, sec, "kind") : (unsigned)sec->line;
    size_t i;
    bool has_domain = p->registrar.n || (p->domains.n && !str_eq(p->domains.v[0], STR("*")));

    if (p->kind == CONFIG_SUBSCRIPTION && p->account.n) {
        check_account(l, sec, p);
        return;
    }
    if (p->account.n || p->main_number.n || p->foreign_callers != CONFIG_FOREIGN_REFUSE)
        load_problem(l, load_line(l, sec, p->account.n ? "account" : p->main_number.n ? "main-number" : "foreign-callers"),
                     "peer \"%s\" has no account with us; add kind = subscription and account", p->name.p);

    if (p->kind != CONFIG_SUBSCRIPTION) {
        if (p->trunk_user.n || p->password_file.n || p->bulk_numbers || p->from_user.n)
            load_problem(l,
                         load_line(l, sec, p->trunk_user.n ? "user" : p->password_file.n ? "password-file" : p->bulk_numbers ? "bulk-numbers" : "from-user"),
                         "peer \"%s\" has an account but is none to register with; add kind = subscription", p->name.p);
        return;
    }
    if (!p->trunk_user.n || !p->password_file.n)
        load_problem(l, line, "peer \"%s\" is a subscription without account; add user and password-file", p->name.p);
    else
        (void)check_file(l, sec, "password-file", p->password_file);
    if (!has_domain || (p->registrar.n && !host_ok(p->registrar)))
        load_problem(l, line, "peer \"%s\": nothing says whom to register with; add registrar = \"DOMAIN\"", p->name.p);
    for (i = 0; i < p->from_user.n; i++)
        if (!memchr(USER_CHARS, p->from_user.p[i], sizeof USER_CHARS - 1)) {
            load_problem(l, load_line(l, sec, "from-user"), "from-user = \"%s\" is no user; as \"+49301230\"", p->from_user.p);
            break;
        }
    if (!l->c->media.address.n)
        load_problem(l, line, "peer \"%s\" challenges our calls, which media through us are needed for; add media { address = ... }", p->name.p);
}

/* Signatures with SHA-1 are made where that is said to be allowed, and can be. */
static void check_rfc4474(struct load *l, const cfg_t *sec, const struct config_peer *p)
{
    bool is_private = p->private.sign > CONFIG_SIGN_RFC4474;
    bool can = false;
    size_t i;

    if (p->sign_identity < CONFIG_SIGN_RFC4474 && !is_private)
        return;
    for (i = 0; i < l->c->n_identities; i++)
        can |= l->c->identities[i].rfc4474_certificate.n > 0;
    if (!p->allow_rfc4474)
        load_problem(l, load_line(l, sec, is_private ? "private-sign-identity" : "sign-identity"),
                     "peer \"%s\" is to get signatures with SHA-1; add allow-rfc4474 = yes, or sign-identity = base", p->name.p);
    else if (!can)
        load_problem(l, load_line(l, sec, is_private ? "private-sign-identity" : "sign-identity"),
                     "peer \"%s\" is to get signatures of RFC 4474 and there is no RSA key for them; add rfc4474-certificate, rfc4474-key and "
                     "rfc4474-url to an identity section", p->name.p);
}

/* What a stanza may take off: what no element on the way, and no other option, needs. */
static bool may_remove(struct str name)
{
    static const enum sip_hdr_id free_ones[] = {
        SIP_H_WARNING, SIP_H_TIMESTAMP, SIP_H_USER_AGENT, SIP_H_SERVER, SIP_H_SUBJECT, SIP_H_PRIORITY, SIP_H_REPLY_TO,
        SIP_H_REFERRED_BY, SIP_H_REASON, SIP_H_HISTORY_INFO, SIP_H_DIVERSION, SIP_H_CALL_INFO, SIP_H_ALERT_INFO, SIP_H_GEOLOCATION,
        SIP_H_GEOLOCATION_ROUTING, SIP_H_RESOURCE_PRIORITY, SIP_H_P_ACCESS_NETWORK_INFO, SIP_H_P_ASSOCIATED_URI,
        SIP_H_P_CHARGING_VECTOR, SIP_H_P_CALLED_PARTY_ID, SIP_H_ERROR_INFO, SIP_H_ORGANIZATION, SIP_H_USER_TO_USER,
        SIP_H_IN_REPLY_TO, SIP_H_ACCEPT_CONTACT, SIP_H_REJECT_CONTACT, SIP_H_REQUEST_DISPOSITION};
    enum sip_hdr_id id = sip_hdr_parse(name);
    size_t i;

    for (i = 0; id != SIP_H_OTHER && i < ARRAY_LEN(free_ones); i++)
        if (free_ones[i] == id)
            return true;
    return id == SIP_H_OTHER && !str_starts_nocase(name, STR("Content-")) && !str_starts_nocase(name, STR("X-Sallyport-"));
}

static bool is_header_name(struct str name)
{
    for (size_t k = 0; k < name.n; k++)
        if (name.p[k] <= ' ' || name.p[k] >= 0x7f || strchr("\"(),/:;<=>?@[\\]{}", name.p[k]))
            return false;
    return name.n > 0;
}

static void check_removed(struct load *l, const cfg_t *sec, const char *option, const struct config_strs *names)
{
    size_t i;

    for (i = 0; i < names->n; i++) {
        struct str name = names->v[i];

        if (!is_header_name(name))
            load_problem(l, load_line(l, sec, option), "%s: \"%s\" is no name of a header", option, name.p);
        else if (!may_remove(name))
            load_problem(l, load_line(l, sec, option), "%s: %s is needed, or has an option of its own; leave it out", option, name.p);
    }
}

/* What says who somebody is, or was, is nobody's to make up, and what belongs to a dialog its ends' alone. */
static bool may_set(struct str name)
{
    static const char *const others[] = {"Remote-Party-ID", "P-Asserted-Service", "P-Preferred-Service", "Target-Dialog",
                                         "Info-Package", "Recv-Info", "Refer-Sub", "Suppress-If-Match"};
    enum sip_hdr_id id = sip_hdr_parse(name);

    for (size_t i = 0; i < ARRAY_LEN(others); i++)
        if (str_eq_nocase(name, str_z(others[i])))
            return false;
    return may_remove(name) && id != SIP_H_HISTORY_INFO && id != SIP_H_DIVERSION && id != SIP_H_REFERRED_BY && id != SIP_H_TIMESTAMP &&
           id != SIP_H_WARNING;
}

#define SET_HEADERS_MAX 16u
#define SET_HEADER_BYTES 512u

static void check_set(struct load *l, const cfg_t *sec, const struct config_strs *lines)
{
    unsigned line = load_line(l, sec, "set-headers-to");

    if (lines->n > SET_HEADERS_MAX)
        load_problem(l, line, "set-headers-to has %zu headers, and may have %u", lines->n, SET_HEADERS_MAX);
    for (size_t i = 0; i < lines->n; i++) {
        struct str name, value = str_trim(str_cut(lines->v[i], ':', &name));
        bool ok = value.n && lines->v[i].n <= SET_HEADER_BYTES && is_header_name(name);

        for (size_t k = 0; ok && k < value.n; k++) /* one line: RFC 3261 25.1, without folding */
            ok = (uint8_t)value.p[k] >= 0x20 && value.p[k] != 0x7f;
        if (!ok || !str_is_utf8(value))
            load_problem(l, line, "set-headers-to: \"%s\" is no header; as \"X-Trunk: 7\", %u bytes at most", lines->v[i].p, SET_HEADER_BYTES);
        else if (!may_set(name))
            load_problem(l, line, "set-headers-to: %.*s is needed, or has an option of its own; take it out", STR_FMT(name));
    }
}

/* What no certificate and no request will ever have is a mistake that shows later, as a peer that is not known (RFC 5922 7.2: no
 * wildcards; RFC 5890: names of other scripts as they are on the wire). */
static void check_hosts(struct load *l, const cfg_t *sec, const char *option, const struct config_strs *names)
{
    struct addr a;
    size_t i;

    for (i = 0; i < names->n; i++) {
        struct str name = names->v[i];

        if (host_ok(name) || addr_parse(&a, name, 0) == 0 || (str_eq(name, STR("*")) && strcmp(option, "domains") == 0))
            continue;
        load_problem(l, load_line(l, sec, option), "%s: \"%s\" %s", option, name.p,
                     str_find_char(name, '*') < name.n ? "is a wildcard, which stands for nobody; write out the names"
                                                       : "is neither a host name nor an address; other scripts as \"xn--...\"");
    }
}

static void check_peer(struct load *l, const cfg_t *sec, const struct config_peer *p)
{
    unsigned line = load_line(l, sec, NULL) ? load_line(l, sec, NULL) : (unsigned)sec->line;
    bool star = p->domains.n == 1 && str_eq(p->domains.v[0], STR("*"));

    if (!p->domains.n && !p->next_hop.n && !p->n_sources && !p->certificate_names.n && !p->numbers.n)
        load_problem(l, line, "peer \"%s\" is never met; add domains, next-hop or certificate-names", p->name.p);
    if ((star || !p->domains.n) && !p->next_hop.n && !p->certificate_names.n && !p->n_sources && !p->account.n)
        load_problem(l, line, "peer \"%s\" takes all domains but has no next-hop; add next-hop = \"sip:...\"", p->name.p);
    if (p->kind == CONFIG_IMS)
        load_problem(l, load_line(l, sec, "kind"),
                     "peer \"%s\": kind = ims, a carrier's IMS by AKA, sec-agree and IPsec (3GPP TS 24.229), is not there yet; use subscription for an "
                     "account with a password, or peering for mutual TLS", p->name.p);
    if (!p->name.n)
        load_problem(l, line, "a peer without a name; give it one, as peer \"partner\" { ... }");
    check_peer_domains(l, sec, p);
    check_hosts(l, sec, "domains", &p->domains);
    check_hosts(l, sec, "certificate-names", &p->certificate_names);
    check_hosts(l, sec, "identities", &p->identities);
    check_anchors(l, sec, "ca", p->ca);
    if (p->crl.n && check_file(l, sec, "crl", p->crl))
        check_crl(l, sec, "crl", p->crl);
    check_identity(l, sec, STR_NULL, p->certificate, p->key);
    if ((p->rewrites_embedded || p->rewrites_numbers) && (star || (!p->domains.n && !p->identities.n)))
        load_problem(l, line, "peer \"%s\" rewrites addresses to a domain that nothing names; add domains or identities", p->name.p);
    if (p->numbers.n && !p->account.n && !p->next_hop.n && (star || !p->domains.n))
        load_problem(l, load_line(l, sec, "numbers"), "peer \"%s\" takes numbers but nothing says where it is; add next-hop = \"sip:...\"",
                     p->name.p);
    if (p->check_interval_s && !p->next_hop.n && (star || !p->domains.n))
        load_problem(l, load_line(l, sec, "check-interval"),
                     "peer \"%s\" cannot be asked: nothing says where it is; add next-hop = \"sip:...\"", p->name.p);
    if (p->certificate_names.n && !can_come(l->c, p))
        load_problem(l, load_line(l, sec, "certificate-names"),
                     "peer \"%s\" cannot prove itself when it connects; add its ca = \"FILE\", or client-ca to a listen section",
                     p->name.p);
    if (!p->allow_clear && p->protected_by == CONFIG_PROTECTED_NO && p->next_hop.n && !str_starts_nocase(p->next_hop, STR("sips:"))) {
        struct str rest = p->next_hop, head;
        bool tls = false;

        while (rest.p) {
            rest = str_cut(rest, ';', &head);
            tls |= str_eq_nocase(head, STR("transport=tls"));
        }
        if (!tls)
            load_problem(l, load_line(l, sec, "next-hop"),
                         "next-hop = \"%s\" may be reached in clear; add ;transport=tls or allow-clear = yes", p->next_hop.p);
    }
    check_numbers(l, sec, p);
    check_removed(l, sec, "remove-headers-from", &p->remove_from);
    check_removed(l, sec, "remove-headers-to", &p->remove_to);
    check_set(l, sec, &p->set_to);
    check_trunk(l, sec, p);
    check_protection(l, sec, p);
    check_rfc4474(l, sec, p);
}

/* RFC 8862 4.1: each is one user's. */
static void check_user_certificates(struct load *l, cfg_t *root, const struct config *c)
{
    struct pki_chain *chain;
    struct reason why = {0};
    size_t i;

    if (c->user_certificates.n > LIMIT_USER_CERTS)
        load_problem(l, load_line(l, root, "user-certificates"), "user-certificates: more than %u", LIMIT_USER_CERTS);
    for (i = 0; l->files && i < c->user_certificates.n; i++) {
        if (!check_file(l, root, "user-certificates", c->user_certificates.v[i]))
            continue;
        if (pki_chain_load(c->user_certificates.v[i].p, &chain, &why) != 0) {
            load_problem(l, load_line(l, root, "user-certificates"), "%s: %s", c->user_certificates.v[i].p, why.detail);
            continue;
        }
        if (!pki_chain_facts(chain)->n_uris)
            load_problem(l, load_line(l, root, "user-certificates"), "%s: no subjectAltName URI:sip:USER@DOMAIN in it", c->user_certificates.v[i].p);
        pki_chain_unref(chain);
    }
}

/* A key that a handshake can be had to use says nothing about who has signed a request, and the other way round. */
static void check_key_alone(struct load *l, const cfg_t *sec, const struct config_identity *d, const char *option, struct str file)
{
    const struct config *c = l->c;
    size_t i;

    for (i = 0; i < c->n_domains; i++)
        if (c->domains[i].certificate.n && pki_certs_share_key(file.p, c->domains[i].certificate.p))
            load_problem(l, load_line(l, sec, option), "identity \"%s\" has the key that domain \"%s\" uses for TLS; make one of its own",
                         d->name.p, c->domains[i].name.p);
    for (i = 0; i < c->n_peers; i++)
        if (c->peers[i].certificate.n && pki_certs_share_key(file.p, c->peers[i].certificate.p))
            load_problem(l, load_line(l, sec, option), "identity \"%s\" has the key that peer \"%s\" is shown for TLS; make one of its own",
                         d->name.p, c->peers[i].name.p);
}

/* RFC 4474 5 and 9: an RSA key, and a name that is the domain's. */
static void check_signing_rfc4474(struct load *l, const cfg_t *sec, const struct config_identity *d)
{
    unsigned line = load_line(l, sec, "rfc4474-certificate");
    const struct pki_chain_facts *f;
    struct pki_chain *chain;
    struct identity_credential cred = {.state = IDENTITY_CRED_GOOD};
    struct reason why = {0};
    bool has_name = false;
    size_t i;

    if (!d->rfc4474_certificate.n && !d->rfc4474_key.n && !d->rfc4474_url.n)
        return;
    if (!d->rfc4474_certificate.n || !d->rfc4474_key.n || !d->rfc4474_url.n) {
        load_problem(l, line ? line : (unsigned)sec->line, "identity \"%s\" needs rfc4474-certificate, rfc4474-key and rfc4474-url, or none of them", d->name.p);
        return;
    }
    if (!str_starts_nocase(d->rfc4474_url, STR("https://")))
        load_problem(l, load_line(l, sec, "rfc4474-url"), "rfc4474-url = \"%s\": certificates are given to others by https:// only", d->rfc4474_url.p);
    if (str_eq(d->rfc4474_url, d->url))
        load_problem(l, load_line(l, sec, "rfc4474-url"), "rfc4474-url is that of another certificate; name another path");
    if (!l->files || !check_file(l, sec, "rfc4474-certificate", d->rfc4474_certificate))
        return;
    check_key_alone(l, sec, d, "rfc4474-certificate", d->rfc4474_certificate);
    if (pki_chain_load(d->rfc4474_certificate.p, &chain, &why) != 0) {
        load_problem(l, line, "%s; use leaf and issuers, PEM", why.detail[0] ? why.detail : why.code);
        return;
    }
    f = pki_chain_facts(chain);
    for (i = 0; i < f->n_domains; i++)
        has_name |= str_eq_nocase(f->domains[i], d->name);
    if (identity_credential_make(l->c->arena, chain, &cred, &why) != 0 || !cred.rsa || rfc4474_key_bits(cred.rsa) < l->c->rfc4474_rsa_bits)
        load_problem(l, line, "rfc4474-certificate is not of an RSA key of %u to %u bits (rfc4474-key-bits)", l->c->rfc4474_rsa_bits, RFC4474_RSA_BITS_MAX);
    if (!has_name)
        load_problem(l, line, "rfc4474-certificate does not have the name %s, for whose users it is to sign", d->name.p);
    identity_credential_done(&cred);
    pki_chain_unref(chain);
}

/* The key is not looked at: only the keeper opens it. */
static void check_signing(struct load *l, const cfg_t *sec, const struct config_identity *d)
{
    unsigned line = load_line(l, sec, NULL) ? load_line(l, sec, NULL) : (unsigned)sec->line;
    struct pki_chain *chain;
    struct reason why = {0};
    size_t i, k;

    if (d->name.n == 0 || d->name.n > LIMIT_KEEPER_NAME)
        load_problem(l, line, "identity \"%s\": the name must have 1 to %u bytes", d->name.p, LIMIT_KEEPER_NAME);
    if (!config_domain_find(l->c, d->name))
        load_problem(l, line, "identity \"%s\" is not a domain of ours; name it as the domain section is", d->name.p);
    if (!d->certificate.n || !d->key.n || !d->url.n)
        load_problem(l, line, "identity \"%s\" needs certificate, key and url", d->name.p);
    if (d->url.n && !str_starts_nocase(d->url, STR("https://")))
        load_problem(l, load_line(l, sec, "url"), "url = \"%s\": nobody fetches certificates but by https://", d->url.p);
    for (i = 0; i < d->numbers.n; i++)
        for (k = 0; k < d->numbers.v[i].n || !k; k++)
            if (!d->numbers.v[i].n || d->numbers.v[i].p[k] < '0' || d->numbers.v[i].p[k] > '9') {
                load_problem(l, load_line(l, sec, "numbers"), "numbers: \"%s\" is not digits alone, as \"4930123\"", d->numbers.v[i].p);
                break;
            }
    check_signing_rfc4474(l, sec, d);
    if (!d->certificate.n || !l->files || !check_file(l, sec, "certificate", d->certificate))
        return;
    check_key_alone(l, sec, d, "certificate", d->certificate);
    if (pki_chain_load(d->certificate.p, &chain, &why) == 0)
        pki_chain_unref(chain);
    else
        load_problem(l, load_line(l, sec, "certificate"), "%s; use leaf and issuers, PEM", why.detail[0] ? why.detail : why.code);
}

static void check_listeners(struct load *l, cfg_t *root)
{
    const struct config *c = l->c;
    size_t i, k;

    for (i = 0; i < c->n_listens; i++) {
        const struct config_listen *a = &c->listens[i];

        check_listen(l, cfg_getnsec(root, "listen", (unsigned)i), a);
        for (k = 0; k < i; k++) {
            const struct config_listen *b = &c->listens[k];

            if ((a->transport == TRANSPORT_UDP) == (b->transport == TRANSPORT_UDP) && is_same_place(&a->addr, &b->addr))
                load_problem(l, (unsigned)cfg_getnsec(root, "listen", (unsigned)i)->line,
                             addr_eq(&a->addr, &b->addr) ? "listen \"%s\" is where listen \"%s\" is already; give it another port or remove one"
                                                         : "listen \"%s\" and listen \"%s\" have the same port, and one of them all addresses; give one another port, "
                                                           "or list each address",
                             a->title.p, b->title.p);
        }
        if (c->has_metrics && a->transport != TRANSPORT_UDP && is_same_place(&c->metrics, &a->addr))
            load_problem(l, load_line(l, root, "metrics"), "metrics is where listen \"%s\" is; give it another port", a->title.p);
    }
    if (!c->n_listens)
        load_problem(l, 0, "no listen section; add listen \"tls:ADDRESS:5061\" { }");
    if (c->n_listens > 32)
        load_problem(l, 0, "more than 32 listen sections");
}

void check_all(struct load *l, cfg_t *root)
{
    struct config *c = l->c;
    size_t i;

    check_places(l, root);
    check_listeners(l, root);
    if (!c->n_domains)
        load_problem(l, 0, "no domain section; add domain \"example.com\" { certificate = ... key = ... }");
    for (i = 0; i < c->n_domains; i++)
        check_domain(l, cfg_getnsec(root, "domain", (unsigned)i), &c->domains[i]);
    for (i = 0; i < c->n_peers; i++)
        check_peer(l, cfg_getnsec(root, "peer", (unsigned)i), &c->peers[i]);
    if (c->n_identities > LIMIT_KEEPER_KEYS)
        load_problem(l, 0, "more than %u identity sections", LIMIT_KEEPER_KEYS);
    for (i = 0; i < c->n_identities; i++)
        check_signing(l, cfg_getnsec(root, "identity", (unsigned)i), &c->identities[i]);
    check_user_certificates(l, root, c);
    check_anchors(l, root, "fetch-ca", c->fetch_ca);
    check_anchors(l, root, "identity-ca", c->identity_ca);
    if (c->identity_crl.n && !c->identity_ca.n)
        load_problem(l, load_line(l, root, "identity-crl"), "identity-crl without identity-ca; add identity-ca = \"FILE\"");
    else if (c->identity_crl.n && c->identity_revocation == PKI_REVOCATION_OFF)
        load_problem(l, load_line(l, root, "identity-revocation"), "identity-revocation = off with identity-crl; remove one of them");
    else if (c->identity_crl.n)
        (void)check_file(l, root, "identity-crl", c->identity_crl);
    for (i = 0; i < c->n_domains; i++)
        check_media_side(l, cfg_getnsec(root, "domain", (unsigned)i), &c->domains[i].media);
    for (i = 0; i < c->n_peers; i++)
        check_media_side(l, cfg_getnsec(root, "peer", (unsigned)i), &c->peers[i].media);
    check_media(l, cfg_getsec(root, "media"));
    if (c->emergency.peer.n && !config_peer_find(c, c->emergency.peer))
        load_problem(l, load_line(l, cfg_getsec(root, "emergency"), "peer"), "emergency peer \"%s\" does not exist; add its peer section",
                     c->emergency.peer.p);
    if (c->emergency.urns.n && !c->emergency.peer.n)
        load_problem(l, load_line(l, cfg_getsec(root, "emergency"), "numbers"), "emergency numbers without a peer; add peer = \"NAME\"");
    if (c->hep.allow_mirror && !addr_is_set(&c->hep.collector))
        load_problem(l, load_line(l, cfg_getsec(root, "hep"), "allow-mirror"), "the mirror has no collector; add collector = \"ADDRESS:9060\"");
}

/* ---- questions ---- */

struct config *config_ref(struct config *c)
{
    __atomic_add_fetch(&c->refs, 1, __ATOMIC_RELAXED);
    return c;
}

void config_unref(struct config *c)
{
    if (!c || __atomic_sub_fetch(&c->refs, 1, __ATOMIC_ACQ_REL) != 0)
        return;
    arena_free(c->arena);
    mem_free(c);
}

const struct config_domain *config_domain_find(const struct config *c, struct str host)
{
    size_t i, k;

    for (i = 0; i < c->n_domains; i++) {
        const struct config_domain *d = &c->domains[i];

        if (str_eq_nocase(d->name, host))
            return d;
        for (k = 0; k < d->aliases.n; k++)
            if (str_eq_nocase(d->aliases.v[k], host))
                return d;
    }
    return NULL;
}

bool config_peer_is_protected(const struct config_peer *p, uint64_t now_s)
{
    uint64_t until;

    return p->protected_by != CONFIG_PROTECTED_NO && config_date_parse(p->protected_until, &until) && now_s < until;
}

bool config_peer_may_clear(const struct config_peer *p, uint64_t now_s)
{
    return p->allow_clear || config_peer_is_protected(p, now_s);
}

const struct config_peer *config_peer_find(const struct config *c, struct str name)
{
    size_t i;

    for (i = 0; i < c->n_peers && name.n; i++)
        if (str_eq(c->peers[i].name, name))
            return &c->peers[i];
    return NULL;
}

static bool member_differs(const struct row *r, const char *a, const char *b)
{
    switch (r->kind) {
    case ROW_BOOL:
        return *(const bool *)(a + r->offset) != *(const bool *)(b + r->offset);
    case ROW_U32:
    case ROW_ENUM:
        return *(const uint32_t *)(const void *)(a + r->offset) != *(const uint32_t *)(const void *)(b + r->offset);
    case ROW_U64:
        return *(const uint64_t *)(const void *)(a + r->offset) != *(const uint64_t *)(const void *)(b + r->offset);
    case ROW_ADDR: {
        const struct addr *x = (const void *)(a + r->offset), *y = (const void *)(b + r->offset);

        return addr_is_set(x) != addr_is_set(y) || (addr_is_set(x) && !addr_eq(x, y));
    }
    case ROW_TEXT:
    case ROW_FILE:
    case ROW_PATH:
    case ROW_URI:
        return !str_eq(*(const struct str *)(const void *)(a + r->offset), *(const struct str *)(const void *)(b + r->offset));
    case ROW_LIST:
    case ROW_NETS:
        return false; /* every list can be reloaded */
    }
    return false;
}

size_t config_not_reloadable(const struct config *before, const struct config *after, struct str *ret, size_t cap)
{
    static const enum row_section sections[] = {SECTION_TOP, SECTION_HEP, SECTION_MEDIA};
    size_t found = 0, n, i, s;

    for (s = 0; s < ARRAY_LEN(sections); s++) {
        const struct row *v = rows_of(sections[s], &n);

        for (i = 0; i < n && found < cap; i++)
            if (!v[i].doc.reloadable && member_differs(&v[i], (const char *)before, (const char *)after))
                ret[found++] = str_z(v[i].doc.name);
    }
    return found;
}
