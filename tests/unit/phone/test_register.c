/* RFC 3261 10.2, 22; RFC 5626 4.2, 4.4, 4.5; RFC 7616; RFC 8760: registration, its refresh, its
 * loss, and whom the phone tells what. */
#include "bed.h"
#include "oom.h"
#include <stdio.h>

static void ok_with(struct sip_msg *m, const char *more)
{
    char extra[1024];
    snprintf(extra, sizeof(extra), "Contact: %s\n%s", bed_header(m, "Contact"), more);
    bed_reply(m, 200, extra, NULL);
}

static void first(void **state)
{
    (void)state;
    bed_start();
    struct sip_msg *m = bed_take("REGISTER");
    check_str(m->ruri, "sip:example.com");
    assert_string_equal(bed_header(m, "Authorization"), ""); /* nothing before it is asked */
    assert_non_null(strstr(bed_header(m, "Contact"), ";reg-id=1;+sip.instance=\"<urn:uuid:"));
    assert_non_null(strstr(bed_header(m, "Contact"), ";ob>"));
    assert_non_null(strstr(bed_header(m, "Supported"), "outbound"));
    assert_non_null(strstr(bed_header(m, "Via"), "SIP/2.0/TCP 192.0.2.50:5062;branch=z9hG4bK"));
    uint32_t cseq = m->cseq;
    bed_reply(m, 401, BED_CHALLENGE, NULL);
    m = bed_take("REGISTER");
    assert_true(m->cseq == cseq + 1);
    assert_true(bed_knows(m, "Authorization", "secret"));
    assert_false(bed_knows(m, "Authorization", "other"));
    assert_non_null(strstr(bed_header(m, "Authorization"), "algorithm=SHA-256"));
    ok_with(m, "");
    bed_told("registered 3600;");
    assert_true(phone_is_registered(bed.phone));
    bed_nothing();
}

/* The refresh comes well before the end, with the same Call-ID, and the nonce is counted on. */
static void refresh(void **state)
{
    (void)state;
    bed_register();
    bed_wait(2999000);
    bed_nothing();
    bed_wait(2000);
    struct sip_msg *m = bed_take("REGISTER");
    assert_non_null(strstr(bed_header(m, "Authorization"), "nc=00000002"));
    assert_true(bed_knows(m, "Authorization", "secret"));
    bed_reply(m, 401,
              "WWW-Authenticate: Digest realm=\"example.com\", nonce=\"n2\", algorithm=SHA-256, "
              "qop=\"auth\", stale=true\n",
              NULL);
    m = bed_take("REGISTER");
    assert_non_null(strstr(bed_header(m, "Authorization"), "nonce=\"n2\""));
    assert_non_null(strstr(bed_header(m, "Authorization"), "nc=00000001"));
    ok_with(m, "");
    bed_told("");
}

static void wrong_password(void **state)
{
    (void)state;
    bed_start();
    bed_reply(bed_take("REGISTER"), 401, BED_CHALLENGE, NULL);
    bed_reply(bed_take("REGISTER"), 401, BED_CHALLENGE, NULL);
    bed_nothing();
    bed_told("unregistered 401 digest-refused final;");
}

/* Credentials go to their own realm only, and MD5 is answered only where it is allowed. */
static void challenges(void **state)
{
    (void)state;
    static const struct {
        const char *challenge, *told;
        bool md5;
        const char *algorithm; /* NULL: not answered */
    } cases[] = {
        {"WWW-Authenticate: Digest realm=\"evil.example\", nonce=\"x\", algorithm=SHA-256, "
         "qop=\"auth\"\n",
         "unregistered 401 digest-realm final;", false, NULL},
        {"WWW-Authenticate: Digest realm=\"Example.com\", nonce=\"x\", algorithm=SHA-256, "
         "qop=\"auth\"\n",
         "unregistered 401 digest-realm final;", false, NULL},
        {"WWW-Authenticate: Digest realm=\"example.com\", nonce=\"x\", qop=\"auth\"\n",
         "unregistered 401 digest-algorithm final;", false, NULL},
        {"WWW-Authenticate: Digest realm=\"example.com\", nonce=\"x\", algorithm=SHA-1, "
         "qop=\"auth\"\n",
         "unregistered 401 digest-algorithm final;", false, NULL},
        {"WWW-Authenticate: Basic realm=\"example.com\"\n",
         "unregistered 401 digest-algorithm final;", true, NULL},
        {"", "unregistered 401 digest-missing final;", true, NULL},
        {"WWW-Authenticate: Digest realm=\"example.com\", nonce=\"x\", qop=\"auth\"\n", "", true,
         "algorithm=MD5"},
        /* the first one that we can do (RFC 8760 2.4) */
        {"WWW-Authenticate: Digest realm=\"example.com\", nonce=\"x\", algorithm=SHA-512-256, "
         "qop=\"auth\"\n"
         "WWW-Authenticate: Digest realm=\"example.com\", nonce=\"x\", algorithm=SHA-256, "
         "qop=\"auth\"\n",
         "", false, "algorithm=SHA-512-256"},
        {"WWW-Authenticate: Digest realm=\"example.com\", nonce=\"x\", algorithm=MD5, "
         "qop=\"auth\"\n"
         "WWW-Authenticate: Digest realm=\"example.com\", nonce=\"x\", algorithm=SHA-256, "
         "qop=\"auth\"\n",
         "", false, "algorithm=SHA-256"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        bed.cfg.allow_md5 = cases[i].md5;
        bed_start();
        bed_reply(bed_take("REGISTER"), 401, cases[i].challenge, NULL);
        bed_told(cases[i].told);
        if (cases[i].algorithm == NULL) {
            bed_nothing();
            continue;
        }
        struct sip_msg *m = bed_take("REGISTER");
        assert_non_null(strstr(bed_header(m, "Authorization"), cases[i].algorithm));
        assert_true(bed_knows(m, "Authorization", "secret"));
    }
}

static void two_realms(void **state)
{
    (void)state;
    bed.cfg.logins[1].realm = STR("gateway");
    bed.cfg.logins[1].user = STR("gw");
    assert_int_equal(secret_set(&bed.cfg.logins[1].password, "other", 5), 0);
    bed.cfg.n_logins = 2;
    bed_start();
    bed_reply(bed_take("REGISTER"), 407,
              "Proxy-Authenticate: Digest realm=\"gateway\", nonce=\"g\", algorithm=SHA-256, "
              "qop=\"auth\"\n" BED_CHALLENGE,
              NULL);
    struct sip_msg *m = bed_take("REGISTER");
    assert_true(bed_knows(m, "Proxy-Authorization", "other"));
    assert_true(bed_knows(m, "Authorization", "secret"));
}

static void proof(void **state)
{
    (void)state;
    bed_start();
    bed_reply(bed_take("REGISTER"), 401, BED_CHALLENGE, NULL);
    struct sip_msg *m = bed_take("REGISTER");
    char hex[2 * DIGEST_BYTES_MAX + 1], more[256];
    struct digest_credentials c;
    struct digest_ha1 ha1;
    assert_int_equal(
        digest_credentials_parse(bed.arena, str_z(bed_header(m, "Authorization")), &c, NULL), 0);
    assert_int_equal(
        digest_ha1_make(DIGEST_SHA256, STR("alice"), STR("example.com"), STR("secret"), &ha1), 0);
    assert_int_equal(digest_rspauth(&c, &ha1, STR(""), hex), 0);
    snprintf(more, sizeof(more),
             "Authentication-Info: rspauth=\"%s\", qop=auth, cnonce=\"%.*s\", nc=%.*s\n", hex,
             STR_FMT(c.cnonce), STR_FMT(c.nc_text));
    ok_with(m, more);
    bed_told("registered 3600;");
    assert_true(phone_server_proved_itself(bed.phone));
    /* somebody who does not know the password */
    bed_start();
    bed_reply(bed_take("REGISTER"), 401, BED_CHALLENGE, NULL);
    m = bed_take("REGISTER");
    assert_int_equal(
        digest_credentials_parse(bed.arena, str_z(bed_header(m, "Authorization")), &c, NULL), 0);
    hex[0] = hex[0] == '0' ? '1' : '0';
    snprintf(more, sizeof(more),
             "Authentication-Info: rspauth=\"%s\", qop=auth, cnonce=\"%.*s\", nc=%.*s\n", hex,
             STR_FMT(c.cnonce), STR_FMT(c.nc_text));
    ok_with(m, more);
    assert_false(phone_is_registered(bed.phone));
    assert_true(bed_was_told("final"));
}

/* It goes on with the next nonce, and counts from one again (RFC 7616 3.5). */
static void next_nonce(void **state)
{
    (void)state;
    bed_start();
    bed_reply(bed_take("REGISTER"), 401, BED_CHALLENGE, NULL);
    ok_with(bed_take("REGISTER"), "Authentication-Info: nextnonce=\"fresh\"\n");
    bed_told("registered 3600;");
    assert_false(phone_server_proved_itself(bed.phone));
    bed_wait(3600 * 1000);
    struct sip_msg *m = bed_take("REGISTER");
    assert_non_null(strstr(bed_header(m, "Authorization"), "nonce=\"fresh\""));
    assert_non_null(strstr(bed_header(m, "Authorization"), "nc=00000001"));
    assert_true(bed_knows(m, "Authorization", "secret"));
}

static void too_brief(void **state)
{
    (void)state;
    bed.cfg.expires_s = 60;
    bed_start();
    struct sip_msg *m = bed_take("REGISTER");
    assert_string_equal(bed_header(m, "Expires"), "60");
    bed_reply(m, 423, "Min-Expires: 600\n", NULL);
    m = bed_take("REGISTER");
    assert_string_equal(bed_header(m, "Expires"), "600");
    ok_with(m, "");
    bed_told("registered 600;");
}

static void no_contact(void **state)
{
    (void)state;
    bed_start();
    bed_reply(bed_take("REGISTER"), 200, "Contact: <sip:somebody@else>;expires=60\n", NULL);
    assert_true(bed_was_told("unregistered 200 register-binding"));
}

/* After a loss the phone waits, longer each time, and takes up where it was (RFC 5626 4.5). */
static void loss(void **state)
{
    (void)state;
    bed_register();
    sim_close(&bed.sim, bed.server);
    bed_told("unregistered 0 flow-closed;");
    bed.server->refuses = true;
    uint64_t low = 15000, waited = 0;
    for (int i = 0; i < 4; i++) {
        uint64_t ms = 0;
        while (bed.log[0] == '\0') {
            bed_wait(100);
            ms += 100;
            assert_true(ms <= 2 * low + 200);
        }
        assert_true(ms >= low);
        bed_told("unregistered 0 flow-closed;");
        low *= 2;
        waited += ms;
    }
    assert_true(waited >= 225000);
    bed.server->refuses = false;
    while (!bed_has())
        bed_wait(1000);
    struct sip_msg *m = bed_take("REGISTER");
    assert_string_equal(bed_header(m, "Authorization"), ""); /* nonces die with their flow */
    ok_with(m, "");
    bed_told("registered 3600;");
}

static void keepalive(void **state)
{
    (void)state;
    bed_start();
    ok_with(bed_take("REGISTER"), "Require: outbound\nFlow-Timer: 20\n");
    bed_wait(15900);
    bed_nothing();
    bed_wait(4200); /* 80 to 100 % (RFC 5626 4.4.1) */
    assert_int_equal(bed.server->n, 1);
    assert_int_equal(bed.server->queue[bed.server->head].buf->n, 4);
    assert_memory_equal(bed.server->queue[bed.server->head].buf->p, "\r\n\r\n", 4);
}

static void leaving(void **state)
{
    (void)state;
    bed_register();
    phone_leave(bed.phone);
    struct sip_msg *m = bed_take("REGISTER");
    assert_non_null(strstr(bed_header(m, "Contact"), ";expires=0"));
    bed_reply(m, 200, NULL, NULL);
    bed_told("left;");
    sim_settle(&bed.sim);
    assert_null(phone_path(bed.phone));
    phone_leave(bed.phone);
    bed_told("left;");
}

static void leaving_without_answer(void **state)
{
    (void)state;
    bed_register();
    phone_leave(bed.phone);
    (void)bed_take("REGISTER");
    bed_wait(2900);
    bed_told("");
    bed_wait(200);
    bed_told("left;");
}

static void timeouts(void **state)
{
    (void)state;
    bed_start();
    (void)bed_take("REGISTER");
    bed_wait(31900);
    bed_told("");
    bed_wait(200);
    assert_true(bed_was_told("unregistered 0 register-timeout;"));
    bed_start();
    bed_reply(bed_take("REGISTER"), 503, NULL, NULL);
    bed_told("unregistered 503 register-refused;"); /* it may be better later */
    bed_start();
    bed_reply(bed_take("REGISTER"), 404, NULL, NULL);
    bed_told("unregistered 404 register-refused final;");
}

/* Names: all addresses are tried before the phone gives up. */
static void located(void **state)
{
    (void)state;
    bed.cfg.server = STR("");
    struct sim_dns *d = &bed.sim.dns[bed.sim.n_dns++];
    snprintf(d->host, sizeof(d->host), "example.com");
    d->v[0].transport = d->v[1].transport = TRANSPORT_TCP;
    assert_int_equal(addr_parse_hostport(&d->v[0].addr, STR("192.0.2.200:5060")), 0);
    d->v[1].addr = bed.server->addr;
    d->n = 2;
    bed_start();
    ok_with(bed_take("REGISTER"), "");
    bed_told("registered 3600;");
    d->n = 0;
    bed_start();
    assert_true(bed_was_told("unregistered 0"));
    d->dead = true;
    bed_start();
    bed_wait(LIMIT_DNS_MS + 100);
    assert_true(bed_was_told("dns-timeout"));
    bed_start();
    phone_leave(bed.phone);
    bed_told("left;");
    bed_wait(LIMIT_DNS_MS);
}

static void only_connected(void **state)
{
    (void)state;
    bed.cfg.no_register = true;
    bed_start();
    bed_told("registered 0;");
    bed_nothing();
    phone_leave(bed.phone);
    bed_told("left;");
}

static void datagrams(void **state)
{
    (void)state;
    bed.cfg.transport = TRANSPORT_UDP;
    bed.server = &bed.sim.party[2];
    bed_start();
    struct sip_msg *m = bed_take("REGISTER");
    assert_non_null(strstr(bed_header(m, "Via"), "SIP/2.0/UDP 192.0.2.50:5062"));
    ok_with(m, "");
    bed_told("registered 3600;");
    bed_wait(30000);
    assert_int_equal(bed.server->queue[bed.server->head].buf->n, 20); /* STUN (RFC 5626 4.4.2) */
    bed.server->silent = true;
}

/* Whatever comes by another way than the phone's flow is not heard. */
static void strangers(void **state)
{
    (void)state;
    bed_register();
    struct sim_party *own = bed.server;
    bed.server = &bed.sim.party[1];
    sim_open(&bed.sim, bed.server);
    bed_request("INVITE", 1, "a", NULL, NULL, SDP);
    bed_request("MESSAGE", 1, "b", NULL, "Content-Type: text/plain\n", "hi");
    bed_nothing();
    bed_told("");
    bed.server = own;
    bed_request("MESSAGE", 1, "c", NULL, "Content-Type: text/plain\n", "hi");
    (void)bed_take("200");
    bed_told("text sip:bob@example.com hi;");
}

/* Every pair of state and event: what the diagram in register.c has, and nothing else. */
static void table(void **state)
{
    (void)state;
    static const char next[REG_STATES][REG_EVENTS + 1] = {
        /* START LOCATED NOWHERE OK REFUSED FAILED LOST TIMER LEAVE GONE: the first letter of where
           it goes */
        [REG_IDLE] = "L.......E.",  [REG_LOCATING] = ".TW.....E.", [REG_TRYING] = "..WUETT.E.",
        [REG_UP] = "...UEWWUV.",    [REG_WAITING] = ".......LE.",  [REG_LEAVING] = "...EEEEE.E",
        [REG_ENDED] = "........E.",
    };
    static const char letters[] = {
        [REG_IDLE] = 'I',    [REG_LOCATING] = 'L', [REG_TRYING] = 'T', [REG_UP] = 'U',
        [REG_WAITING] = 'W', [REG_LEAVING] = 'V',  [REG_ENDED] = 'E'};
    for (int s = 0; s < REG_STATES; s++) {
        for (int e = 0; e < REG_EVENTS; e++) {
            const struct reg_cell *c = &reg_table[s][e];
            char want = next[s][e], is = c->act ? letters[c->next] : '.';
            if (is != want)
                fail_msg("state %d, event %d: %c, not %c", s, e, is, want);
        }
    }
}

static void oom(void **state)
{
    (void)state;
    struct net net;
    bed_net_null(&net);
    OOM_SWEEP(300, {
        struct phone *p;
        struct phone_user u = {0};
        if (phone_new(&net, &bed.cfg, &u, &bed.out, &p) == 0) {
            phone_start(p);
            phone_leave(p);
            phone_free(p);
        }
    });
}

#define T(name) cmocka_unit_test_setup_teardown(name, bed_setup, bed_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(first),      T(refresh),    T(wrong_password),
        T(challenges), T(two_realms), T(proof),
        T(challenges), T(two_realms), T(next_nonce),
        T(too_brief),  T(no_contact), T(loss),
        T(keepalive),  T(leaving),    T(leaving_without_answer),
        T(timeouts),   T(located),    T(only_connected),
        T(datagrams),  T(strangers),  T(table),
        T(oom),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
