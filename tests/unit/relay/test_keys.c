/* Key management around relayed legs: keys reach the ends and nobody before the fingerprint is
 * checked, floods and strangers hold nobody up, threads and frees may race. RFC 5763, RFC 5764, RFC
 * 8842, TR/100 8.2. OpenSSL's timers run on the system's clock; nothing here waits for one of
 * them unless it says so. */
#include "keying/dtls.h"
#include "keys_wire.h"

/* ---- sides: a leg with an end ---- */

struct side {
    struct relay_keys *keys;
    struct fake end;
    struct keying_policy policy;
    struct keying_wish wish;
    _Atomic unsigned n_facts, n_rekey, n_failed;
    struct reason why; /* of the first FAILED */
    const char *proto;
};

static struct relay_keyring *ring;
static struct keying_dtls_identity *alice, *bob;
static pthread_t tester;
static _Atomic unsigned n_on_media_thread;

static void on_change(void *arg, uint64_t cookie, const struct relay_keys_change *change)
{
    struct side *s = (struct side *)(uintptr_t)cookie;

    (void)arg;
    if (wire.is_threaded && pthread_equal(pthread_self(), wire.thread))
        n_on_media_thread++;
    switch (change->kind) {
    case RELAY_KEYS_FACTS:
        s->n_facts++;
        break;
    case RELAY_KEYS_REKEY:
        s->n_rekey++;
        break;
    case RELAY_KEYS_FAILED:
        if (s->n_failed == 0)
            s->why = change->reason;
        s->n_failed++;
        break;
    case RELAY_KEYS_ASK:
        break;
    }
}

static uint64_t dry_ms;

static void ring_start(bool dry, unsigned n_threads)
{
    const struct relay_keyring_args args = {
        .dry = dry, .n_threads = n_threads, .on_change = on_change};

    check_err(relay_keyring_new(&ring, &args), 0);
    dry_ms = 0;
}

/* Virtual time: until nothing moves. */
static void play(void)
{
    for (unsigned i = 0; i < 50; i++) {
        (void)relay_keyring_run(ring, ++dry_ms);
        (void)wire_run();
    }
}

static void side_init(struct side *s, const char *host, struct keying_dtls_identity *identity)
{
    memset(s, 0, sizeof(*s));
    fake_init(&s->end, host, 5000);
    keying_policy_init(&s->policy);
    s->policy.identity = identity;
    s->proto = "UDP/TLS/RTP/SAVP";
    s->wish = (struct keying_wish){.policy = &s->policy, .is_hop_private = true, .paths = 1};
    check_err(relay_keys_new(ring, &s->policy, (uintptr_t)s, &s->keys), 0);
    relay_keys_bind(s->keys, 0, end_of(&s->end));
}

static void side_done(struct side *s)
{
    relay_keys_free(s->keys);
    s->keys = NULL;
}

static void pair_init(struct side *a, struct side *b)
{
    side_init(a, "192.0.2.1", alice);
    side_init(b, "192.0.2.2", bob);
    a->end.peer = &b->end;
    b->end.peer = &a->end;
}

static void pair_done(struct side *a, struct side *b)
{
    side_done(a);
    side_done(b);
    if (!wire.is_threaded)
        (void)wire_run();
}

static void side_offer(struct side *s, struct said *offer)
{
    enum sdp_proto proto = SDP_PROTO_OTHER;
    struct reason why = {0};

    said_init(offer);
    check_err(relay_keys_offer(s->keys, 0, &s->wish, false, &offer->s, &proto, &why), 0);
    assert_true(str_eq(sdp_proto_text(proto), str_z(s->proto)));
}

/* A description from the other side, which names its end's address. */
static struct heard heard_from(const struct side *from, const char *proto, const char *lines)
{
    static char text[SAID_ROOM];
    char host[ADDR_TEXT_MAX];
    struct str h = addr_text_host(&from->end.addr, host);

    (void)snprintf(text, sizeof(text), "c=IN IP4 %.*s\r\n%s", STR_FMT(h), lines);
    return heard_make(proto, text);
}

static int side_answer(struct side *s, const struct side *from, const char *lines,
                       struct said *answer, struct reason *why)
{
    struct heard h = heard_from(from, s->proto, lines);
    int err;

    said_init(answer);
    err = relay_keys_answer(s->keys, 0, &s->wish, &h.h, &answer->s, why);
    heard_free(&h);
    return err;
}

static int side_accept(struct side *s, const struct side *from, const char *lines,
                       struct reason *why)
{
    struct heard h = heard_from(from, s->proto, lines);
    int err = relay_keys_accept(s->keys, 0, &s->wish, &h.h, why);

    heard_free(&h);
    return err;
}

static void signal_pair(struct side *a, struct side *b)
{
    struct said offer, answer;
    struct reason why = {0};

    side_offer(a, &offer);
    check_err(side_answer(b, a, said_lines(&offer), &answer, &why), 0);
    check_err(side_accept(a, b, said_lines(&answer), &why), 0);
}

static struct keying_facts facts_of(struct side *s)
{
    struct keying_facts f;

    relay_keys_facts(s->keys, 0, &f);
    return f;
}

static bool has_keys(struct side *s)
{
    return s->end.n_send > 0 && s->end.n_receive > 0;
}

/* With threads: until it is so; the limit is only there so that a failure ends. */
#define WAIT_FOR(condition)                                                                        \
    do {                                                                                           \
        for (unsigned waited_ = 0; !(condition); waited_++) {                                      \
            if (waited_ > 300000)                                                                  \
                fail_msg("it never came true: %s", #condition);                                    \
            usleep(100);                                                                           \
        }                                                                                          \
    } while (0)

static int setup(void **state)
{
    struct rand_source rand;

    (void)state;
    tester = pthread_self();
    rand_system_init(&rand);
    return keying_dtls_identity_new(&alice, 1700000000, &rand) == 0 &&
                   keying_dtls_identity_new(&bob, 1700000000, &rand) == 0
               ? 0
               : -1;
}

static int teardown(void **state)
{
    (void)state;
    keying_dtls_identity_unref(alice);
    keying_dtls_identity_unref(bob);
    return 0;
}

/* ---- in virtual time ---- */

static void test_dtls(void **state)
{
    struct side a, b;
    struct keying_facts f;

    (void)state;
    ring_start(true, 0);
    pair_init(&a, &b);
    signal_pair(&a, &b);
    assert_int_equal(a.end.n_datagrams + b.end.n_datagrams, 0); /* not on the caller's thread */
    assert_false(has_keys(&a) || has_keys(&b));
    play();
    assert_true(has_keys(&a) && has_keys(&b));
    check_fit(&a.end, &b.end, KEYING_RTP);
    check_fit(&a.end, &b.end, KEYING_RTCP);
    assert_true(a.n_facts > 0 && b.n_facts > 0);
    assert_int_equal(facts_of(&a).proof, KEYING_PROOF_HANDSHAKE);
    wire_event(&a.end, RELAY_EVENT_MEDIA, KEYING_RTP, &b.end.addr, NULL, 0);
    a.end.not_authentic = 7;
    play();
    f = facts_of(&a);
    assert_int_equal(f.proof, KEYING_PROOF_MEDIA);
    assert_int_equal(f.auth_failures, 7);
    assert_int_equal(a.n_failed + b.n_failed, 0);
    pair_done(&a, &b);
    relay_keyring_free(ring);
}

/* SDES needs no turn: keys are at the ends when the functions return. */
static void test_sdes(void **state)
{
    struct side a, b;

    (void)state;
    ring_start(true, 0);
    pair_init(&a, &b);
    a.policy.methods[0] = b.policy.methods[0] = KEYING_SDES;
    a.policy.n_methods = b.policy.n_methods = 1;
    a.proto = b.proto = "RTP/SAVP";
    signal_pair(&a, &b);
    assert_true(has_keys(&a) && has_keys(&b));
    check_fit(&a.end, &b.end, KEYING_RTP);
    relay_keys_close(a.keys, 0);
    assert_int_equal(facts_of(&a).known_to, KEYING_KNOWN_ANYBODY);
    pair_done(&a, &b);
    relay_keyring_free(ring);
}

/* Keys that come before the end wait for it; keys of a section that is closed do not. */
static void test_kept(void **state)
{
    struct side a, b;

    (void)state;
    ring_start(true, 0);
    pair_init(&a, &b);
    a.policy.methods[0] = b.policy.methods[0] = KEYING_SDES;
    a.policy.n_methods = b.policy.n_methods = 1;
    a.proto = b.proto = "RTP/SAVP";
    relay_keys_bind(a.keys, 0, NULL);
    relay_keys_bind(b.keys, 0, NULL);
    signal_pair(&a, &b);
    assert_false(has_keys(&a) || has_keys(&b));
    relay_keys_bind(a.keys, 0, end_of(&a.end));
    assert_true(has_keys(&a));
    relay_keys_close(b.keys, 0);
    relay_keys_bind(b.keys, 0, end_of(&b.end));
    assert_int_equal(b.end.n_send + b.end.n_receive, 0);
    pair_done(&a, &b);
    relay_keyring_free(ring);
}

/* An end that does not take keys is told of, not passed over. */
static void test_install_fails(void **state)
{
    struct side a, b;

    (void)state;
    ring_start(true, 0);
    pair_init(&a, &b);
    a.end.install_err = ERR_NOMEM;
    signal_pair(&a, &b);
    play();
    assert_int_equal(a.n_failed, 2);
    check_reason(a.why, "keys-not-installed");
    assert_true(has_keys(&b));
    pair_done(&a, &b);
    relay_keyring_free(ring);
}

/* RFC 8842 5.2: the client comes before the answer. It may shake hands, but nothing is installed
 * before the answer says who it is. */
static void test_before_answer(void **state)
{
    struct side a, b;
    struct said offer, answer;
    struct reason why = {0};

    (void)state;
    ring_start(true, 0);
    pair_init(&a, &b);
    side_offer(&a, &offer);
    check_err(side_answer(&b, &a, said_lines(&offer), &answer, &why), 0);
    play();
    assert_true(has_keys(&b)); /* it knows the offer's fingerprint */
    assert_int_equal(a.end.n_send + a.end.n_receive, 0);
    check_err(side_accept(&a, &b, said_lines(&answer), &why), 0);
    assert_true(has_keys(&a)); /* at once: the handshake is over */
    check_fit(&a.end, &b.end, KEYING_RTP);
    pair_done(&a, &b);
    relay_keyring_free(ring);
}

static const char *other_fingerprint(const struct said *said)
{
    static char lines[SAID_ROOM];
    char *digit;

    (void)snprintf(lines, sizeof(lines), "%s", said_lines(said));
    digit = strstr(lines, "fingerprint:sha-256 ");
    assert_non_null(digit);
    digit += strlen("fingerprint:sha-256 ");
    *digit = *digit == '0' ? '1' : '0';
    return lines;
}

/* Swapped in the offer or in the answer: who was lied to installs nothing and says why. */
static void test_wrong_fingerprint(void **state)
{
    (void)state;
    for (int in_answer = 0; in_answer < 2; in_answer++) {
        struct side a, b, *fooled = in_answer ? &a : &b;
        struct said offer, answer;
        struct reason why = {0};
        const struct keying_tell done = {.kind = KEYING_TELL_NO_BRANCHES};

        ring_start(true, 0);
        pair_init(&a, &b);
        side_offer(&a, &offer);
        check_err(side_answer(&b, &a, in_answer ? said_lines(&offer) : other_fingerprint(&offer),
                              &answer, &why),
                  0);
        check_err(
            side_accept(&a, &b, in_answer ? other_fingerprint(&answer) : said_lines(&answer), &why),
            0);
        relay_keys_tell(a.keys, 0, &done);
        play();
        assert_int_equal(fooled->end.n_send + fooled->end.n_receive, 0);
        assert_true(facts_of(fooled).attacks & KEYING_ATTACK_FINGERPRINT);
        assert_int_equal(facts_of(fooled).proof, KEYING_PROOF_NEGOTIATED);
        dry_ms += fooled->policy.handshake_ms;
        play();
        assert_int_equal(fooled->n_failed, 1);
        check_reason(fooled->why, "dtls-fingerprint");
        assert_int_equal(fooled->end.n_send + fooled->end.n_receive, 0);
        pair_done(&a, &b);
        relay_keyring_free(ring);
    }
}

/* No fingerprint at all: refused, not one packet leaves, whatever comes. */
static void test_no_fingerprint(void **state)
{
    struct side a, b;
    struct said offer, answer;
    struct reason why = {0};

    (void)state;
    ring_start(true, 0);
    pair_init(&a, &b);
    side_offer(&a, &offer);
    check_err(side_answer(&b, &a, "a=setup:actpass\r\n", &answer, &why), ERR_REFUSED);
    assert_non_null(why.code);
    assert_int_equal(answer.s.n, 0);
    check_err(side_accept(&a, &b, "a=setup:active\r\n", &why), ERR_REFUSED);
    check_reason(why, "keying-stripped");
    play();
    assert_int_equal(a.end.n_send + a.end.n_receive + b.end.n_send + b.end.n_receive, 0);
    assert_int_equal(b.end.n_datagrams, 0);
    pair_done(&a, &b);
    relay_keyring_free(ring);
}

/* RTP and RTCP by ports of their own: an association each, the second resumes the first
 * (TR/100 8.2.2.1). */
static void test_two_paths(void **state)
{
    struct side a, b;

    (void)state;
    ring_start(true, 0);
    pair_init(&a, &b);
    a.wish.paths = b.wish.paths = 1u << KEYING_RTP | 1u << KEYING_RTCP;
    signal_pair(&a, &b);
    play();
    assert_int_equal(a.end.n_send, 2);
    assert_int_equal(b.end.n_receive, 2);
    check_fit(&a.end, &b.end, KEYING_RTP);
    check_fit(&a.end, &b.end, KEYING_RTCP);
    assert_memory_not_equal(a.end.send[KEYING_RTP].key[0].key, a.end.send[KEYING_RTCP].key[0].key,
                            16);
    assert_true(facts_of(&a).is_resumed && facts_of(&b).is_resumed);
    pair_done(&a, &b);
    relay_keyring_free(ring);
}

/* Nor is one that took them and could not use them. */
static void test_install_refused(void **state)
{
    struct relay_event event = {.kind = RELAY_EVENT_REFUSED, .err = ERR_REFUSED, .is_send = true};
    struct side a, b;

    (void)state;
    ring_start(true, 0);
    pair_init(&a, &b);
    signal_pair(&a, &b);
    play();
    assert_int_equal(a.n_failed, 0);
    a.end.sink.event(a.end.sink.arg, 0, &event);
    play();
    assert_int_equal(a.n_failed, 1);
    assert_int_equal(b.n_failed, 0);
    check_reason(a.why, "keys-not-installed");
    assert_string_equal(a.why.clause, "RFC 3711 9.2");
    assert_non_null(strstr(a.why.detail, "send"));
    pair_done(&a, &b);
    relay_keyring_free(ring);
}

/* A key nears its limit: the edge is told to offer anew, and the next keys are others. */
static void test_rekey(void **state)
{
    struct side a, b;
    struct keying_keys before;

    (void)state;
    ring_start(true, 0);
    pair_init(&a, &b);
    signal_pair(&a, &b);
    play();
    before = a.end.send[KEYING_RTP];
    wire_event(&a.end, RELAY_EVENT_REKEY, KEYING_RTP, &b.end.addr, NULL, 0);
    play();
    assert_int_equal(a.n_rekey, 1);
    a.wish.rekey = true;
    signal_pair(&a, &b);
    play();
    assert_int_equal(a.end.n_send, 2);
    assert_int_equal(b.end.n_send, 2);
    check_fit(&a.end, &b.end, KEYING_RTP);
    assert_memory_not_equal(before.key[0].key, a.end.send[KEYING_RTP].key[0].key, 16);
    pair_done(&a, &b);
    relay_keyring_free(ring);
}

/* Two answers to one offer. Both answerers' packets come to the port that the offer named; the
 * second leg has no end of its own until the edge makes one. */
static void test_fork(void **state)
{
    struct side a, b, c, twin;
    struct said offer, answer, second;
    struct reason why = {0};
    struct keying_dtls_identity *carol;
    struct rand_source rand;
    char first[4096];

    (void)state;
    rand_system_init(&rand);
    check_err(keying_dtls_identity_new(&carol, 1700000000, &rand), 0);
    ring_start(true, 0);
    pair_init(&a, &b);
    side_init(&c, "192.0.2.3", carol);
    c.end.peer = &a.end;
    memset(&twin, 0, sizeof(twin));
    fake_init(&twin.end, "192.0.2.1", 5000);
    twin.policy = a.policy;
    twin.proto = a.proto;
    twin.wish = a.wish;
    side_offer(&a, &offer);
    check_err(side_answer(&b, &a, said_lines(&offer), &answer, &why), 0);
    (void)snprintf(first, sizeof(first), "%s", said_lines(&answer));
    check_err(side_accept(&a, &b, first, &why), 0);
    play();
    assert_true(has_keys(&a) && has_keys(&b));
    check_err(side_answer(&c, &a, said_lines(&offer), &second, &why), 0);
    check_err(relay_keys_fork(a.keys, (uintptr_t)&twin, &twin.keys), 0);
    check_err(side_accept(&twin, &c, said_lines(&second), &why), 0);
    a.end.peer = &c.end;
    play(); /* carol's hello arrives at a, and it is the twin that she is for */
    assert_true(has_keys(&c));
    assert_false(has_keys(&twin));
    relay_keys_bind(twin.keys, 0, end_of(&twin.end));
    assert_true(has_keys(&twin));
    check_fit(&a.end, &b.end, KEYING_RTP);
    check_fit(&twin.end, &c.end, KEYING_RTP);
    assert_memory_not_equal(a.end.send[0].key[0].key, twin.end.send[0].key[0].key, 16);
    assert_int_equal(facts_of(&a).attacks | facts_of(&twin).attacks, 0);
    pair_done(&a, &b); /* before its twin */
    side_done(&twin);
    side_done(&c);
    (void)wire_run();
    relay_keyring_free(ring);
    keying_dtls_identity_unref(carol);
}

/* What a leg has no room for is dropped, but not the news that media came. */
static void test_queue(void **state)
{
    struct side a, b;
    static const uint8_t nonsense[] = {22, 1, 2, 3};

    (void)state;
    ring_start(true, 0);
    pair_init(&a, &b);
    signal_pair(&a, &b);
    play();
    for (unsigned i = 0; i < 10 * LIMIT_RELAY_KEYS_QUEUE; i++)
        wire_event(&a.end, RELAY_EVENT_KEYS, KEYING_RTP, &b.end.addr, nonsense, sizeof(nonsense));
    wire_event(&a.end, RELAY_EVENT_MEDIA, KEYING_RTP, &b.end.addr, NULL, 0);
    (void)wire_run();
    play();
    assert_int_equal(facts_of(&a).proof, KEYING_PROOF_MEDIA);
    pair_done(&a, &b);
    relay_keyring_free(ring);
}

/* Strangers have filled what they may of a leg's queue: the peer's packets find room. */
static void test_queue_of_strangers(void **state)
{
    struct side a, b;
    struct relay_event flood = {
        .kind = RELAY_EVENT_KEYS, .bytes = (const uint8_t *)"\x16\xfe\xff\x01", .n = 4};

    (void)state;
    ring_start(true, 0);
    pair_init(&a, &b);
    signal_pair(&a, &b);
    (void)wire_run();
    check_err(addr_parse(&flood.from, STR("198.51.100.66"), 6666), 0);
    for (unsigned i = 0; i < 50; i++) { /* before each turn of the pool */
        for (unsigned k = 0; k < 2 * LIMIT_RELAY_KEYS_QUEUE; k++)
            relay_keys_event(a.keys, 0, &flood);
        (void)wire_run();
        (void)relay_keyring_run(ring, ++dry_ms);
    }
    assert_true(has_keys(&a) && has_keys(&b));
    pair_done(&a, &b);
    relay_keyring_free(ring);
}

/* A day later there is another certificate; who holds the old one keeps it. */
static void test_identity(void **state)
{
    struct keying_dtls_identity *first, *same, *next;

    (void)state;
    ring_start(true, 0);
    first = relay_keyring_identity(ring);
    same = relay_keyring_identity(ring);
    assert_ptr_equal(first, same);
    (void)relay_keyring_run(ring, 1000ull * (KEYING_DTLS_ROTATE_S + 1));
    next = relay_keyring_identity(ring);
    assert_ptr_not_equal(first, next);
    assert_false(
        str_eq(keying_dtls_identity_fingerprint(first), keying_dtls_identity_fingerprint(next)));
    relay_keyring_free(ring);
    keying_dtls_identity_unref(first);
    keying_dtls_identity_unref(same);
    keying_dtls_identity_unref(next);
}

static void test_no_memory(void **state)
{
    (void)state;
    OOM_SWEEP(400, {
        struct side a;
        struct said offer;
        struct reason why = {0};
        enum sdp_proto proto;

        if (relay_keyring_new(
                &ring, &(struct relay_keyring_args){.dry = true, .on_change = on_change}) == 0) {
            memset(&a, 0, sizeof(a));
            fake_init(&a.end, "192.0.2.1", 5000);
            keying_policy_init(&a.policy);
            a.policy.identity = alice;
            a.wish = (struct keying_wish){.policy = &a.policy, .is_hop_private = true, .paths = 1};
            if (relay_keys_new(ring, &a.policy, (uintptr_t)&a, &a.keys) == 0) {
                struct relay_keys *twin = NULL;
                int err;

                relay_keys_bind(a.keys, 0, end_of(&a.end));
                said_init(&offer);
                err = relay_keys_offer(a.keys, 0, &a.wish, false, &offer.s, &proto, &why);
                if (err == 0)
                    err = relay_keys_fork(a.keys, (uintptr_t)&a, &twin);
                wire_event(&a.end, RELAY_EVENT_MEDIA, KEYING_RTP, &a.end.addr, NULL, 0);
                (void)wire_run();
                (void)relay_keyring_run(ring, 1);
                relay_keys_free(twin);
                relay_keys_free(a.keys);
                (void)wire_run();
            }
            relay_keyring_free(ring);
        }
    });
}

/* ---- with threads ---- */

#define CALLS 24

/* Many at once: all get their keys, and the media thread does none of the work. */
static void test_many(void **state)
{
    static struct side a[CALLS], b[CALLS];

    (void)state;
    ring_start(false, 2);
    wire_start();
    n_on_media_thread = 0;
    for (int i = 0; i < CALLS; i++) {
        pair_init(&a[i], &b[i]);
        signal_pair(&a[i], &b[i]);
    }
    for (int i = 0; i < CALLS; i++) {
        WAIT_FOR(has_keys(&a[i]) && has_keys(&b[i]));
        check_fit(&a[i].end, &b[i].end, KEYING_RTP);
        assert_false(pthread_equal(a[i].end.installer, wire.thread));
        assert_false(pthread_equal(b[i].end.installer, wire.thread));
    }
    assert_int_equal(n_on_media_thread, 0);
    for (int i = 0; i < CALLS; i++)
        pair_done(&a[i], &b[i]);
    wire_stop();
    relay_keyring_free(ring);
}

/* The first hello of a client, to be sent by others. */
static size_t hello_make(uint8_t *dst, size_t cap)
{
    struct side c;
    struct said answer;
    struct reason why = {0};
    struct op *op;
    size_t n = 0;
    char lines[256];
    struct fake sniffer;

    ring_start(true, 0);
    side_init(&c, "192.0.2.9", bob);
    fake_init(&sniffer, "192.0.2.8", 5000);
    c.end.peer = &sniffer;
    (void)snprintf(lines, sizeof(lines), "a=setup:passive\r\na=fingerprint:%.*s\r\n",
                   STR_FMT(keying_dtls_identity_fingerprint(alice)));
    check_err(side_answer(&c, &c, lines, &answer, &why), 0);
    (void)relay_keyring_run(ring, dry_ms += 5);
    while ((op = wire_take()) != NULL) {
        if (op->is_bind) {
            wire_tell(op);
            continue;
        }
        assert_true(op->n <= cap);
        memcpy(dst, op->bytes, n = op->n);
        free(op);
    }
    side_done(&c);
    (void)wire_run();
    relay_keyring_free(ring);
    assert_true(n > 100);
    return n;
}

struct flood {
    struct fake *to;
    const uint8_t *hello;
    size_t n;
    _Atomic bool is_over;
    _Atomic unsigned n_sent;
};

/* Hellos from addresses that do not exist, each another one, as fast as a media thread could hand
 * them over. */
static void *flood_main(void *arg)
{
    struct flood *f = arg;

    for (unsigned i = 0; !f->is_over; i++) {
        struct relay_event event = {.kind = RELAY_EVENT_KEYS, .bytes = f->hello, .n = f->n};

        event.from = f->to->addr;
        event.from.v4.sin_addr.s_addr = htonl(0x0a000000u + i);
        f->to->sink.event(f->to->sink.arg, 0, &event);
        f->n_sent++;
        if (i % 8 == 7)
            usleep(50);
    }
    return NULL;
}

/* A flood of hellos at one port: real handshakes at that port and elsewhere come through while it
 * goes on, and whoever is spoofed gets less than the attacker spent. */
static void test_flood(void **state)
{
    static struct side a, b, c, d;
    uint8_t hello[2048];
    struct flood flood = {.to = &a.end, .hello = hello};
    struct said offer, answer;
    struct reason why = {0};
    pthread_t thread;

    (void)state;
    flood.n = hello_make(hello, sizeof(hello));
    ring_start(false, 2);
    wire_start();
    pair_init(&a, &b);
    pair_init(&c, &d);
    side_offer(&a, &offer);
    check_err(side_answer(&b, &a, said_lines(&offer), &answer, &why), 0);
    WAIT_FOR(a.end.n_told > 0); /* the sink is there */
    assert_int_equal(pthread_create(&thread, NULL, flood_main, &flood), 0);
    WAIT_FOR(flood.n_sent > 500);
    check_err(side_accept(&a, &b, said_lines(&answer), &why), 0);
    signal_pair(&c, &d);
    WAIT_FOR(has_keys(&a) && has_keys(&b));
    WAIT_FOR(has_keys(&c) && has_keys(&d));
    flood.is_over = true;
    assert_int_equal(pthread_join(thread, NULL), 0);
    check_fit(&a.end, &b.end, KEYING_RTP);
    check_fit(&c.end, &d.end, KEYING_RTP);
    assert_true(a.end.n_datagrams <= flood.n_sent + 20); /* one small answer a hello at most */
    assert_int_equal(a.n_failed + b.n_failed + c.n_failed + d.n_failed, 0);
    assert_int_equal(facts_of(&a).handshake_failures, 0); /* nothing was begun for a spoofed one */
    pair_done(&a, &b);
    pair_done(&c, &d);
    wire_stop();
    relay_keyring_free(ring);
}

/* Legs are freed while their ends still tell, while the pool is at work on them, and while their
 * timers fire. Nothing is told after the free. */
static void test_races(void **state)
{
    static struct side a, b;
    uint8_t hello[2048];
    size_t n = hello_make(hello, sizeof(hello));

    (void)state;
    ring_start(false, 3);
    wire_start();
    for (unsigned round = 0; round < 120; round++) {
        unsigned told;
        struct relay_keys *keys;

        pair_init(&a, &b);
        signal_pair(&a, &b);
        for (unsigned i = 0; i < 20; i++) {
            wire_event(&a.end, RELAY_EVENT_KEYS, KEYING_RTP, &b.end.addr, hello, n);
            wire_event(&b.end, RELAY_EVENT_MEDIA, KEYING_RTP, &a.end.addr, NULL, 0);
        }
        usleep(round % 12 * 100); /* anywhere in the handshake */
        (void)facts_of(&a);
        keys = a.keys;
        if (round % 3 == 0)
            relay_keys_bind(keys, 0, NULL);
        side_done(&a);
        told = a.n_facts + a.n_failed + a.n_rekey;
        side_done(&b);
        for (unsigned i = 0; i < 5; i++)
            wire_event(&a.end, RELAY_EVENT_KEYS, KEYING_RTP, &b.end.addr, hello, n);
        wire_stop(); /* the wire has let go of both */
        assert_int_equal(a.n_facts + a.n_failed + a.n_rekey, told);
        wire_start();
    }
    wire_stop();
    relay_keyring_free(ring);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_dtls),           cmocka_unit_test(test_sdes),
        cmocka_unit_test(test_kept),           cmocka_unit_test(test_install_fails),
        cmocka_unit_test(test_install_refused),
        cmocka_unit_test(test_before_answer),  cmocka_unit_test(test_wrong_fingerprint),
        cmocka_unit_test(test_no_fingerprint), cmocka_unit_test(test_two_paths),
        cmocka_unit_test(test_rekey),          cmocka_unit_test(test_fork),
        cmocka_unit_test(test_queue),          cmocka_unit_test(test_queue_of_strangers),
        cmocka_unit_test(test_identity),       cmocka_unit_test(test_no_memory),
        cmocka_unit_test(test_many),           cmocka_unit_test(test_flood),
        cmocka_unit_test(test_races),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
