/* The configuration: what is read, what is refused with which line and cure, what cannot be changed while running. */
#include "check.h"
#include "config/config.h"
#include "pki/tls.h"
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static char problems[8192];
static unsigned n_problems;

static void on_problem(void *arg, struct str line)
{
    size_t at = strlen(problems);

    (void)arg;
    n_problems++;
    snprintf(problems + at, sizeof problems - at, "%.*s\n", STR_FMT(line));
}

static int parse(const char *text, struct config **ret)
{
    problems[0] = 0;
    n_problems = 0;
    return config_parse(str_z(text), on_problem, NULL, ret);
}

static void expect_problem(const char *text, const char *part)
{
    struct config *c;

    check_err(parse(text, &c), ERR_INVALID);
    assert_null(c);
    if (!strstr(problems, part))
        fail_msg("expected \"%s\" in: %s", part, problems);
}

#define DOMAIN "domain \"example.com\" { certificate = \"c\" key = \"k\" }\n"
#define ACCOUNT DOMAIN "listen \"tls:127.0.0.1:5061\" { }\npeer \"p\" { kind = subscription account = \"p@example.com\""

#define OLD(url) "identity \"example.com\" { certificate = c key = k url = \"https://x/a\" rfc4474-certificate = c rfc4474-key = k rfc4474-url = \"" url "\" }\n"

static void reads_what_is_written(void **state)
{
    struct config *c;
    const struct config_peer *p;

    (void)state;
    check_err(parse("state-dir = \"/tmp/x\"\nworkers = 2\nlog-level = debug\n"
                    "domain \"Example.COM\" { certificate = \"c\" key = \"k\" aliases = {\"a.example\", \"192.0.2.1\"} allow-md5 = yes }\n"
                    "listen \"tls:[::1]:5061\" { tls-min = \"1.3\" client-certificate = require client-ca = \"ca\" }\n"
                    "listen \"udp:127.0.0.1:5060\" { allow-clear = yes }\n"
                    "peer \"p\" { kind = gateway domains = {\"*\"} next-hop = \"sip:192.0.2.9;transport=tcp\"\n"
                    " allow-clear = yes allow-sources = {\"192.0.2.9\", \"198.51.100.0/24\"} }\n",
                    &c),
              0);
    check_str(c->state_dir, "/tmp/x");
    check_str(c->store_file, "/tmp/x/sallyport.db");
    check_str(c->control_socket, "/tmp/x/control");
    assert_int_equal(c->workers, 2);
    assert_int_equal(c->log_level, LOG_DEBUG);
    assert_int_equal(c->timer_c_s, 185);
    assert_int_equal(c->n_domains, 1);
    check_str(c->domains[0].name, "example.com");
    check_str(c->domains[0].realm, "example.com");
    assert_true(c->domains[0].allow_md5);
    assert_false(c->domains[0].allow_clear_digest);
    assert_int_equal(c->domains[0].nonce_lifetime_s, 300);
    assert_ptr_equal(config_domain_find(c, STR("A.Example")), &c->domains[0]);
    assert_null(config_domain_find(c, STR("b.example")));
    assert_int_equal(c->n_listens, 2);
    assert_int_equal(c->listens[0].transport, TRANSPORT_TLS);
    assert_int_equal(c->listens[0].tls_min, 13);
    assert_int_equal(c->listens[0].client_cert, 2);
    assert_int_equal(addr_port(&c->listens[0].addr), 5061);
    assert_int_equal(c->listens[1].idle_s, 900);
    p = config_peer_find(c, STR("p"));
    assert_non_null(p);
    assert_int_equal(p->kind, CONFIG_GATEWAY);
    assert_int_equal(p->n_sources, 2);
    assert_int_equal(p->tls_min, 12);
    assert_int_equal(c->n_allow, 4); /* md5, clear listener, clear peer, sources */
    check_str(c->allow[0].option, "allow-clear");
    check_str(c->allow[0].where, "listen udp:127.0.0.1:5060");
    assert_int_equal(c->allow[0].line, 6);
    config_unref(c);
}

/* RFC 5280 6.3, RFC 5924 5: off and ignore weaken, and are listed as what begins with allow-. */
static void reads_revocation(void **state)
{
    struct config *c;

    (void)state;
    check_err(parse(DOMAIN "listen \"tls:127.0.0.1:5061\" { client-ca = \"ca\" client-crl = \"crl\" client-revocation = hard }\n"
                    "peer \"a\" { domains = {\"a.example\"} }\n"
                    "peer \"b\" { domains = {\"b.example\"} revocation = hard crl = \"crl\" client-usage = required }\n"
                    "peer \"c\" { domains = {\"c.example\"}\n revocation = off\n client-usage = ignore }\n",
                    &c),
              0);
    assert_int_equal(c->listens[0].client_revocation, PKI_REVOCATION_HARD);
    assert_true(c->listens[0].client_crl.n > 0);
    assert_int_equal(c->peers[0].revocation, PKI_REVOCATION_SOFT);
    assert_int_equal(c->peers[0].client_usage, PKI_USAGE_ANY_TLS);
    assert_int_equal(c->peers[1].revocation, PKI_REVOCATION_HARD);
    assert_true(c->peers[1].crl.n > 0);
    assert_int_equal(c->peers[1].client_usage, PKI_USAGE_REQUIRED);
    assert_int_equal(c->peers[2].revocation, PKI_REVOCATION_OFF);
    assert_int_equal(c->peers[2].client_usage, PKI_USAGE_IGNORE);
    assert_int_equal(c->n_allow, 2);
    check_str(c->allow[0].option, "revocation = off");
    check_str(c->allow[0].where, "peer c");
    assert_int_equal(c->allow[0].line, 6);
    check_str(c->allow[1].option, "client-usage = ignore");
    config_unref(c);
}

static void says_line_and_cure(void **state)
{
    (void)state;
    expect_problem("workers = x\n" DOMAIN "listen \"tls:127.0.0.1:5061\" { }\n", "(text):1: workers = x: not a number from 0 to 64");
    expect_problem(DOMAIN "\n\nlisten \"tls:127.0.0.1:5061\" { tls-min = 1.1 }\n", "(text):4: tls-min = 1.1: must be one of 1.2|1.3");
    expect_problem(DOMAIN "listen \"tls:127.0.0.1:5061\" { client-revocation = maybe }\n", "must be one of off|soft|hard");
    expect_problem("lisen \"tls:127.0.0.1:5061\" { }\n", "did you mean 'listen'");
    expect_problem(DOMAIN "listen \"tls:127.0.0.1:5061\" {\n  alow-clear = yes\n}\n", "3: there is no option 'alow-clear' in section listen; did you mean 'allow-clear'?");
    expect_problem(DOMAIN "listen \"udp:127.0.0.1:5060\" { }\n", "in clear; use tls or wss, or add allow-clear = yes");
    expect_problem(DOMAIN "listen \"dtls:127.0.0.1:5060\" { }\n", "SIP over DTLS is out of scope");
    expect_problem(DOMAIN "listen \"tls:0.0.0.0:5061\" { }\n", "add advertise");
    expect_problem(DOMAIN "listen \"tls:example.com\" { }\n", "must be transport:address:port");
    expect_problem(DOMAIN "listen \"tls:127.0.0.1:5061\" { advertise = \"bad host\" }\n", "2: advertise = \"bad host\" is no host");
    expect_problem(DOMAIN "listen \"tls:127.0.0.1:5061\" { advertise = \"a.b:0\" }\n", "2: advertise = \"a.b:0\" is no host");
    expect_problem(DOMAIN "listen \"tls:127.0.0.1:5061\" { advertise = \"[::1]x\" }\n", "is no host");
    expect_problem(DOMAIN "domain \"EXAMPLE.com\" { }\nlisten \"tls:127.0.0.1:5061\" { }\n", "2: domain \"example.com\" is a name of domain \"example.com\" already");
    expect_problem(DOMAIN "domain \"b.x\" { aliases = {\"example.com\"} }\nlisten \"tls:127.0.0.1:5061\" { }\n", "2: aliases: \"example.com\" is a name of domain");
    expect_problem(DOMAIN "domain \"b.x\" { aliases = {\"c d\"} }\nlisten \"tls:127.0.0.1:5061\" { }\n", "2: aliases: \"c d\" is neither");
    expect_problem(DOMAIN "listen \"tls:127.0.0.1:5061\" { }\nserver-header = \"a\\r\\nX: y\"\n", "3: server-header has a control character");
    expect_problem(DOMAIN, "no listen section");
    expect_problem("listen \"tls:127.0.0.1:5061\" { }\n", "no domain section");
    expect_problem("domain \"a.b\" { certificate = \"c\" }\nlisten \"tls:127.0.0.1:5061\" { }\n", "1: certificate without key");
    expect_problem("peer \"p\" { domains = {\"*.b.example\"} next-hop = \"sips:b.example\" }\n", "is a wildcard");
    expect_problem("peer \"p\" { certificate-names = {\"m\xc3\xbc" "ller.example\"} }\n", "xn--");
    expect_problem("peer \"p\" { next-hop = \"sips:b.example\" identities = {\"sip:b.example\"} }\n", "neither a host name");
    expect_problem("domain \"a b\" { }\nlisten \"udp:127.0.0.1:5060\" { allow-clear = yes }\n", "is not a host name");
    expect_problem("domain \"a.b\" { unknown-users = \"x\" }\nlisten \"udp:127.0.0.1:5060\" { allow-clear = yes }\n", "there is no such peer");
    expect_problem(DOMAIN "listen \"tls:127.0.0.1:5061\" { }\npeer \"p\" { next-hop = \"sip:192.0.2.1\" }\n", "3: next-hop = \"sip:192.0.2.1\" may be reached in clear");
    expect_problem(DOMAIN "listen \"tls:127.0.0.1:5061\" { }\npeer \"p\" { }\n", "is never met");
    expect_problem(DOMAIN "listen \"tls:127.0.0.1:5061\" { }\nidentity \"other.test\" { }\n", "is not a domain of ours");
    expect_problem(DOMAIN "listen \"tls:127.0.0.1:5061\" { }\nidentity \"example.com\" { key = k }\n", "needs certificate, key and url");
    expect_problem(DOMAIN "listen \"tls:127.0.0.1:5061\" { }\nidentity \"example.com\" { url = \"http://x/\" }\n", "by https://");
    expect_problem(DOMAIN "listen \"tls:127.0.0.1:5061\" { }\nidentity \"example.com\" { numbers = {\"+49\"} }\n", "digits alone");
    expect_problem(DOMAIN "listen \"tls:127.0.0.1:5061\" { }\nrfc4474-key-bits = 1024\n", "rfc4474-key-bits = 1024: not a number from 2048 to 4096");
    expect_problem(DOMAIN "listen \"tls:127.0.0.1:5061\" { }\npeer \"p\" { domains = {\"p.example\"} sign-identity = rfc4474 }\n",
                   "peer \"p\" is to get signatures with SHA-1; add allow-rfc4474 = yes");
    expect_problem(DOMAIN "listen \"tls:127.0.0.1:5061\" { }\npeer \"p\" { domains = {\"p.example\"} private-network = \"x.example\" "
                   "private-sign-identity = both }\n", "peer \"p\" is to get signatures with SHA-1; add allow-rfc4474 = yes");
    expect_problem(DOMAIN "listen \"tls:127.0.0.1:5061\" { }\npeer \"p\" { domains = {\"p.example\"} sign-identity = both allow-rfc4474 = yes }\n",
                   "there is no RSA key for them; add rfc4474-certificate");
    expect_problem(DOMAIN "listen \"tls:127.0.0.1:5061\" { }\nidentity \"example.com\" { rfc4474-key = k }\n",
                   "needs rfc4474-certificate, rfc4474-key and rfc4474-url, or none of them");
    expect_problem(DOMAIN "listen \"tls:127.0.0.1:5061\" { }\n" OLD("http://x/b"), "certificates are given to others by https:// only");
    expect_problem(DOMAIN "listen \"tls:127.0.0.1:5061\" { }\n" OLD("https://x/a"), "rfc4474-url is that of another certificate");
    expect_problem(DOMAIN "listen \"tls:127.0.0.1:5061\" { }\nidentity-crl = x\n", "identity-crl without identity-ca");
    expect_problem(DOMAIN "listen \"tls:127.0.0.1:5061\" { }\nlisten \"tls:127.0.0.1:5061\" { }\n", "3: the section \"tls:127.0.0.1:5061\" is there twice; remove one");
    expect_problem(DOMAIN "listen \"tls:127.0.0.1:5061\" { }\npeer \"p\" { kind = site\n domains = {\"p.x\", \"q.x\"}\n kind = peering }\n",
                   "5: kind is set twice here, in line 3 first; remove one");
    expect_problem(DOMAIN "listen \"tls:127.0.0.1:5061\" { }\nworkers = 1\nworkers = 2\n", "4: workers is set twice here, in line 3 first; remove one");
    expect_problem(DOMAIN "listen \"tls:127.0.0.1:5061\" { }\nemergency { numbers = {\"112\"} }\n", "emergency numbers without a peer");
    expect_problem(DOMAIN "listen \"tls:127.0.0.1:5061\" { }\nhep { allow-mirror = yes }\n", "the mirror has no collector");
    expect_problem("\ndomain \"x.y\" {\n  key = \"}\" # }\n", "2: what is opened here is never closed");
    expect_problem("state-dir = \"x\n", "never closed");
    expect_problem(DOMAIN "listen \"tls:127.0.0.1:5061\" { client-certificate = require }\n", "2: certificates are required but nothing says whose");
    expect_problem(DOMAIN "listen \"tls:127.0.0.1:5061\" { }\npeer \"p\" { domains = {\"p.x\"} certificate-names = {\"p.x\"} }\n", "3: peer \"p\" cannot prove itself");
    expect_problem(DOMAIN "listen \"tls:127.0.0.1:5061\" { }\npeer \"p\" { kind = ims domains = {\"p.x\"} }\n",
                   "3: peer \"p\": kind = ims, a carrier's IMS by AKA, sec-agree and IPsec (3GPP TS 24.229), is not there yet; use subscription");
    expect_problem(DOMAIN "listen \"tls:127.0.0.1:5061\" { }\npeer \"p\" { domains = {\"p.x\"} user = \"u\" }\n", "3: peer \"p\" has an account but is none to register with; add kind");
    expect_problem(DOMAIN "listen \"tls:127.0.0.1:5061\" { }\npeer \"p\" { kind = subscription domains = {\"p.x\"} }\n", "3: peer \"p\" is a subscription without account; add user and password-file");
    expect_problem(DOMAIN "listen \"tls:127.0.0.1:5061\" { }\npeer \"p\" { kind = subscription domains = {\"*\"} user = \"u\" password-file = \"f\" next-hop = \"sips:p.x\" }\n", "3: peer \"p\": nothing says whom to register with");
    expect_problem(DOMAIN "listen \"tls:127.0.0.1:5061\" { }\npeer \"p\" { kind = subscription domains = {\"p.x\"} user = \"u\" password-file = \"f\" }\n", "3: peer \"p\" challenges our calls");
    expect_problem(DOMAIN "listen \"tls:127.0.0.1:5061\" { }\npeer \"p\" { domains = {\"p.x\"} from-user = \"u\" }\n", "3: peer \"p\" has an account but is none to register with; add kind");
    expect_problem(DOMAIN "listen \"tls:127.0.0.1:5061\" { }\npeer \"p\" { kind = subscription domains = {\"p.x\"} user = \"u\" password-file = \"f\" from-user = \"u@x\" }\n", "3: from-user = \"u@x\" is no user");
    expect_problem(DOMAIN "listen \"tls:127.0.0.1:5061\" { }\npeer \"p\" { domains = {\"p.x\"} account = \"p@x\" }\n", "3: peer \"p\" has no account with us; add kind");
    expect_problem(DOMAIN "listen \"tls:127.0.0.1:5061\" { }\npeer \"p\" { kind = subscription account = \"p@other\" numbers = {\"+49\"} }\n", "3: account = \"p@other\" is no user of a domain of ours");
    expect_problem(DOMAIN "listen \"tls:127.0.0.1:5061\" { }\npeer \"p\" { domains = {\"p.x\"} private-sign-identity = none }\n", "peer \"p\" has rules for a private network and is of none");
    expect_problem("domain \"example.com\" { certificate = \"c\" key = \"k\" accept-callers = {\"john@x\"} }\nlisten \"tls:127.0.0.1:5061\" { }\n", "1: accept-callers: \"john@x\" is no caller");
    expect_problem(DOMAIN "listen \"tls:127.0.0.1:5061\" { }\npeer \"p\" { domains = {\"p.x\"} remove-headers-to = {\"Server\", \"m\"} }\n",
                   "remove-headers-to: m is needed, or has an option of its own");
    expect_problem(DOMAIN "listen \"tls:127.0.0.1:5061\" { }\npeer \"p\" { domains = {\"p.x\"} remove-headers-from = {\"X-A\", \"identity\"} }\n",
                   "remove-headers-from: identity is needed, or has an option of its own");
    expect_problem(DOMAIN "listen \"tls:127.0.0.1:5061\" { }\npeer \"p\" { domains = {\"p.x\"} remove-headers-from = {\"X-A: b\"} }\n",
                   "remove-headers-from: \"X-A: b\" is no name of a header");
#define SET(v) DOMAIN "listen \"tls:127.0.0.1:5061\" { }\npeer \"p\" { domains = {\"p.x\"} set-headers-to = {" v "} }\n"
    static const char *const owned[] = {"Via", "v", "Route", "Record-Route", "Path", "Contact", "m", "From", "To", "t", "Call-ID", "CSeq", "Max-Forwards",
                                        "Identity", "y", "Identity-Info", "Date", "P-Asserted-Identity", "P-Preferred-Identity", "Remote-Party-ID", "Privacy",
                                        "Content-Type", "c", "Content-Length", "l", "Content-Foo", "X-Sallyport-Status", "x-sallyport-gateway",
                                        "P-Private-Network-Indication", "Authorization", "Proxy-Authorization", "WWW-Authenticate", "Require", "Proxy-Require",
                                        "Supported", "k", "Refer-To", "Replaces", "Join", "Event", "Subscription-State", "Expires", "Session-Expires", "Min-SE",
                                        "Allow", "RAck", "RSeq", "Target-Dialog", "History-Info", "Diversion", "Referred-By", "b", "Authentication-Info",
                                        "Service-Route", "Max-Breadth", "Flow-Timer", "SIP-ETag", "SIP-If-Match", "Security-Client", "MIME-Version"};
    for (size_t i = 0; i < sizeof owned / sizeof owned[0]; i++) {
        char text[512], want[128];

        snprintf(text, sizeof text, SET("\"%s: 1\""), owned[i]);
        snprintf(want, sizeof want, "3: set-headers-to: %s is needed, or has an option of its own", owned[i]);
        expect_problem(text, want);
    }
    expect_problem(SET("\"X-A\""), "3: set-headers-to: \"X-A\" is no header");
    expect_problem(SET("\"X-A:\""), "3: set-headers-to: \"X-A:\" is no header");
    expect_problem(SET("\"X A: 1\""), "3: set-headers-to: \"X A: 1\" is no header");
    expect_problem(SET("\": 1\""), "3: set-headers-to: \": 1\" is no header");
    expect_problem(SET("\"X-A: 1\\r\\nVia: x\""), "is no header");
    expect_problem(SET("\"X-A: 1\\nVia: x\""), "is no header");
    expect_problem(SET("\"X-A: \\xff\""), "is no header");
    expect_problem(SET("\"A: 1\",\"A: 2\",\"A: 3\",\"A: 4\",\"A: 5\",\"A: 6\",\"A: 7\",\"A: 8\",\"A: 9\",\"A: 10\",\"A: 11\",\"A: 12\",\"A: 13\",\"A: 14\",\"A: 15\",\"A: 16\",\"A: 17\""),
                   "3: set-headers-to has 17 headers, and may have 16");
    expect_problem(DOMAIN "listen \"tls:127.0.0.1:5061\" { }\npeer \"p\" { next-hop = \"sips:p.x\" rewrites-numbers = yes }\n", "peer \"p\" rewrites addresses to a domain that nothing names");
    expect_problem(ACCOUNT " }\n", "3: peer \"p\" has an account without numbers");
    expect_problem(ACCOUNT " numbers = {\"00\"} }\n", "3: numbers: \"00\" of an account needs its country code");
    expect_problem(ACCOUNT " numbers = {\"+49\"} foreign-callers = replace }\n", "3: peer \"p\": main-number must be one of its numbers");
    expect_problem(ACCOUNT " numbers = {\"+49\"} main-number = \"+431\" }\n", "3: peer \"p\": main-number must be one of its numbers");
    expect_problem(ACCOUNT " numbers = {\"+49\"} domains = {\"p.x\"} }\n", "3: peer \"p\" is where it registers from");
    expect_problem(ACCOUNT " numbers = {\"+49\"} user = \"u\" }\n", "3: peer \"p\" has an account with us and we have one with it");
    expect_problem(DOMAIN "listen \"tls:127.0.0.1:5061\" { }\npeer \"p\" { domains = {\"p.x\"} protected-by = vpn }\n", "3: peer \"p\": nobody says until when its hop is protected");
    expect_problem(DOMAIN "listen \"tls:127.0.0.1:5061\" { }\npeer \"p\" { domains = {\"p.x\"} protected-says = \"me\" }\n", "3: peer \"p\": nothing says what its hop is protected by");
    expect_problem(DOMAIN "listen \"tls:127.0.0.1:5061\" { }\npeer \"p\" { domains = {\"p.x\"} protected-by = lock protected-says = \"me\" protected-until = \"soon\" }\n", "3: protected-until = \"soon\" is no date");
    expect_problem(DOMAIN "listen \"tls:127.0.0.1:5061\" { }\npeer \"p\" { domains = {\"p.x\"} private-network = \"a b\" }\n", "3: private-network = \"a b\" is no domain");
    expect_problem(DOMAIN "listen \"tls:127.0.0.1:5061\" { }\npeer \"p\" { domains = {\"p.x\"} numbers = {\"+49\", \"+4930a\"} }\n", "3: numbers: \"+4930a\" is no beginning of a number");
    expect_problem(DOMAIN "listen \"tls:127.0.0.1:5061\" { }\npeer \"p\" { numbers = {\"0\"} }\n", "3: peer \"p\" takes numbers but nothing says where it is");
    expect_problem(DOMAIN "listen \"tls:127.0.0.1:5061\" { }\npeer \"p\" { domains = {\"*\"} check-interval = 9 certificate-names = {\"p\"} ca = \"c\" }\n", "3: peer \"p\" cannot be asked");
}

static void reports_all_problems(void **state)
{
    struct config *c;

    (void)state;
    check_err(parse("workers = 99\nexpiry-warning = 0\nlog-level = loud\n" DOMAIN "listen \"udp:127.0.0.1:5060\" { }\n", &c), ERR_INVALID);
    assert_int_equal(n_problems, 4);
}

static void tells_what_needs_a_restart(void **state)
{
    static const char rest[] = DOMAIN "listen \"tls:127.0.0.1:5061\" { }\n";
    char text[512];
    struct config *a, *b;
    struct str names[8];

    (void)state;
    check_err(parse(rest, &a), 0);
    snprintf(text, sizeof text, "workers = 3\nring-limit = 200\n%s", rest);
    check_err(parse(text, &b), 0);
    assert_int_equal(config_not_reloadable(a, b, names, 8), 1);
    check_str(names[0], "workers");
    assert_int_equal(config_not_reloadable(a, a, names, 8), 0);
    config_unref(a);
    config_unref(b);
}

static void count_line(void *arg, struct str line)
{
    unsigned *n = arg;

    assert_false(memchr(line.p, '\n', line.n) != NULL);
    ++*n;
}

static void documents_every_row(void **state)
{
    unsigned sample = 0, man = 0;
    size_t n, i;
    const struct config_row *rows = config_rows(&n);

    (void)state;
    config_write_sample(count_line, &sample);
    config_write_man(count_line, &man);
    assert_true(sample > 2 * n);
    assert_true(man > 3 * n);
    for (i = 0; i < n; i++) {
        assert_true(strlen(rows[i].sentence) > 10);
        assert_true(rows[i].sentence[strlen(rows[i].sentence) - 1] == '.');
        assert_true(strncmp(rows[i].name, "allow-", 6) != 0 || strcmp(rows[i].def, "yes") != 0);
    }
}

struct shown {
    char text[32768];
    size_t n;
};

static void show(void *arg, const struct config_value *v)
{
    struct shown *s = arg;

    s->n += (size_t)snprintf(s->text + s->n, sizeof s->text - s->n, "%s|%.*s|%s=%.*s\n", v->row->section, STR_FMT(v->title),
                             v->row->name, STR_FMT(v->value));
}

/* Each option of each section once, defaults too; and no secret. */
static void shows_what_is_in_force(void **state)
{
    static const char *const lines[] = {
        "||workers=0\n",
        "||log-level=debug\n",
        "||metrics=127.0.0.1:9100\n",
        "||control=/tmp/x/control\n",
        "listen|tls:[::1]:5061|tls-min=1.3\n",
        "listen|tls:[::1]:5061|client-certificate=ask\n",
        "listen|tls:[::1]:5061|idle-timeout=900\n",
        "domain|example.com|aliases=a.example, 192.0.2.1\n",
        "domain|example.com|allow-md5=yes\n",
        "domain|example.com|allow-clear-digest=no\n",
        "peer|p|kind=gateway\n",
        "peer|p|allow-sources=192.0.2.9, 198.51.100.0/24, [2001:db8::]/32\n",
        "hep||password=(set)\n",
        "hep||capture-id=1\n",
        "emergency||peer=p\n",
    };
    static struct shown s;
    struct config *c;
    size_t i;

    (void)state;
    check_err(parse("state-dir = \"/tmp/x\"\nlog-level = debug\nmetrics = \"127.0.0.1:9100\"\n"
                    "domain \"example.com\" { certificate = \"c\" key = \"k\" aliases = {\"a.example\", \"192.0.2.1\"} allow-md5 = yes }\n"
                    "listen \"tls:[::1]:5061\" { tls-min = \"1.3\" }\n"
                    "peer \"p\" { kind = gateway domains = {\"*\"} next-hop = \"sips:192.0.2.9\"\n"
                    " allow-sources = {\"192.0.2.9\", \"198.51.100.0/24\", \"2001:db8::/32\"} }\n"
                    "emergency { peer = \"p\" }\n"
                    "hep { allow-mirror = yes collector = \"192.0.2.1:9060\" password = \"hunter2\" }\n",
                    &c),
              0);
    s.n = 0;
    config_each_value(c, show, &s);
    for (i = 0; i < ARRAY_LEN(lines); i++)
        if (!strstr(s.text, lines[i]))
            fail_msg("no line \"%s\" in:\n%s", lines[i], s.text);
    assert_null(strstr(s.text, "hunter2"));
    config_unref(c);
}

/* `sallyport status` finds the daemon although the file has been broken since. */
/* What an administrator writes by mistake, and what would be found out by the first call, or not at all. */
static void says_plausible_mistakes(void **state)
{
#define LISTEN "listen \"tls:127.0.0.1:5061\" { }\n"
    struct config *c;

    (void)state;
    expect_problem("state-dir = \"\"\n" DOMAIN LISTEN, "(text):1: state-dir has an empty value; give it one, or leave it out");
    expect_problem(DOMAIN LISTEN "peer \"p\" { next-hop = \"sips:p.x\" domains = {\"p.x\", \"\"} }\n", "3: domains has an empty value");
    expect_problem(DOMAIN LISTEN "peer \"p\" { next-hop = \"sips:p.x\" domains = {\"p.x\", \"EXAMPLE.com\"} }\n",
                   "3: peer \"p\": \"EXAMPLE.com\" is domain \"example.com\" of ours, whose users are here; take it out");
    expect_problem(DOMAIN LISTEN "peer \"p\" { next-hop = \"sips:127.0.0.1\" domains = {\"p.x\"} }\n",
                   "3: peer \"p\": next-hop = \"sips:127.0.0.1\" is a listener of ours");
    expect_problem(DOMAIN LISTEN "peer \"\" { next-hop = \"sips:p.x\" domains = {\"p.x\"} }\n", "3: a peer without a name");
    expect_problem(DOMAIN LISTEN "listen \"wss:127.0.0.1:5061\" { }\n", "3: listen \"wss:127.0.0.1:5061\" is where listen \"tls:127.0.0.1:5061\" is already");
    expect_problem(DOMAIN LISTEN "listen \"wss:0.0.0.0:5061\" { advertise = \"e.x\" }\n",
                   "3: listen \"wss:0.0.0.0:5061\" and listen \"tls:127.0.0.1:5061\" have the same port, and one of them all addresses");
    expect_problem(DOMAIN "listen \"tls:[::]:5061\" { advertise = \"e.x\" }\nlisten \"tls:[::1]:5061\" { }\n",
                   "3: listen \"tls:[::1]:5061\" and listen \"tls:[::]:5061\" have the same port");
    check_err(parse(DOMAIN LISTEN "listen \"udp:0.0.0.0:5061\" { advertise = \"e.x\" allow-clear = yes }\n" /* another protocol, another family */
                    "listen \"tls:[::]:5061\" { advertise = \"e.x\" }\n", &c), 0);
    config_unref(c);
    expect_problem(DOMAIN LISTEN "metrics = \"0.0.0.0:5061\"\n", "3: metrics is where listen \"tls:127.0.0.1:5061\" is");
    expect_problem(DOMAIN LISTEN "metrics = \"127.0.0.1:5061\"\n", "3: metrics is where listen \"tls:127.0.0.1:5061\" is");
    expect_problem("state-dir = \"/12345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890\"\n" DOMAIN LISTEN,
                   "1: control: a socket's name has 107 characters at most");
}

static void expect_problem_of_file(const char *file, const char *line, const char *part)
{
    struct config *c;
    FILE *f = fopen(file, "w");

    assert_non_null(f);
    fprintf(f, "%s\n", line);
    fclose(f);
    problems[0] = 0;
    check_err(config_load(file, on_problem, NULL, &c), ERR_INVALID);
    if (!strstr(problems, part))
        fail_msg("expected \"%s\" in: %s", part, problems);
}

static void says_wrong_places(void **state)
{
    char dir[] = "/tmp/sallyport-cfg-XXXXXX", file[64];

    (void)state;
    assert_non_null(mkdtemp(dir));
    snprintf(file, sizeof file, "%s/f", dir);
    expect_problem_of_file(file, "state-dir = \"f\"", ":1: state-dir: ");
    expect_problem_of_file(file, "state-dir = \"f\"", "is no folder; name a folder");
    expect_problem_of_file(file, "state-dir = \"no/such\"", "No such file or directory; make that folder, or correct the name");
    expect_problem_of_file(file, "store = \".\"", "is a folder; name a file in a folder");
    expect_problem_of_file(file, "store = \"no/store.db\"", ":1: store: ");
    expect_problem_of_file(file, "control = \"f/control\"", "is no folder; correct the name");
    expect_problem_of_file(file, "identity-ca = \".\"", ":1: identity-ca: ");
    expect_problem_of_file(file, "identity-ca = \"f\"", "name a PEM file with the certificates of CAs");
    unlink(file);
    rmdir(dir);
}

static void finds_the_places_in_a_broken_file(void **state)
{
    char name[] = "/tmp/config.XXXXXX";
    static const char text[] = "state-dir = \"/tmp/x\"\nworkers = 999\ndomain \"a b\" { }\nlisten \"tls:1:1\" { wrong = 1 }\n"
                               "control = \"/tmp/too-late\"\n";
    FILE *f = fdopen(mkstemp(name), "w");
    struct config *c;

    (void)state;
    assert_non_null(f);
    assert_int_equal(fwrite(text, 1, sizeof text - 1, f), sizeof text - 1);
    fclose(f);
    check_err(config_load(name, on_problem, NULL, &c), ERR_INVALID);
    check_err(config_load_places(name, &c), 0);
    check_str(c->control_socket, "/tmp/x/control");
    config_unref(c);
    remove(name);
    check_err(config_load_places(name, &c), ERR_IO);
}

/* What a certificate for RFC 4474 must be: of an RSA key, long enough, with the domain's name. */
static void rsa_certificate(const char *dir, unsigned bits, const char *san)
{
    EVP_PKEY *key = bits ? EVP_RSA_gen(bits) : EVP_EC_gen("P-256");
    X509 *x = X509_new();
    X509_EXTENSION *ext = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, san);
    char file[128];
    FILE *f;

    snprintf(file, sizeof file, "%s/crt", dir);
    assert_true(key && x && ext);
    X509_set_version(x, 2);
    X509_gmtime_adj(X509_getm_notBefore(x), -3600);
    X509_gmtime_adj(X509_getm_notAfter(x), 86400);
    X509_set_pubkey(x, key);
    X509_add_ext(x, ext, -1);
    assert_true(X509_sign(x, key, EVP_sha256()) > 0);
    f = fopen(file, "w");
    assert_true(f && PEM_write_X509(f, x) == 1);
    fclose(f);
    X509_EXTENSION_free(ext);
    X509_free(x);
    EVP_PKEY_free(key);
}

static bool load_has_problem(const char *file, const char *part)
{
    struct config *c;

    problems[0] = 0;
    n_problems = 0;
    if (config_load(file, on_problem, NULL, &c) == 0)
        config_unref(c);
    return strstr(problems, part) != NULL;
}

static void rfc4474_certificates(void **state)
{
    char dir[] = "/tmp/config.XXXXXX", file[64], crt[64];
    FILE *f;

    (void)state;
    assert_non_null(mkdtemp(dir));
    snprintf(file, sizeof file, "%s/conf", dir);
    snprintf(crt, sizeof crt, "%s/crt", dir);
    f = fopen(file, "w");
    assert_non_null(f);
    fprintf(f, "domain \"example.com\" { }\nlisten \"udp:127.0.0.1:5060\" { allow-clear = yes }\nrfc4474-key-bits = 2048\n"
               "identity \"example.com\" { certificate = crt key = k url = \"https://x/a\" rfc4474-certificate = crt rfc4474-key = k rfc4474-url = \"https://x/b\" }\n");
    fclose(f);
    rsa_certificate(dir, 0, "DNS:example.com");
    assert_true(load_has_problem(file, "rfc4474-certificate is not of an RSA key of 2048 to 4096 bits"));
    rsa_certificate(dir, 1024, "DNS:example.com");
    assert_true(load_has_problem(file, "rfc4474-certificate is not of an RSA key of 2048 to 4096 bits"));
    rsa_certificate(dir, 2048, "DNS:sub.example.com");
    assert_true(load_has_problem(file, "rfc4474-certificate does not have the name example.com"));
    assert_false(load_has_problem(file, "of an RSA key"));
    rsa_certificate(dir, 2048, "DNS:x.example,DNS:Example.com");
    assert_false(load_has_problem(file, "rfc4474"));
    remove(file);
    remove(crt);
    rmdir(dir);
}

#define MEDIA "media { address = {\"10.0.0.1 advertise 192.0.2.1\", \"2001:db8::1\"} ports = \"20000-20999\" silence-limit = 0 }\n"

static void media_of_sides(void **state)
{
    struct config *c;
    struct addr local, advertised;
    uint16_t from, to;
    uint64_t day;

    (void)state;
    check_err(parse(DOMAIN "listen \"tls:127.0.0.1:5061\" { }\n" MEDIA
                    "peer \"a\" { domains = {\"a.example\"} media = protect media-keys = {\"sdes\", \"dtls\"} sdes-until = \"2027-12-31\"\n"
                    "  media-suites = {\"AES_CM_128_HMAC_SHA1_32\"} srtcp-tag = detect roc = keep allow-media-nat = yes\n"
                    "  sdes-lifetime = 31 sdes-mki = yes sdes-mki-length = 2 sdes-keys = 3 media-asymmetric = yes allow-unencrypted-media = yes }\n",
                    &c),
              0);
    assert_int_equal(c->domains[0].media.mode, CONFIG_MEDIA_DIRECT);
    assert_false(c->domains[0].media.allow_clear);
    assert_int_equal(c->domains[0].media.roc, 2);
    assert_int_equal(c->peers[0].media.mode, CONFIG_MEDIA_PROTECT);
    assert_int_equal(c->peers[0].media.keys.n, 2);
    assert_int_equal(c->peers[0].media.srtcp_tag, 2);
    assert_int_equal(c->peers[0].media.roc, 0);
    assert_true(c->peers[0].media.nat);
    assert_int_equal(c->peers[0].media.sdes_lifetime, 31);
    assert_true(c->peers[0].media.sdes_mki);
    assert_int_equal(c->peers[0].media.sdes_mki_length, 2);
    assert_int_equal(c->peers[0].media.sdes_keys, 3);
    assert_true(c->peers[0].media.asymmetric);
    assert_true(c->peers[0].media.allow_unencrypted);
    assert_false(c->peers[0].media.allow_unauthenticated);
    assert_false(c->peers[0].media.allow_sha1);
    assert_int_equal(c->media.silence_s, 0);
    assert_true(config_ports_parse(c->media.ports, &from, &to));
    assert_int_equal(from, 20000);
    assert_int_equal(to, 20999);
    assert_true(config_media_address_parse(c->media.address.v[0], &local, &advertised));
    assert_true(addr_is_set(&advertised));
    assert_true(config_media_address_parse(c->media.address.v[1], &local, &advertised));
    assert_false(addr_is_set(&advertised));
    assert_true(config_date_parse(c->peers[0].media.sdes_until, &day));
    assert_true(day == 1830297600u); /* 2028-01-01 */
    assert_false(config_date_parse(STR("2027-02-30"), &day));
    assert_false(config_date_parse(STR("27-02-03"), &day));
    assert_false(config_media_address_parse(STR("10.0.0.1 advertise 2001:db8::1"), &local, &advertised));
    assert_false(config_media_address_parse(STR("0.0.0.0"), &local, &advertised));
    config_unref(c);
}

static void media_that_does_not_fit(void **state)
{
    (void)state;
#define PEER(lines) DOMAIN "listen \"tls:127.0.0.1:5061\" { }\npeer \"a\" { domains = {\"a.example\"} " lines " }\n"
    expect_problem(PEER("media = protect"), "by no address");
    expect_problem(PEER("media-keys = {\"zrtp\"}"), "no method");
    expect_problem(PEER("media-keys = {\"clear\"}"), "add allow-clear-media");
    expect_problem(PEER("allow-clear-media = yes media-keys = {\"dtls\", \"clear\"}"), "clear stands alone");
    expect_problem(PEER("media-suites = {\"AES\"}"), "no suite");
    expect_problem(PEER("media-best-effort = yes"), "add allow-clear-media");
    expect_problem(PEER("sdes-until = \"soon\""), "must be a day");
    expect_problem(PEER("sdes-keys = 2"), "add sdes-mki-length");
    expect_problem(PEER("media = perhaps"), "must be one of");
    expect_problem(DOMAIN "listen \"tls:127.0.0.1:5061\" { }\nmedia { address = {\"host\"} }\n", "must be an address");
    expect_problem(DOMAIN "listen \"tls:127.0.0.1:5061\" { }\nmedia { ports = \"1-2\" }\n", "must be a range");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rfc4474_certificates),
        cmocka_unit_test(media_of_sides),
        cmocka_unit_test(media_that_does_not_fit),
        cmocka_unit_test(reads_what_is_written), cmocka_unit_test(reads_revocation),      cmocka_unit_test(says_line_and_cure),
        cmocka_unit_test(reports_all_problems),       cmocka_unit_test(tells_what_needs_a_restart),
        cmocka_unit_test(documents_every_row),        cmocka_unit_test(shows_what_is_in_force),
        cmocka_unit_test(says_plausible_mistakes),
        cmocka_unit_test(says_wrong_places),
        cmocka_unit_test(finds_the_places_in_a_broken_file),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
