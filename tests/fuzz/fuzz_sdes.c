/* a=crypto lines and whole offers and answers of them: nothing crashes, what is accepted is within
 * the rules and comes back the same when built and read again, and no answer is taken that was not
 * offered.
 *
 * Input: one byte that chooses the policy, then attribute lines of an m= section, separated by line
 * ends. */
#include "keying/sdes_line.h"
#include <stdlib.h>

#define CHECK(x)                                                                                   \
    do {                                                                                           \
        if (!(x))                                                                                  \
            abort();                                                                               \
    } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_line(struct str value)
{
    struct sdes_line line, again;
    struct reason why = {0};
    char text[8192];
    struct sbuf b = sbuf_make(text, sizeof(text));

    if (sdes_line_parse(value, &line, &why) != 0) {
        CHECK(why.code != NULL);
        return;
    }
    CHECK(keying_keys_check(&line.keys) == 0 &&
          keying_suite_find(str_z(line.name)) == line.keys.suite);
    sdes_line_build(&b, &line);
    CHECK(!b.overflow);
    CHECK(sdes_line_parse(sbuf_get(&b), &again, &why) == 0);
    CHECK(again.tag == line.tag && again.keys.n == line.keys.n && again.keys.kdr == line.keys.kdr &&
          memcmp(again.keys.key, line.keys.key, sizeof(line.keys.key)) == 0);
}

static void drain(struct keying_medium *m)
{
    struct keying_event e;
    int n = 0;

    while (keying_sdes.next(m, &e)) {
        CHECK(++n < 10);
        if (e.kind == KEYING_EVENT_INSTALL)
            CHECK(keying_keys_check(e.install.keys) == 0);
    }
}

static void check_dialog(const struct keying_policy *policy, const struct keying_heard *heard)
{
    struct rand_source rand;
    struct keying_at at = {.now_ms = 1, .rand = &rand};
    struct keying_wish wish = {.policy = policy, .is_hop_private = true, .paths = 3};
    struct keying_medium *m;
    struct keying_said said;
    struct reason why = {0};
    char text[8192];

    rand_fixed_init(&rand, 7);
    CHECK(keying_sdes.new(&m, NULL, 0) == 0);
    keying_said_init(&said, text, sizeof(text));
    if (keying_sdes.answer(m, &at, &wish, heard, &said, &why) == 0) {
        CHECK(said.n == 1 && keying_sdes.facts(m)->suite != NULL);
        check_line(said.attr[0].value);
        if (!policy->allow_unencrypted)
            CHECK(!keying_sdes.facts(m)->unencrypted_rtp &&
                  !keying_sdes.facts(m)->unencrypted_rtcp);
    }
    drain(m);
    keying_said_init(&said, text, sizeof(text));
    CHECK(keying_sdes.offer(m, &at, &wish, &said, &why) == 0);
    for (size_t i = 0; i < said.n; i++)
        check_line(said.attr[i].value);
    if (keying_sdes.accept(m, &at, &wish, heard, &why) == 0)
        CHECK(keying_policy_allows(policy, keying_sdes.facts(m)->suite->id) &&
              keying_sdes.facts(m)->proof >= KEYING_PROOF_NEGOTIATED);
    drain(m);
    keying_sdes.free(m);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char head[] =
        "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n"
        "m=audio 5000 RTP/SAVP 0\r\n";
    struct keying_policy policy;
    struct arena *arena;
    struct sdp *sdp;
    char *text;

    if (size < 1 || size > 16384)
        return 0;
    keying_policy_init(&policy);
    policy.allow_unencrypted = data[0] & 1;
    policy.allow_unauthenticated = data[0] & 2;
    policy.sdes_mki_mirror = data[0] & 4;
    policy.sdes_mki_len = data[0] & 8 ? 1 : 0;
    policy.sdes_n_keys = data[0] & 16 ? 4 : 1;
    policy.sdes_lifetime = data[0] & 32 ? 1000 : 0;
    if (data[0] & 64)
        policy.suites[policy.n_suites++] = KEYING_F8_128_80;
    arena = arena_new(4096, 1u << 20);
    text = malloc(sizeof(head) + size);
    CHECK(arena != NULL && text != NULL);
    memcpy(text, head, sizeof(head) - 1);
    memcpy(text + sizeof(head) - 1, data + 1, size - 1);
    check_line(str_make(text + sizeof(head) - 1, size - 1));
    if (sdp_parse(arena, str_make(text, sizeof(head) - 1 + size - 1), &sdp, NULL) == 0) {
        struct keying_heard heard = {.sdp = sdp, .section = 0, .is_hop_private = true};
        const struct sdp_line *line;

        for (unsigned i = 0; (line = sdp_attr(sdp, 0, SDP_A_CRYPTO, i)) != NULL; i++)
            check_line(line->arg);
        check_dialog(&policy, &heard);
    }
    free(text);
    arena_free(arena);
    return 0;
}
