/* The description in a body (anchor/body.c): what takes long to read is read once for a message,
 * however many branches and judges ask. */
#include "check.h"

#include "edge/anchor/anchor_priv.h"
#include <openssl/cms.h>
#include <openssl/ec.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <string.h>

#define SDP "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nt=0 0\r\n"

/* A signature by itself of this entity, which is inside of it (RFC 8551 3.5.2). */
static struct str opaque(struct arena *a, const char *entity)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *c = X509_new();
    BIO *in = BIO_new_mem_buf(entity, -1);
    CMS_ContentInfo *cms;
    unsigned char *der = NULL;
    struct str ret;
    int n;

    assert_true(key && c && in && ASN1_INTEGER_set(X509_get_serialNumber(c), 7) == 1 &&
                X509_gmtime_adj(X509_getm_notBefore(c), 0) &&
                X509_gmtime_adj(X509_getm_notAfter(c), 60) && X509_set_pubkey(c, key) == 1 &&
                X509_sign(c, key, EVP_sha256()) > 0);
    cms = CMS_sign(c, key, NULL, in, CMS_BINARY);
    n = cms ? i2d_CMS_ContentInfo(cms, &der) : 0;
    assert_true(n > 0);
    ret = arena_str(a, str_make((const char *)der, (size_t)n));
    assert_non_null(ret.p);
    OPENSSL_free(der);
    CMS_ContentInfo_free(cms);
    BIO_free(in);
    X509_free(c);
    EVP_PKEY_free(key);
    return ret;
}

static struct sip_msg *message(struct arena *a, const char *type, struct str body)
{
    char head[512];
    struct sip_msg *m;
    struct reason why;
    int n = snprintf(head, sizeof(head),
                     "INVITE sip:b@b SIP/2.0\r\nVia: SIP/2.0/TLS h;branch=z9hG4bKx\r\n"
                     "From: <sip:a@a>;tag=1\r\nTo: <sip:b@b>\r\nCall-ID: c\r\nCSeq: 1 INVITE\r\n"
                     "Max-Forwards: 70\r\nContent-Type: %s\r\nContent-Length: %zu\r\n\r\n",
                     type, body.n);
    char *p = arena_alloc(a, (size_t)n + body.n);

    assert_non_null(p);
    memcpy(p, head, (size_t)n);
    memcpy(p + n, body.p, body.n);
    check_err(sip_msg_parse(a, str_make(p, (size_t)n + body.n), &m, &why), 0);
    return m;
}

static void read_once(void **state)
{
    struct arena *a = arena_new(4096, 1 << 20);
    struct str cms = opaque(a, "Content-Type: application/sdp\r\n\r\n" SDP), first, again;
    struct sip_msg *m = message(a, "application/pkcs7-mime;smime-type=signed-data", cms);
    struct reason why = {0};

    (void)state;
    check_err(anchor_body_find(m, &first, &why), 0);
    check_str(first, SDP);
    assert_true(first.p < m->body.p ||
                first.p >= m->body.p + m->body.n); /* a copy of what was taken out */
    check_err(anchor_body_find(m, &again, &why), 0);
    assert_ptr_equal(first.p, again.p); /* ... which was made once */
    arena_free(a);
}

/* What cannot be read cannot be read the second time either, and says so as well. */
static void refused_again(void **state)
{
    struct arena *a = arena_new(4096, 1 << 20);
    struct sip_msg *m =
        message(a, "application/pkcs7-mime;smime-type=enveloped-data", STR("0\x03\x02\x01\x05"));
    struct reason why[2] = {{0}, {0}};
    struct str text;

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        check_err(anchor_body_find(m, &text, &why[i]), ERR_REFUSED);
        assert_string_equal(why[i].code, "body-unreadable");
        assert_int_equal(why[i].sip_status, 415);
        assert_null(text.p);
    }
    check_err(anchor_body_find(m, &text, NULL), ERR_REFUSED);
    arena_free(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(read_once),
                                       cmocka_unit_test(refused_again)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
