/* The keys of a call's audio (media_keys.h): between the negotiator (keying/leg.h), which knows
 * descriptions and handshakes, and SRTP, which knows packets. RFC 3711, RFC 4568, RFC 5763, RFC
 * 5764 5.1.2. */
#include "phone/media_keys.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/secret.h"
#include "media/srtp.h"

#define SECTION 0       /* of the leg: a call of ours has one medium */
#define SAID_BYTES 8192 /* a crypto line has some 100 bytes, a fingerprint as many */
#define EVENTS_MAX 1000 /* of one call into the leg: more would be a fault of ours */

#define LATE_MS 1000 /* packets by the old keys may be so late (RFC 4568 7.1.4) */

/* RTP and RTCP have a context each: with rtcp-mux they are given the same keys, whose index spaces
 * are apart (RFC 3711 3.2.1); without it DTLS-SRTP has two associations. */
enum { WIRE_RTP, WIRE_RTCP, WIRES };

struct media_keys {
    struct keying_leg *leg;
    struct media_srtp *send[WIRES], *receive[WIRES];
    bool is_settled, is_clear;
    bool drops_old[WIRES];   /* as soon as the new keys have been used; else a little later */
    uint64_t drop_ms[WIRES]; /* ... when; 0: not planned */
    bool is_proved[WIRES];   /* they have, and the leg was told */
    bool asked_rekey;
    bool has_failed;
    struct reason failure;
};

static int contexts_new(struct media_keys *k)
{
    int err = 0;

    for (unsigned i = 0; i < WIRES && err == 0; i++) {
        err = media_srtp_new(&k->send[i], MEDIA_SRTP_SEND);
        if (err == 0)
            err = media_srtp_new(&k->receive[i], MEDIA_SRTP_RECEIVE);
    }
    return err;
}

static int keys_new(struct media_keys **ret, struct keying_leg *leg)
{
    struct media_keys *k = mem_zalloc(sizeof(*k));
    int err = ERR_NOMEM;

    if (k == NULL) {
        keying_leg_free(leg);
        return err;
    }
    k->leg = leg;
    err = contexts_new(k);
    if (err != 0)
        media_keys_free(k);
    else
        *ret = k;
    return err;
}

int media_keys_new(struct media_keys **ret, const struct keying_policy *policy)
{
    struct keying_leg *leg;
    int err = keying_leg_new(&leg, policy);

    return err != 0 ? err : keys_new(ret, leg);
}

int media_keys_fork(struct media_keys *k, struct media_keys **ret)
{
    struct keying_leg *leg;
    int err = keying_leg_fork(k->leg, &leg);

    return err != 0 ? err : keys_new(ret, leg);
}

void media_keys_free(struct media_keys *k)
{
    if (k == NULL)
        return;
    keying_leg_free(k->leg);
    for (unsigned i = 0; i < WIRES; i++) {
        media_srtp_free(k->send[i]);
        media_srtp_free(k->receive[i]);
    }
    mem_free(k);
}

/* ---- descriptions ---- */

/* What was said, into the arena, where it stays as long as the description it goes into. */
static int keep_said(struct keying_said *said, struct arena *a, struct sdp_new_media *ret)
{
    struct sdp_new_attr *attrs = arena_alloc(a, (said->n + 1) * sizeof(*attrs));

    if (attrs == NULL)
        return ERR_NOMEM;
    for (size_t i = 0; i < said->n; i++) {
        attrs[i] = said->attr[i];
        attrs[i].value = arena_str(a, said->attr[i].value);
        if (attrs[i].value.p == NULL)
            return ERR_NOMEM;
    }
    ret->attrs = attrs;
    ret->n_attrs = said->n;
    return 0;
}

static void settle(struct media_keys *k)
{
    k->is_settled = true;
    k->is_clear = keying_leg_facts(k->leg, SECTION)->method == KEYING_CLEAR;
}

int media_keys_offer(struct media_keys *k, const struct keying_at *at,
                     const struct keying_wish *wish, struct arena *a, struct sdp_new_media *ret,
                     struct reason *why)
{
    char text[SAID_BYTES];
    struct keying_said said;
    enum sdp_proto proto;
    int err;

    keying_said_init(&said, text, sizeof(text));
    err = keying_leg_offer(k->leg, SECTION, at, wish, false, &said, &proto, why);
    if (err == 0) {
        err = keep_said(&said, a, ret);
        ret->proto = sdp_proto_text(proto);
        if (err != 0)
            keying_leg_rollback(k->leg);
    }
    keying_said_done(&said);
    return err;
}

int media_keys_answer(struct media_keys *k, const struct keying_at *at,
                      const struct keying_wish *wish, const struct keying_heard *offer,
                      struct arena *a, struct sdp_new_media *ret, struct reason *why)
{
    const struct keying_tell answered = {.kind = KEYING_TELL_ANSWERED};
    char text[SAID_BYTES];
    struct keying_said said;
    int err;

    keying_said_init(&said, text, sizeof(text));
    err = keying_leg_answer(k->leg, SECTION, at, wish, offer, &said, why);
    if (err == 0) {
        err = keep_said(&said, a, ret);
        if (err != 0) {
            keying_leg_rollback(k->leg);
        } else {
            keying_leg_tell(k->leg, SECTION, at, &answered);
            settle(k);
        }
    }
    keying_said_done(&said);
    return err;
}

int media_keys_accept(struct media_keys *k, const struct keying_at *at,
                      const struct keying_wish *wish, const struct keying_heard *answer,
                      struct reason *why)
{
    int err = keying_leg_accept(k->leg, SECTION, at, wish, answer, why);

    if (err == 0)
        settle(k);
    return err;
}

void media_keys_rollback(struct media_keys *k)
{
    keying_leg_rollback(k->leg);
}

void media_keys_settled(struct media_keys *k, const struct keying_at *at)
{
    const struct keying_tell tell = {.kind = KEYING_TELL_NO_BRANCHES};

    keying_leg_tell(k->leg, -1, at, &tell);
}

/* ---- packets ---- */

bool media_keys_is_clear(const struct media_keys *k)
{
    return k->is_settled && k->is_clear;
}

bool media_keys_is_ready(const struct media_keys *k)
{
    return k->is_settled && (k->is_clear || media_srtp_stats(k->send[WIRE_RTP])->n_keys > 0);
}

static void ask_rekey(struct media_keys *k, const struct keying_at *at)
{
    const struct keying_tell tell = {.kind = KEYING_TELL_REKEY_DUE};

    if (k->asked_rekey)
        return;
    k->asked_rekey = true;
    keying_leg_tell(k->leg, SECTION, at, &tell);
}

bool media_keys_protect(struct media_keys *k, bool is_rtcp, uint8_t *p, size_t *n, size_t cap)
{
    if (!k->is_settled)
        return false;
    if (k->is_clear)
        return true;
    if (is_rtcp)
        return media_srtcp_protect(k->send[WIRE_RTCP], p, n, cap) == MEDIA_SRTP_OK;
    return media_srtp_protect(k->send[WIRE_RTP], p, n, cap) == MEDIA_SRTP_OK;
}

/* The peer has the keys that were installed last: older ones are good no more, and handshakes need
 * not be repeated. */
static void prove(struct media_keys *k, const struct keying_at *at, unsigned wire,
                  enum keying_path path)
{
    const struct keying_tell tell = {.kind = KEYING_TELL_MEDIA, .path = path};

    if (k->is_proved[wire] || !media_srtp_is_used(k->receive[wire]))
        return;
    k->is_proved[wire] = true;
    k->drop_ms[wire] = at->now_ms + (k->drops_old[wire] ? 0 : LATE_MS);
    if (k->drops_old[wire])
        media_srtp_drop_old(k->receive[wire]);
    keying_leg_tell(k->leg, SECTION, at, &tell);
}

bool media_keys_open(struct media_keys *k, const struct keying_at *at, bool is_rtcp,
                     enum keying_path path, uint8_t *p, size_t *n)
{
    unsigned wire = is_rtcp ? WIRE_RTCP : WIRE_RTP;
    enum media_srtp_verdict v;

    if (!k->is_settled)
        return false;
    if (k->is_clear)
        return true;
    v = is_rtcp ? media_srtcp_open(k->receive[wire], p, n)
                : media_srtp_open(k->receive[wire], p, n);
    if (v != MEDIA_SRTP_OK)
        return false;
    prove(k, at, wire, path);
    return true;
}

void media_keys_packet(struct media_keys *k, const struct keying_at *at, enum keying_path path,
                       const struct addr *from, const uint8_t *p, size_t n)
{
    keying_leg_packet(k->leg, SECTION, at, path, from, false, p, n);
}

void media_keys_tick(struct media_keys *k, const struct keying_at *at)
{
    for (unsigned i = 0; i < WIRES; i++) {
        if (media_srtp_stats(k->send[i])->rekey_due || media_srtp_stats(k->receive[i])->rekey_due)
            ask_rekey(k, at);
        if (k->drop_ms[i] != 0 && k->drop_ms[i] <= at->now_ms) {
            media_srtp_drop_old(k->receive[i]);
            k->drop_ms[i] = 0;
        }
    }
    if (keying_leg_timer(k->leg) <= at->now_ms)
        keying_leg_tick(k->leg, at);
}

/* ---- events ---- */

static void fail(struct media_keys *k, const struct reason *why)
{
    k->has_failed = true;
    k->failure = *why;
}

static void install(struct media_keys *k, const struct keying_install *in)
{
    static const enum keying_path paths[WIRES] = {KEYING_RTP, KEYING_RTCP};

    for (unsigned i = 0; i < WIRES; i++) {
        struct media_srtp *to = in->is_send ? k->send[i] : k->receive[i];
        struct reason why = {0};
        int err;

        if (!(in->paths & (1u << paths[i])))
            continue;
        err = media_srtp_install(to, in->keys);
        if (err != 0) {
            reason_set(&why, "media-keys", "RFC 3711 9.2", 488, "keys cannot be used: %s",
                       err_text(err));
            fail(k, &why);
        }
        if (!in->is_send) {
            k->drops_old[i] = in->drop_old;
            k->is_proved[i] = false;
            k->drop_ms[i] = 0;
        }
        k->asked_rekey = false;
    }
}

unsigned media_keys_drain(struct media_keys *k, media_keys_send send, void *arg)
{
    struct keying_event ev;
    unsigned news = 0;

    for (unsigned i = 0; i < EVENTS_MAX && keying_leg_next(k->leg, &ev); i++) {
        switch (ev.kind) {
        case KEYING_EVENT_SEND:
            send(arg, ev.path, addr_is_set(&ev.to) ? &ev.to : NULL, ev.bytes, ev.n);
            break;
        case KEYING_EVENT_INSTALL:
            install(k, &ev.install);
            news |= k->has_failed ? MEDIA_KEYS_FAILED : MEDIA_KEYS_CHANGED;
            break;
        case KEYING_EVENT_FACTS:
            news |= MEDIA_KEYS_CHANGED;
            break;
        case KEYING_EVENT_REKEY:
            news |= MEDIA_KEYS_REKEY;
            break;
        case KEYING_EVENT_FAILED:
            fail(k, &ev.reason);
            news |= MEDIA_KEYS_FAILED;
            break;
        case KEYING_EVENT_ASK: /* none of our methods asks */
        case KEYING_EVENT_NONE:
            break;
        }
    }
    return news;
}

/* ---- what is known ---- */

void media_keys_facts(const struct media_keys *k, struct keying_facts *ret)
{
    static const enum media_srtp_verdict bad[] = {MEDIA_SRTP_FORGED, MEDIA_SRTP_CLEAR};
    uint64_t n = 0;

    *ret = *keying_leg_facts(k->leg, SECTION);
    for (unsigned i = 0; i < WIRES; i++) {
        for (size_t j = 0; j < ARRAY_LEN(bad); j++)
            n += media_srtp_count(k->receive[i], false, bad[j]) +
                 media_srtp_count(k->receive[i], true, bad[j]);
    }
    ret->auth_failures = n < UINT32_MAX ? (uint32_t)n : UINT32_MAX;
}

const struct reason *media_keys_failure(const struct media_keys *k)
{
    return k->has_failed ? &k->failure : NULL;
}
