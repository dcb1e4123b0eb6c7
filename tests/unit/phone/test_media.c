/* Two media on loopback: sound by DTLS-SRTP, SDES and in clear, what is not authentic is not heard,
 * certificates that are not the announced ones, several answers to one offer, new keys, what is
 * refused and why; and the words for all that. RFC 3264, 3711, 4568, 5763, 8643, 8842. */
#include "bed.h"

#include "keying/dtls.h"
#include "keying/keying.h"
#include "oom.h"
#include "phone/media_keys.h"
#include "phone/sound.h"
#include <stdio.h>
#include <time.h>
#include <unistd.h>

struct side {
    struct phone_media *m;
    struct phone_media_rtp cfg;
    struct sound_config sound;
    struct keying_policy policy;
    struct sdp_new_media section;
    char text[4096];
    struct sdp *sdp;
    const char *host;
    _Atomic unsigned n_first, n_digits, n_security, n_failed, n_rekey;
};

static const struct phone_media_ops *const ops = &phone_media_rtp_ops;
static struct keying_dtls_identity *alice, *bob, *bob_again;

static void on_first(void *arg, uint32_t call)
{
    struct side *s = arg;
    (void)call;
    s->n_first++;
}

static void on_digit(void *arg, uint32_t call, char digit)
{
    struct side *s = arg;
    (void)call;
    assert_int_equal(digit, '7');
    s->n_digits++;
}

static void on_news(void *arg, uint32_t call, enum phone_media_news what)
{
    struct side *s = arg;
    (void)call;
    s->n_security += what == PHONE_MEDIA_SECURITY;
    s->n_failed += what == PHONE_MEDIA_FAILED;
    s->n_rekey += what == PHONE_MEDIA_REKEY;
}

/* Methods by letter: d, s, c. */
static void side_policy(struct side *s, struct keying_dtls_identity *identity, const char *methods)
{
    keying_policy_init(&s->policy);
    s->policy.identity = identity;
    s->policy.handshake_ms = 3000;
    s->policy.dtls_first_ms = 50;
    s->policy.n_methods = 0;
    for (; *methods; methods++)
        s->policy.methods[s->policy.n_methods++] = *methods == 'd'   ? KEYING_DTLS
                                                   : *methods == 's' ? KEYING_SDES
                                                                     : KEYING_CLEAR;
}

static void side_open(struct side *s, const char *host, const char *codecs)
{
    struct addr a;
    struct rand_source rnd;
    struct reason why = {0};
    const struct phone_media_user u = {
        .arg = s, .call = 1, .on_first = on_first, .on_digit = on_digit, .on_news = on_news};
    s->host = host;
    s->cfg =
        (struct phone_media_rtp){.sound = &s->sound, .codecs = str_z(codecs), .keying = &s->policy};
    rand_fixed_init(&rnd, 1);
    assert_int_equal(addr_parse(&a, str_z(host), 0), 0);
    if (ops->open(&s->cfg, &a, &rnd, &u, &s->m, &why) != 0)
        fail_msg("%s", why.detail);
}

static void side_describe(struct side *s, enum sdp_dir dir)
{
    struct addr a;
    char text[4096];
    struct sbuf b = sbuf_make(text, sizeof(text));
    assert_int_equal(addr_parse(&a, str_z(s->host), 0), 0);
    s->section.has_dir = true;
    s->section.dir = dir;
    struct sdp_new n = {.host = &a, .media = &s->section, .n_media = 1};
    assert_int_equal(sdp_build(&b, &n), 0);
    assert_int_equal(str_copy_z(s->text, sizeof(s->text), sbuf_get(&b)), 0);
    assert_int_equal(sdp_parse(bed.arena, arena_str(bed.arena, str_z(s->text)), &s->sdp, NULL), 0);
}

static int agreed(struct side *s, const struct sdp *remote, bool we_offered, unsigned branch,
                  enum sdp_dir dir, struct reason *why)
{
    const struct phone_media_exchange x = {.remote = remote,
                                           .we_offered = we_offered,
                                           .is_hop_private = true,
                                           .branch = branch,
                                           .dir = dir};
    return ops->agreed(s->m, &x, why);
}

static void offer(struct side *a, enum sdp_dir dir)
{
    struct reason why = {0};
    if (ops->offer(a->m, bed.arena, true, &a->section, &why) != 0)
        fail_msg("no offer: %s", why.detail);
    side_describe(a, dir);
}

static void answer(struct side *b, const struct sdp *to, enum sdp_dir dir)
{
    struct reason why = {0};
    sdp_answer_media(to, 0, &b->section);
    if (ops->answer(b->m, bed.arena, to, 0, true, &b->section, &why) != 0)
        fail_msg("no answer: %s", why.detail);
    side_describe(b, sdp_answer_direction(dir, SDP_SENDRECV));
    assert_int_equal(sdp_answer_check(to, b->sdp, &why), 0);
    assert_int_equal(agreed(b, to, false, 0, sdp_answer_direction(dir, SDP_SENDRECV), &why), 0);
}

/* Offer and answer between the two. */
static void exchange(struct side *a, struct side *b, enum sdp_dir dir)
{
    struct reason why = {0};
    offer(a, dir);
    answer(b, a->sdp, dir);
    if (agreed(a, b->sdp, true, 0, dir, &why) != 0)
        fail_msg("not agreed: %s", why.detail);
}

static bool is_heard(struct side *s)
{
    struct phone_media_figures f;
    ops->figures(s->m, &f);
    return f.is_heard;
}

static const char *proof(struct side *s)
{
    struct phone_media_security sec;
    ops->security(s->m, &sec);
    return sec.proof;
}

/* Until it is so, 8 s at most on a loaded machine. */
#define UNTIL(cond)                                                                                \
    do {                                                                                           \
        for (unsigned until_ = 0; until_ < 800 && !(cond); until_++)                               \
            usleep(10000);                                                                         \
        assert_true(cond);                                                                         \
    } while (0)

static void pair(struct side *a, struct side *b, const char *methods_a, const char *methods_b)
{
    *a = (struct side){.sound = {.tone_hz = 440, .expect_hz = 880}};
    *b = (struct side){.sound = {.tone_hz = 880, .expect_hz = 440}};
    side_policy(a, alice, methods_a);
    side_policy(b, bob, methods_b);
    side_open(a, "127.0.0.1", "");
    side_open(b, "127.0.0.2", "PCMU");
}

static void pair_close(struct side *a, struct side *b)
{
    ops->close(a->m);
    ops->close(b->m);
}

/* Datagrams to a's port from another host. */
static void stranger(const struct side *a, const uint8_t *p, size_t n, unsigned times)
{
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    struct addr from, to;
    assert_int_equal(addr_parse(&from, STR("127.0.0.3"), 0), 0);
    assert_int_equal(addr_parse(&to, STR("127.0.0.1"), a->section.port), 0);
    assert_int_equal(bind(fd, &from.sa, addr_len(&from)), 0);
    while (times-- > 0)
        assert_int_equal(sendto(fd, p, n, 0, &to.sa, addr_len(&to)), n);
    close(fd);
}

static void clear(void **state)
{
    (void)state;
    struct side a, b;
    struct phone_media_figures fa, fb;
    struct phone_media_security sec;
    const uint8_t p[172] = {0x80, 0};
    pair(&a, &b, "c", "c");
    exchange(&a, &b, SDP_SENDRECV);
    check_str(a.sdp->media[0].proto_text, "RTP/AVP");
    assert_int_equal(ops->dial(a.m, STR("7")), 0);
    UNTIL(is_heard(&a) && is_heard(&b) && b.n_digits);
    ops->figures(a.m, &fa);
    assert_string_equal(fa.codec, "PCMU");
    assert_int_equal(a.n_first, 1);
    assert_int_equal(b.n_digits, 1);
    assert_int_equal(addr_port(&fa.remote), b.section.port);
    stranger(&a, p, sizeof(p), 5);
    UNTIL((ops->figures(a.m, &fa), fa.foreign == 5));
    /* hold: b sends no more */
    exchange(&a, &b, SDP_SENDONLY);
    usleep(50000);
    ops->figures(b.m, &fb);
    uint64_t sent = fb.q.sent, received = fb.q.received;
    UNTIL((ops->figures(b.m, &fb), fb.q.received > received + 5));
    assert_int_equal(fb.q.sent, sent);
    ops->security(a.m, &sec);
    assert_string_equal(sec.method, "none");
    assert_false(sec.is_encrypted);
    assert_string_equal(phone_media_level(&sec, true), "open");
    pair_close(&a, &b);
}

static void check_protected(struct side *s, const char *method, const char *exposed)
{
    struct phone_media_security sec;
    ops->security(s->m, &sec);
    assert_string_equal(sec.method, method);
    assert_string_equal(sec.suite, "AEAD_AES_256_GCM");
    assert_string_equal(sec.exposed, exposed);
    assert_string_equal(sec.proof, "media");
    assert_true(sec.is_encrypted && sec.is_authenticated && sec.is_proven);
    assert_null(sec.attack);
    assert_string_equal(phone_media_level(&sec, true), "protected");
    assert_string_equal(phone_media_level(&sec, false), "open");
}

static void secured(const char *methods, const char *proto, const char *method, const char *exposed,
                    bool mux)
{
    struct side a, b;
    struct phone_media_figures fa;
    struct phone_media_security sec;
    const uint8_t clear[172] = {0x80, 8}, forged[200] = {0x80, 0};
    struct reason why = {0};
    pair(&a, &b, methods, "ds");
    offer(&a, SDP_SENDRECV);
    check_str(a.sdp->media[0].proto_text, proto);
    if (!mux) {
        a.section.rtcp_mux = false;
        side_describe(&a, SDP_SENDRECV);
    }
    answer(&b, a.sdp, SDP_SENDRECV);
    assert_int_equal(sdp_has(b.sdp, 0, SDP_A_RTCP_MUX), mux);
    assert_int_equal(agreed(&a, b.sdp, true, 0, SDP_SENDRECV, &why), 0);
    ops->settled(a.m);
    UNTIL(is_heard(&a) && is_heard(&b));
    UNTIL(strcmp(proof(&a), "media") == 0 && strcmp(proof(&b), "media") == 0);
    check_protected(&a, method, exposed);
    check_protected(&b, method, exposed);
    assert_true(a.n_security > 0 && b.n_security > 0);
    /* neither clear nor forged packets are heard, whoever sends them */
    stranger(&a, clear, sizeof(clear), 3);
    stranger(&a, forged, sizeof(forged), 4);
    UNTIL((ops->figures(a.m, &fa), fa.foreign == 7));
    UNTIL((ops->security(a.m, &sec), sec.forged == 7));
    assert_null(sec.attack); /* one forged packet is no verdict on the call */
    /* hold and back: the keys stay */
    exchange(&a, &b, SDP_SENDONLY);
    exchange(&a, &b, SDP_SENDRECV);
    ops->figures(a.m, &fa);
    uint64_t received = fa.q.received;
    UNTIL((ops->figures(a.m, &fa), fa.q.received > received + 20));
    check_protected(&a, method, exposed);
    assert_int_equal(a.n_failed + b.n_failed + a.n_rekey + b.n_rekey, 0);
    pair_close(&a, &b);
}

static void dtls(void **state)
{
    (void)state;
    secured("ds", "UDP/TLS/RTP/SAVP", "DTLS-SRTP", "nobody but the two ends", true);
}

/* Two associations (RFC 5764 4.1). */
static void dtls_two_ports(void **state)
{
    (void)state;
    secured("d", "UDP/TLS/RTP/SAVP", "DTLS-SRTP", "nobody but the two ends", false);
}

static void sdes(void **state)
{
    (void)state;
    secured("s", "RTP/SAVP", "SDES", "every server that the signalling passes", true);
}

/* Each side calls once: who offers is the DTLS server. */
static void wrong_fingerprint(void **state)
{
    (void)state;
    for (int who = 0; who < 2; who++) {
        struct side a, b;
        struct reason why = {0};
        struct phone_media_security sec;
        struct phone_media_figures f;
        char *at;
        pair(&a, &b, "d", "d");
        a.policy.handshake_ms = b.policy.handshake_ms = 600;
        offer(&a, SDP_SENDRECV);
        if (who == 1) { /* somebody changes the offer */
            at = strstr(a.text, "a=fingerprint:sha-256 ");
            assert_non_null(at);
            at += strlen("a=fingerprint:sha-256 ");
            *at = *at == 'A' ? 'B' : 'A';
            assert_int_equal(
                sdp_parse(bed.arena, arena_str(bed.arena, str_z(a.text)), &a.sdp, NULL), 0);
        }
        answer(&b, a.sdp, SDP_SENDRECV);
        if (who == 0) { /* ... or the answer */
            at = strstr(b.text, "a=fingerprint:sha-256 ");
            assert_non_null(at);
            at += strlen("a=fingerprint:sha-256 ");
            *at = *at == 'A' ? 'B' : 'A';
            assert_int_equal(
                sdp_parse(bed.arena, arena_str(bed.arena, str_z(b.text)), &b.sdp, NULL), 0);
        }
        assert_int_equal(agreed(&a, b.sdp, true, 0, SDP_SENDRECV, &why), 0);
        ops->settled(a.m);
        struct side *victim = who == 0 ? &a : &b;
        UNTIL((ops->security(victim->m, &sec), sec.attack != NULL));
        assert_string_equal(phone_media_level(&sec, true), "attacked");
        UNTIL(victim->n_failed > 0);
        assert_true(ops->failure(victim->m, &why));
        assert_string_equal(why.code, "dtls-fingerprint");
        ops->figures(victim->m, &f);
        assert_int_equal(f.q.received + f.q.sent, 0);
        pair_close(&a, &b);
    }
}

/* Somebody else answers a later offer (a transfer behind the other side's server): new keys, and
 * the old ones are good no more. */
static void moved(const char *methods)
{
    struct side a, b, c = {.sound = {.tone_hz = 660, .expect_hz = 440}};
    struct reason why = {0};
    struct phone_media_figures f;
    pair(&a, &b, methods, "ds");
    side_policy(&c, bob_again, "ds");
    side_open(&c, "127.0.0.4", "PCMU");
    exchange(&a, &b, SDP_SENDRECV);
    ops->settled(a.m);
    UNTIL(strcmp(proof(&a), "media") == 0);
    offer(&a, SDP_SENDRECV);
    answer(&c, a.sdp, SDP_SENDRECV);
    assert_int_equal(agreed(&a, c.sdp, true, 0, SDP_SENDRECV, &why), 0);
    ops->settled(a.m);
    UNTIL(is_heard(&c));
    UNTIL(strcmp(proof(&c), "media") == 0 && strcmp(proof(&a), "media") == 0);
    /* b still sends, by the old keys: it is not heard once c has been */
    ops->figures(a.m, &f);
    uint64_t foreign = f.foreign;
    UNTIL((ops->figures(a.m, &f), f.foreign > foreign + 5));
    assert_int_equal(a.n_failed, 0);
    pair_close(&a, &b);
    ops->close(c.m);
}

static void moved_dtls(void **state)
{
    (void)state;
    moved("d");
}

static void moved_sdes(void **state)
{
    (void)state;
    moved("s");
}

/* The other side agrees, and then nobody is there. */
static void nobody_there(void **state)
{
    (void)state;
    struct side a, b;
    struct reason why = {0};
    pair(&a, &b, "d", "d");
    a.policy.handshake_ms = 300;
    offer(&a, SDP_SENDRECV);
    answer(&b, a.sdp, SDP_SENDRECV);
    ops->close(b.m);
    assert_int_equal(agreed(&a, b.sdp, true, 0, SDP_SENDRECV, &why), 0);
    assert_false(ops->failure(a.m, &why));
    UNTIL(a.n_failed > 0);
    assert_true(ops->failure(a.m, &why));
    assert_string_equal(why.code, "dtls-timeout");
    ops->close(a.m);
}

/* Without memory nothing is taken for agreed, and nothing leaks. */
static void keys_oom(void **state)
{
    (void)state;
    struct keying_policy policy;
    struct rand_source rnd;
    struct sdp *sdp = NULL;
    static const char text[] =
        "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\nm=audio 5 "
        "RTP/SAVP 0\r\na=crypto:1 AES_CM_128_HMAC_SHA1_80 "
        "inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz\r\n";
    rand_fixed_init(&rnd, 1);
    keying_policy_init(&policy);
    policy.methods[0] = KEYING_SDES;
    policy.n_methods = 1;
    assert_int_equal(sdp_parse(bed.arena, str_z(text), &sdp, NULL), 0);
    const struct keying_at at = {.now_ms = 1, .wall_ms = 1700000000000, .rand = &rnd};
    const struct keying_wish wish = {.is_hop_private = true, .paths = 1};
    const struct keying_heard heard = {.sdp = sdp, .is_hop_private = true};
    OOM_SWEEP(200, {
        struct media_keys *k = NULL;
        struct media_keys *twin = NULL;
        struct sdp_new_media m = {0};
        struct reason why = {0};
        uint8_t p[300] = {0x80};
        size_t n = 100;
        if (media_keys_new(&k, &policy) == 0) {
            assert_false(media_keys_protect(k, false, p, &n, sizeof(p)));
            if (media_keys_answer(k, &at, &wish, &heard, bed.arena, &m, &why) == 0) {
                unsigned news = media_keys_drain(k, NULL, NULL);
                assert_true(news != 0);
                assert_false(media_keys_is_clear(k));
                assert_int_equal(news & MEDIA_KEYS_FAILED ? media_keys_failure(k) != NULL : 1, 1);
            }
            if (media_keys_offer(k, &at, &wish, bed.arena, &m, &why) == 0 &&
                media_keys_fork(k, &twin) == 0 &&
                media_keys_accept(twin, &at, &wish, &heard, &why) == 0)
                (void)media_keys_drain(twin, NULL, NULL);
        }
        media_keys_free(twin);
        media_keys_free(k);
    });
}

/* One offer, two answers: each has keys of its own, and the one that is chosen is heard. */
static void forks(const char *methods, bool rekeys)
{
    struct side a, b, c = {.sound = {.tone_hz = 660, .expect_hz = 440}};
    struct reason why = {0};
    pair(&a, &b, methods, "ds");
    side_policy(&c, bob, "ds");
    side_open(&c, "127.0.0.4", "PCMU");
    a.sound.expect_hz = 660;
    offer(&a, SDP_SENDRECV);
    answer(&b, a.sdp, SDP_SENDRECV);
    answer(&c, a.sdp, SDP_SENDRECV);
    assert_int_equal(agreed(&a, b.sdp, true, 0, SDP_SENDRECV, &why), 0);
    UNTIL(strcmp(proof(&a), "media") == 0);
    if (agreed(&a, c.sdp, true, 1, SDP_SENDRECV, &why) != 0)
        fail_msg("the second answer is refused: %s", why.detail);
    UNTIL(is_heard(&a) && is_heard(&c));
    /* and back, and again: the keys are there */
    assert_int_equal(agreed(&a, b.sdp, true, 0, SDP_SENDRECV, &why), 0);
    assert_int_equal(agreed(&a, c.sdp, true, 1, SDP_SENDRECV, &why), 0);
    assert_string_equal(proof(&a), "media");
    ops->settled(a.m);
    assert_int_equal(a.n_failed, 0);
    assert_int_equal(a.n_rekey > 0, rekeys);
    if (rekeys) { /* another branch has seen the offer's keys: new ones (TR/100 8.2.1.3) */
        struct str before = arena_str(bed.arena, str_z(strstr(a.text, "a=crypto:")));
        offer(&a, SDP_SENDRECV);
        assert_null(strstr(a.text, before.p));
        answer(&c, a.sdp, SDP_SENDRECV);
        assert_int_equal(agreed(&a, c.sdp, true, 1, SDP_SENDRECV, &why), 0);
        struct phone_media_figures f;
        ops->figures(c.m, &f);
        uint64_t received = f.q.received;
        UNTIL((ops->figures(c.m, &f), f.q.received > received + 20));
    }
    pair_close(&a, &b);
    ops->close(c.m);
}

static void forks_dtls(void **state)
{
    (void)state;
    forks("d", false);
}

static void forks_sdes(void **state)
{
    (void)state;
    forks("s", true);
}

/* DTLS-SRTP is refused, then SDES, then clear is what is left. */
static void next_way(void **state)
{
    (void)state;
    struct side a = {0};
    struct reason why = {0};
    side_policy(&a, alice, "dsc");
    side_open(&a, "127.0.0.1", "");
    offer(&a, SDP_SENDRECV);
    check_str(a.sdp->media[0].proto_text, "UDP/TLS/RTP/SAVP");
    assert_true(ops->next_way(a.m));
    ops->rollback(a.m);
    offer(&a, SDP_SENDRECV);
    check_str(a.sdp->media[0].proto_text, "RTP/SAVP");
    assert_true(ops->next_way(a.m));
    ops->rollback(a.m);
    offer(&a, SDP_SENDRECV);
    check_str(a.sdp->media[0].proto_text, "RTP/AVP");
    assert_null(strstr(a.text, "a=crypto"));
    assert_false(ops->next_way(a.m));
    ops->close(a.m);
    /* without leave to speak clear there is nothing behind SDES, and over a clear hop not even that
     */
    a = (struct side){0};
    side_policy(&a, alice, "ds");
    side_open(&a, "127.0.0.1", "");
    offer(&a, SDP_SENDRECV);
    assert_true(ops->next_way(a.m));
    ops->rollback(a.m);
    check_err(ops->offer(a.m, bed.arena, false, &a.section, &why), ERR_REFUSED);
    assert_string_equal(why.code, "keying-clear-hop");
    offer(&a, SDP_SENDRECV);
    assert_false(ops->next_way(a.m));
    ops->close(a.m);
}

/* OSRTP: keys in a clear profile; who has none gets clear media (RFC 8643). */
static void best_effort(void **state)
{
    (void)state;
    static const char *const methods[] = {"ds", "c"};
    for (size_t i = 0; i < ARRAY_LEN(methods); i++) {
        struct side a, b;
        struct phone_media_security sec;
        pair(&a, &b, "ds", methods[i]);
        a.policy.best_effort = true;
        exchange(&a, &b, SDP_SENDRECV);
        check_str(a.sdp->media[0].proto_text, "RTP/AVP");
        assert_non_null(strstr(a.text, "a=crypto"));
        assert_non_null(strstr(a.text, "a=fingerprint"));
        UNTIL(is_heard(&a) && is_heard(&b));
        ops->security(a.m, &sec);
        assert_string_equal(sec.method, i == 0 ? "DTLS-SRTP" : "none");
        pair_close(&a, &b);
    }
}

static void refusals(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool is_hop_private;
        const char *code;
    } offers[] = {
        {"m=video 5 RTP/AVP 31\n", true, "media-kind"},
        {"m=audio 5 UDPTL t38\n", true, "media-kind"},
        {"m=audio 5 UDP/TLS/RTP/SAVPF 18\n", true, "media-codec"},
        {"m=audio 5 RTP/AVP 96\na=rtpmap:96 PCMU/16000\n", true, "media-codec"},
        {"m=audio 5 RTP/AVP 0\n", true, "keying-clear"},
        {"m=audio 5 RTP/SAVP 0\n", true, "keying-clear"},
        {"m=audio 5 UDP/TLS/RTP/SAVPF 0\n", true, "keying-clear"},
        {"m=audio 5 RTP/SAVP 0\na=crypto:1 AES_CM_128_HMAC_SHA1_80 "
         "inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz\n",
         false, "sdes-clear-hop"},
        {"m=audio 5 RTP/SAVP 0\na=crypto:1 AES_CM_128_HMAC_SHA1_32 "
         "inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz\n",
         true, "sdes-suite-refused"},
        {"m=audio 5 RTP/SAVP 0\nc=IN IP4 host.example\n", true, "media-address"},
        {"m=audio 5 RTP/SAVP 0\nc=IN IP6 ::1\n", true, "media-address"},
    };
    struct side a = {0};
    struct reason why;
    struct sdp *s;
    char text[512];
    side_policy(&a, alice, "ds");
    side_open(&a, "127.0.0.1", "PCMU,PCMA");
    for (size_t i = 0; i < ARRAY_LEN(offers); i++) {
        snprintf(text, sizeof(text), "v=0\no=- 1 1 IN IP4 1.2.3.4\nc=IN IP4 1.2.3.4\n%s",
                 offers[i].text);
        assert_int_equal(sdp_parse(bed.arena, arena_str(bed.arena, str_z(text)), &s, NULL), 0);
        why = (struct reason){0};
        check_err(ops->check(a.m, s, 0, offers[i].is_hop_private, &why), ERR_UNSUPPORTED);
        assert_string_equal(why.code, offers[i].code);
        sdp_answer_media(s, 0, &a.section);
        why = (struct reason){0};
        check_err(ops->answer(a.m, bed.arena, s, 0, offers[i].is_hop_private, &a.section, &why),
                  ERR_UNSUPPORTED);
        assert_string_equal(why.code, offers[i].code);
    }
    /* answers that are none to what was offered */
    offer(&a, SDP_SENDRECV);
    assert_int_equal(
        sdp_parse(bed.arena,
                  STR("v=0\no=- 1 1 IN IP4 1.2.3.4\nc=IN IP4 host.example\nm=audio 5 RTP/AVP 0\n"),
                  &s, NULL),
        0);
    check_err(agreed(&a, s, true, 0, SDP_SENDRECV, &why), ERR_UNSUPPORTED);
    assert_int_equal(
        sdp_parse(bed.arena,
                  STR("v=0\no=- 1 1 IN IP4 1.2.3.4\nc=IN IP4 1.2.3.4\nm=audio 5 UDP/TLS/RTP/SAVP "
                      "0\n"),
                  &s, NULL),
        0);
    check_err(agreed(&a, s, true, 0, SDP_SENDRECV, &why), ERR_REFUSED);
    assert_string_equal(why.code, "keying-stripped");
    check_err(ops->dial(a.m, STR("1")), ERR_UNSUPPORTED);
    ops->close(a.m);
    struct side b = {.sound = {0}};
    struct addr host;
    const struct phone_media_user u = {.arg = &b};
    side_policy(&b, bob, "ds");
    b.cfg = (struct phone_media_rtp){
        .sound = &b.sound, .codecs = STR("PCMA,what"), .keying = &b.policy};
    assert_int_equal(addr_parse(&host, STR("127.0.0.1"), 0), 0);
    check_err(ops->open(&b.cfg, &host, NULL, &u, &b.m, &why), ERR_UNSUPPORTED);
}

/* What stands on the screen. */
static void words(void **state)
{
    (void)state;
    struct keying_facts f = keying_facts_clear();
    struct phone_media_security s;
    char text[512];
#define SENTENCE(is_private, expected)                                                             \
    do {                                                                                           \
        phone_media_words(&f, &s);                                                                 \
        phone_media_sentence(&s, is_private, text, sizeof(text));                                  \
        assert_string_equal(text, expected);                                                       \
    } while (0)
    SENTENCE(true, "clear RTP, anybody on its way can listen; the call is open, whatever the "
                   "signalling");
    f.method = KEYING_DTLS;
    f.proof = KEYING_PROOF_NEGOTIATED;
    SENTENCE(true, "DTLS-SRTP agreed, no keys yet; no sound until there are");
    assert_null(phone_media_level(&s, true));
    f.suite = keying_suite_get(KEYING_AES_128_GCM);
    f.known_to = KEYING_KNOWN_ENDS;
    f.forward_secret = true;
    f.middle = KEYING_MIDDLE_IF_SDP_OK;
    f.proof = KEYING_PROOF_HANDSHAKE;
    SENTENCE(true,
             "DTLS-SRTP with AEAD_AES_128_GCM, forward secret, proven by the handshake; the key is "
             "known to nobody but the two ends; nobody is in between if the servers passed the "
             "signalling on unchanged (there is no string to compare); the call is protected");
    f.proof = KEYING_PROOF_MEDIA;
    SENTENCE(false,
             "DTLS-SRTP with AEAD_AES_128_GCM, forward secret, proven by what is heard; the key is "
             "known to nobody but the two ends; nobody is in between if the servers passed the "
             "signalling on unchanged (there is no string to compare); the call is open, since its "
             "signalling is clear");
    f.attacks = KEYING_ATTACK_FINGERPRINT;
    phone_media_words(&f, &s);
    assert_string_equal(phone_media_level(&s, true), "attacked");
    phone_media_sentence(&s, true, text, sizeof(text));
    assert_non_null(strstr(text, "ATTACKED, somebody answered with another certificate than the "
                                 "signalling announced; "));
    f = keying_facts_clear();
    f.method = KEYING_SDES;
    f.suite = keying_suite_get(KEYING_AES_128_CM_80);
    f.known_to = KEYING_KNOWN_HOPS;
    f.proof = KEYING_PROOF_NEGOTIATED;
    f.is_interim = true;
    SENTENCE(true, "SDES with AES_CM_128_HMAC_SHA1_80, not forward secret, negotiated but not "
                   "proven yet; the key is known to every server that the signalling passes; "
                   "somebody may be in between (there is no string to compare); an interim method; "
                   "the call is protected");
    f.unencrypted_rtp = true;
    SENTENCE(true, "SDES without encryption, anybody on its way can listen; the call is open, "
                   "whatever the signalling");
    phone_media_sentence(&s, true, text, 8); /* cut, and ended */
    assert_int_equal(strlen(text) < 8, 1);
}

static int setup(void **state)
{
    struct rand_source rand;
    (void)state;
    rand_system_init(&rand);
    uint64_t now = (uint64_t)time(NULL);
    return keying_dtls_identity_new(&alice, now, &rand) == 0 &&
                   keying_dtls_identity_new(&bob, now, &rand) == 0 &&
                   keying_dtls_identity_new(&bob_again, now, &rand) == 0
               ? 0
               : -1;
}

static int teardown(void **state)
{
    (void)state;
    keying_dtls_identity_unref(alice);
    keying_dtls_identity_unref(bob);
    keying_dtls_identity_unref(bob_again);
    return 0;
}

#define ON_BED(test) cmocka_unit_test_setup_teardown(test, bed_setup, bed_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_BED(clear),
        ON_BED(dtls),
        ON_BED(dtls_two_ports),
        ON_BED(sdes),
        ON_BED(wrong_fingerprint),
        ON_BED(moved_dtls),
        ON_BED(moved_sdes),
        ON_BED(nobody_there),
        ON_BED(keys_oom),
        ON_BED(forks_dtls),
        ON_BED(forks_sdes),
        ON_BED(next_way),
        ON_BED(best_effort),
        ON_BED(refusals),
        cmocka_unit_test(words),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
