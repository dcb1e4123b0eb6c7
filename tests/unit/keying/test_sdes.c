/* Security descriptions: lines, offer and answer, re-keying, forking, what somebody changed on the
 * way. RFC 4568, TR/100 8.2.1.3. */
#include "keying/sdes_line.h"
#include "keying_fixture.h"
#include "oom.h"

/* ---- lines ---- */

static int parse(const char *line, struct sdes_line *ret)
{
    struct reason why = {0};
    int err = sdes_line_parse(str_z(line), ret, &why);

    if (err != 0)
        assert_non_null(why.code);
    return err;
}

static void check_round_trip(const char *line)
{
    struct sdes_line parsed;
    char text[4096];
    struct sbuf b = sbuf_make(text, sizeof(text));

    check_err(parse(line, &parsed), 0);
    sdes_line_build(&b, &parsed);
    assert_false(b.overflow);
    check_str(sbuf_get(&b), line);
}

#define K30 "d0RmdmcmVCspeEc3QGZiNWpVLFJhQX1cfHAwJSoj"
#define K30B "NzB4d1BINUAvLEw6UzF3WSJ+PSdFcGdUJShpX1Zj"
#define CM80 "1 AES_CM_128_HMAC_SHA1_80 "

/* The examples of RFC 4568 4, 4.5, 6.1, 7.1.5. */
static void test_rfc_examples(void **state)
{
    struct sdes_line line;

    (void)state;
    check_round_trip(CM80 "inline:PS1uQCVeeCFCanVmcjkpPywjNWhcYD0mXXtxaVBR|2^20|1:32");
    check_round_trip(CM80 "inline:" K30 "|2^20|1:32");
    check_round_trip("1 AES_CM_128_HMAC_SHA1_32 inline:" K30B "|2^20|1:32");
    check_round_trip(CM80 "inline:" K30 "|2^20|1:4");
    check_round_trip(CM80 "inline:YUJDZGVmZ2hpSktMbW9QUXJzVHVWd3l6MTIzNDU2|1066:4");
    check_err(parse(CM80 "inline:YUJDZGVmZ2hpSktMbW9QUXJzVHVWd3l6MTIzNDU2|1066:4", &line), 0);
    assert_int_equal(line.tag, 1);
    assert_int_equal(line.keys.suite->id, KEYING_AES_128_CM_80);
    assert_memory_equal(line.keys.key[0].key, "aBCdefghiJKLmoPQ", 16);
    assert_memory_equal(line.keys.key[0].salt, "rsTuVwyz123456", 14);
    assert_int_equal(line.keys.key[0].mki_len, 4);
    assert_memory_equal(line.keys.key[0].mki, "\0\0\4\x2a", 4);
    assert_int_equal(line.keys.key[0].max_rtp, 0);
    check_err(parse(CM80
                    "inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz|2^20|1:4 FEC_ORDER=FEC_SRTP",
                    &line),
              0);
    assert_int_equal(line.keys.key[0].max_rtp, 1 << 20);
    assert_int_equal(line.keys.key[0].max_rtcp, 1 << 20);
    check_err(
        parse("2 F8_128_HMAC_SHA1_80 inline:MTIzNDU2Nzg5QUJDREUwMTIzNDU2Nzg5QUJjZGVm|2^20|1:4;"
              "inline:QUJjZGVmMTIzNDU2Nzg5QUJDREUwMTIzNDU2Nzg5|2^20|2:4 FEC_ORDER=FEC_SRTP",
              &line),
        0);
    assert_int_equal(line.keys.n, 2);
    assert_int_equal(line.keys.key[1].mki[3], 2);
}

/* Suites of RFC 6188 and RFC 7714, other spellings, padding there or not, parameters. */
static void test_lines(void **state)
{
    struct sdes_line line;

    (void)state;
    check_round_trip("7 AEAD_AES_128_GCM inline:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGw==");
    check_round_trip("7 AEAD_AES_256_GCM "
                     "inline:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gISIjJCUmJygpKis=|2^31");
    check_round_trip("999999999 AES_CM_256_HMAC_SHA1_80 "
                     "inline:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gISIjJCUmJygpKissLQ==");
    check_err(parse("7 AEAD_AES_128_GCM inline:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGw", &line), 0);
    assert_int_equal(line.keys.key[0].salt[11], 27);
    check_round_trip(CM80 "inline:" K30 "|1000");
    check_round_trip(CM80 "inline:" K30 "|1");
    check_err(parse(CM80 "inline:" K30 "|2^0", &line), 0);
    assert_int_equal(line.keys.key[0].max_rtp, 1);
    check_round_trip(CM80 "inline:" K30 "|2^48|340282366920938463463374607431768211455:16");
    check_round_trip(CM80 "inline:" K30
                          " KDR=24 UNENCRYPTED_SRTP UNENCRYPTED_SRTCP UNAUTHENTICATED_SRTP");
    check_err(parse(CM80 "inline:" K30 " WSH=128 -UNKNOWN=7 KDR=1", &line), 0);
    assert_int_equal(line.keys.kdr, 1);
    check_err(parse(CM80 "inline:" K30 "|2^48", &line), 0);
    assert_int_equal(line.keys.key[0].max_rtcp, 1u << 31);
    check_err(parse("1\tAES_CM_128_HMAC_SHA1_80  inline:" K30 " ", &line), 0); /* WSP */
}

static void test_invalid_lines(void **state)
{
    static const char *const lines[] = {
        "",
        "1",
        "AES_CM_128_HMAC_SHA1_80 inline:" K30,
        CM80,
        "01 AES_CM_128_HMAC_SHA1_80 inline:" K30,         /* 4.1 */
        "1234567890 AES_CM_128_HMAC_SHA1_80 inline:" K30, /* 9.1 */
        "1 AES_CM_128_HMAC_SHA1_81 inline:" K30,
        "1 aes_cm_128_hmac_sha1_80 inline:" K30,
        "1 (NULL_HMAC_SHA1_80) inline:" K30,
        CM80 "url:http://example.com/",
        CM80 "inline:",
        CM80 "inline:" K30 "===",
        CM80 "inline:" K30 "AA",                        /* too long */
        CM80 "inline:d0RmdmcmVCspeEc3QGZiNWpVLFJhQX1c", /* too short */
        CM80 "inline:d0RmdmcmVCspeEc3QGZiNWpVLFJhQX1cfHAwJS*j",
        "1 AEAD_AES_128_GCM inline:" K30, /* 30 bytes, not 28 */
        CM80 "inline:" K30 "|2^49",
        CM80 "inline:" K30 "|281474976710657",
        CM80 "inline:" K30 "|0",
        CM80 "inline:" K30 "|007",
        CM80 "inline:" K30 "|2^020",
        CM80 "inline:" K30 "|2^",
        CM80 "inline:" K30 "|-1",
        CM80 "inline:" K30 "|",
        CM80 "inline:" K30 "|1:4|2^20", /* the wrong order */
        CM80 "inline:" K30 "|2^20|2^20",
        CM80 "inline:" K30 "|1:0",
        CM80 "inline:" K30 "|1:129",
        CM80 "inline:" K30 "|1:04",
        CM80 "inline:" K30 "|01:4",
        CM80 "inline:" K30 "|0:4",
        CM80 "inline:" K30 "|256:1", /* does not fit */
        CM80 "inline:" K30 "|:4",
        CM80 "inline:" K30 "|1:",
        CM80 "inline:" K30 ";inline:" K30B,            /* several keys, no MKI */
        CM80 "inline:" K30 "|1:4;inline:" K30B,        /* one without */
        CM80 "inline:" K30 "|1:4;inline:" K30B "|2:2", /* lengths differ */
        CM80 "inline:" K30 "|1:4;inline:" K30B "|1:4", /* the same MKI */
        CM80 "inline:" K30 "|1:4;inline:" K30 "|2:4",  /* the same key */
        CM80 "inline:" K30 "|1:4;",
        CM80 "inline:" K30 "|1:1;inline:" K30B "|2:1;inline:A|3:1;inline:A|4:1;inline:A|5:1",
        CM80 "inline:" K30 " KDR=0",
        CM80 "inline:" K30 " KDR=25",
        CM80 "inline:" K30 " KDR=01",
        CM80 "inline:" K30 " KDR=",
        CM80 "inline:" K30 " KDR",
        CM80 "inline:" K30 " KDR=1 KDR=1",
        CM80 "inline:" K30 " WSH=63",
        CM80 "inline:" K30 " WSH=064",
        CM80 "inline:" K30 " FEC_ORDER=SRTP_FEC",
        CM80 "inline:" K30 " FEC_KEY=inline:" K30B,
        CM80 "inline:" K30 " UNENCRYPTED_SRTP=1",
        CM80 "inline:" K30 " SOMETHING_NEW", /* 6.3.7: mandatory */
        "1 AEAD_AES_128_GCM inline:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGw== UNAUTHENTICATED_SRTP",
        "1 AEAD_AES_128_GCM inline:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGw== UNENCRYPTED_SRTP",
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
        struct sdes_line line;

        if (parse(lines[i], &line) == 0)
            fail_msg("accepted: %s", lines[i]);
    }
}

/* ---- two sides ---- */

struct side {
    struct keying_medium *m;
    struct keying_policy policy;
    struct rand_source rand;
    struct keying_wish wish;
    struct keying_at at;
    struct keying_keys send, receive; /* as installed */
    unsigned n_send, n_receive, n_facts, n_rekey;
};

static void side_init(struct side *s, uint64_t seed)
{
    memset(s, 0, sizeof(*s));
    keying_policy_init(&s->policy);
    rand_fixed_init(&s->rand, seed);
    s->wish = (struct keying_wish){.policy = &s->policy, .is_hop_private = true, .paths = 3};
    s->at = (struct keying_at){.now_ms = 1000, .rand = &s->rand};
    check_err(keying_sdes.new(&s->m, NULL, 0), 0);
}

static void side_done(struct side *s)
{
    keying_sdes.free(s->m);
}

static void side_collect(struct side *s)
{
    struct keying_event e;

    s->n_send = s->n_receive = s->n_facts = s->n_rekey = 0;
    while (keying_sdes.next(s->m, &e)) {
        if (e.kind == KEYING_EVENT_INSTALL && e.install.is_send) {
            s->send = *e.install.keys;
            s->n_send++;
        } else if (e.kind == KEYING_EVENT_INSTALL) {
            s->receive = *e.install.keys;
            s->n_receive++;
        } else if (e.kind == KEYING_EVENT_FACTS) {
            s->n_facts++;
        } else if (e.kind == KEYING_EVENT_REKEY) {
            s->n_rekey++;
        }
    }
}

static int side_offer(struct side *s, struct said *said)
{
    struct reason why = {0};

    said_init(said);
    return keying_sdes.offer(s->m, &s->at, &s->wish, &said->s, &why);
}

static int side_answer(struct side *s, const char *lines, struct said *said, struct reason *why)
{
    struct heard h = heard_make("RTP/SAVP", lines);
    int err;

    said_init(said);
    err = keying_sdes.answer(s->m, &s->at, &s->wish, &h.h, &said->s, why);
    heard_free(&h);
    return err;
}

static int side_accept(struct side *s, const char *lines, struct reason *why)
{
    struct heard h = heard_make("RTP/SAVP", lines);
    int err = keying_sdes.accept(s->m, &s->at, &s->wish, &h.h, why);

    heard_free(&h);
    return err;
}

static bool same_keys(const struct keying_keys *a, const struct keying_keys *b)
{
    return a->suite == b->suite && a->n == b->n &&
           memcmp(a->key, b->key, a->n * sizeof(a->key[0])) == 0;
}

/* What one sends with, the other receives with. */
static void check_agreed(const struct side *a, const struct side *b)
{
    assert_true(same_keys(&a->send, &b->receive));
    assert_true(same_keys(&b->send, &a->receive));
    assert_false(same_keys(&a->send, &a->receive));
    check_err(keying_keys_check(&a->send), 0);
    check_err(keying_keys_check(&a->receive), 0);
}

static void exchange(struct side *a, struct side *b)
{
    struct said offer, answer;
    struct reason why = {0};

    check_err(side_offer(a, &offer), 0);
    check_err(side_answer(b, said_lines(&offer), &answer, &why), 0);
    check_err(side_accept(a, said_lines(&answer), &why), 0);
    keying_sdes.tell(b->m, &(struct keying_at){.now_ms = 1000},
                     &(struct keying_tell){.kind = KEYING_TELL_ANSWERED});
    side_collect(a);
    side_collect(b);
    check_agreed(a, b);
}

static void test_exchange(void **state)
{
    struct side a, b;
    const struct keying_facts *f;
    struct said offer;

    (void)state;
    side_init(&a, 1);
    side_init(&b, 2);
    check_err(side_offer(&a, &offer), 0);
    assert_int_equal(offer.s.n, 4); /* a line for each suite of the policy, the preferred first */
    assert_true(str_starts_nocase(offer.s.attr[0].value, STR("1 AEAD_AES_256_GCM inline:")));
    assert_true(str_starts_nocase(offer.s.attr[3].value, STR("4 AES_CM_128_HMAC_SHA1_80 inline:")));
    exchange(&a, &b);
    assert_int_equal(a.send.suite->id, KEYING_AES_256_GCM);
    assert_int_equal(a.n_send, 1);
    assert_int_equal(a.n_receive, 1);
    assert_int_equal(b.n_send, 1);
    assert_int_equal(b.n_receive, 1);
    f = keying_sdes.facts(a.m);
    assert_int_equal(f->method, KEYING_SDES);
    assert_int_equal(f->known_to, KEYING_KNOWN_HOPS);
    assert_int_equal(f->proof, KEYING_PROOF_NEGOTIATED);
    assert_int_equal(f->middle, KEYING_MIDDLE_CAN);
    assert_false(f->forward_secret);
    assert_true(f->is_interim);
    keying_sdes.tell(a.m, &a.at, &(struct keying_tell){.kind = KEYING_TELL_MEDIA});
    side_collect(&a);
    assert_int_equal(a.n_facts, 1);
    assert_int_equal(f->proof, KEYING_PROOF_MEDIA);
    side_done(&a);
    side_done(&b);
}

/* The answerer takes the first line it can; the suite's name comes back as the peer spelled it. */
static void test_choice(void **state)
{
    struct side b;
    struct said answer;
    struct reason why = {0};
    const char *offer =
        "a=crypto:9 F8_128_HMAC_SHA1_80 inline:" K30B "\r\n"
        "a=crypto:5 AES_CM_256_HMAC_SHA1_80 "
        "inline:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gISIjJCUmJygpKissLQ==|2^31|1:1\r\n"
        "a=crypto:" CM80 "inline:" K30 "\r\n";

    (void)state;
    side_init(&b, 2);
    check_err(side_answer(&b, offer, &answer, &why), 0);
    assert_int_equal(answer.s.n, 1);
    assert_true(
        str_starts_nocase(answer.s.attr[0].value, STR("5 AES_CM_256_HMAC_SHA1_80 inline:")));
    assert_int_equal(str_find_char(answer.s.attr[0].value, '|'),
                     answer.s.attr[0].value.n); /* no MKI of ours */
    side_collect(&b);
    assert_int_equal(b.receive.key[0].mki_len, 1);
    assert_int_equal(b.receive.key[0].max_rtp, 1u << 31);
    assert_int_equal(b.send.key[0].mki_len, 0);
    side_done(&b);
    /* where a peer insists, an MKI is answered by an MKI */
    side_init(&b, 2);
    b.policy.sdes_mki_mirror = true;
    b.policy.sdes_lifetime = 1000;
    check_err(side_answer(&b, offer, &answer, &why), 0);
    side_collect(&b);
    assert_int_equal(b.send.key[0].mki_len, 1);
    assert_int_equal(b.send.key[0].max_rtp, 1000);
    side_done(&b);
    /* nothing that may be used */
    side_init(&b, 2);
    b.policy.n_suites = 1;
    check_err(side_answer(&b, offer, &answer, &why), ERR_REFUSED);
    check_reason(why, "sdes-suite-refused");
    assert_int_equal(why.sip_status, 488);
    side_collect(&b);
    assert_int_equal(b.n_send + b.n_receive, 0);
    check_err(side_answer(&b, "", &answer, &why), ERR_REFUSED);
    check_reason(why, "sdes-no-line");
    /* a tag twice: RFC 4568 4.1 */
    check_err(side_answer(&b,
                          "a=crypto:1 AEAD_AES_256_GCM "
                          "inline:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gISIjJCUmJygpKis=\r\n"
                          "a=crypto:" CM80 "inline:" K30 "\r\n",
                          &answer, &why),
              ERR_REFUSED);
    side_done(&b);
}

/* Weakenings are taken only where policy names them, and then in both directions. */
static void test_weakened(void **state)
{
    struct side b;
    struct said answer;
    struct reason why = {0};
    const char *clear = "a=crypto:" CM80 "inline:" K30 " UNENCRYPTED_SRTP\r\n";
    const char *loose = "a=crypto:" CM80 "inline:" K30 " UNAUTHENTICATED_SRTP\r\n";

    (void)state;
    side_init(&b, 2);
    check_err(side_answer(&b, clear, &answer, &why), ERR_REFUSED);
    check_reason(why, "sdes-unencrypted");
    check_err(side_answer(&b, loose, &answer, &why), ERR_REFUSED);
    check_reason(why, "sdes-unauthenticated");
    b.policy.allow_unencrypted = true;
    check_err(side_answer(&b, loose, &answer, &why), ERR_REFUSED);
    check_err(side_answer(&b, clear, &answer, &why), 0);
    side_collect(&b);
    assert_true(b.send.unencrypted_rtp && b.receive.unencrypted_rtp);
    assert_true(keying_sdes.facts(b.m)->unencrypted_rtp);
    assert_non_null(strstr(said_lines(&answer), " UNENCRYPTED_SRTP"));
    side_done(&b);
}

/* RFC 4568 8.3: no keys over a hop that others can read or change. */
static void test_clear_hop(void **state)
{
    struct side a;
    struct said said;
    struct reason why = {0};
    struct heard h = heard_make("RTP/SAVP", "a=crypto:" CM80 "inline:" K30 "\r\n");

    (void)state;
    side_init(&a, 1);
    a.wish.is_hop_private = false;
    said_init(&said);
    check_err(keying_sdes.offer(a.m, &a.at, &a.wish, &said.s, &why), ERR_REFUSED);
    check_reason(why, "sdes-clear-hop");
    assert_int_equal(said.s.n, 0);
    check_err(keying_sdes.answer(a.m, &a.at, &a.wish, &h.h, &said.s, &why), ERR_REFUSED);
    check_reason(why, "sdes-clear-hop");
    a.wish.is_hop_private = true;
    h.h.is_hop_private = false;
    check_err(keying_sdes.answer(a.m, &a.at, &a.wish, &h.h, &said.s, &why), ERR_REFUSED);
    check_err(side_offer(&a, &said), 0);
    check_err(keying_sdes.accept(a.m, &a.at, &a.wish, &h.h, &why), ERR_REFUSED);
    check_reason(why, "sdes-clear-hop");
    assert_int_equal(keying_sdes.facts(a.m)->proof, KEYING_PROOF_NONE);
    heard_free(&h);
    side_done(&a);
}

/* Answers that are none: what an intermediary, or a fault, makes of them. RFC
 * 4568 5.1.3, 5.3, 7.1.2 */
static void test_bad_answers(void **state)
{
    static const struct {
        const char *lines, *code;
        unsigned attack;
    } cases[] = {
        {"", "sdes-stripped", KEYING_ATTACK_STRIPPED},
        {"a=crypto:9 AES_CM_128_HMAC_SHA1_80 inline:" K30 "\r\n", "sdes-not-offered",
         KEYING_ATTACK_NOT_OFFERED},
        {"a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:" K30 "\r\n", "sdes-not-offered",
         KEYING_ATTACK_NOT_OFFERED},
        {"a=crypto:4 AES_CM_128_HMAC_SHA1_32 inline:" K30 "\r\n", "sdes-not-offered",
         KEYING_ATTACK_NOT_OFFERED},
        {"a=crypto:4 AES_CM_128_HMAC_SHA1_80 inline:" K30 " UNENCRYPTED_SRTP\r\n",
         "sdes-not-offered", KEYING_ATTACK_NOT_OFFERED},
        {"a=crypto:4 AES_CM_128_HMAC_SHA1_80 inline:" K30
         "\r\na=crypto:4 AES_CM_128_HMAC_SHA1_80 inline:" K30B "\r\n",
         "sdes-answer-many", KEYING_ATTACK_NOT_OFFERED},
        {"a=crypto:4 AES_CM_128_HMAC_SHA1_80 inline:short\r\n", "sdes-line-invalid", 0},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct side a;
        struct said offer;
        struct reason why = {0};

        side_init(&a, 1);
        check_err(side_offer(&a, &offer), 0);
        assert_int_not_equal(side_accept(&a, cases[i].lines, &why), 0);
        check_reason(why, cases[i].code);
        assert_int_equal(keying_sdes.facts(a.m)->attacks, cases[i].attack);
        side_collect(&a);
        assert_int_equal(a.n_send + a.n_receive, 0);
        /* the right answer is still good */
        check_err(side_accept(&a, "a=crypto:4 AES_CM_128_HMAC_SHA1_80 inline:" K30 "\r\n", &why),
                  0);
        check_err(side_accept(&a, "a=crypto:4 AES_CM_128_HMAC_SHA1_80 inline:" K30 "\r\n", &why),
                  ERR_INVALID);
        side_done(&a);
    }
}

/* The answerer, or somebody on the way, sends our own line back. */
static void test_reflected(void **state)
{
    struct side a;
    struct said offer;
    struct reason why = {0};
    char line[512];

    (void)state;
    side_init(&a, 1);
    check_err(side_offer(&a, &offer), 0);
    (void)snprintf(line, sizeof(line), "a=crypto:%.*s\r\n", STR_FMT(offer.s.attr[2].value));
    check_err(side_accept(&a, line, &why), ERR_REFUSED);
    check_reason(why, "sdes-same-key");
    side_done(&a);
}

/* Another offer in the same session: the keys stay, unless new ones are wanted or the address
 * changed (7.1.4). */
static void test_reoffer(void **state)
{
    struct side a, b;
    struct keying_keys before;

    (void)state;
    side_init(&a, 1);
    side_init(&b, 2);
    exchange(&a, &b);
    before = a.send;
    exchange(&a, &b);
    assert_true(same_keys(&before, &a.send));
    exchange(&b, &a); /* from the other side */
    assert_true(same_keys(&before, &a.send));
    a.wish.rekey = true;
    exchange(&a, &b);
    assert_false(same_keys(&before, &a.send));
    before = a.send;
    a.wish.rekey = false;
    a.wish.is_moved = true;
    exchange(&a, &b);
    assert_false(same_keys(&before, &a.send));
    assert_int_equal(a.send.roc, KEYING_ROC_RESET);
    a.wish.is_moved = false;
    before = b.send;
    b.wish.rekey = true;
    exchange(&a, &b); /* the answerer changes its own */
    assert_false(same_keys(&before, &b.send));
    side_done(&a);
    side_done(&b);
}

/* A refused offer: "the old crypto parameters remain in place". */
static void test_rollback(void **state)
{
    struct side a, b;
    struct keying_keys before;
    struct said offer, answer;
    struct reason why = {0};

    (void)state;
    side_init(&a, 1);
    side_init(&b, 2);
    exchange(&a, &b);
    before = a.send;
    a.wish.rekey = true;
    check_err(side_offer(&a, &offer), 0);
    keying_sdes.rollback(a.m);
    side_collect(&a);
    assert_int_equal(a.n_send + a.n_receive, 0);
    check_err(side_accept(&a, "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:" K30 "\r\n", &why),
              ERR_INVALID);
    a.wish.rekey = false;
    exchange(&a, &b);
    assert_true(same_keys(&before, &a.send));
    /* an answer that never went out */
    before = b.send;
    b.wish.rekey = true;
    check_err(side_offer(&a, &offer), 0);
    check_err(side_answer(&b, said_lines(&offer), &answer, &why), 0);
    keying_sdes.rollback(b.m);
    side_collect(&b);
    assert_int_equal(b.n_send + b.n_receive, 0);
    b.wish.rekey = false;
    exchange(&a, &b);
    assert_true(same_keys(&before, &b.send));
    keying_sdes.rollback(a.m); /* nothing to take back */
    side_done(&a);
    side_done(&b);
}

/* Keys to send with that are not those the peer knows wait until our answer is on its way: the media
 * plane never goes back to old ones (RFC 3711 9.1), so it must not have had the new ones if it comes
 * to nothing. */
static void test_rollback_after_install(void **state)
{
    static const struct keying_tell answered = {.kind = KEYING_TELL_ANSWERED};
    const struct keying_at at = {.now_ms = 1000};
    struct side a, b;
    struct keying_keys before;
    struct said offer, answer;
    struct reason why = {0};

    (void)state;
    side_init(&a, 1);
    side_init(&b, 2);
    exchange(&a, &b);
    before = b.send;
    for (int round = 0; round < 2; round++) {
        b.wish.rekey = true;
        check_err(side_offer(&a, &offer), 0);
        check_err(side_answer(&b, said_lines(&offer), &answer, &why), 0);
        side_collect(&b); /* at once, as everybody does */
        assert_int_equal(b.n_send, 0);
        if (round == 0) {
            keying_sdes.rollback(b.m);
            side_collect(&b);
            assert_int_equal(b.n_send, 0);
            continue;
        }
        keying_sdes.tell(b.m, &at, &answered);
        side_collect(&b);
        assert_int_equal(b.n_send, 1);
        assert_false(same_keys(&before, &b.send));
        keying_sdes.rollback(b.m); /* too late */
        side_collect(&b);
        assert_int_equal(b.n_send, 0);
    }
    side_done(&a);
    side_done(&b);
}

/* Several keys with MKIs; a re-key goes on counting, so that no MKI means two keys. RFC 4568 6.1 */
static void test_mki(void **state)
{
    struct side a, b;

    (void)state;
    side_init(&a, 1);
    side_init(&b, 2);
    a.policy.sdes_mki_len = 1;
    a.policy.sdes_n_keys = 3;
    a.policy.sdes_lifetime = 1u << 20;
    exchange(&a, &b);
    assert_int_equal(b.receive.n, 3);
    assert_int_equal(b.receive.key[0].mki[0], 1);
    assert_int_equal(b.receive.key[2].mki[0], 3);
    assert_int_equal(b.receive.key[2].max_rtp, 1u << 20);
    a.wish.rekey = true;
    for (int i = 0; i < 50; i++) {
        uint8_t last = b.receive.key[2].mki[0];

        exchange(&a, &b);
        for (size_t j = 0; j < 3; j++)
            assert_true(b.receive.key[j].mki[0] != 0);
        assert_int_not_equal(b.receive.key[0].mki[0], last);
    }
    side_done(&a);
    side_done(&b);
}

/* Two answers to one offer: its keys are known to both, so both ask for new ones (7.3,
 * TR/100 8.2.1.3). */
static void test_fork(void **state)
{
    struct side a, b, c;
    struct keying_medium *twin = NULL, *first;
    struct said offer, answer, other;
    struct reason why = {0};
    char lines[4096];

    (void)state;
    side_init(&a, 1);
    side_init(&b, 2);
    side_init(&c, 3);
    check_err(side_offer(&a, &offer), 0);
    (void)snprintf(lines, sizeof(lines), "%s", said_lines(&offer));
    check_err(side_answer(&b, lines, &answer, &why), 0);
    check_err(side_answer(&c, lines, &other, &why), 0);
    check_err(keying_sdes.fork(a.m, NULL, &twin), 0);
    check_err(side_accept(&a, said_lines(&answer), &why), 0);
    side_collect(&a);
    assert_int_equal(a.n_rekey, 1);
    assert_true(keying_sdes.facts(a.m)->seen_by_branches);
    first = a.m;
    a.m = twin;
    check_err(side_accept(&a, said_lines(&other), &why), 0);
    side_collect(&a);
    side_collect(&c);
    assert_int_equal(a.n_rekey, 1);
    assert_true(same_keys(&a.receive, &c.send));
    a.wish.rekey = true;
    exchange(&a, &c);
    assert_false(keying_sdes.facts(a.m)->seen_by_branches);
    assert_int_equal(a.n_rekey, 0);
    keying_sdes.free(a.m);
    a.m = first;
    /* one more, when the first is long agreed */
    check_err(keying_sdes.fork(a.m, NULL, &twin), 0);
    keying_sdes.free(twin);
    side_done(&a);
    side_done(&b);
    side_done(&c);
}

/* The owner learns of another branch, or that a key is nearly used up. */
static void test_tell(void **state)
{
    struct side a, b;

    (void)state;
    side_init(&a, 1);
    side_init(&b, 2);
    keying_sdes.tell(a.m, &a.at, &(struct keying_tell){.kind = KEYING_TELL_BRANCHED});
    exchange(&a, &b);
    assert_false(keying_sdes.facts(a.m)->seen_by_branches); /* before there was a key */
    keying_sdes.tell(a.m, &a.at, &(struct keying_tell){.kind = KEYING_TELL_BRANCHED});
    side_collect(&a);
    assert_int_equal(a.n_rekey, 1);
    assert_true(keying_sdes.facts(a.m)->seen_by_branches);
    exchange(&a, &b); /* the same keys again: still known to others */
    assert_int_equal(a.n_rekey, 1);
    a.wish.rekey = true;
    exchange(&a, &b);
    assert_int_equal(a.n_rekey, 0);
    keying_sdes.tell(a.m, &a.at, &(struct keying_tell){.kind = KEYING_TELL_REKEY_DUE});
    side_collect(&a);
    assert_int_equal(a.n_rekey, 1);
    assert_int_equal(keying_sdes.timer(a.m), UINT64_MAX);
    side_done(&a);
    side_done(&b);
}

/* What the test itself allocates does not count; without faults there is nothing to hold. */
#ifdef SALLYPORT_FAULTS
#define FAULTS_HELD(name)                                                                          \
    struct fault name = fault_state;                                                               \
    fault_disarm()
#define FAULTS_GO_ON(name) (fault_state = (name))
#else
#define FAULTS_HELD(name) (void)0
#define FAULTS_GO_ON(name) (void)0
#endif

static void test_no_memory(void **state)
{
    (void)state;
    OOM_SWEEP(50, {
        struct side a = {.m = NULL};
        struct said said;
        struct reason why = {0};
        struct heard h;

        keying_policy_init(&a.policy);
        rand_fixed_init(&a.rand, 1);
        a.wish = (struct keying_wish){.policy = &a.policy, .is_hop_private = true};
        a.at = (struct keying_at){.rand = &a.rand};
        said_init(&said);
        if (keying_sdes.new(&a.m, NULL, 0) == 0) {
            struct keying_medium *twin = NULL;
            FAULTS_HELD(armed);
            h = heard_make("RTP/SAVP", "a=crypto:4 AES_CM_128_HMAC_SHA1_80 inline:" K30 "\r\n");
            FAULTS_GO_ON(armed);
            if (keying_sdes.offer(a.m, &a.at, &a.wish, &said.s, &why) == 0) {
                if (keying_sdes.fork(a.m, NULL, &twin) == 0)
                    keying_sdes.free(twin);
                (void)!keying_sdes.accept(a.m, &a.at, &a.wish, &h.h, &why);
            }
            said_init(&said);
            (void)!keying_sdes.answer(a.m, &a.at, &a.wish, &h.h, &said.s, &why);
            side_collect(&a);
            keying_sdes.free(a.m);
            heard_free(&h);
        }
    });
}

/* No room for the lines: nothing was offered. */
static void test_no_room(void **state)
{
    struct side a;
    struct keying_said said;
    struct reason why = {0};
    char text[100];

    (void)state;
    side_init(&a, 1);
    keying_said_init(&said, text, sizeof(text));
    check_err(keying_sdes.offer(a.m, &a.at, &a.wish, &said, &why), ERR_LIMIT);
    check_err(side_accept(&a, "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:" K30 "\r\n", &why),
              ERR_INVALID);
    keying_said_done(&said);
    for (size_t i = 0; i < sizeof(text); i++)
        assert_int_equal(text[i], 0);
    side_done(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rfc_examples),  cmocka_unit_test(test_lines),
        cmocka_unit_test(test_invalid_lines), cmocka_unit_test(test_exchange),
        cmocka_unit_test(test_choice),        cmocka_unit_test(test_weakened),
        cmocka_unit_test(test_clear_hop),     cmocka_unit_test(test_bad_answers),
        cmocka_unit_test(test_reflected),     cmocka_unit_test(test_reoffer),
        cmocka_unit_test(test_rollback),
        cmocka_unit_test(test_rollback_after_install),      cmocka_unit_test(test_mki),
        cmocka_unit_test(test_fork),          cmocka_unit_test(test_tell),
        cmocka_unit_test(test_no_memory),     cmocka_unit_test(test_no_room),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
