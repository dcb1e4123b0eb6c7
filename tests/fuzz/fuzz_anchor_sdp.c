/* Any bytes as the description of one side of an anchored call: what leaves can be read again, has
 * as many sections, our addresses and none of the other side's keys or candidates, and reads the
 * same when it passes once more. */
#include "base/limits.h"
#include "edge/anchor/sdp.h"
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static const struct sdp_new_attr keys[] = {
    {{"fingerprint", 11}, {"sha-256 00:11", 13}},
    {{"setup", 5}, {"actpass", 7}},
};

static void must(bool ok)
{
    if (!ok)
        abort();
}

static void plan(struct anchor_sdp_section *v, const struct sdp *s, bool opaque, unsigned bits)
{
    struct reason why = {0};

    for (int i = 0; i < s->n_media; i++) {
        struct anchor_sdp_section *m = &v[i];

        m->is_refused = anchor_sdp_kind(s, i, opaque, &why) != ANCHOR_SDP_TAKE ||
                        ((bits >> 4) & 3) == (unsigned)i % 4;
        must(addr_parse(&m->rtp, i % 2 ? STR("2001:db8::1") : STR("192.0.2.1"),
                        (uint16_t)(30000 + 2 * i)) == 0);
        m->rtcp = m->rtp;
        addr_set_port(&m->rtcp, (uint16_t)(30001 + 2 * i + (bits & 4 ? 6 : 0)));
        m->is_answer = bits & 2;
        if (bits & 8)
            m->mid = STR("m1");
        if (opaque || m->is_refused)
            continue;
        m->mux = bits & 16;
        m->proto = bits & 32 ? SDP_UDP_TLS_RTP_SAVPF : SDP_RTP_SAVP;
        m->attrs = keys;
        m->n_attrs = 2;
        if (bits & 64) {
            m->ice_ufrag = STR("abcd");
            m->ice_pwd = STR("0123456789012345678901");
        }
    }
}

/* Nothing of the describer's transport is left in a section of a description that was made. */
static void check(const struct sdp *s, const struct sdp *out, const struct anchor_sdp_section *v,
                  bool opaque)
{
    must(out->n_media == s->n_media);
    for (int i = 0; i < out->n_media; i++) {
        const struct sdp_conn *c = sdp_media_conn(out, i);

        must(out->media[i].port == (v[i].is_refused ? 0 : addr_port(&v[i].rtp)));
        must(v[i].is_refused || (c && addr_eq_host(&c->addr, &v[i].rtp)));
        if (opaque)
            continue;
        must(!sdp_has(out, i, SDP_A_CRYPTO) && !sdp_has(out, i, SDP_A_KEY_MGMT) &&
             !sdp_has(out, SDP_SESSION, SDP_A_FINGERPRINT));
        must(!sdp_attr(out, i, SDP_A_FINGERPRINT, 1) &&
             sdp_has(out, i, SDP_A_FINGERPRINT) == !v[i].is_refused);
        must(!sdp_attr(out, i, SDP_A_CANDIDATE, 2));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct arena *a = n > 1 ? arena_new(16384, 4u << 20) : NULL;
    unsigned bits = a ? data[0] : 0;
    bool opaque = bits & 1;
    struct anchor_sdp_section v[LIMIT_SDP_MEDIA] = {0};
    struct anchor_sdp_new args = {.sess_id = 7, .version = 1, .is_opaque = opaque, .sections = v};
    struct reason why = {0};
    struct sdp *s, *out;
    struct str text, again;

    if (!a)
        return 0;
    must(addr_parse(&args.host, STR("192.0.2.1"), 0) == 0);
    if (sdp_parse(a, str_make((const char *)data + 1, n - 1), &s, &why) == 0) {
        (void)anchor_sdp_has_clear(s);
        if (anchor_sdp_strip(a, s, true, &text, &why) == 0 && text.n) {
            must(sdp_parse(a, text, &out, &why) == 0);
            for (int i = 0; i < out->n_media; i++)
                must(!sdp_has(out, i, SDP_A_CRYPTO));
            must(anchor_sdp_strip(a, out, false, &again, &why) == 0 && !again.n);
        }
        plan(v, s, opaque, bits);
        if (anchor_sdp_build(a, s, &args, &text) == 0) {
            must(sdp_parse(a, text, &out, &why) == 0);
            check(s, out, v, opaque);
            if (anchor_sdp_build(a, out, &args, &again) == 0)
                must(sdp_parse(a, again, &out, &why) == 0);
        }
    }
    arena_free(a);
    return 0;
}
