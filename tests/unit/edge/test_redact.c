/* What the mirror shows of a message (TR/100 7.1): for each header that can carry a secret, the copy is compared as a whole. */
#include "check.h"
#include "oom.h"
#include "base/err.h"
#include "edge/mirror/redact.h"
#include <stdio.h>

#define HEAD(uri) "INVITE " uri " SIP/2.0\r\nVia: SIP/2.0/TLS 192.0.2.1:5061;branch=z9hG4bKa\r\n"
#define REST \
    "From: <sip:alice@example.com>;tag=1\r\nTo: <sip:bob@example.com>\r\nCall-ID: a@b\r\nCSeq: 1 INVITE\r\n"

static struct arena *arena;

static int set_up(void **state)
{
    (void)state;
    arena = arena_new(4096, 512 << 10);
    return arena ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    arena_free(arena);
    buf_pool_done();
    return 0;
}

/* The copy of `in` is exactly `out`. */
static void check_copy(const char *in, const char *out)
{
    struct buf *b;

    assert_int_equal(redact_message(arena, str_z(in), &b, NULL), 0);
    check_str(buf_str(b), out);
    buf_unref(b);
}

/* A request with this header line, after which it reads like that. */
static void check_line(const char *in, const char *out)
{
    char a[2048], b[2048];

    snprintf(a, sizeof a, HEAD("sip:bob@example.com") "%s\r\n" REST "\r\n", in);
    snprintf(b, sizeof b, HEAD("sip:bob@example.com") "%s\r\n" REST "\r\n", out);
    check_copy(a, b);
}

static void test_plain(void **state)
{
    (void)state;
    check_copy(HEAD("sip:bob@example.com;transport=tcp") REST "Content-Length: 0\r\n\r\n",
               HEAD("sip:bob@example.com;transport=tcp") REST "Content-Length: 0\r\n\r\n");
    check_copy("SIP/2.0 200 OK then\r\nv: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKa\r\nf: sip:a@b;tag=1\r\nt: sip:c@d;tag=2\r\n"
               "i: x\r\nCSeq: 1 BYE\r\nX-Own:  some\r\n thing\r\n\r\n",
               "SIP/2.0 200 OK then\r\nv: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKa\r\nf: sip:a@b;tag=1\r\nt: sip:c@d;tag=2\r\n"
               "i: x\r\nCSeq: 1 BYE\r\nX-Own: some\r\n thing\r\n\r\n");
}

static void test_digest(void **state)
{
    (void)state;
    check_line("Authorization: Digest username=\"alice, \\\"a\\\"\", realm=\"example.com\", nonce=\"SECRET\", "
               "uri=\"sip:b:pw@c\", response=\"SECRET\", algorithm=SHA-256, cnonce=\"SECRET\", opaque=\"SECRET\", qop=auth, "
               "nc=00000001",
               "Authorization: Digest username=\"alice, \\\"a\\\"\", realm=\"example.com\", nonce=\"*\", uri=\"*\", "
               "response=\"*\", algorithm=SHA-256, cnonce=\"*\", opaque=\"*\", qop=auth, nc=00000001");
    check_line("proxy-authorization : digest\r\n RESPONSE = SECRET ,\r\n Realm = x", /* any case, spaces, folds */
               "proxy-authorization: digest RESPONSE=\"*\", Realm=x");
    /* no comma between, a quote that does not end, names that are none */
    check_line("Authorization: Digest realm=\"a\" response=SECRET", "Authorization: Digest realm=\"a\"");
    check_line("Authorization: Digest realm=\"a, response=SECRET", "Authorization: Digest ");
    check_line("Authorization: Digest SECRET, realm=a, SECRET=SECRET, SECRET nonce=SECRET, SECRET SECRET",
               "Authorization: Digest realm=a");
    check_line("WWW-Authenticate: Digest realm=\"a\", nonce=\"SECRET\", qop=\"auth,auth-int\", opaque=\"SECRET\", stale=FALSE, "
               "ck=\"SECRET\", ik=SECRET, algorithm=AKAv1-MD5",
               "WWW-Authenticate: Digest realm=\"a\", nonce=\"*\", qop=\"auth,auth-int\", opaque=\"*\", stale=FALSE, "
               "ck=\"*\", ik=\"*\", algorithm=AKAv1-MD5");
    check_line("Proxy-Authenticate: Digest realm=a, nonce=SECRET, Bearer realm=\"b\", authz_server=\"https://c\", SECRET realm=d",
               "Proxy-Authenticate: Digest realm=a, nonce=\"*\", Bearer realm=\"b\", authz_server=\"https://c\", * realm=d");
    check_line("Authentication-Info: nextnonce=\"SECRET\", qop=auth, rspauth=\"SECRET\", cnonce=\"SECRET\", nc=00000001",
               "Authentication-Info: nextnonce=\"*\", qop=auth, rspauth=\"*\", cnonce=\"*\", nc=00000001");
    check_line("Proxy-Authentication-Info: nextnonce=SECRET", "Proxy-Authentication-Info: nextnonce=\"*\"");
}

static void test_other_schemes(void **state)
{
    (void)state;
    check_line("Authorization: Bearer SECRET", "Authorization: Bearer *"); /* RFC 8898 */
    check_line("Authorization: Basic SECRET==", "Authorization: Basic *");
    check_line("Authorization: SECRET", "Authorization: * *");
    check_line("Authorization: \"SECRET\"", "Authorization: * *");
    check_line("Authorization:", "Authorization: * *");
    check_line("User-to-User: SECRET;encoding=hex", "User-to-User: *");
    check_line("Identity: eyJ.abc.def;info=<https://c.example/a?b>", "Identity: eyJ.abc.def;info=<https://c.example/a?b>");
}

static void test_uris(void **state)
{
    (void)state;
    check_copy(HEAD("sip:bob:SECRET@example.com;lr") REST "\r\n", HEAD("sip:bob:*@example.com;lr") REST "\r\n");
    check_copy(HEAD("sip:bob@example.com?Authorization=SECRET") REST "\r\n", HEAD("sip:bob@example.com?*") REST "\r\n");
    check_line("Contact: \"a, b\" <sip:alice:SECRET@192.0.2.1:5060;ob>;expires=60, <sips:alice@x.example>",
               "Contact: \"a, b\" <sip:alice:*@192.0.2.1:5060;ob>;expires=60, <sips:alice@x.example>");
    check_line("m: *", "m: *");
    check_line("Refer-To: <sip:b@c?Replaces=SECRET&body=SECRET>;x=y", "Refer-To: <sip:b@c?*>;x=y");
    check_line("r: sip:b@c?Replaces=SECRET", "r: *");
    check_line("Route: <sip:p1:SECRET@a.example;lr>,<sip:p2:SECRET@b.example;lr>",
               "Route: <sip:p1:*@a.example;lr>, <sip:p2:*@b.example;lr>");
    check_line("Route: <sip:a.example;lr>, <sip:SECRET", "Route: <sip:a.example;lr>, *");
    check_line("Call-Info: <https://u:SECRET@h.example/p?token=SECRET>;purpose=icon, <mailto:a@b?body=SECRET>",
               "Call-Info: <https://*@h.example/p?*>;purpose=icon, <mailto:a@b?*>");
    check_line("P-Asserted-Identity: <tel:+4930123>", "P-Asserted-Identity: <tel:+4930123>");
}

static void test_body(void **state)
{
    (void)state;
    check_copy(HEAD("sip:b@c") REST "Content-Type: application/sdp\r\nl: 12\r\n\r\na=crypto:1 S",
               HEAD("sip:b@c") REST "Content-Type: application/sdp\r\nl: 34\r\n\r\n[a body of 12 bytes is left out]\r\n");
    /* without a length, and with one that is not that of the body */
    check_copy(HEAD("sip:b@c") REST "\r\nSECRET", HEAD("sip:b@c") REST "\r\n[a body of 6 bytes is left out]\r\n");
    check_copy(HEAD("sip:b@c") REST "l: 600\r\n\r\nSECRET",
               HEAD("sip:b@c") REST "l: 600\r\n\r\n[a body of 6 bytes is left out]\r\n");
    check_copy(HEAD("sip:b@c") REST "l: 0\r\n\r\nSECRET", HEAD("sip:b@c") REST "l: 0\r\n\r\n");
}

/* What the parser could not read is not shown: a line end that is none, and lines that are no headers. */
static void test_not_understood(void **state)
{
    struct buf *b;

    (void)state;
    check_line("Subject: a\nAuthorization: Digest response=SECRET", "Subject: a");
    check_line("Subject: a\rAuthorization: Bearer SECRET", "Subject: a");
    check_copy(HEAD("sip:b@c") "Authorization Bearer SECRET\r\n" REST "\r\n", HEAD("sip:b@c") REST "\r\n");
    check_copy(HEAD("sip:b@c") REST, HEAD("sip:b@c") REST "\r\n");
    check_err(redact_message(arena, STR("GET /?password=SECRET HTTP/1.1\r\n\r\n"), &b, NULL), ERR_SYNTAX);
    check_err(redact_message(arena, STR(""), &b, NULL), ERR_SYNTAX);
}

static void test_oom(void **state)
{
    static const char text[] = HEAD("sip:b@c") REST "Authorization: Digest response=a\r\nl: 1\r\n\r\nx";

    (void)state;
    OOM_SWEEP(20, {
        struct arena *a = arena_new(256, 512 << 10);
        struct buf *b;

        if (a && redact_message(a, STR(text), &b, NULL) == 0)
            buf_unref(b);
        arena_free(a);
        buf_pool_done();
    });
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plain), cmocka_unit_test(test_digest),         cmocka_unit_test(test_other_schemes),
        cmocka_unit_test(test_uris),  cmocka_unit_test(test_body),           cmocka_unit_test(test_not_understood),
        cmocka_unit_test(test_oom),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
