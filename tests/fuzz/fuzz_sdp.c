/* Any bytes as a description: whatever is parsed is asked everything, an edit that changes nothing
 * gives the same bytes back, and what an edit or an answer writes can be read again. */
#include "sdp/answer.h"
#include "sdp/values.h"
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void ask_values(const struct sdp *s, int section)
{
    union {
        struct sdp_crypto crypto;
        struct sdp_fingerprint fingerprint;
        struct sdp_key_mgmt key_mgmt;
        struct sdp_zrtp_hash zrtp;
        struct sdp_candidate candidate;
    } v;
    struct sdp_inline_key key;
    struct str a, b;
    const struct sdp_section *sec = sdp_section(s, section);
    for (unsigned i = 0; i < sec->n_lines; i++) {
        struct str arg = s->lines[sec->line + i].arg;
        if (s->lines[sec->line + i].type != 'a')
            continue;
        if (sdp_crypto_parse(arg, &v.crypto) == 0) {
            while (sdp_crypto_key_next(&v.crypto.keys, &a, &b))
                (void)!sdp_inline_key_parse(b, &key);
            while (sdp_crypto_param_next(&v.crypto.params, &a, &b))
                ;
        }
        (void)!sdp_fingerprint_parse(arg, &v.fingerprint);
        (void)!sdp_key_mgmt_parse(arg, &v.key_mgmt);
        (void)!sdp_zrtp_hash_parse(arg, &v.zrtp);
        (void)!sdp_candidate_parse(arg, &v.candidate);
        (void)!sdp_group_parse(arg, &a, &b);
    }
}

static void ask(const struct sdp *s)
{
    static const struct sdp_codec codecs[] = {{{"PCMU", 4}, 8000, 1, 0, {0}},
                                              {{"opus", 4}, 48000, 2, 96, {0}}};
    struct sdp_agreed agreed[4];
    struct sdp_target t;
    struct sdp_rtpmap r;
    ask_values(s, SDP_SESSION);
    for (int i = 0; i < s->n_media; i++) {
        ask_values(s, i);
        (void)!sdp_media_target(s, i, false, &t);
        (void)sdp_direction(s, i);
        (void)sdp_bundle_of(s, i);
        (void)sdp_ptime(s, i);
        (void)sdp_setup(s, i);
        (void)!sdp_rtpmap(s, i, 96, &r);
        (void)sdp_fmtp(s, i, 96);
        (void)sdp_codecs_match(s, i, codecs, 2, agreed, 4);
    }
}

static void edit(struct arena *a, const struct sdp *s)
{
    struct addr host;
    struct str out;
    struct sdp *again;
    struct sdp_edit *e = sdp_edit_new(a, s);
    if (e == NULL || addr_parse(&host, STR("192.0.2.1"), 0) != 0)
        return;
    if (sdp_edit_build(e, &out) == 0 && !str_eq(out, s->text))
        abort();
    sdp_edit_origin(e, &host, STR("5"));
    for (int i = SDP_SESSION; i < s->n_media; i++) {
        sdp_edit_conn(e, i, &host);
        sdp_edit_attr_set(e, i, STR("crypto"), STR("1 A inline:x"));
        sdp_edit_attr_remove(e, i, STR("fingerprint"));
        sdp_edit_direction(e, i, SDP_RECVONLY);
        if (i >= 0)
            sdp_edit_port(e, i, 9);
    }
    int err = sdp_edit_build(e, &out);
    if (err == ERR_LIMIT || err == ERR_NOMEM)
        return;
    if (err != 0)
        abort();
    err = sdp_parse(a, out, &again, NULL);
    if (err == ERR_LIMIT || err == ERR_NOMEM)
        return;
    if (err != 0 || again->n_media != s->n_media)
        abort();
    for (int i = 0; i < again->n_media; i++) {
        if (again->media[i].port != 9 || !addr_eq_host(&sdp_media_conn(again, i)->addr, &host) ||
            sdp_direction(again, i) != SDP_RECVONLY || sdp_attr(again, i, SDP_A_CRYPTO, 1) != NULL)
            abort();
    }
}

/* A refusal of everything is always a proper answer. */
static void answer(struct arena *a, const struct sdp *s)
{
    static char text[2 * 65536];
    struct sdp_new_media m[32];
    struct sbuf b = sbuf_make(text, sizeof(text));
    struct addr host;
    struct sdp *back;
    if (addr_parse(&host, STR("::1"), 0) != 0)
        return;
    for (int i = 0; i < s->n_media; i++)
        sdp_answer_media(s, i, &m[i]);
    struct sdp_new n = {.host = &host, .media = m, .n_media = s->n_media};
    if (sdp_build(&b, &n) != 0) /* a mid that is no token */
        return;
    int err = sdp_parse(a, sbuf_get(&b), &back, NULL);
    if (err == ERR_LIMIT || err == ERR_NOMEM)
        return;
    if (err != 0 || sdp_answer_check(s, back, NULL) != 0)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct arena *a = arena_new(16384, 8 << 20);
    struct sdp *s;
    struct reason why = {0};
    bool same;
    if (a == NULL)
        return 0;
    if (sdp_parse(a, str_make((const char *)data, n), &s, &why) == 0) {
        ask(s);
        edit(a, s);
        answer(a, s);
        if (sdp_next_check(s, s, &same, NULL) == 0 && !same)
            abort();
    }
    arena_free(a);
    return 0;
}
