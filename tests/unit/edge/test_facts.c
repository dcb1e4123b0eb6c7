/* What descriptions tell of a call's media: a plain one is only glanced at, and that must not tell
 * anything else than its index would. RFC 3264 6, RFC 4568, 5763, 6189, 8866. */
#include "check.h"

#include "base/limits.h"
#include "edge/status/facts.h"
#include "sdp/sdp.h"
#include <stdio.h>

#define HEAD "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n"
#define AUDIO "m=audio 4000 RTP/AVP 0 8\r\na=rtpmap:0 PCMU/8000\r\na=sendrecv\r\n"
#define CRYPTO                                                                                     \
    "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:d0RmdmcmVCspeEc3QGZiNWpVLFJhQX1cfHAwJSoj\r\n"
#define FINGERPRINT                                                                                \
    "a=fingerprint:SHA-1 4A:AD:B9:B1:3F:82:18:3B:54:02:12:DF:3E:5D:49:6B:19:E5:7C:AB\r\n"
#define ZRTP "a=zrtp-hash:1.10 fe30efd02423cb054e50efd0248742ac7a52c8f91bc2df881ae642c371ba46df\r\n"

static struct sip_msg *message(struct arena *a, const char *body)
{
    static char text[16384];
    struct sip_msg *m;
    struct reason why;
    int n =
        snprintf(text, sizeof(text),
                 "SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\nFrom: <sip:a@b>;tag=1\r\n"
                 "To: <sip:c@d>;tag=2\r\nCall-ID: 1\r\nCSeq: 1 INVITE\r\n"
                 "Content-Type: application/sdp\r\nContent-Length: %zu\r\n\r\n%s",
                 strlen(body), body);

    assert_int_equal(sip_msg_parse(a, str_make(text, (size_t)n), &m, &why), 0);
    return m;
}

static void same(const char *body)
{
    struct arena *a = arena_new(8192, LIMIT_MSG_ARENA_BYTES);
    struct sip_msg *m = message(a, body);
    struct facts_media got;
    struct reason why;
    struct sdp *s;

    assert_int_equal(sdp_parse(a, m->body, &s, &why), 0);
    assert_true(facts_describe(m, &got));
    assert_int_equal(got.n, s->n_media < LIMIT_FACTS_MEDIA ? s->n_media : LIMIT_FACTS_MEDIA);
    for (unsigned i = 0; i < got.n && s->n_media <= LIMIT_FACTS_MEDIA; i++) {
        struct facts_medium one;

        facts_read(s, (int)i, &one);
        assert_int_equal(got.v[i].kind, one.kind);
        assert_int_equal(got.v[i].methods, one.methods);
        assert_int_equal(got.v[i].method, one.method);
        assert_int_equal(got.v[i].is_off, one.is_off);
        assert_int_equal(got.v[i].is_secure, one.is_secure);
        assert_int_equal(got.v[i].weak, one.weak);
        assert_ptr_equal(got.v[i].suite, one.suite);
    }
    arena_free(a);
}

static void test_glance(void **state)
{
    (void)state;
    same(HEAD AUDIO);
    same("v=0\no=- 1 1 IN IP4 192.0.2.1\ns=-\nc=IN IP4 192.0.2.1\nt=0 0\nm=audio 4000 RTP/AVP 0\n");
    same(HEAD AUDIO "m=video 0 RTP/AVPF 96\r\na=rtpmap:96 VP8/90000\r\n");
    same(HEAD AUDIO "m=video 4002/2 RTP/AVP 31\r\n");
    same(HEAD "m=text 4000 RTP/AVP 98\r\n" AUDIO);
    same(HEAD "m=image 4000 udptl t38\r\n" AUDIO);
    same(HEAD AUDIO "a=candidate:1 1 UDP 1 192.0.2.1 4000 typ host\r\na=fmtp:0 x\r\n");
    same(HEAD AUDIO AUDIO AUDIO AUDIO AUDIO AUDIO AUDIO AUDIO);
    same(HEAD AUDIO AUDIO AUDIO AUDIO AUDIO AUDIO AUDIO AUDIO AUDIO);
}

static void test_keys(void **state)
{
    (void)state;
    same(HEAD AUDIO CRYPTO);
    same(HEAD "m=audio 4000 RTP/SAVP 0\r\n" CRYPTO);
    same(HEAD "m=audio 4000 RTP/SAVP 0\r\n");
    same(HEAD FINGERPRINT AUDIO);
    same(HEAD AUDIO FINGERPRINT);
    same(HEAD "m=audio 4000 UDP/TLS/RTP/SAVPF 0\r\n" FINGERPRINT);
    same(HEAD AUDIO ZRTP "m=video 4002 RTP/AVP 31\r\n" CRYPTO);
    same(HEAD "a=key-mgmt:mikey AQAFgM0XflABAAAAAAAAAAAAAAsAyO\r\n" AUDIO);
    same(HEAD "a=group:BUNDLE 1 2\r\n" AUDIO
              "a=mid:1\r\nm=video 0 RTP/AVP 31\r\na=mid:2\r\na=bundle-only\r\n");
}

/* Nothing is said of what is no description. */
static void test_none(void **state)
{
    (void)state;
    static const char *const bodies[] = {"",
                                         "v=0",
                                         HEAD,
                                         "v=0\r\n\r\n" AUDIO,
                                         "hello\r\n" AUDIO,
                                         HEAD "m=audio x RTP/AVP 0\r\n",
                                         HEAD "m=audio 99999 RTP/AVP 0\r\n",
                                         HEAD "m=audio\r\n"};

    for (size_t i = 0; i < ARRAY_LEN(bodies); i++) {
        struct arena *a = arena_new(8192, LIMIT_MSG_ARENA_BYTES);
        struct facts_media got;

        assert_false(facts_describe(message(a, bodies[i]), &got));
        arena_free(a);
    }
}

/* RFC 4474: what is bound is what was signed, of each kind of keys by itself, until something else
 * is said; fingerprints in any case of letters are the same, keys are not. */
static void test_bound(void **state)
{
    struct facts_call f = {0};
    struct facts_party *p = &f.party[POLICY_CALLER];
    const struct keying_facts sdes = {.method = KEYING_SDES}, dtls = {.method = KEYING_DTLS},
                              clear = {.method = KEYING_CLEAR};
    struct facts_media said = {0};

    (void)state;
    assert_int_equal(facts_other_keys(STR(HEAD AUDIO FINGERPRINT)), 0);
    assert_int_not_equal(facts_other_keys(STR(HEAD AUDIO CRYPTO)), 0);
    assert_int_not_equal(facts_other_keys(STR(HEAD AUDIO ZRTP)),
                         facts_other_keys(STR(HEAD AUDIO CRYPTO)));
    assert_int_not_equal(facts_other_keys(STR("a=crypto:1 x inline:AbC")),
                         facts_other_keys(STR("a=crypto:1 x inline:aBc")));
    assert_int_equal(facts_fingerprints(STR("a=fingerprint:sha-1 AA")),
                     facts_fingerprints(STR("A=Fingerprint:SHA-1 aa")));
    p->body_bound = p->signed_bound = POLICY_BOUND_DOMAIN;
    p->signed_keys = facts_fingerprints(STR(FINGERPRINT));
    p->signed_other = facts_other_keys(STR(CRYPTO));
    assert_int_equal(facts_bound(p, &sdes), POLICY_BOUND_DOMAIN);
    assert_int_equal(facts_bound(p, &dtls), POLICY_BOUND_DOMAIN);
    assert_int_equal(facts_bound(p, &clear), POLICY_BOUND_NONE);
    said.keys = p->signed_keys;
    said.other_keys = p->signed_other;
    facts_said(&f, FACTS_KEYS_CALLER, &said);
    facts_said(&f, FACTS_KEYS_CALLEE, &(struct facts_media){.keys = 1});
    assert_int_equal(facts_bound(p, &sdes), POLICY_BOUND_DOMAIN);
    said.other_keys++;
    facts_said(&f, FACTS_KEYS_CALLER, &said);
    assert_int_equal(facts_bound(p, &sdes), POLICY_BOUND_NONE);
    assert_int_equal(facts_bound(p, &dtls), POLICY_BOUND_DOMAIN);
    said.keys++;
    facts_said(&f, FACTS_KEYS_CALLER, &said);
    assert_int_equal(facts_bound(p, &dtls), POLICY_BOUND_NONE);
}

/* The keys of the only section that both descriptions agree on. */
static struct facts_medium agreed(const char *offer, const char *answer, unsigned section)
{
    struct arena *a = arena_new(8192, LIMIT_MSG_ARENA_BYTES);
    struct facts_media o, got, both;

    assert_true(facts_describe(message(a, offer), &o));
    assert_true(facts_describe(message(a, answer), &got));
    facts_agree(&o, &got, &both);
    assert_true(section < both.n);
    arena_free(a);
    return both.v[section];
}

/* A status must not be better than what the ends do: where an answer leaves it open which keys they
 * use, the least counts; a fingerprint of the whole description makes no section secret whose
 * profile has no keys, and no fax that is not over DTLS. RFC 3264 6, RFC 5763 5, RFC 7345 3, RFC
 * 8643 3.1. */
static void test_least(void **state)
{
#define SAVP "m=audio 4000 RTP/SAVP 0\r\n"
#define DTLS "m=audio 4000 UDP/TLS/RTP/SAVP 0\r\n"
    (void)state;
    assert_int_equal(agreed(HEAD SAVP CRYPTO FINGERPRINT, HEAD SAVP FINGERPRINT, 0).method,
                     KEYING_DTLS);
    assert_int_equal(agreed(HEAD SAVP CRYPTO FINGERPRINT, HEAD SAVP CRYPTO, 0).method, KEYING_SDES);
    assert_int_equal(agreed(HEAD SAVP CRYPTO FINGERPRINT, HEAD SAVP CRYPTO FINGERPRINT, 0).method,
                     KEYING_SDES);
    assert_int_equal(agreed(HEAD FINGERPRINT SAVP CRYPTO, HEAD FINGERPRINT SAVP CRYPTO, 0).method,
                     KEYING_SDES);
    assert_int_equal(agreed(HEAD AUDIO FINGERPRINT ZRTP, HEAD AUDIO FINGERPRINT ZRTP, 0).method,
                     KEYING_ZRTP);
    assert_int_equal(agreed(HEAD DTLS CRYPTO FINGERPRINT, HEAD DTLS CRYPTO FINGERPRINT, 0).method,
                     KEYING_DTLS);
    assert_int_equal(agreed(HEAD FINGERPRINT DTLS, HEAD FINGERPRINT DTLS, 0).method, KEYING_DTLS);
    assert_int_equal(agreed(HEAD AUDIO FINGERPRINT, HEAD AUDIO FINGERPRINT, 0).method, KEYING_DTLS);
    /* An answer in another profile than was offered, with the fingerprint that is signed still in
     * it. */
    assert_int_equal(agreed(HEAD DTLS FINGERPRINT, HEAD AUDIO FINGERPRINT, 0).method, KEYING_CLEAR);
    assert_int_equal(agreed(HEAD DTLS FINGERPRINT, HEAD AUDIO FINGERPRINT, 0).attacks,
                     KEYING_ATTACK_STRIPPED);
    assert_int_equal(agreed(HEAD SAVP CRYPTO, HEAD AUDIO CRYPTO, 0).method, KEYING_CLEAR);
    assert_int_equal(
        agreed(HEAD DTLS FINGERPRINT, HEAD "m=audio 0 RTP/AVP 0\r\n" FINGERPRINT, 0).attacks, 0);
    assert_int_equal(agreed(HEAD FINGERPRINT DTLS AUDIO,
                            HEAD FINGERPRINT "m=audio 0 UDP/TLS/RTP/SAVP 0\r\n" AUDIO, 1)
                         .method,
                     KEYING_CLEAR);
    assert_int_equal(agreed(HEAD FINGERPRINT DTLS "m=image 4002 udptl t38\r\n",
                            HEAD FINGERPRINT DTLS "m=image 4002 udptl t38\r\n", 1)
                         .method,
                     KEYING_CLEAR);
    assert_int_equal(agreed(HEAD "m=image 4002 udptl t38\r\n" FINGERPRINT,
                            HEAD "m=image 4002 udptl t38\r\n" FINGERPRINT, 0)
                         .method,
                     KEYING_CLEAR);
    assert_int_equal(agreed(HEAD FINGERPRINT "m=image 4002 UDP/TLS/UDPTL t38\r\n",
                            HEAD FINGERPRINT "m=image 4002 UDP/TLS/UDPTL t38\r\n", 0)
                         .method,
                     KEYING_DTLS);
    assert_int_equal(agreed(HEAD FINGERPRINT "m=message 4002 TCP/TLS/MSRP *\r\n",
                            HEAD FINGERPRINT "m=message 4002 TCP/TLS/MSRP *\r\n", 0)
                         .method,
                     KEYING_DTLS);
    assert_int_equal(agreed(HEAD FINGERPRINT "m=message 4002 TCP/MSRP *\r\n",
                            HEAD FINGERPRINT "m=message 4002 TCP/MSRP *\r\n", 0)
                         .method,
                     KEYING_CLEAR);
    assert_int_equal(agreed(HEAD "a=key-mgmt:mikey AQAFgM0XflABAAAAAAAAAAAAAAsAyO\r\n" AUDIO,
                            HEAD "a=key-mgmt:mikey AQAFgM0XflABAAAAAAAAAAAAAAsAyO\r\n" AUDIO, 0)
                         .method,
                     KEYING_CLEAR);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_glance), cmocka_unit_test(test_keys),  cmocka_unit_test(test_none),
        cmocka_unit_test(test_bound),  cmocka_unit_test(test_least),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
