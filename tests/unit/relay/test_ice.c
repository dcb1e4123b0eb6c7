/* ICE-lite: the vectors of RFC 5769, and each rule of RFC 8445 7.3, RFC 8489 9.1.3 and 14.5, RFC
 * 7675 and RFC 8839 that an agent that is lite has. Messages are built here, with OpenSSL's HMAC
 * and a checksum of the test's own. */
#include "base/err.h"
#include "check.h"
#include "net/stun_wire.h"
#include "relay/ice.h"
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>

#define COOKIE "\x21\x12\xa4\x42"

/* ---- building ---- */

struct msg {
    uint8_t p[600];
    size_t n;
};

static uint32_t slow_crc(const uint8_t *p, size_t n)
{
    uint32_t c = 0xffffffff;

    for (size_t i = 0; i < n; i++) {
        c ^= p[i];
        for (int k = 0; k < 8; k++)
            c = c & 1 ? c >> 1 ^ 0xedb88320 : c >> 1;
    }
    return ~c;
}

static void set_len(struct msg *m, size_t n)
{
    m->p[2] = (uint8_t)(n >> 8);
    m->p[3] = (uint8_t)n;
}

static struct msg msg_start(unsigned type)
{
    struct msg m = {.n = 20};

    m.p[0] = (uint8_t)(type >> 8);
    m.p[1] = (uint8_t)type;
    memcpy(m.p + 4, COOKIE "abcdefghijkl", 16);
    return m;
}

static void add(struct msg *m, unsigned type, const void *p, size_t n)
{
    m->p[m->n] = (uint8_t)(type >> 8);
    m->p[m->n + 1] = (uint8_t)type;
    m->p[m->n + 2] = (uint8_t)(n >> 8);
    m->p[m->n + 3] = (uint8_t)n;
    memset(m->p + m->n + 4, 0, (n + 3) & ~3u);
    if (n > 0)
        memcpy(m->p + m->n + 4, p, n);
    m->n += 4 + ((n + 3) & ~3u);
    set_len(m, m->n - 20);
}

static void add_integrity(struct msg *m, const char *pwd, bool sha256)
{
    uint8_t mac[32];
    unsigned n = 0;

    set_len(m, m->n - 20 + 4 + (sha256 ? 32 : 20));
    assert_non_null(
        HMAC(sha256 ? EVP_sha256() : EVP_sha1(), pwd, (int)strlen(pwd), m->p, m->n, mac, &n));
    add(m, sha256 ? 0x001c : 0x0008, mac, n);
}

static void add_fingerprint(struct msg *m)
{
    uint32_t crc;
    uint8_t value[4];

    set_len(m, m->n - 20 + 8);
    crc = slow_crc(m->p, m->n) ^ 0x5354554e;
    for (int i = 0; i < 4; i++)
        value[i] = (uint8_t)(crc >> (24 - 8 * i));
    add(m, 0x8028, value, 4);
}

static const char *const pwd = "VOkJxbRl1RmTxUk/WvJxBt";

/* A check as a controlling agent sends it, without its end. */
static struct msg check_start(bool nominates)
{
    struct msg m = msg_start(1);

    add(&m, 0x0006, "evtj:h6vY", 9);
    add(&m, 0x0024, "\x6e\0\1\xff", 4);
    add(&m, 0x802a, "\1\2\3\4\5\6\7\x8", 8);
    if (nominates)
        add(&m, 0x0025, NULL, 0);
    return m;
}

static struct msg check_make(bool nominates)
{
    struct msg m = check_start(nominates);

    add_integrity(&m, pwd, false);
    add_fingerprint(&m);
    return m;
}

static struct relay_ice_names names_make(void)
{
    return (struct relay_ice_names){
        .ufrag = STR("evtj"), .pwd = str_z(pwd), .peer_ufrag = STR("h6vY")};
}

static struct addr addr_make(const char *text)
{
    struct addr a;

    check_err(addr_parse_hostport(&a, str_z(text)), 0);
    return a;
}

static enum relay_ice_verdict judge_as(const struct relay_ice_names *names, const struct msg *m,
                                       struct relay_ice_answer *ret)
{
    struct addr from = addr_make("192.0.2.1:32853");

    return relay_ice_check(names, &from, m->p, m->n, ret);
}

static enum relay_ice_verdict judge(const struct msg *m, struct relay_ice_answer *ret)
{
    struct relay_ice_names names = names_make();

    return judge_as(&names, m, ret);
}

/* ---- reading answers ---- */

static const uint8_t *attr_of(const struct relay_ice_answer *a, unsigned type, size_t *ret_n)
{
    size_t at = 20;
    struct stun_attr attr;
    bool broken;

    while (stun_attr_next(a->bytes, a->n, &at, &attr, &broken)) {
        if (attr.type == type) {
            *ret_n = attr.n;
            return attr.p;
        }
    }
    return NULL;
}

/* The end of an answer: integrity where the asker was authentic, and the checksum. */
static void check_end(const struct relay_ice_answer *a, bool integrity, bool sha256)
{
    size_t n, len = sha256 ? 32 : 20, at;
    struct msg m;
    const uint8_t *p;

    assert_true(a->n > 28 && a->n <= sizeof(m.p));
    memcpy(m.p, a->bytes, a->n);
    m.n = a->n - 8;
    add_fingerprint(&m);
    assert_int_equal(m.n, a->n);
    assert_memory_equal(m.p, a->bytes, a->n);
    p = attr_of(a, sha256 ? 0x001c : 0x0008, &n);
    assert_true((p != NULL) == integrity);
    assert_null(attr_of(a, 0x0006, &n)); /* never a USERNAME */
    if (p == NULL)
        return;
    at = (size_t)(p - 4 - a->bytes);
    m.n = at;
    add_integrity(&m, pwd, sha256);
    assert_memory_equal(m.p + at + 4, p, len);
    assert_null(attr_of(a, sha256 ? 0x0008 : 0x001c, &n)); /* one only: RFC 8489 9.1.3 */
}

static void check_error(const struct relay_ice_answer *a, unsigned code)
{
    size_t n;
    const uint8_t *p = attr_of(a, 0x0009, &n);

    assert_int_equal(a->error, code);
    assert_int_equal(a->bytes[0] << 8 | a->bytes[1], 0x0111);
    assert_non_null(p);
    assert_int_equal(p[2] * 100 + p[3], code);
    assert_true(n > 4); /* a phrase */
}

/* ---- checks ---- */

/* RFC 5769 2.1. Its sender says that it is controlled: so does every lite agent, and it is told. */
static const uint8_t rfc5769_request[] =
    "\x00\x01\x00\x58" COOKIE "\xb7\xe7\xa7\x01\xbc\x34\xd6\x86\xfa\x87\xdf\xae"
    "\x80\x22\x00\x10STUN test client"
    "\x00\x24\x00\x04\x6e\x00\x01\xff"
    "\x80\x29\x00\x08\x93\x2f\xf9\xb1\x51\x26\x3b\x36"
    "\x00\x06\x00\x09\x65\x76\x74\x6a\x3a\x68\x36\x76\x59\x20\x20\x20"
    "\x00\x08\x00\x14\x9a\xea\xa7\x0c\xbf\xd8\xcb\x56\x78\x1e\xf2\xb5\xb2\xd3\xf2\x49\xc1\xb5\x71"
    "\xa2"
    "\x80\x28\x00\x04\xe5\x7a\x3b\xcf";

static void test_rfc5769(void **state)
{
    struct msg m = {.n = sizeof(rfc5769_request) - 1};
    struct relay_ice_answer a;

    (void)state;
    memcpy(m.p, rfc5769_request, m.n);
    assert_int_equal(judge(&m, &a), RELAY_ICE_REFUSED);
    check_error(&a, 487); /* and not 401: it is authentic */
    check_end(&a, true, false);
    assert_memory_equal(a.bytes + 4, m.p + 4, 16);
    for (size_t i = 0; i < m.n; i++) { /* one bit of it, and it is not */
        m.p[i] ^= 1;
        assert_int_not_equal(judge(&m, &a), RELAY_ICE_VALID);
        assert_int_not_equal(a.error, 487);
        m.p[i] ^= 1;
    }
}

/* RFC 5769 2.2 and 2.3: the same address gives the same XOR-MAPPED-ADDRESS. */
static void test_rfc5769_mapped(void **state)
{
    static const char v4[] = "\x00\x01\xa1\x47\xe1\x12\xa6\x43";
    static const char v6[] = "\x00\x02\xa1\x47\x01\x13\xa9\xfa\xa5\xd3\xf1\x79\xbc\x25\xf4\xb5\xbe"
                             "\xd2\xb9\xd9";
    struct relay_ice_names names = names_make();
    struct addr from;
    struct relay_ice_answer a;
    struct msg m = msg_start(1);
    const uint8_t *p;
    size_t n;

    (void)state;
    memcpy(m.p + 8, rfc5769_request + 8, 12);
    add(&m, 0x0006, "evtj:h6vY", 9);
    add_integrity(&m, pwd, false);
    add_fingerprint(&m);
    from = addr_make("192.0.2.1:32853");
    assert_int_equal(relay_ice_check(&names, &from, m.p, m.n, &a), RELAY_ICE_VALID);
    p = attr_of(&a, 0x0020, &n);
    assert_int_equal(n, 8);
    assert_memory_equal(p, v4, 8);
    from = addr_make("[2001:db8:1234:5678:11:2233:4455:6677]:32853");
    assert_int_equal(relay_ice_check(&names, &from, m.p, m.n, &a), RELAY_ICE_VALID);
    p = attr_of(&a, 0x0020, &n);
    assert_int_equal(n, 20);
    assert_memory_equal(p, v6, 20);
    check_end(&a, true, false);
}

static void test_valid(void **state)
{
    struct relay_ice_answer a;
    struct msg m = check_make(false);

    (void)state;
    assert_int_equal(judge(&m, &a), RELAY_ICE_VALID);
    assert_int_equal(a.bytes[0] << 8 | a.bytes[1], 0x0101);
    check_end(&a, true, false);
    check_str(a.theirs, "h6vY");
    m = check_make(true);
    assert_int_equal(judge(&m, &a), RELAY_ICE_NOMINATED);
    check_end(&a, true, false);
}

/* The longer hash counts where it is, and is answered by itself (RFC 8489 9.1.3). */
static void test_sha256(void **state)
{
    struct relay_ice_answer a;
    struct msg m = check_start(true);

    (void)state;
    add_integrity(&m, pwd, true);
    add_fingerprint(&m);
    assert_int_equal(judge(&m, &a), RELAY_ICE_NOMINATED);
    check_end(&a, true, true);
    m = check_start(true);
    add_integrity(&m, pwd, false);
    add_integrity(&m, pwd, true);
    add_fingerprint(&m);
    assert_int_equal(judge(&m, &a), RELAY_ICE_NOMINATED);
    check_end(&a, true, true);
    m = check_start(true); /* a good short one does not make up for a bad long one */
    add_integrity(&m, pwd, false);
    add_integrity(&m, "another password, 22 and more", true);
    add_fingerprint(&m);
    assert_int_equal(judge(&m, &a), RELAY_ICE_REFUSED);
    check_error(&a, 401);
    m = check_start(true); /* cut short */
    add(&m, 0x001c, "0123456789abcdef", 16);
    add_fingerprint(&m);
    assert_int_equal(judge(&m, &a), RELAY_ICE_REFUSED);
    check_error(&a, 401);
}

static void test_not_authentic(void **state)
{
    static const char *const names[] = {"evtX:h6vY", "evt:h6vY", "evtj", ":h6vY", "h6vY:evtj", ""};
    struct relay_ice_answer a;
    struct msg m = check_start(true);

    (void)state;
    add_integrity(&m, "VOkJxbRl1RmTxUk/WvJxBu", false);
    add_fingerprint(&m);
    assert_int_equal(judge(&m, &a), RELAY_ICE_REFUSED);
    check_error(&a, 401);
    check_end(&a, false, false);
    assert_null(a.theirs.p);
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        m = msg_start(1);
        add(&m, 0x0006, names[i], strlen(names[i]));
        add_integrity(&m, pwd, false);
        add_fingerprint(&m);
        assert_int_equal(judge(&m, &a), RELAY_ICE_REFUSED);
        check_error(&a, 401);
        check_end(&a, false, false);
    }
    m = msg_start(1); /* who names himself but signs nothing, and the reverse */
    add(&m, 0x0006, "evtj:h6vY", 9);
    add(&m, 0x0024, "\0\0\0\0", 4);
    add_fingerprint(&m);
    assert_int_equal(judge(&m, &a), RELAY_ICE_REFUSED);
    check_error(&a, 400);
    m = msg_start(1);
    add_integrity(&m, pwd, false);
    add_fingerprint(&m);
    assert_int_equal(judge(&m, &a), RELAY_ICE_REFUSED);
    check_error(&a, 400);
}

/* An end that has no ICE has no password: nothing is authentic by an empty one. */
static void test_no_credentials(void **state)
{
    const struct relay_ice_names none = {.ufrag = STR_NULL};
    struct relay_ice_answer a;
    struct msg m = msg_start(1);

    (void)state;
    add(&m, 0x0006, ":", 1);
    add_integrity(&m, "", false);
    add_fingerprint(&m);
    assert_int_equal(judge_as(&none, &m, &a), RELAY_ICE_REFUSED);
    check_error(&a, 401);
}

/* Nobody's address is flooded through us by somebody who has no password. */
static void test_no_amplification(void **state)
{
    struct relay_ice_answer a;
    struct msg m = msg_start(1);

    (void)state;
    add_fingerprint(&m);
    assert_int_equal(judge(&m, &a), RELAY_ICE_IGNORED);
    assert_int_equal(a.n, 0);
    m = msg_start(1);
    add(&m, 0x0006, "evtj:h6vY", 9);
    add(&m, 0x0008, "", 0);
    add_fingerprint(&m);
    (void)judge(&m, &a);
    assert_true(a.n <= m.n);
}

static void test_not_ice(void **state)
{
    struct relay_ice_answer a;
    struct msg m = check_start(false);

    (void)state;
    add_integrity(&m, pwd, false);
    assert_int_equal(judge(&m, &a), RELAY_ICE_NOT); /* no FINGERPRINT: RFC 8445 7.3 */
    assert_int_equal(a.n, 0);
    add_fingerprint(&m);
    for (size_t n = 0; n < m.n; n++) { /* cut */
        struct msg cut = m;

        cut.n = n;
        assert_int_equal(judge(&cut, &a), RELAY_ICE_NOT);
    }
    add(&m, 0x0025, NULL, 0); /* FINGERPRINT is the last one */
    assert_int_equal(judge(&m, &a), RELAY_ICE_NOT);
    for (unsigned type = 0x0011; type <= 0x0111; type += 0x0010) { /* none of them is answered */
        if ((type & 0x0110) == 0)
            continue;
        m = msg_start(type & 0x0111);
        add(&m, 0x0006, "evtj:h6vY", 9);
        add_integrity(&m, pwd, false);
        add_fingerprint(&m);
        assert_int_equal(judge(&m, &a), RELAY_ICE_IGNORED);
        assert_int_equal(a.n, 0);
    }
}

/* What stands behind the signature is not signed: somebody may have added it. */
static void test_behind_integrity(void **state)
{
    struct relay_ice_answer a;
    struct msg m = check_start(false);

    (void)state;
    add_integrity(&m, pwd, false);
    add(&m, 0x0025, NULL, 0);
    add(&m, 0x8029, "\0\0\0\0\0\0\0\1", 8);
    add(&m, 0x0027, "\0\0\0\0", 4);
    add_fingerprint(&m);
    assert_int_equal(judge(&m, &a), RELAY_ICE_VALID);
}

static void test_unknown(void **state)
{
    struct relay_ice_answer a;
    struct msg m = check_start(true);
    const uint8_t *p;
    size_t n;

    (void)state;
    add(&m, 0x0031, "\0\0\0\0", 4);
    add(&m, 0x9999, "\0\0\0\0", 4); /* that one need not be known */
    add(&m, 0x0032, "\0", 1);
    add_integrity(&m, pwd, false);
    add_fingerprint(&m);
    assert_int_equal(judge(&m, &a), RELAY_ICE_REFUSED);
    check_error(&a, 420);
    check_end(&a, true, false);
    p = attr_of(&a, 0x000a, &n);
    assert_int_equal(n, 4);
    assert_memory_equal(p, "\0\x31\0\x32", 4);
    m = check_start(true); /* and a stranger is not told what we know */
    add(&m, 0x0031, "\0\0\0\0", 4);
    add_integrity(&m, "some other password of 22", false);
    add_fingerprint(&m);
    assert_int_equal(judge(&m, &a), RELAY_ICE_REFUSED);
    check_error(&a, 401);
    m = check_start(false); /* many: bounded */
    for (unsigned i = 0; i < 60; i++)
        add(&m, 0x0040 + i, NULL, 0);
    add_integrity(&m, pwd, false);
    add_fingerprint(&m);
    assert_int_equal(judge(&m, &a), RELAY_ICE_REFUSED);
    check_error(&a, 420);
    check_end(&a, true, false);
}

/* Before the answer any fragment is the peer's; later only its own (another branch's is answered,
 * and shows nothing). */
static void test_fragments(void **state)
{
    struct relay_ice_names names = names_make();
    struct relay_ice_answer a;
    struct msg m = check_make(true);

    (void)state;
    names.peer_ufrag = STR("carl");
    assert_int_equal(judge_as(&names, &m, &a), RELAY_ICE_ELSEWHERE);
    check_end(&a, true, false);
    names.peer_ufrag = STR_NULL;
    assert_int_equal(judge_as(&names, &m, &a), RELAY_ICE_NOMINATED);
}

/* ---- flows ---- */

static void test_flow(void **state)
{
    struct relay_ice_flow f = {.heard_ms = 0};
    struct addr a = addr_make("192.0.2.1:1000"), b = addr_make("198.51.100.1:1000"),
                c = addr_make("203.0.113.1:1000");
    const struct str peer = STR("h6vY");

    (void)state;
    assert_false(relay_ice_flow_may_send(&f, 0));
    assert_false(relay_ice_flow_check(&f, RELAY_ICE_REFUSED, peer, &a, 10));
    assert_false(relay_ice_flow_check(&f, RELAY_ICE_ELSEWHERE, peer, &a, 10));
    assert_false(relay_ice_flow_knows(&f, &a, 10));
    assert_false(relay_ice_flow_check(&f, RELAY_ICE_VALID, peer, &a, 10));
    assert_true(relay_ice_flow_knows(&f, &a, 10));
    assert_false(relay_ice_flow_knows(&f, &b, 10));
    assert_false(relay_ice_flow_may_send(&f, 10)); /* RFC 8445 12.1.1 */
    assert_true(relay_ice_flow_check(&f, RELAY_ICE_NOMINATED, peer, &a, 20));
    assert_true(addr_eq(&f.to, &a));
    assert_false(relay_ice_flow_check(&f, RELAY_ICE_NOMINATED, peer, &a, 30));
    assert_false(
        relay_ice_flow_check(&f, RELAY_ICE_VALID, peer, &b, 40)); /* selected is selected */
    assert_true(addr_eq(&f.to, &a));
    assert_true(relay_ice_flow_check(&f, RELAY_ICE_NOMINATED, peer, &b, 50));
    assert_true(addr_eq(&f.to, &b));
    /* consent: only checks of the selected pair keep it up */
    assert_int_equal(relay_ice_flow_ends_ms(&f), 50 + RELAY_ICE_CONSENT_MS);
    assert_false(relay_ice_flow_check(&f, RELAY_ICE_VALID, peer, &a, 20000));
    assert_true(relay_ice_flow_may_send(&f, 49 + RELAY_ICE_CONSENT_MS));
    assert_false(relay_ice_flow_may_send(&f, 50 + RELAY_ICE_CONSENT_MS));
    assert_true(relay_ice_flow_knows(&f, &a, 50 + RELAY_ICE_CONSENT_MS));
    assert_false(relay_ice_flow_knows(&f, &b, 50 + RELAY_ICE_CONSENT_MS));
    assert_false(relay_ice_flow_check(&f, RELAY_ICE_VALID, peer, &b, 60 + RELAY_ICE_CONSENT_MS));
    assert_true(relay_ice_flow_may_send(&f, 60 + RELAY_ICE_CONSENT_MS));
    /* many sources: the selected one keeps its place */
    for (uint16_t i = 0; i < 100; i++) {
        addr_set_port(&c, (uint16_t)(2000 + i));
        assert_false(relay_ice_flow_check(&f, RELAY_ICE_VALID, peer, &c, 40000u + i));
    }
    assert_true(relay_ice_flow_knows(&f, &b, 40200));
    assert_true(relay_ice_flow_knows(&f, &c, 40200));
    assert_true(addr_eq(&f.to, &b));
}

/* Checks come before the answer, from two branches: whose they were is known when it is there. */
static void test_flow_settle(void **state)
{
    struct relay_ice_flow f = {.heard_ms = 0};
    struct addr a = addr_make("192.0.2.1:1000"), b = addr_make("198.51.100.1:1000");

    (void)state;
    assert_true(relay_ice_flow_check(&f, RELAY_ICE_NOMINATED, STR("anne"), &a, 10));
    assert_true(relay_ice_flow_check(&f, RELAY_ICE_NOMINATED, STR("bert"), &b, 20));
    relay_ice_flow_settle(&f, STR("anne"));
    assert_true(addr_eq(&f.to, &a));
    assert_int_equal(f.heard_ms, 10);
    assert_false(relay_ice_flow_knows(&f, &b, 20));
    relay_ice_flow_settle(&f, STR("anne"));
    assert_true(addr_eq(&f.to, &a));
    relay_ice_flow_settle(&f, STR("carl"));
    assert_false(addr_is_set(&f.to));
    assert_false(relay_ice_flow_may_send(&f, 20));
    relay_ice_flow_select(&f, &a); /* both lite: no checks, no end */
    assert_true(relay_ice_flow_may_send(&f, 1000000000));
    assert_true(relay_ice_flow_knows(&f, &a, 1000000000));
    assert_false(relay_ice_flow_knows(&f, &b, 20));
}

/* ---- descriptions ---- */

static void test_draw(void **state)
{
    struct rand_source rand;
    char u[RELAY_ICE_UFRAG + 1], p[RELAY_ICE_PWD + 1], u2[RELAY_ICE_UFRAG + 1],
        p2[RELAY_ICE_PWD + 1];

    (void)state;
    rand_system_init(&rand);
    for (int i = 0; i < 50; i++) {
        relay_ice_draw(&rand, u, p);
        relay_ice_draw(&rand, u2, p2);
        assert_int_equal(strlen(u), RELAY_ICE_UFRAG);
        assert_int_equal(strlen(p), RELAY_ICE_PWD);
        assert_string_not_equal(u, u2);
        assert_string_not_equal(p, p2);
        assert_int_equal(
            strspn(p, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"),
            RELAY_ICE_PWD);
    }
}

static void test_candidate(void **state)
{
    char text[128];
    struct sbuf b = sbuf_make(text, sizeof(text));
    struct addr a = addr_make("203.0.113.141:8998"), v6 = addr_make("[2001:db8::1]:8999");

    (void)state;
    relay_ice_candidate(&b, 1, 0, &a); /* RFC 8839 4.2.6 has the same number */
    check_str(str_make(text, b.n), "1 1 UDP 2130706431 203.0.113.141 8998 typ host");
    b = sbuf_make(text, sizeof(text));
    relay_ice_candidate(&b, 2, 1, &v6);
    check_str(str_make(text, b.n), "2 2 UDP 2130706174 2001:db8::1 8999 typ host");
}

struct read {
    struct arena *arena;
    struct relay_ice_peer peer;
    struct reason why;
    int err;
};

static struct read read_sdp(const char *conn, const char *media, const char *session,
                            const char *lines, bool mux)
{
    static char text[8192];
    struct read r = {.arena = arena_new(4096, 1u << 20)};
    struct sdp *sdp;
    struct str own;
    int n = snprintf(text, sizeof(text),
                     "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=%s\r\nt=0 0\r\n%sm=%s\r\n%s",
                     conn, session, media, lines);

    own = arena_str(r.arena, str_make(text, (size_t)n));
    check_err(sdp_parse(r.arena, own, &sdp, &r.why), 0);
    r.err = relay_ice_read(sdp, 0, mux, &r.peer, &r.why);
    return r;
}

#define CREDS "a=ice-ufrag:8hhY\r\na=ice-pwd:asd88fgpdd777uzjYhagZg\r\n"
#define IP "IN IP4 192.0.2.3"
#define AUDIO "audio 45664 RTP/AVP 0"
#define HOST "a=candidate:1 1 UDP 2130706431 192.0.2.3 45664 typ host\r\n"
#define HOST2 "a=candidate:1 2 UDP 2130706430 192.0.2.3 45665 typ host\r\n"

static void test_read(void **state)
{
    static const struct {
        const char *conn, *media, *session, *lines;
        bool mux;
        enum relay_ice_support want;
        size_t n;
    } cases[] = {
        {IP, AUDIO, "", "", true, RELAY_ICE_NONE, 0},
        {IP, AUDIO, "", HOST, true, RELAY_ICE_NONE, 0}, /* candidates alone are no ICE */
        {IP, AUDIO, "", CREDS HOST, true, RELAY_ICE_USE, 1},
        {IP, AUDIO, CREDS, HOST, true, RELAY_ICE_USE, 1}, /* 5.4: the session's count for all */
        /* 4.2.5: the default of each component is a candidate */
        {IP, AUDIO, "", CREDS HOST, false, RELAY_ICE_MISMATCH, 1},
        {IP, AUDIO, "", CREDS HOST HOST2, false, RELAY_ICE_USE, 2},
        {IP, AUDIO, "",
         CREDS HOST "a=candidate:1 2 UDP 9 192.0.2.3 7000 typ host\r\na=rtcp:7000\r\n", false,
         RELAY_ICE_USE, 2},
        {"IN IP4 192.0.2.4", AUDIO, "", CREDS HOST, true, RELAY_ICE_MISMATCH, 1},
        {IP, "audio 45666 RTP/AVP 0", "", CREDS HOST, true, RELAY_ICE_MISMATCH, 1},
        {IP, AUDIO, "", CREDS "a=candidate:1 1 TCP 9 192.0.2.3 45664 typ host tcptype active\r\n",
         true, RELAY_ICE_MISMATCH, 0},
        {IP, AUDIO, "", CREDS, true, RELAY_ICE_MISMATCH, 0},
        /* ... but for these */
        {"IN IP4 0.0.0.0", "audio 9 RTP/AVP 0", "", CREDS, true, RELAY_ICE_USE, 0},
        {"IN IP6 ::", "audio 9 RTP/AVP 0", "", CREDS, false, RELAY_ICE_USE, 0},
        {"IN IP4 phone.example", AUDIO, "", CREDS HOST, true, RELAY_ICE_USE, 1},
        /* names behind mDNS are no addresses, nonsense is no candidate */
        {IP, AUDIO, "",
         CREDS HOST "a=candidate:2 1 udp 1 abc.local 9 typ host\r\na=candidate:nonsense\r\n", true,
         RELAY_ICE_USE, 1},
        {IP, AUDIO, "", CREDS "a=ice-mismatch\r\n", true, RELAY_ICE_REJECTS, 0},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct read r =
            read_sdp(cases[i].conn, cases[i].media, cases[i].session, cases[i].lines, cases[i].mux);

        check_err(r.err, 0);
        if (r.peer.support != cases[i].want || r.peer.n != cases[i].n)
            fail_msg("case %zu: %d, %zu candidates", i, (int)r.peer.support, r.peer.n);
        if (r.peer.support == RELAY_ICE_USE)
            check_str(r.peer.ufrag, "8hhY");
        arena_free(r.arena);
    }
}

static void test_read_bad(void **state)
{
    static const char *const lines[] = {
        "a=ice-ufrag:8hhY\r\n",
        "a=ice-pwd:asd88fgpdd777uzjYhagZg\r\n",
        "a=ice-ufrag:8hh\r\na=ice-pwd:asd88fgpdd777uzjYhagZg\r\n",
        "a=ice-ufrag:8hhY\r\na=ice-pwd:asd88fgpdd777uzjYhagZ\r\n",
        "a=ice-ufrag:8h:Y\r\na=ice-pwd:asd88fgpdd777uzjYhagZg\r\n",
        "a=ice-ufrag:8hhY\r\na=ice-pwd:asd88fgpdd777uzj YhagZg\r\n",
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
        struct read r = read_sdp(IP, AUDIO, "", lines[i], true);

        check_err(r.err, ERR_SYNTAX);
        assert_string_equal(r.why.code, "ice-credentials");
        assert_int_equal(r.why.sip_status, 488);
        arena_free(r.arena);
    }
}

static void test_lite_and_restart(void **state)
{
    struct addr ours = addr_make("192.0.2.9:4000"), ours6 = addr_make("[2001:db8::9]:4000"), got;
    struct read r =
        read_sdp(IP, AUDIO, "a=ice-lite\r\n",
                 CREDS HOST HOST2 "a=candidate:2 1 UDP 2130706432 2001:db8::7 45664 typ host\r\n"
                                  "a=candidate:3 1 UDP 99 192.0.2.77 45664 typ host\r\n",
                 false);

    (void)state;
    check_err(r.err, 0);
    assert_true(r.peer.is_lite);
    assert_true(relay_ice_pick(&r.peer, 1, &ours, &got));
    assert_true(addr_eq(&got, &(struct addr){.v4 = r.peer.candidate[0].addr.v4}));
    assert_true(relay_ice_pick(&r.peer, 2, &ours, &got));
    assert_int_equal(addr_port(&got), 45665);
    assert_true(relay_ice_pick(&r.peer, 1, &ours6, &got));
    assert_true(addr_is_v6(&got));
    assert_false(relay_ice_pick(&r.peer, 2, &ours6, &got));
    assert_false(relay_ice_is_restart(&r.peer, STR("8hhY"), STR("asd88fgpdd777uzjYhagZg")));
    assert_false(relay_ice_is_restart(&r.peer, STR("8hhX"), STR("asd88fgpdd777uzjYhagZg")));
    assert_true(relay_ice_is_restart(&r.peer, STR("8hhX"), STR("asd88fgpdd777uzjYhagZh")));
    arena_free(r.arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rfc5769),
        cmocka_unit_test(test_rfc5769_mapped),
        cmocka_unit_test(test_valid),
        cmocka_unit_test(test_sha256),
        cmocka_unit_test(test_not_authentic),
        cmocka_unit_test(test_no_credentials),
        cmocka_unit_test(test_no_amplification),
        cmocka_unit_test(test_not_ice),
        cmocka_unit_test(test_behind_integrity),
        cmocka_unit_test(test_unknown),
        cmocka_unit_test(test_fragments),
        cmocka_unit_test(test_flow),
        cmocka_unit_test(test_flow_settle),
        cmocka_unit_test(test_draw),
        cmocka_unit_test(test_candidate),
        cmocka_unit_test(test_read),
        cmocka_unit_test(test_read_bad),
        cmocka_unit_test(test_lite_and_restart),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
